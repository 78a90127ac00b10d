//! What connectors say about themselves.

use std::time::{Duration, Instant};

use evse::EventLevel;
use gen2_protocol::{Message, ProtocolVersion, RequestKind, SlaveHeartbeat, TwcId};
use units::Amps;

use super::connector::{Heard, Turn};
use super::controller::{Asked, Controller, amps};
use super::ledger::Report;
use super::queries::VinNews;

/// A connector that does not obey a lower limit for this long is reported.
const DISOBEDIENCE: Duration = Duration::from_secs(10);

impl Controller {
    /// A connector's heartbeat: an answer to ours, or to another controller's.
    pub(super) fn take_heartbeat(&mut self, heartbeat: &SlaveHeartbeat, now: Instant) {
        let id = heartbeat.slave;
        if id == self.own_id {
            return;
        }
        let to_us = heartbeat.master == self.own_id;
        // Addressed to nobody, it is a sign of life and nothing else.
        let to_nobody = heartbeat.master == TwcId::from_u16(0);
        if !self.connectors.contains_key(&id) {
            if to_nobody {
                return;
            }
            self.find(id, heartbeat.version, now);
        }
        let Some(connector) = self.connectors.get_mut(&id) else { return };
        connector.heard_at = now;
        if to_nobody {
            return;
        }
        let heard = Heard { state: heartbeat.state, limit: amps(heartbeat.limit), drawn: amps(heartbeat.drawn) };
        let turn = connector.take(heard, now);
        if to_us {
            self.answer_came(id, Asked::Heartbeat, now);
        }
        if turn.disbelieved {
            return;
        }
        let Some(connector) = self.connectors.get_mut(&id) else { return };
        connector.led_by_other = !to_us;
        let faulted = connector.is_faulted();
        if to_us {
            connector.answered_at = Some(now);
            connector.deaf_link_readys = 0;
            connector.missed = 0;
            self.revive(id, now);
        }
        self.ledger.report(id, Report { limit: heard.limit, drawn: heard.drawn, faulted }, to_us, now);
        self.after_turn(id, turn, now);
        self.judge_obedience(id, now);
        self.show(id, now);
    }

    /// Tells what a change in a connector means for people.
    pub(super) fn after_turn(&mut self, id: TwcId, turn: Turn, now: Instant) {
        if turn.fault_began {
            self.raise(
                Some(id),
                EventLevel::Alarm,
                "connector_fault",
                format!(
                    "{id} reports an error and is not offered power. Count the red blinks: with the top green light on, 3 \
                     is a wrong rotary setting, 4 no controller or more than one, 5 more than three connectors, 6 different \
                     maximum currents; with green off, 1 is a ground fault, 2 no ground, 3 miswired, 4 wrong voltage, 5 too \
                     much current. Hold its reset button for 4 s; if that does not help, switch its breaker off and on"
                ),
            );
        }
        if turn.fault_ended {
            self.clear(Some(id), "connector_fault", format!("{id} no longer reports an error"));
            if let Some(connector) = self.connectors.get_mut(&id) {
                connector.must_tell = true;
                connector.due = now;
            }
        }
        if turn.unplugged {
            self.clear(Some(id), "cannot_stop", format!("{id}: the car has left"));
        }
    }

    fn judge_obedience(&mut self, id: TwcId, now: Instant) {
        let Some(heard) = self.connectors.get(&id).and_then(|connector| connector.heard) else { return };
        let told = self.ledger.told(id, now);
        if self.ledger.disobeys_for(id, now).is_some_and(|time| time >= DISOBEDIENCE) {
            let told = told.unwrap_or(Amps::ZERO);
            self.raise(
                Some(id),
                EventLevel::Warning,
                "not_obeying",
                format!(
                    "{id} was told {told:.0} but reports a limit of {} and draws {}; what it uses stays counted against the \
                     wiring. Its firmware or another controller may override it",
                    heard.limit, heard.drawn
                ),
            );
        } else if self.ledger.disobeys_for(id, now).is_none() {
            self.clear(Some(id), "not_obeying", format!("{id} obeys again"));
        }
        let connector = self.connectors.get(&id);
        let stuck_on = told == Some(Amps::ZERO)
            && connector.is_some_and(|connector| connector.charging && connector.version == ProtocolVersion::V2)
            && heard.limit > Amps::ZERO
            && self.ledger.disobeys_for(id, now).is_none();
        if stuck_on {
            self.raise(
                Some(id),
                EventLevel::Warning,
                "cannot_stop",
                format!(
                    "{id} was told to stop and goes on at {}: connectors of protocol version 2 cannot stop a car, they fall to \
                     6 A. Stop it through the car's own interface, or set chargeStopMode to 2 or 3 for cars without one",
                    heard.drawn
                ),
            );
        } else if connector.is_some_and(|connector| !connector.charging) || told != Some(Amps::ZERO) {
            self.clear(Some(id), "cannot_stop", format!("{id} is not charging against its limit any more"));
        }
    }

    /// A connector tells something other than its heartbeat, asked or not.
    pub(super) fn take_information(&mut self, message: &Message, now: Instant) {
        let Some(id) = message.sender() else { return };
        if let Some(connector) = self.connectors.get_mut(&id) {
            connector.heard_at = now;
            let mut turn = Turn::default();
            let kind = match message {
                Message::Meter(meter) => {
                    connector.metering.take(meter, now);
                    Some(RequestKind::Meter)
                }
                Message::Version(version) => {
                    let [a, b, c, d] = version.version;
                    connector.firmware = Some(format!("{a}.{b}.{c}.{d}"));
                    Some(RequestKind::Version)
                }
                Message::Serial(serial) => {
                    connector.serial = serial.serial.as_str().filter(|text| !text.is_empty()).map(str::to_owned);
                    Some(RequestKind::Serial)
                }
                Message::VinPart(part) => {
                    match connector.queries.take_vin(part) {
                        VinNews::Complete(vin) => connector.vin = vin.as_str().and_then(evse::Vin::parse),
                        VinNews::Empty => connector.vin = None,
                        VinNews::Pending => {}
                    }
                    Some(RequestKind::Vin(part.third))
                }
                Message::PlugStatus(status) => {
                    turn = connector.take_plug(status.state, now);
                    Some(RequestKind::PlugState)
                }
                _ => None,
            };
            if let Some(kind) = kind {
                connector.queries.answered(kind);
                self.answer_came(id, Asked::Question(kind), now);
            }
            self.after_turn(id, turn, now);
            self.judge_serial(id, now);
            self.show(id, now);
        }
    }
}
