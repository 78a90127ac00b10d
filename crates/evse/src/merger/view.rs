//! What the merger is told by people, and what it tells.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;
use units::{Amps, Phases};

use crate::{ControllerEvent, EvseId, EvseInstance, Plug, Routing, Vin};

/// Name of the detail by which a car's own view says on how many phases it charges. Without it the number in its limits
/// is only taken for granted.
pub const TOLD_PHASES: &str = "phases";
/// Name of the detail by which a car's own view says that it takes no power wherever it hangs: it is full, or waits for its
/// own timer.
pub const REFUSES: &str = "refuses";

/// What people set about which car is where, and who steers it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MergeSettings {
    /// Who steers a car that is seen twice, unless set for it below.
    pub routing: Routing,
    /// The same for one charging point, by its id.
    pub routing_of_point: BTreeMap<EvseId, Routing>,
    /// The same for one car; counts more.
    pub routing_of_car: BTreeMap<Vin, Routing>,
    /// Which car is at a charging point that cannot tell. A car's own view pinned to its own VIN says that it is on a
    /// charger of its own.
    pub pins: BTreeMap<EvseId, Vin>,
    /// Phases that a car uses.
    pub phases: BTreeMap<Vin, Phases>,
}

/// How it is known that a view belongs to a charging point.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum MatchedBy {
    /// It is the charging point, or the car, itself.
    Itself,
    /// Both tell the same VIN.
    Vin,
    /// A person said so.
    Pin,
    /// Both did the same at the same times.
    Behaviour,
    /// It may be so: it gets no share of its own, and is not steered, until that is clear.
    Possible,
}

/// One of the ways in which a car is seen.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct View {
    /// Id of the instance.
    pub id: EvseId,
    /// The name people see.
    pub name: String,
    /// Its controller.
    pub controller: String,
    /// Whether it is the charging point, not the car's own interface.
    pub is_local: bool,
    /// How it is known to belong here.
    pub by: MatchedBy,
    /// How sure that is, 0 to 1.
    pub confidence: f64,
}

/// What a charging point of ours sees of a car that is at it.
#[derive(Debug, Clone, PartialEq)]
pub struct AtConnector {
    /// Which charging point.
    pub connector: EvseId,
    /// Whether the car is plugged in.
    pub plug: Plug,
    /// Current that flows, the highest phase.
    pub drawn: Option<Amps>,
    /// Current that it is offered, per phase.
    pub offered: Option<Amps>,
}

/// What changed.
#[derive(Clone)]
pub enum MergeNews {
    /// An EVSE is there or changed: one charging point with all views of its car, or a car on another charger.
    Changed {
        /// The whole.
        instance: Arc<dyn EvseInstance>,
        /// What it is made of, the one that names it first; then views that may belong to it.
        views: Vec<View>,
    },
    /// An EVSE is no more, or became part of another.
    Gone(EvseId),
    /// Something people should hear of.
    Event(ControllerEvent),
    /// A car is at a charging point of ours, or no longer: by VIN or pin only. What was learnt by behaviour is not told, or a
    /// car that takes the connector's word for its own would confirm every guess.
    AtConnector {
        /// The car.
        vin: Vin,
        /// What is seen of it there; `None` when it is at none of ours.
        at: Option<AtConnector>,
    },
}
