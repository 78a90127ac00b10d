//! Where an older program's past is.

use std::path::{Path, PathBuf};

use config::Config;
use logging_mysql::Server;

use crate::logs::server_of;
use crate::run::JOURNAL;

/// The names that TWCManager's sample configuration gives, in the folder of its settings.
const SQLITE: &str = "twcmanager.sqlite";
const CSV: &str = "csv";
/// Other names that a database may have been given.
const ENDINGS: [&str; 3] = ["sqlite", "sqlite3", "db"];

/// Where the older program's files and tables are.
#[derive(Debug, Default)]
pub(super) struct Places {
    pub(super) settings: Option<PathBuf>,
    pub(super) sqlite: Option<PathBuf>,
    pub(super) sessions_csv: Option<PathBuf>,
    pub(super) green_csv: Option<PathBuf>,
    pub(super) status_csv: Option<PathBuf>,
    pub(super) mysql: Option<Server>,
}

impl Places {
    /// Files are where the configuration says, or in `from` when that is named: then no file outside it is looked at. Where
    /// a sink is switched off or is somewhere else, the usual names are tried, for it may have been on once.
    pub(super) fn of(config: &Config, from: Option<&Path>) -> Places {
        let home = from.unwrap_or(&config.site.settings_path);
        let configured = |path: PathBuf| match from {
            Some(from) => path.file_name().map(|name| from.join(name)),
            None => Some(path),
        };
        let csv_folder = config.logging.csv.as_ref().and_then(|csv| configured(csv.path.clone()));
        let folders: Vec<PathBuf> = csv_folder.into_iter().chain([home.join(CSV), home.to_owned()]).collect();
        let in_csv = |name: &str| folders.iter().map(|folder| folder.join(name)).find(|path| path.is_file());
        let sqlite = config.logging.sqlite.as_ref().and_then(|sqlite| {
            let path = sqlite.path.strip_prefix("file:").unwrap_or(&sqlite.path);
            configured(PathBuf::from(path.split_once('?').map_or(path, |(path, _)| path)))
        });
        Places {
            settings: Some(home.join("settings.json")).filter(|path| path.is_file()),
            sqlite: sqlite
                .into_iter()
                .chain([home.join(SQLITE)])
                .find(|path| path.is_file())
                .or_else(|| database_in(home)),
            sessions_csv: in_csv("chargesessions.csv"),
            green_csv: in_csv("greenenergy.csv"),
            status_csv: in_csv("slavestatus.csv"),
            mysql: config.logging.mysql.as_ref().map(server_of),
        }
    }
}

/// The first database in a folder that has TWCManager's tables.
fn database_in(folder: &Path) -> Option<PathBuf> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder).ok()?.flatten().map(|entry| entry.path()).collect();
    files.sort();
    files.into_iter().find(|path| {
        let is_named_so = path.extension().is_some_and(|ending| ENDINGS.iter().any(|known| ending == *known));
        is_named_so && path.file_name().is_some_and(|name| name != JOURNAL) && logging_sqlite::is_ours(path)
    })
}
