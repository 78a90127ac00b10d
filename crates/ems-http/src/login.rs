//! When a driver may log in again, so that no account gets locked.

use std::time::{Duration, Instant};

use ems::{EmsError, EmsErrorKind};
use http_client::Backoff;

/// Bounds how often a driver logs in: at once the first time, then after growing pauses until a login has proven good.
///
/// | call | when |
/// |---|---|
/// | [`Self::enter`] | before a login: an error names the time left |
/// | [`Self::proven`] | data came with what the login gave |
#[derive(Debug)]
pub struct LoginGate {
    backoff: Backoff,
    not_before: Option<Instant>,
    last_error: Option<EmsError>,
}

impl LoginGate {
    /// Pauses from `first`, doubled up to `cap`.
    #[must_use]
    pub fn new(first: Duration, cap: Duration) -> Self {
        LoginGate { backoff: Backoff::new(first, cap), not_before: None, last_error: None }
    }

    /// Asks for one login now, and counts it.
    ///
    /// # Errors
    /// When the last login was too short ago: the error of that one again ([`Self::failed`]), with the time to wait.
    pub fn enter(&mut self, now: Instant) -> Result<(), EmsError> {
        if let Some(left) = self.not_before.map(|at| at.saturating_duration_since(now)).filter(|left| !left.is_zero()) {
            let unhelpful = || {
                let text = "the device still refuses us after a login; check user and password in its settings";
                EmsError::new(EmsErrorKind::Denied, text)
            };
            return Err(self.last_error.clone().unwrap_or_else(unhelpful).after(left));
        }
        self.not_before = Some(now + self.backoff.failed(0.5));
        self.last_error = None;
        Ok(())
    }

    /// The login failed: its error is repeated until the next may be tried, and names that time. Passing trouble on the way
    /// is no refusal: then the next may be tried as soon as the device is asked again.
    pub fn failed(&mut self, now: Instant, error: EmsError) -> EmsError {
        if error.kind() == EmsErrorKind::Retry {
            (self.not_before, self.last_error) = (error.retry_after().map(|wait| now + wait), None);
            self.backoff.succeeded();
            return error;
        }
        let wait = error.retry_after().unwrap_or_default();
        let gate = self.not_before.map(|at| at.saturating_duration_since(now)).unwrap_or_default();
        self.not_before = Some(now + wait.max(gate));
        self.last_error = Some(error.clone());
        error.after(wait.max(gate))
    }

    /// Data came with what the login gave. The pauses start over, but the one that runs is kept: a device that forgets its
    /// logins at once must not be logged into at every poll.
    pub fn proven(&mut self, now: Instant) {
        if self.not_before.is_some_and(|at| at <= now) {
            (self.not_before, self.last_error) = (None, None);
            self.backoff.succeeded();
        }
    }
}

/// When a device's values were taken, from its own time stamp: one that stands still means values that stand still, however
/// good the answers look. Needs no agreement between its clock and ours.
#[derive(Debug, Default)]
pub struct Stamp {
    last: Option<(String, Instant)>,
}

impl Stamp {
    /// When the values under `stamp` were first seen; `now` without a stamp.
    pub fn taken_at(&mut self, stamp: Option<&str>, now: Instant) -> Instant {
        match (&self.last, stamp) {
            (Some((last, at)), Some(stamp)) if last == stamp => *at,
            (_, Some(stamp)) => {
                self.last = Some((stamp.to_owned(), now));
                now
            }
            (_, None) => now,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logins_in_a_row_are_spaced_until_one_is_proven() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut gate = LoginGate::new(Duration::from_secs(60), Duration::from_secs(900));
        gate.enter(at(0)).unwrap();
        let wrong = EmsError::new(EmsErrorKind::Denied, "wrong password");
        assert_eq!(gate.failed(at(0), wrong).retry_after(), Some(Duration::from_secs(60)));
        let again = gate.enter(at(10)).unwrap_err();
        assert_eq!(
            (again.to_string().as_str(), again.retry_after()),
            ("wrong password", Some(Duration::from_secs(50)))
        );
        gate.enter(at(60)).unwrap();
        assert_eq!(gate.enter(at(61)).unwrap_err().retry_after(), Some(Duration::from_secs(119)));
        gate.proven(at(62));
        assert!(gate.enter(at(62)).is_err());
        gate.proven(at(180));
        gate.enter(at(180)).unwrap();
        assert_eq!(gate.enter(at(180)).unwrap_err().retry_after(), Some(Duration::from_secs(60)));
    }

    #[test]
    fn a_device_that_is_off_is_no_refusal() {
        let now = Instant::now();
        let mut gate = LoginGate::new(Duration::from_secs(600), Duration::from_secs(900));
        gate.enter(now).unwrap();
        assert_eq!(gate.failed(now, EmsError::retry("no connection")).retry_after(), None);
        gate.enter(now + Duration::from_secs(5)).unwrap();
    }

    #[test]
    fn a_day_of_refusals_costs_few_logins() {
        let start = Instant::now();
        let mut gate = LoginGate::new(Duration::from_secs(60), Duration::from_secs(3600));
        let logins = (0..86_400u64).step_by(10).filter(|s| gate.enter(start + Duration::from_secs(*s)).is_ok()).count();
        assert!(logins <= 30, "{logins}");
    }

    #[test]
    fn a_stamp_that_stands_still_ages() {
        let start = Instant::now();
        let later = start + Duration::from_secs(60);
        let mut stamp = Stamp::default();
        assert_eq!(stamp.taken_at(Some("17"), start), start);
        assert_eq!(stamp.taken_at(Some("17"), later), start);
        assert_eq!(stamp.taken_at(Some("18"), later), later);
        assert_eq!(stamp.taken_at(None, start), start);
    }
}
