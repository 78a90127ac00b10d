//! `/api/getHistory`.

use std::collections::BTreeMap;

use http_door::Response;
use jiff::{Timestamp, tz::TimeZone};
use serde_json::{Value, json};

use super::{as_number, truncated};
use crate::api::Inner;
use crate::route::Call;

/// Seconds between two entries.
const STEP: i64 = 300;
/// Entries in two days.
const COUNT: i64 = 576;

pub(crate) fn get(api: &Inner, call: &Call) -> Response {
    let running = api.snapshot().power.cars_w;
    super::json(&history(&api.site.settings(), &api.config.time_zone, call.now, running))
}

/// Two days of charging power in steps of five minutes, oldest first; zero where nothing was kept. The last step still runs and
/// shows what is drawn now.
fn history(settings: &Value, zone: &TimeZone, now: f64, running: f64) -> Value {
    let kept = kept(settings);
    let last = truncated(now).div_euclid(STEP);
    let entries = (last - COUNT + 1..=last).filter_map(|step| {
        let time = Timestamp::from_second(step * STEP).ok()?.to_zoned(zone.clone());
        let now = (step == last && running > 0.0).then_some(running);
        let watts = kept.get(&step).copied().or(now).map_or(Value::from(0), Value::from);
        Some(json!({ "timestamp": time.strftime("%Y-%m-%dT%H:%M:%S%:z").to_string(), "charger_power": watts }))
    });
    Value::Array(entries.collect())
}

/// What `settings.json` keeps, by step. Found by instant, so that a change of the clocks loses nothing.
fn kept(settings: &Value) -> BTreeMap<i64, f64> {
    let Some(Value::Array(entries)) = settings.get("history") else { return BTreeMap::new() };
    entries
        .iter()
        .filter_map(|entry| {
            let time: Timestamp = entry.get(0)?.as_str()?.parse().ok()?;
            Some((time.as_second().div_euclid(STEP), as_number(entry.get(1)?)?))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_days_in_five_minute_steps_across_a_change_of_clocks() {
        let zone = TimeZone::get("Europe/Berlin").expect("a bundled zone");
        // 25 October 2026, 12:02:10 UTC; the clocks went back at 01:00 UTC.
        let now = 1_792_929_730.0;
        let settings = json!({"history": [
            ["2026-10-24T14:00:00+02:00", 6842.1], ["2026-10-25T13:00:00+01:00", 11.0], ["nonsense", 5], [3], "x",
        ]});
        let history = history(&settings, &zone, now, 4000.0);
        let list = history.as_array().expect("a list");
        assert_eq!(list.len(), 576);
        assert_eq!(list[0]["timestamp"], "2026-10-23T14:05:00+02:00");
        assert_eq!(list[575], json!({"timestamp": "2026-10-25T13:00:00+01:00", "charger_power": 11.0}));
        let later = history_of_nothing(&zone, now);
        assert_eq!((&later[574]["charger_power"], &later[575]["charger_power"]), (&json!(0), &json!(4000.0)));
        let found: Vec<_> = list.iter().filter(|entry| entry["charger_power"] != 0).collect();
        assert_eq!(found[0], &json!({"timestamp": "2026-10-24T14:00:00+02:00", "charger_power": 6842.1}));
        assert_eq!(found.len(), 2);
    }

    fn history_of_nothing(zone: &TimeZone, now: f64) -> Value {
        history(&json!({}), zone, now, 4000.0)
    }
}
