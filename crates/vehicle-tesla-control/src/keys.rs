//! Keys as files, for the program to read: in a folder of our own, for the owner only.

use std::collections::BTreeMap;
use std::fs::{OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use tempfile::TempDir;
use vehicle::Vin;

use crate::{Error, Settings};

/// The files; those that we wrote are removed with this.
pub(crate) struct Keys {
    own: BTreeMap<Vin, PathBuf>,
    shared: Option<PathBuf>,
    _folder: Option<TempDir>,
}

impl Keys {
    pub(crate) fn write(settings: &Settings) -> Result<Keys, Error> {
        let mut own = BTreeMap::new();
        let mut folder = None;
        if !settings.keys.is_empty() {
            let private = Permissions::from_mode(0o700);
            let made = tempfile::Builder::new()
                .prefix("twcmanager-ble-")
                .permissions(private)
                .tempdir()
                .map_err(Error::KeyFile)?;
            for (vin, key) in &settings.keys {
                let path = made.path().join(format!("{}.pem", vin.as_str()));
                let pem = key.to_pem().map_err(|error| Error::KeyFile(io::Error::other(error)))?;
                let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
                file.and_then(|mut file| file.write_all(pem.as_bytes())).map_err(Error::KeyFile)?;
                own.insert(vin.clone(), path);
            }
            folder = Some(made);
        }
        Ok(Keys { own, shared: settings.key_file.clone(), _folder: folder })
    }

    /// The file with the key for a car.
    pub(crate) fn of(&self, vin: &Vin) -> Option<&Path> {
        self.own.get(vin).or(self.shared.as_ref()).map(PathBuf::as_path)
    }

    /// Cars with a key of their own.
    pub(crate) fn vins(&self) -> impl Iterator<Item = &Vin> {
        self.own.keys()
    }
}

#[cfg(test)]
mod tests {
    use tesla_command::{PrivateKey, SystemRandom};

    use super::*;

    #[test]
    fn keys_are_their_owners_only_and_go_away() {
        let vin = Vin::parse("5YJ30123456789ABC").unwrap();
        let other = Vin::parse("5YJ30123456789ABD").unwrap();
        let key = PrivateKey::generate(&mut SystemRandom).unwrap();
        let mut settings = Settings::new(None);
        settings.keys.insert(vin.clone(), key.clone());
        let keys = Keys::write(&settings).unwrap();
        let path = keys.of(&vin).unwrap().to_owned();
        let pem = std::fs::read_to_string(&path).unwrap();
        assert_eq!(PrivateKey::from_pem(&pem), Ok(key));
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o600, 0o700));
        assert_eq!(keys.of(&other), None);
        let secret = pem.lines().nth(1).unwrap();
        assert!(!format!("{settings:?}").contains(secret));
        drop(keys);
        assert!(!path.exists() && !path.parent().unwrap().exists());
    }
}
