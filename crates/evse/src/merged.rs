//! One car seen by several controllers is one EVSE.

use std::collections::BTreeMap;
use std::sync::Arc;

use units::{Amps, Phases, Watts};

use crate::{
    Activity, Capabilities, EvseError, EvseErrorKind, EvseId, EvseInstance, EvseLimits, EvseStatus, Link, Plug,
    REFUSES, Target, Vin,
};

/// Less than this is no charging; a car only keeps itself awake.
const FLOWS: Amps = Amps::from_whole(1);

/// Who sets the current of a car that both a charging point and the car's own interface can limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RateRoute {
    /// The charging point; the car is told to take all it can (`chargeRateControl` 1).
    #[default]
    Local,
    /// The car; the charging point never offers more than is granted either (`chargeRateControl` 2).
    Vehicle,
    /// The charging point at or above its least current, the car below (`chargeRateControl` 3).
    VehicleBelowMinimum,
}

/// Who is asked to stop a car.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum StopRoute {
    /// The car (`chargeStopMode` 1).
    #[default]
    Vehicle,
    /// The charging point (`chargeStopMode` 2 and 3).
    Local,
}

/// Which part of a merged EVSE a command goes to. A part that cannot take a command is passed over for one that can.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Routing {
    /// Who sets the current.
    pub rate: RateRoute,
    /// Who is asked to stop.
    pub stop: StopRoute,
}

impl Routing {
    /// From the numbers that TWCManager's settings use; `None` unless both are 1, 2 or 3.
    #[must_use]
    pub const fn from_settings(charge_rate_control: u8, charge_stop_mode: u8) -> Option<Self> {
        let rate = match charge_rate_control {
            1 => RateRoute::Local,
            2 => RateRoute::Vehicle,
            3 => RateRoute::VehicleBelowMinimum,
            _ => return None,
        };
        let stop = match charge_stop_mode {
            1 => StopRoute::Vehicle,
            2 | 3 => StopRoute::Local,
            _ => return None,
        };
        Some(Routing { rate, stop })
    }
}

/// Several instances that are one car: it is measured where it is plugged in, known by what its maker says, bounded by
/// the stricter of both, and commanded by a [`Routing`].
pub struct Merged {
    /// Local ones first, otherwise as given; never empty.
    parts: Vec<Arc<dyn EvseInstance>>,
    id: EvseId,
    routing: Routing,
    /// Phases that its car is known to use, by other means than its own charging point.
    phases: Option<Phases>,
    /// That they are one car was only learnt from how they behave.
    is_guess: bool,
}

impl Merged {
    /// One EVSE of these parts, named after the first local one. `None` without parts.
    #[must_use]
    pub fn new(mut parts: Vec<Arc<dyn EvseInstance>>, routing: Routing) -> Option<Self> {
        parts.sort_by_key(|part| !part.is_local());
        let id = parts.first()?.id().clone();
        Some(Merged { parts, id, routing, phases: None, is_guess: false })
    }

    /// The same, reckoned with so many phases whatever its parts say.
    #[must_use]
    pub fn on_phases(self, phases: Option<Phases>) -> Self {
        Merged { phases, ..self }
    }

    /// The same, as a guess: a car that might be another one is never told to take more.
    #[must_use]
    pub fn as_guess(self, is_guess: bool) -> Self {
        Merged { is_guess, ..self }
    }

    /// The ids of the parts, the one that names it first.
    pub fn part_ids(&self) -> impl Iterator<Item = &EvseId> {
        self.parts.iter().map(|part| part.id())
    }

    fn error(&self, kind: EvseErrorKind, text: &str) -> EvseError {
        EvseError { id: self.id.clone(), kind, text: text.to_owned() }
    }

    /// Every part that can is asked; one that heard is enough.
    fn start_all(
        &self,
        can: fn(&Capabilities) -> bool,
        start: impl Fn(&dyn EvseInstance) -> Result<(), EvseError>,
    ) -> Result<(), EvseError> {
        let able = self.able(true, can).into_iter().chain(self.able(false, can));
        let mut result = Err(self.error(EvseErrorKind::Unsupported, "none of its controllers can start a car"));
        for part in able {
            let answer = start(&**part);
            let is_better = match (&result, &answer) {
                (Err(_), Ok(())) => true,
                (Err(so_far), Err(_)) => so_far.kind == EvseErrorKind::Unsupported,
                (Ok(()), _) => false,
            };
            if is_better {
                result = answer;
            }
        }
        result
    }

    /// Parts on one side that have a power.
    fn able(&self, local: bool, has: fn(&Capabilities) -> bool) -> Vec<&Arc<dyn EvseInstance>> {
        self.parts.iter().filter(|part| part.is_local() == local && has(&part.status().capabilities)).collect()
    }

    /// Least current of the car, where it sets the rate itself and can be told.
    fn least_of_vehicle(&self, statuses: &[(bool, Arc<EvseStatus>)]) -> Option<Amps> {
        let can = |(is_local, status): &&(bool, Arc<EvseStatus>)| {
            !is_local && status.link != Link::Lost && status.capabilities.set_target
        };
        let is_by_vehicle = self.routing.rate != RateRoute::Local && !self.is_guess;
        statuses.iter().filter(|_| is_by_vehicle).filter(can).map(|(_, status)| status.limits.min).min()
    }

    /// Whether the car's own interface is to hold its current down to this target.
    fn is_rate_of_vehicle(&self, target: &Target) -> bool {
        match self.routing.rate {
            RateRoute::Local => false,
            RateRoute::Vehicle => true,
            RateRoute::VehicleBelowMinimum => {
                let least = self.parts.iter().filter(|part| part.is_local()).map(|part| part.status().limits.min).max();
                least.is_some_and(|least| target.power.amps_floor(target.volts, target.phases) < least)
            }
        }
    }
}

impl EvseInstance for Merged {
    fn id(&self) -> &EvseId {
        &self.id
    }

    fn is_local(&self) -> bool {
        self.parts.iter().any(|part| part.is_local())
    }

    fn status(&self) -> Arc<EvseStatus> {
        let statuses: Vec<(bool, Arc<EvseStatus>)> =
            self.parts.iter().map(|part| (part.is_local(), part.status())).collect();
        let mut merged = merge(&self.id, &statuses);
        if let Some(least) = self.least_of_vehicle(&statuses) {
            merged.limits.min = merged.limits.min.min(least);
        }
        if self.is_guess {
            // Only its charging point is steered: the car might be another one.
            merged.capabilities.set_target =
                statuses.iter().any(|(is_local, status)| *is_local && status.capabilities.set_target);
        }
        if let Some(phases) = self.phases {
            set_phases(&mut merged, phases);
        }
        Arc::new(merged)
    }

    /// The charging point gets the grant whoever sets the rate, so the wire never promises more than was granted, or its
    /// least where the car is to keep below that. The car gets the grant when it sets the rate, and else its own most, so that it is not what holds it back.
    fn set_target(&self, target: Target) -> Result<(), EvseError> {
        let can_set = |capabilities: &Capabilities| capabilities.set_target;
        let (local, vehicle) = (self.able(true, can_set), self.able(false, can_set));
        if local.is_empty() && vehicle.is_empty() {
            return Err(self.error(EvseErrorKind::Unsupported, "none of its controllers can set a target"));
        }
        let is_rate_of_vehicle = !self.is_guess && (local.is_empty() || self.is_rate_of_vehicle(&target));
        let mut result = Ok(());
        let is_end = target.power == Watts::ZERO;
        for part in &local {
            let limits = part.status().limits;
            let is_below = !is_end && target.power.amps_floor(target.volts, target.phases) < limits.min;
            // Below what it can offer, it offers its least and the car keeps below that. Its own circuit limit, which fuse and
            // wiring go by, still binds it.
            let own = if is_below && is_rate_of_vehicle && !vehicle.is_empty() {
                Target { power: limits.min.watts(target.volts, target.phases), ..target }
            } else {
                target
            };
            result = result.and(part.set_target(own));
        }
        for part in vehicle {
            if is_rate_of_vehicle && !is_end {
                result = result.and(part.set_target(target));
            } else if is_end {
                // Nothing is granted. The car hears of it where it is the one to be stopped; otherwise the charging point
                // sees to it, and the car is left alone.
                if local.is_empty() || self.routing.stop == StopRoute::Vehicle {
                    result = result.and(part.set_target(target));
                }
            } else if self.is_guess {
                // One that was told to stop through this guess is told when that is over, and never more than is granted here.
                if part.status().offered.is_some() {
                    part.set_target(target).ok();
                }
            } else {
                let limits = part.status().limits;
                let most = Target::new(limits.max_power(), &limits, target.expires_at);
                // The charging point holds the limit; a car that cannot be reached only charges slower.
                part.set_target(most).ok();
            }
        }
        result
    }

    fn start(&self) -> Result<(), EvseError> {
        self.start_all(|capabilities| capabilities.start, |part| part.start())
    }

    /// A connector that a person's stop has opened is closed as well, whoever starts the car.
    fn start_on_request(&self) -> Result<(), EvseError> {
        self.start_all(|capabilities| capabilities.start || capabilities.on_request, |part| part.start_on_request())
    }

    /// By the way that was chosen; where that cannot, by the connector all the same.
    fn stop_on_request(&self) -> Result<(), EvseError> {
        let on_request = self.able(true, |capabilities| capabilities.on_request);
        match self.stop() {
            Err(error) if error.kind == EvseErrorKind::Unsupported && !on_request.is_empty() => {
                on_request.into_iter().try_for_each(|part| part.stop_on_request())
            }
            answer => answer,
        }
    }

    fn stop(&self) -> Result<(), EvseError> {
        let can_stop = |capabilities: &Capabilities| capabilities.stop;
        let local_first = self.routing.stop == StopRoute::Local;
        let mut able = self.able(local_first, can_stop);
        if able.is_empty() {
            able = self.able(!local_first, can_stop);
        }
        if able.is_empty() {
            return Err(self.error(EvseErrorKind::Unsupported, "none of its controllers can stop a car"));
        }
        let mut result = Ok(());
        for part in able {
            result = result.and(part.stop());
        }
        result
    }
}

/// The status of the whole: local parts come first in `statuses`, and what they know wins.
fn merge(id: &EvseId, statuses: &[(bool, Arc<EvseStatus>)]) -> EvseStatus {
    let (_, lead) = &statuses[0];
    let mut merged = EvseStatus::clone(lead);
    merged.id = id.clone();
    for (is_local, part) in statuses.iter().skip(1) {
        let part = EvseStatus::clone(part);
        // A cloud may not know yet that a car was plugged in, so its "unplugged" counts for nothing here.
        if merged.plug == Plug::Unknown && (*is_local || part.plug == Plug::PluggedIn) {
            merged.plug = part.plug;
        }
        // What a car said of itself is older than what its charging point sees: neither one that has left nor one through
        // which nothing flows is charging.
        let is_contradicted = !*is_local
            && (merged.plug == Plug::Unplugged
                || (part.is_charging() && merged.drawn.is_some_and(|drawn| drawn < FLOWS)));
        if part.activity == Activity::Faulted && *is_local || merged.activity == Activity::Idle && !is_contradicted {
            merged.activity = part.activity;
        }
        if !*is_local && statuses[0].0 {
            merged.activity = will(&merged, &part);
        }
        merged.note = merged.note.or(part.note);
        merged.offered = merged.offered.or(part.offered);
        merged.reported_max = merged.reported_max.or(part.reported_max);
        // A current and a power measured at different moments by different devices do not belong together.
        if merged.drawn.is_none() && !merged.drawn_per_phase.is_known() && merged.power.is_none() {
            (merged.drawn, merged.drawn_per_phase, merged.power) = (part.drawn, part.drawn_per_phase, part.power);
            merged.is_estimate = part.is_estimate;
        }
        if !merged.volts.is_known() {
            merged.volts = part.volts;
        }
        if *is_local || part.link != Link::Lost {
            merged.limits = stricter(&merged.limits, &part.limits, *is_local == statuses[0].0);
        }
        // What a car says of itself frees no fuse: only charging points add to what is counted, when there is one. Its
        // counter is another one, so it is not taken for that of a charging point that has none, or none yet.
        if *is_local || !statuses[0].0 {
            merged.committed = merged.committed.max(part.committed);
            merged.is_on_circuit |= part.is_on_circuit;
            merged.energy_total = merged.energy_total.or(part.energy_total);
        }
        merged.vin = merged.vin.or(part.vin);
        merged.soc = if *is_local { merged.soc.or(part.soc) } else { part.soc.or(merged.soc) };
        merged.capabilities = Capabilities {
            set_target: merged.capabilities.set_target || part.capabilities.set_target,
            start: merged.capabilities.start || part.capabilities.start,
            stop: merged.capabilities.stop || part.capabilities.stop,
            on_request: merged.capabilities.on_request || part.capabilities.on_request,
        };
        for (name, detail) in part.details {
            merged.details.entry(name).or_insert(detail);
        }
    }
    merged
}

/// Whether a car wants power. Its charging point only sees that nothing flows: the car itself knows that it is full, or
/// that it was merely told to stop and will be told to start.
fn will(merged: &EvseStatus, car: &EvseStatus) -> Activity {
    let is_here = merged.plug == Plug::PluggedIn && car.plug == Plug::PluggedIn && car.link != Link::Lost;
    let is_still = matches!(merged.activity, Activity::WaitingForOffer | Activity::WaitingForCar | Activity::Declined);
    if !is_here || !is_still {
        return merged.activity;
    }
    let is_steered = car.capabilities.start && car.offered.is_some();
    let is_willing = matches!(car.activity, Activity::WaitingForOffer | Activity::WaitingForCar);
    match merged.activity {
        _ if car.details.contains_key(REFUSES) => Activity::Declined,
        Activity::Declined if is_steered && is_willing => match merged.offered {
            Some(offered) if offered > Amps::ZERO => Activity::WaitingForCar,
            _ => Activity::WaitingForOffer,
        },
        other => other,
    }
}

/// Reckons with other phases than its charging point took for granted. Currents are per phase and stay.
fn set_phases(status: &mut EvseStatus, phases: Phases) {
    if status.limits.phases == phases {
        return;
    }
    status.limits.phases = phases;
    if let Some(drawn) = status.drawn.filter(|_| !status.drawn_per_phase.is_known()) {
        status.power = Some(drawn.watts(status.limits.volts, phases));
    }
}

/// The larger least and the smaller most; voltage and phases of the first, which is nearer to the wires.
///
/// The most that a car tells is, at a charging point, what that offered it when it was asked: it would keep the offer where
/// it was for ever. So it only counts between views of one kind (`is_most_its_own`); a car that takes less shows it.
fn stricter(first: &EvseLimits, second: &EvseLimits, is_most_its_own: bool) -> EvseLimits {
    let max = if is_most_its_own { first.max.min(second.max) } else { first.max };
    EvseLimits { min: first.min.max(second.min), max, ..*first }
}

/// Merges instances that report the same VIN: what is left counts every car once.
///
/// Shorthand for a [`MergeTable`] without pins.
#[must_use]
pub fn merge_by_vin(instances: Vec<Arc<dyn EvseInstance>>, routing: Routing) -> Vec<Arc<dyn EvseInstance>> {
    MergeTable { routing, pins: Vec::new() }.merge(instances)
}

/// Which instances are one.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MergeTable {
    /// Where commands to merged ones go.
    pub routing: Routing,
    /// Ids that the owner declared to be one car each, for charging points that cannot tell a VIN.
    pub pins: Vec<Vec<EvseId>>,
}

impl MergeTable {
    /// The instances with those merged that are one car, in the order in which each first appears.
    ///
    /// Two charging points are never merged because of a VIN, since one car cannot be at both: the VIN of one that has no
    /// car now is old and not looked at, and otherwise the likelier one gets the car's other parts. Pins are obeyed.
    #[must_use]
    pub fn merge(&self, instances: Vec<Arc<dyn EvseInstance>>) -> Vec<Arc<dyn EvseInstance>> {
        let statuses: Vec<Arc<EvseStatus>> = instances.iter().map(|instance| instance.status()).collect();
        let group = self.groups(&instances, &statuses);
        let mut parts: BTreeMap<usize, Vec<Arc<dyn EvseInstance>>> = BTreeMap::new();
        for (index, instance) in instances.into_iter().enumerate() {
            parts.entry(group[index]).or_default().push(instance);
        }
        parts.into_values().flat_map(|parts| self.one(parts)).collect()
    }

    /// For each instance, the position of the first one of its car.
    pub(crate) fn groups(&self, instances: &[Arc<dyn EvseInstance>], statuses: &[Arc<EvseStatus>]) -> Vec<usize> {
        let mut group: Vec<usize> = (0..instances.len()).collect();
        for pin in &self.pins {
            let pinned: Vec<usize> = (0..instances.len()).filter(|&i| pin.contains(instances[i].id())).collect();
            join(&mut group, &pinned);
        }
        let mut cars: BTreeMap<&Vin, Vec<usize>> = BTreeMap::new();
        for (index, status) in statuses.iter().enumerate() {
            let is_old = instances[index].is_local() && status.plug == Plug::Unplugged;
            if let Some(vin) = status.vin.as_ref().filter(|_| !is_old) {
                cars.entry(vin).or_default().push(index);
            }
        }
        for same in cars.values() {
            let (local, mut one): (Vec<usize>, Vec<usize>) =
                same.iter().partition(|index| instances[**index].is_local());
            let likeliest = local.into_iter().max_by_key(|&index| {
                let status = &statuses[index];
                let is_there = (status.is_charging(), status.plug == Plug::PluggedIn, status.link == Link::Up);
                (is_there, status.heard_at)
            });
            // Who is pinned to one charging point is not drawn to another.
            let is_taken = |of: usize| (0..group.len()).any(|index| group[index] == of && instances[index].is_local());
            one.retain(|&index| !is_taken(group[index]));
            one.extend(likeliest);
            join(&mut group, &one);
        }
        group
    }

    fn one(&self, mut parts: Vec<Arc<dyn EvseInstance>>) -> Option<Arc<dyn EvseInstance>> {
        if parts.len() == 1 {
            return parts.pop();
        }
        Merged::new(parts, self.routing).map(|merged| Arc::new(merged) as Arc<dyn EvseInstance>)
    }
}

/// Puts these, and all that are with them already, into one group: that of the first one there.
fn join(group: &mut [usize], members: &[usize]) {
    let Some(first) = members.iter().map(|&index| group[index]).min() else {
        return;
    };
    let old: Vec<usize> = members.iter().map(|&index| group[index]).collect();
    for of in group.iter_mut() {
        if old.contains(of) {
            *of = first;
        }
    }
}

#[cfg(test)]
mod tests;
