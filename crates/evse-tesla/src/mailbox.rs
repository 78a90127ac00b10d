//! What other threads put before the controller's thread.

use std::collections::{BTreeMap, VecDeque};
use std::sync::mpsc::Sender;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use evse::Target;
use garage::{CommandPolicy, ConnectorView, HomeSetting};
use units::Percent;
use vehicle::{Answer, CarKey, Report, Request, Trouble, VehicleListener};

/// Reports beyond this push out the oldest ones: newer ones say the same, and more.
const MOST_REPORTS: usize = 1024;
/// Commands beyond this are refused.
const MOST_COMMANDS: usize = 64;

/// A command, and who wants to hear what became of it.
#[derive(Debug)]
pub(crate) struct Command {
    pub(crate) car: CarKey,
    pub(crate) request: Request,
    pub(crate) reply: Option<Sender<Result<(), String>>>,
}

/// Something that was told by a source, in the order in which it was.
#[derive(Debug)]
pub(crate) enum Word {
    Report(Report),
    Answer(Answer),
    Trouble(String, Option<Trouble>),
}

/// Everything that waits. Of what is a state only the newest counts.
#[derive(Debug, Default)]
pub(crate) struct Mail {
    pub(crate) words: VecDeque<Word>,
    reports: usize,
    pub(crate) targets: BTreeMap<CarKey, Target>,
    /// Started or stopped by the site.
    pub(crate) orders: BTreeMap<CarKey, bool>,
    pub(crate) commands: VecDeque<Command>,
    pub(crate) connectors: BTreeMap<CarKey, Option<ConnectorView>>,
    pub(crate) permissions: BTreeMap<CarKey, Option<String>>,
    pub(crate) limit: Option<Option<Percent>>,
    pub(crate) policy: Option<CommandPolicy>,
    pub(crate) home: Option<HomeSetting>,
    pub(crate) re_arm: bool,
    pub(crate) resume: bool,
    pub(crate) stop: bool,
    is_news: bool,
    ended: bool,
    dropped: u64,
}

impl Mail {
    /// All of it; what holds for good stays.
    fn hand_over(&mut self) -> Mail {
        let (stop, ended, dropped) = (self.stop, self.ended, self.dropped);
        let taken = std::mem::take(self);
        (self.stop, self.ended, self.dropped) = (stop, ended, dropped);
        taken
    }
}

/// Why mail was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Undelivered {
    Ended,
    Full,
}

/// The thread's mailbox; putting something in never blocks for longer than a few instructions.
#[derive(Debug, Default)]
pub(crate) struct Mailbox {
    mail: Mutex<Mail>,
    bell: Condvar,
}

impl Mailbox {
    pub(crate) fn put(&self, change: impl FnOnce(&mut Mail)) -> Result<(), Undelivered> {
        let mut mail = self.lock();
        if mail.ended {
            return Err(Undelivered::Ended);
        }
        change(&mut mail);
        mail.is_news = true;
        self.bell.notify_all();
        Ok(())
    }

    pub(crate) fn command(&self, command: Command) -> Result<(), Undelivered> {
        let mut is_full = false;
        self.put(|mail| {
            is_full = mail.commands.len() >= MOST_COMMANDS;
            if !is_full {
                mail.commands.push_back(command);
            }
        })?;
        if is_full { Err(Undelivered::Full) } else { Ok(()) }
    }

    /// Waits for mail, at most until `deadline`, and takes all of it.
    pub(crate) fn take(&self, deadline: Instant) -> Mail {
        let mut mail = self.lock();
        while !mail.is_news && !mail.stop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            mail = self.bell.wait_timeout(mail, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        mail.hand_over()
    }

    /// Takes what waits, without waiting for more.
    pub(crate) fn take_waiting(&self) -> Mail {
        self.lock().hand_over()
    }

    pub(crate) fn must_stop(&self) -> bool {
        self.lock().stop
    }

    /// Reports that were pushed out.
    pub(crate) fn dropped(&self) -> u64 {
        self.lock().dropped
    }

    /// Nothing is taken any more.
    pub(crate) fn end(&self) {
        let mut mail = self.lock();
        *mail = Mail { ended: true, stop: true, dropped: mail.dropped, ..Mail::default() };
    }

    fn word(&self, word: Word) {
        let put = self.put(|mail| {
            if matches!(word, Word::Report(_)) {
                if mail.reports >= MOST_REPORTS
                    && let Some(oldest) = mail.words.iter().position(|word| matches!(word, Word::Report(_)))
                {
                    mail.words.remove(oldest);
                    mail.dropped += 1;
                    mail.reports -= 1;
                }
                mail.reports += 1;
            }
            mail.words.push_back(word);
        });
        if put.is_err() {
            log::trace!("TeslaCars has ended; news of a car is not listened to");
        }
    }

    fn lock(&self) -> MutexGuard<'_, Mail> {
        self.mail.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl VehicleListener for Mailbox {
    fn report(&self, report: Report) {
        self.word(Word::Report(report));
    }

    fn answered(&self, answer: Answer) {
        self.word(Word::Answer(answer));
    }

    fn trouble(&self, source: &str, trouble: Option<Trouble>) {
        self.word(Word::Trouble(source.to_owned(), trouble));
    }
}
