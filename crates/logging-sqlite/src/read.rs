//! Reading such a file.

use std::path::Path;

use logging::{GreenEnergy, Session};
use rusqlite::{Connection, OpenFlags};
use units::{WattHours, Watts};

/// The sessions in a database of TWCManager, oldest first; a row that has no start is passed over.
///
/// # Errors
/// When the file cannot be read or has no such table.
pub fn read_sessions(path: &Path) -> rusqlite::Result<Vec<Session>> {
    // Starts are numbers, but a hand may have written text: whatever is no number is no session of ours.
    let connection = open(path)?;
    let mut statement = connection.prepare(
        "SELECT startTime, slaveTWC, startkWh, endTime, endkWh, vehicleVIN FROM charge_sessions
         WHERE typeof(startTime) = 'integer' AND slaveTWC IS NOT NULL ORDER BY startTime",
    )?;
    let sessions = statement.query_map([], |row| {
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
    })?;
    sessions.collect()
}

/// The samples of generation and consumption in a database of TWCManager, oldest first.
///
/// # Errors
/// When the file cannot be read or has no such table.
pub fn read_green_energy(path: &Path) -> rusqlite::Result<Vec<GreenEnergy>> {
    let connection = open(path)?;
    let mut statement = connection.prepare(
        "SELECT CAST(strftime('%s', time) AS INTEGER), genW, conW, chgW FROM green_energy
         WHERE strftime('%s', time) IS NOT NULL ORDER BY time",
    )?;
    let samples = statement.query_map([], |row| {
        let watts = |column: usize| row.get::<_, Option<f64>>(column).map(|w| Watts::saturating(w.unwrap_or_default()));
        Ok(GreenEnergy { at: row.get(0)?, generation: watts(1)?, consumption: watts(2)?, cars: watts(3)? })
    })?;
    samples.collect()
}

fn open(path: &Path) -> rusqlite::Result<Connection> {
    Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX)
}
