//! The machine against scripts and against simulated connectors, in virtual time.

mod field_problems;
mod ledger;
mod pair;
mod random;
