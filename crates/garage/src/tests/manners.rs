//! One car at a time: what it is told, and what not.

use std::time::{Duration, Instant};

use units::{Amps, Percent};
use vehicle::{CarKey, Facts, Nearness, Outcome, Position, Report, Request, Spent, Trouble, Whereabouts};

use super::world::{FakeCar, World, cloud, key, radio, settings};
use crate::{
    CarSetting, CommandPolicy, ConnectorView, Day, Garage, GarageSettings, HomeSetting, Kept, Output, Why, Wish,
};

fn amps(amps: i32) -> Request {
    Request::SetAmps(Amps::from_whole(amps))
}

fn why(world: &World) -> Why {
    world.garage.view(world.now(), &key(0)).unwrap().why
}

#[test]
fn a_car_is_set_to_its_grant_started_looked_at_and_stopped() {
    let mut world = World::with_one(FakeCar::default());
    world.grant(0, 10);
    world.run(60);
    assert_eq!(world.commands(), [amps(10), Request::Start]);
    assert!(world.car(0).is_charging);
    world.grant(0, 6);
    world.run(60);
    world.grant(0, 16);
    world.run(60);
    world.grant(0, 0);
    world.run(600);
    assert_eq!(world.commands()[2..], [amps(6), amps(16), Request::Stop]);
    // A look after each of start and stop, and one of those that come every five minutes.
    assert!(world.count(|request| matches!(request, Request::Read { .. })) <= 4, "{:?}", world.sent);
}

#[test]
fn a_lost_start_is_looked_at_and_not_repeated() {
    let mut world = World::with_one(FakeCar { amps: 10, ..FakeCar::default() });
    world.lose = Some(Request::Start);
    world.grant(0, 10);
    world.run(1800);
    assert_eq!(world.commands(), [Request::Start]);
    assert!(matches!(world.sent[1].request, Request::Read { .. }));
}

#[test]
fn a_car_that_says_yes_and_does_nothing_is_asked_thrice_and_given_up_until_it_is_plugged_in_anew() {
    let mut world = World::with_one(FakeCar { amps: 10, is_stubborn: true, ..FakeCar::default() });
    world.grant(0, 10);
    world.run(4 * 3600);
    assert_eq!(world.commands().iter().filter(|request| **request == Request::Start).count(), 3);
    assert_eq!(world.notice_codes(), ["start_given_up"]);
    let view = world.garage.view(world.now(), &key(0)).unwrap();
    assert_eq!((view.declines, view.tries_left), (Some(Why::StartGivenUp), 0));
    world.sent.clear();
    world.car(0).plugged = false;
    world.tell(0, "telemetry");
    world.car(0).plugged = true;
    world.car(0).is_stubborn = false;
    let second = world.second;
    (world.car(0).is_asleep, world.car(0).quiet_since) = (false, second);
    world.tell(0, "telemetry");
    world.run(60);
    assert_eq!(world.commands(), [Request::Start]);
}

#[test]
fn a_policy_change_a_person_and_a_higher_limit_each_begin_anew() {
    for turn in 0..3 {
        let mut world = World::with_one(FakeCar { amps: 10, is_stubborn: true, ..FakeCar::default() });
        world.grant(0, 10);
        world.run(4 * 3600);
        world.sent.clear();
        world.car(0).is_stubborn = false;
        let now = world.now();
        match turn {
            0 => world.garage.re_arm(now),
            1 => world.garage.handle_command(now, &key(0), Request::Start).unwrap(),
            _ => {
                world.car(0).limit = 90.0;
                let second = world.second;
                (world.car(0).is_asleep, world.car(0).quiet_since) = (false, second);
                world.tell(0, "telemetry");
            }
        }
        world.run(1200);
        assert!(world.car(0).is_charging, "{turn}: {:?}", world.sent);
    }
}

#[test]
fn a_full_car_a_waiting_car_and_one_that_is_away_are_left_alone() {
    let full = FakeCar { soc: 80.0, ..FakeCar::default() };
    let waiting = FakeCar { has_timer: true, ..FakeCar::default() };
    let away = FakeCar { is_home: false, ..FakeCar::default() };
    let unplugged = FakeCar { plugged: false, ..FakeCar::default() };
    for (car, expected) in
        [(full, Why::LimitReached), (waiting, Why::OwnTimer), (away, Why::Away), (unplugged, Why::Unplugged)]
    {
        let mut world = World::with_one(car);
        world.grant(0, 10);
        world.run(4 * 3600);
        assert_eq!(world.commands(), [], "{expected:?}");
        assert_eq!(why(&world), expected);
    }
}

#[test]
fn the_timer_is_not_respected_when_it_is_not_to_be() {
    let settings = GarageSettings { respect_schedule: false, ..settings() };
    let mut world = World::new(settings, vec![FakeCar { has_timer: true, ..FakeCar::default() }], &[cloud()]);
    world.run(60);
    world.grant(0, 16);
    world.run(60);
    assert!(world.car(0).is_charging);
}

#[test]
fn a_sleeping_car_is_woken_once_power_has_been_granted_long_enough() {
    let mut world = World::with_one(FakeCar { amps: 10, ..FakeCar::default() });
    world.run(2 * 3600);
    assert!(world.car(0).is_asleep);
    assert_eq!(world.commands(), []);
    // A short sunny spell wakes nobody.
    world.sent.clear();
    world.grant(0, 10);
    world.run(150);
    world.grant(0, 0);
    world.run(600);
    assert_eq!(world.commands(), []);
    world.grant(0, 10);
    world.run(179);
    assert_eq!((world.commands(), why(&world)), (vec![], Why::WakeDelay));
    world.run(60);
    assert_eq!(world.commands(), [Request::Wake, Request::Start]);
    assert!(world.car(0).is_charging);
}

#[test]
fn a_car_that_does_not_wake_is_tried_twice_an_hour_and_gives_its_share_away() {
    let mut world = World::with_one(FakeCar { is_dead: true, ..FakeCar::default() });
    world.run(2 * 3600);
    world.sent.clear();
    world.grant(0, 10);
    world.run(300);
    let view = world.garage.view(world.now(), &key(0)).unwrap();
    assert_eq!(view.declines, Some(Why::DidNotWake));
    world.run(3600);
    assert!(world.commands().len() <= 3, "{:?}", world.sent);
    assert!(world.commands().iter().all(|request| *request == Request::Wake));
}

#[test]
fn nobody_wakes_a_car_to_stop_it() {
    let mut world = World::with_one(FakeCar::default());
    world.run(2 * 3600);
    let now = world.now();
    world.grant(0, 0);
    world.garage.handle_stop(now, &key(0));
    world.garage.handle_permission(now, &key(0), Some("guests charge at night".to_owned()));
    world.run(3600);
    assert_eq!(world.commands(), []);
}

#[test]
fn a_car_below_the_least_state_of_charge_is_not_stopped() {
    let settings = GarageSettings { min_level: Percent::new(50.0).ok(), ..settings() };
    let car = FakeCar { is_charging: true, ..FakeCar::default() };
    let mut world = World::new(settings, vec![car], &[cloud()]);
    world.run(60);
    world.grant(0, 0);
    world.run(600);
    assert_eq!((world.commands(), why(&world)), (vec![], Why::BelowLeast));
    world.car(0).soc = 51.0;
    world.run(600);
    assert_eq!(world.commands(), [Request::Stop]);
}

#[test]
fn who_may_not_charge_is_told_once_and_the_driver_who_insists_is_not_fought() {
    let mut world = World::with_one(FakeCar { is_charging: true, ..FakeCar::default() });
    world.garage.handle_permission(world.now(), &key(0), Some("it is on the list of cars that may not".to_owned()));
    world.run(600);
    assert_eq!(world.commands(), [Request::Stop]);
    world.car(0).is_charging = true;
    world.run(4 * 3600);
    assert_eq!(world.commands(), [Request::Stop]);
    assert!(matches!(why(&world), Why::NotPermitted(_)));
}

#[test]
fn bluetooth_goes_first_and_the_cloud_when_it_fails() {
    let mut world = World::new(settings(), vec![FakeCar::default()], &[cloud(), radio()]);
    world.run(60);
    world.sent.clear();
    world.grant(0, 16);
    world.run(30);
    assert_eq!(world.sent[0].source, "TeslaBLE");
    assert!(world.car(0).is_charging);
    world.answers.insert("TeslaBLE".to_owned(), Outcome::Later { after: None, text: "out of reach".to_owned() });
    world.sent.clear();
    world.grant(0, 0);
    world.run(30);
    let stops: Vec<_> =
        world.sent.iter().filter(|sent| sent.request == Request::Stop).map(|sent| sent.source.as_str()).collect();
    assert_eq!(stops, ["TeslaBLE", "TeslaAPI"]);

    let only = GarageSettings { policy: CommandPolicy::BleOnly, ..settings() };
    let mut world = World::new(only, vec![FakeCar::default()], &[cloud(), radio()]);
    world.answers.insert("TeslaBLE".to_owned(), Outcome::Barred { text: "pair a key".to_owned() });
    world.run(60);
    world.grant(0, 16);
    world.run(600);
    assert_eq!(world.commands(), []);
    let view = world.garage.view(world.now(), &key(0)).unwrap();
    assert_eq!(view.declines.unwrap().to_string(), "No way leads to it now. TeslaBLE: pair a key");
}

#[test]
fn whoever_asks_to_be_left_alone_is_left_alone() {
    let mut world = World::with_one(FakeCar::default());
    let after = Some(Duration::from_secs(900));
    world.answers.insert("TeslaAPI".to_owned(), Outcome::Later { after, text: "too many".to_owned() });
    world.grant(0, 16);
    world.run(890);
    assert_eq!(world.sent.len(), 1);
    world.answers.clear();
    world.run(60);
    assert!(world.car(0).is_charging);
}

#[test]
fn payment_due_stops_all_billed_calls_until_a_person_acts_or_the_month_ends() {
    for by_person in [true, false] {
        check_payment(by_person);
    }
}

fn check_payment(by_person: bool) {
    let mut world = World::with_one(FakeCar { is_charging: true, ..FakeCar::default() });
    let text = "add a means of payment".to_owned();
    let now = world.now();
    world.garage.handle_trouble(now, "TeslaAPI", Some(Trouble { code: "payment", text, needs_person: true }));
    world.grant(0, 0);
    world.run(7200);
    assert_eq!(world.sent, []);
    assert!(world.kept.ledger.is_payment_due);
    let now = world.now();
    if by_person {
        world.garage.resume_billed_calls(now);
    } else {
        world.garage.set_today(Day { year: 2026, month: 12, day: 1 });
    }
    world.run(120);
    assert!(world.commands().contains(&Request::Stop), "{by_person}: {:?}", world.sent);
}

#[test]
fn a_car_at_a_local_charging_point_is_measured_there() {
    let mut world = World::with_one(FakeCar { is_home: false, ..FakeCar::default() });
    let view = |draw, offered| {
        Some(ConnectorView {
            draw: Some(Amps::from_whole(draw)),
            plugged: true,
            offered: Some(Amps::from_whole(offered)),
        })
    };
    let now = world.now();
    // The charging point knows better than a position.
    world.garage.handle_connector(now, &key(0), view(0, 0));
    world.grant(0, 16);
    world.run(600);
    assert_eq!((world.commands(), why(&world)), (vec![], Why::NoPower));
    let now = world.now();
    world.garage.handle_connector(now, &key(0), view(0, 16));
    world.run(20);
    let now = world.now();
    world.garage.handle_connector(now, &key(0), view(16, 16));
    world.run(600);
    // It began by itself.
    assert_eq!(world.commands(), []);
    let now = world.now();
    world.garage.handle_stop(now, &key(0));
    world.run(10);
    assert_eq!(world.commands(), [Request::Stop]);
}

#[test]
fn a_grant_that_ran_out_holds_the_car_down_and_starts_nothing() {
    let mut world = World::with_one(FakeCar { is_charging: true, ..FakeCar::default() });
    let now = world.now();
    world.garage.handle_wish(now, &key(0), Wish::AtMost(Amps::from_whole(5)));
    world.run(600);
    assert_eq!(world.commands(), [amps(5)]);
    world.car(0).is_charging = false;
    world.run(1200);
    assert_eq!(world.commands(), [amps(5)]);
}

#[test]
fn a_limit_is_remembered_before_it_is_set_and_put_back_after_a_restart() {
    let mut world = World::with_one(FakeCar::default());
    let now = world.now();
    world.garage.set_limit_wish(now, Percent::new(60.0).ok());
    world.run(1);
    let entry = world.kept.limits[key(0).as_str()];
    assert_eq!((entry.outside.get(), entry.applied.map(Percent::get)), (80.0, Some(60.0)));
    world.run(60);
    assert_eq!(world.car(0).limit, 60.0);
    // A power cut; and the policy has ended meanwhile.
    let car = world.car(0).clone();
    let mut world = World::resume(settings(), vec![car], &[cloud()], world.kept.clone());
    world.run(59);
    assert_eq!(world.commands(), [], "the policy may want it still");
    world.run(10);
    assert_eq!(world.commands(), [Request::SetLimit(Percent::new(80.0).unwrap())]);
    assert!(world.kept.limits.is_empty());
}

#[test]
fn a_sleeping_car_is_woken_to_raise_its_limit_and_not_to_lower_it() {
    for (limit, wakes) in [(60.0, 0), (90.0, 1)] {
        let mut world = World::with_one(FakeCar::default());
        world.run(2 * 3600);
        let now = world.now();
        world.garage.set_limit_wish(now, Percent::new(limit).ok());
        world.run(600);
        assert_eq!(world.count(|request| request == Request::Wake), wakes);
        assert_eq!(world.car(0).limit == limit, wakes == 1);
    }
}

#[test]
fn a_question_that_is_never_answered_is_a_lost_answer() {
    let mut world = World::with_one(FakeCar { amps: 16, ..FakeCar::default() });
    world.grant(0, 16);
    world.run(1);
    // Nobody delivers; the worst it may have cost stays booked.
    let before = world.garage.budget().month.used;
    let now = world.now() + Duration::from_secs(181);
    world.garage.handle_timeout(now);
    assert_eq!(world.garage.budget().month.used, before);
    assert!(before.commands >= 4);
    assert_ne!(world.spent, Spent::NOTHING);
}

/// A car that tells only by itself, under this key and name.
fn told(garage: &mut Garage, now: Instant, car: &CarKey, name: &str, latitude: Option<f64>) {
    let facts = Facts {
        name: Some(name.to_owned()),
        plugged: Some(true),
        position: latitude.and_then(|latitude| Position::new(latitude, 8.0, Some(now))),
        ..Facts::default()
    };
    let source = if car.vin().is_some() { "TeslaAPI" } else { "TeslaMate" };
    let (source, nearness) = (source.into(), Nearness::Copy);
    garage.handle_report(now, &Report { car: car.clone(), source, nearness, taken_at: Some(now), facts });
}

fn drained(garage: &mut Garage) -> Vec<Output> {
    std::iter::from_fn(|| garage.poll_output()).collect()
}

#[test]
fn a_car_known_by_name_is_the_one_car_of_that_name() {
    let now = Instant::now();
    let mut garage = Garage::new(now, settings(), Kept::default(), []);
    let by_name = CarKey::Name("Lightning".to_owned());
    told(&mut garage, now, &by_name, "Lightning", None);
    told(&mut garage, now, &key(0), "Lightning", None);
    assert!(drained(&mut garage).contains(&Output::Gone(by_name.clone())));
    told(&mut garage, now, &by_name, "Lightning", None);
    assert_eq!(garage.keys().collect::<Vec<_>>(), [&key(0)]);
    assert_eq!(garage.known_as(&key(0), "TeslaMate"), by_name);
    assert_eq!(garage.known_as(&key(0), "TeslaAPI"), key(0));

    // A second car of that name: now nobody can tell which of them the name means.
    told(&mut garage, now, &key(1), "Lightning", None);
    told(&mut garage, now, &by_name, "Lightning", None);
    assert_eq!(garage.keys().count(), 3);
    let is_said = |output: &Output| matches!(output, Output::Notice(notice) if notice.code == "ambiguous_car");
    assert!(drained(&mut garage).iter().any(is_said));
}

#[test]
fn the_first_parked_car_shows_where_home_is_and_it_stays_there() {
    let now = Instant::now();
    let unset = GarageSettings { home: HomeSetting { position: None, radius: 100.0 }, ..settings() };
    let mut garage = Garage::new(now, unset.clone(), Kept::default(), []);
    told(&mut garage, now, &key(0), "Lightning", Some(52.0));
    let kept = drained(&mut garage).into_iter().find_map(|output| match output {
        Output::Keep(kept) => Some(kept),
        _ => None,
    });
    let kept = *kept.unwrap();
    assert_eq!(kept.home, Some((52.0, 8.0)));
    let mut garage = Garage::new(now, unset, kept, []);
    told(&mut garage, now, &key(1), "Thunder", Some(51.0));
    assert_eq!(garage.view(now, &key(1)).unwrap().place.0, Whereabouts::Away);
}

#[test]
fn a_restart_amid_the_sun_does_not_stop_a_car_that_is_granted_power_again_soon() {
    let car = FakeCar { amps: 10, is_charging: true, ..FakeCar::default() };
    let mut world = World::new(settings(), vec![car], &[cloud()]);
    world.run(4);
    // Whoever shares out the power has not heard of any yet.
    world.grant(0, 0);
    let now = world.now();
    world.garage.handle_permission(now, &key(0), Some("it charges from surplus only".to_owned()));
    world.run(45);
    assert_eq!((world.commands(), why(&world)), (vec![], Why::Settling));
    let now = world.now();
    world.garage.handle_permission(now, &key(0), None);
    world.grant(0, 10);
    world.run(600);
    assert_eq!(world.commands(), []);
    assert!(world.car(0).is_charging);
}

#[test]
fn a_car_that_is_granted_nothing_after_the_first_minute_is_stopped() {
    let car = FakeCar { is_charging: true, ..FakeCar::default() };
    let mut world = World::new(settings(), vec![car], &[cloud()]);
    world.run(4);
    world.grant(0, 0);
    world.run(55);
    assert_eq!(world.commands(), []);
    world.run(5);
    assert_eq!(world.commands(), [Request::Stop]);
    // Another reason to stop does not repeat what was said a moment ago.
    let now = world.now();
    world.garage.handle_permission(now, &key(0), Some("it charges from surplus only".to_owned()));
    world.run(30);
    assert_eq!(world.commands(), [Request::Stop]);
}

#[test]
fn a_car_behind_our_fuse_is_held_down_at_once_and_a_person_need_not_wait() {
    let on_circuit = CarSetting { is_on_circuit: true, ..CarSetting::default() };
    let cars = [(key(0).as_str().to_owned(), on_circuit)].into();
    let car = FakeCar { is_charging: true, ..FakeCar::default() };
    let mut world = World::new(GarageSettings { cars, ..settings() }, vec![car], &[cloud()]);
    world.run(4);
    world.grant(0, 0);
    world.run(20);
    assert_eq!(world.commands(), [amps(5)]);
    let now = world.now();
    world.garage.handle_stop(now, &key(0));
    world.run(10);
    assert_eq!(world.commands(), [amps(5), Request::Stop]);
}

#[test]
fn a_limit_is_raised_only_for_a_car_that_is_granted_power() {
    let mut world = World::with_one(FakeCar { soc: 80.0, amps: 10, ..FakeCar::default() });
    world.grant(0, 0);
    world.garage.set_limit_wish(world.now(), Percent::new(90.0).ok());
    world.run(3 * 3600);
    assert_eq!(world.commands(), [], "it may not charge now");
    let view = world.garage.view(world.now(), &key(0)).unwrap();
    assert_eq!(view.declines, None, "it would take power: its limit is raised then");
    world.grant(0, 10);
    world.run(1800);
    assert_eq!(world.commands(), [Request::Wake, Request::SetLimit(Percent::new(90.0).unwrap())]);
}

#[test]
fn a_car_is_woken_four_times_a_day_at_most_and_later_each_time() {
    let mut world = World::with_one(FakeCar { amps: 10, is_stubborn: true, ..FakeCar::default() });
    world.run(3600);
    let mut waited = Vec::new();
    for _ in 0..10 {
        world.garage.re_arm(world.now());
        world.grant(0, 10);
        let (from, before) = (world.second, world.sent.len());
        world.run(4500);
        let woken = world.sent[before..].iter().find(|sent| sent.request == Request::Wake);
        waited.extend(woken.map(|sent| (sent.second - from) / 60));
        world.grant(0, 0);
        world.run(3600);
    }
    assert_eq!(world.count(|request| request == Request::Wake), 4, "{waited:?}");
    assert!(waited.is_sorted() && waited[0] < 5, "{waited:?}");
}
