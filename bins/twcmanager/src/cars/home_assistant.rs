//! What the configuration says of cars in Home Assistant.

use config::Config;
use http_client::Tls;
use vehicle::Vin;
use vehicle_home_assistant::{NamedCar, Role, Settings};

const SECTION: &str = "vehicle.HomeAssistant";

/// Home Assistant, where it is switched on.
///
/// # Errors
/// A sentence that names the key.
pub fn home_assistant(config: &Config) -> Result<Option<Settings>, String> {
    let Some(assistant) = &config.vehicle.home_assistant else { return Ok(None) };
    let tls = match &assistant.tls_fingerprint {
        None => Tls::Verified,
        Some(text) => {
            let fingerprint =
                text.parse().map_err(|error| format!("{SECTION}.tlsFingerprint cannot be used: {error}"))?;
            Tls::Pinned(fingerprint)
        }
    };
    let mut cars = Vec::new();
    for (index, texts) in assistant.cars.iter().enumerate() {
        let vin = match texts.get("vin") {
            None => None,
            Some(text) => Some(Vin::parse(&text.to_ascii_uppercase()).ok_or_else(|| {
                format!("{SECTION}.cars[{index}].vin is `{text}`, which is no VIN: a VIN has 17 letters and digits")
            })?),
        };
        let entities = texts.iter().filter_map(|(key, entity)| Some((Role::from_key(key)?, entity.clone()))).collect();
        cars.push(NamedCar { vin, name: texts.get("name").cloned(), entities });
    }
    let token = assistant.token.as_ref().map(|token| token.reveal().to_owned()).unwrap_or_default();
    Ok(Some(Settings { url: assistant.url.clone(), token, tls, discovers: assistant.discovers, cars }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_become_settings_and_every_role_has_a_key() {
        let roles: String =
            Role::all().map(|role| format!(r#""{}": "{}.x", "#, role.key(), role.domains()[0])).collect();
        let text = format!(
            r#"{{"config": {{"wiringMaxAmpsAllTWCs": 16, "wiringMaxAmpsPerTWC": 16}}, "vehicle": {{"HomeAssistant": {{
                "enabled": true, "url": "http://ha:8123", "longLivedToken": "t0ken", "cars": [{{{roles} "name": "Zoe"}}]}}}}}}"#
        );
        let loaded = config::parse("config.json", text.as_bytes(), &config::KeySet::builtin());
        assert!(!loaded.warnings.iter().any(|warning| warning.to_string().contains("cars")), "{:?}", loaded.warnings);
        let settings = home_assistant(&loaded.config.unwrap()).unwrap().unwrap();
        assert!(settings.discovers && settings.cars[0].name.as_deref() == Some("Zoe"));
        assert_eq!(settings.cars[0].entities.len(), Role::all().count());
    }
}
