//! Charging sessions and samples in TWCManager's MySQL or MariaDB tables, so that old queries go on working.
//!
//! | table | columns | a row is found by |
//! |---|---|---|
//! | `charge_sessions` | chargeid, startTime, startkWh, slaveTWC, endTime, endkWh, vehicleVIN | chargeid, slaveTWC |
//! | `green_energy` | time, genW, conW, chgW | time |
//! | `slave_status` | slaveTWC, time, kWh, voltsPhaseA, voltsPhaseB, voltsPhaseC | slaveTWC, time |
//!
//! ```no_run
//! use logging_mysql::{MySql, Server};
//!
//! let server = Server { host: "192.168.1.5".into(), database: "twcmanager".into(), ..Server::default() };
//! let fanout = logging::Fanout::new();
//! fanout.add(Box::new(MySql::new(server)), logging::Mute::default());
//! ```
//!
//! `chargeid` is the start in seconds since 1970, and times are in the server's time zone: both as TWCManager has it. Tables
//! that are missing are created. A server that goes away is connected to again; what happened meanwhile is written with its
//! own time, not with that of the reconnection.
//!
//! Without the Cargo feature `mysql` the sink only says that it is missing.
//!
//! Not done: encrypted connections. The library can do them with rustls, but only together with `rustls-pemfile` and
//! `webpki` 0.22, which nobody mends any more and which `deny.toml` keeps out.
//!
//! Facts: statements of TWCManager 1.4, whose documentation gives the tables; tested with MariaDB 10.11.

#[cfg(feature = "mysql")]
mod read;
#[cfg(feature = "mysql")]
mod tables;

use std::fmt;
use std::time::Duration;

use logging::{Kind, Record, Sink, SinkError};

#[cfg(not(feature = "mysql"))]
pub use absent::{read_green_energy, read_sessions, read_slave_status};
#[cfg(feature = "mysql")]
pub use read::{read_green_energy, read_sessions, read_slave_status};

/// Where the database is.
#[derive(Clone, PartialEq, Eq)]
pub struct Server {
    /// Its name or address, or the path of its socket.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// The database on it.
    pub database: String,
    /// The user.
    pub username: String,
    /// The user's password.
    pub password: Option<String>,
}

impl Default for Server {
    fn default() -> Server {
        Server {
            host: "localhost".to_owned(),
            port: 3306,
            database: "twcmanager".to_owned(),
            username: "twcmanager".to_owned(),
            password: None,
        }
    }
}

/// Whether a server answers, with these credentials and this database. Changes nothing there.
///
/// # Errors
/// A sentence with what to do.
pub fn probe(server: &Server) -> Result<(), SinkError> {
    #[cfg(feature = "mysql")]
    return tables::connect(server)
        .map(drop)
        .map_err(|error| SinkError::down(MySql::new(server.clone()).explain(&error, "reached")));
    #[cfg(not(feature = "mysql"))]
    return Err(without(server));
}

/// What to say in a program that cannot.
#[cfg(not(feature = "mysql"))]
fn without(_: &Server) -> SinkError {
    SinkError::down("this program was built without MySQL; use a release or build with `--features mysql`")
}

#[cfg(not(feature = "mysql"))]
mod absent {
    //! The readers of a program without MySQL.

    use logging::{GreenEnergy, Session, SinkError, SlaveStatus};

    use crate::{Server, without};

    /// Says that it is missing.
    ///
    /// # Errors
    /// Always.
    pub fn read_sessions(server: &Server) -> Result<Vec<Session>, SinkError> {
        Err(without(server))
    }

    /// Says that it is missing.
    ///
    /// # Errors
    /// Always.
    pub fn read_green_energy(server: &Server) -> Result<Vec<GreenEnergy>, SinkError> {
        Err(without(server))
    }

    /// Says that it is missing.
    ///
    /// # Errors
    /// Always.
    pub fn read_slave_status(server: &Server) -> Result<Vec<SlaveStatus>, SinkError> {
        Err(without(server))
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}/{}", self.host, self.port, self.database)
    }
}

/// Writes to a database on a server.
#[derive(Debug)]
pub struct MySql {
    #[cfg_attr(not(feature = "mysql"), allow(dead_code))]
    server: Server,
    #[cfg(feature = "mysql")]
    tables: Option<tables::Tables>,
}

impl MySql {
    /// The section of the configuration.
    pub const KEY: &'static str = "logging.MySQL";

    /// To that server; nothing is connected before there is something to write.
    #[must_use]
    pub fn new(server: Server) -> MySql {
        MySql {
            server,
            #[cfg(feature = "mysql")]
            tables: None,
        }
    }
}

impl Sink for MySql {
    fn key(&self) -> &'static str {
        MySql::KEY
    }

    fn wants(&self, kind: Kind) -> bool {
        matches!(kind, Kind::ChargeSessions | Kind::GreenEnergy | Kind::SlaveStatus)
    }

    #[cfg(feature = "mysql")]
    fn write(&mut self, records: &[Record]) -> Result<(), SinkError> {
        let is_kept = self.tables.is_some();
        match self.attempt(records) {
            // Servers end connections that were quiet for some hours. Writing a row twice changes nothing.
            Err(failure) if is_kept && failure.error.is_connectivity_error() => self.attempt(records),
            result => result,
        }
        .map_err(|failure| {
            let reason = self.explain(&failure.error, "written");
            if tables::is_refusal(&failure.error) {
                SinkError::refused(reason).after(failure.written)
            } else {
                SinkError::down(reason)
            }
        })
    }

    #[cfg(not(feature = "mysql"))]
    fn write(&mut self, _: &[Record]) -> Result<(), SinkError> {
        Err(without(&self.server))
    }

    fn gather(&self) -> Duration {
        Duration::from_secs(5)
    }
}

#[cfg(feature = "mysql")]
impl MySql {
    fn attempt(&mut self, records: &[Record]) -> Result<(), tables::Failure> {
        let tables = match &mut self.tables {
            Some(tables) => tables,
            None => self.tables.insert(tables::Tables::open(&self.server)?),
        };
        let result = tables.write(records);
        if result.as_ref().is_err_and(|failure| !tables::is_refusal(&failure.error)) {
            self.tables = None;
        }
        result
    }

    fn explain(&self, error: &mysql::Error, action: &str) -> String {
        let key = match error {
            mysql::Error::MySqlError(error) if matches!(error.code, 1044 | 1045 | 1698) => {
                "check `logging.MySQL.username` and `password`, and what that user may do there"
            }
            mysql::Error::MySqlError(error) if error.code == 1049 => "check `logging.MySQL.database`",
            mysql::Error::MySqlError(_) => "compare the tables with those in docs/logging.md",
            _ => "check `logging.MySQL.host` and `port`, and that the server runs",
        };
        let reason = match error {
            mysql::Error::MySqlError(error) => format!("{} (error {})", error.message, error.code),
            mysql::Error::DriverError(error) => error.to_string(),
            mysql::Error::IoError(error) => error.to_string(),
            error => error.to_string(),
        };
        format!("the database {:?} cannot be {action}: {reason}; {key}", self.server)
    }
}
