//! The small values that travel inside messages: identities, currents, counters and text.

use core::fmt;

/// Identity of a unit on the bus, two bytes, shown as four upper-case hexadecimal digits.
///
/// On later units these are the last four digits of the serial number; early units show any bytes. Two units on one line
/// may have the same identity until one of them yields.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct TwcId(pub [u8; 2]);

impl TwcId {
    /// The identity that controllers conventionally use for themselves, `7777`.
    pub const FAKE_MASTER: TwcId = TwcId([0x77, 0x77]);

    /// The identity whose four printed digits are those of `number` in hexadecimal: `0x4085` is `4085`.
    #[must_use]
    pub const fn from_u16(number: u16) -> TwcId {
        TwcId(number.to_be_bytes())
    }

    /// The two bytes as one number, first byte high.
    #[must_use]
    pub const fn to_u16(self) -> u16 {
        u16::from_be_bytes(self.0)
    }
}

impl fmt::Display for TwcId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02X}{:02X}", self.0[0], self.0[1])
    }
}

/// The text was not four hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BadTwcId;

impl fmt::Display for BadTwcId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a unit's identity is four hexadecimal digits such as 4085; write it without spaces or 0x")
    }
}

impl core::error::Error for BadTwcId {}

impl core::str::FromStr for TwcId {
    type Err = BadTwcId;

    fn from_str(text: &str) -> Result<TwcId, BadTwcId> {
        if text.len() != 4 || !text.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return Err(BadTwcId);
        }
        u16::from_str_radix(text, 16).map(TwcId::from_u16).map_err(|_| BadTwcId)
    }
}

/// The random byte that a unit announces with its identity; a unit that shows another one has restarted.
///
/// One real master used different signs in its two announcements, so do not match on a master's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Sign(pub u8);

impl fmt::Display for Sign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02X}", self.0)
    }
}

/// A current in hundredths of an ampere, as the wire has it: 0 to 655.35 A.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct CentiAmps(pub u16);

impl CentiAmps {
    /// No current.
    pub const ZERO: CentiAmps = CentiAmps(0);

    /// This many whole amperes; saturates at 655.35 A.
    #[must_use]
    pub const fn from_amps(amps: u16) -> CentiAmps {
        CentiAmps(amps.saturating_mul(100))
    }

    /// Whether this is no current at all.
    #[must_use]
    pub const fn is_zero(self) -> bool {
        self.0 == 0
    }

    /// Sum, at most 655.35 A.
    #[must_use]
    pub const fn saturating_add(self, other: CentiAmps) -> CentiAmps {
        CentiAmps(self.0.saturating_add(other.0))
    }

    /// Difference, at least zero.
    #[must_use]
    pub const fn saturating_sub(self, other: CentiAmps) -> CentiAmps {
        CentiAmps(self.0.saturating_sub(other.0))
    }

    /// The current rounded down to whole amperes.
    #[must_use]
    pub const fn floor_to_amp(self) -> CentiAmps {
        CentiAmps(self.0 - self.0 % 100)
    }
}

impl fmt::Display for CentiAmps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:02} A", self.0 / 100, self.0 % 100)
    }
}

/// Which dialect a unit speaks; told by the length of its frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ProtocolVersion {
    /// Units built until about mid 2017: 14-byte frames, limit command 05, a limit of zero stops the car.
    V1,
    /// Later units: 16-byte frames, limit command 09, a limit of zero falls to 6 A.
    V2,
}

impl ProtocolVersion {
    /// The version that a frame of this many bytes (checksum included) belongs to: up to 14 is version 1.
    ///
    /// Telling for frames of slaves only. Masters in the field send 13 to 16 bytes to either version.
    #[must_use]
    pub const fn from_frame_length(length: usize) -> ProtocolVersion {
        if length <= 14 { ProtocolVersion::V1 } else { ProtocolVersion::V2 }
    }

    /// Length of this version's ordinary frames, checksum included.
    #[must_use]
    pub const fn frame_length(self) -> usize {
        match self {
            ProtocolVersion::V1 => 14,
            ProtocolVersion::V2 => 16,
        }
    }

    /// Least current that a car charges with: 5 A on version 1, 6 A on version 2.
    #[must_use]
    pub const fn least_current(self) -> CentiAmps {
        match self {
            ProtocolVersion::V1 => CentiAmps(500),
            ProtocolVersion::V2 => CentiAmps(600),
        }
    }
}

impl fmt::Display for ProtocolVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ProtocolVersion::V1 => "protocol version 1",
            ProtocolVersion::V2 => "protocol version 2",
        })
    }
}

/// A unit's lifetime energy counter exactly as sent: **the unit of measure differs from connector to connector**.
///
/// Most count whole kilowatt-hours, some count watt-hours, and one was seen with bit 22 stuck. Compare the counter's growth
/// with the energy that volts and amps say has flowed before you trust a scale.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct EnergyCounter(pub u32);

impl EnergyCounter {
    /// Readings above this are taken for watt-hours until the unit's own growth tells.
    pub const LARGEST_PLAUSIBLE_KILOWATT_HOURS: u32 = 300_000;

    /// First guess, to be replaced by observation: the reading is too large for kilowatt-hours.
    #[must_use]
    pub const fn looks_like_watt_hours(self) -> bool {
        self.0 > EnergyCounter::LARGEST_PLAUSIBLE_KILOWATT_HOURS
    }
}

impl fmt::Display for EnergyCounter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = if self.looks_like_watt_hours() { "Wh?" } else { "kWh" };
        write!(f, "{} {unit}", self.0)
    }
}

/// A fixed field of characters padded with zero bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Text<const N: usize> {
    bytes: [u8; N],
}

impl<const N: usize> Text<N> {
    /// The field with these bytes; what does not fit is cut off, what is missing is padded with zeros.
    #[must_use]
    pub fn new(bytes: &[u8]) -> Text<N> {
        let mut field = [0; N];
        for (to, from) in field.iter_mut().zip(bytes) {
            *to = *from;
        }
        Text { bytes: field }
    }

    /// The whole field, padding included.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; N] {
        &self.bytes
    }

    /// The characters before the padding, or nothing if one of them is not printable ASCII.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        let text = self.unpadded();
        if !text.iter().all(|byte| (0x20..0x7F).contains(byte)) {
            return None;
        }
        core::str::from_utf8(text).ok()
    }

    /// Whether the field is nothing but padding.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.unpadded().is_empty()
    }

    fn unpadded(&self) -> &[u8] {
        let length = self.bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        self.bytes.get(..length).unwrap_or(&[])
    }
}

impl<const N: usize> Default for Text<N> {
    fn default() -> Self {
        Text { bytes: [0; N] }
    }
}

impl<const N: usize> fmt::Display for Text<N> {
    /// The characters before the padding; what is not printable ASCII becomes a question mark.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use fmt::Write as _;
        for byte in self.unpadded() {
            let shown = if (0x20..0x7F).contains(byte) { char::from(*byte) } else { '?' };
            f.write_char(shown)?;
        }
        Ok(())
    }
}

/// Seven, seven and three characters put together to a vehicle identification number.
///
/// Nothing when all parts are empty (no car, not a Tesla, or DIP switch 2 down) or when any of the 17 characters is missing
/// or unprintable. The check digit is not looked at: cars built outside North America need not have one. All three parts must
/// come from one round of questions, or two cars get mixed.
#[must_use]
pub fn join_vin(first: &Text<7>, second: &Text<7>, third: &Text<7>) -> Option<Text<17>> {
    let mut bytes = [0; 17];
    let characters = first.bytes.iter().chain(second.bytes.iter()).chain(third.bytes.iter().take(3));
    for (to, from) in bytes.iter_mut().zip(characters) {
        *to = *from;
    }
    bytes.iter().all(u8::is_ascii_alphanumeric).then_some(Text { bytes })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;

    #[test]
    fn identity_prints_and_parses_as_four_digits() {
        assert_eq!(TwcId([0x03, 0x5D]).to_string(), "035D");
        assert_eq!("035d".parse(), Ok(TwcId([0x03, 0x5D])));
        for bad in ["", "35D", "035DX", "+35D", "0x35"] {
            assert_eq!(bad.parse::<TwcId>(), Err(BadTwcId), "{bad}");
        }
    }

    #[test]
    fn current_prints_with_two_decimals_and_saturates() {
        assert_eq!(CentiAmps(606).to_string(), "6.06 A");
        assert_eq!(CentiAmps::from_amps(700), CentiAmps(65_535));
        assert_eq!(CentiAmps(1_299).floor_to_amp(), CentiAmps(1_200));
    }

    #[test]
    fn text_shows_what_it_can() {
        let serial = Text::<11>::new(b"A17I0039393");
        assert_eq!(serial.as_str(), Some("A17I0039393"));
        assert_eq!(Text::<7>::new(b"AB\x00").as_str(), Some("AB"));
        let odd = Text::<7>::new(&[0x41, 0x01, 0x42]);
        assert_eq!(odd.as_str(), None);
        assert_eq!(odd.to_string(), "A?B");
        assert!(Text::<7>::default().is_empty());
    }

    #[test]
    fn vin_needs_all_seventeen_characters() {
        let first = Text::new(b"5YJ3E1E");
        let second = Text::new(b"A7KF000");
        let third = Text::new(b"316\0\0\0\0");
        let vin = join_vin(&first, &second, &third).expect("complete");
        assert_eq!(vin.as_str(), Some("5YJ3E1EA7KF000316"));
        assert_eq!(join_vin(&first, &Text::default(), &third), None);
        let empty = Text::default();
        assert_eq!(join_vin(&empty, &empty, &empty), None);
    }
}
