//! What there is to see of a car.

use std::time::Duration;

use units::{Amps, Percent, Phases, WattHours, Watts};

use super::{Attempt, Availability, Car, Charge, ChargingState, Place, Quirks, Sleep, Supply, Trip, amps};

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

    pub(super) fn volts_of_all_phases(&self) -> f64 {
        self.supply.map_or(0.0, |supply| supply.volts * f64::from(self.active_phases().count()))
    }

    pub(super) fn most_here(&self) -> f64 {
        match self.supply {
            Some(supply) if supply.offered > 0.0 => supply.offered.min(self.most),
            _ => self.most,
        }
    }
}
