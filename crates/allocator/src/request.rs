//! What the caller knows and wants shared out.

use std::time::Duration;

use evse::{Activity, EvseId, EvseLimits, EvseStatus, Link, Plug};
use units::{Amps, Phase, Phases, Watts};

use crate::{Cap, CircuitKey, Circuits, Unserved};

/// Everything that one decision is made from, apart from who had his turn before.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// Power that all may use together, uncontrollable ones included; `None` when only circuits limit.
    pub power: Option<Cap>,
    /// The fuses and feeders.
    pub circuits: &'a Circuits,
    /// The charging points, in any order.
    pub evses: &'a [EvseRequest],
    /// How long turns and pauses last.
    pub timing: Timing,
}

/// One charging point.
#[derive(Debug, Clone, PartialEq)]
pub struct EvseRequest {
    /// Which one. When two have the same id, the second gets nothing and only what it holds is counted.
    pub id: EvseId,
    /// The circuit that it hangs on; `None` when only the power of the site limits it.
    pub circuit: Option<CircuitKey>,
    /// Least and most current, voltage, phases.
    pub limits: EvseLimits,
    /// Whether power offered to it would be used.
    pub demand: Demand,
    /// Who comes first when not all minimums fit: higher before lower.
    pub priority: i32,
    /// Current per phase that must still be counted for it, whatever it is told now ([`EvseStatus::committed`]).
    pub held: Amps,
    /// The target it was last given ([`Share::permitted`](crate::Share::permitted) of the last decision).
    pub target: Watts,
    /// The most its car is known to take; the rest goes to others.
    pub can_take: Option<Watts>,
    /// Whether its offer may rise; `false` while it answers only now and then.
    pub may_rise: bool,
    /// Steps in which its current can be set, per phase: 1 A for devices that know whole amps only.
    pub step: Amps,
    /// Which phases of its circuit it uses.
    pub phase_map: PhaseMap,
}

impl EvseRequest {
    /// What a status alone tells: no circuit, priority 0, no target so far, hundredths of an amp, phases in order.
    #[must_use]
    pub fn from_status(status: &EvseStatus) -> Self {
        EvseRequest {
            id: status.id.clone(),
            circuit: None,
            limits: status.limits,
            demand: Demand::of(status),
            priority: 0,
            held: status.committed,
            target: Watts::ZERO,
            can_take: None,
            may_rise: status.link == Link::Up,
            step: Amps::from_centiamps(1),
            phase_map: PhaseMap::IN_ORDER,
        }
    }
}

/// Whether power offered to a charging point would be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Demand {
    /// A car is there and may be expected to take it. It gets its fair share.
    Wants,
    /// It cannot be told without offering. It gets its minimum, after everyone who wants, and nothing more until it
    /// has shown that it wants.
    MightWant,
    /// It gets nothing; what it holds is counted until it has let go.
    None(Unserved),
}

impl Demand {
    /// What a status says about it.
    #[must_use]
    pub fn of(status: &EvseStatus) -> Self {
        if !status.capabilities.set_target {
            return Demand::None(Unserved::ReadOnly);
        }
        if status.link == Link::Lost {
            return Demand::None(Unserved::Lost);
        }
        match (status.activity, status.plug) {
            (Activity::Faulted, _) => Demand::None(Unserved::Faulted),
            (Activity::Charging, _) => Demand::Wants,
            (_, Plug::Unplugged) => Demand::None(Unserved::NotPluggedIn),
            (Activity::Declined, _) => Demand::None(Unserved::Declined),
            (Activity::Idle | Activity::WaitingForOffer | Activity::WaitingForCar, Plug::PluggedIn) => Demand::Wants,
            (Activity::Idle | Activity::WaitingForOffer | Activity::WaitingForCar, Plug::Unknown) => Demand::MightWant,
        }
    }
}

/// How long turns and pauses last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timing {
    /// A turn: when not all minimums fit, equals change places no more often than this.
    pub slot: Duration,
    /// For so long after its start not even one of higher priority takes a car's place.
    pub min_on: Duration,
    /// For so long after it lost its place a car is not started again.
    pub min_off: Duration,
}

impl Default for Timing {
    /// Turns of 15 minutes; a start is good for 5 minutes; a pause lasts at least 1 minute.
    fn default() -> Self {
        Timing {
            slot: Duration::from_secs(15 * 60),
            min_on: Duration::from_secs(5 * 60),
            min_off: Duration::from_secs(60),
        }
    }
}

/// Which phase of the circuit each phase of a charging point is connected to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PhaseMap(Option<[Phase; 3]>);

impl PhaseMap {
    /// L1 to L1, L2 to L2, L3 to L3.
    pub const IN_ORDER: PhaseMap = PhaseMap(Some(Phase::ALL));
    /// Not known: counted on every phase of its circuit.
    pub const UNKNOWN: PhaseMap = PhaseMap(None);

    /// The charging point's L1, L2 and L3 are these phases of the circuit. `None` when one is named twice.
    #[must_use]
    pub fn new(l1: Phase, l2: Phase, l3: Phase) -> Option<Self> {
        (l1 != l2 && l2 != l3 && l1 != l3).then_some(PhaseMap(Some([l1, l2, l3])))
    }

    /// A single-phase charging point on this phase of the circuit.
    #[must_use]
    pub const fn single(phase: Phase) -> Self {
        PhaseMap(Some(match phase {
            Phase::L1 => [Phase::L1, Phase::L2, Phase::L3],
            Phase::L2 => [Phase::L2, Phase::L3, Phase::L1],
            Phase::L3 => [Phase::L3, Phase::L1, Phase::L2],
        }))
    }

    /// Whether a load on `phases` phases behind this connection uses `phase` of the circuit.
    #[must_use]
    pub fn uses(self, phases: Phases, phase: Phase) -> bool {
        match self.0 {
            Some(map) => phases.iter().zip(map).any(|(_, connected)| connected == phase),
            None => true,
        }
    }
}

impl Default for PhaseMap {
    fn default() -> Self {
        PhaseMap::IN_ORDER
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rotated_single_phase_load_uses_the_phase_it_hangs_on() {
        let map = PhaseMap::single(Phase::L3);
        assert!(map.uses(Phases::One, Phase::L3));
        assert!(!map.uses(Phases::One, Phase::L1));
        assert!(map.uses(Phases::Three, Phase::L2));
        assert!(PhaseMap::UNKNOWN.uses(Phases::One, Phase::L2));
        assert_eq!(PhaseMap::new(Phase::L1, Phase::L1, Phase::L2), None);
    }
}
