//! What a car tells about a session: its key, epoch, counter and clock.

use crate::wire::{Fields, Malformed, Writer};

/// `SessionInfo` of `signatures.proto`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SessionInfo {
    /// The last counter that the car accepted in this epoch.
    pub(crate) counter: u32,
    /// The car's public key, 65 bytes; nothing when the car has none for us.
    pub(crate) public_key: Vec<u8>,
    /// Random name of the time since the car's computer started.
    pub(crate) epoch: [u8; 16],
    /// Seconds of the car's clock in this epoch.
    pub(crate) clock_time: u32,
    /// Whether the car has our key on its list.
    pub(crate) is_paired: bool,
}

impl SessionInfo {
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut info = Self { counter: 0, public_key: Vec::new(), epoch: [0; 16], clock_time: 0, is_paired: true };
        for field in Fields::of(bytes) {
            match field? {
                (1, value) => info.counter = value.uint32()?,
                (2, value) => info.public_key = value.bytes()?.to_vec(),
                (3, value) if !value.bytes()?.is_empty() => info.epoch = value.array()?,
                (4, value) => info.clock_time = value.fixed32()?,
                (5, value) => info.is_paired = value.uint32()? == 0,
                _ => {}
            }
        }
        Ok(info)
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        Writer::default()
            .varint(1, self.counter)
            .bytes(2, &self.public_key)
            .message(3, &self.epoch)
            .fixed32(4, self.clock_time)
            .varint(5, u32::from(!self.is_paired))
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::vectors::{self, hex};

    #[test]
    fn the_published_session_info_is_read() {
        let bytes = hex(vectors::SESSION_INFO);
        let info = SessionInfo::decode(&bytes).expect("published");
        assert_eq!((info.counter, info.clock_time, info.is_paired), (6, 2650, true));
        assert_eq!(info.epoch.to_vec(), hex(vectors::EPOCH));
        assert_eq!(info.public_key, hex(vectors::CAR_PUBLIC));
        assert_eq!(info.encode(), bytes);
    }

    #[test]
    fn an_unpaired_key_is_told() {
        assert!(!SessionInfo::decode(&[0x28, 0x01]).expect("only a status").is_paired);
    }

    #[test]
    fn an_epoch_of_another_length_is_an_error() {
        assert_eq!(SessionInfo::decode(&[0x1a, 0x02, 1, 2]), Err(Malformed::WrongLength));
    }

    proptest! {
        #[test]
        fn any_bytes_give_info_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..120)) {
            let _ = SessionInfo::decode(&bytes);
        }
    }
}
