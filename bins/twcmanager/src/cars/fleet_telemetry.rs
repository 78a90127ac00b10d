//! What the configuration says of telemetry that cars stream.

use config::Config;
use vehicle_fleet_telemetry::Settings;

use crate::talk::{CAR_BROKER_KEYS, broker};

/// The stream, where it is switched on.
///
/// # Errors
/// A sentence that names the key.
pub fn stream(config: &Config) -> Result<Option<Settings>, String> {
    let Some(telemetry) = &config.vehicle.fleet_telemetry else { return Ok(None) };
    let broker = broker(&telemetry.broker, "vehicle.teslaFleetTelemetryMQTT", CAR_BROKER_KEYS)?;
    Ok(Some(Settings { broker, prefix: telemetry.prefix.clone() }))
}
