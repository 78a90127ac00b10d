//! A snapshot as topics and payloads. Pure.

use evse::{Activity, Link, Plug};
use serde_json::Value;
use site::{EvseView, FreshnessView, MeasuredView, Snapshot};
use twc_names::{Mode, Preset, ScheduleSwitch, id_of};

use crate::StatusConfig;
use crate::pacer::State;

/// Longest state that Home Assistant takes, in characters.
const LONGEST_TEXT: usize = 255;
/// What makes a state unknown in Home Assistant.
const UNKNOWN: &str = "None";
/// Availability.
pub(crate) const ONLINE: &str = "online";
/// Availability.
pub(crate) const OFFLINE: &str = "offline";

/// Where the program tells whether it is there.
pub(crate) fn availability(config: &StatusConfig) -> String {
    format!("{}/status", config.prefix)
}

/// Everything that is told of a snapshot, each topic once.
pub(crate) fn states(snapshot: &Snapshot, settings: &Value, config: &StatusConfig) -> Vec<State> {
    let prefix = &config.prefix;
    let mut out: Vec<State> = twc_names::values(snapshot)
        .into_iter()
        .map(|value| State {
            topic: format!("{prefix}/{}/{}", value.id, value.key),
            payload: value.value.to_string(),
            is_event: value.is_event,
        })
        .collect();
    for evse in &snapshot.evses {
        let mut told = Told { below: format!("{prefix}/{}", id_of(&evse.id)), out: &mut out };
        told.event("availability", if evse.link == Link::Lost { OFFLINE } else { ONLINE });
        if config.assistant.is_some() {
            of_evse(evse, &mut told);
        }
    }
    if config.assistant.is_some() {
        of_site(snapshot, settings, &mut Told { below: format!("{prefix}/all"), out: &mut out });
    }
    out
}

/// Writes states down.
struct Told<'o> {
    below: String,
    out: &'o mut Vec<State>,
}

impl Told<'_> {
    fn put(&mut self, key: &str, payload: impl Into<String>, is_event: bool) {
        self.out.push(State { topic: format!("{}/{key}", self.below), payload: payload.into(), is_event });
    }

    /// Changes seldom, or somebody waits for it.
    fn event(&mut self, key: &str, payload: impl Into<String>) {
        self.put(key, payload, true);
    }

    /// Changes all the time.
    fn number(&mut self, key: &str, number: Option<f64>, decimals: usize) {
        let text = number.map_or(UNKNOWN.to_owned(), |number| format!("{number:.decimals$}"));
        let is_negative_zero = text.starts_with('-') && text.bytes().all(|byte| b"-0.".contains(&byte));
        self.put(key, if is_negative_zero { text.trim_start_matches('-') } else { &text }, false);
    }

    fn flag(&mut self, key: &str, flag: Option<bool>) {
        self.event(key, flag.map_or(UNKNOWN, |flag| if flag { "ON" } else { "OFF" }));
    }

    fn text(&mut self, key: &str, text: &str) {
        self.event(key, text.chars().take(LONGEST_TEXT).collect::<String>());
    }
}

fn of_evse(evse: &EvseView, told: &mut Told<'_>) {
    // These two are a person's choice, whether the charging point answers or not.
    told.flag("enabled", Some(evse.is_enabled));
    told.event("priority", evse.priority.to_string());
    told.text("statusText", &evse.sentence);
    if evse.link == Link::Lost {
        return;
    }
    told.event("activity", activity(evse.activity));
    told.flag(
        "pluggedIn",
        match evse.plug {
            Plug::Unknown => None,
            plug => Some(plug == Plug::PluggedIn),
        },
    );
    told.flag("charging", Some(twc_names::is_charging(evse)));
    told.flag("fault", Some(evse.activity == Activity::Faulted));
    // Without a session the last one's energy stays: a meter does not fall to zero because a car left.
    if let Some(session) = &evse.session {
        told.number("sessionEnergykWh", Some(session.energy_wh / 1000.0), 3);
        told.number("sessionChargingMinutes", Some((session.charging_s / 60.0).floor()), 0);
    }
    told.number("stateOfCharge", evse.soc, 0);
    let amps = &evse.drawn_per_phase_a;
    for (key, amps) in [("ampsPhaseA", amps.l1), ("ampsPhaseB", amps.l2), ("ampsPhaseC", amps.l3)] {
        told.number(key, amps, 2);
    }
    // The end of a VIN tells cars apart; who wants all of it has currentVehicleVIN.
    let vehicle = evse.vin.as_ref().map_or("none".to_owned(), |vin| {
        let skipped = vin.chars().count().saturating_sub(6);
        vin.chars().skip(skipped).collect()
    });
    told.event("vehicle", vehicle);
}

/// The stable word of an activity.
pub(crate) const fn activity(activity: Activity) -> &'static str {
    match activity {
        Activity::Idle => "idle",
        Activity::WaitingForOffer => "waiting_for_offer",
        Activity::WaitingForCar => "waiting_for_car",
        Activity::Charging => "charging",
        Activity::Declined => "declined",
        Activity::Faulted => "faulted",
    }
}

fn of_site(snapshot: &Snapshot, settings: &Value, told: &mut Told<'_>) {
    let power = &snapshot.power;
    let live = |measured: &Option<MeasuredView>| {
        measured.as_ref().filter(|measured| measured.freshness != FreshnessView::Stale).map(|measured| measured.w)
    };
    told.number("carsPowerInW", Some(power.cars_w), 0);
    told.number("gridPowerInW", live(&power.grid), 0);
    told.number("generationInW", live(&power.generation), 0);
    told.number("housePowerInW", live(&power.house), 0);
    told.number("surplusInW", power.surplus_w, 0);
    told.number("batteryPowerInW", live(&power.battery), 0);
    told.number("batteryStateOfCharge", power.battery_soc, 0);
    told.number("limitAmps", Some(power.limit_amps), 2);
    told.text("policyReason", &snapshot.policy.reason);
    let trouble = snapshot.alerts.iter().find(|alert| alert.level != "info");
    told.flag("problem", Some(trouble.is_some()));
    told.text("alert", trouble.map_or("none", |alert| &alert.text));
    // A time of day would be neater, but Home Assistant has no word for "none" there.
    let left = snapshot.charge_now.as_ref().map_or(0.0, |charge_now| (charge_now.until - snapshot.at).max(0.0));
    told.number("chargeNowMinutesLeft", Some((left / 60.0).ceil()), 0);

    told.event("mode", Mode::of(snapshot, settings).word());
    let preset = Preset::of(settings, &snapshot.site);
    told.event("chargeNowAmps", format!("{}", preset.amps));
    told.event("chargeNowMinutes", format!("{}", preset.minutes));
    let fixed = twc_names::setting(settings, "nonScheduledAmpsMax").unwrap_or(0.0);
    told.event("nonScheduledAmpsMax", format!("{fixed}"));
    let schedule = ScheduleSwitch::of(settings, &snapshot.site);
    told.flag("schedule", Some(schedule.is_on));
    told.event("scheduledAmpsMax", format!("{}", schedule.amps));
}

/// Whether a topic shows what a person chose, so that it is told again after each command.
pub(crate) fn is_choice(topic: &str) -> bool {
    const CHOICES: [&str; 8] = [
        "mode",
        "chargeNowAmps",
        "chargeNowMinutes",
        "nonScheduledAmpsMax",
        "schedule",
        "scheduledAmpsMax",
        "enabled",
        "priority",
    ];
    topic.rsplit('/').next().is_some_and(|key| CHOICES.contains(&key))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::config;
    use std::collections::BTreeMap;

    use serde_json::json;
    use twc_names::testing::snapshot;

    fn told(snapshot: &Snapshot, with_assistant: bool) -> BTreeMap<String, String> {
        let mut config = config();
        if !with_assistant {
            config.assistant = None;
        }
        let settings = json!({"nonScheduledAction": 3, "nonScheduledAmpsMax": "12"});
        let states = states(snapshot, &settings, &config);
        let count = states.len();
        let map: BTreeMap<String, String> = states.into_iter().map(|state| (state.topic, state.payload)).collect();
        assert_eq!(map.len(), count, "each topic once");
        map
    }

    /// Names and shapes as in recordings of TWCManager 1.4 with one connector, with the 0 and 1 of 1.3.
    #[test]
    fn topics_and_payloads_are_those_of_twcmanager() {
        let mut snapshot = snapshot();
        snapshot.evses.truncate(1);
        let told = told(&snapshot, false);
        let expected = [
            ("TWC/3A7C/ampsDesired", "8.74"),
            ("TWC/3A7C/ampsInUse", "8.0"),
            ("TWC/3A7C/ampsMax", "8.0"),
            ("TWC/3A7C/ampsOffered", "8"),
            ("TWC/3A7C/availability", "online"),
            ("TWC/3A7C/carsCharging", "1"),
            ("TWC/3A7C/chargerLoadInW", "5520"),
            ("TWC/3A7C/currentVehicleVIN", "5YJ3E1EA8KF000001"),
            ("TWC/3A7C/lastVehicleVIN", ""),
            ("TWC/3A7C/lifetimekWh", "8123"),
            ("TWC/3A7C/power", "8.0"),
            ("TWC/3A7C/state", "1"),
            ("TWC/3A7C/voltagePhaseA", "231"),
            ("TWC/3A7C/voltagePhaseB", "229"),
            ("TWC/3A7C/voltagePhaseC", "230"),
            ("TWC/all/currentPolicy", "Track Green Energy"),
            ("TWC/all/maxAmpsForSlaves", "8.73"),
            ("TWC/all/totalAmpsInUse", "8.0"),
            ("TWC/config/minAmpsPerTWC", "6"),
        ];
        let told: Vec<(&str, &str)> = told.iter().map(|(topic, payload)| (topic.as_str(), payload.as_str())).collect();
        assert_eq!(told, expected);
    }

    #[test]
    fn home_assistant_gets_more() {
        let mut snapshot = snapshot();
        snapshot.power.surplus_w = None;
        if let Some(generation) = &mut snapshot.power.generation {
            generation.freshness = FreshnessView::Stale;
        }
        let told = told(&snapshot, true);
        for (topic, payload) in [
            ("TWC/3A7C/sessionEnergykWh", "7.423"),
            ("TWC/3A7C/sessionChargingMinutes", "64"),
            ("TWC/3A7C/charging", "ON"),
            ("TWC/3A7C/activity", "charging"),
            ("TWC/3A7C/vehicle", "000001"),
            ("TWC/3A7C/stateOfCharge", "None"),
            ("TWC/4085/pluggedIn", "OFF"),
            ("TWC/4085/enabled", "ON"),
            ("TWC/4085/priority", "0"),
            ("TWC/all/gridPowerInW", "-508"),
            // Stale and unknown are not zero.
            ("TWC/all/generationInW", "None"),
            ("TWC/all/surplusInW", "None"),
            ("TWC/all/batteryPowerInW", "None"),
            ("TWC/all/mode", "Track surplus"),
            ("TWC/all/nonScheduledAmpsMax", "12"),
            ("TWC/all/schedule", "OFF"),
            ("TWC/all/problem", "OFF"),
            ("TWC/all/chargeNowMinutesLeft", "0"),
            ("TWC/4085/vehicle", "none"),
        ] {
            assert_eq!(told.get(topic).map(String::as_str), Some(payload), "{topic}");
        }
        // No session, no counter that falls to zero.
        assert!(!told.contains_key("TWC/4085/sessionEnergykWh"));
    }

    #[test]
    fn a_prefix_is_used_as_it_stands() {
        let config = StatusConfig { prefix: "a/TWC/".to_owned(), assistant: None, ..config() };
        let states = states(&snapshot(), &json!({}), &config);
        assert!(states.iter().any(|state| state.topic == "a/TWC//config/minAmpsPerTWC"));
    }

    #[test]
    fn a_silent_connector_says_nothing_but_that() {
        let mut snapshot = snapshot();
        for evse in &mut snapshot.evses {
            evse.link = Link::Lost;
        }
        let told = told(&snapshot, false);
        let of_it: Vec<&String> = told.keys().filter(|topic| topic.contains("/3A7C/")).collect();
        assert_eq!(of_it, ["TWC/3A7C/availability"]);
        assert_eq!(told["TWC/3A7C/availability"], OFFLINE);
        assert_eq!(told["TWC/all/totalAmpsInUse"], "0.0");
    }

    #[test]
    fn small_things_are_spelt_well() {
        let mut snapshot = snapshot();
        snapshot.power.cars_w = -0.2;
        snapshot.charge_now = Some(site::ChargeNowView { amps: 16.0, until: snapshot.at + 3599.6 });
        snapshot.evses[0].sentence = "ü".repeat(300);
        let told = told(&snapshot, true);
        assert_eq!(told["TWC/all/carsPowerInW"], "0");
        assert_eq!(told["TWC/all/chargeNowMinutesLeft"], "60");
        assert_eq!(told["TWC/all/mode"], "Charge now");
        assert_eq!(told["TWC/3A7C/statusText"].chars().count(), 255);
    }
}
