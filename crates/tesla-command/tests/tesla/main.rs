//! Sessions against a car of another make: `car.rs` shares no code with the crate.

#![allow(clippy::unwrap_used, reason = "what cannot be unwrapped fails the test")]

mod car;
mod python;

use std::time::{Duration, Instant};

use car::{Car, Message, Mood, VIN, put, put_number};
use proptest::prelude::*;
use tesla_command::{
    Answer, ChargeLimit, ChargingAmps, Command, CommandError, Delivery, Distrust, Domain, ErrorKind, Fault, Heard,
    NoRandomness, NotBegun, Output, PrivateKey, Random, RefusalKind, Session, Sleep, SystemRandom, Transport,
};

/// Never gives the same twice, and the same in every run.
struct Counting(u64);

impl Random for Counting {
    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), NoRandomness> {
        for chunk in bytes.chunks_mut(8) {
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            chunk.copy_from_slice(&self.0.to_be_bytes()[..chunk.len()]);
        }
        Ok(())
    }
}

type Finish = Result<Result<Answer, tesla_command::Refusal>, CommandError>;

/// A session, a car, and the time.
struct Rig {
    now: Instant,
    session: Session,
    car: Car,
    saved: Option<Vec<u8>>,
    sent: usize,
    key_changes: usize,
}

impl Rig {
    fn new(domain: Domain, transport: Transport) -> Self {
        let now = Instant::now();
        let key = PrivateKey::generate(&mut Counting(99)).unwrap();
        let session = Session::new(key, VIN.parse().unwrap(), domain, transport, Box::new(Counting(1)));
        let car = Car::new(now, u32::from(domain.number()));
        Self { now, session, car, saved: None, sent: 0, key_changes: 0 }
    }

    fn internet() -> Self {
        Self::new(Domain::Infotainment, Transport::Internet)
    }

    /// Carries a command through with an answer to every message, and all pauses.
    fn run(&mut self, command: Command) -> Finish {
        self.session.begin(self.now, command).unwrap();
        self.go_on()
    }

    fn go_on(&mut self) -> Finish {
        for _ in 0..40 {
            match self.session.poll_output() {
                Some(Output::Finished { result, .. }) => {
                    assert!(self.session.is_idle() && self.session.next_timeout().is_none());
                    return result;
                }
                Some(Output::Send(bytes)) => {
                    self.sent += 1;
                    let answer = self.car.answer(self.now, &bytes);
                    assert_ne!(self.session.handle_bytes(self.now, &answer), Heard::Unreadable);
                }
                Some(Output::Save(bytes)) => self.saved = Some(bytes),
                Some(Output::CarKeyChanged { .. }) => self.key_changes += 1,
                None => {
                    self.now = self.session.next_timeout().expect("something is due");
                    self.session.handle_timeout(self.now);
                }
            }
        }
        panic!("it never ends");
    }

    fn wait(&mut self, seconds: u64) {
        self.now += Duration::from_secs(seconds);
    }
}

const DONE: Finish = Ok(Ok(Answer::Done));

#[test]
fn a_command_is_done_after_one_greeting_and_the_next_without() {
    let mut rig = Rig::internet();
    assert_eq!(rig.run(Command::StartCharging), DONE);
    rig.wait(3600);
    assert_eq!(rig.run(Command::SetChargingAmps(ChargingAmps::new(16).unwrap())), DONE);
    assert_eq!(rig.run(Command::SetChargeLimit(ChargeLimit::new(80).unwrap())), DONE);
    assert_eq!(rig.run(Command::StopCharging), DONE);
    assert_eq!((rig.car.greetings, rig.sent, rig.car.counter), (1, 5, 45));
    let payloads: Vec<&[u8]> = rig.car.done.iter().map(|(payload, _)| payload.as_slice()).collect();
    assert_eq!(payloads[0], [0x12, 4, 0x32, 2, 0x12, 0]);
    assert_eq!(payloads[1], [0x12, 5, 0xda, 2, 2, 8, 16]);
    // The car's clock is followed for an hour.
    assert_eq!(rig.car.done[1].1, 2650 + 3600 + 12);
}

#[test]
fn a_car_that_started_anew_is_followed() {
    for informs in [true, false] {
        let mut rig = Rig::internet();
        assert_eq!(rig.run(Command::StartCharging), DONE);
        rig.wait(600);
        rig.car.restart(rig.now);
        rig.car.informs = informs;
        assert_eq!(rig.run(Command::StopCharging), DONE);
        assert_eq!((rig.car.done.len(), rig.car.greetings), (2, if informs { 1 } else { 2 }));
    }
}

#[test]
fn clocks_and_counters_out_of_step_are_mended() {
    let mut rig = Rig::internet();
    assert_eq!(rig.run(Command::StartCharging), DONE);
    rig.car.lose_time(Duration::from_secs(300));
    assert_eq!(rig.run(Command::StopCharging), DONE);
    rig.car.counter += 1000;
    assert_eq!(rig.run(Command::StartCharging), DONE);
    assert_eq!((rig.car.greetings, rig.car.done.len()), (1, 3));
}

#[test]
fn a_counter_is_never_used_twice_in_an_epoch() {
    let mut rig = Rig::internet();
    for _ in 0..5 {
        assert_eq!(rig.run(Command::Ping), DONE);
    }
    // An account of the session that is older than what was sent since.
    rig.car.counter = 42;
    rig.car.moods = vec![Mood::Fault(17, true)];
    assert_eq!(rig.run(Command::StartCharging), DONE);
    assert_eq!(rig.car.counter, 48);
}

#[test]
fn a_clock_that_goes_back_is_not_believed() {
    let mut rig = Rig::internet();
    rig.wait(100);
    assert_eq!(rig.run(Command::Ping), DONE);
    rig.car.started = rig.now;
    rig.car.moods = vec![Mood::Fault(17, true)];
    assert_eq!(rig.run(Command::StartCharging), Err(CommandError::Untrusted(Distrust::ClockWentBack)));
    rig.car.restart(rig.now);
    assert_eq!(rig.run(Command::StartCharging), DONE);
}

#[test]
fn a_busy_car_is_asked_again_a_few_times() {
    let mut rig = Rig::internet();
    rig.car.moods = vec![Mood::Fault(1, false), Mood::Fault(11, false)];
    let start = rig.now;
    assert_eq!(rig.run(Command::StartCharging), DONE);
    assert_eq!(rig.now - start, Duration::from_secs(2));
    rig.car.moods = vec![Mood::Fault(1, false); 10];
    assert_eq!(rig.run(Command::StartCharging), Err(CommandError::Busy(Fault::Busy)));
    assert_eq!(rig.car.moods.len(), 5);
}

#[test]
fn a_session_that_never_fits_is_given_up() {
    for (fault, informs) in [(5, true), (15, false), (17, true)] {
        let mut rig = Rig::internet();
        rig.car.moods = vec![Mood::Fault(fault, informs); 20];
        let error = rig.run(Command::StartCharging).expect_err("never");
        assert_eq!(
            (error.kind(), &error),
            (ErrorKind::Retry, &CommandError::OutOfStep(Fault::from_number(fault).unwrap()))
        );
        assert!(rig.car.done.is_empty());
    }
}

#[test]
fn faults_that_only_people_can_mend_stop_at_once() {
    for (fault, kind) in [
        (3, ErrorKind::Unpaired),
        (4, ErrorKind::Unpaired),
        (7, ErrorKind::Denied),
        (9, ErrorKind::Unsupported),
        (12, ErrorKind::Misconfigured),
        (21, ErrorKind::Denied),
        (99, ErrorKind::Unsupported),
    ] {
        let mut rig = Rig::internet();
        rig.car.moods = vec![Mood::Fault(fault, false)];
        assert_eq!(rig.run(Command::StartCharging).expect_err("a fault").kind(), kind, "{fault}");
        assert_eq!(rig.sent, 2);
    }
    let mut rig = Rig::internet();
    rig.car.is_paired = false;
    assert_eq!(rig.run(Command::StartCharging), Err(CommandError::NotPaired));
}

#[test]
fn a_car_that_wants_to_answer_encrypted_may() {
    let mut rig = Rig::internet();
    rig.car.moods = vec![Mood::Fault(28, false)];
    assert_eq!(rig.run(Command::StartCharging), DONE);
    assert_eq!(rig.car.done.len(), 1);
}

#[test]
fn whoever_cannot_sign_is_not_the_car() {
    let mut rig = Rig::internet();
    rig.car.lies = true;
    assert_eq!(rig.run(Command::StartCharging), Err(CommandError::Untrusted(Distrust::WrongTag)));
    assert!(rig.car.done.is_empty());
}

#[test]
fn a_refusal_is_the_cars_word_and_is_not_repeated() {
    let says = |reason: &str| Mood::Says(put(1, &[put_number(1, 1), put(2, &put(1, reason.as_bytes()))].concat()));
    let mut rig = Rig::internet();
    rig.car.moods = vec![says("disconnected"), says("is_charging")];
    let refusal = rig.run(Command::StartCharging).unwrap().expect_err("refused");
    assert_eq!((refusal.kind(), rig.sent), (RefusalKind::Unplugged, 2));
    assert_eq!(refusal.to_string(), "the car will not start charging: disconnected");
    assert_eq!(rig.run(Command::StartCharging), Ok(Ok(Answer::AlreadySo)));
}

#[test]
fn a_lost_answer_leaves_a_command_unconfirmed_and_void() {
    let mut rig = Rig::internet();
    assert_eq!(rig.run(Command::Ping), DONE);
    rig.session.begin(rig.now, Command::StartCharging).unwrap();
    let Some(Output::Send(bytes)) = rig.session.poll_output() else { panic!("nothing sent") };
    assert_eq!(rig.session.begin(rig.now, Command::StopCharging), Err(NotBegun::Busy));
    rig.now = rig.session.next_timeout().unwrap();
    let uuid = Message::read(&bytes).get(51).unwrap().to_vec();
    let too_late = [put(7, &put_number(1, 3)), put(10, &[0x0a, 0]), put(50, &uuid)].concat();
    assert_eq!(rig.session.handle_bytes(rig.now, &too_late), Heard::NotAwaited);
    rig.session.handle_timeout(rig.now);
    assert_eq!(rig.go_on(), Err(CommandError::Unconfirmed));
    // It reaches the car only now: too late to be done, and the answer is nobody's.
    let late = rig.car.answer(rig.now, &bytes);
    assert_eq!(rig.car.done.len(), 1);
    assert_eq!(rig.session.handle_bytes(rig.now, &late), Heard::NotAwaited);
    assert_eq!(rig.run(Command::StartCharging), DONE);
}

#[test]
fn a_transport_that_fails_ends_the_command() {
    for (greeted, delivery, expected) in [
        (false, Delivery::Unknown, CommandError::NotSent),
        (true, Delivery::NotSent, CommandError::NotSent),
        (true, Delivery::Unknown, CommandError::Unconfirmed),
    ] {
        let mut rig = Rig::internet();
        if greeted {
            assert_eq!(rig.run(Command::Ping), DONE);
        }
        rig.session.begin(rig.now, Command::StartCharging).unwrap();
        assert!(matches!(rig.session.poll_output(), Some(Output::Send(_))));
        rig.session.handle_failure(delivery);
        assert_eq!(rig.go_on(), Err(expected));
    }
}

#[test]
fn a_silent_car_is_greeted_a_few_times() {
    let mut rig = Rig::internet();
    rig.session.begin(rig.now, Command::StartCharging).unwrap();
    let mut greetings = 0;
    let result = loop {
        match rig.session.poll_output() {
            Some(Output::Send(_)) => greetings += 1,
            Some(Output::Finished { result, .. }) => break result,
            Some(_) => {}
            None => rig.session.handle_timeout(rig.session.next_timeout().unwrap()),
        }
    };
    assert_eq!((result, greetings), (Err(CommandError::NoAnswer), 5));
}

#[test]
fn an_answer_to_another_request_is_nobodys() {
    let mut rig = Rig::internet();
    assert_eq!(rig.run(Command::Ping), DONE);
    rig.session.begin(rig.now, Command::StartCharging).unwrap();
    let Some(Output::Send(bytes)) = rig.session.poll_output() else { panic!("nothing sent") };
    let answer = rig.car.answer(rig.now, &bytes);
    let at = answer.len() - 1;
    let mut other = answer.clone();
    other[at] ^= 1;
    assert_eq!(rig.session.handle_bytes(rig.now, &other), Heard::NotAwaited);
    assert_eq!(rig.session.handle_bytes(rig.now, &[0xff]), Heard::Unreadable);
    assert_eq!(rig.session.handle_bytes(rig.now, &answer), Heard::Taken);
    assert_eq!(rig.go_on(), DONE);
}

#[test]
fn a_saved_session_needs_no_greeting_and_no_counter_twice() {
    let mut rig = Rig::internet();
    for _ in 0..70 {
        assert_eq!(rig.run(Command::Ping), DONE);
    }
    let used = rig.car.counter;
    let saved = rig.saved.take().unwrap();
    let key = PrivateKey::generate(&mut Counting(99)).unwrap();
    let vin = VIN.parse().unwrap();
    rig.session = Session::new(key, vin, Domain::Infotainment, Transport::Internet, Box::new(Counting(2)));
    rig.wait(7200);
    assert!(!rig.session.restore(rig.now, b"rubbish", Duration::ZERO));
    assert!(rig.session.restore(rig.now, &saved, Duration::from_secs(7200)));
    assert_eq!(rig.run(Command::StopCharging), DONE);
    assert_eq!(rig.car.greetings, 1);
    assert!(rig.car.counter > used);
    // Another restart right now must not use it twice either.
    assert!(rig.saved.is_some_and(|again| again != saved));
}

#[test]
fn another_key_of_the_car_is_only_taken_when_asked_for_and_told() {
    let mut rig = Rig::internet();
    assert_eq!(rig.run(Command::Ping), DONE);
    rig.car = Car::new(rig.now, 3);
    rig.car.moods = vec![Mood::Fault(15, true)];
    assert_eq!(rig.run(Command::StartCharging), DONE);
    assert_eq!((rig.key_changes, rig.car.greetings, rig.car.done.len()), (1, 1, 1));
}

#[test]
fn bluetooth_encrypts_both_ways() {
    let mut rig = Rig::new(Domain::Infotainment, Transport::Bluetooth);
    assert_eq!(rig.run(Command::StartCharging), DONE);
    assert_eq!(rig.car.done[0].0, [0x12, 4, 0x32, 2, 0x12, 0]);
    rig.session.begin(rig.now, Command::StopCharging).unwrap();
    let Some(Output::Send(bytes)) = rig.session.poll_output() else { panic!("nothing sent") };
    let sealed = Message::read(&bytes).get(10).unwrap().to_vec();
    assert_ne!(sealed, [0x12, 4, 0x32, 2, 0x2a, 0]);
    let answer = rig.car.answer(rig.now, &bytes);
    // Each bit of the encrypted answer counts.
    let at = answer.windows(12).position(|window| window == [3; 12]).unwrap();
    let mut damaged = answer.clone();
    damaged[at] ^= 1;
    assert_eq!(rig.session.handle_bytes(rig.now, &damaged), Heard::NotAwaited);
    assert_eq!(rig.session.handle_bytes(rig.now, &answer), Heard::Taken);
    assert_eq!(rig.go_on(), DONE);
}

#[test]
fn the_security_computer_wakes_the_car_and_tells_its_sleep_unasked_for_a_key() {
    for transport in [Transport::Bluetooth, Transport::Internet] {
        let mut rig = Rig::new(Domain::VehicleSecurity, transport);
        rig.car.names_request = false;
        rig.car.moods = vec![Mood::Says(vec![0x0a, 2, 0x18, 2])];
        assert_eq!(rig.run(Command::ReadSleep), Ok(Ok(Answer::Sleep(Sleep::Asleep))));
        assert_eq!(rig.car.greetings, 0);
        assert_eq!(rig.run(Command::Wake), DONE);
        assert_eq!(rig.car.done[1].0, [0x10, 30]);
        let other = Command::StartCharging;
        assert_eq!(rig.session.begin(rig.now, other), Err(NotBegun::OtherDomain(other)));
    }
}

#[test]
fn no_secret_is_shown() {
    let key = PrivateKey::generate(&mut SystemRandom).unwrap();
    let pem = key.to_pem().unwrap();
    let session =
        Session::new(key, VIN.parse().unwrap(), Domain::Infotainment, Transport::Internet, Box::new(SystemRandom));
    let body: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
    assert!(!format!("{session:?}").contains(&body[40..60]));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever comes, whenever: the session goes on, and in the end the car obeys.
    #[test]
    fn any_bytes_at_any_time_do_no_harm(
        noise in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..200), 0..8),
        flips in proptest::collection::vec((0_usize..400, any::<u8>()), 0..8),
    ) {
        let mut rig = Rig::internet();
        rig.session.begin(rig.now, Command::StartCharging).unwrap();
        for index in 0..8 {
            while let Some(output) = rig.session.poll_output() {
                if let Output::Send(bytes) = output {
                    let mut answer = rig.car.answer(rig.now, &bytes);
                    if let Some((at, with)) = flips.get(index) {
                        let length = answer.len();
                        answer[at % length] = *with;
                    }
                    rig.session.handle_bytes(rig.now, &answer);
                }
            }
            if let Some(noise) = noise.get(index) {
                rig.session.handle_bytes(rig.now, noise);
            }
            if let Some(due) = rig.session.next_timeout() {
                rig.now = due;
                rig.session.handle_timeout(due);
            }
        }
        while !rig.session.is_idle() {
            rig.now = rig.session.next_timeout().unwrap();
            rig.session.handle_timeout(rig.now);
        }
        while rig.session.poll_output().is_some() {}
        prop_assert_eq!(rig.run(Command::StopCharging), DONE);
    }
}
