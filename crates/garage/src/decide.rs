//! What is to be done about one car now, most urgent first, and what is waited for.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use units::{Amps, Percent};
use vehicle::{ChargingState, Request, Whereabouts};

use crate::car::{Car, FLOWS};
use crate::ladder::Step;
use crate::limits::{LimitStep, Remembered};
use crate::polling::{self, Look};
use crate::rate::RateStep;
use crate::route::{self, SourceState};
use crate::words::Why;
use crate::{GarageSettings, Purpose, Wish};

/// A charging point that takes its offer back stops its car by itself within this.
const CONNECTOR_STOPS: Duration = Duration::from_secs(20);
/// A car that is offered power at a charging point begins by itself within this, mostly.
const OWN_START: Duration = Duration::from_secs(30);
/// A car that did not wake is left alone for so long.
const AFTER_FAILED_WAKE: Duration = Duration::from_secs(1800);
/// Whether it sleeps is asked once more before a wake, when that was told longer ago than this.
const SLEEP_IS_KNOWN: Duration = Duration::from_secs(300);
/// The second wake of a day waits so many times longer than the first for power that lasts, and so on.
const WAKE_PATIENCE: [u32; 4] = [1, 2, 5, 20];
/// Power that lasted so long is no cloudy sky's: the pace of spending does not hold that wake back.
const POWER_LASTS: Duration = Duration::from_secs(1800);
/// Who shares out power has had his say by then.
const HAD_ITS_SAY: Duration = Duration::from_secs(60);
/// Between two looks at a car of which too little is known to act; and after some in vain.
const LOOK_SPACING: Duration = Duration::from_secs(120);
const VAIN_SPACING: Duration = Duration::from_secs(900);
const MOST_VAIN_LOOKS: u32 = 3;
/// A look after a lost answer is waited for no longer than this.
const CHECK_PATIENCE: Duration = Duration::from_secs(120);
/// "No power" is believed for so long without a new report.
const NO_POWER_HOLDS: Duration = Duration::from_secs(1800);

/// A car that does not stop is held to this.
const HELD_DOWN: Amps = Amps::from_whole(5);
/// At a charging point that measures, a charging car is read so much more rarely.
const MEASURED_STRETCH: u32 = 3;

/// What decisions about a car go by, apart from the car.
pub(crate) struct World<'a> {
    pub(crate) now: Instant,
    pub(crate) settings: &'a GarageSettings,
    /// From then on cars are stopped for want of power.
    pub(crate) settled_at: Instant,
    pub(crate) sources: &'a BTreeMap<Arc<str>, SourceState>,
    pub(crate) limit_wish: Option<Percent>,
    pub(crate) remembered: Option<&'a Remembered>,
}

/// Something to ask, if a source, the budget and the moment allow.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Plan {
    pub(crate) request: Request,
    pub(crate) purpose: Purpose,
    /// To be remembered before it is asked.
    pub(crate) remember: Option<Remembered>,
}

/// What to do, most urgent first, and what is waited for, what matters most first.
#[derive(Debug, Default)]
pub(crate) struct Agenda {
    pub(crate) asks: Vec<Plan>,
    pub(crate) waits: Vec<(Option<Instant>, Why)>,
    /// A change to what is remembered that needs no question: `Some(None)` forgets.
    pub(crate) remember: Option<Option<Remembered>>,
}

impl Agenda {
    pub(crate) fn ask(&mut self, request: Request, purpose: Purpose) {
        self.asks.push(Plan { request, purpose, remember: None });
    }

    pub(crate) fn wait(&mut self, until: Option<Instant>, why: Why) {
        self.waits.push((until, why));
    }
}

/// What is wanted of a car.
#[derive(Debug, Clone, PartialEq)]
enum Intent {
    Nothing(Why),
    Stop,
    /// Take no more, and do not start.
    AtMost(Amps),
    Run(Amps),
}

impl Car {
    fn intent(&self, world: &World) -> Intent {
        match self.place.0 {
            Whereabouts::Away => return Intent::Nothing(Why::Away),
            Whereabouts::Unknown => return Intent::Nothing(Why::PlaceUnknown),
            Whereabouts::Home => {}
        }
        if matches!(&self.state.fast_charger, Some(seen) if seen.value) {
            return Intent::Nothing(Why::FastCharger);
        }
        if self.plugged() != Some(true) {
            return Intent::Nothing(Why::Unplugged);
        }
        let is_on_circuit = world.settings.cars.get(self.key.as_str()).is_some_and(|setting| setting.is_on_circuit);
        let stop = || match () {
            () if world.now >= world.settled_at => Intent::Stop,
            // A fuse may be behind it: that does not wait.
            () if is_on_circuit => Intent::AtMost(HELD_DOWN),
            () => Intent::Nothing(Why::Settling),
        };
        if let Some(reason) = self.not_permitted.as_ref().filter(|_| !self.is_held) {
            return if self.was_sent_off { Intent::Nothing(Why::NotPermitted(reason.clone())) } else { stop() };
        }
        match self.wish {
            _ if self.is_held => Intent::Stop,
            Wish::None => Intent::Nothing(Why::NothingWanted),
            Wish::AtMost(amps) => Intent::AtMost(amps),
            Wish::Granted(amps) if amps <= Amps::ZERO && self.is_below_least(world.settings) => {
                Intent::Nothing(Why::BelowLeast)
            }
            Wish::Granted(amps) if amps <= Amps::ZERO => stop(),
            Wish::Granted(amps) => Intent::Run(amps),
        }
    }

    pub(crate) fn agenda(&self, world: &World) -> Agenda {
        let mut agenda = Agenda::default();
        if self.open.is_some() {
            agenda.wait(None, Why::Asking);
            return agenda;
        }
        if let Some(at) = self.not_before.filter(|at| world.now < *at) {
            agenda.wait(Some(at), Why::Looking);
            return agenda;
        }
        self.plan_for_person(world, &mut agenda);
        if self.plan_check(world, &mut agenda) {
            return agenda;
        }
        match self.intent(world) {
            Intent::Nothing(why) => {
                self.plan_news_look(world, &mut agenda);
                agenda.wait((why == Why::Settling).then_some(world.settled_at), why);
            }
            Intent::Stop => {
                self.plan_stop(world, &mut agenda);
                self.plan_news_look(world, &mut agenda);
            }
            Intent::AtMost(amps) => {
                self.plan_rate(world, amps, false, &mut agenda);
                self.plan_news_look(world, &mut agenda);
                let settles = Some(world.settled_at).filter(|at| world.now < *at);
                agenda.wait(settles, Why::NothingWanted);
            }
            Intent::Run(amps) => {
                self.plan_news_look(world, &mut agenda);
                if self.flows() == Some(true) {
                    self.plan_rate(world, amps, true, &mut agenda);
                } else {
                    self.plan_start(world, amps, &mut agenda);
                }
            }
        }
        self.plan_limit(world, &mut agenda);
        self.plan_polling(world, &mut agenda);
        agenda
    }

    /// Returns whether everything else waits for it.
    fn plan_check(&self, world: &World, agenda: &mut Agenda) -> bool {
        let Some(check) = self.check else { return false };
        let now = world.now;
        let is_seen = self.charging().is_some_and(|(_, at)| at > check.since + Duration::from_secs(4))
            || self.is_at_connector() && self.connector.is_some_and(|view| view.draw.is_some()) && !check.is_must;
        let is_over = now > check.since + CHECK_PATIENCE || self.is_asleep();
        if is_seen || is_over {
            return false;
        }
        if now < check.at {
            agenda.wait(Some(check.at), Why::Looking);
        } else if route::could(&self.ways, world.sources, world.settings.policy, self.read()) {
            agenda.ask(self.read(), Purpose::Looking);
        }
        if check.is_must {
            agenda.wait(Some(check.since + CHECK_PATIENCE), Why::Looking);
        }
        check.is_must
    }

    /// One look after a plug-in, after waking, and where it may be who was plugged in.
    fn plan_news_look(&self, world: &World, agenda: &mut Agenda) {
        let news = self.news_look.filter(|_| !self.is_asleep() || self.is_at_connector());
        let Some(at) = [news, self.guess_look].into_iter().flatten().min() else { return };
        if world.now < at {
            agenda.wait(Some(at), Why::Looking);
        } else if !self.is_asleep() {
            agenda.ask(self.read(), Purpose::Looking);
        } else if let Some(ask) = self.may_read_sleep(world) {
            agenda.ask(ask, Purpose::Looking);
        }
    }

    fn may_read_sleep(&self, world: &World) -> Option<Request> {
        let ask = Request::ReadWakefulness;
        route::could(&self.ways, world.sources, world.settings.policy, ask).then_some(ask)
    }

    fn plan_stop(&self, world: &World, agenda: &mut Agenda) {
        if self.flows() == Some(false) {
            return agenda.wait(None, if self.is_held { Why::Held } else { Why::AsWanted });
        }
        if self.is_asleep() {
            return agenda.wait(None, Why::Asleep);
        }
        if let Some(since) = self.idle_since.filter(|_| self.is_at_connector() && !self.is_held)
            && world.now < since + CONNECTOR_STOPS
        {
            return agenda.wait(Some(since + CONNECTOR_STOPS), Why::Spacing);
        }
        match self.stop.step(world.now) {
            Step::At(at) => agenda.wait(Some(at), Why::BackOff),
            Step::GivenUp => {
                agenda.wait(None, Why::StopGivenUp);
                // What cannot be stopped is at least held down.
                self.plan_rate(world, HELD_DOWN, false, agenda);
            }
            Step::Now => {
                // What cannot be looked at is told all the same: too much current is worse than one call.
                let is_fresh = self.is_fresh(world.now, world.sources) && !self.is_unproven(self.stop.asked_at());
                if !is_fresh && self.vain_looks == 0 {
                    self.plan_look(world, agenda);
                }
                agenda.ask(Request::Stop, Purpose::Stop);
            }
        }
    }

    fn plan_rate(&self, world: &World, amps: Amps, may_raise: bool, agenda: &mut Agenda) {
        if self.is_asleep() || self.flows() != Some(true) {
            return;
        }
        let possible = self.state.amps_possible.as_ref().map(|seen| seen.value).filter(|amps| *amps >= FLOWS);
        match self.rate.step(world.now, amps, possible, self.told_amps()) {
            RateStep::Fine => agenda.wait(None, Why::AsWanted),
            RateStep::At(at) => agenda.wait(Some(at), Why::Spacing),
            RateStep::Send(_, Purpose::Rate) if !may_raise => agenda.wait(None, Why::NothingWanted),
            RateStep::Send(amps, purpose) => agenda.ask(Request::SetAmps(amps), purpose),
        }
    }

    /// What keeps it from being started, whether power is granted or not.
    pub(crate) fn start_obstacle(&self, world: &World) -> Option<(Option<Instant>, Why)> {
        let now = world.now;
        if let Some(reason) = &self.not_permitted {
            return Some((None, Why::NotPermitted(reason.clone())));
        }
        if self.is_held {
            return Some((None, Why::Held));
        }
        if matches!(&self.state.fast_charger, Some(seen) if seen.value) {
            return Some((None, Why::FastCharger));
        }
        let soc = self.state.soc.as_ref().filter(|seen| seen.at.is_some()).map(|seen| seen.value.get());
        let limit = self.awaited_limit(world).or(self.known_limit().map(|(limit, _)| limit));
        let room = soc.zip(limit).map(|(soc, limit)| limit.get() - soc);
        if room.is_some_and(|room| room <= 0.0) {
            return Some((None, Why::LimitReached));
        }
        let is_raised = self.awaited_limit(world).is_some();
        if let Some(word) = self.final_word.as_ref().filter(|word| !(is_raised && **word == Why::Complete)) {
            return Some((None, word.clone()));
        }
        match self.charging() {
            Some((ChargingState::Complete, _)) if room.is_none_or(|room| room <= 1.0) => {
                return Some((None, Why::Complete));
            }
            Some((ChargingState::NoPower, at)) if !self.is_at_connector() && now < at + NO_POWER_HOLDS => {
                return Some((Some(at + NO_POWER_HOLDS), Why::NoPower));
            }
            _ => {}
        }
        let is_pending = matches!(&self.state.schedule_pending, Some(seen) if seen.value && seen.at.is_some());
        if is_pending && world.settings.respect_schedule {
            return Some((None, Why::OwnTimer));
        }
        if self.start.step(now) == Step::GivenUp {
            return Some((None, Why::StartGivenUp));
        }
        if let Some(at) = self.enough_starts() {
            return Some((Some(at), Why::EnoughStarts));
        }
        if self.is_asleep() {
            if let Some(at) = self.wake_failed_at.map(|at| at + AFTER_FAILED_WAKE).filter(|at| now < *at) {
                return Some((Some(at), Why::DidNotWake));
            }
            if !route::could(&self.ways, world.sources, world.settings.policy, Request::Wake) {
                return Some((None, Why::Asleep));
            }
            if let Some(at) = self.enough_wakes() {
                return Some((Some(at), Why::EnoughWakes));
            }
        }
        None
    }

    fn plan_start(&self, world: &World, amps: Amps, agenda: &mut Agenda) {
        let now = world.now;
        if let Some((until, why)) = self.start_obstacle(world) {
            return agenda.wait(until, why);
        }
        let Some(powered) = self.powered_since else { return agenda.wait(None, Why::NoPower) };
        if self.is_at_connector() && now < powered + OWN_START {
            return agenda.wait(Some(powered + OWN_START), Why::OwnStart);
        }
        if let Step::At(at) = self.start.step(now) {
            return agenda.wait(Some(at), Why::BackOff);
        }
        if self.is_asleep() {
            return self.plan_wake(world, powered, agenda);
        }
        if !self.is_fresh(now, world.sources) {
            return self.plan_look(world, agenda);
        }
        if self.is_full() {
            // Its limit is raised first; then it begins by itself.
            return agenda.wait(None, Why::LimitReached);
        }
        if self.is_unproven(self.start.asked_at()) && self.may_look(world) {
            return agenda.ask(self.read(), Purpose::Looking);
        }
        // A car alone on its charger begins with what it was last set to: first make sure that this is not too much.
        if !self.is_at_connector() {
            let possible = self.state.amps_possible.as_ref().map(|seen| seen.value).filter(|amps| *amps >= FLOWS);
            match self.rate.step(now, amps, possible, self.told_amps()) {
                RateStep::Send(amps, Purpose::Reduce) => return agenda.ask(Request::SetAmps(amps), Purpose::Reduce),
                RateStep::At(at) if self.rate.believed(self.told_amps()).is_none_or(|set| set > amps) => {
                    return agenda.wait(Some(at), Why::Spacing);
                }
                _ => {}
            }
        }
        agenda.ask(Request::Start, Purpose::Start);
    }

    /// Whether nothing was told since a command that would show what it did.
    fn is_unproven(&self, asked_at: Option<Instant>) -> bool {
        let is_measured = self.is_at_connector() && self.connector.is_some_and(|view| view.draw.is_some());
        let told_at = self.charging().map(|(_, at)| at);
        !is_measured && asked_at.is_some_and(|asked| told_at.is_none_or(|told| told <= asked))
    }

    fn may_look(&self, world: &World) -> bool {
        self.vain_looks < MOST_VAIN_LOOKS && route::could(&self.ways, world.sources, world.settings.policy, self.read())
    }

    /// Too little is known to act: look first.
    fn plan_look(&self, world: &World, agenda: &mut Agenda) {
        let spacing = if self.vain_looks >= MOST_VAIN_LOOKS { VAIN_SPACING } else { LOOK_SPACING };
        let at = self.looked_at.map(|at| at + spacing).filter(|at| world.now < *at);
        match at {
            Some(at) => agenda.wait(Some(at), Why::Blind),
            None if route::could(&self.ways, world.sources, world.settings.policy, self.read()) => {
                agenda.ask(self.read(), Purpose::Looking);
            }
            None => agenda.wait(None, Why::Blind),
        }
    }

    fn plan_wake(&self, world: &World, powered: Instant, agenda: &mut Agenda) {
        let patience = WAKE_PATIENCE.get(self.wakes.len()).or(WAKE_PATIENCE.last()).copied().unwrap_or(1);
        let at = powered + world.settings.wake_delay * patience;
        if world.now < at {
            return agenda.wait(Some(at), Why::WakeDelay);
        }
        self.plan_waking(world, agenda);
    }

    /// Wakes it, after asking once more whether it still sleeps.
    fn plan_waking(&self, world: &World, agenda: &mut Agenda) {
        if let Some(at) = self.wake_failed_at.map(|at| at + AFTER_FAILED_WAKE).filter(|at| world.now < *at) {
            return agenda.wait(Some(at), Why::DidNotWake);
        }
        let known_at = self.state.wakefulness.as_ref().and_then(|seen| seen.at).max(self.looked_at);
        let is_known = known_at.is_some_and(|at| world.now.saturating_duration_since(at) < SLEEP_IS_KNOWN);
        if !is_known && let Some(ask) = self.may_read_sleep(world) {
            return agenda.ask(ask, Purpose::Looking);
        }
        if let Some(at) = self.enough_wakes() {
            return agenda.wait(Some(at), Why::EnoughWakes);
        }
        let lasts = self.powered_since.map(|since| since + POWER_LASTS);
        if lasts.is_some_and(|at| world.now >= at) {
            return agenda.ask(Request::Wake, Purpose::Start);
        }
        agenda.wait(lasts, Why::BudgetPace);
        agenda.ask(Request::Wake, Purpose::Wake);
    }

    /// Whether its charge limit may be raised for the policy: a full car begins by itself then, so only where it is granted
    /// power, or nobody shares out any.
    fn may_raise(&self, now: Instant) -> bool {
        let is_alone = self.unwished_since.is_some_and(|since| now >= since + HAD_ITS_SAY);
        self.wish.is_granted() || is_alone
    }

    /// The limit that the policy wants and the car does not have yet, where that is more than it has.
    fn awaited_limit(&self, world: &World) -> Option<Percent> {
        let wish = world.limit_wish.filter(|_| self.not_permitted.is_none())?;
        match self.limits.step(world.now, Some(wish), self.place.0, self.known_limit(), world.remembered) {
            LimitStep::Set { limit, raises: true, .. } => Some(limit),
            _ => None,
        }
    }

    fn is_full(&self) -> bool {
        let soc = self.state.soc.as_ref().filter(|seen| seen.at.is_some()).map(|seen| seen.value);
        soc.zip(self.known_limit()).is_some_and(|(soc, (limit, _))| soc >= limit)
    }

    fn plan_limit(&self, world: &World, agenda: &mut Agenda) {
        let wish = world.limit_wish.filter(|_| self.not_permitted.is_none());
        // The policy that wanted the limit before a restart has hardly had its turn: nothing is put back and set again.
        if world.limit_wish.is_none() && world.remembered.is_some() && world.now < world.settled_at {
            return agenda.wait(Some(world.settled_at), Why::Settling);
        }
        match self.limits.step(world.now, wish, self.place.0, self.known_limit(), world.remembered) {
            LimitStep::Fine => {}
            LimitStep::At(at) => agenda.wait(Some(at), Why::BackOff),
            LimitStep::GivenUp => agenda.wait(None, Why::LimitGivenUp),
            LimitStep::Remember(entry) => agenda.remember = Some(Some(entry)),
            LimitStep::Forget => agenda.remember = Some(None),
            LimitStep::Set { raises: true, .. } if wish.is_some() && !self.may_raise(world.now) => {
                let until = self.unwished_since.map(|since| since + HAD_ITS_SAY);
                agenda.wait(until, Why::NothingWanted);
            }
            LimitStep::Set { raises, .. } if self.is_asleep() => {
                let may_wake = raises && self.place.0 == Whereabouts::Home && self.plugged() == Some(true);
                if may_wake && route::could(&self.ways, world.sources, world.settings.policy, Request::Wake) {
                    self.plan_waking(world, agenda);
                } else {
                    agenda.wait(None, Why::Asleep);
                }
            }
            LimitStep::Set { .. } if !self.is_fresh(world.now, world.sources) => self.plan_look(world, agenda),
            LimitStep::Set { limit, remember, .. } => {
                let remember = Some(remember);
                agenda.asks.push(Plan { request: Request::SetLimit(limit), purpose: Purpose::Limit, remember });
            }
        }
    }

    fn plan_polling(&self, world: &World, agenda: &mut Agenda) {
        let free = |way: &&route::Way| way.abilities.reads && !way.abilities.is_billed;
        let copy = |way: &route::Way| way.abilities.reads && way.abilities.nearness == vehicle::Nearness::Copy;
        let is_asleep = self.is_asleep();
        let look = Look {
            heard_at: self.heard_at(),
            wakefulness_at: self.state.wakefulness.as_ref().and_then(|seen| seen.at),
            asked_at: self.looked_at,
            asleep_since: self.asleep_since.filter(|_| is_asleep),
            is_charging: self.flows() == Some(true),
            is_home: self.place.0 == Whereabouts::Home,
            is_driving: self.is_driving(),
            is_free: self.ways.values().any(|way| free(&way)),
            tells_sleep: self.may_read_sleep(world).is_some(),
            has_copy: self.ways.values().any(copy),
        };
        let is_measured = self.is_at_connector() && self.connector.is_some_and(|view| view.draw.is_some());
        let charging = world.settings.charging_interval * if is_measured { MEASURED_STRETCH } else { 1 };
        let next = polling::next(world.now, &look, world.settings.idle_interval, charging);
        let Some((request, at)) = next else { return };
        let request = if matches!(request, Request::Read { .. }) { self.read() } else { request };
        if !route::could(&self.ways, world.sources, world.settings.policy, request) {
            return;
        }
        if world.now < at {
            agenda.wait(Some(at), if is_asleep { Why::Asleep } else { Why::AsWanted });
        } else {
            agenda.ask(request, Purpose::Polling);
        }
    }
}
