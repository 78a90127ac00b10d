//! The front ends that go out to others: MQTT, Home Assistant and the old PHP page.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use config::Config;
use control_mqtt::{ControlConfig, ControlMqtt};
use mqtt_link::{Broker, Hub, Roots, Tls};
use site::SitePort;
use status_hass::{HassConfig, StatusHass};
use status_mqtt::{AssistantConfig, StatusConfig, StatusMqtt};

use crate::bus_debug::Buses;
use crate::old_page::OldPage;

/// How long a broker may take to accept the last messages.
const GOOD_BYE: Duration = Duration::from_secs(1);

/// What is switched on of them.
#[derive(Default)]
pub struct Talk {
    control: Option<config::MqttControl>,
    most_charge_now_amps: f64,
    status: Option<config::MqttStatus>,
    hass: Option<config::HassStatus>,
    /// The folder whose message queue the old page uses.
    old_page: Option<PathBuf>,
    /// Shared with sources, so that there is one connection to each broker.
    hub: Arc<Hub>,
}

impl Talk {
    /// As configured.
    pub fn of(config: &Config, hub: Arc<Hub>) -> Talk {
        Talk {
            control: config.control.mqtt.clone(),
            most_charge_now_amps: config.site.max_per_twc_by_mqtt.get(),
            status: config.status.mqtt.clone(),
            hass: config.status.hass.clone(),
            old_page: config.control.ipc.then(|| config.site.settings_path.clone()),
            hub,
        }
    }

    /// Starts what can be started, and tells of the rest. `end_program` is called when somebody asks for it.
    pub fn start(
        self,
        site: &Arc<dyn SitePort>,
        buses: Option<Arc<Buses>>,
        end_program: impl Fn() + Send + 'static,
    ) -> Talking {
        let assistant = self.status.as_ref().filter(|status| status.discovery).map(|status| self.assistant(status));
        // First, so that a shared connection is made with the last will at once.
        let status = self.status.and_then(|status| {
            let config = StatusConfig { prefix: status.topic_prefix, rate_limit: status.rate_limit, assistant };
            let started = link(&self.hub, &status.broker, "status.MQTT")
                .and_then(|link| StatusMqtt::start(link, config, Arc::clone(site)).map_err(|error| error.to_string()));
            started.map_err(|error| log::error!("{error}")).ok()
        });
        let control = self.control.and_then(|control| {
            let config =
                ControlConfig { prefix: control.topic_prefix, most_charge_now_amps: self.most_charge_now_amps };
            let started = link(&self.hub, &control.broker, "control.MQTT").and_then(|link| {
                ControlMqtt::start(link, config, Arc::clone(site), end_program).map_err(|error| error.to_string())
            });
            started.map_err(|error| log::error!("{error}")).ok()
        });
        let hass =
            self.hass.and_then(|hass| push(hass, site).map_err(|error| log::error!("status.HASS: {error}")).ok());
        let old_page = self.old_page.and_then(|folder| OldPage::start(folder, Arc::clone(site), buses));
        Talking { control, status, hass, old_page, hub: self.hub }
    }

    fn assistant(&self, status: &config::MqttStatus) -> AssistantConfig {
        // One broker may be spoken to in two ways, with and without TLS, so the port says little.
        let is_same = |control: &&config::MqttControl| control.broker.host.eq_ignore_ascii_case(&status.broker.host);
        let control = self.control.as_ref().filter(|control| !control.topic_prefix.is_empty());
        if control.is_some_and(|control| !is_same(&control)) {
            log::warn!("Home Assistant gets no controls: control.MQTT and status.MQTT name different brokers");
        }
        AssistantConfig {
            discovery_prefix: status.discovery_prefix.clone(),
            device_prefix: status.device_name_prefix.clone(),
            by_sensor: status.discovery_by_sensor,
            control_prefix: control.filter(is_same).map(|control| control.topic_prefix.clone()),
        }
    }
}

/// What runs of them.
pub struct Talking {
    control: Option<ControlMqtt>,
    status: Option<StatusMqtt>,
    hass: Option<StatusHass>,
    old_page: Option<OldPage>,
    hub: Arc<Hub>,
}

impl Talking {
    /// No more commands, then the last values, then good-bye to the brokers.
    pub fn shutdown(self) {
        drop(self.control);
        drop(self.old_page);
        drop(self.hass);
        drop(self.status);
        if !self.hub.close(GOOD_BYE) {
            log::debug!("a broker did not take the last messages in time");
        }
    }
}

/// Names of the keys that lead to a broker, for messages: host, authority, our certificate, its key.
pub type BrokerKeys = [&'static str; 4];
const BROKER_KEYS: BrokerKeys = ["brokerIP", "brokerCA", "brokerCert", "brokerKey"];
/// Those of sections for cars.
pub const CAR_BROKER_KEYS: BrokerKeys = ["mqtt_host", "mqtt_ca", "mqtt_cert", "mqtt_key"];

/// The connection to a broker.
fn link(hub: &Hub, wanted: &config::Broker, section: &str) -> Result<mqtt_link::Link, String> {
    hub.link(broker(wanted, section, BROKER_KEYS)?).map_err(|error| format!("{section}: {error}"))
}

/// A broker as it is configured, its files read.
///
/// # Errors
/// A sentence that names the key.
pub fn broker(wanted: &config::Broker, section: &str, keys: BrokerKeys) -> Result<Broker, String> {
    let [host, ..] = keys;
    if wanted.host.is_empty() {
        return Err(format!("{section}.{host} is missing; name the broker"));
    }
    let mut broker = Broker::new(&wanted.host, wanted.port);
    if let Some((user, password)) = &wanted.login {
        broker = broker.login(user, password.reveal());
    }
    if wanted.tls {
        broker = broker.tls(tls(wanted, section, keys)?);
    }
    Ok(broker)
}

fn tls(wanted: &config::Broker, section: &str, [_, ca, cert, private]: BrokerKeys) -> Result<Tls, String> {
    let read = |key: &str, path: &Path| {
        std::fs::read_to_string(path).map_err(|error| {
            format!("{section}.{key}: {} cannot be read ({error}); give a file in PEM form", path.display())
        })
    };
    let roots = match &wanted.ca {
        Some(path) => Roots::Pem(read(ca, path)?),
        None => Roots::System,
    };
    let client = match &wanted.client {
        Some((certificate, key)) => Some((read(cert, certificate)?, read(private, key)?)),
        None => None,
    };
    Ok(Tls { roots, client })
}

fn push(hass: config::HassStatus, site: &Arc<dyn SitePort>) -> Result<StatusHass, String> {
    let token = hass.api_key.ok_or("apiKey is missing; make a long-lived access token in Home Assistant")?;
    let url = http_client::url::base(&hass.host, Some(hass.port), hass.https).map_err(|error| error.to_string())?;
    let config = HassConfig {
        url,
        token: token.reveal().to_owned(),
        message_rate: hass.message_rate,
        resend_rate: hass.resend_rate,
        retry_rate: hass.retry_rate,
    };
    StatusHass::start(config, Arc::clone(site)).map_err(|error| error.to_string())
}
