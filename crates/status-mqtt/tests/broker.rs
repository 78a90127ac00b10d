//! The publisher with brokers: the one of the rig, and mosquitto where it is installed.

use std::sync::Arc;
use std::time::Duration;

use mqtt_link::Hub;
use mqtt_rig::{Cable, GENEROUS, broker, connect, expect, expect_all, free_port, kinds, start};
use serde_json::{Value, json};
use site::SitePort;
use status_mqtt::{AssistantConfig, StatusConfig, StatusError, StatusMqtt};
use twc_names::testing::{FakeSite, snapshot};

fn config(with_assistant: bool) -> StatusConfig {
    let assistant = AssistantConfig {
        discovery_prefix: "homeassistant".to_owned(),
        device_prefix: "TWC".to_owned(),
        by_sensor: false,
        control_prefix: Some("home/TWC".to_owned()),
    };
    StatusConfig {
        prefix: "home/TWC".to_owned(),
        rate_limit: Duration::ZERO,
        assistant: with_assistant.then_some(assistant),
    }
}

fn site() -> Arc<FakeSite> {
    Arc::new(FakeSite::new(snapshot(), json!({})))
}

#[test]
fn states_survive_the_broker_and_availability_tells_the_truth() {
    for kind in kinds() {
        let port = free_port();
        let peer = start(kind, port);
        let cable = Cable::to(port);
        let (ours, theirs) = (Hub::new(), Hub::new());
        let user = connect(&theirs, broker(port));
        let seen = user.subscribe(&["home/#"]).unwrap();
        let fake = site();
        let link = ours.link(broker(cable.port)).unwrap();
        let status = StatusMqtt::start(link, config(false), Arc::clone(&fake) as Arc<dyn SitePort>).unwrap();
        expect_all(
            &seen,
            &[
                ("home/TWC/status", "online"),
                ("home/TWC/3A7C/carsCharging", "1"),
                ("home/TWC/3A7C/chargerLoadInW", "5520"),
                ("home/TWC/all/totalAmpsInUse", "8.0"),
                ("home/TWC/config/minAmpsPerTWC", "6"),
            ],
        );
        // Everything is kept for who comes later.
        let late = connect(&Hub::new(), broker(port));
        let kept = late.subscribe(&["home/TWC/3A7C/ampsInUse", "home/TWC/status"]).unwrap();
        let kept = expect_all(&kept, &[("home/TWC/3A7C/ampsInUse", "8.0"), ("home/TWC/status", "online")]);
        assert!(kept.iter().all(|message| message.retained), "{kind}");

        fake.publish(|snapshot| snapshot.evses[0].drawn_a = Some(7.5));
        expect(&seen, "home/TWC/3A7C/ampsInUse", "7.5");
        // The line breaks: the will speaks, then we do.
        cable.cut();
        expect(&seen, "home/TWC/status", "offline");
        expect(&seen, "home/TWC/status", "online");
        // The broker goes, and what changed meanwhile is there when it is back.
        drop(peer);
        fake.publish(|snapshot| snapshot.evses[0].drawn_a = Some(6.25));
        fake.publish(|snapshot| snapshot.evses[0].drawn_a = Some(6.75));
        let _peer = start(kind, port);
        expect_all(&seen, &[("home/TWC/3A7C/ampsInUse", "6.75"), ("home/TWC/status", "online")]);

        fake.publish(|snapshot| snapshot.policy.name = "Last Word".to_owned());
        expect(&seen, "home/TWC/all/currentPolicy", "Last Word");
        status.shutdown();
        assert!(ours.close(GENEROUS));
        expect(&seen, "home/TWC/status", "offline");
    }
}

#[test]
fn home_assistant_is_told_and_what_was_is_moved() {
    // One kind is enough for what takes seconds.
    for kind in kinds().into_iter().rev().take(1) {
        let port = free_port();
        let _peer = start(kind, port);
        let (ours, theirs) = (Hub::new(), Hub::new());
        let user = connect(&theirs, broker(port));
        let seen = user.subscribe(&["homeassistant/#", "home/TWC/all/mode"]).unwrap();
        let old = json!({"unique_id": "twcmanager_TWC_3A7C_amps_in_use", "state_topic": "home/TWC/3A7C/ampsInUse",
            "device": {"identifiers": ["twcmanager_TWC_3A7C"], "model": "TWCManager"}})
        .to_string();
        let topic = "homeassistant/sensor/home_TWC_3A7C/3A7C_amps_in_use/config";
        user.publish(topic, old.clone(), true).unwrap();
        expect(&seen, topic, &old);

        let fake = site();
        let link = ours.link(broker(port)).unwrap();
        let status = StatusMqtt::start(link, config(true), Arc::clone(&fake) as Arc<dyn SitePort>).unwrap();
        expect(&seen, topic, r#"{"migrate_discovery":true}"#);
        let next = seen.recv_timeout(GENEROUS).unwrap();
        assert!(next.topic.starts_with("homeassistant/device/twcmanager_TWC_"), "{kind} {}", next.topic);
        let config: Value = serde_json::from_slice(&next.payload).unwrap();
        assert_eq!(config["availability"][0]["topic"], "home/TWC/status");
        expect(&seen, topic, "");
        // A command that changes nothing has its topic told again.
        user.send("home/TWC/control/mode", "nonsense").unwrap();
        expect(&seen, "home/TWC/all/mode", "Fixed current");
        drop(status);
    }
}

#[test]
fn prefixes_that_are_none_are_refused() {
    let hub = Hub::new();
    let start = |prefix: &str| {
        let config = StatusConfig { prefix: prefix.to_owned(), ..config(false) };
        StatusMqtt::start(hub.link(broker(free_port())).unwrap(), config, site()).unwrap_err()
    };
    assert!(matches!(start(""), StatusError::NoPrefix));
    assert!(matches!(start("TWC/#"), StatusError::Link(_)));
}
