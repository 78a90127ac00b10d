//! Charging sessions: from plug-in or first draw to the end, with the energy.

use std::time::{Duration, Instant};

use evse::{EvseId, EvseStatus, Plug};
use policy::Now;
use units::{WattHours, Watts};

use crate::SessionEvent;

/// Draw that counts as charging; below it a car only keeps itself awake.
const CHARGING_AMPS: f64 = 1.0;
/// Where it cannot be told whether a car is plugged in, so long without current ends a session.
const LONGEST_PAUSE: Duration = Duration::from_secs(15 * 60);
/// While current flows the journal hears this often.
const PROGRESS: Duration = Duration::from_secs(5);
/// A longer gap between two statuses is not bridged with the power before it.
const LONGEST_GAP: f64 = 120.0;
/// Coarsest counter: whole kilowatt-hours. What we integrate is held within one step of what it shows.
const COUNTER_STEP: f64 = 1000.0;

/// A session in progress.
#[derive(Debug, Clone)]
pub(crate) struct Session {
    pub(crate) id: String,
    pub(crate) vin: Option<String>,
    /// The VIN was learnt from how the car behaves, so it may turn out to be another one.
    is_guess: bool,
    pub(crate) started_at: f64,
    /// Reckoned from power and time.
    integrated: f64,
    pub(crate) charging_s: f64,
    counter_start: Option<WattHours>,
    counter: Option<WattHours>,
    last_drawn: Option<(Instant, f64)>,
    /// The power now is reckoned from what was last told, so the counter is as old as that.
    is_rough: bool,
    told: Option<Instant>,
}

/// What a new status did to the sessions of a charging point.
pub(crate) enum Turn {
    /// Nothing to write down.
    Quiet,
    /// One began, went on or ended.
    Tell(SessionEvent),
    /// One ended and another began.
    Change(SessionEvent, SessionEvent),
}

pub(crate) fn is_drawing(status: &EvseStatus) -> bool {
    status.is_charging() || status.drawn.is_some_and(|drawn| drawn.get() >= CHARGING_AMPS)
}

impl Session {
    pub(crate) fn begin(now: &Now, status: &EvseStatus) -> Self {
        let started_at = now.epoch();
        Session {
            // A charging point cannot begin two sessions in one millisecond.
            id: format!("{:.0}-{}", started_at * 1000.0, status.id),
            vin: status.vin.as_ref().map(ToString::to_string),
            is_guess: false,
            started_at,
            integrated: 0.0,
            charging_s: 0.0,
            counter_start: status.energy_total,
            counter: status.energy_total,
            last_drawn: None,
            is_rough: status.is_estimate,
            told: None,
        }
    }

    pub(crate) fn resume(event: &SessionEvent, now: Instant) -> Self {
        Session {
            id: event.id.clone(),
            vin: event.vin.clone(),
            is_guess: false,
            started_at: event.started_at,
            integrated: event.energy.get(),
            charging_s: event.charging_s,
            counter_start: event.counter_start,
            counter: event.counter,
            // It gets the usual time to show that it goes on.
            last_drawn: Some((now, event.updated_at)),
            is_rough: false,
            told: None,
        }
    }

    /// Time passed with the power that was drawn before `now`.
    fn integrate(&mut self, seconds: f64, power: Watts, was_drawing: bool) {
        let seconds = seconds.clamp(0.0, LONGEST_GAP);
        self.integrated += power.for_seconds(seconds).get().max(0.0);
        if was_drawing {
            self.charging_s += seconds;
        }
        if let (Some(start), Some(counter)) = (self.counter_start, self.counter) {
            let counted = counter.get() - start.get();
            if counted >= 0.0 {
                self.integrated = self.integrated.clamp((counted - COUNTER_STEP).max(0.0), counted + COUNTER_STEP);
            }
        }
    }

    pub(crate) fn energy(&self) -> WattHours {
        WattHours::saturating(self.integrated)
    }

    /// Without a counter of the device all of it is reckoned from current and voltage; between two reports of a car, a part.
    pub(crate) fn is_estimate(&self) -> bool {
        self.is_rough || self.counter_start.is_none() || self.counter.is_none()
    }

    pub(crate) fn event(&self, evse: &EvseId, now: &Now, ended_at: Option<f64>) -> SessionEvent {
        SessionEvent {
            id: self.id.clone(),
            evse: evse.clone(),
            vin: self.vin.clone(),
            started_at: self.started_at,
            ended_at,
            updated_at: now.epoch(),
            energy: self.energy(),
            is_estimate: self.is_estimate(),
            charging_s: self.charging_s,
            counter_start: self.counter_start,
            counter: self.counter,
        }
    }
}

/// Takes a new status into the session of a charging point, `elapsed` seconds after the one `before`.
pub(crate) fn step(
    session: &mut Option<Session>,
    now: &Now,
    before: Option<(&EvseStatus, f64)>,
    status: &EvseStatus,
    is_guess: bool,
) -> Turn {
    let vin = status.vin.as_ref().map(ToString::to_string);
    let drawing = is_drawing(status);
    if let Some(current) = session.as_mut() {
        if matches!((current.counter, status.energy_total), (Some(last), Some(new)) if new < last) {
            // It began anew, as that of a car does with the program: from here on power and time are all there is.
            current.counter_start = None;
        }
        current.counter = status.energy_total.or(current.counter);
        current.is_rough = status.is_estimate;
        if current.counter_start.is_none() && current.integrated < 1.0 {
            current.counter_start = status.energy_total;
        }
        if let Some((before, elapsed)) = before {
            current.integrate(elapsed, before.power.unwrap_or(Watts::ZERO), is_drawing(before));
        }
        if drawing {
            current.last_drawn = Some((now.mono, now.epoch()));
        }
        // A guess that changes is the same car all the time.
        let is_sure = !(is_guess || current.is_guess);
        let another_car = is_sure && matches!((&current.vin, &vin), (Some(old), Some(new)) if old != new);
        let paused = current.last_drawn.is_none_or(|(at, _)| now.mono.saturating_duration_since(at) > LONGEST_PAUSE);
        let over = status.plug == Plug::Unplugged || (status.plug == Plug::Unknown && paused);
        if !over && !another_car {
            current.is_guess = if vin.is_some() { is_guess } else { current.is_guess };
            current.vin = vin.or_else(|| current.vin.take());
            let due = current.told.is_none_or(|at| now.mono.saturating_duration_since(at) >= PROGRESS);
            if !(due && drawing) {
                return Turn::Quiet;
            }
            current.told = Some(now.mono);
            return Turn::Tell(current.event(&status.id, now, None));
        }
        let ended_at = match (status.plug, current.last_drawn) {
            (Plug::Unknown, Some((_, at))) => at,
            _ => now.epoch(),
        };
        let ended = current.event(&status.id, now, Some(ended_at));
        *session = None;
        return match begin(session, now, status, drawing, is_guess) {
            Some(began) => Turn::Change(ended, began),
            None => Turn::Tell(ended),
        };
    }
    begin(session, now, status, drawing, is_guess).map_or(Turn::Quiet, Turn::Tell)
}

fn begin(
    session: &mut Option<Session>,
    now: &Now,
    status: &EvseStatus,
    drawing: bool,
    is_guess: bool,
) -> Option<SessionEvent> {
    let is_there = status.plug == Plug::PluggedIn || drawing && status.plug == Plug::Unknown;
    if !is_there {
        return None;
    }
    let mut new = Session::begin(now, status);
    new.is_guess = is_guess;
    new.told = Some(now.mono);
    new.last_drawn = drawing.then(|| (now.mono, now.epoch()));
    let event = new.event(&status.id, now, None);
    *session = Some(new);
    Some(event)
}

/// Ends the session of a charging point that was forgotten.
pub(crate) fn end(session: &mut Option<Session>, now: &Now, evse: &EvseId) -> Option<SessionEvent> {
    let current = session.take()?;
    let at = current.last_drawn.map_or(now.epoch(), |(_, at)| at);
    Some(current.event(evse, now, Some(at)))
}
