//! The household: cars in their cloud, connectors, roof, house, and the program's own parts joined as in the program.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use ems::EmsReading;
use evse::{ControllerEvent, Detail, EvseError, EvseId, EvseInstance, EvseListener, MergeNews, Merger, Plug, Vin};
use evse_tesla::garage::{CarSetting, ConnectorView, Day, GarageSettings, HomeSetting, Kept};
use evse_tesla::{CarsHandle, Fleet, TeslaCarsSettings};
use serde_json::{Map, Value, json};
use site::{CarFact, CarsFacts, Command, Event, Now, Output, Site, SiteSetup, Snapshot};
use tesla_simulator::{Car, ChargingState, Cloud, CommandWay, Place, Supply};
use units::{Amps, PerPhase, Percent, Phases, Volts, WattHours, Watts};
use vehicle::CarKey;

use crate::cloud::{Line, TOKEN};
use crate::connector::{Connector, LEAST, Seen, Try, VOLTS, offers};

/// Known by VIN at connector 1.
pub const RED: &str = "LRW3F7EK0NC000001";
/// At connector 2, which tells no VIN.
pub const BLUE: &str = "LRW3F7EK0NC000002";
/// On its mobile connector.
pub const GREEN: &str = "LRW3F7EK0NC000003";
/// Nobody's.
pub const GUEST: &str = "5YJ3E7EB0KF900009";
pub const CARS: [&str; 3] = [RED, BLUE, GREEN];
pub const DAY: u64 = 86_400;
pub const HOUR: u64 = 3600;
/// Amps per phase of the connectors' wiring and of the main fuse.
pub const WIRING: f64 = 20.0;
pub const FUSE: f64 = 25.0;
/// What the mobile connector's socket carries, on L2.
const SOCKET: i32 = 13;
const AT_HOME: Place = Place { latitude: 52.5, longitude: 13.4 };
const AT_WORK: Place = Place { latitude: 52.62, longitude: 13.6 };
const DRIVE: u64 = 1200;
/// From the arrival to the cable.
const FUMBLING: u64 = 90;
/// A connector learns who is plugged in after so long.
const VIN_AFTER: u64 = 12;

/// What cars at home tell.
enum Word {
    Changed(Arc<dyn EvseInstance>),
    Gone(EvseId),
    Event(ControllerEvent),
}

#[derive(Default)]
struct AtHome(Mutex<VecDeque<Word>>);

impl EvseListener for AtHome {
    fn changed(&self, instance: &Arc<dyn EvseInstance>) {
        self.0.lock().unwrap().push_back(Word::Changed(Arc::clone(instance)));
    }

    fn gone(&self, id: &EvseId) {
        self.0.lock().unwrap().push_back(Word::Gone(id.clone()));
    }

    fn event(&self, event: ControllerEvent) {
        self.0.lock().unwrap().push_back(Word::Event(event));
    }
}

/// Away from `leaves` until `returns`, with so many kilowatt-hours used.
#[derive(Clone, Copy)]
struct Trip {
    car: &'static str,
    leaves: u64,
    returns: u64,
    kwh: f64,
}

pub struct Household {
    pub now: Now,
    pub second: u64,
    pub site: Site,
    pub merger: Merger,
    pub fleet: Fleet,
    pub handle: CarsHandle,
    pub line: Line,
    pub kept: Arc<Mutex<Kept>>,
    pub guest: Car,
    pub connectors: Vec<Arc<Connector>>,
    pub seen: Vec<Seen>,
    tries: [Try; 2],
    pub events: Vec<(u64, Event)>,
    pub notices: Vec<(u64, ControllerEvent)>,
    at_home: Arc<AtHome>,
    facts: BTreeMap<EvseId, CarFact>,
    plugged_at: BTreeMap<&'static str, u64>,
    trips: Vec<Trip>,
    circuit: f64,
    busy_until: u64,
    setup: SiteSetup,
}

fn settings() -> Map<String, Value> {
    // Surplus by day, a schedule in the small hours, the green car from surplus only.
    let settings = json!({
        "nonScheduledAction": 3, "scheduledAmpsMax": 16, "scheduledAmpsStartHour": 1, "scheduledAmpsEndHour": 5,
        "scheduledAmpsDaysBitmap": 127, "chargeStopMode": 1, "chargeRateControl": 3,
        "vehicleOptions": {
            GREEN: { "permission": "green", "phases": 1, "minSoc": 30 },
            RED: { "priority": 2 },
        },
    });
    settings.as_object().cloned().unwrap()
}

fn percent(value: f64) -> Percent {
    Percent::new(value).unwrap()
}

fn car(vin: &str, kwh: f64, soc: f64) -> Car {
    let battery = WattHours::saturating(kwh * 1000.0);
    Car::new(vin).battery(battery, percent(soc)).at(AT_HOME).commands(CommandWay::Plain)
}

impl Household {
    /// On a Monday at midnight, all cars at home and plugged in.
    pub fn new() -> Household {
        let start = Instant::now() + Duration::from_secs(100_000);
        let wall: jiff::Zoned = "2026-06-01T00:00:00[Europe/Berlin]".parse().unwrap();
        let now = Now { mono: start, wall };
        let supply = Supply::three(Amps::ZERO);
        let cloud = Cloud::builder()
            .starts_at(now.wall.timestamp().as_second().try_into().unwrap())
            .fixed_token(TOKEN)
            .car(car(RED, 75.0, 60.0).plugged_into(supply))
            .car(car(BLUE, 60.0, 50.0).plugged_into(supply))
            .car(
                car(GREEN, 50.0, 25.0)
                    .charger(Amps::from_whole(16), Phases::One)
                    .plugged_into(Supply::single(Amps::from_whole(SOCKET))),
            )
            .build();
        let config = json!({ "scheduledLimit": 90 });
        let setup = SiteSetup {
            max_amps_all: Amps::new(WIRING).unwrap(),
            max_amps_each: Amps::from_whole(16),
            min_amps_each: Amps::new(LEAST).unwrap(),
            grid_fuse: Amps::new(FUSE).ok(),
            fail_safe: Amps::new(LEAST).unwrap(),
            default_volts: Volts::saturating(VOLTS),
            phases: Phases::Three,
            position: Some((AT_HOME.latitude, AT_HOME.longitude)),
            sources: vec!["Meter".to_owned()],
            config: config.as_object().cloned().unwrap(),
            ..SiteSetup::default()
        };
        let site = Site::new(setup.clone(), settings(), &now).unwrap();
        let merger = Merger::new(site.merge_settings());
        let (kept, at_home) = (Arc::new(Mutex::new(Kept::default())), Arc::new(AtHome::default()));
        let mut line = None;
        let fleet = fleet(start, &kept, &at_home, |listener| {
            let (opened, source) = Line::new(cloud, start, listener);
            line = Some(opened);
            source
        });
        let connectors = vec![Connector::new("gen2-1", start, 16.0), Connector::new("gen2-2", start, 16.0)];
        Household {
            now,
            second: 0,
            site,
            merger,
            handle: fleet.handle(),
            fleet,
            line: line.unwrap(),
            kept,
            guest: car(GUEST, 60.0, 40.0).charger(Amps::from_whole(16), Phases::One),
            connectors,
            seen: vec![Seen::default(), Seen::default()],
            tries: Default::default(),
            events: Vec::new(),
            notices: Vec::new(),
            at_home,
            facts: BTreeMap::new(),
            plugged_at: CARS.into_iter().map(|vin| (vin, 0)).collect(),
            trips: trips(),
            circuit: WIRING,
            busy_until: 0,
            setup,
        }
    }

    /// The program ends and starts anew; only settings and what was kept survive.
    pub fn restart(&mut self) {
        let kept = Arc::clone(&self.kept);
        self.at_home = Arc::new(AtHome::default());
        let line = &mut self.line;
        self.fleet = fleet(self.now.mono, &kept, &self.at_home, |listener| line.reconnect(listener));
        self.handle = self.fleet.handle();
        self.site = Site::new(self.setup.clone(), self.site.settings().clone(), &self.now).unwrap();
        self.merger = Merger::new(self.site.merge_settings());
        self.facts.clear();
    }

    pub fn car(&mut self, vin: &str) -> &mut Car {
        if vin == GUEST { &mut self.guest } else { self.line.cloud.car(vin).unwrap() }
    }

    pub fn look(&self, vin: &str) -> &Car {
        let known = self.line.cloud.cars().iter().find(|car| car.vin() == vin);
        known.unwrap_or(&self.guest)
    }

    /// Where a car hangs that is plugged in at home.
    pub fn place(&self, vin: &str) -> Option<&'static str> {
        self.look(vin).supply()?;
        match vin {
            RED | GUEST => Some("gen2-1"),
            BLUE => Some("gen2-2"),
            _ => Some("tesla-LRW3F7EK0NC000003"),
        }
    }

    pub fn plugged_since(&self, vin: &str) -> u64 {
        self.plugged_at.get(vin).copied().unwrap_or(0)
    }

    /// Watts that the cars draw, exactly.
    pub fn drawn_watts(&self) -> f64 {
        CARS.into_iter().chain([GUEST]).map(|vin| self.look(vin).power().get()).sum()
    }

    pub fn snapshot(&self) -> Snapshot {
        self.site.snapshot(&self.now)
    }

    pub fn command(&mut self, command: Command) {
        let now = self.now.clone();
        self.site.handle_command(&now, command).unwrap();
        self.drain();
    }

    /// Whether something is on its way to a car, or was a moment ago.
    pub fn is_busy(&self) -> bool {
        self.line.is_busy() || self.second < self.busy_until
    }

    /// Whether there is so little going on that a long step tells all.
    pub fn is_quiet(&self) -> bool {
        // What was told to a connector ends when it is not told again within a minute.
        let is_told = self.snapshot().evses.iter().any(|evse| evse.target_w > 0.0);
        !self.line.is_busy() && !is_told && self.sun() <= 0.0 && self.drawn_watts() <= 0.0
    }

    /// Watts of the roof: long days, with clouds on every other one.
    pub fn sun(&self) -> f64 {
        let hour = self.second as f64 % DAY as f64 / 3600.0;
        let clear = 11_000.0 * ((hour - 5.0) / 16.5 * std::f64::consts::PI).sin().max(0.0);
        let is_cloudy = self.second / DAY % 2 == 1 && (self.second / 420).is_multiple_of(3);
        if is_cloudy { clear * 0.3 } else { clear }
    }

    /// Amps of the house on each phase: an oven on L1, a heat pump on all.
    fn house(&self) -> [f64; 3] {
        let oven = if self.second / 900 % 20 == 3 { 13.0 } else { 0.0 };
        let pump = if (self.second / 1200).is_multiple_of(5) { 5.0 } else { 0.0 };
        [1.0 + oven + pump, 0.6 + pump, 0.8 + pump]
    }

    /// Amps that are imported on each phase. One phase of the connectors is L1, the mobile connector hangs on L2.
    pub fn grid_amps(&self) -> [f64; 3] {
        let mut amps = self.house();
        for vin in CARS.into_iter().chain([GUEST]) {
            let car = self.look(vin);
            let only = if vin == GREEN { 1 } else { 0 };
            let is_single = car.active_phases() == Phases::One;
            for (phase, amps) in amps.iter_mut().enumerate() {
                *amps += if !is_single || phase == only { car.drawn().get() } else { 0.0 };
            }
        }
        amps.map(|amps| amps - self.sun() / 3.0 / VOLTS)
    }

    pub fn tick(&mut self, step: u64) {
        self.second += step;
        self.now.mono += Duration::from_secs(step);
        self.now.wall = self.now.wall.checked_add(Duration::from_secs(step)).unwrap();
        let (mono, since) = (self.now.mono, Duration::from_secs(self.second));
        self.line.cloud.advance_to(since);
        self.guest.pass_to(since);
        self.come_and_go(step);
        self.turn_connectors();
        let date = self.now.wall.date();
        let today = Day { year: date.year(), month: date.month() as u8, day: date.day() as u8 };
        if self.line.turn(mono) {
            self.busy_until = self.second + 30;
        }
        self.fleet.turn(mono, today);
        self.listen();
        self.merge();
        self.measure();
        self.drain();
        // What the site wants of the cars leaves at once.
        self.fleet.turn(mono, today);
        self.listen();
        self.line.turn(mono);
    }

    fn come_and_go(&mut self, step: u64) {
        let (second, before) = (self.second, self.second - step);
        let is_now = |at: u64| (before + 1..=second).contains(&at);
        for trip in self.trips.clone() {
            let half = WattHours::saturating(trip.kwh * 500.0);
            let drive = Duration::from_secs(DRIVE);
            if is_now(trip.leaves) {
                self.car(trip.car).drive_to(AT_WORK, drive, half);
            }
            if is_now(trip.returns - DRIVE) {
                self.car(trip.car).drive_to(AT_HOME, drive, half);
            }
            if is_now(trip.returns + FUMBLING) {
                let supply = match trip.car {
                    GREEN => Supply::single(Amps::from_whole(SOCKET)),
                    _ => Supply::three(Amps::ZERO),
                };
                self.car(trip.car).plug_in(supply);
                self.plugged_at.insert(trip.car, second);
            }
        }
        // On Saturday a guest charges at the red car's connector.
        if is_now(5 * DAY + 11 * HOUR) {
            self.guest.plug_in(Supply::three(Amps::ZERO));
            self.plugged_at.insert(GUEST, second);
        }
        if is_now(5 * DAY + 15 * HOUR) {
            self.guest.unplug();
        }
    }

    fn turn_connectors(&mut self) {
        let (mono, second) = (self.now.mono, self.second);
        let at: Vec<Option<&'static str>> = vec![
            [RED, GUEST].into_iter().find(|vin| self.look(vin).supply().is_some()),
            self.look(BLUE).supply().map(|_| BLUE),
        ];
        for (index, vin) in at.iter().enumerate() {
            let Some(vin) = vin else {
                self.seen[index] = Seen { phases: 3, ..Seen::default() };
                self.tries[index] = Try::default();
                continue;
            };
            let car = self.look(vin);
            let is_unwilling = matches!(car.charging_state(), ChargingState::Complete | ChargingState::Stopped);
            let (drawn, phases) = (car.drawn().get(), car.active_phases().count());
            let declines = self.tries[index].declines(second, self.connectors[index].offered(), drawn, is_unwilling);
            let is_told = index == 0 && self.second >= self.plugged_since(vin) + VIN_AFTER;
            self.seen[index] =
                Seen { is_plugged: true, vin: Vin::parse(vin).filter(|_| is_told), drawn, phases, declines };
        }
        let offers = offers(mono, &self.connectors, &self.seen, self.circuit);
        for (index, vin) in at.iter().enumerate() {
            if let Some(vin) = vin {
                let pilot = Amps::new(offers[index]).unwrap();
                self.car(vin).set_pilot(pilot);
            }
            self.connectors[index].see(mono, &self.seen[index], offers[index]);
            let instance = Arc::clone(&self.connectors[index]) as Arc<dyn EvseInstance>;
            self.merger.handle_changed(mono, instance);
        }
    }

    /// What the cars tell goes to the merger, and to the policies.
    fn listen(&mut self) {
        let words = std::mem::take(&mut *self.at_home.0.lock().unwrap());
        if words.is_empty() {
            return;
        }
        for word in words {
            match word {
                Word::Changed(instance) => {
                    let status = instance.status();
                    let limit = match status.details.get("charge_limit_percent") {
                        Some(Detail::Number(limit)) => Percent::new(*limit).ok(),
                        _ => None,
                    };
                    let fact = CarFact { vin: status.vin.clone(), is_at_home: true, soc: status.soc, limit };
                    self.facts.insert(status.id.clone(), fact);
                    self.merger.handle_changed(self.now.mono, instance);
                }
                Word::Gone(id) => {
                    self.facts.remove(&id);
                    self.merger.handle_gone(&id);
                }
                Word::Event(event) => {
                    self.notices.push((self.second, event.clone()));
                    self.site.handle_event(&self.now, event);
                }
            }
        }
        self.merge();
        let cars = self.facts.values().cloned().collect();
        self.site.handle_cars(&self.now, CarsFacts { cars });
    }

    fn merge(&mut self) {
        let now = self.now.clone();
        if self.merger.next_timeout().is_some_and(|at| at <= now.mono) {
            self.merger.handle_timeout(now.mono);
        }
        while let Some(news) = self.merger.poll_news(now.mono) {
            match news {
                MergeNews::Changed { instance, views } => {
                    self.site.handle_evse(&now, instance.status());
                    self.site.handle_views(&now, instance.id(), views);
                }
                MergeNews::Gone(id) => self.site.handle_evse_gone(&now, &id),
                MergeNews::Event(event) => {
                    self.notices.push((self.second, event.clone()));
                    self.site.handle_event(&now, event);
                }
                MergeNews::AtConnector { vin, at } => {
                    let view = at.map(|at| ConnectorView {
                        draw: at.drawn,
                        plugged: at.plug == Plug::PluggedIn,
                        offered: at.offered,
                    });
                    self.handle.connector(&CarKey::Vin(vin), view);
                }
            }
        }
    }

    /// The meter at the grid connection.
    fn measure(&mut self) {
        let now = self.now.clone();
        let mut reading = EmsReading::at(now.mono);
        let amps = self.grid_amps();
        reading.generation = Watts::new(self.sun()).ok();
        reading.grid = Watts::new(amps.iter().sum::<f64>() * VOLTS).ok();
        let mut amps = amps.into_iter();
        reading.grid_current = PerPhase::from_fn(|_| amps.next().and_then(|amps| Amps::new(amps).ok()));
        self.site.handle_reading(&now, "Meter", Arc::new(reading));
        if self.site.next_timeout().is_some_and(|at| at <= now.mono) {
            self.site.handle_timeout(&now);
        }
    }

    fn tell(&self, id: &EvseId, ask: impl Fn(&dyn EvseInstance) -> Result<(), EvseError>) {
        if let Some(instance) = self.merger.instance(id) {
            // Who cannot says so in its capabilities.
            ask(&**instance).ok();
        }
    }

    fn drain(&mut self) {
        while let Some(output) = self.site.poll_output() {
            match output {
                Output::Target { id, target } => self.tell(&id, |instance| instance.set_target(target)),
                Output::Start(id) => self.tell(&id, |instance| instance.start()),
                Output::StartOnRequest(id) => self.tell(&id, |instance| instance.start_on_request()),
                Output::Stop(id) => self.tell(&id, |instance| instance.stop()),
                Output::StopOnRequest(id) => self.tell(&id, |instance| instance.stop_on_request()),
                Output::CircuitLimit(limit) => {
                    let least = limit.into_array().into_iter().min().unwrap();
                    self.circuit = least.get().min(WIRING);
                }
                Output::SaveSettings => {
                    self.merger.handle_settings(self.site.merge_settings());
                    self.merge();
                }
                Output::CarPermission { vin, refusal } => self.handle.permit(&CarKey::Vin(vin), refusal),
                Output::VehicleLimit(limit) => self.handle.set_limit_wish(limit),
                Output::Event(event) => {
                    if let Event::Policy { .. } = &event {
                        self.handle.re_arm();
                    }
                    self.events.push((self.second, event));
                }
                Output::Webhook(_) => {}
            }
        }
    }
}

fn fleet(
    now: Instant,
    kept: &Arc<Mutex<Kept>>,
    at_home: &Arc<AtHome>,
    source: impl FnOnce(Arc<dyn vehicle::VehicleListener>) -> Arc<dyn vehicle::VehicleSource>,
) -> Fleet {
    let position = Some((AT_HOME.latitude, AT_HOME.longitude));
    let cars = [(GREEN.to_owned(), CarSetting { phases: Some(Phases::One), is_on_circuit: false })];
    let garage = GarageSettings {
        home: HomeSetting { position, radius: 150.0 },
        cars: cars.into_iter().collect(),
        ..GarageSettings::default()
    };
    let settings = TeslaCarsSettings::new(garage, Volts::saturating(VOLTS), Amps::from_whole(16));
    let (book, known) = (Arc::clone(kept), kept.lock().unwrap().clone());
    let keeper = move |kept: &Kept| {
        *book.lock().unwrap() = kept.clone();
        Ok(())
    };
    let listener = Arc::clone(at_home) as Arc<dyn EvseListener>;
    Fleet::new(now, settings, known, Box::new(keeper), |listener| vec![source(listener)], listener)
}

/// Who is out when, for a week.
fn trips() -> Vec<Trip> {
    let mut trips = Vec::new();
    for day in 0..7 {
        let mut out = |car, from: f64, to: f64, kwh| {
            let at = |hour: f64| day * DAY + (hour * 3600.0) as u64;
            trips.push(Trip { car, leaves: at(from), returns: at(to), kwh });
        };
        if day % 2 == 0 && day < 5 {
            out(RED, 7.5, 16.5, 18.0);
        }
        if day == 5 {
            out(RED, 9.0, 20.0, 25.0);
        }
        out(BLUE, 8.0, 11.0, 8.0);
        if day % 3 == 1 {
            out(BLUE, 18.0, 22.0, 10.0);
        }
        if day < 5 {
            out(GREEN, 9.0, 12.0, 5.0);
        }
    }
    trips.sort_by_key(|trip| trip.leaves);
    trips
}
