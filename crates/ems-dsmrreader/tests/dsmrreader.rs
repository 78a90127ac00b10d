//! The driver against a broker and a web server on loopback.

#![allow(clippy::unwrap_used, reason = "helpers of tests count as tests")]

use std::io::{Read, Write};
use std::net::TcpListener;
use std::thread::JoinHandle;

use ems::{Ems, EmsErrorKind, Section, Shared, Stop, StopHandle};
use ems_dsmrreader::DRIVER;
use recordings::{Answer, Peer};
use serde_json::{Value, json};

fn open(values: Value) -> Result<Box<dyn Ems>, Vec<String>> {
    let mut section = Section::new("sources.DSMRreader", values.as_object().unwrap().clone());
    let driver = (DRIVER.open)(&mut section, &Shared::new());
    driver.ok_or_else(|| section.problems().iter().map(|problem| problem.key.clone()).collect())
}

fn packet(stream: &mut impl Read) -> Option<(u8, Vec<u8>)> {
    let mut byte = [0];
    stream.read_exact(&mut byte).ok()?;
    let head = byte[0];
    let (mut length, mut shift) = (0, 0);
    loop {
        stream.read_exact(&mut byte).ok()?;
        length |= usize::from(byte[0] & 0x7f) << shift;
        shift += 7;
        if byte[0] < 0x80 {
            break;
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).ok()?;
    Some((head, body))
}

/// A broker for one client that, once subscribed to, publishes these: retained or not, and a payload.
fn broker(messages: Vec<(bool, String)>) -> (u16, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let thread = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        while let Some((head, body)) = packet(&mut stream) {
            let answer = match head >> 4 {
                1 => vec![0x20, 2, 0, 0],
                8 => {
                    let length = usize::from(u16::from_be_bytes([body[2], body[3]]));
                    let topic = &body[4..4 + length];
                    let mut answer = vec![0x90, 3, body[0], body[1], 0];
                    for (retained, payload) in &messages {
                        let length = 2 + topic.len() + payload.len();
                        answer.push(0x30 | u8::from(*retained));
                        answer.extend([u8::try_from(length % 128 + 128).unwrap(), u8::try_from(length / 128).unwrap()]);
                        answer.extend(u16::try_from(topic.len()).unwrap().to_be_bytes());
                        answer.extend(topic);
                        answer.extend(payload.as_bytes());
                    }
                    answer
                }
                12 => vec![0xD0, 0],
                14 => return,
                _ => continue,
            };
            if stream.write_all(&answer).is_err() {
                return;
            }
        }
    });
    (port, thread)
}

fn message(delivered: &str, timestamp: &str) -> String {
    json!({"timestamp": timestamp, "electricity_currently_delivered": delivered, "electricity_currently_returned": "0.000"})
        .to_string()
}

#[test]
fn live_messages_are_readings_and_kept_ones_are_not() {
    let (port, broker) = broker(vec![
        (true, message("9.000", "2024-01-01T00:00:00Z")),
        (false, message("0.247", "2024-11-06T08:30:15Z")),
    ]);
    let mut driver = open(json!({"brokerIP": "127.0.0.1", "brokerPort": port.to_string()})).unwrap();
    let reading = driver.read(&Stop::never()).unwrap();
    assert_eq!(reading.grid.map(|watts| watts.get()), Some(247.0));
    drop(driver);
    broker.join().unwrap();
}

#[test]
fn a_live_message_with_the_time_of_the_kept_one_is_as_old_as_that() {
    let old = message("9.000", "2024-01-01T00:00:00Z");
    let (port, broker) = broker(vec![(true, old.clone()), (false, old)]);
    let mut driver = open(json!({"brokerIP": "127.0.0.1", "brokerPort": port})).unwrap();
    let before = std::time::Instant::now();
    let reading = driver.read(&Stop::never()).unwrap();
    assert!(reading.taken_at >= before && reading.taken_at <= std::time::Instant::now());
    drop(driver);
    broker.join().unwrap();
}

#[test]
fn a_payload_that_is_something_else_is_an_error() {
    let (port, broker) = broker(vec![(false, "<html>".repeat(30))]);
    let mut driver = open(json!({"brokerIP": "127.0.0.1", "brokerPort": port})).unwrap();
    assert_eq!(driver.read(&Stop::never()).unwrap_err().kind(), EmsErrorKind::Garbled);
    drop(driver);
    broker.join().unwrap();
}

#[test]
fn a_waiting_driver_ends_when_asked() {
    let (port, broker) = broker(Vec::new());
    let mut driver = open(json!({"brokerIP": "127.0.0.1", "brokerPort": port})).unwrap();
    let handle = StopHandle::new();
    let stop = handle.stop();
    let thread = std::thread::spawn(move || driver.read(&stop).map_err(|error| error.kind()));
    handle.end();
    assert_eq!(thread.join().unwrap(), Err(EmsErrorKind::Stopped));
    broker.join().unwrap();
}

fn rest(peer: &Peer) -> Box<dyn Ems> {
    open(json!({"serverIP": peer.url(), "apiKey": "0123456789"})).unwrap()
}

#[test]
fn rest_is_asked_for_the_newest_reading() {
    let peer = Peer::start(|asked| {
        assert_eq!(asked.header("X-AUTHKEY"), Some("0123456789"));
        let reading = r#"{"timestamp": "2024-11-06T08:30:15Z", "electricity_currently_delivered": "0.000",
            "electricity_currently_returned": "1.812", "phase_currently_returned_l1": "1.812", "phase_currently_delivered_l1": "0",
            "phase_power_current_l1": 8}"#;
        Answer::json(format!(r#"{{"count": 1, "results": [{reading}]}}"#))
    });
    let mut driver = rest(&peer);
    let first = driver.read(&Stop::never()).unwrap();
    assert_eq!(first.grid.map(|watts| watts.get()), Some(-1812.0));
    assert_eq!(first.grid_current.l1.map(|amps| amps.get()), Some(-8.0));
    // The same reading again is no newer.
    assert_eq!(driver.read(&Stop::never()).unwrap().taken_at, first.taken_at);
}

#[test]
fn an_older_rest_interface_tells_the_sum() {
    let peer = Peer::start(|asked| match asked.path() {
        "/api/v2/consumption/electricity-live" => {
            Answer::json(r#"{"currently_delivered": 500, "currently_returned": 0}"#)
        }
        _ => Answer::status(404),
    });
    let mut driver = rest(&peer);
    for _ in 0..2 {
        assert_eq!(driver.read(&Stop::never()).unwrap().grid.map(|watts| watts.get()), Some(500.0));
    }
    assert_eq!(peer.count("/api/v2/datalogger/dsmrreading"), 1);
}

#[test]
fn refusals_tell_what_to_do() {
    for (answer, kind) in [
        (Answer::status(403), EmsErrorKind::Denied),
        (Answer::status(500), EmsErrorKind::Retry),
        (Answer::status(429).header("Retry-After: 60"), EmsErrorKind::RateLimited),
        (Answer::html("<html>login</html>"), EmsErrorKind::Garbled),
        (Answer::json(r#"{"results": []}"#), EmsErrorKind::Retry),
        (Answer::json("{}"), EmsErrorKind::Garbled),
    ] {
        let peer = Peer::start(move |_| answer.clone());
        let error = rest(&peer).read(&Stop::never()).unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
    }
}

#[test]
fn mistakes_are_named() {
    for (values, key) in [
        (json!({}), "brokerIP"),
        (json!({"brokerIP": "192.168.1.x.x.x.x"}), "brokerIP"),
        (json!({"brokerIP": "127.0.0.1", "topic": "a/#/b"}), "brokerIP"),
        (json!({"serverIP": "192.0.2.1"}), "apiKey"),
    ] {
        assert_eq!(open(values).err().unwrap(), [format!("sources.DSMRreader.{key}")]);
    }
}
