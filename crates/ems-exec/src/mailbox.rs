//! Between the supervisor's thread and the reader: the newest of what was told.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ems::{EmsError, EmsReading};

/// The newest result; an older one that nobody fetched is replaced.
#[derive(Debug, Default)]
pub(crate) struct Mailbox {
    newest: Mutex<Option<Result<EmsReading, EmsError>>>,
    arrived: Condvar,
}

impl Mailbox {
    /// Puts a result in. Never blocks.
    pub fn put(&self, result: Result<EmsReading, EmsError>) {
        *self.lock() = Some(result);
        self.arrived.notify_one();
    }

    /// Takes the result, waiting for one at most for `patience`.
    pub fn take(&self, patience: Duration) -> Option<Result<EmsReading, EmsError>> {
        let waiting = self.arrived.wait_timeout_while(self.lock(), patience, |newest| newest.is_none());
        waiting.unwrap_or_else(PoisonError::into_inner).0.take()
    }

    fn lock(&self) -> MutexGuard<'_, Option<Result<EmsReading, EmsError>>> {
        self.newest.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
