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
