//! The traits of those who read and command cars.

use serde::Serialize;
use units::{Amps, Percent};

use crate::{Answer, CarKey, Report};

/// One way to cars: Tesla's cloud, Bluetooth, a logger, Home Assistant.
///
/// # For those who implement it
/// The source owns its threads and connections. [`VehicleSource::ask`] queues and returns; exactly one [`Answer`] follows
/// each question, also when the source ends. Questions about one car are worked off one after another. What is billed or
/// wakes a car is done only when asked; what arrives by itself is reported at once. Dropping it ends its threads within
/// about a second.
///
/// # For those who call it
/// What to ask, when, and of which source is decided elsewhere, with budget and sleep in mind: a source does as it is told.
pub trait VehicleSource: Send + Sync {
    /// Its name, such as `TeslaAPI`; unique in the program.
    fn name(&self) -> &str;

    /// What it can do for a car now. Cheap: never blocks, never calls anybody.
    fn abilities(&self, car: &CarKey) -> Abilities;

    /// Queues a question.
    fn ask(&self, ask: Ask);
}

/// Whom a source tells. Called on the source's own thread: returns at once.
pub trait VehicleListener: Send + Sync {
    /// News of a car.
    fn report(&self, report: Report);

    /// What came of a question.
    fn answered(&self, answer: Answer);

    /// Something keeps the source as a whole from working, or no longer does (`None`).
    fn trouble(&self, source: &str, trouble: Option<Trouble>);
}

/// Something that keeps a source from working until a person acts, or for a while.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// A stable word for programs, such as `sign_in`, `payment`, `not_registered`, `unreachable`.
    pub code: &'static str,
    /// One clear sentence with what to do.
    pub text: String,
    /// Whether only a person can mend it.
    pub needs_person: bool,
}

/// What a source can do for one car.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Abilities {
    /// It can be asked to read the car's data.
    pub reads: bool,
    /// It can tell whether the car is awake without waking it or keeping it awake.
    pub reads_wakefulness: bool,
    /// It can start, stop, and set amps and limit.
    pub commands: bool,
    /// It can wake the car.
    pub wakes: bool,
    /// Its calls cost money or count against an allowance.
    pub is_billed: bool,
    /// How near it is.
    pub nearness: Nearness,
}

/// How near a source is to the car; of two that tell at about the same time, the nearer is believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Nearness {
    /// Somebody else's copy: a logger, a home automation.
    #[default]
    Copy,
    /// The maker's cloud.
    Cloud,
    /// The car itself, by radio, or streaming what changes.
    Car,
}

/// One question to a source.
#[derive(Debug, Clone, PartialEq)]
pub struct Ask {
    /// Given back in the answer.
    pub id: u64,
    /// Which car. For [`Request::List`] it is not looked at.
    pub car: CarKey,
    /// What.
    pub request: Request,
}

/// What a source can be asked.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Request {
    /// Report all cars that there are, with what a list tells (VIN, name, whether awake).
    List,
    /// Read the car's data; never wakes it.
    Read {
        /// Also where it is.
        with_position: bool,
    },
    /// Tell whether it is awake; neither wakes it nor keeps it awake.
    ReadWakefulness,
    /// Wake it, and answer once it is awake or has not woken within a minute.
    Wake,
    /// Start charging.
    Start,
    /// Stop charging.
    Stop,
    /// Set the most current it takes, per phase; cars know whole amps.
    SetAmps(Amps),
    /// Set its charge limit, 50 to 100 percent.
    SetLimit(Percent),
}

impl Request {
    /// Whether it changes something in the car, apart from waking it.
    #[must_use]
    pub fn is_command(self) -> bool {
        matches!(self, Request::Start | Request::Stop | Request::SetAmps(_) | Request::SetLimit(_))
    }
}
