//! The machine against the simulator: seeds, latency, losses; the breaker is watched at every instant.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use evse::{EvseStatus, Target};
use gen2_protocol::{Decoder, Event, MasterMessage, Message, TwcId};
use gen2_simulator::{Ailment, CarSettings, CarTemper, ConnectorSettings, Faults, MemoryLink, SimulatedBus};
use units::{Amps, Phases, Volts};

use crate::machine::{Controller, News, Output, Role};
use crate::{Gen2Settings, PortSpec};

/// A machine and simulated connectors, joined by a link with a latency.
pub(super) struct Pair {
    pub(super) machine: Controller,
    pub(super) link: MemoryLink,
    decoder: Decoder,
    pub(super) start: Instant,
    pub(super) now: Instant,
    pub(super) news: Vec<News>,
    pub(super) statuses: BTreeMap<TwcId, EvseStatus>,
    /// When each connector was sent a heartbeat.
    pub(super) heartbeats: BTreeMap<TwcId, Vec<Duration>>,
    pub(super) sent: Vec<(Duration, MasterMessage)>,
    pub(super) steps: u64,
    /// The most that flowed, and that simulated connectors allowed, per phase.
    pub(super) worst_draw: Amps,
    pub(super) worst_committed: Amps,
    pub(super) breach: Option<String>,
    /// The limit that the breaker is judged by from now on.
    pub(super) breaker: Amps,
    leases: BTreeMap<TwcId, Amps>,
}

pub(super) fn settings(all: i32, per: i32) -> Gen2Settings {
    let port = PortSpec::Serial("/dev/null".into());
    let mut settings = Gen2Settings::new(port, Amps::from_whole(all), Amps::from_whole(per));
    settings.default_volts = Volts::saturating(230.0);
    settings.phases = Some(Phases::Three);
    settings
}

pub(super) fn id(number: u16) -> TwcId {
    TwcId::from_u16(number)
}

pub(super) fn european(number: u16, car: Option<CarSettings>) -> ConnectorSettings {
    let connector = ConnectorSettings::european(id(number));
    match car {
        Some(car) => connector.with_car(car),
        None => connector,
    }
}

pub(super) fn car() -> CarSettings {
    CarSettings {
        most: Amps::from_whole(32),
        vin: Some(gen2_protocol::Text::new(b"LRW3F7EK0NC000001")),
        ..CarSettings::default()
    }
}

impl Pair {
    pub(super) fn new(settings: Gen2Settings, connectors: Vec<ConnectorSettings>, latency: u64, seed: u64) -> Self {
        let now = Instant::now();
        let breaker = settings.wiring_max_all;
        Pair {
            machine: Controller::new(settings, now),
            link: MemoryLink::new(SimulatedBus::new(connectors, seed), Duration::from_millis(latency)),
            decoder: Decoder::salvaging(),
            start: now,
            now,
            news: Vec::new(),
            statuses: BTreeMap::new(),
            heartbeats: BTreeMap::new(),
            sent: Vec::new(),
            steps: 0,
            worst_draw: Amps::ZERO,
            worst_committed: Amps::ZERO,
            breach: None,
            breaker,
            leases: BTreeMap::new(),
        }
    }

    /// Opens the line.
    pub(super) fn open(mut self) -> Self {
        self.link.advance(self.now);
        self.machine.line_opened(self.now);
        self.drain();
        self
    }

    /// Grants a connector a current for as long as nothing else is granted; leases are renewed every 5 s.
    pub(super) fn grant(&mut self, connector: TwcId, amps: i32) {
        self.leases.insert(connector, Amps::from_whole(amps));
        self.renew(connector);
        self.machine.handle_timeout(self.now);
        self.drain();
    }

    /// Nobody renews anything any more.
    pub(super) fn forget_grants(&mut self) {
        self.leases.clear();
    }

    fn renew(&mut self, connector: TwcId) {
        let (Some(amps), Some(status)) = (self.leases.get(&connector), self.statuses.get(&connector)) else { return };
        let power = amps.watts(status.limits.volts, status.limits.phases);
        let target = Target::new(power, &status.limits, self.now + Duration::from_secs(30));
        self.machine.handle_target(connector, target, self.now);
    }

    pub(super) fn status(&self, connector: TwcId) -> EvseStatus {
        self.machine.status(connector, self.now).unwrap_or_else(|| panic!("{connector} is not known"))
    }

    pub(super) fn has_news(&self, code: &str) -> bool {
        self.news.iter().any(|news| news.code == code && !news.cleared)
    }

    /// Lives until so many milliseconds have passed.
    pub(super) fn live_millis(&mut self, millis: u64) {
        let end = self.now + Duration::from_millis(millis);
        let mut renew_at = self.now;
        while self.now < end {
            if self.now >= renew_at {
                renew_at = self.now + Duration::from_secs(5);
                let ids: Vec<TwcId> = self.leases.keys().copied().collect();
                for id in ids {
                    self.renew(id);
                }
            }
            let next = [self.machine.next_timeout(), self.link.next_timeout(), Some(end), Some(renew_at)];
            let next = next.into_iter().flatten().min().unwrap_or(end);
            // A machine that asks to be woken in the past would spin.
            self.now = next.max(self.now + Duration::from_micros(200)).min(end.max(self.now));
            self.steps += 1;
            self.step();
        }
    }

    pub(super) fn live(&mut self, seconds: u64) {
        self.live_millis(seconds * 1000);
    }

    fn step(&mut self) {
        let bytes = self.link.read(self.now);
        let mut rest = bytes.as_slice();
        while let Some(event) = self.decoder.next_event(&mut rest) {
            match event {
                Event::Frame(frame) => self.machine.handle_message(&frame.message(), false, self.now),
                Event::Salvaged(frame) => self.machine.handle_message(&frame.message(), true, self.now),
                Event::Rejected(_) => {}
            }
            self.drain();
        }
        if !bytes.is_empty() {
            self.machine.handle_activity(self.now);
        }
        self.machine.handle_timeout(self.now);
        self.drain();
        self.watch();
    }

    pub(super) fn drain(&mut self) {
        while let Some(output) = self.machine.poll_output() {
            match output {
                Output::Send(message) => {
                    let at = self.now - self.start;
                    if let MasterMessage::Heartbeat { slave, .. } = message {
                        self.heartbeats.entry(slave).or_default().push(at);
                    }
                    self.sent.push((at, message));
                    self.link.write(self.now, message.encode().as_bytes());
                }
                Output::Answer(_) => panic!("a controller sent an answer"),
                Output::Changed(id) => {
                    let status = self.machine.status(id, self.now).expect("a connector that changed is known");
                    self.statuses.insert(id, status);
                }
                Output::Gone(id) => {
                    self.statuses.remove(&id);
                }
                Output::News(news) => self.news.push(news),
                Output::Reopen(_) => {
                    self.machine.line_closed(self.now);
                    self.link.break_connection();
                    self.machine.line_opened(self.now);
                }
            }
        }
    }

    /// What a breaker would feel.
    fn watch(&mut self) {
        let draw = self.link.bus().total_draw().into_array().into_iter().max().unwrap_or(Amps::ZERO);
        let committed = self.machine.ledger.sum(self.now);
        self.worst_draw = self.worst_draw.max(draw);
        self.worst_committed = self.worst_committed.max(committed);
        if draw > self.breaker && self.breach.is_none() {
            let seconds = (self.now - self.start).as_secs_f64();
            self.breach = Some(format!("{draw} flow at {seconds:.3} s, {} allowed", self.breaker));
        }
    }

    /// The longest time a connector waited for a heartbeat.
    pub(super) fn longest_wait(&self, connector: TwcId) -> Duration {
        let times = self.heartbeats.get(&connector).cloned().unwrap_or_default();
        times.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or(Duration::MAX)
    }
}

#[test]
fn a_car_charges_with_what_is_granted() {
    let mut pair = Pair::new(settings(32, 32), vec![european(0x4085, Some(car()))], 0, 1).open();
    pair.live(15);
    pair.grant(id(0x4085), 16);
    pair.live(30);
    let status = pair.status(id(0x4085));
    assert_eq!(status.offered, Some(Amps::from_whole(16)));
    assert_eq!(status.committed, Amps::from_whole(16));
    assert!(status.is_charging(), "{status:?}");
    assert_eq!(status.vin.as_ref().map(evse::Vin::as_str), Some("LRW3F7EK0NC000001"));
    assert!(status.details.contains_key("serial") && status.details.contains_key("firmware"), "{:?}", status.details);
    assert_eq!(status.volts.l1.map(Volts::get), Some(230.0));
    pair.grant(id(0x4085), 10);
    pair.live_millis(200);
    assert_eq!(
        pair.status(id(0x4085)).offered,
        Some(Amps::from_whole(10)),
        "a lower target does not wait for its turn"
    );
    pair.live(10);
    let drawn = pair.status(id(0x4085)).drawn.unwrap();
    assert!(drawn <= Amps::from_whole(10) && drawn >= Amps::from_whole(9), "{drawn}");
}

#[test]
fn three_connectors_hear_a_heartbeat_each_second_while_everything_is_asked() {
    let connectors = vec![european(0x4085, Some(car())), european(0x2431, Some(car())), european(0x8725, Some(car()))];
    for latency in [0, 16] {
        let mut pair = Pair::new(settings(96, 32), connectors.clone(), latency, 7).open();
        pair.live(15);
        for number in [0x4085, 0x2431, 0x8725] {
            pair.grant(id(number), 16);
        }
        pair.heartbeats.clear();
        pair.steps = 0;
        pair.live(300);
        for number in [0x4085, 0x2431, 0x8725] {
            let wait = pair.longest_wait(id(number));
            assert!(wait <= Duration::from_millis(1_050), "{number:04X} waited {wait:?} at {latency} ms latency");
            let count = pair.heartbeats[&id(number)].len();
            assert!((298..=330).contains(&count), "{count} heartbeats in 300 s");
            assert!(pair.status(id(number)).vin.is_some());
        }
        assert_eq!(pair.machine.tally.unanswered, 0);
        assert!(pair.steps < 300 * 40, "{} wake-ups of both sides in 300 s", pair.steps);
    }
}

#[test]
fn what_one_lets_go_the_other_gets_and_the_breaker_never_feels_both() {
    let connectors = vec![european(0x4085, Some(car())), european(0x2431, Some(car()))];
    let mut pair = Pair::new(settings(32, 32), connectors, 10, 3).open();
    pair.live(15);
    pair.grant(id(0x4085), 26);
    pair.grant(id(0x2431), 6);
    pair.live(40);
    for (first, second) in [(6, 26), (26, 6), (16, 16), (20, 12), (0, 26), (26, 0)] {
        pair.grant(id(0x2431), second);
        pair.grant(id(0x4085), first);
        pair.live(40);
        let offered = |number| pair.status(id(number)).offered.unwrap();
        assert_eq!((offered(0x4085), offered(0x2431)), (Amps::from_whole(first), Amps::from_whole(second)));
        assert_eq!(pair.breach, None);
    }
    assert!(pair.worst_committed <= Amps::from_whole(32), "{}", pair.worst_committed);
}

#[test]
fn a_car_that_lets_go_slowly_is_waited_for() {
    let slow = CarSettings { temper: CarTemper::SlowToLower(Duration::from_secs(7)), ..car() };
    let connectors = vec![european(0x4085, Some(slow)), european(0x2431, Some(car()))];
    let mut pair = Pair::new(settings(32, 32), connectors, 0, 3).open();
    pair.live(15);
    pair.grant(id(0x4085), 26);
    pair.grant(id(0x2431), 6);
    pair.live(40);
    pair.grant(id(0x4085), 6);
    pair.grant(id(0x2431), 26);
    pair.live(60);
    assert_eq!(pair.breach, None);
    assert_eq!(pair.status(id(0x2431)).offered, Some(Amps::from_whole(26)));
}

#[test]
fn the_circuit_limit_goes_out_with_the_very_next_frame() {
    let connectors = vec![european(0x4085, Some(car())), european(0x2431, Some(car()))];
    let mut pair = Pair::new(settings(50, 32), connectors, 0, 3).open();
    pair.live(15);
    pair.grant(id(0x4085), 25);
    pair.grant(id(0x2431), 25);
    pair.live(60);
    let before = pair.sent.len();
    pair.machine.set_circuit_limit(Some(Amps::from_whole(20)), pair.now);
    pair.machine.handle_timeout(pair.now);
    pair.drain();
    pair.live_millis(250);
    let limits: Vec<_> = pair.sent[before..]
        .iter()
        .map(|(_, message)| match message {
            MasterMessage::Heartbeat { order, .. } => order.current().map(|limit| limit.0),
            other => panic!("{other} went before a lower limit"),
        })
        .collect();
    assert_eq!(
        limits.get(..2),
        Some(&[Some(1_000), Some(1_000)][..]),
        "{:?} {:?}",
        &pair.sent[before - 5..],
        pair.statuses
    );
    pair.live(10);
    assert!(pair.machine.ledger.sum(pair.now) <= Amps::from_whole(20));
    pair.machine.set_circuit_limit(None, pair.now);
    pair.live(30);
    assert_eq!(pair.machine.ledger.sum(pair.now), Amps::from_whole(50));
}

/// Hours with random grants, plugging, ailments, reboots, line faults and broken connections.
fn storm(seed: u64, latency: u64, faults: Faults) {
    let mut random = super::random::Random::new(seed);
    let limit = [32, 40, 24][random.below(3)];
    let count = 2 + random.below(3);
    let connectors = (0..count)
        .map(|index| {
            let number = 0x4000 + u16::try_from(index).unwrap();
            let mut car = car();
            car.soc = units::Percent::new(5.0).unwrap();
            car.charge_limit = units::Percent::FULL;
            match random.below(4) {
                0 => ConnectorSettings::first_generation(id(number)).with_car(CarSettings { vin: None, ..car }),
                1 => european(number, Some(CarSettings { temper: CarTemper::StuckAtSixAmps, ..car })),
                2 => european(
                    number,
                    Some(CarSettings { temper: CarTemper::SlowToLower(Duration::from_secs(4)), ..car }),
                ),
                _ => european(number, Some(car)),
            }
        })
        .collect();
    let mut settings = settings(limit, 32);
    if latency > 30 {
        settings.port = "socket://gateway:8899".parse().unwrap();
    }
    let mut pair = Pair::new(settings, connectors, latency, seed);
    pair.link.bus_mut().set_faults(faults);
    pair = pair.open();
    for _ in 0..150 {
        let index = random.below(count);
        let number = 0x4000 + u16::try_from(index).unwrap();
        let bus = pair.link.bus_mut();
        match random.below(20) {
            0 => bus.set_ailment(pair.now, index, Ailment::Mute).unwrap(),
            1 => bus.set_ailment(pair.now, index, Ailment::CutOff).unwrap(),
            2 => bus.set_ailment(pair.now, index, Ailment::Deaf).unwrap(),
            3 | 4 => bus.set_ailment(pair.now, index, Ailment::None).unwrap(),
            5 => bus.reboot(pair.now, index).unwrap(),
            6 => bus.unplug(pair.now, index).unwrap(),
            7 => {
                bus.plug_in(pair.now, index, CarSettings { soc: units::Percent::new(5.0).unwrap(), ..car() }).unwrap();
            }
            8 => {
                pair.machine.line_closed(pair.now);
                pair.link.break_connection();
                let closed = u64::try_from(random.below(50_000)).unwrap();
                pair.live_millis(closed);
                pair.machine.line_opened(pair.now);
                pair.drain();
            }
            _ => {
                if pair.statuses.contains_key(&id(number)) {
                    let amps = [0, 3, 6, 9, 13, 16, 21, 32][random.below(8)];
                    pair.grant(id(number), amps);
                }
            }
        }
        pair.live_millis(500 + u64::try_from(random.below(30_000)).unwrap());
        assert_eq!(pair.breach, None, "seed {seed}, latency {latency} ms; last news: {:?}", pair.news.last());
    }
    assert_eq!(pair.link.bus().harmful_messages(), 0);
    assert_eq!(pair.link.bus().unknown_messages(), 0);

    // When the weather clears, everybody charges.
    pair.link.bus_mut().set_faults(Faults::NONE);
    for index in 0..count {
        let bus = pair.link.bus_mut();
        bus.set_ailment(pair.now, index, Ailment::None).unwrap();
        bus.unplug(pair.now, index).unwrap();
    }
    pair.live(90);
    for index in 0..count {
        let fresh = CarSettings { soc: units::Percent::new(5.0).unwrap(), ..car() };
        pair.link.bus_mut().plug_in(pair.now, index, fresh).unwrap();
    }
    pair.live(10);
    for index in 0..count {
        pair.grant(id(0x4000 + u16::try_from(index).unwrap()), 6);
    }
    pair.live(120);
    for connector in pair.link.bus().connectors() {
        assert!(connector.draw.l1 >= Amps::from_whole(5), "seed {seed}: {connector:?} {:?}", pair.status(connector.id));
    }
    assert_eq!(pair.breach, None);
}

/// `GEN2_STORMS=10` runs ten times as many seeds.
fn more() -> u64 {
    std::env::var("GEN2_STORMS").ok().and_then(|text| text.parse().ok()).unwrap_or(1)
}

#[test]
fn storms_on_a_clean_line_never_pass_the_breaker() {
    for seed in 0..4 * more() {
        storm(seed, [0, 16][usize::try_from(seed % 2).unwrap()], Faults::USUAL);
    }
}

#[test]
fn storms_on_a_bad_line_never_pass_the_breaker() {
    for seed in 100..100 + 4 * more() {
        storm(seed, 16, Faults::BAD_LINE);
    }
}

#[test]
fn storms_over_a_slow_network_never_pass_the_breaker() {
    for seed in 200..200 + 2 * more() {
        storm(seed, 150, Faults { lost: 30, doubled: 30, ..Faults::USUAL });
    }
}

#[test]
fn the_machine_never_asks_to_be_woken_in_the_past() {
    let connectors = vec![european(0x4085, Some(car())), european(0x2431, None)];
    let mut pair = Pair::new(settings(32, 32), connectors, 0, 9).open();
    for _ in 0..2_000 {
        pair.live_millis(37);
        pair.machine.handle_timeout(pair.now);
        pair.drain();
        let next = pair.machine.next_timeout().expect("an open line always has a next look");
        assert!(next > pair.now, "at {:?}", pair.now - pair.start);
    }
}

#[test]
fn messages_from_nowhere_do_no_harm() {
    let mut pair = Pair::new(settings(32, 32), vec![european(0x4085, Some(car()))], 0, 4).open();
    pair.live(20);
    let frame = gen2_protocol::Frame::from_body(&[
        0xFD,
        0xE0,
        0x40,
        0x85,
        0,
        0,
        1,
        0xFF,
        0xFF,
        0xFF,
        0xFF,
        0,
        0,
        0,
        0,
        0x9E + 4,
    ]);
    if let Ok(frame) = frame {
        pair.machine.handle_message(&frame.message(), false, pair.now);
    }
    let before = pair.machine.ledger.sum(pair.now);
    pair.machine.handle_message(&Message::Idle, true, pair.now);
    assert_eq!(pair.machine.ledger.sum(pair.now), before);
}
