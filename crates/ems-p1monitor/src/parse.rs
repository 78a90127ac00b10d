//! From P1 Monitor's answers to a meter.

use ems_meter::{Meter, PhaseValues};
use json_pick::{Doc, PickError};
use serde_json::Value;

/// Watts in the kilowatts of the status table.
const KILO: f64 = 1000.0;

/// One row of a table, or the mean of several.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Row {
    /// What the meter shows.
    pub meter: Meter,
    /// When it was stored, in seconds: good for telling two apart.
    pub stamp: Option<String>,
}

/// Reads `/api/v1/phase`: the mean of its rows, which are as many as were asked for. `None` when there is none.
///
/// # Errors
/// When it is no list of such rows.
pub fn phase(answer: &Value) -> Result<Option<Row>, PickError> {
    let rows = rows(answer)?;
    let meters = rows.iter().map(|row| phase_row(*row)).collect::<Result<Vec<_>, _>>()?;
    let phases = [0, 1, 2].map(|phase| {
        let mean = |value: fn(&PhaseValues) -> Option<f64>| {
            let values: Option<Vec<f64>> = meters.iter().map(|phases| phases.get(phase).and_then(value)).collect();
            values.and_then(|values| mean(&values))
        };
        PhaseValues { watts: mean(|p| p.watts), amps: mean(|p| p.amps), volts: mean(|p| p.volts) }
    });
    let watts = phases.iter().map(|phase| phase.watts).sum();
    let meter = Meter { watts, phases, ..Meter::default() };
    Ok((!rows.is_empty()).then_some(Row { meter, stamp: newest_stamp(&rows)? }))
}

fn phase_row(row: Doc<'_>) -> Result<[PhaseValues; 3], PickError> {
    let mut phases = [PhaseValues::default(); 3];
    for (phase, n) in phases.iter_mut().zip(["L1", "L2", "L3"]) {
        let (import, export) = (row.number(&format!("CONSUMPTION_{n}_W"))?, row.number(&format!("PRODUCTION_{n}_W"))?);
        *phase = PhaseValues {
            watts: import.zip(export).map(|(import, export)| import - export),
            amps: row.number(&format!("{n}_A"))?,
            volts: row.number(&format!("{n}_V"))?,
        };
    }
    Ok(phases)
}

/// Reads `/api/v1/smartmeter`: the newest row. `None` when there is none.
///
/// # Errors
/// When it is no list of such rows.
pub fn smartmeter(answer: &Value) -> Result<Option<Row>, PickError> {
    let rows = rows(answer)?;
    let Some(row) = rows.first() else { return Ok(None) };
    let sum = |low: &str, high: &str| Ok(row.number(low)?.zip(row.number(high)?).map(|(low, high)| low + high));
    let (import, export) = (row.number("CONSUMPTION_W")?, row.number("PRODUCTION_W")?);
    let meter = Meter {
        watts: import.zip(export).map(|(import, export)| import - export),
        import_kwh: sum("CONSUMPTION_KWH_LOW", "CONSUMPTION_KWH_HIGH")?,
        export_kwh: sum("PRODUCTION_KWH_LOW", "PRODUCTION_KWH_HIGH")?,
        ..Meter::default()
    };
    Ok(Some(Row { meter, stamp: newest_stamp(&rows)? }))
}

/// Reads `/api/v1/status`: the phases, from a table of many other things. It does not tell when.
///
/// # Errors
/// When it is no list of such entries.
pub fn status(answer: &Value) -> Result<Meter, PickError> {
    let entries = rows(answer)?;
    let value = |id: i64| -> Result<Option<f64>, PickError> {
        for entry in &entries {
            if entry.integer("STATUS_ID")? == Some(id) {
                return entry.number("STATUS");
            }
        }
        Ok(None)
    };
    let mut phases = [PhaseValues::default(); 3];
    for (phase, n) in phases.iter_mut().zip(0..) {
        let (import, export) = (value(74 + n)?, value(77 + n)?);
        *phase = PhaseValues {
            watts: import.zip(export).map(|(import, export)| (import - export) * KILO),
            amps: value(100 + n)?,
            volts: value(103 + n)?,
        };
    }
    let watts = phases.iter().map(|phase| phase.watts).sum();
    Ok(Meter { watts, phases, ..Meter::default() })
}

fn rows(answer: &Value) -> Result<Vec<Doc<'_>>, PickError> {
    let doc = Doc::new(answer);
    doc.list("")?.ok_or_else(|| doc.missing(""))
}

fn newest_stamp(rows: &[Doc<'_>]) -> Result<Option<String>, PickError> {
    let stamps = rows.iter().map(|row| row.integer("TIMESTAMP_UTC")).collect::<Result<Vec<_>, _>>()?;
    Ok(stamps.into_iter().flatten().max().map(|stamp| stamp.to_string()))
}

fn mean(values: &[f64]) -> Option<f64> {
    let count = u32::try_from(values.len()).ok().filter(|count| *count > 0)?;
    Some(values.iter().sum::<f64>() / f64::from(count))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn row(import: [f64; 3], export: [f64; 3], time: i64) -> Value {
        json!({"TIMESTAMP_UTC": time, "TIMESTAMP_lOCAL": "2021-10-02 01:26:52",
            "CONSUMPTION_L1_W": import[0], "CONSUMPTION_L2_W": import[1], "CONSUMPTION_L3_W": import[2],
            "PRODUCTION_L1_W": export[0], "PRODUCTION_L2_W": export[1], "PRODUCTION_L3_W": export[2],
            "L1_A": 4.0, "L2_A": 2.0, "L3_A": 0.0, "L1_V": 229.0, "L2_V": 230.0, "L3_V": 0.0})
    }

    #[test]
    fn rows_are_averaged_and_phases_netted() {
        let answer =
            json!([row([900.0, 0.0, 0.0], [0.0, 400.0, 0.0], 20), row([1100.0, 0.0, 0.0], [0.0, 600.0, 0.0], 10)]);
        let read = phase(&answer).unwrap().unwrap();
        assert_eq!(read.meter.watts, Some(500.0));
        assert_eq!(read.meter.signed_amps(), [Some(4.0), Some(-2.0), Some(0.0)]);
        assert_eq!(read.meter.volts(), [Some(229.0), Some(230.0), None]);
        assert_eq!(read.stamp.as_deref(), Some("20"));
    }

    #[test]
    fn what_is_missing_is_unknown() {
        assert_eq!(phase(&json!([])).unwrap(), None);
        let mut partial = row([1.0; 3], [0.0; 3], 1);
        partial["PRODUCTION_L2_W"] = Value::Null;
        let read = phase(&json!([partial])).unwrap().unwrap();
        assert_eq!((read.meter.watts, read.meter.phases[0].watts), (None, Some(1.0)));
        assert_eq!(status(&json!([])).unwrap(), Meter::default());
        assert!(phase(&json!({"error": 1})).is_err() && smartmeter(&json!("<html>")).is_err());
    }

    #[test]
    fn recordings_read_right() {
        for recording in recordings::vendor("p1monitor") {
            let answer = recording.json();
            let meter = match recording.text_at(&["request", "path"]) {
                "/api/v1/status" => status(&answer).unwrap(),
                "/api/v1/phase" => phase(&answer).unwrap().unwrap_or_default().meter,
                _ => smartmeter(&answer).unwrap().unwrap_or_default().meter,
            };
            recording.assert_number("grid_w", meter.watts);
            recording.assert_number("consumption_w", meter.watts.map(|watts| watts.max(0.0)));
            recording.assert_number("generation_w", meter.watts.map(|watts| (-watts).max(0.0)));
            recording.assert_numbers("grid_phase_w", &meter.phases.map(|phase| phase.watts));
            recording.assert_numbers("grid_a", &meter.signed_amps());
            recording.assert_numbers("grid_v", &meter.volts());
        }
    }

    proptest::proptest! {
        #[test]
        fn any_answer_gives_values_or_an_error(text in "[\\[\\]{}:,\"a-zA-Z_0-9.eE+-]{0,200}", number in ".{0,12}") {
            let other = json!([{"CONSUMPTION_L1_W": number, "CONSUMPTION_W": number, "STATUS_ID": 74, "STATUS": number, "TIMESTAMP_UTC": text}]);
            for value in serde_json::from_str::<Value>(&text).into_iter().chain([other]) {
                let _ = (phase(&value), smartmeter(&value), status(&value));
            }
        }
    }
}
