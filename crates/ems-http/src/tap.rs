//! Recording what devices answer, and reading from such a recording.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use http_client::{JsonLines, Replay, Transport};

/// Why a recording cannot be made or read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TapError(String);

impl std::fmt::Display for TapError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for TapError {}

#[derive(Default)]
enum Mode {
    #[default]
    Live,
    Record(PathBuf),
    Replay(PathBuf),
}

/// Where the clients of all drivers get their answers: from the devices unless put otherwise into [`ems::Shared`].
#[derive(Default)]
pub struct Tap {
    mode: Mode,
    /// One for each file, so that a driver that is opened again does not begin its file anew.
    transports: Mutex<HashMap<PathBuf, Transport>>,
}

impl Tap {
    /// Saves every answer below `folder`, one file a source, secrets removed.
    #[must_use]
    pub fn record(folder: &Path) -> Self {
        Tap { mode: Mode::Record(folder.to_owned()), ..Tap::default() }
    }

    /// Answers from the files that [`Tap::record`] made.
    #[must_use]
    pub fn replay(folder: &Path) -> Self {
        Tap { mode: Mode::Replay(folder.to_owned()), ..Tap::default() }
    }

    /// Whether answers come from a recording, so that no device needs to be there.
    #[must_use]
    pub fn is_replay(&self) -> bool {
        matches!(self.mode, Mode::Replay(_))
    }

    /// The file for the source at a configuration path such as `sources.Fronius[1]`, and whether to write it; `None` live.
    #[must_use]
    pub fn file(&self, path: &str, extension: &str) -> Option<PathBuf> {
        let name: String = path.chars().map(|c| if c.is_ascii_alphanumeric() || c == '.' { c } else { '_' }).collect();
        match &self.mode {
            Mode::Live => None,
            Mode::Record(folder) | Mode::Replay(folder) => Some(folder.join(format!("{name}.{extension}"))),
        }
    }

    /// The transport for the source at a configuration path.
    ///
    /// # Errors
    /// When the file cannot be written or read.
    pub fn transport(&self, path: &str) -> Result<Transport, TapError> {
        let Some(file) = self.file(path, "http.jsonl") else { return Ok(Transport::Live) };
        let mut transports = self.transports.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(transport) = transports.get(&file) {
            return Ok(transport.clone());
        }
        let transport = self.open(&file)?;
        transports.insert(file, transport.clone());
        Ok(transport)
    }

    fn open(&self, file: &Path) -> Result<Transport, TapError> {
        if self.is_replay() {
            let text = fs::read_to_string(file)
                .map_err(|error| TapError(format!("the recording {} cannot be read: {error}", file.display())))?;
            let replay = Replay::from_json_lines(&text)
                .map_err(|error| TapError(format!("the recording {}: {error}", file.display())))?;
            return Ok(Transport::Replay(Arc::new(replay)));
        }
        let folder = file.parent().unwrap_or(Path::new("."));
        fs::create_dir_all(folder)
            .and_then(|()| JsonLines::create(file))
            .map(|recorder| Transport::Record(Arc::new(recorder)))
            .map_err(|error| TapError(format!("the recording {} cannot be written: {error}", file.display())))
    }
}
