//! What is known of a car's computer once it has proved itself: keys, epoch, counter and clock.

use std::time::{Duration, Instant};

use crate::agreement::{SharedKeys, is_same_tag};
use crate::error::Distrust;
use crate::key::{PrivateKey, PublicKey};
use crate::session_info::SessionInfo;
use crate::vin::Vin;

/// The latest second of an epoch that a message may name.
const MAX_EXPIRY: u32 = 1 << 30;

/// How many counters are set aside with each save, so that not every command writes to the disk.
const RESERVE: u32 = 64;

/// An agreed session.
#[derive(Debug, Clone)]
pub(super) struct Link {
    car: PublicKey,
    pub(super) keys: SharedKeys,
    pub(super) epoch: [u8; 16],
    counter: u32,
    /// Counters up to this one were saved as used.
    saved_up_to: u32,
    /// The car's clock, and when it was so.
    clock: u32,
    read_at: Instant,
    /// The latest clock that the car itself told in this epoch; 0 when it comes from disk.
    heard_clock: u32,
}

/// Why a session info was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rejected {
    NotPaired,
    /// It is signed, by another key than the car had before.
    OtherKey,
    Distrusted(Distrust),
}

/// A session info as it came, and what proves it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Told<'a> {
    pub(super) now: Instant,
    pub(super) challenge: &'a [u8],
    pub(super) info: &'a [u8],
    pub(super) tag: &'a [u8],
}

impl Link {
    /// Makes a link from a session info that was asked for.
    pub(super) fn greet(own: &PrivateKey, vin: Vin, told: Told<'_>) -> Result<Self, Rejected> {
        let info = Self::read(told.info)?;
        let mut link = Self::of(own, &info, told.now)?;
        link.check_tag(vin, told)?;
        link.heard_clock = info.clock_time;
        Ok(link)
    }

    /// Takes a session info of the same car. Epoch, counter and clock are the car's afterwards; the counter never falls
    /// within an epoch.
    pub(super) fn update(&mut self, vin: Vin, told: Told<'_>) -> Result<(), Rejected> {
        let info = Self::read(told.info)?;
        let car = PublicKey::from_bytes(&info.public_key).map_err(|_| Rejected::Distrusted(Distrust::Unreadable))?;
        if car != self.car {
            return Err(Rejected::OtherKey);
        }
        self.check_tag(vin, told)?;
        if info.epoch == self.epoch {
            if info.clock_time < self.heard_clock {
                return Err(Rejected::Distrusted(Distrust::ClockWentBack));
            }
            self.counter = self.counter.max(info.counter);
        } else {
            self.counter = info.counter;
            self.epoch = info.epoch;
        }
        (self.clock, self.read_at, self.heard_clock) = (info.clock_time, told.now, info.clock_time);
        self.saved_up_to = 0;
        Ok(())
    }

    /// Makes a link from what [`Link::save`] wrote `age` ago.
    pub(super) fn from_saved(own: &PrivateKey, now: Instant, bytes: &[u8], age: Duration) -> Result<Self, Rejected> {
        let mut info = Self::read(bytes)?;
        let age = u32::try_from(age.as_secs()).unwrap_or(u32::MAX);
        info.clock_time = info.clock_time.saturating_add(age);
        let mut link = Self::of(own, &info, now)?;
        link.saved_up_to = link.counter;
        Ok(link)
    }

    /// What to keep on disk, with some counters set aside that need no further save.
    pub(super) fn save(&mut self, now: Instant) -> Vec<u8> {
        self.saved_up_to = self.counter.saturating_add(RESERVE);
        SessionInfo {
            counter: self.saved_up_to,
            public_key: self.car.to_bytes(),
            epoch: self.epoch,
            clock_time: self.clock_at(now),
            is_paired: true,
        }
        .encode()
    }

    /// The next counter; `None` when the epoch has none left.
    pub(super) fn take_counter(&mut self) -> Option<u32> {
        self.counter = self.counter.checked_add(1)?;
        Some(self.counter)
    }

    /// Whether the counter in use is beyond what was saved.
    pub(super) fn must_save(&self) -> bool {
        self.counter > self.saved_up_to
    }

    /// The second of the car's clock after which a message sent now is void.
    pub(super) fn expiry(&self, now: Instant, lifetime: Duration) -> u32 {
        let lifetime = u32::try_from(lifetime.as_secs()).unwrap_or(MAX_EXPIRY);
        self.clock_at(now).saturating_add(lifetime).min(MAX_EXPIRY)
    }

    pub(super) fn car(&self) -> PublicKey {
        self.car
    }

    fn clock_at(&self, now: Instant) -> u32 {
        let passed = now.saturating_duration_since(self.read_at).as_secs();
        self.clock.saturating_add(u32::try_from(passed).unwrap_or(u32::MAX))
    }

    fn read(bytes: &[u8]) -> Result<SessionInfo, Rejected> {
        let info = SessionInfo::decode(bytes).map_err(|_| Rejected::Distrusted(Distrust::Unreadable))?;
        if info.is_paired { Ok(info) } else { Err(Rejected::NotPaired) }
    }

    fn of(own: &PrivateKey, info: &SessionInfo, now: Instant) -> Result<Self, Rejected> {
        let car = PublicKey::from_bytes(&info.public_key).map_err(|_| Rejected::Distrusted(Distrust::Unreadable))?;
        Ok(Self {
            car,
            keys: SharedKeys::agree(own, &car),
            epoch: info.epoch,
            counter: info.counter,
            saved_up_to: 0,
            clock: info.clock_time,
            read_at: now,
            heard_clock: 0,
        })
    }

    fn check_tag(&self, vin: Vin, told: Told<'_>) -> Result<(), Rejected> {
        let expected = self.keys.session_info_tag(vin.as_bytes(), told.challenge, told.info);
        if is_same_tag(&expected, told.tag) { Ok(()) } else { Err(Rejected::Distrusted(Distrust::WrongTag)) }
    }
}
