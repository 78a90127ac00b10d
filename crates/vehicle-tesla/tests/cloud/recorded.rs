//! Recorded answers, read as the index beside them expects.

use std::sync::Arc;
use std::time::Duration;

use recordings::{Answer, Peer, Recording};
use serde_json::Value;
use vehicle::{CarKey, ChargingState, Facts, Outcome, Request, Vin};
use vehicle_tesla::{Account, App, Hosts, MemoryStore, Region, Settings, Token};

/// What a source makes of one recorded answer.
fn read(recording: &Recording, status: u16, request: Request) -> (Outcome, Vec<vehicle::Report>) {
    use std::sync::Mutex;
    use std::sync::mpsc::{Sender, channel};
    struct Ear(Mutex<Vec<vehicle::Report>>, Mutex<Sender<vehicle::Answer>>);
    impl vehicle::VehicleListener for Ear {
        fn report(&self, report: vehicle::Report) {
            self.0.lock().unwrap().push(report);
        }
        fn answered(&self, answer: vehicle::Answer) {
            self.1.lock().unwrap().send(answer).unwrap();
        }
        fn trouble(&self, _: &str, _: Option<vehicle::Trouble>) {}
    }
    let body = recording.bytes();
    let peer = Peer::start(move |_| Answer { status, ..Answer::json(body.clone()) });
    let mut settings = Settings::new(App::default(), Region::Europe, None);
    settings.hosts = Hosts { api: Some(peer.url()), ..Hosts::default() };
    settings.fixed_token = Some(Token::new("fixed-token"));
    let account = Account::new(settings, Arc::new(MemoryStore::default()));
    let (sender, answers) = channel();
    let ear = Arc::new(Ear(Mutex::default(), Mutex::new(sender)));
    let source = vehicle_tesla::open(&account, Arc::clone(&ear) as _).unwrap();
    let car = CarKey::Vin(Vin::parse("5YJ30123456789ABC").unwrap());
    source.ask(vehicle::Ask { id: 1, car, request });
    let outcome = answers.recv_timeout(Duration::from_secs(60)).unwrap().outcome;
    let reports = ear.0.lock().unwrap().clone();
    (outcome, reports)
}

fn merged(reports: &[vehicle::Report]) -> Facts {
    let mut all = Facts::default();
    for report in reports {
        let facts = report.facts.clone();
        if facts.charging.is_some() {
            let (name, position, parked, wakefulness) = (all.name, all.position, all.parked, all.wakefulness);
            all = Facts { name, position, parked, wakefulness, ..facts };
        } else {
            all.name = facts.name.or(all.name);
            all.position = facts.position.or(all.position);
            all.parked = facts.parked.or(all.parked);
            all.wakefulness = facts.wakefulness.or(all.wakefulness);
        }
    }
    all
}

fn check_car(recording: &Recording, facts: &Facts) {
    let expected = recording.expected();
    let is = |key: &str, found: Option<f64>| recording.assert_number(key, found);
    is("soc_percent", facts.soc.map(|soc| soc.get()));
    is("limit_percent", facts.limit.map(|limit| limit.get()));
    is("offered_amps", facts.amps_offered.map(|amps| amps.get()));
    is("requested_amps", facts.amps_requested.map(|amps| amps.get()));
    is("max_requestable_amps", facts.amps_possible.map(|amps| amps.get()));
    is("actual_amps", facts.amps.map(|amps| amps.get()));
    is("phases", facts.phases.map(|phases| f64::from(phases.count())));
    is("volts", facts.volts.map(|volts| volts.get()));
    is("minutes_to_limit", facts.to_limit.map(|time| time.as_secs_f64() / 60.0));
    is("latitude", facts.position.map(|position| position.latitude));
    is("longitude", facts.position.map(|position| position.longitude));
    let flag = |key: &str, found: Option<bool>| {
        if let Some(expected) = expected.get(key).and_then(Value::as_bool) {
            assert_eq!(found, Some(expected), "{}: {key}", recording.name());
        }
    };
    flag("plugged_in", facts.plugged);
    flag("charging", facts.charging.map(|state| state == ChargingState::Charging));
    flag("parked", facts.parked);
    if let Some(name) = expected.get("name").and_then(Value::as_str) {
        assert_eq!(facts.name.as_deref(), Some(name), "{}", recording.name());
    }
}

#[test]
fn recorded_answers_are_read_as_expected() {
    let (mut checked, mut all) = (0, 0);
    for recording in recordings::vendor("tesla") {
        all += 1;
        checked += 1;
        let expected = recording.expected();
        let done = (Outcome::Done, true);
        match recording.name() {
            "vehicles_list_one_online.json" => {
                let (outcome, reports) = read(&recording, 200, Request::List);
                assert_eq!((outcome, reports.len() == 1), done);
                let car = &expected["vehicles"][0];
                assert_eq!(reports[0].car.as_str(), car["vin"]);
                assert_eq!(reports[0].facts.name.as_deref(), car["name"].as_str());
                assert_eq!(reports[0].facts.wakefulness, Some(vehicle::Wakefulness::Awake));
            }
            "vehicle_data_charging_1phase_39a.json" | "vehicle_data_stopped_3phase_car.json" => {
                let (outcome, reports) = read(&recording, 200, Request::Read { with_position: true });
                assert_eq!((outcome, !reports.is_empty()), done);
                check_car(&recording, &merged(&reports));
                // Years old: shown, but nothing may be decided by it.
                for report in reports.iter().filter(|report| report.facts.soc.is_some()) {
                    assert_eq!(report.taken_at, None);
                }
                let fix = reports.iter().find_map(|report| report.facts.position);
                assert_eq!(fix.unwrap().fixed_at, None);
            }
            "ble_proxy_vehicle_data_charging.json" => {
                let body = recording.json();
                let told = vehicle_tesla::charge_state::parse(&body["response"]["response"]["charge_state"]);
                check_car(&recording, &told.facts);
                assert!(told.stamp.is_some());
            }
            "command_ok.json" => assert_eq!(read(&recording, 200, Request::Start).0, Outcome::Done),
            "command_already_standard.json" => {
                assert_eq!(read(&recording, 200, Request::Start).0, Outcome::AlreadySo);
            }
            "error_408_asleep.json" => {
                let (outcome, reports) = read(&recording, 408, Request::Start);
                assert_eq!(outcome, Outcome::Asleep);
                assert_eq!(reports[0].facts.wakefulness, Some(vehicle::Wakefulness::Asleep));
            }
            "wake_up_online.json" => assert_eq!(read(&recording, 200, Request::Wake).0, Outcome::Done),
            _ => checked -= 1,
        }
    }
    assert!(all == 0 || checked == 8, "{checked} of {all}");
}
