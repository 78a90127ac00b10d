//! The GX device's Modbus registers. Pure.
//!
//! Source: Victron "CCGX-Modbus-TCP-register-list", `attributes.csv` of dbus_modbustcp. A value that the system does not have
//! reads as 0, so zeros are believed only where something else speaks for them.

use ems::{Attribute, WireReading};
use ems_registers::{Image, same_sign};
use modbus::{Format, Number, Table};

const UNSIGNED: Format = Format::new(Number::U16);
const SIGNED: Format = Format::new(Number::I16);
const LONG: Format = Format::new(Number::I32);

const PV_OUTPUT: u16 = 808;
const PV_GRID: u16 = 811;
const PV_GENSET: u16 = 814;
pub(crate) const CONSUMPTION: u16 = 817;
const GRID: u16 = 820;
const ACTIVE_INPUT: u16 = 826;
const BATTERY_VOLTS: u16 = 840;
const BATTERY_WATTS: u16 = 842;
const SOC: u16 = 843;
const PV_DC: u16 = 850;
/// The same in 32 bits, on newer firmware.
const PV_OUTPUT_LONG: u16 = 884;
const PV_GRID_LONG: u16 = 890;
const CONSUMPTION_LONG: u16 = 902;
const GRID_LONG: u16 = 908;

const NOT_CONNECTED: u16 = 240;
const GENSET: u16 = 2;

/// The registers of the system that are read.
pub(crate) fn system_points() -> impl Iterator<Item = (Table, u16, Format)> {
    let short = [PV_OUTPUT, PV_GRID, PV_GENSET, CONSUMPTION].into_iter().flat_map(|first| first..first + 3);
    let short = short.chain([ACTIVE_INPUT, BATTERY_VOLTS, SOC, PV_DC]).map(|at| (at, UNSIGNED));
    let signed = (GRID..GRID + 3).chain([BATTERY_WATTS]).map(|at| (at, SIGNED));
    let long = [PV_OUTPUT_LONG, PV_GRID_LONG, CONSUMPTION_LONG, GRID_LONG];
    let long = long.into_iter().flat_map(|first| [first, first + 2, first + 4]).map(|at| (at, LONG));
    short.chain(signed).chain(long).map(|(at, format)| (Table::Holding, at, format))
}

/// Where the phases' volts and amps come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PhaseSource {
    /// A grid meter's unit: volts at 2616, 2618, 2620, amps behind each.
    Meter,
    /// An inverter's (VE.Bus) unit: volts at 3 to 5, amps at 6 to 8, tens of watts at 12 to 14.
    VeBus,
}

impl PhaseSource {
    fn places(self) -> ([u16; 3], [u16; 3], [u16; 3], f64) {
        match self {
            PhaseSource::Meter => ([2616, 2618, 2620], [2617, 2619, 2621], [2600, 2601, 2602], 1.0),
            PhaseSource::VeBus => ([3, 4, 5], [6, 7, 8], [12, 13, 14], 10.0),
        }
    }

    pub(crate) fn points(self) -> impl Iterator<Item = (Table, u16, Format)> {
        let (volts, amps, watts, _) = self.places();
        let volts = volts.into_iter().map(|at| (at, UNSIGNED));
        let signed = amps.into_iter().chain(watts).map(|at| (at, SIGNED));
        volts.chain(signed).map(|(at, format)| (Table::Holding, at, format))
    }
}

fn number(image: &Image, address: u16, format: Format) -> Option<f64> {
    image.number(Table::Holding, address, format)
}

/// The three phases from `first` on: the 32-bit values where the firmware has them, else those of 16 bits.
fn phases(image: &Image, first: u16, format: Format, long: Option<u16>) -> [Option<f64>; 3] {
    [0, 1, 2].map(|phase| {
        let short = number(image, first + phase, format);
        let long = long.and_then(|first| number(image, first + 2 * phase, LONG)).filter(|watts| watts.abs() <= 1e6);
        match (short, long) {
            // Zero in 32 bits beside something in 16 is a value that this firmware does not have.
            (Some(short), Some(long)) if long == 0.0 && short != 0.0 => Some(short),
            (_, Some(long)) => Some(long),
            (short, None) => short,
        }
    })
}

fn sum(values: [Option<f64>; 3]) -> Option<f64> {
    values.into_iter().sum()
}

/// What the system tells.
#[must_use]
pub fn system(image: &Image) -> WireReading {
    let word = |address| number(image, address, UNSIGNED);
    let input = word(ACTIVE_INPUT);
    let is = |code: u16| input == Some(f64::from(code));
    let output = sum(phases(image, PV_OUTPUT, UNSIGNED, Some(PV_OUTPUT_LONG)));
    let on_grid = sum(phases(image, PV_GRID, UNSIGNED, Some(PV_GRID_LONG)));
    let dc = word(PV_DC);
    // Registers that this firmware does not have at all are parts that do not exist; one of the first two always does.
    let parts = [output, on_grid, dc, is(GENSET).then(|| sum(phases(image, PV_GENSET, UNSIGNED, None))).flatten()];
    let generation = output.or(on_grid).or(dc).map(|_| parts.into_iter().flatten().sum());
    let consumption = sum(phases(image, CONSUMPTION, UNSIGNED, Some(CONSUMPTION_LONG)));
    let grid = phases(image, GRID, SIGNED, Some(GRID_LONG));
    // Nothing anywhere and no input: the system's values are gone, not zero.
    let knows_input = input.is_some_and(|code| code != 0.0);
    let volts = word(BATTERY_VOLTS).filter(|tenths| *tenths > 0.0);
    let grid_is_real = knows_input || grid.iter().flatten().any(|watts| *watts != 0.0);
    let is_alive =
        grid_is_real || volts.is_some() || [generation, consumption].iter().flatten().any(|watts| *watts != 0.0);
    let mut reading = WireReading::default();
    if !is_alive {
        return reading;
    }
    reading.generation_w = generation.and_then(ems::generation);
    reading.consumption_w = consumption.filter(|watts| knows_input || *watts != 0.0).map(|watts| watts.max(0.0));
    if grid_is_real {
        reading.grid_w = sum(grid);
        reading.grid_phase_w = Some(grid.to_vec());
    }
    if volts.is_some() {
        reading.battery_w = number(image, BATTERY_WATTS, SIGNED).map(|watts| -watts);
        reading.battery_soc = word(SOC).filter(|soc| *soc <= 100.0);
    }
    let name = match input {
        Some(1.0) => Some("grid"),
        Some(_) if is(GENSET) => Some("generator"),
        Some(3.0) => Some("shore"),
        Some(_) if is(NOT_CONNECTED) => Some("none"),
        _ => None,
    };
    if let Some(name) = name {
        reading.attributes.insert("activeInput".to_owned(), Attribute::Text(name.to_owned()));
    }
    reading
}

/// Adds volts and amps of the phases from another unit.
pub fn add_phases(reading: &mut WireReading, image: &Image, source: PhaseSource) {
    let (volts, amps, watts, tens) = source.places();
    let volts = volts.map(|at| {
        number(image, at, UNSIGNED).map(|tenths| tenths / 10.0).filter(|volts| (1.0..=1000.0).contains(volts))
    });
    let watts = watts.map(|at| number(image, at, SIGNED).map(|watts| watts * tens));
    // A phase without voltage does not exist.
    let of = |list: &[Option<f64>; 3], at: usize| list.get(at).copied().flatten();
    let amps = amps.map(|at| number(image, at, SIGNED).map(|tenths| tenths / 10.0));
    let signed = [0, 1, 2].map(|at| of(&volts, at).and(of(&amps, at)).map(|amps| same_sign(amps, of(&watts, at))));
    if volts.iter().any(Option::is_some) {
        reading.grid_volts = Some(volts.to_vec());
        reading.grid_amps = Some(signed.to_vec());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use modbus::Block;

    fn image(words: &[(u16, u16)]) -> Image {
        Image::new(words.iter().map(|(at, word)| (Table::Holding, Block::new(*at, vec![*word]))).collect())
    }

    fn system_with(changes: &[(u16, u16)]) -> WireReading {
        let mut all: Vec<(u16, u16)> = (808..=826).chain(840..=844).chain([850]).map(|at| (at, 0)).collect();
        for (at, word) in changes {
            all.iter_mut().filter(|(address, _)| address == at).for_each(|(_, value)| *value = *word);
        }
        system(&image(&all))
    }

    #[test]
    fn all_kinds_of_sun_add_up_and_signs_are_ours() {
        let found = system_with(&[
            (808, 500),
            (811, 1850),
            (817, 640),
            (820, 65126),
            (821, 100),
            (826, 1),
            (840, 528),
            (842, 800),
            (843, 71),
            (850, 70),
        ]);
        assert_eq!((found.generation_w, found.consumption_w), (Some(2420.0), Some(640.0)));
        assert_eq!((found.grid_w, found.battery_w, found.battery_soc), (Some(-310.0), Some(-800.0), Some(71.0)));
        assert_eq!(found.grid_phase_w, Some(vec![Some(-410.0), Some(100.0), Some(0.0)]));
    }

    #[test]
    fn zeros_all_over_are_unknown() {
        let found = system_with(&[]);
        assert_eq!(found, WireReading::default());
        let idle = system_with(&[(826, 1), (840, 520)]);
        assert_eq!((idle.grid_w, idle.generation_w, idle.consumption_w), (Some(0.0), Some(0.0), Some(0.0)));
        // No battery monitor: no battery rather than an empty one.
        let bare = system_with(&[(826, 1), (820, 300)]);
        assert_eq!((bare.battery_w, bare.battery_soc, bare.grid_w), (None, None, Some(300.0)));
    }

    #[test]
    fn sun_on_the_generator_counts_while_it_runs() {
        assert_eq!(system_with(&[(814, 700), (826, 1)]).generation_w, Some(0.0));
        assert_eq!(system_with(&[(814, 700), (826, 2)]).generation_w, Some(700.0));
    }

    #[test]
    fn large_systems_need_32_bits() {
        let mut words = vec![
            (820, 0x7fff),
            (821, 0),
            (822, 0),
            (826, 1),
            (908, 0),
            (909, 45_000),
            (910, 0),
            (911, 0),
            (912, 0),
            (913, 0),
        ];
        let of = |words: &[(u16, u16)]| {
            let mut blocks: Vec<(Table, Block)> = Vec::new();
            for pair in words.chunk_by(|a, b| a.0 + 1 == b.0) {
                blocks.push((Table::Holding, Block::new(pair[0].0, pair.iter().map(|(_, word)| *word).collect())));
            }
            system(&Image::new(blocks)).grid_w
        };
        assert_eq!(of(&words), Some(45_000.0));
        words[5].1 = 0;
        assert_eq!(of(&words), Some(32_767.0));
    }

    #[test]
    fn volts_and_amps_of_existing_phases() {
        let mut reading = WireReading::default();
        let meter =
            [(2616, 2310), (2617, 43), (2618, 0), (2619, 0), (2620, 2290), (2621, 10), (2600, 65126), (2602, 230)];
        add_phases(&mut reading, &image(&meter), PhaseSource::Meter);
        assert_eq!(reading.grid_volts, Some(vec![Some(231.0), None, Some(229.0)]));
        assert_eq!(reading.grid_amps, Some(vec![Some(-4.3), None, Some(1.0)]));
        let mut reading = WireReading::default();
        add_phases(&mut reading, &image(&[(3, 2301), (6, 65531), (12, 65525)]), PhaseSource::VeBus);
        assert_eq!(reading.grid_amps, Some(vec![Some(-0.5), None, None]));
    }

    proptest::proptest! {
        #[test]
        fn any_registers_give_sane_numbers(words in proptest::collection::vec(proptest::prelude::any::<u16>(), 120)) {
            let image = Image::new(vec![(Table::Holding, Block::new(800, words))]);
            proptest::prop_assert!(system(&image).into_reading(std::time::Instant::now()).is_ok());
        }
    }
}
