//! The driver against a web server on loopback.

#![allow(clippy::unwrap_used, reason = "helpers of tests count as tests")]

use ems::{Ems, EmsErrorKind, Section, Shared, Stop};
use ems_smartpi::DRIVER;
use recordings::{Answer, Peer};
use serde_json::{Value, json};

fn open(values: Value) -> Result<Box<dyn Ems>, Vec<String>> {
    let mut section = Section::new("sources.SmartPi", values.as_object().unwrap().clone());
    let driver = (DRIVER.open)(&mut section, &Shared::new());
    driver.ok_or_else(|| section.problems().iter().map(|problem| problem.key.clone()).collect())
}

const LIVE: &str = r#"{"time": "2021-03-22 19:36:38", "datasets": [{"time": "2021-03-22 19:36:38", "phases": [
    {"phase": 1, "values": [{"type": "power", "info": "", "data": 300.5}]},
    {"phase": 2, "values": [{"type": "power", "info": "", "data": -100}]},
    {"phase": 3, "values": [{"type": "power", "info": "", "data": 0}]}]}]}"#;

#[test]
fn the_address_that_answers_is_kept() {
    let peer = Peer::start(|asked| match asked.path() {
        "/api/all/power/now" => Answer::json(LIVE),
        "/api/all/all/now" => Answer::html("<html>SmartPi</html>"),
        _ => Answer::status(404),
    });
    let mut driver = open(json!({"serverIP": "127.0.0.1", "serverPort": peer.port().to_string()})).unwrap();
    let first = driver.read(&Stop::never()).unwrap();
    assert_eq!(first.grid.map(|watts| watts.get()), Some(200.5));
    assert_eq!(first.consumption, None);
    assert_eq!(driver.read(&Stop::never()).unwrap().taken_at, first.taken_at);
    assert_eq!(peer.asked().len(), 4);
}

#[test]
fn consumption_is_shown_when_asked_for() {
    let peer = Peer::start(|_| Answer::json(LIVE));
    let reading = open(json!({"serverIP": peer.url(), "showConsumption": true})).unwrap().read(&Stop::never()).unwrap();
    assert_eq!(reading.consumption.map(|watts| watts.get()), Some(200.5));
    assert_eq!(peer.count("/api/v1/smartpiac/livedata"), 1);
}

#[test]
fn refusals_tell_what_to_do() {
    for (answer, kind) in [
        (Answer::status(404), EmsErrorKind::Misconfigured),
        (Answer::status(500), EmsErrorKind::Retry),
        (Answer::status(429), EmsErrorKind::RateLimited),
        (Answer::html("<html>SmartPi</html>"), EmsErrorKind::Misconfigured),
        (Answer::json("{}"), EmsErrorKind::Garbled),
        (Answer::json(r#"{"datasets": []}"#), EmsErrorKind::Retry),
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
        (json!({"serverIP": "127.0.0.1", "serverPort": 0}), "serverPort"),
        (json!({"serverIP": "127.0.0.1", "showConsumption": "perhaps"}), "showConsumption"),
    ] {
        assert_eq!(open(values).err().unwrap(), [format!("sources.SmartPi.{key}")]);
    }
}
