//! A link: the handle that everyone holds.

use crate::broker::{LARGEST, Will};
use crate::error::LinkError;
use crate::mailbox::{Mailbox, Subscription};
use crate::outbox::Outgoing;
use crate::shared::Shared;
use crate::topic;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Messages a subscription holds unless told otherwise.
const CAPACITY: usize = 256;

/// Something to publish.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Publication {
    /// Its topic.
    pub topic: String,
    /// Its payload.
    pub payload: Vec<u8>,
    /// Whether the broker keeps it for those who subscribe later.
    pub retain: bool,
}

/// How a link is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Status {
    /// Host and port.
    pub broker: String,
    /// Since when it is connected; `None` if it is not.
    pub connected_since: Option<Instant>,
    /// How many connections were made so far.
    pub connections: u64,
    /// Why it is not connected, or what the broker refused last; a sentence that says what to do.
    pub last_error: Option<String>,
}

/// A connection to a broker, shared by all who got it from the same [`Hub`](crate::Hub). Clones are cheap. When the last
/// one is gone, what waits is sent, and the connection is closed in order (no last will).
#[derive(Clone)]
pub struct Link {
    pub(crate) owner: Arc<Owner>,
}

/// Ends the link's thread when nobody needs it any more.
pub(crate) struct Owner {
    pub(crate) shared: Arc<Shared>,
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.shared.stop();
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Link({})", self.owner.shared.broker)
    }
}

impl Link {
    fn shared(&self) -> &Shared {
        &self.owner.shared
    }

    /// Publishes a state: the newest payload of a topic replaces one that still waits. With `retain` it is remembered and
    /// sent again on every connection; an empty payload then makes the broker forget the topic.
    ///
    /// # Errors
    ///
    /// [`LinkError::BadTopic`], [`LinkError::TooLarge`], [`LinkError::Full`] (4096 topics). Not: a missing connection.
    pub fn publish(&self, topic: &str, payload: impl Into<Vec<u8>>, retain: bool) -> Result<(), LinkError> {
        let payload = checked(topic, payload.into())?;
        let taken = self.shared().update(|state| state.outbox.put(topic, payload, retain));
        if taken { Ok(()) } else { Err(self.full()) }
    }

    /// Sends a command: now or not at all, never retained, never coalesced.
    ///
    /// # Errors
    ///
    /// [`LinkError::NotConnected`], [`LinkError::Full`], and as [`Self::publish`]. `Ok` means that it was handed to the
    /// connection; if that breaks at this very moment, the command is lost.
    pub fn send(&self, topic: &str, payload: impl Into<Vec<u8>>) -> Result<(), LinkError> {
        let payload = checked(topic, payload.into())?;
        let command = Outgoing { topic: topic.to_owned(), payload, retain: false };
        self.shared().update(|state| match () {
            () if !state.is_connected() => Err(LinkError::NotConnected(self.shared().broker.to_string())),
            () if !state.command(command) => Err(self.full()),
            () => Ok(()),
        })
    }

    /// Subscribes to topics, which may have wildcards. Up to 256 messages wait; see [`Self::subscribe_with`].
    ///
    /// # Errors
    ///
    /// [`LinkError::NoFilter`], [`LinkError::BadFilter`]. Not: a missing connection, or a refusal by the broker (that one
    /// is in [`Status::last_error`] and in the log).
    pub fn subscribe(&self, filters: &[&str]) -> Result<Subscription, LinkError> {
        self.subscribe_with(filters, CAPACITY)
    }

    /// Subscribes with another length of the queue; when it is full, the oldest message goes and is counted.
    ///
    /// # Errors
    ///
    /// As [`Self::subscribe`].
    pub fn subscribe_with(&self, filters: &[&str], capacity: usize) -> Result<Subscription, LinkError> {
        if filters.is_empty() {
            return Err(LinkError::NoFilter);
        }
        if let Some(bad) = filters.iter().find(|filter| !topic::is_filter(filter)) {
            return Err(LinkError::BadFilter((*bad).to_owned()));
        }
        let filters = filters.iter().map(|filter| (*filter).to_owned()).collect();
        let mailbox = Arc::new(Mailbox::new(filters, capacity));
        self.shared().update(|state| state.add_mailbox(mailbox.clone()));
        Ok(Subscription { mailbox, link: self.clone() })
    }

    pub(crate) fn unsubscribe(&self, mailbox: &Arc<Mailbox>) {
        self.shared().update(|state| state.remove_mailbox(mailbox));
    }

    /// Has a function called on every connection, on the link's thread, for what must then be published: availability,
    /// discovery. It must not block. If there is a connection already, it is called at once, on this thread, as well. It is
    /// forgotten when the [`Hook`] is dropped.
    ///
    /// These messages come after the remembered payloads; a function's messages keep their order.
    pub fn on_connect(&self, hook: impl Fn() -> Vec<Publication> + Send + Sync + 'static) -> Hook {
        let hook = Arc::new(hook);
        let (id, is_connected) = self.shared().update(|state| (state.add_hook(hook.clone()), state.is_connected()));
        if is_connected {
            for Publication { topic, payload, retain } in hook() {
                if let Err(error) = self.publish(&topic, payload, retain) {
                    log::warn!("MQTT {}: {error}", self.shared().broker);
                }
            }
        }
        Hook { id, link: self.clone() }
    }

    /// Sets the last will. There is one for each connection; if it is connected already, it connects anew.
    ///
    /// # Errors
    ///
    /// [`LinkError::WillTaken`] if another one is set, [`LinkError::BadTopic`].
    pub fn set_will(&self, will: Will) -> Result<(), LinkError> {
        let payload = checked(&will.topic, will.payload)?;
        let will = Will { topic: will.topic, payload };
        self.shared().update(|state| {
            if state.will.as_ref().is_some_and(|known| *known != will) {
                return Err(LinkError::WillTaken(self.shared().broker.to_string()));
            }
            state.set_will(will);
            Ok(())
        })
    }

    /// How it is doing.
    pub fn status(&self) -> Status {
        self.shared().status()
    }

    /// Waits until it is connected, `timeout` at most; whether it is.
    pub fn wait_connected(&self, timeout: Duration) -> bool {
        self.shared().wait(timeout, |state| state.is_connected())
    }

    fn full(&self) -> LinkError {
        LinkError::Full(self.shared().broker.to_string())
    }
}

/// A payload that can be published to this topic.
pub(crate) fn checked(topic: &str, payload: Vec<u8>) -> Result<Vec<u8>, LinkError> {
    if !topic::is_topic(topic) {
        return Err(LinkError::BadTopic(topic.to_owned()));
    }
    // A packet's header takes a few bytes besides topic and payload.
    if payload.len() + topic.len() + 16 > LARGEST {
        return Err(LinkError::TooLarge { topic: topic.to_owned(), length: payload.len() });
    }
    Ok(payload)
}

/// Keeps a function of [`Link::on_connect`] alive, and its link.
#[must_use = "the function is forgotten when this is dropped"]
pub struct Hook {
    id: u64,
    link: Link,
}

impl fmt::Debug for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Hook({} of {:?})", self.id, self.link)
    }
}

impl Drop for Hook {
    fn drop(&mut self) {
        self.link.shared().update(|state| state.remove_hook(self.id));
    }
}
