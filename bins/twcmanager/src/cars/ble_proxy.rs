//! What the configuration says of a TeslaBleHttpProxy.

use config::Config;
use vehicle::Vin;
use vehicle_ble_proxy::Settings;

const SECTION: &str = "vehicle.teslaBleHttpProxy";

/// The proxy, where it is switched on.
///
/// # Errors
/// A sentence that names the key.
pub fn proxy(config: &Config) -> Result<Option<Settings>, String> {
    let Some(proxy) = &config.vehicle.ble_proxy else { return Ok(None) };
    let url = proxy.url.trim().trim_end_matches('/');
    let is_address = url.starts_with("http://") || url.starts_with("https://");
    if !is_address || url.contains(['?', '#', ' ']) {
        return Err(format!("{SECTION}.url is no address: write it like `http://192.168.1.20:8080`"));
    }
    let mut vins = Vec::new();
    for text in &proxy.vins {
        vins.push(
            Vin::parse(&text.trim().to_ascii_uppercase()).ok_or_else(|| {
                format!("{SECTION}.vins has `{text}`, which is no VIN: a VIN has 17 letters and digits")
            })?,
        );
    }
    Ok(Some(Settings::new(url, vins)))
}

#[cfg(test)]
mod tests {
    use config::KeySet;

    use super::*;

    fn configured(text: &str) -> Config {
        let mut value: serde_json::Value = serde_json::from_str(text).unwrap();
        value["config"]["wiringMaxAmpsAllTWCs"] = 32.into();
        let loaded = config::parse("config.json", value.to_string().as_bytes(), &KeySet::builtin());
        loaded.config.unwrap_or_else(|| panic!("{:?}", loaded.errors))
    }

    #[test]
    fn a_proxy_is_used_when_it_is_switched_on() {
        assert_eq!(proxy(&configured("{}")), Ok(None));
        let text = r#"{"vehicle": {"teslaBleHttpProxy": {"enabled": true, "url": "http://10.0.0.5:8080/", "vins": ["lrw3f7ek0nc000001"]}}}"#;
        let settings = proxy(&configured(text)).unwrap().unwrap();
        assert_eq!(settings, Settings::new("http://10.0.0.5:8080", Vin::parse("LRW3F7EK0NC000001")));
        for (wrong, key) in [
            (r#"{"enabled": true}"#, "teslaBleHttpProxy.url"),
            (r#"{"enabled": true, "url": "10.0.0.5"}"#, "teslaBleHttpProxy.url"),
            (r#"{"enabled": true, "url": "http://10.0.0.5", "vins": ["Nikola"]}"#, "teslaBleHttpProxy.vins"),
        ] {
            let text = format!(r#"{{"vehicle": {{"teslaBleHttpProxy": {wrong}}}}}"#);
            let error = proxy(&configured(&text)).unwrap_err();
            assert!(error.contains(key), "{error}");
        }
    }
}
