//! One connection, from the first message to the last: what is under way on it, and that each question is answered once.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use vehicle::{Ask, CarKey, Outcome, Refusal, Request, Spent, Wakefulness};
use vehicle_mqtt::Clock;
use ws_client::WsError;

use super::{LOOK_UP, Worker};
use crate::command::{self, Call};
use crate::role::Role;
use crate::session::{Session, SessionError, kind, number};
use crate::{NAME, facts};

/// Messages that come together are told together, up to so many.
const TOGETHER: usize = 200;
/// A quiet connection is proven alive this often.
const PROVE: Duration = Duration::from_secs(20);
/// States are read over REST this often beside the WebSocket, for the time of the integrations' last word.
const REFRESH: Duration = Duration::from_secs(60);
/// A service may take so long: integrations wait for the car.
const SERVICE: Duration = Duration::from_secs(90);
/// A car that was told to wake has so long.
const WAKING: Duration = Duration::from_secs(60);

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

impl Worker {
    /// Listens until the connection ends, or is to be made anew (`None`).
    pub(super) fn listen(&mut self, mut session: Session, subscription: u64) -> Option<SessionError> {
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
        let mut asks = std::mem::take(&mut business.waiting);
        while let Some(ask) = asks.pop_front() {
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
                    // Those behind it are answered with all that waits.
                    business.waiting.append(&mut asks);
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    /// The call for a question, unless it could be answered at once.
    pub(super) fn plan_call(&self, ask: &Ask) -> Option<Call> {
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
    pub(super) fn read(&mut self, key: &CarKey) -> Outcome {
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
}
