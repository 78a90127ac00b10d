//! What the interface asks of the rest of the program beside the site.

use std::fmt;

/// Power flows of the past.
///
/// # For those who implement it
/// May block on a disk; called from several threads.
///
/// # For those who call it
/// A question can take a second on a small computer.
pub trait History: fmt::Debug + Send + Sync {
    /// The flows of the whole site from `from` up to but not including `to`, in seconds since 1970, oldest first.
    ///
    /// # Errors
    /// A sentence for a person.
    fn flows(&self, from: f64, to: f64) -> Result<Vec<Flows>, String>;
}

/// Power flows at one moment, in watts; `None` is unknown.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Flows {
    /// When, in seconds since 1970.
    pub at: f64,
    /// Generation.
    pub generation_w: Option<f64>,
    /// Consumption as the meters tell it.
    pub consumption_w: Option<f64>,
    /// What all cars drew.
    pub cars_w: Option<f64>,
}

/// The bus of Gen 2 connectors, for debug messages.
///
/// # For those who implement it
/// Only what harms nobody may be sent, whatever is asked for; [`DebugBus::send`] returns without waiting for an answer.
pub trait DebugBus: fmt::Debug + Send + Sync {
    /// Sends a debug message, soon.
    ///
    /// # Errors
    /// Why it is not sent, in a sentence for a person.
    fn send(&self, message: &DebugMessage) -> Result<(), String>;

    /// The bytes of the last answer that was not part of ordinary charging; empty while one is awaited, `None` before
    /// the first message.
    fn last_answer(&self) -> Option<Vec<u8>>;
}

/// What to send for debugging.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DebugMessage {
    /// Ask every connector for its firmware version.
    FirmwareVersion,
    /// These bytes, family and code first.
    Bytes(Vec<u8>),
}
