//! The thread: waits for mail or a deadline, feeds the garage, asks sources and publishes.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use evse::{ControllerEvent, EventLevel, EvseInstance, EvseListener, Target};
use garage::{CarView, Garage, Kept, Notice, Output, Wish};
use vehicle::{Answer, Ask, CarKey, Outcome, Request, Spent, VehicleListener, VehicleSource, Whereabouts};

use crate::controller::{Instances, NAME};
use crate::handle::Board;
use crate::instance::{TeslaInstance, evse_id};
use crate::mailbox::{Mail, Mailbox, Word};
use crate::status::Memory;
use crate::{Keeper, TeslaCarsSettings};

/// While a car charges its estimate is told so often.
const CHARGING_TICK: Duration = Duration::from_secs(10);
/// And otherwise its status.
const IDLE_TICK: Duration = Duration::from_secs(60);
/// Pauses after a panic, the last for ever after.
const RESTARTS: [u64; 4] = [1, 5, 30, 300];

pub(crate) struct Runner {
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
struct Loop {
    garage: Garage,
    targets: BTreeMap<CarKey, Target>,
    memories: BTreeMap<CarKey, Memory>,
    changed: BTreeSet<CarKey>,
    tick_at: Instant,
}

impl Runner {
    #[expect(clippy::too_many_arguments, reason = "each is handed over once, by the one caller")]
    pub(crate) fn new(
        settings: TeslaCarsSettings,
        kept: Kept,
        keeper: Box<dyn Keeper>,
        sources: Vec<Arc<dyn VehicleSource>>,
        listener: Arc<dyn EvseListener>,
        mailbox: Arc<Mailbox>,
        board: Arc<Mutex<Board>>,
        instances: Arc<Instances>,
    ) -> Self {
        let sources = sources.into_iter().map(|source| (Arc::from(source.name()), source)).collect();
        Runner { settings, kept, keeper, sources, listener, mailbox, board, instances, is_unsafe: false }
    }

    /// Runs until it shall stop; a panic is logged and the loop started anew with what was kept.
    pub(crate) fn supervise(mut self) {
        let mut failures = 0;
        while catch_unwind(AssertUnwindSafe(|| self.run())).is_err() {
            let wait = RESTARTS.get(failures).or(RESTARTS.last()).copied().unwrap_or(300);
            failures += 1;
            log::error!(
                "{NAME}: the thread failed (see the panic above) and starts anew in {wait} s; please report this"
            );
            let until = Instant::now() + Duration::from_secs(wait);
            while !self.mailbox.must_stop() && Instant::now() < until {
                // What arrives meanwhile is about a state that is gone.
                drop(self.mailbox.take(until));
            }
        }
        self.mailbox.end();
    }

    fn run(&mut self) {
        let now = Instant::now();
        let names = self.sources.keys().cloned();
        let mut state = Loop {
            garage: Garage::new(now, self.settings.garage.clone(), self.kept.clone(), names),
            targets: BTreeMap::new(),
            memories: BTreeMap::new(),
            changed: BTreeSet::new(),
            tick_at: now,
        };
        state.garage.set_today((self.settings.today)());
        loop {
            let lease = state.targets.values().map(|target| target.expires_at).min();
            let deadline = lease.into_iter().fold(state.garage.next_timeout().min(state.tick_at), Instant::min);
            let mail = self.mailbox.take(deadline);
            if mail.stop {
                return;
            }
            let now = Instant::now();
            state.garage.set_today((self.settings.today)());
            self.feed(&mut state, mail, now);
            self.look_at_abilities(&mut state, now);
            self.let_leases_end(&mut state, now);
            state.garage.handle_timeout(now);
            self.drain(&mut state, now);
            self.publish(&mut state, now);
        }
    }

    fn feed(&mut self, state: &mut Loop, mail: Mail, now: Instant) {
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

    fn look_at_abilities(&self, state: &mut Loop, now: Instant) {
        let keys: Vec<CarKey> = state.garage.keys().cloned().collect();
        for key in keys {
            for (name, source) in &self.sources {
                let abilities = source.abilities(&state.garage.known_as(&key, name));
                state.garage.handle_abilities(now, &key, name, abilities);
            }
        }
    }

    /// Who watches the fuse is gone: the cars are held down.
    fn let_leases_end(&self, state: &mut Loop, now: Instant) {
        let over: Vec<CarKey> =
            state.targets.iter().filter(|(_, target)| now >= target.expires_at).map(|(car, _)| car.clone()).collect();
        for car in over {
            state.targets.remove(&car);
            log::warn!("{car}: its grant of power was not renewed; it is held to {} at most", self.settings.min_amps);
            state.garage.handle_wish(now, &car, Wish::AtMost(self.settings.min_amps));
        }
    }

    fn drain(&mut self, state: &mut Loop, now: Instant) {
        while let Some(output) = state.garage.poll_output() {
            match output {
                Output::Keep(kept) => self.keep(*kept, now),
                Output::Ask { source, ask } => self.ask(&source, ask),
                Output::Changed(car) => drop(state.changed.insert(car)),
                Output::Gone(car) => {
                    self.forget(&car);
                    state.targets.remove(&car);
                    state.memories.remove(&car);
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
                log::debug!("{name} is asked: {:?} for {}", ask.request, ask.car);
                source.ask(ask);
            }
            None => refuse("there is no such source"),
        }
    }

    fn tell(&self, notice: Notice) {
        let about = notice.car.as_ref().map(|car| format!("{car}: ")).unwrap_or_default();
        match notice.level {
            EventLevel::Info => log::info!("{about}{}", notice.text),
            EventLevel::Warning | EventLevel::Alarm => log::warn!("{about}{}", notice.text),
        }
        self.listener.event(ControllerEvent {
            controller: NAME.to_owned(),
            evse: notice.car.as_ref().map(evse_id),
            level: notice.level,
            code: notice.code,
            text: notice.text,
            cleared: notice.cleared,
        });
    }

    fn publish(&self, state: &mut Loop, now: Instant) {
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

    fn publish_car(&self, state: &mut Loop, view: &CarView, now: Instant, is_tick: bool) {
        let memory = state.memories.entry(view.key.clone()).or_insert_with(|| Memory::new(now));
        memory.update(view);
        if view.place.0 != Whereabouts::Home {
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
