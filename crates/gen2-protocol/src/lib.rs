#![doc = include_str!("../README.md")]
#![no_std]

#[cfg(test)]
extern crate std;

mod codes;
mod decoder;
mod display;
mod frame;
#[cfg(test)]
#[rustfmt::skip] // One row of the table, one line.
mod golden;
pub mod hex;
mod master;
mod message;
mod scan;
mod slave;
mod values;
mod wire;

pub use codes::{ErrorBits, HeartbeatCommand, Order, PlugState, SlaveState};
pub use decoder::{Counters, Decoder, Event, Frames};
pub use frame::{Frame, FrameError, MAX_FRAME_LENGTH, MIN_FRAME_LENGTH};
pub use master::MasterMessage;
pub use message::{
    AnonymousKind, AnonymousRequest, ContactorAction, ContactorAnswer, ContactorCommand, Harm, MasterHeartbeat,
    MasterLinkReady, Message, Meter, PlugStatus, Request, RequestKind, Serial, SlaveHeartbeat, SlaveLinkReady, Version,
    VinPart, VinThird,
};
pub use slave::SlaveMessage;
pub use values::{BadTwcId, CentiAmps, EnergyCounter, ProtocolVersion, Sign, Text, TwcId, join_vin};
pub use wire::{MAX_WIRE_LENGTH, WireFrame};
