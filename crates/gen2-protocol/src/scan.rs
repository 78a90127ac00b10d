//! Looks for one byte value, eight bytes at a step, in safe code.

const LANES: usize = size_of::<u64>();
const LOW_BITS: u64 = 0x0101_0101_0101_0101;
const HIGH_BITS: u64 = 0x8080_8080_8080_8080;

/// The high bit of every lane that holds `wanted`; exact for the lowest such lane.
#[inline]
const fn matches(word: u64, wanted: u8) -> u64 {
    let differences = word ^ (LOW_BITS * wanted as u64);
    differences.wrapping_sub(LOW_BITS) & !differences & HIGH_BITS
}

/// Position of the first `wanted` in `bytes`.
#[inline]
pub(crate) fn find(wanted: u8, bytes: &[u8]) -> Option<usize> {
    let (words, rest) = bytes.as_chunks::<LANES>();
    for (index, word) in words.iter().enumerate() {
        let found = matches(u64::from_le_bytes(*word), wanted);
        if found != 0 {
            return Some(index * LANES + (found.trailing_zeros() / u8::BITS) as usize);
        }
    }
    rest.iter().position(|byte| *byte == wanted).map(|at| words.len() * LANES + at)
}

/// Whether `wanted` is anywhere in `bytes`.
#[inline]
pub(crate) fn contains(wanted: u8, bytes: &[u8]) -> bool {
    let (words, rest) = bytes.as_chunks::<LANES>();
    let mut found = 0;
    for word in words {
        found |= matches(u64::from_le_bytes(*word), wanted);
    }
    found != 0 || rest.contains(&wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_first_one_wherever_it_is() {
        for length in 0..40usize {
            for wanted in [0x00, 0x01, 0x7F, 0x80, 0xC0, 0xFF] {
                let mut bytes = [wanted ^ 0x01; 40];
                let slice = &mut bytes[..length];
                assert_eq!(find(wanted, slice), None);
                assert!(!contains(wanted, slice));
                for at in (0..length).rev() {
                    slice[at] = wanted;
                    assert_eq!(find(wanted, slice), Some(at));
                    assert!(contains(wanted, slice));
                }
            }
        }
    }
}
