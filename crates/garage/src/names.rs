//! Which car a report is about, and where home is.

use std::time::{Duration, Instant};

use evse::EventLevel;
use vehicle::{CarKey, Report};

use crate::Output;
use crate::car::Car;
use crate::garage::Garage;

/// A position older than this shows nobody's home.
const FRESH_FIX: Duration = Duration::from_secs(600);

impl Garage {
    /// Which car a report is about: a name stands for the one car of that name that is known by its VIN.
    pub(crate) fn place_of(&mut self, report: &Report) -> Option<CarKey> {
        let CarKey::Name(name) = &report.car else { return Some(report.car.clone()) };
        let mut same = self
            .cars
            .values()
            .filter(|car| car.key.vin().is_some() && car.state.name.as_ref().is_some_and(|seen| seen.value == *name));
        match (same.next(), same.next()) {
            (Some(car), None) => Some(car.key.clone()),
            (Some(_), Some(_)) => {
                let text = format!(
                    "{} tells of a car \"{name}\", and several cars have that name: it is kept apart. Give each car a name \
                     of its own, or name the VIN where {} is configured.",
                    report.source, report.source
                );
                if self.said.insert(("ambiguous_car", name.clone())) {
                    self.notice(None, EventLevel::Warning, "ambiguous_car", text, false);
                }
                Some(report.car.clone())
            }
            (None, _) => Some(report.car.clone()),
        }
    }

    /// A car known by VIN that learnt its name takes in the one that was known by this name only.
    pub(crate) fn join_names(&mut self, key: &CarKey) {
        let Some(car) = self.cars.get(key).filter(|car| car.key.vin().is_some()) else { return };
        let Some(name) = car.state.name.as_ref().map(|seen| seen.value.clone()) else { return };
        let has_name =
            |other: &&Car| other.key.vin().is_some() && matches!(&other.state.name, Some(seen) if seen.value == name);
        let count = self.cars.values().filter(has_name).count();
        let old = CarKey::Name(name);
        // What is under way is finished first.
        let is_busy = self.cars.get(&old).is_some_and(|old| old.open.is_some());
        if count != 1 || is_busy {
            return;
        }
        let Some(old_car) = self.cars.remove(&old) else { return };
        if let Some(car) = self.cars.get_mut(key) {
            for (source, alias) in old_car.known_as {
                car.known_as.entry(source).or_insert(alias);
            }
            for (source, way) in old_car.ways {
                car.ways.entry(source).or_insert(way);
            }
        }
        if let Some(entry) = self.kept.limits.remove(old.as_str()) {
            self.kept.limits.entry(key.as_str().to_owned()).or_insert(entry);
            self.keep();
        }
        self.changed.remove(&old);
        self.outputs.push_back(Output::Gone(old));
    }

    /// The first car that is seen parked shows where home is, when nobody configured it.
    pub(crate) fn seed_home(&mut self, now: Instant, key: &CarKey) {
        if self.home.is_some() {
            return;
        }
        let Some(car) = self.cars.get(key) else { return };
        let is_parked = car.plugged() == Some(true) || matches!(&car.state.parked, Some(seen) if seen.value);
        let Some(seen) = car.state.position.as_ref().filter(|_| is_parked) else { return };
        let is_fresh = seen.value.fixed_at.is_some_and(|at| now.saturating_duration_since(at) <= FRESH_FIX);
        if is_fresh {
            let position = (seen.value.latitude, seen.value.longitude);
            self.kept.home = Some(position);
            self.settings.home.position = Some(position);
            self.home = self.settings.home.home();
            self.keep();
            let text =
                "Home is taken to be where this car stands parked. If that is wrong, set the home position in the \
                        settings."
                    .to_owned();
            self.notice(Some(key.clone()), EventLevel::Info, "home_found", text, false);
        }
    }
}
