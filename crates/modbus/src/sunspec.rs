//! SunSpec: finding a device's models. Their points are read by the drivers.
//!
//! Source: SunSpec information model specification; start addresses and end mark as `pysunspec2` looks for them.

use crate::client::{Client, Table};
use crate::error::ModbusError;

/// A model: a block of registers of known meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Model {
    /// Its number, such as 203 for a three-phase meter.
    pub id: u16,
    /// Address of its number; the points' offsets count from here.
    pub address: u16,
    /// Registers after number and length.
    pub length: u16,
}

impl Model {
    /// Registers with number and length.
    pub fn span(self) -> u16 {
        self.length.saturating_add(2)
    }
}

/// Where the mark may be, most likely first.
pub const STARTS: [u16; 3] = [40000, 0, 50000];

/// "SunS".
const MARK: [u16; 2] = [0x5375, 0x6e53];

/// Number of the model that ends the list.
const END: u16 = 0xffff;

/// Most models of one device; more is a list that leads in circles.
const MOST: usize = 100;

/// Finds the models of a unit, in their order. An empty list means that the unit answers but speaks no SunSpec.
///
/// # Errors
///
/// Any [`ModbusError`] but "no such register", which only means that the mark is elsewhere.
pub fn models(client: &mut Client, unit: u8) -> Result<Vec<Model>, ModbusError> {
    for start in STARTS {
        match client.read(unit, Table::Holding, start, 2) {
            Ok(block) if block.words() == MARK => return walk(client, unit, start.saturating_add(2)),
            Ok(_) => {}
            Err(error) if is_elsewhere(&error) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(Vec::new())
}

fn is_elsewhere(error: &ModbusError) -> bool {
    use crate::ExceptionCode::{DeviceFailure, IllegalAddress, IllegalValue};
    matches!(error.exception(), Some(IllegalAddress | IllegalValue | DeviceFailure))
}

fn walk(client: &mut Client, unit: u8, start: u16) -> Result<Vec<Model>, ModbusError> {
    let mut models = Vec::new();
    let mut address = start;
    while models.len() < MOST {
        // Some devices have nothing where the end mark should be.
        let head = match client.read(unit, Table::Holding, address, 2) {
            Err(error) if is_elsewhere(&error) => break,
            other => other?,
        };
        let &[id, length] = head.words() else { break };
        if id == END || id == 0 {
            break;
        }
        models.push(Model { id, address, length });
        match address.checked_add(2).and_then(|a| a.checked_add(length)) {
            Some(next) if next < u16::MAX => address = next,
            _ => break,
        }
    }
    Ok(models)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Options, Registers, Target};
    use std::sync::Arc;

    fn client(registers: Registers) -> Client {
        Client::new(Target::Registers(Arc::new(registers)), Options::default())
    }

    #[test]
    fn models_are_found_by_walking() {
        for start in STARTS {
            let mut registers = Registers::new();
            registers.set(1, Table::Holding, start, &[0x5375, 0x6e53, 1, 2, 7, 7, 103, 1, 9, 0xffff, 0]);
            let found = models(&mut client(registers), 1).unwrap();
            let expected = [(1, start + 2, 2), (103, start + 6, 1)];
            assert_eq!(found, expected.map(|(id, address, length)| Model { id, address, length }));
        }
    }

    #[test]
    fn a_missing_end_and_another_device_are_no_errors() {
        let mut registers = Registers::new();
        registers.set(1, Table::Holding, 0, &[0x5375, 0x6e53, 1, 0]);
        assert_eq!(models(&mut client(registers), 1).unwrap().len(), 1);
        assert_eq!(models(&mut client(Registers::new()), 1).unwrap(), []);
        let mut circle = Registers::new();
        circle.set(1, Table::Holding, 0, &[0x5375, 0x6e53]);
        circle.set(1, Table::Holding, 2, &vec![5; 4000]);
        assert_eq!(models(&mut client(circle), 1).unwrap().len(), MOST);
    }
}
