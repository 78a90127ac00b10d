//! One charging point as the site knows it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use allocator::Binding;
use evse::{EvseLimits, EvseStatus, Link, Target, View};
use units::{Amps, Watts};

use crate::draw::Draw;
use crate::green::{Gate, Wait};
use crate::phases::Learner;
use crate::session::Session;
use crate::surplus::power_factor;
use crate::terms::Terms;
use crate::{Output, SiteSetup};

/// A target ends so long after it was last told; the charging point then falls back to its safe value.
const LEASE: Duration = Duration::from_secs(60);
/// A target that stays is told again this long before its end at the latest.
const RENEWAL: Duration = Duration::from_secs(40);
/// A car that still draws more than this without being offered anything does not obey.
const DISOBEYS: Amps = Amps::from_whole(4);
/// It has this long to obey, and is told to stop or start no more often than this.
const PATIENCE: Duration = Duration::from_secs(60);
/// A car follows a new offer within this time, or does not mean to.
const FOLLOWING: Duration = Duration::from_secs(30);
/// It has followed when it is this near, in amps: cars stay a little below their offer.
const NEARLY_THERE: f64 = 1.0;
/// A start is asked for so many times.
const MOST_TRIES: u8 = 5;
/// A car that takes less than it is told by this many amps leaves something for others.
const CLEARLY_LESS: f64 = 2.0;
/// It has so long to take it up.
const TAKES_LESS: Duration = Duration::from_secs(60);
/// One that takes nothing at all may still be waking up for so long.
const TAKES_NOTHING: Duration = Duration::from_secs(120);
/// One that is woken and started by way of its own has so long: that waits for power that lasts, and for the car.
const STARTS_BY_ITSELF: Duration = Duration::from_secs(420);
/// That it took nothing is held against it for so long, unless it draws or is plugged in anew.
const TOOK_NOTHING_HOLDS: Duration = Duration::from_secs(1800);

/// One charging point.
#[derive(Debug, Clone)]
pub(crate) struct Point {
    pub(crate) status: Arc<EvseStatus>,
    pub(crate) seen: Instant,
    /// How its car is seen, where that is by several.
    pub(crate) views: Vec<View>,
    /// On what terms its car takes part, as of the last decision.
    pub(crate) terms: Terms,
    /// Since when its car takes clearly less than it is told it may.
    less_since: Option<Instant>,
    /// When it last left alone all that it was offered.
    took_nothing: Option<Instant>,
    pub(crate) learner: Learner,
    pub(crate) last_vin: Option<String>,
    pub(crate) is_enabled: bool,
    pub(crate) priority: i32,
    /// What it may be told now, as the last decision had it.
    pub(crate) target: Watts,
    told: Option<(Target, Instant)>,
    /// When it was last told something else than before.
    changed: Option<Instant>,
    pub(crate) gate: Gate,
    pub(crate) wait: Option<Wait>,
    /// The most it may have beside cars that come first.
    pub(crate) beside_first: Option<Watts>,
    pub(crate) bound_by: Binding,
    pub(crate) session: Option<Session>,
    /// Since when it has been offered nothing.
    idle_since: Option<Instant>,
    stop_told: Option<Instant>,
    start_told: Option<Instant>,
    tries: u8,
    /// We stopped its car, so its refusing power is our doing.
    pub(crate) is_stopped_by_us: bool,
    /// Draw of 3 A and more was seen, and none below 2 A since: what `start` and `stop` of webhooks go by.
    pub(crate) is_significant: bool,
    pub(crate) offer_noted: Option<(Instant, Option<Amps>)>,
}

impl Point {
    pub(crate) fn new(status: Arc<EvseStatus>, now: Instant) -> Self {
        Point {
            status,
            seen: now,
            views: Vec::new(),
            terms: Terms::default(),
            less_since: None,
            took_nothing: None,
            learner: Learner::default(),
            last_vin: None,
            is_enabled: true,
            priority: 0,
            target: Watts::ZERO,
            told: None,
            changed: None,
            gate: Gate::default(),
            wait: None,
            beside_first: None,
            bound_by: Binding::LeastUntilDrawn,
            session: None,
            idle_since: None,
            stop_told: None,
            start_told: None,
            tries: 0,
            is_stopped_by_us: false,
            is_significant: false,
            offer_noted: None,
        }
    }

    /// Its voltage or its phases are others than before: what it was told in amps stays what it was told.
    pub(crate) fn rescale(&mut self, before: &EvseLimits) {
        let watts = |limits: &EvseLimits| limits.volts.get() * f64::from(limits.phases.count());
        let (old, new) = (watts(before), watts(&self.status.limits));
        if self.target > Watts::ZERO && old != new && old > 0.0 && new > 0.0 {
            self.target = Watts::saturating(self.target.get() * new / old);
        }
    }

    pub(crate) fn drawn_amps(&self) -> f64 {
        self.status.drawn.map_or(0.0, Amps::get)
    }

    /// What it draws, and what it is on its way to, in the shape that the meters' arithmetic needs.
    ///
    /// An estimate that is overdue is none: the car may be on the road. Whatever it still draws counts as the house's then,
    /// which makes surplus and headroom smaller, never larger; its share of the circuits stays reckoned with.
    pub(crate) fn draw(&self, now: Instant, setup: &SiteSetup) -> (Draw, Draw) {
        if self.status.is_estimate && self.status.link != Link::Up {
            return (Draw::default(), Draw::default());
        }
        let limits = &self.status.limits;
        let amps = self.drawn_amps();
        let apparent = self.status.power.unwrap_or_else(|| limits.power(self.status.drawn.unwrap_or(Amps::ZERO)));
        let draw = self.shape(setup, amps, apparent);
        let told = self.target.amps_floor(limits.volts, limits.phases).whole_amps_floor();
        let is_following = self.changed.is_some_and(|at| now.saturating_duration_since(at) < FOLLOWING)
            && (told.get() - amps).abs() > NEARLY_THERE;
        if !is_following {
            // A car that is told to start by way of its own may draw before that is heard of it.
            let may_start = !self.status.is_on_circuit && amps < 1.0 && self.status.committed.get() >= 1.0;
            let committed = self.status.committed;
            return (draw, if may_start { self.shape(setup, committed.get(), limits.power(committed)) } else { draw });
        }
        (draw, self.shape(setup, told.get(), limits.power(told)))
    }

    /// Watts that it draws as far as anybody knows, estimates of any age included: for people, not for limits and surplus.
    pub(crate) fn shown_watts(&self, setup: &SiteSetup) -> f64 {
        let power = self.status.power.or(self.status.drawn.map(|drawn| self.status.limits.power(drawn)));
        power.map_or(0.0, Watts::get) * power_factor(setup, self.drawn_amps())
    }

    fn shape(&self, setup: &SiteSetup, amps: f64, apparent: Watts) -> Draw {
        let limits = &self.status.limits;
        let mut draw = Draw { watts: apparent.get() * power_factor(setup, amps), ..Draw::default() };
        let measured = self.status.drawn_per_phase;
        let now = self.drawn_amps();
        if measured.is_known() && now > 0.0 {
            // In the same proportion, where it is about amps that are not there yet.
            draw.amps = measured.map(|phase| phase.map_or(0.0, Amps::get) * amps / now).into_array();
        } else if limits.phases.count() >= setup.phases.count() {
            for (place, slot) in draw.amps.iter_mut().enumerate() {
                *slot = if place < usize::from(limits.phases.count()) { amps } else { 0.0 };
            }
        } else {
            draw.amps_somewhere = amps;
        }
        draw
    }

    /// Takes the power of a decision and tells it, when it is new or its lease is running out.
    pub(crate) fn tell(&mut self, now: Instant, power: Watts, limits: &EvseLimits, out: &mut impl FnMut(Output)) {
        let was_running = self.target > Watts::ZERO;
        let is_running = power > Watts::ZERO;
        self.gate.note(now, is_running, was_running);
        self.idle_since = if is_running { None } else { Some(self.idle_since.unwrap_or(now)) };
        self.target = power;
        if !self.status.capabilities.set_target {
            return;
        }
        let target = Target::new(power, limits, now + LEASE);
        let is_same = self.told.is_some_and(|(told, at)| {
            told.power == target.power
                && told.volts == target.volts
                && told.phases == target.phases
                && now.saturating_duration_since(at) < LEASE - RENEWAL
        });
        if !is_same {
            if self.told.is_none_or(|(told, _)| told.power != target.power) {
                self.changed = Some(now);
            }
            self.told = Some((target, now));
            out(Output::Target { id: self.status.id.clone(), target });
        }
    }

    /// Notes since when its car takes less than it may.
    pub(crate) fn watch(&mut self, now: Instant) {
        self.gate.watch(now, self.drawn_amps() >= 1.0, self.target > Watts::ZERO);
        let limits = &self.status.limits;
        let told = self.target.amps_floor(limits.volts, limits.phases).get();
        let is_less = self.target > Watts::ZERO && self.drawn_amps() + CLEARLY_LESS <= told;
        self.less_since = is_less.then(|| self.less_since.unwrap_or(now));
        if self.drawn_amps() >= 1.0 || self.status.plug != evse::Plug::PluggedIn {
            self.took_nothing = None;
        } else if self.has_taken_less_for(now).is_some_and(|time| time >= self.takes_nothing_after()) {
            self.took_nothing = Some(now);
        }
    }

    fn takes_nothing_after(&self) -> Duration {
        let is_started = self.status.capabilities.start && self.views.iter().any(|view| !view.is_local);
        if is_started { STARTS_BY_ITSELF } else { TAKES_NOTHING }
    }

    fn has_taken_less_for(&self, now: Instant) -> Option<Duration> {
        self.less_since.map(|since| now.saturating_duration_since(since))
    }

    /// The most its car is known to take, once it has shown for a minute that it takes clearly less than it may: a little
    /// more than it draws, so that it can show when it wants more again.
    pub(crate) fn can_take(&self, now: Instant, limits: &EvseLimits) -> Option<Watts> {
        if self.drawn_amps() < 1.0 || self.has_taken_less_for(now)? < TAKES_LESS {
            return None;
        }
        let amps = Amps::new((self.drawn_amps() + CLEARLY_LESS).ceil()).ok()?;
        Some(limits.power(amps.max(limits.min)))
    }

    /// Whether its car left alone what it was told it may have, for minutes, and did nothing to be believed since.
    pub(crate) fn takes_nothing(&self, now: Instant) -> bool {
        let is_so = self.has_taken_less_for(now).is_some_and(|time| time >= self.takes_nothing_after());
        let was_so = self.took_nothing.is_some_and(|at| now.saturating_duration_since(at) < TOOK_NOTHING_HOLDS);
        self.drawn_amps() < 1.0 && (is_so || was_so)
    }

    /// When [`Point::can_take`] or [`Point::takes_nothing`] may have something new to say.
    pub(crate) fn next_watch(&self, now: Instant) -> Option<Instant> {
        let since = self.less_since?;
        [since + TAKES_LESS, since + self.takes_nothing_after()].into_iter().find(|at| *at > now)
    }

    pub(crate) fn renewal(&self) -> Option<Instant> {
        self.told.map(|(_, at)| at + (LEASE - RENEWAL))
    }

    /// Whether its car keeps drawing although it has long been offered nothing.
    pub(crate) fn disobeys(&self, now: Instant) -> bool {
        self.status.capabilities.set_target
            && self.status.drawn.is_some_and(|drawn| drawn > DISOBEYS)
            && self.idle_since.is_some_and(|since| now.saturating_duration_since(since) >= PATIENCE)
    }

    /// Commands beyond offering power: a stop for a car that does not obey, a start for one that we stopped.
    pub(crate) fn command(&mut self, now: Instant, may_stop: bool, out: &mut impl FnMut(Output)) {
        let patient = |told: Option<Instant>| told.is_none_or(|at| now.saturating_duration_since(at) >= PATIENCE);
        if self.status.is_charging() && self.target > Watts::ZERO {
            self.is_stopped_by_us = false;
            self.tries = 0;
        }
        if may_stop && self.disobeys(now) && self.status.capabilities.stop && patient(self.stop_told) {
            self.stop_told = Some(now);
            self.is_stopped_by_us = true;
            self.tries = 0;
            out(Output::Stop(self.status.id.clone()));
        }
        let should_start = self.is_stopped_by_us && self.target > Watts::ZERO && self.drawn_amps() < 1.0;
        if should_start
            && self.status.capabilities.start
            && self.status.activity != evse::Activity::Faulted
            && self.tries < MOST_TRIES
            && patient(self.start_told)
        {
            self.start_told = Some(now);
            self.tries += 1;
            out(Output::Start(self.status.id.clone()));
        }
    }

    /// When [`Point::command`] or [`Point::disobeys`] may have something new to say.
    pub(crate) fn next_command(&self, now: Instant) -> Option<Instant> {
        let patience = |at: Option<Instant>| at.map(|at| at + PATIENCE).filter(|at| *at > now);
        let stop = self.status.drawn.is_some_and(|drawn| drawn > DISOBEYS).then(|| patience(self.idle_since)).flatten();
        [stop, patience(self.stop_told), patience(self.start_told)].into_iter().flatten().min()
    }
}
