//! Which cars surely are awake.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use vehicle::CarKey;

/// A car that was reached stays awake for about eleven minutes; less than that is taken for granted (TeslaBleHttpProxy
/// takes nine).
const HOLDS: Duration = Duration::from_secs(8 * 60);
/// A car wakes within this, or does not.
pub const WAKE_TAKES: Duration = Duration::from_secs(60);
/// So often it is looked whether it woke.
pub const WAKE_POLL: Duration = Duration::from_secs(3);

/// Which cars were surely awake, and when.
#[derive(Debug, Clone, Default)]
pub struct Awake(BTreeMap<CarKey, Instant>);

impl Awake {
    /// It was reached at this time.
    pub fn seen(&mut self, car: &CarKey, at: Instant) {
        self.0.insert(car.clone(), at);
    }

    /// It sleeps, or nothing is known any more.
    pub fn forget(&mut self, car: &CarKey) {
        self.0.remove(car);
    }

    /// Whether it surely is awake.
    #[must_use]
    pub fn is_sure(&self, car: &CarKey, now: Instant) -> bool {
        self.0.get(car).is_some_and(|at| now.saturating_duration_since(*at) < HOLDS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_car_is_awake_for_minutes_after_it_was_reached() {
        let (car, now, mut awake) = (CarKey::Name("one".into()), Instant::now(), Awake::default());
        assert!(!awake.is_sure(&car, now));
        awake.seen(&car, now);
        assert!(
            awake.is_sure(&car, now + Duration::from_secs(479)) && !awake.is_sure(&car, now + Duration::from_secs(480))
        );
        awake.forget(&car);
        assert!(!awake.is_sure(&car, now));
    }
}
