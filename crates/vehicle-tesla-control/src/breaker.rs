//! Leaves Bluetooth alone after failures in a row, longer each time.

use std::time::{Duration, Instant};

/// The longest pause.
const MOST: Duration = Duration::from_secs(1800);

#[derive(Debug, Clone)]
pub(crate) struct Breaker {
    threshold: u32,
    first: Duration,
    failures: u32,
    pause: Duration,
    until: Option<Instant>,
}

impl Breaker {
    pub(crate) fn new(threshold: u32, first: Duration) -> Self {
        Breaker { threshold: threshold.max(1), first, failures: 0, pause: first, until: None }
    }

    /// For how long nothing is to be tried.
    pub(crate) fn rest(&self, now: Instant) -> Option<Duration> {
        self.until.map(|until| until.saturating_duration_since(now)).filter(|left| !left.is_zero())
    }

    /// A conversation came about.
    pub(crate) fn worked(&mut self) {
        (self.failures, self.pause, self.until) = (0, self.first, None);
    }

    /// None did.
    pub(crate) fn failed(&mut self, now: Instant) {
        self.failures = self.failures.saturating_add(1);
        if self.failures >= self.threshold {
            self.trip(now);
        }
    }

    /// Nothing will work for a while. After the pause one failure is enough for the next, longer one.
    pub(crate) fn trip(&mut self, now: Instant) {
        self.failures = self.threshold;
        self.until = Some(now + self.pause);
        self.pause = self.pause.saturating_mul(2).min(MOST).max(self.first);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_until_something_works() {
        let (mut now, minute) = (Instant::now(), Duration::from_secs(60));
        let mut breaker = Breaker::new(5, minute);
        for _ in 0..4 {
            breaker.failed(now);
            assert_eq!(breaker.rest(now), None);
        }
        let mut pauses = Vec::new();
        for _ in 0..7 {
            breaker.failed(now);
            let pause = breaker.rest(now).unwrap();
            pauses.push(pause.as_secs());
            now += pause;
            assert_eq!(breaker.rest(now), None);
        }
        assert_eq!(pauses, [60, 120, 240, 480, 960, 1800, 1800]);
        breaker.worked();
        breaker.failed(now);
        assert_eq!(breaker.rest(now), None);
        breaker.trip(now);
        assert_eq!(breaker.rest(now), Some(minute));
    }
}
