//! How long one decision takes, and how it grows: `cargo bench -p allocator`.

use std::time::Instant;

use allocator::{
    Cap, Circuit, CircuitId, CircuitLimit, Circuits, Demand, EvseRequest, PhaseMap, PowerSource, Request, Rotation,
    Timing, allocate,
};
use evse::{EvseId, EvseLimits};
use units::{Amps, Phase, Phases, Volts, Watts};

fn main() {
    divan::main();
}

/// A main fuse, feeders of ten circuits each, and `n / 20` circuits with the charging points on them, of mixed kinds.
fn site(n: usize) -> (Circuits, Vec<EvseRequest>) {
    let leaves = (n / 20).max(1);
    let circuit = |name: String, amps: usize, parent: Option<String>| Circuit {
        id: CircuitId::new(&name),
        limit: CircuitLimit::per_phase(Amps::from_whole(i32::try_from(amps).unwrap_or(i32::MAX))),
        parent: parent.map(|parent| CircuitId::new(&parent)),
    };
    let mut all = vec![circuit("main".into(), 9 * n, None)];
    for feeder in 0..leaves.div_ceil(10) {
        all.push(circuit(format!("f{feeder}"), 2_000 + 37 * feeder, Some("main".into())));
    }
    for leaf in 0..leaves {
        all.push(circuit(format!("c{leaf}"), 120 + leaf % 130, Some(format!("f{}", leaf / 10))));
    }
    let circuits = Circuits::new(all).expect("the tree above has no ring");
    let volts = |n: usize| Volts::saturating(225.0 + (n * 7 % 100) as f64 / 10.0);
    let evses = (0..n)
        .map(|i| EvseRequest {
            id: EvseId::new(format!("gen2-{:04X}", i * 7919 % 65_536)),
            circuit: circuits.key(&CircuitId::new(&format!("c{}", i % leaves))),
            limits: EvseLimits {
                min: Amps::from_whole(6),
                max: Amps::from_whole([16, 32, 80][i % 3]),
                volts: volts(i),
                phases: if i % 4 == 0 { Phases::One } else { Phases::Three },
            },
            demand: Demand::Wants,
            priority: i32::from(i % 9 == 0),
            held: Amps::from_whole([0, 6, 13][i % 3]),
            target: Watts::ZERO,
            can_take: (i % 5 == 0).then_some(Watts::saturating(11_000.0)),
            may_rise: true,
            step: Amps::from_centiamps(if i % 2 == 0 { 100 } else { 1 }),
            phase_map: PhaseMap::single(Phase::ALL[i % 3]),
        })
        .collect();
    (circuits, evses)
}

fn request<'a>(circuits: &'a Circuits, evses: &'a [EvseRequest]) -> Request<'a> {
    let cap = Cap { amount: Watts::saturating(5_000.0 * evses.len() as f64), source: PowerSource::Surplus };
    Request { power: Some(cap), circuits, evses, timing: Timing::default() }
}

/// The dear case: nobody has what he should have, and everybody holds something.
#[divan::bench(args = [10, 100, 1_000, 10_000])]
fn all_change(bencher: divan::Bencher, n: usize) {
    let (circuits, evses) = site(n);
    let now = Instant::now();
    let rotation = allocate(&request(&circuits, &evses), &Rotation::default(), now).rotation;
    bencher.bench(|| allocate(divan::black_box(&request(&circuits, &evses)), &rotation, now));
}

/// The usual case: all have what they should have.
#[divan::bench(args = [10, 100, 1_000, 10_000])]
fn steady(bencher: divan::Bencher, n: usize) {
    let (circuits, mut evses) = site(n);
    let now = Instant::now();
    let decision = allocate(&request(&circuits, &evses), &Rotation::default(), now);
    for (evse, share) in evses.iter_mut().zip(&decision.shares) {
        evse.target = share.ideal;
        evse.held = share.ideal.amps_floor(evse.limits.volts, evse.limits.phases);
    }
    bencher.bench(|| allocate(divan::black_box(&request(&circuits, &evses)), &decision.rotation, now));
}
