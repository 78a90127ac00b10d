//! Secrets that we make: 256 random bits as text, kept as their SHA-256. Nobody guesses these, so a plain hash is enough.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// What every token begins with, so that it is known for what it is where it should not be.
const TOKEN_PREFIX: &str = "twc_";

/// What is kept of a secret.
pub(super) type Fingerprint = [u8; 32];

/// Random bytes from the system.
pub(super) fn random<const N: usize>() -> Result<[u8; N], getrandom::Error> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes)?;
    Ok(bytes)
}

/// A fresh secret for a session.
pub(super) fn session_secret() -> Result<String, getrandom::Error> {
    Ok(URL_SAFE_NO_PAD.encode(random::<32>()?))
}

/// A fresh token for a program.
pub(super) fn token() -> Result<String, getrandom::Error> {
    Ok(format!("{TOKEN_PREFIX}{}", URL_SAFE_NO_PAD.encode(random::<32>()?)))
}

/// A short name for something, unique enough among a few dozen.
pub(super) fn id() -> Result<String, getrandom::Error> {
    Ok(hex(&random::<6>()?))
}

/// What to keep of a secret.
pub(super) fn fingerprint(secret: &str) -> Fingerprint {
    Sha256::digest(secret.as_bytes()).into()
}

/// Whether two fingerprints are equal, in the same time for all that are not.
pub(super) fn same(left: &[u8], right: &[u8]) -> bool {
    left.ct_eq(right).into()
}

/// Bytes in lower-case hexadecimal.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_long_different_and_fit_for_headers() {
        let (one, other) = (token().expect("random"), token().expect("random"));
        assert_ne!(one, other);
        assert_eq!((one.len(), &one[..4]), (47, "twc_"));
        assert!(one.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)));
        assert_eq!(session_secret().expect("random").len(), 43);
        assert_eq!(hex(&fingerprint("abc"))[..16], *"ba7816bf8f01cfea");
    }
}
