//! The driver against a web server on loopback.

#![allow(clippy::unwrap_used, reason = "helpers of tests count as tests")]

use std::time::Duration;

use ems::{Ems, EmsErrorKind, Section, Shared, Stop};
use ems_smartme::DRIVER;
use recordings::{Answer, Peer};
use serde_json::{Value, json};

fn open(values: Value) -> Result<Box<dyn Ems>, Vec<String>> {
    let mut section = Section::new("sources.SmartMe", values.as_object().unwrap().clone());
    let driver = (DRIVER.open)(&mut section, &Shared::new());
    driver.ok_or_else(|| section.problems().iter().map(|problem| problem.key.clone()).collect())
}

fn at(peer: &Peer) -> Box<dyn Ems> {
    open(json!({"username": "me", "password": "secret", "serialNumber": -1234567, "baseUrl": peer.url()})).unwrap()
}

#[test]
fn a_meter_is_found_by_its_serial_number() {
    let peer = Peer::start(|asked| {
        assert_eq!(asked.target, "/api/DeviceBySerial?serial=-1234567");
        assert_eq!(asked.header("authorization"), Some("Basic bWU6c2VjcmV0"));
        Answer::json(
            r#"{"Id": "x", "ActivePower": -2.5, "ActivePowerUnit": "kW", "ValueDate": "2999-01-01T00:00:00Z"}"#,
        )
    });
    let reading = at(&peer).read(&Stop::never()).unwrap();
    assert_eq!(reading.grid.map(|watts| watts.get()), Some(-2500.0));
    assert_eq!(reading.generation.map(|watts| watts.get()), Some(2500.0));
}

#[test]
fn a_meter_is_found_by_its_id_and_may_sit_at_a_solar_system() {
    let peer = Peer::start(|asked| {
        assert_eq!(asked.target, "/Devices/0-12");
        Answer::json(r#"{"id": "0-12", "activePower": -2.5}"#)
    });
    let values =
        json!({"username": "me", "password": "p", "deviceId": "0-12", "baseUrl": peer.url(), "role": "generation"});
    let reading = open(values).unwrap().read(&Stop::never()).unwrap();
    assert_eq!((reading.generation.map(|watts| watts.get()), reading.grid), (Some(2500.0), None));
}

#[test]
fn the_last_value_of_a_meter_that_is_offline_is_old() {
    let peer =
        Peer::start(|_| Answer::json(r#"{"Id": "x", "ActivePower": 1, "ValueDate": "2024-01-04T17:25:43.7242222Z"}"#));
    let reading = at(&peer).read(&Stop::never()).unwrap();
    assert!(reading.taken_at.elapsed() > Duration::from_secs(86_400));
}

#[test]
fn refusals_tell_what_to_do() {
    for (answer, kind, words) in [
        (Answer::status(401), EmsErrorKind::Denied, "password"),
        (Answer::status(404), EmsErrorKind::Misconfigured, "serialNumber"),
        (Answer::status(429).header("Retry-After: 30"), EmsErrorKind::RateLimited, ""),
        (Answer::status(503), EmsErrorKind::Retry, ""),
        (Answer::html("<html>smart-me</html>"), EmsErrorKind::Garbled, ""),
        (Answer::json(r#"{"Message": "no"}"#), EmsErrorKind::Garbled, ""),
    ] {
        let peer = Peer::start(move |_| answer.clone());
        let error = at(&peer).read(&Stop::never()).unwrap_err();
        assert!(error.kind() == kind && error.to_string().contains(words), "{error}");
        assert!(!error.to_string().contains("secret"), "{error}");
    }
}

#[test]
fn mistakes_are_named() {
    for (values, key) in [
        (json!({"password": "p", "serialNumber": "1"}), "username"),
        (json!({"username": "u", "serialNumber": "1"}), "password"),
        (json!({"username": "u", "password": "p"}), "serialNumber"),
        (json!({"username": "u", "password": "p", "serialNumber": "1", "baseUrl": "ftp://x"}), "baseUrl"),
    ] {
        assert_eq!(open(values).err().unwrap(), [format!("sources.SmartMe.{key}")]);
    }
}
