//! What the end-to-end tests stand on: the real binary, simulated connectors behind a real socket, meters behind real HTTP.
//!
//! Nothing here asserts on elapsed time. [`eventually`] waits for a condition, for so long that only a hang can miss it.

mod bus;
mod meter;
mod program;

use std::time::{Duration, Instant};

pub use bus::Bus;
pub use meter::Meter;
pub use program::{Program, binary, config_with, run_to_end};

/// Longest wait for anything that must happen; a slow machine under load needs a part of it.
const PATIENCE: Duration = Duration::from_secs(240);

/// Waits until `look` gives something, and gives that.
///
/// # Panics
/// When it never does; `what` says what was waited for.
pub fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(started.elapsed() < PATIENCE, "never happened: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Waits until `holds`.
///
/// # Panics
/// When it never does; `what` says what was waited for.
pub fn until(what: &str, mut holds: impl FnMut() -> bool) {
    eventually(what, || holds().then_some(()));
}
