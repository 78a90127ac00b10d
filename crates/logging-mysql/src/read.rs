//! Reading such a database.
//!
//! Columns are cast, since tables made by hand may have other types; a row that does not fit all the same is passed over.

use logging::{GreenEnergy, Session, SlaveStatus};
use mysql::prelude::{FromRow, Queryable};
use units::{PerPhase, Volts, WattHours, Watts};

use crate::{MySql, Server, tables};

/// There is no such table.
const NO_TABLE: u16 = 1146;

/// The sessions in a database of TWCManager, oldest first.
///
/// # Errors
/// A sentence with what to do, when the server cannot be reached. A table that is missing is an empty one.
pub fn read_sessions(server: &Server) -> Result<Vec<Session>, logging::SinkError> {
    type Row = (i64, String, Option<f64>, Option<i64>, Option<f64>, Option<String>);
    read(
        server,
        "SELECT CAST(UNIX_TIMESTAMP(startTime) AS SIGNED), CAST(slaveTWC AS CHAR), CAST(startkWh AS DOUBLE),
                CAST(UNIX_TIMESTAMP(endTime) AS SIGNED), CAST(endkWh AS DOUBLE), CAST(vehicleVIN AS CHAR)
         FROM charge_sessions WHERE startTime IS NOT NULL AND slaveTWC IS NOT NULL ORDER BY startTime",
        |(started_at, evse, start_kwh, ended_at, end_kwh, vin): Row| {
            let start_kwh = start_kwh.unwrap_or_default();
            Session {
                id: format!("{started_at}-{evse}"),
                evse,
                vin: vin.filter(|vin| !vin.is_empty()),
                started_at,
                ended_at,
                counter_start: WattHours::saturating(start_kwh * 1000.0),
                counter: WattHours::saturating(end_kwh.unwrap_or(start_kwh) * 1000.0),
            }
        },
    )
}

/// The samples of generation and consumption in a database of TWCManager, oldest first.
///
/// # Errors
/// As [`read_sessions`].
pub fn read_green_energy(server: &Server) -> Result<Vec<GreenEnergy>, logging::SinkError> {
    read(
        server,
        "SELECT CAST(UNIX_TIMESTAMP(time) AS SIGNED), CAST(genW AS DOUBLE), CAST(conW AS DOUBLE), CAST(chgW AS DOUBLE)
         FROM green_energy WHERE time IS NOT NULL ORDER BY time",
        |(at, generation, consumption, cars): (i64, Option<f64>, Option<f64>, Option<f64>)| {
            let [generation, consumption, cars] =
                [generation, consumption, cars].map(|watts| Watts::saturating(watts.unwrap_or_default()));
            GreenEnergy { at, generation, consumption, cars }
        },
    )
}

/// The samples of counters and voltages in a database of TWCManager, oldest first.
///
/// # Errors
/// As [`read_sessions`].
pub fn read_slave_status(server: &Server) -> Result<Vec<SlaveStatus>, logging::SinkError> {
    read(
        server,
        "SELECT CAST(slaveTWC AS CHAR), CAST(UNIX_TIMESTAMP(time) AS SIGNED), CAST(kWh AS DOUBLE),
                CAST(voltsPhaseA AS DOUBLE), CAST(voltsPhaseB AS DOUBLE), CAST(voltsPhaseC AS DOUBLE)
         FROM slave_status WHERE slaveTWC IS NOT NULL AND time IS NOT NULL AND kWh IS NOT NULL ORDER BY time",
        |(evse, at, kwh, a, b, c): (String, i64, f64, Option<f64>, Option<f64>, Option<f64>)| {
            let [a, b, c] = [a, b, c].map(|volts| Volts::saturating(volts.unwrap_or_default()));
            SlaveStatus { at, evse, counter: WattHours::saturating(kwh * 1000.0), volts: PerPhase::new(a, b, c) }
        },
    )
}

fn read<R: FromRow, T>(server: &Server, sql: &str, parse: impl Fn(R) -> T) -> Result<Vec<T>, logging::SinkError> {
    let ask = || -> mysql::Result<Vec<T>> {
        let mut found = Vec::new();
        // Prepared: numbers come as numbers.
        for row in tables::connect(server)?.exec_iter(sql, ())? {
            found.extend(mysql::from_row_opt::<R>(row?).ok().map(&parse));
        }
        Ok(found)
    };
    match ask() {
        Err(mysql::Error::MySqlError(error)) if error.code == NO_TABLE => Ok(Vec::new()),
        result => result.map_err(|error| logging::SinkError::down(MySql::new(server.clone()).explain(&error, "read"))),
    }
}
