//! What is left of every limit, in whole numbers, so that no sum of roundings ever passes one.

use units::{Phase, Watts};

use crate::{Cap, CircuitKey, Circuits, Limit, PowerSource};

/// A thousandth of a watt, in nanowatts, added to limits in watts: forgives what binary fractions lose when a caller
/// works out a power from amps and volts.
const FORGIVEN: i64 = 1_000_000;

/// Which limit an entry stands for.
#[derive(Debug, Clone, Copy)]
enum Entry {
    Site(PowerSource),
    Phase(usize, Phase),
    Power(usize),
}

impl Entry {
    /// Whether it is reckoned in power; else in current.
    const fn is_power(self) -> bool {
        matches!(self, Entry::Site(_) | Entry::Power(_))
    }
}

/// Where a load is charged, and at what rate.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wiring {
    /// Index into the ledger's routes.
    route: usize,
    /// Power of one centiamp on all its phases, in nanowatts.
    pub(crate) nanowatts: i64,
}

impl Wiring {
    /// Which route it takes: loads on the same phases of the same circuit take the same.
    pub(crate) const fn route(self) -> usize {
        self.route
    }
}

/// Every limit, and which of them each load is charged to.
#[derive(Debug)]
pub(crate) struct Plan<'a> {
    circuits: &'a Circuits,
    entries: Vec<Entry>,
    /// What each allows: centiamps for a phase, nanowatts for a power.
    allowed: Vec<i64>,
    /// Entry of L1, L2, L3 and power for each circuit.
    of_circuit: Vec<[Option<usize>; 4]>,
    site: Option<usize>,
    /// For each circuit (0: none) and each set of phases: the entries that a load there is charged to.
    routes: Vec<Option<Vec<usize>>>,
}

/// What is left of every limit of a plan.
#[derive(Debug, Clone)]
pub(crate) struct Ledger<'p> {
    plan: &'p Plan<'p>,
    left: Vec<i64>,
}

impl<'a> Plan<'a> {
    pub(crate) fn new(power: Option<Cap>, circuits: &'a Circuits) -> Self {
        let mut entries = Vec::new();
        let mut allowed = Vec::new();
        let mut add = |entry, amount: i64| {
            entries.push(entry);
            allowed.push(amount);
            entries.len() - 1
        };
        let site = power.map(|cap| add(Entry::Site(cap.source), nanowatts(cap.amount)));
        let mut of_circuit = Vec::with_capacity(circuits.as_slice().len());
        for (index, circuit) in circuits.as_slice().iter().enumerate() {
            let phase = |phase: Phase| {
                circuit.limit.amps[phase].map(|amps| (Entry::Phase(index, phase), i64::from(amps.centiamps().max(0))))
            };
            let power = circuit.limit.power.map(|power| (Entry::Power(index), nanowatts(power)));
            of_circuit.push(
                [phase(Phase::L1), phase(Phase::L2), phase(Phase::L3), power]
                    .map(|found| found.map(|(entry, amount)| add(entry, amount))),
            );
        }
        let routes = vec![None; (of_circuit.len() + 1) * 8];
        Plan { circuits, entries, allowed, of_circuit, site, routes }
    }

    /// Where a load on these phases of `circuit` is charged. A circuit that is not known counts as none.
    pub(crate) fn wire(&mut self, circuit: Option<CircuitKey>, uses: [bool; 3], nanowatts: i64) -> Wiring {
        let path = circuit.and_then(|key| self.circuits.path(key));
        let slot = match (circuit, path) {
            (Some(key), Some(_)) => key.index() + 1,
            _ => 0,
        };
        let mask = uses.iter().enumerate().fold(0, |mask, (bit, used)| mask | usize::from(*used) << bit);
        let route = slot * 8 + mask;
        if self.routes[route].is_none() {
            let mut entries = Vec::new();
            for &index in path.unwrap_or_default() {
                let [l1, l2, l3, power] = self.of_circuit[index];
                for (entry, used) in [l1, l2, l3].into_iter().zip(uses) {
                    entries.extend(entry.filter(|_| used));
                }
                entries.extend(power);
            }
            entries.extend(self.site);
            self.routes[route] = Some(entries);
        }
        Wiring { route, nanowatts }
    }

    /// Whether an entry is reckoned in power; else in current.
    pub(crate) fn is_power(&self, entry: usize) -> bool {
        self.entries[entry].is_power()
    }

    /// The entries that a load is charged to, its own circuit's first.
    pub(crate) fn route(&self, wiring: Wiring) -> &[usize] {
        self.entries_of(wiring.route)
    }

    /// How many routes there may be.
    pub(crate) const fn routes(&self) -> usize {
        self.routes.len()
    }

    /// The entries on a route.
    pub(crate) fn entries_of(&self, route: usize) -> &[usize] {
        self.routes[route].as_deref().unwrap_or_default()
    }

    /// What one centiamp of a load costs in `entry`'s unit.
    pub(crate) fn rate(&self, entry: usize, wiring: Wiring) -> i64 {
        if self.is_power(entry) { wiring.nanowatts } else { 1 }
    }

    /// The name of an entry.
    pub(crate) fn name(&self, entry: usize) -> Limit {
        let circuit =
            |index: usize, phase| Limit::Circuit { circuit: self.circuits.as_slice()[index].id.clone(), phase };
        match self.entries[entry] {
            Entry::Site(source) => Limit::Site(source),
            Entry::Phase(index, phase) => circuit(index, Some(phase)),
            Entry::Power(index) => circuit(index, None),
        }
    }
}

impl<'p> Ledger<'p> {
    /// Nothing charged yet.
    pub(crate) fn new(plan: &'p Plan<'p>) -> Self {
        Ledger { plan, left: plan.allowed.clone() }
    }

    /// The limits behind it.
    pub(crate) const fn plan(&self) -> &'p Plan<'p> {
        self.plan
    }

    /// What is left of every entry, in its unit; negative when more is held than it allows.
    pub(crate) fn left(&self) -> &[i64] {
        &self.left
    }

    /// Whether so many centiamps more fit everywhere; else the first entry where they do not.
    pub(crate) fn fits(&self, wiring: Wiring, centiamps: i64) -> Result<(), usize> {
        if centiamps <= 0 {
            return Ok(());
        }
        for &entry in self.plan.route(wiring) {
            if centiamps.saturating_mul(self.plan.rate(entry, wiring)) > self.left[entry] {
                return Err(entry);
            }
        }
        Ok(())
    }

    /// How many centiamps more fit everywhere.
    pub(crate) fn room(&self, wiring: Wiring) -> i64 {
        self.plan
            .route(wiring)
            .iter()
            .map(|&entry| self.left[entry] / self.plan.rate(entry, wiring).max(1))
            .min()
            .unwrap_or(i64::MAX)
            .max(0)
    }

    /// Takes so many centiamps from every entry of the load's route, whether or not they are there.
    pub(crate) fn charge(&mut self, wiring: Wiring, centiamps: i64) {
        if centiamps <= 0 {
            return;
        }
        for &entry in self.plan.route(wiring) {
            let cost = centiamps.saturating_mul(self.plan.rate(entry, wiring));
            self.left[entry] = self.left[entry].saturating_sub(cost);
        }
    }
}

/// A limit in nanowatts; nothing for a negative one.
#[allow(clippy::cast_possible_truncation)] // A power is at most 1e9 W, and `as` saturates.
fn nanowatts(power: Watts) -> i64 {
    if power <= Watts::ZERO {
        return 0;
    }
    (power.get() * 1e9) as i64 + FORGIVEN
}

#[cfg(test)]
mod tests {
    use units::{Amps, PerPhase};

    use super::*;
    use crate::{Circuit, CircuitId, CircuitLimit};

    #[test]
    fn a_load_is_charged_to_its_circuit_its_feeder_and_the_site() {
        let circuit = |name: &str, limit, parent: Option<&str>| Circuit {
            id: CircuitId::new(name),
            limit,
            parent: parent.map(CircuitId::new),
        };
        let l2_only = CircuitLimit { amps: PerPhase::new(None, Some(Amps::from_whole(20)), None), power: None };
        let circuits = Circuits::new(vec![
            circuit("main", CircuitLimit::power(Watts::saturating(5_000.0)), None),
            circuit("garage", l2_only, Some("main")),
        ])
        .unwrap();
        let cap = Cap { amount: Watts::saturating(4_000.0), source: PowerSource::Surplus };
        let mut plan = Plan::new(Some(cap), &circuits);
        let garage = circuits.key(&CircuitId::new("garage"));
        // 230 V on one phase: 2.3 W for each centiamp.
        let on_l2 = plan.wire(garage, [false, true, false], 2_300_000_000);
        let on_l1 = plan.wire(garage, [true, false, false], 2_300_000_000);
        assert_eq!(plan.route(on_l2).len(), 3);
        assert_eq!(plan.route(on_l1).len(), 2);
        let mut ledger = Ledger::new(&plan);
        ledger.charge(on_l2, 1_000);
        let short = ledger.fits(on_l2, 1_001).unwrap_err();
        assert_eq!(plan.name(short).to_string(), "circuit \"garage\" on L2");
        let short = ledger.fits(on_l1, 1_001).unwrap_err();
        assert_eq!(plan.name(short).to_string(), "the surplus");
        assert_eq!(ledger.room(on_l1), 739);
    }
}
