//! Several sources become one picture of the site. Pure.
//!
//! | channel | rule |
//! |---|---|
//! | generation | the sum of all sources that measure it; forecasts only where no source does. One that has gone stale adds nothing: the sum is then a lower bound, which never makes a surplus that is not there |
//! | consumption | the sum of all sources that tell it; as soon as one of them is stale it is not known. When no source tells it: generation + grid + battery |
//! | grid | the first source, in the order of the configuration, that has a usable value: there is one grid connection. One that is used beyond `staleAfter` yields to one that is not |
//! | battery | the sum; as soon as one is stale it is not known |
//!
//! What a source with the attribute `gridOnly` calls generation and consumption is the export and the import of the grid
//! connection: it adds to neither sum. Where no other source tells one of them, both are kept aside as TWCManager told them
//! ([`Combined::exchange`]), for status pages that imitate it; the grid decides.
//!
//! How old is too old is the site's `staleAfter`, or what the reading itself allows ([`ems::EmsReading::max_age`]) where that
//! is longer; for limits it is `staleAfter` alone.
//!
//! The age of a sum is that of its oldest part. A negative generation or consumption counts as zero.

use std::time::{Duration, Instant};

use ems::EmsReading;
use units::{Amps, PerPhase, Percent, Volts, Watts};

use crate::FreshnessView;
use crate::sources::{Source, Sources, WHOLE_AMPS, freshness};

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
    /// A meter that says so of itself sits at the grid connection: its power is signed and sees all cars.
    pub(crate) has_grid_meter: bool,
    /// Export and import, which TWCManager called generation and consumption; where no source tells the real ones.
    pub(crate) exchange: Option<(Channel, Channel)>,
    pub(crate) battery: Channel,
    pub(crate) battery_soc: Option<Percent>,
    /// Current on each phase of the grid connection, import positive, with the time it was taken; never older than
    /// `staleAfter`, since limits rest on it.
    pub(crate) phases: Option<PhaseSample>,
}

/// Currents of the grid connection.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct PhaseSample {
    pub(crate) amps: PerPhase<Option<Amps>>,
    pub(crate) taken_at: Instant,
    pub(crate) latency: Duration,
    /// The meter cuts to whole amps: the real current is up to 1 A more.
    pub(crate) is_cut: bool,
}

/// Makes one picture of all sources.
pub(crate) fn combine(sources: &Sources, now: Instant, default_volts: Volts) -> Combined {
    let all = || sources.all.iter();
    let generation_of: Value = |reading| reading.generation.map(|power| power.max(Watts::ZERO));
    let consumption_of: Value = |reading| reading.consumption.map(|power| power.max(Watts::ZERO));
    // A forecast counts only once it is known that nothing measures.
    let tells_generation = |source: &&Source| source.tells_generation && !source.is_grid_only;
    let is_measured = all().any(|source| source.measures_generation)
        || all().any(|source| source.reading.is_none()) && all().filter(tells_generation).count() > 0;
    let (generation, is_generation_partial) = sum(
        all().filter(tells_generation).filter(|source| source.measures_generation || !is_measured),
        generation_of,
        now,
        sources.stale_after,
    );
    let generation = if generation == Channel::Absent && is_measured { Channel::Awaited } else { generation };
    let whole_sum = |tells: fn(&Source) -> bool, value: Value| match sum(
        all().filter(|source| tells(source)),
        value,
        now,
        sources.stale_after,
    ) {
        (Channel::Known(flow), true) => Channel::Stale(Flow { freshness: FreshnessView::Stale, ..flow }),
        (channel, _) => channel,
    };
    let consumption = whole_sum(|source| source.tells_consumption && !source.is_grid_only, consumption_of);
    let battery = whole_sum(|source| source.tells_battery, |reading| reading.battery);
    let grid = grid(sources, now);
    let derived = match (consumption, generation, grid) {
        (Channel::Absent, Channel::Known(generation), Channel::Known(grid)) if !is_generation_partial => {
            derive(generation, grid, battery)
        }
        _ => None,
    };
    let only_meter = match all().find(|source| source.is_grid_only) {
        Some(meter) if !all().any(Source::tells_house) => Some(meter),
        _ => None,
    };
    let told_by = |meter, value| sum(std::iter::once(meter), value, now, sources.stale_after).0;
    Combined {
        exchange: only_meter.map(|meter| (told_by(meter, generation_of), told_by(meter, consumption_of))),
        generation,
        consumption: derived.map_or(consumption, Channel::Known),
        is_consumption_derived: derived.is_some(),
        grid,
        has_grid_meter: all().any(|source| source.is_grid_only && source.tells_grid),
        battery,
        battery_soc: state_of_charge(sources, now),
        phases: all().find_map(|source| phases(source, now, sources.stale_after, default_volts)),
    }
}

type Value = fn(&EmsReading) -> Option<Watts>;

/// The sum of a channel over some sources, and whether a part is missing.
fn sum<'a>(
    parts: impl Iterator<Item = &'a Source>,
    value: Value,
    now: Instant,
    stale_after: Duration,
) -> (Channel, bool) {
    let (mut known, mut stale, mut is_awaited) = (None, None, false);
    for source in parts {
        match flow(source, value, now, stale_after) {
            Some(flow) if flow.freshness == FreshnessView::Stale => add(&mut stale, flow),
            Some(flow) => add(&mut known, flow),
            None => is_awaited = true,
        }
    }
    let channel = match (known, stale) {
        (Some(flow), _) => Channel::Known(flow),
        (None, Some(flow)) => Channel::Stale(flow),
        (None, None) if is_awaited => Channel::Awaited,
        (None, None) => Channel::Absent,
    };
    (channel, is_awaited || stale.is_some())
}

fn flow(source: &Source, value: Value, now: Instant, stale_after: Duration) -> Option<Flow> {
    let reading = source.reading.as_deref()?;
    Some(Flow {
        power: value(reading)?,
        taken_at: reading.taken_at,
        freshness: source.freshness(now, stale_after)?,
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
            Some(flow) if freshness(now, flow.taken_at, sources.stale_after) != FreshnessView::Stale => {
                return Channel::Known(flow);
            }
            Some(flow) if flow.freshness != FreshnessView::Stale => {
                best = if best.known().is_some() { best } else { Channel::Known(flow) };
            }
            Some(_) | None if best.known().is_some() => {}
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
    let reading = source.reading.as_deref()?;
    if freshness(now, reading.taken_at, stale_after) == FreshnessView::Stale {
        return None;
    }
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
    let is_cut = reading.has_flag(WHOLE_AMPS);
    amps.is_known().then(|| PhaseSample { amps, taken_at: reading.taken_at, latency: source.latency(), is_cut })
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
    fn what_a_grid_meter_calls_generation_adds_to_nothing() {
        let meter = || {
            let mut meter = reading(Some(1500.0), Some(0.0), Some(-1500.0));
            meter.attributes.insert(crate::sources::GRID_ONLY.to_owned(), ems::Attribute::Flag(true));
            (meter, 2)
        };
        let beside = picture(vec![(reading(Some(4000.0), None, None), 3), meter()]);
        assert_eq!((power(beside.generation), power(beside.consumption)), (Some(4000.0), Some(2500.0)));
        assert_eq!(beside.exchange, None);
        let alone = picture(vec![meter()]);
        assert_eq!((alone.generation, alone.consumption), (Channel::Absent, Channel::Absent));
        let (export, import) = alone.exchange.unwrap();
        assert_eq!((power(export), power(import), power(alone.grid)), (Some(1500.0), Some(0.0), Some(-1500.0)));
    }

    #[test]
    fn a_forecast_counts_only_where_nothing_measures() {
        let forecast = || (EmsReading { is_estimate: true, ..reading(Some(3000.0), None, None) }, 1);
        assert_eq!(power(picture(vec![forecast(), forecast()]).generation), Some(6000.0));
        let measured = picture(vec![forecast(), (reading(Some(1000.0), None, None), 1)]);
        assert_eq!(power(measured.generation), Some(1000.0));
        // A measurement that is too old is not replaced, and one that has not come yet is waited for.
        let stale = picture(vec![forecast(), (reading(Some(1000.0), None, None), 500)]);
        assert!(matches!(stale.generation, Channel::Stale(_)));
        let mut sources = Sources::new(&["a".to_owned(), "b".to_owned()], &[], Duration::from_secs(120));
        sources.take("a", Arc::new(forecast().0));
        let early = combine(&sources, Instant::now(), Volts::saturating(230.0));
        assert_eq!(early.generation, Channel::Awaited);
    }

    #[test]
    fn a_source_that_may_be_older_is_used_longer_but_not_for_a_limit_nor_before_a_fresh_one() {
        let slow = |grid| {
            let mut slow = reading(Some(100.0), None, grid).usable_for(Duration::from_secs(900));
            slow.grid_current = PerPhase::splat(Amps::new(5.0).ok());
            slow
        };
        let both = picture(vec![(slow(Some(100.0)), 600), (reading(None, None, Some(200.0)), 1)]);
        assert_eq!((power(both.generation), power(both.grid), both.phases), (Some(100.0), Some(200.0), None));
        let alone = picture(vec![(slow(Some(100.0)), 600)]);
        assert_eq!(power(alone.grid), Some(100.0));
        assert_eq!(power(picture(vec![(slow(None), 901)]).generation), None);
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
