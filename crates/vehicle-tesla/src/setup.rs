//! The steps of setting up, looked at and taken one by one. For the command line: some of these calls are billed, as noted.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http_client::Client;
use serde_json::json;
use tesla_command::PairingDomain;
use vehicle::{Answer, Report, Spent, Trouble, VehicleListener, Vin, Wakefulness};

use crate::account::Account;
use crate::cloud::{Call, Cloud, Price, outcome};
use crate::documents;
use crate::login::region_of;
use crate::region::Region;
use crate::settings::Pace;
use crate::token_service::{Grant, ask};
use crate::trouble::Troubles;

/// What the developer pages ask of the token that registers an application.
const PARTNER_SCOPE: &str = "openid vehicle_device_data vehicle_cmds vehicle_charging_cmds";
const REGISTER_PATH: &str = "/api/1/partner_accounts";

/// A car as the account has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountCar {
    /// Its VIN.
    pub vin: Vin,
    /// The name its owner gave it.
    pub name: Option<String>,
    /// Whether it can be reached.
    pub wakefulness: Option<Wakefulness>,
    /// Whether it takes only signed commands; `None` when Tesla does not say.
    pub needs_signature: Option<bool>,
    /// Whether our key is on its list; `None` when Tesla does not say.
    pub is_paired: Option<bool>,
}

/// Where our public key is found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Published {
    /// The right one is there.
    Right,
    /// Another key is there: cars would not take our commands.
    Other,
    /// Nothing usable; a sentence with what was found.
    Nothing(String),
}

impl Account {
    /// The cars of the account, and whether they have our key. Costs two data calls.
    ///
    /// # Errors
    /// A sentence that says why not.
    pub fn cars(&self) -> Result<Vec<AccountCar>, String> {
        let cloud = self.cloud()?;
        let mut spent = Spent::NOTHING;
        let said = |failure| sentence(outcome(failure, None));
        let answer = cloud.call(&Call::get("/api/1/vehicles".to_owned()), &mut spent).map_err(said)?;
        let listed = documents::list(&answer.body).ok_or("Tesla's answer holds no list of cars")?;
        let vins: Vec<&str> = listed.iter().map(|car| car.vin.as_str()).collect();
        let call = Call::post("/api/1/vehicles/fleet_status".to_owned(), json!({ "vins": vins }), Price::Data);
        // Drop-in services need not know it.
        let status = if vins.is_empty() { None } else { cloud.call(&call, &mut spent).ok() };
        let car = |car: &documents::Listed| {
            let status = status.as_ref().and_then(|status| documents::fleet_status(&status.body, &car.vin));
            AccountCar {
                vin: car.vin.clone(),
                name: car.name.clone(),
                wakefulness: car.wakefulness,
                needs_signature: status.and_then(|status| status.needs_signature),
                is_paired: status.and_then(|status| status.is_paired),
            }
        };
        Ok(listed.iter().map(car).collect())
    }

    /// Looks whether the world finds our public key on the domain. Costs nothing.
    #[must_use]
    pub fn published(&self, domain: &PairingDomain) -> Published {
        let url = domain.public_key_url();
        let base = url.strip_suffix(tesla_command::PUBLIC_KEY_PATH).unwrap_or(&url).to_owned();
        self.published_at(&base)
    }

    /// The same for a base address.
    pub(crate) fn published_at(&self, base: &str) -> Published {
        let ours = match self.public_key_pem() {
            Ok(Some(pem)) => pem,
            Ok(None) => return Published::Nothing("there is no key yet".to_owned()),
            Err(error) => return Published::Nothing(error.to_string()),
        };
        let pace = self.settings().pace;
        let client = Client::builder(base.to_owned()).total_timeout(pace.call).connect_timeout(pace.connect).build();
        let found = client.and_then(|client| client.get_text(tesla_command::PUBLIC_KEY_PATH));
        match found {
            Ok(text) if bare(&text) == bare(&ours) => Published::Right,
            Ok(text) if text.contains("PUBLIC KEY") => Published::Other,
            Ok(_) => Published::Nothing("something else than a key is there".to_owned()),
            Err(error) => Published::Nothing(error.to_string()),
        }
    }

    /// Whether the application is registered in its region with our key. Needs the client secret; `Ok(None)` without one.
    ///
    /// # Errors
    /// A sentence that says why it could not be asked.
    pub fn is_registered(&self, domain: &PairingDomain) -> Result<Option<bool>, String> {
        if self.settings().app.client_secret.is_none() {
            return Ok(None);
        }
        let (client, token) = self.partner()?;
        let path = format!("{REGISTER_PATH}/public_key?domain={}", http_client::url::encode(&host_of(domain)));
        let request = client.get(&path).anonymous().header("Authorization", &format!("Bearer {token}"));
        let answer = request.send().map_err(|error| error.to_string())?;
        match answer.status() {
            200..=299 => {
                let body = answer.json().unwrap_or_default();
                let registered = body.pointer("/response/public_key").and_then(|key| key.as_str()).unwrap_or_default();
                let ours = self.public_key().ok().flatten().map(|key| hex(&key.to_bytes()));
                // Where the answer's form is another than known, its being there counts.
                Ok(Some(registered.is_empty() || ours.is_none_or(|ours| registered.eq_ignore_ascii_case(&ours))))
            }
            404 | 412 => Ok(Some(false)),
            status => Err(format!("Tesla answers {status} when asked whether the domain is registered")),
        }
    }

    /// Registers the application with a domain in the account's region: needed once. Costs nothing.
    ///
    /// # Errors
    /// A sentence that says why not.
    pub fn register(&self, domain: &PairingDomain) -> Result<(), String> {
        let (client, token) = self.partner()?;
        let request = client.post(REGISTER_PATH).json(&json!({"domain": host_of(domain)}));
        let request = request.anonymous().header("Authorization", &format!("Bearer {token}"));
        let answer = request.send().map_err(|error| error.to_string())?;
        if answer.is_success() {
            return Ok(());
        }
        let words = crate::reply::words(answer.json().ok().as_ref(), &client.redactor().text(&answer.text()));
        Err(format!(
            "Tesla does not register the domain (status {}): {}. The domain must be among the application's origins at \
             developer.tesla.com, and {} must show our key",
            answer.status(),
            client.redactor().text(&words),
            domain.public_key_url()
        ))
    }

    /// A token of the application itself, and a client for the account's region.
    fn partner(&self) -> Result<(Client, String), String> {
        let settings = self.settings();
        let missing = |key| format!("{key} is missing in the configuration: registering needs it");
        let id = settings.app.client_id.clone().ok_or_else(|| missing("config.teslaApiClientID"))?;
        let secret = settings.app.client_secret.clone().ok_or_else(|| missing("config.teslaApiClientSecret"))?;
        let region: Region = region_of(&settings, &self.login().look().claims);
        let base = settings.hosts.api(region);
        let form = [
            ("grant_type", "client_credentials".to_owned()),
            ("client_id", id),
            ("client_secret", secret),
            ("scope", PARTNER_SCOPE.to_owned()),
            ("audience", base.clone()),
        ];
        let answer = match ask(&settings.hosts.token_base(region), &form, &settings.pace) {
            Grant::Given(answer) => answer,
            Grant::Denied(words) | Grant::Misconfigured(words) => {
                return Err(format!(
                    "Tesla refuses the application ({words}): compare config.teslaApiClientID and \
                     config.teslaApiClientSecret with developer.tesla.com"
                ));
            }
            Grant::Lost { text, .. } => return Err(text),
        };
        let token = answer.get("access_token").and_then(|token| token.as_str()).unwrap_or_default().to_owned();
        let Pace { call, connect, .. } = settings.pace;
        let client = Client::builder(base).total_timeout(call).connect_timeout(connect).secret(&token).build();
        Ok((client.map_err(|error| error.to_string())?, token))
    }

    /// The cloud for a few calls outside the source.
    fn cloud(&self) -> Result<Cloud, String> {
        let troubles = Arc::new(Troubles::new(Arc::new(Deaf)));
        Cloud::new(self.settings(), self.login(), self.notes(), troubles).map_err(|error| error.to_string())
    }
}

/// Nobody has to be told while a person looks on.
struct Deaf;

impl VehicleListener for Deaf {
    fn report(&self, _: Report) {}
    fn answered(&self, _: Answer) {}
    fn trouble(&self, _: &str, _: Option<Trouble>) {}
}

fn sentence(outcome: vehicle::Outcome) -> String {
    use vehicle::Outcome;
    match outcome {
        Outcome::Later { text, after: Some(after) } if after > Duration::from_secs(1) => {
            format!("{text}; try again in {} s", after.as_secs())
        }
        Outcome::Later { text, .. } | Outcome::Unsure { text } | Outcome::Barred { text } => text,
        other => format!("Tesla answers {other:?}"),
    }
}

fn host_of(domain: &PairingDomain) -> String {
    let url = domain.public_key_url();
    url.strip_prefix("https://").and_then(|rest| rest.split('/').next()).unwrap_or_default().to_owned()
}

/// A PEM without what editors and systems change.
fn bare(pem: &str) -> String {
    pem.chars().filter(|letter| !letter.is_whitespace()).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Keeps tokens in memory: for tests and for looking without a folder.
#[derive(Debug, Default)]
pub struct MemoryStore(Mutex<Option<crate::token::Tokens>>);

impl MemoryStore {
    /// A store with tokens in it.
    #[must_use]
    pub fn new(tokens: Option<crate::token::Tokens>) -> Self {
        MemoryStore(Mutex::new(tokens))
    }
}

impl crate::token::TokenStore for MemoryStore {
    fn load(&self) -> Option<crate::token::Tokens> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn save(&self, tokens: &crate::token::Tokens) -> Result<(), String> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(tokens.clone());
        Ok(())
    }
}
