//! A house with sun, load, a meter and cars that obey, in virtual time of one second a step.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ems::EmsReading;
use evse::{Activity, Capabilities, EvseId, EvseLimits, EvseStatus, Link, Plug, Target, Vin};
use serde_json::{Map, Value, json};
use site::{Event, Now, Output, Site, SiteSetup, Snapshot};
use units::{Amps, PerPhase, Percent, Phases, Volts, WattHours, Watts};

pub const VOLTS: f64 = 230.0;

/// What the meters see and call it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Meter {
    /// Generation and the house without cars.
    House,
    /// Generation and the house with cars.
    HouseWithCars,
    /// Export called generation, and import.
    Delivery,
    /// Generation only.
    Generation,
    /// The grid connection, on each phase.
    Grid,
    /// The grid connection and a battery.
    GridAndBattery,
}

/// One charging point with its car.
pub struct Car {
    pub id: EvseId,
    pub phases: Phases,
    pub is_plugged: bool,
    /// Phases that its charging point takes for granted, where they are not those of the car.
    pub assumed: Option<Phases>,
    /// Most the car takes, in amps.
    pub most: f64,
    pub target: Option<Target>,
    pub offered: f64,
    pub drawn: f64,
    pub starts: Vec<u64>,
    pub energy_wh: f64,
    pub link: Link,
    pub vin: Option<&'static str>,
    /// State of charge, and kilowatt-hours for one percent.
    pub soc: Option<f64>,
    /// It hangs on the wiring of the charging points.
    pub is_on_circuit: bool,
    /// It draws nothing, whatever it is offered; and says so.
    pub refuses: bool,
    pub says_no: bool,
    past: Vec<f64>,
}

impl Car {
    fn limits(&self) -> EvseLimits {
        EvseLimits {
            min: Amps::from_whole(6),
            max: Amps::from_whole(32),
            volts: Volts::saturating(VOLTS),
            phases: self.assumed.unwrap_or(self.phases),
        }
    }

    fn watts(&self) -> f64 {
        self.drawn * VOLTS * f64::from(self.phases.count())
    }

    fn status(&self, now: Instant, lag: usize) -> EvseStatus {
        let amps = |value: f64| Amps::new(value).unwrap();
        let drawn = self.past.get(self.past.len().saturating_sub(1 + lag)).copied().unwrap_or(0.0);
        EvseStatus {
            id: self.id.clone(),
            name: self.id.to_string(),
            controller: "Fake".to_owned(),
            heard_at: now,
            link: self.link,
            plug: if self.is_plugged { Plug::PluggedIn } else { Plug::Unplugged },
            activity: match (self.is_plugged, drawn > 0.0, self.offered > 0.0) {
                (false, ..) => Activity::Idle,
                _ if self.says_no => Activity::Declined,
                (_, true, _) => Activity::Charging,
                (_, _, true) => Activity::WaitingForCar,
                _ => Activity::WaitingForOffer,
            },
            note: None,
            offered: Some(amps(self.offered)),
            reported_max: Some(amps(self.offered)),
            drawn: Some(amps(drawn)),
            drawn_per_phase: PerPhase::unknown(),
            power: Some(Watts::new(drawn * VOLTS * f64::from(self.limits().phases.count())).unwrap()),
            volts: PerPhase::unknown(),
            committed: amps(self.offered.max(self.drawn)),
            limits: self.limits(),
            energy_total: Some(WattHours::new(self.energy_wh).unwrap()),
            vin: self.vin.and_then(Vin::parse),
            soc: self.soc.and_then(|soc| Percent::new(soc).ok()),
            is_estimate: !self.is_on_circuit,
            is_on_circuit: self.is_on_circuit,
            capabilities: Capabilities { set_target: true, start: true, stop: true, on_request: false },
            details: BTreeMap::new(),
        }
    }
}

/// What a driver adds to a reading, by the second.
type Dress = Box<dyn Fn(u64, &mut EmsReading)>;

/// The house.
pub struct House {
    pub now: Now,
    pub seconds: u64,
    /// Seconds a tick lasts.
    pub step: u64,
    pub site: Site,
    pub cars: Vec<Car>,
    pub meter: Meter,
    /// Seconds between two readings.
    pub every: u64,
    /// Seconds by which a reading is older than it says.
    pub lag: u64,
    pub is_meter_dead: bool,
    /// Seconds by which charging points report late.
    pub report_lag: usize,
    pub sun: Box<dyn Fn(u64) -> f64>,
    pub load: Box<dyn Fn(u64) -> f64>,
    pub battery: f64,
    /// What its driver adds to a reading, by the second.
    pub dress: Dress,
    past: Vec<(f64, f64, f64)>,
    /// Most amps that all cars drew together, and were offered together.
    pub most_drawn: f64,
    pub most_offered: f64,
    pub imported_wh: f64,
    pub events: Vec<Event>,
    pub outputs: Vec<Output>,
    pub circuit_limit: PerPhase<Amps>,
    pub saves: usize,
}

pub fn setup() -> SiteSetup {
    SiteSetup {
        max_amps_all: Amps::from_whole(32),
        max_amps_each: Amps::from_whole(32),
        min_amps_each: Amps::from_whole(6),
        default_volts: Volts::saturating(VOLTS),
        sources: vec!["Meter".to_owned()],
        ..SiteSetup::default()
    }
}

pub fn settings(value: Value) -> Map<String, Value> {
    value.as_object().cloned().unwrap()
}

/// Always tracking surplus, by night as well.
pub fn green() -> Map<String, Value> {
    settings(json!({ "nonScheduledAction": 3 }))
}

impl House {
    pub fn new(setup: SiteSetup, settings: Map<String, Value>, meter: Meter) -> House {
        House::starting(setup, settings, meter, "2026-06-10T11:00:00[Europe/Berlin]")
    }

    pub fn starting(setup: SiteSetup, settings: Map<String, Value>, meter: Meter, wall: &str) -> House {
        let now = Now { mono: Instant::now() + Duration::from_secs(10_000), wall: wall.parse().unwrap() };
        let site = Site::new(setup, settings, &now).unwrap();
        House {
            now,
            seconds: 0,
            step: 1,
            site,
            cars: Vec::new(),
            meter,
            every: 5,
            lag: 0,
            is_meter_dead: false,
            report_lag: 0,
            sun: Box::new(|_| 0.0),
            load: Box::new(|_| 500.0),
            battery: 0.0,
            dress: Box::new(|_, _| {}),
            past: Vec::new(),
            most_drawn: 0.0,
            most_offered: 0.0,
            imported_wh: 0.0,
            events: Vec::new(),
            outputs: Vec::new(),
            circuit_limit: PerPhase::default(),
            saves: 0,
        }
    }

    pub fn sun(mut self, watts: impl Fn(u64) -> f64 + 'static) -> House {
        self.sun = Box::new(watts);
        self
    }

    pub fn load(mut self, watts: impl Fn(u64) -> f64 + 'static) -> House {
        self.load = Box::new(watts);
        self
    }

    pub fn dress(mut self, dress: impl Fn(u64, &mut EmsReading) + 'static) -> House {
        self.dress = Box::new(dress);
        self
    }

    pub fn every(mut self, seconds: u64, lag: u64) -> House {
        (self.every, self.lag) = (seconds, lag);
        self
    }

    pub fn car(mut self, name: &str, phases: Phases) -> House {
        self.cars.push(Car {
            id: EvseId::new(name),
            phases,
            assumed: None,
            is_plugged: true,
            most: 32.0,
            target: None,
            offered: 0.0,
            drawn: 0.0,
            starts: Vec::new(),
            energy_wh: 0.0,
            link: Link::Up,
            vin: None,
            soc: None,
            is_on_circuit: true,
            refuses: false,
            says_no: false,
            past: Vec::new(),
        });
        self
    }

    fn reading(&self) -> EmsReading {
        let index = self.past.len().saturating_sub(1 + usize::try_from(self.lag).unwrap());
        let (sun, load, cars) = self.past[index];
        let watts = |value: f64| Some(Watts::new(value).unwrap());
        let net = load + cars - sun - self.battery;
        let mut reading = EmsReading::at(self.now.mono);
        match self.meter {
            Meter::House => (reading.generation, reading.consumption) = (watts(sun), watts(load)),
            Meter::HouseWithCars => (reading.generation, reading.consumption) = (watts(sun), watts(load + cars)),
            Meter::Delivery => {
                (reading.generation, reading.consumption) = (watts((-net).max(0.0)), watts(net.max(0.0)));
            }
            Meter::Generation => reading.generation = watts(sun),
            Meter::Grid | Meter::GridAndBattery => {
                reading.grid = watts(net);
                let phases = f64::from(self.cars.first().map_or(1, |car| car.phases.count()));
                reading.grid_current = PerPhase::from_fn(|phase| {
                    (f64::from(phase as u8) < phases).then(|| Amps::new(net / phases / VOLTS).unwrap())
                });
                if self.meter == Meter::GridAndBattery {
                    reading.battery = watts(self.battery);
                }
            }
        }
        reading
    }

    /// One step.
    pub fn tick(&mut self) {
        self.seconds += self.step;
        self.now.mono += Duration::from_secs(self.step);
        self.now.wall = self.now.wall.checked_add(Duration::from_secs(self.step)).unwrap();
        let hours = self.step as f64 / 3600.0;
        let now = self.now.clone();
        for car in &mut self.cars {
            if car.target.is_some_and(|target| target.expires_at <= now.mono) {
                car.target = None;
            }
            let limits = car.limits();
            car.offered = car.target.map_or(0.0, |target| target.amps(&limits).whole_amps_floor().get());
            let wish =
                if car.is_plugged && !car.refuses && car.offered >= 6.0 { car.offered.min(car.most) } else { 0.0 };
            let was = car.drawn;
            // Up by 4 A a second, down at once.
            car.drawn = if wish > was { wish.min(was + 4.0) } else { wish };
            if was == 0.0 && car.drawn > 0.0 {
                car.starts.push(self.seconds);
            }
            car.past.push(car.drawn);
            car.energy_wh += car.watts() * hours;
            // A battery of 50 kWh.
            car.soc = car.soc.map(|soc| (soc + car.watts() * hours / 500.0).min(100.0));
        }
        let cars: f64 = self.cars.iter().map(Car::watts).sum();
        let (sun, load) = ((self.sun)(self.seconds), (self.load)(self.seconds));
        self.imported_wh += (load + cars - sun).max(0.0) * hours;
        self.past.push((sun, load, cars));
        self.most_drawn = self.most_drawn.max(self.cars.iter().map(|car| car.drawn).sum());
        self.most_offered = self.most_offered.max(self.cars.iter().map(|car| car.offered).sum());
        for car in &self.cars {
            self.site.handle_evse(&now, Arc::new(car.status(now.mono, self.report_lag)));
        }
        if self.seconds.is_multiple_of(self.every) && !self.is_meter_dead {
            let mut reading = self.reading();
            (self.dress)(self.seconds, &mut reading);
            let reading = Arc::new(reading);
            self.site.handle_reading(&now, "Meter", reading);
        }
        if self.site.next_timeout().is_some_and(|at| at <= now.mono) {
            self.site.handle_timeout(&now);
        }
        self.drain();
    }

    pub fn drain(&mut self) {
        while let Some(output) = self.site.poll_output() {
            match &output {
                Output::Target { id, target } => {
                    let car = self.cars.iter_mut().find(|car| car.id == *id).unwrap();
                    car.target = Some(*target);
                }
                Output::CircuitLimit(limit) => self.circuit_limit = *limit,
                Output::Event(event) => self.events.push(event.clone()),
                Output::SaveSettings => self.saves += 1,
                _ => self.outputs.push(output.clone()),
            }
        }
    }

    pub fn run(&mut self, seconds: u64) -> &mut House {
        for _ in 0..seconds / self.step {
            self.tick();
        }
        self
    }

    pub fn status_of(&self, car: usize) -> EvseStatus {
        self.cars[car].status(self.now.mono, 0)
    }

    pub fn drawn(&self, car: usize) -> f64 {
        self.cars[car].drawn
    }

    pub fn snapshot(&self) -> Snapshot {
        self.site.snapshot(&self.now)
    }

    pub fn sentence(&self, car: usize) -> String {
        self.snapshot().evses[car].sentence.clone()
    }

    pub fn has_alert(&self, code: &str) -> bool {
        self.snapshot().alerts.iter().any(|alert| alert.code.starts_with(code))
    }
}
