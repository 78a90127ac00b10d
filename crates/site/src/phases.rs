//! On how many phases a car charges, learnt from what the meter at the grid connection shows when the car changes its
//! current.
//!
//! Only for a charging point that does not measure each phase itself. Clear evidence is asked for: the car was steady before
//! and after, changed by several amps in between, nobody else did, and the meter moved by the same amps on some phases and
//! not at all on the others, three times in the same way. Limits do not depend on it: they are amps per phase.

use std::time::{Duration, Instant};

use evse::EvseStatus;
use units::{Amps, Phases};

use crate::combine::Combined;
use crate::{Site, cars};

/// A car is steady when its current stays so long.
const STEADY: Duration = Duration::from_secs(10);
/// Two samples farther apart tell more about the house than about the car.
const SOON: Duration = Duration::from_secs(90);
/// Least change in amps that stands out of what a house does.
const CLEAR: f64 = 4.0;
/// How near the meter must come to the car's own change, as a part of it.
const NEAR: f64 = 0.2;
/// Watts by which the other cars may differ meanwhile.
const OTHERS: f64 = 100.0;
/// So many times in a row.
const VOTES: u8 = 3;

/// What the meter showed while a car was steady.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Shown {
    at: Instant,
    /// The car's own amps.
    amps: f64,
    others: f64,
    by_phase: Option<[f64; 3]>,
    watts: Option<f64>,
}

/// What is learnt of the car at one charging point.
#[derive(Debug, Clone, Default)]
pub(crate) struct Learner {
    /// Amps, and since when they are so.
    level: Option<(f64, Instant)>,
    shown: Option<Shown>,
    votes: Option<(u8, u8)>,
    learnt: Option<Phases>,
}

/// Whether a charging point leaves it to others to find out.
fn is_blind(status: &EvseStatus) -> bool {
    !status.is_estimate
        && !status.drawn_per_phase.into_array().iter().flatten().any(|amps| *amps >= Amps::from_whole(1))
}

impl Learner {
    fn note(&mut self, now: Instant, status: &EvseStatus) {
        let drawn = status.drawn.map_or(0.0, Amps::get);
        if self.level.is_none_or(|(amps, _)| (amps - drawn).abs() > 0.5) {
            self.level = Some((drawn, now));
        }
    }

    /// A sample of the meter, taken at a moment from which on the car had been steady for long enough, or not.
    fn judge(&mut self, shown: Shown, latency: Duration, volts: f64) {
        let Some((amps, since)) = self.level else { return };
        if shown.at < since + STEADY + latency {
            return;
        }
        let before = self.shown.replace(Shown { amps, ..shown });
        let Some(before) = before else { return };
        let change = amps - before.amps;
        let is_fair =
            shown.at.saturating_duration_since(before.at) <= SOON && (shown.others - before.others).abs() < OTHERS;
        if change.abs() < CLEAR || !is_fair {
            return;
        }
        let vote = match (before.by_phase, shown.by_phase, before.watts, shown.watts) {
            (Some(old), Some(new), ..) => by_phase(old, new, change),
            (_, _, Some(old), Some(new)) => by_total(new - old, change * volts),
            _ => None,
        };
        let Some(vote) = vote else { return };
        let count = self.votes.filter(|(same, _)| *same == vote).map_or(1, |(_, count)| count.saturating_add(1));
        self.votes = Some((vote, count));
        if count >= VOTES {
            self.learnt = Phases::from_count(vote);
        }
    }
}

fn by_phase(old: [f64; 3], new: [f64; 3], change: f64) -> Option<u8> {
    let mut used = 0;
    for (old, new) in old.into_iter().zip(new) {
        let part = (new - old) / change;
        if (part - 1.0).abs() <= NEAR {
            used += 1;
        } else if part.abs() > NEAR {
            return None;
        }
    }
    (used > 0).then_some(used)
}

fn by_total(watts: f64, per_phase: f64) -> Option<u8> {
    let count = watts / per_phase;
    [1_u8, 2, 3].into_iter().find(|whole| (count - f64::from(*whole)).abs() <= NEAR)
}

impl Site {
    /// The same status, reckoned with the phases that were learnt, unless a person or the charging point itself knows better.
    pub(crate) fn with_learnt_phases(&mut self, now: Instant, status: EvseStatus) -> EvseStatus {
        let is_set = cars::has_phases(&self.settings, status.vin.as_ref().map(evse::Vin::as_str));
        let Some(point) = self.points.get_mut(&status.id) else { return status };
        point.learner.note(now, &status);
        let learnt = point.learner.learnt.filter(|learnt| *learnt != status.limits.phases);
        match learnt.filter(|_| !is_set && is_blind(&status)) {
            Some(phases) => {
                let mut status = status;
                status.limits.phases = phases;
                status.power = status.drawn.map(|drawn| drawn.watts(status.limits.volts, phases)).or(status.power);
                status
            }
            None => status,
        }
    }

    /// Learns from a reading that came in.
    pub(crate) fn learn_phases(&mut self) {
        let (by_phase, watts, at, latency) = match meter(&self.picture) {
            Some(meter) => meter,
            None => return,
        };
        let all = self.history.now().watts;
        for point in self.points.values_mut().filter(|point| is_blind(&point.status)) {
            let own = point.status.power.map_or(0.0, units::Watts::get);
            let shown = Shown { at, amps: 0.0, others: all - own, by_phase, watts };
            point.learner.judge(shown, latency, point.status.limits.volts.get());
        }
    }
}

type Meter = (Option<[f64; 3]>, Option<f64>, Instant, Duration);

/// What the meter at the grid connection shows, if there is one.
fn meter(picture: &Combined) -> Option<Meter> {
    if let Some(sample) = &picture.phases {
        let [l1, l2, l3] = sample.amps.into_array();
        if let (Some(l1), Some(l2), Some(l3)) = (l1, l2, l3) {
            return Some((Some([l1.get(), l2.get(), l3.get()]), None, sample.taken_at, sample.latency));
        }
    }
    let grid = picture.grid.known()?;
    Some((None, Some(grid.power.get()), grid.taken_at, grid.latency))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_clear_change_counts_and_only_the_third_in_a_row_decides() {
        assert_eq!(by_phase([1.0, 2.0, 3.0], [11.1, 2.2, 2.9], 10.0), Some(1));
        assert_eq!(by_phase([1.0, 2.0, 3.0], [11.1, 12.2, 12.9], 10.0), Some(3));
        assert_eq!(by_phase([1.0, 2.0, 3.0], [11.1, 8.0, 3.0], 10.0), None, "an oven came on");
        assert_eq!((by_total(2300.0, 2300.0), by_total(6900.0, 2300.0)), (Some(1), Some(3)));
        assert_eq!(by_total(3500.0, 2300.0), None);
    }
}
