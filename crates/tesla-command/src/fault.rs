//! Why a car refused a signed message, and what that asks of the sender.
//!
//! Numbers: `MessageFault_E` in `universal_message.proto` of <https://github.com/teslamotors/vehicle-command>; which of them
//! are worth repeating: the same repository, `pkg/protocol/error.go`.

use std::fmt;

/// A fault that the car names in place of doing what it was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Fault {
    /// 1: it is busy.
    Busy,
    /// 2: one computer of the car did not hear from another in time.
    Timeout,
    /// 3: our key is not paired.
    UnknownKey,
    /// 4: our key is paired and disabled.
    InactiveKey,
    /// 5: the signature is wrong: the session is out of step, or the key is not what the car has.
    InvalidSignature,
    /// 6: the counter is not larger than the last.
    InvalidCounter,
    /// 7: our key's role does not allow it, or not now.
    InsufficientPrivileges,
    /// 8: the car has no such computer.
    InvalidDomain,
    /// 9: the car does not know the command.
    InvalidCommand,
    /// 10: the car could not read the message.
    Decoding,
    /// 11: an internal error, mostly while it is still starting.
    Internal,
    /// 12: the message was signed for another VIN.
    WrongVin,
    /// 13: a parameter is wrong.
    BadParameter,
    /// 14: the car has no room for another key.
    KeychainFull,
    /// 15: the car has started anew since the session was made.
    WrongEpoch,
    /// 16: the nonce has the wrong length.
    NonceLength,
    /// 17: the message came after its expiry.
    Expired,
    /// 18: the car has not been provisioned.
    NotProvisioned,
    /// 19: the signed metadata could not be hashed.
    Metadata,
    /// 20: the message would be valid for too long.
    LivesTooLong,
    /// 21: mobile access is switched off in the car.
    RemoteAccessDisabled,
    /// 22: access by service is switched off.
    ServiceAccessDisabled,
    /// 23: this command is only taken from Tesla's own servers.
    NeedsAccount,
    /// 24: the request is too large for the transport.
    RequestTooLarge,
    /// 25: the answer would be too large for the transport.
    ReplyTooLarge,
    /// 26: the counter was used before.
    RepeatedCounter,
    /// 27: the key handle is wrong.
    InvalidHandle,
    /// 28: the car answers this only encrypted.
    NeedsEncryptedReply,
    /// A number that this crate does not know.
    Unknown(u32),
}

/// What a fault asks of the sender.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reaction {
    /// Repeat in a second.
    RepeatShortly,
    /// Learn epoch, counter and clock anew, then repeat.
    Resynchronise,
    /// Repeat with the flag that asks for an encrypted answer.
    AskForEncryption,
    /// Repeating would not help.
    Stop,
}

/// Number and words, in the order of the numbers from 1.
const TABLE: [(Fault, &str); 28] = [
    (Fault::Busy, "the car is busy"),
    (Fault::Timeout, "one computer of the car did not answer another in time"),
    (Fault::UnknownKey, "our key is not paired with the car"),
    (Fault::InactiveKey, "our key is disabled in the car"),
    (Fault::InvalidSignature, "the car finds the signature wrong"),
    (Fault::InvalidCounter, "the car has seen this or a later counter"),
    (Fault::InsufficientPrivileges, "the role of our key does not allow this, or not in the car's present state"),
    (Fault::InvalidDomain, "the car has no such computer"),
    (Fault::InvalidCommand, "the car does not know this command"),
    (Fault::Decoding, "the car could not read the message"),
    (Fault::Internal, "the car reports an internal error, as it does while it starts"),
    (Fault::WrongVin, "the message was signed for another VIN"),
    (Fault::BadParameter, "the car finds a parameter wrong"),
    (Fault::KeychainFull, "the car has no room for another key"),
    (Fault::WrongEpoch, "the car has started anew since the session was made"),
    (Fault::NonceLength, "the nonce has the wrong length"),
    (Fault::Expired, "the message reached the car after its expiry"),
    (Fault::NotProvisioned, "the car has not been provisioned"),
    (Fault::Metadata, "the car could not hash the signed metadata"),
    (Fault::LivesTooLong, "the message would be valid for too long"),
    (Fault::RemoteAccessDisabled, "mobile access is switched off in the car"),
    (Fault::ServiceAccessDisabled, "service access is switched off in the car"),
    (Fault::NeedsAccount, "the car takes this only from Tesla's servers"),
    (Fault::RequestTooLarge, "the request is too large for the transport"),
    (Fault::ReplyTooLarge, "the answer is too large for the transport"),
    (Fault::RepeatedCounter, "the counter was used before"),
    (Fault::InvalidHandle, "the key handle is wrong"),
    (Fault::NeedsEncryptedReply, "the car answers this only encrypted"),
];

impl Fault {
    /// The fault of a number on the wire; `None` for 0, which means none.
    #[must_use]
    pub fn from_number(number: u32) -> Option<Self> {
        let index = usize::try_from(number.checked_sub(1)?).unwrap_or(usize::MAX);
        Some(TABLE.get(index).map_or(Self::Unknown(number), |(fault, _)| *fault))
    }

    /// Its number on the wire.
    #[must_use]
    pub fn number(self) -> u32 {
        if let Self::Unknown(number) = self {
            return number;
        }
        (1..).zip(TABLE).find(|(_, (fault, _))| *fault == self).map_or(0, |(number, _)| number)
    }

    pub(crate) fn reaction(self) -> Reaction {
        match self {
            Self::Busy | Self::Timeout | Self::Internal => Reaction::RepeatShortly,
            Self::InvalidSignature
            | Self::InvalidCounter
            | Self::WrongEpoch
            | Self::Expired
            | Self::LivesTooLong
            | Self::RepeatedCounter => Reaction::Resynchronise,
            Self::NeedsEncryptedReply => Reaction::AskForEncryption,
            _ => Reaction::Stop,
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match TABLE.iter().find(|(fault, _)| fault == self) {
            Some((_, words)) => f.write_str(words),
            None => match self {
                Self::Unknown(number) => write!(f, "the car reports fault {number}, which this version does not know"),
                other => write!(f, "{other:?}"),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_those_of_the_protocol() {
        for (number, expected) in [
            (0, None),
            (1, Some(Fault::Busy)),
            (3, Some(Fault::UnknownKey)),
            (5, Some(Fault::InvalidSignature)),
            (11, Some(Fault::Internal)),
            (15, Some(Fault::WrongEpoch)),
            (17, Some(Fault::Expired)),
            (20, Some(Fault::LivesTooLong)),
            (21, Some(Fault::RemoteAccessDisabled)),
            (28, Some(Fault::NeedsEncryptedReply)),
            (29, Some(Fault::Unknown(29))),
            (u32::MAX, Some(Fault::Unknown(u32::MAX))),
        ] {
            assert_eq!(Fault::from_number(number), expected, "{number}");
            assert_eq!(expected.map_or(0, Fault::number), number);
        }
    }

    #[test]
    fn every_fault_has_words() {
        for number in 1..40 {
            let fault = Fault::from_number(number).expect("not 0");
            assert!(fault.to_string().contains(' '), "{fault:?}");
        }
    }
}
