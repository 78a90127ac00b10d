//! What people and programs can ask of the site.

use std::time::Duration;

use config::{ChargeRateControl, ChargeStopMode};
use evse::{EvseId, Vin};
use serde_json::Value;
use units::Amps;

use crate::{CarChange, Change, Permission};

/// A command, already parsed: quantities have types, names are not yet checked against what exists.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Command {
    /// Charge at a fixed current for a while, before all schedules.
    ChargeNow {
        /// Amps per phase for all charging points together; `None` keeps what was set before.
        amps: Option<Amps>,
        /// For how long.
        duration: Duration,
    },
    /// End Charge Now.
    CancelChargeNow,
    /// Let a charging point take part, or not.
    SetEnabled {
        /// Which.
        evse: EvseId,
        /// Whether.
        is_enabled: bool,
    },
    /// Change the rank of a charging point.
    SetPriority {
        /// Which.
        evse: EvseId,
        /// Higher goes first.
        priority: i32,
    },
    /// Change what is set for one car, wherever it is plugged in.
    SetCar {
        /// Which.
        vin: Vin,
        /// What.
        change: CarChange,
    },
    /// Say what cars may that nothing is known of or set for; `None` unsets it.
    SetGuests(
        /// What they may.
        Option<Permission>,
    ),
    /// Say which car is at a charging point that cannot tell. A car's own view (`tesla-VIN`) pinned to its own VIN is on a
    /// charger of its own.
    SetPin {
        /// Which charging point.
        evse: EvseId,
        /// Which car; `None` forgets it.
        vin: Option<Vin>,
    },
    /// Say who steers the cars at a charging point.
    SetRouting {
        /// Which.
        evse: EvseId,
        /// Who sets the rate.
        rate: Change<ChargeRateControl>,
        /// How a car is stopped.
        stop: Change<ChargeStopMode>,
    },
    /// Ask one car, or all, to start.
    Start {
        /// Which; `None` is all.
        evse: Option<EvseId>,
    },
    /// Ask one car, or all, to stop.
    Stop {
        /// Which; `None` is all.
        evse: Option<EvseId>,
    },
    /// Change one value of `settings.json` under its own name.
    SetSetting {
        /// The key.
        key: String,
        /// The value; `null` removes the key.
        value: Value,
    },
    /// Change several values of `settings.json` that belong together: all of them, before anything is decided, or none.
    SetSettings(
        /// Keys and values as in [`Command::SetSetting`], in order.
        Vec<(String, Value)>,
    ),
    /// Hold a policy by name for a while, whatever its conditions say; `None` ends that.
    HoldPolicy {
        /// Its name.
        name: Option<String>,
        /// For how long.
        duration: Duration,
    },
}

/// Why a command was not taken, in a sentence for the person who gave it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct Refusal {
    /// What kind of mistake.
    pub kind: RefusalKind,
    /// The sentence.
    pub text: String,
}

/// What kind of mistake a [`Refusal`] is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefusalKind {
    /// A value is out of range or of the wrong kind.
    Invalid,
    /// There is no such charging point, policy or setting.
    NotFound,
    /// It exists but cannot do that.
    Unsupported,
    /// The program is too busy or ending.
    Busy,
}
