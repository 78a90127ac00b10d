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
    pub(crate) unknown_plug_in: bool,
    pub(crate) stop: bool,
    is_news: bool,
    ended: bool,
    dropped: u64,
    standing: Standing,
}

/// What was told once and holds until something else is told.
#[derive(Debug, Default)]
struct Standing {
    connectors: BTreeMap<CarKey, Option<ConnectorView>>,
    permissions: BTreeMap<CarKey, Option<String>>,
    limit: Option<Option<Percent>>,
    policy: Option<CommandPolicy>,
    home: Option<HomeSetting>,
}

impl Standing {
    fn note(&mut self, mail: &Mail) {
        self.connectors.extend(mail.connectors.iter().map(|(car, view)| (car.clone(), *view)));
        self.connectors.retain(|_, view| view.is_some());
        self.permissions.extend(mail.permissions.iter().map(|(car, why)| (car.clone(), why.clone())));
        self.permissions.retain(|_, why| why.is_some());
        self.limit = mail.limit.or(self.limit);
        self.policy = mail.policy.or(self.policy);
        self.home = mail.home.or(self.home);
    }
}

impl Mail {
    /// All of it; what holds for good stays.
    fn hand_over(&mut self) -> Mail {
        let mut standing = std::mem::take(&mut self.standing);
        standing.note(self);
        let (stop, ended, dropped) = (self.stop, self.ended, self.dropped);
        let taken = std::mem::take(self);
        (self.stop, self.ended, self.dropped, self.standing) = (stop, ended, dropped, standing);
        taken
    }

    /// Puts back what holds and was handed over already; what waits is newer.
    fn remind(&mut self) {
        let mut standing = std::mem::take(&mut self.standing);
        standing.note(self);
        (self.limit, self.policy, self.home) = (standing.limit, standing.policy, standing.home);
        self.connectors.extend(standing.connectors.iter().map(|(car, view)| (car.clone(), *view)));
        self.permissions.extend(standing.permissions.iter().map(|(car, why)| (car.clone(), why.clone())));
        self.standing = standing;
        self.is_news = true;
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

    /// What the site told once waits again, as it stands now: whoever took it is gone.
    pub(crate) fn remind(&self) {
        self.lock().remind();
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_begins_anew_hears_what_stands_and_nothing_older() {
        let mailbox = Mailbox::default();
        let car = |name: &str| CarKey::Name(name.to_owned());
        let (red, blue) = (car("red"), car("blue"));
        let view = ConnectorView { draw: None, plugged: true, offered: None };
        let put = |change: &dyn Fn(&mut Mail)| mailbox.put(change).unwrap();
        put(&|mail| {
            mail.limit = Some(Percent::new(80.0).ok());
            mail.permissions.extend([(red.clone(), Some("no".to_owned())), (blue.clone(), Some("no".to_owned()))]);
            mail.connectors.insert(red.clone(), Some(view));
        });
        drop(mailbox.take_waiting());
        put(&|mail| drop(mail.permissions.insert(blue.clone(), None)));
        drop(mailbox.take_waiting());
        put(&|mail| mail.connectors.extend([(red.clone(), None)]));
        mailbox.remind();
        let mail = mailbox.take_waiting();
        assert_eq!(mail.limit, Some(Percent::new(80.0).ok()));
        assert_eq!(mail.permissions, BTreeMap::from([(red.clone(), Some("no".to_owned()))]));
        assert!(!mail.connectors.values().any(Option::is_some), "what waits is newer");
        assert!(mailbox.take_waiting().permissions.is_empty(), "once");
    }
}
