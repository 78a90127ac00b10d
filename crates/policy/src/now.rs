//! The time, handed in.

use std::time::Instant;

use jiff::Zoned;

/// This moment, on both clocks. Logic never asks for the time; whoever calls it does.
#[derive(Debug, Clone, PartialEq)]
pub struct Now {
    /// For ages, delays and leases: never jumps.
    pub mono: Instant,
    /// For schedules and records, in the time zone of the site: may jump in either direction.
    pub wall: Zoned,
}

impl Now {
    /// The moment by the system's clocks, for threads at the edge.
    #[must_use]
    pub fn from_system() -> Self {
        Now { mono: Instant::now(), wall: Zoned::now() }
    }

    /// Seconds since 1970 (UTC), with fractions.
    #[must_use]
    pub fn epoch(&self) -> f64 {
        self.wall.timestamp().as_duration().as_secs_f64()
    }

    /// When `instant` was or will be, in seconds since 1970, by what the wall clock says now.
    #[must_use]
    pub fn epoch_of(&self, instant: Instant) -> f64 {
        match instant.checked_duration_since(self.mono) {
            Some(ahead) => self.epoch() + ahead.as_secs_f64(),
            None => self.epoch() - self.mono.saturating_duration_since(instant).as_secs_f64(),
        }
    }
}
