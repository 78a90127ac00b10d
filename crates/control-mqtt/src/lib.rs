//! Commands over MQTT: TWCManager's topics, and those that Home Assistant's controls use.
//!
//! | part | does |
//! |---|---|
//! | [`ControlMqtt`] | subscribes `PREFIX/control/#` and gives what comes in to the site, on a thread of its own |
//! | `order` | topic and payload into what is asked for; pure |
//! | `obey` | what is asked for into commands of the site |
//!
//! ```no_run
//! # fn with(site: std::sync::Arc<dyn site::SitePort>) -> Result<(), Box<dyn std::error::Error>> {
//! use control_mqtt::{ControlConfig, ControlMqtt};
//! let link = mqtt_link::Hub::new().link(mqtt_link::Broker::new("192.168.1.2", 1883))?;
//! let config = ControlConfig { prefix: "TWC".into(), most_charge_now_amps: 32.0 };
//! let control = ControlMqtt::start(link, config, site, || println!("somebody wants the program to end"))?;
//! control.shutdown();
//! # Ok(())
//! # }
//! ```
//!
//! A **retained** command is not obeyed: the broker repeats it at every connection, so it would stop the program or start
//! a charge again and again. It is told in the log, once for each topic. A command that was published with the retain flag
//! while we listen comes in as a live one and is obeyed, once.
//!
//! A command that is refused is told in the log with the reason; MQTT has no answer for it. All topics are in `docs/mqtt.md`.

mod obey;
mod order;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use mqtt_link::{Link, LinkError, Message, Subscription};
use site::SitePort;

use order::Order;

/// How often the thread looks whether it should end.
const LOOK_UP: Duration = Duration::from_millis(250);
/// Topics whose retained commands are told of; more is noise.
const MOST_TOLD: usize = 32;
/// Longest payload that is shown in the log.
const SHOWN: usize = 80;

/// What is configured.
#[derive(Debug, Clone, PartialEq)]
pub struct ControlConfig {
    /// `control.MQTT.topicPrefix`, as it stands there.
    pub prefix: String,
    /// `config.maxAmpsPerTWC`: most that Charge Now may ask for here.
    pub most_charge_now_amps: f64,
}

/// Why there are no commands over MQTT.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ControlError {
    /// There is no prefix.
    #[error("control.MQTT.topicPrefix is empty; give the first part of the topics, such as \"TWC\"")]
    NoPrefix,
    /// The prefix does not work.
    #[error("control.MQTT.topicPrefix: {0}")]
    BadPrefix(#[from] LinkError),
    /// No thread.
    #[error("commands over MQTT cannot be taken: {0}")]
    NoThread(std::io::Error),
}

/// Takes commands until it is shut down or dropped.
#[derive(Debug)]
pub struct ControlMqtt {
    is_ending: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl ControlMqtt {
    /// Subscribes and begins. `end_program` is called when somebody publishes to `PREFIX/control/stop`; it must not block.
    ///
    /// # Errors
    /// For a prefix that is no part of a topic, or when no thread can be started. A broker that is away is no error.
    pub fn start(
        link: Link,
        config: ControlConfig,
        site: Arc<dyn SitePort>,
        end_program: impl Fn() + Send + 'static,
    ) -> Result<ControlMqtt, ControlError> {
        if config.prefix.is_empty() {
            return Err(ControlError::NoPrefix);
        }
        let subscription = link.subscribe(&[filter(&config.prefix).as_str()])?;
        let is_ending = Arc::new(AtomicBool::new(false));
        let mut desk = Desk {
            below: format!("{}/control/", config.prefix),
            most_charge_now: config.most_charge_now_amps,
            site,
            end_program,
            told: BTreeSet::new(),
        };
        let flag = Arc::clone(&is_ending);
        let thread = std::thread::Builder::new()
            .name("control MQTT".to_owned())
            .stack_size(256 * 1024)
            .spawn(move || desk.serve(&subscription, &flag))
            .map_err(ControlError::NoThread)?;
        Ok(ControlMqtt { is_ending, thread: Some(thread) })
    }

    /// Takes no more commands, and waits for the one in hand.
    pub fn shutdown(mut self) {
        self.end();
    }

    fn end(&mut self) {
        self.is_ending.store(true, Ordering::Release);
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            log::error!("the thread of control.MQTT failed inside; please report this");
        }
    }
}

impl Drop for ControlMqtt {
    fn drop(&mut self) {
        self.end();
    }
}

/// What is subscribed to for a prefix. Whoever else wants to hear of commands subscribes exactly this, for brokers send a
/// message that two different filters match twice.
#[must_use]
pub fn filter(prefix: &str) -> String {
    format!("{prefix}/control/#")
}

struct Desk<F> {
    below: String,
    most_charge_now: f64,
    site: Arc<dyn SitePort>,
    end_program: F,
    told: BTreeSet<String>,
}

impl<F: Fn()> Desk<F> {
    fn serve(&mut self, subscription: &Subscription, is_ending: &AtomicBool) {
        let mut lost = 0;
        while !is_ending.load(Ordering::Acquire) {
            if let Some(message) = subscription.recv_timeout(LOOK_UP) {
                self.take(&message);
            }
            let dropped = subscription.dropped();
            if dropped > lost {
                log::warn!("MQTT: {} commands came too fast and were not obeyed", dropped - lost);
                lost = dropped;
            }
        }
    }

    fn take(&mut self, message: &Message) {
        let Some(topic) = message.topic.strip_prefix(&self.below) else { return };
        if message.retained {
            self.tell_of_retained(&message.topic);
            return;
        }
        let shown: String =
            message.text().unwrap_or("(no text)").chars().filter(|c| !c.is_control()).take(SHOWN).collect();
        let order = message
            .text()
            .ok_or_else(|| "the payload is no text".to_owned())
            .and_then(|payload| order::parse(topic, payload));
        match order.and_then(|order| obey::obey(&order, &*self.site, self.most_charge_now).map(|()| order)) {
            Ok(order) => {
                log::info!("MQTT: {topic} {shown}");
                if order == Order::EndProgram {
                    (self.end_program)();
                }
            }
            Err(why) => log::warn!("MQTT: {topic} {shown:?} is not obeyed: {why}"),
        }
    }

    fn tell_of_retained(&mut self, topic: &str) {
        if self.told.len() < MOST_TOLD && self.told.insert(topic.to_owned()) {
            log::warn!(
                "MQTT: the broker keeps a command on {topic}; it is not obeyed, for its age is unknown. Publish commands \
                 without the retain flag, and clear this one with an empty retained message"
            );
        }
    }
}
