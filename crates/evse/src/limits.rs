//! What an EVSE can take, as data.

use serde::Serialize;
use units::{Amps, Phases, Volts, Watts};

/// What bounds one EVSE now: the stricter of its rating, its wiring and its vehicle, and the voltage and phases with
/// which watts and amps are converted for it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct EvseLimits {
    /// Least current at which its car charges, per phase. Below it the EVSE is offered nothing.
    pub min: Amps,
    /// Most current it may ever be offered, per phase.
    pub max: Amps,
    /// Voltage of one phase: measured where possible and held steady, so that jitter does not move an offer.
    pub volts: Volts,
    /// Phases that its car uses.
    pub phases: Phases,
}

impl EvseLimits {
    /// Power at the least current.
    #[must_use]
    pub fn min_power(&self) -> Watts {
        self.power(self.min)
    }

    /// Power at the most current.
    #[must_use]
    pub fn max_power(&self) -> Watts {
        self.power(self.max)
    }

    /// Power of `current` on each phase in use.
    #[must_use]
    pub fn power(&self, current: Amps) -> Watts {
        current.watts(self.volts, self.phases)
    }
}
