//! Power, current, voltage and energy, and the named bridges between them.

use std::fmt;
use std::iter::Sum;
use std::ops::{Add, AddAssign, Mul, Neg, Sub, SubAssign};

use serde::{Deserialize, Serialize};

use crate::Phases;

/// Largest power or energy that is believed, in watts or watt-hours. Anything above (a meter's 1e308, say) is a fault.
const SANE_LIMIT: f64 = 1e9;

/// A number that cannot be the quantity it claims to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a {quantity} must be a number from {allowed}")]
pub struct OutOfRange {
    quantity: &'static str,
    allowed: &'static str,
}

impl OutOfRange {
    pub(crate) const fn new(quantity: &'static str, allowed: &'static str) -> Self {
        OutOfRange { quantity, allowed }
    }
}

macro_rules! real_quantity {
    ($(#[$doc:meta])* $name:ident, $quantity:literal, $low:expr, $high:expr, $allowed:literal, $unit:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Default, Serialize, Deserialize)]
        #[serde(try_from = "f64", into = "f64")]
        pub struct $name(f64);

        impl $name {
            /// None at all.
            pub const ZERO: $name = $name(0.0);

            /// From a plain number in the type's unit.
            ///
            /// # Errors
            /// `OutOfRange` for NaN, infinities and numbers that no household can mean.
            pub fn new(value: f64) -> Result<Self, OutOfRange> {
                if (($low)..=($high)).contains(&value) {
                    Ok($name(value))
                } else {
                    Err(OutOfRange::new($quantity, $allowed))
                }
            }

            /// From a number that our own arithmetic made: held within the range, NaN becomes zero.
            #[must_use]
            pub fn saturating(value: f64) -> Self {
                if value.is_nan() { $name(0.0) } else { $name(value.clamp($low, $high)) }
            }

            /// The plain number in the type's unit; always finite.
            #[must_use]
            pub const fn get(self) -> f64 {
                self.0
            }

            /// The smaller of the two.
            #[must_use]
            pub fn min(self, other: Self) -> Self {
                $name(self.0.min(other.0))
            }

            /// The larger of the two.
            #[must_use]
            pub fn max(self, other: Self) -> Self {
                $name(self.0.max(other.0))
            }
        }

        impl TryFrom<f64> for $name {
            type Error = OutOfRange;
            fn try_from(value: f64) -> Result<Self, OutOfRange> {
                $name::new(value)
            }
        }

        impl From<$name> for f64 {
            fn from(value: $name) -> f64 {
                value.0
            }
        }

        impl Add for $name {
            type Output = $name;
            fn add(self, other: $name) -> $name {
                $name::saturating(self.0 + other.0)
            }
        }

        impl Sub for $name {
            type Output = $name;
            fn sub(self, other: $name) -> $name {
                $name::saturating(self.0 - other.0)
            }
        }

        impl AddAssign for $name {
            fn add_assign(&mut self, other: $name) {
                *self = *self + other;
            }
        }

        impl SubAssign for $name {
            fn sub_assign(&mut self, other: $name) {
                *self = *self - other;
            }
        }

        impl Mul<f64> for $name {
            type Output = $name;
            fn mul(self, factor: f64) -> $name {
                $name::saturating(self.0 * factor)
            }
        }

        impl Sum for $name {
            fn sum<I: Iterator<Item = $name>>(iter: I) -> $name {
                iter.fold($name::ZERO, Add::add)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let precision = f.precision().unwrap_or(0);
                // What rounds to nothing loses its sign: nobody wants to read "-0 W".
                let rounds_to_zero = self.0.abs() * 10f64.powi(i32::try_from(precision).unwrap_or(9)) < 0.5;
                let shown = if rounds_to_zero { 0.0 } else { self.0 };
                write!(f, concat!("{:.*} ", $unit), precision, shown)
            }
        }
    };
}

real_quantity!(
    /// Power in watts. Grid import, generation, battery discharge and what a car draws are positive.
    Watts, "power", -SANE_LIMIT, SANE_LIMIT, "-1e9 to 1e9 W", "W"
);
real_quantity!(
    /// Voltage between a phase and neutral, in volts; never negative.
    Volts, "voltage", 0.0, 1e6, "0 to 1e6 V", "V"
);
real_quantity!(
    /// Energy in watt-hours.
    WattHours, "energy", -SANE_LIMIT * 1e3, SANE_LIMIT * 1e3, "-1e12 to 1e12 Wh", "Wh"
);

impl Neg for Watts {
    type Output = Watts;
    fn neg(self) -> Watts {
        Watts(-self.0)
    }
}

impl Watts {
    /// Largest whole-centiamp current whose power on `phases` phases of `volts` each stays at or below `self`.
    ///
    /// Zero for no power, for negative power and for a voltage of zero: an unknown voltage never makes an offer.
    #[must_use]
    pub fn amps_floor(self, volts: Volts, phases: Phases) -> Amps {
        let volts = volts.get() * f64::from(phases.count());
        if volts <= 0.0 || self.0 <= 0.0 {
            return Amps::ZERO;
        }
        // A millionth of a centiamp forgives what binary fractions lose; it is far below what any device resolves.
        let centiamps = (self.0 / volts * 100.0 + 1e-6).floor();
        Amps::from_centiamps(saturate_i32(centiamps))
    }

    /// Energy of this power held for `seconds`.
    #[must_use]
    pub fn for_seconds(self, seconds: f64) -> WattHours {
        WattHours::saturating(self.0 * seconds / 3600.0)
    }
}

/// Current in hundredths of an amp, the resolution of the Gen 2 bus; arithmetic saturates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Amps(i32);

impl Amps {
    /// No current.
    pub const ZERO: Amps = Amps(0);

    /// From hundredths of an amp.
    #[must_use]
    pub const fn from_centiamps(centiamps: i32) -> Self {
        Amps(centiamps)
    }

    /// From whole amps.
    #[must_use]
    pub const fn from_whole(amps: i32) -> Self {
        Amps(amps.saturating_mul(100))
    }

    /// From a measured or configured number of amps, to the nearest hundredth.
    ///
    /// # Errors
    /// `OutOfRange` for NaN and for more than ±1,000,000 A.
    pub fn new(amps: f64) -> Result<Self, OutOfRange> {
        if (-1e6..=1e6).contains(&amps) {
            Ok(Amps(saturate_i32((amps * 100.0).round())))
        } else {
            Err(OutOfRange::new("current", "-1e6 to 1e6 A"))
        }
    }

    /// Hundredths of an amp.
    #[must_use]
    pub const fn centiamps(self) -> i32 {
        self.0
    }

    /// Amps as a plain number.
    #[must_use]
    pub fn get(self) -> f64 {
        f64::from(self.0) / 100.0
    }

    /// Rounded down to whole amps: what a Gen 2 connector is told, since fractions make some cars fall back to 5 A.
    #[must_use]
    pub const fn whole_amps_floor(self) -> Self {
        Amps(self.0.div_euclid(100).saturating_mul(100))
    }

    /// The power of this current on `phases` phases of `volts` each.
    #[must_use]
    pub fn watts(self, volts: Volts, phases: Phases) -> Watts {
        Watts::saturating(self.get() * volts.get() * f64::from(phases.count()))
    }

    /// The larger of this and nothing.
    #[must_use]
    pub fn at_least_zero(self) -> Self {
        self.max(Amps::ZERO)
    }
}

impl Add for Amps {
    type Output = Amps;
    fn add(self, other: Amps) -> Amps {
        Amps(self.0.saturating_add(other.0))
    }
}

impl Sub for Amps {
    type Output = Amps;
    fn sub(self, other: Amps) -> Amps {
        Amps(self.0.saturating_sub(other.0))
    }
}

impl AddAssign for Amps {
    fn add_assign(&mut self, other: Amps) {
        *self = *self + other;
    }
}

impl SubAssign for Amps {
    fn sub_assign(&mut self, other: Amps) {
        *self = *self - other;
    }
}

impl Neg for Amps {
    type Output = Amps;
    fn neg(self) -> Amps {
        Amps(self.0.saturating_neg())
    }
}

impl Sum for Amps {
    fn sum<I: Iterator<Item = Amps>>(iter: I) -> Amps {
        iter.fold(Amps::ZERO, Add::add)
    }
}

impl fmt::Display for Amps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.*} A", f.precision().unwrap_or(2), self.get())
    }
}

impl Serialize for Amps {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(self.get())
    }
}

impl<'de> Deserialize<'de> for Amps {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let amps = f64::deserialize(deserializer)?;
        Amps::new(amps).map_err(serde::de::Error::custom)
    }
}

/// Drops the fraction and holds the rest within an `i32`; `as` is saturating by definition for floats.
#[allow(clippy::cast_possible_truncation)]
fn saturate_i32(value: f64) -> i32 {
    value as i32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn watts(value: f64) -> Watts {
        Watts::new(value).unwrap()
    }

    #[test]
    fn power_becomes_current_rounded_down() {
        let volts = Volts::new(230.0).unwrap();
        assert_eq!(watts(6_900.0).amps_floor(volts, Phases::Three), Amps::from_whole(10));
        assert_eq!(watts(6_899.0).amps_floor(volts, Phases::Three), Amps::from_centiamps(999));
    }

    #[test]
    fn nothing_is_offered_without_power_or_without_a_voltage() {
        let volts = Volts::new(230.0).unwrap();
        assert_eq!(watts(-5.0).amps_floor(volts, Phases::One), Amps::ZERO);
        assert_eq!(watts(5_000.0).amps_floor(Volts::ZERO, Phases::One), Amps::ZERO);
    }

    #[test]
    fn numbers_that_no_meter_can_mean_are_refused() {
        for wrong in [f64::NAN, f64::INFINITY, 1e308, -1e308] {
            assert!(Watts::new(wrong).is_err());
            assert!(Amps::new(wrong).is_err());
            assert!(Volts::new(wrong).is_err());
        }
        assert!(Volts::new(-1.0).is_err());
    }

    #[test]
    fn sums_saturate_instead_of_overflowing() {
        assert_eq!(watts(1e9) + watts(1e9), watts(1e9));
        assert_eq!(Amps::from_centiamps(i32::MAX) + Amps::from_whole(1), Amps::from_centiamps(i32::MAX));
    }

    #[test]
    fn a_current_prints_with_its_unit() {
        assert_eq!(Amps::from_centiamps(1_608).to_string(), "16.08 A");
        assert_eq!(watts(-0.2).to_string(), "0 W");
    }

    #[test]
    fn whole_amps_round_down_also_below_zero() {
        assert_eq!(Amps::from_centiamps(1_699).whole_amps_floor(), Amps::from_whole(16));
        assert_eq!(Amps::from_centiamps(-1).whole_amps_floor(), Amps::from_whole(-1));
    }
}
