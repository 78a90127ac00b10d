//! Charging the car from the house's battery in the small hours, as TWCManager offers it. Pure.

use jiff::civil::Time;

/// Adds the battery's output to generation between midnight and a time, while it is well charged.
#[derive(Debug, Clone, PartialEq)]
pub struct Boost {
    /// State of charge (percent) above which it begins.
    pub at: f64,
    /// State of charge down to which it goes on.
    pub till: f64,
    /// What the battery gives, in watts.
    pub watts: f64,
    /// End of the time; midnight means never.
    pub before: Time,
    /// Whether it has begun.
    pub is_on: bool,
}

impl Boost {
    /// What to add now. With an unknown state of charge nothing.
    pub fn add(&mut self, now: Time, soc: Option<f64>) -> f64 {
        let Some(soc) = soc.filter(|_| now < self.before) else {
            self.is_on = false;
            return 0.0;
        };
        self.is_on = if self.is_on { soc > self.till } else { soc > self.at };
        if self.is_on { self.watts } else { 0.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::civil::time;

    #[test]
    fn it_begins_above_one_level_and_ends_at_another() {
        let mut boost = Boost { at: 80.0, till: 30.0, watts: 3000.0, before: time(6, 30, 0, 0), is_on: false };
        let night = time(2, 0, 0, 0);
        let seen: Vec<f64> = [80.0, 81.0, 50.0, 31.0, 30.0, 60.0].map(|soc| boost.add(night, Some(soc))).to_vec();
        assert_eq!(seen, [0.0, 3000.0, 3000.0, 3000.0, 0.0, 0.0]);
        assert_eq!(boost.add(night, Some(90.0)), 3000.0);
        assert_eq!(boost.add(night, None), 0.0);
        assert_eq!(boost.add(time(6, 30, 0, 0), Some(90.0)), 0.0);
        boost.before = time(0, 0, 0, 0);
        assert_eq!(boost.add(time(0, 0, 0, 0), Some(100.0)), 0.0);
    }
}
