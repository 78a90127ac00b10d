//! From emonCMS's answers to values, and the signs of exchanged feeds. Pure.

use std::time::{Duration, Instant};

use ems::{EmsError, EmsErrorKind};
use json_pick::{Doc, PickError};
use serde_json::Value;

/// Beyond this no house draws.
const MOST_WATTS: f64 = 1e6;

/// One feed's newest value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Feed {
    /// Watts; `None` when it has no value.
    pub watts: Option<f64>,
    /// When it came in, in seconds since 1970, where told.
    pub time: Option<i64>,
}

/// Refusals come as objects, with HTTP 200 on many versions.
///
/// # Errors
/// The refusal.
pub fn refusal(answer: &Value) -> Result<(), EmsError> {
    if !answer.is_object() && !answer.is_string() && *answer != Value::Bool(false) {
        return Ok(());
    }
    let said = Doc::new(answer).text("message").ok().flatten();
    let said = said.or_else(|| answer.as_str().map(str::to_owned)).unwrap_or_else(|| "no reason".to_owned());
    Err(EmsError::new(
        EmsErrorKind::Denied,
        format!("emonCMS refuses: {said}; check `apiKey` (the read key is enough) and `serverPath`"),
    ))
}

/// Reads `feed/list.json`: the wanted feed; `Ok(None)` when it is not in the list.
///
/// # Errors
/// When it is something else.
pub fn in_list(answer: &Value, id: &str) -> Result<Option<Feed>, PickError> {
    for entry in Doc::new(answer).list("")?.unwrap_or_default() {
        if entry.text("id")?.as_deref() != Some(id) {
            continue;
        }
        let unit = entry.text("unit").ok().flatten().unwrap_or_default();
        let factor = json_pick::watts_factor(&unit).unwrap_or(1.0);
        let watts =
            if entry.value().get("value") == Some(&Value::Bool(false)) { None } else { entry.number("value")? };
        return Ok(Some(Feed { watts: sane(watts.map(|watts| watts * factor)), time: entry.integer("time")? }));
    }
    Ok(None)
}

/// Reads `feed/fetch.json`: values in the order of the ids; `Ok(None)` for a feed that does not exist (`false`).
///
/// # Errors
/// When it is something else.
pub fn fetched(answer: &Value, count: usize) -> Result<Vec<Option<Feed>>, PickError> {
    let doc = Doc::new(answer);
    let list = doc.list("")?.ok_or_else(|| doc.missing(""))?;
    (0..count)
        .map(|at| match list.get(at) {
            None => Err(doc.missing(&format!("[{at}]"))),
            Some(entry) if *entry.value() == Value::Bool(false) => Ok(None),
            Some(entry) => Ok(Some(Feed { watts: sane(entry.number("")?), time: None })),
        })
        .collect()
}

fn sane(watts: Option<f64>) -> Option<f64> {
    watts.filter(|watts| watts.abs() <= MOST_WATTS)
}

/// A house never takes nothing for hours, and the sun goes down every day: the other way round the feeds are exchanged.
#[derive(Debug, Default)]
pub struct Exchange {
    /// Since when the consumption has been nothing while the generation was something.
    since: Option<Instant>,
    /// When the generation was last nothing.
    dark: Option<Instant>,
    started: Option<Instant>,
}

/// This long nothing is consumed in no house.
const HOURS: Duration = Duration::from_secs(3 * 3600);
/// Within this the sun sets.
const DAY: Duration = Duration::from_secs(24 * 3600);

impl Exchange {
    /// Takes a reading; whether generation and consumption look exchanged by now.
    pub fn looks_exchanged(&mut self, now: Instant, consumption: f64, generation: f64) -> bool {
        let started = *self.started.get_or_insert(now);
        if generation < 20.0 {
            self.dark = Some(now);
        }
        if consumption.abs() <= 5.0 && generation >= 50.0 {
            self.since.get_or_insert(now);
        } else {
            self.since = None;
        }
        let is_long = |since: Instant, period| now.saturating_duration_since(since) >= period;
        self.since.is_some_and(|since| is_long(since, HOURS)) && is_long(self.dark.unwrap_or(started), DAY)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn recordings_read_right() {
        for recording in recordings::vendor("emoncms") {
            let found = fetched(&recording.json(), 2).unwrap();
            recording.assert_number("consumption_w", found[0].and_then(|feed| feed.watts));
            recording.assert_number("generation_w", found[1].and_then(|feed| feed.watts));
            assert_eq!(found[0].is_none(), recording.text_at(&["expected", "status"]) == "error");
        }
    }

    #[test]
    fn the_list_has_values_times_and_units() {
        let list = json!([
            {"id": "11", "name": "use", "unit": "W", "time": "1700000000", "value": "1834.2"},
            {"id": 12, "name": "solar", "unit": "kW", "time": 1700000005, "value": 2.41},
            {"id": 13, "time": null, "value": null},
        ]);
        let feed = |id| in_list(&list, id).unwrap();
        assert_eq!(feed("11"), Some(Feed { watts: Some(1834.2), time: Some(1_700_000_000) }));
        assert_eq!(feed("12"), Some(Feed { watts: Some(2410.0), time: Some(1_700_000_005) }));
        assert_eq!((feed("13"), feed("14")), (Some(Feed { watts: None, time: None }), None));
    }

    #[test]
    fn false_and_null_are_no_zero_and_a_short_answer_is_no_answer() {
        assert_eq!(
            fetched(&json!([null, "0"]), 2).unwrap(),
            [Some(Feed { watts: None, time: None }), Some(Feed { watts: Some(0.0), time: None }),]
        );
        assert!(fetched(&json!([1]), 2).is_err());
        assert!(fetched(&json!(["x", 1]), 2).is_err());
        assert!(refusal(&json!({"success": false, "message": "Username or password empty"})).is_err());
        assert!(refusal(&json!(false)).is_err() && refusal(&json!([false])).is_ok());
    }

    /// Two days of an ordinary house: sun from 6 to 20, at least 150 W of load.
    fn day(hour: f64) -> (f64, f64) {
        let sun = if (6.0..20.0).contains(&(hour % 24.0)) { 3000.0 } else { 0.0 };
        (150.0 + if (hour % 24.0) > 17.0 { 1000.0 } else { 0.0 }, sun)
    }

    #[test]
    fn exchanged_feeds_give_themselves_away_and_right_ones_do_not() {
        let start = Instant::now();
        let (mut right, mut wrong) = (Exchange::default(), Exchange::default());
        let mut told = None;
        for minute in 0..2880u32 {
            let (house, sun) = day(f64::from(minute) / 60.0);
            let now = start + Duration::from_secs(u64::from(minute) * 60);
            assert!(!right.looks_exchanged(now, house, sun));
            if wrong.looks_exchanged(now, sun, house) {
                told.get_or_insert(minute / 60);
            }
        }
        assert_eq!(told, Some(24));
    }

    proptest::proptest! {
        #[test]
        fn any_document_gives_sane_watts_or_an_error(text in "[\\[\\]{}:,\"a-z0-9.eE+-]{0,200}", value in ".{0,10}") {
            let list = json!([{"id": 1, "value": value, "time": value, "unit": value}]);
            for document in serde_json::from_str::<Value>(&text).into_iter().chain([list, json!([value])]) {
                let _ = refusal(&document);
                for feed in fetched(&document, 1).unwrap_or_default().into_iter().chain([in_list(&document, "1").unwrap_or_default()]).flatten() {
                    proptest::prop_assert!(feed.watts.is_none_or(|watts| watts.abs() <= MOST_WATTS));
                }
            }
        }
    }
}
