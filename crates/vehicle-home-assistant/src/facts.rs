//! What a state means for a car. Pure.

use std::sync::Arc;
use std::time::Duration;

use units::{Amps, Percent, WattHours, Watts};
use vehicle::{CarKey, ChargingState, Facts, Nearness, Position, Report, Wakefulness};
use vehicle_mqtt::Clock;
use vehicle_mqtt::values::{amps, percent, phases, volts};

use crate::NAME;
use crate::registry::Car;
use crate::role::Role;
use crate::states::{Entity, States};

/// A position less exact than this says nothing about being at home.
const WORST_ACCURACY_M: f64 = 500.0;

/// What an entity that was touched tells of a car; `None` when it is nothing.
pub(crate) fn report(car: &Car, role: Role, states: &States, clock: Clock) -> Option<Report> {
    let entity = states.get(car.entities.get(&role)?)?;
    let taken_at = entity.at(wakefulness(car, states) == Some(Wakefulness::Asleep) && role != Role::Awake);
    let mut facts = facts(car, role, entity, states, clock);
    if let Some(position) = &mut facts.position {
        position.fixed_at = taken_at;
    }
    if facts == Facts::default() {
        return None;
    }
    facts.name.clone_from(&car.name);
    Some(Report { car: car.key.clone(), source: Arc::from(NAME), nearness: Nearness::Copy, taken_at, facts })
}

/// All that is known of a car.
pub(crate) fn all(car: &Car, states: &States, clock: Clock) -> Vec<Report> {
    let mut reports: Vec<Report> = car.entities.keys().filter_map(|role| report(car, *role, states, clock)).collect();
    if reports.is_empty() && matches!(car.key, CarKey::Vin(_)) {
        // That there is such a car is worth telling.
        let facts = Facts { name: car.name.clone(), ..Facts::default() };
        let (car, source) = (car.key.clone(), Arc::from(NAME));
        reports.push(Report { car, source, nearness: Nearness::Copy, taken_at: None, facts });
    }
    reports
}

/// Whether a car can be reached, where an entity tells that.
pub(crate) fn wakefulness(car: &Car, states: &States) -> Option<Wakefulness> {
    let text = states.get(car.entities.get(&Role::Awake)?)?.text()?.to_ascii_lowercase();
    match text.as_str() {
        "on" | "online" | "awake" | "connected" | "charging" | "driving" => Some(Wakefulness::Awake),
        "off" | "asleep" | "offline" | "sleeping" | "disconnected" => Some(Wakefulness::Asleep),
        _ => None,
    }
}

fn facts(car: &Car, role: Role, entity: &Entity, states: &States, clock: Clock) -> Facts {
    let mut facts = Facts::default();
    match role {
        Role::Soc => facts.soc = share(entity),
        Role::Limit => facts.limit = share(entity),
        Role::Charging => facts.charging = charging(entity, is_plugged(car, states)),
        Role::Plug => facts.plugged = plug(entity),
        Role::Amps => {
            facts.amps_requested = current(entity);
            facts.amps_possible = amps_unit(entity).and_then(|unit| amps(entity.attribute("max")? * unit));
        }
        Role::Current => facts.amps = current(entity),
        Role::Voltage => {
            facts.volts = match entity.unit() {
                None | Some("V") => entity.number(),
                Some("kV") => entity.number().map(|number| number * 1e3),
                Some("mV") => entity.number().map(|number| number * 1e-3),
                Some(_) => None,
            }
            .and_then(volts);
        }
        Role::Phases => facts.phases = entity.number().and_then(phases),
        Role::Power => facts.drawn = power(entity),
        Role::Energy => facts.energy_added = energy(entity),
        Role::TimeToLimit => facts.to_limit = time(entity, clock),
        Role::Location => {
            facts.says_home = entity.text().map(|zone| zone == "home");
            let is_exact = entity.attribute("gps_accuracy").is_none_or(|metres| metres <= WORST_ACCURACY_M);
            let place = entity.attribute("latitude").zip(entity.attribute("longitude")).filter(|_| is_exact);
            facts.position = place.and_then(|(latitude, longitude)| Position::new(latitude, longitude, None));
        }
        Role::Awake => facts.wakefulness = wakefulness(car, states),
        Role::Scheduled => facts.schedule_pending = flag(entity),
        Role::Gear => facts.parked = gear(entity),
        Role::FastCharger => facts.fast_charger = flag(entity),
        // A switch says what was asked for last, which is no proof of anything.
        Role::Charge | Role::Start | Role::Stop | Role::Wake => {}
    }
    facts
}

fn share(entity: &Entity) -> Option<Percent> {
    matches!(entity.unit(), None | Some("%")).then(|| entity.number().and_then(percent)).flatten()
}

/// How many amps one of the entity's units is.
pub(crate) fn amps_unit(entity: &Entity) -> Option<f64> {
    match entity.unit() {
        None | Some("A") => Some(1.0),
        Some("mA") => Some(1e-3),
        Some(_) => None,
    }
}

fn current(entity: &Entity) -> Option<Amps> {
    amps(entity.number()? * amps_unit(entity)?)
}

fn power(entity: &Entity) -> Option<Watts> {
    let factor = match entity.unit() {
        None | Some("W") => 1.0,
        Some("kW") => 1e3,
        Some("mW") => 1e-3,
        Some(_) => return None,
    };
    let watts = entity.number()? * factor;
    (0.0..=1e6).contains(&watts).then(|| Watts::new(watts).ok()).flatten()
}

fn energy(entity: &Entity) -> Option<WattHours> {
    let factor = match entity.unit() {
        Some("Wh") => 1.0,
        None | Some("kWh") => 1e3,
        Some("MWh") => 1e6,
        Some(_) => return None,
    };
    let energy = entity.number()? * factor;
    (0.0..=1e6).contains(&energy).then(|| WattHours::new(energy).ok()).flatten()
}

/// A duration, or the moment of the end.
fn time(entity: &Entity, clock: Clock) -> Option<Duration> {
    if let Ok(end) = entity.text()?.parse::<jiff::Timestamp>() {
        return std::time::SystemTime::from(end).duration_since(clock.wall).ok();
    }
    let seconds = match entity.unit() {
        None | Some("h") => 3600.0,
        Some("min") => 60.0,
        Some("s") => 1.0,
        Some("d") => 86_400.0,
        Some(_) => return None,
    };
    let seconds = entity.number()? * seconds;
    (0.0..=864_000.0).contains(&seconds).then(|| Duration::try_from_secs_f64(seconds).ok()).flatten()
}

fn flag(entity: &Entity) -> Option<bool> {
    match entity.text()?.to_ascii_lowercase().as_str() {
        "on" | "true" | "yes" => Some(true),
        "off" | "false" | "no" => Some(false),
        _ => None,
    }
}

fn plug(entity: &Entity) -> Option<bool> {
    flag(entity).or(match entity.text()?.to_ascii_lowercase().as_str() {
        "connected" | "plugged" | "plugged_in" | "plugged in" | "locked" => Some(true),
        "disconnected" | "unplugged" | "not_connected" | "unlocked" => Some(false),
        _ => None,
    })
}

fn is_plugged(car: &Car, states: &States) -> Option<bool> {
    plug(states.get(car.entities.get(&Role::Plug)?)?)
}

/// Words of many makes. On and off say nothing of the cable, so that "off" means something only where another entity tells it.
fn charging(entity: &Entity, is_plugged: Option<bool>) -> Option<ChargingState> {
    let text = entity.text()?.to_ascii_lowercase().replace([' ', '-'], "_");
    let word = match text.as_str() {
        "charging" | "on" | "charging_active" | "charge_in_progress" => ChargingState::Charging,
        "starting" | "initializing" => ChargingState::Starting,
        "stopped"
        | "paused"
        | "waiting"
        | "waiting_for_charge"
        | "waiting_for_planned_charge"
        | "connected"
        | "ready"
        | "scheduled" => ChargingState::Stopped,
        "complete" | "completed" | "charged" | "finished" | "fully_charged" | "charge_ended" => ChargingState::Complete,
        "no_power" | "nopower" => ChargingState::NoPower,
        "disconnected" | "unplugged" | "not_connected" => ChargingState::Disconnected,
        "off" | "idle" | "not_charging" | "not_in_charge" => match is_plugged? {
            true => ChargingState::Stopped,
            false => ChargingState::Disconnected,
        },
        _ => return None,
    };
    Some(word)
}

fn gear(entity: &Entity) -> Option<bool> {
    match entity.text()?.to_ascii_lowercase().as_str() {
        "p" | "park" | "parked" => Some(true),
        "r" | "n" | "d" | "reverse" | "neutral" | "drive" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Value, json};
    use std::time::{Instant, SystemTime};
    use vehicle::VehicleState;

    fn clock() -> Clock {
        let wall = SystemTime::UNIX_EPOCH + Duration::from_secs(1_747_662_460); // 2025-05-19T13:47:40Z
        Clock { now: Instant::now() + Duration::from_secs(1_000_000), wall }
    }

    fn known(pairs: &[(Role, Value)]) -> VehicleState {
        let mut states = States::default();
        let mut car = Car {
            key: CarKey::Name("Zoe".into()),
            name: Some("Zoe".into()),
            entities: Default::default(),
            is_billed: false,
            is_one_device: false,
        };
        let clock = clock();
        for (role, entity) in pairs {
            let id = format!("{}.{}", role.domains()[0], role.key().to_ascii_lowercase());
            states.take_event(&json!({"a": {id.clone(): entity}}), clock);
            car.entities.insert(*role, id);
        }
        let mut state = VehicleState::new(car.key.clone());
        all(&car, &states, clock).iter().for_each(|report| state.take(report));
        state
    }

    fn entity(state: &str, unit: &str) -> Value {
        json!({"s": state, "a": {"unit_of_measurement": unit}, "lc": 1_747_662_460.0})
    }

    #[test]
    fn units_are_minded() {
        for (role, state, unit, expected) in [
            (Role::Power, "7.4", "kW", Some(7400.0)),
            (Role::Power, "7400", "W", Some(7400.0)),
            (Role::Power, "7400", "kWh", None),
            (Role::Current, "16", "A", Some(16.0)),
            (Role::Current, "16000", "mA", Some(16.0)),
            (Role::Current, "unavailable", "A", None),
            (Role::Voltage, "231", "V", Some(231.0)),
            (Role::Soc, "unknown", "%", None),
            (Role::Soc, "81", "km", None),
            (Role::Energy, "4.2", "kWh", Some(4200.0)),
            (Role::TimeToLimit, "90", "min", Some(5400.0)),
            (Role::TimeToLimit, "2025-05-19T14:47:40+00:00", "", Some(3600.0)),
        ] {
            let state_of = known(&[(role, entity(state, unit)), (Role::Charging, entity("charging", ""))]);
            let found = match role {
                Role::Power => state_of.drawn.map(|seen| seen.value.get()),
                Role::Current => state_of.amps.map(|seen| seen.value.get()),
                Role::Voltage => state_of.volts.map(|seen| seen.value.get()),
                Role::Soc => state_of.soc.map(|seen| seen.value.get()),
                Role::Energy => state_of.energy_added.map(|seen| seen.value.get()),
                _ => state_of.to_limit.map(|seen| seen.value.as_secs_f64()),
            };
            assert_eq!(found, expected, "{role:?} {state} {unit}");
        }
    }

    #[test]
    fn words_and_switches_tell_the_state() {
        let state = |charging: &str, plug: Option<&str>| {
            let mut pairs = vec![(Role::Charging, entity(charging, ""))];
            pairs.extend(plug.map(|plug| (Role::Plug, entity(plug, ""))));
            known(&pairs).charging.map(|seen| seen.value)
        };
        assert_eq!(state("Charging", None), Some(ChargingState::Charging));
        assert_eq!(state("no_power", None), Some(ChargingState::NoPower));
        assert_eq!(state("off", None), None);
        assert_eq!(state("off", Some("on")), Some(ChargingState::Stopped));
        assert_eq!(state("off", Some("off")), Some(ChargingState::Disconnected));
        assert_eq!(state("doing a dance", None), None);
    }

    #[test]
    fn a_tracker_tells_home_and_a_place_with_its_age() {
        let tracker =
            json!({"s": "home", "a": {"latitude": 52.5, "longitude": 13.4, "gps_accuracy": 0}, "lc": 1_747_662_400.0});
        let state = known(&[(Role::Location, tracker)]);
        let position = state.position.unwrap();
        assert!(state.says_home.unwrap().value);
        assert_eq!(position.value.fixed_at, position.at);
        let vague =
            json!({"s": "not_home", "a": {"latitude": 52.5, "longitude": 13.4, "gps_accuracy": 5000}, "lc": 1.0});
        let state = known(&[(Role::Location, vague)]);
        assert!(!state.says_home.unwrap().value && state.position.is_none());
    }

    proptest! {
        #[test]
        fn any_state_is_survived(text in "\\PC{0,16}|-?[0-9]{1,12}|1e308", unit in "A|W|kW|%|V|h|kWh|x", role in 0..20_usize) {
            let role = Role::all().nth(role).unwrap();
            let state = known(&[(role, entity(&text, &unit))]);
            prop_assert!(state.soc.is_none_or(|seen| (0.0..=100.0).contains(&seen.value.get())));
        }
    }
}
