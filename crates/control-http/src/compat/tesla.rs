//! What TWCManager had for accounts and cars of one maker.
//!
//! Signing in is not part of this program yet. Its addresses answer as TWCManager does where no sign-in is configured or under
//! way, and `/teslaAccount/callback`, which people have registered with the maker, is kept for it.

use http_door::Response;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::groups::is_vin;
use crate::api::Inner;
use crate::route::Call;

/// What is written out in full when a result becomes part of an address.
const KEPT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'_');

fn to(result: &str) -> Response {
    Response::new(302).with_header("Location", format!("/teslaAccount/{result}"))
}

/// `/teslaAccount/login`: there is nothing configured to sign in with.
pub(crate) fn login(_: &Inner, _: &Call) -> Response {
    to("not_configured")
}

/// `/teslaAccount/callback`: comes back from a sign-in that was not begun here.
pub(crate) fn callback(_: &Inner, _: &Call) -> Response {
    to("state_mismatch")
}

/// `/teslaAccount/saveToken`: the address of a callback, pasted by hand.
pub(crate) fn save_token(_: &Inner, _: &Call) -> Response {
    to("state_mismatch")
}

/// `/teslaAccount/…`: how a sign-in ended is told by the page.
pub(crate) fn account(_: &Inner, call: &Call) -> Response {
    let result = call.parameter.as_deref().unwrap_or_default();
    let result = utf8_percent_encode(result, KEPT).to_string();
    let place = if result.is_empty() { "/".to_owned() } else { format!("/#teslaAccount/{result}") };
    Response::new(302).with_header("Location", place)
}

/// `/vehicle/localMgmt`: pairing with a car over Bluetooth.
pub(crate) fn pair(_: &Inner, call: &Call) -> Response {
    let form = call.request.body_form();
    let field = |name: &str| form.iter().find(|(have, _)| have == name).map_or("", |(_, value)| value.as_str());
    if field("operation").is_empty() || !is_vin(field("vin")) {
        return Response::error(400, "send operation and vin");
    }
    Response::error(501, "no car can be paired over Bluetooth by this version; nothing was sent")
}
