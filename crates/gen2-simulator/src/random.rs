//! A small seeded generator, so that every run with the same seed is the same run.

/// SplitMix64 (Steele, Lea, Flood 2014): one multiplication chain, good enough to place faults.
#[derive(Debug, Clone)]
pub(crate) struct Random {
    state: u64,
}

impl Random {
    pub(crate) const fn new(seed: u64) -> Random {
        Random { state: seed }
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number from `low` to `high`, both included.
    pub(crate) fn between(&mut self, low: u64, high: u64) -> u64 {
        let span = high.saturating_sub(low).saturating_add(1).max(1);
        low.saturating_add(self.next() % span)
    }

    /// True this many times in a thousand.
    pub(crate) fn happens(&mut self, per_mille: u16) -> bool {
        self.next() % 1_000 < u64::from(per_mille)
    }

    pub(crate) fn byte(&mut self) -> u8 {
        self.next().to_le_bytes()[0]
    }

    /// One of the given values; the first if there is nothing to choose from.
    pub(crate) fn pick<const N: usize>(&mut self, values: [u8; N]) -> u8 {
        let index = self.between(0, N as u64 - 1) as usize;
        values.get(index).copied().unwrap_or_default()
    }
}
