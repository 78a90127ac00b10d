//! What the configuration says of Tesla's cloud, and where its tokens are kept.
//!
//! The tokens are in `settings.json` under TWCManager's names. While the program runs the site owns that file; the command
//! line writes it only when no program runs.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use config::{Config, ProxyTrust, Secret, Settings, SettingsStore};
use http_client::Tls;
use serde_json::{Map, Value, json};
use site::{Command, SitePort};
use vehicle_tesla::{App, Hosts, Proxy, Region, Token, TokenStore, Tokens};

/// For so long the disk may take to have the tokens.
const DISK_PATIENCE: Duration = Duration::from_secs(10);
const DISK_LOOK: Duration = Duration::from_millis(50);

/// What the source is told; `None` where Tesla's cloud is switched off or nothing is configured that it could be used with.
///
/// # Errors
/// A sentence that names the key.
pub fn settings(config: &Config, folder: Option<&Path>) -> Result<Option<vehicle_tesla::Settings>, String> {
    let (tesla, cloud) = (&config.site.tesla, &config.vehicle.tesla_cloud);
    let is_usable = tesla.client_id.is_some() || cloud.token.is_some();
    if !config.vehicle.tesla_api || !is_usable {
        return Ok(None);
    }
    described(config, folder).map(Some)
}

/// The same whatever is switched on, for setting up.
///
/// # Errors
/// A sentence that names the key.
pub fn described(config: &Config, folder: Option<&Path>) -> Result<vehicle_tesla::Settings, String> {
    let (tesla, cloud) = (&config.site.tesla, &config.vehicle.tesla_cloud);
    let app = App {
        client_id: tesla.client_id.clone(),
        client_secret: tesla.client_secret.as_ref().map(|secret| secret.reveal().to_owned()),
        redirect_uri: tesla.redirect_uri.clone(),
        scope: Some(tesla.scope.clone())
            .filter(|scope| !scope.is_empty())
            .unwrap_or(vehicle_tesla::DEFAULT_SCOPE.into()),
    };
    let region: Region = tesla.region.parse().map_err(|error| format!("config.teslaApiRegion: {error}"))?;
    let mut settings = vehicle_tesla::Settings::new(app, region, folder.map(Path::to_owned));
    settings.hosts = Hosts {
        api: base(cloud.api_url.as_deref(), "vehicle.teslaAPI.apiUrl")?,
        auth: base(cloud.auth_url.as_deref(), "vehicle.teslaAPI.authUrl")?,
        ..Hosts::default()
    };
    if let Some(token) = &cloud.token {
        // A service's token is not for Tesla, nor Tesla's for a service.
        if settings.hosts.api.is_none() {
            return Err(
                "vehicle.teslaAPI.token needs vehicle.teslaAPI.apiUrl, the address of the service it is for".into()
            );
        }
        settings.fixed_token = Some(Token::new(token.reveal()));
    }
    if let Some(domain) = &cloud.domain {
        settings.domain = Some(domain.parse().map_err(|error| format!("vehicle.teslaAPI.domain: {error}"))?);
    }
    if let Some(url) = &tesla.proxy {
        let url = base(Some(url), "config.teslaProxy")?.unwrap_or_default();
        let tls = match &tesla.proxy_trust {
            ProxyTrust::System => Tls::Verified,
            ProxyTrust::Authority(path) => Tls::CustomCa(
                std::fs::read_to_string(path)
                    .map_err(|error| format!("config.teslaProxyCert: {} cannot be read: {error}", path.display()))?,
            ),
            ProxyTrust::Unchecked => Tls::AcceptSelfSignedFor(host_of(&url)),
        };
        settings.proxy = Some(Proxy { url, tls });
    }
    Ok(settings)
}

/// An address without its last slash.
fn base(text: Option<&str>, key: &str) -> Result<Option<String>, String> {
    let Some(text) = text.map(str::trim).filter(|text| !text.is_empty()) else { return Ok(None) };
    let is_address = text.starts_with("https://") || text.starts_with("http://");
    if !is_address || text.contains(['?', '#', ' ']) {
        return Err(format!("{key} is no address: write it like `https://api.example.com`"));
    }
    Ok(Some(text.trim_end_matches('/').to_owned()))
}

/// The host of an address, with brackets where it is IPv6.
fn host_of(url: &str) -> String {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = rest.split('/').next().unwrap_or_default();
    let authority = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    match authority.split_once(']') {
        Some((host, _)) => format!("{host}]"),
        None => authority.split(':').next().unwrap_or_default().to_owned(),
    }
}

/// Tokens in `settings.json` while the program runs: written by the site, and taken for kept once the disk has them.
pub struct SiteTokens {
    site: Arc<dyn SitePort>,
    folder: Option<PathBuf>,
}

impl SiteTokens {
    /// `folder` is where the settings are; without one nothing outlives the program, and nothing is waited for.
    pub fn new(site: Arc<dyn SitePort>, folder: Option<PathBuf>) -> Self {
        SiteTokens { site, folder }
    }
}

impl TokenStore for SiteTokens {
    fn load(&self) -> Option<Tokens> {
        let values = self.site.settings();
        from_settings(&Settings::from_map(values.as_object().cloned().unwrap_or_else(Map::new)))
    }

    fn save(&self, tokens: &Tokens) -> Result<(), String> {
        let changes = [
            ("carApiBearerToken", Value::from(tokens.access.as_str())),
            ("carApiRefreshToken", Value::from(tokens.refresh.as_str())),
            ("carApiTokenExpireTime", json!(epoch(tokens))),
        ];
        let changes = changes.map(|(key, value)| (key.to_owned(), value)).to_vec();
        self.site.command(Command::SetSettings(changes)).map_err(|refusal| refusal.text)?;
        let Some(folder) = &self.folder else { return Ok(()) };
        let looks = DISK_PATIENCE.as_millis() / DISK_LOOK.as_millis();
        for _ in 0..looks {
            // Replaced as a whole after it was synced: what is read there is there after a power cut.
            if from_settings(&SettingsStore::peek(folder)).is_some_and(|kept| kept.refresh == tokens.refresh) {
                return Ok(());
            }
            std::thread::sleep(DISK_LOOK);
        }
        Err(format!(
            "the new sign-in at Tesla cannot be kept: let the program's user write to {} (config.settingsPath), and see \
             that the disk is not full",
            folder.display()
        ))
    }
}

/// Tokens in `settings.json` while no program runs.
pub struct FileTokens(Mutex<SettingsStore>);

impl FileTokens {
    /// Opens the settings of a folder. The caller holds the folder's [`crate::instance::Instance`].
    ///
    /// # Errors
    /// A sentence that says why not.
    pub fn open(folder: &Path) -> Result<Self, String> {
        let opened = SettingsStore::open(folder, SystemTime::now()).map_err(|error| error.to_string())?;
        Ok(FileTokens(Mutex::new(opened.store)))
    }
}

impl TokenStore for FileTokens {
    fn load(&self) -> Option<Tokens> {
        from_settings(self.0.lock().unwrap_or_else(PoisonError::into_inner).get())
    }

    fn save(&self, tokens: &Tokens) -> Result<(), String> {
        let mut store = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = config::Tokens {
            bearer: Secret::new(tokens.access.as_str()),
            refresh: Secret::new(tokens.refresh.as_str()),
            expires: epoch(tokens),
        };
        store.update(|settings| settings.set_tokens(Some(&kept)));
        store.save().map_err(|error| error.to_string())
    }
}

/// The tokens in settings, when there are any.
pub fn from_settings(settings: &Settings) -> Option<Tokens> {
    let tokens = settings.tokens()?;
    let expires = Some(tokens.expires).filter(|expires| *expires > 0.0);
    Some(Tokens {
        access: tokens.bearer.reveal().to_owned(),
        refresh: tokens.refresh.reveal().to_owned(),
        expires: expires.and_then(|at| UNIX_EPOCH.checked_add(Duration::try_from_secs_f64(at).ok()?)),
    })
}

fn epoch(tokens: &Tokens) -> f64 {
    let since = tokens.expires.and_then(|at| at.duration_since(UNIX_EPOCH).ok());
    since.map_or(0.0, |since| since.as_secs_f64().round())
}

#[cfg(test)]
mod tests {
    use config::KeySet;

    use super::*;

    /// A configuration with what every one has.
    fn configured(text: &str) -> Config {
        let mut value: Value = serde_json::from_str(text).unwrap();
        value["config"]["wiringMaxAmpsAllTWCs"] = json!(32);
        value["config"]["wiringMaxAmpsPerTWC"] = json!(32);
        let loaded = config::parse("config.json", value.to_string().as_bytes(), &KeySet::builtin());
        loaded.config.unwrap_or_else(|| panic!("{:?}", loaded.errors))
    }

    #[test]
    fn an_application_or_a_service_is_needed() {
        assert!(settings(&configured("{}"), None).unwrap().is_none());
        let app = r#"{"config": {"teslaApiClientID": "id", "teslaApiRegion": "EU", "teslaApiRedirectUri": "https://a.example.org/x"}}"#;
        let found = settings(&configured(app), None).unwrap().unwrap();
        assert_eq!((found.region, found.app.client_id.as_deref()), (Region::Europe, Some("id")));
        assert_eq!(found.app.scope, vehicle_tesla::DEFAULT_SCOPE);
        let off = r#"{"config": {"teslaApiClientID": "id"}, "vehicle": {"teslaAPI": {"enabled": false}}}"#;
        assert!(settings(&configured(off), None).unwrap().is_none());
        let service = r#"{"vehicle": {"teslaAPI": {"apiUrl": "https://api.example.com/", "token": "secret-token"}}}"#;
        let found = settings(&configured(service), None).unwrap().unwrap();
        assert_eq!(found.hosts.api.as_deref(), Some("https://api.example.com"));
        assert!(!format!("{found:?}").contains("secret-token"));
    }

    #[test]
    fn mistakes_name_their_key() {
        for (text, key) in [
            (r#"{"vehicle": {"teslaAPI": {"token": "t"}}}"#, "vehicle.teslaAPI.apiUrl"),
            (r#"{"vehicle": {"teslaAPI": {"token": "t", "apiUrl": "api.example.com"}}}"#, "vehicle.teslaAPI.apiUrl"),
            (
                r#"{"config": {"teslaApiClientID": "i"}, "vehicle": {"teslaAPI": {"domain": "a b"}}}"#,
                "vehicle.teslaAPI.domain",
            ),
            (
                r#"{"config": {"teslaApiClientID": "i", "teslaProxy": "https://p", "teslaProxyCert": "/no/ca.pem"}}"#,
                "teslaProxyCert",
            ),
        ] {
            let error = settings(&configured(text), None).unwrap_err();
            assert!(error.contains(key), "{error}");
        }
    }

    #[test]
    fn a_proxy_without_a_check_is_that_host_only() {
        let text = r#"{"config": {"teslaApiClientID": "i", "teslaProxy": "https://user@10.0.0.5:4443", "teslaProxyCert": false}}"#;
        let proxy = settings(&configured(text), None).unwrap().unwrap().proxy.unwrap();
        assert_eq!(proxy.tls, Tls::AcceptSelfSignedFor("10.0.0.5".into()));
        assert_eq!(host_of("https://[fe80::1]:443/x"), "[fe80::1]");
    }

    #[test]
    fn tokens_are_kept_under_the_older_names() {
        let folder = tempfile::tempdir().unwrap();
        let store = FileTokens::open(folder.path()).unwrap();
        assert_eq!(store.load(), None);
        let expires = Some(UNIX_EPOCH + Duration::from_secs(1_900_000_000));
        let tokens = Tokens { access: "A".into(), refresh: "R".into(), expires };
        store.save(&tokens).unwrap();
        assert_eq!(FileTokens::open(folder.path()).unwrap().load(), Some(tokens));
        let text = std::fs::read_to_string(folder.path().join("settings.json")).unwrap();
        let file: Value = serde_json::from_str(&text).unwrap();
        assert_eq!((&file["carApiBearerToken"], &file["carApiTokenExpireTime"]), (&json!("A"), &json!(1_900_000_000)));
    }
}
