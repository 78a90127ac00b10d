//! `access.json`, beside the settings: the hash of the password and the hashes of the tokens. Readable by its owner only.
//!
//! The running program and `twcmanager passwd` may both change it: each change reads, changes and replaces it under a lock.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::password::{self, LONGEST_PASSWORD, SHORTEST_PASSWORD};

/// Its name.
const NAME: &str = "access.json";
/// Readable and writable by the owner only.
const MODE: u32 = 0o600;
/// A larger file is none of ours.
const MOST_BYTES: u64 = 256 * 1024;

/// Why the password or the tokens cannot be read or changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AccessError {
    /// The system refused.
    #[error("{} cannot be {action}: {source}; check that this user may use the file and its folder", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What was tried.
        action: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// The file holds something else.
    #[error("{} is damaged ({detail}): set the password again with `twcmanager passwd`; programs then need new tokens", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        detail: String,
    },
    /// A password that does not protect.
    #[error(
        "a password has {SHORTEST_PASSWORD} characters or more, and at most {LONGEST_PASSWORD} bytes; nothing was changed"
    )]
    Length,
    /// Random bytes or memory are missing.
    #[error("the password cannot be hashed: {0}")]
    Hash(String),
}

/// What is in the file.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct AccessData {
    /// The password, as argon2id wrote it down; absent without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<String>,
    /// What programs show instead.
    #[serde(default)]
    pub tokens: Vec<TokenRecord>,
}

/// A token as it is kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct TokenRecord {
    /// How it is spoken of.
    pub id: String,
    /// What the owner called it.
    pub name: String,
    /// When it was made, in seconds since 1970.
    pub created: f64,
    /// When it was last used, to the hour or so.
    #[serde(default)]
    pub last_used: Option<f64>,
    /// SHA-256 in hexadecimal.
    pub sha256: String,
}

/// Tells one state of the file from another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Stamp {
    Missing,
    Unseen,
    There { modified: (i64, i64), inode: u64, length: u64 },
}

/// The file that holds password and tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessFile {
    path: PathBuf,
}

impl AccessFile {
    /// The one in the folder of the settings. It need not be there yet: then no password is set.
    #[must_use]
    pub fn in_folder(folder: &Path) -> AccessFile {
        AccessFile { path: folder.join(NAME) }
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether a password is set.
    ///
    /// # Errors
    /// When the file cannot be read or is damaged.
    pub fn has_password(&self) -> Result<bool, AccessError> {
        Ok(self.read()?.password.is_some())
    }

    /// Sets the password, or another one. Everybody who is signed in has to sign in again; tokens stay, unless the file was
    /// damaged. Takes some tenths of a second. Returns how many tokens stay.
    ///
    /// # Errors
    /// A password that is too short or too long, or a file that cannot be written.
    pub fn set_password(&self, password: &str) -> Result<usize, AccessError> {
        if password.chars().count() < SHORTEST_PASSWORD || password.len() > LONGEST_PASSWORD {
            return Err(AccessError::Length);
        }
        let hash = password::hash(password).map_err(AccessError::Hash)?;
        let lock = self.lock()?;
        let mut data = match self.read() {
            Err(AccessError::Damaged { .. }) => AccessData::default(),
            other => other?,
        };
        data.password = Some(hash);
        self.replace(&data)?;
        drop(lock);
        Ok(data.tokens.len())
    }

    /// Removes the password and all tokens. False when there was none.
    ///
    /// # Errors
    /// When the file cannot be removed.
    pub fn remove_password(&self) -> Result<bool, AccessError> {
        let _lock = self.lock()?;
        match fs::remove_file(&self.path) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(source) => Err(self.failed("removed", source)),
        }
    }

    /// What is in it; nothing when it is not there.
    pub(super) fn read(&self) -> Result<AccessData, AccessError> {
        let mut bytes = Vec::new();
        match File::open(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(AccessData::default()),
            Err(source) => return Err(self.failed("read", source)),
            Ok(file) => file.take(MOST_BYTES).read_to_end(&mut bytes).map_err(|source| self.failed("read", source))?,
        };
        let damaged = |detail: String| AccessError::Damaged { path: self.path.clone(), detail };
        let data: AccessData = serde_json::from_slice(&bytes).map_err(|error| damaged(error.to_string()))?;
        if data.password.as_deref().is_some_and(|hash| !password::is_hash(hash)) {
            return Err(damaged("`password` is no argon2id hash".to_owned()));
        }
        Ok(data)
    }

    /// Changes what is in it; a damaged file is left as it is.
    pub(super) fn update<R>(&self, change: impl FnOnce(&mut AccessData) -> R) -> Result<R, AccessError> {
        let _lock = self.lock()?;
        let mut data = self.read()?;
        let before = data.clone();
        let result = change(&mut data);
        if data != before {
            self.replace(&data)?;
        }
        Ok(result)
    }

    /// The state of the file now. What cannot be looked at is a state too: reading it then says why.
    pub(super) fn stamp(&self) -> Stamp {
        match fs::metadata(&self.path) {
            Ok(file) => {
                Stamp::There { modified: (file.mtime(), file.mtime_nsec()), inode: file.ino(), length: file.len() }
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Stamp::Missing,
            Err(_) => Stamp::Unseen,
        }
    }

    /// Waits until nobody else changes the file.
    fn lock(&self) -> Result<File, AccessError> {
        let path = self.path.with_extension("json.lock");
        let failed = |source| AccessError::Io { path: path.clone(), action: "locked", source };
        let file =
            OpenOptions::new().write(true).create(true).truncate(false).mode(MODE).open(&path).map_err(failed)?;
        self.give_to_owner_of_folder(&file).map_err(failed)?;
        file.lock().map_err(failed)?;
        Ok(file)
    }

    fn replace(&self, data: &AccessData) -> Result<(), AccessError> {
        let temporary = self.path.with_extension("json.tmp");
        let write = || {
            let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(MODE).open(&temporary)?;
            // The mode above counts for new files only.
            file.set_permissions(fs::Permissions::from_mode(MODE))?;
            self.give_to_owner_of_folder(&file)?;
            file.write_all(&serde_json::to_vec_pretty(data)?)?;
            file.sync_all()
        };
        write().map_err(|source| AccessError::Io { path: temporary.clone(), action: "written", source })?;
        fs::rename(&temporary, &self.path).map_err(|source| self.failed("replaced", source))?;
        // The rename is on disk once its folder is; a file system that cannot sync folders has nothing better to offer.
        if let Some(folder) = self.path.parent().and_then(|folder| File::open(folder).ok()) {
            folder.sync_all().ok();
        }
        Ok(())
    }

    /// `sudo twcmanager passwd` must not leave a file that the program's own user cannot read.
    fn give_to_owner_of_folder(&self, file: &File) -> io::Result<()> {
        let ours = file.metadata()?;
        let Some(folder) = self.path.parent().map(fs::metadata).transpose()? else { return Ok(()) };
        if ours.uid() == 0 && folder.uid() != 0 {
            std::os::unix::fs::fchown(file, Some(folder.uid()), Some(folder.gid()))?;
        }
        Ok(())
    }

    fn failed(&self, action: &'static str, source: io::Error) -> AccessError {
        AccessError::Io { path: self.path.clone(), action, source }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HASH: &str = "$argon2id$v=19$m=8,t=1,p=1$c29tZXNhbHQ$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

    fn token(id: &str) -> TokenRecord {
        TokenRecord { id: id.into(), name: "x".into(), created: 1.0, last_used: None, sha256: "00".into() }
    }

    #[test]
    fn what_was_written_is_read_and_only_its_owner_can() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = AccessFile::in_folder(folder.path());
        assert_eq!(file.read().expect("nothing is fine"), AccessData::default());
        fs::write(file.path(), "{}").expect("written");
        fs::set_permissions(file.path(), fs::Permissions::from_mode(0o644)).expect("set");
        let before = file.stamp();
        file.update(|data| (data.password, data.tokens) = (Some(HASH.into()), vec![token("a")])).expect("written");
        assert_ne!(file.stamp(), before);
        assert_eq!(file.read().expect("read").tokens, [token("a")]);
        for entry in fs::read_dir(folder.path()).expect("a folder") {
            let entry = entry.expect("an entry");
            assert_eq!(entry.metadata().expect("metadata").mode() & 0o777, 0o600, "{:?}", entry.path());
        }
        let quiet = file.stamp();
        file.update(|_| ()).expect("nothing to write");
        assert_eq!(file.stamp(), quiet);
        assert!(file.remove_password().expect("removed"));
        assert!(!file.remove_password().expect("nothing there"));
    }

    #[test]
    fn a_damaged_file_is_said_and_a_new_password_mends_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = AccessFile::in_folder(folder.path());
        for content in ["", "{\"password\": \"plain\"}", "{\"password\": 5}", "[]x", "{\"tokens\": [{}]}"] {
            fs::write(file.path(), content).expect("written");
            let error = file.read().expect_err("damaged").to_string();
            assert!(error.contains("access.json is damaged") && error.contains("twcmanager passwd"), "{error}");
            assert!(file.update(|_| ()).is_err());
        }
        assert!(matches!(file.set_password("1234567"), Err(AccessError::Length)));
        assert_eq!(file.set_password("12345678").expect("set"), 0);
        assert!(file.read().expect("whole").password.is_some());
    }

    #[test]
    fn two_who_change_it_at_once_lose_nothing() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = AccessFile::in_folder(folder.path());
        std::thread::scope(|scope| {
            for name in ["a", "b", "c", "d"] {
                let file = &file;
                scope.spawn(move || {
                    for count in 0..5 {
                        file.update(|data| data.tokens.push(token(&format!("{name}{count}")))).expect("written");
                    }
                });
            }
        });
        assert_eq!(file.read().expect("whole").tokens.len(), 20);
    }
}
