//! From the middleware's answers to a value. Pure.

use ems::{EmsError, EmsErrorKind};
use json_pick::{Doc, PickError};
use serde_json::Value;

/// Beyond this no house draws.
const MOST_WATTS: f64 = 1e6;

/// The newest value of a channel.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Point {
    /// Watts.
    pub watts: f64,
    /// When, in milliseconds since 1970; not told by the text view.
    pub at_ms: Option<i64>,
}

/// Reads an answer about one channel: the middleware's JSON or text view, or vzlogger's JSON. `Ok(None)` without data.
///
/// # Errors
/// What the middleware says in place of values, or that the answer is something else.
pub fn newest(body: &str, uuid: &str) -> Result<Option<Point>, EmsError> {
    let body = body.trim_start_matches('\u{feff}').trim();
    if !body.starts_with(['{', '[']) {
        return text_view(body);
    }
    let answer: Value = serde_json::from_str(body)
        .map_err(|error| EmsError::garbled(format!("the middleware's answer is cut short or no JSON: {error}")))?;
    let doc = Doc::new(&answer);
    if let Some(exception) = doc.at("exception").ok().flatten() {
        let said = exception.text("message").ok().flatten().unwrap_or_else(|| "no reason".to_owned());
        return Err(EmsError::new(
            EmsErrorKind::Misconfigured,
            format!("the middleware refuses the channel {uuid}: {said}; check its uuid, and that it is public"),
        ));
    }
    json_view(doc, uuid).map_err(|error| ems_http::garbled(&error))
}

fn json_view(doc: Doc<'_>, uuid: &str) -> Result<Option<Point>, PickError> {
    let data = doc.at("data")?.ok_or_else(|| doc.missing("data"))?;
    // Several channels, and vzlogger always, give a list.
    let channel = match data.value().is_array() {
        false => Some(data),
        true => {
            let list = data.list("")?.unwrap_or_default();
            let mut mine = None;
            for entry in &list {
                if entry.text("uuid")?.is_some_and(|id| id.eq_ignore_ascii_case(uuid)) {
                    mine = Some(*entry);
                }
            }
            mine
        }
    };
    let Some(channel) = channel else { return Ok(None) };
    let mut newest: Option<Point> = None;
    for tuple in channel.list("tuples")?.unwrap_or_default() {
        let (Some(at_ms), Some(watts)) = (tuple.number("[0]").or_else(|_| big(tuple))?, tuple.number("[1]")?) else {
            continue;
        };
        let at_ms = format!("{at_ms:.0}").parse().ok();
        if newest.is_none_or(|newest| at_ms >= newest.at_ms) {
            newest = Some(Point { watts, at_ms });
        }
    }
    Ok(newest.filter(sane))
}

/// Milliseconds since 1970 are larger than any measurement, and `Doc::number` refuses them.
fn big(tuple: Doc<'_>) -> Result<Option<f64>, PickError> {
    Ok(tuple.at("[0]")?.and_then(|time| time.value().as_f64()).filter(|time| (0.0..1e15).contains(time)))
}

fn text_view(body: &str) -> Result<Option<Point>, EmsError> {
    if body.starts_with('<') {
        let text = "the answer is a web page, not the middleware's data; check `serverIP` and `serverPath`";
        return Err(EmsError::garbled(text));
    }
    let measure = json_pick::parse_number(body)
        .map_err(|fault| EmsError::garbled(format!("the middleware's answer is not a number: {fault}")))?;
    let Some(measure) = measure else { return Ok(None) };
    // Without data the text view shows the energy, in Wh: no power.
    Ok(measure.watts().map(|watts| Point { watts, at_ms: None }).filter(sane))
}

fn sane(point: &Point) -> bool {
    point.watts.abs() <= MOST_WATTS
}

#[cfg(test)]
mod tests {
    use super::*;

    const UUID: &str = "00000000-0000-0000-0000-000000000000";

    #[test]
    fn recordings_read_right() {
        for recording in recordings::vendor("volkszaehler") {
            let found = newest(&recording.text(), UUID).unwrap();
            recording.assert_number("grid_w", found.map(|point| point.watts));
            assert_eq!(found.is_none(), recording.text_at(&["expected", "status"]) == "unknown");
            if let Some(at) = recording.expected().get("at_ms").and_then(Value::as_i64) {
                assert_eq!(found.unwrap().at_ms, Some(at));
            }
        }
    }

    #[test]
    fn no_data_is_no_zero() {
        for body in [
            r#"{"data":{"tuples":[]}}"#,
            r#"{"data":{"tuples":null,"consumption":0}}"#,
            r#"{"data":[]}"#,
            r#"{"data":{"tuples":[[1700000000000,null,1]]}}"#,
            r#"{"data":{"tuples":[[1700000000000,1e9,1]]}}"#,
            "0 Wh",
            "",
        ] {
            assert_eq!(newest(body, UUID), Ok(None), "{body}");
        }
        let zero = newest(r#"{"data":{"tuples":[[1700000000000,0,1]]}}"#, UUID).unwrap();
        assert_eq!(zero, Some(Point { watts: 0.0, at_ms: Some(1_700_000_000_000) }));
        assert_eq!(newest("-1.5 kW", UUID).unwrap().map(|point| point.watts), Some(-1500.0));
    }

    #[test]
    fn lists_of_channels_and_unsorted_values() {
        let body = r#"{"version":"0.8","generator":"vzlogger","data":[
            {"uuid":"x","tuples":[[1700000001000,5]]},
            {"uuid":"AbC","last":1700000002000,"tuples":[["1700000002000","17.5"],[1700000001000,1]]}]}"#;
        assert!(newest(body, "x").unwrap().is_some_and(|point| point.watts == 5.0));
        // A time as text is not one that this software writes.
        assert!(
            newest(&body.replace("\"1700000002000\"", "1700000002000"), "abc")
                .unwrap()
                .is_some_and(|point| point.watts == 17.5)
        );
        assert_eq!(newest(body, "other"), Ok(None));
    }

    #[test]
    fn refusals_and_other_pages_are_told() {
        let refused = r#"{"version":"0.3","exception":{"message":"Invalid UUID","type":"Exception","code":0}}"#;
        let error = newest(refused, UUID).unwrap_err();
        assert_eq!(error.kind(), EmsErrorKind::Misconfigured);
        assert!(error.to_string().contains("Invalid UUID"), "{error}");
        for body in ["<html></html>", "{\"data\":", "[]", "hello", "{}"] {
            assert!(newest(body, UUID).is_err(), "{body}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_body_gives_sane_watts_or_an_error(text in "[\\[\\]{}:,\"a-z0-9.eE+-]{0,200}", time in ".{0,15}", watts in ".{0,10}") {
            let tuples = format!("{{\"data\":{{\"tuples\":[[{time},{watts}]]}}}}");
            for body in [text, tuples, watts] {
                if let Ok(Some(point)) = newest(&body, UUID) {
                    proptest::prop_assert!(point.watts.abs() <= MOST_WATTS);
                }
            }
        }
    }
}
