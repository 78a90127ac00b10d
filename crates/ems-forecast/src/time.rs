//! Time stamps of the services.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

/// The moment of a stamp: with its offset (`2024-04-26T07:00:00+02:00`, `…Z`), or without one as local time of `zone`
/// (a name such as `Europe/Amsterdam`; UTC when unknown). Seconds since 1970.
#[must_use]
pub fn instant(stamp: &str, zone: Option<&str>) -> Option<i64> {
    let stamp = stamp.trim();
    if let Ok(timestamp) = stamp.parse::<Timestamp>() {
        return Some(timestamp.as_second());
    }
    let local: DateTime = stamp.parse().ok()?;
    let zone = zone.and_then(|name| TimeZone::get(name).ok()).unwrap_or(TimeZone::UTC);
    Some(local.to_zoned(zone).ok()?.timestamp().as_second())
}

/// Month (0 = January) at a moment in a place whose clock is `offset` seconds ahead of UTC.
#[must_use]
pub fn month_at(time: i64, offset: i32) -> Option<usize> {
    let offset = jiff::tz::Offset::from_seconds(offset).ok()?;
    let month = offset.to_datetime(Timestamp::from_second(time).ok()?).month();
    usize::try_from(month).ok()?.checked_sub(1)
}

/// Now.
#[must_use]
pub fn now() -> i64 {
    Timestamp::now().as_second()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stamps_of_all_kinds() {
        for (stamp, zone, expected) in [
            ("2024-04-26T07:00:00+02:00", None, Some(1_714_107_600)),
            ("2024-04-26T05:00:00Z", None, Some(1_714_107_600)),
            ("2024-04-26 07:00:00", Some("Europe/Amsterdam"), Some(1_714_107_600)),
            ("2024-04-26T05:00", Some("Mars/Olympus"), Some(1_714_107_600)),
            ("yesterday", None, None),
        ] {
            assert_eq!(instant(stamp, zone), expected, "{stamp}");
        }
    }

    #[test]
    fn the_month_is_that_of_the_place() {
        let new_year = 1_704_067_200;
        assert_eq!(
            (month_at(new_year - 1, 0), month_at(new_year - 1, 7200), month_at(0, i32::MAX)),
            (Some(11), Some(0), None)
        );
    }
}
