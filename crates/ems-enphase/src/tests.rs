//! The driver from end to end against gateways and a cloud on loopback.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use ems::units::{Amps, Percent, Watts};
use ems::{Ems, EmsErrorKind, EmsReading, Section, Shared, Stop};
use recordings::{Answer, Asked, Peer};
use serde_json::{Value, json};

use crate::DRIVER;
use crate::token::made;

const INFO_7: &str = "<envoy_info><device><sn>122200000001</sn><software>D8.2.4264</software><imeter>true</imeter></device>\
                      <web-tokens>true</web-tokens></envoy_info>";
const INFO_4: &str = "<envoy_info><device><sn>121700654321</sn><software>R4.10.35</software></device></envoy_info>";
/// Ends in the year 2100.
const FAR: i64 = 4_102_444_800;

fn section(values: &Value) -> Section {
    Section::new("sources.Enphase", values.as_object().unwrap().clone())
}

fn open(values: &Value) -> Box<dyn Ems> {
    open_with(values, &Shared::new())
}

fn open_with(values: &Value, shared: &Shared) -> Box<dyn Ems> {
    let mut section = section(values);
    let driver = (DRIVER.open)(&mut section, shared);
    driver.unwrap_or_else(|| panic!("{:?}", section.problems()))
}

fn read(driver: &mut Box<dyn Ems>) -> EmsReading {
    driver.read(&Stop::never()).unwrap()
}

fn bearer(asked: &Asked) -> &str {
    asked.header("authorization").and_then(|value| value.strip_prefix("Bearer ")).unwrap_or_default()
}

#[test]
fn old_firmware_asks_for_a_digest_and_has_no_production_json() {
    let peer = Peer::start(|asked| match asked.path() {
        "/info" => Answer::json(INFO_4),
        "/production.json" => Answer::html("<!DOCTYPE html><html>no such page</html>"),
        "/api/v1/production" if asked.header("authorization").is_none() => Answer::status(401)
            .header("WWW-Authenticate: Digest realm=\"enphaseenergy.com\", nonce=\"abc\", qop=\"auth\""),
        "/api/v1/production" => Answer::json(r#"{"wattHoursToday": 9, "wattsNow": 1271}"#),
        _ => Answer::status(404),
    });
    let mut driver = open(&json!({"serverIP": "127.0.0.1", "serverPort": peer.port().to_string()}));
    assert_eq!(read(&mut driver).generation.map(Watts::get), Some(1271.0));
    let asked = peer.asked();
    let digest = asked.last().unwrap().header("authorization").unwrap();
    assert!(digest.starts_with("Digest ") && digest.contains("username=\"envoy\""), "{digest}");
    // The page that worked is remembered.
    let before = peer.count("/production.json");
    assert_eq!(read(&mut driver).generation.map(Watts::get), Some(1271.0));
    assert_eq!(peer.count("/production.json"), before);
}

fn new_firmware(asked: &Asked, good: &str) -> Answer {
    if asked.path() == "/info" {
        return Answer::json(INFO_7);
    }
    if bearer(asked) != good {
        return Answer { status: 401, ..Answer::html("<html><h1>401 Authorization Required</h1></html>") };
    }
    match asked.path() {
        "/ivp/meters" => Answer::json(
            r#"[{"eid": 1, "state": "enabled", "measurementType": "production", "phaseCount": 3},
                {"eid": 2, "state": "enabled", "measurementType": "net-consumption", "phaseCount": 3}]"#,
        ),
        "/ivp/meters/readings" => Answer::json(
            r#"[{"eid": 1, "timestamp": 1700000000, "activePower": 4000.0},
                {"eid": 2, "timestamp": 1700000000, "activePower": -900.0, "channels": [
                    {"activePower": -1500.0, "current": 6.5, "voltage": 231.0},
                    {"activePower": 400.0, "current": 1.8, "voltage": 232.0},
                    {"activePower": 200.0, "current": 0.9, "voltage": 233.0}]}]"#,
        ),
        _ => Answer::status(404),
    }
}

#[test]
fn a_pasted_token_reads_the_meters_by_phase() {
    let token = made(&json!({"exp": FAR, "aud": "122200000001"}));
    let good = token.clone();
    let peer = Peer::start(move |asked| new_firmware(asked, &good));
    let mut driver = open(&json!({"serverIP": "127.0.0.1", "serverPort": peer.port(), "token": token}));
    let reading = read(&mut driver);
    assert_eq!(reading.generation.map(Watts::get), Some(4000.0));
    assert_eq!(reading.grid.map(Watts::get), Some(-900.0));
    assert_eq!(reading.consumption.map(Watts::get), Some(3100.0));
    assert_eq!(reading.grid_current.map(|amps| amps.map(Amps::get)).into_array(), [Some(-6.5), Some(1.8), Some(0.9)]);
    assert_eq!(reading.attributes["voltage"], ems::Attribute::Number(232.0));
    // The gateway's clock stands still: the reading keeps its age.
    std::thread::yield_now();
    assert_eq!(read(&mut driver).taken_at, reading.taken_at);
}

fn cloud(asked: &Asked, token: &str) -> Answer {
    match asked.path() {
        "/login/login.json" if asked.body.contains("%40") && asked.body.ends_with("=right") => {
            Answer::json(r#"{"message": "success", "session_id": "s1", "is_consumer": true}"#)
        }
        "/login/login.json" => Answer::json(r#"{"message": "Invalid credentials"}"#),
        "/tokens" if asked.body.contains("122200000001") && asked.body.contains("s1") => {
            Answer { headers: vec!["Content-Type: text/plain".into()], ..Answer::json(token) }
        }
        _ => Answer::status(404),
    }
}

#[test]
fn a_token_is_fetched_kept_and_renewed_once_when_refused() {
    let (first, second) = (made(&json!({"exp": FAR, "n": 1})), made(&json!({"exp": FAR, "n": 2})));
    let good = std::sync::Arc::new(Mutex::new(first.clone()));
    let accepted = std::sync::Arc::clone(&good);
    let gateway = Peer::start(move |asked| new_firmware(asked, &accepted.lock().unwrap().clone()));
    let fetched = AtomicUsize::new(0);
    let tokens = [first, second.clone()];
    let vendor = Peer::start(move |asked| {
        let count = fetched.load(Ordering::SeqCst);
        if asked.path() == "/tokens" {
            fetched.store(count + 1, Ordering::SeqCst);
        }
        cloud(asked, &tokens[count.min(1)])
    });
    let values = json!({"serverIP": "127.0.0.1", "serverPort": gateway.port(), "username": "me@example.org",
                        "password": "right", "baseUrl": vendor.url()});
    let shared = Shared::new();
    let mut driver = open_with(&values, &shared);
    assert_eq!(read(&mut driver).generation.map(Watts::get), Some(4000.0));
    assert_eq!(vendor.count("/tokens"), 1);

    // A restart uses what was kept.
    let mut driver = open_with(&values, &shared);
    assert_eq!(read(&mut driver).generation.map(Watts::get), Some(4000.0));
    assert_eq!(vendor.count("/tokens"), 1);

    // After a firmware update the gateway refuses a token that has not ended.
    *good.lock().unwrap() = second;
    assert_eq!(read(&mut driver).generation.map(Watts::get), Some(4000.0));
    assert_eq!(vendor.count("/tokens"), 2);

    // A gateway that refuses whatever it is given costs no more logins than the pauses allow.
    *good.lock().unwrap() = "none".into();
    for _ in 0..5 {
        let error = driver.read(&Stop::never()).unwrap_err();
        assert_eq!(error.kind(), EmsErrorKind::Denied);
    }
    assert_eq!(vendor.count("/tokens"), 2);
}

#[test]
fn a_wrong_password_is_said_and_not_tried_again_at_once() {
    let gateway = Peer::start(|asked| new_firmware(asked, "none"));
    let vendor = Peer::start(|asked| cloud(asked, ""));
    let mut driver = open(&json!({"serverIP": "127.0.0.1", "serverPort": gateway.port(), "username": "me@example.org",
                                  "password": "wrong", "baseUrl": vendor.url()}));
    for _ in 0..3 {
        let error = driver.read(&Stop::never()).unwrap_err();
        assert_eq!(error.kind(), EmsErrorKind::Denied);
        assert!(error.to_string().contains("`password`") && !error.to_string().contains("wrong"), "{error}");
        assert!(error.retry_after() > Some(Duration::from_secs(30)));
    }
    assert_eq!(vendor.count("/login/login.json"), 1);
}

#[test]
fn without_token_and_account_the_user_is_told_what_to_set() {
    let peer = Peer::start(|asked| new_firmware(asked, "none"));
    let mut driver = open(&json!({"serverIP": "127.0.0.1", "serverPort": peer.port()}));
    let error = driver.read(&Stop::never()).unwrap_err();
    assert_eq!(error.kind(), EmsErrorKind::Misconfigured);
    assert!(error.to_string().contains("`token`") && error.to_string().contains("`username`"), "{error}");

    let over = made(&json!({"exp": 1_600_000_000}));
    let mut driver = open(&json!({"serverIP": "127.0.0.1", "serverPort": peer.port(), "token": over}));
    assert!(driver.read(&Stop::never()).unwrap_err().to_string().contains("has expired"));

    let foreign = made(&json!({"exp": FAR, "aud": "122299999999"}));
    let mut driver = open(&json!({"serverIP": "127.0.0.1", "serverPort": peer.port(), "token": foreign}));
    assert!(driver.read(&Stop::never()).unwrap_err().to_string().contains("for gateway 122299999999"));
}

#[test]
fn a_sleeping_live_stream_is_woken_and_a_fresh_one_is_used() {
    let is_awake = std::sync::Arc::new(Mutex::new(false));
    let switch = std::sync::Arc::clone(&is_awake);
    let peer = Peer::start(move |asked| match asked.path() {
        "/ivp/livedata/stream" => {
            *switch.lock().unwrap() = asked.body.contains("\"enable\":1");
            Answer::json("{}")
        }
        "/ivp/livedata/status" => {
            let (stream, update) =
                if *switch.lock().unwrap() { ("enabled", 1_700_000_000) } else { ("disabled", 1_600_000_000) };
            Answer::json(
                json!({"connection": {"sc_stream": stream}, "meters": {"last_update": update, "soc": 67,
                       "storage": {"agg_p_mw": -1_192_000}, "load": {"agg_p_mw": 1_908_000}}})
                .to_string(),
            )
        }
        _ => new_firmware(asked, "pasted"),
    });
    let mut driver = open(&json!({"serverIP": "127.0.0.1", "serverPort": peer.port(), "token": "pasted"}));
    let asleep = read(&mut driver);
    assert_eq!((asleep.battery, asleep.battery_soc), (None, None));
    assert_eq!(asleep.attributes["consumptionIncludesBattery"], ems::Attribute::Flag(true));
    let awake = read(&mut driver);
    assert_eq!(awake.battery.map(Watts::get), Some(-1192.0));
    assert_eq!(awake.battery_soc.map(Percent::get), Some(67.0));
    // Charging of the battery is not consumption of the house.
    assert_eq!(awake.consumption.map(Watts::get), Some(1908.0));
}

#[test]
fn trouble_of_every_kind_is_an_error_never_zero() {
    let cases: Vec<(fn() -> Answer, EmsErrorKind)> = vec![
        (|| Answer::status(503), EmsErrorKind::Retry),
        (|| Answer::status(429).header("Retry-After: 77"), EmsErrorKind::RateLimited),
        (|| Answer::html("<html>update running</html>"), EmsErrorKind::Garbled),
        (|| Answer::json("{\"production\": [{\"type\""), EmsErrorKind::Retry),
        (|| Answer::json("{\"production\": [{\"type\": \"inverters\", \"wNow\": 1e308}]}"), EmsErrorKind::Garbled),
        (|| Answer::json("{}"), EmsErrorKind::Garbled),
    ];
    for (answer, kind) in cases {
        let peer = Peer::start(move |asked| if asked.path() == "/info" { Answer::json(INFO_4) } else { answer() });
        let mut driver = open(&json!({"serverIP": "127.0.0.1", "serverPort": peer.port()}));
        let error = driver.read(&Stop::never()).unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
    }
}

#[test]
fn the_cloud_of_today_renews_its_access_and_the_old_one_is_refused() {
    let vendor = Peer::start(|asked| match asked.path() {
        "/oauth/token" if asked.target.contains("refresh_token=r1") => {
            Answer::json(r#"{"access_token": "a1", "refresh_token": "r2", "expires_in": 10}"#)
        }
        "/oauth/token" if asked.target.contains("refresh_token=r2") => {
            Answer::json(r#"{"access_token": "a2", "refresh_token": "r3", "expires_in": 86400}"#)
        }
        "/api/v4/systems/77/latest_telemetry" if asked.header("key") == Some("k") && bearer(asked).starts_with('a') => {
            Answer::json(
                r#"{"devices": {"meters": [{"name": "production", "power": 2500, "last_report_at": 1700000000}]}}"#,
            )
        }
        "/api/v2/systems/77/summary" if asked.target.ends_with("?key=k&user_id=u") => {
            Answer::json(r#"{"current_power": 12}"#)
        }
        _ => Answer::status(404),
    });
    let values = json!({"apiKey": "k", "systemID": 77, "clientID": "i", "clientSecret": "s", "refreshToken": "r1",
                        "baseUrl": vendor.url()});
    let shared = Shared::new();
    assert_eq!(read(&mut open_with(&values, &shared)).generation.map(Watts::get), Some(2500.0));
    // After a restart the refresh token that the cloud gave last is used.
    assert_eq!(read(&mut open_with(&values, &shared)).generation.map(Watts::get), Some(2500.0));

    let old = json!({"apiKey": "k", "systemID": "77", "userID": "u", "baseUrl": vendor.url()});
    assert_eq!(read(&mut open(&old)).generation.map(Watts::get), Some(12.0));
    let mut section = section(&json!({"apiKey": "k", "systemID": "77", "userID": "u"}));
    assert!((DRIVER.open)(&mut section, &Shared::new()).is_none());
    assert!(section.problems()[0].message.contains("2023"));
}

#[test]
fn recorded_pages_that_are_no_json_lead_on_or_to_a_login() {
    let find = |name: &str| recordings::vendor("enphase").into_iter().find(|recording| recording.name() == name);
    if let (Some(page), Some(v1), Some(info)) =
        (find("legacy_production.html"), find("legacy_api_v1_production.json"), find("legacy_info.xml"))
    {
        let (page, fallback, info) = (page.bytes(), v1.clone(), info.bytes());
        let peer = Peer::start(move |asked| match asked.path() {
            "/info" => Answer::json(info.clone()),
            "/production.json" => Answer::html(page.clone()),
            "/api/v1/production" => Answer::json(fallback.bytes()),
            _ => Answer::status(404),
        });
        let reading = read(&mut open(&json!({"serverIP": "127.0.0.1", "serverPort": peer.port()})));
        v1.assert_number("generation_w", reading.generation.map(Watts::get));
    }
    if let Some(refusal) = find("unauthorised.html") {
        let page = refusal.bytes();
        let peer = Peer::start(move |asked| match asked.path() {
            "/info" => Answer::json(INFO_7),
            _ => Answer { status: 401, ..Answer::html(page.clone()) },
        });
        let mut driver = open(&json!({"serverIP": "127.0.0.1", "serverPort": peer.port(), "token": "old"}));
        assert_eq!(driver.read(&Stop::never()).unwrap_err().kind(), EmsErrorKind::Denied);
    }
}
