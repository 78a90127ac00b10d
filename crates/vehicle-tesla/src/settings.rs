//! What the source is told by the configuration.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use http_client::Tls;
use tesla_command::PairingDomain;

use crate::region::{Hosts, Region};

/// Name of the file with our key pair, in the folder of the settings.
pub const KEY_FILE: &str = "tesla-command-key.pem";
/// Name of the file with what is remembered of cars: sessions of signed commands, and who wants those. No secret is in it.
pub const NOTES_FILE: &str = "tesla-cars.json";

/// The rights that are asked for unless the configuration says otherwise, as TWCManager does.
pub const DEFAULT_SCOPE: &str =
    "openid offline_access vehicle_device_data vehicle_cmds vehicle_location vehicle_charging_cmds";

/// Everything the source is told.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The application that was registered with Tesla, for signing in.
    pub app: App,
    /// Region of the account, where its token does not say.
    pub region: Region,
    /// Where the cloud is.
    pub hosts: Hosts,
    /// A fixed token of a drop-in service that has the same calls (`vehicle.teslaAPI.token`): no signing in, no signed
    /// commands.
    pub fixed_token: Option<Token>,
    /// A command proxy that signs for us.
    pub proxy: Option<Proxy>,
    /// Folder of key and notes; without one no command can be signed and nothing is remembered.
    pub folder: Option<PathBuf>,
    /// The domain that our public key is published on.
    pub domain: Option<PairingDomain>,
    /// Pauses and time-outs.
    pub pace: Pace,
}

/// The application that the owner registered with Tesla.
#[derive(Clone, Default)]
pub struct App {
    /// `teslaApiClientID`.
    pub client_id: Option<String>,
    /// `teslaApiClientSecret`.
    pub client_secret: Option<String>,
    /// `teslaApiRedirectUri`.
    pub redirect_uri: Option<String>,
    /// `teslaApiScope`.
    pub scope: String,
}

/// The secret is not shown.
impl fmt::Debug for App {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("App")
            .field("client_id", &self.client_id)
            .field("has_secret", &self.client_secret.is_some())
            .field("redirect_uri", &self.redirect_uri)
            .field("scope", &self.scope)
            .finish()
    }
}

/// A token of which nothing is ever shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl Token {
    /// Takes a token.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Token(text.trim().to_owned())
    }

    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(***)")
    }
}

/// A command proxy.
#[derive(Debug, Clone)]
pub struct Proxy {
    /// `teslaProxy`: its base address.
    pub url: String,
    /// How its certificate is judged (`teslaProxyCert`).
    pub tls: Tls,
}

/// Pauses and time-outs. The defaults are right for everything but tests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// For a whole call.
    pub call: Duration,
    /// For making a connection.
    pub connect: Duration,
    /// Between two looks whether a car has woken.
    pub wake_poll: Duration,
    /// For so long a car may take to wake.
    pub wake_limit: Duration,
    /// How often it is looked whether idle tokens want renewal.
    pub idle_check: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Pace {
            call: Duration::from_secs(30),
            connect: Duration::from_secs(10),
            wake_poll: Duration::from_secs(5),
            wake_limit: Duration::from_secs(60),
            idle_check: Duration::from_secs(3600),
        }
    }
}

impl Settings {
    /// Settings for an application, everything else as usual.
    #[must_use]
    pub fn new(app: App, region: Region, folder: Option<PathBuf>) -> Self {
        Settings {
            app,
            region,
            hosts: Hosts::default(),
            fixed_token: None,
            proxy: None,
            folder,
            domain: None,
            pace: Pace::default(),
        }
    }

    /// Where our key pair is kept.
    #[must_use]
    pub fn key_path(&self) -> Option<PathBuf> {
        self.folder.as_ref().map(|folder| folder.join(KEY_FILE))
    }

    /// The domain of our public key: the one that is configured, else the host of the redirect address.
    #[must_use]
    pub fn pairing_domain(&self) -> Option<PairingDomain> {
        if self.domain.is_some() {
            return self.domain.clone();
        }
        let (_, rest) = self.app.redirect_uri.as_deref()?.split_once("://")?;
        rest.split(['/', ':', '?', '#']).next()?.parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_domain_is_that_of_the_redirect_address_unless_named() {
        let app = App { redirect_uri: Some("https://cars.example.org/teslaAccount/callback".into()), ..App::default() };
        let mut settings = Settings::new(app, Region::Europe, None);
        assert_eq!(settings.pairing_domain().unwrap().pairing_url(), "https://tesla.com/_ak/cars.example.org");
        settings.domain = Some("key.example.org".parse().unwrap());
        assert_eq!(settings.pairing_domain().unwrap().pairing_url(), "https://tesla.com/_ak/key.example.org");
        settings.domain = None;
        settings.app.redirect_uri = Some("http://localhost:8088/".into());
        assert_eq!(settings.pairing_domain(), None);
    }

    #[test]
    fn secrets_are_not_shown() {
        let app = App { client_secret: Some("S3CRET".into()), ..App::default() };
        let mut settings = Settings::new(app, Region::Europe, None);
        settings.fixed_token = Some(Token::new("T0KEN"));
        let shown = format!("{settings:?}");
        assert!(!shown.contains("S3CRET") && !shown.contains("T0KEN"), "{shown}");
    }
}
