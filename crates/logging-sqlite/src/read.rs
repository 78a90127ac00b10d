//! Reading such a file.

use std::path::Path;

use logging::{GreenEnergy, Session, SlaveStatus};
use rusqlite::{Connection, OpenFlags, Row};
use units::{PerPhase, Volts, WattHours, Watts};

/// Whether a file is a database with at least one of TWCManager's tables.
#[must_use]
pub fn is_ours(path: &Path) -> bool {
    let has_table = || -> rusqlite::Result<bool> {
        let connection = open(path)?;
        Ok(connection.table_exists(None, "charge_sessions")? || connection.table_exists(None, "slave_status")?)
    };
    has_table().unwrap_or(false)
}

/// The sessions in a database of TWCManager, oldest first; a row that has no start is passed over.
///
/// # Errors
/// When the file cannot be read. A table that is missing is an empty one.
pub fn read_sessions(path: &Path) -> rusqlite::Result<Vec<Session>> {
    // Starts are numbers, but a hand may have written text: whatever is no number is no session of ours.
    let sql = "SELECT startTime, slaveTWC, startkWh, endTime, endkWh, vehicleVIN FROM charge_sessions
         WHERE typeof(startTime) = 'integer' AND slaveTWC IS NOT NULL ORDER BY startTime";
    read(path, "charge_sessions", sql, |row| {
        let (started_at, evse): (i64, String) = (row.get(0)?, row.get(1)?);
        let start_kwh: f64 = row.get::<_, Option<f64>>(2)?.unwrap_or_default();
        Ok(Session {
            id: format!("{started_at}-{evse}"),
            evse,
            vin: row.get(5)?,
            started_at,
            ended_at: row.get(3)?,
            counter_start: WattHours::saturating(start_kwh * 1000.0),
            counter: WattHours::saturating(row.get::<_, Option<f64>>(4)?.unwrap_or(start_kwh) * 1000.0),
        })
    })
}

/// The samples of generation and consumption in a database of TWCManager, oldest first.
///
/// # Errors
/// When the file cannot be read. A table that is missing is an empty one.
pub fn read_green_energy(path: &Path) -> rusqlite::Result<Vec<GreenEnergy>> {
    let sql = "SELECT CAST(strftime('%s', time) AS INTEGER), genW, conW, chgW FROM green_energy
         WHERE strftime('%s', time) IS NOT NULL ORDER BY time";
    read(path, "green_energy", sql, |row| {
        let watts = |column: usize| row.get::<_, Option<f64>>(column).map(|w| Watts::saturating(w.unwrap_or_default()));
        Ok(GreenEnergy { at: row.get(0)?, generation: watts(1)?, consumption: watts(2)?, cars: watts(3)? })
    })
}

/// The samples of counters and voltages in a database of TWCManager, oldest first.
///
/// # Errors
/// When the file cannot be read. A table that is missing is an empty one.
pub fn read_slave_status(path: &Path) -> rusqlite::Result<Vec<SlaveStatus>> {
    let sql = "SELECT CAST(strftime('%s', time) AS INTEGER), slaveTWC, kWh, voltsPhaseA, voltsPhaseB, voltsPhaseC
         FROM slave_status WHERE strftime('%s', time) IS NOT NULL AND slaveTWC IS NOT NULL AND kWh IS NOT NULL ORDER BY time";
    read(path, "slave_status", sql, |row| {
        let volts = |column: usize| row.get::<_, Option<f64>>(column).map(|v| Volts::saturating(v.unwrap_or_default()));
        Ok(SlaveStatus {
            at: row.get(0)?,
            evse: row.get(1)?,
            counter: WattHours::saturating(row.get::<_, f64>(2)? * 1000.0),
            volts: PerPhase::new(volts(3)?, volts(4)?, volts(5)?),
        })
    })
}

fn read<T>(
    path: &Path,
    table: &str,
    sql: &str,
    parse: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
) -> rusqlite::Result<Vec<T>> {
    let connection = open(path)?;
    if !connection.table_exists(None, table)? {
        return Ok(Vec::new());
    }
    connection.prepare(sql)?.query_map([], parse)?.collect()
}

fn open(path: &Path) -> rusqlite::Result<Connection> {
    Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX)
}
