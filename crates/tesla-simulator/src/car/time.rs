//! How a car lets time pass: from event to event, with straight lines in between.

use std::time::Duration;

use super::{Car, Charge, Sleep, Trip};

/// How fast the draw climbs and falls, amps per second.
const CLIMB: f64 = 4.0;
const FALL: f64 = 8.0;
/// Less than this is nothing.
const NEGLIGIBLE_AMPS: f64 = 1e-6;
/// Less than this to the limit is full.
const NEGLIGIBLE_WATT_HOURS: f64 = 0.01;
/// The least step, so that rounding never holds time up.
const LEAST_STEP: Duration = Duration::from_millis(1);
const DAY: u64 = 24 * 3600;

impl Car {
    /// Lets time pass up to `now`. An earlier moment changes nothing.
    pub fn pass_to(&mut self, now: Duration) {
        self.settle();
        while self.now < now {
            let least = self.now + LEAST_STEP;
            let next = self.next_event().map_or(now, |at| at.max(least).min(now));
            self.integrate((next - self.now).as_secs_f64());
            self.now = next;
            self.settle();
        }
    }

    /// When something will happen by itself.
    #[must_use]
    pub fn next_event(&self) -> Option<Duration> {
        let starting = match self.charge {
            Charge::Starting { until } => Some(until),
            _ => None,
        };
        let gap = self.target - self.drawn;
        let ramp = (gap.abs() > NEGLIGIBLE_AMPS).then(|| self.now + seconds(gap.abs() / rate(gap)));
        let power = self.drawn * self.volts_of_all_phases() * self.quirks.efficiency.get() / 100.0;
        let missing = self.battery * self.limit / 100.0 - self.stored;
        let full = (power > 1.0 && missing > 0.0 && self.charge == Charge::Charging)
            .then(|| self.now + seconds(missing / power * 3600.0));
        let sleep = match self.sleep {
            Sleep::Awake { last_use, .. } if !self.is_busy() => Some(last_use + self.quirks.sleeps_after),
            Sleep::Waking { until } => Some(until),
            _ => None,
        };
        let reaction = self.reaction.map(|(at, _)| at);
        let arrival = self.trip.map(|trip| trip.ends);
        [starting, ramp, full, sleep, reaction, arrival, self.waits_until].into_iter().flatten().min()
    }

    /// Whether it is kept awake by what it does.
    pub(super) fn is_busy(&self) -> bool {
        self.trip.is_some()
            || self.drawn > NEGLIGIBLE_AMPS
            || matches!(self.charge, Charge::Charging | Charge::Starting { .. })
    }

    /// Takes up what is due now.
    pub(super) fn settle(&mut self) {
        self.settle_trip();
        self.settle_schedule();
        self.settle_charge();
        self.settle_draw();
        self.settle_sleep();
    }

    /// The next time of its timer, if it has one.
    pub(super) fn next_scheduled(&self) -> Option<Duration> {
        let minutes = self.schedule?;
        let wall = self.unix_start + self.now.as_secs();
        let start = wall / DAY * DAY + u64::from(minutes) * 60;
        let start = if start > wall { start } else { start + DAY };
        Some(Duration::from_secs(start - self.unix_start))
    }

    fn settle_trip(&mut self) {
        let Some(Trip { to, began, ends, stored_before, uses, .. }) = self.trip else { return };
        let share = (self.now - began).as_secs_f64() / (ends - began).as_secs_f64();
        self.stored = (stored_before - uses * share.min(1.0)).max(0.0);
        if self.now >= ends {
            self.place = to;
            self.trip = None;
        }
        self.disturb();
    }

    fn settle_schedule(&mut self) {
        if self.waits_until.is_some_and(|at| at <= self.now) {
            self.waits_until = None;
            self.is_enabled = true;
            self.disturb();
        }
    }

    fn settle_charge(&mut self) {
        let is_full = self.stored >= self.battery * self.limit / 100.0 - NEGLIGIBLE_WATT_HOURS;
        let Some(supply) = self.supply else {
            self.charge = Charge::Disconnected;
            return;
        };
        self.charge = if supply.offered < 1.0 {
            Charge::NoPower
        } else if !self.is_enabled || (self.waits_until.is_some() && !is_full) {
            Charge::Stopped
        } else if is_full {
            Charge::Complete
        } else {
            match self.charge {
                Charge::Complete if !self.quirks.restarts_when_limit_rises => Charge::Complete,
                Charge::Charging => Charge::Charging,
                Charge::Starting { until } if until <= self.now => {
                    self.starts.push(self.now);
                    Charge::Charging
                }
                Charge::Starting { until } => Charge::Starting { until },
                _ => {
                    self.disturb();
                    Charge::Starting { until: self.now + self.quirks.start_takes }
                }
            }
        };
    }

    fn settle_draw(&mut self) {
        let wish = match (self.charge, self.supply) {
            (Charge::Charging, Some(supply)) if supply.is_direct => supply.offered,
            (Charge::Charging, Some(supply)) => self.set.min(supply.offered).min(self.most).max(0.0),
            (Charge::Disconnected | Charge::NoPower, _) => {
                self.drawn = 0.0;
                0.0
            }
            _ => 0.0,
        };
        if let Some((at, target)) = self.reaction
            && at <= self.now
        {
            self.target = target;
            self.reaction = None;
        }
        if self.charge != Charge::Charging {
            self.target = 0.0;
            self.reaction = None;
        } else if (wish - self.reaction.map_or(self.target, |(_, target)| target)).abs() > NEGLIGIBLE_AMPS {
            // A further change is taken up when the first would have been.
            let at = self.reaction.map_or(self.now + self.quirks.reaction, |(at, _)| at);
            self.reaction = Some((at, wish));
        }
    }

    fn settle_sleep(&mut self) {
        match self.sleep {
            Sleep::Waking { until } if until <= self.now => {
                self.sleep = Sleep::Awake { since: self.now, last_use: self.now };
            }
            Sleep::Awake { since, .. } if self.is_busy() => {
                self.sleep = Sleep::Awake { since, last_use: self.now };
            }
            Sleep::Awake { last_use, .. } if last_use + self.quirks.sleeps_after <= self.now => {
                self.sleep = Sleep::Asleep;
            }
            _ => {}
        }
    }

    fn integrate(&mut self, duration: f64) {
        let before = self.drawn;
        let gap = self.target - self.drawn;
        let moving = (gap.abs() / rate(gap)).min(duration);
        self.drawn = if moving < duration { self.target } else { self.drawn + gap.signum() * rate(gap) * moving };
        if (self.target - self.drawn).abs() <= NEGLIGIBLE_AMPS {
            self.drawn = self.target;
        }
        let amp_seconds = (before + self.drawn) / 2.0 * moving + self.drawn * (duration - moving);
        let energy = amp_seconds * self.volts_of_all_phases() / 3600.0;
        let stored = energy * self.quirks.efficiency.get() / 100.0;
        self.from_wall += energy;
        self.added += stored;
        self.stored = (self.stored + stored).min(self.battery);
    }
}

fn rate(gap: f64) -> f64 {
    if gap < 0.0 { FALL } else { CLIMB }
}

/// Rounded up a little, so that what is computed to happen has happened.
fn seconds(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds.max(0.0)).unwrap_or(Duration::from_secs(10 * 365 * DAY))
        + Duration::from_micros(1)
}
