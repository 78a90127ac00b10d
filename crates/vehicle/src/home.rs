//! Whether a car is at home.

use std::time::{Duration, Instant};

use serde::Serialize;

use crate::Position;

/// Metres of one degree of latitude (a meridian of 40,008 km by 360).
const METRES_PER_DEGREE: f64 = 111_132.0;
/// A position older than this says nothing about where a car is now, unless it was parked since (TWCManager's 600 s).
pub const FRESH_FIX: Duration = Duration::from_secs(600);

/// Home: a circle on the map.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Home {
    /// Degrees, north positive.
    pub latitude: f64,
    /// Degrees, east positive.
    pub longitude: f64,
    /// Radius in metres.
    pub radius: f64,
}

/// Where a car is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Whereabouts {
    /// At home.
    Home,
    /// Somewhere else.
    Away,
    /// It cannot be told: nothing is sent to it.
    Unknown,
}

impl Home {
    /// Distance of a position in metres; exact enough within some hundred kilometres.
    #[must_use]
    pub fn distance(&self, position: &Position) -> f64 {
        let north = (position.latitude - self.latitude) * METRES_PER_DEGREE;
        let turn = (position.longitude - self.longitude + 540.0).rem_euclid(360.0) - 180.0;
        let east = turn * METRES_PER_DEGREE * self.latitude.to_radians().cos();
        north.hypot(east)
    }

    /// Where a car with this position is. `still_there` says that it did not move since: plugged in or parked all the time.
    #[must_use]
    pub fn whereabouts(&self, position: &Position, now: Instant, still_there: bool) -> Whereabouts {
        let is_fresh = position.fixed_at.is_some_and(|at| now.saturating_duration_since(at) <= FRESH_FIX);
        if !is_fresh && !still_there {
            return Whereabouts::Unknown;
        }
        if self.distance(position) <= self.radius { Whereabouts::Home } else { Whereabouts::Away }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_degree_of_longitude_is_shorter_in_the_north() {
        let at = |latitude, longitude| Position::new(latitude, longitude, None).unwrap();
        let oslo = Home { latitude: 59.9, longitude: 10.7, radius: 1000.0 };
        let east = oslo.distance(&at(59.9, 10.71));
        let north = oslo.distance(&at(59.91, 10.7));
        assert!((550.0..565.0).contains(&east), "{east}");
        assert!((1105.0..1118.0).contains(&north), "{north}");
        let fiji = Home { latitude: -17.0, longitude: 179.999, radius: 1000.0 };
        assert!(fiji.distance(&at(-17.0, -179.999)) < 250.0);
    }

    #[test]
    fn an_old_fix_says_nothing_unless_the_car_stood_still() {
        let now = Instant::now() + Duration::from_secs(10_000);
        let home = Home { latitude: 50.0, longitude: 8.0, radius: 100.0 };
        let fix = |age| Position::new(50.0, 8.0, Some(now - Duration::from_secs(age))).unwrap();
        assert_eq!(home.whereabouts(&fix(599), now, false), Whereabouts::Home);
        assert_eq!(home.whereabouts(&fix(601), now, false), Whereabouts::Unknown);
        assert_eq!(home.whereabouts(&fix(601), now, true), Whereabouts::Home);
        assert!(Position::new(91.0, 0.0, None).is_none());
    }
}
