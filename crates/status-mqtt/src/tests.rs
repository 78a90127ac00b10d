//! The publisher in virtual time.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mqtt_link::Message;
use serde_json::{Value, json};
use site::Snapshot;
use twc_names::testing::snapshot;

use crate::directory::GRACE;
use crate::publisher::{LISTEN, Output, Publisher};
use crate::testing::{assistant, config};
use crate::{AssistantConfig, StatusConfig};

const SITE: &str = "homeassistant/device/twcmanager_TWC_all/config";
const FIRST: &str = "homeassistant/device/twcmanager_TWC_3A7C/config";

/// A publisher, a clock, and a broker that keeps what is retained.
struct Bench {
    publisher: Publisher,
    now: Instant,
    kept: BTreeMap<String, String>,
    /// What went out since it was last looked at, in order.
    log: Vec<Output>,
}

impl Bench {
    fn new(change: impl FnOnce(&mut AssistantConfig)) -> Bench {
        let mut assistant = assistant();
        change(&mut assistant);
        let config = StatusConfig { assistant: Some(assistant), ..config() };
        let publisher = Publisher::new(config, Duration::from_secs(3));
        Bench { publisher, now: Instant::now(), kept: BTreeMap::new(), log: Vec::new() }
    }

    /// The same broker, and a program that was started anew.
    fn restarted(self, change: impl FnOnce(&mut AssistantConfig)) -> Bench {
        Bench { kept: self.kept, now: self.now + Duration::from_secs(60), ..Bench::new(change) }
    }

    fn drain(&mut self) {
        while let Some(output) = self.publisher.poll_output() {
            if let Output::Publish { topic, payload } = &output {
                if payload.is_empty() {
                    self.kept.remove(topic);
                } else {
                    self.kept.insert(topic.clone(), payload.clone());
                }
            }
            self.log.push(output);
        }
    }

    fn shows(&mut self, snapshot: Snapshot, settings: Value) {
        self.publisher.handle_snapshot(self.now, Arc::new(snapshot), Arc::new(settings));
        self.drain();
    }

    fn hears(&mut self, topic: &str, payload: &str, retained: bool) {
        let message = Message { topic: topic.to_owned(), payload: payload.into(), retained, received: self.now };
        self.publisher.handle_message(self.now, &message);
    }

    fn passes(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(at) = self.publisher.next_timeout().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            self.publisher.handle_timeout(self.now);
            self.drain();
        }
        self.now = end;
    }

    /// Connects, hears what the broker keeps, and announces.
    fn connects(&mut self) {
        self.publisher.handle_connected(self.now);
        for (topic, payload) in self.kept.clone() {
            if topic.ends_with("/config") {
                self.hears(&topic, &payload, true);
            }
        }
        self.passes(LISTEN);
    }

    fn kept(&self, start: &str) -> Vec<&str> {
        self.kept.keys().filter(|topic| topic.starts_with(start)).map(String::as_str).collect()
    }

    fn sent(&mut self) -> Vec<String> {
        let all = self.log.drain(..);
        all.filter_map(|output| match output {
            Output::Publish { topic, .. } => Some(topic),
            _ => None,
        })
        .collect()
    }
}

fn started(change: impl FnOnce(&mut AssistantConfig)) -> Bench {
    let mut bench = Bench::new(change);
    bench.shows(snapshot(), json!({}));
    bench.connects();
    bench
}

#[test]
fn states_come_at_once_and_announcements_after_listening() {
    let mut bench = Bench::new(|_| ());
    bench.shows(snapshot(), json!({}));
    assert_eq!(bench.kept["TWC/3A7C/ampsInUse"], "8.0");
    assert!(bench.kept("homeassistant").is_empty());
    bench.connects();
    assert_eq!(bench.kept("homeassistant").len(), 3);
    // Nothing new, nothing said.
    bench.sent();
    bench.shows(snapshot(), json!({}));
    assert_eq!(bench.sent(), [""; 0]);
}

#[test]
fn a_measured_value_waits_and_a_choice_does_not() {
    let mut bench = started(|_| ());
    bench.sent();
    let mut changed = snapshot();
    changed.evses[0].drawn_a = Some(9.0);
    changed.evses[0].priority = 4;
    bench.shows(changed, json!({"nonScheduledAction": 2}));
    assert_eq!(bench.sent(), ["TWC/3A7C/priority", "TWC/all/mode"]);
    bench.passes(Duration::from_secs(60));
    assert_eq!(bench.kept["TWC/3A7C/ampsInUse"], "9.0");
    assert_eq!(bench.kept["TWC/all/mode"], "Do not charge");
}

#[test]
fn a_refused_choice_jumps_back() {
    let mut bench = started(|_| ());
    bench.sent();
    bench.hears("TWC/control/nonScheduledAmpsMax", "500", false);
    bench.passes(Duration::from_secs(1));
    let sent = bench.sent();
    assert!(sent.contains(&"TWC/all/nonScheduledAmpsMax".to_owned()) && sent.contains(&"TWC/all/mode".to_owned()));
    assert!(!sent.contains(&"TWC/3A7C/ampsInUse".to_owned()));
    // What the broker keeps is nobody's wish of now.
    bench.hears("TWC/control/stop", "", true);
    bench.passes(Duration::from_secs(1));
    assert_eq!(bench.sent(), [""; 0]);
}

#[test]
fn a_started_home_assistant_is_told_everything_again() {
    let mut bench = started(|_| ());
    bench.sent();
    bench.hears("homeassistant/status", "offline", false);
    bench.hears("homeassistant/status", "online", true);
    bench.passes(Duration::from_secs(4));
    assert_eq!(bench.sent(), [""; 0]);
    bench.hears("homeassistant/status", "online", false);
    bench.passes(Duration::from_secs(2));
    assert_eq!(bench.sent(), [""; 0]);
    bench.passes(Duration::from_secs(1));
    let sent = bench.sent();
    assert!(
        [SITE, FIRST, "TWC/3A7C/ampsInUse", "TWC/3A7C/availability"]
            .iter()
            .all(|topic| sent.iter().any(|t| t == topic))
    );
}

/// As a recording of TWCManager 1.4 shows it.
fn of_twcmanager(id: &str, key: &str, topic: &str) -> (String, String) {
    let config = json!({"name": "Amps in use", "unique_id": format!("twcmanager_TWC_{id}_{key}"), "state_topic": topic,
        "device": {"identifiers": [format!("twcmanager_TWC_{id}")], "manufacturer": "Open Source", "model": "TWCManager",
            "name": format!("TWC {id}")},
        "unit_of_measurement": "A", "device_class": "current", "state_class": "measurement"});
    (format!("homeassistant/sensor/TWC_{id}/{id}_{key}/config"), config.to_string())
}

#[test]
fn entities_of_twcmanager_move_over() {
    let mut bench = Bench::new(|_| ());
    let old = of_twcmanager("3A7C", "amps_in_use", "TWC/3A7C/ampsInUse");
    let shared = of_twcmanager("config", "min_amps_per_twc", "TWC/config/minAmpsPerTWC");
    let (mut foreign, payload) = of_twcmanager("3A7C", "amps_in_use", "other/TWC/3A7C/ampsInUse");
    foreign = foreign.replace("TWC_3A7C", "other_TWC_3A7C");
    bench.kept = BTreeMap::from([old.clone(), shared.clone(), (foreign.clone(), payload)]);
    bench.shows(snapshot(), json!({}));
    bench.log.clear();
    bench.connects();
    // Asked to move, then told where to, and only later is the old announcement taken away.
    let at = |topic: &str| {
        bench.log.iter().position(|output| match output {
            Output::Send { topic: sent, payload } => sent == topic && payload.contains("migrate_discovery"),
            Output::Publish { topic: sent, .. } => sent == topic,
            Output::Heard => false,
        })
    };
    assert!(at(&old.0).unwrap() < at(FIRST).unwrap() && at(&shared.0).unwrap() < at(SITE).unwrap());
    assert!(at(&foreign).is_none());
    assert_eq!(bench.kept("homeassistant/sensor").len(), 3);
    bench.passes(Duration::from_secs(5));
    assert_eq!(bench.kept("homeassistant/sensor"), [foreign.as_str()]);
    assert_eq!(bench.kept("homeassistant/device").len(), 3);
}

#[test]
fn the_form_can_be_changed_and_changed_back() {
    let bench = started(|_| ());
    let mut bench = bench.restarted(|assistant| assistant.by_sensor = true);
    bench.shows(snapshot(), json!({}));
    bench.connects();
    bench.passes(Duration::from_secs(5));
    assert!(bench.kept("homeassistant/device").is_empty());
    let singles = bench.kept("homeassistant/").len();
    assert!(singles > 60, "{singles}");
    let mut bench = bench.restarted(|_| ());
    bench.shows(snapshot(), json!({}));
    bench.connects();
    bench.passes(Duration::from_secs(5));
    assert_eq!(bench.kept("homeassistant/").len(), 3);
}

#[test]
fn who_is_gone_leaves_no_ghost() {
    let mut bench = started(|_| ());
    // One vanishes while we run: unavailable at once, gone after a day.
    let mut fewer = snapshot();
    fewer.evses.pop();
    bench.shows(fewer.clone(), json!({}));
    assert_eq!(bench.kept["TWC/4085/availability"], "offline");
    assert_eq!(bench.kept("homeassistant").len(), 3);
    // The other one is not there when the program starts anew.
    let mut bench = bench.restarted(|_| ());
    fewer.evses.clear();
    bench.shows(fewer.clone(), json!({}));
    assert_eq!(bench.kept["TWC/3A7C/availability"], "online");
    bench.connects();
    assert_eq!(bench.kept["TWC/3A7C/availability"], "offline");
    bench.passes(GRACE / 2);
    // It comes back in time.
    bench.shows(snapshot(), json!({}));
    assert_eq!(bench.kept["TWC/3A7C/availability"], "online");
    fewer.evses = snapshot().evses.drain(..1).collect();
    for _ in 0..30 {
        bench.passes(Duration::from_secs(3600));
        bench.shows(fewer.clone(), json!({}));
    }
    assert_eq!(bench.kept("homeassistant"), [FIRST, SITE]);
    assert!(bench.kept("TWC/4085/").is_empty(), "{:?}", bench.kept("TWC/4085/"));
    assert!(!bench.kept("TWC/3A7C/").is_empty());
}

#[test]
fn devices_under_another_name_go_at_once() {
    let bench = started(|_| ());
    let mut bench = bench.restarted(|assistant| assistant.device_prefix = "Garage".to_owned());
    bench.shows(snapshot(), json!({}));
    bench.connects();
    assert_eq!(
        bench.kept("homeassistant"),
        [
            "homeassistant/device/twcmanager_Garage_3A7C/config",
            "homeassistant/device/twcmanager_Garage_4085/config",
            "homeassistant/device/twcmanager_Garage_all/config"
        ]
    );
}

#[test]
fn an_entity_that_goes_is_named_once_more() {
    let bench = started(|_| ());
    let mut bench = bench.restarted(|assistant| assistant.control_prefix = None);
    bench.shows(snapshot(), json!({}));
    bench.connects();
    let config: Value = serde_json::from_str(&bench.kept[FIRST]).unwrap();
    assert_eq!(config["components"]["3A7C_enabled"], json!({"platform": "switch"}));
    assert_eq!(config["components"]["3A7C_amps_in_use"]["platform"], "sensor");
    // The next start has nothing to remember.
    let mut bench = bench.restarted(|assistant| assistant.control_prefix = None);
    bench.shows(snapshot(), json!({}));
    bench.connects();
    let config: Value = serde_json::from_str(&bench.kept[FIRST]).unwrap();
    assert!(config["components"].get("3A7C_enabled").is_none());
}

#[test]
fn the_end_has_the_last_values() {
    let mut bench = started(|_| ());
    let mut changed = snapshot();
    changed.evses[0].drawn_a = Some(9.5);
    bench.shows(changed, json!({}));
    bench.publisher.finish(bench.now);
    bench.drain();
    assert_eq!(bench.kept["TWC/3A7C/ampsInUse"], "9.5");
    assert_eq!(bench.kept["TWC/status"], "offline");
}
