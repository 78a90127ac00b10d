//! Whole files in, configurations and messages out; and the settings file through crashes.

// A test that cannot go on has failed.
#![allow(clippy::unwrap_used)]

mod any_input;
mod as_before;
mod config_file;
mod settings_file;
