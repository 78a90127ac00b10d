//! The driver from end to end against a gateway and a cloud on loopback.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use ems::units::{Percent, Watts};
use ems::{Attribute, Ems, EmsErrorKind, Section, Shared, Stop};
use recordings::{Answer, Asked, Peer};
use serde_json::{Value, json};

use crate::{CloudTokens, DRIVER};

const AGGREGATES: &str = r#"{"site": {"instant_power": -500, "instant_average_voltage": 236.5, "last_communication_time": "t"},
    "solar": {"instant_power": 4000}, "load": {"instant_power": 1500}, "battery": {"instant_power": -2000}}"#;

fn section(values: &Value) -> Section {
    Section::new("sources.Powerwall2", values.as_object().unwrap().clone())
}

fn open(values: &Value, shared: &Shared) -> Box<dyn Ems> {
    let mut section = section(values);
    let driver = (DRIVER.open)(&mut section, shared);
    driver.unwrap_or_else(|| panic!("{:?}", section.problems()))
}

fn at(peer: &Peer) -> Value {
    json!({"serverIP": "http://127.0.0.1", "serverPort": peer.port().to_string(), "password": "S3CRT", "minBatteryLevel": "0"})
}

/// A gateway that knows one session at a time.
fn gateway(asked: &Asked, session: &str) -> Answer {
    if asked.path() == "/api/login/Basic" {
        if !asked.body.contains("S3CRT") || !asked.body.contains("\"customer\"") {
            return Answer {
                status: 401,
                ..Answer::json(r#"{"code": 401, "error": "bad credentials", "message": "Login Error"}"#)
            };
        }
        return Answer::json(format!(r#"{{"email": "any", "token": "{session}"}}"#))
            .header(&format!("Set-Cookie: AuthCookie={session}; Path=/; Secure"))
            .header(&format!("Set-Cookie: UserRecord={session}u; Path=/"));
    }
    if asked.header("authorization") != Some(&format!("Bearer {session}")) {
        return Answer { status: 401, ..Answer::json(r#"{"code": 401, "error": "Invalid bearer token"}"#) };
    }
    match asked.path() {
        "/api/meters/aggregates" => Answer::json(AGGREGATES),
        "/api/system_status/soe" => Answer::json(r#"{"percentage": 52.5}"#),
        "/api/system_status/grid_status" => Answer::json(r#"{"grid_status": "SystemGridConnected"}"#),
        "/api/operation" => Answer::json(r#"{"real_mode": "self_consumption", "backup_reserve_percent": 24}"#),
        _ => Answer::status(404),
    }
}

#[test]
fn one_login_serves_all_pages_and_a_lost_session_is_renewed_once() {
    let session = Arc::new(Mutex::new("one".to_owned()));
    let current = Arc::clone(&session);
    let peer = Peer::start(move |asked| gateway(asked, &current.lock().unwrap()));
    let mut driver = open(&at(&peer), &Shared::new());
    let reading = driver.read(&Stop::never()).unwrap();
    assert_eq!(reading.generation.map(Watts::get), Some(4000.0));
    assert_eq!((reading.grid.map(Watts::get), reading.battery.map(Watts::get)), (Some(-500.0), Some(-2000.0)));
    assert_eq!(reading.battery_soc.map(Percent::get), Some(50.0));
    for (name, expected) in [
        ("gridStatus", Attribute::Flag(true)),
        ("operatingMode", Attribute::Text("self_consumption".into())),
        ("reservePercent", Attribute::Number(20.0)),
        ("batteryLevel", Attribute::Number(50.0)),
        ("exportW", Attribute::Number(500.0)),
        ("importW", Attribute::Number(0.0)),
        ("voltage", Attribute::Number(236.5)),
        ("consumedW", Attribute::Number(1500.0)),
    ] {
        assert_eq!(reading.attributes.get(name), Some(&expected), "{name}");
    }
    assert!(!reading.attributes.contains_key("stormWatch"));
    driver.read(&Stop::never()).unwrap();
    assert_eq!(peer.count("/api/login/Basic"), 1);
    assert_eq!(peer.count("/api/operation"), 1);

    // A session that ends sooner than logins are allowed waits; it does not hammer.
    *session.lock().unwrap() = "two".into();
    for _ in 0..4 {
        let error = driver.read(&Stop::never()).unwrap_err();
        assert_eq!(error.kind(), EmsErrorKind::Denied);
        assert!(error.retry_after() > Some(Duration::from_secs(20)));
    }
    assert_eq!(peer.count("/api/login/Basic"), 1);
}

#[test]
fn a_wrong_password_is_tried_once() {
    let peer = Peer::start(|asked| gateway(asked, "one"));
    let mut values = at(&peer);
    values["password"] = json!("wr0ng");
    let mut driver = open(&values, &Shared::new());
    for _ in 0..3 {
        let error = driver.read(&Stop::never()).unwrap_err();
        assert_eq!(error.kind(), EmsErrorKind::Denied);
        assert!(error.to_string().contains("`password`") && !error.to_string().contains("wr0ng"), "{error}");
        assert!(error.retry_after() > Some(Duration::from_secs(550)));
    }
    assert_eq!(peer.count("/api/login/Basic"), 1);
}

#[test]
fn the_battery_comes_first_when_the_user_says_so() {
    let peer = Peer::start(|asked| gateway(asked, "one"));
    let mut values = at(&peer);
    values["minBatteryLevel"] = json!(90);
    let reading = open(&values, &Shared::new()).read(&Stop::never()).unwrap();
    assert_eq!(reading.generation.map(Watts::get), Some(0.0));
    assert_eq!(reading.attributes["generatedW"], Attribute::Number(4000.0));
    assert_eq!(reading.attributes["isReserved"], Attribute::Flag(true));
}

#[test]
fn a_stopped_controller_a_busy_gateway_and_other_devices_are_told_apart() {
    let page = |status: u16| {
        move |asked: &Asked| match asked.path() {
            "/api/login/Basic" => Answer::json(r#"{"token": "one"}"#),
            "/api/sitemaster" => Answer::json(r#"{"status": "StatusDown", "running": false}"#),
            "/api/meters/aggregates" => Answer::status(status),
            _ => Answer::status(404),
        }
    };
    for (status, kind, wait) in [
        (502, EmsErrorKind::Asleep, None),
        (503, EmsErrorKind::Retry, Some(300)),
        (429, EmsErrorKind::RateLimited, Some(300)),
        (404, EmsErrorKind::Misconfigured, None),
    ] {
        let peer = Peer::start(page(status));
        let error = open(&at(&peer), &Shared::new()).read(&Stop::never()).unwrap_err();
        assert_eq!((error.kind(), error.retry_after()), (kind, wait.map(Duration::from_secs)), "{error}");
    }
    for body in ["<html>login</html>", "", "{\"site\": {\"instant", "[]", "{\"code\": 1}"] {
        let peer = Peer::start(move |asked| match asked.path() {
            "/api/login/Basic" => Answer::json(r#"{"token": "one"}"#),
            _ => Answer::html(body),
        });
        assert!(open(&at(&peer), &Shared::new()).read(&Stop::never()).is_err(), "{body}");
    }
}

fn fleet(asked: &Asked) -> Answer {
    match (asked.path(), asked.header("authorization")) {
        (_, Some("Bearer old")) => Answer::status(401),
        (_, Some("Bearer narrow")) => Answer::status(403),
        ("/api/1/products", _) => Answer::json(r#"{"response": [{"energy_site_id": 77, "resource_type": "battery"}]}"#),
        ("/api/1/energy_sites/77/live_status", _) => Answer::json(
            r#"{"response": {"solar_power": 100, "battery_power": 690, "load_power": 790, "grid_power": 0,
                "percentage_charged": 69.8, "grid_status": "Active", "storm_mode_active": true}}"#,
        ),
        _ => Answer::status(404),
    }
}

#[test]
fn storm_watch_comes_from_the_cloud_with_the_programs_token() {
    let peer = Peer::start(|asked| gateway(asked, "one"));
    let vendor = Peer::start(fleet);
    let shared = Shared::new();
    let mut values = at(&peer);
    values["baseUrl"] = json!(vendor.url());
    let mut driver = open(&values, &shared);
    assert!(!driver.read(&Stop::never()).unwrap().attributes.contains_key("stormWatch"));
    shared.get::<CloudTokens>().set(Some("t1".into()));
    assert_eq!(driver.read(&Stop::never()).unwrap().attributes["stormWatch"], Attribute::Flag(true));
    driver.read(&Stop::never()).unwrap();
    assert_eq!(vendor.count("/api/1/energy_sites/77/live_status"), 1);
}

#[test]
fn a_powerwall_3_is_read_through_the_cloud() {
    let vendor = Peer::start(fleet);
    let values = |token: &str| json!({"cloudID": "77", "token": token, "baseUrl": vendor.url()});
    let reading = open(&values("t1"), &Shared::new()).read(&Stop::never()).unwrap();
    assert_eq!(reading.battery.map(Watts::get), Some(690.0));
    assert_eq!(reading.attributes["gridStatus"], Attribute::Flag(true));
    for (token, hint) in [("old", "renewed"), ("narrow", "energy_device_data")] {
        let error = open(&values(token), &Shared::new()).read(&Stop::never()).unwrap_err();
        assert_eq!(error.kind(), EmsErrorKind::Denied);
        assert!(error.to_string().contains(hint), "{error}");
    }
    let error = open(&json!({"cloudID": 77}), &Shared::new()).read(&Stop::never()).unwrap_err();
    assert_eq!(error.kind(), EmsErrorKind::Misconfigured);
}

#[test]
fn the_recorded_empty_answer_of_a_stopped_gateway_is_unknown() {
    let recording =
        recordings::vendor("powerwall").into_iter().find(|recording| recording.name() == "stopped_aggregates.txt");
    let Some(recording) = recording else { return };
    let status = recording.entry["response"]["status"].as_u64().and_then(|status| u16::try_from(status).ok()).unwrap();
    let peer = Peer::start(move |_| Answer::status(status));
    let mut values = at(&peer);
    values["password"] = Value::Null;
    assert_eq!(open(&values, &Shared::new()).read(&Stop::never()).unwrap_err().kind(), EmsErrorKind::Retry);
}
