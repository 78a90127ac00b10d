//! One encrypted cell of TeslaMate's table `private.tokens`.
//!
//! | bytes | what |
//! |---|---|
//! | 1 | `01`, the kind of what follows |
//! | 1, or more from `80` up | length of the tag; from `80` on the low 7 bits tell how many bytes of length follow |
//! | 10 | the tag, `AES.GCM.V1` |
//! | 12 | IV |
//! | 16 | authentication tag of GCM |
//! | rest | ciphertext |
//!
//! AES-256-GCM; the key is the SHA-256 of the text of `ENCRYPTION_KEY`, the additional data the text `AES256GCM` (cloak's
//! `aes_gcm.ex`, TeslaMate's `vault.ex`).

use aes_gcm::aead::{Aead, KeyInit, Payload};
use aes_gcm::{Aes256Gcm, Key, Nonce};
use sha2::{Digest, Sha256};

/// Kind of a cell.
const KIND: u8 = 1;
/// The only way of encryption that TeslaMate uses.
const CIPHER: &[u8] = b"AES.GCM.V1";
const ADDITIONAL: &[u8] = b"AES256GCM";
const IV_BYTES: usize = 12;
const TAG_BYTES: usize = 16;

/// Why a cell gives no text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CellError {
    /// Another layout.
    #[error(
        "the token in TeslaMate's database is not encrypted in the way that is known; please report the version of TeslaMate"
    )]
    Unknown,
    /// The key does not fit, or the cell is damaged.
    #[error(
        "vehicle.TeslaMate.encryption_key does not open the token in TeslaMate's database; copy ENCRYPTION_KEY from its \
         docker-compose.yml or environment, letter for letter"
    )]
    WrongKey,
    /// What was decrypted is no text.
    #[error("what TeslaMate's database holds as a token is no text; sign in to Tesla in TeslaMate again")]
    NoText,
}

/// Decrypts a cell, as raw bytes of the column.
///
/// # Errors
/// [`CellError`].
pub fn decrypt(cell: &[u8], encryption_key: &str) -> Result<String, CellError> {
    let (iv, sealed) = take_apart(cell).ok_or(CellError::Unknown)?;
    let (tag, text) = sealed.split_at_checked(TAG_BYTES).ok_or(CellError::Unknown)?;
    let key: [u8; 32] = Sha256::digest(encryption_key.as_bytes()).into();
    let cipher = Aes256Gcm::new(&Key::<Aes256Gcm>::from(key));
    // The crate wants the tag behind the text.
    let joined = [text, tag].concat();
    let plain =
        cipher.decrypt(&Nonce::from(iv), Payload { msg: &joined, aad: ADDITIONAL }).map_err(|_| CellError::WrongKey)?;
    String::from_utf8(plain).map_err(|_| CellError::NoText)
}

/// IV, and tag with text.
fn take_apart(cell: &[u8]) -> Option<([u8; IV_BYTES], &[u8])> {
    let (&kind, rest) = cell.split_first()?;
    let (&first, mut rest) = rest.split_first()?;
    let length = if first < 0x80 {
        usize::from(first)
    } else {
        let (bytes, after) = rest.split_at_checked(usize::from(first & 0x7f))?;
        rest = after;
        bytes.iter().try_fold(0_usize, |sum, byte| sum.checked_mul(256)?.checked_add(usize::from(*byte)))?
    };
    let (name, rest) = rest.split_at_checked(length)?;
    let (iv, sealed) = rest.split_first_chunk::<IV_BYTES>()?;
    (kind == KIND && name == CIPHER).then_some((*iv, sealed))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const KEY: &str = "example-encryption-key";
    /// Computed with another implementation.
    const CELL: &str = "010a4145532e47434d2e5631000102030405060708090a0b99a84eacf03e2ab497065ef6bf6751324f61ab0d440df111c8f7d4d8e0acddb5";

    fn bytes(hex: &str) -> Vec<u8> {
        (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
    }

    #[test]
    fn a_cell_opens_with_its_key_only() {
        let cell = bytes(CELL);
        assert_eq!(decrypt(&cell, KEY).unwrap(), "eyJ.access.token");
        assert_eq!(decrypt(&cell, "another"), Err(CellError::WrongKey));
        for at in 12..cell.len() {
            let mut damaged = cell.clone();
            damaged[at] ^= 1;
            assert_eq!(decrypt(&damaged, KEY), Err(CellError::WrongKey), "byte {at}");
        }
        for cut in 0..40 {
            assert_eq!(decrypt(&cell[..cut], KEY), Err(CellError::Unknown), "{cut} bytes");
        }
    }

    #[test]
    fn a_long_length_is_read_too() {
        let mut cell = vec![1, 0x82, 0, 10];
        cell.extend(&bytes(CELL)[2..]);
        assert_eq!(decrypt(&cell, KEY).unwrap(), "eyJ.access.token");
    }

    #[test]
    fn the_recorded_cell_opens() {
        for recording in recordings::vendor("tesla").iter().filter(|found| found.name() == "teslamate_token_cell.json")
        {
            let cell = recording.json();
            let found =
                decrypt(&bytes(cell["access_bytea_hex"].as_str().unwrap()), cell["encryption_key"].as_str().unwrap());
            assert_eq!(found.unwrap(), recording.text_at(&["expected", "plaintext"]));
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..80), has_head in any::<bool>()) {
            let head: &[u8] = if has_head { b"\x01\x0aAES.GCM.V1" } else { b"" };
            prop_assert!(decrypt(&[head, &bytes].concat(), KEY).is_err());
        }
    }
}
