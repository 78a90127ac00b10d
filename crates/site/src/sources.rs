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
/// Attribute of a reading whose generation is the export, and whose consumption is the import, of the grid connection.
pub(crate) const GRID_ONLY: &str = "gridOnly";
/// Attribute of a reading whose currents are cut to whole amps: the real ones are up to 1 A more.
pub(crate) const WHOLE_AMPS: &str = "wholeAmps";
/// Attribute of a battery that keeps all sun for itself, since it is below the level that its owner set.
const IS_RESERVED: &str = "isReserved";
/// Attribute of a battery: whether the house is connected to the grid.
const GRID_STATUS: &str = "gridStatus";

/// Sections of the configuration whose module had another name in TWCManager, beyond capitals.
const CLASSES: [(&str, &str); 1] = [("Powerwall2", "TeslaPowerwall2")];

/// Why nothing is offered although there might be a surplus.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum HoldBack {
    /// This source's battery is below the level its owner set.
    Reserved(String),
    /// This source says that the house is cut off from the grid.
    OffGrid(String),
}

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
    /// What it calls generation and consumption is export and import.
    pub(crate) is_grid_only: bool,
    /// It has told a generation that was measured, not modelled.
    pub(crate) measures_generation: bool,
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
            is_grid_only: false,
            measures_generation: false,
        }
    }

    /// How old a change of the cars' draw may be and still be missing from the last sample.
    pub(crate) fn latency(&self) -> Duration {
        self.interval.clamp(LEAST_LATENCY, MOST_LATENCY)
    }

    /// How old its reading may become: the site's `staleAfter`, or longer where the source says so.
    pub(crate) fn stale_after(&self, site: Duration) -> Duration {
        self.reading.as_ref().and_then(|reading| reading.max_age).map_or(site, |own| own.max(site))
    }

    pub(crate) fn freshness(&self, now: Instant, site: Duration) -> Option<FreshnessView> {
        self.reading.as_ref().map(|reading| freshness(now, reading.taken_at, self.stale_after(site)))
    }

    /// The reading unless it is too old to use.
    pub(crate) fn usable(&self, now: Instant, site: Duration) -> Option<&EmsReading> {
        self.reading.as_deref().filter(|_| self.freshness(now, site) != Some(FreshnessView::Stale))
    }

    /// Whether it tells what the sun gives or the house uses, and not only what passes the grid connection.
    pub(crate) fn tells_house(&self) -> bool {
        !self.is_grid_only && (self.tells_generation || self.tells_consumption)
    }

    /// Whether a policy that says `modules.NAME` means this source: by the name of its section, or by the name that the
    /// module had in TWCManager.
    fn is_called(&self, name: &str) -> bool {
        let own = self.name.strip_prefix("sources.").unwrap_or(&self.name);
        let own = own.split('[').next().unwrap_or(own);
        let is_alias =
            |(section, class): &(&str, &str)| own.eq_ignore_ascii_case(section) && name.eq_ignore_ascii_case(class);
        own.eq_ignore_ascii_case(name) || CLASSES.iter().any(is_alias)
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
        source.is_grid_only |= reading.has_flag(GRID_ONLY);
        source.measures_generation |= reading.generation.is_some() && !reading.is_estimate && !source.is_grid_only;
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
            .filter_map(|source| {
                let taken_at = source.reading.as_ref()?.taken_at;
                // Limits are judged by `staleAfter` alone, so that moment counts as well.
                let ends =
                    [self.stale_after, source.stale_after(self.stale_after)].map(|age| taken_at + age + just_after);
                ends.into_iter().find(|at| *at > now)
            })
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

    /// What keeps cars from the sun; being cut off from the grid weighs more.
    pub(crate) fn hold_back(&self, now: Instant) -> Option<HoldBack> {
        let says = |tells: fn(&EmsReading) -> bool| {
            let source = self.all.iter().find(|source| source.usable(now, self.stale_after).is_some_and(tells))?;
            Some(source.name.clone())
        };
        let is_off_grid = |reading: &EmsReading| reading.attributes.get(GRID_STATUS) == Some(&Attribute::Flag(false));
        says(is_off_grid)
            .map(HoldBack::OffGrid)
            .or_else(|| says(|reading| reading.has_flag(IS_RESERVED)).map(HoldBack::Reserved))
    }

    /// The sources that say they sit at the grid connection, when they are several.
    pub(crate) fn rival_grid_meters(&self) -> Option<Vec<&str>> {
        let names: Vec<&str> =
            self.all.iter().filter(|source| source.is_grid_only).map(|source| source.name.as_str()).collect();
        (names.len() > 1).then_some(names)
    }

    /// The longest time for which a reading of any source is used.
    pub(crate) fn longest_age(&self) -> Duration {
        self.all.iter().map(|source| source.stale_after(self.stale_after)).max().unwrap_or(self.stale_after)
    }

    pub(crate) fn knows_module(&self, name: &str) -> bool {
        self.all.iter().any(|source| source.is_called(name))
    }
}
