//! The native interface, the page, the events and the rules of access.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use http_door::{Listen, Method, Request, Server, ServerConfig};
use serde_json::{Value, json};
use site::{Command, RefusalKind, SitePort};
use units::Amps;

use crate::bench::{Answer, Bench, scene, set, set_all};
use twc_names::testing::NOW;

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
        (
            Method::Put,
            "rules/outside-schedule",
            r#"{"action": "surplus"}"#,
            vec![set_all(&[("nonScheduledAction", json!(3))])],
        ),
        (
            Method::Put,
            "rules/outside-schedule",
            r#"{"action": "fixed", "amps": 10}"#,
            vec![set_all(&[("nonScheduledAction", json!(1)), ("nonScheduledAmpsMax", json!(10.0))])],
        ),
        (
            Method::Put,
            "rules/schedule",
            r#"{"is_enabled": true, "start": "22:30", "end": "6:15", "days": ["monday", "sunday"], "amps": 16}"#,
            vec![set_all(&[
                ("scheduledAmpsMax", json!(16)),
                ("scheduledAmpsStartHour", json!(22.5)),
                ("scheduledAmpsEndHour", json!(6.25)),
                ("scheduledAmpsDaysBitmap", json!(65)),
            ])],
        ),
        (
            Method::Put,
            "rules/schedule",
            r#"{"is_enabled": false}"#,
            vec![set_all(&[
                ("scheduledAmpsMax", json!(0)),
                ("scheduledAmpsStartHour", json!(-1)),
                ("scheduledAmpsEndHour", json!(-1)),
                ("scheduledAmpsDaysBitmap", json!(0)),
            ])],
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
        (Method::Patch, "evses/gen2-4085", "{}", 400, "is_enabled, priority, rate_control, stop_mode"),
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
        (Method::Options, "/api/getStatus", "GET, HEAD"),
        (Method::Trace, "/api/v2/charge-now", "POST, DELETE"),
        (Method::Query, "/api/v2/evses", "GET, HEAD"),
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
    assert_eq!(answer.json(), serde_json::to_value(scene()).expect("JSON"));
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
        let filled = path.replace("{id}", "gen2-4085").replace("{key}", "nonScheduledAction").replace("{name}", "none");
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
    let whole = serde_json::to_value(scene()).expect("JSON");
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
