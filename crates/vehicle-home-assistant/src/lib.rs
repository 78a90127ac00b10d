//! Source of cars: what Home Assistant knows of them, told as it changes, and commands through its services.
//!
//! | part | does |
//! |---|---|
//! | [`open`], [`Settings`], [`NamedCar`] | settings, checked, and the running source |
//! | [`Role`] | what an entity is to a car, with its key in the configuration |
//! | `registry` | which cars its Tesla integrations know, by which entities; pure |
//! | `states`, `facts` | states of entities, and what they mean for a car; pure |
//! | `command` | a question as a call of a service, and what came of it; pure |
//! | `session`, `rest` | the WebSocket; REST beside it and where there is none |
//! | `worker` | the thread, and one connection after another |
//!
//! Any make of car will do, for the configuration may name any entities. Facts: Home Assistant's developer documentation
//! (WebSocket and REST), its integrations `tesla_fleet`, `teslemetry` and `tessie` (keys of entities); use and quirks in
//! `docs/vehicles/home-assistant.md`.

mod command;
mod facts;
mod registry;
mod rest;
mod role;
mod session;
mod states;
mod worker;

use std::fmt;
use std::sync::Arc;

use http_client::Tls;
use vehicle::{CarKey, VehicleListener, VehicleSource, Vin};

pub use role::{Entities, Role};

/// Name of the source.
pub const NAME: &str = "HomeAssistant";
const SECTION: &str = "vehicle.HomeAssistant";
/// Home Assistant's tokens have some 180 characters; TWCManager drew the line here.
const SHORTEST_TOKEN: usize = 20;

/// What is configured. `Debug` does not show the token.
#[derive(Clone)]
pub struct Settings {
    /// Address of Home Assistant, such as `http://192.168.1.5:8123`.
    pub url: String,
    /// Long-lived access token.
    pub token: String,
    /// How its certificate is judged.
    pub tls: Tls,
    /// Whether cars of its Tesla integrations are looked for.
    pub discovers: bool,
    /// Cars by entities that somebody named.
    pub cars: Vec<NamedCar>,
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // An address may hold a password.
        let address = self.url.rsplit('@').next().unwrap_or_default();
        write!(f, "Settings({address}, ***, {:?})", self.cars)
    }
}

/// A car by its entities. At least one of VIN and name is there.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NamedCar {
    /// Its VIN, where it has one.
    pub vin: Option<Vin>,
    /// Its name.
    pub name: Option<String>,
    /// Its entities.
    pub entities: Entities,
}

impl NamedCar {
    fn key(&self) -> CarKey {
        match (&self.vin, &self.name) {
            (Some(vin), _) => CarKey::Vin(vin.clone()),
            (None, name) => CarKey::Name(name.clone().unwrap_or_default()),
        }
    }
}

/// A setting that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{key} {problem}")]
pub struct Error {
    /// The key, from the top of the file.
    pub key: String,
    /// What is wrong, and what to write instead.
    pub problem: String,
}

impl Error {
    fn new(key: &str, problem: impl Into<String>) -> Self {
        Error { key: format!("{SECTION}.{key}"), problem: problem.into() }
    }
}

/// Starts. A Home Assistant that is away is no error: it is told as a trouble, and tried again.
///
/// # Errors
/// For the first setting that cannot be used.
pub fn open(settings: Settings, listener: Arc<dyn VehicleListener>) -> Result<Arc<dyn VehicleSource>, Error> {
    if settings.token.trim().chars().count() < SHORTEST_TOKEN {
        let problem = "is too short to be a token; make a long-lived access token at the bottom of your profile page in Home \
                       Assistant (Security), and put all of it here";
        return Err(Error::new("longLivedToken", problem));
    }
    if settings.url.trim().is_empty() {
        return Err(Error::new(
            "url",
            "is missing; write the address of Home Assistant, such as http://192.168.1.5:8123",
        ));
    }
    for (index, car) in settings.cars.iter().enumerate() {
        check(index, car)?;
    }
    let base =
        http_client::url::base(&settings.url, None, false).map_err(|error| Error::new("url", error.to_string()))?;
    let token = settings.token.trim().to_owned();
    let rest = rest::Rest::new(&base, &token, &settings.tls).map_err(|error| Error::new("url", error.to_string()))?;
    let access = session::Access { base, token, tls: settings.tls };
    let plan = worker::Plan { access, rest, named: settings.cars, discovers: settings.discovers };
    worker::start(plan, listener).map_err(|error| Error::new("enabled", format!("cannot be honoured: {error}")))
}

fn check(index: usize, car: &NamedCar) -> Result<(), Error> {
    let key = |name: &str| format!("cars[{index}]{}{name}", if name.is_empty() { "" } else { "." });
    if car.vin.is_none() && car.name.as_ref().is_none_or(|name| name.trim().is_empty()) {
        return Err(Error::new(&key(""), "has neither `vin` nor `name`; give it one of them"));
    }
    if car.entities.is_empty() {
        return Err(Error::new(&key(""), "names no entity; name at least `soc` or `charging`"));
    }
    for (role, entity) in &car.entities {
        if !role::is_entity_id(entity) {
            let problem = format!(
                "is `{entity}`, which is no entity; it must look like `{}.my_car`",
                role.domains().first().copied().unwrap_or("sensor")
            );
            return Err(Error::new(&key(role.key()), problem));
        }
        if !role.domains().contains(&role::domain(entity)) {
            let problem = format!(
                "is `{entity}`; it must be one of the kinds {} ({})",
                role.domains().join(", "),
                role.meaning()
            );
            return Err(Error::new(&key(role.key()), problem));
        }
    }
    Ok(())
}
