//! The driver against devices on loopback (one of this project, one of pymodbus), and against recordings.

#![allow(clippy::unwrap_used, reason = "helpers of tests count as tests")]

use ems::{Ems, EmsError, EmsErrorKind, EmsReading, ProblemLevel, Section, Shared, Stop, WireReading};
use ems_modbus::DRIVER;
use recordings::{ModbusPeer, Pymodbus, RegisterMap, exchanged};
use serde_json::{Value, json};

fn section(values: Value) -> Section {
    Section::new("sources.Modbus", values.as_object().cloned().unwrap())
}

fn open(values: Value) -> Box<dyn Ems> {
    let mut section = section(values);
    let driver = (DRIVER.open)(&mut section, &Shared::new());
    assert_eq!(section.problems(), []);
    driver.unwrap()
}

fn on(peer: &ModbusPeer, mut values: Value) -> Box<dyn Ems> {
    values["host"] = json!("127.0.0.1");
    values["port"] = json!(peer.port().to_string());
    open(values)
}

fn read(driver: &mut dyn Ems) -> Result<WireReading, EmsError> {
    driver.read(&Stop::never()).map(|reading: EmsReading| WireReading::from(&reading))
}

/// Registers of floats and words for one unit.
fn floats(function: u8, values: &[(u16, f32)]) -> RegisterMap {
    let mut map = RegisterMap::new();
    for (address, value) in values {
        let [a, b, c, d] = value.to_be_bytes();
        map.insert((1, function, *address), u16::from_be_bytes([a, b]));
        map.insert((1, function, address + 1), u16::from_be_bytes([c, d]));
    }
    map
}

fn words(function: u8, start: u16, words: &[u16]) -> RegisterMap {
    (start..).zip(words).map(|(address, word)| ((1, function, address), *word)).collect()
}

fn sdm630() -> RegisterMap {
    let values = [
        (0x00, 230.0),
        (0x02, 231.0),
        (0x04, 229.0),
        (0x06, 2.0),
        (0x08, 3.0),
        (0x0a, 10.0),
        (0x0c, 460.0),
        (0x0e, -690.0),
        (0x10, -2270.0),
        (0x34, -2500.0),
    ];
    floats(4, &values)
}

#[test]
fn recordings_read_right() {
    for recording in recordings::vendor("modbus-meter") {
        let registers = exchanged(&recording.json());
        let preset = match recording.text_at(&["model"]) {
            model if model.contains("SunSpec") => "sunspec",
            model if model.contains("EM24") => "EM24",
            _ => "SDM630",
        };
        let mut registers_at_hand = registers.clone();
        let is_one_model = preset == "sunspec" && !registers.contains_key(&(1, 3, 40000));
        if is_one_model {
            // Only the meter's model was recorded: the mark and an empty model 1 before it.
            let mut head = vec![0x5375, 0x6e53, 1, 66];
            head.resize(70, 0);
            registers_at_hand.extend(words(3, 40000, &head));
        }
        let peer = ModbusPeer::start(registers_at_hand);
        let result = read(&mut *on(&peer, json!({"preset": preset})));
        let expected = recording.expected();
        match expected.get("status").and_then(Value::as_str) {
            Some("error") => {
                let error = result.unwrap_err();
                assert_eq!(error.kind(), EmsErrorKind::Misconfigured, "{error}");
                assert!(error.to_string().contains("preset"), "{error}");
            }
            _ if expected.get("models").is_some() => {
                // No meter and no inverter in it: said with the models that were found.
                let error = result.unwrap_err().to_string();
                for model in expected["models"].as_array().unwrap() {
                    assert!(error.contains(&model["id"].to_string()), "{error}");
                }
            }
            _ if expected.get("voltage_l1").is_some() => {
                // A single register is no reading; its value is right nevertheless.
                assert!(result.is_err());
                let own = json!([{"role": "gridVoltage", "address": 0, "kind": "input", "type": "f32", "phase": 1},
                                 {"role": "grid", "address": 0, "kind": "input", "type": "f32"}]);
                let found = read(&mut *on(&peer, json!({"registers": own}))).unwrap();
                recording.assert_number("voltage_l1", found.grid_volts.unwrap()[0]);
            }
            _ => {
                let found = result.unwrap();
                recording.assert_number("grid_w", found.grid_w);
                recording.assert_number("consumption_w", found.consumption_w);
                recording.assert_number("generation_w", found.generation_w);
                let phases = expected["phases"].as_array().cloned().unwrap_or_default();
                for (at, phase) in phases.iter().enumerate() {
                    let pick = |list: &Option<Vec<Option<f64>>>| list.clone().unwrap()[at];
                    for (key, value) in [("w", &found.grid_phase_w), ("a", &found.grid_amps), ("v", &found.grid_volts)]
                    {
                        let difference = (pick(value).unwrap() - phase[key].as_f64().unwrap()).abs();
                        assert!(difference < 0.06, "{}: {key} of phase {at}", recording.name());
                    }
                }
            }
        }
    }
}

#[test]
fn a_meter_by_preset_in_few_requests() {
    let peer = ModbusPeer::start(sdm630());
    let mut driver = on(&peer, json!({"preset": "SDM630", "unitID": "1"}));
    let found = read(&mut *driver).unwrap();
    assert_eq!((found.grid_w, found.consumption_w, found.generation_w), (Some(-2500.0), Some(0.0), Some(2500.0)));
    assert_eq!(found.grid_amps, Some(vec![Some(2.0), Some(-3.0), Some(-10.0)]));
    assert_eq!(peer.asked(), [(1, 4, 0, 18), (1, 4, 0x34, 2)]);
    let inverted = read(&mut *on(&peer, json!({"preset": "SDM630", "invert": true}))).unwrap();
    assert_eq!((inverted.grid_w, inverted.grid_amps.unwrap()[2]), (Some(2500.0), Some(10.0)));
}

#[test]
fn every_preset_reads_its_own_registers_and_no_zero_out_of_nothing() {
    for preset in ems_modbus::PRESETS {
        let channels = preset.channels(ems_modbus::Role::Grid, 0, 1.0);
        let mut registers = RegisterMap::new();
        for channel in &channels {
            let value = match channel.role {
                ems_modbus::Role::GridVoltage => 230.0,
                ems_modbus::Role::GridCurrent => 5.0,
                _ => -1000.0,
            };
            let function = if channel.table == modbus::Table::Input { 4 } else { 3 };
            registers.extend(words(function, channel.address, &channel.format.encode(value).unwrap()));
        }
        let peer = ModbusPeer::start(registers);
        let found = read(&mut *on(&peer, json!({"preset": preset.names[0]}))).unwrap();
        let expected =
            if channels.iter().any(|c| c.phase.is_none()) || preset.is_single_phase() { -1000.0 } else { -3000.0 };
        assert!((found.grid_w.unwrap() - expected).abs() < 0.1, "{}", preset.names[0]);
        if let Some(amps) = found.grid_amps {
            assert!((amps[0].unwrap() + 5.0).abs() < 0.01, "{}", preset.names[0]);
        }
    }
}

#[test]
fn own_registers_of_a_hybrid_inverter() {
    let mut registers = words(3, 100, &[0x1f40, 0x0000, 0xfe0c, 640]);
    registers.extend(words(4, 7, &[0x0000, 0x44fa]));
    let peer = ModbusPeer::start(registers);
    let own = json!([
        {"role": "generation", "address": "0x07", "kind": "input", "type": "float32", "wordOrder": "little"},
        {"role": "battery", "address": 102, "kind": "holding", "type": "i16", "scale": -1},
        {"role": "batterySoc", "address": "103", "type": "u16", "scale": 0.1},
        {"role": "grid", "address": 100, "type": "i16", "scale": "0.1", "phase": 1},
    ]);
    let found = read(&mut *on(&peer, json!({"registers": own}))).unwrap();
    assert_eq!((found.generation_w, found.consumption_w), (Some(2000.0), None));
    assert_eq!((found.battery_w, found.battery_soc), (Some(500.0), Some(64.0)));
    assert_eq!((found.grid_w, found.grid_phase_w), (Some(800.0), Some(vec![Some(800.0), None, None])));
}

#[test]
fn a_silent_or_wrong_device_is_no_zero_and_comes_back() {
    let peer = ModbusPeer::start(sdm630());
    let mut driver = on(&peer, json!({"preset": "SDM630"}));
    for (exception, kind) in [(11, EmsErrorKind::Retry), (6, EmsErrorKind::Retry), (1, EmsErrorKind::Misconfigured)] {
        peer.refuse(Some(exception));
        assert_eq!(read(&mut *driver).unwrap_err().kind(), kind, "exception {exception}");
    }
    peer.refuse(None);
    assert_eq!(read(&mut *driver).unwrap().grid_w, Some(-2500.0));
    // NaN instead of the total: the phases make it.
    peer.set(1, 4, 0x34, 0x7fc0);
    assert_eq!(read(&mut *driver).unwrap().grid_w, Some(-2500.0));
    for address in [0x0c, 0x0e, 0x10] {
        peer.set(1, 4, address, 0x7fc0);
    }
    assert_eq!(read(&mut *driver).unwrap_err().kind(), EmsErrorKind::Retry);
    let mut other = on(&peer, json!({"preset": "SDM630", "unitID": 9}));
    assert!(read(&mut *other).unwrap_err().to_string().contains("unit"));
}

fn sunspec(maker: &str, watts: i16) -> RegisterMap {
    let mut all = vec![0x5375, 0x6e53, 1, 66];
    let mut text = maker.as_bytes().to_vec();
    text.resize(132, 0);
    all.extend(text.chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]])));
    let mut meter = vec![0x8000; 107];
    (meter[0], meter[1], meter[18], meter[22]) = (203, 105, i16::cast_unsigned(watts), 0);
    all.extend(meter);
    all.extend([0xffff, 0]);
    words(3, 40000, &all)
}

#[test]
fn makers_that_count_export_positive_are_turned_unless_told() {
    for (maker, settings, expected) in [
        ("Fronius", json!({}), 700.0),
        ("SolarEdge ", json!({}), -700.0),
        ("SolarEdge ", json!({"invert": false}), 700.0),
        ("Fronius", json!({"invert": "yes"}), -700.0),
    ] {
        let peer = ModbusPeer::start(sunspec(maker, 700));
        let mut settings = settings;
        settings["preset"] = json!("SunSpec");
        let mut driver = on(&peer, settings);
        for _ in 0..2 {
            assert_eq!(read(&mut *driver).unwrap().grid_w, Some(expected), "{maker}");
        }
        // The models are looked for once.
        assert_eq!(peer.asked().iter().filter(|asked| asked.2 == 40000).count(), 1);
    }
}

#[test]
fn a_device_without_sunspec_or_without_a_meter_is_told() {
    let peer = ModbusPeer::start(words(3, 0, &[1, 2, 3]));
    assert!(read(&mut *on(&peer, json!({"preset": "sunspec"}))).unwrap_err().to_string().contains("no SunSpec"));
    let peer = ModbusPeer::start(sunspec("X", 1));
    let error = read(&mut *on(&peer, json!({"preset": "sunspec", "meterNumber": 2}))).unwrap_err();
    assert!(error.to_string().contains("203"), "{error}");
}

#[test]
fn what_was_recorded_can_be_read_without_the_meter() {
    let folder = tempfile::tempdir().unwrap();
    let read_with = |tap: ems_http::Tap, port: u16| {
        let shared = Shared::new();
        shared.put(std::sync::Arc::new(tap));
        let mut section = section(json!({"host": "127.0.0.1", "port": port, "preset": "SDM630"}));
        read(&mut *(DRIVER.open)(&mut section, &shared).unwrap())
    };
    let peer = ModbusPeer::start(sdm630());
    let live = read_with(ems_http::Tap::record(folder.path()), peer.port()).unwrap();
    drop(peer);
    assert_eq!(read_with(ems_http::Tap::replay(folder.path()), 9), Ok(live));
}

#[test]
fn wrong_settings_are_named() {
    for (values, key) in [
        (json!({}), "host"),
        (json!({"host": "192.0.2.7"}), "preset"),
        (json!({"host": "192.0.2.7", "serialPort": "/dev/ttyUSB0", "preset": "SDM630"}), "serialPort"),
        (json!({"host": "x.x.x.x", "preset": "SDM630"}), "host"),
        (json!({"host": "192.0.2.7", "preset": "SDM999"}), "preset"),
        (json!({"host": "192.0.2.7", "preset": "SDM630", "unitID": 300}), "unitID"),
        (json!({"host": "192.0.2.7", "preset": "SDM630", "role": "heating"}), "role"),
        (json!({"host": "192.0.2.7", "preset": "SDM120", "phase": 4}), "phase"),
        (json!({"serialPort": "/dev/ttyUSB0", "baudrate": 300, "preset": "SDM630"}), "baudrate"),
        (json!({"serialPort": "/dev/ttyUSB0", "parity": "mark", "preset": "SDM630"}), "parity"),
        (json!({"host": "h", "registers": [{"role": "grid", "address": 1, "type": "u8"}]}), "registers[0].type"),
        (json!({"host": "h", "registers": [{"role": "gird", "address": 1, "type": "u16"}]}), "registers[0].role"),
        (json!({"host": "h", "registers": {"role": "grid", "address": 70000, "type": "u16"}}), "registers.address"),
        (json!({"host": "h", "registers": {"role": "grid", "address": 65535, "type": "f32"}}), "registers.address"),
        (json!({"host": "h", "registers": {"role": "gridCurrent", "address": 1, "type": "u16"}}), "registers.phase"),
        (
            json!({"host": "h", "registers": {"role": "grid", "address": 1, "type": "u16", "scale": 0}}),
            "registers.scale",
        ),
        (
            json!({"host": "h", "registers": {"role": "grid", "address": 1, "type": "u16", "kind": "coil"}}),
            "registers.kind",
        ),
    ] {
        let mut section = section(values.clone());
        assert!((DRIVER.open)(&mut section, &Shared::new()).is_none(), "{values}");
        let errors: Vec<_> = section.problems().iter().filter(|p| p.level == ProblemLevel::Error).collect();
        assert_eq!(errors.len(), 1, "{errors:?}");
        assert_eq!(errors[0].key, format!("sources.Modbus.{key}"), "{values}");
    }
}

#[test]
fn a_meter_by_pymodbus() {
    if let Some(peer) = Pymodbus::start(&sdm630()) {
        let mut driver = open(json!({"host": "127.0.0.1", "port": peer.port(), "preset": "SDM630", "timeout": 20}));
        let found = read(&mut *driver).unwrap();
        assert_eq!((found.grid_w, found.grid_amps.unwrap()[1]), (Some(-2500.0), Some(-3.0)));
    }
    if let Some(peer) = Pymodbus::start(&sunspec("SolarEdge ", 700)) {
        let mut driver = open(json!({"host": "127.0.0.1", "port": peer.port(), "preset": "sunspec", "timeout": 20}));
        assert_eq!(read(&mut *driver).unwrap().grid_w, Some(-700.0));
    }
}

proptest::proptest! {
    #[test]
    fn any_registers_give_sane_numbers_or_an_error(start in 0u16..20, content in proptest::collection::vec(proptest::prelude::any::<u16>(), 1..60)) {
        let map = words(4, start, &content);
        let text: String = map.iter().map(|((_, _, address), word)| format!("1 input {address}: {word:04x}\n")).collect();
        let registers: modbus::Registers = text.parse().unwrap();
        let mut section = section(json!({}));
        let target = modbus::Target::Registers(registers.into());
        let mut device = ems_registers::Device::open(&mut section, &Shared::new(), target, 1, "host", 1.0).unwrap();
        for preset in ems_modbus::PRESETS {
            let channels = preset.channels(ems_modbus::Role::Grid, 0, 1.0);
            let mut plan = ems_registers::Plan::new(channels.iter().map(|c| (c.table, c.address, c.format)));
            let image = plan.read(&mut device).unwrap();
            let found = ems_modbus::reading(&channels, &image).unwrap();
            proptest::prop_assert!(found.grid_w.is_none_or(|watts| watts.abs() <= 3e6));
            proptest::prop_assert!(found.into_reading(std::time::Instant::now()).is_ok());
        }
    }
}
