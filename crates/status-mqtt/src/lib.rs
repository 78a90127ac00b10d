//! Publishes the site over MQTT: TWCManager's topics, and devices for Home Assistant.
//!
//! ```text
//!  snapshot ──> states ──> pacer ──────────> PREFIX/3A7C/ampsInUse …        (retained)
//!         └──> announce ──> directory ─────> homeassistant/device/…/config  (retained)
//! ```
//!
//! | part | does |
//! |---|---|
//! | [`StatusMqtt`] | the thread: waits for snapshots and messages |
//! | `publisher` | what is published when; without clock and broker |
//! | `states` | a snapshot as topics and payloads; pure |
//! | `pacer` | the rate limit: later, never lost |
//! | `catalogue`, `entity`, `announce` | what Home Assistant is told of devices; pure |
//! | `directory` | what the broker keeps of earlier announcements: moved over, or taken away |
//!
//! ```no_run
//! # fn with(site: std::sync::Arc<dyn site::SitePort>) -> Result<(), Box<dyn std::error::Error>> {
//! use status_mqtt::{StatusConfig, StatusMqtt};
//! let link = mqtt_link::Hub::new().link(mqtt_link::Broker::new("192.168.1.2", 1883))?;
//! let config = StatusConfig { prefix: "TWC".into(), rate_limit: std::time::Duration::from_secs(60), assistant: None };
//! let status = StatusMqtt::start(link, config, site)?;
//! status.shutdown();
//! # Ok(())
//! # }
//! ```
//!
//! Everything is retained. The newest value of each topic is published in the end: after the rate limit, after a broker's
//! absence, at the end of the program. `PREFIX/status` says `online` and `offline`, the latter also as the last will.
//! All topics are in `docs/mqtt.md`.
//!
//! Facts: TWCManager's topics and discovery in 1.3.2 to 1.4, checked against recordings of 1.4; Home Assistant's MQTT
//! documentation. What it makes of our messages is checked by `tests/home-assistant/check.py` of the repository.

mod announce;
mod catalogue;
mod directory;
mod entity;
mod pacer;
mod publisher;
#[cfg(test)]
mod recorded;
mod states;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod worker;

use std::time::Duration;

use mqtt_link::LinkError;

pub use worker::StatusMqtt;

/// What is configured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatusConfig {
    /// `status.MQTT.topicPrefix`, as it stands there.
    pub prefix: String,
    /// `status.MQTT.ratelimit`.
    pub rate_limit: Duration,
    /// With `status.MQTT.homeassistantDiscovery`.
    pub assistant: Option<AssistantConfig>,
}

/// How Home Assistant is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AssistantConfig {
    /// `status.MQTT.discoveryPrefix`.
    pub discovery_prefix: String,
    /// `status.MQTT.deviceNamePrefix`.
    pub device_prefix: String,
    /// Whether each entity is told by a message of its own, for Home Assistant before 2024.11.
    pub by_sensor: bool,
    /// `control.MQTT.topicPrefix` where commands are taken on the same broker; without it there is only something to look at.
    pub control_prefix: Option<String>,
}

/// Why nothing is published.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StatusError {
    /// There is no prefix.
    #[error("status.MQTT.topicPrefix is empty; give the first part of the topics, such as \"TWC\"")]
    NoPrefix,
    /// A prefix does not work.
    #[error("status.MQTT: {0}")]
    Link(#[from] LinkError),
    /// No thread.
    #[error("nothing is published over MQTT: {0}")]
    NoThread(std::io::Error),
}
