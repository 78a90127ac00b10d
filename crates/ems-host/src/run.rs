//! The loop around a driver.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use ems::{Ems, EmsError, EmsErrorKind, EmsReading, Pace, Stop, StopHandle};

use crate::backoff::Backoff;
use crate::registry::SourceSpec;

/// A failure that goes on is said again after this long.
const SUMMARY_EVERY: Duration = Duration::from_secs(600);
/// Least time between two readings of a pushed source that the loop lets through; a source that pushes without end must
/// not keep a core busy.
const SHORTEST_PUSH: Duration = Duration::from_millis(50);

/// Where readings go. Called on the drivers' threads: must return at once.
pub trait ReadingSink: Send + Sync {
    /// A source was read.
    fn reading(&self, source: &str, reading: EmsReading);
    /// A source could not be read.
    fn trouble(&self, source: &str, error: EmsError);
}

/// The drivers' threads. Dropping it asks them to end without waiting.
pub struct Running {
    stop: StopHandle,
    threads: Vec<JoinHandle<()>>,
}

/// Starts a thread for every usable source.
pub fn run(specs: Vec<SourceSpec>, sink: &Arc<dyn ReadingSink>) -> Running {
    let stop = StopHandle::new();
    let mut threads = Vec::new();
    for spec in specs {
        if !spec.is_usable {
            sink.trouble(
                &spec.name,
                EmsError::new(
                    EmsErrorKind::Misconfigured,
                    "its configuration cannot be used; `twcmanager check` tells why",
                ),
            );
            continue;
        }
        let name = format!("ems {}", spec.name);
        let (stop, sink) = (stop.stop(), Arc::clone(sink));
        match std::thread::Builder::new().name(name).stack_size(512 * 1024).spawn(move || serve(&spec, &stop, &*sink)) {
            Ok(thread) => threads.push(thread),
            Err(error) => log::error!("an energy source cannot be started: {error}; close other programs"),
        }
    }
    Running { stop, threads }
}

impl Running {
    /// Asks all threads to end and waits, at most for `wait`. Returns whether all ended; one that is stuck in a read that
    /// has not timed out yet is left behind.
    pub fn shutdown(mut self, wait: Duration) -> bool {
        self.stop.end();
        let deadline = Instant::now() + wait;
        while Instant::now() < deadline {
            self.threads.retain(|thread| !thread.is_finished());
            if self.threads.is_empty() {
                return true;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        self.threads.is_empty()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop.end();
    }
}

/// Opens and reads one source until asked to end; a panic costs the driver, not the thread.
fn serve(spec: &SourceSpec, stop: &Stop, sink: &dyn ReadingSink) {
    let mut history = History::new(&spec.name);
    let mut backoff = Backoff::default();
    while !stop.is_asked() {
        let Some(driver) = spec.open() else { return };
        let read_all = AssertUnwindSafe(|| read_until_stopped(driver, stop, sink, &mut history, &mut backoff));
        if catch_unwind(read_all).is_ok() {
            return;
        }
        let error = EmsError::retry("the driver failed inside; please report it with the log. It is started again");
        history.failed(&error);
        sink.trouble(&spec.name, error.clone());
        if stop.wait(backoff.failed(&error)) {
            return;
        }
    }
}

fn read_until_stopped(
    mut driver: Box<dyn Ems>,
    stop: &Stop,
    sink: &dyn ReadingSink,
    history: &mut History<'_>,
    backoff: &mut Backoff,
) {
    while !stop.is_asked() {
        let pause = match driver.read(stop) {
            Ok(reading) => {
                backoff.succeeded();
                history.succeeded();
                sink.reading(history.name, reading);
                match driver.pace() {
                    Pace::Every(interval) => interval,
                    Pace::Pushed => SHORTEST_PUSH,
                }
            }
            Err(error) if error.kind() == EmsErrorKind::Stopped => return,
            Err(error) => {
                let pause = backoff.failed(&error);
                history.failed(&error);
                sink.trouble(history.name, error);
                pause
            }
        };
        if stop.wait(pause) {
            return;
        }
    }
}

/// Says a failure when it starts, now and then while it lasts, and when it ends.
struct History<'a> {
    name: &'a str,
    failing_since: Option<Instant>,
    last_said: Option<Instant>,
    failures: u32,
}

impl<'a> History<'a> {
    fn new(name: &'a str) -> Self {
        History { name, failing_since: None, last_said: None, failures: 0 }
    }

    fn succeeded(&mut self) {
        if let Some(since) = self.failing_since.take() {
            log::info!("{} answers again, after {} s", self.name, since.elapsed().as_secs());
        }
        (self.last_said, self.failures) = (None, 0);
    }

    fn failed(&mut self, error: &EmsError) {
        let now = Instant::now();
        self.failures += 1;
        self.failing_since.get_or_insert(now);
        match self.last_said {
            None => log::warn!("{}: {error}", self.name),
            Some(said) if now.duration_since(said) < SUMMARY_EVERY => return,
            Some(_) => log::warn!("{}: still failing after {} attempts: {error}", self.name, self.failures),
        }
        self.last_said = Some(now);
    }
}
