//! Everything that goes wrong, and what it costs.

use std::time::Duration;

use tesla_simulator::{Door, Failure, Kind, Quirks, Target};
use vehicle::{Outcome, Request};

use crate::bench::{Bench, VIN, cloud};
use crate::plugged;

#[derive(Debug, PartialEq)]
enum Is {
    Asleep,
    Refused,
    Later,
    LaterBy(u64),
    Unsure,
    Barred,
}

fn kind(outcome: &Outcome) -> Is {
    match outcome {
        Outcome::Asleep => Is::Asleep,
        Outcome::Refused(_) => Is::Refused,
        Outcome::Later { after: None, .. } => Is::Later,
        Outcome::Later { after: Some(after), .. } => Is::LaterBy(after.as_secs()),
        Outcome::Unsure { .. } => Is::Unsure,
        Outcome::Barred { .. } => Is::Barred,
        other => panic!("{other:?}"),
    }
}

#[test]
fn each_failure_becomes_what_can_be_done_about_it() {
    for (failure, read, command) in [
        (Failure::status(400), Is::Barred, Is::Barred),
        (Failure::with_text(401, "mobile_access_disabled"), Is::Barred, Is::Barred),
        (Failure::status(403), Is::Barred, Is::Barred),
        (Failure::status(404), Is::Barred, Is::Barred),
        (Failure::status(405), Is::LaterBy(3600), Is::LaterBy(3600)),
        (Failure::status(408), Is::Asleep, Is::Asleep),
        (Failure::status(412), Is::Barred, Is::Barred),
        (Failure::status(423), Is::LaterBy(5), Is::LaterBy(5)),
        (Failure::status(429), Is::LaterBy(300), Is::LaterBy(300)),
        (Failure::too_many(Duration::from_secs(42)), Is::LaterBy(42), Is::LaterBy(42)),
        (Failure::status(500), Is::Later, Is::Unsure),
        (Failure::status(503), Is::LaterBy(5), Is::LaterBy(5)),
        (Failure::status(504), Is::Later, Is::Unsure),
        (Failure::Html(502), Is::Later, Is::Unsure),
        (Failure::Html(200), Is::Later, Is::Unsure),
        (Failure::LostAnswer, Is::Later, Is::Unsure),
    ] {
        let mut bench = Bench::start(cloud().car(plugged(VIN)).start(), &[VIN]);
        // The session is agreed on before anything fails.
        assert_eq!(bench.ask(VIN, Request::SetAmps(units::Amps::from_whole(10))), Outcome::Done);
        bench.cloud.fail_next_at(Target::Kind(Kind::SignedCommand), failure.clone());
        let outcome = bench.ask(VIN, Request::Stop);
        assert_eq!(kind(&outcome), command, "{failure:?}: {outcome:?}");
        bench.assert_billed();
        let mut bench = Bench::start(cloud().car(plugged(VIN)).start(), &[VIN]);
        bench.cloud.fail_next_at(Target::Kind(Kind::VehicleData), failure.clone());
        let outcome = bench.ask(VIN, Request::Read { with_position: false });
        assert_eq!(kind(&outcome), read, "{failure:?}: {outcome:?}");
        bench.assert_billed();
    }
}

#[test]
fn a_pause_that_is_asked_for_holds_for_every_car() {
    let mut bench = Bench::start(cloud().car(plugged(VIN)).car(plugged("LRW3F7EK0NC000001")).start(), &[VIN]);
    bench.cloud.fail_next(Failure::too_many(Duration::from_secs(600)));
    assert_eq!(kind(&bench.ask(VIN, Request::Read { with_position: false })), Is::LaterBy(600));
    let calls = bench.cloud.log().len();
    for request in [Request::List, Request::Start, Request::Wake] {
        let Outcome::Later { after: Some(after), .. } = bench.ask("LRW3F7EK0NC000001", request) else {
            panic!("later")
        };
        assert!((500..=600).contains(&after.as_secs()));
    }
    assert_eq!(bench.cloud.log().len(), calls);
    bench.assert_billed();
}

#[test]
fn when_nobody_pays_nothing_more_is_sent() {
    let mut bench = Bench::start(cloud().car(plugged(VIN)).start(), &[VIN]);
    bench.cloud.set_credit(Some(0));
    for _ in 0..3 {
        let Outcome::Barred { text } = bench.ask(VIN, Request::Start) else { panic!("barred") };
        assert!(text.contains("payment method"), "{text}");
    }
    assert_eq!(bench.trouble().unwrap().code, "payment");
    assert_eq!(bench.count("/fleet_status") + bench.count("/signed_command"), 1);
}

#[test]
fn an_expired_token_is_renewed_once_and_the_call_repeated() {
    let mut bench = Bench::start(cloud().car(plugged(VIN)).start(), &[VIN]);
    bench.cloud.expire_access_tokens();
    assert_eq!(bench.ask(VIN, Request::Read { with_position: false }), Outcome::Done);
    assert_eq!(bench.count("/oauth2/v3/token"), 1);
    assert_eq!(bench.ask(VIN, Request::Stop), Outcome::Done);
    assert_eq!(bench.count("/oauth2/v3/token"), 1);
    bench.assert_billed();
}

#[test]
fn a_lost_answer_of_the_token_service_is_survived_and_a_changed_password_is_said() {
    let mut bench = Bench::start(cloud().car(plugged(VIN)).start(), &[VIN]);
    bench.cloud.expire_access_tokens();
    bench.cloud.fail_next_at(Target::Door(Door::Auth), Failure::LostAnswer);
    assert!(matches!(bench.ask(VIN, Request::Read { with_position: false }), Outcome::Later { after: Some(_), .. }));
    // A restart has no back-off; the refresh token is still the one from before.
    let mut bench = bench.restart();
    assert_eq!(bench.ask(VIN, Request::Read { with_position: false }), Outcome::Done);
    // A token that was given just now is not asked for anew at once.
    let mut bench = bench.restart();
    bench.cloud.forget_logins();
    assert!(matches!(bench.ask(VIN, Request::Stop), Outcome::Barred { .. }));
    assert_eq!(bench.trouble().unwrap().code, "sign_in");
    let calls = bench.cloud.log().iter().filter(|asked| asked.door == Door::Auth).count();
    assert!(matches!(bench.ask(VIN, Request::Stop), Outcome::Barred { .. } | Outcome::Later { .. }));
    assert_eq!(bench.cloud.log().iter().filter(|asked| asked.door == Door::Auth).count(), calls);
}

#[test]
fn another_region_is_gone_to_once_and_remembered() {
    let running = cloud().car(plugged(VIN)).start();
    let (right, wrong) = (running.api_url(), running.other_region_url());
    let mut bench = Bench::with(running, &[VIN], |settings| {
        settings.hosts.api = Some(wrong);
        settings.hosts.regions = vec![right];
    });
    assert_eq!(bench.ask(VIN, Request::Read { with_position: false }), Outcome::Done);
    let mut bench = bench.restart();
    assert_eq!(bench.ask(VIN, Request::Read { with_position: false }), Outcome::Done);
    let elsewhere = bench.cloud.log().iter().filter(|asked| asked.door == Door::OtherRegion).count();
    assert_eq!(elsewhere, 1);
    bench.assert_billed();
}

#[test]
fn a_host_that_nobody_named_gets_no_token() {
    let running = cloud().car(plugged(VIN)).start();
    let wrong = running.other_region_url();
    let mut bench = Bench::with(running, &[VIN], |settings| settings.hosts.api = Some(wrong));
    assert!(matches!(bench.ask(VIN, Request::Read { with_position: false }), Outcome::Barred { .. }));
    assert_eq!(bench.trouble().unwrap().code, "wrong_region");
    assert_eq!(bench.count("/vehicle_data"), 1);
}

#[test]
fn an_application_that_is_not_registered_and_a_right_that_is_missing_are_named() {
    let mut bench = Bench::start(cloud().car(plugged(VIN)).unregistered().start(), &[VIN]);
    assert!(matches!(bench.ask(VIN, Request::List), Outcome::Barred { .. }));
    let trouble = bench.trouble().unwrap();
    assert_eq!(trouble.code, "not_registered");
    assert!(trouble.text.contains("--register"), "{}", trouble.text);
    let domain = "cars.example.org".parse().unwrap();
    assert_eq!(bench.account.is_registered(&domain), Ok(Some(false)));
    bench.account.register(&domain).unwrap();
    assert_eq!(bench.account.is_registered(&domain), Ok(Some(true)));
    assert_eq!(bench.ask(VIN, Request::List), Outcome::Done);
    assert_eq!(bench.trouble(), None);
}

#[test]
fn a_cloud_out_of_reach_is_told_after_a_few_calls_and_when_it_is_back() {
    let mut bench = Bench::start(cloud().car(plugged(VIN)).start(), &[VIN]);
    bench.cloud.fail_always(Target::Api, Failure::LostRequest);
    for count in 1..=3 {
        assert!(matches!(bench.ask(VIN, Request::List), Outcome::Later { .. }));
        assert_eq!(bench.trouble().is_some(), count == 3);
    }
    let trouble = bench.trouble().unwrap();
    assert_eq!((trouble.code, trouble.needs_person), ("unreachable", false));
    bench.cloud.clear_failures();
    assert_eq!(bench.ask(VIN, Request::List), Outcome::Done);
    assert_eq!(bench.trouble(), None);
}

#[test]
fn odd_cars_are_read_all_the_same() {
    let odd = Quirks { numbers_as_text: true, nameless: true, three_phases_told_as_two: true, ..Quirks::default() };
    let mut bench = Bench::start(cloud().car(plugged(VIN).quirks(odd)).start(), &[VIN]);
    bench.cloud.advance(Duration::from_secs(30));
    assert_eq!(bench.ask(VIN, Request::Read { with_position: true }), Outcome::Done);
    assert_eq!(crate::state(&bench, VIN).power().unwrap().get(), 11_040.0);
    let closed = Quirks { denies_access: true, ..Quirks::default() };
    let mut bench = Bench::start(cloud().car(plugged(VIN).quirks(closed)).start(), &[VIN]);
    let Outcome::Barred { text } = bench.ask(VIN, Request::Stop) else { panic!("barred") };
    assert!(text.contains("access"), "{text}");
}

#[test]
fn a_guest_is_not_asked_about() {
    const GUEST: &str = "LRW3F7EK0NC000009";
    let read = Request::Read { with_position: false };
    let is_guest = |outcome: &Outcome| matches!(outcome, Outcome::Barred { text } if text.contains("a guest"));
    let able = |bench: &Bench, vin: &str| bench.source.as_ref().unwrap().abilities(&crate::bench::car(vin));

    // Before the list is known one call shows it, and no second is made.
    let mut bench = Bench::start(cloud().car(plugged(VIN)).start(), &[VIN]);
    assert!(able(&bench, GUEST).commands);
    assert!(is_guest(&bench.ask(GUEST, read)));
    let calls = bench.cloud.log().len();
    for request in [read, Request::ReadWakefulness, Request::Wake, Request::Stop] {
        assert!(is_guest(&bench.ask(GUEST, request)));
    }
    assert_eq!((bench.cloud.log().len(), able(&bench, GUEST).commands), (calls, false));

    // With the list not even that one.
    let mut bench = Bench::start(cloud().car(plugged(VIN)).start(), &[VIN]);
    assert_eq!(bench.ask(VIN, Request::List), Outcome::Done);
    let calls = bench.cloud.log().len();
    assert!(!able(&bench, GUEST).reads && able(&bench, VIN).commands);
    assert!(is_guest(&bench.ask(GUEST, read)));
    assert_eq!(bench.cloud.log().len(), calls);
    bench.assert_billed();
    // Of a car on the list "not found" means something else.
    bench.cloud.fail_next(Failure::status(404));
    assert!(!is_guest(&bench.ask(VIN, read)));
    assert!(able(&bench, VIN).commands);
}
