//! What the meter inside a connector tells: steady volts, phases in use, and the unit of its energy counter.

use std::time::{Duration, Instant};

use gen2_protocol::{EnergyCounter, Meter};
use units::{Amps, PerPhase, Phases, Volts, WattHours, Watts};

/// A voltage moves what we reckon with only when it differs by more than this: jitter must not move an offer.
const VOLT_HYSTERESIS: f64 = 0.02;
/// Below this a phase is not connected. The lowest mains voltage anywhere is 100 V.
const CONNECTED: u16 = 80;
/// Phases are learnt only while the car draws this much: half amps resolve nothing less.
const ENOUGH_TO_TELL_PHASES: Amps = Amps::from_whole(3);
/// A phase that carries this is in use.
const PHASE_IN_USE: Amps = Amps::from_whole(1);
/// So many readings in a row must agree on the phases.
const READINGS_TO_BELIEVE: u8 = 2;
/// The counter's unit is told after this much energy.
const ENERGY_TO_TELL_UNIT: f64 = 1_000.0;
/// Power readings further apart than this are not integrated across.
const LONGEST_STEP: Duration = Duration::from_secs(10);

/// The meter of one connector.
#[derive(Debug, Clone)]
pub(crate) struct Metering {
    default_volts: Volts,
    configured_phases: Option<Phases>,
    steady_volts: Option<Volts>,
    volts: PerPhase<Option<Volts>>,
    currents: Option<(PerPhase<Amps>, Instant)>,
    learnt: Option<Phases>,
    candidate: Option<(Phases, u8)>,
    counter: Option<EnergyCounter>,
    scale: Option<Scale>,
    anchor: Option<EnergyCounter>,
    integrated: f64,
    power_at: Option<(Watts, Instant)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scale {
    WattHours,
    KilowattHours,
}

impl Metering {
    pub(crate) fn new(default_volts: Volts, configured_phases: Option<Phases>) -> Self {
        Metering {
            default_volts,
            configured_phases,
            steady_volts: None,
            volts: PerPhase::unknown(),
            currents: None,
            learnt: None,
            candidate: None,
            counter: None,
            scale: None,
            anchor: None,
            integrated: 0.0,
            power_at: None,
        }
    }

    /// A meter reading arrived.
    pub(crate) fn take(&mut self, meter: &Meter, now: Instant) {
        self.take_volts(meter.volts);
        if let Some([a, b, c]) = meter.currents() {
            let amps = |current: gen2_protocol::CentiAmps| Amps::from_centiamps(i32::from(current.0));
            let currents = PerPhase::new(amps(a), amps(b), amps(c));
            self.currents = Some((currents, now));
            self.learn_phases(currents);
        }
        self.take_counter(meter.energy);
    }

    /// A heartbeat told the current: power is integrated to find the counter's unit.
    pub(crate) fn take_draw(&mut self, drawn: Amps, now: Instant) {
        if let Some((power, at)) = self.power_at {
            let step = now.saturating_duration_since(at);
            if step <= LONGEST_STEP {
                self.integrated += power.for_seconds(step.as_secs_f64()).get();
            }
        }
        let power = if drawn >= PHASE_IN_USE { drawn.watts(self.volts_now(), self.phases()) } else { Watts::ZERO };
        self.power_at = Some((power, now));
    }

    /// The car has gone: the next one may use other phases.
    pub(crate) fn forget_car(&mut self) {
        self.learnt = None;
        self.candidate = None;
        self.currents = None;
    }

    /// Volts of one phase to reckon with, held steady.
    pub(crate) fn volts_now(&self) -> Volts {
        self.steady_volts.unwrap_or(self.default_volts)
    }

    /// Phases to reckon with: learnt from currents, else configured, else those with a voltage.
    pub(crate) fn phases(&self) -> Phases {
        let connected = self.volts.iter().filter(|(_, volts)| volts.is_some()).count();
        let connected = u8::try_from(connected).ok().and_then(Phases::from_count);
        let configured = match (self.configured_phases, connected) {
            // Nobody charges on phases that are not connected.
            (Some(configured), Some(connected)) => Some(configured.min(connected)),
            (Some(configured), None) => Some(configured),
            (None, connected) => connected,
        };
        self.learnt.or(configured).unwrap_or(Phases::One)
    }

    /// Volts of each phase as measured.
    pub(crate) fn volts(&self) -> PerPhase<Option<Volts>> {
        self.volts
    }

    /// Currents of each phase, if read within `age`.
    pub(crate) fn currents(&self, now: Instant, age: Duration) -> Option<PerPhase<Amps>> {
        self.currents.filter(|(_, at)| now.saturating_duration_since(*at) <= age).map(|(currents, _)| currents)
    }

    /// The energy counter in the best known unit.
    pub(crate) fn energy(&self) -> Option<WattHours> {
        let counter = self.counter?;
        let factor = match self.scale {
            Some(Scale::WattHours) => 1.0,
            Some(Scale::KilowattHours) => 1_000.0,
            None if counter.looks_like_watt_hours() => 1.0,
            None => 1_000.0,
        };
        Some(WattHours::saturating(f64::from(counter.0) * factor))
    }

    fn take_volts(&mut self, measured: [u16; 3]) {
        let volts =
            measured.map(|volts| (CONNECTED..=400).contains(&volts).then(|| Volts::saturating(f64::from(volts))));
        let known: Vec<f64> = volts.iter().flatten().map(|volts| volts.get()).collect();
        let [a, b, c] = volts;
        self.volts = PerPhase::new(a, b, c);
        if known.is_empty() {
            return;
        }
        #[allow(clippy::cast_precision_loss, reason = "at most three")]
        let mean = (known.iter().sum::<f64>() / known.len() as f64).round();
        let moved = self.steady_volts.is_none_or(|steady| (steady.get() - mean).abs() > steady.get() * VOLT_HYSTERESIS);
        if moved {
            self.steady_volts = Some(Volts::saturating(mean));
        }
    }

    fn learn_phases(&mut self, currents: PerPhase<Amps>) {
        let in_use = currents.iter().filter(|(_, amps)| **amps >= PHASE_IN_USE).count();
        let most = currents.into_array().into_iter().max().unwrap_or(Amps::ZERO);
        let Some(phases) = u8::try_from(in_use).ok().and_then(Phases::from_count) else { return };
        if most < ENOUGH_TO_TELL_PHASES {
            return;
        }
        let seen = match self.candidate {
            Some((candidate, seen)) if candidate == phases => seen.saturating_add(1),
            _ => 1,
        };
        self.candidate = Some((phases, seen));
        if seen >= READINGS_TO_BELIEVE {
            self.learnt = Some(phases);
        }
    }

    fn take_counter(&mut self, counter: EnergyCounter) {
        let anchor = *self.anchor.get_or_insert(counter);
        self.counter = Some(counter);
        let Some(growth) = counter.0.checked_sub(anchor.0) else {
            // It ran backwards: replaced or damaged; start anew.
            self.anchor = Some(counter);
            self.integrated = 0.0;
            return;
        };
        if self.integrated < ENERGY_TO_TELL_UNIT {
            return;
        }
        // Wide bounds: one unit was seen to count half of what flowed, and the phases may have been guessed. A counter in
        // kilowatt-hours may show one less or more.
        let growth = f64::from(growth);
        let kilowatt_hours = self.integrated / 1_000.0;
        if growth >= self.integrated * 0.2 && growth <= self.integrated * 5.0 {
            self.scale = Some(Scale::WattHours);
        } else if growth >= 1.0 && growth <= kilowatt_hours * 5.0 + 1.0 {
            self.scale = Some(Scale::KilowattHours);
        } else if growth < 1.0 && kilowatt_hours < 5.0 {
            return;
        }
        self.anchor = Some(counter);
        self.integrated = 0.0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gen2_protocol::TwcId;

    fn meter(energy: u32, volts: [u16; 3], half_amps: Option<[u8; 3]>) -> Meter {
        Meter { unit: TwcId::from_u16(0x4085), energy: EnergyCounter(energy), volts, half_amps }
    }

    fn metering() -> Metering {
        Metering::new(Volts::saturating(240.0), None)
    }

    #[test]
    fn jitter_does_not_move_the_voltage() {
        let (mut metering, now) = (metering(), Instant::now());
        assert_eq!(metering.volts_now().get(), 240.0);
        for (volts, steady) in [(230, 230.0), (232, 230.0), (227, 230.0), (234, 230.0), (236, 236.0), (232, 236.0)] {
            metering.take(&meter(1, [volts, volts, volts], None), now);
            assert_eq!(metering.volts_now().get(), steady, "after {volts}");
        }
        metering.take(&meter(1, [0, 0, 0], None), now);
        assert_eq!(metering.volts_now().get(), 236.0, "an empty reading is no voltage");
        assert_eq!(metering.volts(), PerPhase::unknown());
    }

    #[test]
    fn field_problem_15_a_one_phase_car_on_a_three_phase_connector_is_learnt() {
        let (mut metering, now) = (metering(), Instant::now());
        let three = [230, 231, 229];
        metering.take(&meter(1, three, Some([0, 0, 0])), now);
        assert_eq!(metering.phases(), Phases::Three);
        metering.take(&meter(1, three, Some([32, 0, 0])), now);
        assert_eq!(metering.phases(), Phases::Three, "one reading proves nothing");
        metering.take(&meter(1, three, Some([32, 0, 0])), now);
        assert_eq!(metering.phases(), Phases::One);
        metering.take(&meter(1, three, Some([0, 0, 0])), now);
        assert_eq!(metering.phases(), Phases::One, "a pause is not another car");
        metering.forget_car();
        assert_eq!(metering.phases(), Phases::Three);
    }

    #[test]
    fn configured_phases_hold_until_the_connector_shows_fewer() {
        let mut metering = Metering::new(Volts::saturating(230.0), Some(Phases::Three));
        assert_eq!(metering.phases(), Phases::Three);
        metering.take(&meter(1, [241, 0, 0], None), Instant::now());
        assert_eq!(metering.phases(), Phases::One);
    }

    /// Charges at 16 A on one phase of 230 V for `hours`, with a counter that moves by `step` per kilowatt-hour.
    fn charge(first: u32, per_kwh: f64, hours: u32) -> Metering {
        let (mut metering, start) = (metering(), Instant::now());
        for second in 0..hours * 3600 {
            let now = start + Duration::from_secs(u64::from(second));
            metering.take_draw(Amps::from_whole(16), now);
            if second % 10 == 0 {
                let kwh = 3.68 * f64::from(second) / 3600.0;
                #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
                let counter = first + (kwh * per_kwh) as u32;
                metering.take(&meter(counter, [230, 0, 0], Some([32, 0, 0])), now);
            }
        }
        metering
    }

    #[test]
    fn field_problem_14_the_counters_unit_is_told_by_its_growth() {
        // A new unit in watt-hours, small enough to be taken for kilowatt-hours at first.
        let small = charge(5_000, 1_000.0, 2);
        assert!((small.energy().unwrap().get() - 12_350.0).abs() < 50.0, "{:?}", small.energy());
        // Kilowatt-hours.
        let kwh = charge(924, 1.0, 3);
        assert_eq!(kwh.energy().unwrap().get(), 935_000.0);
        // Kilowatt-hours with a stuck high bit: the growth tells better than the size.
        let stuck = charge(0x40_00B4, 1.0, 3);
        assert!(stuck.energy().unwrap().get() > 1e9);
        // One that counts half of what flows.
        let half = charge(924, 0.5, 4);
        assert_eq!(half.energy().unwrap().get(), 931_000.0);
        // Untold: the size decides.
        let mut untold = metering();
        untold.take(&meter(10_690_796, [241, 0, 0], None), Instant::now());
        assert_eq!(untold.energy().unwrap().get(), 10_690_796.0);
    }
}
