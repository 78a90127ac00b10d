//! Whose turn it is when not all minimums fit.
//!
//! Those asked first get a place first:
//!
//! 1. whoever started less than `min_on` ago, so that no start is wasted;
//! 2. whoever wants power, by priority, and within one priority:
//!    those in the middle of their turn, earliest start first; then those waiting, longest wait first; then those whose
//!    turn is over, latest start first;
//! 3. whoever might want power, in the same order.
//!
//! A turn is over when it has lasted a `slot` *and* equals last changed places a `slot` ago. All changes between equals
//! therefore happen at the same instants, at least a slot apart, and at each of them the one who has waited longest is
//! asked before everyone whose turn is over: with n charging points nobody waits for more than n slots.

use std::time::Instant;

use evse::EvseId;

use crate::Timing;

/// Who has a place, who waits and since when. Start with the default; hand each decision the one before gave back.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Rotation {
    /// Sorted by id.
    turns: Vec<(EvseId, Turn)>,
    /// When equals last changed places.
    switched_at: Option<Instant>,
}

/// One charging point's part in the rotation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Turn {
    /// It has a place.
    Served { since: Instant },
    /// It would like one. `stopped`: when it lost the one it had.
    Waiting { since: Instant, stopped: Option<Instant> },
}

/// One who would like a place.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Candidate {
    pub(crate) priority: i32,
    /// Whether it wants power for certain.
    pub(crate) wants: bool,
    /// Its part so far.
    pub(crate) turn: Turn,
    /// Whether it got a place; filled in between [`Rotation::order`] and [`Rotation::next`].
    pub(crate) served: bool,
}

impl Rotation {
    /// The parts of those with these ids, which must be sorted; one not seen before waits from now on.
    pub(crate) fn turns<'a>(&self, ids: impl Iterator<Item = &'a EvseId>, now: Instant) -> Vec<Turn> {
        let mut known = self.turns.iter().peekable();
        ids.map(|id| {
            while known.next_if(|(known, _)| known < id).is_some() {}
            match known.next_if(|(known, _)| known == id) {
                Some((_, turn)) => *turn,
                None => Turn::Waiting { since: now, stopped: None },
            }
        })
        .collect()
    }

    fn may_switch(&self, timing: &Timing, now: Instant) -> bool {
        self.switched_at.is_none_or(|at| now.saturating_duration_since(at) >= timing.slot)
    }

    /// Whether a turn is over.
    fn is_over(&self, turn: Turn, timing: &Timing, now: Instant) -> bool {
        match turn {
            Turn::Served { since } => {
                now.saturating_duration_since(since) >= timing.slot && self.may_switch(timing, now)
            }
            Turn::Waiting { .. } => false,
        }
    }

    /// Until when one is spared a restart, if it is.
    pub(crate) fn rests_until(turn: Turn, timing: &Timing, now: Instant) -> Option<Instant> {
        match turn {
            Turn::Waiting { stopped: Some(stopped), .. } => {
                stopped.checked_add(timing.min_off).filter(|until| *until > now)
            }
            _ => None,
        }
    }

    /// The positions of the candidates in the order in which they are asked.
    pub(crate) fn order(&self, candidates: &[Candidate], timing: &Timing, now: Instant) -> Vec<usize> {
        let may_switch = self.may_switch(timing, now);
        // One number for rank and one for time: sorting is a good part of a decision's cost.
        let key = |candidate: &Candidate| {
            let (since, is_served) = match candidate.turn {
                Turn::Served { since } => (since, true),
                Turn::Waiting { since, .. } => (since, false),
            };
            let age = now.saturating_duration_since(since);
            let nanos = u64::try_from(age.as_nanos()).unwrap_or(u64::MAX);
            let started = is_served && age < timing.min_on && candidate.wants;
            let (class, time) = match is_served {
                true if may_switch && age >= timing.slot => (2, nanos),
                true => (0, u64::MAX - nanos),
                false => (1, u64::MAX - nanos),
            };
            let lowness = i64::from(i32::MAX) - i64::from(candidate.priority);
            ((!started, !candidate.wants), lowness << 2 | class, time)
        };
        let mut order: Vec<_> = candidates.iter().enumerate().map(|(at, candidate)| (key(candidate), at)).collect();
        order.sort_unstable();
        order.into_iter().map(|(_, at)| at).collect()
    }

    /// The rotation after a decision. `ids` belong to `candidates` and are sorted; whoever is not among them is
    /// forgotten.
    pub(crate) fn next<'a>(
        &self,
        ids: impl Iterator<Item = &'a EvseId>,
        candidates: &[Candidate],
        timing: &Timing,
        now: Instant,
    ) -> Rotation {
        let gave_up = candidates.iter().any(|candidate| !candidate.served && self.is_over(candidate.turn, timing, now));
        let took_over =
            candidates.iter().any(|candidate| candidate.served && matches!(candidate.turn, Turn::Waiting { .. }));
        let turns = ids
            .zip(candidates)
            .map(|(id, candidate)| {
                let turn = match (candidate.turn, candidate.served) {
                    (Turn::Served { .. }, true) | (Turn::Waiting { .. }, false) => candidate.turn,
                    (Turn::Waiting { .. }, true) => Turn::Served { since: now },
                    (Turn::Served { .. }, false) => Turn::Waiting { since: now, stopped: Some(now) },
                };
                (id.clone(), turn)
            })
            .collect();
        Rotation { turns, switched_at: if gave_up && took_over { Some(now) } else { self.switched_at } }
    }

    /// The next instant at which time alone may change who has a place, given that somebody waits for one.
    pub(crate) fn next_change(&self, timing: &Timing, now: Instant) -> Option<Instant> {
        let served = self.turns.iter().flat_map(|(_, turn)| match turn {
            Turn::Served { since } => [since.checked_add(timing.slot), since.checked_add(timing.min_on)],
            Turn::Waiting { .. } => [None, None],
        });
        let switch = self.switched_at.and_then(|at| at.checked_add(timing.slot));
        served.chain([switch]).flatten().filter(|at| *at > now).min()
    }
}
