//! Nights, cloudy days and weeks with one, two and five cars.

use std::collections::BTreeMap;

use vehicle::Request;

use super::world::{FakeCar, World, cloud, key, settings};
use crate::{Allowance, Caps, Day, GarageSettings};

const HOUR: u64 = 3600;

fn starts_per_hour(world: &World) -> usize {
    let mut hours = BTreeMap::<_, usize>::new();
    for sent in world.sent.iter().filter(|sent| sent.request == Request::Start) {
        for hour in [sent.second / HOUR, sent.second.saturating_sub(HOUR / 2) / HOUR + 10_000] {
            *hours.entry((sent.car.clone(), hour)).or_default() += 1;
        }
    }
    hours.into_values().max().unwrap_or(0)
}

/// Amps that the sun gives at a minute of the day: eight hours, with clouds that come and go.
fn sun(minute: u64, seed: u64) -> i32 {
    if !(540..1020).contains(&minute) {
        return 0;
    }
    let mixed = (minute / 3).wrapping_mul(6_364_136_223_846_793_005).wrapping_add(seed) >> 33;
    [0, 5, 8, 12, 16, 16, 16][(mixed % 7) as usize]
}

#[test]
fn a_sleeping_car_is_left_alone_overnight() {
    let mut world = World::with_one(FakeCar::default());
    world.run(HOUR);
    assert!(world.car(0).is_asleep);
    world.sent.clear();
    world.run(10 * HOUR);
    assert!(world.car(0).is_asleep);
    assert_eq!(world.commands(), []);
    assert_eq!(world.count(|request| matches!(request, Request::Read { .. })), 0);
    assert!(world.sent.len() <= 20, "{}", world.sent.len());
}

fn check_days(cars: usize, days: u64, dollars: u64) {
    let month = Caps { money: Some(dollars * 1_000_000), ..Caps::default() };
    let settings = GarageSettings { allowance: Allowance { month, ..Allowance::default() }, ..settings() };
    let fleet = (0..cars).map(|number| FakeCar { soc: 20.0 + number as f64 * 5.0, ..FakeCar::default() }).collect();
    let mut world = World::new(settings, fleet, &[cloud()]);
    for day in 0..days {
        world.garage.set_today(Day { year: 2026, month: 11, day: 24 + day as u8 });
        for minute in 0..1440 {
            for number in 0..cars {
                // Everybody brings children to school in the morning.
                if (460..520).contains(&minute) {
                    let second = world.second;
                    let car = world.car(number);
                    (car.is_asleep, car.quiet_since) = (false, second);
                    let is_back = minute == 519;
                    // A car that is plugged in begins to charge by itself.
                    (car.plugged, car.is_home, car.is_charging) = (is_back, is_back, is_back);
                    car.soc = (car.soc - 0.6).max(5.0);
                }
                world.grant(number, sun(minute, number as u64));
            }
            world.run(60);
        }
    }
    let prices = Allowance::default().prices;
    let cost = prices.cost(world.spent);
    let wakes = world.count(|request| request == Request::Wake);
    assert!(cost <= dollars * 1_000_000, "{cars} cars: {cost}");
    assert!(prices.cost(world.garage.budget().month.used) >= cost);
    assert!(starts_per_hour(&world) <= 4, "{}", starts_per_hour(&world));
    assert!(wakes as u64 <= 4 * cars as u64 * days, "{wakes} wakes");
    for number in 0..cars {
        let car = world.car(number).clone();
        assert!(car.soc > 60.0, "{}: {car:?}", key(number));
    }
    for pair in world.sent.windows(2) {
        assert!(pair[0].second <= pair[1].second);
    }
}

#[test]
fn one_car_in_clouds_for_a_week() {
    check_days(1, 7, 3);
}

#[test]
fn two_cars_in_clouds_for_a_week() {
    check_days(2, 7, 4);
}

#[test]
fn five_cars_in_clouds_for_some_days() {
    check_days(5, 3, 4);
}
