//! Where log lines and records go: standard output at first, then what the configuration switches on.

use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use config::Config;
use control_http::{LogOutput, LogOutputs};
use journal::{Entry, Journal, Store};
use log::LevelFilter;
use logging::{Fanout, Logger, Mute, Record, Sink, SnapshotScribe};
use logging_console::Console;
use logging_csv::Csv;
use logging_file::FileLog;
use logging_mysql::{MySql, Server};
use logging_sentry::Sentry;
use logging_sqlite::Sqlite;
use site::SitePort;

use crate::outlets::{counter_of, session_of};

/// How often the site is looked at for samples; they have longer rhythms of their own.
const LOOK_EVERY: Duration = Duration::from_secs(10);
/// What is being written when the program ends gets this long.
const END_PATIENCE: Duration = Duration::from_secs(3);
/// Sinks that were away when the program ended get the sessions of this time once more.
const CATCH_UP: Duration = Duration::from_secs(31 * 24 * 3600);
/// Sentry's own variable for where a program runs.
const ENVIRONMENT: &str = "SENTRY_ENVIRONMENT";

/// The logger and all sinks.
#[derive(Clone)]
pub struct Logs {
    logger: &'static Logger,
    verbosity: LevelFilter,
}

impl Logs {
    /// Starts logging, to standard output for what runs on, to standard error for commands whose result goes to standard
    /// output. `RUST_LOG` wins over `verbosity` (0 info, 1 debug, 2 trace); `is_check` is for commands that print their
    /// findings themselves.
    pub fn start(verbosity: u8, is_check: bool, runs_on: bool) -> Logs {
        let level = match (verbosity, is_check) {
            (0, true) => LevelFilter::Error,
            (0, false) => LevelFilter::Info,
            (1, _) => LevelFilter::Debug,
            _ => LevelFilter::Trace,
        };
        let fanout = Arc::new(Fanout::new());
        let console = if runs_on { Console::stdout(false, true) } else { Console::stderr(false, true) };
        fanout.add(Box::new(console), Mute::default());
        let verbosity = if verbosity == 0 { LevelFilter::Off } else { level };
        Logs { logger: Logger::install(fanout, level), verbosity }
    }

    /// Switches to what the configuration says. Nothing is opened or connected here: each sink does that on its thread.
    pub fn configure(&self, config: &Config) {
        let sinks = &config.logging;
        self.logger.set_level(logging::level_of(config.site.log_level).max(self.verbosity));
        let is_asked_for = self.verbosity != LevelFilter::Off || Logger::is_overruled();
        match sinks.console {
            Some(console) if console.simple || !sinks.use_icons => {
                self.fanout().remove(Console::KEY, END_PATIENCE);
                self.add(Console::stdout(console.simple, sinks.use_icons), config::Mute::default());
            }
            None if !is_asked_for => self.fanout().remove(Console::KEY, END_PATIENCE),
            _ => {}
        }
        if let Some(file) = &sinks.file {
            self.add(FileLog::new(file.path.clone(), sinks.use_icons), file.mute);
        }
        if let Some(csv) = &sinks.csv {
            self.add(Csv::new(csv.path.clone()), csv.mute);
        }
        if let Some(sqlite) = &sinks.sqlite {
            self.add(Sqlite::new(sqlite.path.clone()), sqlite.mute);
        }
        if let Some(mysql) = &sinks.mysql {
            self.add(MySql::new(server_of(mysql)), mysql.mute);
        }
        if let Some(sentry) = &sinks.sentry {
            match sentry_of(sentry) {
                Ok(sink) => self.add(sink, sentry.mute),
                Err(error) => log::error!("{error}. Until then no error is reported"),
            }
        }
    }

    /// All sinks.
    pub fn fanout(&self) -> &Arc<Fanout> {
        self.logger.fanout()
    }

    /// How they are doing, for whoever asks over HTTP.
    pub fn outputs(&self) -> Arc<dyn LogOutputs> {
        Arc::new(Outputs(Arc::clone(self.fanout())))
    }

    /// Gives the sinks the last weeks' sessions of the journal once more: one that was away when the program ended gets what
    /// it missed, the others find them written already.
    pub fn catch_up(&self, journal: &Path, now_ms: i64) {
        let since = now_ms.saturating_sub(i64::try_from(CATCH_UP.as_millis()).unwrap_or(i64::MAX));
        let sessions = match Store::open_for_reading(journal).and_then(|store| store.sessions(since, i64::MAX)) {
            Ok(sessions) => sessions,
            Err(error) => return log::debug!("sinks cannot catch up: {error}"),
        };
        for session in sessions.into_iter().filter(|session| session.ended_ms.is_some() && session.charging_ms > 0) {
            self.fanout().record(Record::Session(logging::session_of(&session_of(session))));
        }
    }

    /// Starts to write down samples of the site: for the sinks, and those of counters for the journal.
    pub fn watch(&self, site: Arc<dyn SitePort>, generation_is_delivery: bool, journal: Option<Arc<Journal>>) -> Watch {
        let (stop, stopped) = sync_channel::<()>(1);
        let fanout = Arc::clone(self.fanout());
        let thread = std::thread::Builder::new().name("records".to_owned()).stack_size(256 * 1024).spawn(move || {
            let mut scribe = SnapshotScribe::new(generation_is_delivery);
            while let Err(RecvTimeoutError::Timeout) = stopped.recv_timeout(LOOK_EVERY) {
                let snapshot = site.snapshot();
                scribe.limit_lines(&snapshot).iter().for_each(|line| log::info!(target: "site::limit", "{line}"));
                for note in scribe.on_snapshot(&snapshot) {
                    if let (Some(journal), Record::SlaveStatus(status)) = (&journal, &note.record)
                        && let Some(evse) = twc_names::evse_named(&snapshot, &status.evse)
                    {
                        journal.record(Entry::Counter(counter_of(status, evse.id.clone())));
                    }
                    note.tell(&fanout);
                }
            }
        });
        let thread = thread.map_err(|error| log::error!("samples will not be written down: {error}")).ok();
        Watch { stop, thread }
    }

    /// Writes what waits and ends all sinks.
    pub fn end(&self) {
        self.fanout().shutdown(END_PATIENCE);
    }

    fn add(&self, sink: impl Sink + 'static, mute: config::Mute) {
        let config::Mute { charge_sessions, green_energy, slave_power, slave_status } = mute;
        self.fanout().add(Box::new(sink), Mute { charge_sessions, green_energy, slave_power, slave_status });
    }
}

/// How the sinks are doing.
#[derive(Debug)]
struct Outputs(Arc<Fanout>);

impl LogOutputs for Outputs {
    fn outputs(&self) -> Vec<LogOutput> {
        let told = |health: logging::Health| {
            let logging::Health { key, trouble, waiting, lost } = health;
            LogOutput { key: key.to_owned(), trouble, waiting, lost }
        };
        self.0.health().into_iter().map(told).collect()
    }
}

/// As configured.
pub fn sentry_of(sentry: &config::Sentry) -> Result<Sentry, impl std::fmt::Display + use<>> {
    let environment = std::env::var(ENVIRONMENT).unwrap_or_else(|_| "production".to_owned());
    Sentry::new(sentry.dsn.reveal(), env!("CARGO_PKG_VERSION"), &environment)
}

/// Where the configuration says that the server is.
pub fn server_of(mysql: &config::MySql) -> Server {
    Server {
        host: mysql.host.clone(),
        port: mysql.port,
        database: mysql.database.clone(),
        username: mysql.username.clone(),
        password: mysql.password.as_ref().map(|password| password.reveal().to_owned()),
    }
}

/// The thread that writes down samples.
pub struct Watch {
    /// The thread ends when this is gone.
    stop: SyncSender<()>,
    thread: Option<JoinHandle<()>>,
}

impl Watch {
    /// Ends it.
    pub fn end(self) {
        drop(self.stop);
        if self.thread.is_some_and(|thread| thread.join().is_err()) {
            log::error!("the thread that writes down samples failed inside; please report it with the log");
        }
    }
}
