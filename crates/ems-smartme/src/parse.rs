//! From smart-me's answers to a meter.

use ems_meter::{Meter, PhaseValues};
use jiff::Timestamp;
use json_pick::{Doc, PickError};
use serde_json::Value;

/// What the cloud knows of the meter.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Device {
    /// What it shows; import positive.
    pub meter: Meter,
    /// When it last reported.
    pub reported_at: Option<Timestamp>,
}

/// Reads a device: with names in `PascalCase` as the older host gives them, or in `camelCase`.
///
/// # Errors
/// When it is no device, or its power has a unit that is none of power.
pub fn device(answer: &Value) -> Result<Device, PickError> {
    // Some calls answer with a list of one.
    let doc = match Doc::new(answer).value() {
        Value::Array(_) => Doc::new(answer).at("[0]")?.ok_or_else(|| Doc::new(answer).missing("[0]"))?,
        _ => Doc::new(answer),
    };
    if !has(doc, "Id") && !has(doc, "Serial") && !has(doc, "ActivePower") {
        return Err(doc.missing("ActivePower"));
    }
    let watts = power(doc, "ActivePower")?;
    let mut phases = [PhaseValues::default(); 3];
    for (phase, n) in phases.iter_mut().zip(["L1", "L2", "L3"]) {
        *phase = PhaseValues {
            watts: power(doc, &format!("ActivePower{n}"))?,
            amps: number(doc, &format!("Current{n}"))?,
            volts: number(doc, &format!("Voltage{n}"))?,
        };
    }
    let [first, second, third] = &mut phases;
    if [*second, *third] == [PhaseValues::default(); 2] {
        // A meter of one phase.
        for (slot, name) in [(&mut first.volts, "Voltage"), (&mut first.amps, "Current")] {
            if slot.is_none() {
                *slot = number(doc, name)?;
            }
        }
    }
    let is_kwh = text(doc, "CounterReadingUnit")?.is_none_or(|unit| unit == "kWh");
    let energy = |name: &str| Ok(number(doc, name)?.filter(|_| is_kwh));
    let meter = Meter {
        watts,
        phases,
        import_kwh: energy("CounterReadingImport")?,
        export_kwh: energy("CounterReadingExport")?,
    };
    let reported_at = text(doc, "ValueDate")?.and_then(|date| time(&date));
    Ok(Device { meter, reported_at })
}

/// A time in UTC, with or without saying so.
fn time(text: &str) -> Option<Timestamp> {
    text.parse().ok().or_else(|| format!("{text}Z").parse().ok())
}

fn power(doc: Doc<'_>, name: &str) -> Result<Option<f64>, PickError> {
    let factor = match text(doc, "ActivePowerUnit")?.as_deref() {
        None => 1000.0,
        Some(unit) => match json_pick::watts_factor(unit) {
            Some(factor) => factor,
            None => return Ok(None),
        },
    };
    Ok(number(doc, name)?.map(|power| power * factor))
}

fn number(doc: Doc<'_>, name: &str) -> Result<Option<f64>, PickError> {
    doc.number(&spelled(doc, name))
}

fn text(doc: Doc<'_>, name: &str) -> Result<Option<String>, PickError> {
    doc.text(&spelled(doc, name))
}

fn has(doc: Doc<'_>, name: &str) -> bool {
    doc.has(&spelled(doc, name))
}

/// The name as this answer spells it.
fn spelled(doc: Doc<'_>, name: &str) -> String {
    if doc.has(name) {
        return name.to_owned();
    }
    let mut letters = name.chars();
    letters.next().map(|first| first.to_ascii_lowercase()).into_iter().chain(letters).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn both_spellings_and_units() {
        let old = json!({"Id": "x", "ActivePower": -1.5, "ActivePowerUnit": "kW", "CurrentL1": 6.6, "ActivePowerL1": -1.5,
            "ValueDate": "2024-01-04T17:25:43.7242222Z"});
        let read = device(&old).unwrap();
        assert_eq!((read.meter.watts, read.meter.signed_amps()[0]), (Some(-1500.0), Some(-6.6)));
        assert!(read.reported_at.is_some());
        let watts = |value: Value| device(&value).unwrap().meter.watts;
        assert_eq!(watts(json!({"id": "x", "activePower": 250, "activePowerUnit": "W"})), Some(250.0));
        assert_eq!(watts(json!([{"Serial": -17, "ActivePower": "0.25"}])), Some(250.0));
    }

    #[test]
    fn what_is_missing_is_unknown() {
        assert_eq!(device(&json!({"Id": "x", "ActivePower": null})).unwrap().meter.watts, None);
        assert_eq!(device(&json!({"Id": "x", "ActivePower": 5, "ActivePowerUnit": "m3/h"})).unwrap().meter.watts, None);
        assert!(
            device(&json!({"message": "no"})).is_err() && device(&json!([])).is_err() && device(&json!("x")).is_err()
        );
    }

    #[test]
    fn one_phase_meters_name_no_phase() {
        let meter = device(&json!({"Id": "x", "ActivePower": 0.23, "Voltage": 230, "Current": 1})).unwrap().meter;
        assert_eq!((meter.volts()[0], meter.signed_amps()[0]), (Some(230.0), Some(1.0)));
    }

    #[test]
    fn recordings_read_right() {
        for recording in recordings::vendor("smartme") {
            let read = device(&recording.json()).unwrap();
            recording.assert_number("grid_w", read.meter.watts);
            recording.assert_number("consumption_w", read.meter.watts.map(|watts| watts.max(0.0)));
            recording.assert_number("generation_w", read.meter.watts.map(|watts| (-watts).max(0.0)));
            recording.assert_numbers("grid_a", &read.meter.signed_amps());
            recording.assert_numbers("grid_v", &read.meter.volts());
            if recording.expected().get("age_from").is_some() {
                assert!(read.reported_at.is_some(), "{}", recording.name());
            }
        }
    }

    proptest::proptest! {
        #[test]
        fn any_answer_gives_values_or_an_error(text in "[\\[\\]{}:,\"a-zA-Z0-9.eE+-]{0,200}", number in ".{0,12}") {
            let other = json!({"Id": 1, "ActivePower": number, "ActivePowerUnit": "kW", "ValueDate": text, "CurrentL1": number});
            for value in serde_json::from_str::<Value>(&text).into_iter().chain([other]) {
                let _ = device(&value);
            }
        }
    }
}
