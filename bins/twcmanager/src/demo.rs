//! `demo`: the whole program with simulated connectors, a simulated house and a sun that crosses the sky in ten minutes.
//!
//! Nothing is simplified but the outside world: real bytes go to the simulated connectors, the meter is read like any other,
//! and every limit holds.

use std::f64::consts::PI;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ems::{Ems, EmsDriver, EmsError, EmsReading, Pace, Shared, Stop};
use ems_host::{SourceEntry, open_sources};
use evse_gen2::Gen2Settings;
use gen2_simulator::{BusHandle, ConnectorSettings};
use serde_json::{Map, json};
use site::SiteSetup;
use units::{Amps, PerPhase, Percent, Phases, Volts, Watts};

use crate::logs::Logs;
use crate::run::{Plan, serve};
use crate::simulation::Simulation;
use crate::talk::Talk;
use crate::web::WebPlan;

/// A day of sun.
const DAY: Duration = Duration::from_secs(600);
/// The house's supply and the wiring of the demo.
const VOLTS: f64 = 230.0;
const WIRING: Amps = Amps::from_whole(32);
/// Power of the roof at noon.
const PEAK_W: f64 = 11_000.0;

/// Runs the demo on a port of the loopback address.
pub fn run(port: u16, logs: &Logs) -> ExitCode {
    let (simulation, bus_port) = match Simulation::start(ConnectorSettings::demo(3), 1) {
        Ok(started) => started,
        Err(error) => {
            log::error!("the simulated connectors cannot be started: {error}");
            return ExitCode::FAILURE;
        }
    };
    let shared = Arc::new(Shared::new());
    shared.put(Arc::new(House { bus: Some(simulation.bus()), dawn: Instant::now() }));
    let entry = SourceEntry { driver: HOUSE.name.to_owned(), path: "sources.Demo".to_owned(), options: Map::new() };
    let (sources, _) = open_sources([entry], &[HOUSE], &shared);

    let volts = Volts::saturating(VOLTS);
    let mut bus = Gen2Settings::new(bus_port, WIRING, WIRING);
    bus.default_volts = volts;
    bus.phases = Some(Phases::Three);
    // Nobody charges on an earlier run's offer here.
    bus.settle_time = Duration::from_secs(3);
    let setup = SiteSetup {
        max_amps_all: WIRING,
        max_amps_each: WIRING,
        min_amps_each: Amps::from_whole(6),
        default_volts: volts,
        phases: Phases::Three,
        start_stop_delay: Duration::from_secs(5),
        subtract_charger_load: true,
        is_demo: true,
        sources: vec![HOUSE.name.to_owned()],
        ..SiteSetup::default()
    };
    let plan = Plan {
        buses: vec![bus],
        controllers: Vec::new(),
        setup,
        sources,
        folder: None,
        // The sun shines at any hour here, so surplus is followed at any hour.
        settings: json!({"nonScheduledAction": 3}).as_object().cloned().unwrap_or_default(),
        web: Some(WebPlan::loopback(port)),
        reread: None,
        talk: Talk::default(),
        cars: None,
        masked: json!({"config": {"demo": true}}),
    };
    let code = serve(plan, logs);
    drop(simulation);
    code
}

const HOUSE: EmsDriver = EmsDriver {
    name: "Demo",
    summary: "a simulated house with a roof and a battery",
    keys: &[],
    open: |_, shared| Some(Box::new(DemoMeter { house: shared.get::<House>() })),
};

/// The simulated outside world.
struct House {
    bus: Option<BusHandle>,
    dawn: Instant,
}

impl Default for House {
    fn default() -> Self {
        House { bus: None, dawn: Instant::now() }
    }
}

impl House {
    /// What the meter at the grid connection, the inverter and the house show now.
    fn reading(&self) -> Result<EmsReading, EmsError> {
        let seconds = self.dawn.elapsed().as_secs_f64();
        let draw = self.bus.as_ref().map(|bus| bus.with(|bus, _| bus.total_draw())).unwrap_or_default();
        let cars: f64 = draw.into_array().into_iter().map(|amps| amps.get() * VOLTS).sum();
        let sun = generation(seconds);
        let house = base_load(seconds);
        let grid = house + cars - sun;
        let per_phase = draw.map(|amps| Amps::new(amps.get() + (house - sun) / 3.0 / VOLTS).ok());
        Ok(EmsReading {
            generation: Some(Watts::new(sun)?),
            consumption: Some(Watts::new(house + cars)?),
            grid: Some(Watts::new(grid)?),
            grid_current: per_phase,
            grid_volts: PerPhase::splat(Volts::new(VOLTS).ok()),
            battery: Some(Watts::ZERO),
            battery_soc: Some(Percent::new(80.0)?),
            ..EmsReading::now()
        })
    }
}

/// The roof: from 40 % of noon, where the demo begins, over noon to dusk and back, with clouds passing.
fn generation(seconds: f64) -> f64 {
    let day = seconds / DAY.as_secs_f64() + 0.13;
    let height = (day * PI).sin().abs();
    let cloud = 1.0 - 0.25 * (0.5 + 0.5 * (seconds / 17.0).sin()) * (0.5 + 0.5 * (seconds / 41.0).cos());
    (PEAK_W * height * cloud).round()
}

/// The house: a few hundred watts, with a kettle now and then.
fn base_load(seconds: f64) -> f64 {
    let kettle = if seconds % 90.0 > 80.0 { 2_000.0 } else { 0.0 };
    (450.0 + 120.0 * (seconds / 23.0).sin() + kettle).round()
}

struct DemoMeter {
    house: Arc<House>,
}

impl Ems for DemoMeter {
    fn read(&mut self, _stop: &Stop) -> Result<EmsReading, EmsError> {
        self.house.reading()
    }

    fn pace(&self) -> Pace {
        Pace::Every(Duration::from_secs(2))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_demo_begins_with_enough_sun_for_a_car() {
        let surplus = generation(0.0) - base_load(0.0);
        assert!(surplus > 3_000.0, "{surplus}");
    }

    #[test]
    fn the_house_balances() {
        let reading = House::default().reading().unwrap();
        let value = |watts: Option<Watts>| watts.unwrap().get();
        assert_eq!(value(reading.grid), value(reading.consumption) - value(reading.generation));
    }
}
