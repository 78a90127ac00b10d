//! The schedule of `settings.json`: when it holds, over midnight, on which days, through both changes of the clock.

use jiff::civil::Date;
use jiff::{Timestamp, ToSpan, Zoned};
use serde_json::Value as Json;

use crate::Now;
use crate::fact::{Fact, Facts};

const MINUTES_A_DAY: u16 = 24 * 60;

/// One day's charging time in minutes after midnight. An end at or before the start is on the next day, so that equal
/// times mean a whole day. (TWCManager took equal times for never.)
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// When it starts.
    pub start: u16,
    /// When it ends.
    pub end: u16,
    /// Whether to start as late as the car's need allows.
    pub is_flexible: bool,
}

/// The weekly schedule.
#[derive(Debug, Clone, PartialEq)]
pub struct Schedule {
    /// Amps for all charging points together; 0 is no schedule.
    pub amps: f64,
    /// The windows that start on each day, Monday first.
    pub days: [Option<Window>; 7],
}

/// One occurrence of a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Occurrence {
    /// When it starts, flexible start included.
    pub start: Timestamp,
    /// When it ends.
    pub end: Timestamp,
}

/// A number of `settings.json`: also as text, flags as 1 and 0.
#[must_use]
pub fn setting_number(facts: &dyn Facts, key: &str) -> Option<f64> {
    facts.setting(key).and_then(|value| Fact::from_json(value).number())
}

/// Whether a value of `settings.json` means yes: `true`, numbers but 0, `on`, `true`, `yes`.
#[must_use]
pub fn is_truthy(value: Option<&Json>) -> bool {
    match value {
        Some(Json::Bool(flag)) => *flag,
        Some(Json::Number(number)) => number.as_f64().is_some_and(|number| number != 0.0),
        Some(Json::String(text)) => {
            let text = text.trim();
            ["on", "true", "yes"].iter().any(|yes| text.eq_ignore_ascii_case(yes))
                || text.parse::<f64>().is_ok_and(|number| number != 0.0)
        }
        _ => false,
    }
}

impl Schedule {
    /// The schedule as the settings have it now.
    ///
    /// The flat keys (`scheduledAmpsMax`, `scheduledAmpsStartHour`, ...) are authoritative, to the minute. Only when the
    /// object `Schedule` asks for times of each day (`schedulePerDay`) do its own times count instead of the flat ones.
    #[must_use]
    pub fn from_facts(facts: &dyn Facts) -> Self {
        let number = |key| setting_number(facts, key);
        let amps = number("scheduledAmpsMax").unwrap_or(0.0).max(0.0);
        let object = facts.setting("Schedule");
        let per_day = is_truthy(object.and_then(|object| object.pointer("/Settings/schedulePerDay")));
        if per_day && let Some(object) = object {
            return Schedule { amps, days: std::array::from_fn(|day| day_of_object(object, day)) };
        }
        let is_flexible = is_truthy(facts.setting("scheduledAmpsFlexStart"));
        let minute = |key| number(key).and_then(minute_of_hours);
        let window = match (minute("scheduledAmpsStartHour"), minute("scheduledAmpsEndHour")) {
            (Some(start), Some(end)) => {
                Some(Window { start: start % MINUTES_A_DAY, end: end % MINUTES_A_DAY, is_flexible })
            }
            _ => None,
        };
        let bitmap = number("scheduledAmpsDaysBitmap").unwrap_or(127.0);
        // Held within seven bits before it is narrowed.
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let bitmap = bitmap.clamp(0.0, 127.0) as u8;
        Schedule { amps, days: std::array::from_fn(|day| window.filter(|_| bitmap & (1 << day) != 0)) }
    }

    /// Whether charging by schedule is on now.
    #[must_use]
    pub fn holds(&self, now: &Now, facts: &dyn Facts) -> bool {
        let at = now.wall.timestamp();
        self.current(&now.wall, facts).is_some_and(|occurrence| occurrence.start <= at)
    }

    /// The occurrence whose window now lies in; its start may still be ahead when it is flexible.
    #[must_use]
    pub fn current(&self, wall: &Zoned, facts: &dyn Facts) -> Option<Occurrence> {
        if self.amps <= 0.0 {
            return None;
        }
        let at = wall.timestamp();
        let today = wall.date();
        [Some(today), today.yesterday().ok()].into_iter().flatten().find_map(|date| {
            let window = (*self.days.get(usize::try_from(date.weekday().to_monday_zero_offset()).ok()?)?)?;
            let whole = window.on(date, wall)?;
            (whole.start <= at && at < whole.end).then(|| self.delayed(whole, window, facts))
        })
    }

    /// Moves a flexible start as late as the car's need allows, never before the start of the window.
    fn delayed(&self, whole: Occurrence, window: Window, facts: &dyn Facts) -> Occurrence {
        /// Hours in reserve, and more of them when the car slows down near full.
        const RESERVE: f64 = 0.25;
        const RESERVE_NEAR_FULL: f64 = 0.5;
        let Some((hours, limit)) = window.is_flexible.then(|| facts.hours_to_charge(self.amps)).flatten() else {
            return whole;
        };
        let hours = hours + RESERVE + if limit >= 98.0 { RESERVE_NEAR_FULL } else { 0.0 };
        // A week is far more than any window has.
        #[allow(clippy::cast_possible_truncation)]
        let seconds = (hours.clamp(0.0, 168.0) * 3600.0) as i64;
        let start = whole.end.checked_sub(seconds.seconds()).map_or(whole.start, |start| start.max(whole.start));
        Occurrence { start, ..whole }
    }

    /// Where the schedule page and the keys that act disagree, as a sentence.
    #[must_use]
    pub fn mismatch(facts: &dyn Facts) -> Option<String> {
        let object = facts.setting("Schedule")?;
        if is_truthy(object.pointer("/Settings/schedulePerDay")) {
            return None;
        }
        for (key, page, what) in
            [("scheduledAmpsStartHour", "/Common/start", "start"), ("scheduledAmpsEndHour", "/Common/end", "end")]
        {
            let acts = setting_number(facts, key).and_then(minute_of_hours);
            let shown = object.pointer(page).and_then(Json::as_str).and_then(minute_of_clock);
            if let (Some(acts), Some(shown)) = (acts, shown)
                && acts != shown
            {
                return Some(format!(
                    "the schedule page was saved with its {what} at {:02}:{:02}, but `{key}` says {:02}:{:02}, and that is what \
                     counts: save the schedule again to settle it",
                    shown / 60,
                    shown % 60,
                    acts / 60,
                    acts % 60
                ));
            }
        }
        None
    }
}

impl Window {
    /// This window as it starts on `date`. A time that the clock skips counts as so much later; one that comes twice is the
    /// first of the two.
    fn on(self, date: Date, wall: &Zoned) -> Option<Occurrence> {
        let end_date = if self.end <= self.start { date.tomorrow().ok()? } else { date };
        Some(Occurrence { start: moment(date, self.start, wall)?, end: moment(end_date, self.end, wall)? })
    }
}

fn moment(date: Date, minute: u16, wall: &Zoned) -> Option<Timestamp> {
    let (hour, minute) = (i8::try_from(minute / 60).ok()?, i8::try_from(minute % 60).ok()?);
    let time = jiff::civil::Time::new(hour, minute, 0, 0).ok()?;
    wall.time_zone().to_ambiguous_timestamp(date.to_datetime(time)).compatible().ok()
}

/// Hours with a fraction as minutes; `None` for -1 (unset) and what no day has.
fn minute_of_hours(hours: f64) -> Option<u16> {
    if !(0.0..=24.0).contains(&hours) {
        return None;
    }
    // At most 1440 by the check above.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    Some((hours * 60.0).round() as u16)
}

fn minute_of_clock(text: &str) -> Option<u16> {
    let (hour, minute) = text.trim().split_once(':')?;
    let (hour, minute) = (hour.parse::<u16>().ok()?, minute.parse::<u16>().ok()?);
    (hour <= 24 && minute < 60 && hour * 60 + minute <= MINUTES_A_DAY).then_some(hour * 60 + minute)
}

fn day_of_object(object: &Json, day: usize) -> Option<Window> {
    const NAMES: [&str; 7] = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];
    let day = object.get(*NAMES.get(day)?)?;
    if !is_truthy(day.get("enabled")) {
        return None;
    }
    let minute =
        |name| day.get(name).and_then(Json::as_str).and_then(minute_of_clock).map(|minute| minute % MINUTES_A_DAY);
    Some(Window { start: minute("start")?, end: minute("end")?, is_flexible: is_truthy(day.get("flex")) })
}
