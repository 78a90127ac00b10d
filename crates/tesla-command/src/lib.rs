//! Tesla's signed vehicle commands: keys, sessions, signatures and messages, without I/O.
//!
//! Tried on no real car yet. What it does is compared with the published numbers of the protocol, with another
//! implementation of its cryptography, and with simulated cars that check signatures by code of their own.
//!
//! | part | what it does |
//! |---|---|
//! | [`PrivateKey`], [`PublicKey`], [`KeyFile`] | our key: made, kept as PEM, read from TWCManager's settings |
//! | [`PairingDomain`] | what the owner has to do so that a car takes the key |
//! | [`Command`] | all that a car may be asked; nothing else can be built |
//! | [`Session`] | the conversation with one computer of one car, as bytes and times |
//! | [`Answer`], [`Refusal`], [`CommandError`] | what came of it, by what the caller can do |
//! | [`bluetooth`] | frames, names and enrolment for a Bluetooth transport; the radio is not here |
//!
//! ```
//! use std::time::Instant;
//! use tesla_command::{Command, Domain, Output, PrivateKey, Session, SystemRandom, Transport};
//!
//! let key = PrivateKey::generate(&mut SystemRandom)?;
//! let vin = "5YJ30123456789ABC".parse()?;
//! let mut session = Session::new(key, vin, Domain::Infotainment, Transport::Internet, Box::new(SystemRandom));
//! session.begin(Instant::now(), Command::StartCharging)?;
//! while let Some(output) = session.poll_output() {
//!     match output {
//!         Output::Send(message) => println!("post {} bytes, hand the answer to handle_bytes", message.len()),
//!         Output::Save(state) => println!("write {} bytes to disk first", state.len()),
//!         other => println!("{other:?}"),
//!     }
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Over the internet a message is the base64 in `{"routable_message": ...}` of `POST /api/1/vehicles/{vin}/signed_command`,
//! and the answer the base64 in `{"response": ...}`. The car must be awake: `wake_up` needs no signature. Answers over the
//! internet are protected by TLS only; over Bluetooth they are encrypted by cars from 2024.38 on, and an older car's plain
//! answer is believed, so that a liar within reach could claim success: what the car draws is always measured elsewhere.
//!
//! For those who talk to cars directly. Cars before 2021 of the S and X models want plain calls instead. Not here: reading
//! a car's data (over the internet that needs no signature), schedules, and the signed set-up of Fleet Telemetry.
//!
//! Sources: `pkg/protocol/protocol.md` and the proto files of <https://github.com/teslamotors/vehicle-command>.

mod agreement;
pub mod bluetooth;
mod command;
mod error;
mod fault;
mod key;
mod key_file;
mod metadata;
mod pairing;
mod random;
mod reply;
mod routable;
mod session;
mod session_info;
#[cfg(test)]
mod vectors;
mod vin;
mod wire;

pub use command::{ChargeLimit, ChargingAmps, Command, OutOfRange};
pub use error::{CommandError, Distrust, ErrorKind};
pub use fault::Fault;
pub use key::{KeyError, PrivateKey, PublicKey, StoredKey};
pub use key_file::{KeyFile, KeyFileError};
pub use pairing::{BLUETOOTH_STEPS, BadDomain, PUBLIC_KEY_PATH, PairingDomain};
pub use random::{NoRandomness, Random, SystemRandom};
pub use reply::{Answer, Refusal, RefusalKind, Sleep};
pub use routable::Domain;
pub use session::{Delivery, Heard, NotBegun, Output, Session, Transport};
pub use vin::{BadVin, Vin};
