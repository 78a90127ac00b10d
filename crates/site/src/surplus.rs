//! How much cars could have of what the sun gives. Pure arithmetic on the picture of the site.
//!
//! Which meters tell it, first match:
//!
//! | what there is | surplus |
//! |---|---|
//! | a battery below its owner's least level (`isReserved`), or a house off the grid (`gridStatus`) | none, and that is said |
//! | `treatGenerationAsGridDelivery`, unless a meter says itself that it sits at the grid connection (`gridOnly`) | generation − (consumption − cars), cars counted with `subtractChargerLoad`; the bracket may be negative |
//! | a grid meter (unless `surplusFrom` says `consumption` and some source tells more than a grid meter) | cars − grid − battery, whatever `subtractChargerLoad` says, since all cars are behind the grid connection; never more than the measured generation, unless an export has shown that some of that is not read |
//! | generation and consumption | generation − (consumption − cars), cars counted with `subtractChargerLoad`; the bracket is never negative |
//! | generation alone, no source having any other channel | generation − offset |
//!
//! With the grid meter, battery charging counts as surplus (cars come first) unless `batteryBeforeCars`; battery discharge
//! never does unless `batteryFeedsCars`. Both agree with generation − consumption, which does not see the battery.
//!
//! The offsets are added to the consumption, negative ones to the generation. "Cars" is always what they drew when the
//! sample was taken ([`WithoutCars`]), so a slow meter does not make the surplus swing.

use std::time::Instant;

use units::{Phases, Volts, Watts};

use crate::combine::{Channel, Combined, Flow};
use crate::draw::{History, WithoutCars};
use crate::sources::{HoldBack, Sources};
use crate::{SiteSetup, SurplusFrom};

/// Export beyond the generation that samples taken at different times do not explain.
const UNREAD: f64 = 500.0;

/// Current and voltage of the site as a whole, for turning watts into amps per phase of the site and back.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Scale {
    pub(crate) volts: Volts,
    pub(crate) phases: Phases,
}

impl Scale {
    /// Watts for one amp on every phase.
    pub(crate) fn watts_per_amp(self) -> f64 {
        (self.volts.get() * f64::from(self.phases.count())).max(1.0)
    }
}

/// Share of the apparent power that cars draw for real at a current, between the two configured points.
pub(crate) fn power_factor(setup: &SiteSetup, amps: f64) -> f64 {
    let (least, most) = (setup.min_amps_each.get(), setup.max_amps_all.get());
    let (low, high) = (setup.power_factor_min, setup.power_factor_max);
    let factor = if most > least { low + (amps - least) / (most - least) * (high - low) } else { high };
    // Far outside the two points the line leads to nonsense.
    factor.clamp(0.1, 2.0)
}

/// Why there is no surplus to reckon with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum NoSurplus {
    /// No energy source is configured.
    NoSource,
    /// No source has told generation, consumption or grid so far.
    Awaiting(&'static str),
    /// What is needed was known and is too old.
    Stale(&'static str),
    /// Whatever there is, it is not for cars.
    HeldBack(HoldBack),
}

/// The estimates behind the surplus and the grid limit; each remembers its last answer.
#[derive(Debug, Clone, Default)]
pub(crate) struct Meters {
    house: WithoutCars,
    balance: WithoutCars,
    grid: WithoutCars,
    pub(crate) phases: [WithoutCars; 3],
    /// More was exported than all sources together generate: some generation is read by none.
    has_unread_generation: bool,
}

/// The surplus, and what it was made of.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Surplus {
    /// Real watts, before the power factor; may be negative.
    pub(crate) watts: f64,
    /// When the oldest part was taken.
    pub(crate) taken_at: Instant,
}

/// What the site imports without the cars, and since when that is known; the grid limit is judged by it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Base {
    pub(crate) watts: f64,
}

/// The surplus by the table above.
pub(crate) fn surplus(
    setup: &SiteSetup,
    picture: &Combined,
    sources: &Sources,
    hold_back: Option<&HoldBack>,
    meters: &mut Meters,
    history: &History,
    offset: f64,
) -> Result<Surplus, NoSurplus> {
    if sources.all.is_empty() {
        return Err(NoSurplus::NoSource);
    }
    if let Some(why) = hold_back {
        return Err(NoSurplus::HeldBack(why.clone()));
    }
    let cars = |draw: &crate::draw::Draw| draw.watts;
    let (more_generation, more_consumption) = ((-offset).max(0.0), offset.max(0.0));
    if setup.generation_is_delivery && !picture.has_grid_meter {
        let generation = need(picture.generation, "generation")?;
        let consumption = match picture.consumption {
            Channel::Absent if all_heard(sources) => None,
            channel => Some(need(channel, "consumption")?),
        };
        let consumed = consumption.map_or(0.0, |flow| flow.power.get());
        let oldest = consumption.map_or(generation.taken_at, |flow| flow.taken_at.min(generation.taken_at));
        let balance = consumed - generation.power.get();
        let balance = if setup.subtract_charger_load {
            meters.balance.update(balance, oldest, generation.latency, history, cars)
        } else {
            balance
        };
        return Ok(Surplus { watts: more_generation - more_consumption - balance, taken_at: oldest });
    }
    let has_grid = picture.grid != Channel::Absent;
    if has_grid && (setup.surplus_from == SurplusFrom::Auto || picture.exchange.is_some()) {
        let grid = need(picture.grid, "grid")?;
        let battery = match picture.battery {
            Channel::Absent => 0.0,
            channel => need(channel, "battery")?.power.get(),
        };
        let without_cars = meters.grid.update(grid.power.get(), grid.taken_at, grid.latency, history, cars);
        let charging = if setup.battery_before_cars { 0.0 } else { battery.min(0.0) };
        let discharging = if setup.battery_feeds_cars { 0.0 } else { battery.max(0.0) };
        let mut watts = -without_cars - charging - discharging - offset;
        if let Some(generation) = picture.generation.known().filter(|generation| !generation.is_estimate) {
            let generation = generation.power.get() + more_generation;
            meters.has_unread_generation |= -grid.power.get() - battery.max(0.0) > generation + UNREAD;
            if !meters.has_unread_generation && !setup.battery_feeds_cars {
                watts = watts.min(generation);
            }
        }
        return Ok(Surplus { watts, taken_at: grid.taken_at });
    }
    let generation = need(picture.generation, "generation")?;
    let house = match picture.consumption {
        Channel::Absent if all_heard(sources) => None,
        channel => Some(need(channel, "consumption")?),
    };
    let (used, taken_at) = match house {
        None => (0.0, generation.taken_at),
        Some(flow) => (house_of(setup, picture, flow, meters, history), flow.taken_at.min(generation.taken_at)),
    };
    let watts = generation.power.get() + more_generation - (used + more_consumption).max(0.0);
    Ok(Surplus { watts, taken_at })
}

/// Consumption without the cars, where the meter sees them.
fn house_of(setup: &SiteSetup, picture: &Combined, flow: Flow, meters: &mut Meters, history: &History) -> f64 {
    if setup.subtract_charger_load || picture.is_consumption_derived {
        meters.house.update(flow.power.get(), flow.taken_at, flow.latency, history, |draw| draw.watts)
    } else {
        flow.power.get()
    }
}

/// Import without the cars, in total, by whatever meter there is. A flow older than `staleAfter` is not known here, however
/// long its source allows it to be used: a limit does not rest on what was.
pub(crate) fn base(
    setup: &SiteSetup,
    picture: &Combined,
    meters: &mut Meters,
    history: &History,
    now: Instant,
) -> Option<Base> {
    let known = |channel: Channel| {
        channel.known().filter(|flow| now.saturating_duration_since(flow.taken_at) <= setup.stale_after)
    };
    if let Some(grid) = known(picture.grid) {
        let watts = meters.grid.update(grid.power.get(), grid.taken_at, grid.latency, history, |draw| draw.watts);
        return Some(Base { watts });
    }
    if picture.grid != Channel::Absent {
        return None;
    }
    let consumption = known(picture.consumption)?;
    // Without generation the limit is the stricter: what is not known, or only forecast, does not help.
    let generation = known(picture.generation).filter(|flow| !flow.is_estimate).map_or(0.0, |flow| flow.power.get());
    if setup.generation_is_delivery && setup.subtract_charger_load {
        let balance = consumption.power.get() - generation;
        let watts =
            meters.balance.update(balance, consumption.taken_at, consumption.latency, history, |draw| draw.watts);
        return Some(Base { watts });
    }
    Some(Base { watts: house_of(setup, picture, consumption, meters, history) - generation })
}

fn all_heard(sources: &Sources) -> bool {
    sources.all.iter().all(|source| source.reading.is_some())
}

fn need(channel: Channel, what: &'static str) -> Result<Flow, NoSurplus> {
    match channel {
        Channel::Known(flow) => Ok(flow),
        Channel::Stale(_) => Err(NoSurplus::Stale(what)),
        Channel::Absent | Channel::Awaited => Err(NoSurplus::Awaiting(what)),
    }
}

/// Real watts of surplus as the apparent power that may be granted: at their power factor cars then draw just the surplus.
pub(crate) fn grantable(setup: &SiteSetup, scale: Scale, watts: f64) -> Watts {
    let amps = watts / scale.watts_per_amp();
    Watts::saturating(watts.max(0.0) / power_factor(setup, amps))
}
