//! What people set for single charging points: the object `EVSEs` of `settings.json`, by id.

use config::Settings;
use evse::EvseId;
use serde_json::{Value, json};

use crate::cars::POINTS as KEY;

/// Whether it takes part, and its rank.
pub(crate) fn of(settings: &Settings, id: &EvseId) -> (bool, i32) {
    let entry = settings.value(KEY).and_then(|all| all.get(id.as_str()));
    let is_enabled = entry.and_then(|entry| entry.get("enabled")).is_none_or(|value| policy::is_truthy(Some(value)));
    let priority = entry.and_then(|entry| entry.get("priority")).and_then(Value::as_i64).unwrap_or(0);
    (is_enabled, i32::try_from(priority).unwrap_or(0))
}

/// Stores both.
pub(crate) fn store(settings: &mut Settings, id: &EvseId, is_enabled: bool, priority: i32) {
    let mut all = settings.value(KEY).and_then(Value::as_object).cloned().unwrap_or_default();
    let entry = all.entry(id.as_str()).or_insert_with(|| json!({}));
    if !entry.is_object() {
        *entry = json!({});
    }
    // What else is set for it stays.
    entry["enabled"] = json!(is_enabled);
    entry["priority"] = json!(priority);
    settings.set_value(KEY, Value::Object(all));
}
