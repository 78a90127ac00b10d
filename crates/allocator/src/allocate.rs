//! One decision.

use std::time::Instant;

use evse::EvseId;
use units::Watts;

use crate::{Binding, Limit, Request, Rotation};

/// What one charging point gets, and why not more.
#[derive(Debug, Clone, PartialEq)]
pub struct Share {
    /// Which one.
    pub id: EvseId,
    /// What it should have once the others have let go of what they hold.
    pub ideal: Watts,
    /// What it may be told now: never more than `ideal`, and nothing that others still hold.
    pub permitted: Watts,
    /// What kept `ideal` from being more.
    pub bound_by: Binding,
    /// Where others still hold what is missing, when `permitted` is less than `ideal`.
    pub delayed_by: Option<Limit>,
}

/// One decision.
#[derive(Debug, Clone, PartialEq)]
pub struct Allocation {
    /// One for each charging point, in the order of the request.
    pub shares: Vec<Share>,
    /// Hand this to the next decision.
    pub rotation: Rotation,
    /// When to decide again even if nothing else changes: the end of a pause or of a turn that somebody waits for.
    pub decide_again_at: Option<Instant>,
}

/// Shares out power.
#[must_use]
pub fn allocate(request: &Request<'_>, rotation: &Rotation, now: Instant) -> Allocation {
    let _ = now;
    Allocation {
        shares: request
            .evses
            .iter()
            .map(|evse| Share {
                id: evse.id.clone(),
                ideal: Watts::ZERO,
                permitted: Watts::ZERO,
                bound_by: Binding::LeastUntilDrawn,
                delayed_by: None,
            })
            .collect(),
        rotation: rotation.clone(),
        decide_again_at: None,
    }
}
