//! The thread: messages in, reports out.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use mqtt_link::{Broker, Hub, Link, Subscription};
use vehicle::{
    Abilities, Answer, Ask, CarKey, Nearness, Outcome, Refusal, Request, Spent, Trouble, VehicleListener, VehicleSource,
};

use crate::{Clock, Error, Reader};

/// How often a waiting thread looks whether it was asked something or should end.
const LOOK_UP: Duration = Duration::from_millis(500);
/// Messages that follow one another within this time belong together ...
const TOGETHER: Duration = Duration::from_millis(100);
/// ... as long as a burst is not longer than this.
const LONGEST_BURST: Duration = Duration::from_secs(1);
/// A broker may be away for so long before it is spoken of.
const PATIENCE: Duration = Duration::from_secs(60);
/// Messages that may wait: a sender repeats all its topics at once.
const QUEUE: usize = 4096;

/// Where to listen.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// Name of the source, such as `TeslaMate`.
    pub name: &'static str,
    /// The section of the configuration, for messages.
    pub section: &'static str,
    /// The broker.
    pub broker: Broker,
    /// What to subscribe to.
    pub filters: Vec<String>,
    /// What to tell when nothing at all comes within a minute; `None` where silence is normal.
    pub silence: Option<String>,
    /// How near this source is.
    pub nearness: Nearness,
}

/// Starts listening. A broker that is away is no error: it is told as a trouble, and the link goes on trying.
///
/// # Errors
/// [`Error::Link`] for a broker or topics that cannot be used, [`Error::Thread`].
pub fn open(
    settings: Settings,
    hub: &Hub,
    reader: impl Reader,
    listener: Arc<dyn VehicleListener>,
) -> Result<Arc<dyn VehicleSource>, Error> {
    let Settings { name, section, broker, filters, silence, nearness } = settings;
    let failed = |source| Error::Link { section, source };
    let link = hub.link(broker).map_err(failed)?;
    let filters: Vec<&str> = filters.iter().map(String::as_str).collect();
    let subscription = link.subscribe_with(&filters, QUEUE).map_err(failed)?;
    let (sender, asked) = channel();
    let stop = Arc::new(AtomicBool::new(false));
    let worker =
        Worker { name: name.into(), section, silence, link, subscription, asked, listener, stop: Arc::clone(&stop) };
    std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(move || worker.run(reader))
        .map_err(|error| Error::Thread { section, detail: error.to_string() })?;
    Ok(Arc::new(Source { name, nearness, sender, stop }))
}

struct Source {
    name: &'static str,
    nearness: Nearness,
    sender: Sender<Ask>,
    stop: Arc<AtomicBool>,
}

impl VehicleSource for Source {
    fn name(&self) -> &str {
        self.name
    }

    fn abilities(&self, _car: &CarKey) -> Abilities {
        Abilities { nearness: self.nearness, ..Abilities::default() }
    }

    fn ask(&self, ask: Ask) {
        // The thread ends after this value only, unless it panicked; that is in the log then.
        if self.sender.send(ask).is_err() {
            log::warn!("{}: its thread has ended; a question stays without an answer", self.name);
        }
    }
}

impl Drop for Source {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

struct Worker {
    name: Arc<str>,
    section: &'static str,
    silence: Option<String>,
    link: Link,
    subscription: Subscription,
    asked: Receiver<Ask>,
    listener: Arc<dyn VehicleListener>,
    stop: Arc<AtomicBool>,
}

impl Worker {
    fn run(self, mut reader: impl Reader) {
        let mut watch = Watch { away_since: Some(Instant::now()), ..Watch::default() };
        while !self.stop.load(Ordering::Relaxed) {
            watch.has_heard |= self.listen(&mut reader);
            for report in reader.news(Clock::read()) {
                self.listener.report(report);
            }
            for ask in self.asked.try_iter() {
                self.answer(&reader, ask);
            }
            self.look_after(&mut watch);
        }
        for ask in self.asked.try_iter() {
            let text = format!("{} is being switched off", self.name);
            self.tell(&ask, Outcome::Later { after: None, text });
        }
    }

    /// Takes the messages of one burst; whether there were any.
    fn listen(&self, reader: &mut impl Reader) -> bool {
        let Some(first) = self.subscription.recv_timeout(LOOK_UP) else { return false };
        let end = Instant::now() + LONGEST_BURST;
        reader.take(&first, Clock::read());
        while let Some(message) = self.subscription.recv_timeout(TOGETHER) {
            reader.take(&message, Clock::read());
            if Instant::now() >= end {
                break;
            }
        }
        true
    }

    /// It listens, and cannot ask anybody: all it can do is to tell again what it heard.
    fn answer(&self, reader: &impl Reader, ask: Ask) {
        let outcome = match ask.request {
            Request::List => {
                reader.all(Clock::read()).into_iter().for_each(|report| self.listener.report(report));
                Outcome::Done
            }
            _ => Outcome::Refused(Refusal::Other),
        };
        self.tell(&ask, outcome);
    }

    fn tell(&self, ask: &Ask, outcome: Outcome) {
        let (source, car) = (Arc::clone(&self.name), ask.car.clone());
        self.listener.answered(Answer { id: ask.id, source, car, outcome, spent: Spent::NOTHING });
    }

    fn look_after(&self, watch: &mut Watch) {
        let now = Instant::now();
        let status = self.link.status();
        let trouble = match status.connected_since {
            Some(since) => {
                watch.away_since = None;
                let is_silent = !watch.has_heard && now.saturating_duration_since(since) >= PATIENCE;
                self.silence.as_ref().filter(|_| is_silent).map(|text| ("silent", text.clone()))
            }
            None => {
                let since = *watch.away_since.get_or_insert(now);
                (now.saturating_duration_since(since) >= PATIENCE).then(|| {
                    let why = status.last_error.unwrap_or_else(|| "it does not answer".to_owned());
                    let broker = status.broker;
                    let section = self.section;
                    (
                        "unreachable",
                        format!("the MQTT broker {broker} cannot be reached: {why}; look at {section}.mqtt_host"),
                    )
                })
            }
        };
        let code = trouble.as_ref().map(|(code, _)| *code);
        if code != watch.told {
            watch.told = code;
            let trouble = trouble.map(|(code, text)| Trouble { code, text, needs_person: code == "silent" });
            self.listener.trouble(&self.name, trouble);
        }
    }
}

/// What is remembered for troubles.
#[derive(Default)]
struct Watch {
    away_since: Option<Instant>,
    has_heard: bool,
    told: Option<&'static str>,
}
