//! What happens to a car.

use std::time::Duration;

use units::{Amps, Percent, Volts, WattHours};

use super::{Car, Charge, Place, Quirks, Sleep, Supply, Trip};
use crate::signed::Security;

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
    pub(super) fn disturb(&mut self) {
        self.sleep = match self.sleep {
            Sleep::Awake { since, .. } => Sleep::Awake { since, last_use: self.now },
            Sleep::Asleep | Sleep::Waking { .. } => Sleep::Awake { since: self.now, last_use: self.now },
        };
    }
}
