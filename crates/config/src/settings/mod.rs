//! settings.json: what the program remembers and the user changes while it runs.
//!
//! | file | holds |
//! |---|---|
//! | `store` | reading and writing so that `kill -9` at any instant loses nothing that was saved |
//! | `charging` | rates, schedule, offsets |
//! | `behaviour` | choices of how things are done |
//! | `vehicles` | home, cars, groups, tokens |
//! | `records` | history and what pages remember |
//!
//! Names and shapes are those of older programs, which can read the file again. Keys unknown to us stay as they are.

mod behaviour;
mod charging;
mod records;
mod store;
mod vehicles;

use std::fmt;

use serde_json::{Map, Value, json};

pub use behaviour::{ChargeAuthorization, ChargeRateControl, ChargeStopMode};
pub use charging::{ConsumptionOffset, FlatSchedule, NonScheduledAction, OffsetUnit};
pub use store::{Notice, Opened, SettingsError, SettingsStore};
pub use vehicles::{ALLOW_CHARGING, DENY_CHARGING, RememberedLimit, Tokens, VehicleGroup, VehicleTotals};

use crate::convert::{flag_in, number_in};
use crate::masked;

/// Keys that hold numbers; web forms of older programs stored some as text.
const NUMBERS: &[&str] = &[
    "chargeNowAmps",
    "chargeNowTimeEnd",
    "nonScheduledAction",
    "nonScheduledAmpsMax",
    "scheduledAmpsMax",
    "scheduledAmpsStartHour",
    "scheduledAmpsEndHour",
    "scheduledAmpsDaysBitmap",
    "scheduledAmpsFlexStart",
    "scheduledAmpsBatterySize",
    "hourResumeTrackGreenEnergy",
    "sunrise",
    "sunset",
    "greenEnergyAmpsOffset",
    "chargeRateControl",
    "chargeAuthorizationMode",
    "respondToSlaves",
    "respondToSlavesExpiry",
    "sendServerTime",
    "homeLat",
    "homeLon",
    "carApiTokenExpireTime",
    "kWhDelivered",
];

/// The content of settings.json. Order and unknown keys are kept; every getter copes with any value; `Debug` prints it masked.
#[derive(Clone, PartialEq)]
pub struct Settings {
    values: Map<String, Value>,
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", masked(&Value::Object(self.values.clone())))
    }
}

impl Default for Settings {
    /// What a new installation starts with.
    fn default() -> Self {
        Settings::from_map(Map::new())
    }
}

impl Settings {
    /// From what a file held: numbers in texts become numbers, and what every program expects to be there is added.
    #[must_use]
    pub fn from_map(mut values: Map<String, Value>) -> Settings {
        for (key, default) in defaults() {
            if !values.contains_key(&key) {
                values.insert(key, default);
            }
        }
        let mut settings = Settings { values: Map::new() };
        for (key, value) in values {
            settings.set_value(&key, value);
        }
        // Conditions of policies read these two directly; nothing and zero never mean an hour.
        let (sunrise, sunset) = (settings.sunrise(), settings.sunset());
        settings.set_sun(sunrise, sunset);
        settings.complete_groups();
        settings
    }

    /// Everything, as it is stored. Contains secrets: show it only through [`crate::masked`].
    #[must_use]
    pub fn as_map(&self) -> &Map<String, Value> {
        &self.values
    }

    /// The stored value of a key.
    #[must_use]
    pub fn value(&self, key: &str) -> Option<&Value> {
        self.values.get(key)
    }

    /// What `settings.X` means in a policy: the value, numbers in texts as numbers, 0 when absent.
    #[must_use]
    pub fn policy_value(&self, key: &str) -> Value {
        match self.values.get(key) {
            None | Some(Value::Null) => json!(0),
            Some(Value::String(text)) => number_in(text).map_or_else(|| Value::String(text.clone()), Value::Number),
            Some(value) => value.clone(),
        }
    }

    /// Stores any value under any name, as old interfaces allow; known keys get their usual form.
    pub fn set_value(&mut self, key: &str, value: Value) {
        let value = match value {
            Value::String(text) if NUMBERS.contains(&key) => match number_in(&text) {
                Some(number) => Value::Number(number),
                // Forms sent nothing, or "on" from a tick box.
                None if text.trim().is_empty() => json!(0),
                None => {
                    flag_in(&Value::String(text.clone())).map_or(Value::String(text), |flag| json!(i32::from(flag)))
                }
            },
            Value::Number(number) if key == "chargeStopMode" => Value::String(number.to_string()),
            value => value,
        };
        self.values.insert(key.to_owned(), value);
    }

    /// Forgets a key; the order of the others stays.
    pub fn remove(&mut self, key: &str) {
        self.values.shift_remove(key);
    }

    fn number(&self, key: &str) -> Option<f64> {
        number_of(self.values.get(key)?)
    }

    /// A whole number from 0 to 255 for the small codes that forms store.
    fn code(&self, key: &str) -> Option<u8> {
        let number = self.number(key)?;
        (0..=u8::MAX).find(|code| f64::from(*code) == number.trunc())
    }

    fn flag(&self, key: &str, default: bool) -> bool {
        match self.values.get(key) {
            None => default,
            Some(value) => is_true(value),
        }
    }

    fn text(&self, key: &str) -> Option<&str> {
        self.values.get(key).and_then(Value::as_str).filter(|text| !text.is_empty())
    }

    /// The object under a key; made, or put in the place of something else, when there is none.
    fn object_mut(&mut self, key: &str) -> &mut Map<String, Value> {
        object_in(self.values.entry(key).or_insert(Value::Null))
    }

    fn object(&self, key: &str) -> impl Iterator<Item = (&String, &Value)> {
        self.values.get(key).and_then(Value::as_object).into_iter().flatten()
    }
}

/// The object in a slot; something else makes way for an empty one.
fn object_in(slot: &mut Value) -> &mut Map<String, Value> {
    if !slot.is_object() {
        *slot = Value::Object(Map::new());
    }
    slot.as_object_mut().expect("the slot was made an object right above")
}

/// The finite number that a value is or spells.
fn number_of(value: &Value) -> Option<f64> {
    match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => number_in(text)?.as_f64(),
        _ => None,
    }
}

/// Old tick boxes and switches: "on", "true" and anything but nothing are true; "", "0", 0 and null are false.
fn is_true(value: &Value) -> bool {
    match value {
        Value::Number(number) => number.as_f64() != Some(0.0),
        other => flag_in(other).unwrap_or(false),
    }
}

/// A number as JSON: whole ones without a fraction, as older programs expect some of them.
fn stored(number: f64) -> Value {
    number_in(&number.to_string()).map_or(Value::Null, Value::Number)
}

/// What a new file contains, in the usual order.
fn defaults() -> Map<String, Value> {
    let all = json!({
        "chargeNowAmps": 0,
        "chargeStopMode": "1",
        "chargeNowTimeEnd": 0,
        "homeLat": 10000,
        "homeLon": 10000,
        "hourResumeTrackGreenEnergy": -1,
        "kWhDelivered": 119,
        "nonScheduledAmpsMax": 0,
        "respondToSlaves": 1,
        "scheduledAmpsDaysBitmap": 127,
        "scheduledAmpsEndHour": -1,
        "scheduledAmpsMax": 0,
        "scheduledAmpsStartHour": -1,
        "sendServerTime": 0,
        "sunrise": 6,
        "sunset": 20,
    });
    all.as_object().cloned().unwrap_or_default()
}
