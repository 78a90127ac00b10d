//! `kill -9` at any moment, and an orderly end.

use std::sync::Arc;

use e2e::{Bus, Program, config_with, eventually, until};
use gen2_simulator::gen2_protocol::TwcId;
use gen2_simulator::{CarSettings, ConnectorSettings};
use serde_json::json;

fn charging_bus() -> Bus {
    Bus::start(vec![ConnectorSettings::european(TwcId::from_u16(0x4085)).with_car(CarSettings::default())])
}

fn session(program: &Program) -> Option<(String, f64)> {
    let evse = program.evse("gen2-4085")?;
    let session = evse.get("session").filter(|session| !session.is_null())?;
    Some((session["id"].as_str()?.to_owned(), session["energy_wh"].as_f64()?))
}

#[test]
fn a_session_goes_on_after_kill_9() {
    let bus = charging_bus();
    let config = config_with(&bus.port(), &json!({}));
    let mut program = Program::start(&config);
    until("the connector is found", || program.evse("gen2-4085").is_some());
    assert_eq!(program.post("/api/chargeNow", &json!({"chargeNowRate": 16, "chargeNowDuration": 3600})), 200);
    let (id, energy) = eventually("30 Wh are in the car", || session(&program).filter(|(_, energy)| *energy > 30.0));
    program.signal("-KILL");
    assert_eq!(program.wait(), None);
    let folder = program.folder();
    drop(program);

    let program = Program::start_in(Arc::clone(&folder), &config);
    let (again, resumed) = eventually("the session is there again", || session(&program));
    assert_eq!(again, id);
    // At 11 kW ten seconds are 31 Wh; no more than that may be missing.
    assert!(resumed >= energy - 31.0, "{resumed} Wh of {energy} Wh");
    assert!(program.get("/api/getStatus")["chargeNowAmps"] == 16, "Charge Now goes on too");
    until("the car goes on charging", || bus.limit(0) == 16.0 && bus.drawn() > 14.0);
}

#[test]
fn a_signal_ends_it_in_order() {
    for signal in ["-TERM", "-INT"] {
        let bus = charging_bus();
        let mut program = Program::start(&config_with(&bus.port(), &json!({})));
        assert!(program.post("/api/setSetting", &json!({"setting": "nonScheduledAmpsMax", "value": "7"})) < 300);
        program.signal(signal);
        assert_eq!(program.wait(), Some(0));
        let settings = std::fs::read_to_string(program.folder().path().join("settings.json")).expect("settings");
        assert!(settings.contains("nonScheduledAmpsMax"), "{settings}");
    }
}
