//! Charging sessions and samples in TWCManager's SQLite tables, so that old queries go on working.
//!
//! | table | columns | key |
//! |---|---|---|
//! | `charge_sessions` | chargeid, startTime, startkWh, slaveTWC, endTime, endkWh, vehicleVIN | startTime, slaveTWC |
//! | `green_energy` | time, genW, conW, chgW | time |
//! | `slave_status` | slaveTWC, time, kWh, voltsPhaseA, voltsPhaseB, voltsPhaseC | slaveTWC, time |
//!
//! ```no_run
//! let fanout = logging::Fanout::new();
//! fanout.add(Box::new(logging_sqlite::Sqlite::new("/etc/twcmanager/twcmanager.sqlite")), logging::Mute::default());
//! ```
//!
//! Start and end of a session are seconds since 1970, times of samples are text in UTC, and `chargeid` stays empty: all as
//! TWCManager has it. Unlike there, a session changes its own row only, and the VIN is stored. Nothing is ever thinned out
//! here; the program's own history (`journal`) is. [`read_sessions`] and its like read such a file, for
//! importing it.
//!
//! Facts: schema and rows of recordings of TWCManager 1.4.

mod read;

use std::path::Path;
use std::time::Duration;

use logging::{GreenEnergy, Kind, Record, Session, Sink, SinkError, SlaveStatus, utc_time, whole_kwh};
use rusqlite::{Connection, ErrorCode, OpenFlags, params};
use units::Volts;

pub use read::{is_ours, read_green_energy, read_sessions, read_slave_status};

/// Another program may hold the file this long, to make a graph of it.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

const TABLES: &str = "
CREATE TABLE IF NOT EXISTS charge_sessions (
    chargeid int, startTime timestamp, startkWh int, slaveTWC varchar(4), endTime datetime, endkWh int,
    vehicleVIN varchar(17), primary key(startTime, slaveTWC));
CREATE TABLE IF NOT EXISTS green_energy (
    time timestamp, genW DECIMAL(9,3), conW DECIMAL(9,3), chgW DECIMAL(9,3), primary key(time));
CREATE TABLE IF NOT EXISTS slave_status (
    slaveTWC varchar(4), time timestamp, kWh int, voltsPhaseA int, voltsPhaseB int, voltsPhaseC int,
    primary key (slaveTWC, time));
";

/// Writes to a file, which is created when it is missing.
#[derive(Debug)]
pub struct Sqlite {
    path: String,
    connection: Option<Connection>,
}

impl Sqlite {
    /// The section of the configuration.
    pub const KEY: &'static str = "logging.SQLite";

    /// To the file at `path`, which may be a `file:` address.
    #[must_use]
    pub fn new(path: impl Into<String>) -> Sqlite {
        Sqlite { path: path.into(), connection: None }
    }

    fn open(&self) -> rusqlite::Result<Connection> {
        let connection = Connection::open_with_flags(&self.path, OpenFlags::default() | OpenFlags::SQLITE_OPEN_URI)?;
        connection.busy_timeout(BUSY_TIMEOUT)?;
        connection.execute_batch(TABLES)?;
        Ok(connection)
    }

    /// Writes all in one transaction; at a record that is refused, those before it.
    fn try_write(&mut self, records: &[Record]) -> Result<(), (usize, rusqlite::Error)> {
        let at_start = |error| (0, error);
        let connection = match &mut self.connection {
            Some(connection) => connection,
            None => {
                let opened = self.open().map_err(at_start)?;
                self.connection.insert(opened)
            }
        };
        let transaction = connection.transaction().map_err(at_start)?;
        let failed =
            records.iter().enumerate().find_map(|(place, record)| Some((place, put(&transaction, record).err()?)));
        match failed {
            Some((_, error)) if !is_refusal(&error) => Err((0, error)),
            failed => {
                transaction.commit().map_err(at_start)?;
                failed.map_or(Ok(()), Err)
            }
        }
    }

    fn explain(&self, error: &rusqlite::Error) -> String {
        // Of an address only the file: its parameters may be anything.
        let file = Path::new(self.path.split('?').next().unwrap_or_default()).display();
        format!(
            "the database {file} cannot be written: {error}; check `logging.SQLite.path`, its permissions and the free space"
        )
    }
}

/// Whether the file at `path`, which may be a `file:` address, could be written now. Writes nothing and makes nothing.
///
/// # Errors
/// A sentence with what to do.
pub fn probe(path: &str) -> Result<(), SinkError> {
    let plain = path.strip_prefix("file:").unwrap_or(path);
    let file = Path::new(plain.split('?').next().unwrap_or_default());
    let is_there = file.exists();
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let try_it = || -> rusqlite::Result<()> {
        if is_there {
            let flags =
                OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_URI;
            let connection = Connection::open_with_flags(path, flags)?;
            connection.busy_timeout(BUSY_TIMEOUT)?;
            // A transaction that is taken back finds out about locks, permissions and damage.
            connection.execute_batch("BEGIN IMMEDIATE; SELECT count(*) FROM sqlite_master; ROLLBACK")?;
        }
        Ok(())
    };
    try_it().map_err(|error| SinkError::down(Sqlite::new(path).explain(&error)))?;
    if !is_there && !folder.is_dir() {
        let reason = format!(
            "there is no folder {} for the database; make it, or change `logging.SQLite.path`",
            folder.display()
        );
        return Err(SinkError::down(reason));
    }
    Ok(())
}

impl Sink for Sqlite {
    fn key(&self) -> &'static str {
        Sqlite::KEY
    }

    fn wants(&self, kind: Kind) -> bool {
        matches!(kind, Kind::ChargeSessions | Kind::GreenEnergy | Kind::SlaveStatus)
    }

    fn write(&mut self, records: &[Record]) -> Result<(), SinkError> {
        self.try_write(records).map_err(|(written, error)| {
            let reason = self.explain(&error);
            if is_refusal(&error) {
                return SinkError::refused(reason).after(written);
            }
            // The file may be another one by the next attempt.
            self.connection = None;
            SinkError::down(reason)
        })
    }

    /// One transaction where there would be several: the file is mostly on an SD card.
    fn gather(&self) -> Duration {
        Duration::from_secs(5)
    }
}

/// Whether the same record would be refused again.
fn is_refusal(error: &rusqlite::Error) -> bool {
    matches!(
        error.sqlite_error_code(),
        Some(ErrorCode::ConstraintViolation | ErrorCode::TypeMismatch | ErrorCode::TooBig)
    )
}

fn put(connection: &Connection, record: &Record) -> rusqlite::Result<()> {
    match record {
        Record::Session(session) => put_session(connection, session),
        Record::GreenEnergy(sample) => put_green_energy(connection, sample),
        Record::SlaveStatus(status) => put_status(connection, status),
        Record::SlavePower(_) | Record::Line(_) => Ok(()),
    }
}

/// Its own row, by its start and its charging point: no key of the table is relied upon.
fn put_session(connection: &Connection, session: &Session) -> rusqlite::Result<()> {
    let end_kwh = session.ended_at.map(|_| whole_kwh(session.counter));
    let changed = connection
        .prepare_cached(
            "UPDATE charge_sessions SET endTime = ?3, endkWh = ?4, vehicleVIN = coalesce(?5, vehicleVIN)
             WHERE startTime = ?1 AND slaveTWC = ?2",
        )?
        .execute(params![session.started_at, session.evse, session.ended_at, end_kwh, session.vin])?;
    if changed == 0 {
        connection
            .prepare_cached(
                "INSERT INTO charge_sessions (startTime, slaveTWC, startkWh, endTime, endkWh, vehicleVIN)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            )?
            .execute(params![
                session.started_at,
                session.evse,
                whole_kwh(session.counter_start),
                session.ended_at,
                end_kwh,
                session.vin
            ])?;
    }
    Ok(())
}

fn put_green_energy(connection: &Connection, sample: &GreenEnergy) -> rusqlite::Result<()> {
    connection
        .prepare_cached("INSERT OR REPLACE INTO green_energy (time, genW, conW, chgW) VALUES (?1, ?2, ?3, ?4)")?
        .execute(params![utc_time(sample.at), sample.generation.get(), sample.consumption.get(), sample.cars.get()])?;
    Ok(())
}

fn put_status(connection: &Connection, status: &SlaveStatus) -> rusqlite::Result<()> {
    let [a, b, c] = status.volts.into_array().map(|volts: Volts| volts.get().round());
    connection
        .prepare_cached(
            "INSERT OR REPLACE INTO slave_status (slaveTWC, time, kWh, voltsPhaseA, voltsPhaseB, voltsPhaseC)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )?
        .execute(params![status.evse, utc_time(status.at), whole_kwh(status.counter), a, b, c])?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use rusqlite::types::Value;
    use units::{PerPhase, WattHours, Watts};

    use super::*;

    const START: i64 = 1_795_173_694;

    fn session(evse: &str, started_at: i64, ended_at: Option<i64>, vin: Option<&str>) -> Session {
        Session {
            id: format!("{started_at}-{evse}"),
            evse: evse.into(),
            vin: vin.map(str::to_owned),
            started_at,
            ended_at,
            counter_start: WattHours::saturating(1_000_400.0),
            counter: WattHours::saturating(1_012_300.0),
        }
    }

    fn rows(path: &str, table: &str) -> Vec<Vec<Value>> {
        let connection = Connection::open(path).unwrap();
        let mut statement = connection.prepare(&format!("SELECT * FROM {table} ORDER BY 1, 2")).unwrap();
        let columns = statement.column_count();
        let row = |row: &rusqlite::Row<'_>| (0..columns).map(|column| row.get(column)).collect();
        statement.query_map([], row).unwrap().map(Result::unwrap).collect()
    }

    fn text(text: &str) -> Value {
        Value::Text(text.into())
    }

    #[test]
    fn rows_are_those_of_before() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("old.sqlite").display().to_string();
        let mut sqlite = Sqlite::new(format!("file:{path}?mode=rwc"));
        let [generation, consumption, cars] = [6_000.0, 500.25, 60.0].map(Watts::saturating);
        let volts = PerPhase::new(240.4, 0.0, 0.0).map(Volts::saturating);
        sqlite
            .write(&[
                Record::Session(session("4142", START, None, None)),
                Record::GreenEnergy(GreenEnergy { at: START, generation, consumption, cars }),
                Record::GreenEnergy(GreenEnergy { at: START, generation, consumption, cars }),
                Record::SlaveStatus(SlaveStatus {
                    at: START,
                    evse: "4142".into(),
                    counter: WattHours::saturating(1_000_400.0),
                    volts,
                }),
            ])
            .unwrap();
        let whole = Value::Integer;
        assert_eq!(
            rows(&path, "charge_sessions"),
            [[Value::Null, whole(START), whole(1_000), text("4142"), Value::Null, Value::Null, Value::Null]]
        );
        assert_eq!(
            rows(&path, "green_energy"),
            [[text("2026-11-20 11:21:34"), whole(6_000), Value::Real(500.25), whole(60)]]
        );
        assert_eq!(
            rows(&path, "slave_status"),
            [[text("4142"), text("2026-11-20 11:21:34"), whole(1_000), whole(240), whole(0), whole(0)]]
        );
    }

    #[test]
    fn a_session_changes_its_own_row_and_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("old.sqlite").display().to_string();
        // As an old program left it: an ended one, and one that it never closed.
        let old = Connection::open(&path).unwrap();
        old.execute_batch(TABLES).unwrap();
        old.execute_batch("INSERT INTO charge_sessions VALUES (NULL, 5, 1, '4142', 9, 2, NULL), (NULL, 7, 2, '4142', NULL, NULL, NULL)")
            .unwrap();
        let mut sqlite = Sqlite::new(&path);
        let vin = "5YJ3E1EA8KF000001";
        for (ended_at, vin) in [(None, None), (None, Some(vin)), (Some(START + 99), None), (Some(START + 99), None)] {
            sqlite.write(&[Record::Session(session("4142", START, ended_at, vin))]).unwrap();
        }
        let found = read_sessions(Path::new(&path)).unwrap();
        let seen: Vec<_> = found.iter().map(|s| (s.started_at, s.ended_at, s.vin.as_deref())).collect();
        assert_eq!(seen, [(5, Some(9), None), (7, None, None), (START, Some(START + 99), Some(vin))]);
        assert_eq!(found[2].counter.get() - found[2].counter_start.get(), 12_000.0);
    }

    #[test]
    fn a_database_that_is_locked_is_tried_again_and_takes_all() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("old.sqlite").display().to_string();
        let mut sqlite = Sqlite::new(&path);
        sqlite.write(&[]).unwrap();
        sqlite.connection.as_ref().unwrap().busy_timeout(Duration::ZERO).unwrap();
        let other = Connection::open(&path).unwrap();
        other.execute_batch("BEGIN EXCLUSIVE").unwrap();
        let records = [1, 2].map(|at| Record::Session(session("4142", at, None, None)));
        let error = sqlite.write(&records).unwrap_err();
        assert!(matches!(error, SinkError::Down { written: 0, .. }), "{error:?}");
        assert!(error.to_string().contains("`logging.SQLite.path`"), "{error}");
        other.execute_batch("ROLLBACK").unwrap();
        sqlite.write(&records).unwrap();
        assert_eq!(rows(&path, "charge_sessions").len(), 2);
    }

    #[test]
    fn a_record_that_the_tables_refuse_does_not_hold_up_the_others() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("old.sqlite").display().to_string();
        let stricter = TABLES.replace("startkWh int", "startkWh int CHECK (startTime <> 2)");
        Connection::open(&path).unwrap().execute_batch(&stricter).unwrap();
        let mut sqlite = Sqlite::new(&path);
        let records = [1, 2, 3].map(|at| Record::Session(session("4142", at, None, None)));
        let error = sqlite.write(&records).unwrap_err();
        assert!(matches!(error, SinkError::Refused { written: 1, .. }), "{error:?}");
        assert_eq!(rows(&path, "charge_sessions").len(), 1);
    }

    #[test]
    fn a_probe_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("old.sqlite");
        let text = path.display().to_string();
        assert!(probe(&text).is_ok() && probe(&format!("file:{text}?mode=rwc")).is_ok());
        assert!(!path.exists());
        assert!(probe(&folder.path().join("no/old.sqlite").display().to_string()).is_err());
        std::fs::write(&path, "this is no database, and it is long enough to be one, or so it seems").unwrap();
        assert!(probe(&text).unwrap_err().to_string().contains("`logging.SQLite.path`"));
    }

    #[test]
    fn samples_are_read_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("old.sqlite");
        let [generation, consumption, cars] = [6_000.0, 500.25, 60.0].map(Watts::saturating);
        let sample = GreenEnergy { at: START, generation, consumption, cars };
        let volts = PerPhase::new(240.0, 0.0, 0.0).map(Volts::saturating);
        let counter = WattHours::saturating(1_000_000.0);
        let status = SlaveStatus { at: START, evse: "4142".into(), counter, volts };
        assert!(!is_ours(&path));
        Sqlite::new(path.display().to_string())
            .write(&[Record::GreenEnergy(sample.clone()), Record::SlaveStatus(status.clone())])
            .unwrap();
        assert!(is_ours(&path));
        assert_eq!(read_green_energy(&path).unwrap(), [sample]);
        assert_eq!(read_slave_status(&path).unwrap(), [status]);
        // Whoever made the tables by hand may have left one out.
        Connection::open(&path).unwrap().execute_batch("DROP TABLE slave_status").unwrap();
        assert_eq!(read_slave_status(&path).unwrap(), []);
    }
}
