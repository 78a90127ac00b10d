//! What TWCManager was heard to publish, against what is published here in the same situation.

use std::collections::BTreeMap;
use std::path::Path;

use evse::{Activity, Detail};
use serde_json::{Value, json};
use site::Snapshot;
use twc_names::testing::{evse, snapshot};
use units::PerPhase;

use crate::AssistantConfig;
use crate::announce::announcements;
use crate::states::states;
use crate::testing::{assistant, config};

/// Numbers that TWCManager spells by the chance of their kind, `22` or `22.0`.
const BY_CHANCE: [&str; 3] = ["ampsOffered", "ampsDesired", "maxAmpsForSlaves"];

/// What the broker kept at the end of each recorded situation, when the recordings are here.
fn kept() -> Vec<(String, BTreeMap<String, String>)> {
    let Some(folder) = recordings::folder("twcmanager") else { return Vec::new() };
    let situations = ["dummy-ha-discovery", "dummy-idle", "rs485-1-green", "rs485-1-requests"];
    situations.map(|name| (name.to_owned(), retained(&folder.join(name).join("mqtt_retained.json")))).to_vec()
}

fn retained(file: &Path) -> BTreeMap<String, String> {
    let text = std::fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let messages: Vec<Value> =
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let text = |message: &Value, key: &str| message[key].as_str().expect("a text").to_owned();
    messages.iter().map(|message| (text(message, "topic"), text(message, "payload"))).collect()
}

/// The site in the condition that the messages tell of.
fn situation(kept: &BTreeMap<String, String>) -> Snapshot {
    let text = |topic: &str| kept.get(&format!("TWC/{topic}")).cloned();
    let number = |topic: &str| text(topic).map(|text| text.parse::<f64>().expect("a number"));
    let of = |key: &str| number(&format!("4142/{key}"));
    let mut out = snapshot();
    out.site.min_amps_each = number("config/minAmpsPerTWC").expect("known");
    out.site.default_volts = 240.0;
    out.power.granted_amps = number("all/maxAmpsForSlaves").expect("known");
    out.power.limit_amps = 80.0;
    out.policy.name = text("all/currentPolicy").expect("known");
    let mut one = evse("gen2-4142");
    one.phases = 1;
    one.activity =
        if text("4142/carsCharging").as_deref() == Some("True") { Activity::Charging } else { Activity::Idle };
    one.details.insert("state", Detail::Number(of("state").expect("known")));
    one.power_w = of("chargerLoadInW");
    one.reported_max_a = of("ampsMax");
    one.drawn_a = of("ampsInUse");
    one.offered_a = of("ampsOffered");
    one.target_w = of("ampsDesired").expect("known") * 240.0;
    one.energy_total_wh = of("lifetimekWh").map(|kwh| kwh * 1000.0);
    // A phase that is not connected.
    let volts = |key: &str| of(key).filter(|volts| *volts > 0.0);
    one.volts = PerPhase::new(volts("voltagePhaseA"), volts("voltagePhaseB"), volts("voltagePhaseC"));
    one.last_vin = text("4142/lastVehicleVIN");
    out.evses = vec![one];
    out
}

#[test]
fn recorded_topics_are_published_with_the_recorded_payloads() {
    for (name, kept) in kept() {
        let told = states(&situation(&kept), &json!({}), &config());
        let told: BTreeMap<String, String> = told.into_iter().map(|state| (state.topic, state.payload)).collect();
        let recorded = kept.iter().filter(|(topic, _)| topic.starts_with("TWC/"));
        for (topic, payload) in recorded {
            let here = told.get(topic).unwrap_or_else(|| panic!("{name}: {topic} is not published"));
            let key = topic.rsplit('/').next().unwrap_or_default();
            if BY_CHANCE.contains(&key) {
                assert_eq!(here.parse::<f64>(), payload.parse::<f64>(), "{name}: {topic}");
            } else if key == "carsCharging" {
                // A number in every released version and in the documentation.
                assert_eq!(here == "1", payload == "True", "{name}: {topic}");
            } else {
                assert_eq!(here, payload, "{name}: {topic}");
            }
        }
    }
}

/// The device that owns a shared entity, and what devices are called, are our own; all else is as it was.
#[test]
fn recorded_announcements_are_made_on_their_topics() {
    let mut compared = 0;
    for (name, kept) in kept() {
        let single = AssistantConfig { by_sensor: true, ..assistant() };
        let ours = announcements(&situation(&kept), &config(), &single);
        for (topic, payload) in kept.iter().filter(|(topic, _)| topic.starts_with("homeassistant/")) {
            let here = ours.iter().find(|one| one.topic == *topic);
            let here = &here.unwrap_or_else(|| panic!("{name}: {topic} is not announced")).config;
            let recorded: Value = serde_json::from_str(payload).expect("JSON");
            for (field, value) in recorded.as_object().expect("an object").iter().filter(|(key, _)| *key != "device") {
                assert_eq!(&here[field], value, "{name}: {topic} {field}");
            }
            assert_eq!(here["device"]["manufacturer"], recorded["device"]["manufacturer"]);
            if topic.contains("4142") {
                assert_eq!(here["device"]["identifiers"], recorded["device"]["identifiers"], "{topic}");
                assert_eq!(here["device"]["name"], recorded["device"]["name"], "{topic}");
            }
            compared += 1;
        }
    }
    assert!(compared == 0 || compared >= 11, "{compared}");
}
