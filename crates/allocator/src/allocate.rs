//! One decision: who gets a place, how much each should have, and how much of it each may be told now.

use std::time::Instant;

use evse::EvseId;
use units::{Amps, Phase, Watts};

use crate::fill::{Level, Member, share};
use crate::ledger::{Ledger, Plan, Wiring};
use crate::rotation::{Candidate, Rotation};
use crate::{Binding, Demand, EvseRequest, Limit, Request, Timing, Unserved};

/// What one charging point gets, and why not more.
#[derive(Debug, Clone, PartialEq)]
pub struct Share {
    /// Which one.
    pub id: EvseId,
    /// What it should have once the others have let go of what they hold.
    pub ideal: Watts,
    /// What it may be told now: never more than `ideal`, and nothing that others still hold.
    pub permitted: Watts,
    /// What kept `ideal` from being more.
    pub bound_by: Binding,
    /// Where others still hold what is missing, when `permitted` is less than `ideal`.
    pub delayed_by: Option<Limit>,
}

/// One decision.
#[derive(Debug, Clone, PartialEq)]
pub struct Allocation {
    /// One for each charging point, in the order of the request.
    pub shares: Vec<Share>,
    /// Hand this to the next decision.
    pub rotation: Rotation,
    /// When to decide again even if nothing else changes: the end of a pause or of a turn that somebody waits for.
    pub decide_again_at: Option<Instant>,
}

/// One charging point in whole numbers, all in centiamps per phase.
#[derive(Debug)]
struct Load {
    /// Position in the request.
    position: usize,
    wiring: Wiring,
    step: i64,
    /// Least it can be offered, a whole number of steps.
    least: i64,
    /// Most it may be offered, a whole number of steps.
    most: i64,
    held: i64,
    /// What it was last told, rounded up.
    told: i64,
    wants: bool,
    priority: i32,
    /// What `most` comes from.
    most_by: Most,
    /// Why it gets nothing whatever the others do.
    refused: Option<Refused>,
}

/// What the most that a load may be offered comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Most {
    Own,
    Vehicle,
    LinkDegraded,
    /// It has not shown yet that it wants any.
    Least,
}

/// Why a load takes no part.
#[derive(Debug, Clone, Copy)]
enum Refused {
    Unserved(Unserved),
    NoVoltage,
    UnknownCircuit,
    /// Its most is less than its least.
    Most,
}

/// What became of one load: the ideal in centiamps and what bound it.
#[derive(Debug, Clone, Copy)]
struct Decision {
    ideal: i64,
    why: Why,
}

/// What bound a decision; numbers are entries of the plan.
#[derive(Debug, Clone, Copy)]
enum Why {
    Refused(Refused),
    Most,
    Entry(usize),
    MinimumNotReached(usize),
    WaitingForTurn(usize),
    Resting(Instant),
}

/// Shares out power.
///
/// Pure and total: the same request, rotation and time give the same answer whatever the order of the charging points,
/// and there is no request that it refuses. Takes O(n log n) for n charging points, times the number of limits above
/// one of them.
#[must_use]
pub fn allocate(request: &Request<'_>, rotation: &Rotation, now: Instant) -> Allocation {
    let mut plan = Plan::new(request.power, request.circuits);
    let loads = read(request, &mut plan);
    let (decisions, order, rotation, decide_again_at) = decide(&plan, request, &loads, rotation, now);
    let permitted = permit(&plan, &loads, &decisions, &order);

    // Every position of the request has exactly one load.
    let mut order: Vec<usize> = vec![0; loads.len()];
    for (index, load) in loads.iter().enumerate() {
        order[load.position] = index;
    }
    let shares = request
        .evses
        .iter()
        .zip(order)
        .map(|(evse, index)| {
            let (ideal, (now_allowed, delayed_by)) = (decisions[index].ideal, permitted[index]);
            Share {
                id: evse.id.clone(),
                ideal: power(evse, ideal),
                permitted: power(evse, now_allowed),
                bound_by: bound_by(&plan, &loads[index], decisions[index].why),
                delayed_by: delayed_by.map(|entry| plan.name(entry)),
            }
        })
        .collect();
    Allocation { shares, rotation, decide_again_at }
}

/// The public name of what bound a load.
fn bound_by(plan: &Plan<'_>, load: &Load, why: Why) -> Binding {
    let most = match load.most_by {
        Most::Own => Some(Limit::OwnMaximum),
        Most::Vehicle => Some(Limit::Vehicle),
        Most::LinkDegraded => Some(Limit::LinkDegraded),
        Most::Least => None,
    };
    match why {
        Why::Most => most.map_or(Binding::LeastUntilDrawn, Binding::Limit),
        Why::Entry(entry) => Binding::Limit(plan.name(entry)),
        Why::MinimumNotReached(entry) => Binding::MinimumNotReached(plan.name(entry)),
        Why::WaitingForTurn(entry) => Binding::WaitingForTurn(plan.name(entry)),
        Why::Resting(until) => Binding::Resting { until },
        Why::Refused(Refused::Unserved(why)) => Binding::Unserved(why),
        Why::Refused(Refused::NoVoltage) => Binding::MinimumNotReached(Limit::NoVoltage),
        Why::Refused(Refused::UnknownCircuit) => Binding::MinimumNotReached(Limit::UnknownCircuit),
        Why::Refused(Refused::Most) => Binding::MinimumNotReached(most.unwrap_or(Limit::OwnMaximum)),
    }
}

/// The charging points by id, in whole numbers.
fn read(request: &Request<'_>, plan: &mut Plan<'_>) -> Vec<Load> {
    // Most ids differ within their first bytes, and numbers are compared faster than texts.
    let mut positions: Vec<(u128, &EvseId, usize)> =
        request.evses.iter().enumerate().map(|(position, evse)| (first_bytes(&evse.id), &evse.id, position)).collect();
    positions.sort_unstable();
    let mut loads: Vec<Load> = Vec::with_capacity(positions.len());
    for (_, _, position) in positions {
        let evse = &request.evses[position];
        let mut load = Load::new(position, evse, plan);
        if let Some(circuit) = evse.circuit
            && request.circuits.get(circuit).is_none()
        {
            load.refused = Some(Refused::UnknownCircuit);
        }
        let twin = loads.last().is_some_and(|last| request.evses[last.position].id == evse.id);
        if twin {
            load.refused = Some(Refused::Unserved(Unserved::Duplicate));
        }
        loads.push(load);
    }
    loads
}

impl Load {
    fn new(position: usize, evse: &EvseRequest, plan: &mut Plan<'_>) -> Self {
        let limits = &evse.limits;
        let uses = [Phase::L1, Phase::L2, Phase::L3].map(|phase| evse.phase_map.uses(limits.phases, phase));
        let wiring = plan.wire(evse.circuit, uses, nanowatts_per_centiamp(evse));
        let step = centiamps(evse.step).max(1);
        let held = centiamps(evse.held);
        let told = ceil_centiamps(evse.target, wiring.nanowatts);

        let floor = |amps: i64| amps - amps.rem_euclid(step);
        let least = floor(centiamps(limits.min).max(1) + step - 1);
        let own = centiamps(limits.max);
        let vehicle = evse.can_take.map(|power| centiamps(power.amps_floor(limits.volts, limits.phases)));
        // What it holds is counted already, so it may keep it.
        let degraded = (!evse.may_rise).then(|| told.max(held));
        let mut most = (own, Most::Own);
        for (amount, by) in [(vehicle, Most::Vehicle), (degraded, Most::LinkDegraded)] {
            if let Some(amount) = amount.filter(|amount| *amount < most.0) {
                most = (amount, by);
            }
        }
        let most = (floor(most.0), most.1);

        let (wants, refused) = match evse.demand {
            Demand::Wants => (true, None),
            Demand::MightWant => (false, None),
            Demand::None(why) => (false, Some(Refused::Unserved(why))),
        };
        let refused = refused.or(if wiring.nanowatts <= 0 {
            Some(Refused::NoVoltage)
        } else if most.0 < least {
            Some(Refused::Most)
        } else {
            None
        });
        Load {
            position,
            wiring,
            step,
            least,
            most: if wants { most.0 } else { least },
            most_by: if wants || refused.is_some() { most.1 } else { Most::Least },
            held,
            told,
            wants,
            priority: evse.priority,
            refused,
        }
    }

    fn member(&self, counted: i64, most: i64) -> Member {
        Member { wiring: self.wiring, counted, most, step: self.step }
    }
}

/// Who gets a place, and how much each of them should have.
///
/// Also the loads in the order in which they were asked, the next rotation, and when time alone may change something.
fn decide(
    plan: &Plan<'_>,
    request: &Request<'_>,
    loads: &[Load],
    rotation: &Rotation,
    now: Instant,
) -> (Vec<Decision>, Vec<usize>, Rotation, Option<Instant>) {
    let timing: &Timing = &request.timing;
    let mut ledger = Ledger::new(plan);
    for load in loads.iter().filter(|load| load.refused.is_some()) {
        ledger.charge(load.wiring, load.held);
    }
    let open = ledger.clone();

    let hopeful: Vec<usize> = (0..loads.len()).filter(|&index| loads[index].refused.is_none()).collect();
    let ids = || hopeful.iter().map(|&index| &request.evses[loads[index].position].id);
    let mut candidates: Vec<Candidate> = rotation
        .turns(ids(), now)
        .into_iter()
        .zip(&hopeful)
        .map(|(turn, &index)| Candidate {
            priority: loads[index].priority,
            wants: loads[index].wants,
            turn,
            served: false,
        })
        .collect();

    let mut decisions: Vec<Decision> =
        loads.iter().map(|load| Decision { ideal: 0, why: load.refused.map_or(Why::Most, Why::Refused) }).collect();
    let mut wake: Option<Instant> = None;
    let mut wake_at = |at: Instant| wake = Some(wake.map_or(at, |wake| wake.min(at)));
    let mut somebody_waits = false;
    let order = rotation.order(&candidates, timing, now);
    for &at in &order {
        let (candidate, index) = (&mut candidates[at], hopeful[at]);
        let load = &loads[index];
        let rests_until = Rotation::rests_until(candidate.turn, timing, now);
        let fits = ledger.fits(load.wiring, load.least);
        if rests_until.is_none() && fits.is_ok() {
            ledger.charge(load.wiring, load.least);
            candidate.served = true;
            continue;
        }
        decisions[index].why = if let Err(entry) = open.fits(load.wiring, load.least) {
            Why::MinimumNotReached(entry)
        } else if let Some(until) = rests_until {
            wake_at(until);
            Why::Resting(until)
        } else if let Err(entry) = fits {
            somebody_waits = true;
            Why::WaitingForTurn(entry)
        } else {
            continue;
        };
    }

    let served: Vec<usize> =
        hopeful.iter().zip(&candidates).filter_map(|(&index, candidate)| candidate.served.then_some(index)).collect();
    let members: Vec<Member> =
        served.iter().map(|&index| loads[index].member(loads[index].least, loads[index].most)).collect();
    for (&index, level) in served.iter().zip(share(&mut ledger, &members)) {
        let load = &loads[index];
        decisions[index] = Decision {
            ideal: level.centiamps,
            why: match level.short_of {
                Some(entry) if level.centiamps + load.step <= load.most => Why::Entry(entry),
                _ => Why::Most,
            },
        };
    }

    let next = rotation.next(ids(), &candidates, timing, now);
    if somebody_waits && let Some(at) = next.next_change(timing, now) {
        wake_at(at);
    }
    let order = order.into_iter().map(|at| hopeful[at]).collect();
    (decisions, order, next, wake)
}

/// How much of the ideal each may be told now, and which entry of the ledger delays the rest.
///
/// Everybody is counted with what he holds or was last told. Who should have less is told at once, but stays counted;
/// who should have more shares what is left beside that.
fn permit(plan: &Plan<'_>, loads: &[Load], decisions: &[Decision], order: &[usize]) -> Vec<(i64, Option<usize>)> {
    let mut ledger = Ledger::new(plan);
    let mut counted: Vec<i64> = loads.iter().map(|load| load.held.max(load.told)).collect();
    for (load, counted) in loads.iter().zip(&counted) {
        ledger.charge(load.wiring, *counted);
    }
    let mut permitted: Vec<(i64, Option<usize>)> = decisions.iter().map(|decision| (decision.ideal, None)).collect();
    let mut rising = Vec::new();
    for &index in order {
        let (load, ideal) = (&loads[index], decisions[index].ideal);
        if ideal <= counted[index] {
            continue;
        }
        let missing = load.least - counted[index];
        match ledger.fits(load.wiring, missing) {
            Ok(()) => {
                ledger.charge(load.wiring, missing);
                counted[index] = counted[index].max(load.least);
                rising.push(index);
            }
            Err(entry) => permitted[index] = (0, Some(entry)),
        }
    }
    // By id again, as for the ideal: between equals the same one gets the odd step.
    rising.sort_unstable();
    let members: Vec<Member> =
        rising.iter().map(|&index| loads[index].member(counted[index], decisions[index].ideal)).collect();
    for (&index, Level { centiamps, short_of }) in rising.iter().zip(share(&mut ledger, &members)) {
        let delayed = centiamps < decisions[index].ideal;
        permitted[index] = (centiamps, short_of.filter(|_| delayed));
    }
    permitted
}

/// The first bytes of an id as a number that sorts as they do.
fn first_bytes(id: &EvseId) -> u128 {
    let mut first = [0; 16];
    for (to, from) in first.iter_mut().zip(id.as_str().bytes()) {
        *to = from;
    }
    u128::from_be_bytes(first)
}

/// The power of so many centiamps at a charging point.
fn power(evse: &EvseRequest, centiamps: i64) -> Watts {
    let centiamps = i32::try_from(centiamps).unwrap_or(i32::MAX);
    evse.limits.power(Amps::from_centiamps(centiamps))
}

fn centiamps(amps: Amps) -> i64 {
    i64::from(amps.centiamps().max(0))
}

#[allow(clippy::cast_possible_truncation)] // At most 3e6 V over all phases, and `as` saturates.
fn nanowatts_per_centiamp(evse: &EvseRequest) -> i64 {
    let volts = evse.limits.volts.get() * f64::from(evse.limits.phases.count());
    (volts * 1e7).round() as i64
}

/// The current of a power that was told, rounded up: what it may make somebody draw.
#[allow(clippy::cast_possible_truncation, clippy::cast_precision_loss)] // At most 1e18 nW, and `as` saturates.
fn ceil_centiamps(power: Watts, nanowatts: i64) -> i64 {
    if nanowatts <= 0 || power <= Watts::ZERO {
        return 0;
    }
    (power.get() * 1e9 / nanowatts as f64 - 1e-6).ceil() as i64
}

#[cfg(test)]
mod tests;
