//! The forms that the pages of TWCManager send, for scripts that learnt to send them too.

use http_door::Response;
use serde_json::Value;

use super::commands::number_if_text;
use super::{merge, schedule};
use crate::api::Inner;
use crate::route::Call;

/// The settings that the old settings page could store.
const SETTINGS: [&str; 12] = [
    "webControlTheme",
    "chargeStopMode",
    "nonScheduledAction",
    "nonScheduledAmpsMax",
    "sendServerTime",
    "chargeAuthorizationMode",
    "chargeRateControl",
    "commandPolicy",
    "hourResumeTrackGreenEnergy",
    "scheduledAmpsMax",
    "carApiBearerToken",
    "carApiRefreshToken",
];

fn home() -> Response {
    Response::new(302).with_header("Location", "/")
}

/// The old pages are one page now.
pub(crate) fn old_page(_: &Inner, _: &Call) -> Response {
    home()
}

/// `/upgrade`: what changes the program is not a page's business.
pub(crate) fn upgrade(_: &Inner, _: &Call) -> Response {
    Response::error(501, "nothing was upgraded: this program is upgraded the way it was installed, see docs/install")
}

/// `/settings/save`. Fields that the page never had are passed over; TWCManager stored them all.
pub(crate) fn settings_save(api: &Inner, call: &Call) -> Response {
    merge(save_fields(api, call, &SETTINGS))
}

/// `/debug/save`: unticked boxes are absent from the form and mean no.
pub(crate) fn debug_save(api: &Inner, call: &Call) -> Response {
    merge(save_boxes(api, call, &["spikeAmpsProactively", "spikeAmpsReactively"]))
}

/// `/debug/saveToggle`.
pub(crate) fn debug_save_toggle(api: &Inner, call: &Call) -> Response {
    merge(save_boxes(api, call, &["enableDebugCommands"]))
}

/// `/schedule/save`.
pub(crate) fn schedule_save(api: &Inner, call: &Call) -> Response {
    merge(schedule::from_form(&call.request.body_form()).and_then(|settings| {
        api.set_all(settings)?;
        Ok(home())
    }))
}

/// `/settings/homeLocation`: `unset`, or a car's place as `lon,lat`.
pub(crate) fn home_location(api: &Inner, call: &Call) -> Response {
    let form = call.request.body_form();
    let field = |name: &str| form.iter().find(|(have, _)| have == name).map(|(_, value)| value.as_str());
    let stored = match (field("unset"), field("vehicle")) {
        (Some(_), _) => api.set_all(vec![("homeLat", Value::Null), ("homeLon", Value::Null)]),
        (None, Some(place)) => match place.split_once(',').map(|(lon, lat)| (lon.parse::<f64>(), lat.parse::<f64>())) {
            Some((Ok(lon), Ok(lat))) if lat.abs() <= 90.0 && lon.abs() <= 180.0 => {
                api.set_all(vec![("homeLat", lat.into()), ("homeLon", lon.into())])
            }
            _ => Err(Response::error(400, "vehicle must be a place such as 13.4,52.5 (longitude, latitude)")),
        },
        (None, None) => Err(Response::error(400, "send unset, or vehicle with a place such as 13.4,52.5")),
    };
    merge(stored.map(|()| home()))
}

fn save_fields(api: &Inner, call: &Call, allowed: &[&str]) -> Result<Response, Response> {
    let form = call.request.body_form();
    // Any other action than a fixed rate leaves no rate behind.
    let is_fixed = form
        .iter()
        .find(|(key, _)| key == "nonScheduledAction")
        .is_none_or(|(_, value)| value.parse::<i64>().map_or(true, |action| action <= 1));
    let mut changes = Vec::new();
    for (key, text) in form.iter().filter(|(key, text)| allowed.contains(&key.as_str()) && !text.is_empty()) {
        let text = text.replace(['"', '\''], "");
        let value = match key.as_str() {
            "nonScheduledAmpsMax" if !is_fixed => Value::from(0),
            _ => number_if_text(&Value::from(text)),
        };
        changes.push((key.as_str(), value));
    }
    if !is_fixed && !form.iter().any(|(key, _)| key == "nonScheduledAmpsMax") {
        changes.push(("nonScheduledAmpsMax", 0.into()));
    }
    if !changes.is_empty() {
        api.set_all(changes)?;
    }
    Ok(home())
}

fn save_boxes(api: &Inner, call: &Call, boxes: &[&str]) -> Result<Response, Response> {
    let form = call.request.body_form();
    let value = |name: &str| {
        let is_ticked = form.iter().any(|(key, value)| key == name && !value.is_empty() && value != "0");
        if is_ticked { Value::from("on") } else { Value::from(0) }
    };
    api.set_all(boxes.iter().map(|name| (*name, value(name))).collect())?;
    Ok(home())
}
