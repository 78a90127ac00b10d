//! The garage against the simulated cars of another crate: what a household would notice in a week, and on its phone bill.

#![allow(clippy::unwrap_used, reason = "helpers of tests, too")]

mod household;

use std::collections::BTreeMap;
use std::time::Duration;

use household::{HOME, Household, WORK, key};
use tesla_simulator::{Car, CarCommand, CommandWay, Failure, Kind, Supply, Target};
use units::{Amps, Percent, Phases, WattHours};

/// On three phases, at work on weekdays.
const COMMUTER: &str = "5YJ30123456789ABC";
/// On a mobile connector with one phase, mostly at home.
const SECOND: &str = "LRW3F7EK0NC000001";
const BOTH: [&str; 2] = [COMMUTER, SECOND];

fn percent(percent: f64) -> Percent {
    Percent::new(percent).unwrap()
}

fn supply(vin: &str) -> Supply {
    if vin == COMMUTER { Supply::three(Amps::from_whole(16)) } else { Supply::single(Amps::from_whole(13)) }
}

fn household() -> Household {
    let battery = |kwh: f64| WattHours::new(kwh * 1000.0).unwrap();
    let commuter = Car::new(COMMUTER).battery(battery(75.0), percent(50.0));
    let second = Car::new(SECOND)
        .battery(battery(60.0), percent(40.0))
        .charger(Amps::from_whole(13), Phases::One)
        .plugged_into(supply(SECOND));
    let cars = [commuter.plugged_into(supply(COMMUTER)), second].map(|car| car.at(HOME).commands(CommandWay::Both));
    Household::new(cars.into())
}

/// Amps that the sun leaves for each car: changes every ten minutes, in clouds.
fn sun(second: u64) -> i32 {
    let minute = (second / 60 + 360) % 1440;
    if !(540..1020).contains(&minute) {
        return 0;
    }
    let mixed = (second / 600).wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407) >> 33;
    [0, 6, 7, 9, 12, 16, 16][(mixed % 7) as usize]
}

/// The cars' own week.
fn live(house: &mut Household) {
    let (minute, weekday) = ((house.second / 60 + 360) % 1440, house.day() % 7);
    let trip = Duration::from_secs(2400);
    let uses = WattHours::new(9000.0).unwrap();
    match minute {
        450 if weekday < 5 => house.car(COMMUTER).drive_to(WORK, trip, uses),
        1020 if weekday < 5 => house.car(COMMUTER).drive_to(HOME, trip, uses),
        1065 if weekday < 5 => house.car(COMMUTER).plug_in(supply(COMMUTER)),
        600 => house.car(SECOND).drive_to(WORK, Duration::from_secs(1200), WattHours::new(4000.0).unwrap()),
        650 => house.car(SECOND).drive_to(HOME, Duration::from_secs(1200), WattHours::new(4000.0).unwrap()),
        675 => house.car(SECOND).plug_in(supply(SECOND)),
        _ => {}
    }
}

#[derive(Default)]
struct Seen {
    night: u32,
    night_asleep: BTreeMap<&'static str, u32>,
}

/// One minute of everybody's life, `end` excluded.
fn until(house: &mut Household, end: u64, seen: &mut Seen) {
    while house.second < end {
        house.set_today();
        live(house);
        for vin in BOTH {
            house.grant(vin, sun(house.second));
        }
        house.run(60);
        // From an hour after the sun is gone, and what came home late was told to wait.
        if house.hour() >= 22.0 || house.hour() < 5.0 {
            seen.night += 1;
            for vin in BOTH {
                *seen.night_asleep.entry(vin).or_default() += u32::from(house.is_asleep(vin));
            }
        }
    }
}

const DAY: u64 = 86_400;

#[test]
fn a_week_of_two_cars_costs_little_wakes_few_and_lets_them_sleep() {
    let mut house = household();
    let mut seen = Seen::default();
    until(&mut house, 2 * DAY, &mut seen);
    // Things go wrong in the middle of the week, and the power is cut once, in the sun.
    house.cloud.order_failure(Target::AnyCommand, Failure::LostAnswer, Some(2));
    until(&mut house, 2 * DAY + 6 * 3600, &mut seen);
    house.restart();
    house.cloud.order_failure(Target::AnyCommand, Failure::LostRequest, Some(2));
    house.cloud.order_failure(Target::Kind(Kind::VehicleData), Failure::Html(502), Some(3));
    until(&mut house, 7 * DAY, &mut seen);

    let billing = house.cloud.billing().clone();
    let month = billing.total.micro_dollars() as f64 * 31.0 / 7.0 / 1e6;
    assert!(month < 10.0, "{month} $ a month: {billing:?}");
    let booked = house.garage.budget().month.used;
    let is_booked = u64::from(booked.commands) >= billing.total.commands
        && u64::from(booked.data) >= billing.total.data
        && u64::from(booked.wakes) >= billing.total.wakes;
    assert!(is_booked, "{booked:?} {billing:?}");

    let mut wakes = BTreeMap::<_, u32>::new();
    let mut starts = BTreeMap::<_, u32>::new();
    for asked in house.cloud.log() {
        let second = asked.at.as_secs();
        let car = asked.vin.clone().unwrap_or_default();
        if asked.kind == Kind::Wake {
            *wakes.entry((car.clone(), second / DAY)).or_default() += 1;
        }
        if asked.command == Some(CarCommand::Start) {
            *starts.entry((car, second / 3600)).or_default() += 1;
        }
    }
    assert!(wakes.values().all(|count| *count <= 3), "{wakes:?}");
    assert!(starts.values().all(|count| *count <= 4), "{starts:?}");
    for vin in BOTH {
        let share = f64::from(seen.night_asleep[vin]) / f64::from(seen.night);
        assert!(share > 0.9, "{vin} sleeps {share} of the nights");
        let energy = house.car(vin).energy_from_wall().get();
        assert!(energy > 15_000.0, "{vin} got {energy} Wh");
    }
    let given_up: Vec<_> = house.notices.iter().filter(|notice| notice.code.ends_with("given_up")).collect();
    assert!(given_up.is_empty(), "{given_up:?}");
}

#[test]
fn power_starts_a_sleeping_car_and_want_of_it_stops_it() {
    let mut house = household();
    // Nothing is granted: what began by itself is stopped, and falls asleep.
    house.run(5);
    for vin in BOTH {
        house.grant(vin, 0);
    }
    house.run(3600);
    assert!(BOTH.iter().all(|vin| house.is_asleep(vin)), "{:?}", BOTH.map(|vin| house.view(vin).why));
    house.grant(SECOND, 9);
    house.run(600);
    assert_eq!(house.car(SECOND).drawn(), Amps::from_whole(9));
    assert!(house.is_asleep(COMMUTER), "the other one was woken as well");
    house.grant(SECOND, 0);
    house.run(120);
    assert_eq!(house.car(SECOND).drawn(), Amps::ZERO);
    // Below five amps the car obeys the second of two.
    house.grant(SECOND, 3);
    house.run(300);
    assert_eq!(house.car(SECOND).drawn(), Amps::from_whole(3));
}

#[test]
fn limits_are_put_back_after_a_power_cut_and_the_drivers_change_wins() {
    let mut house = household();
    house.run(30);
    let now = house.now();
    house.garage.set_limit_wish(now, Some(percent(65.0)));
    house.run(600);
    assert_eq!(BOTH.map(|vin| house.car(vin).charge_limit().get()), [65.0, 65.0]);
    house.car(COMMUTER).driver_sets_limit(percent(95.0));
    house.run(1800);
    house.restart();
    house.run(30);
    let now = house.now();
    house.garage.set_limit_wish(now, Some(percent(65.0)));
    house.run(7200);
    assert_eq!(house.car(COMMUTER).charge_limit().get(), 95.0, "the driver's change wins");
    let now = house.now();
    house.garage.set_limit_wish(now, None);
    house.run(7200);
    assert_eq!(BOTH.map(|vin| house.car(vin).charge_limit().get()), [95.0, 80.0]);
    assert!(house.kept.limits.is_empty(), "{:?}", house.kept.limits);
}

#[test]
fn a_pause_that_is_asked_for_is_kept_by_all_and_what_was_lost_is_looked_at() {
    let mut house = household();
    house.run(120);
    let began = house.second;
    house.cloud.order_failure(Target::Api, Failure::too_many(Duration::from_secs(900)), Some(1));
    for vin in BOTH {
        house.grant(vin, 6);
    }
    house.run(900);
    let calls = |house: &Household, from: u64| {
        house
            .cloud
            .log()
            .iter()
            .filter(|asked| asked.at.as_secs() >= from)
            .map(|asked| asked.kind.clone())
            .collect::<Vec<_>>()
    };
    // Both may have left before the first answer was there.
    assert!(calls(&house, began).len() <= 2, "{:?}", calls(&house, began));
    house.run(900);
    assert_eq!(BOTH.map(|vin| house.car(vin).drawn()), [Amps::from_whole(6); 2]);

    // A stop that was done and whose answer got lost: looked at, and not said again.
    let began = house.second;
    house.cloud.order_failure(Target::AnyCommand, Failure::LostAnswer, Some(1));
    house.grant(COMMUTER, 0);
    house.run(300);
    let of_commuter: Vec<Kind> = house
        .cloud
        .log()
        .iter()
        .filter(|asked| asked.at.as_secs() >= began && asked.vin.as_deref() == Some(COMMUTER))
        .map(|asked| asked.kind.clone())
        .collect();
    assert_eq!(of_commuter, [Kind::Command("charge_stop".to_owned()), Kind::VehicleData]);
    assert_eq!(house.car(COMMUTER).drawn(), Amps::ZERO);
    assert_eq!(house.garage.view(house.now(), &key(COMMUTER)).unwrap().flows, Some(false));
}
