//! Frames captured from real units (and a few computed ones), by the number of their row in the collected facts.

use std::string::{String, ToString};
use std::vec::Vec;

use crate::{
    CentiAmps, ContactorAction, ContactorAnswer, ContactorCommand, Decoder, EnergyCounter, Event,
    Frame, FrameError, HeartbeatCommand, MasterHeartbeat, MasterLinkReady, MasterMessage, Message,
    Meter, Order, ProtocolVersion, Request, RequestKind, Sign, SlaveHeartbeat, SlaveLinkReady,
    SlaveMessage, SlaveState, Text, TwcId, Version, VinPart, VinThird, hex,
};
use ProtocolVersion::{V1, V2};

/// What a row must decode to.
enum Row {
    /// This message, which this crate would send in the same bytes.
    Sent(MasterMessage),
    /// This message, which this crate would send in the same bytes as a slave.
    Told(SlaveMessage),
    /// This message, in a shape that this crate does not send.
    Read(Message),
    /// No frame.
    Broken(FrameError),
}
use Row::{Broken, Read, Sent, Told};

const fn id(number: u16) -> TwcId {
    TwcId::from_u16(number)
}

fn announced(master: u16, sign: u8) -> MasterLinkReady {
    MasterLinkReady {
        master: id(master),
        sign: Sign(sign),
    }
}

fn ready(slave: u16, sign: u8) -> SlaveMessage {
    SlaveMessage::LinkReady(SlaveLinkReady {
        slave: id(slave),
        sign: Sign(sign),
        rated: CentiAmps(3_200),
        version: V2,
    })
}

fn order(master: u16, slave: u16, order: Order, version: ProtocolVersion) -> MasterMessage {
    MasterMessage::Heartbeat {
        master: id(master),
        slave: id(slave),
        version,
        order,
    }
}

fn heartbeat(
    slave: u16,
    state: SlaveState,
    limit: u16,
    drawn: u16,
    version: ProtocolVersion,
) -> SlaveMessage {
    SlaveMessage::Heartbeat(SlaveHeartbeat {
        slave: id(slave),
        master: id(0x7777),
        state,
        limit: CentiAmps(limit),
        drawn: CentiAmps(drawn),
        version,
    })
}

fn ask(kind: RequestKind, master: u16, slave: u16) -> Request {
    Request {
        kind,
        master: id(master),
        slave: id(slave),
    }
}

fn contactor(action: ContactorAction) -> MasterMessage {
    MasterMessage::Contactor(ContactorCommand {
        action,
        master: id(0x7777),
        slave: id(0x5850),
    })
}

fn meter(unit: u16, energy: u32, volts: [u16; 3], half_amps: Option<[u8; 3]>) -> SlaveMessage {
    SlaveMessage::Meter(Meter {
        unit: id(unit),
        energy: EnergyCounter(energy),
        volts,
        half_amps,
    })
}

fn check(number: u32, text: &str, row: Row) {
    let bytes: Vec<u8> = hex::bytes(text).collect::<Result<_, _>>().expect("digits");
    let frame = Frame::from_body(&bytes);
    let mut wire = std::vec![0xC0];
    for byte in &bytes {
        match byte {
            0xC0 => wire.extend([0xDB, 0xDC]),
            0xDB => wire.extend([0xDB, 0xDD]),
            other => wire.push(*other),
        }
    }
    wire.push(0xC0);
    let event = Decoder::new().next_event(&mut wire.as_slice());
    let (message, encoded) = match row {
        Sent(message) => (message.into(), Some(message.encode())),
        Told(message) => (message.into(), Some(message.encode())),
        Read(message) => (message, None),
        Broken(error) => {
            assert_eq!(frame, Err(error), "row {number}");
            assert_eq!(event, Some(Event::Rejected(error)), "row {number}");
            assert!(hex::parse_frame(text).is_err(), "row {number}");
            return;
        }
    };
    let frame = frame.unwrap_or_else(|error| panic!("row {number}: {error}"));
    assert_eq!(frame.message(), message, "row {number}");
    assert_eq!(frame.as_bytes(), bytes, "row {number}");
    assert_eq!(event, Some(Event::Frame(frame)), "row {number}");
    assert_eq!(hex::parse_frame(text), Ok(frame), "row {number}");
    if let Some(encoded) = encoded {
        assert_eq!(encoded.as_bytes(), wire, "row {number}");
    }
}

#[test]
fn announcements() {
    check(1, "FC E1 77 77 77 00 00 00 00 00 00 00 00 46", Sent(MasterMessage::LinkReady1(announced(0x7777, 0x77))));
    check(2, "FB E2 77 77 77 00 00 00 00 00 00 00 00 47", Sent(MasterMessage::LinkReady2(announced(0x7777, 0x77))));
    check(3, "FC E1 03 5D 39 00 00 00 00 00 00 00 00 7A", Sent(MasterMessage::LinkReady1(announced(0x035D, 0x39))));
    check(4, "FB E2 03 5D 5F 00 00 00 00 00 00 00 00 A1", Sent(MasterMessage::LinkReady2(announced(0x035D, 0x5F))));
    check(5, "FC E1 32 AB 77 40 06 00 00 00 00 00 00 00 00 7B", Read(Message::MasterLinkReady1(announced(0x32AB, 0x77))));
    check(6, "FB E2 32 AB 77 40 06 00 00 00 00 00 00 00 00 7C", Read(Message::MasterLinkReady2(announced(0x32AB, 0x77))));
    check(7, "FC E1 32 AB 77 40 06 00 00 00 00 00 00 00 00 BA", Broken(FrameError::Checksum { expected: 0x7B, found: 0xBA }));
    check(8, "FD E2 18 39 52 0C 80 00 00 00 00 00 00 00 00 11", Told(ready(0x1839, 0x52)));
    check(9, "FD E2 18 39 52 0C 80 00 00 00 00 00 00 00 00 11 FF", Broken(FrameError::Checksum { expected: 0x22, found: 0xFF }));
    check(10, "FD E2 40 85 1D 0C 80 00 00 00 00 00 00 00 00 50", Told(ready(0x4085, 0x1D)));
    check(11, "FD E2 24 31 2D 0C 80 00 00 00 00 00 00 00 00 F0", Told(ready(0x2431, 0x2D)));
    check(12, "FD E2 87 25 AE 0C 80 00 00 00 00 00 00 00 00 C8", Told(ready(0x8725, 0xAE)));
    check(13, "FD E2 00 F2 8B 3F 47 46 F6 FF FF FF FF FF FF", Broken(FrameError::Checksum { expected: 0x1C, found: 0xFF }));
    check(14, "FD E2 47 04 93 0C 26 88 11 71 F7 ED F5 3F FF", Broken(FrameError::Checksum { expected: 0x14, found: 0xFF }));
    check(37, "FC 1D 00 00 00 00 00 00 00 00 00 00 00 1D", Read(Message::Idle));
}

#[test]
fn heartbeats_of_masters() {
    let no_change = |slave| order(0x7777, slave, Order::NoChange, V2);
    check(15, "FB E0 77 77 40 85 09 0C 80 00 00 00 00 00 00 28", Sent(order(0x7777, 0x4085, Order::Limit(CentiAmps(3_200)), V2)));
    check(16, "FB E0 77 77 24 31 00 00 00 00 00 00 00 00 00 23", Sent(no_change(0x2431)));
    check(17, "FB E0 77 77 20 19 00 00 00 00 00 00 00 00 00 07", Sent(no_change(0x2019)));
    check(18, "FB E0 77 77 24 33 00 00 00 00 00 00 00 00 00 25", Sent(no_change(0x2433)));
    check(19, "FB E0 77 77 02 2C 05 08 98 00 00 00 00 00 00 A1", Sent(order(0x7777, 0x022C, Order::InitialLimit(CentiAmps(2_200)), V2)));
    check(20, "FB E0 77 77 87 25 00 00 00 00 00 00 00 00 00 7A", Sent(no_change(0x8725)));
    check(21, "FB E0 32 AB 87 25 00 00 00 00 00 00 00 00 00 69", Sent(order(0x32AB, 0x8725, Order::NoChange, V2)));
    check(22, "FB E0 77 77 02 BB 00 00 00 00 00 00 00 00 00 8B", Sent(no_change(0x02BB)));
    check(38, "FB E0 77 77 11 22 05 06 40 00 00 00 00 4C", Sent(order(0x7777, 0x1122, Order::Limit(CentiAmps(1_600)), V1)));
    check(39, "FB E0 77 77 11 22 09 06 40 00 00 00 00 00 00 50", Sent(order(0x7777, 0x1122, Order::Limit(CentiAmps(1_600)), V2)));
    check(40, "FB E0 77 77 C0 DB 00 00 00 00 00 00 00 00 00 69", Sent(no_change(0xC0DB)));
    let wire = no_change(0xC0DB).encode().to_string();
    assert_eq!(wire, "C0 FB E0 77 77 DB DC DB DD 00 00 00 00 00 00 00 00 00 69 C0");
}

#[test]
fn heartbeats_of_slaves() {
    check(23, "FD E0 20 19 77 77 08 02 58 02 10 00 00 00 00 7B", Told(heartbeat(0x2019, SlaveState::Starting, 600, 528, V2)));
    check(24, "FD E0 24 33 77 77 08 07 D0 01 62 00 00 00 00 67", Told(heartbeat(0x2433, SlaveState::Starting, 2_000, 354, V2)));
    check(25, "FD E0 02 2C 77 77 02 00 00 06 96 00 00 9A", Told(heartbeat(0x022C, SlaveState::Error, 0, 1_686, V1)));
    check(47, "FD E0 11 22 77 77 06 10 68 10 18 00 00 00 00 A7", Told(heartbeat(0x1122, SlaveState::Raising, 4_200, 4_120, V2)));
    check(48, "FD E0 11 22 77 77 0A 10 68 10 18 00 00 00 00 AB", Told(heartbeat(0x1122, SlaveState::Adjusted, 4_200, 4_120, V2)));
    check(50, "FD E0 11 22 77 77 01 FF FF FF AF 00 00 AE", Told(heartbeat(0x1122, SlaveState::Charging, 65_535, 65_455, V1)));
}

#[test]
fn questions() {
    let vin = RequestKind::Vin;
    let read = |kind, master, slave| Read(Message::Request(ask(kind, master, slave)));
    let sent = |kind| Sent(MasterMessage::Request(ask(kind, 0x7777, 0x6090)));
    check(26, "FB EE 77 77 20 19 00 00 00 00 00 00 00 00 15", read(vin(VinThird::First), 0x7777, 0x2019));
    check(27, "FB EF 77 77 20 19 00 00 00 00 00 00 00 00 16", read(vin(VinThird::Second), 0x7777, 0x2019));
    check(28, "FB F1 77 77 20 19 00 00 00 00 00 00 00 00 18", read(vin(VinThird::Last), 0x7777, 0x2019));
    check(29, "FB EE 32 AB 87 25 00 00 00 00 00 00 77", read(vin(VinThird::First), 0x32AB, 0x8725));
    check(30, "FB EF 32 AB 87 25 00 00 00 00 00 00 78", read(vin(VinThird::Second), 0x32AB, 0x8725));
    check(41, "FB EB 77 77 40 85 00 00 00 00 00 00 00 00 9E", read(RequestKind::Meter, 0x7777, 0x4085));
    check(42, "FC B1 77 77 58 50 00 00 00 00 00 00 00 00 00 47", Sent(contactor(ContactorAction::Close)));
    check(43, "FC B2 77 77 58 50 00 00 00 00 00 00 00 00 00 48", Sent(contactor(ContactorAction::Open)));
    check(44, "FB EC 77 77 60 90 00 00 00 00 00 00 00 00 00 CA", sent(RequestKind::Version));
    check(45, "FB ED 77 77 60 90 00 00 00 00 00 00 00 00 00 CB", sent(RequestKind::Serial));
    check(46, "FB B4 77 77 60 90 00 00 00 00 00 00 00 00 00 92", sent(RequestKind::PlugState));
}

#[test]
fn answers() {
    let empty_vin = VinPart { unit: id(0x6090), third: VinThird::First, characters: Text::default() };
    let version = Version { unit: id(0x6090), version: [4, 5, 3, 2] };
    let answer = |action| Told(SlaveMessage::Contactor(ContactorAnswer { action, slave: id(0x5850) }));
    check(31, "FD EE 60 90 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 DE", Told(SlaveMessage::VinPart(empty_vin)));
    check(32, "FD EC 60 90 04 05 03 02 00 00 00 00 00 00 00 EA", Told(SlaveMessage::Version(version)));
    check(33, "FD EB 25 87 00 00 03 9C 00 F6 00 F0 00 F6 00 00 00 00 00 12", Told(meter(0x2587, 924, [246, 240, 246], Some([0; 3]))));
    check(34, "FD EB 60 61 00 A3 20 EC 00 F1 00 00 00 00 00 00 00 00 00 4C", Told(meter(0x6061, 10_690_796, [241, 0, 0], Some([0; 3]))));
    check(35, "FD B1 58 50 00 00 00 00 00 00 00 00 00 00 00 59", answer(ContactorAction::Close));
    check(36, "FD B2 58 50 00 00 00 00 00 00 00 00 00 00 00 5A", answer(ContactorAction::Open));
    check(49, "FD EB F9 52 00 00 00 77 00 F0 00 00 00 00 00 9D", Told(meter(0xF952, 119, [240, 0, 0], None)));
}

/// Rows of heartbeat data alone, from the comments of the first program that spoke this protocol.
#[test]
fn heartbeat_data_from_comments() {
    let decode = |command: [u8; 4]| {
        let mut body = std::vec![0xFB, 0xE0, 0x77, 0x77, 0x11, 0x22];
        body.extend(command);
        body.extend([0; 3]);
        body.push(body[1..].iter().fold(0, |sum: u8, byte| sum.wrapping_add(*byte)));
        match Frame::from_body(&body).expect("computed checksum").message() {
            Message::MasterHeartbeat(MasterHeartbeat { command, own_cable_in_car, .. }) => (command, own_cable_in_car),
            other => panic!("{other}"),
        }
    };
    assert_eq!(decode([0x05, 0x0F, 0xA0, 0x00]), (HeartbeatCommand::InitialLimit(CentiAmps(4_000)), false));
    assert_eq!(decode([0x05, 0x07, 0xD0, 0x01]), (HeartbeatCommand::InitialLimit(CentiAmps(2_000)), true));
    let (command, _) = decode([0x02, 0x04, 0x00, 0x00]);
    assert_eq!(command.to_string(), "go into error: different maximum currents (6 red blinks), bits 04");
    assert_eq!(decode([0x06, 0, 0, 0]).0, HeartbeatCommand::RaiseByTwoAmps);
    assert_eq!(decode([0x0B, 1, 2, 0]).0, HeartbeatCommand::Unknown { code: 0x0B, data: [1, 2] });
}

/// A frame whose delimiter was lost in the field (row 9) comes back when salvage is asked for, and is counted.
#[test]
fn salvage_takes_stray_bytes_off_the_edges() {
    let ready = "FD E2 18 39 52 0C 80 00 00 00 00 00 00 00 00 11";
    for text in [
        String::from("C0") + ready + "FF C0",
        String::from("C0 FE") + ready + "C0",
        String::from("FE FC F8") + ready + "FF C0",
    ] {
        let bytes: Vec<u8> = hex::bytes(&text).collect::<Result<_, _>>().expect("digits");
        let mut strict = Decoder::new();
        assert_eq!(strict.frames(&bytes).count(), 0, "{text}");
        let mut decoder = Decoder::salvaging();
        let frame = decoder.next_frame(&mut bytes.as_slice()).expect("salvaged");
        assert_eq!(frame.to_string(), ready);
        assert_eq!((decoder.counters().frames, decoder.counters().salvaged), (1, 1));
    }
}

#[test]
fn log_lines_read_well() {
    let line = |text: &str| hex::parse_frame(text).expect(text).message().to_string();
    assert_eq!(
        line("FD E2 40 85 1D 0C 80 00 00 00 00 00 00 00 00 50"),
        "slave 4085 looks for a master, sign 1D, rated 32.00 A, protocol version 2"
    );
    assert_eq!(line("FB E0 77 77 40 85 09 0C 80 00 00 00 00 00 00 28"), "master 7777 to 4085: limit 32.00 A (09)");
    assert_eq!(
        line("FD E0 20 19 77 77 08 02 58 02 10 00 00 00 00 7B"),
        "slave 2019 to 7777: starting (08), limit 6.00 A, drawing 5.28 A"
    );
    assert_eq!(
        line("FD EB 25 87 00 00 03 9C 00 F6 00 F0 00 F6 00 00 00 00 00 12"),
        "unit 2587: 924 kWh, 246/240/246 V, 0.00 A / 0.00 A / 0.00 A"
    );
    assert_eq!(line("FB EE 77 77 20 19 00 00 00 00 00 00 00 00 15"), "master 7777 asks 2019 for its car's VIN characters 1-7");
    assert_eq!(
        line("FB E8 00 00 00 00 00 00 00 00 00 00 E8"),
        "harmful message, crashes the unit: FB E8 00 00 00 00 00 00 00 00 00 00 E8"
    );
}
