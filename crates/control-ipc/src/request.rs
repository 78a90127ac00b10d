//! The text of a request into what is asked for.

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Request {
    /// `getStatus`.
    Status,
    /// `setNonScheduledAmps=N`; -1 is allowed.
    NonScheduledAmps(i64),
    /// `setScheduledAmps=N` with times and days.
    Schedule(Plan),
    /// `setResumeTrackGreenEnergyTime=HH:MM`; a minute of the day, `None` for unset.
    ResumeGreen(Option<u16>),
    /// `chargeNow`.
    ChargeNow,
    /// `chargeNowCancel`.
    CancelChargeNow,
    /// `sendTWCMsg=HEX`.
    Send(Vec<u8>),
    /// `getLastTWCMsgResponse`.
    LastAnswer,
    /// `setMasterHeartbeatData=HEX`.
    HeartbeatData,
    /// `dumpState`.
    Dump,
    /// `setDebugLevel=N`.
    DebugLevel,
}

/// A schedule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Plan {
    /// Amps for all charging points; -1 is what the old page sends for none.
    pub amps: i64,
    /// Minute of the day, `None` for unset.
    pub start: Option<u16>,
    /// Minute of the day, `None` for unset.
    pub end: Option<u16>,
    /// Bit 0 is Monday, as in `settings.json`.
    pub days: u8,
}

/// Why a request is not understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NotUnderstood {
    /// No such command.
    #[error("there is no such command")]
    Unknown,
    /// The command is known, what follows it is not.
    #[error("{0}")]
    Malformed(&'static str),
}

const NO_NUMBER: NotUnderstood = NotUnderstood::Malformed("a whole number of amps must follow, such as 16");
const NO_TIME: NotUnderstood = NotUnderstood::Malformed("a time must follow, such as 06:30, or -1:00 for none");
const NO_HEX: NotUnderstood = NotUnderstood::Malformed("bytes in hexadecimal must follow, two digits each");
const NO_PLAN: NotUnderstood = NotUnderstood::Malformed(
    "lines must follow: the amps, startTime=HH:MM, endTime=HH:MM and days= with a number of 0 to 127",
);

/// Reads a request.
///
/// # Errors
/// Why it is none; the text itself is not part of it, for it can hold a password.
pub(crate) fn parse(text: &str) -> Result<Request, NotUnderstood> {
    let Some((command, rest)) = text.split_once('=') else {
        return match text {
            "getStatus" => Ok(Request::Status),
            "getLastTWCMsgResponse" => Ok(Request::LastAnswer),
            "chargeNow" => Ok(Request::ChargeNow),
            "chargeNowCancel" => Ok(Request::CancelChargeNow),
            "dumpState" => Ok(Request::Dump),
            _ => Err(NotUnderstood::Unknown),
        };
    };
    match command {
        "setNonScheduledAmps" => amps(rest).map(Request::NonScheduledAmps).ok_or(NO_NUMBER),
        "setScheduledAmps" => plan(rest).map(Request::Schedule).ok_or(NO_PLAN),
        "setResumeTrackGreenEnergyTime" => time(rest).map(Request::ResumeGreen).ok_or(NO_TIME),
        "sendTWCMsg" => hex(rest).filter(|bytes| !bytes.is_empty()).map(Request::Send).ok_or(NO_HEX),
        "setMasterHeartbeatData" => hex(rest).map(|_| Request::HeartbeatData).ok_or(NO_HEX),
        "setDebugLevel" => {
            amps(rest).map(|_| Request::DebugLevel).ok_or(NotUnderstood::Malformed("a number must follow"))
        }
        _ => Err(NotUnderstood::Unknown),
    }
}

/// The first word of a request, which holds no secret, fit for a log line.
pub(crate) fn word(text: &str) -> String {
    text.split('=').next().unwrap_or_default().chars().filter(char::is_ascii_graphic).take(40).collect()
}

/// A whole number. A fraction is cut off, as it always was.
fn amps(text: &str) -> Option<i64> {
    let whole = text.trim().split('.').next()?;
    whole.parse().ok()
}

fn plan(text: &str) -> Option<Plan> {
    let mut lines = text.lines();
    let mut next = |name: &str| lines.next()?.strip_prefix(name);
    Some(Plan {
        amps: amps(next("")?)?,
        start: time(next("startTime=")?)?,
        end: time(next("endTime=")?)?,
        days: next("days=")?.trim().parse().ok().filter(|days| *days <= 127)?,
    })
}

/// `HH:MM` as a minute of the day; `Some(None)` for `-1:00`, which is how the old page spells unset.
fn time(text: &str) -> Option<Option<u16>> {
    let (hour, minute) = text.trim().split_once(':')?;
    let two = |text: &str| text.parse::<u16>().ok().filter(|_| text.bytes().all(|byte| byte.is_ascii_digit()));
    let minute = two(minute).filter(|minute| *minute < 60)?;
    if hour == "-1" {
        return Some(None);
    }
    let minutes = two(hour).filter(|hour| *hour <= 24)? * 60 + minute;
    (minutes <= 24 * 60).then_some(Some(minutes))
}

fn hex(text: &str) -> Option<Vec<u8>> {
    let digits: Vec<u8> = text.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    let value = |byte: &u8| char::from(*byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    digits
        .chunks(2)
        .map(|pair| match pair {
            [high, low] => Some(value(high)? << 4 | value(low)?),
            _ => None,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_of_the_old_page_is_read() {
        let plan = |amps, start, end, days| Request::Schedule(Plan { amps, start, end, days });
        for (text, request) in [
            ("getStatus", Request::Status),
            ("setNonScheduledAmps=16", Request::NonScheduledAmps(16)),
            ("setNonScheduledAmps=-1", Request::NonScheduledAmps(-1)),
            ("setNonScheduledAmps= 16.7\n", Request::NonScheduledAmps(16)),
            (
                "setScheduledAmps=16\nstartTime=22:15\nendTime=06:30\ndays=127",
                plan(16, Some(22 * 60 + 15), Some(6 * 60 + 30), 127),
            ),
            ("setScheduledAmps=-1\nstartTime=-1:00\nendTime=-1:00\ndays=0", plan(-1, None, None, 0)),
            ("setResumeTrackGreenEnergyTime=07:00", Request::ResumeGreen(Some(420))),
            ("setResumeTrackGreenEnergyTime=-1:00", Request::ResumeGreen(None)),
            ("chargeNow", Request::ChargeNow),
            ("chargeNowCancel", Request::CancelChargeNow),
            ("sendTWCMsg=FBEB7777 4085", Request::Send(vec![0xFB, 0xEB, 0x77, 0x77, 0x40, 0x85])),
            ("sendTWCMsg=fb1b", Request::Send(vec![0xFB, 0x1B])),
            ("getLastTWCMsgResponse", Request::LastAnswer),
            ("setMasterHeartbeatData=", Request::HeartbeatData),
            ("setMasterHeartbeatData=050258", Request::HeartbeatData),
            ("dumpState", Request::Dump),
            ("setDebugLevel=10", Request::DebugLevel),
        ] {
            assert_eq!(parse(text), Ok(request), "{text}");
        }
    }

    #[test]
    fn the_rest_is_unknown() {
        for text in [
            "",
            "carApiEmailPassword=me@example.org\nsecret",
            "beginTest",
            "beginTest=3",
            "getStatus ",
            "GETSTATUS",
            "chargeNow=1",
            "chargeNowish",
        ] {
            assert_eq!(parse(text), Err(NotUnderstood::Unknown), "{text}");
        }
    }

    #[test]
    fn what_is_malformed_is_not_guessed_at() {
        for text in [
            "setNonScheduledAmps=",
            "setNonScheduledAmps=lots",
            "setNonScheduledAmps=99999999999999999999",
            "setScheduledAmps=16",
            "setScheduledAmps=16\nstartTime=\nendTime=06:30\ndays=1",
            "setScheduledAmps=16\nstartTime=22:60\nendTime=06:30\ndays=1",
            "setScheduledAmps=16\nstartTime=22:00\nendTime=24:01\ndays=1",
            "setScheduledAmps=16\nstartTime=22:00\nendTime=06:00\ndays=128",
            "setScheduledAmps=16\nendTime=22:00\nstartTime=06:00\ndays=1",
            "setResumeTrackGreenEnergyTime=-2:00",
            "setResumeTrackGreenEnergyTime=7",
            "sendTWCMsg=",
            "sendTWCMsg=FBE",
            "sendTWCMsg=hello",
            "setMasterHeartbeatData=0",
            "setDebugLevel=",
        ] {
            assert!(matches!(parse(text), Err(NotUnderstood::Malformed(_))), "{text}");
        }
    }

    #[test]
    fn a_password_is_no_part_of_the_word() {
        assert_eq!(word("carApiEmailPassword=me@example.org\nsecret"), "carApiEmailPassword");
        assert_eq!(word("\x1b[31mred"), "[31mred");
    }
}
