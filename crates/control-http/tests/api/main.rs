//! The whole interface over a site that is not there: request in, answer and commands out.

mod access;
mod bench;
mod cars;
mod compat;
mod house;
mod logs;
mod native;
mod pages;
mod recorded;
mod tesla;
