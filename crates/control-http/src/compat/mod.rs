//! The interface of TWCManager, field for field and oddity for oddity.
//!
//! Scripts and dashboards depend on its names, types and status codes, so they stay, with these exceptions: secrets are masked,
//! an unknown page is a real 404, an exception is never an empty reply, nothing that was not done is reported as done, and nothing
//! is changed by GET (`/vehicles/deleteGroup/…` wants POST). The times of `/graphs/date` are local on every installation, and its
//! range can be given with the request (`?initial=…&end=…`).

mod commands;
mod debug;
mod forms;
mod graphs;
pub(crate) mod groups;
mod history;
pub(crate) mod offsets;
mod read;
pub(crate) mod schedule;
mod slaves;
mod status;
mod tesla;

use std::sync::Arc;

pub(crate) use commands::STRUCTURED;
pub(crate) use debug::bytes;
pub(crate) use graphs::thinned;
use http_door::{Method, Response};
use serde_json::Value;
pub(crate) use status::status as status_object;

use crate::access::Intent;
use crate::api::Inner;
use crate::route::{Call, Route};

/// Everything under `/api/` that TWCManager has, and the addresses of its pages. The most polled comes first.
pub(crate) const ROUTES: &[Route] = &[
    Route::get("/api/getStatus", status::get),
    Route::get("/api/getSlaveTWCs", slaves::get),
    Route::get("/api/getActivePolicyAction", read::active_policy_action),
    Route::get("/api/getConfig", read::config),
    Route::get("/api/getConsumptionOffsets", offsets::get),
    Route::get("/api/getHistory", history::get),
    Route::get("/api/getLastTWCResponse", debug::last_response),
    Route::get("/api/getPolicy", read::policy),
    Route::get("/api/getUUID", read::uuid),
    Route::post("/api/addConsumptionOffset", offsets::add),
    Route::post("/api/cancelChargeNow", commands::cancel_charge_now),
    Route::post("/api/chargeNow", commands::charge_now),
    Route::post("/api/checkArrival", commands::check_cars),
    Route::post("/api/checkDeparture", commands::check_cars),
    Route::post("/api/deleteConsumptionOffset", offsets::delete),
    Route::post("/api/saveSettings", commands::save_settings),
    Route::post("/api/sendDebugCommand", debug::send),
    Route::post("/api/sendStartCommand", commands::send_start),
    Route::post("/api/sendStopCommand", commands::send_stop),
    Route::post("/api/sendTeslaAPICommand", commands::send_tesla_api_command),
    Route::post("/api/setConsumptionOffset", offsets::set_legacy),
    Route::post("/api/setLatLon", commands::set_lat_lon),
    Route::post("/api/setPolicy", commands::set_policy),
    Route::post("/api/setScheduledChargingSettings", schedule::set),
    Route::post("/api/setSetting", commands::set_setting),
    Route::open("/debug", forms::old_page),
    Route::open("/graphs", forms::old_page),
    Route::open("/graphsP", forms::old_page),
    Route::open("/policy", forms::old_page),
    Route::open("/schedule", forms::old_page),
    Route::open("/settings", forms::old_page),
    Route::open("/teslaAccount", tesla::account),
    Route::open("/teslaAccount/callback", tesla::callback),
    Route::guarded(Intent::Command, Method::Get, "/teslaAccount/login", tesla::login),
    Route::post("/teslaAccount/saveToken", tesla::save_token),
    Route::open("/teslaAccount/{result}", tesla::account),
    Route::get("/upgrade", forms::upgrade),
    Route::open("/upgradePrompt", forms::old_page),
    Route::open("/vehicleDetail", forms::old_page),
    Route::open("/vehicleDetail/{vin}", forms::old_page),
    Route::open("/vehicles", forms::old_page),
    Route::get("/graphs/date", graphs::date),
    Route::post("/debug/save", forms::debug_save),
    Route::post("/debug/saveToggle", forms::debug_save_toggle),
    Route::post("/graphs/dates", graphs::dates),
    Route::post("/schedule/save", forms::schedule_save),
    Route::post("/settings/homeLocation", forms::home_location),
    Route::post("/settings/save", forms::settings_save),
    Route::post("/vehicle/groupMgmt", groups::manage),
    Route::post("/vehicle/localMgmt", tesla::pair),
    Route::post("/vehicles/deleteGroup/{name}", groups::delete),
];

/// What a rendering of the status depends on: the snapshot, the settings (by identity) and the tenth of a second.
pub(crate) struct RenderKey {
    sequence: u64,
    tenth: i64,
    settings: Arc<Value>,
}

impl RenderKey {
    fn new(sequence: u64, now: f64, settings: &Arc<Value>) -> RenderKey {
        #[expect(clippy::cast_possible_truncation, reason = "a float is cast saturating; the time only has to differ")]
        let tenth = (now * 10.0).floor() as i64;
        RenderKey { sequence, tenth, settings: Arc::clone(settings) }
    }
}

impl PartialEq for RenderKey {
    fn eq(&self, other: &Self) -> bool {
        self.sequence == other.sequence && self.tenth == other.tenth && Arc::ptr_eq(&self.settings, &other.settings)
    }
}

/// The body as a JSON object, or TWCManager's answers to anything else.
fn object(call: &Call) -> Result<serde_json::Map<String, Value>, Response> {
    match serde_json::from_slice(&call.request.body) {
        Ok(Value::Object(fields)) => Ok(fields),
        Ok(_) => Err(Response::error(400, "the body must be a JSON object")),
        Err(error) => Err(Response::error(400, &format!("Invalid JSON: {error}"))),
    }
}

/// The same where TWCManager answers with an empty body.
fn object_or_empty(call: &Call) -> Result<serde_json::Map<String, Value>, Response> {
    object(call).map_err(|_| Response::new(400))
}

/// Takes whichever of the two there is.
fn merge(result: Result<Response, Response>) -> Response {
    result.unwrap_or_else(|response| response)
}

/// A JSON answer.
fn json(value: &Value) -> Response {
    Response::json(200, value.to_string())
}

/// A number of `settings.json`; numeric text counts, for forms and old programs store text.
pub(crate) fn number(settings: &Value, key: &str) -> Option<f64> {
    as_number(settings.get(key)?)
}

pub(crate) fn as_number(value: &Value) -> Option<f64> {
    let number = match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.trim().parse().ok(),
        Value::Bool(flag) => Some(f64::from(u8::from(*flag))),
        _ => None,
    };
    number.filter(|number| number.is_finite())
}

/// As Python's `int(…)`: cuts a number, takes whole numbers in text, refuses the rest.
fn as_whole(value: &Value) -> Option<i64> {
    match value {
        Value::String(text) => text.trim().parse().ok(),
        Value::Bool(flag) => Some(i64::from(*flag)),
        Value::Number(_) => as_number(value).filter(|number| number.abs() < 1e15).map(truncated),
        _ => None,
    }
}

/// Cuts off the fraction.
fn truncated(number: f64) -> i64 {
    #[expect(clippy::cast_possible_truncation, reason = "a float is cast saturating, NaN gives 0")]
    let whole = number.trunc() as i64;
    whole
}

/// As Python's truth: empty and zero are false, any other text is true.
fn is_true(value: Option<&Value>) -> bool {
    match value {
        None | Some(Value::Null) => false,
        Some(Value::Bool(flag)) => *flag,
        Some(Value::Number(number)) => number.as_f64() != Some(0.0),
        Some(Value::String(text)) => !text.is_empty(),
        Some(Value::Array(items)) => !items.is_empty(),
        Some(Value::Object(fields)) => !fields.is_empty(),
    }
}

/// Whether a text holds one of the characters that TWCManager refuses in names and settings.
fn is_unsafe(text: &str) -> bool {
    text.contains(['@', '#', '$', '%', '^', '&', '*', '"', '+', '<', '>', ';', '/'])
}

/// A number without a fraction when it has none, as Python prints what was an integer.
fn plain(number: f64) -> Value {
    if number.fract() == 0.0 && number.abs() < 1e15 { Value::from(truncated(number)) } else { Value::from(number) }
}

fn two_decimals(number: f64) -> String {
    // Adding zero turns a negative zero into zero.
    format!("{:.2}", number + 0.0)
}

/// The parts that several answers share.
impl Inner {
    /// Volts times phases: what turns amps per phase of the site into watts.
    fn volts_of_all_phases(&self) -> f64 {
        let snapshot = self.snapshot();
        (snapshot.site.default_volts * f64::from(snapshot.site.phases)).max(1.0)
    }
}
