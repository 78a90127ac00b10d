//! Corrections by hand of what the meters say.

use http_door::Response;
use serde_json::{Value, json};

use super::body::{Fields, bad};
use super::json_of;
use crate::api::Inner;
use crate::compat::number;
use crate::compat::offsets::{is_name, offsets, put, remove};
use crate::route::Call;

/// Largest correction either way.
const LARGEST: f64 = 1e6;

/// `GET offsets`.
pub(super) fn list(api: &Inner, _: &Call) -> Response {
    let offsets: Vec<Value> = offsets(&api.site.settings())
        .iter()
        .filter_map(|(name, offset)| {
            let unit = if offset["unit"] == "A" { "A" } else { "W" };
            Some(json!({ "name": name, "value": number(offset, "value")?, "unit": unit }))
        })
        .collect();
    json_of(&json!({ "offsets": offsets }))
}

/// `PUT offsets/{name}`.
pub(super) fn store(api: &Inner, call: &Call) -> Response {
    let stored = (|| {
        let name = call.parameter.as_deref().unwrap_or_default();
        if !is_name(name) || name.chars().any(char::is_control) {
            return Err(bad("the name must be 1 to 31 characters without any of @ # $ % ^ & * \" + < > ; /"));
        }
        let fields = Fields::of(call.request, &["value", "unit"])?;
        let value = fields.number("value", -LARGEST, LARGEST)?;
        let value = value.ok_or_else(|| bad("value is missing: positive is consumption, negative is generation"))?;
        let unit = fields.text("unit")?.filter(|unit| matches!(unit.as_str(), "A" | "W"));
        let unit = unit.ok_or_else(|| bad("unit must be A (amps per phase) or W"))?;
        put(api, name, value, &unit)
    })();
    stored.map_or_else(|response| response, |()| Response::new(204))
}

/// `DELETE offsets/{name}`.
pub(super) fn delete(api: &Inner, call: &Call) -> Response {
    let name = call.parameter.as_deref().unwrap_or_default();
    match remove(api, name) {
        Ok(true) => Response::new(204),
        Ok(false) => {
            Response::error(404, &format!("there is no offset {name:?}; /api/v2/offsets lists those that there are"))
        }
        Err(response) => response,
    }
}
