//! How a thread is told to end, and how it waits without missing that.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

#[derive(Debug, Default)]
struct State {
    stopped: Mutex<bool>,
    changed: Condvar,
}

impl State {
    fn lock(&self) -> MutexGuard<'_, bool> {
        // The guarded value is a plain flag: a panic elsewhere cannot leave it half written.
        self.stopped.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Tells whether to end. Clones share one state.
#[derive(Debug, Clone)]
pub struct Stop(Arc<State>);

/// The other end: who holds it can end every thread that watches the [`Stop`].
#[derive(Debug)]
pub struct StopHandle(Arc<State>);

impl StopHandle {
    /// A new pair's controlling end.
    #[must_use]
    pub fn new() -> Self {
        StopHandle(Arc::default())
    }

    /// What threads watch.
    #[must_use]
    pub fn stop(&self) -> Stop {
        Stop(Arc::clone(&self.0))
    }

    /// Asks all watchers to end and wakes those that wait.
    pub fn end(&self) {
        *self.0.lock() = true;
        self.0.changed.notify_all();
    }
}

impl Default for StopHandle {
    fn default() -> Self {
        StopHandle::new()
    }
}

impl Stop {
    /// One that never asks to end, for tests and one-shot reads.
    #[must_use]
    pub fn never() -> Self {
        Stop(Arc::default())
    }

    /// Whether to end now.
    #[must_use]
    pub fn is_asked(&self) -> bool {
        *self.0.lock()
    }

    /// Waits for `duration`, or less when asked to end. Returns whether to end.
    #[must_use]
    pub fn wait(&self, duration: Duration) -> bool {
        let deadline = Instant::now() + duration;
        let mut stopped = self.0.lock();
        while !*stopped {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            stopped = self.0.changed.wait_timeout(stopped, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        *stopped
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ending_wakes_a_waiter() {
        let handle = StopHandle::new();
        let stop = handle.stop();
        let waiter = std::thread::spawn(move || stop.wait(Duration::from_secs(3600)));
        handle.end();
        assert!(waiter.join().unwrap());
    }
}
