//! config.json and settings.json: tolerant reading, checking, and messages that name the key and the line.
//!
//! ```text
//! bytes ──read──▶ Document ──check against KeySet──▶ tree in one form ──resolve──▶ Config
//!                    │                                     │
//!                    └────────── Diagnostics ◀─────────────┘   file:line:column, key, what to do
//! ```
//!
//! ```
//! let text = br#"{ "config": { "wiringMaxAmpsAllTWCs": 32, "wiringMaxAmpsPerTWC": "32", minAmpsPerTWC: 6, } } # fine"#;
//! let loaded = config::parse("config.json", text, &config::KeySet::builtin());
//! assert!(loaded.errors.is_empty());
//! let config = loaded.config.unwrap();
//! assert_eq!(config.site.wiring_max_all_twcs.get(), 32.0);
//! ```
//!
//! For the program's start, its configuration check and its HTTP interface. Drivers get their part as [`Source`] and need not
//! know this crate. It never writes config.json.
//!
//! Not read, though old programs did: within indented YAML, an unquoted name with its colon right before a bracket (`a:{}`).
//!
//! The forms that are accepted are those of every release from 1.2.1 on of TWCManager, whose reader was first JSON with comments
//! and then YAML 1.1 behind a line filter.

mod check;
mod convert;
mod diagnostic;
mod keys;
mod load;
mod model;
mod publish;
mod read;
mod rules;
mod secret;
mod settings;

pub use diagnostic::{Diagnostic, Position, Severity};
pub use keys::{Key, KeySet, Kind, Preset, Section, Shape, Standing};
pub use load::{Loaded, SEARCH, find, load, parse};
pub use model::*;
pub use publish::{reference, schema};
pub use read::{Content, Document, Member, Node, read};
pub use rules::is_placeholder;
pub use secret::{MASK, Options, Secret, is_secret_name, masked};
pub use settings::*;
