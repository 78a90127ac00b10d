//! What an answer of the proxy says.
//!
//! Its envelope is Tesla's, but the data sits one level deeper: `response.response.charge_state`.

use std::time::{Instant, SystemTime};

use serde_json::Value;
use vehicle::{Facts, Wakefulness};
use vehicle_radio::wakefulness;
use vehicle_tesla::charge_state::{self, taken_at};

/// An answer in the proxy's envelope.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Said {
    /// Whether it did what it was asked.
    pub(crate) result: bool,
    /// Why not, in its words.
    pub(crate) reason: String,
    data: Value,
}

/// What a car told of itself, and when.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Told {
    pub(crate) facts: Facts,
    pub(crate) taken_at: Option<Instant>,
}

impl Said {
    /// `None` when it is not the proxy's envelope: another program answers there.
    pub(crate) fn parse(body: &Value) -> Option<Said> {
        let inner = body.get("response")?;
        let result = inner.get("result")?.as_bool()?;
        let reason = inner.get("reason").and_then(Value::as_str).unwrap_or_default().to_owned();
        Some(Said { result, reason, data: inner.get("response").cloned().unwrap_or(Value::Null) })
    }

    /// What `vehicle_data` told; `None` without the section. A car that answers is awake.
    pub(crate) fn charge(&self, now: Instant, clock: SystemTime) -> Option<Told> {
        let section = self.data.get("charge_state").filter(|section| section.is_object())?;
        let told = charge_state::parse(section);
        // The proxy may repeat what it heard up to half a minute ago.
        let taken_at = told.stamp.map_or(Some(now), |stamp| taken_at(stamp, now, clock));
        Some(Told { facts: Facts { wakefulness: Some(Wakefulness::Awake), ..told.facts }, taken_at })
    }

    /// What `body_controller_state` told; `None` when it does not know.
    pub(crate) fn wakefulness(&self) -> Option<Wakefulness> {
        wakefulness(self.data.get("vehicle_sleep_status")?.as_str()?)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;
    use serde_json::json;
    use vehicle::ChargingState;

    use super::*;

    #[test]
    fn recorded_answers_are_read() {
        let files = recordings::vendor("tesla");
        for recording in files.iter().filter(|recording| recording.name().starts_with("ble_proxy_")) {
            let said = Said::parse(&recording.json()).unwrap();
            assert!(said.result);
            let clock = std::time::UNIX_EPOCH + Duration::from_secs(1_735_725_615);
            let now = Instant::now() + Duration::from_secs(86_400);
            let Told { facts, taken_at } = said.charge(now, clock).unwrap();
            assert_eq!(taken_at, Some(now - Duration::from_secs(15)), "the stamp is in seconds");
            let expected = recording.expected();
            assert_eq!(facts.plugged, expected["plugged_in"].as_bool());
            assert_eq!(facts.charging == Some(ChargingState::Charging), expected["charging"] == json!(true));
            assert_eq!(expected["charging_state"], json!("Charging"));
            let amps = |amps: Option<units::Amps>| amps.map(units::Amps::get);
            recording.assert_number("soc_percent", facts.soc.map(units::Percent::get));
            recording.assert_number("limit_percent", facts.limit.map(units::Percent::get));
            recording.assert_number("offered_amps", amps(facts.amps_offered));
            recording.assert_number("requested_amps", amps(facts.amps_requested));
            recording.assert_number("max_requestable_amps", amps(facts.amps_possible));
            recording.assert_number("actual_amps", amps(facts.amps));
            recording.assert_number("phases", facts.phases.map(|phases| f64::from(phases.count())));
            recording.assert_number("volts", facts.volts.map(units::Volts::get));
            recording.assert_number("minutes_to_limit", facts.to_limit.map(|time| time.as_secs_f64() / 60.0));
            let watts = facts
                .amps
                .zip(facts.volts)
                .zip(facts.phases)
                .map(|((amps, volts), phases)| amps.watts(volts, phases).get());
            recording.assert_number("power_w", watts);
        }
    }

    #[test]
    fn odd_answers_are_nobodys() {
        for body in
            [json!(null), json!({}), json!({"response": null}), json!({"response": {"result": "yes"}}), json!([1])]
        {
            assert_eq!(Said::parse(&body), None);
        }
        let idle =
            json!({"response": {"result": true, "response": {"charge_state": {"charger_phases": 0, "timestamp": 0}}}});
        let now = Instant::now();
        let told = Said::parse(&idle).unwrap().charge(now, SystemTime::now()).unwrap();
        assert_eq!((told.facts.phases, told.taken_at), (None, Some(now)));
        assert_eq!(Said::parse(&json!({"response": {"result": true}})).unwrap().charge(now, SystemTime::now()), None);
    }

    proptest! {
        #[test]
        fn any_text_in_the_envelope_is_read(result in any::<bool>(), reason in ".{0,40}", status in ".{0,20}", level in 0u8..=100) {
            let body = json!({"response": {"result": result, "reason": reason, "response": {
                "vehicle_sleep_status": status, "charge_state": {"battery_level": level, "charging_state": reason, "timestamp": status},
            }}});
            let said = Said::parse(&body).unwrap();
            prop_assert_eq!((said.result, &said.reason), (result, &reason));
            let told = said.charge(Instant::now(), SystemTime::now()).unwrap();
            prop_assert_eq!(told.facts.soc.map(units::Percent::get), Some(f64::from(level)));
            let _ = said.wakefulness();
        }
    }
}
