//! A household in virtual time: a garage, and the cars of an independent simulation behind its cloud.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use garage::{CarView, Day, Garage, GarageSettings, HomeSetting, Kept, Notice, Output, Wish};
use serde_json::Value;
use tesla_simulator::{Availability, Car, Class, Cloud, Door, Place, Request as Call};
use units::Amps;
use vehicle::{
    Abilities, Answer, Ask, CarKey, Facts, Nearness, Outcome, Position, Report, Request, Spent, Vin, Wakefulness,
};
use vehicle_tesla::{charge_state, outcome_of_reason};

pub const HOME: Place = Place { latitude: 50.0, longitude: 8.0 };
pub const WORK: Place = Place { latitude: 50.1, longitude: 8.2 };
const TOKEN: &str = "a-token";
const NAME: &str = "TeslaAPI";
const ALL: Abilities = Abilities {
    reads: true,
    reads_wakefulness: true,
    commands: true,
    wakes: true,
    is_billed: true,
    nearness: Nearness::Cloud,
};
/// Answers take so long, and so often it is looked whether a car woke, for this long.
const LATENCY: u64 = 1;
const WAKE_POLL: u64 = 5;
const WAKE_LIMIT: u64 = 60;

pub fn key(vin: &str) -> CarKey {
    CarKey::Vin(Vin::parse(vin).unwrap())
}

/// An answer on its way, or a car that is waited for.
struct Pending {
    at: u64,
    ask: Ask,
    spent: Spent,
    /// `None` while a car wakes.
    outcome: Option<Outcome>,
    reports: Vec<Facts>,
    until: u64,
}

pub struct Household {
    start: Instant,
    pub second: u64,
    pub garage: Garage,
    pub cloud: Cloud,
    pending: VecDeque<Pending>,
    pub notices: Vec<Notice>,
    pub kept: Kept,
}

impl Household {
    pub fn new(cars: Vec<Car>) -> Self {
        let cloud = cars.into_iter().fold(Cloud::builder().fixed_token(TOKEN), tesla_simulator::CloudBuilder::car);
        let start = Instant::now();
        let garage = Household::open(start, Kept::default());
        let (pending, notices, kept) = (VecDeque::new(), Vec::new(), Kept::default());
        Household { start, second: 0, garage, cloud: cloud.build(), pending, notices, kept }
    }

    fn open(now: Instant, kept: Kept) -> Garage {
        let position = Some((HOME.latitude, HOME.longitude));
        let settings = GarageSettings { home: HomeSetting { position, radius: 100.0 }, ..GarageSettings::default() };
        let mut garage = Garage::new(now, settings, kept, [Arc::from(NAME)]);
        garage.set_today(Day { year: 2026, month: 5, day: 1 });
        garage
    }

    /// A power cut: only what was kept is left.
    pub fn restart(&mut self) {
        self.pending.clear();
        self.garage = Household::open(self.now(), self.kept.clone());
        self.set_today();
    }

    pub fn now(&self) -> Instant {
        self.start + Duration::from_secs(self.second)
    }

    /// The simulation begins at six in the morning.
    pub fn hour(&self) -> f64 {
        ((self.second + 6 * 3600) % 86_400) as f64 / 3600.0
    }

    pub fn day(&self) -> u64 {
        (self.second + 6 * 3600) / 86_400
    }

    pub fn set_today(&mut self) {
        self.garage.set_today(Day { year: 2026, month: 5, day: 1 + self.day() as u8 });
    }

    pub fn car(&mut self, vin: &str) -> &mut Car {
        self.cloud.car(vin).unwrap()
    }

    pub fn is_asleep(&self, vin: &str) -> bool {
        let car = self.cloud.cars().iter().find(|car| car.vin() == vin).unwrap();
        car.availability() == Availability::Asleep
    }

    pub fn grant(&mut self, vin: &str, amps: i32) {
        let now = self.now();
        self.garage.handle_wish(now, &key(vin), Wish::Granted(Amps::from_whole(amps)));
    }

    pub fn view(&self, vin: &str) -> CarView {
        self.garage.view(self.now(), &key(vin)).unwrap()
    }

    pub fn run(&mut self, seconds: u64) {
        let end = self.second + seconds;
        self.drain();
        while self.second < end {
            let timeout = self.garage.next_timeout().saturating_duration_since(self.start);
            let timeout = timeout.as_secs() + u64::from(timeout.subsec_nanos() > 0);
            let answer = self.pending.iter().map(|pending| pending.at).min().unwrap_or(end);
            self.second = timeout.min(answer).max(self.second + 1).min(end);
            self.cloud.advance_to(Duration::from_secs(self.second));
            self.deliver();
            let now = self.now();
            self.garage.handle_timeout(now);
            self.drain();
        }
    }

    fn drain(&mut self) {
        while let Some(output) = self.garage.poll_output() {
            match output {
                Output::Ask { ask, .. } => self.ask(ask),
                Output::Keep(kept) => self.kept = *kept,
                Output::Notice(notice) => self.notices.push(notice),
                Output::Changed(_) | Output::Gone(_) => {}
            }
        }
    }

    fn ask(&mut self, ask: Ask) {
        let at = self.second + LATENCY;
        let (mut spent, mut reports) = (Spent::NOTHING, Vec::new());
        let outcome = self.answer(&ask, &mut spent, &mut reports);
        let until = self.second + WAKE_LIMIT;
        self.pending.push_back(Pending { at, ask, spent, outcome, reports, until });
    }

    fn deliver(&mut self) {
        while let Some(place) = self.pending.iter().position(|pending| pending.at <= self.second) {
            let mut pending = self.pending.remove(place).unwrap();
            if pending.outcome.is_none() {
                let (mut spent, mut reports) = (Spent::NOTHING, Vec::new());
                let _ = self.call(&format!("/{}", pending.ask.car), "", None, &mut spent, &mut reports);
                pending.spent += spent;
                let is_awake = reports.iter().any(|facts| facts.wakefulness == Some(Wakefulness::Awake));
                pending.reports = reports;
                pending.outcome = match is_awake {
                    true => Some(Outcome::Done),
                    false if self.second >= pending.until => Some(Outcome::Asleep),
                    false => None,
                };
            }
            let Some(outcome) = pending.outcome.clone() else {
                pending.at = self.second + WAKE_POLL;
                self.pending.push_back(pending);
                continue;
            };
            let Pending { ask, spent, reports, .. } = pending;
            let now = self.now();
            for facts in reports {
                let car =
                    if ask.request == Request::List { key(facts.name.as_deref().unwrap()) } else { ask.car.clone() };
                let report = Report {
                    car: car.clone(),
                    source: NAME.into(),
                    nearness: Nearness::Cloud,
                    taken_at: Some(now),
                    facts,
                };
                self.garage.handle_report(now, &report);
                self.garage.handle_abilities(now, &car, &NAME.into(), ALL);
            }
            self.garage.handle_answer(now, &Answer { id: ask.id, source: NAME.into(), car: ask.car, outcome, spent });
            self.drain();
        }
    }

    fn answer(&mut self, ask: &Ask, spent: &mut Spent, reports: &mut Vec<Facts>) -> Option<Outcome> {
        let amps = |amps: Amps| format!("{{\"charging_amps\":{}}}", amps.centiamps() / 100);
        let (path, body) = match ask.request {
            Request::List => (String::new(), None),
            Request::Read { .. } => {
                ("/vehicle_data?endpoints=charge_state%3Bdrive_state%3Blocation_data".to_owned(), None)
            }
            Request::ReadWakefulness => (String::new(), None),
            Request::Wake => ("/wake_up".to_owned(), Some("{}".to_owned())),
            Request::Start => ("/command/charge_start".to_owned(), Some("{}".to_owned())),
            Request::Stop => ("/command/charge_stop".to_owned(), Some("{}".to_owned())),
            Request::SetAmps(set) => ("/command/set_charging_amps".to_owned(), Some(amps(set))),
            Request::SetLimit(limit) => {
                ("/command/set_charge_limit".to_owned(), Some(format!("{{\"percent\":{}}}", limit.get())))
            }
        };
        let path = if ask.request == Request::List { path } else { format!("/{}{path}", ask.car) };
        let (path, query) = path.split_once('?').unwrap_or((&path, ""));
        let (path, query) = (path.to_owned(), query.to_owned());
        let told = self.call(&path, &query, body.as_deref(), spent, reports);
        match (told, ask.request) {
            (Ok(_), Request::Wake) => None,
            (Ok(answer), request) if request.is_command() => {
                let response = &answer["response"];
                Some(match response["result"].as_bool() {
                    Some(true) => Outcome::Done,
                    _ => outcome_of_reason(request, response["reason"].as_str().unwrap()),
                })
            }
            (Ok(_), _) => Some(Outcome::Done),
            // It was asked whether it sleeps.
            (Err(outcome), request) => Some(match outcome {
                Outcome::Unsure { text } if !request.is_command() => Outcome::Later { after: None, text },
                other => other,
            }),
        }
    }

    /// One call: what it tells is added to the reports.
    fn call(
        &mut self,
        path: &str,
        query: &str,
        body: Option<&str>,
        spent: &mut Spent,
        reports: &mut Vec<Facts>,
    ) -> Result<Value, Outcome> {
        let method = if body.is_some() { "POST" } else { "GET" };
        let target = format!("/api/1/vehicles{path}?{query}");
        let reply = self.cloud.handle(&Call::new(Door::Api, method, &target).bearer(TOKEN).body(body.unwrap_or("")));
        let asked = self.cloud.log().last().unwrap();
        match asked.billed {
            Some(Class::Command) => spent.commands += 1,
            Some(Class::Data) => spent.data += 1,
            Some(Class::Wake) => spent.wakes += 1,
            None => {}
        }
        if reply.is_lost {
            return Err(Outcome::Unsure { text: "the answer was lost".to_owned() });
        }
        let answer: Value = serde_json::from_slice(&reply.body).unwrap_or(Value::Null);
        match reply.status {
            200 => {}
            408 => return Err(Outcome::Asleep),
            429 => {
                let header = reply.headers.iter().find(|(name, _)| name == "Retry-After");
                let after = header.map(|(_, value)| Duration::from_secs(value.parse().unwrap()));
                return Err(Outcome::Later { after, text: "too many".to_owned() });
            }
            status => return Err(Outcome::Unsure { text: format!("status {status}") }),
        }
        match &answer["response"] {
            Value::Array(cars) => reports.extend(cars.iter().map(|car| Facts {
                // The key, for who takes the list.
                name: car["vin"].as_str().map(str::to_owned),
                ..entry(car)
            })),
            car if car["charge_state"].is_object() => {
                let drive = &car["drive_state"];
                let position = drive["latitude"].as_f64().zip(drive["longitude"].as_f64());
                reports.push(Facts {
                    wakefulness: Some(Wakefulness::Awake),
                    parked: Some(drive["shift_state"].as_str().is_none_or(|gear| gear == "P")),
                    position: position.and_then(|(north, east)| Position::new(north, east, Some(self.now()))),
                    ..charge_state::parse(&car["charge_state"]).facts
                });
            }
            car if car["state"].is_string() => reports.push(entry(car)),
            _ => {}
        }
        Ok(answer)
    }
}

fn entry(car: &Value) -> Facts {
    let is_awake = car["state"] == "online";
    let wakefulness = Some(if is_awake { Wakefulness::Awake } else { Wakefulness::Asleep });
    Facts { wakefulness, ..Facts::default() }
}
