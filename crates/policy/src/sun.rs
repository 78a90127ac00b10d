//! Sunrise and sunset from position and date, by the general solar position formulas of the NOAA (about a minute of error
//! below the polar circles).

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

/// When the upper edge of the sun meets the horizon, refraction included: degrees from the zenith.
const HORIZON: f64 = 90.833;

/// What the sun does on one day at one place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sun {
    /// It rises and sets.
    Times {
        /// When it rises.
        rise: Timestamp,
        /// When it sets.
        set: Timestamp,
    },
    /// It does not set.
    AlwaysUp,
    /// It does not rise.
    AlwaysDown,
}

/// The sun on the day `date` (as people there count it), at `latitude` and `longitude` in degrees, north and east positive.
#[must_use]
pub fn sun(date: Date, latitude: f64, longitude: f64) -> Sun {
    let days_in_year = f64::from(date.days_in_year());
    let year_angle = std::f64::consts::TAU / days_in_year * (f64::from(date.day_of_year()) - 1.0);
    let wave =
        |sine: f64, cosine: f64, order: f64| sine * (order * year_angle).sin() + cosine * (order * year_angle).cos();
    // Minutes by which a sundial is ahead of the clock.
    let equation_of_time = 229.18 * (0.000_075 + wave(-0.032_077, 0.001_868, 1.0) + wave(-0.040_849, -0.014_615, 2.0));
    let declination = 0.006_918
        + wave(0.070_257, -0.399_912, 1.0)
        + wave(0.000_907, -0.006_758, 2.0)
        + wave(0.001_48, -0.002_697, 3.0);
    let latitude = latitude.clamp(-89.9, 89.9).to_radians();
    let cosine = HORIZON.to_radians().cos() / (latitude.cos() * declination.cos()) - latitude.tan() * declination.tan();
    if cosine <= -1.0 {
        return Sun::AlwaysUp;
    }
    if cosine >= 1.0 {
        return Sun::AlwaysDown;
    }
    let half_day = 4.0 * cosine.acos().to_degrees();
    let noon = 720.0 - 4.0 * longitude - equation_of_time;
    let Ok(midnight) = TimeZone::UTC.to_timestamp(date.to_datetime(jiff::civil::Time::midnight())) else {
        return Sun::AlwaysDown;
    };
    let at = |minutes: f64| {
        // Within some days of midnight, so far from any limit of the type.
        #[allow(clippy::cast_possible_truncation)]
        let seconds = (minutes * 60.0).round() as i64;
        Timestamp::from_second(midnight.as_second().saturating_add(seconds)).unwrap_or(midnight)
    };
    Sun::Times { rise: at(noon - half_day), set: at(noon + half_day) }
}

/// Sunrise and sunset as whole local hours, rounded from the half hour up, the form in which policies use them.
///
/// A sun that does not set gives 0 and 24; one that does not rise, and a place that is not known, the customary 6 and 20.
#[must_use]
pub fn sun_hours(date: Date, position: Option<(f64, f64)>, zone: &TimeZone) -> (u8, u8) {
    const CUSTOMARY: (u8, u8) = (6, 20);
    let Some((latitude, longitude)) = position else { return CUSTOMARY };
    if !(-90.0..=90.0).contains(&latitude) || !(-180.0..=180.0).contains(&longitude) {
        return CUSTOMARY;
    }
    let hour = |at: Timestamp| {
        let local = at.to_zoned(zone.clone());
        u8::try_from(local.hour()).unwrap_or(0) + u8::from(local.minute() >= 30)
    };
    match sun(date, latitude, longitude) {
        Sun::Times { rise, set } => (hour(rise), hour(set)),
        Sun::AlwaysUp => (0, 24),
        Sun::AlwaysDown => CUSTOMARY,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::civil::date;

    fn local(at: Timestamp, zone: &str) -> String {
        at.to_zoned(TimeZone::get(zone).unwrap()).strftime("%H:%M").to_string()
    }

    fn minutes(clock: &str) -> i32 {
        let (hour, minute) = clock.split_once(':').unwrap();
        hour.parse::<i32>().unwrap() * 60 + minute.parse::<i32>().unwrap()
    }

    /// Almanac times; two minutes of grace for the short series.
    #[test]
    fn almanac_days() {
        for (day, latitude, longitude, zone, rise, set) in [
            (date(2026, 6, 21), 52.52, 13.405, "Europe/Berlin", "04:43", "21:33"),
            (date(2026, 12, 21), 52.52, 13.405, "Europe/Berlin", "08:15", "15:54"),
            (date(2026, 3, 20), -33.8688, 151.2093, "Australia/Sydney", "06:58", "19:07"),
            (date(2026, 7, 1), 37.7749, -122.4194, "America/Los_Angeles", "05:51", "20:35"),
        ] {
            let Sun::Times { rise: up, set: down } = sun(day, latitude, longitude) else { panic!("{day}") };
            let (up, down) = (local(up, zone), local(down, zone));
            assert!((minutes(&up) - minutes(rise)).abs() <= 2, "{zone} {day}: rise {up}, almanac {rise}");
            assert!((minutes(&down) - minutes(set)).abs() <= 2, "{zone} {day}: set {down}, almanac {set}");
        }
    }

    #[test]
    fn hours_round_at_the_half_hour_and_fall_back_without_a_place() {
        let berlin = TimeZone::get("Europe/Berlin").unwrap();
        assert_eq!(sun_hours(date(2026, 6, 21), Some((52.52, 13.405)), &berlin), (5, 22));
        assert_eq!(sun_hours(date(2026, 6, 21), None, &berlin), (6, 20));
        assert_eq!(sun_hours(date(2026, 6, 21), Some((10000.0, 10000.0)), &berlin), (6, 20));
    }

    #[test]
    fn beyond_the_polar_circle_the_sun_stays_up_or_down() {
        let zone = TimeZone::get("Europe/Oslo").unwrap();
        assert_eq!(sun(date(2026, 6, 21), 69.65, 18.96), Sun::AlwaysUp);
        assert_eq!(sun(date(2026, 12, 21), 69.65, 18.96), Sun::AlwaysDown);
        assert_eq!(sun_hours(date(2026, 6, 21), Some((69.65, 18.96)), &zone), (0, 24));
    }
}
