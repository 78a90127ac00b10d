//! Energy source: Modbus meters over TCP, serial lines and serial-to-network gateways.
//!
//! | part | does |
//! |---|---|
//! | `preset` | knows the registers of common meters ([`PRESETS`]) |
//! | `registers` | the user names registers himself ([`Channel`]) |
//! | `preset: "sunspec"` | the device says what it has ([`sunspec`]) |
//!
//! All sources with one address share its connection, so several meters on one serial line are several sections.
//!
//! Configuration and quirks in `docs/ems/modbus.md`.

mod channel;
mod config;
mod presets;
pub mod sunspec;

use std::time::{Duration, Instant};

use ems::{Ems, EmsDriver, EmsError, EmsErrorKind, EmsReading, Pace, Section, Shared, Stop, WireReading};
use ems_registers::{Device, Plan, unit_id};
use modbus::Table;
use modbus::sunspec::Model;

pub use channel::{Channel, Meter, Role, reading};
pub use presets::{PRESETS, Preset, preset};

use config::What;

/// The driver, for the registry.
pub const DRIVER: EmsDriver = EmsDriver {
    name: "Modbus",
    summary: "Modbus meters: common ones by preset, any by its registers, and SunSpec devices",
    keys: config::KEYS,
    open,
};

fn open(section: &mut Section, shared: &Shared) -> Option<Box<dyn Ems>> {
    let found = config::target(section);
    let unit = unit_id(section, "unitID", 1);
    let what = config::what(section);
    let interval = section.number_within("interval", 5.0, 1.0, 3600.0);
    let timeout = section.number_within("timeout", 3.0, 0.1, 30.0);
    let close_after_read = section.flag("closeAfterRead", false);
    let (target, key) = found?;
    let device = Device::open(section, shared, target, unit, key, timeout)?;
    let source = match what? {
        What::Channels { channels, most } => {
            let plan = Plan::with_most(channels.iter().map(|c| (c.table, c.address, c.format)), most);
            Source::Registers { channels, plan }
        }
        What::SunSpec { role, invert, invert_battery, meter } => Source::SunSpec {
            role,
            invert,
            invert_battery,
            meter,
            models: Vec::new(),
            maker: sunspec::Maker::default(),
        },
    };
    let interval = Duration::from_secs_f64(interval);
    (!section.has_errors())
        .then(|| Box::new(ModbusMeter { device, source, interval, close_after_read }) as Box<dyn Ems>)
}

enum Source {
    Registers {
        channels: Vec<Channel>,
        plan: Plan,
    },
    SunSpec {
        role: Role,
        invert: Option<bool>,
        invert_battery: bool,
        meter: usize,
        /// Those worth reading; found anew after a failure.
        models: Vec<Model>,
        maker: sunspec::Maker,
    },
}

struct ModbusMeter {
    device: Device,
    source: Source,
    interval: Duration,
    close_after_read: bool,
}

impl ModbusMeter {
    fn read_once(&mut self) -> Result<WireReading, EmsError> {
        match &mut self.source {
            Source::Registers { channels, plan } => {
                let image = plan.read(&mut self.device).map_err(|error| self.device.failed(&error))?;
                let reading = reading(channels, &image).map_err(misconfigured)?;
                if is_empty(&reading) {
                    // The next reading asks for everything again: it may be another device by then.
                    plan.forget();
                    return Err(match image.refusal() {
                        Some((code, address)) => misconfigured(format!(
                            "unit {} has no register {address} (exception {}); check `preset`, `registers` and `unitID` \
                             against the meter's type",
                            self.device.unit(),
                            code.code()
                        )),
                        None => EmsError::retry("the meter answers, but has no value now; look at its display"),
                    });
                }
                Ok(reading)
            }
            Source::SunSpec { role, invert, invert_battery, meter, models, maker } => {
                let result = sunspec_reading(&mut self.device, *role, *invert, *invert_battery, *meter, models, maker);
                if result.is_err() {
                    models.clear();
                }
                result
            }
        }
    }
}

impl Ems for ModbusMeter {
    fn read(&mut self, _stop: &Stop) -> Result<EmsReading, EmsError> {
        let result = self.read_once();
        if self.close_after_read {
            self.device.close();
        }
        result?.into_reading(Instant::now()).map_err(EmsError::garbled)
    }

    fn pace(&self) -> Pace {
        Pace::Every(self.interval)
    }
}

fn misconfigured(text: String) -> EmsError {
    EmsError::new(EmsErrorKind::Misconfigured, text)
}

fn is_empty(reading: &WireReading) -> bool {
    let numbers = [reading.grid_w, reading.generation_w, reading.consumption_w, reading.battery_w, reading.battery_soc];
    numbers.iter().all(Option::is_none)
}

fn sunspec_reading(
    device: &mut Device,
    role: Role,
    invert: Option<bool>,
    invert_battery: bool,
    number: usize,
    models: &mut Vec<Model>,
    maker: &mut sunspec::Maker,
) -> Result<WireReading, EmsError> {
    if models.is_empty() {
        (*models, *maker) = discover(device, number)?;
    }
    let mut reads = Vec::with_capacity(models.len());
    for model in models.iter() {
        reads.push(read_model(device, *model)?);
    }
    let plant = sunspec::plant(&reads, maker, invert_battery);
    let mut reading = WireReading { battery_w: plant.battery, battery_soc: plant.soc, ..WireReading::default() };
    if plant.has_inverter {
        // Far below zero an inverter charges a battery that this unit does not tell about: then the sun is unknown.
        reading.generation_w = plant.generation.and_then(ems::generation);
    }
    if let Some(read) = reads.iter().find(|read| sunspec::is_meter(read.id)) {
        let meter = sunspec::meter(read);
        let meter = if invert.unwrap_or(maker.counts_export_positive()) { meter.inverted() } else { meter };
        match role {
            Role::Generation => {
                let own = meter.watts.map(channel::generated).transpose().map_err(misconfigured)?;
                reading.generation_w = match (plant.has_inverter, reading.generation_w, own) {
                    (true, Some(inverter), Some(own)) => Some(inverter + own),
                    (true, ..) => None,
                    (false, _, own) => own,
                };
            }
            Role::Consumption => reading.consumption_w = meter.watts.map(|watts| watts.max(0.0)),
            Role::Battery => reading.battery_w = meter.watts,
            _ => {
                meter.as_grid(&mut reading);
                if !plant.has_inverter {
                    channel::grid_only(&mut reading);
                }
            }
        }
    }
    match is_empty(&reading) {
        true => Err(EmsError::new(
            EmsErrorKind::Asleep,
            "the SunSpec device answers, but says that it has no values now; at night this is normal for some",
        )),
        false => Ok(reading),
    }
}

/// The models worth reading, and the maker.
fn discover(device: &mut Device, number: usize) -> Result<(Vec<Model>, sunspec::Maker), EmsError> {
    let all = device.models().map_err(|error| device.failed(&error))?;
    if all.is_empty() {
        return Err(misconfigured(format!(
            "unit {} speaks no SunSpec; check `unitID`, and switch SunSpec (not the maker's own registers) on in the device",
            device.unit()
        )));
    }
    let maker = match all.iter().find(|model| model.id == 1) {
        Some(common) => sunspec::Maker::of(&read_model(device, *common)?),
        None => sunspec::Maker::default(),
    };
    let chosen = all.iter().filter(|model| sunspec::is_meter(model.id)).nth(number.wrapping_sub(1)).copied();
    let wanted = |model: &&Model| sunspec::is_wanted(model.id) && !sunspec::is_meter(model.id);
    let models: Vec<Model> = all.iter().filter(wanted).copied().chain(chosen).collect();
    if models.is_empty() {
        let ids: Vec<String> = all.iter().map(|model| model.id.to_string()).collect();
        return Err(misconfigured(format!(
            "unit {} has neither meter {number}, inverter nor battery (SunSpec models {}); check `unitID` and `meterNumber`",
            device.unit(),
            ids.join(", ")
        )));
    }
    Ok((models, maker))
}

/// One request, so that values and their scale factors are of one instant. Longer models have nothing of ours at their end.
fn read_model(device: &mut Device, model: Model) -> Result<sunspec::Read, EmsError> {
    let count = model.span().min(modbus::MOST_READ);
    let block = device.read(Table::Holding, model.address, count).map_err(|error| device.failed(&error))?;
    Ok(sunspec::Read { id: model.id, block })
}
