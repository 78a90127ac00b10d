//! The resolved configuration: no options left open, every number in its unit.

mod fields;
mod interface;
mod logging;
mod policy;
mod services;
mod site;

use serde_json::{Map, Value};

pub use interface::{Dummy, Gen3, Gen3Device, Interface, Parity, Rs485, TcpBus};
pub use logging::{Console, FolderLog, Logging, Mute, MySql, Sentry, Sqlite};
pub use policy::{PolicyRule, PolicySection, Terms, Webhooks};
pub use services::{
    BleProxy, Broker, CarBudget, CarCaps, CarTelemetry, CommandPolicy, Control, HassStatus, HomeAssistant, HttpControl,
    MqttControl, MqttStatus, Ocpp, Status, TeslaCloud, TeslaMate, TeslaMateDatabase, Vehicle,
};
pub use site::{Bluetooth, BusRole, ChargeLimits, ProxyTrust, Site, TeslaApi, WebhookMethod};

use crate::{Document, Options};
use fields::Fields;

/// A whole configuration, resolved.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// Section `config`.
    pub site: Site,
    /// Section `interface`.
    pub interface: Interface,
    /// Section `control`.
    pub control: Control,
    /// Section `policy`.
    pub policy: PolicySection,
    /// Section `sources`: every entry, also those switched off.
    pub sources: Vec<Source>,
    /// Section `status`.
    pub status: Status,
    /// Section `vehicle`.
    pub vehicle: Vehicle,
    /// Section `logging`.
    pub logging: Logging,
    /// Section `controller.Gen3TWCs`.
    pub gen3: Option<Gen3>,
    /// Section `pricing`, as checked, with defaults.
    pub pricing: Options,
}

/// One entry of `sources`, for the driver of that name.
#[derive(Debug, Clone, PartialEq)]
pub struct Source {
    /// The driver's name, such as `Fronius`.
    pub driver: String,
    /// Its path for messages: `sources.Fronius`, or `sources.Fronius[1]` in a list.
    pub path: String,
    /// `enabled`; see `Source::is_on_by_default` for where that is missing.
    pub is_enabled: bool,
    /// The options: known ones in their usual form, without defaults; unknown ones as written.
    pub options: Options,
}

impl Source {
    /// Whether a section without `enabled` is in use: TWCManager's P1Monitor was with an address alone.
    pub(crate) fn is_on_by_default(driver: &str, options: &Map<String, Value>) -> bool {
        let address = options.get("serverIP").and_then(Value::as_str).unwrap_or_default();
        driver == "P1Monitor" && !address.trim().is_empty()
    }
}

impl Config {
    /// From a checked tree.
    pub(crate) fn resolve(root: &Value, document: &Document) -> Config {
        let is_given = |path: &str| document.get(path).is_some_and(|node| !node.is_null());
        Config {
            site: Site::resolve(root, document),
            interface: Interface::resolve(root, document),
            control: Control::resolve(root),
            policy: PolicySection::resolve(root),
            sources: sources(Fields::at(root, &["sources"])),
            status: Status::resolve(root),
            vehicle: Vehicle::resolve(root, is_given("vehicle.teslaBLE.enabled")),
            logging: Logging::resolve(root),
            gen3: Gen3::resolve(root),
            pricing: Fields::at(root, &["pricing"]).map().clone().into(),
        }
    }
}

fn sources(fields: Fields<'_>) -> Vec<Source> {
    let mut all = Vec::new();
    for (driver, value) in fields.map() {
        let mut add = |path: String, value: &Value| {
            let fields = Fields::of(Some(value));
            all.push(Source {
                driver: driver.clone(),
                path,
                is_enabled: match fields.get("enabled") {
                    None | Some(Value::Null) => Source::is_on_by_default(driver, fields.map()),
                    Some(_) => fields.flag("enabled"),
                },
                options: fields.map().clone().into(),
            });
        };
        match value {
            Value::Array(items) => {
                items.iter().enumerate().for_each(|(index, item)| add(format!("sources.{driver}[{index}]"), item))
            }
            value => add(format!("sources.{driver}"), value),
        }
    }
    all
}
