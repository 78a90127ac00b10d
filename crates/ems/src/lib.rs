#![doc = include_str!("../README.md")]

mod driver;
mod error;
pub mod plugin;
mod reading;
mod section;
mod stop;

/// The unit types in every signature here.
pub use units;

pub use driver::{Ems, EmsDriver, KeyKind, KeySpec, Pace, Shared};
pub use error::{EmsError, EmsErrorKind};
pub use reading::{Attribute, EmsReading, WireReading, generation};
pub use section::{Problem, ProblemLevel, Section};
pub use stop::{Stop, StopHandle};
