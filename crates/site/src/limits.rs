//! What the grid connection leaves for cars: `maxAmpsAllowedFromGrid` and the main fuse, judged anew with every sample,
//! without averaging and without delay.

use units::{Amps, PerPhase, Phase};

use crate::combine::Combined;
use crate::draw::{Draw, History};
use crate::surplus::{Base, Meters, Scale};

/// A meter that cuts to whole amps hides up to this much of an import on each phase.
const CUT_OFF: f64 = 1.0;

/// What the grid connection leaves.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Headroom {
    /// Nothing limits.
    Unlimited,
    /// So many amps for all cars on each phase.
    Amps(PerPhase<Option<Amps>>),
    /// A limit is configured, and the readings it needs are missing or too old.
    Unknown,
}

impl Headroom {
    /// The least of the phases.
    pub(crate) fn least(self) -> Option<Amps> {
        match self {
            Headroom::Amps(amps) => amps.into_array().into_iter().flatten().min(),
            _ => None,
        }
    }
}

/// Import on each phase without the cars, in amps; phases that the meter does not tell are `None`.
///
/// A car on a phase that nobody knows is taken to hang on the fullest: on every other phase it is then counted twice, once
/// by the meter and once by us, which errs on the safe side.
pub(crate) fn base_per_phase(
    picture: &Combined,
    meters: &mut Meters,
    history: &History,
) -> Option<PerPhase<Option<f64>>> {
    let sample = picture.phases?;
    let fullest = Phase::ALL
        .into_iter()
        .filter(|phase| sample.amps[*phase].is_some())
        .max_by_key(|phase| sample.amps[*phase].map_or(0, Amps::centiamps));
    let mut index = 0;
    Some(PerPhase::from_fn(|phase| {
        let place = index;
        index += 1;
        let measured = sample.amps[phase]?.get();
        let measured = if sample.is_cut && measured >= 0.0 { measured + CUT_OFF } else { measured };
        let pick = move |draw: &Draw| {
            let somewhere = if fullest == Some(phase) { draw.amps_somewhere } else { 0.0 };
            draw.amps.get(place).copied().unwrap_or(0.0) + somewhere
        };
        Some(meters.phases.get_mut(place)?.update(measured, sample.taken_at, sample.latency, history, pick))
    }))
}

/// What `limit` amps of the grid connection leave for cars: by phase where the meter tells phases, else by its total.
pub(crate) fn headroom(
    limit: Option<Amps>,
    by_phase: Option<PerPhase<Option<f64>>>,
    base: Option<Base>,
    scale: Scale,
) -> Headroom {
    let Some(limit) = limit else { return Headroom::Unlimited };
    let left = |used: f64| Amps::new((limit.get() - used).clamp(0.0, 10_000.0)).unwrap_or(Amps::ZERO);
    match (by_phase, base) {
        (Some(phases), _) => Headroom::Amps(phases.map(|used| used.map(left))),
        (None, Some(base)) => Headroom::Amps(PerPhase::splat(Some(left(base.watts / scale.watts_per_amp())))),
        (None, None) => Headroom::Unknown,
    }
}

/// The phase that carries more than the fuse, with its amps: a breach that is happening.
pub(crate) fn breach(fuse: Option<Amps>, picture: &Combined) -> Option<(Phase, Amps)> {
    let fuse = fuse?;
    let sample = picture.phases?;
    Phase::ALL
        .into_iter()
        .filter_map(|phase| Some((phase, sample.amps[phase].filter(|amps| *amps > fuse)?)))
        .max_by_key(|(_, amps)| *amps)
}
