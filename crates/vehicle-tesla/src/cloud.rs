//! Calls to the Fleet API: with a good token, to the right host, counted as Tesla bills them, and not at all while Tesla
//! asks to be left alone.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use http_client::{Client, HttpError, Response};
use serde_json::Value;
use vehicle::{Outcome, Refusal, Request, Spent};

use crate::login::{Login, NoAccess, base_of};
use crate::notes::Notes;
use crate::reply::{Fault, Heard, fault, outcome_of_reason, reset_after, words};
use crate::settings::Settings;
use crate::token_service::{failed_call, was_not_sent};
use crate::trouble::Troubles;

/// So many failed calls in a row are told as trouble.
const MISSES_TOLD: u32 = 3;
/// A whole list of cars is far smaller.
const LIMIT: u64 = 4 * 1024 * 1024;

/// What a call costs as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Price {
    Command,
    Data,
    Wake,
}

/// One call.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    pub(crate) path: String,
    /// Sent as JSON by `POST`; a `GET` without.
    pub(crate) body: Option<Value>,
    pub(crate) price: Price,
    /// Through the command proxy, where there is one.
    pub(crate) is_for_proxy: bool,
    /// Another time-out than usual.
    pub(crate) timeout: Option<Duration>,
}

impl Call {
    pub(crate) fn get(path: String) -> Self {
        Call { path, body: None, price: Price::Data, is_for_proxy: false, timeout: None }
    }

    pub(crate) fn post(path: String, body: Value, price: Price) -> Self {
        Call { path, body: Some(body), price, is_for_proxy: false, timeout: None }
    }
}

/// A good answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) body: Value,
    pub(crate) at: Instant,
    /// What the sender's clock said then; ours, where it does not tell.
    pub(crate) sender_now: SystemTime,
}

/// Why there is no good answer.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Failure {
    /// Nothing was sent, for a reason that holds for every call.
    NotMade(Outcome),
    /// It surely did not arrive.
    NotSent(String),
    /// It may have arrived.
    Lost(String),
    /// The cloud or the car said no; its words.
    Said(Fault, String),
}

/// The cloud, shared by all threads of the source.
pub(crate) struct Cloud {
    settings: Arc<Settings>,
    pub(crate) login: Arc<Login>,
    notes: Arc<Notes>,
    pub(crate) troubles: Arc<Troubles>,
    /// The client of the host in use.
    client: Mutex<Option<(String, Arc<Client>)>>,
    proxy: Option<Arc<Client>>,
    closed: Mutex<Option<Closed>>,
    misses: AtomicU32,
}

/// Nobody calls before a moment.
#[derive(Debug, Clone)]
struct Closed {
    until: Instant,
    is_payment: bool,
    /// The token that was used; another one may have been paid for.
    token: String,
}

impl Cloud {
    pub(crate) fn new(
        settings: Arc<Settings>,
        login: Arc<Login>,
        notes: Arc<Notes>,
        troubles: Arc<Troubles>,
    ) -> Result<Self, HttpError> {
        let proxy = settings.proxy.as_ref().map(|proxy| {
            let builder = Client::builder(proxy.url.clone()).tls(proxy.tls.clone()).limit(LIMIT);
            let builder = builder.total_timeout(settings.pace.call).connect_timeout(settings.pace.connect);
            builder.config_key("config.teslaProxy").build().map(Arc::new)
        });
        let proxy = proxy.transpose()?;
        let (client, closed, misses) = (Mutex::default(), Mutex::default(), AtomicU32::new(0));
        Ok(Cloud { settings, login, notes, troubles, client, proxy, closed, misses })
    }

    /// Whether commands go through a proxy or a drop-in service, which sign by themselves.
    pub(crate) fn others_sign(&self) -> bool {
        self.proxy.is_some() || self.settings.fixed_token.is_some()
    }

    /// Makes a call. Blocks for at most a few time-outs: once more after a token was renewed or the host has changed.
    pub(crate) fn call(&self, call: &Call, spent: &mut Spent) -> Result<Answer, Failure> {
        let token = self.login.access().map_err(|why| self.no_access(why))?;
        self.check_open(&token)?;
        self.check_scope(call.price)?;
        let mut token = token;
        let (mut has_renewed, mut has_moved) = (false, false);
        loop {
            let result = self.once(call, &token, spent);
            match &result {
                Err(Failure::Said(Fault::TokenExpired, _)) if !has_renewed => {
                    has_renewed = true;
                    token = self.login.access_instead_of(&token).map_err(|why| self.no_access(why))?;
                }
                Err(Failure::Said(Fault::OtherRegion, said)) if !has_moved && self.move_to(said) => has_moved = true,
                Ok(_) => {
                    self.troubles.clear(&["sign_in", "configuration", "payment", "not_registered", "wrong_region"]);
                    self.troubles.clear(&["store", "unreachable"]);
                    return result;
                }
                Err(Failure::Said(fault, said)) => {
                    self.heed(fault, said, &token, call.price);
                    return result;
                }
                Err(_) => return result,
            }
        }
    }

    /// One call without thought for its meaning.
    fn once(&self, call: &Call, token: &str, spent: &mut Spent) -> Result<Answer, Failure> {
        let proxy = self.proxy.as_ref().filter(|_| call.is_for_proxy);
        let client = match proxy {
            Some(proxy) => Arc::clone(proxy),
            None => self.client().map_err(|error| Failure::NotSent(error.to_string()))?,
        };
        client.secret(token);
        let request = match &call.body {
            Some(body) => client.post(&call.path).json(body),
            None => client.get(&call.path),
        };
        let request = request.anonymous().header("Authorization", &format!("Bearer {token}"));
        let request = request.timeout(call.timeout.unwrap_or(self.settings.pace.call));
        let response = match request.send() {
            Ok(response) => response,
            Err(error) => return Err(self.missed(call, &error, spent)),
        };
        self.misses.store(0, Ordering::Relaxed);
        self.troubles.clear(&["unreachable"]);
        if response.status() < 500 {
            count(call.price, spent);
        }
        let sender_now = response.header("date").and_then(|date| httpdate::parse_http_date(date).ok());
        let at = Instant::now();
        let heard = hear(&client, &response);
        match heard.body {
            Some(body) if response.is_success() => {
                Ok(Answer { body, at, sender_now: sender_now.unwrap_or_else(SystemTime::now) })
            }
            _ if response.is_success() || (300..400).contains(&response.status()) => Err(Failure::Lost(format!(
                "something between here and Tesla answered with status {} and no data: see whether this network needs a \
                 login, or what stands in vehicle.teslaAPI.apiUrl",
                response.status()
            ))),
            _ => {
                let found = fault(&heard);
                let moved = heard.alt_svc.filter(|_| found == Fault::OtherRegion);
                let said = moved.and_then(|header| self.settings.hosts.moved_to("", Some(&header)));
                let said = said.map_or(heard.words, |base| format!("use base URL: {base}"));
                Err(Failure::Said(found, said))
            }
        }
    }

    fn missed(&self, call: &Call, error: &HttpError, spent: &mut Spent) -> Failure {
        // A proxy is a device in the house.
        let is_proxy = call.is_for_proxy && self.proxy.is_some();
        let text = if is_proxy { error.to_string() } else { failed_call(error, "vehicle.teslaAPI.apiUrl") };
        if self.misses.fetch_add(1, Ordering::Relaxed).saturating_add(1) >= MISSES_TOLD {
            self.troubles.raise("unreachable", format!("Tesla's cloud is out of reach: {text}"));
        }
        if was_not_sent(error, &self.settings.pace) {
            return Failure::NotSent(text);
        }
        count(call.price, spent);
        Failure::Lost(text)
    }

    /// The client of the host that serves the account.
    fn client(&self) -> Result<Arc<Client>, HttpError> {
        let base = self.base();
        let mut slot = self.client.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, client)) = slot.as_ref().filter(|(known, _)| *known == base) {
            return Ok(Arc::clone(client));
        }
        let builder = Client::builder(base.clone()).limit(LIMIT).follow_redirects(false).proxy_from_environment();
        let builder = builder.total_timeout(self.settings.pace.call).connect_timeout(self.settings.pace.connect);
        let secret = self.settings.app.client_secret.as_deref().unwrap_or_default();
        let client = Arc::new(builder.secret(secret).config_key("vehicle.teslaAPI.apiUrl").build()?);
        *slot = Some((base, Arc::clone(&client)));
        Ok(client)
    }

    /// The host in use.
    pub(crate) fn base(&self) -> String {
        let moved = self.notes.base().filter(|base| self.settings.hosts.may_go(base));
        moved.unwrap_or_else(|| base_of(&self.settings, &self.login.look().claims))
    }

    /// Goes to the host that a 421 names, for good; whether it is another one.
    fn move_to(&self, said: &str) -> bool {
        let Some(base) = self.settings.hosts.moved_to(said, None) else { return false };
        if base == self.base() {
            return false;
        }
        log::info!("Tesla serves this account at {base}");
        self.notes.set_base(Some(base));
        true
    }

    fn check_open(&self, token: &str) -> Result<(), Failure> {
        let mut closed = self.closed.lock().unwrap_or_else(PoisonError::into_inner);
        let left = closed.as_ref().map(|closed| closed.until.saturating_duration_since(Instant::now()));
        let is_over = left.is_some_and(|left| left.is_zero())
            || closed.as_ref().is_some_and(|closed| closed.is_payment && closed.token != token);
        if is_over {
            *closed = None;
        }
        match (&*closed, left) {
            (None, _) | (_, None) => Ok(()),
            (Some(Closed { is_payment: true, .. }), _) => {
                Err(Failure::NotMade(Outcome::Barred { text: PAYMENT.to_owned() }))
            }
            (Some(_), Some(left)) => Err(Failure::NotMade(Outcome::Later {
                after: Some(left),
                text: "Tesla asks for a pause: too many calls".to_owned(),
            })),
        }
    }

    /// A right that the token surely lacks need not be paid for to be refused.
    fn check_scope(&self, price: Price) -> Result<(), Failure> {
        let text = match missing_scope(&self.login.look().claims, price) {
            Some(scope) if self.settings.fixed_token.is_none() => scope_text(scope),
            _ => return Ok(()),
        };
        self.troubles.raise("scope", text.clone());
        Err(Failure::NotMade(Outcome::Barred { text }))
    }

    fn no_access(&self, why: NoAccess) -> Failure {
        Failure::NotMade(match why {
            NoAccess::SignIn(text) => {
                self.troubles.raise("sign_in", text.clone());
                Outcome::Barred { text }
            }
            NoAccess::Misconfigured(text) => {
                self.troubles.raise("configuration", text.clone());
                Outcome::Barred { text }
            }
            NoAccess::NotKept(text) => {
                self.troubles.raise("store", text.clone());
                Outcome::Later { after: Some(Duration::from_secs(60)), text }
            }
            NoAccess::Wait { after, text } => Outcome::Later { after: Some(after), text },
        })
    }

    /// Takes to heart what concerns every call.
    fn heed(&self, fault: &Fault, said: &str, token: &str, price: Price) {
        let now = Instant::now();
        let close = |until: Duration, is_payment| {
            let until = now.checked_add(until).unwrap_or(now);
            let closed = Closed { until, is_payment, token: token.to_owned() };
            *self.closed.lock().unwrap_or_else(PoisonError::into_inner) = Some(closed);
        };
        match fault {
            Fault::TooMany(pause) => close(*pause, false),
            Fault::Payment => {
                close(until_next_month(SystemTime::now()), true);
                self.troubles.raise("payment", PAYMENT);
            }
            Fault::SignIn | Fault::TokenExpired => self.troubles.raise("sign_in", crate::login::sign_in_text()),
            Fault::NotRegistered => self.troubles.raise("not_registered", NOT_REGISTERED),
            Fault::OtherRegion => self.troubles.raise("wrong_region", format!("{WRONG_REGION} ({said})")),
            Fault::Scope => self.troubles.raise("scope", scope_text(needed_scopes(price)[0])),
            _ => {}
        }
    }
}

const PAYMENT: &str = "Tesla's allowance for this month is used up: add a payment method or a higher limit at \
                       developer.tesla.com and restart, or wait for the next month";
const NOT_REGISTERED: &str = "the application is not registered in this region: run `twcmanager tesla setup --register \
                              DOMAIN` once";
const WRONG_REGION: &str = "another host serves this account: correct vehicle.teslaAPI.apiUrl, or remove it";

/// What a failure is to who asked; `command` when it was a command for a car.
pub(crate) fn outcome(failure: Failure, command: Option<Request>) -> Outcome {
    let lost = |text: String| match command {
        Some(_) => Outcome::Unsure { text },
        None => Outcome::Later { after: None, text },
    };
    let (fault, said) = match failure {
        Failure::NotMade(outcome) => return outcome,
        Failure::NotSent(text) => return Outcome::Later { after: None, text },
        Failure::Lost(text) => return lost(text),
        Failure::Said(fault, said) => (fault, said),
    };
    let barred = |text: String| Outcome::Barred { text };
    match fault {
        Fault::TokenExpired | Fault::SignIn => barred(crate::login::sign_in_text()),
        Fault::MobileAccess => {
            barred("the car refuses: switch mobile access on in the car under Controls > Safety".into())
        }
        Fault::Payment => barred(PAYMENT.to_owned()),
        Fault::NotRegistered => barred(NOT_REGISTERED.to_owned()),
        Fault::OtherRegion => barred(WRONG_REGION.to_owned()),
        Fault::Scope => {
            barred(scope_text(needed_scopes(if command.is_some() { Price::Command } else { Price::Data })[0]))
        }
        Fault::NeedsSignature => {
            barred("this car takes only signed commands: run `twcmanager tesla setup` and follow it".to_owned())
        }
        Fault::Asleep => Outcome::Asleep,
        Fault::TooMany(pause) => {
            Outcome::Later { after: Some(pause), text: "Tesla asks for a pause: too many calls".to_owned() }
        }
        Fault::Later(after) => Outcome::Later { after, text: with("the car or Tesla's cloud is busy", &said) },
        Fault::Unsure => lost(with("Tesla's cloud failed inside", &said)),
        Fault::Reason(word) => {
            command.map_or(Outcome::Refused(Refusal::Other), |request| outcome_of_reason(request, &word))
        }
        Fault::Unprocessable => {
            log::warn!("{}", with("Tesla refuses the call", &said));
            Outcome::Refused(Refusal::Other)
        }
        Fault::NotFound => {
            barred(with("Tesla's cloud knows no such call; look at vehicle.teslaAPI.apiUrl, if it is set", &said))
        }
        Fault::Never => barred(with("Tesla's cloud refuses the call, and would again", &said)),
    }
}

fn with(text: &str, said: &str) -> String {
    if said.is_empty() { text.to_owned() } else { format!("{text}: {said}") }
}

/// Any of these is enough.
fn needed_scopes(price: Price) -> &'static [&'static str] {
    match price {
        Price::Data => &["vehicle_device_data"],
        Price::Command | Price::Wake => &["vehicle_cmds", "vehicle_charging_cmds"],
    }
}

/// The right that is missing for such calls.
pub(crate) fn missing_scope(claims: &crate::token::Claims, price: Price) -> Option<&'static str> {
    let needed = needed_scopes(price);
    let has_one = needed.iter().any(|scope| claims.has(scope));
    needed.first().filter(|_| !has_one).copied()
}

/// What to do about a missing right.
pub(crate) fn scope_text(scope: &str) -> String {
    format!("the sign-in lacks the right `{scope}`: add it to config.teslaApiScope, sign in again, and allow it there")
}

fn count(price: Price, spent: &mut Spent) {
    *spent += match price {
        Price::Command => Spent { commands: 1, ..Spent::NOTHING },
        Price::Data => Spent { data: 1, ..Spent::NOTHING },
        Price::Wake => Spent { wakes: 1, ..Spent::NOTHING },
    };
}

fn hear(client: &Client, response: &Response) -> Heard {
    let body = response.json().ok();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let reset = response.header("ratelimit-reset").and_then(|text| reset_after(text, now));
    let text = client.redactor().text(&response.text());
    Heard {
        status: response.status(),
        words: client.redactor().text(&words(body.as_ref(), &text)),
        body,
        pause: response.retry_after().or(reset.filter(|_| response.status() == 429)),
        alt_svc: response.header("alt-svc").map(str::to_owned),
    }
}

/// The time until the first of next month, 00:00 UTC, when a new allowance begins.
fn until_next_month(now: SystemTime) -> Duration {
    let day = Duration::from_secs(86_400);
    let next = || {
        let here = jiff::Timestamp::try_from(now).ok()?.to_zoned(jiff::tz::TimeZone::UTC);
        let first = here.date().last_of_month().tomorrow().ok()?.to_zoned(jiff::tz::TimeZone::UTC).ok()?;
        let first = SystemTime::from(first.timestamp());
        first.duration_since(now).ok()
    };
    next().unwrap_or(day).max(Duration::from_secs(60))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_allowance_begins_anew_with_the_month() {
        let at = |text: &str| SystemTime::from(text.parse::<jiff::Timestamp>().unwrap());
        assert_eq!(until_next_month(at("2026-12-31T23:00:00Z")), Duration::from_secs(3600));
        assert_eq!(until_next_month(at("2026-02-01T00:00:00Z")), Duration::from_secs(28 * 86_400));
    }
}
