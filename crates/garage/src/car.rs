//! One car: what is known of it, what is wanted of it, and how far the work on it is.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use units::{Amps, Percent};
use vehicle::{
    Answer, CarKey, ChargingState, Home, Nearness, Outcome, Refusal, Report, Request, VehicleState, Wakefulness,
    Whereabouts,
};

use crate::ladder::Ladder;
use crate::limits::Limits;
use crate::order::Order;
use crate::rate::Rate;
use crate::route::{SourceState, Ways};
use crate::whereabouts::{Proof, Standing};
use crate::words::Why;
use crate::{GarageSettings, Purpose, Wish};

/// Current from which a car charges rather than keeps itself awake.
pub(crate) const FLOWS: Amps = Amps::from_whole(1);
/// What is older is looked at again before a car is told anything.
pub(crate) const FRESH: Duration = Duration::from_secs(600);
/// After a command its effect is looked at.
const LOOK_AFTER: Duration = Duration::from_secs(8);
/// A car that has just woken hangs when it is told something at once.
const AFTER_WAKING: Duration = Duration::from_secs(5);
/// After a plug-in the car gets so long to begin by itself before it is read.
const AFTER_PLUG_IN: Duration = Duration::from_secs(10);
/// A charging car does not sleep: one that cannot be reached so soon after it told that it charges has no network.
const STILL_CHARGING: Duration = Duration::from_secs(1200);
/// A command that met a sleeping car is not repeated before this.
const AFTER_ASLEEP: Duration = Duration::from_secs(30);
/// Starts that are enough for an hour.
const MOST_STARTS: usize = 4;
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);
/// Wakes that are enough for a day.
const MOST_WAKES: usize = 4;

/// What a local charging point shows of the car that is plugged in there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ConnectorView {
    /// Current per phase that flows, where it is measured.
    pub draw: Option<Amps>,
    /// Whether a car is plugged in.
    pub plugged: bool,
    /// Current per phase that it offers.
    pub offered: Option<Amps>,
}

/// A question that is under way.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Open {
    pub(crate) id: u64,
    pub(crate) source: Arc<str>,
    pub(crate) request: Request,
    pub(crate) purpose: Purpose,
    pub(crate) asked_at: Instant,
}

/// The last question about a car.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Last {
    pub(crate) request: Request,
    pub(crate) source: Arc<str>,
    pub(crate) at: Instant,
    pub(crate) outcome: Option<Outcome>,
}

/// A look at what a command did.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Check {
    /// When the command was answered.
    pub(crate) since: Instant,
    pub(crate) at: Instant,
    /// Its answer was lost: nothing is repeated before this look, while it can be had.
    pub(crate) is_must: bool,
}

#[derive(Debug)]
pub(crate) struct Car {
    pub(crate) key: CarKey,
    pub(crate) state: VehicleState,
    pub(crate) standing: Standing,
    pub(crate) connector: Option<ConnectorView>,
    /// The key by which each source knows it.
    pub(crate) known_as: BTreeMap<Arc<str>, CarKey>,
    pub(crate) ways: Ways,
    pub(crate) wish: Wish,
    /// Since when it has been granted power, and could take it.
    pub(crate) powered_since: Option<Instant>,
    /// Since when it has been granted nothing.
    pub(crate) idle_since: Option<Instant>,
    pub(crate) not_permitted: Option<String>,
    /// It obeyed in this plug-in; what follows is its driver's doing.
    pub(crate) was_sent_off: bool,
    pub(crate) is_held: bool,
    pub(crate) start: Ladder,
    pub(crate) stop: Ladder,
    pub(crate) starts: VecDeque<Instant>,
    pub(crate) rate: Rate,
    pub(crate) limits: Limits,
    /// Its last word on starting, for this plug-in.
    pub(crate) final_word: Option<Why>,
    pub(crate) wake_failed_at: Option<Instant>,
    /// When it was woken within the last day, other than for a person.
    pub(crate) wakes: VecDeque<Instant>,
    /// Since when nobody shares out power to it.
    pub(crate) unwished_since: Option<Instant>,
    pub(crate) not_before: Option<Instant>,
    pub(crate) open: Option<Open>,
    pub(crate) person: Option<Order>,
    pub(crate) check: Option<Check>,
    /// Something happened to it, a plug-in or waking: one look is due.
    pub(crate) news_look: Option<Instant>,
    /// It may be the car that was just plugged in somewhere: one look is due; and when that was taken.
    pub(crate) guess_look: Option<Instant>,
    pub(crate) guessed_at: Option<Instant>,
    /// When it was last asked how it is, and how often in vain.
    pub(crate) looked_at: Option<Instant>,
    pub(crate) vain_looks: u32,
    pub(crate) asleep_since: Option<Instant>,
    pub(crate) last: Option<Last>,
    pub(crate) place: (Whereabouts, Proof),
    pub(crate) why: Why,
    pub(crate) next_at: Option<Instant>,
}

impl Car {
    pub(crate) fn new(key: CarKey) -> Self {
        Car {
            state: VehicleState::new(key.clone()),
            key,
            standing: Standing::default(),
            connector: None,
            known_as: BTreeMap::new(),
            ways: Ways::new(),
            wish: Wish::None,
            powered_since: None,
            idle_since: None,
            not_permitted: None,
            was_sent_off: false,
            is_held: false,
            start: Ladder::default(),
            stop: Ladder::default(),
            starts: VecDeque::new(),
            rate: Rate::default(),
            limits: Limits::default(),
            final_word: None,
            wake_failed_at: None,
            wakes: VecDeque::new(),
            unwished_since: None,
            not_before: None,
            open: None,
            person: None,
            check: None,
            news_look: None,
            guess_look: None,
            guessed_at: None,
            looked_at: None,
            vain_looks: 0,
            asleep_since: None,
            last: None,
            place: (Whereabouts::Unknown, Proof::None),
            why: Why::NothingWanted,
            next_at: None,
        }
    }

    /// Takes up a report.
    pub(crate) fn take(&mut self, now: Instant, report: &Report) {
        let plugged = self.plugged();
        let limit = self.known_limit().map(|(limit, _)| limit);
        self.state.take(report);
        self.standing.take(report);
        if report.taken_at.is_some() && report.facts.wakefulness != Some(Wakefulness::Asleep) {
            self.vain_looks = 0;
        }
        let slept = self.asleep_since.is_some();
        self.note_sleep(now);
        if slept && self.asleep_since.is_none() && report.facts.charging.is_none() {
            // Somebody woke it, perhaps to drive: one look at what it is up to.
            self.news_look = Some(now + AFTER_WAKING);
        }
        if let (Some(before), Some((limit, _))) = (limit, self.known_limit())
            && limit > before
        {
            self.final_word = None;
            self.start.re_arm();
        }
        self.note_plug(now, plugged);
    }

    pub(crate) fn take_connector(&mut self, now: Instant, view: Option<ConnectorView>) {
        let plugged = self.plugged();
        let was_here = self.is_at_connector();
        self.connector = view;
        if !was_here && self.is_at_connector() && plugged == Some(true) {
            // It had told of its cable before the charging point was known to be its own.
            return;
        }
        self.note_plug(now, plugged);
    }

    fn note_plug(&mut self, now: Instant, before: Option<bool>) {
        match (before, self.plugged()) {
            (Some(false), Some(true)) => {
                self.plugged_in(now);
                self.news_look = (!self.has_guessed(now)).then(|| now + AFTER_PLUG_IN);
            }
            (Some(true), Some(false)) => {
                self.plugged_in(now);
                // What was asked of its charging is moot.
                self.person = self.person.take().filter(|order| !order.is_about_current());
            }
            _ => {}
        }
    }

    /// The cable came or went: what was final is so no longer.
    fn plugged_in(&mut self, now: Instant) {
        self.re_arm();
        self.rate.forget();
        self.was_sent_off = false;
        self.news_look = None;
        self.guess_look = None;
        self.powered_since = self.powered_since.map(|_| now);
        self.ways.values_mut().for_each(|way| way.hurdle.forgive(false));
    }

    /// A new plug-in, another policy, a person: everything may be tried anew.
    pub(crate) fn re_arm(&mut self) {
        self.start.re_arm();
        self.stop.re_arm();
        self.rate.re_arm();
        self.limits.re_arm();
        self.final_word = None;
        self.is_held = false;
        self.wake_failed_at = None;
    }

    fn note_sleep(&mut self, now: Instant) {
        let is_asleep = matches!(&self.state.wakefulness, Some(seen) if seen.value == Wakefulness::Asleep);
        self.asleep_since = if is_asleep { Some(self.asleep_since.unwrap_or(now)) } else { None };
    }

    /// What a source's answer says about sleep, as if it were a report.
    pub(crate) fn found(&mut self, now: Instant, source: &Arc<str>, wakefulness: Wakefulness) {
        // It was met at first hand just now: no older news counts against that.
        let nearness = Nearness::Car;
        let facts = vehicle::Facts { wakefulness: Some(wakefulness), ..vehicle::Facts::default() };
        let car = self.key.clone();
        self.take(now, &Report { car, source: Arc::clone(source), nearness, taken_at: Some(now), facts });
    }

    pub(crate) fn is_at_connector(&self) -> bool {
        self.connector.is_some_and(|connector| connector.plugged)
    }

    pub(crate) fn plugged(&self) -> Option<bool> {
        if self.is_at_connector() {
            return Some(true);
        }
        self.state.plugged.as_ref().filter(|seen| seen.at.is_some()).map(|seen| seen.value)
    }

    pub(crate) fn known_limit(&self) -> Option<(Percent, Instant)> {
        let seen = self.state.limit.as_ref()?;
        Some((seen.value, seen.at?))
    }

    pub(crate) fn told_amps(&self) -> Option<(Amps, Option<Instant>)> {
        self.state.amps_requested.as_ref().map(|seen| (seen.value, seen.at))
    }

    pub(crate) fn charging(&self) -> Option<(ChargingState, Instant)> {
        let seen = self.state.charging.as_ref()?;
        Some((seen.value, seen.at?))
    }

    /// Whether current flows: as measured where it is plugged in, else as the car told.
    pub(crate) fn flows(&self) -> Option<bool> {
        if let Some(ConnectorView { draw: Some(draw), plugged: true, .. }) = self.connector {
            return Some(draw >= FLOWS);
        }
        let (charging, at) = self.charging()?;
        let is_charging = matches!(charging, ChargingState::Charging | ChargingState::Starting);
        let lasts = self.asleep_since.is_none_or(|since| since <= at + STILL_CHARGING);
        Some(is_charging && lasts)
    }

    /// Asleep or without a network. A car that draws at our charging point does not sleep.
    pub(crate) fn is_asleep(&self) -> bool {
        let draws =
            matches!(self.connector, Some(ConnectorView { draw: Some(draw), plugged: true, .. }) if draw >= FLOWS);
        self.asleep_since.is_some() && !draws
    }

    pub(crate) fn is_driving(&self) -> bool {
        matches!(&self.state.parked, Some(seen) if !seen.value && seen.at.is_some())
    }

    /// Whether a source tells of a car by itself, and works.
    pub(crate) fn tells(&self, sources: &BTreeMap<Arc<str>, SourceState>, source: &str) -> bool {
        let told = self.ways.get(source).is_some_and(|way| !way.abilities.reads);
        told && sources.get(source).is_none_or(|state| state.trouble.is_none())
    }

    /// When anything but its sleep was last told.
    pub(crate) fn heard_at(&self) -> Option<Instant> {
        let plugged = self.state.plugged.as_ref().and_then(|seen| seen.at);
        let soc = self.state.soc.as_ref().and_then(|seen| seen.at);
        let amps = self.state.amps.as_ref().and_then(|seen| seen.at);
        self.charging().map(|(_, at)| at).max(plugged).max(soc).max(amps)
    }

    /// Whether what is known is new enough to act on.
    pub(crate) fn is_fresh(&self, now: Instant, sources: &BTreeMap<Arc<str>, SourceState>) -> bool {
        let is_measured = matches!(self.connector, Some(ConnectorView { draw: Some(_), plugged: true, .. }));
        let is_told =
            self.state.charging.as_ref().is_some_and(|seen| seen.at.is_some() && self.tells(sources, &seen.source));
        let is_new = self.heard_at().is_some_and(|at| now.saturating_duration_since(at) <= FRESH);
        is_measured || is_new || is_told
    }

    /// Brings up to date what follows from time and knowledge alone.
    pub(crate) fn settle(&mut self, now: Instant, sources: &BTreeMap<Arc<str>, SourceState>, home: Option<&Home>) {
        let tells = |source: &str| self.tells(sources, source);
        self.place = self.standing.place(now, &self.state, self.is_at_connector(), home, tells);
        while self.starts.front().is_some_and(|at| now.saturating_duration_since(*at) >= HOUR) {
            self.starts.pop_front();
        }
        while self.wakes.front().is_some_and(|at| now.saturating_duration_since(*at) >= DAY) {
            self.wakes.pop_front();
        }
        self.unwished_since = (self.wish == Wish::None).then(|| self.unwished_since.unwrap_or(now));
        let offers =
            self.connector.is_none_or(|view| !view.plugged || view.offered.is_none_or(|offered| offered >= FLOWS));
        let is_powered = matches!(self.wish, Wish::Granted(amps) if amps > Amps::ZERO) && offers;
        self.powered_since = is_powered.then(|| self.powered_since.unwrap_or(now));
        let is_idle = matches!(self.wish, Wish::Granted(amps) if amps <= Amps::ZERO);
        self.idle_since = is_idle.then(|| self.idle_since.unwrap_or(now));
        match self.flows() {
            Some(true) => {
                self.start.reached(now);
                self.stop.missed();
            }
            Some(false) => {
                self.start.missed();
                self.stop.reached(now);
                let was_told = self.stop.asked_at().is_some();
                self.was_sent_off |= self.not_permitted.is_some() && was_told;
            }
            None => {}
        }
    }

    /// When it may be started again by itself, if it was started often enough.
    pub(crate) fn enough_starts(&self) -> Option<Instant> {
        (self.starts.len() >= MOST_STARTS).then(|| self.starts.front().map(|first| *first + HOUR)).flatten()
    }

    /// When it may be woken again by itself, if it was woken often enough.
    pub(crate) fn enough_wakes(&self) -> Option<Instant> {
        (self.wakes.len() >= MOST_WAKES).then(|| self.wakes.front().map(|first| *first + DAY)).flatten()
    }

    /// A question left.
    pub(crate) fn sent(&mut self, now: Instant, open: Open) {
        match open.request {
            Request::Start => {
                self.start.asked(now);
                self.starts.push_back(now);
                // That it draws from now on is our doing, not a stop that failed.
                self.stop.re_arm();
            }
            Request::Stop => {
                self.stop.asked(now);
                // That it stands still from now on is our doing, not a start that failed.
                self.start.re_arm();
            }
            Request::SetAmps(amps) => self.rate.asked(now, amps),
            Request::SetLimit(limit) => self.limits.asked(now, limit),
            Request::Read { .. } | Request::ReadWakefulness => {
                self.looked_at = Some(now);
                self.vain_looks = self.vain_looks.saturating_add(1);
                self.news_look = None;
                if self.guess_look.take_if(|at| now >= *at).is_some() {
                    self.guessed_at = Some(now);
                }
            }
            Request::Wake if open.purpose != Purpose::Person => self.wakes.push_back(now),
            Request::Wake | Request::List => {}
        }
        if open.purpose == Purpose::Person
            && let Some(order) = &mut self.person
        {
            order.sent(open.id);
        }
        if open.request.is_command() {
            self.check = None;
        }
        self.last = Some(Last { request: open.request, source: Arc::clone(&open.source), at: now, outcome: None });
        self.open = Some(open);
    }

    /// An answer came, or none in time. Returns how long its source as a whole wants to be left alone.
    pub(crate) fn answered(
        &mut self,
        now: Instant,
        open: &Open,
        answer: &Answer,
        has_free_look: bool,
    ) -> Option<Instant> {
        let request = open.request;
        self.order_answered(now, open, &answer.outcome);
        if let Some(last) = &mut self.last {
            last.outcome = Some(answer.outcome.clone());
        }
        if matches!(answer.outcome, Outcome::Done | Outcome::AlreadySo | Outcome::Refused(_) | Outcome::Asleep) {
            self.hurdle(&open.source, |hurdle| hurdle.went_well());
        }
        match &answer.outcome {
            Outcome::Done | Outcome::AlreadySo => {
                if request != Request::Wake && request != Request::ReadWakefulness && self.is_asleep() {
                    self.found(now, &open.source, Wakefulness::Awake);
                }
                self.done(now, open, has_free_look);
            }
            Outcome::Refused(why) => self.refused(now, open, *why),
            Outcome::Asleep => {
                self.found(now, &open.source, Wakefulness::Asleep);
                self.set_back(now, open, now + AFTER_ASLEEP);
                if request == Request::Wake {
                    self.wake_failed_at = Some(now);
                }
            }
            Outcome::Later { after, .. } => {
                // Another way may be tried at once; this one waits.
                self.set_back(now, open, now);
                if after.is_none() {
                    self.hurdle(&open.source, |hurdle| hurdle.failed(now));
                }
                return after.map(|after| now + after);
            }
            Outcome::Unsure { .. } => {
                self.hurdle(&open.source, |hurdle| hurdle.failed(now));
                if let Request::SetAmps(_) = request {
                    self.rate.failed();
                }
                if request == Request::Wake {
                    self.wake_failed_at = Some(now);
                }
                if request.is_command() {
                    self.check = Some(Check { since: now, at: now + LOOK_AFTER, is_must: true });
                }
            }
            Outcome::Barred { text } => {
                self.hurdle(&open.source, |hurdle| hurdle.bar(text.clone()));
                self.set_back(now, open, now);
            }
        }
        None
    }

    fn hurdle<T>(&mut self, source: &str, change: impl FnOnce(&mut crate::route::Hurdle) -> T) -> Option<T> {
        self.ways.get_mut(source).map(|way| change(&mut way.hurdle))
    }

    /// Surely nothing was done: the try does not count.
    fn set_back(&mut self, now: Instant, open: &Open, retry: Instant) {
        match open.request {
            Request::Start => {
                self.start.was_nothing(retry.max(now + Duration::from_secs(1)));
                self.starts.pop_back();
            }
            Request::Stop => self.stop.was_nothing(retry.max(now + Duration::from_secs(1))),
            Request::SetAmps(_) => self.rate.failed(),
            _ => {}
        }
    }

    fn done(&mut self, now: Instant, open: &Open, has_free_look: bool) {
        let check = Check { since: now, at: now + LOOK_AFTER, is_must: false };
        match open.request {
            Request::Start | Request::Stop => self.check = Some(check),
            Request::SetAmps(_) => {
                self.rate.done(now);
                self.check = has_free_look.then_some(check);
            }
            Request::SetLimit(_) => {
                self.limits.done(now);
                self.check = has_free_look.then_some(check);
            }
            Request::Wake => {
                self.found(now, &open.source, Wakefulness::Awake);
                self.wake_failed_at = None;
                self.not_before = Some(now + AFTER_WAKING);
            }
            Request::Read { .. } => self.check = None,
            Request::ReadWakefulness | Request::List => {}
        }
    }

    fn refused(&mut self, now: Instant, open: &Open, why: Refusal) {
        match (why, open.request) {
            (Refusal::NotPaired, _) => {
                self.hurdle(&open.source, |hurdle| hurdle.unpaired());
                self.set_back(now, open, now);
            }
            (Refusal::Complete, Request::Start) => self.final_word = Some(Why::Complete),
            (Refusal::Unplugged, Request::Start | Request::Stop) => self.final_word = Some(Why::Unplugged),
            (_, Request::SetAmps(_)) => self.rate.failed(),
            _ => {}
        }
    }

    /// The position is only asked for where nothing else shows that it is at home.
    pub(crate) fn read(&self) -> Request {
        Request::Read { with_position: !matches!(self.place.1, Proof::Connector | Proof::Radio) }
    }

    /// Whether a state of charge below the least keeps it from being stopped.
    pub(crate) fn is_below_least(&self, settings: &GarageSettings) -> bool {
        let soc = self.state.soc.as_ref().filter(|seen| seen.at.is_some()).map(|seen| seen.value);
        matches!((soc, settings.min_level), (Some(soc), Some(least)) if soc < least)
    }
}
