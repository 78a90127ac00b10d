//! `/healthz`: for supervisors that restart what does not live.

use http_door::Response;
use serde_json::json;

use crate::api::Inner;
use crate::logs;
use crate::route::{Call, Route};

pub(crate) const ROUTES: &[Route] = &[Route::open("/healthz", get)];

/// Seconds without a new snapshot after which the site's thread is taken for dead. It publishes every few seconds.
const DEAD_AFTER_S: f64 = 60.0;

fn get(api: &Inner, call: &Call) -> Response {
    let snapshot = api.snapshot();
    let age = call.now - snapshot.at;
    let mut reasons = Vec::new();
    if age > DEAD_AFTER_S {
        reasons.push(format!("nothing has been decided for {age:.0} s: the program hangs and should be restarted"));
    }
    // A restart mends none of these, so they do not make the program unhealthy.
    let lost = snapshot.evses.iter().filter(|evse| evse.link == evse::Link::Lost);
    let failing = snapshot.sources.iter().filter(|source| !source.ok);
    let warnings: Vec<String> =
        lost.map(|evse| format!("charging point {} does not answer", evse.name))
            .chain(failing.map(|source| {
                format!("source {}: {}", source.name, source.error.as_deref().unwrap_or("no reading yet"))
            }))
            .chain(logs::warnings(api))
            .collect();
    let (status, word) = if reasons.is_empty() { (200, "ok") } else { (503, "failing") };
    let body = json!({ "status": word, "reasons": reasons, "warnings": warnings });
    Response::json(status, body.to_string())
}
