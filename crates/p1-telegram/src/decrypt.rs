//! The encrypted port of Luxembourg: AES-128-GCM around an ordinary telegram.
//!
//! ```text
//! DB 08 <8 bytes system title> 82 <2 bytes length> 30 <4 bytes counter> <cipher text> <12 bytes tag>
//! ```
//! The length counts from the byte after it. Nonce: title and counter. Additional data: 30 and the authentication key, which
//! is the same for all meters in Luxembourg; Austrian meters in the same envelope have one of their own.

use aes_gcm::aead::consts::U12;
use aes_gcm::aead::{Aead, KeyInit, Payload};
use aes_gcm::aes::Aes128;
use aes_gcm::{AesGcm, Key, Nonce};

use crate::frame::LARGEST_TELEGRAM;

const START: [u8; 2] = [0xDB, 0x08];
const TITLE: std::ops::Range<usize> = 2..10;
const LENGTH_MARK: usize = 10;
const TWO_BYTES: u8 = 0x82;
/// Encrypted and authenticated.
const SECURITY: u8 = 0x30;
/// From the start to the end of the length.
const HEAD: usize = 13;
/// Security byte, counter and tag: least that the length can be.
const LEAST: usize = 1 + 4 + 12;
/// Published in the Luxembourg P1 specification.
const LUXEMBOURG_KEY: [u8; 16] =
    [0x00, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88, 0x99, 0xAA, 0xBB, 0xCC, 0xDD, 0xEE, 0xFF];

type Cipher = AesGcm<Aes128, U12, U12>;

/// A text that is no key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a key has 32 hexadecimal digits; ask the grid operator for it")]
pub struct BadKey;

/// Takes encrypted frames out of a stream and decrypts them. Holds 16 kB at most.
pub struct Decryptor {
    cipher: Cipher,
    authentication: [u8; 16],
    buffer: Vec<u8>,
    refused: u64,
}

impl std::fmt::Debug for Decryptor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Decryptor(***, {} refused)", self.refused)
    }
}

impl Decryptor {
    /// With the meter's key: 32 hexadecimal digits.
    ///
    /// # Errors
    /// For any other text.
    pub fn new(key: &str) -> Result<Self, BadKey> {
        let key = Key::<Cipher>::from(parse(key)?);
        Ok(Decryptor { cipher: Cipher::new(&key), authentication: LUXEMBOURG_KEY, buffer: Vec::new(), refused: 0 })
    }

    /// With another authentication key than that of Luxembourg.
    ///
    /// # Errors
    /// For a text that is no key.
    pub fn with_authentication_key(mut self, key: &str) -> Result<Self, BadKey> {
        self.authentication = parse(key)?;
        Ok(self)
    }

    /// Forgets what came in.
    pub fn reset(&mut self) {
        self.buffer.clear();
        self.refused = 0;
    }

    /// Takes what came in.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
        let excess = self.buffer.len().saturating_sub(LARGEST_TELEGRAM);
        self.buffer.drain(..excess);
    }

    /// The plain text of the next whole frame whose tag fits.
    pub fn next_plain(&mut self) -> Option<Vec<u8>> {
        loop {
            let start = self.buffer.windows(START.len()).position(|pair| pair == START);
            // The last byte may be the first half of a start.
            let start = start.unwrap_or(self.buffer.len().saturating_sub(1));
            self.buffer.drain(..start);
            let length = match self.buffer.get(LENGTH_MARK..HEAD) {
                None => return None,
                Some([TWO_BYTES, high, low]) => usize::from(u16::from_be_bytes([*high, *low])),
                Some(_) => 0,
            };
            let is_frame = (LEAST..LARGEST_TELEGRAM - HEAD).contains(&length);
            if is_frame && self.buffer.len() < HEAD + length {
                return None;
            }
            let plain = if is_frame { self.open(length) } else { None };
            match plain {
                Some(plain) => {
                    self.buffer.drain(..HEAD + length);
                    return Some(plain);
                }
                // Not a frame, or a damaged one: the next start may stand inside of it.
                None => {
                    self.refused = self.refused.saturating_add(u64::from(is_frame));
                    self.buffer.drain(..START.len());
                }
            }
        }
    }

    /// Frames whose tag did not fit: a wrong key, or bytes lost on the line.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.refused
    }

    fn open(&self, length: usize) -> Option<Vec<u8>> {
        let body = self.buffer.get(HEAD..HEAD + length)?;
        let (security, rest) = body.split_first().filter(|(security, _)| **security == SECURITY)?;
        let (counter, msg) = rest.split_at_checked(4)?;
        let nonce: [u8; 12] = [self.buffer.get(TITLE)?, counter].concat().try_into().ok()?;
        let mut aad = [*security; 17];
        aad.get_mut(1..)?.copy_from_slice(&self.authentication);
        self.cipher.decrypt(&Nonce::<U12>::from(nonce), Payload { msg, aad: &aad }).ok()
    }
}

fn parse(text: &str) -> Result<[u8; 16], BadKey> {
    let digits: Vec<u8> = text.bytes().filter(|byte| !byte.is_ascii_whitespace() && *byte != b'-').collect();
    let byte = |pair: &[u8]| {
        let digit = |at: usize| char::from(*pair.get(at)?).to_digit(16);
        u8::try_from(digit(0)? * 16 + digit(1)?).ok()
    };
    let bytes: Option<Vec<u8>> = digits.chunks(2).map(byte).collect();
    bytes.and_then(|bytes| bytes.try_into().ok()).ok_or(BadKey)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "000102030405060708090A0B0C0D0E0F";

    /// A frame as a meter sends it.
    fn frame(plain: &[u8]) -> Vec<u8> {
        let decryptor = Decryptor::new(KEY).unwrap();
        let (title, counter) = (*b"SYSTITLE", [0, 0, 1, 2]);
        let nonce: [u8; 12] = [title.as_slice(), &counter].concat().try_into().unwrap();
        let aad = [[SECURITY].as_slice(), &LUXEMBOURG_KEY].concat();
        let sealed = decryptor.cipher.encrypt(&Nonce::<U12>::from(nonce), Payload { msg: plain, aad: &aad }).unwrap();
        let length = u16::try_from(1 + 4 + sealed.len()).unwrap().to_be_bytes();
        [START.as_slice(), &title, &[TWO_BYTES], &length, &[SECURITY], &counter, &sealed].concat()
    }

    #[test]
    fn frames_are_found_and_opened_wherever_the_stream_starts() {
        let plain = b"/Lux5\\253663629_D\r\n\r\n1-0:1.7.0(01.234*kW)\r\n!0000\r\n".as_slice();
        let stream = [[0xDB, 0x08, 0xDB].as_slice(), &frame(plain), &[0xDB], &frame(plain)].concat();
        let mut decryptor = Decryptor::new(KEY).unwrap();
        let mut opened = Vec::new();
        for piece in stream.chunks(7) {
            decryptor.push(piece);
            opened.extend(std::iter::from_fn(|| decryptor.next_plain()));
        }
        assert_eq!(opened, [plain, plain]);
        assert_eq!(decryptor.refused(), 0);
    }

    #[test]
    fn a_changed_byte_or_another_key_opens_nothing() {
        let mut damaged = frame(b"/Lux5\r\n!\r\n");
        damaged[20] ^= 1;
        for (key, stream) in [(KEY, damaged), ("FF0102030405060708090A0B0C0D0E0F", frame(b"/Lux5\r\n!\r\n"))] {
            let mut decryptor = Decryptor::new(key).unwrap();
            decryptor.push(&stream);
            assert_eq!((decryptor.next_plain(), decryptor.refused()), (None, 1));
        }
    }

    #[test]
    fn keys_have_32_digits_and_are_not_shown() {
        assert!(Decryptor::new("00 01 02 03 04 05 06 07 08 09 0a 0b 0c 0d 0e 0f").is_ok());
        for text in ["", "0011", "zz0102030405060708090A0B0C0D0E0F", "+00102030405060708090A0B0C0D0E0F", "ä"] {
            assert_eq!(Decryptor::new(text).err(), Some(BadKey), "{text}");
        }
        assert!(!format!("{:?}", Decryptor::new(KEY).unwrap()).contains("0001"));
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_survived(pieces in proptest::collection::vec(proptest::collection::vec(0u8.., 0..50), 0..20)) {
            let mut decryptor = Decryptor::new(KEY).unwrap();
            for piece in pieces {
                decryptor.push(&[START.as_slice(), &piece].concat());
                proptest::prop_assert_eq!(decryptor.next_plain(), None);
            }
        }
    }
}
