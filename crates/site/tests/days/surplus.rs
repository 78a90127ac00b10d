//! Following the surplus: where it comes to rest, and that it stays there.

use serde_json::json;
use site::{Event, SiteSetup};
use units::Phases;

use crate::house::{House, Meter, VOLTS, green, settings, setup};

fn with(meter: Meter, setup: SiteSetup) -> House {
    House::new(setup, green(), meter).car("fake-1", Phases::One)
}

fn arrangement(meter: Meter) -> House {
    let base = setup();
    with(
        meter,
        match meter {
            Meter::HouseWithCars => SiteSetup { subtract_charger_load: true, ..base },
            Meter::Delivery => SiteSetup { subtract_charger_load: true, generation_is_delivery: true, ..base },
            _ => base,
        },
    )
}

/// The four arrangements of meters that people have, and two with a grid meter, all come to rest at the same amps.
#[test]
fn every_arrangement_of_meters_comes_to_rest_at_what_the_sun_leaves() {
    for (surplus, expected) in
        [(2070.0, 9.0), (2299.0, 9.0), (2300.0, 10.0), (3000.0, 13.0), (9000.0, 32.0), (1379.0, 0.0)]
    {
        for meter in
            [Meter::House, Meter::HouseWithCars, Meter::Delivery, Meter::Generation, Meter::Grid, Meter::GridAndBattery]
        {
            for (every, lag) in [(1, 0), (5, 2), (30, 0), (30, 10)] {
                let mut house = arrangement(meter).sun(move |_| surplus + 500.0).every(every, lag);
                if meter == Meter::Generation {
                    let offset = settings(
                        json!({"nonScheduledAction": 3, "consumptionOffset": {"House": {"value": 500, "unit": "W"}}}),
                    );
                    house = House::new(setup(), offset, meter)
                        .car("fake-1", Phases::One)
                        .sun(move |_| surplus + 500.0)
                        .every(every, lag);
                }
                house.run(if every == 30 { 300 } else { 60 });
                let at_rest = house.drawn(0);
                assert_eq!(
                    at_rest,
                    expected,
                    "{meter:?}, {surplus} W, every {every} s, {lag} s late: {}",
                    house.sentence(0)
                );
                for _ in 0..95 {
                    house.tick();
                    assert_eq!(house.drawn(0), at_rest, "{meter:?} does not rest at second {}", house.seconds);
                }
                assert!(house.cars[0].starts.len() <= 1, "{meter:?}: {:?}", house.cars[0].starts);
            }
        }
    }
}

#[test]
fn a_single_phase_car_on_a_three_phase_site_gets_the_whole_surplus() {
    let setup = SiteSetup { phases: Phases::Three, ..setup() };
    let mut house = House::new(setup, green(), Meter::House).car("fake-1", Phases::One).sun(|_| 2800.0);
    assert_eq!(house.run(120).drawn(0), 10.0);
    let setup = SiteSetup { phases: Phases::Three, ..crate::house::setup() };
    let mut house = House::new(setup, green(), Meter::House).car("fake-1", Phases::Three).sun(|_| 7400.0);
    assert_eq!(house.run(120).drawn(0), 10.0);
}

#[test]
fn a_power_factor_grants_more_apparent_power_so_that_the_real_power_fits() {
    let setup = SiteSetup { power_factor_min: 0.9, power_factor_max: 0.9, ..setup() };
    let mut house = with(Meter::House, setup).sun(|_| 2570.0);
    assert_eq!(house.run(120).drawn(0), 10.0);
}

#[test]
fn a_slow_meter_does_not_make_the_offer_swing_when_the_sun_moves() {
    for (every, lag) in [(30, 0), (30, 5), (60, 20), (10, 3)] {
        // A slow rise and fall by 3 kW over two hours.
        let mut house = arrangement(Meter::Grid)
            .sun(|second| 2500.0 + 3000.0 * (second as f64 / 7200.0 * std::f64::consts::PI).sin())
            .every(every, lag);
        house.run(120);
        let (mut turns, mut rising, mut before) = (0, true, house.drawn(0));
        for _ in 0..7000 {
            house.tick();
            let drawn = house.drawn(0);
            if drawn != before && (drawn > before) != rising {
                rising = !rising;
                turns += 1;
            }
            before = drawn;
        }
        assert!(turns <= 1, "{turns} turns with a meter every {every} s, {lag} s late");
        assert_eq!(house.cars[0].starts.len(), 1);
    }
}

#[test]
fn a_meter_that_sees_the_car_before_its_charging_point_tells_does_not_shake_the_offer() {
    for (every, report_lag) in [(1, 1), (1, 3), (2, 4), (5, 3)] {
        let mut house = arrangement(Meter::Grid)
            .sun(|second| {
                if second < 200 {
                    1000.0
                } else if second < 500 {
                    3600.0
                } else {
                    5400.0
                }
            })
            .every(every, 0);
        house.report_lag = report_lag;
        let mut falls = 0;
        let mut before = 0.0;
        for _ in 0..900 {
            house.tick();
            falls += usize::from(house.cars[0].offered < before);
            before = house.cars[0].offered;
        }
        assert_eq!(house.drawn(0), 21.0);
        assert_eq!((falls, house.cars[0].starts.len()), (0, 1), "every {every} s, reported {report_lag} s late");
    }
}

#[test]
fn flickering_clouds_start_a_car_at_most_four_times_an_hour() {
    for period in [20, 180, 300, 700] {
        let mut house =
            arrangement(Meter::HouseWithCars).sun(move |second| if second / period % 2 == 0 { 3500.0 } else { 900.0 });
        house.step = 2;
        house.every = 4;
        house.run(4 * 3600);
        let starts = house.cars[0].starts.clone();
        for start in &starts {
            let within = starts.iter().filter(|other| (*start..start + 3600).contains(other)).count();
            assert!(within <= 4, "clouds every {period} s: {starts:?}");
        }
        assert!(house.cars[0].energy_wh > 500.0, "clouds every {period} s: {} Wh", house.cars[0].energy_wh);
    }
}

#[test]
fn a_short_cloud_is_bridged_and_a_long_one_ends_the_charge() {
    let mut house = arrangement(Meter::HouseWithCars)
        .sun(|second| if (300..340).contains(&second) || second > 600 { 600.0 } else { 2600.0 });
    house.run(320);
    assert_eq!(house.drawn(0), 6.0, "{} {:?}", house.sentence(0), house.snapshot().power);
    assert!(house.sentence(0).contains("the surplus is short"), "{}", house.sentence(0));
    house.run(200);
    assert_eq!((house.drawn(0), house.cars[0].starts.len()), (9.0, 1));
    house.run(88);
    assert_eq!(house.drawn(0), 6.0);
    house.run(80);
    assert_eq!(house.drawn(0), 0.0);
    assert_eq!(house.sentence(0), "Waiting: 100 W of surplus, 1,380 W needed for 6 A.");
}

#[test]
fn the_sentence_of_a_charging_car_tells_where_its_amps_come_from() {
    let mut house = arrangement(Meter::HouseWithCars).sun(|_| 2620.0);
    house.run(120);
    assert_eq!(house.sentence(0), "Charging with 9 A: the sun leaves 2.1 kW for cars.");
    assert_eq!(house.snapshot().policy.reason, "Follows the surplus: 2,120 W for cars.");
}

#[test]
fn flex_keeps_a_car_and_starts_one_only_where_allowed() {
    let flex = |starts: bool| SiteSetup {
        flex_starts: starts,
        config: settings(json!({"greenEnergyFlexAmps": 2})),
        ..setup()
    };
    let mut house = with(Meter::House, flex(false)).sun(|second| if second < 300 { 2600.0 } else { 1600.0 });
    house.run(900);
    assert_eq!(house.drawn(0), 6.0, "{}", house.sentence(0));
    let mut house = with(Meter::House, flex(false)).sun(|_| 1600.0);
    assert_eq!(house.run(300).drawn(0), 0.0);
    let mut house = with(Meter::House, flex(true)).sun(|_| 1600.0);
    assert_eq!(house.run(300).drawn(0), 6.0);
}

#[test]
fn stale_readings_end_the_surplus_and_say_so() {
    let mut house = arrangement(Meter::HouseWithCars).sun(|_| 3000.0);
    house.run(60);
    assert_eq!(house.drawn(0), 10.0);
    house.is_meter_dead = true;
    house.run(119);
    assert_eq!(house.drawn(0), 10.0);
    house.run(5);
    assert_eq!(house.drawn(0), 0.0);
    assert!(house.has_alert("source_stale") && house.has_alert("surplus_unknown"));
    assert!(house.sentence(0).contains("too old"), "{}", house.sentence(0));
    assert_eq!(house.snapshot().power.surplus_w, None);
    house.is_meter_dead = false;
    house.run(200);
    assert_eq!(house.drawn(0), 10.0);
    assert!(!house.has_alert("source_stale"));
}

#[test]
fn a_missing_consumption_is_not_zero() {
    let setup = SiteSetup { consumption_sources: vec!["Meter".to_owned()], ..setup() };
    let mut house = with(Meter::Generation, setup).sun(|_| 3000.0);
    house.run(120);
    assert_eq!(house.drawn(0), 0.0);
    assert!(house.sentence(0).contains("no source has told the consumption yet"), "{}", house.sentence(0));
}

#[test]
fn what_the_battery_gives_is_no_surplus_and_what_it_takes_is() {
    for (battery, expected) in [(-1000.0, 10.0), (1000.0, 10.0)] {
        // The sun leaves 2,300 W in both cases; the battery takes of it, or adds to the export.
        let mut house = with(Meter::GridAndBattery, setup()).sun(|_| 2800.0);
        house.battery = battery;
        house.run(300);
        assert_eq!(house.drawn(0), expected, "battery {battery}");
    }
    let first = SiteSetup { config: settings(json!({"batteryBeforeCars": true})), ..setup() };
    let mut house = with(Meter::GridAndBattery, first).sun(|_| 2800.0 + 230.0);
    house.battery = -1000.0;
    assert_eq!(house.run(300).drawn(0), 6.0);
}

#[test]
fn a_meter_that_does_not_see_the_cars_cannot_run_away_beyond_the_sun() {
    use std::sync::Arc;
    // Some meter says "grid" and means the house alone: whatever the car takes, 2 kW seem to be exported.
    let mut house = with(Meter::Grid, setup()).sun(|_| 2500.0);
    house.is_meter_dead = true;
    for _ in 0..300 {
        house.tick();
        let reading = ems::EmsReading {
            generation: units::Watts::new(2500.0).ok(),
            grid: units::Watts::new(-2000.0).ok(),
            ..ems::EmsReading::at(house.now.mono)
        };
        let now = house.now.clone();
        house.site.handle_reading(&now, "Meter", Arc::new(reading));
        house.drain();
    }
    assert_eq!(house.drawn(0), 10.0);
}

#[test]
fn two_cars_share_fairly_and_take_turns_when_there_is_only_enough_for_one() {
    let mut house = arrangement(Meter::HouseWithCars).car("fake-2", Phases::One).sun(|_| 500.0 + 16.0 * VOLTS);
    house.run(300);
    assert_eq!((house.drawn(0), house.drawn(1)), (8.0, 8.0));
    let mut house = arrangement(Meter::HouseWithCars).car("fake-2", Phases::One).sun(|_| 500.0 + 9.0 * VOLTS);
    house.run(4 * 3600);
    let (one, two) = (house.cars[0].energy_wh, house.cars[1].energy_wh);
    assert!((one / two - 1.0).abs() < 0.25, "{one} Wh against {two} Wh");
    assert!(house.most_drawn <= 12.0 + 1e-9, "{} A", house.most_drawn);
    assert!(house.cars.iter().all(|car| car.starts.len() <= 4 * 4));
}

#[test]
fn a_summer_day_charges_from_the_sun_and_hardly_from_the_grid() {
    let mut house = House::starting(
        SiteSetup { subtract_charger_load: true, position: Some((52.5, 13.4)), ..setup() },
        settings(json!({})),
        Meter::HouseWithCars,
        "2026-06-10T00:00:00[Europe/Berlin]",
    )
    .car("fake-1", Phases::One)
    .sun(|second| {
        let hour = second as f64 / 3600.0;
        let clear = 7000.0 * ((hour - 5.0) / 16.5 * std::f64::consts::PI).sin().max(0.0);
        // Clouds of some minutes around noon.
        if (11.0..14.0).contains(&hour) && second / 240 % 3 == 0 { clear * 0.4 } else { clear }
    })
    .load(|second| 300.0 + if second % 1800 < 120 { 2000.0 } else { 0.0 });
    (house.every, house.step) = (10, 5);
    house.run(86_400);
    let car = &house.cars[0];
    assert!(car.energy_wh > 30_000.0, "{} Wh", car.energy_wh);
    // The house alone imports about 3.4 kWh at night and in the mornings.
    assert!(house.imported_wh < 6_000.0, "{} Wh imported", house.imported_wh);
    assert!(car.starts.len() <= 12, "{:?}", car.starts);
    let began =
        house.events.iter().any(|event| matches!(event, Event::Policy { to, .. } if to == "Track Green Energy"));
    let ended =
        house.events.iter().any(|event| matches!(event, Event::Policy { to, .. } if to == "Non Scheduled Charging"));
    assert!(began && ended);
    assert_eq!(house.site.settings()["sunrise"], json!(5));
}
