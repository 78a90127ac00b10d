//! How the outputs of the log are doing.

use std::sync::Arc;

use control_http::{LogOutput, LogOutputs};
use serde_json::json;

use crate::bench::Bench;

#[derive(Debug)]
struct Outputs;

impl LogOutputs for Outputs {
    fn outputs(&self) -> Vec<LogOutput> {
        let output = |key: &str, trouble: Option<&str>, waiting, lost| LogOutput {
            key: key.to_owned(),
            trouble: trouble.map(str::to_owned),
            waiting,
            lost,
        };
        vec![
            output("logging.Console", None, 0, 0),
            output("logging.MySQL", Some("no answer from 192.168.1.9: check logging.MySQL.host"), 17, 2),
        ]
    }
}

#[test]
fn an_output_in_trouble_is_shown_and_is_no_reason_for_a_restart() {
    let bench = Bench::with(json!({}), |config| config.logs = Some(Arc::new(Outputs)));
    let answer = bench.get("/api/v2/logs");
    let expected = json!({"outputs": [
        {"key": "logging.Console", "trouble": null, "waiting": 0, "lost": 0},
        {"key": "logging.MySQL", "trouble": "no answer from 192.168.1.9: check logging.MySQL.host", "waiting": 17,
            "lost": 2},
    ]});
    assert_eq!((answer.status, answer.json()), (200, expected));
    let health = bench.get("/healthz");
    assert_eq!((health.status, health.json()["status"].as_str()), (200, Some("ok")));
    let warnings = health.json()["warnings"].to_string();
    let told = "logging.MySQL: no answer from 192.168.1.9: check logging.MySQL.host (17 records wait, 2 are lost)";
    assert!(warnings.contains(told) && !warnings.contains("Console"), "{warnings}");
}

#[test]
fn without_outputs_there_is_an_empty_list() {
    assert_eq!(Bench::new(json!({})).get("/api/v2/logs").json(), json!({"outputs": []}));
}
