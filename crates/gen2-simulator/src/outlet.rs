//! The power side of a connector: plug, contactor, limit and the state it reports.

use std::time::{Duration, Instant};

use gen2_protocol::{CentiAmps, ContactorAction, HeartbeatCommand, PlugState, ProtocolVersion, SlaveState};
use units::WattHours;

use crate::car::Car;

/// State 03 right after plugging in.
const JUST_PLUGGED: Duration = Duration::from_secs(1);
/// State 05 after an offer is taken.
const BUSY: Duration = Duration::from_secs(1);
/// State 03 after a version 2 unit was told zero.
const TOLD_ZERO: Duration = Duration::from_secs(2);
/// State 09 after command 09.
const LIMIT_ECHO: Duration = Duration::from_secs(10);
/// From command 06 to state 0A.
const RAISING: Duration = Duration::from_secs(44);
/// How long command 07 lowers.
const LOWERED: Duration = Duration::from_secs(10);
/// From command 07 to state 0A.
const LOWERING: Duration = Duration::from_secs(13);
/// Step of commands 06 and 07.
const STEP: CentiAmps = CentiAmps(200);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Unplugged,
    JustPlugged {
        until: Instant,
        offered: Option<CentiAmps>,
    },
    /// Asks for an offer: 04 with limit zero, on version 1 as recorded 00.
    Waiting,
    Busy {
        until: Instant,
    },
    /// Has an offer; the car has not started.
    Offered,
    Starting,
    Charging,
    ToldZero {
        until: Instant,
    },
    /// 03: full, refused, or told zero.
    Stopped,
    /// Opened for want of a master: 08 with limit zero until amps are commanded.
    Abandoned,
    Failed,
}

/// What is reported for a while in place of "charging".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Echo {
    Accepted { until: Instant },
    Raising { until: Instant },
    Lowering { back_at: Instant, lowered: bool, until: Instant },
    Adjusted,
}

#[derive(Debug, Clone)]
pub(crate) struct Outlet {
    version: ProtocolVersion,
    rated: CentiAmps,
    stage: Stage,
    limit: CentiAmps,
    echo: Option<Echo>,
    held_open: bool,
    car: Option<Car>,
}

impl Outlet {
    pub(crate) fn new(version: ProtocolVersion, rated: CentiAmps) -> Outlet {
        Outlet {
            version,
            rated,
            stage: Stage::Unplugged,
            limit: CentiAmps::ZERO,
            echo: None,
            held_open: false,
            car: None,
        }
    }

    pub(crate) fn limit(&self) -> CentiAmps {
        self.limit
    }

    pub(crate) fn car(&self) -> Option<&Car> {
        self.car.as_ref()
    }

    pub(crate) fn drawn(&self) -> f64 {
        self.car.as_ref().map_or(0.0, Car::drawn)
    }

    pub(crate) fn plug_in(&mut self, now: Instant, car: Car) {
        self.car = Some(car);
        self.limit = CentiAmps::ZERO;
        self.echo = None;
        self.held_open = false;
        if self.stage != Stage::Failed {
            self.stage = Stage::JustPlugged { until: now + JUST_PLUGGED, offered: None };
        }
    }

    pub(crate) fn unplug(&mut self) -> Option<Car> {
        self.limit = CentiAmps::ZERO;
        self.echo = None;
        self.held_open = false;
        if self.stage != Stage::Failed {
            self.stage = Stage::Unplugged;
        }
        self.car.take()
    }

    /// Changes the car on the cable, if there is one.
    pub(crate) fn change_car(&mut self, change: impl FnOnce(&mut Car)) {
        if let Some(car) = &mut self.car {
            change(car);
        }
    }

    /// Power-up or reset: the contactor is open, and a car on the cable is met anew.
    pub(crate) fn restart(&mut self, now: Instant) {
        self.stage = Stage::Unplugged;
        if let Some(mut car) = self.unplug() {
            car.cut_off(now);
            self.plug_in(now, car);
        }
    }

    /// No master for so long that the contactor opens.
    pub(crate) fn abandon(&mut self, now: Instant) {
        if matches!(self.stage, Stage::Unplugged | Stage::Failed) {
            return;
        }
        self.change_car(|car| car.cut_off(now));
        self.limit = CentiAmps::ZERO;
        self.echo = None;
        self.stage = Stage::Abandoned;
    }

    pub(crate) fn contactor(&mut self, now: Instant, action: ContactorAction) {
        match action {
            ContactorAction::Open => {
                self.held_open = true;
                let was_drawing = self.drawn() > 0.5;
                self.change_car(|car| {
                    car.cut_off(now);
                    if was_drawing && car.is_tesla() {
                        car.refuse();
                    }
                });
                if self.has_power() {
                    self.stage = Stage::Stopped;
                }
            }
            ContactorAction::Close => {
                self.held_open = false;
                if self.stage == Stage::Stopped && !self.limit.is_zero() {
                    self.accept(now, self.limit);
                }
            }
        }
    }

    pub(crate) fn obey(&mut self, now: Instant, command: HeartbeatCommand) {
        let v2 = self.version == ProtocolVersion::V2;
        match command {
            HeartbeatCommand::Error(bits) if bits.has_effect() => {
                self.change_car(|car| car.cut_off(now));
                self.limit = CentiAmps::ZERO;
                self.stage = Stage::Failed;
            }
            HeartbeatCommand::Limit(amps) => self.offer(now, amps),
            HeartbeatCommand::InitialLimit(amps) if !(v2 && self.is_charging()) => {
                self.offer(now, amps);
            }
            HeartbeatCommand::AcknowledgeStop(amps) if !self.is_charging() => {
                self.offer(now, amps);
            }
            HeartbeatCommand::RaiseByTwoAmps if v2 && self.is_charging() => {
                self.set_limit(now, self.limit.saturating_add(STEP));
                self.echo = Some(Echo::Raising { until: now + RAISING });
            }
            HeartbeatCommand::LowerByTwoAmps if v2 && self.is_charging() => {
                // Repeated, it lowers no further; the ten seconds begin anew.
                let lowered = match self.echo {
                    Some(Echo::Lowering { lowered, .. }) => lowered,
                    _ => false,
                };
                let least = self.version.least_current();
                let lower = self.limit.saturating_sub(STEP);
                if !lowered && lower >= least {
                    self.set_limit(now, lower);
                }
                self.echo = Some(Echo::Lowering {
                    back_at: now + LOWERED,
                    lowered: lowered || lower >= least,
                    until: now + LOWERING,
                });
            }
            _ => {}
        }
    }

    fn offer(&mut self, now: Instant, amps: CentiAmps) {
        match self.stage {
            Stage::Unplugged | Stage::Failed => {}
            Stage::JustPlugged { until, .. } => {
                self.stage = Stage::JustPlugged { until, offered: Some(amps) };
            }
            Stage::Waiting | Stage::Stopped | Stage::Abandoned => self.accept(now, amps),
            Stage::Busy { .. } | Stage::Offered => {
                self.set_limit(now, amps);
                if amps.is_zero() {
                    self.stage = Stage::Stopped;
                }
            }
            Stage::Starting | Stage::Charging | Stage::ToldZero { .. } => {
                self.offer_while_charging(now, amps);
            }
        }
    }

    /// An offer to a car that does not charge.
    fn accept(&mut self, now: Instant, amps: CentiAmps) {
        let news = amps != self.limit || self.stage == Stage::Abandoned;
        self.set_limit(now, amps);
        let willing = self.car.as_ref().is_some_and(Car::wants_to_charge);
        if amps.is_zero() || !willing || self.held_open {
            self.stage = Stage::Stopped;
        } else if news || self.stage != Stage::Stopped {
            self.stage = Stage::Busy { until: now + BUSY };
        }
    }

    fn offer_while_charging(&mut self, now: Instant, amps: CentiAmps) {
        match self.version {
            ProtocolVersion::V1 => {
                self.set_limit(now, amps);
                if amps.is_zero() {
                    self.stage = Stage::Stopped;
                }
            }
            // What real units make of 0.01 to 5.99 A is not known; the answer that is worst for the wiring is taken.
            ProtocolVersion::V2 if amps < self.version.least_current() => {
                if self.limit != self.version.least_current() {
                    self.set_limit(now, self.version.least_current());
                    self.echo = None;
                    self.stage = Stage::ToldZero { until: now + TOLD_ZERO };
                }
            }
            ProtocolVersion::V2 => {
                if let Stage::ToldZero { .. } = self.stage {
                    self.stage = Stage::Charging;
                }
                if amps != self.limit {
                    self.set_limit(now, amps);
                    self.echo = Some(Echo::Accepted { until: now + LIMIT_ECHO });
                }
            }
        }
    }

    fn set_limit(&mut self, now: Instant, amps: CentiAmps) {
        self.limit = amps;
        let signal = if self.held_open { CentiAmps::ZERO } else { amps };
        let rated = self.rated;
        self.change_car(|car| car.signal(now, signal, rated));
    }

    fn is_charging(&self) -> bool {
        matches!(self.stage, Stage::Starting | Stage::Charging | Stage::ToldZero { .. })
    }

    fn has_power(&self) -> bool {
        self.is_charging() || matches!(self.stage, Stage::Busy { .. } | Stage::Offered)
    }

    /// Lets time pass; returns the energy drawn.
    pub(crate) fn pass(&mut self, duration: Duration, volts: f64) -> WattHours {
        self.car.as_mut().map_or(WattHours::ZERO, |car| car.pass(duration, volts))
    }

    /// Does what is due at `now`, after [`Outlet::pass`] has reached it.
    pub(crate) fn settle(&mut self, now: Instant) {
        self.change_car(|car| car.settle(now));
        match self.echo {
            Some(Echo::Accepted { until }) if until <= now => self.echo = None,
            Some(Echo::Raising { until }) if until <= now => self.echo = Some(Echo::Adjusted),
            Some(Echo::Lowering { until, .. }) if until <= now => self.echo = Some(Echo::Adjusted),
            Some(Echo::Lowering { back_at, lowered: true, until }) if back_at <= now => {
                self.set_limit(now, self.limit.saturating_add(STEP));
                self.echo = Some(Echo::Lowering { back_at, lowered: false, until });
            }
            _ => {}
        }
        let drawn = self.drawn();
        match self.stage {
            Stage::JustPlugged { until, offered } if until <= now => {
                self.stage = Stage::Waiting;
                match offered {
                    Some(amps) => self.accept(now, amps),
                    None if !self.car.as_ref().is_some_and(Car::wants_to_charge) => {
                        self.stage = Stage::Stopped;
                    }
                    None => {}
                }
            }
            Stage::Busy { until } if until <= now => self.stage = Stage::Offered,
            Stage::ToldZero { until } if until <= now => self.stage = Stage::Charging,
            Stage::Offered if drawn > 0.5 => self.stage = Stage::Starting,
            Stage::Stopped if drawn > 0.5 && self.limit >= self.version.least_current() => {
                self.stage = Stage::Starting;
            }
            Stage::Offered if !self.car.as_ref().is_some_and(Car::wants_to_charge) => {
                self.stage = Stage::Stopped;
            }
            Stage::Starting | Stage::Charging | Stage::ToldZero { .. } if drawn <= 0.0 => {
                self.echo = None;
                self.stage = Stage::Stopped;
            }
            Stage::Starting if self.car.as_ref().is_some_and(Car::has_settled) => {
                self.stage = Stage::Charging;
            }
            _ => {}
        }
    }

    pub(crate) fn next_timeout(&self, now: Instant) -> Option<Instant> {
        let stage = match self.stage {
            Stage::JustPlugged { until, .. } | Stage::Busy { until } | Stage::ToldZero { until } => Some(until),
            _ => None,
        };
        let echo = match self.echo {
            Some(Echo::Accepted { until } | Echo::Raising { until }) => Some(until),
            Some(Echo::Lowering { back_at, lowered: true, .. }) => Some(back_at),
            Some(Echo::Lowering { until, .. }) => Some(until),
            Some(Echo::Adjusted) | None => None,
        };
        let car = self.car.as_ref().and_then(|car| car.next_timeout(now));
        [stage, echo, car].into_iter().flatten().min()
    }

    pub(crate) fn state(&self) -> SlaveState {
        match self.stage {
            Stage::Unplugged => SlaveState::Ready,
            Stage::JustPlugged { .. } | Stage::ToldZero { .. } | Stage::Stopped => SlaveState::PluggedInNotCharging,
            Stage::Waiting if self.version == ProtocolVersion::V1 => SlaveState::Ready,
            Stage::Waiting | Stage::Offered => SlaveState::PluggedInReady,
            Stage::Busy { .. } => SlaveState::Busy,
            Stage::Abandoned => SlaveState::Starting,
            Stage::Failed => SlaveState::Error,
            Stage::Starting | Stage::Charging => match self.echo {
                Some(Echo::Accepted { .. }) => SlaveState::LimitAccepted,
                Some(Echo::Raising { .. }) => SlaveState::Raising,
                Some(Echo::Lowering { .. }) => SlaveState::Lowering,
                Some(Echo::Adjusted) => SlaveState::Adjusted,
                None if self.stage == Stage::Starting => SlaveState::Starting,
                None => SlaveState::Charging,
            },
        }
    }

    pub(crate) fn plug_state(&self) -> PlugState {
        if self.car.is_none() {
            PlugState::Unplugged
        } else if self.drawn() > 0.5 {
            PlugState::Charging
        } else {
            PlugState::PluggedIn
        }
    }

    pub(crate) fn has_failed(&self) -> bool {
        self.stage == Stage::Failed
    }
}
