//! The cars: what the interface asks of the program, and what it makes of the answers.
//!
//! | file | what |
//! | --- | --- |
//! | `mod.rs` | the port that whoever looks after the cars implements |
//! | `show.rs` | a car as JSON, each field with its age and source |
//! | `place.rs` | at which charging point a car is, by the site's snapshot |
//! | `spent.rs` | what calls cost, as JSON |
//!
//! The rows that use them are in `v2::cars` and `compat`.

mod place;
mod show;
mod spent;

use std::fmt;

use garage::{BudgetView, CarView, Prices};
use vehicle::{CarKey, Request};

pub(crate) use place::is_own_view;
pub(crate) use show::all;
pub(crate) use spent::budget;

/// Whoever looks after the cars.
///
/// # For those who implement it
/// Called from several threads; no method blocks for longer than it takes to hand a message over. A command is weighed
/// against budget and sleep before anything is sent, and refused with a sentence where it cannot be done.
///
/// # For those who call it
/// `Ok` means that it was taken up; what came of it shows in a later [`Cars::views`].
pub trait Cars: fmt::Debug + Send + Sync {
    /// All cars that are known.
    fn views(&self) -> Vec<CarView>;

    /// What calls may cost and did cost.
    fn budget(&self) -> BudgetView;

    /// What a call costs.
    fn prices(&self) -> Prices {
        Prices::default()
    }

    /// A person asks something of a car.
    ///
    /// # Errors
    /// A sentence for a person.
    fn command(&self, car: &CarKey, request: Request) -> Result<(), String>;

    /// A person paid, or wants to try: billed calls may be made again.
    fn resume_billed_calls(&self);
}

/// Who sets the rate of a car: the words for 1, 2 and 3 of `chargeRateControl`.
pub(crate) const RATE_WORDS: [&str; 3] = ["connector", "vehicle", "mixed"];
/// How a car is stopped: the words for 1, 2 and 3 of `chargeStopMode`.
pub(crate) const STOP_WORDS: [&str; 3] = ["vehicle", "stop_answering", "connector"];
