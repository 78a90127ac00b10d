//! The board's text, and what its clamps make together. Pure.
//!
//! One line or page holds `IrmsA0 = 1.25 EndA0` and so on: 0 to 2 are the phases of consumption, 3 to 5 of generation.

use ems::WireReading;

/// Beyond this no clamp of that kind reads.
const MOST_AMPS: f64 = 1000.0;

/// Amps of a clamp, from the last complete marker of it in the text; `None` when it is not there.
///
/// # Errors
/// A sentence, when something other than a number stands between the markers.
pub fn clamp(text: &str, number: usize) -> Result<Option<f64>, String> {
    let (start, end) = (format!("IrmsA{number}"), format!("EndA{number}"));
    let Some(last) = text.rfind(&end) else { return Ok(None) };
    let head = text.get(..last).unwrap_or_default();
    let Some(first) = head.rfind(&start) else { return Ok(None) };
    let between = head.get(first + start.len()..).unwrap_or_default();
    let Some((_, value)) = between.split_once('=') else {
        return Err(format!("between IrmsA{number} and EndA{number} is no `=`"));
    };
    let measure = json_pick::parse_number(value).map_err(|fault| format!("IrmsA{number} is wrong: {fault}"))?;
    match measure {
        Some(measure) if measure.value.abs() <= MOST_AMPS => Ok(Some(measure.value.abs())),
        Some(_) => Err(format!("IrmsA{number} is more than any clamp can measure")),
        None => Ok(None),
    }
}

/// What the user says about the installation.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Setup {
    /// Clamps 0 to 2 measure the consumption.
    pub consumption: bool,
    /// Clamps 3 to 5 measure the generation.
    pub generation: bool,
    /// The consumption clamps sit at the grid connection.
    pub at_grid: bool,
    /// 1 or 3.
    pub phases: usize,
    /// Volts between phase and neutral.
    pub volts: f64,
}

impl Setup {
    /// The clamps that are needed.
    fn clamps(self) -> impl Iterator<Item = usize> {
        let of = move |is_used: bool, first: usize| (first..first + self.phases).filter(move |_| is_used);
        of(self.consumption, 0).chain(of(self.generation, 3))
    }

    /// Whether all of them stand in the text.
    #[must_use]
    pub fn is_complete(self, text: &str) -> bool {
        self.clamps().all(|number| clamp(text, number) != Ok(None))
    }
}

/// What the clamps make together. A clamp that is not there makes its sum unknown.
///
/// # Errors
/// A sentence, when none has a usable value.
pub fn reading(text: &str, setup: Setup) -> Result<WireReading, String> {
    let amps = |first: usize| -> Result<Vec<Option<f64>>, String> {
        (first..first + setup.phases).map(|number| clamp(text, number)).collect()
    };
    let watts = |amps: &[Option<f64>]| amps.iter().copied().sum::<Option<f64>>().map(|amps| amps * setup.volts);
    let mut reading = WireReading::default();
    if setup.consumption {
        let mut amps = amps(0)?;
        reading.consumption_w = watts(&amps);
        if setup.at_grid {
            // Clamps see no direction: all of it counts as import, the safe side for a fuse.
            amps.resize(3, None);
            reading.grid_amps = Some(amps);
        }
    }
    if setup.generation {
        reading.generation_w = watts(&amps(3)?);
    }
    match (reading.consumption_w, reading.generation_w) {
        (None, None) => {
            Err("the board tells no clamp that is needed; check its program, `numberOfPhases`, and that it \
                             prints `IrmsA0 = … EndA0`"
                .to_owned())
        }
        _ => Ok(reading),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SETUP: Setup = Setup { consumption: true, generation: true, at_grid: false, phases: 1, volts: 230.0 };

    #[test]
    fn one_phase_counts_its_first_clamps() {
        let text = "IrmsA0 = 2.00 EndA0 IrmsA1 = 9.9 EndA1 IrmsA3 = 10 EndA3\r\n";
        let found = reading(text, SETUP).unwrap();
        assert_eq!((found.consumption_w, found.generation_w, found.grid_amps), (Some(460.0), Some(2300.0), None));
        let house = Setup { generation: false, at_grid: true, ..SETUP };
        assert_eq!(reading(text, house).unwrap().grid_amps, Some(vec![Some(2.0), None, None]));
    }

    #[test]
    fn three_phases_are_unknown_when_one_is_missing() {
        let setup = Setup { phases: 3, generation: false, at_grid: true, ..SETUP };
        let text = "<html>IrmsA0 = 1 EndA0<br>IrmsA1=2EndA1<br>IrmsA2 = 3.5 EndA2</html>";
        let found = reading(text, setup).unwrap();
        assert_eq!((found.consumption_w, found.grid_amps), (Some(1495.0), Some(vec![Some(1.0), Some(2.0), Some(3.5)])));
        assert!(reading("IrmsA0 = 1 EndA0 IrmsA1 = 2 EndA1", setup).is_err());
        assert!(!setup.is_complete("IrmsA0 = 1 EndA0 IrmsA1 = 2 EndA1 IrmsA2 = 3."));
        assert!(setup.is_complete(text));
    }

    #[test]
    fn the_newest_complete_value_counts_and_nonsense_does_not() {
        assert_eq!(clamp("A0 = 7 EndA0 IrmsA0 = 1 EndA0 IrmsA0 = 2 EndA0 IrmsA0 = 9", 0), Ok(Some(2.0)));
        assert_eq!(clamp("EndA0 IrmsA0 = 2", 0), Ok(None));
        assert_eq!(clamp("IrmsA0 = nan EndA0", 0), Ok(None));
        for text in
            ["IrmsA0 = 1e308 EndA0", "IrmsA0 = x EndA0", "IrmsA0 5 EndA0", "IrmsA0 = 20000 EndA0", "IrmsA0 = inf EndA0"]
        {
            assert!(clamp(text, 0).is_err(), "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text_gives_sane_numbers_or_an_error(text in ".{0,100}", value in ".{0,10}") {
            for text in [text, format!("IrmsA0 ={value} EndA0 IrmsA3 = {value}EndA3")] {
                let _ = SETUP.is_complete(&text);
                if let Ok(found) = reading(&text, SETUP) {
                    proptest::prop_assert!(found.into_reading(std::time::Instant::now()).is_ok());
                }
            }
        }
    }
}
