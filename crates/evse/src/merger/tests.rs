//! One car seen by two controllers, in virtual time.

use std::sync::Mutex;

use units::{PerPhase, Volts, Watts};

use super::*;
use crate::{Activity, Capabilities, ControllerEvent, EvseError, EvseLimits, Link, Target};

const RED: &str = "LRW3F7EK0NC000001";
const BLUE: &str = "LRW3F7EK0NC000002";

struct Fake {
    id: EvseId,
    is_local: bool,
    status: Mutex<Arc<EvseStatus>>,
}

impl EvseInstance for Fake {
    fn id(&self) -> &EvseId {
        &self.id
    }

    fn is_local(&self) -> bool {
        self.is_local
    }

    fn status(&self) -> Arc<EvseStatus> {
        Arc::clone(&self.status.lock().unwrap())
    }

    fn set_target(&self, _: Target) -> Result<(), EvseError> {
        Ok(())
    }

    fn start(&self) -> Result<(), EvseError> {
        Ok(())
    }

    fn stop(&self) -> Result<(), EvseError> {
        Ok(())
    }
}

/// Connectors that tell no VIN and cars that report each minute.
struct Yard {
    start: Instant,
    second: u64,
    merger: Merger,
    fakes: BTreeMap<&'static str, Arc<Fake>>,
    events: Vec<ControllerEvent>,
    at: BTreeMap<Vin, AtConnector>,
    /// What the news add up to.
    shown: BTreeSet<EvseId>,
}

impl Yard {
    fn new(settings: MergeSettings) -> Yard {
        Yard {
            start: Instant::now() + Duration::from_secs(10_000),
            second: 0,
            merger: Merger::new(settings),
            fakes: BTreeMap::new(),
            events: Vec::new(),
            at: BTreeMap::new(),
            shown: BTreeSet::new(),
        }
    }

    fn now(&self) -> Instant {
        self.start + Duration::from_secs(self.second)
    }

    /// Something new of a connector (`gen2-…`) or a car (`tesla-…`).
    fn set(&mut self, id: &'static str, change: impl FnOnce(&mut EvseStatus)) {
        let now = self.now();
        let fake = self.fakes.entry(id).or_insert_with(|| fake(id, now));
        let mut status = EvseStatus::clone(&fake.status());
        status.heard_at = now;
        change(&mut status);
        status.activity = if status.drawn.is_some_and(|drawn| drawn > Amps::ZERO) {
            Activity::Charging
        } else {
            Activity::WaitingForOffer
        };
        *fake.status.lock().unwrap() = Arc::new(status);
        let fake = Arc::clone(fake);
        self.merger.handle_changed(now, fake);
        self.drain();
    }

    fn plug(&mut self, id: &'static str, plug: Plug) {
        self.set(id, |status| {
            status.plug = plug;
            if plug == Plug::Unplugged {
                status.drawn = Some(Amps::ZERO);
            }
        });
    }

    fn draw(&mut self, id: &'static str, amps: i32) {
        self.set(id, |status| status.drawn = Some(Amps::from_whole(amps)));
    }

    /// Time passes; cars report at its end.
    fn pass(&mut self, seconds: u64) {
        for _ in 0..seconds {
            self.second += 1;
            if self.merger.next_timeout().is_some_and(|at| at <= self.now()) {
                self.merger.handle_timeout(self.now());
                self.drain();
            }
        }
    }

    fn drain(&mut self) {
        while let Some(news) = self.merger.poll_news(self.now()) {
            match news {
                MergeNews::Event(event) => self.events.push(event),
                MergeNews::AtConnector { vin, at: Some(at) } => {
                    self.at.insert(vin, at);
                }
                MergeNews::AtConnector { vin, at: None } => {
                    self.at.remove(&vin);
                }
                MergeNews::Changed { instance, .. } => {
                    self.shown.insert(instance.id().clone());
                }
                MergeNews::Gone(id) => assert!(self.shown.remove(&id)),
            }
        }
    }

    fn ids(&self) -> Vec<String> {
        self.merger.instances().map(|(instance, _)| instance.id().to_string()).collect()
    }

    fn views(&self, id: &str) -> Vec<(String, MatchedBy)> {
        let (_, views) = self.merger.instances().find(|(instance, _)| instance.id().as_str() == id).unwrap();
        views.iter().map(|view| (view.id.to_string(), view.by)).collect()
    }
}

fn fake(id: &'static str, now: Instant) -> Arc<Fake> {
    let is_local = id.starts_with("gen2");
    let vin = match id {
        "tesla-red" => Vin::parse(RED),
        "tesla-blue" => Vin::parse(BLUE),
        _ => None,
    };
    let status = EvseStatus {
        id: EvseId::new(id),
        name: id.to_owned(),
        controller: "Fake".to_owned(),
        heard_at: now,
        link: Link::Up,
        plug: Plug::Unplugged,
        activity: Activity::Idle,
        note: None,
        offered: None,
        reported_max: None,
        drawn: Some(Amps::ZERO),
        drawn_per_phase: PerPhase::unknown(),
        power: Some(Watts::ZERO),
        is_estimate: false,
        volts: PerPhase::unknown(),
        committed: if is_local { Amps::from_whole(6) } else { Amps::ZERO },
        is_on_circuit: is_local,
        limits: EvseLimits {
            min: Amps::from_whole(6),
            max: Amps::from_whole(16),
            volts: Volts::saturating(230.0),
            phases: Phases::Three,
        },
        energy_total: None,
        vin,
        soc: None,
        capabilities: Capabilities { set_target: true, start: true, stop: true, on_request: false },
        details: BTreeMap::new(),
    };
    Arc::new(Fake { id: EvseId::new(id), is_local, status: Mutex::new(Arc::new(status)) })
}

/// A connector and a car, both seen empty, then both plugged in.
fn plugged() -> Yard {
    let mut yard = Yard::new(MergeSettings::default());
    yard.plug("gen2-1", Plug::Unplugged);
    yard.pass(60);
    yard.plug("tesla-red", Plug::Unplugged);
    yard.pass(120);
    yard.plug("gen2-1", Plug::PluggedIn);
    yard.pass(20);
    yard.plug("tesla-red", Plug::PluggedIn);
    yard
}

#[test]
fn a_car_is_never_counted_beside_the_connector_that_it_may_be_at() {
    let mut yard = plugged();
    assert_eq!(yard.ids(), ["gen2-1"]);
    assert_eq!(yard.views("gen2-1")[1], ("tesla-red".to_owned(), MatchedBy::Possible));
    yard.pass(700);
    assert_eq!(yard.ids(), ["gen2-1"]);
    let told = yard.events.last().unwrap();
    assert_eq!((told.code, told.cleared), ("ambiguous_car", false));
    assert!(told.text.contains(&format!("{{\"gen2-1\": \"{RED}\"}}")), "{}", told.text);
}

#[test]
fn plug_and_draw_that_coincide_make_a_match_and_a_contradiction_ends_it() {
    let mut yard = plugged();
    yard.pass(60);
    yard.draw("gen2-1", 10);
    yard.pass(30);
    yard.draw("tesla-red", 10);
    yard.pass(60);
    assert_eq!(
        yard.views("gen2-1"),
        [("gen2-1".to_owned(), MatchedBy::Itself), ("tesla-red".to_owned(), MatchedBy::Behaviour)]
    );
    assert_eq!(yard.merger.instance(&EvseId::new("gen2-1")).unwrap().status().vin, Vin::parse(RED));
    assert!(yard.at.is_empty(), "a guess is not told to the car, which would confirm it");
    // The connector stops, and the car goes on: it was another one.
    yard.draw("gen2-1", 0);
    yard.pass(120);
    yard.draw("tesla-red", 10);
    yard.pass(60);
    yard.draw("tesla-red", 11);
    yard.pass(60);
    assert_eq!(yard.ids(), ["gen2-1", "tesla-red"]);
    let local = yard.merger.instance(&EvseId::new("gen2-1")).unwrap().status();
    assert_eq!(local.committed, Amps::from_whole(6), "what the connector was told stays counted");
}

#[test]
fn a_car_that_charges_elsewhere_takes_part_on_its_own() {
    let mut yard = plugged();
    // It draws on its own charger while the connector does not: plugged in at the same time by chance.
    yard.pass(60);
    yard.draw("tesla-red", 8);
    yard.pass(60);
    yard.draw("tesla-red", 9);
    yard.pass(60);
    assert_eq!(yard.ids(), ["gen2-1", "tesla-red"]);
    assert!(yard.at.is_empty());
}

#[test]
fn a_connector_that_is_empty_makes_nobody_doubt() {
    let mut yard = Yard::new(MergeSettings::default());
    yard.plug("gen2-1", Plug::Unplugged);
    yard.plug("tesla-red", Plug::PluggedIn);
    assert_eq!(yard.ids(), ["gen2-1", "tesla-red"]);
}

#[test]
fn two_cars_that_do_the_same_are_not_told_apart_until_they_differ() {
    let mut yard = Yard::new(MergeSettings::default());
    for id in ["gen2-1", "gen2-2", "tesla-red", "tesla-blue"] {
        yard.plug(id, Plug::Unplugged);
        yard.pass(60);
    }
    yard.pass(100);
    for id in ["gen2-1", "gen2-2", "tesla-red", "tesla-blue"] {
        yard.plug(id, Plug::PluggedIn);
    }
    yard.pass(60);
    for id in ["gen2-1", "gen2-2", "tesla-red", "tesla-blue"] {
        yard.draw(id, 10);
    }
    yard.pass(100);
    assert_eq!(yard.ids(), ["gen2-1", "gen2-2"]);
    assert_eq!(yard.views("gen2-1").len(), 3);
    // One of them stops.
    yard.draw("gen2-2", 0);
    yard.pass(50);
    yard.draw("tesla-red", 10);
    yard.draw("tesla-blue", 0);
    yard.pass(60);
    assert_eq!(yard.views("gen2-1")[1], ("tesla-red".to_owned(), MatchedBy::Behaviour));
    assert_eq!(yard.views("gen2-2")[1], ("tesla-blue".to_owned(), MatchedBy::Behaviour));
    assert_eq!(yard.ids(), ["gen2-1", "gen2-2"]);
}

#[test]
fn a_pin_decides_at_once_either_way() {
    let vin = Vin::parse(RED).unwrap();
    let mut yard = plugged();
    let pins = BTreeMap::from([(EvseId::new("gen2-1"), vin.clone())]);
    yard.merger.handle_settings(MergeSettings { pins, ..MergeSettings::default() });
    yard.drain();
    assert_eq!(yard.views("gen2-1")[1].1, MatchedBy::Pin);
    let pins = BTreeMap::from([(EvseId::new("tesla-red"), vin)]);
    yard.merger.handle_settings(MergeSettings { pins, ..MergeSettings::default() });
    yard.drain();
    assert_eq!(yard.ids(), ["gen2-1", "tesla-red"]);
}

#[test]
fn what_a_car_said_before_it_left_a_connector_makes_no_ghost() {
    let mut yard = Yard::new(MergeSettings::default());
    yard.set("gen2-1", |status| (status.plug, status.vin) = (Plug::PluggedIn, Vin::parse(RED)));
    yard.plug("tesla-red", Plug::PluggedIn);
    assert_eq!(yard.ids(), ["gen2-1"]);
    assert_eq!(yard.at.len(), 1);
    yard.pass(600);
    yard.plug("gen2-1", Plug::Unplugged);
    assert_eq!((yard.ids(), yard.at.len()), (vec!["gen2-1".to_owned()], 0));
    // Now it says that it is plugged in, elsewhere.
    yard.pass(600);
    yard.plug("tesla-red", Plug::PluggedIn);
    assert_eq!(yard.ids(), ["gen2-1", "tesla-red"]);
}

#[test]
fn phases_come_from_a_person_then_the_connectors_meter_then_the_car() {
    let mut yard = Yard::new(MergeSettings::default());
    let phases = |yard: &Yard| yard.merger.instance(&EvseId::new("gen2-1")).unwrap().status().limits.phases;
    yard.set("gen2-1", |status| (status.plug, status.vin) = (Plug::PluggedIn, Vin::parse(RED)));
    yard.set("tesla-red", |status| {
        status.plug = Plug::PluggedIn;
        status.limits.phases = Phases::One;
    });
    assert_eq!(phases(&yard), Phases::Three, "a number that is only taken for granted changes nothing");
    yard.set("tesla-red", |status| {
        status.details.insert(TOLD_PHASES, Detail::Number(1.0));
    });
    assert_eq!(phases(&yard), Phases::One);
    yard.set("gen2-1", |status| status.drawn_per_phase = PerPhase::splat(Some(Amps::from_whole(6))));
    assert_eq!(phases(&yard), Phases::Three);
    let set = BTreeMap::from([(Vin::parse(RED).unwrap(), Phases::One)]);
    yard.merger.handle_settings(MergeSettings { phases: set, ..MergeSettings::default() });
    yard.drain();
    assert_eq!(phases(&yard), Phases::One);
}

#[test]
fn a_car_that_charges_elsewhere_keeps_its_share_while_a_connector_finds_out_who_came() {
    let mut yard = Yard::new(MergeSettings::default());
    yard.plug("gen2-1", Plug::Unplugged);
    yard.plug("tesla-blue", Plug::PluggedIn);
    yard.pass(100);
    yard.draw("tesla-blue", 8);
    assert_eq!(yard.ids(), ["gen2-1", "tesla-blue"]);
    // Another car comes; its VIN is known a minute later.
    yard.plug("gen2-1", Plug::PluggedIn);
    assert_eq!(yard.ids(), ["gen2-1", "tesla-blue"]);
    yard.pass(60);
    yard.set("gen2-1", |status| status.vin = Vin::parse(RED));
    assert_eq!(yard.ids(), ["gen2-1", "tesla-blue"]);
    // A connector that never tells: the car says that it was plugged in all the time, so it is another one.
    yard.set("gen2-1", |status| status.vin = None);
    yard.pass(100);
    yard.draw("tesla-blue", 8);
    yard.pass(400);
    yard.draw("gen2-1", 0);
    assert_eq!(yard.ids(), ["gen2-1", "tesla-blue"]);
    assert!(yard.events.is_empty());
}

#[test]
fn a_pin_counts_while_that_car_may_be_there_and_not_for_a_guest() {
    let pins = BTreeMap::from([(EvseId::new("gen2-1"), Vin::parse(RED).unwrap())]);
    let mut yard = Yard::new(MergeSettings { pins, ..MergeSettings::default() });
    yard.plug("gen2-1", Plug::Unplugged);
    yard.plug("tesla-red", Plug::Unplugged);
    yard.pass(100);
    yard.plug("gen2-1", Plug::PluggedIn);
    assert_eq!(yard.views("gen2-1")[1].1, MatchedBy::Pin);
    assert_eq!(yard.at.len(), 1);
    // It says a minute later that it has no cable: a guest is there.
    yard.pass(60);
    yard.plug("tesla-red", Plug::Unplugged);
    assert_eq!((yard.ids().len(), yard.at.len()), (2, 0));
    // The guest leaves, and ours charges on another charger.
    yard.plug("gen2-1", Plug::Unplugged);
    yard.pass(100);
    yard.plug("tesla-red", Plug::PluggedIn);
    assert_eq!(yard.ids(), ["gen2-1", "tesla-red"]);
    // A VIN that the connector tells is stronger than any pin.
    yard.pass(100);
    yard.set("gen2-1", |status| (status.plug, status.vin) = (Plug::PluggedIn, Vin::parse(BLUE)));
    assert_eq!(yard.ids(), ["gen2-1", "tesla-red"]);
    assert!(yard.at.contains_key(&Vin::parse(BLUE).unwrap()));
}

#[test]
fn a_car_waits_until_the_connectors_are_found_and_found_again() {
    let mut yard = Yard::new(MergeSettings::default());
    yard.merger = Merger::new(MergeSettings::default()).finding_until(Some(yard.now() + Duration::from_secs(90)));
    yard.set("tesla-red", |status| (status.plug, status.drawn) = (Plug::PluggedIn, Some(Amps::from_whole(10))));
    yard.plug("tesla-blue", Plug::PluggedIn);
    assert!(yard.ids().is_empty(), "they may be at connectors that are not found yet");
    yard.pass(20);
    let at_connector = |status: &mut EvseStatus| {
        (status.plug, status.vin, status.drawn) = (Plug::PluggedIn, Vin::parse(RED), Some(Amps::from_whole(10)));
    };
    yard.set("gen2-1", at_connector);
    assert_eq!(yard.ids(), ["gen2-1"]);
    yard.pass(80);
    assert_eq!(yard.ids(), ["gen2-1", "tesla-blue"]);
    // The bus begins anew while the car goes on charging.
    yard.merger.handle_gone(&EvseId::new("gen2-1"));
    yard.drain();
    assert_eq!(yard.ids(), ["tesla-blue"]);
    yard.pass(30);
    yard.set("gen2-1", at_connector);
    assert_eq!(yard.ids(), ["gen2-1", "tesla-blue"]);
    assert_eq!(yard.views("gen2-1").len(), 2);
    // And when it is not found again, the car counts for itself.
    yard.merger.handle_gone(&EvseId::new("gen2-1"));
    yard.drain();
    yard.pass(89);
    assert_eq!(yard.ids(), ["tesla-blue"]);
    yard.pass(2);
    assert_eq!(yard.ids(), ["tesla-blue", "tesla-red"]);
}

#[test]
fn a_car_on_a_charger_of_the_same_circuit_is_counted_until_it_is_sure_that_it_is_not_there() {
    let mut yard = plugged();
    yard.set("tesla-red", |status| {
        (status.is_on_circuit, status.committed) = (true, Amps::from_whole(16));
    });
    // It looks just like the car at the connector, and is reckoned with all the same.
    for (connector, car) in [(10, 10), (16, 16), (0, 0), (16, 16)] {
        yard.draw("gen2-1", connector);
        yard.pass(30);
        yard.draw("tesla-red", car);
        yard.pass(90);
        assert_eq!(yard.ids(), ["gen2-1", "tesla-red"]);
    }
    // Until somebody says so.
    let pins = BTreeMap::from([(EvseId::new("gen2-1"), Vin::parse(RED).unwrap())]);
    yard.merger.handle_settings(MergeSettings { pins, ..MergeSettings::default() });
    yard.drain();
    assert_eq!(yard.ids(), ["gen2-1"]);
}

/// Whatever connectors and cars do and say: every charging point is there under its own id, what is committed to it stays
/// counted, and no view of a car is part of two.
#[test]
fn random_yards_keep_every_charging_point_and_count_every_view_once() {
    const IDS: [&str; 6] = ["gen2-1", "gen2-2", "gen2-3", "tesla-red", "tesla-blue", "tesla-none"];
    for seed in 1..40_u64 {
        let mut state = seed;
        let mut random = |most: u64| {
            // Numerical Recipes' generator; the low bits are poor.
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223) & 0xffff_ffff;
            (state >> 8) % most
        };
        let mut yard = Yard::new(MergeSettings::default());
        for _ in 0..300 {
            let id = IDS[usize::try_from(random(6)).unwrap()];
            match random(8) {
                0 => yard.plug(id, Plug::Unplugged),
                1 | 2 => yard.plug(id, Plug::PluggedIn),
                3 => yard.plug(id, Plug::Unknown),
                4 if id.starts_with("gen2") => {
                    let vin = [None, Vin::parse(RED), Vin::parse(BLUE)][usize::try_from(random(3)).unwrap()].clone();
                    yard.set(id, |status| status.vin = vin);
                }
                5 => {
                    let of = [RED, BLUE][usize::try_from(random(2)).unwrap()];
                    let at = EvseId::new(IDS[usize::try_from(random(6)).unwrap()]);
                    let pins = BTreeMap::from([(at, Vin::parse(of).unwrap())]);
                    yard.merger.handle_settings(MergeSettings { pins, ..MergeSettings::default() });
                    yard.drain();
                }
                6 if id.starts_with("tesla") => {
                    yard.merger.handle_gone(&EvseId::new(id));
                    yard.drain();
                }
                _ => yard.draw(id, i32::try_from(random(3) * 8).unwrap()),
            }
            yard.pass(random(200));
            check(&yard, seed);
        }
    }
}

fn check(yard: &Yard, seed: u64) {
    let mut seen = BTreeSet::new();
    for (instance, views) in yard.merger.instances() {
        let status = instance.status();
        for view in views.iter().filter(|view| view.by != MatchedBy::Possible) {
            assert!(seen.insert(view.id.clone()), "seed {seed}: {} is part of two", view.id);
        }
        let locals = views.iter().filter(|view| view.is_local && view.by != MatchedBy::Possible).count();
        assert!(locals <= 1, "seed {seed}: two charging points became one");
        if let Some(local) = yard.fakes.get(status.id.as_str()).filter(|fake| fake.is_local) {
            assert!(status.committed >= local.status().committed && status.is_on_circuit, "seed {seed}: {}", status.id);
        }
    }
    let there: BTreeSet<EvseId> = yard.merger.instances().map(|(instance, _)| instance.id().clone()).collect();
    assert_eq!(yard.shown, there, "seed {seed}");
    for id in yard.merger.raw.keys().filter(|id| id.as_str().starts_with("gen2")) {
        assert!(yard.merger.instance(id).is_some(), "seed {seed}: {id} is gone");
    }
}
