//! The same cars behind a TeslaBleHttpProxy: answers one level deeper than Tesla's, and its known errors.
//!
//! Waiting for the car to wake is part of a real proxy's answer; here the car wakes at once.

use serde_json::{Value, json};

use crate::car::{Car, CarCommand};
use crate::cloud::plain_command;
use crate::exchange::{Kind, Reply, Request};

const VERSION: &str = "2.4.0";

pub(crate) fn answer(request: &Request, kind: &Kind, car: Option<&mut Car>, note: &mut Option<CarCommand>) -> Reply {
    if *kind == Kind::ProxyVersion {
        return Reply::json(200, &json!({ "version": VERSION }));
    }
    let name = match kind {
        Kind::VehicleData => "vehicle_data",
        Kind::BodyController => "body_controller_state",
        Kind::Wake => "wake_up",
        Kind::Command(name) => name.as_str(),
        _ => return Reply::html(404, "404 page not found\n"),
    };
    let vin = request.path.split('/').nth(4).unwrap_or_default().to_owned();
    let waits = request.queried("wait").as_deref() == Some("true");
    let Some(car) = car.filter(|car| car.has_bluetooth()) else {
        // It finds out only after it has answered, unless told to wait.
        if matches!(kind, Kind::Command(_) | Kind::Wake) && !waits {
            return said(true, "The request was successfully processed.", &vin, name, None);
        }
        let reason = "failed to find vehicle: context deadline exceeded";
        return said(false, reason, &vin, name, None);
    };
    match kind {
        Kind::Wake => {
            car.wake_at_once();
            done(&vin, name, None)
        }
        Kind::Command(_) => {
            car.wake_at_once();
            let mut body = request.json().unwrap_or(Value::Null);
            accept_text(&mut body);
            let Some(command) = plain_command(name, &body) else {
                return said(false, "invalid body", &vin, name, None);
            };
            if let CarCommand::Unknown(_) = command {
                return said(false, &format!("the command \"{name}\" is not supported"), &vin, name, None);
            }
            *note = Some(command.clone());
            let answer = car.obey(command);
            match answer {
                Err(refusal) if waits && !is_as_good_as_done(&refusal.0) => {
                    said(false, &format!("car could not execute command: {}", refusal.0), &vin, name, None)
                }
                _ => done(&vin, name, None),
            }
        }
        Kind::BodyController => {
            let sleep = if car.is_awake() { "VEHICLE_SLEEP_STATUS_AWAKE" } else { "VEHICLE_SLEEP_STATUS_ASLEEP" };
            let state = json!({
                "vehicle_lock_state": "VEHICLELOCKSTATE_LOCKED",
                "vehicle_sleep_status": sleep,
                "user_presence": "VEHICLE_USER_PRESENCE_NOT_PRESENT",
                "closure_statuses": {},
            });
            done(&vin, name, Some(state))
        }
        _ => {
            if request.queried("wakeup").as_deref() == Some("true") {
                car.wake_at_once();
            }
            if !car.is_awake() {
                return said(false, "vehicle is sleeping", &vin, name, None);
            }
            car.touch();
            let asked = request.queried("endpoints").unwrap_or_default();
            let mut sections = serde_json::Map::new();
            for section in asked.split(';') {
                match section {
                    "charge_state" => sections.insert(section.to_owned(), charge_state(car)),
                    "climate_state" => sections.insert(section.to_owned(), json!({})),
                    _ => return said(false, &format!("endpoint {section} not supported"), &vin, name, None),
                };
            }
            done(&vin, name, Some(Value::Object(sections)))
        }
    }
}

/// Reasons that the proxy takes for success.
fn is_as_good_as_done(reason: &str) -> bool {
    matches!(reason, "is_charging" | "complete" | "not_charging" | "requested" | "already_set")
}

/// Numbers may come as text.
fn accept_text(body: &mut Value) {
    for value in body.as_object_mut().into_iter().flat_map(|body| body.values_mut()) {
        if let Some(number) = value.as_str().and_then(|text| text.parse::<u64>().ok()) {
            *value = Value::from(number);
        }
    }
}

fn charge_state(car: &Car) -> Value {
    let mut section = car.charge_json();
    section.remove("time_to_full_charge");
    section.insert("timestamp".into(), json!(car.unix_at(car.now())));
    section.insert("charger_phases".into(), json!(car.told_phases().unwrap_or(0)));
    section.insert("fast_charger_type".into(), json!("AC"));
    let start = car.waits_until().map_or(0, |at| car.unix_at(at));
    section.insert("scheduled_charging_start_time".into(), json!(start));
    Value::Object(section)
}

fn done(vin: &str, command: &str, response: Option<Value>) -> Reply {
    said(true, "The request was successfully processed.", vin, command, response)
}

fn said(result: bool, reason: &str, vin: &str, command: &str, response: Option<Value>) -> Reply {
    let mut inner = json!({ "result": result, "reason": reason, "vin": vin, "command": command });
    if let (Some(response), Some(inner)) = (response, inner.as_object_mut()) {
        inner.insert("response".into(), response);
    }
    Reply::json(if result { 200 } else { 503 }, &json!({ "response": inner }))
}
