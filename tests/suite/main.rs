//! The real binary against simulated connectors, meters and disks.

mod cars;
mod charging;
mod checking;
mod compatibility;
mod crash;
mod faults;
mod interface;
mod mqtt;
mod old_page;
