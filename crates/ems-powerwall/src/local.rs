//! The gateway in the house.

use std::time::{Duration, Instant};

use ems::{Attribute, Ems, EmsError, EmsErrorKind, EmsReading, Pace, Stop, WireReading};
use ems_http::{LoginGate, Stamp};
use http_client::{Auth, Client, HttpError};
use json_pick::{Doc, PickError};
use serde_json::{Value, json};

use crate::cloud::Cloud;
use crate::finish;
use crate::parse::{add_phases, aggregates, flag, grid_status, is_running, number, operation, state_of_energy};
use crate::reserve::Reserve;

const INTERVAL: Duration = Duration::from_secs(5);
/// First and longest pause between logins; gateways throttle them.
const LOGIN_PAUSES: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(3600));
/// After a wrong password so long.
const AFTER_WRONG_PASSWORD: Duration = Duration::from_secs(600);
/// An overloaded or throttling gateway is left alone this long.
const BUSY: Duration = Duration::from_secs(300);
/// Mode and reserve change rarely.
const OPERATION_EVERY: Duration = Duration::from_secs(60);
/// A page that this firmware lacks is looked for again after this long.
const LOOK_AGAIN: Duration = Duration::from_secs(3600);

pub(crate) struct Gateway {
    client: Client,
    password: Option<String>,
    reserve: Reserve,
    cloud: Option<Cloud>,
    /// How often the cloud is asked for storm watch.
    cloud_interval: Duration,
    cloud_asked: Option<Instant>,
    storm_watch: Option<bool>,
    is_logged_in: bool,
    gate: LoginGate,
    stamp: Stamp,
    operation: Option<(Instant, Option<String>, Option<f64>)>,
    no_phases_since: Option<Instant>,
}

impl Gateway {
    pub fn new(
        client: Client,
        password: Option<String>,
        reserve: Reserve,
        cloud: Option<Cloud>,
        cloud_interval: Duration,
    ) -> Self {
        if let Some(password) = &password {
            client.secret(password);
        }
        Gateway {
            client,
            password,
            reserve,
            cloud,
            cloud_interval,
            cloud_asked: None,
            storm_watch: None,
            is_logged_in: false,
            gate: LoginGate::new(LOGIN_PAUSES.0, LOGIN_PAUSES.1),
            stamp: Stamp::default(),
            operation: None,
            no_phases_since: None,
        }
    }

    /// One session serves all pages.
    fn log_in(&mut self, now: Instant) -> Result<(), EmsError> {
        let Some(password) = &self.password else {
            let text = "the gateway wants a login: set `password` (at first the last five characters of the password on \
                        the gateway's label)";
            return Err(EmsError::new(EmsErrorKind::Denied, text));
        };
        self.gate.enter(now)?;
        self.client.clear_cookies();
        let body = json!({"username": "customer", "password": password, "email": "any", "force_sm_off": false});
        let answer = self.client.post("/api/login/Basic").json(&body).anonymous().send_json();
        let answer = answer.map_err(|error| {
            let failed = match error.status() {
                Some(401 | 403) => EmsError::new(
                    EmsErrorKind::Denied,
                    "the gateway refuses the login: correct `password` (at first the last five characters of the password \
                     on the gateway's label, later the one you chose)",
                )
                .after(AFTER_WRONG_PASSWORD),
                Some(404) => no_local_interface(),
                _ => busy(ems_http::failed(&error), error.status()),
            };
            self.gate.failed(now, failed)
        })?;
        if let Ok(Some(token)) = Doc::new(&answer).text("token") {
            self.client.set_auth(Auth::Bearer(token));
        }
        self.is_logged_in = true;
        Ok(())
    }

    fn get<T>(&self, path: &str, parse: impl Fn(&Value) -> Result<T, PickError>) -> Result<T, EmsError> {
        let answer = self.client.get_json(path).map_err(|error| trouble(&error, error.status()))?;
        parse(&answer).map_err(|error| ems_http::garbled(&error))
    }

    /// A page without which the reading is good all the same.
    fn bonus<T>(&self, path: &str, parse: impl Fn(&Value) -> Result<Option<T>, PickError>) -> Option<T> {
        self.get(path, parse).inspect_err(|error| log::debug!("Powerwall {path}: {error}")).ok().flatten()
    }

    fn poll(&mut self, now: Instant) -> Result<EmsReading, EmsError> {
        let answer = self.client.get_json("/api/meters/aggregates").map_err(|error| match error.status() {
            Some(502) => self.why_stopped(ems_http::failed(&error)),
            status => trouble(&error, status),
        })?;
        let found = aggregates(&answer).map_err(|error| ems_http::garbled(&error))?;
        self.gate.proven(now);
        let mut values = found.values;
        values.battery_soc = self.bonus("/api/system_status/soe", state_of_energy);
        flag(&mut values, "gridStatus", self.bonus("/api/system_status/grid_status", grid_status));
        self.add_operation(&mut values, now);
        self.add_phases(&mut values, now);
        self.ask_cloud(now);
        flag(&mut values, "stormWatch", self.storm_watch);
        let taken_at = self.stamp.taken_at(found.stamp.as_deref(), now);
        finish(values, &mut self.reserve, taken_at)
    }

    /// An empty 502 is what a stopped site controller looks like; the gateway tells whether that is so.
    fn why_stopped(&self, error: EmsError) -> EmsError {
        match self.bonus("/api/sitemaster", is_running) {
            Some(false) => EmsError::new(
                EmsErrorKind::Asleep,
                "the Powerwall's site controller is stopped or being updated; if this stays, start the system in the \
                 gateway's own page",
            ),
            _ => error,
        }
    }

    fn add_operation(&mut self, values: &mut WireReading, now: Instant) {
        if self.operation.as_ref().is_none_or(|(at, ..)| now.duration_since(*at) >= OPERATION_EVERY) {
            let told = self.bonus("/api/operation", |answer| operation(answer).map(Some));
            self.operation = told.map(|(mode, reserve)| (now, mode, reserve));
        }
        if let Some((_, mode, reserve)) = &self.operation {
            number(values, "reservePercent", *reserve);
            values.attributes.extend(mode.clone().map(|mode| ("operatingMode".to_owned(), Attribute::Text(mode))));
        }
    }

    fn add_phases(&mut self, values: &mut WireReading, now: Instant) {
        if self.no_phases_since.is_some_and(|at| now.duration_since(at) < LOOK_AGAIN) {
            return;
        }
        let told = self.bonus("/api/meters/site", |answer| {
            let mut phases = WireReading::default();
            add_phases(answer, &mut phases).map(|()| Some(phases))
        });
        match told {
            Some(phases) if phases.grid_phase_w.is_some() => {
                values.grid_phase_w = phases.grid_phase_w;
                values.grid_amps = phases.grid_amps;
                values.grid_volts = phases.grid_volts;
            }
            _ => self.no_phases_since = Some(now),
        }
    }

    /// Storm watch is in the cloud only. Not known is not "no".
    fn ask_cloud(&mut self, now: Instant) {
        let is_due = self.cloud_asked.is_none_or(|at| now.duration_since(at) >= self.cloud_interval);
        let Some(cloud) = self.cloud.as_mut().filter(|cloud| is_due && cloud.has_token()) else { return };
        self.cloud_asked = Some(now);
        self.storm_watch = match cloud.live() {
            Ok(found) => match found.values.attributes.get("stormWatch") {
                Some(Attribute::Flag(is_on)) => Some(*is_on),
                _ => None,
            },
            Err(error) => {
                log::warn!("Powerwall: storm watch is not known: {error}");
                None
            }
        };
    }
}

impl Ems for Gateway {
    fn read(&mut self, _: &Stop) -> Result<EmsReading, EmsError> {
        let now = Instant::now();
        // Firmware before 20.49 asks for no login at all; with a password at hand we log in first all the same.
        if !self.is_logged_in && self.password.is_some() {
            self.log_in(now)?;
        }
        match self.poll(now) {
            Err(error) if error.kind() == EmsErrorKind::Denied => {
                self.is_logged_in = false;
                self.log_in(now)?;
                self.poll(now)
            }
            result => result,
        }
    }

    fn pace(&self) -> Pace {
        Pace::Every(INTERVAL)
    }
}

/// What a page's status means at a gateway.
fn trouble(error: &HttpError, status: Option<u16>) -> EmsError {
    match status {
        Some(404) => no_local_interface(),
        status => busy(ems_http::failed(error), status),
    }
}

fn busy(error: EmsError, status: Option<u16>) -> EmsError {
    match status {
        Some(429 | 503) => {
            let wait = error.retry_after().unwrap_or(BUSY).max(BUSY);
            error.after(wait)
        }
        _ => error,
    }
}

fn no_local_interface() -> EmsError {
    EmsError::new(
        EmsErrorKind::Misconfigured,
        "this gateway has no local interface of the kind that Powerwall 2 has (a Powerwall 3 has none); leave `serverIP` \
         empty and set `cloudID` to read it through Tesla's cloud",
    )
}
