//! What the configuration says of TeslaMate.

use std::collections::BTreeMap;

use config::Config;
use vehicle::Vin;
use vehicle_teslamate::Settings;
use vehicle_teslamate::tokens::Database;

use crate::talk::{CAR_BROKER_KEYS, broker};

const SECTION: &str = "vehicle.TeslaMate";

/// Its telemetry, where that is switched on.
///
/// # Errors
/// A sentence that names the key.
pub fn telemetry(config: &Config) -> Result<Option<Settings>, String> {
    let Some(mate) = &config.vehicle.teslamate else { return Ok(None) };
    let Some(telemetry) = &mate.telemetry else { return Ok(None) };
    let mut cars = BTreeMap::new();
    for (number, vin) in &mate.cars {
        let Some(vin) = Vin::parse(&vin.to_ascii_uppercase()) else {
            return Err(format!(
                "{SECTION}.cars.{number} is `{vin}`, which is no VIN: a VIN has 17 letters and digits"
            ));
        };
        cars.insert(number.clone(), vin);
    }
    let broker = broker(&telemetry.broker, SECTION, CAR_BROKER_KEYS)?;
    let (prefix, home_geofence) = (telemetry.prefix.clone(), mate.home_geofence.clone());
    Ok(Some(Settings { broker, prefix, cars, home_geofence }))
}

/// Its database, where its access token is to be used.
pub fn database(config: &Config) -> Option<Database> {
    let tokens = config.vehicle.teslamate.as_ref()?.tokens.as_ref()?;
    let reveal = |secret: &Option<config::Secret>| secret.as_ref().map(|secret| secret.reveal().to_owned());
    Some(Database {
        host: tokens.host.clone(),
        port: tokens.port,
        name: tokens.name.clone(),
        user: tokens.user.clone(),
        password: reveal(&tokens.password).unwrap_or_default(),
        encryption_key: reveal(&tokens.encryption_key).unwrap_or_default(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(mate: &str) -> Config {
        let text = format!(
            r#"{{"config": {{"wiringMaxAmpsAllTWCs": 16, "wiringMaxAmpsPerTWC": 16}}, "vehicle": {{"TeslaMate": {mate}}}}}"#
        );
        let loaded = config::parse("config.json", text.as_bytes(), &config::KeySet::builtin());
        loaded.config.unwrap_or_else(|| panic!("{:?}", loaded.errors))
    }

    #[test]
    fn keys_become_settings_and_a_wrong_vin_is_named() {
        let config = read(
            r#"{"enabled": true, "syncTelemetry": true, "mqtt_host": "broker", "mqtt_tls": true, "mqtt_prefix": "a/b",
                "cars": {"1": "lrw3f7ek0nc000001"}, "syncTokens": true, "encryption_key": "k3y", "db_pass": "p4ss"}"#,
        );
        let settings = telemetry(&config).unwrap().unwrap();
        assert_eq!((settings.broker.to_string().as_str(), settings.prefix.as_str()), ("broker:8883", "a/b"));
        assert_eq!(settings.cars["1"].as_str(), "LRW3F7EK0NC000001");
        let database = database(&config).unwrap();
        assert_eq!(
            (database.port, database.encryption_key.as_str(), database.password.as_str()),
            (5432, "k3y", "p4ss")
        );

        let config = read(r#"{"enabled": true, "syncTelemetry": true, "mqtt_host": "h", "cars": {"1": "Nikola"}}"#);
        assert!(telemetry(&config).unwrap_err().starts_with("vehicle.TeslaMate.cars.1 is `Nikola`"));
        let config = read(r#"{"enabled": true, "syncTelemetry": true}"#);
        assert!(telemetry(&config).unwrap_err().contains("vehicle.TeslaMate.mqtt_host"));
        assert!(telemetry(&read(r#"{"enabled": false, "syncTelemetry": true}"#)).unwrap().is_none());
    }
}
