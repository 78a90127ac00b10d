//! A car: its battery, its plug, its sleep, its place, and what it makes of commands. Time is handed in.

mod command;
mod quirks;
mod see;
mod time;
mod world;

use std::collections::VecDeque;
use std::time::Duration;

use units::{Amps, Percent, Phases, Volts, WattHours, Watts};

pub use command::{Attempt, CarCommand, Refusal};
pub use quirks::{CommandWay, Quirks};

use crate::signed::Security;

/// What a plug delivers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Supply {
    offered: f64,
    volts: f64,
    phases: Phases,
    is_direct: bool,
}

impl Supply {
    /// Alternating current: `offered` is what the pilot line tells, per phase.
    #[must_use]
    pub fn new(offered: Amps, volts: Volts, phases: Phases) -> Self {
        Supply { offered: offered.get(), volts: volts.get(), phases, is_direct: false }
    }

    /// 230 V on one phase.
    #[must_use]
    pub fn single(offered: Amps) -> Self {
        Supply::new(offered, Volts::saturating(230.0), Phases::One)
    }

    /// 230 V to neutral on three phases.
    #[must_use]
    pub fn three(offered: Amps) -> Self {
        Supply::new(offered, Volts::saturating(230.0), Phases::Three)
    }

    /// A fast charger that feeds the battery directly. Its 400 V are nominal.
    #[must_use]
    pub fn fast_charger(power: Watts) -> Self {
        let volts = 400.0;
        Supply { offered: power.get() / volts, volts, phases: Phases::One, is_direct: true }
    }

    /// What the pilot line tells now.
    #[must_use]
    pub fn offered(&self) -> Amps {
        amps(self.offered)
    }

    /// Volts, to neutral.
    #[must_use]
    pub fn volts(&self) -> Volts {
        Volts::saturating(self.volts)
    }

    /// Phases of the supply, whatever the car uses of them.
    #[must_use]
    pub fn phases(&self) -> Phases {
        self.phases
    }

    /// Whether it is a fast charger.
    #[must_use]
    pub fn is_direct(&self) -> bool {
        self.is_direct
    }
}

/// A point on the map, degrees.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Place {
    /// North is positive.
    pub latitude: f64,
    /// East is positive.
    pub longitude: f64,
}

/// What the car says about charging.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ChargingState {
    /// No cable.
    Disconnected,
    /// A cable without power.
    NoPower,
    /// Told to stop, or waiting for its own timer.
    Stopped,
    /// About to.
    Starting,
    /// Power may flow.
    Charging,
    /// At its limit.
    Complete,
}

impl ChargingState {
    /// The word the cloud uses.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            ChargingState::Disconnected => "Disconnected",
            ChargingState::NoPower => "NoPower",
            ChargingState::Stopped => "Stopped",
            ChargingState::Starting => "Starting",
            ChargingState::Charging => "Charging",
            ChargingState::Complete => "Complete",
        }
    }
}

/// Whether the car can be talked to over the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Availability {
    /// It answers.
    Online,
    /// It sleeps, or has not finished waking.
    Asleep,
    /// It has no network.
    Offline,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Charge {
    Disconnected,
    NoPower,
    Stopped,
    Starting { until: Duration },
    Charging,
    Complete,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Sleep {
    Awake { since: Duration, last_use: Duration },
    Asleep,
    Waking { until: Duration },
}

#[derive(Debug, Clone, Copy, PartialEq)]
struct Trip {
    from: Place,
    to: Place,
    began: Duration,
    ends: Duration,
    stored_before: f64,
    uses: f64,
}

/// A simulated car. Build it, give it to the cloud, and change its world through [`crate::Running::car`].
///
/// Every method acts at the car's present time, which [`Car::pass_to`] moves on.
#[derive(Debug, Clone)]
pub struct Car {
    vin: String,
    name: String,
    firmware: String,
    number: u64,
    battery: f64,
    stored: f64,
    limit: f64,
    most: f64,
    phases: Phases,
    quirks: Quirks,
    pub(crate) security: Security,

    now: Duration,
    unix_start: u64,

    supply: Option<Supply>,
    charge: Charge,
    is_enabled: bool,
    set: f64,
    low_asked: Option<(Duration, f64)>,
    drawn: f64,
    target: f64,
    reaction: Option<(Duration, f64)>,
    added: f64,
    from_wall: f64,
    starts: Vec<Duration>,

    schedule: Option<u16>,
    waits_until: Option<Duration>,

    sleep: Sleep,
    wakes: u32,
    wakes_lost: u32,
    has_network: bool,
    has_bluetooth: bool,

    place: Place,
    fix: Option<(Place, Duration)>,
    trip: Option<Trip>,

    deaf: u32,
    refusals: VecDeque<String>,
    attempts: Vec<Attempt>,
}

impl Car {
    /// A car that is awake, parked at 0/0, without a cable: 60 kWh half full, limit 80 %, 16 A on three phases, signed
    /// commands only, which no key is paired for.
    #[must_use]
    pub fn new(vin: &str) -> Self {
        let zero = Duration::ZERO;
        Car {
            vin: vin.to_owned(),
            name: format!("Car {}", vin.get(vin.len().saturating_sub(4)..).unwrap_or(vin)),
            firmware: "2026.20.3".to_owned(),
            number: number_of(vin),
            battery: 60_000.0,
            stored: 30_000.0,
            limit: 80.0,
            most: 16.0,
            phases: Phases::Three,
            quirks: Quirks::default(),
            security: Security::new(vin),
            now: zero,
            unix_start: 0,
            supply: None,
            charge: Charge::Disconnected,
            is_enabled: true,
            set: 16.0,
            low_asked: None,
            drawn: 0.0,
            target: 0.0,
            reaction: None,
            added: 0.0,
            from_wall: 0.0,
            starts: Vec::new(),
            schedule: None,
            waits_until: None,
            sleep: Sleep::Awake { since: zero, last_use: zero },
            wakes: 0,
            wakes_lost: 0,
            has_network: true,
            has_bluetooth: true,
            place: Place { latitude: 0.0, longitude: 0.0 },
            fix: None,
            trip: None,
            deaf: 0,
            refusals: VecDeque::new(),
            attempts: Vec::new(),
        }
    }

    /// What it is called.
    #[must_use]
    pub fn name(mut self, name: &str) -> Self {
        name.clone_into(&mut self.name);
        self
    }

    /// Capacity, and how full it is.
    #[must_use]
    pub fn battery(mut self, capacity: WattHours, soc: Percent) -> Self {
        self.battery = capacity.get().max(1.0);
        self.stored = self.battery * soc.get() / 100.0;
        self
    }

    /// The limit set in the car.
    #[must_use]
    pub fn limit(mut self, limit: Percent) -> Self {
        self.limit = limit.get();
        self
    }

    /// What its own charger takes: amps per phase, and phases. The amps set in the car begin there.
    #[must_use]
    pub fn charger(mut self, most: Amps, phases: Phases) -> Self {
        self.most = most.get();
        self.set = self.most;
        self.phases = phases;
        self
    }

    /// Where it is parked.
    #[must_use]
    pub fn at(mut self, place: Place) -> Self {
        self.place = place;
        self
    }

    /// Begins with a cable in. It starts to charge by itself, unless its timer says otherwise.
    #[must_use]
    pub fn plugged_into(mut self, supply: Supply) -> Self {
        self.plug_in(supply);
        self
    }

    /// Begins asleep.
    #[must_use]
    pub fn asleep(mut self) -> Self {
        self.sleep = Sleep::Asleep;
        self
    }

    /// Its own timer: minutes after midnight (UTC) at which it starts each day.
    #[must_use]
    pub fn scheduled(mut self, minutes: u16) -> Self {
        self.set_schedule(Some(minutes));
        self
    }

    /// What is odd about it.
    #[must_use]
    pub fn quirks(mut self, quirks: Quirks) -> Self {
        self.quirks = quirks;
        self
    }

    /// Which commands it takes.
    #[must_use]
    pub fn commands(mut self, way: CommandWay) -> Self {
        self.quirks.commands = way;
        self
    }

    /// A key that may command it: the 65 bytes of a public key on P-256, `04…`.
    #[must_use]
    pub fn paired(mut self, public_key: &[u8]) -> Self {
        self.security.pair(public_key);
        self
    }

    /// Its own key and the epoch of its infotainment computer, instead of those made from its VIN: for published vectors.
    ///
    /// # Panics
    /// When the bytes are no private key.
    #[must_use]
    pub fn car_key(mut self, private_key: &[u8; 32], epoch: [u8; 16]) -> Self {
        self.security.use_key(private_key, epoch);
        self
    }

    /// Tells it when its time zero was, for its timer and its time stamps.
    pub(crate) fn begin(&mut self, number: u64, unix_start: u64) {
        self.number = number;
        self.unix_start = unix_start;
        if self.supply.is_some() && self.waits_until.is_some() {
            self.waits_until = self.next_scheduled();
        }
    }
}

/// Held within what an ampere can be in a household.
pub(crate) fn amps(value: f64) -> Amps {
    Amps::new(value).unwrap_or(Amps::ZERO)
}

/// A number above 2^53, as the real ones are: a reader that takes it for a float loses its last digits.
fn number_of(vin: &str) -> u64 {
    vin.bytes().fold(1_492_930_000_000_000_003, |number: u64, byte| {
        number.wrapping_mul(31).wrapping_add(u64::from(byte)) % 1_000_000_000_000_000_000
    }) | (1 << 60)
}

#[cfg(test)]
mod tests;
