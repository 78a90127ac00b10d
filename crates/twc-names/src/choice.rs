//! What a person can choose, as it stands in the settings.

use serde_json::Value;
use site::{SiteView, Snapshot};

/// How fast to charge, as one choice of four.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// At a fixed current for a while, before everything else.
    ChargeNow,
    /// Outside the schedule: from the surplus.
    Surplus,
    /// Outside the schedule: at a fixed current.
    Fixed,
    /// Outside the schedule: not at all.
    Off,
}

impl Mode {
    /// All, in the order of a list to choose from.
    pub const ALL: [Mode; 4] = [Mode::Surplus, Mode::Fixed, Mode::ChargeNow, Mode::Off];

    /// As people read it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Mode::ChargeNow => "Charge now",
            Mode::Surplus => "Track surplus",
            Mode::Fixed => "Fixed current",
            Mode::Off => "Do not charge",
        }
    }

    /// From its word, in any letter case.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Mode> {
        Mode::ALL.into_iter().find(|mode| mode.word().eq_ignore_ascii_case(word.trim()))
    }

    /// Its number as `nonScheduledAction`; Charge Now has none.
    #[must_use]
    pub const fn action(self) -> Option<i64> {
        match self {
            Mode::ChargeNow => None,
            Mode::Fixed => Some(1),
            Mode::Off => Some(2),
            Mode::Surplus => Some(3),
        }
    }

    /// What is chosen now. Nobody having chosen works like a fixed current.
    #[must_use]
    pub fn of(snapshot: &Snapshot, settings: &Value) -> Mode {
        if snapshot.charge_now.is_some() {
            return Mode::ChargeNow;
        }
        match setting(settings, "nonScheduledAction") {
            Some(2.0) => Mode::Off,
            Some(3.0) => Mode::Surplus,
            _ => Mode::Fixed,
        }
    }
}

/// Current and duration that a button for Charge Now uses.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Preset {
    /// Amps per phase for all charging points together.
    pub amps: f64,
    /// Minutes.
    pub minutes: f64,
}

impl Preset {
    /// The setting that keeps the current.
    pub const AMPS: &str = "chargeNowPresetAmps";
    /// The setting that keeps the duration.
    pub const MINUTES: &str = "chargeNowPresetMinutes";
    /// Until somebody chose: what the wiring allows, for an hour.
    const DEFAULT_MINUTES: f64 = 60.0;
    /// Longest Charge Now, a week.
    pub const MOST_MINUTES: f64 = 10_080.0;

    /// What is chosen.
    #[must_use]
    pub fn of(settings: &Value, site: &SiteView) -> Preset {
        let most = most_amps(site);
        Preset {
            amps: setting(settings, Self::AMPS).filter(|amps| *amps >= 1.0).unwrap_or(most).min(most),
            minutes: setting(settings, Self::MINUTES)
                .filter(|minutes| (1.0..=Self::MOST_MINUTES).contains(minutes))
                .unwrap_or(Self::DEFAULT_MINUTES),
        }
    }
}

fn most_amps(site: &SiteView) -> f64 {
    site.max_amps_all.floor().max(1.0)
}

/// The schedule as something to switch on and off. Its current is kept elsewhere while it is off.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ScheduleSwitch {
    /// Whether it is on.
    pub is_on: bool,
    /// Whether times and days are set, so that it can be on.
    pub has_times: bool,
    /// Its current when it is on.
    pub amps: f64,
}

impl ScheduleSwitch {
    /// The setting that acts.
    pub const AMPS: &str = "scheduledAmpsMax";
    /// The setting that keeps the current meanwhile.
    pub const AMPS_WHILE_OFF: &str = "scheduledAmpsMaxWhileOff";

    /// How it stands.
    #[must_use]
    pub fn of(settings: &Value, site: &SiteView) -> ScheduleSwitch {
        let number = |key| setting(settings, key);
        let per_day = settings.pointer("/Schedule/Settings/schedulePerDay").and_then(number_of) == Some(1.0);
        let hour = |key| number(key).is_some_and(|hour| hour >= 0.0);
        let days = number("scheduledAmpsDaysBitmap").is_none_or(|days| days > 0.0);
        let has_times = per_day || (hour("scheduledAmpsStartHour") && hour("scheduledAmpsEndHour") && days);
        let acting = number(Self::AMPS).filter(|amps| *amps > 0.0);
        let kept = number(Self::AMPS_WHILE_OFF).filter(|amps| *amps > 0.0);
        ScheduleSwitch {
            is_on: acting.is_some() && has_times,
            has_times,
            amps: acting.or(kept).unwrap_or_else(|| most_amps(site)),
        }
    }
}

/// A setting as a number; old files keep some as text.
#[must_use]
pub fn setting(settings: &Value, key: &str) -> Option<f64> {
    settings.get(key).and_then(number_of)
}

fn number_of(value: &Value) -> Option<f64> {
    match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.trim().parse().ok().filter(|number: &f64| number.is_finite()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn words_are_found_again() {
        for mode in Mode::ALL {
            assert_eq!(Mode::from_word(&mode.word().to_uppercase()), Some(mode));
        }
        assert_eq!(Mode::from_word("full speed"), None);
    }

    #[test]
    fn a_schedule_is_on_when_it_has_current_and_times() {
        let site = SiteView { max_amps_all: 32.0, ..SiteView::default() };
        let of = |settings: Value| {
            let switch = ScheduleSwitch::of(&settings, &site);
            (switch.is_on, switch.has_times, switch.amps)
        };
        assert_eq!(of(json!({})), (false, false, 32.0));
        let times = json!({"scheduledAmpsMax": "16", "scheduledAmpsStartHour": 22, "scheduledAmpsEndHour": 6});
        assert_eq!(of(times), (true, true, 16.0));
        let off = json!({"scheduledAmpsMax": 0, "scheduledAmpsMaxWhileOff": 10, "scheduledAmpsStartHour": 22,
            "scheduledAmpsEndHour": 6});
        assert_eq!(of(off), (false, true, 10.0));
    }

    #[test]
    fn a_preset_stays_within_the_wiring() {
        let site = SiteView { max_amps_all: 20.0, ..SiteView::default() };
        assert_eq!(Preset::of(&json!({}), &site), Preset { amps: 20.0, minutes: 60.0 });
        let settings = json!({"chargeNowPresetAmps": 32, "chargeNowPresetMinutes": 90});
        assert_eq!(Preset::of(&settings, &site), Preset { amps: 20.0, minutes: 90.0 });
    }
}
