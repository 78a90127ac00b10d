//! Shares power between charging points under a tree of circuits.
//!
//! Work in progress: the types are final, the arithmetic behind `allocate` is not there yet.

mod allocate;
mod binding;
mod circuits;
mod fill;
mod ledger;
mod request;
mod rotation;

pub use allocate::{Allocation, Share, allocate};
pub use binding::{Binding, Cap, Limit, PowerSource, Unserved};
pub use circuits::{Circuit, CircuitId, CircuitKey, CircuitLimit, Circuits, CircuitsError};
pub use request::{Demand, EvseRequest, PhaseMap, Request, Timing};
pub use rotation::Rotation;
