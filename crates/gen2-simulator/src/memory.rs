//! A bus on the other end of a pair of byte pipes, for tests in virtual time.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::bus::SimulatedBus;

/// A bus reached over two pipes of bytes with a latency, as through a serial adapter or a network gateway.
///
/// The pipes carry whole pieces in order. Nothing blocks: the caller gives the time, as to the bus itself.
#[derive(Debug, Clone)]
pub struct MemoryLink {
    bus: SimulatedBus,
    latency: Duration,
    to_bus: VecDeque<(Instant, Vec<u8>)>,
    to_master: VecDeque<(Instant, Vec<u8>)>,
}

impl MemoryLink {
    /// Connects to `bus`; each piece takes `latency` in either direction. The first call with a time powers the bus up.
    #[must_use]
    pub fn new(bus: SimulatedBus, latency: Duration) -> MemoryLink {
        MemoryLink { bus, latency, to_bus: VecDeque::new(), to_master: VecDeque::new() }
    }

    /// The bus, to look at.
    #[must_use]
    pub const fn bus(&self) -> &SimulatedBus {
        &self.bus
    }

    /// The bus, to change.
    pub const fn bus_mut(&mut self) -> &mut SimulatedBus {
        &mut self.bus
    }

    /// The bus itself, without the pipes.
    #[must_use]
    pub fn into_bus(self) -> SimulatedBus {
        self.bus
    }

    /// Another latency for what is sent from now on; it does not overtake what is under way.
    pub const fn set_latency(&mut self, latency: Duration) {
        self.latency = latency;
    }

    /// The connection breaks: what is under way is lost.
    pub fn break_connection(&mut self) {
        self.to_bus.clear();
        self.to_master.clear();
    }

    /// The master writes.
    pub fn write(&mut self, now: Instant, bytes: &[u8]) {
        self.advance(now);
        let last = self.to_bus.back().map_or(now, |(at, _)| *at);
        self.to_bus.push_back(((now + self.latency).max(last), bytes.to_vec()));
        self.advance(now);
    }

    /// Everything that has reached the master by `now`.
    pub fn read(&mut self, now: Instant) -> Vec<u8> {
        self.advance(now);
        let mut bytes = Vec::new();
        while let Some(piece) = arrived(&mut self.to_master, now) {
            bytes.extend(piece);
        }
        bytes
    }

    /// Lets time pass until `now`.
    pub fn advance(&mut self, now: Instant) {
        loop {
            let arrival = self.to_bus.front().map(|(at, _)| *at);
            let due = [arrival, self.bus.next_timeout()].into_iter().flatten().filter(|due| *due <= now).min();
            let time = due.unwrap_or(now);
            self.bus.handle_timeout(time);
            while let Some(piece) = arrived(&mut self.to_bus, time) {
                self.bus.handle_bytes(time, &piece);
            }
            while let Some(piece) = self.bus.poll_output() {
                let last = self.to_master.back().map_or(time, |(at, _)| *at);
                self.to_master.push_back(((time + self.latency).max(last), piece));
            }
            if due.is_none() {
                return;
            }
        }
    }

    /// When something happens next: bytes arrive on either side, or the bus has something to do.
    #[must_use]
    pub fn next_timeout(&self) -> Option<Instant> {
        let arrivals = [self.to_bus.front(), self.to_master.front()];
        arrivals.into_iter().flatten().map(|(at, _)| *at).chain(self.bus.next_timeout()).min()
    }
}

fn arrived(pipe: &mut VecDeque<(Instant, Vec<u8>)>, now: Instant) -> Option<Vec<u8>> {
    if pipe.front()?.0 > now {
        return None;
    }
    pipe.pop_front().map(|(_, piece)| piece)
}
