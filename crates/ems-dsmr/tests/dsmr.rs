//! The driver against gateways on loopback and a serial line, and beside an independent parser where there is one.

#![allow(clippy::unwrap_used, reason = "helpers of tests count as tests")]

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use aes_gcm::aead::consts::U12;
use aes_gcm::aead::{Aead, KeyInit, Payload};
use aes_gcm::aes::Aes128;
use aes_gcm::{AesGcm, Key, Nonce};
use ems::{Attribute, Ems, EmsErrorKind, EmsReading, Section, Shared, Stop, StopHandle, WireReading};
use ems_dsmr::DRIVER;
use recordings::{Answer, Peer};
use serde_json::{Value, json};

const KEY: &str = "0123456789ABCDEF0123456789ABCDEF";

fn crc(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc: u16, byte| {
        (0..8).fold(crc ^ u16::from(*byte), |crc, _| if crc & 1 == 1 { (crc >> 1) ^ 0xA001 } else { crc >> 1 })
    })
}

/// A telegram with a good checksum, or none.
fn telegram(lines: &[&str], has_checksum: bool) -> Vec<u8> {
    let body = format!("/XYZ5\\2METER-1\r\n\r\n{}\r\n!", lines.join("\r\n"));
    let end = if has_checksum { format!("{:04X}\r\n", crc(body.as_bytes())) } else { "\r\n".to_owned() };
    [body.as_bytes(), end.as_bytes()].concat()
}

fn dutch(import: &str, export: &str) -> Vec<u8> {
    let (import, export) = (format!("1-0:1.7.0({import}*kW)"), format!("1-0:2.7.0({export}*kW)"));
    let lines = [
        "1-3:0.2.8(50)",
        "0-0:1.0.0(260604130000S)",
        "0-0:96.1.1(3030303030303030)",
        "1-0:1.8.1(000004.426*kWh)",
        "1-0:1.8.2(000002.399*kWh)",
        "1-0:2.8.1(000002.444*kWh)",
        "1-0:2.8.2(000000.000*kWh)",
        "0-0:96.14.0(0002)",
        &import,
        &export,
        "1-0:32.7.0(230.1*V)",
        "1-0:52.7.0(231.2*V)",
        "1-0:72.7.0(229.3*V)",
        "1-0:31.7.0(005*A)",
        "1-0:51.7.0(001*A)",
        "1-0:71.7.0(000*A)",
        "1-0:21.7.0(01.170*kW)",
        "1-0:41.7.0(00.000*kW)",
        "1-0:61.7.0(00.010*kW)",
        "1-0:22.7.0(00.000*kW)",
        "1-0:42.7.0(00.250*kW)",
        "1-0:62.7.0(00.000*kW)",
    ];
    telegram(&lines, true)
}

/// What a meter in Luxembourg puts around a telegram.
fn sealed(plain: &[u8]) -> Vec<u8> {
    let key: Vec<u8> = (0..16).map(|at| u8::from_str_radix(&KEY[at * 2..at * 2 + 2], 16).unwrap()).collect();
    let key = Key::<AesGcm<Aes128, U12, U12>>::try_from(key.as_slice()).unwrap();
    let (title, counter) = (*b"SAG12345", [0, 0, 0, 7]);
    let nonce: [u8; 12] = [title.as_slice(), &counter].concat().try_into().unwrap();
    let aad: Vec<u8> = std::iter::once(0x30).chain((0..16).map(|n| n * 0x11)).collect();
    let body = AesGcm::<Aes128, U12, U12>::new(&key)
        .encrypt(&Nonce::<U12>::from(nonce), Payload { msg: plain, aad: &aad })
        .unwrap();
    let length = u16::try_from(5 + body.len()).unwrap().to_be_bytes();
    [&[0xDB, 0x08], title.as_slice(), &[0x82], &length, &[0x30], &counter, &body].concat()
}

/// A gateway that sends its bytes to every client, in small pieces, and closes or stays silent afterwards.
struct Gateway {
    port: u16,
    clients: Arc<AtomicUsize>,
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Gateway {
    fn start(bytes: Vec<u8>, closes: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (clients, is_over) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
        let (count, over) = (Arc::clone(&clients), Arc::clone(&is_over));
        let thread = std::thread::spawn(move || {
            let mut open = Vec::new();
            for mut stream in listener.incoming().flatten() {
                if over.load(Ordering::SeqCst) {
                    return;
                }
                count.fetch_add(1, Ordering::SeqCst);
                // A client that is gone already is no concern of the gateway's.
                let _ = bytes.chunks(100).try_for_each(|piece| stream.write_all(piece));
                if !closes {
                    open.push(stream);
                }
            }
        });
        Gateway { port, clients, is_over, thread: Some(thread) }
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::SeqCst);
        drop(TcpStream::connect(("127.0.0.1", self.port)));
        drop(self.thread.take().map(JoinHandle::join));
    }
}

fn open(values: Value) -> Box<dyn Ems> {
    let mut section = Section::new("sources.DSMR", values.as_object().unwrap().clone());
    let driver = (DRIVER.open)(&mut section, &Shared::new());
    driver.unwrap_or_else(|| panic!("{:?}", section.problems()))
}

fn open_at(gateway: &Gateway) -> Box<dyn Ems> {
    open(json!({"host": "127.0.0.1", "port": gateway.port}))
}

fn watts(reading: &EmsReading) -> Option<f64> {
    reading.grid.map(|watts| watts.get())
}

#[test]
fn a_stream_with_noise_and_damage_gives_the_good_telegram() {
    let good = dutch("00.930", "00.000");
    let mut damaged = dutch("09.930", "00.000");
    damaged[60] ^= 4;
    let gateway = Gateway::start([&good[200..], &damaged, b"\xFF\xFF", &good].concat(), false);
    let reading = open_at(&gateway).read(&Stop::never()).unwrap();
    let wire = WireReading::from(&reading);
    assert_eq!((wire.grid_w, wire.consumption_w, wire.generation_w), (Some(930.0), Some(930.0), Some(0.0)));
    assert_eq!(wire.grid_amps, Some(vec![Some(5.0), Some(-1.0), Some(0.0)]));
    assert_eq!(wire.grid_volts, Some(vec![Some(230.1), Some(231.2), Some(229.3)]));
    assert_eq!(wire.attributes.get("wholeAmps"), Some(&Attribute::Flag(true)));
    assert_eq!(wire.attributes.get("gridOnly"), Some(&Attribute::Flag(true)));
}

#[test]
fn a_gateway_that_closes_is_said_and_connected_to_again() {
    let gateway = Gateway::start(dutch("00.000", "02.450"), true);
    let mut driver = open_at(&gateway);
    assert_eq!(watts(&driver.read(&Stop::never()).unwrap()), Some(-2450.0));
    let error = driver.read(&Stop::never()).unwrap_err();
    assert!(error.to_string().contains("closed") && error.kind() == EmsErrorKind::Retry, "{error}");
    assert_eq!(watts(&driver.read(&Stop::never()).unwrap()), Some(-2450.0));
    assert_eq!(gateway.clients.load(Ordering::SeqCst), 2);
}

#[test]
fn a_gateway_that_is_not_there_is_said() {
    let port = Gateway::start(Vec::new(), true).port;
    let error = open(json!({"host": "127.0.0.1", "port": port})).read(&Stop::never()).unwrap_err();
    assert!(error.to_string().contains("sources.DSMR.host"), "{error}");
}

#[test]
fn the_encrypted_port_is_read_with_its_key() {
    let gateway = Gateway::start([&[0xDB], sealed(&dutch("01.234", "00.000")).as_slice()].concat(), false);
    let mut driver = open(json!({"host": "127.0.0.1", "port": gateway.port, "decryptionKey": KEY}));
    assert_eq!(watts(&driver.read(&Stop::never()).unwrap()), Some(1234.0));
}

#[test]
fn telegrams_without_power_are_no_reading() {
    let gateway = Gateway::start(telegram(&["1-3:0.2.8(50)", "1-0:1.8.1(000004.426*kWh)"], true), false);
    let error = open_at(&gateway).read(&Stop::never()).unwrap_err();
    assert_eq!(error.kind(), EmsErrorKind::Misconfigured);
}

#[test]
fn an_export_register_that_goes_missing_is_not_zero() {
    let (import, export) = ("1-0:1.7.0(00.000*kW)", "1-0:2.7.0(02.000*kW)");
    let both = [
        telegram(&[import, export, "1-0:21.7.0(00.100*kW)"], false),
        telegram(&[import, "1-0:21.7.0(00.100*kW)"], false),
    ];
    let gateway = Gateway::start(both.concat(), false);
    let mut driver = open_at(&gateway);
    let mut last = driver.read(&Stop::never()).unwrap();
    // Both may have come in together: then the first was counted as seen and the second read.
    if watts(&last).is_some() {
        last = driver.read(&Stop::never()).unwrap();
    }
    assert_eq!(watts(&last), None);
}

#[test]
fn a_waiting_driver_ends_when_asked() {
    let gateway = Gateway::start(Vec::new(), false);
    let handle = StopHandle::new();
    let (stop, mut driver) = (handle.stop(), open_at(&gateway));
    let thread = std::thread::spawn(move || driver.read(&stop).map_err(|error| error.kind()));
    handle.end();
    assert_eq!(thread.join().unwrap(), Err(EmsErrorKind::Stopped));
}

#[test]
fn readers_that_tell_values_over_http_are_found_out() {
    let peer = Peer::start(|asked| match asked.path() {
        "/sensor/power_consumed" => Answer::json(r#"{"id": "a", "value": 0.532, "state": "0.532 kW"}"#),
        "/sensor/power_produced" => Answer::json(r#"{"id": "b", "value": 100, "state": "100 W"}"#),
        "/api/v1/sm/actual" => Answer::html("<html>start</html>"),
        _ => Answer::status(404),
    });
    let mut driver = open(json!({"url": peer.url()}));
    for _ in 0..2 {
        assert_eq!(watts(&driver.read(&Stop::never()).unwrap()), Some(432.0));
    }
    assert_eq!((peer.count("/api/v2/sm/actual"), peer.count("/sensor/power_consumed")), (1, 2));
    for (answer, kind) in [
        (Answer::json(r#"{"state": "NA"}"#), EmsErrorKind::Retry),
        (Answer::status(404), EmsErrorKind::Misconfigured),
        (Answer::status(500), EmsErrorKind::Retry),
        (Answer::status(429), EmsErrorKind::RateLimited),
    ] {
        let peer = Peer::start(move |_| answer.clone());
        assert_eq!(open(json!({"url": peer.url()})).read(&Stop::never()).unwrap_err().kind(), kind);
    }
}

/// A pseudo-terminal: the meter's end, and the name of the other.
fn cable() -> (std::fs::File, String) {
    use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
    let meter = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&meter).unwrap();
    unlockpt(&meter).unwrap();
    let name = ptsname(&meter, Vec::new()).unwrap().into_string().unwrap();
    (meter.into(), name)
}

#[test]
fn a_serial_cable_is_read_and_survives_being_pulled() {
    let (mut meter, name) = cable();
    let handle = StopHandle::new();
    let stop = handle.stop();
    let (sender, readings) = std::sync::mpsc::channel();
    let driver = std::thread::spawn(move || {
        let mut driver = open(json!({"serialPort": name, "baudrate": 115200}));
        while !stop.is_asked() {
            sender.send(driver.read(&stop)).unwrap();
        }
    });
    let deadline = Instant::now() + Duration::from_secs(30);
    // Bytes from before the port is open are lost on a real cable too, so the meter goes on sending.
    let reading = loop {
        meter.write_all(&dutch("00.244", "00.000")).unwrap();
        match readings.recv_timeout(Duration::from_millis(200)) {
            Ok(result) => break result.unwrap(),
            Err(_) => assert!(Instant::now() < deadline, "nothing was read"),
        }
    };
    assert_eq!(watts(&reading), Some(244.0));
    drop(meter);
    let error = loop {
        if let Err(error) = readings.recv_timeout(Duration::from_secs(30)).unwrap() {
            break error;
        }
    };
    assert_eq!(error.kind(), EmsErrorKind::Retry, "{error}");
    handle.end();
    driver.join().unwrap();
}

/// What dsmr-parser (PyPI) reads from the same gateway: import and export in kW, and the phases.
const PEER: &str = r#"
import json, sys
from dsmr_parser import telegram_specifications
from dsmr_parser.clients import SocketReader
reader = SocketReader("127.0.0.1", int(sys.argv[1]), getattr(telegram_specifications, sys.argv[2]), sys.argv[3], "")
telegram = next(reader.read())
names = ["CURRENT_ELECTRICITY_USAGE", "CURRENT_ELECTRICITY_DELIVERY"]
names += ["INSTANTANEOUS_ACTIVE_POWER_L%d_%s" % (n, way) for n in (1, 2, 3) for way in ("POSITIVE", "NEGATIVE")]
names += ["INSTANTANEOUS_VOLTAGE_L%d" % n for n in (1, 2, 3)]
def value(name):
    item = getattr(telegram, name, None)
    if item is None or item.value is None:
        return None
    return float(item.value) * (1000 if item.unit == "kW" else 1)
print(json.dumps({name: value(name) for name in names}))
"#;

#[test]
fn an_independent_parser_reads_the_same() {
    if !Command::new("python3").args(["-c", "import dsmr_parser"]).output().is_ok_and(|output| output.status.success())
    {
        eprintln!("SKIPPED: python3 with the package dsmr-parser is not installed");
        return;
    }
    let mut cases: Vec<(&str, Vec<u8>, &str)> = vec![
        ("V5", dutch("00.930", "00.000"), ""),
        ("V4", dutch("00.000", "02.450"), ""),
        ("BELGIUM_FLUVIUS", dutch("00.000", "00.003"), ""),
        ("V2_2", telegram(&["1-0:1.7.0(0001.01*kW)", "1-0:2.7.0(0000.00*kW)"], false), ""),
        (
            "SWEDEN",
            telegram(&["0-0:1.0.0(260604130000W)", "1-0:1.7.0(0012.345*kW)", "1-0:2.7.0(0000.000*kW)"], true),
            "",
        ),
        ("MSN", sealed(&dutch("01.234", "00.000")), KEY),
    ];
    let known = [
        ("v5_mt382.telegram", "V5"),
        ("v4_2_kaifa.telegram", "V4"),
        ("fluvius_171_alt.telegram", "BELGIUM_FLUVIUS"),
        ("hungary_eon_export.telegram", "EON_HUNGARY"),
        ("luxembourg_smarty_plain.telegram", "LUXEMBOURG_SMARTY"),
    ];
    for recording in recordings::vendor("dsmr") {
        let spec = known.iter().find(|(file, _)| *file == recording.name());
        cases.extend(spec.map(|(_, spec)| (*spec, recording.bytes(), "")));
    }
    for (spec, bytes, key) in cases {
        let gateway = Gateway::start(bytes, false);
        let mut values = json!({"host": "127.0.0.1", "port": gateway.port});
        if !key.is_empty() {
            values["decryptionKey"] = json!(key);
        }
        let reading = open(values).read(&Stop::never()).unwrap();
        let output = Command::new("python3").args(["-c", PEER, &gateway.port.to_string(), spec, key]).output().unwrap();
        let mut errors = String::new();
        output.stderr.as_slice().read_to_string(&mut errors).unwrap();
        let peer: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{spec}: {errors}"));
        let number = |name: &str| peer[name].as_f64();
        let same = |ours: Option<f64>, theirs: Option<f64>, what: &str| match (ours, theirs) {
            (Some(ours), Some(theirs)) => assert!((ours - theirs).abs() < 0.01, "{spec} {what}: {ours}, {theirs}"),
            (ours, theirs) => assert_eq!(ours, theirs, "{spec} {what}"),
        };
        let net = |import: &str, export: &str| Some(number(import)? - number(export).unwrap_or(0.0));
        same(watts(&reading), net("CURRENT_ELECTRICITY_USAGE", "CURRENT_ELECTRICITY_DELIVERY"), "grid");
        for (index, (phase, power)) in reading.grid_power.iter().enumerate() {
            let name = |way: &str| format!("INSTANTANEOUS_ACTIVE_POWER_L{}_{way}", index + 1);
            same(power.map(|watts| watts.get()), net(&name("POSITIVE"), &name("NEGATIVE")), "phase power");
            // Its table of version 4 has no voltages.
            if let Some(volts) = number(&format!("INSTANTANEOUS_VOLTAGE_L{}", index + 1)) {
                same(reading.grid_volts[phase].map(|volts| volts.get()), Some(volts), "voltage");
            }
        }
    }
}
