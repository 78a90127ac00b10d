//! The schedule as the old interface knows it: hours with a fraction and a day bitmap in flat settings.

use std::sync::PoisonError;

use http_door::Response;
use serde_json::{Map, Value, json};

use super::{as_number, as_whole, is_true, merge, number, object_or_empty, plain, truncated};
use crate::api::Inner;
use crate::route::Call;

/// The days in the order of the bitmap, lowest bit first.
pub(crate) const DAYS: [&str; 7] = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];

/// What the flat settings say.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Schedule {
    /// Rate, 0 without a schedule.
    pub amps: f64,
    /// Hour of the start, -1 for none.
    pub start_hour: f64,
    /// Hour of the end, -1 for none.
    pub end_hour: f64,
    /// Bit 0 is Monday.
    pub days: i64,
    /// Whether to begin as late as possible.
    pub is_flex: bool,
    /// Size of the battery for that, in kWh.
    pub battery_kwh: i64,
}

impl Schedule {
    /// The schedule in `settings.json`.
    pub(crate) fn of(settings: &Value) -> Schedule {
        Schedule {
            amps: number(settings, "scheduledAmpsMax").unwrap_or(0.0),
            start_hour: number(settings, "scheduledAmpsStartHour").unwrap_or(-1.0),
            end_hour: number(settings, "scheduledAmpsEndHour").unwrap_or(-1.0),
            days: truncated(number(settings, "scheduledAmpsDaysBitmap").unwrap_or(127.0)),
            is_flex: number(settings, "scheduledAmpsFlexStart").unwrap_or(0.0) != 0.0,
            battery_kwh: truncated(number(settings, "scheduledAmpsBatterySize").unwrap_or(100.0)),
        }
    }

    /// The object in `getStatus`.
    pub(crate) fn to_json(&self) -> Value {
        let is_enabled = self.start_hour >= 0.0 && self.end_hour >= 0.0 && self.days > 0 && self.amps > 0.0;
        // TWCManager shows the full hour of the start, because it acts on that alone; here the minutes count.
        let minute = |hour: f64| if hour >= 0.0 { truncated((hour * 60.0).round()) } else { -1 };
        let (start, end) = (minute(self.start_hour), minute(self.end_hour));
        let mut out = Map::new();
        let mut put = |key: String, value: Value| out.insert(key, value);
        put("enabled".into(), is_enabled.into());
        put("amps".into(), plain(self.amps));
        put("startingMinute".into(), start.into());
        put("endingMinute".into(), end.into());
        for (bit, day) in DAYS.iter().enumerate() {
            put(day.to_ascii_lowercase(), (self.days >> bit & 1 == 1).into());
        }
        put("flexStartEnabled".into(), u8::from(self.is_flex).into());
        put("flexStartingMinute".into(), start.into());
        put("flexEndingMinute".into(), end.into());
        for (bit, day) in DAYS.iter().enumerate() {
            put(format!("flex{day}"), (self.days >> bit & 1 == 1).into());
        }
        put("flexBatterySize".into(), self.battery_kwh.into());
        Value::Object(out)
    }
}

/// `/api/setScheduledChargingSettings`.
pub(crate) fn set(api: &Inner, call: &Call) -> Response {
    merge(object_or_empty(call).and_then(|body| set_from(api, &body)))
}

fn set_from(api: &Inner, body: &Map<String, Value>) -> Result<Response, Response> {
    let minute = |key: &str| match body.get(key) {
        None | Some(Value::Null) => Ok(-1),
        Some(value) => as_whole(value).filter(|minute| *minute < 24 * 60).ok_or_else(|| {
            Response::error(400, &format!("{key} must be a whole number of minutes since midnight, 0 to 1439"))
        }),
    };
    let (start, end) = (minute("startingMinute")?, minute("endingMinute")?);
    let amps = match body.get("amps") {
        None | Some(Value::Null) => 0.0,
        Some(value) => as_number(value).ok_or_else(|| Response::error(400, "amps must be a number"))?,
    };
    let days: i64 = DAYS
        .iter()
        .enumerate()
        .filter(|(_, day)| is_true(body.get(&day.to_ascii_lowercase())))
        .map(|(bit, _)| 1 << bit)
        .sum();
    let is_enabled = is_true(body.get("enabled")) && start >= 0 && end >= 0 && amps > 0.0 && days > 0;
    let mut more = Vec::new();
    if let Some(flex) = body.get("flexStartEnabled") {
        more.push(("scheduledAmpsFlexStart", u8::from(is_true(Some(flex))).into()));
    }
    if let Some(size) = body.get("flexBatterySize").and_then(as_whole).filter(|size| *size > 40) {
        more.push(("scheduledAmpsBatterySize", size.into()));
    }
    store(api, is_enabled.then_some(Plan { start, end, days, amps }), more)?;
    Ok(Response::new(202))
}

/// When and how much to charge by schedule.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Plan {
    /// Minute of the day.
    pub start: i64,
    /// Minute of the day.
    pub end: i64,
    /// Bit 0 is Monday.
    pub days: i64,
    /// Amps per phase for all charging points together.
    pub amps: f64,
}

/// Stores a schedule, or that there is none, and what else is to change with it. All at once: a new rate never meets old hours.
pub(crate) fn store(api: &Inner, plan: Option<Plan>, more: Vec<(&str, Value)>) -> Result<(), Response> {
    let _turn = api.settings_turn.lock().unwrap_or_else(PoisonError::into_inner);
    let mut changes = match plan {
        None => vec![
            ("scheduledAmpsMax", 0.into()),
            ("scheduledAmpsStartHour", Value::from(-1)),
            ("scheduledAmpsEndHour", Value::from(-1)),
            ("scheduledAmpsDaysBitmap", 0.into()),
        ],
        Some(plan) => vec![
            ("scheduledAmpsMax", plain(plan.amps)),
            ("scheduledAmpsStartHour", hours(plan.start)),
            ("scheduledAmpsEndHour", hours(plan.end)),
            ("scheduledAmpsDaysBitmap", plan.days.into()),
        ],
    };
    if let (Some(plan), Some(Value::Object(page))) = (plan, api.site.settings().get("Schedule")) {
        changes.push(("Schedule", Value::Object(as_page(page.clone(), plan))));
    }
    changes.extend(more);
    api.set_all(changes)
}

/// The object of the old schedule page, brought in line with a plan: one time for all days, or its own times would go on acting.
fn as_page(mut page: Map<String, Value>, plan: Plan) -> Map<String, Value> {
    let times = json!({"start": time_of_day(plan.start), "end": time_of_day(plan.end)});
    page.insert("Common".to_owned(), times);
    for (bit, day) in DAYS.iter().enumerate() {
        let entry = page.entry(*day).or_insert_with(|| json!({"enabled": "", "start": "", "end": "", "flex": ""}));
        if let Value::Object(entry) = entry {
            let word = if plan.days >> bit & 1 == 1 { "on" } else { "" };
            entry.insert("enabled".to_owned(), word.into());
        }
    }
    let common = page.entry("Settings").or_insert_with(|| json!({}));
    if let Value::Object(common) = common {
        common.insert("scheduledAmpsMax".to_owned(), plain(plan.amps));
        common.insert("schedulePerDay".to_owned(), 0.into());
    }
    page
}

/// A minute of the day as `22:30`.
pub(crate) fn time_of_day(minute: i64) -> String {
    format!("{:02}:{:02}", minute / 60, minute % 60)
}

/// `22:30` as a minute of the day.
pub(crate) fn minute_of_day(text: &str) -> Option<i64> {
    let (hour, minute) = text.split_once(':')?;
    let two = |part: &str, most: i64| {
        let is_plain = matches!(part.len(), 1..=2) && part.bytes().all(|byte| byte.is_ascii_digit());
        part.parse().ok().filter(|number: &i64| is_plain && *number <= most)
    };
    Some(two(hour, 23)? * 60 + two(minute, 59)?)
}

fn hours(minutes: i64) -> Value {
    #[expect(clippy::cast_precision_loss, reason = "minutes of a day")]
    let hours = minutes as f64 / 60.0;
    plain(hours)
}

/// The settings that follow from the form of the old schedule page: the flat keys that act, and the object that the page shows.
pub(crate) fn from_form(form: &[(String, String)]) -> Result<Vec<(&'static str, Value)>, Response> {
    let field = |name: &str| form.iter().find(|(have, _)| have == name).map(|(_, value)| value.as_str());
    let hour = |name: &str| -> Result<Option<Value>, Response> {
        let Some(text) = field(name).filter(|text| !text.is_empty()) else { return Ok(None) };
        let minute = minute_of_day(text);
        minute
            .map(|minute| Some(hours(minute)))
            .ok_or_else(|| Response::error(400, &format!("{name} must be a time such as 22:30")))
    };
    let mut object = Map::new();
    object.insert(
        "Common".to_owned(),
        json!({"start": field("startCommonChargeTime").unwrap_or(""), "end": field("endCommonChargeTime").unwrap_or("")}),
    );
    let mut days = 0;
    for (bit, day) in DAYS.iter().enumerate() {
        let of_day = |what: &str| field(&format!("{what}{day}ChargeTime")).unwrap_or("").to_owned();
        days |= i64::from(!of_day("enabled").is_empty()) << bit;
        let entry = json!({"enabled": of_day("enabled"), "start": of_day("start"), "end": of_day("end"), "flex": of_day("flex")});
        object.insert((*day).to_owned(), entry);
    }
    let amps = match field("scheduledAmpsMax") {
        None | Some("") => 0.0,
        Some(text) => text
            .parse()
            .ok()
            .filter(|amps: &f64| amps.is_finite() && *amps >= 0.0)
            .ok_or_else(|| Response::error(400, "scheduledAmpsMax must be a number of amps"))?,
    };
    object.insert(
        "Settings".to_owned(),
        json!({
            "resumeGreenEnergy": field("resumeGreenEnergy").unwrap_or(""),
            "scheduledAmpsMax": plain(amps),
            "schedulePerDay": field("schedulePerDay").and_then(|text| text.parse::<i64>().ok()).unwrap_or(0),
        }),
    );
    let mut out = vec![("Schedule", Value::Object(object))];
    if let Some(hour) = hour("resumeGreenEnergy")? {
        out.push(("hourResumeTrackGreenEnergy", hour));
    }
    if let Some(hour) = hour("startCommonChargeTime")? {
        out.push(("scheduledAmpsStartHour", hour));
    }
    if let Some(hour) = hour("endCommonChargeTime")? {
        out.push(("scheduledAmpsEndHour", hour));
    }
    out.push(("scheduledAmpsDaysBitmap", days.into()));
    out.push(("scheduledAmpsMax", plain(amps)));
    Ok(out)
}
