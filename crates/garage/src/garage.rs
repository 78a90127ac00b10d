//! All cars together: what comes in, what goes out, and who is asked.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use evse::EventLevel;
use units::{Amps, Percent};
use vehicle::{Abilities, Answer, CarKey, Home, Outcome, Report, Request, Trouble, Wakefulness};

use crate::ask::ANSWER_PATIENCE;
use crate::budget::Budget;
use crate::car::{Car, ConnectorView};
use crate::decide::World;
use crate::order::{Order, OrderWorld, WANTED};
use crate::route::{self, SourceState};
use crate::words::{self, Why};
use crate::{BudgetView, CommandPolicy, Day, GarageSettings, HomeSetting, Kept, Notice, Output, Purpose, Wish};

/// At least so often everything is looked through, whatever the timers say.
const LOOK_THROUGH: Duration = Duration::from_secs(60);

/// What sources call the trouble that their maker wants money.
const PAYMENT: &str = "payment";

/// The brain for all cars. See the crate's front page for the order of calls.
#[derive(Debug)]
pub struct Garage {
    pub(crate) settings: GarageSettings,
    pub(crate) budget: Budget,
    pub(crate) kept: Kept,
    pub(crate) home: Option<Home>,
    pub(crate) cars: BTreeMap<CarKey, Car>,
    pub(crate) sources: BTreeMap<Arc<str>, SourceState>,
    pub(crate) lists: BTreeMap<u64, (Arc<str>, Instant)>,
    pub(crate) limit_wish: Option<Percent>,
    pub(crate) outputs: VecDeque<Output>,
    pub(crate) changed: BTreeSet<CarKey>,
    pub(crate) said: BTreeSet<(&'static str, String)>,
    pub(crate) last_id: u64,
    pub(crate) settled_at: Instant,
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
            settled_at: now + settings.settle_time,
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
        let was_due = self.budget.ledger().is_payment_due;
        self.budget.set_today(today);
        if was_due && !self.budget.ledger().is_payment_due {
            self.forget_payment();
        }
    }

    /// Sources only notice that calls are paid for again when they are asked.
    fn forget_payment(&mut self) {
        for source in self.sources.values_mut() {
            source.trouble = source.trouble.take().filter(|(trouble, _)| trouble.code != PAYMENT);
        }
    }

    /// What is known of a car by one source.
    pub fn handle_report(&mut self, now: Instant, report: &Report) {
        let Some(key) = self.place_of(report) else { return };
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
                if trouble.code == PAYMENT {
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
                    if trouble.code == PAYMENT {
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
            car.person = car.person.take().filter(|order| order.request != Request::Stop);
            car.start.re_arm();
        });
    }

    /// The site wants a car to stop, and stay so until it is started, plugged in anew or the policy changes.
    pub fn handle_stop(&mut self, now: Instant, key: &CarKey) {
        self.with(now, key, |car| {
            car.is_held = true;
            car.person = car.person.take().filter(|order| order.request != Request::Start);
            car.stop.re_arm();
        });
    }

    /// Whether a car may charge here; a reason when it may not.
    pub fn handle_permission(&mut self, now: Instant, key: &CarKey, not_permitted: Option<String>) {
        self.with(now, key, |car| {
            if car.not_permitted.is_some() != not_permitted.is_some() {
                car.was_sent_off = false;
                car.stop.forgive();
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
        let was_here = self.cars.get(key).is_some_and(Car::is_at_connector);
        if !was_here && view.is_some_and(|view| view.plugged) {
            self.end_guessing();
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

    /// A person asks for something. It goes before everything else, and past what was given up. What cannot be asked just
    /// now stays wanted for a quarter of an hour, unless something else is asked for.
    ///
    /// # Errors
    /// A sentence, when there is no such car or no source can do it within that time.
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
        let is_idle = request == Request::Stop && (car.is_asleep() || car.flows() == Some(false));
        if !is_idle {
            let next = car.next_for(request);
            if !route::could(&car.ways, &self.sources, policy, next) {
                return Err("it sleeps, and no source can wake it; wake it in its app or at its door".to_owned());
            }
            if let Err(no_way) = route::choose(now, &car.ways, &self.sources, policy, next)
                && no_way.until.is_some_and(|until| until > now + WANTED)
            {
                return Err(Why::NoWay(no_way.text).to_string());
            }
            if let Some(why) = self.cars.get(key).and_then(|car| self.refusal(now, car, next, Purpose::Person)) {
                return Err(why.to_string());
            }
        }
        let Some(car) = self.cars.get_mut(key) else { return Err(format!("there is no car \"{key}\"")) };
        car.re_arm();
        car.is_held = request == Request::Stop;
        car.person = (!is_idle).then(|| Order::new(now, request));
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
        self.forget_payment();
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

    pub(crate) fn take_answer(&mut self, now: Instant, key: &CarKey, answer: &Answer) {
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

    /// Looks through everything, and asks what is due.
    pub(crate) fn step(&mut self, now: Instant) {
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

    fn step_car(&mut self, now: Instant, key: &CarKey) {
        let Some(car) = self.cars.get_mut(key) else { return };
        let (place, flows) = (car.place.0, car.flows());
        car.settle(now, &self.sources, self.home.as_ref());
        let moved = car.place.0 != place || car.flows() != flows;
        let policy = self.settings.policy;
        let could = |car: &Car, request| route::could(&car.ways, &self.sources, policy, request);
        let dropped = car.review_order(&OrderWorld { now, could: &could });
        let gives_up_start = car.wish.is_granted() && car.start.gives_up(now);
        let gives_up_stop = car.stop.gives_up(now);
        let world = World {
            now,
            settings: &self.settings,
            settled_at: self.settled_at,
            sources: &self.sources,
            limit_wish: self.limit_wish,
            remembered: self.kept.limits.get(key.as_str()),
        };
        let mut agenda = car.agenda(&world);
        if moved {
            self.changed.insert(key.clone());
        }
        if let Some(request) = dropped {
            let text = format!("What you asked of it, {}, could not be done; ask again.", words::request(request));
            self.notice(Some(key.clone()), EventLevel::Warning, "order_dropped", text, false);
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
