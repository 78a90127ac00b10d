//! What is remembered of cars across a restart: which want signed commands, their sessions, and the account's host.
//!
//! A session is written before the command that it was advanced for is sent, so that no counter is ever used twice.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};
use vehicle::Vin;

/// How a car takes commands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Manner {
    /// As plain calls: cars before 2021 of the S and X models.
    Plain,
    /// Signed.
    Signed,
}

#[derive(Debug, Clone, Default)]
struct Note {
    manner: Option<Manner>,
    /// Bytes of the session, and when they were written.
    session: Option<(Vec<u8>, SystemTime)>,
}

/// The notes and their file.
pub(crate) struct Notes {
    path: Option<PathBuf>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    base: Option<String>,
    cars: BTreeMap<String, Note>,
}

impl Notes {
    /// Reads the file; one that cannot be read costs a few calls and is begun anew.
    pub(crate) fn open(path: Option<PathBuf>) -> Self {
        let state = path.as_deref().and_then(|path| fs::read_to_string(path).ok()).map(|text| parse(&text));
        Notes { path, state: Mutex::new(state.unwrap_or_default()) }
    }

    /// The host that a 421 named; whether we may go there is asked again.
    pub(crate) fn base(&self) -> Option<String> {
        self.lock().base.clone()
    }

    /// Remembers, or forgets, the host that a 421 named.
    pub(crate) fn set_base(&self, base: Option<String>) {
        let mut state = self.lock();
        if state.base != base {
            state.base = base;
            self.write_or_warn(&state);
        }
    }

    pub(crate) fn manner(&self, vin: &Vin) -> Option<Manner> {
        self.lock().cars.get(vin.as_str())?.manner
    }

    pub(crate) fn set_manner(&self, vin: &Vin, manner: Manner) {
        let mut state = self.lock();
        let note = state.cars.entry(vin.as_str().to_owned()).or_default();
        if note.manner.replace(manner) != Some(manner) {
            self.write_or_warn(&state);
        }
    }

    /// What was saved of a session, and how long ago; nothing after the clock was set back.
    pub(crate) fn session(&self, vin: &Vin, now: SystemTime) -> Option<(Vec<u8>, Duration)> {
        let (bytes, at) = self.lock().cars.get(vin.as_str())?.session.clone()?;
        Some((bytes, now.duration_since(at).ok()?))
    }

    /// Writes a session down; only then may what it signed be sent.
    ///
    /// # Errors
    /// A sentence that says why not.
    pub(crate) fn save_session(&self, vin: &Vin, bytes: Vec<u8>, now: SystemTime) -> Result<(), String> {
        let mut state = self.lock();
        state.cars.entry(vin.as_str().to_owned()).or_default().session = Some((bytes, now));
        self.write(&state)
    }

    fn write_or_warn(&self, state: &State) {
        if let Err(error) = self.write(state) {
            log::warn!("{error}");
        }
    }

    fn write(&self, state: &State) -> Result<(), String> {
        let Some(path) = &self.path else { return Ok(()) };
        replace(path, to_json(state).to_string().as_bytes()).map_err(|error| {
            format!(
                "{} cannot be written ({error}): let the program's user write to config.settingsPath, and see that the \
                 disk is not full",
                path.display()
            )
        })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Replaces a file as a whole, for its owner only, and returns once the disk has it.
fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let new = path.with_extension("json.new");
    let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&new, path)?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::File::open(folder)?.sync_all()
}

fn to_json(state: &State) -> Value {
    let cars: Map<String, Value> = state
        .cars
        .iter()
        .map(|(vin, note)| {
            let manner = note.manner.map(|manner| if manner == Manner::Signed { "signed" } else { "plain" });
            let session = note.session.as_ref().map(|(bytes, at)| {
                let at = at.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
                json!({"saved_at": at, "state": STANDARD.encode(bytes)})
            });
            (vin.clone(), json!({"commands": manner, "session": session}))
        })
        .collect();
    json!({"base": state.base, "cars": cars})
}

fn parse(text: &str) -> State {
    let value: Value = serde_json::from_str(text).unwrap_or_default();
    let base = value.get("base").and_then(Value::as_str).map(str::to_owned);
    let cars = value.get("cars").and_then(Value::as_object).into_iter().flatten().map(|(vin, note)| {
        let manner = match note.get("commands").and_then(Value::as_str) {
            Some("signed") => Some(Manner::Signed),
            Some("plain") => Some(Manner::Plain),
            _ => None,
        };
        let session = note.get("session").and_then(|session| {
            let bytes = STANDARD.decode(session.get("state")?.as_str()?).ok()?;
            Some((bytes, UNIX_EPOCH.checked_add(Duration::from_secs(session.get("saved_at")?.as_u64()?))?))
        });
        (vin.clone(), Note { manner, session })
    });
    State { base, cars: cars.collect() }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn notes_outlive_a_restart_and_belong_to_their_owner() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tesla-cars.json");
        let vin = Vin::parse("5YJ30123456789ABC").unwrap();
        let now = UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        let notes = Notes::open(Some(path.clone()));
        notes.set_manner(&vin, Manner::Signed);
        notes.set_base(Some("https://fleet-api.prd.eu.vn.cloud.tesla.com".into()));
        notes.save_session(&vin, vec![1, 2, 3], now).unwrap();
        let again = Notes::open(Some(path.clone()));
        assert_eq!(again.manner(&vin), Some(Manner::Signed));
        assert_eq!(again.base(), notes.base());
        let later = Duration::from_secs(60);
        assert_eq!(again.session(&vin, now + later), Some((vec![1, 2, 3], later)));
        assert_eq!(again.session(&vin, now - later), None, "the clock was set back");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        fs::write(&path, "{\"base\":7,\"cars\":5}").unwrap();
        assert_eq!(Notes::open(Some(path)).base(), None);
    }

    #[test]
    fn what_cannot_be_written_is_said() {
        let notes = Notes::open(Some("/nonexistent/folder/cars.json".into()));
        let vin = Vin::parse("5YJ30123456789ABC").unwrap();
        assert!(notes.save_session(&vin, vec![1], SystemTime::now()).unwrap_err().contains("config.settingsPath"));
    }

    proptest! {
        #[test]
        fn any_file_is_read(text in ".{0,80}") {
            let _ = parse(&text);
        }
    }
}
