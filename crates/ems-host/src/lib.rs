//! Runs energy sources: a thread each, back-off, one line of log a change; and reads them all once for a check.
//!
//! ```text
//! configuration --registry--> SourceSpec --run--> thread: read, push, wait --> ReadingSink (the site's mailbox)
//!                                       \--check--> one reading each, side by side
//! ```
//!
//! One source that hangs, panics or lies stops only itself: its readings age out, and the others go on.

mod backoff;
mod check;
mod registry;
mod run;

pub use check::{Checked, check};
pub use registry::{SourceEntry, SourceSpec, open_sources};
pub use run::{ReadingSink, Running, run};
