//! Consumption offsets: corrections by hand of what the meters say.

use std::sync::PoisonError;

use http_door::Response;
use serde_json::{Map, Value, json};

use super::{as_number, is_unsafe, merge, number, object, object_or_empty};
use crate::api::Inner;
use crate::route::Call;

/// The setting that holds them.
const KEY: &str = "consumptionOffset";
/// Longest name, in characters.
const LONGEST_NAME: usize = 31;

/// `/api/getConsumptionOffsets`.
pub(crate) fn get(api: &Inner, _: &Call) -> Response {
    super::json(&Value::Object(offsets(&api.site.settings())))
}

/// The named offsets of `settings.json`.
pub(crate) fn offsets(settings: &Value) -> Map<String, Value> {
    settings.get(KEY).and_then(Value::as_object).cloned().unwrap_or_default()
}

/// `/api/addConsumptionOffset`.
pub(crate) fn add(api: &Inner, call: &Call) -> Response {
    merge(object_or_empty(call).and_then(|body| add_one(api, &body)))
}

fn add_one(api: &Inner, body: &Map<String, Value>) -> Result<Response, Response> {
    let refused = || Response::new(400);
    // A missing name has always been stored under this word.
    let name = match body.get("offsetName") {
        None | Some(Value::Null) => "None".to_owned(),
        Some(Value::String(name)) => name.clone(),
        Some(other) => other.to_string(),
    };
    let value = body.get("offsetValue").and_then(as_number).filter(|value| *value != 0.0).ok_or_else(refused)?;
    let unit =
        body.get("offsetUnit").and_then(Value::as_str).filter(|unit| matches!(*unit, "A" | "W")).ok_or_else(refused)?;
    if !is_name(&name) {
        return Err(refused());
    }
    put(api, &name, value, unit)?;
    Ok(super::json(&json!({"status": "success", "offsetName": name, "offsetValue": value, "offsetUnit": unit})))
}

/// Whether an offset can have this name.
pub(crate) fn is_name(name: &str) -> bool {
    !name.is_empty() && name.chars().count() <= LONGEST_NAME && !is_unsafe(name)
}

/// Stores an offset under its name.
pub(crate) fn put(api: &Inner, name: &str, value: f64, unit: &str) -> Result<(), Response> {
    let _turn = api.settings_turn.lock().unwrap_or_else(PoisonError::into_inner);
    let mut all = offsets(&api.site.settings());
    all.insert(name.to_owned(), json!({ "value": value, "unit": unit }));
    api.set(KEY, all)
}

/// Removes an offset; false when there is none of that name.
pub(crate) fn remove(api: &Inner, name: &str) -> Result<bool, Response> {
    let _turn = api.settings_turn.lock().unwrap_or_else(PoisonError::into_inner);
    let mut all = offsets(&api.site.settings());
    if all.shift_remove(name).is_none() {
        return Ok(false);
    }
    api.set(KEY, all)?;
    Ok(true)
}

/// `/api/deleteConsumptionOffset`.
pub(crate) fn delete(api: &Inner, call: &Call) -> Response {
    merge(object(call).and_then(|body| {
        let Some(name) = body.get("offsetName").and_then(Value::as_str).filter(|name| !name.is_empty()) else {
            return Err(Response::error(400, "offsetName is required and must be a string"));
        };
        if !remove(api, name)? {
            return Err(Response::error(404, "Offset not found"));
        }
        Ok(super::json(&json!({"status": "success", "offsetName": name})))
    }))
}

/// `/api/setConsumptionOffset`: stores one number that TWCManager never reads; kept for whoever reads it back.
pub(crate) fn set_legacy(api: &Inner, call: &Call) -> Response {
    merge(object(call).and_then(|body| {
        let Some(offset) = body.get("offset").and_then(as_number) else {
            return Err(Response::error(400, "Value must be a number"));
        };
        api.set("greenEnergyAmpsOffset", offset)?;
        Ok(Response::new(204))
    }))
}

/// All offsets together in watts, the one in `config.json` included; positive is consumption.
pub(crate) fn total_watts(api: &Inner, settings: &Value) -> f64 {
    let volts = api.volts_of_all_phases();
    let configured = api.config.config_masked.get("config").and_then(|config| number(config, "greenEnergyAmpsOffset"));
    let named: f64 = settings
        .get(KEY)
        .and_then(Value::as_object)
        .into_iter()
        .flat_map(Map::values)
        .filter_map(|offset| {
            let value = number(offset, "value")?;
            Some(if offset.get("unit").and_then(Value::as_str) == Some("A") { value * volts } else { value })
        })
        .sum();
    configured.unwrap_or(0.0) * volts + named
}
