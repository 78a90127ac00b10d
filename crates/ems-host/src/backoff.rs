//! How long to leave a source alone after a failure.

use std::time::Duration;

use ems::{EmsError, EmsErrorKind};

/// First pause after passing trouble.
const FIRST: Duration = Duration::from_secs(5);
/// Longest pause after passing trouble: a meter that comes back is noticed within this.
const LONGEST: Duration = Duration::from_secs(30);
/// Pause when only a person can mend it: a login refused too often locks many vendors' accounts.
const NEEDS_A_PERSON: Duration = Duration::from_secs(300);
/// Pause when the vendor's budget is used up and no time was named.
const RATE_LIMITED: Duration = Duration::from_secs(300);

/// Counts failures in a row.
#[derive(Debug, Default)]
pub(crate) struct Backoff {
    failures: u32,
}

impl Backoff {
    /// Notes a success.
    pub fn succeeded(&mut self) {
        self.failures = 0;
    }

    /// Notes a failure and tells how long to wait.
    pub fn failed(&mut self, error: &EmsError) -> Duration {
        self.failures = self.failures.saturating_add(1);
        let doubled = FIRST.saturating_mul(1 << self.failures.saturating_sub(1).min(8)).min(LONGEST);
        let own = match error.kind() {
            EmsErrorKind::Misconfigured | EmsErrorKind::Denied => NEEDS_A_PERSON,
            EmsErrorKind::RateLimited => error.retry_after().unwrap_or(RATE_LIMITED),
            _ => doubled,
        };
        own.max(error.retry_after().unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_half_a_minute_and_start_over_after_a_success() {
        let mut backoff = Backoff::default();
        let trouble = EmsError::retry("no answer");
        let pauses: Vec<u64> = (0..6).map(|_| backoff.failed(&trouble).as_secs()).collect();
        assert_eq!(pauses, [5, 10, 20, 30, 30, 30]);
        backoff.succeeded();
        assert_eq!(backoff.failed(&trouble), FIRST);
    }

    #[test]
    fn a_time_that_the_device_named_is_kept() {
        let wait = Duration::from_secs(900);
        assert_eq!(Backoff::default().failed(&EmsError::retry("busy").after(wait)), wait);
    }
}
