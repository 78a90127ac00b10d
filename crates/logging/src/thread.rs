//! The thread of one sink.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::backlog::Backlog;
use crate::{Mute, Record, Sink, SinkError};

/// Most records in one batch: a few milliseconds of a database's time on a Raspberry Pi.
const BATCH: usize = 256;
/// Pause after a failure; doubled with each further one.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
/// Longest pause: whoever mends a database sees it work within a minute.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// Refused records are spoken of this often at most.
const REFUSALS_EVERY: Duration = Duration::from_secs(3600);

/// How a sink is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Health {
    /// Its section of the configuration.
    pub key: &'static str,
    /// What is wrong now, if anything.
    pub trouble: Option<String>,
    /// Records that wait.
    pub waiting: usize,
    /// Records lost since the start: dropped because too many waited, or refused.
    pub lost: u64,
}

#[derive(Debug)]
struct State {
    backlog: Backlog,
    /// Set while a batch is with the sink.
    is_writing: bool,
    is_urgent: bool,
    is_ending: bool,
    has_ended: bool,
    refused: u64,
    trouble: Option<String>,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Every change under this lock is complete in itself: a panic elsewhere leaves nothing half done.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'s>(&self, state: MutexGuard<'s, State>, time: Duration) -> MutexGuard<'s, State> {
        self.changed.wait_timeout(state, time).unwrap_or_else(PoisonError::into_inner).0
    }

    /// Waits for `done`, `patience` at most. Whether it came.
    fn wait_until(
        &self,
        patience: Duration,
        mut change: impl FnMut(&mut State),
        done: impl Fn(&State) -> bool,
    ) -> bool {
        let deadline = Instant::now() + patience;
        let mut state = self.lock();
        change(&mut state);
        self.changed.notify_all();
        while !done(&state) {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            state = self.wait(state, left);
        }
        true
    }
}

/// A sink with its thread and what waits for it.
#[derive(Debug)]
pub(crate) struct SinkThread {
    key: &'static str,
    shared: Arc<Shared>,
    wants: [bool; 5],
    mute: Mute,
    thread: Option<JoinHandle<()>>,
}

impl SinkThread {
    pub fn start(sink: Box<dyn Sink>, mute: Mute) -> std::io::Result<SinkThread> {
        let state = State {
            backlog: Backlog::new(sink.backlog()),
            is_writing: false,
            is_urgent: false,
            is_ending: false,
            has_ended: false,
            refused: 0,
            trouble: None,
        };
        let shared = Arc::new(Shared { state: Mutex::new(state), changed: Condvar::new() });
        let wants = ALL_KINDS.map(|kind| sink.wants(kind));
        let key = sink.key();
        let worker = Worker { sink, shared: Arc::clone(&shared), pause: FIRST_PAUSE, refusal_told: None };
        let thread =
            std::thread::Builder::new().name(key.to_owned()).stack_size(512 * 1024).spawn(move || worker.run())?;
        Ok(SinkThread { key, shared, wants, mute, thread: Some(thread) })
    }

    pub fn key(&self) -> &'static str {
        self.key
    }

    /// Queues a record if the sink wants it. Never waits for the sink.
    pub fn record(&self, record: &Record) {
        let wanted = ALL_KINDS.iter().zip(self.wants).any(|(kind, wants)| wants && *kind == record.kind());
        if !wanted || self.mute.covers(record) {
            return;
        }
        let mut state = self.shared.lock();
        state.is_urgent |= matches!(record, Record::Session(_));
        state.backlog.push(record.clone());
        drop(state);
        self.shared.changed.notify_all();
    }

    pub fn health(&self) -> Health {
        let state = self.shared.lock();
        Health {
            key: self.key,
            trouble: state.trouble.clone(),
            waiting: state.backlog.len(),
            lost: state.backlog.dropped() + state.refused,
        }
    }

    /// Waits until all is written or cannot be, `patience` at most.
    pub fn flush(&self, patience: Duration) {
        let is_done = |state: &State| {
            !state.is_writing && (state.backlog.len() == 0 || state.trouble.is_some()) || state.has_ended
        };
        self.shared.wait_until(patience, |state| state.is_urgent = true, is_done);
    }

    /// Writes what waits, once, and ends the thread; one that hangs in its sink is left behind after `patience`.
    pub fn shutdown(&mut self, patience: Duration) {
        let ended = self.shared.wait_until(patience, |state| state.is_ending = true, |state| state.has_ended);
        if let Some(thread) = self.thread.take()
            && ended
            && thread.join().is_err()
        {
            log::error!("{}: its thread failed inside while it ended", self.key);
        }
    }
}

const ALL_KINDS: [crate::Kind; 5] = [
    crate::Kind::ChargeSessions,
    crate::Kind::GreenEnergy,
    crate::Kind::SlaveStatus,
    crate::Kind::SlavePower,
    crate::Kind::Line,
];

struct Worker {
    sink: Box<dyn Sink>,
    shared: Arc<Shared>,
    pause: Duration,
    refusal_told: Option<Instant>,
}

impl Worker {
    fn run(mut self) {
        while let Some(batch) = self.next_batch() {
            let result = catch_unwind(AssertUnwindSafe(|| self.sink.write(&batch)))
                .unwrap_or_else(|_| Err(SinkError::refused("it failed inside; please report it with the log")));
            match result {
                Ok(()) => self.went_well(),
                Err(SinkError::Refused { written, reason }) => {
                    self.went_well();
                    self.skip(batch, written, &reason);
                }
                Err(SinkError::Down { written, reason }) => self.went_down(batch, written, reason),
            }
        }
        let mut state = self.shared.lock();
        let sessions = state.backlog.sessions();
        state.has_ended = true;
        drop(state);
        self.shared.changed.notify_all();
        if sessions > 0 {
            log::warn!(
                "{}: {sessions} sessions wait in the journal and are written after the next start",
                self.sink.key()
            );
        }
    }

    /// Waits for something to write and gathers a little longer unless it is urgent; `None` when it is time to end.
    fn next_batch(&self) -> Option<Vec<Record>> {
        let mut state = self.shared.lock();
        state.is_writing = false;
        self.shared.changed.notify_all();
        while state.backlog.len() == 0 && !state.is_ending {
            state.is_urgent = false;
            state = self.shared.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        let deadline = Instant::now() + self.sink.gather();
        while !state.is_urgent && !state.is_ending && state.backlog.len() < BATCH {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            state = self.shared.wait(state, left);
        }
        if state.backlog.len() == 0 || (state.is_ending && state.trouble.is_some()) {
            return None;
        }
        state.is_writing = true;
        Some(state.backlog.take(BATCH))
    }

    fn went_well(&mut self) {
        self.pause = FIRST_PAUSE;
        let mut state = self.shared.lock();
        let was_down = state.trouble.take().is_some();
        let lost = state.backlog.dropped();
        drop(state);
        if was_down {
            log::info!("{}: works again; what waited is written now, {lost} samples were lost", self.sink.key());
        }
    }

    fn skip(&mut self, batch: Vec<Record>, written: usize, reason: &str) {
        let mut state = self.shared.lock();
        state.refused += 1;
        state.backlog.put_back(batch.into_iter().skip(written + 1));
        drop(state);
        if self.refusal_told.is_none_or(|at| at.elapsed() >= REFUSALS_EVERY) {
            self.refusal_told = Some(Instant::now());
            log::error!("{}: a record is left out: {reason}", self.sink.key());
        }
    }

    fn went_down(&mut self, batch: Vec<Record>, written: usize, reason: String) {
        let mut state = self.shared.lock();
        state.backlog.put_back(batch.into_iter().skip(written));
        let is_news = state.trouble.is_none();
        state.trouble = Some(reason.clone());
        state.is_writing = false;
        drop(state);
        self.shared.changed.notify_all();
        if is_news {
            log::error!("{}: {reason}. What is to be written waits in memory", self.sink.key());
        }
        let until = Instant::now() + self.pause;
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        let mut state = self.shared.lock();
        while !state.is_ending && Instant::now() < until {
            let left = until.saturating_duration_since(Instant::now());
            state = self.shared.wait(state, left);
        }
    }
}
