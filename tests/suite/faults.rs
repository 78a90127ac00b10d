//! What goes wrong outside must stay outside.

use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;

use e2e::{Bus, Program, config_with, until};
use gen2_simulator::gen2_protocol::TwcId;
use gen2_simulator::{CarSettings, ConnectorSettings};
use serde_json::json;
use tempfile::TempDir;

fn connectors() -> Vec<ConnectorSettings> {
    vec![ConnectorSettings::european(TwcId::from_u16(0x4085)).with_car(CarSettings::default())]
}

#[test]
fn an_adapter_that_vanishes_and_returns_is_found_again() {
    let bus = Bus::start(connectors());
    let address = bus.address();
    let program = Program::start(&config_with(&bus.port(), &json!({})));
    until("the connector is found", || program.evse("gen2-4085").is_some_and(|evse| evse["link"] == "up"));
    drop(bus);
    until("its silence is noticed", || program.evse("gen2-4085").is_none_or(|evse| evse["link"] != "up"));
    let _bus = Bus::start_at(address, connectors());
    until("it is found again", || program.evse("gen2-4085").is_some_and(|evse| evse["link"] == "up"));
}

#[test]
fn a_damaged_journal_is_kept_aside_and_charging_goes_on() {
    let folder = Arc::new(TempDir::new().expect("a folder"));
    std::fs::write(folder.path().join("twcmanager.db"), b"no database ".repeat(500)).expect("a damaged file");
    let bus = Bus::start(connectors());
    let program = Program::start_in(Arc::clone(&folder), &config_with(&bus.port(), &json!({})));
    until("the connector is found", || program.evse("gen2-4085").is_some());
    let kept = std::fs::read_dir(folder.path())
        .expect("the folder")
        .flatten()
        .any(|entry| entry.file_name().to_string_lossy().contains("damaged"));
    assert!(kept, "the damaged file is kept");
}

#[test]
fn a_folder_that_cannot_be_written_stops_nobody() {
    let folder = Arc::new(TempDir::new().expect("a folder"));
    // Root may write anywhere, so a file stands where the folder should be.
    std::fs::write(folder.path().join("state"), b"").expect("a file");
    std::fs::set_permissions(folder.path().join("state"), PermissionsExt::from_mode(0o400)).expect("its mode");
    let bus = Bus::start(connectors());
    let mut config = config_with(&bus.port(), &json!({}));
    config["config"]["settingsPath"] = json!(folder.path().join("state/below"));
    let file = folder.path().join("config.json");
    std::fs::write(&file, config.to_string()).expect("the configuration");
    let program = Program::start_with_file(folder, &file, &config);
    until("the connector is found", || program.evse("gen2-4085").is_some());
}

#[test]
fn a_port_in_use_gives_way_to_the_next() {
    let taken = std::net::TcpListener::bind("0.0.0.0:0").expect("a port");
    let port = taken.local_addr().expect("its address").port();
    let bus = Bus::start(connectors());
    let config = config_with(&bus.port(), &json!({"control": {"HTTP": {"enabled": true, "listenPort": port}}}));
    let program = Program::start_at_next_port(&config);
    until("the connector is found", || program.evse("gen2-4085").is_some());
}

#[test]
fn ten_megabytes_of_body_are_refused_and_the_next_request_is_answered() {
    let bus = Bus::start(connectors());
    let program = Program::start(&config_with(&bus.port(), &json!({})));
    let body = serde_json::Value::String("x".repeat(10_000_000));
    assert_eq!(program.post("/api/chargeNow", &body), 413);
    assert_eq!(program.post("/api/chargeNow", &json!("not an object")), 400);
    assert!(program.get("/api/getStatus").is_object());
}
