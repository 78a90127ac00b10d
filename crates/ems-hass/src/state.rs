//! What Home Assistant's messages mean. Pure.

use std::collections::HashMap;
use std::time::Instant;

use ems::{EmsError, EmsReading};
use ems_items::Item;
use serde_json::Value;

/// Longest name of an entity.
const LONGEST_ID: usize = 255;

/// Whether a text can be the id of an entity: `domain.name` of small letters, digits and underscores.
pub(crate) fn is_entity_id(text: &str) -> bool {
    let is_word = |word: &str| {
        !word.is_empty() && word.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
    };
    text.len() <= LONGEST_ID && text.split_once('.').is_some_and(|(domain, name)| is_word(domain) && is_word(name))
}

/// One entity's state and unit, as far as they matter here.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct State {
    /// The state, a text even for numbers; `None` when it is not there.
    pub text: Option<String>,
    /// `unit_of_measurement`.
    pub unit: Option<String>,
}

impl State {
    /// From the state object of the REST API and of `state_changed` events.
    #[must_use]
    pub fn from_object(object: &Value) -> Self {
        State { text: text(object.get("state")), unit: text(object.pointer("/attributes/unit_of_measurement")) }
    }

    /// The number it means for an item.
    ///
    /// # Errors
    /// As [`Item::value`].
    pub fn value(&self, item: &Item) -> Result<Option<f64>, EmsError> {
        match &self.text {
            Some(text) => item.value(text, self.unit.as_deref()),
            None => Ok(None),
        }
    }
}

fn text(value: Option<&Value>) -> Option<String> {
    match value? {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// The newest state of each entity that events told of.
#[derive(Debug, Clone, Default)]
pub struct States {
    entities: HashMap<String, State>,
}

impl States {
    /// Puts a whole state in.
    pub fn set(&mut self, entity: &str, state: State) {
        self.entities.insert(entity.to_owned(), state);
    }

    /// Whether something is known of an entity.
    #[must_use]
    pub fn has(&self, entity: &str) -> bool {
        self.entities.contains_key(entity)
    }

    /// Takes the `event` part of a message: of `subscribe_entities` (`a` added, `c` changed, `r` removed, keys shortened by
    /// Home Assistant) or of `state_changed`. Whether there was anything in it.
    pub fn apply(&mut self, event: &Value) -> bool {
        let mut has_news = false;
        let parts = |key: &str| event.get(key).and_then(Value::as_object).into_iter().flatten();
        for (entity, added) in parts("a") {
            let unit = text(added.pointer("/a/unit_of_measurement"));
            self.set(entity, State { text: text(added.get("s")), unit });
            has_news = true;
        }
        for (entity, change) in parts("c") {
            // A change of something that never came is of no use: the unit is not known.
            let Some(state) = self.entities.get_mut(entity) else { continue };
            if let Some(new) = change.pointer("/+/s") {
                state.text = text(Some(new));
            }
            if let Some(unit) = change.pointer("/+/a/unit_of_measurement") {
                state.unit = text(Some(unit));
            }
            let lost = change.pointer("/-/a").and_then(Value::as_array).into_iter().flatten();
            if lost.into_iter().any(|name| name == "unit_of_measurement") {
                state.unit = None;
            }
            has_news = true;
        }
        for entity in event.get("r").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str) {
            has_news |= self.entities.insert(entity.to_owned(), State::default()).is_some();
        }
        if let (Some(entity), Some(new)) =
            (event.pointer("/data/entity_id").and_then(Value::as_str), event.pointer("/data/new_state"))
            && (self.has(entity))
        {
            // Null when the entity was removed.
            self.set(entity, State::from_object(new));
            has_news = true;
        }
        has_news
    }

    /// The reading that items make of it.
    ///
    /// # Errors
    /// Of the first item whose state cannot be used.
    pub fn reading(&self, items: &[Item], taken_at: Instant) -> Result<EmsReading, EmsError> {
        let mut values = Vec::with_capacity(items.len());
        for item in items {
            let value = self.entities.get(&item.name).map(|state| state.value(item)).transpose()?.flatten();
            values.push((item.clone(), value));
        }
        ems_items::reading(&values, taken_at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ems_items::Quantity;
    use proptest::prelude::*;
    use serde_json::json;

    fn house() -> Vec<Item> {
        vec![
            Item::new(Quantity::Consumption, "hassEntityConsumption", "sensor.house"),
            Item::new(Quantity::Generation, "hassEntityGeneration", "sensor.sun"),
        ]
    }

    fn watts(states: &States) -> [Option<f64>; 2] {
        let reading = states.reading(&house(), Instant::now()).unwrap();
        [reading.consumption, reading.generation].map(|watts| watts.map(|watts| watts.get()))
    }

    #[test]
    fn changes_build_on_what_came_before() {
        let mut states = States::default();
        assert!(states.apply(&json!({"a": {
            "sensor.house": {"s": "845", "a": {"unit_of_measurement": "W"}, "c": "x", "lc": 1.5},
            "sensor.sun": {"s": "1.5", "a": {"unit_of_measurement": "kW"}},
        }})));
        assert_eq!(watts(&states), [Some(845.0), Some(1500.0)]);
        assert!(states.apply(&json!({"c": {"sensor.sun": {"+": {"s": "2.0", "lu": 2.5}}}})));
        assert_eq!(watts(&states), [Some(845.0), Some(2000.0)]);
        states.apply(&json!({"c": {"sensor.sun": {"+": {"s": "1900", "a": {"unit_of_measurement": "W"}}}}}));
        states.apply(&json!({"c": {"sensor.house": {"+": {"s": "unavailable"}}}}));
        assert_eq!(watts(&states), [None, Some(1900.0)]);
        states.apply(&json!({"r": ["sensor.sun"]}));
        assert_eq!(watts(&states), [None, None]);
        assert!(!states.apply(&json!({"c": {"sensor.other": {"+": {"s": "1"}}}})));
    }

    #[test]
    fn a_removed_entity_is_unknown() {
        let mut states = States::default();
        states.set("sensor.house", State { text: Some("5".into()), unit: None });
        assert!(states.apply(&json!({"data": {"entity_id": "sensor.house", "new_state": null}})));
        assert_eq!(watts(&states), [None, None]);
    }

    #[test]
    fn an_energy_counter_is_pointed_out() {
        let mut states = States::default();
        states.set("sensor.sun", State { text: Some("17.5".into()), unit: Some("kWh".into()) });
        let error = states.reading(&house(), Instant::now()).unwrap_err().to_string();
        assert!(
            error.contains("sensor.sun") && error.contains("kWh") && error.contains("hassEntityGeneration"),
            "{error}"
        );
    }

    #[test]
    fn ids_of_entities() {
        for (text, expected) in [
            ("sensor.house_power", true),
            ("sensor.a1", true),
            ("House power", false),
            ("sensor.", false),
            ("../config", false),
        ] {
            assert_eq!(is_entity_id(text), expected, "{text}");
        }
    }

    #[test]
    fn recordings_read_right() {
        for recording in recordings::vendor("home-assistant") {
            if recording.text_at(&["expected", "status"]) == "error" {
                continue; // A status of HTTP: in tests/home_assistant.rs.
            }
            let is_generation = recording.text_at(&["role"]).contains("generation");
            let (quantity, key) = match is_generation {
                true => (Quantity::Generation, "generation_w"),
                false => (Quantity::Consumption, "consumption_w"),
            };
            let answer = recording.json();
            let mut states = States::default();
            let entity = match answer.get("event") {
                None => {
                    let entity = answer.get("entity_id").and_then(Value::as_str).unwrap().to_owned();
                    states.set(&entity, State::from_object(&answer));
                    entity
                }
                Some(event) => {
                    let entity = event.pointer("/data/entity_id").and_then(Value::as_str).unwrap().to_owned();
                    states.set(&entity, State::default());
                    assert!(states.apply(event));
                    entity
                }
            };
            let reading = states.reading(&[Item::new(quantity, "key", &entity)], Instant::now()).unwrap();
            let found = if is_generation { reading.generation } else { reading.consumption };
            recording.assert_number(key, found.map(|watts| watts.get()));
        }
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<f64>().prop_map(Value::from),
            prop_oneof![Just("1e308"), Just("12.5"), Just("kW"), Just("sensor.house"), Just("NaN")]
                .prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 32, 4, |inner| {
            let key = "(a|c|r|s|\\+|-|data|entity_id|new_state|state|attributes|unit_of_measurement|sensor\\.house)";
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..3).prop_map(Value::Array),
                proptest::collection::vec((key, inner), 0..4)
                    .prop_map(|pairs| Value::Object(pairs.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn any_events_give_sane_numbers_or_an_error(events in proptest::collection::vec(any_json(), 0..5)) {
            let mut states = States::default();
            for event in &events {
                states.apply(event);
            }
            if let Ok(reading) = states.reading(&house(), Instant::now()) {
                prop_assert!(reading.consumption.is_none_or(|watts| (0.0..=1e9).contains(&watts.get())));
            }
        }
    }
}
