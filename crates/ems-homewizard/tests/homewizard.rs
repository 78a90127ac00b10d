//! The driver against a device on loopback.

#![allow(clippy::unwrap_used, reason = "helpers of tests count as tests")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use ems::{Ems, EmsErrorKind, Section, Shared, Stop};
use ems_homewizard::DRIVER;
use recordings::{Answer, Peer};
use serde_json::{Value, json};

fn open_shared(values: Value, shared: &Shared) -> Result<Box<dyn Ems>, Vec<String>> {
    let mut section = Section::new("sources.HomeWizard", values.as_object().unwrap().clone());
    let driver = (DRIVER.open)(&mut section, shared);
    driver.ok_or_else(|| section.problems().iter().map(|problem| problem.key.clone()).collect())
}

fn open(values: Value) -> Box<dyn Ems> {
    open_shared(values, &Shared::new()).unwrap()
}

fn p1(power: &'static str) -> impl Fn(&recordings::Asked) -> Answer {
    move |asked| match asked.path() {
        "/api" => Answer::json(r#"{"product_type": "HWE-P1", "api_version": "v1"}"#),
        "/api/v1/data" => Answer::json(power),
        _ => Answer::status(404),
    }
}

#[test]
fn a_p1_meter_is_read_and_asked_once_what_it_is() {
    let peer = Peer::start(p1(r#"{"active_power_w": -543, "active_power_l1_w": -676, "active_current_l1_a": 3}"#));
    let mut driver = open(json!({"serverIP": "127.0.0.1", "serverPort": peer.port().to_string()}));
    for _ in 0..3 {
        let reading = driver.read(&Stop::never()).unwrap();
        assert_eq!(reading.grid.map(|watts| watts.get()), Some(-543.0));
        assert_eq!(reading.grid_current.l1.map(|amps| amps.get()), Some(-3.0));
    }
    assert_eq!((peer.count("/api"), peer.count("/api/v1/data")), (1, 3));
}

#[test]
fn another_device_needs_a_role() {
    let answers = |asked: &recordings::Asked| match asked.path() {
        "/api" => Answer::json(r#"{"product_type": "SDM230-wifi"}"#),
        _ => Answer::json(r#"{"active_power_w": -45.2, "active_voltage_v": 228, "active_current_a": 0.2}"#),
    };
    let peer = Peer::start(answers);
    let error = open(json!({"serverIP": peer.url()})).read(&Stop::never()).unwrap_err();
    assert!(error.to_string().contains("role") && error.kind() == EmsErrorKind::Misconfigured, "{error}");
    let reading = open(json!({"serverIP": peer.url(), "role": "generation"})).read(&Stop::never()).unwrap();
    assert_eq!(reading.generation.map(|watts| watts.get()), Some(45.2));
    assert_eq!((reading.grid, reading.consumption, reading.grid_current.is_known()), (None, None, false));
}

#[test]
fn version_2_pairs_once_and_knows_batteries() {
    let asked_for_token = Arc::new(AtomicUsize::new(0));
    let tries = Arc::clone(&asked_for_token);
    let peer = Peer::start(move |asked| match (asked.path(), asked.header("authorization")) {
        ("/api/user", _) if tries.fetch_add(1, Ordering::SeqCst) == 0 => {
            Answer { status: 403, ..Answer::json(r#"{"error": "user:creation-not-enabled"}"#) }
        }
        ("/api/user", _) => {
            Answer::json(r#"{"token": "00112233445566778899AABBCCDDEEFF", "name": "local/twcmanager"}"#)
        }
        (_, Some("Bearer 00112233445566778899AABBCCDDEEFF")) if asked.header("X-Api-Version") == Some("2") => {
            match asked.path() {
                "/api" => Answer::json(r#"{"product_type": "HWE-P1"}"#),
                "/api/measurement" => Answer::json(r#"{"power_w": 5, "timestamp": "2024-06-28T14:12:34"}"#),
                "/api/batteries" => Answer::json(r#"{"battery_count": 2, "power_w": 1599}"#),
                _ => Answer::status(404),
            }
        }
        _ => Answer { status: 401, ..Answer::json(r#"{"error": "user:unauthorized"}"#) },
    });
    let shared = Shared::new();
    let values = json!({"serverIP": peer.url(), "apiVersion": 2});
    let mut driver = open_shared(values.clone(), &shared).unwrap();
    let first = driver.read(&Stop::never()).unwrap();
    assert_eq!(first.battery.map(|watts| watts.get()), Some(-1599.0));
    assert_eq!(first.grid.map(|watts| watts.get()), Some(5.0));
    // The meter's time stands still, so the values are no newer.
    assert_eq!(driver.read(&Stop::never()).unwrap().taken_at, first.taken_at);
    // Started again, it still has the token.
    open_shared(values, &shared).unwrap().read(&Stop::never()).unwrap();
    assert_eq!(asked_for_token.load(Ordering::SeqCst), 2);
    // A kept token that was revoked is thrown away.
    shared.get::<ems_http::Keep>().save("sources.HomeWizard", json!("old"));
    let mut driver = open_shared(json!({"serverIP": peer.url(), "apiVersion": 2}), &shared).unwrap();
    assert_eq!(driver.read(&Stop::never()).unwrap_err().kind(), EmsErrorKind::Retry);
    driver.read(&Stop::never()).unwrap();
    assert_eq!(asked_for_token.load(Ordering::SeqCst), 3);
    let error = open(json!({"serverIP": peer.url(), "token": "wrong"})).read(&Stop::never()).unwrap_err();
    assert_eq!(error.kind(), EmsErrorKind::Denied);
    assert!(!error.to_string().contains("wrong"), "{error}");
}

#[test]
fn refusals_tell_what_to_do() {
    for (answer, kind, words) in [
        (Answer::status(403), EmsErrorKind::Misconfigured, "Local API"),
        (Answer::status(404), EmsErrorKind::Misconfigured, "apiVersion"),
        (Answer::status(500), EmsErrorKind::Retry, ""),
        (Answer::status(429), EmsErrorKind::RateLimited, ""),
        (Answer::html("<html>hello</html>"), EmsErrorKind::Garbled, ""),
        (Answer::json(r#"{"active_power_w": 1"#), EmsErrorKind::Retry, "too early"),
        (Answer::json(r#"{"active_power_w": 1e308}"#), EmsErrorKind::Garbled, "active_power_w"),
    ] {
        let peer = Peer::start(move |_| answer.clone());
        let error = open(json!({"serverIP": peer.url()})).read(&Stop::never()).unwrap_err();
        assert!(error.kind() == kind && error.to_string().contains(words), "{error}");
    }
}

#[test]
fn mistakes_are_named() {
    for (values, key) in [
        (json!({}), "serverIP"),
        (json!({"serverIP": "x.x.x.x"}), "serverIP"),
        (json!({"serverIP": "127.0.0.1", "role": "cellar"}), "role"),
        (json!({"serverIP": "127.0.0.1", "apiVersion": 3}), "apiVersion"),
        (json!({"serverIP": "127.0.0.1", "apiVersion": 2, "tlsFingerprint": "ab"}), "tlsFingerprint"),
    ] {
        let problems = open_shared(values, &Shared::new()).err().unwrap();
        assert_eq!(problems, [format!("sources.HomeWizard.{key}")]);
    }
}
