//! A small world: cars that sleep, charge and obey, and sources that reach them, some for money.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use units::{Amps, Percent, Phases, Volts};
use vehicle::{
    Abilities, Answer, Ask, CarKey, ChargingState, Facts, Nearness, Outcome, Position, Refusal, Report, Request, Spent,
    Vin, Wakefulness,
};

use crate::{Day, Garage, GarageSettings, HomeSetting, Kept, Notice, Output, Wish};

pub(super) const HOME: (f64, f64) = (50.0, 8.0);
/// A car falls asleep after so many quiet seconds.
const FALLS_ASLEEP: u64 = 900;
/// Sources answer after so many seconds.
const LATENCY: u64 = 2;
/// State of charge of one hour at one amp on three phases, in percent of a common battery.
const PERCENT_PER_AMP_HOUR: f64 = 0.69 / 60.0 * 100.0;

#[derive(Debug, Clone)]
pub(super) struct FakeCar {
    pub(super) soc: f64,
    pub(super) limit: f64,
    pub(super) plugged: bool,
    pub(super) is_home: bool,
    pub(super) is_asleep: bool,
    pub(super) is_charging: bool,
    pub(super) amps: i32,
    pub(super) has_timer: bool,
    /// It says yes and does nothing.
    pub(super) is_stubborn: bool,
    /// It cannot be woken.
    pub(super) is_dead: bool,
    pub(super) quiet_since: u64,
}

impl Default for FakeCar {
    fn default() -> Self {
        FakeCar {
            soc: 40.0,
            limit: 80.0,
            plugged: true,
            is_home: true,
            is_asleep: false,
            is_charging: false,
            amps: 16,
            has_timer: false,
            is_stubborn: false,
            is_dead: false,
            quiet_since: 0,
        }
    }
}

/// One thing that left for a source.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Sent {
    pub(super) second: u64,
    pub(super) source: String,
    pub(super) car: CarKey,
    pub(super) request: Request,
    pub(super) was_asleep: bool,
}

pub(super) struct World {
    pub(super) start: Instant,
    pub(super) second: u64,
    pub(super) garage: Garage,
    pub(super) cars: BTreeMap<CarKey, FakeCar>,
    sources: Vec<(Arc<str>, Abilities)>,
    under_way: VecDeque<(u64, Arc<str>, Ask)>,
    pub(super) sent: Vec<Sent>,
    pub(super) notices: Vec<Notice>,
    pub(super) kept: Kept,
    pub(super) spent: Spent,
    /// The next command of this kind is done, but its answer lost.
    pub(super) lose: Option<Request>,
    /// What a source answers instead, whatever it is asked.
    pub(super) answers: BTreeMap<String, Outcome>,
}

pub(super) fn key(number: usize) -> CarKey {
    CarKey::Vin(Vin::parse(&format!("LRW3F7EK0NC{number:06}")).unwrap())
}

pub(super) fn cloud() -> (&'static str, Abilities) {
    let abilities = Abilities {
        reads: true,
        reads_wakefulness: true,
        commands: true,
        wakes: true,
        is_billed: true,
        nearness: Nearness::Cloud,
    };
    ("TeslaAPI", abilities)
}

pub(super) fn radio() -> (&'static str, Abilities) {
    ("TeslaBLE", Abilities { is_billed: false, nearness: Nearness::Car, ..cloud().1 })
}

pub(super) fn settings() -> GarageSettings {
    GarageSettings { home: HomeSetting { position: Some(HOME), radius: 100.0 }, ..GarageSettings::default() }
}

impl World {
    pub(super) fn new(settings: GarageSettings, cars: Vec<FakeCar>, sources: &[(&str, Abilities)]) -> Self {
        Self::resume(settings, cars, sources, Kept::default())
    }

    pub(super) fn resume(
        settings: GarageSettings,
        cars: Vec<FakeCar>,
        sources: &[(&str, Abilities)],
        kept: Kept,
    ) -> Self {
        let start = Instant::now();
        let sources: Vec<(Arc<str>, Abilities)> =
            sources.iter().map(|(name, abilities)| (Arc::from(*name), *abilities)).collect();
        let names = sources.iter().map(|(name, _)| Arc::clone(name));
        let mut garage = Garage::new(start, settings, kept.clone(), names);
        garage.set_today(Day { year: 2026, month: 11, day: 1 });
        World {
            start,
            second: 0,
            garage,
            cars: cars.into_iter().enumerate().map(|(number, car)| (key(number), car)).collect(),
            sources,
            under_way: VecDeque::new(),
            sent: Vec::new(),
            notices: Vec::new(),
            kept,
            spent: Spent::NOTHING,
            lose: None,
            answers: BTreeMap::new(),
        }
    }

    /// One car that the cloud reaches, known already.
    pub(super) fn with_one(car: FakeCar) -> Self {
        let mut world = World::new(settings(), vec![car], &[cloud()]);
        world.run(60);
        world.sent.clear();
        world
    }

    pub(super) fn now(&self) -> Instant {
        self.start + Duration::from_secs(self.second)
    }

    pub(super) fn car(&mut self, number: usize) -> &mut FakeCar {
        self.cars.get_mut(&key(number)).unwrap()
    }

    pub(super) fn grant(&mut self, number: usize, amps: i32) {
        let now = self.now();
        self.garage.handle_wish(now, &key(number), Wish::Granted(Amps::from_whole(amps)));
    }

    /// Requests sent, without the looks.
    pub(super) fn commands(&self) -> Vec<Request> {
        let is_look =
            |request: Request| matches!(request, Request::Read { .. } | Request::ReadWakefulness | Request::List);
        self.sent.iter().map(|sent| sent.request).filter(|request| !is_look(*request)).collect()
    }

    pub(super) fn count(&self, matches: impl Fn(Request) -> bool) -> usize {
        self.sent.iter().filter(|sent| matches(sent.request)).count()
    }

    pub(super) fn notice_codes(&self) -> Vec<&str> {
        self.notices.iter().map(|notice| notice.code).collect()
    }

    /// Lets so many seconds pass.
    pub(super) fn run(&mut self, seconds: u64) {
        let end = self.second + seconds;
        self.drain();
        while self.second < end {
            let timeout = self.garage.next_timeout().saturating_duration_since(self.start);
            let timeout = timeout.as_secs() + u64::from(timeout.subsec_nanos() > 0);
            let answer = self.under_way.iter().map(|(at, ..)| *at).min();
            let next = [Some(timeout), answer, Some(end)].into_iter().flatten().min().unwrap_or(end);
            let next = next.max(self.second + 1).min(end);
            self.live(next - self.second);
            self.second = next;
            self.deliver();
            let now = self.now();
            self.garage.handle_timeout(now);
            self.drain();
        }
    }

    fn live(&mut self, seconds: u64) {
        let now = self.second + seconds;
        for car in self.cars.values_mut() {
            if car.is_charging {
                car.soc += f64::from(car.amps.min(16)) * PERCENT_PER_AMP_HOUR * seconds as f64 / 3600.0;
                if car.soc >= car.limit || !car.plugged {
                    car.soc = car.soc.min(car.limit);
                    car.is_charging = false;
                }
                car.quiet_since = now;
            } else if now >= car.quiet_since + FALLS_ASLEEP {
                car.is_asleep = true;
            }
        }
    }

    fn drain(&mut self) {
        while let Some(output) = self.garage.poll_output() {
            match output {
                Output::Ask { source, ask } => {
                    let was_asleep = self.cars.get(&ask.car).is_some_and(|car| car.is_asleep);
                    let (second, car, request) = (self.second, ask.car.clone(), ask.request);
                    self.sent.push(Sent { second, source: source.to_string(), car, request, was_asleep });
                    self.under_way.push_back((self.second + LATENCY, source, ask));
                }
                Output::Keep(kept) => self.kept = *kept,
                Output::Notice(notice) => self.notices.push(notice),
                Output::Changed(_) | Output::Gone(_) => {}
            }
        }
    }

    fn deliver(&mut self) {
        let due: Vec<_> = self.under_way.iter().filter(|(at, ..)| *at <= self.second).cloned().collect();
        self.under_way.retain(|(at, ..)| *at > self.second);
        for (_, source, ask) in due {
            self.answer(&source, &ask);
            self.drain();
        }
    }

    fn answer(&mut self, source: &Arc<str>, ask: &Ask) {
        let now = self.now();
        let abilities = self.sources.iter().find(|(name, _)| name == source).unwrap().1;
        let mut spent = Spent::NOTHING;
        let told = self.answers.get(&**source).cloned();
        let outcome = match (told, ask.request) {
            (Some(outcome), _) => outcome,
            (None, Request::List) => {
                spent.data = 1;
                for key in self.cars.keys().cloned().collect::<Vec<_>>() {
                    self.report(source, abilities, &key, false);
                }
                Outcome::Done
            }
            (None, request) => {
                match request {
                    Request::Wake => (spent.wakes, spent.data) = (1, 3),
                    Request::Read { .. } | Request::ReadWakefulness | Request::List => spent.data = 1,
                    _ => spent.commands = 1,
                }
                let outcome = self.act(&ask.car, request);
                if matches!(request, Request::Read { .. } | Request::ReadWakefulness) {
                    self.report(
                        source,
                        abilities,
                        &ask.car,
                        outcome == Outcome::Done && request != Request::ReadWakefulness,
                    );
                }
                outcome
            }
        };
        if !abilities.is_billed {
            spent = Spent::NOTHING;
        }
        self.spent += spent;
        let is_lost = self.lose == Some(ask.request);
        let outcome = if is_lost { Outcome::Unsure { text: "lost".to_owned() } } else { outcome };
        self.lose = self.lose.filter(|_| !is_lost);
        let answer = Answer { id: ask.id, source: Arc::clone(source), car: ask.car.clone(), outcome, spent };
        self.garage.handle_answer(now, &answer);
    }

    fn act(&mut self, key: &CarKey, request: Request) -> Outcome {
        let second = self.second;
        let car = self.cars.get_mut(key).unwrap();
        if request == Request::ReadWakefulness {
            return Outcome::Done;
        }
        if request == Request::Wake && !car.is_dead {
            car.is_asleep = false;
        }
        if car.is_asleep {
            return Outcome::Asleep;
        }
        car.quiet_since = second;
        match request {
            Request::Start if !car.plugged => return Outcome::Refused(Refusal::Unplugged),
            Request::Start if car.soc >= car.limit => return Outcome::Refused(Refusal::Complete),
            Request::Start if car.is_charging => return Outcome::AlreadySo,
            Request::Start => car.is_charging = !car.is_stubborn,
            Request::Stop => car.is_charging &= car.is_stubborn,
            Request::SetAmps(amps) => car.amps = amps.centiamps() / 100,
            Request::SetLimit(limit) => car.limit = limit.get(),
            _ => {}
        }
        Outcome::Done
    }

    fn report(&mut self, source: &Arc<str>, abilities: Abilities, key: &CarKey, is_full: bool) {
        let now = self.now();
        let car = &self.cars[key];
        let wakefulness = Some(if car.is_asleep { Wakefulness::Asleep } else { Wakefulness::Awake });
        let charging = match () {
            () if !car.plugged => ChargingState::Disconnected,
            () if car.is_charging => ChargingState::Charging,
            () if car.soc >= car.limit => ChargingState::Complete,
            () => ChargingState::Stopped,
        };
        let facts = if is_full {
            Facts {
                soc: Percent::new(car.soc).ok(),
                limit: Percent::new(car.limit).ok(),
                charging: Some(charging),
                amps_requested: Some(Amps::from_whole(car.amps)),
                amps_possible: Some(Amps::from_whole(16)),
                amps: Some(Amps::from_whole(if car.is_charging { car.amps.min(16) } else { 0 })),
                volts: Volts::new(230.0).ok(),
                phases: Some(Phases::Three),
                wakefulness,
                parked: Some(car.plugged || car.is_home),
                position: Position::new(if car.is_home { HOME.0 } else { HOME.0 + 1.0 }, HOME.1, Some(now)),
                schedule_pending: Some(car.has_timer),
                ..Facts::default()
            }
        } else {
            Facts { wakefulness, name: Some(format!("Car {key}")), ..Facts::default() }
        };
        let report = Report {
            car: key.clone(),
            source: Arc::clone(source),
            nearness: abilities.nearness,
            taken_at: Some(now),
            facts,
        };
        self.garage.handle_report(now, &report);
        for (name, abilities) in &self.sources {
            self.garage.handle_abilities(now, key, name, *abilities);
        }
    }

    /// A car tells by itself, as by telemetry.
    pub(super) fn tell(&mut self, number: usize, source: &str) {
        let source: Arc<str> = Arc::from(source);
        self.report(&source, Abilities { nearness: Nearness::Car, ..Abilities::default() }, &key(number), true);
        self.drain();
    }
}
