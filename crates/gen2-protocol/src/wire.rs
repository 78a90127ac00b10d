//! Bytes ready to be written to the line, delimiters and escapes included.

use core::fmt;

use crate::frame::{DELIMITER, ESCAPE, ESCAPED_DELIMITER, ESCAPED_ESCAPE, MAX_FRAME_LENGTH, write_hex};

/// Longest frame on the wire: two delimiters and every one of 20 bytes escaped.
pub const MAX_WIRE_LENGTH: usize = 2 + 2 * MAX_FRAME_LENGTH;

/// One frame as it goes over the line.
///
/// Only [`MasterMessage::encode`](crate::MasterMessage::encode) and
/// [`SlaveMessage::encode`](crate::SlaveMessage::encode) make one, so nothing outside those closed sets can be sent.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct WireFrame {
    length: u8,
    bytes: [u8; MAX_WIRE_LENGTH],
}

impl WireFrame {
    /// Escapes and delimits the first `length - 1` bytes of `body` and their checksum.
    pub(crate) fn build(mut body: [u8; MAX_FRAME_LENGTH], length: usize) -> WireFrame {
        let length = length.min(MAX_FRAME_LENGTH);
        let data = length.saturating_sub(1);
        let mut sum = 0u8;
        for byte in body.iter().take(data).skip(1) {
            sum = sum.wrapping_add(*byte);
        }
        if let Some(last) = body.get_mut(data) {
            *last = sum;
        }
        let mut bytes = [0; MAX_WIRE_LENGTH];
        bytes[0] = DELIMITER;
        let plain = body.get(..length).unwrap_or(&body);
        let mut at = 1;
        if body.iter().any(|byte| *byte == DELIMITER || *byte == ESCAPE) {
            for byte in plain {
                let (first, second) = match *byte {
                    DELIMITER => (ESCAPE, Some(ESCAPED_DELIMITER)),
                    ESCAPE => (ESCAPE, Some(ESCAPED_ESCAPE)),
                    other => (other, None),
                };
                if let Some(slot) = bytes.get_mut(at) {
                    *slot = first;
                }
                at += 1;
                if let Some(second) = second {
                    if let Some(slot) = bytes.get_mut(at) {
                        *slot = second;
                    }
                    at += 1;
                }
            }
        } else {
            if let Some(target) = bytes.get_mut(1..=length) {
                target.copy_from_slice(plain);
            }
            at += length;
        }
        if let Some(slot) = bytes.get_mut(at) {
            *slot = DELIMITER;
        }
        WireFrame { length: (at + 1) as u8, bytes }
    }

    /// The bytes to write, 15 to 42 of them.
    #[inline]
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.length)).unwrap_or(&self.bytes)
    }
}

impl AsRef<[u8]> for WireFrame {
    fn as_ref(&self) -> &[u8] {
        self.as_bytes()
    }
}

impl fmt::Debug for WireFrame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WireFrame({self})")
    }
}

impl fmt::Display for WireFrame {
    /// The bytes as spaced upper-case hexadecimal.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(f, self.as_bytes())
    }
}
