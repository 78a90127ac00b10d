//! Our key, which the owner pairs with the car, and the car's.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use p256::SecretKey;
use p256::elliptic_curve::sec1::ToSec1Point;
use p256::pkcs8::{DecodePrivateKey, EncodePrivateKey, EncodePublicKey, LineEnding};

use crate::random::{NoRandomness, Random, random_array};

/// What is wrong with a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// It is no PEM of a private P-256 key.
    #[error(
        "this is no private P-256 key in PEM form: it should hold `-----BEGIN PRIVATE KEY-----` or \
         `-----BEGIN EC PRIVATE KEY-----`, without a password"
    )]
    NotPrivate,
    /// The text is not base64 of a PEM, as TWCManager stored it.
    #[error("`privKey` is not what TWCManager writes there: base64 of a private key in PEM form")]
    NotStored,
    /// The bytes are no point of the curve in its long form.
    #[error("these bytes are no public P-256 key of 65 bytes")]
    NotPublic,
    /// No key could be made.
    #[error(transparent)]
    NoRandomness(#[from] NoRandomness),
}

/// Our private key. Whoever has it can do to the car what the key's role allows: keep it readable by its owner only.
#[derive(Clone, PartialEq, Eq)]
pub struct PrivateKey(SecretKey);

/// Nothing of it is ever shown.
impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PrivateKey(***)")
    }
}

impl PrivateKey {
    /// Makes a new one.
    ///
    /// # Errors
    /// [`KeyError::NoRandomness`].
    pub fn generate(random: &mut dyn Random) -> Result<Self, KeyError> {
        // One draw in 2^32 is no number below the curve's order; a source that never gives one is broken.
        for _ in 0..8 {
            if let Ok(key) = SecretKey::from_slice(&random_array::<32>(random)?) {
                return Ok(Self(key));
            }
        }
        Err(NoRandomness.into())
    }

    /// Reads a PEM file's text: PKCS#8, as TWCManager and this program write it, or SEC 1, as `openssl ecparam` does.
    /// Other blocks in the same text, such as the curve's parameters, are skipped.
    ///
    /// # Errors
    /// [`KeyError::NotPrivate`].
    pub fn from_pem(text: &str) -> Result<Self, KeyError> {
        let key = if let Some(block) = pem_block(text, "PRIVATE KEY") {
            SecretKey::from_pkcs8_pem(&block).ok()
        } else {
            pem_block(text, "EC PRIVATE KEY").and_then(|block| SecretKey::from_sec1_pem(&block).ok())
        };
        key.map(Self).ok_or(KeyError::NotPrivate)
    }

    /// The key as PKCS#8 PEM: a secret.
    ///
    /// # Errors
    /// [`KeyError::NotPrivate`], which a key that was made or read never gives.
    pub fn to_pem(&self) -> Result<String, KeyError> {
        let pem = self.0.to_pkcs8_pem(LineEnding::LF).map_err(|_| KeyError::NotPrivate)?;
        Ok(pem.as_str().to_owned())
    }

    /// Reads what TWCManager keeps in `settings.json` under `Vehicles.<VIN>.privKey`: base64 of the PEM.
    ///
    /// # Errors
    /// [`KeyError::NotStored`] and [`KeyError::NotPrivate`].
    pub fn from_stored(text: &str) -> Result<Self, KeyError> {
        let bytes = STANDARD.decode(text.trim()).map_err(|_| KeyError::NotStored)?;
        Self::from_pem(str::from_utf8(&bytes).map_err(|_| KeyError::NotStored)?)
    }

    /// The three texts that TWCManager keeps for a car.
    ///
    /// # Errors
    /// As [`PrivateKey::to_pem`].
    pub fn to_stored(&self) -> Result<StoredKey, KeyError> {
        let public = self.public_key();
        Ok(StoredKey {
            priv_key: STANDARD.encode(self.to_pem()?),
            pub_key: STANDARD.encode(public.to_bytes()),
            pub_key_pem: STANDARD.encode(public.to_pem()?),
        })
    }

    /// Its public half.
    #[must_use]
    pub fn public_key(&self) -> PublicKey {
        PublicKey(self.0.public_key())
    }

    #[cfg(test)]
    pub(crate) fn from_scalar(bytes: &[u8]) -> Result<Self, KeyError> {
        SecretKey::from_slice(bytes).map(Self).map_err(|_| KeyError::NotPrivate)
    }

    /// Hands the x coordinate that both ends share to `with`, 32 bytes with leading zeros.
    pub(crate) fn shared_x<T>(&self, car: &PublicKey, with: impl FnOnce(&[u8]) -> T) -> T {
        with(self.0.diffie_hellman(&car.0).raw_secret_bytes())
    }
}

/// The block of a PEM text with exactly this label, markers included.
fn pem_block(text: &str, label: &str) -> Option<String> {
    let (begin, end) = (format!("-----BEGIN {label}-----"), format!("-----END {label}-----"));
    let (_, rest) = text.split_once(&begin)?;
    let (body, _) = rest.split_once(&end)?;
    Some(format!("{begin}{body}{end}\n"))
}

/// A key as TWCManager's `settings.json` has it under `Vehicles.<VIN>`: each is base64.
#[derive(Clone, PartialEq, Eq)]
pub struct StoredKey {
    /// `privKey`: the private key's PEM. A secret.
    pub priv_key: String,
    /// `pubKey`: the public key's 65 bytes.
    pub pub_key: String,
    /// `pubKeyPEM`: the public key's PEM.
    pub pub_key_pem: String,
}

impl fmt::Debug for StoredKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoredKey").field("priv_key", &"***").field("pub_key", &self.pub_key).finish_non_exhaustive()
    }
}

/// A public key: ours, or a car's.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct PublicKey(p256::PublicKey);

impl PublicKey {
    /// Reads the 65 bytes of an uncompressed point.
    ///
    /// # Errors
    /// [`KeyError::NotPublic`], also for a point that is not on the curve.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, KeyError> {
        if bytes.len() != 65 {
            return Err(KeyError::NotPublic);
        }
        p256::PublicKey::from_sec1_bytes(bytes).map(Self).map_err(|_| KeyError::NotPublic)
    }

    /// The 65 bytes of the uncompressed point.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        self.0.to_sec1_point(false).as_bytes().to_vec()
    }

    /// The key as PEM, as it must be published for pairing.
    ///
    /// # Errors
    /// [`KeyError::NotPublic`], which a key that was read never gives.
    pub fn to_pem(&self) -> Result<String, KeyError> {
        self.0.to_public_key_pem(LineEnding::LF).map_err(|_| KeyError::NotPublic)
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PublicKey(")?;
        self.to_bytes().iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
        f.write_str(")")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::SystemRandom;
    use crate::vectors::{self, hex};

    fn key() -> PrivateKey {
        PrivateKey::from_scalar(&hex(vectors::OWN_PRIVATE)).expect("published")
    }

    #[test]
    fn the_public_half_is_as_published() {
        assert_eq!(key().public_key().to_bytes(), hex(vectors::OWN_PUBLIC));
    }

    #[test]
    fn a_key_survives_pem_and_the_older_programs_layout() {
        let made = PrivateKey::generate(&mut SystemRandom).expect("a key");
        for key in [key(), made] {
            assert_eq!(PrivateKey::from_pem(&key.to_pem().expect("PEM")), Ok(key.clone()));
            let stored = key.to_stored().expect("texts");
            assert_eq!(PrivateKey::from_stored(&stored.priv_key), Ok(key.clone()));
            assert_eq!(STANDARD.decode(&stored.pub_key), Ok(key.public_key().to_bytes()));
            let shown = format!("{key:?} {stored:?}");
            assert!(shown.contains("PrivateKey(***)") && !shown.contains(&stored.priv_key), "{shown}");
        }
    }

    #[test]
    fn what_openssl_writes_is_read() {
        // SEC 1 with the curve named, and the parameters' own block before it, as `openssl ecparam -genkey` writes them.
        let mut der = hex("30770201010420");
        der.extend(hex(vectors::OWN_PRIVATE));
        der.extend(hex("a00a06082a8648ce3d030107a14403420 0"));
        der.extend(hex(vectors::OWN_PUBLIC));
        let body: String = STANDARD
            .encode(der)
            .as_bytes()
            .chunks(64)
            .map(|line| format!("{}\n", String::from_utf8_lossy(line)))
            .collect();
        let pem = format!(
            "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n\
             -----BEGIN EC PRIVATE KEY-----\n{body}-----END EC PRIVATE KEY-----\n"
        );
        assert_eq!(PrivateKey::from_pem(&pem), Ok(key()));
    }

    #[test]
    fn what_is_no_key_is_refused() {
        let public = key().public_key().to_pem().expect("PEM");
        for text in ["", "hello", &public, "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"] {
            assert_eq!(PrivateKey::from_pem(text), Err(KeyError::NotPrivate), "{text}");
        }
        assert_eq!(PrivateKey::from_stored("not base64!"), Err(KeyError::NotStored));
        let mut off_curve = hex(vectors::LEADING_ZERO_PUBLIC);
        off_curve[1] ^= 1;
        let mut zero = vec![0; 65];
        zero[0] = 4;
        for bytes in [&off_curve[..], &zero, &[], &[0], &hex(vectors::OWN_PUBLIC)[..64]] {
            assert_eq!(PublicKey::from_bytes(bytes), Err(KeyError::NotPublic));
        }
    }

    /// A source that only gives zeros ends instead of searching for ever.
    #[test]
    fn a_broken_source_of_randomness_is_an_error() {
        struct Zeros;
        impl Random for Zeros {
            fn fill(&mut self, bytes: &mut [u8]) -> Result<(), NoRandomness> {
                bytes.fill(0);
                Ok(())
            }
        }
        assert_eq!(PrivateKey::generate(&mut Zeros), Err(KeyError::NoRandomness(NoRandomness)));
    }
}
