//! Energy source: SolarEdge inverters with meters and batteries, over Modbus TCP in the house or through the cloud.
//!
//! | part | does |
//! |---|---|
//! | [`power_flow`], [`overview`] | read the cloud's answers |
//! | [`blocks`] | reads the registers of inverters, meters and batteries |
//!
//! Facts: SolarEdge's "SunSpec implementation technical note" and "Monitoring Server API"; quirks and configuration in
//! `docs/ems/solaredge.md`.

pub mod blocks;
mod cloud;
mod flow;
mod local;

use std::time::Duration;

use ems::{Ems, EmsDriver, KeyKind, KeySpec, Section, Shared};
use ems_registers::Device;

use cloud::Cloud;
pub use flow::{overview, power_flow};
use local::{Local, Role, Roles};

const CLOUD_BASE: &str = "https://monitoringapi.solaredge.com";
/// Twenty less than the cloud allows, for a look by hand.
const CALLS_A_DAY: f64 = 280.0;
/// Seconds to wait for a reply of the inverter.
const REPLY_S: f64 = 5.0;
const CLOUD_TIMEOUT: Duration = Duration::from_secs(20);

/// The driver, for the registry.
pub const DRIVER: EmsDriver = EmsDriver {
    name: "SolarEdge",
    summary: "SolarEdge inverters, meters and batteries (SunSpec Modbus, or the cloud)",
    keys: &[
        KeySpec::new("inverterHost", KeyKind::Text, "Address of the inverter; with it the cloud is not asked"),
        KeySpec::new("inverterPort", KeyKind::Port, "Its Modbus port (default 1502; older units 502)"),
        KeySpec::new("inverterUnits", KeyKind::Texts, "Modbus unit, or list of units behind that address (default 1)"),
        KeySpec::new("smartMeters", KeyKind::Objects, "Meters: `name` Meter1 to Meter3, `type` consumption or export"),
        KeySpec::new("apiKey", KeyKind::Secret, "Cloud: key of the site"),
        KeySpec::new("siteID", KeyKind::Text, "Cloud: number of the site"),
        KeySpec::new("dailyCalls", KeyKind::Number, "Cloud: calls a day (default 280 of the 300 that are allowed)"),
        KeySpec::new("baseUrl", KeyKind::Text, "Cloud: another address"),
        KeySpec::new("debugMode", KeyKind::Flag, "Of TWCManager; not used"),
        KeySpec::new("debugFile", KeyKind::Text, "Of TWCManager; not used"),
        KeySpec::new("pollMode", KeyKind::Number, "Of TWCManager; not used, the program finds out by itself"),
    ],
    open,
};

fn open(section: &mut Section, shared: &Shared) -> Option<Box<dyn Ems>> {
    match section.text("inverterHost") {
        Some(_) => open_local(section, shared).map(|local| Box::new(local) as Box<dyn Ems>),
        None => open_cloud(section, shared).map(|cloud| Box::new(cloud) as Box<dyn Ems>),
    }
}

fn open_local(section: &mut Section, shared: &Shared) -> Option<Local> {
    let target = ems_registers::tcp_target(section, "inverterHost", "inverterPort", 1502);
    let mut units = Vec::new();
    for text in section.texts("inverterUnits") {
        match text.parse::<u8>() {
            Ok(unit) if unit > 0 => units.push(unit),
            _ => section.error("inverterUnits", format!("`{text}` is no Modbus unit; a whole number from 1 to 255 is")),
        }
    }
    if units.is_empty() {
        units.push(1);
    }
    let roles = roles(section);
    let first = *units.first()?;
    let device = Device::open(section, shared, target?, first, "inverterHost", REPLY_S)?;
    (!section.has_errors()).then_some(())?;
    Some(Local::new(units.iter().map(|unit| device.with_unit(*unit)).collect(), roles))
}

/// `None` without the key: then the meters are asked what they are.
fn roles(section: &mut Section) -> Option<Roles> {
    let mut roles = Vec::new();
    for mut meter in section.sections("smartMeters") {
        let place = match meter.required_text("name").to_ascii_lowercase().as_str() {
            "meter1" => Some(1),
            "meter2" => Some(2),
            "meter3" => Some(3),
            "" => None,
            _ => {
                meter.error("name", "is none of `Meter1`, `Meter2` and `Meter3`");
                None
            }
        };
        let role = match meter.required_text("type").to_ascii_lowercase().as_str() {
            "consumption" => Some(Role::Consumption),
            "export" => Some(Role::Grid),
            "" => None,
            _ => {
                meter.error("type", "is neither `consumption` nor `export` (a meter at the grid connection)");
                None
            }
        };
        roles.extend(place.zip(role));
        section.absorb(meter);
    }
    (!roles.is_empty()).then_some(roles)
}

fn open_cloud(section: &mut Section, shared: &Shared) -> Option<Cloud> {
    if section.text("apiKey").is_none() && section.text("siteID").is_none() {
        section.error(
            "inverterHost",
            "is missing; put the inverter's address there, or `apiKey` and `siteID` for the cloud",
        );
        return None;
    }
    let api_key = section.required_text("apiKey");
    let site_id = section.required_text("siteID");
    for (key, text) in [("apiKey", &api_key), ("siteID", &site_id)] {
        if ems_http::placeholder(text).is_some() {
            section.error(
                key,
                "is still the sample's placeholder; take yours from the site's page under Admin > Site Access",
            );
        }
    }
    let calls = section.number_within("dailyCalls", CALLS_A_DAY, 1.0, 10_000.0);
    let base = ems_http::cloud_base(section, CLOUD_BASE);
    let client = ems_http::client(section, shared, base.as_deref(), "baseUrl", |builder| {
        builder.total_timeout(CLOUD_TIMEOUT).proxy_from_environment()
    });
    (!section.has_errors()).then_some(())?;
    // Whole and within 1 to 10000, so nothing is cut off.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let calls = calls as u32;
    Some(Cloud::new(client?, &site_id, api_key, calls, shared.get(), section.path().to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use ems::Stop;
    use recordings::{Answer, Peer};
    use serde_json::{Value, json};

    fn section(values: &Value) -> Section {
        Section::new("sources.SolarEdge", values.as_object().unwrap().clone())
    }

    #[test]
    fn mistakes_are_named_at_start() {
        for (values, key) in [
            (json!({}), "inverterHost"),
            (json!({"apiKey": "abcdef", "siteID": 1}), "apiKey"),
            (json!({"apiKey": "K3Y"}), "siteID"),
            (json!({"inverterHost": "x.x.x.x"}), "inverterHost"),
            (json!({"inverterHost": "192.0.2.1", "inverterUnits": [1, "two"]}), "inverterUnits"),
            (
                json!({"inverterHost": "192.0.2.1", "smartMeters": [{"name": "Meter4", "type": "export"}]}),
                "smartMeters[0].name",
            ),
            (
                json!({"inverterHost": "192.0.2.1", "smartMeters": [{"name": "Meter1", "type": "import"}]}),
                "smartMeters[0].type",
            ),
        ] {
            let mut section = section(&values);
            assert!((DRIVER.open)(&mut section, &Shared::new()).is_none(), "{values}");
            assert_eq!(section.problems()[0].key, format!("sources.SolarEdge.{key}"));
        }
    }

    #[test]
    fn the_cloud_is_read_through_the_configuration() {
        let peer = Peer::start(|_| {
            Answer::json(r#"{"siteCurrentPowerFlow": {"unit": "kW", "connections": [], "PV": {"currentPower": 3.14}}}"#)
        });
        let mut section = section(&json!({"apiKey": "K3Y", "siteID": 12, "baseUrl": peer.url(), "debugMode": "1"}));
        let mut driver = (DRIVER.open)(&mut section, &Shared::new()).unwrap();
        let reading = driver.read(&Stop::never()).unwrap();
        assert_eq!(reading.generation.map(ems::units::Watts::get), Some(3140.0));
        assert_eq!(peer.asked()[0].target, "/site/12/currentPowerFlow?api_key=K3Y");
    }
}
