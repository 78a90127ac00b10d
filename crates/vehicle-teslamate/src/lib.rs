//! Source of cars: what TeslaMate publishes over MQTT; and its access token, which may read and nothing else.
//!
//! | part | does |
//! |---|---|
//! | [`open`], [`Settings`] | listens to `<prefix>/cars/<number>/<key>` and reports |
//! | `telemetry` | what the topics mean; pure |
//! | [`cell`] | decrypts one cell of TeslaMate's table of tokens; pure |
//! | [`tokens`] | fetches the access token from the database, again and again (feature `database`) |
//!
//! TeslaMate is the owner of its login. Only its access token is ever read: without the refresh token nobody here can renew it,
//! and so nobody can throw TeslaMate out.
//!
//! Facts: TeslaMate's `vehicle_subscriber.ex` (topics), `vault.ex` and cloak's `aes_gcm.ex` (cells); use and quirks in
//! `docs/vehicles/teslamate.md`.

pub mod cell;
mod source;
mod telemetry;
pub mod tokens;

pub use source::{Settings, open};
pub use vehicle_mqtt::{Broker, Error, Hub};

/// Name of the source.
pub const NAME: &str = "TeslaMate";
