//! Plenticore and Piko IQ: what the registers make together. Pure.
//!
//! Source: KOSTAL "Interface description Modbus (TCP) & SunSpec"; addresses as printed there, which are those on the wire.

use ems::{Attribute, WireReading};
use ems_registers::{Image, same_sign};
use modbus::{Format, Number, Table};

/// 0: floats have the low word first.
pub(crate) const BYTE_ORDER: u16 = 5;
const STATE: u16 = 56;
const DC_TOTAL: u16 = 100;
const HOME_FROM_BATTERY: u16 = 106;
const HOME_FROM_GRID: u16 = 108;
const HOME_FROM_PV: u16 = 116;
const FREQUENCY: u16 = 152;
const INVERTER_PHASE_WATTS: [u16; 3] = [156, 162, 168];
const AC_TOTAL: u16 = 172;
const SOC_FLOAT: u16 = 210;
const METER_AMPS: [u16; 3] = [222, 232, 242];
const METER_WATTS: [u16; 3] = [224, 234, 244];
const METER_VOLTS: [u16; 3] = [230, 240, 250];
const METER_TOTAL: u16 = 252;
const DC_INPUTS: [u16; 3] = [260, 270, 280];
const SOC: u16 = 514;
const BATTERY_WATTS: u16 = 582;
const BATTERY_TYPE: u16 = 588;
/// Since firmware 1.44.
const PV_TOTAL: u16 = 1066;
const METER_TYPE: u16 = 1082;
const NO_METER: u16 = 0xff;

const FLOATS: [u16; 24] = [
    DC_TOTAL,
    HOME_FROM_BATTERY,
    HOME_FROM_GRID,
    HOME_FROM_PV,
    FREQUENCY,
    156,
    162,
    168,
    AC_TOTAL,
    SOC_FLOAT,
    222,
    224,
    230,
    232,
    234,
    240,
    242,
    244,
    250,
    METER_TOTAL,
    260,
    270,
    280,
    PV_TOTAL,
];
const WORDS: [u16; 6] = [BYTE_ORDER, STATE, STATE + 1, SOC, BATTERY_TYPE, METER_TYPE];

/// Off, standby, and waiting for more voltage: no sun is no unknown then.
const RESTING: [u16; 3] = [0, 10, 16];

/// Less inverter power than this tells nothing about where the meter sits.
const TELLING_WATTS: f64 = 300.0;
/// Agreeing readings in a row until the meter counts as sitting in the house's branch.
const VOTES: u8 = 3;

/// The registers that are read.
pub(crate) fn points() -> impl Iterator<Item = (Table, u16, Format)> {
    let floats = FLOATS.map(|address| (Table::Holding, address, Format::new(Number::F32)));
    let words = WORDS.map(|address| (Table::Holding, address, Format::new(Number::U16)));
    floats.into_iter().chain(words).chain([(Table::Holding, BATTERY_WATTS, Format::new(Number::I16))])
}

/// Where the energy meter sits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Position {
    /// At the grid connection ("position 2").
    Grid,
    /// In the house's branch ("position 1").
    Home,
}

/// Finds out where the meter sits from what the inverter itself makes of the house: no register tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Placement {
    /// The user has said it.
    Told(Position),
    /// At the grid connection until so many readings in a row speak for the house.
    Guessed(u8),
}

impl Placement {
    fn position(self) -> Position {
        match self {
            Placement::Told(position) => position,
            Placement::Guessed(votes) if votes >= VOTES => Position::Home,
            Placement::Guessed(_) => Position::Grid,
        }
    }

    fn weigh(&mut self, home: Option<f64>, ac: Option<f64>, meter: Option<f64>) {
        let (Placement::Guessed(votes), Some(home), Some(ac), Some(meter)) = (self, home, ac, meter) else { return };
        if ac.abs() < TELLING_WATTS {
            return;
        }
        let tolerance = 100.0 + 0.1 * home.abs();
        let (fits_grid, fits_home) = ((home - ac - meter).abs() < tolerance, (home - meter).abs() < tolerance);
        if fits_home && !fits_grid {
            *votes = (*votes + 1).min(VOTES);
        } else if fits_grid && !fits_home {
            *votes = 0;
        }
    }
}

struct Values<'i> {
    image: &'i Image,
    float: Format,
}

impl Values<'_> {
    fn float(&self, address: u16) -> Option<f64> {
        self.image.number(Table::Holding, address, self.float).filter(|value| value.abs() <= 1e6)
    }

    fn word(&self, address: u16) -> Option<u16> {
        let number = self.image.number(Table::Holding, address, Format::new(Number::U16).without_sentinels())?;
        format!("{number:.0}").parse().ok()
    }

    fn has(&self, address: u16) -> bool {
        self.image.has(Table::Holding, address)
    }

    fn state(&self) -> Option<u16> {
        // One word on some lists, two on others; states are small, so the other word of two is zero.
        let (first, second) = (self.word(STATE)?, self.word(STATE + 1).unwrap_or_default());
        Some(if first == 0 && second <= 18 { second } else { first })
    }

    fn has_battery(&self) -> bool {
        match self.word(BATTERY_TYPE) {
            Some(kind) => kind != 0,
            None => self.has(BATTERY_WATTS),
        }
    }

    /// Power of the solar inputs: the sum of them where the firmware has it, else one by one.
    fn generation(&self) -> Option<f64> {
        let watts = self.float(PV_TOTAL).or_else(|| {
            // A battery occupies the third input.
            let inputs = if self.has_battery() { &DC_INPUTS[..2] } else { &DC_INPUTS[..] };
            let mut present = inputs.iter().filter(|address| self.has(**address)).peekable();
            match present.peek() {
                Some(_) => present.map(|address| self.float(*address)).sum(),
                None if !self.has_battery() => self.float(DC_TOTAL),
                None => None,
            }
        });
        let at_rest = || self.state().filter(|state| RESTING.contains(state)).map(|_| 0.0);
        watts.or_else(at_rest).and_then(ems::generation)
    }

    fn has_meter(&self) -> bool {
        match self.word(METER_TYPE) {
            Some(kind) => kind != NO_METER,
            // Before 1.44 nothing tells: a meter without voltage is none.
            None => self.float(METER_VOLTS[0]).is_none_or(|volts| volts > 1.0),
        }
    }
}

/// What the registers tell. `placement` learns where the meter sits.
#[must_use]
pub fn reading(image: &Image, placement: &mut Placement) -> WireReading {
    let format = Format::new(Number::F32);
    let order = Values { image, float: format }.word(BYTE_ORDER);
    // The factory's order is the one with the low word first.
    let values = Values { image, float: if order == Some(1) { format } else { format.low_word_first() } };
    let mut reading = WireReading { generation_w: values.generation(), ..WireReading::default() };
    if values.has_battery() {
        reading.battery_w = image.number(Table::Holding, BATTERY_WATTS, Format::new(Number::I16));
        let soc = values.word(SOC).map(f64::from).filter(|soc| *soc <= 100.0);
        reading.battery_soc = soc.or_else(|| values.float(SOC_FLOAT).filter(|soc| (0.0..=100.0).contains(soc)));
    }
    if values.has_meter() {
        let home: Option<f64> =
            [HOME_FROM_BATTERY, HOME_FROM_GRID, HOME_FROM_PV].into_iter().map(|a| values.float(a)).sum();
        let (ac, meter) = (values.float(AC_TOTAL), values.float(METER_TOTAL));
        placement.weigh(home, ac, meter);
        reading.consumption_w = home.map(|watts| watts.max(0.0));
        at_meter(&values, placement.position(), ac, meter, &mut reading);
    }
    let numbers = [
        ("TotalDCPower", DC_TOTAL),
        ("HomeFromBattery", HOME_FROM_BATTERY),
        ("HomeFromGrid", HOME_FROM_GRID),
        ("HomeFromPV", HOME_FROM_PV),
        ("GridFrequency", FREQUENCY),
    ];
    for (name, address) in numbers {
        if let Some(number) = values.float(address) {
            reading.attributes.insert(name.to_owned(), Attribute::Number(number));
        }
    }
    reading
}

fn at_meter(values: &Values<'_>, position: Position, ac: Option<f64>, meter: Option<f64>, reading: &mut WireReading) {
    let watts = METER_WATTS.map(|address| values.float(address));
    let (place, phase_watts) = match position {
        Position::Grid => {
            reading.grid_w = meter;
            let amps = METER_AMPS.map(|address| values.float(address));
            let signed = amps.iter().zip(watts).map(|(amps, watts)| amps.map(|amps| same_sign(amps, watts)));
            reading.grid_amps = Some(signed.collect());
            ("grid", watts)
        }
        Position::Home => {
            // The meter shows the house; what the inverter adds beside it makes the grid. Currents cannot be subtracted.
            reading.grid_w = meter.zip(ac).map(|(house, inverter)| house - inverter);
            reading.consumption_w = reading.consumption_w.or(meter.map(|watts| watts.max(0.0)));
            let inverter = INVERTER_PHASE_WATTS.map(|address| values.float(address));
            let grid = [0, 1, 2].map(|at: usize| {
                let of = |phases: &[Option<f64>; 3]| phases.get(at).copied().flatten();
                of(&watts).zip(of(&inverter)).map(|(house, inverter)| house - inverter)
            });
            ("home", grid)
        }
    };
    reading.grid_phase_w = Some(phase_watts.to_vec());
    let volts = METER_VOLTS.map(|address| values.float(address).filter(|volts| (0.0..=1000.0).contains(volts)));
    reading.grid_volts = Some(volts.to_vec());
    reading.attributes.insert("meterPosition".to_owned(), Attribute::Text(place.to_owned()));
}

#[cfg(test)]
mod tests {
    use super::*;
    use modbus::Block;

    /// Registers of floats in the given order, and single words.
    fn image(low_first: bool, floats: &[(u16, f64)], words: &[(u16, u16)]) -> Image {
        let format = Format::new(Number::F32);
        let format = if low_first { format.low_word_first() } else { format };
        let mut blocks = vec![(Table::Holding, Block::new(BYTE_ORDER, vec![u16::from(!low_first)]))];
        for (address, value) in floats {
            let number = if value.is_nan() { vec![0x7fc0, 0x7fc0] } else { format.encode(*value).unwrap() };
            blocks.push((Table::Holding, Block::new(*address, number)));
        }
        blocks.extend(words.iter().map(|(address, word)| (Table::Holding, Block::new(*address, vec![*word]))));
        Image::new(blocks)
    }

    const GUESS: Placement = Placement::Guessed(0);

    fn night(low_first: bool) -> Image {
        let floats = [
            (106, 1180.0),
            (108, 60.0),
            (116, 0.0),
            (172, 1190.0),
            (252, 60.0),
            (1066, -3.0),
            (230, 231.0),
            (100, 1220.0),
        ];
        image(low_first, &floats, &[(56, 10), (582, 1220), (588, 4), (514, 55), (1082, 3)])
    }

    #[test]
    fn at_night_the_battery_feeds_the_house_and_is_no_sun() {
        for low_first in [true, false] {
            let found = reading(&night(low_first), &mut GUESS.clone());
            assert_eq!((found.generation_w, found.consumption_w), (Some(0.0), Some(1240.0)));
            assert_eq!((found.grid_w, found.battery_w, found.battery_soc), (Some(60.0), Some(1220.0), Some(55.0)));
            assert_eq!(found.attributes["TotalDCPower"], Attribute::Number(1220.0));
        }
    }

    #[test]
    fn without_a_meter_house_and_grid_are_unknown() {
        let with = |words: &[(u16, u16)], volts| {
            reading(
                &image(true, &[(106, 0.0), (108, 0.0), (116, 900.0), (252, 0.0), (230, volts)], words),
                &mut GUESS.clone(),
            )
        };
        let none = with(&[(1082, 0xff)], 231.0);
        assert_eq!((none.grid_w, none.consumption_w, none.grid_volts), (None, None, None));
        assert_eq!(with(&[], 0.0).grid_w, None);
        assert_eq!(with(&[], 231.0).grid_w, Some(0.0));
    }

    #[test]
    fn old_firmware_tells_the_sun_by_its_inputs() {
        let floats = [(100, 3650.0), (260, 2500.0), (270, 1600.0), (280, -450.0)];
        assert_eq!(reading(&image(true, &floats, &[(588, 4)]), &mut GUESS.clone()).generation_w, Some(4100.0));
        let three = [(260, 2500.0), (270, 1600.0), (280, 400.0)];
        assert_eq!(reading(&image(true, &three, &[(588, 0)]), &mut GUESS.clone()).generation_w, Some(4500.0));
        assert_eq!(reading(&image(true, &[(100, 700.0)], &[]), &mut GUESS.clone()).generation_w, Some(700.0));
        assert_eq!(reading(&image(true, &[(100, 700.0)], &[(588, 4)]), &mut GUESS.clone()).generation_w, None);
    }

    #[test]
    fn a_value_that_is_none_is_zero_only_at_rest() {
        for (state, expected) in [(10, Some(0.0)), (0, Some(0.0)), (6, None)] {
            let found = reading(&image(true, &[(1066, f64::NAN)], &[(56, state)]), &mut GUESS.clone());
            assert_eq!(found.generation_w, expected, "state {state}");
        }
        // High word first, the state in two words.
        assert_eq!(reading(&image(false, &[], &[(56, 0), (57, 6)]), &mut GUESS.clone()).generation_w, None);
    }

    #[test]
    fn a_meter_in_the_house_is_recognised_after_some_readings() {
        let floats = [
            (106, 0.0),
            (108, 0.0),
            (116, 812.5),
            (172, 3550.0),
            (252, 812.5),
            (230, 231.0),
            (224, 300.0),
            (234, 300.0),
            (244, 212.5),
            (156, 1183.0),
            (162, 1184.0),
            (168, 1183.0),
            (222, 1.3),
        ];
        let image = image(true, &floats, &[(1082, 3)]);
        let mut placement = GUESS;
        let grids: Vec<Option<f64>> = (0..3).map(|_| reading(&image, &mut placement).grid_w).collect();
        assert_eq!(grids, [Some(812.5), Some(812.5), Some(-2737.5)]);
        let found = reading(&image, &mut placement);
        assert_eq!(found.grid_phase_w, Some(vec![Some(-883.0), Some(-884.0), Some(-970.5)]));
        assert_eq!((found.grid_amps, found.consumption_w), (None, Some(812.5)));
        let mut told = Placement::Told(Position::Home);
        assert_eq!(reading(&image, &mut told).grid_w, Some(-2737.5));
        // By night nothing tells, and what was found stays.
        placement.weigh(Some(400.0), Some(0.0), Some(400.0));
        assert_eq!(placement.position(), Position::Home);
    }

    proptest::proptest! {
        #[test]
        fn any_registers_give_sane_numbers(words in proptest::collection::vec(proptest::prelude::any::<u16>(), 1100)) {
            let image = Image::new(vec![(Table::Holding, Block::new(0, words))]);
            let found = reading(&image, &mut GUESS.clone());
            proptest::prop_assert!(found.into_reading(std::time::Instant::now()).is_ok());
        }
    }
}
