//! A simulated Tesla cloud with cars: for tests, the demo, and the real binary end to end.
//!
//! | part | what |
//! |---|---|
//! | [`Car`] | battery, plug, sleep, timer, place, driver; takes commands; virtual time |
//! | [`Security`] | the car's side of signed commands, sharing no code with the side that signs |
//! | [`Cloud`] | Fleet API, token service, billing, failures on order, log of all requests; no I/O |
//! | [`Running`] | the same on loopback: Fleet API, another region, token service, TeslaBleHttpProxy, vendor's proxy |
//! | [`Car::teslamate_topics`], [`Car::fleet_telemetry_topics`] | what MQTT sources would publish |
//!
//! ```
//! use std::time::Duration;
//! use tesla_simulator::{Car, Cloud, Supply};
//! use units::Amps;
//!
//! let vin = "5YJ30123456789ABC";
//! let cloud = Cloud::builder().car(Car::new(vin).plugged_into(Supply::three(Amps::from_whole(16)))).start();
//! cloud.advance(Duration::from_secs(60));
//! assert_eq!(cloud.car(vin, |car| car.power().get()), 11_040.0);
//! assert!(cloud.api_url().starts_with("http://127.0.0.1:"));
//! ```
//!
//! For tests of whatever speaks to Tesla. Not a model of batteries: the draw is level until the limit, and losses are one
//! factor. Not simulated: TLS, drive state in signed answers, encrypted answers, doors and locks, energy sites, and the making
//! of Fleet Telemetry connections. Where the vendor says nothing the choice is a guess and said so where it is made.
//!
//! Facts: <https://developer.tesla.com/docs/fleet-api>, <https://github.com/teslamotors/vehicle-command>,
//! <https://github.com/wimaha/TeslaBleHttpProxy>, <https://docs.teslamate.org>.

mod billing;
mod ble_proxy;
mod builder;
mod car;
mod cloud;
mod exchange;
mod failure;
mod payload;
mod proto;
mod server;
mod shape;
mod signed;
mod tokens;
mod topics;

pub use billing::{Billing, Spent};
pub use builder::{CLIENT_ID, CLIENT_SECRET, CloudBuilder, VIRTUAL_START};
pub use car::{Attempt, Availability, Car, CarCommand, ChargingState, CommandWay, Place, Quirks, Refusal, Supply};
pub use cloud::Cloud;
pub use exchange::{Asked, Class, Door, Kind, Reply, Request};
pub use failure::{Failure, Target};
pub use server::{Clock, Running};
pub use signed::{Security, Standing, fault};
pub use tokens::{ALL_SCOPES, Client, Tokens};
