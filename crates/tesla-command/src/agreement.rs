//! The secrets that our key and the car's key agree on, and the tags made with them.
//!
//! Source: `pkg/protocol/protocol.md` of <https://github.com/teslamotors/vehicle-command>.

use aes_gcm::Aes128Gcm;
use aes_gcm::aead::{Aead, Payload};
use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::key::{PrivateKey, PublicKey};
use crate::metadata::Metadata;

/// Length of the tag that AES-GCM puts behind the ciphertext.
const GCM_TAG_LENGTH: usize = 16;

/// Keys that both ends derive from the shared point.
#[derive(Clone)]
pub(crate) struct SharedKeys {
    aes: [u8; 16],
    session_info: [u8; 32],
    command: [u8; 32],
}

/// Nothing of it is ever shown.
impl std::fmt::Debug for SharedKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SharedKeys(***)")
    }
}

/// The cipher refused: a key, nonce or tag that does not fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct CipherRefused;

/// An encrypted payload and the tag that goes elsewhere in the message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sealed {
    pub(crate) ciphertext: Vec<u8>,
    pub(crate) tag: Vec<u8>,
}

impl SharedKeys {
    /// Derives the keys. The x coordinate is hashed with its leading zeros.
    pub(crate) fn agree(own: &PrivateKey, car: &PublicKey) -> Self {
        let mut aes = [0; 16];
        let digest = own.shared_x(car, |x| Sha1::digest(x));
        for (to, from) in aes.iter_mut().zip(digest) {
            *to = from;
        }
        let session_info = hmac_sha256(&aes, &[b"session info"]);
        let command = hmac_sha256(&aes, &[b"authenticated command"]);
        Self { aes, session_info, command }
    }

    /// The tag of a session info that answers `challenge`.
    pub(crate) fn session_info_tag(&self, vin: &[u8], challenge: &[u8], info: &[u8]) -> [u8; 32] {
        let metadata = Metadata::session_info(vin, challenge);
        hmac_sha256(&self.session_info, &[metadata.as_bytes(), info])
    }

    /// The tag of a command that is authenticated but not encrypted.
    pub(crate) fn command_tag(&self, metadata: &Metadata, payload: &[u8]) -> [u8; 32] {
        hmac_sha256(&self.command, &[metadata.as_bytes(), payload])
    }

    /// Encrypts a command.
    pub(crate) fn seal(&self, nonce: &[u8; 12], metadata: &Metadata, plain: &[u8]) -> Result<Sealed, CipherRefused> {
        let aad = Sha256::digest(metadata.as_bytes());
        let mut ciphertext =
            self.cipher()?.encrypt(nonce.into(), Payload { msg: plain, aad: &aad }).map_err(|_| CipherRefused)?;
        let length = ciphertext.len().checked_sub(GCM_TAG_LENGTH).ok_or(CipherRefused)?;
        let tag = ciphertext.split_off(length);
        Ok(Sealed { ciphertext, tag })
    }

    /// Decrypts an answer.
    pub(crate) fn open(&self, nonce: &[u8], metadata: &Metadata, sealed: &Sealed) -> Result<Vec<u8>, CipherRefused> {
        let nonce: [u8; 12] = nonce.try_into().map_err(|_| CipherRefused)?;
        if sealed.tag.len() != GCM_TAG_LENGTH {
            return Err(CipherRefused);
        }
        let aad = Sha256::digest(metadata.as_bytes());
        let message = [sealed.ciphertext.as_slice(), &sealed.tag].concat();
        self.cipher()?.decrypt((&nonce).into(), Payload { msg: &message, aad: &aad }).map_err(|_| CipherRefused)
    }

    fn cipher(&self) -> Result<Aes128Gcm, CipherRefused> {
        Aes128Gcm::new_from_slice(&self.aes).map_err(|_| CipherRefused)
    }
}

/// Whether two tags are the same, in a time that does not tell where they differ.
pub(crate) fn is_same_tag(ours: &[u8], theirs: &[u8]) -> bool {
    ours.ct_eq(theirs).into()
}

fn hmac_sha256(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    let mac = Hmac::<Sha256>::new_from_slice(key).expect("an HMAC takes a key of any length");
    parts.iter().fold(mac, |mac, part| mac.chain_update(part)).finalize().into_bytes().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vectors::{self, hex};

    fn keys() -> SharedKeys {
        let own = PrivateKey::from_scalar(&hex(vectors::OWN_PRIVATE)).expect("published");
        let car = PublicKey::from_bytes(&hex(vectors::CAR_PUBLIC)).expect("published");
        SharedKeys::agree(&own, &car)
    }

    #[test]
    fn both_ends_agree_on_the_published_keys() {
        let car = PrivateKey::from_scalar(&hex(vectors::CAR_PRIVATE)).expect("published");
        let own = PublicKey::from_bytes(&hex(vectors::OWN_PUBLIC)).expect("published");
        for keys in [keys(), SharedKeys::agree(&car, &own)] {
            assert_eq!(keys.aes.to_vec(), hex(vectors::SHARED_KEY));
            assert_eq!(keys.session_info.to_vec(), hex(vectors::SESSION_INFO_KEY));
            assert_eq!(keys.command.to_vec(), hex(vectors::COMMAND_KEY));
            assert_eq!(format!("{keys:?}"), "SharedKeys(***)");
        }
    }

    /// A shared x that begins with 00: dropping the zero breaks one session in 256.
    #[test]
    fn a_leading_zero_is_hashed() {
        let car = PrivateKey::from_scalar(&hex(vectors::LEADING_ZERO_PRIVATE)).expect("published");
        let phone = PublicKey::from_bytes(&hex(vectors::LEADING_ZERO_PUBLIC)).expect("published");
        let expected = Sha1::digest(hex(vectors::LEADING_ZERO_X));
        assert_eq!(SharedKeys::agree(&car, &phone).aes, expected[..16]);
    }

    #[test]
    fn the_published_session_info_tag_comes_out() {
        let tag = keys().session_info_tag(vectors::VIN.as_bytes(), &hex(vectors::UUID), &hex(vectors::SESSION_INFO));
        assert_eq!(tag.to_vec(), hex(vectors::SESSION_INFO_TAG));
    }

    #[test]
    fn the_published_encrypted_command_comes_out_and_opens() {
        let epoch = hex(vectors::EPOCH).try_into().expect("16 bytes");
        let metadata = Metadata::encrypted_command(3, vectors::VIN.as_bytes(), &epoch, 2655, 7, 0);
        let nonce = hex(vectors::GCM_NONCE).try_into().expect("12 bytes");
        let sealed = keys().seal(&nonce, &metadata, &hex(vectors::GCM_PLAIN)).expect("the cipher");
        assert_eq!((&sealed.ciphertext, &sealed.tag), (&hex(vectors::GCM_CIPHERTEXT), &hex(vectors::GCM_TAG)));
        assert_eq!(keys().open(&nonce, &metadata, &sealed), Ok(hex(vectors::GCM_PLAIN)));
        let short = Sealed { tag: sealed.tag[..15].to_vec(), ..sealed.clone() };
        assert_eq!(keys().open(&nonce, &metadata, &short), Err(CipherRefused));
        assert_eq!(keys().open(&nonce[..11], &metadata, &sealed), Err(CipherRefused));
    }
}
