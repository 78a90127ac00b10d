//! The few rules of the protobuf encoding that these messages need.
//!
//! Source: <https://protobuf.dev/programming-guides/encoding/>. Written by hand, because a dozen tiny messages do not need
//! a generator, and because here any bytes at all must give a message or an error.

/// What is wrong with bytes that should have been a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Malformed {
    #[error("it ends in the middle of a field")]
    Truncated,
    #[error("a number is longer than 64 bits")]
    LongNumber,
    #[error("it has a kind of field that these messages never use")]
    UnknownKind,
    #[error("a field has the number 0 or one that is too large")]
    BadFieldNumber,
    #[error("a known field is of another kind than expected")]
    WrongKind,
    #[error("a field has a length that it can never have")]
    WrongLength,
}

/// The value of one field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Value<'a> {
    Varint(u64),
    Fixed32(u32),
    Fixed64,
    Bytes(&'a [u8]),
}

impl<'a> Value<'a> {
    pub(crate) fn bytes(self) -> Result<&'a [u8], Malformed> {
        match self {
            Self::Bytes(bytes) => Ok(bytes),
            _ => Err(Malformed::WrongKind),
        }
    }

    /// A `uint32` or an enum: the low 32 bits, as the encoding demands.
    pub(crate) fn uint32(self) -> Result<u32, Malformed> {
        match self {
            Self::Varint(number) => {
                let [a, b, c, d, ..] = number.to_le_bytes();
                Ok(u32::from_le_bytes([a, b, c, d]))
            }
            _ => Err(Malformed::WrongKind),
        }
    }

    pub(crate) fn fixed32(self) -> Result<u32, Malformed> {
        match self {
            Self::Fixed32(number) => Ok(number),
            _ => Err(Malformed::WrongKind),
        }
    }

    pub(crate) fn array<const N: usize>(self) -> Result<[u8; N], Malformed> {
        self.bytes()?.try_into().map_err(|_| Malformed::WrongLength)
    }
}

/// The fields of a message, in the order of the bytes; ends after the first error.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    pub(crate) fn of(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    fn varint(&mut self) -> Result<u64, Malformed> {
        let mut number = 0_u64;
        for shift in (0..64).step_by(7) {
            let (&byte, rest) = self.rest.split_first().ok_or(Malformed::Truncated)?;
            self.rest = rest;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                return Err(Malformed::LongNumber);
            }
            number |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(Malformed::LongNumber)
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.rest.split_at_checked(length).ok_or(Malformed::Truncated)?;
        self.rest = rest;
        Ok(taken)
    }

    fn field(&mut self) -> Result<(u32, Value<'a>), Malformed> {
        let key = self.varint()?;
        let number = u32::try_from(key >> 3).map_err(|_| Malformed::BadFieldNumber)?;
        if number == 0 || number > MAX_FIELD_NUMBER {
            return Err(Malformed::BadFieldNumber);
        }
        let value = match key & 7 {
            0 => Value::Varint(self.varint()?),
            1 => {
                self.take(8)?;
                Value::Fixed64
            }
            2 => {
                let length = usize::try_from(self.varint()?).map_err(|_| Malformed::Truncated)?;
                Value::Bytes(self.take(length)?)
            }
            5 => {
                let bytes = self.take(4)?.try_into().map_err(|_| Malformed::Truncated)?;
                Value::Fixed32(u32::from_le_bytes(bytes))
            }
            _ => return Err(Malformed::UnknownKind),
        };
        Ok((number, value))
    }
}

/// The highest field number that the encoding has.
const MAX_FIELD_NUMBER: u32 = (1 << 29) - 1;

impl<'a> Iterator for Fields<'a> {
    type Item = Result<(u32, Value<'a>), Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let field = self.field();
        if field.is_err() {
            self.rest = &[];
        }
        Some(field)
    }
}

/// A message being written. Its fields must be written in the order of their numbers.
#[derive(Debug, Default)]
pub(crate) struct Writer {
    bytes: Vec<u8>,
}

impl Writer {
    fn raw_varint(&mut self, mut number: u64) {
        loop {
            let [low, ..] = number.to_le_bytes();
            number >>= 7;
            if number == 0 {
                self.bytes.push(low & 0x7f);
                return;
            }
            self.bytes.push(low | 0x80);
        }
    }

    fn key(&mut self, field: u32, kind: u64) {
        self.raw_varint(u64::from(field) << 3 | kind);
    }

    /// A number, left out when 0.
    pub(crate) fn varint(mut self, field: u32, number: u32) -> Self {
        if number != 0 {
            self = self.choice(field, number);
        }
        self
    }

    /// A number that is one of several possible fields, so that it counts even when 0.
    pub(crate) fn choice(mut self, field: u32, number: u32) -> Self {
        self.key(field, 0);
        self.raw_varint(u64::from(number));
        self
    }

    /// A number of four bytes, left out when 0.
    pub(crate) fn fixed32(mut self, field: u32, number: u32) -> Self {
        if number != 0 {
            self.key(field, 5);
            self.bytes.extend_from_slice(&number.to_le_bytes());
        }
        self
    }

    /// Bytes, left out when there are none.
    pub(crate) fn bytes(self, field: u32, bytes: &[u8]) -> Self {
        if bytes.is_empty() { self } else { self.message(field, bytes) }
    }

    /// A message inside this one. An empty one is written: its presence is what it says.
    pub(crate) fn message(mut self, field: u32, message: &[u8]) -> Self {
        self.key(field, 2);
        self.raw_varint(message.len() as u64);
        self.bytes.extend_from_slice(message);
        self
    }

    pub(crate) fn finish(self) -> Vec<u8> {
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn fields(bytes: &[u8]) -> Result<Vec<(u32, Value<'_>)>, Malformed> {
        Fields::of(bytes).collect()
    }

    #[test]
    fn every_kind_of_field_is_read() {
        let bytes = [0x08, 0x96, 0x01, 0x12, 0x02, 0xaa, 0xbb, 0x1d, 0x5f, 0x0a, 0, 0, 0x21, 1, 2, 3, 4, 5, 6, 7, 8];
        let expected = vec![
            (1, Value::Varint(150)),
            (2, Value::Bytes(&[0xaa, 0xbb])),
            (3, Value::Fixed32(2655)),
            (4, Value::Fixed64),
        ];
        assert_eq!(fields(&bytes), Ok(expected));
        assert_eq!(fields(&[0x9a, 0x03, 0x00]), Ok(vec![(51, Value::Bytes(&[]))]));
    }

    #[test]
    fn broken_bytes_are_errors() {
        for (bytes, expected) in [
            (&[0x08][..], Malformed::Truncated),
            (&[0x12, 0x05, 0x00], Malformed::Truncated),
            (&[0x1d, 0x00], Malformed::Truncated),
            (&[0x0b], Malformed::UnknownKind),
            (&[0x00, 0x00], Malformed::BadFieldNumber),
            (&[0x80, 0x80, 0x80, 0x80, 0x10, 0x00], Malformed::BadFieldNumber),
            (&[0x08, 255, 255, 255, 255, 255, 255, 255, 255, 255, 2], Malformed::LongNumber),
            (&[0x12, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1], Malformed::Truncated),
        ] {
            assert_eq!(fields(bytes), Err(expected), "{bytes:02x?}");
        }
    }

    #[test]
    fn zero_is_left_out_and_an_empty_message_is_not() {
        assert!(Writer::default().varint(1, 0).fixed32(2, 0).bytes(3, &[]).finish().is_empty());
        assert_eq!(Writer::default().message(2, &[]).finish(), [0x12, 0]);
        assert_eq!(Writer::default().choice(1, 0).finish(), [0x08, 0]);
    }

    proptest! {
        #[test]
        fn any_bytes_end(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let count = Fields::of(&bytes).count();
            prop_assert!(count <= bytes.len());
        }

        #[test]
        fn what_is_written_is_read(field in 1_u32..MAX_FIELD_NUMBER, number in 1_u32.., bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let written = Writer::default().varint(field, number).message(field, &bytes).fixed32(field, number).finish();
            let expected = vec![
                (field, Value::Varint(u64::from(number))), (field, Value::Bytes(&bytes)), (field, Value::Fixed32(number)),
            ];
            prop_assert_eq!(fields(&written), Ok(expected));
        }
    }
}
