//! Settings, and the way from them to a running source.

use std::collections::BTreeMap;
use std::sync::Arc;

use vehicle::{Nearness, VehicleListener, VehicleSource, Vin};
use vehicle_mqtt::{Broker, Error, Hub};

use crate::NAME;
use crate::telemetry::Telemetry;

const SECTION: &str = "vehicle.TeslaMate";
/// TeslaMate's own first part of topics.
const PREFIX: &str = "teslamate";

/// What is configured.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// The broker.
    pub broker: Broker,
    /// First part of the topics, a namespace included: `teslamate`, or `house/teslamate/garage`. Empty is `teslamate`.
    pub prefix: String,
    /// TeslaMate's number of a car to its VIN. A car that is not named here is known by its display name.
    pub cars: BTreeMap<String, Vin>,
    /// Name of the geofence at home. When given, a car outside it is away; otherwise only `Home` says something.
    pub home_geofence: Option<String>,
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
    let Settings { broker, prefix, cars, home_geofence } = settings;
    let prefix = Some(prefix.trim_matches('/')).filter(|prefix| !prefix.is_empty()).unwrap_or(PREFIX).to_owned();
    let filter = format!("{prefix}/cars/+/+");
    let silence = format!(
        "the broker answers, and nothing was ever published on {filter}: look at {SECTION}.mqtt_prefix (with MQTT_NAMESPACE it \
         is `teslamate/<namespace>`), and whether TeslaMate has MQTT switched on"
    );
    let settings = vehicle_mqtt::Settings {
        name: NAME,
        section: SECTION,
        broker,
        filters: vec![filter],
        silence: Some(silence),
        nearness: Nearness::Copy,
    };
    vehicle_mqtt::open(settings, hub, Telemetry::new(&prefix, cars, home_geofence), listener)
}
