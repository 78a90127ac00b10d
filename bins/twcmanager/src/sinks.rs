//! Whether what section `logging` switches on could be written now: for `check`. Writes nothing.

use std::path::Path;

use config::{Config, FolderLog};
use rustix::fs::{Access, access};

use crate::logs::{sentry_of, server_of};

/// One sink and whether it could be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Probed {
    /// Its section.
    pub key: &'static str,
    /// Where it writes, or why it could not.
    pub result: Result<String, String>,
}

/// Every sink that is switched on, but for the console.
pub fn probe(config: &Config) -> Vec<Probed> {
    let sinks = &config.logging;
    let mut found = Vec::new();
    let mut add = |key, result| found.push(Probed { key, result });
    if let Some(log) = &sinks.file {
        add(logging_file::FileLog::KEY, folder(log, logging_file::FileLog::KEY));
    }
    if let Some(log) = &sinks.csv {
        add(logging_csv::Csv::KEY, folder(log, logging_csv::Csv::KEY));
    }
    if let Some(sqlite) = &sinks.sqlite {
        let result = logging_sqlite::probe(&sqlite.path).map_err(|error| error.to_string());
        add(logging_sqlite::Sqlite::KEY, result.map(|()| "can be written".to_owned()));
    }
    if let Some(mysql) = &sinks.mysql {
        let server = server_of(mysql);
        let result = logging_mysql::probe(&server).map_err(|error| error.to_string());
        add(logging_mysql::MySql::KEY, result.map(|()| format!("{server:?} answers")));
    }
    if let Some(sentry) = &sinks.sentry {
        let result = sentry_of(sentry).map_err(|error| error.to_string());
        add(logging_sentry::Sentry::KEY, result.map(|_| "the address can be used".to_owned()));
    }
    found
}

/// Whether a folder, or the nearest one above it that is there, may be written.
fn folder(log: &FolderLog, key: &str) -> Result<String, String> {
    let Some(there) = log.path.ancestors().find(|folder| folder.exists()) else {
        return Ok(format!("{} will be made", log.path.display()));
    };
    let there = if there.as_os_str().is_empty() { Path::new(".") } else { there };
    let may = if there.is_dir() {
        access(there, Access::WRITE_OK | Access::EXEC_OK).map_err(|error| error.to_string())
    } else {
        Err("it is no folder".to_owned())
    };
    may.map(|()| format!("{} can be written", log.path.display())).map_err(|error| {
        format!("{} cannot be written: {error}; check `{key}.path` and its permissions", there.display())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(logging: &str) -> Config {
        let text =
            format!(r#"{{"config": {{"wiringMaxAmpsAllTWCs": 16, "minAmpsPerTWC": 6}}, "logging": {{{logging}}}}}"#);
        config::parse("c", text.as_bytes(), &config::KeySet::builtin()).config.unwrap()
    }

    #[test]
    fn sinks_that_could_not_be_written_are_named_with_their_key_and_nothing_is_made() {
        let place = tempfile::tempdir().unwrap();
        let at = |name: &str| place.path().join(name).display().to_string();
        std::fs::write(at("file"), "no database, and no folder").unwrap();
        let text = |csv: &str, sqlite: &str, port: u16| {
            format!(
                r#""CSV": {{"enabled": true, "path": "{csv}"}}, "SQLite": {{"enabled": true, "path": "{sqlite}"}},
                   "MySQL": {{"enabled": true, "host": "127.0.0.1", "port": {port}, "password": "geheim"}},
                   "Sentry": {{"enabled": true, "DSN": ""}}"#
            )
        };
        let good = probe(&config(&text(&at("new/csv"), &at("new.sqlite"), 1)));
        let is_fine: Vec<_> = good.iter().map(|sink| (sink.key, sink.result.is_ok())).collect();
        assert_eq!(is_fine, [("logging.CSV", true), ("logging.SQLite", true), ("logging.MySQL", false)]);
        let bad = probe(&config(&text(&at("file"), &at("file"), 1)));
        for sink in bad {
            let error = sink.result.unwrap_err();
            assert!(error.contains(&format!("`{}.", sink.key)) && !error.contains("geheim"), "{error}");
        }
        assert_eq!(std::fs::read_dir(place.path()).unwrap().count(), 1);
    }
}
