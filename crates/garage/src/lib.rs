//! The brain for all cars: it takes what sources tell and decides which source is asked what, and when, with the cost, the
//! sleep and the privacy of the cars in mind. It does no I/O and asks for no time: `now` is a parameter.
//!
//! ```text
//! reports, answers, trouble ──┐
//! wishes, permission, limits ─┼─> Garage ──> Keep, Ask, Changed, Notice
//! charging points, people ────┘
//! ```
//!
//! | family | calls |
//! |---|---|
//! | calendar | [`Garage::set_today`] first, and with every new day |
//! | feed | `handle_report`, `handle_abilities`, `handle_answer`, `handle_trouble`, `handle_wish`, `handle_start`, `handle_stop`, `handle_permission`, `handle_connector`, `handle_command`, `set_limit_wish`, `re_arm` |
//! | time | [`Garage::next_timeout`], [`Garage::handle_timeout`] |
//! | drain | [`Garage::poll_output`] until `None`; an [`Output::Keep`] is stored before the questions after it are asked |
//! | look | [`Garage::views`], [`Garage::budget`] |
//!
//! Manners, and where they are: what calls may cost `budget.rs`; how often a car is looked at `polling.rs`; which source
//! is asked `route.rs`; tries and pauses `ladder.rs`; currents `rate.rs`; charge limits `limits.rs`; at home or not
//! `whereabouts.rs`; what is due for one car `decide.rs`. At any moment at most one question about a car is under way.

mod ask;
mod budget;
mod car;
mod day;
mod decide;
mod garage;
mod guess;
mod ladder;
mod limits;
mod names;
mod order;
mod output;
mod pace;
mod polling;
mod rate;
mod route;
mod settings;
mod view;
mod whereabouts;
mod words;

pub use budget::{Allowance, BudgetView, Caps, Entry, Ledger, MicroDollars, PeriodView, Prices, Purpose};
pub use car::ConnectorView;
pub use day::Day;
pub use garage::Garage;
pub use limits::Remembered;
pub use output::{Kept, Notice, Output, Wish};
pub use settings::{CarSetting, CommandPolicy, GarageSettings, HomeSetting};
pub use view::{CarView, LastAsked};
pub use whereabouts::Proof;
pub use words::{Why, request as request_words};

#[cfg(test)]
mod tests;
