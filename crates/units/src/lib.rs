#![doc = include_str!("../README.md")]

mod electric;
mod percent;
mod phases;

pub use electric::{Amps, OutOfRange, Volts, WattHours, Watts};
pub use percent::Percent;
pub use phases::{PerPhase, Phase, Phases};
