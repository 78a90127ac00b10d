//! Limits that nothing passes: wiring, grid limit, main fuse, and what happens when readings are missing.

use std::time::Duration;

use serde_json::json;
use site::{Command, SiteSetup};
use units::{Amps, PerPhase, Phases};

use crate::house::{House, Meter, VOLTS, green, settings, setup};

fn charge_now(house: &mut House, amps: i32) {
    let now = house.now.clone();
    let command = Command::ChargeNow { amps: Some(Amps::from_whole(amps)), duration: Duration::from_secs(4 * 3600) };
    house.site.handle_command(&now, command).unwrap();
    house.drain();
}

fn fused(fuse: i32) -> SiteSetup {
    SiteSetup { grid_fuse: Some(Amps::from_whole(fuse)), fail_safe: Amps::from_whole(6), ..setup() }
}

#[test]
fn a_breach_of_the_fuse_lowers_the_offer_with_the_very_sample_that_shows_it() {
    // 10 A of house, then 20 A.
    let mut house = House::new(fused(32), green(), Meter::Grid)
        .car("fake-1", Phases::One)
        .load(|second| if second < 300 { 10.0 * VOLTS } else { 20.0 * VOLTS })
        .every(1, 0);
    charge_now(&mut house, 32);
    house.run(299);
    assert_eq!(house.drawn(0), 22.0, "{}", house.sentence(0));
    assert!(house.sentence(0).contains("main fuse"), "{}", house.sentence(0));
    house.tick();
    assert!(house.has_alert("fuse_breach"));
    assert_eq!(house.circuit_limit.l1, Amps::from_whole(12));
    house.tick();
    assert_eq!(house.drawn(0), 12.0);
    house.run(60);
    assert!(!house.has_alert("fuse_breach"));
    assert_eq!((house.drawn(0), house.cars[0].starts.len()), (12.0, 1));
}

#[test]
fn with_a_late_meter_the_fuse_settles_without_swinging() {
    for (every, lag) in [(1, 2), (5, 3), (10, 0)] {
        let mut house = House::new(fused(25), green(), Meter::Grid)
            .car("fake-1", Phases::Three)
            .load(|second| 3.0 * VOLTS * if second % 600 < 300 { 3.0 } else { 9.0 })
            .every(every, lag);
        charge_now(&mut house, 32);
        for round in 0..4 {
            house.run(290);
            let expected = if round % 2 == 0 { 22.0 } else { 16.0 };
            assert_eq!(house.drawn(0), expected, "every {every} s, {lag} s late, round {round}");
            house.run(10);
        }
        assert_eq!(house.cars[0].starts.len(), 1);
    }
}

#[test]
fn the_grid_limit_holds_in_the_green_policy_too() {
    // The sun is gone, flex would keep the car; the house leaves 5 A.
    let setup = SiteSetup {
        grid_limit: Some(Amps::from_whole(16)),
        flex_starts: true,
        config: settings(json!({"greenEnergyFlexAmps": 32})),
        ..setup()
    };
    let mut house = House::new(setup, green(), Meter::Grid)
        .car("fake-1", Phases::One)
        .sun(|second| if second < 120 { 4000.0 } else { 0.0 })
        .load(|second| if second < 120 { 500.0 } else { 11.0 * VOLTS });
    house.run(110);
    assert!(house.drawn(0) >= 15.0);
    while house.cars[0].target.unwrap().power.get() > 0.0 {
        house.tick();
        assert!(house.seconds < 130, "{}", house.sentence(0));
    }
    assert!(house.sentence(0).contains("maxAmpsAllowedFromGrid"), "{}", house.sentence(0));
}

#[test]
fn without_readings_a_limit_falls_to_the_fail_safe_and_says_so() {
    let mut house = House::new(fused(32), green(), Meter::Grid).car("fake-1", Phases::One).every(1, 0);
    charge_now(&mut house, 20);
    house.is_meter_dead = true;
    house.run(5);
    assert_eq!(house.drawn(0), 6.0);
    assert!(house.has_alert("fuse_blind"));
    assert!(house.sentence(0).contains("failSafeAmps"), "{}", house.sentence(0));
    house.is_meter_dead = false;
    house.run(20);
    assert_eq!(house.drawn(0), 20.0);
    house.is_meter_dead = true;
    house.run(125);
    assert_eq!(house.drawn(0), 6.0);
    assert_eq!(house.circuit_limit, PerPhase::splat(Amps::from_whole(6)));
}

#[test]
fn two_cars_never_pass_the_wiring_whatever_comes_and_goes() {
    let mut house = House::starting(
        setup(),
        settings(json!({"nonScheduledAmpsMax": 32})),
        Meter::House,
        "2026-06-10T21:00:00[UTC]",
    )
    .car("fake-1", Phases::One)
    .car("fake-2", Phases::One)
    .car("fake-3", Phases::One);
    for second in 0..3600 {
        house.cars[1].is_plugged = second / 170 % 2 == 0;
        house.cars[2].is_plugged = second / 430 % 2 == 1;
        house.tick();
    }
    assert!(house.most_drawn <= 32.0 && house.most_offered <= 32.0, "{} A, {} A", house.most_drawn, house.most_offered);
    let energy: Vec<_> = house.cars.iter().map(|car| car.energy_wh).collect();
    assert!(energy.iter().all(|energy| *energy > 1000.0), "{energy:?}");
}

#[test]
fn fixed_amps_are_shared_evenly() {
    let mut house = House::new(setup(), green(), Meter::House).car("fake-1", Phases::One).car("fake-2", Phases::One);
    charge_now(&mut house, 20);
    house.run(60);
    assert_eq!((house.drawn(0), house.drawn(1)), (10.0, 10.0));
}

#[test]
fn too_small_a_wiring_for_the_least_current_is_told() {
    let setup = SiteSetup { min_amps_each: Amps::from_whole(12), max_amps_each: Amps::from_whole(6), ..setup() };
    let mut house = House::new(setup, green(), Meter::House).car("fake-1", Phases::One);
    charge_now(&mut house, 20);
    house.run(30);
    assert!(house.has_alert("min_above_max"));
    assert_eq!(house.drawn(0), 0.0);
}
