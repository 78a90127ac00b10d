//! The state machine: what goes in, what comes out, and in which order.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use allocator::{CircuitKey, Circuits, Rotation};
use config::Settings;
use ems::{EmsError, EmsReading};
use evse::{ControllerEvent, EvseId, EvseStatus, MatchedBy, MergeSettings, View, Vin};
use jiff::civil::Date;
use policy::{Engine, Judgement, Now, PolicyList};
use serde_json::{Map, Value};
use units::{Amps, PerPhase, Percent};

use crate::alerts::{Alerts, Condition};
use crate::combine::Combined;
use crate::draw::{Draw, History};
use crate::green::{Damper, Gate};
use crate::point::Point;
use crate::session::{self, Session, Turn};
use crate::sources::{HoldBack, Sources};
use crate::surplus::{Meters, NoSurplus};
use crate::{Event, FlowEvent, Output, SessionEvent, SiteSetup, Webhook, prefs};

/// So long the cars' draw is remembered: longer than any sample that is still used is old.
const HISTORY: Duration = Duration::from_secs(300);
/// And never longer than this, however old a reading may become.
const LONGEST_HISTORY: Duration = Duration::from_secs(4 * 3600);

/// The site.
///
/// | family | methods |
/// |---|---|
/// | feed | the `handle_…` methods, in the order in which things happened |
/// | time | [`Site::next_timeout`], [`Site::handle_timeout`] |
/// | drain | [`Site::poll_output`] until `None`, after every feed |
/// | look | [`Site::snapshot`], [`Site::settings`], [`Site::policies`], [`Site::explain_policies`] |
///
/// Feeding only notes what happened; the decision is made when the outputs are drained, with the time of the last feed. So
/// a burst of news costs one decision, and everything that follows from a command comes out of the drain after it.
#[derive(Debug)]
pub struct Site {
    pub(crate) setup: SiteSetup,
    pub(crate) settings: Settings,
    pub(crate) outputs: VecDeque<Output>,
    pub(crate) started: Now,
    pub(crate) sequence: u64,
    /// Something happened at this time that no decision has seen yet.
    pub(crate) news: Option<Now>,

    pub(crate) sources: Sources,
    pub(crate) points: BTreeMap<EvseId, Point>,
    pub(crate) resumed: BTreeMap<EvseId, Session>,
    /// When those that are gone were started.
    pub(crate) gates: BTreeMap<EvseId, Gate>,
    pub(crate) history: History,
    pub(crate) meters: Meters,
    pub(crate) cars: Option<crate::CarsFacts>,
    /// What was told of each car: why it may not charge, or that it may.
    pub(crate) refused: BTreeMap<Vin, Option<String>>,
    pub(crate) picture: Combined,

    pub(crate) engine: Engine,
    /// Policies are judged at the next decision, whatever the time.
    pub(crate) judge_now: bool,
    pub(crate) judge_at: Option<Instant>,
    pub(crate) judged: Option<Judgement>,
    pub(crate) judged_since: Option<f64>,
    /// As it was last told, if it was.
    pub(crate) vehicle_limit: Option<Option<Percent>>,
    pub(crate) sun_of: Option<(Date, Option<(f64, f64)>)>,

    pub(crate) damper: Damper,
    pub(crate) rotation: Rotation,
    pub(crate) circuits: Circuits,
    pub(crate) keys: Option<CircuitChain>,
    pub(crate) circuit_limit: Option<PerPhase<Amps>>,
    pub(crate) wake: Option<Instant>,
    /// The next moment at which time alone changes what the surplus allows.
    pub(crate) green_wake: Option<Instant>,

    pub(crate) alerts: Alerts,
    pub(crate) remarks: Vec<Condition>,
    pub(crate) save_error: Option<String>,
    pub(crate) record: crate::record::Record,
    pub(crate) state: State,
}

/// The circuits by which the site bounds its charging points, from the outermost in.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CircuitChain {
    pub(crate) wiring: CircuitKey,
    pub(crate) grid: CircuitKey,
    pub(crate) fuse: CircuitKey,
    pub(crate) rule: CircuitKey,
}

/// What the last decision found; front ends are shown it.
#[derive(Debug, Clone)]
pub(crate) struct State {
    /// Real watts.
    pub(crate) surplus: Option<f64>,
    /// Apparent watts that were acted on, or why there are none.
    pub(crate) grantable: Result<f64, NoSurplus>,
    pub(crate) granted_w: f64,
    pub(crate) granted_amps: f64,
    pub(crate) limit: Amps,
    pub(crate) held_until: Option<Instant>,
    pub(crate) has_fail_safe: bool,
    pub(crate) headroom: Option<Amps>,
    /// What keeps cars from the sun, or from everything.
    pub(crate) hold_back: Option<HoldBack>,
    /// Somebody asked for Charge Now while the house was cut off from the grid.
    pub(crate) may_charge_off_grid: bool,
}

/// Why the site cannot start: the configuration says something that cannot be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{key}: {text}")]
pub struct SetupError {
    /// Key path in `config.json`.
    pub key: String,
    /// A sentence with what to do.
    pub text: String,
}

impl Site {
    /// A site that knows nothing yet. `settings` is the content of `settings.json`.
    ///
    /// # Errors
    /// One for each policy that cannot be understood.
    pub fn new(setup: SiteSetup, settings: Map<String, Value>, now: &Now) -> Result<Self, Vec<SetupError>> {
        let setup = setup.with_own_keys();
        let list = PolicyList::new(setup.policy.as_ref(), setup.config.get("greenEnergyLatch")).map_err(|errors| {
            let refuse = |error: policy::PolicyError| {
                let name =
                    if error.policy.is_empty() { String::new() } else { format!("policy \"{}\": ", error.policy) };
                SetupError { key: error.key, text: format!("{name}{}", error.text) }
            };
            errors.into_iter().map(refuse).collect::<Vec<_>>()
        })?;
        let sources = Sources::new(&setup.sources, &setup.consumption_sources, setup.stale_after);
        let (circuits, keys) = crate::decide::circuits();
        let remarks = crate::notes::remarks(&setup, &list, &sources);
        Ok(Site {
            settings: Settings::from_map(settings),
            outputs: VecDeque::new(),
            started: now.clone(),
            sequence: 0,
            news: Some(now.clone()),
            sources,
            points: BTreeMap::new(),
            resumed: BTreeMap::new(),
            gates: BTreeMap::new(),
            history: History::default(),
            meters: Meters::default(),
            cars: None,
            refused: BTreeMap::new(),
            picture: Combined::default(),
            engine: Engine::new(list),
            judge_now: true,
            judge_at: None,
            judged: None,
            judged_since: None,
            vehicle_limit: None,
            sun_of: None,
            damper: Damper::default(),
            rotation: Rotation::default(),
            circuits,
            keys,
            circuit_limit: None,
            wake: None,
            green_wake: None,
            alerts: Alerts::default(),
            remarks,
            save_error: None,
            record: crate::record::Record::default(),
            state: State {
                surplus: None,
                grantable: Err(NoSurplus::Awaiting("generation")),
                granted_w: 0.0,
                granted_amps: 0.0,
                limit: setup.max_amps_all,
                held_until: None,
                has_fail_safe: false,
                headroom: None,
                hold_back: None,
                may_charge_off_grid: false,
            },
            setup,
        })
    }

    /// Takes up a session that was open when the program last ended; call before the first status.
    pub fn resume_session(&mut self, session: SessionEvent) {
        if session.ended_at.is_none() {
            let resumed = Session::resume(&session, self.started.mono);
            self.resumed.insert(session.evse, resumed);
        }
    }

    /// The sessions in progress, to go on with in another site.
    #[must_use]
    pub fn open_sessions(&self, now: &Now) -> Vec<SessionEvent> {
        let open = |(id, point): (&EvseId, &Point)| Some(point.session.as_ref()?.event(id, now, None));
        self.points.iter().filter_map(open).collect()
    }

    /// A source gave a reading.
    pub fn handle_reading(&mut self, now: &Now, source: &str, reading: Arc<EmsReading>) {
        if self.sources.take(source, Arc::clone(&reading)) {
            self.picture = crate::combine::combine(&self.sources, now.mono, self.setup.default_volts);
            self.learn_phases();
            self.judge_now |= self.setup.policy.is_some();
            let shown = |channel: crate::combine::Channel| channel.known().map(|flow| flow.power);
            // Export and import, whatever they are called.
            let is_exchange = reading.has_flag(crate::sources::GRID_ONLY);
            self.outputs.push_back(Output::Event(Event::Reading(FlowEvent {
                source: source.to_owned(),
                generation: reading.generation.filter(|_| !is_exchange),
                consumption: (reading.consumption.filter(|_| !is_exchange)).or_else(|| shown(self.picture.consumption)),
                grid: reading.grid,
                battery: reading.battery,
                battery_soc: reading.battery_soc,
                cars: units::Watts::saturating(self.history.now().watts),
            })));
        }
        self.note(now);
    }

    /// A source failed to give one. What it last told counts until it is too old.
    pub fn handle_source_error(&mut self, now: &Now, source: &str, error: &EmsError) {
        self.sources.fail(source, error.to_string());
        self.note(now);
    }

    /// A charging point, or a car on another charger, appeared or changed, and so did how its car is seen.
    pub fn handle_whole(&mut self, now: &Now, status: Arc<EvseStatus>, views: Vec<View>) {
        let id = status.id.clone();
        self.handle_views(now, &id, views.clone());
        self.handle_evse(now, status);
        // It may be new.
        self.handle_views(now, &id, views);
    }

    /// A charging point appeared or changed.
    pub fn handle_evse(&mut self, now: &Now, status: Arc<EvseStatus>) {
        let status = Arc::new(self.with_learnt_phases(now.mono, EvseStatus::clone(&status)));
        let id = status.id.clone();
        let point = self.points.entry(id.clone()).or_insert_with(|| {
            let mut point = Point::new(Arc::clone(&status), now.mono);
            (point.is_enabled, point.priority) = prefs::of(&self.settings, &id);
            point.session = self.resumed.remove(&id);
            // Coming and going is no way to be started more often.
            point.gate = self.gates.remove(&id).unwrap_or_default();
            point
        });
        // What a silent one draws is not known; its counter will tell once it is back.
        let is_heard = point.status.link != evse::Link::Lost;
        let elapsed = if is_heard { now.mono.saturating_duration_since(point.seen).as_secs_f64() } else { 0.0 };
        let before = std::mem::replace(&mut point.status, Arc::clone(&status));
        point.seen = now.mono;
        point.rescale(&before.limits);
        if let Some(old) = &before.vin
            && status.vin.as_ref() != Some(old)
        {
            point.last_vin = Some(old.to_string());
        }
        point.watch(now.mono);
        let is_guess = point.views.iter().any(|view| view.by == MatchedBy::Behaviour);
        let turn = session::step(&mut point.session, now, Some((&before, elapsed)), &status, is_guess);
        if matches!(&turn, Turn::Tell(event) if event.ended_at.is_some()) || matches!(turn, Turn::Change(..)) {
            // Another car starts with a clean sheet.
            point.gate = crate::green::Gate::default();
            point.learner = crate::phases::Learner::default();
            point.is_stopped_by_us = false;
        }
        let hook = significant_change(point);
        match turn {
            Turn::Quiet => {}
            Turn::Tell(event) => self.tell_session(event),
            Turn::Change(ended, began) => {
                self.tell_session(ended);
                self.tell_session(began);
            }
        }
        if let (Some(event), Some(judged)) = (hook, &self.judged) {
            let url = if event == "start" { judged.webhooks.start.clone() } else { judged.webhooks.stop.clone() };
            let policy = judged.name.clone();
            self.call(url, &policy, event);
        }
        self.note_draw(now);
        self.note(now);
    }

    /// How the car at a charging point is seen, where that is by several; what it is made of is in its status.
    pub fn handle_views(&mut self, now: &Now, id: &EvseId, views: Vec<View>) {
        if let Some(point) = self.points.get_mut(id)
            && point.views != views
        {
            point.views = views;
            self.note(now);
        }
    }

    /// What the merger of views is to go by, as the settings have it now.
    #[must_use]
    pub fn merge_settings(&self) -> MergeSettings {
        crate::cars::merge_settings(&self.settings)
    }

    /// A charging point was forgotten by its controller.
    pub fn handle_evse_gone(&mut self, now: &Now, id: &EvseId) {
        if let Some(mut point) = self.points.remove(id) {
            if let Some(event) = session::end(&mut point.session, now, id) {
                self.tell_session(event);
            }
            point.gate.note(now.mono, false, point.target > units::Watts::ZERO);
            self.gates.retain(|_, gate| gate.counts(now.mono));
            self.gates.insert(id.clone(), point.gate);
        }
        self.alerts.forget(id.as_str());
        self.note_draw(now);
        self.note(now);
    }

    /// A controller tells something that people should hear of.
    pub fn handle_event(&mut self, now: &Now, event: ControllerEvent) {
        let told = self.alerts.tell(now, &event);
        self.outputs.push_back(Output::Event(told));
        self.note(now);
    }

    /// Writing `settings.json` failed, or works again: shown to people.
    pub fn handle_settings_saved(&mut self, now: &Now, result: Result<(), String>) {
        self.save_error = result.err();
        self.note(now);
    }

    /// Time passed; call when [`Site::next_timeout`] says so. Calling early or late does no harm.
    pub fn handle_timeout(&mut self, now: &Now) {
        self.note(now);
    }

    /// When [`Site::handle_timeout`] wants to be called.
    #[must_use]
    pub fn next_timeout(&self) -> Option<Instant> {
        match &self.news {
            Some(now) => Some(now.mono),
            None => self.wake,
        }
    }

    /// The next thing to do.
    pub fn poll_output(&mut self) -> Option<Output> {
        if let Some(now) = self.news.take() {
            self.decide(&now);
        }
        self.outputs.pop_front()
    }

    /// `settings.json` as it should be on disk.
    #[must_use]
    pub fn settings(&self) -> &Map<String, Value> {
        self.settings.as_map()
    }

    /// The policy list in the shape of TWCManager's `/api/getPolicy`.
    #[must_use]
    pub fn policies(&self) -> Value {
        self.engine.to_json()
    }

    /// Which policy holds at a moment, why, and why the others do not: each term with its value. At another moment than
    /// now only the time is different; readings and settings are those of now.
    #[must_use]
    pub fn explain_policies(&self, at: &Now) -> Value {
        let explanation = self.engine.explain(at, &self.facts(at.mono));
        serde_json::to_value(explanation).unwrap_or(Value::Null)
    }

    pub(crate) fn note(&mut self, now: &Now) {
        self.sequence += 1;
        self.news = Some(now.clone());
    }

    pub(crate) fn save(&mut self) {
        self.judge_now = true;
        if self.outputs.back() != Some(&Output::SaveSettings) {
            self.outputs.push_back(Output::SaveSettings);
        }
    }

    pub(crate) fn call(&mut self, url: Option<String>, policy: &str, event: &'static str) {
        if let Some(url) = url {
            let method = self.setup.webhook_method;
            self.outputs.push_back(Output::Webhook(Webhook { url, method, policy: policy.to_owned(), event }));
        }
    }

    fn tell_session(&mut self, event: SessionEvent) {
        self.outputs.push_back(Output::Event(Event::Session(event)));
    }

    pub(crate) fn note_draw(&mut self, now: &Now) {
        let (mut draw, mut heading_for) = (Draw::default(), Draw::default());
        for point in self.points.values() {
            let (one, later) = point.draw(now.mono, &self.setup);
            draw.add(&one);
            heading_for.add(&later);
        }
        self.history.note(
            now.mono,
            draw,
            heading_for,
            HISTORY.max(self.sources.longest_age() * 2).min(LONGEST_HISTORY),
        );
    }
}

/// `start` when the draw rises above 3 A, `stop` when it falls below 2 A.
fn significant_change(point: &mut Point) -> Option<&'static str> {
    let drawn = point.drawn_amps();
    let is_significant = if point.is_significant { drawn >= 2.0 } else { drawn > 3.0 };
    let changed = is_significant != point.is_significant;
    point.is_significant = is_significant;
    changed.then_some(if is_significant { "start" } else { "stop" })
}
