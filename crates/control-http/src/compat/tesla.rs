//! What TWCManager had for accounts and cars of one maker.
//!
//! Signing in itself is the business of [`crate::TeslaAccount`]. Without one its addresses answer as TWCManager does where no
//! sign-in is configured or under way. `/teslaAccount/callback` is what people have registered with the maker: a browser comes
//! there from the maker's page, so it is open to all, and only the state that was sent along lets anything happen.

use http_door::Response;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::groups::is_vin;
use crate::api::Inner;
use crate::route::Call;
use crate::tesla::{TeslaRefusal, TeslaReturn, begun, finished};

/// What is written out in full when a result becomes part of an address.
const KEPT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'_');

fn to(result: &str) -> Response {
    Response::new(302).with_header("Location", format!("/teslaAccount/{result}"))
}

/// Where the browser goes to be told how a sign-in ended.
fn ended(done: Result<(), TeslaRefusal>) -> Response {
    match done {
        Ok(()) => to("success"),
        Err(refusal) => {
            log::warn!("nobody was signed in at Tesla: {}", refusal.text);
            to(&utf8_percent_encode(&refusal.code, KEPT).to_string())
        }
    }
}

/// `/teslaAccount/login`: to the maker's page.
pub(crate) fn login(api: &Inner, call: &Call) -> Response {
    match begun(api, call.request.query_value("region").as_deref()) {
        Ok(address) => Response::new(302).with_header("Location", address),
        Err(refusal) => ended(Err(refusal)),
    }
}

/// `/teslaAccount/callback`: back from there.
pub(crate) fn callback(api: &Inner, call: &Call) -> Response {
    ended(finished(api, TeslaReturn::Redirect(&call.request.query)))
}

/// `/teslaAccount/saveToken`: the address of a callback, pasted by hand.
pub(crate) fn save_token(api: &Inner, call: &Call) -> Response {
    let form = call.request.body_form();
    let url = form.iter().find(|(name, _)| name == "url").map_or("", |(_, value)| value.as_str());
    ended(finished(api, TeslaReturn::Pasted(url)))
}

/// `/teslaAccount/…`: how a sign-in ended is told by the page.
pub(crate) fn account(_: &Inner, call: &Call) -> Response {
    let result = call.parameter.as_deref().unwrap_or_default();
    let result = utf8_percent_encode(result, KEPT).to_string();
    let place = if result.is_empty() { "/".to_owned() } else { format!("/#teslaAccount/{result}") };
    Response::new(302).with_header("Location", place)
}

/// `/vehicle/localMgmt`: pairing with a car over Bluetooth. It needs a person with a key card inside the car and the adapter for
/// itself, so it is a command of its own and not begun from a browser.
pub(crate) fn pair(_: &Inner, call: &Call) -> Response {
    let form = call.request.body_form();
    let field = |name: &str| form.iter().find(|(have, _)| have == name).map_or("", |(_, value)| value.as_str());
    let vin = field("vin");
    if field("operation").is_empty() || !is_vin(vin) {
        return Response::error(400, "send operation and vin");
    }
    let text = format!(
        "nothing was sent: a car is paired over Bluetooth from the command line. Stop the service, sit in the car with a key card, \
         and run `twcmanager tesla pair-bluetooth {vin}` as the service's user (docs/vehicles/bluetooth.md); where a \
         TeslaBleHttpProxy is used, pair on its page"
    );
    Response::error(501, &text)
}
