//! The commands of the old interface.

use std::time::Duration;

use garage::CarView;
use http_door::Response;
use serde_json::{Map, Value, json};
use site::Command;
use units::Amps;
use vehicle::Request;

use super::{as_number, as_whole, is_unsafe, merge, object, object_or_empty};
use crate::api::Inner;
use crate::route::Call;
use crate::v2::cars::command;

/// How long a policy chosen by `/api/setPolicy` holds.
const HOLD: Duration = Duration::from_secs(3600);
/// Settings that are lists or objects: a single value would only damage them.
pub(crate) const STRUCTURED: [&str; 9] = [
    "EVSEs",
    "Graphs",
    "Schedule",
    "SlaveTWCs",
    "VehicleGroups",
    "Vehicles",
    "chargeLimits",
    "consumptionOffset",
    "history",
];

/// `/api/chargeNow`. A rate above what the wiring allows is cut to that, and the answer says so.
pub(crate) fn charge_now(api: &Inner, call: &Call) -> Response {
    merge(object(call).and_then(|body| {
        let whole = |key: &str| match body.get(key) {
            None => Ok(0),
            Some(value) => as_whole(value).ok_or_else(|| Response::error(400, "Invalid rate or duration")),
        };
        let (rate, duration) = (whole("chargeNowRate")?, whole("chargeNowDuration")?);
        if rate <= 0 || duration <= 0 {
            return Err(Response::error(400, "Rate and duration must be positive"));
        }
        let most = super::truncated(api.snapshot().site.max_amps_all);
        let rate = rate.min(most.max(1));
        let amps =
            i32::try_from(rate).map(Amps::from_whole).map_err(|_| Response::error(400, "Invalid rate or duration"))?;
        let time = Duration::from_secs(duration.unsigned_abs());
        api.command(Command::ChargeNow { amps: Some(amps), duration: time })?;
        Ok(super::json(&json!({"status": "success", "rate": rate, "duration": duration})))
    }))
}

/// `/api/cancelChargeNow`.
pub(crate) fn cancel_charge_now(api: &Inner, _: &Call) -> Response {
    merge(api.command(Command::CancelChargeNow).map(|()| super::json(&json!({"status": "success"}))))
}

/// `/api/checkArrival` and `/api/checkDeparture`: taken note of. Charging points say by themselves when a car comes or goes.
pub(crate) fn check_cars(_: &Inner, _: &Call) -> Response {
    Response::new(202)
}

/// `/api/saveSettings`: every change is stored when it is made, so there is nothing left to do.
pub(crate) fn save_settings(_: &Inner, _: &Call) -> Response {
    Response::new(204)
}

/// `/api/sendStartCommand`: all cars.
pub(crate) fn send_start(api: &Inner, _: &Call) -> Response {
    merge(api.command(Command::Start { evse: None }).map(|()| Response::new(200)))
}

/// `/api/sendStopCommand`: all cars.
pub(crate) fn send_stop(api: &Inner, _: &Call) -> Response {
    merge(api.command(Command::Stop { evse: None }).map(|()| Response::new(200)))
}

/// `/api/sendTeslaAPICommand`. TWCManager's `vehicleID` is the number of its maker's list; here it is the VIN or the name of
/// a car, and any number will do while there is only one car.
pub(crate) fn send_tesla_api_command(api: &Inner, call: &Call) -> Response {
    merge(object_or_empty(call).and_then(|body| {
        let request = match body.get("commandName").and_then(Value::as_str) {
            Some("wakeVehicle") => Request::Wake,
            Some("setChargeRate") => Request::SetAmps(charge_rate(&body)?),
            _ => return Err(Response::new(400)),
        };
        let Some(cars) = api.cars() else {
            return Err(Response::error(501, "no source of cars is configured; nothing was sent"));
        };
        let mut views = cars.views();
        let told = body.get("vehicleID").cloned().unwrap_or_default();
        let is_told =
            |view: &CarView| told.as_str().is_some_and(|told| told == view.key.as_str() || told == view.name());
        let is_number = told.is_number() || told.as_str().is_some_and(|text| text.parse::<u64>().is_ok());
        let is_alone = views.len() == 1 && is_number;
        views.retain(|view| is_alone || is_told(view));
        let [car] = views.as_slice() else {
            let text = "there is no such car, or several: send its VIN as vehicleID; /api/v2/cars lists the cars";
            return Err(Response::error(404, text));
        };
        command(cars, &car.key, request)?;
        Ok(Response::new(200))
    }))
}

/// `parameters` of `setChargeRate`: JSON in a text.
fn charge_rate(body: &Map<String, Value>) -> Result<Amps, Response> {
    let parameters = match body.get("parameters") {
        Some(Value::String(text)) => serde_json::from_str(text).unwrap_or_default(),
        Some(value) => value.clone(),
        None => Value::Null,
    };
    let rate = parameters.get("charge_rate").and_then(as_whole).filter(|rate| (1..=80).contains(rate));
    rate.and_then(|rate| i32::try_from(rate).ok())
        .map(Amps::from_whole)
        .ok_or_else(|| Response::error(400, "parameters must be JSON as text with charge_rate, 1 to 80 amps"))
}

/// `/api/setSetting`. TWCManager stores text; here a number in text is stored as a number, as every reader wants it. What it
/// passed over with success, names and values with certain characters or none at all, is passed over here too.
pub(crate) fn set_setting(api: &Inner, call: &Call) -> Response {
    merge(object_or_empty(call).and_then(|body| {
        let (Some(key), Some(value)) = (body.get("setting"), body.get("value")) else {
            log::warn!("setSetting without setting or value: nothing was stored");
            return Ok(Response::new(204));
        };
        let key = key.as_str().map_or_else(|| key.to_string(), str::to_owned);
        if STRUCTURED.contains(&key.as_str()) || value.is_object() || value.is_array() {
            return Err(Response::error(
                400,
                &format!("{key} cannot be set by setSetting: it takes single values only"),
            ));
        }
        if key.is_empty() || is_unsafe(&key) || value.as_str().is_some_and(is_unsafe) {
            log::warn!("setSetting {key:?}: nothing was stored for the characters in it");
            return Ok(Response::new(204));
        }
        api.set(&key, number_if_text(value))?;
        Ok(Response::new(204))
    }))
}

/// `/api/setPolicy`: holds it for an hour. In TWCManager the next evaluation undoes it at once.
pub(crate) fn set_policy(api: &Inner, call: &Call) -> Response {
    merge(object(call).and_then(|body| {
        let Some(name) = body.get("policy") else { return Err(Response::error(400, "policy field is required")) };
        let Some(name) = name.as_str() else { return Err(Response::error(400, "policy must be a string")) };
        if name.is_empty() {
            return Err(Response::error(400, "policy cannot be empty"));
        }
        let policies = api.site.policies();
        let is_known = policies.as_array().is_some_and(|list| list.iter().any(|policy| policy["name"] == name));
        if !is_known {
            return Err(Response::error(400, &format!("Policy '{name}' not found")));
        }
        api.command(Command::HoldPolicy { name: Some(name.to_owned()), duration: HOLD })?;
        Ok(super::json(&json!({"status": "success", "policy": name})))
    }))
}

/// `/api/setLatLon`.
pub(crate) fn set_lat_lon(api: &Inner, call: &Call) -> Response {
    merge(object_or_empty(call).and_then(|body| {
        let within = |key: &str, most: f64| {
            body.get(key).and_then(as_number).filter(|value| value.abs() <= most).ok_or_else(|| Response::new(400))
        };
        let (lat, lon) = (within("lat", 90.0)?, within("lon", 180.0)?);
        api.set_all(vec![("homeLat", lat.into()), ("homeLon", lon.into())])?;
        Ok(Response::new(204))
    }))
}

/// Text that is a number becomes one.
pub(super) fn number_if_text(value: &Value) -> Value {
    let Value::String(text) = value else { return value.clone() };
    let text = text.trim();
    // Leading zeros mean that it is a name or a code, not an amount.
    let is_code = text.len() > 1 && text.starts_with('0') && !text.starts_with("0.");
    if is_code {
        return value.clone();
    }
    text.parse::<i64>()
        .map(Value::from)
        .ok()
        .or_else(|| as_number(value).map(Value::from))
        .unwrap_or_else(|| value.clone())
}
