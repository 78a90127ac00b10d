//! An access token that TeslaMate lends: read, never renewed here, since one program only may own a sign-in.

use std::sync::{Mutex, PoisonError};

use vehicle_tesla::{TokenStore, Tokens};
use vehicle_teslamate::tokens::{AccessToken, TokenError};

/// What TeslaMate's database held last.
#[derive(Debug, Default)]
pub struct Borrowed(Mutex<Option<AccessToken>>);

impl Borrowed {
    /// The database was looked at. What it held before counts on while it cannot be read.
    pub fn told(&self, found: Result<AccessToken, TokenError>) {
        match found {
            Ok(token) => {
                log::info!("Tesla's cloud is read with TeslaMate's token");
                *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(token);
            }
            Err(error) => log::warn!("{error}"),
        }
    }
}

impl TokenStore for Borrowed {
    fn load(&self) -> Option<Tokens> {
        let token = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        token.as_ref().map(|token| Tokens {
            access: token.reveal().to_owned(),
            refresh: String::new(),
            expires: token.expires_at,
        })
    }

    fn save(&self, _: &Tokens) -> Result<(), String> {
        let text = "Tesla's cloud is used with TeslaMate's token (vehicle.TeslaMate.syncTokens): switch that off to sign in here";
        Err(text.to_owned())
    }
}
