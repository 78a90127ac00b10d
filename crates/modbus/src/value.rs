//! What registers mean.

/// The type of a value and its width.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Number {
    /// One register, without sign. Not implemented: 0xFFFF.
    U16,
    /// One register, with sign. Not implemented: 0x8000.
    I16,
    /// Two registers, without sign. Not implemented: 0xFFFFFFFF.
    U32,
    /// Two registers, with sign. Not implemented: 0x80000000.
    I32,
    /// Four registers, without sign. Not implemented: all ones.
    U64,
    /// Four registers, with sign. Not implemented: the least number.
    I64,
    /// Two registers, IEEE 754. Not implemented: NaN, infinity, ±3.4e38.
    F32,
    /// Four registers, IEEE 754. Not implemented: NaN, infinity.
    F64,
    /// A SunSpec counter of two registers, where 0 means not implemented.
    Acc32,
}

impl Number {
    /// How many registers it takes.
    pub fn width(self) -> u16 {
        match self {
            Self::U16 | Self::I16 => 1,
            Self::U32 | Self::I32 | Self::F32 | Self::Acc32 => 2,
            Self::U64 | Self::I64 | Self::F64 => 4,
        }
    }
}

/// How a number is laid out, and what it is multiplied with.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Format {
    number: Number,
    low_word_first: bool,
    low_byte_first: bool,
    scale: f64,
    sentinels: bool,
}

impl Format {
    /// High word first, high byte first, unscaled, with the type's own "not implemented" pattern.
    pub const fn new(number: Number) -> Self {
        Self { number, low_word_first: false, low_byte_first: false, scale: 1.0, sentinels: true }
    }

    /// The low word comes first (CDAB).
    pub const fn low_word_first(mut self) -> Self {
        self.low_word_first = true;
        self
    }

    /// The low byte of each register comes first (BADC).
    pub const fn low_byte_first(mut self) -> Self {
        self.low_byte_first = true;
        self
    }

    /// Multiplied with this: 0.1 for tenths.
    pub const fn scale(mut self, factor: f64) -> Self {
        self.scale = factor;
        self
    }

    /// Every pattern is a value; for devices that know no "not implemented". NaN and infinity are still none.
    pub const fn without_sentinels(mut self) -> Self {
        self.sentinels = false;
        self
    }

    /// The type.
    pub fn number(self) -> Number {
        self.number
    }

    /// The value of these registers, `None` for "not implemented". The slice must have the type's width.
    fn decode(self, words: &[u16]) -> Option<f64> {
        let mut bytes = [0; 8];
        let width = usize::from(self.number.width());
        if words.len() != width {
            return None;
        }
        let place = |at: usize| if self.low_word_first { width - 1 - at } else { at };
        for (at, word) in words.iter().enumerate() {
            let pair = if self.low_byte_first { word.to_le_bytes() } else { word.to_be_bytes() };
            bytes.get_mut(2 * place(at)..2 * place(at) + 2)?.copy_from_slice(&pair);
        }
        let two = u16::from_be_bytes(*bytes.first_chunk()?);
        let four = u32::from_be_bytes(*bytes.first_chunk()?);
        let eight = u64::from_be_bytes(bytes);
        let is_missing = match self.number {
            Number::U16 => two == u16::MAX,
            Number::I16 => two == 0x8000,
            Number::U32 => four == u32::MAX,
            Number::I32 => four == 0x8000_0000,
            Number::U64 => eight == u64::MAX,
            Number::I64 => eight == 1 << 63,
            Number::Acc32 => four == 0,
            Number::F32 => f32::from_bits(four).abs() >= 3.4e38,
            Number::F64 => false,
        };
        if is_missing && self.sentinels {
            return None;
        }
        // 64-bit counters lose their last digits above 2^53; no meter gets there.
        let value = match self.number {
            Number::U16 => f64::from(two),
            Number::I16 => f64::from(two.cast_signed()),
            Number::U32 | Number::Acc32 => f64::from(four),
            Number::I32 => f64::from(four.cast_signed()),
            Number::U64 => eight as f64,
            Number::I64 => eight.cast_signed() as f64,
            Number::F32 => f64::from(f32::from_bits(four)),
            Number::F64 => f64::from_bits(eight),
        };
        Some(value * self.scale).filter(|value| value.is_finite())
    }

    /// The registers that hold a value, rounded to what the type can hold; `None` if it does not fit or would read as
    /// "not implemented".
    pub fn encode(self, value: f64) -> Option<Vec<u16>> {
        let raw = value / self.scale;
        let whole = raw.round();
        let text = format!("{whole:.0}");
        let bytes: Vec<u8> = match self.number {
            Number::U16 => text.parse::<u16>().ok()?.to_be_bytes().to_vec(),
            Number::I16 => text.parse::<i16>().ok()?.to_be_bytes().to_vec(),
            Number::U32 | Number::Acc32 => text.parse::<u32>().ok()?.to_be_bytes().to_vec(),
            Number::I32 => text.parse::<i32>().ok()?.to_be_bytes().to_vec(),
            Number::U64 => text.parse::<u64>().ok()?.to_be_bytes().to_vec(),
            Number::I64 => text.parse::<i64>().ok()?.to_be_bytes().to_vec(),
            Number::F32 => format!("{raw:e}").parse::<f32>().ok()?.to_be_bytes().to_vec(),
            Number::F64 => raw.to_be_bytes().to_vec(),
        };
        let mut words: Vec<u16> = bytes
            .as_chunks::<2>()
            .0
            .iter()
            .map(|pair| if self.low_byte_first { u16::from_le_bytes(*pair) } else { u16::from_be_bytes(*pair) })
            .collect();
        if self.low_word_first {
            words.reverse();
        }
        self.decode(&words).map(|_| words)
    }
}

/// A register that is outside what was read: a mistake in the driver.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("register {address} was not read; registers {start} to {end} were (please report this mistake in the program)")]
pub struct NotInBlock {
    /// The register asked for.
    pub address: u16,
    /// The first register read.
    pub start: u16,
    /// The last register read.
    pub end: u16,
}

/// Registers read in one go, asked for by their addresses on the wire.
///
/// ```
/// use modbus::{Block, Format, Number};
///
/// let block = Block::new(40083, vec![0x0fa0, 0xffff]);
/// assert_eq!(block.scaled(40083, Format::new(Number::I16), 40084)?, Some(400.0));
/// # Ok::<(), modbus::NotInBlock>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    start: u16,
    words: Vec<u16>,
}

/// Largest power of ten that a SunSpec scale factor may have.
const LARGEST_POWER: i16 = 10;

impl Block {
    /// Registers from `start` on.
    pub fn new(start: u16, words: Vec<u16>) -> Self {
        Self { start, words }
    }

    /// The first register's address.
    pub fn start(&self) -> u16 {
        self.start
    }

    /// The registers as they came.
    pub fn words(&self) -> &[u16] {
        &self.words
    }

    /// One register as it came.
    ///
    /// # Errors
    ///
    /// [`NotInBlock`].
    pub fn word(&self, address: u16) -> Result<u16, NotInBlock> {
        self.slice(address, 1)?.first().copied().ok_or_else(|| self.outside(address))
    }

    /// The number at an address; `None` if the device says that it has none.
    ///
    /// # Errors
    ///
    /// [`NotInBlock`].
    pub fn number(&self, address: u16, format: Format) -> Result<Option<f64>, NotInBlock> {
        Ok(format.decode(self.slice(address, format.number.width())?))
    }

    /// The number at an address, times ten to the power at another (a SunSpec scale factor); `None` if either is missing
    /// or the power is beyond ±10. Value and factor must come from the same block, since factors change with the values.
    ///
    /// # Errors
    ///
    /// [`NotInBlock`].
    pub fn scaled(&self, address: u16, format: Format, factor: u16) -> Result<Option<f64>, NotInBlock> {
        let power = self.word(factor)?.cast_signed();
        let value = self.number(address, format)?;
        if !(-LARGEST_POWER..=LARGEST_POWER).contains(&power) {
            return Ok(None);
        }
        // Dividing by a whole power keeps 2301 / 10 at 230.1; multiplying with 0.1 does not.
        let ten = 10f64.powi(i32::from(power.unsigned_abs()));
        Ok(value.map(|value| if power < 0 { value / ten } else { value * ten }))
    }

    /// The text in `count` registers, two characters each, without padding.
    ///
    /// # Errors
    ///
    /// [`NotInBlock`].
    pub fn text(&self, address: u16, count: u16) -> Result<String, NotInBlock> {
        let bytes: Vec<u8> = self.slice(address, count)?.iter().flat_map(|word| word.to_be_bytes()).collect();
        let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
        let text = String::from_utf8_lossy(bytes.get(..end).unwrap_or_default()).into_owned();
        Ok(text.chars().filter(|c| !c.is_control()).collect::<String>().trim().to_owned())
    }

    fn slice(&self, address: u16, count: u16) -> Result<&[u16], NotInBlock> {
        let from = usize::from(address.checked_sub(self.start).ok_or_else(|| self.outside(address))?);
        self.words.get(from..from + usize::from(count)).ok_or_else(|| self.outside(address))
    }

    fn outside(&self, address: u16) -> NotInBlock {
        let last = u16::try_from(self.words.len().saturating_sub(1)).unwrap_or(u16::MAX);
        NotInBlock { address, start: self.start, end: self.start.saturating_add(last) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn value(words: &[u16], format: Format) -> Option<f64> {
        Block::new(100, words.to_vec()).number(100, format).unwrap()
    }

    #[test]
    fn every_type_in_every_order() {
        use Number::*;
        let f = Format::new;
        for (words, format, expected) in [
            (&[0xfe66][..], f(I16), -410.0),
            (&[0xfe66], f(U16), 65126.0),
            (&[0x1234], f(U16).low_byte_first(), f64::from(0x3412)),
            (&[0x0001, 0x0000], f(U32), 65536.0),
            (&[0x0001, 0x0000], f(U32).low_word_first(), 1.0),
            (&[0xffff, 0xfffe], f(I32), -2.0),
            (&[0x4366, 0x3333], f(F32), f64::from(230.2f32)),
            (&[0x3333, 0x4366], f(F32).low_word_first(), f64::from(230.2f32)),
            (&[0x6643, 0x3333], f(F32).low_byte_first(), f64::from(230.2f32)),
            (&[0, 0, 1, 0], f(U64), 65536.0),
            (&[0xffff, 0xffff, 0xffff, 0xffff], f(I64), -1.0),
            (&[0x4069, 0, 0, 0], f(F64), 200.0),
            (&[0, 0, 0, 0x4069], f(F64).low_word_first(), 200.0),
            (&[2301], f(U16).scale(0.5), 1150.5),
        ] {
            assert_eq!(value(words, format), Some(expected), "{words:x?} {format:?}");
        }
    }

    #[test]
    fn not_implemented_is_none() {
        use Number::*;
        for (words, number) in [
            (&[0xffff][..], U16),
            (&[0x8000], I16),
            (&[0xffff, 0xffff], U32),
            (&[0x8000, 0], I32),
            (&[0xffff; 4], U64),
            (&[0x8000, 0, 0, 0], I64),
            (&[0x7fc0, 0], F32),
            (&[0xffc0, 0], F32),
            (&[0x7f80, 0], F32),
            (&[0xff7f, 0xffff], F32),
            (&[0x7ff8, 0, 0, 0], F64),
            (&[0, 0], Acc32),
        ] {
            assert_eq!(value(words, Format::new(number)), None, "{words:x?} {number:?}");
        }
        assert_eq!(value(&[0xffff], Format::new(U16).without_sentinels()), Some(65535.0));
        assert_eq!(value(&[0x7fc0, 0], Format::new(F32).without_sentinels()), None);
    }

    #[test]
    fn sunspec_factors_from_minus_three_to_three() {
        for (factor, expected) in [(-3, 2.301), (-2, 23.01), (-1, 230.1), (0, 2301.0), (1, 23010.0), (3, 2_301_000.0)] {
            let block = Block::new(0, vec![2301, i16::cast_unsigned(factor)]);
            assert_eq!(block.scaled(0, Format::new(Number::U16), 1), Ok(Some(expected)));
        }
        for (word, factor) in [(2301, 0x8000), (2301, 11), (0xffff, 0)] {
            assert_eq!(Block::new(0, vec![word, factor]).scaled(0, Format::new(Number::U16), 1), Ok(None));
        }
    }

    #[test]
    fn texts_lose_their_padding() {
        let block = Block::new(7, vec![0x536f, 0x6c61, 0x7220, 0x0000, 0x4141]);
        assert_eq!(block.text(7, 5), Ok("Solar".into()));
        assert_eq!(block.text(7, 6), Err(NotInBlock { address: 7, start: 7, end: 11 }));
        assert!(block.word(6).is_err());
    }

    fn any_format() -> impl Strategy<Value = Format> {
        use Number::*;
        let number = prop::sample::select(vec![U16, I16, U32, I32, U64, I64, F32, F64, Acc32]);
        (number, any::<bool>(), any::<bool>()).prop_map(|(number, words, bytes)| Format {
            low_word_first: words,
            low_byte_first: bytes,
            ..Format::new(number)
        })
    }

    proptest! {
        #[test]
        fn any_registers_give_a_finite_number_or_none(words in proptest::collection::vec(any::<u16>(), 0..8), start in any::<u16>(), address in any::<u16>(), factor in any::<u16>(), format in any_format()) {
            let block = Block::new(start, words);
            if let Ok(Some(number)) = block.number(address, format) {
                prop_assert!(number.is_finite());
            }
            let _ = block.scaled(address, format, factor);
            let _ = block.text(address, factor);
        }

        #[test]
        fn what_is_written_is_read(value in -30_000i32..30_000, format in any_format()) {
            let value = f64::from(value);
            match format.encode(value) {
                Some(words) => prop_assert_eq!(Block::new(5, words).number(5, format), Ok(Some(value))),
                None => prop_assert!(value <= 0.0),
            }
        }
    }
}
