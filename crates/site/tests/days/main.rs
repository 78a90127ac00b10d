//! Days and hours of a house, in virtual time.

mod commands;
mod house;
mod limits;
mod surplus;
