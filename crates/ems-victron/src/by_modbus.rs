//! The driver over Modbus TCP.

use std::time::{Duration, Instant};

use ems::{Ems, EmsError, EmsErrorKind, EmsReading, Pace, Section, Shared, Stop};
use ems_registers::{Device, Image, Plan, tcp_target, unit_id};
use modbus::{Format, Number, Table};

use crate::registers::{self, PhaseSource};

/// The GX device's own values are new about every second.
const INTERVAL: Duration = Duration::from_secs(5);
const SIGNED: Format = Format::new(Number::I16);

pub(crate) fn open(section: &mut Section, shared: &Shared) -> Option<Box<dyn Ems>> {
    let target = tcp_target(section, "serverIP", "serverPort", 502);
    let unit = unit_id(section, "unitID", 100);
    let timeout = section.number_within("timeout", 10.0, 0.1, 600.0);
    let consumption = pairs(section, "consumptionRegisters", 817);
    let generation = pairs(section, "generationRegisters", 808);
    let mut phases = None;
    for (key, source) in [("gridMeterUnit", PhaseSource::Meter), ("veBusUnit", PhaseSource::VeBus)] {
        if phases.is_none() && section.raw(key).is_some() {
            phases = Some((unit_id(section, key, 30), source));
        }
    }
    // A blocked read must not outlast ten seconds, the longest that a source may take.
    let device = Device::open(section, shared, target?, unit, "serverIP", timeout.min(10.0))?;
    let phases = phases.map(|(unit, source)| (device.with_unit(unit), Plan::new(source.points()), source));
    let of_unit = |list: Option<Vec<(u16, u8)>>| {
        list.map(|pairs| {
            let parts = pairs.into_iter().map(|(address, unit)| {
                (device.with_unit(unit), Plan::new([(Table::Holding, address, SIGNED)]), address)
            });
            parts.collect::<Vec<_>>()
        })
    };
    let (consumption, generation) = (of_unit(consumption), of_unit(generation));
    let plan = Plan::new(registers::system_points());
    (!section.has_errors()).then(|| Box::new(Victron { device, plan, phases, consumption, generation }) as Box<dyn Ems>)
}

/// A list of `[register, unit]`; `None` where it is absent or the default three of TWCManager, which we know better.
fn pairs(section: &mut Section, key: &str, first: u16) -> Option<Vec<(u16, u8)>> {
    let list = section.raw(key)?.clone();
    let pair = |value: &serde_json::Value| {
        let [register, unit] = value.as_array()?.as_slice() else { return None };
        let number = |value: &serde_json::Value| match value {
            serde_json::Value::String(text) => text.trim().parse::<u64>().ok(),
            other => other.as_u64(),
        };
        Some((u16::try_from(number(register)?).ok()?, u8::try_from(number(unit)?).ok()?))
    };
    let parsed: Option<Vec<(u16, u8)>> = list.as_array().and_then(|list| list.iter().map(pair).collect());
    match parsed {
        Some(pairs) if pairs == [0, 1, 2].map(|phase| (first + phase, 100)) => None,
        Some(pairs) if !pairs.is_empty() => Some(pairs),
        _ => {
            section.error(key, "must be a list of pairs [register, unit], such as [[817, 100], [818, 100]]");
            None
        }
    }
}

type Part = (Device, Plan, u16);

struct Victron {
    device: Device,
    plan: Plan,
    phases: Option<(Device, Plan, PhaseSource)>,
    consumption: Option<Vec<Part>>,
    generation: Option<Vec<Part>>,
}

/// The sum of the user's own registers, with sign; unknown when one of them is.
fn own_sum(parts: &mut [Part]) -> Result<Option<f64>, EmsError> {
    let mut total = Some(0.0);
    for (device, plan, address) in parts {
        let image = plan.read(device).map_err(|error| device.failed(&error))?;
        total = total.zip(image.number(Table::Holding, *address, SIGNED)).map(|(total, watts)| total + watts);
    }
    Ok(total)
}

impl Ems for Victron {
    fn read(&mut self, _stop: &Stop) -> Result<EmsReading, EmsError> {
        let image: Image = self.plan.read(&mut self.device).map_err(|error| self.device.failed(&error))?;
        let mut reading = registers::system(&image);
        if let Some(parts) = &mut self.consumption {
            reading.consumption_w = own_sum(parts)?.map(|watts| watts.max(0.0));
        }
        if let Some(parts) = &mut self.generation {
            reading.generation_w = own_sum(parts)?.and_then(ems::generation);
        }
        if let Some((device, plan, source)) = &mut self.phases {
            // The phases are a bonus: without them the reading is as good as it was.
            if let Ok(image) = plan.read(device) {
                registers::add_phases(&mut reading, &image, *source);
            }
        }
        let known = [reading.generation_w, reading.consumption_w, reading.grid_w, reading.battery_w];
        if known.iter().all(Option::is_none) {
            self.plan.forget();
            // The 32-bit values are refused by older firmware; that alone is nothing to complain of.
            let refusal = image.refusal().filter(|_| !image.has(Table::Holding, registers::CONSUMPTION));
            return Err(match refusal {
                Some((code, address)) => EmsError::new(
                    EmsErrorKind::Misconfigured,
                    format!(
                        "unit {} refuses register {address} (exception {}); check `unitID` (100 for the system, 0 on old \
                         firmware)",
                        self.device.unit(),
                        code.code()
                    ),
                ),
                None => EmsError::retry(
                    "the GX device answers with zeros only, its system has no values now; look at its own display",
                ),
            });
        }
        reading.into_reading(Instant::now()).map_err(EmsError::garbled)
    }

    fn pace(&self) -> Pace {
        Pace::Every(INTERVAL)
    }
}
