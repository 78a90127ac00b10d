//! From an answer to a curve. Pure.

use std::time::Duration;

use ems::{EmsError, EmsErrorKind};
use ems_forecast::{Curve, Shape, instant};
use json_pick::Doc;
use serde_json::Value;

/// Most stamps that are looked at.
const MOST_STAMPS: usize = 5000;

/// The power in an answer that came at `now`.
///
/// # Errors
/// What the service refuses, with the time that it names; garbled for what is no answer of it.
pub fn parse(answer: &Value, now: i64) -> Result<Curve, EmsError> {
    let doc = Doc::new(answer);
    let code = doc.integer("message.code").map_err(|error| ems_http::garbled(&error))?.unwrap_or(0);
    if code != 0 {
        return Err(refused(doc, code, now));
    }
    let zone = doc.text("message.info.timezone").ok().flatten();
    let watts = doc.entries("result.watts").map_err(|error| ems_http::garbled(&error))?;
    let watts = watts.ok_or_else(|| ems_http::garbled(&doc.missing("result.watts")))?;
    let mut points = Vec::with_capacity(watts.len().min(MOST_STAMPS));
    for (stamp, value) in watts.into_iter().take(MOST_STAMPS) {
        let Some(time) = instant(stamp, zone.as_deref()) else {
            let stamp: String = stamp.chars().take(40).collect();
            return Err(EmsError::garbled(format!("the forecast has a time that cannot be read: {stamp}")));
        };
        points.push((time, value.number("").map_err(|error| ems_http::garbled(&error))?));
    }
    let curve = Curve::new(Shape::Instant, points);
    if curve.is_empty() {
        return Err(EmsError::garbled("the forecast is empty; are latitude and longitude right?"));
    }
    Ok(curve)
}

fn refused(doc: Doc<'_>, code: i64, now: i64) -> EmsError {
    let said = doc.text("message.text").ok().flatten().unwrap_or_default();
    let said: String = said.chars().take(120).map(|c| if c.is_control() { ' ' } else { c }).collect();
    let retry_at = doc.text("message.ratelimit.retry-at").ok().flatten().and_then(|stamp| instant(&stamp, None));
    let (kind, help) = match code {
        429 => (EmsErrorKind::RateLimited, "it is asked again later; other programs at your address count as well"),
        401 | 403 => (EmsErrorKind::Denied, "check apiKey"),
        400..=499 => (EmsErrorKind::Misconfigured, "check latitude, longitude, declination, azimuth and kwp"),
        _ => (EmsErrorKind::Retry, "it is asked again"),
    };
    let error = EmsError::new(kind, format!("forecast.solar refuses: {said} ({code}); {help}"));
    match retry_at.map(|at| at.saturating_sub(now)).and_then(|wait| u64::try_from(wait).ok()) {
        Some(wait) => error.after(Duration::from_secs(wait)),
        None => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn at(answer: &Value, stamp: &str) -> Option<f64> {
        parse(answer, 0).unwrap().at(instant(stamp, None).unwrap())
    }

    #[test]
    fn power_lies_on_lines_between_stamps_of_both_kinds() {
        let with_offset = json!({"result": {"watts": {"2024-06-01T10:00:00+02:00": 1000, "2024-06-01T11:00:00+02:00": 2000}},
            "message": {"code": 0, "info": {"timezone": "Europe/Amsterdam"}}});
        let local = json!({"result": {"watts": {"2024-06-01 10:00:00": 1000, "2024-06-01 11:00:00": "2000"}},
            "message": {"code": 0, "info": {"timezone": "Europe/Amsterdam"}}});
        for answer in [with_offset, local] {
            assert_eq!(at(&answer, "2024-06-01T08:30:00Z"), Some(1500.0));
            assert_eq!(at(&answer, "2024-06-01T09:30:00Z"), None);
        }
    }

    #[test]
    fn unknown_power_is_no_zero() {
        let answer = json!({"result": {"watts": {"2024-06-01T10:00:00Z": 1000, "2024-06-01T11:00:00Z": null}}});
        assert_eq!(at(&answer, "2024-06-01T10:30:00Z"), None);
    }

    #[test]
    fn recordings_read_right() {
        for recording in recordings::vendor("forecast-solar") {
            let answer = recording.json();
            if recording.text_at(&["expected", "status"]) == "error" {
                let retry_at = instant(recording.text_at(&["expected", "retry_at"]), None).unwrap();
                let error = parse(&answer, retry_at - 100).unwrap_err();
                assert_eq!(error.kind(), EmsErrorKind::RateLimited);
                assert_eq!(error.retry_after(), Some(Duration::from_secs(100)), "{}", recording.name());
                continue;
            }
            for check in recording.expected()["checks"].as_array().into_iter().flatten() {
                let stamp = check["t"].as_str().unwrap();
                let (found, expected) = (at(&answer, stamp), check["pv_w"].as_f64());
                assert!((found.unwrap() - expected.unwrap()).abs() <= 0.5, "{}: {stamp}: {found:?}", recording.name());
            }
        }
    }

    proptest! {
        #[test]
        fn any_answer_gives_sane_power_or_an_error(code in prop_oneof![Just(json!(0)), Just(json!("x")), Just(json!(429)), Just(Value::Null)], stamp in "(20[0-9]{2}-[01][0-9]-[0-3][0-9]T[0-2][0-9]:00:00Z|.{0,20})", watts in prop_oneof![any::<f64>().prop_map(Value::from), Just(json!("x")), Just(json!([]))]) {
            let answer = json!({"result": {"watts": {stamp.clone(): watts}}, "message": {"code": code, "ratelimit": {"retry-at": stamp.clone()}}});
            if let (Ok(curve), Some(time)) = (parse(&answer, 0), instant(&stamp, None)) {
                prop_assert!(curve.at(time).is_none_or(|watts| (0.0..=1e9).contains(&watts)));
            }
        }
    }
}
