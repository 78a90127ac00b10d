//! Defaults, names and numbers that a file of TWCManager relies on without saying so.

use std::time::Duration;

use config::{Config, KeySet, Mute, Settings, WebhookMethod};
use serde_json::json;
use units::{Amps, Phases};

fn config(rest: &str) -> Config {
    let text = format!(r#"{{"config": {{"wiringMaxAmpsAllTWCs": 40, "minAmpsPerTWC": 6}}{rest}}}"#);
    let loaded = config::parse("c", text.as_bytes(), &KeySet::builtin());
    assert!(loaded.errors.is_empty(), "{:?}", loaded.errors);
    loaded.config.unwrap()
}

#[test]
fn what_is_not_given_is_as_it_was() {
    let config = config("");
    let site = &config.site;
    let seconds = Duration::from_secs;
    assert_eq!(site.wiring_max_per_twc, Amps::from_whole(6));
    assert_eq!((site.start_stop_delay, site.cloud_update_interval), (seconds(60), seconds(1800)));
    assert_eq!((site.wake_delay, config.policy.check_interval), (seconds(180), seconds(30)));
    assert_eq!((site.default_voltage.get(), site.phases), (240.0, Phases::One));
    assert_eq!((site.power_factor_at_min, site.power_factor_at_max), (1.0, 1.0));
    assert_eq!((site.green_flex, site.flex_starts_charge, site.green_latch), (Amps::ZERO, false, None));
    assert_eq!((site.max_from_grid, site.min_charge_level), (None, None));
    assert_eq!((site.at_home_radius, site.log_level), (10_560.0 * 0.3048, 20));
    assert_eq!(site.webhook_method, WebhookMethod::Post);
    assert!(!site.subtract_charger_load && !site.treat_generation_as_grid_delivery && site.respect_vehicle_schedule);
    assert_eq!(site.bluetooth.command_timeout, seconds(5));
}

#[test]
fn a_missing_interface_section_is_a_serial_one_and_its_members_have_the_old_defaults() {
    let without = config("");
    let [bus] = &without.interface.rs485[..] else { panic!("one bus expected") };
    assert_eq!((bus.port.as_str(), bus.baud, bus.slave_timeout), ("/dev/ttyUSB0", 9600, Duration::from_secs(26)));
    assert!(without.interface.dummy.is_none() && without.interface.tcp.is_none());
    let dummy = config(r#", "interface": {"RS485": {"enabled": false}, "Dummy": {"enabled": true}}"#).interface;
    assert!(dummy.rs485.is_empty());
    assert_eq!(dummy.dummy.map(|dummy| dummy.id), Some(*b"AB"));
    let named = r#", "interface": {"Dummy": {"enabled": true, "twcID": "XY", "scenario": "/tmp/a.json"}}"#;
    let dummy = config(named).interface.dummy.unwrap();
    assert_eq!((dummy.id, dummy.scenario.is_some()), (*b"XY", true));
}

#[test]
fn services_have_the_old_ports_and_rhythms() {
    let config = config(
        r#", "control": {"HTTP": {"enabled": true}, "MQTT": {"enabled": true, "brokerIP": "b", "topicPrefix": "T", "brokerTLS": true}},
            "status": {"MQTT": {"enabled": true, "brokerIP": "b", "topicPrefix": "T"}, "HASS": {"enabled": true, "serverIP": "h", "serverPort": "8124"}},
            "controller.Gen3TWCs": {"enabled": true, "devices": [{"ip": "10.0.0.5"}]}"#,
    );
    assert_eq!(config.control.http.map(|http| http.port), Some(8080));
    assert_eq!(config.control.mqtt.map(|mqtt| mqtt.broker.port), Some(8883));
    let mqtt = config.status.mqtt.unwrap();
    assert_eq!((mqtt.broker.port, mqtt.rate_limit, mqtt.discovery), (1883, Duration::from_secs(60), false));
    assert_eq!((mqtt.discovery_prefix.as_str(), mqtt.device_name_prefix.as_str()), ("homeassistant", "TWC"));
    let hass = config.status.hass.unwrap();
    assert_eq!((hass.port, hass.https, hass.message_rate), (8124, false, Duration::from_secs(60)));
    assert_eq!((hass.resend_rate, hass.retry_rate), (Duration::from_secs(3600), Duration::from_secs(60)));
    let gen3 = config.gen3.unwrap();
    assert_eq!((gen3.port.as_str(), gen3.baud, gen3.stop_bits, gen3.data_bits), ("/dev/ttyUSB1", 115_200, 1, 8));
    assert_eq!((gen3.devices[0].fuse, gen3.devices[0].phases), (Amps::from_whole(48), Phases::One));
}

#[test]
fn logs_are_where_they_were_and_each_mutes_for_itself() {
    let nothing = config("").logging;
    assert!(nothing.use_icons && nothing.console.is_some_and(|console| !console.simple));
    assert!(nothing.file.is_none() && nothing.csv.is_none() && nothing.sqlite.is_none() && nothing.mysql.is_none());
    let logging = config(
        r#", "logging": {"Sentry": {"enabled": true, "DSN": ""}, "FileLogger": {"enabled": true}, "CSV": {"enabled": true},
            "MySQL": {"enabled": true, "host": "h", "mute": {"GreenEnergy": true, "SlavePower": "yes"}},
            "SQLite": {"enabled": true, "path": "file:/a.sqlite?mode=rwc", "mute": {"ChargeSessions": 1, "SlaveStatus": false}}}"#,
    )
    .logging;
    assert_eq!(logging.sentry, None, "the shipped sample has it on, with an empty address");
    assert_eq!(logging.file.unwrap().path.to_str(), Some("/etc/twcmanager/log"));
    assert_eq!(logging.csv.unwrap().path.to_str(), Some("/etc/twcmanager/csv"));
    let mysql = logging.mysql.unwrap();
    assert_eq!((mysql.port, mysql.mute), (3306, Mute { green_energy: true, slave_power: true, ..Mute::default() }));
    let sqlite = logging.sqlite.unwrap();
    assert_eq!(
        (sqlite.path.as_str(), sqlite.mute),
        ("file:/a.sqlite?mode=rwc", Mute { charge_sessions: true, ..Mute::default() })
    );
}

#[test]
fn old_levels_mean_what_they_became() {
    let of = |keys: &str| {
        let text = format!(r#"{{"config": {{"wiringMaxAmpsAllTWCs": 16, "minAmpsPerTWC": 6, {keys}}}}}"#);
        config::parse("c", text.as_bytes(), &KeySet::builtin()).config.unwrap().site.log_level
    };
    let levels: Vec<u8> = (0..=11).map(|level| of(&format!(r#""debugLevel": {level}"#))).collect();
    assert_eq!(levels, [40, 20, 19, 18, 17, 16, 15, 14, 13, 12, 10, 9]);
    assert_eq!(of(r#""debugLevel": 11, "logLevel": 30"#), 30, "the newer key counts");
}

#[test]
fn without_the_cloud_means_no_cloud_and_cars_may_be_absent() {
    let vehicle = config(r#", "vehicle": {"teslaAPI": {"enabled": false}}"#).vehicle;
    assert!(!vehicle.tesla_api && vehicle.teslamate.is_none() && vehicle.home_assistant.is_none());
    assert!(config("").vehicle.tesla_api);
}

/// The schedule page kept minutes, days and rates of its own beside the keys that act.
#[test]
fn the_flat_keys_of_the_schedule_act_and_the_page_is_kept() {
    let page = json!({"Common": {"start": "21:30", "end": "05:00"}, "Settings": {"scheduledAmpsMax": 8}});
    let map = json!({"scheduledAmpsMax": "16", "scheduledAmpsStartHour": 22.5, "scheduledAmpsEndHour": "6.25", "Schedule": page});
    let settings = Settings::from_map(map.as_object().unwrap().clone());
    let schedule = settings.schedule();
    assert_eq!((schedule.rate, schedule.start_hour, schedule.end_hour), (Amps::from_whole(16), Some(22.5), Some(6.25)));
    assert_eq!(settings.as_map()["Schedule"], page);
}
