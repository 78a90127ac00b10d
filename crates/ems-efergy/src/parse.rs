//! From the cloud's answers to watts. Pure.

use std::time::Duration;

use ems::{EmsError, EmsErrorKind};
use json_pick::{Doc, PickError};
use serde_json::Value;

/// Whole-house clamps; others (`PWER_SUB`, `PWER_GAC`) measure parts, or gas.
const WHOLE_HOUSE: &str = "PWER";
/// A sensor that did not report for longer is away; they report every 6 to 60 s.
const OLDEST_S: f64 = 120.0;
/// Beyond this no house draws.
const MOST_WATTS: f64 = 1e6;
/// A refused token is tried again this rarely.
const REFUSED: Duration = Duration::from_secs(6 * 3600);
/// The cloud's limit of calls.
const CALL_LIMIT: Duration = Duration::from_secs(600);

/// What the sensors tell together.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Power {
    /// Their sum.
    pub watts: f64,
    /// How long ago the oldest of them reported.
    pub age: Duration,
}

/// Reads the answer of `getCurrentValuesSummary`: the sensor `sid`, else the sum of the whole-house ones. Sensors that did
/// not report for two minutes are away and do not count.
///
/// # Errors
/// What the cloud says in place of values (always with HTTP 200), or that no sensor has a value now.
pub fn power(answer: &Value, sid: Option<&str>) -> Result<Power, EmsError> {
    refusal(answer)?;
    pick(answer, sid).map_err(|error| ems_http::garbled(&error))?
}

fn pick(answer: &Value, sid: Option<&str>) -> Result<Result<Power, EmsError>, PickError> {
    let mut known = Vec::new();
    let (mut power, mut youngest): (Option<Power>, Option<f64>) = (None, None);
    for entry in Doc::new(answer).list("")?.unwrap_or_default() {
        let (kind, id) = (entry.text("cid")?.unwrap_or_default(), entry.text("sid")?.unwrap_or_default());
        known.push(format!("{id} ({kind})"));
        if sid.map_or(kind != WHOLE_HOUSE, |sid| sid != id) {
            continue;
        }
        let age = entry.number("age")?.unwrap_or(f64::MAX);
        youngest = Some(youngest.map_or(age, |other| other.min(age)));
        if !(0.0..=OLDEST_S).contains(&age) {
            continue;
        }
        let values = entry.list("data")?.unwrap_or_default();
        let newest = values.last().map(|value| value.entries("")).transpose()?.flatten().unwrap_or_default();
        let watts = newest.last().map(|(_, value)| value.number("")).transpose()?.flatten();
        let Some(watts) = watts.filter(|watts| watts.abs() <= MOST_WATTS) else {
            // A sensor that reports and has no value makes the sum unknown.
            return Ok(Err(EmsError::retry(format!("the sensor {id} has no value now; look at its batteries"))));
        };
        let age = Duration::from_secs_f64(age);
        power = Some(match power {
            Some(sum) => Power { watts: sum.watts + watts, age: sum.age.max(age) },
            None => Power { watts, age },
        });
    }
    let list = known.join(", ");
    Ok(power.ok_or_else(|| match youngest {
        Some(age) => EmsError::retry(format!(
            "no sensor has reported for {age:.0} s; look at the hub's connection and the sensor's batteries"
        )),
        None => EmsError::new(
            EmsErrorKind::Misconfigured,
            format!(
                "the hub has no such sensor; set `sid` to one of: {}",
                if list.is_empty() { "(none)" } else { &list }
            ),
        ),
    }))
}

/// Errors come as JSON objects with HTTP 200.
fn refusal(answer: &Value) -> Result<(), EmsError> {
    if answer.is_array() {
        return Ok(());
    }
    let doc = Doc::new(answer);
    let text = |path: &str| doc.text(path).ok().flatten();
    let said =
        text("description").or_else(|| text("error.desc")).or_else(|| text("error.more")).or_else(|| text("desc"));
    let said = said.unwrap_or_else(|| "no reason".to_owned());
    let is_token = said.to_ascii_lowercase().contains("token");
    Err(match doc.integer("error.id").ok().flatten() {
        Some(404) => EmsError::new(
            EmsErrorKind::RateLimited,
            format!("Efergy's cloud has had enough calls ({said}); we wait, and other programs should ask less"),
        )
        .after(CALL_LIMIT),
        Some(400) => {
            EmsError::new(EmsErrorKind::Misconfigured, format!("Efergy's cloud does not take our question: {said}"))
        }
        _ if is_token => EmsError::new(
            EmsErrorKind::Denied,
            format!(
                "Efergy's cloud refuses the token ({said}); make a new one at engage.efergy.com and put it into `token`"
            ),
        )
        .after(REFUSED),
        _ => EmsError::retry(format!("Efergy's cloud answers with an error: {said}")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn recordings_read_right() {
        for recording in recordings::vendor("efergy") {
            match power(&recording.json(), None) {
                Ok(found) => {
                    assert_eq!(recording.text_at(&["expected", "status"]), "ok");
                    recording.assert_number("consumption_w", Some(found.watts));
                }
                Err(error) => {
                    assert_eq!(recording.text_at(&["expected", "status"]), "error");
                    assert_eq!(error.kind(), EmsErrorKind::Denied);
                    assert_eq!(error.retry_after(), Some(REFUSED));
                }
            }
        }
    }

    fn sensor(cid: &str, sid: &str, watts: Value, age: Value) -> Value {
        json!({"cid": cid, "data": [{"1485853183000": watts}], "sid": sid, "units": "kWm", "age": age})
    }

    #[test]
    fn fresh_whole_house_clamps_add_up() {
        let answer = json!([
            sensor("PWER", "1", json!(200), json!(3)),
            sensor("PWER", "2", json!("50.5"), json!("60")),
            sensor("PWER_SUB", "3", json!(90), json!(3)),
        ]);
        assert_eq!(power(&answer, None), Ok(Power { watts: 250.5, age: Duration::from_secs(60) }));
        assert_eq!(power(&answer, Some("3")).unwrap().watts, 90.0);
        assert!(power(&answer, Some("9")).unwrap_err().to_string().contains("3 (PWER_SUB)"));
    }

    #[test]
    fn old_absent_and_undefined_values_are_no_zero() {
        let with = |watts: Value, age: Value| power(&json!([sensor("PWER", "1", watts, age)]), None);
        assert_eq!(with(json!(0), json!(5)).unwrap().watts, 0.0);
        for (watts, age) in [
            (json!(9), json!(157_444)),
            (json!(9), Value::Null),
            (json!("undef"), json!(5)),
            (json!(null), json!(5)),
            (json!(1e308), json!(5)),
        ] {
            assert!(with(watts.clone(), age.clone()).is_err(), "{watts} {age}");
        }
        assert_eq!(power(&json!([]), None).unwrap_err().kind(), EmsErrorKind::Misconfigured);
    }

    #[test]
    fn errors_inside_good_answers_are_told_apart() {
        for (answer, kind) in [
            (json!({"error": {"id": 404, "desc": "x"}}), EmsErrorKind::RateLimited),
            (json!({"error": {"id": 400}}), EmsErrorKind::Misconfigured),
            (json!({"error": {"id": 500}}), EmsErrorKind::Retry),
            (json!({"desc": "Method call failed"}), EmsErrorKind::Retry),
            (json!({"status": "error", "description": "bad token"}), EmsErrorKind::Denied),
        ] {
            assert_eq!(power(&answer, None).unwrap_err().kind(), kind, "{answer}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_document_gives_sane_watts_or_an_error(text in "[\\[\\]{}:,\"a-z0-9.eE+-]{0,200}", watts in ".{0,10}", age in ".{0,6}") {
            if let Ok(value) = serde_json::from_str::<Value>(&text) {
                let _ = power(&value, None);
            }
            if let Ok(found) = power(&json!([sensor("PWER", "1", json!(watts), json!(age))]), None) {
                proptest::prop_assert!(found.watts.abs() <= MOST_WATTS);
            }
        }
    }
}
