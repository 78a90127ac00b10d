//! How often a car is looked at when nothing else asks for it.

use std::time::{Duration, Instant};

use vehicle::Request;

/// A car that charges at home, through a source that costs nothing.
const CHARGING_FREE: Duration = Duration::from_secs(60);
/// A car on the road: it comes home some time.
const DRIVING: Duration = Duration::from_secs(900);
/// Awake and idle: less often than this, so that it can fall asleep in between (cars want about eleven quiet minutes).
const SHORTEST_IDLE: Duration = Duration::from_secs(900);
/// Asleep: whether it woke is all that is asked.
const ASLEEP: Duration = Duration::from_secs(1800);
const LONG_ASLEEP: Duration = Duration::from_secs(2700);
/// The same at home, where it matters less when it leaves than when one that is away comes back.
const LONG_ASLEEP_HOME: Duration = Duration::from_secs(2 * 3600);
const LONG_ASLEEP_AFTER: Duration = Duration::from_secs(2 * 3600);
/// After a question that brought no news; and where what is known of a charging car is believed for hardly longer.
const RETRY: Duration = Duration::from_secs(300);
const RETRY_CHARGING: Duration = Duration::from_secs(60);

/// What is known of a car that matters for the next look.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Look {
    /// When anything but its sleep was told.
    pub(crate) heard_at: Option<Instant>,
    /// When it was told whether it sleeps.
    pub(crate) wakefulness_at: Option<Instant>,
    /// When it was last asked.
    pub(crate) asked_at: Option<Instant>,
    /// Since when it sleeps, if it does.
    pub(crate) asleep_since: Option<Instant>,
    pub(crate) is_charging: bool,
    pub(crate) is_home: bool,
    pub(crate) is_driving: bool,
    /// A source that costs nothing can read it.
    pub(crate) is_free: bool,
    /// A source can tell whether it is awake.
    pub(crate) tells_sleep: bool,
    /// A source that is only a copy can be read without the car noticing.
    pub(crate) has_copy: bool,
}

/// The next look: what is asked, and when it is due. `None` leaves it alone.
pub(crate) fn next(now: Instant, look: &Look, idle: Duration, charging: Duration) -> Option<(Request, Instant)> {
    let read = Request::Read { with_position: true };
    let (request, told_at, interval) = match look.asleep_since {
        Some(since) => {
            let is_long = now.saturating_duration_since(since) >= LONG_ASLEEP_AFTER;
            let interval = match is_long {
                true if look.is_home => LONG_ASLEEP_HOME,
                true => LONG_ASLEEP,
                false => ASLEEP,
            };
            match (look.tells_sleep, look.has_copy) {
                (true, _) => (Request::ReadWakefulness, look.wakefulness_at.max(look.heard_at), interval),
                (false, true) => (read, look.wakefulness_at.max(look.heard_at), interval),
                (false, false) => return None,
            }
        }
        None if look.is_charging && look.is_home => {
            (read, look.heard_at, if look.is_free { CHARGING_FREE } else { charging })
        }
        None if look.is_driving => (read, look.heard_at, DRIVING),
        None => (read, look.heard_at, idle.max(SHORTEST_IDLE)),
    };
    let after_told = told_at.map(|at| at + interval);
    let is_awaited = look.asleep_since.is_none() && look.is_charging && look.is_home;
    let retry = if is_awaited { RETRY_CHARGING } else { RETRY };
    let after_asked = look.asked_at.map(|at| at + interval.min(retry));
    Some((request, after_told.max(after_asked).unwrap_or(now)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sleeping_car_is_not_read_and_a_charging_one_is_read_often() {
        let start = Instant::now();
        let now = start + Duration::from_secs(10);
        let look = Look {
            heard_at: Some(start),
            wakefulness_at: Some(start),
            asked_at: None,
            asleep_since: Some(start),
            is_charging: false,
            is_home: true,
            is_driving: false,
            is_free: false,
            tells_sleep: true,
            has_copy: false,
        };
        let seconds = |look: &Look| {
            let (request, at) = next(now, look, Duration::from_secs(60), Duration::from_secs(300)).unwrap();
            (request, (at - start).as_secs())
        };
        let read = Request::Read { with_position: true };
        assert_eq!(seconds(&look), (Request::ReadWakefulness, 1800));
        assert_eq!(seconds(&Look { asleep_since: None, ..look }), (read, 900));
        assert_eq!(seconds(&Look { asleep_since: None, is_charging: true, ..look }), (read, 300));
        assert_eq!(seconds(&Look { asleep_since: None, is_charging: true, is_free: true, ..look }), (read, 60));
        assert_eq!(seconds(&Look { asleep_since: None, heard_at: None, ..look }).1, 10);
        let deaf = Look { tells_sleep: false, ..look };
        assert_eq!(next(now, &deaf, Duration::ZERO, Duration::ZERO), None);
    }
}
