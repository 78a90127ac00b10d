//! Whether a car is at home, and what proves it. Never from an old position of a car that may have moved since.

use std::time::{Duration, Instant};

use vehicle::{ChargingState, Home, Report, VehicleState, Wakefulness, Whereabouts};

use crate::route;

/// A position, geofence or radio contact older than this needs proof that the car stood still.
const FRESH: Duration = Duration::from_secs(600);
/// A source that only tells when asked says nothing about a longer gap between its answers.
const LONGEST_GAP: Duration = Duration::from_secs(2 * 3600);

/// What proves where a car is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proof {
    /// It is plugged in at a local charging point.
    Connector,
    /// It was reached by radio.
    Radio,
    /// Its position.
    Position,
    /// The car or a geofence says so.
    Geofence,
    /// Nothing does.
    None,
}

/// Since when a car stands still, as far as reports tell.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Standing {
    /// Broken by long gaps too.
    since: Option<Instant>,
    /// Broken by news of moving only: good for sources that tell by themselves when a car moves.
    since_news: Option<Instant>,
    heard: Option<Instant>,
    was_asleep: bool,
    radio_at: Option<Instant>,
}

impl Standing {
    /// Takes up what a report says about standing and moving.
    pub(crate) fn take(&mut self, report: &Report) {
        let Some(at) = report.taken_at else { return };
        let facts = &report.facts;
        if route::is_radio(&report.source) && facts.wakefulness != Some(Wakefulness::Asleep) {
            self.radio_at = self.radio_at.max(Some(at));
        }
        if self.heard.is_some_and(|heard| at < heard) {
            return;
        }
        let has_cable = match (facts.plugged, facts.charging) {
            (Some(plugged), _) => Some(plugged),
            (None, charging) => charging.map(|charging| charging != ChargingState::Disconnected),
        };
        let is_asleep = facts.wakefulness == Some(Wakefulness::Asleep);
        let stands = has_cable == Some(true) || facts.parked == Some(true) || is_asleep;
        let moves = facts.parked == Some(false) || has_cable == Some(false) && facts.parked != Some(true);
        if facts.parked == Some(false) || moves && !stands {
            (self.since, self.since_news) = (None, None);
        } else if stands {
            // A car that slept before and after is taken to have slept on; it is looked at once it wakes.
            let slept_on = self.was_asleep && is_asleep;
            let was_silent = self.heard.is_some_and(|heard| at.saturating_duration_since(heard) > LONGEST_GAP);
            if was_silent && !slept_on {
                self.since = None;
            }
            self.since.get_or_insert(at);
            self.since_news.get_or_insert(at);
        }
        if facts.wakefulness.is_some() {
            self.was_asleep = is_asleep;
        }
        if stands || moves {
            self.heard = Some(at);
        }
    }

    /// Where the car is. `tells` says whether a source tells by itself when a car moves, and works.
    pub(crate) fn place(
        &self,
        now: Instant,
        state: &VehicleState,
        is_at_connector: bool,
        home: Option<&Home>,
        tells: impl Fn(&str) -> bool,
    ) -> (Whereabouts, Proof) {
        if is_at_connector {
            return (Whereabouts::Home, Proof::Connector);
        }
        let holds = |at: Instant, source: &str| {
            let since = if tells(source) { self.since_news } else { self.since };
            // A position may be somewhat older than the report that the car stands.
            now.saturating_duration_since(at) <= FRESH || since.is_some_and(|since| at + FRESH >= since)
        };
        let is_home = |is_home| if is_home { Whereabouts::Home } else { Whereabouts::Away };
        let by_position = state.position.as_ref().and_then(|seen| {
            let at = seen.value.fixed_at?;
            let place = home?.whereabouts(&seen.value, now, holds(at, &seen.source));
            (place != Whereabouts::Unknown).then_some((at, place, Proof::Position))
        });
        let by_fence = state.says_home.as_ref().and_then(|seen| {
            let at = seen.at?;
            holds(at, &seen.source).then_some((at, is_home(seen.value), Proof::Geofence))
        });
        let by_radio = self.radio_at.and_then(|at| {
            let is_near = now.saturating_duration_since(at) <= FRESH || self.since.is_some_and(|since| at >= since);
            is_near.then_some((at, Whereabouts::Home, Proof::Radio))
        });
        // Of what is equally new, the last counts.
        let newest = [by_radio, by_fence, by_position].into_iter().flatten().max_by_key(|(at, ..)| *at);
        newest.map_or((Whereabouts::Unknown, Proof::None), |(_, place, proof)| (place, proof))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use vehicle::{CarKey, Facts, Nearness, Position};

    const HOME: Home = Home { latitude: 50.0, longitude: 8.0, radius: 100.0 };

    struct Script {
        start: Instant,
        state: VehicleState,
        standing: Standing,
    }

    impl Script {
        fn new() -> Self {
            let state = VehicleState::new(CarKey::Name("car".to_owned()));
            Script { start: Instant::now(), state, standing: Standing::default() }
        }

        fn at(&self, seconds: u64) -> Instant {
            self.start + Duration::from_secs(seconds)
        }

        fn told(&mut self, seconds: u64, source: &str, facts: Facts) {
            let taken_at = Some(self.at(seconds));
            let car = self.state.car.clone();
            let report = Report { car, source: source.into(), nearness: Nearness::Cloud, taken_at, facts };
            self.state.take(&report);
            self.standing.take(&report);
        }

        fn fix(&self, seconds: u64, latitude: f64) -> Option<Position> {
            Position::new(latitude, 8.0, Some(self.at(seconds)))
        }

        fn place(&self, seconds: u64, tells: bool) -> Whereabouts {
            self.standing.place(self.at(seconds), &self.state, false, Some(&HOME), |_| tells).0
        }
    }

    #[test]
    fn an_old_fix_holds_while_the_cable_is_in_and_not_over_a_blind_gap() {
        let mut script = Script::new();
        let plugged = || Facts { plugged: Some(true), ..Facts::default() };
        script.told(1000, "cloud", Facts { position: script.fix(1000, 50.0), ..plugged() });
        assert_eq!(script.place(1500, false), Whereabouts::Home);
        // Asleep and unasked: it stays where it was seen, until it is heard again after a long silence.
        assert_eq!(script.place(30_000, false), Whereabouts::Home);
        script.told(30_000, "cloud", plugged());
        assert_eq!(script.place(30_000, false), Whereabouts::Unknown);
        // A source that tells by itself would have told that it moved.
        assert_eq!(script.place(30_000, true), Whereabouts::Home);
        script.told(30_100, "cloud", Facts { parked: Some(false), ..Facts::default() });
        assert_eq!(script.place(30_100, true), Whereabouts::Unknown);
        script.told(30_200, "cloud", Facts { position: script.fix(30_200, 50.1), ..plugged() });
        assert_eq!(script.place(30_300, false), Whereabouts::Away);
    }

    #[test]
    fn radio_contact_and_a_geofence_prove_it_too() {
        let mut script = Script::new();
        script.told(100, "TeslaBLE", Facts { plugged: Some(true), ..Facts::default() });
        assert_eq!(script.place(200, false), Whereabouts::Home);
        script.told(300, "TeslaMate", Facts { says_home: Some(false), ..Facts::default() });
        assert_eq!(script.place(310, true), Whereabouts::Away);
        let at = script.at(310);
        assert_eq!(
            script.standing.place(at, &script.state, true, None, |_| true),
            (Whereabouts::Home, Proof::Connector)
        );
    }
}
