//! Two Gen 2 connectors as they and their controller behave, without the bus: leases, whole amps, a shared circuit, and
//! six amps where a car is told zero and does not stop.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use evse::{
    Activity, Capabilities, EvseError, EvseErrorKind, EvseId, EvseInstance, EvseLimits, EvseStatus, Link, Plug, Target,
    Vin,
};
use units::{Amps, PerPhase, Phases, Volts, Watts};

/// The least that such a connector can offer.
pub const LEAST: f64 = 6.0;
pub const VOLTS: f64 = 230.0;

/// One connector.
pub struct Connector {
    id: EvseId,
    status: Mutex<Arc<EvseStatus>>,
    target: Mutex<Option<Target>>,
}

/// What is seen at a connector.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    pub is_plugged: bool,
    pub vin: Option<Vin>,
    pub drawn: f64,
    pub phases: u8,
    /// It was offered power for a while and did not take it.
    pub declines: bool,
}

/// How long a car has left alone what it is offered: seconds.
#[derive(Debug, Clone, Copy, Default)]
pub struct Try {
    offered_since: Option<u64>,
    declined_at: Option<u64>,
}

impl Try {
    /// Whether it counts as not wanting power: after two minutes, for half an hour.
    pub fn declines(&mut self, second: u64, offered: f64, drawn: f64, is_unwilling: bool) -> bool {
        self.offered_since = (offered > 0.0).then(|| self.offered_since.unwrap_or(second));
        if self.declined_at.is_none() && is_unwilling && self.offered_since.is_some_and(|since| second >= since + 120) {
            self.declined_at = Some(second);
        }
        if drawn > 0.5 || self.declined_at.is_some_and(|at| second >= at + 1800) {
            *self = Try::default();
        }
        self.declined_at.is_some()
    }
}

impl EvseInstance for Connector {
    fn id(&self) -> &EvseId {
        &self.id
    }

    fn status(&self) -> Arc<EvseStatus> {
        Arc::clone(&self.status.lock().unwrap())
    }

    fn set_target(&self, target: Target) -> Result<(), EvseError> {
        *self.target.lock().unwrap() = Some(target);
        Ok(())
    }

    fn start(&self) -> Result<(), EvseError> {
        Err(self.cannot())
    }

    fn stop(&self) -> Result<(), EvseError> {
        Err(self.cannot())
    }
}

impl Connector {
    pub fn new(id: &str, now: Instant, most: f64) -> Arc<Connector> {
        let status = EvseStatus {
            id: EvseId::new(id),
            name: id.to_owned(),
            controller: "Gen2TWCs".to_owned(),
            heard_at: now,
            link: Link::Up,
            plug: Plug::Unplugged,
            activity: Activity::Idle,
            note: None,
            offered: Some(Amps::ZERO),
            reported_max: Some(Amps::ZERO),
            drawn: Some(Amps::ZERO),
            drawn_per_phase: PerPhase::unknown(),
            power: Some(Watts::ZERO),
            is_estimate: false,
            volts: PerPhase::splat(Volts::new(VOLTS).ok()),
            committed: Amps::ZERO,
            is_on_circuit: true,
            limits: EvseLimits {
                min: Amps::new(LEAST).unwrap(),
                max: Amps::new(most).unwrap(),
                volts: Volts::saturating(VOLTS),
                phases: Phases::Three,
            },
            energy_total: None,
            vin: None,
            soc: None,
            // `chargeStopMode` 1: its car is asked.
            capabilities: Capabilities { set_target: true, start: false, stop: false, on_request: false },
            details: BTreeMap::new(),
        };
        let (id, status) = (EvseId::new(id), Mutex::new(Arc::new(status)));
        Arc::new(Connector { id, status, target: Mutex::default() })
    }

    fn cannot(&self) -> EvseError {
        let text = "it has no such command".to_owned();
        EvseError { id: self.id.clone(), kind: EvseErrorKind::Unsupported, text }
    }

    pub fn offered(&self) -> f64 {
        self.status().offered.map_or(0.0, Amps::get)
    }

    /// Whole amps that it should offer; zero without a lease.
    fn desired(&self, now: Instant) -> f64 {
        let target = self.target.lock().unwrap().filter(|target| now < target.expires_at);
        let limits = self.status().limits;
        let amps = target.map_or(0.0, |target| target.amps(&limits).whole_amps_floor().get());
        if amps < LEAST { 0.0 } else { amps }
    }

    pub fn see(&self, now: Instant, seen: &Seen, offered: f64) {
        let mut status = EvseStatus::clone(&self.status());
        let drawn = Amps::new(seen.drawn).unwrap();
        status.heard_at = now;
        status.plug = if seen.is_plugged { Plug::PluggedIn } else { Plug::Unplugged };
        status.vin.clone_from(&seen.vin);
        (status.drawn, status.offered) = (Some(drawn), Amps::new(offered).ok());
        status.reported_max = status.offered;
        status.committed = Amps::new(offered).unwrap().max(drawn);
        status.limits.phases = if seen.phases == 1 { Phases::One } else { Phases::Three };
        status.drawn_per_phase = PerPhase::splat(Some(Amps::ZERO));
        status.drawn_per_phase.l1 = Some(drawn);
        if seen.phases != 1 {
            status.drawn_per_phase = PerPhase::splat(Some(drawn));
        }
        status.power = Watts::new(seen.drawn * VOLTS * f64::from(seen.phases)).ok();
        status.activity = match (seen.is_plugged, seen.drawn > 0.5, offered > 0.0) {
            (false, ..) => Activity::Idle,
            (_, true, _) => Activity::Charging,
            _ if seen.declines => Activity::Declined,
            (_, _, true) => Activity::WaitingForCar,
            _ => Activity::WaitingForOffer,
        };
        *self.status.lock().unwrap() = Arc::new(status);
    }
}

/// What each connector offers from now on: who gets less gets it at once, who gets more only what the circuit has left.
pub fn offers(now: Instant, connectors: &[Arc<Connector>], seen: &[Seen], circuit: f64) -> Vec<f64> {
    let wanted: Vec<f64> = connectors
        .iter()
        .zip(seen)
        .map(|(connector, seen)| match connector.desired(now) {
            // Told zero while its car charges, it goes on at its least.
            0.0 if seen.drawn > 0.5 => LEAST,
            wanted => wanted,
        })
        .collect();
    let mut offers: Vec<f64> =
        connectors.iter().zip(&wanted).map(|(connector, wanted)| connector.offered().min(*wanted)).collect();
    for index in 0..offers.len() {
        let others: f64 = (0..offers.len()).filter(|o| *o != index).map(|o| offers[o].max(seen[o].drawn)).sum();
        let free = (circuit - others).floor().min(wanted[index]);
        if free >= LEAST && free > offers[index] {
            offers[index] = free;
        }
    }
    offers
}
