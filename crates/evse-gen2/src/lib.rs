#![doc = include_str!("../README.md")]

mod controller;
mod debug_send;
mod error;
mod instance;
mod machine;
mod mailbox;
mod runner;
mod settings;
mod snapshot;
mod transport;

pub use controller::Gen2Controller;
pub use error::Gen2Error;
/// The codec, for the ids and messages in signatures here.
pub use gen2_protocol;
pub use instance::evse_id;
pub use settings::{BUS_BAUD, FakeMaster, Gen2Settings, PortSpec, StopMode};
pub use snapshot::{BusStatus, Direction, LineState, Monitor, Traffic};
pub use transport::{MemoryPort, memory_port};
