//! What is known of a car and what can be asked of it, whoever tells it: Tesla's cloud, Bluetooth, a logger, Home Assistant.
//!
//! ```text
//! sources --Report--> VehicleState (one per car, each field with its age and its source)
//!    ^--------Ask---- who decides; the Answer tells what came of it and what it cost
//! ```
//!
//! | part | what |
//! |---|---|
//! | [`CarKey`] | which car: by VIN, or by a name where its source knows no VIN |
//! | [`Report`], [`Facts`] | what one source tells of one car at one moment |
//! | [`VehicleState`] | the reports of all sources in one: newest and nearest wins, field by field |
//! | [`VehicleSource`], [`VehicleListener`] | the traits of those who read and command cars |
//! | [`Ask`], [`Answer`], [`Outcome`], [`Spent`] | one question to a source, what came of it, what it cost |
//! | [`Home`], [`Whereabouts`] | whether a car is at home; never from an old position |
//! | [`Vehicle`] | a car as front ends and controllers hold it |
//!
//! For those who write a source of cars: implement [`VehicleSource`]. A source that is billed or that wakes cars reads
//! nothing of its own accord; one that is told (MQTT, a web socket) reports as news arrive.

mod answer;
mod car;
mod home;
mod report;
mod source;
mod state;

pub use answer::{Answer, Outcome, Refusal, Spent};
pub use car::{CarKey, Vehicle, VehicleError};
pub use evse::Vin;
pub use home::{Home, Whereabouts};
pub use report::{ChargingState, Facts, Position, Report, Wakefulness};
pub use source::{Abilities, Ask, Nearness, Request, Trouble, VehicleListener, VehicleSource};
pub use state::{Seen, VehicleState};
