//! How many phases, which phase, and a value for each.

use std::fmt;
use std::ops::{Index, IndexMut};

use serde::{Deserialize, Serialize};

/// One of the three phases of a supply.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Phase {
    /// The first phase; the only one of a single-phase supply.
    L1,
    /// The second phase.
    L2,
    /// The third phase.
    L3,
}

impl Phase {
    /// All three, in order.
    pub const ALL: [Phase; 3] = [Phase::L1, Phase::L2, Phase::L3];
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Phase::L1 => "L1",
            Phase::L2 => "L2",
            Phase::L3 => "L3",
        })
    }
}

/// How many phases a load uses. A two-phase load uses L1 and L2.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(try_from = "u8", into = "u8")]
pub enum Phases {
    /// L1 only.
    #[default]
    One,
    /// L1 and L2.
    Two,
    /// All three.
    Three,
}

impl Phases {
    /// The number of phases, 1 to 3.
    #[must_use]
    pub const fn count(self) -> u8 {
        match self {
            Phases::One => 1,
            Phases::Two => 2,
            Phases::Three => 3,
        }
    }

    /// From a count; `None` unless 1, 2 or 3.
    #[must_use]
    pub const fn from_count(count: u8) -> Option<Self> {
        match count {
            1 => Some(Phases::One),
            2 => Some(Phases::Two),
            3 => Some(Phases::Three),
            _ => None,
        }
    }

    /// The phases in use, from L1 on.
    pub fn iter(self) -> impl Iterator<Item = Phase> {
        Phase::ALL.into_iter().take(usize::from(self.count()))
    }

    /// Whether a load on this many phases uses `phase`.
    #[must_use]
    pub const fn uses(self, phase: Phase) -> bool {
        (phase as u8) < self.count()
    }
}

impl TryFrom<u8> for Phases {
    type Error = &'static str;
    fn try_from(count: u8) -> Result<Self, Self::Error> {
        Phases::from_count(count).ok_or("the number of phases is 1, 2 or 3")
    }
}

impl From<Phases> for u8 {
    fn from(phases: Phases) -> u8 {
        phases.count()
    }
}

impl fmt::Display for Phases {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.count())
    }
}

/// A value for each phase. `PerPhase<Option<T>>` where a phase may be unknown or absent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct PerPhase<T> {
    /// The value of L1.
    pub l1: T,
    /// The value of L2.
    pub l2: T,
    /// The value of L3.
    pub l3: T,
}

impl<T> PerPhase<T> {
    /// One value for each phase.
    pub const fn new(l1: T, l2: T, l3: T) -> Self {
        PerPhase { l1, l2, l3 }
    }

    /// The same value on every phase.
    pub fn splat(value: T) -> Self
    where
        T: Copy,
    {
        PerPhase::new(value, value, value)
    }

    /// What `f` says of each phase.
    pub fn from_fn(mut f: impl FnMut(Phase) -> T) -> Self {
        PerPhase::new(f(Phase::L1), f(Phase::L2), f(Phase::L3))
    }

    /// Applies `f` to each value.
    pub fn map<U>(self, mut f: impl FnMut(T) -> U) -> PerPhase<U> {
        PerPhase::new(f(self.l1), f(self.l2), f(self.l3))
    }

    /// The values with their phases, in order.
    pub fn iter(&self) -> impl Iterator<Item = (Phase, &T)> {
        Phase::ALL.into_iter().zip([&self.l1, &self.l2, &self.l3])
    }

    /// The three values as an array, L1 first.
    pub fn into_array(self) -> [T; 3] {
        [self.l1, self.l2, self.l3]
    }
}

impl<T> PerPhase<Option<T>> {
    /// No phase known.
    #[must_use]
    pub const fn unknown() -> Self {
        PerPhase::new(None, None, None)
    }

    /// Whether at least one phase is known.
    #[must_use]
    pub const fn is_known(&self) -> bool {
        self.l1.is_some() || self.l2.is_some() || self.l3.is_some()
    }
}

impl<T> Index<Phase> for PerPhase<T> {
    type Output = T;
    fn index(&self, phase: Phase) -> &T {
        match phase {
            Phase::L1 => &self.l1,
            Phase::L2 => &self.l2,
            Phase::L3 => &self.l3,
        }
    }
}

impl<T> IndexMut<Phase> for PerPhase<T> {
    fn index_mut(&mut self, phase: Phase) -> &mut T {
        match phase {
            Phase::L1 => &mut self.l1,
            Phase::L2 => &mut self.l2,
            Phase::L3 => &mut self.l3,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_two_phase_load_uses_the_first_two() {
        assert!(Phases::Two.uses(Phase::L2));
        assert!(!Phases::Two.uses(Phase::L3));
        assert!(Phases::Two.iter().eq([Phase::L1, Phase::L2]));
    }

    #[test]
    fn counts_outside_one_to_three_are_refused() {
        assert_eq!(Phases::from_count(0), None);
        assert_eq!(Phases::from_count(4), None);
    }
}
