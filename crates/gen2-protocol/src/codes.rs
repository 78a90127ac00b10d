//! Open enumerations of the one-byte codes: a number nobody has explained yet stays that number.

use core::fmt;

use crate::CentiAmps;

/// What a slave says it is doing, byte 6 of its heartbeat.
///
/// Decide "is charging" from the drawn current, never from the state: most states occur with current flowing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SlaveState {
    /// 00: unplugged, or plugged in and idle.
    Ready,
    /// 01: charging.
    Charging,
    /// 02: in error; current may still flow for a moment.
    Error,
    /// 03: plugged in and not going to charge (full, stopped, told zero, or just plugged in).
    PluggedInNotCharging,
    /// 04: plugged in and ready, or the car waits for its own schedule; with a limit of zero it asks for an offer.
    PluggedInReady,
    /// 05: busy, about a second, in any phase.
    Busy,
    /// 06: echoes command 06, raise by 2 A.
    Raising,
    /// 07: echoes command 07, lower by 2 A.
    Lowering,
    /// 08: current is climbing, or a master came back after a loss.
    Starting,
    /// 09: echoes command 09, for about ten seconds.
    LimitAccepted,
    /// 0A: adjustment after command 06 or 07 is done.
    Adjusted,
    /// Any other code. `0F` was reported once, unexplained.
    Unknown(u8),
}

impl SlaveState {
    /// The state with this code.
    #[must_use]
    pub const fn from_code(code: u8) -> SlaveState {
        match code {
            0x00 => SlaveState::Ready,
            0x01 => SlaveState::Charging,
            0x02 => SlaveState::Error,
            0x03 => SlaveState::PluggedInNotCharging,
            0x04 => SlaveState::PluggedInReady,
            0x05 => SlaveState::Busy,
            0x06 => SlaveState::Raising,
            0x07 => SlaveState::Lowering,
            0x08 => SlaveState::Starting,
            0x09 => SlaveState::LimitAccepted,
            0x0A => SlaveState::Adjusted,
            other => SlaveState::Unknown(other),
        }
    }

    /// The code on the wire.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            SlaveState::Ready => 0x00,
            SlaveState::Charging => 0x01,
            SlaveState::Error => 0x02,
            SlaveState::PluggedInNotCharging => 0x03,
            SlaveState::PluggedInReady => 0x04,
            SlaveState::Busy => 0x05,
            SlaveState::Raising => 0x06,
            SlaveState::Lowering => 0x07,
            SlaveState::Starting => 0x08,
            SlaveState::LimitAccepted => 0x09,
            SlaveState::Adjusted => 0x0A,
            SlaveState::Unknown(code) => code,
        }
    }
}

impl fmt::Display for SlaveState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            SlaveState::Ready => "ready",
            SlaveState::Charging => "charging",
            SlaveState::Error => "error",
            SlaveState::PluggedInNotCharging => "plugged in, not charging",
            SlaveState::PluggedInReady => "plugged in, ready",
            SlaveState::Busy => "busy",
            SlaveState::Raising => "raising by 2 A",
            SlaveState::Lowering => "lowering by 2 A",
            SlaveState::Starting => "starting",
            SlaveState::LimitAccepted => "limit accepted",
            SlaveState::Adjusted => "adjusted",
            SlaveState::Unknown(code) => return write!(f, "unknown state {code:02X}"),
        })
    }
}

/// What a master's heartbeat asks for, as seen on the wire: everything that exists, including what must not be sent.
///
/// For what can be sent see [`Order`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum HeartbeatCommand {
    /// 00: carry on.
    NoChange,
    /// 02: go into error with these bits. Cannot be encoded by this crate.
    Error(ErrorBits),
    /// 05: limit; on version 2 only heeded before the car charges.
    InitialLimit(CentiAmps),
    /// 06: raise by 2 A for good (version 2). Cannot be encoded by this crate.
    RaiseByTwoAmps,
    /// 07: lower by 2 A for ten seconds (version 2). Cannot be encoded by this crate.
    LowerByTwoAmps,
    /// 08: acknowledges that the slave stopped, with the current it may use.
    AcknowledgeStop(CentiAmps),
    /// 09: limit, also while charging (version 2).
    Limit(CentiAmps),
    /// Any other code, with bytes 7 and 8.
    Unknown {
        /// Byte 6.
        code: u8,
        /// Bytes 7 and 8.
        data: [u8; 2],
    },
}

impl HeartbeatCommand {
    /// The command with this code (byte 6) and data (bytes 7 and 8).
    #[must_use]
    pub const fn from_bytes(code: u8, data: [u8; 2]) -> HeartbeatCommand {
        let current = CentiAmps(u16::from_be_bytes(data));
        match code {
            0x00 => HeartbeatCommand::NoChange,
            0x02 => HeartbeatCommand::Error(ErrorBits(data[0])),
            0x05 => HeartbeatCommand::InitialLimit(current),
            0x06 => HeartbeatCommand::RaiseByTwoAmps,
            0x07 => HeartbeatCommand::LowerByTwoAmps,
            0x08 => HeartbeatCommand::AcknowledgeStop(current),
            0x09 => HeartbeatCommand::Limit(current),
            _ => HeartbeatCommand::Unknown { code, data },
        }
    }

    /// The code on the wire, byte 6.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            HeartbeatCommand::NoChange => 0x00,
            HeartbeatCommand::Error(_) => 0x02,
            HeartbeatCommand::InitialLimit(_) => 0x05,
            HeartbeatCommand::RaiseByTwoAmps => 0x06,
            HeartbeatCommand::LowerByTwoAmps => 0x07,
            HeartbeatCommand::AcknowledgeStop(_) => 0x08,
            HeartbeatCommand::Limit(_) => 0x09,
            HeartbeatCommand::Unknown { code, .. } => code,
        }
    }
}

impl fmt::Display for HeartbeatCommand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            HeartbeatCommand::NoChange => f.write_str("no change"),
            HeartbeatCommand::Error(bits) => write!(f, "go into error: {bits}"),
            HeartbeatCommand::InitialLimit(current) => write!(f, "limit {current} (05)"),
            HeartbeatCommand::RaiseByTwoAmps => f.write_str("raise by 2 A"),
            HeartbeatCommand::LowerByTwoAmps => f.write_str("lower by 2 A for 10 s"),
            HeartbeatCommand::AcknowledgeStop(current) => {
                write!(f, "stop acknowledged, may use {current} (08)")
            }
            HeartbeatCommand::Limit(current) => write!(f, "limit {current} (09)"),
            HeartbeatCommand::Unknown { code, data } => {
                write!(f, "unknown command {code:02X} {:02X} {:02X}", data[0], data[1])
            }
        }
    }
}

/// The error bits of command 02. The lowest of the first three wins; the others alone have no effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ErrorBits(pub u8);

impl ErrorBits {
    /// Whether any of the bits that put a slave into error is set.
    #[must_use]
    pub const fn has_effect(self) -> bool {
        self.0 & 0b111 != 0
    }
}

impl fmt::Display for ErrorBits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0 & 0b001 != 0 {
            "invalid rotary switch setting (3 red blinks)"
        } else if self.0 & 0b010 != 0 {
            "more than three slaves (5 red blinks)"
        } else if self.0 & 0b100 != 0 {
            "different maximum currents (6 red blinks)"
        } else {
            "no effect"
        })?;
        write!(f, ", bits {:02X}", self.0)
    }
}

/// What a master may ask for in a heartbeat: the part of [`HeartbeatCommand`] that is safe to send.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Order {
    /// Carry on (00).
    NoChange,
    /// At most this much, at any time. Sent as command 05 to version 1 and as 09 to version 2.
    Limit(CentiAmps),
    /// At most this much, for a car that does not charge yet (05). Version 2 ignores it while charging.
    InitialLimit(CentiAmps),
    /// Acknowledges that the slave stopped or asks in state 08; it may use this much (08).
    AcknowledgeStop(CentiAmps),
}

impl Order {
    /// The current this order names, if it names one.
    #[must_use]
    pub const fn current(self) -> Option<CentiAmps> {
        match self {
            Order::NoChange => None,
            Order::Limit(current) | Order::InitialLimit(current) | Order::AcknowledgeStop(current) => Some(current),
        }
    }
}

/// What FD B4 says about the cable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PlugState {
    /// 00: no car.
    Unplugged,
    /// 01: charging.
    Charging,
    /// 03: plugged in, not charging.
    PluggedIn,
    /// Any other code. `02` exists; its meaning is not known.
    Unknown(u8),
}

impl PlugState {
    /// The plug state with this code.
    #[must_use]
    pub const fn from_code(code: u8) -> PlugState {
        match code {
            0x00 => PlugState::Unplugged,
            0x01 => PlugState::Charging,
            0x03 => PlugState::PluggedIn,
            other => PlugState::Unknown(other),
        }
    }

    /// The code on the wire.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            PlugState::Unplugged => 0x00,
            PlugState::Charging => 0x01,
            PlugState::PluggedIn => 0x03,
            PlugState::Unknown(code) => code,
        }
    }
}

impl fmt::Display for PlugState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            PlugState::Unplugged => "unplugged",
            PlugState::Charging => "charging",
            PlugState::PluggedIn => "plugged in, not charging",
            PlugState::Unknown(code) => return write!(f, "unknown plug state {code:02X}"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_survives_the_round_trip() {
        for code in 0..=u8::MAX {
            assert_eq!(SlaveState::from_code(code).code(), code);
            assert_eq!(PlugState::from_code(code).code(), code);
            assert_eq!(HeartbeatCommand::from_bytes(code, [1, 2]).code(), code);
        }
    }

    #[test]
    fn only_the_low_error_bits_count() {
        assert!(!ErrorBits(0xF8).has_effect());
        assert!(ErrorBits(0x04).has_effect());
    }
}
