//! A connector and a car's own view in the real thread: merged, pinned by command, told to whoever steers cars.

#![allow(clippy::unwrap_used)] // A test that cannot go on should end where it stands.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use evse::{
    Activity, AtConnector, Capabilities, EvseError, EvseId, EvseInstance, EvseLimits, EvseListener, EvseStatus, Link,
    MatchedBy, Plug, Target, Vin,
};
use serde_json::{Map, Value, json};
use site::{CarsFacts, Command, Event, SitePort, SiteSetup, Snapshot, Webhook};
use site_thread::{Mailbox, Outlets, SiteHandle, SiteThread};
use units::{Amps, PerPhase, Percent, Phases, Volts};

const VIN: &str = "LRW3F7EK0NC000001";
const PATIENCE: Duration = Duration::from_secs(20);

struct Fake {
    status: Arc<EvseStatus>,
    is_local: bool,
    told: Mutex<Vec<f64>>,
    /// Its next look fails inside.
    is_cursed: AtomicBool,
}

impl EvseInstance for Fake {
    fn id(&self) -> &EvseId {
        &self.status.id
    }

    fn is_local(&self) -> bool {
        self.is_local
    }

    fn status(&self) -> Arc<EvseStatus> {
        assert!(!self.is_cursed.swap(false, Ordering::SeqCst), "as meant by the test");
        Arc::clone(&self.status)
    }

    fn set_target(&self, target: Target) -> Result<(), EvseError> {
        self.told.lock().unwrap().push(target.power.get());
        Ok(())
    }

    fn start(&self) -> Result<(), EvseError> {
        Ok(())
    }

    fn stop(&self) -> Result<(), EvseError> {
        Ok(())
    }
}

fn fake(id: &str, is_local: bool) -> Arc<Fake> {
    let status = EvseStatus {
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
        drawn: Some(Amps::ZERO),
        drawn_per_phase: PerPhase::unknown(),
        power: None,
        is_estimate: false,
        volts: PerPhase::unknown(),
        committed: Amps::ZERO,
        is_on_circuit: is_local,
        limits: EvseLimits {
            min: Amps::from_whole(6),
            max: Amps::from_whole(16),
            volts: Volts::saturating(230.0),
            phases: Phases::One,
        },
        energy_total: None,
        vin: (!is_local).then(|| Vin::parse(VIN)).flatten(),
        soc: Percent::new(40.0).ok().filter(|_| !is_local),
        capabilities: Capabilities { set_target: true, start: true, stop: true, on_request: false },
        details: BTreeMap::new(),
    };
    Arc::new(Fake {
        status: Arc::new(status),
        is_local,
        told: Mutex::new(Vec::new()),
        is_cursed: AtomicBool::default(),
    })
}

enum Told {
    Policy,
    May(Vin, bool),
    At(Vin, Option<AtConnector>),
    Unknown(EvseId),
}

struct Ears(Sender<Told>);

impl Outlets for Ears {
    fn circuit_limit(&mut self, _: PerPhase<Amps>) {}
    fn settings(&mut self, _: &Map<String, Value>) {}
    fn webhook(&mut self, _: Webhook) {}
    fn vehicle_limit(&mut self, _: Option<Percent>) {}
    fn event(&mut self, _: f64, _: Event) {}

    fn policy_changed(&mut self, name: &str) {
        assert!(!name.is_empty());
        self.0.send(Told::Policy).ok();
    }

    fn car_permission(&mut self, vin: &Vin, refusal: Option<&str>) {
        self.0.send(Told::May(vin.clone(), refusal.is_none())).ok();
    }

    fn car_at_connector(&mut self, vin: &Vin, at: Option<&AtConnector>) {
        self.0.send(Told::At(vin.clone(), at.cloned())).ok();
    }

    fn unknown_plug_in(&mut self, connector: &EvseId) {
        self.0.send(Told::Unknown(connector.clone())).ok();
    }
}

fn wait_until(handle: &SiteHandle, what: impl Fn(&Snapshot) -> bool) -> Arc<Snapshot> {
    let end = Instant::now() + PATIENCE;
    let mut seen = handle.snapshot();
    while !what(&seen) {
        assert!(Instant::now() < end, "it never came: {:?}", seen.evses);
        if let Some(newer) = handle.newer_than(seen.sequence, Duration::from_secs(1)) {
            seen = newer;
        }
    }
    seen
}

fn wait_for(ears: &Receiver<Told>, what: impl Fn(&Told) -> bool) {
    while !what(&ears.recv_timeout(PATIENCE).unwrap()) {}
}

#[test]
fn a_pin_takes_effect_at_once_and_whoever_steers_cars_hears_where_the_car_is() {
    let settings = json!({ "nonScheduledAction": 1, "nonScheduledAmpsMax": 10, "hourResumeTrackGreenEnergy": 25 });
    let setup = SiteSetup {
        max_amps_all: Amps::from_whole(32),
        max_amps_each: Amps::from_whole(32),
        default_volts: Volts::saturating(230.0),
        ..SiteSetup::default()
    };
    let mailbox = Arc::new(Mailbox::default());
    let (sender, ears) = channel();
    let settings = settings.as_object().unwrap().clone();
    let mut thread =
        SiteThread::start(setup, settings, Vec::new(), Arc::clone(&mailbox), Box::new(Ears(sender))).unwrap();
    let handle = thread.handle();
    let (connector, car) = (fake("gen2-1", true), fake("tesla-1", false));
    for one in [&connector, &car] {
        mailbox.changed(&(Arc::clone(one) as Arc<dyn EvseInstance>));
    }
    mailbox.cars(CarsFacts::default());
    wait_for(&ears, |told| matches!(told, Told::Policy));
    // It may be the same car: one entry, and the car is not steered.
    let seen = wait_until(&handle, |seen| seen.evses.first().is_some_and(|evse| evse.car.views.len() == 2));
    assert_eq!((seen.evses.len(), seen.evses[0].car.views[1].by), (1, MatchedBy::Possible));
    assert!(car.told.lock().unwrap().is_empty());

    let pin = Command::SetPin { evse: EvseId::new("gen2-1"), vin: Vin::parse(VIN) };
    handle.command(pin).unwrap();
    let seen = wait_until(&handle, |seen| seen.evses[0].car.views.iter().any(|view| view.by == MatchedBy::Pin));
    assert_eq!((seen.evses[0].vin.as_deref(), seen.evses[0].soc), (Some(VIN), Some(40.0)));
    wait_for(&ears, |told| match told {
        Told::At(vin, Some(at)) => vin.as_str() == VIN && at.connector.as_str() == "gen2-1",
        _ => false,
    });
    wait_until(&handle, |_| !connector.told.lock().unwrap().is_empty());

    // Pinned to a charger of its own it takes part there.
    handle.command(Command::SetPin { evse: EvseId::new(format!("tesla-{VIN}")), vin: Vin::parse(VIN) }).unwrap();
    mailbox.gone(&EvseId::new("tesla-1"));
    wait_for(&ears, |told| matches!(told, Told::At(_, None)));
    thread.shutdown();
}

#[test]
fn a_site_that_fails_inside_goes_on_with_the_same_session_and_tells_again_who_may_charge() {
    let settings = json!({ "nonScheduledAction": 1, "nonScheduledAmpsMax": 10, "hourResumeTrackGreenEnergy": 25 });
    let setup = SiteSetup { default_volts: Volts::saturating(230.0), ..SiteSetup::default() };
    let mailbox = Arc::new(Mailbox::default());
    let (sender, ears) = channel();
    let settings = settings.as_object().unwrap().clone();
    let mut thread =
        SiteThread::start(setup, settings, Vec::new(), Arc::clone(&mailbox), Box::new(Ears(sender))).unwrap();
    let handle = thread.handle();
    let car = fake("tesla-1", false);
    mailbox.changed(&(Arc::clone(&car) as Arc<dyn EvseInstance>));
    let is_told = |told: &Told| matches!(told, Told::May(vin, true) if vin.as_str() == VIN);
    wait_for(&ears, is_told);
    let session = |seen: &Snapshot| Some(seen.evses.first()?.session.as_ref()?.id.clone());
    let before = session(&wait_until(&handle, |seen| session(seen).is_some()));
    car.is_cursed.store(true, Ordering::SeqCst);
    mailbox.changed(&(Arc::clone(&car) as Arc<dyn EvseInstance>));
    wait_for(&ears, is_told);
    let after = session(&wait_until(&handle, |seen| session(seen).is_some()));
    assert_eq!(before, after);
    thread.shutdown();
}

#[test]
fn a_car_plugged_in_at_a_connector_that_does_not_tell_which_is_told_once() {
    let setup = SiteSetup { default_volts: Volts::saturating(230.0), ..SiteSetup::default() };
    let mailbox = Arc::new(Mailbox::default());
    let (sender, ears) = channel();
    let mut thread =
        SiteThread::start(setup, Map::new(), Vec::new(), Arc::clone(&mailbox), Box::new(Ears(sender))).unwrap();
    let handle = thread.handle();
    let mut at = Instant::now();
    let mut tell = |id: &str, plug: Plug, vin: Option<Vin>| {
        at += Duration::from_millis(1);
        let mut told = fake(id, true);
        let instance = Arc::get_mut(&mut told).unwrap();
        let status = Arc::get_mut(&mut instance.status).unwrap();
        (status.plug, status.vin, status.heard_at) = (plug, vin, at);
        mailbox.changed(&(told as Arc<dyn EvseInstance>));
        wait_until(&handle, |seen| seen.evses.iter().any(|evse| evse.id.as_str() == id && evse.plug == plug));
    };
    for (id, vin) in [("gen2-2", Vin::parse(VIN)), ("gen2-1", None)] {
        // Plugged in when it is first seen, it was so before.
        tell(id, Plug::PluggedIn, vin.clone());
        tell(id, Plug::Unplugged, None);
        tell(id, Plug::PluggedIn, vin);
    }
    thread.shutdown();
    let told: Vec<EvseId> = ears
        .try_iter()
        .filter_map(|told| match told {
            Told::Unknown(connector) => Some(connector),
            _ => None,
        })
        .collect();
    assert_eq!(told, [EvseId::new("gen2-1")]);
}
