//! Energy source: numbers that somebody publishes over MQTT, one topic for each quantity.
//!
//! A payload is a number in watts, with or without a unit; with a topic such as `house/live#power` it is JSON and the part
//! behind `#` is the path of the number in it. A push takes effect at once. What the broker kept from before
//! (retained) has an unknown age and is not used until the first live message of any topic proves the sender alive.
//!
//! Facts: TWCManager's `EMS/MQTT.py` (keys); configuration and quirks in `docs/ems/mqtt.md`.

mod values;

use std::time::{Duration, Instant};

use ems::{Ems, EmsDriver, EmsError, EmsReading, KeyKind, KeySpec, Pace, Section, Shared, Stop};
use mqtt_link::{Broker, Hub, Link, Subscription, Tls};

use values::{Quantity, Values};

/// How often a waiting driver looks whether it should end.
const LOOK_UP: Duration = Duration::from_secs(1);
/// A value that was not published anew for so long is unknown, unless `maxAge` says otherwise.
const MAX_AGE_S: f64 = 120.0;

/// The driver, for the registry.
pub const DRIVER: EmsDriver = EmsDriver {
    name: "MQTT",
    summary: "numbers that somebody publishes over MQTT",
    keys: &[
        KeySpec::new("brokerIP", KeyKind::Text, "Address of the broker"),
        KeySpec::new("brokerPort", KeyKind::Port, "Its port (default 1883, 8883 with brokerTLS)"),
        KeySpec::new("brokerTLS", KeyKind::Flag, "Whether to encrypt (default false)"),
        KeySpec::new("username", KeyKind::Text, "User; used when there is a password too"),
        KeySpec::new("password", KeyKind::Secret, "Password"),
        KeySpec::new("topicConsumption", KeyKind::Text, "Topic of consumption in W"),
        KeySpec::new("topicGeneration", KeyKind::Text, "Topic of generation in W"),
        KeySpec::new("topicGrid", KeyKind::Text, "Topic of grid power in W, import positive"),
        KeySpec::new("topicGridAmpsL1", KeyKind::Text, "Topic of the grid current on L1 in A, import positive"),
        KeySpec::new("topicGridAmpsL2", KeyKind::Text, "Topic of the grid current on L2"),
        KeySpec::new("topicGridAmpsL3", KeyKind::Text, "Topic of the grid current on L3"),
        KeySpec::new("topicBattery", KeyKind::Text, "Topic of battery power in W, discharge positive"),
        KeySpec::new("topicBatterySoc", KeyKind::Text, "Topic of the battery's charge in percent"),
        KeySpec::new("maxAge", KeyKind::Number, "Seconds after which a value that was not repeated is unknown (120)"),
    ],
    open,
};

fn open(section: &mut Section, shared: &Shared) -> Option<Box<dyn Ems>> {
    let host = section.required_text("brokerIP");
    let is_tls = section.flag("brokerTLS", false);
    let port = section.port("brokerPort", if is_tls { 8883 } else { 1883 });
    let mut broker = Broker::new(&host, port);
    if let (Some(user), Some(password)) = (section.text("username"), section.text("password")) {
        broker = broker.login(&user, &password);
    }
    if is_tls {
        broker = broker.tls(Tls::default());
    }
    let max_age = Duration::from_secs_f64(section.number_within("maxAge", MAX_AGE_S, 1.0, 86_400.0));
    let topics: Vec<(Quantity, String)> =
        Quantity::KEYS.iter().filter_map(|(quantity, key)| Some((*quantity, section.text(key)?))).collect();
    if topics.is_empty() {
        section.error(
            "topicConsumption",
            "no topic is named; name at least topicConsumption, topicGeneration or topicGrid",
        );
    }
    if section.has_errors() {
        return None;
    }
    let values = Values::new(topics, max_age);
    let link = shared.get::<Hub>().link(broker);
    let opened = link.and_then(|link| Ok((link.subscribe(&values.filters())?, link)));
    match opened {
        Ok((subscription, link)) => Some(Box::new(Mqtt { values, subscription, link })),
        Err(error) => {
            section.error("brokerIP", error.to_string());
            None
        }
    }
}

struct Mqtt {
    values: Values,
    subscription: Subscription,
    link: Link,
}

impl Ems for Mqtt {
    fn read(&mut self, stop: &Stop) -> Result<EmsReading, EmsError> {
        let started = Instant::now();
        while !stop.is_asked() {
            let mut has_news = false;
            let mut message = self.subscription.recv_timeout(LOOK_UP);
            // What came in together is one reading.
            while let Some(arrived) = message {
                has_news |= self.values.take(&arrived)?;
                message = self.subscription.try_recv();
            }
            if has_news {
                return Ok(self.values.reading(Instant::now())?);
            }
            if started.elapsed() >= self.values.patience() {
                return Err(EmsError::retry(self.silence()));
            }
        }
        Err(EmsError::stopped())
    }

    fn pace(&self) -> Pace {
        Pace::Pushed
    }
}

impl Mqtt {
    fn silence(&self) -> String {
        let status = self.link.status();
        match (status.connected_since, status.last_error) {
            (None, Some(error)) => error,
            (None, None) => format!("the broker {} cannot be reached; is its address right?", status.broker),
            (Some(_), _) => format!(
                "the broker {} answers, and nobody publishes on {}; look at the topics",
                status.broker,
                self.values.filters().join(", ")
            ),
        }
    }
}
