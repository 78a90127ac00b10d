//! Source of cars: what cars stream themselves through Tesla's `fleet-telemetry` server, by MQTT.
//!
//! | part | does |
//! |---|---|
//! | [`open`], [`Settings`] | listens to `<prefix>/<VIN>/v/<Field>` and `<prefix>/<VIN>/connectivity`, and reports |
//! | `stream` | what the topics mean; pure |
//! | `field` | payloads into values; pure |
//!
//! Facts: `datastore/mqtt` and `protos/vehicle_data.proto` of teslamotors/fleet-telemetry; use and quirks in
//! `docs/vehicles/fleet-telemetry.md`.

mod field;
mod stream;

use std::sync::Arc;

use vehicle::{Nearness, VehicleListener, VehicleSource};

pub use vehicle_mqtt::{Broker, Error, Hub};

/// Name of the source.
pub const NAME: &str = "teslaFleetTelemetryMQTT";
const SECTION: &str = "vehicle.teslaFleetTelemetryMQTT";

/// What is configured.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// The broker.
    pub broker: Broker,
    /// `topic_base` of the server; may have several levels.
    pub prefix: String,
}

/// Starts listening. It reads only, and cannot be asked for more than it heard.
///
/// # Errors
/// For a broker or a prefix that cannot be used.
pub fn open(
    settings: Settings,
    hub: &Hub,
    listener: Arc<dyn VehicleListener>,
) -> Result<Arc<dyn VehicleSource>, Error> {
    let prefix = settings.prefix.trim_matches('/');
    if prefix.is_empty() {
        return Err(Error::Setting {
            key: format!("{SECTION}.mqtt_prefix"),
            problem: "is missing; write what the telemetry server's configuration has as `topic_base`".into(),
        });
    }
    let mqtt = vehicle_mqtt::Settings {
        name: NAME,
        section: SECTION,
        broker: settings.broker,
        filters: vec![format!("{prefix}/+/v/+"), format!("{prefix}/+/connectivity")],
        silence: None,
        nearness: Nearness::Car,
    };
    vehicle_mqtt::open(mqtt, hub, stream::Stream::new(prefix), listener)
}
