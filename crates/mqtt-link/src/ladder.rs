//! When to try again, and when to speak of it: a value without a clock.

use std::time::{Duration, Instant};

/// First pause after a failure.
const FIRST: Duration = Duration::from_millis(200);
/// Longest pause.
const LONGEST: Duration = Duration::from_secs(30);
/// A connection that lasted this long was a good one: the next pause is the first again. Shorter ones go on doubling, so
/// that two clients with one name do not throw each other out five times a second.
const GOOD: Duration = Duration::from_secs(30);
/// A failure that goes on is told again after this time.
const REMINDER: Duration = Duration::from_secs(600);

/// Pauses between connections.
#[derive(Debug, Default)]
pub(crate) struct Ladder {
    failures: u32,
    told: Option<Instant>,
}

impl Ladder {
    /// A connection ended, or was never made (`lasted` none): the pause before the next one.
    pub(crate) fn failed(&mut self, lasted: Option<Duration>) -> Duration {
        if lasted.is_some_and(|lasted| lasted >= GOOD) {
            self.failures = 0;
        }
        let pause = FIRST.saturating_mul(1 << self.failures.min(16)).min(LONGEST);
        self.failures = self.failures.saturating_add(1);
        pause
    }

    /// Whether this failure should be told to the user.
    pub(crate) fn should_tell(&mut self, now: Instant) -> bool {
        let is_due = self.told.is_none_or(|told| now.saturating_duration_since(told) >= REMINDER);
        if is_due {
            self.told = Some(now);
        }
        is_due
    }

    /// Connected: whether a failure was told before, so that the recovery should be.
    pub(crate) fn connected(&mut self) -> bool {
        self.told.take().is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_to_half_a_minute() {
        let mut ladder = Ladder::default();
        let pauses: Vec<u128> = (0..10).map(|_| ladder.failed(None).as_millis()).collect();
        assert_eq!(pauses, [200, 400, 800, 1600, 3200, 6400, 12800, 25600, 30000, 30000]);
        assert_eq!(ladder.failed(Some(Duration::from_secs(5))), LONGEST);
        assert_eq!(ladder.failed(Some(Duration::from_secs(31))), FIRST);
    }

    #[test]
    fn a_failure_is_told_once_and_then_each_ten_minutes() {
        let mut ladder = Ladder::default();
        let start = Instant::now();
        let told: Vec<bool> = [0, 1, 599, 600, 601].map(|s| ladder.should_tell(start + Duration::from_secs(s))).into();
        assert_eq!(told, [true, false, false, true, false]);
        assert!(ladder.connected() && !ladder.connected());
        assert!(ladder.should_tell(start + Duration::from_secs(602)));
    }
}
