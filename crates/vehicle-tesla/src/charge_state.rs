//! What a car says of its charging, as Tesla's cloud, its proxies and Bluetooth proxies all spell it.
//!
//! Every field is read on its own: numbers come as text, fields are null or missing, and none of that costs the others.
//! Field names and quirks: Tesla's Fleet API, and recorded answers.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use json_pick::Doc;
use serde_json::Value;
use units::{Amps, Percent, Phases, Volts, WattHours};
use vehicle::{ChargingState, Facts};

/// Below this a voltage is noise of an idle charger: 0, 1 and 2 are common.
const LEAST_VOLTS: f64 = 50.0;
/// No car's charger takes or is offered more.
const MOST_AMPS: f64 = 500.0;
/// Longer than any charging takes.
const MOST_HOURS: f64 = 24.0 * 14.0;
/// Facts older than this are as good as of unknown age.
const OLDEST: Duration = Duration::from_secs(30 * 86_400);

/// What one section of a document tells, and when that was true.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Told {
    /// The facts.
    pub facts: Facts,
    /// The section's own time stamp, where it has one.
    pub stamp: Option<SystemTime>,
}

/// Reads an object `charge_state`; anything else tells nothing.
#[must_use]
pub fn parse(section: &Value) -> Told {
    let doc = Doc::new(section);
    let charging = text(doc, "charging_state").and_then(|word| charging_state(&word));
    let is_unplugged = charging == Some(ChargingState::Disconnected);
    let plugged = match charging {
        Some(state) => Some(state != ChargingState::Disconnected),
        None => text(doc, "conn_charge_cable").filter(|cable| cable != "<invalid>" && !cable.is_empty()).map(|_| true),
    };
    let facts = Facts {
        soc: number(doc, "battery_level").and_then(percent),
        limit: number(doc, "charge_limit_soc").and_then(percent),
        charging,
        plugged,
        amps_requested: amps(doc, "charge_amps").or_else(|| amps(doc, "charge_current_request")),
        // Without a cable it is a number from somewhere else.
        amps_possible: amps(doc, "charge_current_request_max").filter(|_| !is_unplugged),
        amps_offered: amps(doc, "charger_pilot_current").filter(|_| !is_unplugged),
        amps: amps(doc, "charger_actual_current"),
        volts: number(doc, "charger_voltage").filter(|volts| *volts >= LEAST_VOLTS).and_then(|v| Volts::new(v).ok()),
        phases: number(doc, "charger_phases").and_then(phases),
        energy_added: number(doc, "charge_energy_added")
            .filter(|kwh| (0.0..1000.0).contains(kwh))
            .and_then(|kwh| WattHours::new(kwh * 1000.0).ok()),
        to_limit: number(doc, "minutes_to_full_charge")
            .map(|minutes| minutes / 60.0)
            .or_else(|| number(doc, "time_to_full_charge"))
            .filter(|hours| (0.0..=MOST_HOURS).contains(hours))
            .and_then(|hours| Duration::try_from_secs_f64(hours * 3600.0).ok()),
        schedule_pending: flag(doc, "scheduled_charging_pending"),
        fast_charger: flag(doc, "fast_charger_present"),
        ..Facts::default()
    };
    Told { facts, stamp: stamp(doc, "timestamp") }
}

/// A charger's state by its name; `None` for `Unknown`, which cars say right after waking, and for names of the future.
#[must_use]
pub fn charging_state(word: &str) -> Option<ChargingState> {
    Some(match word {
        "Disconnected" => ChargingState::Disconnected,
        "NoPower" => ChargingState::NoPower,
        // Calibrating: cable and car agree on a current.
        "Starting" | "Calibrating" => ChargingState::Starting,
        "Charging" => ChargingState::Charging,
        "Complete" => ChargingState::Complete,
        "Stopped" => ChargingState::Stopped,
        _ => return None,
    })
}

/// Phases by the count that cars tell: 2 and 3 both mean three.
#[must_use]
pub fn phases(count: f64) -> Option<Phases> {
    match count {
        1.0 => Some(Phases::One),
        2.0 | 3.0 => Some(Phases::Three),
        _ => None,
    }
}

/// When something with a time stamp was true on our own clock, given what the sender's clock says now. A stamp from the
/// future is from now; one too old to be of use gives `None`, which is what is told of values of unknown age.
#[must_use]
pub fn taken_at(stamp: SystemTime, now: Instant, sender_now: SystemTime) -> Option<Instant> {
    let age = sender_now.duration_since(stamp).unwrap_or_default();
    if age > OLDEST { None } else { now.checked_sub(age) }
}

/// A time stamp in seconds or in milliseconds since 1970.
pub(crate) fn stamp(doc: Doc<'_>, path: &str) -> Option<SystemTime> {
    // Seconds stay below this until the year 5138, milliseconds have been above it since 1973.
    const MILLISECONDS_FROM: u64 = 100_000_000_000;
    let number = u64::try_from(doc.integer(path).ok().flatten()?).ok().filter(|number| *number > 0)?;
    let since = match number {
        MILLISECONDS_FROM.. => Duration::from_millis(number),
        seconds => Duration::from_secs(seconds),
    };
    UNIX_EPOCH.checked_add(since)
}

pub(crate) fn number(doc: Doc<'_>, path: &str) -> Option<f64> {
    doc.number(path).ok().flatten()
}

pub(crate) fn text(doc: Doc<'_>, path: &str) -> Option<String> {
    doc.text(path).ok().flatten()
}

fn flag(doc: Doc<'_>, path: &str) -> Option<bool> {
    doc.flag(path).ok().flatten()
}

fn percent(number: f64) -> Option<Percent> {
    Percent::new(number).ok()
}

fn amps(doc: Doc<'_>, path: &str) -> Option<Amps> {
    number(doc, path).filter(|amps| (0.0..=MOST_AMPS).contains(amps)).and_then(|amps| Amps::new(amps).ok())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn hostile_values_cost_only_themselves() {
        let told = parse(&json!({
            "charging_state": "Charging", "battery_level": "61", "charge_limit_soc": 180, "charger_actual_current": "11",
            "charger_voltage": null, "charger_phases": "2", "time_to_full_charge": null, "timestamp": "1735725600123",
            "charge_energy_added": -3, "scheduled_charging_pending": "false", "charge_amps": [], "charge_current_request": 16,
            "charge_current_request_max": "none", "fast_charger_present": {},
        }));
        let facts = told.facts;
        assert_eq!(facts.soc.map(Percent::get), Some(61.0));
        assert_eq!((facts.limit, facts.volts, facts.to_limit, facts.energy_added), (None, None, None, None));
        assert_eq!((facts.amps, facts.amps_requested), (Some(Amps::from_whole(11)), Some(Amps::from_whole(16))));
        assert_eq!((facts.amps_possible, facts.fast_charger), (None, None));
        assert_eq!((facts.phases, facts.schedule_pending), (Some(Phases::Three), Some(false)));
        assert_eq!(told.stamp, Some(UNIX_EPOCH + Duration::from_millis(1_735_725_600_123)));
    }

    #[test]
    fn a_stamp_is_in_seconds_or_milliseconds() {
        let at = |stamp: Value| parse(&json!({ "timestamp": stamp })).stamp;
        let second = Some(UNIX_EPOCH + Duration::from_secs(1_735_725_600));
        assert_eq!(at(json!(1_735_725_600)), second);
        assert_eq!(at(json!(1_735_725_600_000_u64)), second);
        for none in [json!(null), json!(0), json!(-5), json!("soon"), json!({})] {
            assert_eq!(at(none), None);
        }
    }

    #[test]
    fn the_plug_is_known_by_the_state_or_the_cable() {
        let plugged = |section: Value| parse(&section).facts.plugged;
        assert_eq!(plugged(json!({"charging_state": "Disconnected", "conn_charge_cable": "IEC"})), Some(false));
        assert_eq!(plugged(json!({"charging_state": "NoPower"})), Some(true));
        assert_eq!(plugged(json!({"charging_state": null, "conn_charge_cable": "IEC"})), Some(true));
        assert_eq!(plugged(json!({"charging_state": "Unknown", "conn_charge_cable": "<invalid>"})), None);
        let away =
            json!({"charging_state": "Disconnected", "charge_current_request_max": 16, "charger_pilot_current": 32});
        assert_eq!((parse(&away).facts.amps_possible, parse(&away).facts.amps_offered), (None, None));
    }

    #[test]
    fn age_is_reckoned_by_the_senders_clock() {
        let now = Instant::now() + Duration::from_secs(86_400);
        let sender = UNIX_EPOCH + Duration::from_secs(1_000_000_000);
        let at = |age: u64| taken_at(sender - Duration::from_secs(age), now, sender);
        assert_eq!(at(90), Some(now - Duration::from_secs(90)));
        assert_eq!(taken_at(sender + Duration::from_secs(5), now, sender), Some(now));
        assert_eq!(at(31 * 86_400), None);
    }

    fn any_json() -> impl Strategy<Value = Value> {
        prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            ".{0,12}".prop_map(Value::from),
            Just(json!([1, {}])),
            Just(json!("Charging")),
        ]
    }

    const NAMES: [&str; 14] = [
        "charging_state",
        "battery_level",
        "charge_limit_soc",
        "charge_amps",
        "charge_current_request_max",
        "charger_pilot_current",
        "charger_actual_current",
        "charger_voltage",
        "charger_phases",
        "charge_energy_added",
        "minutes_to_full_charge",
        "time_to_full_charge",
        "timestamp",
        "conn_charge_cable",
    ];

    proptest! {
        #[test]
        fn any_section_is_read_and_one_field_never_spoils_another(
            values in proptest::collection::vec(any_json(), NAMES.len()), level in 0u8..=100,
        ) {
            let mut section: serde_json::Map<String, Value> =
                NAMES.iter().map(|name| (*name).to_owned()).zip(values).collect();
            section.insert("battery_level".into(), level.into());
            let told = parse(&Value::Object(section));
            prop_assert_eq!(told.facts.soc.map(Percent::get), Some(f64::from(level)));
            prop_assert!(told.facts.amps.is_none_or(|amps| amps >= Amps::ZERO));
        }
    }
}
