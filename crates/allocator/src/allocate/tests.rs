//! Small sites, worked out by hand.

use std::time::Duration;

use evse::EvseLimits;
use units::{Phases, Volts};

use super::*;
use crate::{Cap, Circuits, PhaseMap, PowerSource};

const MINUTE: Duration = Duration::from_secs(60);

/// Three phases of 230 V, 6 to 16 A: 4140 W to 11040 W, 690 W for an amp.
fn car(name: &str) -> EvseRequest {
    EvseRequest {
        id: EvseId::new(name),
        circuit: None,
        limits: EvseLimits {
            min: Amps::from_whole(6),
            max: Amps::from_whole(16),
            volts: Volts::saturating(230.0),
            phases: Phases::Three,
        },
        demand: Demand::Wants,
        priority: 0,
        held: Amps::ZERO,
        target: Watts::ZERO,
        can_take: None,
        may_rise: true,
        step: Amps::from_whole(1),
        phase_map: PhaseMap::IN_ORDER,
    }
}

fn decide_with(watts: f64, evses: &[EvseRequest], rotation: &Rotation, now: Instant) -> Allocation {
    let cap = Cap { amount: Watts::saturating(watts), source: PowerSource::Surplus };
    let circuits = Circuits::default();
    let request = Request { power: Some(cap), circuits: &circuits, evses, timing: Timing::default() };
    allocate(&request, rotation, now)
}

/// Decides with fresh turns, and compares ideal and permitted watts and the reason of each.
fn check(watts: f64, evses: &[EvseRequest], expected: &[(f64, f64, &str)]) {
    let decision = decide_with(watts, evses, &Rotation::default(), Instant::now());
    let found: Vec<_> = decision
        .shares
        .iter()
        .map(|share| {
            let reason = share.bound_by.limit().map_or(share.bound_by.code(), Limit::code);
            (share.ideal.get(), share.permitted.get(), reason)
        })
        .collect();
    assert_eq!(found, expected);
}

#[test]
fn what_one_car_cannot_take_goes_to_the_other() {
    let small = EvseRequest { can_take: Some(Watts::saturating(5_000.0)), ..car("small") };
    check(15_000.0, &[small, car("big")], &[(4_830.0, 4_830.0, "vehicle"), (9_660.0, 9_660.0, "surplus")]);
}

#[test]
fn exactly_the_minimum_is_enough() {
    check(4_140.0, &[car("a")], &[(4_140.0, 4_140.0, "surplus")]);
    check(4_139.0, &[car("a")], &[(0.0, 0.0, "surplus")]);
    check(-500.0, &[car("a")], &[(0.0, 0.0, "surplus")]);
}

#[test]
fn a_fall_is_told_at_once_and_a_rise_waits_for_it() {
    let ten = Amps::from_whole(10);
    let first = EvseRequest { held: ten, target: Watts::saturating(6_900.0), ..car("first") };
    // It should fall to 6 A; 4 A of what it holds are missing for the second one's minimum.
    check(8_300.0, &[first.clone(), car("second")], &[(4_140.0, 4_140.0, "surplus"), (4_140.0, 0.0, "surplus")]);
    let obeyed = EvseRequest { held: Amps::from_whole(6), target: Watts::saturating(4_140.0), ..first };
    check(8_300.0, &[obeyed, car("second")], &[(4_140.0, 4_140.0, "surplus"), (4_140.0, 4_140.0, "surplus")]);
}

#[test]
fn a_lost_one_gets_nothing_and_stays_counted() {
    let lost = EvseRequest { demand: Demand::None(Unserved::Lost), held: Amps::from_whole(6), ..car("lost") };
    check(10_000.0, &[lost, car("other")], &[(0.0, 0.0, "lost"), (5_520.0, 5_520.0, "surplus")]);
}

#[test]
fn an_unsteady_link_may_fall_but_not_rise() {
    let unsteady =
        EvseRequest { may_rise: false, held: Amps::from_whole(8), target: Watts::saturating(5_520.0), ..car("a") };
    check(20_000.0, std::slice::from_ref(&unsteady), &[(5_520.0, 5_520.0, "link_degraded")]);
    check(4_500.0, &[unsteady], &[(4_140.0, 4_140.0, "surplus")]);
}

#[test]
fn who_might_want_gets_the_least_after_those_who_want() {
    let might = EvseRequest { demand: Demand::MightWant, priority: 9, ..car("a") };
    check(20_000.0, std::slice::from_ref(&might), &[(4_140.0, 4_140.0, "least_until_drawn")]);
    check(5_000.0, &[might, car("b")], &[(0.0, 0.0, "surplus"), (4_830.0, 4_830.0, "surplus")]);
}

#[test]
fn without_a_voltage_nothing_is_offered() {
    let mut dark = car("a");
    dark.limits.volts = Volts::ZERO;
    check(20_000.0, &[dark], &[(0.0, 0.0, "no_voltage")]);
}

#[test]
fn a_second_one_of_the_same_name_gets_nothing() {
    check(20_000.0, &[car("a"), car("a")], &[(11_040.0, 11_040.0, "own_maximum"), (0.0, 0.0, "duplicate")]);
}

#[test]
fn a_start_outlasts_a_higher_priority_for_some_minutes() {
    let now = Instant::now();
    let low = car("low");
    let first = decide_with(5_000.0, std::slice::from_ref(&low), &Rotation::default(), now);
    let both = [low, EvseRequest { priority: 1, ..car("high") }];
    let soon = decide_with(5_000.0, &both, &first.rotation, now + MINUTE);
    assert_eq!(soon.shares[1].bound_by.code(), "waiting_for_turn");
    assert_eq!(soon.decide_again_at, Some(now + 5 * MINUTE));
    let later = decide_with(5_000.0, &both, &soon.rotation, now + 5 * MINUTE);
    assert_eq!(later.shares[0].bound_by.code(), "waiting_for_turn");
    assert!(later.shares[1].ideal > Watts::ZERO);
}

#[test]
fn who_was_stopped_rests_before_the_next_start() {
    let now = Instant::now();
    let one = [car("a")];
    let on = decide_with(5_000.0, &one, &Rotation::default(), now);
    let off = decide_with(0.0, &one, &on.rotation, now);
    let back = decide_with(5_000.0, &one, &off.rotation, now + MINUTE / 2);
    assert_eq!(back.shares[0].bound_by, Binding::Resting { until: now + MINUTE });
    assert_eq!(back.decide_again_at, Some(now + MINUTE));
    let again = decide_with(5_000.0, &one, &back.rotation, now + MINUTE);
    assert!(again.shares[0].ideal > Watts::ZERO);
}
