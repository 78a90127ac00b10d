//! A car as TeslaMate and Fleet Telemetry publish it. Publishing is left to the test.

use serde_json::{Value, json};

use crate::car::{Availability, Car, ChargingState};
use crate::payload::whole;

impl Car {
    /// TeslaMate's topics (all but `healthy` are retained): `{namespace}/cars/{number}/…`, where `namespace` is `teslamate`, or
    /// `teslamate/` and a name. `geofence` is the name of the place it is in.
    #[must_use]
    pub fn teslamate_topics(&self, namespace: &str, number: u32, geofence: &str) -> Vec<(String, String)> {
        let supply = self.supply();
        let (place, _) = self.fix();
        let is_charging = self.charging_state() == ChargingState::Charging;
        let state = match self.availability() {
            Availability::Asleep => "asleep",
            Availability::Offline => "offline",
            Availability::Online if self.is_driving() => "driving",
            Availability::Online if is_charging => "charging",
            Availability::Online => "online",
        };
        let while_charging = |value: u64| if is_charging { value.to_string() } else { String::new() };
        let hours = self.minutes_to_limit() / 60.0;
        let start = self.waits_until().map(|at| iso(self.unix_at(at))).unwrap_or_default();
        let values: Vec<(&str, String)> = vec![
            ("display_name", self.called().to_owned()),
            ("state", state.to_owned()),
            ("since", iso(self.unix_at(self.now()))),
            ("healthy", "true".to_owned()),
            ("version", self.firmware().to_owned()),
            ("plugged_in", supply.is_some().to_string()),
            ("charging_state", self.charging_state().word().to_owned()),
            ("battery_level", whole(self.soc().get()).to_string()),
            ("usable_battery_level", whole(self.soc().get()).to_string()),
            ("charge_limit_soc", whole(self.charge_limit().get()).to_string()),
            ("charger_actual_current", while_charging(whole(self.drawn().get()))),
            ("charger_phases", while_charging(self.told_phases().unwrap_or(0))),
            ("charger_power", while_charging(whole(self.power().get() / 1000.0))),
            ("charger_voltage", while_charging(self.told_volts().unwrap_or(0))),
            ("charge_current_request", whole(self.set_amps().get()).to_string()),
            ("charge_current_request_max", whole(self.most_amps().get()).to_string()),
            ("charge_energy_added", format!("{:.2}", self.energy_added().get() / 1000.0)),
            ("time_to_full_charge", if is_charging { format!("{hours:.2}") } else { String::new() }),
            ("scheduled_charging_start_time", start),
            ("charge_port_door_open", supply.is_some().to_string()),
            ("location", json!({ "latitude": place.latitude, "longitude": place.longitude }).to_string()),
            ("geofence", geofence.to_owned()),
            ("shift_state", if self.is_driving() { "D".to_owned() } else { String::new() }),
        ];
        values.into_iter().map(|(key, value)| (format!("{namespace}/cars/{number}/{key}"), value)).collect()
    }

    /// Fleet Telemetry's topics, `{base}/{vin}/…`. A car that is not online only says that it is gone.
    #[must_use]
    pub fn fleet_telemetry_topics(&self, base: &str) -> Vec<(String, String)> {
        let is_online = self.availability() == Availability::Online;
        let connectivity = json!({
            "ConnectionId": format!("c{}", self.wakes()),
            "Status": if is_online { "CONNECTED" } else { "DISCONNECTED" },
            "CreatedAt": iso(self.unix_at(self.now())),
        });
        let vin = self.vin();
        let mut topics = vec![(format!("{base}/{vin}/connectivity"), connectivity.to_string())];
        if !is_online {
            return topics;
        }
        let (place, _) = self.fix();
        let is_direct = self.supply().is_some_and(crate::car::Supply::is_direct);
        let kilowatts = self.power().get() / 1000.0;
        let mode = if self.schedule().is_some() { "ScheduledChargingModeStartAt" } else { "ScheduledChargingModeOff" };
        let values: Vec<(&str, Value)> = vec![
            ("DetailedChargeState", json!(format!("DetailedChargeState{}", self.charging_state().word()))),
            ("Soc", json!(self.soc().get())),
            ("BatteryLevel", json!(self.soc().get())),
            ("ChargeLimitSoc", json!(whole(self.charge_limit().get()))),
            ("ChargeAmps", json!(if is_direct { 0.0 } else { self.drawn().get() })),
            ("ChargerVoltage", self.told_volts().map_or(Value::Null, |volts| json!(format!("{volts}.0")))),
            ("ChargerPhases", self.told_phases().map_or(Value::Null, Value::from)),
            ("ChargeCurrentRequest", json!(whole(self.set_amps().get()))),
            ("ChargeCurrentRequestMax", json!(whole(self.most_amps().get()))),
            ("ACChargingPower", json!(if is_direct { 0.0 } else { kilowatts })),
            ("DCChargingPower", json!(if is_direct { kilowatts } else { 0.0 })),
            ("ACChargingEnergyIn", json!(self.energy_added().get() / 1000.0)),
            ("TimeToFullCharge", json!(self.minutes_to_limit() / 60.0)),
            ("ScheduledChargingPending", json!(self.waits_until().is_some())),
            ("ScheduledChargingMode", json!(mode)),
            ("FastChargerPresent", json!(is_direct)),
            ("ChargePortDoorOpen", json!(self.supply().is_some())),
            ("Gear", json!(if self.is_driving() { "ShiftStateD" } else { "ShiftStateP" })),
            ("Location", json!({ "latitude": place.latitude, "longitude": place.longitude })),
            ("VehicleName", json!(self.called())),
        ];
        topics.extend(values.into_iter().map(|(key, value)| (format!("{base}/{vin}/v/{key}"), value.to_string())));
        topics
    }
}

/// Seconds since 1970 as `2026-05-01T10:00:00Z`.
pub(crate) fn iso(unix: u64) -> String {
    let (days, seconds) = (unix / 86_400, unix % 86_400);
    // Days from 1 March of the year 0 on, in spans of 400 years; the algorithm is Howard Hinnant's.
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

#[cfg(test)]
mod tests {
    use super::iso;

    #[test]
    fn dates_are_right() {
        for (unix, expected) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_735_725_600, "2025-01-01T10:00:00Z"),
            (1_767_225_599, "2025-12-31T23:59:59Z"),
        ] {
            assert_eq!(iso(unix), expected);
        }
    }
}
