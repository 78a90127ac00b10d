//! A car as the status of a charging point.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use evse::{Activity, Capabilities, Detail, EvseId, EvseLimits, EvseStatus, Link, Plug, REFUSES, TOLD_PHASES};
use garage::{CarView, Why, Wish};
use units::{Amps, PerPhase, Volts};

use crate::TeslaCarsSettings;
use crate::energy::Energy;
use crate::estimate::estimate;

/// Below this a car tells a voltage that is none: it tells 1 or 2 while it does not charge.
const LEAST_VOLTS: f64 = 90.0;
/// A voltage is held until it differs by more than this, so that jitter moves no offer.
const STEADY_VOLTS: f64 = 3.0;
/// A car that charged when it was last heard is lost after this silence.
const LOST_AFTER: Duration = Duration::from_secs(2 * 3600);
/// A charging car is read every `vehicle.chargingInterval`. One that told nothing for this much longer may have driven off
/// meanwhile: what it drew is not believed against a meter any more.
const OVERDUE: Duration = Duration::from_secs(60);

/// What is remembered of one car between two statuses.
#[derive(Debug, Clone)]
pub(crate) struct Memory {
    energy: Energy,
    volts: Option<Volts>,
    first_seen: Instant,
}

impl Memory {
    pub(crate) fn new(now: Instant) -> Self {
        Memory { energy: Energy::default(), volts: None, first_seen: now }
    }

    /// Takes up what a car told, whether it is at home or not.
    pub(crate) fn update(&mut self, view: &CarView) {
        let told = view.state.volts.as_ref().map(|seen| seen.value).filter(|volts| volts.get() >= LEAST_VOLTS);
        if let Some(told) = told
            && self.volts.is_none_or(|held| (held.get() - told.get()).abs() > STEADY_VOLTS)
        {
            self.volts = Some(told);
        }
    }

    pub(crate) fn status(
        &mut self,
        now: Instant,
        id: &EvseId,
        controller: &str,
        view: &CarView,
        settings: &TeslaCarsSettings,
    ) -> EvseStatus {
        let limits = self.limits(view, settings);
        let figures = estimate(now, view, &limits);
        let state = &view.state;
        let is_fast = matches!(&state.fast_charger, Some(seen) if seen.value);
        let can = view.can_command && !is_fast;
        let energy = state.energy_added.as_ref().filter(|seen| seen.at.is_some()).map(|seen| seen.value);
        // That it is awake says nothing of what flows, but that somebody can be asked.
        let reached_at = view.heard_at.max(state.wakefulness.as_ref().and_then(|seen| seen.at));
        let silence = now.saturating_duration_since(reached_at.unwrap_or(self.first_seen));
        let overdue_after = settings.garage.charging_interval + OVERDUE;
        let is_overdue = proven_at(view).is_none_or(|at| now.saturating_duration_since(at) > overdue_after);
        let link = match view.flows {
            Some(true) if silence > LOST_AFTER => Link::Lost,
            Some(true) if is_overdue => Link::Degraded,
            _ => Link::Up,
        };
        EvseStatus {
            id: id.clone(),
            name: view.name().to_owned(),
            controller: controller.to_owned(),
            heard_at: view.heard_at.unwrap_or(self.first_seen),
            link,
            plug: match view.plugged {
                Some(true) => Plug::PluggedIn,
                Some(false) => Plug::Unplugged,
                None => Plug::Unknown,
            },
            activity: activity(view, is_fast),
            note: view.declines.as_ref().filter(|_| view.plugged != Some(false)).map(ToString::to_string),
            offered: match view.wish {
                Wish::Granted(amps) | Wish::AtMost(amps) => Some(amps),
                Wish::None => None,
            },
            reported_max: state.amps_requested.as_ref().map(|seen| seen.value),
            drawn: figures.drawn,
            drawn_per_phase: PerPhase::unknown(),
            power: figures.power,
            is_estimate: figures.is_estimate,
            volts: PerPhase::unknown(),
            committed: figures.committed,
            is_on_circuit: view.setting.is_on_circuit,
            limits,
            energy_total: self.energy.update(energy),
            vin: view.key.vin().cloned(),
            soc: state.soc.as_ref().filter(|seen| seen.at.is_some()).map(|seen| seen.value),
            capabilities: Capabilities { set_target: can, start: can, stop: can, on_request: false },
            details: details(view),
        }
    }

    fn limits(&self, view: &CarView, settings: &TeslaCarsSettings) -> EvseLimits {
        let state = &view.state;
        let possible = state.amps_possible.as_ref().map(|seen| seen.value).filter(|amps| *amps > Amps::ZERO);
        // Unplugged, a car tells what is possible somewhere else.
        let possible = possible.filter(|_| view.plugged != Some(false));
        let max = possible.map_or(settings.max_amps, |possible| possible.min(settings.max_amps));
        let phases = view.setting.phases.or(state.phases.as_ref().map(|seen| seen.value)).unwrap_or(settings.phases);
        EvseLimits { min: settings.min_amps.min(max), max, volts: self.volts.unwrap_or(settings.volts), phases }
    }
}

/// When it last told anything that shows how it charges. Sources that tell by themselves may tell changes only: then it is
/// the energy that grows.
fn proven_at(view: &CarView) -> Option<Instant> {
    let energy = view.state.energy_added.as_ref().and_then(|seen| seen.at);
    let to_limit = view.state.to_limit.as_ref().and_then(|seen| seen.at);
    view.heard_at.max(energy).max(to_limit)
}

fn activity(view: &CarView, is_fast: bool) -> Activity {
    match (view.plugged, view.flows) {
        (Some(false), _) => Activity::Idle,
        _ if is_fast => Activity::Declined,
        (_, Some(true)) => Activity::Charging,
        (None, _) => Activity::Idle,
        (Some(true), _) if view.declines.is_some() => Activity::Declined,
        (Some(true), _) if view.wish.is_granted() => Activity::WaitingForCar,
        (Some(true), _) => Activity::WaitingForOffer,
    }
}

fn details(view: &CarView) -> BTreeMap<&'static str, Detail> {
    let mut details = BTreeMap::new();
    if let Some(limit) = &view.state.limit {
        details.insert("charge_limit_percent", Detail::Number(limit.value.get()));
    }
    if let Some(phases) = view.state.phases.as_ref().filter(|seen| seen.at.is_some()) {
        details.insert(TOLD_PHASES, Detail::Number(f64::from(phases.value.count())));
    }
    details.insert("car", Detail::Text(view.why.to_string()));
    if let Some(why @ (Why::Complete | Why::LimitReached | Why::OwnTimer | Why::Held)) = &view.declines {
        details.insert(REFUSES, Detail::Text(why.to_string()));
    }
    if let Some(asked) = &view.asked {
        details.insert("last_asked", Detail::Text(asked.text.clone()));
    }
    details
}
