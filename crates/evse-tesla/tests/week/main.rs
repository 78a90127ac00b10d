//! A household for a week: two connectors, three cars in a simulated cloud, a roof on three phases, in virtual time.
//!
//! | car | where | how it is seen |
//! |---|---|---|
//! | red, three phases | connector 1, which tells its VIN | there and in the cloud |
//! | blue, three phases | connector 2, which tells no VIN | there, and in the cloud; matched by behaviour |
//! | green, one phase | its mobile connector on another socket | in the cloud only |
//!
//! The merger, the site, the garage and the cars as charging points are the program's own, joined as it joins them. The cars
//! and their cloud are simulated; so are the connectors, as Gen 2 ones behave on their bus.

#![allow(clippy::unwrap_used)] // A test that cannot go on should end where it stands.

mod book;
mod cloud;
mod connector;
mod household;
mod week;
