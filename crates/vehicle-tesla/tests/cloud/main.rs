//! The source from end to end against the simulated cloud, which shares no code with it; and recorded answers.

#![allow(clippy::unwrap_used, reason = "helpers of tests count as tests")]

mod bench;
mod failures;
mod recorded;
mod sign_in;

use std::time::Duration;

use bench::{Bench, OLD, VIN, car, cloud};
use tesla_simulator::{Car, CommandWay, Failure, Kind, Quirks, Supply, Target};
use units::{Amps, Percent};
use vehicle::{ChargingState, Nearness, Outcome, Refusal, Request, VehicleState, Wakefulness};

fn plugged(vin: &str) -> Car {
    Car::new(vin).name("Nikola").plugged_into(Supply::three(Amps::from_whole(16)))
}

fn old(vin: &str) -> Car {
    plugged(vin).quirks(Quirks { commands: CommandWay::Plain, is_old: true, ..Quirks::default() })
}

fn state(bench: &Bench, vin: &str) -> VehicleState {
    let mut state = VehicleState::new(car(vin));
    for report in bench.ear.reports.lock().unwrap().iter().filter(|report| report.car == car(vin)) {
        state.take(report);
    }
    state
}

#[test]
fn cars_are_listed_read_and_commanded_each_in_its_own_way() {
    let mut bench = Bench::start(cloud().car(plugged(VIN)).car(old(OLD)).start(), &[VIN]);
    assert_eq!(bench.ask(VIN, Request::List), Outcome::Done);
    assert_eq!(state(&bench, VIN).name.unwrap().value, "Nikola");
    assert_eq!(state(&bench, OLD).wakefulness.unwrap().value, Wakefulness::Awake);
    bench.cloud.advance(Duration::from_secs(30));
    for vin in [VIN, OLD] {
        assert_eq!(bench.ask(vin, Request::Read { with_position: true }), Outcome::Done);
        let state = state(&bench, vin);
        assert_eq!(state.charging.as_ref().unwrap().value, ChargingState::Charging);
        assert_eq!(state.power().unwrap().get(), 11_040.0);
        assert_eq!(state.soc.as_ref().unwrap().nearness, Nearness::Cloud);
        assert!(state.parked.unwrap().value && state.plugged.unwrap().value);
        assert_eq!(bench.ask(vin, Request::Stop), Outcome::Done);
        bench.cloud.advance(Duration::from_secs(30));
        assert_eq!(bench.cloud.car(vin, |car| car.power().get()), 0.0);
        assert_eq!(bench.ask(vin, Request::Stop), Outcome::AlreadySo);
        assert_eq!(bench.ask(vin, Request::SetAmps(Amps::new(9.9).unwrap())), Outcome::Done);
        assert_eq!(bench.ask(vin, Request::SetLimit(Percent::new(90.0).unwrap())), Outcome::Done);
        assert_eq!(bench.ask(vin, Request::Start), Outcome::Done);
        bench.cloud.advance(Duration::from_secs(30));
        let (amps, limit) = bench.cloud.car(vin, |car| (car.drawn(), car.charge_limit().get()));
        assert_eq!((amps, limit), (Amps::from_whole(9), 90.0));
    }
    assert_eq!(bench.count("/fleet_status"), 2, "each car was looked up once");
    let log = bench.cloud.log();
    let is_signed = |vin: &str| {
        let of_car = log.iter().filter(|asked| asked.vin.as_deref() == Some(vin));
        of_car
            .filter(|asked| asked.command.is_some())
            .map(|asked| asked.kind == Kind::SignedCommand)
            .collect::<Vec<_>>()
    };
    assert!(is_signed(VIN).iter().all(|is_signed| *is_signed) && is_signed(VIN).len() == 5);
    assert!(is_signed(OLD).iter().all(|is_signed| !is_signed) && is_signed(OLD).len() == 5);
    assert_eq!(bench.trouble(), None);
    bench.assert_billed();
}

#[test]
fn a_session_outlives_a_restart_without_another_handshake() {
    let mut bench = Bench::start(cloud().car(plugged(VIN)).start(), &[VIN]);
    assert_eq!(bench.ask(VIN, Request::Stop), Outcome::Done);
    assert_eq!(bench.count("/signed_command"), 2, "a handshake and the command");
    let mut bench = bench.restart();
    assert_eq!(bench.ask(VIN, Request::Start), Outcome::Done);
    assert_eq!(bench.count("/signed_command"), 3);
    assert_eq!(bench.count("/fleet_status"), 1);
    bench.assert_billed();
}

#[test]
fn a_sleeping_car_says_so_and_wakes_only_when_asked() {
    let quirks = Quirks { wake_takes: Duration::from_secs(10), sleeps_as_offline: true, ..Quirks::default() };
    let asleep = |vin| Car::new(vin).quirks(quirks.clone()).asleep();
    let mut bench = Bench::start(cloud().car(asleep(VIN)).start(), &[VIN]);
    assert_eq!(bench.ask(VIN, Request::ReadWakefulness), Outcome::Done);
    assert_eq!(state(&bench, VIN).wakefulness.unwrap().value, Wakefulness::Asleep);
    assert_eq!(bench.ask(VIN, Request::Read { with_position: false }), Outcome::Asleep);
    assert_eq!(bench.ask(VIN, Request::Start), Outcome::Asleep);
    assert_eq!(bench.cloud.billing().total.wakes, 0);
    bench.send(VIN, Request::Wake);
    while bench.count("/wake_up") == 0 {
        std::thread::yield_now();
    }
    bench.cloud.advance(Duration::from_secs(11));
    assert_eq!(bench.answer().outcome, Outcome::Done);
    assert_eq!(state(&bench, VIN).wakefulness.unwrap().value, Wakefulness::Awake);
    assert_eq!(bench.cloud.billing().total.wakes, 1);
    bench.assert_billed();
}

#[test]
fn a_car_that_does_not_wake_is_left_alone_after_a_while() {
    let quirks = Quirks { wake_takes: Duration::from_secs(3600), ..Quirks::default() };
    let cloud = cloud().car(Car::new(VIN).quirks(quirks).asleep()).start();
    let mut bench = Bench::with(cloud, &[VIN], |settings| settings.pace.wake_limit = Duration::from_millis(200));
    assert_eq!(bench.ask(VIN, Request::Wake), Outcome::Asleep);
    assert_eq!(bench.cloud.billing().total.wakes, 1);
    bench.assert_billed();
}

#[test]
fn a_car_without_our_key_says_how_to_pair_it() {
    let mut bench = Bench::start(cloud().car(plugged(VIN)).start(), &[]);
    assert_eq!(bench.ask(VIN, Request::Stop), Outcome::Refused(Refusal::NotPaired));
    let trouble = bench.trouble().unwrap();
    assert_eq!((trouble.code, trouble.needs_person), ("pair_key", true));
    assert!(trouble.text.contains("https://tesla.com/_ak/cars.example.org") && trouble.text.contains(VIN));
    assert_eq!(bench.account.status().unpaired.len(), 1);
    bench.cloud.with(|cloud| cloud.pair("cars.example.org", None));
    assert_eq!(bench.ask(VIN, Request::Stop), Outcome::Done);
    assert_eq!(bench.trouble(), None);
    assert!(bench.account.status().missing.is_empty(), "{:?}", bench.account.status().missing);
    bench.assert_billed();
}

#[test]
fn without_a_key_a_car_that_wants_one_is_not_commanded() {
    let mut bench = Bench::start(cloud().car(plugged(VIN)).start(), &[VIN]);
    std::fs::remove_file(bench.folder.path().join(vehicle_tesla::KEY_FILE)).unwrap();
    let Outcome::Barred { text } = bench.ask(VIN, Request::Start) else { panic!("barred") };
    assert!(text.contains("--create-key"), "{text}");
    assert_eq!(bench.count("/signed_command"), 0);
    // Made while the program runs; it still has to be paired.
    bench.account.create_key().unwrap();
    assert_eq!(bench.ask(VIN, Request::Start), Outcome::Refused(Refusal::NotPaired));
}

#[test]
fn cars_turn_out_to_want_the_other_way() {
    let mut bench = Bench::start(cloud().car(plugged(VIN)).car(old(OLD)).start(), &[VIN]);
    let notes = format!(r#"{{"cars":{{"{VIN}":{{"commands":"plain"}},"{OLD}":{{"commands":"signed"}}}}}}"#);
    bench.source = None;
    std::fs::write(bench.folder.path().join(vehicle_tesla::NOTES_FILE), notes).unwrap();
    let mut bench = bench.restart();
    for vin in [VIN, OLD] {
        assert_eq!(bench.ask(vin, Request::Stop), Outcome::Done, "{vin}");
    }
    let calls = bench.cloud.log().len();
    assert_eq!(bench.ask(OLD, Request::Start), Outcome::Done);
    assert_eq!(bench.cloud.log().len(), calls + 1, "it is remembered");
    bench.assert_billed();
}

#[test]
fn a_proxy_and_a_drop_in_service_sign_by_themselves() {
    let running = cloud().car(plugged(VIN)).start();
    let mut bench = Bench::with(running, &[VIN], |settings| {
        let url = settings.hosts.api.clone().unwrap();
        settings.proxy = Some(vehicle_tesla::Proxy { url, tls: Default::default() });
    });
    // Without the proxy's own address this goes to the cloud as a plain call, which wants a signature.
    assert!(matches!(bench.ask(VIN, Request::Stop), Outcome::Barred { .. }));
    let running = cloud().car(plugged(VIN)).start();
    let proxy = running.proxy_url();
    let mut bench = Bench::with(running, &[VIN], |settings| {
        settings.proxy = Some(vehicle_tesla::Proxy { url: proxy, tls: Default::default() });
    });
    assert_eq!(bench.ask(VIN, Request::Stop), Outcome::Done);
    assert_eq!(bench.ask(VIN, Request::Stop), Outcome::AlreadySo, "which the proxy tells as an error");
    let both = Quirks { commands: CommandWay::Both, ..Quirks::default() };
    let running = cloud().car(plugged(VIN).quirks(both)).fixed_token("third-party-token").start();
    let mut bench = Bench::with(running, &[], |settings| {
        settings.fixed_token = Some(vehicle_tesla::Token::new("third-party-token"));
        settings.app = vehicle_tesla::App::default();
    });
    assert_eq!(bench.ask(VIN, Request::Stop), Outcome::Done);
    assert_eq!(bench.ask(VIN, Request::Read { with_position: true }), Outcome::Done);
    assert!(bench.account.status().missing.is_empty());
    bench.assert_billed();
}

#[test]
fn a_slow_car_holds_only_itself() {
    let mut bench = Bench::start(cloud().car(plugged(VIN)).car(plugged(OLD)).start(), &[VIN, OLD]);
    let slow = Target::KindFor(Kind::VehicleData, VIN.into());
    bench.cloud.fail_next_at(slow, Failure::Slow(Duration::from_secs(3)));
    let first = bench.send(VIN, Request::Read { with_position: false });
    let after = bench.send(VIN, Request::Stop);
    let other = bench.send(OLD, Request::Read { with_position: false });
    let order: Vec<u64> = (0..3).map(|_| bench.answer().id).collect();
    assert_eq!(order, [other, first, after]);
}

#[test]
fn every_question_is_answered_once_when_the_source_ends() {
    let mut bench = Bench::start(cloud().car(plugged(VIN)).start(), &[VIN]);
    let slow = Target::KindFor(Kind::VehicleData, VIN.into());
    bench.cloud.fail_next_at(slow, Failure::Slow(Duration::from_secs(20)));
    let sent: Vec<u64> = [Request::Read { with_position: false }, Request::Start, Request::Wake]
        .into_iter()
        .map(|request| bench.send(VIN, request))
        .collect();
    while bench.count("/vehicle_data") == 0 {
        std::thread::yield_now();
    }
    bench.source = None;
    let mut answered: Vec<u64> = (0..3).map(|_| bench.answer().id).collect();
    answered.sort_unstable();
    assert_eq!(answered, sent);
    assert!(!bench.has_answer());
    assert_eq!(bench.count("/wake_up"), 0);
}
