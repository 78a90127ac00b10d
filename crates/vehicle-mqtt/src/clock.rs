//! Both clocks, read together.

use std::time::{Duration, Instant, SystemTime};

/// Stamps of other computers may be ahead of ours by so much and still count, as now.
const CLOCKS_DIFFER: Duration = Duration::from_secs(300);

/// The time, on both clocks.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    /// The clock that never jumps.
    pub now: Instant,
    /// The clock on the wall.
    pub wall: SystemTime,
}

impl Clock {
    /// Reads both.
    #[must_use]
    pub fn read() -> Self {
        Clock { now: Instant::now(), wall: SystemTime::now() }
    }

    /// The moment of a stamp; `None` for one in the future, or from before time began.
    #[must_use]
    pub fn moment(&self, stamp: SystemTime) -> Option<Instant> {
        match self.wall.duration_since(stamp) {
            Ok(age) => self.now.checked_sub(age),
            Err(ahead) => (ahead.duration() <= CLOCKS_DIFFER).then_some(self.now),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stamps_become_moments_unless_they_are_nonsense() {
        let clock = Clock { now: Instant::now() + Duration::from_secs(1000), wall: SystemTime::now() };
        let past = Duration::from_secs(100);
        assert_eq!(clock.moment(clock.wall - past), Some(clock.now - past));
        assert_eq!(clock.moment(clock.wall + Duration::from_secs(10)), Some(clock.now));
        assert_eq!(clock.moment(clock.wall + Duration::from_secs(3600)), None);
    }
}
