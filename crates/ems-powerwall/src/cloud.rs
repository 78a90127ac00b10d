//! The energy part of Tesla's Fleet API.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use ems::{Ems, EmsError, EmsErrorKind, EmsReading, Pace, Stop};
use ems_http::Stamp;
use http_client::{Auth, Client};

use crate::finish;
use crate::parse::{Found, battery_site, live_status};
use crate::reserve::Reserve;

/// Calls are counted and billed.
const INTERVAL: Duration = Duration::from_secs(60);
/// The gateway reports to the cloud about this often.
const LAG: Duration = Duration::from_secs(60);

/// The access token that the rest of the program holds for Tesla's cloud, for energy sites as well. In [`ems::Shared`];
/// whoever renews the token calls [`CloudTokens::set`].
#[derive(Default)]
pub struct CloudTokens(Mutex<Option<String>>);

impl CloudTokens {
    /// The token from now on; `None` when there is none any more.
    pub fn set(&self, token: Option<String>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = token;
    }

    fn get(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl std::fmt::Debug for CloudTokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("CloudTokens(***)")
    }
}

pub(crate) struct Cloud {
    pub client: Client,
    /// A token of the section's own.
    pub token: Option<String>,
    pub tokens: Arc<CloudTokens>,
    pub site: Option<String>,
    pub in_use: Option<String>,
}

impl Cloud {
    /// Whether there is any token to ask with.
    pub fn has_token(&self) -> bool {
        self.token.is_some() || self.tokens.get().is_some()
    }

    pub fn live(&mut self) -> Result<Found, EmsError> {
        let token = self.token.clone().or_else(|| self.tokens.get()).ok_or_else(|| {
            let text = "there is no token for Tesla's cloud: log in to Tesla on the program's page, or set `token`";
            EmsError::new(EmsErrorKind::Misconfigured, text)
        })?;
        if self.in_use.as_ref() != Some(&token) {
            self.client.set_auth(Auth::Bearer(token.clone()));
            self.in_use = Some(token);
        }
        let site = match &self.site {
            Some(site) => site.clone(),
            None => {
                let answer = self.get("/api/1/products")?;
                let found = battery_site(&answer).map_err(|error| ems_http::garbled(&error))?;
                let site = found.ok_or_else(|| {
                    let text =
                        "this Tesla account has no site with a battery; set `cloudID` to the number of the energy site";
                    EmsError::new(EmsErrorKind::Misconfigured, text)
                })?;
                self.site = Some(site.clone());
                site
            }
        };
        let answer = self.get(&format!("/api/1/energy_sites/{}/live_status", http_client::url::encode(&site)))?;
        live_status(&answer).map_err(|error| ems_http::garbled(&error))
    }

    fn get(&self, path: &str) -> Result<serde_json::Value, EmsError> {
        self.client.get_json(path).map_err(|error| match error.status() {
            Some(403) => EmsError::new(
                EmsErrorKind::Denied,
                format!(
                    "{error}; the token lacks the permission `energy_device_data`: log in to Tesla again and grant it"
                ),
            ),
            Some(401) => {
                EmsError::new(EmsErrorKind::Denied, format!("{error}; the token has ended: it must be renewed"))
            }
            _ => ems_http::failed(&error),
        })
    }
}

/// A Powerwall whose gateway cannot be asked: from the cloud alone.
pub(crate) struct CloudOnly {
    pub cloud: Cloud,
    pub reserve: Reserve,
    pub stamp: Stamp,
}

impl Ems for CloudOnly {
    fn read(&mut self, _: &Stop) -> Result<EmsReading, EmsError> {
        let found = self.cloud.live()?;
        let taken_at = self.stamp.taken_at(found.stamp.as_deref(), Instant::now());
        Ok(finish(found.values, &mut self.reserve, taken_at)?.usable_for(INTERVAL * 3 + LAG))
    }

    fn pace(&self) -> Pace {
        Pace::Every(INTERVAL)
    }
}
