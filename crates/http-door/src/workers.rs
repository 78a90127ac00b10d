//! The threads that run the handler, and the two queues between them and the door's own thread.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use crate::request::Request;
use crate::response::Response;
use crate::server::Handler;

/// Which connection; a slot is used again, a serial never.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ConnectionId {
    pub(crate) slot: usize,
    pub(crate) serial: u64,
}

/// A request on its way to a handler.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) connection: ConnectionId,
    pub(crate) request: Request,
}

/// Requests that wait for a worker. Each connection has one at most, but requests of clients that have left wait on.
#[derive(Debug)]
pub(crate) struct Jobs {
    most: usize,
    state: Mutex<JobsState>,
    ready: Condvar,
}

#[derive(Debug, Default)]
struct JobsState {
    queue: VecDeque<Job>,
    is_closed: bool,
}

impl Jobs {
    /// A queue for at most so many requests.
    pub(crate) fn new(most: usize) -> Jobs {
        Jobs { most, state: Mutex::default(), ready: Condvar::new() }
    }

    /// Whether there was room.
    pub(crate) fn push(&self, job: Job) -> bool {
        let mut state = self.lock();
        if state.queue.len() >= self.most {
            return false;
        }
        state.queue.push_back(job);
        drop(state);
        self.ready.notify_one();
        true
    }

    /// Waits for a job; `None` once the queue is closed.
    fn pop(&self) -> Option<Job> {
        let mut state = self
            .ready
            .wait_while(self.lock(), |state| state.queue.is_empty() && !state.is_closed)
            .unwrap_or_else(PoisonError::into_inner);
        if state.is_closed {
            return None;
        }
        state.queue.pop_front()
    }

    /// Lets every worker end; what still waits is forgotten.
    pub(crate) fn close(&self) {
        let mut state = self.lock();
        state.is_closed = true;
        state.queue.clear();
        self.ready.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, JobsState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the door's thread is told.
#[derive(Debug)]
pub(crate) enum Note {
    /// A handler has answered.
    Answer(ConnectionId, Response),
    /// An event stream has news or has ended.
    Stream(ConnectionId),
    /// The server shall end.
    End,
}

/// Notes for the door's thread; the first one in wakes it.
#[derive(Debug)]
pub(crate) struct Mailbox {
    notes: Mutex<Vec<Note>>,
    waker: mio::Waker,
}

impl Mailbox {
    pub(crate) fn new(waker: mio::Waker) -> Mailbox {
        Mailbox { notes: Mutex::new(Vec::new()), waker }
    }

    pub(crate) fn post(&self, note: Note) {
        let mut notes = self.notes.lock().unwrap_or_else(PoisonError::into_inner);
        let is_first = notes.is_empty();
        notes.push(note);
        drop(notes);
        if is_first && let Err(error) = self.waker.wake() {
            log::error!("the web server's thread could not be woken: {error}");
        }
    }

    /// Moves all notes into `into`, which must be empty.
    pub(crate) fn take(&self, into: &mut Vec<Note>) {
        let mut notes = self.notes.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::swap(&mut *notes, into);
    }
}

/// A worker's life.
pub(crate) fn work(jobs: &Jobs, mailbox: &Mailbox, handler: &dyn Handler) {
    while let Some(Job { connection, request }) = jobs.pop() {
        let what = format_args!("{} {}", request.method, request.path).to_string();
        let response = catch_unwind(AssertUnwindSafe(|| handler.handle(request)));
        let response = response.unwrap_or_else(|_| {
            log::error!("the handler of {what} panicked; the client gets status 500");
            Response::error(500, "something went wrong inside the program: its log says what")
        });
        mailbox.post(Note::Answer(connection, response));
    }
}
