//! What TWCManager was heard to answer, against what this interface answers in the same situation.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use control_http::{ApiConfig, DebugBus, DebugMessage};
use evse::{Activity, Detail};
use http_door::{Method, Request};
use serde_json::{Map, Value, json};
use site::{MeasuredView, SessionView, Snapshot};
use units::PerPhase;

use crate::bench::{Answer, Bench, scene};

/// Where we answer otherwise on purpose, and with which status.
const DIFFERENT: [(&str, u16); 12] = [
    ("unknown-page", 404),
    ("sendDebugCommand-custom-blocked", 400),
    ("head", 200),
    ("options", 405),
    ("home-location-get", 405),
    ("static-css", 404),
    ("page-schedule", 302),
    ("page-debug", 302),
    ("page-graphs", 302),
    ("page-policy", 302),
    ("page-settings", 302),
    ("page-vehicles", 302),
];

fn read(file: &Path) -> Value {
    let text = std::fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

/// The recorded situations, when the recordings are here.
fn situations() -> Vec<PathBuf> {
    let Some(folder) = recordings::folder("twcmanager") else { return Vec::new() };
    ["dummy-ha-discovery", "dummy-idle", "rs485-1-green", "rs485-1-requests"].map(|name| folder.join(name)).to_vec()
}

fn keys(value: &Value) -> Vec<&String> {
    value.as_object().map(|fields| fields.keys().collect()).unwrap_or_default()
}

fn decimal(value: &Value) -> f64 {
    let text = value.as_str().or_else(|| value[0].as_str()).expect("a number in text");
    text.parse().expect("a number")
}

/// The site in the condition that the answers tell of.
fn situation(status: &Value, slaves: &Value, now: f64, has_offset: bool) -> Snapshot {
    let mut snapshot = scene();
    snapshot.at = now;
    snapshot.site.max_amps_all = 80.0;
    snapshot.site.default_volts = 240.0;
    snapshot.site.phases = 1;
    let measured = snapshot.power.generation.clone();
    let power = |key: &str| {
        let w = decimal(&status[key]);
        measured.clone().filter(|_| w != 0.0 && !has_offset).map(|measured| MeasuredView { w, ..measured })
    };
    snapshot.power.generation = power("generationWatts");
    snapshot.power.consumption = power("consumptionWatts");
    snapshot.power.cars_w = decimal(&status["chargerLoadWatts"]);
    snapshot.power.granted_amps = decimal(&status["maxAmpsToDivideAmongSlaves"]);
    snapshot.power.granted_w = snapshot.power.granted_amps * 240.0;
    snapshot.power.limit_amps = 80.0;
    snapshot.policy.name = status["currentPolicy"].as_str().expect("a name").to_owned();
    snapshot.policy.is_green = status["isGreenPolicy"] == "Yes";
    snapshot.evses.truncate(1);
    let (evse, slave) = (&mut snapshot.evses[0], &slaves["4142"]);
    let number = |key: &str| slave[key].as_f64().expect("a number");
    let text = |key: &str| slave[key].as_str().filter(|text| !text.is_empty()).map(str::to_owned);
    let is_charging = slave["carsCharging"] == true;
    evse.id = "gen2-4142".to_owned();
    evse.activity = if is_charging { Activity::Charging } else { Activity::Idle };
    evse.offered_a = Some(number("lastAmpsOffered"));
    evse.drawn_a = Some(number("reportedAmpsActual"));
    evse.power_w = Some(number("chargerLoadInW"));
    evse.energy_total_wh = Some(number("lifetimekWh") * 1000.0);
    evse.heard_at = now - number("lastHeartbeat");
    evse.volts = PerPhase::new(Some(number("voltsPhaseA")), None, None);
    (evse.vin, evse.last_vin, evse.soc) = (text("currentVIN"), text("lastVIN"), None);
    evse.details.insert("state", Detail::Number(number("state")));
    evse.details.insert("max_amps_rating", Detail::Number(number("maxAmps")));
    evse.session = text("chargeTime").filter(|time| !time.starts_with('-')).map(|time| {
        let parts: Vec<f64> = time.split(':').map(|part| part.parse().expect("a number")).collect();
        let charging_s = parts[0] * 3600.0 + parts[1] * 60.0 + parts[2];
        SessionView { id: "1".to_owned(), started_at: now, energy_wh: 0.0, is_estimate: false, charging_s }
    });
    snapshot
}

/// Every recorded answer of the polled addresses comes out letter for letter, but for what is different on purpose.
#[test]
fn recorded_situations_are_told_in_the_recorded_words() {
    for folder in situations() {
        let name = folder.display();
        let (answers, settings) = (read(&folder.join("get.json")), read(&folder.join("settings.json")));
        let config = read(&folder.join("config.json"));
        let has_offset = config["config"]["greenEnergyAmpsOffset"] != 0;
        let recorded = |path: &str| answers[path]["json"].clone();
        let last = recorded("getHistory")[575]["timestamp"].as_str().expect("a time").to_owned();
        #[expect(clippy::cast_precision_loss, reason = "a time")]
        let now = last.parse::<jiff::Timestamp>().expect("a time").as_second() as f64 + 30.5;
        let bench = Bench::with(settings, |api: &mut ApiConfig| api.config_masked = config);
        let (mut status, mut slaves) = (recorded("getStatus"), recorded("getSlaveTWCs"));
        let made = situation(&status, &slaves, now, has_offset);
        bench.site.publish(|snapshot| *snapshot = made);
        let get = |path: &str| Answer::of(bench.api.answer(&Request::new(Method::Get, &format!("/api/{path}")), now));

        // A number, as in every released version.
        slaves["4142"]["carsCharging"] = u8::from(slaves["4142"]["carsCharging"] == true).into();
        let found = get("getSlaveTWCs").json();
        assert_eq!(found, slaves, "{name}");
        assert_eq!((keys(&found), keys(&found["4142"])), (keys(&slaves), keys(&slaves["4142"])), "{name}");

        let found = get("getStatus").json();
        if let Some(end) = status.get_mut("chargeNowTimeEnd") {
            // The file and the answer differ in the last digit.
            *end = found["chargeNowTimeEnd"].clone();
        }
        assert_eq!(found, status, "{name}");
        assert_eq!(keys(&found), keys(&status), "{name}");
        assert_eq!(keys(&found["ScheduledCharging"]), keys(&status["ScheduledCharging"]), "{name}");

        assert_eq!(get("getActivePolicyAction").json(), recorded("getActivePolicyAction"), "{name}");
        assert_eq!(get("getConsumptionOffsets").json(), recorded("getConsumptionOffsets"), "{name}");
        assert!(get("getUUID").text.bytes().all(|byte| byte.is_ascii_digit()));
        let (found, expected) = (get("getHistory").json(), recorded("getHistory"));
        let times = |list: &Value| -> Vec<(Value, bool)> {
            let entries = list.as_array().expect("a list").iter();
            entries.map(|entry| (entry["timestamp"].clone(), entry["charger_power"].is_number())).collect()
        };
        assert_eq!(times(&found), times(&expected), "{name}");
        assert_eq!(keys(&found[0]), keys(&expected[0]), "{name}");
        for (path, answer) in answers.as_object().expect("answers") {
            let found = get(path);
            assert_eq!(found.status, answer["status"], "{name} {path}");
            let told = answer["headers"]["Content-type"].as_str();
            assert_eq!(found.header("content-type"), told, "{name} {path}");
        }
    }
}

#[derive(Debug)]
struct QuietBus;

impl DebugBus for QuietBus {
    fn send(&self, message: &DebugMessage) -> Result<(), String> {
        if matches!(message, DebugMessage::FirmwareVersion) { Ok(()) } else { Err("it ruins connectors".to_owned()) }
    }

    fn last_answer(&self) -> Option<Vec<u8>> {
        Some(Vec::new())
    }
}

fn request(asked: &Value) -> Request {
    let method = match asked["method"].as_str() {
        Some("GET") => Method::Get,
        Some("HEAD") => Method::Head,
        Some("OPTIONS") => Method::Options,
        _ => Method::Post,
    };
    let request = Request::new(method, asked["path"].as_str().expect("a path"));
    let text = |key: &str| asked[key].as_str().map(str::to_owned);
    match text("raw").or_else(|| text("form")).or_else(|| asked.get("json").map(Value::to_string)) {
        Some(body) => request.with_body(body),
        None => request,
    }
}

/// The recorded requests, in their order, get the recorded answers, but for what is different on purpose.
#[test]
fn recorded_requests_get_the_recorded_answers() {
    let Some(folder) = recordings::folder("twcmanager") else { return };
    let exchanges = read(&folder.join("rs485-1-requests/requests.json"));
    let bench = Bench::with(json!({}), |api| api.bus = Some(Arc::new(QuietBus)));
    bench.site.publish(|snapshot| {
        snapshot.site.max_amps_all = 80.0;
        (snapshot.power.generation, snapshot.power.consumption) = (None, None);
    });
    for exchange in exchanges.as_array().expect("a list") {
        let (asked, told) = (&exchange["request"], &exchange["answer"]);
        let id = asked["id"].as_str().expect("an id");
        // Every second request was recorded; these were not.
        let unrecorded = match id {
            "offset-none" => Some(("add", r#"{"offsetName": "First Amp", "offsetValue": 3, "offsetUnit": "A"}"#)),
            "offset-delete-3" => Some(("delete", r#"{"offsetName": "Second Amp"}"#)),
            "setConsumptionOffset" => Some(("delete", r#"{"offsetName": "None"}"#)),
            _ => None,
        };
        if let Some((verb, body)) = unrecorded {
            assert_eq!(bench.post(&format!("/api/{verb}ConsumptionOffset"), body).status, 200);
        }
        let answer = bench.ask(&request(asked));
        if let Some((_, status)) = DIFFERENT.iter().find(|(different, _)| *different == id) {
            assert_eq!(answer.status, *status, "{id}");
            continue;
        }
        assert_eq!(answer.status, told["status"], "{id}: {answer:?}");
        assert_eq!(answer.header("location"), told["headers"]["Location"].as_str(), "{id}");
        match (id, told.get("json"), told.get("text")) {
            // The sentence of another parser.
            ("chargeNow-not-json", ..) => {
                assert!(answer.json()["error"].as_str().is_some_and(|text| text.starts_with("Invalid JSON: ")));
            }
            ("status-while-charge-now" | "get-with-query", Some(told), _) => same_kind(id, &answer.json(), told),
            (_, Some(told), _) => assert_eq!(answer.json(), *told, "{id}"),
            (_, None, Some(told)) => assert_eq!(answer.text, *told, "{id}"),
            (_, None, None) => assert!(answer.text.starts_with("<!doctype html>"), "{id}"),
        }
        for (path, told) in exchange["then"].as_object().unwrap_or(&Map::new()) {
            let answer = bench.get(path);
            match (path.as_str(), told.get("json")) {
                ("/api/getStatus", Some(told)) => same_kind(id, &answer.json(), told),
                ("/api/getConsumptionOffsets", Some(told)) => assert_eq!(answer.json(), *told, "{id}"),
                ("/api/getLastTWCResponse", None) if id == "sendDebugCommand-firmware" => {
                    assert_eq!(answer.text, told["text"]);
                }
                _ => assert_eq!(answer.status, told["status"], "{id} {path}"),
            }
        }
    }
}

/// The same fields in the same order, each of the same kind; a schedule is the same.
fn same_kind(id: &str, found: &Value, told: &Value) {
    assert_eq!(keys(found), keys(told), "{id}");
    for (key, told) in told.as_object().expect("an object") {
        let kind = |value: &Value| (value.is_string(), value.is_array(), value.is_number(), value.is_object());
        assert_eq!(kind(&found[key]), kind(told), "{id} {key}");
    }
    if id.starts_with("schedule-") {
        let (mut found, mut told) = (found["ScheduledCharging"].clone(), told["ScheduledCharging"].clone());
        for key in ["startingMinute", "flexStartingMinute"] {
            // TWCManager drops the minutes of the start, and acts on what is left.
            let minute = found[key].as_i64().expect("a minute");
            found[key] = if minute < 0 { minute.into() } else { (minute / 60 * 60).into() };
        }
        told.sort_all_objects();
        found.sort_all_objects();
        assert_eq!(found, told, "{id}");
    }
}
