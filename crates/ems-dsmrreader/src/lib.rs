//! Energy source: DSMR-reader, the program that collects a smart meter's telegrams, over MQTT or its REST interface.
//!
//! Over MQTT every message is a reading at once. What the broker kept from before (retained) has an unknown age and is not
//! used. A `timestamp` that stands still means values that stand still.
//!
//! Facts: DSMR-reader's documentation; TWCManager's `EMS/DSMRreader.py` (keys); quirks in `docs/ems/dsmrreader.md`.

mod parse;

use std::time::{Duration, Instant};

use ems::{Attribute, Ems, EmsDriver, EmsError, EmsReading, KeyKind, KeySpec, Pace, Section, Shared, Stop};
use ems_meter::{Role, WHOLE_AMPS};
use http_client::{Auth, Client, HttpError, Kind};
use json_pick::PickError;
use mqtt_link::{Broker, Hub, Link, Subscription, Tls};
use serde_json::Value;

pub use parse::{Message, live, newest, payload, reading};

/// TWCManager's default.
const TOPIC: &str = "dsmr/json";
/// How often a waiting driver looks whether it should end.
const LOOK_UP: Duration = Duration::from_secs(1);
/// Six messages of the slowest meters.
const PATIENCE: Duration = Duration::from_secs(60);
/// The stored readings, and the sum alone for versions that keep those to themselves.
const NEWEST: &str = "/api/v2/datalogger/dsmrreading?ordering=-timestamp&limit=1";
const LIVE: &str = "/api/v2/consumption/electricity-live";

/// The driver, for the registry.
pub const DRIVER: EmsDriver = EmsDriver {
    name: "DSMRreader",
    summary: "DSMR-reader, over MQTT or its REST interface",
    keys: &[
        KeySpec::new("brokerIP", KeyKind::Text, "Address of the MQTT broker that DSMR-reader publishes to"),
        KeySpec::new("brokerPort", KeyKind::Port, "Its port (default 1883, 8883 with brokerTLS)"),
        KeySpec::new("brokerTLS", KeyKind::Flag, "Whether to encrypt (default false)"),
        KeySpec::new("username", KeyKind::Text, "User at the broker; used when there is a password too"),
        KeySpec::new("password", KeyKind::Secret, "Password at the broker"),
        KeySpec::new(
            "topic",
            KeyKind::Text,
            "Topic of the JSON telegram (default dsmr/json) or of the raw one (dsmr/raw)",
        ),
        KeySpec::new(
            "serverIP",
            KeyKind::Text,
            "Address of DSMR-reader itself, to use its REST interface instead of MQTT",
        ),
        KeySpec::new("serverPort", KeyKind::Port, "Its port (default 80)"),
        KeySpec::new("apiKey", KeyKind::Secret, "Key of its REST interface"),
    ],
    open,
};

fn open(section: &mut Section, shared: &Shared) -> Option<Box<dyn Ems>> {
    let is_rest = section.raw("serverIP").is_some() && section.text("brokerIP").is_none();
    if is_rest { open_rest(section, shared) } else { open_mqtt(section, shared) }
}

fn open_rest(section: &mut Section, shared: &Shared) -> Option<Box<dyn Ems>> {
    let port = section.port("serverPort", 80);
    let value = section.required_text("apiKey");
    let base = ems_http::base(section, "serverIP", port, false);
    let client = ems_http::client(section, shared, base.as_deref(), "serverIP", |builder| {
        builder.auth(Auth::Header { name: "X-AUTHKEY".to_owned(), value })
    });
    let client = client.filter(|_| !section.has_errors())?;
    Some(Box::new(Rest { client, clock: ems_http::Stamp::default(), has_readings: true }))
}

fn open_mqtt(section: &mut Section, shared: &Shared) -> Option<Box<dyn Ems>> {
    let host = section.required_text("brokerIP");
    if ems_http::placeholder(&host).is_some() {
        section.error("brokerIP", "is still a placeholder; put the broker's address there");
    }
    let is_tls = section.flag("brokerTLS", false);
    let port = section.port("brokerPort", if is_tls { 8883 } else { 1883 });
    let mut broker = Broker::new(&host, port);
    match (section.text("username"), section.text("password")) {
        (Some(user), Some(password)) => broker = broker.login(&user, &password),
        (None, None) => {}
        _ => section.warn("username", "is used only together with a password; the broker is asked without a login"),
    }
    if is_tls {
        broker = broker.tls(Tls::default());
    }
    let topic = section.text("topic").unwrap_or_else(|| TOPIC.to_owned());
    if section.has_errors() {
        return None;
    }
    let opened = shared.get::<Hub>().link(broker).and_then(|link| Ok((link.subscribe(&[topic.as_str()])?, link)));
    match opened {
        Ok((subscription, link)) => {
            Some(Box::new(Mqtt { subscription, link, topic, clock: ems_http::Stamp::default() }))
        }
        Err(error) => {
            section.error("brokerIP", error.to_string());
            None
        }
    }
}

/// A reading, as old as the time stamp that it came with is known.
fn into_reading(message: &Message, clock: &mut ems_http::Stamp, now: Instant) -> Result<EmsReading, EmsError> {
    let taken_at = clock.taken_at(message.stamp.as_deref(), now);
    let mut reading = message.meter.reading(Role::Grid, taken_at)?;
    if message.has_whole_amps {
        reading.attributes.insert(WHOLE_AMPS.to_owned(), Attribute::Flag(true));
    }
    Ok(reading)
}

struct Mqtt {
    subscription: Subscription,
    link: Link,
    topic: String,
    clock: ems_http::Stamp,
}

impl Ems for Mqtt {
    fn read(&mut self, stop: &Stop) -> Result<EmsReading, EmsError> {
        let started = Instant::now();
        while !stop.is_asked() {
            let mut newest = None;
            let mut message = self.subscription.recv_timeout(LOOK_UP);
            while let Some(arrived) = message {
                match arrived.retained {
                    // Its time stamp is remembered, so that a live message that repeats it is not new.
                    true => drop(
                        parse::payload(&arrived.payload)
                            .map(|old| self.clock.taken_at(old.stamp.as_deref(), arrived.received)),
                    ),
                    false => newest = Some(arrived),
                }
                message = self.subscription.try_recv();
            }
            if let Some(arrived) = newest {
                let message = parse::payload(&arrived.payload)?;
                return into_reading(&message, &mut self.clock, arrived.received);
            }
            if started.elapsed() >= PATIENCE {
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
            (None, None) => {
                format!("the broker {} cannot be reached; look at sources.DSMRreader.brokerIP", status.broker)
            }
            (Some(_), _) => format!(
                "the broker {} answers, and nothing new is published on {}; switch the JSON telegram on in DSMR-reader under \
                 MQTT, and look at sources.DSMRreader.topic",
                status.broker, self.topic
            ),
        }
    }
}

struct Rest {
    client: Client,
    clock: ems_http::Stamp,
    /// Whether the stored readings can be had.
    has_readings: bool,
}

impl Ems for Rest {
    fn read(&mut self, _: &Stop) -> Result<EmsReading, EmsError> {
        let message = match self.has_readings.then(|| self.ask(NEWEST, parse::newest)) {
            Some(Ok(message)) => message,
            Some(Err(error)) if error.is_missing => {
                self.has_readings = false;
                self.ask(LIVE, parse::live).map_err(|error| error.error)?
            }
            Some(Err(error)) => return Err(error.error),
            None => self.ask(LIVE, parse::live).map_err(|error| error.error)?,
        };
        let message = message.ok_or_else(|| {
            EmsError::retry("DSMR-reader has no reading yet; look at the datalogger's state in its web page")
        })?;
        into_reading(&message, &mut self.clock, Instant::now())
    }
}

struct Refused {
    error: EmsError,
    is_missing: bool,
}

impl Rest {
    fn ask(
        &self,
        path: &str,
        parse: impl Fn(&Value) -> Result<Option<Message>, PickError>,
    ) -> Result<Option<Message>, Refused> {
        let refused = |error: &HttpError| Refused {
            error: match error.kind() {
                Kind::Status(401 | 403) => EmsError::new(
                    ems::EmsErrorKind::Denied,
                    format!("{error}; switch the API on in DSMR-reader and put its key into sources.DSMRreader.apiKey"),
                ),
                _ => ems_http::failed(error),
            },
            is_missing: *error.kind() == Kind::Status(404),
        };
        let value = self.client.get_json(path).map_err(|error| refused(&error))?;
        parse(&value).map_err(|error| Refused { error: ems_http::garbled(&error), is_missing: false })
    }
}
