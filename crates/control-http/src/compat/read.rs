//! The small answers.

use http_door::Response;
use serde_json::Value;

use super::json;
use crate::api::Inner;
use crate::route::Call;

/// `/api/getActivePolicyAction`: 1 a fixed current, 2 none, 3 follows the surplus, `null` before the first decision.
pub(crate) fn active_policy_action(api: &Inner, _: &Call) -> Response {
    let snapshot = api.snapshot();
    let action = match &snapshot.policy {
        policy if policy.kind == "none" => Value::Null,
        policy if policy.is_green => 3.into(),
        _ if snapshot.power.granted_w > 0.0 => 1.into(),
        _ => 2.into(),
    };
    json(&action)
}

/// `/api/getConfig`.
pub(crate) fn config(api: &Inner, _: &Call) -> Response {
    json(&api.config.config_masked)
}

/// `/api/getPolicy`.
pub(crate) fn policy(api: &Inner, _: &Call) -> Response {
    // Addresses of webhooks may hold passwords.
    json(&config::masked(&api.site.policies()))
}

/// `/api/getUUID`.
pub(crate) fn uuid(api: &Inner, _: &Call) -> Response {
    Response::with_content(200, "text/plain", api.config.uuid.clone())
}
