//! From the open JSON interface's answers to values. Pure.

use ems::{EmsError, EmsErrorKind};
use json_pick::{Doc, PickError};
use serde_json::Value;

/// What the logger tells of the house.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Basic {
    /// Generation.
    pub generation: Option<f64>,
    /// Consumption; unknown without a consumption meter.
    pub consumption: Option<f64>,
    /// Time of the values, as the device writes it.
    pub stamp: Option<String>,
}

/// A battery, or that there is none.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Battery {
    /// None is connected.
    Absent,
    /// One is.
    Present {
        /// Discharge positive.
        power: Option<f64>,
        /// State of charge in percent.
        soc: Option<f64>,
    },
}

/// Reads a body: JSON, or one of the texts that the logger sends instead with status 200.
///
/// # Errors
/// When the logger refuses, or the body is something else.
pub fn refusals(text: &str) -> Result<(), EmsError> {
    if text.contains("ACCESS DENIED") {
        return Err(EmsError::new(
            EmsErrorKind::Denied,
            "the Solar-Log refuses access: set `password` to the one of its user page, or take the password off its open \
             JSON interface",
        ));
    }
    if text.contains("QUERY IMPOSSIBLE") {
        return Err(EmsError::new(
            EmsErrorKind::Misconfigured,
            "the Solar-Log knows no such question; it needs firmware 3 or later with the open JSON interface switched on \
             (Configuration > System > Access control)",
        ));
    }
    Ok(())
}

/// Reads the answer to `{"801":{"170":null}}`; `None` while the logger starts.
///
/// # Errors
/// When a value is not what it should be.
pub fn basic(answer: &Value) -> Result<Option<Basic>, PickError> {
    let doc = Doc::new(answer);
    let data = doc.at("801.170")?.ok_or_else(|| doc.missing("801.170"))?;
    let stamp = data.text("100")?;
    if stamp.as_deref().is_some_and(is_before_its_time) {
        return Ok(None);
    }
    // There is no flag for a consumption meter: one that never counted anything is not there.
    let mut has_meter = false;
    for counter in ["110", "111", "112", "113", "114", "115"] {
        has_meter |= data.number(counter)?.is_some_and(|value| value != 0.0);
    }
    Ok(Some(Basic {
        generation: data.number("101")?.and_then(ems::generation),
        consumption: data.number("110")?.filter(|_| has_meter).map(|watts| watts.max(0.0)),
        stamp,
    }))
}

/// Whether a time `dd.mm.yy …` is one of a clock that was not set yet: of 1970 or 1999.
fn is_before_its_time(stamp: &str) -> bool {
    let year = stamp.split(['.', ' ']).nth(2).unwrap_or_default();
    matches!(year, "70" | "99" | "1970" | "1999")
}

/// Reads the answer to `{"858":null}`: volts, percent, charging and discharging watts.
///
/// # Errors
/// When a value is not what it should be.
pub fn battery(answer: &Value) -> Result<Battery, PickError> {
    let doc = Doc::new(answer);
    if doc.list("858")?.ok_or_else(|| doc.missing("858"))?.is_empty() {
        return Ok(Battery::Absent);
    }
    let power = doc.number("858[3]")?.zip(doc.number("858[2]")?).map(|(discharge, charge)| discharge - charge);
    Ok(Battery::Present { power, soc: doc.number("858[1]")?.map(|soc| soc.clamp(0.0, 100.0)) })
}

/// Reads the answer to `{"782":null}`: the power of the listed devices, summed; `None` when one of them tells none.
///
/// # Errors
/// When a value is not what it should be.
pub fn devices(answer: &Value, indices: &[u32]) -> Result<Option<f64>, PickError> {
    let doc = Doc::new(answer);
    let data = doc.at("782")?.ok_or_else(|| doc.missing("782"))?;
    let mut total = 0.0;
    for index in indices {
        let Some(watts) = data.number(&index.to_string())? else { return Ok(None) };
        total += watts.max(0.0);
    }
    Ok(Some(total))
}

/// The grid, as the balance of the rest. Unknown when it is unknown whether there is a battery.
#[must_use]
pub fn grid(basic: &Basic, battery: Option<Battery>) -> Option<f64> {
    let given = match battery? {
        Battery::Absent => 0.0,
        Battery::Present { power, .. } => power?,
    };
    Some(basic.consumption? - basic.generation? - given)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn figures_may_be_texts_and_a_meter_that_never_counted_is_unknown() {
        let answer = json!({"801": {"170": {"100": "26.08.24 14:19:45", "101": "2891", "110": "0", "115": "0"}}});
        let found = basic(&answer).unwrap().unwrap();
        assert_eq!((found.generation, found.consumption), (Some(2891.0), None));
        let answer = json!({"801": {"170": {"100": "26.08.24 14:19:45", "101": "-3", "110": 0, "115": 77}}});
        let found = basic(&answer).unwrap().unwrap();
        assert_eq!((found.generation, found.consumption), (Some(0.0), Some(0.0)));
    }

    #[test]
    fn texts_in_place_of_json_are_named() {
        assert_eq!(refusals("{\"QUERY IMPOSSIBLE 000\"}").unwrap_err().kind(), EmsErrorKind::Misconfigured);
        assert_eq!(refusals("{\"801\":\"ACCESS DENIED\"}").unwrap_err().kind(), EmsErrorKind::Denied);
        assert_eq!(refusals("{}"), Ok(()));
    }

    #[test]
    fn with_a_battery_the_grid_is_what_all_three_leave() {
        let basic = Basic { generation: Some(3000.0), consumption: Some(500.0), stamp: None };
        let present = |power| Some(Battery::Present { power, soc: None });
        assert_eq!(grid(&basic, Some(Battery::Absent)), Some(-2500.0));
        assert_eq!(grid(&basic, present(Some(-2000.0))), Some(-500.0));
        assert_eq!((grid(&basic, present(None)), grid(&basic, None)), (None, None));
    }

    #[test]
    fn recordings_read_right() {
        for recording in recordings::vendor("solarlog") {
            let (answer, text, expected) = (recording.json(), recording.text(), recording.expected());
            let asked = recording.text_at(&["request", "body"]);
            if expected.get("error").is_some() {
                assert_eq!(refusals(&text).unwrap_err().kind(), EmsErrorKind::Denied, "{}", recording.name());
            } else if asked.contains("801") {
                let found = basic(&answer).unwrap().unwrap_or_default();
                recording.assert_number("generation_w", found.generation);
                recording.assert_number("consumption_w", found.consumption);
                let derived = grid(&found, Some(Battery::Absent));
                recording.assert_number("grid_w", derived);
                recording.assert_number("grid_w_derived", derived);
            } else if asked.contains("858") {
                let (power, soc) = match battery(&answer).unwrap() {
                    Battery::Absent => (None, None),
                    Battery::Present { power, soc } => (power, soc),
                };
                recording.assert_number("battery_w", power);
                recording.assert_number("battery_soc", soc);
            } else if asked.contains("782") {
                for (index, watts) in expected["device_w"].as_object().unwrap() {
                    let found = devices(&answer, &[index.parse().unwrap()]).unwrap();
                    assert_eq!(found, watts.as_f64(), "{} {index}", recording.name());
                }
            } else {
                panic!("{}: nothing reads {asked}", recording.name());
            }
        }
    }

    proptest::proptest! {
        #[test]
        fn any_document_gives_values_or_an_error(text in "[\\[\\]{}:,\"a-z0-9.eE+-]{0,200}") {
            let _ = refusals(&text);
            if let Ok(value) = serde_json::from_str(&text) {
                let _ = (basic(&value), battery(&value), devices(&value, &[0, 7]));
            }
        }

        #[test]
        fn any_figure_is_sane(watts in -1e308f64..1e308) {
            let answer = json!({"801": {"170": {"100": "26.08.24 14:19:45", "101": watts, "110": watts}}});
            if let Ok(Some(found)) = basic(&answer) {
                proptest::prop_assert!(found.generation.is_none_or(|watts| (0.0..=1e9).contains(&watts)));
                proptest::prop_assert!(found.consumption.is_none_or(|watts| (0.0..=1e9).contains(&watts)));
            }
        }
    }
}
