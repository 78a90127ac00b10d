//! One car seen by several controllers is one EVSE.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::{
    Activity, Capabilities, EvseError, EvseErrorKind, EvseId, EvseInstance, EvseLimits, EvseStatus, Link, Plug, Target,
    Vin,
};

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
}

impl Merged {
    /// One EVSE of these parts, named after the first local one. `None` without parts.
    #[must_use]
    pub fn new(mut parts: Vec<Arc<dyn EvseInstance>>, routing: Routing) -> Option<Self> {
        parts.sort_by_key(|part| !part.is_local());
        let id = parts.first()?.id().clone();
        Some(Merged { parts, id, routing })
    }

    /// The ids of the parts, the one that names it first.
    pub fn part_ids(&self) -> impl Iterator<Item = &EvseId> {
        self.parts.iter().map(|part| part.id())
    }

    fn error(&self, kind: EvseErrorKind, text: &str) -> EvseError {
        EvseError { id: self.id.clone(), kind, text: text.to_owned() }
    }

    /// Parts on one side that have a power.
    fn able(&self, local: bool, has: fn(&Capabilities) -> bool) -> Vec<&Arc<dyn EvseInstance>> {
        self.parts.iter().filter(|part| part.is_local() == local && has(&part.status().capabilities)).collect()
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
        Arc::new(merge(&self.id, &statuses))
    }

    /// The charging point gets the grant whoever sets the rate, so the wire never promises more than was granted. The
    /// car gets the grant when it sets the rate, and else its own most, so that it is not what holds it back.
    fn set_target(&self, target: Target) -> Result<(), EvseError> {
        let can_set = |capabilities: &Capabilities| capabilities.set_target;
        let (local, vehicle) = (self.able(true, can_set), self.able(false, can_set));
        if local.is_empty() && vehicle.is_empty() {
            return Err(self.error(EvseErrorKind::Unsupported, "none of its controllers can set a target"));
        }
        let is_rate_of_vehicle = local.is_empty() || self.is_rate_of_vehicle(&target);
        let mut result = Ok(());
        for part in &local {
            result = result.and(part.set_target(target));
        }
        for part in vehicle {
            if is_rate_of_vehicle {
                result = result.and(part.set_target(target));
            } else {
                let limits = part.status().limits;
                let most = Target::new(limits.max_power(), &limits, target.expires_at);
                // The charging point holds the limit; a car that cannot be reached only charges slower.
                part.set_target(most).ok();
            }
        }
        result
    }

    /// Every part that can is asked; one that heard is enough.
    fn start(&self) -> Result<(), EvseError> {
        let can_start = |capabilities: &Capabilities| capabilities.start;
        let able = self.able(true, can_start).into_iter().chain(self.able(false, can_start));
        let mut result = Err(self.error(EvseErrorKind::Unsupported, "none of its controllers can start a car"));
        for part in able {
            let answer = part.start();
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
        if part.activity == Activity::Faulted && *is_local || merged.activity == Activity::Idle {
            merged.activity = part.activity;
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
            merged.limits = stricter(&merged.limits, &part.limits);
        }
        // What a car says of itself frees no fuse: only charging points add to what is counted, when there is one.
        if *is_local || !statuses[0].0 {
            merged.committed = merged.committed.max(part.committed);
        }
        merged.energy_total = merged.energy_total.or(part.energy_total);
        merged.vin = merged.vin.or(part.vin);
        merged.soc = if *is_local { merged.soc.or(part.soc) } else { part.soc.or(merged.soc) };
        merged.capabilities = Capabilities {
            set_target: merged.capabilities.set_target || part.capabilities.set_target,
            start: merged.capabilities.start || part.capabilities.start,
            stop: merged.capabilities.stop || part.capabilities.stop,
        };
        for (name, detail) in part.details {
            merged.details.entry(name).or_insert(detail);
        }
    }
    merged
}

/// The larger least and the smaller most; voltage and phases of the first, which is nearer to the wires.
fn stricter(first: &EvseLimits, second: &EvseLimits) -> EvseLimits {
    EvseLimits { min: first.min.max(second.min), max: first.max.min(second.max), ..*first }
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

        let mut parts: BTreeMap<usize, Vec<Arc<dyn EvseInstance>>> = BTreeMap::new();
        for (index, instance) in instances.into_iter().enumerate() {
            parts.entry(group[index]).or_default().push(instance);
        }
        parts.into_values().flat_map(|parts| self.one(parts)).collect()
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
mod tests {
    use std::sync::Mutex;
    use std::time::{Duration, Instant};

    use units::{Amps, PerPhase, Percent, Phases, Volts, WattHours, Watts};

    use super::*;

    const VIN: &str = "LRW3F7EK0NC000001";

    /// Keeps what it is told: targets in whole watts, and the words start and stop.
    struct Fake {
        status: Arc<EvseStatus>,
        local: bool,
        told: Mutex<Vec<String>>,
    }

    impl Fake {
        fn take(&self) -> Vec<String> {
            std::mem::take(&mut self.told.lock().unwrap())
        }

        fn note(&self, word: String, can: bool) -> Result<(), EvseError> {
            self.told.lock().unwrap().push(word);
            let kind = EvseErrorKind::Unsupported;
            if can { Ok(()) } else { Err(EvseError { id: self.id().clone(), kind, text: "cannot".into() }) }
        }
    }

    impl EvseInstance for Fake {
        fn id(&self) -> &EvseId {
            &self.status.id
        }
        fn is_local(&self) -> bool {
            self.local
        }
        fn status(&self) -> Arc<EvseStatus> {
            self.status.clone()
        }
        fn set_target(&self, target: Target) -> Result<(), EvseError> {
            self.note(format!("{:.0}", target.power), self.status.capabilities.set_target)
        }
        fn start(&self) -> Result<(), EvseError> {
            self.note("start".into(), self.status.capabilities.start)
        }
        fn stop(&self) -> Result<(), EvseError> {
            self.note("stop".into(), self.status.capabilities.stop)
        }
    }

    fn fake(id: &str, local: bool, change: impl FnOnce(&mut EvseStatus)) -> Arc<Fake> {
        let mut status = EvseStatus {
            id: EvseId::new(id),
            name: id.to_owned(),
            controller: "Fake".to_owned(),
            heard_at: Instant::now(),
            link: Link::Up,
            plug: Plug::PluggedIn,
            activity: Activity::WaitingForOffer,
            note: None,
            offered: None,
            reported_max: None,
            drawn: None,
            drawn_per_phase: PerPhase::unknown(),
            power: None,
            volts: PerPhase::unknown(),
            committed: Amps::ZERO,
            limits: EvseLimits {
                min: Amps::from_whole(6),
                max: Amps::from_whole(32),
                volts: Volts::new(230.0).unwrap(),
                phases: Phases::Three,
            },
            energy_total: None,
            vin: Vin::parse(VIN),
            soc: None,
            is_estimate: false,
            is_on_circuit: true,
            capabilities: Capabilities { set_target: true, start: true, stop: true },
            details: BTreeMap::new(),
        };
        change(&mut status);
        Arc::new(Fake { status: Arc::new(status), local, told: Mutex::new(Vec::new()) })
    }

    fn connector() -> Arc<Fake> {
        fake("gen2-4085", true, |status| {
            status.committed = Amps::from_whole(10);
            status.capabilities.start = false;
        })
    }

    fn cloud_car() -> Arc<Fake> {
        fake("tesla-1", false, |status| {
            status.limits.min = Amps::from_whole(5);
            status.limits.max = Amps::from_whole(16);
        })
    }

    fn all(fakes: &[&Arc<Fake>]) -> Vec<Arc<dyn EvseInstance>> {
        fakes.iter().map(|fake| Arc::clone(fake) as Arc<dyn EvseInstance>).collect()
    }

    fn ids(instances: &[Arc<dyn EvseInstance>]) -> Vec<&str> {
        instances.iter().map(|instance| instance.id().as_str()).collect()
    }

    fn grant(amps: i32, instance: &dyn EvseInstance) -> Target {
        let limits = instance.status().limits;
        Target::new(limits.power(Amps::from_whole(amps)), &limits, Instant::now() + Duration::from_secs(60))
    }

    #[test]
    fn a_car_seen_twice_is_one_under_the_local_name() {
        let (cloud, local) = (cloud_car(), connector());
        let other = fake("gen2-1111", true, |status| status.vin = None);
        let merged = merge_by_vin(all(&[&cloud, &other, &local]), Routing::default());
        assert_eq!(ids(&merged), ["gen2-4085", "gen2-1111"]);
        assert!(merged[0].is_local());
    }

    #[test]
    fn two_charging_points_are_never_merged_by_a_vin() {
        let left_behind = fake("gen2-1", true, |status| status.plug = Plug::Unplugged);
        let unsure = fake("gen2-2", true, |status| status.plug = Plug::Unknown);
        let (here, cloud) = (fake("gen2-3", true, |_| ()), cloud_car());
        let merged = merge_by_vin(all(&[&left_behind, &unsure, &here, &cloud]), Routing::default());
        assert_eq!(ids(&merged), ["gen2-1", "gen2-2", "gen2-3"]);
        merged[2].start().unwrap();
        assert_eq!(cloud.take(), ["start"]);
    }

    #[test]
    fn what_the_owner_pinned_is_one_and_stays_where_it_is() {
        let blind = fake("gen2-1", true, |status| status.vin = None);
        let (cloud, elsewhere) = (cloud_car(), fake("gen2-2", true, |_| ()));
        let pins = vec![vec![EvseId::new("gen2-1"), EvseId::new("tesla-1"), EvseId::new("gone")]];
        let table = MergeTable { routing: Routing::default(), pins };
        let merged = table.merge(all(&[&elsewhere, &cloud, &blind]));
        assert_eq!(ids(&merged), ["gen2-2", "gen2-1"]);
    }

    #[test]
    fn it_is_measured_where_it_is_plugged_in_and_known_by_what_its_maker_says() {
        let local = fake("gen2-4085", true, |status| {
            status.committed = Amps::from_whole(10);
            status.drawn = Some(Amps::from_whole(9));
            status.vin = None;
        });
        let cloud = fake("tesla-1", false, |status| {
            status.limits.min = Amps::from_whole(8);
            status.limits.max = Amps::from_whole(16);
            status.limits.volts = Volts::new(110.0).unwrap();
            status.committed = Amps::from_whole(40);
            status.drawn = Some(Amps::from_whole(7));
            status.power = Some(Watts::new(99.0).unwrap());
            status.soc = Percent::new(40.0).ok();
            status.energy_total = WattHours::new(5.0).ok();
        });
        let status = Merged::new(all(&[&cloud, &local]), Routing::default()).unwrap().status();
        assert_eq!(status.id.as_str(), "gen2-4085");
        assert_eq!((status.drawn, status.power), (Some(Amps::from_whole(9)), None));
        assert_eq!(status.committed, Amps::from_whole(10));
        assert_eq!(status.vin.as_ref().unwrap().as_str(), VIN);
        assert_eq!(status.soc, Percent::new(40.0).ok());
        assert_eq!(status.energy_total, WattHours::new(5.0).ok());
        assert_eq!((status.limits.min, status.limits.max), (Amps::from_whole(8), Amps::from_whole(16)));
        assert_eq!(status.limits.volts, Volts::new(230.0).unwrap());
    }

    #[test]
    fn a_cloud_that_is_lost_bounds_nothing() {
        let cloud = fake("tesla-1", false, |status| {
            status.limits.max = Amps::from_whole(5);
            status.link = Link::Lost;
        });
        let status = Merged::new(all(&[&connector(), &cloud]), Routing::default()).unwrap().status();
        assert_eq!(status.limits.max, Amps::from_whole(32));
        assert_eq!(status.link, Link::Up);
    }

    /// Sends a grant of so many amps, and compares what each part was told.
    fn check_rate(rate: RateRoute, amps: i32, local_told: &str, cloud_told: &str) {
        let (local, cloud) = (connector(), cloud_car());
        let merged = Merged::new(all(&[&local, &cloud]), Routing { rate, ..Routing::default() }).unwrap();
        merged.set_target(grant(amps, &merged)).unwrap();
        assert_eq!((local.take(), cloud.take()), (vec![local_told.to_owned()], vec![cloud_told.to_owned()]));
    }

    #[test]
    fn the_rate_is_set_where_the_owner_wants_it() {
        // 690 W for an amp; 16 A is the car's most.
        check_rate(RateRoute::Local, 10, "6900 W", "11040 W");
        check_rate(RateRoute::Vehicle, 10, "6900 W", "6900 W");
        check_rate(RateRoute::VehicleBelowMinimum, 6, "4140 W", "11040 W");
        check_rate(RateRoute::VehicleBelowMinimum, 5, "3450 W", "3450 W");
    }

    #[test]
    fn a_part_that_cannot_is_passed_over() {
        let local = fake("gen2-1", true, |status| status.capabilities = Capabilities::default());
        let cloud = cloud_car();
        let routing = Routing { rate: RateRoute::Local, stop: StopRoute::Local };
        let merged = Merged::new(all(&[&local, &cloud]), routing).unwrap();
        merged.set_target(grant(10, &merged)).unwrap();
        merged.stop().unwrap();
        assert_eq!(cloud.take(), ["6900 W", "stop"]);
        assert!(local.take().is_empty());

        let alone = Merged::new(all(&[&local]), routing).unwrap();
        assert_eq!(alone.set_target(grant(10, &alone)).unwrap_err().kind, EvseErrorKind::Unsupported);
        assert_eq!(alone.start().unwrap_err().kind, EvseErrorKind::Unsupported);
        assert_eq!(alone.stop().unwrap_err().kind, EvseErrorKind::Unsupported);
    }

    #[test]
    fn a_stop_goes_to_one_side_and_a_start_to_all() {
        for (mode, local_told, cloud_told) in [(1, vec![], vec!["stop"]), (3, vec!["stop"], vec![])] {
            let (local, cloud) = (fake("gen2-1", true, |_| ()), cloud_car());
            let merged = Merged::new(all(&[&local, &cloud]), Routing::from_settings(1, mode).unwrap()).unwrap();
            merged.stop().unwrap();
            assert_eq!(local.take(), local_told);
            assert_eq!(cloud.take(), cloud_told);
            merged.start().unwrap();
            assert_eq!((local.take(), cloud.take()), (vec!["start".to_owned()], vec!["start".to_owned()]));
        }
        assert_eq!(Routing::from_settings(4, 1), None);
    }
}
