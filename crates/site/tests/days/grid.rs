//! Meters at the grid connection, batteries with a will of their own, slow sources and forecasts.

use std::sync::Arc;
use std::time::Duration;

use ems::{Attribute, EmsReading};
use serde_json::json;
use site::{Command, SiteSetup, SurplusFrom};
use units::{Amps, Phases, Watts};

use crate::house::{House, Meter, VOLTS, green, settings, setup};

fn flag(reading: &mut EmsReading, name: &str, value: bool) {
    reading.attributes.insert(name.to_owned(), Attribute::Flag(value));
}

/// As drivers of meters at the grid connection tell it: export is called generation, import consumption.
fn grid_only(_: u64, reading: &mut EmsReading) {
    reading.generation = reading.grid.map(|grid| (-grid).max(Watts::ZERO));
    reading.consumption = reading.grid.map(|grid| grid.max(Watts::ZERO));
    flag(reading, "gridOnly", true);
}

fn house(setup: SiteSetup) -> House {
    House::new(setup, green(), Meter::Grid).car("fake-1", Phases::One)
}

fn charge_now(house: &mut House, amps: i32) {
    let now = house.now.clone();
    let command = Command::ChargeNow { amps: Some(Amps::from_whole(amps)), duration: Duration::from_secs(4 * 3600) };
    house.site.handle_command(&now, command).unwrap();
    house.drain();
}

/// Runs with a second source.
fn run_with(house: &mut House, seconds: u64, name: &str, reading: impl Fn(u64, &mut EmsReading)) {
    for _ in 0..seconds {
        house.tick();
        let mut told = EmsReading::at(house.now.mono);
        reading(house.seconds, &mut told);
        let now = house.now.clone();
        house.site.handle_reading(&now, name, Arc::new(told));
        house.drain();
    }
}

#[test]
fn a_lone_grid_meter_decides_by_its_sign_whatever_the_old_keys_say() {
    for (is_delivery, subtract, surplus_from) in [
        (false, false, SurplusFrom::Auto),
        (true, false, SurplusFrom::Auto),
        (true, true, SurplusFrom::Auto),
        (false, true, SurplusFrom::Consumption),
    ] {
        let setup =
            SiteSetup { generation_is_delivery: is_delivery, subtract_charger_load: subtract, surplus_from, ..setup() };
        let mut house = house(setup).sun(|_| 500.0 + 2200.0).dress(grid_only);
        house.run(200);
        assert_eq!((house.drawn(0), house.cars[0].starts.len()), (9.0, 1), "{}", house.sentence(0));
        let power = house.snapshot().power;
        // 130 W are left: export in TWCManager's words, and no generation that anybody measures.
        assert_eq!(power.told_generation().map(|view| view.w.round()), Some(130.0));
        assert_eq!(power.told_consumption().map(|view| view.w), Some(0.0));
        assert!(power.generation.is_none() && power.consumption.is_none() && power.house.is_none());
    }
}

#[test]
fn beside_an_inverter_the_export_is_not_counted_again() {
    let names = vec!["Meter".to_owned(), "Roof".to_owned()];
    for is_delivery in [false, true] {
        let setup = SiteSetup { sources: names.clone(), generation_is_delivery: is_delivery, ..setup() };
        let mut house = house(setup).sun(|_| 500.0 + 2200.0).dress(grid_only);
        run_with(&mut house, 200, "Roof", |_, reading| reading.generation = Watts::new(2700.0).ok());
        assert_eq!(house.drawn(0), 9.0, "{}", house.sentence(0));
        let power = house.snapshot().power;
        assert_eq!(power.told_generation().map(|view| view.w), Some(2700.0));
        assert_eq!(power.consumption.map(|view| view.w.round()), Some(500.0 + 9.0 * VOLTS));
    }
}

#[test]
fn of_two_grid_meters_the_first_counts_and_that_is_said() {
    let setup = SiteSetup { sources: vec!["Meter".to_owned(), "Second".to_owned()], ..setup() };
    let mut house = house(setup).sun(|_| 500.0 + 2200.0).dress(grid_only);
    run_with(&mut house, 200, "Second", |second, reading| {
        reading.grid = Watts::new(-5000.0).ok();
        grid_only(second, reading);
    });
    assert_eq!(house.drawn(0), 9.0);
    assert!(house.has_alert("several_grid_meters"));
    assert_eq!(house.snapshot().power.told_generation().map(|view| view.w.round()), Some(130.0));
}

#[test]
fn currents_cut_to_whole_amps_leave_an_amp_to_the_fuse() {
    let setup = SiteSetup { grid_fuse: Some(Amps::from_whole(25)), ..setup() };
    let mut house = house(setup).load(|_| 5.9 * VOLTS).dress(|second, reading| {
        grid_only(second, reading);
        flag(reading, "wholeAmps", true);
        reading.grid_current = reading.grid_current.map(|amps| amps.map(Amps::whole_amps_floor));
    });
    charge_now(&mut house, 32);
    house.run(120);
    assert_eq!(house.drawn(0), 19.0, "{}", house.sentence(0));
    assert!(!house.has_alert("fuse_breach"));
}

#[test]
fn a_battery_below_its_owners_level_keeps_the_sun() {
    let mut house = house(setup()).sun(|_| 5000.0).dress(|second, reading| {
        flag(reading, "isReserved", second < 300);
    });
    house.run(290);
    assert_eq!((house.drawn(0), house.snapshot().power.surplus_w), (0.0, Some(0.0)));
    assert!(house.sentence(0).contains("minBatteryLevel"), "{}", house.sentence(0));
    assert!(!house.has_alert("surplus_unknown"));
    house.run(200);
    assert!(house.drawn(0) > 15.0, "{}", house.sentence(0));
}

#[test]
fn off_the_grid_nothing_is_charged_but_what_somebody_asks_for_then() {
    let dress = |second: u64, reading: &mut EmsReading| flag(reading, "gridStatus", !(200..600).contains(&second));
    let mut green = house(setup()).sun(|_| 5000.0).dress(dress);
    green.run(190);
    assert!(green.drawn(0) > 15.0);
    green.run(30);
    assert_eq!(green.drawn(0), 0.0);
    assert!(green.has_alert("off_grid") && green.sentence(0).contains("cut off"), "{}", green.sentence(0));
    green.run(600);
    assert!(green.drawn(0) > 15.0 && !green.has_alert("off_grid"), "{}", green.sentence(0));

    let mut fixed = house(setup()).dress(dress);
    charge_now(&mut fixed, 10);
    fixed.run(190);
    assert_eq!(fixed.drawn(0), 10.0);
    fixed.run(30);
    assert_eq!(fixed.drawn(0), 0.0);
    assert!(fixed.sentence(0).contains("cut off"), "{}", fixed.sentence(0));
    charge_now(&mut fixed, 8);
    fixed.run(30);
    assert_eq!(fixed.drawn(0), 8.0, "{}", fixed.sentence(0));
}

#[test]
fn a_slow_source_is_used_for_as_long_as_it_says_but_not_for_a_limit() {
    for (grid_limit, expected) in [(None, 9.0), (Some(Amps::from_whole(25)), 6.0)] {
        let setup = SiteSetup { grid_limit, fail_safe: Amps::from_whole(6), ..setup() };
        let mut house = house(setup).sun(|_| 500.0 + 2200.0).every(10, 0).dress(|_, reading| {
            reading.max_age = Some(Duration::from_secs(900));
        });
        house.run(200);
        assert_eq!(house.drawn(0), 9.0);
        house.is_meter_dead = true;
        house.run(600);
        assert_eq!(house.drawn(0), expected, "{}", house.sentence(0));
        assert_eq!(house.has_alert("grid_limit_blind"), grid_limit.is_some());
        house.run(400);
        assert_eq!(house.drawn(0), 0.0, "{}", house.sentence(0));
    }
}

#[test]
fn a_forecast_neither_adds_to_a_measurement_nor_caps_a_grid_meter() {
    let names = ["Meter", "Forecast"].map(str::to_owned).to_vec();
    let forecast = |watts: f64| {
        move |_: u64, reading: &mut EmsReading| {
            (reading.generation, reading.is_estimate) = (Watts::new(watts).ok(), true);
        }
    };
    let setup = SiteSetup { sources: names, ..setup() };
    let mut measured =
        House::new(setup.clone(), green(), Meter::House).car("fake-1", Phases::One).sun(|_| 500.0 + 2200.0);
    run_with(&mut measured, 200, "Forecast", forecast(4000.0));
    assert_eq!(measured.drawn(0), 9.0, "{}", measured.sentence(0));
    let mut metered = house(setup).sun(|_| 500.0 + 2200.0);
    run_with(&mut metered, 200, "Forecast", forecast(300.0));
    assert_eq!(metered.drawn(0), 9.0, "{}", metered.sentence(0));
}

#[test]
fn policies_find_a_source_by_its_section_and_by_twcmanagers_class() {
    for module in ["TeslaPowerwall2", "teslapowerwall2", "Powerwall2", "POWERWALL2"] {
        let rule = json!({"override": [{
            "name": "Full", "match": [format!("modules.{module}.batteryLevel"), format!("modules.{module}.generatedW")],
            "condition": ["gte", "gt"], "value": [90, 1000], "charge_amps": 7
        }]});
        let setup = SiteSetup { sources: vec!["sources.Powerwall2".to_owned()], policy: Some(rule), ..setup() };
        let mut house = House::new(setup, settings(json!({})), Meter::Grid).car("fake-1", Phases::One);
        run_with(&mut house, 60, "sources.Powerwall2", |_, reading| {
            reading.generation = Watts::new(2000.0).ok();
            reading.battery_soc = units::Percent::new(95.0).ok();
        });
        assert_eq!(house.drawn(0), 7.0, "{module}: {}", house.sentence(0));
        assert!(!house.has_alert("policy_module"));
    }
}
