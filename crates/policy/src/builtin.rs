//! The five policies that are there without any configuration, in the form of the configuration.

use serde_json::{Value as Json, json};

/// Name of the first.
pub const CHARGE_NOW: &str = "Charge Now";
/// Name of the second.
pub const SCHEDULED: &str = "Scheduled Charging";
/// Name of the third and the fifth.
pub const GREEN: &str = "Track Green Energy";
/// Name of the fourth.
pub const NON_SCHEDULED: &str = "Non Scheduled Charging";

/// The list, first to last. The third respects "do not charge" (`nonScheduledAction` 2).
pub(crate) fn builtin_policies() -> [Json; 5] {
    [
        json!({
            "name": CHARGE_NOW,
            "match": ["settings.chargeNowAmps", "settings.chargeNowTimeEnd", "settings.chargeNowTimeEnd"],
            "condition": ["gt", "gt", "gt"],
            "value": [0, 0, "now"],
            "charge_amps": "settings.chargeNowAmps",
            "charge_limit": "config.chargeNowLimit",
        }),
        json!({
            "name": SCHEDULED,
            "match": ["checkScheduledCharging()"],
            "condition": ["eq"],
            "value": [1],
            "charge_amps": "settings.scheduledAmpsMax",
            "charge_limit": "config.scheduledLimit",
        }),
        json!({
            "name": GREEN,
            "match": ["tm_hour", "tm_hour", "settings.hourResumeTrackGreenEnergy", "settings.nonScheduledAction"],
            "condition": ["gte", "lt", "lte", "ne"],
            "value": ["settings.sunrise", "settings.sunset", "tm_hour", 2],
            "background_task": "checkGreenEnergy",
            "allowed_flex": "config.greenEnergyFlexAmps",
            "charge_limit": "config.greenEnergyLimit",
        }),
        json!({
            "name": NON_SCHEDULED,
            "match": ["settings.nonScheduledAction"],
            "condition": ["lt"],
            "value": [3],
            "charge_amps": "settings.nonScheduledAmpsMax",
            "charge_limit": "config.nonScheduledLimit",
        }),
        json!({
            "name": GREEN,
            "match": ["settings.nonScheduledAction"],
            "condition": ["eq"],
            "value": [3],
            "background_task": "checkGreenEnergy",
            "allowed_flex": "config.greenEnergyFlexAmps",
            "charge_limit": "config.greenEnergyLimit",
        }),
    ]
}

/// What a `background_task` of a policy comes to in this program, as a clause; `None` for a name nobody knows.
#[must_use]
pub fn background_task(name: &str) -> Option<&'static str> {
    Some(match name {
        "checkGreenEnergy" => "sources are read all the time, whatever the policy",
        "checkMaxPowerFromGrid" => "the grid limit is watched all the time, in every policy",
        "checkCharge" | "checkArrival" | "checkDeparture" => "cars are asked as often as their own source allows",
        "applyChargeLimit" => "give the policy a `charge_limit` instead",
        "charge" => "starting and stopping follows from the amps of the policy",
        "checkVINEntitlement" => "every car that is recognised is checked",
        "getLifetimekWh" | "getVehicleVIN" => "charging points are asked for this all the time",
        "snapHistoryData" | "updateStatus" | "saveSettings" | "sunrise" => "this happens by itself",
        "webhook" => "give the policy `webhooks` instead",
        "getPricing" => "prices are not read yet",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Those of TWCManager, of the fork with the grid limit, and of the branch with prices.
    #[test]
    fn every_background_task_of_older_files_is_known() {
        let names = "applyChargeLimit charge checkArrival checkCharge checkDeparture checkGreenEnergy checkMaxPowerFromGrid \
            checkVINEntitlement getLifetimekWh getPricing getVehicleVIN saveSettings snapHistoryData sunrise updateStatus webhook";
        for name in names.split_whitespace() {
            assert!(background_task(name).is_some(), "{name}");
        }
        assert_eq!(background_task("checkGreenEnergies"), None);
    }
}
