//! The database file: opening, mending, writing, asking.

use std::path::{Path, PathBuf};

use rusqlite::{Connection, ErrorCode, OpenFlags, Row, params};

use crate::entry::{CounterSample, Entry, OfferSample, ReadingSample, SessionRecord};
use crate::keep;

/// Version of the tables below, kept in SQLite's `user_version`.
const SCHEMA_VERSION: i32 = 1;

/// Larger files are not read through at start, which would keep everybody waiting; damage shows when they are written.
const QUICK_CHECK_LIMIT: u64 = 16 * 1024 * 1024;

const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS readings (
    at_ms INTEGER NOT NULL, source TEXT NOT NULL, generation_w REAL, consumption_w REAL, grid_w REAL,
    battery_w REAL, battery_soc REAL, cars_w REAL);
CREATE INDEX IF NOT EXISTS readings_at ON readings (source, at_ms);
CREATE TABLE IF NOT EXISTS offers (
    at_ms INTEGER NOT NULL, evse TEXT NOT NULL, offered_a REAL, drawn_a REAL, power_w REAL, reason TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS offers_at ON offers (evse, at_ms);
CREATE TABLE IF NOT EXISTS counters (
    at_ms INTEGER NOT NULL, evse TEXT NOT NULL, counter_wh REAL NOT NULL, volts_a REAL, volts_b REAL, volts_c REAL);
CREATE INDEX IF NOT EXISTS counters_at ON counters (evse, at_ms);
CREATE TABLE IF NOT EXISTS sessions (
    id TEXT PRIMARY KEY, evse TEXT NOT NULL, vin TEXT, started_ms INTEGER NOT NULL, ended_ms INTEGER,
    updated_ms INTEGER NOT NULL, energy_wh REAL NOT NULL, is_estimate INTEGER NOT NULL, charging_ms INTEGER NOT NULL,
    counter_start_wh REAL, counter_wh REAL) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS sessions_started ON sessions (started_ms);
";

/// Why the journal cannot be kept.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JournalError {
    /// SQLite refused.
    #[error("the journal {path} cannot be used: {source}; check the folder's permissions and the free space")]
    Database {
        /// The file.
        path: PathBuf,
        /// What SQLite said.
        source: rusqlite::Error,
    },
    /// A damaged file could not be moved out of the way.
    #[error("the damaged journal {path} cannot be moved aside: {source}; move it away by hand")]
    Aside {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A newer program wrote it.
    #[error("the journal {path} was written by a newer version of this program (format {found}); update this one")]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: i32,
    },
}

/// An open journal and what was found in it.
#[derive(Debug)]
pub struct Opened {
    /// The journal.
    pub store: Store,
    /// Sessions that were in progress when the program ended.
    pub open_sessions: Vec<SessionRecord>,
    /// Where a damaged journal was moved to.
    pub set_aside: Option<PathBuf>,
}

/// The database of one site.
#[derive(Debug)]
pub struct Store {
    connection: Connection,
    path: PathBuf,
}

impl Store {
    /// Opens or begins the journal at `path`. A damaged one is moved aside as `<name>.damaged-<now_ms>` and a fresh one
    /// is begun.
    ///
    /// # Errors
    /// When the folder cannot be written, or a newer program wrote the file.
    pub fn open(path: &Path, now_ms: i64) -> Result<Opened, JournalError> {
        let mut set_aside = None;
        let store = match Store::open_once(path) {
            Err(JournalError::Database { source, .. }) if is_damage(&source) => {
                set_aside = Some(move_aside(path, now_ms)?);
                Store::open_once(path)?
            }
            result => result?,
        };
        let open_sessions = store
            .sessions_where("ended_ms IS NULL ORDER BY started_ms", [])
            .map_err(|source| JournalError::Database { path: path.to_owned(), source })?;
        Ok(Opened { store, open_sessions, set_aside })
    }

    /// Opens an existing journal for questions only.
    ///
    /// # Errors
    /// When there is none or it cannot be read.
    pub fn open_for_reading(path: &Path) -> Result<Store, JournalError> {
        Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX)
            .and_then(|connection| {
                connection.busy_timeout(std::time::Duration::from_secs(2))?;
                Ok(Store { connection, path: path.to_owned() })
            })
            .map_err(|source| JournalError::Database { path: path.to_owned(), source })
    }

    #[cfg(test)]
    pub(crate) fn in_memory() -> rusqlite::Result<Store> {
        let connection = Connection::open_in_memory()?;
        connection.execute_batch(SCHEMA)?;
        Ok(Store { connection, path: PathBuf::from(":memory:") })
    }

    fn open_once(path: &Path) -> Result<Store, JournalError> {
        let database = |source| JournalError::Database { path: path.to_owned(), source };
        let connection = Connection::open(path).map_err(database)?;
        connection.busy_timeout(std::time::Duration::from_secs(5)).map_err(database)?;
        let found: i32 = connection.query_row("PRAGMA user_version", [], |row| row.get(0)).map_err(database)?;
        if found > SCHEMA_VERSION {
            return Err(JournalError::Newer { path: path.to_owned(), found });
        }
        // WAL with NORMAL survives kill -9 whole; a power cut can cost the last seconds, never the file.
        connection.pragma_update(None, "journal_mode", "WAL").map_err(database)?;
        connection.pragma_update(None, "synchronous", "NORMAL").map_err(database)?;
        // A quarter of SQLite's default cache (KiB, negative by its convention): the whole program has 12 MB.
        connection.pragma_update(None, "cache_size", -512).map_err(database)?;
        connection.execute_batch(SCHEMA).map_err(database)?;
        connection.pragma_update(None, "user_version", SCHEMA_VERSION).map_err(database)?;
        if std::fs::metadata(path).is_ok_and(|file| file.len() > QUICK_CHECK_LIMIT) {
            return Ok(Store { connection, path: path.to_owned() });
        }
        let sound: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0)).map_err(database)?;
        if sound != "ok" {
            let damaged = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CORRUPT);
            return Err(database(rusqlite::Error::SqliteFailure(damaged, Some(sound))));
        }
        Ok(Store { connection, path: path.to_owned() })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes all entries in one transaction: all of them or none.
    ///
    /// # Errors
    /// When the disk is full or refuses; nothing is written then.
    pub fn write(&mut self, entries: &[Entry]) -> Result<(), JournalError> {
        self.try_write(entries).map_err(|source| JournalError::Database { path: self.path.clone(), source })
    }

    fn try_write(&mut self, entries: &[Entry]) -> rusqlite::Result<()> {
        let transaction = self.connection.transaction()?;
        for entry in entries {
            match entry {
                Entry::Reading(r) => transaction
                    .prepare_cached("INSERT INTO readings VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)")?
                    .execute(params![
                        r.at_ms,
                        r.source,
                        r.generation_w,
                        r.consumption_w,
                        r.grid_w,
                        r.battery_w,
                        r.battery_soc,
                        r.cars_w
                    ])?,
                Entry::Offer(o) => transaction
                    .prepare_cached("INSERT INTO offers VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?
                    .execute(params![o.at_ms, o.evse, o.offered_a, o.drawn_a, o.power_w, o.reason])?,
                Entry::Counter(c) => {
                    let [a, b, c_volts] = c.volts;
                    transaction
                        .prepare_cached("INSERT INTO counters VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?
                        .execute(params![c.at_ms, c.evse, c.counter_wh, a, b, c_volts])?
                }
                Entry::Session(s) => transaction
                    .prepare_cached(
                        "INSERT OR REPLACE INTO sessions VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
                    )?
                    .execute(params![
                        s.id,
                        s.evse,
                        s.vin,
                        s.started_ms,
                        s.ended_ms,
                        s.updated_ms,
                        s.energy_wh,
                        s.is_estimate,
                        s.charging_ms,
                        s.counter_start_wh,
                        s.counter_wh
                    ])?,
            };
        }
        transaction.commit()
    }

    /// Whether an error means that the file is damaged, so that only a fresh one helps.
    #[must_use]
    pub fn is_damaged(error: &JournalError) -> bool {
        matches!(error, JournalError::Database { source, .. } if is_damage(source))
    }

    /// Moves a damaged file aside and begins a fresh one in its place. Returns where the old one is now.
    ///
    /// # Errors
    /// When it cannot be moved, or no fresh one can be begun.
    pub fn begin_afresh(&mut self, now_ms: i64) -> Result<PathBuf, JournalError> {
        // SQLite holds the old file until the connection goes; the new name is a new file.
        self.connection = Connection::open_in_memory()
            .map_err(|source| JournalError::Database { path: self.path.clone(), source })?;
        let aside = move_aside(&self.path, now_ms)?;
        *self = Store::open_once(&self.path)?;
        Ok(aside)
    }

    /// Thins samples by age.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn thin(&mut self, now_ms: i64) -> Result<usize, JournalError> {
        keep::thin(&self.connection, now_ms)
            .map_err(|source| JournalError::Database { path: self.path.clone(), source })
    }

    /// The readings of `source` from `from_ms` up to but not including `to_ms`, oldest first.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn readings(&self, source: &str, from_ms: i64, to_ms: i64) -> Result<Vec<ReadingSample>, JournalError> {
        let ask = || -> rusqlite::Result<Vec<ReadingSample>> {
            self.connection
                .prepare_cached(
                    "SELECT at_ms, source, generation_w, consumption_w, grid_w, battery_w, battery_soc, cars_w
                     FROM readings WHERE source = ?1 AND at_ms >= ?2 AND at_ms < ?3 ORDER BY at_ms",
                )?
                .query_map(params![source, from_ms, to_ms], |row| {
                    Ok(ReadingSample {
                        at_ms: row.get(0)?,
                        source: row.get(1)?,
                        generation_w: row.get(2)?,
                        consumption_w: row.get(3)?,
                        grid_w: row.get(4)?,
                        battery_w: row.get(5)?,
                        battery_soc: row.get(6)?,
                        cars_w: row.get(7)?,
                    })
                })?
                .collect()
        };
        ask().map_err(|source| JournalError::Database { path: self.path.clone(), source })
    }

    /// The offers to `evse` from `from_ms` up to but not including `to_ms`, oldest first.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn offers(&self, evse: &str, from_ms: i64, to_ms: i64) -> Result<Vec<OfferSample>, JournalError> {
        let ask = || -> rusqlite::Result<Vec<OfferSample>> {
            self.connection
                .prepare_cached(
                    "SELECT at_ms, evse, offered_a, drawn_a, power_w, reason FROM offers
                     WHERE evse = ?1 AND at_ms >= ?2 AND at_ms < ?3 ORDER BY at_ms",
                )?
                .query_map(params![evse, from_ms, to_ms], |row| {
                    Ok(OfferSample {
                        at_ms: row.get(0)?,
                        evse: row.get(1)?,
                        offered_a: row.get(2)?,
                        drawn_a: row.get(3)?,
                        power_w: row.get(4)?,
                        reason: row.get(5)?,
                    })
                })?
                .collect()
        };
        ask().map_err(|source| JournalError::Database { path: self.path.clone(), source })
    }

    /// What the meter of `evse` said from `from_ms` up to but not including `to_ms`, oldest first. None in a journal that
    /// an earlier version began and this one has not opened for writing yet.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn counters(&self, evse: &str, from_ms: i64, to_ms: i64) -> Result<Vec<CounterSample>, JournalError> {
        let ask = || -> rusqlite::Result<Vec<CounterSample>> {
            if !self.connection.table_exists(None, "counters")? {
                return Ok(Vec::new());
            }
            self.connection
                .prepare_cached(
                    "SELECT at_ms, evse, counter_wh, volts_a, volts_b, volts_c FROM counters
                     WHERE evse = ?1 AND at_ms >= ?2 AND at_ms < ?3 ORDER BY at_ms",
                )?
                .query_map(params![evse, from_ms, to_ms], |row| {
                    let volts = [row.get(3)?, row.get(4)?, row.get(5)?];
                    Ok(CounterSample { at_ms: row.get(0)?, evse: row.get(1)?, counter_wh: row.get(2)?, volts })
                })?
                .collect()
        };
        ask().map_err(|source| JournalError::Database { path: self.path.clone(), source })
    }

    /// The sessions that began from `from_ms` up to but not including `to_ms`, oldest first.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn sessions(&self, from_ms: i64, to_ms: i64) -> Result<Vec<SessionRecord>, JournalError> {
        self.sessions_where("started_ms >= ?1 AND started_ms < ?2 ORDER BY started_ms", [from_ms, to_ms])
            .map_err(|source| JournalError::Database { path: self.path.clone(), source })
    }

    fn sessions_where(&self, condition: &str, values: impl rusqlite::Params) -> rusqlite::Result<Vec<SessionRecord>> {
        let sql = format!(
            "SELECT id, evse, vin, started_ms, ended_ms, updated_ms, energy_wh, is_estimate, charging_ms,
                    counter_start_wh, counter_wh FROM sessions WHERE {condition}"
        );
        self.connection.prepare_cached(&sql)?.query_map(values, session)?.collect()
    }
}

fn session(row: &Row<'_>) -> rusqlite::Result<SessionRecord> {
    Ok(SessionRecord {
        id: row.get(0)?,
        evse: row.get(1)?,
        vin: row.get(2)?,
        started_ms: row.get(3)?,
        ended_ms: row.get(4)?,
        updated_ms: row.get(5)?,
        energy_wh: row.get(6)?,
        is_estimate: row.get(7)?,
        charging_ms: row.get(8)?,
        counter_start_wh: row.get(9)?,
        counter_wh: row.get(10)?,
    })
}

fn is_damage(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase))
}

/// Moves the file and its companions (write-ahead log, shared memory) out of the way, together.
fn move_aside(path: &Path, now_ms: i64) -> Result<PathBuf, JournalError> {
    let with_suffix = |path: &Path, suffix: &str| {
        let mut name = path.as_os_str().to_owned();
        name.push(suffix);
        PathBuf::from(name)
    };
    let aside = with_suffix(path, &format!(".damaged-{now_ms}"));
    for companion in ["", "-wal", "-shm"] {
        let from = with_suffix(path, companion);
        if from.exists() {
            std::fs::rename(&from, with_suffix(&aside, companion))
                .map_err(|source| JournalError::Aside { path: path.to_owned(), source })?;
        }
    }
    Ok(aside)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session(id: &str, energy_wh: f64, ended_ms: Option<i64>) -> Entry {
        Entry::Session(SessionRecord {
            id: id.into(),
            evse: "gen2-4085".into(),
            started_ms: 1_000,
            updated_ms: 2_000,
            ended_ms,
            energy_wh,
            ..SessionRecord::default()
        })
    }

    #[test]
    fn a_later_state_of_a_session_replaces_the_earlier_one() {
        let mut store = Store::in_memory().unwrap();
        store.write(&[session("a", 10.0, None), session("b", 5.0, None)]).unwrap();
        store.write(&[session("a", 20.0, Some(3_000))]).unwrap();
        let sessions = store.sessions(0, 10_000).unwrap();
        assert_eq!(sessions.iter().map(|s| s.energy_wh).collect::<Vec<_>>(), [20.0, 5.0]);
    }

    #[test]
    fn counters_are_kept_also_in_a_journal_that_had_none() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("twcmanager.db");
        let mut store = Store::open(&path, 0).unwrap().store;
        store.connection.execute_batch("DROP TABLE counters").unwrap();
        assert_eq!(Store::open_for_reading(&path).unwrap().counters("gen2-4085", 0, 10).unwrap(), []);
        drop(store);
        store = Store::open(&path, 0).unwrap().store;
        let sample = CounterSample {
            at_ms: 5,
            evse: "gen2-4085".into(),
            counter_wh: 8_123_000.0,
            volts: [Some(231.0), Some(230.0), None],
        };
        store.write(&[Entry::Counter(sample.clone())]).unwrap();
        assert_eq!(store.counters("gen2-4085", 0, 10).unwrap(), [sample]);
    }

    #[test]
    fn sessions_in_progress_are_found_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("twcmanager.db");
        let mut store = Store::open(&path, 0).unwrap().store;
        store.write(&[session("a", 10.0, None), session("b", 5.0, Some(2_500))]).unwrap();
        drop(store);
        let opened = Store::open(&path, 0).unwrap();
        assert_eq!(opened.open_sessions.iter().map(|s| s.id.as_str()).collect::<Vec<_>>(), ["a"]);
        assert_eq!(opened.set_aside, None);
    }

    #[test]
    fn a_damaged_journal_is_kept_aside_and_a_fresh_one_begun() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("twcmanager.db");
        let rubbish = b"this was a database once, and then the power went".repeat(100);
        std::fs::write(&path, &rubbish).unwrap();
        let mut opened = Store::open(&path, 77).unwrap();
        let aside = opened.set_aside.unwrap();
        assert_eq!(std::fs::read(aside).unwrap(), rubbish);
        opened.store.write(&[session("a", 1.0, None)]).unwrap();
    }

    #[test]
    fn a_journal_of_a_newer_program_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("twcmanager.db");
        Connection::open(&path).unwrap().pragma_update(None, "user_version", 99).unwrap();
        assert!(matches!(Store::open(&path, 0), Err(JournalError::Newer { found: 99, .. })));
    }
}
