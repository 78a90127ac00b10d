//! What energy sources share that read one electricity meter: its place in the house, its phases, and the reading they make.
//!
//! | part | is |
//! |---|---|
//! | [`Meter`], [`PhaseValues`] | what the meter shows, in plain numbers; unknown is `None` |
//! | [`Role`] | where it sits: at the grid connection, at a solar system, at the house |
//! | [`Meter::reading`] | both together as an [`EmsReading`] |
//!
//! A meter at the grid connection cannot tell solar generation from the house's use. As TWCManager did, its import is given
//! as `consumption` and its export as `generation`, and the attribute [`GRID_ONLY`] says so.
//!
//! ```
//! use ems_meter::{Meter, PhaseValues, Role};
//!
//! let l1 = PhaseValues { watts: Some(-1150.0), amps: Some(5.0), volts: Some(230.0) };
//! let meter = Meter { watts: Some(-1150.0), phases: [l1, PhaseValues::default(), PhaseValues::default()], ..Meter::default() };
//! let reading = meter.reading(Role::Grid, std::time::Instant::now())?;
//! assert_eq!(reading.grid_current.l1.map(|amps| amps.get()), Some(-5.0));
//! # Ok::<(), ems::EmsError>(())
//! ```
//!
//! For drivers. A device that shows more than one place (inverter with meter and battery) makes its reading itself.

mod role;

use std::time::Instant;

use ems::units::{Amps, OutOfRange, PerPhase, Volts, Watts};
use ems::{Attribute, EmsError, EmsReading};

pub use role::{INVERT, Inversion, ROLE, Role};

/// Attribute of a reading whose generation is the export, and whose consumption is the import, of the grid connection.
pub const GRID_ONLY: &str = "gridOnly";

/// Attribute of a reading: the counter of energy that came in, in kWh.
pub const IMPORT_KWH: &str = "importKWh";

/// Attribute of a reading: the counter of energy that went out, in kWh.
pub const EXPORT_KWH: &str = "exportKWh";

/// Attribute of a reading whose currents are cut to whole amps: the real ones are up to 1 A more.
pub const WHOLE_AMPS: &str = "wholeAmps";

/// A phase below this has no voltage: a wire that is not connected, or a meter that does not measure it.
const NO_VOLTS: f64 = 1.0;

/// What a meter shows of one phase.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct PhaseValues {
    /// Active power in watts; import positive at the grid connection.
    pub watts: Option<f64>,
    /// Current in amps, as a magnitude or signed, as the meter shows it.
    pub amps: Option<f64>,
    /// Voltage against neutral.
    pub volts: Option<f64>,
}

/// What a meter shows.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Meter {
    /// Active power of all phases in watts; import positive at the grid connection.
    pub watts: Option<f64>,
    /// The phases L1, L2, L3.
    pub phases: [PhaseValues; 3],
    /// Energy that came in through the meter since it was made, in kWh.
    pub import_kwh: Option<f64>,
    /// Energy that went out.
    pub export_kwh: Option<f64>,
}

impl Meter {
    /// Currents with the sign of their phase's power.
    ///
    /// Where the meter tells no power of a phase, a magnitude counts as import as long as the whole is import; while the
    /// whole is export the direction of a single phase is not known, and so is its current.
    #[must_use]
    pub fn signed_amps(&self) -> [Option<f64>; 3] {
        self.phases.map(|phase| match (phase.amps?, phase.watts) {
            (amps, Some(watts)) if watts < 0.0 => Some(-amps.abs()),
            (amps, Some(watts)) if watts > 0.0 => Some(amps.abs()),
            (amps, Some(_)) => Some(amps),
            (amps, None) if amps < 0.0 || self.watts.is_none_or(|watts| watts >= 0.0) => Some(amps),
            _ => None,
        })
    }

    /// Voltages; one that reads 0 is a wire that is not there.
    #[must_use]
    pub fn volts(&self) -> [Option<f64>; 3] {
        self.phases.map(|phase| phase.volts.filter(|volts| *volts >= NO_VOLTS))
    }

    /// The sum of the phases' powers; unknown when that of any phase is not known that has a current or a voltage.
    #[must_use]
    pub fn sum_of_phases(&self) -> Option<f64> {
        let is_there = |phase: &PhaseValues| *phase != PhaseValues::default();
        let mut present = self.phases.iter().filter(|phase| is_there(phase)).peekable();
        present.peek()?;
        present.map(|phase| phase.watts).sum()
    }

    /// The meter with the signs of these phases, or of all, turned round.
    #[must_use]
    pub fn inverted(mut self, inversion: Inversion) -> Self {
        match inversion {
            Inversion::None => {}
            Inversion::All => {
                self.watts = self.watts.map(|watts| -watts);
                std::mem::swap(&mut self.import_kwh, &mut self.export_kwh);
                self.phases = self.phases.map(turned);
            }
            Inversion::Phases(which) => {
                // The meter's own total has the wrong sign of that phase in it: take it out twice.
                for (phase, _) in self.phases.iter_mut().zip(which).filter(|(_, is_wrong)| *is_wrong) {
                    self.watts = match (self.watts, phase.watts) {
                        (Some(total), Some(watts)) => Some(total - 2.0 * watts),
                        _ => None,
                    };
                    *phase = turned(*phase);
                }
            }
        }
        self
    }

    /// The reading that a meter at this place makes. Phases are told at the grid connection only.
    ///
    /// # Errors
    /// When a number cannot be what it claims to be.
    pub fn reading(&self, role: Role, taken_at: Instant) -> Result<EmsReading, EmsError> {
        let mut reading = EmsReading::at(taken_at);
        match role {
            Role::Grid => self.at_grid(&mut reading)?,
            Role::Generation => {
                reading.generation = self.watts.map(|watts| Watts::new(watts.abs())).transpose()?;
            }
            Role::Consumption => {
                reading.consumption = self.watts.map(|watts| Watts::new(watts.max(0.0))).transpose()?;
            }
        }
        for (name, energy) in [(IMPORT_KWH, self.import_kwh), (EXPORT_KWH, self.export_kwh)] {
            if let Some(kwh) = energy.filter(|kwh| kwh.is_finite()) {
                reading.attributes.insert(name.to_owned(), Attribute::Number(kwh));
            }
        }
        Ok(reading)
    }

    fn at_grid(&self, reading: &mut EmsReading) -> Result<(), OutOfRange> {
        reading.grid = self.watts.map(Watts::new).transpose()?;
        reading.consumption = self.watts.map(|watts| Watts::new(watts.max(0.0))).transpose()?;
        reading.generation = self.watts.map(|watts| Watts::new((-watts).max(0.0))).transpose()?;
        reading.grid_power = three(self.phases.map(|phase| phase.watts), Watts::new)?;
        reading.grid_current = three(self.signed_amps(), Amps::new)?;
        reading.grid_volts = three(self.volts(), Volts::new)?;
        reading.attributes.insert(GRID_ONLY.to_owned(), Attribute::Flag(true));
        Ok(())
    }
}

fn turned(phase: PhaseValues) -> PhaseValues {
    PhaseValues {
        watts: phase.watts.map(|watts| -watts),
        // A magnitude takes the sign of the power later; a sign of its own must follow the power.
        amps: phase.amps.map(|amps| if amps < 0.0 { -amps } else { amps }),
        volts: phase.volts,
    }
}

fn three<T>(
    values: [Option<f64>; 3],
    parse: impl Fn(f64) -> Result<T, OutOfRange>,
) -> Result<PerPhase<Option<T>>, OutOfRange> {
    let [l1, l2, l3] = values;
    Ok(PerPhase::new(l1.map(&parse).transpose()?, l2.map(&parse).transpose()?, l3.map(&parse).transpose()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meter(watts: f64, phases: [(Option<f64>, Option<f64>); 3]) -> Meter {
        let phases = phases.map(|(watts, amps)| PhaseValues { watts, amps, volts: Some(230.0) });
        Meter { watts: Some(watts), phases, ..Meter::default() }
    }

    #[test]
    fn import_and_export_are_told_as_twcmanager_did() {
        let reading = meter(-700.0, [(Some(-700.0), Some(3.0)); 3]).reading(Role::Grid, Instant::now()).unwrap();
        let told = |watts: Option<Watts>| watts.map(Watts::get);
        assert_eq!((told(reading.grid), told(reading.consumption)), (Some(-700.0), Some(0.0)));
        assert_eq!(told(reading.generation), Some(700.0));
        assert_eq!(reading.attributes.get(GRID_ONLY), Some(&Attribute::Flag(true)));
    }

    #[test]
    fn currents_take_the_sign_of_their_phase() {
        let signed = meter(10.0, [(Some(-700.0), Some(3.0)), (Some(0.0), Some(5.1)), (Some(710.0), Some(-3.1))]);
        assert_eq!(signed.signed_amps(), [Some(-3.0), Some(5.1), Some(3.1)]);
    }

    #[test]
    fn magnitudes_alone_count_as_import_while_all_is_import() {
        assert_eq!(meter(700.0, [(None, Some(3.0)); 3]).signed_amps(), [Some(3.0); 3]);
        assert_eq!(meter(-700.0, [(None, Some(3.0)); 3]).signed_amps(), [None; 3]);
    }

    #[test]
    fn a_meter_elsewhere_tells_nothing_of_the_grid() {
        let meter = meter(-2300.0, [(Some(-2300.0), Some(10.0)); 3]);
        let solar = meter.reading(Role::Generation, Instant::now()).unwrap();
        assert_eq!((solar.generation.map(Watts::get), solar.consumption, solar.grid), (Some(2300.0), None, None));
        assert!(!solar.grid_current.is_known() && !solar.grid_power.is_known());
        let house = meter.inverted(Inversion::All).reading(Role::Consumption, Instant::now()).unwrap();
        assert_eq!((house.consumption.map(Watts::get), house.generation), (Some(2300.0), None));
    }

    #[test]
    fn one_clamp_the_wrong_way_round_is_turned() {
        let wrong = meter(400.0, [(Some(300.0), Some(2.0)), (Some(-200.0), Some(-1.0)), (Some(300.0), None)]);
        let right = wrong.inverted(Inversion::Phases([false, true, false]));
        assert_eq!(right.watts, Some(800.0));
        assert_eq!(right.signed_amps(), [Some(2.0), Some(1.0), None]);
    }

    #[test]
    fn the_sum_needs_every_phase_that_is_there() {
        let mut three = meter(0.0, [(Some(1.0), None), (Some(2.0), None), (None, None)]);
        assert_eq!(three.sum_of_phases(), None);
        three.phases[2] = PhaseValues::default();
        assert_eq!(three.sum_of_phases(), Some(3.0));
        assert_eq!(Meter::default().sum_of_phases(), None);
    }

    proptest::proptest! {
        #[test]
        fn any_numbers_make_a_sane_reading_or_an_error(
            watts in proptest::option::of(proptest::num::f64::ANY), amps in proptest::option::of(proptest::num::f64::ANY),
        ) {
            let phase = PhaseValues { watts, amps, volts: amps };
            let meter = Meter { watts, phases: [phase; 3], import_kwh: watts, export_kwh: amps };
            for role in [Role::Grid, Role::Generation, Role::Consumption] {
                if let Ok(reading) = meter.inverted(Inversion::All).reading(role, Instant::now()) {
                    for power in [reading.generation, reading.consumption].into_iter().flatten() {
                        proptest::prop_assert!(power >= Watts::ZERO && power.get().is_finite());
                    }
                }
            }
        }
    }
}
