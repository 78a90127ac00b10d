//! What counts against the wiring, connector by connector.
//!
//! A connector takes any limit without question, so the sum of what was *told*, not of what is drawn, must stay within the
//! wiring. What was told once is given up only when the connector has shown that it heard less: a report that can only be
//! the answer to the lower limit, and a draw that followed.
//!
//! | what | counts |
//! | --- | --- |
//! | told a limit | at once, before the frame leaves |
//! | told less | the old limit until an answer to the new one echoes it and the draw is down, or 10 s after the echo the draw itself |
//! | reports more than it was told | what it reports |
//! | draws more than its limit and 10 % and 1 A | what it draws |
//! | version 2 that draws, or was lowered under 6 A moments ago | at least 6 A |
//! | silent | all of that until 40 s after the last heartbeat it may have heard |

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use gen2_protocol::{ProtocolVersion, TwcId};
use units::Amps;

/// How long an unheard connector may go on with what it was told: it ends charging about 30 s after the last heartbeat (reported
/// by users), and a margin.
pub(crate) const RESERVE_AFTER_SILENCE: Duration = Duration::from_secs(40);
/// After this time an echoed limit counts even if the draw is not down; the draw itself counts then. Cars follow within
/// 5 s (captures).
const TIME_TO_OBEY: Duration = Duration::from_secs(10);
/// How long a version 2 connector that was told to stop may still fall to 6 A instead.
const FALLBACK_WATCH: Duration = Duration::from_secs(15);
/// What a version 2 connector with a drawing car falls to when told nothing (captures).
pub(crate) const V2_FLOOR: Amps = Amps::from_whole(6);
/// A draw from here on is charging; idle connectors show up to 0.25 A.
pub(crate) const DRAWING: Amps = Amps::from_whole(1);
/// A draw seen this recently counts as drawing.
const DRAW_DEBOUNCE: Duration = Duration::from_secs(5);
/// An answer later than this is not expected any more: networks stall for seconds, and a connection that is silent for so
/// long is given up.
const ANSWER_HORIZON: Duration = Duration::from_secs(15);
/// Unanswered heartbeats remembered: one a second and some extra.
const MOST_UNANSWERED: usize = 20;
/// A newcomer that told nothing about itself for this long is not charging on an old limit that we could learn of.
pub(crate) const UNHEARD_GRACE: Duration = Duration::from_secs(5);

/// What a connector says about itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Report {
    /// The limit it obeys.
    pub(crate) limit: Amps,
    /// What flows.
    pub(crate) drawn: Amps,
    /// Whether it is in error.
    pub(crate) faulted: bool,
}

#[derive(Debug, Clone)]
struct Lowering {
    /// Answers that may still belong to earlier heartbeats, and one.
    answers_needed: usize,
    echoed_at: Option<Instant>,
    since: Instant,
}

#[derive(Debug, Clone)]
struct Account {
    version: ProtocolVersion,
    opened_at: Instant,
    told: Option<Amps>,
    held: Amps,
    report: Option<Report>,
    reported_at: Option<Instant>,
    last_sent: Option<Instant>,
    drew_at: Option<Instant>,
    faulted_since: Option<Instant>,
    lowering: Option<Lowering>,
    floor_until: Option<Instant>,
    /// Heartbeats without an answer yet, oldest first.
    unanswered: VecDeque<Instant>,
}

/// The accounts of all connectors on one circuit.
#[derive(Debug, Clone)]
pub(crate) struct Ledger {
    limit: Amps,
    accounts: BTreeMap<TwcId, Account>,
}

impl Ledger {
    pub(crate) fn new(limit: Amps) -> Self {
        Ledger { limit, accounts: BTreeMap::new() }
    }

    pub(crate) fn limit(&self) -> Amps {
        self.limit
    }

    pub(crate) fn set_limit(&mut self, limit: Amps) {
        self.limit = limit.at_least_zero();
    }

    /// A connector linked up. What it was told before stays counted until it shows otherwise.
    pub(crate) fn link_up(&mut self, id: TwcId, version: ProtocolVersion, now: Instant) {
        if let Some(account) = self.accounts.get_mut(&id).filter(|account| account.is_alive(now)) {
            account.version = version;
            account.told = None;
            account.opened_at = now;
            return;
        }
        self.accounts.insert(id, Account::new(version, now));
    }

    /// Forgets a connector, whatever was told to it: only for one that is known to be no more.
    pub(crate) fn forget(&mut self, id: TwcId) {
        self.accounts.remove(&id);
    }

    /// A heartbeat leaves; `limit` is what it tells, if anything. To be called before the frame is handed out.
    pub(crate) fn tell(&mut self, id: TwcId, limit: Option<Amps>, now: Instant) {
        let Some(account) = self.accounts.get_mut(&id) else { return };
        if !account.remembers(now) {
            // Whatever it was told has run out; a car that it let charge stopped long ago.
            account.held = Amps::ZERO;
            account.told = None;
            account.lowering = None;
        }
        if !account.is_alive(now) {
            account.report = None;
        }
        if let Some(limit) = limit {
            account.tell(limit, now);
        }
        account.last_sent = Some(now);
        account.unanswered.push_back(now);
        if account.unanswered.len() > MOST_UNANSWERED {
            account.unanswered.pop_front();
        }
    }

    /// A connector reports about itself. `to_us` tells an answer to our heartbeats from what another controller gets.
    pub(crate) fn report(&mut self, id: TwcId, report: Report, to_us: bool, now: Instant) {
        if let Some(account) = self.accounts.get_mut(&id) {
            account.take_report(report, to_us, now);
        }
    }

    /// What was last told, if anything since the connector linked up and not so long ago that it has run out.
    pub(crate) fn told(&self, id: TwcId, now: Instant) -> Option<Amps> {
        self.accounts.get(&id).filter(|account| account.remembers(now))?.told
    }

    /// What counts for one connector.
    pub(crate) fn committed(&self, id: TwcId, now: Instant) -> Amps {
        self.accounts.get(&id).map_or(Amps::ZERO, |account| account.committed(now))
    }

    /// What counts for all.
    pub(crate) fn sum(&self, now: Instant) -> Amps {
        self.accounts.values().map(|account| account.committed(now)).sum()
    }

    /// What one connector may be told when all others keep what counts for them.
    pub(crate) fn room_for(&self, id: TwcId, now: Instant) -> Amps {
        let others: Amps =
            self.accounts.iter().filter(|(other, _)| **other != id).map(|(_, account)| account.committed(now)).sum();
        (self.limit - others).at_least_zero()
    }

    /// What counts for one connector whatever it is told next: what it falls to, and what it uses beyond its limit and does
    /// not let go.
    pub(crate) fn unavoidable(&self, id: TwcId, now: Instant) -> Amps {
        let Some(account) = self.accounts.get(&id) else { return Amps::ZERO };
        let obeying = account
            .lowering
            .as_ref()
            .is_some_and(|lowering| now.saturating_duration_since(lowering.since) < TIME_TO_OBEY);
        let committed = account.committed(now);
        if !obeying && committed > account.told.unwrap_or(Amps::ZERO) { committed } else { account.floor(now) }
    }

    /// Whether something counts for this connector still.
    pub(crate) fn is_reserved(&self, id: TwcId, now: Instant) -> bool {
        self.committed(id, now) > Amps::ZERO
    }

    /// Whether a newcomer has yet to say what it uses: nobody is told more meanwhile.
    pub(crate) fn awaits_newcomer(&self, now: Instant) -> bool {
        self.accounts.values().any(|account| account.is_unheard(now))
    }

    /// How long one connector has not obeyed a lower limit.
    pub(crate) fn disobeys_for(&self, id: TwcId, now: Instant) -> Option<Duration> {
        let lowering = self.accounts.get(&id)?.lowering.as_ref()?;
        Some(now.saturating_duration_since(lowering.since))
    }
}

/// A little more than a limit is normal: reports scatter around it (captures).
pub(crate) fn with_tolerance(limit: Amps) -> Amps {
    limit + Amps::from_centiamps(limit.centiamps() / 10) + Amps::from_whole(1)
}

impl Account {
    fn new(version: ProtocolVersion, now: Instant) -> Self {
        Account {
            version,
            opened_at: now,
            told: None,
            held: Amps::ZERO,
            report: None,
            reported_at: None,
            last_sent: None,
            drew_at: None,
            faulted_since: None,
            lowering: None,
            floor_until: None,
            unanswered: VecDeque::new(),
        }
    }

    /// Whether anything that it heard or said can still matter. A link-ready alone says nothing of what it uses.
    fn is_alive(&self, now: Instant) -> bool {
        let latest = self.last_sent.max(self.reported_at);
        latest.is_some_and(|at| now.saturating_duration_since(at) < RESERVE_AFTER_SILENCE)
    }

    /// Whether it may still go by what we told it.
    fn remembers(&self, now: Instant) -> bool {
        self.last_sent.is_some_and(|at| now.saturating_duration_since(at) < RESERVE_AFTER_SILENCE)
    }

    fn is_unheard(&self, now: Instant) -> bool {
        self.reported_at.is_none_or(|at| at < self.opened_at)
            && now.saturating_duration_since(self.opened_at) < UNHEARD_GRACE
    }

    fn tell(&mut self, limit: Amps, now: Instant) {
        let news = self.told != Some(limit);
        if limit >= self.held {
            self.held = limit;
            self.lowering = None;
        } else if news || self.lowering.is_none() {
            let horizon = |sent: &Instant| now.saturating_duration_since(*sent) < ANSWER_HORIZON;
            self.unanswered.retain(horizon);
            let since = self.lowering.as_ref().map_or(now, |lowering| lowering.since);
            self.lowering = Some(Lowering { answers_needed: self.unanswered.len() + 1, echoed_at: None, since });
        }
        if news && limit < V2_FLOOR && self.held > Amps::ZERO {
            self.floor_until = Some(now + FALLBACK_WATCH);
        }
        self.told = Some(limit);
    }

    fn take_report(&mut self, report: Report, to_us: bool, now: Instant) {
        self.report = Some(report);
        self.reported_at = Some(now);
        if report.drawn >= DRAWING {
            self.drew_at = Some(now);
        }
        self.faulted_since = if report.faulted { self.faulted_since.or(Some(now)) } else { None };
        if !to_us {
            return;
        }
        self.unanswered.pop_front();
        let target = self.told.unwrap_or(self.held).max(self.unavoidable());
        let Some(lowering) = self.lowering.as_mut() else { return };
        lowering.answers_needed = lowering.answers_needed.saturating_sub(1);
        if lowering.answers_needed > 0 {
            return;
        }
        if report.limit > target {
            lowering.echoed_at = None;
            return;
        }
        let echoed_at = *lowering.echoed_at.get_or_insert(now);
        let obeyed = report.drawn <= with_tolerance(target);
        if obeyed || now.saturating_duration_since(echoed_at) >= TIME_TO_OBEY {
            self.held = self.told.unwrap_or(self.held);
            self.lowering = None;
        }
    }

    /// What this version falls to when it is told less.
    fn unavoidable(&self) -> Amps {
        match self.version {
            ProtocolVersion::V1 => Amps::ZERO,
            ProtocolVersion::V2 => V2_FLOOR,
        }
    }

    fn floor(&self, now: Instant) -> Amps {
        let draws = self.report.is_some_and(|report| report.drawn >= DRAWING)
            || self.drew_at.is_some_and(|at| now.saturating_duration_since(at) < DRAW_DEBOUNCE);
        let may_fall_back = self.floor_until.is_some_and(|until| now < until);
        if self.is_alive(now) && (draws || may_fall_back) { self.unavoidable() } else { Amps::ZERO }
    }

    fn committed(&self, now: Instant) -> Amps {
        if !self.is_alive(now) {
            return Amps::ZERO;
        }
        let (reported, drawn) = self.report.map_or((Amps::ZERO, Amps::ZERO), |report| (report.limit, report.drawn));
        let rests = self.faulted_since.is_some_and(|since| now.saturating_duration_since(since) >= TIME_TO_OBEY);
        let held = if rests || !self.remembers(now) { Amps::ZERO } else { self.held };
        let allowed = held.max(reported).max(self.floor(now));
        if drawn > with_tolerance(allowed) { drawn } else { allowed }
    }
}
