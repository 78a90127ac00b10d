//! One unit of a connection.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use ems::{EmsError, EmsErrorKind, Section, Shared};
use ems_http::Tap;
use modbus::{Block, Client, ExceptionCode, ModbusError, Options, Registers, Table, Target, sunspec};

/// The connections of one program, by where they lead: most devices serve one client, and a serial line has one owner.
#[derive(Default)]
struct Lines {
    open: Mutex<HashMap<String, Weak<Mutex<Client>>>>,
}

impl Lines {
    fn get(&self, target: &Target, options: &Options) -> Arc<Mutex<Client>> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(line) = open.get(&target.to_string()).and_then(Weak::upgrade) {
            return line;
        }
        let line = Arc::new(Mutex::new(Client::new(target.clone(), options.clone())));
        open.retain(|_, line| line.strong_count() > 0);
        open.insert(target.to_string(), Arc::downgrade(&line));
        line
    }
}

/// One unit behind a connection. Reads block for at most the connect time and the time-out it was opened with, and wait
/// for those of other units on the same connection.
#[derive(Debug)]
pub struct Device {
    line: Arc<Mutex<Client>>,
    unit: u8,
    key: String,
    /// Where what is read is kept, when the program records.
    record: Option<PathBuf>,
}

impl Device {
    /// The unit at `target`; from a recording when the program replays one. `key` is the configuration key to blame when
    /// the device cannot be reached, `timeout` the seconds to wait for an answer. Does no I/O but reading a recording.
    pub fn open(
        section: &mut Section,
        shared: &Shared,
        target: Target,
        unit: u8,
        key: &str,
        timeout: f64,
    ) -> Option<Device> {
        let tap = shared.get::<Tap>();
        let file = tap.file(section.path(), "modbus.txt");
        let key_path = format!("{}.{key}", section.path());
        let wait = Duration::try_from_secs_f64(timeout).unwrap_or(Options::default().reply);
        let options = Options { reply: wait, connect: wait.min(Options::default().connect), ..Options::default() };
        if let (true, Some(file)) = (tap.is_replay(), &file) {
            let text = std::fs::read_to_string(file).map_err(|error| error.to_string());
            let registers = text.and_then(|text| text.parse::<Registers>().map_err(|error| error.to_string()));
            return match registers {
                Ok(registers) => {
                    let client = Client::new(Target::Registers(Arc::new(registers)), options);
                    Some(Device { line: Arc::new(Mutex::new(client)), unit, key: key_path, record: None })
                }
                Err(error) => {
                    section.error(key, format!("the recording {} cannot be read: {error}", file.display()));
                    None
                }
            };
        }
        let line = shared.get::<Lines>().get(&target, &options);
        let device = Device { line, unit, key: key_path, record: file };
        if device.record.is_some() {
            device.lock().start_recording();
        }
        Some(device)
    }

    /// Another unit of the same connection.
    #[must_use]
    pub fn with_unit(&self, unit: u8) -> Device {
        Device { line: Arc::clone(&self.line), unit, key: self.key.clone(), record: self.record.clone() }
    }

    /// The unit asked.
    #[must_use]
    pub fn unit(&self) -> u8 {
        self.unit
    }

    /// Reads registers.
    ///
    /// # Errors
    /// As [`Client::read`].
    pub fn read(&mut self, table: Table, address: u16, count: u16) -> Result<Block, ModbusError> {
        let block = self.lock().read(self.unit, table, address, count)?;
        self.keep();
        Ok(block)
    }

    /// Finds the SunSpec models of the unit.
    ///
    /// # Errors
    /// As [`sunspec::models`].
    pub fn models(&mut self) -> Result<Vec<sunspec::Model>, ModbusError> {
        let models = sunspec::models(&mut self.lock(), self.unit)?;
        self.keep();
        Ok(models)
    }

    /// Closes the connection, for devices whose only one others need as well.
    pub fn close(&mut self) {
        self.lock().close();
    }

    /// A failure as a source's failure, naming the configuration key of the address.
    #[must_use]
    pub fn failed(&self, error: &ModbusError) -> EmsError {
        use ExceptionCode::{IllegalAddress, IllegalFunction, IllegalValue};
        let kind = match error {
            ModbusError::BadReply { .. } => EmsErrorKind::Garbled,
            ModbusError::BadRequest { .. } => EmsErrorKind::Misconfigured,
            ModbusError::Exception { code: IllegalAddress | IllegalFunction | IllegalValue, .. } => {
                EmsErrorKind::Misconfigured
            }
            _ => EmsErrorKind::Retry,
        };
        EmsError::new(kind, format!("{error} ({})", self.key))
    }

    fn lock(&self) -> MutexGuard<'_, Client> {
        // A client holds no half-done state that matters: a broken exchange only closes its connection.
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn keep(&self) {
        let Some(file) = &self.record else { return };
        let text = self.lock().recorded().map(ToString::to_string).unwrap_or_default();
        let folder = file.parent().map_or(Ok(()), std::fs::create_dir_all);
        if let Err(error) = folder.and_then(|()| std::fs::write(file, text)) {
            log::warn!("the recording {} cannot be written ({error}); give it another folder", file.display());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn section(path: &str) -> Section {
        Section::new(path, serde_json::Map::new())
    }

    #[test]
    fn sources_with_one_address_share_its_connection() {
        let shared = Shared::new();
        let open = |port, unit| {
            Device::open(&mut section("sources.T"), &shared, Target::tcp("192.0.2.7", port), unit, "serverIP", 5.0)
                .unwrap()
        };
        let (one, two, other) = (open(502, 1), open(502, 2), open(1502, 1));
        assert!(Arc::ptr_eq(&one.line, &two.line) && !Arc::ptr_eq(&one.line, &other.line));
        assert!(Arc::ptr_eq(&one.with_unit(30).line, &one.line));
    }

    #[test]
    fn a_recording_is_read_instead_of_the_device() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("sources.T.modbus.txt"), "1 input 5: 000f\n").unwrap();
        let shared = Shared::new();
        shared.put(Arc::new(Tap::replay(folder.path())));
        let mut opened = section("sources.T");
        let target = Target::tcp("192.0.2.7", 502);
        let mut device = Device::open(&mut opened, &shared, target.clone(), 1, "serverIP", 5.0).unwrap();
        assert_eq!(device.read(Table::Input, 5, 1).unwrap().words(), [15]);
        let refused = device.failed(&device.with_unit(2).read(Table::Input, 5, 1).unwrap_err());
        assert_eq!(refused.kind(), EmsErrorKind::Misconfigured);
        assert!(refused.to_string().contains("sources.T.serverIP"), "{refused}");
        let mut missing = section("sources.Other");
        assert!(Device::open(&mut missing, &shared, target, 1, "serverIP", 5.0).is_none());
        assert!(missing.has_errors());
    }
}
