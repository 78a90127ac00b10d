//! The source from end to end: against the simulated proxy, and against answers that it does not give.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use recordings::{Answer as Reply, Asked, Peer};
use serde_json::json;
use tesla_simulator::{Car, CarCommand, Cloud, Door, Failure, Kind, Running, Supply, Target};
use units::{Amps, Percent};
use vehicle::{
    Answer, Ask, CarKey, ChargingState, Nearness, Outcome, Refusal, Report, Request, Trouble, VehicleListener,
    VehicleSource, VehicleState, Vin, Wakefulness,
};
use vehicle_ble_proxy::{NAME, Settings, open};

const VIN: &str = "5YJ30123456789ABC";
/// Far longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(120);
const READ: Request = Request::Read { with_position: true };

struct Ear {
    answers: Mutex<Sender<Answer>>,
    reports: Mutex<Vec<Report>>,
    troubles: Mutex<Vec<Option<Trouble>>>,
}

impl VehicleListener for Ear {
    fn report(&self, report: Report) {
        self.reports.lock().unwrap().push(report);
    }

    fn answered(&self, answer: Answer) {
        let _ = self.answers.lock().unwrap().send(answer);
    }

    fn trouble(&self, source: &str, trouble: Option<Trouble>) {
        assert_eq!(source, NAME);
        self.troubles.lock().unwrap().push(trouble);
    }
}

struct Bench {
    source: Arc<dyn VehicleSource>,
    ear: Arc<Ear>,
    answers: Receiver<Answer>,
}

fn key() -> CarKey {
    CarKey::Vin(Vin::parse(VIN).unwrap())
}

impl Bench {
    fn at(url: String) -> Bench {
        let (sender, answers) = channel();
        let ear = Arc::new(Ear { answers: Mutex::new(sender), reports: Mutex::default(), troubles: Mutex::default() });
        let settings = Settings::new(url, Vin::parse(VIN));
        let source = open(settings, Arc::clone(&ear) as Arc<dyn VehicleListener>).unwrap();
        Bench { source, ear, answers }
    }

    fn ask(&self, request: Request) -> Outcome {
        self.source.ask(Ask { id: 7, car: key(), request });
        let answer = self.answers.recv_timeout(PATIENCE).unwrap();
        assert_eq!((answer.id, &*answer.source, answer.spent.is_nothing()), (7, NAME, true));
        answer.outcome
    }

    fn state(&self) -> VehicleState {
        let mut state = VehicleState::new(key());
        self.ear.reports.lock().unwrap().iter().for_each(|report| state.take(report));
        state
    }

    fn trouble(&self) -> Option<Trouble> {
        self.ear.troubles.lock().unwrap().last().cloned().flatten()
    }
}

/// With the virtual clock at the real time, since answers carry it.
fn simulated(car: Car) -> Running {
    Cloud::builder().starts_at(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()).car(car).start()
}

fn plugged() -> Car {
    Car::new(VIN).plugged_into(Supply::three(Amps::from_whole(16)))
}

fn told(cloud: &Running) -> Vec<CarCommand> {
    cloud.car(VIN, |car| car.attempts().iter().map(|attempt| attempt.command.clone()).collect())
}

#[test]
fn a_car_is_read_and_commanded() {
    let cloud = simulated(plugged());
    cloud.advance(Duration::from_secs(30));
    let bench = Bench::at(cloud.ble_url());
    let abilities = bench.source.abilities(&key());
    assert!(
        abilities.reads && abilities.commands && abilities.wakes && abilities.reads_wakefulness && !abilities.is_billed
    );
    assert_eq!(abilities.nearness, Nearness::Car);
    assert!(!bench.source.abilities(&CarKey::Name("Nikola".into())).reads);
    assert_eq!(bench.ask(Request::List), Outcome::Done);
    assert_eq!(bench.ask(READ), Outcome::Done);
    let state = bench.state();
    assert_eq!(state.charging.as_ref().unwrap().value, ChargingState::Charging);
    assert_eq!(state.power().unwrap().get(), 11_040.0);
    assert_eq!(state.wakefulness.unwrap().value, Wakefulness::Awake);
    for (request, command) in [
        (Request::SetAmps(Amps::new(9.9).unwrap()), CarCommand::SetAmps(Amps::from_whole(9))),
        (Request::SetLimit(Percent::new(90.0).unwrap()), CarCommand::SetLimit(Percent::new(90.0).unwrap())),
        (Request::Stop, CarCommand::Stop),
        (Request::Start, CarCommand::Start),
    ] {
        assert_eq!(bench.ask(request), Outcome::Done);
        assert_eq!(told(&cloud).last(), Some(&command));
        cloud.advance(Duration::from_secs(30));
    }
    assert_eq!(cloud.car(VIN, |car| car.power().get()), 6_210.0);
    assert!(cloud.log().iter().all(|asked| asked.door == Door::Ble));
    assert_eq!(bench.trouble(), None);
}

#[test]
fn a_sleeping_car_is_left_asleep_unless_it_shall_wake() {
    let cloud = simulated(plugged().asleep());
    let bench = Bench::at(cloud.ble_url());
    let wakes = || cloud.car(VIN, |car| car.wakes());
    let before = wakes();
    for request in [READ, Request::Start, Request::Stop, Request::SetAmps(Amps::from_whole(8))] {
        assert_eq!(bench.ask(request), Outcome::Asleep);
    }
    assert_eq!(bench.ask(Request::ReadWakefulness), Outcome::Done);
    assert_eq!(bench.state().wakefulness.unwrap().value, Wakefulness::Asleep);
    assert_eq!((wakes(), told(&cloud)), (before, vec![]));
    assert_eq!(bench.ask(Request::Wake), Outcome::Done);
    assert_eq!(bench.state().wakefulness.unwrap().value, Wakefulness::Awake);
    assert_eq!(bench.ask(Request::Start), Outcome::Done);
}

#[test]
fn a_car_that_is_away_is_not_told_anything() {
    let cloud = simulated(plugged());
    cloud.car(VIN, |car| car.set_bluetooth(false));
    let bench = Bench::at(cloud.ble_url());
    for request in [READ, Request::ReadWakefulness, Request::Start, Request::Wake] {
        let outcome = bench.ask(request);
        assert!(matches!(outcome, Outcome::Later { after: None, .. }), "{outcome:?}");
    }
    assert_eq!((told(&cloud), bench.trouble()), (vec![], None));
    assert!(bench.ear.reports.lock().unwrap().is_empty(), "nothing says that it is near");
}

#[test]
fn refusals_and_lost_answers_mean_what_they_say() {
    let cloud = simulated(plugged());
    let bench = Bench::at(cloud.ble_url());
    for (reason, outcome) in [
        ("disconnected", Outcome::Refused(Refusal::Unplugged)),
        ("no_power", Outcome::Refused(Refusal::NoPower)),
        ("vehicle_not_amused", Outcome::Refused(Refusal::Other)),
    ] {
        cloud.car(VIN, |car| car.refuse_next(reason));
        assert_eq!(bench.ask(Request::Start), outcome);
    }
    cloud.fail_next_at(Target::KindFor(Kind::Command("charge_stop".into()), VIN.into()), Failure::LostAnswer);
    assert!(matches!(bench.ask(Request::Stop), Outcome::Unsure { .. }));
    assert_eq!(told(&cloud).last(), Some(&CarCommand::Stop), "it was done all the same");
    assert_eq!(bench.trouble().unwrap().code, "unreachable");
    assert_eq!(bench.ask(READ), Outcome::Done);
    assert_eq!(bench.trouble(), None);
}

/// A proxy that says `said` to commands, and is otherwise awake.
fn peer(said: Reply) -> Peer {
    Peer::start(move |asked: &Asked| match asked.path() {
        path if path.ends_with("body_controller_state") => Reply::json(
            json!({"response": {"result": true, "response": {"vehicle_sleep_status": "VEHICLE_SLEEP_STATUS_AWAKE"}}})
                .to_string(),
        ),
        _ => said.clone(),
    })
}

fn no(reason: &str) -> Reply {
    Reply { status: 503, ..Reply::json(json!({"response": {"result": false, "reason": reason}}).to_string()) }
}

#[test]
fn words_that_the_simulator_does_not_say() {
    let start = |said: Reply| {
        let peer = peer(said);
        let bench = Bench::at(peer.url());
        (bench.ask(Request::Start), bench.trouble().is_some())
    };
    let unpaired = "failed to perform handshake with vehicle (A): your public key has not been paired with the vehicle";
    assert_eq!(start(no(unpaired)), (Outcome::Refused(Refusal::NotPaired), false));
    assert!(matches!(start(no("context deadline exceeded")), (Outcome::Unsure { .. }, false)));
    assert!(matches!(start(no("can't init hci: no devices available")), (Outcome::Later { .. }, true)));
    assert!(matches!(start(Reply::html("<html>router</html>")), (Outcome::Unsure { .. }, true)));
    assert!(matches!(start(Reply::status(404)), (Outcome::Later { .. }, false)));
}

#[test]
fn without_a_proxy_nothing_is_unsure() {
    let peer = peer(Reply::status(500));
    let url = peer.url();
    drop(peer);
    let bench = Bench::at(url);
    for request in [READ, Request::Start, Request::Stop] {
        assert!(matches!(bench.ask(request), Outcome::Later { after: None, .. }));
    }
    let trouble = bench.trouble().unwrap();
    assert!(trouble.text.contains("vehicle.teslaBleHttpProxy.url") && !trouble.needs_person, "{}", trouble.text);
}
