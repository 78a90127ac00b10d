//! config.json and settings.json: tolerant reading, checking, and messages that name the key and the line.

mod diagnostic;
mod read;

pub use diagnostic::{Diagnostic, Position, Severity};
pub use read::{Content, Document, Member, Node, read};
