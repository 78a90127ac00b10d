//! What a car can be told, and what it makes of it.

use std::time::Duration;

use units::{Amps, Percent};

use super::{Car, Charge, amps};

/// A value below this has to be told twice.
const LEAST_AMPS: f64 = 5.0;
/// The least time between the two, and the longest after which they still belong together.
const TWICE_AFTER: Duration = Duration::from_secs(2);
const TWICE_WITHIN: Duration = Duration::from_secs(60);
/// What `charge_standard` means.
const STANDARD_LIMIT: f64 = 80.0;

/// What a car can be told, whichever way the words come.
#[derive(Debug, Clone, PartialEq)]
pub enum CarCommand {
    /// Charge.
    Start,
    /// Charge no more.
    Stop,
    /// The limit becomes 80 %.
    LimitStandard,
    /// The limit becomes 100 %.
    LimitMaximum,
    /// The limit becomes this.
    SetLimit(Percent),
    /// Take no more than this per phase.
    SetAmps(Amps),
    /// The timer: minutes after midnight, or off.
    Schedule(Option<u16>),
    /// Open the charge port. Nothing comes of it.
    OpenPort,
    /// Close the charge port. Nothing comes of it.
    ClosePort,
    /// Stay awake.
    Wake,
    /// Answer.
    Ping,
    /// Something this car does not know.
    Unknown(String),
}

/// The car's reason for not doing it, in its own words: `is_charging`, `complete`, …
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal(pub String);

/// Something a car was told.
#[derive(Debug, Clone, PartialEq)]
pub struct Attempt {
    /// When, counted from the cloud's beginning.
    pub at: Duration,
    /// What.
    pub command: CarCommand,
    /// What it answered.
    pub answer: Result<(), Refusal>,
    /// Whether it did it.
    pub was_done: bool,
}

impl Car {
    /// Tells the car something. It has to be awake; who calls sees to that.
    ///
    /// # Errors
    /// The car's reason.
    pub fn obey(&mut self, command: CarCommand) -> Result<(), Refusal> {
        self.touch();
        let (answer, was_done) = if let Some(reason) = self.refusals.pop_front() {
            (Err(Refusal(reason)), false)
        } else if self.deaf > 0 {
            self.deaf -= 1;
            (Ok(()), false)
        } else {
            let answer = self.carry_out(&command).map_err(|reason| Refusal(reason.to_owned()));
            let was_done = answer.is_ok();
            (answer, was_done)
        };
        self.attempts.push(Attempt { at: self.now, command, answer: answer.clone(), was_done });
        self.settle();
        answer
    }

    fn carry_out(&mut self, command: &CarCommand) -> Result<(), &'static str> {
        match command {
            CarCommand::Start => self.start(),
            CarCommand::Stop => match self.charge {
                Charge::Charging | Charge::Starting { .. } => {
                    self.is_enabled = false;
                    Ok(())
                }
                Charge::Disconnected => Err("disconnected"),
                _ => Err("not_charging"),
            },
            CarCommand::LimitStandard => self.limit_to(STANDARD_LIMIT, "already_standard"),
            CarCommand::LimitMaximum => self.limit_to(100.0, "already_max_range"),
            CarCommand::SetLimit(limit) if limit.get() < 50.0 => Err("invalid_percent"),
            CarCommand::SetLimit(limit) => self.limit_to(limit.get(), "already_set"),
            CarCommand::SetAmps(most) => {
                self.accept_amps(most.get());
                Ok(())
            }
            CarCommand::Schedule(minutes) => {
                self.set_schedule(*minutes);
                Ok(())
            }
            CarCommand::OpenPort | CarCommand::ClosePort | CarCommand::Wake | CarCommand::Ping => Ok(()),
            CarCommand::Unknown(_) => Err("unsupported"),
        }
    }

    fn start(&mut self) -> Result<(), &'static str> {
        match self.charge {
            Charge::Disconnected => Err("disconnected"),
            Charge::NoPower => Err("no_power"),
            Charge::Complete => Err("complete"),
            Charge::Charging => Err("is_charging"),
            Charge::Starting { .. } => Err("requested"),
            Charge::Stopped if self.soc() >= self.charge_limit() => Err("complete"),
            Charge::Stopped => {
                self.is_enabled = true;
                self.waits_until = None;
                Ok(())
            }
        }
    }

    fn limit_to(&mut self, limit: f64, already: &'static str) -> Result<(), &'static str> {
        if (self.limit - limit).abs() < 0.01 {
            return Err(already);
        }
        self.limit = limit;
        Ok(())
    }

    fn accept_amps(&mut self, asked: f64) {
        let asked = amps(asked.max(0.0)).whole_amps_floor().get();
        if asked < LEAST_AMPS && self.quirks.low_amps_twice {
            let first = self.low_asked.replace((self.now, asked));
            let is_second = first.is_some_and(|(at, before)| {
                let gap = self.now.saturating_sub(at);
                (before - asked).abs() < 0.01 && gap >= TWICE_AFTER && gap <= TWICE_WITHIN
            });
            if !is_second {
                return;
            }
        }
        self.low_asked = None;
        let asked = match asked {
            _ if !self.quirks.coarse_low_amps => asked,
            asked if asked < 2.0 => 2.0,
            asked if asked < 3.0 => 3.0,
            asked => asked,
        };
        self.set = asked.min(self.most_here());
    }
}
