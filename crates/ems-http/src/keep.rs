//! What a driver remembers across a restart: a token that is valid for a year, today's count of calls.

use std::collections::HashMap;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use serde_json::Value;

/// Where drivers keep small things by their configuration path; all of them share the one in [`ems::Shared`]. In memory
/// until it is told a folder.
///
/// A file belongs to its owner alone, since it may hold a token, and is replaced as a whole.
#[derive(Debug, Default)]
pub struct Keep {
    folder: Mutex<Option<PathBuf>>,
    memory: Mutex<HashMap<String, Value>>,
    has_warned: AtomicBool,
}

impl Keep {
    /// From now on keeps in files of `folder`, which is made when first needed. To be called before the sources are read.
    pub fn use_folder(&self, folder: &Path) {
        *self.folder.lock().unwrap_or_else(PoisonError::into_inner) = Some(folder.to_owned());
    }

    /// What was kept under a path such as `sources.Enphase`; `None` when nothing was, or it cannot be read.
    #[must_use]
    pub fn load(&self, path: &str) -> Option<Value> {
        if let Some(value) = self.memory.lock().unwrap_or_else(PoisonError::into_inner).get(path) {
            return Some(value.clone());
        }
        let text = fs::read_to_string(self.file(path)?).ok()?;
        serde_json::from_str(&text).ok()
    }

    /// Keeps a value. A file that cannot be written is said in the log once: what is kept only saves a call or a login.
    pub fn save(&self, path: &str, value: Value) {
        if let Some(file) = self.file(path)
            && let Err(error) = write(&file, &value)
            && !self.has_warned.swap(true, Ordering::Relaxed)
        {
            log::warn!("{} cannot be written ({error}); give the program write access to its folder", file.display());
        }
        self.memory.lock().unwrap_or_else(PoisonError::into_inner).insert(path.to_owned(), value);
    }

    fn file(&self, path: &str) -> Option<PathBuf> {
        let name: String = path.chars().map(|c| if c.is_ascii_alphanumeric() || c == '.' { c } else { '_' }).collect();
        let folder = self.folder.lock().unwrap_or_else(PoisonError::into_inner);
        folder.as_ref().map(|folder| folder.join(format!("{name}.json")))
    }
}

fn write(file: &Path, value: &Value) -> std::io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt as _;
    if let Some(folder) = file.parent() {
        fs::create_dir_all(folder)?;
    }
    let new = file.with_extension("json.new");
    let mut output = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
    output.write_all(value.to_string().as_bytes())?;
    output.sync_all()?;
    fs::rename(&new, file)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_kept_value_is_there_after_a_restart_and_for_its_owner_only() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let inner = folder.path().join("state");
        let started = || {
            let keep = Keep::default();
            keep.use_folder(&inner);
            keep
        };
        started().save("sources.Enphase[1]", json!({"token": "x"}));
        let keep = started();
        assert_eq!(keep.load("sources.Enphase[1]"), Some(json!({"token": "x"})));
        assert_eq!(keep.load("sources.Enphase"), None);
        let mode = fs::metadata(inner.join("sources.Enphase_1_.json")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn without_a_folder_it_is_remembered_until_the_end() {
        let keep = Keep::default();
        keep.save("sources.SolarEdge", json!(3));
        assert_eq!(keep.load("sources.SolarEdge"), Some(json!(3)));
    }
}
