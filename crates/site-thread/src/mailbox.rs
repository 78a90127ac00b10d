//! The one bounded queue before the site. What happens when it is full depends on the kind of message.
//!
//! | message | when there are too many |
//! | --- | --- |
//! | reading or failure of a source | the newer replaces the older of the same source |
//! | state of a charging point | one note per charging point: its newest state is looked up when it is read |
//! | what is known of all cars, how saving the settings went | the newest counts |
//! | event of a controller | the oldest is dropped, and counted |
//! | command, question about the policies | refused with an answer |

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use ems::{EmsError, EmsReading};
use ems_host::ReadingSink;
use evse::{ControllerEvent, EvseId, EvseInstance, EvseListener};
use jiff::Zoned;
use serde_json::Value;
use site::{CarsFacts, Command, Refusal, RefusalKind};

/// Most events waiting; a site has a handful a day.
const MOST_EVENTS: usize = 256;
/// Most commands waiting; each is taken within milliseconds.
const MOST_COMMANDS: usize = 64;

/// A command and where its answer goes.
pub(crate) type Request = (Command, Sender<Result<(), Refusal>>);

/// A question about the policies at a moment (now when `None`) and where its answer goes.
pub(crate) type Question = (Option<Zoned>, Sender<Value>);

/// All that waits, taken out at once.
#[derive(Default)]
pub(crate) struct Letters {
    pub readings: BTreeMap<String, EmsReading>,
    pub troubles: BTreeMap<String, EmsError>,
    pub changed: BTreeMap<EvseId, Arc<dyn EvseInstance>>,
    pub gone: BTreeSet<EvseId>,
    pub events: VecDeque<ControllerEvent>,
    pub dropped_events: u64,
    pub commands: VecDeque<Request>,
    pub questions: VecDeque<Question>,
    pub settings_saved: Option<Result<(), String>>,
    pub cars: Option<CarsFacts>,
    pub is_ending: bool,
}

impl Letters {
    fn is_empty(&self) -> bool {
        self.readings.is_empty()
            && self.troubles.is_empty()
            && self.changed.is_empty()
            && self.gone.is_empty()
            && self.events.is_empty()
            && self.commands.is_empty()
            && self.questions.is_empty()
            && self.settings_saved.is_none()
            && self.cars.is_none()
            && !self.is_ending
    }
}

/// Where drivers, controllers and front ends put what the site should know. Nothing here waits.
#[derive(Default)]
pub struct Mailbox {
    letters: Mutex<Letters>,
    arrived: Condvar,
}

impl Mailbox {
    /// Asks the site's thread to end.
    pub fn end(&self) {
        self.put(|letters| letters.is_ending = true);
    }

    /// Tells how the last attempt to save the settings went.
    pub fn settings_saved(&self, result: Result<(), String>) {
        self.put(|letters| letters.settings_saved = Some(result));
    }

    /// Tells what is known of all cars; the newest counts.
    pub fn cars(&self, cars: CarsFacts) {
        self.put(|letters| letters.cars = Some(cars));
    }

    /// Queues a command; the answer comes through the receiver.
    pub(crate) fn command(&self, command: Command) -> Result<Receiver<Result<(), Refusal>>, Refusal> {
        let mut letters = self.lock();
        if letters.is_ending || letters.commands.len() >= MOST_COMMANDS {
            let text = "too many commands are waiting, or the program is ending; try again in a moment".to_owned();
            return Err(Refusal { kind: RefusalKind::Busy, text });
        }
        let (sender, receiver) = channel();
        letters.commands.push_back((command, sender));
        drop(letters);
        self.arrived.notify_one();
        Ok(receiver)
    }

    /// Queues a question about the policies; `None` when too many wait or the program is ending.
    pub(crate) fn explain(&self, at: Option<Zoned>) -> Option<Receiver<Value>> {
        let mut letters = self.lock();
        if letters.is_ending || letters.questions.len() >= MOST_COMMANDS {
            return None;
        }
        let (sender, receiver) = channel();
        letters.questions.push_back((at, sender));
        drop(letters);
        self.arrived.notify_one();
        Some(receiver)
    }

    /// Waits until something is there or `deadline` has come, and takes all of it.
    pub(crate) fn take(&self, deadline: Option<Instant>) -> Letters {
        let mut letters = self.lock();
        while letters.is_empty() {
            match deadline {
                None => letters = self.arrived.wait(letters).unwrap_or_else(PoisonError::into_inner),
                Some(deadline) => {
                    let left = deadline.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        break;
                    }
                    letters = self.arrived.wait_timeout(letters, left).unwrap_or_else(PoisonError::into_inner).0;
                }
            }
        }
        let is_ending = letters.is_ending;
        let taken = std::mem::take(&mut *letters);
        letters.is_ending = is_ending;
        taken
    }

    fn put(&self, change: impl FnOnce(&mut Letters)) {
        change(&mut self.lock());
        self.arrived.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, Letters> {
        // Each change is one insertion: a panic elsewhere leaves nothing half done.
        self.letters.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ReadingSink for Mailbox {
    fn reading(&self, source: &str, reading: EmsReading) {
        self.put(|letters| {
            letters.troubles.remove(source);
            letters.readings.insert(source.to_owned(), reading);
        });
    }

    fn trouble(&self, source: &str, error: EmsError) {
        self.put(|letters| {
            letters.troubles.insert(source.to_owned(), error);
        });
    }
}

impl EvseListener for Mailbox {
    fn changed(&self, instance: &Arc<dyn EvseInstance>) {
        self.put(|letters| {
            letters.gone.remove(instance.id());
            letters.changed.insert(instance.id().clone(), Arc::clone(instance));
        });
    }

    fn gone(&self, id: &EvseId) {
        self.put(|letters| {
            letters.changed.remove(id);
            letters.gone.insert(id.clone());
        });
    }

    fn event(&self, event: ControllerEvent) {
        self.put(|letters| {
            if letters.events.len() >= MOST_EVENTS {
                letters.events.pop_front();
                letters.dropped_events += 1;
            }
            letters.events.push_back(event);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_newer_reading_replaces_one_that_waits() {
        let mailbox = Mailbox::default();
        let reading = |soc: f64| EmsReading { battery_soc: units::Percent::new(soc).ok(), ..EmsReading::now() };
        mailbox.trouble("meter", EmsError::retry("no answer"));
        mailbox.reading("meter", reading(10.0));
        mailbox.reading("meter", reading(20.0));
        let letters = mailbox.take(None);
        assert_eq!(letters.readings["meter"].battery_soc, units::Percent::new(20.0).ok());
        assert!(letters.troubles.is_empty());
    }

    #[test]
    fn commands_beyond_the_limit_are_refused_with_an_answer() {
        let mailbox = Mailbox::default();
        let answers: Vec<_> = (0..MOST_COMMANDS).map(|_| mailbox.command(Command::CancelChargeNow).unwrap()).collect();
        assert_eq!(mailbox.command(Command::CancelChargeNow).unwrap_err().kind, RefusalKind::Busy);
        drop(answers);
    }

    #[test]
    fn the_end_stays_asked_for() {
        let mailbox = Mailbox::default();
        mailbox.end();
        assert!(mailbox.take(None).is_ending);
        assert!(mailbox.take(None).is_ending);
    }
}
