//! The client: one per device or service.

use crate::builder::{Auth, ClientBuilder};
use crate::cookies::Jar;
use crate::digest::{Challenge, hex};
use crate::error::{HttpError, Kind};
use crate::record::Exchange;
use crate::replay::Transport;
use crate::request::Request;
use crate::response::{Origin, Response};
use crate::secrets::Redactor;
use crate::tls::{Fingerprint, Seen};
use crate::url::{self, Base};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use std::io::Read as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};
use ureq::Agent;
use ureq::http;

/// Most redirects that are followed.
const REDIRECTS: usize = 3;

#[derive(Default)]
struct State {
    auth: Auth,
    jar: Jar,
    /// The challenge being answered, and how often it was.
    challenge: Option<(Challenge, u32)>,
}

/// A client for one device or service. Calls block; see the crate's page for how long.
pub struct Client {
    agent: Option<Agent>,
    base: Base,
    redactor: Arc<Redactor>,
    seen: Seen,
    state: Mutex<State>,
    settings: ClientBuilder,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Client({})", self.base.to_text(false))
    }
}

impl Client {
    pub(crate) fn new(settings: ClientBuilder, base: Base, agent: Option<Agent>, seen: Seen) -> Self {
        let redactor = Arc::new(Redactor::new());
        for secret in settings.secrets.iter().chain(base.user.as_ref().map(|(_, password)| password)) {
            redactor.add(secret);
        }
        add_named(&redactor, settings.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())));
        let auth = settings.auth.clone();
        let client = Self { agent, base, redactor, seen, state: Mutex::default(), settings };
        client.set_auth(auth);
        client
    }

    /// Begins a client for a base address: `http://192.168.1.5`, `https://user:password@host:8443/prefix`. See
    /// [`url::base`] for making one from host and port.
    pub fn builder(base: impl Into<String>) -> ClientBuilder {
        ClientBuilder::new(base.into())
    }

    /// A `GET` for a path, which may have a query.
    pub fn get(&self, path: &str) -> Request<'_> {
        Request::new(self, "GET", path)
    }

    /// A `POST`.
    pub fn post(&self, path: &str) -> Request<'_> {
        Request::new(self, "POST", path)
    }

    /// A `PUT`.
    pub fn put(&self, path: &str) -> Request<'_> {
        Request::new(self, "PUT", path)
    }

    /// A `DELETE`.
    pub fn delete(&self, path: &str) -> Request<'_> {
        Request::new(self, "DELETE", path)
    }

    /// Gets JSON.
    ///
    /// # Errors
    ///
    /// Any [`HttpError`].
    pub fn get_json(&self, path: &str) -> Result<Value, HttpError> {
        self.get(path).send_json()
    }

    /// Gets text.
    ///
    /// # Errors
    ///
    /// Any [`HttpError`] but those about JSON.
    pub fn get_text(&self, path: &str) -> Result<String, HttpError> {
        Ok(self.get(path).send_ok()?.text())
    }

    /// Logs in another way from now on; for tokens that are renewed.
    pub fn set_auth(&self, auth: Auth) {
        match &auth {
            Auth::None => {}
            Auth::Basic { user, password } => {
                self.redactor.add(password);
                self.redactor.add(&STANDARD.encode(format!("{user}:{password}")));
            }
            Auth::Digest { password: secret, .. } | Auth::Bearer(secret) | Auth::Header { value: secret, .. } => {
                self.redactor.add(secret);
            }
        }
        let mut state = self.lock();
        state.auth = auth;
        state.challenge = None;
    }

    /// Registers a text that must never be shown.
    pub fn secret(&self, secret: &str) {
        self.redactor.add(secret);
    }

    /// What takes this client's secrets out of other texts, for a driver's own messages.
    pub fn redactor(&self) -> &Redactor {
        &self.redactor
    }

    /// A cookie's value, if cookies are kept.
    pub fn cookie(&self, name: &str) -> Option<String> {
        self.lock().jar.value(name)
    }

    /// Forgets the session's cookies.
    pub fn clear_cookies(&self) {
        self.lock().jar.clear();
    }

    /// The fingerprint of the certificate the device showed last, with [`Tls::AcceptSelfSignedFor`](crate::Tls::AcceptSelfSignedFor) or
    /// [`Tls::Pinned`](crate::Tls::Pinned).
    pub fn peer_fingerprint(&self) -> Option<Fingerprint> {
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The base address, without user and password.
    pub fn base_url(&self) -> String {
        self.base.to_text(false)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn send(&self, request: Request<'_>) -> Result<Response, HttpError> {
        let target = self.base.target(&request.target);
        let place = Place { https: self.base.https, port: self.base.effective_port(), target };
        // What is called a key or a token in this request is kept out of every text from now on.
        add_named(&self.redactor, request.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())));
        let query = place.target.split_once('?').map_or("", |(_, query)| query);
        add_named(&self.redactor, query.split('&').filter_map(|pair| pair.split_once('=')));
        let shown_target = self.redactor.url(&place.target);
        let shown_body = request.body.as_ref().map(|(_, body)| self.redactor.body(&crate::json::text(body)));
        let origin = Origin {
            method: request.method.to_owned(),
            url: self.redactor.url(&self.address(&place)),
            config_key: self.settings.config_key.clone(),
            redactor: self.redactor.clone(),
        };
        if let Transport::Replay(replay) = &self.settings.transport {
            let recorded = replay
                .answer(request.method, &shown_target, shown_body.as_deref())
                .ok_or_else(|| origin.error(Kind::NotRecorded, ""))?;
            let mut headers = vec![("content-type".to_owned(), recorded.content_type.clone())];
            headers.extend(recorded.location.iter().map(|to| ("location".to_owned(), to.clone())));
            let (status, body) = (recorded.status, recorded.bytes());
            return Ok(Response { status, headers, body, origin, taken_at: SystemTime::now() });
        }
        let response = self.follow(&request, place, &origin);
        match &response {
            Ok(answer) => log::trace!("{answer:?}"),
            Err(error) => log::trace!("{error}"),
        }
        if let (Transport::Record(recorder), Ok(answer)) = (&self.settings.transport, &response) {
            let text = std::str::from_utf8(&answer.body).map(|text| self.redactor.body(text));
            recorder.exchange(&Exchange {
                method: request.method,
                url: &origin.url,
                target: &shown_target,
                request_body: shown_body.as_deref(),
                status: answer.status,
                content_type: answer.content_type(),
                location: answer.header("location").map(|to| self.redactor.url(to)).as_deref(),
                body: text.as_ref().map_or(answer.body.as_slice(), |text| text.as_bytes()),
            });
        }
        response
    }

    /// Sends, answers a digest challenge once, and follows redirects as far as we do.
    fn follow(&self, request: &Request<'_>, mut place: Place, origin: &Origin) -> Result<Response, HttpError> {
        for _ in 0..=REDIRECTS {
            let mut response = self.exchange(request, &place, origin)?;
            if response.status == 401 && !request.anonymous && self.take_challenge(&response) {
                response = self.exchange(request, &place, origin)?;
            }
            let is_redirect = matches!(response.status, 301 | 302 | 303 | 307 | 308);
            let Some(to) = response.header("location").filter(|_| is_redirect && request.method == "GET") else {
                return Ok(response);
            };
            if !self.settings.redirects {
                return Ok(response);
            }
            place = match self.redirected(&place, to) {
                Some(next) => next,
                None => return Err(origin.error(Kind::Redirected { to: self.redactor.url(to) }, "")),
            };
        }
        let to = self.redactor.url(&place.target);
        Err(origin.error(Kind::Redirected { to }, &format!("after {REDIRECTS} redirects")))
    }

    /// The place a redirect leads to, if we go there: same host, and not from https to http.
    fn redirected(&self, from: &Place, to: &str) -> Option<Place> {
        if !to.contains("://") {
            if to.starts_with("//") {
                return None;
            }
            let directory =
                from.target.split('?').next().and_then(|path| path.rfind('/').and_then(|at| path.get(..=at)));
            let target = if to.starts_with('/') { to.to_owned() } else { format!("{}{to}", directory.unwrap_or("/")) };
            return Some(Place { target: url::encode_target(&target), ..from.clone() });
        }
        let end = to.find("://").map_or(0, |at| at + 3);
        let path_at = to.get(end..)?.find(['/', '?', '#']).map_or(to.len(), |at| at + end);
        let (authority, target) = to.split_at(path_at);
        let next = Base::parse(authority).ok()?;
        if next.host != self.base.host || (from.https && !next.https) {
            return None;
        }
        Some(Place { https: next.https, port: next.effective_port(), target: url::encode_target(target) })
    }

    /// Notes a digest challenge; whether it is worth another try.
    fn take_challenge(&self, response: &Response) -> bool {
        let mut state = self.lock();
        if !matches!(state.auth, Auth::Digest { .. }) {
            return false;
        }
        let Some(challenge) = Challenge::strongest(response.headers_named("www-authenticate")) else { return false };
        // The same nonce again means that the answer was wrong, not that it was missing.
        let is_new = challenge.is_stale()
            || state.challenge.as_ref().is_none_or(|(known, _)| known.nonce() != challenge.nonce());
        state.challenge = Some((challenge, 0));
        is_new
    }

    fn address(&self, place: &Place) -> String {
        let scheme = if place.https { "https" } else { "http" };
        let default = if place.https { 443 } else { 80 };
        let port = if place.port == default { String::new() } else { format!(":{}", place.port) };
        format!("{scheme}://{}{port}{}", self.base.host, place.target)
    }

    fn authorization(&self, method: &str, target: &str) -> Result<Option<(String, String)>, Kind> {
        let mut state = self.lock();
        let State { auth, challenge, .. } = &mut *state;
        let value = match auth {
            Auth::None => return Ok(None),
            Auth::Header { name, value } => return Ok(Some((name.clone(), value.clone()))),
            Auth::Basic { user, password } => format!("Basic {}", STANDARD.encode(format!("{user}:{password}"))),
            Auth::Bearer(token) => format!("Bearer {token}"),
            Auth::Digest { user, password } => {
                let Some((challenge, count)) = challenge else { return Ok(None) };
                let mut random = [0; 8];
                getrandom::fill(&mut random).map_err(|_| Kind::Protocol)?;
                *count = count.saturating_add(1);
                challenge.answer(user, password, method, target, &hex(&random), *count)
            }
        };
        Ok(Some(("authorization".into(), value)))
    }

    /// One request, one answer.
    fn exchange(&self, request: &Request<'_>, place: &Place, origin: &Origin) -> Result<Response, HttpError> {
        let Some(agent) = &self.agent else { return Err(origin.error(Kind::NotRecorded, "")) };
        let total = request.total.unwrap_or(self.settings.total);
        let fail = |error: ureq::Error, stage: Stage| {
            let (kind, detail) = kind_of(&error, stage, self.settings.connect, total);
            origin.error(kind, &detail)
        };
        let mut head = http::Request::builder().method(request.method).uri(self.address(place));
        for (name, value) in self.settings.headers.iter().chain(&request.headers) {
            head = head.header(name, value);
        }
        if !request.anonymous {
            let auth = self.authorization(request.method, &place.target);
            if let Some((name, value)) =
                auth.map_err(|kind| origin.error(kind, "no random numbers on this computer"))?
            {
                head = head.header(name, value);
            }
        }
        if self.settings.cookies
            && let Some(cookies) = self.lock().jar.header(place.https)
        {
            head = head.header("cookie", cookies);
        }
        if !self.settings.keep_alive {
            head = head.header("connection", "close");
        }
        if let Some((content_type, _)) = &request.body {
            head = head.header("content-type", *content_type);
        }
        let bad = |_: http::Error| origin.error(Kind::BadAddress, "a header or the path can't be sent");
        let answer = match (request.method, &request.body) {
            ("GET" | "DELETE", None) => {
                let request = head.body(()).map_err(bad)?;
                let request = agent.configure_request(request).timeout_global(Some(total)).build();
                agent.run(request)
            }
            (_, body) => {
                let body = body.as_ref().map(|(_, body)| body.clone()).unwrap_or_default();
                let request = head.body(body).map_err(bad)?;
                let config = agent.configure_request(request).timeout_global(Some(total));
                agent.run(config.allow_non_standard_methods(true).build())
            }
        };
        let mut answer = answer.map_err(|error| fail(error, Stage::Head))?;
        let headers: Vec<(String, String)> = answer
            .headers()
            .iter()
            .map(|(name, value)| (name.as_str().to_owned(), crate::json::text(value.as_bytes())))
            .collect();
        let status = answer.status().as_u16();
        let limit = self.settings.limit;
        let mut body = Vec::new();
        let mut reader = answer.body_mut().with_config().limit(u64::MAX).reader().take(limit.saturating_add(1));
        reader.read_to_end(&mut body).map_err(|error| fail(ureq::Error::from(error), Stage::Body))?;
        if u64::try_from(body.len()).unwrap_or(u64::MAX) > limit {
            return Err(origin.error(Kind::TooLarge { limit }, ""));
        }
        if self.settings.cookies {
            let mut state = self.lock();
            for (_, value) in headers.iter().filter(|(name, _)| name == "set-cookie") {
                state.jar.set(value);
            }
        }
        Ok(Response { status, headers, body, origin: origin.clone(), taken_at: SystemTime::now() })
    }
}

/// Registers the values of what has a suspicious name.
fn add_named<'n>(redactor: &Redactor, pairs: impl Iterator<Item = (&'n str, &'n str)>) {
    for (_, value) in pairs.filter(|(name, _)| Redactor::is_secret_name(name)) {
        redactor.add(value);
        redactor.add(&url::decode(value));
    }
}

/// Where a request goes, after redirects.
#[derive(Debug, Clone)]
struct Place {
    https: bool,
    port: u16,
    /// Path and query, encoded.
    target: String,
}

/// How far a call came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Head,
    Body,
}

fn kind_of(error: &ureq::Error, stage: Stage, connect: Duration, total: Duration) -> (Kind, String) {
    use std::io::ErrorKind as Io;
    let plain = |kind| (kind, String::new());
    let told = |kind| (kind, error.to_string());
    match error {
        ureq::Error::Timeout(ureq::Timeout::Connect | ureq::Timeout::Resolve) => {
            plain(Kind::Timeout { after: connect })
        }
        ureq::Error::Timeout(_) => plain(Kind::Timeout { after: total }),
        ureq::Error::HostNotFound => plain(Kind::UnknownHost),
        ureq::Error::Tls(_) | ureq::Error::Rustls(_) | ureq::Error::Pem(_) | ureq::Error::TlsRequired => {
            told(Kind::Tls)
        }
        ureq::Error::BadUri(_) | ureq::Error::Http(_) => told(Kind::BadAddress),
        ureq::Error::ConnectionFailed | ureq::Error::ConnectProxyFailed(_) | ureq::Error::InvalidProxyUrl => {
            told(Kind::Connect)
        }
        ureq::Error::Io(io) => match io.kind() {
            Io::TimedOut | Io::WouldBlock => plain(Kind::Timeout { after: total }),
            Io::UnexpectedEof | Io::ConnectionReset if stage == Stage::Body => plain(Kind::Truncated),
            // rustls reports handshake trouble as invalid data.
            Io::InvalidData => told(Kind::Tls),
            _ => told(Kind::Connect),
        },
        _ => told(Kind::Protocol),
    }
}
