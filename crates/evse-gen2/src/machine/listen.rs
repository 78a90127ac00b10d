//! Listening only (`fakeMaster` 2): who is on the bus and what is said, without a word of our own.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use evse::{Capabilities, EventLevel, EvseLimits, EvseStatus, Link, Target};
use gen2_protocol::{HeartbeatCommand, Message, ProtocolVersion, TwcId};
use units::Amps;

use super::connector::{Connector, Heard};
use super::controller::{FORGET_AFTER, HOUSEKEEPING, amps};
use super::queries::VinNews;
use super::status::{Frame, of_record};
use super::{News, Output, Role};
use crate::mailbox::Command;
use crate::{BusStatus, Gen2Settings, LineState};

/// A connector's status is told again after this even if nothing changed.
const REFRESH: Duration = Duration::from_secs(5);

/// A connector that is watched.
struct Watched {
    record: Connector,
    offered: Option<Amps>,
    shown_at: Option<Instant>,
}

/// The listener.
pub(crate) struct Listener {
    settings: Gen2Settings,
    open: bool,
    connectors: BTreeMap<TwcId, Watched>,
    master: Option<TwcId>,
    housekeeping_at: Option<Instant>,
    outputs: VecDeque<Output>,
}

impl Listener {
    pub(crate) fn new(settings: Gen2Settings) -> Self {
        Listener {
            settings,
            open: false,
            connectors: BTreeMap::new(),
            master: None,
            housekeeping_at: None,
            outputs: VecDeque::new(),
        }
    }

    fn watched(&mut self, id: TwcId, version: ProtocolVersion, now: Instant) -> &mut Watched {
        let settings = &self.settings;
        self.connectors.entry(id).or_insert_with(|| Watched {
            record: Connector::new(id, version, settings, now),
            offered: None,
            shown_at: None,
        })
    }

    fn show(&mut self, id: TwcId, changed: bool, now: Instant) {
        let Some(watched) = self.connectors.get_mut(&id) else { return };
        if changed || watched.shown_at.is_none_or(|at| now.saturating_duration_since(at) >= REFRESH) {
            watched.shown_at = Some(now);
            self.outputs.push_back(Output::Changed(id));
        }
    }

    fn hear_master(&mut self, message: &Message, now: Instant) {
        if let Some(master) = message.sender().filter(|master| self.master != Some(*master)) {
            self.master = Some(master);
            self.outputs.push_back(Output::News(News {
                connector: None,
                level: EventLevel::Info,
                code: "controller_heard",
                text: format!("{master} controls this bus; the program only listens (fakeMaster 2)"),
                cleared: false,
            }));
        }
        if let Message::MasterHeartbeat(heartbeat) = message
            && let Some(watched) = self.connectors.get_mut(&heartbeat.slave)
            && let HeartbeatCommand::InitialLimit(limit)
            | HeartbeatCommand::Limit(limit)
            | HeartbeatCommand::AcknowledgeStop(limit) = heartbeat.command
        {
            let changed = watched.offered != Some(amps(limit));
            watched.offered = Some(amps(limit));
            self.show(heartbeat.slave, changed, now);
        }
    }

    fn hear_connector(&mut self, message: &Message, now: Instant) {
        let Some(id) = message.sender() else { return };
        let changed = match message {
            Message::SlaveLinkReady(ready) => {
                let rated = amps(ready.rated);
                let record = &mut self.watched(id, ready.version, now).record;
                let changed = record.rated != Some(rated);
                record.rated = Some(rated);
                record.sign = Some(ready.sign);
                changed
            }
            Message::SlaveHeartbeat(heartbeat) => {
                let heard =
                    Heard { state: heartbeat.state, limit: amps(heartbeat.limit), drawn: amps(heartbeat.drawn) };
                let record = &mut self.watched(id, heartbeat.version, now).record;
                let before = record.heard;
                record.take(heard, now);
                before != record.heard
            }
            other => {
                let Some(watched) = self.connectors.get_mut(&id) else { return };
                let record = &mut watched.record;
                match other {
                    Message::Meter(meter) => record.metering.take(meter, now),
                    Message::Version(version) => {
                        let [a, b, c, d] = version.version;
                        record.firmware = Some(format!("{a}.{b}.{c}.{d}"));
                    }
                    Message::Serial(serial) => record.serial = serial.serial.as_str().map(str::to_owned),
                    Message::VinPart(part) => {
                        if let VinNews::Complete(vin) = record.queries.take_vin(part) {
                            record.vin = vin.as_str().and_then(evse::Vin::parse);
                        }
                    }
                    Message::PlugStatus(status) => {
                        record.take_plug(status.state, now);
                    }
                    _ => {}
                }
                true
            }
        };
        if let Some(watched) = self.connectors.get_mut(&id) {
            watched.record.heard_at = now;
            watched.record.link = Link::Up;
        }
        self.show(id, changed, now);
    }
}

impl Role for Listener {
    fn line_opened(&mut self, now: Instant) {
        self.open = true;
        self.housekeeping_at = Some(now + HOUSEKEEPING);
    }

    fn line_closed(&mut self, _now: Instant) {
        self.open = false;
    }

    fn handle_activity(&mut self, _now: Instant) {}

    fn handle_message(&mut self, message: &Message, _salvaged: bool, now: Instant) {
        if message.is_from_master() {
            self.hear_master(message, now);
        } else {
            self.hear_connector(message, now);
        }
    }

    fn handle_target(&mut self, _connector: TwcId, _target: Target, _now: Instant) {}

    fn handle_command(&mut self, _command: Command, _now: Instant) {}

    fn set_circuit_limit(&mut self, _limit: Option<Amps>, _now: Instant) {}

    fn set_spikes(&mut self, _proactively: bool, _reactively: bool) {}

    fn handle_timeout(&mut self, now: Instant) {
        if self.housekeeping_at.is_none_or(|at| now < at) {
            return;
        }
        self.housekeeping_at = Some(now + HOUSEKEEPING);
        let timeout = self.settings.connector_timeout;
        let mut lost = Vec::new();
        let mut gone = Vec::new();
        for (id, watched) in &mut self.connectors {
            let silent_for = now.saturating_duration_since(watched.record.heard_at);
            if watched.record.link != Link::Lost && silent_for >= timeout {
                watched.record.link = Link::Lost;
                lost.push(*id);
            }
            if silent_for >= FORGET_AFTER {
                gone.push(*id);
            }
        }
        for id in lost {
            self.show(id, true, now);
        }
        for id in gone {
            self.connectors.remove(&id);
            self.outputs.push_back(Output::Gone(id));
        }
    }

    fn next_timeout(&self) -> Option<Instant> {
        self.housekeeping_at.filter(|_| !self.connectors.is_empty())
    }

    fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    fn status(&self, connector: TwcId, now: Instant) -> Option<EvseStatus> {
        let watched = self.connectors.get(&connector)?;
        let record = &watched.record;
        let rated = record.rated.unwrap_or(self.settings.wiring_max_per);
        let heard = record.heard;
        let frame = Frame {
            controller: &self.settings.name,
            limits: EvseLimits {
                min: amps(record.version.least_current()),
                max: rated,
                volts: record.metering.volts_now(),
                phases: record.metering.phases(),
            },
            offered: watched.offered,
            committed: heard.map_or(Amps::ZERO, |heard| heard.limit.max(heard.drawn)),
            capabilities: Capabilities::default(),
            note: None,
        };
        Some(of_record(record, frame, now))
    }

    fn describe(&self, bus: &mut BusStatus, now: Instant) {
        bus.taken_at = now;
        bus.line = if self.open { LineState::Passive } else { LineState::Closed };
        bus.other_controller = self.master;
        bus.connectors = self.connectors.len();
    }
}
