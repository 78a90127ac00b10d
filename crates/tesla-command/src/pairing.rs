//! What the owner has to do so that a car takes our key.
//!
//! Source: Tesla's developer pages, <https://developer.tesla.com/docs/fleet-api/virtual-keys/overview>.

use std::fmt;
use std::str::FromStr;

/// Where Tesla looks for the public key on the owner's domain.
pub const PUBLIC_KEY_PATH: &str = "/.well-known/appspecific/com.tesla.3p.public-key.pem";

/// A domain on which the public key is published, such as `cars.example.org`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PairingDomain(String);

/// A text that is no domain.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is no domain: write it without `https://` and without a path, such as `cars.example.org`")]
pub struct BadDomain {
    text: String,
}

impl FromStr for PairingDomain {
    type Err = BadDomain;

    fn from_str(text: &str) -> Result<Self, BadDomain> {
        let domain = text.trim().to_ascii_lowercase();
        let is_label = |label: &str| {
            (1..=63).contains(&label.len())
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        };
        if domain.len() <= 253 && domain.contains('.') && domain.split('.').all(is_label) {
            Ok(Self(domain))
        } else {
            Err(BadDomain { text: text.to_owned() })
        }
    }
}

impl PairingDomain {
    /// Where the public key must be found, for as long as the car shall obey.
    #[must_use]
    pub fn public_key_url(&self) -> String {
        format!("https://{}{PUBLIC_KEY_PATH}", self.0)
    }

    /// The page that opens Tesla's app and offers the key to a car.
    #[must_use]
    pub fn pairing_url(&self) -> String {
        format!("https://tesla.com/_ak/{}", self.0)
    }
}

/// The steps of pairing over the internet, one a line.
impl fmt::Display for PairingDomain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "1. Publish the public key at {} and leave it there.", self.public_key_url())?;
        writeln!(f, "2. Register the domain `{}` once for your region (Tesla calls it a partner account).", self.0)?;
        writeln!(f, "3. On the phone with the Tesla app, version 4.27.3 or newer, open {}", self.pairing_url())?;
        writeln!(
            f,
            "4. Choose the car and confirm. The car must have a connection. Repeat steps 3 and 4 for each car."
        )?;
        write!(f, "The key then shows in the car under Controls > Locks, where it can be removed again.")
    }
}

/// The steps of pairing over Bluetooth, one a line.
pub const BLUETOOTH_STEPS: &str = "\
1. Sit in the car with a key card at hand; this computer must be within a few metres.
2. Send the request for the key, once only.
3. Within 30 seconds hold the key card to the console, then confirm on the car's screen.
The key then shows in the car under Controls > Locks, where it can be removed again.";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_steps_name_the_addresses() {
        let domain: PairingDomain = " Cars.Example.org".parse().expect("a domain");
        assert_eq!(domain.pairing_url(), "https://tesla.com/_ak/cars.example.org");
        let steps = domain.to_string();
        let key = "https://cars.example.org/.well-known/appspecific/com.tesla.3p.public-key.pem";
        assert!(steps.contains(key) && steps.contains(&domain.pairing_url()), "{steps}");
    }

    #[test]
    fn what_is_no_domain_is_refused() {
        for bad in ["", "localhost", "https://a.b", "a.b/c", "a..b", "-a.b", "a b.c", "a.b:80"] {
            assert!(bad.parse::<PairingDomain>().is_err(), "{bad}");
        }
    }
}
