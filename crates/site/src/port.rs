//! What front ends hold of the site.

use std::sync::Arc;
use std::time::Duration;

use jiff::Zoned;
use serde_json::Value;

use crate::{Command, Refusal, Snapshot};

/// The site as front ends see it: look and command, from any thread.
///
/// # For those who implement it
/// Looking never waits for the site's thread: it hands out what was last published.
///
/// # For those who call it
/// [`SitePort::command`] waits for the site to take the command, a few milliseconds at most in practice, and gives
/// [`crate::RefusalKind::Busy`] instead of waiting longer than two seconds.
pub trait SitePort: Send + Sync {
    /// What was last published.
    fn snapshot(&self) -> Arc<Snapshot>;

    /// Waits for a snapshot newer than `sequence`; `None` when there was none within `wait` or the program is ending.
    fn newer_than(&self, sequence: u64, wait: Duration) -> Option<Arc<Snapshot>>;

    /// Gives a command and waits until the site has taken or refused it.
    /// What it changed shows in [`SitePort::snapshot`] and [`SitePort::settings`] by then.
    ///
    /// # Errors
    /// A [`Refusal`] with a sentence for the person who gave it.
    fn command(&self, command: Command) -> Result<(), Refusal>;

    /// `settings.json` as it stands, secrets included: the caller masks what it shows.
    fn settings(&self) -> Arc<Value>;

    /// The policy list in the shape of TWCManager's `/api/getPolicy`.
    fn policies(&self) -> Arc<Value>;

    /// Which policy holds at a moment (now when `None`), why, and why the others do not: each term with its value. Waits
    /// for the site as [`SitePort::command`] does; `None` when it does not answer in time or cannot tell.
    fn explain(&self, at: Option<Zoned>) -> Option<Value> {
        let _ = at;
        None
    }
}
