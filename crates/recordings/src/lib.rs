//! Finds recorded answers of real devices, for the tests of drivers.
//!
//! Recordings are other people's data and not part of this repository. They are looked for in the folder that
//! `TWCMANAGER_RECORDINGS` names, else in `../shared/recordings` beside the checkout: one folder a vendor with an
//! `index.json` that lists each file and, under `expected`, what a correct reading makes of it. Without them
//! [`vendor`] gives nothing, says so once on standard error, and the test passes on its own fixtures.
//!
//! [`Peer`] is a device on loopback whose answers a closure gives, for testing a driver from end to end; [`ModbusPeer`] one
//! with registers, and [`Pymodbus`] the same by another implementation.

mod peer;
mod registers;

use std::path::{Path, PathBuf};

use serde_json::Value;

pub use peer::{Answer, Asked, Peer};
pub use registers::{ModbusPeer, Pymodbus, RegisterMap, exchanged};

/// One recorded answer.
#[derive(Debug, Clone)]
pub struct Recording {
    /// Its file.
    pub path: PathBuf,
    /// Its entry in the index, whole.
    pub entry: Value,
}

impl Recording {
    /// Name of its file, for messages.
    #[must_use]
    pub fn name(&self) -> &str {
        self.entry.get("file").and_then(Value::as_str).unwrap_or_default()
    }

    /// What a correct reading makes of it.
    #[must_use]
    pub fn expected(&self) -> &Value {
        self.entry.get("expected").unwrap_or(&Value::Null)
    }

    /// A text of the entry by its path, such as `["request", "path"]`; empty when absent.
    #[must_use]
    pub fn text_at(&self, path: &[&str]) -> &str {
        path.iter().try_fold(&self.entry, |value, key| value.get(key)).and_then(Value::as_str).unwrap_or_default()
    }

    /// The recorded bytes.
    ///
    /// # Panics
    /// When the file that the index lists cannot be read: then the recordings are incomplete.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        std::fs::read(&self.path).unwrap_or_else(|error| panic!("{}: {error}", self.path.display()))
    }

    /// The recorded bytes as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes()).into_owned()
    }

    /// The recorded bytes as JSON.
    ///
    /// # Panics
    /// When they are not JSON.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.bytes()).unwrap_or_else(|error| panic!("{}: {error}", self.path.display()))
    }

    /// Asserts that `found` is what the index expects under `key`: the same within half a watt and a thousandth, `null`
    /// for `None`. A key that the index does not have asserts nothing.
    ///
    /// # Panics
    /// When it differs.
    pub fn assert_number(&self, key: &str, found: Option<f64>) {
        let Some(expected) = self.expected().get(key) else { return };
        let is_same = match (expected.as_f64(), found) {
            (None, None) => expected.is_null(),
            (Some(expected), Some(found)) => (expected - found).abs() <= 0.5 + expected.abs() * 1e-3,
            _ => false,
        };
        assert!(is_same, "{}: {key} is {found:?}, expected {expected}: {}", self.name(), self.text_at(&["reason"]));
    }

    /// [`Recording::assert_number`] for a list such as `grid_a`.
    ///
    /// # Panics
    /// When one of them differs.
    pub fn assert_numbers(&self, key: &str, found: &[Option<f64>]) {
        let Some(expected) = self.expected().get(key).and_then(Value::as_array) else { return };
        for (index, expected) in expected.iter().enumerate() {
            let found = found.get(index).copied().flatten();
            let is_same = match (expected.as_f64(), found) {
                (None, None) => true,
                (Some(expected), Some(found)) => (expected - found).abs() <= 0.05 + expected.abs() * 1e-3,
                _ => false,
            };
            assert!(is_same, "{}: {key}[{index}] is {found:?}, expected {expected}", self.name());
        }
    }
    /// Asserts that the phases are as the index expects under `phases`, a list of objects with `phase`, `w`, `a` and `v`. A
    /// phase or quantity that is not listed must be unknown; without the key nothing is asserted.
    ///
    /// # Panics
    /// When one of them differs.
    pub fn assert_phases(&self, watts: [Option<f64>; 3], amps: [Option<f64>; 3], volts: [Option<f64>; 3]) {
        let Some(expected) = self.expected().get("phases") else { return };
        for (phase, name) in ["L1", "L2", "L3"].iter().enumerate() {
            let listed = expected.as_array().and_then(|list| list.iter().find(|entry| entry["phase"] == **name));
            for (quantity, found) in [("w", watts[phase]), ("a", amps[phase]), ("v", volts[phase])] {
                let expected = listed.and_then(|entry| entry[quantity].as_f64());
                let is_same = match (expected, found) {
                    (None, None) => true,
                    (Some(expected), Some(found)) => (expected - found).abs() <= 0.005 + expected.abs() * 1e-3,
                    _ => false,
                };
                assert!(is_same, "{}: {quantity} of {name} is {found:?}, expected {expected:?}", self.name());
            }
        }
    }
}

/// The recordings of a vendor's folder; none when they are not there.
///
/// # Panics
/// When the folder is there and its index cannot be read.
#[must_use]
pub fn vendor(name: &str) -> Vec<Recording> {
    let Some(folder) = folder(name) else {
        eprintln!("no recordings of `{name}` here: only the project's own fixtures are tested");
        return Vec::new();
    };
    let index = folder.join("index.json");
    let text = std::fs::read_to_string(&index).unwrap_or_else(|error| panic!("{}: {error}", index.display()));
    let index: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", index.display()));
    let listed = index.get("recordings").or_else(|| index.get("items"));
    let entries = listed.and_then(Value::as_array).cloned().unwrap_or_default();
    entries
        .into_iter()
        .filter_map(|entry| {
            let path = folder.join(entry.get("file")?.as_str()?);
            Some(Recording { path, entry })
        })
        .collect()
}

/// A vendor's folder, when the recordings are here.
#[must_use]
pub fn folder(vendor: &str) -> Option<PathBuf> {
    let root = match std::env::var_os("TWCMANAGER_RECORDINGS") {
        Some(root) => PathBuf::from(root),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/recordings"),
    };
    Some(root.join(vendor)).filter(|folder| folder.is_dir())
}
