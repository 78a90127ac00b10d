//! Modbus client over TCP, RTU on a serial line, and RTU over TCP; and the values inside registers.
//!
//! | part | does |
//! |---|---|
//! | [`Client`], [`Target`], [`Options`] | one connection to one device or gateway: reads and writes registers |
//! | [`Block`], [`Format`], [`Number`] | what registers mean: whole numbers, floats, texts, in any word and byte order |
//! | [`sunspec`] | finds a SunSpec device's models |
//! | [`ModbusError`], [`ExceptionCode`] | what went wrong, and what the user can do about it |
//! | [`Registers`] | registers at hand instead of a device: for tests of drivers, and for recordings |
//!
//! ```no_run
//! use modbus::{Client, Format, Number, Options, Table, Target};
//!
//! let target = Target::tcp("192.168.1.40", 1502);
//! let mut device = Client::new(target, Options::default());
//! let block = device.read(71, Table::Holding, 100, 73)?;
//! let watts = block.number(172, Format::new(Number::F32).low_word_first())?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! A call blocks its thread for at most the connect time-out and the reply time-out ([`Options`]), twice if a kept
//! connection turns out to be dead. A client is owned by one thread; one connection serves all unit ids behind it, requests
//! go out one at a time, as most inverters want it. There is no back-off in here: after an error the caller waits before
//! the next call.
//!
//! Addresses are those on the wire, from zero: a manual's "40001" is holding register 0, its "30001" input register 0.
//!
//! Requests are built by the `rmodbus` crate. Replies are checked here, since that crate reads the length of long replies
//! and the gateway exceptions (10, 11) wrongly. Coils and discrete inputs are left out: no meter needs them.

mod client;
mod error;
mod frame;
mod registers;
mod stream;
pub mod sunspec;
mod value;

pub use client::{Client, Options, Table};
pub use error::{ExceptionCode, ModbusError};
pub use registers::{BadRegisters, Registers};
pub use stream::{Parity, SerialSettings, Target};
pub use value::{Block, Format, NotInBlock, Number};

/// Most registers in one read (Modbus Application Protocol, section 6.3).
pub const MOST_READ: u16 = 125;

/// Most registers in one write (Modbus Application Protocol, section 6.12).
pub const MOST_WRITTEN: usize = 123;
