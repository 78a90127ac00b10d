//! What an entity is to a car.

use std::collections::BTreeMap;

/// What an entity tells of a car, or does to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[expect(missing_docs, reason = "each is explained in `Role::meaning`")]
pub enum Role {
    Soc,
    Limit,
    Charging,
    Plug,
    Amps,
    Current,
    Voltage,
    Phases,
    Power,
    Energy,
    TimeToLimit,
    Location,
    Awake,
    Scheduled,
    Gear,
    FastCharger,
    Charge,
    Start,
    Stop,
    Wake,
}

use Role::*;

const SENSOR: &[&str] = &["sensor", "input_number", "number"];
const BINARY: &[&str] = &["binary_sensor", "input_boolean", "sensor", "switch", "input_select", "select"];
const NUMBER: &[&str] = &["number", "input_number"];
const SWITCH: &[&str] = &["switch", "input_boolean"];
const BUTTON: &[&str] = &["button", "input_button", "script"];

/// Role, key in the configuration, kinds of entity that can play it, meaning.
const ROLES: [(Role, &str, &[&str], &str); 20] = [
    (Soc, "soc", SENSOR, "state of charge in percent"),
    (Limit, "limit", NUMBER, "charge limit in percent; read and set"),
    (Charging, "charging", BINARY, "whether it charges: a sensor with words, or on and off"),
    (Plug, "plug", BINARY, "whether a cable is plugged in"),
    (Amps, "amps", NUMBER, "current that it may take; read and set"),
    (Current, "current", SENSOR, "current that flows, per phase"),
    (Voltage, "voltage", SENSOR, "voltage of one phase"),
    (Phases, "phases", SENSOR, "number of phases"),
    (Power, "power", SENSOR, "power that it draws, W or kW"),
    (Energy, "energy", SENSOR, "energy of this session, Wh or kWh"),
    (TimeToLimit, "timeToLimit", SENSOR, "time to the limit, a duration or a time of day"),
    (Location, "location", &["device_tracker", "person"], "where it is"),
    (Awake, "awake", BINARY, "whether it can be reached"),
    (Scheduled, "scheduled", BINARY, "whether it waits for its own timer"),
    (Gear, "gear", SENSOR, "selected gear: p, r, n, d"),
    (FastCharger, "fastCharger", BINARY, "whether it hangs on a fast charger"),
    (Charge, "charge", SWITCH, "switch that starts and stops charging"),
    (Start, "start", BUTTON, "button that starts charging, where there is no switch"),
    (Stop, "stop", BUTTON, "button that stops charging, where there is no switch"),
    (Wake, "wake", BUTTON, "button that wakes it"),
];

impl Role {
    /// All of them.
    pub fn all() -> impl Iterator<Item = Role> {
        ROLES.iter().map(|(role, ..)| *role)
    }

    /// From its key in the configuration.
    #[must_use]
    pub fn from_key(key: &str) -> Option<Role> {
        ROLES.iter().find(|(_, name, ..)| *name == key).map(|(role, ..)| *role)
    }

    fn row(self) -> Option<&'static (Role, &'static str, &'static [&'static str], &'static str)> {
        ROLES.iter().find(|(role, ..)| *role == self)
    }

    /// Its key in the configuration.
    #[must_use]
    pub fn key(self) -> &'static str {
        self.row().map_or("", |(_, key, ..)| key)
    }

    /// What it means, for people.
    #[must_use]
    pub fn meaning(self) -> &'static str {
        self.row().map_or("", |(.., meaning)| meaning)
    }

    /// Kinds of entity that can play it.
    #[must_use]
    pub fn domains(self) -> &'static [&'static str] {
        self.row().map_or(&[], |(_, _, domains, _)| domains)
    }

    /// Whether it is there to be pressed only, and tells nothing.
    pub(crate) fn is_button(self) -> bool {
        matches!(self, Start | Stop | Wake)
    }
}

/// The entities of one car.
pub type Entities = BTreeMap<Role, String>;

/// Whether a text can be the id of an entity: `domain.name` of small letters, digits and underscores.
pub(crate) fn is_entity_id(text: &str) -> bool {
    let is_word = |word: &str| {
        !word.is_empty() && word.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
    };
    text.len() <= 255 && text.split_once('.').is_some_and(|(domain, name)| is_word(domain) && is_word(name))
}

/// The part of an entity's id before the dot.
pub(crate) fn domain(entity: &str) -> &str {
    entity.split_once('.').map_or("", |(domain, _)| domain)
}
