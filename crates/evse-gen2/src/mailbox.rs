//! What other threads put before the bus thread, and what wakes it.

use std::collections::{BTreeMap, VecDeque};
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::{Mutex, MutexGuard, PoisonError};

use evse::Target;
use gen2_protocol::{RequestKind, TwcId};
use units::Amps;

/// Commands beyond this are refused: a bus of 9600 baud cannot be that far behind.
const MOST_COMMANDS: usize = 64;

/// Something for the bus thread to do.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Command {
    /// Let the car start.
    Start(TwcId),
    /// Stop the car by the configured means.
    Stop(TwcId),
    /// A person wants it to start: also by message.
    StartOnRequest(TwcId),
    /// A person wants it stopped: by message, whatever is configured.
    StopOnRequest(TwcId),
    /// A question that a person asked for.
    Ask(TwcId, RequestKind),
    /// Announce the controller anew.
    Announce,
}

/// Everything that waits for the bus thread.
#[derive(Debug, Default)]
pub(crate) struct Mail {
    /// The latest target of each connector.
    pub(crate) targets: BTreeMap<TwcId, Target>,
    /// The latest circuit limit, when it was set: `Some(None)` lifts it.
    pub(crate) circuit_limit: Option<Option<Amps>>,
    /// Spike switches, when they were set: proactively, reactively.
    pub(crate) spikes: Option<(bool, bool)>,
    /// Commands in order.
    pub(crate) commands: VecDeque<Command>,
    /// Whether the thread shall end.
    pub(crate) stop: bool,
    ended: bool,
}

/// Why mail was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Undelivered {
    /// The thread has ended.
    Ended,
    /// Too much waits already.
    Full,
}

/// The bus thread's mailbox. Putting something in never blocks for longer than a few instructions.
#[derive(Debug)]
pub(crate) struct Mailbox {
    mail: Mutex<Mail>,
    bell: UnixStream,
    ear: UnixStream,
}

impl Mailbox {
    pub(crate) fn new() -> io::Result<Self> {
        let (bell, ear) = UnixStream::pair()?;
        bell.set_nonblocking(true)?;
        ear.set_nonblocking(true)?;
        Ok(Mailbox { mail: Mutex::default(), bell, ear })
    }

    /// Changes what waits and wakes the thread.
    pub(crate) fn put(&self, change: impl FnOnce(&mut Mail)) -> Result<(), Undelivered> {
        let mut mail = self.lock();
        if mail.ended {
            return Err(Undelivered::Ended);
        }
        change(&mut mail);
        drop(mail);
        self.ring();
        Ok(())
    }

    pub(crate) fn command(&self, command: Command) -> Result<(), Undelivered> {
        let mut mail = self.lock();
        if mail.ended {
            return Err(Undelivered::Ended);
        }
        if mail.commands.len() >= MOST_COMMANDS {
            return Err(Undelivered::Full);
        }
        mail.commands.push_back(command);
        drop(mail);
        self.ring();
        Ok(())
    }

    /// Takes everything that waits; the wish to stop stays.
    pub(crate) fn take(&self) -> Mail {
        let mut mail = self.lock();
        let stop = mail.stop;
        let taken = std::mem::take(&mut *mail);
        mail.stop = stop;
        mail.ended = taken.ended;
        taken
    }

    pub(crate) fn must_stop(&self) -> bool {
        self.lock().stop
    }

    /// Nothing is taken any more.
    pub(crate) fn end(&self) {
        self.lock().ended = true;
    }

    pub(crate) fn ring(&self) {
        // A full pipe means that the thread will wake anyhow.
        let _full_is_fine = (&self.bell).write(&[1]);
    }

    /// Silences the bell after waking up.
    pub(crate) fn hush(&self) {
        let mut rings = [0; 64];
        while matches!((&self.ear).read(&mut rings), Ok(count) if count > 0) {}
    }

    /// Readable while the bell rings.
    pub(crate) fn ear(&self) -> BorrowedFd<'_> {
        self.ear.as_fd()
    }

    fn lock(&self) -> MutexGuard<'_, Mail> {
        self.mail.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
