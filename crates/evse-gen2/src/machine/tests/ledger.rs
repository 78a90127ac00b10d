//! The ledger and the plan against a model of connectors that lose, delay and obey as they like.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use gen2_protocol::{ProtocolVersion, TwcId};
use proptest::prelude::*;
use units::Amps;

use crate::machine::ledger::{Ledger, RESERVE_AFTER_SILENCE, Report, V2_FLOOR, with_tolerance};
use crate::machine::offer::{Wish, plan};

/// What a real connector does, whether or not we know of it.
#[derive(Debug, Clone)]
struct Real {
    id: TwcId,
    version: ProtocolVersion,
    limit: Amps,
    drawn: Amps,
    heard_at: Option<Instant>,
    /// When the draw follows a lower limit.
    follows_at: Option<Instant>,
    /// Answers that are still on their way.
    under_way: VecDeque<(Instant, Report)>,
    desired: Amps,
    linked: bool,
}

impl Real {
    fn new(index: usize) -> Self {
        let version = if index.is_multiple_of(3) { ProtocolVersion::V1 } else { ProtocolVersion::V2 };
        Real {
            id: TwcId::from_u16(0x1000 + u16::try_from(index).unwrap()),
            version,
            limit: Amps::ZERO,
            drawn: Amps::ZERO,
            heard_at: None,
            follows_at: None,
            under_way: VecDeque::new(),
            desired: Amps::ZERO,
            linked: false,
        }
    }

    fn hears(&mut self, limit: Option<Amps>, lag: Duration, now: Instant) {
        self.heard_at = Some(now);
        if let Some(limit) = limit {
            let falls_back = self.version == ProtocolVersion::V2 && self.drawn > Amps::ZERO && limit < V2_FLOOR;
            self.limit = if falls_back { V2_FLOOR } else { limit };
            if self.drawn > self.limit {
                self.follows_at = Some(self.follows_at.unwrap_or(now + lag));
            }
        }
    }

    fn time_passes(&mut self, wants: bool, now: Instant) {
        if self.follows_at.is_some_and(|at| now >= at) {
            self.drawn = self.drawn.min(self.limit);
            self.follows_at = None;
        }
        // The worst for the wiring: whatever is allowed is drawn.
        if wants && self.limit > self.drawn {
            self.drawn = self.limit;
        }
        if self.heard_at.is_some_and(|at| now.saturating_duration_since(at) >= Duration::from_secs(30)) {
            self.limit = Amps::ZERO;
            self.drawn = Amps::ZERO;
            self.linked = false;
        }
    }
}

/// One thing that happens.
#[derive(Debug, Clone)]
enum Happening {
    Desire {
        who: usize,
        amps: i32,
    },
    /// A heartbeat goes out; it may not arrive, its answer may be lost or late.
    Heartbeat {
        who: usize,
        arrives: bool,
        answered: bool,
        late: bool,
        lag: u64,
    },
    LateAnswers {
        who: usize,
    },
    Relink {
        who: usize,
        restarted: bool,
    },
    Time {
        millis: u64,
        wants: bool,
    },
}

fn happening() -> impl Strategy<Value = Happening> {
    let who = 0usize..4;
    prop_oneof![
        2 => (who.clone(), 0i32..33).prop_map(|(who, amps)| Happening::Desire { who, amps }),
        8 => (who.clone(), prop::bool::weighted(0.9), prop::bool::weighted(0.85), prop::bool::weighted(0.15), 0u64..9_000)
            .prop_map(|(who, arrives, answered, late, lag)| Happening::Heartbeat { who, arrives, answered, late, lag }),
        1 => who.clone().prop_map(|who| Happening::LateAnswers { who }),
        1 => (who, any::<bool>()).prop_map(|(who, restarted)| Happening::Relink { who, restarted }),
        4 => (prop_oneof![9 => 1u64..3_000, 1 => 3_000u64..60_000], any::<bool>())
            .prop_map(|(millis, wants)| Happening::Time { millis, wants }),
    ]
}

struct Model {
    ledger: Ledger,
    reals: Vec<Real>,
    now: Instant,
}

impl Model {
    fn new(limit: i32) -> Self {
        Model {
            ledger: Ledger::new(Amps::from_whole(limit)),
            reals: (0..4).map(Real::new).collect(),
            now: Instant::now(),
        }
    }

    fn wishes(&self) -> Vec<Wish> {
        self.reals
            .iter()
            .filter(|real| real.linked)
            .map(|real| Wish {
                id: real.id,
                desired: real.desired,
                least: V2_FLOOR,
                steerable: true,
                may_rise: true,
                charging: real.drawn > Amps::ZERO,
            })
            .collect()
    }

    fn apply(&mut self, happening: &Happening) {
        let now = self.now;
        match *happening {
            Happening::Desire { who, amps } => {
                self.reals[who].desired = if amps < 6 { Amps::ZERO } else { Amps::from_whole(amps) };
            }
            Happening::Heartbeat { who, arrives, answered, late, lag } => {
                if !self.reals[who].linked {
                    return;
                }
                let id = self.reals[who].id;
                let shares = plan(&self.ledger, &self.wishes(), now);
                let Some(share) = shares.iter().find(|share| share.id == id) else { return };
                self.ledger.tell(id, Some(share.now), now);
                let real = &mut self.reals[who];
                if !arrives {
                    return;
                }
                real.hears(Some(share.now), Duration::from_millis(lag), now);
                let report = Report { limit: real.limit, drawn: real.drawn, faulted: false };
                if answered && late {
                    real.under_way.push_back((now, report));
                } else if answered {
                    while let Some((_, earlier)) = real.under_way.pop_front() {
                        self.ledger.report(id, earlier, true, now);
                    }
                    self.ledger.report(id, report, true, now);
                }
            }
            Happening::LateAnswers { who } => {
                let real = &mut self.reals[who];
                while let Some((_, report)) = real.under_way.pop_front() {
                    self.ledger.report(real.id, report, true, now);
                }
            }
            Happening::Relink { who, restarted } => {
                let real = &mut self.reals[who];
                real.under_way.clear();
                if restarted {
                    real.limit = Amps::ZERO;
                    real.drawn = Amps::ZERO;
                    real.follows_at = None;
                }
                real.linked = true;
                self.ledger.link_up(real.id, real.version, now);
            }
            Happening::Time { millis, wants } => {
                // Late answers do not wait for ever, and cars are not slower than ten seconds.
                let end = now + Duration::from_millis(millis);
                while self.now < end {
                    self.now = end.min(self.now + Duration::from_millis(500));
                    for real in &mut self.reals {
                        real.time_passes(wants, self.now);
                        let (now, horizon) = (self.now, Duration::from_secs(15));
                        real.under_way.retain(|(at, _)| now.saturating_duration_since(*at) < horizon);
                    }
                }
            }
        }
    }

    fn allowed(&self) -> Amps {
        self.reals.iter().map(|real| real.limit).sum()
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_committed_covers_what_can_flow_and_stays_within_the_limit(
        limit in 10i32..80,
        happenings in prop::collection::vec(happening(), 1..160),
    ) {
        let mut model = Model::new(limit);
        for (index, happening) in happenings.iter().enumerate() {
            model.apply(happening);
            for real in &model.reals {
                let committed = model.ledger.committed(real.id, model.now);
                // The scatter of readings is all that may go uncounted.
                prop_assert!(
                    real.drawn <= with_tolerance(committed) && real.limit <= committed,
                    "{real:?} against {committed} after {happening:?} ({index})"
                );
            }
            let limit = Amps::from_whole(limit);
            prop_assert!(model.allowed() <= limit, "{} of {limit} after {happening:?} ({index})", model.allowed());
            prop_assert!(model.ledger.sum(model.now) <= limit, "committed {} of {limit}", model.ledger.sum(model.now));
        }
    }

    #[test]
    fn shares_are_whole_sufficient_and_fit(
        limit in 0i32..100,
        desired in prop::collection::vec(0i32..40, 1..7),
    ) {
        let now = Instant::now();
        let mut ledger = Ledger::new(Amps::from_whole(limit));
        let wishes: Vec<Wish> = desired
            .iter()
            .enumerate()
            .map(|(index, amps)| {
                let id = TwcId::from_u16(u16::try_from(index).unwrap() + 1);
                ledger.link_up(id, ProtocolVersion::V2, now);
                let desired = if *amps < 6 { Amps::ZERO } else { Amps::from_whole(*amps) };
                Wish { id, desired, least: V2_FLOOR, steerable: true, may_rise: true, charging: index % 2 == 0 }
            })
            .collect();
        let shares = plan(&ledger, &wishes, now);
        let sum: Amps = shares.iter().map(|share| share.share).sum();
        prop_assert!(sum <= Amps::from_whole(limit));
        for (share, wish) in shares.iter().zip(&wishes) {
            prop_assert!(share.share <= wish.desired);
            prop_assert!(share.share == Amps::ZERO || share.share >= wish.least);
            prop_assert_eq!(share.share, share.share.whole_amps_floor());
        }
        let wanted: Amps = wishes.iter().map(|wish| wish.desired).sum();
        if wanted <= Amps::from_whole(limit) {
            prop_assert_eq!(sum, wanted);
        }
    }
}

struct Bench {
    ledger: Ledger,
    start: Instant,
}

const A: TwcId = TwcId([0, 1]);
const B: TwcId = TwcId([0, 2]);

impl Bench {
    fn new(limit: i32) -> Self {
        let start = Instant::now();
        let mut ledger = Ledger::new(Amps::from_whole(limit));
        ledger.link_up(A, ProtocolVersion::V2, start);
        ledger.link_up(B, ProtocolVersion::V1, start);
        Bench { ledger, start }
    }

    fn at(&self, seconds: u64) -> Instant {
        self.start + Duration::from_secs(seconds)
    }

    fn tell(&mut self, id: TwcId, amps: i32, second: u64) {
        self.ledger.tell(id, Some(Amps::from_whole(amps)), self.at(second));
    }

    fn report(&mut self, id: TwcId, limit: i32, drawn: i32, second: u64) {
        let report = Report { limit: Amps::from_whole(limit), drawn: Amps::from_whole(drawn), faulted: false };
        self.ledger.report(id, report, true, self.at(second));
    }

    fn committed(&self, id: TwcId, second: u64) -> i32 {
        self.ledger.committed(id, self.at(second)).centiamps() / 100
    }
}

#[test]
fn what_was_told_counts_until_echoed_and_followed() {
    let mut bench = Bench::new(32);
    bench.tell(A, 16, 0);
    assert_eq!(bench.committed(A, 0), 16, "before it draws anything");
    bench.report(A, 16, 15, 0);
    bench.tell(A, 8, 1);
    assert_eq!(bench.committed(A, 1), 16);
    bench.report(A, 16, 15, 1);
    assert_eq!(bench.committed(A, 1), 16, "not echoed");
    bench.tell(A, 8, 2);
    bench.report(A, 8, 15, 2);
    assert_eq!(bench.committed(A, 2), 16, "echoed, not followed");
    bench.tell(A, 8, 3);
    bench.report(A, 8, 8, 3);
    assert_eq!(bench.committed(A, 3), 8);
}

#[test]
fn an_answer_to_an_earlier_heartbeat_proves_nothing() {
    let mut bench = Bench::new(32);
    bench.tell(A, 6, 0);
    bench.report(A, 6, 0, 0);
    bench.tell(A, 16, 1);
    bench.tell(A, 10, 2);
    bench.report(A, 6, 0, 2);
    assert_eq!(bench.committed(A, 2), 16, "this may answer the heartbeat before 16 A were heard");
    bench.report(A, 10, 0, 2);
    assert_eq!(bench.committed(A, 2), 10);
}

#[test]
fn a_second_version_that_draws_counts_six_amps_whatever_it_was_told() {
    let mut bench = Bench::new(32);
    bench.tell(A, 16, 0);
    bench.report(A, 16, 15, 0);
    bench.tell(A, 0, 1);
    bench.report(A, 6, 6, 1);
    assert_eq!(bench.committed(A, 1), 6);
    bench.tell(B, 16, 0);
    bench.report(B, 16, 15, 0);
    bench.tell(B, 0, 1);
    bench.report(B, 0, 0, 1);
    assert_eq!(bench.committed(B, 1), 0, "version 1 stops");
}

#[test]
fn a_silent_connector_keeps_its_amps_for_forty_seconds_after_our_last_word() {
    let mut bench = Bench::new(32);
    bench.tell(A, 16, 0);
    bench.report(A, 16, 15, 0);
    bench.ledger.tell(A, None, bench.at(10));
    let reserve = RESERVE_AFTER_SILENCE.as_secs();
    assert_eq!(bench.committed(A, 10 + reserve - 1), 16);
    assert_eq!(bench.committed(A, 10 + reserve), 0);
}

#[test]
fn field_problem_23_a_found_connector_counts_what_it_reports_until_it_echoes_us() {
    let mut bench = Bench::new(32);
    bench.report(A, 25, 24, 0);
    assert_eq!(bench.committed(A, 0), 25);
    assert_eq!(bench.ledger.room_for(B, bench.at(0)), Amps::from_whole(7));
    bench.tell(A, 10, 1);
    bench.report(A, 25, 24, 1);
    assert_eq!(bench.committed(A, 1), 25);
    bench.tell(A, 10, 2);
    bench.report(A, 10, 10, 2);
    assert_eq!(bench.committed(A, 2), 10);
}

#[test]
fn what_is_drawn_beyond_the_limit_counts() {
    let mut bench = Bench::new(32);
    bench.tell(A, 10, 0);
    bench.report(A, 10, 11, 0);
    assert_eq!(bench.committed(A, 0), 10, "scatter");
    bench.report(A, 10, 20, 1);
    assert_eq!(bench.committed(A, 1), 20);
}

#[test]
fn a_second_version_told_to_stop_before_it_drew_may_yet_fall_to_six_amps() {
    let mut bench = Bench::new(32);
    bench.tell(A, 16, 0);
    bench.report(A, 16, 0, 0);
    bench.tell(A, 0, 1);
    bench.report(A, 0, 0, 1);
    assert_eq!(bench.committed(A, 2), 6, "its car may have started at that very moment");
    bench.report(A, 0, 0, 20);
    assert_eq!(bench.committed(A, 20), 0);
}
