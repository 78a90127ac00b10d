//! From SmartPi's answers to a meter.

use ems_meter::{Meter, PhaseValues};
use json_pick::{Doc, PickError};
use serde_json::Value;

/// What the sensors show.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Measured {
    /// The phases and their sum.
    pub meter: Meter,
    /// When they were read, in local time: good for telling two apart.
    pub stamp: Option<String>,
}

/// Reads the newest data set of any of SmartPi's live answers. A fourth phase is the neutral wire, which has no power.
///
/// # Errors
/// When it is no such answer.
pub fn live(answer: &Value) -> Result<Measured, PickError> {
    let doc = Doc::new(answer);
    let sets = doc.list("datasets")?.ok_or_else(|| doc.missing("datasets"))?;
    let Some(set) = sets.last() else { return Ok(Measured::default()) };
    let mut phases = [PhaseValues::default(); 3];
    for phase in set.list("phases")?.unwrap_or_default() {
        let number = phase.integer("phase")?.and_then(|number| usize::try_from(number).ok());
        let Some(slot) = number.and_then(|number| phases.get_mut(number.checked_sub(1)?)) else { continue };
        for value in phase.list("values")?.unwrap_or_default() {
            let number = value.number("data")?.filter(|_| is_valid(value));
            match value.text("type")?.unwrap_or_default().to_ascii_lowercase().as_str() {
                "power" => slot.watts = number,
                "current" => slot.amps = number,
                "voltage" => slot.volts = number,
                _ => {}
            }
        }
    }
    let mut meter = Meter { phases, ..Meter::default() };
    meter.watts = meter.sum_of_phases();
    let stamp = match set.text("time")? {
        Some(stamp) => Some(stamp),
        None => doc.text("time")?,
    };
    Ok(Measured { meter, stamp })
}

/// SmartPi writes 0 where it could not measure, and says so in `info`.
fn is_valid(value: Doc<'_>) -> bool {
    let info = value.text("info").ok().flatten().unwrap_or_default().to_ascii_lowercase();
    !["warning", "error", "0.0", "invalid"].iter().any(|word| info.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn answer(phases: Value) -> Value {
        json!({"time": "2021-03-22 19:36:38", "datasets": [{"time": "2021-03-22 19:36:38", "phases": phases}]})
    }

    #[test]
    fn values_are_chosen_by_their_type_and_netted() {
        let phase = |n: i64, watts: f64| {
            json!({"phase": n, "name": "x", "values": [
                {"type": "current", "data": 4.5, "info": ""}, {"type": "voltage", "data": 230.5, "info": ""},
                {"type": "power", "data": watts, "info": ""}, {"type": "energyPos", "data": 9e5, "info": ""}]})
        };
        let neutral = json!({"phase": 4, "values": [{"type": "current", "data": 1.0}, {"type": "power", "data": 7.0}]});
        let read = live(&answer(json!([phase(1, 1000.0), phase(2, -1000.0), phase(3, 0.0), neutral]))).unwrap();
        assert_eq!(read.meter.watts, Some(0.0));
        assert_eq!(read.meter.signed_amps(), [Some(4.5), Some(-4.5), Some(4.5)]);
        assert_eq!(read.meter.volts(), [Some(230.5); 3]);
    }

    #[test]
    fn a_value_that_was_set_to_zero_is_unknown() {
        let phase = |n: i64, info: &str| json!({"phase": n, "values": [{"type": "power", "data": 0.0, "info": info}, {"type": "voltage", "data": 230}]});
        let read = live(&answer(json!([phase(1, ""), phase(2, "Warning: value set to 0.0")]))).unwrap();
        assert_eq!((read.meter.watts, read.meter.phases[0].watts), (None, Some(0.0)));
    }

    #[test]
    fn nothing_is_unknown() {
        assert_eq!(live(&json!({"datasets": []})).unwrap(), Measured::default());
        assert_eq!(live(&answer(json!([]))).unwrap().meter, Meter::default());
        assert!(live(&json!({"error": "no"})).is_err());
    }

    #[test]
    fn recordings_read_right() {
        for recording in recordings::vendor("smartpi") {
            let meter = live(&recording.json()).unwrap().meter;
            recording.assert_number("grid_w", meter.watts);
            recording.assert_number("consumption_w_upstream", meter.watts.map(|watts| watts.max(0.0)));
            recording.assert_number("generation_w_upstream", meter.watts.map(|watts| (-watts).max(0.0)));
            recording.assert_numbers("grid_phase_w", &meter.phases.map(|phase| phase.watts));
            recording.assert_numbers("grid_a", &meter.signed_amps());
            recording.assert_numbers("grid_v", &meter.volts());
        }
    }

    proptest::proptest! {
        #[test]
        fn any_answer_gives_values_or_an_error(text in "[\\[\\]{}:,\"a-z0-9.eE+-]{0,200}", number in ".{0,12}", phase in proptest::num::i64::ANY) {
            let other = answer(json!([{"phase": phase, "values": [{"type": "power", "data": number, "info": text}]}]));
            for value in serde_json::from_str::<Value>(&text).into_iter().chain([other]) {
                let _ = live(&value);
            }
        }
    }
}
