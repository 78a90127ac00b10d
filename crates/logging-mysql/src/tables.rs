//! TWCManager's three tables on a server.

use std::time::Duration;

use logging::{GreenEnergy, Record, Session, SlaveStatus, whole_kwh};
use mysql::prelude::Queryable;
use mysql::{Conn, OptsBuilder, TxOpts};

use crate::Server;

/// A server in the house answers in milliseconds, one across a continent in a fraction of a second.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// A statement may wait for a lock that a backup holds.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(20);
/// Width of `slaveTWC` in tables that we create: ids of other makes than Gen 2 are longer than four letters.
const EVSE_WIDTH: usize = 64;

const TABLES: [(&str, &str); 3] = [
    (
        "charge_sessions",
        "chargeid int NOT NULL, startTime datetime NOT NULL, startkWh int, slaveTWC varchar(64) NOT NULL, endTime datetime,
         endkWh int, vehicleVIN varchar(17), primary key (startTime, slaveTWC)",
    ),
    (
        "green_energy",
        "time datetime NOT NULL, genW DECIMAL(9,3), conW DECIMAL(9,3), chgW DECIMAL(9,3), primary key (time)",
    ),
    (
        "slave_status",
        "slaveTWC varchar(64) NOT NULL, time datetime NOT NULL, kWh int, voltsPhaseA int, voltsPhaseB int, voltsPhaseC int,
         primary key (slaveTWC, time)",
    ),
];

/// What went wrong, and how many records of the batch were written before.
#[derive(Debug)]
pub(crate) struct Failure {
    pub written: usize,
    pub error: mysql::Error,
}

impl From<mysql::Error> for Failure {
    fn from(error: mysql::Error) -> Failure {
        Failure { written: 0, error }
    }
}

/// Whether the same record would be refused again: a value that does not fit, or a key that is taken.
pub(crate) fn is_refusal(error: &mysql::Error) -> bool {
    matches!(error, mysql::Error::MySqlError(error) if matches!(error.code, 1062 | 1264 | 1265 | 1292 | 1366 | 1406))
}

/// A connection to a server that has the tables.
#[derive(Debug)]
pub(crate) struct Tables {
    connection: Conn,
    /// Width of `slaveTWC`; TWCManager's documentation gives it four letters.
    evse_width: usize,
}

pub(crate) fn connect(server: &Server) -> mysql::Result<Conn> {
    let is_socket = server.host.starts_with('/');
    let mut builder = OptsBuilder::new()
        .user(Some(&server.username))
        .pass(server.password.as_ref())
        .db_name(Some(&server.database))
        .tcp_connect_timeout(Some(CONNECT_TIMEOUT))
        .read_timeout(Some(ANSWER_TIMEOUT))
        .write_timeout(Some(ANSWER_TIMEOUT))
        // As TWCManager has it: a name is reached over the network, `localhost` too.
        .prefer_socket(false);
    builder = if is_socket {
        builder.socket(Some(&server.host))
    } else {
        builder.ip_or_hostname(Some(&server.host)).tcp_port(server.port)
    };
    Conn::new(builder)
}

impl Tables {
    pub fn open(server: &Server) -> mysql::Result<Tables> {
        let mut connection = connect(server)?;
        let mut evse_width = EVSE_WIDTH;
        for (name, columns) in TABLES {
            let found: Vec<(String, Option<usize>)> = connection.exec(
                "SELECT column_name, character_maximum_length FROM information_schema.columns
                 WHERE table_schema = database() AND table_name = ?",
                (name,),
            )?;
            if found.is_empty() {
                connection.query_drop(format!("CREATE TABLE IF NOT EXISTS {name} ({columns})"))?;
            }
            let evse = found.iter().find(|(column, _)| column.eq_ignore_ascii_case("slaveTWC"));
            evse_width = evse.and_then(|(_, width)| *width).map_or(evse_width, |width| width.min(evse_width));
        }
        Ok(Tables { connection, evse_width })
    }

    /// Writes all in one transaction; at a record that is refused, those before it.
    pub fn write(&mut self, records: &[Record]) -> Result<(), Failure> {
        let width = self.evse_width;
        let mut transaction = self.connection.start_transaction(TxOpts::default())?;
        for (written, record) in records.iter().enumerate() {
            if let Err(error) = put(&mut transaction, record, width) {
                if is_refusal(&error) {
                    transaction.commit()?;
                }
                return Err(Failure { written, error });
            }
        }
        Ok(transaction.commit()?)
    }
}

fn put(connection: &mut impl Queryable, record: &Record, width: usize) -> mysql::Result<()> {
    match record {
        Record::Session(session) => put_session(connection, session, fitting(&session.evse, width)),
        Record::GreenEnergy(sample) => put_green_energy(connection, sample),
        Record::SlaveStatus(status) => put_status(connection, status, fitting(&status.evse, width)),
        Record::SlavePower(_) | Record::Line(_) => Ok(()),
    }
}

/// The end of a name that is too long: that is where those of one make differ.
fn fitting(evse: &str, width: usize) -> &str {
    let too_many = evse.chars().count().saturating_sub(width);
    evse.char_indices().nth(too_many).map_or("", |(at, _)| evse.get(at..).unwrap_or_default())
}

/// Its own row. Whether there is one is asked for: a server does not count a row that stays the same as changed.
fn put_session(connection: &mut impl Queryable, session: &Session, evse: &str) -> mysql::Result<()> {
    let key = (session.started_at, evse);
    let found: Option<i64> =
        connection.exec_first("SELECT 1 FROM charge_sessions WHERE chargeid = ? AND slaveTWC = ?", key)?;
    if found.is_none() {
        connection.exec_drop(
            "INSERT INTO charge_sessions (chargeid, startTime, startkWh, slaveTWC) VALUES (?, FROM_UNIXTIME(?), ?, ?)",
            (session.started_at, session.started_at, whole_kwh(session.counter_start), evse),
        )?;
    }
    let end_kwh = session.ended_at.map(|_| whole_kwh(session.counter));
    connection.exec_drop(
        "UPDATE charge_sessions SET endTime = FROM_UNIXTIME(?), endkWh = ?, vehicleVIN = COALESCE(?, vehicleVIN)
         WHERE chargeid = ? AND slaveTWC = ?",
        (session.ended_at, end_kwh, session.vin.as_ref(), session.started_at, evse),
    )
}

fn put_green_energy(connection: &mut impl Queryable, sample: &GreenEnergy) -> mysql::Result<()> {
    connection.exec_drop(
        "INSERT INTO green_energy (time, genW, conW, chgW) VALUES (FROM_UNIXTIME(?), ?, ?, ?)
         ON DUPLICATE KEY UPDATE genW = VALUES(genW), conW = VALUES(conW), chgW = VALUES(chgW)",
        (sample.at, rounded(sample.generation.get()), rounded(sample.consumption.get()), rounded(sample.cars.get())),
    )
}

fn put_status(connection: &mut impl Queryable, status: &SlaveStatus, evse: &str) -> mysql::Result<()> {
    let [a, b, c] = status.volts.into_array().map(|volts| volts.get().round());
    connection.exec_drop(
        "INSERT INTO slave_status (slaveTWC, time, kWh, voltsPhaseA, voltsPhaseB, voltsPhaseC)
         VALUES (?, FROM_UNIXTIME(?), ?, ?, ?, ?)
         ON DUPLICATE KEY UPDATE kWh = VALUES(kWh), voltsPhaseA = VALUES(voltsPhaseA),
             voltsPhaseB = VALUES(voltsPhaseB), voltsPhaseC = VALUES(voltsPhaseC)",
        (evse, status.at, whole_kwh(status.counter), a, b, c),
    )
}

/// To the three decimals of the column, so that the server has nothing to warn of.
fn rounded(watts: f64) -> f64 {
    (watts * 1000.0).round() / 1000.0
}

#[cfg(test)]
mod tests {
    use super::fitting;

    #[test]
    fn of_a_long_name_the_end_is_kept() {
        assert_eq!(fitting("3A7C", 4), "3A7C");
        assert_eq!(fitting("ocpp-garage-1", 4), "ge-1");
        assert_eq!(fitting("", 4), "");
    }
}
