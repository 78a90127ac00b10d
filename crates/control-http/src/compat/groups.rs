//! Groups of cars: the forms of the old pages.

use std::sync::PoisonError;

use http_door::Response;
use serde_json::{Map, Value};

use super::{is_true, merge};
use crate::api::Inner;
use crate::route::Call;

/// The setting that holds them.
pub(crate) const KEY: &str = "VehicleGroups";

/// `/vehicle/groupMgmt`: puts a car into a group, or takes it out.
pub(crate) fn manage(api: &Inner, call: &Call) -> Response {
    let form = call.request.body_form();
    let field = |name: &str| form.iter().find(|(have, _)| have == name).map_or("", |(_, value)| value.as_str());
    let (group, operation, vin) = (field("group"), field("operation"), field("vin"));
    merge((|| {
        if !is_vin(vin) || !matches!(operation, "add" | "remove") {
            return Err(Response::error(400, "send group, operation (add or remove) and vin"));
        }
        let _turn = api.settings_turn.lock().unwrap_or_else(PoisonError::into_inner);
        let mut groups = groups(api);
        let Some(Value::Object(found)) = groups.get_mut(group) else { return Err(no_such_group(group)) };
        let members = found.entry("Members").or_insert_with(|| Value::Array(Vec::new()));
        if !members.is_array() {
            *members = Value::Array(Vec::new());
        }
        if let Value::Array(members) = members {
            members.retain(|member| member.as_str() != Some(vin));
            if operation == "add" {
                members.push(vin.into());
            }
        }
        api.set(KEY, groups)?;
        Ok(Response::new(302).with_header("Location", format!("/vehicleDetail/{vin}")))
    })())
}

/// `/vehicles/deleteGroup/{name}`, by POST: a link that somebody follows must not delete anything.
pub(crate) fn delete(api: &Inner, call: &Call) -> Response {
    let name = call.parameter.as_deref().unwrap_or_default();
    merge((|| {
        if !remove(api, name)? {
            return Err(no_such_group(name));
        }
        Ok(Response::new(302).with_header("Location", "/vehicles"))
    })())
}

/// Whether a text can be the number of a car.
pub(crate) fn is_vin(text: &str) -> bool {
    (1..=17).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

/// Deletes a group; false when there is none of that name.
pub(crate) fn remove(api: &Inner, name: &str) -> Result<bool, Response> {
    let _turn = api.settings_turn.lock().unwrap_or_else(PoisonError::into_inner);
    let mut groups = groups(api);
    if groups.get(name).is_some_and(is_built_in) {
        return Err(Response::error(400, &format!("the group {name:?} is built in and stays")));
    }
    if groups.shift_remove(name).is_none() {
        return Ok(false);
    }
    api.set(KEY, groups)?;
    Ok(true)
}

/// Whether a group belongs to the program.
pub(crate) fn is_built_in(group: &Value) -> bool {
    is_true(group.get("Built-in"))
}

/// All groups, by name.
pub(crate) fn groups(api: &Inner) -> Map<String, Value> {
    api.site.settings().get(KEY).and_then(Value::as_object).cloned().unwrap_or_default()
}

fn no_such_group(name: &str) -> Response {
    Response::error(
        400,
        &format!("there is no group {name:?}; /api/v2/settings/VehicleGroups lists those that there are"),
    )
}
