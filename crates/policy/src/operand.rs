//! The words that stand for a value: `now`, `tm_hour`, `settings.X`, `checkScheduledCharging()`.

use jiff::Zoned;
use serde_json::Value as Json;

use crate::Now;
use crate::fact::{Fact, Facts};
use crate::schedule::Schedule;

/// A field of the local time, under the names of C's `struct tm`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TimeField {
    Year,
    Month,
    Day,
    Hour,
    Minute,
    Second,
    /// Monday is 0.
    Weekday,
    /// From 1.
    DayOfYear,
    IsSummerTime,
    Zone,
    /// Seconds east of UTC.
    Offset,
}

const TIME_FIELDS: [(&str, TimeField); 11] = [
    ("tm_year", TimeField::Year),
    ("tm_mon", TimeField::Month),
    ("tm_mday", TimeField::Day),
    ("tm_hour", TimeField::Hour),
    ("tm_min", TimeField::Minute),
    ("tm_sec", TimeField::Second),
    ("tm_wday", TimeField::Weekday),
    ("tm_yday", TimeField::DayOfYear),
    ("tm_isdst", TimeField::IsSummerTime),
    ("tm_zone", TimeField::Zone),
    ("tm_gmtoff", TimeField::Offset),
];

/// Functions about prices, which a branch of TWCManager had.
const PRICES: [&str; 3] = ["getImportPrice", "getExportPrice", "getCheapestWindow"];

/// One side of a comparison, as written.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Operand {
    Literal(Fact),
    Now,
    Time(TimeField),
    ScheduledCharging,
    GreenAmps,
    Setting(String),
    Config(String),
    Module { name: String, attribute: String },
}

impl Operand {
    /// What a value of the configuration stands for.
    ///
    /// # Errors
    /// A sentence about a word that looks like one of the known ones and is not, or a value that cannot be compared.
    pub(crate) fn parse(value: &Json) -> Result<Operand, String> {
        let Json::String(text) = value else {
            return match Fact::from_json(value) {
                Fact::Unknown => Err(format!("`{value}` cannot be compared: write a number, a text, true or false")),
                fact => Ok(Operand::Literal(fact)),
            };
        };
        match text.as_str() {
            "now" => return Ok(Operand::Now),
            "checkScheduledCharging()" => return Ok(Operand::ScheduledCharging),
            "getMaxAmpsToDivideGreenEnergy()" | "getMaxAmpsForTargetGridUsage()" => return Ok(Operand::GreenAmps),
            _ => {}
        }
        if text.starts_with("tm_") {
            return TIME_FIELDS
                .iter()
                .find(|(name, _)| name == text)
                .map(|(_, field)| Operand::Time(*field))
                .ok_or_else(|| {
                    let names: Vec<_> = TIME_FIELDS.iter().map(|(name, _)| *name).collect();
                    format!("there is no time field `{text}`: use one of {}", names.join(", "))
                });
        }
        if let Some(key) = text.strip_prefix("settings.") {
            return Ok(Operand::Setting(key.to_owned()));
        }
        if let Some(key) = text.strip_prefix("config.") {
            return Ok(Operand::Config(key.to_owned()));
        }
        if let Some(rest) = text.strip_prefix("modules.") {
            return match rest.split_once('.') {
                Some((name, attribute)) if !name.is_empty() && !attribute.is_empty() => {
                    Ok(Operand::Module { name: name.to_owned(), attribute: attribute.to_owned() })
                }
                _ => Err(format!("`{text}` names no value: write `modules.NAME.ATTRIBUTE`")),
            };
        }
        let name = text.split('(').next().unwrap_or_default();
        if PRICES.contains(&name) && looks_like_call(text) {
            return Err(format!(
                "`{text}` needs prices of electricity, which this program does not read: remove the policy, or compare with \
                 the time (`tm_hour`) or a value of a source (`modules.NAME.ATTRIBUTE`) instead"
            ));
        }
        if looks_like_call(text) {
            return Err(format!(
                "there is no function `{text}`: use checkScheduledCharging(), getMaxAmpsToDivideGreenEnergy() or \
                 getMaxAmpsForTargetGridUsage()"
            ));
        }
        Ok(Operand::Literal(Fact::Text(text.clone())))
    }

    /// Its value at a moment.
    pub(crate) fn value(&self, now: &Now, facts: &dyn Facts) -> Fact {
        match self {
            Operand::Literal(fact) => fact.clone(),
            Operand::Now => Fact::Number(now.epoch()),
            Operand::Time(field) => time_field(*field, &now.wall),
            Operand::ScheduledCharging => {
                Fact::Number(f64::from(u8::from(Schedule::from_facts(facts).holds(now, facts))))
            }
            Operand::GreenAmps => facts.green_amps().map_or(Fact::Unknown, Fact::Number),
            Operand::Setting(key) => facts.setting(key).map_or(Fact::Number(0.0), |json| Fact::from_json(json).cast()),
            Operand::Config(key) => facts.config(key).map_or(Fact::Number(0.0), Fact::from_json),
            Operand::Module { name, attribute } => facts.module(name, attribute),
        }
    }
}

fn looks_like_call(text: &str) -> bool {
    text.ends_with(')')
        && text.split_once('(').is_some_and(|(name, _)| {
            !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        })
}

fn time_field(field: TimeField, wall: &Zoned) -> Fact {
    let number = match field {
        TimeField::Year => f64::from(wall.year()),
        TimeField::Month => f64::from(wall.month()),
        TimeField::Day => f64::from(wall.day()),
        TimeField::Hour => f64::from(wall.hour()),
        TimeField::Minute => f64::from(wall.minute()),
        TimeField::Second => f64::from(wall.second()),
        TimeField::Weekday => f64::from(wall.weekday().to_monday_zero_offset()),
        TimeField::DayOfYear => f64::from(wall.day_of_year()),
        TimeField::IsSummerTime => {
            f64::from(u8::from(wall.time_zone().to_offset_info(wall.timestamp()).dst().is_dst()))
        }
        TimeField::Offset => f64::from(wall.offset().seconds()),
        TimeField::Zone => {
            return Fact::Text(wall.time_zone().to_offset_info(wall.timestamp()).abbreviation().to_owned());
        }
    };
    Fact::Number(number)
}
