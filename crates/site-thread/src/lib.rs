//! The thread that owns all decisions: a mailbox before the site, snapshots and targets behind it.

mod mailbox;
mod published;

pub use mailbox::Mailbox;
