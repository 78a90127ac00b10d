//! Registers at hand: for tests of drivers, and for recordings of devices.

use crate::client::Table;
use crate::error::ExceptionCode;
use crate::frame::{Action, Ask, Fault};
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

/// Registers by unit, table and address. A read beyond them is refused as a device refuses it (exception 2); a write too.
///
/// As text, one line for each run of registers, which recordings and fixtures use:
///
/// ```
/// let registers: modbus::Registers = "1 holding 40069: 0067 0032\n1 input 0: 4366 3333".parse()?;
/// # Ok::<(), modbus::BadRegisters>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Registers {
    words: BTreeMap<(u8, Table, u16), u16>,
}

impl Registers {
    /// None at all.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets registers from `start` on; those beyond 65535 are dropped.
    pub fn set(&mut self, unit: u8, table: Table, start: u16, words: &[u16]) {
        for (address, word) in (start..=u16::MAX).zip(words) {
            self.words.insert((unit, table, address), *word);
        }
    }

    pub(crate) fn answer(&self, ask: &Ask) -> Result<Vec<u16>, Fault> {
        let Action::Read { table, count } = ask.action else {
            return Err(Fault::Exception(ExceptionCode::IllegalFunction));
        };
        let addresses = ask.address..=ask.address.saturating_add(count.saturating_sub(1));
        let words: Option<Vec<u16>> = addresses.map(|a| self.words.get(&(ask.unit, table, a)).copied()).collect();
        words.ok_or(Fault::Exception(ExceptionCode::IllegalAddress))
    }
}

impl fmt::Display for Registers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut next = None;
        for ((unit, table, address), word) in &self.words {
            if next != Some((*unit, *table, *address)) {
                let newline = if next.is_some() { "\n" } else { "" };
                write!(f, "{newline}{unit} {table} {address}:")?;
            }
            write!(f, " {word:04x}")?;
            next = Some((*unit, *table, address.wrapping_add(1)));
        }
        if next.is_some() { f.write_str("\n") } else { Ok(()) }
    }
}

/// A line that can't be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line} of the registers can't be read; write it like `1 holding 40069: 0067 0032`")]
pub struct BadRegisters {
    line: usize,
}

impl FromStr for Registers {
    type Err = BadRegisters;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut out = Self::new();
        for (at, line) in text.lines().enumerate() {
            let line = line.trim();
            if !line.is_empty() && !line.starts_with('#') {
                out.add_line(line).ok_or(BadRegisters { line: at + 1 })?;
            }
        }
        Ok(out)
    }
}

impl Registers {
    fn add_line(&mut self, line: &str) -> Option<()> {
        let (head, data) = line.split_once(':')?;
        let mut head = head.split_whitespace();
        let unit = head.next()?.parse().ok()?;
        let table = match head.next()? {
            "holding" => Table::Holding,
            "input" => Table::Input,
            _ => return None,
        };
        let start: u16 = head.next()?.parse().ok()?;
        if head.next().is_some() {
            return None;
        }
        let word = |text: &str| if text.starts_with('+') { None } else { u16::from_str_radix(text, 16).ok() };
        let words: Vec<u16> = data.split_whitespace().map(word).collect::<Option<_>>()?;
        if words.is_empty() || usize::from(start) + words.len() > 0x1_0000 {
            return None;
        }
        self.set(unit, table, start, &words);
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn bad_lines_are_named() {
        let error = "# meter\n\n1 holding 5 7\n".parse::<Registers>().unwrap_err();
        assert!(error.to_string().starts_with("line 3 "), "{error}");
        for line in [
            "1 coil 5: 0",
            "1 input: 0",
            "1 input 5:",
            "1 input 5: 10000",
            "300 input 5: 1",
            "1 input 65535: 1 2",
            "1 input 5 6: 1",
        ] {
            assert!(line.parse::<Registers>().is_err(), "{line}");
        }
    }

    proptest! {
        #[test]
        fn registers_come_back_from_their_text(runs in proptest::collection::vec((any::<u8>(), any::<bool>(), any::<u16>(), proptest::collection::vec(any::<u16>(), 1..5)), 0..6)) {
            let mut registers = Registers::new();
            for (unit, holding, start, words) in runs {
                registers.set(unit, if holding { Table::Holding } else { Table::Input }, start, &words);
            }
            prop_assert_eq!(registers.to_string().parse::<Registers>(), Ok(registers));
        }

        #[test]
        fn any_text_is_read_or_refused(text in "[0-9a-f holdinput:\n#+-]{0,60}") {
            let _ = text.parse::<Registers>();
        }
    }
}
