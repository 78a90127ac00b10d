//! Somebody plugged in at a charging point that is told no VIN: which car may it have been?

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use vehicle::Whereabouts;

use crate::car::Car;
use crate::garage::Garage;
use crate::route::SourceState;

/// By then the car has told its cloud, and a charging point that can read its VIN has done so.
const LOOK_AFTER: Duration = Duration::from_secs(25);
/// A cable that a look of this kind has found needs no further look.
const FOUND_WITHIN: Duration = Duration::from_secs(60);

impl Garage {
    /// A car was plugged in at a local charging point that does not tell which one: each that it can have been is looked
    /// at once, soon; of one that sleeps it is only asked whether it still does.
    pub fn handle_unknown_plug_in(&mut self, now: Instant) {
        let sources = &self.sources;
        for car in self.cars.values_mut().filter(|car| car.may_have_come(sources)) {
            car.guess_look = Some(now + LOOK_AFTER);
        }
        self.step(now);
    }

    /// It is known who was plugged in.
    pub(crate) fn end_guessing(&mut self) {
        self.cars.values_mut().for_each(|car| car.guess_look = None);
    }
}

impl Car {
    fn may_have_come(&self, sources: &BTreeMap<Arc<str>, SourceState>) -> bool {
        let tells = |source: Option<&Arc<str>>| source.is_some_and(|source| self.tells(sources, source));
        // Who tells of its cable by itself needs no question.
        let is_told = tells(self.state.plugged.as_ref().map(|seen| &seen.source))
            || tells(self.state.charging.as_ref().map(|seen| &seen.source));
        // One on the road may have come home since, and one that slept elsewhere is asked so rarely that it may have, too.
        let may_be_here = self.place.0 != Whereabouts::Away || self.is_driving() || self.is_asleep();
        may_be_here && self.plugged() != Some(true) && !is_told
    }

    /// Whether a plug-in that is noticed now was found by such a look: the car has had its time.
    pub(crate) fn has_guessed(&self, now: Instant) -> bool {
        self.guessed_at.is_some_and(|at| now.saturating_duration_since(at) <= FOUND_WITHIN)
    }
}
