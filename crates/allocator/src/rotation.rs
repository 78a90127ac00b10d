//! Whose turn it is when not all minimums fit.

use std::time::Instant;

use evse::EvseId;

/// Who has a place, who waits and since when. Start with the default; hand each decision the one before gave back.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Rotation {
    /// Sorted by id.
    pub(crate) turns: Vec<(EvseId, Turn)>,
    /// When equals last changed places.
    pub(crate) switched_at: Option<Instant>,
}

/// One charging point's part in the rotation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Turn {
    /// It has a place.
    Served { since: Instant },
    /// It would like one. `stopped`: when it lost the one it had.
    Waiting { since: Instant, stopped: Option<Instant> },
}
