//! Charge limits: set while a policy wants it and the car is at home, put back afterwards, and the driver's change wins.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use units::Percent;
use vehicle::Whereabouts;

/// Pauses between tries for one limit; then no more until something changes.
const PAUSES: [u64; 5] = [300, 300, 900, 3600, 3600];
/// What a car tells within this time of a command may be older than the command.
const SETTLING: Duration = Duration::from_secs(10);

/// What is remembered of a car's limits over restarts: written before the car is told, in the shape of TWCManager's
/// `chargeLimits` (`[outside, lastApplied]`). Its presence means that a limit of ours is or was in force.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Remembered {
    /// The driver's own limit, to be put back.
    pub outside: Percent,
    /// The last limit that we set.
    pub applied: Option<Percent>,
}

/// One car's limit, as it is being worked on.
#[derive(Debug, Clone, Default)]
pub(crate) struct Limits {
    asked: Option<Asked>,
    tries: usize,
}

#[derive(Debug, Clone, Copy)]
struct Asked {
    limit: Percent,
    at: Instant,
    done_at: Option<Instant>,
}

/// What to do about a limit now.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum LimitStep {
    /// Nothing.
    Fine,
    /// Not before this.
    At(Instant),
    /// Remember this and tell nobody.
    Remember(Remembered),
    /// Nothing of ours is in force any more.
    Forget,
    /// Remember this, then tell the car.
    Set {
        limit: Percent,
        remember: Remembered,
        /// It lets the car charge further than its present limit: worth waking it.
        raises: bool,
    },
    /// It was tried too often.
    GivenUp,
}

impl Limits {
    /// The car's limit: what it told, unless it was told another since.
    fn current(&self, known: Option<(Percent, Instant)>) -> Option<Percent> {
        if let Some(Asked { limit, done_at: Some(done), .. }) = self.asked
            && known.is_none_or(|(_, at)| at <= done + SETTLING)
        {
            return Some(limit);
        }
        known.map(|(limit, _)| limit)
    }

    pub(crate) fn step(
        &self,
        now: Instant,
        wish: Option<Percent>,
        place: Whereabouts,
        known: Option<(Percent, Instant)>,
        entry: Option<&Remembered>,
    ) -> LimitStep {
        let wish = match place {
            Whereabouts::Home => wish,
            Whereabouts::Away => None,
            Whereabouts::Unknown => return LimitStep::Fine,
        };
        let Some(current) = self.current(known) else { return LimitStep::Fine };
        let is_pending =
            |limit: Percent| self.asked.is_some_and(|asked| asked.limit == limit && asked.done_at.is_none());
        match (wish, entry.copied()) {
            (None, None) => LimitStep::Fine,
            (Some(wish), None) if wish == current => LimitStep::Fine,
            (Some(wish), None) => self.set(now, wish, current, Remembered { outside: current, applied: Some(wish) }),
            (Some(wish), Some(entry)) if entry.applied == Some(wish) => {
                if wish == current {
                    LimitStep::Fine
                } else if is_pending(wish) {
                    self.set(now, wish, current, entry)
                } else if entry.outside != current {
                    // The driver changed it: his limit stays, and is what there was before us.
                    LimitStep::Remember(Remembered { outside: current, ..entry })
                } else {
                    LimitStep::Fine
                }
            }
            (Some(wish), Some(entry)) => {
                let is_ours = entry.applied == Some(current) || self.asked.is_some_and(|asked| asked.limit == current);
                let outside = if is_ours { entry.outside } else { current };
                let remember = Remembered { outside, applied: Some(wish) };
                if wish == current { LimitStep::Remember(remember) } else { self.set(now, wish, current, remember) }
            }
            (None, Some(entry)) => {
                if entry.applied == Some(current) && current != entry.outside {
                    self.set(now, entry.outside, current, entry)
                } else {
                    LimitStep::Forget
                }
            }
        }
    }

    fn set(&self, now: Instant, limit: Percent, current: Percent, remember: Remembered) -> LimitStep {
        let same = self.asked.filter(|asked| asked.limit == limit && asked.done_at.is_none());
        if let Some(asked) = same {
            let Some(pause) = PAUSES.get(self.tries.saturating_sub(1)) else { return LimitStep::GivenUp };
            let at = asked.at + Duration::from_secs(*pause);
            if now < at {
                return LimitStep::At(at);
            }
        }
        LimitStep::Set { limit, remember, raises: limit > current }
    }

    pub(crate) fn asked(&mut self, now: Instant, limit: Percent) {
        let is_again = self.asked.is_some_and(|asked| asked.limit == limit && asked.done_at.is_none());
        self.tries = if is_again { self.tries + 1 } else { 1 };
        self.asked = Some(Asked { limit, at: now, done_at: None });
    }

    pub(crate) fn done(&mut self, now: Instant) {
        if let Some(asked) = &mut self.asked {
            asked.done_at = Some(now);
        }
    }

    pub(crate) fn re_arm(&mut self) {
        self.tries = self.tries.min(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn percent(value: f64) -> Percent {
        Percent::new(value).unwrap()
    }

    /// A car with a limit that obeys, and our journal.
    struct Bench {
        start: Instant,
        second: u64,
        limits: Limits,
        entry: Option<Remembered>,
        car: f64,
        told: Vec<f64>,
    }

    impl Bench {
        fn new(car: f64) -> Self {
            Bench { start: Instant::now(), second: 0, limits: Limits::default(), entry: None, car, told: Vec::new() }
        }

        fn run(&mut self, wish: Option<f64>, place: Whereabouts) {
            for _ in 0..5 {
                self.second += 600;
                let now = self.start + Duration::from_secs(self.second);
                let known = Some((percent(self.car), now));
                match self.limits.step(now, wish.map(percent), place, known, self.entry.as_ref()) {
                    LimitStep::Remember(entry) => self.entry = Some(entry),
                    LimitStep::Forget => self.entry = None,
                    LimitStep::Set { limit, remember, .. } => {
                        self.entry = Some(remember);
                        self.limits.asked(now, limit);
                        self.limits.done(now);
                        self.car = limit.get();
                        self.told.push(limit.get());
                    }
                    LimitStep::Fine | LimitStep::At(_) | LimitStep::GivenUp => {}
                }
            }
        }

        fn restart(&mut self) {
            self.limits = Limits::default();
        }
    }

    #[test]
    fn a_limit_is_put_back_when_the_policy_ends_or_the_car_leaves_also_after_a_restart() {
        for (wish, place) in [(None, Whereabouts::Home), (Some(60.0), Whereabouts::Away)] {
            let mut bench = Bench::new(80.0);
            bench.run(Some(90.0), Whereabouts::Home);
            bench.restart();
            bench.run(Some(60.0), Whereabouts::Home);
            bench.run(Some(60.0), Whereabouts::Unknown);
            bench.restart();
            bench.run(wish, place);
            assert_eq!((bench.told, bench.entry), (vec![90.0, 60.0, 80.0], None));
        }
    }

    #[test]
    fn the_drivers_change_wins_until_the_wish_changes_and_a_restart_changes_nothing() {
        let mut bench = Bench::new(80.0);
        bench.run(Some(60.0), Whereabouts::Home);
        bench.car = 95.0;
        bench.run(Some(60.0), Whereabouts::Home);
        bench.restart();
        bench.run(Some(60.0), Whereabouts::Home);
        assert_eq!((&bench.told, bench.car), (&vec![60.0], 95.0));
        bench.run(Some(70.0), Whereabouts::Home);
        bench.run(None, Whereabouts::Home);
        assert_eq!((bench.told, bench.car), (vec![60.0, 70.0, 95.0], 95.0));
    }

    #[test]
    fn a_driver_who_changed_it_keeps_it_when_the_policy_ends() {
        let mut bench = Bench::new(80.0);
        bench.run(Some(60.0), Whereabouts::Home);
        bench.car = 100.0;
        bench.run(None, Whereabouts::Home);
        assert_eq!((bench.told, bench.entry), (vec![60.0], None));
    }

    #[test]
    fn a_car_that_does_not_hear_is_told_a_few_times() {
        let mut limits = Limits::default();
        let start = Instant::now();
        let (mut entry, mut sent) = (None, 0);
        for minute in 0..600 {
            let now = start + Duration::from_secs(minute * 60);
            let known = Some((percent(80.0), now));
            if let LimitStep::Set { limit, remember, raises } =
                limits.step(now, Some(percent(60.0)), Whereabouts::Home, known, entry.as_ref())
            {
                assert!(!raises);
                entry = Some(remember);
                limits.asked(now, limit);
                sent += 1;
            }
        }
        assert_eq!(sent, 6);
    }
}
