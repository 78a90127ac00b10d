//! Sections `control`, `status` and `vehicle`: who we talk to.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Map, Value};

use super::fields::Fields;
use crate::{Options, Secret};

/// Access to an MQTT broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broker {
    /// Host name or address.
    pub host: String,
    /// Port.
    pub port: u16,
    /// Whether to use TLS.
    pub tls: bool,
    /// File with the authority's certificate; the usual authorities otherwise.
    pub ca: Option<PathBuf>,
    /// Files with our own certificate and its key; only when both are given.
    pub client: Option<(PathBuf, PathBuf)>,
    /// User name and password; only when both are given.
    pub login: Option<(String, Secret)>,
}

impl Broker {
    fn resolve(fields: Fields<'_>) -> Broker {
        let tls = fields.flag("brokerTLS");
        Broker {
            host: fields.text("brokerIP"),
            port: fields.opt_whole("brokerPort").unwrap_or(if tls { 8883 } else { 1883 }),
            tls,
            ca: fields.opt_path("brokerCA"),
            client: fields.opt_path("brokerCert").zip(fields.opt_path("brokerKey")),
            login: fields.opt_text("username").zip(fields.secret("password")),
        }
    }

    /// The other names, of sections for cars.
    fn resolve_old(fields: Fields<'_>) -> Broker {
        let tls = fields.flag("mqtt_tls");
        Broker {
            host: fields.text("mqtt_host"),
            port: fields.opt_whole("mqtt_port").unwrap_or(if tls { 8883 } else { 1883 }),
            tls,
            ca: fields.opt_path("mqtt_ca"),
            client: fields.opt_path("mqtt_cert").zip(fields.opt_path("mqtt_key")),
            login: fields.opt_text("mqtt_user").zip(fields.secret("mqtt_pass")),
        }
    }
}

/// Section `control`, resolved: only what is switched on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Control {
    /// The web page and HTTP interface.
    pub http: Option<HttpControl>,
    /// Commands by MQTT.
    pub mqtt: Option<MqttControl>,
    /// The old message queue.
    pub ipc: bool,
    /// OCPP charge points.
    pub ocpp: Option<Ocpp>,
}

/// The web page and HTTP interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpControl {
    /// Port to listen on.
    pub port: u16,
    /// Certificate and key for HTTPS, both given or neither.
    pub tls: Option<(PathBuf, PathBuf)>,
    /// Port for HTTPS when `port` stays without.
    pub tls_port: Option<u16>,
    /// Names under which the page is reached; lower case.
    pub host_names: Vec<String>,
    /// Whether looking needs the password too.
    pub read_needs_password: bool,
}

impl HttpControl {
    fn resolve(fields: Fields<'_>) -> HttpControl {
        let plain = |name: String| name.trim().trim_end_matches('.').to_ascii_lowercase();
        HttpControl {
            port: fields.whole("listenPort"),
            tls: fields.opt_path("certificate").zip(fields.opt_path("key")),
            tls_port: fields.opt_whole("tlsPort"),
            host_names: fields.texts("hostNames").into_iter().map(plain).filter(|name| !name.is_empty()).collect(),
            read_needs_password: fields.flag("readNeedsPassword"),
        }
    }
}

/// Commands by MQTT.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MqttControl {
    /// The broker.
    pub broker: Broker,
    /// First part of all topics.
    pub topic_prefix: String,
}

/// Where OCPP charge points connect to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ocpp {
    /// Address to listen on.
    pub host: String,
    /// Port to listen on.
    pub port: u16,
}

impl Control {
    pub(super) fn resolve(root: &Value) -> Control {
        let fields = Fields::at(root, &["control"]);
        let [http, mqtt, ipc, ocpp] = ["HTTP", "MQTT", "IPC", "OCPP"].map(|name| fields.below(name));
        Control {
            http: http.flag("enabled").then(|| HttpControl::resolve(http)),
            mqtt: mqtt
                .flag("enabled")
                .then(|| MqttControl { broker: Broker::resolve(mqtt), topic_prefix: mqtt.text("topicPrefix") }),
            ipc: ipc.flag("enabled"),
            ocpp: ocpp.flag("enabled").then(|| Ocpp { host: ocpp.text("serverHost"), port: ocpp.whole("serverPort") }),
        }
    }
}

/// Section `status`, resolved: only what is switched on.
#[derive(Debug, Clone, PartialEq)]
pub struct Status {
    /// Home Assistant over HTTP.
    pub hass: Option<HassStatus>,
    /// MQTT.
    pub mqtt: Option<MqttStatus>,
    /// OpenTelemetry, as checked.
    pub otel: Option<Options>,
}

/// Values pushed to Home Assistant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HassStatus {
    /// Host.
    pub host: String,
    /// Port.
    pub port: u16,
    /// Whether to use HTTPS.
    pub https: bool,
    /// Access token.
    pub api_key: Option<Secret>,
    /// Pause between rounds.
    pub message_rate: Duration,
    /// Unchanged values are repeated after this.
    pub resend_rate: Duration,
    /// Pause after an error.
    pub retry_rate: Duration,
}

/// Values published by MQTT.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MqttStatus {
    /// The broker. Its port stays 1883 with TLS unless given, as it always did.
    pub broker: Broker,
    /// First part of all topics.
    pub topic_prefix: String,
    /// Shortest time between messages on a topic; zero sends every change.
    pub rate_limit: Duration,
    /// Whether Home Assistant is told of all sensors.
    pub discovery: bool,
    /// Whether each sensor is told by a message of its own, for Home Assistant before 2024.11.
    pub discovery_by_sensor: bool,
    /// First part of the discovery topics, without slashes at its ends.
    pub discovery_prefix: String,
    /// First part of device names.
    pub device_name_prefix: String,
}

impl Status {
    pub(super) fn resolve(root: &Value) -> Status {
        let fields = Fields::at(root, &["status"]);
        let [hass, mqtt, otel] = ["HASS", "MQTT", "OTEL"].map(|name| fields.below(name));
        Status {
            hass: hass.flag("enabled").then(|| HassStatus {
                host: hass.text("serverIP"),
                port: hass.whole("serverPort"),
                https: hass.flag("useHttps"),
                api_key: hass.secret("apiKey"),
                message_rate: hass.seconds("msgRateInSeconds"),
                resend_rate: hass.seconds("resendRateInSeconds"),
                retry_rate: hass.seconds("retryRateInSeconds"),
            }),
            mqtt: mqtt.flag("enabled").then(|| MqttStatus {
                broker: Broker { port: mqtt.opt_whole("brokerPort").unwrap_or(1883), ..Broker::resolve(mqtt) },
                topic_prefix: mqtt.text("topicPrefix"),
                rate_limit: mqtt.seconds("ratelimit"),
                discovery: mqtt.flag("homeassistantDiscovery"),
                discovery_by_sensor: mqtt.text("discoveryFormat").eq_ignore_ascii_case("single"),
                discovery_prefix: mqtt.text("discoveryPrefix").trim_matches('/').to_owned(),
                device_name_prefix: mqtt.text("deviceNamePrefix"),
            }),
            otel: otel.flag("enabled").then(|| otel.map().clone().into()),
        }
    }
}

/// Section `vehicle`, resolved.
#[derive(Debug, Clone, PartialEq)]
pub struct Vehicle {
    /// `commandPolicy`; when given it overrides the setting and locks it.
    pub command_policy: Option<CommandPolicy>,
    /// `chargingInterval`: how often a car that charges is read through a source whose calls cost.
    pub charging_interval: Duration,
    /// `cars`: what is special about single cars, as written, by VIN.
    pub cars: Map<String, Value>,
    /// What calls may cost.
    pub budget: CarBudget,
    /// Whether Tesla's cloud is used.
    pub tesla_api: bool,
    /// Where Tesla's cloud is, when it is not Tesla's own.
    pub tesla_cloud: TeslaCloud,
    /// Whether Bluetooth is used.
    pub tesla_ble: bool,
    /// Whether `teslaBLE.enabled` was left out, so that Bluetooth is on by default and its absence is no mistake.
    pub tesla_ble_by_default: bool,
    /// A TeslaBleHttpProxy in the house.
    pub ble_proxy: Option<BleProxy>,
    /// Telemetry from cars by MQTT.
    pub fleet_telemetry: Option<CarTelemetry>,
    /// Cars that Home Assistant knows.
    pub home_assistant: Option<HomeAssistant>,
    /// Cars that TeslaMate knows.
    pub teslamate: Option<TeslaMate>,
}

/// Section `vehicle.teslaBleHttpProxy`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BleProxy {
    /// Its address.
    pub url: String,
    /// VINs of the cars that it reaches, as written; none for all.
    pub vins: Vec<String>,
}

/// Section `vehicle.budget`: limits are none where absent, money is in US dollars.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CarBudget {
    /// Of a calendar day.
    pub day: CarCaps,
    /// Of a calendar month.
    pub month: CarCaps,
    /// `pricePerCommand`.
    pub price_of_command: f64,
    /// `pricePerReading`.
    pub price_of_reading: f64,
    /// `pricePerWake`.
    pub price_of_wake: f64,
}

/// Limits of one day or one month.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct CarCaps {
    /// Money.
    pub dollars: Option<f64>,
    /// Commands.
    pub commands: Option<u32>,
    /// Readings.
    pub data: Option<u32>,
    /// Wakes.
    pub wakes: Option<u32>,
}

impl CarBudget {
    fn resolve(fields: &Fields<'_>) -> CarBudget {
        let caps = |per: &str| CarCaps {
            dollars: fields.opt_number(&format!("per{per}")),
            commands: fields.opt_whole(&format!("commandsPer{per}")),
            data: fields.opt_whole(&format!("dataPer{per}")),
            wakes: fields.opt_whole(&format!("wakesPer{per}")),
        };
        CarBudget {
            day: caps("Day"),
            month: CarCaps { dollars: Some(fields.number("perMonth")), ..caps("Month") },
            price_of_command: fields.number("pricePerCommand"),
            price_of_reading: fields.number("pricePerReading"),
            price_of_wake: fields.number("pricePerWake"),
        }
    }
}

/// Section `vehicle.teslaAPI` beside its switch.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TeslaCloud {
    /// `apiUrl`.
    pub api_url: Option<String>,
    /// `authUrl`.
    pub auth_url: Option<String>,
    /// `token`.
    pub token: Option<Secret>,
    /// `domain`.
    pub domain: Option<String>,
}

/// Which way cars are told something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CommandPolicy {
    /// Bluetooth first.
    #[default]
    PreferBle,
    /// Bluetooth only.
    BleOnly,
    /// The cloud only.
    ApiOnly,
}

impl CommandPolicy {
    /// From its spelling in files.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "prefer_ble" => Some(CommandPolicy::PreferBle),
            "ble_only" => Some(CommandPolicy::BleOnly),
            "api_only" => Some(CommandPolicy::ApiOnly),
            _ => None,
        }
    }

    /// Its spelling in files.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            CommandPolicy::PreferBle => "prefer_ble",
            CommandPolicy::BleOnly => "ble_only",
            CommandPolicy::ApiOnly => "api_only",
        }
    }
}

/// The state of cars by MQTT.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CarTelemetry {
    /// The broker.
    pub broker: Broker,
    /// First part of the topics.
    pub prefix: String,
}

/// Access to Home Assistant for cars.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HomeAssistant {
    /// Base address.
    pub url: String,
    /// Access token.
    pub token: Option<Secret>,
    /// SHA-256 of its certificate, where no authority vouches for it.
    pub tls_fingerprint: Option<String>,
    /// Whether cars of its Tesla integrations are looked for.
    pub discovers: bool,
    /// Cars by their entities: key to text, as written; `vin` and `name` among them.
    pub cars: Vec<BTreeMap<String, String>>,
}

/// Access to TeslaMate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TeslaMate {
    /// The database, when the login is taken from it.
    pub tokens: Option<TeslaMateDatabase>,
    /// The state of cars, when it is taken from MQTT.
    pub telemetry: Option<CarTelemetry>,
    /// Its number of a car to the car's VIN, as written.
    pub cars: BTreeMap<String, String>,
    /// Name of its geofence at home.
    pub home_geofence: Option<String>,
}

/// TeslaMate's database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TeslaMateDatabase {
    /// Host.
    pub host: String,
    /// Port.
    pub port: u16,
    /// Database.
    pub name: String,
    /// User.
    pub user: String,
    /// Password.
    pub password: Option<Secret>,
    /// Key that the tokens are encrypted with.
    pub encryption_key: Option<Secret>,
}

impl Vehicle {
    pub(super) fn resolve(root: &Value, is_ble_given: bool) -> Vehicle {
        let fields = Fields::at(root, &["vehicle"]);
        let [api, ble, proxy, fleet, assistant, mate] =
            ["teslaAPI", "teslaBLE", "teslaBleHttpProxy", "teslaFleetTelemetryMQTT", "HomeAssistant", "TeslaMate"]
                .map(|name| fields.below(name));
        let telemetry = |fields: Fields<'_>| {
            fields
                .flag("syncTelemetry")
                .then(|| CarTelemetry { broker: Broker::resolve_old(fields), prefix: fields.text("mqtt_prefix") })
        };
        Vehicle {
            command_policy: fields.opt_text("commandPolicy").and_then(|name| CommandPolicy::from_name(&name)),
            charging_interval: fields.seconds("chargingInterval"),
            cars: fields.below("cars").map().clone(),
            budget: CarBudget::resolve(&fields.below("budget")),
            tesla_api: api.flag("enabled"),
            tesla_cloud: TeslaCloud {
                api_url: api.opt_text("apiUrl"),
                auth_url: api.opt_text("authUrl"),
                token: api.secret("token"),
                domain: api.opt_text("domain"),
            },
            tesla_ble: ble.flag("enabled"),
            tesla_ble_by_default: !is_ble_given,
            ble_proxy: proxy.flag("enabled").then(|| BleProxy { url: proxy.text("url"), vins: proxy.texts("vins") }),
            fleet_telemetry: Some(fleet).filter(|fleet| fleet.flag("enabled")).and_then(telemetry),
            home_assistant: assistant.flag("enabled").then(|| HomeAssistant {
                url: assistant.text("url"),
                token: assistant.secret("longLivedToken"),
                tls_fingerprint: assistant.opt_text("tlsFingerprint"),
                discovers: assistant.flag("discover"),
                cars: assistant.list("cars").iter().map(|car| texts(Fields::of(Some(car)).map())).collect(),
            }),
            teslamate: mate.flag("enabled").then(|| TeslaMate {
                tokens: mate.flag("syncTokens").then(|| TeslaMateDatabase {
                    host: mate.text("db_host"),
                    port: mate.whole("db_port"),
                    name: mate.text("db_name"),
                    user: mate.text("db_user"),
                    password: mate.secret("db_pass"),
                    encryption_key: mate.secret("encryption_key"),
                }),
                telemetry: telemetry(mate),
                cars: texts(mate.below("cars").map()),
                home_geofence: mate.opt_text("home_geofence"),
            }),
        }
    }
}

/// The texts of an object that are not empty; numbers as texts too.
fn texts(map: &Map<String, Value>) -> BTreeMap<String, String> {
    let text = |value: &Value| match value {
        Value::String(text) => Some(text.trim().to_owned()).filter(|text| !text.is_empty()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    };
    map.iter().filter_map(|(name, value)| Some((name.clone(), text(value)?))).collect()
}
