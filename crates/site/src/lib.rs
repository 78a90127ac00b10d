//! The brain: readings, charging points and commands in, targets and reasons out.
//!
//! A sans-IO state machine: it never asks for the time, opens nothing and starts no thread.

mod command;
mod output;
mod port;
mod setup;
mod site;
mod snapshot;

pub use command::{Command, Refusal, RefusalKind};
pub use output::{Event, FlowEvent, Output, SessionEvent, Webhook, WebhookMethod};
pub use policy::Now;
pub use port::SitePort;
pub use setup::{SiteSetup, SurplusFrom};
pub use site::{SetupError, Site};
pub use snapshot::{
    AlertView, ChargeNowView, EvseView, FreshnessView, MeasuredView, PolicyView, PowerView, ReasonView, SessionView,
    SiteView, Snapshot, SourceView,
};
