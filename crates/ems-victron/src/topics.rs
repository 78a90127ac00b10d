//! What a GX device publishes over MQTT, put together. Pure.
//!
//! Source: README of dbus-flashmq. `{"value": null}` is a value that this system does not have; an empty payload means that
//! its service left the bus, and then the value is unknown.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use ems::WireReading;
use ems_registers::same_sign;
use json_pick::Doc;

/// After so long without any message the device is gone.
pub(crate) const SILENCE: Duration = Duration::from_secs(60);
/// Everything is asked for anew this often; a value that misses two of them is gone.
const FULL_EVERY: Duration = Duration::from_secs(300);
const OLDEST: Duration = Duration::from_secs(660);
/// Publishing stops 60 s after the last sign of life.
const ALIVE_EVERY: Duration = Duration::from_secs(30);
/// Old firmware does not say when it has published everything.
const FULL_TAKES: Duration = Duration::from_secs(5);

#[derive(Debug, Clone, Copy, PartialEq)]
enum Value {
    Known(f64),
    /// This system has no such thing.
    Absent,
    /// It had, and its service left.
    Gone,
}

/// The newest of what was published.
#[derive(Debug, Default)]
pub struct Topics {
    portal: Option<String>,
    values: BTreeMap<String, (Value, Instant)>,
    first: Option<Instant>,
    last: Option<Instant>,
    is_complete: bool,
}

impl Topics {
    /// With the portal id where the user knows it.
    #[must_use]
    pub fn new(portal: Option<String>) -> Self {
        Topics { portal, ..Topics::default() }
    }

    /// The portal id, once it is known.
    #[must_use]
    pub fn portal(&self) -> Option<&str> {
        self.portal.as_deref()
    }

    /// What to subscribe to.
    #[must_use]
    pub fn filters(&self) -> Vec<String> {
        let portal = self.portal.as_deref().unwrap_or("+");
        ["system/0/#", "grid/+/Ac/#", "full_publish_completed"].map(|tail| format!("N/{portal}/{tail}")).to_vec()
    }

    /// Takes a message; whether it is news of a value. What the broker kept from before only tells the portal id.
    ///
    /// # Errors
    /// A sentence, for a payload that is something else.
    pub fn take(&mut self, topic: &str, payload: &[u8], is_retained: bool, at: Instant) -> Result<bool, String> {
        let mut levels = topic.splitn(3, '/');
        let (Some("N"), Some(portal), Some(path)) = (levels.next(), levels.next(), levels.next()) else {
            return Ok(false);
        };
        if self.portal.get_or_insert_with(|| portal.to_owned()) != portal || is_retained {
            return Ok(false);
        }
        self.first.get_or_insert(at);
        self.last = Some(at);
        if path == "full_publish_completed" {
            self.is_complete = true;
            return Ok(true);
        }
        if !is_wanted(path) {
            return Ok(false);
        }
        let value = match payload {
            [] => Ok(Value::Gone),
            _ => parse(payload).map_err(|why| format!("the topic {topic}: {why}")),
        };
        // A wrong value is no value: the one before it must not live on.
        let stored = value.clone().unwrap_or(Value::Gone);
        if self.values.len() < 200 || self.values.contains_key(path) {
            self.values.insert(path.to_owned(), (stored, at));
        }
        value.map(|_| true)
    }

    /// Whether everything has been published once, so that sums are whole.
    #[must_use]
    pub fn is_complete(&self, now: Instant) -> bool {
        self.is_complete || self.first.is_some_and(|first| now.saturating_duration_since(first) >= FULL_TAKES)
    }

    /// When the last message came.
    #[must_use]
    pub fn last(&self) -> Option<Instant> {
        self.last
    }

    /// What is known at `now`.
    #[must_use]
    pub fn reading(&self, now: Instant) -> WireReading {
        let generation: Vec<String> = ["PvOnOutput", "PvOnGrid", "PvOnGenset"]
            .iter()
            .flat_map(|place| phases(&format!("system/0/Ac/{place}")))
            .chain(["system/0/Dc/Pv/Power".to_owned()])
            .collect();
        let grid = phases("system/0/Ac/Grid");
        let one = |path: &str| self.sum(&[path.to_owned()], now);
        let mut reading = WireReading {
            generation_w: self.sum(&generation, now).and_then(ems::generation),
            consumption_w: self.sum(&phases("system/0/Ac/Consumption"), now).map(|watts| watts.max(0.0)),
            grid_w: self.sum(&grid, now),
            battery_w: one("system/0/Dc/Battery/Power").map(|watts| -watts),
            battery_soc: one("system/0/Dc/Battery/Soc").filter(|soc| (0.0..=100.0).contains(soc)),
            ..WireReading::default()
        };
        let known = |list: [Option<f64>; 3]| list.iter().any(Option::is_some).then(|| list.to_vec());
        let watts = [0, 1, 2].map(|at| grid.get(at).and_then(|path| one(path)));
        reading.grid_phase_w = known(watts);
        let meter = |at: usize, what: &str| {
            let end = format!("/Ac/L{}/{what}", at + 1);
            let mut paths = self.values.keys().filter(|path| path.starts_with("grid/") && path.ends_with(&end));
            paths.find_map(|path| one(path))
        };
        reading.grid_volts =
            known([0, 1, 2].map(|at| meter(at, "Voltage").filter(|volts| (0.0..=1000.0).contains(volts))));
        reading.grid_amps = known([0, 1, 2].map(|at| {
            let power = watts.get(at).copied().flatten();
            meter(at, "Current").map(|amps| same_sign(amps, power))
        }));
        reading
    }

    /// What is not there adds nothing; one that left, or was not heard of for long, makes the sum unknown.
    fn sum(&self, paths: &[String], now: Instant) -> Option<f64> {
        let mut total = None;
        for (value, at) in paths.iter().filter_map(|path| self.values.get(path)) {
            match value {
                Value::Known(watts) if now.saturating_duration_since(*at) <= OLDEST => {
                    total = Some(total.unwrap_or(0.0) + watts);
                }
                Value::Absent => {}
                _ => return None,
            }
        }
        total
    }
}

fn phases(place: &str) -> Vec<String> {
    (1..=3).map(|phase| format!("{place}/L{phase}/Power")).collect()
}

fn is_wanted(path: &str) -> bool {
    match path.strip_prefix("system/0/") {
        Some(rest) => {
            rest.starts_with("Ac/") && rest.ends_with("/Power")
                || matches!(rest, "Dc/Pv/Power" | "Dc/Battery/Power" | "Dc/Battery/Soc")
        }
        None => path.starts_with("grid/") && (path.ends_with("/Voltage") || path.ends_with("/Current")),
    }
}

fn parse(payload: &[u8]) -> Result<Value, String> {
    let document: serde_json::Value = serde_json::from_slice(payload).map_err(|error| format!("no JSON: {error}"))?;
    let number = Doc::new(&document).number("value").map_err(|error| error.to_string())?;
    match number {
        Some(number) if number.abs() > 1e6 => Err(format!("{number} is too large to be measured in a house")),
        Some(number) => Ok(Value::Known(number)),
        None => Ok(Value::Absent),
    }
}

/// When to tell the device that somebody listens.
#[derive(Debug, Default)]
pub struct KeepAlive {
    sent: Option<Instant>,
    full: Option<Instant>,
    connections: u64,
}

impl KeepAlive {
    /// The payload for `R/<portal id>/keepalive` that is due; `connections` is how many there were so far.
    pub fn due(&mut self, now: Instant, connections: u64) -> Option<&'static str> {
        let since = |at: Option<Instant>, period| at.is_none_or(|at| now.saturating_duration_since(at) >= period);
        let is_new = self.connections != connections;
        if is_new || since(self.full, FULL_EVERY) {
            (self.sent, self.full, self.connections) = (Some(now), Some(now), connections);
            return Some("");
        }
        if since(self.sent, ALIVE_EVERY) {
            self.sent = Some(now);
            return Some(r#"{"keepalive-options":["suppress-republish"]}"#);
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn topics(messages: &[(&str, &str)], at: Instant) -> Topics {
        let mut topics = Topics::new(Some("c0".to_owned()));
        for (path, payload) in messages {
            topics.take(&format!("N/c0/{path}"), payload.as_bytes(), false, at).unwrap();
        }
        topics
    }

    #[test]
    fn recordings_read_right() {
        let now = Instant::now();
        for recording in recordings::vendor("victron").into_iter().filter(|r| r.name().starts_with("mqtt")) {
            let mut topics = Topics::default();
            for message in recording.json().as_array().unwrap() {
                let text = |key: &str| message[key].as_str().unwrap().to_owned();
                topics.take(&text("topic"), text("payload").as_bytes(), false, now).unwrap();
            }
            let found = topics.reading(now);
            recording.assert_number("generation_w", found.generation_w);
            recording.assert_number("consumption_w", found.consumption_w);
            recording.assert_number("grid_w", found.grid_w);
            recording.assert_number("battery_w", found.battery_w);
            recording.assert_number("battery_soc", found.battery_soc);
        }
    }

    #[test]
    fn what_left_the_bus_is_unknown_and_what_never_was_adds_nothing() {
        let now = Instant::now();
        let all = [
            ("system/0/Ac/Grid/L1/Power", r#"{"value":100}"#),
            ("system/0/Ac/Grid/L2/Power", r#"{"value":null}"#),
            ("system/0/Ac/PvOnGrid/L1/Power", r#"{"value":500}"#),
            ("system/0/Dc/Pv/Power", r#"{"value":70.5}"#),
            ("grid/30/Ac/L1/Current", r#"{"value":-0.6}"#),
            ("grid/30/Ac/L1/Voltage", r#"{"value":231.2}"#),
        ];
        let mut topics = topics(&all, now);
        let found = topics.reading(now);
        assert_eq!((found.grid_w, found.generation_w, found.battery_w), (Some(100.0), Some(570.5), None));
        assert_eq!((found.grid_amps.unwrap()[0], found.grid_volts.unwrap()[0]), (Some(0.6), Some(231.2)));
        topics.take("N/c0/system/0/Dc/Pv/Power", b"", false, now).unwrap();
        assert_eq!(topics.reading(now).generation_w, None);
        assert!(topics.take("N/c0/system/0/Ac/Grid/L1/Power", b"<html>", false, now).is_err());
        assert_eq!(topics.reading(now).grid_w, None);
        assert!(topics.take("N/c0/system/0/Ac/Grid/L1/Power", br#"{"value":1e308}"#, false, now).is_err());
        assert_eq!(topics.reading(now).grid_w, None);
    }

    #[test]
    fn values_age_and_kept_messages_are_not_believed() {
        let start = Instant::now();
        let mut topics = topics(&[("system/0/Ac/Grid/L1/Power", r#"{"value":100}"#)], start);
        assert_eq!(topics.reading(start + Duration::from_secs(700)).grid_w, None);
        assert_eq!(topics.take("N/c0/system/0/Ac/Grid/L1/Power", br#"{"value":9}"#, true, start), Ok(false));
        assert_eq!(topics.reading(start).grid_w, Some(100.0));
        assert_eq!(topics.take("N/other/system/0/Ac/Grid/L1/Power", br#"{"value":9}"#, false, start), Ok(false));
        assert!(!topics.is_complete(start) && topics.is_complete(start + FULL_TAKES));
        topics.take("N/c0/full_publish_completed", b"{}", false, start).unwrap();
        assert!(topics.is_complete(start));
    }

    #[test]
    fn the_device_is_kept_publishing() {
        let start = Instant::now();
        let mut alive = KeepAlive::default();
        let sent: Vec<(u64, &str)> =
            (0..400).filter_map(|s| alive.due(start + Duration::from_secs(s), 1).map(|p| (s, p))).collect();
        assert_eq!((sent[0], sent[1].0, sent.len()), ((0, ""), 30, 14));
        assert_eq!(
            sent.iter().filter(|(_, payload)| payload.is_empty()).map(|(s, _)| *s).collect::<Vec<_>>(),
            [0, 300]
        );
        assert_eq!(alive.due(start + Duration::from_secs(401), 2), Some(""));
    }

    proptest::proptest! {
        #[test]
        fn any_message_is_taken_or_refused(topic in "(N/c0/)?[a-zA-Z0-9/]{0,40}", payload in ".{0,40}") {
            let (mut topics, now) = (Topics::new(None), Instant::now());
            let _ = topics.take(&topic, payload.as_bytes(), false, now);
            let _ = topics.take("N/c0/system/0/Dc/Battery/Soc", payload.as_bytes(), false, now);
            proptest::prop_assert!(topics.reading(now).into_reading(now).is_ok());
        }
    }
}
