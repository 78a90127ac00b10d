//! Energy source: smart meters with a P1 port, on a serial cable or behind a network gateway that passes its bytes on.
//!
//! ```text
//! Port (serial or TCP) --bytes--> Receiver (frames, decrypts, checks, counts) --Telegram--> EmsReading
//! ```
//!
//! The meter pushes a telegram each second or each ten seconds; every one becomes a reading at once. What telegrams are and
//! tell is in the crate `p1-telegram`. Readers that tell single values over HTTP are asked each five seconds.
//!
//! Facts: DSMR companion standards; configuration and quirks in `docs/ems/dsmr.md`.

mod http;
mod port;
mod receiver;

use std::io::ErrorKind;
use std::time::{Duration, Instant};

use ems::{
    Attribute, Ems, EmsDriver, EmsError, EmsErrorKind, EmsReading, KeyKind, KeySpec, Pace, Section, Shared, Stop,
};
use ems_meter::{Role, WHOLE_AMPS};
use p1_telegram::Decryptor;

pub use http::{actual, sensor};
use port::{Place, Port};
use receiver::Receiver;

/// TWCManager's default.
const SERIAL_PORT: &str = "/dev/ttyUSB2";
/// Meters of DSMR 4 and later.
const FAST: u32 = 115_200;
/// Meters of DSMR 2.2 and 3.
const SLOW: u32 = 9_600;
/// Three telegrams of the slowest meters, which send one each ten seconds.
const PATIENCE: Duration = Duration::from_secs(30);
/// While the speed is being found out: enough for one telegram at the faster one.
const FIRST_PATIENCE: Duration = Duration::from_secs(15);
/// The same telegram, time stamp included, for so long: the gateway repeats what it once heard.
const FROZEN_AFTER: Duration = Duration::from_secs(60);

/// The driver, for the registry.
pub const DRIVER: EmsDriver = EmsDriver {
    name: "DSMR",
    summary: "smart meters with a P1 port (DSMR and its dialects), by cable or network",
    keys: &[
        KeySpec::new("serialPort", KeyKind::Text, "Device of the P1 cable (default /dev/ttyUSB2)"),
        KeySpec::new("baudrate", KeyKind::Number, "115200 (DSMR 4 and later) or 9600; found out when absent"),
        KeySpec::new(
            "host",
            KeyKind::Text,
            "Address of a network gateway that passes the bytes on, instead of a cable",
        ),
        KeySpec::new("port", KeyKind::Port, "Its port"),
        KeySpec::new(
            "url",
            KeyKind::Text,
            "Address of a reader that tells values over HTTP (ESPHome, DSMR-logger), instead",
        ),
        KeySpec::new("decryptionKey", KeyKind::Secret, "Key of an encrypted port (Luxembourg), from the grid operator"),
        KeySpec::new(
            "requireChecksum",
            KeyKind::Flag,
            "Whether telegrams without checksum are refused (default false)",
        ),
    ],
    open,
};

fn open(section: &mut Section, shared: &Shared) -> Option<Box<dyn Ems>> {
    if let Some(url) = section.text("url") {
        return http::open(section, shared, &url);
    }
    let place = match section.text("host") {
        Some(host) => network(section, &host),
        None => serial(section),
    };
    let decryptor = decryptor(section);
    let requires_checksum = section.flag("requireChecksum", false);
    let receiver = Receiver::new(decryptor, requires_checksum);
    (!section.has_errors()).then(|| {
        let clock = ems_http::Stamp::default();
        Box::new(Dsmr { place, port: None, receiver, clock, speed: 0 }) as Box<dyn Ems>
    })
}

fn decryptor(section: &mut Section) -> Option<Decryptor> {
    let mut decryptor = match Decryptor::new(&section.text("decryptionKey")?) {
        Ok(decryptor) => decryptor,
        Err(error) => {
            section.error("decryptionKey", format!("cannot be used: {error}"));
            return None;
        }
    };
    if let Some(key) = section.text("authenticationKey") {
        match decryptor.with_authentication_key(&key) {
            Ok(both) => decryptor = both,
            Err(error) => {
                section.error("authenticationKey", format!("cannot be used: {error}"));
                return None;
            }
        }
    }
    Some(decryptor)
}

fn network(section: &mut Section, host: &str) -> Place {
    if let Some(sample) = ems_http::placeholder(host) {
        section.error("host", format!("is still the placeholder `{sample}`; put the gateway's address there"));
    }
    if section.raw("serialPort").is_some() {
        section.warn("serialPort", "is not used, because there is a `host`; take one of them out");
    }
    let host = host.split_once("://").map_or(host, |(_, rest)| rest).trim_end_matches('/');
    let (host, inner) = match host.rsplit_once(':') {
        Some((name, port)) if !name.contains(':') || name.ends_with(']') => (name, port.parse().ok()),
        _ => (host, None),
    };
    let port = match (section.raw("port").is_some(), inner) {
        (true, _) => section.port("port", 0),
        (false, Some(port)) => port,
        (false, None) => {
            section.error("port", "is missing; the gateway's manual names it (often 23, 2001, 8088 or 8899)");
            0
        }
    };
    Place::Network { host: host.trim_matches(['[', ']']).to_owned(), port }
}

fn serial(section: &mut Section) -> Place {
    let path = section.text("serialPort").unwrap_or_else(|| SERIAL_PORT.to_owned());
    let speeds = match section.number("baudrate") {
        None => vec![FAST, SLOW],
        Some(baud) if baud.fract() == 0.0 && (300.0..=921_600.0).contains(&baud) => {
            // Whole and in range, so nothing is cut off.
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
            let baud = baud as u32;
            vec![baud]
        }
        Some(baud) => {
            section.error("baudrate", format!("is {baud}; P1 ports have 115200 or 9600"));
            vec![FAST]
        }
    };
    Place::Serial { path, speeds }
}

struct Dsmr {
    place: Place,
    port: Option<Port>,
    receiver: Receiver,
    clock: ems_http::Stamp,
    /// Which of the speeds is next, or proven.
    speed: usize,
}

impl Ems for Dsmr {
    fn read(&mut self, stop: &Stop) -> Result<EmsReading, EmsError> {
        let result = self.wait(stop);
        if result.is_err() {
            // Adapters come back under the same name, and gateways forget their clients: begin anew.
            self.port = None;
        }
        result
    }

    fn pace(&self) -> Pace {
        Pace::Pushed
    }
}

impl Dsmr {
    fn wait(&mut self, stop: &Stop) -> Result<EmsReading, EmsError> {
        let mut silent_since = Instant::now();
        let mut buffer = [0; 1024];
        let mut is_second_speed = false;
        while !stop.is_asked() {
            let port = match &mut self.port {
                Some(port) => port,
                None => {
                    self.receiver.reset();
                    self.port.insert(Port::open(&self.place, self.speed)?)
                }
            };
            match port.read(&mut buffer) {
                Ok(0) => return Err(self.failure(&format!("{} closed the connection", self.place))),
                Ok(count) => {
                    self.receiver.push(buffer.get(..count).unwrap_or_default());
                    if let Some(reading) = self.newest()? {
                        return Ok(reading);
                    }
                }
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(self.failure(&format!("{} cannot be read: {error}", self.place))),
            }
            let may_change = self.place.speeds() > 1 && !self.receiver.ever_heard() && !is_second_speed;
            let patience = if may_change { FIRST_PATIENCE } else { PATIENCE };
            if silent_since.elapsed() < patience {
                continue;
            }
            if !may_change {
                return Err(self.silence());
            }
            self.speed = (self.speed + 1) % self.place.speeds();
            (self.port, is_second_speed, silent_since) = (None, true, Instant::now());
        }
        Err(EmsError::stopped())
    }

    /// The reading of the newest good telegram that came in.
    fn newest(&mut self) -> Result<Option<EmsReading>, EmsError> {
        let Some((bytes, telegram)) = self.receiver.newest() else { return Ok(None) };
        let now = Instant::now();
        // A telegram with a time stamp is never the same twice.
        let taken_at = match &telegram.stamp {
            Some(_) => self.clock.taken_at(Some(&String::from_utf8_lossy(&bytes)), now),
            None => now,
        };
        if now.saturating_duration_since(taken_at) > FROZEN_AFTER {
            return Err(EmsError::retry(format!(
                "{} repeats one telegram with one time stamp; restart the gateway",
                self.place
            )));
        }
        let mut meter = telegram.meter();
        if self.receiver.tells_export() && !telegram.tells_export {
            meter.watts = None;
        }
        if meter.watts.is_none() && meter.phases.iter().all(|phase| phase.watts.is_none()) {
            return Err(EmsError::new(
                EmsErrorKind::Misconfigured,
                "the meter's telegrams have no power registers (1-0:1.7.0); ask the grid operator to open the port fully",
            ));
        }
        let mut reading = meter.reading(Role::Grid, taken_at)?;
        if telegram.has_whole_amps {
            reading.attributes.insert(WHOLE_AMPS.to_owned(), Attribute::Flag(true));
        }
        Ok(Some(reading))
    }

    fn failure(&self, what: &str) -> EmsError {
        EmsError::retry(match &self.place {
            Place::Serial { .. } => format!("{what}; look at the cable and at sources.DSMR.serialPort"),
            Place::Network { .. } => {
                format!("{what}; is another program connected to the gateway? Most serve one client only")
            }
        })
    }

    /// Why nothing useful came, as far as it can be told: each has another cure.
    fn silence(&self) -> EmsError {
        EmsError::retry(format!("{}: {}", self.place, self.receiver.why_silent()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(json: &str) -> Vec<String> {
        let mut section = Section::new("sources.DSMR", serde_json::from_str(json).unwrap());
        let opened = (DRIVER.open)(&mut section, &Shared::new());
        assert_eq!(opened.is_none(), section.has_errors());
        section.problems().iter().map(|problem| problem.key.clone()).collect()
    }

    #[test]
    fn old_configurations_open_and_mistakes_are_named() {
        let none: [&str; 0] = [];
        assert_eq!(problems(r#"{"enabled": true, "baudrate": 115200, "serialPort": "/dev/ttyUSB2"}"#), none);
        assert_eq!(problems(r#"{"baudrate": "9600"}"#), none);
        assert_eq!(problems(r#"{"host": "192.0.2.7", "port": "8088"}"#), none);
        assert_eq!(problems(r#"{"host": "tcp://p1.local:2001"}"#), none);
        assert_eq!(problems(r#"{"host": "192.0.2.7"}"#), ["sources.DSMR.port"]);
        assert_eq!(problems(r#"{"host": "x.x.x.x", "port": 23}"#), ["sources.DSMR.host"]);
        assert_eq!(problems(r#"{"url": "http://slimmelezer.local"}"#), none);
        assert_eq!(problems(r#"{"url": "ftp://slimmelezer.local"}"#), ["sources.DSMR.url"]);
        assert_eq!(problems(r#"{"baudrate": 1.5}"#), ["sources.DSMR.baudrate"]);
        assert_eq!(problems(r#"{"decryptionKey": "abc"}"#), ["sources.DSMR.decryptionKey"]);
        assert_eq!(problems(r#"{"host": "a", "port": 23, "serialPort": "/dev/x"}"#), ["sources.DSMR.serialPort"]);
    }
}
