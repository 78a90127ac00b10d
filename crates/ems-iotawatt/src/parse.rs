//! From the device's answers to numbers. Pure.

use json_pick::{Doc, PickError};
use serde_json::Value;

/// Beyond this no house draws.
const MOST_WATTS: f64 = 1e6;

/// A series that the device keeps: an input or an output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Series {
    /// Its name, letter case counts.
    pub name: String,
    /// Its unit, such as `Watts`.
    pub unit: String,
}

/// Reads the answer of `/query?show=series`.
///
/// # Errors
/// When it is something else.
pub fn series(answer: &Value) -> Result<Vec<Series>, PickError> {
    let doc = Doc::new(answer);
    let list = doc.list("series")?.ok_or_else(|| doc.missing("series"))?;
    list.into_iter()
        .map(|entry| {
            Ok(Series { name: entry.text("name")?.unwrap_or_default(), unit: entry.text("unit")?.unwrap_or_default() })
        })
        .collect()
}

/// Checks names against what the device has.
///
/// # Errors
/// A sentence that lists what there is.
pub fn check(names: &[String], series: &[Series]) -> Result<(), String> {
    for name in names {
        match series.iter().find(|series| series.name == *name) {
            Some(found) if found.unit.eq_ignore_ascii_case("watts") => {}
            Some(found) => {
                return Err(format!("`{name}` is in {}; name an input or output in Watts", found.unit));
            }
            None => {
                let watts = series.iter().filter(|series| series.unit.eq_ignore_ascii_case("watts"));
                let list: Vec<&str> = watts.map(|series| series.name.as_str()).collect();
                return Err(format!("there is no `{name}`; the device has {} (letter case counts)", list.join(", ")));
            }
        }
    }
    Ok(())
}

/// Reads the one row of a query with `count` columns; `None` where nothing was logged.
///
/// # Errors
/// When it is something else.
pub fn row(answer: &Value, count: usize) -> Result<Vec<Option<f64>>, PickError> {
    let doc = Doc::new(answer);
    // No row at all: nothing was logged in that time.
    if doc.list("")?.is_some_and(|rows| rows.is_empty()) {
        return Ok(vec![None; count]);
    }
    (0..count).map(|at| Ok(doc.number(&format!("[0][{at}]"))?.filter(sane))).collect()
}

/// Reads the answer of `/status?outputs`: the value of a named output in watts.
///
/// # Errors
/// When it is something else, or another unit.
pub fn output(answer: &Value, name: &str) -> Result<Option<f64>, String> {
    let doc = Doc::new(answer);
    let pick = |error: PickError| error.to_string();
    let outputs = doc.list("outputs").map_err(pick)?.ok_or_else(|| doc.missing("outputs").to_string())?;
    for output in outputs {
        if output.text("name").map_err(pick)?.as_deref() == Some(name) {
            let unit = output.text("units").map_err(pick)?.unwrap_or_default();
            if !unit.eq_ignore_ascii_case("watts") {
                return Err(format!("the output `{name}` is in {unit}; name one in Watts"));
            }
            return Ok(output.number("value").map_err(pick)?.filter(sane));
        }
    }
    Ok(None)
}

fn sane(watts: &f64) -> bool {
    watts.abs() <= MOST_WATTS
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn recordings_read_right() {
        for recording in recordings::vendor("iotawatt") {
            let answer = recording.json();
            let config = |key: &str| recording.text_at(&["config", key]).to_owned();
            match recording.text_at(&["request", "query"]) {
                "outputs" => {
                    let of = |name: String| output(&answer, &name).unwrap();
                    recording.assert_number("consumption_w", of(config("outputConsumption")));
                    recording.assert_number("generation_w", of(config("outputGeneration")));
                    assert!(output(&answer, "Tension").unwrap_err().contains("Volts"));
                }
                "show=series" => {
                    let found = series(&answer).unwrap();
                    let names: Vec<Value> = found.iter().map(|series| json!(series.name)).collect();
                    assert_eq!(&json!(names), &recording.expected()["series"]);
                    assert!(check(&["mains".to_owned(), "solar".to_owned()], &found).is_ok());
                    assert!(check(&["Mains".to_owned()], &found).unwrap_err().contains("heat_pump"));
                    assert!(check(&["voltage".to_owned()], &found).unwrap_err().contains("Volts"));
                }
                _ => {
                    let found = row(&answer, 2).unwrap();
                    recording.assert_number("consumption_w", found[0]);
                    recording.assert_number("generation_w", found[1]);
                }
            }
        }
    }

    #[test]
    fn null_and_absent_are_no_values_and_texts_are_numbers() {
        assert_eq!(row(&json!([[null, 5.5, " -3"]]), 3), Ok(vec![None, Some(5.5), Some(-3.0)]));
        assert_eq!(row(&json!([]), 1), Ok(vec![None]));
        assert_eq!(row(&json!([[1]]), 2), Ok(vec![Some(1.0), None]));
        assert!(row(&json!({"error": "x"}), 1).is_err());
    }

    proptest::proptest! {
        #[test]
        fn any_document_gives_sane_numbers_or_an_error(text in "[\\[\\]{}:,\"a-z0-9.eE+-]{0,200}") {
            if let Ok(value) = serde_json::from_str::<Value>(&text) {
                let _ = (series(&value), output(&value, "a"));
                for number in row(&value, 3).unwrap_or_default().into_iter().flatten() {
                    proptest::prop_assert!(number.abs() <= MOST_WATTS);
                }
            }
        }
    }
}
