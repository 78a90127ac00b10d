//! What the native interface has of the old one beside charging and rules.

use std::sync::Arc;

use control_http::{DebugBus, DebugMessage, Flows, History};
use http_door::Method;
use serde_json::{Value, json};
use site::{Command, SitePort};
use twc_names::testing::NOW;

use crate::bench::{Bench, set_all};

const PUT: Method = Method::Put;
const DELETE: Method = Method::Delete;

#[test]
fn offsets_have_names() {
    let bench = Bench::new(json!({}));
    let ask = |method, path: &str, body: &str| bench.native(method, &format!("/api/v2/offsets{path}"), body).status;
    assert_eq!(ask(PUT, "/Hot%20tub", r#"{"value": -2.5, "unit": "A"}"#), 204);
    assert_eq!(ask(PUT, "/b", r#"{"value": 100, "unit": "W"}"#), 204);
    assert_eq!(
        bench.get("/api/v2/offsets").json(),
        json!({"offsets": [
            {"name": "Hot tub", "value": -2.5, "unit": "A"}, {"name": "b", "value": 100.0, "unit": "W"},
        ]})
    );
    assert_eq!(bench.get("/api/getConsumptionOffsets").json()["Hot tub"], json!({"value": -2.5, "unit": "A"}));
    let long = format!("/{}", "n".repeat(32));
    for (path, body, status) in [
        ("/a%2Fb", r#"{"value": 1, "unit": "A"}"#, 400),
        ("/a%22", r#"{"value": 1, "unit": "A"}"#, 400),
        (long.as_str(), r#"{"value": 1, "unit": "A"}"#, 400),
        ("/c", r#"{"value": 1, "unit": "kW"}"#, 400),
        ("/c", r#"{"value": "1", "unit": "A"}"#, 400),
        ("/c", r#"{"unit": "A"}"#, 400),
        ("/c", r#"{"value": 1, "unit": "A", "more": 1}"#, 400),
    ] {
        assert_eq!(ask(PUT, path, body), status, "{path} {body}");
    }
    assert_eq!((ask(DELETE, "/b", ""), ask(DELETE, "/b", "")), (204, 404));
}

#[test]
fn groups_of_cars_are_made_changed_and_deleted() {
    let built_in = json!({"Allow Charging": {"Description": "may", "Built-in": 1, "Members": []}});
    let bench = Bench::new(json!({ "VehicleGroups": built_in }));
    let ask =
        |method, path: &str, body: &str| bench.native(method, &format!("/api/v2/vehicle-groups{path}"), body).status;
    assert_eq!(ask(PUT, "/Allow%20Charging", r#"{"members": ["5YJ3E1EA8KF000001", "5YJ3E1EA8KF000001"]}"#), 204);
    assert_eq!(ask(PUT, "/Guests", r#"{"members": [], "description": "on Sundays"}"#), 204);
    assert_eq!(
        bench.get("/api/v2/vehicle-groups").json()["groups"],
        json!([
            {"name": "Allow Charging", "description": "may", "is_built_in": true, "members": ["5YJ3E1EA8KF000001"]},
            {"name": "Guests", "description": "on Sundays", "is_built_in": false, "members": []},
        ])
    );
    for body in ["{}", r#"{"members": "x"}"#, r#"{"members": ["a b"]}"#, r#"{"members": [5]}"#] {
        assert_eq!(ask(PUT, "/Guests", body), 400, "{body}");
    }
    assert_eq!(ask(PUT, "/a%2Fb", r#"{"members": []}"#), 400);
    assert_eq!(ask(DELETE, "/Allow%20Charging", ""), 409);
    assert_eq!((ask(DELETE, "/Guests", ""), ask(DELETE, "/Guests", "")), (204, 404));
}

#[test]
fn the_place_of_the_house() {
    let bench = Bench::new(json!({"homeLat": 10000, "homeLon": 10000}));
    let nowhere = json!({"latitude": null, "longitude": null});
    assert_eq!(bench.get("/api/v2/home").json(), nowhere);
    let put = |body: &str| bench.native(PUT, "/api/v2/home", body).status;
    assert_eq!(put(r#"{"latitude": 52.5, "longitude": 13.4}"#), 204);
    assert_eq!(bench.site.taken(), [set_all(&[("homeLat", json!(52.5)), ("homeLon", json!(13.4))])]);
    assert_eq!(bench.get("/api/v2/home").json(), json!({"latitude": 52.5, "longitude": 13.4}));
    for body in ["{}", r#"{"latitude": 52.5}"#, r#"{"latitude": 91, "longitude": 0}"#] {
        assert_eq!(put(body), 400, "{body}");
    }
    assert_eq!(bench.native(DELETE, "/api/v2/home", "").status, 204);
    assert_eq!(bench.get("/api/v2/home").json(), nowhere);
}

#[test]
fn every_car_is_started_and_stopped_at_once() {
    let bench = Bench::new(json!({}));
    assert_eq!(bench.native(Method::Post, "/api/v2/start", "").status, 204);
    assert_eq!(bench.native(Method::Post, "/api/v2/stop", "{}").status, 204);
    assert_eq!(bench.site.taken(), [Command::Start { evse: None }, Command::Stop { evse: None }]);
}

#[test]
fn the_configuration_and_the_id_of_the_computer_are_shown() {
    let bench = Bench::new(json!({}));
    assert_eq!(bench.get("/api/v2/config").json(), bench.get("/api/getConfig").json());
    assert_eq!(bench.get("/api/v2/version").json()["uuid"], bench.get("/api/getUUID").text);
}

#[test]
fn an_explanation_is_of_now_or_of_a_moment() {
    let bench = Bench::new(json!({}));
    let explain = |query: &str| bench.get(&format!("/api/v2/policy/explain{query}"));
    assert_eq!(explain("").json()["policy"], "Track Green Energy");
    assert_eq!(explain("").json()["at"], Value::Null);
    for at in ["2026-08-20T22:30", "2026-08-20T22:30:00Z", "2026-08-21T00:30:00%2B02:00"] {
        assert_eq!(explain(&format!("?at={at}")).json()["at"], "2026-08-20T22:30:00+00:00[UTC]", "{at}");
    }
    for at in ["", "tomorrow", "2026-13-01T00:00"] {
        assert_eq!(explain(&format!("?at={at}")).status, 400, "{at}");
    }
}

#[derive(Debug)]
struct Past;

impl History for Past {
    fn flows(&self, from: f64, to: f64) -> Result<Vec<Flows>, String> {
        if from < 0.0 {
            return Err("the disk is gone".to_owned());
        }
        Ok(vec![Flows { at: from, generation_w: Some(1.5), consumption_w: None, cars_w: Some(to) }])
    }
}

#[test]
fn the_past_is_asked_for_by_its_end_and_its_length() {
    let bench = Bench::new(json!({}));
    assert_eq!(bench.get("/api/v2/history").status, 409);
    let bench = Bench::with(json!({}), |config| config.history = Some(Arc::new(Past)));
    let flow =
        |from: f64, to: f64| json!({"flows": [{"at": from, "generation_w": 1.5, "consumption_w": null, "cars_w": to}]});
    assert_eq!(bench.get("/api/v2/history").json(), flow(NOW - 86_400.0, NOW));
    assert_eq!(bench.get("/api/v2/history?until=7200&hours=0.5").json(), flow(5400.0, 7200.0));
    for (query, status) in [("until=x", 400), ("hours=745", 400), ("hours=", 400), ("until=-1", 400), ("until=60", 503)]
    {
        assert_eq!(bench.get(&format!("/api/v2/history?{query}")).status, status, "{query}");
    }
}

#[derive(Debug)]
struct Bus;

impl DebugBus for Bus {
    fn send(&self, message: &DebugMessage) -> Result<(), String> {
        match message {
            DebugMessage::FirmwareVersion => Ok(()),
            DebugMessage::Bytes(_) => Err("it ruins connectors".to_owned()),
        }
    }

    fn last_answer(&self) -> Option<Vec<u8>> {
        Some(vec![0xfd, 0x1b])
    }
}

#[test]
fn the_bus_is_asked_and_its_refusal_is_told() {
    let bench = Bench::with(json!({}), |config| config.bus = Some(Arc::new(Bus)));
    let send = |body: &str| bench.native(Method::Post, "/api/v2/bus/message", body);
    let last = || bench.get("/api/v2/bus/answer").json();
    assert_eq!(send(r#"{"bytes": "FC19"}"#).json(), json!({"error": "it ruins connectors"}));
    assert_eq!(last(), json!({"bytes": "FD1B", "refusal": "it ruins connectors"}));
    assert_eq!(send(r#"{"message": "firmware_version"}"#).status, 204);
    assert_eq!(last(), json!({"bytes": "FD1B", "refusal": null}));
    for body in
        ["{}", r#"{"message": "x"}"#, r#"{"bytes": "fb e0"}"#, r#"{"message": "firmware_version", "bytes": "fbe0"}"#]
    {
        assert_eq!(send(body).status, 400, "{body}");
    }
    let without = Bench::new(json!({}));
    assert_eq!(without.native(Method::Post, "/api/v2/bus/message", r#"{"bytes": "fbe0"}"#).status, 409);
    assert_eq!(without.get("/api/v2/bus/answer").json(), json!({"bytes": null, "refusal": null}));
}

#[test]
fn a_setting_has_a_plain_name() {
    let bench = Bench::new(json!({}));
    for key in ["a%20b", "a%2Cb", "n%C3%A4h"] {
        assert_eq!(bench.native(PUT, &format!("/api/v2/settings/{key}"), r#"{"value": 1}"#).status, 400, "{key}");
        assert_eq!(bench.native(DELETE, &format!("/api/v2/settings/{key}"), "").status, 400, "{key}");
    }
    assert!(bench.site.settings().as_object().is_some_and(serde_json::Map::is_empty));
}
