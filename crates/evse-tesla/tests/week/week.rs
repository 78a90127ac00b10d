//! The week.

use std::time::Duration;

use evse::{EvseId, Vin};
use site::{CarChange, Change, Command, Permission};
use tesla_simulator::{Failure, Kind, Target};
use units::Percent;

use crate::book::{Book, clock};
use crate::household::{BLUE, CARS, DAY, GREEN, GUEST, HOUR, Household, RED};

/// What people do, and what fails, at the hours of the week.
fn happen(house: &mut Household, hour: u64) {
    let permit = |permission| Command::SetCar {
        vin: Vin::parse(GREEN).unwrap(),
        change: CarChange { permission, ..CarChange::default() },
    };
    match (hour / 24, hour % 24) {
        // The green car only from surplus, then not at all for a day, then as before.
        (2, 13) => house.command(permit(Change::Set(Permission::Deny))),
        (3, 13) => house.command(permit(Change::Set(Permission::Green))),
        // Drivers set limits: by day, and while a limit of ours is in force.
        (1, 20) => house.car(RED).driver_sets_limit(Percent::new(75.0).unwrap()),
        (3, 4) => house.car(BLUE).driver_sets_limit(Percent::new(70.0).unwrap()),
        // Somebody says which car is at connector 2.
        (4, 13) => {
            let (evse, vin) = (EvseId::new("gen2-2"), Vin::parse(BLUE));
            house.command(Command::SetPin { evse, vin });
        }
        _ => {}
    }
    let fails = |house: &mut Household, target, failure| house.line.cloud.order_failure(target, failure, Some(1));
    match hour % 15 {
        3 => fails(house, Target::Api, Failure::too_many(Duration::from_secs(120))),
        6 => fails(house, Target::AnyCommand, Failure::LostAnswer),
        9 => fails(house, Target::AnyCommand, Failure::status(500)),
        11 => fails(house, Target::Kind(Kind::VehicleData), Failure::status(503)),
        13 => fails(house, Target::Kind(Kind::VehicleData), Failure::LostAnswer),
        _ => {}
    }
}

fn live(house: &mut Household, book: &mut Book, until: u64) {
    while house.second < until {
        let step = match () {
            () if house.is_quiet() => 60,
            () if house.is_busy() => 5,
            () => 20,
        };
        let hour = house.second / HOUR;
        house.tick(step);
        if house.second / HOUR != hour {
            happen(house, house.second / HOUR);
        }
        book.note(house, step);
    }
}

/// Prints what happened: `cargo test -p evse-tesla --test week -- --nocapture`.
fn print(house: &Household, book: &Book) {
    for turn in &book.turns {
        let what = if turn.is_start { "starts" } else { "stops" };
        let reason = turn.reason.as_deref().unwrap_or("WITHOUT A REASON");
        println!("{} car {} {what}: {reason}", clock(turn.second), &turn.car[16..]);
    }
    for (second, notice) in &house.notices {
        println!("{} {}: {}", clock(*second), notice.code, notice.text);
    }
    for (second, vin, soc, _) in &book.left_with {
        println!("{} car {} leaves with {soc:.0} %", clock(*second), &vin[16..]);
    }
    println!(
        "fuse passed for at most {:?}, counted twice {:?}, stale {:?}",
        book.longest_over, book.longest_twice, book.longest_stale
    );
    println!("two shares {:?}, unclear {:?}, asleep {:?}", book.two_shares, book.unclear, book.asleep);
    println!("{:.1} kWh, told {:.1}", book.real_wh / 1000.0, book.told_wh / 1000.0);
    println!("bill {:?}, wakes {:?}", house.line.cloud.billing().total, book.wakes);
    println!("ledger {:?}", house.kept.lock().unwrap().ledger.month);
    for vin in CARS {
        println!(
            "{vin}: {} starts, {} %, limit {}",
            book.starts(vin).len(),
            house.look(vin).soc(),
            house.look(vin).charge_limit()
        );
    }
}

#[test]
fn a_week_of_two_connectors_three_cars_and_their_cloud() {
    let (mut house, mut book) = (Household::new(), Book::default());
    live(&mut house, &mut book, 4 * DAY + 2 * HOUR);
    // In the middle of a night's charging, with limits of ours in force.
    while house.line.is_busy() {
        let until = house.second + 5;
        live(&mut house, &mut book, until);
    }
    house.restart();
    live(&mut house, &mut book, 7 * DAY);
    while house.line.is_busy() {
        let until = house.second + 5;
        live(&mut house, &mut book, until);
    }
    print(&house, &book);
    check(&mut house, &book);
}

fn check(house: &mut Household, book: &Book) {
    // Limits of wiring are asserted at each step; a fuse takes what lasts no longer than a reading and a car's reaction.
    assert!(book.longest_over.0 <= 40, "{:?}", book.longest_over);
    // Each car once.
    assert!(book.longest_twice.0 <= 40, "{:?}", book.longest_twice);
    // What a car drew is no surplus any more when it is not heard of for longer than the charging interval.
    assert!(book.longest_stale.0 <= 400, "{:?}", book.longest_stale);
    assert!(book.two_shares.values().all(|seconds| *seconds == 0), "{:?}", book.two_shares);
    assert!((book.told_wh / book.real_wh - 1.0).abs() < 0.05, "{} {}", book.told_wh, book.real_wh);
    // Every start and stop is explained, and there are few of them.
    let unexplained: Vec<_> = book.turns.iter().filter(|turn| turn.reason.is_none()).collect();
    assert!(unexplained.is_empty(), "{unexplained:?}");
    for vin in CARS {
        let starts = book.starts(vin);
        let most_in = |window| {
            starts.iter().map(|from| starts.iter().filter(|at| (*from..from + window).contains(at)).count()).max()
        };
        // Plugging in starts a car too, whoever steers it.
        assert!(most_in(HOUR).unwrap_or(0) <= 4, "{vin}: {starts:?}");
        assert!(most_in(DAY).unwrap_or(0) <= 24, "{vin}: {starts:?}");
    }
    // A car that is not recognised is served by its connector like a guest.
    assert!(book.longest_left_alone.0 <= 120, "{:?}", book.longest_left_alone);
    // What it cost.
    let spent = house.line.cloud.billing().total;
    let ledger = house.handle.budget().unwrap().month.clone();
    let booked = (ledger.used.commands, ledger.used.data, ledger.used.wakes);
    assert_eq!(u64::from(booked.0), spent.commands, "commands");
    assert_eq!((u64::from(booked.1), u64::from(booked.2)), (spent.data, spent.wakes), "reads and wakes");
    assert_eq!(ledger.cost, spent.micro_dollars());
    // Ten dollars last a month at this pace, give or take a tenth.
    assert!(spent.micro_dollars() <= 10_000_000 * 7 / 30 * 11 / 10, "{spent:?}");
    // Cars sleep, and are seldom woken.
    for ((vin, day), wakes) in &book.wakes {
        assert!(*wakes <= 4, "{vin} was woken {wakes} times on day {day}");
    }
    for vin in CARS {
        let asleep: u64 = (0..7).map(|day| book.asleep.get(&(vin, day)).copied().unwrap_or(0)).sum();
        assert!(asleep >= 7 * 8 * HOUR, "{vin} slept {} h in a week", asleep / HOUR);
    }
    // Everybody has what it needs in the morning.
    for (second, vin, soc, limit) in &book.left_with {
        let needs: f64 = if *vin == GREEN { 28.0 } else { 70.0 };
        assert!(*soc >= needs.min(*limit - 1.0), "{} {vin} leaves with {soc} %", clock(*second));
    }
    // The drivers' own limits are in force again, or will be as soon as the car wakes by itself.
    let kept = house.kept.lock().unwrap().clone();
    for (vin, limit) in [(RED, 75.0), (BLUE, 70.0), (GREEN, 80.0)] {
        let car = house.look(vin);
        let is_kept = !car.is_awake() && kept.limits.get(vin).is_some_and(|limits| limits.outside.get() == limit);
        assert!(car.charge_limit().get() == limit || is_kept, "{vin}: {} {:?}", car.charge_limit(), kept.limits);
    }
    // Plugged in, it begins by itself, and only its cloud tells of it: a car that came home is looked for every half hour.
    assert!(book.denied_wh < 1000.0, "the green car took {} Wh while it may not charge", book.denied_wh);
    assert!(book.starts(GUEST).len() == 1, "{:?}", book.starts(GUEST));
}
