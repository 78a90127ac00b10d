//! From a stream of bytes to single telegrams.

use std::collections::VecDeque;

/// More than any telegram, texts of the grid operator included; a longer one is noise.
pub const LARGEST_TELEGRAM: usize = 16 * 1024;
/// Telegrams that wait to be taken; an older one is out of date anyway.
const LARGEST_QUEUE: usize = 4;
/// A line that was meant to be read with seven data bits has its parity here.
const PARITY: u8 = 0x80;

/// What went by on the line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counters {
    /// Bytes of any kind.
    pub bytes: u64,
    /// Whole telegrams, good or bad.
    pub telegrams: u64,
    /// Telegrams that were cut off by the next one, or went on for too long.
    pub broken: u64,
}

/// Cuts a stream of bytes into telegrams. Starts anywhere; a telegram that is damaged costs itself only. Holds 16 kB and
/// four telegrams at most.
#[derive(Debug, Default)]
pub struct Framer {
    telegram: Vec<u8>,
    /// Start of the current line in `telegram`.
    line: usize,
    ready: VecDeque<Vec<u8>>,
    counters: Counters,
}

impl Framer {
    /// One that has seen nothing.
    #[must_use]
    pub fn new() -> Self {
        Framer::default()
    }

    /// Takes what came in.
    pub fn push(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.counters.bytes = self.counters.bytes.saturating_add(1);
            self.take(*byte);
        }
    }

    /// The next whole telegram: from its `/` to the end of the line with its `!`, as it came in.
    pub fn next_telegram(&mut self) -> Option<Vec<u8>> {
        self.ready.pop_front()
    }

    /// What went by so far.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.counters
    }

    fn take(&mut self, byte: u8) {
        let plain = byte & !PARITY;
        if plain == b'/' && (self.telegram.is_empty() || self.is_line_start() || self.is_last_line()) {
            match self.is_last_line() {
                // The end of the line of the `!` never came, and nothing is missing without it.
                true => self.finish(),
                false if !self.telegram.is_empty() => self.drop_broken(),
                false => {}
            }
            self.telegram.push(byte);
            return;
        }
        if self.telegram.is_empty() {
            return;
        }
        self.telegram.push(byte);
        if plain == b'\n' {
            match self.is_last_line() {
                true => self.finish(),
                false => self.line = self.telegram.len(),
            }
        } else if self.telegram.len() >= LARGEST_TELEGRAM {
            self.drop_broken();
        }
    }

    fn is_line_start(&self) -> bool {
        self.line > 0 && self.line == self.telegram.len()
    }

    fn is_last_line(&self) -> bool {
        self.telegram.get(self.line).is_some_and(|first| first & !PARITY == b'!')
    }

    fn finish(&mut self) {
        self.counters.telegrams = self.counters.telegrams.saturating_add(1);
        if self.ready.len() >= LARGEST_QUEUE {
            self.ready.pop_front();
        }
        self.ready.push_back(std::mem::take(&mut self.telegram));
        self.line = 0;
    }

    fn drop_broken(&mut self) {
        self.counters.broken = self.counters.broken.saturating_add(1);
        self.telegram.clear();
        self.line = 0;
    }
}

/// CRC-16/ARC: what DSMR 4 and later print after the `!`.
pub(crate) fn crc16(bytes: impl IntoIterator<Item = u8>) -> u16 {
    bytes.into_iter().fold(0, |crc, byte| {
        (0..8).fold(crc ^ u16::from(byte), |crc, _| if crc & 1 == 1 { (crc >> 1) ^ 0xA001 } else { crc >> 1 })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &[u8] = b"/ABC5METER\r\n\r\n1-0:1.7.0(00.244*kW)\r\n!1234\r\n";

    fn cut(stream: &[u8]) -> (Vec<Vec<u8>>, Counters) {
        let mut framer = Framer::new();
        framer.push(stream);
        (std::iter::from_fn(|| framer.next_telegram()).collect(), framer.counters())
    }

    #[test]
    fn the_check_value_of_the_crc_is_the_published_one() {
        assert_eq!(crc16(*b"123456789"), 0xBB3D);
    }

    #[test]
    fn a_stream_that_starts_in_the_middle_is_picked_up() {
        let (telegrams, counters) = cut(&[b"0:1.7.0(1*kW)\r\n!6EEE\r\n", ONE, b"\xFF\xFF", ONE].concat());
        assert_eq!(telegrams, [ONE, ONE]);
        assert_eq!((counters.telegrams, counters.broken), (2, 0));
    }

    #[test]
    fn a_telegram_cut_off_by_the_next_costs_itself_only() {
        let (telegrams, counters) = cut(&[b"/ABC5METER\r\n\r\n1-0:1.7".as_slice(), b"\r\n", ONE].concat());
        assert_eq!(telegrams, [ONE]);
        assert_eq!(counters.broken, 1);
    }

    #[test]
    fn a_last_line_without_end_ends_at_the_next_telegram() {
        let (telegrams, _) = cut(&[b"/ABC5METER\r\n\r\n!1234".as_slice(), ONE].concat());
        assert_eq!(telegrams, [b"/ABC5METER\r\n\r\n!1234".as_slice(), ONE]);
    }

    #[test]
    fn seven_bit_lines_with_parity_are_found() {
        let parity: Vec<u8> =
            ONE.iter().map(|byte| byte | if byte.count_ones() % 2 == 1 { PARITY } else { 0 }).collect();
        assert_eq!(cut(&parity).0, [parity]);
    }

    #[test]
    fn endless_noise_is_not_kept() {
        let mut framer = Framer::new();
        for _ in 0..1000 {
            framer.push(b"/");
            framer.push(&[b'x'; 1000]);
        }
        assert!(framer.telegram.len() <= LARGEST_TELEGRAM && framer.telegram.capacity() <= 4 * LARGEST_TELEGRAM);
        assert!(framer.counters().broken > 10);
        for _ in 0..100 {
            framer.push(b"\r\n");
            framer.push(ONE);
        }
        assert!(framer.ready.len() <= LARGEST_QUEUE);
    }

    proptest::proptest! {
        #[test]
        fn whatever_came_before_the_second_telegram_after_it_is_found(noise in proptest::collection::vec(0u8.., 0..400)) {
            let (telegrams, _) = cut(&[noise.as_slice(), b"\r\n", ONE, ONE].concat());
            proptest::prop_assert_eq!(telegrams.last().map(Vec::as_slice), Some(ONE));
        }
    }
}
