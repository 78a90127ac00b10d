//! What all connections share: the limits, the counts and the memory for large bodies.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use crate::reject::Reject;
use crate::settings::Limits;

/// Bodies up to this size are not counted against [`Limits::bodies_together`].
const SMALL_BODY: usize = 16 * 1024;

/// What all sessions share.
#[derive(Debug, Default)]
pub(crate) struct Rules {
    pub(crate) limits: Limits,
    /// Bytes of large bodies now in memory.
    pub(crate) large_bodies: AtomicUsize,
    pub(crate) requests: AtomicU64,
    pub(crate) rejects: AtomicU64,
}

impl Rules {
    pub(crate) fn new(limits: Limits) -> Arc<Rules> {
        Arc::new(Rules { limits, ..Rules::default() })
    }
}

/// A share of the memory for large bodies, given back when dropped.
#[derive(Debug)]
pub(crate) struct BodyShare {
    rules: Arc<Rules>,
    bytes: usize,
}

impl BodyShare {
    pub(crate) fn new(rules: &Arc<Rules>) -> BodyShare {
        BodyShare { rules: Arc::clone(rules), bytes: 0 }
    }

    /// Claims what a body of this length needs.
    pub(crate) fn grow_to(&mut self, length: usize) -> Result<(), Reject> {
        if length <= SMALL_BODY || length <= self.bytes {
            return Ok(());
        }
        let more = length - self.bytes;
        let before = self.rules.large_bodies.fetch_add(more, Ordering::Relaxed);
        self.bytes = length;
        if before + more > self.rules.limits.bodies_together {
            return Err(Reject::TooManyBodies);
        }
        Ok(())
    }
}

impl Drop for BodyShare {
    fn drop(&mut self) {
        self.rules.large_bodies.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}
