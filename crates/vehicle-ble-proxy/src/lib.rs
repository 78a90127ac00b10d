//! Cars over Bluetooth through a TeslaBleHttpProxy in the house: the source `TeslaBleHttpProxy`.
//!
//! ```text
//! who decides --Ask--> one thread --HTTP, up to 60 s--> TeslaBleHttpProxy --Bluetooth--> car
//!            <--Report, Answer--
//! ```
//!
//! | part | what |
//! |---|---|
//! | [`Settings`] | where the proxy is, and which cars it reaches |
//! | [`open`] | the [`VehicleSource`] |
//! | `reply.rs` | what an answer says; pure |
//! | `bridge.rs` | which calls a question takes |
//!
//! The proxy wakes a car for each command. So before a command, unless the car was reached within the last minutes, the body
//! controller is asked whether the car sleeps, which wakes nobody; a sleeping car is left asleep and said to be so. Reading
//! never wakes it. Commands wait for the car's answer; even so the proxy takes some refusals for success, so that what
//! counts are the watts that flow.
//!
//! It costs nothing and needs no internet. Tesla's cloud is `vehicle-tesla`; the vendor's own program `vehicle-tesla-control`.
//!
//! Facts: <https://github.com/wimaha/TeslaBleHttpProxy>; use and quirks in `docs/vehicles/bluetooth.md`.

mod bridge;
mod reply;

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http_client::{Client, HttpError};
use vehicle::{Abilities, VehicleListener, VehicleSource, Vin};

use bridge::Bridge;

/// Name of the source.
pub const NAME: &str = "TeslaBleHttpProxy";
/// One conversation of the proxy with a car: search, connection and handshake, with its own repetitions.
const CALL: Duration = Duration::from_secs(60);

/// Where the proxy is, and which cars it reaches.
#[derive(Clone, PartialEq, Eq)]
pub struct Settings {
    /// Its address, such as `http://192.168.1.20:8080`.
    pub url: String,
    /// Cars that it reaches; empty for all cars that are known otherwise.
    pub vins: BTreeSet<Vin>,
    /// Longest wait for one of its answers; 60 s unless a test is in a hurry.
    pub patience: Duration,
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // An address may hold a password.
        let address = self.url.rsplit('@').next().unwrap_or_default();
        write!(f, "Settings({address}, {:?}, {:?})", self.vins, self.patience)
    }
}

impl Settings {
    /// A proxy with the usual patience.
    #[must_use]
    pub fn new(url: impl Into<String>, vins: impl IntoIterator<Item = Vin>) -> Self {
        Settings { url: url.into(), vins: vins.into_iter().collect(), patience: CALL }
    }
}

/// Why the source cannot be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The address cannot be used.
    #[error(transparent)]
    Address(#[from] HttpError),
    /// The system gave no thread.
    #[error("vehicle.teslaBleHttpProxy is not used, since the system gave no thread: {0}")]
    Thread(#[from] std::io::Error),
}

/// Opens the source. Nobody is called before something is asked.
///
/// # Errors
/// [`OpenError`].
pub fn open(settings: Settings, listener: Arc<dyn VehicleListener>) -> Result<Arc<dyn VehicleSource>, OpenError> {
    let client = Client::builder(&settings.url)
        .config_key("vehicle.teslaBleHttpProxy.url")
        .total_timeout(settings.patience)
        .build()?;
    let vins = settings.vins.clone();
    let able = move |car: &vehicle::CarKey| match car.vin() {
        Some(vin) if vins.is_empty() || vins.contains(vin) => {
            Abilities { reads: true, reads_wakefulness: true, commands: true, wakes: true, ..Abilities::default() }
        }
        _ => Abilities::default(),
    };
    Ok(vehicle_radio::open(NAME, Bridge::new(client, settings.vins), able, listener)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_in_the_address_is_not_shown() {
        let shown = format!("{:?}", Settings::new("http://me:hunter2@192.168.1.20:8080", []));
        assert!(shown.contains("192.168.1.20") && !shown.contains("hunter2"), "{shown}");
    }
}
