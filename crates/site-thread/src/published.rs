//! The last snapshot, for whoever looks.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde_json::Value;
use site::Snapshot;

/// What the site's thread published last.
#[derive(Clone)]
pub(crate) struct Edition {
    pub snapshot: Arc<Snapshot>,
    pub settings: Arc<Value>,
    pub policies: Arc<Value>,
}

struct State {
    edition: Edition,
    is_ending: bool,
}

/// The newest edition, and a way to wait for a newer one.
pub(crate) struct Published {
    state: Mutex<State>,
    newer: Condvar,
}

impl Published {
    pub fn new(edition: Edition) -> Self {
        Published { state: Mutex::new(State { edition, is_ending: false }), newer: Condvar::new() }
    }

    pub fn publish(&self, edition: Edition) {
        self.lock().edition = edition;
        self.newer.notify_all();
    }

    pub fn end(&self) {
        self.lock().is_ending = true;
        self.newer.notify_all();
    }

    pub fn edition(&self) -> Edition {
        self.lock().edition.clone()
    }

    pub fn newer_than(&self, sequence: u64, wait: Duration) -> Option<Arc<Snapshot>> {
        let deadline = Instant::now() + wait;
        let mut state = self.lock();
        loop {
            if state.edition.snapshot.sequence > sequence {
                return Some(Arc::clone(&state.edition.snapshot));
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() || state.is_ending {
                return None;
            }
            state = self.newer.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // The edition is swapped whole: a panic elsewhere leaves nothing half done.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
