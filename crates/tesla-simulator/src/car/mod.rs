//! A car: its battery, its plug, its sleep, its place, and what it makes of commands. Time is handed in.

mod command;
mod quirks;
mod time;

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

/// What there is to see.
impl Car {
    /// Its VIN.
    #[must_use]
    pub fn vin(&self) -> &str {
        &self.vin
    }

    /// What it is called.
    #[must_use]
    pub fn called(&self) -> &str {
        &self.name
    }

    /// Its software.
    #[must_use]
    pub fn firmware(&self) -> &str {
        &self.firmware
    }

    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    /// What is odd about it.
    #[must_use]
    pub fn odd(&self) -> &Quirks {
        &self.quirks
    }

    /// Its time, counted from the cloud's beginning.
    #[must_use]
    pub fn now(&self) -> Duration {
        self.now
    }

    pub(crate) fn unix_millis(&self) -> u64 {
        self.unix_start * 1000 + u64::try_from(self.now.as_millis()).unwrap_or(u64::MAX / 2)
    }

    /// How full it is.
    #[must_use]
    pub fn soc(&self) -> Percent {
        Percent::new((self.stored / self.battery * 100.0).clamp(0.0, 100.0)).unwrap_or(Percent::FULL)
    }

    /// The limit set in the car.
    #[must_use]
    pub fn charge_limit(&self) -> Percent {
        Percent::new(self.limit.clamp(0.0, 100.0)).unwrap_or(Percent::FULL)
    }

    /// The plug it is in.
    #[must_use]
    pub fn supply(&self) -> Option<&Supply> {
        self.supply.as_ref()
    }

    /// What it says about charging.
    #[must_use]
    pub fn charging_state(&self) -> ChargingState {
        match self.charge {
            Charge::Disconnected => ChargingState::Disconnected,
            Charge::NoPower => ChargingState::NoPower,
            Charge::Stopped => ChargingState::Stopped,
            Charge::Starting { .. } => ChargingState::Starting,
            Charge::Charging => ChargingState::Charging,
            Charge::Complete => ChargingState::Complete,
        }
    }

    /// The current per phase, exactly.
    #[must_use]
    pub fn drawn(&self) -> Amps {
        amps(self.drawn)
    }

    /// Phases it draws from, were it to charge here.
    #[must_use]
    pub fn active_phases(&self) -> Phases {
        self.supply.map_or(self.phases, |supply| supply.phases.min(self.phases))
    }

    /// The power at the wall, exactly.
    #[must_use]
    pub fn power(&self) -> Watts {
        Watts::saturating(self.drawn * self.volts_of_all_phases())
    }

    /// Amps set in the car.
    #[must_use]
    pub fn set_amps(&self) -> Amps {
        amps(self.set)
    }

    /// The most that may be asked for here: of the pilot line and the car's own charger the lesser.
    #[must_use]
    pub fn most_amps(&self) -> Amps {
        amps(self.most_here())
    }

    /// Into the battery since the cable went in.
    #[must_use]
    pub fn energy_added(&self) -> WattHours {
        WattHours::saturating(self.added)
    }

    /// Out of the wall since the beginning.
    #[must_use]
    pub fn energy_from_wall(&self) -> WattHours {
        WattHours::saturating(self.from_wall)
    }

    /// When it began to charge, each time.
    #[must_use]
    pub fn starts(&self) -> &[Duration] {
        &self.starts
    }

    /// Its own timer, minutes after midnight (UTC).
    #[must_use]
    pub fn schedule(&self) -> Option<u16> {
        self.schedule
    }

    /// When its timer will start it, if it waits for that.
    #[must_use]
    pub fn waits_until(&self) -> Option<Duration> {
        self.waits_until
    }

    /// Whether it can be talked to over the network.
    #[must_use]
    pub fn availability(&self) -> Availability {
        match self.sleep {
            _ if !self.has_network => Availability::Offline,
            Sleep::Awake { .. } => Availability::Online,
            Sleep::Asleep | Sleep::Waking { .. } => Availability::Asleep,
        }
    }

    /// Whether it is awake.
    #[must_use]
    pub fn is_awake(&self) -> bool {
        matches!(self.sleep, Sleep::Awake { .. })
    }

    /// How often somebody woke it from sleep.
    #[must_use]
    pub fn wakes(&self) -> u32 {
        self.wakes
    }

    /// Whether a Bluetooth proxy at home reaches it.
    #[must_use]
    pub fn has_bluetooth(&self) -> bool {
        self.has_bluetooth
    }

    /// Whether it is too fresh from sleep to know its state.
    #[must_use]
    pub fn is_groggy(&self) -> bool {
        let Sleep::Awake { since, .. } = self.sleep else { return true };
        self.now < since + self.quirks.groggy && since > Duration::ZERO
    }

    /// Where it really is.
    #[must_use]
    pub fn place(&self) -> Place {
        match self.trip {
            None => self.place,
            Some(Trip { from, to, began, ends, .. }) => {
                let share = (self.now.saturating_sub(began)).as_secs_f64() / (ends - began).as_secs_f64().max(1e-9);
                Place {
                    latitude: from.latitude + (to.latitude - from.latitude) * share,
                    longitude: from.longitude + (to.longitude - from.longitude) * share,
                }
            }
        }
    }

    /// Where it says it is, and since when it has known that.
    #[must_use]
    pub fn fix(&self) -> (Place, Duration) {
        self.fix.unwrap_or((self.place(), self.now))
    }

    /// Whether it drives.
    #[must_use]
    pub fn is_driving(&self) -> bool {
        self.trip.is_some()
    }

    /// What it was told, and what it made of it, in order.
    #[must_use]
    pub fn attempts(&self) -> &[Attempt] {
        &self.attempts
    }

    pub(crate) fn minutes_to_limit(&self) -> f64 {
        let wanted = (self.battery * self.limit / 100.0 - self.stored).max(0.0);
        let power = self.power().get() * self.quirks.efficiency.get() / 100.0;
        if power > 1.0 { wanted / power * 60.0 } else { 0.0 }
    }

    fn volts_of_all_phases(&self) -> f64 {
        self.supply.map_or(0.0, |supply| supply.volts * f64::from(self.active_phases().count()))
    }

    fn most_here(&self) -> f64 {
        match self.supply {
            Some(supply) if supply.offered > 0.0 => supply.offered.min(self.most),
            _ => self.most,
        }
    }
}

/// What happens to it.
impl Car {
    /// Somebody puts a cable in. That wakes it; it starts to charge, or waits for its timer.
    pub fn plug_in(&mut self, supply: Supply) {
        self.disturb();
        self.supply = Some(supply);
        self.is_enabled = true;
        self.added = 0.0;
        self.waits_until = self.next_scheduled();
        self.settle();
    }

    /// Somebody takes the cable out. That wakes it.
    pub fn unplug(&mut self) {
        self.disturb();
        self.supply = None;
        self.is_enabled = true;
        self.waits_until = None;
        self.settle();
    }

    /// The wall box offers another current; zero is no power. Without a cable nothing changes.
    pub fn set_pilot(&mut self, offered: Amps) {
        let offered = offered.get().max(0.0);
        if let Some(supply) = &mut self.supply {
            supply.offered = offered;
        }
        self.settle();
    }

    /// The volts at the plug change.
    pub fn set_volts(&mut self, volts: Volts) {
        if let Some(supply) = &mut self.supply {
            supply.volts = volts.get();
        }
    }

    /// The driver sets another limit, in the car or on the phone.
    pub fn driver_sets_limit(&mut self, limit: Percent) {
        self.disturb();
        self.limit = limit.get();
        self.settle();
    }

    /// The driver sets other amps.
    pub fn driver_sets_amps(&mut self, most: Amps) {
        self.disturb();
        self.set = most.get().min(self.most_here());
        self.settle();
    }

    /// The driver stops or starts it.
    pub fn driver_wants_charge(&mut self, wants: bool) {
        self.disturb();
        self.is_enabled = wants;
        self.waits_until = None;
        self.settle();
    }

    /// The driver sets the timer, minutes after midnight (UTC), or switches it off.
    pub fn set_schedule(&mut self, minutes: Option<u16>) {
        self.schedule = minutes.map(|minutes| minutes % (24 * 60));
        self.waits_until = match self.charge {
            Charge::Charging | Charge::Starting { .. } if self.now > Duration::ZERO => None,
            _ if self.supply.is_none() => None,
            _ => self.next_scheduled(),
        };
        self.settle();
    }

    /// Takes the cable out and drives. It arrives after `takes`, with `uses` less in the battery.
    pub fn drive_to(&mut self, place: Place, takes: Duration, uses: WattHours) {
        self.unplug();
        let ends = self.now + takes.max(Duration::from_secs(1));
        let (from, stored_before) = (self.place(), self.stored);
        self.trip = Some(Trip { from, to: place, began: self.now, ends, stored_before, uses: uses.get() });
    }

    /// It stands somewhere else from one moment to the next, without a cable.
    pub fn appear_at(&mut self, place: Place) {
        self.unplug();
        self.trip = None;
        self.place = place;
    }

    /// Sets how full it is.
    pub fn set_soc(&mut self, soc: Percent) {
        self.stored = self.battery * soc.get() / 100.0;
        self.settle();
    }

    /// It loses or finds the network. Without it, it is `offline` and cannot be woken.
    pub fn set_network(&mut self, has_network: bool) {
        self.has_network = has_network;
    }

    /// It comes into or leaves the reach of a Bluetooth proxy.
    pub fn set_bluetooth(&mut self, has_bluetooth: bool) {
        self.has_bluetooth = has_bluetooth;
    }

    /// Its position stays at what it is now, and grows old, or follows again.
    pub fn set_gps(&mut self, works: bool) {
        self.fix = if works { None } else { Some(self.fix()) };
    }

    /// Sleeps now, unless it charges or drives.
    pub fn fall_asleep(&mut self) {
        if !self.is_busy() {
            self.sleep = Sleep::Asleep;
        }
    }

    /// Somebody asks it to wake; it takes its time. Asking again while it wakes changes nothing.
    pub fn wake(&mut self) {
        match self.sleep {
            _ if !self.has_network => {}
            Sleep::Asleep if self.wakes_lost > 0 => self.wakes_lost -= 1,
            Sleep::Asleep => {
                self.wakes += 1;
                self.sleep = Sleep::Waking { until: self.now + self.quirks.wake_takes };
            }
            Sleep::Waking { .. } => {}
            Sleep::Awake { .. } => self.touch(),
        }
    }

    /// Wakes at once, as by Bluetooth, where waiting is part of the answer.
    pub fn wake_at_once(&mut self) {
        if !self.is_awake() {
            self.wakes += 1;
        }
        self.disturb();
    }

    /// The next so many requests to wake are lost.
    pub fn lose_wakes(&mut self, count: u32) {
        self.wakes_lost = count;
    }

    /// The next so many commands are answered well and not carried out.
    pub fn be_deaf(&mut self, count: u32) {
        self.deaf = count;
    }

    /// The next command is refused with this reason; several queue up.
    pub fn refuse_next(&mut self, reason: &str) {
        self.refusals.push_back(reason.to_owned());
    }

    /// Changes what is odd about it.
    pub fn quirks_mut(&mut self) -> &mut Quirks {
        &mut self.quirks
    }

    /// Its keys and sessions.
    pub fn security(&mut self) -> &mut Security {
        &mut self.security
    }

    /// Somebody talked to it: it stays awake longer.
    pub(crate) fn touch(&mut self) {
        if let Sleep::Awake { last_use, .. } = &mut self.sleep {
            *last_use = self.now;
        }
    }

    /// Something happened at the car itself: it is awake from now on.
    fn disturb(&mut self) {
        self.sleep = match self.sleep {
            Sleep::Awake { since, .. } => Sleep::Awake { since, last_use: self.now },
            Sleep::Asleep | Sleep::Waking { .. } => Sleep::Awake { since: self.now, last_use: self.now },
        };
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
