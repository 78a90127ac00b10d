//! A source of cars over the simulated cloud, in virtual time: questions take seconds, some answers are lost.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tesla_simulator::{Class, Cloud, Door, Reply, Request as Call};
use units::Amps;
use vehicle::{
    Abilities, Answer, Ask, CarKey, Facts, Nearness, Outcome, Position, Report, Request, Spent, VehicleListener,
    VehicleSource, Vin, Wakefulness,
};
use vehicle_tesla::{charge_state, outcome_of_reason};

use crate::household::CARS;

pub const NAME: &str = "TeslaAPI";
pub const TOKEN: &str = "a-token-for-the-week";
/// Whether it woke is asked so often, and for so long.
const WAKE_POLL: Duration = Duration::from_secs(10);
const WAKE_LIMIT: Duration = Duration::from_secs(60);

/// What the fleet holds of it.
pub struct Source(Arc<Mutex<VecDeque<Ask>>>);

impl VehicleSource for Source {
    fn name(&self) -> &str {
        NAME
    }

    /// Cars of others, such as a guest's, are not in the account.
    fn abilities(&self, car: &CarKey) -> Abilities {
        if !CARS.contains(&car.as_str()) {
            return Abilities::default();
        }
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
        self.0.lock().unwrap().push_back(ask);
    }
}

/// A question on its way.
struct Open {
    at: Instant,
    ask: Ask,
    spent: Spent,
    /// Since when it is waited for that the car wakes.
    waking_since: Option<Instant>,
}

/// The line to the cloud.
pub struct Line {
    pub cloud: Cloud,
    start: Instant,
    listener: Arc<dyn VehicleListener>,
    queue: Arc<Mutex<VecDeque<Ask>>>,
    open: Vec<Open>,
    asked: u64,
}

impl Line {
    pub fn new(cloud: Cloud, start: Instant, listener: Arc<dyn VehicleListener>) -> (Line, Arc<dyn VehicleSource>) {
        let queue = Arc::new(Mutex::new(VecDeque::new()));
        let source = Arc::new(Source(Arc::clone(&queue)));
        (Line { cloud, start, listener, queue, open: Vec::new(), asked: 0 }, source)
    }

    /// The same line for the program after a restart; what was on its way is never answered.
    pub fn reconnect(&mut self, listener: Arc<dyn VehicleListener>) -> Arc<dyn VehicleSource> {
        self.queue = Arc::new(Mutex::new(VecDeque::new()));
        (self.listener, self.open) = (listener, Vec::new());
        Arc::new(Source(Arc::clone(&self.queue)))
    }

    pub fn is_busy(&self) -> bool {
        !self.open.is_empty() || !self.queue.lock().unwrap().is_empty()
    }

    /// Takes up what was asked, and answers what is due. Returns whether anything was answered.
    pub fn turn(&mut self, now: Instant) -> bool {
        self.cloud.advance_to(now - self.start);
        for ask in std::mem::take(&mut *self.queue.lock().unwrap()) {
            self.asked += 1;
            // Two to six seconds.
            let latency = Duration::from_secs(2 + self.asked * 7 % 5);
            self.open.push(Open { at: now + latency, ask, spent: Spent::NOTHING, waking_since: None });
        }
        let (due, open) = std::mem::take(&mut self.open).into_iter().partition(|open| open.at <= now);
        self.open = open;
        let due: Vec<Open> = due;
        let has_any = !due.is_empty();
        for open in due {
            self.answer(now, open);
        }
        has_any
    }

    fn answer(&mut self, now: Instant, mut open: Open) {
        let ask = open.ask.clone();
        let outcome = match ask.request {
            Request::List => self.list(now, &mut open.spent),
            Request::Read { with_position } => self.read(now, &ask.car, with_position, &mut open.spent),
            Request::ReadWakefulness => self.look(now, &ask.car, &mut open.spent).map(|_| Outcome::Done),
            Request::Wake => match self.wake(now, &mut open) {
                Some(outcome) => Ok(outcome),
                None => return self.open.push(Open { at: now + WAKE_POLL, ..open }),
            },
            _ => self.command(&ask.car, ask.request, &mut open.spent),
        };
        let outcome = outcome.unwrap_or_else(|outcome| outcome);
        if outcome == Outcome::Asleep {
            let wakefulness = Some(Wakefulness::Asleep);
            self.report(now, &ask.car, Facts { wakefulness, ..Facts::default() });
        }
        let is_asked = ask.request == Request::ReadWakefulness && outcome == Outcome::Asleep;
        let outcome = if is_asked { Outcome::Done } else { outcome };
        self.listener.answered(Answer { id: ask.id, source: NAME.into(), car: ask.car, outcome, spent: open.spent });
    }

    /// A call, counted as the vendor's price list says: what is answered below 500, and what is lost.
    fn call(&mut self, call: &Call, class: Class, spent: &mut Spent) -> Result<Value, Outcome> {
        let reply = self.cloud.handle(call);
        if reply.is_lost || reply.status < 500 {
            *match class {
                Class::Command => &mut spent.commands,
                Class::Data => &mut spent.data,
                Class::Wake => &mut spent.wakes,
            } += 1;
        }
        meaning(&reply)
    }

    fn list(&mut self, now: Instant, spent: &mut Spent) -> Result<Outcome, Outcome> {
        let body = self.call(&get("/api/1/vehicles"), Class::Data, spent)?;
        for car in body["response"].as_array().into_iter().flatten() {
            let vin = Vin::parse(car["vin"].as_str().unwrap_or_default()).unwrap();
            self.report(now, &CarKey::Vin(vin), entry(car));
        }
        Ok(Outcome::Done)
    }

    fn read(&mut self, now: Instant, car: &CarKey, with_position: bool, spent: &mut Spent) -> Result<Outcome, Outcome> {
        let sections = if with_position { "charge_state%3Bdrive_state%3Blocation_data" } else { "charge_state" };
        let call = get(&format!("/api/1/vehicles/{car}/vehicle_data?endpoints={sections}"));
        let body = self.call(&call, Class::Data, spent)?;
        let body = &body["response"];
        let mut facts = charge_state::parse(&body["charge_state"]).facts;
        let drive = &body["drive_state"];
        if let (Some(latitude), Some(longitude)) = (drive["latitude"].as_f64(), drive["longitude"].as_f64()) {
            facts.position = Position::new(latitude, longitude, Some(now));
        }
        facts.parked = drive.is_object().then(|| drive["shift_state"].as_str().is_none_or(|gear| gear == "P"));
        facts.wakefulness = Some(Wakefulness::Awake);
        self.report(now, car, facts);
        Ok(Outcome::Done)
    }

    fn look(&mut self, now: Instant, car: &CarKey, spent: &mut Spent) -> Result<Wakefulness, Outcome> {
        let body = self.call(&get(&format!("/api/1/vehicles/{car}")), Class::Data, spent)?;
        let facts = entry(&body["response"]);
        let wakefulness = facts.wakefulness;
        self.report(now, car, facts);
        wakefulness.ok_or(Outcome::Asleep)
    }

    /// `None` while it is waited for that the car wakes.
    fn wake(&mut self, now: Instant, open: &mut Open) -> Option<Outcome> {
        let car = open.ask.car.clone();
        let Some(since) = open.waking_since else {
            let call = post(&format!("/api/1/vehicles/{car}/wake_up"), &json!({}));
            let result = self.call(&call, Class::Wake, &mut open.spent);
            open.waking_since = Some(now);
            return match result {
                Ok(body) if entry(&body["response"]).wakefulness == Some(Wakefulness::Awake) => Some(Outcome::Done),
                Ok(_) | Err(Outcome::Asleep | Outcome::Unsure { .. }) => None,
                Err(outcome) => Some(outcome),
            };
        };
        match self.look(now, &car, &mut open.spent) {
            Ok(Wakefulness::Awake) => Some(Outcome::Done),
            _ if now >= since + WAKE_LIMIT => Some(Outcome::Asleep),
            _ => None,
        }
    }

    fn command(&mut self, car: &CarKey, request: Request, spent: &mut Spent) -> Result<Outcome, Outcome> {
        let whole = |amps: Amps| amps.whole_amps_floor().centiamps() / 100;
        let (name, body) = match request {
            Request::Stop => ("charge_stop", json!({})),
            Request::SetAmps(amps) => ("set_charging_amps", json!({ "charging_amps": whole(amps) })),
            Request::SetLimit(limit) => ("set_charge_limit", json!({ "percent": limit.get().floor() as u64 })),
            _ => ("charge_start", json!({})),
        };
        let call = post(&format!("/api/1/vehicles/{car}/command/{name}"), &body);
        let body = self.call(&call, Class::Command, spent)?;
        if body["response"]["result"] == json!(true) || body["result"] == json!(true) {
            return Ok(Outcome::Done);
        }
        let reason = body["response"]["reason"].as_str().or(body["reason"].as_str());
        Ok(outcome_of_reason(request, reason.unwrap_or_default()))
    }

    fn report(&self, now: Instant, car: &CarKey, facts: Facts) {
        let (source, nearness) = (NAME.into(), Nearness::Cloud);
        self.listener.report(Report { car: car.clone(), source, nearness, taken_at: Some(now), facts });
    }
}

/// An entry of the list.
fn entry(car: &Value) -> Facts {
    let wakefulness = match car["state"].as_str() {
        Some("online") => Some(Wakefulness::Awake),
        Some(_) => Some(Wakefulness::Asleep),
        None => None,
    };
    Facts { name: car["display_name"].as_str().map(str::to_owned), wakefulness, ..Facts::default() }
}

fn meaning(reply: &Reply) -> Result<Value, Outcome> {
    let text = || format!("the cloud answered {}", reply.status);
    if reply.is_lost {
        return Err(Outcome::Unsure { text: "the answer was lost".to_owned() });
    }
    match reply.status {
        200 => Ok(serde_json::from_slice(&reply.body).unwrap()),
        408 => Err(Outcome::Asleep),
        429 => {
            let after = reply.headers.iter().find(|(name, _)| name == "Retry-After");
            let after = after.and_then(|(_, seconds)| seconds.parse().ok()).unwrap_or(300);
            Err(Outcome::Later { after: Some(Duration::from_secs(after)), text: text() })
        }
        503 => Err(Outcome::Later { after: Some(Duration::from_secs(5)), text: text() }),
        500.. => Err(Outcome::Unsure { text: text() }),
        status => panic!("the cloud answered {status}: {}", String::from_utf8_lossy(&reply.body)),
    }
}

fn get(target: &str) -> Call {
    Call::new(Door::Api, "GET", target).bearer(TOKEN)
}

fn post(target: &str, body: &Value) -> Call {
    Call::new(Door::Api, "POST", target).bearer(TOKEN).body(body.to_string())
}
