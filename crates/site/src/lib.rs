//! The brain: readings, charging points and commands in, targets and reasons out.
//!
//! A sans-IO state machine: it never asks for the time, opens nothing and starts no thread. All decisions about watts are
//! made here, in one place, in this order:
//!
//! ```text
//! readings --combine--> picture --surplus--> watts that cars could have ---\
//!                          \----limits----> what grid and fuse leave        \
//! settings, time, readings ----policy-----> the rule in force: surplus or amps --green--> allocator --> targets
//! charging points --draw--> what the cars drew when a sample was taken     /
//! ```
//!
//! | file | what |
//! |---|---|
//! | `site` | the state and its methods; open it first |
//! | `decide` | one decision, top to bottom |
//! | `combine`, `draw`, `surplus`, `limits` | pure arithmetic: several meters, slow meters, surplus, grid limit and fuse |
//! | `budget`, `green` | how much is shared out; delays and least times when charging follows the surplus |
//! | `point`, `session` | one charging point: its lease, start and stop; its sessions |
//! | `phases` | on how many phases a car charges, learnt from the meter |
//! | `words` | every sentence that people read |
//! | `view`, `notes`, `alerts` | the snapshot; what somebody should know |
//! | `cars`, `terms` | what people set for single cars; on what terms a car takes part now |
//! | `obey`, `prefs` | commands; what people set for a charging point |
//! | `record` | what is kept of the past |
//!
//! # What holds at every decision
//! * Nothing is shared out beyond the wiring, the grid limit and the main fuse, in any policy; a breach lowers the offers in
//!   the same call, without averaging or delay.
//! * A value that is not known, or older than `staleAfter`, makes no surplus; where a limit needs it, each car gets at most
//!   `failSafeAmps`, and that is said.
//! * A target is a lease of a minute, renewed every twenty seconds.

mod alerts;
mod budget;
mod cars;
mod combine;
mod command;
mod decide;
mod draw;
mod facts;
mod green;
mod limits;
mod notes;
mod obey;
mod output;
mod phases;
mod point;
mod port;
mod prefs;
mod record;
mod session;
mod setup;
mod site;
mod snapshot;
mod sources;
mod surplus;
mod terms;
mod view;
mod words;

pub use cars::{CarChange, Change, Permission, PermittedBy, terms_of};
pub use command::{Command, Refusal, RefusalKind};
pub use facts::{CarFact, CarsFacts};
pub use output::{Event, FlowEvent, Output, SessionEvent, Webhook, WebhookMethod};
pub use policy::Now;
pub use port::SitePort;
pub use setup::{SiteSetup, SurplusFrom};
pub use site::{SetupError, Site};
pub use snapshot::{
    AlertView, CarView, ChargeNowView, EvseView, ExchangeView, FreshnessView, MeasuredView, PolicyView, PowerView,
    ReasonView, SessionView, SiteView, Snapshot, SourceView,
};
