//! Waiting that ends when the source does.

use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Ends all waiting at once.
#[derive(Debug, Default)]
pub(crate) struct Pause {
    is_over: Mutex<bool>,
    bell: Condvar,
}

impl Pause {
    /// Waits; `true` when the source ends.
    pub(crate) fn wait(&self, time: Duration) -> bool {
        let until = Instant::now().checked_add(time);
        let mut is_over = self.is_over.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            let left = until.map_or(Duration::MAX, |until| until.saturating_duration_since(Instant::now()));
            if *is_over || left.is_zero() {
                return *is_over;
            }
            is_over = self.bell.wait_timeout(is_over, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Whether the source ends.
    pub(crate) fn is_over(&self) -> bool {
        *self.is_over.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The source ends.
    pub(crate) fn end(&self) {
        *self.is_over.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.bell.notify_all();
    }
}
