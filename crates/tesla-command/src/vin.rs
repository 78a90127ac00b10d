//! The name of a car, as it enters every signature.

use std::fmt;
use std::str::FromStr;

/// A vehicle identification number: 17 digits and capital letters.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Vin([u8; 17]);

/// A text that is no VIN.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a VIN: write its 17 letters and digits as they stand in the car's papers or on its screen")]
pub struct BadVin {
    text: String,
}

impl Vin {
    /// Its letters as bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Its letters.
    #[must_use]
    pub fn as_str(&self) -> &str {
        str::from_utf8(&self.0).unwrap_or_default()
    }
}

/// Small letters are taken for capital ones: the signature is made over capitals.
impl FromStr for Vin {
    type Err = BadVin;

    fn from_str(text: &str) -> Result<Self, BadVin> {
        let upper = text.trim().to_ascii_uppercase();
        match <[u8; 17]>::try_from(upper.as_bytes()) {
            Ok(bytes) if bytes.iter().all(u8::is_ascii_alphanumeric) => Ok(Self(bytes)),
            _ => Err(BadVin { text: text.to_owned() }),
        }
    }
}

impl fmt::Display for Vin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Vin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Vin({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_vin_has_seventeen_letters_and_digits() {
        assert_eq!("5yj30123456789abc".parse::<Vin>().expect("a VIN").as_str(), "5YJ30123456789ABC");
        for bad in ["", "5YJ30123456789AB", "5YJ30123456789ABCD", "5YJ3012345678 ABC", "5YJ30123456789AÄ"] {
            assert!(bad.parse::<Vin>().is_err(), "{bad}");
        }
    }
}
