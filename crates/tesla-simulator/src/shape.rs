//! A car as the cloud's JSON shows it.

use std::time::Duration;

use serde_json::{Map, Value, json};
use units::Phases;

use crate::car::{Availability, Car, ChargingState};
use crate::payload::whole;

/// Sections given when a request names none.
const USUAL_SECTIONS: [&str; 6] =
    ["charge_state", "climate_state", "drive_state", "gui_settings", "vehicle_config", "vehicle_state"];

impl Car {
    /// `online`, `asleep` or `offline`, as listed.
    #[must_use]
    pub fn listed_state(&self) -> &'static str {
        match self.availability() {
            Availability::Online => "online",
            Availability::Asleep if self.odd().sleeps_as_offline => "offline",
            Availability::Asleep => "asleep",
            Availability::Offline => "offline",
        }
    }

    /// Volts as told: 2 when nothing flows, none without a cable.
    pub(crate) fn told_volts(&self) -> Option<u64> {
        let supply = self.supply()?;
        Some(if self.charging_state() == ChargingState::Charging { whole(supply.volts().get()) } else { 2 })
    }

    /// Phases as told while charging.
    pub(crate) fn told_phases(&self) -> Option<u64> {
        let supply = self.supply()?;
        if self.charging_state() != ChargingState::Charging || supply.is_direct() {
            return None;
        }
        Some(match self.active_phases() {
            Phases::Three if self.odd().three_phases_told_as_two => 2,
            phases => u64::from(phases.count()),
        })
    }

    /// The object that stands for a car in a list.
    #[must_use]
    pub fn vehicle_json(&self) -> Value {
        let mut vehicle = json!({
            "id": self.number(),
            "vehicle_id": self.number() % 4_000_000_000,
            "vin": self.vin(),
            "color": null,
            "access_type": "OWNER",
            "display_name": self.called(),
            "state": self.listed_state(),
            "in_service": false,
            "id_s": self.number().to_string(),
            "calendar_enabled": true,
            "api_version": 71,
        });
        if self.odd().nameless
            && let Some(object) = vehicle.as_object_mut()
        {
            object.remove("display_name");
        }
        vehicle
    }

    /// The answer to a question for data: the car and the sections asked for (none named: the usual ones). The position
    /// is in it when `location_data` was asked for and may be told.
    #[must_use]
    pub fn data_json(&self, sections: &[&str], may_locate: bool) -> Value {
        let sections = if sections.is_empty() { &USUAL_SECTIONS[..] } else { sections };
        let mut vehicle = self.vehicle_json();
        let Some(object) = vehicle.as_object_mut() else { return vehicle };
        let asks = |name: &str| sections.contains(&name);
        if asks("charge_state") {
            object.insert("charge_state".into(), Value::Object(self.charge_json()));
        }
        if asks("drive_state") || asks("location_data") {
            object.insert("drive_state".into(), self.drive_json(asks("location_data") && may_locate));
        }
        if asks("vehicle_state") {
            let state = json!({
                "vehicle_name": self.called(),
                "car_version": format!("{} 06f534d46010", self.firmware()),
                "odometer": 12_345.6,
                "locked": true,
                "is_user_present": self.is_driving(),
                "timestamp": self.unix_millis(),
            });
            object.insert("vehicle_state".into(), state);
        }
        for other in ["climate_state", "gui_settings", "vehicle_config", "closures_state"] {
            if asks(other) {
                object.insert(other.into(), json!({ "timestamp": self.unix_millis() }));
            }
        }
        vehicle
    }

    /// The section about charging.
    #[must_use]
    pub fn charge_json(&self) -> Map<String, Value> {
        let supply = self.supply();
        let state = (!self.is_groggy()).then(|| self.charging_state().word());
        let is_direct = supply.is_some_and(crate::car::Supply::is_direct);
        let minutes = self.minutes_to_limit();
        let schedule = self.schedule();
        let start = self.waits_until().map(|at| self.unix_at(at));
        let cable = if supply.is_some() { "IEC" } else { "<invalid>" };
        let actual = supply.map(|_| if is_direct { 0 } else { whole(self.drawn().get()) });
        let mut section = json!({
            "battery_heater_on": false,
            "battery_level": whole(self.soc().get()),
            "battery_range": hundredths(self.soc().get() * 3.1),
            "charge_amps": whole(self.set_amps().get()),
            "charge_current_request": whole(self.set_amps().get()),
            "charge_current_request_max": whole(self.most_amps().get()),
            "charge_enable_request": !matches!(self.charging_state(), ChargingState::Stopped),
            "charge_energy_added": hundredths(self.energy_added().get() / 1000.0),
            "charge_limit_soc": whole(self.charge_limit().get()),
            "charge_limit_soc_max": 100,
            "charge_limit_soc_min": 50,
            "charge_limit_soc_std": 80,
            "charge_port_door_open": supply.is_some(),
            "charge_port_latch": if supply.is_some() { "Engaged" } else { "Disengaged" },
            "charge_rate": hundredths(self.power().get() / 1000.0 * 3.7),
            "charger_actual_current": actual,
            "charger_phases": self.told_phases(),
            "charger_pilot_current": supply.filter(|_| !is_direct).map(|supply| whole(supply.offered().get())),
            "charger_power": whole(self.power().get() / 1000.0),
            "charger_voltage": self.told_volts(),
            "charging_state": state,
            "conn_charge_cable": cable,
            "fast_charger_brand": if is_direct { "Tesla" } else { "<invalid>" },
            "fast_charger_present": is_direct,
            "fast_charger_type": if is_direct { "Tesla" } else { "<invalid>" },
            "minutes_to_full_charge": whole(minutes),
            "scheduled_charging_mode": if schedule.is_some() { "StartAt" } else { "Off" },
            "scheduled_charging_pending": start.is_some(),
            "scheduled_charging_start_time": start,
            "scheduled_charging_start_time_app": schedule.unwrap_or(0),
            "time_to_full_charge": hundredths(minutes / 60.0),
            "timestamp": self.unix_millis(),
            "usable_battery_level": whole(self.soc().get()),
            "user_charge_enable_request": null,
        });
        if self.odd().numbers_as_text
            && let Some(section) = section.as_object_mut()
        {
            for value in section.values_mut().filter(|value| value.is_number()) {
                *value = Value::String(value.to_string());
            }
        }
        let mut section = match section {
            Value::Object(section) => section,
            _ => Map::new(),
        };
        if self.odd().is_old {
            section.remove("charge_amps");
            section.remove("minutes_to_full_charge");
        }
        section
    }

    fn drive_json(&self, with_place: bool) -> Value {
        let (place, since) = self.fix();
        let is_driving = self.is_driving();
        let mut drive = json!({
            "power": 0,
            "shift_state": is_driving.then_some("D"),
            "speed": is_driving.then_some(31),
            "timestamp": self.unix_millis(),
        });
        if with_place && let Some(drive) = drive.as_object_mut() {
            drive.insert("gps_as_of".into(), json!(self.unix_at(since)));
            drive.insert("heading".into(), json!(90));
            drive.insert("latitude".into(), json!(place.latitude));
            drive.insert("longitude".into(), json!(place.longitude));
            drive.insert("native_latitude".into(), json!(place.latitude));
            drive.insert("native_longitude".into(), json!(place.longitude));
            drive.insert("native_location_supported".into(), json!(1));
            drive.insert("native_type".into(), json!("wgs"));
        }
        drive
    }

    /// Seconds of the wall clock at a moment of the car's time.
    pub(crate) fn unix_at(&self, at: Duration) -> u64 {
        let begin = self.unix_millis() / 1000 - self.now().as_secs();
        begin + at.as_secs()
    }
}

fn hundredths(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}
