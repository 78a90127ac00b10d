//! Which values are due in a round. Without clock and network.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use twc_names::{Number, Reported, Unit};

/// What was pushed, and when it is due again.
#[derive(Debug)]
pub(crate) struct Rounds {
    resend: Duration,
    retry: Duration,
    pushed: BTreeMap<(String, &'static str), Pushed>,
}

#[derive(Debug)]
struct Pushed {
    /// What Home Assistant took last.
    value: Option<Number>,
    due: Instant,
}

impl Rounds {
    pub(crate) fn new(resend: Duration, retry: Duration) -> Rounds {
        Rounds { resend, retry, pushed: BTreeMap::new() }
    }

    /// The values to push now: those that changed, those to be repeated, and those that failed a while ago.
    pub(crate) fn due(&self, now: Instant, values: Vec<Reported>) -> Vec<Reported> {
        let is_due = |value: &Reported| match self.pushed.get(&(value.id.clone(), value.key)) {
            None => true,
            Some(pushed) => pushed.due <= now || pushed.value.as_ref().is_some_and(|last| *last != value.value),
        };
        values.into_iter().filter(is_due).collect()
    }

    /// Home Assistant took a value, or it did not.
    pub(crate) fn pushed(&mut self, now: Instant, value: &Reported, is_taken: bool) {
        let (due, value_taken) =
            if is_taken { (now + self.resend, Some(value.value.clone())) } else { (now + self.retry, None) };
        self.pushed.insert((value.id.clone(), value.key), Pushed { value: value_taken, due });
    }
}

/// The path of a value's entity. Home Assistant writes them small.
pub(crate) fn path(value: &Reported) -> String {
    let id = value.id.replace('-', "_").to_ascii_lowercase();
    format!("/api/states/sensor.twcmanager_{id}_{}", value.hass_key)
}

/// What is pushed of a value.
pub(crate) fn body(value: &Reported) -> Value {
    let name = format!("TWC {} {}", value.id, value.key);
    let (class, state_class) = match value.unit {
        Unit::None => return json!({"state": value.value.to_json(), "attributes": {"friendly_name": name}}),
        Unit::Watts => ("power", ""),
        Unit::KilowattHours => ("energy", "total"),
        Unit::Amps => ("current", "measurement"),
        Unit::Volts => ("voltage", "measurement"),
    };
    json!({"state": value.value.to_json(), "attributes": {
        "unit_of_measurement": value.unit.symbol(),
        "device_class": class,
        "state_class": state_class,
        "friendly_name": name,
    }})
}

#[cfg(test)]
mod tests {
    use super::*;
    use twc_names::testing::snapshot;
    use twc_names::values;

    fn named(key: &str) -> Reported {
        values(&snapshot()).into_iter().find(|value| value.key == key).unwrap()
    }

    #[test]
    fn entities_are_those_of_twcmanager() {
        let load = named("chargerLoadInW");
        assert_eq!(path(&load), "/api/states/sensor.twcmanager_3a7c_charger_load_w");
        assert_eq!(
            body(&load),
            json!({"state": 5520, "attributes": {"unit_of_measurement": "W", "device_class": "power", "state_class": "",
                "friendly_name": "TWC 3A7C chargerLoadInW"}})
        );
        let total = named("totalAmpsInUse");
        assert_eq!(path(&total), "/api/states/sensor.twcmanager_all_total_amps_in_use");
        assert_eq!(body(&total)["attributes"]["state_class"], "measurement");
        assert_eq!(body(&named("lifetimekWh"))["attributes"]["state_class"], "total");
        let policy = body(&named("currentPolicy"));
        let only = json!({"state": "Track Green Energy", "attributes": {"friendly_name": "TWC all currentPolicy"}});
        assert_eq!(policy, only);
        // A number in every released version.
        assert_eq!(body(&named("carsCharging"))["state"], 1);
    }

    #[test]
    fn changes_go_at_once_and_the_rest_in_its_time() {
        let zero = Instant::now();
        let at = |s: u64| zero + Duration::from_secs(s);
        let mut rounds = Rounds::new(Duration::from_secs(3600), Duration::from_secs(60));
        let amps = |number: f64| Reported { value: Number::Decimal(number), ..named("ampsInUse") };
        let mut push = |s: u64, number: f64, is_taken: bool| {
            let due = rounds.due(at(s), vec![amps(number)]);
            due.iter().for_each(|value| rounds.pushed(at(s), value, is_taken));
            !due.is_empty()
        };
        assert!(push(0, 8.0, true));
        assert!(!push(60, 8.0, true));
        assert!(push(120, 9.0, true));
        assert!(!push(3719, 9.0, true));
        assert!(push(3720, 9.0, false));
        // After a failure even a change waits for the retry: every value would be tried in every round otherwise.
        assert!(!push(3779, 10.0, true));
        assert!(push(3780, 10.0, true));
        assert!(!push(3790, 10.0, true));
    }
}
