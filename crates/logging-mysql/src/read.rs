//! Reading such a database.

use logging::{GreenEnergy, Session};
use mysql::Conn;
use mysql::prelude::Queryable;
use units::{WattHours, Watts};

use crate::{MySql, Server, tables};

/// The sessions in a database of TWCManager, oldest first.
///
/// # Errors
/// A sentence with what to do, when the server cannot be reached or has no such table.
pub fn read_sessions(server: &Server) -> Result<Vec<Session>, logging::SinkError> {
    read(server, |connection| {
        connection.query_map(
            "SELECT CAST(UNIX_TIMESTAMP(startTime) AS SIGNED), slaveTWC, startkWh, CAST(UNIX_TIMESTAMP(endTime) AS SIGNED),
                    endkWh, vehicleVIN FROM charge_sessions ORDER BY startTime",
            |(started_at, evse, start_kwh, ended_at, end_kwh, vin): Row| {
                let start_kwh = start_kwh.unwrap_or_default();
                Session {
                    id: format!("{started_at}-{evse}"),
                    evse,
                    vin,
                    started_at,
                    ended_at,
                    counter_start: WattHours::saturating(f64::from(start_kwh) * 1000.0),
                    counter: WattHours::saturating(f64::from(end_kwh.unwrap_or(start_kwh)) * 1000.0),
                }
            },
        )
    })
}

type Row = (i64, String, Option<i32>, Option<i64>, Option<i32>, Option<String>);

/// The samples of generation and consumption in a database of TWCManager, oldest first.
///
/// # Errors
/// A sentence with what to do, when the server cannot be reached or has no such table.
pub fn read_green_energy(server: &Server) -> Result<Vec<GreenEnergy>, logging::SinkError> {
    read(server, |connection| {
        connection.query_map(
            "SELECT CAST(UNIX_TIMESTAMP(time) AS SIGNED), CAST(genW AS DOUBLE), CAST(conW AS DOUBLE), CAST(chgW AS DOUBLE)
             FROM green_energy ORDER BY time",
            |(at, generation, consumption, cars): (i64, Option<f64>, Option<f64>, Option<f64>)| {
                let [generation, consumption, cars] =
                    [generation, consumption, cars].map(|watts| Watts::saturating(watts.unwrap_or_default()));
                GreenEnergy { at, generation, consumption, cars }
            },
        )
    })
}

fn read<T>(
    server: &Server,
    ask: impl FnOnce(&mut Conn) -> mysql::Result<Vec<T>>,
) -> Result<Vec<T>, logging::SinkError> {
    tables::connect(server)
        .and_then(|mut connection| ask(&mut connection))
        .map_err(|error| logging::SinkError::down(MySql::new(server.clone()).explain(&error)))
}
