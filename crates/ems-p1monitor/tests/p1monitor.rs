//! The driver against a web server on loopback.

#![allow(clippy::unwrap_used, reason = "helpers of tests count as tests")]

use ems::{Attribute, Ems, EmsErrorKind, Section, Shared, Stop};
use ems_p1monitor::DRIVER;
use recordings::{Answer, Peer};
use serde_json::{Value, json};

fn open(values: Value) -> Result<Box<dyn Ems>, Vec<String>> {
    let mut section = Section::new("sources.P1Monitor", values.as_object().unwrap().clone());
    let driver = (DRIVER.open)(&mut section, &Shared::new());
    driver.ok_or_else(|| section.problems().iter().map(|problem| problem.key.clone()).collect())
}

#[test]
fn phases_are_read_and_a_time_that_stands_still_ages() {
    let peer = Peer::start(|asked| {
        assert_eq!(asked.target, "/api/v1/phase?limit=3&json=object&round=on");
        Answer::json(
            r#"[{"TIMESTAMP_UTC": 1633130812, "CONSUMPTION_L1_W": 0.0, "PRODUCTION_L1_W": 900.0, "CONSUMPTION_L2_W": 100.0,
            "PRODUCTION_L2_W": 0.0, "CONSUMPTION_L3_W": 0.0, "PRODUCTION_L3_W": 0.0, "L1_A": 4.0, "L1_V": 231.0}]"#,
        )
    });
    let mut driver = open(json!({"serverIP": peer.url(), "samples": "3"})).unwrap();
    let first = driver.read(&Stop::never()).unwrap();
    assert_eq!(first.grid.map(|watts| watts.get()), Some(-800.0));
    assert_eq!(first.grid_current.l1.map(|amps| amps.get()), Some(-4.0));
    assert_eq!(first.attributes.get("wholeAmps"), Some(&Attribute::Flag(true)));
    assert_eq!(driver.read(&Stop::never()).unwrap().taken_at, first.taken_at);
}

#[test]
fn without_stored_phases_the_total_and_the_status_are_read() {
    let peer = Peer::start(|asked| match asked.path() {
        "/api/v1/smartmeter" => Answer::json(r#"[{"TIMESTAMP_UTC": 5, "CONSUMPTION_W": 935, "PRODUCTION_W": 0}]"#),
        "/api/v1/status" => {
            Answer::json(r#"[{"STATUS_ID": 74, "STATUS": "0.863"}, {"STATUS_ID": 77, "STATUS": "0.0"}]"#)
        }
        _ => Answer::json("[]"),
    });
    let reading = open(json!({"serverIP": peer.url()})).unwrap().read(&Stop::never()).unwrap();
    assert_eq!(reading.grid.map(|watts| watts.get()), Some(935.0));
    assert_eq!(reading.grid_power.l1.map(|watts| watts.get()), Some(863.0));
}

#[test]
fn refusals_tell_what_to_do() {
    for (answer, kind) in [
        (Answer::json("[]"), EmsErrorKind::Retry),
        (Answer::status(500), EmsErrorKind::Retry),
        (Answer::status(429), EmsErrorKind::RateLimited),
        (Answer::html("<html>P1</html>"), EmsErrorKind::Garbled),
        (Answer::json("{}"), EmsErrorKind::Garbled),
        (Answer::json(r#"[{"L1_A": true}]"#), EmsErrorKind::Garbled),
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
        (json!({"serverIP": "x.x.x.x"}), "serverIP"),
        (json!({"serverIP": "127.0.0.1", "samples": 11}), "samples"),
        (json!({"serverIP": "127.0.0.1", "samples": 1.5}), "samples"),
    ] {
        assert_eq!(open(values).err().unwrap(), [format!("sources.P1Monitor.{key}")]);
    }
}
