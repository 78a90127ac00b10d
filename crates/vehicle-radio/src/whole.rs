//! Cars know whole amps and whole percents.

use units::{Amps, Percent};

/// More than any car takes from alternating current.
const MOST_AMPS: i32 = 80;

/// Whole amps, rounded down, as text.
#[must_use]
pub fn whole_amps(amps: Amps) -> String {
    (amps.at_least_zero().centiamps() / 100).min(MOST_AMPS).to_string()
}

/// A whole percentage, rounded down and kept within what cars accept, as text.
#[must_use]
pub fn whole_percent(limit: Percent) -> String {
    limit.get().floor().max(50.0).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn never_more_than_was_asked_for() {
        let amps = |amps| whole_amps(Amps::new(amps).unwrap());
        assert_eq!([amps(15.99), amps(16.0), amps(-3.0), amps(0.5), amps(400.0)], ["15", "16", "0", "0", "80"]);
        let percent = |percent| whole_percent(Percent::new(percent).unwrap());
        assert_eq!([percent(80.9), percent(100.0), percent(20.0)], ["80", "100", "50"]);
    }
}
