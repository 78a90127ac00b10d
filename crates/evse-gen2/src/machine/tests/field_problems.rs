//! One test for each problem that people had in the field, numbered as in the project's list of them.
//!
//! 6 is in `tests/runner.rs`; 11 also in `spike`; 14 and 15 in `metering`; 23 also in `ledger`.

use std::time::Duration;

use evse::{Activity, EventLevel, Link, Plug};
use gen2_protocol::{
    CentiAmps, EnergyCounter, HeartbeatCommand, MasterHeartbeat, MasterLinkReady, MasterMessage, Message, Meter, Order,
    ProtocolVersion, Sign, SlaveHeartbeat, SlaveLinkReady, SlaveState, TwcId,
};
use gen2_simulator::{Ailment, CarSettings, CarTemper, ConnectorSettings, Faults};
use units::{Amps, Volts};

use super::pair::{Pair, car, european, id, settings};
use crate::machine::{Output, Role};
use crate::{BusStatus, LineState, StopMode};

const A: TwcId = TwcId([0x40, 0x85]);
const B: TwcId = TwcId([0x24, 0x31]);

fn whole(amps: i32) -> Amps {
    Amps::from_whole(amps)
}

/// A linked and settled pair.
fn one(all: i32) -> Pair {
    let mut pair = Pair::new(settings(all, 32), vec![european(0x4085, Some(car()))], 0, 5).open();
    pair.live(20);
    pair
}

fn two(all: i32) -> Pair {
    let connectors = vec![european(0x4085, Some(car())), european(0x2431, Some(car()))];
    let mut pair = Pair::new(settings(all, 32), connectors, 0, 5).open();
    pair.live(20);
    pair
}

fn orders(pair: &Pair, from: usize, connector: TwcId) -> Vec<Order> {
    let order = |message: &MasterMessage| match *message {
        MasterMessage::Heartbeat { slave, order, .. } if slave == connector => Some(order),
        _ => None,
    };
    pair.sent.iter().skip(from).filter_map(|(_, message)| order(message)).collect()
}

#[test]
fn field_problem_01_a_noisy_line_costs_single_frames_only() {
    let mut pair = one(32);
    pair.grant(A, 16);
    pair.live(30);
    pair.link.bus_mut().set_faults(Faults::BAD_LINE);
    for _ in 0..600 {
        pair.live(1);
        assert_ne!(pair.status(A).link, Link::Lost);
        assert_eq!(pair.machine.line, crate::machine::controller::Line::Open, "noise is no second controller");
    }
    assert!(pair.status(A).is_charging());
}

#[test]
fn field_problem_02_a_connector_that_does_not_hear_us_is_named_and_holds_no_amps() {
    let mut pair = Pair::new(settings(32, 32), vec![european(0x4085, None)], 0, 5);
    pair.link.advance(pair.now);
    let now = pair.now;
    pair.link.bus_mut().set_ailment(now, 0, Ailment::Deaf).unwrap();
    let mut pair = pair.open();
    pair.live(10);
    pair.grant(A, 16);
    pair.live(120);
    assert!(pair.has_news("connector_deaf"));
    let status = pair.status(A);
    assert_eq!(status.committed, Amps::ZERO);
    assert!(status.note.unwrap().contains("does not hear us"));
}

#[test]
fn field_problem_03_an_adapter_that_echoes_is_no_second_controller() {
    let mut pair = one(32);
    for _ in 0..200 {
        let before = pair.sent.len();
        pair.live_millis(333);
        let echoed: Vec<MasterMessage> = pair.sent[before..].iter().map(|(_, message)| *message).collect();
        for message in echoed {
            pair.machine.handle_message(&Message::from(message), false, pair.now);
            pair.drain();
        }
    }
    assert!(!pair.has_news("second_controller"));
    assert!(pair.machine.tally.echoes > 50);
    assert_eq!(pair.status(A).link, Link::Up);
}

fn foreign(command: HeartbeatCommand) -> Message {
    Message::MasterHeartbeat(MasterHeartbeat {
        master: id(0x035D),
        slave: A,
        command,
        own_cable_in_car: false,
        version: ProtocolVersion::V2,
    })
}

#[test]
fn field_problem_04_another_controller_silences_us_until_it_has_gone() {
    let mut pair = one(32);
    pair.grant(A, 16);
    pair.live(20);
    pair.machine.handle_message(&foreign(HeartbeatCommand::NoChange), false, pair.now);
    assert!(!pair.has_news("second_controller"), "one frame may be noise that passed the checksum");
    pair.live(1);
    for _ in 0..30 {
        pair.machine.handle_message(&foreign(HeartbeatCommand::NoChange), false, pair.now);
        pair.drain();
        let before = pair.sent.len();
        pair.live(1);
        assert_eq!(pair.sent.len(), before, "not a word while the other one talks");
    }
    let alarm = pair.news.iter().find(|news| news.code == "second_controller").unwrap();
    assert_eq!(alarm.level, EventLevel::Alarm);
    assert!(alarm.text.contains("rotary switch") && alarm.text.contains("035D"), "{}", alarm.text);
    let before = pair.sent.len();
    pair.live(58);
    assert_eq!(pair.sent.len(), before);
    pair.live(30);
    assert!(pair.news.iter().any(|news| news.code == "second_controller" && news.cleared));
    assert_eq!(pair.status(A).link, Link::Up);
}

#[test]
fn a_second_controller_with_our_own_id_is_told_from_an_echo() {
    let mut pair = one(32);
    let strange = Message::MasterHeartbeat(MasterHeartbeat {
        master: TwcId::FAKE_MASTER,
        slave: B,
        command: HeartbeatCommand::Limit(CentiAmps(3_200)),
        own_cable_in_car: false,
        version: ProtocolVersion::V2,
    });
    for _ in 0..6 {
        pair.machine.handle_message(&strange, false, pair.now);
        pair.live(1);
    }
    assert!(pair.has_news("second_controller"));
}

#[test]
fn field_problem_05_vin_storm_does_not_starve_heartbeats() {
    // A VIN without a valid check digit, and one that never comes.
    let odd = CarSettings { vin: Some(gen2_protocol::Text::new(b"LRW3F7EK9NC999999")), ..car() };
    let connectors = vec![european(0x4085, Some(odd)), european(0x2431, Some(CarSettings { vin: None, ..car() }))];
    let mut pair = Pair::new(settings(64, 32), connectors, 0, 5).open();
    pair.live(15);
    pair.grant(A, 16);
    pair.grant(B, 16);
    pair.heartbeats.clear();
    pair.sent.clear();
    pair.live(600);
    for connector in [A, B] {
        assert!(pair.longest_wait(connector) <= Duration::from_millis(1_050), "{:?}", pair.longest_wait(connector));
    }
    let vins = |connector: TwcId| {
        pair.sent
            .iter()
            .filter(|(_, message)| {
                matches!(message, MasterMessage::Request(request)
                    if request.slave == connector && matches!(request.kind, gen2_protocol::RequestKind::Vin(_)))
            })
            .count()
    };
    assert!(vins(A) <= 3 && vins(B) <= 15, "{} {}", vins(A), vins(B));
    assert_eq!(pair.status(A).vin.unwrap().as_str(), "LRW3F7EK9NC999999");
}

#[test]
fn field_problem_07_heartbeats_go_on_when_nobody_sets_targets_any_more() {
    let mut pair = one(32);
    pair.grant(A, 16);
    pair.live(20);
    assert_eq!(pair.status(A).offered, Some(whole(16)));
    pair.heartbeats.clear();
    // The lease runs 30 s; nobody renews it.
    let machine = &mut pair.machine;
    let limits = machine.status(A, pair.now).unwrap().limits;
    let until = pair.now + Duration::from_secs(10);
    machine.handle_target(A, evse::Target::new(limits.power(whole(16)), &limits, until), pair.now);
    pair.forget_grants();
    pair.live(9);
    assert_eq!(pair.status(A).offered, Some(whole(16)));
    pair.live_millis(1_200);
    assert_eq!(pair.status(A).offered, Some(Amps::ZERO), "the lease has expired");
    pair.live(60);
    assert!(pair.longest_wait(A) <= Duration::from_millis(1_050));
}

#[test]
fn field_problem_08_stop_by_silence_ends_by_itself_and_is_counted() {
    let mut settings = settings(32, 32);
    settings.stop_mode = StopMode::Silence;
    let mut pair = Pair::new(settings, vec![european(0x4085, Some(car()))], 0, 5).open();
    pair.live(20);
    pair.grant(A, 16);
    pair.live(40);
    for round in 1..=4 {
        assert!(pair.status(A).capabilities.stop);
        pair.machine.handle_command(crate::mailbox::Command::Stop(A), pair.now);
        let before = pair.sent.len();
        pair.live(55);
        let silent = orders(&pair, before, A).is_empty();
        assert_eq!(silent, round <= 3, "round {round}");
        pair.live(40);
        assert!(!orders(&pair, before, A).is_empty(), "heartbeats come back by themselves");
        assert_eq!(pair.status(A).link, Link::Up);
    }
    assert!(pair.has_news("silence_used_up"));
}

#[test]
fn field_problem_09_a_second_version_that_cannot_stop_says_so_and_keeps_six_amps() {
    let mut pair = one(32);
    pair.grant(A, 16);
    pair.live(40);
    pair.grant(A, 0);
    let before = pair.sent.len();
    pair.live(60);
    assert!(
        orders(&pair, before, A).iter().all(|order| *order == Order::Limit(CentiAmps::ZERO)),
        "never 0 and no change in turn"
    );
    let status = pair.status(A);
    assert!(status.is_charging());
    assert_eq!(status.committed, whole(6));
    assert!(status.note.unwrap().contains("cannot stop"));
    assert!(!status.capabilities.stop);
    assert!(pair.has_news("cannot_stop"));
}

#[test]
fn stop_and_start_by_message_go_to_the_connector_that_was_meant() {
    let mut settings = settings(64, 32);
    settings.stop_mode = StopMode::Contactor;
    let fiat = CarSettings { vin: None, ..car() };
    let connectors = vec![european(0x4085, Some(fiat.clone())), european(0x2431, Some(fiat))];
    let mut pair = Pair::new(settings, connectors, 0, 5).open();
    pair.live(20);
    pair.grant(A, 16);
    pair.grant(B, 16);
    pair.live(40);
    pair.machine.handle_command(crate::mailbox::Command::Stop(A), pair.now);
    pair.live(30);
    assert!(!pair.status(A).is_charging());
    assert!(pair.status(B).is_charging());
    let commands = pair.sent.iter().filter(|(_, message)| matches!(message, MasterMessage::Contactor(_))).count();
    assert_eq!(commands, 1, "an answered command is not repeated");
    pair.machine.handle_command(crate::mailbox::Command::Start(A), pair.now);
    pair.live(40);
    assert!(pair.status(A).is_charging());
}

#[test]
fn a_person_stops_and_starts_by_message_whatever_the_way_of_stopping() {
    let fiat = CarSettings { vin: None, ..car() };
    let mut pair = Pair::new(settings(32, 32), vec![european(0x4085, Some(fiat))], 0, 5).open();
    pair.live(20);
    pair.grant(A, 16);
    pair.live(40);
    let status = pair.status(A);
    assert!(status.is_charging() && status.capabilities.on_request && !status.capabilities.stop);
    pair.machine.handle_command(crate::mailbox::Command::StopOnRequest(A), pair.now);
    pair.live(30);
    assert!(!pair.status(A).is_charging());
    pair.machine.handle_command(crate::mailbox::Command::StartOnRequest(A), pair.now);
    pair.live(40);
    assert!(pair.status(A).is_charging());
    let commands = |pair: &Pair| pair.sent.iter().filter(|(_, it)| matches!(it, MasterMessage::Contactor(_))).count();
    assert_eq!(commands(&pair), 2);
    // On its own it uses no such message.
    pair.grant(A, 0);
    pair.live(120);
    assert_eq!(commands(&pair), 2);
}

#[test]
fn field_problem_10_a_car_plugged_in_at_zero_is_seen_and_starts_later() {
    let mut pair = Pair::new(settings(32, 32), vec![european(0x4085, None)], 0, 5).open();
    pair.live(20);
    assert_eq!(pair.status(A).plug, Plug::Unplugged);
    assert!(!pair.status(A).wants_power());
    let now = pair.now;
    pair.link.bus_mut().plug_in(now, 0, car()).unwrap();
    pair.live(300);
    let status = pair.status(A);
    assert_eq!((status.plug, status.activity), (Plug::PluggedIn, Activity::WaitingForOffer));
    assert!(status.wants_power());
    pair.grant(A, 10);
    pair.live(40);
    assert!(pair.status(A).is_charging());
}

#[test]
fn field_problem_11_a_stuck_car_is_freed_without_passing_any_limit() {
    let stuck = CarSettings { temper: CarTemper::StuckAtSixAmps, ..car() };
    for (all, freed) in [(32, true), (15, false)] {
        let mut pair = Pair::new(settings(all, 32), vec![european(0x4085, Some(stuck.clone()))], 0, 5).open();
        pair.live(20);
        pair.grant(A, 8);
        pair.live(40);
        pair.grant(A, 12);
        pair.live(60);
        let drawn = pair.status(A).drawn.unwrap();
        assert_eq!(drawn > whole(11), freed, "{drawn} with {all} A of wiring");
        assert_eq!(pair.status(A).offered, Some(whole(12)));
        assert_eq!(pair.breach, None);
        assert!(pair.worst_committed <= whole(all));
    }
}

#[test]
fn field_problem_12_two_cars_that_start_together_never_get_the_wiring_twice() {
    let mut pair = two(32);
    pair.grant(A, 32);
    pair.grant(B, 32);
    pair.live(120);
    assert!(pair.worst_committed <= whole(32), "{}", pair.worst_committed);
    assert_eq!(pair.breach, None);
    assert_eq!(pair.status(A).offered, Some(whole(16)));
    assert_eq!(pair.status(B).offered, Some(whole(16)));
}

#[test]
fn field_problem_13_the_ghost_of_an_old_id_is_not_waited_for_but_stays_counted() {
    let mut pair = one(32);
    pair.grant(A, 16);
    pair.live(40);
    pair.forget_grants();
    let now = pair.now;
    pair.link.bus_mut().set_id(now, 0, B).unwrap();
    pair.link.bus_mut().reboot(now, 0).unwrap();
    pair.live(15);
    assert_eq!(pair.status(B).link, Link::Up);
    assert_eq!(pair.status(A).link, Link::Lost);
    assert_eq!(pair.status(A).committed, whole(16), "nobody can tell it from a connector that fell silent");
    pair.grant(B, 32);
    pair.live(20);
    assert!(pair.status(B).offered.unwrap() <= whole(16));
    pair.live(60);
    assert_eq!(pair.status(A).committed, Amps::ZERO);
    assert_eq!(pair.status(B).offered, Some(whole(32)));
    pair.live(600);
    assert!(pair.machine.status(A, pair.now).is_none(), "forgotten after ten minutes");
}

fn heartbeat(state: SlaveState, limit: u16, drawn: u16) -> Message {
    Message::SlaveHeartbeat(SlaveHeartbeat {
        slave: A,
        master: TwcId::FAKE_MASTER,
        state,
        limit: CentiAmps(limit),
        drawn: CentiAmps(drawn),
        version: ProtocolVersion::V2,
    })
}

#[test]
fn field_problem_16_an_error_is_reported_in_words_and_never_started() {
    let mut pair = one(32);
    pair.link.bus_mut().set_ailment(pair.now, 0, Ailment::CutOff).unwrap();
    pair.machine.handle_message(&heartbeat(SlaveState::Error, 0, 1_686), false, pair.now);
    pair.drain();
    let status = pair.status(A);
    assert_eq!(status.activity, Activity::Faulted);
    assert!(!status.wants_power());
    assert!(status.committed >= Amps::from_centiamps(1_686), "what flows counts");
    assert!(status.note.unwrap().contains("reset button"));
    assert!(pair.news.iter().any(|news| news.code == "connector_fault" && news.text.contains("red blinks")));
    pair.grant(A, 16);
    let before = pair.sent.len();
    for _ in 0..20 {
        pair.machine.handle_message(&heartbeat(SlaveState::Error, 0, 0), false, pair.now);
        pair.live(1);
    }
    let told = orders(&pair, before, A);
    assert!(told.len() >= 18 && told.iter().all(|order| *order == Order::NoChange), "{told:?}");
    pair.machine.handle_message(&heartbeat(SlaveState::PluggedInReady, 0, 0), false, pair.now);
    pair.drain();
    assert!(pair.news.iter().any(|news| news.code == "connector_fault" && news.cleared));
}

#[test]
fn field_problem_17_connectors_of_different_rating_share_a_line() {
    let connectors = vec![
        european(0x4085, Some(car())),
        ConnectorSettings::american(B).with_car(CarSettings { most: whole(80), ..car() }),
    ];
    let mut settings = settings(100, 48);
    settings.phases = None;
    let mut pair = Pair::new(settings, connectors, 0, 5).open();
    pair.live(20);
    pair.grant(A, 80);
    pair.grant(B, 80);
    pair.live(60);
    assert_eq!(pair.status(A).offered, Some(whole(32)), "its rating");
    assert_eq!(pair.status(B).offered, Some(whole(48)), "its wiring");
    assert!(pair.news.iter().any(|news| news.code == "rated_below_wiring" && news.connector == Some(A)));
}

#[test]
fn field_problem_18_a_higher_least_offer_is_kept() {
    let mut settings = settings(32, 32);
    settings.least_offer = Some(whole(9));
    let mut pair = Pair::new(settings, vec![european(0x4085, Some(car()))], 0, 5).open();
    pair.live(20);
    pair.grant(A, 8);
    pair.live(10);
    assert_eq!(pair.status(A).offered, Some(Amps::ZERO));
    pair.grant(A, 9);
    pair.live(10);
    assert_eq!(pair.status(A).offered, Some(whole(9)));
}

#[test]
fn field_problem_19_more_than_three_are_served_with_a_warning() {
    let connectors = (0..5).map(|index| european(0x4000 + index, Some(car()))).collect();
    let mut pair = Pair::new(settings(160, 32), connectors, 0, 5).open();
    pair.live(30);
    assert!(pair.has_news("many_connectors"));
    for index in 0..5 {
        pair.grant(id(0x4000 + index), 20);
    }
    pair.live(60);
    for index in 0..5 {
        assert!(pair.status(id(0x4000 + index)).is_charging(), "{index}");
    }
}

#[test]
fn field_problem_20_whether_a_car_wants_power_never_depends_on_the_reported_limit() {
    let pair = one(32);
    let status = pair.status(A);
    assert_eq!(status.reported_max, Some(Amps::ZERO));
    assert_eq!(status.drawn, Some(Amps::ZERO));
    assert!(status.wants_power());
}

#[test]
fn field_problem_21_a_change_of_all_targets_reaches_every_connector() {
    let connectors = (0..3).map(|index| european(0x4000 + index, Some(car()))).collect();
    let mut pair = Pair::new(settings(30, 32), connectors, 0, 5).open();
    pair.live(20);
    for shares in [[10, 10, 10], [6, 6, 18], [18, 6, 6], [0, 12, 12], [12, 0, 12]] {
        for (index, amps) in (0..).zip(shares) {
            pair.grant(id(0x4000 + index), amps);
        }
        pair.live(60);
        for (index, amps) in (0..).zip(shares) {
            assert_eq!(pair.status(id(0x4000 + index)).offered, Some(whole(amps)), "{shares:?}");
        }
        assert_eq!(pair.breach, None);
    }
}

#[test]
fn field_problem_22_a_meter_belongs_to_its_sender() {
    let mut pair = two(64);
    let meter = Meter { unit: B, energy: EnergyCounter(77), volts: [207, 0, 0], half_amps: None };
    pair.machine.handle_message(&Message::Meter(meter), false, pair.now);
    assert_eq!(pair.status(A).volts.l1, Some(Volts::saturating(230.0)));
    assert_eq!(pair.status(B).volts.l1, Some(Volts::saturating(207.0)));
    assert_eq!(pair.status(B).volts.l2, None);
}

#[test]
fn field_problem_23_the_very_first_heartbeat_carries_a_limit() {
    let pair = two(64);
    for connector in [A, B] {
        assert!(matches!(orders(&pair, 0, connector).first(), Some(Order::Limit(_))));
    }
}

// What follows is not in that list, but belongs to the same chapter.

#[test]
fn a_connector_with_our_id_is_asked_to_choose_another() {
    let mut pair = Pair::new(settings(32, 32), vec![european(0x7777, Some(car()))], 0, 5).open();
    pair.live(40);
    assert!(pair.has_news("id_conflict"));
    let known: Vec<TwcId> = pair.statuses.keys().copied().collect();
    assert_eq!(known.len(), 1);
    assert_ne!(known[0], TwcId::FAKE_MASTER);
    assert_eq!(pair.status(known[0]).link, Link::Up);
    let to_self = |message: &MasterMessage| matches!(message, MasterMessage::Heartbeat { slave, .. } if *slave == TwcId::FAKE_MASTER);
    assert!(!pair.sent.iter().any(|(_, message)| to_self(message)), "no heartbeat to our own id");
}

#[test]
fn a_connector_that_keeps_our_id_makes_us_choose_another() {
    let mut pair = one(32);
    let ready = SlaveLinkReady {
        slave: TwcId::FAKE_MASTER,
        sign: Sign(1),
        rated: CentiAmps(3_200),
        version: ProtocolVersion::V2,
    };
    for _ in 0..6 {
        pair.machine.handle_message(&Message::SlaveLinkReady(ready), false, pair.now);
        pair.live(10);
    }
    assert!(pair.has_news("own_id_changed"));
    assert_eq!(pair.machine.own_id, id(0x7778));
    assert_eq!(pair.status(A).link, Link::Up, "the connectors follow the new id");
}

#[test]
fn two_connectors_with_one_id_are_both_asked_to_choose() {
    let mut pair = Pair::new(settings(32, 32), Vec::new(), 0, 5).open();
    for sign in [3, 4, 5, 6, 7] {
        let ready =
            SlaveLinkReady { slave: A, sign: Sign(sign), rated: CentiAmps(3_200), version: ProtocolVersion::V2 };
        pair.machine.handle_message(&Message::SlaveLinkReady(ready), false, pair.now);
        pair.live(3);
    }
    assert!(!pair.has_news("shared_id"), "restarts are no conflict");
    for sign in [1, 2, 1, 2, 1] {
        let ready =
            SlaveLinkReady { slave: A, sign: Sign(sign), rated: CentiAmps(3_200), version: ProtocolVersion::V2 };
        pair.machine.handle_message(&Message::SlaveLinkReady(ready), false, pair.now);
        pair.live(3);
    }
    assert!(pair.has_news("shared_id"));
    let as_them = |message: &MasterMessage| matches!(message, MasterMessage::LinkReady1(MasterLinkReady { master, .. }) if *master == A);
    assert_eq!(pair.sent.iter().filter(|(_, message)| as_them(message)).count(), 5);
}

#[test]
fn a_reboot_during_a_charge_forgets_the_limit_and_comes_back() {
    let mut pair = one(32);
    pair.grant(A, 16);
    pair.live(40);
    let now = pair.now;
    pair.link.bus_mut().reboot(now, 0).unwrap();
    pair.live(60);
    assert!(pair.has_news("connector_restarted"));
    assert!(pair.status(A).is_charging());
    assert_eq!(pair.breach, None);
}

#[test]
fn a_silent_connector_is_lost_named_and_taken_back() {
    let mut pair = two(32);
    pair.grant(A, 16);
    pair.grant(B, 16);
    pair.live(40);
    let now = pair.now;
    pair.link.bus_mut().set_ailment(now, 0, Ailment::CutOff).unwrap();
    pair.live(4);
    assert_eq!(pair.status(A).link, Link::Degraded);
    pair.grant(B, 32);
    pair.live(25);
    assert_eq!(pair.status(A).link, Link::Lost);
    assert!(pair.has_news("connector_silent"));
    assert_eq!(pair.status(B).offered, Some(whole(16)), "its amps are not given away yet");
    pair.live(60);
    assert_eq!(pair.status(B).offered, Some(whole(32)));
    let now = pair.now;
    pair.link.bus_mut().set_ailment(now, 0, Ailment::None).unwrap();
    pair.live(60);
    assert_eq!(pair.status(A).link, Link::Up);
    assert_eq!(pair.breach, None);
    assert!(pair.machine.ledger.sum(pair.now) <= whole(32));
}

#[test]
fn the_first_frame_leaves_at_once_and_the_announcement_is_five_and_five() {
    let mut pair = Pair::new(settings(32, 32), Vec::new(), 0, 5).open();
    assert_eq!(pair.sent.len(), 1);
    assert_eq!(pair.sent[0].0, Duration::ZERO);
    pair.live(30);
    let first = pair.sent.iter().filter(|(_, message)| matches!(message, MasterMessage::LinkReady1(_))).count();
    let second = pair.sent.iter().filter(|(_, message)| matches!(message, MasterMessage::LinkReady2(_))).count();
    assert_eq!((first, second, pair.sent.len()), (5, 5, 10));
    let mut bus = BusStatus::unopened(pair.now, &settings(32, 32));
    pair.machine.describe(&mut bus, pair.now);
    assert_eq!(bus.line, LineState::Running);
}

#[test]
fn after_a_reconnect_known_connectors_hear_from_us_first() {
    let mut pair = two(64);
    pair.grant(A, 16);
    pair.live(30);
    pair.machine.line_closed(pair.now);
    pair.link.break_connection();
    pair.live(5);
    let before = pair.sent.len();
    pair.machine.line_opened(pair.now);
    pair.drain();
    assert!(matches!(pair.sent[before].1, MasterMessage::Heartbeat { .. }));
    pair.live(2);
    assert_eq!(pair.status(A).link, Link::Up);
    assert_eq!(pair.status(A).offered, Some(whole(16)), "nothing was taken from it");
    assert!(pair.status(A).is_charging());
}

#[test]
fn a_network_that_is_silent_too_long_is_opened_anew() {
    let mut settings = settings(32, 32);
    settings.port = "socket://gateway:8899".parse().unwrap();
    let mut pair = Pair::new(settings, vec![european(0x4085, None)], 30, 5).open();
    pair.live(20);
    let now = pair.now;
    pair.link.bus_mut().set_ailment(now, 0, Ailment::CutOff).unwrap();
    let mut reopened = false;
    for _ in 0..200 {
        pair.now += Duration::from_millis(100);
        pair.machine.handle_timeout(pair.now);
        while let Some(output) = pair.machine.poll_output() {
            reopened |= matches!(output, Output::Reopen(_));
        }
    }
    assert!(reopened);
}

#[test]
fn version_1_is_told_by_05_in_14_bytes_stops_at_zero_and_is_never_asked() {
    let connector = ConnectorSettings::first_generation(A).with_car(CarSettings { vin: None, ..car() });
    let mut pair = Pair::new(settings(32, 32), vec![connector], 0, 5).open();
    pair.live(20);
    assert!(pair.status(A).wants_power(), "it cannot tell whether a car is there: {:?}", pair.status(A));
    pair.grant(A, 5);
    pair.live(60);
    assert!(pair.status(A).is_charging());
    pair.grant(A, 0);
    pair.live(20);
    assert!(!pair.status(A).is_charging());
    assert_eq!(pair.status(A).committed, Amps::ZERO);
    for (_, message) in &pair.sent {
        let wire = message.encode();
        assert!(wire.as_bytes().len() <= 14 + 4, "{message}");
        assert!(!matches!(message, MasterMessage::Request(_)));
    }
    pair.grant(A, 16);
    pair.live(60);
    assert!(pair.status(A).is_charging());
}

#[test]
fn a_full_car_declines_and_is_asked_again_much_later() {
    let full = CarSettings { soc: units::Percent::new(80.0).unwrap(), ..car() };
    let mut pair = Pair::new(settings(32, 32), vec![european(0x4085, Some(full))], 0, 5).open();
    pair.live(20);
    pair.grant(A, 16);
    pair.live(200);
    assert_eq!(pair.status(A).activity, Activity::Declined);
    assert!(!pair.status(A).wants_power());
    pair.grant(A, 0);
    pair.live(60);
    assert!(!pair.status(A).wants_power(), "an offer of zero does not make it hungry");
    let now = pair.now;
    pair.link.bus_mut().set_charge_limit(now, 0, units::Percent::FULL).unwrap();
    pair.live(2_000);
    assert!(pair.status(A).wants_power());
}

#[test]
fn without_history_nobody_is_raised_before_everybody_had_time_to_speak() {
    let mut pair =
        Pair::new(settings(32, 32), vec![european(0x4085, Some(car())), european(0x2431, None)], 0, 5).open();
    while !pair.statuses.contains_key(&A) {
        pair.live_millis(100);
    }
    pair.grant(A, 32);
    while pair.now < pair.start + Duration::from_millis(11_900) {
        pair.live_millis(100);
        assert_eq!(pair.status(A).offered.unwrap_or_default(), Amps::ZERO);
    }
    pair.live(3);
    assert_eq!(pair.status(A).offered, Some(whole(32)));
}

#[test]
fn a_line_that_babbles_without_end_does_not_starve_heartbeats() {
    let mut pair = one(32);
    pair.heartbeats.clear();
    for _ in 0..4_000 {
        pair.machine.handle_activity(pair.now);
        pair.live_millis(5);
    }
    assert!(pair.longest_wait(A) <= Duration::from_millis(1_300), "{:?}", pair.longest_wait(A));
}
