//! `demo`: the whole program with simulated connectors, a car on a mobile connector with its maker's cloud, a simulated
//! house and a sun that crosses the sky in ten minutes.
//!
//! Nothing is simplified but the outside world: real bytes go to the simulated connectors, the cloud is asked over HTTP, the
//! meter is read like any other, and every limit holds.

use std::f64::consts::PI;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ems::{Ems, EmsDriver, EmsError, EmsReading, Pace, Shared, Stop};
use ems_host::{SourceEntry, open_sources};
use evse_gen2::Gen2Settings;
use evse_tesla::TeslaCarsSettings;
use garage::GarageSettings;
use gen2_simulator::{BusHandle, ConnectorSettings};
use serde_json::{Map, json};
use site::SiteSetup;
use tesla_simulator::{ALL_SCOPES, Car, Clock, Cloud, CommandWay, Place, Running, Supply};
use units::{Amps, PerPhase, Percent, Phases, Volts, WattHours, Watts};
use vehicle_tesla::{App, Region, Token};

use crate::cars::CarsPlan;
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
/// The car that is on no connector of ours.
const CAR: &str = "LRW3E7EK0NC000042";
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
    let cloud =
        cloud().map_err(|error| log::error!("the simulated cloud cannot be started: {error}")).ok().map(Arc::new);
    let shared = Arc::new(Shared::new());
    shared.put(Arc::new(House { bus: Some(simulation.bus()), cloud: cloud.clone(), dawn: Instant::now() }));
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
        cars: cloud.as_deref().map(cars),
        masked: json!({"config": {"demo": true}}),
    };
    let code = serve(plan, logs);
    drop(simulation);
    code
}

/// A car on a mobile connector in the garage, known only through its maker's cloud.
fn cloud() -> std::io::Result<Running> {
    let home = Place { latitude: 52.52, longitude: 13.405 };
    let car = Car::new(CAR)
        .name("Blue car")
        .battery(WattHours::saturating(60_000.0), Percent::new(46.0).unwrap_or(Percent::FULL))
        .charger(Amps::from_whole(16), Phases::One)
        .commands(CommandWay::Plain)
        .at(home)
        .plugged_into(Supply::single(Amps::from_whole(13)));
    Cloud::builder().car(car).clock(Clock::Real { speed: 1.0 }).try_start()
}

/// How the program reaches it.
fn cars(cloud: &Running) -> CarsPlan {
    let mut way = vehicle_tesla::Settings::new(App::default(), Region::Europe, None);
    way.hosts.api = Some(cloud.api_url());
    way.fixed_token = Some(Token::new(cloud.log_in(ALL_SCOPES).access.as_str()));
    let garage = GarageSettings { wake_delay: Duration::from_secs(10), ..GarageSettings::default() };
    let settings = TeslaCarsSettings::new(garage, Volts::saturating(VOLTS), WIRING);
    CarsPlan::simulated(settings, way)
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
    cloud: Option<Arc<Running>>,
    dawn: Instant,
}

impl Default for House {
    fn default() -> Self {
        House { bus: None, cloud: None, dawn: Instant::now() }
    }
}

impl House {
    /// What the meter at the grid connection, the inverter and the house show now.
    fn reading(&self) -> Result<EmsReading, EmsError> {
        let seconds = self.dawn.elapsed().as_secs_f64();
        let draw = self.bus.as_ref().map(|bus| bus.with(|bus, _| bus.total_draw())).unwrap_or_default();
        // It hangs on the first phase.
        let elsewhere = self.cloud.as_ref().map_or(0.0, |cloud| cloud.car(CAR, |car| car.power()).get());
        let connectors: f64 = draw.into_array().into_iter().map(|amps| amps.get() * VOLTS).sum();
        let cars = connectors + elsewhere;
        let sun = generation(seconds);
        let house = base_load(seconds);
        let grid = house + cars - sun;
        let mut on_phase = [elsewhere / VOLTS, 0.0, 0.0].into_iter();
        let per_phase = draw.map(|amps| {
            let other = on_phase.next().unwrap_or_default();
            Amps::new(amps.get() + other + (house - sun) / 3.0 / VOLTS).ok()
        });
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
