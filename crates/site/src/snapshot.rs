//! The state of the whole site at one moment, as every front end sees it.
//!
//! It is immutable and complete: the page, both APIs, MQTT and the logs read it and nothing else. All times are seconds
//! since 1970 (UTC), so that whoever shows a number can tell its age. Absent is `null`, never zero.

use std::collections::BTreeMap;

use evse::{Activity, Capabilities, Detail, Link, Plug, View};
use serde::Serialize;
use units::PerPhase;

use crate::{Permission, PermittedBy};

/// The state of the site.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Snapshot {
    /// Grows by one with every change that is published.
    pub sequence: u64,
    /// When this was made.
    pub at: f64,
    /// When the program started.
    pub started_at: f64,
    /// What cannot change while it runs.
    pub site: SiteView,
    /// Power flows now.
    pub power: PowerView,
    /// The rule in force.
    pub policy: PolicyView,
    /// Charge Now, while it lasts.
    pub charge_now: Option<ChargeNowView>,
    /// Every charging point, in the order of their names.
    pub evses: Vec<EvseView>,
    /// Every energy source, in the order of the configuration.
    pub sources: Vec<SourceView>,
    /// What somebody should know, most serious first.
    pub alerts: Vec<AlertView>,
}

/// Fixed facts of the site.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct SiteView {
    /// Current that all charging points may share, per phase, in amps.
    pub max_amps_all: f64,
    /// Current that one charging point may have, per phase, in amps.
    pub max_amps_each: f64,
    /// Least current at which a car is charged, per phase, in amps.
    pub min_amps_each: f64,
    /// Configured voltage of a phase.
    pub default_volts: f64,
    /// Configured number of phases.
    pub phases: u8,
    /// Whether these are simulated charging points.
    pub is_demo: bool,
}

/// Power flows now, in watts, with the signs of the EMS readings.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct PowerView {
    /// Solar or other own generation.
    pub generation: Option<MeasuredView>,
    /// Export and import, where only meters at the grid connection tell anything.
    #[serde(skip)]
    pub exchange: Option<ExchangeView>,
    /// The house, cars excluded where that can be told.
    pub house: Option<MeasuredView>,
    /// Consumption as the meters tell it.
    pub consumption: Option<MeasuredView>,
    /// Grid; import positive.
    pub grid: Option<MeasuredView>,
    /// Grid current on each phase in amps, where the meter tells phases.
    pub grid_amps: PerPhase<Option<f64>>,
    /// Battery; discharge positive.
    pub battery: Option<MeasuredView>,
    /// Battery state of charge in percent.
    pub battery_soc: Option<f64>,
    /// What all cars draw.
    pub cars_w: f64,
    /// Surplus that cars could have, by the readings; `null` while they are unknown.
    pub surplus_w: Option<f64>,
    /// What the policy grants to all cars together.
    pub granted_w: f64,
    /// The same in amps per phase of the site.
    pub granted_amps: f64,
    /// Limit of what cars may have together, in amps per phase of the site: wiring, grid limit, fuse.
    pub limit_amps: f64,
}

impl PowerView {
    /// Generation in the sense of TWCManager's status: the export, where nothing tells the generation.
    #[must_use]
    pub fn told_generation(&self) -> Option<&MeasuredView> {
        self.exchange.as_ref().map_or(self.generation.as_ref(), |exchange| exchange.export.as_ref())
    }

    /// Consumption in the sense of TWCManager's status: the import, where nothing tells the consumption.
    #[must_use]
    pub fn told_consumption(&self) -> Option<&MeasuredView> {
        self.exchange.as_ref().map_or(self.consumption.as_ref(), |exchange| exchange.import.as_ref())
    }
}

/// What passes the grid connection, each direction on its own.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ExchangeView {
    /// To the grid.
    pub export: Option<MeasuredView>,
    /// From the grid.
    pub import: Option<MeasuredView>,
}

/// A measured power and when it was taken.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct MeasuredView {
    /// Watts.
    pub w: f64,
    /// When the oldest part of it was taken.
    pub taken_at: f64,
    /// `live`, `ageing` or `stale`; a stale value is shown, never used.
    pub freshness: FreshnessView,
    /// Whether it is an estimate.
    pub is_estimate: bool,
}

/// How far a value can be trusted for its age.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FreshnessView {
    /// New enough.
    Live,
    /// Late, still used.
    Ageing,
    /// Too old to use.
    Stale,
}

/// The rule in force and why.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PolicyView {
    /// Its name, such as `Track Green Energy`; `None` as text before the first evaluation.
    pub name: String,
    /// A stable word: `charge_now`, `scheduled`, `green`, `non_scheduled`, `custom`, `none`.
    pub kind: &'static str,
    /// Whether the amount follows the surplus.
    pub is_green: bool,
    /// A sentence: what it does now and why.
    pub reason: String,
    /// Since when it is in force.
    pub since: f64,
}

/// Charge Now.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ChargeNowView {
    /// Amps per phase for all charging points together.
    pub amps: f64,
    /// When it ends.
    pub until: f64,
}

/// One charging point.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct EvseView {
    /// Its id, such as `gen2-4085`.
    pub id: String,
    /// Its name for people.
    pub name: String,
    /// Its controller.
    pub controller: String,
    /// Whether it answers.
    pub link: Link,
    /// Whether a car is plugged in.
    pub plug: Plug,
    /// What it is doing.
    pub activity: Activity,
    /// One plain sentence: state and reason, ready to be shown.
    pub sentence: String,
    /// What bounds its offer.
    pub bound_by: ReasonView,
    /// Power granted to it, in watts.
    pub target_w: f64,
    /// Current it was last told, per phase, in amps.
    pub offered_a: Option<f64>,
    /// Current it says it obeys, per phase.
    pub reported_max_a: Option<f64>,
    /// Current that flows, the highest phase.
    pub drawn_a: Option<f64>,
    /// Current on each phase where measured.
    pub drawn_per_phase_a: PerPhase<Option<f64>>,
    /// Power that flows, in watts.
    pub power_w: Option<f64>,
    /// Voltage on each phase where measured.
    pub volts: PerPhase<Option<f64>>,
    /// Phases its car uses, as reckoned.
    pub phases: u8,
    /// Least current, per phase.
    pub min_a: f64,
    /// Most current, per phase.
    pub max_a: f64,
    /// Whether the power is reckoned from what was last told rather than measured now.
    pub is_estimate: bool,
    /// Whether it shares the wiring of the charging points; `false` for a car on somebody else's charger.
    pub is_on_circuit: bool,
    /// The car, on what terms it takes part, and how it is seen.
    pub car: CarView,
    /// The charging session in progress.
    pub session: Option<SessionView>,
    /// The car, when known.
    pub vin: Option<String>,
    /// The car before this one.
    pub last_vin: Option<String>,
    /// The car's state of charge in percent.
    pub soc: Option<f64>,
    /// Energy counter of the device, in watt-hours.
    pub energy_total_wh: Option<f64>,
    /// When it was last heard.
    pub heard_at: f64,
    /// Whether a person lets it take part.
    pub is_enabled: bool,
    /// Its rank when power is short; higher goes first.
    pub priority: i32,
    /// What can be asked of it.
    pub capabilities: Capabilities,
    /// Facts that only its make has.
    pub details: BTreeMap<&'static str, Detail>,
}

/// On what terms the car at a charging point takes part, and how it is seen.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct CarView {
    /// `allow`, `deny` or `green`.
    pub permission: Permission,
    /// Where the permission comes from: a stable word.
    pub permission_by: PermittedBy,
    /// A sentence about it.
    pub permission_text: String,
    /// Its own rank, which counts instead of the charging point's.
    pub priority: Option<i32>,
    /// Least state of charge in percent: below it the car goes before all others.
    pub min_soc: Option<f64>,
    /// Whether it is below it now.
    pub is_first: bool,
    /// How it is seen: one entry for each controller that does, and for views that may be of this car. Empty for a charging
    /// point that nobody else sees.
    pub views: Vec<View>,
}

/// Why a number is what it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ReasonView {
    /// A stable word for programs.
    pub code: &'static str,
    /// A sentence for people.
    pub text: String,
}

/// A charging session.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SessionView {
    /// Its number in the journal's order; unique for ever.
    pub id: String,
    /// When the car was plugged in or first drew.
    pub started_at: f64,
    /// Energy so far, in watt-hours.
    pub energy_wh: f64,
    /// Whether part of the energy was estimated.
    pub is_estimate: bool,
    /// Seconds in which current flowed.
    pub charging_s: f64,
}

/// One energy source.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SourceView {
    /// Its name in the configuration.
    pub name: String,
    /// Whether the last attempt gave a reading.
    pub ok: bool,
    /// What was wrong with the last attempt.
    pub error: Option<String>,
    /// When its last reading was taken.
    pub taken_at: Option<f64>,
    /// How far that can be trusted.
    pub freshness: Option<FreshnessView>,
    /// The reading, as `check --json` prints it.
    pub reading: Option<ems::WireReading>,
}

/// Something that somebody should know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AlertView {
    /// A stable word for programs.
    pub code: String,
    /// `info`, `warning` or `alarm`.
    pub level: &'static str,
    /// A sentence with what to do.
    pub text: String,
    /// Which charging point, when it is about one.
    pub evse: Option<String>,
    /// Since when, whole seconds since 1970.
    pub since: i64,
}
