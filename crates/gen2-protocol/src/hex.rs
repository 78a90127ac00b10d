//! Frames as people paste them: hexadecimal text with or without spaces, colons, commas, `0x`, delimiters and escapes.
//!
//! ```
//! use gen2_protocol::hex;
//!
//! let frame = hex::parse_frame("C0 FD B1 58 50 00 00 00 00 00 00 00 00 00 00 00 59 C0 FE")?;
//! assert_eq!(frame.message().to_string(), "slave 5850 agrees to close its contactor");
//! # Ok::<(), hex::HexError>(())
//! ```

use core::fmt;

use crate::frame::{DELIMITER, ESCAPE, MAX_FRAME_LENGTH, unescape};
use crate::{Frame, FrameError};

/// Most bytes that [`parse_frame`] looks at.
const MAX_TEXT_BYTES: usize = 128;
/// Runs shorter than this between delimiters are stray bytes.
const MIN_CANDIDATE: usize = 4;

/// Why a text is not a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum HexError {
    /// No digits at all.
    Empty,
    /// A character that is neither a hexadecimal digit nor a separator.
    NotHex {
        /// The character.
        character: char,
        /// Its byte position in the text, from 0.
        position: usize,
    },
    /// An odd number of digits in a row.
    OddDigits {
        /// Byte position of the row in the text, from 0.
        position: usize,
    },
    /// More bytes than one frame can have.
    TooMuch,
    /// More than one frame between delimiters.
    SeveralFrames,
    /// The bytes are no frame.
    Frame(FrameError),
}

impl fmt::Display for HexError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            HexError::Empty => {
                f.write_str("there are no hexadecimal digits; paste a frame such as FC E1 77 77 77 00 …")
            }
            HexError::NotHex { character, position } => write!(
                f,
                "{character:?} at position {position} is no hexadecimal digit; use 0-9 and A-F, with spaces, colons or commas between bytes"
            ),
            HexError::OddDigits { position } => {
                write!(f, "the digits from position {position} on do not come in pairs; write two for each byte")
            }
            HexError::TooMuch => {
                write!(f, "more than {MAX_TEXT_BYTES} bytes; a frame has at most 42, so give one frame at a time")
            }
            HexError::SeveralFrames => f.write_str("there is more than one frame; give them one at a time"),
            HexError::Frame(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for HexError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            HexError::Frame(error) => Some(error),
            _ => None,
        }
    }
}

/// The bytes that hexadecimal text stands for; feed them to a [`Decoder`](crate::Decoder) to read a whole capture.
///
/// Ends after the first error. A single digit that stands alone is a byte.
#[must_use]
pub const fn bytes(text: &str) -> Bytes<'_> {
    Bytes { text, position: 0, digits: 0, failed: false }
}

/// Iterator over the bytes of hexadecimal text; made by [`bytes`].
#[derive(Debug, Clone)]
pub struct Bytes<'a> {
    text: &'a str,
    position: usize,
    /// Digits left in the current row.
    digits: usize,
    failed: bool,
}

impl Bytes<'_> {
    fn rest(&self) -> &str {
        self.text.get(self.position..).unwrap_or("")
    }

    /// Moves to the next row of digits; false at the end of the text.
    fn find_row(&mut self) -> Result<bool, HexError> {
        loop {
            let rest = self.rest();
            let Some(character) = rest.chars().next() else {
                return Ok(false);
            };
            let marks = ["0x", "0X", "\\x", "\\X", "b'", "b\""];
            if marks.iter().any(|mark| rest.starts_with(mark)) {
                self.position += 2;
                continue;
            }
            if character.is_ascii_hexdigit() {
                let row = rest.bytes().take_while(u8::is_ascii_hexdigit).count();
                if row % 2 == 1 && row > 1 {
                    return Err(HexError::OddDigits { position: self.position });
                }
                self.digits = row;
                return Ok(true);
            }
            if !character.is_whitespace() && !",:;-|[](){}'\"".contains(character) {
                return Err(HexError::NotHex { character, position: self.position });
            }
            self.position += character.len_utf8();
        }
    }
}

impl Iterator for Bytes<'_> {
    type Item = Result<u8, HexError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        if self.digits == 0 {
            match self.find_row() {
                Ok(true) => {}
                Ok(false) => return None,
                Err(error) => {
                    self.failed = true;
                    return Some(Err(error));
                }
            }
        }
        let width = self.digits.min(2);
        let byte = self.rest().get(..width).and_then(|digits| u8::from_str_radix(digits, 16).ok());
        self.position += width;
        self.digits -= width;
        byte.map(Ok)
    }
}

/// The one frame in a text, with or without its delimiters, escapes and stray bytes around them.
///
/// # Errors
/// What is wrong with the text or the frame, worded for the person who pasted it.
pub fn parse_frame(text: &str) -> Result<Frame, HexError> {
    let mut buffer = [0; MAX_TEXT_BYTES];
    let mut length = 0;
    for byte in bytes(text) {
        let byte = byte?;
        *buffer.get_mut(length).ok_or(HexError::TooMuch)? = byte;
        length += 1;
    }
    let all = buffer.get(..length).unwrap_or(&buffer);
    if all.is_empty() {
        return Err(HexError::Empty);
    }
    // A body pasted without its delimiters may hold C0 and DB as plain bytes.
    let plain = match Frame::from_body(all) {
        Ok(frame) if all.first() != Some(&DELIMITER) => return Ok(frame),
        Ok(_) => None,
        Err(error) => Some(error),
    };
    if !all.contains(&DELIMITER) {
        return match (parse_run(all), plain) {
            (Err(FrameError::BadEscape), Some(error)) => Err(HexError::Frame(error)),
            (other, _) => other.map_err(HexError::Frame),
        };
    }
    let mut runs = all.split(|byte| *byte == DELIMITER).filter(|run| run.len() >= MIN_CANDIDATE);
    match (runs.next(), runs.next()) {
        (None, _) => Err(HexError::Frame(FrameError::TooShort { length })),
        (Some(run), None) => parse_run(run).map_err(HexError::Frame),
        (Some(_), Some(_)) => Err(HexError::SeveralFrames),
    }
}

fn parse_run(run: &[u8]) -> Result<Frame, FrameError> {
    if !run.contains(&ESCAPE) {
        return Frame::from_body(run);
    }
    let (body, length) = unescape::<MAX_FRAME_LENGTH>(run)?;
    match body.get(..length) {
        Some(body) => Frame::from_body(body),
        None => Err(FrameError::TooLong { length }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;
    use std::vec::Vec;

    const BODY: &str = "FC E1 77 77 77 00 00 00 00 00 00 00 00 46";

    #[test]
    fn takes_every_usual_dress() {
        let expected = parse_frame(BODY).expect("golden frame 1");
        for text in [
            "fce17777770000000000000000 46",
            "C0 FC E1 77 77 77 00 00 00 00 00 00 00 00 46 C0 FE",
            "c0:fc:e1:77:77:77:00:00:00:00:00:00:00:00:46:c0",
            "0xFC, 0xE1, 0x77, 0x77, 0x77, 0, 0, 0, 0, 0, 0, 0, 0, 0x46",
            "[FC,E1,77,77,77,0,0,0,0,0,0,0,0,46]",
            r"b'\xfc\xe1\x77\x77\x77\x00\x00\x00\x00\x00\x00\x00\x00\x46'",
            "FE C0 FC E1 77 77 77 00 00 00 00 00 00 00 00 46",
        ] {
            assert_eq!(parse_frame(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn takes_escapes_with_and_without_delimiters_and_plain_bodies() {
        let plain = parse_frame("FB E0 77 77 C0 DB 00 00 00 00 00 00 00 00 00 69");
        assert!(plain.is_ok());
        let escaped = "FB E0 77 77 DB DC DB DD 00 00 00 00 00 00 00 00 00 69";
        assert_eq!(parse_frame(escaped), plain);
        assert_eq!(parse_frame(&std::format!("C0 {escaped} C0")), plain);
    }

    #[test]
    fn explains_what_is_wrong() {
        let check = |text: &str, words: &str| {
            let error = parse_frame(text).expect_err(text).to_string();
            assert!(error.contains(words), "{text}: {error}");
        };
        check("", "no hexadecimal digits");
        check("FC E1 77 zz", "'z' at position 9");
        check("FC E1 777", "position 6");
        check("C0 C0", "only 2 bytes");
        check("FC E1 77 77", "only 4 bytes");
        check(&BODY.replace("46", "47"), "is 47 but the bytes add up to 46");
        check(&std::format!("C0 {BODY} C0 {BODY} C0"), "more than one frame");
        check(&"00 ".repeat(129), "one frame at a time");
        check(&"00 ".repeat(30), "30 bytes where a frame has 13 to 20");
        check("C0 FC E1 DB 77 77 00 00 00 00 00 00 00 00 46 C0", "DC or DD");
    }

    #[test]
    fn bytes_stop_after_an_error() {
        let all: Vec<_> = bytes("01 02 x 03").collect();
        assert_eq!(all.len(), 3);
        assert!(matches!(all[2], Err(HexError::NotHex { character: 'x', .. })));
    }
}
