//! Against a small Home Assistant on loopback: WebSocket and REST on one port, as it has them.

#![allow(clippy::unwrap_used, reason = "helpers of tests count as tests")]

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use http_client::Tls;
use serde_json::{Value, json};
use tungstenite::{Message, WebSocket};
use units::{Amps, Percent};
use vehicle::{
    Answer, Ask, CarKey, Outcome, Refusal, Report, Request, Spent, Trouble, VehicleListener, VehicleSource,
    VehicleState, Vin, Wakefulness,
};
use vehicle_home_assistant::{NamedCar, Role, Settings, open};

const TOKEN: &str = "a.long-lived.token-of-some-length";
const PATIENCE: Duration = Duration::from_secs(30);
const VIN: &str = "LRW3F7EK0NC000001";

/// The house: entities with their states, and what it is asked for.
struct House {
    port: u16,
    core: Arc<Mutex<Core>>,
    calls: Receiver<Value>,
}

struct Core {
    states: BTreeMap<String, Value>,
    /// Pushes to the one client that has subscribed.
    push: Option<Sender<Value>>,
    has_socket: bool,
    is_welcome: bool,
    /// Error that calls are answered with.
    error: Option<Value>,
    tell: Sender<Value>,
}

impl House {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (tell, calls) = channel();
        let core = Core { states: BTreeMap::new(), push: None, has_socket: true, is_welcome: true, error: None, tell };
        let core = Arc::new(Mutex::new(core));
        let shared = Arc::clone(&core);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let core = Arc::clone(&shared);
                std::thread::spawn(move || serve(stream, &core));
            }
        });
        let house = House { port, core, calls };
        for (id, state, attributes) in [
            ("sensor.nikola_battery_level", "55", json!({"unit_of_measurement": "%"})),
            ("sensor.nikola_charging", "stopped", json!({})),
            ("sensor.nikola_charger_power", "0", json!({"unit_of_measurement": "kW"})),
            ("binary_sensor.nikola_status", "on", json!({})),
            ("switch.nikola_charge", "off", json!({})),
            ("number.nikola_charge_current", "16", json!({"min": 0, "max": 13, "step": 1, "unit_of_measurement": "A"})),
            ("number.nikola_charge_limit", "80", json!({"min": 50, "max": 100, "unit_of_measurement": "%"})),
            ("device_tracker.nikola_location", "home", json!({"latitude": 52.5, "longitude": 13.4})),
            ("button.nikola_wake", "unknown", json!({})),
            ("sensor.zoe_soc", "unavailable", json!({"unit_of_measurement": "%"})),
            ("input_boolean.zoe", "off", json!({})),
        ] {
            house.set(id, state, attributes);
        }
        house
    }

    fn set(&self, id: &str, state: &str, attributes: Value) {
        let state = json!({"entity_id": id, "state": state, "attributes": attributes,
            "last_changed": "2025-05-19T13:47:35+00:00", "last_updated": "2025-05-19T13:47:35+00:00"});
        self.core.lock().unwrap().states.insert(id.to_owned(), state);
    }

    /// Changes a state, and tells whoever has subscribed.
    fn change(&self, id: &str, state: &str) {
        let mut core = self.core.lock().unwrap();
        core.states.get_mut(id).unwrap()["state"] = json!(state);
        if let Some(push) = &core.push {
            let _ = push.send(json!({"c": {id: {"+": {"s": state}}}}));
        }
    }

    fn open(&self, cars: Vec<NamedCar>) -> (Arc<dyn VehicleSource>, Bench) {
        let (sender, told) = channel();
        let settings = Settings {
            url: format!("http://127.0.0.1:{}", self.port),
            token: TOKEN.into(),
            tls: Tls::Verified,
            discovers: true,
            cars,
        };
        (open(settings, Arc::new(Ear(sender))).unwrap(), Bench { told, cars: BTreeMap::new(), reports: Vec::new() })
    }

    fn call(&self) -> (String, Value) {
        let call = self.calls.recv_timeout(PATIENCE).expect("a call");
        (
            format!("{}.{}", call["domain"].as_str().unwrap(), call["service"].as_str().unwrap()),
            call["service_data"].clone(),
        )
    }
}

fn serve(stream: TcpStream, core: &Mutex<Core>) {
    let mut head = [0_u8; 64];
    let Ok(length) = stream.peek(&mut head) else { return };
    let is_socket = String::from_utf8_lossy(&head[..length]).starts_with("GET /api/websocket");
    if is_socket && core.lock().unwrap().has_socket {
        let _ = talk(stream, core);
    } else {
        let _ = rest(stream, core);
    }
}

fn rest(mut stream: TcpStream, core: &Mutex<Core>) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    loop {
        let (mut line, mut length, mut is_welcome) = (String::new(), 0, false);
        if reader.read_line(&mut line)? == 0 {
            return Ok(());
        }
        let target: Vec<String> = line.split(' ').map(str::to_owned).collect();
        loop {
            let mut header = String::new();
            reader.read_line(&mut header)?;
            if header.trim().is_empty() {
                break;
            }
            let lower = header.to_ascii_lowercase();
            if let Some(value) = lower.strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
            is_welcome |= header.trim().ends_with(&format!("Bearer {TOKEN}"));
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body)?;
        let core = core.lock().unwrap();
        let (status, answer) = match target[1].strip_prefix("/api/states/") {
            None if target[1] == "/api/websocket" => ("404 Not Found", json!({})),
            _ if !is_welcome || !core.is_welcome => ("401 Unauthorized", json!({"message": "no"})),
            Some(id) => match core.states.get(id) {
                Some(state) => ("200 OK", state.clone()),
                None => ("404 Not Found", json!({"message": "Entity not found."})),
            },
            None => match target[1].strip_prefix("/api/services/").and_then(|rest| rest.split_once('/')) {
                Some((domain, service)) => {
                    let data: Value = serde_json::from_slice(&body).unwrap();
                    let _ = core.tell.send(json!({"domain": domain, "service": service, "service_data": data}));
                    ("200 OK", json!([]))
                }
                None => ("404 Not Found", json!({})),
            },
        };
        let text = answer.to_string();
        write!(
            stream,
            "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{text}",
            text.len()
        )?;
    }
}

fn send(socket: &mut WebSocket<TcpStream>, message: &Value) -> Result<(), tungstenite::Error> {
    socket.send(Message::text(message.to_string()))
}

fn talk(stream: TcpStream, core: &Mutex<Core>) -> Result<(), tungstenite::Error> {
    let mut socket = tungstenite::accept(stream).map_err(|_| tungstenite::Error::ConnectionClosed)?;
    send(&mut socket, &json!({"type": "auth_required", "ha_version": "2025.11.0"}))?;
    let auth: Value = serde_json::from_str(socket.read()?.to_text()?).unwrap();
    if auth["access_token"] != TOKEN || !core.lock().unwrap().is_welcome {
        return send(&mut socket, &json!({"type": "auth_invalid", "message": "Invalid access token"}));
    }
    send(&mut socket, &json!({"type": "auth_ok"}))?;
    socket.get_mut().set_read_timeout(Some(Duration::from_millis(20))).unwrap();
    let (push, to_push) = channel();
    let mut subscription = 0;
    loop {
        for event in to_push.try_iter() {
            send(&mut socket, &json!({"id": subscription, "type": "event", "event": event}))?;
        }
        let asked: Value = match socket.read() {
            Ok(message) if message.is_text() => serde_json::from_str(message.to_text()?).unwrap(),
            Ok(_) => continue,
            Err(tungstenite::Error::Io(error)) if error.kind() == std::io::ErrorKind::WouldBlock => continue,
            Err(error) => return Err(error),
        };
        let mut core = core.lock().unwrap();
        let mut result = json!({"id": asked["id"], "type": "result", "success": true, "result": null});
        let mut first = None;
        match asked["type"].as_str().unwrap() {
            "config/device_registry/list" => {
                result["result"] = json!([{"id": "d1", "identifiers": [["tesla_fleet", VIN]], "name": "Nikola"}]);
            }
            "config/entity_registry/list" => {
                let all = core.states.keys().map(|id| match id.contains("nikola") {
                    true => json!({"entity_id": id, "device_id": "d1", "platform": "tesla_fleet", "disabled_by": null}),
                    false => json!({"entity_id": id, "device_id": null, "platform": "template", "disabled_by": null}),
                });
                result["result"] = all.collect();
            }
            "subscribe_entities" => {
                subscription = asked["id"].as_u64().unwrap();
                core.push = Some(push.clone());
                let wanted = asked["entity_ids"].as_array().unwrap();
                let states = core.states.iter().filter(|(id, _)| wanted.contains(&json!(id)));
                let all: serde_json::Map<String, Value> = states
                    .map(|(id, state)| {
                        (id.clone(), json!({"s": state["state"], "a": state["attributes"], "lc": 1_747_662_455.0}))
                    })
                    .collect();
                first = Some(json!({"id": asked["id"], "type": "event", "event": {"a": all}}));
            }
            "call_service" => {
                if let Some(error) = &core.error {
                    result = json!({"id": asked["id"], "type": "result", "success": false, "error": error});
                }
                let _ = core.tell.send(asked.clone());
            }
            "ping" => result = json!({"id": asked["id"], "type": "pong"}),
            _ => {}
        }
        drop(core);
        send(&mut socket, &result)?;
        if let Some(first) = first {
            send(&mut socket, &first)?;
        }
    }
}

enum Told {
    Report(Report),
    Answer(Answer),
    Trouble(Option<Trouble>),
}

struct Ear(Sender<Told>);

impl VehicleListener for Ear {
    fn report(&self, report: Report) {
        let _ = self.0.send(Told::Report(report));
    }
    fn answered(&self, answer: Answer) {
        let _ = self.0.send(Told::Answer(answer));
    }
    fn trouble(&self, _: &str, trouble: Option<Trouble>) {
        let _ = self.0.send(Told::Trouble(trouble));
    }
}

/// What was told.
struct Bench {
    told: Receiver<Told>,
    cars: BTreeMap<CarKey, VehicleState>,
    reports: Vec<Report>,
}

impl Bench {
    fn next(&mut self) -> Told {
        let told = self.told.recv_timeout(PATIENCE).expect("news in time");
        if let Told::Report(report) = &told {
            let key = report.car.clone();
            self.cars.entry(key.clone()).or_insert_with(|| VehicleState::new(key)).take(report);
            self.reports.push(report.clone());
        }
        told
    }

    fn until(&mut self, car: &CarKey, is_so: impl Fn(&VehicleState) -> bool) {
        let end = Instant::now() + PATIENCE;
        while !self.cars.get(car).is_some_and(&is_so) {
            assert!(Instant::now() < end, "{:?}", self.cars);
            match self.next() {
                Told::Answer(answer) => panic!("{answer:?}"),
                Told::Trouble(Some(trouble)) => panic!("{trouble:?}"),
                _ => {}
            }
        }
    }

    fn answer(&mut self) -> Answer {
        loop {
            if let Told::Answer(answer) = self.next() {
                return answer;
            }
        }
    }
}

fn nikola() -> CarKey {
    CarKey::Vin(Vin::parse(VIN).unwrap())
}

fn zoe() -> NamedCar {
    let entities = [(Role::Soc, "sensor.zoe_soc"), (Role::Charge, "input_boolean.zoe")];
    NamedCar { vin: None, name: Some("Zoe".into()), entities: entities.map(|(role, id)| (role, id.to_owned())).into() }
}

const COMMAND: Spent = Spent { commands: 1, data: 0, wakes: 0 };

#[test]
fn cars_are_found_followed_and_commanded() {
    let house = House::start();
    let (source, mut bench) = house.open(vec![zoe()]);
    let car = nikola();
    bench.until(&car, |state| state.soc.is_some() && state.says_home.is_some() && state.amps_possible.is_some());
    let state = &bench.cars[&car];
    assert_eq!((state.shown_name(), state.soc.as_ref().unwrap().value.get()), ("Nikola", 55.0));
    assert_eq!((state.amps_possible.as_ref().unwrap().value.get(), state.is_charging()), (13.0, false));
    assert!(state.soc.as_ref().unwrap().age(Instant::now()).unwrap() > Duration::from_secs(3600), "as old as it is");
    assert!(!bench.cars.contains_key(&CarKey::Name("Zoe".into())), "unavailable is no value");

    house.change("sensor.nikola_charging", "charging");
    house.change("sensor.nikola_charger_power", "11");
    house.change("sensor.zoe_soc", "61");
    bench.until(&car, |state| state.power().is_some_and(|watts| watts.get() == 11_000.0));
    bench.until(&CarKey::Name("Zoe".into()), |state| state.soc.as_ref().is_some_and(|soc| soc.value.get() == 61.0));

    let powers = source.abilities(&car);
    assert!(powers.is_billed && powers.commands && powers.wakes && powers.reads_wakefulness);
    assert!(!source.abilities(&CarKey::Name("Zoe".into())).is_billed);

    let mut number = 0;
    let mut ask = |car: &CarKey, request| {
        number += 1;
        source.ask(Ask { id: number, car: car.clone(), request });
        number
    };
    for (request, service, entity, value) in [
        (Request::Start, "switch.turn_on", "switch.nikola_charge", None),
        (Request::SetAmps(Amps::from_whole(16)), "number.set_value", "number.nikola_charge_current", Some(13.0)),
        (Request::SetLimit(Percent::new(70.0).unwrap()), "number.set_value", "number.nikola_charge_limit", Some(70.0)),
        (Request::Stop, "switch.turn_off", "switch.nikola_charge", None),
    ] {
        let id = ask(&car, request);
        let (called, data) = house.call();
        assert_eq!((called.as_str(), data["entity_id"].as_str().unwrap()), (service, entity));
        assert_eq!(data.get("value").and_then(Value::as_f64), value);
        let answer = bench.answer();
        assert_eq!((answer.id, answer.outcome, answer.spent), (id, Outcome::Done, COMMAND));
    }
    ask(&CarKey::Name("Zoe".into()), Request::Start);
    assert_eq!(house.call(), ("input_boolean.turn_on".to_owned(), json!({"entity_id": "input_boolean.zoe"})));
    assert!(bench.answer().spent.is_nothing());
    ask(&CarKey::Name("nobody".into()), Request::Start);
    assert_eq!(bench.answer().outcome, Outcome::Refused(Refusal::Other));

    house.core.lock().unwrap().error =
        Some(json!({"code": "home_assistant_error", "message": "Command failed: complete"}));
    ask(&car, Request::Start);
    let answer = bench.answer();
    assert_eq!((answer.outcome, answer.spent), (Outcome::Refused(Refusal::Complete), COMMAND));
    house.call();
    house.core.lock().unwrap().error = None;

    // A sleeping car is left alone; waking it waits until it is awake.
    house.change("binary_sensor.nikola_status", "off");
    bench.until(&car, |state| state.wakefulness.as_ref().is_some_and(|seen| seen.value == Wakefulness::Asleep));
    ask(&car, Request::Stop);
    let answer = bench.answer();
    assert_eq!((answer.outcome, answer.spent), (Outcome::Asleep, Spent::NOTHING));
    ask(&car, Request::Wake);
    assert_eq!(house.call().0, "button.press");
    house.change("binary_sensor.nikola_status", "on");
    let answer = bench.answer();
    assert_eq!((answer.outcome, answer.spent), (Outcome::Done, Spent { wakes: 1, ..Spent::NOTHING }));

    ask(&car, Request::Read { with_position: true });
    assert_eq!(house.call().0, "homeassistant.update_entity");
    let answer = bench.answer();
    assert_eq!((answer.outcome, answer.spent), (Outcome::Done, Spent { data: 1, ..Spent::NOTHING }));

    drop(source);
    // The thread ends, and its listener with it.
    while bench.told.recv_timeout(PATIENCE).is_ok() {}
}

#[test]
fn without_a_websocket_named_cars_go_over_rest() {
    let house = House::start();
    house.core.lock().unwrap().has_socket = false;
    house.set("sensor.zoe_soc", "42", json!({"unit_of_measurement": "%"}));
    let (source, mut bench) = house.open(vec![zoe()]);
    let car = CarKey::Name("Zoe".into());
    bench.until(&car, |state| state.soc.as_ref().is_some_and(|soc| soc.value.get() == 42.0));
    source.ask(Ask { id: 1, car, request: Request::Start });
    assert_eq!(house.call(), ("input_boolean.turn_on".to_owned(), json!({"entity_id": "input_boolean.zoe"})));
    assert_eq!(bench.answer().outcome, Outcome::Done);
}

#[test]
fn a_refused_token_is_told_without_showing_it() {
    let house = House::start();
    house.core.lock().unwrap().is_welcome = false;
    let (source, mut bench) = house.open(vec![zoe()]);
    let trouble = loop {
        if let Told::Trouble(Some(trouble)) = bench.next() {
            break trouble;
        }
    };
    assert!(trouble.code == "sign_in" && trouble.needs_person && trouble.text.contains("longLivedToken"));
    assert!(!trouble.text.contains(TOKEN));
    source.ask(Ask { id: 9, car: nikola(), request: Request::Stop });
    let answer = bench.answer();
    assert!(answer.id == 9 && matches!(answer.outcome, Outcome::Barred { .. }), "{answer:?}");
}

#[test]
fn settings_that_cannot_be_used_name_their_key() {
    let error = |change: &dyn Fn(&mut Settings)| {
        let (sender, _told) = channel();
        let mut settings = Settings {
            url: "http://127.0.0.1:1".into(),
            token: TOKEN.into(),
            tls: Tls::Verified,
            discovers: true,
            cars: vec![zoe()],
        };
        change(&mut settings);
        assert!(!format!("{settings:?}").contains(TOKEN));
        let Err(error) = open(settings, Arc::new(Ear(sender))) else { panic!("opened") };
        error.to_string()
    };
    assert!(error(&|settings| settings.token = "short".into()).starts_with("vehicle.HomeAssistant.longLivedToken"));
    assert!(error(&|settings| settings.url.clear()).starts_with("vehicle.HomeAssistant.url"));
    assert!(error(&|settings| settings.cars[0].name = None).starts_with("vehicle.HomeAssistant.cars[0] "));
    let wrong = |role, id: &str| {
        let id = id.to_owned();
        error(&move |settings| {
            settings.cars[0].entities.insert(role, id.clone());
        })
    };
    assert!(
        wrong(Role::Amps, "sensor.amps").contains("cars[0].amps is `sensor.amps`; it must be one of the kinds number")
    );
    assert!(wrong(Role::Soc, "My car").contains("cars[0].soc"));
}
