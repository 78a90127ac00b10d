//! Where the program is, which keys, how long to wait.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tesla_command::PrivateKey;
use vehicle::Vin;

/// A connection takes 5 to 20 s: whoever configures less (TWCManager's own value is 5 s) gets this.
pub const SHORTEST_WAIT: Duration = Duration::from_secs(20);
const PROGRAM: &str = "tesla-control";

/// What the source is told. Keys do not show in `Debug`.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The program, as [`find`] found it.
    pub program: Option<PathBuf>,
    /// A car's own key, as TWCManager kept them under `Vehicles.<VIN>.privKey`.
    pub keys: BTreeMap<Vin, PrivateKey>,
    /// The key for all other cars: the program's own file, as it is used for Tesla's cloud.
    pub key_file: Option<PathBuf>,
    /// How long, how often.
    pub patience: Patience,
    /// Whether it is on only because nothing was configured: then a missing adapter is told once, and is no trouble.
    pub is_by_default: bool,
    /// Where the system lists its adapters; absent where systems do not.
    pub adapters: Option<PathBuf>,
}

impl Settings {
    /// With the usual patience, and Linux's list of adapters.
    #[must_use]
    pub fn new(program: Option<PathBuf>) -> Self {
        let adapters = cfg!(target_os = "linux").then(|| PathBuf::from("/sys/class/bluetooth"));
        let (keys, key_file) = (BTreeMap::new(), None);
        Settings { program, keys, key_file, patience: Patience::default(), is_by_default: false, adapters }
    }

    /// Whether there is a key for any car.
    #[must_use]
    pub fn has_key(&self) -> bool {
        !self.keys.is_empty() || self.key_file.is_some()
    }
}

/// Patience with Bluetooth: the keys under `config.moduleConfiguration.TeslaBLE`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// `commandTimeout`: longest wait for the connection; less than [`SHORTEST_WAIT`] counts as that.
    pub connect: Duration,
    /// `maxRetries`: further tries within one question, after failures that surely did nothing.
    pub retries: u32,
    /// `retryDelay`: pause before the first of them; it doubles.
    pub retry_delay: Duration,
    /// `circuitBreakerThreshold`: failures in a row after which Bluetooth is left alone.
    pub breaker_threshold: u32,
    /// `circuitBreakerTimeout`: for how long; it doubles up to half an hour.
    pub breaker_pause: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Patience {
            connect: SHORTEST_WAIT,
            retries: 3,
            retry_delay: Duration::from_secs(2),
            breaker_threshold: 5,
            breaker_pause: Duration::from_secs(60),
        }
    }
}

impl Patience {
    pub(crate) fn connect_wait(&self) -> Duration {
        self.connect.max(SHORTEST_WAIT)
    }
}

/// Looks for the program: at the path that is configured (itself, or the folder it is in), else where Go and TWCManager's
/// instructions put it (`~/gobin`, `~/go/bin`, `/usr/local/bin`), else in `search`, which is written like `$PATH`.
#[must_use]
pub fn find(configured: Option<&Path>, home: Option<&Path>, search: &str) -> Option<PathBuf> {
    if let Some(path) = configured {
        let inside = path.join(PROGRAM);
        return Some(if path.is_dir() { inside } else { path.to_owned() }).filter(|path| path.is_file());
    }
    let at_home = home.into_iter().flat_map(|home| [home.join("gobin"), home.join("go/bin")]);
    let searched = search.split(':').filter(|folder| !folder.is_empty()).map(PathBuf::from);
    at_home
        .chain([PathBuf::from("/usr/local/bin")])
        .chain(searched)
        .map(|folder| folder.join(PROGRAM))
        .find(|path| path.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_program_is_found_by_path_by_folder_and_by_searching() {
        let folder = tempfile::tempdir().unwrap();
        let bin = folder.path().join("go/bin");
        std::fs::create_dir_all(&bin).unwrap();
        let program = bin.join(PROGRAM);
        std::fs::write(&program, "").unwrap();
        for configured in [&bin, &program] {
            assert_eq!(find(Some(configured), None, ""), Some(program.clone()));
        }
        assert_eq!(
            find(Some(folder.path()), Some(folder.path()), ""),
            None,
            "what is configured is not looked for elsewhere"
        );
        assert_eq!(find(None, Some(folder.path()), ""), Some(program.clone()));
        assert_eq!(find(None, None, &format!("/nowhere::{}", bin.display())), Some(program));
    }

    #[test]
    fn short_waits_become_long_enough() {
        let five = Patience { connect: Duration::from_secs(5), ..Patience::default() };
        let forty = Patience { connect: Duration::from_secs(40), ..Patience::default() };
        assert_eq!((five.connect_wait(), forty.connect_wait()), (SHORTEST_WAIT, Duration::from_secs(40)));
    }
}
