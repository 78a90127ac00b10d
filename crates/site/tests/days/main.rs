//! Days and hours of a house, in virtual time.

#![allow(clippy::unwrap_used)] // A test that cannot go on should end where it stands.

mod cars;
mod commands;
mod grid;
mod house;
mod household;
mod limits;
mod surplus;
