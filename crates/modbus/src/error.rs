//! What can go wrong, in words for the user.

use std::fmt;
use std::io;
use std::time::Duration;

/// Why a device refused a request: the code in its exception reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ExceptionCode {
    /// 1: it doesn't know this function.
    IllegalFunction,
    /// 2: it has no such register.
    IllegalAddress,
    /// 3: it doesn't take this count or value.
    IllegalValue,
    /// 4: it failed.
    DeviceFailure,
    /// 5: it works on it.
    Acknowledge,
    /// 6: it is busy.
    Busy,
    /// 8: its memory is damaged.
    MemoryParity,
    /// 10: the gateway has no way to the device.
    GatewayPath,
    /// 11: the device behind the gateway does not answer.
    GatewayTarget,
    /// Any other code.
    Other(u8),
}

impl ExceptionCode {
    /// The code on the wire.
    pub fn code(self) -> u8 {
        match self {
            Self::IllegalFunction => 1,
            Self::IllegalAddress => 2,
            Self::IllegalValue => 3,
            Self::DeviceFailure => 4,
            Self::Acknowledge => 5,
            Self::Busy => 6,
            Self::MemoryParity => 8,
            Self::GatewayPath => 10,
            Self::GatewayTarget => 11,
            Self::Other(code) => code,
        }
    }
}

impl From<u8> for ExceptionCode {
    fn from(code: u8) -> Self {
        match code {
            1 => Self::IllegalFunction,
            2 => Self::IllegalAddress,
            3 => Self::IllegalValue,
            4 => Self::DeviceFailure,
            5 => Self::Acknowledge,
            6 => Self::Busy,
            8 => Self::MemoryParity,
            10 => Self::GatewayPath,
            11 => Self::GatewayTarget,
            other => Self::Other(other),
        }
    }
}

impl fmt::Display for ExceptionCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::IllegalFunction => {
                "it does not know this kind of request; check the device type in the configuration"
            }
            Self::IllegalAddress => "it has no such register; check the device type, its firmware and the unit id",
            Self::IllegalValue => {
                "it does not take this count or value; read fewer registers at once, or check the value"
            }
            Self::DeviceFailure => "it has a fault of its own; look at the device",
            Self::Acknowledge => "it needs more time; we try again",
            Self::Busy => "it is busy; we try again, and other programs should poll less",
            Self::MemoryParity => "its memory is damaged; look at the device",
            Self::GatewayPath => "the gateway has no way to this unit; check the unit id and the gateway's settings",
            Self::GatewayTarget => "the device behind the gateway does not answer; check the unit id and the wiring",
            Self::Other(code) => return write!(f, "it answers with the unknown code {code}; look into its manual"),
        })
    }
}

/// A request that failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ModbusError {
    /// The device answered: no.
    #[error("unit {unit} refuses {what} at register {address} (exception {}): {code}", .code.code())]
    Exception {
        /// The unit asked.
        unit: u8,
        /// What was asked for.
        what: &'static str,
        /// The first register asked for.
        address: u16,
        /// The device's reason.
        code: ExceptionCode,
    },
    /// No complete reply in time.
    #[error(
        "unit {unit} at {target} does not answer within {} ms; check the unit id, that Modbus is switched on in the \
         device, and that no other program holds its only connection", after.as_millis()
    )]
    Timeout {
        /// The unit asked.
        unit: u8,
        /// Where.
        target: String,
        /// The time that was waited.
        after: Duration,
    },
    /// No connection.
    #[error(
        "no connection to {target} ({source}); check address, port and cable, and that Modbus is switched on in the device"
    )]
    Connect {
        /// Where.
        target: String,
        /// What the system says.
        source: io::Error,
    },
    /// The connection broke.
    #[error("the connection to {target} broke ({source}); we connect again")]
    Lost {
        /// Where.
        target: String,
        /// What the system says.
        source: io::Error,
    },
    /// The reply does not fit the request.
    #[error(
        "the reply of unit {unit} at {target} can't be used: {why}; check that this is the right device and protocol"
    )]
    BadReply {
        /// The unit asked.
        unit: u8,
        /// Where.
        target: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The request itself is impossible.
    #[error("this request can't be made: {why}; correct the register or the device's settings")]
    BadRequest {
        /// What is wrong with it.
        why: &'static str,
    },
}

impl ModbusError {
    /// The device's reason, if it answered with one.
    pub fn exception(&self) -> Option<ExceptionCode> {
        match self {
            Self::Exception { code, .. } => Some(*code),
            _ => None,
        }
    }

    /// Whether the device says that this register or unit does not exist: a missing feature, not a dead device.
    pub fn is_absent(&self) -> bool {
        use ExceptionCode::{GatewayPath, GatewayTarget, IllegalAddress};
        matches!(self.exception(), Some(IllegalAddress | GatewayPath | GatewayTarget))
    }

    /// Whether the same request can succeed later without anyone changing anything.
    pub fn is_retryable(&self) -> bool {
        use ExceptionCode::{Acknowledge, Busy, GatewayTarget};
        match self {
            Self::Exception { code, .. } => matches!(code, Acknowledge | Busy | GatewayTarget),
            Self::Timeout { .. } | Self::Connect { .. } | Self::Lost { .. } | Self::BadReply { .. } => true,
            Self::BadRequest { .. } => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_comes_back() {
        for code in 0..=255 {
            assert_eq!(ExceptionCode::from(code).code(), code);
        }
    }

    #[test]
    fn an_exception_reads_as_a_sentence() {
        let error = ModbusError::Exception { unit: 1, what: "reading input registers", address: 7, code: 2.into() };
        assert_eq!(
            error.to_string(),
            "unit 1 refuses reading input registers at register 7 (exception 2): it has no such register; \
             check the device type, its firmware and the unit id"
        );
        assert!(error.is_absent() && !error.is_retryable());
    }
}
