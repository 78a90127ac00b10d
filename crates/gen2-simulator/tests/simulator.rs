//! Conversations, properties and rims of the simulated bus.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use gen2_protocol::{
    CentiAmps, Decoder, MasterLinkReady, MasterMessage, Message, Order, ProtocolVersion, Request, RequestKind, Sign,
    SlaveHeartbeat, SlaveState, Text, TwcId, VinThird, join_vin,
};
use gen2_protocol::{ContactorAction, ContactorCommand};
use gen2_simulator::{
    Ailment, BusHandle, CarSettings, CarTemper, ConnectorSettings, EnergyUnit, Faults, MemoryLink, Pty, SimulatedBus,
    run_socket, run_tcp,
};
use proptest::prelude::*;
use units::{Amps, Percent, Phase, Phases};

const MASTER: TwcId = TwcId::FAKE_MASTER;
const SEED: u64 = 7;
const SECOND: Duration = Duration::from_secs(1);

fn id(number: u16) -> TwcId {
    TwcId::from_u16(number)
}

fn amps(amps: u16) -> CentiAmps {
    CentiAmps::from_amps(amps)
}

/// A master at its simplest, in virtual time.
struct Desk {
    link: MemoryLink,
    now: Instant,
    decoder: Decoder,
}

impl Desk {
    fn new(connectors: Vec<ConnectorSettings>) -> Desk {
        Desk::on(SimulatedBus::new(connectors, SEED))
    }

    fn on(bus: SimulatedBus) -> Desk {
        let mut desk =
            Desk { link: MemoryLink::new(bus, Duration::ZERO), now: Instant::now(), decoder: Decoder::new() };
        // Power up; then long enough for every connector to have started.
        desk.wait(Duration::ZERO);
        desk.wait(Duration::from_secs(9));
        desk
    }

    fn wait(&mut self, duration: Duration) -> Vec<Message> {
        self.now += duration;
        let bytes = self.link.read(self.now);
        self.decoder.frames(&bytes).map(|frame| frame.message()).collect()
    }

    fn send(&mut self, message: MasterMessage) -> Vec<Message> {
        self.link.write(self.now, message.encode().as_bytes());
        self.wait(SECOND)
    }

    /// Sends bytes that the codec cannot build, with their checksum.
    fn send_raw(&mut self, data: &[u8]) -> Vec<Message> {
        let mut wire = vec![0xC0];
        wire.extend_from_slice(data);
        wire.push(data[1..].iter().fold(0, |sum: u8, byte| sum.wrapping_add(*byte)));
        wire.push(0xC0);
        self.link.write(self.now, &wire);
        self.wait(SECOND)
    }

    fn beat_as(&mut self, slave: TwcId, version: ProtocolVersion, order: Order) -> Option<SlaveHeartbeat> {
        let messages = self.send(MasterMessage::Heartbeat { master: MASTER, slave, version, order });
        messages.into_iter().find_map(|message| match message {
            Message::SlaveHeartbeat(answer) if answer.slave == slave => Some(answer),
            _ => None,
        })
    }

    fn beat(&mut self, slave: TwcId, order: Order) -> Option<SlaveHeartbeat> {
        self.beat_as(slave, ProtocolVersion::V2, order)
    }

    /// Beats `count` times and gives the last answer.
    fn beats(&mut self, count: usize, slave: TwcId, order: Order) -> SlaveHeartbeat {
        (0..count).map(|_| self.beat(slave, order)).last().flatten().expect("an answer")
    }

    fn bus(&mut self) -> &mut SimulatedBus {
        self.link.bus_mut()
    }
}

/// "state drawn/limit", as the older program logged it.
fn short(answer: SlaveHeartbeat) -> String {
    format!("{:02X} {}/{}", answer.state.code(), answer.drawn, answer.limit).replace(" A", "")
}

/// Says each order once a second, and expects these answers to come in this order, others between them or not.
fn check(desk: &mut Desk, slave: TwcId, version: ProtocolVersion, script: &[(&str, Order)]) {
    let mut log = Vec::new();
    for (expected, order) in script {
        let found = (0..60).any(|_| {
            let answer = short(desk.beat_as(slave, version, *order).expect("an answer"));
            let is_it = answer == *expected;
            log.push(format!("{order:?}: {answer}"));
            is_it
        });
        assert!(found, "no {expected} in\n{}", log.join("\n"));
    }
}

const SLAVE: TwcId = TwcId([0x40, 0x85]);

fn one(car: CarSettings) -> Desk {
    Desk::new(vec![ConnectorSettings::european(SLAVE).with_car(car)])
}

#[test]
fn normal_start_of_a_version_2_charge() {
    let mut desk = Desk::new(vec![ConnectorSettings::european(SLAVE)]);
    let sixteen = Order::Limit(amps(16));
    check(&mut desk, SLAVE, ProtocolVersion::V2, &[("00 0.00/0.00", sixteen)]);
    let now = desk.now;
    desk.bus().plug_in(now, 0, CarSettings::default()).expect("connector 0");
    let lower = Order::Limit(amps(12));
    check(
        &mut desk,
        SLAVE,
        ProtocolVersion::V2,
        &[
            ("03 0.00/0.00", sixteen),
            ("05 0.00/16.00", sixteen),
            ("04 0.00/16.00", Order::NoChange),
            ("08 8.00/16.00", Order::NoChange),
            ("01 15.76/16.00", Order::NoChange),
            ("09 15.76/12.00", lower),
            ("09 11.82/12.00", Order::NoChange),
            ("01 11.82/12.00", Order::NoChange),
        ],
    );
}

#[test]
fn raise_during_a_charge() {
    let mut desk = one(CarSettings { most: Amps::from_whole(32), ..CarSettings::default() });
    desk.beats(20, SLAVE, Order::Limit(amps(6)));
    check(
        &mut desk,
        SLAVE,
        ProtocolVersion::V2,
        &[
            ("01 5.91/6.00", Order::NoChange),
            ("09 5.91/19.00", Order::Limit(amps(19))),
            ("09 18.72/19.00", Order::NoChange),
            ("01 18.72/19.00", Order::NoChange),
        ],
    );
}

#[test]
fn zero_does_not_stop_a_version_2_unit() {
    let mut desk = one(CarSettings::default());
    desk.beats(30, SLAVE, Order::Limit(amps(13)));
    let zero = Order::Limit(CentiAmps::ZERO);
    check(&mut desk, SLAVE, ProtocolVersion::V2, &[("03 12.81/6.00", zero), ("01 5.91/6.00", zero)]);
    for _ in 0..30 {
        assert_eq!(short(desk.beat(SLAVE, zero).expect("answer")), "01 5.91/6.00");
    }
}

#[test]
fn start_and_stop_of_a_version_1_unit() {
    let first = ConnectorSettings::first_generation(SLAVE).with_car(CarSettings::default());
    let mut desk = Desk::new(vec![first]);
    let v1 = ProtocolVersion::V1;
    check(
        &mut desk,
        SLAVE,
        v1,
        &[
            ("00 0.00/0.00", Order::NoChange),
            ("05 0.00/10.00", Order::Limit(amps(10))),
            ("01 9.85/10.00", Order::NoChange),
            ("01 9.85/8.00", Order::Limit(amps(8))),
            ("01 7.88/8.00", Order::NoChange),
            ("03 7.88/0.00", Order::Limit(CentiAmps::ZERO)),
            ("03 0.00/0.00", Order::NoChange),
            ("05 0.00/10.00", Order::Limit(amps(10))),
            ("01 9.85/10.00", Order::NoChange),
        ],
    );
    let answers = desk.send(MasterMessage::Request(Request { kind: RequestKind::Meter, master: MASTER, slave: SLAVE }));
    assert_eq!(answers, [], "version 1 answers no questions");
}

#[test]
fn commands_06_and_07_of_real_masters() {
    let mut desk = one(CarSettings { most: Amps::from_whole(32), ..CarSettings::default() });
    desk.beats(30, SLAVE, Order::Limit(amps(20)));
    let raise = [0xFB, 0xE0, 0x77, 0x77, 0x40, 0x85, 0x06, 0, 0, 0, 0, 0, 0, 0, 0];
    desk.send_raw(&raise);
    let script = [("06 21.67/22.00", Order::NoChange), ("0A 21.67/22.00", Order::NoChange)];
    check(&mut desk, SLAVE, ProtocolVersion::V2, &script);
    let mut lower = raise;
    lower[6] = 0x07;
    desk.send_raw(&lower);
    let script = [("07 19.70/20.00", Order::NoChange), ("0A 21.67/22.00", Order::NoChange)];
    check(&mut desk, SLAVE, ProtocolVersion::V2, &script);
}

#[test]
fn command_05_is_ignored_while_a_version_2_car_charges() {
    let mut desk = one(CarSettings::default());
    desk.beats(30, SLAVE, Order::InitialLimit(amps(16)));
    let answer = desk.beats(5, SLAVE, Order::InitialLimit(amps(10)));
    assert_eq!(short(answer), "01 15.76/16.00");
}

#[test]
fn any_amps_are_echoed_but_the_car_takes_only_its_own_most() {
    let mut desk = one(CarSettings::default());
    let answer = desk.beats(30, SLAVE, Order::Limit(CentiAmps(u16::MAX)));
    assert_eq!(answer.limit, CentiAmps(u16::MAX));
    assert_eq!(answer.drawn, amps(16));
}

#[test]
fn a_slave_announces_itself_every_ten_seconds_and_after_the_second_e2() {
    let mut desk = Desk::new(vec![ConnectorSettings::european(SLAVE)]);
    let ready = |messages: Vec<Message>| {
        messages
            .iter()
            .filter(|message| matches!(message, Message::SlaveLinkReady(ready) if ready.rated == amps(32)))
            .count()
    };
    assert_eq!(ready(desk.wait(60 * SECOND)), 6);
    let announce = MasterMessage::LinkReady2(MasterLinkReady { master: MASTER, sign: Sign(0x77) });
    assert_eq!(ready(desk.send(announce)), 0);
    assert!(ready(desk.send(announce)) >= 4);
    desk.beats(1, SLAVE, Order::NoChange);
    assert_eq!(ready(desk.wait(9 * SECOND)), 0, "linked slaves are quiet");
    assert!(ready(desk.wait(12 * SECOND)) >= 1, "and search again after ten seconds");
}

#[test]
fn the_slave_yields_in_a_conflict_of_identities() {
    let mut desk = Desk::new(vec![ConnectorSettings::european(MASTER)]);
    let ready = MasterLinkReady { master: MASTER, sign: Sign(0x77) };
    let mut found = None;
    for message in [MasterMessage::LinkReady1(ready), MasterMessage::LinkReady2(ready)] {
        for answer in desk.send(message) {
            if let Message::SlaveLinkReady(ready) = answer {
                found = Some(ready.slave);
            }
        }
    }
    let new = found.expect("announced again");
    assert_ne!(new, MASTER);
    assert_eq!(desk.bus().connector(0).expect("connector 0").id, new);
}

#[test]
fn two_slaves_with_one_identity_talk_at_once_until_told_to_yield() {
    let twins = vec![ConnectorSettings::european(SLAVE), ConnectorSettings::american(SLAVE)];
    let mut desk = Desk::new(twins);
    desk.beat(SLAVE, Order::NoChange);
    desk.beat(SLAVE, Order::NoChange);
    assert!(desk.bus().collisions() > 0);
    desk.send(MasterMessage::LinkReady1(MasterLinkReady { master: SLAVE, sign: Sign(1) }));
    let ids: Vec<_> = desk.bus().connectors().iter().map(|connector| connector.id).collect();
    assert_ne!(ids[0], ids[1]);
}

#[test]
fn without_a_master_the_contactor_opens_after_thirty_seconds() {
    let mut desk = one(CarSettings::default());
    desk.beats(30, SLAVE, Order::Limit(amps(16)));
    desk.wait(28 * SECOND);
    assert!(desk.bus().total_draw()[Phase::L1] > Amps::from_whole(15));
    desk.wait(2 * SECOND);
    assert_eq!(desk.bus().total_draw()[Phase::L1], Amps::ZERO);
    let back = desk.beats(5, SLAVE, Order::NoChange);
    assert_eq!(short(back), "08 0.00/0.00");
    let again = desk.beats(30, SLAVE, Order::Limit(amps(10)));
    assert_eq!(short(again), "01 9.85/10.00");
}

#[test]
fn a_short_absence_of_the_master_is_not_noticed() {
    let mut desk = one(CarSettings::default());
    desk.beats(30, SLAVE, Order::Limit(amps(16)));
    desk.wait(20 * SECOND);
    assert_eq!(short(desk.beats(1, SLAVE, Order::NoChange)), "01 15.76/16.00");
}

#[test]
fn a_tesla_loses_patience_with_lost_masters() {
    let tesla = CarSettings { vin: Some(Text::new(b"5YJ3E7EB0KF100001")), ..CarSettings::default() };
    let mut desk = one(tesla);
    for _ in 0..3 {
        assert!(desk.beats(30, SLAVE, Order::Limit(amps(16))).drawn > amps(15));
        desk.wait(31 * SECOND);
    }
    let refused = desk.beats(60, SLAVE, Order::Limit(amps(16)));
    assert_eq!((refused.state, refused.drawn), (SlaveState::PluggedInNotCharging, CentiAmps::ZERO));
}

#[test]
fn opening_the_contactor_upsets_a_tesla_but_not_others() {
    let order = |action| MasterMessage::Contactor(ContactorCommand { action, master: MASTER, slave: SLAVE });
    for (vin, resumes) in [(None, true), (Some(Text::new(b"5YJ3E7EB0KF100001")), false)] {
        let mut desk = one(CarSettings { vin, ..CarSettings::default() });
        desk.beats(30, SLAVE, Order::Limit(amps(16)));
        let answers = desk.send(order(ContactorAction::Open));
        assert!(matches!(answers[..], [Message::ContactorAnswer(_)]));
        assert_eq!(desk.bus().total_draw()[Phase::L1], Amps::ZERO);
        assert_eq!(desk.beats(20, SLAVE, Order::NoChange).drawn, CentiAmps::ZERO);
        desk.send(order(ContactorAction::Close));
        let after = desk.beats(30, SLAVE, Order::Limit(amps(16)));
        assert_eq!(after.drawn > amps(15), resumes);
    }
}

#[test]
fn a_commanded_error_silences_until_reset() {
    let mut desk = one(CarSettings::default());
    desk.beats(30, SLAVE, Order::Limit(amps(16)));
    let answers = desk.send_raw(&[0xFB, 0xE0, 0x77, 0x77, 0x40, 0x85, 0x02, 0x04, 0, 0, 0, 0, 0, 0, 0]);
    assert!(matches!(answers[..], [Message::SlaveHeartbeat(answer)] if answer.state == SlaveState::Error));
    assert_eq!(desk.beat(SLAVE, Order::NoChange), None);
    assert_eq!(desk.wait(60 * SECOND), []);
    let now = desk.now;
    desk.bus().reboot(now, 0).expect("connector 0");
    desk.wait(10 * SECOND);
    assert!(desk.beat(SLAVE, Order::NoChange).is_some());
}

#[test]
fn harmful_messages_are_noticed() {
    let mut desk = one(CarSettings::default());
    desk.send_raw(&[0xFB, 0xE8, 0x77, 0x77, 0x40, 0x85, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(desk.bus().harmful_messages(), 1);
    desk.send_raw(&[0xFB, 0x33, 0x77, 0x77, 0x40, 0x85, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(desk.bus().unknown_messages(), 1);
}

#[test]
fn questions_are_answered() {
    let vin = Text::new(b"5YJ3E7EB0KF100001");
    let mut unit =
        ConnectorSettings::european(SLAVE).with_car(CarSettings { vin: Some(vin), ..CarSettings::default() });
    unit.energy_unit = EnergyUnit::WattHours;
    let mut desk = Desk::new(vec![unit]);
    desk.beats(60, SLAVE, Order::Limit(amps(16)));
    let mut ask = |kind| {
        let answers = desk.send(MasterMessage::Request(Request { kind, master: MASTER, slave: SLAVE }));
        assert_eq!(answers.len(), 1);
        assert!(kind.is_answered_by(&answers[0], SLAVE), "{}", answers[0]);
        answers[0]
    };
    let mut part = |third| match ask(RequestKind::Vin(third)) {
        Message::VinPart(part) => part.characters,
        other => panic!("{other}"),
    };
    let parts = [VinThird::First, VinThird::Second, VinThird::Last].map(&mut part);
    assert_eq!(join_vin(&parts[0], &parts[1], &parts[2]), Some(vin));
    let Message::Meter(meter) = ask(RequestKind::Meter) else { panic!() };
    assert_eq!(meter.volts, [230; 3]);
    assert_eq!(meter.half_amps, Some([32; 3]));
    // About 50 s with three times 15.76 A at 230 V.
    assert!((924_100..924_170).contains(&meter.energy.0), "{}", meter.energy);
    for kind in [RequestKind::Version, RequestKind::Serial, RequestKind::PlugState] {
        ask(kind);
    }
}

#[test]
fn a_car_stops_when_it_is_full_and_starts_when_it_wants_more() {
    let mut desk = one(CarSettings { soc: Percent::new(79.9).expect("in range"), ..CarSettings::default() });
    desk.beats(30, SLAVE, Order::Limit(amps(16)));
    assert!(desk.bus().total_draw()[Phase::L3] > Amps::from_whole(15));
    let full = desk.beats(60, SLAVE, Order::NoChange);
    assert_eq!(short(full), "03 0.00/16.00");
    let now = desk.now;
    desk.bus().set_charge_limit(now, 0, Percent::FULL).expect("connector 0");
    assert_eq!(short(desk.beats(30, SLAVE, Order::NoChange)), "01 15.76/16.00");
}

#[test]
fn tempers() {
    let car = |temper| CarSettings { temper, most: Amps::from_whole(32), ..CarSettings::default() };
    let mut stuck = one(car(CarTemper::StuckAtSixAmps));
    assert_eq!(stuck.beats(30, SLAVE, Order::Limit(amps(8))).drawn, CentiAmps(788));
    assert_eq!(stuck.beats(30, SLAVE, Order::Limit(amps(12))).drawn, CentiAmps(520));
    stuck.beats(7, SLAVE, Order::Limit(amps(16)));
    assert_eq!(stuck.beats(30, SLAVE, Order::Limit(amps(12))).drawn, CentiAmps(1_182));

    let mut slow = one(car(CarTemper::SlowToLower(5 * SECOND)));
    slow.beats(30, SLAVE, Order::Limit(amps(20)));
    assert_eq!(slow.beats(5, SLAVE, Order::Limit(amps(10))).drawn, CentiAmps(1_970));
    assert_eq!(slow.beats(4, SLAVE, Order::Limit(amps(10))).drawn, CentiAmps(985));

    let mut refusing = one(car(CarTemper::Refuses));
    assert_eq!(short(refusing.beats(60, SLAVE, Order::Limit(amps(16)))), "03 0.00/16.00");
}

#[test]
fn phases_follow_the_car_and_the_wiring() {
    let single = CarSettings { phases: Phases::One, ..CarSettings::default() };
    let mut first = ConnectorSettings::european(SLAVE).with_car(single);
    first.wiring = [Phase::L2, Phase::L3, Phase::L1];
    let second = ConnectorSettings::european(id(0x2019)).with_car(CarSettings::default());
    let mut desk = Desk::new(vec![first, second]);
    for _ in 0..40 {
        desk.beat(SLAVE, Order::Limit(amps(10)));
        desk.beat(id(0x2019), Order::Limit(amps(12)));
    }
    let total = desk.bus().total_draw();
    assert_eq!(total[Phase::L1].centiamps(), 1_182);
    assert_eq!(total[Phase::L2].centiamps(), 985 + 1_182);
    assert_eq!(total[Phase::L3].centiamps(), 1_182);
}

#[test]
fn mute_and_deaf() {
    let mut desk = one(CarSettings::default());
    desk.beats(30, SLAVE, Order::Limit(amps(16)));
    let now = desk.now;
    desk.bus().set_ailment(now, 0, Ailment::Mute).expect("connector 0");
    assert_eq!(desk.beat(SLAVE, Order::Limit(amps(10))), None);
    assert_eq!(desk.bus().connector(0).expect("connector 0").limit, amps(10), "it still obeys");
    let now = desk.now;
    desk.bus().set_ailment(now, 0, Ailment::Deaf).expect("connector 0");
    assert_eq!(desk.beat(SLAVE, Order::NoChange), None);
    let said = desk.wait(60 * SECOND);
    assert!(said.iter().all(|message| matches!(message, Message::SlaveLinkReady(_))));
    assert!(said.len() >= 4);
    let message = desk.bus().connector(3).expect_err("only one").to_string();
    assert!(message.contains("there are 1"), "{message}");
}

#[test]
fn a_connector_cut_off_charges_on_for_thirty_seconds() {
    let mut desk = one(CarSettings::default());
    desk.beats(30, SLAVE, Order::Limit(amps(16)));
    let now = desk.now;
    desk.bus().set_ailment(now, 0, Ailment::CutOff).expect("connector 0");
    for _ in 0..28 {
        assert_eq!(desk.beat(SLAVE, Order::Limit(CentiAmps::ZERO)), None);
        assert!(desk.bus().total_draw()[Phase::L1] > Amps::from_whole(15));
    }
    desk.wait(2 * SECOND);
    assert_eq!(desk.bus().total_draw()[Phase::L1], Amps::ZERO);
    let now = desk.now;
    desk.bus().set_ailment(now, 0, Ailment::None).expect("connector 0");
    assert_eq!(short(desk.beats(2, SLAVE, Order::NoChange)), "08 0.00/0.00");
}

/// An hour without a master: announcements and nothing else wake the thread that runs the bus.
#[test]
fn an_idle_bus_sleeps() {
    let mut bus = SimulatedBus::new(ConnectorSettings::demo(3), SEED);
    let start = Instant::now();
    bus.handle_timeout(start);
    let (mut wakes, mut announcements) = (0, 0);
    let mut now = start;
    while now < start + 3_600 * SECOND {
        now = bus.next_timeout().expect("connectors announce themselves").max(now);
        bus.handle_timeout(now);
        while bus.poll_output().is_some() {
            announcements += 1;
        }
        wakes += 1;
    }
    assert!(announcements > 1_000, "{announcements}");
    assert!(wakes < 2 * announcements, "{wakes} wakes for {announcements} announcements");
}

#[test]
fn unasked_broadcasts_come() {
    let mut unit = ConnectorSettings::european(SLAVE);
    unit.broadcasts = Some(2 * SECOND);
    let mut desk = Desk::new(vec![unit]);
    desk.beat(SLAVE, Order::NoChange);
    let said = desk.wait(9 * SECOND);
    assert!(said.len() >= 4, "{said:?}");
}

#[test]
fn a_bad_line_costs_frames_but_not_the_charge() {
    let mut desk = one(CarSettings::default());
    desk.bus().set_faults(Faults { lost: 100, cut: 100, corrupted: 100, noise: 100, ..Faults::BAD_LINE });
    let answered = (0..300).filter(|_| desk.beat(SLAVE, Order::Limit(amps(16))).is_some()).count();
    assert!((100..290).contains(&answered), "{answered} of 300, seed {SEED}");
    assert!(desk.decoder.counters().rejected() > 0);
    assert!(desk.bus().total_draw()[Phase::L1] > Amps::from_whole(15));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// What a car draws never exceeds the highest limit of the last seconds, whatever the master says and the line does.
    #[test]
    fn draw_follows_the_limit(
        orders in proptest::collection::vec((0u16..4_000, 0u8..5, 1u64..9), 1..60),
        seed: u64,
        bad: bool,
    ) {
        let mut bus = SimulatedBus::new(
            vec![ConnectorSettings::european(SLAVE)
                .with_car(CarSettings { most: Amps::from_whole(32), ..CarSettings::default() })],
            seed,
        );
        if bad {
            bus.set_faults(Faults::BAD_LINE);
        }
        let mut desk = Desk::on(bus);
        let mut limits = vec![0];
        for (current, kind, seconds) in orders {
            let current = CentiAmps(current);
            let order = match kind {
                0 => Order::NoChange,
                1 => Order::InitialLimit(current),
                2 => Order::AcknowledgeStop(current),
                _ => Order::Limit(current),
            };
            desk.link.write(desk.now, MasterMessage::Heartbeat {
                master: MASTER, slave: SLAVE, version: ProtocolVersion::V2, order,
            }.encode().as_bytes());
            for _ in 0..seconds {
                desk.wait(SECOND);
                limits.push(i32::from(desk.bus().connector(0).expect("connector 0").limit.0));
                let allowed = limits.iter().rev().take(7).max().copied().unwrap_or_default();
                let drawn = desk.bus().total_draw()[Phase::L1].centiamps();
                prop_assert!(drawn <= allowed, "{} > {} with seed {}", drawn, allowed, seed);
            }
        }
    }

    #[test]
    fn the_same_seed_gives_the_same_run(seed: u64) {
        let start = Instant::now();
        let run = || {
            let mut link = MemoryLink::new(
                SimulatedBus::new(ConnectorSettings::demo(3), seed),
                Duration::from_millis(40),
            );
            link.bus_mut().set_faults(Faults::BAD_LINE);
            let mut bytes = Vec::new();
            for second in 0..60u32 {
                let now = start + SECOND * second;
                link.write(now, MasterMessage::Heartbeat {
                    master: MASTER, slave: SLAVE, version: ProtocolVersion::V2, order: Order::Limit(amps(16)),
                }.encode().as_bytes());
                bytes.extend(link.read(now));
            }
            bytes
        };
        prop_assert_eq!(run(), run());
    }

    #[test]
    fn any_bytes_are_survived(pieces in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..60), 0..40)) {
        let mut desk = Desk::new(ConnectorSettings::demo(3));
        for piece in pieces {
            desk.link.write(desk.now, &piece);
            desk.wait(Duration::from_millis(300));
        }
        desk.link.write(desk.now, &[0xC0]);
        for unit in 0..3 {
            let slave = desk.bus().connector(unit).expect("three").id;
            prop_assert!(desk.beat(slave, Order::NoChange).is_some());
        }
    }
}

#[test]
fn a_long_jump_is_a_long_charge() {
    let mut desk = one(CarSettings::default());
    desk.beats(30, SLAVE, Order::Limit(amps(16)));
    // A day without a master: the contactor opens once, and time passes quickly.
    desk.wait(Duration::from_secs(86_400));
    assert_eq!(desk.bus().total_draw()[Phase::L1], Amps::ZERO);
}

// Real time: loopback peers, waiting on conditions with generous deadlines.

const PATIENCE: Duration = Duration::from_secs(20);

/// Reads until a message of the wanted kind comes.
fn await_message(stream: &mut impl Read, wanted: impl Fn(&Message) -> bool) -> Message {
    let mut decoder = Decoder::new();
    let mut bytes = [0; 256];
    loop {
        let count = stream.read(&mut bytes).expect("bytes before the deadline");
        assert!(count > 0, "closed");
        for frame in decoder.frames(&bytes[..count]) {
            if wanted(&frame.message()) {
                return frame.message();
            }
        }
    }
}

fn exchange(stream: &mut (impl Read + Write)) {
    let beat =
        MasterMessage::Heartbeat { master: MASTER, slave: SLAVE, version: ProtocolVersion::V2, order: Order::NoChange };
    stream.write_all(beat.encode().as_bytes()).expect("write");
    await_message(stream, |message| matches!(message, Message::SlaveHeartbeat(_)));
}

fn running() -> BusHandle {
    let mut bus = SimulatedBus::new(vec![ConnectorSettings::european(SLAVE)], SEED);
    // Powered up some time ago, so that nobody has to wait for it.
    let past = Instant::now().checked_sub(Duration::from_secs(9)).expect("the machine runs for longer");
    bus.handle_timeout(past);
    BusHandle::new(bus).expect("socket pair")
}

#[test]
fn tcp_clients_come_and_go() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
    let address = listener.local_addr().expect("address");
    let bus = running();
    std::thread::scope(|scope| {
        let runner = scope.spawn(|| run_tcp(&listener, &bus));
        for _ in 0..2 {
            let mut stream = TcpStream::connect(address).expect("connect");
            stream.set_read_timeout(Some(PATIENCE)).expect("timeout");
            exchange(&mut stream);
        }
        assert_eq!(bus.with(|bus, _| bus.connectors()[0].master), Some(MASTER));
        bus.stop();
        runner.join().expect("no panic").expect("no error");
    });
}

#[test]
fn socket_pair_is_a_line_in_memory() {
    let (mut ours, theirs) = UnixStream::pair().expect("pair");
    ours.set_read_timeout(Some(PATIENCE)).expect("timeout");
    let bus = running();
    std::thread::scope(|scope| {
        let runner = scope.spawn(|| run_socket(theirs, &bus));
        exchange(&mut ours);
        drop(ours);
        runner.join().expect("no panic").expect("no error");
    });
}

#[test]
fn pty_is_a_serial_port_under_the_given_name() {
    let path = std::env::temp_dir().join(format!("gen2-simulator-{}.pty", std::process::id()));
    let bus = running();
    let pty = Pty::open(&path).expect("a terminal");
    std::thread::scope(|scope| {
        let runner = scope.spawn(|| pty.run(&bus));
        let mut port = std::fs::OpenOptions::new().read(true).write(true).open(&path).expect("open");
        exchange(&mut port);
        drop(port);
        bus.stop();
        runner.join().expect("no panic").expect("no error");
    });
    assert!(path.symlink_metadata().is_err(), "the link is removed");
    std::fs::write(&path, "a file").expect("write");
    let error = Pty::open(&path).expect_err("a file is in the way").to_string();
    std::fs::remove_file(&path).expect("remove");
    assert!(error.contains("is not a symbolic link"), "{error}");
}
