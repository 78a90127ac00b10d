//! One entity of Home Assistant, as data.

use serde_json::{Map, Value};

/// Kinds of entities.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Platform {
    Sensor,
    BinarySensor,
    Number,
    Select,
    Switch,
    Button,
}

impl Platform {
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Platform::Sensor => "sensor",
            Platform::BinarySensor => "binary_sensor",
            Platform::Number => "number",
            Platform::Select => "select",
            Platform::Switch => "switch",
            Platform::Button => "button",
        }
    }
}

/// An entity. Its key never changes: with it the user's history would.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Entity {
    pub platform: Platform,
    /// The end of its unique id.
    pub key: &'static str,
    /// Shown behind the device's name.
    pub name: &'static str,
    /// Key of its state's topic.
    pub state: Option<&'static str>,
    /// Topic of its command below `PREFIX/control/`.
    pub command: Option<String>,
    /// Whose topics and unique id it has when not its device's own: `config`.
    pub owner: Option<&'static str>,
    /// Options in Home Assistant's names.
    pub options: Map<String, Value>,
}

impl Entity {
    fn new(platform: Platform, key: &'static str, name: &'static str) -> Entity {
        Entity { platform, key, name, state: None, command: None, owner: None, options: Map::new() }
    }

    /// A value to look at.
    pub(crate) fn sensor(key: &'static str, name: &'static str, state: &'static str) -> Entity {
        Entity { state: Some(state), ..Entity::new(Platform::Sensor, key, name) }
    }

    /// A yes or no to look at.
    pub(crate) fn binary(key: &'static str, name: &'static str, state: &'static str, class: &str) -> Entity {
        Entity { state: Some(state), ..Entity::new(Platform::BinarySensor, key, name) }.with("device_class", class)
    }

    /// A number to choose.
    pub(crate) fn number(
        key: &'static str,
        name: &'static str,
        state: &'static str,
        command: impl Into<String>,
        range: (f64, f64),
    ) -> Entity {
        Entity { state: Some(state), command: Some(command.into()), ..Entity::new(Platform::Number, key, name) }
            .with("min", range.0)
            .with("max", range.1)
            .with("step", 1)
            .with("mode", "box")
            .config()
    }

    /// A word to choose.
    pub(crate) fn select(
        key: &'static str,
        name: &'static str,
        state: &'static str,
        command: &str,
        options: Vec<&str>,
    ) -> Entity {
        Entity { state: Some(state), command: Some(command.to_owned()), ..Entity::new(Platform::Select, key, name) }
            .with("options", options)
    }

    /// A yes or no to choose.
    pub(crate) fn switch(
        key: &'static str,
        name: &'static str,
        state: &'static str,
        command: impl Into<String>,
    ) -> Entity {
        Entity { state: Some(state), command: Some(command.into()), ..Entity::new(Platform::Switch, key, name) }
    }

    /// Something to do.
    pub(crate) fn button(key: &'static str, name: &'static str, command: impl Into<String>) -> Entity {
        Entity { command: Some(command.into()), ..Entity::new(Platform::Button, key, name) }
    }

    /// With an option in Home Assistant's name.
    pub(crate) fn with(mut self, option: &str, value: impl Into<Value>) -> Entity {
        self.options.insert(option.to_owned(), value.into());
        self
    }

    /// With a unit that says what is measured.
    pub(crate) fn unit(self, unit: &str) -> Entity {
        let (class, state_class) = match unit {
            "A" => ("current", "measurement"),
            "W" => ("power", "measurement"),
            "V" => ("voltage", "measurement"),
            "%" => ("battery", "measurement"),
            "min" => ("duration", "measurement"),
            // Counters that may begin anew, as the Energy dashboard wants them.
            _ => ("energy", "total_increasing"),
        };
        let is_sensor = self.platform == Platform::Sensor;
        let entity = self.with("unit_of_measurement", unit).with("device_class", class);
        if is_sensor { entity.with("state_class", state_class) } else { entity }
    }

    /// Among the settings of its device.
    pub(crate) fn config(self) -> Entity {
        self.with("entity_category", "config")
    }

    /// Among the details of its device.
    pub(crate) fn detail(self) -> Entity {
        self.with("entity_category", "diagnostic")
    }

    /// Not shown until somebody switches it on.
    pub(crate) fn hidden(self) -> Entity {
        self.with("enabled_by_default", false)
    }
}
