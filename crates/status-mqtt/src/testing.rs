//! Configurations for tests.

use std::time::Duration;

use crate::{AssistantConfig, StatusConfig};

pub(crate) fn assistant() -> AssistantConfig {
    AssistantConfig {
        discovery_prefix: "homeassistant".to_owned(),
        device_prefix: "TWC".to_owned(),
        by_sensor: false,
        control_prefix: Some("TWC".to_owned()),
    }
}

pub(crate) fn config() -> StatusConfig {
    StatusConfig { prefix: "TWC".to_owned(), rate_limit: Duration::from_secs(60), assistant: Some(assistant()) }
}
