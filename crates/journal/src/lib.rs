//! Readings, offers, counters and charging sessions in SQLite, kept through `kill -9`.
//!
//! ```text
//! site thread --Entry--> bounded queue --> journal thread --one transaction every few seconds--> twcmanager.db
//! front ends  <---------------- read-only connection, opened for the question ----------------- twcmanager.db
//! ```
//!
//! - A session is written when it begins, every few seconds while it lasts, and when it ends; the newest state of each
//!   waits in memory for as long as the disk refuses it, so a full disk loses no session.
//! - Readings, offers and counters are samples: when the queue is full the oldest are dropped, and counted.
//! - A damaged database is moved aside under a name with the time, never overwritten, and a fresh one is begun.
//! - Samples are thinned with age: see `keep.rs`.

mod entry;
mod keep;
mod store;
mod thread;

pub use entry::{CounterSample, Entry, OfferSample, ReadingSample, SessionRecord};
pub use keep::{counter_stretch_ms, stretch_ms};
pub use store::{JournalError, Opened, Store};
pub use thread::{Journal, JournalHealth};
