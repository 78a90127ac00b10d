//! Section `logging`: where messages and records go.

use std::path::PathBuf;

use serde_json::Value;

use super::fields::Fields;
use crate::Secret;

/// Section `logging`, resolved: only what is switched on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Logging {
    /// Whether logger names carry a pictogram.
    pub use_icons: bool,
    /// Standard output; the flag inside says whether without time and colour.
    pub console: Option<Console>,
    /// Log files.
    pub file: Option<FolderLog>,
    /// Error reports.
    pub sentry: Option<Sentry>,
    /// CSV files.
    pub csv: Option<FolderLog>,
    /// MySQL or MariaDB.
    pub mysql: Option<MySql>,
    /// SQLite.
    pub sqlite: Option<Sqlite>,
}

/// Standard output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Console {
    /// Without time and colour.
    pub simple: bool,
}

/// A log that is a folder of files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FolderLog {
    /// The folder.
    pub path: PathBuf,
    /// What is left out.
    pub mute: Mute,
}

/// Error reports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sentry {
    /// Where to, key included.
    pub dsn: Secret,
    /// What is left out.
    pub mute: Mute,
}

/// A MySQL or MariaDB database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MySql {
    /// Host.
    pub host: String,
    /// Port.
    pub port: u16,
    /// Database.
    pub database: String,
    /// User.
    pub username: String,
    /// Password.
    pub password: Option<Secret>,
    /// What is left out.
    pub mute: Mute,
}

/// An SQLite database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sqlite {
    /// The file, or a `file:` address.
    pub path: String,
    /// What is left out.
    pub mute: Mute,
}

/// Kinds of records that are left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Mute {
    /// Charging sessions.
    pub charge_sessions: bool,
    /// Generation and consumption.
    pub green_energy: bool,
    /// Power of each connector.
    pub slave_power: bool,
    /// Meter readings and voltages.
    pub slave_status: bool,
}

impl Mute {
    fn resolve(section: Fields<'_>) -> Mute {
        let fields = section.below("mute");
        Mute {
            charge_sessions: fields.flag("ChargeSessions"),
            green_energy: fields.flag("GreenEnergy"),
            slave_power: fields.flag("SlavePower"),
            slave_status: fields.flag("SlaveStatus"),
        }
    }
}

impl Logging {
    pub(super) fn resolve(root: &Value) -> Logging {
        let fields = Fields::at(root, &["logging"]);
        let enabled = |name: &str| Some(fields.below(name)).filter(|fields| fields.flag("enabled"));
        let folder =
            |fields: Fields<'_>| FolderLog { path: PathBuf::from(fields.text("path")), mute: Mute::resolve(fields) };
        Logging {
            use_icons: fields.flag("use_icons"),
            console: enabled("Console").map(|fields| Console { simple: fields.flag("simple") }),
            file: enabled("FileLogger").map(folder),
            // The shipped sample switches it on with an empty address, which means off.
            sentry: enabled("Sentry")
                .and_then(|fields| Some(Sentry { dsn: fields.secret("DSN")?, mute: Mute::resolve(fields) })),
            csv: enabled("CSV").map(folder),
            mysql: enabled("MySQL").map(|fields| MySql {
                host: fields.text("host"),
                port: fields.whole("port"),
                database: fields.text("database"),
                username: fields.text("username"),
                password: fields.secret("password"),
                mute: Mute::resolve(fields),
            }),
            sqlite: enabled("SQLite").map(|fields| Sqlite { path: fields.text("path"), mute: Mute::resolve(fields) }),
        }
    }
}
