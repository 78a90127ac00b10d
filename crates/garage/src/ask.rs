//! Asking sources: the best way that is open and paid for, and what became of questions nobody answered.

use std::sync::Arc;
use std::time::{Duration, Instant};

use evse::EventLevel;
use vehicle::{Answer, Ask, CarKey, Nearness, Outcome, Request, Spent};

use crate::budget::{self, Denied};
use crate::car::{Car, Open};
use crate::decide::{Agenda, Plan, World};
use crate::garage::Garage;
use crate::route::{self, Way};
use crate::words::Why;
use crate::{Output, Purpose};

/// No answer within this is a lost answer. Waking takes a minute by itself.
pub(crate) const ANSWER_PATIENCE: Duration = Duration::from_secs(180);
/// Which cars there are is asked so often.
const LIST_INTERVAL: Duration = Duration::from_secs(24 * 3600);
const UNNAMED: &str = "";
/// What a start did is known within this.
const START_SHOWS: Duration = Duration::from_secs(120);

impl Garage {
    pub(crate) fn listed(&mut self, now: Instant, source: &Arc<str>, outcome: &Outcome) {
        let list = &mut self.sources.entry(Arc::clone(source)).or_default().list;
        match outcome {
            Outcome::Done | Outcome::AlreadySo => {
                *list = route::List { next_at: Some(now + LIST_INTERVAL), ..route::List::default() };
            }
            Outcome::Refused(_) | Outcome::Barred { .. } => list.is_hopeless = true,
            Outcome::Asleep | Outcome::Unsure { .. } | Outcome::Later { .. } => {
                list.errors = list.errors.saturating_add(1);
                let pause = Duration::from_secs(60) * list.errors.min(60);
                let after = if let Outcome::Later { after: Some(after), .. } = outcome { *after } else { pause };
                list.next_at = Some(now + after.max(pause));
            }
        }
    }

    pub(crate) fn time_out(&mut self, now: Instant) {
        let late = |at: Instant| now.saturating_duration_since(at) >= ANSWER_PATIENCE;
        let keys: Vec<CarKey> = self.cars.keys().cloned().collect();
        for key in keys {
            let Some(open) = self.cars.get(&key).and_then(|car| car.open.clone()) else { continue };
            if late(open.asked_at) {
                self.budget.settle(open.id, None);
                let text = "no answer came".to_owned();
                let outcome = Outcome::Unsure { text };
                let (source, car) = (Arc::clone(&open.source), key.clone());
                let answer = Answer { id: open.id, source, car, outcome, spent: Spent::NOTHING };
                self.take_answer(now, &key, &answer);
            }
        }
        let lost: Vec<u64> = self.lists.iter().filter(|(_, (_, at))| late(*at)).map(|(id, _)| *id).collect();
        for id in lost {
            self.budget.settle(id, None);
            if let Some((source, _)) = self.lists.remove(&id) {
                self.listed(now, &source, &Outcome::Unsure { text: String::new() });
            }
        }
    }

    pub(crate) fn ask_lists(&mut self, now: Instant, next: &mut Instant) {
        let names: Vec<Arc<str>> = self.sources.keys().cloned().collect();
        for name in names {
            let Some(source) = self.sources.get(&name) else { continue };
            let is_open = self.lists.values().any(|(open, _)| *open == name);
            if is_open || source.list.is_hopeless || source.obstacle(now).is_some() {
                continue;
            }
            if let Some(at) = source.list.next_at.filter(|at| now < *at) {
                *next = at.min(*next);
                continue;
            }
            // Which sources cost is only known per car; a list is booked as if it did until its answer tells.
            let estimate = budget::estimate(Request::List);
            if self.budget.may(now, Purpose::Looking, estimate).is_err() {
                continue;
            }
            let id = self.new_id();
            self.budget.reserve(now, id, UNNAMED, Purpose::Polling, estimate);
            self.lists.insert(id, (Arc::clone(&name), now));
            let ask = Ask { id, car: CarKey::Name(UNNAMED.to_owned()), request: Request::List };
            self.keep();
            self.outputs.push_back(Output::Ask { source: name, ask });
        }
    }

    pub(crate) fn new_id(&mut self) -> u64 {
        self.last_id += 1;
        self.last_id
    }

    /// Sends it the best way that is open and paid for. What stands in the way goes before all that is waited for.
    pub(crate) fn try_to_ask(&mut self, now: Instant, key: &CarKey, plan: Plan, agenda: &mut Agenda) -> bool {
        let Some(car) = self.cars.get(key) else { return false };
        let policy = self.settings.policy;
        let routine = plan.purpose == Purpose::Polling;
        let order = car.person.as_ref().filter(|_| plan.purpose == Purpose::Person).map(|order| order.request);
        let mut wait = |until: Option<Instant>, why: Why| {
            let is_order = |(_, why): &&(Option<Instant>, Why)| matches!(why, Why::OrderWaits(_));
            let place = if routine { agenda.waits.len() } else { agenda.waits.iter().take_while(is_order).count() };
            let why = match (order, why) {
                (Some(request), Why::NoWay(reason)) => Why::OrderWaits(Box::new((request, reason))),
                (Some(request), why) => Why::OrderWaits(Box::new((request, Some(why.to_string())))),
                (None, why) => why,
            };
            agenda.waits.insert(place, (until, why));
        };
        let names = match route::choose(now, &car.ways, &self.sources, policy, plan.request) {
            Ok(names) => names,
            Err(no_way) => {
                wait(no_way.until, Why::NoWay(no_way.text));
                return false;
            }
        };
        let estimate = budget::estimate(plan.request);
        for name in names {
            let Some(Way { abilities, .. }) = car.ways.get(&name) else { continue };
            let is_asleep_there =
                matches!(plan.request, Request::Read { .. }) && car.is_asleep() && abilities.nearness != Nearness::Copy;
            if is_asleep_there {
                continue;
            }
            let is_billed = abilities.is_billed;
            let is_idle = routine && car.flows() == Some(false);
            let may = match is_billed {
                true if is_idle => self.budget.may_idle(now, estimate),
                true => self.budget.may(now, plan.purpose, estimate),
                false => Ok(()),
            };
            match may {
                Ok(()) => {
                    self.send(now, key, name, plan, is_billed.then_some(estimate));
                    return true;
                }
                Err(Denied::Payment) => wait(None, Why::PaymentDue),
                Err(Denied::Spent) => wait(None, Why::BudgetSpent),
                Err(Denied::Pace(until)) => wait(Some(until), Why::BudgetPace),
            }
        }
        false
    }

    pub(crate) fn send(&mut self, now: Instant, key: &CarKey, source: Arc<str>, plan: Plan, estimate: Option<Spent>) {
        let id = self.new_id();
        let alias = self.known_as(key, &source);
        if let Some(estimate) = estimate {
            self.budget.reserve(now, id, key.as_str(), plan.purpose, estimate);
        }
        if let Some(entry) = plan.remember {
            self.kept.limits.insert(key.as_str().to_owned(), entry);
        }
        if estimate.is_some() || plan.remember.is_some() {
            self.keep();
        }
        let Some(car) = self.cars.get_mut(key) else { return };
        let open =
            Open { id, source: Arc::clone(&source), request: plan.request, purpose: plan.purpose, asked_at: now };
        car.sent(now, open);
        self.changed.insert(key.clone());
        self.outputs.push_back(Output::Ask { source, ask: Ask { id, car: alias, request: plan.request } });
    }

    /// What is to be kept goes out before the question that depends on it.
    pub(crate) fn keep(&mut self) {
        self.kept.ledger = self.budget.ledger().clone();
        if let Some(Output::Keep(kept)) = self.outputs.back_mut() {
            **kept = self.kept.clone();
        } else {
            self.outputs.push_back(Output::Keep(Box::new(self.kept.clone())));
        }
    }

    pub(crate) fn warn_of_budget(&mut self) {
        let view = self.budget.view();
        for (period, name) in [(&view.day, "day"), (&view.month, "month")] {
            let spent = period.used_percent.unwrap_or(0.0);
            let is_said = self.said.contains(&("budget", name.to_owned()));
            if spent >= 80.0 && !is_said {
                self.said.insert(("budget", name.to_owned()));
                let text = format!(
                    "{spent:.0} % of the {name}'s budget for calls to cars is spent: from now on cars are only started, \
                     stopped and slowed down. Raise it under `vehicle.budget` if you can afford more."
                );
                self.notice(None, EventLevel::Warning, "budget", text, false);
            } else if spent < 70.0 && is_said {
                self.said.remove(&("budget", name.to_owned()));
                let text = format!("There is money again in the {name}'s budget for calls to cars.");
                self.notice(None, EventLevel::Info, "budget", text, true);
            }
        }
    }

    /// What keeps a car from using power that it would be granted, for as long as that lasts.
    pub(crate) fn declines(&self, now: Instant, car: &Car) -> Option<Why> {
        if car.flows() == Some(true) {
            return None;
        }
        let world = World {
            now,
            settings: &self.settings,
            settled_at: self.settled_at,
            sources: &self.sources,
            limit_wish: self.limit_wish,
            remembered: self.kept.limits.get(car.key.as_str()),
        };
        if let Some((_, why)) = car.start_obstacle(&world) {
            // The last start of several may be under way still: it is not taken back before that is seen.
            let is_starting = car.start.asked_at() > car.stop.asked_at()
                && car.start.asked_at().is_some_and(|at| now.saturating_duration_since(at) < START_SHOWS);
            let is_about_starts = matches!(why, Why::EnoughStarts | Why::StartGivenUp);
            return (!(is_starting && is_about_starts)).then_some(why);
        }
        let request = if car.is_asleep() { Request::Wake } else { Request::Start };
        let purpose = if car.is_asleep() { Purpose::Wake } else { Purpose::Start };
        self.refusal(now, car, request, purpose)
    }

    /// Why nothing can ask this of a car, unless that is over soon by itself.
    pub(crate) fn refusal(&self, now: Instant, car: &Car, request: Request, purpose: Purpose) -> Option<Why> {
        let names = match route::choose(now, &car.ways, &self.sources, self.settings.policy, request) {
            Ok(names) => names,
            Err(no_way) if no_way.until.is_some() => return None,
            Err(no_way) => return Some(Why::NoWay(no_way.text)),
        };
        let mut denied = None;
        for name in names {
            let is_billed = car.ways.get(&name).is_some_and(|way| way.abilities.is_billed);
            let may = if is_billed { self.budget.may(now, purpose, budget::estimate(request)) } else { Ok(()) };
            match may {
                Ok(()) => return None,
                Err(Denied::Payment) => denied = Some(Why::PaymentDue),
                Err(Denied::Spent) => denied = Some(Why::BudgetSpent),
                Err(Denied::Pace(_)) => return None,
            }
        }
        denied
    }
}
