//! What one source tells of one car at one moment.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::Serialize;
use units::{Amps, Percent, Phases, Volts, WattHours, Watts};

use crate::{CarKey, Nearness};

/// What one source tells of one car.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// Which car.
    pub car: CarKey,
    /// Name of the source, such as `TeslaAPI`.
    pub source: Arc<str>,
    /// How near the source is to the car.
    pub nearness: Nearness,
    /// When it was true, by the source's own stamp where it has one. `None` for values of unknown age, such as what a
    /// broker had kept: shown, but nothing is decided by them.
    pub taken_at: Option<Instant>,
    /// What is told; a fact that is not told leaves what is known.
    pub facts: Facts,
}

/// Facts about a car, each on its own: a source tells those that it knows.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Facts {
    /// The name its owner gave it.
    pub name: Option<String>,
    /// State of charge.
    pub soc: Option<Percent>,
    /// State of charge at which it stops by itself.
    pub limit: Option<Percent>,
    /// What its charger does.
    pub charging: Option<ChargingState>,
    /// Whether a cable is plugged in.
    pub plugged: Option<bool>,
    /// Current per phase that was set in the car.
    pub amps_requested: Option<Amps>,
    /// Most that can be set there now: the least of cable, charging point and car.
    pub amps_possible: Option<Amps>,
    /// Current per phase that the charging point offers, as the car sees it.
    pub amps_offered: Option<Amps>,
    /// Current per phase that flows.
    pub amps: Option<Amps>,
    /// Voltage of one phase while it charges.
    pub volts: Option<Volts>,
    /// Power it draws, where the source measures it better than volts, amps and phases would tell.
    pub drawn: Option<Watts>,
    /// Phases it charges on. A source that says 2 means three (Tesla's cloud does).
    pub phases: Option<Phases>,
    /// Energy of this session, as the car counts it.
    pub energy_added: Option<WattHours>,
    /// Time until its limit is reached.
    pub to_limit: Option<Duration>,
    /// Whether it can be reached.
    pub wakefulness: Option<Wakefulness>,
    /// Whether it stands still in park.
    pub parked: Option<bool>,
    /// Where it is.
    pub position: Option<Position>,
    /// Whether it is at home as the car or its owner's geofence sees it.
    pub says_home: Option<bool>,
    /// Whether it waits for its own timer.
    pub schedule_pending: Option<bool>,
    /// Whether it hangs on a fast charger with direct current: never steered.
    pub fast_charger: Option<bool>,
}

/// What the charger in the car does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ChargingState {
    /// No cable.
    Disconnected,
    /// A cable without power.
    NoPower,
    /// About to charge.
    Starting,
    /// Current flows.
    Charging,
    /// The limit is reached.
    Complete,
    /// Plugged in and not charging: stopped by somebody, or waiting.
    Stopped,
}

/// Whether a car can be reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Wakefulness {
    /// It answers.
    Awake,
    /// Asleep, or without a network: it cannot be told which.
    Asleep,
}

/// A place on earth.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Position {
    /// Degrees, north positive.
    pub latitude: f64,
    /// Degrees, east positive.
    pub longitude: f64,
    /// When it was measured; `None` when that is not known.
    pub fixed_at: Option<Instant>,
}

impl Position {
    /// A position, or `None` for numbers that are none on earth.
    #[must_use]
    pub fn new(latitude: f64, longitude: f64, fixed_at: Option<Instant>) -> Option<Self> {
        let is_on_earth = (-90.0..=90.0).contains(&latitude) && (-180.0..=180.0).contains(&longitude);
        is_on_earth.then_some(Position { latitude, longitude, fixed_at })
    }
}
