//! The machine that leads the bus: its state, and what reaches it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use evse::{EventLevel, EvseLimits, EvseStatus, Link, Target};
use gen2_protocol::{CentiAmps, ContactorAction, Message, ProtocolVersion, RequestKind, TwcId};
use units::{Amps, Phases, Watts};

use super::conflict::Watch;
use super::connector::{Connector, ContactorWish};
use super::ledger::Ledger;
use super::{News, Output, Role};
use crate::mailbox::Command;
use crate::{BusStatus, Gen2Settings, StopMode};

/// Things that need looking after without any message are looked at this often.
pub(super) const HOUSEKEEPING: Duration = Duration::from_secs(1);
/// A lost connector is forgotten after this.
pub(super) const FORGET_AFTER: Duration = Duration::from_secs(600);
/// Stop by silence: nobody charges through this, and it ends by itself.
const SILENCE: Duration = Duration::from_secs(60);
/// Cars refuse after a few of these until they are plugged in anew (reported by users).
const MOST_SILENCES: u8 = 3;
/// A status whose numbers did not change is told again after this, for the sake of its age.
const REFRESH: Duration = Duration::from_secs(5);

/// Counters that the status of the bus shows.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Tally {
    pub(super) echoes: u64,
    pub(super) unanswered: u64,
    pub(super) late_answers: u64,
    pub(super) queries_unanswered: u64,
    pub(super) lateness: Duration,
    pub(super) worst: [Duration; 2],
    pub(super) worst_since: Option<Instant>,
}

/// State of the line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Line {
    Closed,
    Open,
    /// Another controller is there.
    StoodDown,
}

/// The announcement: five E1, then five E2.
#[derive(Debug, Clone, Copy)]
pub(super) struct Announcing {
    /// Ours, or that of connectors that shall choose another one.
    pub(super) id: TwcId,
    pub(super) sent: u8,
    pub(super) next: Instant,
}

/// What waits for an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asked {
    Heartbeat,
    Question(RequestKind),
    Contactor(ContactorAction),
}

#[derive(Debug, Clone, Copy)]
pub(super) struct InFlight {
    pub(super) connector: TwcId,
    pub(super) asked: Asked,
    pub(super) deadline: Instant,
}

/// The load-sharing controller.
pub(crate) struct Controller {
    pub(super) settings: Gen2Settings,
    pub(super) own_id: TwcId,
    pub(super) line: Line,
    pub(super) ever_opened: bool,
    pub(super) settled_at: Option<Instant>,
    pub(super) connectors: BTreeMap<TwcId, Connector>,
    pub(super) ledger: Ledger,
    pub(super) watch: Watch,
    pub(super) announcing: Option<Announcing>,
    pub(super) in_flight: Option<InFlight>,
    /// Nothing may be sent before.
    pub(super) free_at: Instant,
    /// Since when bytes have been coming without a gap.
    pub(super) busy_since: Instant,
    pub(super) last_byte_at: Option<Instant>,
    pub(super) lonely_since: Option<Instant>,
    pub(super) housekeeping_at: Option<Instant>,
    /// When something will be to send, as of the last look.
    pub(super) wake_at: Option<Instant>,
    pub(super) outputs: VecDeque<Output>,
    /// Conditions that were reported and hold still.
    pub(super) conditions: BTreeSet<(Option<TwcId>, &'static str)>,
    pub(super) shown: BTreeMap<TwcId, EvseStatus>,
    pub(super) tally: Tally,
}

impl Controller {
    pub(crate) fn new(settings: Gen2Settings, now: Instant) -> Self {
        Controller {
            own_id: settings.own_id,
            line: Line::Closed,
            ever_opened: false,
            settled_at: None,
            connectors: BTreeMap::new(),
            ledger: Ledger::new(settings.wiring_max_all),
            watch: Watch::default(),
            announcing: None,
            in_flight: None,
            free_at: now,
            busy_since: now,
            last_byte_at: None,
            lonely_since: None,
            housekeeping_at: None,
            wake_at: None,
            outputs: VecDeque::new(),
            conditions: BTreeSet::new(),
            shown: BTreeMap::new(),
            tally: Tally::default(),
            settings,
        }
    }

    /// Reports a condition once, until it is cleared.
    pub(super) fn raise(&mut self, connector: Option<TwcId>, level: EventLevel, code: &'static str, text: String) {
        if self.conditions.insert((connector, code)) {
            self.outputs.push_back(Output::News(News { connector, level, code, text, cleared: false }));
        }
    }

    /// Reports the end of a condition, if it was reported.
    pub(super) fn clear(&mut self, connector: Option<TwcId>, code: &'static str, text: String) {
        if self.conditions.remove(&(connector, code)) {
            let level = EventLevel::Info;
            self.outputs.push_back(Output::News(News { connector, level, code, text, cleared: true }));
        }
    }

    /// Tells something that has no end.
    pub(super) fn tell(&mut self, connector: Option<TwcId>, level: EventLevel, code: &'static str, text: String) {
        self.outputs.push_back(Output::News(News { connector, level, code, text, cleared: false }));
    }

    /// What bounds one connector.
    pub(super) fn limits(&self, connector: &Connector) -> EvseLimits {
        let rated = connector.rated.unwrap_or(self.settings.wiring_max_per);
        let version_least = amps(connector.version.least_current());
        EvseLimits {
            min: self.settings.least_offer.unwrap_or(version_least),
            max: rated.min(self.settings.wiring_max_per),
            volts: connector.metering.volts_now(),
            phases: connector.metering.phases(),
        }
    }

    /// What one connector may be told by target, rating and wiring: whole amps, zero or at least the least.
    pub(super) fn desired(&self, connector: &Connector, now: Instant) -> Amps {
        let limits = self.limits(connector);
        let granted = match connector.target {
            Some(target) if now < target.expires_at => target.amps(&limits),
            _ => self.settings.fallback_offer.min(limits.max),
        };
        let granted = granted.whole_amps_floor();
        let blocked = connector.is_faulted() || connector.link == Link::Lost;
        if blocked || granted < limits.min { Amps::ZERO } else { granted }
    }

    /// Tells a connector's new status if it differs from what was told last, or that is old.
    pub(super) fn show(&mut self, id: TwcId, now: Instant) {
        let Some(status) = self.status(id, now) else { return };
        let changed = self.shown.get(&id).is_none_or(|shown| {
            let old = status.heard_at.saturating_duration_since(shown.heard_at) >= REFRESH;
            let same = EvseStatus { heard_at: shown.heard_at, ..status.clone() } == *shown;
            old || !same
        });
        if changed {
            self.shown.insert(id, status);
            self.outputs.push_back(Output::Changed(id));
        }
    }

    /// Looks after everything that only time changes.
    pub(super) fn keep_house(&mut self, now: Instant) {
        let ids: Vec<TwcId> = self.connectors.keys().copied().collect();
        for id in ids {
            self.judge_link(id, now);
            let offered = self.ledger.told(id, now).unwrap_or(Amps::ZERO);
            let Some(connector) = self.connectors.get(&id) else { continue };
            let limits = self.limits(connector);
            let Some(connector) = self.connectors.get_mut(&id) else { continue };
            let turn = connector.age(offered, &limits, now);
            if connector.silent_until.is_some_and(|until| now >= until) {
                connector.silent_until = None;
                connector.must_tell = true;
                connector.due = now;
                self.tell(Some(id), EventLevel::Info, "silence_over", format!("{id} hears heartbeats again"));
            }
            self.after_turn(id, turn, now);
            self.show(id, now);
        }
        self.judge_circuit(now);
        self.judge_line(now);
    }

    /// Reports when more counts than the circuit allows although everything that can be lowered was.
    fn judge_circuit(&mut self, now: Instant) {
        let (sum, limit) = (self.ledger.sum(now), self.ledger.limit());
        if sum > limit {
            self.raise(
                None,
                EventLevel::Alarm,
                "circuit_exceeded",
                format!(
                    "the connectors may use {sum} while the wiring allows {limit}: what can be lowered was. It passes when \
                     connectors obey or when silent ones have ended charging; if it stays, compare wiringMaxAmpsAllTWCs \
                     with the number of connectors, since each that charges uses at least 6 A"
                ),
            );
        } else {
            self.clear(None, "circuit_exceeded", format!("the connectors are within {limit} again"));
        }
    }

    fn stop_by_command(&mut self, id: TwcId, mode: StopMode, now: Instant) {
        let Some(connector) = self.connectors.get_mut(&id) else { return };
        match mode {
            StopMode::Contactor if connector.version == ProtocolVersion::V2 => {
                connector.contactor = Some(ContactorWish { action: ContactorAction::Open, tries: 0, not_before: now });
            }
            StopMode::Silence if connector.version == ProtocolVersion::V2 => {
                if connector.silences >= MOST_SILENCES {
                    self.tell(
                        Some(id),
                        EventLevel::Warning,
                        "silence_used_up",
                        format!(
                            "{id} is not stopped by silence again before its car is plugged in anew: cars refuse to charge \
                             after a few times. It goes on at 6 A"
                        ),
                    );
                } else if !connector.is_silenced(now) {
                    connector.silences += 1;
                    connector.silent_until = Some(now + SILENCE);
                    let count = connector.silences;
                    self.tell(
                        Some(id),
                        EventLevel::Info,
                        "silence",
                        format!("{id} hears no heartbeat for a minute to stop its car ({count} of {MOST_SILENCES})"),
                    );
                }
            }
            // Version 1 stops at an offer of zero.
            _ => {
                let expires_at = connector.target.map_or(now, |target| target.expires_at);
                let volts = connector.metering.volts_now();
                connector.target = Some(Target { power: Watts::ZERO, volts, phases: Phases::One, expires_at });
            }
        }
    }

    fn start_by_command(&mut self, id: TwcId, mode: StopMode, now: Instant) {
        let Some(connector) = self.connectors.get_mut(&id) else { return };
        connector.forgive();
        if connector.is_faulted() {
            return;
        }
        if connector.silent_until.take().is_some() {
            connector.must_tell = true;
            connector.due = now;
        }
        if mode == StopMode::Contactor && connector.version == ProtocolVersion::V2 {
            connector.contactor = Some(ContactorWish { action: ContactorAction::Close, tries: 0, not_before: now });
        }
    }
}

impl Role for Controller {
    fn line_opened(&mut self, now: Instant) {
        self.line = Line::Open;
        self.watch.line_opened();
        self.in_flight = None;
        self.free_at = now;
        self.last_byte_at = Some(now);
        self.housekeeping_at = Some(now + HOUSEKEEPING);
        if !self.ever_opened {
            self.ever_opened = true;
            self.settled_at = Some(now + self.settings.settle_time);
        }
        self.take_line_over(now);
        self.advance(now);
    }

    fn line_closed(&mut self, now: Instant) {
        self.line = Line::Closed;
        self.in_flight = None;
        self.announcing = None;
        self.wake_at = None;
        self.keep_house(now);
        self.housekeeping_at = (!self.connectors.is_empty()).then_some(now + HOUSEKEEPING);
    }

    fn handle_activity(&mut self, now: Instant) {
        self.last_byte_at = Some(now);
        self.occupied(now);
        self.advance(now);
    }

    fn handle_message(&mut self, message: &Message, salvaged: bool, now: Instant) {
        self.last_byte_at = Some(now);
        self.occupied(now);
        if message.is_from_master() {
            self.hear_master(message, salvaged, now);
        } else {
            match message {
                Message::SlaveHeartbeat(heartbeat) => self.take_heartbeat(heartbeat, now),
                Message::SlaveLinkReady(ready) => self.take_link_ready(ready, now),
                Message::ContactorAnswer(answer) => {
                    if let Some(connector) = self.connectors.get_mut(&answer.slave) {
                        if connector.contactor.is_some_and(|wish| wish.action == answer.action) {
                            connector.contactor = None;
                        }
                        connector.heard_at = now;
                        self.answer_came(answer.slave, Asked::Contactor(answer.action), now);
                    }
                }
                other => self.take_information(other, now),
            }
        }
        self.advance(now);
    }

    fn handle_target(&mut self, connector: TwcId, target: Target, _now: Instant) {
        if let Some(connector) = self.connectors.get_mut(&connector) {
            connector.target = Some(target);
        }
    }

    fn handle_command(&mut self, command: Command, now: Instant) {
        match command {
            Command::Start(id) => self.start_by_command(id, self.settings.stop_mode, now),
            Command::Stop(id) => self.stop_by_command(id, self.settings.stop_mode, now),
            // As TWCManager does: a person's word goes over the bus whatever `chargeStopMode` says.
            Command::StartOnRequest(id) => self.start_by_command(id, StopMode::Contactor, now),
            Command::StopOnRequest(id) => self.stop_by_command(id, StopMode::Contactor, now),
            Command::Ask(id, kind) => {
                if let Some(connector) = self.connectors.get_mut(&id) {
                    connector.queries.ask(kind);
                }
            }
            Command::Announce => self.announce(self.own_id, now),
        }
    }

    fn set_circuit_limit(&mut self, limit: Option<Amps>, _now: Instant) {
        let wiring = self.settings.wiring_max_all;
        self.ledger.set_limit(limit.map_or(wiring, |limit| limit.min(wiring)));
    }

    fn set_spikes(&mut self, proactively: bool, reactively: bool) {
        self.settings.spike_proactively = proactively;
        self.settings.spike_reactively = reactively;
    }

    fn handle_timeout(&mut self, now: Instant) {
        if self.housekeeping_at.is_some_and(|at| now >= at) {
            let busy = self.line != Line::Closed || !self.connectors.is_empty();
            self.housekeeping_at = busy.then_some(now + HOUSEKEEPING);
            self.keep_house(now);
        }
        self.advance(now);
    }

    fn next_timeout(&self) -> Option<Instant> {
        [self.wake_at, self.housekeeping_at].into_iter().flatten().min()
    }

    fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    fn status(&self, connector: TwcId, now: Instant) -> Option<EvseStatus> {
        self.connectors.get(&connector).map(|connector| super::status::of_connector(self, connector, now))
    }

    fn describe(&self, bus: &mut BusStatus, now: Instant) {
        super::status::of_bus(self, bus, now);
    }
}

/// A current from the wire.
pub(super) fn amps(current: CentiAmps) -> Amps {
    Amps::from_centiamps(i32::from(current.0))
}

/// A current for the wire.
pub(super) fn centiamps(current: Amps) -> CentiAmps {
    CentiAmps(u16::try_from(current.centiamps().max(0)).unwrap_or(u16::MAX))
}
