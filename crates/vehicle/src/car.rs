//! Which car, and a car as others hold it.

use std::fmt;
use std::sync::Arc;

use evse::Vin;
use serde::Serialize;
use units::{Amps, Percent};

use crate::VehicleState;

/// Names one car.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(untagged)]
pub enum CarKey {
    /// By its vehicle identification number: the same car in every source.
    Vin(Vin),
    /// By a name, where a source knows no VIN. It is taken to be the car of this name that another source knows by VIN, if
    /// there is exactly one.
    Name(String),
}

impl CarKey {
    /// The VIN, where it is known.
    #[must_use]
    pub fn vin(&self) -> Option<&Vin> {
        match self {
            CarKey::Vin(vin) => Some(vin),
            CarKey::Name(_) => None,
        }
    }

    /// VIN or name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            CarKey::Vin(vin) => vin.as_str(),
            CarKey::Name(name) => name,
        }
    }
}

impl From<Vin> for CarKey {
    fn from(vin: Vin) -> Self {
        CarKey::Vin(vin)
    }
}

impl fmt::Display for CarKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A car as controllers and front ends hold it: what is known, and what can be asked.
///
/// # For those who implement it
/// No method may block: commands are queued, and weighed against budget, sleep and permission before anything is sent.
///
/// # For those who call it
/// `Ok` means queued. The proof is in a later [`VehicleState`], or in watts that flow.
pub trait Vehicle: Send + Sync {
    /// Which car.
    fn key(&self) -> &CarKey;

    /// What is known, each field with its age and source.
    fn state(&self) -> Arc<VehicleState>;

    /// Lets it charge.
    ///
    /// # Errors
    /// When no source can command it.
    fn start(&self) -> Result<(), VehicleError>;

    /// Has it stop charging.
    ///
    /// # Errors
    /// When no source can command it.
    fn stop(&self) -> Result<(), VehicleError>;

    /// Sets the most current it takes, per phase.
    ///
    /// # Errors
    /// When no source can command it.
    fn set_amps(&self, amps: Amps) -> Result<(), VehicleError>;

    /// Sets its charge limit, 50 to 100 percent.
    ///
    /// # Errors
    /// When no source can command it, or for a limit out of range.
    fn set_limit(&self, limit: Percent) -> Result<(), VehicleError>;

    /// Wakes it. The dearest call there is: only for a person who asks for it.
    ///
    /// # Errors
    /// When no source can wake it.
    fn wake(&self) -> Result<(), VehicleError>;
}

/// Why a car did not take a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VehicleError {
    /// Which car.
    pub car: CarKey,
    /// A sentence for people, with what to do.
    pub text: String,
}

impl fmt::Display for VehicleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.car, self.text)
    }
}

impl std::error::Error for VehicleError {}
