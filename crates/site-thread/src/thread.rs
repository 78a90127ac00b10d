//! The loop.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use evse::{AtConnector, EvseId, EvseInstance, MergeNews, Merger, Plug, Vin};
use jiff::Zoned;
use serde_json::{Map, Value};
use site::{
    CarsFacts, Command, Event, Now, Output, Refusal, RefusalKind, SessionEvent, SetupError, Site, SitePort, SiteSetup,
    Snapshot, Webhook,
};
use units::{Amps, PerPhase, Percent};

use crate::mailbox::{Letters, Mailbox};
use crate::published::{Edition, Published};

/// Heartbeats change something about three times a second; people and programs are served this often.
const PUBLISH_EVERY: Duration = Duration::from_secs(1);
/// When nothing changes people are served this often all the same, so that they see that the numbers are alive.
const PUBLISH_AT_LEAST: Duration = Duration::from_secs(5);
/// After a command the answer should be seen at once, and is; a burst of commands is gathered this long.
const PUBLISH_AFTER_COMMAND: Duration = Duration::from_millis(50);
/// Longest wait of a front end for its command to be taken.
const COMMAND_PATIENCE: Duration = Duration::from_secs(2);
/// Pause before the site is built anew after it failed inside.
const AFTER_PANIC: Duration = Duration::from_secs(1);

/// What the site wants done beside targets. Called on the site's thread: must return at once.
pub trait Outlets: Send {
    /// What all controllers on the site's circuit may offer together.
    fn circuit_limit(&mut self, limit: PerPhase<Amps>);
    /// The settings changed; write them down.
    fn settings(&mut self, settings: &Map<String, Value>);
    /// Call a webhook.
    fn webhook(&mut self, webhook: Webhook);
    /// The charge limit that cars at home should have.
    fn vehicle_limit(&mut self, limit: Option<Percent>);
    /// Another policy took over: what cars refused before may be tried anew.
    fn policy_changed(&mut self, name: &str) {
        let _ = name;
    }
    /// Whether a car may charge here; a sentence when it may not. Told when it changes.
    fn car_permission(&mut self, vin: &Vin, refusal: Option<&str>) {
        let _ = (vin, refusal);
    }
    /// What a charging point of ours sees of a car that is at it; `None` when the car is at none of ours any more. Told when
    /// it changes.
    fn car_at_connector(&mut self, vin: &Vin, at: Option<&AtConnector>) {
        let _ = (vin, at);
    }
    /// A car was plugged in at a charging point of ours that does not tell which one. It may tell so a little later, or it
    /// may be found out; then [`Outlets::car_at_connector`] follows.
    fn unknown_plug_in(&mut self, connector: &EvseId) {
        let _ = connector;
    }
    /// Something worth writing down, at seconds since 1970.
    fn event(&mut self, at: f64, event: Event);
}

/// The site's thread. Ends when its [`Mailbox`] is told to.
pub struct SiteThread {
    thread: Option<JoinHandle<()>>,
    handle: SiteHandle,
}

/// What front ends hold: cheap to clone, usable from any thread.
#[derive(Clone)]
pub struct SiteHandle {
    mailbox: Arc<Mailbox>,
    published: Arc<Published>,
}

impl SiteThread {
    /// Builds the site and starts its thread.
    ///
    /// # Errors
    /// What in the configuration the site cannot work with.
    pub fn start(
        setup: SiteSetup,
        settings: Map<String, Value>,
        sessions: Vec<SessionEvent>,
        mailbox: Arc<Mailbox>,
        outlets: Box<dyn Outlets>,
    ) -> Result<SiteThread, Vec<SetupError>> {
        let now = now();
        let mut site = Site::new(setup.clone(), settings, &now)?;
        for session in sessions {
            site.resume_session(session);
        }
        let finding = setup.finding_connectors;
        let until = (!finding.is_zero()).then(|| now.mono + finding);
        let merger = Merger::new(site.merge_settings()).finding_until(until);
        let published = Arc::new(Published::new(edition(&site, &now, 1)));
        let worker = Worker {
            setup,
            site,
            merger,
            plugs: BTreeMap::new(),
            cars: None,
            outlets,
            mailbox: Arc::clone(&mailbox),
            published: Arc::clone(&published),
            sequence: 1,
            publish_at: None,
        };
        let thread = std::thread::Builder::new().name("site".to_owned()).spawn(move || worker.run());
        let thread = match thread {
            Ok(thread) => Some(thread),
            Err(error) => {
                log::error!("the site's thread cannot be started: {error}; close other programs and start again");
                None
            }
        };
        Ok(SiteThread { thread, handle: SiteHandle { mailbox, published } })
    }

    /// What front ends hold.
    #[must_use]
    pub fn handle(&self) -> SiteHandle {
        self.handle.clone()
    }

    /// Ends the thread and waits for it.
    pub fn shutdown(&mut self) {
        self.handle.mailbox.end();
        self.handle.published.end();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            log::error!("the site's thread failed while it ended");
        }
    }
}

impl Drop for SiteThread {
    fn drop(&mut self) {
        self.shutdown();
    }
}

impl SitePort for SiteHandle {
    fn snapshot(&self) -> Arc<Snapshot> {
        self.published.edition().snapshot
    }

    fn newer_than(&self, sequence: u64, wait: Duration) -> Option<Arc<Snapshot>> {
        self.published.newer_than(sequence, wait)
    }

    fn command(&self, command: Command) -> Result<(), Refusal> {
        let answer = self.mailbox.command(command)?;
        answer.recv_timeout(COMMAND_PATIENCE).unwrap_or_else(|_| {
            let text = "the site did not answer in time; look at the log and try again".to_owned();
            Err(Refusal { kind: RefusalKind::Busy, text })
        })
    }

    fn settings(&self) -> Arc<Value> {
        self.published.edition().settings
    }

    fn policies(&self) -> Arc<Value> {
        self.published.edition().policies
    }

    fn explain(&self, at: Option<Zoned>) -> Option<Value> {
        self.mailbox.explain(at)?.recv_timeout(COMMAND_PATIENCE).ok()
    }
}

struct Worker {
    setup: SiteSetup,
    site: Site,
    /// Every car once, whoever sees it; the site knows its wholes only.
    merger: Merger,
    /// What each local charging point last told of its cable.
    plugs: BTreeMap<EvseId, Plug>,
    /// What was last told of all cars.
    cars: Option<CarsFacts>,
    outlets: Box<dyn Outlets>,
    mailbox: Arc<Mailbox>,
    published: Arc<Published>,
    sequence: u64,
    publish_at: Option<Instant>,
}

impl Worker {
    fn run(mut self) {
        loop {
            match catch_unwind(AssertUnwindSafe(|| self.serve())) {
                Ok(()) => return,
                // What it cannot take when it is built anew it may take one by one.
                Err(_) => drop(catch_unwind(AssertUnwindSafe(|| self.rebuild()))),
            }
        }
    }

    fn serve(&mut self) {
        loop {
            let deadline =
                [self.site.next_timeout(), self.merger.next_timeout(), self.publish_at].into_iter().flatten().min();
            let letters = self.mailbox.take(deadline);
            let now = now();
            if letters.is_ending {
                self.drain(&now);
                self.outlets.settings(self.site.settings());
                return;
            }
            self.feed(&now, letters);
            if self.merger.next_timeout().is_some_and(|at| at <= now.mono) {
                self.merger.handle_timeout(now.mono);
                self.merge(&now);
            }
            if self.site.next_timeout().is_some_and(|at| at <= now.mono) {
                self.site.handle_timeout(&now);
            }
            self.drain(&now);
            if self.publish_at.is_some_and(|at| at <= now.mono) {
                self.publish(&now);
            }
        }
    }

    fn feed(&mut self, now: &Now, letters: Letters) {
        let mut publish_in = PUBLISH_EVERY;
        let mut has_news = false;
        if letters.dropped_events > 0 {
            log::warn!("{} events of controllers came too fast and were dropped", letters.dropped_events);
        }
        // A panic further down must not lose it.
        let has_cars = letters.cars.is_some();
        self.cars = letters.cars.or(self.cars.take());
        // Commands last: they are judged against the newest state.
        for id in letters.gone {
            has_news = true;
            self.plugs.remove(&id);
            self.merger.handle_gone(&id);
        }
        let mut unknown = Vec::new();
        for (_, instance) in letters.changed {
            has_news = true;
            unknown.extend(self.note_plug(&*instance));
            self.merger.handle_changed(now.mono, instance);
        }
        // Told first: whose car it is may be known already.
        unknown.iter().for_each(|connector| self.outlets.unknown_plug_in(connector));
        self.merge(now);
        if let Some(cars) = self.cars.clone().filter(|_| has_cars) {
            has_news = true;
            self.site.handle_cars(now, cars);
        }
        for event in letters.events {
            has_news = true;
            self.site.handle_event(now, event);
        }
        if let Some(result) = letters.settings_saved {
            has_news = true;
            self.site.handle_settings_saved(now, result);
        }
        for (source, error) in letters.troubles {
            has_news = true;
            self.site.handle_source_error(now, &source, &error);
        }
        for (source, reading) in letters.readings {
            has_news = true;
            self.site.handle_reading(now, &source, Arc::new(reading));
        }
        let mut answers = Vec::new();
        for (command, answer) in letters.commands {
            has_news = true;
            publish_in = PUBLISH_AFTER_COMMAND;
            let result = self.site.handle_command(now, command);
            // What follows from the command leaves before the next one is looked at.
            self.drain(now);
            answers.push((answer, result));
        }
        if !answers.is_empty() {
            // Who has the answer and then looks must see what came of it: front ends read settings, change them and write them back.
            self.publish(now);
        }
        for (at, answer) in letters.questions {
            let at = Now { mono: now.mono, wall: at.unwrap_or_else(|| now.wall.clone()) };
            // Who asked may have given up.
            let _ = answer.send(self.site.explain_policies(&at));
        }
        for (answer, result) in answers {
            // Who asked may have gone; then nobody misses the answer.
            let _ = answer.send(result);
        }
        if has_news {
            let at = now.mono + publish_in;
            self.publish_at = Some(self.publish_at.map_or(at, |earlier| earlier.min(at)));
        }
    }

    /// The charging point, when a car that it does not tell was just plugged in there.
    fn note_plug(&mut self, instance: &dyn EvseInstance) -> Option<EvseId> {
        if !instance.is_local() {
            return None;
        }
        let status = instance.status();
        let before = self.plugs.insert(status.id.clone(), status.plug);
        let is_new = before == Some(Plug::Unplugged) && status.plug == Plug::PluggedIn;
        (is_new && status.vin.is_none()).then(|| status.id.clone())
    }

    /// Passes on to the site what came of merging.
    fn merge(&mut self, now: &Now) {
        while let Some(news) = self.merger.poll_news(now.mono) {
            match news {
                MergeNews::Changed { instance, views } => {
                    self.site.handle_whole(now, instance.status(), views);
                }
                MergeNews::Gone(id) => self.site.handle_evse_gone(now, &id),
                MergeNews::Event(event) => self.site.handle_event(now, event),
                MergeNews::AtConnector { vin, at } => self.outlets.car_at_connector(&vin, at.as_ref()),
            }
        }
    }

    fn drain(&mut self, now: &Now) {
        while let Some(output) = self.site.poll_output() {
            match output {
                Output::Target { id, target } => self.tell(&id, |instance| instance.set_target(target)),
                Output::Start(id) => self.tell(&id, |instance| instance.start()),
                Output::Stop(id) => self.tell(&id, |instance| instance.stop()),
                Output::StartOnRequest(id) => self.tell(&id, |instance| instance.start_on_request()),
                Output::StopOnRequest(id) => self.tell(&id, |instance| instance.stop_on_request()),
                Output::CircuitLimit(limit) => self.outlets.circuit_limit(limit),
                Output::SaveSettings => {
                    self.outlets.settings(self.site.settings());
                    // Pins, phases and who steers take effect at once.
                    self.merger.handle_settings(self.site.merge_settings());
                    self.merge(now);
                }
                Output::Webhook(webhook) => {
                    // What it tells is the state after the change, so that is published first.
                    self.publish(now);
                    self.outlets.webhook(webhook);
                }
                Output::CarPermission { vin, refusal } => self.outlets.car_permission(&vin, refusal.as_deref()),
                Output::VehicleLimit(limit) => self.outlets.vehicle_limit(limit),
                Output::Event(event) => {
                    if let Event::Policy { to, .. } = &event {
                        self.outlets.policy_changed(to);
                    }
                    self.outlets.event(epoch_seconds(&now.wall), event);
                }
            }
        }
    }

    fn tell(&self, id: &EvseId, ask: impl Fn(&dyn EvseInstance) -> Result<(), evse::EvseError>) {
        if let Some(instance) = self.merger.instance(id)
            && let Err(error) = ask(&**instance)
        {
            log::debug!("{error}");
        }
    }

    fn publish(&mut self, now: &Now) {
        self.publish_at = Some(now.mono + PUBLISH_AT_LEAST);
        // A heartbeat without news sends no letter; its time is news to whoever looks at the age.
        self.merger.handle_timeout(now.mono);
        self.merge(now);
        self.drain(now);
        self.sequence += 1;
        self.published.publish(edition(&self.site, now, self.sequence));
    }

    /// After a panic: a fresh site, the same settings, sessions, charging points and cars.
    fn rebuild(&mut self) {
        log::error!("the site failed inside and starts anew; please report it with the log");
        std::thread::sleep(AFTER_PANIC);
        let now = now();
        match Site::new(self.setup.clone(), self.site.settings().clone(), &now) {
            Ok(site) => {
                let sessions = self.site.open_sessions(&now);
                self.site = site;
                sessions.into_iter().for_each(|session| self.site.resume_session(session));
            }
            // It worked with the same setup at start; the old one is the best there is.
            Err(errors) => log::error!("the site cannot start anew: {errors:?}"),
        }
        if let Some(cars) = self.cars.clone() {
            self.site.handle_cars(&now, cars);
        }
        for (instance, views) in self.merger.instances() {
            self.site.handle_whole(&now, instance.status(), views.to_vec());
        }
        self.publish_at = Some(now.mono);
    }
}

fn edition(site: &Site, now: &Now, sequence: u64) -> Edition {
    let snapshot = Snapshot { sequence, ..site.snapshot(now) };
    Edition {
        snapshot: Arc::new(snapshot),
        settings: Arc::new(Value::Object(site.settings().clone())),
        policies: Arc::new(site.policies()),
    }
}

fn now() -> Now {
    Now { mono: Instant::now(), wall: Zoned::now() }
}

fn epoch_seconds(wall: &Zoned) -> f64 {
    wall.timestamp().as_duration().as_secs_f64()
}
