//! States of entities, as both interfaces of Home Assistant tell them. Pure.

use std::collections::HashMap;
use std::time::{Duration, Instant, SystemTime};

use serde_json::{Map, Value};
use vehicle_mqtt::Clock;

/// One entity.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Entity {
    state: String,
    attributes: Map<String, Value>,
    /// When Home Assistant last wrote another value.
    updated_at: Option<Instant>,
    /// When its integration last told it, changed or not; only some versions say so.
    reported_at: Option<Instant>,
}

impl Entity {
    /// The state, unless it is none.
    pub fn text(&self) -> Option<&str> {
        let state = self.state.trim();
        (!matches!(state, "" | "unknown" | "unavailable" | "none" | "None")).then_some(state)
    }

    /// Whether nothing can be done with it now.
    pub fn is_unavailable(&self) -> bool {
        matches!(self.state.as_str(), "unavailable" | "")
    }

    pub fn number(&self) -> Option<f64> {
        vehicle_mqtt::values::number(self.text()?)
    }

    pub fn unit(&self) -> Option<&str> {
        self.attributes.get("unit_of_measurement").and_then(Value::as_str)
    }

    /// A number among the attributes.
    pub fn attribute(&self, name: &str) -> Option<f64> {
        self.attributes.get(name).and_then(Value::as_f64).filter(|number| number.is_finite())
    }

    /// When its value was true. Integrations tell the old values of a sleeping car again and again, so that only their last
    /// change counts then.
    pub fn at(&self, is_asleep: bool) -> Option<Instant> {
        if is_asleep { self.updated_at } else { self.updated_at.max(self.reported_at) }
    }
}

/// The newest state of each entity that matters.
#[derive(Debug, Clone, Default)]
pub(crate) struct States {
    entities: HashMap<String, Entity>,
}

impl States {
    pub fn get(&self, entity: &str) -> Option<&Entity> {
        self.entities.get(entity)
    }

    /// Takes the state object of REST and of `state_changed`; whether anything differs.
    pub fn take_object(&mut self, object: &Value, clock: Clock) -> bool {
        let Some(id) = object.get("entity_id").and_then(Value::as_str) else { return false };
        let moment = |key: &str| {
            let stamp: jiff::Timestamp = object.get(key)?.as_str()?.parse().ok()?;
            clock.moment(stamp.into())
        };
        let mut new = Entity {
            state: text(object.get("state")).unwrap_or_default(),
            attributes: object.get("attributes").and_then(Value::as_object).cloned().unwrap_or_default(),
            updated_at: moment("last_updated").or_else(|| moment("last_changed")),
            reported_at: moment("last_reported"),
        };
        let known = self.entities.entry(id.to_owned()).or_default();
        if known.state == new.state {
            // Pushed changes are stamped when they come, a moment after Home Assistant's own stamp.
            new.updated_at = new.updated_at.max(known.updated_at);
        } else if known.updated_at > new.updated_at.max(new.reported_at) {
            // An answer that was under way while a change was pushed.
            return false;
        }
        let differs = *known != new;
        *known = new;
        differs
    }

    /// Takes the `event` part of a message of `subscribe_entities` (`a` added, `c` changed, `r` removed). The entities in it.
    pub fn take_event(&mut self, event: &Value, clock: Clock) -> Vec<String> {
        let mut touched = Vec::new();
        let parts = |key: &str| event.get(key).and_then(Value::as_object).into_iter().flatten();
        for (id, added) in parts("a") {
            let stamp = ["lu", "lc"].iter().find_map(|key| added.get(*key)?.as_f64());
            let entity = Entity {
                state: text(added.get("s")).unwrap_or_default(),
                attributes: added.get("a").and_then(Value::as_object).cloned().unwrap_or_default(),
                updated_at: stamp.and_then(from_epoch).and_then(|stamp| clock.moment(stamp)),
                reported_at: None,
            };
            self.entities.insert(id.clone(), entity);
            touched.push(id.clone());
        }
        for (id, change) in parts("c") {
            // A change of what never came is of no use: its unit is not known.
            let Some(entity) = self.entities.get_mut(id) else { continue };
            if let Some(state) = text(change.pointer("/+/s")) {
                entity.state = state;
            }
            for (name, value) in change.pointer("/+/a").and_then(Value::as_object).into_iter().flatten() {
                entity.attributes.insert(name.clone(), value.clone());
            }
            let lost = change.pointer("/-/a").and_then(Value::as_array).into_iter().flatten();
            for name in lost.filter_map(Value::as_str) {
                entity.attributes.remove(name);
            }
            // It happened just now, whatever the other clock says.
            entity.updated_at = Some(clock.now);
            touched.push(id.clone());
        }
        for id in event.get("r").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str) {
            if self.entities.remove(id).is_some() {
                touched.push(id.to_owned());
            }
        }
        touched
    }
}

fn from_epoch(seconds: f64) -> Option<SystemTime> {
    SystemTime::UNIX_EPOCH.checked_add(Duration::try_from_secs_f64(seconds).ok()?)
}

fn text(value: Option<&Value>) -> Option<String> {
    match value? {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    pub(crate) fn clock() -> Clock {
        // 2025-05-19T13:47:40Z
        let wall = SystemTime::UNIX_EPOCH + Duration::from_secs(1_747_662_460);
        Clock { now: Instant::now() + Duration::from_secs(1_000_000), wall }
    }

    #[test]
    fn events_build_on_one_another_and_carry_their_time() {
        let (mut states, clock) = (States::default(), clock());
        let added = json!({"a": {"number.a": {"s": "16", "a": {"min": 0, "max": 32}, "lc": 1_747_662_400.5}}});
        assert_eq!(states.take_event(&added, clock), ["number.a"]);
        let entity = states.get("number.a").unwrap();
        assert_eq!((entity.number(), entity.attribute("max")), (Some(16.0), Some(32.0)));
        assert_eq!(clock.now.duration_since(entity.at(false).unwrap()), Duration::from_millis(59_500));
        states
            .take_event(&json!({"c": {"number.a": {"+": {"s": "10", "a": {"max": 13}}, "-": {"a": ["min"]}}}}), clock);
        let entity = states.get("number.a").unwrap();
        assert_eq!((entity.number(), entity.attribute("max"), entity.attribute("min")), (Some(10.0), Some(13.0), None));
        assert_eq!(entity.at(true), Some(clock.now));
        states
            .take_event(&json!({"c": {"number.a": {"+": {"s": "unavailable"}}, "number.b": {"+": {"s": "1"}}}}), clock);
        assert_eq!(states.get("number.a").unwrap().number(), None);
        assert!(states.get("number.b").is_none());
        assert_eq!(states.take_event(&json!({"r": ["number.a", "number.b"]}), clock), ["number.a"]);
    }

    #[test]
    fn what_is_told_again_of_a_sleeping_car_is_not_newer() {
        let (mut states, clock) = (States::default(), clock());
        let object = json!({"entity_id": "sensor.soc", "state": "55", "attributes": {},
            "last_updated": "2025-05-19T12:47:40+00:00", "last_reported": "2025-05-19T13:47:30+00:00"});
        assert!(states.take_object(&object, clock) && !states.take_object(&object, clock));
        let entity = states.get("sensor.soc").unwrap();
        let age = |is_asleep| clock.now.duration_since(entity.at(is_asleep).unwrap()).as_secs();
        assert_eq!((age(true), age(false)), (3600, 10));
    }

    #[test]
    fn an_answer_confirms_what_was_pushed_and_does_not_undo_it() {
        let (mut states, clock) = (States::default(), clock());
        states.take_event(&json!({"a": {"sensor.soc": {"s": "55", "a": {}, "lc": 1_747_662_000.0}}}), clock);
        states.take_event(&json!({"c": {"sensor.soc": {"+": {"s": "56"}}}}), clock);
        let object = |state: &str, reported: &str| {
            json!({"entity_id": "sensor.soc", "state": state, "attributes": {},
                "last_updated": "2025-05-19T13:47:39+00:00", "last_reported": reported})
        };
        assert!(!states.take_object(&object("55", "2025-05-19T13:47:39+00:00"), clock), "older than the push");
        let later = Clock { now: clock.now + Duration::from_secs(60), wall: clock.wall + Duration::from_secs(60) };
        assert!(states.take_object(&object("56", "2025-05-19T13:48:40+00:00"), later));
        assert_eq!(states.get("sensor.soc").unwrap().at(false), Some(later.now));
        assert_eq!(states.get("sensor.soc").unwrap().at(true), Some(clock.now));
    }

    #[test]
    fn recordings_are_read() {
        for recording in recordings::vendor("home-assistant") {
            let (mut states, clock) = (States::default(), clock());
            let answer = recording.json();
            let object = answer.pointer("/event/data/new_state").unwrap_or(&answer);
            if recording.text_at(&["expected", "status"]) == "error" {
                assert!(!states.take_object(object, clock), "{}", recording.name());
                continue;
            }
            states.take_object(object, clock);
            let found = states.get(object["entity_id"].as_str().unwrap()).unwrap().number();
            for key in ["consumption_w", "generation_w"] {
                if recording.expected().get(key).is_some_and(|value| !value.is_null()) {
                    recording.assert_number(key, found);
                }
            }
            assert_eq!(found.is_none(), object["state"] == "unavailable", "{}", recording.name());
        }
    }
}
