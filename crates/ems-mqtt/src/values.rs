//! The newest value of each topic, and what they make together. Pure.

use std::time::{Duration, Instant};

use ems::units::{Amps, OutOfRange, PerPhase, Percent, Watts};
use ems::{EmsError, EmsReading};
use mqtt_link::Message;

/// What a topic tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Quantity {
    Consumption,
    Generation,
    Grid,
    GridAmps(usize),
    Battery,
    BatterySoc,
}

impl Quantity {
    /// Which key names its topic.
    pub const KEYS: [(Quantity, &'static str); 8] = [
        (Quantity::Consumption, "topicConsumption"),
        (Quantity::Generation, "topicGeneration"),
        (Quantity::Grid, "topicGrid"),
        (Quantity::GridAmps(0), "topicGridAmpsL1"),
        (Quantity::GridAmps(1), "topicGridAmpsL2"),
        (Quantity::GridAmps(2), "topicGridAmpsL3"),
        (Quantity::Battery, "topicBattery"),
        (Quantity::BatterySoc, "topicBatterySoc"),
    ];
}

struct Channel {
    quantity: Quantity,
    topic: String,
    pick: Option<String>,
    value: Option<(f64, Instant)>,
    is_live: bool,
}

/// The newest value of each topic.
pub(crate) struct Values {
    channels: Vec<Channel>,
    max_age: Duration,
}

impl Values {
    pub fn new(topics: Vec<(Quantity, String)>, max_age: Duration) -> Self {
        let channels = topics
            .into_iter()
            .map(|(quantity, text)| {
                let (topic, pick) = match text.split_once('#') {
                    Some((topic, pick)) if !pick.is_empty() => (topic.to_owned(), Some(pick.to_owned())),
                    _ => (text, None),
                };
                Channel { quantity, topic, pick, value: None, is_live: false }
            })
            .collect();
        Values { channels, max_age }
    }

    /// The topics to subscribe to, each once.
    pub fn filters(&self) -> Vec<&str> {
        let mut topics: Vec<&str> = self.channels.iter().map(|channel| channel.topic.as_str()).collect();
        topics.sort_unstable();
        topics.dedup();
        topics
    }

    /// How long silence is no failure yet.
    pub fn patience(&self) -> Duration {
        self.max_age
    }

    /// Takes a message. Returns whether it makes a new reading; one that the broker kept from before does not.
    pub fn take(&mut self, message: &Message) -> Result<bool, EmsError> {
        let mut is_live = false;
        for channel in self.channels.iter_mut().filter(|channel| channel.topic == message.topic) {
            let text = String::from_utf8_lossy(&message.payload);
            let number = json_pick::number_in(&text, channel.pick.as_deref()).map_err(|error| {
                // A wrong value is no value: the one before it must not live on.
                channel.value = None;
                EmsError::garbled(format!("the topic {}: {error}", channel.topic))
            })?;
            channel.value = number.map(|number| (number, message.received));
            channel.is_live |= !message.retained;
            is_live |= !message.retained;
        }
        Ok(is_live)
    }

    /// What is known at `now`. It is as old as its oldest part.
    pub fn reading(&self, now: Instant) -> Result<EmsReading, OutOfRange> {
        let is_sender_alive = self.channels.iter().any(|channel| channel.is_live);
        let known = |quantity: Quantity| {
            self.channels
                .iter()
                .filter(|channel| channel.quantity == quantity && is_sender_alive)
                .find_map(|channel| channel.value)
                .filter(|(_, at)| now.saturating_duration_since(*at) <= self.max_age)
        };
        let number = |quantity| known(quantity).map(|(number, _)| number);
        let taken_at = Quantity::KEYS.iter().filter_map(|(quantity, _)| known(*quantity)).map(|(_, at)| at).min();
        let amps = |phase| number(Quantity::GridAmps(phase)).map(Amps::new).transpose();
        Ok(EmsReading {
            consumption: number(Quantity::Consumption).map(Watts::new).transpose()?,
            generation: number(Quantity::Generation).map(Watts::new).transpose()?,
            grid: number(Quantity::Grid).map(Watts::new).transpose()?,
            grid_current: PerPhase::new(amps(0)?, amps(1)?, amps(2)?),
            battery: number(Quantity::Battery).map(Watts::new).transpose()?,
            battery_soc: number(Quantity::BatterySoc).map(Percent::new).transpose()?,
            ..EmsReading::at(taken_at.unwrap_or(now))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values() -> Values {
        let topics = vec![(Quantity::Consumption, "house".to_owned()), (Quantity::Grid, "live#grid.w".to_owned())];
        Values::new(topics, Duration::from_secs(120))
    }

    fn message(topic: &str, payload: &str, retained: bool, received: Instant) -> Message {
        Message { topic: topic.to_owned(), payload: payload.as_bytes().to_vec(), retained, received }
    }

    #[test]
    fn the_newest_of_each_topic_counts_and_the_oldest_part_is_the_age() {
        let (mut values, start) = (values(), Instant::now());
        let later = start + Duration::from_secs(30);
        assert!(values.take(&message("house", "640", false, start)).unwrap());
        assert!(values.take(&message("live", r#"{"grid":{"w":-200}}"#, false, later)).unwrap());
        let reading = values.reading(later).unwrap();
        assert_eq!((reading.consumption.map(Watts::get), reading.grid.map(Watts::get)), (Some(640.0), Some(-200.0)));
        assert_eq!(reading.taken_at, start);
    }

    #[test]
    fn a_value_that_is_not_repeated_becomes_unknown() {
        let (mut values, start) = (values(), Instant::now());
        values.take(&message("house", "640", false, start)).unwrap();
        let reading = values.reading(start + Duration::from_secs(121)).unwrap();
        assert_eq!(reading.consumption, None);
    }

    #[test]
    fn what_the_broker_kept_waits_for_a_sign_of_life() {
        let (mut values, start) = (values(), Instant::now());
        assert!(!values.take(&message("house", "640", true, start)).unwrap());
        assert_eq!(values.reading(start).unwrap().consumption, None);
        values.take(&message("live", r#"{"grid":{"w":5}}"#, false, start)).unwrap();
        assert_eq!(values.reading(start).unwrap().consumption.map(Watts::get), Some(640.0));
    }

    #[test]
    fn an_impossible_value_replaces_the_good_one_by_nothing() {
        let (mut values, start) = (values(), Instant::now());
        values.take(&message("house", "640", false, start)).unwrap();
        values.take(&message("house", "nan", false, start)).unwrap();
        assert_eq!(values.reading(start).unwrap().consumption, None);
        values.take(&message("house", "640", false, start)).unwrap();
        assert!(values.take(&message("house", "<html>", false, start)).is_err());
        assert_eq!(values.reading(start).unwrap().consumption, None);
    }

    #[test]
    fn recordings_read_right() {
        for recording in recordings::vendor("mqtt") {
            let found = json_pick::number_in(&recording.text(), None).ok().flatten();
            recording.assert_number("consumption_w", found);
            recording.assert_number("generation_w", found);
        }
    }
}
