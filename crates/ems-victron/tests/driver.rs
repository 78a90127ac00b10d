//! The driver against a device on loopback, a broker in the process, and recordings.

#![allow(clippy::unwrap_used, reason = "helpers of tests count as tests")]

use std::sync::mpsc;

use ems::{Ems, EmsError, EmsErrorKind, Section, Shared, Stop, StopHandle, WireReading};
use ems_victron::DRIVER;
use mqtt_link::Hub;
use mqtt_rig::{GENEROUS, broker, connect, expect, free_port, start};
use recordings::{ModbusPeer, Pymodbus, RegisterMap};
use serde_json::{Value, json};

fn open(values: Value) -> Box<dyn Ems> {
    let mut section = Section::new("sources.Victron", values.as_object().cloned().unwrap());
    let driver = (DRIVER.open)(&mut section, &Shared::new());
    assert_eq!(section.problems(), []);
    driver.unwrap()
}

fn read(driver: &mut dyn Ems) -> Result<WireReading, EmsError> {
    driver.read(&Stop::never()).map(|reading| WireReading::from(&reading))
}

fn registers(words: &[(u16, u16)]) -> RegisterMap {
    let mut map: RegisterMap = (808..=850).map(|address| ((100, 3, address), 0)).collect();
    map.extend(words.iter().map(|(address, word)| ((100, 3, *address), *word)));
    map
}

fn day() -> RegisterMap {
    registers(&[(811, 1850), (817, 640), (820, 65126), (826, 1), (840, 528), (842, 800), (843, 71)])
}

#[test]
fn recordings_read_right() {
    for recording in recordings::vendor("victron").into_iter().filter(|r| r.name().starts_with("gx")) {
        let file = recording.json();
        let listed: Vec<(u16, u16)> = file["registers"]
            .as_object()
            .unwrap()
            .iter()
            .map(|(address, word)| (address.parse().unwrap(), u16::try_from(word.as_u64().unwrap()).unwrap()))
            .collect();
        let mut lenient = registers(&listed);
        lenient.extend((851..930).map(|address| ((100, 3, address), 0)));
        let strict: RegisterMap = listed.iter().map(|(address, word)| ((100, 3, *address), *word)).collect();
        // Devices that know nothing beyond what is listed, that fill gaps with zeros, and that know all as zeros.
        for map in [strict, registers(&listed), lenient] {
            let peer = ModbusPeer::start(map);
            let found = read(&mut *open(json!({"serverIP": "127.0.0.1", "serverPort": peer.port()}))).unwrap();
            for (key, value) in [
                ("generation_w", found.generation_w),
                ("consumption_w", found.consumption_w),
                ("grid_w", found.grid_w),
                ("battery_w", found.battery_w),
                ("battery_soc", found.battery_soc),
            ] {
                recording.assert_number(key, value);
            }
        }
    }
}

#[test]
fn phases_from_the_grid_meters_unit() {
    let mut map = day();
    map.extend([(2600, 65126), (2601, 0), (2602, 0), (2616, 2305), (2617, 18)].map(|(at, word)| ((30, 3, at), word)));
    let peer = ModbusPeer::start(map);
    let settings = json!({"serverIP": "127.0.0.1", "serverPort": peer.port().to_string(), "gridMeterUnit": "30"});
    let found = read(&mut *open(settings)).unwrap();
    assert_eq!(found.grid_amps, Some(vec![Some(-1.8), None, None]));
    assert_eq!(found.grid_volts, Some(vec![Some(230.5), None, None]));
}

#[test]
fn own_register_lists_are_signed_and_the_old_defaults_are_not_taken_for_own() {
    let peer = ModbusPeer::start(day());
    let with = |generation: Value| {
        let settings = json!({"serverIP": "127.0.0.1", "serverPort": peer.port(), "generationRegisters": generation});
        read(&mut *open(settings)).unwrap().generation_w
    };
    assert_eq!(with(json!([[808, 100], [809, 100], [810, 100]])), Some(1850.0));
    assert_eq!(with(json!([["811", "100"], [817, 100]])), Some(2490.0));
    assert_eq!(with(json!([[811, 100], [9999, 100]])), None);
}

#[test]
fn a_device_that_is_gone_is_no_zero() {
    let peer = ModbusPeer::start(day());
    let mut driver = open(json!({"serverIP": "127.0.0.1", "serverPort": peer.port()}));
    for (exception, kind) in [(11, EmsErrorKind::Retry), (10, EmsErrorKind::Retry), (2, EmsErrorKind::Misconfigured)] {
        peer.refuse(Some(exception));
        assert_eq!(read(&mut *driver).unwrap_err().kind(), kind, "exception {exception}");
    }
    peer.refuse(None);
    assert_eq!(read(&mut *driver).unwrap().grid_w, Some(-410.0));
    for address in [811, 817, 820, 826, 840, 842, 843] {
        peer.set(100, 3, address, 0);
    }
    assert!(read(&mut *driver).unwrap_err().to_string().contains("zeros only"));
}

#[test]
fn a_device_by_pymodbus() {
    if let Some(peer) = Pymodbus::start(&day()) {
        let found = read(&mut *open(json!({"serverIP": "127.0.0.1", "serverPort": peer.port()}))).unwrap();
        assert_eq!((found.grid_w, found.battery_w), (Some(-410.0), Some(-800.0)));
    }
}

#[test]
fn the_device_publishes_as_long_as_somebody_listens() {
    let port = free_port();
    let _broker = start("mini", port);
    let hub = Hub::new();
    let device = connect(&hub, broker(port));
    let asked = device.subscribe(&["R/#"]).unwrap();
    let settings = json!({"serverIP": "127.0.0.1", "mqtt": {"port": port, "portalId": "c0ffee"}});
    let mut driver = open(settings);
    let (readings, arrived) = mpsc::channel();
    let stop = StopHandle::new();
    let watched = stop.stop();
    let thread = std::thread::spawn(move || {
        while let Ok(reading) = driver.read(&watched) {
            readings.send(WireReading::from(&reading)).unwrap();
        }
    });
    expect(&asked, "R/c0ffee/keepalive", "");
    let say = |path: &str, payload: &str| device.send(&format!("N/c0ffee/{path}"), payload).unwrap();
    say("system/0/Ac/Grid/L1/Power", r#"{"value":-412.5}"#);
    say("system/0/Ac/PvOnGrid/L1/Power", r#"{"value":1853}"#);
    say("system/0/Ac/PvOnGrid/L2/Power", r#"{"value":null}"#);
    say("system/0/Dc/Battery/Power", r#"{"value":798}"#);
    say("full_publish_completed", r#"{"value":1}"#);
    let wait = |wanted: &dyn Fn(&WireReading) -> bool| loop {
        let found = arrived.recv_timeout(GENEROUS).unwrap();
        if wanted(&found) {
            return found;
        }
    };
    let found = wait(&|reading| reading.battery_w.is_some());
    assert_eq!((found.grid_w, found.generation_w, found.battery_w), (Some(-412.5), Some(1853.0), Some(-798.0)));
    say("system/0/Ac/Grid/L1/Power", "");
    assert_eq!(wait(&|reading| reading.grid_w.is_none()).generation_w, Some(1853.0));
    stop.end();
    thread.join().unwrap();
}

#[test]
fn wrong_settings_are_named() {
    for (values, key) in [
        (json!({}), "serverIP"),
        (json!({"serverIP": "your.device"}), "serverIP"),
        (json!({"serverIP": "192.0.2.7", "unitID": -1}), "unitID"),
        (json!({"serverIP": "192.0.2.7", "consumptionRegisters": [817, 818]}), "consumptionRegisters"),
        (json!({"serverIP": "192.0.2.7", "generationRegisters": [[70000, 100]]}), "generationRegisters"),
        (json!({"serverIP": "192.0.2.7", "mqtt": [{}]}), "mqtt"),
        (json!({"serverIP": "192.0.2.7", "mqtt": {"port": 0}}), "mqtt.port"),
        (json!({"serverIP": "192.0.2.7", "mqtt": {"tls": true, "caFile": "/nowhere.pem"}}), "mqtt.caFile"),
    ] {
        let mut section = Section::new("sources.Victron", values.as_object().cloned().unwrap());
        assert!((DRIVER.open)(&mut section, &Shared::new()).is_none(), "{values}");
        assert_eq!(section.problems()[0].key, format!("sources.Victron.{key}"));
    }
}
