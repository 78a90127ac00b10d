//! Why something failed, by the words of Tesla's library, which all bridges pass on.

use vehicle::{Outcome, Refusal, Request, Wakefulness};
use vehicle_tesla::outcome_of_reason;

/// Longest text of a bridge's that is passed on.
const LONGEST_TEXT: usize = 160;

/// Why something failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hitch {
    /// The car sleeps, and was left asleep.
    Asleep,
    /// The car is busy, mostly because it just woke.
    Busy,
    /// The car was not found, or no conversation came about: nothing was done.
    NotReached,
    /// The bridge has no Bluetooth to use.
    Adapter(AdapterFault),
    /// The car does not have the bridge's key.
    NotPaired,
    /// The key is not allowed to do this.
    NotAllowed,
    /// The car is too old for signed commands.
    TooOld,
    /// The car said why not.
    Reason,
    /// Words of the future.
    Unknown,
}

/// What is wrong with the Bluetooth adapter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AdapterFault {
    /// There is none that can be used.
    Absent,
    /// The bridge may not use it.
    Denied,
    /// Another program uses it.
    InUse,
}

/// Words and what they mean; the first that fits counts.
const KNOWN: [(&str, Hitch); 31] = [
    ("has not been paired", Hitch::NotPaired),
    ("unknown_key_id", Hitch::NotPaired),
    ("key_not_on_whitelist", Hitch::NotPaired),
    ("operation not permitted", Hitch::Adapter(AdapterFault::Denied)),
    ("device or resource busy", Hitch::Adapter(AdapterFault::InUse)),
    ("no devices available", Hitch::Adapter(AdapterFault::Absent)),
    ("can't init hci", Hitch::Adapter(AdapterFault::Absent)),
    ("failed to find a ble device", Hitch::Adapter(AdapterFault::Absent)),
    ("failed to enable device", Hitch::Adapter(AdapterFault::Absent)),
    ("no such device", Hitch::Adapter(AdapterFault::Absent)),
    ("car could not execute command", Hitch::Reason),
    ("vehicle is sleeping", Hitch::Asleep),
    ("vehicle is asleep", Hitch::Asleep),
    ("offline or asleep", Hitch::Asleep),
    ("insufficient_privileges", Hitch::NotAllowed),
    ("genericerror_unauthorized", Hitch::NotAllowed),
    ("use rest api", Hitch::TooOld),
    ("finishing wake-up", Hitch::Busy),
    ("messagefault_error_busy", Hitch::Busy),
    ("messagefault_error_timeout", Hitch::Busy),
    ("messagefault_error_internal", Hitch::Busy),
    ("not in range", Hitch::NotReached),
    ("failed to scan", Hitch::NotReached),
    ("failed to find vehicle", Hitch::NotReached),
    ("failed to connect", Hitch::NotReached),
    ("failed to perform handshake", Hitch::NotReached),
    ("failed to wake up", Hitch::NotReached),
    ("vehicle not connected", Hitch::NotReached),
    ("sleep status unknown", Hitch::NotReached),
    ("maximum number of ble devices", Hitch::NotReached),
    ("beacon with unexpected local name", Hitch::NotReached),
];

/// What cars themselves say, as a bridge may pass it on bare.
const REASONS: [&str; 11] = [
    "already_set",
    "already_standard",
    "already_max_range",
    "is_charging",
    "charging",
    "requested",
    "not_charging",
    "complete",
    "disconnected",
    "no_power",
    "could_not_wake_buses",
];

impl Hitch {
    /// By a bridge's words.
    #[must_use]
    pub fn of(words: &str) -> Hitch {
        let small = words.to_ascii_lowercase();
        let known = KNOWN.iter().find(|(part, _)| small.contains(part)).map(|(_, hitch)| *hitch);
        let is_reason = || small.rsplit(": ").next().is_some_and(|word| REASONS.contains(&word.trim()));
        known.unwrap_or_else(|| if is_reason() { Hitch::Reason } else { Hitch::Unknown })
    }

    /// What it means as the answer to a question. `is_undone` says that the bridge is sure that nothing was done.
    #[must_use]
    pub fn outcome(self, request: Request, words: &str, is_undone: bool) -> Outcome {
        let text = clean(words);
        match self {
            Hitch::Asleep => Outcome::Asleep,
            Hitch::Busy | Hitch::NotReached => Outcome::Later { after: None, text },
            Hitch::Adapter(fault) => Outcome::Later { after: None, text: format!("{} ({text})", fault.advice()) },
            Hitch::NotPaired => Outcome::Refused(Refusal::NotPaired),
            Hitch::NotAllowed => Outcome::Barred {
                text: "the car knows the key for Bluetooth, but the key's role does not allow this: pair a key with the role \
                       of a charging manager, or of an owner for older cars (docs/vehicles/bluetooth.md)"
                    .to_owned(),
            },
            Hitch::TooOld => Outcome::Barred {
                text: "this car is too old to be commanded over Bluetooth: use Tesla's cloud for it".to_owned(),
            },
            Hitch::Reason => outcome_of_reason(request, words.trim()),
            Hitch::Unknown if is_undone || !changes(request) => Outcome::Later { after: None, text },
            Hitch::Unknown => Outcome::Unsure { text },
        }
    }
}

impl AdapterFault {
    /// One sentence with what to do.
    #[must_use]
    pub fn advice(self) -> &'static str {
        match self {
            AdapterFault::Absent => {
                "no Bluetooth adapter can be used: plug one in or switch it on (`rfkill unblock bluetooth`), or switch \
                 vehicle.teslaBLE.enabled off"
            }
            AdapterFault::Denied => {
                "the Bluetooth adapter may not be used: run `sudo setcap cap_net_admin=eip` on tesla-control, or give the \
                 service the capability CAP_NET_ADMIN"
            }
            AdapterFault::InUse => {
                "another program uses the Bluetooth adapter: stop it (`bluetoothctl`, Home Assistant, another bridge) or \
                 give it an adapter of its own"
            }
        }
    }
}

fn changes(request: Request) -> bool {
    request.is_command() || request == Request::Wake
}

/// Whether a car is awake by what its body controller says, such as `VEHICLE_SLEEP_STATUS_ASLEEP`; `None` when it does not
/// know.
#[must_use]
pub fn wakefulness(word: &str) -> Option<Wakefulness> {
    match word.rsplit('_').next() {
        Some("AWAKE") => Some(Wakefulness::Awake),
        Some("ASLEEP") => Some(Wakefulness::Asleep),
        _ => None,
    }
}

/// A bridge's text fit for a log line.
fn clean(text: &str) -> String {
    let line = text.trim().chars().map(|letter| if letter.is_control() { ' ' } else { letter });
    line.take(LONGEST_TEXT).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const START: Request = Request::Start;

    #[test]
    fn words_seen_in_the_field_are_understood() {
        for (words, hitch) in [
            ("Vehicle is not in range: ble: failed to scan for X: context deadline exceeded", Hitch::NotReached),
            ("failed to find vehicle: context deadline exceeded", Hitch::NotReached),
            ("failed to perform handshake with vehicle (B): context deadline exceeded", Hitch::NotReached),
            ("the vehicle is already connected to the maximum number of BLE devices", Hitch::NotReached),
            ("vehicle is sleeping", Hitch::Asleep),
            ("vehicle busy or finishing wake-up", Hitch::Busy),
            ("failed to perform handshake with vehicle: vehicle busy or finishing wake-up", Hitch::Busy),
            ("vehicle rejected request: your public key has not been paired with the vehicle", Hitch::NotPaired),
            (
                "failed to find a BLE device: can't init hci: no devices available: (hci0: can't down device: no such device)",
                Hitch::Adapter(AdapterFault::Absent),
            ),
            (
                "failed to find a BLE device: can't init hci: no devices available: (hci0: can't down device: device or resource busy)",
                Hitch::Adapter(AdapterFault::InUse),
            ),
            (
                "failed to find a BLE device: can't init hci: operation not permitted",
                Hitch::Adapter(AdapterFault::Denied),
            ),
            ("car could not execute command: is_charging", Hitch::Reason),
            ("disconnected", Hitch::Reason),
            ("context deadline exceeded", Hitch::Unknown),
            ("", Hitch::Unknown),
        ] {
            assert_eq!(Hitch::of(words), hitch, "{words}");
        }
    }

    #[test]
    fn what_may_have_been_done_is_unsure_and_what_surely_was_not_comes_later() {
        let outcome = |words: &str, is_undone| Hitch::of(words).outcome(START, words, is_undone);
        let lost = "context deadline exceeded";
        assert!(matches!(outcome(lost, false), Outcome::Unsure { .. }));
        assert!(matches!(outcome(lost, true), Outcome::Later { after: None, .. }));
        let read = Request::Read { with_position: false };
        assert!(matches!(Hitch::Unknown.outcome(read, lost, false), Outcome::Later { .. }));
        assert_eq!(outcome("car could not execute command: is_charging", true), Outcome::AlreadySo);
        assert_eq!(outcome("car could not execute command: complete", true), Outcome::Refused(Refusal::Complete));
        assert_eq!(outcome("car could not execute command: disconnected", true), Outcome::Refused(Refusal::Unplugged));
        assert_eq!(outcome("vehicle is sleeping", true), Outcome::Asleep);
        assert_eq!(
            outcome("your public key has not been paired with the vehicle", true),
            Outcome::Refused(Refusal::NotPaired)
        );
        assert!(matches!(outcome("MESSAGEFAULT_ERROR_INSUFFICIENT_PRIVILEGES", true), Outcome::Barred { .. }));
    }

    #[test]
    fn the_body_controller_tells_sleep() {
        assert_eq!(wakefulness("VEHICLE_SLEEP_STATUS_AWAKE"), Some(Wakefulness::Awake));
        assert_eq!(wakefulness("VEHICLE_SLEEP_STATUS_ASLEEP"), Some(Wakefulness::Asleep));
        assert_eq!(wakefulness("VEHICLE_SLEEP_STATUS_UNKNOWN"), None);
    }

    proptest! {
        #[test]
        fn any_words_give_an_outcome_fit_for_a_log_line(words in ".{0,300}") {
            match Hitch::of(&words).outcome(START, &words, false) {
                Outcome::Later { text, .. } | Outcome::Unsure { text } | Outcome::Barred { text } => {
                    prop_assert!(!text.contains('\n'));
                    prop_assert!(text.chars().count() < 600);
                }
                _ => {}
            }
        }
    }
}
