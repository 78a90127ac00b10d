//! What to ask a connector, and when. Heartbeats come first; this only says what would be worth asking next.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use gen2_protocol::{RequestKind, Text, VinPart, VinThird, join_vin};

/// Questions to one connector are at least this far apart.
const SPACING: Duration = Duration::from_secs(2);
/// The meter while nothing flows.
const METER_IDLE: Duration = Duration::from_secs(60);
/// The meter while a car charges, for its currents on each phase.
const METER_CHARGING: Duration = Duration::from_secs(8);
/// Serial number, firmware and VIN are asked again after this.
const RETRY: Duration = Duration::from_secs(60);
/// So often at most.
const MOST_TRIES: u8 = 5;
/// The plug while the connector's state leaves open whether a car is there.
const PLUG: Duration = Duration::from_secs(60);

/// Something asked until it is answered, a few times at most.
#[derive(Debug, Clone, Copy, Default)]
struct Retried {
    tries: u8,
    not_before: Option<Instant>,
    done: bool,
}

impl Retried {
    fn due(&self) -> Option<Option<Instant>> {
        (!self.done && self.tries < MOST_TRIES).then_some(self.not_before)
    }

    fn asked(&mut self, now: Instant) {
        self.tries = self.tries.saturating_add(1);
        self.not_before = Some(now + RETRY);
    }
}

/// Repeated questions that a connector may never answer.
#[derive(Debug, Clone, Copy, Default)]
struct Periodic {
    next: Option<Instant>,
    unanswered: u8,
}

impl Periodic {
    fn asked(&mut self, now: Instant, period: Duration) {
        self.unanswered = self.unanswered.saturating_add(1);
        // Old firmware never answers: ask less and less, but the connector may be new tomorrow.
        let patience = if self.unanswered > 5 { 10 } else { 1 };
        self.next = Some(now + period * patience);
    }
}

/// The questions to one connector.
#[derive(Debug, Clone)]
pub(crate) struct Queries {
    spaced_until: Option<Instant>,
    meter: Periodic,
    plug: Periodic,
    version: Retried,
    serial: Retried,
    vin: Retried,
    vin_wanted: bool,
    round: VinRound,
    asked_for: VecDeque<RequestKind>,
}

#[derive(Debug, Clone, Copy, Default)]
struct VinRound {
    first: Option<Text<7>>,
    second: Option<Text<7>>,
    next: Option<VinThird>,
}

/// What a third of a VIN led to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum VinNews {
    /// All three parts of one round are there.
    Complete(Text<17>),
    /// The round is over and showed that the car tells nothing.
    Empty,
    /// Not yet.
    Pending,
}

/// What of the connector's state the choice depends on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Situation {
    pub(crate) charging: bool,
    pub(crate) car_in_doubt: bool,
}

impl Queries {
    pub(crate) fn new() -> Self {
        Queries {
            spaced_until: None,
            meter: Periodic::default(),
            plug: Periodic::default(),
            version: Retried::default(),
            serial: Retried::default(),
            vin: Retried::default(),
            vin_wanted: false,
            round: VinRound::default(),
            asked_for: VecDeque::new(),
        }
    }

    /// When the next question is worth asking, and which.
    pub(crate) fn next(&self, now: Instant, situation: Situation) -> Option<(Instant, RequestKind)> {
        if let Some(kind) = self.asked_for.front() {
            return Some((now, *kind));
        }
        let when = |at: Option<Instant>| at.unwrap_or(now);
        let mut best: Option<(Instant, RequestKind)> = None;
        let mut offer = |at: Instant, kind: RequestKind| {
            if best.is_none_or(|(earliest, _)| at < earliest) {
                best = Some((at, kind));
            }
        };
        // Of equally urgent questions the first wins: what is on screen and in the sums before mere names.
        if let Some(third) = self.round.next {
            offer(now, RequestKind::Vin(third));
        }
        offer(when(self.meter.next).max(now), RequestKind::Meter);
        if self.vin_wanted
            && self.round.next.is_none()
            && let Some(at) = self.vin.due()
        {
            offer(when(at).max(now), RequestKind::Vin(VinThird::First));
        }
        if situation.car_in_doubt {
            offer(when(self.plug.next).max(now), RequestKind::PlugState);
        }
        for (retried, kind) in [(self.version, RequestKind::Version), (self.serial, RequestKind::Serial)] {
            if let Some(at) = retried.due() {
                offer(when(at).max(now), kind);
            }
        }
        best.map(|(at, kind)| (self.spaced_until.map_or(at, |until| at.max(until)), kind))
    }

    /// A question leaves.
    pub(crate) fn asked(&mut self, kind: RequestKind, now: Instant, situation: Situation) {
        if self.asked_for.front() == Some(&kind) {
            self.asked_for.pop_front();
        }
        self.spaced_until = Some(now + SPACING);
        match kind {
            RequestKind::Meter => self.meter.asked(now, if situation.charging { METER_CHARGING } else { METER_IDLE }),
            RequestKind::PlugState => self.plug.asked(now, PLUG),
            RequestKind::Version => self.version.asked(now),
            RequestKind::Serial => self.serial.asked(now),
            RequestKind::Vin(VinThird::First) => {
                self.vin.asked(now);
                self.round = VinRound::default();
            }
            RequestKind::Vin(_) => {}
        }
    }

    /// A question of ours got no answer.
    pub(crate) fn unanswered(&mut self, kind: RequestKind) {
        if let RequestKind::Vin(_) = kind {
            // The round is lost: parts of two rounds could belong to two cars.
            self.round = VinRound::default();
        }
    }

    /// An answer came, asked for or not.
    pub(crate) fn answered(&mut self, kind: RequestKind) {
        match kind {
            RequestKind::Meter => self.meter.unanswered = 0,
            RequestKind::PlugState => self.plug.unanswered = 0,
            RequestKind::Version => self.version.done = true,
            RequestKind::Serial => self.serial.done = true,
            RequestKind::Vin(_) => {}
        }
    }

    /// A third of a VIN came, asked for or not.
    pub(crate) fn take_vin(&mut self, part: &VinPart) -> VinNews {
        match part.third {
            VinThird::First => {
                self.round = VinRound { first: Some(part.characters), second: None, next: Some(VinThird::Second) };
                if !self.vin_wanted {
                    self.round.next = None;
                }
                VinNews::Pending
            }
            VinThird::Second => {
                self.round.second = Some(part.characters);
                self.round.next = (self.vin_wanted && self.round.first.is_some()).then_some(VinThird::Last);
                VinNews::Pending
            }
            VinThird::Last => {
                let round = std::mem::take(&mut self.round);
                let (Some(first), Some(second)) = (round.first, round.second) else { return VinNews::Pending };
                match join_vin(&first, &second, &part.characters) {
                    Some(vin) => {
                        self.vin.done = true;
                        VinNews::Complete(vin)
                    }
                    None => VinNews::Empty,
                }
            }
        }
    }

    /// A car came or began to charge: its VIN is asked for anew.
    pub(crate) fn want_vin(&mut self) {
        self.vin_wanted = true;
        self.vin = Retried::default();
        self.round = VinRound::default();
    }

    /// The car left.
    pub(crate) fn forget_car(&mut self) {
        self.vin_wanted = false;
        self.round = VinRound::default();
    }

    /// A state that leaves the car in doubt began: the plug is asked for soon.
    pub(crate) fn doubt_plug(&mut self) {
        if self.plug.unanswered <= 5 {
            self.plug.next = None;
        }
    }

    /// A charge began or ended: the meter is read soon.
    pub(crate) fn hurry_meter(&mut self) {
        if self.meter.unanswered <= 5 {
            self.meter.next = None;
        }
    }

    /// The connector restarted: everything may be different.
    pub(crate) fn restart(&mut self) {
        let asked_for = std::mem::take(&mut self.asked_for);
        *self = Queries { asked_for, vin_wanted: self.vin_wanted, ..Queries::new() };
    }

    /// A person wants to know.
    pub(crate) fn ask(&mut self, kind: RequestKind) {
        if self.asked_for.len() < 8 {
            self.asked_for.push_back(kind);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gen2_protocol::TwcId;

    const IDLE: Situation = Situation { charging: false, car_in_doubt: false };

    /// Runs the questions for `seconds`; `answers` says which get an answer. Returns what was asked when, in seconds.
    fn run(queries: &mut Queries, seconds: u64, answers: impl Fn(RequestKind) -> bool) -> Vec<(u64, RequestKind)> {
        let start = Instant::now();
        let mut asked = Vec::new();
        for tick in 0..seconds * 10 {
            let now = start + Duration::from_millis(tick * 100);
            let Some((at, kind)) = queries.next(now, IDLE) else { continue };
            if at > now {
                continue;
            }
            queries.asked(kind, now, IDLE);
            asked.push((tick / 10, kind));
            if let (RequestKind::Vin(third), true) = (kind, answers(kind)) {
                let part = VinPart { unit: TwcId::from_u16(1), third, characters: Text::new(b"LRW3F7E") };
                queries.take_vin(&part);
            }
            if answers(kind) { queries.answered(kind) } else { queries.unanswered(kind) }
        }
        asked
    }

    fn count(asked: &[(u64, RequestKind)], kind: RequestKind) -> usize {
        asked.iter().filter(|(_, asked)| *asked == kind).count()
    }

    #[test]
    fn names_are_asked_five_times_and_then_left_alone() {
        let asked = run(&mut Queries::new(), 3600, |_| false);
        assert_eq!(count(&asked, RequestKind::Serial), 5);
        assert_eq!(count(&asked, RequestKind::Version), 5);
        assert_eq!(count(&asked, RequestKind::Vin(VinThird::First)), 0);
        assert!(asked.windows(2).all(|pair| pair[1].0 - pair[0].0 >= 2 || pair[1].0 == pair[0].0 + 2));
        assert!(count(&asked, RequestKind::Meter) < 15, "a mute connector is asked less and less");
    }

    #[test]
    fn answered_names_are_asked_once_and_the_meter_every_minute() {
        let asked = run(&mut Queries::new(), 600, |_| true);
        assert_eq!(count(&asked, RequestKind::Serial), 1);
        assert_eq!(count(&asked, RequestKind::Meter), 10);
    }

    #[test]
    fn field_problem_05_a_vin_with_any_check_digit_is_asked_once() {
        let mut queries = Queries::new();
        queries.want_vin();
        let asked = run(&mut queries, 600, |_| true);
        for third in [VinThird::First, VinThird::Second, VinThird::Last] {
            assert_eq!(count(&asked, RequestKind::Vin(third)), 1, "{third:?}");
        }
    }

    #[test]
    fn a_vin_that_nobody_answers_is_asked_five_times_a_minute_apart() {
        let mut queries = Queries::new();
        queries.want_vin();
        let asked = run(&mut queries, 3600, |kind| !matches!(kind, RequestKind::Vin(_)));
        assert_eq!(count(&asked, RequestKind::Vin(VinThird::First)), 5);
        assert_eq!(count(&asked, RequestKind::Vin(VinThird::Second)), 0);
    }

    #[test]
    fn parts_of_two_rounds_make_no_vin() {
        let mut queries = Queries::new();
        queries.want_vin();
        let part = |third, text: &[u8]| VinPart { unit: TwcId::from_u16(1), third, characters: Text::new(text) };
        queries.take_vin(&part(VinThird::First, b"LRW3F7E"));
        queries.take_vin(&part(VinThird::Second, b"K0NC000"));
        queries.unanswered(RequestKind::Vin(VinThird::Last));
        assert_eq!(queries.take_vin(&part(VinThird::Last, b"001")), VinNews::Pending);
        queries.take_vin(&part(VinThird::First, b"LRW3F7E"));
        queries.take_vin(&part(VinThird::Second, b"K0NC000"));
        let news = queries.take_vin(&part(VinThird::Last, b"001"));
        assert!(matches!(news, VinNews::Complete(vin) if vin.as_str() == Some("LRW3F7EK0NC000001")));
    }
}
