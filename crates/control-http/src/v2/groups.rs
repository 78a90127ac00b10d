//! Groups of cars.

use std::sync::PoisonError;

use http_door::Response;
use serde_json::{Map, Value, json};

use super::body::{Fields, bad};
use super::json_of;
use crate::api::Inner;
use crate::compat::groups::{KEY, groups, is_built_in, is_vin, remove};
use crate::route::Call;

/// Most cars in a group.
const MOST_MEMBERS: usize = 100;
/// Longest name, in characters.
const LONGEST_NAME: usize = 64;

/// `GET vehicle-groups`.
pub(super) fn list(api: &Inner, _: &Call) -> Response {
    let groups: Vec<Value> = groups(api)
        .iter()
        .map(|(name, group)| {
            let members: Vec<&str> =
                group["Members"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
            json!({
                "name": name,
                "description": group["Description"].as_str().unwrap_or_default(),
                "is_built_in": is_built_in(group),
                "members": members,
            })
        })
        .collect();
    json_of(&json!({ "groups": groups }))
}

/// `PUT vehicle-groups/{name}`: makes the group when there is none.
pub(super) fn store(api: &Inner, call: &Call) -> Response {
    let stored = (|| {
        let name = call.parameter.as_deref().unwrap_or_default();
        let is_name = (1..=LONGEST_NAME).contains(&name.chars().count()) && !name.contains('/');
        if !is_name || name.chars().any(char::is_control) {
            return Err(bad("the name must be 1 to 64 characters without a slash"));
        }
        let fields = Fields::of(call.request, &["members", "description"])?;
        let members = members(&fields)?;
        let description = fields.text("description")?;
        let _turn = api.settings_turn.lock().unwrap_or_else(PoisonError::into_inner);
        let mut groups = groups(api);
        let group = groups.entry(name).or_insert_with(|| json!({ "Description": "", "Built-in": 0 }));
        let mut changed: Map<String, Value> = group.as_object().cloned().unwrap_or_default();
        changed.insert("Members".to_owned(), members.into());
        if let Some(description) = description {
            changed.insert("Description".to_owned(), description.into());
        }
        *group = Value::Object(changed);
        api.set(KEY, groups)
    })();
    stored.map_or_else(|response| response, |()| Response::new(204))
}

fn members(fields: &Fields) -> Result<Vec<String>, Response> {
    let wrong = || bad("members must be a list of at most 100 VINs: letters and digits, 17 at most");
    let list = fields.any("members").and_then(Value::as_array).filter(|list| list.len() <= MOST_MEMBERS);
    let mut members: Vec<String> = Vec::new();
    for member in list.ok_or_else(wrong)? {
        let vin = member.as_str().filter(|vin| is_vin(vin)).ok_or_else(wrong)?;
        if !members.iter().any(|known| known == vin) {
            members.push(vin.to_owned());
        }
    }
    Ok(members)
}

/// `DELETE vehicle-groups/{name}`.
pub(super) fn delete(api: &Inner, call: &Call) -> Response {
    let name = call.parameter.as_deref().unwrap_or_default();
    if groups(api).get(name).is_some_and(is_built_in) {
        return Response::error(409, &format!("the group {name:?} is built in and stays; its members can be changed"));
    }
    match remove(api, name) {
        Ok(true) => Response::new(204),
        Ok(false) => Response::error(
            404,
            &format!("there is no group {name:?}; /api/v2/vehicle-groups lists those that there are"),
        ),
        Err(response) => response,
    }
}
