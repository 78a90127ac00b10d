//! `check`, `decode` and what is said about mistakes.

use e2e::{Meter, config_with, run_to_end};
use serde_json::{Value, json};
use tempfile::TempDir;

fn check(config: &str, more: &[&str]) -> (Option<i32>, Value) {
    let folder = TempDir::new().expect("a folder");
    let file = folder.path().join("config.json");
    std::fs::write(&file, config).expect("the configuration");
    let file = file.to_string_lossy().into_owned();
    let output = run_to_end(&[&["check", "--json", "--config", &file], more].concat());
    let report = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"));
    (output.status.code(), report)
}

#[test]
fn a_good_configuration_with_a_good_meter_is_well() {
    let meter = Meter::start(4_200.0, 640.0);
    let url =
        json!({"enabled": true, "url": meter.url(), "generationItem": "generation", "consumptionItem": "consumption"});
    let (code, report) = check(&config_with("/dev/null", &json!({"sources": {"URL": url}})).to_string(), &[]);
    assert_eq!(code, Some(0), "{report}");
    assert_eq!(report["config"]["ok"], true);
    let source = &report["ems"][0];
    assert_eq!((&source["name"], &source["ok"], &source["error"]), (&json!("URL"), &json!(true), &Value::Null));
    assert_eq!(source["reading"]["generation_w"], 4200.0);
    assert_eq!(source["reading"]["grid_w"], Value::Null);
    assert_eq!(source["reading"]["grid_amps"], Value::Null);
}

#[test]
fn a_meter_that_answers_with_a_page_is_named() {
    let meter = Meter::start(1.0, 1.0);
    meter.answer("/generation", "<html><body>log in</body></html>");
    let url = json!({"enabled": true, "url": meter.url(), "generationItem": "generation"});
    let (code, report) = check(&config_with("/dev/null", &json!({"sources": {"URL": url}})).to_string(), &[]);
    assert_eq!(code, Some(1), "{report}");
    assert!(report["ems"][0]["error"].as_str().is_some_and(|text| text.contains("web page")), "{report}");
}

#[test]
fn a_mistake_is_named_with_its_line_and_key() {
    let config = "{\n  \"config\": {\n    \"wiringMaxAmpsAllTWCs\": \"six\",\n  },\n}\n";
    let (code, report) = check(config, &[]);
    assert_eq!(code, Some(2), "{report}");
    let error = &report["config"]["errors"][0];
    assert_eq!((&error["line"], &error["key"]), (&json!(3), &json!("config.wiringMaxAmpsAllTWCs")), "{report}");
}

#[test]
fn an_unknown_key_is_a_warning_with_the_nearest_known_one() {
    let mut config = config_with("/dev/null", &json!({}));
    config["config"]["wiringMaxAmpPerTWC"] = json!(16);
    let (code, report) = check(&config.to_string(), &[]);
    assert_eq!(code, Some(0), "{report}");
    let message = report["config"]["warnings"].to_string();
    assert!(message.contains("wiringMaxAmpsPerTWC"), "{message}");
}

#[test]
fn run_refuses_a_configuration_that_cannot_be_used() {
    let output = run_to_end(&["run", "--config", "/nowhere/config.json"]);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
}

#[test]
fn frames_are_explained() {
    let output = run_to_end(&["decode", "FDE218395", "FD E2 18 39 52 0C 80 00 00 00 00 00 00 00 00 11"]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(1));
    assert!(text.contains("1839") && text.contains("32"), "{text}");
}
