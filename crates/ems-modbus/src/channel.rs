//! What registers mean, and what they make together. Pure.

use ems::{Attribute, WireReading};
use ems_registers::{Image, same_sign};
use modbus::{Format, Table};

/// Beyond these a meter of a house says "no value" or "overflow": 0x7FFFFFFF on Carlo Gavazzi and ABB, for instance.
pub(crate) const MOST_WATTS: f64 = 1e6;
const MOST_AMPS: f64 = 1e4;
const MOST_VOLTS: f64 = 1e3;

/// What a register tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Power at the grid connection, import positive.
    Grid,
    /// Current there.
    GridCurrent,
    /// Voltage there.
    GridVoltage,
    /// Solar or other own generation.
    Generation,
    /// Consumption of the house.
    Consumption,
    /// Battery power, discharge positive.
    Battery,
    /// State of charge in percent.
    BatterySoc,
}

impl Role {
    /// The words of the configuration.
    pub(crate) const WORDS: [(&'static str, Role); 7] = [
        ("grid", Role::Grid),
        ("gridCurrent", Role::GridCurrent),
        ("gridVoltage", Role::GridVoltage),
        ("generation", Role::Generation),
        ("consumption", Role::Consumption),
        ("battery", Role::Battery),
        ("batterySoc", Role::BatterySoc),
    ];

    fn most(self) -> f64 {
        match self {
            Role::GridCurrent => MOST_AMPS,
            Role::GridVoltage => MOST_VOLTS,
            _ => MOST_WATTS,
        }
    }
}

/// One number of a device.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Channel {
    /// What it tells.
    pub role: Role,
    /// Of which phase, from 0.
    pub phase: Option<usize>,
    /// Where it stands.
    pub table: Table,
    /// Its first register, on the wire.
    pub address: u16,
    /// How it is laid out.
    pub format: Format,
    /// 1, or -1 where the device counts the other way round.
    pub sign: f64,
}

impl Channel {
    fn value(&self, image: &Image) -> Option<f64> {
        let value = image.number(self.table, self.address, self.format)?;
        (value.abs() <= self.role.most()).then_some(value * self.sign)
    }
}

/// What a meter at the grid connection tells, in numbers; `None` is unknown.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Meter {
    /// Total power in watts, import positive.
    pub watts: Option<f64>,
    /// Power of each phase.
    pub phase_watts: [Option<f64>; 3],
    /// Current of each phase, signed like its power.
    pub amps: [Option<f64>; 3],
    /// Voltage of each phase.
    pub volts: [Option<f64>; 3],
}

impl Meter {
    /// Gives the currents the direction of their phase's power, and drops what no house can have.
    pub(crate) fn signed(mut self) -> Meter {
        let within =
            |values: [Option<f64>; 3], most: f64| values.map(|value| value.filter(|value| value.abs() <= most));
        self.watts = self.watts.filter(|watts| watts.abs() <= MOST_WATTS);
        self.phase_watts = within(self.phase_watts, MOST_WATTS);
        self.amps = within(self.amps, MOST_AMPS);
        self.volts = within(self.volts, MOST_VOLTS).map(|volts| volts.filter(|volts| *volts >= 0.0));
        for (amps, watts) in self.amps.iter_mut().zip(self.phase_watts) {
            *amps = amps.map(|amps| same_sign(amps, watts));
        }
        self
    }

    /// With import and export exchanged.
    pub(crate) fn inverted(self) -> Meter {
        let turn = |values: [Option<f64>; 3]| values.map(|value| value.map(|value| -value));
        Meter { watts: self.watts.map(|watts| -watts), phase_watts: turn(self.phase_watts), ..self }.signed()
    }

    /// Puts it into a reading as the meter of the grid connection.
    pub(crate) fn as_grid(&self, reading: &mut WireReading) {
        let known = |values: [Option<f64>; 3]| values.iter().any(Option::is_some).then(|| values.to_vec());
        reading.grid_w = self.watts;
        reading.grid_phase_w = known(self.phase_watts);
        reading.grid_amps = known(self.amps);
        reading.grid_volts = known(self.volts);
    }
}

/// The sum of the channels of a role, without regard to phases; `None` when there is none, or one is unknown.
fn sum(channels: &[Channel], image: &Image, wanted: impl Fn(&Channel) -> bool) -> Option<f64> {
    let mut values = channels.iter().filter(|channel| wanted(channel)).map(|channel| channel.value(image)).peekable();
    values.peek()?;
    values.sum()
}

/// What the channels make together.
///
/// # Errors
/// A sentence for values that contradict the configuration.
pub fn reading(channels: &[Channel], image: &Image) -> Result<WireReading, String> {
    let of = |role| sum(channels, image, |channel| channel.role == role);
    let phases = |role| {
        [0, 1, 2].map(|phase| sum(channels, image, |channel| channel.role == role && channel.phase == Some(phase)))
    };
    let has_total = |role: Role| channels.iter().any(|channel| channel.role == role && channel.phase.is_none());
    let total = |role: Role| match has_total(role) {
        true => {
            // A total that a device lacks is the sum of its phases where all of those are there.
            sum(channels, image, |channel| channel.role == role && channel.phase.is_none())
                .or_else(|| sum(channels, image, |channel| channel.role == role && channel.phase.is_some()))
        }
        false => of(role),
    };
    let meter = Meter {
        watts: total(Role::Grid),
        phase_watts: phases(Role::Grid),
        amps: phases(Role::GridCurrent),
        volts: phases(Role::GridVoltage),
    };
    let mut reading = WireReading { battery_w: total(Role::Battery), ..WireReading::default() };
    meter.signed().as_grid(&mut reading);
    reading.battery_soc = of(Role::BatterySoc).filter(|soc| (0.0..=100.0).contains(soc));
    if let Some(watts) = total(Role::Generation) {
        reading.generation_w = Some(generated(watts)?);
    }
    reading.consumption_w = total(Role::Consumption).map(|watts| watts.max(0.0));
    let has = |role: Role| channels.iter().any(|channel| channel.role == role);
    if !has(Role::Generation) && !has(Role::Consumption) && has(Role::Grid) {
        grid_only(&mut reading);
    }
    Ok(reading)
}

/// Generation, where a few watts below zero are none.
pub(crate) fn generated(watts: f64) -> Result<f64, String> {
    ems::generation(watts).ok_or_else(|| {
        format!(
            "the meter of the generation shows {watts:.0} W, less than nothing; if it is mounted the other way round, \
             set `invert` to true (or turn the sign of the register's `scale`)"
        )
    })
}

/// The two numbers that TWCManager's drivers give for a meter at the grid connection: import and export.
pub(crate) fn grid_only(reading: &mut WireReading) {
    reading.consumption_w = reading.grid_w.map(|watts| watts.max(0.0));
    reading.generation_w = reading.grid_w.map(|watts| (-watts).max(0.0));
    reading.attributes.insert("gridOnly".to_owned(), Attribute::Flag(true));
}

#[cfg(test)]
mod tests {
    use super::*;
    use modbus::{Block, Number};

    fn channel(role: Role, phase: Option<usize>, address: u16) -> Channel {
        Channel { role, phase, table: Table::Holding, address, format: Format::new(Number::I16), sign: 1.0 }
    }

    fn image(words: &[i16]) -> Image {
        let words = words.iter().map(|word| i16::cast_unsigned(*word)).collect();
        Image::new(vec![(Table::Holding, Block::new(0, words))])
    }

    #[test]
    fn phases_make_a_total_only_when_all_are_known() {
        let channels = [0, 1, 2].map(|phase| channel(Role::Grid, Some(phase), phase as u16));
        let full = reading(&channels, &image(&[100, -300, 50])).unwrap();
        assert_eq!((full.grid_w, full.generation_w, full.consumption_w), (Some(-150.0), Some(150.0), Some(0.0)));
        assert_eq!(full.attributes["gridOnly"], Attribute::Flag(true));
        let part = reading(&channels, &image(&[100, i16::MIN, 50])).unwrap();
        assert_eq!((part.grid_w, part.generation_w, part.consumption_w), (None, None, None));
        assert_eq!(part.grid_phase_w, Some(vec![Some(100.0), None, Some(50.0)]));
    }

    #[test]
    fn a_total_that_is_missing_comes_from_its_phases() {
        let mut channels = vec![channel(Role::Grid, None, 9)];
        channels.extend([0, 1].map(|phase| channel(Role::Grid, Some(phase), phase as u16)));
        assert_eq!(reading(&channels, &image(&[100, 200])).unwrap().grid_w, Some(300.0));
    }

    #[test]
    fn several_registers_of_one_role_add_up_and_other_roles_stay_true() {
        let channels =
            [channel(Role::Generation, None, 0), channel(Role::Generation, None, 1), channel(Role::Grid, None, 2)];
        let found = reading(&channels, &image(&[1000, -4, -700])).unwrap();
        assert_eq!((found.generation_w, found.consumption_w, found.grid_w), (Some(996.0), None, Some(-700.0)));
        assert!(found.attributes.is_empty());
    }

    #[test]
    fn night_tare_is_zero_and_a_meter_mounted_backwards_is_told() {
        let channels = [channel(Role::Generation, None, 0)];
        assert_eq!(reading(&channels, &image(&[-6])).unwrap().generation_w, Some(0.0));
        assert!(reading(&channels, &image(&[-800])).unwrap_err().contains("invert"));
    }
}
