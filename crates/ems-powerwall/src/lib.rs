//! Energy source: Tesla Powerwall, from the gateway in the house or from Tesla's cloud.
//!
//! | part | does |
//! |---|---|
//! | [`parse`] | reads the gateway's and the cloud's answers |
//! | [`Reserve`] | keeps the sun for the battery below a state of charge |
//! | [`CloudTokens`] | the program's token for Tesla's cloud |
//!
//! Facts: pypowerwall, vloschiavo/powerwall2, Tesla's Fleet API documentation; quirks and configuration in
//! `docs/ems/powerwall.md`.

mod cloud;
mod local;
pub mod parse;
mod reserve;

use std::time::{Duration, Instant};

use ems::{Attribute, Ems, EmsDriver, EmsError, EmsReading, KeyKind, KeySpec, Section, Shared, WireReading};
use ems_http::Stamp;

pub use cloud::CloudTokens;
use cloud::{Cloud, CloudOnly};
use local::Gateway;
pub use reserve::Reserve;

const CLOUD_BASE: &str = "https://fleet-api.prd.na.vn.cloud.tesla.com";
const CLOUD_TIMEOUT: Duration = Duration::from_secs(20);
/// How often the cloud is asked for storm watch alone; TWCManager's `cloudUpdateInterval`.
const CLOUD_INTERVAL_S: f64 = 1800.0;

/// The driver, for the registry.
pub const DRIVER: EmsDriver = EmsDriver {
    name: "Powerwall2",
    summary: "Tesla Powerwall gateways, and Tesla's cloud for Powerwall 3 and storm watch",
    keys: &[
        KeySpec::new(
            "serverIP",
            KeyKind::Text,
            "Address of the gateway; empty for a Powerwall 3, which the cloud reads",
        ),
        KeySpec::new("serverPort", KeyKind::Port, "Its port (default 443)"),
        KeySpec::new("password", KeyKind::Secret, "Password of the gateway's customer login"),
        KeySpec::new("minBatteryLevel", KeyKind::Number, "Percent below which no sun is left for cars (default 0)"),
        KeySpec::new("tlsFingerprint", KeyKind::Text, "SHA-256 of the gateway's certificate, to accept no other"),
        KeySpec::new(
            "cloudID",
            KeyKind::Text,
            "Number of the energy site in Tesla's cloud (default: the first with a battery)",
        ),
        KeySpec::new("token", KeyKind::Secret, "Access token for Tesla's cloud (default: the program's own)"),
        KeySpec::new("baseUrl", KeyKind::Text, "Address of the Fleet API of your region (default: North America)"),
        KeySpec::new(
            "cloudUpdateInterval",
            KeyKind::Number,
            "Seconds between questions for storm watch (default 1800)",
        ),
    ],
    open,
};

fn open(section: &mut Section, shared: &Shared) -> Option<Box<dyn Ems>> {
    let reserve = Reserve::new(section.number_within("minBatteryLevel", 0.0, 0.0, 100.0));
    let interval = section.number_within("cloudUpdateInterval", CLOUD_INTERVAL_S, 60.0, 86_400.0);
    let is_local = section.text("serverIP").is_some();
    let names_cloud = ["cloudID", "token", "baseUrl"].iter().any(|key| section.text(key).is_some());
    if !is_local && !names_cloud {
        section.error("serverIP", "is missing; put the gateway's address there, or for a Powerwall 3 set `cloudID`");
        return None;
    }
    let cloud = open_cloud(section, shared);
    if !is_local {
        (!section.has_errors()).then_some(())?;
        return Some(Box::new(CloudOnly { cloud: cloud?, reserve, stamp: Stamp::default() }));
    }
    let port = section.port("serverPort", 443);
    let base = ems_http::base(section, "serverIP", port, true);
    let tls = base.as_deref().map(|base| ems_http::device_tls(section, base));
    let client = ems_http::client(section, shared, base.as_deref(), "serverIP", |builder| {
        let builder = builder.cookies(true);
        match (base.as_deref(), tls) {
            (Some(base), Some(tls)) if base.starts_with("https") => builder.tls(tls),
            _ => builder,
        }
    });
    let password = section.text("password");
    if password.as_deref().is_some_and(|password| ems_http::placeholder(password).is_some()) {
        section.warn("password", "looks like the sample's placeholder; the gateway's own is on its label");
    }
    (!section.has_errors()).then_some(())?;
    let interval = Duration::from_secs_f64(interval);
    Some(Box::new(Gateway::new(client?, password, reserve, cloud, interval)))
}

fn open_cloud(section: &mut Section, shared: &Shared) -> Option<Cloud> {
    let base = ems_http::cloud_base(section, CLOUD_BASE);
    // A recording of its own, beside the gateway's.
    let client = ems_http::client(section, shared, base.as_deref(), "baseUrl", |builder| {
        builder.total_timeout(CLOUD_TIMEOUT).proxy_from_environment()
    });
    let (token, site) = (section.text("token"), section.text("cloudID"));
    Some(Cloud { client: client?, token, tokens: shared.get(), site, in_use: None })
}

/// What both ways have in common: the names that policies use, and the sun kept for the battery.
fn finish(mut values: WireReading, reserve: &mut Reserve, taken_at: Instant) -> Result<EmsReading, EmsError> {
    let told = [
        ("batteryLevel", values.battery_soc),
        ("importW", values.grid_w.map(|watts| watts.max(0.0))),
        ("exportW", values.grid_w.map(|watts| (-watts).max(0.0))),
        ("generatedW", values.generation_w),
        ("consumedW", values.consumption_w),
    ];
    for (name, value) in told {
        parse::number(&mut values, name, value);
    }
    if reserve.holds(values.battery_soc) {
        // Meant, not measured: `generatedW` keeps what the sun gives.
        values.generation_w = values.generation_w.map(|_| 0.0);
        values.attributes.insert("isReserved".into(), Attribute::Flag(true));
    }
    values.into_reading(taken_at).map_err(EmsError::garbled)
}

#[cfg(test)]
mod tests;
