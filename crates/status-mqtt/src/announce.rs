//! What Home Assistant is told of devices: as one message for each device, or one for each entity. Pure.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};
use site::Snapshot;
use twc_names::id_of;

use crate::entity::Entity;
use crate::states::{OFFLINE, ONLINE, availability};
use crate::{AssistantConfig, StatusConfig, catalogue};

/// By this name announcements are known as ours.
pub(crate) const ORIGIN: &str = "twcmanager";
const VERSION: &str = env!("CARGO_PKG_VERSION");
const HOME: &str = "https://github.com/twcmanager/twcmanager";

/// Details of charging points that say something about the device, and Home Assistant's names for them.
pub(crate) const DETAILS: [(&str, &str); 2] = [("serial", "serial_number"), ("firmware", "sw_version")];

/// A discovery message.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Announcement {
    /// Its topic.
    pub topic: String,
    /// Its payload.
    pub config: Value,
    /// What is in it.
    pub facts: Facts,
}

/// What matters of an announcement later on, whoever made it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Facts {
    /// Identifier of its device.
    pub device: String,
    /// Unique ids of its entities.
    pub unique_ids: BTreeSet<String>,
    /// Topics of their states and of the device's own availability.
    pub state_topics: BTreeSet<String>,
    /// Kinds of the entities by their key, in a message for a device.
    pub components: BTreeMap<String, String>,
}

/// All announcements for a snapshot.
pub(crate) fn announcements(
    snapshot: &Snapshot,
    config: &StatusConfig,
    assistant: &AssistantConfig,
) -> Vec<Announcement> {
    let site = Device { id: "all".to_owned(), name: "site".to_owned(), is_site: true, details: Map::new() };
    let mut out = Announcer { config, assistant, device: &site }.announce(catalogue::of_site(snapshot));
    for evse in &snapshot.evses {
        let id = id_of(&evse.id);
        let is_gen2 = evse.id.starts_with("gen2-");
        let text = |key: &str| match evse.details.get(key) {
            Some(evse::Detail::Text(text)) => Some(Value::from(text.as_str())),
            _ => None,
        };
        let device = Device {
            name: if is_gen2 { id.clone() } else { evse.name.clone() },
            is_site: false,
            details: DETAILS.iter().filter_map(|(detail, name)| Some(((*name).to_owned(), text(detail)?))).collect(),
            id,
        };
        let entities = catalogue::of_evse(&device.id, evse.capabilities);
        out.extend(Announcer { config, assistant, device: &device }.announce(entities));
    }
    out
}

struct Device {
    id: String,
    name: String,
    is_site: bool,
    details: Map<String, Value>,
}

struct Announcer<'a> {
    config: &'a StatusConfig,
    assistant: &'a AssistantConfig,
    device: &'a Device,
}

impl Announcer<'_> {
    fn announce(&self, mut entities: Vec<Entity>) -> Vec<Announcement> {
        if self.assistant.control_prefix.is_none() {
            entities.retain(|entity| entity.command.is_none());
        }
        if self.assistant.by_sensor {
            return entities.iter().map(|entity| self.single(entity)).collect();
        }
        let mut facts = self.facts();
        let mut components = Map::new();
        for entity in &entities {
            let key = self.object(entity);
            let mut component = self.entity(entity);
            component.insert("platform".to_owned(), entity.platform.word().into());
            self.note(entity, &mut facts);
            facts.components.insert(key.clone(), entity.platform.word().to_owned());
            components.insert(key, Value::Object(component));
        }
        let mut config = self.shared();
        config.insert("components".to_owned(), Value::Object(components));
        let topic = format!("{}/device/{}/config", self.assistant.discovery_prefix, for_topic(&facts.device));
        vec![Announcement { topic, config: Value::Object(config), facts }]
    }

    /// The older form: its topic is TWCManager's own for the entities that TWCManager has.
    fn single(&self, entity: &Entity) -> Announcement {
        let mut facts = self.facts();
        self.note(entity, &mut facts);
        let mut config = self.entity(entity);
        config.extend(self.shared());
        let node = format!("{}_{}", self.config.prefix.replace('/', "_"), self.owner(entity));
        let topic = format!(
            "{}/{}/{}/{}/config",
            self.assistant.discovery_prefix,
            entity.platform.word(),
            for_topic(&node),
            for_topic(&self.object(entity))
        );
        Announcement { topic, config: Value::Object(config), facts }
    }

    fn facts(&self) -> Facts {
        Facts {
            device: identifier(self.assistant, &self.device.id),
            state_topics: self.own_availability().into_iter().collect(),
            ..Facts::default()
        }
    }

    /// Where it is told whether a charging point answers; the site has the program's.
    fn own_availability(&self) -> Option<String> {
        (!self.device.is_site).then(|| format!("{}/{}/availability", self.config.prefix, self.device.id))
    }

    fn note(&self, entity: &Entity, facts: &mut Facts) {
        facts.unique_ids.insert(self.unique_id(entity));
        facts.state_topics.extend(self.state_topic(entity));
    }

    fn owner<'e>(&'e self, entity: &Entity) -> &'e str {
        entity.owner.unwrap_or(&self.device.id)
    }

    fn object(&self, entity: &Entity) -> String {
        format!("{}_{}", self.owner(entity), entity.key)
    }

    fn unique_id(&self, entity: &Entity) -> String {
        format!("{}_{}", identifier(self.assistant, self.owner(entity)), entity.key)
    }

    fn state_topic(&self, entity: &Entity) -> Option<String> {
        entity.state.map(|key| format!("{}/{}/{key}", self.config.prefix, self.owner(entity)))
    }

    /// What is the entity's own.
    fn entity(&self, entity: &Entity) -> Map<String, Value> {
        let mut out = Map::new();
        out.insert("name".to_owned(), entity.name.into());
        out.insert("unique_id".to_owned(), self.unique_id(entity).into());
        if let Some(topic) = self.state_topic(entity) {
            out.insert("state_topic".to_owned(), topic.into());
        }
        if let (Some(command), Some(prefix)) = (&entity.command, &self.assistant.control_prefix) {
            out.insert("command_topic".to_owned(), format!("{prefix}/control/{command}").into());
        }
        out.extend(entity.options.clone());
        out
    }

    /// What all entities of the device share.
    fn shared(&self) -> Map<String, Value> {
        let name = format!("{} {}", self.assistant.device_prefix, self.device.name);
        let mut device = json!({
            "identifiers": [identifier(self.assistant, &self.device.id)],
            "name": name.trim(),
            "manufacturer": "Open Source",
            "model": if self.device.is_site { "TWCManager" } else { "TWCManager charging point" },
        });
        if let Some(fields) = device.as_object_mut() {
            fields.extend(self.device.details.clone());
            if self.device.is_site {
                fields.insert("sw_version".to_owned(), VERSION.into());
            } else {
                fields.insert("via_device".to_owned(), identifier(self.assistant, "all").into());
            }
        }
        let at = |topic: String| json!({"topic": topic, "payload_available": ONLINE, "payload_not_available": OFFLINE});
        let mut available = vec![at(availability(self.config))];
        available.extend(self.own_availability().map(at));
        let origin = json!({"name": ORIGIN, "sw_version": VERSION, "support_url": HOME});
        Map::from_iter([
            ("device".to_owned(), device),
            ("origin".to_owned(), origin),
            ("availability".to_owned(), Value::Array(available)),
            ("availability_mode".to_owned(), "all".into()),
        ])
    }
}

/// Identifier of a device, as TWCManager makes it.
pub(crate) fn identifier(assistant: &AssistantConfig, id: &str) -> String {
    format!("{}{id}", own_prefix(assistant))
}

/// What all our identifiers begin with.
pub(crate) fn own_prefix(assistant: &AssistantConfig) -> String {
    format!("{ORIGIN}_{}_", assistant.device_prefix.replace(' ', "_"))
}

/// Home Assistant allows letters, digits, `-` and `_` in these topics.
fn for_topic(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() || "-_".contains(c) { c } else { '_' }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::states::states;
    use crate::testing::{assistant, config};
    use twc_names::testing::snapshot;

    fn announced(change: impl FnOnce(&mut AssistantConfig)) -> Vec<Announcement> {
        let mut assistant = assistant();
        change(&mut assistant);
        announcements(&snapshot(), &config(), &assistant)
    }

    #[test]
    fn there_is_a_device_for_the_site_and_one_for_each_charging_point() {
        let all = announced(|_| ());
        let topics: Vec<&str> = all.iter().map(|one| one.topic.as_str()).collect();
        assert_eq!(
            topics,
            [
                "homeassistant/device/twcmanager_TWC_all/config",
                "homeassistant/device/twcmanager_TWC_3A7C/config",
                "homeassistant/device/twcmanager_TWC_4085/config"
            ]
        );
        let [site, first, _] = &all[..] else { panic!() };
        assert_eq!(site.config["device"]["name"], "TWC site");
        assert_eq!(first.config["device"]["name"], "TWC 3A7C");
        assert_eq!(first.config["device"]["via_device"], "twcmanager_TWC_all");
        assert_eq!(first.config["origin"]["name"], "twcmanager");
        assert_eq!(first.config["availability"][1]["topic"], "TWC/3A7C/availability");
        let component = &first.config["components"]["3A7C_lifetime_kwh"];
        assert_eq!(
            *component,
            json!({"name": "Lifetime kwh", "unique_id": "twcmanager_TWC_3A7C_lifetime_kwh",
                "state_topic": "TWC/3A7C/lifetimekWh", "unit_of_measurement": "kWh", "device_class": "energy",
                "state_class": "total_increasing", "platform": "sensor"})
        );
        let switch = &first.config["components"]["3A7C_enabled"];
        assert_eq!(switch["command_topic"], "TWC/control/evse/3A7C/enabled");
        assert!(all.iter().all(|one| one.config.to_string().len() < 20_000));
    }

    /// The unique ids of TWCManager's own discovery, from a recording of 1.4 and from 1.3.3.
    #[test]
    fn history_goes_on() {
        let ids: BTreeSet<String> = announced(|_| ()).into_iter().flat_map(|one| one.facts.unique_ids).collect();
        for known in [
            "3A7C_charger_load_w",
            "3A7C_amps_max",
            "3A7C_amps_in_use",
            "3A7C_state",
            "3A7C_cars_charging",
            "3A7C_amps_offered",
            "3A7C_amps_desired",
            "3A7C_lifetime_kwh",
            "3A7C_voltage_phase_a",
            "3A7C_voltage_phase_b",
            "3A7C_voltage_phase_c",
            "3A7C_current_vehicle_vin",
            "3A7C_last_vehicle_vin",
            "3A7C_power",
            "all_total_amps_in_use",
            "all_current_policy",
            "all_max_amps_for_slaves",
            "config_min_amps_per_twc",
        ] {
            assert!(ids.contains(&format!("twcmanager_TWC_{known}")), "{known}");
        }
        let spaced = announced(|assistant| assistant.device_prefix = "My TWC".to_owned());
        assert_eq!(spaced[0].facts.device, "twcmanager_My_TWC_all");
        assert_eq!(spaced[0].config["device"]["name"], "My TWC site");
    }

    #[test]
    fn the_single_form_has_the_old_topics() {
        let all = announced(|assistant| assistant.by_sensor = true);
        let one = all.iter().find(|one| one.topic == "homeassistant/sensor/TWC_3A7C/3A7C_charger_load_w/config");
        let one = &one.unwrap().config;
        assert_eq!(one["unique_id"], "twcmanager_TWC_3A7C_charger_load_w");
        assert_eq!(one["state_topic"], "TWC/3A7C/chargerLoadInW");
        assert_eq!(one["device"]["identifiers"][0], "twcmanager_TWC_3A7C");
        assert!(all.iter().any(|one| one.topic == "homeassistant/sensor/TWC_config/config_min_amps_per_twc/config"));
        assert!(all.iter().any(|one| one.topic == "homeassistant/select/TWC_all/all_mode/config"));
    }

    /// A message for each device and one for each entity say the same.
    #[test]
    fn both_forms_have_the_same_entities() {
        let ids = |by_sensor| -> BTreeSet<String> {
            let all = announced(|assistant| assistant.by_sensor = by_sensor);
            all.into_iter().flat_map(|one| one.facts.unique_ids).collect()
        };
        assert_eq!(ids(true), ids(false));
    }

    #[test]
    fn every_state_topic_is_published() {
        let mut snapshot = snapshot();
        snapshot.evses.truncate(1);
        let config = config();
        let published: BTreeSet<String> =
            states(&snapshot, &json!({}), &config).into_iter().map(|state| state.topic).collect();
        for one in announcements(&snapshot, &config, &assistant()) {
            for topic in one.facts.state_topics {
                assert!(published.contains(&topic), "{topic}");
            }
        }
    }

    #[test]
    fn without_commands_there_is_nothing_to_choose() {
        let text = |all: Vec<Announcement>| all.iter().map(|one| one.config.to_string()).collect::<String>();
        assert!(text(announced(|_| ())).contains("command_topic"));
        let looking = text(announced(|assistant| assistant.control_prefix = None));
        assert!(!looking.contains("command_topic") && !looking.contains("\"number\""), "{looking}");
    }

    /// What Home Assistant refuses: two entities of one id, energy that is a measurement, a sensor among the settings, a
    /// choice among the details.
    #[test]
    fn entities_obey_the_rules() {
        let mut ids = BTreeSet::new();
        for one in announced(|_| ()) {
            for (key, entity) in one.config["components"].as_object().unwrap() {
                assert!(ids.insert(entity["unique_id"].as_str().unwrap().to_owned()), "{key}");
                let text = |name: &str| entity[name].as_str().unwrap_or_default().to_owned();
                let is_sensor = text("platform").contains("sensor");
                assert_ne!(text("entity_category"), if is_sensor { "config" } else { "diagnostic" }, "{key}");
                assert_eq!(text("device_class") == "energy", text("state_class") == "total_increasing", "{key}");
                assert_eq!(text("device_class") == "enum", is_sensor && !entity["options"].is_null(), "{key}");
                assert!(text("state_class").is_empty() || !text("unit_of_measurement").is_empty(), "{key}");
                assert!(is_sensor || !text("command_topic").is_empty(), "{key}");
            }
        }
    }
}
