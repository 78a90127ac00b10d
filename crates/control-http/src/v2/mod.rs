//! The native API: the snapshot as it is, changes as they come, commands that are checked strictly.
//!
//! `openapi.json` beside this file is its description and is held to the route table by a test.

mod access;
mod body;
pub(crate) mod cars;
mod commands;
mod events;
mod groups;
mod house;
mod offsets;
mod patch;
mod rules;

use http_door::{Method, Response};
use serde_json::{Value, json};

pub(crate) use cars::ROUTES as CAR_ROUTES;
pub(crate) use events::{Live, follow};

use crate::access::Intent;
use crate::api::Inner;
use crate::mask::{masked, without_secret_terms};
use crate::route::{Call, Route};

/// The description of the interface.
const OPENAPI: &str = include_str!("openapi.json");

/// Everything under `/api/v2/`.
pub(crate) const ROUTES: &[Route] = &[
    Route::get("/api/v2/snapshot", snapshot),
    Route::get("/api/v2/events", events::open),
    Route::get("/api/v2/evses", evses),
    Route::get("/api/v2/evses/{id}", evse),
    Route::native(Method::Patch, "/api/v2/evses/{id}", commands::change_evse),
    Route::native(Method::Post, "/api/v2/evses/{id}/start", commands::start),
    Route::native(Method::Post, "/api/v2/evses/{id}/stop", commands::stop),
    Route::native(Method::Post, "/api/v2/charge-now", commands::charge_now),
    Route::native(Method::Delete, "/api/v2/charge-now", commands::cancel_charge_now),
    Route::native(Method::Post, "/api/v2/start", house::start),
    Route::native(Method::Post, "/api/v2/stop", house::stop),
    Route::get("/api/v2/policy", policy),
    Route::get("/api/v2/policy/explain", explain),
    Route::native(Method::Put, "/api/v2/policy/hold", commands::hold_policy),
    Route::native(Method::Delete, "/api/v2/policy/hold", commands::release_policy),
    Route::get("/api/v2/rules", rules::get),
    Route::native(Method::Put, "/api/v2/rules/schedule", rules::put_schedule),
    Route::native(Method::Put, "/api/v2/rules/outside-schedule", rules::put_outside),
    Route::get("/api/v2/settings", settings),
    Route::get("/api/v2/settings/{key}", setting),
    Route::native(Method::Put, "/api/v2/settings/{key}", commands::put_setting),
    Route::native(Method::Delete, "/api/v2/settings/{key}", commands::delete_setting),
    Route::get("/api/v2/config", config),
    Route::get("/api/v2/offsets", offsets::list),
    Route::native(Method::Put, "/api/v2/offsets/{name}", offsets::store),
    Route::native(Method::Delete, "/api/v2/offsets/{name}", offsets::delete),
    Route::get("/api/v2/vehicle-groups", groups::list),
    Route::native(Method::Put, "/api/v2/vehicle-groups/{name}", groups::store),
    Route::native(Method::Delete, "/api/v2/vehicle-groups/{name}", groups::delete),
    Route::get("/api/v2/home", house::home),
    Route::native(Method::Put, "/api/v2/home", house::put_home),
    Route::native(Method::Delete, "/api/v2/home", house::delete_home),
    Route::get("/api/v2/history", house::history),
    Route::native(Method::Post, "/api/v2/bus/message", house::send),
    Route::get("/api/v2/bus/answer", house::answer),
    Route::open("/api/v2/session", access::session),
    Route::guarded(Intent::SignIn, Method::Post, "/api/v2/session", access::sign_in),
    Route::guarded(Intent::SignIn, Method::Delete, "/api/v2/session", access::sign_out),
    Route::guarded(Intent::Manage, Method::Get, "/api/v2/tokens", access::tokens),
    Route::guarded(Intent::Manage, Method::Post, "/api/v2/tokens", access::create_token),
    Route::guarded(Intent::Manage, Method::Delete, "/api/v2/tokens/{id}", access::revoke_token),
    Route::get("/api/v2/version", version),
    Route::open("/api/v2/openapi.json", openapi),
];

fn snapshot(api: &Inner, call: &Call) -> Response {
    let snapshot = api.snapshot();
    let tag = format!("\"{}\"", snapshot.sequence);
    if call.request.header("if-none-match") == Some(&tag) {
        return Response::new(304).with_header("ETag", tag).with_header("Cache-Control", "no-cache");
    }
    let bytes = api.snapshot_cache.get(snapshot.sequence, || rendered(&snapshot));
    Response::json(200, bytes).with_header("ETag", tag).with_header("Cache-Control", "no-cache")
}

/// A snapshot as JSON.
fn rendered(snapshot: &site::Snapshot) -> Vec<u8> {
    to_value(snapshot).to_string().into_bytes()
}

/// A snapshot as a value. It holds nothing that JSON cannot: a number that is none becomes `null`.
fn to_value(snapshot: &site::Snapshot) -> Value {
    serde_json::to_value(snapshot).unwrap_or_else(|error| {
        log::error!("the snapshot cannot be shown: {error}");
        Value::Null
    })
}

fn evses(api: &Inner, _: &Call) -> Response {
    json_of(&json!({ "evses": to_value(&api.snapshot())["evses"] }))
}

fn evse(api: &Inner, call: &Call) -> Response {
    let snapshot = to_value(&api.snapshot());
    let found = snapshot["evses"]
        .as_array()
        .into_iter()
        .flatten()
        .find(|evse| evse["id"].as_str() == call.parameter.as_deref());
    found.map_or_else(|| no_such_evse(call), json_of)
}

/// The answer when a charging point is asked for that is not there.
fn no_such_evse(call: &Call) -> Response {
    let id = call.parameter.as_deref().unwrap_or_default();
    Response::error(404, &format!("there is no charging point {id:?}; /api/v2/evses lists those that there are"))
}

fn policy(api: &Inner, _: &Call) -> Response {
    let snapshot = api.snapshot();
    json_of(&json!({ "active": to_value(&snapshot)["policy"], "policies": config::masked(&api.site.policies()) }))
}

/// Why a policy holds at a moment and the others do not; now unless `at` names another one.
fn explain(api: &Inner, call: &Call) -> Response {
    let at = match call.request.query_value("at") {
        None => None,
        Some(text) => match moment(text.trim(), &api.config.time_zone) {
            Some(at) => Some(at),
            None => {
                return Response::error(
                    400,
                    "`at` must be a local time such as 2026-08-20T22:30, or one with its zone",
                );
            }
        },
    };
    match api.site.explain(at) {
        Some(explanation) => json_of(&without_secret_terms(masked(&explanation))),
        None => Response::error(503, "the site did not answer in time; try again in a moment"),
    }
}

fn moment(text: &str, zone: &jiff::tz::TimeZone) -> Option<jiff::Zoned> {
    if let Ok(instant) = text.parse::<jiff::Timestamp>() {
        return Some(instant.to_zoned(zone.clone()));
    }
    text.parse::<jiff::civil::DateTime>().ok()?.to_zoned(zone.clone()).ok()
}

fn settings(api: &Inner, _: &Call) -> Response {
    json_of(&masked(&api.site.settings()))
}

fn setting(api: &Inner, call: &Call) -> Response {
    let key = call.parameter.as_deref().unwrap_or_default();
    match masked(&api.site.settings()).get(key) {
        Some(value) => json_of(&json!({ "value": value })),
        None => Response::error(404, &format!("the setting {key:?} is not set; its default holds")),
    }
}

/// The configuration file, secrets masked.
fn config(api: &Inner, _: &Call) -> Response {
    json_of(&api.config.config_masked)
}

fn version(api: &Inner, _: &Call) -> Response {
    json_of(&json!({ "name": "twcmanager", "version": api.config.version, "uuid": api.config.uuid }))
}

/// The description, with the limit of this site in it.
fn openapi(api: &Inner, _: &Call) -> Response {
    let Ok(mut document) = serde_json::from_str::<Value>(OPENAPI) else { return Response::json(200, OPENAPI) };
    for place in [
        "~1charge-now/post/requestBody/content/application~1json/schema",
        "~1rules~1schedule/put/requestBody/content/application~1json/schema/oneOf/0",
        "~1rules~1outside-schedule/put/requestBody/content/application~1json/schema/oneOf/0",
    ] {
        if let Some(Value::Object(amps)) = document.pointer_mut(&format!("/paths/~1api~1v2{place}/properties/amps")) {
            amps.insert("maximum".to_owned(), commands::most_amps(api).into());
        }
    }
    Response::json(200, document.to_string())
}

fn json_of(value: &Value) -> Response {
    Response::json(200, value.to_string())
}
