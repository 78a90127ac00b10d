//! Energy source: Victron GX devices (Cerbo GX, Venus OS), by Modbus TCP or, better, by MQTT.
//!
//! | part | does |
//! |---|---|
//! | [`registers`] | what the registers make together |
//! | [`topics`] | what the published topics make together, and when to say that somebody listens |
//!
//! Over Modbus a value that is gone reads as 0; MQTT tells the two apart. Configuration and quirks in `docs/ems/victron.md`.

mod by_modbus;
mod by_mqtt;
pub mod registers;
pub mod topics;

use ems::{Ems, EmsDriver, KeyKind, KeySpec, Section, Shared};

/// The driver, for the registry.
pub const DRIVER: EmsDriver = EmsDriver {
    name: "Victron",
    summary: "Victron GX devices, by Modbus TCP or MQTT",
    keys: &[
        KeySpec::new("serverIP", KeyKind::Text, "Address of the GX device"),
        KeySpec::new("serverPort", KeyKind::Port, "Its Modbus port (default 502)"),
        KeySpec::new("unitID", KeyKind::Number, "Unit id of the system (default 100)"),
        KeySpec::new("timeout", KeyKind::Number, "Seconds to wait for an answer (default 10)"),
        KeySpec::new(
            "consumptionRegisters",
            KeyKind::Objects,
            "Own list of [register, unit] that is summed as consumption",
        ),
        KeySpec::new(
            "generationRegisters",
            KeyKind::Objects,
            "Own list of [register, unit] that is summed as generation",
        ),
        KeySpec::new("gridMeterUnit", KeyKind::Number, "Unit id of the grid meter, for volts and amps of each phase"),
        KeySpec::new(
            "veBusUnit",
            KeyKind::Number,
            "Unit id of the inverter (VE.Bus), for the same without a grid meter",
        ),
        KeySpec::new(
            "mqtt",
            KeyKind::Objects,
            "true, or {port, username, password, tls, caFile, portalId}: MQTT instead of Modbus",
        ),
    ],
    open,
};

fn open(section: &mut Section, shared: &Shared) -> Option<Box<dyn Ems>> {
    match section.raw("mqtt").map(|value| (value.is_object(), value.is_array())) {
        Some((true, _)) => {
            let mut inner = section.sections("mqtt").pop()?;
            let is_enabled = inner.flag("enabled", true);
            if !is_enabled {
                section.absorb(inner);
                return by_modbus::open(section, shared);
            }
            let opened = by_mqtt::open(section, &mut inner, shared);
            section.absorb(inner);
            opened.filter(|_| !section.has_errors())
        }
        Some((_, true)) => {
            section.error("mqtt", "must be `true` or one object; make the section a list for several devices");
            None
        }
        Some(_) if section.flag("mqtt", false) => {
            let mut inner = Section::new(format!("{}.mqtt", section.path()), serde_json::Map::new());
            let opened = by_mqtt::open(section, &mut inner, shared);
            section.absorb(inner);
            opened.filter(|_| !section.has_errors())
        }
        _ => by_modbus::open(section, shared),
    }
}
