//! A question as a call of a service, and what came of it. Pure.

use serde_json::{Value, json};
use vehicle::{Outcome, Refusal, Request, Spent, Wakefulness};

use crate::facts::{amps_unit, wakefulness};
use crate::registry::Car;
use crate::role::{Role, domain};
use crate::states::{Entity, States};

/// A call of a service.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Call {
    pub domain: String,
    pub service: &'static str,
    pub data: Value,
    /// What it costs the owner, failed or not.
    pub spent: Spent,
}

/// The call for a request; or what is to be answered at once.
pub(crate) fn plan(request: Request, car: &Car, states: &States) -> Result<Call, Outcome> {
    let is_asleep = wakefulness(car, states) == Some(Wakefulness::Asleep);
    // Integrations wake a sleeping car for a command by themselves, which is the dearest call there is.
    if request.is_command() && is_asleep {
        return Err(Outcome::Asleep);
    }
    let (mut call, entity) = match request {
        Request::Start => switched(car, Role::Start, "turn_on")?,
        Request::Stop => switched(car, Role::Stop, "turn_off")?,
        Request::SetAmps(amps) => {
            let (id, entity) = control(car, states, Role::Amps)?;
            let unit = amps_unit(entity).ok_or(Outcome::Refused(Refusal::Other))?;
            (set_value(id, at_most(amps.get() / unit, entity)?), id)
        }
        Request::SetLimit(limit) => {
            let (id, entity) = control(car, states, Role::Limit)?;
            let least = entity.attribute("min").unwrap_or(0.0);
            (set_value(id, at_most(limit.get().max(least), entity)?), id)
        }
        Request::Wake => {
            let id = car.entities.get(&Role::Wake).ok_or(Outcome::Refused(Refusal::Other))?;
            (pressed(id), id.as_str())
        }
        Request::Read { .. } => {
            let ids = refreshed(car);
            let first = ids.first().copied().ok_or(Outcome::Refused(Refusal::Other))?;
            let data = json!({"entity_id": ids});
            (Call { domain: "homeassistant".into(), service: "update_entity", data, spent: Spent::NOTHING }, first)
        }
        Request::List | Request::ReadWakefulness => return Err(Outcome::Done),
    };
    if states.get(entity).is_some_and(Entity::is_unavailable) && !matches!(request, Request::Read { .. }) {
        let text = format!("{entity} is unavailable in Home Assistant");
        return Err(Outcome::Later { after: None, text });
    }
    if car.is_billed {
        call.spent = match request {
            Request::Wake => Spent { wakes: 1, ..Spent::NOTHING },
            Request::Read { .. } => Spent { data: 1, ..Spent::NOTHING },
            _ => Spent { commands: 1, ..Spent::NOTHING },
        };
    }
    Ok(call)
}

/// The entities whose refreshing refreshes a car.
fn refreshed(car: &Car) -> Vec<&str> {
    let all = car.entities.iter().filter(|(role, _)| !role.is_button()).map(|(_, id)| id.as_str());
    if car.is_one_device { all.take(1).collect() } else { all.collect() }
}

fn control<'a>(car: &'a Car, states: &'a States, role: Role) -> Result<(&'a str, &'a Entity), Outcome> {
    let id = car.entities.get(&role).ok_or(Outcome::Refused(Refusal::Other))?;
    match states.get(id) {
        Some(entity) => Ok((id, entity)),
        None => Err(Outcome::Later { after: None, text: format!("Home Assistant knows no entity {id}") }),
    }
}

fn switched<'a>(car: &'a Car, button: Role, service: &'static str) -> Result<(Call, &'a str), Outcome> {
    if let Some(id) = car.entities.get(&button) {
        return Ok((pressed(id), id.as_str()));
    }
    let id = car.entities.get(&Role::Charge).ok_or(Outcome::Refused(Refusal::Other))?;
    let call = Call { domain: domain(id).to_owned(), service, data: json!({"entity_id": id}), spent: Spent::NOTHING };
    Ok((call, id.as_str()))
}

fn pressed(id: &str) -> Call {
    let service = if domain(id) == "script" { "turn_on" } else { "press" };
    Call { domain: domain(id).to_owned(), service, data: json!({"entity_id": id}), spent: Spent::NOTHING }
}

fn set_value(id: &str, value: f64) -> Call {
    let data = json!({"entity_id": id, "value": value});
    Call { domain: domain(id).to_owned(), service: "set_value", data, spent: Spent::NOTHING }
}

/// The nearest value that the entity takes, never more than asked for: what is asked for is all that there is.
fn at_most(wanted: f64, entity: &Entity) -> Result<f64, Outcome> {
    let least = entity.attribute("min").unwrap_or(0.0);
    let most = entity.attribute("max").unwrap_or(f64::INFINITY);
    let step = entity.attribute("step").filter(|step| *step > 0.0).unwrap_or(1.0);
    // A little more, so that 15.999999 of a division is 16.
    let steps = ((wanted.min(most) - least) / step + 1e-6).floor();
    let value = least + steps * step;
    if steps < 0.0 || !value.is_finite() { Err(Outcome::Refused(Refusal::Other)) } else { Ok(value) }
}

/// What an error of a service means. `code` is Home Assistant's, `text` is mostly the car's own word.
pub(crate) fn failed(code: &str, text: &str) -> Outcome {
    let words = text.to_ascii_lowercase();
    let says = |any: &[&str]| any.iter().any(|word| words.contains(word));
    // The car's own word comes last: "could not complete the request" is none.
    let ends = |word: &str| words.trim_end_matches(['.', ' ', '"', '\'']).ends_with(word);
    match code {
        "unauthorized" => {
            let text =
                "Home Assistant does not let the user of vehicle.HomeAssistant.longLivedToken call services".to_owned();
            return Outcome::Barred { text };
        }
        "not_found" => {
            let text = format!("Home Assistant does not know the service or the entity: {text}");
            return Outcome::Later { after: None, text };
        }
        _ => {}
    }
    if says(&["disconnected", "no cable", "not plugged"]) {
        Outcome::Refused(Refusal::Unplugged)
    } else if ends("complete") {
        Outcome::Refused(Refusal::Complete)
    } else if says(&["no_power", "no power"]) {
        Outcome::Refused(Refusal::NoPower)
    } else if says(&["not_charging", "is_charging", "already"]) || ends("requested") {
        Outcome::AlreadySo
    } else if says(&["asleep", "offline", "could not wake", "could_not_wake", "wake up", "vehicle unavailable"]) {
        Outcome::Asleep
    } else if says(&["command protocol", "not been paired", "not paired", "unknown key", "virtual key", "whitelist"]) {
        Outcome::Refused(Refusal::NotPaired)
    } else if says(&["scope", "reauth", "authenticat", "payment", "insufficient credit", "subscription"]) {
        let text = format!("the integration in Home Assistant needs attention: {text}");
        Outcome::Barred { text }
    } else if code == "invalid_format" || code == "service_validation_error" {
        Outcome::Refused(Refusal::Other)
    } else {
        Outcome::Unsure { text: format!("Home Assistant reports: {text}") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, Instant, SystemTime};
    use units::{Amps, Percent};
    use vehicle::CarKey;
    use vehicle_mqtt::Clock;

    fn states(amps: Value, awake: &str) -> States {
        let clock = Clock { now: Instant::now() + Duration::from_secs(9), wall: SystemTime::now() };
        let mut states = States::default();
        states.take_event(
            &json!({"a": {
                "number.amps": {"s": "16", "a": amps},
                "number.limit": {"s": "80", "a": {"min": 50, "max": 90, "unit_of_measurement": "%"}},
                "switch.charge": {"s": "off", "a": {}},
                "button.wake": {"s": "unknown", "a": {}},
                "switch.gone": {"s": "unavailable", "a": {}},
                "binary_sensor.status": {"s": awake, "a": {}},
            }}),
            clock,
        );
        states
    }

    fn car(charge: &str) -> Car {
        let entities = [
            (Role::Soc, "sensor.soc"),
            (Role::Amps, "number.amps"),
            (Role::Limit, "number.limit"),
            (Role::Charge, charge),
            (Role::Wake, "button.wake"),
            (Role::Awake, "binary_sensor.status"),
        ];
        let entities = entities.map(|(role, id)| (role, id.to_owned())).into();
        Car { key: CarKey::Name("x".into()), name: None, entities, is_billed: true, is_one_device: true }
    }

    #[test]
    fn a_number_keeps_to_its_entity_and_never_exceeds_what_was_asked() {
        for (attributes, asked, sent) in [
            (json!({"min": 0, "max": 48, "step": 1}), 40.0, Some(40.0)),
            (json!({"min": 0, "max": 13}), 16.0, Some(13.0)),
            (json!({"min": 5, "max": 16}), 3.0, None),
            (json!({"min": 0, "max": 32, "step": 2}), 15.9, Some(14.0)),
            (json!({}), 10.7, Some(10.0)),
            (json!({"min": 0, "max": 32000, "step": 100, "unit_of_measurement": "mA"}), 6.0, Some(6000.0)),
            (json!({"min": 0, "max": 100, "unit_of_measurement": "%"}), 6.0, None),
        ] {
            let request = Request::SetAmps(Amps::new(asked).unwrap());
            let found = plan(request, &car("switch.charge"), &states(attributes.clone(), "on"));
            assert_eq!(found.ok().map(|call| call.data["value"].as_f64().unwrap()), sent, "{attributes} {asked}");
        }
        let limit =
            plan(Request::SetLimit(Percent::new(100.0).unwrap()), &car("switch.charge"), &states(json!({}), "on"));
        assert_eq!(limit.unwrap().data, json!({"entity_id": "number.limit", "value": 90.0}));
    }

    #[test]
    fn calls_name_their_service_and_their_cost() {
        let named = |request| {
            let call = plan(request, &car("switch.charge"), &states(json!({}), "on")).unwrap();
            (format!("{}.{}", call.domain, call.service), call.spent)
        };
        let spent = |commands, data, wakes| Spent { commands, data, wakes };
        assert_eq!(named(Request::Start), ("switch.turn_on".into(), spent(1, 0, 0)));
        assert_eq!(named(Request::Stop), ("switch.turn_off".into(), spent(1, 0, 0)));
        assert_eq!(named(Request::Wake), ("button.press".into(), spent(0, 0, 1)));
        let read = Request::Read { with_position: true };
        assert_eq!(named(read), ("homeassistant.update_entity".into(), spent(0, 1, 0)));
    }

    #[test]
    fn a_sleeping_car_is_not_woken_by_a_command() {
        assert_eq!(plan(Request::Stop, &car("switch.charge"), &states(json!({}), "off")), Err(Outcome::Asleep));
        assert!(plan(Request::Wake, &car("switch.charge"), &states(json!({}), "off")).is_ok());
        let gone = plan(Request::Start, &car("switch.gone"), &states(json!({}), "on"));
        assert!(matches!(gone, Err(Outcome::Later { .. })));
    }

    #[test]
    fn errors_are_told_apart() {
        for (text, expected) in [
            ("Command returned exception: disconnected", Outcome::Refused(Refusal::Unplugged)),
            ("Command failed: complete", Outcome::Refused(Refusal::Complete)),
            ("Command was unsuccessful: is_charging", Outcome::AlreadySo),
            ("Vehicle is offline or asleep", Outcome::Asleep),
            ("Tesla Vehicle Command Protocol required", Outcome::Refused(Refusal::NotPaired)),
        ] {
            assert_eq!(failed("home_assistant_error", text), expected, "{text}");
        }
        for text in ["something broke", "Could not complete the request"] {
            assert!(matches!(failed("home_assistant_error", text), Outcome::Unsure { .. }));
        }
        assert!(matches!(failed("unauthorized", "Unauthorized"), Outcome::Barred { .. }));
    }
}
