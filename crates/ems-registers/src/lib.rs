//! What every energy source behind Modbus shares: a device from its section, recordings, and errors in its words.
//!
//! | part | does |
//! |---|---|
//! | [`tcp_target`], [`unit_id`] | address and unit from a section |
//! | [`Device`] | one unit of a connection that all sources with the same address share |
//! | [`Plan`], [`Image`] | which registers a driver wants, in few reads, learning what a device does not have |
//! | [`same_sign`] | a current that is a magnitude, with the direction of its power |
//!
//! ```
//! use ems::{Section, Shared};
//! use ems_registers::{Device, tcp_target, unit_id};
//!
//! let values = serde_json::json!({"serverIP": "192.0.2.7", "modbusPort": "1502"});
//! let mut section = Section::new("sources.Example", values.as_object().cloned().unwrap_or_default());
//! let target = tcp_target(&mut section, "serverIP", "modbusPort", 1502);
//! let unit = unit_id(&mut section, "unitID", 71);
//! assert!(target.is_some_and(|target| Device::open(&mut section, &Shared::new(), target, unit, "serverIP", 5.0).is_some()));
//! ```
//!
//! For drivers only; the protocol itself is the `modbus` crate's.

mod device;
mod plan;

use ems::Section;
use modbus::Target;

pub use device::Device;
pub use plan::{Image, Plan};

/// Address of a Modbus TCP device: the host at `host_key` (with or without port) and the port at `port_key`.
///
/// Notes in the section what is missing or cannot be an address.
pub fn tcp_target(section: &mut Section, host_key: &str, port_key: &str, default_port: u16) -> Option<Target> {
    let text = section.required_text(host_key);
    let port = section.port(port_key, default_port);
    let (host, port) = host_and_port(section, host_key, &text, port)?;
    Some(Target::Tcp { host, port })
}

/// The host in what users write: a name or address, perhaps with a scheme in front and a port behind.
pub fn host_and_port(section: &mut Section, key: &str, text: &str, port: u16) -> Option<(String, u16)> {
    if text.is_empty() {
        return None;
    }
    if let Some(placeholder) = ems_http::placeholder(text) {
        section
            .error(key, format!("is still the sample's placeholder `{placeholder}`; put your device's address there"));
        return None;
    }
    let bare = text.split_once("://").map_or(text, |(_, rest)| rest).trim_end_matches('/');
    let (host, port) = match bare.rsplit_once(':') {
        // More than one colon without brackets is an IPv6 address.
        Some((host, number)) if host.ends_with(']') || !host.contains(':') => match number.parse() {
            Ok(own) if own > 0 => (host, own),
            _ => {
                section.error(key, "has a port that is no number from 1 to 65535");
                return None;
            }
        },
        _ => (bare, port),
    };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    if host.is_empty() || host.contains(|c: char| c.is_whitespace() || c == '/') {
        section.error(key, "must be a host name or an IP address");
        return None;
    }
    Some((host.to_owned(), port))
}

/// The unit (slave) id at `key`, as number or text.
pub fn unit_id(section: &mut Section, key: &str, default: u8) -> u8 {
    whole(section, key, f64::from(default), 0.0, 255.0).and_then(|unit| u8::try_from(unit).ok()).unwrap_or(default)
}

/// A whole number within bounds at `key`; the default where the key is absent or wrong, which is noted.
pub fn whole(section: &mut Section, key: &str, default: f64, low: f64, high: f64) -> Option<u32> {
    let number = section.number_within(key, default, low, high);
    if number.fract() != 0.0 {
        section.error(key, format!("is {number}, a whole number is needed"));
        return None;
    }
    format!("{number:.0}").parse().ok()
}

/// Current with the sign of its power: most meters give a magnitude. Without a power it stays as it is, which for a
/// magnitude means import: the safe side for a fuse.
#[must_use]
pub fn same_sign(amps: f64, watts: Option<f64>) -> f64 {
    match watts {
        Some(watts) if watts < 0.0 => -amps.abs(),
        Some(_) => amps.abs(),
        None => amps,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn section(json: serde_json::Value) -> Section {
        Section::new("sources.Test", json.as_object().cloned().unwrap())
    }

    #[test]
    fn hosts_as_users_write_them() {
        for (text, expected) in [
            ("192.0.2.7", Some(("192.0.2.7", 502))),
            ("http://inverter.lan/", Some(("inverter.lan", 502))),
            ("192.0.2.7:1502", Some(("192.0.2.7", 1502))),
            ("[fe80::1]:1502", Some(("fe80::1", 1502))),
            ("fe80::1", Some(("fe80::1", 502))),
            ("192.0.2.7:x", None),
            ("a b", None),
            ("x.x.x.x", None),
        ] {
            let mut section = section(serde_json::json!({}));
            let found = host_and_port(&mut section, "serverIP", text, 502);
            assert_eq!(found, expected.map(|(host, port)| (host.to_owned(), port)), "{text}");
            assert_eq!(section.has_errors(), expected.is_none(), "{text}");
        }
    }

    #[test]
    fn unit_ids_may_be_numbers_or_text() {
        let mut section = section(serde_json::json!({"a": "71", "b": 3, "c": 300, "d": 1.5}));
        assert_eq!((unit_id(&mut section, "a", 1), unit_id(&mut section, "b", 1)), (71, 3));
        assert!(!section.has_errors());
        assert_eq!((unit_id(&mut section, "c", 1), unit_id(&mut section, "d", 1)), (1, 1));
        assert_eq!(section.problems().len(), 2);
    }

    #[test]
    fn a_current_goes_where_its_power_goes() {
        assert_eq!(same_sign(4.0, Some(-920.0)), -4.0);
        assert_eq!(same_sign(-4.0, Some(920.0)), 4.0);
        // Minus zero is no export.
        assert_eq!(same_sign(0.4, Some(-0.0)), 0.4);
        assert_eq!(same_sign(4.0, None), 4.0);
    }
}
