//! What the configuration says about cars.

use std::collections::BTreeMap;
use std::time::Duration;

use units::{Percent, Phases};
use vehicle::Home;

use crate::Allowance;

/// Everything that is configured about cars in general.
#[derive(Debug, Clone, PartialEq)]
pub struct GarageSettings {
    /// `vehicle.commandPolicy`: which way commands go.
    pub policy: CommandPolicy,
    /// `vehicle.budget`: what calls may cost.
    pub allowance: Allowance,
    /// `config.cloudUpdateInterval`: how often an idle car that is awake is read. Never less than a quarter of an hour, so
    /// that a car can fall asleep in between.
    pub idle_interval: Duration,
    /// `vehicle.chargingInterval`: how often a car that charges at home is read through a source that costs.
    pub charging_interval: Duration,
    /// `config.wakeDelayMins`: power is granted so long before a sleeping car is woken for it.
    pub wake_delay: Duration,
    /// `config.respectVehicleSchedule`: a car that waits for its own timer is not started.
    pub respect_schedule: bool,
    /// `config.minChargeLevel`: a car below is not stopped because it is granted nothing; only because it may not charge
    /// here or is told to stop. Leave it out where whoever grants power sees to this himself: he also knows when a fuse
    /// leaves no choice.
    pub min_level: Option<Percent>,
    /// So long after the start no car is stopped for want of power: whoever grants it knows too little yet, and a car that
    /// is stopped and started again costs calls and wears its contactor. One on the circuit is held down meanwhile.
    pub settle_time: Duration,
    /// Where home is.
    pub home: HomeSetting,
    /// Settings of single cars, by VIN or name.
    pub cars: BTreeMap<String, CarSetting>,
}

/// Where home is, as configured.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct HomeSetting {
    /// Degrees north and east; `None` until the first parked car shows it.
    pub position: Option<(f64, f64)>,
    /// `config.atHomeRadiusMetres`, or `config.atHomeRadius` in feet; metres here.
    pub radius: f64,
}

impl HomeSetting {
    pub(crate) fn home(&self) -> Option<Home> {
        let (latitude, longitude) = self.position?;
        Some(Home { latitude, longitude, radius: self.radius })
    }
}

/// Settings of one car.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CarSetting {
    /// Phases it charges on, where it does not tell.
    pub phases: Option<Phases>,
    /// Its charger hangs on the circuit of the local charging points.
    pub is_on_circuit: bool,
}

/// Which sources may command a car, and in which order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CommandPolicy {
    /// By Bluetooth, and by the others when that fails.
    #[default]
    PreferBle,
    /// By Bluetooth only.
    BleOnly,
    /// Never by Bluetooth.
    ApiOnly,
}

impl Default for GarageSettings {
    fn default() -> Self {
        GarageSettings {
            policy: CommandPolicy::default(),
            allowance: Allowance::default(),
            idle_interval: Duration::from_secs(1800),
            charging_interval: Duration::from_secs(300),
            wake_delay: Duration::from_secs(180),
            respect_schedule: true,
            min_level: None,
            settle_time: Duration::from_secs(60),
            home: HomeSetting { position: None, radius: 3218.0 },
            cars: BTreeMap::new(),
        }
    }
}
