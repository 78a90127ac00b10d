//! What a topic and a payload ask for. Pure.

use twc_names::{Mode, Preset};

/// Longest that a policy is held when nothing is said, in seconds.
const HOLD_S: u64 = 3600;

/// Something asked for.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Order {
    /// `chargeNow`.
    ChargeNow { amps: i64, seconds: u64 },
    /// `chargeNowEnd`.
    EndChargeNow,
    /// `stop`: the program, not the cars.
    EndProgram,
    /// `nonScheduledAmpsMax`.
    FixedAmps(f64),
    /// `nonScheduledAction`.
    Action(i64),
    /// `mode`.
    Mode(Mode),
    /// `chargeNowAmps`.
    PresetAmps(f64),
    /// `chargeNowMinutes`.
    PresetMinutes(f64),
    /// `schedule`.
    Schedule(bool),
    /// `scheduledAmpsMax`.
    ScheduleAmps(f64),
    /// `policy`; `None` lets the rules decide again.
    Policy(Option<(String, u64)>),
    /// `startCharging`.
    Start,
    /// `stopCharging`.
    Stop,
    /// `evse/NAME/…`.
    Evse { name: String, wish: Wish },
}

/// What is asked of one charging point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wish {
    Enabled(bool),
    Priority(i32),
    Start,
    Stop,
}

/// What the topic, below `PREFIX/control/`, and the payload ask for; else a sentence.
pub(crate) fn parse(topic: &str, payload: &str) -> Result<Order, String> {
    let payload = payload.trim();
    match topic {
        "chargeNow" => charge_now(payload),
        "chargeNowEnd" => Ok(Order::EndChargeNow),
        "stop" => Ok(Order::EndProgram),
        "nonScheduledAmpsMax" => amps(payload).map(Order::FixedAmps),
        "nonScheduledAction" => match number(payload)? {
            1.0 => Ok(Order::Action(1)),
            2.0 => Ok(Order::Action(2)),
            3.0 => Ok(Order::Action(3)),
            _ => Err("send 1 (fixed current), 2 (do not charge) or 3 (track surplus)".to_owned()),
        },
        "mode" => Mode::from_word(payload).map(Order::Mode).ok_or_else(|| {
            let words = Mode::ALL.map(|mode| format!("\"{}\"", mode.word())).join(", ");
            format!("send one of {words}")
        }),
        "chargeNowAmps" => amps(payload).map(|amps| Order::PresetAmps(amps.round())),
        "chargeNowMinutes" => within(number(payload)?, 1.0, Preset::MOST_MINUTES, "minutes").map(Order::PresetMinutes),
        "schedule" => flag(payload).map(Order::Schedule),
        "scheduledAmpsMax" => amps(payload).map(Order::ScheduleAmps),
        "policy" => Ok(Order::Policy(policy(payload))),
        "startCharging" => Ok(Order::Start),
        "stopCharging" => Ok(Order::Stop),
        _ => of_evse(topic, payload),
    }
}

/// Two whole numbers, `AMPS,SECONDS`, with blanks wherever.
fn charge_now(payload: &str) -> Result<Order, String> {
    let form = || "send whole numbers AMPS,SECONDS, such as 16,5400".to_owned();
    let (amps, seconds) = payload.split_once(',').ok_or_else(form)?;
    let amps: i64 = amps.trim().parse().map_err(|_| form())?;
    let seconds: i64 = seconds.trim().parse().map_err(|_| form())?;
    if amps < 1 {
        return Err("send at least 1 A; chargeNowEnd ends Charge Now".to_owned());
    }
    let seconds = u64::try_from(seconds).map_err(|_| "send a duration that is not negative".to_owned())?;
    Ok(Order::ChargeNow { amps, seconds })
}

/// `NAME`, or `NAME,SECONDS`; nothing to let go.
fn policy(payload: &str) -> Option<(String, u64)> {
    if payload.is_empty() || payload.eq_ignore_ascii_case("auto") {
        return None;
    }
    let timed = payload.rsplit_once(',').and_then(|(name, seconds)| Some((name, seconds.trim().parse().ok()?)));
    let (name, seconds) = timed.unwrap_or((payload, HOLD_S));
    Some((name.trim().to_owned(), seconds))
}

fn of_evse(topic: &str, payload: &str) -> Result<Order, String> {
    let mut parts = topic.split('/');
    let (Some("evse"), Some(name), Some(what), None) = (parts.next(), parts.next(), parts.next(), parts.next()) else {
        return Err("there is no such command; docs/mqtt.md lists them".to_owned());
    };
    let wish = match what {
        "enabled" => Wish::Enabled(flag(payload)?),
        "priority" => {
            let rank = within(number(payload)?, -100.0, 100.0, "")?.round();
            #[expect(clippy::cast_possible_truncation, reason = "within ±100")]
            let rank = rank as i32;
            Wish::Priority(rank)
        }
        "start" => Wish::Start,
        "stop" => Wish::Stop,
        _ => return Err("a charging point takes enabled, priority, start and stop".to_owned()),
    };
    Ok(Order::Evse { name: name.to_owned(), wish })
}

/// Numbers may have a fraction: Home Assistant sends `16.0`.
fn number(payload: &str) -> Result<f64, String> {
    let number: Option<f64> = payload.parse().ok().filter(|number: &f64| number.is_finite());
    number.ok_or_else(|| "send a number".to_owned())
}

/// What the wiring allows is checked later.
fn amps(payload: &str) -> Result<f64, String> {
    within(number(payload)?, 0.0, 1000.0, "A")
}

fn within(number: f64, low: f64, high: f64, unit: &str) -> Result<f64, String> {
    let is_within = (low..=high).contains(&number);
    is_within.then_some(number).ok_or_else(|| format!("send {low} to {high} {unit}").trim_end().to_owned())
}

fn flag(payload: &str) -> Result<bool, String> {
    match payload.to_ascii_lowercase().as_str() {
        "on" | "true" | "1" | "yes" => Ok(true),
        "off" | "false" | "0" | "no" => Ok(false),
        _ => Err("send ON or OFF".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_topic_is_understood() {
        let evse = |wish| Order::Evse { name: "3A7C".to_owned(), wish };
        for (topic, payload, order) in [
            ("chargeNow", "16,5400", Order::ChargeNow { amps: 16, seconds: 5400 }),
            ("chargeNow", " 16 , 5400 ", Order::ChargeNow { amps: 16, seconds: 5400 }),
            ("chargeNowEnd", "whatever", Order::EndChargeNow),
            ("chargeNowEnd", "", Order::EndChargeNow),
            ("stop", "", Order::EndProgram),
            ("nonScheduledAmpsMax", "10", Order::FixedAmps(10.0)),
            ("nonScheduledAmpsMax", "16.0", Order::FixedAmps(16.0)),
            ("nonScheduledAction", "3", Order::Action(3)),
            ("mode", "Track surplus", Order::Mode(Mode::Surplus)),
            ("mode", "charge now", Order::Mode(Mode::ChargeNow)),
            ("chargeNowAmps", "13.6", Order::PresetAmps(14.0)),
            ("chargeNowMinutes", "90.0", Order::PresetMinutes(90.0)),
            ("schedule", "ON", Order::Schedule(true)),
            ("schedule", "false", Order::Schedule(false)),
            ("scheduledAmpsMax", "8", Order::ScheduleAmps(8.0)),
            ("policy", "", Order::Policy(None)),
            ("policy", "Charge Now", Order::Policy(Some(("Charge Now".to_owned(), 3600)))),
            ("policy", "Night, cheap", Order::Policy(Some(("Night, cheap".to_owned(), 3600)))),
            ("policy", "Night, 60", Order::Policy(Some(("Night".to_owned(), 60)))),
            ("startCharging", "PRESS", Order::Start),
            ("stopCharging", "PRESS", Order::Stop),
            ("evse/3A7C/enabled", "OFF", evse(Wish::Enabled(false))),
            ("evse/3A7C/priority", "-2.0", evse(Wish::Priority(-2))),
            ("evse/3A7C/start", "PRESS", evse(Wish::Start)),
            ("evse/3A7C/stop", "PRESS", evse(Wish::Stop)),
        ] {
            assert_eq!(parse(topic, payload), Ok(order), "{topic} {payload}");
        }
    }

    #[test]
    fn everything_else_is_refused_with_a_hint() {
        for (topic, payload, hint) in [
            ("chargeNow", "16", "AMPS,SECONDS"),
            ("chargeNow", "16.5,60", "AMPS,SECONDS"),
            ("chargeNow", "a,b", "AMPS,SECONDS"),
            ("chargeNow", "0,60", "at least 1 A"),
            ("chargeNow", "16,-1", "negative"),
            ("nonScheduledAmpsMax", "-1", "0 to 1000 A"),
            ("nonScheduledAmpsMax", "NaN", "a number"),
            ("nonScheduledAction", "4", "1 (fixed"),
            ("mode", "fast", "\"Track surplus\""),
            ("chargeNowMinutes", "0", "1 to 10080 minutes"),
            ("schedule", "maybe", "ON or OFF"),
            ("evse/3A7C/priority", "1e9", "-100 to 100"),
            ("evse/3A7C/reboot", "", "enabled, priority"),
            ("evse/3A7C", "", "no such command"),
            ("selfDestruct", "", "no such command"),
            ("", "", "no such command"),
        ] {
            let refused = parse(topic, payload).unwrap_err();
            assert!(refused.contains(hint), "{topic} {payload}: {refused}");
        }
    }
}
