//! What is published when: a state machine without clock and broker.
//!
//! | family | method |
//! |---|---|
//! | feed | [`Publisher::handle_snapshot`], [`Publisher::handle_connected`], [`Publisher::handle_message`] |
//! | time | [`Publisher::handle_timeout`], [`Publisher::next_timeout`] |
//! | drain | [`Publisher::poll_output`] |
//! | end | [`Publisher::finish`], then drain |

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use evse::{Capabilities, Detail};
use mqtt_link::Message;
use serde_json::Value;
use site::{EvseView, Snapshot};
use twc_names::id_of;

use crate::announce::{DETAILS, announcements, identifier, own_prefix};
use crate::directory::Directory;
use crate::pacer::{Pacer, State};
use crate::states::{OFFLINE, availability, is_choice, states};
use crate::{AssistantConfig, StatusConfig};

/// After the first connection, for what the broker keeps from earlier runs to come in.
pub(crate) const LISTEN: Duration = Duration::from_secs(2);
/// After a command, for the site to have taken or refused it.
const ECHO: Duration = Duration::from_millis(700);

/// Devices are described anew this often even when they look the same.
const DESCRIBE: Duration = Duration::from_secs(60);

/// What a description of devices hangs on, of each charging point.
type Outline = Vec<(String, String, Capabilities, Vec<Option<Detail>>)>;

/// Something for the broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Output {
    /// Retained.
    Publish { topic: String, payload: String },
    /// Not retained; of no use later.
    Send { topic: String, payload: String },
    /// What the broker keeps from earlier runs has come in; listening to announcements ends.
    Heard,
}

impl Output {
    /// The broker shall not keep this topic any more.
    pub(crate) fn forget(topic: &str) -> Output {
        Output::Publish { topic: topic.to_owned(), payload: String::new() }
    }
}

/// Whether announcements of earlier runs are still awaited.
#[derive(Debug)]
enum Phase {
    /// Until then; `None` before the first connection.
    Listening(Option<Instant>),
    /// No more.
    Telling,
}

/// The state of what was published.
#[derive(Debug)]
pub(crate) struct Publisher {
    config: StatusConfig,
    pacer: Pacer,
    directory: Directory,
    phase: Phase,
    newest: Option<(Arc<Snapshot>, Arc<Value>)>,
    /// When devices were described last, and what they looked like.
    described: Option<(Instant, Outline)>,
    /// Ids of charging points that were there and are not in the newest snapshot.
    absent: BTreeSet<String>,
    /// How long after Home Assistant's start everything is told again: not together with all other programs.
    jitter: Duration,
    birth_at: Option<Instant>,
    echo_at: Option<Instant>,
    outputs: VecDeque<Output>,
}

impl Publisher {
    pub(crate) fn new(config: StatusConfig, jitter: Duration) -> Publisher {
        Publisher {
            pacer: Pacer::new(config.rate_limit),
            config,
            directory: Directory::default(),
            phase: Phase::Listening(None),
            newest: None,
            described: None,
            absent: BTreeSet::new(),
            jitter,
            birth_at: None,
            echo_at: None,
            outputs: VecDeque::new(),
        }
    }

    /// The site published.
    pub(crate) fn handle_snapshot(&mut self, now: Instant, snapshot: Arc<Snapshot>, settings: Arc<Value>) {
        let before = self.newest.replace((Arc::clone(&snapshot), Arc::clone(&settings)));
        let mut all = states(&snapshot, &settings, &self.config);
        for evse in before.iter().flat_map(|(before, _)| &before.evses) {
            self.absent.insert(id_of(&evse.id));
        }
        for evse in &snapshot.evses {
            self.absent.remove(&id_of(&evse.id));
        }
        all.extend(self.absent.iter().map(|id| self.offline(id)));
        for state in all {
            let sent = self.pacer.offer(now, state);
            self.publish(sent);
        }
        let is_old = |(at, outline): &(Instant, Outline)| {
            now.saturating_duration_since(*at) >= DESCRIBE || *outline != outline_of(&snapshot)
        };
        if matches!(self.phase, Phase::Telling) && self.described.as_ref().is_none_or(is_old) {
            self.announce(now, false);
        }
    }

    /// There is a connection.
    pub(crate) fn handle_connected(&mut self, now: Instant) {
        if let Phase::Listening(until @ None) = &mut self.phase {
            *until = Some(now + LISTEN);
        }
    }

    /// Something came in that was subscribed to.
    pub(crate) fn handle_message(&mut self, now: Instant, message: &Message) {
        let Some(assistant) = &self.config.assistant else { return };
        let text = message.text().unwrap_or_default();
        if message.topic == birth(assistant) {
            if text == "online" && !message.retained {
                self.birth_at = Some(now + self.jitter);
            }
        } else if message.retained && message.topic.ends_with("/config") {
            self.directory.found(now, &message.topic, text, &self.config);
        } else if !message.retained && self.is_command(&message.topic) {
            self.echo_at = Some(now + ECHO);
        }
    }

    fn is_command(&self, topic: &str) -> bool {
        let prefix = self.config.assistant.as_ref().and_then(|assistant| assistant.control_prefix.as_deref());
        prefix.and_then(|prefix| topic.strip_prefix(prefix)).is_some_and(|rest| rest.starts_with("/control/"))
    }

    /// Time has passed.
    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        let is_due = |at: &mut Option<Instant>| at.take_if(|at| *at <= now).is_some();
        let due = self.pacer.due(now);
        self.publish(due);
        if let Phase::Listening(Some(until)) = self.phase
            && until <= now
        {
            self.phase = Phase::Telling;
            self.outputs.push_back(Output::Heard);
            self.note_absent(now);
            self.announce(now, false);
        }
        if is_due(&mut self.birth_at) {
            self.announce(now, true);
            let all = self.pacer.again(now, |_| true);
            self.publish(all);
        }
        // Also what was refused: the value that holds takes the place of the one that was asked for.
        if is_due(&mut self.echo_at) {
            let choices = self.pacer.again(now, is_choice);
            self.publish(choices);
        }
        for output in self.directory.due(now, &self.config) {
            if let Output::Publish { topic, .. } = &output {
                self.pacer.forget(topic);
                let below = topic.strip_prefix(&self.config.prefix).and_then(|rest| rest.strip_prefix('/'));
                if let Some(id) = below.and_then(|rest| rest.strip_suffix("/availability")) {
                    self.absent.remove(id);
                }
            }
            self.outputs.push_back(output);
        }
    }

    /// Devices of earlier runs that are not there are shown as unavailable until they are.
    fn note_absent(&mut self, now: Instant) {
        let (Some(assistant), Some((snapshot, _))) = (&self.config.assistant, &self.newest) else { return };
        let own = own_prefix(assistant);
        let ids = snapshot.evses.iter().map(|evse| id_of(&evse.id)).chain(["all", "config"].map(str::to_owned));
        let present: BTreeSet<String> = ids.map(|id| identifier(assistant, &id)).collect();
        let absent = self.directory.devices_without(&present);
        let ids: Vec<String> =
            absent.iter().filter_map(|device| device.strip_prefix(&own)).map(str::to_owned).collect();
        for id in ids {
            let sent = self.pacer.offer(now, self.offline(&id));
            self.publish(sent);
            self.absent.insert(id);
        }
    }

    fn offline(&self, id: &str) -> State {
        let topic = format!("{}/{id}/availability", self.config.prefix);
        State { topic, payload: OFFLINE.to_owned(), is_event: true }
    }

    fn announce(&mut self, now: Instant, again: bool) {
        let (Some(assistant), Some((snapshot, _))) = (&self.config.assistant, &self.newest) else { return };
        let all = announcements(snapshot, &self.config, assistant);
        self.described = Some((now, outline_of(snapshot)));
        self.outputs.extend(self.directory.announce(now, all, assistant, again));
    }

    fn publish(&mut self, all: impl IntoIterator<Item = (String, String)>) {
        self.outputs.extend(all.into_iter().map(|(topic, payload)| Output::Publish { topic, payload }));
    }

    /// When [`Self::handle_timeout`] is due.
    pub(crate) fn next_timeout(&self) -> Option<Instant> {
        let listening = match self.phase {
            Phase::Listening(until) => until,
            Phase::Telling => None,
        };
        let all = [listening, self.birth_at, self.echo_at, self.pacer.next_timeout(), self.directory.next_timeout()];
        all.into_iter().flatten().min()
    }

    /// What is to be done next, until there is nothing.
    pub(crate) fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// The program ends: the last values, and that it is gone.
    pub(crate) fn finish(&mut self, now: Instant) {
        let rest = self.pacer.flush(now);
        self.publish(rest);
        self.outputs.push_back(Output::Publish { topic: availability(&self.config), payload: OFFLINE.to_owned() });
    }
}

fn outline_of(snapshot: &Snapshot) -> Outline {
    let details = |evse: &EvseView| DETAILS.iter().map(|(key, _)| evse.details.get(key).cloned()).collect();
    let one = |evse: &EvseView| (evse.id.clone(), evse.name.clone(), evse.capabilities, details(evse));
    snapshot.evses.iter().map(one).collect()
}

/// Where Home Assistant tells that it has started.
pub(crate) fn birth(assistant: &AssistantConfig) -> String {
    format!("{}/status", assistant.discovery_prefix)
}
