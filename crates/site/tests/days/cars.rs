//! Cars: who may charge, who comes first, who is on another charger, and what they leave to others.

use std::time::Duration;

use evse::{Capabilities, EvseId, Link, MatchedBy, View, Vin};
use serde_json::{Value, json};
use site::{CarChange, CarFact, CarsFacts, Change, Command, Event, Output, Permission, SiteSetup};
use units::{Amps, PerPhase, Percent, Phases, Watts};

use crate::house::{House, Meter, VOLTS, green, settings, setup};

const RED: &str = "LRW3F7EK0NC000001";
const BLUE: &str = "LRW3F7EK0NC000002";

/// By night, with so many amps for all.
fn night(amps: i32, setup: SiteSetup, more: Value) -> House {
    let mut all = settings(json!({ "nonScheduledAction": 1, "nonScheduledAmpsMax": amps }));
    all.extend(settings(more));
    House::starting(setup, all, Meter::House, "2026-06-10T22:30:00[UTC]")
}

fn give(house: &mut House, command: Command) {
    let now = house.now.clone();
    house.site.handle_command(&now, command).unwrap();
    house.drain();
}

fn set(vin: &str, change: CarChange) -> Command {
    Command::SetCar { vin: Vin::parse(vin).unwrap(), change }
}

fn code(house: &House, car: usize) -> &'static str {
    house.snapshot().evses[car].bound_by.code
}

#[test]
fn a_car_on_another_charger_shares_the_rule_but_not_the_connectors_wiring() {
    let setup = SiteSetup { max_amps_all: Amps::from_whole(16), max_amps_each: Amps::from_whole(16), ..setup() };
    let mut house =
        night(32, setup, json!({})).car("fake-1", Phases::One).car("fake-2", Phases::One).car("tesla-1", Phases::One);
    house.cars[2].is_on_circuit = false;
    for _ in 0..600 {
        house.tick();
        assert!(house.cars[0].offered + house.cars[1].offered <= 16.0, "the wiring of the connectors");
        assert!(house.cars.iter().map(|car| car.offered).sum::<f64>() <= 32.0, "the rule");
    }
    assert_eq!((house.drawn(0), house.drawn(1), house.drawn(2)), (8.0, 8.0, 16.0));
    // With less than that, all three share it alike.
    give(&mut house, Command::SetSetting { key: "nonScheduledAmpsMax".into(), value: json!(21) });
    house.run(120);
    assert_eq!((house.drawn(0), house.drawn(1), house.drawn(2)), (7.0, 7.0, 7.0));
}

#[test]
fn a_car_on_another_charger_shares_the_main_fuse_and_takes_it_from_the_connectors() {
    let setup = SiteSetup { grid_fuse: Some(Amps::from_whole(25)), ..setup() };
    let mut house =
        House::starting(setup, settings(json!({ "nonScheduledAmpsMax": 32 })), Meter::Grid, "2026-06-10T22:30:00[UTC]")
            .car("fake-1", Phases::One)
            .car("tesla-1", Phases::One)
            .load(|_| 5.0 * VOLTS)
            .every(1, 0);
    house.cars[1].is_on_circuit = false;
    for second in 0..600 {
        house.tick();
        let drawn = house.drawn(0) + house.drawn(1);
        assert!(second < 3 || drawn <= 20.0 + 1e-9, "second {second}: {drawn} A beside 5 A of the house");
    }
    assert_eq!((house.drawn(0), house.drawn(1)), (10.0, 10.0));
    assert_eq!(house.circuit_limit.l1, Amps::from_whole(10), "the bus may use what the other car leaves");
}

#[test]
fn what_is_estimated_counts_in_the_load_of_the_cars_and_is_called_an_estimate() {
    let mut house = night(16, setup(), json!({})).car("tesla-1", Phases::One);
    house.cars[0].is_on_circuit = false;
    house.run(120);
    let seen = house.snapshot();
    assert_eq!((seen.power.cars_w, seen.evses[0].power_w), (16.0 * VOLTS, Some(16.0 * VOLTS)));
    assert!(seen.evses[0].is_estimate && !seen.evses[0].is_on_circuit);
    assert!(seen.evses[0].session.as_ref().unwrap().is_estimate);
}

#[test]
fn an_overdue_estimate_is_no_surplus_while_the_car_stays_reckoned_with() {
    // After two minutes it drives off, and nobody tells: it is told of as before, and the meter sees it no more.
    let mut house =
        House::new(setup(), green(), Meter::Grid).car("tesla-1", Phases::One).sun(|_| 3000.0).load(|_| 500.0).dress(
            |second, reading| {
                if second > 120 {
                    reading.grid = Watts::new(-2500.0).ok();
                    reading.grid_current = PerPhase::unknown();
                }
            },
        );
    house.cars[0].is_on_circuit = false;
    let surplus = |house: &House| house.snapshot().power.surplus_w.unwrap();
    house.run(120);
    assert!((surplus(&house) - 2500.0).abs() < 1.0 && house.drawn(0) >= 10.0, "{}", surplus(&house));
    house.run(60);
    assert!(surplus(&house) > 4500.0, "as long as it may be believed: {}", surplus(&house));
    house.cars[0].link = Link::Degraded;
    house.run(60);
    assert!((surplus(&house) - 2500.0).abs() < 1.0, "{}", surplus(&house));
    assert!(house.snapshot().evses[0].power_w > Some(0.0), "the page goes on to show the estimate");
}

#[test]
fn a_car_that_may_not_charge_gets_nothing_is_told_to_stop_and_the_page_says_why() {
    let group = json!({ "VehicleGroups": { "Deny Charging": { "Members": [RED] } } });
    let mut house = night(32, setup(), group).car("fake-1", Phases::One).car("fake-2", Phases::One);
    (house.cars[0].vin, house.cars[1].vin) = (Some(RED), Some(BLUE));
    house.run(60);
    assert_eq!((house.drawn(0), house.drawn(1)), (0.0, 32.0));
    assert_eq!(house.sentence(0), "Waiting: this car is in the group \"Deny Charging\".");
    assert_eq!(house.snapshot().evses[0].car.permission, Permission::Deny);
    let told =
        |output: &Output| matches!(output, Output::CarPermission { vin, refusal: Some(_) } if vin.as_str() == RED);
    assert_eq!(house.outputs.iter().filter(|output| told(output)).count(), 1, "told once, to whoever steers cars");
    // One that was drawing and does not obey is told to stop, whatever the way of stopping.
    give(&mut house, set(BLUE, CarChange { permission: Change::Set(Permission::Deny), ..CarChange::default() }));
    house.cars[1].drawn = 20.0;
    for _ in 0..90 {
        let stuck = house.cars[1].drawn.max(20.0);
        house.tick();
        house.cars[1].drawn = stuck;
        let now = house.now.clone();
        let mut status = house.status_of(1);
        status.drawn = Amps::new(stuck).ok();
        house.site.handle_evse(&now, std::sync::Arc::new(status));
        house.drain();
    }
    assert!(house.outputs.contains(&Output::Stop(EvseId::new("fake-2"))), "{:?}", house.sentence(1));
    // It obeys; that it was us who stopped it does not get it power again.
    (house.cars[1].drawn, house.cars[1].says_no) = (0.0, true);
    for _ in 0..300 {
        house.tick();
        assert_eq!((house.cars[1].offered, code(&house, 1)), (0.0, "car_not_permitted"), "{}", house.sentence(1));
    }
    assert!(!house.outputs.contains(&Output::Start(EvseId::new("fake-2"))));
}

#[test]
fn only_members_of_the_allow_group_charge_when_so_chosen_and_guests_as_set_for_them() {
    let only = json!({
        "chargeAuthorizationMode": 2,
        "VehicleGroups": { "Allow Charging": { "Members": [RED] } },
        "guestPermission": "deny",
    });
    let mut house =
        night(32, setup(), only).car("fake-1", Phases::One).car("fake-2", Phases::One).car("fake-3", Phases::One);
    (house.cars[0].vin, house.cars[1].vin) = (Some(RED), Some(BLUE));
    house.run(60);
    assert_eq!((house.drawn(0), house.drawn(1), house.drawn(2)), (32.0, 0.0, 0.0));
    assert_eq!((code(&house, 1), code(&house, 2)), ("car_not_permitted", "car_not_permitted"));
    give(&mut house, Command::SetGuests(Some(Permission::Allow)));
    house.run(120);
    assert_eq!(house.drawn(0) + house.drawn(1) + house.drawn(2), 32.0);
    assert!(house.drawn(1) >= 10.0 && house.drawn(2) >= 10.0);
}

#[test]
fn a_car_for_surplus_only_charges_from_the_sun_and_by_no_other_rule() {
    let own = json!({ "nonScheduledAction": 3, "vehicleOptions": { RED: { "permission": "green" } } });
    let mut house = House::new(setup(), settings(own), Meter::House).car("fake-1", Phases::One).sun(|_| 3000.0);
    house.cars[0].vin = Some(RED);
    house.run(60);
    assert_eq!(house.drawn(0), 10.0, "{}", house.sentence(0));
    give(&mut house, Command::ChargeNow { amps: Some(Amps::from_whole(20)), duration: Duration::from_secs(3600) });
    house.run(30);
    assert_eq!((house.drawn(0), code(&house, 0)), (0.0, "only_green"));
}

#[test]
fn a_car_below_its_minimum_charges_whatever_the_rule_and_no_longer_above_it() {
    let low = json!({ "nonScheduledAction": 2, "vehicleOptions": { RED: { "minSoc": 12 } } });
    let mut house = night(0, setup(), low).car("fake-1", Phases::Three).car("fake-2", Phases::Three);
    (house.cars[0].vin, house.cars[0].soc) = (Some(RED), Some(10.0));
    (house.cars[1].vin, house.cars[1].soc) = (Some(BLUE), Some(5.0));
    house.step = 5;
    house.run(300);
    assert_eq!((house.drawn(0), house.drawn(1)), (6.0, 0.0), "{}", house.sentence(0));
    assert_eq!(house.sentence(0), "Charging with 6 A: its battery has 11 % and is first brought to 12 %.");
    house.run(900);
    assert!(house.cars[0].soc.unwrap() < 13.0 && house.drawn(0) == 0.0, "{:?}", house.cars[0].soc);
    // The same for all cars by `minChargeLevel`, also when the surplus is short.
    let setup = SiteSetup { config: settings(json!({ "minChargeLevel": 50 })), ..setup() };
    let mut house = House::new(setup, green(), Meter::House).car("fake-1", Phases::One).sun(|_| 0.0);
    house.cars[0].soc = Some(20.0);
    house.run(300);
    assert_eq!((house.drawn(0), house.cars[0].starts.len(), code(&house, 0)), (6.0, 1, "min_soc"));
}

#[test]
fn a_car_below_its_minimum_takes_the_place_of_others_but_passes_no_limit() {
    let low = json!({ "vehicleOptions": { RED: { "minSoc": 50 } } });
    let setup = SiteSetup { max_amps_all: Amps::from_whole(8), max_amps_each: Amps::from_whole(8), ..setup() };
    let mut house = night(8, setup, low).car("fake-1", Phases::One).car("fake-2", Phases::One);
    (house.cars[1].vin, house.cars[1].soc) = (Some(RED), Some(20.0));
    house.cars[1].is_plugged = false;
    house.run(600);
    assert_eq!(house.drawn(0), 8.0);
    house.cars[1].is_plugged = true;
    for _ in 0..120 {
        house.tick();
        assert!(house.cars.iter().map(|car| car.offered).sum::<f64>() <= 8.0);
    }
    assert_eq!((house.drawn(0), house.drawn(1)), (0.0, 8.0), "{}", house.sentence(1));
    // Not permitted is not permitted.
    give(&mut house, set(RED, CarChange { permission: Change::Set(Permission::Deny), ..CarChange::default() }));
    house.run(120);
    assert_eq!((house.drawn(0), house.drawn(1)), (8.0, 0.0));
}

#[test]
fn the_rank_of_a_car_counts_more_than_that_of_its_charging_point_and_changes_in_one_command() {
    let mut house = night(9, setup(), json!({})).car("fake-1", Phases::One).car("fake-2", Phases::One);
    (house.cars[0].vin, house.cars[1].vin) = (Some(RED), Some(BLUE));
    give(&mut house, Command::SetSetting { key: "EVSEs".into(), value: json!({ "fake-1": { "priority": 5 } }) });
    house.run(400);
    assert_eq!((house.drawn(0), house.drawn(1)), (9.0, 0.0));
    give(&mut house, set(BLUE, CarChange { priority: Change::Set(9), ..CarChange::default() }));
    house.run(120);
    assert_eq!((house.drawn(0), house.drawn(1)), (0.0, 9.0));
    give(&mut house, set(BLUE, CarChange { priority: Change::Clear, ..CarChange::default() }));
    house.run(400);
    assert_eq!((house.drawn(0), house.drawn(1)), (9.0, 0.0));
    assert_eq!(house.site.settings().get("vehicleOptions"), None);
}

#[test]
fn a_car_that_says_no_gives_its_share_away_at_once_and_one_that_takes_nothing_soon() {
    let cars = || night(9, setup(), json!({})).car("fake-1", Phases::One).car("fake-2", Phases::One);
    let mut house = cars();
    house.run(400);
    let (has, waits) = if house.drawn(0) > 0.0 { (0, 1) } else { (1, 0) };
    // Full: it ends by itself and says so.
    (house.cars[has].refuses, house.cars[has].says_no) = (true, true);
    house.run(3);
    assert_eq!((house.cars[has].offered, house.cars[waits].offered), (0.0, 9.0));
    // One that sleeps and says nothing keeps it for two minutes.
    let mut house = cars();
    (house.cars[0].refuses, house.cars[1].refuses) = (true, false);
    house.run(500);
    assert_eq!(house.drawn(1), 9.0, "{} {}", house.sentence(0), house.sentence(1));
}

#[test]
fn what_a_car_cannot_take_goes_to_others() {
    let mut house = night(32, setup(), json!({})).car("fake-1", Phases::One).car("fake-2", Phases::One);
    house.cars[0].most = 7.0;
    house.run(300);
    assert_eq!((house.drawn(0), house.drawn(1)), (7.0, 23.0));
    // And back when it can.
    house.cars[0].most = 32.0;
    house.run(300);
    assert_eq!((house.drawn(0), house.drawn(1)), (16.0, 16.0));
}

/// Clouds that come and go every few minutes.
fn cloudy(cars: usize) -> House {
    let setup = SiteSetup { subtract_charger_load: true, ..setup() };
    let mut house = House::new(setup, green(), Meter::HouseWithCars).sun(|second| {
        let clear = 6500.0 + 2500.0 * (second as f64 / 7000.0).sin();
        let shade = (second as f64 / 190.0).sin() + (second as f64 / 71.0).sin() * 0.5;
        if shade > 0.3 { clear } else { clear * 0.22 }
    });
    for (index, name) in ["fake-1", "fake-2", "fake-3", "fake-4", "fake-5"].into_iter().take(cars).enumerate() {
        house = house.car(name, if index % 2 == 0 { Phases::One } else { Phases::Three });
        house.cars[index].is_on_circuit = index != 4;
    }
    (house.step, house.every) = (10, 10);
    house
}

#[test]
fn on_a_cloudy_day_no_car_starts_more_than_four_times_an_hour_however_many_there_are() {
    for cars in [1, 2, 5] {
        let mut house = cloudy(cars);
        for _ in 0..4 * 360 {
            house.tick();
            let on_circuit = house.cars.iter().filter(|car| car.is_on_circuit);
            assert!(on_circuit.map(|car| car.offered).sum::<f64>() <= 32.0);
        }
        for car in &house.cars {
            for start in &car.starts {
                let within = car.starts.iter().filter(|other| (*start..start + 3600).contains(other)).count();
                assert!(within <= 4, "{cars} cars, {}: {:?}", car.id, car.starts);
            }
        }
        let energy: f64 = house.cars.iter().map(|car| car.energy_wh).sum();
        assert!(energy > 4_000.0, "{cars} cars: {energy} Wh");
    }
}

#[test]
fn policies_may_ask_how_many_cars_are_home_and_how_full_they_are() {
    let policy = json!({ "extend": { "before": [{
        "name": "Low", "match": ["modules.TeslaAPI.numCarsAtHome", "modules.TeslaAPI.minBatteryLevelAtHome"],
        "condition": ["gte", "lt"], "value": [1, 30], "charge_amps": 12,
    }] } });
    let setup = SiteSetup { policy: Some(policy), ..setup() };
    let mut house = night(0, setup, json!({})).car("fake-1", Phases::One);
    house.run(60);
    assert_eq!(house.drawn(0), 0.0);
    assert!(!house.has_alert("policy_module"));
    let car = |soc: f64| CarFact { vin: None, is_at_home: true, soc: Percent::new(soc).ok(), limit: None };
    let now = house.now.clone();
    house.site.handle_cars(&now, CarsFacts { cars: vec![car(80.0), car(20.0)] });
    house.drain();
    house.run(60);
    assert_eq!(house.drawn(0), 12.0);
    let now = house.now.clone();
    house.site.handle_cars(&now, CarsFacts { cars: vec![car(80.0)] });
    house.drain();
    house.run(60);
    assert_eq!(house.drawn(0), 0.0);
    let changes = house.events.iter().filter(|event| matches!(event, Event::Policy { .. })).count();
    assert!(changes >= 2);
}

#[test]
fn a_flexible_schedule_reckons_with_all_cars_that_are_plugged_in() {
    // 16 A of 230 V are 3.7 kW; two cars lack 5 kWh each: 2.7 hours and a reserve before 7:00.
    let schedule = json!({
        "nonScheduledAction": 2, "scheduledAmpsMax": 16, "scheduledAmpsStartHour": 22, "scheduledAmpsEndHour": 7,
        "scheduledAmpsFlexStart": 1, "scheduledAmpsBatterySize": 50,
    });
    let begin = |socs: &[f64]| {
        let mut house = night(0, setup(), schedule.clone());
        for (index, name) in ["fake-1", "fake-2"].into_iter().take(socs.len()).enumerate() {
            house = house.car(name, Phases::One);
            house.cars[index].soc = Some(socs[index]);
        }
        (house.step, house.every) = (20, 60);
        while house.cars.iter().all(|car| car.drawn == 0.0) && house.seconds < 9 * 3600 {
            house.tick();
        }
        22.5 + house.seconds as f64 / 3600.0 - 24.0
    };
    let (one, two) = (begin(&[90.0]), begin(&[90.0, 90.0]));
    assert!((4.6..5.1).contains(&one), "{one}");
    assert!((3.2..3.7).contains(&two), "{two}");
}

#[test]
fn a_pin_and_options_are_checked_before_they_are_stored() {
    let mut house = night(9, setup(), json!({})).car("fake-1", Phases::One);
    house.run(5);
    let now = house.now.clone();
    let vin = Vin::parse(RED);
    let pin = |id: &str| Command::SetPin { evse: EvseId::new(id), vin: vin.clone() };
    assert!(house.site.handle_command(&now, pin("nowhere")).is_err());
    house.site.handle_command(&now, pin("fake-1")).unwrap();
    assert_eq!(house.site.settings()["evsePins"], json!({ "fake-1": RED }));
    assert_eq!(house.site.merge_settings().pins.len(), 1);
    house.site.handle_command(&now, pin(&format!("tesla-{RED}"))).unwrap();
    assert_eq!(house.site.settings()["evsePins"], json!({ format!("tesla-{RED}"): RED }));
    let wrong = Command::SetSetting { key: "vehicleOptions".into(), value: json!({ RED: { "minSoc": 200 } }) };
    assert!(house.site.handle_command(&now, wrong).unwrap_err().text.contains("minSoc"));
    for (key, value) in [
        ("vehicleOptions", json!({ RED: { "phases": 1.5 } })),
        ("EVSEs", json!({ "fake-1": { "chargeRateControl": 4 } })),
        ("EVSEs", json!({ "fake-1": { "enabled": "perhaps" } })),
        ("EVSEs", json!(["fake-1"])),
        ("chargeStopMode", json!(0)),
        ("chargeAuthorizationMode", json!("x")),
    ] {
        let command = Command::SetSetting { key: key.into(), value: value.clone() };
        assert!(house.site.handle_command(&now, command).is_err(), "{key} {value}");
    }
    let right = Command::SetSetting { key: "EVSEs".into(), value: json!({ "fake-1": { "chargeRateControl": "2" } }) };
    house.site.handle_command(&now, right).unwrap();
}

#[test]
fn the_phases_of_a_car_are_learnt_from_the_meter_when_its_connector_does_not_tell() {
    let setup = SiteSetup { phases: Phases::Three, ..setup() };
    // The sun comes and goes, so the current moves by several amps.
    let mut house = House::new(setup, green(), Meter::Grid)
        .car("fake-1", Phases::One)
        .sun(|second| if second / 200 % 2 == 0 { 6500.0 } else { 9500.0 })
        .every(5, 0);
    house.cars[0].assumed = Some(Phases::Three);
    house.cars[0].energy_wh = 0.0;
    house.run(150);
    assert_eq!(house.snapshot().evses[0].phases, 3);
    house.run(1250);
    assert_eq!(house.snapshot().evses[0].phases, 1, "{}", house.sentence(0));
    // Now it gets three times the amps of before: all of the surplus.
    assert_eq!(house.drawn(0), 26.0, "{}", house.sentence(0));
}

#[test]
fn what_a_sleeping_car_below_its_minimum_leaves_alone_is_for_nobody_else() {
    // By night nothing is charged but the red car, which sleeps on.
    let low = json!({ "nonScheduledAction": 2, "vehicleOptions": { RED: { "minSoc": 50 } } });
    let mut house = night(0, setup(), low).car("fake-1", Phases::Three).car("fake-2", Phases::One);
    (house.cars[0].vin, house.cars[0].soc, house.cars[0].refuses) = (Some(RED), Some(10.0), true);
    for second in 0..900 {
        house.tick();
        assert_eq!(house.cars[1].offered, 0.0, "second {second}: {}", house.sentence(1));
    }
    assert_eq!(house.cars[0].offered, 6.0);
    assert_eq!(code(&house, 1), "non_scheduled", "{}", house.sentence(1));
    // The same when the sun goes down on one that was charging, and with no reading at all.
    let low = json!({ "nonScheduledAction": 3, "vehicleOptions": { RED: { "minSoc": 50 } } });
    let mut house = House::new(setup(), settings(low), Meter::House)
        .car("fake-1", Phases::Three)
        .car("fake-2", Phases::One)
        .sun(|second| if second < 600 { 8000.0 } else { 0.0 });
    (house.cars[0].vin, house.cars[0].soc, house.cars[0].refuses) = (Some(RED), Some(10.0), true);
    house.run(500);
    assert!(house.drawn(1) >= 6.0, "{}", house.sentence(1));
    house.run(400);
    assert_eq!(house.cars[1].offered, 0.0, "{}", house.sentence(1));
    house.is_meter_dead = true;
    house.run(600);
    assert_eq!(house.cars[1].offered, 0.0, "{}", house.sentence(1));
    // Awake, it gets its least.
    house.cars[0].refuses = false;
    house.run(30);
    assert_eq!((house.drawn(0), house.drawn(1)), (6.0, 0.0));
}

#[test]
fn a_person_may_stop_where_the_site_itself_may_not() {
    let mut house = night(16, setup(), json!({})).car("fake-1", Phases::One);
    house.run(60);
    let id = EvseId::new("fake-1");
    let able = |on_request| {
        let mut status = house.status_of(0);
        status.capabilities = Capabilities { set_target: true, start: false, stop: false, on_request };
        std::sync::Arc::new(status)
    };
    let (deaf, hearing) = (able(false), able(true));
    let now = house.now.clone();
    house.site.handle_evse(&now, deaf);
    assert!(house.site.handle_command(&now, Command::Stop { evse: None }).is_err());
    house.site.handle_evse(&now, hearing);
    give(&mut house, Command::Stop { evse: None });
    give(&mut house, Command::Start { evse: Some(id.clone()) });
    let asked: Vec<_> = house.outputs.iter().filter(|output| is_order(output)).collect();
    assert_eq!(asked, [&Output::StopOnRequest(id.clone()), &Output::StartOnRequest(id)]);
}

fn is_order(output: &Output) -> bool {
    matches!(output, Output::Start(_) | Output::Stop(_) | Output::StartOnRequest(_) | Output::StopOnRequest(_))
}

#[test]
fn a_guess_that_changes_and_a_counter_that_begins_anew_leave_the_session_what_it_is() {
    let mut house = night(16, setup(), json!({})).car("fake-1", Phases::One);
    house.run(1800);
    let session = |house: &House| house.snapshot().evses[0].session.clone().unwrap();
    let (id, before) = (session(&house).id, session(&house).energy_wh);
    assert!(before > 1500.0);
    let tell = |house: &mut House, vin: &str, counter: f64| {
        let now = house.now.clone();
        let mut status = house.status_of(0);
        (status.vin, status.energy_total) = (Vin::parse(vin), units::WattHours::new(counter).ok());
        let view = |by| View {
            id: EvseId::new("tesla-1"),
            name: String::new(),
            controller: String::new(),
            is_local: false,
            by,
            confidence: 0.9,
        };
        house.site.handle_whole(&now, std::sync::Arc::new(status), vec![view(MatchedBy::Behaviour)]);
        house.drain();
    };
    tell(&mut house, RED, before);
    tell(&mut house, BLUE, before);
    assert_eq!(session(&house).id, id);
    tell(&mut house, BLUE, 100.0);
    tell(&mut house, BLUE, 9_000_000.0);
    let after = session(&house);
    assert_eq!(after.id, id);
    assert!(after.is_estimate && (after.energy_wh - before).abs() < 10.0, "{} {before}", after.energy_wh);
}

#[test]
fn a_car_that_comes_and_goes_is_not_started_more_often() {
    let mut house = House::new(setup(), green(), Meter::House).car("tesla-1", Phases::One).sun(|_| 4000.0);
    house.cars[0].is_on_circuit = false;
    let mut starts = 0;
    for _ in 0..20 {
        let was = house.cars[0].starts.len();
        house.run(80);
        starts += house.cars[0].starts.len() - was;
        // Its place is not known for a moment.
        let now = house.now.clone();
        house.site.handle_evse_gone(&now, &EvseId::new("tesla-1"));
        (house.cars[0].target, house.cars[0].drawn) = (None, 0.0);
        house.drain();
    }
    assert!((1..=4).contains(&starts), "{starts} starts within half an hour");
}
