//! A complete controller for another make of charging point: a wallbox that, for the example, lives in this process.
//!
//! A real one would own a thread that talks to the device: it takes the newest target from `wanted`, tells the device, puts
//! what it hears into `status`, and calls the listener. Nothing that the traits ask for may block.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use evse::units::{Amps, PerPhase, Phases, Volts};
use evse::{
    Activity, Capabilities, EvseController, EvseError, EvseErrorKind, EvseId, EvseInstance, EvseLimits, EvseListener,
    EvseStatus, Link, Plug, Target,
};
use twcmanager::ControllerDriver;

/// Name of the controller.
const NAME: &str = "Wallbox";

/// The controller, for `Program::with_controller`; enabled by `"controller.Wallbox": {"enabled": true, "maxAmps": 16}`.
pub const DRIVER: ControllerDriver = ControllerDriver {
    section: "controller.Wallbox",
    summary: "a wallbox that takes what it is offered",
    keys: &[ems::KeySpec::new("maxAmps", ems::KeyKind::Number, "What its cable carries, in A (default 16)")],
    open: |section, listener| {
        let amps = section.number_within("maxAmps", 16.0, 6.0, 80.0);
        let max = Amps::new(amps).unwrap_or(Amps::from_whole(16));
        Some(Box::new(WallboxController::new(max, &listener)))
    },
};

/// One wallbox.
pub struct Wallbox {
    id: EvseId,
    status: Mutex<Arc<EvseStatus>>,
}

impl Wallbox {
    fn new(max: Amps) -> Self {
        let id = EvseId::new("wallbox-1");
        let status = EvseStatus {
            id: id.clone(),
            name: "Wallbox".to_owned(),
            controller: NAME.to_owned(),
            heard_at: Instant::now(),
            link: Link::Up,
            plug: Plug::PluggedIn,
            activity: Activity::WaitingForOffer,
            note: None,
            offered: Some(Amps::ZERO),
            reported_max: None,
            drawn: Some(Amps::ZERO),
            drawn_per_phase: PerPhase::unknown(),
            power: None,
            volts: PerPhase::unknown(),
            committed: Amps::ZERO,
            limits: EvseLimits {
                min: Amps::from_whole(6),
                max,
                volts: Volts::saturating(230.0),
                phases: Phases::Three,
            },
            energy_total: None,
            vin: None,
            soc: None,
            is_estimate: false,
            is_on_circuit: true,
            capabilities: Capabilities { set_target: true, ..Capabilities::default() },
            details: BTreeMap::new(),
        };
        Wallbox { id, status: Mutex::new(Arc::new(status)) }
    }

    /// What the device's thread does when the device obeyed.
    fn obeyed(&self, offered: Amps) {
        let mut status = self.status.lock().unwrap_or_else(PoisonError::into_inner);
        let is_charging = offered >= status.limits.min;
        *status = Arc::new(EvseStatus {
            heard_at: Instant::now(),
            offered: Some(offered),
            drawn: Some(offered),
            // What it was told counts against the circuit, whatever it draws.
            committed: offered,
            power: Some(status.limits.power(offered)),
            activity: if is_charging { Activity::Charging } else { Activity::WaitingForOffer },
            ..EvseStatus::clone(&status)
        });
    }
}

impl EvseInstance for Wallbox {
    fn id(&self) -> &EvseId {
        &self.id
    }

    fn status(&self) -> Arc<EvseStatus> {
        Arc::clone(&self.status.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn set_target(&self, target: Target) -> Result<(), EvseError> {
        let limits = self.status().limits;
        // Watts become amps here, at the edge, rounded down.
        self.obeyed(target.amps(&limits).whole_amps_floor());
        Ok(())
    }

    fn start(&self) -> Result<(), EvseError> {
        let text = "it has no start command; it starts when it is offered power".to_owned();
        Err(EvseError { id: self.id.clone(), kind: EvseErrorKind::Unsupported, text })
    }

    fn stop(&self) -> Result<(), EvseError> {
        let text = "it has no stop command; it stops when it is offered nothing".to_owned();
        Err(EvseError { id: self.id.clone(), kind: EvseErrorKind::Unsupported, text })
    }
}

/// What speaks to the wallbox.
pub struct WallboxController {
    wallbox: Arc<dyn EvseInstance>,
}

impl WallboxController {
    fn new(max: Amps, listener: &Arc<dyn EvseListener>) -> Self {
        let wallbox: Arc<dyn EvseInstance> = Arc::new(Wallbox::new(max));
        listener.changed(&wallbox);
        WallboxController { wallbox }
    }
}

impl EvseController for WallboxController {
    fn name(&self) -> &str {
        NAME
    }

    fn instances(&self) -> Vec<Arc<dyn EvseInstance>> {
        vec![Arc::clone(&self.wallbox)]
    }

    fn shutdown(&mut self) {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use evse::units::Watts;

    #[test]
    fn a_target_in_watts_becomes_whole_amps_rounded_down() {
        let wallbox = Wallbox::new(Amps::from_whole(16));
        let limits = wallbox.status().limits;
        wallbox.set_target(Target::new(Watts::saturating(7_500.0), &limits, Instant::now())).unwrap();
        assert_eq!(wallbox.status().offered, Some(Amps::from_whole(10)));
    }
}
