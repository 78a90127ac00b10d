//! How much is shared out under the rule in force, and which cars may not start yet.

use std::time::Instant;

use allocator::Demand;
use evse::EvseLimits;
use policy::Now;
use units::{Amps, Watts};

use crate::Site;
use crate::decide::demand;
use crate::green::Wait;
use crate::point::Point;

/// How the surplus is shared out.
pub(crate) struct Green {
    /// Apparent watts for all cars together.
    pub(crate) budget: f64,
    /// Running cars are kept although the surplus is too small, until then.
    pub(crate) held_until: Option<Instant>,
}

impl Site {
    /// The amps of a fixed rule; with the flex when they fall short of the least that a car takes.
    pub(crate) fn fixed(&mut self, amps: f64, flex: f64) -> Amps {
        self.points.values_mut().for_each(|point| point.wait = None);
        let amps = Amps::new(amps.min(10_000.0)).unwrap_or(Amps::ZERO);
        let with_flex = amps + Amps::new(flex.min(10_000.0)).unwrap_or(Amps::ZERO);
        let least = self.points.values().map(|point| self.limits_of(&point.status).min).min();
        let amps = match least {
            Some(least) if amps > Amps::ZERO && amps < least && with_flex >= least => least,
            _ => amps,
        };
        let first_needs = self.first_needs().0;
        self.keep_for_first(amps < first_needs, |limits| limits.power(amps));
        amps.max(first_needs)
    }

    /// Cars below their least state of charge may get more than the rule gives, and what they leave alone, since they sleep
    /// or refuse, is for nobody else: the others get what the rule gives.
    fn keep_for_first(&mut self, is_more_than_given: bool, given: impl Fn(&EvseLimits) -> Watts) {
        let all: Vec<EvseLimits> = self.points.values().map(|point| self.limits_of(&point.status)).collect();
        for (point, limits) in self.points.values_mut().zip(&all) {
            let given = Some(given(limits)).filter(|_| is_more_than_given && !point.terms.is_first);
            point.beside_first = given;
            if given.is_some_and(|given| given < limits.min_power()) {
                point.wait = point.wait.or(Some(Wait::OnlyForFirst));
            }
        }
    }

    /// How much of the surplus is shared out, and which cars may not start yet.
    pub(crate) fn green(&mut self, now: &Now, flex: f64) -> Green {
        let delay = self.setup.start_stop_delay;
        let limits: Vec<f64> =
            self.points.values().map(|point| self.limits_of(&point.status).min_power().get()).collect();
        let first_needs = self.first_needs().1;
        let Ok(found) = self.state.grantable.clone() else {
            // Before the first reading nothing was ever too little.
            let was_known = self.damper.is_in_use();
            for point in self.points.values_mut() {
                if was_known {
                    point.gate.forget();
                }
                point.wait = None;
            }
            self.damper.forget();
            self.keep_for_first(first_needs > 0.0, |_| Watts::ZERO);
            return Green { budget: first_needs, held_until: None };
        };
        let (surplus, rises_at) = self.damper.steady(now.mono, found);
        self.wake_at(rises_at);
        let is_running = |point: &Point| point.target > Watts::ZERO && !matches!(demand(point), Demand::None(_));
        let running: f64 =
            self.points.values().zip(&limits).filter(|(point, _)| is_running(point)).map(|(_, least)| least).sum();
        let last_start =
            self.points.values().filter(|point| is_running(point)).filter_map(|point| point.gate.started_at).max();
        let is_short = running > 0.0 && surplus + flex < running;
        let held_until = self.damper.hold(now.mono, is_short, delay, last_start);
        let mut budget =
            if held_until.is_some() { surplus.max(running) } else { surplus.max((surplus + flex).min(running)) };
        let startable = if self.setup.flex_starts { surplus + flex } else { surplus };
        for (point, least) in self.points.values_mut().zip(&limits) {
            point.wait = None;
            if is_running(point) || point.terms.is_first || matches!(demand(point), Demand::None(_)) {
                continue;
            }
            // Beside those that run; or in the place of one of them, when there is not enough for all.
            let beside = running + least;
            let needed = if startable >= beside || running == 0.0 { beside } else { *least };
            point.wait = point.gate.judge(now.mono, startable, needed, delay);
            if point.wait.is_none() && needed > budget {
                budget = needed;
            }
        }
        self.wake_at(held_until);
        let waits: Vec<_> = self.points.values().filter_map(|point| point.wait.and_then(until)).collect();
        waits.into_iter().for_each(|at| self.wake_at(Some(at)));
        self.keep_for_first(budget < first_needs, |_| Watts::saturating(budget));
        Green { budget: budget.max(first_needs), held_until }
    }

    fn wake_at(&mut self, at: Option<Instant>) {
        self.green_wake = [self.green_wake, at].into_iter().flatten().min();
    }
}

fn until(wait: Wait) -> Option<Instant> {
    match wait {
        Wait::Short { .. } | Wait::OnlyForFirst => None,
        Wait::Settling { until } | Wait::Resting { until } | Wait::TooOften { until } => Some(until),
    }
}
