//! What must survive a power cut about cars: the file `cars.json` beside the settings.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use garage::Kept;

const FILE: &str = "cars.json";

/// The file.
#[derive(Debug, Clone)]
pub struct Books {
    /// Nothing outlives the program without one.
    path: Option<PathBuf>,
}

impl Books {
    /// In a folder.
    pub fn in_folder(folder: Option<&Path>) -> Self {
        Books { path: folder.map(|folder| folder.join(FILE)) }
    }

    /// What was kept. A file that cannot be understood is put aside, and said.
    pub fn read(&self) -> Kept {
        let Some(path) = &self.path else { return Kept::default() };
        let text = match fs::read(path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Kept::default(),
            Err(error) => {
                log::error!("{}: {error}; what calls to cars cost so far is not known", path.display());
                return Kept::default();
            }
        };
        serde_json::from_slice(&text).unwrap_or_else(|error| {
            let aside = path.with_extension("json.damaged");
            let put = fs::rename(path, &aside);
            log::error!(
                "{} is damaged ({error}){}; charge limits that were set before may have to be put back by hand",
                path.display(),
                if put.is_ok() { format!(" and kept as {}", aside.display()) } else { String::new() }
            );
            Kept::default()
        })
    }

    /// Keeps it: it is there after a power cut once this returns.
    ///
    /// # Errors
    /// A sentence.
    pub fn write(&self, kept: &Kept) -> Result<(), String> {
        let Some(path) = &self.path else { return Ok(()) };
        let write = || -> std::io::Result<()> {
            let text = serde_json::to_vec_pretty(kept)?;
            let fresh = path.with_extension("json.new");
            let mut file = private(&fresh)?;
            file.write_all(&text)?;
            file.sync_all()?;
            fs::rename(&fresh, path)?;
            // The name in the folder has to survive too.
            path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
        };
        write().map_err(|error| format!("{} cannot be written: {error}", path.display()))
    }
}

/// Readable by the owner only: it tells when which car was at home.
fn private(path: &Path) -> std::io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt as _;
    File::options().write(true).create(true).truncate(true).mode(0o600).open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_found_again_and_a_damaged_file_is_put_aside() {
        let folder = tempfile::tempdir().unwrap();
        let books = Books::in_folder(Some(folder.path()));
        assert_eq!(books.read(), Kept::default());
        let kept = Kept { home: Some((50.0, 8.0)), ..Kept::default() };
        books.write(&kept).unwrap();
        assert_eq!(books.read(), kept);
        fs::write(folder.path().join(FILE), "{").unwrap();
        assert_eq!(books.read(), Kept::default());
        assert_eq!(fs::read_to_string(folder.path().join("cars.json.damaged")).unwrap(), "{");
        assert_eq!(Books::in_folder(None).write(&kept), Ok(()));
    }
}
