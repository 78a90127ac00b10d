//! What the merger looks at in one moment, and what it says about it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{MatchedBy, MergeSettings, View};
use crate::{ControllerEvent, EventLevel, EvseId, EvseInstance, EvseStatus, Plug, Vin};

/// All instances at one moment, and which car belongs where.
pub(super) struct Scene<'a> {
    pub(super) instances: &'a [Arc<dyn EvseInstance>],
    pub(super) statuses: &'a [Arc<EvseStatus>],
    /// Charging points whose pinned car is surely not there.
    pub(super) suspended: BTreeSet<EvseId>,
    /// Car to charging point, with how and how surely that is known.
    pub(super) by: BTreeMap<EvseId, (EvseId, MatchedBy, f64)>,
}

impl Scene<'_> {
    pub(super) fn is_local(&self, index: usize) -> bool {
        self.instances.get(index).is_some_and(|instance| instance.is_local())
    }

    pub(super) fn status(&self, id: &EvseId) -> Option<&EvseStatus> {
        self.statuses.iter().find(|status| status.id == *id).map(|status| &**status)
    }

    pub(super) fn is_taken(&self, connector: &EvseId) -> bool {
        self.by.values().any(|(at, ..)| at == connector)
    }

    /// Cars that are or may be plugged in somewhere, and nothing says where.
    pub(super) fn unclear_cars(&self, settings: &MergeSettings) -> Vec<EvseId> {
        let is_known = |status: &EvseStatus| {
            let is_on_its_own = status.vin.is_some() && settings.pins.get(&status.id) == status.vin.as_ref();
            let is_told = |(index, other): (usize, &Arc<EvseStatus>)| {
                self.is_local(index) && other.vin.is_some() && other.vin == status.vin && other.plug != Plug::Unplugged
            };
            // Its charger is said to hang on the connectors' circuit: what it may draw there is reckoned with until it is
            // sure that it is at a connector instead.
            is_on_its_own
                || status.is_on_circuit
                || self.by.contains_key(&status.id)
                || (status.plug == Plug::Unplugged && !status.is_charging())
                || self.statuses.iter().enumerate().any(is_told)
        };
        let unclear =
            self.statuses.iter().enumerate().filter(|(index, status)| !self.is_local(*index) && !is_known(status));
        unclear.map(|(_, status)| status.id.clone()).collect()
    }

    /// Charging points that have or may have a car, and do not tell which.
    pub(super) fn blind_connectors(&self, settings: &MergeSettings) -> Vec<EvseId> {
        let is_blind = |(index, status): &(usize, &Arc<EvseStatus>)| {
            self.is_local(*index)
                && status.vin.is_none()
                && status.plug != Plug::Unplugged
                && (!settings.pins.contains_key(&status.id) || self.suspended.contains(&status.id))
                && !self.is_taken(&status.id)
        };
        self.statuses.iter().enumerate().filter(is_blind).map(|(_, status)| status.id.clone()).collect()
    }
}

pub(super) fn view_of(status: &EvseStatus, is_local: bool, by: MatchedBy, confidence: f64) -> View {
    // Two digits tell all there is to tell, and do not change with every report.
    let confidence = (confidence * 100.0).round() / 100.0;
    let (id, name, controller) = (status.id.clone(), status.name.clone(), status.controller.clone());
    View { id, name, controller, is_local, by, confidence }
}

pub(super) fn doubt_event(car: &EvseId, status: Option<&EvseStatus>, text: String, cleared: bool) -> ControllerEvent {
    ControllerEvent {
        controller: status.map_or_else(String::new, |status| status.controller.clone()),
        evse: Some(car.clone()),
        level: EventLevel::Warning,
        code: "ambiguous_car",
        text,
        cleared,
    }
}

pub(super) fn doubt_text(car: &EvseId, scene: &Scene<'_>, connectors: &[EvseId]) -> String {
    let name = |id: &EvseId| scene.status(id).map_or_else(|| id.to_string(), |status| status.name.clone());
    let vin = scene.status(car).and_then(|status| status.vin.as_ref()).map_or("its VIN", Vin::as_str);
    let places: Vec<String> = connectors.iter().map(|id| format!("\"{}\"", name(id))).collect();
    let first = connectors.first().map_or("", EvseId::as_str);
    format!(
        "{} may be the car at {}, which tells no VIN, so it gets no power of its own until that is clear. Say where it is \
         under `evsePins` in the settings: {{\"{first}\": \"{vin}\"}} when it is there, {{\"{car}\": \"{vin}\"}} when it is on \
         another charger.",
        name(car),
        places.join(" or ")
    )
}
