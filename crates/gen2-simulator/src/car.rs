//! A car: how much it wants, how it follows what it is offered, and how full it is.

use std::time::{Duration, Instant};

use gen2_protocol::CentiAmps;
use units::{Amps, Percent, WattHours};

use crate::settings::{CarSettings, CarTemper};

/// Cars settle a little below their limit: 15.76 A of 16 and 11.80 A of 12 were recorded.
const SHARE_OF_LIMIT: f64 = 0.985;
/// Below this no car charges.
const LEAST_AMPS: f64 = 5.0;
/// What a stuck car draws.
const STUCK_AMPS: f64 = 5.2;
/// How long a stuck car has to be offered the threshold.
const STUCK_HOLD: Duration = Duration::from_secs(5);
/// Cars let go faster than they climb.
const FALL_AMPS_PER_SECOND: f64 = 10.0;

#[derive(Debug, Clone)]
pub(crate) struct Car {
    settings: CarSettings,
    stored: f64,
    /// What the connector signals, amps.
    signal: f64,
    /// What the car is heading for, amps.
    target: f64,
    drawn: f64,
    /// A new target, and when the car will take it up.
    pending: Option<(Instant, f64)>,
    /// Since when the offer has been high enough to free a stuck car; `None` is not stuck.
    stuck: Option<Stuck>,
    patience: u8,
    refuses: bool,
}

#[derive(Debug, Clone, Copy)]
enum Stuck {
    Waiting,
    Held { since: Instant },
}

impl Car {
    pub(crate) fn new(settings: CarSettings) -> Car {
        Car {
            stored: settings.battery.get() * settings.soc.get() / 100.0,
            signal: 0.0,
            target: 0.0,
            drawn: 0.0,
            pending: None,
            stuck: None,
            patience: settings.patience,
            refuses: settings.temper == CarTemper::Refuses,
            settings,
        }
    }

    pub(crate) fn settings(&self) -> &CarSettings {
        &self.settings
    }

    pub(crate) fn drawn(&self) -> f64 {
        self.drawn
    }

    pub(crate) fn is_tesla(&self) -> bool {
        self.settings.vin.is_some()
    }

    pub(crate) fn soc(&self) -> Percent {
        let battery = self.settings.battery.get();
        if battery <= 0.0 {
            return Percent::FULL;
        }
        Percent::new((self.stored / battery * 100.0).clamp(0.0, 100.0)).unwrap_or(Percent::FULL)
    }

    pub(crate) fn set_soc(&mut self, now: Instant, soc: Percent) {
        self.stored = self.settings.battery.get() * soc.get() / 100.0;
        self.reconsider(now);
    }

    pub(crate) fn set_charge_limit(&mut self, now: Instant, limit: Percent) {
        self.settings.charge_limit = limit;
        self.reconsider(now);
    }

    pub(crate) fn set_most(&mut self, now: Instant, most: Amps) {
        self.settings.most = most;
        self.reconsider(now);
    }

    pub(crate) fn set_temper(&mut self, now: Instant, temper: CarTemper) {
        self.settings.temper = temper;
        self.refuses = temper == CarTemper::Refuses;
        self.stuck = None;
        self.reconsider(now);
    }

    pub(crate) fn is_full(&self) -> bool {
        self.soc().get() >= self.settings.charge_limit.get()
    }

    /// Whether it would draw if it were offered enough.
    pub(crate) fn wants_to_charge(&self) -> bool {
        !self.refuses && !self.is_full()
    }

    /// Whether it has reached what it is heading for, and that is a current.
    pub(crate) fn has_settled(&self) -> bool {
        self.pending.is_none() && self.drawn > 0.0 && (self.drawn - self.target).abs() < 0.5
    }

    /// The connector signals another limit; zero is none.
    pub(crate) fn signal(&mut self, now: Instant, limit: CentiAmps, rated: CentiAmps) {
        let amps = f64::from(limit.0) / 100.0;
        let raised = amps > self.signal;
        if (amps - self.signal).abs() < 0.005 {
            return;
        }
        if self.settings.temper == CarTemper::StuckAtSixAmps {
            let threshold = if rated.0 > 3_200 { 21.0 } else { 16.0 };
            self.stuck = match self.stuck {
                _ if amps < LEAST_AMPS => None,
                _ if amps >= threshold => match self.stuck {
                    Some(Stuck::Waiting) => Some(Stuck::Held { since: now }),
                    other => other,
                },
                Some(Stuck::Held { since }) if now.duration_since(since) >= STUCK_HOLD => None,
                Some(_) => Some(Stuck::Waiting),
                None if raised && self.drawn > 0.0 => Some(Stuck::Waiting),
                None => None,
            };
        }
        self.signal = amps;
        self.reconsider(now);
    }

    /// The contactor opens: nothing flows from this moment on.
    pub(crate) fn cut_off(&mut self, now: Instant) {
        let was_drawing = self.drawn > 0.5;
        self.signal = 0.0;
        self.target = 0.0;
        self.drawn = 0.0;
        self.pending = None;
        self.stuck = None;
        if was_drawing {
            self.patience = self.patience.saturating_sub(1);
            if self.patience == 0 && self.is_tesla() {
                self.refuse();
            }
        }
        self.reconsider(now);
    }

    /// It charges no more until plugged in anew.
    pub(crate) fn refuse(&mut self) {
        self.refuses = true;
    }

    fn wish(&self) -> f64 {
        if !self.wants_to_charge() || self.signal < LEAST_AMPS {
            return 0.0;
        }
        let follows = (self.signal * SHARE_OF_LIMIT).min(self.settings.most.get());
        match self.stuck {
            Some(Stuck::Waiting) => follows.min(STUCK_AMPS),
            _ => follows,
        }
    }

    fn reconsider(&mut self, now: Instant) {
        let wish = self.wish();
        // Another change in the same direction is taken up when the first one would have been: it puts nothing off.
        if let Some((_, pending)) = &mut self.pending
            && (wish - self.target) * (*pending - self.target) > 0.0
        {
            *pending = wish;
            return;
        }
        if (wish - self.target).abs() < 0.005 {
            self.pending = None;
            return;
        }
        let delay = if self.target == 0.0 && self.drawn == 0.0 {
            self.settings.start_delay
        } else {
            match self.settings.temper {
                CarTemper::SlowToLower(delay) if wish < self.target => delay,
                _ => self.settings.reaction,
            }
        };
        self.pending = Some((now + delay, wish));
    }

    /// Lets time pass; returns the watt-hours drawn. `volts` are those of the phases it uses, added up.
    pub(crate) fn pass(&mut self, duration: Duration, volts: f64) -> WattHours {
        let seconds = duration.as_secs_f64();
        let before = self.drawn;
        let gap = self.target - self.drawn;
        let rate = if gap < 0.0 { FALL_AMPS_PER_SECOND } else { self.settings.ramp.max(0.1) };
        let moving = (gap.abs() / rate).min(seconds);
        self.drawn = if moving < seconds || gap.abs() <= rate * seconds + 1e-9 {
            self.target
        } else {
            self.drawn + gap.signum() * rate * seconds
        };
        let amp_seconds = (before + self.drawn) / 2.0 * moving + self.drawn * (seconds - moving);
        let energy = amp_seconds * volts / 3_600.0;
        self.stored = (self.stored + energy).min(self.settings.battery.get());
        WattHours::saturating(energy)
    }

    /// Takes up what is due; to be called after [`Car::pass`] has reached `now`.
    pub(crate) fn settle(&mut self, now: Instant) {
        if let Some((at, target)) = self.pending
            && at <= now
        {
            self.pending = None;
            self.target = target;
        }
        if self.is_full() && self.target > 0.0 {
            self.target = 0.0;
            self.pending = None;
        }
    }

    pub(crate) fn next_timeout(&self, now: Instant) -> Option<Instant> {
        let pending = self.pending.map(|(at, _)| at);
        let gap = self.target - self.drawn;
        if gap.abs() < 1e-6 {
            return pending;
        }
        let rate = if gap < 0.0 { FALL_AMPS_PER_SECOND } else { self.settings.ramp.max(0.1) };
        let reached = now + Duration::from_secs_f64(gap.abs() / rate) + Duration::from_micros(1);
        Some(pending.map_or(reached, |at| at.min(reached)))
    }
}
