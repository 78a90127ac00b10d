//! What kept a charging point from getting more: names for programs, sentences for people. One table, this file.

use std::fmt;
use std::time::Instant;

use units::{Phase, Watts};

use crate::CircuitId;

/// Power that all charging points together may use, and whose word that is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Cap {
    /// How much; below nothing counts as nothing.
    pub amount: Watts,
    /// Whose word it is.
    pub source: PowerSource,
}

/// Whose word the power of the whole site is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum PowerSource {
    /// A fixed amount that the rule in force asks for.
    Policy,
    /// What the sun leaves.
    Surplus,
    /// What the grid connection allows.
    GridLimit,
    /// What the battery or inverter can deliver while the grid is away.
    Backup,
    /// Something outside asked for less: a network operator, an energy manager.
    External,
    /// A value that is safe while readings are missing.
    FailSafe,
}

/// A limit that can bind.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Limit {
    /// The power of the whole site.
    Site(PowerSource),
    /// A circuit: on one phase, or (`None`) its power in total.
    Circuit {
        /// Which circuit.
        circuit: CircuitId,
        /// Which phase of the circuit.
        phase: Option<Phase>,
    },
    /// The most that the charging point itself may offer: rating, cable, configuration.
    OwnMaximum,
    /// The most that its car takes.
    Vehicle,
    /// It missed some answers, so its offer may not rise.
    LinkDegraded,
    /// Its voltage is not known, so watts cannot be turned into amps.
    NoVoltage,
    /// It hangs on a circuit that is not known.
    UnknownCircuit,
}

/// Why a charging point gets nothing whatever the others do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Unserved {
    /// No car.
    NotPluggedIn,
    /// The car does not want any: full, stopped by its owner, waiting for its own schedule.
    Declined,
    /// Somebody or some rule said that this one is not to charge.
    NotAllowed,
    /// It reports a fault.
    Faulted,
    /// It is silent.
    Lost,
    /// It is measured, not steered.
    ReadOnly,
    /// Another one with the same id was named before it.
    Duplicate,
}

/// Why a charging point's ideal target is what it is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Binding {
    /// It gets as much as this limit lets it have.
    Limit(Limit),
    /// It gets the least until its car shows that it wants any.
    LeastUntilDrawn,
    /// It gets nothing: even alone it could not have its minimum under this limit.
    MinimumNotReached(Limit),
    /// It gets nothing now: under this limit there is not enough for everyone's minimum, and others come first.
    WaitingForTurn(Limit),
    /// It gets nothing until then: it was stopped a moment ago and is spared a quick restart.
    Resting {
        /// When it may start again.
        until: Instant,
    },
    /// It gets nothing whatever there is.
    Unserved(Unserved),
}

impl PowerSource {
    /// A stable word for programs and translation tables.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            PowerSource::Policy => "policy",
            PowerSource::Surplus => "surplus",
            PowerSource::GridLimit => "grid_limit",
            PowerSource::Backup => "backup",
            PowerSource::External => "external",
            PowerSource::FailSafe => "fail_safe",
        }
    }
}

impl Limit {
    /// A stable word for programs and translation tables.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Limit::Site(source) => source.code(),
            Limit::Circuit { .. } => "circuit",
            Limit::OwnMaximum => "own_maximum",
            Limit::Vehicle => "vehicle",
            Limit::LinkDegraded => "link_degraded",
            Limit::NoVoltage => "no_voltage",
            Limit::UnknownCircuit => "unknown_circuit",
        }
    }
}

impl Unserved {
    /// A stable word for programs and translation tables.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Unserved::NotPluggedIn => "not_plugged_in",
            Unserved::Declined => "declined",
            Unserved::NotAllowed => "not_allowed",
            Unserved::Faulted => "faulted",
            Unserved::Lost => "lost",
            Unserved::ReadOnly => "read_only",
            Unserved::Duplicate => "duplicate",
        }
    }
}

impl Binding {
    /// A stable word for programs and translation tables. Where a limit is named, [`Binding::limit`] has its word.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Binding::Limit(_) => "limit",
            Binding::LeastUntilDrawn => "least_until_drawn",
            Binding::MinimumNotReached(_) => "minimum_not_reached",
            Binding::WaitingForTurn(_) => "waiting_for_turn",
            Binding::Resting { .. } => "resting",
            Binding::Unserved(why) => why.code(),
        }
    }

    /// The limit behind it, where one is named.
    #[must_use]
    pub const fn limit(&self) -> Option<&Limit> {
        match self {
            Binding::Limit(limit) | Binding::MinimumNotReached(limit) | Binding::WaitingForTurn(limit) => Some(limit),
            Binding::LeastUntilDrawn | Binding::Resting { .. } | Binding::Unserved(_) => None,
        }
    }
}

/// A noun phrase: `the surplus`, `circuit "garage" on L2`.
impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Limit::Site(PowerSource::Policy) => "the power that the rule in force allows",
            Limit::Site(PowerSource::Surplus) => "the surplus",
            Limit::Site(PowerSource::GridLimit) => "the limit of the grid connection",
            Limit::Site(PowerSource::Backup) => "the power available without the grid",
            Limit::Site(PowerSource::External) => "a limit from outside",
            Limit::Site(PowerSource::FailSafe) => "the safe value used while readings are missing",
            Limit::Circuit { circuit, phase } => {
                return match phase {
                    Some(phase) => write!(f, "circuit \"{circuit}\" on {phase}"),
                    None => write!(f, "circuit \"{circuit}\""),
                };
            }
            Limit::OwnMaximum => "its own maximum",
            Limit::Vehicle => "what its car takes",
            Limit::LinkDegraded => "its unsteady connection, during which the offer may not rise",
            Limit::NoVoltage => "its voltage, which is not known",
            Limit::UnknownCircuit => "its circuit, which is not among the configured ones",
        })
    }
}

/// A sentence for people.
impl fmt::Display for Binding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Binding::Limit(limit) => write!(f, "Limited by {limit}."),
            Binding::LeastUntilDrawn => f.write_str("Offered the least until a car shows that it wants power."),
            Binding::MinimumNotReached(limit) => {
                write!(f, "Not charging: less than its minimum is left by {limit}.")
            }
            Binding::WaitingForTurn(limit) => {
                write!(f, "Waiting for its turn: not enough for everyone under {limit}.")
            }
            Binding::Resting { .. } => f.write_str("Stopped a moment ago; pausing before it may start again."),
            Binding::Unserved(why) => f.write_str(match why {
                Unserved::NotPluggedIn => "No car is plugged in.",
                Unserved::Declined => "The car does not want power now.",
                Unserved::NotAllowed => "Charging is switched off here.",
                Unserved::Faulted => "It reports a fault and is not started.",
                Unserved::Lost => "It does not answer; what it may still draw is reckoned with.",
                Unserved::ReadOnly => "It is measured but cannot be steered.",
                Unserved::Duplicate => "Another charging point has the same name; give each a name of its own.",
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_read_as_sentences() {
        let garage = Limit::Circuit { circuit: CircuitId::new("garage"), phase: Some(Phase::L2) };
        assert_eq!(
            Binding::WaitingForTurn(garage.clone()).to_string(),
            "Waiting for its turn: not enough for everyone under circuit \"garage\" on L2."
        );
        assert_eq!(
            Binding::Limit(Limit::Site(PowerSource::FailSafe)).to_string(),
            "Limited by the safe value used while readings are missing."
        );
        assert_eq!(Binding::Limit(garage).limit().unwrap().code(), "circuit");
        assert_eq!(Binding::Unserved(Unserved::Faulted).code(), "faulted");
    }
}
