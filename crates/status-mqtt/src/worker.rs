//! The thread that publishes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use mqtt_link::{Hook, Link, LinkError, Publication, Subscription, Will};
use site::SitePort;

use crate::publisher::{Output, Publisher, birth};
use crate::states::{OFFLINE, ONLINE, availability};
use crate::{AssistantConfig, StatusConfig, StatusError};

/// How long a snapshot is waited for before messages and the end are looked at again.
const LOOK_UP: Duration = Duration::from_millis(200);
/// Announcements of other programs that the broker may keep.
const MOST_ANNOUNCEMENTS: usize = 4096;
/// Home Assistant asks programs to wait 1 to 10 s after its start; these seconds are added by chance of the process id.
const MOST_JITTER_MS: u64 = 9_000;

/// Publishes until it is shut down or dropped.
#[derive(Debug)]
pub struct StatusMqtt {
    is_ending: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl StatusMqtt {
    /// Begins. The last will of the link is set here.
    ///
    /// # Errors
    /// For prefixes that are no part of a topic, for a link whose last will is another one, or when no thread can be started.
    /// A broker that is away is no error.
    pub fn start(link: Link, config: StatusConfig, site: Arc<dyn SitePort>) -> Result<StatusMqtt, StatusError> {
        if config.prefix.is_empty() {
            return Err(StatusError::NoPrefix);
        }
        let topic = availability(&config);
        link.set_will(Will { topic: topic.clone(), payload: OFFLINE.into() })?;
        let (messages, heard) = match &config.assistant {
            Some(assistant) => {
                let filters = filters(assistant);
                let filters: Vec<&str> = filters.iter().map(String::as_str).collect();
                (Some(link.subscribe(&filters)?), Some(listen(&link, assistant)?))
            }
            None => (None, None),
        };
        let hook =
            link.on_connect(move || vec![Publication { topic: topic.clone(), payload: ONLINE.into(), retain: true }]);
        let jitter = Duration::from_millis(1000 + u64::from(std::process::id()).wrapping_mul(7919) % MOST_JITTER_MS);
        let is_ending = Arc::new(AtomicBool::new(false));
        let worker = Worker {
            link,
            site,
            publisher: Publisher::new(config, jitter),
            messages,
            heard,
            hook: Some(hook),
            is_refused: false,
        };
        let flag = Arc::clone(&is_ending);
        let thread = std::thread::Builder::new()
            .name("status MQTT".to_owned())
            .stack_size(512 * 1024)
            .spawn(move || worker.run(&flag))
            .map_err(StatusError::NoThread)?;
        Ok(StatusMqtt { is_ending, thread: Some(thread) })
    }

    /// Publishes the last values and `offline`. The link still has to send them: close its hub after this.
    pub fn shutdown(mut self) {
        self.end();
    }

    fn end(&mut self) {
        self.is_ending.store(true, Ordering::Release);
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            log::error!("the thread of status.MQTT failed inside; please report this");
        }
    }
}

impl Drop for StatusMqtt {
    fn drop(&mut self) {
        self.end();
    }
}

/// Home Assistant's start, and commands, whose outcome is shown at once.
fn filters(assistant: &AssistantConfig) -> Vec<String> {
    let commands = assistant.control_prefix.as_ref().map(|prefix| format!("{prefix}/control/#"));
    std::iter::once(birth(assistant)).chain(commands).collect()
}

/// Announcements that the broker keeps.
fn listen(link: &Link, assistant: &AssistantConfig) -> Result<Subscription, LinkError> {
    let prefix = &assistant.discovery_prefix;
    let (devices, singles) = (format!("{prefix}/device/+/config"), format!("{prefix}/+/+/+/config"));
    link.subscribe_with(&[&devices, &singles], MOST_ANNOUNCEMENTS)
}

struct Worker {
    link: Link,
    site: Arc<dyn SitePort>,
    publisher: Publisher,
    messages: Option<Subscription>,
    heard: Option<Subscription>,
    hook: Option<Hook>,
    is_refused: bool,
}

impl Worker {
    fn run(mut self, is_ending: &AtomicBool) {
        let first = self.site.snapshot();
        let mut sequence = first.sequence;
        self.publisher.handle_snapshot(Instant::now(), first, self.site.settings());
        while !is_ending.load(Ordering::Acquire) {
            self.drain();
            let wait = self
                .publisher
                .next_timeout()
                .map_or(LOOK_UP, |at| at.saturating_duration_since(Instant::now()).min(LOOK_UP));
            let newer = self.site.newer_than(sequence, wait);
            let now = Instant::now();
            if self.link.status().connected_since.is_some() {
                self.publisher.handle_connected(now);
            }
            for subscription in [&self.messages, &self.heard].into_iter().flatten() {
                while let Some(message) = subscription.try_recv() {
                    self.publisher.handle_message(now, &message);
                }
            }
            if let Some(snapshot) = newer {
                sequence = snapshot.sequence;
                self.publisher.handle_snapshot(now, snapshot, self.site.settings());
            }
            self.publisher.handle_timeout(now);
        }
        // First, or a new connection would say that we are there.
        drop(self.hook.take());
        self.publisher.finish(Instant::now());
        self.drain();
    }

    fn drain(&mut self) {
        while let Some(output) = self.publisher.poll_output() {
            match output {
                Output::Publish { topic, payload } => {
                    let result = self.link.publish(&topic, payload, true);
                    self.tell(result);
                }
                // Only for who is there to read it now.
                Output::Send { topic, payload } => drop(self.link.send(&topic, payload)),
                Output::Heard => drop(self.heard.take()),
            }
        }
    }

    /// The first refusal of its kind; they come in crowds.
    fn tell(&mut self, result: Result<(), LinkError>) {
        match result {
            Ok(()) => self.is_refused = false,
            Err(error) if !std::mem::replace(&mut self.is_refused, true) => log::warn!("status.MQTT: {error}"),
            Err(_) => {}
        }
    }
}
