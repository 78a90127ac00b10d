//! What front ends and controllers see of the cars.

use std::sync::Arc;
use std::time::{Duration, Instant};

use units::Amps;
use vehicle::{CarKey, Request, VehicleState, Wakefulness, Whereabouts};

use crate::car::{Car, ConnectorView};
use crate::garage::{Garage, last_words, wakefulness};
use crate::{CarSetting, Proof, Why, Wish, route};

/// One car, for people and for controllers.
#[derive(Debug, Clone, PartialEq)]
pub struct CarView {
    /// Which car.
    pub key: CarKey,
    /// What is known, each field with its age and source.
    pub state: Arc<VehicleState>,
    /// Where it is, and what proves it.
    pub place: (Whereabouts, Proof),
    /// Whether it sleeps.
    pub wakefulness: Option<Wakefulness>,
    /// Whether a cable is plugged in, by the charging point or the car.
    pub plugged: Option<bool>,
    /// Whether current flows, by the charging point or the car.
    pub flows: Option<bool>,
    /// What its local charging point shows.
    pub connector: Option<ConnectorView>,
    /// What is granted to it.
    pub wish: Wish,
    /// Why it may not charge here.
    pub not_permitted: Option<String>,
    /// What keeps it from using power now, as long as that lasts.
    pub declines: Option<Why>,
    /// Current that it was last told and acknowledged, and when.
    pub set: Option<(Amps, Instant)>,
    /// When it was last told to start.
    pub started_at: Option<Instant>,
    /// When it was last told to stop.
    pub stopped_at: Option<Instant>,
    /// The last question: in words, when, and what came of it.
    pub asked: Option<LastAsked>,
    /// Why nothing is being sent.
    pub why: Why,
    /// Tries left before starting is given up.
    pub tries_left: usize,
    /// Starts in the last hour.
    pub starts: usize,
    /// When something is done about it next, if known.
    pub next_at: Option<Instant>,
    /// Whether any source can command it, whatever stands in the way for a while.
    pub can_command: bool,
    /// Whether any source can wake it.
    pub can_wake: bool,
    /// Whether any source that knows it charges for calls.
    pub is_billed: bool,
    /// Whether waking it now would cost.
    pub is_wake_billed: bool,
    /// The sources that know it.
    pub sources: Vec<Arc<str>>,
    /// What is configured for it.
    pub setting: CarSetting,
    /// When anything but its sleep was last told.
    pub heard_at: Option<Instant>,
}

/// The last question about a car.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastAsked {
    /// Such as "TeslaAPI was asked to start charging".
    pub text: String,
    /// When.
    pub at: Instant,
    /// What came of it; `None` while it is under way.
    pub outcome: Option<String>,
}

impl CarView {
    /// The name people see.
    #[must_use]
    pub fn name(&self) -> &str {
        self.state.shown_name()
    }

    /// How old the last word from the car is.
    #[must_use]
    pub fn age(&self, now: Instant) -> Option<Duration> {
        Some(now.saturating_duration_since(self.heard_at?))
    }
}

impl Garage {
    /// All cars.
    #[must_use]
    pub fn views(&self, now: Instant) -> Vec<CarView> {
        self.cars.values().map(|car| self.view_of(now, car)).collect()
    }

    /// One car.
    #[must_use]
    pub fn view(&self, now: Instant, key: &CarKey) -> Option<CarView> {
        self.cars.get(key).map(|car| self.view_of(now, car))
    }

    fn view_of(&self, now: Instant, car: &Car) -> CarView {
        let could = |request| route::could(&car.ways, &self.sources, self.settings.policy, request);
        CarView {
            key: car.key.clone(),
            state: Arc::new(car.state.clone()),
            place: car.place,
            wakefulness: wakefulness(car),
            plugged: car.plugged(),
            flows: car.flows(),
            connector: car.connector,
            wish: car.wish,
            not_permitted: car.not_permitted.clone(),
            declines: self.declines(now, car),
            set: car.rate.set(),
            started_at: car.start.asked_at(),
            stopped_at: car.stop.asked_at(),
            asked: car.last.as_ref().zip(last_words(car)).map(|(last, (text, outcome))| LastAsked {
                text,
                at: last.at,
                outcome,
            }),
            why: car.why.clone(),
            tries_left: car.start.tries_left(),
            starts: car.starts.len(),
            next_at: car.next_at,
            can_command: could(Request::Stop),
            can_wake: could(Request::Wake),
            is_billed: car.ways.values().any(|way| way.abilities.is_billed),
            is_wake_billed: self.is_wake_billed(now, car),
            sources: car.ways.keys().cloned().collect(),
            setting: self.settings.cars.get(car.key.as_str()).copied().unwrap_or_default(),
            heard_at: car.heard_at(),
        }
    }

    /// By the way that would be taken; the dearest where none is open.
    fn is_wake_billed(&self, now: Instant, car: &Car) -> bool {
        let costs = |way: &route::Way| way.abilities.wakes && way.abilities.is_billed;
        match route::choose(now, &car.ways, &self.sources, self.settings.policy, Request::Wake) {
            Ok(names) => names.first().and_then(|name| car.ways.get(name)).is_some_and(costs),
            Err(_) => car.ways.values().any(costs),
        }
    }
}
