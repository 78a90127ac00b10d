//! Why a command came to nothing.

use crate::fault::Fault;
use crate::random::NoRandomness;

/// A command was not done, or nobody knows.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CommandError {
    /// The car does not have our key.
    #[error("our key is not paired with the car: pair it as the instructions say, then try again")]
    NotPaired,
    /// The car has our key, disabled.
    #[error("our key is disabled in the car: enable it under Controls > Locks > Keys, or pair it again")]
    KeyDisabled,
    /// The car will not let our key do this.
    #[error(
        "the car does not allow this: {0}; check the key's role, and that mobile access is on under Controls > Safety"
    )]
    Denied(Fault),
    /// The car does not understand this, or the transport cannot carry it.
    #[error("the car cannot take this command: {0}; an update of the car may bring it")]
    Unsupported(Fault),
    /// The car has another VIN.
    #[error("the car has another VIN than the one configured: compare it with the car's screen")]
    WrongVin,
    /// The car was busy all along. Surely not done.
    #[error("the car did not get round to it: {0}; try again in a minute")]
    Busy(Fault),
    /// The session could not be brought in step. Surely not done.
    #[error("the car and this program could not agree on a session: {0}; try again in a minute")]
    OutOfStep(Fault),
    /// The car did not answer the request for a session. Surely not done.
    #[error("the car did not answer: wake it, see that it has a connection, then try again")]
    NoAnswer,
    /// The transport says that nothing was sent. Surely not done.
    #[error("the message did not get to the car: see what the connection reports, then try again")]
    NotSent,
    /// It was sent, and no answer came. It may have been done; it can no longer become done.
    #[error("the car did not confirm the command, and may have done it: read its state before trying again")]
    Unconfirmed,
    /// Whoever answered did not prove to be the car, or repeated an old answer. Surely not done.
    #[error("the answer was not signed as the car signs: {0}; try again, and look at what lies between if it stays so")]
    Untrusted(Distrust),
    /// Nothing could be signed.
    #[error(transparent)]
    NoRandomness(#[from] NoRandomness),
}

/// Why a session info was not believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Distrust {
    /// It could not be read.
    #[error("it cannot be read")]
    Unreadable,
    /// It has no or another tag than its content asks for.
    #[error("its tag is wrong")]
    WrongTag,
    /// Its clock is earlier than one heard before.
    #[error("the car's clock has gone back")]
    ClockWentBack,
}

/// What a caller can do about a [`CommandError`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// Try again later, with a back-off: it was surely not done.
    Retry,
    /// Read the car's state first: it may have been done.
    Unconfirmed,
    /// Tell the user to pair the key, and stop until then.
    Unpaired,
    /// Stop: the car's owner must allow it.
    Denied,
    /// Stop: this car cannot.
    Unsupported,
    /// Stop: the configuration is wrong.
    Misconfigured,
    /// Stop: the computer this runs on is.
    Broken,
}

impl CommandError {
    /// What to do about it.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::NotPaired | Self::KeyDisabled => ErrorKind::Unpaired,
            Self::Denied(_) => ErrorKind::Denied,
            Self::Unsupported(_) => ErrorKind::Unsupported,
            Self::WrongVin => ErrorKind::Misconfigured,
            Self::Busy(_) | Self::OutOfStep(_) | Self::NoAnswer | Self::NotSent | Self::Untrusted(_) => {
                ErrorKind::Retry
            }
            Self::Unconfirmed => ErrorKind::Unconfirmed,
            Self::NoRandomness(_) => ErrorKind::Broken,
        }
    }
}

/// The error of a fault that repeating would not mend, or did not.
impl From<Fault> for CommandError {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::UnknownKey => Self::NotPaired,
            Fault::InactiveKey => Self::KeyDisabled,
            Fault::WrongVin => Self::WrongVin,
            Fault::Busy | Fault::Timeout | Fault::Internal => Self::Busy(fault),
            Fault::InvalidSignature
            | Fault::InvalidCounter
            | Fault::WrongEpoch
            | Fault::Expired
            | Fault::LivesTooLong
            | Fault::RepeatedCounter => Self::OutOfStep(fault),
            Fault::InsufficientPrivileges
            | Fault::RemoteAccessDisabled
            | Fault::ServiceAccessDisabled
            | Fault::NeedsAccount
            | Fault::NotProvisioned
            | Fault::KeychainFull => Self::Denied(fault),
            _ => Self::Unsupported(fault),
        }
    }
}
