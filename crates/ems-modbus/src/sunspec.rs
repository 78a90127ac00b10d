//! SunSpec models: meters, inverters and batteries. Pure.
//!
//! Source: sunspec/models, offsets counted from the model's number. Signs differ by maker, see [`Maker`].

use modbus::{Block, Format, Number};

use crate::channel::{MOST_WATTS, Meter};

/// A model with its registers; the block begins at its number.
#[derive(Debug, Clone, PartialEq)]
pub struct Read {
    /// The model's number.
    pub id: u16,
    /// Its registers, from the number on.
    pub block: Block,
}

/// Who made a device, from its model 1: makers count in different directions.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Maker(pub String);

impl Maker {
    /// From model 1.
    #[must_use]
    pub fn of(common: &Read) -> Maker {
        Maker(common.block.text(common.block.start().saturating_add(2), 16).unwrap_or_default())
    }

    fn is(&self, name: &str) -> bool {
        self.0.to_ascii_lowercase().starts_with(name)
    }

    /// Whether its meters count export positive, unlike most.
    #[must_use]
    pub fn counts_export_positive(&self) -> bool {
        self.is("solaredge")
    }
}

/// Whether a model is a meter.
#[must_use]
pub fn is_meter(id: u16) -> bool {
    matches!(id, 201..=204 | 211..=214)
}

/// Whether a model is one that is read here.
#[must_use]
pub fn is_wanted(id: u16) -> bool {
    is_meter(id) || matches!(id, 101..=103 | 111..=113 | 124 | 160 | 802)
}

const INTEGER: Format = Format::new(Number::I16);
const WORD: Format = Format::new(Number::U16);
const FLOAT: Format = Format::new(Number::F32);

impl Read {
    /// A whole number with its scale factor; offsets from the model's number.
    fn scaled(&self, offset: u16, format: Format, factor: u16) -> Option<f64> {
        let at = |offset: u16| self.block.start().saturating_add(offset);
        self.block.scaled(at(offset), format, at(factor)).ok().flatten()
    }

    fn float(&self, offset: u16) -> Option<f64> {
        self.block.number(self.block.start().saturating_add(offset), FLOAT).ok().flatten()
    }

    fn word(&self, offset: u16) -> Option<u16> {
        self.block.word(self.block.start().saturating_add(offset)).ok()
    }
}

/// What a meter model tells, in the direction of its maker.
#[must_use]
pub fn meter(model: &Read) -> Meter {
    // Models 2x1 have one phase; 2x4 (delta) have no voltage against neutral.
    let phases: &[usize] = if model.id % 10 == 1 { &[0] } else { &[0, 1, 2] };
    let three = |value: &dyn Fn(u16) -> Option<f64>| {
        let of = |phase: usize| phases.contains(&phase).then(|| u16::try_from(phase).ok().and_then(value)).flatten();
        [of(0), of(1), of(2)]
    };
    let mut meter = match model.id {
        201..=204 => Meter {
            watts: model.scaled(18, INTEGER, 22),
            phase_watts: three(&|phase| model.scaled(19 + phase, INTEGER, 22)),
            amps: three(&|phase| model.scaled(3 + phase, INTEGER, 6)),
            volts: three(&|phase| model.scaled(8 + phase, INTEGER, 15)),
        },
        211..=214 => Meter {
            watts: model.float(28),
            phase_watts: three(&|phase| model.float(30 + 2 * phase)),
            amps: three(&|phase| model.float(4 + 2 * phase)),
            volts: three(&|phase| model.float(12 + 2 * phase)),
        },
        _ => Meter::default(),
    };
    if let (201 | 211, None) = (model.id, meter.phase_watts[0]) {
        meter.phase_watts[0] = meter.watts;
    }
    meter.signed()
}

/// States in which no power is no power: off, sleeping, starting.
const RESTING: [u16; 3] = [1, 2, 3];

/// AC power of an inverter; an inverter that says that it sleeps and gives no power has none.
#[must_use]
pub fn inverter(model: &Read) -> Option<f64> {
    let (watts, state) = match model.id {
        101..=103 => (model.scaled(14, INTEGER, 15), model.word(38)),
        111..=113 => (model.float(22), model.word(48)),
        _ => (None, None),
    };
    let watts = watts.filter(|watts| watts.abs() <= MOST_WATTS);
    watts.or_else(|| state.filter(|state| RESTING.contains(state)).map(|_| 0.0))
}

/// What inverters and batteries of one unit tell.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Plant {
    /// Whether there is an inverter.
    pub has_inverter: bool,
    /// Solar generation, as it came.
    pub generation: Option<f64>,
    /// Battery power, discharge positive.
    pub battery: Option<f64>,
    /// State of charge in percent.
    pub soc: Option<f64>,
}

/// Power of each DC input of model 160.
fn inputs(model: &Read) -> Vec<Option<f64>> {
    let count = model.word(8).unwrap_or_default().min(20);
    (0..count).map(|at| model.scaled(10 + 20 * at + 11, WORD, 4).filter(|watts| *watts <= MOST_WATTS)).collect()
}

/// Puts inverter, DC inputs and battery models together.
#[must_use]
pub fn plant(models: &[Read], maker: &Maker, invert_battery: bool) -> Plant {
    let find = |wanted: &dyn Fn(u16) -> bool| models.iter().find(|model| wanted(model.id));
    let mut plant = Plant::default();
    let battery_sign = if invert_battery { -1.0 } else { 1.0 };
    if let Some(battery) = find(&|id| id == 802) {
        plant.battery = battery.scaled(47, INTEGER, 63).map(|watts| watts * battery_sign);
        plant.battery = plant.battery.filter(|watts| watts.abs() <= MOST_WATTS);
        plant.soc = battery.scaled(11, WORD, 56);
    }
    if let Some(storage) = find(&|id| id == 124) {
        plant.soc = plant.soc.or_else(|| storage.scaled(8, WORD, 22));
    }
    plant.soc = plant.soc.filter(|soc| (0.0..=100.0).contains(soc));
    let Some(model) = find(&|id| matches!(id, 101..=103 | 111..=113)) else { return plant };
    plant.has_inverter = true;
    let ac = inverter(model);
    let dc = find(&|id| id == 160).map(inputs).unwrap_or_default();
    (plant.generation, plant.battery) = match (dc.as_slice(), plant.battery) {
        // Fronius hybrids: two solar inputs, then the battery's charging and discharging. At rest inputs have no value.
        (&[first, second, charge, discharge], None) if maker.is("fronius") => {
            let at_rest = |watts: Option<f64>| watts.or(ac.map(|_| 0.0));
            let battery = discharge.zip(charge).map(|(out, into)| out - into);
            (at_rest(first).zip(at_rest(second)).map(|(a, b)| a + b), battery)
        }
        // What the battery gives is in the AC power, and what it takes is missing there.
        (_, Some(battery)) => (ac.map(|ac| (ac - battery).max(0.0)), Some(battery)),
        (_, None) => (ac, None),
    };
    plant
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn model(id: u16, length: u16, values: &[(usize, u16)]) -> Read {
        // Not implemented, as a whole number and as a float.
        let fill = if length == 124 { 0x7fc0 } else { 0x8000 };
        let mut words = vec![fill; usize::from(length) + 2];
        (words[0], words[1]) = (id, length);
        for (offset, word) in values {
            words[*offset] = *word;
        }
        Read { id, block: Block::new(40000, words) }
    }

    const MINUS_ONE: u16 = 0xffff;

    #[test]
    fn an_integer_meter_with_signed_phases() {
        let values = [
            (3, 25),
            (4, 40),
            (6, MINUS_ONE),
            (8, 2301),
            (15, MINUS_ONE),
            (18, 0xff9c),
            (19, 575),
            (20, 0xfd5d),
            (22, 0),
        ];
        let found = meter(&model(203, 105, &values));
        assert_eq!((found.watts, found.phase_watts), (Some(-100.0), [Some(575.0), Some(-675.0), None]));
        assert_eq!((found.amps, found.volts), ([Some(2.5), Some(-4.0), None], [Some(230.1), None, None]));
        assert_eq!(found.inverted().amps, [Some(-2.5), Some(4.0), None]);
    }

    #[test]
    fn a_float_meter_of_one_phase() {
        let float = |offset: usize, value: f32| {
            let [a, b, c, d] = value.to_be_bytes();
            [(offset, u16::from_be_bytes([a, b])), (offset + 1, u16::from_be_bytes([c, d]))]
        };
        let values: Vec<_> = [float(28, -1150.0), float(4, 5.0), float(12, 230.0)].concat();
        let mut single = model(211, 124, &values);
        let found = meter(&single);
        assert_eq!(found.amps, [Some(-5.0), None, None]);
        assert_eq!((found.phase_watts[0], found.volts[0]), (Some(-1150.0), Some(230.0)));
        single.id = 999;
        assert_eq!(meter(&single), Meter::default());
    }

    #[test]
    fn night_is_zero_only_when_the_inverter_says_that_it_sleeps() {
        let at = |state, power| inverter(&model(103, 50, &[(14, power), (15, 0), (38, state)]));
        assert_eq!(at(4, 3550), Some(3550.0));
        assert_eq!(at(2, 0x8000), Some(0.0));
        assert_eq!(at(4, 0x8000), None);
        assert_eq!(at(7, 0x8000), None);
        // The float model's state stands elsewhere; 0x8000 0x8000 is a tiny number, NaN is none.
        assert_eq!(inverter(&model(113, 60, &[(22, 0x7fc0), (23, 0), (48, 2)])), Some(0.0));
        assert_eq!(inverter(&model(113, 60, &[(22, 0x7fc0), (23, 0), (48, 4)])), None);
    }

    #[test]
    fn what_a_battery_takes_is_no_lack_of_sun() {
        let inverter = model(103, 50, &[(14, 3000), (15, 0), (38, 4)]);
        let battery = model(802, 62, &[(11, 640), (56, MINUS_ONE), (47, i16::cast_unsigned(-900)), (63, 0)]);
        let models = [inverter, battery];
        let found = plant(&models, &Maker::default(), false);
        assert_eq!((found.generation, found.battery, found.soc), (Some(3900.0), Some(-900.0), Some(64.0)));
        assert_eq!(plant(&models, &Maker::default(), true).generation, Some(2100.0));
    }

    #[test]
    fn fronius_hybrids_tell_sun_and_battery_by_their_inputs() {
        let mut values = vec![(4, 0), (8, 4)];
        values.extend([2000, 1500, 700, 0].into_iter().enumerate().map(|(at, watts)| (21 + 20 * at, watts)));
        let models = [model(103, 50, &[(14, 2800), (15, 0), (38, 4)]), model(160, 88, &values)];
        let found = plant(&models, &Maker("Fronius".into()), false);
        assert_eq!((found.generation, found.battery), (Some(3500.0), Some(-700.0)));
        assert_eq!(plant(&models, &Maker("Other".into()), false).generation, Some(2800.0));
    }

    proptest! {
        #[test]
        fn any_registers_give_finite_numbers_or_none(id in prop::sample::select(vec![101u16, 103, 113, 124, 160, 201, 203, 204, 211, 213, 802, 7]), words in proptest::collection::vec(any::<u16>(), 0..130)) {
            let model = Read { id, block: Block::new(65500, words) };
            let found = meter(&model);
            let mut grid = ems::WireReading::default();
            found.as_grid(&mut grid);
            prop_assert!(grid.into_reading(std::time::Instant::now()).is_ok());
            for number in found.phase_watts.iter().chain(&found.amps).chain(&found.volts).chain([&found.watts]).flatten() {
                prop_assert!(number.is_finite());
            }
            let _ = (plant(std::slice::from_ref(&model), &Maker::of(&model), false), inverter(&model));
        }
    }
}
