//! Simulated Gen 2 Wall Connectors with cars plugged in, speaking the real bytes.
//!
//! ```text
//!  a master ──bytes──► TCP, pty, socket pair (real time)  ─┐
//!                      MemoryLink (virtual time)          ─┤
//!                                                          ▼
//!                      SimulatedBus: line ── connectors ── cars
//!                                   faults   slave states   battery, ramp, temper
//! ```
//!
//! The bus is a state machine without a clock or a socket: bytes and the time go in, bytes come out. The same seed gives the
//! same run.
//!
//! ```
//! use std::time::{Duration, Instant};
//!
//! use gen2_protocol::{CentiAmps, Decoder, MasterMessage, Message, Order, ProtocolVersion, TwcId};
//! use gen2_simulator::{CarSettings, ConnectorSettings, SimulatedBus};
//!
//! let id = TwcId::from_u16(0x4085);
//! let connector = ConnectorSettings::european(id).with_car(CarSettings::default());
//! let mut bus = SimulatedBus::new(vec![connector], 1);
//! let mut now = Instant::now();
//! bus.handle_timeout(now); // power up
//! let mut decoder = Decoder::salvaging();
//! let mut drawn = CentiAmps::ZERO;
//! for _ in 0..60 {
//!     let order = Order::Limit(CentiAmps::from_amps(16));
//!     let offer = MasterMessage::Heartbeat {
//!         master: TwcId::FAKE_MASTER,
//!         slave: id,
//!         version: ProtocolVersion::V2,
//!         order,
//!     };
//!     bus.handle_bytes(now, offer.encode().as_bytes());
//!     now += Duration::from_secs(1);
//!     bus.handle_timeout(now);
//!     while let Some(bytes) = bus.poll_output() {
//!         for frame in decoder.frames(&bytes) {
//!             if let Message::SlaveHeartbeat(answer) = frame.message() {
//!                 drawn = answer.drawn;
//!             }
//!         }
//!     }
//! }
//! assert_eq!(drawn, CentiAmps(1_576));
//! ```
//!
//! It is for tests, the demo and the `Dummy` interface. It is no proof that a real unit does the same: where the behaviour of
//! real ones is not known, it takes the answer that is worst for the wiring, and says so at the place.
//!
//! # What it does where the facts are thin
//!
//! - A version 2 unit that is told 0.01 to 5.99 A while a car charges does as if told zero: it falls to 6 A and charges on.
//! - A unit keeps charging at its old limit for 30 s after the last heartbeat, also while it looks for a master again. Then
//!   the contactor opens, and it reports state 08 with limit zero until it is given amps.
//! - Opening the contactor under a Tesla (a car with a VIN) by message makes the car refuse until plugged in anew; other cars
//!   resume when it is closed.
//! - A version 1 unit that waits for an offer reports state 00, as in the one recorded start.
//! - Answers come 20 to 30 ms after a request. The master's own bytes take no time on the line.
//!
//! Facts: the projects listed on the front page of [`gen2_protocol`].

mod bus;
mod car;
mod connector;
mod line;
mod memory;
mod outlet;
mod random;
mod run;
mod settings;

/// The codec, for the ids in signatures here.
pub use gen2_protocol;

pub use bus::{ConnectorView, NoSuchConnector, SimulatedBus};
pub use connector::Ailment;
pub use memory::MemoryLink;
pub use run::{BusHandle, Pty, run_pty, run_socket, run_tcp};
pub use settings::{CarSettings, CarTemper, ConnectorSettings, EnergyUnit, Faults, MeterForm};
