//! The HTTP interface of the running program: passwords, certificates, and what reaches the bus and the journal.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::time::Duration;

use e2e::{Bus, Program, binary, config_with, eventually, until};
use gen2_simulator::{CarSettings, ConnectorSettings};
use serde_json::{Value, json};
use tempfile::TempDir;
use ureq::tls::TlsConfig;

const PASSWORD: &str = "correct horse battery";

fn connector() -> ConnectorSettings {
    ConnectorSettings::european(gen2_simulator::gen2_protocol::TwcId::from_u16(0x4085)).with_car(CarSettings::default())
}

/// `twcmanager passwd` with one line on its standard input.
fn passwd(program: &Program, more: &[&str], line: &str) -> Output {
    let config = program.folder().path().join("config.json");
    let mut child = Command::new(binary())
        .args(["passwd", "--config"])
        .arg(config)
        .args(more)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary starts");
    child.stdin.take().expect("its input").write_all(line.as_bytes()).expect("written");
    child.wait_with_output().expect("it ends")
}

/// Posts to the old interface and gives the status; with headers.
fn post(program: &Program, headers: &[(&str, &str)]) -> u16 {
    let mut request = ureq::post(program.url("/api/cancelChargeNow")).config().http_status_as_error(false).build();
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.send_empty().expect("an answer").status().as_u16()
}

#[test]
fn a_password_closes_commands_of_a_running_program_at_once() {
    let bus = Bus::start(vec![connector()]);
    let program = Program::start(&config_with(&bus.port(), &json!({})));
    assert_eq!(post(&program, &[]), 200);
    let short = passwd(&program, &[], "short\n");
    assert!(!short.status.success() && String::from_utf8_lossy(&short.stderr).contains("8 characters"), "{short:?}");
    let set = passwd(&program, &[], &format!("{PASSWORD}\n"));
    assert!(set.status.success(), "{set:?}");
    assert_eq!(post(&program, &[]), 401);
    assert!(program.get("/api/getStatus")["carsCharging"].is_number(), "looking stays open");
    // anybody:correct horse battery
    let basic = "Basic YW55Ym9keTpjb3JyZWN0IGhvcnNlIGJhdHRlcnk=";
    assert_eq!(post(&program, &[("Authorization", basic)]), 200);
    assert_eq!(post(&program, &[("Authorization", "Basic YW55Ym9keTp3cm9uZw==")]), 401);
    let file = program.folder().path().join("access.json");
    assert_eq!(std::fs::metadata(&file).expect("the file").permissions().mode() & 0o777, 0o600);
    let content = std::fs::read_to_string(&file).expect("the file");
    assert!(content.contains("$argon2id$") && !content.contains(PASSWORD), "{content}");
    assert!(passwd(&program, &["--remove"], "").status.success());
    assert_eq!(post(&program, &[]), 200);
}

/// Writes a certificate for `localhost` and its key into a folder.
fn new_certificate(folder: &TempDir) {
    let pair = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).expect("a pair");
    std::fs::write(folder.path().join("cert.pem"), pair.cert.pem()).expect("written");
    std::fs::write(folder.path().join("key.pem"), pair.signing_key.serialize_pem()).expect("written");
}

#[test]
fn https_is_spoken_and_sighup_takes_over_what_it_can() {
    let bus = Bus::start(vec![connector()]);
    let folder = Arc::new(TempDir::new().expect("a folder"));
    new_certificate(&folder);
    let tls_port = TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a port").port();
    let file = |name: &str| folder.path().join(name);
    let mut config = config_with(&bus.port(), &json!({}));
    config["control"]["HTTP"]["certificate"] = json!(file("cert.pem"));
    config["control"]["HTTP"]["key"] = json!(file("key.pem"));
    config["control"]["HTTP"]["tlsPort"] = json!(tls_port);
    let program = Program::start_in(Arc::clone(&folder), &config);
    let https = |host: &str| {
        let answer = ureq::get(format!("https://127.0.0.1:{tls_port}/api/v2/session"))
            .config()
            .tls_config(TlsConfig::builder().disable_verification(true).build())
            .http_status_as_error(false)
            .timeout_global(Some(Duration::from_secs(10)))
            .build()
            .header("Host", host)
            .call();
        answer.map(|answer| answer.status().as_u16()).map_err(|error| error.to_string())
    };
    assert_eq!(https("localhost"), Ok(200));
    assert_eq!(https("cars.example.org"), Ok(421));
    let plain = ureq::get(format!("http://127.0.0.1:{tls_port}/")).call();
    assert!(plain.is_err(), "nothing is said without encryption there");

    let given: Value = serde_json::from_slice(&std::fs::read(file("config.json")).expect("the file")).expect("JSON");
    let change = |path: &str, value: Value| {
        let mut changed = given.clone();
        *changed
            .pointer_mut("/control/HTTP")
            .and_then(|http| http.as_object_mut())
            .expect("a section")
            .entry("hostNames")
            .or_insert(Value::Null) = json!(["cars.example.org"]);
        changed["config"][path] = value;
        std::fs::write(file("config.json"), changed.to_string()).expect("written");
    };
    change("minAmpsPerTWC", json!(7));
    new_certificate(&folder);
    program.signal("-HUP");
    program.wait_for_log("in force only after a restart: config.minAmpsPerTWC");
    program.wait_for_log("the certificate was read again");
    assert_eq!(https("cars.example.org"), Ok(200));

    // What cannot be used changes nothing.
    std::fs::write(file("config.json"), "{ \"config\": {").expect("written");
    std::fs::write(file("cert.pem"), "half").expect("written");
    program.signal("-HUP");
    program.wait_for_log("the one from before stays in force");
    program.wait_for_log("The certificate from before stays in use");
    assert_eq!(https("cars.example.org"), Ok(200));
    until("the bus is served all the while", || bus.limit(0) >= 0.0 && program.evse("gen2-4085").is_some());
}

#[test]
fn the_old_interface_reaches_the_bus_and_the_journal() {
    let bus = Bus::start(vec![connector()]);
    let program = Program::start(&config_with(&bus.port(), &json!({})));
    until("the connector is found", || program.evse("gen2-4085").is_some());
    let debug = |body: Value| program.post("/api/sendDebugCommand", &body);
    assert_eq!(debug(json!({"commandName": "Custom", "customCommand": "FC19777740850000"})), 400, "harmful");
    assert_eq!(debug(json!({"commandName": "GetFirmwareVersion"})), 204);
    let answer = eventually("the connector tells its version", || {
        let text = ureq::get(program.url("/api/getLastTWCResponse")).call().ok()?.body_mut().read_to_string().ok()?;
        text.contains("\\xfd\\xec").then_some(text)
    });
    assert!(answer.starts_with("bytearray(b'\\xfd\\xec@\\x85"), "{answer}");
    let points = eventually("the site's flows are written down", || {
        let graphs = program.get("/graphs/date");
        graphs.get("1").cloned()
    });
    assert!(points["chgW"].is_string() && points["time"].is_string(), "{points}");
}

/// What a client of HTTP/1.0 hears, without anything that it did not say.
fn bare(program: &Program, request: &str) -> String {
    let address = program.url("").replace("http://", "");
    let mut stream = TcpStream::connect(address).expect("connects");
    stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a time limit");
    stream.write_all(request.as_bytes()).expect("sends");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer, and then the end of the connection");
    answer
}

#[test]
fn the_old_addresses_answer_on_the_running_program() {
    let bus = Bus::start(vec![connector()]);
    let secret = json!({"control": {"MQTT": {"enabled": false, "brokerIP": "127.0.0.1", "password": "hidden-word"}}});
    let program = Program::start(&config_with(&bus.port(), &secret));
    until("the connector is found", || program.evse("gen2-4085").is_some());
    let get = |path: &str| program.get(&format!("/api/{path}"));
    let status = get("getStatus");
    assert!(status["chargerLoadAmps"][0].is_string() && status["ScheduledCharging"]["monday"].is_boolean(), "{status}");
    let slaves = get("getSlaveTWCs");
    assert_eq!((&slaves["4085"]["TWCID"], &slaves["total"]["TWCID"]), (&json!("4085"), &json!("total")));
    let names: Vec<Value> =
        get("getPolicy").as_array().expect("a list").iter().map(|policy| policy["name"].clone()).collect();
    let usual =
        ["Charge Now", "Scheduled Charging", "Track Green Energy", "Non Scheduled Charging", "Track Green Energy"];
    assert_eq!(names, usual);
    assert_eq!(get("getPolicy")[1]["match"], json!(["checkScheduledCharging()"]));
    assert_eq!(get("getHistory").as_array().map(Vec::len), Some(576));
    assert_eq!(get("getConsumptionOffsets"), json!({}));
    let action = get("getActivePolicyAction");
    assert!(action.is_null() || (1..=3).any(|code| action == code), "{action}");
    assert!(get("getUUID").is_u64());
    let config = get("getConfig");
    assert_eq!(config["interface"]["RS485"]["port"], bus.port());
    assert!(!config.to_string().contains("hidden-word"), "{config}");

    let answer = bare(&program, "POST /api/cancelChargeNow HTTP/1.0\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.0 200 ") && answer.ends_with(r#"{"status":"success"}"#), "{answer}");
    let answer = bare(&program, "GET /vehicles HTTP/1.0\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.0 302 ") && answer.to_lowercase().contains("location: /\r\n"), "{answer}");
    let answer = bare(&program, "TRACE / HTTP/1.0\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.0 405 "), "{answer}");
}
