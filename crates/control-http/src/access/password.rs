//! Passwords: argon2id, as a PHC string.

use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use argon2::{Algorithm, Argon2, Params, Version};

/// Fewest characters of a password.
pub const SHORTEST_PASSWORD: usize = 8;
/// Most bytes of a password.
pub const LONGEST_PASSWORD: usize = 1024;

/// Memory and passes: the leanest of the settings that OWASP's password storage cheat sheet holds for equal, so that a
/// Raspberry Pi with 512 MB can spare it (the library's default takes 19 MiB).
const MEMORY_KIB: u32 = 7168;
const PASSES: u32 = 5;
const LANES: u32 = 1;

/// The hash to keep, with a fresh salt. Takes some tenths of a second and 7 MiB.
pub(super) fn hash(password: &str) -> Result<String, String> {
    hash_with(password, MEMORY_KIB, PASSES)
}

fn hash_with(password: &str, memory_kib: u32, passes: u32) -> Result<String, String> {
    let params = Params::new(memory_kib, passes, LANES, None).map_err(|error| error.to_string())?;
    let salt: [u8; 16] = super::token::random().map_err(|error| error.to_string())?;
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_with_salt(password.as_bytes(), &salt)
        .map(|hash| hash.to_string())
        .map_err(|error| error.to_string())
}

/// Whether a text is a hash that [`matches`] can judge.
pub(super) fn is_hash(text: &str) -> bool {
    PasswordHash::new(text).is_ok_and(|hash| hash.algorithm.as_str() == "argon2id" && hash.hash.is_some())
}

/// Whether the password is the one that was hashed. The cost is that of the hash; the comparison takes the same time
/// for every wrong one.
pub(super) fn matches(password: &str, hash: &str) -> bool {
    password.len() <= LONGEST_PASSWORD
        && PasswordHash::new(hash)
            .is_ok_and(|hash| Argon2::default().verify_password(password.as_bytes(), &hash).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_right_password_matches_and_no_other() {
        let hash = hash_with("correct horse", 8, 1).expect("a hash");
        assert!(hash.starts_with("$argon2id$v=19$m=8,t=1,p=1$"), "{hash}");
        assert!(matches("correct horse", &hash));
        assert!(!matches("correct horsf", &hash));
        assert!(!matches("", &hash));
        assert!(!matches(&"x".repeat(LONGEST_PASSWORD + 1), &hash));
        assert_ne!(hash, hash_with("correct horse", 8, 1).expect("a hash"), "each has its own salt");
    }

    #[test]
    fn the_cost_that_is_kept_fits_a_small_computer() {
        let hash = hash("correct horse").expect("a hash");
        assert!(hash.starts_with("$argon2id$v=19$m=7168,t=5,p=1$"), "{hash}");
    }

    #[test]
    fn other_texts_are_no_hashes_and_match_nothing() {
        for text in ["", "plain", "$argon2i$v=19$m=8,t=1,p=1$c29tZXNhbHQ$AAAAAAAAAAAAAAAAAAAAAA", "$argon2id$v=19$m=8"]
        {
            assert!(!is_hash(text), "{text}");
            assert!(!matches("", text), "{text}");
        }
    }
}
