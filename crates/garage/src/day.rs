//! A day of the calendar.

use serde::{Deserialize, Serialize};

/// A day of the calendar where the house stands. Budgets go by it; delays and ages never do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Day {
    /// Year.
    pub year: i16,
    /// Month, 1 to 12.
    pub month: u8,
    /// Day, 1 to 31.
    pub day: u8,
}

impl Day {
    /// Days left in its month, this one included.
    pub(crate) fn days_left(self) -> u8 {
        let is_leap = self.year % 4 == 0 && (self.year % 100 != 0 || self.year % 400 == 0);
        let length: u8 = match self.month {
            2 if is_leap => 29,
            2 => 28,
            4 | 6 | 9 | 11 => 30,
            _ => 31,
        };
        length.saturating_sub(self.day).saturating_add(1)
    }
}

#[cfg(test)]
mod tests {
    use super::Day;

    #[test]
    fn the_last_day_is_one_day() {
        assert_eq!(Day { year: 2028, month: 2, day: 28 }.days_left(), 2);
        assert_eq!(Day { year: 2026, month: 12, day: 31 }.days_left(), 1);
        assert_eq!(Day { year: 2026, month: 11, day: 1 }.days_left(), 30);
    }
}
