//! The driver against a small Home Assistant on loopback: REST on one side, WebSocket on the other.

use std::net::TcpListener;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use ems::{Ems, EmsError, EmsErrorKind, EmsReading, Pace, Section, Shared, Stop};
use recordings::{Answer, Peer};
use serde_json::{Value, json};
use tungstenite::{Message, WebSocket};

const TOKEN: &str = "a.long-lived.token";
const PATIENCE: Duration = Duration::from_secs(30);

fn open(port: u16, more: Value) -> Box<dyn Ems> {
    let mut options = json!({
        "serverIP": "127.0.0.1", "serverPort": port.to_string(), "apiKey": TOKEN,
        "hassEntityConsumption": "sensor.house_power", "hassEntityGeneration": "sensor.pv_power",
    });
    for (key, value) in more.as_object().into_iter().flatten() {
        options[key] = value.clone();
    }
    let mut section = Section::new("sources.HASS", options.as_object().cloned().unwrap_or_default());
    let driver = (ems_hass::DRIVER.open)(&mut section, &Shared::new());
    driver.unwrap_or_else(|| panic!("{:?}", section.problems()))
}

fn watts(result: Result<EmsReading, EmsError>) -> [Option<f64>; 2] {
    let reading = result.expect("a reading");
    [reading.consumption, reading.generation].map(|watts| watts.map(|watts| watts.get()))
}

fn state(state: &str, unit: &str) -> Answer {
    Answer::json(json!({"state": state, "attributes": {"unit_of_measurement": unit}}).to_string())
}

fn failure(answer: Answer) -> EmsError {
    let peer = Peer::start(move |_| answer.clone());
    open(peer.port(), json!({"push": false})).read(&Stop::never()).expect_err("a failure")
}

#[test]
fn entities_are_polled() {
    let peer = Peer::start(|asked| match (asked.path(), asked.header("authorization")) {
        (_, token) if token != Some(&format!("Bearer {TOKEN}")) => Answer::status(401),
        ("/api/states/sensor.house_power", _) => state("1234.5", "W"),
        ("/api/states/sensor.pv_power", _) => state("unavailable", "W"),
        _ => Answer::status(500),
    });
    let mut driver = open(peer.port(), json!({"push": false}));
    assert_eq!(watts(driver.read(&Stop::never())), [Some(1234.5), None]);
    assert_eq!(driver.pace(), Pace::Every(Duration::from_secs(10)));
}

#[test]
fn errors_say_what_to_do() {
    let missing = failure(Answer { status: 404, ..Answer::json(r#"{"message": "Entity not found."}"#) });
    assert_eq!(missing.kind(), EmsErrorKind::Misconfigured);
    assert!(missing.to_string().contains("hassEntityConsumption"), "{missing}");
    let denied = failure(Answer { status: 401, ..Answer::html("401: Unauthorized") });
    assert_eq!(denied.kind(), EmsErrorKind::Denied);
    assert!(denied.to_string().contains("sources.HASS.apiKey") && !denied.to_string().contains(TOKEN), "{denied}");
    assert_eq!(failure(Answer::status(502)).kind(), EmsErrorKind::Retry);
    assert_eq!(failure(Answer::html("<html>login</html>")).kind(), EmsErrorKind::Garbled);
    assert_eq!(failure(Answer::json("[]")).kind(), EmsErrorKind::Garbled);
    assert_eq!(failure(Answer::json(r#"{"state": "12"#)).kind(), EmsErrorKind::Retry, "cut short");
    assert_eq!(failure(state("17.5", "kWh")).kind(), EmsErrorKind::Misconfigured);
    for recording in recordings::vendor("home-assistant") {
        if recording.text_at(&["expected", "status"]) == "error" {
            let status = recording.entry["response"]["status"].as_u64().unwrap_or(200);
            let answer = Answer { status: u16::try_from(status).unwrap(), ..Answer::json(recording.bytes()) };
            assert_eq!(failure(answer).kind(), EmsErrorKind::Misconfigured, "{}", recording.name());
        }
    }
}

#[test]
fn refusals_are_spaced_ever_wider() {
    let peer = Peer::start(|_| Answer::status(401));
    let mut driver = open(peer.port(), json!({"push": false}));
    let mut wait = || driver.read(&Stop::never()).unwrap_err().retry_after().map(|wait| wait.as_secs());
    assert_eq!([wait(), wait(), wait()], [Some(300), Some(600), Some(1200)]);
}

/// What the other side of a WebSocket does once a client is there.
type Server = WebSocket<std::net::TcpStream>;

struct House {
    port: u16,
    /// Says what was sent by the client, login aside.
    told: Receiver<Value>,
    /// Texts to send; hangs up when dropped.
    say: Option<Sender<String>>,
    thread: Option<JoinHandle<()>>,
}

impl House {
    /// Serves one client, and answers its subscription with `first`.
    fn start(first: Value, is_welcome: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a connection");
        let port = listener.local_addr().expect("a connection").port();
        let (tell, told) = channel();
        let (say, to_say) = channel::<String>();
        let thread = std::thread::spawn(move || {
            let (stream, _) = listener.accept().expect("a connection");
            let mut socket = tungstenite::accept(stream).expect("a connection");
            send(&mut socket, &json!({"type": "auth_required", "ha_version": "2025.11.0"}));
            let auth = receive(&mut socket);
            assert_eq!((&auth["type"], &auth["access_token"]), (&json!("auth"), &json!(TOKEN)));
            if !is_welcome {
                send(&mut socket, &json!({"type": "auth_invalid", "message": "Invalid access token"}));
                return;
            }
            send(&mut socket, &json!({"type": "auth_ok", "ha_version": "2025.11.0"}));
            let subscription = receive(&mut socket);
            tell.send(subscription.clone()).expect("a connection");
            send(&mut socket, &json!({"id": subscription["id"], "type": "result", "success": true, "result": null}));
            send(&mut socket, &json!({"id": subscription["id"], "type": "event", "event": first}));
            for text in to_say {
                socket.send(Message::text(text)).expect("a connection");
            }
        });
        House { port, told, say: Some(say), thread: Some(thread) }
    }

    fn say(&self, text: impl ToString) {
        self.say.as_ref().expect("open").send(text.to_string()).expect("a connection");
    }
}

impl Drop for House {
    fn drop(&mut self) {
        self.say = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn send(socket: &mut Server, message: &Value) {
    socket.send(Message::text(message.to_string())).expect("sent");
}

fn receive(socket: &mut Server) -> Value {
    serde_json::from_str(socket.read().expect("a message").to_text().expect("a text")).expect("JSON")
}

fn first() -> Value {
    json!({"a": {
        "sensor.house_power": {"s": "845", "a": {"unit_of_measurement": "W"}},
        "sensor.pv_power": {"s": "1.5", "a": {"unit_of_measurement": "kW"}},
    }})
}

#[test]
fn changes_are_pushed() {
    let house = House::start(first(), true);
    let mut driver = open(house.port, json!({}));
    assert_eq!(watts(driver.read(&Stop::never())), [Some(845.0), Some(1500.0)]);
    assert_eq!(driver.pace(), Pace::Pushed);
    let told = house.told.recv_timeout(PATIENCE).unwrap();
    assert_eq!(told["entity_ids"], json!(["sensor.house_power", "sensor.pv_power"]));
    house.say(json!({"id": 1, "type": "event", "event": {"c": {"sensor.house_power": {"+": {"s": "900"}}}}}));
    assert_eq!(watts(driver.read(&Stop::never())), [Some(900.0), Some(1500.0)]);
    house.say(json!({"id": 1, "type": "event", "event": {"c": {"sensor.pv_power": {"+": {"s": "unavailable"}}}}}));
    assert_eq!(watts(driver.read(&Stop::never())), [Some(900.0), None]);
    // An end of the connection is told, and mends itself with the next attempt.
    drop(house);
    assert_eq!(driver.read(&Stop::never()).unwrap_err().kind(), EmsErrorKind::Retry);
}

#[test]
fn a_quiet_connection_stops_when_asked() {
    let house = House::start(first(), true);
    let mut driver = open(house.port, json!({}));
    driver.read(&Stop::never()).unwrap();
    let handle = ems::StopHandle::new();
    let stop = handle.stop();
    let reader = std::thread::spawn(move || driver.read(&stop).unwrap_err().kind());
    handle.end();
    assert_eq!(reader.join().unwrap(), EmsErrorKind::Stopped);
}

#[test]
fn an_invalid_token_is_not_tried_again_over_rest() {
    let house = House::start(first(), false);
    let error = open(house.port, json!({})).read(&Stop::never()).unwrap_err();
    assert_eq!((error.kind(), error.retry_after()), (EmsErrorKind::Denied, Some(Duration::from_secs(300))));
}

#[test]
fn an_entity_that_is_not_there_is_named() {
    let house = House::start(json!({"a": {"sensor.house_power": {"s": "845", "a": {}}}}), true);
    let error = open(house.port, json!({})).read(&Stop::never()).unwrap_err();
    assert_eq!(error.kind(), EmsErrorKind::Misconfigured);
    assert!(error.to_string().contains("sensor.pv_power"), "{error}");
}

#[test]
fn messages_that_are_no_json_end_the_connection() {
    let house = House::start(first(), true);
    let mut driver = open(house.port, json!({}));
    driver.read(&Stop::never()).unwrap();
    house.say("<html>");
    assert!(driver.read(&Stop::never()).unwrap_err().to_string().contains("JSON"));
}

#[test]
fn without_a_websocket_it_polls() {
    let peer = Peer::start(|asked| match asked.path() {
        "/api/websocket" => Answer::status(404),
        _ => state("350", "W"),
    });
    let mut driver = open(peer.port(), json!({}));
    let begun = Instant::now();
    assert_eq!(watts(driver.read(&Stop::never())), [Some(350.0), Some(350.0)]);
    assert_eq!(watts(driver.read(&Stop::never())), [Some(350.0), Some(350.0)]);
    assert!(begun.elapsed() < PATIENCE);
    assert_eq!(peer.count("/api/websocket"), 1, "not asked for one at every poll");
    assert_eq!(driver.pace(), Pace::Every(Duration::from_secs(10)));
}
