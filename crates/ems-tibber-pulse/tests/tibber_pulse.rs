//! The driver against a bridge on loopback.

#![allow(clippy::unwrap_used, reason = "helpers of tests count as tests")]

use ems::{Ems, EmsErrorKind, Section, Shared, Stop};
use ems_tibber_pulse::DRIVER;
use recordings::{Answer, Peer};
use serde_json::{Value, json};

fn open(values: Value) -> Result<Box<dyn Ems>, Vec<String>> {
    let mut section = Section::new("sources.TibberPulse", values.as_object().unwrap().clone());
    let driver = (DRIVER.open)(&mut section, &Shared::new());
    driver.ok_or_else(|| section.problems().iter().map(|problem| problem.key.clone()).collect())
}

fn at(peer: &Peer) -> Box<dyn Ems> {
    open(json!({"serverIP": peer.url(), "password": "AD56-54BA", "nodeId": "2"})).unwrap()
}

const TELEGRAM: &str =
    "/EBZ5DD3BZ06ETA_107\r\n\r\n1-0:16.7.0*255(-000123.40*W)\r\n1-0:36.7.0*255(-000123.40*W)\r\n!\r\n";

#[test]
fn what_the_bridge_passes_on_is_read_and_a_repetition_is_no_newer() {
    let peer = Peer::start(|asked| {
        assert_eq!(asked.target, "/data.json?node_id=2");
        assert_eq!(asked.header("authorization"), Some("Basic YWRtaW46QUQ1Ni01NEJB"));
        Answer { headers: Vec::new(), ..Answer::json(TELEGRAM) }
    });
    let mut driver = at(&peer);
    let first = driver.read(&Stop::never()).unwrap();
    assert_eq!(first.grid.map(|watts| watts.get()), Some(-123.4));
    assert_eq!(driver.read(&Stop::never()).unwrap().taken_at, first.taken_at);
}

#[test]
fn refusals_tell_what_to_do() {
    for (answer, kind, words) in [
        (Answer::status(401), EmsErrorKind::Denied, "printed"),
        (Answer::status(404), EmsErrorKind::Misconfigured, "nodeId"),
        (Answer::status(500), EmsErrorKind::Retry, ""),
        (Answer::status(200), EmsErrorKind::Retry, "battery"),
        (Answer::html("<html>Tibber Bridge</html>"), EmsErrorKind::Garbled, "web page"),
        (Answer::json("{}"), EmsErrorKind::Garbled, "nodeId"),
        (Answer::json("/A\r\n\r\n1-0:1.8.0*255(5*kWh)\r\n!\r\n"), EmsErrorKind::Misconfigured, "PIN"),
    ] {
        let peer = Peer::start(move |_| answer.clone());
        let error = at(&peer).read(&Stop::never()).unwrap_err();
        assert!(error.kind() == kind && error.to_string().contains(words), "{error}");
    }
}

#[test]
fn mistakes_are_named() {
    for (values, key) in [
        (json!({"password": "p"}), "serverIP"),
        (json!({"serverIP": "127.0.0.1"}), "password"),
        (json!({"serverIP": "127.0.0.1", "password": "p", "nodeId": 1.5}), "nodeId"),
        (json!({"serverIP": "127.0.0.1", "password": "p", "role": "x"}), "role"),
    ] {
        assert_eq!(open(values).err().unwrap(), [format!("sources.TibberPulse.{key}")]);
    }
}
