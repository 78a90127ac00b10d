//! Every entity there is. Keys are for ever; those of TWCManager keep its keys and names, so that history goes on.

use evse::{Activity, Capabilities};
use site::Snapshot;
use twc_names::{Mode, Preset};

use crate::entity::Entity;
use crate::states::activity;

/// Entities of the site.
pub(crate) fn of_site(snapshot: &Snapshot) -> Vec<Entity> {
    let site = &snapshot.site;
    let most = site.max_amps_all.floor().max(1.0);
    let can_stop = snapshot.evses.iter().any(|evse| evse.capabilities.stop || evse.capabilities.on_request);
    let mut out = vec![
        Entity::sensor("total_amps_in_use", "Total amps in use", "totalAmpsInUse").unit("A"),
        Entity::sensor("current_policy", "Current policy", "currentPolicy"),
        Entity::sensor("max_amps_for_slaves", "Max amps for slaves", "maxAmpsForSlaves").unit("A"),
        Entity {
            owner: Some("config"),
            ..Entity::sensor("min_amps_per_twc", "Min amps per twc", "minAmpsPerTWC").unit("A").detail()
        },
        Entity::sensor("cars_power_w", "Cars power", "carsPowerInW").unit("W"),
        Entity::sensor("grid_power_w", "Grid power", "gridPowerInW").unit("W"),
        Entity::sensor("generation_w", "Generation", "generationInW").unit("W"),
        Entity::sensor("house_power_w", "House power", "housePowerInW").unit("W"),
        Entity::sensor("surplus_w", "Surplus", "surplusInW").unit("W"),
        Entity::sensor("battery_power_w", "Battery power", "batteryPowerInW").unit("W").hidden(),
        Entity::sensor("battery_soc", "Battery", "batteryStateOfCharge").unit("%").hidden(),
        Entity::sensor("limit_amps", "Limit for cars", "limitAmps").unit("A").detail(),
        Entity::sensor("policy_reason", "Reason", "policyReason").detail(),
        Entity::sensor("alert", "Alert", "alert").detail(),
        Entity::binary("problem", "Problem", "problem", "problem").detail(),
        Entity::sensor("charge_now_left", "Charge now left", "chargeNowMinutesLeft").unit("min"),
        Entity::select("mode", "Mode", "mode", "mode", Mode::ALL.map(Mode::word).to_vec())
            .with("icon", "mdi:ev-station"),
        Entity::number("charge_now_amps", "Charge now current", "chargeNowAmps", "chargeNowAmps", (1.0, most))
            .unit("A"),
        Entity::number(
            "charge_now_minutes",
            "Charge now duration",
            "chargeNowMinutes",
            "chargeNowMinutes",
            (1.0, Preset::MOST_MINUTES),
        )
        .unit("min"),
        // A press chooses the mode of that name.
        Entity::button("charge_now", "Charge now", "mode")
            .with("payload_press", Mode::ChargeNow.word())
            .with("icon", "mdi:flash"),
        Entity::button("charge_now_end", "End charge now", "chargeNowEnd").with("icon", "mdi:flash-off"),
        Entity::number(
            "non_scheduled_amps_max",
            "Fixed current",
            "nonScheduledAmpsMax",
            "nonScheduledAmpsMax",
            (0.0, most),
        )
        .unit("A"),
        Entity::switch("schedule", "Schedule", "schedule", "schedule").with("icon", "mdi:calendar-clock").config(),
        Entity::number("scheduled_amps_max", "Schedule current", "scheduledAmpsMax", "scheduledAmpsMax", (0.0, most))
            .unit("A"),
    ];
    if can_stop {
        out.push(Entity::button("stop_charging", "Stop charging", "stopCharging").with("icon", "mdi:stop"));
    }
    out
}

/// Entities of one charging point whose id in topics is `id`.
pub(crate) fn of_evse(id: &str, can: Capabilities) -> Vec<Entity> {
    let command = |what: &str| format!("evse/{id}/{what}");
    let words = [
        Activity::Idle,
        Activity::WaitingForOffer,
        Activity::WaitingForCar,
        Activity::Charging,
        Activity::Declined,
        Activity::Faulted,
    ]
    .map(activity);
    let mut out = vec![
        Entity::sensor("charger_load_w", "Charger load w", "chargerLoadInW").unit("W"),
        Entity::sensor("amps_max", "Amps max", "ampsMax").unit("A"),
        Entity::sensor("amps_in_use", "Amps in use", "ampsInUse").unit("A"),
        // Amps under the name of power, up to 1.3.4.
        Entity::sensor("power", "Power", "power").unit("A").hidden(),
        Entity::sensor("state", "State", "state"),
        Entity::sensor("cars_charging", "Cars charging", "carsCharging"),
        Entity::sensor("amps_offered", "Amps offered", "ampsOffered").unit("A"),
        Entity::sensor("amps_desired", "Amps desired", "ampsDesired").unit("A"),
        Entity::sensor("lifetime_kwh", "Lifetime kwh", "lifetimekWh").unit("kWh"),
        Entity::sensor("voltage_phase_a", "Voltage phase a", "voltagePhaseA").unit("V"),
        Entity::sensor("voltage_phase_b", "Voltage phase b", "voltagePhaseB").unit("V"),
        Entity::sensor("voltage_phase_c", "Voltage phase c", "voltagePhaseC").unit("V"),
        Entity::sensor("current_vehicle_vin", "Current vehicle vin", "currentVehicleVIN").detail().hidden(),
        Entity::sensor("last_vehicle_vin", "Last vehicle vin", "lastVehicleVIN").detail().hidden(),
        Entity::sensor("session_energy_kwh", "Session energy", "sessionEnergykWh").unit("kWh"),
        Entity::sensor("session_minutes", "Session charging time", "sessionChargingMinutes").unit("min"),
        Entity::sensor("activity", "Activity", "activity").with("device_class", "enum").with("options", words.to_vec()),
        Entity::sensor("status_text", "Status", "statusText"),
        Entity::sensor("vehicle", "Vehicle", "vehicle").with("icon", "mdi:car").detail(),
        Entity::sensor("soc", "Vehicle battery", "stateOfCharge").unit("%").hidden(),
        Entity::sensor("amps_phase_a", "Amps phase a", "ampsPhaseA").unit("A").detail().hidden(),
        Entity::sensor("amps_phase_b", "Amps phase b", "ampsPhaseB").unit("A").detail().hidden(),
        Entity::sensor("amps_phase_c", "Amps phase c", "ampsPhaseC").unit("A").detail().hidden(),
        Entity::binary("plugged_in", "Plugged in", "pluggedIn", "plug"),
        Entity::binary("charging", "Charging", "charging", "battery_charging"),
        Entity::binary("fault", "Fault", "fault", "problem").detail(),
        Entity::switch("enabled", "Enabled", "enabled", command("enabled")).with("icon", "mdi:power"),
        Entity::number("priority", "Priority", "priority", command("priority"), (-100.0, 100.0))
            .with("icon", "mdi:sort-numeric-descending"),
    ];
    if can.start {
        out.push(Entity::button("start", "Start", command("start")).with("icon", "mdi:play"));
    }
    if can.stop {
        out.push(Entity::button("stop", "Stop", command("stop")).with("icon", "mdi:stop"));
    }
    out
}
