//! The driver against devices on loopback.

#![allow(clippy::unwrap_used, reason = "helpers of tests count as tests")]

use ems::{Ems, EmsErrorKind, EmsReading, Section, Shared, Stop};
use ems_shelly::DRIVER;
use recordings::{Answer, Asked, Peer};
use serde_json::{Value, json};

fn open(values: Value) -> Result<Box<dyn Ems>, Vec<String>> {
    let mut section = Section::new("sources.Shelly", values.as_object().unwrap().clone());
    let driver = (DRIVER.open)(&mut section, &Shared::new());
    driver.ok_or_else(|| section.problems().iter().map(|problem| problem.key.clone()).collect())
}

fn grid(reading: &EmsReading) -> Option<f64> {
    reading.grid.map(|watts| watts.get())
}

const THREE: &str = r#"{"emeters": [{"power": 100, "current": 2, "voltage": 230, "is_valid": true},
    {"power": -500, "current": 3, "voltage": 231, "is_valid": true}, {"power": 10, "current": 0.1, "voltage": 229, "is_valid": true}],
    "total_power": -390}"#;

#[test]
fn the_first_generation_logs_in_with_basic() {
    let peer = Peer::start(|asked| match (asked.path(), asked.header("authorization")) {
        ("/shelly", None) => Answer::json(r#"{"type": "SHEM-3", "auth": true}"#),
        ("/status", Some("Basic YWRtaW46c2VjcmV0")) => Answer::json(THREE),
        _ => Answer::status(401),
    });
    let mut driver = open(json!({"serverIP": "127.0.0.1", "serverPort": peer.port(), "password": "secret"})).unwrap();
    let reading = driver.read(&Stop::never()).unwrap();
    assert_eq!(grid(&reading), Some(-390.0));
    assert_eq!(
        reading.grid_current.map(|amps| amps.map(|amps| amps.get())).into_array(),
        [Some(2.0), Some(-3.0), Some(0.1)]
    );
    driver.read(&Stop::never()).unwrap();
    assert_eq!(peer.count("/shelly"), 1);
    let wrong = open(json!({"serverIP": peer.url(), "password": "guess"})).unwrap().read(&Stop::never()).unwrap_err();
    assert_eq!(wrong.kind(), EmsErrorKind::Denied);
    let none = open(json!({"serverIP": peer.url()})).unwrap().read(&Stop::never()).unwrap_err();
    assert!(none.to_string().contains("sources.Shelly.password"), "{none}");
}

#[test]
fn later_generations_log_in_with_digest() {
    const CHALLENGE: &str = r#"WWW-Authenticate: Digest qop="auth", realm="shellypro3em-aabbccddeeff", nonce="1625038762", algorithm=SHA-256"#;
    let peer = Peer::start(|asked| match (asked.path(), asked.header("authorization")) {
        ("/shelly", _) => {
            Answer::json(r#"{"gen": 2, "model": "SPEM-003CEBEU", "auth_en": true, "profile": "triphase"}"#)
        }
        (_, Some(login)) if login.contains("username=\"admin\"") && login.contains("SHA-256") => {
            Answer::json(r#"{"em:0": {"a_act_power": -5, "b_act_power": 3, "c_act_power": 0, "total_act_power": -2}}"#)
        }
        _ => Answer::status(401).header(CHALLENGE),
    });
    let mut driver = open(json!({"serverIP": peer.url(), "password": "secret"})).unwrap();
    assert_eq!(grid(&driver.read(&Stop::never()).unwrap()), Some(-2.0));
    assert_eq!(grid(&driver.read(&Stop::never()).unwrap()), Some(-2.0));
}

fn second(status: &'static str) -> impl Fn(&Asked) -> Answer {
    move |asked| match (asked.path(), asked.target.as_str()) {
        ("/shelly", _) => Answer::json(r#"{"gen": 3, "model": "S3EM-002CXCEU"}"#),
        (_, "/rpc/EM1.GetStatus?id=1") => Answer::json(status),
        _ => Answer { status: 404, ..Answer::json(r#"{"code": 404, "message": "No handler"}"#) },
    }
}

#[test]
fn what_a_device_does_not_know_is_not_asked_again() {
    let peer = Peer::start(second(r#"{"id": 1, "act_power": 750.5, "current": 3.3, "voltage": 229}"#));
    let mut driver = open(json!({"serverIP": peer.url(), "channel": 1, "role": "generation"})).unwrap();
    for _ in 0..2 {
        let reading = driver.read(&Stop::never()).unwrap();
        assert_eq!((reading.generation.map(|watts| watts.get()), reading.grid), (Some(750.5), None));
    }
    assert_eq!((peer.count("/rpc/Shelly.GetStatus"), peer.count("/rpc/EM1.GetStatus")), (1, 2));
}

#[test]
fn clamps_the_wrong_way_round_are_turned() {
    let peer = Peer::start(|asked| match asked.path() {
        "/shelly" => Answer::json(r#"{"type": "SHEM-3"}"#),
        _ => Answer::json(THREE),
    });
    let mut driver = open(json!({"serverIP": peer.url(), "invert": ["L2"]})).unwrap();
    assert_eq!(grid(&driver.read(&Stop::never()).unwrap()), Some(610.0));
}

#[test]
fn a_channel_that_is_not_there_is_said() {
    let peer = Peer::start(|asked| match asked.path() {
        "/shelly" => Answer::json(r#"{"type": "SHEM"}"#),
        _ => Answer::json(r#"{"emeters": [{"power": 1}, {"power": 2}]}"#),
    });
    let error = open(json!({"serverIP": peer.url(), "channel": "2"})).unwrap().read(&Stop::never()).unwrap_err();
    assert!(error.to_string().contains("sources.Shelly.channel"), "{error}");
    assert_eq!(
        grid(&open(json!({"serverIP": peer.url(), "channel": [0, 1]})).unwrap().read(&Stop::never()).unwrap()),
        Some(3.0)
    );
}

#[test]
fn refusals_tell_what_to_do() {
    for (answer, kind) in [
        (Answer::status(500), EmsErrorKind::Retry),
        (Answer::status(429), EmsErrorKind::RateLimited),
        (Answer::html("<html>router</html>"), EmsErrorKind::Garbled),
        (Answer::json(r#"{"hello": 1}"#), EmsErrorKind::Garbled),
        (Answer::json(r#"{"type": "SHEM"#), EmsErrorKind::Retry),
    ] {
        let peer = Peer::start(move |_| answer.clone());
        let error = open(json!({"serverIP": peer.url()})).unwrap().read(&Stop::never()).unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
    }
}

#[test]
fn mistakes_are_named() {
    for (values, key) in [
        (json!({}), "serverIP"),
        (json!({"serverIP": "your-shelly"}), "serverIP"),
        (json!({"serverIP": "127.0.0.1", "role": "cellar"}), "role"),
        (json!({"serverIP": "127.0.0.1", "channel": "first"}), "channel"),
        (json!({"serverIP": "127.0.0.1", "invert": ["N"]}), "invert"),
    ] {
        assert_eq!(open(values).err().unwrap(), [format!("sources.Shelly.{key}")]);
    }
}
