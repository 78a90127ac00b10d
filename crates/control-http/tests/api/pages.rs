//! The addresses of the old pages: what they answer where there is no such page any more.

use http_door::{Method, Request};
use serde_json::{Value, json};

use crate::bench::{Bench, set, set_all};

#[test]
fn old_pages_lead_to_the_page() {
    let bench = Bench::new(json!({}));
    for path in [
        "/debug",
        "/graphs",
        "/graphsP",
        "/policy",
        "/schedule",
        "/settings",
        "/teslaAccount",
        "/upgradePrompt",
        "/vehicleDetail",
        "/vehicleDetail/5YJ3E1EA8KF000001",
        "/vehicles",
    ] {
        let answer = bench.get(path);
        assert_eq!((answer.status, answer.header("location")), (302, Some("/")), "{path}");
        assert_eq!(bench.get(&format!("{path}?x=1")).status, 302, "{path}");
    }
    for path in ["/nonexistent", "/static/css/styles.css", "/static/../settings.json", "/static/%2e%2e/config.json"] {
        assert_eq!(bench.get(path).status, 404, "{path}");
    }
    for path in ["/nonexistent", "/vehicle/group", "/debug/TeslaAPICommand"] {
        let answer = bench.post(path, "a=b");
        assert_eq!((answer.status, answer.text.as_str()), (404, ""), "{path}");
    }
    for path in ["/settings/homeLocation", "/settings/save", "/teslaAccount/saveToken", "/vehicle/groupMgmt"] {
        let answer = bench.get(path);
        assert_eq!((answer.status, answer.header("allow")), (405, Some("POST")), "{path}");
    }
    assert_eq!(bench.site.taken(), []);
}

#[test]
fn addresses_that_no_release_had_are_unknown() {
    let bench = Bench::new(json!({}));
    for path in
        ["getPricing", "getPricingModules", "getCheapestWindow", "getPolicyState", "getStatus/", "", "nonexistent"]
    {
        let answer = bench.get(&format!("/api/{path}"));
        assert_eq!((answer.status, answer.text.as_str()), (404, ""), "{path}");
    }
    let answer = bench.post("/api/refreshPricing", "{}");
    assert_eq!((answer.status, answer.text.as_str()), (404, ""));
}

#[test]
fn the_addresses_of_a_sign_in_answer_as_where_none_is_configured() {
    let bench = Bench::new(json!({}));
    let location = |path: &str| {
        let answer = bench.get(path);
        assert_eq!(answer.status, 302, "{path}");
        answer.header("location").map(str::to_owned).unwrap_or_default()
    };
    assert_eq!(location("/teslaAccount/login?region=EU"), "/teslaAccount/not_configured");
    assert_eq!(location("/teslaAccount/callback?code=abc&state=def"), "/teslaAccount/state_mismatch");
    assert_eq!(location("/teslaAccount/not_configured"), "/#teslaAccount/not_configured");
    assert_eq!(location("/teslaAccount/no%0d%0aSuch%20thing"), "/#teslaAccount/no%0D%0ASuch%20thing");
    let pasted = bench.post("/teslaAccount/saveToken", "url=https%3A%2F%2Fexample.org%2Fcallback%3Fcode%3Da");
    assert_eq!((pasted.status, pasted.header("location")), (302, Some("/teslaAccount/state_mismatch")));
    let foreign = Request::new(Method::Post, "/teslaAccount/saveToken").with_header("origin", "http://evil.example");
    assert_eq!(bench.ask(&foreign).status, 403);
}

#[test]
fn what_cannot_be_done_is_not_said_to_be_done() {
    let bench = Bench::new(json!({}));
    assert_eq!(bench.get("/upgrade").status, 501);
    let pair = |form: &str| bench.post("/vehicle/localMgmt", form);
    let refusal = pair("operation=peerWithVehicle&vin=5YJ3E1EA8KF000001");
    assert_eq!(refusal.status, 501);
    assert!(refusal.text.contains("`twcmanager tesla pair-bluetooth 5YJ3E1EA8KF000001`"), "{refusal:?}");
    for wrong in ["", "operation=peerWithVehicle", "vin=5YJ3E1EA8KF000001", "operation=x&vin=a%0d"] {
        assert_eq!(pair(wrong).status, 400, "{wrong}");
    }
    assert_eq!(bench.site.taken(), []);
}

#[test]
fn old_forms_change_what_they_changed() {
    let bench = Bench::new(json!({}));
    let home = |path: &str, form: &str| {
        let answer = bench.post(path, form);
        assert_eq!((answer.status, answer.header("location")), (302, Some("/")), "{path} {form}: {answer:?}");
        bench.site.taken()
    };
    let unset = [set_all(&[("homeLat", Value::Null), ("homeLon", Value::Null)])];
    assert_eq!(home("/settings/homeLocation", "unset=Unset+Home+Location&vehicle=1,2"), unset);
    let place = [set_all(&[("homeLat", json!(52.5)), ("homeLon", json!(13.4))])];
    assert_eq!(home("/settings/homeLocation", "learn=Make&vehicle=13.4%2C52.5"), place);
    for wrong in ["", "vehicle=x", "vehicle=200%2C0", "vehicle=0%2C91"] {
        assert_eq!(bench.post("/settings/homeLocation", wrong).status, 400, "{wrong}");
    }
    let boxes = "enableDebugCommands";
    assert_eq!(home("/debug/saveToggle", ""), [set_all(&[(boxes, json!(0))])]);
    assert_eq!(home("/debug/saveToggle", "enableDebugCommands=on"), [set_all(&[(boxes, json!("on"))])]);
    // Quotation marks are taken out, numbers are numbers, blank fields and fields that the page never had are passed over.
    assert_eq!(
        home("/settings/save", "webControlTheme=%22Default%22&sendServerTime=1&chargeRateControl=&SlaveTWCs=x"),
        [set_all(&[("webControlTheme", json!("Default")), ("sendServerTime", json!(1))])]
    );
    assert_eq!(
        home("/settings/save", "nonScheduledAction=2"),
        [set_all(&[("nonScheduledAction", json!(2)), ("nonScheduledAmpsMax", json!(0))])]
    );
    assert_eq!(home("/settings/save", "offsetUnit=W"), []);
    for wrong in ["startCommonChargeTime=25%3A00", "scheduledAmpsMax=x", "resumeGreenEnergy=7"] {
        assert_eq!(bench.post("/schedule/save", wrong).status, 400, "{wrong}");
    }
}

#[test]
fn set_setting_passes_over_with_success_what_it_always_passed_over() {
    let bench = Bench::new(json!({}));
    let set_to = |body: Value| {
        let answer = bench.post("/api/setSetting", &body.to_string());
        assert_eq!((answer.status, answer.text.as_str()), (204, ""), "{body}");
        bench.site.taken()
    };
    for nothing in [
        json!({}),
        json!({"setting": "x"}),
        json!({"value": 1}),
        json!({"setting": "x", "value": "<b>"}),
        json!({"setting": "a;b", "value": 1}),
        json!({"setting": "", "value": 1}),
    ] {
        assert_eq!(set_to(nothing.clone()), [], "{nothing}");
    }
    assert_eq!(
        set_to(json!({"setting": "hourResumeTrackGreenEnergy", "value": "7"})),
        [set("hourResumeTrackGreenEnergy", 7)]
    );
    assert_eq!(set_to(json!({"setting": "code", "value": "007"})), [set("code", "007")]);
    for refused in [json!({"setting": "Schedule", "value": 1}), json!({"setting": "x", "value": {"a": 1}}), json!([])] {
        assert_eq!(bench.post("/api/setSetting", &refused.to_string()).status, 400, "{refused}");
    }
    assert_eq!(bench.site.taken(), []);
}

#[test]
fn a_schedule_of_the_old_interface_is_checked_field_by_field() {
    let bench = Bench::new(json!({}));
    let post = |body: Value| bench.post("/api/setScheduledChargingSettings", &body.to_string()).status;
    let whole = json!({"enabled": true, "startingMinute": 60, "endingMinute": 120, "monday": true, "amps": 16});
    let with = |key: &str, value: Value| {
        let mut body = whole.clone();
        body[key] = value;
        body
    };
    let off = [
        ("scheduledAmpsMax", json!(0)),
        ("scheduledAmpsStartHour", json!(-1)),
        ("scheduledAmpsEndHour", json!(-1)),
        ("scheduledAmpsDaysBitmap", json!(0)),
    ];
    let is_off = |taken: &[site::Command]| match taken {
        [site::Command::SetSettings(changes)] => {
            off.iter().all(|(key, value)| changes.iter().any(|(have, told)| have == key && told == value))
        }
        _ => false,
    };
    // Incomplete ones end the schedule, and text counts as yes, as in Python.
    for (key, value, expected) in [
        ("enabled", json!("false"), false),
        ("enabled", json!(""), true),
        ("enabled", json!(0), true),
        ("startingMinute", json!(-1), true),
        ("endingMinute", Value::Null, true),
        ("monday", json!(false), true),
        ("amps", json!(0), true),
        ("amps", json!("16"), false),
    ] {
        assert_eq!(post(with(key, value.clone())), 202, "{key} {value}");
        assert_eq!(is_off(&bench.site.taken()), expected, "{key} {value}");
    }
    for (key, value) in [("startingMinute", json!(1440)), ("endingMinute", json!("x")), ("amps", json!([]))] {
        assert_eq!(post(with(key, value.clone())), 400, "{key} {value}");
    }
    assert_eq!(bench.site.taken(), []);
}
