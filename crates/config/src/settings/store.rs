//! The file behind the settings, written so that a crash at any instant leaves a whole one.
//!
//! A save writes and syncs `settings.json.tmp`, keeps the current file as `settings.json.backup` by a hard link, and renames the
//! new one into place: `settings.json` exists at every instant. Where the file system has no links, the current file is renamed
//! instead, and [`SettingsStore::open`] mends a crash in between.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Map, Value};

use super::Settings;
use crate::{Diagnostic, read};

const NAME: &str = "settings.json";
/// Tokens and keys are inside: readable by the owner only.
const MODE: u32 = 0o600;
/// A larger file is not ours.
const MAX_BYTES: u64 = 64 << 20;

/// Why settings could not be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SettingsError {
    /// The folder or a file in it cannot be used.
    #[error(
        "{path} cannot be {action}: {source}. Check `config.settingsPath`, and that the program's user may write there and the disk is not full"
    )]
    Io {
        /// The file.
        path: PathBuf,
        /// What was tried.
        action: &'static str,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The settings hold something that JSON cannot.
    #[error("the settings cannot be written as JSON: {0}")]
    Encode(#[from] serde_json::Error),
}

/// What [`SettingsStore::open`] found that the user should know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// There was no file; the program starts with defaults.
    Fresh,
    /// The file was damaged and is kept under this name.
    Damaged {
        /// Where it is now.
        kept_as: PathBuf,
    },
    /// The settings come from the backup.
    FromBackup,
    /// The settings come from a save that was cut off right before its last step.
    FromUnfinishedSave,
    /// No whole file was left; the program starts with defaults.
    Lost,
}

impl std::fmt::Display for Notice {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Notice::Fresh => f.write_str("there is no settings.json yet; starting with defaults"),
            Notice::Damaged { kept_as } => write!(f, "settings.json was damaged and is kept as {}", kept_as.display()),
            Notice::FromBackup => {
                f.write_str("the settings come from settings.json.backup; the last change may be missing. To start afresh remove both files while the program is stopped")
            }
            Notice::FromUnfinishedSave => f.write_str("the last save was cut off, but nothing is missing"),
            Notice::Lost => f.write_str(
                "no whole settings file was found; starting with defaults. Check the settings on the web page",
            ),
        }
    }
}

/// An opened store, with what there is to say about it.
#[derive(Debug)]
pub struct Opened {
    /// The store.
    pub store: SettingsStore,
    /// Things to log, in order.
    pub notices: Vec<Notice>,
}

/// The settings and their file.
#[derive(Debug)]
pub struct SettingsStore {
    path: PathBuf,
    settings: Settings,
    is_dirty: bool,
}

impl SettingsStore {
    /// Reads the settings of a folder, which is made if it is missing. `now` names a damaged file that is set aside.
    ///
    /// # Errors
    /// `Io` when the folder cannot be made, or a file is there and cannot be read: going on would overwrite it.
    pub fn open(folder: &Path, now: SystemTime) -> Result<Opened, SettingsError> {
        fs::create_dir_all(folder).map_err(|source| failed(folder, "made", source))?;
        let path = folder.join(NAME);
        let mut notices = Vec::new();
        let found = match content(&path)? {
            Some(Content::Whole(values)) => Some(values),
            Some(Content::Damaged) => {
                let kept_as = set_aside(&path, now)?;
                notices.push(Notice::Damaged { kept_as });
                let values = whole(&backup(&path))?;
                notices.push(if values.is_some() { Notice::FromBackup } else { Notice::Lost });
                values
            }
            None => {
                // Missing with a finished new file beside it: a save without links was cut off between its two renames.
                let unfinished = whole(&temporary(&path))?.filter(|_| backup(&path).exists());
                let (values, notice) = match unfinished {
                    Some(values) => (Some(values), Notice::FromUnfinishedSave),
                    None => match whole(&backup(&path))? {
                        Some(values) => (Some(values), Notice::FromBackup),
                        None => (None, Notice::Fresh),
                    },
                };
                notices.push(notice);
                values
            }
        };
        for file in [path.clone(), backup(&path), temporary(&path)] {
            // Older programs left them readable for all. Where this fails, the next save mends it.
            fs::set_permissions(file, Permissions::from_mode(MODE)).ok();
        }
        let is_dirty = !notices.is_empty();
        let settings = found.map_or_else(Settings::default, Settings::from_map);
        Ok(Opened { store: SettingsStore { path, settings, is_dirty }, notices })
    }

    /// The settings of a folder as far as they can be read now; the defaults otherwise. Changes nothing on disk, so that
    /// what must start before everything else can look first.
    #[must_use]
    pub fn peek(folder: &Path) -> Settings {
        match content(&folder.join(NAME)) {
            Ok(Some(Content::Whole(values))) => Settings::from_map(values),
            _ => Settings::default(),
        }
    }

    /// The settings.
    #[must_use]
    pub fn get(&self) -> &Settings {
        &self.settings
    }

    /// Changes the settings in memory. They count as unsaved when the change made a difference.
    pub fn update<R>(&mut self, change: impl FnOnce(&mut Settings) -> R) -> R {
        let before = self.settings.clone();
        let result = change(&mut self.settings);
        self.is_dirty |= before != self.settings;
        result
    }

    /// Whether there is something to save.
    #[must_use]
    pub fn is_dirty(&self) -> bool {
        self.is_dirty
    }

    /// Writes the settings if they changed. Blocks until the disk has them: not for the thread that serves the wire.
    ///
    /// # Errors
    /// `Io` or `Encode`; the file is as before then, and the settings stay unsaved.
    pub fn save(&mut self) -> Result<(), SettingsError> {
        if !self.is_dirty {
            return Ok(());
        }
        replace(&self.path, &serde_json::to_vec(self.settings.as_map())?)?;
        self.is_dirty = false;
        Ok(())
    }
}

/// What a file turned out to hold.
enum Content {
    Whole(Map<String, Value>),
    Damaged,
}

fn content(path: &Path) -> Result<Option<Content>, SettingsError> {
    let bytes = match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(failed(path, "read", source)),
        Ok(metadata) if metadata.len() > MAX_BYTES => return Ok(Some(Content::Damaged)),
        Ok(_) => fs::read(path).map_err(|source| failed(path, "read", source))?,
    };
    Ok(Some(decoded(&bytes).map_or(Content::Damaged, Content::Whole)))
}

fn whole(path: &Path) -> Result<Option<Map<String, Value>>, SettingsError> {
    Ok(match content(path)? {
        Some(Content::Whole(values)) => Some(values),
        Some(Content::Damaged) | None => None,
    })
}

/// The object in a file. What Python writes beyond JSON (`NaN`) and slips of a hand are read too; a cut-off file is not.
fn decoded(bytes: &[u8]) -> Option<Map<String, Value>> {
    if let Ok(Value::Object(values)) = serde_json::from_slice(bytes) {
        return Some(values);
    }
    if bytes.iter().find(|byte| !byte.is_ascii_whitespace()) != Some(&b'{') {
        return None;
    }
    let (document, found) = read(NAME, bytes);
    match document.to_value() {
        Value::Object(values) if !found.iter().any(Diagnostic::is_error) => Some(values),
        _ => None,
    }
}

fn set_aside(path: &Path, now: SystemTime) -> Result<PathBuf, SettingsError> {
    let seconds = now.duration_since(UNIX_EPOCH).map_or(0, |age| age.as_secs());
    let kept_as = (0..1000)
        .map(|count| {
            with_suffix(
                path,
                &if count == 0 { format!(".damaged-{seconds}") } else { format!(".damaged-{seconds}-{count}") },
            )
        })
        .find(|name| !name.exists())
        .unwrap_or_else(|| with_suffix(path, ".damaged"));
    fs::rename(path, &kept_as).map_err(|source| failed(path, "renamed", source))?;
    fs::set_permissions(&kept_as, Permissions::from_mode(MODE)).ok();
    Ok(kept_as)
}

fn replace(path: &Path, bytes: &[u8]) -> Result<(), SettingsError> {
    let temporary = temporary(path);
    write_synced(&temporary, bytes).map_err(|source| failed(&temporary, "written", source))?;
    if path.exists() {
        keep_as_backup(path).map_err(|source| failed(&backup(path), "written", source))?;
    }
    fs::rename(&temporary, path).map_err(|source| failed(path, "replaced", source))?;
    // The renames are on disk once their folder is; a file system that cannot sync folders has nothing better to offer.
    if let Some(folder) = path.parent().and_then(|folder| File::open(folder).ok()) {
        folder.sync_all().ok();
    }
    Ok(())
}

fn write_synced(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(MODE).open(path)?;
    // The mode above counts for new files only.
    file.set_permissions(Permissions::from_mode(MODE))?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// The current file becomes the backup, and stays in its place as long as the file system allows.
fn keep_as_backup(path: &Path) -> io::Result<()> {
    let link = with_suffix(path, ".backup.tmp");
    fs::remove_file(&link)
        .or_else(|error| if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) })?;
    let backup = backup(path);
    match fs::hard_link(path, &link) {
        Ok(()) => fs::rename(&link, &backup)?,
        Err(_) => fs::rename(path, &backup)?,
    }
    fs::set_permissions(&backup, Permissions::from_mode(MODE)).ok();
    Ok(())
}

fn backup(path: &Path) -> PathBuf {
    with_suffix(path, ".backup")
}

fn temporary(path: &Path) -> PathBuf {
    with_suffix(path, ".tmp")
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

fn failed(path: &Path, action: &'static str, source: io::Error) -> SettingsError {
    SettingsError::Io { path: path.to_owned(), action, source }
}
