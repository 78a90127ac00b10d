//! The sentences that people read, in one place.

use allocator::{Binding, Limit, PowerSource, Unserved};
use evse::{Activity, EvseLimits, EvseStatus, Link, Plug};
use policy::{Ask, Because, Judgement, Now};
use units::{Amps, Watts};

use crate::green::Wait;
use crate::point::Point;
use crate::sources::HoldBack;
use crate::surplus::NoSurplus;
use crate::terms::Bar;
use crate::{Permission, PermittedBy, ReasonView};

/// Circuits by which the site bounds its charging points; their names tell what bounds.
pub(crate) const WIRING: &str = "wiring";
pub(crate) const GRID: &str = "grid limit";
pub(crate) const FUSE: &str = "main fuse";
pub(crate) const RULE: &str = "rule";

/// `1,240 W`, `12.4 kW`.
pub(crate) fn watts(watts: f64) -> String {
    let rounded = watts.round();
    if rounded.abs() >= 10_000.0 {
        return format!("{:.1} kW", rounded / 1000.0);
    }
    if rounded.abs() >= 1000.0 {
        let sign = if rounded < 0.0 { "-" } else { "" };
        let rounded = rounded.abs();
        return format!("{sign}{:.0},{:03.0} W", (rounded / 1000.0).floor(), rounded % 1000.0);
    }
    format!("{:.0} W", if rounded == 0.0 { 0.0 } else { rounded })
}

/// `2.1 kW`.
pub(crate) fn kilowatts(watts: f64) -> String {
    if watts.abs() < 950.0 { self::watts(watts) } else { format!("{:.1} kW", watts / 1000.0) }
}

/// `9 A`, `9.5 A`.
pub(crate) fn amps(amps: f64) -> String {
    let rounded = (amps * 10.0).round() / 10.0;
    if (rounded - rounded.round()).abs() < 0.05 { format!("{rounded:.0} A") } else { format!("{rounded:.1} A") }
}

fn clock(now: &Now, epoch: f64) -> String {
    // Seconds of a wall clock, far inside the type.
    #[allow(clippy::cast_possible_truncation)]
    let at = jiff::Timestamp::from_second(epoch as i64).map(|at| at.to_zoned(now.wall.time_zone().clone()));
    match at {
        Ok(at) if at.date() == now.wall.date() => at.strftime("%H:%M").to_string(),
        Ok(at) => at.strftime("%A %H:%M").to_string(),
        Err(_) => "later".to_owned(),
    }
}

fn moment(now: &Now, at: std::time::Instant) -> String {
    let seconds = at.saturating_duration_since(now.mono).as_secs_f64();
    if seconds < 120.0 {
        format!("in {:.0} s", seconds.max(1.0))
    } else {
        format!("at {}", clock(now, now.epoch_of(at)))
    }
}

/// What the site as a whole is up to; the context of every charging point's sentence.
#[derive(Debug, Clone)]
pub(crate) struct Context<'a> {
    pub(crate) now: &'a Now,
    pub(crate) judged: Option<&'a Judgement>,
    /// The source that says so, when the house is cut off from the grid and nothing is offered for that.
    pub(crate) off_grid: Option<&'a str>,
    /// Apparent watts of surplus acted on, or why there is none.
    pub(crate) surplus: &'a Result<f64, NoSurplus>,
    pub(crate) charge_now_until: f64,
    pub(crate) schedule_until: Option<f64>,
    /// Running cars are kept although the surplus is too small, until then.
    pub(crate) held_until: Option<std::time::Instant>,
    pub(crate) has_fail_safe: bool,
    pub(crate) headroom: Option<Amps>,
}

pub(crate) fn no_surplus(why: &NoSurplus) -> String {
    match why {
        NoSurplus::NoSource => {
            "no energy source is configured: add one under `sources`, or choose a fixed rate".to_owned()
        }
        NoSurplus::Awaiting(what) => format!("no source has told the {what} yet"),
        NoSurplus::Stale(what) => format!("the readings of {what} are too old"),
        NoSurplus::HeldBack(HoldBack::Reserved(source)) => {
            format!("the battery of {source} is below the level set for it (`minBatteryLevel`) and comes first")
        }
        NoSurplus::HeldBack(HoldBack::OffGrid(source)) => off_grid(source),
    }
}

fn off_grid(source: &str) -> String {
    format!("the house is cut off from the grid, as {source} tells, and lives on its battery")
}

/// A stable word for why there is no surplus.
fn no_surplus_code(why: &NoSurplus) -> &'static str {
    match why {
        NoSurplus::HeldBack(HoldBack::Reserved(_)) => "battery_reserved",
        NoSurplus::HeldBack(HoldBack::OffGrid(_)) => "off_grid",
        _ => "surplus_unknown",
    }
}

/// What the policy in force does and why, as a sentence.
pub(crate) fn policy(context: &Context<'_>) -> String {
    let Some(judged) = context.judged else {
        return "No policy's conditions hold yet, so nothing is offered.".to_owned();
    };
    let mut text = match (judged.kind, judged.ask) {
        (_, Ask::Unknown) => {
            format!("\"{}\" asks for an amount that nobody can tell now, so nothing is offered", judged.name)
        }
        (_, Ask::Surplus) => match context.surplus {
            Ok(surplus) => format!("Follows the surplus: {} for cars", watts(surplus.max(0.0))),
            Err(why) => format!("Follows the surplus, but {}: nothing is offered", no_surplus(why)),
        },
        (_, Ask::Amps(rate)) if rate > 0.0 && context.off_grid.is_some() => {
            let why = context.off_grid.map_or_else(String::new, off_grid);
            format!("\"{}\" would give {}, but {why}: nothing is offered", judged.name, amps(rate))
        }
        // Held by somebody, without an amount.
        ("charge_now", Ask::Amps(rate)) if rate <= 0.0 => {
            "Charge Now holds, but has no current, so nothing is offered; set one with Charge Now itself".to_owned()
        }
        ("charge_now", Ask::Amps(rate)) => {
            format!("Charges with {} until {}", amps(rate), clock(context.now, context.charge_now_until))
        }
        ("scheduled", Ask::Amps(rate)) => match context.schedule_until {
            Some(until) => format!("Charges by the schedule with {} until {}", amps(rate), clock(context.now, until)),
            None => format!("Charges by the schedule with {}", amps(rate)),
        },
        (_, Ask::Amps(rate)) if rate > 0.0 => format!("\"{}\" allows {} for all cars", judged.name, amps(rate)),
        ("non_scheduled", Ask::Amps(_)) => "Outside the schedule nothing is charged".to_owned(),
        (_, Ask::Amps(_)) => format!("\"{}\" offers nothing", judged.name),
    };
    match judged.because {
        Because::Conditions => {}
        Because::Latch => text.push_str(" (kept a while after its conditions held)"),
        Because::Held => text.push_str(" (somebody asked for it)"),
        Because::NothingElse => text.push_str(" (no policy's conditions hold; it was the last)"),
    }
    text.push('.');
    text
}

/// What gives a charging point its power, as the second half of a sentence.
fn giver(context: &Context<'_>) -> (&'static str, String) {
    match context.judged {
        Some(judged) => match judged.ask {
            Ask::Surplus if context.held_until.is_some() => {
                let until = context.held_until.map_or_else(String::new, |at| format!(" {}", moment(context.now, at)));
                ("held", format!("the surplus is short, charging ends{until} unless it returns"))
            }
            Ask::Surplus => match context.surplus {
                Ok(surplus) => ("surplus", format!("the sun leaves {} for cars", kilowatts(*surplus))),
                Err(why) => (no_surplus_code(why), no_surplus(why)),
            },
            Ask::Amps(rate) => {
                if let Some(source) = context.off_grid {
                    return ("off_grid", off_grid(source));
                }
                let code = judged.kind;
                match code {
                    "charge_now" => (code, format!("Charge Now gives {}", amps(rate))),
                    "scheduled" => (code, format!("the schedule gives {}", amps(rate))),
                    "non_scheduled" if rate <= 0.0 => (code, "outside the schedule nothing is charged".to_owned()),
                    "non_scheduled" => (code, format!("{} are set outside the schedule", amps(rate))),
                    _ => (code, format!("\"{}\" gives {}", judged.name, amps(rate))),
                }
            }
            Ask::Unknown => ("policy_unknown", format!("the amount of \"{}\" cannot be told now", judged.name)),
        },
        None => ("no_policy", "no policy is in force yet".to_owned()),
    }
}

fn circuit_words(context: &Context<'_>, circuit: &str) -> Option<(&'static str, String)> {
    let left = context.headroom.map_or_else(String::new, |left| format!(" leaves {} for cars", amps(left.get())));
    match circuit {
        WIRING => Some(("wiring", "the wiring that all share (`wiringMaxAmpsAllTWCs`) carries no more".to_owned())),
        GRID => Some(("grid_limit", format!("the grid limit (`maxAmpsAllowedFromGrid`){left}"))),
        FUSE => Some(("main_fuse", format!("the main fuse (`gridFuseAmpsPerPhase`){left}"))),
        _ => None,
    }
}

/// Why a charging point's offer is what it is.
pub(crate) fn reason(context: &Context<'_>, limits: &EvseLimits, point: &Point) -> ReasonView {
    let (bound_by, wait) = (&point.bound_by, point.wait);
    let view = |(code, text): (&'static str, String)| ReasonView { code, text };
    let limit_words = |limit: &Limit| match limit {
        Limit::Circuit { circuit, .. } => circuit_words(context, circuit.as_str()).unwrap_or_else(|| giver(context)),
        Limit::Site(PowerSource::Surplus | PowerSource::Policy) => giver(context),
        Limit::OwnMaximum if context.has_fail_safe => (
            "fail_safe",
            format!(
                "readings that a limit needs are missing, so each car gets {} (`failSafeAmps`)",
                amps(limits.max.get())
            ),
        ),
        Limit::OwnMaximum => ("own_maximum", format!("{} is the most here", amps(limits.max.get()))),
        other => (other.code(), other.to_string()),
    };
    let is_refused = matches!(bound_by, Binding::Unserved(Unserved::NotAllowed));
    if let Some(bar) = point.terms.bar.filter(|_| is_refused && point.is_enabled) {
        return view(bar_words(bar));
    }
    if point.terms.is_first && point.target > Watts::ZERO && is_given_by_rule(bound_by) {
        return view(first_words(point));
    }
    if let Some(wait) = wait
        && is_refused
    {
        return view(wait_words(context, limits, wait));
    }
    view(match bound_by {
        Binding::Limit(limit) => limit_words(limit),
        Binding::LeastUntilDrawn => {
            ("least_until_drawn", "the least is offered until a car shows that it wants power".to_owned())
        }
        Binding::MinimumNotReached(limit) => {
            let (code, text) = limit_words(limit);
            let is_surplus = context.judged.is_some_and(|judged| judged.ask == Ask::Surplus) && code == "surplus";
            match context.surplus {
                Ok(surplus) if is_surplus => short(*surplus, limits.min_power(), limits.min),
                _ => (code, format!("{text}, {} needed", amps(limits.min.get()))),
            }
        }
        Binding::WaitingForTurn(limit) => {
            let (_, text) = limit_words(limit);
            ("waiting_for_turn", format!("{text}, which is not enough for every car at once; this one takes its turn"))
        }
        Binding::Resting { until } => {
            ("resting", format!("it stopped a moment ago and may start again {}", moment(context.now, *until)))
        }
        Binding::Unserved(why) => (why.code(), unserved(*why)),
        other => (other.code(), other.to_string()),
    })
}

/// Whether the rule in force is what bounds, not a fuse or a wire.
fn is_given_by_rule(bound_by: &Binding) -> bool {
    match bound_by {
        Binding::Limit(Limit::Site(_)) => true,
        Binding::Limit(Limit::Circuit { circuit, .. }) => circuit.as_str() == RULE,
        _ => false,
    }
}

fn bar_words(bar: Bar) -> (&'static str, String) {
    let text = match bar {
        Bar::OnlyGreen => return ("only_green", "this car is charged from surplus only".to_owned()),
        Bar::Denied(PermittedBy::Car) => "this car is not to be charged, as its options say",
        Bar::Denied(PermittedBy::DenyGroup) => "this car is in the group \"Deny Charging\"",
        Bar::Denied(PermittedBy::AllowGroup) => "only cars in the group \"Allow Charging\" are charged",
        Bar::Denied(PermittedBy::Guests | PermittedBy::Nothing) => {
            "cars that are not known are not charged (`guestPermission`)"
        }
    };
    ("car_not_permitted", text.to_owned())
}

/// Why a car has its permission, for people.
pub(crate) fn permission(permission: Permission, by: PermittedBy) -> String {
    let what = match permission {
        Permission::Allow => "may charge",
        Permission::Deny => "may not charge",
        Permission::Green => "may charge from surplus only",
    };
    let why = match by {
        PermittedBy::Nothing => return format!("It {what}."),
        PermittedBy::Car => "as set for this car",
        PermittedBy::DenyGroup => "as a member of \"Deny Charging\"",
        PermittedBy::AllowGroup if permission == Permission::Allow => "as a member of \"Allow Charging\"",
        PermittedBy::AllowGroup => "since only members of \"Allow Charging\" may",
        PermittedBy::Guests => "as set for guests",
    };
    format!("It {what}, {why}.")
}

fn first_words(point: &Point) -> (&'static str, String) {
    let least = point.terms.min_soc.unwrap_or(0.0);
    let has = crate::terms::soc(&point.status);
    ("min_soc", format!("its battery has {has:.0} % and is first brought to {least:.0} %"))
}

fn short(surplus: f64, needed: Watts, least: Amps) -> (&'static str, String) {
    let have = if surplus < 0.0 { "no surplus".to_owned() } else { format!("{} of surplus", watts(surplus)) };
    ("surplus_short", format!("{have}, {} needed for {}", watts(needed.get()), amps(least.get())))
}

fn wait_words(context: &Context<'_>, limits: &EvseLimits, wait: Wait) -> (&'static str, String) {
    match wait {
        Wait::Short { needed } => match context.surplus {
            Ok(surplus) if needed <= limits.min_power().get() + 0.5 => short(*surplus, limits.min_power(), limits.min),
            Ok(surplus) => (
                "surplus_short",
                format!("{} of surplus, {} needed for one more car", watts(surplus.max(0.0)), watts(needed)),
            ),
            Err(why) => (no_surplus_code(why), no_surplus(why)),
        },
        Wait::OnlyForFirst => {
            let (code, text) = giver(context);
            (code, format!("{text}, {} needed", amps(limits.min.get())))
        }
        Wait::Settling { until } => (
            "surplus_settling",
            format!("the surplus is enough; charging starts {} if it stays", moment(context.now, until)),
        ),
        Wait::Resting { until } => {
            ("resting", format!("it stopped a moment ago and may start again {}", moment(context.now, until)))
        }
        Wait::TooOften { until } => (
            "too_many_starts",
            format!("the surplus came and went too often; the next start is possible {}", moment(context.now, until)),
        ),
    }
}

fn unserved(why: Unserved) -> String {
    match why {
        Unserved::NotAllowed => "it is switched off on the page".to_owned(),
        other => {
            let sentence = Binding::Unserved(other).to_string();
            let mut letters = sentence.trim_end_matches('.').chars();
            letters.next().map_or_else(String::new, |first| first.to_lowercase().chain(letters).collect())
        }
    }
}

/// State and reason of a charging point in one plain sentence.
pub(crate) fn evse(now: &Now, status: &EvseStatus, target: Watts, reason: &ReasonView) -> String {
    let note = |text: String| match &status.note {
        Some(note) => format!("{text} {note}"),
        None => text,
    };
    if status.link == Link::Lost {
        let age = status.age(now.mono).as_secs();
        return note(format!("Does not answer for {age} s; what it may still draw is reckoned with."));
    }
    let drawn = status.drawn.map_or(0.0, Amps::get);
    note(match status.activity {
        Activity::Faulted => "Reports a fault and is not started.".to_owned(),
        Activity::Charging if target > Watts::ZERO => format!("Charging with {}: {}.", amps(drawn), reason.text),
        Activity::Charging => format!("Still drawing {}, to be stopped: {}.", amps(drawn), reason.text),
        _ if status.plug == Plug::Unplugged => "No car is plugged in.".to_owned(),
        Activity::Declined => {
            "The car does not want power now: it is full, was stopped, or waits for its own timer.".to_owned()
        }
        _ if target > Watts::ZERO => {
            let offered = target.amps_floor(status.limits.volts, status.limits.phases);
            format!("Offered {}, and the car has not taken it up yet: {}.", amps(offered.get()), reason.text)
        }
        _ => format!("Waiting: {}.", reason.text),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_for_people() {
        assert_eq!(watts(1240.4), "1,240 W");
        assert_eq!(watts(-2045.0), "-2,045 W");
        assert_eq!(watts(-0.3), "0 W");
        assert_eq!(watts(12_440.0), "12.4 kW");
        assert_eq!(kilowatts(2100.0), "2.1 kW");
        assert_eq!((amps(9.0), amps(9.46)), ("9 A".to_owned(), "9.5 A".to_owned()));
    }
}
