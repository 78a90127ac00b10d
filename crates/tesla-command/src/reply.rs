//! What a car says to a command that it understood.
//!
//! Field numbers: `car_server.proto` and `vcsec.proto` of <https://github.com/teslamotors/vehicle-command>. Reasons: seen in
//! recorded answers of the REST interface, which uses the same words.

use crate::command::Command;
use crate::routable::{Domain, OperationStatus};
use crate::wire::{Fields, Malformed};

/// The car did it, or need not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Answer {
    /// It did what it was asked. The current it draws follows within 2 to 10 s.
    Done,
    /// It was so already: it charges, does not charge, or has that limit.
    AlreadySo,
    /// Whether it sleeps.
    Sleep(Sleep),
}

/// Whether the computer that charging needs is awake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sleep {
    /// It is.
    Awake,
    /// It sleeps.
    Asleep,
    /// The car does not say.
    Unknown,
}

/// The car understood and will not.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the car will not {command}: {}", if reason.is_empty() { "it gives no reason" } else { reason })]
pub struct Refusal {
    /// What it was asked.
    pub command: Command,
    /// The car's own word, such as `disconnected`; empty when it gave none.
    pub reason: String,
}

/// What a refusal asks of the caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum RefusalKind {
    /// The car is full: ask again only after the limit rises or the plug changes.
    Complete,
    /// No cable is plugged in: ask again after plugging in.
    Unplugged,
    /// The charging point supplies nothing: offer current there first.
    NoPower,
    /// The car is still waking: repeat after 5 s, up to three times.
    Waking,
    /// Something else: show it to the user.
    Other,
}

impl Refusal {
    /// What to do about it.
    #[must_use]
    pub fn kind(&self) -> RefusalKind {
        match self.reason.as_str() {
            "complete" => RefusalKind::Complete,
            "disconnected" => RefusalKind::Unplugged,
            "no_power" => RefusalKind::NoPower,
            "could_not_wake_buses" => RefusalKind::Waking,
            _ => RefusalKind::Other,
        }
    }
}

/// What a message of the car's amounts to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Reply {
    Final(Result<Answer, Refusal>),
    /// Another message follows.
    Wait,
}

/// The longest reason that is kept.
const MAX_REASON_LENGTH: usize = 120;

/// Reads the car's answer to `command`.
pub(crate) fn parse(command: Command, bytes: &[u8]) -> Result<Reply, Malformed> {
    match command.domain() {
        Domain::Infotainment => parse_infotainment(command, bytes),
        Domain::VehicleSecurity => parse_security(command, bytes),
    }
}

/// `Response { 1 actionStatus { 1 result, 2 result_reason { 1 plain_text } } }`.
fn parse_infotainment(command: Command, bytes: &[u8]) -> Result<Reply, Malformed> {
    let (mut is_ok, mut reason) = (true, String::new());
    for field in Fields::of(bytes) {
        if let (1, status) = field? {
            for field in Fields::of(status.bytes()?) {
                match field? {
                    (1, value) => is_ok = value.uint32()? == 0,
                    (2, value) => {
                        for field in Fields::of(value.bytes()?) {
                            if let (1, text) = field? {
                                reason = clean(&String::from_utf8_lossy(text.bytes()?));
                            }
                        }
                    }
                    _ => {}
                }
            }
        }
    }
    Ok(Reply::Final(match is_ok {
        true => Ok(Answer::Done),
        false if is_already_so(command, &reason) => Ok(Answer::AlreadySo),
        false => Err(Refusal { command, reason }),
    }))
}

fn is_already_so(command: Command, reason: &str) -> bool {
    match command {
        Command::StartCharging => matches!(reason, "is_charging" | "charging" | "requested"),
        Command::StopCharging => reason == "not_charging",
        Command::SetChargeLimit(_) | Command::SetChargingAmps(_) => reason == "already_set",
        _ => false,
    }
}

/// A reason fit for a log line.
fn clean(text: &str) -> String {
    text.chars().filter(|letter| !letter.is_control()).take(MAX_REASON_LENGTH).collect()
}

/// `FromVCSECMessage { 1 vehicleStatus { 3 sleep }, 4 commandStatus { 1 operationStatus }, 46 nominalError { 1 } }`.
fn parse_security(command: Command, bytes: &[u8]) -> Result<Reply, Malformed> {
    let mut operation = OperationStatus::Ok;
    let mut sleep = None;
    let mut reason = None;
    for field in Fields::of(bytes) {
        match field? {
            (1, value) => {
                let mut found = Sleep::Unknown;
                for field in Fields::of(value.bytes()?) {
                    if let (3, value) = field? {
                        found = match value.uint32()? {
                            1 => Sleep::Awake,
                            2 => Sleep::Asleep,
                            _ => Sleep::Unknown,
                        };
                    }
                }
                sleep = Some(found);
            }
            (4, value) => {
                for field in Fields::of(value.bytes()?) {
                    if let (1, value) = field? {
                        operation = OperationStatus::from_number(value.uint32()?);
                    }
                }
            }
            (46, value) => {
                let mut number = 0;
                for field in Fields::of(value.bytes()?) {
                    if let (1, value) = field? {
                        number = value.uint32()?;
                    }
                }
                reason = Some(generic_error(number));
            }
            _ => {}
        }
    }
    Ok(match (command, sleep, reason, operation) {
        (_, _, Some(reason), _) => Reply::Final(Err(Refusal { command, reason: reason.to_owned() })),
        // What follows an error without detail says why; without it the command stays unconfirmed.
        (_, _, None, OperationStatus::Wait | OperationStatus::Error) => Reply::Wait,
        (Command::ReadSleep, Some(sleep), None, OperationStatus::Ok) => Reply::Final(Ok(Answer::Sleep(sleep))),
        (Command::ReadSleep, None, None, OperationStatus::Ok) => Reply::Wait,
        // The car tells its status of its own accord, too: that answers nothing.
        (_, Some(_), None, OperationStatus::Ok) => Reply::Wait,
        (_, None, None, OperationStatus::Ok) => Reply::Final(Ok(Answer::Done)),
    })
}

/// `GenericError_E` of `errors.proto`, in words like those of the other computer.
fn generic_error(number: u32) -> &'static str {
    match number {
        2 => "closures_open",
        3 => "already_on",
        4 => "disabled_for_user_command",
        5 => "vehicle_not_in_park",
        6 => "unauthorized",
        7 => "not_allowed_over_transport",
        _ => "unknown_error",
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::command::ChargeLimit;
    use crate::vectors::hex;

    fn refused(command: Command, reason: &str) -> Reply {
        Reply::Final(Err(Refusal { command, reason: reason.to_owned() }))
    }

    #[test]
    fn answers_mean_what_they_say() {
        let is_charging = "0a11080112 0d0a0b69735f6368617267696e67";
        let limit = Command::SetChargeLimit(ChargeLimit::new(80).expect("in range"));
        for (command, text, expected) in [
            (Command::StartCharging, "0a00", Reply::Final(Ok(Answer::Done))),
            (Command::StartCharging, is_charging, Reply::Final(Ok(Answer::AlreadySo))),
            (Command::StopCharging, is_charging, refused(Command::StopCharging, "is_charging")),
            (limit, "0a11080112 0d0a0b616c72656164795f736574", Reply::Final(Ok(Answer::AlreadySo))),
            (Command::StartCharging, "0a020801", refused(Command::StartCharging, "")),
            (Command::Wake, "", Reply::Final(Ok(Answer::Done))),
            (Command::Wake, "22020801", Reply::Wait),
            (Command::Wake, "22020802", Reply::Wait),
            (Command::Wake, "f202020806", refused(Command::Wake, "unauthorized")),
            (Command::Wake, "0a061001180220 01", Reply::Wait),
            (Command::ReadSleep, "0a06100118022001", Reply::Final(Ok(Answer::Sleep(Sleep::Asleep)))),
            (Command::ReadSleep, "0a021801", Reply::Final(Ok(Answer::Sleep(Sleep::Awake)))),
            (Command::ReadSleep, "0a00", Reply::Final(Ok(Answer::Sleep(Sleep::Unknown)))),
        ] {
            assert_eq!(parse(command, &hex(text)), Ok(expected), "{command}: {text}");
        }
    }

    #[test]
    fn refusals_say_what_to_do() {
        for (reason, kind) in [
            ("complete", RefusalKind::Complete),
            ("disconnected", RefusalKind::Unplugged),
            ("no_power", RefusalKind::NoPower),
            ("could_not_wake_buses", RefusalKind::Waking),
            ("user_not_present", RefusalKind::Other),
        ] {
            assert_eq!(Refusal { command: Command::StartCharging, reason: reason.into() }.kind(), kind);
        }
        let silent = Refusal { command: Command::StopCharging, reason: String::new() };
        assert_eq!(silent.to_string(), "the car will not stop charging: it gives no reason");
    }

    #[test]
    fn a_reason_cannot_break_a_log() {
        assert_eq!(clean("a\nb\u{1b}[31m"), "ab[31m");
        assert_eq!(clean(&"x".repeat(500)).len(), MAX_REASON_LENGTH);
    }

    proptest! {
        #[test]
        fn any_bytes_give_a_reply_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..120)) {
            for command in [Command::StartCharging, Command::Wake, Command::ReadSleep] {
                let _ = parse(command, &bytes);
            }
        }
    }
}
