//! A frame: the bytes between two delimiters, escapes undone, length plausible, checksum right.

use core::fmt;

use crate::Message;

/// Opens and closes every frame.
pub(crate) const DELIMITER: u8 = 0xC0;
/// Announces an escaped byte.
pub(crate) const ESCAPE: u8 = 0xDB;
/// After [`ESCAPE`]: stands for [`DELIMITER`].
pub(crate) const ESCAPED_DELIMITER: u8 = 0xDC;
/// After [`ESCAPE`]: stands for [`ESCAPE`].
pub(crate) const ESCAPED_ESCAPE: u8 = 0xDD;

/// Shortest body that real units and masters send, checksum included.
pub const MIN_FRAME_LENGTH: usize = 13;
/// Longest body that real units send, checksum included.
pub const MAX_FRAME_LENGTH: usize = 20;

/// A checked frame of 13 to 20 bytes, by value: family, code, data and checksum, without delimiters and escapes.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Frame {
    length: u8,
    bytes: [u8; MAX_FRAME_LENGTH],
}

impl Frame {
    /// Checks a body that is already without delimiters and escapes.
    ///
    /// # Errors
    /// Too short, too long, or a checksum that does not match.
    #[inline]
    pub fn from_body(body: &[u8]) -> Result<Frame, FrameError> {
        let length = body.len();
        if length < MIN_FRAME_LENGTH {
            return Err(FrameError::TooShort { length });
        }
        let mut bytes = [0; MAX_FRAME_LENGTH];
        // The first thirteen bytes and the last eight meet: copies of known size instead of one of unknown size, and sums in
        // registers.
        let (Some(head), Some(middle), Some(tail), Some(end)) = (
            body.first_chunk::<8>(),
            body.get(5..).and_then(<[u8]>::first_chunk::<8>),
            body.last_chunk::<8>(),
            bytes.get_mut(..length).and_then(<[u8]>::last_chunk_mut::<8>),
        ) else {
            return Err(FrameError::TooLong { length });
        };
        *end = *tail;
        let found = tail[7];
        let [head_word, middle_word, tail_word] = [head, middle, tail].map(|b| u64::from_le_bytes(*b));
        // Bytes 0 to 7, 8 to 12, and 13 to the end.
        let new_in_tail = tail_word.unbounded_shr(u8::BITS * (21 - length as u32));
        let total = lane_sums(head_word) + lane_sums(middle_word >> 24) + lane_sums(new_in_tail);
        let total = (total.wrapping_mul(0x0001_0001_0001_0001) >> 48) as u8;
        let expected = total.wrapping_sub(found).wrapping_sub(head[0]);
        if expected != found {
            return Err(FrameError::Checksum { expected, found });
        }
        let [b0, b1, b2, b3, b4, b5, b6, b7] = *head;
        let [_, _, _, b8, b9, b10, b11, b12] = *middle;
        if let Some(start) = bytes.first_chunk_mut() {
            *start = [b0, b1, b2, b3, b4, b5, b6, b7, b8, b9, b10, b11, b12];
        }
        Ok(Frame { length: length as u8, bytes })
    }

    /// The body, checksum included.
    #[inline]
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.len()).unwrap_or(&self.bytes)
    }

    /// Number of bytes in the body, checksum included: 13 to 20.
    #[allow(clippy::len_without_is_empty, reason = "a frame has at least thirteen bytes")]
    #[inline]
    #[must_use]
    pub const fn len(&self) -> usize {
        self.length as usize
    }

    /// Family and code: the first two bytes.
    #[inline]
    #[must_use]
    pub const fn kind(&self) -> [u8; 2] {
        [self.bytes[0], self.bytes[1]]
    }

    /// What the frame says.
    #[inline]
    #[must_use]
    pub fn message(&self) -> Message {
        Message::from_frame(self)
    }

    /// `N` data bytes from `offset` on; what lies in the checksum or behind it reads as zero.
    #[inline]
    pub(crate) fn field<const N: usize>(&self, offset: usize) -> [u8; N] {
        let data = self.len().saturating_sub(1);
        if offset + N <= data
            && let Some(field) = self.bytes.get(offset..).and_then(|rest| rest.first_chunk())
        {
            return *field;
        }
        let mut field = [0; N];
        let present = self.bytes.get(offset..data).unwrap_or(&[]);
        for (to, from) in field.iter_mut().zip(present) {
            *to = *from;
        }
        field
    }
}

/// The sums of neighbouring bytes in four lanes of 16 bits.
const fn lane_sums(word: u64) -> u64 {
    const EVEN: u64 = 0x00FF_00FF_00FF_00FF;
    (word & EVEN) + (word >> 8 & EVEN)
}

impl fmt::Debug for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Frame({self})")
    }
}

impl fmt::Display for Frame {
    /// The bytes as spaced upper-case hexadecimal.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(f, self.as_bytes())
    }
}

/// Writes bytes as spaced upper-case hexadecimal.
pub(crate) fn write_hex(f: &mut fmt::Formatter<'_>, bytes: &[u8]) -> fmt::Result {
    for (index, byte) in bytes.iter().enumerate() {
        if index > 0 {
            f.write_str(" ")?;
        }
        write!(f, "{byte:02X}")?;
    }
    Ok(())
}

/// Why bytes between two delimiters are not a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FrameError {
    /// Fewer than 13 bytes: a piece of a frame.
    TooShort {
        /// Bytes found.
        length: usize,
    },
    /// More than 20 bytes: two frames run together, or noise.
    TooLong {
        /// Bytes found; when the line never paused, at least so many.
        length: usize,
    },
    /// The escape byte DB was not followed by DC or DD.
    BadEscape,
    /// The last byte is not the sum of all but the first.
    Checksum {
        /// What the bytes add up to.
        expected: u8,
        /// What the last byte says.
        found: u8,
    },
}

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FrameError::TooShort { length } => {
                write!(f, "only {length} bytes where a frame has 13 to 20: part of it was lost")
            }
            FrameError::TooLong { length } => write!(
                f,
                "{length} bytes where a frame has 13 to 20: two frames ran together, or there is noise on the line"
            ),
            FrameError::BadEscape => {
                f.write_str("the byte DB must be followed by DC or DD: a byte was lost or damaged on the line")
            }
            FrameError::Checksum { expected, found } => write!(
                f,
                "the checksum is {found:02X} but the bytes add up to {expected:02X}: a byte was damaged on the line"
            ),
        }
    }
}

impl core::error::Error for FrameError {}

/// Undoes the escapes of what stood between two delimiters, into a zeroed field.
///
/// Returns the field and the true length, which may be larger than the field.
pub(crate) fn unescape<const N: usize>(run: &[u8]) -> Result<([u8; N], usize), FrameError> {
    let mut field = [0; N];
    let mut length = 0usize;
    let mut bytes = run.iter();
    while let Some(&byte) = bytes.next() {
        let plain = if byte == ESCAPE {
            match bytes.next() {
                Some(&ESCAPED_DELIMITER) => DELIMITER,
                Some(&ESCAPED_ESCAPE) => ESCAPE,
                _ => return Err(FrameError::BadEscape),
            }
        } else {
            byte
        };
        if let Some(slot) = field.get_mut(length) {
            *slot = plain;
        }
        length += 1;
    }
    Ok((field, length))
}
