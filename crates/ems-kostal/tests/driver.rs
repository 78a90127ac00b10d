//! The driver against devices on loopback and against recordings.

#![allow(clippy::unwrap_used, reason = "helpers of tests count as tests")]

use ems::{Ems, EmsError, EmsErrorKind, Section, Shared, Stop, WireReading};
use ems_kostal::DRIVER;
use recordings::{Answer, ModbusPeer, Peer, Pymodbus, RegisterMap};
use serde_json::{Value, json};

fn open(values: Value) -> Box<dyn Ems> {
    let mut section = Section::new("sources.Kostal", values.as_object().cloned().unwrap());
    let driver = (DRIVER.open)(&mut section, &Shared::new());
    assert_eq!(section.problems(), []);
    driver.unwrap()
}

fn read(driver: &mut dyn Ems) -> Result<WireReading, EmsError> {
    driver.read(&Stop::never()).map(|reading| WireReading::from(&reading))
}

fn inverter(port: u16) -> Box<dyn Ems> {
    open(json!({"serverIP": "127.0.0.1", "modbusPort": port.to_string(), "unitID": "71"}))
}

fn registers(floats: &[(u16, f64)], words: &[(u16, u16)]) -> RegisterMap {
    let format = modbus::Format::new(modbus::Number::F32).low_word_first();
    let mut map: RegisterMap = words.iter().map(|(address, word)| ((71, 3, *address), *word)).collect();
    for (address, value) in floats {
        map.extend((*address..).zip(format.encode(*value).unwrap()).map(|(at, word)| ((71, 3, at), word)));
    }
    map
}

#[test]
fn recordings_read_right() {
    for recording in recordings::vendor("kostal") {
        let found = if recording.name().ends_with(".xml") {
            let body = recording.bytes();
            let peer = Peer::start(move |_| Answer {
                headers: vec!["Content-Type: text/xml".into()],
                ..Answer::html(body.clone())
            });
            let settings = json!({"serverIP": "127.0.0.1", "serverPort": peer.port(), "model": "pikoMP"});
            read(&mut *open(settings)).unwrap()
        } else {
            let file = recording.json();
            let unit = u8::try_from(file["unit_id"].as_u64().unwrap()).unwrap();
            let map: RegisterMap = file["holding_registers"]
                .as_object()
                .unwrap()
                .iter()
                .map(|(address, word)| {
                    ((unit, 3, address.parse().unwrap()), u16::try_from(word.as_u64().unwrap()).unwrap())
                })
                .collect();
            let peer = ModbusPeer::start(map);
            read(&mut *inverter(peer.port())).unwrap()
        };
        for (key, value) in [
            ("generation_w", found.generation_w),
            ("consumption_w", found.consumption_w),
            ("grid_w", found.grid_w),
            ("battery_w", found.battery_w),
            ("battery_soc", found.battery_soc),
            ("voltage_v", found.grid_volts.as_ref().and_then(|volts| volts[0])),
        ] {
            recording.assert_number(key, value);
        }
        recording.assert_numbers("grid_phase_w", &found.grid_phase_w.unwrap_or_default());
        recording.assert_numbers("grid_a", &found.grid_amps.unwrap_or_default());
        recording.assert_numbers("grid_v", &found.grid_volts.unwrap_or_default());
    }
}

fn day() -> RegisterMap {
    registers(
        &[
            (106, 0.0),
            (108, 0.0),
            (116, 800.0),
            (172, 3000.0),
            (252, -2200.0),
            (1066, 3100.0),
            (230, 230.0),
            (224, -2200.0),
            (222, 9.6),
        ],
        &[(5, 0), (56, 6), (588, 0), (1082, 3)],
    )
}

#[test]
fn an_inverter_that_goes_and_comes_back() {
    let peer = ModbusPeer::start(day());
    let mut driver = inverter(peer.port());
    let found = read(&mut *driver).unwrap();
    assert_eq!((found.generation_w, found.consumption_w, found.grid_w), (Some(3100.0), Some(800.0), Some(-2200.0)));
    assert_eq!((found.battery_w, found.battery_soc), (None, None));
    assert_eq!(found.grid_amps.unwrap()[0], Some(-9.6));
    peer.refuse(Some(6));
    assert_eq!(read(&mut *driver).unwrap_err().kind(), EmsErrorKind::Retry);
    peer.refuse(Some(2));
    let error = read(&mut *driver).unwrap_err();
    assert_eq!(error.kind(), EmsErrorKind::Misconfigured);
    assert!(error.to_string().contains("unitID"), "{error}");
    peer.refuse(None);
    assert_eq!(read(&mut *driver).unwrap().grid_w, Some(-2200.0));
    // What it lacks is not asked for at every reading.
    let before = peer.asked().len();
    read(&mut *driver).unwrap();
    let (first, second) = (peer.asked().len() - before, {
        let before = peer.asked().len();
        read(&mut *driver).unwrap();
        peer.asked().len() - before
    });
    assert_eq!(first, second);
}

#[test]
fn the_word_order_may_change_at_any_time() {
    let peer = ModbusPeer::start(day());
    let mut driver = inverter(peer.port());
    read(&mut *driver).unwrap();
    peer.set(71, 3, 5, 1);
    for ((unit, function, address), word) in registers(&[(1066, 3100.0)], &[]) {
        peer.set(unit, function, if address == 1066 { 1067 } else { 1066 }, word);
    }
    assert_eq!(read(&mut *driver).unwrap().generation_w, Some(3100.0));
}

#[test]
fn an_inverter_by_pymodbus() {
    let mut all: RegisterMap = day();
    // pymodbus has no gaps: what stands between is zero there.
    all.insert((71, 3, 1100), 0);
    if let Some(peer) = Pymodbus::start(&all) {
        let found = read(&mut *inverter(peer.port())).unwrap();
        assert_eq!((found.generation_w, found.consumption_w, found.grid_w), (Some(3100.0), Some(800.0), Some(-2200.0)));
    }
}

#[test]
fn a_piko_over_http() {
    let body = r#"{"dxsEntries":[{"dxsId":67109120,"value":1234.5},{"dxsId":33556736,"value":1290}]}"#;
    let peer = Peer::start(move |asked| match asked.path() {
        "/api/dxs.json" => Answer { headers: vec!["Content-Type: text/plain".into()], ..Answer::html(body) },
        _ => Answer::status(404),
    });
    let settings = json!({"serverIP": peer.url(), "model": "Piko"});
    let found = read(&mut *open(settings)).unwrap();
    assert_eq!((found.generation_w, found.grid_w), (Some(1234.5), None));
}

#[test]
fn web_pages_and_failures_are_no_readings() {
    for (model, answer) in [
        ("piko", Answer::html("<html>login</html>")),
        ("piko", Answer::json("{\"dxsEntries\":[")),
        ("piko", Answer::status(500)),
        ("pikoMP", Answer::html("<html><body>hello</body></html>")),
        ("pikoMP", Answer::status(401)),
        ("pikoMP", Answer::html("")),
    ] {
        let answer_again = answer.clone();
        let peer = Peer::start(move |_| answer_again.clone());
        let settings = json!({"serverIP": "127.0.0.1", "serverPort": peer.port(), "model": model});
        assert!(read(&mut *open(settings)).is_err(), "{model} {answer:?}");
    }
}

#[test]
fn wrong_settings_are_named() {
    for (values, key) in [
        (json!({}), "serverIP"),
        (json!({"serverIP": "192.168.1.x.x.x.x"}), "serverIP"),
        (json!({"serverIP": "192.0.2.7", "modbusPort": "x"}), "modbusPort"),
        (json!({"serverIP": "192.0.2.7", "unitID": 999}), "unitID"),
        (json!({"serverIP": "192.0.2.7", "model": "toaster"}), "model"),
        (json!({"serverIP": "192.0.2.7", "meterPosition": "cellar"}), "meterPosition"),
    ] {
        let mut section = Section::new("sources.Kostal", values.as_object().cloned().unwrap());
        assert!((DRIVER.open)(&mut section, &Shared::new()).is_none(), "{values}");
        assert_eq!(section.problems()[0].key, format!("sources.Kostal.{key}"));
    }
}
