//! Every announcement that the broker keeps for us, of this run and of earlier ones, so that nothing is left behind:
//! neither doubled entities after a change of form, nor ghosts of what is gone.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::announce::{Announcement, Facts, ORIGIN, own_prefix};
use crate::publisher::Output;
use crate::states::availability;
use crate::{AssistantConfig, StatusConfig};

/// A charging point that was not seen for so long is taken away from Home Assistant. Long enough for a fuse that is out for
/// an hour; should it come back later, Home Assistant knows it again by its id.
pub(crate) const GRACE: Duration = Duration::from_secs(24 * 3600);
/// Between the new announcement and the end of the old one, so that Home Assistant has moved its entities over.
const MOVE: Duration = Duration::from_secs(3);

#[derive(Debug)]
struct Known {
    facts: Facts,
    /// As this run published it.
    payload: Option<String>,
    seen: Instant,
}

/// What the broker keeps.
#[derive(Debug, Default)]
pub(crate) struct Directory {
    known: BTreeMap<String, Known>,
    clearing: Vec<(Instant, String)>,
}

impl Directory {
    /// A retained announcement came in.
    pub(crate) fn found(&mut self, now: Instant, topic: &str, payload: &str, config: &StatusConfig) {
        let Some(facts) = serde_json::from_str(payload).ok().and_then(|value| own(&value, config)) else { return };
        self.known.entry(topic.to_owned()).or_insert(Known { facts, payload: None, seen: now });
    }

    /// Devices that are known and not among these.
    pub(crate) fn devices_without(&self, present: &BTreeSet<String>) -> BTreeSet<String> {
        self.known.values().map(|known| known.facts.device.clone()).filter(|device| !present.contains(device)).collect()
    }

    /// Tells what is new in these announcements, or all of it.
    pub(crate) fn announce(
        &mut self,
        now: Instant,
        all: Vec<Announcement>,
        assistant: &AssistantConfig,
        again: bool,
    ) -> Vec<Output> {
        let topics: BTreeSet<&str> = all.iter().map(|one| one.topic.as_str()).collect();
        let devices: BTreeSet<&str> = all.iter().map(|one| one.facts.device.as_str()).collect();
        let ids: BTreeSet<&str> = all.iter().flat_map(|one| &one.facts.unique_ids).map(String::as_str).collect();
        let own = own_prefix(assistant);
        let mut out = Vec::new();
        let clearing = &mut self.clearing;
        self.known.retain(|topic, known| {
            if topics.contains(topic.as_str()) {
                return true;
            }
            let is_moving = known.facts.unique_ids.iter().any(|id| ids.contains(id.as_str()));
            if is_moving {
                // Not retained: who is not there to read it finds only the new announcement later on.
                let payload = json!({"migrate_discovery": true}).to_string();
                out.push(Output::Send { topic: topic.clone(), payload });
                clearing.push((now + MOVE, topic.clone()));
                return false;
            }
            let is_dropped = devices.contains(known.facts.device.as_str()) || !known.facts.device.starts_with(&own);
            if is_dropped {
                out.push(Output::forget(topic));
            }
            !is_dropped
        });
        for one in all {
            out.extend(self.announce_one(now, one, again));
        }
        out
    }

    fn announce_one(&mut self, now: Instant, one: Announcement, again: bool) -> Option<Output> {
        let Announcement { topic, mut config, mut facts } = one;
        self.clearing.retain(|(_, cleared)| *cleared != topic);
        let known = self.known.get(&topic);
        if let (Some(components), Some(known)) = (config.get_mut("components").and_then(Value::as_object_mut), known) {
            // What was announced and is not any more has to be named once to go; naming it again does no harm.
            for (key, platform) in &known.facts.components {
                if !components.contains_key(key) {
                    components.insert(key.clone(), json!({ "platform": platform }));
                    facts.components.insert(key.clone(), platform.clone());
                }
            }
        }
        let payload = config.to_string();
        let is_new = again || known.and_then(|known| known.payload.as_ref()) != Some(&payload);
        let output = is_new.then(|| Output::Publish { topic: topic.clone(), payload: payload.clone() });
        self.known.insert(topic, Known { facts, payload: Some(payload), seen: now });
        output
    }

    /// What is to be taken away by now.
    pub(crate) fn due(&mut self, now: Instant, config: &StatusConfig) -> Vec<Output> {
        let mut out = Vec::new();
        self.clearing.retain(|(at, topic)| {
            let is_due = *at <= now;
            if is_due {
                out.push(Output::forget(topic));
            }
            !is_due
        });
        self.known.retain(|topic, known| {
            let is_gone = now.saturating_duration_since(known.seen) >= GRACE;
            if is_gone {
                log::info!("MQTT: {} was not seen for a day and is taken away from Home Assistant", known.facts.device);
                out.push(Output::forget(topic));
                let states = known.facts.state_topics.iter();
                // Only below our own prefix, whatever the message says.
                let own = format!("{}/", config.prefix);
                out.extend(states.filter(|state| state.starts_with(&own)).map(|state| Output::forget(state)));
            }
            !is_gone
        });
        out
    }

    /// When something is to be taken away next.
    pub(crate) fn next_timeout(&self) -> Option<Instant> {
        let clearing = self.clearing.iter().map(|(at, _)| *at);
        clearing.chain(self.known.values().map(|known| known.seen + GRACE)).min()
    }
}

/// The facts of an announcement that is ours: it names our availability, or has the form of TWCManager's and our topics.
fn own(config_of_entity: &Value, config: &StatusConfig) -> Option<Facts> {
    let device = config_of_entity.get("device")?;
    let identifier = device.pointer("/identifiers/0")?.as_str()?;
    let is_ours = config_of_entity.pointer("/origin/name").and_then(Value::as_str) == Some(ORIGIN)
        && config_of_entity.pointer("/availability/0/topic").and_then(Value::as_str) == Some(&availability(config));
    let mut facts = Facts { device: identifier.to_owned(), ..Facts::default() };
    let mut note = |entity: &Value| {
        let text = |key: &str| entity.get(key).and_then(Value::as_str).map(str::to_owned);
        facts.unique_ids.extend(text("unique_id"));
        facts.state_topics.extend(text("state_topic"));
    };
    note(config_of_entity);
    // The first is the program's.
    let own_availability = config_of_entity.pointer("/availability/1/topic").and_then(Value::as_str);
    let components = config_of_entity.get("components").and_then(Value::as_object);
    for (key, entity) in components.into_iter().flatten() {
        note(entity);
        // One that has a platform and nothing else is gone already.
        let is_there = entity.as_object().is_some_and(|fields| fields.len() > 1);
        if let (true, Some(platform)) = (is_there, entity.get("platform").and_then(Value::as_str)) {
            facts.components.insert(key.clone(), platform.to_owned());
        }
    }
    facts.state_topics.extend(own_availability.map(str::to_owned));
    let two_below = |topic: &String| {
        let rest = topic.strip_prefix(&config.prefix).and_then(|rest| rest.strip_prefix('/'));
        rest.is_some_and(|rest| rest.split('/').count() == 2)
    };
    let is_twcmanagers = config_of_entity.get("origin").is_none()
        && identifier.starts_with("twcmanager_")
        && device.get("model").and_then(Value::as_str) == Some("TWCManager")
        && facts.state_topics.iter().any(two_below);
    (is_ours || is_twcmanagers).then_some(facts)
}
