//! The interface of the older program.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use control_http::{DebugBus, DebugMessage, Flows, History};
use serde_json::{Value, json};
use site::{Command, SitePort};
use units::Amps;

use crate::bench::{Bench, set, set_all};
use twc_names::testing::NOW;

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
        ("sendDebugCommand", r#"{"commandName": "Custom", "customCommand": "FC19"}"#, 409, None),
        ("sendDebugCommand", r#"{"commandName": "Custom"}"#, 400, None),
        ("sendDebugCommand", r#"{"commandName": 5}"#, 400, None),
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
        &[set_all(&[
            ("scheduledAmpsMax", json!(16)),
            ("scheduledAmpsStartHour", json!(22.5)),
            ("scheduledAmpsEndHour", json!(6.25)),
            ("scheduledAmpsDaysBitmap", json!(65)),
            ("scheduledAmpsFlexStart", json!(1)),
            ("scheduledAmpsBatterySize", json!(75)),
        ])],
    );
    check(
        "/settings/save",
        "nonScheduledAmpsMax=12&nonScheduledAction=3&offsetUnit=W&chargeStopMode=3&carApiBearerToken=",
        &[set_all(&[
            ("nonScheduledAmpsMax", json!(0)),
            ("nonScheduledAction", json!(3)),
            ("chargeStopMode", json!(3)),
        ])],
    );
    check(
        "/debug/save",
        "spikeAmpsReactively=on",
        &[set_all(&[("spikeAmpsProactively", json!(0)), ("spikeAmpsReactively", json!("on"))])],
    );
    check(
        "/settings/homeLocation",
        "vehicle=13.4%2C52.5",
        &[set_all(&[("homeLat", json!(52.5)), ("homeLon", json!(13.4))])],
    );
    bench.post(
        "/schedule/save",
        "resumeGreenEnergy=00%3A00&scheduledAmpsMax=16&schedulePerDay=0&startCommonChargeTime=22%3A30&endCommonChargeTime=06%3A00&\
         enabledMondayChargeTime=on&enabledSundayChargeTime=on",
    );
    let taken = bench.site.taken();
    let [Command::SetSettings(changes)] = &taken[..] else { panic!("one command: {taken:?}") };
    assert_eq!(changes[0].0, "Schedule");
    assert_eq!(
        Command::SetSettings(changes[1..].to_vec()),
        set_all(&[
            ("hourResumeTrackGreenEnergy", json!(0)),
            ("scheduledAmpsStartHour", json!(22.5)),
            ("scheduledAmpsEndHour", json!(6)),
            ("scheduledAmpsDaysBitmap", json!(65)),
            ("scheduledAmpsMax", json!(16)),
        ])
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
fn cars_are_put_into_groups_and_groups_are_deleted_by_post_alone() {
    let groups = json!({
        "Allow Charging": {"Description": "", "Built-in": 1, "Members": ["5YJ3E1EA8KF000001"]},
        "Guests & co": {"Description": "x", "Built-in": 0, "Members": []},
    });
    let bench = Bench::new(json!({ "VehicleGroups": groups }));
    let members = |group: &str| bench.site.settings()["VehicleGroups"][group]["Members"].clone();
    let answer = bench.post("/vehicle/groupMgmt", "group=Allow+Charging&operation=add&vin=LRW3F7EK0NC000001");
    assert_eq!((answer.status, answer.header("location")), (302, Some("/vehicleDetail/LRW3F7EK0NC000001")));
    assert_eq!(members("Allow Charging"), json!(["5YJ3E1EA8KF000001", "LRW3F7EK0NC000001"]));
    bench.post("/vehicle/groupMgmt", "group=Allow+Charging&operation=remove&vin=5YJ3E1EA8KF000001");
    assert_eq!(members("Allow Charging"), json!(["LRW3F7EK0NC000001"]));
    for wrong in [
        "",
        "group=None&operation=add&vin=A",
        "group=Allow+Charging&operation=x&vin=A",
        "group=Allow+Charging&operation=add&vin=%0d",
    ] {
        assert_eq!(bench.post("/vehicle/groupMgmt", wrong).status, 400, "{wrong}");
    }
    assert_eq!(bench.get("/vehicleDetail/LRW3F7EK0NC000001").header("location"), Some("/"));

    let by_get = bench.get("/vehicles/deleteGroup/Guests%20%26%20co");
    assert_eq!((by_get.status, by_get.header("allow")), (405, Some("POST")));
    assert_eq!(bench.post("/vehicles/deleteGroup/Allow%20Charging", "").status, 400);
    assert_eq!(bench.post("/vehicles/deleteGroup/Nobody", "").status, 400);
    let answer = bench.post("/vehicles/deleteGroup/Guests%20%26%20co", "");
    assert_eq!((answer.status, answer.header("location")), (302, Some("/vehicles")));
    assert!(bench.site.settings()["VehicleGroups"].get("Guests & co").is_none());
}

#[derive(Debug)]
struct Past;

impl History for Past {
    fn flows(&self, from: f64, to: f64) -> Result<Vec<Flows>, String> {
        if to - from > 86_400.0 * 20.0 {
            return Err("the disk is gone".to_owned());
        }
        let flows = |at: f64, generation_w: Option<f64>| Flows {
            at,
            generation_w,
            consumption_w: Some(700.0),
            cars_w: Some(0.0),
        };
        let last = std::iter::once(flows(to - 60.0, None));
        let count = if to - from > 86_400.0 * 10.0 { 12_000 } else { 1 };
        Ok(std::iter::repeat_n(flows(from + 12.0, Some(812.0)), count).chain(last).collect())
    }
}

#[test]
fn graphs_show_what_was_written_down() {
    let bench = Bench::new(json!({}));
    assert_eq!(bench.get("/graphs/date").status, 400, "nothing is written down");
    let bench = Bench::with(json!({}), |config| config.history = Some(Arc::new(Past)));
    let day = bench.get("/graphs/date").json();
    assert_eq!(day["0"], json!({"initial": "2026-11-17T11:06", "end": "2026-11-18T11:06"}));
    let point =
        |time: &str, generation: &str| json!({"time": time, "genW": generation, "conW": "700.000", "chgW": "0.000"});
    assert_eq!(
        (&day["1"], &day["2"]),
        (&point("2026-11-17T11:06:52", "812.000"), &point("2026-11-18T11:05:40", "0.000"))
    );
    let chosen = bench.post("/graphs/dates", "dateIni=2026-08-19T14%3A00&dateEnd=2026-08-19T15%3A30");
    assert_eq!((chosen.status, chosen.header("location")), (302, Some("/graphsP")));
    assert_eq!(bench.site.settings()["Graphs"], json!({"Initial": "2026-08-19T14:00", "End": "2026-08-19T15:30"}));
    assert_eq!(bench.get("/graphs/date").json()["1"], point("2026-08-19T14:00:12", "812.000"));
    let asked = bench.get("/graphs/date?initial=2026-08-01T00:00&end=2026-08-15T00:00").json();
    assert_eq!(asked["0"]["end"], "2026-08-15T00:00");
    assert!(asked.as_object().is_some_and(|points| (3000..=5002).contains(&points.len())), "thinned out");
    assert_eq!(
        bench.get("/graphs/date?initial=2026-08-01T00:00&end=2026-08-25T00:00").json()["error"],
        "the disk is gone"
    );
    assert_eq!(bench.post("/graphs/dates", "dateIni=2026-08-19T14%3A00").header("location"), Some("/graphs"));
    for wrong in [
        "initial=x&end=y",
        "initial=2026-08-19T14:00&end=2026-08-19T14:00",
        "initial=2026-08-19T14:00&end=2027-08-19T14:00",
    ] {
        assert_eq!(bench.get(&format!("/graphs/date?{wrong}")).status, 400, "{wrong}");
    }
}

#[derive(Debug, Default)]
struct Bus(Mutex<Vec<DebugMessage>>);

impl DebugBus for Bus {
    fn send(&self, message: &DebugMessage) -> Result<(), String> {
        if let DebugMessage::Bytes(bytes) = message
            && bytes.starts_with(&[0xfc, 0x19])
        {
            return Err("it ruins connectors".to_owned());
        }
        self.0.lock().expect("whole").push(message.clone());
        Ok(())
    }

    fn last_answer(&self) -> Option<Vec<u8>> {
        (!self.0.lock().expect("whole").is_empty()).then(|| vec![0xfd, 0x1b, 0x00, b'A'])
    }
}

#[test]
fn debug_commands_go_to_the_bus_which_refuses_what_harms() {
    let bus = Arc::new(Bus::default());
    let bench = Bench::with(json!({}), |config| config.bus = Some(Arc::clone(&bus) as Arc<dyn DebugBus>));
    let send = |body: &str| bench.post("/api/sendDebugCommand", body);
    let last = || bench.get("/api/getLastTWCResponse").text;
    assert_eq!(last(), "None");
    let refused = send(r#"{"commandName": "Custom", "customCommand": "FC 19 77 77"}"#);
    assert_eq!((refused.status, refused.json()["error"].as_str()), (400, Some("it ruins connectors")));
    assert_eq!(last(), "it ruins connectors");
    assert_eq!(send(r#"{"commandName": "GetFirmwareVersion"}"#).status, 204);
    assert_eq!(send(r#"{"commandName": "FB19"}"#).status, 204);
    assert_eq!(send(r#"{"commandName": "FB1"}"#).status, 400);
    assert_eq!(last(), "bytearray(b'\\xfd\\x1b\\x00A')");
    assert_eq!(*bus.0.lock().expect("whole"), [DebugMessage::FirmwareVersion, DebugMessage::Bytes(vec![0xfb, 0x19])]);
}
