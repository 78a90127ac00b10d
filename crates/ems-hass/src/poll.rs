//! The REST way: one call for each entity.

use std::time::{Duration, Instant};

use ems::{EmsError, EmsReading, Stop};
use ems_items::Item;
use http_client::{Client, Kind};
use serde_json::Value;

use crate::state::State;

/// Between two rounds; TWCManager cached for as long.
pub(crate) const INTERVAL: Duration = Duration::from_secs(10);
/// For one call. TWCManager waited for 2 s, which a busy Raspberry Pi does not always keep.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(5);

/// Asks for every item.
pub(crate) fn read(client: &Client, items: &[Item], path: &str, stop: &Stop) -> Result<EmsReading, EmsError> {
    let mut values = Vec::with_capacity(items.len());
    for item in items {
        if stop.is_asked() {
            return Err(EmsError::stopped());
        }
        values.push((item.clone(), state(client, item, path)?.value(item)?));
    }
    ems_items::reading(&values, Instant::now())
}

/// The state of one entity.
fn state(client: &Client, item: &Item, path: &str) -> Result<State, EmsError> {
    let answer = client.get(&format!("/api/states/{}", item.name)).send().map_err(|error| ems_http::failed(&error))?;
    // 404 with this message is about the entity; any other one is about the address.
    let is_unknown = answer.status() == 404 && answer.json().is_ok_and(|body| body.get("message").is_some());
    if is_unknown {
        return Err(crate::no_such_entity(item));
    }
    let answer = answer.ok().map_err(|error| match error.kind() {
        Kind::Status(401) => crate::denied(path),
        _ => ems_http::failed(&error),
    })?;
    let body: Value = answer.json().map_err(|error| ems_http::failed(&error))?;
    if body.get("state").is_none() {
        return Err(EmsError::garbled(format!(
            "the answer for {} has no state; does {} lead to Home Assistant?",
            item.name,
            client.base_url()
        )));
    }
    Ok(State::from_object(&body))
}
