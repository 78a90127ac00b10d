//! The `log` backend: filters once, formats once, hands the line to every sink.

use std::panic::PanicHookInfo;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use env_filter::{Builder, Filter};
use log::{LevelFilter, Log, Metadata};

use crate::{Fanout, Line};

/// What these libraries say below `warn` is about sockets, not about cars.
const LIBRARIES: [&str; 6] = ["rustls", "ureq", "ureq_proto", "rumqttc", "serialport", "mysql"];
/// The environment variable that wins over the configuration.
const VARIABLE: &str = "RUST_LOG";
/// Longest wait of [`log::Log::flush`].
const FLUSH_PATIENCE: Duration = Duration::from_secs(2);
/// The target of lines about panics; Sentry takes these for fatal.
pub(crate) const PANIC: &str = "panic";

/// Passes lines of the `log` crate to sinks. Logging never waits for any of them.
#[derive(Debug)]
pub struct Logger {
    filter: RwLock<Filter>,
    fanout: Arc<Fanout>,
}

impl Logger {
    /// Becomes the program's logger. `RUST_LOG` wins over `level`. Panics are logged as errors, with the thread's name.
    /// Where there is a logger already (in tests), that one stays.
    #[must_use]
    pub fn install(fanout: Arc<Fanout>, level: LevelFilter) -> &'static Logger {
        // One for the program's life; `log` asks for that.
        let logger: &'static Logger = Box::leak(Box::new(Logger { filter: RwLock::new(filter(level)), fanout }));
        if log::set_logger(logger).is_ok() {
            logger.set_level(level);
            std::panic::set_hook(Box::new(tell_panic));
        }
        logger
    }

    /// Another level, from the configuration. `RUST_LOG` still wins.
    pub fn set_level(&self, level: LevelFilter) {
        let filter = filter(level);
        log::set_max_level(filter.filter());
        *self.filter.write().unwrap_or_else(PoisonError::into_inner) = filter;
    }

    /// Where its lines go.
    #[must_use]
    pub fn fanout(&self) -> &Arc<Fanout> {
        &self.fanout
    }

    /// Whether `RUST_LOG` says what is logged.
    #[must_use]
    pub fn is_overruled() -> bool {
        std::env::var_os(VARIABLE).is_some_and(|value| !value.is_empty())
    }
}

impl Log for Logger {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        self.filter.read().unwrap_or_else(PoisonError::into_inner).enabled(metadata)
    }

    fn log(&self, record: &log::Record<'_>) {
        if !self.filter.read().unwrap_or_else(PoisonError::into_inner).matches(record) {
            return;
        }
        self.fanout.record(Line::now(record.level(), record.target(), &record.args().to_string()).into());
    }

    fn flush(&self) {
        self.fanout.flush(FLUSH_PATIENCE);
    }
}

fn filter(level: LevelFilter) -> Filter {
    let mut builder = Builder::new();
    builder.filter_level(level);
    for library in LIBRARIES {
        builder.filter_module(library, level.min(LevelFilter::Warn));
    }
    if let Ok(wish) = std::env::var(VARIABLE)
        && !wish.is_empty()
    {
        builder.parse(&wish);
    }
    builder.build()
}

fn tell_panic(panic: &PanicHookInfo<'_>) {
    let thread = std::thread::current();
    let name = thread.name().unwrap_or("without a name");
    let place = panic.location().map_or_else(String::new, |place| format!(" at {place}"));
    let payload = panic.payload();
    let owned = payload.downcast_ref::<String>().map(String::as_str);
    let message = payload.downcast_ref::<&str>().copied().or(owned).unwrap_or("something without words");
    log::error!(target: PANIC, "the thread {name} failed inside{place}: {message}");
}

#[cfg(test)]
mod tests {
    use log::Level;

    use super::*;

    #[test]
    fn libraries_are_quieter_than_the_program() {
        let filter = filter(LevelFilter::Debug);
        let passes = |level, target| filter.enabled(&Metadata::builder().level(level).target(target).build());
        assert!(passes(Level::Debug, "site::surplus"));
        assert!(!passes(Level::Trace, "site::surplus"));
        assert!(!passes(Level::Info, "ureq::pool"));
        assert!(passes(Level::Warn, "rustls"));
    }
}
