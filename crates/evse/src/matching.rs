//! Which charging point a car is at, learnt from what both do at the same time.
//!
//! Where a connector tells no VIN, two things are known: what the connector sees from second to second, and what the car
//! reports now and then. Each report is held against what the connector saw around that moment, and shifts the odds:
//!
//! | seen | odds |
//! |---|---|
//! | both were plugged in within the time between two reports | + [`COINCIDENCE`], half of it when that time was long |
//! | both began or ended to draw in that time, at about the same current | + [`COINCIDENCE`] |
//! | both went to another current in that time | + [`STEP`] |
//! | the car draws and the connector does not, or the other way round | − [`CONTRADICTION`] |
//! | one was plugged in while the other had been for long | − [`CONTRADICTION`] |
//! | both draw steadily, and not alike | − half of that |
//!
//! The odds are logarithmic: their [`confidence`] runs from 0 to 1. So one coincidence is a hint, two are as good as
//! certain, and a contradiction takes back more than a coincidence gave.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::{EvseStatus, Plug};

/// Where odds begin: as likely not.
pub(crate) const PRIOR: f64 = -1.0;
/// Where a habit of many sessions leads to: likely, not certain.
const HABIT: f64 = 0.8;
/// Odds never go beyond, so that new evidence can always turn them.
const BOUND: f64 = 5.0;
const COINCIDENCE: f64 = 1.5;
const STEP: f64 = 0.8;
const CONTRADICTION: f64 = 2.5;
/// How far the time that a car gives its report may be off, and how late a connector may tell.
pub(crate) const SLACK: Duration = Duration::from_secs(45);
/// Two reports farther apart than this make a plug-in between them half as telling.
const SOON: Duration = Duration::from_secs(900);
/// What a connector saw is remembered so long.
const TRAIL: Duration = Duration::from_secs(3600);
/// Below this a car only keeps itself awake.
const NOTHING: f64 = 1.0;
/// From this on it charges.
const CHARGES: f64 = 2.0;

/// Odds as a number from 0 to 1.
pub(crate) fn confidence(odds: f64) -> f64 {
    1.0 / (1.0 + (-odds).exp())
}

/// What a charging point saw of late.
#[derive(Debug, Clone, Default)]
pub(crate) struct Trail {
    /// Amps and plug from each moment on.
    seen: VecDeque<(Instant, f64, Plug)>,
}

impl Trail {
    pub(crate) fn note(&mut self, now: Instant, status: &EvseStatus) {
        let drawn = status.drawn.map_or(0.0, units::Amps::get);
        let is_same =
            |(_, amps, plug): &(Instant, f64, Plug)| (amps - drawn).abs() < 0.5 && *plug == status.plug && *amps >= 0.0;
        if !self.seen.back().is_some_and(is_same) {
            self.seen.push_back((now, drawn, status.plug));
        }
        while self.seen.get(1).is_some_and(|(at, ..)| now.saturating_duration_since(*at) > TRAIL) {
            self.seen.pop_front();
        }
    }

    /// What held at `from` and what came until `to`; empty when it was not watched yet at `from`.
    fn during(&self, from: Instant, to: Instant) -> impl Iterator<Item = &(Instant, f64, Plug)> {
        let first = self.seen.iter().rposition(|(at, ..)| *at <= from);
        self.seen.iter().skip(first.unwrap_or(usize::MAX)).take_while(move |(at, ..)| *at <= to)
    }

    /// Least and most amps in that time.
    fn amps(&self, from: Instant, to: Instant) -> Option<(f64, f64)> {
        self.during(from, to).map(|(_, amps, _)| (*amps, *amps)).reduce(|(low, high), (amps, _)| {
            let (least, most): (f64, f64) = (low.min(amps), high.max(amps));
            (least, most)
        })
    }

    /// Whether a car was plugged in within that time; `None` when that cannot be told.
    fn was_plugged_in(&self, from: Instant, to: Instant) -> Option<bool> {
        let plugs: Vec<Plug> = self.during(from, to).map(|(_, _, plug)| *plug).collect();
        if plugs.is_empty() || plugs.contains(&Plug::Unknown) {
            return None;
        }
        Some(plugs.windows(2).any(|pair| pair == [Plug::Unplugged, Plug::PluggedIn]))
    }

    /// When the car that is there was plugged in; `None` without one, or when that was before it was watched.
    pub(crate) fn plugged_since(&self) -> Option<Instant> {
        let mut since = None;
        for (at, _, plug) in self.seen.iter().rev() {
            if *plug != Plug::PluggedIn {
                return since;
            }
            since = Some(*at);
        }
        None
    }

    /// Since when no car is there; `None` while one is or may be.
    pub(crate) fn empty_since(&self) -> Option<Instant> {
        let (at, _, plug) = self.seen.back()?;
        let mut since = *at;
        if *plug != Plug::Unplugged {
            return None;
        }
        for (at, _, plug) in self.seen.iter().rev() {
            if *plug != Plug::Unplugged {
                break;
            }
            since = *at;
        }
        Some(since)
    }
}

/// What a car said of itself at one moment.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Said {
    pub(crate) at: Instant,
    pub(crate) plug: Plug,
    /// Amps; `None` where it does not say.
    pub(crate) drawn: Option<f64>,
}

impl Said {
    pub(crate) fn of(status: &EvseStatus) -> Self {
        let drawn = match status.drawn {
            Some(amps) => Some(amps.get()),
            None if !status.is_charging() => Some(0.0),
            None => None,
        };
        Said { at: status.heard_at, plug: status.plug, drawn }
    }
}

/// How likely one car is at one charging point.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Odds {
    pub(crate) value: f64,
    /// Amps at which both were last seen alike.
    alike_at: Option<f64>,
}

impl Default for Odds {
    fn default() -> Self {
        Odds { value: PRIOR, alike_at: None }
    }
}

impl Odds {
    pub(crate) fn confidence(self) -> f64 {
        confidence(self.value)
    }

    fn add(&mut self, odds: f64) {
        self.value = (self.value + odds).clamp(-BOUND, BOUND);
    }

    /// The car or the charging point was unplugged: the next session has to show anew, from what is habit.
    pub(crate) fn rest(&mut self) {
        self.value = (self.value / 2.0).clamp(PRIOR, HABIT);
        self.alike_at = None;
    }

    /// Holds what a car said, after what it said `before`, against what the charging point saw.
    pub(crate) fn judge(&mut self, before: Option<Said>, said: Said, trail: &Trail) {
        let (from, to) = (said.at.checked_sub(SLACK).unwrap_or(said.at), said.at + SLACK);
        if let Some(before) = before {
            self.judge_plug(before, said, trail);
        }
        let (Some(amps), Some((least, most))) = (said.drawn, trail.amps(from, to)) else { return };
        let near = (amps * 0.08).max(NOTHING);
        if amps >= CHARGES {
            if most < NOTHING {
                self.alike_at = None;
                self.add(-CONTRADICTION);
            } else if amps >= least - near && amps <= most + near {
                match self.alike_at {
                    // It was seen not to draw, and then to draw alike.
                    Some(last) if last < NOTHING => self.add(COINCIDENCE),
                    Some(last) if (last - amps).abs() >= CHARGES => self.add(STEP),
                    Some(_) => {}
                    None => self.add(STEP),
                }
                self.alike_at = Some(amps);
            } else if most - least < NOTHING {
                self.add(-CONTRADICTION / 2.0);
            }
        } else if amps < NOTHING {
            if least >= CHARGES {
                self.alike_at = None;
                self.add(-CONTRADICTION);
            } else if least < NOTHING {
                if self.alike_at.is_some_and(|last| last >= CHARGES) {
                    self.add(COINCIDENCE);
                }
                self.alike_at = Some(0.0);
            }
        }
    }

    fn judge_plug(&mut self, before: Said, said: Said, trail: &Trail) {
        if said.plug != Plug::PluggedIn || before.plug == Plug::Unknown {
            return;
        }
        let was_soon = said.at.saturating_duration_since(before.at) <= SOON;
        if before.plug == Plug::PluggedIn {
            // It was plugged in all the time, so who is plugged in now is another one.
            if trail.was_plugged_in(before.at + SLACK, said.at) == Some(true) {
                self.add(-CONTRADICTION);
            }
            return;
        }
        let from = before.at.checked_sub(SLACK).unwrap_or(before.at);
        match trail.was_plugged_in(from, said.at + SLACK) {
            Some(true) if was_soon => self.add(COINCIDENCE),
            Some(true) => self.add(COINCIDENCE / 2.0),
            // A connector at which another car has been for long.
            Some(false) => self.add(-CONTRADICTION),
            None => {}
        }
    }
}
