//! A real MariaDB on loopback, in a folder of its own, for tests of what writes to it and reads from it.
//!
//! Runs where `mariadbd` is installed (Debian: `mariadb-server`); [`MariaDb::start`] gives nothing where it is not, and the
//! test says so and passes. Starting one takes seconds: a test binary starts one and lets several checks use it.
//!
//! ```no_run
//! let Some(server) = mysql_rig::MariaDb::start() else { return };
//! assert_eq!(server.shown("SELECT 1"), ["'1'"]);
//! ```
//!
//! For tests only: it panics when the server does not behave.

// A test that cannot go on has failed.
#![allow(clippy::unwrap_used)]

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use mysql::prelude::Queryable;
use tempfile::TempDir;

/// A fresh server writes its system tables first.
const PATIENCE: Duration = Duration::from_secs(60);

/// A server of its own in a folder of its own; killed when dropped.
#[derive(Debug)]
pub struct MariaDb {
    child: Child,
    folder: TempDir,
    port: u16,
    program: PathBuf,
}

impl MariaDb {
    /// The user that may do everything in [`MariaDb::DATABASE`].
    pub const USERNAME: &'static str = "twc";
    /// Its password.
    pub const PASSWORD: &'static str = "secret word";
    /// The database, empty.
    pub const DATABASE: &'static str = "twcmanager";

    /// Starts one; `None`, and a word on standard error, where it is not installed.
    #[must_use]
    pub fn start() -> Option<MariaDb> {
        let places = ["/usr/sbin/mariadbd", "/usr/sbin/mysqld", "/usr/local/sbin/mariadbd"];
        let Some(program) = places.into_iter().map(PathBuf::from).find(|path| path.exists()) else {
            eprintln!("skipped: mariadbd is not installed (Debian: mariadb-server)");
            return None;
        };
        let folder = TempDir::new().unwrap();
        let installed = Command::new("mariadb-install-db")
            .args(["--no-defaults", "--auth-root-authentication-method=normal", "--skip-test-db"])
            .arg(format!("--datadir={}", folder.path().join("data").display()))
            .args(as_root())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .ok()?;
        assert!(installed.success(), "mariadb-install-db failed");
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let child = launch(&program, folder.path(), port);
        let server = MariaDb { child, folder, port, program };
        let mut root = server.connect_as_root();
        for statement in [
            format!("CREATE DATABASE {}", MariaDb::DATABASE),
            format!("CREATE USER {}@'%' IDENTIFIED BY '{}'", MariaDb::USERNAME, MariaDb::PASSWORD),
            format!("GRANT ALL ON {}.* TO {}@'%'", MariaDb::DATABASE, MariaDb::USERNAME),
        ] {
            root.query_drop(statement).unwrap();
        }
        Some(server)
    }

    /// Its port on 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// A connection that may do everything.
    #[must_use]
    pub fn connect_as_root(&self) -> mysql::Conn {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let builder = mysql::OptsBuilder::new()
                .ip_or_hostname(Some("127.0.0.1"))
                .tcp_port(self.port)
                .user(Some("root"))
                .prefer_socket(false);
            match mysql::Conn::new(builder) {
                Ok(connection) => return connection,
                Err(error) => assert!(Instant::now() < deadline, "{error}"),
            }
            std::thread::park_timeout(Duration::from_millis(20));
        }
    }

    /// Runs statements in [`MariaDb::DATABASE`], as root.
    pub fn execute(&self, statements: &[&str]) {
        let mut root = self.connect_as_root();
        root.query_drop(format!("USE {}", MariaDb::DATABASE)).unwrap();
        statements.iter().for_each(|statement| root.query_drop(statement).unwrap());
    }

    /// What a query gives, as text, a line for each row.
    #[must_use]
    pub fn shown(&self, query: &str) -> Vec<String> {
        let mut root = self.connect_as_root();
        root.query_drop(format!("USE {}", MariaDb::DATABASE)).unwrap();
        root.query_map(query, |row: mysql::Row| {
            let values: Vec<_> = row.unwrap().into_iter().map(|value| value.as_sql(true)).collect();
            values.join(" ")
        })
        .unwrap()
    }

    /// Kills it, as a power cut would.
    pub fn stop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Starts it again, with what it had.
    pub fn start_again(&mut self) {
        self.child = launch(&self.program, self.folder.path(), self.port);
        drop(self.connect_as_root());
    }
}

impl Drop for MariaDb {
    fn drop(&mut self) {
        self.stop();
    }
}

/// The server refuses to run as root unless told to.
fn as_root() -> Option<&'static str> {
    std::fs::metadata("/proc/self")
        .is_ok_and(|own| std::os::unix::fs::MetadataExt::uid(&own) == 0)
        .then_some("--user=root")
}

fn launch(program: &Path, folder: &Path, port: u16) -> Child {
    Command::new(program)
        .arg("--no-defaults")
        .arg(format!("--datadir={}", folder.join("data").display()))
        .arg(format!("--socket={}", folder.join("socket").display()))
        .arg(format!("--pid-file={}", folder.join("pid").display()))
        .arg(format!("--port={port}"))
        .args(["--bind-address=127.0.0.1", "--skip-log-bin", "--innodb-flush-log-at-trx-commit=2"])
        .args(["--innodb-buffer-pool-size=16M", "--sql-mode=STRICT_ALL_TABLES"])
        .args(as_root())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("mariadbd starts")
}
