//! What a Bluetooth transport needs besides a radio: names, frames, and the message that asks a car to take our key.
//!
//! The radio itself is not here. Source: `pkg/connector/ble` of <https://github.com/teslamotors/vehicle-command>.

use std::time::{Duration, Instant};

use sha1::{Digest, Sha1};

use crate::key::PublicKey;
use crate::vin::Vin;
use crate::wire::Writer;

/// The longest message, either way.
pub const MAX_MESSAGE_LENGTH: usize = 1024;

/// A message whose pieces are further apart than this is given up.
const MAX_PIECE_GAP: Duration = Duration::from_secs(1);

/// The name under which a car can be found by an active scan.
#[must_use]
pub fn local_name(vin: Vin) -> String {
    let digest = Sha1::digest(vin.as_bytes());
    let digits: String = digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    format!("S{digits}C")
}

/// Puts a message's length before it; `None` when it is too long for the car. The result is written in pieces as long as
/// the link allows.
#[must_use]
pub fn frame(message: &[u8]) -> Option<Vec<u8>> {
    let length = u16::try_from(message.len()).ok().filter(|length| usize::from(*length) <= MAX_MESSAGE_LENGTH)?;
    Some([&length.to_be_bytes(), message].concat())
}

/// Puts messages together again from the pieces in which they come.
#[derive(Debug, Default)]
pub struct Deframer {
    pending: Vec<u8>,
    last_piece: Option<Instant>,
    /// Pieces that were thrown away because no message could be made of them.
    pub dropped: u64,
}

impl Deframer {
    /// Takes a piece; gives a message when it is whole. Call again with no bytes for a second one in the same piece.
    pub fn push(&mut self, now: Instant, piece: &[u8]) -> Option<Vec<u8>> {
        let is_late = self.last_piece.is_some_and(|last| now.saturating_duration_since(last) > MAX_PIECE_GAP);
        if is_late && !self.pending.is_empty() {
            self.give_up();
        }
        self.last_piece = Some(now);
        self.pending.extend_from_slice(piece);
        let (header, rest) = self.pending.split_first_chunk::<2>()?;
        let length = usize::from(u16::from_be_bytes(*header));
        if length > MAX_MESSAGE_LENGTH {
            self.give_up();
            return None;
        }
        let message = rest.get(..length)?.to_vec();
        self.pending.drain(..length + 2);
        Some(message)
    }

    fn give_up(&mut self) {
        self.pending.clear();
        self.dropped = self.dropped.saturating_add(1);
    }
}

/// What a key may do once the car has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Read data, wake, and control charging; it can neither unlock nor drive. All that charging needs.
    ChargingManager,
    /// Everything. For older cars that do not know the role above.
    Owner,
}

/// The message that asks a car to take a key. It is no message of a session: [`frame`] it and send it as it is.
///
/// Send it once. The car then waits about 30 s for a key card on its console and a confirmation on its screen; each
/// repetition asks anew.
#[must_use]
pub fn enrolment_request(key: &PublicKey, role: Role) -> Vec<u8> {
    let role = match role {
        Role::Owner => 2,
        Role::ChargingManager => 6,
    };
    let public = Writer::default().message(1, &key.to_bytes()).finish();
    let permission = Writer::default().message(1, &public).varint(4, role).finish();
    let form = Writer::default().varint(1, FORM_FACTOR_CLOUD).finish();
    let operation = Writer::default().message(5, &permission).message(6, &form).finish();
    let unsigned = Writer::default().message(16, &operation).finish();
    let signed = Writer::default().message(2, &unsigned).varint(3, SIGNATURE_PRESENT_KEY).finish();
    Writer::default().message(1, &signed).finish()
}

/// `KeyFormFactor.KEY_FORM_FACTOR_CLOUD_KEY`.
const FORM_FACTOR_CLOUD: u32 = 9;

/// `SignatureType.SIGNATURE_TYPE_PRESENT_KEY`.
const SIGNATURE_PRESENT_KEY: u32 = 2;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::vectors::{self, hex};

    #[test]
    fn the_published_name_comes_out() {
        let name = |vin: &str| local_name(vin.parse().expect("a VIN"));
        assert_eq!(name("5YJS0000000000000"), "S1a87a5a75f3df858C");
        assert_eq!(name(vectors::VIN), "Sade9a822faa374f8C");
    }

    #[test]
    fn the_request_for_a_key_is_as_the_vendors_program_sends_it() {
        let key = PublicKey::from_bytes(&hex(vectors::OWN_PUBLIC)).expect("published");
        let expected = format!("00560a54125082014d2a470a430a41{}20023202080 91802", vectors::OWN_PUBLIC);
        assert_eq!(frame(&enrolment_request(&key, Role::Owner)), Some(hex(&expected)));
        assert_ne!(enrolment_request(&key, Role::Owner), enrolment_request(&key, Role::ChargingManager));
    }

    #[test]
    fn a_broken_message_costs_itself_only() {
        let start = Instant::now();
        let mut deframer = Deframer::default();
        assert_eq!(deframer.push(start, &[0, 5, 1]), None);
        assert_eq!(deframer.push(start + Duration::from_secs(2), &[0, 1, 9]), Some(vec![9]));
        assert_eq!(deframer.push(start + Duration::from_secs(2), &[0xff, 0xff, 1, 2]), None);
        assert_eq!(deframer.push(start + Duration::from_secs(2), &[0, 1, 7]), Some(vec![7]));
        assert_eq!(deframer.dropped, 2);
        assert_eq!(frame(&[0; MAX_MESSAGE_LENGTH + 1]), None);
    }

    proptest! {
        #[test]
        fn messages_survive_any_pieces(
            messages in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..200), 1..4),
            size in 1_usize..40,
        ) {
            let now = Instant::now();
            let bytes: Vec<u8> = messages.iter().flat_map(|message| frame(message).expect("short")).collect();
            let mut deframer = Deframer::default();
            let mut found = Vec::new();
            for piece in bytes.chunks(size) {
                found.extend(deframer.push(now, piece));
                while let Some(message) = deframer.push(now, &[]) {
                    found.push(message);
                }
            }
            prop_assert_eq!(found, messages);
        }

        #[test]
        fn any_bytes_are_bounded(pieces in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..60), 0..60)) {
            let now = Instant::now();
            let mut deframer = Deframer::default();
            for piece in pieces {
                deframer.push(now, &piece);
                while deframer.push(now, &[]).is_some() {}
                prop_assert!(deframer.pending.len() <= MAX_MESSAGE_LENGTH + 2);
            }
        }
    }
}
