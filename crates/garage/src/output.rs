//! What goes into the garage and comes out of it.

use std::collections::BTreeMap;
use std::sync::Arc;

use evse::EventLevel;
use serde::{Deserialize, Serialize};
use units::Amps;
use vehicle::{Ask, CarKey};

use crate::{Ledger, Remembered};

/// What is wanted of one car, by whoever shares out the power.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Wish {
    /// Nobody shares out power to it: it is left as it is.
    #[default]
    None,
    /// It may take at most this, per phase, if it charges; it is not started. Where a grant has run out.
    AtMost(Amps),
    /// This much, per phase; nothing means stop.
    Granted(Amps),
}

/// Something to do.
#[derive(Debug, Clone, PartialEq)]
pub enum Output {
    /// Store this so that it survives a power cut, before doing what comes after.
    Keep(Box<Kept>),
    /// Ask a source.
    Ask {
        /// Its name.
        source: Arc<str>,
        /// The question, with the key by which the source knows the car.
        ask: Ask,
    },
    /// Something about a car changed.
    Changed(CarKey),
    /// A car was known by name only and is now one of those known by VIN.
    Gone(CarKey),
    /// Something that people should hear of.
    Notice(Notice),
}

/// What survives a restart.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Kept {
    /// What was spent.
    #[serde(default)]
    pub ledger: Ledger,
    /// Charge limits, by VIN or name.
    #[serde(default)]
    pub limits: BTreeMap<String, Remembered>,
    /// Where home is, when a parked car showed it.
    #[serde(default)]
    pub home: Option<(f64, f64)>,
}

/// Something that people should hear of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// Which car, when it is about one.
    pub car: Option<CarKey>,
    /// How much it matters.
    pub level: EventLevel,
    /// A stable word for programs.
    pub code: &'static str,
    /// One clear sentence, with what to do.
    pub text: String,
    /// Whether it ends what an earlier notice with the same code began.
    pub cleared: bool,
}
