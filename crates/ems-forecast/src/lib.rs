//! What energy sources share that estimate solar generation instead of measuring it.
//!
//! | part | is |
//! |---|---|
//! | [`Plane`] | a field of modules: place, tilt, direction, peak power; read from the configuration |
//! | [`Curve`] | expected power over time; pure |
//! | [`Fetched`] | the last answer of a service: fetched seldom, kept across restarts, never fetched too often |
//! | [`instant`] | time stamps as the services write them |
//!
//! Times are seconds since 1970 in UTC, given by the caller. An estimate is always marked as one
//! ([`ems::EmsReading::is_estimate`]): it must not count for a fuse limit.

mod curve;
mod fetched;
mod plane;
mod time;

use ems::units::Watts;
use ems::{EmsError, EmsReading};

pub use curve::{Curve, Shape};
pub use fetched::Fetched;
pub use plane::{PLANE, Plane};
pub use time::{instant, month_at, now};

/// The reading of an estimate that holds now.
///
/// # Errors
/// When it is a number that cannot be.
pub fn reading(watts: f64) -> Result<EmsReading, EmsError> {
    let generation = Some(Watts::new(watts.max(0.0))?);
    Ok(EmsReading { generation, is_estimate: true, ..EmsReading::now() })
}
