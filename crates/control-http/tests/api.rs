//! The whole interface over a site that is not there: request in, answer and commands out.

#[path = "../src/testing.rs"]
mod testing;

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use control_http::{Api, ApiConfig};
use http_door::{Body, Listen, Method, Request, Response, Server, ServerConfig};
use jiff::tz::TimeZone;
use serde_json::{Value, json};
use site::{Command, RefusalKind, SitePort};
use testing::{FakeSite, NOW};
use units::Amps;

/// An interface, the site behind it and shorthand for asking.
struct Bench {
    site: Arc<FakeSite>,
    api: Api,
}

impl Bench {
    fn new(settings: Value) -> Bench {
        let site = Arc::new(FakeSite::new(testing::snapshot(), settings));
        let config = ApiConfig {
            config_masked: json!({"config": {"wiringMaxAmpsAllTWCs": 32, "greenEnergyAmpsOffset": 0}}),
            version: "9.8.7".to_owned(),
            uuid: "187723572702975".to_owned(),
            time_zone: TimeZone::UTC,
            ..ApiConfig::default()
        };
        let api = Api::new(config, Arc::clone(&site) as Arc<dyn SitePort>);
        Bench { site, api }
    }

    fn ask(&self, request: &Request) -> Answer {
        Answer::of(self.api.answer(request, NOW))
    }

    fn get(&self, path: &str) -> Answer {
        self.ask(&Request::new(Method::Get, path))
    }

    fn post(&self, path: &str, body: &str) -> Answer {
        self.ask(&Request::new(Method::Post, path).with_body(body))
    }

    fn native(&self, method: Method, path: &str, body: &str) -> Answer {
        self.ask(&Request::new(method, path).with_header("content-type", "application/json").with_body(body))
    }
}

#[derive(Debug)]
struct Answer {
    status: u16,
    headers: Vec<(String, String)>,
    text: String,
}

impl Answer {
    fn of(response: Response) -> Answer {
        let text = match &response.body {
            Body::Empty => String::new(),
            Body::Static(bytes) => String::from_utf8_lossy(bytes).into_owned(),
            Body::Shared(bytes) => String::from_utf8_lossy(bytes).into_owned(),
            Body::Owned(bytes) => String::from_utf8_lossy(bytes).into_owned(),
            Body::Events(_) => "(events)".to_owned(),
        };
        let headers =
            response.headers.iter().map(|(name, value)| (name.to_ascii_lowercase(), value.to_string())).collect();
        Answer { status: response.status, headers, text }
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(have, _)| have == name).map(|(_, value)| value.as_str())
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

fn set(key: &str, value: impl Into<Value>) -> Command {
    Command::SetSetting { key: key.to_owned(), value: value.into() }
}

#[test]
fn status_has_the_old_fields_and_types() {
    let bench = Bench::new(json!({
        "chargeNowAmps": "24", "chargeNowTimeEnd": NOW + 600.5, "sendServerTime": 1,
        "scheduledAmpsMax": 16, "scheduledAmpsStartHour": 22.5, "scheduledAmpsEndHour": "6.25", "scheduledAmpsDaysBitmap": 1,
    }));
    let answer = bench.get("/api/getStatus?x=1");
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/json")));
    let status = answer.json();
    let expected = json!({
        "carsCharging": 1,
        "chargerLoadWatts": "5520.00",
        "chargerLoadAmps": ["8.00"],
        "currentPolicy": "Track Green Energy",
        "maxAmpsToDivideAmongSlaves": "8.73",
        "currentServerTime": "2026-11-18, 11:06&nbsp;|&nbsp;",
        "consumptionAmps": ["9.18"],
        "consumptionWatts": "6332.00",
        "generationAmps": ["9.91"],
        "generationWatts": "6840.00",
        "isGreenPolicy": "Yes",
        "scheduledChargingStartHour": 22,
        "scheduledChargingFlexStart": 22.5,
        "scheduledChargingEndHour": 6.25,
        "ScheduledCharging": {
            "enabled": true, "amps": 16, "startingMinute": 1350, "endingMinute": 375,
            "monday": true, "tuesday": false, "wednesday": false, "thursday": false, "friday": false, "saturday": false,
            "sunday": false,
            "flexStartEnabled": 0, "flexStartingMinute": 1350, "flexEndingMinute": 375,
            "flexMonday": true, "flexTuesday": false, "flexWednesday": false, "flexThursday": false, "flexFriday": false,
            "flexSaturday": false, "flexSunday": false, "flexBatterySize": 100,
        },
        "chargeNowTimeEnd": NOW + 600.5,
        "chargeNowAmps": 24,
    });
    assert_eq!(status, expected);
    let order = |value: &Value| value.as_object().expect("an object").keys().cloned().collect::<Vec<_>>();
    assert_eq!(order(&status), order(&expected));
}

#[test]
fn unknown_power_is_zero_in_text_without_a_list() {
    let bench = Bench::new(json!({}));
    bench.site.publish(|snapshot| {
        snapshot.power.generation = None;
        snapshot.power.consumption = None;
        snapshot.power.cars_w = 0.0;
    });
    let status = bench.get("/api/getStatus").json();
    assert_eq!(status["generationAmps"], "0.00");
    assert_eq!(status["consumptionWatts"], "0.00");
    assert_eq!(status["chargerLoadAmps"], json!(["0.00"]));
    assert!(status.get("chargeNowAmps").is_none() && status.get("currentServerTime").is_none());
}

#[test]
fn a_new_snapshot_is_never_hidden_by_the_cache() {
    let bench = Bench::new(json!({}));
    assert_eq!(bench.get("/api/getStatus").json()["chargerLoadWatts"], "5520.00");
    bench.site.publish(|snapshot| snapshot.power.cars_w = 1.0);
    assert_eq!(bench.get("/api/getStatus").json()["chargerLoadWatts"], "1.00");
    bench.post("/api/setSetting", r#"{"setting": "scheduledAmpsEndHour", "value": "7"}"#);
    assert_eq!(bench.get("/api/getStatus").json()["scheduledChargingEndHour"], 7);
}

#[test]
fn slaves_have_the_old_fields_and_types() {
    let bench = Bench::new(json!({}));
    let slaves = bench.get("/api/getSlaveTWCs").json();
    assert_eq!(
        slaves["3A7C"],
        json!({
            "carsCharging": 1, "chargerLoadInW": 5520, "currentVIN": "5YJ3E1EA8KF000001", "lastAmpsOffered": 8,
            "lastHeartbeat": 0.61, "lastVIN": "", "lifetimekWh": 8123, "maxAmps": 40.0, "reportedAmpsActual": 8.0,
            "state": 1, "version": 2, "voltsPhaseA": 231, "voltsPhaseB": 229, "voltsPhaseC": 230, "TWCID": "3A7C",
            "chargeTime": "1:04:33", "lastBatterySOC": 64,
        })
    );
    assert_eq!(slaves["4085"]["chargeTime"], "--:--:--");
    assert_eq!(
        slaves["total"],
        json!({
            "carsCharging": 1, "lastAmpsOffered": 8, "lifetimekWh": 24369, "maxAmps": 40.0, "reportedAmpsActual": 8.0,
            "TWCID": "total",
        })
    );
    bench.site.publish(|snapshot| snapshot.evses.clear());
    assert_eq!(bench.get("/api/getSlaveTWCs").json().as_object().map(serde_json::Map::len), Some(1));
}

#[test]
fn the_small_answers() {
    let bench = Bench::new(json!({}));
    assert_eq!(bench.get("/api/getActivePolicyAction").text, "3");
    for (kind, is_green, granted, expected) in
        [("none", false, 0.0, "null"), ("charge_now", false, 5000.0, "1"), ("non_scheduled", false, 0.0, "2")]
    {
        bench.site.publish(|snapshot| {
            snapshot.policy.kind = kind;
            snapshot.policy.is_green = is_green;
            snapshot.power.granted_w = granted;
        });
        assert_eq!(bench.get("/api/getActivePolicyAction").text, expected);
    }
    let uuid = bench.get("/api/getUUID");
    assert_eq!((uuid.text.as_str(), uuid.header("content-type")), ("187723572702975", Some("text/plain")));
    assert_eq!(bench.get("/api/getLastTWCResponse").text, "None");
    assert_eq!(bench.get("/api/getConfig").json()["config"]["wiringMaxAmpsAllTWCs"], 32);
    assert_eq!(bench.get("/api/getPolicy").json()[0]["name"], "Charge Now");
    assert_eq!(bench.get("/api/getHistory").json().as_array().map(Vec::len), Some(576));
    assert_eq!(bench.get("/api/getConsumptionOffsets").text, "{}");
}

/// Old requests and what TWCManager answers to them; `None` where an answer has no body.
#[test]
fn old_requests_get_the_old_answers() {
    let cases: &[(&str, &str, u16, Option<Value>)] = &[
        ("chargeNow", "not json", 400, None),
        ("chargeNow", "{}", 400, Some(json!({"error": "Rate and duration must be positive"}))),
        ("chargeNow", r#"{"chargeNowRate": 32, "chargeNowDuration": 0}"#, 400, None),
        (
            "chargeNow",
            r#"{"chargeNowRate": "x", "chargeNowDuration": 60}"#,
            400,
            Some(json!({"error": "Invalid rate or duration"})),
        ),
        (
            "chargeNow",
            r#"{"chargeNowRate": [32], "chargeNowDuration": 60}"#,
            400,
            Some(json!({"error": "Invalid rate or duration"})),
        ),
        (
            "chargeNow",
            r#"{"chargeNowRate": 24.7, "chargeNowDuration": "3600", "x": 1}"#,
            200,
            Some(json!({"status": "success", "rate": 24, "duration": 3600})),
        ),
        (
            "chargeNow",
            r#"{"chargeNowRate": 80, "chargeNowDuration": 60}"#,
            200,
            Some(json!({"status": "success", "rate": 32, "duration": 60})),
        ),
        ("cancelChargeNow", "", 200, Some(json!({"status": "success"}))),
        ("addConsumptionOffset", "", 400, Some(Value::Null)),
        (
            "addConsumptionOffset",
            r#"{"offsetName": "Second Amp", "offsetValue": -8, "offsetUnit": "A"}"#,
            200,
            Some(json!({"status": "success", "offsetName": "Second Amp", "offsetValue": -8.0, "offsetUnit": "A"})),
        ),
        (
            "addConsumptionOffset",
            r#"{"offsetName": "Zero", "offsetValue": 0, "offsetUnit": "W"}"#,
            400,
            Some(Value::Null),
        ),
        (
            "addConsumptionOffset",
            r#"{"offsetName": "n", "offsetValue": "nan", "offsetUnit": "W"}"#,
            400,
            Some(Value::Null),
        ),
        (
            "addConsumptionOffset",
            r#"{"offsetName": "a\":{},[],", "offsetValue": 5, "offsetUnit": "W"}"#,
            400,
            Some(Value::Null),
        ),
        (
            "addConsumptionOffset",
            r#"{"offsetValue": "5", "offsetUnit": "W"}"#,
            200,
            Some(json!({"status": "success", "offsetName": "None", "offsetValue": 5.0, "offsetUnit": "W"})),
        ),
        ("deleteConsumptionOffset", r#"{"offsetName": "nope"}"#, 404, Some(json!({"error": "Offset not found"}))),
        (
            "deleteConsumptionOffset",
            r#"{"offsetName": null}"#,
            400,
            Some(json!({"error": "offsetName is required and must be a string"})),
        ),
        (
            "deleteConsumptionOffset",
            r#"{"offsetName": "None"}"#,
            200,
            Some(json!({"status": "success", "offsetName": "None"})),
        ),
        ("setConsumptionOffset", r#"{"offset": 2.5}"#, 204, Some(Value::Null)),
        ("setConsumptionOffset", r#"{"offset": "x"}"#, 400, Some(json!({"error": "Value must be a number"}))),
        ("setPolicy", "{}", 400, Some(json!({"error": "policy field is required"}))),
        ("setPolicy", r#"{"policy": ""}"#, 400, Some(json!({"error": "policy cannot be empty"}))),
        ("setPolicy", r#"{"policy": "Other"}"#, 400, Some(json!({"error": "Policy 'Other' not found"}))),
        ("setPolicy", r#"{"policy": "Charge Now"}"#, 200, Some(json!({"status": "success", "policy": "Charge Now"}))),
        ("setLatLon", r#"{"lat": "10.5", "lon": "-20.25"}"#, 204, Some(Value::Null)),
        ("setLatLon", r#"{"lat": -90, "lon": 180}"#, 204, Some(Value::Null)),
        ("setLatLon", r#"{"lat": 91, "lon": 0}"#, 400, Some(Value::Null)),
        ("setLatLon", r#"{"lat": "x", "lon": 0}"#, 400, Some(Value::Null)),
        ("setSetting", "x", 400, Some(Value::Null)),
        ("setSetting", r#"{"setting": "x", "value": "<b>"}"#, 204, Some(Value::Null)),
        ("setScheduledChargingSettings", "x", 400, Some(Value::Null)),
        ("setScheduledChargingSettings", r#"{"enabled": false}"#, 202, Some(Value::Null)),
        ("sendStartCommand", "", 200, Some(Value::Null)),
        ("sendStopCommand", "", 200, Some(Value::Null)),
        ("checkArrival", "", 202, Some(Value::Null)),
        ("checkDeparture", "", 202, Some(Value::Null)),
        ("saveSettings", "", 204, Some(Value::Null)),
        // Nothing is sent, so nothing is said to have been sent.
        ("sendDebugCommand", r#"{"commandName": "Custom", "customCommand": "FC19"}"#, 501, None),
        ("sendTeslaAPICommand", r#"{"commandName": "wakeVehicle", "vehicleID": 1}"#, 501, None),
        ("sendTeslaAPICommand", r#"{"commandName": "other"}"#, 400, Some(Value::Null)),
    ];
    let bench = Bench::new(json!({}));
    for (path, body, status, expected) in cases {
        let answer = bench.post(&format!("/api/{path}"), body);
        assert_eq!(answer.status, *status, "{path} {body}: {answer:?}");
        match expected {
            Some(Value::Null) => assert_eq!(answer.text, "", "{path} {body}"),
            Some(expected) => assert_eq!(answer.json(), *expected, "{path} {body}"),
            None => assert!(answer.json()["error"].is_string(), "{path} {body}"),
        }
    }
}

#[test]
fn old_commands_reach_the_site() {
    let bench = Bench::new(json!({"consumptionOffset": {"First": {"value": 3.0, "unit": "A"}}}));
    let check = |path: &str, body: &str, expected: &[Command]| {
        let answer = bench.post(path, body);
        assert!(answer.status < 400, "{path}: {answer:?}");
        assert_eq!(bench.site.taken(), expected, "{path} {body}");
    };
    check(
        "/api/chargeNow",
        r#"{"chargeNowRate": "16", "chargeNowDuration": 3600}"#,
        &[Command::ChargeNow { amps: Some(Amps::from_whole(16)), duration: Duration::from_secs(3600) }],
    );
    check("/api/cancelChargeNow", "", &[Command::CancelChargeNow]);
    check("/api/sendStopCommand", "", &[Command::Stop { evse: None }]);
    check("/api/setSetting", r#"{"setting": "nonScheduledAction", "value": "3"}"#, &[set("nonScheduledAction", 3)]);
    check("/api/setSetting", r#"{"setting": "chargeStopMode", "value": 1}"#, &[set("chargeStopMode", 1)]);
    check(
        "/api/setSetting",
        r#"{"setting": "webControlTheme", "value": "Default"}"#,
        &[set("webControlTheme", "Default")],
    );
    check(
        "/api/addConsumptionOffset",
        r#"{"offsetName": "B", "offsetValue": "-2.5", "offsetUnit": "W"}"#,
        &[set("consumptionOffset", json!({"First": {"value": 3.0, "unit": "A"}, "B": {"value": -2.5, "unit": "W"}}))],
    );
    assert_eq!(bench.get("/api/getConsumptionOffsets").json()["B"], json!({"value": -2.5, "unit": "W"}));
    check(
        "/api/deleteConsumptionOffset",
        r#"{"offsetName": "First"}"#,
        &[set("consumptionOffset", json!({"B": {"value": -2.5, "unit": "W"}}))],
    );
    check(
        "/api/setScheduledChargingSettings",
        r#"{"enabled": true, "startingMinute": 1350, "endingMinute": 375, "monday": true, "sunday": 1, "amps": 16,
            "flexStartEnabled": true, "flexBatterySize": 75}"#,
        &[
            set("scheduledAmpsStartHour", 22.5),
            set("scheduledAmpsEndHour", 6.25),
            set("scheduledAmpsDaysBitmap", 65),
            set("scheduledAmpsMax", 16),
            set("scheduledAmpsFlexStart", 1),
            set("scheduledAmpsBatterySize", 75),
        ],
    );
    check(
        "/settings/save",
        "nonScheduledAmpsMax=12&nonScheduledAction=3&offsetUnit=W&chargeStopMode=3&carApiBearerToken=",
        &[set("nonScheduledAmpsMax", 0), set("nonScheduledAction", 3), set("chargeStopMode", 3)],
    );
    check("/debug/save", "spikeAmpsReactively=on", &[set("spikeAmpsProactively", 0), set("spikeAmpsReactively", "on")]);
    check("/settings/homeLocation", "vehicle=13.4%2C52.5", &[set("homeLat", 52.5), set("homeLon", 13.4)]);
    bench.post(
        "/schedule/save",
        "resumeGreenEnergy=00%3A00&scheduledAmpsMax=16&schedulePerDay=0&startCommonChargeTime=22%3A30&endCommonChargeTime=06%3A00&\
         enabledMondayChargeTime=on&enabledSundayChargeTime=on",
    );
    let taken = bench.site.taken();
    assert!(matches!(&taken[0], Command::SetSetting { key, .. } if key == "Schedule"));
    assert_eq!(
        taken[1..],
        [
            set("hourResumeTrackGreenEnergy", 0),
            set("scheduledAmpsStartHour", 22.5),
            set("scheduledAmpsEndHour", 6),
            set("scheduledAmpsDaysBitmap", 65),
            set("scheduledAmpsMax", 16),
        ]
    );
}

#[test]
fn a_schedule_from_elsewhere_ends_the_times_of_each_day_of_the_old_page() {
    let bench = Bench::new(json!({"Schedule": {
        "Common": {"start": "01:00", "end": "02:00"}, "Monday": {"enabled": "on", "start": "03:00", "end": "04:00", "flex": ""},
        "Settings": {"schedulePerDay": 1, "resumeGreenEnergy": "00:00"},
    }}));
    assert_eq!(bench.get("/api/v2/rules").json()["schedule"]["is_per_day"], true);
    let body = r#"{"is_enabled": true, "start": "22:30", "end": "06:15", "days": ["tuesday"], "amps": 16}"#;
    assert_eq!(bench.native(Method::Put, "/api/v2/rules/schedule", body).status, 204);
    let page = bench.site.settings()["Schedule"].clone();
    assert_eq!(page["Common"], json!({"start": "22:30", "end": "06:15"}));
    assert_eq!((&page["Monday"]["enabled"], &page["Tuesday"]["enabled"]), (&json!(""), &json!("on")));
    assert_eq!(page["Settings"], json!({"schedulePerDay": 0, "resumeGreenEnergy": "00:00", "scheduledAmpsMax": 16}));
    assert_eq!(
        bench.get("/api/v2/rules").json(),
        json!({
            "schedule": {
                "is_enabled": true, "start": "22:30", "end": "06:15", "days": ["tuesday"], "amps": 16.0, "is_per_day": false,
            },
            "outside_schedule": {"action": "fixed", "amps": 0.0},
        })
    );
}

#[test]
fn offsets_move_the_shown_consumption_and_generation() {
    let bench = Bench::new(json!({"consumptionOffset": {
        "a": {"value": 3.0, "unit": "A"}, "b": {"value": -8.0, "unit": "A"}, "c": {"value": 50, "unit": "W"},
    }}));
    bench.site.publish(|snapshot| {
        snapshot.power.generation = None;
        snapshot.power.consumption = None;
    });
    let status = bench.get("/api/getStatus").json();
    assert_eq!((&status["generationWatts"], &status["consumptionWatts"]), (&json!("3400.00"), &json!("0.00")));
}

#[test]
fn a_refusal_is_passed_on_in_its_own_words() {
    let bench = Bench::new(json!({}));
    for (kind, status) in [
        (RefusalKind::Invalid, 400),
        (RefusalKind::NotFound, 404),
        (RefusalKind::Unsupported, 409),
        (RefusalKind::Busy, 503),
    ] {
        bench.site.refuse(kind, "the reason and what to do");
        for answer in [
            bench.post("/api/cancelChargeNow", ""),
            bench.post("/api/sendStartCommand", ""),
            bench.post("/api/setSetting", r#"{"setting": "a", "value": 1}"#),
            bench.native(Method::Post, "/api/v2/evses/gen2-4085/start", ""),
        ] {
            assert_eq!(answer.status, status);
            assert_eq!(answer.json(), json!({"error": "the reason and what to do"}));
        }
    }
}

#[test]
fn native_commands_reach_the_site() {
    let bench = Bench::new(json!({}));
    let id = || evse::EvseId::new("gen2-4085");
    let hours = |hours: u64| Duration::from_secs(hours * 3600);
    let cases: Vec<(Method, &str, &str, Vec<Command>)> = vec![
        (
            Method::Post,
            "charge-now",
            r#"{"amps": 16.5, "hours": 2}"#,
            vec![Command::ChargeNow { amps: Some(Amps::from_centiamps(1650)), duration: hours(2) }],
        ),
        (
            Method::Post,
            "charge-now",
            r#"{"amps": 10, "seconds": 60}"#,
            vec![Command::ChargeNow { amps: Some(Amps::from_whole(10)), duration: Duration::from_secs(60) }],
        ),
        (Method::Delete, "charge-now", "", vec![Command::CancelChargeNow]),
        (Method::Post, "evses/gen2-4085/start", "", vec![Command::Start { evse: Some(id()) }]),
        (Method::Post, "evses/gen2-4085/stop", "{}", vec![Command::Stop { evse: Some(id()) }]),
        (
            Method::Patch,
            "evses/gen2-4085",
            r#"{"is_enabled": false, "priority": 5.0}"#,
            vec![
                Command::SetEnabled { evse: id(), is_enabled: false },
                Command::SetPriority { evse: id(), priority: 5 },
            ],
        ),
        (
            Method::Put,
            "policy/hold",
            r#"{"name": "Charge Now", "hours": 1}"#,
            vec![Command::HoldPolicy { name: Some("Charge Now".to_owned()), duration: hours(1) }],
        ),
        (Method::Delete, "policy/hold", "", vec![Command::HoldPolicy { name: None, duration: Duration::ZERO }]),
        (Method::Put, "settings/nonScheduledAction", r#"{"value": 3}"#, vec![set("nonScheduledAction", 3)]),
        (Method::Put, "rules/outside-schedule", r#"{"action": "surplus"}"#, vec![set("nonScheduledAction", 3)]),
        (
            Method::Put,
            "rules/outside-schedule",
            r#"{"action": "fixed", "amps": 10}"#,
            vec![set("nonScheduledAmpsMax", 10.0), set("nonScheduledAction", 1)],
        ),
        (
            Method::Put,
            "rules/schedule",
            r#"{"is_enabled": true, "start": "22:30", "end": "6:15", "days": ["monday", "sunday"], "amps": 16}"#,
            vec![
                set("scheduledAmpsStartHour", 22.5),
                set("scheduledAmpsEndHour", 6.25),
                set("scheduledAmpsDaysBitmap", 65),
                set("scheduledAmpsMax", 16),
            ],
        ),
        (
            Method::Put,
            "rules/schedule",
            r#"{"is_enabled": false}"#,
            vec![
                set("scheduledAmpsMax", 0),
                set("scheduledAmpsStartHour", -1),
                set("scheduledAmpsEndHour", -1),
                set("scheduledAmpsDaysBitmap", 0),
            ],
        ),
        (Method::Delete, "settings/nonScheduledAction", "", vec![set("nonScheduledAction", Value::Null)]),
    ];
    for (method, path, body, expected) in cases {
        let answer = bench.native(method, &format!("/api/v2/{path}"), body);
        assert_eq!((answer.status, answer.text.as_str()), (204, ""), "{method} {path}: {answer:?}");
        assert_eq!(bench.site.taken(), expected, "{method} {path}");
    }
}

#[test]
fn native_errors_name_the_field_and_what_is_allowed() {
    let bench = Bench::new(json!({}));
    for (method, path, body, status, needle) in [
        (Method::Post, "charge-now", "", 400, "amps, hours, seconds"),
        (Method::Post, "charge-now", "[]", 400, "amps, hours, seconds"),
        (Method::Post, "charge-now", r#"{"hours": 1}"#, 400, "amps is missing"),
        (Method::Post, "charge-now", r#"{"amps": 33, "hours": 1}"#, 400, "amps must be a number from 1 to 32"),
        (Method::Post, "charge-now", r#"{"amps": "16", "hours": 1}"#, 400, "amps must be a number"),
        (Method::Post, "charge-now", r#"{"amps": 16}"#, 400, "either hours or seconds"),
        (Method::Post, "charge-now", r#"{"amps": 16, "hours": 1, "seconds": 60}"#, 400, "either hours or seconds"),
        (Method::Post, "charge-now", r#"{"amps": 16, "hours": 1e9}"#, 400, "hours must be a number"),
        (Method::Post, "charge-now", r#"{"amps": 16, "hour": 1}"#, 400, "no field \"hour\""),
        (Method::Patch, "evses/gen2-4085", "{}", 400, "is_enabled, priority or both"),
        (Method::Patch, "evses/gen2-4085", r#"{"is_enabled": 1}"#, 400, "is_enabled must be true or false"),
        (Method::Patch, "evses/gen2-4085", r#"{"priority": 1.5}"#, 400, "priority must be a whole number"),
        (Method::Patch, "evses/none", r#"{"priority": 1}"#, 404, "\"none\""),
        (Method::Post, "evses/none/start", "", 404, "\"none\""),
        (Method::Put, "policy/hold", r#"{"name": "x", "hours": 1}"#, 404, "\"x\""),
        (Method::Put, "policy/hold", r#"{"hours": 1}"#, 400, "name is missing"),
        (Method::Put, "settings/x", "{}", 400, "value is missing"),
        (Method::Put, "rules/schedule", "{}", 400, "is_enabled is missing"),
        (Method::Put, "rules/schedule", r#"{"is_enabled": true, "start": "24:00"}"#, 400, "start must be a time"),
        (
            Method::Put,
            "rules/schedule",
            r#"{"is_enabled": true, "start": "1:00", "end": "2:+5"}"#,
            400,
            "end must be a time",
        ),
        (
            Method::Put,
            "rules/schedule",
            r#"{"is_enabled": true, "start": "1:00", "end": "2:00", "days": []}"#,
            400,
            "days must be",
        ),
        (Method::Put, "rules/outside-schedule", "{}", 400, "fixed, off or surplus"),
        (Method::Put, "rules/outside-schedule", r#"{"action": "fixed"}"#, 400, "amps is missing"),
        (Method::Put, "rules/outside-schedule", r#"{"action": "off", "amps": 3}"#, 400, "fixed only"),
        (Method::Put, "settings/carApiBearerToken", r#"{"value": "x"}"#, 403, "secret"),
        (Method::Put, "settings/Vehicles", r#"{"value": {"5YJ": {"privKey": "********"}}}"#, 403, "holds secrets"),
        (Method::Put, "settings/history", r#"{"value": 5}"#, 400, "an object or a list"),
        (Method::Get, "settings/absent", "", 404, "\"absent\""),
        (Method::Get, "evses/none", "", 404, "\"none\""),
        (Method::Get, "nothing", "", 404, "/api/v2/openapi.json"),
    ] {
        let answer = bench.native(method, &format!("/api/v2/{path}"), body);
        assert_eq!(answer.status, status, "{method} {path} {body}: {answer:?}");
        let error = answer.json()["error"].as_str().map(str::to_owned).unwrap_or_default();
        assert!(error.contains(needle), "{method} {path} {body}: {error}");
    }
    assert_eq!(bench.site.taken(), []);
}

#[test]
fn other_methods_are_told_which_there_are() {
    let bench = Bench::new(json!({}));
    for (method, path, allow) in [
        (Method::Get, "/api/chargeNow", "POST"),
        (Method::Post, "/api/getStatus", "GET, HEAD"),
        (Method::Put, "/api/v2/charge-now", "POST, DELETE"),
        (Method::Delete, "/api/v2/evses/x", "GET, HEAD, PATCH"),
        (Method::Post, "/", "GET, HEAD"),
        (Method::Get, "/settings/save", "POST"),
    ] {
        let answer = bench.ask(&Request::new(method, path));
        assert_eq!((answer.status, answer.header("allow")), (405, Some(allow)), "{method} {path}");
    }
    assert_eq!(bench.ask(&Request::new(Method::Head, "/api/getStatus")).status, 200);
    let unknown = bench.get("/api/nonexistent");
    assert_eq!((unknown.status, unknown.text.as_str()), (404, ""));
}

#[test]
fn the_rules_of_access_stand_before_every_command() {
    let bench = Bench::new(json!({}));
    for path in ["/api/chargeNow", "/api/cancelChargeNow", "/settings/save", "/api/v2/evses/gen2-4085/stop"] {
        let foreign = Request::new(Method::Post, path).with_header("origin", "http://evil.example").with_body("{}");
        assert_eq!(bench.ask(&foreign).status, 403, "{path}");
    }
    let rebound = Request::new(Method::Get, "/api/getStatus").with_header("host", "evil.example");
    assert_eq!(bench.ask(&rebound).status, 421);
    let text = Request::new(Method::Post, "/api/v2/charge-now").with_body(r#"{"amps": 16, "hours": 1}"#);
    assert_eq!(bench.ask(&text).status, 415);
    assert_eq!(bench.site.taken(), []);
}

#[test]
fn secrets_in_the_settings_are_not_shown() {
    let bench = Bench::new(json!({"carApiBearerToken": "very-secret", "nonScheduledAction": 3}));
    for path in
        ["/api/v2/settings", "/api/v2/settings/carApiBearerToken", "/api/v2/snapshot", "/api/getStatus", "/metrics"]
    {
        assert!(!bench.get(path).text.contains("very-secret"), "{path}");
    }
    assert_eq!(bench.get("/api/v2/settings/nonScheduledAction").json(), json!({"value": 3}));
}

#[test]
fn the_snapshot_is_whole_and_cheap_to_ask_for_again() {
    let bench = Bench::new(json!({}));
    let answer = bench.get("/api/v2/snapshot");
    assert_eq!(answer.json(), serde_json::to_value(testing::snapshot()).expect("JSON"));
    let again = Request::new(Method::Get, "/api/v2/snapshot").with_header("if-none-match", "\"7\"");
    assert_eq!((answer.header("etag"), bench.ask(&again).status), (Some("\"7\""), 304));
    bench.site.publish(|snapshot| snapshot.power.cars_w = 1.0);
    assert_eq!(bench.ask(&again).status, 200);
}

#[test]
fn health_says_what_is_wrong_and_fails_only_when_a_restart_helps() {
    let bench = Bench::new(json!({}));
    let healthy = bench.get("/healthz");
    assert_eq!((healthy.status, healthy.json()["status"].as_str()), (200, Some("ok")));
    assert_eq!(healthy.json()["warnings"][0], "source MQTT: no answer from 192.168.1.5: check sources.MQTT.brokerIP");
    let late = Answer::of(bench.api.answer(&Request::new(Method::Get, "/healthz"), NOW + 61.0));
    assert_eq!((late.status, late.json()["reasons"].as_array().map(Vec::len)), (503, Some(1)));
}

#[test]
fn the_page_is_served_safely() {
    let bench = Bench::new(json!({}));
    let page = bench.get("/");
    assert_eq!((page.status, page.header("content-type")), (200, Some("text/html; charset=utf-8")));
    assert!(page.header("content-security-policy").is_some_and(|policy| policy.contains("script-src 'self'")));
    assert_eq!(page.header("x-content-type-options"), Some("nosniff"));
    let tag = page.header("etag").expect("a tag").to_owned();
    let again = bench.ask(&Request::new(Method::Get, "/").with_header("if-none-match", &format!("\"x\", W/{tag}")));
    assert_eq!((again.status, again.text.as_str()), (304, ""));
    for file in web::files() {
        let answer = bench.get(&format!("/assets/{}", file.name));
        assert_eq!((answer.status, answer.header("content-type")), (200, Some(file.content_type)), "{}", file.name);
    }
    for path in
        ["/assets/../Cargo.toml", "/assets/%2e%2e%2fCargo.toml", "/assets/", "/static/../settings.json", "/assets/none"]
    {
        assert_eq!(bench.get(path).status, 404, "{path}");
    }
    assert_eq!(bench.get("/schedule").header("location"), Some("/"));
}

/// Every path of the description answers, and every native route is described.
#[test]
fn the_description_and_the_routes_agree() {
    let bench = Bench::new(json!({"nonScheduledAction": 3}));
    let document = bench.get("/api/v2/openapi.json").json();
    assert!(
        document.to_string().matches(r#""maximum":32.0"#).count() == 3,
        "the limit of the site is in the description"
    );
    let mut described = Vec::new();
    for (path, methods) in document["paths"].as_object().expect("paths") {
        let filled = path.replace("{id}", "gen2-4085").replace("{key}", "nonScheduledAction");
        for (method, about) in methods.as_object().expect("methods").iter().filter(|(key, _)| *key != "parameters") {
            let verb = match method.as_str() {
                "get" => Method::Get,
                "post" => Method::Post,
                "put" => Method::Put,
                "patch" => Method::Patch,
                "delete" => Method::Delete,
                other => panic!("{other}"),
            };
            let answer = bench.native(verb, &filled, "");
            let declared = about["responses"].get(answer.status.to_string());
            assert!(declared.is_some(), "{verb} {path} answered {answer:?}, which is not described");
            described.push(format!("{verb} {path}"));
        }
    }
    for (method, path) in control_http::native_routes() {
        assert!(described.contains(&format!("{method} {path}")), "{method} {path} is not described");
    }
    assert_every_reference_leads_somewhere(&document, &document);
}

fn assert_every_reference_leads_somewhere(document: &Value, part: &Value) {
    match part {
        Value::Object(fields) => {
            if let Some(Value::String(target)) = fields.get("$ref") {
                assert!(document.pointer(target.trim_start_matches('#')).is_some(), "{target}");
            }
            fields.values().for_each(|field| assert_every_reference_leads_somewhere(document, field));
        }
        Value::Array(items) => items.iter().for_each(|item| assert_every_reference_leads_somewhere(document, item)),
        _ => {}
    }
}

/// Reads lines until an event of this name has come, and gives its id and its data.
fn event(lines: &mut impl Iterator<Item = std::io::Result<String>>, name: &str) -> (String, Value) {
    let mut next = || lines.next().expect("the stream goes on").expect("within the time limit");
    while next().trim_end() != format!("event: {name}") {}
    let id = next().strip_prefix("id: ").expect("an id").trim_end().to_owned();
    let data = next();
    (id, serde_json::from_str(data.strip_prefix("data: ").expect("data")).expect("JSON"))
}

#[test]
fn changes_arrive_at_every_client_over_real_connections() {
    let bench = Bench::new(json!({}));
    let config = ServerConfig { listeners: vec![Listen::loopback(0)], ..ServerConfig::default() };
    let site = Arc::clone(&bench.site);
    let server = Server::start(config, Arc::new(bench.api)).expect("a free port");
    let connect = || {
        let mut stream = TcpStream::connect(("127.0.0.1", server.port())).expect("connects");
        stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a time limit");
        stream.write_all(b"GET /api/v2/events HTTP/1.1\r\nHost: localhost\r\n\r\n").expect("sends");
        BufReader::new(stream).lines()
    };
    let mut first = connect();
    let whole = serde_json::to_value(testing::snapshot()).expect("JSON");
    assert_eq!(event(&mut first, "snapshot"), ("7".to_owned(), whole));

    site.publish(|snapshot| snapshot.power.cars_w = 1.5);
    let change = event(&mut first, "change");
    assert_eq!(change, ("8".to_owned(), json!({"sequence": 8, "power": {"cars_w": 1.5}})));

    // Who comes later begins where the others are, so that the next change fits all.
    let mut second = connect();
    let (id, state) = event(&mut second, "snapshot");
    assert_eq!((id.as_str(), &state["power"]["cars_w"]), ("8", &json!(1.5)));
    site.publish(|snapshot| snapshot.charge_now = None);
    site.publish(|snapshot| snapshot.evses.clear());
    for client in [&mut first, &mut second] {
        let mut patch = json!({});
        while patch.get("evses").is_none() {
            patch = event(client, "change").1;
        }
        assert_eq!(patch, json!({"sequence": patch["sequence"], "evses": []}));
    }
    server.shutdown();
}
