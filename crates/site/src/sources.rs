//! The energy sources: the last reading of each, and how far it can be trusted for its age.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ems::{Attribute, EmsReading};
use policy::Fact;

use crate::FreshnessView;

/// A meter's value may be this much older than its time stamp says; also the least window in which a change of the cars'
/// draw makes a sample ambiguous.
const LEAST_LATENCY: Duration = Duration::from_secs(5);
/// Beyond this a slow source is just slow: an ambiguous sample is believed.
const MOST_LATENCY: Duration = Duration::from_secs(60);

/// One source.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    pub(crate) name: String,
    pub(crate) reading: Option<Arc<EmsReading>>,
    pub(crate) error: Option<String>,
    /// Time between its last two readings.
    interval: Duration,
    /// It has told this at least once, so its silence about it is a gap and not a missing channel.
    pub(crate) tells_generation: bool,
    pub(crate) tells_consumption: bool,
    pub(crate) tells_grid: bool,
    pub(crate) tells_battery: bool,
}

impl Source {
    fn new(name: &str, expects_consumption: bool) -> Self {
        Source {
            name: name.to_owned(),
            reading: None,
            error: None,
            interval: Duration::ZERO,
            tells_generation: false,
            tells_consumption: expects_consumption,
            tells_grid: false,
            tells_battery: false,
        }
    }

    /// How old a change of the cars' draw may be and still be missing from the last sample.
    pub(crate) fn latency(&self) -> Duration {
        self.interval.clamp(LEAST_LATENCY, MOST_LATENCY)
    }

    pub(crate) fn freshness(&self, now: Instant, stale_after: Duration) -> Option<FreshnessView> {
        self.reading.as_ref().map(|reading| freshness(now, reading.taken_at, stale_after))
    }

    /// The reading unless it is too old to use.
    pub(crate) fn usable(&self, now: Instant, stale_after: Duration) -> Option<&EmsReading> {
        self.reading.as_deref().filter(|reading| freshness(now, reading.taken_at, stale_after) != FreshnessView::Stale)
    }

    /// Whether a policy that says `modules.NAME` means this source: by the name of its section, or by the name that the
    /// module had in TWCManager.
    fn is_called(&self, name: &str) -> bool {
        let own = self.name.strip_prefix("sources.").unwrap_or(&self.name);
        let own = own.split('[').next().unwrap_or(own);
        own.eq_ignore_ascii_case(name) || matches!((own, name), ("Powerwall2", "TeslaPowerwall2"))
    }
}

pub(crate) fn freshness(now: Instant, taken_at: Instant, stale_after: Duration) -> FreshnessView {
    let age = now.saturating_duration_since(taken_at);
    if age > stale_after {
        FreshnessView::Stale
    } else if age > stale_after / 2 {
        FreshnessView::Ageing
    } else {
        FreshnessView::Live
    }
}

/// All sources, in the order of the configuration.
#[derive(Debug, Clone)]
pub(crate) struct Sources {
    pub(crate) all: Vec<Source>,
    pub(crate) stale_after: Duration,
}

impl Sources {
    pub(crate) fn new(names: &[String], expecting_consumption: &[String], stale_after: Duration) -> Self {
        let all = names.iter().map(|name| Source::new(name, expecting_consumption.contains(name))).collect();
        Sources { all, stale_after }
    }

    /// Takes a reading; `false` when it is older than the one known or the same one once more.
    pub(crate) fn take(&mut self, name: &str, reading: Arc<EmsReading>) -> bool {
        let source = self.named(name);
        source.error = None;
        if let Some(known) = &source.reading {
            if reading.taken_at < known.taken_at || *known == reading {
                return false;
            }
            source.interval = reading.taken_at.saturating_duration_since(known.taken_at);
        }
        source.tells_generation |= reading.generation.is_some();
        source.tells_consumption |= reading.consumption.is_some();
        source.tells_grid |= reading.grid.is_some();
        source.tells_battery |= reading.battery.is_some();
        source.reading = Some(reading);
        true
    }

    pub(crate) fn fail(&mut self, name: &str, error: String) {
        self.named(name).error = Some(error);
    }

    fn named(&mut self, name: &str) -> &mut Source {
        let index = self.all.iter().position(|source| source.name == name).unwrap_or_else(|| {
            self.all.push(Source::new(name, false));
            self.all.len() - 1
        });
        &mut self.all[index]
    }

    /// When the next reading becomes too old, after `now`.
    pub(crate) fn next_staleness(&self, now: Instant) -> Option<Instant> {
        let just_after = Duration::from_millis(1);
        self.all
            .iter()
            .filter_map(|source| Some(source.reading.as_ref()?.taken_at + self.stale_after + just_after))
            .filter(|at| *at > now)
            .min()
    }

    /// What `modules.NAME.ATTRIBUTE` of a policy is now.
    pub(crate) fn attribute(&self, name: &str, attribute: &str, now: Instant) -> Fact {
        let readings = self.all.iter().filter(|source| source.is_called(name));
        for reading in readings.filter_map(|source| source.usable(now, self.stale_after)) {
            if let Some(value) = reading.attributes.get(attribute) {
                return match value {
                    Attribute::Flag(flag) => Fact::Flag(*flag),
                    Attribute::Number(number) => Fact::Number(*number),
                    Attribute::Text(text) => Fact::Text(text.clone()),
                };
            }
            let number = match attribute {
                "generatedW" => reading.generation.map(units::Watts::get),
                "consumedW" => reading.consumption.map(units::Watts::get),
                "importW" => reading.grid.map(|grid| grid.get().max(0.0)),
                "exportW" => reading.grid.map(|grid| (-grid.get()).max(0.0)),
                "batteryLevel" | "batterySOC" => reading.battery_soc.map(units::Percent::get),
                "batteryW" => reading.battery.map(units::Watts::get),
                "voltage" => reading.grid_volts.l1.map(units::Volts::get),
                _ => None,
            };
            if let Some(number) = number {
                return Fact::Number(number);
            }
        }
        Fact::Unknown
    }

    pub(crate) fn knows_module(&self, name: &str) -> bool {
        self.all.iter().any(|source| source.is_called(name))
    }
}
