//! When to call again: values without a clock. Times and chance are given by the caller.

use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Growing pauses after failures: the first one, then doubled up to a cap, with a little chance in it so that several
/// clients don't knock at the same moment.
///
/// ```
/// use http_client::Backoff;
/// use std::time::Duration;
///
/// let mut backoff = Backoff::new(Duration::from_secs(10), Duration::from_secs(60));
/// let pauses: Vec<u64> = (0..5).map(|_| backoff.failed(0.5).as_secs()).collect();
/// assert_eq!(pauses, [10, 20, 40, 60, 60]);
/// backoff.succeeded();
/// assert_eq!(backoff.failed(0.5).as_secs(), 10);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backoff {
    first: Duration,
    cap: Duration,
    failures: u32,
}

/// Share of a pause that chance may add or take.
const JITTER: f64 = 0.1;

impl Backoff {
    /// Pauses from `first` to `cap`; a cap below the first pause is the first pause.
    pub fn new(first: Duration, cap: Duration) -> Self {
        Self { first, cap: cap.max(first), failures: 0 }
    }

    /// Notes a failure and gives the pause before the next call. `chance` from 0 to 1 moves it by up to a tenth either
    /// way; 0.5 leaves it. The cap holds with chance included.
    pub fn failed(&mut self, chance: f64) -> Duration {
        let doublings = self.failures.min(31);
        self.failures = self.failures.saturating_add(1);
        let pause = self.first.saturating_mul(1u32 << doublings).min(self.cap);
        let chance = if chance.is_finite() { chance.clamp(0.0, 1.0) } else { 0.5 };
        pause.mul_f64(1.0 + JITTER * (2.0 * chance - 1.0)).min(self.cap)
    }

    /// Notes a success: the next failure begins with the first pause again.
    pub fn succeeded(&mut self) {
        self.failures = 0;
    }

    /// Failures in a row.
    pub fn failures(&self) -> u32 {
        self.failures
    }
}

/// A moment of a local day, as far as a budget cares. Days count from anywhere; the caller knows the service's time zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct DayTime {
    /// Number of the day.
    pub day: i64,
    /// Second of the day, from 0.
    pub second: u32,
}

/// What a budget must remember across a restart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BudgetState {
    last: Option<DayTime>,
    used: u32,
    closed: bool,
}

/// So many calls a day, spread evenly over the hours in which they are useful.
///
/// | call | when |
/// |---|---|
/// | [`Self::wait`] | before a call: how long to wait, zero for "now" |
/// | [`Self::spend`] | when the call is made, whatever comes of it |
/// | [`Self::close`] | the service says that the quota is used up |
///
/// The pause between two calls is the rest of today's window divided by the calls left and one, so that lost time is made up for
/// and the count is never passed, also across restarts if [`Self::state`] is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DailyBudget {
    calls: u32,
    from: u32,
    until: u32,
    state: BudgetState,
}

const DAY: u32 = 86_400;

impl DailyBudget {
    /// `calls` a day at all hours. A budget of none never calls.
    pub fn new(calls: u32) -> Self {
        Self { calls, from: 0, until: DAY, state: BudgetState { last: None, used: 0, closed: false } }
    }

    /// Continues where a stored state left off.
    pub fn restore(mut self, state: BudgetState) -> Self {
        self.state = state;
        self
    }

    /// Calls only between two seconds of the day (sunrise and sunset, say). An empty or wrong window means all day.
    pub fn set_window(&mut self, from: u32, until: u32) {
        let is_good = from < until && until <= DAY;
        (self.from, self.until) = if is_good { (from, until) } else { (0, DAY) };
    }

    /// What to store.
    pub fn state(&self) -> &BudgetState {
        &self.state
    }

    /// Calls left today.
    pub fn left(&self, now: DayTime) -> u32 {
        if self.is_today(now) && self.state.closed { 0 } else { self.calls.saturating_sub(self.used(now)) }
    }

    /// How long to wait before the next call; zero for "now". Never past the next window's start.
    pub fn wait(&self, now: DayTime) -> Duration {
        let second = now.second.min(DAY - 1);
        let until_tomorrow = seconds(DAY - second + self.from);
        if self.calls == 0 || self.left(now) == 0 || second >= self.until {
            return until_tomorrow;
        }
        if second < self.from {
            return seconds(self.from - second);
        }
        let Some(last) = self.state.last.filter(|_| self.is_today(now)) else {
            return Duration::ZERO;
        };
        let start = last.second.clamp(self.from, self.until);
        // One piece more than calls left, so that the last call falls before the window ends.
        let gap = (self.until - start) / self.left(now).saturating_add(1);
        let due = start.saturating_add(gap);
        if due >= self.until {
            return until_tomorrow;
        }
        seconds(due.saturating_sub(second))
    }

    /// Counts a call.
    pub fn spend(&mut self, now: DayTime) {
        self.turn(now);
        self.state.used = self.state.used.saturating_add(1);
        self.state.last = Some(self.state.last.map_or(now, |last| last.max(now)));
    }

    /// The service says that today's quota is used up: no call until tomorrow.
    pub fn close(&mut self, now: DayTime) {
        self.turn(now);
        self.state.last = Some(self.state.last.map_or(now, |last| last.max(now)));
        self.state.closed = true;
    }

    /// A clock set back counts as the day already seen: better late than over the quota. More than a day back is a clock
    /// that was wrong before.
    fn is_today(&self, now: DayTime) -> bool {
        self.state.last.is_some_and(|last| last.day == now.day || last.day == now.day.saturating_add(1))
    }

    fn used(&self, now: DayTime) -> u32 {
        if self.is_today(now) { self.state.used } else { 0 }
    }

    fn turn(&mut self, now: DayTime) {
        if !self.is_today(now) {
            self.state = BudgetState { last: None, used: 0, closed: false };
        }
    }
}

fn seconds(count: u32) -> Duration {
    Duration::from_secs(u64::from(count))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(day: i64, second: u32) -> DayTime {
        DayTime { day, second }
    }

    /// Runs days in steps of a call or a wait; gives the calls of each day.
    fn run(budget: &mut DailyBudget, days: i64, start: u32) -> Vec<u32> {
        let mut calls = vec![0; usize::try_from(days).unwrap()];
        let mut now = u64::from(start);
        let end = u64::try_from(days).unwrap() * u64::from(DAY);
        while now < end {
            let moment = at((now / u64::from(DAY)) as i64, (now % u64::from(DAY)) as u32);
            let wait = budget.wait(moment);
            if wait.is_zero() {
                budget.spend(moment);
                calls[usize::try_from(moment.day).unwrap()] += 1;
                now += 1;
            } else {
                now += wait.as_secs().max(1);
            }
        }
        calls
    }

    #[test]
    fn calls_are_spread_over_the_window() {
        let mut budget = DailyBudget::new(280);
        budget.set_window(6 * 3600, 20 * 3600);
        assert_eq!(run(&mut budget, 3, 0), [280, 280, 280]);
        assert_eq!(budget.wait(at(3, 0)), Duration::from_secs(6 * 3600));
        budget.spend(at(3, 6 * 3600));
        assert_eq!(budget.wait(at(3, 6 * 3600)), Duration::from_secs(180));
        assert_eq!(budget.wait(at(3, 21 * 3600)), Duration::from_secs(9 * 3600));
    }

    #[test]
    fn a_closed_budget_waits_for_tomorrow() {
        let mut budget = DailyBudget::new(10);
        budget.close(at(5, 1000));
        assert_eq!((budget.left(at(5, 2000)), budget.wait(at(5, 2000))), (0, Duration::from_secs(84_400)));
        assert_eq!(budget.wait(at(6, 0)), Duration::ZERO);
    }

    #[test]
    fn a_restart_or_a_clock_set_back_gives_no_new_calls() {
        let mut budget = DailyBudget::new(3);
        for second in [0, 10, 20] {
            budget.spend(at(7, second));
        }
        let stored = serde_json::to_string(budget.state()).unwrap();
        let restored = DailyBudget::new(3).restore(serde_json::from_str(&stored).unwrap());
        assert_eq!((restored.left(at(7, 30)), restored.left(at(6, 30)), restored.left(at(8, 0))), (0, 0, 3));
    }

    proptest! {
        #[test]
        fn no_day_gets_more_calls_than_its_budget(calls in 0u32..60, from in 0u32..DAY, length in 1u32..DAY, start in 0u32..DAY) {
            let mut budget = DailyBudget::new(calls);
            budget.set_window(from, from.saturating_add(length));
            for made in run(&mut budget, 2, start) {
                prop_assert!(made <= calls);
            }
        }

        #[test]
        fn pauses_grow_up_to_the_cap(first in 1u64..1000, cap in 1u64..100_000, chances in proptest::collection::vec(0.0..=1.0f64, 1..50)) {
            let mut backoff = Backoff::new(Duration::from_secs(first), Duration::from_secs(cap));
            let cap = Duration::from_secs(cap.max(first));
            for chance in chances {
                let pause = backoff.failed(chance);
                prop_assert!(pause <= cap && pause >= Duration::from_secs(first).mul_f64(0.89));
            }
        }
    }
}
