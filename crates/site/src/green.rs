//! When surplus starts and stops cars: delays, least times, and no flapping.
//!
//! * A running car that no longer gets its least from the surplus (and the flex) is kept at its least until the shortfall
//!   has lasted `startStopDelay`, and at least a minute after its start.
//! * A car is started once the surplus has been enough for it, beside those that run, for `startStopDelay`; at once when it
//!   was never too little before. Not within a minute of its stop, and at most four times an hour.
//! * The grant follows a fall at once and a small rise after ten seconds, so that a noisy meter does not make the offer
//!   flicker.
//!
//! None of this holds back a limit: circuits, grid limit and fuse are applied afterwards.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// A start or a stop lasts at least this long; contactors and cars dislike less.
pub(crate) const LEAST_TIME: Duration = Duration::from_secs(60);
/// Most starts within [`STARTS_WINDOW`] that follow from the surplus.
const MOST_STARTS: usize = 4;
const STARTS_WINDOW: Duration = Duration::from_secs(3600);
/// A rise of the surplus of at least so many watts is followed at once, a smaller one after [`SETTLED`].
const CLEAR_RISE: f64 = 100.0;
const SETTLED: Duration = Duration::from_secs(10);

/// What is remembered of one charging point.
#[derive(Debug, Clone, Default)]
pub(crate) struct Gate {
    enough_since: Option<Instant>,
    /// Watts that were enough since then.
    enough_for: f64,
    was_short: bool,
    starts: VecDeque<Instant>,
    /// Its car draws, as was last seen.
    draws: bool,
    /// Its car began by itself, and that start counts already.
    is_counted: bool,
    pub(crate) started_at: Option<Instant>,
    pub(crate) stopped_at: Option<Instant>,
}

/// Why a car may not start yet.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Wait {
    /// Less surplus than it needs beside those that run; watts that are missing.
    Short {
        /// What would be needed in total.
        needed: f64,
    },
    /// Enough, but not for long enough yet.
    Settling { until: Instant },
    /// Cars that are below their least state of charge get more than the rule gives; what the rule gives is too little for
    /// this one.
    OnlyForFirst,
    /// It stopped a moment ago.
    Resting { until: Instant },
    /// Too many starts within the hour.
    TooOften { until: Instant },
}

impl Gate {
    /// It was given power, or it was taken away.
    pub(crate) fn note(&mut self, now: Instant, is_running: bool, was_running: bool) {
        if is_running && !was_running {
            self.started_at = Some(now);
            if !std::mem::take(&mut self.is_counted) {
                self.count(now);
            }
        } else if was_running && !is_running {
            self.stopped_at = Some(now);
            self.enough_since = None;
        }
    }

    fn count(&mut self, now: Instant) {
        self.starts.push_back(now);
        while self.starts.len() > MOST_STARTS {
            self.starts.pop_front();
        }
    }

    /// Its car draws or does not. One that begins although it was granted nothing, as after a plug-in, was started as well.
    pub(crate) fn watch(&mut self, now: Instant, draws: bool, is_granted: bool) {
        if draws && !self.draws && !is_granted {
            self.count(now);
            self.is_counted = true;
        }
        self.is_counted &= draws;
        self.draws = draws;
    }

    /// Whether it may start when `have` watts are there and `needed` are needed; `None` is yes.
    pub(crate) fn judge(&mut self, now: Instant, have: f64, needed: f64, delay: Duration) -> Option<Wait> {
        if have < needed {
            self.enough_since = None;
            self.was_short = true;
            return Some(Wait::Short { needed });
        }
        if needed > self.enough_for + 1.0 && self.enough_since.is_some() {
            // Enough to take another car's turn is not yet enough to charge beside it.
            self.enough_since = None;
            self.was_short = true;
        }
        self.enough_for = needed;
        let since = *self.enough_since.get_or_insert(now);
        if self.was_short && now.saturating_duration_since(since) < delay {
            return Some(Wait::Settling { until: since + delay });
        }
        if let Some(until) = self.stopped_at.map(|at| at + LEAST_TIME).filter(|until| *until > now) {
            return Some(Wait::Resting { until });
        }
        if self.starts.len() >= MOST_STARTS
            && let Some(until) = self.starts.front().map(|at| *at + STARTS_WINDOW).filter(|until| *until > now)
        {
            return Some(Wait::TooOften { until });
        }
        None
    }

    /// Whether its starts still count.
    pub(crate) fn counts(&self, now: Instant) -> bool {
        self.starts.back().is_some_and(|at| now.saturating_duration_since(*at) < STARTS_WINDOW)
    }

    /// The surplus is not known.
    pub(crate) fn forget(&mut self) {
        self.enough_since = None;
        self.was_short = true;
    }

    /// Somebody or another rule decides; surplus counts anew afterwards.
    pub(crate) fn pardon(&mut self) {
        self.was_short = false;
        self.enough_since = None;
        self.stopped_at = None;
    }
}

/// What is remembered of the surplus.
#[derive(Debug, Clone, Default)]
pub(crate) struct Damper {
    short_since: Option<Instant>,
    used: Option<f64>,
    higher_since: Option<Instant>,
    /// There was enough for the running cars since the surplus began to count.
    was_enough: bool,
}

impl Damper {
    /// The surplus that is acted on, and when it would rise by itself.
    pub(crate) fn steady(&mut self, now: Instant, surplus: f64) -> (f64, Option<Instant>) {
        let used = match self.used {
            Some(used) if surplus > used && surplus < used + CLEAR_RISE => {
                let since = *self.higher_since.get_or_insert(now);
                if now.saturating_duration_since(since) < SETTLED {
                    return (used, Some(since + SETTLED));
                }
                surplus
            }
            _ => surplus,
        };
        self.higher_since = None;
        self.used = Some(used);
        (used, None)
    }

    /// Whether running cars are kept although there is too little for them, and until when.
    pub(crate) fn hold(
        &mut self,
        now: Instant,
        is_short: bool,
        delay: Duration,
        last_start: Option<Instant>,
    ) -> Option<Instant> {
        if !is_short {
            self.short_since = None;
            self.was_enough = true;
            return None;
        }
        if !self.was_enough {
            // Cars that another rule started are not kept by this one.
            return None;
        }
        let since = *self.short_since.get_or_insert(now);
        let until = (since + delay).max(last_start.map_or(since, |at| at + LEAST_TIME));
        (until > now).then_some(until)
    }

    /// Whether there was a surplus to act on at the last decision.
    pub(crate) fn is_in_use(&self) -> bool {
        self.used.is_some()
    }

    pub(crate) fn forget(&mut self) {
        *self = Damper::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DELAY: Duration = Duration::from_secs(60);

    #[test]
    fn the_first_start_is_at_once_and_later_ones_wait() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut gate = Gate::default();
        assert_eq!(gate.judge(at(0), 2000.0, 1400.0, DELAY), None);
        gate.note(at(0), true, false);
        gate.note(at(100), false, true);
        assert_eq!(gate.judge(at(110), 1000.0, 1400.0, DELAY), Some(Wait::Short { needed: 1400.0 }));
        assert_eq!(gate.judge(at(120), 2000.0, 1400.0, DELAY), Some(Wait::Settling { until: at(180) }));
        assert_eq!(gate.judge(at(180), 2000.0, 1400.0, DELAY), None);
    }

    #[test]
    fn four_starts_an_hour_are_enough() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut gate = Gate::default();
        for round in 0..4 {
            gate.note(at(round * 200), true, false);
            gate.note(at(round * 200 + 100), false, true);
        }
        assert_eq!(gate.judge(at(1000), 2000.0, 1400.0, DELAY), Some(Wait::TooOften { until: at(3600) }));
        assert_eq!(gate.judge(at(3600), 2000.0, 1400.0, DELAY), None);
    }

    #[test]
    fn a_start_of_the_cars_own_counts_once() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut gate = Gate::default();
        // Plugged in, it begins by itself; what it takes is granted a little later.
        gate.watch(at(0), true, false);
        gate.note(at(30), true, false);
        gate.watch(at(30), true, true);
        assert_eq!(gate.starts.len(), 1);
        gate.note(at(100), false, true);
        gate.watch(at(110), false, false);
        for round in 1..4 {
            gate.note(at(round * 200), true, false);
            gate.watch(at(round * 200 + 5), true, true);
            gate.note(at(round * 200 + 100), false, true);
            gate.watch(at(round * 200 + 105), false, false);
        }
        assert_eq!(gate.judge(at(1000), 2000.0, 1400.0, DELAY), Some(Wait::TooOften { until: at(3600) }));
    }

    #[test]
    fn a_shortfall_is_bridged_for_the_delay_and_the_least_time() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut damper = Damper::default();
        assert_eq!(damper.hold(at(0), true, DELAY, Some(at(0))), None);
        assert_eq!(damper.hold(at(0), false, DELAY, Some(at(0))), None);
        assert_eq!(damper.hold(at(0), true, DELAY, Some(at(0))), Some(at(60)));
        assert_eq!(damper.hold(at(30), false, DELAY, Some(at(0))), None);
        assert_eq!(damper.hold(at(40), true, DELAY, None), Some(at(100)));
        assert_eq!(damper.hold(at(100), true, DELAY, None), None);
    }

    #[test]
    fn a_noisy_meter_moves_the_grant_down_at_once_and_up_when_it_has_settled() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut damper = Damper::default();
        assert_eq!(damper.steady(at(0), 2000.0).0, 2000.0);
        assert_eq!(damper.steady(at(1), 1980.0).0, 1980.0);
        assert_eq!(damper.steady(at(2), 2010.0), (1980.0, Some(at(12))));
        assert_eq!(damper.steady(at(12), 2010.0).0, 2010.0);
        assert_eq!(damper.steady(at(13), 2500.0).0, 2500.0);
    }
}
