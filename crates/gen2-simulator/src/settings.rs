//! What a simulated connector and the car on it are like.

use std::time::Duration;

use gen2_protocol::{CentiAmps, ProtocolVersion, Text, TwcId};
use units::{Amps, Percent, Phase, Phases, WattHours};

/// One simulated connector, as built and wired.
#[derive(Debug, Clone)]
pub struct ConnectorSettings {
    /// Its identity at power-up; it picks another one in a conflict.
    pub id: TwcId,
    /// Which dialect it speaks.
    pub version: ProtocolVersion,
    /// Firmware version; `None` is an old one that answers no questions. Version 1 answers none in any case.
    pub firmware: Option<[u8; 4]>,
    /// Serial number, 11 characters.
    pub serial: Text<11>,
    /// The rating it announces: 32 A in Europe, 80 A in America.
    pub rated: CentiAmps,
    /// Volts on its terminals A, B and C; zero is a terminal that is not connected.
    pub volts: [u16; 3],
    /// Which phase of the house each terminal is wired to.
    pub wiring: [Phase; 3],
    /// What its energy counter counts.
    pub energy_unit: EnergyUnit,
    /// Energy it had passed before the simulation began.
    pub energy_before: WattHours,
    /// Whether its meter answer has currents.
    pub meter_form: MeterForm,
    /// Sends its meter, version, serial and VIN unasked, one after the other, this often.
    pub broadcasts: Option<Duration>,
    /// Current it reports although none flows; 0.25 A was seen on real units.
    pub idle_offset: CentiAmps,
    /// The car that is plugged in from the start.
    pub car: Option<CarSettings>,
}

/// What a unit's energy counter counts; real units differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EnergyUnit {
    /// Whole kilowatt-hours, as most do.
    KilowattHours,
    /// Watt-hours, as some do.
    WattHours,
}

/// Shape of the meter answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MeterForm {
    /// 20 bytes, with the currents of the phases.
    WithCurrents,
    /// 16 bytes, without.
    WithoutCurrents,
}

impl ConnectorSettings {
    /// A European three-phase 32 A unit of the later kind on firmware 4.5.3, nothing plugged in.
    #[must_use]
    pub fn european(id: TwcId) -> ConnectorSettings {
        ConnectorSettings {
            id,
            version: ProtocolVersion::V2,
            firmware: Some([4, 5, 3, 2]),
            serial: Text::new(format!("A18B000{id}").as_bytes()),
            rated: CentiAmps::from_amps(32),
            volts: [230, 230, 230],
            wiring: Phase::ALL,
            energy_unit: EnergyUnit::KilowattHours,
            energy_before: WattHours::saturating(924_000.0),
            meter_form: MeterForm::WithCurrents,
            broadcasts: None,
            idle_offset: CentiAmps::ZERO,
            car: None,
        }
    }

    /// An American single-phase 80 A unit of the later kind, nothing plugged in.
    #[must_use]
    pub fn american(id: TwcId) -> ConnectorSettings {
        ConnectorSettings { rated: CentiAmps::from_amps(80), volts: [240, 0, 0], ..ConnectorSettings::european(id) }
    }

    /// A unit of the first kind, which speaks protocol version 1, nothing plugged in.
    #[must_use]
    pub fn first_generation(id: TwcId) -> ConnectorSettings {
        ConnectorSettings { version: ProtocolVersion::V1, firmware: None, ..ConnectorSettings::european(id) }
    }

    /// The same unit with this car plugged in from the start.
    #[must_use]
    pub fn with_car(mut self, car: CarSettings) -> ConnectorSettings {
        self.car = Some(car);
        self
    }

    /// Three units as the demo shows them: one without a car, one with a three-phase car, one with a single-phase car.
    #[must_use]
    pub fn demo(count: usize) -> Vec<ConnectorSettings> {
        (0..count)
            .map(|index| {
                let number = u16::try_from(index).unwrap_or(u16::MAX);
                let unit = ConnectorSettings::european(TwcId::from_u16(0x4085_u16.wrapping_add(number)));
                match index % 3 {
                    0 => unit.with_car(CarSettings { vin: Some(demo_vin(number)), ..CarSettings::default() }),
                    1 => unit.with_car(CarSettings {
                        phases: Phases::One,
                        most: Amps::from_whole(32),
                        vin: Some(demo_vin(number)),
                        ..CarSettings::default()
                    }),
                    _ => unit,
                }
            })
            .collect()
    }
}

fn demo_vin(number: u16) -> Text<17> {
    Text::new(format!("5YJ3E7EB0KF{:06}", 100_000 + u32::from(number)).as_bytes())
}

/// A car and its habits.
#[derive(Debug, Clone)]
pub struct CarSettings {
    /// What its battery holds when full.
    pub battery: WattHours,
    /// How full it is when plugged in.
    pub soc: Percent,
    /// How full it wants to be.
    pub charge_limit: Percent,
    /// How many phases its charger uses.
    pub phases: Phases,
    /// The most its charger draws on each phase.
    pub most: Amps,
    /// How long it takes to follow a changed limit; 1 to 5 s were seen.
    pub reaction: Duration,
    /// How long it takes to start after an offer; about 10 s were seen.
    pub start_delay: Duration,
    /// How fast its current climbs, in amperes per second.
    pub ramp: f64,
    /// Its identification number; `None` is a car that tells none, so not a Tesla.
    pub vin: Option<Text<17>>,
    /// How it takes to being told what to do.
    pub temper: CarTemper,
    /// How often the contactor may open under it before it refuses until plugged in anew.
    pub patience: u8,
}

impl Default for CarSettings {
    /// A three-phase car with 75 kWh, half full, that charges to 80 % with at most 16 A, and does as it is told.
    fn default() -> Self {
        CarSettings {
            battery: WattHours::saturating(75_000.0),
            soc: Percent::new(50.0).unwrap_or(Percent::ZERO),
            charge_limit: Percent::new(80.0).unwrap_or(Percent::FULL),
            phases: Phases::Three,
            most: Amps::from_whole(16),
            reaction: Duration::from_secs(2),
            start_delay: Duration::from_secs(10),
            ramp: 4.0,
            vin: None,
            temper: CarTemper::Obedient,
            patience: 3,
        }
    }
}

/// How a car takes to being told what to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CarTemper {
    /// Follows its limit.
    Obedient,
    /// Falls to about 5.2 A when its limit is raised to something below 16 A (21 A on an 80 A unit), until it has been
    /// offered that much for five seconds.
    StuckAtSixAmps,
    /// Follows a lower limit only after this long.
    SlowToLower(Duration),
    /// Never draws anything.
    Refuses,
}

/// How often the line misbehaves, in frames out of a thousand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Faults {
    /// Frames that vanish, in both directions.
    pub lost: u16,
    /// Frames of which only a part arrives, in both directions.
    pub cut: u16,
    /// Frames from the connectors that arrive twice.
    pub doubled: u16,
    /// Frames with one byte changed, in both directions.
    pub corrupted: u16,
    /// Bursts of noise before frames from the connectors.
    pub noise: u16,
    /// Frames from the connectors followed by a stray byte, as real units do.
    pub stray: u16,
}

impl Faults {
    /// A line as good as real ones get: only the stray bytes.
    pub const USUAL: Faults = Faults { lost: 0, cut: 0, doubled: 0, corrupted: 0, noise: 0, stray: 700 };

    /// Nothing but frames.
    pub const NONE: Faults = Faults { stray: 0, ..Faults::USUAL };

    /// A badly wired line: one frame in ten suffers.
    pub const BAD_LINE: Faults = Faults { lost: 20, cut: 20, doubled: 20, corrupted: 20, noise: 20, stray: 700 };
}

impl Default for Faults {
    fn default() -> Self {
        Faults::USUAL
    }
}
