//! All cars together: what comes in, what goes out, and who is asked.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use evse::EventLevel;
use units::{Amps, Percent};
use vehicle::{Abilities, Answer, Ask, CarKey, Home, Nearness, Outcome, Report, Request, Spent, Trouble, Wakefulness};

use crate::budget::{self, Budget, Denied};
use crate::car::{Car, ConnectorView, Open};
use crate::decide::{Agenda, Plan, World};
use crate::route::{self, SourceState, Way};
use crate::words::{self, Why};
use crate::{BudgetView, CommandPolicy, Day, GarageSettings, HomeSetting, Kept, Notice, Output, Purpose, Wish};

/// No answer within this is a lost answer. Waking takes a minute by itself.
const ANSWER_PATIENCE: Duration = Duration::from_secs(180);
/// Which cars there are is asked so often.
const LIST_INTERVAL: Duration = Duration::from_secs(24 * 3600);
/// At least so often everything is looked through, whatever the timers say.
const LOOK_THROUGH: Duration = Duration::from_secs(60);
const UNNAMED: &str = "";

/// The brain for all cars. See the crate's front page for the order of calls.
#[derive(Debug)]
pub struct Garage {
    pub(crate) settings: GarageSettings,
    pub(crate) budget: Budget,
    kept: Kept,
    home: Option<Home>,
    pub(crate) cars: BTreeMap<CarKey, Car>,
    pub(crate) sources: BTreeMap<Arc<str>, SourceState>,
    lists: BTreeMap<u64, (Arc<str>, Instant)>,
    limit_wish: Option<Percent>,
    outputs: VecDeque<Output>,
    changed: BTreeSet<CarKey>,
    said: BTreeSet<(&'static str, String)>,
    last_id: u64,
    next: Instant,
}

impl Garage {
    /// An empty garage. `kept` is what the last [`Output::Keep`] gave away, `sources` the names of those that can be asked.
    #[must_use]
    pub fn new(
        now: Instant,
        settings: GarageSettings,
        kept: Kept,
        sources: impl IntoIterator<Item = Arc<str>>,
    ) -> Self {
        let mut settings = settings;
        settings.home.position = settings.home.position.or(kept.home);
        Garage {
            home: settings.home.home(),
            budget: Budget::new(settings.allowance, kept.ledger.clone(), now),
            settings,
            kept,
            cars: BTreeMap::new(),
            sources: sources.into_iter().map(|name| (name, SourceState::default())).collect(),
            lists: BTreeMap::new(),
            limit_wish: None,
            outputs: VecDeque::new(),
            changed: BTreeSet::new(),
            said: BTreeSet::new(),
            last_id: 0,
            next: now,
        }
    }

    /// Says which day it is where the house stands. Called before anything else, and with every new day.
    pub fn set_today(&mut self, today: Day) {
        self.budget.set_today(today);
    }

    /// What is known of a car by one source.
    pub fn handle_report(&mut self, now: Instant, report: &Report) {
        let Some(key) = self.place_of(now, report) else { return };
        let car = self.cars.entry(key.clone()).or_insert_with(|| Car::new(key.clone()));
        car.known_as.entry(Arc::clone(&report.source)).or_insert_with(|| report.car.clone());
        car.ways.entry(Arc::clone(&report.source)).or_default();
        car.take(now, report);
        self.seed_home(now, &key);
        self.changed.insert(key.clone());
        self.join_names(&key);
        self.step(now);
    }

    /// What a source can do for a car; asked for again from time to time.
    pub fn handle_abilities(&mut self, now: Instant, key: &CarKey, source: &Arc<str>, abilities: Abilities) {
        let Some(car) = self.cars.get_mut(key) else { return };
        if car.ways.get(source).map(|way| way.abilities).unwrap_or_default() != abilities {
            car.ways.entry(Arc::clone(source)).or_default().abilities = abilities;
            self.next = now;
        }
    }

    /// Another order of sources for commands.
    pub fn set_policy(&mut self, now: Instant, policy: CommandPolicy) {
        self.settings.policy = policy;
        self.step(now);
    }

    /// Another home; without a position the next parked car shows it.
    pub fn set_home(&mut self, now: Instant, home: HomeSetting) {
        self.settings.home = home;
        self.home = home.home();
        self.kept.home = home.position;
        self.keep();
        self.step(now);
    }

    /// What came of a question.
    pub fn handle_answer(&mut self, now: Instant, answer: &Answer) {
        self.budget.settle(answer.id, Some(answer.spent));
        if let Some((source, _)) = self.lists.remove(&answer.id) {
            self.listed(now, &source, &answer.outcome);
        } else {
            let asked = |car: &Car| car.open.as_ref().is_some_and(|open| open.id == answer.id);
            let key = self.cars.iter().find(|(_, car)| asked(car)).map(|(key, _)| key.clone());
            if let Some(key) = key {
                self.take_answer(now, &key, answer);
            }
        }
        if !answer.spent.is_nothing() {
            self.keep();
        }
        self.step(now);
    }

    /// A source as a whole works no longer, or works again.
    pub fn handle_trouble(&mut self, now: Instant, source: &str, trouble: Option<Trouble>) {
        let name: Arc<str> = Arc::from(source);
        let state = self.sources.entry(Arc::clone(&name)).or_default();
        let before = state.trouble.take();
        match trouble {
            Some(trouble) => {
                if trouble.code == "payment" {
                    self.budget.set_payment_due(true);
                    self.keep();
                }
                let is_new = before.as_ref().is_none_or(|(before, _)| before.code != trouble.code);
                let text = trouble.text.clone();
                let state = self.sources.entry(name).or_default();
                state.trouble = Some((trouble, now));
                if is_new {
                    self.notice(None, EventLevel::Warning, "source_trouble", format!("{source}: {text}"), false);
                }
            }
            None => {
                state.list = route::List::default();
                for car in self.cars.values_mut() {
                    if let Some(way) = car.ways.get_mut(&name) {
                        way.hurdle.forgive(true);
                    }
                }
                if let Some((trouble, _)) = before {
                    if trouble.code == "payment" {
                        self.budget.set_payment_due(false);
                        self.keep();
                    }
                    self.notice(None, EventLevel::Info, "source_trouble", format!("{source} works again."), true);
                }
            }
        }
        self.step(now);
    }

    /// What is granted to a car.
    pub fn handle_wish(&mut self, now: Instant, key: &CarKey, wish: Wish) {
        if let Some(car) = self.cars.get_mut(key)
            && car.wish != wish
        {
            car.wish = wish;
            self.step(now);
        }
    }

    /// The site wants a car to start now, beyond granting it power: tries begin anew.
    pub fn handle_start(&mut self, now: Instant, key: &CarKey) {
        self.with(now, key, |car| {
            car.is_held = false;
            car.start.re_arm();
        });
    }

    /// The site wants a car to stop, and stay so until it is started, plugged in anew or the policy changes.
    pub fn handle_stop(&mut self, now: Instant, key: &CarKey) {
        self.with(now, key, |car| {
            car.is_held = true;
            car.stop.re_arm();
        });
    }

    /// Whether a car may charge here; a reason when it may not.
    pub fn handle_permission(&mut self, now: Instant, key: &CarKey, not_permitted: Option<String>) {
        self.with(now, key, |car| {
            if car.not_permitted.is_some() != not_permitted.is_some() {
                car.was_sent_off = false;
                car.stop.re_arm();
            }
            car.not_permitted = not_permitted;
        });
    }

    /// What the local charging point shows where a car is plugged in, or that it is at none.
    pub fn handle_connector(&mut self, now: Instant, key: &CarKey, view: Option<ConnectorView>) {
        if view.is_some() {
            // A charging point may know a car before any source tells of it.
            self.cars.entry(key.clone()).or_insert_with(|| Car::new(key.clone()));
        }
        self.with(now, key, |car| car.take_connector(now, view));
    }

    /// The charge limit that the policy wants for cars at home; `None` puts their own back.
    pub fn set_limit_wish(&mut self, now: Instant, limit: Option<Percent>) {
        let limit = limit.map(|limit| Percent::new(limit.get().max(50.0)).unwrap_or(limit));
        if self.limit_wish != limit {
            self.limit_wish = limit;
            self.step(now);
        }
    }

    /// A person asks for something. It goes before everything else, and past what was given up.
    ///
    /// # Errors
    /// A sentence, when there is no such car or no source can do it.
    pub fn handle_command(&mut self, now: Instant, key: &CarKey, request: Request) -> Result<(), String> {
        if let Request::SetLimit(limit) = request
            && !(50.0..=100.0).contains(&limit.get())
        {
            return Err("a charge limit is 50 to 100 percent".to_owned());
        }
        let policy = self.settings.policy;
        let Some(car) = self.cars.get_mut(key) else { return Err(format!("there is no car \"{key}\"")) };
        car.ways.values_mut().for_each(|way| way.hurdle.forgive(true));
        if request == Request::List {
            return Err("which cars there are is not asked of a car".to_owned());
        }
        if matches!(request, Request::Read { .. }) && car.is_asleep() {
            return Err("it sleeps; wake it first".to_owned());
        }
        if !route::could(&car.ways, &self.sources, policy, request) {
            let why = route::choose(now, &car.ways, &self.sources, policy, request).err().and_then(|no| no.text);
            return Err(Why::NoWay(why).to_string());
        }
        car.re_arm();
        car.is_held = request == Request::Stop;
        let is_idle = request == Request::Stop && (car.is_asleep() || car.flows() == Some(false));
        car.person = (!is_idle).then_some(request);
        self.step(now);
        Ok(())
    }

    /// The policy changed: what was given up may be tried again.
    pub fn re_arm(&mut self, now: Instant) {
        self.cars.values_mut().for_each(Car::re_arm);
        self.step(now);
    }

    /// A person paid, or wants to try: billed calls may be made again.
    pub fn resume_billed_calls(&mut self, now: Instant) {
        self.budget.set_payment_due(false);
        self.keep();
        self.step(now);
    }

    /// When [`Garage::handle_timeout`] wants to be called.
    #[must_use]
    pub fn next_timeout(&self) -> Instant {
        self.next
    }

    /// Time passed.
    pub fn handle_timeout(&mut self, now: Instant) {
        if now >= self.next {
            self.step(now);
        }
    }

    /// What is to be done, in this order; call until `None`.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front().or_else(|| self.changed.pop_first().map(Output::Changed))
    }

    /// The key by which a source knows a car.
    #[must_use]
    pub fn known_as(&self, key: &CarKey, source: &str) -> CarKey {
        self.cars.get(key).and_then(|car| car.known_as.get(source)).unwrap_or(key).clone()
    }

    /// The cars, by key.
    pub fn keys(&self) -> impl Iterator<Item = &CarKey> {
        self.cars.keys()
    }

    /// What was spent.
    #[must_use]
    pub fn budget(&self) -> BudgetView {
        self.budget.view()
    }

    fn with(&mut self, now: Instant, key: &CarKey, change: impl FnOnce(&mut Car)) {
        if let Some(car) = self.cars.get_mut(key) {
            change(car);
            self.changed.insert(key.clone());
            self.step(now);
        }
    }

    /// Which car a report is about: a name stands for the one car of that name that is known by its VIN.
    fn place_of(&mut self, _now: Instant, report: &Report) -> Option<CarKey> {
        let CarKey::Name(name) = &report.car else { return Some(report.car.clone()) };
        let mut same = self
            .cars
            .values()
            .filter(|car| car.key.vin().is_some() && car.state.name.as_ref().is_some_and(|seen| seen.value == *name));
        match (same.next(), same.next()) {
            (Some(car), None) => Some(car.key.clone()),
            (Some(_), Some(_)) => {
                let text = format!(
                    "{} tells of a car \"{name}\", and several cars have that name: it is kept apart. Give each car a name \
                     of its own, or name the VIN where {} is configured.",
                    report.source, report.source
                );
                if self.said.insert(("ambiguous_car", name.clone())) {
                    self.notice(None, EventLevel::Warning, "ambiguous_car", text, false);
                }
                Some(report.car.clone())
            }
            (None, _) => Some(report.car.clone()),
        }
    }

    /// A car known by VIN that learnt its name takes in the one that was known by this name only.
    fn join_names(&mut self, key: &CarKey) {
        let Some(car) = self.cars.get(key).filter(|car| car.key.vin().is_some()) else { return };
        let Some(name) = car.state.name.as_ref().map(|seen| seen.value.clone()) else { return };
        let has_name =
            |other: &&Car| other.key.vin().is_some() && matches!(&other.state.name, Some(seen) if seen.value == name);
        let count = self.cars.values().filter(has_name).count();
        let old = CarKey::Name(name);
        // What is under way is finished first.
        let is_busy = self.cars.get(&old).is_some_and(|old| old.open.is_some());
        if count != 1 || is_busy {
            return;
        }
        let Some(old_car) = self.cars.remove(&old) else { return };
        if let Some(car) = self.cars.get_mut(key) {
            for (source, alias) in old_car.known_as {
                car.known_as.entry(source).or_insert(alias);
            }
            for (source, way) in old_car.ways {
                car.ways.entry(source).or_insert(way);
            }
        }
        if let Some(entry) = self.kept.limits.remove(old.as_str()) {
            self.kept.limits.entry(key.as_str().to_owned()).or_insert(entry);
            self.keep();
        }
        self.changed.remove(&old);
        self.outputs.push_back(Output::Gone(old));
    }

    /// The first car that is seen parked shows where home is, when nobody configured it.
    fn seed_home(&mut self, now: Instant, key: &CarKey) {
        if self.home.is_some() {
            return;
        }
        let Some(car) = self.cars.get(key) else { return };
        let is_parked = car.plugged() == Some(true) || matches!(&car.state.parked, Some(seen) if seen.value);
        let Some(seen) = car.state.position.as_ref().filter(|_| is_parked) else { return };
        let is_fresh =
            seen.value.fixed_at.is_some_and(|at| now.saturating_duration_since(at) <= Duration::from_secs(600));
        if is_fresh {
            let position = (seen.value.latitude, seen.value.longitude);
            self.kept.home = Some(position);
            self.settings.home.position = Some(position);
            self.home = self.settings.home.home();
            self.keep();
            let text =
                "Home is taken to be where this car stands parked. If that is wrong, set the home position in the \
                        settings."
                    .to_owned();
            self.notice(Some(key.clone()), EventLevel::Info, "home_found", text, false);
        }
    }

    fn take_answer(&mut self, now: Instant, key: &CarKey, answer: &Answer) {
        let Some(car) = self.cars.get_mut(key) else { return };
        let Some(open) = car.open.take() else { return };
        let has_free = car.ways.values().any(|way| way.abilities.reads && !way.abilities.is_billed);
        let source_until = car.answered(now, &open, answer, has_free);
        let failed_wake = open.request == Request::Wake && answer.outcome == Outcome::Asleep;
        if let Some(until) = source_until {
            self.sources.entry(Arc::clone(&open.source)).or_default().until = Some(until);
        }
        self.changed.insert(key.clone());
        if failed_wake {
            let text = Why::DidNotWake.to_string();
            self.notice(Some(key.clone()), EventLevel::Info, "did_not_wake", text, false);
        }
    }

    fn listed(&mut self, now: Instant, source: &Arc<str>, outcome: &Outcome) {
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

    /// Looks through everything, and asks what is due.
    fn step(&mut self, now: Instant) {
        let mut next = now + LOOK_THROUGH;
        self.time_out(now);
        self.ask_lists(now, &mut next);
        // Where money is short, who was looked at longest ago has the first claim to it.
        let mut keys: Vec<(Option<Instant>, CarKey)> =
            self.cars.values().map(|car| (car.looked_at, car.key.clone())).collect();
        keys.sort();
        for (_, key) in keys {
            self.step_car(now, &key);
            if let Some(car) = self.cars.get(&key) {
                next = car.next_at.into_iter().chain([next]).min().unwrap_or(next);
            }
        }
        self.warn_of_budget();
        self.next = next.max(now + Duration::from_millis(10));
    }

    fn time_out(&mut self, now: Instant) {
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

    fn ask_lists(&mut self, now: Instant, next: &mut Instant) {
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

    fn new_id(&mut self) -> u64 {
        self.last_id += 1;
        self.last_id
    }

    fn step_car(&mut self, now: Instant, key: &CarKey) {
        let Some(car) = self.cars.get_mut(key) else { return };
        let (place, flows) = (car.place.0, car.flows());
        car.settle(now, &self.sources, self.home.as_ref());
        let moved = car.place.0 != place || car.flows() != flows;
        let gives_up_start = car.wish.is_granted() && car.start.gives_up(now);
        let gives_up_stop = car.stop.gives_up(now);
        let world = World {
            now,
            settings: &self.settings,
            sources: &self.sources,
            limit_wish: self.limit_wish,
            remembered: self.kept.limits.get(key.as_str()),
        };
        let mut agenda = car.agenda(&world);
        if moved {
            self.changed.insert(key.clone());
        }
        for (gave_up, code, why) in
            [(gives_up_start, "start_given_up", Why::StartGivenUp), (gives_up_stop, "stop_given_up", Why::StopGivenUp)]
        {
            if gave_up {
                self.notice(Some(key.clone()), EventLevel::Warning, code, why.to_string(), false);
            }
        }
        if let Some(change) = agenda.remember.take() {
            self.remember(key, change);
        }
        let asks = std::mem::take(&mut agenda.asks);
        let is_sent = asks.into_iter().any(|plan| self.try_to_ask(now, key, plan, &mut agenda));
        let Some(car) = self.cars.get_mut(key) else { return };
        let lost_at = car.open.as_ref().map(|open| open.asked_at + ANSWER_PATIENCE);
        car.next_at = agenda.waits.iter().filter_map(|(until, _)| *until).chain(lost_at).min();
        let why =
            if is_sent { Why::Asking } else { agenda.waits.into_iter().next().map_or(Why::AsWanted, |(_, why)| why) };
        if car.why != why {
            car.why = why;
            self.changed.insert(key.clone());
        }
    }

    fn remember(&mut self, key: &CarKey, change: Option<crate::Remembered>) {
        match change {
            Some(entry) => self.kept.limits.insert(key.as_str().to_owned(), entry),
            None => self.kept.limits.remove(key.as_str()),
        };
        self.keep();
    }

    /// Sends it the best way that is open and paid for. What stands in the way goes before all that is waited for.
    fn try_to_ask(&mut self, now: Instant, key: &CarKey, plan: Plan, agenda: &mut Agenda) -> bool {
        let Some(car) = self.cars.get(key) else { return false };
        let policy = self.settings.policy;
        let routine = plan.purpose == Purpose::Polling;
        let mut wait = |until: Option<Instant>, why: Why| {
            let place = if routine { agenda.waits.len() } else { 0 };
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
            let may = if is_billed { self.budget.may(now, plan.purpose, estimate) } else { Ok(()) };
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

    fn send(&mut self, now: Instant, key: &CarKey, source: Arc<str>, plan: Plan, estimate: Option<Spent>) {
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
    fn keep(&mut self) {
        self.kept.ledger = self.budget.ledger().clone();
        if let Some(Output::Keep(kept)) = self.outputs.back_mut() {
            **kept = self.kept.clone();
        } else {
            self.outputs.push_back(Output::Keep(Box::new(self.kept.clone())));
        }
    }

    pub(crate) fn notice(
        &mut self,
        car: Option<CarKey>,
        level: EventLevel,
        code: &'static str,
        text: String,
        cleared: bool,
    ) {
        self.outputs.push_back(Output::Notice(Notice { car, level, code, text, cleared }));
    }

    fn warn_of_budget(&mut self) {
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
        let world = World { now, settings: &self.settings, sources: &self.sources, limit_wish: None, remembered: None };
        if let Some((_, why)) = car.start_obstacle(&world) {
            return Some(why);
        }
        let request = if car.is_asleep() { Request::Wake } else { Request::Start };
        let names = match route::choose(now, &car.ways, &self.sources, self.settings.policy, request) {
            Ok(names) => names,
            Err(no_way) if no_way.until.is_some() => return None,
            Err(no_way) => return Some(Why::NoWay(no_way.text)),
        };
        let purpose = if car.is_asleep() { Purpose::Wake } else { Purpose::Start };
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

impl Wish {
    /// Whether power is granted.
    #[must_use]
    pub fn is_granted(&self) -> bool {
        matches!(self, Wish::Granted(amps) if *amps > Amps::ZERO)
    }
}

/// Sentences about the last question, for the view.
pub(crate) fn last_words(car: &Car) -> Option<(String, Option<String>)> {
    let last = car.last.as_ref()?;
    let asked = format!("{} was asked {}", last.source, words::request(last.request));
    Some((asked, last.outcome.as_ref().map(words::outcome)))
}

/// Whether a car sleeps, for the view.
pub(crate) fn wakefulness(car: &Car) -> Option<Wakefulness> {
    match &car.state.wakefulness {
        _ if car.is_asleep() => Some(Wakefulness::Asleep),
        Some(seen) if seen.at.is_some() => Some(Wakefulness::Awake),
        _ => None,
    }
}
