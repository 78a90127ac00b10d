//! The trait, and how a driver is found by its name.

use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::{EmsError, EmsReading, Section, Stop};

/// How often a polled source is asked unless its driver says otherwise; TWCManager cached for as long.
const DEFAULT_INTERVAL: Duration = Duration::from_secs(10);

/// When a driver is asked again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// Ask so long after the last time.
    Every(Duration),
    /// Ask again at once: `read` itself waits until the device pushes something.
    Pushed,
}

/// One source of readings.
///
/// # For those who implement it
/// `read` runs on a thread of the driver's own and may block, but never without a time-out: at most about ten seconds for
/// a polled source. A pushed source waits inside `read` until something arrives, looking at `stop` at least once a second
/// (`stop.wait`, or a receive with a time-out), and gives an error once the device has been silent for longer than it ever
/// should be. A channel that the device lacks is `None`. An error is a sentence that tells what to do; log nothing, the
/// loop does that once. Dropping the driver must end whatever it started.
///
/// # For those who call it
/// One call at a time, from one thread.
pub trait Ems: Send {
    /// Reads the source once.
    ///
    /// # Errors
    /// By what can be done about it; see [`crate::EmsErrorKind`].
    fn read(&mut self, stop: &Stop) -> Result<EmsReading, EmsError>;

    /// When to be asked again after a success.
    fn pace(&self) -> Pace {
        Pace::Every(DEFAULT_INTERVAL)
    }
}

/// What drivers of one program share, by type: the connections to a broker, for instance.
#[derive(Default)]
pub struct Shared {
    services: Mutex<HashMap<TypeId, Arc<dyn Any + Send + Sync>>>,
}

impl Shared {
    /// Nothing shared yet.
    #[must_use]
    pub fn new() -> Self {
        Shared::default()
    }

    /// The one value of type `T`, made on first use.
    pub fn get<T: Default + Send + Sync + 'static>(&self) -> Arc<T> {
        let mut services = self.services.lock().unwrap_or_else(PoisonError::into_inner);
        let service = services.entry(TypeId::of::<T>()).or_insert_with(|| Arc::new(T::default()));
        // The map is keyed by the type, so the value under it has that type.
        Arc::clone(service).downcast::<T>().unwrap_or_default()
    }

    /// Puts a ready value of type `T` in, for services that need settings of their own; replaces an earlier one.
    pub fn put<T: Send + Sync + 'static>(&self, service: Arc<T>) {
        self.services.lock().unwrap_or_else(PoisonError::into_inner).insert(TypeId::of::<T>(), service);
    }
}

/// What a configuration key holds, for the schema, the documentation and the check of unknown keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyKind {
    /// A text.
    Text,
    /// A text that is never shown.
    Secret,
    /// A number.
    Number,
    /// A port, as number or text.
    Port,
    /// Yes or no.
    Flag,
    /// A text or a list of texts.
    Texts,
    /// A list of numbers.
    Numbers,
    /// An object or a list of objects.
    Objects,
}

/// One key of a driver's section.
#[derive(Debug, Clone, Copy)]
pub struct KeySpec {
    /// Its name in `config.json`.
    pub name: &'static str,
    /// What it holds.
    pub kind: KeyKind,
    /// One sentence: meaning, unit, default.
    pub help: &'static str,
}

impl KeySpec {
    /// A key.
    #[must_use]
    pub const fn new(name: &'static str, kind: KeyKind, help: &'static str) -> Self {
        KeySpec { name, kind, help }
    }
}

/// A driver, for a registry: its name under `sources`, its keys and its factory.
#[derive(Clone, Copy)]
pub struct EmsDriver {
    /// Name of its section under `sources`.
    pub name: &'static str,
    /// One line about what it reads.
    pub summary: &'static str,
    /// Its keys, apart from `enabled`, which all have.
    pub keys: &'static [KeySpec],
    /// Makes a driver from its section. Mistakes are noted in the section; `None` when they leave nothing to start.
    ///
    /// Does no I/O: a device that is off at start is found when it is first read.
    pub open: fn(&mut Section, &Shared) -> Option<Box<dyn Ems>>,
}
