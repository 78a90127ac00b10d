//! The Speedwire datagram of SMA's energy meters. Pure.
//!
//! Source: SMA "EMETER-Protocol" technical information. Entries are found by their tags, never by position: firmware adds
//! and leaves out some.

use ems::WireReading;

/// First bytes of every datagram.
const MARK: &[u8; 4] = b"SMA\0";
/// Protocol ids of energy meters; inverters use another (0x6065) and are not for us.
const METERS: [u16; 2] = [0x6069, 0x6081];
/// Where the length of the data block is, and where the block begins.
const LENGTH: usize = 12;
const BLOCK: usize = 16;
/// Where the device's number is, and where the entries begin.
const SERIAL: usize = 20;
const ENTRIES: usize = 28;
/// Channel of the software version, the one entry with four bytes whatever its type says.
const VERSION_CHANNEL: u8 = 144;
/// Type of an entry with a value of now; 8 is a counter of eight bytes.
const NOW: u8 = 4;
const COUNTER: u8 = 8;

/// What one meter tells.
#[derive(Debug, Clone, PartialEq)]
pub struct Datagram {
    /// The meter's serial number.
    pub serial: u32,
    /// The values; grid import positive.
    pub values: WireReading,
}

/// Reads a datagram; `None` when it is something else, such as an inverter's, or cut short.
#[must_use]
pub fn datagram(bytes: &[u8]) -> Option<Datagram> {
    let is_meters = bytes.starts_with(MARK)
        && u16_at(bytes, 4)? == 4
        && u16_at(bytes, 6)? == 0x02a0
        && u16_at(bytes, 14)? == 0x0010
        && METERS.contains(&u16_at(bytes, BLOCK)?);
    if !is_meters {
        return None;
    }
    let serial = u32_at(bytes, SERIAL)?;
    let end = BLOCK.checked_add(usize::from(u16_at(bytes, LENGTH)?))?;
    let now = entries(bytes.get(ENTRIES..end)?)?;
    let value = |index: u8| {
        let raw = now.iter().find(|(at, _)| *at == index).map(|(_, raw)| *raw)?;
        (raw != u32::MAX).then(|| f64::from(raw))
    };
    // Import and export stand apart; one of them is always zero.
    let power = |index: u8| Some((value(index)? - value(index + 1)?) / 10.0);
    let (mut watts, mut amps, mut volts) = (Vec::new(), Vec::new(), Vec::new());
    for first in [21u8, 41, 61] {
        let phase_volts = value(first + 11).map(|millivolts| millivolts / 1000.0).filter(|volts| *volts > 0.0);
        let phase = power(first).filter(|_| phase_volts.is_some());
        // The current is a magnitude.
        let current = value(first + 10).map(|milliamps| milliamps / 1000.0).filter(|_| phase_volts.is_some());
        let is_export = phase.is_some_and(|watts| watts < 0.0);
        amps.push(current.map(|amps| if is_export { -amps } else { amps }));
        watts.push(phase);
        volts.push(phase_volts);
    }
    let known = |phases: Vec<Option<f64>>| phases.iter().any(Option::is_some).then_some(phases);
    let values = WireReading {
        grid_w: power(1),
        grid_phase_w: known(watts),
        grid_amps: known(amps),
        grid_volts: known(volts),
        ..WireReading::default()
    };
    Some(Datagram { serial, values })
}

/// The values of now by their index; `None` for a block that does not keep to the format.
fn entries(mut rest: &[u8]) -> Option<Vec<(u8, u32)>> {
    let mut now = Vec::new();
    while let [channel, index, kind, _tariff, after @ ..] = rest {
        if [*channel, *index, *kind] == [0, 0, 0] {
            break;
        }
        let length = match (*channel, *kind) {
            (VERSION_CHANNEL, _) => 4,
            (_, NOW) => 4,
            (_, COUNTER) => 8,
            _ => return None,
        };
        let (value, next) = after.split_at_checked(length)?;
        if (*channel, *kind) == (0, NOW) {
            now.push((*index, u32_at(value, 0)?));
        }
        rest = next;
    }
    Some(now)
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..)?.first_chunk().copied().map(u16::from_be_bytes)
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().copied().map(u32::from_be_bytes)
}

/// A datagram with these values of now, for tests.
#[cfg(test)]
pub(crate) fn encode(serial: u32, now: &[(u8, u32)]) -> Vec<u8> {
    let mut block = vec![0x60, 0x69, 0x01, 0x5d];
    block.extend(serial.to_be_bytes());
    block.extend([0, 0, 0, 1]);
    for (index, value) in now {
        block.extend([0, *index, NOW, 0]);
        block.extend(value.to_be_bytes());
        block.extend([0, *index, COUNTER, 0, 0, 0, 0, 0, 0, 0, 0, 7]);
    }
    block.extend([VERSION_CHANNEL, 0, 0, 0, 2, 0, 18, b'R']);
    let length = u16::try_from(block.len()).unwrap();
    let mut bytes = b"SMA\0\0\x04\x02\xa0\0\0\0\x01".to_vec();
    bytes.extend(length.to_be_bytes());
    bytes.extend([0, 0x10]);
    bytes.extend(block);
    bytes.extend([0; 4]);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn recorded() -> Vec<(recordings::Recording, Vec<u8>)> {
        let bytes = |text: String| {
            let digits: Vec<char> = text.chars().filter(char::is_ascii_hexdigit).collect();
            digits.chunks(2).map(|pair| u8::from_str_radix(&String::from_iter(pair), 16).unwrap()).collect()
        };
        recordings::vendor("sma").into_iter().map(|recording| (recording.clone(), bytes(recording.text()))).collect()
    }

    #[test]
    fn recordings_read_right() {
        for (recording, bytes) in recorded() {
            let found = datagram(&bytes).unwrap_or_else(|| panic!("{} is not read", recording.name()));
            assert_eq!(Some(u64::from(found.serial)), recording.expected()["serial"].as_u64());
            recording.assert_number("grid_w", found.values.grid_w);
            recording.assert_numbers("grid_phase_w", &found.values.grid_phase_w.unwrap());
            recording.assert_numbers("grid_a", &found.values.grid_amps.unwrap());
            recording.assert_numbers("grid_v", &found.values.grid_volts.unwrap());
            for length in 0..bytes.len().saturating_sub(4) {
                assert_eq!(datagram(&bytes[..length]), None, "cut to {length}");
            }
        }
    }

    #[test]
    fn one_phase_may_export_while_the_sum_imports() {
        let bytes = encode(
            7,
            &[
                (1, 12_000),
                (2, 0),
                (14, 50_010),
                (21, 0),
                (22, 3000),
                (31, 1300),
                (32, 231_000),
                (41, 15_000),
                (42, 0),
                (51, 6500),
                (52, 230_000),
                (61, 0),
                (62, 0),
                (71, 0),
                (72, 0),
            ],
        );
        let found = datagram(&bytes).unwrap().values;
        assert_eq!(found.grid_w, Some(1200.0));
        assert_eq!(found.grid_phase_w, Some(vec![Some(-300.0), Some(1500.0), None]));
        assert_eq!(found.grid_amps, Some(vec![Some(-1.3), Some(6.5), None]));
        assert_eq!(found.grid_volts, Some(vec![Some(231.0), Some(230.0), None]));
    }

    #[test]
    fn an_inverters_datagram_and_missing_values_are_no_zero() {
        let mut bytes = encode(7, &[(1, 100)]);
        assert_eq!(datagram(&bytes).unwrap().values.grid_w, None);
        assert_eq!(datagram(&encode(7, &[(1, u32::MAX), (2, 0)])).unwrap().values.grid_w, None);
        bytes[17] = 0x65;
        assert_eq!(datagram(&bytes), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_passed_over(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = datagram(&bytes);
        }

        #[test]
        fn any_damage_gives_sane_numbers_or_nothing(at in 0usize..120, byte in any::<u8>(), length in 0usize..160) {
            let mut bytes = encode(7, &[(1, 12_000), (2, 0), (21, 1), (22, 0), (31, 5), (32, 230_000)]);
            if let Some(slot) = bytes.get_mut(at) {
                *slot = byte;
            }
            bytes.truncate(length);
            if let Some(found) = datagram(&bytes) {
                prop_assert!(found.values.grid_w.is_none_or(|watts| watts.abs() <= 5e8));
            }
        }
    }
}
