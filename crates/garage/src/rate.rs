//! The current a car is set to: when it is worth a command.

use std::time::{Duration, Instant};

use units::Amps;

use crate::Purpose;

/// Between two commands, unless a reduction matters.
const SPACING: Duration = Duration::from_secs(30);
/// Trifles are put right after this.
const TRIFLE_SPACING: Duration = Duration::from_secs(120);
/// From here on a reduction does not wait.
const MATTERS: Amps = Amps::from_whole(2);
/// Less than this too much is a trifle.
const DEAD_BAND: Amps = Amps::from_centiamps(50);
/// Below, cars obey only the second of two commands.
const TWICE_BELOW: Amps = Amps::from_whole(5);
const TWICE_AFTER: Duration = Duration::from_secs(5);
/// A car that shows more than it was set to was changed by somebody, and is told again, but not for ever.
const OVERRIDE_SPACING: Duration = Duration::from_secs(300);
const MOST_OVERRIDES: u8 = 3;
const MOST_FAILURES: u8 = 3;
const FAILED_SPACING: Duration = Duration::from_secs(600);

/// What is known and was done about the current of one car.
#[derive(Debug, Clone, Default)]
pub(crate) struct Rate {
    last: Option<Told>,
    repeat: Option<(Amps, Instant)>,
    overrides: u8,
    failures: u8,
}

#[derive(Debug, Clone, Copy)]
struct Told {
    amps: Amps,
    asked_at: Instant,
    outcome: Outcome,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Open,
    Done(Instant),
    Failed,
}

/// What to do about the current now.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum RateStep {
    /// It is as it should be.
    Fine,
    /// Not before this.
    At(Instant),
    /// Send it.
    Send(Amps, Purpose),
}

impl Rate {
    /// What the car is set to, as far as is known: the newer of what it told and what it was told.
    pub(crate) fn believed(&self, told_by_car: Option<(Amps, Option<Instant>)>) -> Option<Amps> {
        let set = self.last.and_then(|last| match last.outcome {
            Outcome::Done(at) => Some((last.amps, Some(at))),
            Outcome::Open | Outcome::Failed => None,
        });
        match (set, told_by_car) {
            (Some(set), Some(told)) => Some(if told.1 > set.1 { told.0 } else { set.0 }),
            (set, told) => set.or(told).map(|(amps, _)| amps),
        }
    }

    /// What was last sent and acknowledged.
    pub(crate) fn set(&self) -> Option<(Amps, Instant)> {
        match self.last {
            Some(Told { amps, outcome: Outcome::Done(at), .. }) => Some((amps, at)),
            _ => None,
        }
    }

    pub(crate) fn step(
        &self,
        now: Instant,
        granted: Amps,
        possible: Option<Amps>,
        told_by_car: Option<(Amps, Option<Instant>)>,
    ) -> RateStep {
        let most = possible.map_or(granted, |possible| possible.min(granted));
        let target = most.whole_amps_floor().max(Amps::from_whole(1));
        if let Some((amps, at)) = self.repeat
            && amps == target
        {
            return if now < at { RateStep::At(at) } else { RateStep::Send(target, Purpose::Reduce) };
        }
        let after = |pause: Duration| self.last.map_or(now, |last| last.asked_at + pause);
        let send_at = |at: Instant, purpose| if now < at { RateStep::At(at) } else { RateStep::Send(target, purpose) };
        let Some(believed) = self.believed(told_by_car) else {
            return if self.failures < MOST_FAILURES {
                send_at(after(SPACING), Purpose::Reduce)
            } else {
                RateStep::Fine
            };
        };
        if target == believed || target > believed && target < believed + Amps::from_whole(1) {
            return RateStep::Fine;
        }
        if self.last.is_some_and(|last| last.amps == target && last.outcome != Outcome::Failed) {
            // An equal target is not repeated, unless somebody raised it in the car.
            let is_overridden = target < believed && self.overrides < MOST_OVERRIDES;
            return if is_overridden { send_at(after(OVERRIDE_SPACING), Purpose::Reduce) } else { RateStep::Fine };
        }
        if self.failures >= MOST_FAILURES && self.last.is_some_and(|last| last.amps == target) {
            // Too much current is not given up on, only tried more rarely.
            let is_too_much = target < believed;
            return if is_too_much { send_at(after(FAILED_SPACING), Purpose::Reduce) } else { RateStep::Fine };
        }
        if target > believed {
            return send_at(after(SPACING), Purpose::Rate);
        }
        let excess = believed - granted;
        let failed = self.last.is_some_and(|last| last.outcome == Outcome::Failed);
        match excess {
            excess if excess >= MATTERS && !failed => RateStep::Send(target, Purpose::Reduce),
            excess if excess >= DEAD_BAND => send_at(after(SPACING), Purpose::Reduce),
            _ => send_at(after(TRIFLE_SPACING), Purpose::Reduce),
        }
    }

    pub(crate) fn asked(&mut self, now: Instant, amps: Amps) {
        let is_repeat = self.repeat.take().is_some_and(|(repeated, _)| repeated == amps);
        let is_again = self.last.is_some_and(|last| last.amps == amps && last.outcome != Outcome::Failed);
        if is_again && !is_repeat {
            self.overrides = self.overrides.saturating_add(1);
        }
        if self.last.is_some_and(|last| last.amps != amps) {
            (self.overrides, self.failures) = (0, 0);
        }
        self.repeat = None;
        if amps < TWICE_BELOW && !is_repeat {
            self.repeat = Some((amps, now + TWICE_AFTER));
        }
        self.last = Some(Told { amps, asked_at: now, outcome: Outcome::Open });
    }

    pub(crate) fn done(&mut self, now: Instant) {
        if let Some(last) = &mut self.last {
            last.outcome = Outcome::Done(now);
            self.failures = 0;
        }
    }

    /// It may be tried again, a few times.
    pub(crate) fn failed(&mut self) {
        if let Some(last) = &mut self.last {
            last.outcome = Outcome::Failed;
        }
        self.repeat = None;
        self.failures = self.failures.saturating_add(1);
    }

    /// A new plug-in, another policy, a person: begin anew with what the car tells.
    pub(crate) fn re_arm(&mut self) {
        (self.overrides, self.failures) = (0, 0);
    }

    /// Another place may have another setting.
    pub(crate) fn forget(&mut self) {
        *self = Rate::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn amps(centiamps: i32) -> Amps {
        Amps::from_centiamps(centiamps)
    }

    #[test]
    fn raises_wait_and_reductions_that_matter_do_not() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut rate = Rate::default();
        let car = Some((amps(1600), Some(start)));
        let step = |rate: &Rate, seconds, granted| rate.step(at(seconds), amps(granted), None, car);
        assert_eq!(step(&rate, 1, 1600), RateStep::Fine);
        assert_eq!(step(&rate, 1, 1000), RateStep::Send(amps(1000), Purpose::Reduce));
        rate.asked(at(1), amps(1000));
        rate.done(at(2));
        assert_eq!(step(&rate, 5, 1000), RateStep::Fine);
        assert_eq!(step(&rate, 5, 1090), RateStep::Fine);
        assert_eq!(step(&rate, 5, 1190), RateStep::At(at(31)));
        assert_eq!(step(&rate, 31, 1190), RateStep::Send(amps(1100), Purpose::Rate));
        assert_eq!(step(&rate, 5, 700), RateStep::Send(amps(700), Purpose::Reduce));
        assert_eq!(step(&rate, 5, 940), RateStep::At(at(31)));
        // Two tenths too much: not at once, but not for ever either.
        assert_eq!(step(&rate, 31, 980), RateStep::At(at(121)));
        assert_eq!(step(&rate, 121, 980), RateStep::Send(amps(900), Purpose::Reduce));
    }

    #[test]
    fn below_five_amps_it_is_sent_twice() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut rate = Rate::default();
        rate.asked(at(0), amps(300));
        rate.done(at(1));
        let step = |rate: &Rate, seconds| rate.step(at(seconds), amps(350), None, None);
        assert_eq!(step(&rate, 2), RateStep::At(at(5)));
        assert_eq!(step(&rate, 5), RateStep::Send(amps(300), Purpose::Reduce));
        rate.asked(at(5), amps(300));
        rate.done(at(6));
        assert_eq!(step(&rate, 600), RateStep::Fine);
    }

    #[test]
    fn the_cars_most_bounds_it_and_equal_targets_are_not_repeated() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut rate = Rate::default();
        let clamped = Some((amps(1300), Some(at(10))));
        assert_eq!(rate.step(at(0), amps(3200), Some(amps(1600)), None), RateStep::Send(amps(1600), Purpose::Reduce));
        rate.asked(at(0), amps(1600));
        rate.done(at(1));
        // The car shows less than it was told: it does as it can.
        assert_eq!(rate.step(at(600), amps(3200), Some(amps(1600)), clamped), RateStep::Fine);
        // More than it was told: somebody turned it up. Told again, three times.
        let raised = |seconds| Some((amps(2000), Some(at(seconds))));
        for turn in 1..=3 {
            let now = 300 * turn;
            let granted = amps(1600);
            assert_eq!(rate.step(at(now), granted, None, raised(now)), RateStep::Send(granted, Purpose::Reduce));
            rate.asked(at(now), granted);
            rate.done(at(now));
        }
        assert_eq!(rate.step(at(1300), amps(1600), None, raised(1300)), RateStep::Fine);
    }

    #[test]
    fn a_lost_command_is_tried_thrice_and_then_rarely_while_it_is_about_too_much_current() {
        let start = Instant::now();
        let mut rate = Rate::default();
        let mut sent = 0;
        for second in 0..3600 {
            let now = start + Duration::from_secs(second);
            if let RateStep::Send(amps, _) = rate.step(now, amps(600), None, Some((amps(1600), Some(start)))) {
                sent += 1;
                rate.asked(now, amps);
                rate.failed();
            }
        }
        assert_eq!(sent, 3 + 5);
    }
}
