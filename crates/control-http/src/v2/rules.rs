//! The rules that a person sets: the schedule, and what holds outside it.

use http_door::Response;
use serde_json::{Value, json};

use super::body::{Fields, bad};
use super::commands::most_amps;
use crate::api::Inner;
use crate::compat::number;
use crate::compat::schedule::{DAYS, Plan, Schedule, minute_of_day, store, time_of_day};
use crate::route::Call;

/// What `nonScheduledAction` can be, by its number.
const ACTIONS: [(&str, i64); 3] = [("fixed", 1), ("off", 2), ("surplus", 3)];

/// `GET rules`.
pub(super) fn get(api: &Inner, _: &Call) -> Response {
    let settings = api.site.settings();
    let schedule = Schedule::of(&settings);
    let shown = schedule.to_json();
    let time = |key: &str| shown[key].as_i64().filter(|minute| *minute >= 0).map(time_of_day);
    let days: Vec<String> = DAYS
        .iter()
        .enumerate()
        .filter(|(bit, _)| schedule.days >> bit & 1 == 1)
        .map(|(_, day)| day.to_lowercase())
        .collect();
    let action = number(&settings, "nonScheduledAction").unwrap_or(1.0);
    let word = ACTIONS.iter().find(|(_, code)| action == number_of(*code)).map_or("fixed", |(word, _)| word);
    let per_day = settings.pointer("/Schedule/Settings").and_then(|common| number(common, "schedulePerDay"));
    let body = json!({
        "schedule": {
            "is_enabled": shown["enabled"],
            "start": time("startingMinute"),
            "end": time("endingMinute"),
            "days": days,
            "amps": schedule.amps,
            "is_per_day": per_day.is_some_and(|flag| flag != 0.0),
        },
        "outside_schedule": {
            "action": word,
            "amps": number(&settings, "nonScheduledAmpsMax").unwrap_or(0.0),
        },
    });
    Response::json(200, body.to_string())
}

/// `PUT rules/schedule`.
pub(super) fn put_schedule(api: &Inner, call: &Call) -> Response {
    let result = (|| {
        let fields = Fields::of(call.request, &["is_enabled", "start", "end", "days", "amps"])?;
        let is_enabled = fields.flag("is_enabled")?.ok_or_else(|| bad("is_enabled is missing: true or false"))?;
        if !is_enabled {
            Fields::of(call.request, &["is_enabled"])?;
            store(api, None, Vec::new())?;
            return Ok(Response::new(204));
        }
        let time = |key: &str| {
            let text = fields.text(key)?;
            text.as_deref().and_then(minute_of_day).ok_or_else(|| bad(&format!("{key} must be a time such as 22:30")))
        };
        let (start, end) = (time("start")?, time("end")?);
        let days = days(&fields)?;
        let amps = fields.number("amps", 1.0, most_amps(api))?;
        let amps = amps.ok_or_else(|| bad("amps is missing: amps per phase for all charging points"))?;
        store(api, Some(Plan { start, end, days, amps }), Vec::new())?;
        Ok(Response::new(204))
    })();
    result.unwrap_or_else(|response| response)
}

/// At least one day, as a bitmap.
fn days(fields: &Fields) -> Result<i64, Response> {
    let wrong =
        || bad("days must be a list of at least one of monday, tuesday, wednesday, thursday, friday, saturday, sunday");
    let list = fields.any("days").and_then(Value::as_array).filter(|list| !list.is_empty()).ok_or_else(wrong)?;
    list.iter().try_fold(0, |days, day| {
        let bit = DAYS.iter().position(|known| day.as_str() == Some(known.to_lowercase().as_str()));
        bit.map(|bit| days | 1 << bit).ok_or_else(wrong)
    })
}

/// `PUT rules/outside-schedule`.
pub(super) fn put_outside(api: &Inner, call: &Call) -> Response {
    let result = (|| {
        let fields = Fields::of(call.request, &["action", "amps"])?;
        let action = fields.text("action")?.unwrap_or_default();
        let code = ACTIONS.iter().find(|(word, _)| *word == action).map(|(_, code)| *code);
        let code = code.ok_or_else(|| bad("action must be fixed, off or surplus"))?;
        let amps = fields.number("amps", 0.0, most_amps(api))?;
        let mut changes = vec![("nonScheduledAction", Value::from(code))];
        match (code, amps) {
            (1, None) => return Err(bad("amps is missing: the fixed current, per phase for all charging points")),
            (1, Some(amps)) => changes.push(("nonScheduledAmpsMax", amps.into())),
            (_, Some(_)) => return Err(bad("amps goes with the action fixed only")),
            (_, None) => {}
        }
        api.set_all(changes)?;
        Ok(Response::new(204))
    })();
    result.unwrap_or_else(|response| response)
}

fn number_of(code: i64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "1, 2 or 3")]
    let number = code as f64;
    number
}
