//! Whole files in, configurations and messages out.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use config::{Config, Diagnostic, KeySet, Loaded, Secret};
use serde_json::{Value, json};
use units::{Amps, Phases};
fn fixture(name: &str) -> Loaded {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name);
    config::parse(name, &fs::read(path).unwrap(), &KeySet::builtin())
}

fn accepted(loaded: Loaded) -> (Config, Vec<String>) {
    assert!(loaded.errors.is_empty(), "{:#?}", loaded.errors);
    (
        loaded.config.unwrap(),
        loaded.warnings.iter().map(|warning| format!("{} {}", warning.line, warning.key)).collect(),
    )
}

fn text(source: &str) -> Loaded {
    config::parse("config.json", source.as_bytes(), &KeySet::builtin())
}

#[test]
fn an_old_file_with_comments_and_old_names_loads() {
    let (config, warnings) = accepted(fixture("comments-1.2.1.json"));
    assert_eq!(config.site.wiring_max_all_twcs, Amps::from_whole(40));
    assert_eq!(config.site.phases, Phases::Three);
    assert_eq!(config.site.consumption_offset, Amps::from_centiamps(150));
    assert_eq!(config.site.log_level, 17);
    let [bus] = &config.interface.rs485[..] else { panic!("one bus expected") };
    assert_eq!((bus.port.as_str(), bus.baud, bus.slave_timeout), ("/dev/ttyUSB3", 9600, Duration::from_secs(40)));
    assert_eq!(config.control.http.as_ref().map(|http| http.port), Some(8081));
    let fronius = &config.sources[0];
    assert_eq!((fronius.path.as_str(), fronius.is_enabled), ("sources.Fronius", true));
    assert_eq!(fronius.options["serverIP"], json!(["10.0.0.7", "10.0.0.8"]));
    assert_eq!(fronius.options["serverPort"], json!(80));
    assert_eq!(config.sources[1].options["consumptionFeed"], json!("1"));
    assert_eq!(
        warnings,
        [
            "10 config.greenEnergyAmpsOffset",
            "11 config.onlyChargeMultiCarsAtHome",
            "12 config.debugLevel",
            "14 config.rs485adapter",
            "15 config.baud",
            "17 interfaces.RS485.slaveTimeout",
        ]
    );
}

#[test]
fn the_sample_that_its_own_program_could_not_read_loads() {
    let (config, warnings) = accepted(fixture("missing-comma-1.3.4.json"));
    assert!(config.site.subtract_charger_load);
    assert_eq!(config.policy.before[0].charge_amps, Some(json!("config.wiringMaxAmpsAllTWCs")));
    assert_eq!(config.policy.restrictions[0].1.values, [json!(9)]);
    let mqtt = config.status.mqtt.unwrap();
    assert_eq!(mqtt.broker.login, Some(("u".into(), Secret::new("ab#cd//e"))));
    assert_eq!((mqtt.broker.port, mqtt.broker.tls), (1883, true));
    assert!(config.logging.csv.unwrap().mute.slave_status);
    assert_eq!(config.logging.sentry, None);
    let device = &config.gen3.unwrap().devices[0];
    assert_eq!((device.fuse, device.phases), (Amps::from_whole(40), Phases::Three));
    assert!(config.vehicle.tesla_api && !config.vehicle.tesla_ble);
    assert_eq!(warnings, ["7 config.minAmpsPerTWC", "40 "]);
}

#[test]
fn indented_yaml_loads() {
    let (config, warnings) = accepted(fixture("indented.yaml"));
    assert_eq!(config.site.max_from_grid, Some(Amps::from_whole(25)));
    assert_eq!(config.site.grid_fuse_per_phase, Some(Amps::from_whole(35)));
    assert_eq!(config.site.webhook_method, config::WebhookMethod::Get);
    assert_eq!(config.site.tesla.proxy_trust, config::ProxyTrust::Unchecked);
    let ports: Vec<_> = config.interface.rs485.iter().map(|bus| bus.port.as_str()).collect();
    assert_eq!(ports, ["/dev/ttyUSB0", "/dev/ttyUSB1"]);
    let paths: Vec<_> = config.sources.iter().map(|source| (source.path.as_str(), source.is_enabled)).collect();
    assert_eq!(paths, [("sources.SmartMe[0]", true), ("sources.SmartMe[1]", false), ("sources.Growatt", true)]);
    assert_eq!(config.sources[0].options["serialNumber"], json!("0042"));
    assert_eq!(config.sources[2].options["useBatteryBefore"], json!("06:30"));
    assert_eq!(warnings, Vec::<String>::new());
}

#[test]
fn each_wrong_value_is_named_with_place_and_remedy() {
    let loaded = fixture("broken.json");
    assert!(loaded.config.is_none());
    let shown: Vec<String> = loaded
        .errors
        .iter()
        .map(|error| format!("{}:{} {}: {}", error.line, error.column, error.key, error.message))
        .collect();
    assert_eq!(
        shown,
        [
            "3:5 config.wiringMaxAmpsAllTWCs: found the text `six`, but a number from 0 to 1000 A is allowed here",
            "5:5 config.minAmpsPerTWC: found `2000`, but a number from 0 to 1000 A is allowed here",
            "6:5 config.subtractChargerLoad: found the text `perhaps`, but `true` or `false` is allowed here",
            "7:5 config.numberOfPhases: found a list, but a whole number from 1 to 3 is allowed here",
            "8:5 config.teslaApiRegion: found the text `Mars`, but one of `NA`, `EU`, `CN` is allowed here",
            "11:5 control.HTTP: found `true`, but an object such as `{ \"enabled\": true }` is expected here",
        ]
    );
    let warned: Vec<_> =
        loaded.warnings.iter().map(|warning| (warning.key.as_str(), warning.message.as_str())).collect();
    let expected = [
        ("config.wiringMaxAmpsPerTwc", "did you mean `wiringMaxAmpsPerTWC`?"),
        ("control.MQTT.brokerPort", "ignored, since this section is switched off"),
        ("startStopDelay", "did you mean to put it in `config`?"),
        ("polices", "did you mean `policy`?"),
        ("sources.Froneus", "did you mean `Fronius`?"),
    ];
    assert_eq!(warned.len(), expected.len(), "{warned:#?}");
    for ((key, message), (expected_key, part)) in warned.into_iter().zip(expected) {
        assert_eq!(key, expected_key);
        assert!(message.contains(part), "{key}: {message}");
    }
}

#[test]
fn the_shared_limit_has_to_be_given() {
    let loaded = text("{}");
    assert_eq!(loaded.errors[0].key, "config.wiringMaxAmpsAllTWCs");
    assert!(text("{\"config\": {\"wiringMaxAmpsAllTWCs\": 6}}").config.is_some());
}

#[test]
fn keys_that_contradict_each_other_are_explained() {
    for (source, key, part) in [
        (r#"{"config": {"wiringMaxAmpsAllTWCs": 6}}"#, "config.minAmpsPerTWC", "no car will ever be charged"),
        (
            r#"{"config": {"wiringMaxAmpsAllTWCs": 16, "wiringMaxAmpsPerTWC": "32"}}"#,
            "config.wiringMaxAmpsPerTWC",
            "16.00 A is used",
        ),
        (r#"{"config": {"wiringMaxAmpsAllTWCs": 16, "greenEnergyLimit": 40}}"#, "config.greenEnergyLimit", "50 to 100"),
        (
            r#"{"config": {"wiringMaxAmpsAllTWCs": 16, "defaultVoltage": 400}}"#,
            "config.defaultVoltage",
            "between two phases",
        ),
        (r#"{"config": {"wiringMaxAmpsAllTWCs": 16, "latitude": 50}}"#, "config.latitude", "config.longitude"),
        (
            r#"{"config": {"wiringMaxAmpsAllTWCs": 16, "maxAmpsAllowedFromGrid": 40, "gridFuseAmpsPerPhase": 35}}"#,
            "config.maxAmpsAllowedFromGrid",
            "fuse counts",
        ),
        (r#"{"config": {"wiringMaxAmpsAllTWCs": 16}, "interface": {}}"#, "interface", "no interface"),
        (
            r#"{"config": {"wiringMaxAmpsAllTWCs": 16}, "policy": {"override": [{"name": "x", "match": [1], "condition": ["none"], "value": [1]}], "extend": {"webhooks": {"x": {}}}}}"#,
            "policy.extend",
            "replaces all policies",
        ),
        (
            r#"{"config": {"wiringMaxAmpsAllTWCs": 16}, "policy": {"extend": {"webhooks": {"Charge now": {}}}}}"#,
            "policy.extend.webhooks.Charge now",
            "did you mean `Charge Now`?",
        ),
        (
            r#"{"config": {"wiringMaxAmpsAllTWCs": 16}, "sources": {"Efergy": {"enabled": true, "token": "xx"}}}"#,
            "sources.Efergy.token",
            "example's value",
        ),
        (
            r#"{"config": {"wiringMaxAmpsAllTWCs": 16}, "control": {"MQTT": {"enabled": true, "brokerIP": "b"}}}"#,
            "control.MQTT.topicPrefix",
            "does nothing without",
        ),
    ] {
        let loaded = text(source);
        assert!(loaded.errors.is_empty(), "{source} {:?}", loaded.errors);
        let found = loaded
            .warnings
            .iter()
            .find(|warning| warning.key == key)
            .unwrap_or_else(|| panic!("{source} {:?}", loaded.warnings));
        assert!(found.message.contains(part), "{}", found.message);
    }
}

#[test]
fn contradictions_that_would_do_harm_are_errors() {
    for (source, key) in [
        (
            r#"{"config": {"wiringMaxAmpsAllTWCs": 16}, "interface": {"RS485": [{"port": "a"}, {"port": "a"}]}}"#,
            "interface.RS485",
        ),
        (
            r#"{"config": {"wiringMaxAmpsAllTWCs": 16}, "policy": {"override": [{"name": "x", "match": [1], "condition": ["is"], "value": [1]}]}}"#,
            "policy.override[0].condition",
        ),
        (
            r#"{"config": {"wiringMaxAmpsAllTWCs": 16}, "policy": {"extend": {"after": ["x"]}}}"#,
            "policy.extend.after[0]",
        ),
    ] {
        let loaded = text(source);
        assert!(loaded.config.is_none());
        assert_eq!(loaded.errors[0].key, key);
    }
}

#[test]
fn one_connector_may_never_have_more_than_all_share() {
    let config = text(r#"{"config": {"wiringMaxAmpsAllTWCs": 16, "wiringMaxAmpsPerTWC": 32, "minAmpsPerTWC": 6}}"#)
        .config
        .unwrap();
    assert_eq!(config.site.wiring_max_per_twc, Amps::from_whole(16));
}

#[test]
fn a_finding_serialises_as_five_fields() {
    let finding = Diagnostic::error("f", config::Position { line: 2, column: 3 }, "a.b", "m");
    assert_eq!(
        serde_json::to_string(&finding).unwrap(),
        r#"{"file":"f","line":2,"column":3,"key":"a.b","message":"m"}"#
    );
    assert_eq!(finding.to_string(), "f:2:3: error: a.b: m");
}

#[test]
fn no_finding_shows_a_secret() {
    let source = r#"{"config": {"wiringMaxAmpsAllTWCs": 16, "teslaApiClientSecret": ["hunter2"]}, "sources": {"Efergy": {"enabled": true, "token": {"a": "hunter2"}},
        "Nope": {"password": "hunter2"}}, "control": {"MQTT": {"password": "hunt"er2", "username": hunter2"}}}"#;
    let loaded = text(source);
    assert!(loaded.errors.len() > 1);
    for finding in loaded.errors.iter().chain(&loaded.warnings) {
        assert!(!finding.message.contains("unter2"), "{finding}");
        assert!(!finding.message.contains("er2"), "{finding}");
    }
}

#[test]
fn no_debug_form_shows_a_secret() {
    let source = r#"{"config": {"wiringMaxAmpsAllTWCs": 16, "teslaApiClientSecret": "hunter2"}, "sources": {"SmartMe": {"password": "hunter2"}},
        "status": {"MQTT": {"enabled": true, "brokerIP": "b", "username": "u", "password": "hunter2"}}, "pricing": {"Amber": {"token": "hunter2"}}}"#;
    let loaded = text(source);
    assert!(loaded.config.is_some());
    assert!(!format!("{loaded:?}").contains("hunter2"));
    assert!(!format!("{:?}", loaded.document.get("config.teslaApiClientSecret")).contains("hunter2"));
}

#[test]
fn a_missing_file_is_an_error_that_says_so() {
    let loaded = config::load(Path::new("/nonexistent/config.json"), &KeySet::builtin());
    assert!(loaded.errors[0].message.contains("cannot be read"));
    assert_eq!(config::find(Some(Path::new("/x"))), PathBuf::from("/x"));
}

#[test]
fn a_driver_may_bring_its_own_keys() {
    const KEYS: &[config::Key] = &[config::Key::new("depth", config::Kind::Number, "How deep.").unit("m").number(2.0)];
    let keys = KeySet::builtin().with(config::Section::source("Well", KEYS, "A well."));
    let source =
        br#"{"config": {"wiringMaxAmpsAllTWCs": 16, "minAmpsPerTWC": 6}, "sources": {"Well": {"depth": "3.5"}}}"#;
    let loaded = config::parse("c", source, &keys);
    let (config, warnings) = accepted(loaded);
    assert_eq!(config.sources[0].options["depth"], json!(3.5));
    assert!(warnings.iter().all(|warning| !warning.contains("Well")), "{warnings:?}");
    assert!(config::schema(&keys)["$defs"]["sources.Well"].is_object());
}

/// Recordings of real installations, where a developer has them.
#[test]
fn recorded_files_load_without_errors() {
    let Some(folder) = recordings::folder("twcmanager") else { return };
    let Ok(entries) = fs::read_dir(folder) else { return };
    for folder in entries.flatten().map(|entry| entry.path()).filter(|path| path.join("config.json").exists()) {
        let bytes = fs::read(folder.join("config.json")).unwrap();
        let (config, _) = accepted(config::parse("config.json", &bytes, &KeySet::builtin()));
        assert_eq!(config.site.wiring_max_all_twcs, Amps::from_whole(80));
        let expected: Value = serde_json::from_slice(&bytes).unwrap();
        assert_eq!(config::read("c", &bytes).0.to_value(), expected);
    }
}

#[test]
fn https_is_whole_or_an_error() {
    let loaded = |more: &str| {
        text(&format!(
            r#"{{"config": {{"wiringMaxAmpsAllTWCs": 32, "wiringMaxAmpsPerTWC": 32}},
                "control": {{"HTTP": {{"enabled": true, {more}}}}}}}"#
        ))
    };
    let whole =
        loaded(r#""certificate": "/a.pem", "key": "/b.pem", "tlsPort": 8443, "hostNames": "Cars.Example.org.""#);
    let http = whole.config.and_then(|config| config.control.http).expect("usable");
    assert_eq!((http.port, http.tls_port, http.read_needs_password), (8080, Some(8443), false));
    assert_eq!(http.tls, Some(("/a.pem".into(), "/b.pem".into())));
    assert_eq!(http.host_names, ["cars.example.org"]);
    for (more, key) in [
        (r#""certificate": "/a.pem""#, "control.HTTP.certificate"),
        (r#""key": "/b.pem""#, "control.HTTP.key"),
        (r#""certificate": "", "key": "/b.pem""#, "control.HTTP.certificate"),
        (r#""tlsPort": 8443"#, "control.HTTP.tlsPort"),
        (r#""certificate": "/a.pem", "key": "/b.pem", "tlsPort": 8080"#, "control.HTTP.tlsPort"),
    ] {
        let found: Vec<_> = loaded(more).errors.into_iter().map(|error| error.key).collect();
        assert_eq!(found, [key], "{more}");
    }
    let warned = loaded(r#""hostNames": ["https://cars.example.org"]"#);
    assert_eq!((warned.errors.len(), warned.warnings[0].key.as_str()), (0, "control.HTTP.hostNames"));
}

/// TWCManager asked a P1 Monitor as soon as it had an address; every other source needs `enabled`.
#[test]
fn a_p1_monitor_with_an_address_is_in_use_without_enabled() {
    let is_on = |source: &str| {
        let text =
            format!(r#"{{"config": {{"wiringMaxAmpsAllTWCs": 16, "minAmpsPerTWC": 6}}, "sources": {{{source}}}}}"#);
        let (config, warnings) = accepted(config::parse("c", text.as_bytes(), &KeySet::builtin()));
        (config.sources[0].is_enabled, warnings.iter().any(|warning| warning.ends_with(" sources.P1Monitor")))
    };
    assert_eq!(is_on(r#""P1Monitor": {"serverIP": "192.168.1.5"}"#), (true, true));
    assert_eq!(is_on(r#""P1Monitor": {"serverIP": "192.168.1.5", "enabled": null}"#), (true, true));
    assert_eq!(is_on(r#""P1Monitor": {"serverIP": "192.168.1.5", "enabled": true}"#), (true, false));
    assert_eq!(is_on(r#""P1Monitor": {"serverIP": "192.168.1.5", "enabled": false}"#), (false, false));
    assert_eq!(is_on(r#""P1Monitor": {"serverIP": " "}"#), (false, false));
    assert_eq!(is_on(r#""TED": {"serverIP": "192.168.1.5"}"#), (false, false));
}
