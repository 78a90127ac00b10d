//! Merging and routing.

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
        capabilities: Capabilities { set_target: true, start: true, stop: true, on_request: false },
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
    // The car's counter is another one, and its most is what it was offered when it was asked.
    assert_eq!(status.energy_total, None);
    assert_eq!((status.limits.min, status.limits.max), (Amps::from_whole(8), Amps::from_whole(32)));
    assert_eq!(status.limits.volts, Volts::new(230.0).unwrap());
}

#[test]
fn what_a_car_said_does_not_charge_at_a_connector_that_sees_otherwise() {
    let seen = |plug, drawn| {
        let local = fake("gen2-1", true, |status| {
            (status.plug, status.activity, status.drawn) = (plug, Activity::Idle, Some(Amps::from_whole(drawn)));
        });
        let cloud = fake("tesla-1", false, |status| {
            (status.activity, status.drawn) = (Activity::Charging, Some(Amps::from_whole(12)));
        });
        let status = Merged::new(all(&[&local, &cloud]), Routing::default()).unwrap().status();
        (status.activity, status.drawn.map(Amps::get))
    };
    assert_eq!(seen(Plug::Unplugged, 0), (Activity::Idle, Some(0.0)), "it has left");
    assert_eq!(seen(Plug::Unknown, 0), (Activity::Idle, Some(0.0)));
    assert_eq!(seen(Plug::Unknown, 12), (Activity::Charging, Some(12.0)));
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
    // The connector cannot offer less than 6 A; the car keeps below.
    check_rate(RateRoute::VehicleBelowMinimum, 5, "4140 W", "3450 W");
    check_rate(RateRoute::Vehicle, 5, "4140 W", "3450 W");
    check_rate(RateRoute::Local, 5, "3450 W", "11040 W");
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

#[test]
fn a_persons_word_reaches_a_connector_that_is_not_used_for_it_otherwise() {
    let on_request = Capabilities { set_target: true, start: false, stop: false, on_request: true };
    let local = fake("gen2-1", true, |status| status.capabilities = on_request);
    let deaf = fake("tesla-1", false, |status| status.capabilities = Capabilities::default());
    let merged = Merged::new(all(&[&local, &deaf]), Routing::default()).unwrap();
    assert_eq!(merged.stop().unwrap_err().kind, EvseErrorKind::Unsupported, "the site on its own cannot");
    assert!(merged.status().capabilities.on_request);
    merged.stop_on_request().ok();
    merged.start_on_request().ok();
    assert_eq!(local.take(), ["stop", "start"]);
    // Where the car can be told, it is; and what was opened is closed.
    let cloud = cloud_car();
    let merged = Merged::new(all(&[&local, &cloud]), Routing::default()).unwrap();
    merged.stop_on_request().unwrap();
    merged.start_on_request().unwrap();
    assert_eq!((local.take(), cloud.take()), (vec!["start".to_owned()], vec!["stop".to_owned(), "start".to_owned()]));
}

#[test]
fn with_nothing_granted_a_car_is_told_only_where_it_is_the_one_to_be_stopped() {
    for (stop, told) in [(StopRoute::Vehicle, vec!["0 W".to_owned()]), (StopRoute::Local, vec![])] {
        let (local, cloud) = (connector(), cloud_car());
        let merged = Merged::new(all(&[&local, &cloud]), Routing { rate: RateRoute::Local, stop }).unwrap();
        merged.set_target(grant(0, &merged)).unwrap();
        assert_eq!((local.take(), cloud.take()), (vec!["0 W".to_owned()], told));
    }
    // A car on somebody else's charger has nobody else to hear it.
    let cloud = cloud_car();
    let routing = Routing { rate: RateRoute::Local, stop: StopRoute::Local };
    let alone = Merged::new(all(&[&cloud]), routing).unwrap();
    alone.set_target(grant(0, &alone)).unwrap();
    assert_eq!(cloud.take(), ["0 W"]);
}

#[test]
fn a_guess_is_never_told_to_take_more() {
    let (local, cloud) = (connector(), cloud_car());
    let merged = Merged::new(all(&[&local, &cloud]), Routing::default()).unwrap().as_guess(true);
    merged.set_target(grant(10, &merged)).unwrap();
    assert_eq!((local.take(), cloud.take()), (vec!["6900 W".to_owned()], Vec::<String>::new()));
    // Not even where the car sets the rate: if it stands elsewhere nobody reckons with it.
    let by_car = Routing { rate: RateRoute::Vehicle, ..Routing::default() };
    let merged = Merged::new(all(&[&local, &cloud]), by_car).unwrap().as_guess(true);
    merged.set_target(grant(10, &merged)).unwrap();
    assert_eq!((local.take(), cloud.take()), (vec!["6900 W".to_owned()], Vec::<String>::new()));
    let blind = fake("gen2-2", true, |status| status.capabilities = Capabilities::default());
    let merged = Merged::new(all(&[&blind, &cloud]), by_car).unwrap().as_guess(true);
    assert!(!merged.status().capabilities.set_target);
    assert!(merged.set_target(grant(10, &merged)).is_ok() && cloud.take().is_empty());
}

#[test]
fn a_car_that_sets_its_own_rate_may_go_below_the_connectors_least() {
    let least = |rate| {
        let parts = all(&[&connector(), &cloud_car()]);
        Merged::new(parts, Routing { rate, ..Routing::default() }).unwrap().status().limits.min
    };
    assert_eq!(least(RateRoute::Local), Amps::from_whole(6));
    assert_eq!(least(RateRoute::VehicleBelowMinimum), Amps::from_whole(5));
}

#[test]
fn known_phases_turn_the_same_current_into_less_power() {
    let local = fake("gen2-1", true, |status| {
        status.drawn = Some(Amps::from_whole(10));
        status.power = Watts::new(6900.0).ok();
        status.committed = Amps::from_whole(16);
    });
    let status = Merged::new(all(&[&local]), Routing::default()).unwrap().on_phases(Some(Phases::One)).status();
    assert_eq!((status.limits.phases, status.power), (Phases::One, Watts::new(2300.0).ok()));
    assert_eq!(status.committed, Amps::from_whole(16), "amps of a fuse are amps of each phase");
}
