//! What a slave sends: for simulators and for programs that play a connector. The set is closed.

use crate::frame::MAX_FRAME_LENGTH;
use crate::message::ANSWER;
use crate::{
    ContactorAction, ContactorAnswer, Message, Meter, PlugStatus, ProtocolVersion, Serial, SlaveHeartbeat,
    SlaveLinkReady, Text, Version, VinPart, VinThird, WireFrame,
};

/// A message that a slave sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SlaveMessage {
    /// FD E2, 14 or 16 bytes by version.
    LinkReady(SlaveLinkReady),
    /// FD E0, 14 or 16 bytes by version.
    Heartbeat(SlaveHeartbeat),
    /// FD EB: 20 bytes with currents, 16 without.
    Meter(Meter),
    /// FD EC, 16 bytes.
    Version(Version),
    /// FD ED, 20 bytes.
    Serial(Serial),
    /// FD EE, EF or F1, 20 bytes.
    VinPart(VinPart),
    /// FD B4, 16 bytes.
    PlugStatus(PlugStatus),
    /// FD B1 or B2, 16 bytes.
    Contactor(ContactorAnswer),
    /// FD 19, 16 bytes: serial number without an identity.
    AnonymousSerial(Text<11>),
    /// FD 1A, 20 bytes: model without an identity.
    AnonymousModel(Text<17>),
    /// FD 1B, 16 bytes: version without an identity.
    AnonymousVersion([u8; 3]),
}

/// Frame length of ordinary answers.
const SHORT: usize = ProtocolVersion::V2.frame_length();
/// Frame length of the answers that carry more.
const LONG: usize = MAX_FRAME_LENGTH;

impl SlaveMessage {
    /// The bytes to write to the line.
    #[inline]
    #[must_use]
    pub fn encode(&self) -> WireFrame {
        let mut body = [0; MAX_FRAME_LENGTH];
        body[0] = ANSWER;
        let length = match self {
            SlaveMessage::LinkReady(ready) => {
                body[1] = 0xE2;
                [body[2], body[3]] = ready.slave.0;
                body[4] = ready.sign.0;
                [body[5], body[6]] = ready.rated.0.to_be_bytes();
                ready.version.frame_length()
            }
            SlaveMessage::Heartbeat(heartbeat) => {
                body[1] = 0xE0;
                [body[2], body[3]] = heartbeat.slave.0;
                [body[4], body[5]] = heartbeat.master.0;
                body[6] = heartbeat.state.code();
                [body[7], body[8]] = heartbeat.limit.0.to_be_bytes();
                [body[9], body[10]] = heartbeat.drawn.0.to_be_bytes();
                heartbeat.version.frame_length()
            }
            SlaveMessage::Meter(meter) => {
                body[1] = 0xEB;
                [body[2], body[3]] = meter.unit.0;
                [body[4], body[5], body[6], body[7]] = meter.energy.0.to_be_bytes();
                [body[8], body[9]] = meter.volts[0].to_be_bytes();
                [body[10], body[11]] = meter.volts[1].to_be_bytes();
                [body[12], body[13]] = meter.volts[2].to_be_bytes();
                match meter.half_amps {
                    Some(half_amps) => {
                        [body[14], body[15], body[16]] = half_amps;
                        LONG
                    }
                    None => SHORT,
                }
            }
            SlaveMessage::Version(version) => {
                body[1] = 0xEC;
                [body[2], body[3]] = version.unit.0;
                [body[4], body[5], body[6], body[7]] = version.version;
                SHORT
            }
            SlaveMessage::Serial(serial) => {
                body[1] = 0xED;
                [body[2], body[3]] = serial.unit.0;
                put(&mut body, 4, serial.serial.as_bytes());
                LONG
            }
            SlaveMessage::VinPart(part) => {
                body[1] = part.third.code();
                [body[2], body[3]] = part.unit.0;
                let characters = part.characters.as_bytes();
                match part.third {
                    VinThird::First | VinThird::Second => put(&mut body, 4, characters),
                    VinThird::Last => put(&mut body, 4, &characters[..3]),
                }
                LONG
            }
            SlaveMessage::PlugStatus(status) => {
                body[1] = 0xB4;
                [body[2], body[3]] = status.unit.0;
                body[4] = status.state.code();
                SHORT
            }
            SlaveMessage::Contactor(answer) => {
                body[1] = match answer.action {
                    ContactorAction::Close => 0xB1,
                    ContactorAction::Open => 0xB2,
                };
                [body[2], body[3]] = answer.slave.0;
                SHORT
            }
            SlaveMessage::AnonymousSerial(serial) => {
                body[1] = 0x19;
                put(&mut body, 2, serial.as_bytes());
                SHORT
            }
            SlaveMessage::AnonymousModel(model) => {
                body[1] = 0x1A;
                put(&mut body, 2, model.as_bytes());
                LONG
            }
            SlaveMessage::AnonymousVersion(version) => {
                body[1] = 0x1B;
                [body[2], body[3], body[4]] = *version;
                SHORT
            }
        };
        WireFrame::build(body, length)
    }
}

impl From<SlaveMessage> for Message {
    /// The message as a receiver decodes it.
    fn from(message: SlaveMessage) -> Message {
        match message {
            SlaveMessage::LinkReady(ready) => Message::SlaveLinkReady(ready),
            SlaveMessage::Heartbeat(heartbeat) => Message::SlaveHeartbeat(heartbeat),
            SlaveMessage::Meter(meter) => Message::Meter(meter),
            SlaveMessage::Version(version) => Message::Version(version),
            SlaveMessage::Serial(serial) => Message::Serial(serial),
            SlaveMessage::VinPart(part) => Message::VinPart(part),
            SlaveMessage::PlugStatus(status) => Message::PlugStatus(status),
            SlaveMessage::Contactor(answer) => Message::ContactorAnswer(answer),
            SlaveMessage::AnonymousSerial(serial) => Message::AnonymousSerial(serial),
            SlaveMessage::AnonymousModel(model) => Message::AnonymousModel(model),
            SlaveMessage::AnonymousVersion(version) => Message::AnonymousVersion(version),
        }
    }
}

fn put(body: &mut [u8; MAX_FRAME_LENGTH], offset: usize, bytes: &[u8]) {
    for (to, from) in body.iter_mut().skip(offset).zip(bytes) {
        *to = *from;
    }
}
