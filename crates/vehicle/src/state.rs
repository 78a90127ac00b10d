//! The reports of all sources in one.

use std::sync::Arc;
use std::time::{Duration, Instant};

use units::{Amps, Percent, Phases, Volts, WattHours, Watts};

use crate::{CarKey, ChargingState, Facts, Nearness, Position, Report, Wakefulness};

/// For so long what a nearer source told is kept against a farther one: a cloud repeats what it heard some seconds ago.
const NEARER_HOLDS: Duration = Duration::from_secs(20);

/// A value with its age and its source.
#[derive(Debug, Clone, PartialEq)]
pub struct Seen<T> {
    /// The value.
    pub value: T,
    /// When it was true; `None` is unknown, and nothing may be decided by it.
    pub at: Option<Instant>,
    /// Who told.
    pub source: Arc<str>,
    /// How near that source is.
    pub nearness: Nearness,
}

impl<T> Seen<T> {
    /// How old it is; `None` when that is not known.
    #[must_use]
    pub fn age(&self, now: Instant) -> Option<Duration> {
        Some(now.saturating_duration_since(self.at?))
    }

    /// The value if it is at most so old.
    #[must_use]
    pub fn within(&self, now: Instant, most: Duration) -> Option<&T> {
        self.age(now).filter(|age| *age <= most).map(|_| &self.value)
    }
}

/// What is known of one car, each field with its age and source.
#[derive(Debug, Clone, PartialEq)]
#[expect(missing_docs, reason = "the fields are those of `Facts`, where each is explained")]
pub struct VehicleState {
    pub car: CarKey,
    pub name: Option<Seen<String>>,
    pub soc: Option<Seen<Percent>>,
    pub limit: Option<Seen<Percent>>,
    pub charging: Option<Seen<ChargingState>>,
    pub plugged: Option<Seen<bool>>,
    pub amps_requested: Option<Seen<Amps>>,
    pub amps_possible: Option<Seen<Amps>>,
    pub amps_offered: Option<Seen<Amps>>,
    pub amps: Option<Seen<Amps>>,
    pub volts: Option<Seen<Volts>>,
    pub drawn: Option<Seen<Watts>>,
    pub phases: Option<Seen<Phases>>,
    pub energy_added: Option<Seen<WattHours>>,
    pub to_limit: Option<Seen<Duration>>,
    pub wakefulness: Option<Seen<Wakefulness>>,
    pub parked: Option<Seen<bool>>,
    pub position: Option<Seen<Position>>,
    pub says_home: Option<Seen<bool>>,
    pub schedule_pending: Option<Seen<bool>>,
    pub fast_charger: Option<Seen<bool>>,
}

impl VehicleState {
    /// A car of which nothing is known.
    #[must_use]
    pub fn new(car: CarKey) -> Self {
        VehicleState {
            car,
            name: None,
            soc: None,
            limit: None,
            charging: None,
            plugged: None,
            amps_requested: None,
            amps_possible: None,
            amps_offered: None,
            amps: None,
            volts: None,
            drawn: None,
            phases: None,
            energy_added: None,
            to_limit: None,
            wakefulness: None,
            parked: None,
            position: None,
            says_home: None,
            schedule_pending: None,
            fast_charger: None,
        }
    }

    /// Takes up a report, field by field; a field whose known value is newer, or as new and nearer, stays.
    pub fn take(&mut self, report: &Report) {
        let Facts {
            name,
            soc,
            limit,
            charging,
            plugged,
            amps_requested,
            amps_possible,
            amps_offered,
            amps,
            volts,
            drawn,
            phases,
            energy_added,
            to_limit,
            wakefulness,
            parked,
            position,
            says_home,
            schedule_pending,
            fast_charger,
        } = &report.facts;
        put(&mut self.name, name.as_ref(), report);
        put(&mut self.soc, soc.as_ref(), report);
        put(&mut self.limit, limit.as_ref(), report);
        put(&mut self.charging, charging.as_ref(), report);
        put(&mut self.plugged, plugged.as_ref(), report);
        put(&mut self.amps_requested, amps_requested.as_ref(), report);
        put(&mut self.amps_possible, amps_possible.as_ref(), report);
        put(&mut self.amps_offered, amps_offered.as_ref(), report);
        put(&mut self.amps, amps.as_ref(), report);
        put(&mut self.volts, volts.as_ref(), report);
        put(&mut self.drawn, drawn.as_ref(), report);
        put(&mut self.phases, phases.as_ref(), report);
        put(&mut self.energy_added, energy_added.as_ref(), report);
        put(&mut self.to_limit, to_limit.as_ref(), report);
        put(&mut self.wakefulness, wakefulness.as_ref(), report);
        put(&mut self.parked, parked.as_ref(), report);
        put(&mut self.position, position.as_ref(), report);
        put(&mut self.says_home, says_home.as_ref(), report);
        put(&mut self.schedule_pending, schedule_pending.as_ref(), report);
        put(&mut self.fast_charger, fast_charger.as_ref(), report);
        self.settle_plug(report);
        if !self.is_charging() {
            // What it last drew is past, whoever told.
            self.amps = self.amps.take().map(|seen| Seen { value: Amps::ZERO, ..seen });
            self.drawn = self.drawn.take().map(|seen| Seen { value: Watts::ZERO, ..seen });
        }
    }

    /// A state of the charger says whether there is a cable, and the other way round.
    fn settle_plug(&mut self, report: &Report) {
        let Facts { charging, plugged, .. } = &report.facts;
        let told = match (plugged, charging) {
            (Some(plugged), _) => Some(*plugged),
            (None, Some(charging)) => Some(*charging != ChargingState::Disconnected),
            (None, None) => None,
        };
        put(&mut self.plugged, told.as_ref(), report);
        if told == Some(false) && charging.is_none() {
            put(&mut self.charging, Some(&ChargingState::Disconnected), report);
        }
    }

    /// Whether current flows, as far as the car tells.
    #[must_use]
    pub fn is_charging(&self) -> bool {
        self.charging.as_ref().is_some_and(|seen| seen.value == ChargingState::Charging)
    }

    /// Power that flowed when the car last told: volts × amps × phases, or what a source measured where one of them is not
    /// known. Zero when it said that it does not charge, `None` when that is not known.
    #[must_use]
    pub fn power(&self) -> Option<Watts> {
        let charging = self.charging.as_ref()?;
        if charging.value != ChargingState::Charging {
            return Some(Watts::ZERO);
        }
        let product = match (&self.amps, &self.volts, &self.phases) {
            (Some(amps), Some(volts), Some(phases)) => Some(amps.value.watts(volts.value, phases.value)),
            _ => None,
        };
        product.or_else(|| self.drawn.as_ref().map(|seen| seen.value))
    }

    /// When any source last told anything whose age is known.
    #[must_use]
    pub fn heard_at(&self) -> Option<Instant> {
        let all = [
            self.soc.as_ref().and_then(|seen| seen.at),
            self.charging.as_ref().and_then(|seen| seen.at),
            self.plugged.as_ref().and_then(|seen| seen.at),
            self.wakefulness.as_ref().and_then(|seen| seen.at),
            self.amps.as_ref().and_then(|seen| seen.at),
            self.position.as_ref().and_then(|seen| seen.at),
        ];
        all.into_iter().flatten().max()
    }

    /// The name people see: the owner's, else VIN or name of the source.
    #[must_use]
    pub fn shown_name(&self) -> &str {
        self.name.as_ref().map_or(self.car.as_str(), |seen| &seen.value)
    }
}

fn put<T: Clone>(known: &mut Option<Seen<T>>, told: Option<&T>, report: &Report) {
    let Some(value) = told else { return };
    let stays = known.as_ref().is_some_and(|known| match (known.at, report.taken_at) {
        (Some(_), None) => true,
        (Some(before), Some(at)) if known.nearness > report.nearness => at < before + NEARER_HOLDS,
        (Some(before), Some(at)) => at < before,
        (None, _) => false,
    });
    if !stays {
        let (source, nearness) = (Arc::clone(&report.source), report.nearness);
        *known = Some(Seen { value: value.clone(), at: report.taken_at, source, nearness });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use evse::Vin;

    fn car() -> CarKey {
        CarKey::Vin(Vin::parse("LRW3F7EK0NC000001").unwrap())
    }

    fn report(source: &str, nearness: Nearness, taken_at: Option<Instant>, facts: Facts) -> Report {
        Report { car: car(), source: source.into(), nearness, taken_at, facts }
    }

    fn soc(percent: f64) -> Facts {
        Facts { soc: Percent::new(percent).ok(), ..Facts::default() }
    }

    fn known(state: &VehicleState) -> f64 {
        state.soc.as_ref().unwrap().value.get()
    }

    #[test]
    fn newest_and_nearest_wins_field_by_field() {
        let start = Instant::now();
        let at = |seconds| Some(start + Duration::from_secs(seconds));
        let mut state = VehicleState::new(car());
        state.take(&report("mqtt", Nearness::Copy, None, soc(10.0)));
        assert_eq!((known(&state), state.heard_at()), (10.0, None));
        state.take(&report("cloud", Nearness::Cloud, at(100), soc(50.0)));
        state.take(&report("mqtt", Nearness::Copy, None, soc(11.0)));
        state.take(&report("cloud", Nearness::Cloud, at(90), soc(49.0)));
        assert_eq!(known(&state), 50.0);
        state.take(&report("ble", Nearness::Car, at(101), soc(51.0)));
        state.take(&report("cloud", Nearness::Cloud, at(110), soc(50.0)));
        assert_eq!((known(&state), &*state.soc.as_ref().unwrap().source), (51.0, "ble"));
        state.take(&report("cloud", Nearness::Cloud, at(121), soc(52.0)));
        assert_eq!(known(&state), 52.0);
    }

    #[test]
    fn the_state_of_the_charger_tells_the_plug_and_the_power() {
        let at = Some(Instant::now());
        let mut state = VehicleState::new(car());
        let facts = Facts {
            charging: Some(ChargingState::Charging),
            amps: Some(Amps::from_whole(16)),
            volts: Volts::new(231.0).ok(),
            phases: Some(Phases::Three),
            ..Facts::default()
        };
        state.take(&report("cloud", Nearness::Cloud, at, facts));
        assert!(state.plugged.as_ref().unwrap().value);
        assert_eq!(state.power().unwrap().get(), 11_088.0);
        let facts = Facts { plugged: Some(false), ..Facts::default() };
        state.take(&report("cloud", Nearness::Cloud, at, facts));
        assert_eq!(state.charging.as_ref().unwrap().value, ChargingState::Disconnected);
        assert_eq!(state.power(), Some(Watts::ZERO));
        assert_eq!(state.amps.as_ref().unwrap().value, Amps::ZERO);
    }
}
