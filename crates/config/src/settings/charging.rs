//! Rates, schedule and offsets.

use serde_json::{Value, json};
use units::Amps;

use super::{Settings, number_of, stored};

/// What to do outside schedule and surplus hours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NonScheduledAction {
    /// 1: charge at `nonScheduledAmpsMax`.
    FixedRate,
    /// 2: do not charge.
    DoNotCharge,
    /// 3: track surplus.
    TrackGreenEnergy,
}

/// The schedule that acts. Hours count from midnight and may have a fraction.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FlatSchedule {
    /// Rate; 0 means no schedule.
    pub rate: Amps,
    /// Begin, when set. Older programs cut the fraction off.
    pub start_hour: Option<f64>,
    /// End, when set.
    pub end_hour: Option<f64>,
    /// Bit 0 Monday to bit 6 Sunday.
    pub days: u8,
    /// Start as late as possible.
    pub flex_start: bool,
    /// Size of the car's battery in kWh, for the late start.
    pub battery_kwh: f64,
}

/// A load or a generator that no meter sees.
#[derive(Debug, Clone, PartialEq)]
pub struct ConsumptionOffset {
    /// Its name.
    pub name: String,
    /// How much; negative for generation.
    pub value: f64,
    /// In what.
    pub unit: OffsetUnit,
}

/// Unit of an offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OffsetUnit {
    /// Amps per phase.
    Amps,
    /// Watts.
    Watts,
}

impl Settings {
    fn amps(&self, key: &str) -> Amps {
        self.number(key).and_then(|amps| Amps::new(amps).ok()).unwrap_or(Amps::ZERO).at_least_zero()
    }

    /// `chargeNowAmps`; zero means off.
    #[must_use]
    pub fn charge_now_amps(&self) -> Amps {
        self.amps("chargeNowAmps")
    }

    /// `chargeNowTimeEnd` in seconds since 1970; zero means off.
    #[must_use]
    pub fn charge_now_time_end(&self) -> f64 {
        self.number("chargeNowTimeEnd").unwrap_or(0.0)
    }

    /// Charges at `rate` until `end` (seconds since 1970), in whole amps as ever. Zero for both ends it.
    pub fn set_charge_now(&mut self, rate: Amps, end: f64) {
        self.set_value("chargeNowAmps", stored(rate.at_least_zero().whole_amps_floor().get()));
        self.set_value("chargeNowTimeEnd", stored(end));
    }

    /// `nonScheduledAction`; `None` until the user chose one, which works like a fixed rate.
    #[must_use]
    pub fn non_scheduled_action(&self) -> Option<NonScheduledAction> {
        match self.code("nonScheduledAction") {
            Some(1) => Some(NonScheduledAction::FixedRate),
            Some(2) => Some(NonScheduledAction::DoNotCharge),
            Some(3) => Some(NonScheduledAction::TrackGreenEnergy),
            _ => None,
        }
    }

    /// Sets `nonScheduledAction`.
    pub fn set_non_scheduled_action(&mut self, action: NonScheduledAction) {
        let code = match action {
            NonScheduledAction::FixedRate => 1,
            NonScheduledAction::DoNotCharge => 2,
            NonScheduledAction::TrackGreenEnergy => 3,
        };
        self.set_value("nonScheduledAction", json!(code));
    }

    /// `nonScheduledAmpsMax`: the rate of the fixed rate.
    #[must_use]
    pub fn non_scheduled_amps_max(&self) -> Amps {
        self.amps("nonScheduledAmpsMax")
    }

    /// Sets `nonScheduledAmpsMax`.
    pub fn set_non_scheduled_amps_max(&mut self, rate: Amps) {
        self.set_value("nonScheduledAmpsMax", stored(rate.at_least_zero().get()));
    }

    /// The schedule that acts; the page's own `Schedule` object does not.
    #[must_use]
    pub fn schedule(&self) -> FlatSchedule {
        let hour = |key| self.number(key).filter(|hour| (0.0..=24.0).contains(hour));
        FlatSchedule {
            rate: self.amps("scheduledAmpsMax"),
            start_hour: hour("scheduledAmpsStartHour"),
            end_hour: hour("scheduledAmpsEndHour"),
            days: self.code("scheduledAmpsDaysBitmap").unwrap_or(127) & 127,
            flex_start: self.flag("scheduledAmpsFlexStart", false),
            battery_kwh: self.number("scheduledAmpsBatterySize").filter(|size| *size > 0.0).unwrap_or(100.0),
        }
    }

    /// Sets the schedule that acts.
    pub fn set_schedule(&mut self, schedule: &FlatSchedule) {
        self.set_value("scheduledAmpsMax", stored(schedule.rate.at_least_zero().get()));
        self.set_value("scheduledAmpsStartHour", stored(schedule.start_hour.unwrap_or(-1.0)));
        self.set_value("scheduledAmpsEndHour", stored(schedule.end_hour.unwrap_or(-1.0)));
        self.set_value("scheduledAmpsDaysBitmap", json!(schedule.days & 127));
        self.set_value("scheduledAmpsFlexStart", json!(i32::from(schedule.flex_start)));
        self.set_value("scheduledAmpsBatterySize", stored(schedule.battery_kwh));
    }

    /// `hourResumeTrackGreenEnergy`: surplus is not tracked before this hour.
    #[must_use]
    pub fn hour_resume_track_green_energy(&self) -> Option<f64> {
        self.number("hourResumeTrackGreenEnergy").filter(|hour| (0.0..=24.0).contains(hour))
    }

    /// Sets `hourResumeTrackGreenEnergy`.
    pub fn set_hour_resume_track_green_energy(&mut self, hour: Option<f64>) {
        self.set_value("hourResumeTrackGreenEnergy", stored(hour.unwrap_or(-1.0)));
    }

    /// `sunrise` in whole hours; 6 when unknown.
    #[must_use]
    pub fn sunrise(&self) -> u8 {
        self.code("sunrise").filter(|hour| (1..=24).contains(hour)).unwrap_or(6)
    }

    /// `sunset` in whole hours; 20 when unknown.
    #[must_use]
    pub fn sunset(&self) -> u8 {
        self.code("sunset").filter(|hour| (1..=24).contains(hour)).unwrap_or(20)
    }

    /// Sets `sunrise` and `sunset`.
    pub fn set_sun(&mut self, sunrise: u8, sunset: u8) {
        self.set_value("sunrise", json!(sunrise));
        self.set_value("sunset", json!(sunset));
    }

    /// `consumptionOffset`: the named offsets, in order.
    #[must_use]
    pub fn consumption_offsets(&self) -> Vec<ConsumptionOffset> {
        let offset = |(name, entry): (&String, &Value)| {
            let value = number_of(entry.get("value")?)?;
            let unit = if entry.get("unit").and_then(Value::as_str) == Some("W") {
                OffsetUnit::Watts
            } else {
                OffsetUnit::Amps
            };
            Some(ConsumptionOffset { name: name.clone(), value, unit })
        };
        self.object("consumptionOffset").filter_map(offset).collect()
    }

    /// Adds or replaces a named offset.
    pub fn set_consumption_offset(&mut self, offset: &ConsumptionOffset) {
        let unit = match offset.unit {
            OffsetUnit::Amps => "A",
            OffsetUnit::Watts => "W",
        };
        self.object_mut("consumptionOffset")
            .insert(offset.name.clone(), json!({ "value": offset.value, "unit": unit }));
    }

    /// Removes a named offset; false when there is none.
    pub fn remove_consumption_offset(&mut self, name: &str) -> bool {
        self.object_mut("consumptionOffset").shift_remove(name).is_some()
    }
}
