//! What the controller knows of one connector.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use evse::{Activity, EvseLimits, Link, Plug, Target, Vin};
use gen2_protocol::{ContactorAction, PlugState, ProtocolVersion, Sign, SlaveState, TwcId};
use units::Amps;

use super::ledger::DRAWING;
use super::metering::Metering;
use super::queries::{Queries, Situation};
use super::spike::Spike;
use crate::Gen2Settings;

/// Below 1 A for this long, a charge has ended.
const CHARGE_END_DEBOUNCE: Duration = Duration::from_secs(5);
/// A car that was offered power this long and stays put does not want it.
const DECLINES_AFTER: Duration = Duration::from_secs(120);
/// It is asked again after this.
const DECLINE_HOLDS: Duration = Duration::from_secs(1800);
/// How long the answer about the plug is waited for before state 00 counts as "no car".
const PLUG_PATIENCE: Duration = Duration::from_secs(4);
/// An answer about the plug is good for this long.
const PLUG_HOLDS: Duration = Duration::from_secs(150);
/// More than any connector is rated for: such a report must come twice.
const IMPLAUSIBLE: Amps = Amps::from_whole(100);

/// What a connector's heartbeat said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Heard {
    pub(crate) state: SlaveState,
    pub(crate) limit: Amps,
    pub(crate) drawn: Amps,
}

/// A contactor command on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ContactorWish {
    pub(crate) action: ContactorAction,
    pub(crate) tries: u8,
    pub(crate) not_before: Instant,
}

#[derive(Debug, Clone)]
pub(crate) struct Connector {
    pub(crate) id: TwcId,
    pub(crate) version: ProtocolVersion,
    pub(crate) sign: Option<Sign>,
    pub(crate) rated: Option<Amps>,
    pub(crate) serial: Option<String>,
    pub(crate) firmware: Option<String>,

    pub(crate) link: Link,
    pub(crate) created_at: Instant,
    pub(crate) heard_at: Instant,
    pub(crate) answered_at: Option<Instant>,
    pub(crate) sent_at: Option<Instant>,
    pub(crate) due: Instant,
    /// Heartbeats in a row without an answer.
    pub(crate) missed: u32,
    /// Link-readys since its last answer, although heartbeats were sent.
    pub(crate) deaf_link_readys: u32,
    pub(crate) former_signs: VecDeque<(Instant, Sign)>,
    pub(crate) led_by_other: bool,

    pub(crate) heard: Option<Heard>,
    doubted: Option<Heard>,
    pub(crate) plug: Plug,
    state_zero_since: Option<Instant>,
    plug_answer: Option<(PlugState, Instant)>,
    pub(crate) charging: bool,
    low_since: Option<Instant>,
    offered_since: Option<Instant>,
    declined_at: Option<Instant>,
    pub(crate) vin: Option<Vin>,

    pub(crate) target: Option<Target>,
    /// The next heartbeat tells a limit even if nothing changed.
    pub(crate) must_tell: bool,
    pub(crate) raised_at: Option<Instant>,
    pub(crate) spike: Spike,
    pub(crate) silent_until: Option<Instant>,
    pub(crate) silences: u8,
    pub(crate) contactor: Option<ContactorWish>,
    pub(crate) queries: Queries,
    pub(crate) metering: Metering,
}

/// What a heartbeat changed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Turn {
    /// The report is too odd to be believed before it comes twice.
    pub(crate) disbelieved: bool,
    pub(crate) plugged_in: bool,
    pub(crate) unplugged: bool,
    pub(crate) charge_began: bool,
    pub(crate) charge_ended: bool,
    pub(crate) fault_began: bool,
    pub(crate) fault_ended: bool,
}

impl Connector {
    pub(crate) fn new(id: TwcId, version: ProtocolVersion, settings: &Gen2Settings, now: Instant) -> Self {
        Connector {
            id,
            version,
            sign: None,
            rated: None,
            serial: None,
            firmware: None,
            link: Link::Degraded,
            created_at: now,
            heard_at: now,
            answered_at: None,
            sent_at: None,
            due: now,
            missed: 0,
            deaf_link_readys: 0,
            former_signs: VecDeque::new(),
            led_by_other: false,
            heard: None,
            doubted: None,
            plug: Plug::Unknown,
            state_zero_since: None,
            plug_answer: None,
            charging: false,
            low_since: None,
            offered_since: None,
            declined_at: None,
            vin: None,
            target: None,
            must_tell: true,
            raised_at: None,
            spike: Spike::new(),
            silent_until: None,
            silences: 0,
            contactor: None,
            queries: Queries::new(),
            metering: Metering::new(settings.default_volts, settings.phases),
        }
    }

    pub(crate) fn is_faulted(&self) -> bool {
        self.heard.is_some_and(|heard| heard.state == SlaveState::Error)
    }

    pub(crate) fn is_silenced(&self, now: Instant) -> bool {
        self.silent_until.is_some_and(|until| now < until)
    }

    /// Whether a car is there although the state does not tell.
    pub(crate) fn situation(&self) -> Situation {
        let doubt = self.state_zero_since.is_some() && self.plug_says() != Some(PlugState::Unplugged);
        Situation { charging: self.charging, car_in_doubt: doubt }
    }

    /// Takes over what a heartbeat says.
    pub(crate) fn take(&mut self, heard: Heard, now: Instant) -> Turn {
        let mut turn = Turn::default();
        if (heard.limit > IMPLAUSIBLE || heard.drawn > IMPLAUSIBLE) && self.doubted != Some(heard) {
            self.doubted = Some(heard);
            turn.disbelieved = true;
            return turn;
        }
        self.doubted = None;
        let was_faulted = self.is_faulted();
        self.heard = Some(heard);
        self.metering.take_draw(heard.drawn, now);
        turn.fault_began = !was_faulted && self.is_faulted();
        turn.fault_ended = was_faulted && !self.is_faulted();
        self.judge_plug(now, &mut turn);
        self.judge_charge(heard.drawn, now, &mut turn);
        if self.declined_at.is_some() && (self.charging || !self.could_decline()) {
            self.declined_at = None;
        }
        turn
    }

    /// Takes over what a connector says of its plug.
    pub(crate) fn take_plug(&mut self, state: PlugState, now: Instant) -> Turn {
        let mut turn = Turn::default();
        self.plug_answer = Some((state, now));
        self.judge_plug(now, &mut turn);
        turn
    }

    /// Time alone changes some judgements.
    pub(crate) fn age(&mut self, offered: Amps, limits: &EvseLimits, now: Instant) -> Turn {
        let mut turn = Turn::default();
        self.judge_plug(now, &mut turn);
        if let Some(heard) = self.heard {
            self.judge_charge(heard.drawn, now, &mut turn);
        }
        if offered >= limits.min && offered > Amps::ZERO {
            let since = *self.offered_since.get_or_insert(now);
            let patient = now.saturating_duration_since(since) >= DECLINES_AFTER;
            if self.declined_at.is_none() && patient && !self.charging && self.could_decline() {
                self.declined_at = Some(now);
            }
        } else {
            self.offered_since = None;
        }
        if self.declined_at.is_some_and(|at| now.saturating_duration_since(at) >= DECLINE_HOLDS) {
            self.forgive();
        }
        turn
    }

    /// A car that declined is asked again.
    pub(crate) fn forgive(&mut self) {
        self.declined_at = None;
        self.offered_since = None;
    }

    pub(crate) fn activity(&self, offered: Amps) -> Activity {
        if self.is_faulted() {
            Activity::Faulted
        } else if self.charging {
            Activity::Charging
        } else if self.declined_at.is_some() {
            Activity::Declined
        } else if self.plug != Plug::PluggedIn {
            Activity::Idle
        } else if offered > Amps::ZERO {
            Activity::WaitingForCar
        } else {
            Activity::WaitingForOffer
        }
    }

    /// The car's part of the record ends.
    fn forget_car(&mut self) {
        self.vin = None;
        self.declined_at = None;
        self.offered_since = None;
        self.silences = 0;
        self.spike = Spike::new();
        self.queries.forget_car();
        self.metering.forget_car();
    }

    fn could_decline(&self) -> bool {
        let state = self.heard.map(|heard| heard.state);
        self.plug == Plug::PluggedIn && matches!(state, Some(SlaveState::PluggedInNotCharging | SlaveState::Ready))
    }

    /// What FD B4 said since the state turned 00.
    fn plug_says(&self) -> Option<PlugState> {
        let since = self.state_zero_since?;
        self.plug_answer.filter(|(_, at)| *at >= since).map(|(state, _)| state)
    }

    fn judge_plug(&mut self, now: Instant, turn: &mut Turn) {
        let Some(heard) = self.heard else { return };
        if heard.state == SlaveState::Ready {
            if self.state_zero_since.is_none() {
                self.state_zero_since = Some(now);
                self.queries.doubt_plug();
            }
        } else {
            self.state_zero_since = None;
        }
        let plug = match heard.state {
            SlaveState::Charging
            | SlaveState::PluggedInNotCharging
            | SlaveState::PluggedInReady
            | SlaveState::Raising
            | SlaveState::Lowering
            | SlaveState::Starting
            | SlaveState::LimitAccepted
            | SlaveState::Adjusted => Plug::PluggedIn,
            SlaveState::Ready => self.plug_in_state_zero(heard.drawn, now),
            // These occur with and without a car: what was known stays.
            SlaveState::Busy | SlaveState::Error | SlaveState::Unknown(_) => self.plug,
        };
        if plug == self.plug {
            return;
        }
        turn.plugged_in = plug == Plug::PluggedIn;
        turn.unplugged = self.plug == Plug::PluggedIn;
        self.plug = plug;
        if plug == Plug::PluggedIn {
            self.forgive();
            self.queries.want_vin();
        } else {
            self.forget_car();
        }
    }

    /// State 00 is "no car", or a full car that was woken; FD B4 tells them apart where the firmware knows it.
    /// Version 1 reports 00 too while a car waits for an offer (recorded), and cannot be asked.
    fn plug_in_state_zero(&self, drawn: Amps, now: Instant) -> Plug {
        if self.version == ProtocolVersion::V1 {
            return if drawn >= DRAWING { Plug::PluggedIn } else { Plug::Unknown };
        }
        let fresh = self
            .plug_answer
            .filter(|(_, at)| Some(*at) >= self.state_zero_since && now.saturating_duration_since(*at) < PLUG_HOLDS);
        let waiting = self.plug == Plug::PluggedIn
            && self.state_zero_since.is_some_and(|since| now.saturating_duration_since(since) < PLUG_PATIENCE);
        match fresh {
            Some((PlugState::Charging | PlugState::PluggedIn, _)) => Plug::PluggedIn,
            Some((PlugState::Unplugged, _)) => Plug::Unplugged,
            _ if waiting || drawn >= DRAWING => Plug::PluggedIn,
            _ => Plug::Unplugged,
        }
    }

    fn judge_charge(&mut self, drawn: Amps, now: Instant, turn: &mut Turn) {
        if drawn >= DRAWING {
            self.low_since = None;
            if !self.charging {
                self.charging = true;
                turn.charge_began = true;
                self.queries.hurry_meter();
                if self.vin.is_none() {
                    self.queries.want_vin();
                }
            }
        } else if self.charging {
            let since = *self.low_since.get_or_insert(now);
            if now.saturating_duration_since(since) >= CHARGE_END_DEBOUNCE {
                self.charging = false;
                self.low_since = None;
                turn.charge_ended = true;
                self.queries.hurry_meter();
            }
        }
    }
}
