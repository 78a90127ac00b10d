//! What a car draws between two of its reports.

use std::time::{Duration, Instant};

use garage::CarView;
use units::{Amps, Watts};

use evse::EvseLimits;

/// A figure older than this is called an estimate.
const LIVE: Duration = Duration::from_secs(30);
/// Without a word for so long nothing is known any more.
const UNKNOWN_AFTER: Duration = Duration::from_secs(1800);
/// A car takes so long to follow a new current.
const FOLLOWS_WITHIN: Duration = Duration::from_secs(10);
/// A car that was told to start may draw from then on, whatever it told last.
const MAY_HAVE_STARTED: Duration = Duration::from_secs(120);
/// The car's own forecast of its end may be off by this.
const END_SLACK: Duration = Duration::from_secs(600);

/// What a car draws, as far as can be told.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Estimate {
    pub(crate) drawn: Option<Amps>,
    pub(crate) power: Option<Watts>,
    pub(crate) is_estimate: bool,
    /// What must be reckoned with, per phase.
    pub(crate) committed: Amps,
}

/// Reckons from what a car told and was told since. While it follows a lower current the higher of both counts as
/// committed; its power is that of the lower, which is where it ends within seconds.
pub(crate) fn estimate(now: Instant, view: &CarView, limits: &EvseLimits) -> Estimate {
    let state = &view.state;
    let told_at = state.amps.as_ref().and_then(|seen| seen.at);
    let told = state.amps.as_ref().map(|seen| seen.value);
    let requested = view.set.map(|(amps, _)| amps).or(state.amps_requested.as_ref().map(|seen| seen.value));
    let heard_at = view.heard_at.max(view.set.map(|(_, at)| at));
    let age = heard_at.map(|at| now.saturating_duration_since(at));
    let bound = |amps: Amps| {
        let possible = state.amps_possible.as_ref().map_or(limits.max, |seen| seen.value);
        let offered = state.amps_offered.as_ref().map(|seen| seen.value).filter(|amps| *amps > Amps::ZERO);
        amps.min(possible).min(offered.unwrap_or(limits.max))
    };
    let may_draw = requested.map_or(limits.max, bound);
    let is_pending = matches!(&state.schedule_pending, Some(seen) if seen.value);
    // Until something was told since, nobody knows that it did not.
    let charging_at = state.charging.as_ref().and_then(|seen| seen.at);
    let has_just_started = view.started_at > view.stopped_at
        && view.started_at.is_some_and(|at| {
            now.saturating_duration_since(at) < MAY_HAVE_STARTED || charging_at.is_none_or(|told| told <= at)
        });
    let is_plugged = view.plugged == Some(true);
    match view.flows {
        Some(true) => {
            let was_set_since = view.set.filter(|(_, at)| told_at.is_none_or(|told| *at > told)).map(|(amps, _)| amps);
            let drawn = match (was_set_since, told) {
                (Some(set), _) => Some(bound(set)),
                (None, Some(told)) => Some(told),
                (None, None) => Some(may_draw),
            };
            let end = state.to_limit.as_ref().and_then(|seen| Some(seen.at? + seen.value + END_SLACK));
            let is_known = age.is_some_and(|age| age <= UNKNOWN_AFTER) && end.is_none_or(|end| now < end);
            let drawn = drawn.filter(|_| is_known);
            let is_following = view.set.is_some_and(|(_, at)| now.saturating_duration_since(at) < FOLLOWS_WITHIN);
            let before = told.filter(|_| is_following || was_set_since.is_none()).unwrap_or(Amps::ZERO);
            Estimate {
                drawn,
                power: drawn.map(|amps| limits.power(amps)),
                is_estimate: was_set_since.is_some() || told.is_none() || age.is_none_or(|age| age > LIVE),
                committed: may_draw.max(before).max(drawn.unwrap_or(Amps::ZERO)),
            }
        }
        Some(false) => Estimate {
            drawn: Some(Amps::ZERO),
            power: Some(Watts::ZERO),
            is_estimate: age.is_none_or(|age| age > LIVE),
            committed: if is_plugged && (is_pending || has_just_started) { may_draw } else { Amps::ZERO },
        },
        None => Estimate {
            drawn: None,
            power: None,
            is_estimate: true,
            committed: if view.plugged == Some(false) { Amps::ZERO } else { may_draw },
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use garage::{Day, Garage, GarageSettings, Kept};
    use units::{Phases, Volts};
    use vehicle::{CarKey, ChargingState, Facts, Nearness, Report};

    const LIMITS: EvseLimits =
        EvseLimits { min: Amps::from_whole(5), max: Amps::from_whole(32), volts: Volts::ZERO, phases: Phases::Three };

    fn limits() -> EvseLimits {
        EvseLimits { volts: Volts::new(230.0).unwrap(), ..LIMITS }
    }

    fn view(told_at: Instant, facts: Facts) -> CarView {
        let car = CarKey::Name("car".to_owned());
        let mut garage = Garage::new(told_at, GarageSettings::default(), Kept::default(), []);
        garage.set_today(Day { year: 2026, month: 11, day: 21 });
        let (source, nearness) = ("told".into(), Nearness::Copy);
        garage.handle_report(told_at, &Report { car: car.clone(), source, nearness, taken_at: Some(told_at), facts });
        garage.view(told_at, &car).unwrap()
    }

    fn charging() -> Facts {
        Facts {
            charging: Some(ChargingState::Charging),
            amps: Some(Amps::from_whole(10)),
            amps_requested: Some(Amps::from_whole(12)),
            amps_possible: Some(Amps::from_whole(16)),
            ..Facts::default()
        }
    }

    fn watts(estimate: &Estimate) -> Option<f64> {
        estimate.power.map(Watts::get)
    }

    #[test]
    fn what_was_told_becomes_an_estimate_and_then_unknown_but_stays_reckoned_with() {
        let start = Instant::now();
        let at = |seconds| estimate(start + Duration::from_secs(seconds), &view(start, charging()), &limits());
        assert_eq!((watts(&at(10)), at(10).is_estimate), (Some(6900.0), false));
        assert_eq!((watts(&at(300)), at(300).is_estimate), (Some(6900.0), true));
        assert_eq!((watts(&at(1801)), at(1801).committed), (None, Amps::from_whole(12)));
    }

    #[test]
    fn a_newer_current_counts_within_what_is_possible_and_the_higher_is_reckoned_with_at_first() {
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        let set = |amps: i32| CarView { set: Some((Amps::from_whole(amps), after(20))), ..view(start, charging()) };
        let low = estimate(after(21), &set(6), &limits());
        assert_eq!((watts(&low), low.is_estimate, low.committed), (Some(4140.0), true, Amps::from_whole(10)));
        assert_eq!(estimate(after(31), &set(6), &limits()).committed, Amps::from_whole(6));
        assert_eq!(estimate(after(31), &set(32), &limits()).drawn, Some(Amps::from_whole(16)));
    }

    #[test]
    fn a_forecast_that_is_over_and_a_start_that_is_not_seen_yet() {
        let start = Instant::now();
        let ending = Facts { to_limit: Some(Duration::from_secs(300)), ..charging() };
        let at = |seconds| estimate(start + Duration::from_secs(seconds), &view(start, ending.clone()), &limits());
        assert!(at(800).power.is_some());
        assert_eq!(at(901).power, None);
        let stopped = Facts { charging: Some(ChargingState::Stopped), ..charging() };
        let idle = view(start, stopped);
        assert_eq!(estimate(start, &idle, &limits()).committed, Amps::ZERO);
        let started = CarView { started_at: Some(start), ..idle };
        let soon = estimate(start + Duration::from_secs(5), &started, &limits());
        assert_eq!((soon.power, soon.committed), (Some(Watts::ZERO), Amps::from_whole(12)));
        // An hour without a word: it may draw since then. A word that it does not ends that.
        let later = start + Duration::from_secs(3600);
        assert_eq!(estimate(later, &started, &limits()).committed, Amps::from_whole(12));
        let again =
            view(start + Duration::from_secs(600), Facts { charging: Some(ChargingState::Stopped), ..charging() });
        let told = CarView { started_at: Some(start), ..again };
        assert_eq!(estimate(later, &told, &limits()).committed, Amps::ZERO);
    }
}
