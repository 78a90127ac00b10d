//! The inverter in the house over Modbus TCP.

use std::time::{Duration, Instant};

use ems::{Ems, EmsError, EmsReading, Pace, Stop, WireReading};
use ems_registers::Device;
use modbus::{Block, ModbusError, NotInBlock, Table, sunspec};

use crate::blocks::{
    BATTERY, BATTERY_POWER_AGAIN, BATTERY_SPAN, BATTERY_STEP, Battery, F32 as FLOAT, INVERTER_SPAN, Inverter,
    METER_SPAN, Meter, battery, inverter, meter,
};

const INTERVAL: Duration = Duration::from_secs(5);
/// Meters and batteries are looked for again after this long.
const LOOK_AGAIN: Duration = Duration::from_secs(3600);
/// Where the inverter's model is when the list of models is not told.
const USUAL_INVERTER: u16 = 40069;
/// From a meter's common model to the text that tells what it is set up as, and from there to its values.
const OPTION: u16 = 34;
const OPTION_WORDS: u16 = 8;

/// What a meter measures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// The grid connection.
    Grid,
    /// Loads.
    Consumption,
}

/// A meter's role by its place in the list, from the configuration.
pub(crate) type Roles = Vec<(usize, Role)>;

#[derive(Debug, Clone, Default)]
struct Layout {
    /// Address of each inverter's model, and how many batteries it has.
    inverters: Vec<(u16, u16)>,
    meters: Vec<(u16, Role)>,
}

pub(crate) struct Local {
    /// One for each inverter; the meters hang on the first.
    devices: Vec<Device>,
    roles: Option<Roles>,
    layout: Option<(Instant, Layout)>,
}

impl Local {
    pub fn new(devices: Vec<Device>, roles: Option<Roles>) -> Self {
        Local { devices, roles, layout: None }
    }

    fn find(&mut self) -> Result<Layout, EmsError> {
        let mut layout = Layout::default();
        for (index, device) in self.devices.iter_mut().enumerate() {
            let models = device.models().map_err(|error| device.failed(&error))?;
            let own = models.iter().find(|model| matches!(model.id, 101..=103));
            let at = own.map_or(USUAL_INVERTER, |model| model.address);
            layout.inverters.push((at, count_batteries(device)?));
            if index == 0 {
                layout.meters = find_meters(device, &models, self.roles.as_ref())?;
            }
        }
        Ok(layout)
    }

    fn values(&mut self, now: Instant) -> Result<WireReading, EmsError> {
        let known = self.layout.as_ref().filter(|(at, _)| now.duration_since(*at) < LOOK_AGAIN);
        let layout = match known {
            Some((_, layout)) => layout.clone(),
            None => {
                let layout = self.find()?;
                self.layout = Some((now, layout.clone()));
                layout
            }
        };
        let mut inverters = Vec::with_capacity(layout.inverters.len());
        let mut meters = Vec::with_capacity(layout.meters.len());
        for (device, (at, count)) in self.devices.iter_mut().zip(layout.inverters) {
            // A number and its scale factor are read in one request: they change together.
            let block = holding(device, at, INVERTER_SPAN)?;
            let inverter = inverter(&block, at).map_err(not_read)?;
            inverters.push((inverter, batteries(device, count)?));
        }
        for (at, role) in layout.meters {
            if let Some(device) = self.devices.first_mut() {
                let block = holding(device, at, METER_SPAN)?;
                meters.push((meter(&block, at).map_err(not_read)?, role));
            }
        }
        Ok(combine(&inverters, &meters))
    }
}

impl Ems for Local {
    fn read(&mut self, _: &Stop) -> Result<EmsReading, EmsError> {
        let now = Instant::now();
        let values = self.values(now).inspect_err(|_| self.layout = None)?;
        values.into_reading(now).map_err(EmsError::garbled)
    }

    fn pace(&self) -> Pace {
        Pace::Every(INTERVAL)
    }
}

/// Holding registers in one request.
fn holding(device: &mut Device, at: u16, count: u16) -> Result<Block, EmsError> {
    device.read(Table::Holding, at, count).map_err(|error| device.failed(&error))
}

/// The same, `None` when the device lacks them.
fn if_there(device: &mut Device, at: u16, count: u16) -> Result<Option<Block>, EmsError> {
    match device.read(Table::Holding, at, count) {
        Ok(block) => Ok(Some(block)),
        Err(error) if is_absent(&error) => Ok(None),
        Err(error) => Err(device.failed(&error)),
    }
}

/// Older firmware refuses the batteries' registers with other codes than "no such register".
fn is_absent(error: &ModbusError) -> bool {
    use modbus::ExceptionCode::{DeviceFailure, IllegalFunction, IllegalValue};
    error.is_absent() || matches!(error.exception(), Some(DeviceFailure | IllegalFunction | IllegalValue))
}

/// A register that was not read is a mistake in this driver.
fn not_read(error: NotInBlock) -> EmsError {
    EmsError::garbled(error.to_string())
}

fn count_batteries(device: &mut Device) -> Result<u16, EmsError> {
    let mut count = 0;
    for step in [0, BATTERY_STEP] {
        let at = BATTERY + step;
        match if_there(device, at, BATTERY_SPAN)? {
            Some(block) if battery(&block, at).map_err(not_read)?.is_some() => count += 1,
            _ => break,
        }
    }
    Ok(count)
}

fn find_meters(
    device: &mut Device,
    models: &[sunspec::Model],
    roles: Option<&Roles>,
) -> Result<Vec<(u16, Role)>, EmsError> {
    let mut meters = Vec::new();
    let mut place = 0;
    let mut common = None;
    for model in models {
        match model.id {
            1 => common = Some(model.address),
            201..=204 => {
                place += 1;
                let role = match roles {
                    Some(roles) => roles.iter().find(|(at, _)| *at == place).map(|(_, role)| *role),
                    None => option_of(device, common)?,
                };
                meters.extend(role.map(|role| (model.address, role)));
            }
            _ => {}
        }
    }
    // Found out by ourselves, the grid's meter tells all there is: a second one around loads is contained in it.
    if roles.is_none() && meters.iter().any(|(_, role)| *role == Role::Grid) {
        meters.retain(|(_, role)| *role == Role::Grid);
        meters.truncate(1);
    }
    Ok(meters)
}

/// What a meter is set up as, from the text in its common model.
fn option_of(device: &mut Device, common: Option<u16>) -> Result<Option<Role>, EmsError> {
    let Some(at) = common.map(|at| at.saturating_add(OPTION)) else { return Ok(None) };
    let Some(block) = if_there(device, at, OPTION_WORDS)? else { return Ok(None) };
    let text = block.text(at, OPTION_WORDS).map_err(not_read)?.to_ascii_lowercase();
    Ok(match text.as_str() {
        text if text.contains("export") || text.contains("import") => Some(Role::Grid),
        text if text.contains("consumption") => Some(Role::Consumption),
        // A production meter measures what the inverter tells already.
        _ => None,
    })
}

fn batteries(device: &mut Device, count: u16) -> Result<Vec<Battery>, EmsError> {
    let mut batteries = Vec::new();
    for index in 0..count {
        let at = BATTERY + index * BATTERY_STEP;
        let block = holding(device, at, BATTERY_SPAN)?;
        // It was there when looked for: without a value it is one whose power is unknown, not one of none.
        let mut found = battery(&block, at).map_err(not_read)?.unwrap_or_default();
        if found.power.is_none() {
            found.power = power_again(device, index)?;
        }
        batteries.push(found);
    }
    Ok(batteries)
}

/// The power in the second block of batteries, for firmware that leaves it out of the first.
fn power_again(device: &mut Device, index: u16) -> Result<Option<f64>, EmsError> {
    let at = BATTERY_POWER_AGAIN + index * BATTERY_STEP;
    let block = if_there(device, at, 2)?;
    let power = block.map(|block| block.number(at, FLOAT)).transpose().map_err(not_read)?.flatten();
    Ok(power.map(|power| -power))
}

/// From all inverters with their batteries and all meters to the house. A part that is unknown makes its sum unknown.
fn combine(inverters: &[(Inverter, Vec<Battery>)], meters: &[(Meter, Role)]) -> WireReading {
    let together = |batteries: &[Battery]| {
        let power = batteries.iter().map(|battery| battery.power).sum::<Option<f64>>();
        (!batteries.is_empty()).then_some(Battery { power, soc: None })
    };
    let generation = inverters.iter().map(|(inverter, batteries)| inverter.generation(together(batteries))).sum();
    // Asleep, an inverter has no figure or draws a few watts; both are next to nothing for the house.
    let given = |(inverter, _): &(Inverter, Vec<Battery>)| inverter.ac.or((inverter.state == 2).then_some(0.0));
    let ac = inverters.iter().map(given).sum::<Option<f64>>();
    let all: Vec<Battery> = inverters.iter().flat_map(|(_, batteries)| batteries).copied().collect();
    let socs: Vec<f64> = all.iter().filter_map(|battery| battery.soc).collect();

    let of = |wanted: Role| meters.iter().filter(move |(_, role)| *role == wanted).map(|(meter, _)| meter);
    let has = |wanted: Role| of(wanted).next().is_some();
    // The device's sign is that of a generator: export is positive.
    let exported = of(Role::Grid).map(|meter| meter.power).sum::<Option<f64>>().filter(|_| has(Role::Grid));
    // Some sites count loads positive, others negative.
    let loads = of(Role::Consumption).map(|meter| meter.power.map(f64::abs)).sum::<Option<f64>>();
    let (consumption, grid) = match (has(Role::Grid), has(Role::Consumption)) {
        (true, _) => {
            let house = ac.zip(exported).zip(loads).map(|((ac, exported), loads)| ac - exported + loads);
            (house, exported.map(|watts| -watts))
        }
        (false, true) => (loads, loads.zip(ac).map(|(loads, ac)| loads - ac)),
        (false, false) => (None, None),
    };
    let mut values = WireReading {
        generation_w: generation,
        consumption_w: consumption.map(|watts| watts.max(0.0)),
        grid_w: grid,
        battery_w: together(&all).and_then(|battery| battery.power),
        battery_soc: (!socs.is_empty())
            .then(|| socs.iter().sum::<f64>() / f64::from(u8::try_from(socs.len()).unwrap_or(u8::MAX))),
        ..WireReading::default()
    };
    let mut grid_meters = of(Role::Grid);
    if let (Some(meter), None) = (grid_meters.next(), grid_meters.next()) {
        let signed = |amps: Option<f64>, power: Option<f64>| match (amps, power) {
            (Some(amps), Some(power)) if power > 0.0 => Some(-amps.abs()),
            (amps, _) => amps.map(f64::abs),
        };
        let amps = meter.amps.iter().zip(meter.phase_power).map(|(amps, power)| signed(*amps, power));
        values.grid_amps = Some(amps.collect());
        values.grid_phase_w = Some(meter.phase_power.iter().map(|power| power.map(|watts| -watts)).collect());
        values.grid_volts = Some(meter.volts.to_vec());
    }
    values
}

#[cfg(test)]
mod tests {
    use super::*;
    use ems::units::{Amps, Percent, Watts};
    use ems::{Section, Shared};
    use modbus::{Registers, Target};
    use std::sync::Arc;

    fn text(text: &str) -> Vec<u16> {
        let mut bytes = text.as_bytes().to_vec();
        bytes.resize(usize::from(OPTION_WORDS) * 2, 0);
        bytes.chunks(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]])).collect()
    }

    /// A three-phase inverter that gives `ac` W, then the words before the meters that Synergy units have.
    struct Site(Registers, u16);

    impl Site {
        fn new(ac: i16, gap: u16) -> Self {
            let mut registers = Registers::new();
            let mut set = |at: u16, words: &[u16]| registers.set(1, Table::Holding, at, words);
            set(40000, &[0x5375, 0x6e53, 1, 65]);
            set(40004, &[0; 65]);
            set(40069, &[103, 50 + gap]);
            set(40071, &vec![0; usize::from(50 + gap)]);
            set(40083, &[ac.cast_unsigned(), 0]);
            set(40100, &[(ac + 60).cast_unsigned(), 0]);
            set(40107, &[4]);
            set(40121 + gap, &[0xffff, 0]);
            Site(registers, 40121 + gap)
        }

        fn meter(mut self, option: &str, watts: [i16; 4]) -> Self {
            let at = self.1;
            let mut set = |at: u16, words: &[u16]| self.0.set(1, Table::Holding, at, words);
            set(at, &[1, 65]);
            set(at + 2, &[0; 65]);
            set(at + OPTION, &text(option));
            set(at + 67, &[203, 105]);
            set(at + 69, &[0; 105]);
            set(at + 69, &[100, 70, 20, 10, 0xffff]);
            set(at + 75, &[2300, 2300, 2300]);
            set(at + 82, &[0xffff]);
            set(at + 85, &watts.map(i16::cast_unsigned));
            set(at + 174, &[0xffff, 0]);
            self.1 = at + 174;
            self
        }

        fn battery(mut self, register: f64, soc: f64) -> Self {
            self.0.set(1, Table::Holding, BATTERY, &vec![0; usize::from(BATTERY_SPAN)]);
            self.0.set(1, Table::Holding, BATTERY, &[112]);
            for (at, value) in [(2, 9700.0), (0x34, register), (0x44, soc)] {
                self.0.set(1, Table::Holding, BATTERY + at, &FLOAT.encode(value).unwrap());
            }
            self
        }

        fn read(self, roles: Option<Roles>) -> EmsReading {
            let mut section = Section::new("sources.SolarEdge", serde_json::Map::new());
            let target = Target::Registers(Arc::new(self.0));
            let device = Device::open(&mut section, &Shared::new(), target, 1, "inverterHost", 5.0).unwrap();
            Local::new(vec![device], roles).read(&Stop::never()).unwrap()
        }
    }

    #[test]
    fn a_meter_at_the_grid_is_found_and_its_sign_turned() {
        for gap in [0, 50, 70] {
            let reading = Site::new(5000, gap).meter("Export+Import", [4000, 3000, 1500, -500]).read(None);
            assert_eq!(reading.generation.map(Watts::get), Some(5000.0), "{gap}");
            assert_eq!(reading.grid.map(Watts::get), Some(-4000.0));
            assert_eq!(reading.consumption.map(Watts::get), Some(1000.0));
            let amps = reading.grid_current.map(|amps| amps.map(Amps::get)).into_array();
            assert_eq!(amps, [Some(-7.0), Some(-2.0), Some(1.0)]);
            assert_eq!(reading.grid_power.l3.map(Watts::get), Some(500.0));
        }
    }

    #[test]
    fn without_a_meter_only_generation_is_known() {
        let reading = Site::new(5000, 0).read(None);
        assert_eq!((reading.grid, reading.consumption, reading.battery), (None, None, None));
        assert_eq!(reading.generation.map(Watts::get), Some(5000.0));
    }

    #[test]
    fn a_charging_battery_is_neither_consumption_nor_missing_sun() {
        // 3000 W of sun: 2000 W into the battery, 940 W to the house, of which 40 W go out.
        let site = Site::new(940, 0).meter("Export+Import", [40, 40, 0, 0]).battery(2000.0, 61.5);
        let reading = site.read(None);
        assert_eq!(reading.generation.map(Watts::get), Some(3000.0));
        assert_eq!(reading.battery.map(Watts::get), Some(-2000.0));
        assert_eq!(reading.consumption.map(Watts::get), Some(900.0));
        assert_eq!(reading.battery_soc.map(Percent::get), Some(61.5));
    }

    #[test]
    fn roles_of_the_configuration_are_kept() {
        let site = || Site::new(3000, 0).meter("whatever", [-700, 0, 0, 0]).meter("else", [1200, 0, 0, 0]);
        let reading = site().read(Some(vec![(1, Role::Consumption), (2, Role::Grid)]));
        assert_eq!(reading.consumption.map(Watts::get), Some(3000.0 - 1200.0 + 700.0));
        let reading = site().read(Some(vec![(1, Role::Consumption)]));
        assert_eq!(reading.consumption.map(Watts::get), Some(700.0));
        assert_eq!(reading.grid.map(Watts::get), Some(-2300.0));
    }

    #[test]
    fn a_meter_without_values_leaves_the_grid_unknown() {
        let reading = Site::new(3000, 0).meter("Export+Import", [i16::MIN; 4]).read(None);
        assert_eq!((reading.grid, reading.consumption), (None, None));
        assert_eq!(reading.generation.map(Watts::get), Some(3000.0));
    }

    #[test]
    fn recorded_inverters_read_right_from_end_to_end() {
        for recording in recordings::vendor("solaredge") {
            if recording.text_at(&["request", "transport"]) != "modbus-tcp" {
                continue;
            }
            let mut registers = Registers::new();
            registers.set(1, Table::Holding, 40000, &[0; 200]);
            for (address, word) in recording.json()["holding_registers"].as_object().unwrap() {
                let word = u16::try_from(word.as_u64().unwrap()).unwrap();
                registers.set(1, Table::Holding, address.parse().unwrap(), &[word]);
            }
            let reading = Site(registers, 0).read(None);
            recording.assert_number("generation_w", reading.generation.map(Watts::get));
        }
    }
}
