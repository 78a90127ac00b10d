//! Commands in and values out over MQTT, through mosquitto with TLS and client certificates where it is installed.

use e2e::{Bus, Program, config_with, until};
use gen2_simulator::{CarSettings, ConnectorSettings};
use mqtt_link::{Hub, Roots, Tls};
use mqtt_rig::{Mini, Mosquitto, authority, broker, connect, expect, expect_all, free_port, mosquitto_path, signed};
use serde_json::{Value, json};
use tempfile::TempDir;

#[test]
fn a_broker_sees_the_cars_and_commands_them() {
    let bus = Bus::start(vec![
        ConnectorSettings::european(gen2_simulator::gen2_protocol::TwcId::from_u16(0x4085))
            .with_car(CarSettings::default()),
    ]);
    let folder = TempDir::new().expect("a folder");
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).expect("a file");
        path.display().to_string()
    };
    let port = free_port();
    let mut section = json!({"enabled": true, "brokerIP": "127.0.0.1", "brokerPort": port, "topicPrefix": "TWC"});
    let mut client = broker(port);
    let (mut plain, mut encrypted) = (None, None);
    if mosquitto_path().is_some() {
        let (pem, issuer) = authority();
        let ca = file("ca.pem", &pem);
        let pair = |who: &str| {
            let (certificate, key) = signed("127.0.0.1", &issuer);
            (file(&format!("{who}.pem"), &certificate), file(&format!("{who}.key"), &key))
        };
        let (cert, key) = pair("broker");
        encrypted = Some(Mosquitto::start(
            port,
            &format!("allow_anonymous true\ncafile {ca}\ncertfile {cert}\nkeyfile {key}\nrequire_certificate true\n"),
        ));
        let (cert, key) = pair("program");
        for (name, path) in [("brokerCA", ca), ("brokerCert", cert), ("brokerKey", key)] {
            section[name] = path.into();
        }
        section["brokerTLS"] = true.into();
        client = client.tls(Tls { roots: Roots::Pem(pem), client: Some(signed("127.0.0.1", &issuer)) });
    } else {
        plain = Some(Mini::start(port));
    }
    let hub = Hub::new();
    let user = connect(&hub, client);
    let seen = user.subscribe(&["TWC/#", "homeassistant/device/+/config"]).expect("a subscription");
    let mut status = section.clone();
    status["ratelimit"] = json!(0);
    status["homeassistantDiscovery"] = json!(true);
    let more = json!({"control": {"MQTT": section}, "status": {"MQTT": status}});
    let mut program = Program::start(&config_with(&bus.port(), &more));

    expect_all(&seen, &[("TWC/status", "online"), ("TWC/4085/carsCharging", "0"), ("TWC/all/totalAmpsInUse", "0.0")]);
    let config = loop {
        let message = seen.recv_timeout(mqtt_rig::GENEROUS).expect("a device is announced");
        if message.topic == "homeassistant/device/twcmanager_TWC_4085/config" {
            break serde_json::from_slice::<Value>(&message.payload).expect("JSON");
        }
    };
    assert_eq!(config["components"]["4085_enabled"]["command_topic"], "TWC/control/evse/4085/enabled");

    user.send("TWC/control/chargeNow", "12,3600").expect("a connection");
    until("12 A on the wire", || bus.limit(0) == 12.0);
    expect_all(
        &seen,
        &[("TWC/all/currentPolicy", "Charge Now"), ("TWC/4085/carsCharging", "1"), ("TWC/all/mode", "Charge now")],
    );
    user.send("TWC/control/evse/4085/priority", "3.0").expect("a connection");
    expect(&seen, "TWC/4085/priority", "3");

    // As ever, this ends the program; its supervisor starts it anew.
    user.send("TWC/control/stop", "").expect("a connection");
    assert_eq!(program.wait(), Some(0));
    expect(&seen, "TWC/status", "offline");
    drop((plain, encrypted));
}
