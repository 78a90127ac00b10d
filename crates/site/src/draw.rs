//! What the cars drew, over the last minutes; and what a meter that sees them would show without them.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// What all cars drew from one moment on.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct Draw {
    /// Watts.
    pub(crate) watts: f64,
    /// Amps on each phase where it is known on which phase a car hangs.
    pub(crate) amps: [f64; 3],
    /// Amps of cars that use fewer phases than the site has, on a phase that nobody knows.
    pub(crate) amps_somewhere: f64,
}

impl Draw {
    pub(crate) fn add(&mut self, other: &Draw) {
        self.watts += other.watts;
        self.amps_somewhere += other.amps_somewhere;
        self.amps.iter_mut().zip(other.amps).for_each(|(sum, amps)| *sum += amps);
    }
}

/// The last minutes of it: what was reported, and what it is on its way to.
///
/// A charging point reports its car some seconds late, and a quick meter sees the car before that. So while a car follows
/// a new offer, its draw is only known to lie between what it reported and what it was told.
#[derive(Debug, Clone, Default)]
pub(crate) struct History {
    changes: VecDeque<(Instant, Draw, Draw)>,
}

impl History {
    /// Notes what the cars draw from now on; keeps what is younger than `keep` and the value in force before that.
    pub(crate) fn note(&mut self, now: Instant, draw: Draw, heading_for: Draw, keep: Duration) {
        if self.changes.back().is_none_or(|(_, last, heading)| (*last, *heading) != (draw, heading_for)) {
            self.changes.push_back((now, draw, heading_for));
        }
        while self.changes.get(1).is_some_and(|(at, ..)| now.saturating_duration_since(*at) > keep) {
            self.changes.pop_front();
        }
    }

    pub(crate) fn now(&self) -> Draw {
        self.changes.back().map(|(_, draw, _)| *draw).unwrap_or_default()
    }

    /// What was in force at `at`; before the first note, the first.
    fn index_at(&self, at: Instant) -> usize {
        self.changes.iter().rposition(|(since, ..)| *since <= at).unwrap_or(0)
    }

    /// Least and most of `pick` that was in force at any moment from `from` to `to`.
    fn range(&self, from: Instant, to: Instant, pick: impl Fn(&Draw) -> f64) -> (f64, f64) {
        let both = |(_, draw, heading_for): &(Instant, Draw, Draw)| {
            let (now, later) = (pick(draw), pick(heading_for));
            (now.min(later), now.max(later))
        };
        let first = self.index_at(from);
        let Some(start) = self.changes.get(first).map(both) else { return (0.0, 0.0) };
        self.changes
            .iter()
            .skip(first + 1)
            .take_while(|(at, ..)| *at <= to)
            .map(both)
            .fold(start, |(low, high), (least, most)| (low.min(least), high.max(most)))
    }
}

/// What a meter that sees the cars would show without them.
///
/// A sample is somewhat older than its time stamp says, and the cars may have changed in between: the answer then lies
/// between two bounds. The last answer is kept as far as the bounds allow, so that our own changes are not mistaken for
/// the house's, whether the meter is ahead or behind; once the cars have been steady for as long as the meter is slow, the
/// answer is exact. Asking again with the same sample gives the same answer.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct WithoutCars {
    last: Option<(Instant, f64, f64)>,
}

impl WithoutCars {
    pub(crate) fn update(
        &mut self,
        sample: f64,
        taken_at: Instant,
        latency: Duration,
        history: &History,
        pick: impl Fn(&Draw) -> f64,
    ) -> f64 {
        if let Some((at, same, answer)) = self.last
            && at == taken_at
            && same == sample
        {
            return answer;
        }
        let from = taken_at.checked_sub(latency).unwrap_or(taken_at);
        let (least, most) = history.range(from, taken_at, &pick);
        let answer = match self.last {
            Some((_, _, before)) => before.clamp(sample - most, sample - least),
            // For want of anything better, the larger: it makes the surplus smaller and the base load larger.
            None => sample - least,
        };
        self.last = Some((taken_at, sample, answer));
        answer
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LATENCY: Duration = Duration::from_secs(5);
    const KEEP: Duration = Duration::from_secs(300);

    fn draw(watts: f64) -> Draw {
        Draw { watts, ..Draw::default() }
    }

    #[test]
    fn our_own_change_is_not_mistaken_for_the_houses_whether_the_meter_lags_or_not() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        for lagging in [false, true] {
            let mut history = History::default();
            let mut house = WithoutCars::default();
            history.note(at(0), draw(0.0), draw(0.0), KEEP);
            let mut ask = |sample, second, history: &History| {
                house.update(sample, at(second), LATENCY, history, |draw| draw.watts)
            };
            assert_eq!(ask(-3000.0, 10, &history), -3000.0);
            history.note(at(12), draw(2000.0), draw(2000.0), KEEP);
            // Behind, the meter still shows what was; ahead, it shows the car.
            let sample = if lagging { -3000.0 } else { -1000.0 };
            assert_eq!(ask(sample, 13, &history), -3000.0);
            assert_eq!(ask(-1000.0, 20, &history), -3000.0);
            // Now the house itself changes.
            assert_eq!(ask(-400.0, 30, &history), -2400.0);
        }
    }

    #[test]
    fn a_change_beyond_our_own_is_seen_at_once() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut history = History::default();
        history.note(at(0), draw(1000.0), draw(1000.0), KEEP);
        let mut house = WithoutCars::default();
        house.update(1500.0, at(1), LATENCY, &history, |draw| draw.watts);
        history.note(at(10), draw(1200.0), draw(1200.0), KEEP);
        // 3000 W more than before, of which our own change explains 200 W at most.
        let answer = house.update(4500.0, at(11), LATENCY, &history, |draw| draw.watts);
        assert!((3300.0..=3500.0).contains(&answer), "{answer}");
    }

    #[test]
    fn a_car_on_its_way_explains_what_a_quick_meter_sees_before_the_charging_point_tells() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut history = History::default();
        history.note(at(0), draw(0.0), draw(0.0), KEEP);
        let mut house = WithoutCars::default();
        let mut ask =
            |sample, second, history: &History| house.update(sample, at(second), LATENCY, history, |draw| draw.watts);
        assert_eq!(ask(-3000.0, 9, &history), -3000.0);
        history.note(at(10), draw(0.0), draw(3000.0), KEEP);
        assert_eq!(ask(-1800.0, 12, &history), -3000.0);
        history.note(at(13), draw(3000.0), draw(3000.0), KEEP);
        assert_eq!(ask(0.0, 14, &history), -3000.0);
    }

    #[test]
    fn history_keeps_the_value_in_force_before_its_horizon() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut history = History::default();
        for second in 0..1000 {
            let draw = draw(second as f64);
            history.note(at(second), draw, draw, Duration::from_secs(10));
        }
        assert!(history.changes.len() <= 12);
        assert_eq!(history.range(at(995), at(997), |draw| draw.watts), (995.0, 997.0));
    }
}
