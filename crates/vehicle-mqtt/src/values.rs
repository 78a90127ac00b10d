//! Numbers into quantities; what is out of range is unknown.

use std::time::Duration;

use units::{Amps, Percent, Phases, Volts, WattHours, Watts};

/// Most amps that a car can be told or tell; more is a mistake of the sender.
const MOST_AMPS: f64 = 200.0;
/// Longest time to the limit that is believed.
const LONGEST_HOURS: f64 = 240.0;

/// A finite number.
#[must_use]
pub fn number(text: &str) -> Option<f64> {
    text.trim().parse().ok().filter(|number: &f64| number.is_finite())
}

/// Amps from 0 up.
#[must_use]
pub fn amps(number: f64) -> Option<Amps> {
    (0.0..=MOST_AMPS).contains(&number).then(|| Amps::new(number).ok()).flatten()
}

/// Volts of one phase; a car that does not charge tells a few volts of noise, which are unknown.
#[must_use]
pub fn volts(number: f64) -> Option<Volts> {
    (50.0..=600.0).contains(&number).then(|| Volts::new(number).ok()).flatten()
}

/// A share of the battery.
#[must_use]
pub fn percent(number: f64) -> Option<Percent> {
    Percent::new(number).ok()
}

/// Phases. Tesla's 2 means three.
#[must_use]
pub fn phases(number: f64) -> Option<Phases> {
    if number == 1.0 {
        Some(Phases::One)
    } else if number == 2.0 || number == 3.0 {
        Some(Phases::Three)
    } else {
        None
    }
}

/// Energy from kilowatt-hours.
#[must_use]
pub fn kilowatt_hours(number: f64) -> Option<WattHours> {
    (0.0..=1000.0).contains(&number).then(|| WattHours::new(number * 1000.0).ok()).flatten()
}

/// Power from kilowatts.
#[must_use]
pub fn kilowatts(number: f64) -> Option<Watts> {
    (0.0..=1000.0).contains(&number).then(|| Watts::new(number * 1000.0).ok()).flatten()
}

/// A time from hours.
#[must_use]
pub fn hours(number: f64) -> Option<Duration> {
    (0.0..=LONGEST_HOURS).contains(&number).then(|| Duration::try_from_secs_f64(number * 3600.0).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nonsense_is_unknown() {
        assert_eq!(number(" 12.5 "), Some(12.5));
        assert!(["", "NaN", "inf", "twelve"].iter().all(|text| number(text).is_none()));
        assert!(amps(-1.0).is_none() && amps(1e9).is_none() && volts(2.0).is_none() && percent(101.0).is_none());
        assert_eq!(
            [1.0, 2.0, 3.0, 1.5].map(phases),
            [Some(Phases::One), Some(Phases::Three), Some(Phases::Three), None]
        );
        assert_eq!(hours(1.75), Some(Duration::from_secs(6300)));
        assert!(hours(-1.0).is_none() && kilowatts(f64::NAN).is_none() && kilowatt_hours(-3.0).is_none());
    }
}
