//! Cars through Tesla's Fleet API, the source `TeslaAPI`: signing in, reading, waking, and commands, signed where the car
//! wants that.
//!
//! ```text
//! page, command line --sign in--> Account --tokens--> TokenStore (kept before they are used)
//! who decides        --Ask------> source: a thread a car --HTTPS--> Fleet API, command proxy, or drop-in service
//!                    <-Report, Answer with what it cost
//! ```
//!
//! | part | what |
//! |---|---|
//! | [`Settings`], [`App`], [`Hosts`], [`Proxy`], [`Region`] | what it is told |
//! | [`Account`], [`Status`], [`Returned`], [`SignInError`] | signing in by redirect or by pasting; what is missing |
//! | [`TokenStore`], [`Tokens`] | where tokens are kept |
//! | [`open`] | the [`VehicleSource`](vehicle::VehicleSource) |
//! | [`AccountCar`], [`Published`] | the steps of setting up, for the command line |
//! | [`charge_state`], [`outcome_of_reason`] | what a car says of its charging and why it refuses, as Bluetooth proxies spell it too |
//!
//! ```
//! use vehicle_tesla::{Account, App, MemoryStore, Region, Settings};
//!
//! let app = App { client_id: Some("…".into()), redirect_uri: Some("https://cars.example.org/teslaAccount/callback".into()), ..App::default() };
//! let account = Account::new(Settings::new(app, Region::Europe, None), std::sync::Arc::new(MemoryStore::default()));
//! let address = account.begin(None)?; // open it in a browser, then hand what comes back to `finish`
//! assert!(address.starts_with("https://auth.tesla.com/"));
//! # Ok::<(), vehicle_tesla::SignInError>(())
//! ```
//!
//! The source reads, wakes and commands only when it is asked, and counts every call as Tesla bills it: all that are
//! answered with a status below 500, and those whose answer was lost. While Tesla asks for a pause, nothing is sent.
//!
//! Not here: energy sites, Fleet Telemetry's set-up, schedules in the car. Below 5 A some cars want to be told twice, some
//! seconds apart: that is for who decides, since each telling is billed.
//!
//! Sources: <https://developer.tesla.com/docs/fleet-api>, <https://github.com/teslamotors/vehicle-command>, recorded answers.

mod account;
mod car;
pub mod charge_state;
mod cloud;
mod documents;
mod login;
mod members;
mod notes;
mod pause;
mod region;
mod reply;
mod settings;
mod setup;
mod sign_in;
mod signed;
mod source;
mod token;
mod token_service;
mod trouble;

pub use account::{Account, Status};
pub use region::{BadRegion, Hosts, Region};
pub use reply::outcome_of_reason;
pub use settings::{App, DEFAULT_SCOPE, KEY_FILE, NOTES_FILE, Pace, Proxy, Settings, Token};
pub use setup::{AccountCar, MemoryStore, Published};
pub use sign_in::{Returned, SignInError};
pub use source::{OpenError, open};
pub use token::{TokenStore, Tokens};

/// Name of the source.
pub const NAME: &str = "TeslaAPI";
