//! Reading and writing protobuf fields, as far as a car needs them.

/// A field's value as it is on the wire.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    Number(u64),
    Fixed(u32),
    Bytes(Vec<u8>),
}

/// The fields of a message, in order.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Fields(Vec<(u64, Value)>);

impl Fields {
    /// Takes a message apart; `None` when it is none.
    pub(crate) fn read(bytes: &[u8]) -> Option<Fields> {
        let mut rest = bytes;
        let mut fields = Vec::new();
        while !rest.is_empty() {
            let key = varint(&mut rest)?;
            let value = match key & 7 {
                0 => Value::Number(varint(&mut rest)?),
                1 => {
                    take(&mut rest, 8)?;
                    continue;
                }
                2 => {
                    let length = usize::try_from(varint(&mut rest)?).ok()?;
                    Value::Bytes(take(&mut rest, length)?.to_vec())
                }
                5 => Value::Fixed(u32::from_le_bytes(take(&mut rest, 4)?.try_into().ok()?)),
                _ => return None,
            };
            fields.push((key >> 3, value));
        }
        Some(Fields(fields))
    }

    fn find(&self, field: u64) -> Option<&Value> {
        // The last one counts when a field comes twice.
        self.0.iter().rev().find(|(number, _)| *number == field).map(|(_, value)| value)
    }

    pub(crate) fn has(&self, field: u64) -> bool {
        self.find(field).is_some()
    }

    pub(crate) fn bytes(&self, field: u64) -> Option<&[u8]> {
        match self.find(field)? {
            Value::Bytes(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// A message within; `None` when absent or broken.
    pub(crate) fn message(&self, field: u64) -> Option<Fields> {
        Fields::read(self.bytes(field)?)
    }

    /// A number; an absent one is zero, as proto3 has it.
    pub(crate) fn number(&self, field: u64) -> u64 {
        match self.find(field) {
            Some(Value::Number(number)) => *number,
            Some(Value::Fixed(number)) => u64::from(*number),
            _ => 0,
        }
    }

    /// The numbers of the fields present.
    pub(crate) fn present(&self) -> Vec<u64> {
        self.0.iter().map(|(number, _)| *number).collect()
    }
}

/// A message being written.
#[derive(Debug, Clone, Default)]
pub(crate) struct Writer(Vec<u8>);

impl Writer {
    pub(crate) fn new() -> Self {
        Writer::default()
    }

    /// A number; zero is left out, as proto3 has it.
    pub(crate) fn number(mut self, field: u64, value: u64) -> Self {
        if value != 0 {
            self.put_varint(field << 3);
            self.put_varint(value);
        }
        self
    }

    pub(crate) fn fixed(mut self, field: u64, value: u32) -> Self {
        if value != 0 {
            self.put_varint(field << 3 | 5);
            self.0.extend(value.to_le_bytes());
        }
        self
    }

    pub(crate) fn float(self, field: u64, value: f32) -> Self {
        self.fixed(field, value.to_bits())
    }

    /// Bytes, text or a message; written even when empty.
    pub(crate) fn bytes(mut self, field: u64, value: &[u8]) -> Self {
        self.put_varint(field << 3 | 2);
        self.put_varint(value.len() as u64);
        self.0.extend(value);
        self
    }

    pub(crate) fn message(self, field: u64, value: Writer) -> Self {
        self.bytes(field, &value.0)
    }

    pub(crate) fn done(self) -> Vec<u8> {
        self.0
    }

    fn put_varint(&mut self, mut value: u64) {
        loop {
            let [low, ..] = value.to_le_bytes();
            value >>= 7;
            if value == 0 {
                self.0.push(low & 0x7f);
                return;
            }
            self.0.push(low | 0x80);
        }
    }
}

fn varint(rest: &mut &[u8]) -> Option<u64> {
    let mut value = 0u64;
    for shift in (0..64).step_by(7) {
        let (first, after) = rest.split_first()?;
        *rest = after;
        value |= u64::from(first & 0x7f).checked_shl(shift)?;
        if first & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

fn take<'a>(rest: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (taken, after) = rest.split_at_checked(length)?;
    *rest = after;
    Some(taken)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_can_be_read() {
        let inner = Writer::new().number(1, 300);
        let bytes = Writer::new().message(52, inner).fixed(4, 2650).bytes(2, b"").number(7, 0).done();
        assert_eq!(bytes, [0xa2, 3, 3, 8, 0xac, 2, 0x25, 0x5a, 0x0a, 0, 0, 0x12, 0]);
        let fields = Fields::read(&bytes).unwrap();
        assert_eq!(fields.message(52).unwrap().number(1), 300);
        assert_eq!((fields.number(4), fields.bytes(2), fields.has(7)), (2650, Some(&b""[..]), false));
    }

    #[test]
    fn broken_bytes_are_no_message() {
        for bytes in [&[0x0a][..], &[0x0a, 5, 1], &[0x80; 11], &[0x0f, 1], &[0x25, 1, 2]] {
            assert_eq!(Fields::read(bytes), None, "{bytes:02x?}");
        }
        assert_eq!(Fields::read(&[0x09, 1, 2, 3, 4, 5, 6, 7, 8, 0x08, 1]).unwrap().number(1), 1);
    }
}
