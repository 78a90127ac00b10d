//! Whether there is a Bluetooth adapter, by the system's own list: looking there costs nothing.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use vehicle::Trouble;
use vehicle_radio::{AdapterFault, Line};

use crate::Settings;

pub(crate) struct Adapter {
    list: Option<PathBuf>,
    is_by_default: bool,
    is_there: AtomicBool,
    /// Whether its absence was told.
    was_told: AtomicBool,
}

impl Adapter {
    pub(crate) fn new(settings: &Settings) -> Self {
        let (list, is_by_default) = (settings.adapters.clone(), settings.is_by_default);
        let adapter =
            Adapter { list, is_by_default, is_there: AtomicBool::new(false), was_told: AtomicBool::new(false) };
        adapter.is_there.store(adapter.look(), Ordering::Relaxed);
        adapter
    }

    /// As it was when it was last looked at.
    pub(crate) fn is_there(&self) -> bool {
        self.is_there.load(Ordering::Relaxed)
    }

    /// Looks again, and tells what changed. One that is missing is trouble only when Bluetooth was asked for.
    pub(crate) fn check(&self, line: &Line) -> bool {
        let is_there = self.look();
        self.is_there.store(is_there, Ordering::Relaxed);
        let was_told = self.was_told.swap(!is_there, Ordering::Relaxed);
        if is_there {
            if was_told {
                log::info!("there is a Bluetooth adapter again: cars with a paired key are spoken to over it");
                line.trouble(None);
            }
        } else if self.is_by_default {
            if !was_told {
                log::info!("cars are not spoken to over Bluetooth, since this computer has no Bluetooth adapter");
            }
        } else {
            let text = AdapterFault::Absent.advice().to_owned();
            line.trouble(Some(Trouble { code: "no_adapter", text, needs_person: true }));
        }
        is_there
    }

    fn look(&self) -> bool {
        let Some(list) = &self.list else { return true };
        let Ok(entries) = std::fs::read_dir(list) else { return false };
        // Links to devices are listed beside adapters, as `hci0:64`.
        entries.flatten().any(|entry| {
            let name = entry.file_name();
            let number = name.to_str().and_then(|name| name.strip_prefix("hci"));
            number.is_some_and(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn adapters_are_told_from_what_is_connected_to_them() {
        let folder = tempfile::tempdir().unwrap();
        let there =
            |list: Option<PathBuf>| Adapter::new(&Settings { adapters: list, ..Settings::new(None) }).is_there();
        assert!(there(None), "where systems do not tell, there is one");
        assert!(!there(Some(folder.path().join("none"))));
        for (name, expected) in [("hci0:64", false), ("rfcomm", false), ("hci1", true)] {
            std::fs::create_dir(folder.path().join(name)).unwrap();
            assert_eq!(there(Some(folder.path().to_owned())), expected, "{name}");
        }
    }
}
