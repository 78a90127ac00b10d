//! Cars: what the configuration says of each way to them, what runs for them, and what is kept.
//!
//! | file | what |
//! |---|---|
//! | `household` | all of it together; open it first |
//! | `line` | what the site tells the cars |
//! | `books` | what survives a power cut |
//! | `tesla_api`, `tesla_account`, `borrowed` | Tesla's cloud: its settings, its sign-in, TeslaMate's token |
//! | the others | one way to cars each: from configuration to settings |

mod books;
mod borrowed;
mod household;
mod line;

pub mod ble_proxy;
pub mod fleet_telemetry;
pub mod home_assistant;
pub mod tesla_account;
pub mod tesla_api;
pub mod tesla_control;
pub mod teslamate;

pub use household::{CarsPlan, Household};
pub use line::CarsLine;
