//! All cars without a thread and without a clock: mail and the time go in, questions and statuses come out.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use evse::{ControllerEvent, EventLevel, EvseInstance, EvseListener, Target};
use garage::{CarView, Day, Garage, Kept, Notice, Output, Wish};
use vehicle::{Answer, Ask, CarKey, Outcome, Request, Spent, VehicleListener, VehicleSource, Whereabouts};

use crate::controller::{Instances, NAME};
use crate::handle::{Board, CarsHandle};
use crate::instance::{TeslaInstance, evse_id};
use crate::mailbox::{Mail, Mailbox, Word};
use crate::status::Memory;
use crate::{Keeper, TeslaCarsSettings};

/// While a car charges its estimate is told so often.
const CHARGING_TICK: Duration = Duration::from_secs(10);
/// And otherwise its status.
const IDLE_TICK: Duration = Duration::from_secs(60);

/// The garage, its sources and the cars as charging points, driven by the time that the caller gives. [`crate::TeslaCars`]
/// is the thread around it; simulations in virtual time drive it themselves.
///
/// | step | call |
/// |---|---|
/// | feed | sources tell the listener that they were given, the site tells the instances, front ends the [`CarsHandle`] |
/// | time | [`Fleet::turn`] after each of these, and at [`Fleet::next_timeout`] |
/// | drain | it asks its sources and tells its listener during the turn |
pub struct Fleet {
    rim: Rim,
    state: State,
}

/// What a panic leaves, and the ways out.
struct Rim {
    settings: TeslaCarsSettings,
    kept: Kept,
    keeper: Box<dyn Keeper>,
    sources: BTreeMap<Arc<str>, Arc<dyn VehicleSource>>,
    listener: Arc<dyn EvseListener>,
    mailbox: Arc<Mailbox>,
    board: Arc<Mutex<Board>>,
    instances: Arc<Instances>,
    /// What was last stored failed to be.
    is_unsafe: bool,
}

/// The part of the state that a panic ends.
struct State {
    garage: Garage,
    targets: BTreeMap<CarKey, Target>,
    memories: BTreeMap<CarKey, Memory>,
    /// Whether it was plugged in when it was last looked at.
    plugged: BTreeMap<CarKey, bool>,
    changed: BTreeSet<CarKey>,
    tick_at: Instant,
}

impl Fleet {
    /// Opens the sources. `kept` is what `keeper` was last given; `sources` makes the sources, each of which tells the given
    /// listener.
    pub fn new(
        now: Instant,
        settings: TeslaCarsSettings,
        kept: Kept,
        keeper: Box<dyn Keeper>,
        sources: impl FnOnce(Arc<dyn VehicleListener>) -> Vec<Arc<dyn VehicleSource>>,
        listener: Arc<dyn EvseListener>,
    ) -> Self {
        let mailbox = Arc::new(Mailbox::default());
        let sources = sources(Arc::clone(&mailbox) as Arc<dyn VehicleListener>);
        let sources = sources.into_iter().map(|source| (Arc::from(source.name()), source)).collect();
        let board = Arc::new(Mutex::new(Board { views: Arc::default(), budget: None }));
        let instances = Arc::new(Instances::default());
        let rim = Rim { settings, kept, keeper, sources, listener, mailbox, board, instances, is_unsafe: false };
        let state = rim.begin(now);
        Fleet { rim, state }
    }

    /// For front ends and the site.
    #[must_use]
    pub fn handle(&self) -> CarsHandle {
        CarsHandle { mailbox: Arc::clone(&self.rim.mailbox), board: Arc::clone(&self.rim.board) }
    }

    pub(crate) fn mailbox(&self) -> Arc<Mailbox> {
        Arc::clone(&self.rim.mailbox)
    }

    pub(crate) fn instances(&self) -> Arc<Instances> {
        Arc::clone(&self.rim.instances)
    }

    pub(crate) fn settings(&self) -> &TeslaCarsSettings {
        &self.rim.settings
    }

    /// Forgets all but what was kept, and what the site told that still holds.
    pub(crate) fn begin_anew(&mut self, now: Instant) {
        self.state = self.rim.begin(now);
        self.rim.mailbox.remind();
    }

    /// When the next turn is due at the latest.
    #[must_use]
    pub fn next_timeout(&self) -> Instant {
        let lease = self.state.targets.values().map(|target| target.expires_at).min();
        lease.into_iter().fold(self.state.garage.next_timeout().min(self.state.tick_at), Instant::min)
    }

    /// Takes up what was told since the last turn, and does what is due. `today` is the date where the house stands.
    pub fn turn(&mut self, now: Instant, today: Day) {
        let mail = self.rim.mailbox.take_waiting();
        self.take(mail, now, today);
    }

    pub(crate) fn take(&mut self, mail: Mail, now: Instant, today: Day) {
        let Fleet { rim, state } = self;
        state.garage.set_today(today);
        rim.feed(state, mail, now);
        rim.look_at_abilities(state, now);
        rim.let_leases_end(state, now);
        state.garage.handle_timeout(now);
        rim.drain(state, now);
        rim.publish(state, now);
    }
}

impl Rim {
    fn begin(&self, now: Instant) -> State {
        let names = self.sources.keys().cloned();
        State {
            garage: Garage::new(now, self.settings.garage.clone(), self.kept.clone(), names),
            targets: BTreeMap::new(),
            memories: BTreeMap::new(),
            plugged: BTreeMap::new(),
            changed: BTreeSet::new(),
            tick_at: now,
        }
    }

    fn feed(&mut self, state: &mut State, mail: Mail, now: Instant) {
        let garage = &mut state.garage;
        for word in mail.words {
            match word {
                Word::Report(report) => garage.handle_report(now, &report),
                Word::Answer(answer) => garage.handle_answer(now, &answer),
                Word::Trouble(source, trouble) => garage.handle_trouble(now, &source, trouble),
            }
        }
        if let Some(policy) = mail.policy {
            garage.set_policy(now, policy);
        }
        if let Some(home) = mail.home {
            garage.set_home(now, home);
        }
        if mail.unknown_plug_in {
            garage.handle_unknown_plug_in(now);
        }
        // After that, since it may tell who it was.
        for (car, view) in mail.connectors {
            garage.handle_connector(now, &car, view);
        }
        for (car, not_permitted) in mail.permissions {
            garage.handle_permission(now, &car, not_permitted);
        }
        if let Some(limit) = mail.limit {
            garage.set_limit_wish(now, limit);
        }
        if mail.resume {
            garage.resume_billed_calls(now);
        }
        if mail.re_arm {
            garage.re_arm(now);
        }
        for (car, target) in mail.targets {
            let amps = self.amps(&car, &target);
            garage.handle_wish(now, &car, Wish::Granted(amps));
            state.targets.insert(car, target);
        }
        for (car, is_start) in mail.orders {
            if is_start { garage.handle_start(now, &car) } else { garage.handle_stop(now, &car) }
        }
        for command in mail.commands {
            let result = garage.handle_command(now, &command.car, command.request);
            match command.reply {
                // Who asked may have given up waiting.
                Some(reply) => drop(reply.send(result)),
                None => {
                    if let Err(text) = result {
                        log::warn!("{}: {text}", command.car);
                    }
                }
            }
        }
    }

    fn amps(&self, car: &CarKey, target: &Target) -> units::Amps {
        let instances = self.instances.lock().unwrap_or_else(PoisonError::into_inner);
        let limits = instances.get(car).map(|instance| instance.status().limits);
        // Without an instance there is nothing to bound it by; the car does that itself.
        limits.map_or_else(|| target.power.amps_floor(target.volts, target.phases), |limits| target.amps(&limits))
    }

    fn look_at_abilities(&self, state: &mut State, now: Instant) {
        let keys: Vec<CarKey> = state.garage.keys().cloned().collect();
        for key in keys {
            for (name, source) in &self.sources {
                let abilities = source.abilities(&state.garage.known_as(&key, name));
                state.garage.handle_abilities(now, &key, name, abilities);
            }
        }
    }

    /// Who watches the fuse is gone: the cars are held down.
    fn let_leases_end(&self, state: &mut State, now: Instant) {
        let over: Vec<CarKey> =
            state.targets.iter().filter(|(_, target)| now >= target.expires_at).map(|(car, _)| car.clone()).collect();
        for car in over {
            state.targets.remove(&car);
            log::warn!("{car}: its grant of power was not renewed; it is held to {} at most", self.settings.min_amps);
            state.garage.handle_wish(now, &car, Wish::AtMost(self.settings.min_amps));
        }
    }

    fn drain(&mut self, state: &mut State, now: Instant) {
        while let Some(output) = state.garage.poll_output() {
            match output {
                Output::Keep(kept) => self.keep(*kept, now),
                Output::Ask { source, ask } => self.ask(&source, ask),
                Output::Changed(car) => drop(state.changed.insert(car)),
                Output::Gone(car) => {
                    self.forget(&car);
                    state.targets.remove(&car);
                    state.memories.remove(&car);
                    state.plugged.remove(&car);
                }
                Output::Notice(notice) => self.tell(notice),
            }
        }
    }

    fn keep(&mut self, kept: Kept, _now: Instant) {
        let result = self.keeper.keep(&kept);
        self.kept = kept;
        let was_unsafe = std::mem::replace(&mut self.is_unsafe, result.is_err());
        match result {
            Err(error) if !was_unsafe => self.tell(Notice {
                car: None,
                level: EventLevel::Warning,
                code: "cars_not_kept",
                text: format!(
                    "What is kept about cars could not be stored: {error}. Charge limits are left alone until it can; look at \
                     the disk and its permissions."
                ),
                cleared: false,
            }),
            Ok(()) if was_unsafe => self.tell(Notice {
                car: None,
                level: EventLevel::Info,
                code: "cars_not_kept",
                text: "What is kept about cars is stored again.".to_owned(),
                cleared: true,
            }),
            _ => {}
        }
    }

    fn ask(&self, name: &Arc<str>, ask: Ask) {
        let refuse = |text: &str| {
            let outcome = Outcome::Later { after: None, text: text.to_owned() };
            let (id, source, car) = (ask.id, Arc::clone(name), ask.car.clone());
            self.mailbox.answered(Answer { id, source, car, outcome, spent: Spent::NOTHING });
        };
        if self.is_unsafe && matches!(ask.request, Request::SetLimit(_)) {
            return refuse("the limit to be put back later could not be stored");
        }
        match self.sources.get(name) {
            Some(source) => {
                match ask.request {
                    Request::List => log::debug!("{name} is asked which cars there are"),
                    request => log::debug!("{}: {name} is asked {}", ask.car, garage::request_words(request)),
                }
                source.ask(ask);
            }
            None => refuse("there is no such source"),
        }
    }

    fn tell(&self, notice: Notice) {
        self.listener.event(ControllerEvent {
            controller: NAME.to_owned(),
            evse: notice.car.as_ref().map(evse_id),
            level: notice.level,
            code: notice.code,
            text: match &notice.car {
                Some(car) => format!("{car}: {}", notice.text),
                None => notice.text,
            },
            cleared: notice.cleared,
        });
    }

    fn publish(&self, state: &mut State, now: Instant) {
        let is_tick = now >= state.tick_at;
        let changed = std::mem::take(&mut state.changed);
        if !is_tick && changed.is_empty() {
            return;
        }
        let views = state.garage.views(now);
        let is_charging = views.iter().any(|view| view.place.0 == Whereabouts::Home && view.flows == Some(true));
        if is_tick {
            state.tick_at = now + if is_charging { CHARGING_TICK } else { IDLE_TICK };
        } else if is_charging {
            state.tick_at = state.tick_at.min(now + CHARGING_TICK);
        }
        let board = Board { views: Arc::new(views.clone()), budget: Some(Arc::new(state.garage.budget())) };
        *self.board.lock().unwrap_or_else(PoisonError::into_inner) = board;
        for view in &views {
            if is_tick || changed.contains(&view.key) {
                self.publish_car(state, view, now, is_tick);
            }
        }
    }

    fn publish_car(&self, state: &mut State, view: &CarView, now: Instant, is_tick: bool) {
        let memory = state.memories.entry(view.key.clone()).or_insert_with(|| Memory::new(now));
        memory.update(view);
        if let Some(plugged) = view.plugged
            && state.plugged.insert(view.key.clone(), plugged).is_some_and(|before| before != plugged)
        {
            // What was granted before the cable went in or out was about something else; who steers it says so anew.
            state.targets.remove(&view.key);
            state.garage.handle_wish(now, &view.key, Wish::None);
        }
        // A guest whose VIN a connector told is at that connector, and nobody else sees him.
        let is_seen = view.heard_at.is_some() || view.can_command;
        if view.place.0 != Whereabouts::Home || !is_seen {
            if self.forget(&view.key) {
                // What was granted at home is over.
                state.targets.remove(&view.key);
                state.garage.handle_wish(now, &view.key, Wish::None);
            }
            return;
        }
        let id = evse_id(&view.key);
        let status = memory.status(now, &id, NAME, view, &self.settings);
        let mut instances = self.instances.lock().unwrap_or_else(PoisonError::into_inner);
        let (instance, is_new) = match instances.get(&view.key) {
            Some(instance) => (Arc::clone(instance), instance.publish(status)),
            None => {
                let instance = TeslaInstance::new(id, view.key.clone(), status, Arc::clone(&self.mailbox));
                let instance = Arc::new(instance);
                instances.insert(view.key.clone(), Arc::clone(&instance));
                (instance, true)
            }
        };
        drop(instances);
        if is_new || is_tick {
            self.listener.changed(&(instance as Arc<dyn EvseInstance>));
        }
    }

    /// Returns whether it was there.
    fn forget(&self, car: &CarKey) -> bool {
        let gone = self.instances.lock().unwrap_or_else(PoisonError::into_inner).remove(car);
        if let Some(gone) = &gone {
            self.listener.gone(gone.id());
        }
        gone.is_some()
    }
}
