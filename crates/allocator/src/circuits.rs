//! Fuses and feeders, and which of them feeds which.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use units::{Amps, PerPhase, Watts};

/// The name of one circuit, as the configuration gives it; people read it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CircuitId(Arc<str>);

impl CircuitId {
    /// A name from its text.
    #[must_use]
    pub fn new(name: &str) -> Self {
        CircuitId(Arc::from(name))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for CircuitId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What one circuit may carry. Both limits hold where both are given; an absent one does not limit.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct CircuitLimit {
    /// Most current on each phase.
    pub amps: PerPhase<Option<Amps>>,
    /// Most power in total.
    pub power: Option<Watts>,
}

impl CircuitLimit {
    /// The same current on each of the three phases, as a fuse gives it.
    #[must_use]
    pub fn per_phase(amps: Amps) -> Self {
        CircuitLimit { amps: PerPhase::splat(Some(amps)), power: None }
    }

    /// So much power in total.
    #[must_use]
    pub fn power(power: Watts) -> Self {
        CircuitLimit { amps: PerPhase::unknown(), power: Some(power) }
    }
}

/// One fuse or feeder.
#[derive(Debug, Clone, PartialEq)]
pub struct Circuit {
    /// Its name.
    pub id: CircuitId,
    /// What it may carry.
    pub limit: CircuitLimit,
    /// The circuit that feeds it; `None` for one that hangs on the supply itself.
    pub parent: Option<CircuitId>,
}

/// Points at one circuit of a [`Circuits`]; look it up once with [`Circuits::key`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CircuitKey(usize);

impl CircuitKey {
    pub(crate) const fn index(self) -> usize {
        self.0
    }
}

/// A set of circuits proven to be a forest: every parent is known and nobody feeds himself.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Circuits {
    circuits: Vec<Circuit>,
    keys: BTreeMap<CircuitId, CircuitKey>,
    /// For each circuit: itself, its parent, and so on up to the supply.
    paths: Vec<Vec<usize>>,
}

/// Why circuits are not a tree.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CircuitsError {
    /// Two circuits have one name.
    #[error("two circuits are named \"{0}\": give each a name of its own")]
    Duplicate(CircuitId),
    /// A parent that is not there.
    #[error("circuit \"{circuit}\" is fed by \"{parent}\", which does not exist: add that circuit or correct the name")]
    UnknownParent {
        /// Whose parent it is.
        circuit: CircuitId,
        /// The name that is not known.
        parent: CircuitId,
    },
    /// Going up from a circuit leads back to it.
    #[error("circuit \"{0}\" feeds itself through its parents: remove one parent of that ring")]
    Cycle(CircuitId),
}

impl Circuits {
    /// Checks and keeps circuits, in any order.
    ///
    /// # Errors
    /// `Duplicate`, `UnknownParent` and `Cycle`, each naming the circuit to mend.
    pub fn new(circuits: Vec<Circuit>) -> Result<Self, CircuitsError> {
        let mut keys = BTreeMap::new();
        for (index, circuit) in circuits.iter().enumerate() {
            if keys.insert(circuit.id.clone(), CircuitKey(index)).is_some() {
                return Err(CircuitsError::Duplicate(circuit.id.clone()));
            }
        }
        let mut paths = Vec::with_capacity(circuits.len());
        for (index, circuit) in circuits.iter().enumerate() {
            let mut path = vec![index];
            let mut at = circuit;
            while let Some(parent) = &at.parent {
                let Some(key) = keys.get(parent) else {
                    return Err(CircuitsError::UnknownParent { circuit: at.id.clone(), parent: parent.clone() });
                };
                if path.len() >= circuits.len() {
                    return Err(CircuitsError::Cycle(circuit.id.clone()));
                }
                path.push(key.0);
                at = &circuits[key.0];
            }
            paths.push(path);
        }
        Ok(Circuits { circuits, keys, paths })
    }

    /// The key of the circuit of this name.
    #[must_use]
    pub fn key(&self, id: &CircuitId) -> Option<CircuitKey> {
        self.keys.get(id).copied()
    }

    /// The circuit behind a key; `None` for a key of another set.
    #[must_use]
    pub fn get(&self, key: CircuitKey) -> Option<&Circuit> {
        self.circuits.get(key.0)
    }

    /// All circuits with their keys, in the order they were given.
    pub fn iter(&self) -> impl Iterator<Item = (CircuitKey, &Circuit)> {
        self.circuits.iter().enumerate().map(|(index, circuit)| (CircuitKey(index), circuit))
    }

    /// Changes what a circuit may carry now, such as what the house leaves of the main fuse on each phase.
    ///
    /// Returns `false`, and changes nothing, for a key of another set.
    pub fn set_limit(&mut self, key: CircuitKey, limit: CircuitLimit) -> bool {
        match self.circuits.get_mut(key.0) {
            Some(circuit) => {
                circuit.limit = limit;
                true
            }
            None => false,
        }
    }

    /// The circuits between `key` and the supply, by index, its own first. `None` for a key of another set.
    pub(crate) fn path(&self, key: CircuitKey) -> Option<&[usize]> {
        self.paths.get(key.0).map(Vec::as_slice)
    }

    pub(crate) fn as_slice(&self) -> &[Circuit] {
        &self.circuits
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn circuit(name: &str, parent: Option<&str>) -> Circuit {
        Circuit { id: CircuitId::new(name), limit: CircuitLimit::default(), parent: parent.map(CircuitId::new) }
    }

    #[test]
    fn a_child_may_come_before_its_parent() {
        let circuits = Circuits::new(vec![circuit("garage", Some("main")), circuit("main", None)]).unwrap();
        let garage = circuits.key(&CircuitId::new("garage")).unwrap();
        assert_eq!(circuits.path(garage), Some(&[0, 1][..]));
    }

    #[test]
    fn mistakes_are_refused_with_the_name_to_mend() {
        let error = Circuits::new(vec![circuit("a", Some("b"))]).unwrap_err();
        assert!(error.to_string().contains("\"b\", which does not exist"));
        let ring = vec![circuit("a", Some("b")), circuit("b", Some("c")), circuit("c", Some("b"))];
        assert!(matches!(Circuits::new(ring), Err(CircuitsError::Cycle(_))));
        assert!(matches!(Circuits::new(vec![circuit("a", Some("a"))]), Err(CircuitsError::Cycle(_))));
        assert!(matches!(
            Circuits::new(vec![circuit("a", None), circuit("a", None)]),
            Err(CircuitsError::Duplicate(_))
        ));
    }

    #[test]
    fn a_limit_can_change_while_the_tree_stays() {
        let mut circuits = Circuits::new(vec![circuit("main", None)]).unwrap();
        let key = circuits.key(&CircuitId::new("main")).unwrap();
        let limit = CircuitLimit::per_phase(Amps::from_whole(25));
        assert!(circuits.set_limit(key, limit));
        assert_eq!(circuits.get(key).unwrap().limit, limit);
        assert!(!circuits.set_limit(CircuitKey(1), limit));
    }
}
