//! What the policies may ask of the site.

use std::time::Instant;

use config::Settings;
use policy::{Fact, Facts};
use serde_json::{Map, Value};

use crate::sources::Sources;

/// What the policies may ask, gathered from the parts of the site.
pub(crate) struct SiteFacts<'a> {
    pub(crate) now: Instant,
    pub(crate) settings: &'a Settings,
    pub(crate) config: &'a Map<String, Value>,
    pub(crate) sources: &'a Sources,
    /// Amps per phase of the site that the surplus allows.
    pub(crate) green_amps: Option<f64>,
    /// The one car: its state of charge, its limit, and watts it takes for one amp.
    pub(crate) car: Option<Car>,
}

/// What is known of the only car.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Car {
    /// Percent.
    pub(crate) soc: f64,
    /// Percent.
    pub(crate) limit: f64,
    /// Kilowatt-hours.
    pub(crate) battery: f64,
    /// Real watts for one amp.
    pub(crate) watts_per_amp: f64,
    /// More hours, so that a flexible start that has begun does not end when the state of charge moves on a percent.
    pub(crate) in_hand: f64,
}

impl Facts for SiteFacts<'_> {
    fn setting(&self, key: &str) -> Option<&Value> {
        self.settings.value(key)
    }

    fn config(&self, key: &str) -> Option<&Value> {
        self.config.get(key)
    }

    fn module(&self, name: &str, attribute: &str) -> Fact {
        self.sources.attribute(name, attribute, self.now)
    }

    fn green_amps(&self) -> Option<f64> {
        self.green_amps
    }

    fn hours_to_charge(&self, amps: f64) -> Option<(f64, f64)> {
        let car = self.car?;
        let kilowatts = amps * car.watts_per_amp / 1000.0;
        if kilowatts <= 0.0 {
            return None;
        }
        let missing = (car.limit - car.soc).max(0.0) / 100.0;
        Some((car.battery / kilowatts * missing + car.in_hand, car.limit))
    }
}
