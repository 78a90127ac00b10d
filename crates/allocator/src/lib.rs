//! Shares power between charging points under a tree of circuits: values in, values out.
//!
//! | in | out |
//! | --- | --- |
//! | [`Request`]: power of the site, [`Circuits`], one [`EvseRequest`] each | [`Share`] each: `ideal`, `permitted`, and the name of what bound it |
//! | [`Rotation`]: who had his turn | the next `Rotation` |
//! | `now` | when to decide again though nothing else changed |
//!
//! ```
//! use std::time::Instant;
//! use allocator::*;
//! use evse::{EvseId, EvseLimits};
//! use units::{Amps, Phases, Volts, Watts};
//!
//! let main = CircuitId::new("main");
//! let limit = CircuitLimit::per_phase(Amps::from_whole(20));
//! let circuits = Circuits::new(vec![Circuit { id: main.clone(), limit, parent: None }])?;
//! let car = |name: &str| EvseRequest {
//!     id: EvseId::new(name),
//!     circuit: circuits.key(&main),
//!     limits: EvseLimits {
//!         min: Amps::from_whole(6),
//!         max: Amps::from_whole(16),
//!         volts: Volts::saturating(230.0),
//!         phases: Phases::Three,
//!     },
//!     demand: Demand::Wants,
//!     priority: 0,
//!     held: Amps::ZERO,
//!     target: Watts::ZERO,
//!     can_take: None,
//!     may_rise: true,
//!     step: Amps::from_whole(1),
//!     phase_map: PhaseMap::IN_ORDER,
//! };
//! let evses = [car("left"), car("right")];
//! let request = Request { power: None, circuits: &circuits, evses: &evses, timing: Timing::default() };
//! let decision = allocate(&request, &Rotation::default(), Instant::now());
//! assert_eq!(decision.shares[0].ideal, Watts::saturating(6_900.0)); // 10 A on three phases
//! assert_eq!(decision.shares[0].bound_by.to_string(), "Limited by circuit \"main\" on L1.");
//! # Ok::<(), CircuitsError>(())
//! ```
//!
//! # What it promises
//!
//! - No limit is passed, on no phase: not by the ideal, and not by what is held plus what is permitted.
//! - Fair in watts: nobody can have more without somebody with less having to give. What one cannot take goes to others;
//!   nothing stays unused while someone can take a step of it.
//! - A charging point gets nothing or at least its minimum. When not all minimums fit, priority decides, then turns
//!   (`rotation.rs` says how).
//! - Lowered at once, raised only into what nobody else holds.
//! - The order of the list does not matter; equals differ by a step at most.
//!
//! Priority decides about places only: all who have one share the rest alike.
//!
//! # How it works, and what it costs
//!
//! 1. **Places**: everyone is asked in the order of the rotation; whose minimum fits under every limit above him, has it.
//! 2. **Filling** (`fill.rs`): from their minimums all rise together, as water does. Three kinds of events, each taken in
//!    order of the level: one joins (the level reaches his minimum), one leaves (his maximum), a limit is used up and
//!    stops all on it. Joining and leaving are two sorted lists; limits wait in a heap, whose keys are corrected when they
//!    come to the top. Everyone stops once.
//! 3. **Whole steps** (`ledger.rs` has the books in integers): rounded down, then single steps while they fit, to whoever
//!    has least. Smooth devices are filled again after coarse ones were rounded, so they use what those cannot.
//! 4. **Permitted**: the same filling again, starting from what each holds or was last told, up to the ideal.
//!
//! With n charging points and at most k limits above one of them (three phases and a power for each circuit on the way
//! up, and the site's power): O(n k log n) time, O(n + limits) memory. `cargo bench -p allocator` shows it.
//!
//! It does not measure, remember or send anything, and knows no reason but the limits: how much power there is, and
//! whether to wait before starting, is the caller's affair.

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
