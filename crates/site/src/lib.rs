//! The brain: readings, charging points and commands in, targets and reasons out.
//!
//! A sans-IO state machine: it never asks for the time, opens nothing and starts no thread.

mod command;
mod port;
mod snapshot;

pub use command::{Command, Refusal, RefusalKind};
pub use port::SitePort;
pub use snapshot::{
    AlertView, ChargeNowView, EvseView, FreshnessView, MeasuredView, PolicyView, PowerView, ReasonView, SessionView,
    SiteView, Snapshot, SourceView,
};
