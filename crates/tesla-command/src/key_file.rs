//! Our key on disk: readable by its owner only, and never half written.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::key::{KeyError, PrivateKey};
use crate::random::{Random, random_array};

/// Why a key file could not be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyFileError {
    /// There is none yet.
    #[error("there is no key at {}: make one and pair it with the car", .0.display())]
    Missing(PathBuf),
    /// There is one already; replacing it would unpair every car.
    #[error("there is already a key at {}: it stays, since a new one would have to be paired with every car again", .0.display())]
    Exists(PathBuf),
    /// It holds no usable key.
    #[error("{}: {source}", .path.display())]
    Unusable {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: KeyError,
    },
    /// The system refused.
    #[error("{}: {source}: check the folder's owner and whether the disk is full", .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// A key that was read from a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyFile {
    /// The key.
    pub key: PrivateKey,
    /// Whether others than the owner may read the file. Worth a warning: `chmod 600` mends it.
    pub is_exposed: bool,
}

impl KeyFile {
    /// Reads a key. Blocks for the disk.
    ///
    /// # Errors
    /// [`KeyFileError::Missing`], [`KeyFileError::Unusable`], [`KeyFileError::Io`].
    pub fn load(path: &Path) -> Result<Self, KeyFileError> {
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(KeyFileError::Missing(path.into())),
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                return Err(KeyFileError::Unusable { path: path.into(), source: KeyError::NotPrivate });
            }
            Err(source) => return Err(KeyFileError::Io { path: path.into(), source }),
        };
        let mode =
            fs::metadata(path).map_err(|source| KeyFileError::Io { path: path.into(), source })?.permissions().mode();
        let key = PrivateKey::from_pem(&text).map_err(|source| KeyFileError::Unusable { path: path.into(), source })?;
        Ok(Self { key, is_exposed: mode & 0o077 != 0 })
    }

    /// Makes a key and writes it. An existing file is never replaced. Blocks for the disk.
    ///
    /// The file appears under its name complete, synced, and with mode 600, or not at all.
    ///
    /// # Errors
    /// [`KeyFileError::Exists`], [`KeyFileError::Unusable`] when no key could be made, [`KeyFileError::Io`].
    pub fn create(path: &Path, random: &mut dyn Random) -> Result<Self, KeyFileError> {
        let unusable = |source| KeyFileError::Unusable { path: path.into(), source };
        let key = PrivateKey::generate(random).map_err(unusable)?;
        let suffix = u64::from_ne_bytes(random_array(random).map_err(|error| unusable(error.into()))?);
        let pem = key.to_pem().map_err(unusable)?;
        let mut temporary = path.as_os_str().to_owned();
        temporary.push(format!(".{suffix:016x}.tmp"));
        write_new(path, Path::new(&temporary), pem.as_bytes())?;
        Ok(Self { key, is_exposed: false })
    }
}

fn write_new(path: &Path, temporary: &Path, bytes: &[u8]) -> Result<(), KeyFileError> {
    let written = write_synced(temporary, bytes).and_then(|()| name_new(temporary, path));
    // Gone already when it was renamed; when it was linked or failed, nothing may stay behind.
    let _ = fs::remove_file(temporary);
    match written {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Err(KeyFileError::Exists(path.into())),
        Err(source) => return Err(KeyFileError::Io { path: path.into(), source }),
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(|source| KeyFileError::Io { path: path.into(), source })
}

fn write_synced(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// Gives a complete file its name unless the name is taken. Some file systems have no links; there the name is looked
/// up first, which two programs at the same instant could both pass.
fn name_new(from: &Path, to: &Path) -> io::Result<()> {
    match fs::hard_link(from, to) {
        Err(error) if matches!(error.kind(), io::ErrorKind::Unsupported | io::ErrorKind::PermissionDenied) => {
            if to.try_exists()? {
                return Err(io::ErrorKind::AlreadyExists.into());
            }
            fs::rename(from, to)
        }
        linked => linked,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::SystemRandom;

    #[test]
    fn a_new_key_is_its_owners_only_and_nothing_else_is_left() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("tesla.pem");
        let made = KeyFile::create(&path, &mut SystemRandom).expect("a key");
        assert_eq!(KeyFile::load(&path).expect("the same"), made);
        assert_eq!(fs::metadata(&path).expect("the file").permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(folder.path()).expect("the folder").count(), 1);
    }

    #[test]
    fn an_existing_key_is_never_replaced() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("tesla.pem");
        let first = KeyFile::create(&path, &mut SystemRandom).expect("a key");
        assert!(matches!(KeyFile::create(&path, &mut SystemRandom), Err(KeyFileError::Exists(_))));
        assert_eq!(KeyFile::load(&path).expect("the first"), first);
        assert_eq!(fs::read_dir(folder.path()).expect("the folder").count(), 1);
    }

    #[test]
    fn trouble_is_named() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("tesla.pem");
        assert!(matches!(KeyFile::load(&path), Err(KeyFileError::Missing(_))));
        for bytes in [&b"no key"[..], &[0xff, 0xfe]] {
            fs::write(&path, bytes).expect("a file");
            assert!(matches!(KeyFile::load(&path), Err(KeyFileError::Unusable { .. })));
        }
        let nowhere = folder.path().join("missing").join("tesla.pem");
        assert!(matches!(KeyFile::create(&nowhere, &mut SystemRandom), Err(KeyFileError::Io { .. })));
    }

    #[test]
    fn a_file_that_others_can_read_is_told() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("tesla.pem");
        KeyFile::create(&path, &mut SystemRandom).expect("a key");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).expect("a mode");
        assert!(KeyFile::load(&path).expect("the key").is_exposed);
    }
}
