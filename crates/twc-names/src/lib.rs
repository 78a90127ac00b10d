//! The names, numbers and words by which programs around TWCManager know a site.
//!
//! | part | does |
//! |---|---|
//! | [`values`], [`Reported`] | a snapshot as the list of values that TWCManager publishes, with key, unit and spelling |
//! | [`id_of`], [`evse_named`] | the id of a charging point as topics and entities spell it, and back |
//! | [`Mode`], [`Preset`], [`ScheduleSwitch`] | what a person can choose, as it stands in the settings |
//!
//! For the front ends that speak TWCManager's language: status over MQTT and REST, commands over MQTT. Pure: no I/O, no
//! clock. The HTTP interface has its own spellings and does not use this.
//!
//! ```
//! assert_eq!(twc_names::id_of("gen2-3a7c"), "3A7C");
//! assert_eq!(twc_names::Number::Decimal(22.0).to_string(), "22.0");
//! ```
//!
//! Facts: topics, keys and units as TWCManager 1.3.2 to 1.4 publishes them, checked against recordings of 1.4.

mod choice;
mod names;
mod value;

#[cfg(feature = "testing")]
pub mod testing;

pub use choice::{Mode, Preset, ScheduleSwitch, setting};
pub use names::{evse_named, id_of};
pub use value::{Number, Reported, Unit, is_charging, values};
