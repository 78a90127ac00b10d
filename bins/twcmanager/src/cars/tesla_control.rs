//! What the configuration says of Bluetooth through the vendor's program, and which keys there are.

use std::path::Path;

use config::{Config, Settings as Stored};
use tesla_command::PrivateKey;
use vehicle::Vin;
use vehicle_tesla::KEY_FILE;
use vehicle_tesla_control::{Patience, Settings, find};

/// Bluetooth, where it is switched on and can be used. It is on unless it is switched off, so without being asked for it is
/// used only where both a key and the program are there; what is missing then is no mistake. `folder` is where the settings
/// are, with the program's own key. `home` and `search` are `$HOME` and `$PATH`.
pub fn bluetooth(
    config: &Config,
    stored: &Stored,
    folder: Option<&Path>,
    home: Option<&Path>,
    search: &str,
) -> Option<Settings> {
    if !config.vehicle.tesla_ble {
        return None;
    }
    let is_by_default = config.vehicle.tesla_ble_by_default;
    let patience = config.site.bluetooth;
    let mut settings = Settings::new(find(config.site.tesla.control_path.as_deref(), home, search));
    settings.is_by_default = is_by_default;
    settings.patience = Patience {
        connect: patience.command_timeout,
        retries: patience.max_retries,
        retry_delay: patience.retry_delay,
        breaker_threshold: patience.breaker_threshold,
        breaker_pause: patience.breaker_timeout,
    };
    for name in stored.vehicles() {
        let text =
            stored.vehicle(name).and_then(|entry| entry.get("privKey")?.as_str()).filter(|text| !text.is_empty());
        let (Some(text), Some(vin)) = (text, Vin::parse(&name.to_ascii_uppercase())) else { continue };
        match PrivateKey::from_stored(text) {
            Ok(key) => {
                settings.keys.insert(vin, key);
            }
            Err(error) => log::warn!("settings.json, Vehicles.{name}: {error}; this key is not used"),
        }
    }
    settings.key_file = folder.map(|folder| folder.join(KEY_FILE)).filter(|path| path.is_file());
    let is_usable = settings.program.is_some() && settings.has_key();
    if is_by_default && !is_usable {
        if !settings.keys.is_empty() {
            log::info!(
                "cars are not spoken to over Bluetooth, though there are keys for it: tesla-control was not found \
                 (config.teslaControlPath)"
            );
        }
        return None;
    }
    Some(settings)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use config::KeySet;
    use serde_json::json;
    use tesla_command::SystemRandom;

    use super::*;

    fn configured(text: &str) -> Config {
        let mut value: serde_json::Value = serde_json::from_str(text).unwrap();
        value["config"]["wiringMaxAmpsAllTWCs"] = 32.into();
        let loaded = config::parse("config.json", value.to_string().as_bytes(), &KeySet::builtin());
        loaded.config.unwrap_or_else(|| panic!("{:?}", loaded.errors))
    }

    #[test]
    fn it_is_on_by_default_only_where_it_can_work() {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("tesla-control");
        std::fs::write(&program, "").unwrap();
        let path = json!(program.to_str().unwrap());
        let key = PrivateKey::generate(&mut SystemRandom).unwrap();
        let mut stored = Stored::default();
        let found = |config: &str, stored: &Stored, folder: Option<&Path>| {
            bluetooth(&configured(config), stored, folder, None, "/nowhere")
        };
        let with_path = format!(r#"{{"config": {{"teslaControlPath": {path}}}}}"#);
        assert!(found("{}", &stored, None).is_none());
        assert!(found(&with_path, &stored, Some(folder.path())).is_none(), "no key");
        stored.set_vehicle_field("LRW3F7EK0NC000001", "privKey", json!(key.to_stored().unwrap().priv_key));
        stored.set_vehicle_field("LRW3F7EK0NC000002", "privKey", json!("broken"));
        assert!(found("{}", &stored, None).is_none(), "no program");
        let settings = found(&with_path, &stored, None).unwrap();
        assert_eq!(settings.keys.keys().map(Vin::as_str).collect::<Vec<_>>(), ["LRW3F7EK0NC000001"]);
        let as_it_was = Patience { connect: Duration::from_secs(5), ..Patience::default() };
        assert_eq!((settings.is_by_default, settings.patience), (true, as_it_was));
        std::fs::write(folder.path().join(KEY_FILE), "").unwrap();
        let own = found(&with_path, &Stored::default(), Some(folder.path())).unwrap();
        assert_eq!(own.key_file, Some(folder.path().join(KEY_FILE)));
        let on = r#"{"vehicle": {"teslaBLE": {"enabled": true}}, "config": {"moduleConfiguration": {"TeslaBLE": {"commandTimeout": 30}}}}"#;
        let asked_for = found(on, &Stored::default(), None).unwrap();
        assert!(!asked_for.is_by_default && asked_for.program.is_none(), "opening it says what is missing");
        assert_eq!(asked_for.patience.connect, Duration::from_secs(30));
        assert!(found(r#"{"vehicle": {"teslaBLE": {"enabled": false}}}"#, &stored, Some(folder.path())).is_none());
    }
}
