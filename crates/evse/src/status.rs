//! What is known of one EVSE.

use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, Instant};

use serde::Serialize;
use units::{Amps, PerPhase, Percent, Volts, WattHours, Watts};

use crate::EvseLimits;

/// Names one EVSE for as long as the program runs and across restarts, such as `gen2-4085`.
///
/// The part before the dash is the family, the rest is the maker's own number.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct EvseId(String);

impl EvseId {
    /// An id from its text.
    pub fn new(id: impl Into<String>) -> Self {
        EvseId(id.into())
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for EvseId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A vehicle identification number as a charging point or a cloud reports it: 17 letters and digits.
///
/// The check digit is not looked at: cars built outside North America need not carry a valid one.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct Vin(String);

impl Vin {
    /// A VIN, or `None` unless 17 upper-case letters and digits.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let plausible = text.len() == 17 && text.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit());
        plausible.then(|| Vin(text.to_owned()))
    }

    /// The 17 characters.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Vin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Whether the EVSE can be spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Link {
    /// It answers.
    Up,
    /// It missed some answers: its offer may fall, not rise.
    Degraded,
    /// It is silent; what it may still draw stays counted.
    Lost,
}

/// Whether a car is plugged in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Plug {
    /// It cannot be told; reckoned with as if a car were there.
    Unknown,
    /// No car.
    Unplugged,
    /// A car.
    PluggedIn,
}

/// What the car and the EVSE are doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Activity {
    /// Not known, or no car.
    Idle,
    /// A car is there and no power is offered to it.
    WaitingForOffer,
    /// Power is offered and the car has not taken it up yet.
    WaitingForCar,
    /// Current is flowing.
    Charging,
    /// The car was offered power and does not want it: full, stopped by its owner, or waiting for its own schedule.
    Declined,
    /// The EVSE reports a fault; it is never started.
    Faulted,
}

/// A fact about an EVSE that only some makes have, kept under the make's own name for it.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Detail {
    /// A number in the unit that the name says.
    Number(f64),
    /// A text.
    Text(String),
}

/// What can be asked of an EVSE.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Capabilities {
    /// A target can be set. `false` makes a read-only instance: it is measured, shown and counted, not steered.
    pub set_target: bool,
    /// It can be told to start, apart from being offered power.
    pub start: bool,
    /// It can be told to stop, and then really stops.
    pub stop: bool,
    /// When a person asks for it, it can be told to start and to stop by a way that is not used otherwise.
    pub on_request: bool,
}

/// What is known of one EVSE, with the time it was learnt.
///
/// Forwarding a status never refreshes `heard_at`; who reads it judges the age.
#[derive(Debug, Clone, PartialEq)]
pub struct EvseStatus {
    /// Which EVSE.
    pub id: EvseId,
    /// The name people see.
    pub name: String,
    /// Name of the controller that reports it.
    pub controller: String,
    /// When the EVSE was last heard. Not when this value was copied.
    pub heard_at: Instant,
    /// Whether it answers.
    pub link: Link,
    /// Whether a car is plugged in.
    pub plug: Plug,
    /// What it is doing.
    pub activity: Activity,
    /// A sentence for people when something about it needs saying, such as how to reset a fault.
    pub note: Option<String>,
    /// Current per phase that it was last told it may use.
    pub offered: Option<Amps>,
    /// Limit that it says it obeys, per phase.
    pub reported_max: Option<Amps>,
    /// Current that flows, the highest phase.
    pub drawn: Option<Amps>,
    /// Current on each phase where that is measured.
    pub drawn_per_phase: PerPhase<Option<Amps>>,
    /// Power that flows: measured, or current times voltage.
    pub power: Option<Watts>,
    /// Whether the power is reckoned from what was last told rather than measured now, as for a car that tells rarely.
    pub is_estimate: bool,
    /// Voltage on each phase where measured; `None` is not connected or not known.
    pub volts: PerPhase<Option<Volts>>,
    /// Current per phase that must be counted against the circuit for it now, whatever it draws: what it was told, what
    /// it may still use after a silence, what it falls back to when told nothing.
    pub committed: Amps,
    /// Whether it hangs on the circuit of the charging points, so that it shares their wiring. `false` for a car on
    /// somebody else's charger, which only shares the grid connection.
    pub is_on_circuit: bool,
    /// What bounds it.
    pub limits: EvseLimits,
    /// Energy counter of the device over its life.
    pub energy_total: Option<WattHours>,
    /// The car plugged in, when known.
    pub vin: Option<Vin>,
    /// The car's state of charge, when known.
    pub soc: Option<Percent>,
    /// What can be asked of it.
    pub capabilities: Capabilities,
    /// Facts that only this make has.
    pub details: BTreeMap<&'static str, Detail>,
}

impl EvseStatus {
    /// How old the last word from the EVSE is.
    #[must_use]
    pub fn age(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.heard_at)
    }

    /// Whether power offered to it could be used: a car is there or may be there, nothing is faulted, and it has not
    /// declined.
    #[must_use]
    pub fn wants_power(&self) -> bool {
        self.plug != Plug::Unplugged
            && self.link != Link::Lost
            && !matches!(self.activity, Activity::Faulted | Activity::Declined)
    }

    /// Whether current is flowing.
    #[must_use]
    pub fn is_charging(&self) -> bool {
        self.activity == Activity::Charging
    }
}

#[cfg(test)]
mod tests {
    use super::Vin;

    #[test]
    fn a_vin_needs_no_valid_check_digit() {
        assert!(Vin::parse("LRW3F7EK0NC000001").is_some());
        assert!(Vin::parse("LRW3F7EK0NC00000").is_none());
        assert!(Vin::parse("\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0").is_none());
    }
}
