//! The thread that owns all decisions: a mailbox before the site, snapshots and targets behind it.
//!
//! ```text
//! drivers, controllers, front ends --> Mailbox --> site thread --targets--> charging points
//!                                                     |  \--Outlets--> settings, journal, webhooks
//!                                                     \--snapshots--> SiteHandle (SitePort) --> front ends
//! ```
//!
//! The thread waits for a letter or the site's own deadline, feeds the site, does what it asks for, publishes, and waits
//! again. A panic inside the site costs its short memory: it is built anew from its setup and the newest settings, and
//! the charging points fall back to their safe value in between, since targets are leases.

mod mailbox;
mod published;
mod thread;

pub use mailbox::Mailbox;
pub use thread::{Outlets, SiteHandle, SiteThread};
