//! What people ask for and what charging points see: done, said, or refused.

use std::time::Duration;

use units::Amps;
use vehicle::{Outcome, Request, Trouble};

use super::world::{FakeCar, World, cloud, key, settings};
use crate::{ConnectorView, Why};

fn amps(amps: i32) -> Request {
    Request::SetAmps(Amps::from_whole(amps))
}

fn why(world: &World) -> Why {
    world.garage.view(world.now(), &key(0)).unwrap().why
}

/// What keeps the cloud from being asked for five minutes.
fn unreachable() -> Option<Trouble> {
    let text = "Tesla's cloud is out of reach".to_owned();
    Some(Trouble { code: "unreachable", text, needs_person: false })
}

#[test]
fn what_a_person_asks_during_a_pause_is_done_as_soon_as_that_is_over() {
    let mut world = World::with_one(FakeCar { amps: 8, ..FakeCar::default() });
    world.garage.handle_trouble(world.now(), "TeslaAPI", unreachable());
    world.garage.handle_command(world.now(), &key(0), Request::Start).unwrap();
    world.garage.handle_command(world.now(), &key(0), amps(12)).unwrap();
    world.run(290);
    assert_eq!(world.sent, []);
    let said = why(&world);
    assert_eq!(said.code(), "order_waits");
    assert!(said.to_string().contains("to take at most 12 A") && said.to_string().contains("out of reach"), "{said}");
    world.run(60);
    assert_eq!((world.commands(), world.car(0).amps), (vec![amps(12)], 12), "the newer order counts");
}

#[test]
fn what_a_person_asks_while_requests_are_lost_is_done_once_they_arrive_and_only_once() {
    let mut world = World::with_one(FakeCar::default());
    world.answers.insert("TeslaAPI".to_owned(), Outcome::Unsure { text: "no complete answer".to_owned() });
    world.garage.handle_command(world.now(), &key(0), Request::Start).unwrap();
    world.run(20);
    world.garage.handle_trouble(world.now(), "TeslaAPI", unreachable());
    world.run(120);
    assert_eq!(world.commands(), [Request::Start]);
    assert_eq!(why(&world).code(), "order_waits");
    world.answers.clear();
    world.run(300);
    assert_eq!(world.commands(), [Request::Start, Request::Start]);
    assert!(world.car(0).is_charging);

    let mut world = World::with_one(FakeCar::default());
    world.lose = Some(Request::Start);
    world.garage.handle_command(world.now(), &key(0), Request::Start).unwrap();
    world.run(1200);
    assert_eq!(world.commands(), [Request::Start], "it was done; only its answer was lost");
}

#[test]
fn what_a_person_asked_a_quarter_of_an_hour_ago_is_dropped_and_that_is_said() {
    let mut world = World::with_one(FakeCar::default());
    let after = Some(Duration::from_secs(3600));
    world.answers.insert("TeslaAPI".to_owned(), Outcome::Later { after, text: "too many".to_owned() });
    world.garage.handle_command(world.now(), &key(0), Request::Start).unwrap();
    world.run(1000);
    assert_eq!(world.notice_codes(), ["order_dropped"]);
    let refused = world.garage.handle_command(world.now(), &key(0), Request::Start).unwrap_err();
    assert!(refused.contains("left alone"), "it cannot be asked in time: {refused}");
    world.answers.clear();
    world.run(4000);
    assert_eq!(world.commands(), [Request::Start]);
    assert!(!world.car(0).is_charging);
}

#[test]
fn what_no_way_leads_to_is_refused_at_once() {
    let mut deaf = cloud();
    deaf.1.wakes = false;
    let mut world = World::new(settings(), vec![FakeCar::default()], &[deaf]);
    world.run(3600);
    assert!(world.garage.handle_command(world.now(), &key(0), Request::Start).unwrap_err().contains("sleeps"));
    world.garage.handle_command(world.now(), &key(0), Request::Stop).unwrap();

    let mut world = World::with_one(FakeCar::default());
    let trouble = Trouble { code: "sign_in", text: "sign in".to_owned(), needs_person: true };
    world.garage.handle_trouble(world.now(), "TeslaAPI", Some(trouble));
    let refused = world.garage.handle_command(world.now(), &key(0), Request::Start).unwrap_err();
    assert!(refused.contains("sign in"), "{refused}");
}

/// What was sent to a car, and how many seconds after a moment.
fn sent_since(world: &World, car: usize, since: u64) -> Vec<(Request, u64)> {
    let sent = world.sent.iter().filter(|sent| sent.car == key(car) && sent.second >= since);
    sent.map(|sent| (sent.request, sent.second - since)).collect()
}

#[test]
fn after_a_plug_in_at_a_charging_point_without_vin_each_car_that_it_may_be_is_looked_at_once() {
    let on_the_road = FakeCar { plugged: false, is_home: false, ..FakeCar::default() };
    let away = FakeCar { is_home: false, ..FakeCar::default() };
    let home = FakeCar { plugged: false, ..FakeCar::default() };
    let cars = vec![home.clone(), away, FakeCar::default(), on_the_road];
    let mut world = World::new(settings(), cars, &[cloud()]);
    world.run(120);
    let since = world.second;
    (world.car(0).plugged, world.car(0).quiet_since) = (true, since);
    world.garage.handle_unknown_plug_in(world.now());
    world.run(120);
    assert_eq!(sent_since(&world, 0, since), [(Request::Read { with_position: true }, 25)]);
    assert_eq!(world.garage.view(world.now(), &key(0)).unwrap().plugged, Some(true));
    assert_eq!(sent_since(&world, 1, since), [], "it is away");
    assert_eq!(sent_since(&world, 2, since), [], "it is plugged in elsewhere");
    assert_eq!(sent_since(&world, 3, since), [(Request::Read { with_position: true }, 25)]);

    // One that sleeps is only asked whether it still does.
    let mut world = World::new(settings(), vec![FakeCar { plugged: false, ..FakeCar::default() }], &[cloud()]);
    world.run(3000);
    assert!(world.car(0).is_asleep);
    let since = world.second;
    world.garage.handle_unknown_plug_in(world.now());
    world.run(120);
    assert_eq!(sent_since(&world, 0, since), [(Request::ReadWakefulness, 25)]);
    let since = world.second;
    (world.car(0).is_asleep, world.car(0).plugged, world.car(0).quiet_since) = (false, true, since);
    world.garage.handle_unknown_plug_in(world.now());
    world.run(120);
    assert_eq!(sent_since(&world, 0, since)[0], (Request::ReadWakefulness, 25));
    assert_eq!(world.garage.view(world.now(), &key(0)).unwrap().plugged, Some(true), "it was awake, and looked at");
}

#[test]
fn nobody_is_asked_once_it_is_known_who_was_plugged_in() {
    let home = FakeCar { plugged: false, ..FakeCar::default() };
    let mut world = World::new(settings(), vec![home.clone(), home], &[cloud()]);
    world.run(120);
    let since = world.second;
    world.garage.handle_unknown_plug_in(world.now());
    world.run(5);
    let view = ConnectorView { draw: None, plugged: true, offered: None };
    world.garage.handle_connector(world.now(), &key(0), Some(view));
    world.run(120);
    assert_eq!(sent_since(&world, 1, since), []);
}
