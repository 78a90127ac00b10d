//! The example, started by the program's own driver for plug-ins.

use ems::{Section, Shared, Stop};
use serde_json::{Value, json};

#[test]
fn the_example_works_as_a_plugin() {
    let folder = tempfile::tempdir().unwrap();
    let meter = folder.path().join("meter.json");
    std::fs::write(&meter, r#"{"house": 640, "sun": 4200}"#).unwrap();
    let Value::Object(options) = json!({"command": env!("CARGO_BIN_EXE_plugin"), "args": [meter]}) else { return };
    let mut section = Section::new("sources.Exec", options);
    let mut driver = (ems_exec::DRIVER.open)(&mut section, &Shared::new()).expect("usable options");
    let reading = driver.read(&Stop::never()).unwrap();
    assert_eq!(reading.generation.map(|watts| watts.get()), Some(4200.0));
    assert_eq!(reading.consumption.map(|watts| watts.get()), Some(640.0));
}
