//! A car through its days, in virtual time.

use super::*;

const VIN: &str = "5YJ30123456789ABC";
const MINUTE: u64 = 60;

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn whole(amps: i32) -> Amps {
    Amps::from_whole(amps)
}

fn percent(value: f64) -> Percent {
    Percent::new(value).unwrap()
}

fn car() -> Car {
    Car::new(VIN).battery(WattHours::saturating(60_000.0), percent(50.0))
}

fn charging() -> Car {
    let mut car = car().plugged_into(Supply::three(whole(16)));
    car.pass_to(secs(60));
    car
}

fn reason(answer: Result<(), Refusal>) -> String {
    answer.map_or_else(|refusal| refusal.0, |()| String::new())
}

#[test]
fn it_starts_by_itself_ramps_and_stops_at_its_limit() {
    let mut car = car().plugged_into(Supply::three(whole(16)));
    car.pass_to(secs(1));
    assert_eq!((car.charging_state(), car.drawn()), (ChargingState::Starting, Amps::ZERO));
    car.pass_to(secs(9));
    assert_eq!(car.charging_state(), ChargingState::Charging);
    assert!(car.drawn() > whole(0) && car.drawn() < whole(16), "on its way up: {}", car.drawn());
    car.pass_to(secs(15));
    assert_eq!((car.drawn(), car.power().get()), (whole(16), 11_040.0));
    // 18 kWh are missing at 50 % of 60 kWh and a limit of 80 %.
    car.pass_to(secs(3 * 3600));
    assert_eq!(car.charging_state(), ChargingState::Complete);
    assert_eq!(car.drawn(), Amps::ZERO);
    assert!((car.soc().get() - 80.0).abs() < 0.1, "{}", car.soc().get());
    assert!((car.energy_added().get() - 18_000.0).abs() < 60.0, "{}", car.energy_added().get());
    assert_eq!(car.starts().len(), 1);
}

/// However time is cut, the same comes out.
#[test]
fn steps_do_not_matter() {
    let mut fine = car().plugged_into(Supply::single(whole(13)));
    let mut coarse = fine.clone();
    for second in 0..6 * 3600 {
        fine.pass_to(secs(second));
    }
    coarse.pass_to(secs(6 * 3600 - 1));
    assert!((fine.energy_from_wall().get() - coarse.energy_from_wall().get()).abs() < 0.5);
    assert_eq!(fine.charging_state(), coarse.charging_state());
}

#[test]
fn it_takes_the_least_of_set_offered_and_own() {
    for (set, offered, own, expected) in
        [(16, 32, 32, 16), (32, 16, 32, 16), (32, 32, 16, 16), (10, 16, 16, 10), (5, 16, 16, 5)]
    {
        let mut car = car().charger(whole(own), Phases::One).plugged_into(Supply::single(whole(offered)));
        car.obey(CarCommand::SetAmps(whole(set))).unwrap();
        car.pass_to(secs(60));
        assert_eq!(car.drawn(), whole(expected), "{set} {offered} {own}");
    }
    let mut car = charging();
    car.obey(CarCommand::SetAmps(whole(48))).unwrap();
    assert_eq!(car.set_amps(), whole(16), "held to what is possible here");
    car.set_pilot(whole(8));
    car.pass_to(secs(70));
    assert_eq!((car.drawn(), car.most_amps()), (whole(8), whole(8)));
    car.set_pilot(whole(0));
    assert_eq!((car.charging_state(), car.drawn()), (ChargingState::NoPower, Amps::ZERO));
    car.set_pilot(whole(16));
    car.pass_to(secs(100));
    assert_eq!((car.charging_state(), car.drawn()), (ChargingState::Charging, whole(16)));
}

#[test]
fn low_amps_have_to_be_told_twice() {
    let mut car = charging();
    let tell = |car: &mut Car, at: u64, amps: i32| {
        car.pass_to(secs(at));
        car.obey(CarCommand::SetAmps(whole(amps))).unwrap();
        car.set_amps()
    };
    assert_eq!(tell(&mut car, 100, 3), whole(16), "once is not enough");
    assert_eq!(tell(&mut car, 101, 3), whole(16), "nor at once again");
    assert_eq!(tell(&mut car, 105, 3), whole(3));
    assert_eq!(tell(&mut car, 110, 5), whole(5), "5 A need no more");
    assert_eq!(tell(&mut car, 200, 2), whole(5));
    assert_eq!(tell(&mut car, 205, 3), whole(5), "another value begins anew");
    assert_eq!(tell(&mut car, 300, 3), whole(5), "too long ago");
    car.quirks_mut().low_amps_twice = false;
    car.quirks_mut().coarse_low_amps = true;
    assert_eq!((tell(&mut car, 400, 0), tell(&mut car, 401, 2)), (whole(2), whole(3)));
}

#[test]
fn it_answers_in_its_own_words() {
    let mut car = car();
    assert_eq!(reason(car.obey(CarCommand::Start)), "disconnected");
    car.plug_in(Supply::three(whole(16)));
    assert_eq!(reason(car.obey(CarCommand::Start)), "requested");
    car.pass_to(secs(20));
    assert_eq!(reason(car.obey(CarCommand::Start)), "is_charging");
    assert_eq!(reason(car.obey(CarCommand::SetLimit(percent(80.0)))), "already_set");
    assert_eq!(reason(car.obey(CarCommand::LimitStandard)), "already_standard");
    assert_eq!(reason(car.obey(CarCommand::SetLimit(percent(49.0)))), "invalid_percent");
    assert_eq!(reason(car.obey(CarCommand::Stop)), "");
    assert_eq!(reason(car.obey(CarCommand::Stop)), "not_charging");
    assert_eq!(car.charging_state(), ChargingState::Stopped);
    car.set_soc(percent(80.0));
    assert_eq!(reason(car.obey(CarCommand::Start)), "complete");
    car.set_pilot(Amps::ZERO);
    assert_eq!(reason(car.obey(CarCommand::Start)), "no_power");
    car.refuse_next("could_not_wake_buses");
    assert_eq!(reason(car.obey(CarCommand::Stop)), "could_not_wake_buses");
    assert_eq!(reason(car.obey(CarCommand::Unknown("honk_horn".into()))), "unsupported");
    assert_eq!(car.attempts().len(), 12);
}

#[test]
fn a_deaf_car_says_yes_and_does_nothing() {
    let mut car = charging();
    car.be_deaf(1);
    assert_eq!(car.obey(CarCommand::Stop), Ok(()));
    car.pass_to(secs(120));
    assert_eq!(car.charging_state(), ChargingState::Charging);
    assert!(!car.attempts().last().unwrap().was_done);
    assert_eq!(car.obey(CarCommand::Stop), Ok(()));
    assert_eq!(car.charging_state(), ChargingState::Stopped);
}

#[test]
fn it_sleeps_when_left_alone_and_takes_its_time_to_wake() {
    let mut car = charging();
    car.obey(CarCommand::Stop).unwrap();
    let stopped = car.now();
    car.pass_to(stopped + secs(11 * MINUTE));
    car.touch();
    car.pass_to(stopped + secs(22 * MINUTE));
    assert_eq!(car.availability(), Availability::Online, "somebody asked meanwhile");
    car.pass_to(stopped + secs(24 * MINUTE));
    assert_eq!((car.availability(), car.listed_state()), (Availability::Asleep, "asleep"));
    car.lose_wakes(1);
    car.wake();
    car.pass_to(stopped + secs(25 * MINUTE));
    assert_eq!(car.availability(), Availability::Asleep, "that one was lost");
    car.wake();
    car.pass_to(car.now() + secs(14));
    assert_eq!(car.availability(), Availability::Asleep);
    car.pass_to(car.now() + secs(2));
    assert_eq!((car.availability(), car.wakes()), (Availability::Online, 1));
    car.set_network(false);
    assert_eq!((car.availability(), car.listed_state()), (Availability::Offline, "offline"));
}

#[test]
fn a_charging_car_never_sleeps_and_power_wakes_one_that_wants_it() {
    let mut car = charging();
    car.pass_to(secs(3600));
    assert!(car.is_awake());
    car.set_pilot(Amps::ZERO);
    car.pass_to(secs(3600 + 20 * MINUTE));
    assert!(!car.is_awake());
    car.set_pilot(whole(6));
    car.pass_to(secs(3600 + 21 * MINUTE));
    assert_eq!((car.charging_state(), car.is_awake(), car.wakes()), (ChargingState::Charging, true, 0));
}

#[test]
fn its_timer_holds_it_back_until_told_otherwise() {
    // The world begins at 06:00.
    let mut car = car().scheduled(7 * 60).plugged_into(Supply::three(whole(16)));
    car.begin(1, 1_777_874_400);
    assert_eq!((car.charging_state(), car.waits_until()), (ChargingState::Stopped, Some(secs(3600))));
    let mut impatient = car.clone();
    impatient.obey(CarCommand::Start).unwrap();
    impatient.pass_to(secs(60));
    assert_eq!((impatient.charging_state(), impatient.waits_until()), (ChargingState::Charging, None));
    car.pass_to(secs(3500));
    assert!(!car.is_awake());
    car.pass_to(secs(3660));
    assert_eq!((car.charging_state(), car.waits_until()), (ChargingState::Charging, None));
    car.unplug();
    car.plug_in(Supply::three(whole(16)));
    assert_eq!(car.waits_until(), Some(secs(25 * 3600)), "tomorrow");
    car.obey(CarCommand::Schedule(None)).unwrap();
    assert_eq!(car.waits_until(), None);
}

#[test]
fn it_drives_and_arrives() {
    let home = Place { latitude: 52.0, longitude: 13.0 };
    let work = Place { latitude: 52.2, longitude: 13.4 };
    let mut car = charging();
    car.place = home;
    let before = car.soc().get();
    car.drive_to(work, secs(1800), WattHours::saturating(6_000.0));
    assert_eq!(car.charging_state(), ChargingState::Disconnected);
    car.pass_to(car.now() + secs(900));
    assert!(car.is_driving() && (car.place().latitude - 52.1).abs() < 1e-6);
    car.pass_to(car.now() + secs(1000));
    assert!(!car.is_driving() && car.is_awake() && car.place() == work);
    assert!((before - car.soc().get() - 10.0).abs() < 0.01, "6 of 60 kWh");
    car.set_gps(false);
    car.appear_at(home);
    assert_eq!((car.fix().0, car.place()), (work, home), "the fix is old");
}

#[test]
fn a_raised_limit_restarts_a_full_car_or_not() {
    for (restarts, expected) in [(true, ChargingState::Charging), (false, ChargingState::Complete)] {
        let mut car = charging();
        car.quirks_mut().restarts_when_limit_rises = restarts;
        car.set_soc(percent(80.0));
        car.pass_to(secs(90));
        assert_eq!(car.charging_state(), ChargingState::Complete);
        car.driver_sets_limit(percent(90.0));
        car.pass_to(secs(120));
        assert_eq!(car.charging_state(), expected);
    }
}

#[test]
fn phases_are_told_as_real_cars_do() {
    let three = Supply::three(whole(16));
    let single = Supply::single(whole(16));
    for (own, supply, as_two, told, watts) in [
        (Phases::Three, three, true, 2, 11_040.0),
        (Phases::Three, three, false, 3, 11_040.0),
        (Phases::One, three, true, 1, 3_680.0),
        (Phases::Three, single, true, 1, 3_680.0),
    ] {
        let mut car = car().charger(whole(16), own);
        car.quirks_mut().three_phases_told_as_two = as_two;
        car.plug_in(supply);
        assert_eq!(car.charge_json()["charger_phases"], serde_json::Value::Null, "idle");
        car.pass_to(secs(60));
        assert_eq!((car.charge_json()["charger_phases"].as_u64(), car.power().get()), (Some(told), watts));
    }
}

#[test]
fn odd_ways_to_tell_are_odd() {
    let mut car = charging();
    car.quirks_mut().numbers_as_text = true;
    car.quirks_mut().is_old = true;
    car.quirks_mut().nameless = true;
    let section = car.charge_json();
    assert_eq!(section["charger_actual_current"], "16");
    assert!(!section.contains_key("charge_amps") && section.contains_key("charge_current_request"));
    let data = car.data_json(&["vehicle_state"], true);
    assert_eq!((data.get("display_name"), &data["vehicle_state"]["vehicle_name"]), (None, &"Car 9ABC".into()));
    assert!(data["id"].as_u64().unwrap() > 1 << 53);
    car.unplug();
    car.plug_in(Supply::fast_charger(Watts::saturating(100_000.0)));
    car.pass_to(secs(180));
    let section = car.charge_json();
    assert_eq!(
        (&section["fast_charger_present"], &section["charger_phases"]),
        (&true.into(), &serde_json::Value::Null)
    );
}

#[test]
fn topics_tell_the_same_car() {
    let mut car = charging();
    let of = |topics: &[(String, String)], name: &str| {
        topics.iter().find(|(topic, _)| topic == name).map(|(_, payload)| payload.clone())
    };
    let mate = car.teslamate_topics("teslamate", 1, "Home");
    for (key, expected) in
        [("state", "charging"), ("charger_phases", "2"), ("charger_actual_current", "16"), ("geofence", "Home")]
    {
        assert_eq!(of(&mate, &format!("teslamate/cars/1/{key}")).as_deref(), Some(expected));
    }
    let fleet = car.fleet_telemetry_topics("telemetry");
    for (key, expected) in
        [("v/DetailedChargeState", "\"DetailedChargeStateCharging\""), ("v/ChargerVoltage", "\"230.0\"")]
    {
        assert_eq!(of(&fleet, &format!("telemetry/{VIN}/{key}")).as_deref(), Some(expected));
    }
    car.unplug();
    car.fall_asleep();
    let mate = car.teslamate_topics("teslamate/x", 2, "");
    assert_eq!(of(&mate, "teslamate/x/cars/2/charger_voltage").as_deref(), Some(""));
    assert_eq!(of(&mate, "teslamate/x/cars/2/state").as_deref(), Some("asleep"));
    let fleet = car.fleet_telemetry_topics("telemetry");
    assert!(fleet.len() == 1 && fleet[0].1.contains("DISCONNECTED"));
}
