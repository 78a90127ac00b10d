//! Why nothing is sent to a car, in sentences for people.

use std::fmt;

/// Why nothing is sent to a car now.
#[derive(Debug, Clone, PartialEq)]
pub enum Why {
    /// It does what is wanted.
    AsWanted,
    /// Nothing is wanted of it.
    NothingWanted,
    /// It is somewhere else.
    Away,
    /// It cannot be told where it is.
    PlaceUnknown,
    /// No cable.
    Unplugged,
    /// On direct current.
    FastCharger,
    /// It sleeps and is left to.
    Asleep,
    /// The car says that it is full.
    Complete,
    /// Its state of charge is at its limit.
    LimitReached,
    /// It waits for its own timer.
    OwnTimer,
    /// It was stopped on request.
    Held,
    /// It may not charge here, for this reason.
    NotPermitted(String),
    /// It is below the least state of charge and is not stopped.
    BelowLeast,
    /// The charging point gives no power.
    NoPower,
    /// It gets the time to start by itself.
    OwnStart,
    /// It gets the time to wake by itself.
    WakeDelay,
    /// It did not wake.
    DidNotWake,
    /// It was woken several times within a day.
    EnoughWakes,
    /// A try had no effect and the next comes later.
    BackOff,
    /// Starting was tried in vain.
    StartGivenUp,
    /// Stopping was tried in vain.
    StopGivenUp,
    /// It was started four times within an hour.
    EnoughStarts,
    /// The program has just started and knows too little to stop it.
    Settling,
    /// The last change was a moment ago.
    Spacing,
    /// Its limit could not be set.
    LimitGivenUp,
    /// A question is under way.
    Asking,
    /// What a command did is looked at soon.
    Looking,
    /// Its state is too old to act on, and it cannot be read.
    Blind,
    /// The money is spent, apart from what is kept for what matters more.
    BudgetSpent,
    /// The money is to last until the month ends.
    BudgetPace,
    /// The maker wants money.
    PaymentDue,
    /// What a person asked for waits: what it is, and what for.
    OrderWaits(Box<(vehicle::Request, Option<String>)>),
    /// No source can do it now, for this reason if there is one.
    NoWay(Option<String>),
}

impl Why {
    /// A stable word for programs.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Why::AsWanted => "as_wanted",
            Why::NothingWanted => "nothing_wanted",
            Why::Away => "away",
            Why::PlaceUnknown => "place_unknown",
            Why::Unplugged => "unplugged",
            Why::FastCharger => "fast_charger",
            Why::Asleep => "asleep",
            Why::Complete => "complete",
            Why::LimitReached => "limit_reached",
            Why::OwnTimer => "own_timer",
            Why::Held => "held",
            Why::NotPermitted(_) => "not_permitted",
            Why::BelowLeast => "below_least",
            Why::NoPower => "no_power",
            Why::OwnStart => "own_start",
            Why::WakeDelay => "wake_delay",
            Why::DidNotWake => "did_not_wake",
            Why::EnoughWakes => "enough_wakes",
            Why::BackOff => "back_off",
            Why::StartGivenUp => "start_given_up",
            Why::StopGivenUp => "stop_given_up",
            Why::EnoughStarts => "enough_starts",
            Why::Settling => "settling",
            Why::Spacing => "spacing",
            Why::LimitGivenUp => "limit_given_up",
            Why::Asking => "asking",
            Why::Looking => "looking",
            Why::Blind => "blind",
            Why::BudgetSpent => "budget_spent",
            Why::BudgetPace => "budget_pace",
            Why::PaymentDue => "payment_due",
            Why::OrderWaits(_) => "order_waits",
            Why::NoWay(_) => "no_way",
        }
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Why::AsWanted => "It does what is wanted.",
            Why::NothingWanted => "Nothing is wanted of it.",
            Why::Away => "It is away; cars are steered at home only.",
            Why::PlaceUnknown => {
                "It cannot be told whether it is at home: let a source tell its position (the scope vehicle_location of \
                 Tesla's interface), or plug it in at a charging point that is told its VIN."
            }
            Why::Unplugged => "No cable is plugged in.",
            Why::FastCharger => "It hangs on a fast charger.",
            Why::Asleep => "It sleeps and is left to sleep.",
            Why::Complete => "The car says that it is full.",
            Why::LimitReached => "Its charge limit is reached.",
            Why::OwnTimer => {
                "It waits for the timer that was set in the car (`respectVehicleSchedule`); switch the timer off in the car \
                 to charge now."
            }
            Why::Held => "It was stopped on request; start it, or plug it in anew.",
            Why::NotPermitted(reason) => return write!(f, "It may not charge here: {reason}"),
            Why::BelowLeast => "It is below the least state of charge (`minChargeLevel`) and is not stopped.",
            Why::NoPower => "The charging point gives it no power.",
            Why::OwnStart => "It has just got power and may start by itself.",
            Why::WakeDelay => "It sleeps and may wake by itself before it is woken (`wakeDelayMins`).",
            Why::DidNotWake => "It did not wake; it is tried again half an hour later.",
            Why::EnoughWakes => "It was woken often enough within a day; wake it in its app, or start it here.",
            Why::BackOff => "The last try had no effect; the next comes later.",
            Why::StartGivenUp => {
                "It was told to start three times and did not. It is told again after it is plugged in anew, when the \
                 policy changes, or when you start it."
            }
            Why::StopGivenUp => {
                "It was told to stop three times and did not. Stop it in the car, or at the charging point."
            }
            Why::EnoughStarts => "It was started four times within an hour; that is enough for now.",
            Why::Settling => {
                "The program has just started; for want of power it is stopped after the first minute only."
            }
            Why::Spacing => "Its current was changed a moment ago.",
            Why::LimitGivenUp => "Its charge limit could not be set; set it in the car.",
            Why::Asking => "A question is under way.",
            Why::Looking => "What the last command did is looked at in a moment.",
            Why::Blind => "What is known of it is too old to act on, and no source can read it.",
            Why::BudgetSpent => {
                "The budget for calls is spent, apart from what is kept for what matters more (`vehicle.budget`)."
            }
            Why::BudgetPace => "It is asked less often, so that the budget lasts until the month ends (`vehicle.budget`).",
            Why::PaymentDue => {
                "Tesla wants payment and has switched calls off until the month ends: add a means of payment at \
                 developer.tesla.com, then resume calls here."
            }
            Why::OrderWaits(order) => {
                let (request, reason) = (request(order.0), order.1.as_deref().unwrap_or("no way leads to it now"));
                let reason = reason.trim_end_matches('.');
                return write!(
                    f,
                    "What you asked of it, {request}, waits: {reason}. It is told as soon as that is over, within 15 minutes \
                     at most."
                );
            }
            Why::NoWay(Some(reason)) => return write!(f, "No way leads to it now. {reason}"),
            Why::NoWay(None) => {
                "No source can command it. A guest's car that is in none of your accounts is left alone; for a car of yours, \
                 switch a source on (`vehicle.teslaAPI`, `vehicle.teslaBLE`), or look at `vehicle.commandPolicy`."
            }
        })
    }
}

/// A request, for a sentence after "was asked".
#[must_use]
pub fn request(request: vehicle::Request) -> String {
    use vehicle::Request;
    match request {
        Request::List => "which cars there are".to_owned(),
        Request::Read { with_position: true } => "how and where it is".to_owned(),
        Request::Read { with_position: false } => "how it is".to_owned(),
        Request::ReadWakefulness => "whether it is awake".to_owned(),
        Request::Wake => "to wake".to_owned(),
        Request::Start => "to start charging".to_owned(),
        Request::Stop => "to stop charging".to_owned(),
        Request::SetAmps(amps) => format!("to take at most {amps:.0}"),
        Request::SetLimit(limit) => format!("to charge to {limit}"),
    }
}

/// What came of it.
pub(crate) fn outcome(outcome: &vehicle::Outcome) -> String {
    use vehicle::{Outcome, Refusal};
    match outcome {
        Outcome::Done => "done".to_owned(),
        Outcome::AlreadySo => "it was so already".to_owned(),
        Outcome::Refused(Refusal::Complete) => "refused: full".to_owned(),
        Outcome::Refused(Refusal::Unplugged) => "refused: no cable".to_owned(),
        Outcome::Refused(Refusal::NoPower) => "refused: no power at the charging point".to_owned(),
        Outcome::Refused(Refusal::NotPaired) => "refused: the car does not know our key".to_owned(),
        Outcome::Refused(Refusal::Other) => "refused".to_owned(),
        Outcome::Asleep => "it sleeps".to_owned(),
        Outcome::Later { text, .. } | Outcome::Unsure { text } | Outcome::Barred { text } => text.clone(),
    }
}
