//! The envelope in which everything travels to and from a car.
//!
//! Field numbers: `universal_message.proto` and `signatures.proto` of <https://github.com/teslamotors/vehicle-command>.

use crate::fault::Fault;
use crate::wire::{Fields, Malformed, Writer};

/// Which computer of the car is spoken to. Each has a session of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Domain {
    /// Locks, keys and waking (VCSEC). It never sleeps.
    VehicleSecurity,
    /// Everything about charging. It sleeps, and must be awake to answer.
    Infotainment,
}

impl Domain {
    /// Its number on the wire.
    #[must_use]
    pub fn number(self) -> u8 {
        match self {
            Self::VehicleSecurity => 2,
            Self::Infotainment => 3,
        }
    }
}

/// Asks the car to encrypt, and thereby to authenticate, its answer. Cars before 2024.38 do not know it.
pub(crate) const FLAG_ENCRYPT_REPLY: u32 = 2;

/// One message, either way.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct RoutableMessage {
    pub(crate) to: Option<Destination>,
    pub(crate) from: Option<Destination>,
    pub(crate) payload: Option<Payload>,
    pub(crate) status: Status,
    pub(crate) signer: Vec<u8>,
    pub(crate) signature: Option<Signature>,
    pub(crate) request_uuid: Vec<u8>,
    pub(crate) uuid: Vec<u8>,
    pub(crate) flags: u32,
}

/// Either end of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Destination {
    /// A computer of the car, by its number: it may be one that this crate does not know.
    Domain(u32),
    /// Whoever chose this address.
    Address(Vec<u8>),
}

/// What a message carries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Payload {
    /// A message of the domain, possibly encrypted.
    Message(Vec<u8>),
    /// Asks for [`Payload::SessionInfo`]. The request's uuid is the challenge.
    SessionInfoRequest { public_key: Vec<u8> },
    /// A [`crate::session_info::SessionInfo`], still as the bytes over which its tag was made.
    SessionInfo(Vec<u8>),
}

/// How the car took the message that this one answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Status {
    pub(crate) operation: OperationStatus,
    pub(crate) fault: Option<Fault>,
}

/// The coarse outcome of an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum OperationStatus {
    #[default]
    Ok,
    Wait,
    Error,
}

impl OperationStatus {
    /// An unknown number is an error: it is not known to be good.
    pub(crate) fn from_number(number: u32) -> Self {
        match number {
            0 => Self::Ok,
            1 => Self::Wait,
            _ => Self::Error,
        }
    }
}

/// How a message is authenticated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Signature {
    AesGcm { epoch: Vec<u8>, nonce: Vec<u8>, counter: u32, expires_at: u32, tag: Vec<u8> },
    SessionInfo { tag: Vec<u8> },
    Hmac { epoch: Vec<u8>, counter: u32, expires_at: u32, tag: Vec<u8> },
    AesGcmResponse { nonce: Vec<u8>, counter: u32, tag: Vec<u8> },
}

impl RoutableMessage {
    /// Reads a message; unknown fields are skipped.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut message = Self::default();
        for field in Fields::of(bytes) {
            match field? {
                (6, value) => message.to = Destination::decode(value.bytes()?)?,
                (7, value) => message.from = Destination::decode(value.bytes()?)?,
                (10, value) => message.payload = Some(Payload::Message(value.bytes()?.to_vec())),
                (12, value) => message.status = Status::decode(value.bytes()?)?,
                (13, value) => (message.signer, message.signature) = decode_signature_data(value.bytes()?)?,
                (14, value) => message.payload = Some(decode_session_info_request(value.bytes()?)?),
                (15, value) => message.payload = Some(Payload::SessionInfo(value.bytes()?.to_vec())),
                (50, value) => message.request_uuid = value.bytes()?.to_vec(),
                (51, value) => message.uuid = value.bytes()?.to_vec(),
                (52, value) => message.flags = value.uint32()?,
                _ => {}
            }
        }
        Ok(message)
    }

    /// Writes what a client may send: never a status.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::default();
        if let Some(to) = &self.to {
            writer = writer.message(6, &to.encode());
        }
        if let Some(from) = &self.from {
            writer = writer.message(7, &from.encode());
        }
        if let Some(Payload::Message(bytes)) = &self.payload {
            writer = writer.message(10, bytes);
        }
        if let Some(signature) = &self.signature {
            writer = writer.message(13, &encode_signature_data(&self.signer, signature));
        }
        writer = match &self.payload {
            Some(Payload::SessionInfoRequest { public_key }) => {
                writer.message(14, &Writer::default().bytes(1, public_key).finish())
            }
            Some(Payload::SessionInfo(bytes)) => writer.message(15, bytes),
            _ => writer,
        };
        writer.bytes(50, &self.request_uuid).bytes(51, &self.uuid).varint(52, self.flags).finish()
    }
}

impl Destination {
    fn decode(bytes: &[u8]) -> Result<Option<Self>, Malformed> {
        let mut destination = None;
        for field in Fields::of(bytes) {
            match field? {
                (1, value) => destination = Some(Self::Domain(value.uint32()?)),
                (2, value) => destination = Some(Self::Address(value.bytes()?.to_vec())),
                _ => {}
            }
        }
        Ok(destination)
    }

    fn encode(&self) -> Vec<u8> {
        match self {
            Self::Domain(number) => Writer::default().choice(1, *number).finish(),
            Self::Address(address) => Writer::default().message(2, address).finish(),
        }
    }
}

impl Status {
    fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut status = Self::default();
        for field in Fields::of(bytes) {
            match field? {
                (1, value) => status.operation = OperationStatus::from_number(value.uint32()?),
                (2, value) => status.fault = Fault::from_number(value.uint32()?),
                _ => {}
            }
        }
        Ok(status)
    }
}

fn decode_session_info_request(bytes: &[u8]) -> Result<Payload, Malformed> {
    let mut public_key = Vec::new();
    for field in Fields::of(bytes) {
        if let (1, value) = field? {
            public_key = value.bytes()?.to_vec();
        }
    }
    Ok(Payload::SessionInfoRequest { public_key })
}

fn decode_signature_data(bytes: &[u8]) -> Result<(Vec<u8>, Option<Signature>), Malformed> {
    let mut signer = Vec::new();
    let mut signature = None;
    for field in Fields::of(bytes) {
        match field? {
            (1, value) => {
                for field in Fields::of(value.bytes()?) {
                    if let (1, value) = field? {
                        signer = value.bytes()?.to_vec();
                    }
                }
            }
            (number @ (5 | 6 | 8 | 9), value) => signature = Some(Signature::decode(number, value.bytes()?)?),
            _ => {}
        }
    }
    Ok((signer, signature))
}

fn encode_signature_data(signer: &[u8], signature: &Signature) -> Vec<u8> {
    let mut writer = Writer::default();
    if !signer.is_empty() {
        writer = writer.message(1, &Writer::default().message(1, signer).finish());
    }
    let inner = Writer::default();
    match signature {
        Signature::AesGcm { epoch, nonce, counter, expires_at, tag } => {
            let inner = inner.bytes(1, epoch).bytes(2, nonce).varint(3, *counter).fixed32(4, *expires_at).bytes(5, tag);
            writer.message(5, &inner.finish())
        }
        Signature::SessionInfo { tag } => writer.message(6, &inner.bytes(1, tag).finish()),
        Signature::Hmac { epoch, counter, expires_at, tag } => {
            let inner = inner.bytes(1, epoch).varint(2, *counter).fixed32(3, *expires_at).bytes(4, tag);
            writer.message(8, &inner.finish())
        }
        Signature::AesGcmResponse { nonce, counter, tag } => {
            writer.message(9, &inner.bytes(1, nonce).varint(2, *counter).bytes(3, tag).finish())
        }
    }
    .finish()
}

impl Signature {
    fn decode(number: u32, bytes: &[u8]) -> Result<Self, Malformed> {
        let (mut epoch, mut nonce, mut tag) = (Vec::new(), Vec::new(), Vec::new());
        let (mut counter, mut expires_at) = (0, 0);
        for field in Fields::of(bytes) {
            match (number, field?) {
                (5 | 8, (1, value)) => epoch = value.bytes()?.to_vec(),
                (5, (2, value)) | (9, (1, value)) => nonce = value.bytes()?.to_vec(),
                (5, (3, value)) | (8 | 9, (2, value)) => counter = value.uint32()?,
                (5, (4, value)) | (8, (3, value)) => expires_at = value.fixed32()?,
                (5, (5, value)) | (6, (1, value)) | (8, (4, value)) | (9, (3, value)) => tag = value.bytes()?.to_vec(),
                _ => {}
            }
        }
        Ok(match number {
            5 => Self::AesGcm { epoch, nonce, counter, expires_at, tag },
            8 => Self::Hmac { epoch, counter, expires_at, tag },
            9 => Self::AesGcmResponse { nonce, counter, tag },
            _ => Self::SessionInfo { tag },
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::vectors::{self, hex};

    #[test]
    fn published_messages_are_read_and_written_alike() {
        for text in [vectors::HANDSHAKE_REQUEST, vectors::HANDSHAKE_REPLY, vectors::CHARGE_START_MESSAGE] {
            let bytes = hex(text);
            let message = RoutableMessage::decode(&bytes).expect("a published message");
            assert_eq!(message.encode(), bytes, "{message:?}");
        }
    }

    #[test]
    fn fields_in_any_order_are_read() {
        let message = RoutableMessage::decode(&hex(vectors::LIST_KEYS)).expect("seen on the air");
        assert_eq!(message.to, Some(Destination::Domain(2)));
        assert_eq!(message.payload, Some(Payload::Message(vec![0x0a, 0x02, 0x08, 0x05])));
        assert_eq!((message.uuid.len(), message.signature), (16, None));
    }

    #[test]
    fn a_status_is_read() {
        let busy = RoutableMessage::decode(&[0x62, 0x04, 0x08, 0x02, 0x10, 0x01]).expect("a status");
        assert_eq!(busy.status, Status { operation: OperationStatus::Error, fault: Some(Fault::Busy) });
        let future = RoutableMessage::decode(&[0x62, 0x05, 0x08, 0x07, 0x10, 0xc8, 0x01]).expect("a status");
        assert_eq!(future.status, Status { operation: OperationStatus::Error, fault: Some(Fault::Unknown(200)) });
    }

    #[test]
    fn a_known_field_of_another_kind_is_an_error() {
        assert_eq!(RoutableMessage::decode(&[0x50, 0x01]), Err(Malformed::WrongKind));
    }

    proptest! {
        #[test]
        fn any_bytes_give_a_message_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = RoutableMessage::decode(&bytes);
        }

        #[test]
        fn damaged_messages_give_a_message_or_an_error(at in 0_usize..239, with in any::<u8>(), cut in 0_usize..260) {
            let mut bytes = hex(vectors::CHARGE_START_MESSAGE);
            let length = bytes.len();
            bytes[at % length] = with;
            bytes.truncate(cut);
            if let Ok(message) = RoutableMessage::decode(&bytes) {
                prop_assert_eq!(RoutableMessage::decode(&message.encode()).map(|again| again.payload), Ok(message.payload));
            }
        }
    }
}
