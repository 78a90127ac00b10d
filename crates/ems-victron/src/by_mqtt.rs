//! The driver over MQTT.

use std::time::{Duration, Instant};

use ems::{Ems, EmsError, EmsReading, Pace, Section, Shared, Stop};
use ems_registers::host_and_port;
use mqtt_link::{Broker, Hub, Link, Roots, Subscription, Tls};

use crate::topics::{KeepAlive, SILENCE, Topics};

/// How often a waiting driver looks whether it should end.
const LOOK_UP: Duration = Duration::from_secs(1);
/// A burst of messages is over after such a pause; what it tells belongs together.
const PAUSE: Duration = Duration::from_millis(100);
/// A burst that does not end is cut into readings of this length.
const LONGEST_BURST: Duration = Duration::from_secs(1);
/// A full publication of a large system has a thousand messages.
const QUEUE: usize = 4096;

pub(crate) fn open(section: &mut Section, inner: &mut Section, shared: &Shared) -> Option<Box<dyn Ems>> {
    let host = section.required_text("serverIP");
    let is_tls = inner.flag("tls", false);
    let port = inner.port("port", if is_tls { 8883 } else { 1883 });
    let (host, _) = host_and_port(section, "serverIP", &host, port)?;
    let mut broker = Broker::new(&host, port);
    let user = inner.text("username");
    if let Some(password) = inner.text("password") {
        // The GX device does not look at the user's name.
        broker = broker.login(user.as_deref().unwrap_or("twcmanager"), &password);
    }
    if is_tls {
        let roots = match inner.path_of("caFile") {
            Some(path) => match std::fs::read_to_string(&path) {
                Ok(pem) => Roots::Pem(pem),
                Err(error) => {
                    inner.error("caFile", format!("{} cannot be read: {error}", path.display()));
                    return None;
                }
            },
            None => Roots::System,
        };
        broker = broker.tls(Tls { roots, ..Tls::default() });
    }
    let topics = Topics::new(inner.text("portalId"));
    let filters = topics.filters();
    let filters: Vec<&str> = filters.iter().map(String::as_str).collect();
    let link = shared.get::<Hub>().link(broker);
    match link.and_then(|link| Ok((link.subscribe_with(&filters, QUEUE)?, link))) {
        Ok((subscription, link)) => {
            Some(Box::new(VictronMqtt { topics, alive: KeepAlive::default(), subscription, link }))
        }
        Err(error) => {
            section.error("mqtt", error.to_string());
            None
        }
    }
}

struct VictronMqtt {
    topics: Topics,
    alive: KeepAlive,
    subscription: Subscription,
    link: Link,
}

impl VictronMqtt {
    /// Tells the device that somebody listens; without that it falls silent.
    fn keep_alive(&mut self) {
        let status = self.link.status();
        if status.connected_since.is_none() {
            return;
        }
        if let Some(portal) = self.topics.portal()
            && let Some(payload) = self.alive.due(Instant::now(), status.connections)
            && self.link.send(&format!("R/{portal}/keepalive"), payload).is_err()
        {
            // The connection broke this moment: everything is asked for on the next one.
            self.alive = KeepAlive::default();
        }
    }

    fn silence(&self) -> String {
        let status = self.link.status();
        match (status.connected_since, status.last_error) {
            (None, Some(error)) => error,
            (None, None) => format!("the GX device's broker {} cannot be reached; check `serverIP`", status.broker),
            (Some(_), _) if self.topics.portal().is_none() => format!(
                "the broker {} answers, and no GX device publishes there; switch MQTT on in the device, and set \
                 `mqtt.portalId` to its VRM portal id",
                status.broker
            ),
            (Some(_), _) => format!("the GX device at {} has fallen silent; look at its display", status.broker),
        }
    }
}

impl Ems for VictronMqtt {
    fn read(&mut self, stop: &Stop) -> Result<EmsReading, EmsError> {
        let started = Instant::now();
        while !stop.is_asked() {
            self.keep_alive();
            let mut has_news = false;
            let mut message = self.subscription.recv_timeout(LOOK_UP);
            let burst = Instant::now();
            while let Some(arrived) = message {
                let taken = self.topics.take(&arrived.topic, &arrived.payload, arrived.retained, arrived.received);
                has_news |= taken.map_err(EmsError::garbled)?;
                message = match burst.elapsed() < LONGEST_BURST {
                    true => self.subscription.recv_timeout(PAUSE),
                    false => None,
                };
            }
            let now = Instant::now();
            if has_news && self.topics.is_complete(now) {
                let taken_at = self.topics.last().unwrap_or(now);
                return self.topics.reading(now).into_reading(taken_at).map_err(EmsError::garbled);
            }
            if started.elapsed() >= SILENCE {
                return Err(EmsError::retry(self.silence()));
            }
        }
        Err(EmsError::stopped())
    }

    fn pace(&self) -> Pace {
        Pace::Pushed
    }
}
