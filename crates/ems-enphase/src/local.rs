//! The gateway in the house: which access it wants, its token, and which of its pages tells most.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use ems::{Attribute, Ems, EmsError, EmsErrorKind, EmsReading, Pace, Stop};
use ems_http::{Keep, LoginGate, Stamp};
use http_client::{Auth, Class, Client, HttpError};
use serde_json::{Value, json};

use crate::info::{Info, info};
use crate::meters::{Live, Meter, live_data, meters, readings};
use crate::production::{Found, production, production_page, production_v1};
use crate::token::{Account, Token};

const INTERVAL: Duration = Duration::from_secs(10);
/// What a gateway lacks is looked for again after this long: it may have been installed.
const LOOK_AGAIN: Duration = Duration::from_secs(3600);
/// A sleeping live stream is woken at most this often; seen to sleep again after some minutes.
const WAKE_AGAIN: Duration = Duration::from_secs(60);
/// Live values older than this (seconds) are of the past.
const LIVE_FOR_S: i64 = 60;
/// First and longest pause between logins at the vendor's cloud.
const LOGIN_PAUSES: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(3600));

/// The page that told generation last time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rung {
    Production,
    V1,
    Page,
}

pub(crate) struct Gateway {
    /// The address as configured.
    pub plain: Client,
    /// The same host over https, when the configured address is that of old firmware.
    pub secure: Option<Client>,
    pub account: Option<Account>,
    pub configured: Option<Token>,
    pub keep: Arc<Keep>,
    /// Path of the section, for what is kept.
    pub path: String,
    pub state: State,
}

pub(crate) struct State {
    is_secure: bool,
    info: Option<Info>,
    token: Option<Token>,
    gate: LoginGate,
    renewal_tried: Option<Instant>,
    /// The enabled meters, and when they were looked for.
    meters: Option<(Instant, Vec<Meter>)>,
    rung: Option<Rung>,
    no_live_since: Option<Instant>,
    woken: Option<Instant>,
    stamp: Stamp,
}

impl Default for State {
    fn default() -> Self {
        State {
            is_secure: false,
            info: None,
            token: None,
            gate: LoginGate::new(LOGIN_PAUSES.0, LOGIN_PAUSES.1),
            renewal_tried: None,
            meters: None,
            rung: None,
            no_live_since: None,
            woken: None,
            stamp: Stamp::default(),
        }
    }
}

impl Ems for Gateway {
    fn read(&mut self, _: &Stop) -> Result<EmsReading, EmsError> {
        let now = Instant::now();
        if self.state.info.is_none() {
            self.look()?;
        }
        self.authorise(now)?;
        let found = match self.poll(now) {
            Err(error) if error.kind() == EmsErrorKind::Denied => {
                // A token that ended, or a firmware update since we looked: look again, log in once, ask once more.
                self.look()?;
                self.renew(now, &error)?;
                self.poll(now)?
            }
            // A page where data was due, or a redirect: perhaps an update changed the access. Look again next time.
            Err(error) if matches!(error.kind(), EmsErrorKind::Misconfigured | EmsErrorKind::Garbled) => {
                self.state.info = None;
                return Err(error);
            }
            other => other?,
        };
        self.state.gate.proven(now);
        self.reading(found, now)
    }

    fn pace(&self) -> Pace {
        Pace::Every(INTERVAL)
    }
}

impl Gateway {
    fn client(&self) -> &Client {
        self.secure.as_ref().filter(|_| self.state.is_secure).unwrap_or(&self.plain)
    }

    /// Finds out which access the gateway wants, from the page that needs none.
    fn look(&mut self) -> Result<(), EmsError> {
        let first = page_about(&self.plain);
        let found = match (&first, &self.secure) {
            (Ok(Some(info)), Some(_)) if info.needs_token => {
                self.state.is_secure = true;
                info.clone()
            }
            (Ok(Some(info)), _) => {
                self.state.is_secure = false;
                info.clone()
            }
            // Firmware 7 and later refuses http, or sends us to https.
            (_, Some(secure)) => match (page_about(secure), first) {
                (Ok(info), _) => {
                    self.state.is_secure = true;
                    info.unwrap_or(Info { needs_token: true, ..Info::default() })
                }
                (Err(_), Ok(_)) => self.unknown_gateway(),
                (Err(_), Err(error)) => return Err(ems_http::failed(&error)),
            },
            (Ok(None), None) => self.unknown_gateway(),
            (Err(error), None) => return Err(ems_http::failed(error)),
        };
        if !found.needs_token
            && let Some(password) =
                found.serial.as_deref().and_then(|serial| serial.get(serial.len().checked_sub(6)?..))
        {
            self.client().set_auth(Auth::Digest { user: "envoy".into(), password: password.into() });
        }
        self.state.info = Some(found);
        self.state.meters = None;
        Ok(())
    }

    /// Something that answers without telling about itself, such as a proxy in front of a gateway.
    fn unknown_gateway(&self) -> Info {
        Info { needs_token: self.configured.is_some() || self.account.is_some(), is_metered: true, ..Info::default() }
    }

    fn authorise(&mut self, now: Instant) -> Result<(), EmsError> {
        if !self.state.info.as_ref().is_some_and(|info| info.needs_token) {
            return Ok(());
        }
        let epoch = epoch_now();
        if self.state.token.is_none() {
            let kept = self.keep.load(&self.path).and_then(|kept| Some(Token::parse(kept.get("token")?.as_str()?)));
            let usable = [self.configured.clone(), kept].into_iter().flatten().filter(|token| !token.is_expired(epoch));
            if let Some(token) = usable.max_by_key(|token| token.expires) {
                self.use_token(token);
            }
        }
        let token = self.state.token.as_ref();
        let is_over = token.is_none_or(|token| token.is_expired(epoch));
        let tried_lately = self.state.renewal_tried.is_some_and(|at| now.duration_since(at) < LOOK_AGAIN);
        let is_due = token.is_some_and(|token| token.is_due(epoch)) && self.account.is_some() && !tried_lately;
        if !is_over && !is_due {
            return Ok(());
        }
        self.state.renewal_tried = Some(now);
        let text = match token.or(self.configured.as_ref()) {
            Some(_) => {
                "the gateway's token in `token` has expired; make a new one at https://entrez.enphaseenergy.com, or set \
                        `username` and `password` of the Enphase account so that it is renewed without you"
            }
            None => {
                "this gateway's firmware wants a token; set `username` and `password` of the Enphase account, or make a \
                     token at https://entrez.enphaseenergy.com and put it into `token`"
            }
        };
        match self.renew(now, &EmsError::new(EmsErrorKind::Misconfigured, text)) {
            // The old one is still good: the cloud may be back before it ends.
            Err(error) if !is_over => {
                log::debug!("{}: the token could not be renewed yet: {error}", self.path);
                Ok(())
            }
            result => result,
        }
    }

    /// Fetches a token; without an account the refusal stands.
    fn renew(&mut self, now: Instant, refusal: &EmsError) -> Result<(), EmsError> {
        let info = self.state.info.clone().unwrap_or_default();
        let Some(account) = self.account.as_ref().filter(|_| info.needs_token) else {
            let other = self.state.token.as_ref().and_then(|token| token.serial.clone());
            return Err(match (other, info.serial) {
                (Some(theirs), Some(ours)) if theirs != ours => EmsError::new(
                    EmsErrorKind::Denied,
                    format!("the token in `token` is for gateway {theirs}, but this is {ours}; make one for {ours}"),
                ),
                _ => refusal.clone(),
            });
        };
        let Some(serial) = info.serial else {
            return Err(EmsError::garbled(
                "the gateway does not tell its serial number, so no token can be fetched; put one into `token`",
            ));
        };
        self.state.gate.enter(now)?;
        let fetched = account.fetch(&serial);
        let token = fetched.map_err(|error| self.state.gate.failed(now, error))?;
        self.keep.save(&self.path, json!({ "token": token.text }));
        self.use_token(token);
        Ok(())
    }

    fn use_token(&mut self, token: Token) {
        self.client().set_auth(Auth::Bearer(token.text.clone()));
        self.state.token = Some(token);
        // What was refused with the old token may be allowed with this one.
        (self.state.meters, self.state.no_live_since) = (None, None);
    }

    fn poll(&mut self, now: Instant) -> Result<Found, EmsError> {
        let mut found = match self.poll_meters(now)? {
            Some(found) if found.values.generation_w.is_some() => found,
            // No transformer on the inverters: they tell themselves, every five minutes.
            Some(found) => {
                let own = self.poll_production()?;
                let generation_w = own.values.generation_w;
                if found.values.grid_w.is_none() && found.values.consumption_w.is_none() {
                    own
                } else {
                    Found { values: ems::WireReading { generation_w, ..found.values }, ..found }
                }
            }
            None => self.poll_production()?,
        };
        self.add_live(&mut found, now);
        Ok(found)
    }

    /// `None` when the gateway has no meters, or cannot tell of them.
    fn poll_meters(&mut self, now: Instant) -> Result<Option<Found>, EmsError> {
        if !self.state.info.as_ref().is_some_and(|info| info.is_metered) {
            return Ok(None);
        }
        let known = self.state.meters.as_ref().filter(|(at, _)| now.duration_since(*at) < LOOK_AGAIN);
        let list = match known {
            Some((_, list)) => list.clone(),
            None => {
                // Units without meters refuse with all kinds of answers; `/production.json` tells whether the token is good.
                let list = match self.client().get_json("/ivp/meters") {
                    Ok(answer) => meters(&answer).unwrap_or_default(),
                    Err(error) if error.class() == Class::Retry => return Err(ems_http::failed(&error)),
                    Err(_) => Vec::new(),
                };
                self.state.meters = Some((now, list.clone()));
                list
            }
        };
        if list.is_empty() {
            return Ok(None);
        }
        match self.client().get_json("/ivp/meters/readings") {
            Ok(answer) => Ok(readings(&answer, &list).ok()),
            Err(error) if matches!(error.class(), Class::Broken | Class::Misconfigured) => Ok(None),
            Err(error) => Err(ems_http::failed(&error)),
        }
    }

    /// From the page that tells most down to the oldest; the one that worked is asked first from then on.
    fn poll_production(&mut self) -> Result<Found, EmsError> {
        let rungs = [Rung::Production, Rung::V1, Rung::Page];
        let mut first_error = None;
        for rung in rungs.into_iter().filter(|rung| self.state.rung.is_none_or(|known| known == *rung)) {
            let result = match rung {
                Rung::Production => self.json("/production.json?details=1", production),
                Rung::V1 => self.json("/api/v1/production", production_v1),
                Rung::Page => self
                    .client()
                    .get_text("/production")
                    .map_err(|error| (ems_http::failed(&error), false))
                    .and_then(|page| {
                        let text =
                            "the gateway's page /production shows no power; update the gateway, or check `serverIP`";
                        production_page(&page).ok_or((EmsError::garbled(text), true))
                    }),
            };
            match result {
                Ok(found) if found == Found::default() && rung == Rung::Production => {}
                Ok(found) => {
                    self.state.rung = Some(rung);
                    return Ok(found);
                }
                // Old firmware answers unknown paths with a page and status 200.
                Err((error, true)) => first_error = first_error.or(Some(error)),
                Err((error, false)) => return Err(error),
            }
        }
        self.state.rung = None;
        Err(first_error.unwrap_or_else(|| {
            EmsError::garbled(
                "the gateway tells no generation on any of its pages; check that its inverters are set up",
            )
        }))
    }

    /// The error comes with whether another page may do better.
    fn json(
        &self,
        path: &str,
        parse: impl Fn(&Value) -> Result<Found, json_pick::PickError>,
    ) -> Result<Found, (EmsError, bool)> {
        let may_do_better = |error: &HttpError| matches!(error.class(), Class::Broken | Class::Misconfigured);
        let answer = self.client().get_json(path).map_err(|error| (ems_http::failed(&error), may_do_better(&error)))?;
        parse(&answer).map_err(|error| (ems_http::garbled(&error), true))
    }

    /// Adds what only the live page of systems with batteries knows. A bonus: its failures are not the source's.
    fn add_live(&mut self, found: &mut Found, now: Instant) {
        let is_known_absent = self.state.no_live_since.is_some_and(|at| now.duration_since(at) < LOOK_AGAIN);
        let has_pages = self.state.info.as_ref().is_some_and(|info| info.needs_token || info.firmware.is_none());
        if is_known_absent || !has_pages {
            return;
        }
        let answer = self.client().get_json("/ivp/livedata/status").ok();
        let Some(live) = answer.and_then(|answer| live_data(&answer).ok()).filter(|live| live.has_battery) else {
            self.state.no_live_since = Some(now);
            return;
        };
        let reference = found.stamp.unwrap_or_else(epoch_now);
        let is_fresh = live.stamp.is_some_and(|stamp| reference.saturating_sub(stamp).abs() <= LIVE_FOR_S);
        if is_fresh {
            merge(found, live);
        } else {
            found.may_include_battery |= found.values.battery_w.is_none();
            let is_woken = self.state.woken.is_some_and(|at| now.duration_since(at) < WAKE_AGAIN);
            if !live.is_streaming && !is_woken {
                self.state.woken = Some(now);
                let woken = self.client().post("/ivp/livedata/stream").json(&json!({ "enable": 1 })).send_ok();
                if let Err(error) = woken {
                    log::debug!("{}: the live stream cannot be switched on: {error}", self.path);
                }
            }
        }
    }

    fn reading(&mut self, found: Found, now: Instant) -> Result<EmsReading, EmsError> {
        let stamp = found.stamp.map(|stamp| stamp.to_string());
        let taken_at = self.state.stamp.taken_at(stamp.as_deref(), now);
        let mut values = found.values;
        let volts: Vec<f64> = values.grid_volts.iter().flatten().flatten().copied().collect();
        if !volts.is_empty() {
            let mean = volts.iter().sum::<f64>() / f64::from(u8::try_from(volts.len()).unwrap_or(u8::MAX));
            values.attributes.insert("voltage".into(), Attribute::Number(mean));
        }
        if found.may_include_battery && values.consumption_w.is_some() {
            values.attributes.insert("consumptionIncludesBattery".into(), Attribute::Flag(true));
        }
        values.into_reading(taken_at).map_err(EmsError::garbled)
    }
}

/// `Ok(None)` when something answers that tells nothing of itself.
fn page_about(client: &Client) -> Result<Option<Info>, HttpError> {
    let answer = client.get("/info").anonymous().send()?;
    Ok(if answer.is_success() { info(&answer.text()) } else { None })
}

fn merge(found: &mut Found, live: Live) {
    let (values, live) = (&mut found.values, live.values);
    if values.battery_w.is_none() {
        // Without a transformer on the batteries only this load is free of their charging.
        values.consumption_w = live.consumption_w.or(values.consumption_w);
        values.battery_w = live.battery_w;
        found.may_include_battery = live.consumption_w.is_none();
    }
    values.battery_soc = live.battery_soc.or(values.battery_soc);
    if values.grid_w.is_none() {
        values.grid_w = live.grid_w;
        values.grid_phase_w = live.grid_phase_w;
    }
    values.generation_w = values.generation_w.or(live.generation_w);
}

pub(crate) fn epoch_now() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}
