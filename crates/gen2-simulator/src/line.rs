//! The two wires: what is said at once is garbled, and some of the rest suffers as told.

use std::time::{Duration, Instant};

use crate::random::Random;
use crate::settings::Faults;

/// One byte at 9600 baud, 8N1.
const BYTE_TIME: Duration = Duration::from_micros(1_042);

/// A frame on its way to the master.
#[derive(Debug, Clone)]
struct Transmission {
    at: Instant,
    connector: usize,
    bytes: Vec<u8>,
}

impl Transmission {
    fn end(&self) -> Instant {
        self.at + BYTE_TIME * u32::try_from(self.bytes.len()).unwrap_or(u32::MAX)
    }
}

#[derive(Debug, Clone)]
pub(crate) struct Line {
    pub(crate) faults: Faults,
    waiting: Vec<Transmission>,
    random: Random,
    collisions: u32,
}

impl Line {
    pub(crate) fn new(random: Random) -> Line {
        Line { faults: Faults::default(), waiting: Vec::new(), random, collisions: 0 }
    }

    pub(crate) fn collisions(&self) -> u32 {
        self.collisions
    }

    pub(crate) fn send(&mut self, at: Instant, connector: usize, bytes: &[u8]) {
        // One connector says one thing after another.
        let free = self.waiting.iter().filter(|other| other.connector == connector).map(Transmission::end).max();
        self.waiting.push(Transmission { at: free.map_or(at, |free| at.max(free)), connector, bytes: bytes.to_vec() });
    }

    /// What a connector still meant to say is lost with its power.
    pub(crate) fn forget(&mut self, connector: usize) {
        self.waiting.retain(|other| other.connector != connector);
    }

    pub(crate) fn next_timeout(&self) -> Option<Instant> {
        self.waiting.iter().map(|waiting| waiting.at).min()
    }

    /// The bytes that reach the master by `now`, if any are due.
    pub(crate) fn receive(&mut self, now: Instant) -> Option<Vec<u8>> {
        loop {
            let first = self
                .waiting
                .iter()
                .enumerate()
                .filter(|(_, waiting)| waiting.at <= now)
                .min_by_key(|(_, waiting)| waiting.at)
                .map(|(index, _)| index)?;
            let mut spoken = self.waiting.swap_remove(first);
            while let Some(other) = self.waiting.iter().position(|other| other.at < spoken.end()) {
                let other = self.waiting.swap_remove(other);
                self.collisions = self.collisions.saturating_add(1);
                collide(&mut spoken, &other);
            }
            let bytes = self.suffer(spoken.bytes);
            if !bytes.is_empty() {
                return Some(bytes);
            }
        }
    }

    fn suffer(&mut self, mut bytes: Vec<u8>) -> Vec<u8> {
        let faults = self.faults;
        if self.random.happens(faults.lost) {
            return Vec::new();
        }
        if self.random.happens(faults.cut) {
            let keep = self.random.between(1, bytes.len() as u64 - 1) as usize;
            if self.random.happens(500) {
                bytes.truncate(keep);
            } else {
                bytes.drain(..bytes.len() - keep);
            }
        }
        if self.random.happens(faults.corrupted) {
            let at = self.random.between(0, bytes.len() as u64 - 1) as usize;
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= self.random.pick([0x01, 0x10, 0x80, 0x55, 0xFF]);
            }
        }
        if self.random.happens(faults.doubled) {
            bytes.extend_from_within(..);
        }
        if self.random.happens(faults.stray) {
            for _ in 0..self.random.between(1, 2) {
                bytes.push(self.random.pick([0xFE, 0xFC, 0xF8, 0xFF, 0xF0]));
            }
        }
        if self.random.happens(faults.noise) {
            let noise = (0..self.random.between(1, 24)).map(|_| self.random.byte());
            let mut noisy: Vec<u8> = noise.collect();
            noisy.append(&mut bytes);
            bytes = noisy;
        }
        bytes
    }

    /// Whether a frame of the master arrives; what arrives damaged is not understood.
    pub(crate) fn lets_master_through(&mut self) -> bool {
        let faults = self.faults;
        ![faults.lost, faults.cut, faults.corrupted].into_iter().any(|fault| self.random.happens(fault))
    }
}

/// Two drivers on one pair of wires: about every second bit is whoever pulls down.
fn collide(spoken: &mut Transmission, other: &Transmission) {
    let later = other.at.saturating_duration_since(spoken.at);
    let offset = (later.as_nanos() / BYTE_TIME.as_nanos()) as usize;
    for (index, byte) in other.bytes.iter().enumerate() {
        match spoken.bytes.get_mut(offset + index) {
            Some(heard) => *heard &= *byte,
            None => spoken.bytes.push(*byte),
        }
    }
}
