//! The front of the crate: one request in, one answer out.

use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{SystemTime, UNIX_EPOCH};

use http_door::{Body, Handler, Method, Request, Response};
use jiff::tz::TimeZone;
use serde_json::Value;
use site::{Command, Refusal, RefusalKind, SitePort, Snapshot};

use crate::access::{AccessFile, AccessRules, Gate};
use crate::cache::Cache;
use crate::cars::Cars;
use crate::logs::LogOutputs;
use crate::ports::{DebugBus, History};
use crate::route::{Call, Found, Route, find};
use crate::tesla::TeslaAccount;
use crate::v2::Live;
use crate::{compat, health, logs, metrics, page, tesla, v2};

/// What the interface needs to know beside the site.
#[derive(Debug, Clone)]
pub struct ApiConfig {
    /// The configuration as `/api/getConfig` shows it: the shape of the file, every secret already masked.
    pub config_masked: Value,
    /// Version of the program.
    pub version: String,
    /// What `/api/getUUID` answers: a decimal number that stays the same on this machine.
    pub uuid: String,
    /// Who may ask.
    pub access: AccessRules,
    /// Where password and tokens are kept; without it there never is a password.
    pub access_file: Option<AccessFile>,
    /// The zone of local time in the answers of old shape.
    pub time_zone: TimeZone,
    /// The past, when it is written down.
    pub history: Option<Arc<dyn History>>,
    /// The bus of Gen 2 connectors, when there is one.
    pub bus: Option<Arc<dyn DebugBus>>,
    /// The account at Tesla's, when it is in use.
    pub tesla: Option<Arc<dyn TeslaAccount>>,
    /// The outputs of the log.
    pub logs: Option<Arc<dyn LogOutputs>>,
    /// Whoever looks after the cars, when there is somebody.
    pub cars: Option<Arc<dyn Cars>>,
}

impl Default for ApiConfig {
    fn default() -> Self {
        ApiConfig {
            config_masked: Value::Object(serde_json::Map::new()),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            uuid: "0".to_owned(),
            access: AccessRules::default(),
            access_file: None,
            time_zone: TimeZone::system(),
            history: None,
            bus: None,
            tesla: None,
            logs: None,
            cars: None,
        }
    }
}

/// Answers requests about one site; hand it to `http_door::Server::start`.
///
/// A command waits until the site has taken or refused it. One thread follows the site for the event streams; it ends
/// within a second after the `Api` is dropped.
pub struct Api {
    inner: Arc<Inner>,
}

/// What every row of the route table gets.
pub(crate) struct Inner {
    pub config: ApiConfig,
    pub site: Arc<dyn SitePort>,
    pub gate: Gate,
    rules: RwLock<Arc<AccessRules>>,
    pub live: Live,
    /// Why the last debug message was not sent.
    pub debug_refusal: Mutex<Option<String>>,
    /// Held while a setting is read, changed and written back.
    pub settings_turn: Mutex<()>,
    pub status_cache: Cache<compat::RenderKey>,
    pub slaves_cache: Cache<compat::RenderKey>,
    pub snapshot_cache: Cache<u64>,
}

/// Every table of routes.
pub(crate) const TABLES: [&[Route]; 9] = [
    compat::ROUTES,
    v2::ROUTES,
    page::ROUTES,
    health::ROUTES,
    logs::ROUTES,
    metrics::ROUTES,
    tesla::ROUTES,
    tesla::KEY_ROUTES,
    v2::CAR_ROUTES,
];

impl Api {
    /// An interface to `site`.
    pub fn new(config: ApiConfig, site: Arc<dyn SitePort>) -> Api {
        let inner = Arc::new(Inner {
            gate: Gate::new(config.access_file.clone()),
            rules: RwLock::new(Arc::new(config.access.clone())),
            config,
            site,
            live: Live::default(),
            debug_refusal: Mutex::new(None),
            settings_turn: Mutex::new(()),
            status_cache: Cache::default(),
            slaves_cache: Cache::default(),
            snapshot_cache: Cache::default(),
        });
        v2::follow(&inner);
        Api { inner }
    }

    /// The object of `/api/getStatus`, which webhooks carry too.
    #[must_use]
    pub fn status_object(&self) -> Value {
        let (snapshot, settings) = (self.inner.snapshot(), self.inner.site.settings());
        compat::status_object(&self.inner, &snapshot, &settings, seconds_since_1970())
    }

    /// Puts other rules of access in force.
    pub fn set_access(&self, rules: AccessRules) {
        *self.inner.rules.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(rules);
    }

    /// Answers one request that arrived at `now`, in seconds since 1970.
    pub fn answer(&self, request: &Request, now: f64) -> Response {
        harden(self.inner.answer(request, now))
    }
}

impl Drop for Api {
    fn drop(&mut self) {
        self.inner.live.close();
    }
}

impl Handler for Api {
    fn handle(&self, request: Request) -> Response {
        self.answer(&request, seconds_since_1970())
    }
}

impl Inner {
    fn answer(&self, request: &Request, now: f64) -> Response {
        let (route, parameter) = match find(&TABLES, request) {
            Found::Row(route, parameter) => (route, parameter),
            Found::OtherMethods(allow) => {
                let text = format!("{} is not possible here; this address takes {allow}", request.method);
                return Response::error(405, &text).with_header("Allow", allow);
            }
            Found::Nothing => return nothing_here(request),
        };
        if let Err(denied) = self.rules().check(request, route.intent, || self.gate.caller(request, now)) {
            // To be asked for a password is the ordinary course of things.
            let level = if denied.status == 401 { log::Level::Debug } else { log::Level::Warn };
            log::log!(level, "refused {} {} from {}: {}", request.method, request.path, request.peer, denied.text);
            return denied.response();
        }
        (route.run)(self, &Call { request, now, parameter })
    }

    /// The rules of access in force.
    pub(crate) fn rules(&self) -> Arc<AccessRules> {
        Arc::clone(&self.rules.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Whoever looks after the cars.
    pub(crate) fn cars(&self) -> Option<&dyn Cars> {
        self.config.cars.as_deref()
    }

    /// The latest snapshot.
    pub(crate) fn snapshot(&self) -> Arc<Snapshot> {
        self.site.snapshot()
    }

    /// Gives a command, and an answer made of the refusal when there is one.
    pub(crate) fn command(&self, command: Command) -> Result<(), Response> {
        log::info!("command over HTTP: {command:?}");
        self.site.command(command).map_err(|refusal| refused(&refusal))
    }

    /// Changes one setting.
    pub(crate) fn set(&self, key: &str, value: impl Into<Value>) -> Result<(), Response> {
        let command = Command::SetSetting { key: key.to_owned(), value: value.into() };
        self.site.command(command).map_err(|refusal| refused(&refusal))
    }

    /// Changes settings that belong together: all of them or none.
    pub(crate) fn set_all(&self, changes: Vec<(&str, Value)>) -> Result<(), Response> {
        let changes = changes.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
        self.site.command(Command::SetSettings(changes)).map_err(|refusal| refused(&refusal))
    }
}

/// The answer to a command that the site did not take.
fn refused(refusal: &Refusal) -> Response {
    let status = match refusal.kind {
        RefusalKind::Invalid => 400,
        RefusalKind::NotFound => 404,
        RefusalKind::Unsupported => 409,
        RefusalKind::Busy => 503,
    };
    Response::error(status, &refusal.text)
}

/// TWCManager answers an unknown API path with an empty body, and some scripts look at that.
fn nothing_here(request: &Request) -> Response {
    let is_old_api = request.path.starts_with("/api/") && !request.path.starts_with("/api/v2/");
    if is_old_api || request.method == Method::Post && !request.path.starts_with("/api/") {
        return Response::new(404);
    }
    Response::error(
        404,
        "there is nothing at this address; the page is at / and the interface is described at /api/v2/openapi.json",
    )
}

/// Headers that every answer carries.
fn harden(response: Response) -> Response {
    let has_cache_rule = response.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("cache-control"));
    let is_empty = matches!(response.body, Body::Empty);
    let response = response.with_header("X-Content-Type-Options", "nosniff");
    if has_cache_rule || is_empty { response } else { response.with_header("Cache-Control", "no-store") }
}

pub(crate) fn seconds_since_1970() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
}
