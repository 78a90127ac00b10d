//! The thread: connects, and asks where there is no connection to listen to.

mod conversation;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use vehicle::{
    Abilities, Answer, Ask, CarKey, Nearness, Outcome, Request, Spent, Trouble, VehicleListener, VehicleSource,
    Wakefulness,
};
use vehicle_mqtt::Clock;

use crate::facts;
use crate::registry::{self, Car};
use crate::rest::{self, Rest};
use crate::role::Role;
use crate::session::{Access, Session, SessionError};
use crate::states::States;
use crate::{NAME, NamedCar, SECTION};

/// How often a waiting thread looks whether it was asked something or should end.
const LOOK_UP: Duration = Duration::from_millis(500);
/// States are read over REST so often where there is no WebSocket (TWCManager's rhythm), ...
const POLL: Duration = Duration::from_secs(30);
/// ... which is looked for again after this time.
const LOOK_FOR_PUSH: Duration = Duration::from_secs(600);
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
