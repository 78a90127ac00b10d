//! Records and log lines, and the threads that carry them to their sinks.
//!
//! ```text
//! log::info!(…) ----> Logger --Line----\
//! site's events ----> EventScribe ------> Fanout --bounded backlog--> one thread for each Sink
//! site's snapshots -> SnapshotScribe --/                              (console, files, CSV, SQLite, MySQL, Sentry)
//! ```
//!
//! | part | does |
//! |---|---|
//! | [`Record`], [`Kind`], [`Mute`] | what is written down: the four records of TWCManager, and lines of text |
//! | [`Sink`], [`SinkError`] | what a sink implements: a batch in, `Result` out |
//! | [`Fanout`] | a thread and a bounded backlog for each sink; giving it a record never waits |
//! | [`EventScribe`], [`SnapshotScribe`] | make records of what the site tells |
//! | [`Logger`] | the `log` backend: filters once, formats once, hands on |
//! | [`level_of`], [`number_of`], [`display_name`] | TWCManager's numbers for levels and its names of loggers |
//!
//! ```
//! use logging::{Fanout, Kind, Mute, Record, Sink, SinkError};
//! use std::time::Duration;
//!
//! struct Count(std::sync::mpsc::Sender<usize>);
//!
//! impl Sink for Count {
//!     fn key(&self) -> &'static str {
//!         "logging.Count"
//!     }
//!     fn wants(&self, kind: Kind) -> bool {
//!         kind == Kind::Line
//!     }
//!     fn write(&mut self, records: &[Record]) -> Result<(), SinkError> {
//!         self.0.send(records.len()).map_err(|error| SinkError::down(error.to_string()))
//!     }
//! }
//!
//! let (sender, counted) = std::sync::mpsc::channel();
//! let fanout = Fanout::new();
//! fanout.add(Box::new(Count(sender)), Mute::default());
//! fanout.record(logging::Line::now(log::Level::Info, "docs", "hello").into());
//! assert_eq!(counted.recv(), Ok(1));
//! fanout.shutdown(Duration::from_secs(1));
//! ```
//!
//! For the program that wires sinks, and for those who write one. The program's own history is kept by another crate
//! (`journal`); the sinks here are for people and for the programs they already have.
//!
//! Facts: files, columns, tables and lines as TWCManager 1.3.2 to 1.4 writes them, checked against recordings of 1.4.

mod backlog;
mod fanout;
mod level;
mod logger;
mod names;
mod record;
mod scribe;
mod sink;
mod thread;

pub use fanout::Fanout;
pub use level::{level_of, number_of};
pub use logger::Logger;
pub use names::display_name;
pub use record::{
    GreenEnergy, Kind, Line, Mute, Record, Session, SlavePower, SlaveStatus, local_time, utc_time, whole_kwh,
};
pub use scribe::{EventScribe, Note, SnapshotScribe, session_of};
pub use sink::{Sink, SinkError};
pub use thread::Health;
