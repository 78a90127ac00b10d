//! What a telegram tells.

use ems_meter::{Meter, PhaseValues};

use crate::frame::crc16;
use crate::lines::Line;

const POWER: &[(&str, f64)] = &[("kW", 1e3), ("W", 1.0), ("MW", 1e6)];
const ENERGY: &[(&str, f64)] = &[("kWh", 1.0), ("Wh", 1e-3), ("MWh", 1e3)];
const VOLTAGE: &[(&str, f64)] = &[("V", 1.0), ("kV", 1e3)];
const CURRENT: &[(&str, f64)] = &[("A", 1.0), ("mA", 1e-3)];
/// More than a house can draw. Judged only where no checksum vouches for the digits.
const LARGEST_UNCHECKED_W: f64 = 100e3;
/// First version whose telegrams have a checksum.
const FIRST_WITH_CHECKSUM: u32 = 40;

/// Why a telegram is not used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TelegramError {
    /// Not from `/` to `!`.
    #[error("the telegram has no beginning or no end")]
    Incomplete,
    /// The digits after `!` do not fit the rest.
    #[error("the telegram's checksum is {found:04X} where {expected:04X} is printed; bytes were lost on the line")]
    Checksum {
        /// Of the bytes that came in.
        found: u16,
        /// As printed.
        expected: u16,
    },
    /// A version that always has a checksum came without, or one is required.
    #[error("the telegram has no checksum although its version should have one; bytes were lost on the line")]
    NoChecksum,
}

/// Whether a telegram's bytes are vouched for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Checksum {
    /// It fits.
    Good,
    /// There is none: DSMR 2.2 and 3, gateways.
    Absent,
}

/// A register that may be there, and may be readable.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
enum Register {
    #[default]
    Absent,
    Unreadable,
    Value(f64),
}

impl Register {
    fn value(self) -> Option<f64> {
        match self {
            Register::Value(value) => Some(value),
            _ => None,
        }
    }

    /// Import less export; a meter that counts one way only has no register for the other.
    fn net(import: Register, export: Register) -> Option<f64> {
        match (import, export) {
            (Register::Value(import), Register::Value(export)) => Some(import - export),
            (Register::Value(import), Register::Absent) => Some(import),
            (Register::Absent, Register::Value(export)) if export > 0.0 => Some(-export),
            _ => None,
        }
    }
}

/// The registers of one telegram that matter for charging.
#[derive(Debug, Clone, PartialEq)]
pub struct Telegram {
    /// Whether it had a good checksum.
    pub checksum: Checksum,
    /// Its version of P1, such as `50` or `50217`.
    pub version: Option<String>,
    /// When the meter made it, in the meter's local time (`YYMMDDhhmmss` and S or W): good for telling two apart.
    pub stamp: Option<String>,
    /// Whether its currents are cut to whole amps.
    pub has_whole_amps: bool,
    /// Whether a register of export is in it.
    pub tells_export: bool,
    power: [Register; 2],
    net_power: Register,
    phase_power: [[Register; 2]; 3],
    net_phase_power: [Register; 3],
    volts: [Option<f64>; 3],
    amps: [Option<f64>; 3],
    energy: [Energy; 2],
}

#[derive(Debug, Clone, Copy, PartialEq, Default)]
struct Energy {
    total: Option<f64>,
    tariffs: Register,
}

impl Telegram {
    /// Reads one whole telegram, as [`Framer`](crate::Framer) gives it. One without a checksum is taken only when its
    /// version never had one, or is unknown.
    ///
    /// # Errors
    /// When bytes are missing or damaged. A telegram without any known register is no error.
    pub fn parse(bytes: &[u8]) -> Result<Self, TelegramError> {
        let plain: Vec<u8> = bytes.iter().map(|byte| byte & 0x7F).collect();
        let start = plain.iter().position(|byte| *byte == b'/').ok_or(TelegramError::Incomplete)?;
        let end = last_line(&plain).filter(|end| *end > start).ok_or(TelegramError::Incomplete)?;
        let body = plain.get(start..end).unwrap_or_default();
        let text = String::from_utf8_lossy(body);
        let printed: String = plain
            .get(end + 1..)
            .unwrap_or_default()
            .iter()
            .take_while(|byte| **byte != b'\n')
            .map(|byte| char::from(*byte))
            .filter(char::is_ascii_graphic)
            .collect();
        let mut telegram = Telegram::empty();
        text.lines().skip(1).filter_map(Line::parse).for_each(|line| telegram.take(line));
        telegram.checksum = match printed.as_str() {
            "" if telegram.should_have_checksum() => return Err(TelegramError::NoChecksum),
            "" => Checksum::Absent,
            digits => {
                let expected = checksum_digits(digits).ok_or(TelegramError::NoChecksum)?;
                let raw = bytes.get(start..=end).unwrap_or_default();
                let found = crc16(raw.iter().copied());
                if found != expected && crc16(raw.iter().map(|byte| byte & 0x7F)) != expected {
                    return Err(TelegramError::Checksum { found, expected });
                }
                Checksum::Good
            }
        };
        Ok(telegram)
    }

    /// What it tells of the grid connection. The total is the meter's own: the phases are measured at other moments, so
    /// that their sum is not the total.
    #[must_use]
    pub fn meter(&self) -> Meter {
        let [import, export] = self.power;
        let total = match (import, export, self.net_power) {
            (Register::Absent, Register::Absent, Register::Value(net)) => Some(net),
            _ => Register::net(import, export),
        };
        let is_sane = |watts: &f64| self.checksum == Checksum::Good || watts.abs() <= LARGEST_UNCHECKED_W;
        let mut phases = [PhaseValues::default(); 3];
        let registers = self.phase_power.iter().zip(self.net_phase_power).zip(self.volts.iter().zip(self.amps));
        for (phase, (([import, export], net), (volts, amps))) in phases.iter_mut().zip(registers) {
            let watts = Register::net(*import, *export).or(net.value()).filter(is_sane);
            *phase = PhaseValues { watts, amps, volts: *volts };
        }
        let [import_kwh, export_kwh] = self.energy.map(|energy| energy.total.or(energy.tariffs.value()));
        Meter { watts: total.filter(is_sane), phases, import_kwh, export_kwh }
    }

    fn empty() -> Self {
        Telegram {
            checksum: Checksum::Absent,
            version: None,
            stamp: None,
            has_whole_amps: false,
            tells_export: false,
            power: Default::default(),
            net_power: Register::Absent,
            phase_power: Default::default(),
            net_phase_power: Default::default(),
            volts: Default::default(),
            amps: Default::default(),
            energy: Default::default(),
        }
    }

    fn should_have_checksum(&self) -> bool {
        let first_digits: String = self.version.iter().flat_map(|version| version.chars().take(2)).collect();
        first_digits.parse().is_ok_and(|version: u32| version >= FIRST_WITH_CHECKSUM)
    }

    fn take(&mut self, line: Line<'_>) {
        let power = || line.number(POWER).map_or(Register::Unreadable, Register::Value);
        match line.id {
            "1-3:0.2.8" | "0-0:96.1.4" => self.version = Some(line.value.trim().to_owned()),
            "0-0:1.0.0" => self.stamp = Some(line.value.trim().to_owned()),
            "1.7.0" => self.power[0] = power(),
            "2.7.0" => {
                self.power[1] = power();
                self.tells_export = true;
            }
            "16.7.0" => self.net_power = power(),
            "1.8.0" => self.energy[0].total = line.number(ENERGY),
            "2.8.0" => self.energy[1].total = line.number(ENERGY),
            "1.8.1" | "1.8.2" | "1.8.3" | "1.8.4" => self.energy[0].add(line),
            "2.8.1" | "2.8.2" | "2.8.3" | "2.8.4" => self.energy[1].add(line),
            _ => self.take_phase(line, power()),
        }
    }

    fn take_phase(&mut self, line: Line<'_>, power: Register) {
        // L1, L2, L3 have the registers 21…, 41…, 61….
        let Some((group, "7.0")) = line.id.split_once('.') else { return };
        let Ok(group) = group.parse::<usize>() else { return };
        let Some(phase) = (group / 20).checked_sub(1).filter(|phase| *phase < 3) else { return };
        match group % 20 {
            1 => self.phase_power[phase][0] = power,
            2 => self.phase_power[phase][1] = power,
            11 => {
                self.amps[phase] = line.number(CURRENT);
                self.has_whole_amps |= line.is_whole();
            }
            12 => self.volts[phase] = line.number(VOLTAGE),
            16 => self.net_phase_power[phase] = power,
            _ => {}
        }
    }
}

impl Energy {
    fn add(&mut self, line: Line<'_>) {
        self.tariffs = match (self.tariffs, line.number(ENERGY)) {
            (Register::Unreadable, _) | (_, None) => Register::Unreadable,
            (sum, Some(energy)) => Register::Value(sum.value().unwrap_or(0.0) + energy),
        };
    }
}

/// Where the `!` of the last line stands.
fn last_line(bytes: &[u8]) -> Option<usize> {
    bytes.windows(2).position(|pair| matches!(pair, [b'\n', b'!'])).map(|newline| newline + 1)
}

/// One to four hexadecimal digits: some meters leave leading zeros out.
fn checksum_digits(text: &str) -> Option<u16> {
    let is_hex = (1..=4).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_hex.then(|| u16::from_str_radix(text, 16).ok()).flatten()
}

#[cfg(test)]
mod tests;
