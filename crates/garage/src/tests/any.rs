//! Whatever happens, in whatever order: what must never be.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use proptest::prelude::*;
use units::{Amps, Percent};
use vehicle::{
    Answer, Ask, CarKey, ChargingState, Facts, Nearness, Outcome, Position, Refusal, Report, Request, Spent,
    Wakefulness,
};

use super::world::{HOME, cloud, key, radio, settings};
use crate::{Allowance, Caps, ConnectorView, Day, Garage, GarageSettings, Kept, Output, Prices, Wish};

#[derive(Debug, Clone)]
enum Event {
    Wait(u64),
    Report { car: usize, is_asleep: bool, charging: ChargingState, is_home: bool, soc: f64 },
    Answer(u8),
    Grant { car: usize, amps: i32 },
    Connector { car: usize, view: Option<(i32, i32)> },
    Limit(Option<f64>),
    Person { car: usize, request: u8 },
    Denied { car: usize, denied: bool },
    ReArm,
    UnknownPlugIn,
}

fn events() -> impl Strategy<Value = Event> {
    let charging = prop_oneof![
        Just(ChargingState::Disconnected),
        Just(ChargingState::Charging),
        Just(ChargingState::Complete),
        Just(ChargingState::Stopped),
    ];
    let car = 0_usize..2;
    prop_oneof![
        4 => (1_u64..1200).prop_map(Event::Wait),
        3 => (car.clone(), any::<bool>(), charging, any::<bool>(), 0.0..100.0_f64).prop_map(
            |(car, is_asleep, charging, is_home, soc)| Event::Report { car, is_asleep, charging, is_home, soc }
        ),
        6 => (0_u8..9).prop_map(Event::Answer),
        3 => (car.clone(), 0..20).prop_map(|(car, amps)| Event::Grant { car, amps }),
        1 => (car.clone(), proptest::option::of((0..16, 0..16)))
            .prop_map(|(car, view)| Event::Connector { car, view }),
        1 => proptest::option::of(50.0..100.0_f64).prop_map(Event::Limit),
        1 => (car.clone(), 0_u8..4).prop_map(|(car, request)| Event::Person { car, request }),
        1 => (car, any::<bool>()).prop_map(|(car, denied)| Event::Denied { car, denied }),
        1 => Just(Event::ReArm),
        1 => Just(Event::UnknownPlugIn),
    ]
}

struct Check {
    now: Instant,
    garage: Garage,
    /// By car: whom it was asked, what, and when.
    open: BTreeMap<CarKey, (Arc<str>, Ask, Instant)>,
    lists: Vec<(Arc<str>, Ask)>,
    /// What was last told about sleep, and whether current was seen to flow at a charging point.
    asleep: BTreeMap<CarKey, bool>,
    flows: BTreeMap<CarKey, bool>,
    home: BTreeMap<CarKey, bool>,
    at_connector: BTreeMap<CarKey, bool>,
    /// A person may command a car wherever it is.
    person: bool,
    spent: Spent,
}

const PATIENCE: Duration = Duration::from_secs(180);
const DOLLARS: u64 = 300_000;

impl Check {
    fn new() -> Self {
        let day = Caps { money: Some(DOLLARS), ..Caps::default() };
        let settings = GarageSettings { allowance: Allowance { day, ..Allowance::default() }, ..settings() };
        let start = Instant::now() + Duration::from_secs(100_000);
        let names = [cloud().0, radio().0].map(Arc::from);
        let mut garage = Garage::new(start, settings, Kept::default(), names);
        garage.set_today(Day { year: 2026, month: 11, day: 21 });
        Check {
            now: start,
            garage,
            open: BTreeMap::new(),
            lists: Vec::new(),
            asleep: BTreeMap::new(),
            flows: BTreeMap::new(),
            home: BTreeMap::new(),
            at_connector: BTreeMap::new(),
            person: false,
            spent: Spent::NOTHING,
        }
    }

    fn take(&mut self, event: Event) {
        let now = self.now;
        match event {
            Event::Wait(seconds) => {
                let until = now + Duration::from_secs(seconds);
                while self.now < until {
                    self.now = self.garage.next_timeout().max(self.now + Duration::from_millis(1)).min(until);
                    self.garage.handle_timeout(self.now);
                    self.drain();
                }
            }
            Event::Report { car, is_asleep, charging, is_home, soc } => {
                let wakefulness = Some(if is_asleep { Wakefulness::Asleep } else { Wakefulness::Awake });
                let latitude = if is_home { HOME.0 } else { HOME.0 + 1.0 };
                let facts = Facts {
                    wakefulness,
                    charging: Some(charging),
                    soc: Percent::new(soc).ok(),
                    limit: Percent::new(80.0).ok(),
                    position: Position::new(latitude, HOME.1, Some(now)),
                    ..Facts::default()
                };
                self.asleep.insert(key(car), is_asleep);
                self.home.insert(key(car), is_home);
                let report = Report {
                    car: key(car),
                    source: "telemetry".into(),
                    nearness: Nearness::Car,
                    taken_at: Some(now),
                    facts,
                };
                self.garage.handle_report(now, &report);
                for (name, abilities) in [cloud(), radio()] {
                    self.garage.handle_abilities(now, &key(car), &name.into(), abilities);
                }
            }
            Event::Answer(kind) => {
                let list = |(source, ask)| (source, ask, now);
                let open = self.open.pop_first().map(|(_, open)| open).or_else(|| self.lists.pop().map(list));
                let Some((source, ask, asked_at)) = open else { return };
                // What comes so late is not listened to any more, apart from what it cost.
                let is_late = now.saturating_duration_since(asked_at) >= PATIENCE;
                let text = String::new();
                let outcome = match kind {
                    0 => Outcome::Asleep,
                    1 => Outcome::Refused(Refusal::Complete),
                    2 => Outcome::Refused(Refusal::NotPaired),
                    3 => Outcome::Later { after: None, text },
                    4 => Outcome::Later { after: Some(Duration::from_secs(60)), text },
                    5 => Outcome::Unsure { text },
                    6 => Outcome::Refused(Refusal::Other),
                    _ => Outcome::Done,
                };
                let mut spent = Spent::NOTHING;
                if &*source == cloud().0 {
                    match ask.request {
                        Request::Wake => (spent.wakes, spent.data) = (2, 10),
                        Request::Read { .. } | Request::ReadWakefulness | Request::List => spent.data = 2,
                        _ => spent.commands = 3,
                    }
                }
                self.spent += spent;
                if &*source == radio().0 && outcome == Outcome::Done {
                    // Whom the radio reaches is near.
                    self.home.insert(ask.car.clone(), true);
                }
                let is_about_sleep = ask.request != Request::List && !is_late;
                match outcome {
                    Outcome::Asleep if is_about_sleep => drop(self.asleep.insert(ask.car.clone(), true)),
                    Outcome::Done if is_about_sleep && ask.request != Request::ReadWakefulness => {
                        self.asleep.insert(ask.car.clone(), false);
                    }
                    _ => {}
                }
                let answer = Answer { id: ask.id, source, car: ask.car, outcome, spent };
                self.garage.handle_answer(now, &answer);
            }
            Event::Grant { car, amps } => {
                self.garage.handle_wish(now, &key(car), Wish::Granted(Amps::from_whole(amps)));
            }
            Event::Connector { car, view } => {
                self.at_connector.insert(key(car), view.is_some());
                self.flows.insert(key(car), view.is_some_and(|(draw, _)| draw >= 1));
                let view = view.map(|(draw, offered)| ConnectorView {
                    draw: Some(Amps::from_whole(draw)),
                    plugged: true,
                    offered: Some(Amps::from_whole(offered)),
                });
                self.garage.handle_connector(now, &key(car), view);
            }
            Event::Limit(limit) => self.garage.set_limit_wish(now, limit.and_then(|limit| Percent::new(limit).ok())),
            Event::Person { car, request } => {
                let request = [Request::Start, Request::Stop, Request::Wake, Request::Read { with_position: true }]
                    [usize::from(request)];
                self.person = self.garage.handle_command(now, &key(car), request).is_ok() || self.person;
            }
            Event::Denied { car, denied } => {
                self.garage.handle_permission(now, &key(car), denied.then(|| "no".to_owned()));
            }
            Event::ReArm => self.garage.re_arm(now),
            Event::UnknownPlugIn => self.garage.handle_unknown_plug_in(now),
        }
        self.drain();
    }

    fn drain(&mut self) {
        while let Some(output) = self.garage.poll_output() {
            let Output::Ask { source, ask } = output else { continue };
            if ask.request == Request::List {
                self.lists.push((source, ask));
                continue;
            }
            let car = ask.car.clone();
            let is_asleep = self.asleep.get(&car) == Some(&true) && self.flows.get(&car) != Some(&true);
            let may = matches!(ask.request, Request::ReadWakefulness | Request::Wake);
            assert!(may || !is_asleep, "{:?} for a sleeping car", ask.request);
            let is_home = self.home.get(&car) == Some(&true) || self.at_connector.get(&car) == Some(&true);
            let is_steering = matches!(ask.request, Request::Start | Request::Stop | Request::SetAmps(_));
            assert!(is_home || self.person || !is_steering, "{:?} for a car that is away", ask.request);
            // A question that was lost for three minutes may be followed by another; before that never.
            if let Some((_, before, at)) = self.open.insert(car, (source, ask, self.now)) {
                let waited = self.now.saturating_duration_since(at);
                assert!(waited >= PATIENCE, "two questions at once, the first {before:?}");
            }
            let booked = Prices::default().cost(self.garage.budget().day.used);
            assert!(booked <= DOLLARS, "{booked}");
        }
        assert!(Prices::default().cost(self.spent) <= DOLLARS);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nothing_happens_that_must_not(events in proptest::collection::vec(events(), 1..120)) {
        let mut check = Check::new();
        for event in events {
            check.take(event);
        }
    }
}
