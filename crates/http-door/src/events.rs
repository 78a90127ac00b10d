//! Server-sent events: pushed by whoever has news, written by the door's own thread.
//!
//! A client costs no thread and no wake-up until something is sent. A sender never waits: what a slow client has not
//! taken yet is held up to [`EVENT_BACKLOG`] bytes, and one more event drops that client. Events are shared, so the same event on
//! its way to twenty clients is in memory once.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Most bytes that wait for one slow client before it is dropped. The page then reconnects and takes a fresh snapshot.
pub const EVENT_BACKLOG: usize = 128 * 1024;

/// The client has gone, was too slow or the server is ending: forget this sender.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the client of this event stream has gone")]
pub struct StreamGone;

/// One encoded event; cloning it is cheap.
#[derive(Debug, Clone)]
pub struct Event {
    bytes: Arc<[u8]>,
}

impl Event {
    /// An event without a name: `onmessage` in the browser. Text of several lines arrives as such.
    pub fn message(data: &str) -> Event {
        Event::encode(None, None, data)
    }

    /// A named event: `addEventListener(name, …)` in the browser.
    pub fn named(name: &str, data: &str) -> Event {
        Event::encode(Some(name), None, data)
    }

    /// An event with an id, which the browser sends back as `Last-Event-ID` when it reconnects.
    pub fn with_id(name: &str, id: &str, data: &str) -> Event {
        Event::encode(Some(name), Some(id), data)
    }

    /// Tells the browser how long to wait before it reconnects.
    pub fn retry_after(wait: std::time::Duration) -> Event {
        Event { bytes: format!("retry: {}\n\n", wait.as_millis()).into_bytes().into() }
    }

    /// A comment: no event for the browser, but a sign of life for it and for proxies on the way.
    pub fn comment(text: &str) -> Event {
        let text: String = text.chars().filter(|c| !c.is_control()).collect();
        Event { bytes: format!(": {text}\n\n").into_bytes().into() }
    }

    fn encode(name: Option<&str>, id: Option<&str>, data: &str) -> Event {
        let mut text = String::with_capacity(data.len() + 32);
        for (field, value) in [("event: ", name), ("id: ", id)] {
            if let Some(value) = value {
                text.push_str(field);
                text.extend(value.chars().filter(|c| !c.is_control()));
                text.push('\n');
            }
        }
        // CR LF, LF and CR each end a line in this format.
        for line in data.replace("\r\n", "\n").split(['\n', '\r']) {
            text.push_str("data: ");
            text.push_str(line);
            text.push('\n');
        }
        text.push('\n');
        Event { bytes: text.into_bytes().into() }
    }

    pub(crate) fn bytes(&self) -> Arc<[u8]> {
        Arc::clone(&self.bytes)
    }
}

type Notify = Box<dyn Fn() + Send>;

#[derive(Default)]
struct State {
    waiting: Vec<Arc<[u8]>>,
    waiting_bytes: usize,
    /// The sender was dropped: send what waits, then end.
    is_ended: bool,
    /// The receiving side is closed or overflowed: nothing more is taken.
    is_gone: bool,
    /// The door was told and has not looked yet.
    is_notified: bool,
    notify: Option<Notify>,
}

impl State {
    fn tell(&mut self) {
        if !self.is_notified
            && let Some(notify) = &self.notify
        {
            self.is_notified = true;
            notify();
        }
    }
}

#[derive(Default)]
struct Shared(Mutex<State>);

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The end that has news. Dropping it ends the stream after what waits has been sent.
pub struct EventSender {
    shared: Arc<Shared>,
}

impl EventSender {
    /// Hands over one event. Never blocks. An error says that this client is gone for good.
    pub fn send(&self, event: &Event) -> Result<(), StreamGone> {
        let mut state = self.shared.lock();
        if state.is_gone {
            return Err(StreamGone);
        }
        if state.waiting_bytes + event.bytes.len() > EVENT_BACKLOG {
            state.is_gone = true;
            state.waiting = Vec::new();
            state.tell();
            return Err(StreamGone);
        }
        state.waiting_bytes += event.bytes.len();
        state.waiting.push(event.bytes());
        state.tell();
        Ok(())
    }

    /// Whether the client was still there when last heard of.
    pub fn is_open(&self) -> bool {
        !self.shared.lock().is_gone
    }
}

impl Drop for EventSender {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.is_ended = true;
        state.tell();
    }
}

impl fmt::Debug for EventSender {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("EventSender").field("is_open", &self.is_open()).finish()
    }
}

/// The end that goes into [`crate::Response::events`].
pub struct EventStream {
    shared: Arc<Shared>,
}

/// What the door found when it looked into a stream.
#[derive(Debug)]
pub(crate) enum Pull {
    /// Send these (perhaps none) and go on.
    More(Vec<Arc<[u8]>>),
    /// Send these, then end the stream properly.
    Last(Vec<Arc<[u8]>>),
    /// The client was too slow: close at once.
    Overflowed,
}

impl EventStream {
    /// A sender and the stream it feeds.
    pub fn channel() -> (EventSender, EventStream) {
        let shared = Arc::new(Shared::default());
        (EventSender { shared: Arc::clone(&shared) }, EventStream { shared })
    }

    /// From now on `notify` is called, once until the next pull, when there is something to pull.
    pub(crate) fn attach(&self, notify: Notify) {
        self.shared.lock().notify = Some(notify);
    }

    /// Takes all that waits.
    pub(crate) fn pull(&self) -> Pull {
        let mut state = self.shared.lock();
        state.is_notified = false;
        state.waiting_bytes = 0;
        let waiting = std::mem::take(&mut state.waiting);
        match (state.is_gone, state.is_ended) {
            (true, _) => Pull::Overflowed,
            (false, true) => Pull::Last(waiting),
            (false, false) => Pull::More(waiting),
        }
    }

    /// Whether the sender has overrun the client while the door was still writing.
    pub(crate) fn is_overflowed(&self) -> bool {
        self.shared.lock().is_gone
    }
}

impl Drop for EventStream {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.is_gone = true;
        state.waiting = Vec::new();
        state.notify = None;
    }
}

impl fmt::Debug for EventStream {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("EventStream")
    }
}

/// Sends the same events to any number of clients; those that have gone are forgotten at the next event.
#[derive(Debug, Default)]
pub struct EventHub {
    senders: Mutex<Vec<EventSender>>,
}

impl EventHub {
    /// A hub without clients.
    pub fn new() -> EventHub {
        EventHub::default()
    }

    /// A stream that begins with these events (say, a full snapshot) and goes on with whatever is published later.
    pub fn subscribe(&self, first: &[Event]) -> EventStream {
        let (sender, stream) = EventStream::channel();
        let is_open = first.iter().all(|event| sender.send(event).is_ok());
        let mut senders = self.lock();
        senders.retain(EventSender::is_open);
        if is_open {
            senders.push(sender);
        }
        stream
    }

    /// Sends to every client that is there and tells how many those are. Never blocks on a client.
    pub fn publish(&self, event: &Event) -> usize {
        let mut senders = self.lock();
        senders.retain(|sender| sender.send(event).is_ok());
        senders.len()
    }

    /// How many clients listen; with none, rendering an event can be saved.
    pub fn listeners(&self) -> usize {
        let mut senders = self.lock();
        senders.retain(EventSender::is_open);
        senders.len()
    }

    /// Ends every stream after what waits has been sent.
    pub fn close(&self) {
        self.lock().clear();
    }

    fn lock(&self) -> MutexGuard<'_, Vec<EventSender>> {
        self.senders.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    fn text(pull: Pull) -> String {
        match pull {
            Pull::More(pieces) | Pull::Last(pieces) => String::from_utf8(pieces.concat()).expect("text"),
            Pull::Overflowed => "overflowed".to_owned(),
        }
    }

    #[test]
    fn events_are_encoded_line_by_line() {
        let event = Event::with_id("sta\ntus", "4\r2", "one\r\ntwo\rthree\n");
        assert_eq!(
            std::str::from_utf8(&event.bytes),
            Ok("event: status\nid: 42\ndata: one\ndata: two\ndata: three\ndata: \n\n")
        );
        assert_eq!(&*Event::message("x").bytes, b"data: x\n\n");
        assert_eq!(&*Event::comment("still\nhere").bytes, b": stillhere\n\n");
    }

    #[test]
    fn the_door_is_told_once_until_it_looks() {
        let told = Arc::new(AtomicUsize::new(0));
        let (sender, stream) = EventStream::channel();
        sender.send(&Event::message("early")).expect("open");
        let count = Arc::clone(&told);
        stream.attach(Box::new(move || {
            count.fetch_add(1, Ordering::Relaxed);
        }));
        assert_eq!(text(stream.pull()), "data: early\n\n");
        sender.send(&Event::message("a")).expect("open");
        sender.send(&Event::message("b")).expect("open");
        assert_eq!(told.load(Ordering::Relaxed), 1);
        assert_eq!(text(stream.pull()), "data: a\n\ndata: b\n\n");
        drop(sender);
        assert_eq!(told.load(Ordering::Relaxed), 2);
        assert!(matches!(stream.pull(), Pull::Last(_)));
    }

    #[test]
    fn a_slow_client_is_dropped_at_the_bound() {
        let hub = EventHub::new();
        let slow = hub.subscribe(&[Event::message("hello")]);
        let quick = hub.subscribe(&[]);
        let big = Event::message(&"x".repeat(EVENT_BACKLOG / 4));
        let mut listeners = Vec::new();
        for _ in 0..6 {
            listeners.push(hub.publish(&big));
            quick.pull();
        }
        assert_eq!(listeners, [2, 2, 2, 1, 1, 1]);
        assert!(matches!(slow.pull(), Pull::Overflowed));
        drop(quick);
        assert_eq!(hub.listeners(), 0);
    }

    #[test]
    fn closing_a_hub_ends_its_streams() {
        let hub = EventHub::new();
        let stream = hub.subscribe(&[Event::message("only")]);
        hub.close();
        assert!(matches!(stream.pull(), Pull::Last(pieces) if pieces.len() == 1));
    }
}
