//! Queues of incoming messages: bounded, the oldest goes first.

use crate::link::Link;
use crate::topic;
use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// What came in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Its topic.
    pub topic: String,
    /// Its payload.
    pub payload: Vec<u8>,
    /// Whether the broker kept it from before we subscribed: its age is unknown.
    pub retained: bool,
    /// When it came in.
    pub received: Instant,
}

impl Message {
    /// The payload as text, if it is UTF-8.
    pub fn text(&self) -> Option<&str> {
        std::str::from_utf8(&self.payload).ok()
    }
}

#[derive(Debug)]
pub(crate) struct Mailbox {
    pub(crate) filters: Vec<String>,
    capacity: usize,
    queue: Mutex<Queue>,
    arrived: Condvar,
}

#[derive(Debug, Default)]
struct Queue {
    messages: VecDeque<Message>,
    dropped: u64,
}

impl Mailbox {
    pub(crate) fn new(filters: Vec<String>, capacity: usize) -> Self {
        Self { filters, capacity: capacity.max(1), queue: Mutex::default(), arrived: Condvar::new() }
    }

    pub(crate) fn wants(&self, topic: &str) -> bool {
        self.filters.iter().any(|filter| topic::matches(filter, topic))
    }

    pub(crate) fn put(&self, message: Message) {
        let mut queue = self.lock();
        if queue.messages.len() >= self.capacity {
            queue.messages.pop_front();
            queue.dropped += 1;
        }
        queue.messages.push_back(message);
        self.arrived.notify_one();
    }

    fn take(&self, timeout: Duration) -> Option<Message> {
        let queue = self.lock();
        let result = self.arrived.wait_timeout_while(queue, timeout, |queue| queue.messages.is_empty());
        result.unwrap_or_else(PoisonError::into_inner).0.messages.pop_front()
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Messages of the topics that were subscribed to. Dropping it unsubscribes. It keeps its link alive.
#[derive(Debug)]
pub struct Subscription {
    pub(crate) mailbox: Arc<Mailbox>,
    pub(crate) link: Link,
}

impl Subscription {
    /// Waits for the next message, `timeout` at most.
    pub fn recv_timeout(&self, timeout: Duration) -> Option<Message> {
        self.mailbox.take(timeout)
    }

    /// The next message, if there is one.
    pub fn try_recv(&self) -> Option<Message> {
        self.mailbox.lock().messages.pop_front()
    }

    /// How many messages were thrown away because nobody took them in time.
    pub fn dropped(&self) -> u64 {
        self.mailbox.lock().dropped
    }

    /// The link it belongs to.
    pub fn link(&self) -> &Link {
        &self.link
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.link.unsubscribe(&self.mailbox);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_queue_loses_its_oldest_and_counts() {
        let mailbox = Mailbox::new(vec!["a/#".into()], 2);
        for payload in [1, 2, 3] {
            mailbox.put(Message {
                topic: "a".into(),
                payload: vec![payload],
                retained: false,
                received: Instant::now(),
            });
        }
        let taken: Vec<Option<u8>> = (0..3).map(|_| mailbox.take(Duration::ZERO).map(|m| m.payload[0])).collect();
        assert_eq!(taken, [Some(2), Some(3), None]);
        assert_eq!(mailbox.lock().dropped, 1);
        assert!(mailbox.wants("a/b") && !mailbox.wants("b"));
    }
}
