//! What a link's users and its thread share. Locks are held for moments, never across the network or foreign code.

use crate::broker::{Broker, Will};
use crate::link::{Publication, Status, checked};
use crate::mailbox::{Mailbox, Message};
use crate::outbox::{Outbox, Outgoing};
use rumqttc::{Client, QoS};
use rustls::ClientConfig;
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Most commands that wait for the network.
const MOST_COMMANDS: usize = 256;

/// Gives what to publish on every connection. Called on the link's thread.
pub(crate) type ConnectHook = Arc<dyn Fn() -> Vec<Publication> + Send + Sync>;

pub(crate) struct Shared {
    pub(crate) broker: Broker,
    pub(crate) tls: Option<Arc<ClientConfig>>,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
pub(crate) struct State {
    /// While connected.
    client: Option<Client>,
    subscribe: VecDeque<String>,
    unsubscribe: VecDeque<String>,
    /// Filters handed to the network, in order, until they get their number.
    asked: VecDeque<String>,
    /// Filters by number, until the broker answers.
    unanswered: HashMap<u16, String>,
    commands: VecDeque<Outgoing>,
    pub(crate) outbox: Outbox,
    mailboxes: Vec<Arc<Mailbox>>,
    hooks: Vec<(u64, ConnectHook)>,
    next_hook: u64,
    pub(crate) will: Option<Will>,
    /// The connection has to be made anew, with another will.
    renew: bool,
    pub(crate) stopping: bool,
    pub(crate) finished: bool,
    /// Nothing more may be sent: a disconnect is on its way.
    leaving: bool,
    connected_since: Option<Instant>,
    connections: u64,
    last_error: Option<String>,
}

impl Shared {
    pub(crate) fn new(broker: Broker, tls: Option<Arc<ClientConfig>>) -> Self {
        Self { broker, tls, state: Mutex::default(), changed: Condvar::new() }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes something, sends what can be sent, and wakes who waits.
    pub(crate) fn update<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.lock();
        let result = change(&mut state);
        state.pump();
        self.changed.notify_all();
        result
    }

    /// Waits until a condition holds, `timeout` at most; whether it does.
    pub(crate) fn wait(&self, timeout: Duration, holds: impl Fn(&State) -> bool) -> bool {
        let result = self.changed.wait_timeout_while(self.lock(), timeout, |state| !holds(state));
        let (state, _) = result.unwrap_or_else(PoisonError::into_inner);
        holds(&state)
    }

    pub(crate) fn stop(&self) {
        self.update(|state| state.stopping = true);
    }

    /// A connection was made: hooks first, without the lock, then everything is queued.
    pub(crate) fn connected(&self, client: Client, now: Instant) {
        let hooks: Vec<ConnectHook> = self.lock().hooks.iter().map(|(_, hook)| hook.clone()).collect();
        let publications: Vec<Publication> = hooks.iter().flat_map(|hook| hook()).collect();
        self.update(|state| {
            state.client = Some(client);
            state.connected_since = Some(now);
            state.connections += 1;
            state.last_error = None;
            let filters: BTreeSet<&String> = state.mailboxes.iter().flat_map(|mailbox| &mailbox.filters).collect();
            state.subscribe = filters.into_iter().cloned().collect();
            state.outbox.again();
            for Publication { topic, payload, retain } in publications {
                let taken = checked(&topic, payload).map(|payload| state.outbox.put_last(&topic, payload, retain));
                match taken {
                    Ok(true) => {}
                    Ok(false) => log::warn!("MQTT {}: too many topics, `{topic}` is not published", self.broker),
                    Err(error) => log::warn!("MQTT {}: {error}", self.broker),
                }
            }
        });
    }

    /// The connection ended; gives when it began.
    pub(crate) fn disconnected(&self, error: Option<String>) -> Option<Instant> {
        self.update(|state| {
            state.client = None;
            state.subscribe.clear();
            state.unsubscribe.clear();
            state.asked.clear();
            state.unanswered.clear();
            // Commands are for now, not for later.
            state.commands.clear();
            state.leaving = false;
            state.renew = false;
            state.last_error = error;
            state.connected_since.take()
        })
    }

    pub(crate) fn deliver(&self, message: Message) {
        let wanting: Vec<Arc<Mailbox>> =
            self.lock().mailboxes.iter().filter(|mailbox| mailbox.wants(&message.topic)).cloned().collect();
        for mailbox in wanting {
            mailbox.put(message.clone());
        }
    }

    pub(crate) fn status(&self) -> Status {
        let state = self.lock();
        Status {
            broker: self.broker.to_string(),
            connected_since: state.connected_since,
            connections: state.connections,
            last_error: state.last_error.clone(),
        }
    }
}

impl State {
    pub(crate) fn is_connected(&self) -> bool {
        self.client.is_some() && !self.leaving
    }

    /// Whether we end this connection ourselves.
    pub(crate) fn is_leaving(&self) -> bool {
        self.leaving
    }

    /// Sends as much as the network takes. What it refuses waits: each message that has gone out calls this again.
    fn pump(&mut self) {
        let Some(client) = self.client.as_ref().filter(|_| !self.leaving) else { return };
        while let Some(filter) = self.subscribe.front() {
            if client.try_subscribe(filter.as_str(), QoS::AtMostOnce).is_err() {
                return;
            }
            self.asked.extend(self.subscribe.pop_front());
        }
        while let Some(filter) = self.unsubscribe.front() {
            if client.try_unsubscribe(filter.as_str()).is_err() {
                return;
            }
            self.unsubscribe.pop_front();
        }
        while let Some(next) = self.commands.front() {
            if !publish(client, next) {
                return;
            }
            self.commands.pop_front();
        }
        while let Some(next) = self.outbox.next() {
            if !publish(client, &next) {
                return;
            }
            self.outbox.sent();
        }
        if (self.stopping || self.renew) && client.try_disconnect().is_ok() {
            self.leaving = true;
        }
    }

    /// False if too many wait already.
    pub(crate) fn command(&mut self, command: Outgoing) -> bool {
        let has_room = self.commands.len() < MOST_COMMANDS;
        if has_room {
            self.commands.push_back(command);
        }
        has_room
    }

    pub(crate) fn add_mailbox(&mut self, mailbox: Arc<Mailbox>) {
        if self.client.is_some() {
            self.unsubscribe.retain(|filter| !mailbox.filters.contains(filter));
            self.subscribe.extend(mailbox.filters.iter().cloned());
        }
        self.mailboxes.push(mailbox);
    }

    pub(crate) fn remove_mailbox(&mut self, mailbox: &Arc<Mailbox>) {
        self.mailboxes.retain(|other| !Arc::ptr_eq(other, mailbox));
        if self.client.is_none() {
            return;
        }
        for filter in &mailbox.filters {
            if !self.mailboxes.iter().any(|other| other.filters.contains(filter)) {
                self.subscribe.retain(|waiting| waiting != filter);
                self.unsubscribe.push_back(filter.clone());
            }
        }
    }

    pub(crate) fn add_hook(&mut self, hook: ConnectHook) -> u64 {
        self.next_hook += 1;
        self.hooks.push((self.next_hook, hook));
        self.next_hook
    }

    pub(crate) fn remove_hook(&mut self, id: u64) {
        self.hooks.retain(|(other, _)| *other != id);
    }

    pub(crate) fn set_will(&mut self, will: Will) {
        if self.will.as_ref() != Some(&will) {
            self.will = Some(will);
            self.renew = self.client.is_some();
        }
    }

    /// The connection in the making was begun with another will.
    pub(crate) fn renew_if(&mut self, begun_with: Option<&Will>) {
        self.renew = self.will.as_ref() != begun_with;
    }

    pub(crate) fn subscribe_numbered(&mut self, number: u16) {
        if let Some(filter) = self.asked.pop_front() {
            self.unanswered.insert(number, filter);
        }
    }

    pub(crate) fn subscribe_answered(&mut self, number: u16) -> Option<String> {
        self.unanswered.remove(&number)
    }

    pub(crate) fn set_error(&mut self, error: String) {
        self.last_error = Some(error);
    }
}

fn publish(client: &Client, next: &Outgoing) -> bool {
    client.try_publish(next.topic.as_str(), QoS::AtMostOnce, next.retain, next.payload.as_slice()).is_ok()
}
