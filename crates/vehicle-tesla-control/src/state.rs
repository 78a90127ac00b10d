//! What `tesla-control state …` and `body-controller-state` print: Protocol Buffers written as JSON.
//!
//! Names are in camel case; one-of fields are objects with one member (`{"Charging": {}}`); 64-bit numbers are text; what
//! is absent has its default. Of a number that is absent nothing is concluded: unknown is not zero.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use json_pick::Doc;
use serde_json::{Map, Value};
use vehicle::{Facts, Wakefulness};
use vehicle_radio::wakefulness;
use vehicle_tesla::charge_state;

/// A place that a car told.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Place {
    pub(crate) latitude: f64,
    pub(crate) longitude: f64,
    /// When it was measured.
    pub(crate) fixed_at: Option<SystemTime>,
}

/// What `state charge` printed; `None` when it is no state of charge.
pub(crate) fn charge(text: &str) -> Option<Facts> {
    let document: Value = serde_json::from_str(text).ok()?;
    let section = document.get("chargeState")?.as_object()?;
    let mut named = Map::new();
    for (name, value) in section {
        named.insert(snake(name), flat(value));
    }
    // The only name that differs from the cloud's by more than its case.
    if let Some(amps) = named.get("charging_amps").cloned() {
        named.insert("charge_amps".to_owned(), amps);
    }
    // "No signal" is no cable.
    if named.get("conn_charge_cable").is_some_and(|cable| cable == "SNA" || cable == "Unknown") {
        named.remove("conn_charge_cable");
    }
    let facts = charge_state::parse(&Value::Object(named)).facts;
    // Absent flags of a car that told its state are false: that is how false is written.
    let flag = |told: Option<bool>| told.or(facts.charging.map(|_| false));
    Some(Facts {
        schedule_pending: flag(facts.schedule_pending),
        fast_charger: flag(facts.fast_charger),
        wakefulness: Some(Wakefulness::Awake),
        ..facts
    })
}

/// What `state location` printed; `None` when there is no place in it.
pub(crate) fn place(text: &str) -> Option<Place> {
    let document: Value = serde_json::from_str(text).ok()?;
    let doc = Doc::new(&document);
    let number = |path: &str| doc.number(path).ok().flatten();
    let latitude = number("locationState.latitude")?;
    let longitude = number("locationState.longitude")?;
    let seconds = doc.integer("locationState.gpsAsOf").ok().flatten().and_then(|seconds| u64::try_from(seconds).ok());
    let fixed_at =
        seconds.filter(|seconds| *seconds > 0).and_then(|seconds| UNIX_EPOCH.checked_add(Duration::from_secs(seconds)));
    Some(Place { latitude, longitude, fixed_at })
}

/// What `body-controller-state` printed; `None` when it does not know.
pub(crate) fn sleep(text: &str) -> Option<Wakefulness> {
    let document: Value = serde_json::from_str(text).ok()?;
    wakefulness(document.get("vehicleSleepStatus")?.as_str()?)
}

/// `chargeLimitSoc` becomes `charge_limit_soc`.
fn snake(name: &str) -> String {
    let mut snake = String::with_capacity(name.len() + 4);
    for letter in name.chars() {
        if letter.is_ascii_uppercase() {
            snake.push('_');
        }
        snake.push(letter.to_ascii_lowercase());
    }
    snake
}

/// `{"Charging": {}}` becomes `"Charging"`.
fn flat(value: &Value) -> Value {
    match value.as_object() {
        Some(object) => match object.keys().next() {
            Some(name) if object.len() == 1 => Value::from(name.as_str()),
            _ => Value::Null,
        },
        None => value.clone(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;
    use units::{Amps, Percent, Phases};
    use vehicle::ChargingState;

    use super::*;

    #[test]
    fn recorded_places_are_read() {
        for recording in
            recordings::vendor("tesla").iter().filter(|recording| recording.name().starts_with("tesla_control_"))
        {
            let place = place(&recording.text()).unwrap();
            let seconds = place.fixed_at.unwrap().duration_since(UNIX_EPOCH).unwrap().as_secs();
            let expected = recording.expected();
            assert_eq!(json!(place.latitude), expected["latitude"]);
            assert_eq!(json!(place.longitude), expected["longitude"]);
            assert_eq!(json!(seconds), expected["gps_as_of"]);
        }
    }

    #[test]
    fn a_charging_car_is_read() {
        let facts = charge(
            r#"{"chargeState": {"chargingState": {"Charging": {}}, "chargeLimitSoc": 80, "batteryLevel": 64, "chargeEnergyAdded": 3.5,
                "chargerVoltage": 231, "chargerPilotCurrent": 16, "chargerActualCurrent": 11, "chargerPhases": 2,
                "minutesToFullCharge": 95, "chargeCurrentRequest": 11, "chargeCurrentRequestMax": 16, "chargingAmps": 12,
                "connChargeCable": {"IEC": {}}, "scheduledChargingStartTime": "0", "timestamp": "2026-01-01T10:00:00Z"}}"#,
        )
        .unwrap();
        assert_eq!((facts.charging, facts.plugged), (Some(ChargingState::Charging), Some(true)));
        assert_eq!((facts.soc.map(Percent::get), facts.limit.map(Percent::get)), (Some(64.0), Some(80.0)));
        assert_eq!((facts.amps, facts.amps_requested), (Some(Amps::from_whole(11)), Some(Amps::from_whole(12))));
        assert_eq!((facts.amps_possible, facts.amps_offered), (Some(Amps::from_whole(16)), Some(Amps::from_whole(16))));
        assert_eq!((facts.phases, facts.to_limit), (Some(Phases::Three), Some(Duration::from_secs(95 * 60))));
        assert_eq!((facts.schedule_pending, facts.fast_charger), (Some(false), Some(false)));
        assert_eq!(facts.energy_added.map(units::WattHours::get), Some(3500.0));
    }

    #[test]
    fn what_is_absent_is_unknown_and_not_zero() {
        let facts =
            charge(r#"{"chargeState": {"chargingState": {"Charging": {}}, "connChargeCable": {"SNA": {}}}}"#).unwrap();
        assert_eq!((facts.amps, facts.soc, facts.volts, facts.phases), (None, None, None, None));
        let waking =
            charge(r#"{"chargeState": {"chargingState": {"Unknown": {}}, "connChargeCable": {"SNA": {}}}}"#).unwrap();
        assert_eq!((waking.charging, waking.plugged, waking.schedule_pending), (None, None, None));
        for text in ["", "{}", "[]", "null", r#"{"chargeState": 1}"#, "Usage: state"] {
            assert_eq!((charge(text), place(text), sleep(text)), (None, None, None), "{text}");
        }
        assert_eq!(place(r#"{"locationState": {"latitude": 1.5, "longitude": "2.5"}}"#).unwrap().fixed_at, None);
        assert_eq!(place(r#"{"locationState": {"heading": 90}}"#), None);
    }

    #[test]
    fn the_body_controller_tells_sleep() {
        let told = |word: &str| {
            sleep(&json!({"vehicleLockState": "VEHICLELOCKSTATE_LOCKED", "vehicleSleepStatus": word}).to_string())
        };
        assert_eq!(told("VEHICLE_SLEEP_STATUS_ASLEEP"), Some(Wakefulness::Asleep));
        assert_eq!(told("VEHICLE_SLEEP_STATUS_AWAKE"), Some(Wakefulness::Awake));
        assert_eq!(sleep(r#"{"vehicleLockState": "VEHICLELOCKSTATE_LOCKED"}"#), None);
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in ".{0,80}") {
            let _ = (charge(&text), place(&text), sleep(&text));
        }

        #[test]
        fn one_field_never_spoils_another(level in 0u8..=100, name in "[a-zA-Z]{1,12}", value in ".{0,12}") {
            prop_assume!(name != "batteryLevel");
            let text = json!({"chargeState": {name: value, "batteryLevel": level}}).to_string();
            prop_assert_eq!(charge(&text).unwrap().soc.map(Percent::get), Some(f64::from(level)));
        }

        #[test]
        fn places_survive_as_they_were_written(latitude in -90.0..90.0f64, longitude in -180.0..180.0f64, at in 1u32..) {
            let text = json!({"locationState": {"latitude": latitude, "longitude": longitude, "gpsAsOf": at.to_string()}}).to_string();
            let read = place(&text).unwrap();
            prop_assert!((read.latitude - latitude).abs() < 1e-9 && (read.longitude - longitude).abs() < 1e-9);
            prop_assert_eq!(read.fixed_at, Some(UNIX_EPOCH + Duration::from_secs(at.into())));
        }
    }
}
