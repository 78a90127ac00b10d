//! Playing a connector (`fakeMaster` 0): a real controller leads, we answer and show what it grants.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use evse::{Capabilities, EventLevel, EvseLimits, EvseStatus, Link, Target};
use gen2_protocol::{
    HeartbeatCommand, MasterHeartbeat, Message, PlugState, PlugStatus, ProtocolVersion, RequestKind, Sign,
    SlaveHeartbeat, SlaveLinkReady, SlaveMessage, SlaveState, TwcId,
};
use units::Amps;

use super::connector::{Connector, Heard};
use super::controller::{amps, centiamps};
use super::status::{Frame, of_record};
use super::{News, Output, Role};
use crate::mailbox::Command;
use crate::{BusStatus, Gen2Settings, LineState};

/// A connector without a controller announces itself this often (measured).
const ANNOUNCE_PERIOD: Duration = Duration::from_secs(10);
/// Without a heartbeat for this long the controller is gone (measured).
const CONTROLLER_LOST: Duration = Duration::from_secs(10);
/// Answers begin after the line has been released.
const TURN_ROUND: Duration = Duration::from_millis(10);

/// The pretended connector. It has no car: it reports state 00 and draws nothing.
pub(crate) struct Pretender {
    settings: Gen2Settings,
    open: bool,
    id: TwcId,
    sign: Sign,
    master: Option<TwcId>,
    heard_master_at: Option<Instant>,
    granted: Option<Amps>,
    announce_at: Option<Instant>,
    answer: Option<(Instant, SlaveMessage)>,
    outputs: VecDeque<Output>,
}

impl Pretender {
    pub(crate) fn new(settings: Gen2Settings) -> Self {
        Pretender {
            id: settings.own_id,
            sign: Sign(0x77),
            open: false,
            master: None,
            heard_master_at: None,
            granted: None,
            announce_at: None,
            answer: None,
            outputs: VecDeque::new(),
            settings,
        }
    }

    fn version(&self) -> ProtocolVersion {
        self.settings.connector_version
    }

    fn take_heartbeat(&mut self, heartbeat: &MasterHeartbeat, now: Instant) {
        if self.master != Some(heartbeat.master) {
            let text = format!("{} controls this pretended connector {} (fakeMaster 0)", heartbeat.master, self.id);
            let (level, code) = (EventLevel::Info, "controller_found");
            self.outputs.push_back(Output::News(News { connector: None, level, code, text, cleared: false }));
        }
        self.master = Some(heartbeat.master);
        self.heard_master_at = Some(now);
        self.announce_at = Some(now + CONTROLLER_LOST);
        if let HeartbeatCommand::InitialLimit(limit)
        | HeartbeatCommand::Limit(limit)
        | HeartbeatCommand::AcknowledgeStop(limit) = heartbeat.command
        {
            self.granted = Some(amps(limit));
        }
        // Without a car version 2 reports no limit, version 1 the one it was told (captures).
        let limit = match self.version() {
            ProtocolVersion::V1 => self.granted.unwrap_or(Amps::ZERO),
            ProtocolVersion::V2 => Amps::ZERO,
        };
        let answer = SlaveMessage::Heartbeat(SlaveHeartbeat {
            slave: self.id,
            master: heartbeat.master,
            state: SlaveState::Ready,
            limit: centiamps(limit),
            drawn: centiamps(Amps::ZERO),
            version: self.version(),
        });
        self.answer = Some((now + TURN_ROUND, answer));
        self.outputs.push_back(Output::Changed(self.id));
    }

    fn take_announcement(&mut self, master: TwcId, now: Instant) {
        if master == self.id {
            // The connector yields, never the controller.
            let former = self.id;
            self.id = TwcId::from_u16(former.to_u16().wrapping_add(1).max(1));
            self.sign = Sign(self.sign.0.wrapping_add(1));
            self.outputs.push_back(Output::Gone(former));
            self.announce_at = Some(now + TURN_ROUND);
        }
    }
}

impl Role for Pretender {
    fn line_opened(&mut self, now: Instant) {
        self.open = true;
        self.announce_at = Some(now);
        self.outputs.push_back(Output::Changed(self.id));
        self.handle_timeout(now);
    }

    fn line_closed(&mut self, _now: Instant) {
        self.open = false;
        self.announce_at = None;
        self.answer = None;
    }

    fn handle_activity(&mut self, _now: Instant) {}

    fn handle_message(&mut self, message: &Message, _salvaged: bool, now: Instant) {
        match message {
            Message::MasterHeartbeat(heartbeat) if heartbeat.slave == self.id => self.take_heartbeat(heartbeat, now),
            Message::MasterLinkReady1(ready) | Message::MasterLinkReady2(ready) => {
                self.take_announcement(ready.master, now);
            }
            Message::Request(request) if request.slave == self.id && request.kind == RequestKind::PlugState => {
                let status = PlugStatus { unit: self.id, state: PlugState::Unplugged };
                self.answer = Some((now + TURN_ROUND, SlaveMessage::PlugStatus(status)));
            }
            _ => {}
        }
        self.handle_timeout(now);
    }

    fn handle_target(&mut self, _connector: TwcId, _target: Target, _now: Instant) {}

    fn handle_command(&mut self, _command: Command, _now: Instant) {}

    fn set_circuit_limit(&mut self, _limit: Option<Amps>, _now: Instant) {}

    fn set_spikes(&mut self, _proactively: bool, _reactively: bool) {}

    fn handle_timeout(&mut self, now: Instant) {
        if !self.open {
            return;
        }
        if let Some((at, answer)) = self.answer
            && now >= at
        {
            self.answer = None;
            self.outputs.push_back(Output::Answer(answer));
        }
        if self.announce_at.is_some_and(|at| now >= at) {
            self.announce_at = Some(now + ANNOUNCE_PERIOD);
            self.master = None;
            self.outputs.push_back(Output::Answer(SlaveMessage::LinkReady(SlaveLinkReady {
                slave: self.id,
                sign: self.sign,
                rated: centiamps(self.settings.wiring_max_per),
                version: self.version(),
            })));
        }
    }

    fn next_timeout(&self) -> Option<Instant> {
        [self.answer.map(|(at, _)| at), self.announce_at].into_iter().flatten().min()
    }

    fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    fn status(&self, connector: TwcId, now: Instant) -> Option<EvseStatus> {
        if connector != self.id {
            return None;
        }
        let mut record = Connector::new(self.id, self.version(), &self.settings, now);
        record.heard_at = self.heard_master_at.unwrap_or(now);
        record.link = if self.master.is_some() { Link::Up } else { Link::Lost };
        record.rated = Some(self.settings.wiring_max_per);
        record.take(Heard { state: SlaveState::Ready, limit: Amps::ZERO, drawn: Amps::ZERO }, now);
        let frame = Frame {
            controller: &self.settings.name,
            limits: EvseLimits {
                min: amps(self.version().least_current()),
                max: self.settings.wiring_max_per,
                volts: self.settings.default_volts,
                phases: self.settings.phases.unwrap_or_default(),
            },
            offered: self.granted,
            committed: Amps::ZERO,
            capabilities: Capabilities::default(),
            note: Some("It is this program, playing a connector (fakeMaster 0).".to_owned()),
        };
        Some(of_record(&record, frame, now))
    }

    fn describe(&self, bus: &mut BusStatus, now: Instant) {
        bus.taken_at = now;
        bus.line = if self.open { LineState::Passive } else { LineState::Closed };
        bus.own_id = self.id;
        bus.other_controller = self.master;
        bus.connectors = 1;
    }
}
