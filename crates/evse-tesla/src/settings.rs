//! What the configuration says, and where things are kept.

use garage::{Day, GarageSettings, Kept};
use units::{Amps, Phases, Volts};

/// Everything the controller needs to know.
#[derive(Debug, Clone)]
pub struct TeslaCarsSettings {
    /// About cars in general and each of them.
    pub garage: GarageSettings,
    /// Least current that a car is granted. Below 5 A cars charge badly.
    pub min_amps: Amps,
    /// Most current that a car is granted, where it does not tell less: `config.wiringMaxAmpsPerTWC`.
    pub max_amps: Amps,
    /// Voltage of a phase while a car does not tell: `config.defaultVoltage`.
    pub volts: Volts,
    /// Phases of a car that tells none and for which none are configured.
    pub phases: Phases,
    /// Which day it is where the house stands.
    pub today: fn() -> Day,
}

impl TeslaCarsSettings {
    /// With what is usual, and the system's calendar.
    #[must_use]
    pub fn new(garage: GarageSettings, volts: Volts, max_amps: Amps) -> Self {
        TeslaCarsSettings { garage, min_amps: Amps::from_whole(5), max_amps, volts, phases: Phases::One, today }
    }
}

/// The system's calendar.
fn today() -> Day {
    let date = jiff::Zoned::now().date();
    let small = |number: i8| u8::try_from(number).unwrap_or(1);
    Day { year: date.year(), month: small(date.month()), day: small(date.day()) }
}

/// Stores what must survive a power cut. Called on the controller's thread before the question that depends on it leaves:
/// returns once it is safe, within some tens of milliseconds.
pub trait Keeper: Send {
    /// Stores it.
    ///
    /// # Errors
    /// A sentence, when it could not be stored. Charge limits are then not touched.
    fn keep(&mut self, kept: &Kept) -> Result<(), String>;
}

impl<F: FnMut(&Kept) -> Result<(), String> + Send> Keeper for F {
    fn keep(&mut self, kept: &Kept) -> Result<(), String> {
        self(kept)
    }
}
