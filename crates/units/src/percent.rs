//! A share of a hundred.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::OutOfRange;

/// A percentage from 0 to 100, such as a battery's state of charge.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(try_from = "f64", into = "f64")]
pub struct Percent(f64);

impl Percent {
    /// Empty.
    pub const ZERO: Percent = Percent(0.0);
    /// Full.
    pub const FULL: Percent = Percent(100.0);

    /// A percentage.
    ///
    /// # Errors
    /// `OutOfRange` unless 0 to 100.
    pub fn new(percent: f64) -> Result<Self, OutOfRange> {
        if (0.0..=100.0).contains(&percent) {
            Ok(Percent(percent))
        } else {
            Err(OutOfRange::new("percentage", "0 to 100"))
        }
    }

    /// The number, 0 to 100.
    #[must_use]
    pub const fn get(self) -> f64 {
        self.0
    }
}

impl TryFrom<f64> for Percent {
    type Error = OutOfRange;
    fn try_from(percent: f64) -> Result<Self, OutOfRange> {
        Percent::new(percent)
    }
}

impl From<Percent> for f64 {
    fn from(percent: Percent) -> f64 {
        percent.0
    }
}

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.0} %", self.0)
    }
}
