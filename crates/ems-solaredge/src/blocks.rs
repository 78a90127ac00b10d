//! What the registers of inverters, meters and batteries mean. Pure.
//!
//! Source: SolarEdge "SunSpec implementation technical note"; offsets count from a model's number.

use modbus::{Block, Format, NotInBlock, Number};

const I16: Format = Format::new(Number::I16);
const U16: Format = Format::new(Number::U16);
/// Batteries put the low word of their floats first.
pub(crate) const F32: Format = Format::new(Number::F32).low_word_first();

/// Registers of the inverter's model with number and length.
pub const INVERTER_SPAN: u16 = 40;
/// Registers of a meter's model that are of use here.
pub const METER_SPAN: u16 = 23;
/// First register of a battery that is of use here.
pub const BATTERY: u16 = 0xe140;
/// Registers from there to the state of energy.
pub const BATTERY_SPAN: u16 = 0x46;
/// From one battery to the next.
pub const BATTERY_STEP: u16 = 0x100;
/// Power of the first battery in the second block of batteries.
pub const BATTERY_POWER_AGAIN: u16 = 0xf574;

/// An inverter.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Inverter {
    /// What it gives to the house; negative when it draws.
    pub ac: Option<f64>,
    /// What comes in on the DC side, a battery's share included.
    pub dc: Option<f64>,
    /// Currents, unsigned.
    pub amps: [Option<f64>; 3],
    /// Voltages to neutral.
    pub volts: [Option<f64>; 3],
    /// Operating state: 2 sleeps, 4 produces.
    pub state: u16,
}

/// A meter.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Meter {
    /// Power; export is positive at the grid connection.
    pub power: Option<f64>,
    /// The same by phase.
    pub phase_power: [Option<f64>; 3],
    /// Currents, unsigned.
    pub amps: [Option<f64>; 3],
    /// Voltages to neutral.
    pub volts: [Option<f64>; 3],
}

/// A battery.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Battery {
    /// Discharge positive.
    pub power: Option<f64>,
    /// State of charge in percent.
    pub soc: Option<f64>,
}

/// State in which an inverter sleeps.
const SLEEPING: u16 = 2;

impl Inverter {
    /// The sun's part of what it does.
    #[must_use]
    pub fn generation(&self, battery: Option<Battery>) -> Option<f64> {
        match battery {
            None if self.state == SLEEPING => Some(0.0),
            None => self.ac.and_then(ems::generation),
            // The DC side carries sun and battery: charging is missing there, discharge is contained.
            Some(battery) => self.dc.zip(battery.power).map(|(dc, battery)| (dc - battery).max(0.0)),
        }
    }
}

fn three(block: &Block, at: u16, first: u16, format: Format, factor: u16) -> Result<[Option<f64>; 3], NotInBlock> {
    let one = |n: u16| block.scaled(at + first + n, format, at + factor);
    Ok([one(0)?, one(1)?, one(2)?])
}

/// Reads an inverter model (101 to 103) whose number is at `at`.
///
/// # Errors
/// When the block is too short.
pub fn inverter(block: &Block, at: u16) -> Result<Inverter, NotInBlock> {
    let is_there = |volts: Option<f64>| volts.filter(|volts| *volts > 0.0);
    let between = block.scaled(at + 7, U16, at + 13)?;
    let mut volts = three(block, at, 10, U16, 13)?.map(is_there);
    // A single-phase inverter tells its voltage where the others have the one between two phases.
    if volts == [None; 3] && block.word(at)? == 101 {
        volts = [is_there(between), None, None];
    }
    Ok(Inverter {
        ac: block.scaled(at + 14, I16, at + 15)?,
        dc: block.scaled(at + 31, I16, at + 32)?,
        amps: three(block, at, 3, U16, 6)?,
        volts,
        state: block.word(at + 38)?,
    })
}

/// Reads a meter model (201 to 204) whose number is at `at`.
///
/// # Errors
/// When the block is too short.
pub fn meter(block: &Block, at: u16) -> Result<Meter, NotInBlock> {
    let volts = three(block, at, 8, I16, 15)?.map(|volts| volts.filter(|volts| *volts > 0.0));
    let mut amps = three(block, at, 3, I16, 6)?;
    let mut phase_power = three(block, at, 19, I16, 22)?;
    // A phase without voltage is not there.
    for ((volts, amps), power) in volts.iter().zip(&mut amps).zip(&mut phase_power) {
        if volts.is_none() {
            (*amps, *power) = (None, None);
        }
    }
    Ok(Meter { power: block.scaled(at + 18, I16, at + 22)?, phase_power, amps, volts })
}

/// Reads a battery whose block begins at `at`; `None` when there is none.
///
/// # Errors
/// When the block is too short.
pub fn battery(block: &Block, at: u16) -> Result<Option<Battery>, NotInBlock> {
    let id = block.word(at)?;
    let rated = block.number(at + 2, F32)?;
    let power = block.number(at + 0x34, F32)?;
    let soc = block.number(at + 0x44, F32)?;
    let is_empty = |value: Option<f64>| value.is_none_or(|value| value <= 0.0);
    if id == 255 || id == u16::MAX || (is_empty(rated) && is_empty(soc) && power.is_none_or(|power| power == 0.0)) {
        return Ok(None);
    }
    // In the register charging is positive.
    Ok(Some(Battery { power: power.map(|power| -power), soc: soc.map(|soc| soc.clamp(0.0, 100.0)) }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_battery_hides_or_adds_to_the_sun_on_the_dc_side() {
        let inverter = Inverter { ac: Some(1940.0), dc: Some(2000.0), state: 4, ..Inverter::default() };
        let with = |power: f64| inverter.generation(Some(Battery { power: Some(power), soc: None }));
        assert_eq!((with(-1500.0), with(1500.0), with(2100.0)), (Some(3500.0), Some(500.0), Some(0.0)));
        assert_eq!(inverter.generation(None), Some(1940.0));
        assert_eq!(inverter.generation(Some(Battery::default())), None);
    }

    #[test]
    fn an_inverter_at_night_generates_nothing() {
        let asleep = Inverter { ac: None, state: SLEEPING, ..Inverter::default() };
        assert_eq!(asleep.generation(None), Some(0.0));
        let awake = Inverter { ac: Some(-6.0), state: 4, ..Inverter::default() };
        assert_eq!(awake.generation(None), Some(0.0));
        assert_eq!(Inverter { ac: None, state: 4, ..Inverter::default() }.generation(None), None);
    }

    #[test]
    fn a_meter_of_three_phases_with_mixed_signs() {
        let mut words = vec![0; 23];
        words[0] = 203;
        words[2..7].copy_from_slice(&[90, 65, 20, 5, 0xffff]);
        words[8..11].copy_from_slice(&[2301, 2302, 0]);
        words[15] = 0xffff;
        words[18..23].copy_from_slice(&[1040, 1500, (-460i16).cast_unsigned(), 0, 0]);
        let found = meter(&Block::new(40188, words), 40188).unwrap();
        assert_eq!(found.power, Some(1040.0));
        assert_eq!(found.phase_power, [Some(1500.0), Some(-460.0), None]);
        assert_eq!((found.amps, found.volts), ([Some(6.5), Some(2.0), None], [Some(230.1), Some(230.2), None]));
    }

    #[test]
    fn batteries_are_told_from_their_absence() {
        let words = |id: u16, rated: f64, power: f64, soc: f64| {
            let mut words = vec![0; usize::from(BATTERY_SPAN)];
            words[0] = id;
            for (at, value) in [(2, rated), (0x34, power), (0x44, soc)] {
                words[at..at + 2].copy_from_slice(&F32.encode(value).unwrap());
            }
            battery(&Block::new(BATTERY, words), BATTERY).unwrap()
        };
        assert_eq!(words(112, 9700.0, 2500.0, 55.5), Some(Battery { power: Some(-2500.0), soc: Some(55.5) }));
        assert_eq!(words(255, 0.0, 0.0, 0.0), None);
        assert_eq!(words(0, 0.0, 0.0, 0.0), None);
    }

    #[test]
    fn recordings_read_right() {
        for recording in recordings::vendor("solaredge") {
            if recording.text_at(&["request", "transport"]) != "modbus-tcp" {
                continue;
            }
            // Registers that were not recorded may be anything; nothing that is expected hangs on them.
            let json = recording.json();
            let word = |address: u16| json["holding_registers"][address.to_string()].as_u64().unwrap_or(0);
            let words = (0..INVERTER_SPAN).map(|n| u16::try_from(word(40069 + n)).unwrap()).collect();
            let found = inverter(&Block::new(40069, words), 40069).unwrap();
            recording.assert_number("generation_w", found.generation(None));
            recording.assert_number("dc_w", found.dc);
            recording.assert_number("current_a", found.amps[0]);
            recording.assert_number("voltage_v", found.volts[0]);
            recording.assert_number("status", Some(f64::from(found.state)));
        }
    }

    proptest::proptest! {
        #[test]
        fn any_registers_give_sane_numbers(words in proptest::collection::vec(proptest::prelude::any::<u16>(), 0..80)) {
            let block = Block::new(40000, words);
            if let Ok(found) = inverter(&block, 40000) {
                let sun = found.generation(battery(&block, 40000).ok().flatten());
                proptest::prop_assert!(sun.is_none_or(|watts| watts >= 0.0));
            }
            let _ = meter(&block, 40000);
        }
    }
}
