//! The battery comes first: below a state of charge no sun is left for the car.

/// Keeps generation back from [`Reserve::LEAVE`] of the wanted level down until it is well above it again.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Reserve {
    wanted: f64,
    is_holding: bool,
}

impl Reserve {
    /// Part of the wanted level below which generation is kept back.
    pub const LEAVE: f64 = 0.95;
    /// Part of the wanted level above which it is given free again.
    pub const RETURN: f64 = 1.05;

    /// For a wanted level in percent; 0 never holds.
    #[must_use]
    pub fn new(wanted: f64) -> Self {
        Reserve { wanted, is_holding: false }
    }

    /// Whether generation is to be kept back at this state of charge. An unknown one changes nothing.
    pub fn holds(&mut self, soc: Option<f64>) -> bool {
        if let Some(soc) = soc {
            // A full battery is full enough for any wanted level.
            let enough = (self.wanted * Self::RETURN).min(100.0);
            if soc < self.wanted * Self::LEAVE {
                self.is_holding = true;
            } else if soc > enough || soc >= 100.0 {
                self.is_holding = false;
            }
        }
        self.is_holding
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_holds_until_well_above() {
        let mut reserve = Reserve::new(60.0);
        let seen: Vec<bool> = [60.0, 57.1, 56.9, 60.0, 62.9, 63.1, 60.0].map(|soc| reserve.holds(Some(soc))).to_vec();
        assert_eq!(seen, [false, false, true, true, true, false, false]);
        let mut high = Reserve::new(98.0);
        assert!(high.holds(Some(50.0)) && high.holds(None) && high.holds(Some(99.9)) && !high.holds(Some(100.0)));
        assert!(!Reserve::new(0.0).holds(Some(0.0)));
    }
}
