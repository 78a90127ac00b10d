//! A command that is proven by what follows, repeated a few times with growing pauses, and then given up.

use std::time::{Duration, Instant};

/// Pauses after the first, second and last try.
const PAUSES: [Duration; 3] = [Duration::from_secs(60), Duration::from_secs(300), Duration::from_secs(900)];
/// What was reached counts as lasting after this; before, a relapse goes on counting tries.
const LASTING: Duration = Duration::from_secs(300);

/// Tries to reach one state.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ladder {
    tries: usize,
    asked_at: Option<Instant>,
    next_at: Option<Instant>,
    reached_since: Option<Instant>,
    was_told: bool,
}

/// Whether a ladder may try now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// Now.
    Now,
    /// Not before this.
    At(Instant),
    /// No more until something changes.
    GivenUp,
}

impl Ladder {
    pub(crate) fn step(&self, now: Instant) -> Step {
        match self.next_at {
            Some(at) if now < at => Step::At(at),
            _ if self.tries >= PAUSES.len() => Step::GivenUp,
            _ => Step::Now,
        }
    }

    pub(crate) fn tries_left(&self) -> usize {
        PAUSES.len().saturating_sub(self.tries)
    }

    /// Tried.
    pub(crate) fn asked(&mut self, now: Instant) {
        let pause = PAUSES.get(self.tries).or(PAUSES.last()).copied().unwrap_or_default();
        self.tries += 1;
        self.asked_at = Some(now);
        self.next_at = Some(now + pause);
        self.reached_since = None;
    }

    /// The last try surely did nothing and does not count; the next comes after a while.
    pub(crate) fn was_nothing(&mut self, at: Instant) {
        self.tries = self.tries.saturating_sub(1);
        self.next_at = Some(at);
    }

    pub(crate) fn asked_at(&self) -> Option<Instant> {
        self.asked_at
    }

    /// The state is there, as was seen now.
    pub(crate) fn reached(&mut self, now: Instant) {
        let since = *self.reached_since.get_or_insert(now);
        if now.saturating_duration_since(since) >= LASTING {
            *self = Ladder { asked_at: self.asked_at, reached_since: Some(since), ..Ladder::default() };
        }
    }

    /// The state is not there.
    pub(crate) fn missed(&mut self) {
        self.reached_since = None;
    }

    /// Begins anew.
    pub(crate) fn re_arm(&mut self) {
        *self = Ladder { asked_at: self.asked_at, ..Ladder::default() };
    }

    /// All tries are open again, the next one no sooner than after a first.
    pub(crate) fn forgive(&mut self) {
        let next_at = self.asked_at.zip(PAUSES.first()).map(|(at, pause)| at + *pause);
        *self = Ladder { asked_at: self.asked_at, next_at, ..Ladder::default() };
    }

    /// Whether it has just been given up, once.
    pub(crate) fn gives_up(&mut self, now: Instant) -> bool {
        let is_new = self.step(now) == Step::GivenUp && !self.was_told && self.reached_since.is_none();
        self.was_told |= is_new;
        is_new
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_tries_with_growing_pauses_then_no_more() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut ladder = Ladder::default();
        for (now, next) in [(0, 60), (60, 360), (360, 1260)] {
            assert_eq!(ladder.step(at(now)), Step::Now);
            ladder.asked(at(now));
            assert_eq!(ladder.step(at(next - 1)), Step::At(at(next)));
            assert!(!ladder.gives_up(at(next - 1)));
        }
        assert_eq!(ladder.step(at(1260)), Step::GivenUp);
        assert!(ladder.gives_up(at(1260)));
        assert!(!ladder.gives_up(at(1270)));
        ladder.re_arm();
        assert_eq!(ladder.step(at(1270)), Step::Now);
    }

    #[test]
    fn what_does_not_last_goes_on_counting() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut ladder = Ladder::default();
        ladder.asked(at(0));
        ladder.reached(at(20));
        ladder.reached(at(319));
        assert_eq!(ladder.tries_left(), 2);
        ladder.reached(at(320));
        assert_eq!(ladder.tries_left(), 3);
    }
}
