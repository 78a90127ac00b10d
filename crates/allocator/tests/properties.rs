//! What must hold for every site, every charging point and every moment.

#![allow(clippy::unwrap_used)] // Helpers of tests are tests too.

use std::time::{Duration, Instant};

use allocator::{
    Allocation, Binding, Cap, Circuit, CircuitId, CircuitLimit, Circuits, Demand, EvseRequest, PhaseMap, PowerSource,
    Request, Rotation, Timing, Unserved, allocate,
};
use evse::{EvseId, EvseLimits};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use units::{Amps, PerPhase, Phase, Phases, Volts, Watts};

const CA: Amps = Amps::from_centiamps(1);

/// A site that owns what a request borrows.
#[derive(Debug, Clone)]
struct Site {
    circuits: Circuits,
    evses: Vec<EvseRequest>,
    power: Option<Watts>,
}

impl Site {
    fn decide(&self, rotation: &Rotation, now: Instant) -> Allocation {
        let request = Request {
            power: self.power.map(|amount| Cap { amount, source: PowerSource::Surplus }),
            circuits: &self.circuits,
            evses: &self.evses,
            timing: Timing::default(),
        };
        allocate(&request, rotation, now)
    }

    fn decide_fresh(&self) -> Allocation {
        self.decide(&Rotation::default(), Instant::now())
    }

    /// Whether the circuits above `evse` include the one at `index`.
    fn is_under(&self, evse: &EvseRequest, index: usize) -> bool {
        let mut at = evse.circuit;
        while let Some(key) = at {
            let circuit = self.circuits.get(key).unwrap();
            if self.circuits.iter().nth(index).unwrap().0 == key {
                return true;
            }
            at = circuit.parent.as_ref().and_then(|id| self.circuits.key(id));
        }
        false
    }

    /// Use and allowance of every limit, when each charging point has so many amps: a name, use, limit, whether `i`
    /// uses it.
    fn books(&self, amps: &[Amps]) -> Vec<Line> {
        let mut lines = Vec::new();
        for (index, (_, circuit)) in self.circuits.iter().enumerate() {
            for phase in Phase::ALL {
                let Some(limit) = circuit.limit.amps[phase] else {
                    continue;
                };
                let uses: Vec<bool> = self
                    .evses
                    .iter()
                    .map(|e| self.is_under(e, index) && e.phase_map.uses(e.limits.phases, phase))
                    .collect();
                let used = amps.iter().zip(&uses).filter(|(_, u)| **u).map(|(a, _)| a.get());
                lines.push(Line::new(used.sum(), limit.get(), uses, false));
            }
            if let Some(limit) = circuit.limit.power {
                let uses = self.evses.iter().map(|e| self.is_under(e, index)).collect();
                lines.push(self.power_line(amps, limit, uses));
            }
        }
        if let Some(limit) = self.power {
            lines.push(self.power_line(amps, limit, vec![true; amps.len()]));
        }
        lines
    }

    fn power_line(&self, amps: &[Amps], limit: Watts, uses: Vec<bool>) -> Line {
        let used = self.evses.iter().zip(amps).zip(&uses).filter(|(_, u)| **u);
        let used = used.map(|((e, a), _)| e.limits.power(*a).get()).sum();
        Line::new(used, limit.get().max(0.0), uses, true)
    }

    /// Whether the charging point at `i` could have `more` on each phase besides what all have.
    fn fits(&self, amps: &[Amps], i: usize, more: Amps) -> bool {
        let mut with = amps.to_vec();
        with[i] += more;
        self.books(&with).iter().all(|line| !line.uses[i] || line.used <= line.limit - 1e-6)
    }

    fn amps_of(&self, i: usize, power: Watts) -> Amps {
        let limits = &self.evses[i].limits;
        power.amps_floor(limits.volts, limits.phases)
    }

    fn ideal(&self, decision: &Allocation) -> Vec<Amps> {
        let shares = decision.shares.iter().enumerate();
        shares.map(|(i, share)| self.amps_of(i, share.ideal)).collect()
    }

    fn permitted(&self, decision: &Allocation) -> Vec<Amps> {
        let shares = decision.shares.iter().enumerate();
        shares.map(|(i, share)| self.amps_of(i, share.permitted)).collect()
    }

    /// What is counted for those who get nothing whatever there is, while the ideal is worked out.
    fn refused(&self, decision: &Allocation) -> Vec<Amps> {
        let open = |b: &Binding| match b {
            Binding::Unserved(_) => false,
            Binding::MinimumNotReached(limit) => {
                matches!(limit.code(), "circuit" | "surplus")
            }
            _ => true,
        };
        let both = self.evses.iter().zip(&decision.shares);
        both.map(|(e, s)| if open(&s.bound_by) { Amps::ZERO } else { e.held.at_least_zero() }).collect()
    }

    /// What is counted before a decision: what is held or was last told.
    fn counted(&self) -> Vec<Amps> {
        let round_up = |i: usize, e: &EvseRequest| {
            let floor = self.amps_of(i, e.target);
            let short = e.limits.power(floor).get() < e.target.get() - 1e-3;
            if short { floor + CA } else { floor }
        };
        let evses = self.evses.iter().enumerate();
        evses.map(|(i, e)| e.held.at_least_zero().max(round_up(i, e))).collect()
    }

    /// The most that the charging point itself and its car take.
    fn most(&self, i: usize) -> Amps {
        let evse = &self.evses[i];
        let car = evse.can_take.map_or(Amps::from_whole(1_000), |w| self.amps_of(i, w));
        let degraded = if evse.may_rise { Amps::from_whole(1_000) } else { self.counted()[i] };
        evse.limits.max.min(car).min(degraded)
    }
}

/// One limit in the books.
#[derive(Debug)]
struct Line {
    used: f64,
    limit: f64,
    uses: Vec<bool>,
    is_power: bool,
}

impl Line {
    fn new(used: f64, limit: f64, uses: Vec<bool>, is_power: bool) -> Self {
        Line { used, limit, uses, is_power }
    }

    fn holds(&self, before: f64) -> bool {
        // Watts are allowed the thousandth that limits are stretched by, and what adding up loses.
        let slack = if self.is_power { 2e-3 } else { 1e-6 };
        self.used <= self.limit.max(before) + slack
    }
}

fn sum(a: &[Amps], b: &[Amps]) -> Vec<Amps> {
    a.iter().zip(b).map(|(a, b)| *a + *b).collect()
}

fn larger(a: &[Amps], b: &[Amps]) -> Vec<Amps> {
    a.iter().zip(b).map(|(a, b)| *a.max(b)).collect()
}

fn total(decision: &Allocation) -> f64 {
    decision.shares.iter().map(|share| share.ideal.get()).sum()
}

fn volts() -> impl Strategy<Value = Volts> {
    prop_oneof![Just(230.0), Just(240.0), Just(120.0), 215.0..245.0_f64].prop_map(Volts::saturating)
}

fn phase_map() -> impl Strategy<Value = PhaseMap> {
    prop_oneof![
        Just(PhaseMap::IN_ORDER),
        Just(PhaseMap::UNKNOWN),
        (0..3_usize).prop_map(|i| PhaseMap::single(Phase::ALL[i])),
    ]
}

fn demand() -> impl Strategy<Value = Demand> {
    prop_oneof![
        6 => Just(Demand::Wants),
        1 => Just(Demand::MightWant),
        1 => Just(Demand::None(Unserved::NotPluggedIn)),
        1 => Just(Demand::None(Unserved::Lost)),
    ]
}

fn evse(fine: bool) -> impl Strategy<Value = EvseRequest> {
    let held = prop_oneof![3 => Just(0), 2 => 600..3_200_i32];
    let step = if fine { 1..2_i32 } else { 0..2_i32 };
    let electric = (volts(), 1..4_u8, 1..9_i32, 0..33_i32, phase_map());
    let social = (demand(), 0..3_i32, proptest::bool::weighted(0.9), step);
    let power = (held, 0.0..12_000.0_f64, proptest::option::weighted(0.3, 0.0..15_000.0_f64));
    (electric, social, power).prop_map(
        |((volts, phases, min, above, phase_map), (demand, priority, may_rise, step), (held, target, can_take))| {
            EvseRequest {
                id: EvseId::new("x"),
                circuit: None,
                limits: EvseLimits {
                    min: Amps::from_whole(min),
                    max: Amps::from_whole(min + above),
                    volts,
                    phases: Phases::from_count(phases).unwrap(),
                },
                demand,
                priority,
                held: Amps::from_centiamps(held),
                target: if target < 6_000.0 { Watts::ZERO } else { Watts::saturating(target - 6_000.0) },
                can_take: can_take.map(Watts::saturating),
                may_rise,
                step: if step == 0 { Amps::from_whole(1) } else { CA },
                phase_map,
            }
        },
    )
}

fn limit() -> impl Strategy<Value = CircuitLimit> {
    let amps = || proptest::option::weighted(0.8, (0..7_000_i32).prop_map(Amps::from_centiamps));
    let power = proptest::option::weighted(0.3, (0.0..40_000.0_f64).prop_map(Watts::saturating));
    (amps(), amps(), amps(), power)
        .prop_map(|(l1, l2, l3, power)| CircuitLimit { amps: PerPhase::new(l1, l2, l3), power })
}

fn any_site(fine: bool) -> impl Strategy<Value = Site> {
    let circuits = proptest::collection::vec((limit(), any::<proptest::sample::Index>()), 1..6);
    let evses = proptest::collection::vec((evse(fine), any::<proptest::sample::Index>()), 0..10);
    let power = proptest::option::weighted(0.7, (-1_000.0..60_000.0_f64).prop_map(Watts::saturating));
    (circuits, evses, power).prop_map(|(circuits, evses, power)| {
        let count = circuits.len();
        let name = |i: usize| CircuitId::new(&format!("c{i}"));
        let circuits = circuits.into_iter().enumerate().map(|(i, (limit, parent))| Circuit {
            id: name(i),
            limit,
            parent: (i > 0).then(|| name(parent.index(i))),
        });
        let circuits = Circuits::new(circuits.collect()).unwrap();
        let evses = evses.into_iter().enumerate().map(|(i, (evse, circuit))| EvseRequest {
            id: EvseId::new(format!("e{i}")),
            circuit: circuits.key(&name(circuit.index(count))),
            ..evse
        });
        let evses = evses.collect();
        Site { circuits, evses, power }
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, rng_seed: RngSeed::Fixed(1), ..ProptestConfig::default() })]

    #[test]
    fn no_limit_is_ever_passed(site in any_site(false)) {
        let decision = site.decide_fresh();
        let (ideal, permitted) = (site.ideal(&decision), site.permitted(&decision));
        let refused = site.refused(&decision);
        for (after, before) in site.books(&sum(&ideal, &refused)).iter().zip(site.books(&refused)) {
            prop_assert!(after.holds(before.used), "ideal: {after:?}");
        }
        let counted = site.counted();
        let after = site.books(&larger(&permitted, &counted));
        for (after, before) in after.iter().zip(site.books(&counted)) {
            prop_assert!(after.holds(before.used), "permitted: {after:?}");
        }
        for (i, share) in decision.shares.iter().enumerate() {
            prop_assert!(permitted[i] <= ideal[i]);
            prop_assert!(ideal[i] <= site.most(i));
            for amps in [ideal[i], permitted[i]] {
                prop_assert!(amps == Amps::ZERO || amps >= site.evses[i].limits.min, "{share:?}");
                prop_assert_eq!(amps.centiamps() % site.evses[i].step.centiamps(), 0);
            }
        }
    }

    #[test]
    fn nothing_is_wasted_while_someone_can_take_it(site in any_site(false)) {
        let decision = site.decide_fresh();
        let (ideal, permitted) = (site.ideal(&decision), site.permitted(&decision));
        let use_of_all = sum(&ideal, &site.refused(&decision));
        let held = larger(&permitted, &site.counted());
        for (i, evse) in site.evses.iter().enumerate() {
            if let Demand::None(_) = evse.demand {
                prop_assert_eq!(ideal[i], Amps::ZERO);
                continue;
            }
            let next = if ideal[i] == Amps::ZERO { evse.limits.min } else { evse.step };
            if evse.demand == Demand::Wants && ideal[i] + next <= site.most(i) {
                prop_assert!(!site.fits(&use_of_all, i, next), "{:?}", decision.shares[i]);
            }
            let next = if permitted[i] == Amps::ZERO { evse.limits.min } else { permitted[i] + evse.step };
            if next <= ideal[i] {
                prop_assert!(!site.fits(&held, i, next - held[i]), "{:?}", decision.shares[i]);
            }
            prop_assert_eq!(decision.shares[i].delayed_by.is_some(), permitted[i] < ideal[i]);
        }
    }

    #[test]
    fn the_order_of_the_list_does_not_matter(site in any_site(false), turn in 0..10_usize) {
        let mut turned = site.clone();
        let by = turn % turned.evses.len().max(1);
        turned.evses.rotate_left(by);
        turned.evses.reverse();
        let now = Instant::now();
        let mut first = site.decide(&Rotation::default(), now);
        let mut second = turned.decide(&Rotation::default(), now);
        first.shares.sort_by(|a, b| a.id.cmp(&b.id));
        second.shares.sort_by(|a, b| a.id.cmp(&b.id));
        prop_assert_eq!(first, second);
    }

    #[test]
    fn more_power_never_gives_less(site in any_site(true), less in 0.0..60_000.0_f64, more in 0.0..5_000.0_f64) {
        let with = |power: f64| Site { power: Some(Watts::saturating(power)), ..site.clone() };
        let (little, much) = (total(&with(less).decide_fresh()), total(&with(less + more).decide_fresh()));
        // Each may be rounded down by one step of a hundredth of an amp.
        let rounding: f64 = site.evses.iter().map(|e| e.limits.power(e.step).get()).sum();
        prop_assert!(much >= little - rounding, "{little} W became {much} W");
    }

    #[test]
    fn every_share_is_fair(site in any_site(true)) {
        let decision = site.decide_fresh();
        let ideal = site.ideal(&decision);
        let books = site.books(&sum(&ideal, &site.refused(&decision)));
        let step = |i: usize| site.evses[i].limits.power(CA).get();
        for (i, evse) in site.evses.iter().enumerate() {
            if evse.demand != Demand::Wants || ideal[i] == Amps::ZERO || ideal[i] + CA > site.most(i) {
                continue;
            }
            // Max-min fair: some limit that is used up has nobody on it with more, unless that is his minimum. What
            // rounding leaves over may go to whoever has the smallest step.
            let slack: f64 = (0..ideal.len()).map(step).sum();
            let mine = decision.shares[i].ideal.get();
            let fair = books.iter().filter(|line| line.uses[i]).any(|line| {
                let rest = if line.is_power { slack } else { 0.01 * ideal.len() as f64 };
                line.used >= line.limit - rest
                    && (0..ideal.len()).filter(|j| line.uses[*j]).all(|j| {
                        let least = site.evses[j].limits.min_power().get();
                        decision.shares[j].ideal.get() <= mine.max(least) + slack
                    })
            });
            prop_assert!(fair, "{:?} in {:?}", decision.shares[i], decision.shares);
        }
    }

    #[test]
    fn equals_get_equal_amounts(one in evse(false), count in 2..9_usize, power in 0.0..60_000.0_f64) {
        let site = Site {
            circuits: Circuits::default(),
            evses: (0..count)
                .map(|i| EvseRequest { id: EvseId::new(format!("e{i}")), circuit: None, ..one.clone() })
                .collect(),
            power: Some(Watts::saturating(power)),
        };
        let decision = site.decide_fresh();
        let served: Vec<Amps> = site.ideal(&decision).into_iter().filter(|a| *a > Amps::ZERO).collect();
        if let (Some(least), Some(most)) = (served.iter().min(), served.iter().max()) {
            prop_assert!(*most - *least <= one.step, "{served:?}");
        }
    }

    #[test]
    fn priority_decides_whose_minimum_fits(site in any_site(false)) {
        // One limit for all: whoever waits would not fit beside those who come before him.
        let site = Site { circuits: Circuits::default(), evses: site.evses.into_iter().map(|e| EvseRequest {
            circuit: None, held: Amps::ZERO, demand: Demand::Wants, may_rise: true, step: CA, ..e
        }).collect(), ..site };
        let decision = site.decide_fresh();
        for (i, share) in decision.shares.iter().enumerate() {
            if !matches!(share.bound_by, Binding::WaitingForTurn(_)) {
                continue;
            }
            let rank = |e: &EvseRequest| (std::cmp::Reverse(e.priority), e.id.clone());
            let before: f64 = site.evses.iter().zip(&decision.shares)
                .filter(|(e, s)| s.ideal > Watts::ZERO && rank(e) < rank(&site.evses[i]))
                .map(|(e, _)| e.limits.min_power().get())
                .sum();
            let needed = before + site.evses[i].limits.min_power().get();
            prop_assert!(needed > site.power.map_or(f64::INFINITY, Watts::get));
        }
    }

    /// The charging points obey late, each in its own time, and may be told anything in between.
    #[test]
    fn what_is_held_never_passes_a_limit_while_things_change(
        site in any_site(false),
        script in proptest::collection::vec((0..10_usize, any::<bool>(), 0..10_usize), 1..40),
    ) {
        let mut site = site;
        for evse in &mut site.evses {
            (evse.held, evse.target) = (Amps::ZERO, Watts::ZERO);
        }
        site.power = None;
        let (mut rotation, mut now) = (Rotation::default(), Instant::now());
        let round = |site: &mut Site, rotation: &mut Rotation, now: Instant| {
            let decision = site.decide(rotation, now);
            for (evse, share) in site.evses.iter_mut().zip(&decision.shares) {
                evse.target = share.permitted;
                // A rise is in force at once in the worst case, a fall only when it has been seen.
                let told = share.permitted.amps_floor(evse.limits.volts, evse.limits.phases);
                evse.held = evse.held.max(told);
            }
            *rotation = decision.rotation.clone();
            decision
        };
        for (who, wants, obeys) in script {
            now += Duration::from_secs(20);
            if let Some(evse) = site.evses.get_mut(who) {
                evse.demand = if wants { Demand::Wants } else { Demand::None(Unserved::Declined) };
            }
            if let Some(evse) = site.evses.get_mut(obeys) {
                evse.held = evse.target.amps_floor(evse.limits.volts, evse.limits.phases);
            }
            round(&mut site, &mut rotation, now);
            let held: Vec<Amps> = site.evses.iter().map(|e| e.held).collect();
            for line in site.books(&held) {
                prop_assert!(line.holds(0.0), "{line:?}");
            }
        }
        // Once all obey, all get what they should.
        let mut last = None;
        for _ in 0..4 {
            for evse in &mut site.evses {
                evse.held = evse.target.amps_floor(evse.limits.volts, evse.limits.phases);
                evse.may_rise = true;
            }
            last = Some(round(&mut site, &mut rotation, now));
        }
        for share in last.unwrap().shares {
            prop_assert_eq!(share.ideal, share.permitted);
        }
    }
}

/// Room for `places` of `count`: everybody charges within `count` turns, and nobody's turn is cut short.
#[test]
fn everybody_gets_a_turn() {
    for count in 2..8 {
        for places in 1..4 {
            turns(count, places, false);
            turns(count, places, true);
        }
    }
}

fn turns(count: usize, places: usize, staggered: bool) {
    let slot = Timing::default().slot;
    let limits = EvseLimits {
        min: Amps::from_whole(6),
        max: Amps::from_whole(16),
        volts: Volts::saturating(230.0),
        phases: Phases::One,
    };
    let mut site = Site {
        circuits: Circuits::default(),
        evses: (0..count)
            .map(|i| EvseRequest {
                id: EvseId::new(format!("e{i}")),
                circuit: None,
                limits,
                demand: if staggered { Demand::None(Unserved::NotPluggedIn) } else { Demand::Wants },
                priority: 0,
                held: Amps::ZERO,
                target: Watts::ZERO,
                can_take: None,
                may_rise: true,
                step: CA,
                phase_map: PhaseMap::IN_ORDER,
            })
            .collect(),
        power: Some(Watts::saturating(1_400.0 * places as f64)),
    };
    let start = Instant::now();
    let (mut rotation, mut now) = (Rotation::default(), start);
    let mut charged = vec![Duration::ZERO; count];
    let mut changed: Vec<Option<Instant>> = vec![None; count];
    let mut switches: Vec<Instant> = Vec::new();
    let tick = Duration::from_secs(20);
    let mut on = vec![false; count];
    while now < start + slot * u32::try_from(count + 2).unwrap() {
        let arrived = (now - start).as_secs() / 200;
        for evse in site.evses.iter_mut().take(usize::try_from(arrived).unwrap() + 1) {
            evse.demand = Demand::Wants;
        }
        let decision = site.decide(&rotation, now);
        let mut displaced = false;
        for (i, share) in decision.shares.iter().enumerate() {
            let is_on = share.ideal > Watts::ZERO;
            if is_on != on[i] {
                if !is_on {
                    assert!(now - changed[i].unwrap() >= slot, "a turn was cut short");
                    displaced = true;
                }
                changed[i] = Some(now);
                on[i] = is_on;
            }
            if is_on {
                charged[i] += tick;
            }
        }
        if displaced {
            assert!(switches.last().is_none_or(|at| now - *at >= slot));
            switches.push(now);
        }
        assert_eq!(
            on.iter().filter(|on| **on).count(),
            places.min(on.len()).min(if staggered { usize::try_from(arrived).unwrap() + 1 } else { count })
        );
        rotation = decision.rotation;
        now += tick;
    }
    for charged in charged {
        assert!(charged >= slot, "charged only {charged:?}");
    }
}
