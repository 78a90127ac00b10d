//! Several sources become one picture of the site. Pure.
//!
//! | channel | rule |
//! |---|---|
//! | generation | the sum of all sources that tell it. One that has gone stale adds nothing: the sum is then a lower bound, which never makes a surplus that is not there |
//! | consumption | the sum of all sources that tell it; as soon as one of them is stale it is not known. When no source tells it: generation + grid + battery |
//! | grid | the first source, in the order of the configuration, that has a usable value: there is one grid connection |
//! | battery | the sum; as soon as one is stale it is not known |
//!
//! The age of a sum is that of its oldest part. A negative generation or consumption counts as zero.

use std::time::{Duration, Instant};

use ems::EmsReading;
use units::{Amps, PerPhase, Percent, Volts, Watts};

use crate::FreshnessView;
use crate::sources::{Source, Sources};

/// A power that is known or was.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Flow {
    pub(crate) power: Watts,
    /// When the oldest part was taken.
    pub(crate) taken_at: Instant,
    pub(crate) freshness: FreshnessView,
    pub(crate) is_estimate: bool,
    /// How old a change of the cars' draw may be and still be missing from it.
    pub(crate) latency: Duration,
}

/// What is known of one channel.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) enum Channel {
    /// No source has it.
    #[default]
    Absent,
    /// A source should have it and has not said anything yet, or left it out this time.
    Awaited,
    /// It was known and is too old to use.
    Stale(Flow),
    /// Known.
    Known(Flow),
}

impl Channel {
    pub(crate) fn known(self) -> Option<Flow> {
        match self {
            Channel::Known(flow) => Some(flow),
            _ => None,
        }
    }

    /// Also what is too old to use, for showing.
    pub(crate) fn shown(self) -> Option<Flow> {
        match self {
            Channel::Known(flow) | Channel::Stale(flow) => Some(flow),
            _ => None,
        }
    }
}

/// The picture of the site.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Combined {
    pub(crate) generation: Channel,
    /// As the meters tell it, or derived.
    pub(crate) consumption: Channel,
    /// Whether the consumption comes from generation and grid, so that it includes the cars.
    pub(crate) is_consumption_derived: bool,
    pub(crate) grid: Channel,
    pub(crate) battery: Channel,
    pub(crate) battery_soc: Option<Percent>,
    /// Current on each phase of the grid connection, import positive, with the time it was taken.
    pub(crate) phases: Option<PhaseSample>,
}

/// Currents of the grid connection.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct PhaseSample {
    pub(crate) amps: PerPhase<Option<Amps>>,
    pub(crate) taken_at: Instant,
    pub(crate) latency: Duration,
}

/// Makes one picture of all sources.
pub(crate) fn combine(sources: &Sources, now: Instant, default_volts: Volts) -> Combined {
    let all = || sources.all.iter();
    let usable = |source: &Source| source.usable(now, sources.stale_after).is_some();
    let sum = |tells: fn(&Source) -> bool, value: fn(&EmsReading) -> Option<Watts>| -> (Channel, bool) {
        let (mut known, mut stale, mut is_awaited) = (None, None, false);
        for source in all().filter(|source| tells(source)) {
            let Some(flow) = flow(source, value, now, sources.stale_after) else {
                is_awaited = true;
                continue;
            };
            add(if usable(source) { &mut known } else { &mut stale }, flow);
        }
        let has_gap = is_awaited || stale.is_some();
        let channel = match (known, stale) {
            (Some(flow), _) => Channel::Known(flow),
            (None, Some(flow)) => Channel::Stale(flow),
            (None, None) if is_awaited => Channel::Awaited,
            (None, None) => Channel::Absent,
        };
        (channel, has_gap)
    };
    let whole = |(channel, has_gap): (Channel, bool)| match channel {
        Channel::Known(flow) if has_gap => Channel::Stale(Flow { freshness: FreshnessView::Stale, ..flow }),
        other => other,
    };
    let (generation, is_generation_partial) =
        sum(|source| source.tells_generation, |reading| reading.generation.map(|power| power.max(Watts::ZERO)));
    let consumption = whole(sum(
        |source| source.tells_consumption,
        |reading| reading.consumption.map(|power| power.max(Watts::ZERO)),
    ));
    let battery = whole(sum(|source| source.tells_battery, |reading| reading.battery));
    let grid = grid(sources, now);
    let derived = match (consumption, generation, grid) {
        (Channel::Absent, Channel::Known(generation), Channel::Known(grid)) if !is_generation_partial => {
            derive(generation, grid, battery)
        }
        _ => None,
    };
    Combined {
        generation,
        consumption: derived.map_or(consumption, Channel::Known),
        is_consumption_derived: derived.is_some(),
        grid,
        battery,
        battery_soc: state_of_charge(sources, now),
        phases: all().find_map(|source| phases(source, now, sources.stale_after, default_volts)),
    }
}

fn flow(source: &Source, value: fn(&EmsReading) -> Option<Watts>, now: Instant, stale_after: Duration) -> Option<Flow> {
    let reading = source.reading.as_deref()?;
    Some(Flow {
        power: value(reading)?,
        taken_at: reading.taken_at,
        freshness: crate::sources::freshness(now, reading.taken_at, stale_after),
        is_estimate: reading.is_estimate,
        latency: source.latency(),
    })
}

fn add(to: &mut Option<Flow>, part: Flow) {
    *to = Some(to.map_or(part, |sum| join(sum, part)));
}

/// The sum of two, as old and as sure as the worse of them.
fn join(a: Flow, b: Flow) -> Flow {
    let worse = if a.taken_at <= b.taken_at { a } else { b };
    Flow {
        power: a.power + b.power,
        is_estimate: a.is_estimate || b.is_estimate,
        latency: a.latency.max(b.latency),
        ..worse
    }
}

/// What the house and the cars use, from what comes in.
fn derive(generation: Flow, grid: Flow, battery: Channel) -> Option<Flow> {
    let sum = join(generation, grid);
    let sum = match battery {
        Channel::Known(battery) => join(sum, battery),
        Channel::Absent => sum,
        Channel::Stale(_) | Channel::Awaited => return None,
    };
    // The cars are seen by the grid meter, so its time is the one that matters.
    Some(Flow { power: sum.power.max(Watts::ZERO), taken_at: grid.taken_at, latency: grid.latency, ..sum })
}

fn grid(sources: &Sources, now: Instant) -> Channel {
    let mut best = Channel::Absent;
    for source in sources.all.iter().filter(|source| source.tells_grid) {
        match flow(source, |reading| reading.grid, now, sources.stale_after) {
            Some(flow) if flow.freshness != FreshnessView::Stale => return Channel::Known(flow),
            Some(flow) if !matches!(best, Channel::Stale(_)) => best = Channel::Stale(flow),
            None if best == Channel::Absent => best = Channel::Awaited,
            _ => {}
        }
    }
    best
}

fn state_of_charge(sources: &Sources, now: Instant) -> Option<Percent> {
    let known: Vec<f64> = sources
        .all
        .iter()
        .filter_map(|source| source.usable(now, sources.stale_after)?.battery_soc)
        .map(Percent::get)
        .collect();
    let count = u32::try_from(known.len()).ok().filter(|count| *count > 0)?;
    Percent::new(known.iter().sum::<f64>() / f64::from(count)).ok()
}

/// Currents with the sign of the power where the meter tells powers, else as it tells them.
fn phases(source: &Source, now: Instant, stale_after: Duration, default_volts: Volts) -> Option<PhaseSample> {
    let reading = source.usable(now, stale_after)?;
    let amps = PerPhase::from_fn(|phase| {
        let power = reading.grid_power[phase];
        match (reading.grid_current[phase], power) {
            (Some(current), Some(power)) if power < Watts::ZERO && current > Amps::ZERO => Some(-current),
            (Some(current), _) => Some(current),
            (None, Some(power)) => {
                let volts = reading.grid_volts[phase].filter(|volts| volts.get() > 50.0).unwrap_or(default_volts);
                Amps::new(power.get() / volts.get()).ok()
            }
            (None, None) => None,
        }
    });
    amps.is_known().then(|| PhaseSample { amps, taken_at: reading.taken_at, latency: source.latency() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    fn watts(value: f64) -> Option<Watts> {
        Some(Watts::new(value).unwrap())
    }

    /// Sources `a`, `b`, `c` with these readings; the age of each in seconds.
    fn picture(readings: Vec<(EmsReading, u64)>) -> Combined {
        let start = Instant::now();
        let now = start + Duration::from_secs(1000);
        let names: Vec<String> = ["a", "b", "c"].map(str::to_owned).to_vec();
        let mut sources = Sources::new(&names[..readings.len()], &[], Duration::from_secs(120));
        for ((mut reading, age), name) in readings.into_iter().zip(&names) {
            reading.taken_at = now - Duration::from_secs(age);
            sources.take(name, Arc::new(reading));
        }
        combine(&sources, now, Volts::saturating(230.0))
    }

    fn reading(generation: Option<f64>, consumption: Option<f64>, grid: Option<f64>) -> EmsReading {
        EmsReading {
            generation: generation.and_then(watts),
            consumption: consumption.and_then(watts),
            grid: grid.and_then(watts),
            ..EmsReading::now()
        }
    }

    fn power(channel: Channel) -> Option<f64> {
        channel.known().map(|flow| flow.power.get())
    }

    #[test]
    fn generation_and_consumption_add_up_and_are_as_old_as_their_oldest_part() {
        let picture = picture(vec![
            (reading(Some(2000.0), Some(300.0), None), 5),
            (reading(Some(1000.0), Some(200.0), None), 70),
        ]);
        assert_eq!((power(picture.generation), power(picture.consumption)), (Some(3000.0), Some(500.0)));
        assert_eq!(picture.consumption.known().unwrap().freshness, FreshnessView::Ageing);
    }

    #[test]
    fn a_stale_part_ends_consumption_but_only_lowers_generation() {
        let picture = picture(vec![
            (reading(Some(2000.0), Some(300.0), None), 5),
            (reading(Some(1000.0), Some(200.0), None), 121),
        ]);
        assert_eq!((power(picture.generation), power(picture.consumption)), (Some(2000.0), None));
    }

    #[test]
    fn a_grid_meter_beside_an_inverter_gives_the_consumption() {
        let mut meter = reading(None, None, Some(-1500.0));
        meter.battery = watts(-500.0);
        let picture = picture(vec![(reading(Some(4000.0), None, None), 3), (meter, 2)]);
        assert_eq!(power(picture.consumption), Some(2000.0));
        assert!(picture.is_consumption_derived);
    }

    #[test]
    fn the_first_usable_grid_meter_counts_alone() {
        let picture = picture(vec![
            (reading(None, None, Some(100.0)), 500),
            (reading(None, None, Some(200.0)), 1),
            (reading(None, None, Some(300.0)), 1),
        ]);
        assert_eq!(power(picture.grid), Some(200.0));
    }

    #[test]
    fn what_no_source_tells_is_absent_and_negative_counts_as_nothing() {
        let picture = picture(vec![(reading(Some(-20.0), None, None), 1)]);
        assert_eq!(power(picture.generation), Some(0.0));
        assert_eq!(picture.consumption, Channel::Absent);
    }

    #[test]
    fn phase_currents_take_their_sign_from_the_powers() {
        let mut meter = reading(None, None, Some(0.0));
        meter.grid_current = PerPhase::new(Amps::new(5.0).ok(), Amps::new(6.0).ok(), None);
        meter.grid_power = PerPhase::new(watts(-1150.0), watts(1380.0), watts(2300.0));
        let phases = picture(vec![(meter, 1)]).phases.unwrap();
        assert_eq!(phases.amps, PerPhase::new(Amps::new(-5.0).ok(), Amps::new(6.0).ok(), Amps::new(10.0).ok()));
    }
}
