//! Reads every source once, side by side.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use ems::{EmsError, EmsErrorKind, EmsReading, StopHandle};

use crate::registry::SourceSpec;

/// What one attempt gave.
#[derive(Debug)]
pub struct Checked {
    /// The source.
    pub name: String,
    /// Its reading, or what is wrong.
    pub result: Result<EmsReading, EmsError>,
    /// How long it took.
    pub took: Duration,
}

/// Reads every source once, all at the same time, and gives the results in the order of `specs`.
///
/// It takes as long as the slowest source, and never longer than `limit`: what has not answered by then is reported as
/// such, and its thread is left to its own time-out.
#[must_use]
pub fn check(specs: &[SourceSpec], limit: Duration) -> Vec<Checked> {
    let started = Instant::now();
    let handle = StopHandle::new();
    let (sender, receiver) = mpsc::channel();
    for (index, spec) in specs.iter().enumerate() {
        let (spec, stop, sender) = (spec.clone(), handle.stop(), sender.clone());
        let read = move || {
            let started = Instant::now();
            let result = catch_unwind(AssertUnwindSafe(|| match spec.open() {
                Some(mut driver) => driver.read(&stop),
                None => Err(EmsError::new(EmsErrorKind::Misconfigured, "its configuration cannot be used")),
            }));
            let result = result.unwrap_or_else(|_| Err(EmsError::retry("the driver failed inside; please report it")));
            // The receiver is gone once the limit has passed; then nobody waits for this result.
            let _ = sender.send((index, result, started.elapsed()));
        };
        if let Err(error) = std::thread::Builder::new().name(format!("check {index}")).spawn(read) {
            log::error!("a source cannot be checked: {error}");
        }
    }
    drop(sender);
    let mut results: Vec<Option<(Result<EmsReading, EmsError>, Duration)>> = specs.iter().map(|_| None).collect();
    while let Ok((index, result, took)) = receiver.recv_timeout(limit.saturating_sub(started.elapsed())) {
        if let Some(slot) = results.get_mut(index) {
            *slot = Some((result, took));
        }
    }
    handle.end();
    let too_late = || {
        let text = format!("no answer within {} s; is the device switched on, and its address right?", limit.as_secs());
        (Err(EmsError::retry(text)), started.elapsed())
    };
    specs
        .iter()
        .zip(results)
        .map(|(spec, result)| {
            let (result, took) = result.unwrap_or_else(too_late);
            Checked { name: spec.name.clone(), result, took }
        })
        .collect()
}
