//! Cars at home as charging points, on whatever charger they hang.
//!
//! ```text
//! sources --reports, answers--> mailbox --> one thread: Garage --> questions to sources
//! site    --targets-----------> mailbox                        --> TeslaCars' instances, EvseListener
//! pages   --CarsHandle--------> mailbox                        --> views, budget
//! ```
//!
//! | part | what |
//! |---|---|
//! | [`TeslaCars`] | the controller: an instance `tesla-<VIN>` for each car at home |
//! | [`Fleet`] | all of it without the thread and the clock |
//! | [`CarsHandle`] | for front ends and for whoever merges charging points with cars |
//! | [`Keeper`] | stores what must survive a power cut |
//! | [`CarHandle`] | one car as [`vehicle::Vehicle`] |
//!
//! What a car draws between two of its rare reports is reckoned from what it was told, and marked as an estimate; see
//! `estimate.rs`. Its energy is the car's own counter of the session, strung together; see `energy.rs`.
//!
//! # When grants run out
//! A target is a lease. When nobody renews it, whoever watches the main fuse is gone: the car is held down to its least
//! current by one command, is not stopped (an empty car in the morning is worse) and not started. On shutdown nothing is
//! sent: a car keeps what it was last told, within the fuse of its own charger.

mod controller;
mod energy;
mod estimate;
mod fleet;
mod handle;
mod instance;
mod mailbox;
mod runner;
mod settings;
mod status;

pub use controller::TeslaCars;
pub use fleet::Fleet;
/// What is known of cars and their budget.
pub use garage;
pub use handle::{CarHandle, CarsHandle};
pub use instance::evse_id;
pub use settings::{Keeper, TeslaCarsSettings};
