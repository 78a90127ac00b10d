//! The controller over real threads, with a source that is one car.

#![allow(clippy::unwrap_used, reason = "helpers of tests count as tests")]

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use evse::{Activity, ControllerEvent, EvseController, EvseId, EvseInstance, EvseListener, Plug, Target};
use evse_tesla::garage::{Day, GarageSettings, HomeSetting, Kept, Why};
use evse_tesla::{TeslaCars, TeslaCarsSettings};
use units::{Amps, Percent, Phases, Volts, WattHours, Watts};
use vehicle::{
    Abilities, Answer, Ask, CarKey, ChargingState, Facts, Nearness, Outcome, Position, Report, Request, Spent, Vehicle,
    VehicleListener, VehicleSource, Vin, Wakefulness,
};

const PATIENCE: Duration = Duration::from_secs(20);

/// A car and the cloud that answers for it at once.
struct Cloud {
    listener: Arc<dyn VehicleListener>,
    car: Mutex<FakeCar>,
    asked: Mutex<Vec<Request>>,
}

#[derive(Clone, Copy)]
struct FakeCar {
    amps: i32,
    is_charging: bool,
    is_home: bool,
    limit: f64,
}

fn key() -> CarKey {
    CarKey::Vin(Vin::parse("LRW3F7EK0NC000001").unwrap())
}

impl Cloud {
    fn report(&self) {
        let now = Instant::now();
        let car = *self.car.lock().unwrap();
        let facts = Facts {
            name: Some("Lightning".to_owned()),
            soc: Percent::new(40.0).ok(),
            limit: Percent::new(car.limit).ok(),
            charging: Some(if car.is_charging { ChargingState::Charging } else { ChargingState::Stopped }),
            amps_requested: Some(Amps::from_whole(car.amps)),
            amps_possible: Some(Amps::from_whole(16)),
            amps: Some(Amps::from_whole(if car.is_charging { car.amps } else { 0 })),
            volts: Volts::new(if car.is_charging { 231.0 } else { 2.0 }).ok(),
            phases: Some(Phases::Three),
            energy_added: WattHours::new(1500.0).ok(),
            wakefulness: Some(Wakefulness::Awake),
            position: Position::new(if car.is_home { 50.0 } else { 51.0 }, 8.0, Some(now)),
            ..Facts::default()
        };
        let (source, nearness) = (self.name().into(), Nearness::Cloud);
        self.listener.report(Report { car: key(), source, nearness, taken_at: Some(now), facts });
    }

    fn asked(&self) -> Vec<Request> {
        self.asked.lock().unwrap().clone()
    }
}

impl VehicleSource for Cloud {
    fn name(&self) -> &str {
        "TeslaAPI"
    }

    fn abilities(&self, _car: &CarKey) -> Abilities {
        Abilities {
            reads: true,
            reads_wakefulness: true,
            commands: true,
            wakes: true,
            is_billed: true,
            nearness: Nearness::Cloud,
        }
    }

    fn ask(&self, ask: Ask) {
        self.asked.lock().unwrap().push(ask.request);
        let mut car = self.car.lock().unwrap();
        match ask.request {
            Request::Start => car.is_charging = true,
            Request::Stop => car.is_charging = false,
            Request::SetAmps(amps) => car.amps = amps.centiamps() / 100,
            Request::SetLimit(limit) => car.limit = limit.get(),
            _ => {}
        }
        drop(car);
        if matches!(ask.request, Request::List | Request::Read { .. }) {
            self.report();
        }
        let spent = Spent { commands: u32::from(ask.request.is_command()), data: 1, wakes: 0 };
        let source = self.name().into();
        self.listener.answered(Answer { id: ask.id, source, car: ask.car, outcome: Outcome::Done, spent });
    }
}

#[derive(Default)]
struct Told {
    instances: BTreeMap<EvseId, Arc<dyn EvseInstance>>,
    events: Vec<ControllerEvent>,
}

/// Remembers what was told, and wakes who waits for it.
#[derive(Default)]
struct Ear {
    told: Mutex<Told>,
    bell: Condvar,
}

impl EvseListener for Ear {
    fn changed(&self, instance: &Arc<dyn EvseInstance>) {
        self.told.lock().unwrap().instances.insert(instance.id().clone(), Arc::clone(instance));
        self.bell.notify_all();
    }

    fn gone(&self, id: &EvseId) {
        self.told.lock().unwrap().instances.remove(id);
        self.bell.notify_all();
    }

    fn event(&self, event: ControllerEvent) {
        self.told.lock().unwrap().events.push(event);
        self.bell.notify_all();
    }
}

struct Bench {
    cars: TeslaCars,
    cloud: Arc<Cloud>,
    ear: Arc<Ear>,
    kept: Arc<Mutex<Vec<Kept>>>,
}

impl Bench {
    fn new(car: FakeCar, can_keep: bool) -> Self {
        let garage = GarageSettings {
            home: HomeSetting { position: Some((50.0, 8.0)), radius: 100.0 },
            ..GarageSettings::default()
        };
        let today = || Day { year: 2026, month: 11, day: 21 };
        let volts = Volts::new(230.0).unwrap();
        let settings = TeslaCarsSettings { today, ..TeslaCarsSettings::new(garage, volts, Amps::from_whole(32)) };
        let (ear, kept) = (Arc::new(Ear::default()), Arc::new(Mutex::new(Vec::new())));
        let mut cloud = None;
        let keeper = {
            let kept = Arc::clone(&kept);
            move |new: &Kept| {
                kept.lock().unwrap().push(new.clone());
                if can_keep { Ok(()) } else { Err("the disk is full".to_owned()) }
            }
        };
        let sources = |listener| {
            let source = Arc::new(Cloud { listener, car: Mutex::new(car), asked: Mutex::default() });
            cloud = Some(Arc::clone(&source));
            vec![source as Arc<dyn VehicleSource>]
        };
        let listener = Arc::clone(&ear) as Arc<dyn EvseListener>;
        let cars = TeslaCars::open(settings, Kept::default(), Box::new(keeper), sources, listener).unwrap();
        Bench { cars, cloud: cloud.unwrap(), ear, kept }
    }

    /// Waits until this is so; whatever the controller tells wakes it.
    fn until<T>(&self, what: &str, mut is_so: impl FnMut(&Bench) -> Option<T>) -> T {
        let end = Instant::now() + PATIENCE;
        loop {
            if let Some(value) = is_so(self) {
                return value;
            }
            let told = self.ear.told.lock().unwrap();
            let left = end.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "waited in vain for {what}; asked so far: {:?}", self.cloud.asked());
            // Some conditions are not told: look again soon.
            drop(self.ear.bell.wait_timeout(told, left.min(Duration::from_millis(20))).unwrap());
        }
    }

    fn instance(&self) -> Arc<dyn EvseInstance> {
        self.until("the instance", |bench| bench.cars.instances().pop())
    }

    fn asked(&self, request: Request) {
        self.until("a question", |bench| bench.cloud.asked().contains(&request).then_some(()));
    }
}

const IDLE: FakeCar = FakeCar { amps: 16, is_charging: false, is_home: true, limit: 80.0 };

fn grant(instance: &dyn EvseInstance, amps: i32, lease: Duration) -> Target {
    let limits = instance.status().limits;
    Target::new(limits.power(Amps::from_whole(amps)), &limits, Instant::now() + lease)
}

#[test]
fn a_car_at_home_takes_part_and_one_that_leaves_does_not() {
    let mut bench = Bench::new(IDLE, true);
    let instance = bench.instance();
    assert_eq!(instance.id().as_str(), "tesla-LRW3F7EK0NC000001");
    assert!(!instance.is_local());
    bench.until("the abilities", |_| instance.status().capabilities.set_target.then_some(()));
    let status = instance.status();
    assert_eq!((status.plug, status.activity), (Plug::PluggedIn, Activity::WaitingForOffer));
    assert_eq!((status.limits.min, status.limits.max), (Amps::from_whole(5), Amps::from_whole(16)));
    assert_eq!((status.limits.volts.get(), status.limits.phases), (230.0, Phases::Three));
    assert_eq!((status.name.as_str(), status.soc), ("Lightning", Percent::new(40.0).ok()));
    assert_eq!((status.power, status.committed, status.is_on_circuit), (Some(Watts::ZERO), Amps::ZERO, false));
    assert_eq!(status.energy_total, WattHours::new(1500.0).ok());

    instance.set_target(grant(&*instance, 10, Duration::from_secs(60))).unwrap();
    bench.asked(Request::Start);
    assert_eq!(bench.cloud.car.lock().unwrap().amps, 10);
    bench.cloud.report();
    bench.until("current", |_| instance.status().is_charging().then_some(()));
    let status = instance.status();
    assert_eq!((status.drawn, status.committed), (Some(Amps::from_whole(10)), Amps::from_whole(10)));
    assert_eq!(status.power, Some(Watts::new(6930.0).unwrap()));

    // A lower grant is reckoned with before the car has told again.
    instance.set_target(grant(&*instance, 6, Duration::from_secs(60))).unwrap();
    bench.asked(Request::SetAmps(Amps::from_whole(6)));
    bench.until("the estimate", |_| (instance.status().drawn == Some(Amps::from_whole(6))).then_some(()));
    let status = instance.status();
    assert!(status.is_estimate);
    assert_eq!(status.committed, Amps::from_whole(10));

    bench.cloud.car.lock().unwrap().is_home = false;
    bench.cloud.report();
    bench.until("its leaving", |bench| bench.cars.instances().is_empty().then_some(()));
    assert!(bench.ear.told.lock().unwrap().instances.is_empty());
    let views = bench.cars.handle().views();
    assert_eq!((views.len(), views[0].why.clone()), (1, Why::Away));
    bench.cars.shutdown();
}

#[test]
fn a_grant_that_is_not_renewed_holds_the_car_down() {
    let bench = Bench::new(FakeCar { is_charging: true, ..IDLE }, true);
    let instance = bench.instance();
    bench.until("the abilities", |_| instance.status().capabilities.set_target.then_some(()));
    instance.set_target(grant(&*instance, 16, Duration::from_millis(50))).unwrap();
    bench.asked(Request::SetAmps(Amps::from_whole(5)));
    assert!(!bench.cloud.asked().contains(&Request::Stop));
    assert!(bench.cloud.car.lock().unwrap().is_charging);
}

#[test]
fn a_person_is_answered_and_the_books_are_kept() {
    let bench = Bench::new(IDLE, true);
    bench.until("the abilities", |bench| bench.cars.handle().views().first().filter(|view| view.can_wake).map(drop));
    let handle = bench.cars.handle();
    let stranger = CarKey::Name("nobody".to_owned());
    assert_eq!(handle.command(&stranger, Request::Start).unwrap_err().text, "there is no car \"nobody\"");
    assert!(handle.command(&key(), Request::SetLimit(Percent::new(30.0).unwrap())).is_err());
    handle.command(&key(), Request::Start).unwrap();
    bench.asked(Request::Start);
    assert!(handle.car(&stranger).is_none());
    handle.car(&key()).unwrap().set_limit(Percent::new(70.0).unwrap()).unwrap();
    bench.asked(Request::SetLimit(Percent::new(70.0).unwrap()));
    bench.until("the books", |bench| {
        let commands = bench.cars.handle().budget()?.month.used.commands;
        (commands == 2).then_some(())
    });
    let kept = bench.kept.lock().unwrap();
    assert!(kept.last().unwrap().ledger.month.iter().any(|entry| entry.car == key().as_str()));
}

#[test]
fn a_limit_that_cannot_be_remembered_is_not_touched() {
    let bench = Bench::new(IDLE, false);
    bench.until("the abilities", |bench| bench.cars.handle().views().first().filter(|view| view.can_wake).map(drop));
    bench.cars.handle().set_limit_wish(Percent::new(60.0).ok());
    bench.until("the attempt", |bench| {
        bench.kept.lock().unwrap().iter().any(|kept| !kept.limits.is_empty()).then_some(())
    });
    bench.until("the complaint", |bench| {
        bench.ear.told.lock().unwrap().events.iter().any(|event| event.code == "cars_not_kept").then_some(())
    });
    assert_eq!(bench.cloud.car.lock().unwrap().limit, 80.0);
}
