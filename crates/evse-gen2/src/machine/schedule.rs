//! Whose turn it is on the line.
//!
//! One request at a time: the next frame waits for the answer or its time-out. In this order:
//!
//! 1. a lower limit;
//! 2. heartbeats that are due, the longest overdue first, each connector once a second;
//! 3. heartbeats before their time: a higher limit that has become possible, and those due soon, so that they stay together
//!    and leave one long gap;
//! 4. the announcement and contactor commands;
//! 5. one question, if its time-out ends before the next heartbeat is due.

use std::time::{Duration, Instant};

use evse::{EventLevel, Link};
use gen2_protocol::{ContactorCommand, MasterLinkReady, MasterMessage, Order, Request, RequestKind, Sign, TwcId};
use units::Amps;

use super::connector::Connector;
use super::controller::{Announcing, Asked, Controller, InFlight, Line, centiamps};
use super::ledger::with_tolerance;
use super::offer::{Share, Wish, plan};
use super::spike::Sight;
use super::{Output, ledger};

/// Real controllers' pace (captures: 1 to 3 s).
const HEARTBEAT_PERIOD: Duration = Duration::from_secs(1);
/// Between announcements, as upstream has it.
const ANNOUNCE_PERIOD: Duration = Duration::from_millis(100);
/// Five of each kind.
const ANNOUNCEMENTS_OF_A_KIND: u8 = 5;
/// After a frame on the line nobody speaks for this long: real units release the line slowly.
const LINE_GAP: Duration = Duration::from_millis(10);
/// Noise that never ends does not hold up heartbeats for longer than this.
const LONGEST_BUSY: Duration = Duration::from_millis(150);
/// A frame without an answer takes up to 44 ms at 9600 baud when every byte is escaped; this is for the usual one.
const OWN_FRAME: Duration = Duration::from_millis(40);
/// A connector is told more at most this often: its car needs 1 to 5 s to follow (captures).
const RAISE_PERIOD: Duration = Duration::from_secs(5);
/// On a local port a question needs this long at most, and heartbeats due within it are sent first.
const LOCAL_QUESTION: Duration = Duration::from_millis(150);
/// The sign with which the fake master announces itself, by tradition.
const OWN_SIGN: Sign = Sign(0x77);
/// Tries of a contactor command, and the time between.
const CONTACTOR_TRIES: u8 = 3;
const CONTACTOR_RETRY: Duration = Duration::from_secs(2);

impl Controller {
    /// Begins to announce `id`.
    pub(super) fn announce(&mut self, id: TwcId, now: Instant) {
        self.announcing = Some(Announcing { id, sent: 0, next: now });
    }

    /// The line carries something: nobody speaks over it, unless it babbles on and on.
    pub(super) fn occupied(&mut self, now: Instant) {
        if now >= self.free_at {
            self.busy_since = now;
        }
        let most = self.busy_since + LONGEST_BUSY;
        self.free_at = self.free_at.max((now + LINE_GAP).min(most));
    }

    /// An answer ends the wait for it.
    pub(super) fn answer_came(&mut self, connector: TwcId, asked: Asked, now: Instant) {
        match self.in_flight {
            Some(waiting) if waiting.connector == connector && waiting.asked == asked => self.in_flight = None,
            _ if asked == Asked::Heartbeat => {
                let was_missed = self.connectors.get(&connector).is_some_and(|connector| connector.missed > 0);
                self.tally.late_answers += u64::from(was_missed);
            }
            _ => {}
        }
        self.occupied(now);
    }

    /// Sends what is to be sent now, if the line is free.
    pub(super) fn advance(&mut self, now: Instant) {
        if let Some(waiting) = self.in_flight.filter(|waiting| now >= waiting.deadline) {
            self.in_flight = None;
            self.answer_missing(waiting, now);
        }
        if self.line == Line::Open && self.in_flight.is_none() && now >= self.free_at {
            let shares = self.plan(now);
            if let Some((id, limit)) = self.next_heartbeat(&shares, now) {
                self.send_heartbeat(id, limit, now);
            } else if !(self.send_announcement(now) || self.send_contactor(now)) {
                self.send_question(now);
            }
        }
        self.wake_at = self.next_send(now);
    }

    /// When `advance` will have something to do unless something happens before.
    fn next_send(&self, now: Instant) -> Option<Instant> {
        if self.line != Line::Open {
            return None;
        }
        if let Some(waiting) = self.in_flight {
            return Some(waiting.deadline);
        }
        let free = self.free_at.max(now);
        let all = || self.connectors.values();
        let heartbeat = self.earliest_due();
        let announcement = self.announcing.map(|announcing| announcing.next);
        let contactor = all().filter(|c| c.link == Link::Up).filter_map(|c| Some(c.contactor?.not_before)).min();
        // A question that would not end before the next heartbeat waits for after it.
        let question = self
            .next_question(free)
            .map(|(at, _, _)| at)
            .filter(|at| heartbeat.is_none_or(|due| *at + self.question_time() <= due));
        // Held up by the line alone.
        let change = Some(free).filter(|_| now < self.free_at && self.has_change(now));
        let spike = all().filter_map(|c| c.spike.next_change(now)).min();
        let expiry = all().filter_map(|c| Some(c.target?.expires_at)).filter(|at| *at > now).min();
        let earliest =
            [heartbeat, announcement, contactor, question, change, spike, expiry].into_iter().flatten().min()?;
        Some(earliest.max(self.free_at))
    }

    /// Whether somebody would be told another limit now.
    fn has_change(&self, now: Instant) -> bool {
        self.plan(now).iter().any(|share| {
            self.connectors.get(&share.id).is_some_and(|connector| {
                Self::hears_heartbeats(connector, now)
                    && !connector.is_faulted()
                    && share.now != self.ledger.told(share.id, now).unwrap_or(Amps::ZERO)
            })
        })
    }

    /// What each connector can be told at this moment.
    pub(super) fn plan(&self, now: Instant) -> Vec<Share> {
        let all_may_rise = self.settled_at.is_some_and(|at| now >= at) && !self.ledger.awaits_newcomer(now);
        let wishes: Vec<Wish> = self
            .connectors
            .values()
            .map(|connector| Wish {
                id: connector.id,
                desired: self.desired(connector, now),
                least: whole_amps_ceiling(self.limits(connector).min),
                steerable: self.is_steerable(connector, now),
                may_rise: all_may_rise && may_rise(connector, now),
                charging: connector.charging,
            })
            .collect();
        plan(&self.ledger, &wishes, now)
    }

    fn is_steerable(&self, connector: &Connector, now: Instant) -> bool {
        connector.link != Link::Lost && !connector.is_faulted() && !connector.is_silenced(now)
    }

    /// Whether this connector takes part in heartbeats at all.
    fn hears_heartbeats(connector: &Connector, now: Instant) -> bool {
        connector.link != Link::Lost && !connector.is_silenced(now)
    }

    fn earliest_due(&self) -> Option<Instant> {
        self.connectors
            .values()
            .filter(|connector| connector.link != Link::Lost)
            .map(|connector| connector.silent_until.map_or(connector.due, |until| until.max(connector.due)))
            .min()
    }

    /// Which connector gets a heartbeat now, and the limit it may carry.
    fn next_heartbeat(&mut self, shares: &[Share], now: Instant) -> Option<(TwcId, Amps)> {
        let mut best: Option<(u8, Instant, TwcId, Amps)> = None;
        // Those due soon go along only when one is due anyway or has just gone: that keeps them together.
        let reach = if self.settings.port.is_network() { HEARTBEAT_PERIOD / 2 } else { HEARTBEAT_PERIOD / 8 };
        let just_sent = self.connectors.values().filter_map(|c| c.sent_at).max();
        let in_burst = just_sent.is_some_and(|at| now.saturating_duration_since(at) <= self.settings.answer_within());
        let (proactively, reactively) = (self.settings.spike_proactively, self.settings.spike_reactively);
        for share in shares {
            let Some(connector) = self.connectors.get(&share.id) else { continue };
            if !Self::hears_heartbeats(connector, now) {
                continue;
            }
            let limits = self.limits(connector);
            let room = self.ledger.room_for(share.id, now).min(limits.max);
            let told = self.ledger.told(share.id, now).unwrap_or(Amps::ZERO);
            let sight = Sight {
                wanted: share.now,
                told,
                drawn: connector.heard.map_or(Amps::ZERO, |heard| heard.drawn),
                rated: connector.rated,
                room: if connector.spike.is_up() || may_rise(connector, now) { room } else { Amps::ZERO },
                may_rise: may_rise(connector, now) && self.settled_at.is_some_and(|at| now >= at),
                proactively,
                reactively,
            };
            let faulted = connector.is_faulted();
            let overdue = connector.due <= now;
            let soon = in_burst && connector.due <= now + reach;
            let Some(connector) = self.connectors.get_mut(&share.id) else { continue };
            let limit = if faulted { share.now } else { connector.spike.apply(sight, now) };
            let urgency = if limit < told && !faulted {
                0
            } else if overdue {
                1
            } else if limit > told && !faulted {
                2
            } else if soon {
                3
            } else {
                continue;
            };
            let candidate = (urgency, connector.due, share.id, limit);
            if best.is_none_or(|best| (candidate.0, candidate.1) < (best.0, best.1)) {
                best = Some(candidate);
            }
        }
        best.map(|(_, _, id, limit)| (id, limit))
    }

    fn send_heartbeat(&mut self, id: TwcId, limit: Amps, now: Instant) {
        let told = self.ledger.told(id, now);
        let master = self.own_id;
        let within = self.settings.answer_within();
        let Some(connector) = self.connectors.get_mut(&id) else { return };
        let reported = connector.heard.map(|heard| heard.limit);
        // Zero is repeated every time: alternating with "no change" makes contactors click (captures).
        let says_limit = connector.must_tell || limit == Amps::ZERO || told != Some(limit) || reported != Some(limit);
        let order =
            if connector.is_faulted() || !says_limit { Order::NoChange } else { Order::Limit(centiamps(limit)) };
        if order.current().is_some() {
            connector.must_tell = false;
            if limit > told.unwrap_or(Amps::ZERO) {
                connector.raised_at = Some(now);
            }
        }
        let lateness = now.saturating_duration_since(connector.due);
        if connector.sent_at.is_some() {
            self.tally.note_lateness(lateness, now);
        }
        // Kept to the beat unless it is behind by more than one.
        let next = connector.due + HEARTBEAT_PERIOD;
        let on_beat = connector.due <= now && next > now + HEARTBEAT_PERIOD / 2;
        connector.due = if on_beat { next } else { now + HEARTBEAT_PERIOD };
        connector.sent_at = Some(now);
        let version = connector.version;
        self.ledger.tell(id, order.current().map(|_| limit), now);
        self.in_flight = Some(InFlight { connector: id, asked: Asked::Heartbeat, deadline: now + within });
        self.send(MasterMessage::Heartbeat { master, slave: id, version, order }, now);
        self.show(id, now);
    }

    fn send(&mut self, message: MasterMessage, now: Instant) {
        self.watch.sent(message, now);
        self.outputs.push_back(Output::Send(message));
    }

    fn send_announcement(&mut self, now: Instant) -> bool {
        let Some(announcing) = self.announcing.as_mut().filter(|announcing| now >= announcing.next) else {
            return false;
        };
        let ready = MasterLinkReady { master: announcing.id, sign: OWN_SIGN };
        let message = if announcing.sent < ANNOUNCEMENTS_OF_A_KIND {
            MasterMessage::LinkReady1(ready)
        } else {
            MasterMessage::LinkReady2(ready)
        };
        announcing.sent += 1;
        announcing.next = now + ANNOUNCE_PERIOD;
        if announcing.sent >= 2 * ANNOUNCEMENTS_OF_A_KIND {
            self.announcing = None;
        }
        self.free_at = now + OWN_FRAME;
        self.send(message, now);
        true
    }

    fn send_contactor(&mut self, now: Instant) -> bool {
        let within = self.settings.answer_within();
        let master = self.own_id;
        let due = self.connectors.values_mut().filter(|c| c.link == Link::Up).find_map(|connector| {
            let wish = connector.contactor.as_mut().filter(|wish| now >= wish.not_before)?;
            wish.tries += 1;
            wish.not_before = now + CONTACTOR_RETRY;
            let (action, last) = (wish.action, wish.tries >= CONTACTOR_TRIES);
            if last {
                connector.contactor = None;
            }
            Some((connector.id, action, last))
        });
        let Some((slave, action, last)) = due else { return false };
        self.in_flight = Some(InFlight { connector: slave, asked: Asked::Contactor(action), deadline: now + within });
        self.send(MasterMessage::Contactor(ContactorCommand { action, master, slave }), now);
        if last {
            log::info!("{slave}: last try to make it {action} its contactor");
        }
        true
    }

    fn send_question(&mut self, now: Instant) -> bool {
        let Some((at, slave, kind)) = self.next_question(now) else { return false };
        let time = self.question_time();
        if at > now || self.earliest_due().is_some_and(|due| now + time > due) {
            return false;
        }
        let Some(connector) = self.connectors.get_mut(&slave) else { return false };
        let situation = connector.situation();
        connector.queries.asked(kind, now, situation);
        self.in_flight = Some(InFlight { connector: slave, asked: Asked::Question(kind), deadline: now + time });
        let request = Request { kind, master: self.own_id, slave };
        self.send(MasterMessage::Request(request), now);
        true
    }

    /// The question that is due first, and when.
    fn next_question(&self, now: Instant) -> Option<(Instant, TwcId, RequestKind)> {
        self.connectors
            .values()
            .filter(|c| c.link == Link::Up && !c.is_silenced(now) && !c.led_by_other)
            // Version 1 answers nothing of the kind.
            .filter(|c| c.version == gen2_protocol::ProtocolVersion::V2)
            .filter_map(|c| c.queries.next(now, c.situation()).map(|(at, kind)| (at, c.id, kind)))
            .min_by_key(|(at, _, _)| *at)
    }

    fn question_time(&self) -> Duration {
        let within = self.settings.answer_within();
        if self.settings.port.is_network() { within } else { within.min(LOCAL_QUESTION) }
    }

    fn answer_missing(&mut self, waiting: InFlight, now: Instant) {
        let id = waiting.connector;
        match waiting.asked {
            Asked::Heartbeat => {
                self.tally.unanswered += 1;
                if let Some(connector) = self.connectors.get_mut(&id) {
                    connector.missed = connector.missed.saturating_add(1);
                }
                self.judge_link(id, now);
                self.show(id, now);
            }
            Asked::Question(kind) => {
                self.tally.queries_unanswered += 1;
                if let Some(connector) = self.connectors.get_mut(&id) {
                    connector.queries.unanswered(kind);
                }
            }
            Asked::Contactor(action) => {
                let gave_up = self.connectors.get(&id).is_some_and(|connector| connector.contactor.is_none());
                if gave_up {
                    self.tell(
                        Some(id),
                        EventLevel::Warning,
                        "contactor_unanswered",
                        format!(
                            "{id} did not answer the command to {action} its contactor; firmware before 4.5.3 does not know \
                             it. Stop and start the car itself, and set chargeStopMode to 1 or 2"
                        ),
                    );
                }
            }
        }
    }
}

/// Whether a connector may be told more: it answers, is ours, and its last raise is a while ago.
fn may_rise(connector: &Connector, now: Instant) -> bool {
    let paced = connector.raised_at.is_none_or(|at| now.saturating_duration_since(at) >= RAISE_PERIOD);
    let settled = connector.heard.is_none_or(|heard| heard.drawn <= with_tolerance(heard.limit.max(ledger::V2_FLOOR)));
    connector.link == Link::Up && connector.heard.is_some() && !connector.led_by_other && paced && settled
}

fn whole_amps_ceiling(current: Amps) -> Amps {
    let floor = current.whole_amps_floor();
    if floor < current { floor + Amps::from_whole(1) } else { floor }
}

impl super::controller::Tally {
    fn note_lateness(&mut self, lateness: Duration, now: Instant) {
        self.lateness = lateness;
        let since = *self.worst_since.get_or_insert(now);
        if now.saturating_duration_since(since) >= Duration::from_secs(60) {
            self.worst = [Duration::ZERO, self.worst[0]];
            self.worst_since = Some(now);
        }
        self.worst[0] = self.worst[0].max(lateness);
    }

    /// The worst of the last one to two minutes.
    pub(super) fn worst_lateness(&self) -> Duration {
        self.worst[0].max(self.worst[1])
    }
}
