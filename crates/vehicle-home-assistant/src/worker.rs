//! The thread: connects, listens, asks, answers.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use vehicle::{
    Abilities, Answer, Ask, CarKey, Nearness, Outcome, Refusal, Request, Spent, Trouble, VehicleListener,
    VehicleSource, Wakefulness,
};
use vehicle_mqtt::Clock;
use ws_client::WsError;

use crate::command::{self, Call};
use crate::facts;
use crate::registry::{self, Car};
use crate::rest::{self, Rest};
use crate::role::Role;
use crate::session::{Access, Session, SessionError, kind, number};
use crate::states::States;
use crate::{NAME, NamedCar, SECTION};

/// How often a waiting thread looks whether it was asked something or should end.
const LOOK_UP: Duration = Duration::from_millis(250);
/// Messages that come together are told together, up to so many.
const TOGETHER: usize = 200;
/// A quiet connection is proven alive this often.
const PROVE: Duration = Duration::from_secs(20);
/// States are read over REST this often beside the WebSocket, for the time of the integrations' last word ...
const REFRESH: Duration = Duration::from_secs(60);
/// ... and this often where there is no WebSocket (TWCManager's rhythm), ...
const POLL: Duration = Duration::from_secs(30);
/// ... which is looked for again after this time.
const LOOK_FOR_PUSH: Duration = Duration::from_secs(600);
/// A service may take so long: integrations wait for the car.
const SERVICE: Duration = Duration::from_secs(90);
/// A car that was told to wake has so long.
const WAKING: Duration = Duration::from_secs(60);
/// Pauses after failures, doubling.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// A refused token counts towards a ban of our address where the owner has switched that on: fewer and fewer attempts.
const FIRST_REFUSAL: Duration = Duration::from_secs(300);
const LONGEST_REFUSAL: Duration = Duration::from_secs(6 * 3600);

/// All that the thread needs.
pub(crate) struct Plan {
    pub access: Access,
    pub rest: Rest,
    pub named: Vec<NamedCar>,
    pub discovers: bool,
}

type Powers = Arc<Mutex<BTreeMap<CarKey, Abilities>>>;

pub(crate) fn start(plan: Plan, listener: Arc<dyn VehicleListener>) -> std::io::Result<Arc<dyn VehicleSource>> {
    let (sender, asked) = channel();
    let stop = Arc::new(AtomicBool::new(false));
    let powers = Powers::default();
    let worker = Worker {
        plan,
        listener,
        asked,
        stop: Arc::clone(&stop),
        powers: Arc::clone(&powers),
        cars: Vec::new(),
        states: States::default(),
        trouble: None,
    };
    std::thread::Builder::new().name(NAME.to_owned()).spawn(move || worker.run())?;
    Ok(Arc::new(Source { sender, stop, powers }))
}

struct Source {
    sender: Sender<Ask>,
    stop: Arc<AtomicBool>,
    powers: Powers,
}

impl VehicleSource for Source {
    fn name(&self) -> &str {
        NAME
    }

    fn abilities(&self, car: &CarKey) -> Abilities {
        self.powers.lock().unwrap_or_else(PoisonError::into_inner).get(car).copied().unwrap_or_default()
    }

    fn ask(&self, ask: Ask) {
        // The thread ends after this value only, unless it panicked; that is in the log then.
        if self.sender.send(ask).is_err() {
            log::warn!("{NAME}: its thread has ended; a question stays without an answer");
        }
    }
}

impl Drop for Source {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

fn abilities(car: &Car) -> Abilities {
    let has = |role| car.entities.contains_key(&role);
    Abilities {
        reads: true,
        reads_wakefulness: has(Role::Awake),
        commands: has(Role::Charge) || has(Role::Start) || has(Role::Stop) || has(Role::Amps) || has(Role::Limit),
        wakes: has(Role::Wake),
        is_billed: car.is_billed,
        nearness: Nearness::Copy,
    }
}

/// What is under way on a connection.
#[derive(Default)]
struct Business {
    /// Calls without a result yet, by their number.
    calls: HashMap<u64, Pending>,
    /// Cars that were told to wake.
    waking: Vec<Pending>,
    /// Questions that wait until the car's earlier one is answered.
    waiting: VecDeque<Ask>,
}

struct Pending {
    ask: Ask,
    until: Instant,
    spent: Spent,
}

impl Business {
    fn is_busy(&self, car: &CarKey) -> bool {
        self.calls.values().chain(&self.waking).any(|pending| pending.ask.car == *car)
    }
}

struct Worker {
    plan: Plan,
    listener: Arc<dyn VehicleListener>,
    asked: Receiver<Ask>,
    stop: Arc<AtomicBool>,
    powers: Powers,
    cars: Vec<Car>,
    states: States,
    trouble: Option<Trouble>,
}

impl Worker {
    fn run(mut self) {
        let (mut pause, mut refusal) = (FIRST_PAUSE, FIRST_REFUSAL);
        self.set_cars(registry::cars(&Value::Null, &Value::Null, &self.plan.named));
        while !self.is_stopped() {
            let error = match self.connect() {
                Ok((session, subscription)) => {
                    (pause, refusal) = (FIRST_PAUSE, FIRST_REFUSAL);
                    self.tell_trouble(None);
                    self.listen(session, subscription)
                }
                Err(error) => Some(error),
            };
            match error {
                None => {}
                Some(SessionError::Denied) => {
                    self.refused();
                    self.idle(refusal, |_| Outcome::Barred { text: refusal_text() });
                    refusal = refusal.saturating_mul(2).min(LONGEST_REFUSAL);
                }
                Some(SessionError::Missing(why)) => {
                    log::info!("{NAME}: no WebSocket ({why}); asked every {} s instead", POLL.as_secs());
                    self.poll();
                }
                Some(SessionError::Failed(why)) => {
                    let text = format!(
                        "Home Assistant cannot be used: {why}; look at {SECTION}.url, and whether it is running"
                    );
                    self.tell_trouble(Some(Trouble { code: "unreachable", text: text.clone(), needs_person: false }));
                    self.idle(pause, |_| Outcome::Later { after: None, text: text.clone() });
                    pause = pause.saturating_mul(2).min(LONGEST_PAUSE);
                }
            }
        }
        let text = "the connection to Home Assistant is being closed".to_owned();
        while let Ok(ask) = self.asked.try_recv() {
            self.answer(&ask, Outcome::Later { after: None, text: text.clone() }, Spent::NOTHING);
        }
    }

    fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    fn set_cars(&mut self, cars: Vec<Car>) {
        let powers = cars.iter().map(|car| (car.key.clone(), abilities(car))).collect();
        *self.powers.lock().unwrap_or_else(PoisonError::into_inner) = powers;
        self.cars = cars;
    }

    /// Logs in, looks for cars, subscribes. The number of the subscription comes along.
    fn connect(&mut self) -> Result<(Session, u64), SessionError> {
        let mut session = Session::connect(&self.plan.access)?;
        let devices = session.ask(json!({"type": "config/device_registry/list"}));
        let entities = session.ask(json!({"type": "config/entity_registry/list"}));
        let (devices, entities) = match (devices, entities) {
            (Ok(devices), Ok(entities)) => (devices, entities),
            // Named entities need no registry.
            (Err(SessionError::Missing(why)), _) | (_, Err(SessionError::Missing(why))) => {
                log::warn!("{NAME}: cars cannot be looked for ({why}); name their entities in {SECTION}.cars");
                (Value::Null, Value::Null)
            }
            (Err(error), _) | (_, Err(error)) => return Err(error),
        };
        let devices = if self.plan.discovers { devices } else { Value::Null };
        self.set_cars(registry::cars(&devices, &entities, &self.plan.named));
        if self.cars.is_empty() {
            log::warn!(
                "{NAME}: no car was found; set up tesla_fleet, teslemetry or tessie there, or name entities in {SECTION}.cars"
            );
        }
        for car in &self.cars {
            log::info!(
                "{NAME}: {} with {} entities",
                car.name.as_deref().unwrap_or(car.key.as_str()),
                car.entities.len()
            );
        }
        for change in ["entity_registry_updated", "device_registry_updated"] {
            session.send(json!({"type": "subscribe_events", "event_type": change}))?;
        }
        self.states = States::default();
        let ids: Vec<&String> = self.cars.iter().flat_map(|car| car.entities.values()).collect();
        let subscription = session.send(json!({"type": "subscribe_entities", "entity_ids": ids}))?;
        Ok((session, subscription))
    }

    /// Listens until the connection ends, or is to be made anew (`None`).
    fn listen(&mut self, mut session: Session, subscription: u64) -> Option<SessionError> {
        let mut business = Business::default();
        let end = self.converse(&mut session, subscription, &mut business);
        let lost = "the connection to Home Assistant was lost".to_owned();
        for (_, pending) in business.calls.drain() {
            // It was sent, so it may have been done, and paid for.
            self.answer(&pending.ask, Outcome::Unsure { text: lost.clone() }, pending.spent);
        }
        for pending in business.waking {
            self.answer(&pending.ask, Outcome::Unsure { text: lost.clone() }, pending.spent);
        }
        for ask in business.waiting {
            self.answer(&ask, Outcome::Later { after: None, text: lost.clone() }, Spent::NOTHING);
        }
        end.err().map(SessionError::from)
    }

    fn converse(&mut self, session: &mut Session, subscription: u64, business: &mut Business) -> Result<(), WsError> {
        let mut heard = Instant::now();
        let mut ping = None;
        let mut refreshed = Instant::now();
        let mut is_changed_since = None;
        while !self.is_stopped() {
            let mut patience = LOOK_UP;
            for _ in 0..TOGETHER {
                let Some(message) = session.receive(patience)? else { break };
                (heard, ping, patience) = (Instant::now(), None, Duration::ZERO);
                match (kind(&message), number(&message)) {
                    ("event", Some(id)) if id == subscription => {
                        self.take_event(message.get("event").unwrap_or(&Value::Null));
                    }
                    ("event", _) => is_changed_since = is_changed_since.or(Some(heard)),
                    ("result", Some(id))
                        if id == subscription && message.get("success") != Some(&Value::Bool(true)) =>
                    {
                        return Err(WsError::Protocol("it refuses to tell the states of entities".into()));
                    }
                    ("result", Some(id)) => {
                        if let Some(pending) = business.calls.remove(&id) {
                            self.result(pending, &message, business);
                        }
                    }
                    _ => {}
                }
            }
            let now = Instant::now();
            self.overdue(business, now);
            while let Ok(ask) = self.asked.try_recv() {
                business.waiting.push_back(ask);
            }
            self.work(session, business)?;
            // Somebody changed devices or entities: cars are looked for anew, once that is over and nothing is under way.
            let is_settled = is_changed_since.is_some_and(|since| now.duration_since(since) >= Duration::from_secs(10));
            if is_settled && business.calls.is_empty() && business.waking.is_empty() && business.waiting.is_empty() {
                return Ok(());
            }
            if now.duration_since(refreshed) >= REFRESH {
                refreshed = now;
                if let Err(error) = self.refresh(None) {
                    log::debug!("{NAME}: {error}");
                }
            }
            match ping {
                Some(sent) if now.duration_since(sent) >= PROVE => {
                    return Err(WsError::Closed("it does not answer any more".into()));
                }
                None if now.duration_since(heard) >= PROVE => {
                    session.send(json!({"type": "ping"}))?;
                    ping = Some(now);
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Begins what waits, as far as its car is free.
    fn work(&mut self, session: &mut Session, business: &mut Business) -> Result<(), WsError> {
        for ask in std::mem::take(&mut business.waiting) {
            let is_behind = business.waiting.iter().any(|other| other.car == ask.car);
            if ask.request != Request::List && (is_behind || business.is_busy(&ask.car)) {
                business.waiting.push_back(ask);
                continue;
            }
            let Some(call) = self.plan_call(&ask) else { continue };
            let question = json!({
                "type": "call_service", "domain": call.domain, "service": call.service, "service_data": call.data,
            });
            let pending = Pending { ask, until: Instant::now() + SERVICE, spent: call.spent };
            match session.send(question) {
                Ok(id) => {
                    business.calls.insert(id, pending);
                }
                Err(error) => {
                    let text = "the connection to Home Assistant was lost".to_owned();
                    self.answer(&pending.ask, Outcome::Unsure { text }, pending.spent);
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    /// The call for a question, unless it could be answered at once.
    fn plan_call(&self, ask: &Ask) -> Option<Call> {
        let clock = Clock::read();
        if ask.request == Request::List {
            for report in self.cars.iter().flat_map(|car| facts::all(car, &self.states, clock)) {
                self.listener.report(report);
            }
            self.answer(ask, Outcome::Done, Spent::NOTHING);
            return None;
        }
        let Some(car) = self.car(&ask.car) else {
            self.answer(ask, Outcome::Refused(Refusal::Other), Spent::NOTHING);
            return None;
        };
        if ask.request == Request::ReadWakefulness
            && let Some(report) = facts::report(car, Role::Awake, &self.states, clock)
        {
            self.listener.report(report);
        }
        match command::plan(ask.request, car, &self.states) {
            Ok(call) => Some(call),
            Err(outcome) => {
                self.answer(ask, outcome, Spent::NOTHING);
                None
            }
        }
    }

    /// What came of a call.
    fn result(&mut self, mut pending: Pending, message: &Value, business: &mut Business) {
        if message.get("success") != Some(&Value::Bool(true)) {
            let part = |name: &str| message.pointer(name).and_then(Value::as_str).unwrap_or_default();
            let (code, text) = (part("/error/code"), part("/error/message"));
            log::info!("{NAME}: {}: {text}", pending.ask.car);
            self.answer(&pending.ask, command::failed(code, text), pending.spent);
            return;
        }
        match pending.ask.request {
            Request::Wake if self.wakefulness(&pending.ask.car).is_some() => {
                pending.until = Instant::now() + WAKING;
                business.waking.push(pending);
            }
            Request::Read { .. } => {
                let outcome = self.read(&pending.ask.car);
                self.answer(&pending.ask, outcome, pending.spent);
            }
            _ => self.answer(&pending.ask, Outcome::Done, pending.spent),
        }
    }

    /// Reads the states of a car that was refreshed, and tells them all.
    fn read(&mut self, key: &CarKey) -> Outcome {
        if let Err(error) = self.refresh(Some(key)) {
            return Outcome::Later { after: None, text: error.to_string() };
        }
        let clock = Clock::read();
        match self.car(key) {
            Some(car) => {
                facts::all(car, &self.states, clock).into_iter().for_each(|report| self.listener.report(report));
                let is_asleep = facts::wakefulness(car, &self.states) == Some(Wakefulness::Asleep);
                if is_asleep { Outcome::Asleep } else { Outcome::Done }
            }
            None => Outcome::Refused(Refusal::Other),
        }
    }

    fn overdue(&self, business: &mut Business, now: Instant) {
        let late: Vec<u64> = business.calls.iter().filter(|(_, call)| now >= call.until).map(|(id, _)| *id).collect();
        for pending in late.iter().filter_map(|id| business.calls.remove(id)) {
            let text = "Home Assistant did not say what came of it".to_owned();
            self.answer(&pending.ask, Outcome::Unsure { text }, pending.spent);
        }
        business.waking.retain(|pending| {
            let is_awake = self.wakefulness(&pending.ask.car) == Some(Wakefulness::Awake);
            let is_over = is_awake || now >= pending.until;
            if is_over {
                let outcome = if is_awake { Outcome::Done } else { Outcome::Asleep };
                self.answer(&pending.ask, outcome, pending.spent);
            }
            !is_over
        });
    }

    fn take_event(&mut self, event: &Value) {
        let clock = Clock::read();
        let touched = self.states.take_event(event, clock);
        self.tell_of(&touched, clock);
    }

    /// Tells what these entities mean.
    fn tell_of(&self, touched: &[String], clock: Clock) {
        for car in &self.cars {
            // Whether a cable is in decides what "off" means for charging.
            let is_plug = car.entities.get(&Role::Plug).is_some_and(|id| touched.contains(id));
            for (role, id) in &car.entities {
                if (touched.contains(id) || (is_plug && *role == Role::Charging))
                    && let Some(report) = facts::report(car, *role, &self.states, clock)
                {
                    self.listener.report(report);
                }
            }
        }
    }

    /// Reads states over REST, of one car or of all, and tells what differs.
    fn refresh(&mut self, only: Option<&CarKey>) -> Result<(), http_client::HttpError> {
        let cars = self.cars.iter().filter(|car| only.is_none_or(|only| car.key == *only));
        let mut ids: Vec<String> = cars
            .flat_map(|car| car.entities.iter())
            .filter(|(role, _)| !role.is_button())
            .map(|(_, id)| id.clone())
            .collect();
        ids.sort_unstable();
        ids.dedup();
        let mut touched = Vec::new();
        for id in ids {
            if self.is_stopped() {
                break;
            }
            match self.plan.rest.state(&id)? {
                Some(object) => {
                    if self.states.take_object(&object, Clock::read()) {
                        touched.push(id);
                    }
                }
                None => log::debug!("{NAME}: there is no entity {id}"),
            }
        }
        self.tell_of(&touched, Clock::read());
        Ok(())
    }

    /// Without a WebSocket: REST for everything, until it is time to look for the WebSocket again.
    fn poll(&mut self) {
        if self.cars.is_empty() {
            let text = format!(
                "Home Assistant has no WebSocket at {SECTION}.url, and so cars cannot be looked for there; let the proxy in \
                 between pass WebSockets, or name entities in {SECTION}.cars"
            );
            self.tell_trouble(Some(Trouble { code: "unreachable", text, needs_person: true }));
        }
        let end = Instant::now() + LOOK_FOR_PUSH;
        while !self.is_stopped() && Instant::now() < end {
            match self.refresh(None) {
                Ok(()) if !self.cars.is_empty() => self.tell_trouble(None),
                Ok(()) => {}
                Err(error) if rest::is_denied(&error) => {
                    self.refused();
                    self.idle(FIRST_REFUSAL, |_| Outcome::Barred { text: refusal_text() });
                }
                Err(error) => {
                    let text = error.to_string();
                    self.tell_trouble(Some(Trouble { code: "unreachable", text, needs_person: false }));
                }
            }
            let next = Instant::now() + POLL;
            while !self.is_stopped() && Instant::now() < next {
                let Ok(ask) = self.asked.recv_timeout(LOOK_UP) else { continue };
                let Some(call) = self.plan_call(&ask) else { continue };
                let mut outcome = self.plan.rest.call(&call);
                if outcome == Outcome::Done && matches!(ask.request, Request::Read { .. }) {
                    outcome = self.read(&ask.car);
                }
                self.answer(&ask, outcome, call.spent);
            }
        }
    }

    /// Waits, and answers everybody the same meanwhile.
    fn idle(&self, pause: Duration, outcome: impl Fn(&Ask) -> Outcome) {
        let end = Instant::now() + pause;
        while !self.is_stopped() && Instant::now() < end {
            let left = end.saturating_duration_since(Instant::now());
            if let Ok(ask) = self.asked.recv_timeout(LOOK_UP.min(left)) {
                self.answer(&ask, outcome(&ask), Spent::NOTHING);
            }
        }
    }

    fn refused(&mut self) {
        self.tell_trouble(Some(Trouble { code: "sign_in", text: refusal_text(), needs_person: true }));
    }

    fn tell_trouble(&mut self, trouble: Option<Trouble>) {
        if self.trouble != trouble {
            self.trouble.clone_from(&trouble);
            self.listener.trouble(NAME, trouble);
        }
    }

    fn answer(&self, ask: &Ask, outcome: Outcome, spent: Spent) {
        let (id, car) = (ask.id, ask.car.clone());
        self.listener.answered(Answer { id, source: NAME.into(), car, outcome, spent });
    }

    fn car(&self, key: &CarKey) -> Option<&Car> {
        self.cars.iter().find(|car| car.key == *key)
    }

    fn wakefulness(&self, key: &CarKey) -> Option<Wakefulness> {
        facts::wakefulness(self.car(key)?, &self.states)
    }
}

fn refusal_text() -> String {
    format!(
        "Home Assistant refuses {SECTION}.longLivedToken; make a new long-lived access token at the bottom of your profile page \
         (Security) and put it there"
    )
}
