//! Finds out who asks: holds what a request shows against the file, the sessions and the brake.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http_door::Request;

use super::brake::{Brake, Client};
use super::file::{AccessData, AccessFile, Stamp, TokenRecord};
use super::password::{self, LONGEST_PASSWORD};
use super::rules::{Caller, Denied, Proof, forwarded_for, is_neighbour};
use super::session::{self, Sessions};
use super::token::{self, Fingerprint, fingerprint, same};

/// Name of the cookie; over TLS its prefix keeps it from being set by anybody else.
const COOKIE: &str = "twcmanager";
const SECURE_COOKIE: &str = "__Host-twcmanager";
/// Most tokens.
const MOST_TOKENS: usize = 64;
/// When a token was last used is written down this often at most, in seconds: memory cards wear out.
const NOTE_USE_EVERY: f64 = 3600.0;
/// Clients whose password need not be hashed again.
const MOST_REMEMBERED: usize = 32;

/// Who may pass. All methods may be called from several threads; only checking a password takes time, and only one is
/// checked at a time.
#[derive(Debug)]
pub(crate) struct Gate {
    file: Option<AccessFile>,
    seen: Mutex<Seen>,
    sessions: Mutex<Sessions>,
    brake: Mutex<Brake>,
    /// Held while a password is hashed: that takes memory and a whole core.
    hashing: Mutex<()>,
    /// Keyed fingerprints of passwords that were right, by client, so that a script with HTTP Basic costs one hash and not one
    /// for each request.
    remembered: Mutex<Vec<(Client, Fingerprint)>>,
    /// Makes those fingerprints worthless outside of this run. `None` when the system has no random bytes.
    key: Option<[u8; 32]>,
    uses: Mutex<BTreeMap<String, Use>>,
}

/// The file as it was last read.
#[derive(Debug)]
struct Seen {
    stamp: Option<Stamp>,
    data: Result<Arc<AccessData>, String>,
    /// Counts whatever may have taken rights from somebody.
    losses: u64,
}

/// When a token was used, and which of that was written down.
#[derive(Debug, Clone, Copy)]
struct Use {
    at: f64,
    written: f64,
}

/// A token as its owner may see it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct TokenView {
    pub id: String,
    pub name: String,
    pub created: f64,
    pub last_used: Option<f64>,
}

impl Gate {
    /// The gate of this file; without a file there never is a password.
    pub(crate) fn new(file: Option<AccessFile>) -> Gate {
        let seen = Seen { stamp: None, data: Ok(Arc::default()), losses: 0 };
        let key = token::random().inspect_err(|error| log::error!("no random bytes: {error}; nobody can sign in")).ok();
        Gate {
            file,
            seen: Mutex::new(seen),
            sessions: Mutex::default(),
            brake: Mutex::default(),
            hashing: Mutex::default(),
            remembered: Mutex::default(),
            key,
            uses: Mutex::default(),
        }
    }

    /// The password's hash and the tokens as they are now: the file is read again when it has changed.
    fn data(&self) -> Result<Arc<AccessData>, Denied> {
        let Some(file) = &self.file else { return Ok(Arc::default()) };
        let mut seen = lock(&self.seen);
        let stamp = file.stamp();
        if seen.stamp.as_ref() != Some(&stamp) {
            let fresh = file.read().map(Arc::new).map_err(|error| {
                log::error!("{error}. Until then nobody can command");
                error.to_string()
            });
            let known =
                |data: &Result<Arc<AccessData>, String>| data.as_ref().ok().and_then(|data| data.password.clone());
            if known(&fresh) != known(&seen.data) {
                lock(&self.sessions).close_all();
                lock(&self.remembered).clear();
            }
            seen.losses += 1;
            seen.data = fresh;
            seen.stamp = Some(stamp);
        }
        seen.data.clone().map_err(|text| Denied::new(503, text))
    }

    /// Whether a password is set.
    pub(crate) fn has_password(&self) -> Result<bool, Denied> {
        Ok(self.data()?.password.is_some())
    }

    /// Grows whenever somebody may have lost the right to look: then open streams are to be ended.
    pub(crate) fn losses(&self, now: f64) -> u64 {
        // A fault is told to whoever asks for something.
        let _fault = self.data();
        let expired = lock(&self.sessions).expire(now);
        let mut seen = lock(&self.seen);
        seen.losses += u64::from(expired > 0);
        seen.losses
    }

    /// Who asks.
    ///
    /// # Errors
    /// 401 for what is shown and wrong, 429 when too much of that came, 503 when it cannot be found out.
    pub(crate) fn caller(&self, request: &Request, now: f64) -> Result<Caller, Denied> {
        let data = self.data()?;
        let Some(hash) = &data.password else { return Ok(Caller::Unasked) };
        // First: a proxy may add an `Authorization` of its own to what a signed-in person sends.
        if let Some(secret) = session_cookie(request)
            && lock(&self.sessions).is_open(&fingerprint(secret), now)
        {
            return Ok(Caller::Known(Proof::Session));
        }
        let Some((scheme, shown)) = request.header("authorization").and_then(|value| value.trim().split_once(' '))
        else {
            return Ok(Caller::Unknown);
        };
        let shown = shown.trim();
        if scheme.eq_ignore_ascii_case("bearer") {
            return self.token_caller(&data, request, shown, now);
        }
        if scheme.eq_ignore_ascii_case("basic") {
            let decoded = STANDARD.decode(shown).ok().and_then(|bytes| String::from_utf8(bytes).ok());
            let password = decoded.as_deref().and_then(|text| text.split_once(':')).map(|(_, password)| password);
            let Some(password) = password else {
                return Err(Denied::unproven(
                    request,
                    "HTTP Basic needs user:password in base64; the user name does not matter",
                ));
            };
            self.prove(request, hash, password, now)?;
            return Ok(Caller::Known(Proof::Password));
        }
        Ok(Caller::Unknown)
    }

    fn token_caller(&self, data: &AccessData, request: &Request, shown: &str, now: f64) -> Result<Caller, Denied> {
        let shown = token::hex(&fingerprint(shown));
        let mut found = None;
        for record in &data.tokens {
            if same(record.sha256.as_bytes(), shown.as_bytes()) {
                found = Some(record);
            }
        }
        match found {
            Some(record) => {
                self.note_use(record, now);
                Ok(Caller::Known(Proof::Token))
            }
            None => Err(Denied::unproven(request, "this token is not known, or was revoked: create one on the page")),
        }
    }

    fn note_use(&self, record: &TokenRecord, now: f64) {
        let is_due = {
            let mut uses = lock(&self.uses);
            let before = record.last_used.unwrap_or(0.0);
            let entry = uses.entry(record.id.clone()).or_insert(Use { at: before, written: before });
            entry.at = now;
            let is_due = (now - entry.written).abs() >= NOTE_USE_EVERY;
            if is_due {
                // Also when writing fails: it is tried again in an hour.
                entry.written = now;
            }
            is_due
        };
        let Some(file) = self.file.as_ref().filter(|_| is_due) else { return };
        let written = file.update(|data| {
            if let Some(kept) = data.tokens.iter_mut().find(|kept| kept.id == record.id) {
                kept.last_used = Some(now);
            }
        });
        if let Err(error) = written {
            log::warn!("{error}. When tokens are used is not written down until then");
        }
    }

    /// Checks a password. Only one is checked at a time; whoever comes meanwhile is asked to come again, so that nobody holds
    /// up the others.
    fn prove(&self, request: &Request, hash: &str, password: &str, now: f64) -> Result<(), Denied> {
        let client = client_of(request);
        let print = self.key.map(|key| fingerprint(&format!("{}{password}", token::hex(&key))));
        let slowed = |wait| Denied::slowed(wait, "too many wrong passwords");
        lock(&self.brake).may_try(client, now).map_err(slowed)?;
        if let Some(print) = &print
            && lock(&self.remembered).iter().any(|(who, known)| *who == client && same(known, print))
        {
            return Ok(());
        }
        let _turn = match self.hashing.try_lock() {
            Ok(turn) => turn,
            Err(TryLockError::Poisoned(turn)) => turn.into_inner(),
            Err(TryLockError::WouldBlock) => {
                return Err(Denied::slowed(1.0, "another password is being checked"));
            }
        };
        // Whoever had the turn before may have been this client.
        lock(&self.brake).may_try(client, now).map_err(slowed)?;
        if password.len() <= LONGEST_PASSWORD && password::matches(password, hash) {
            lock(&self.brake).right(client);
            if let Some(print) = print {
                let mut remembered = lock(&self.remembered);
                remembered.retain(|(who, _)| *who != client);
                if remembered.len() >= MOST_REMEMBERED {
                    remembered.remove(0);
                }
                remembered.push((client, print));
            }
            return Ok(());
        }
        let count = lock(&self.brake).wrong(client, now);
        log::warn!("wrong password from {client}, {count} in a row");
        Err(Denied::unproven(request, "this is not the password"))
    }

    /// Opens a session for whoever has the password; the cookie to set.
    ///
    /// # Errors
    /// 401, 429, 409 when no password is set, 503.
    pub(crate) fn sign_in(&self, request: &Request, password: &str, now: f64) -> Result<String, Denied> {
        let data = self.data()?;
        let Some(hash) = &data.password else {
            return Err(Denied::new(
                409,
                "no password is set, so there is nothing to sign in to; `twcmanager passwd` on the computer that runs this sets one",
            ));
        };
        self.prove(request, hash, password, now)?;
        let secret = token::session_secret().map_err(no_random)?;
        lock(&self.sessions).open(fingerprint(&secret), now);
        log::info!("somebody signed in from {}", client_of(request));
        Ok(cookie(request, &secret, session::LONGEST))
    }

    /// Ends the session of a request; the cookie that removes the other.
    pub(crate) fn sign_out(&self, request: &Request) -> String {
        if let Some(secret) = session_cookie(request) {
            lock(&self.sessions).close(&fingerprint(secret));
            lock(&self.seen).losses += 1;
        }
        cookie(request, "", 0.0)
    }

    /// The tokens there are.
    pub(crate) fn tokens(&self) -> Result<Vec<TokenView>, Denied> {
        let data = self.data()?;
        let uses = lock(&self.uses);
        let view = |record: &TokenRecord| TokenView {
            id: record.id.clone(),
            name: record.name.clone(),
            created: record.created,
            last_used: uses.get(&record.id).map(|used| used.at).filter(|at| *at > 0.0).or(record.last_used),
        };
        Ok(data.tokens.iter().map(view).collect())
    }

    /// Makes a token; the secret in it is shown this once.
    ///
    /// # Errors
    /// 409 when there are too many or one of that name, 503 when it cannot be stored.
    pub(crate) fn create_token(&self, name: &str, now: f64) -> Result<(TokenView, String), Denied> {
        let file = self.writable()?;
        let secret = token::token().map_err(no_random)?;
        let id = token::id().map_err(no_random)?;
        let view = TokenView { id: id.clone(), name: name.to_owned(), created: now, last_used: None };
        let sha256 = token::hex(&fingerprint(&secret));
        let record = TokenRecord { id, name: name.to_owned(), created: now, last_used: None, sha256 };
        let stored = file.update(|data| {
            if data.tokens.len() >= MOST_TOKENS {
                return Err(Denied::new(409, format!("there are {MOST_TOKENS} tokens already: revoke one first")));
            }
            if data.tokens.iter().any(|token| token.name == record.name) {
                return Err(Denied::new(
                    409,
                    format!("there is a token {:?} already: choose another name", record.name),
                ));
            }
            data.tokens.push(record);
            Ok(())
        });
        stored.map_err(|error| Denied::new(503, error.to_string()))??;
        log::info!("a token {name:?} was created");
        Ok((view, secret))
    }

    /// Revokes a token; false when there is none of that id.
    pub(crate) fn revoke_token(&self, id: &str) -> Result<bool, Denied> {
        let revoked = self.writable()?.update(|data| {
            let before = data.tokens.len();
            data.tokens.retain(|token| token.id != id);
            data.tokens.len() < before
        });
        let revoked = revoked.map_err(|error| Denied::new(503, error.to_string()))?;
        if revoked {
            log::info!("the token {id} was revoked");
        }
        Ok(revoked)
    }

    fn writable(&self) -> Result<&AccessFile, Denied> {
        self.file.as_ref().ok_or_else(|| Denied::new(409, "tokens are not kept here: there is no folder for settings"))
    }
}

fn no_random(error: getrandom::Error) -> Denied {
    Denied::new(503, format!("the system has no random bytes: {error}"))
}

/// Under each lock a value is swapped or looked up: a panic elsewhere leaves nothing half done.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whom wrong passwords are counted for: behind a proxy in the house, whom the proxy names last.
fn client_of(request: &Request) -> Client {
    let named = if is_neighbour(request.peer) { forwarded_for(request).last().flatten() } else { None };
    let address = named.unwrap_or(request.peer);
    Client::new(address, is_neighbour(address))
}

/// Whether the person's browser speaks TLS, to us or to a proxy. Whoever lies about it hurts himself alone.
fn is_secure(request: &Request) -> bool {
    let says_https =
        |name: &str, text: &str| request.header(name).is_some_and(|value| value.to_ascii_lowercase().contains(text));
    request.is_tls || says_https("x-forwarded-proto", "https") || says_https("forwarded", "proto=https")
}

fn cookie_name(request: &Request) -> &'static str {
    if is_secure(request) { SECURE_COOKIE } else { COOKIE }
}

fn cookie(request: &Request, secret: &str, seconds: f64) -> String {
    let secure = if is_secure(request) { "; Secure" } else { "" };
    format!("{}={secret}; Path=/; Max-Age={seconds:.0}; HttpOnly; SameSite=Strict{secure}", cookie_name(request))
}

fn session_cookie(request: &Request) -> Option<&str> {
    let wanted = cookie_name(request);
    let all = request.headers.iter().filter(|(name, _)| name == "cookie").flat_map(|(_, value)| value.split(';'));
    let mut pairs = all.filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(name, secret)| *name == wanted && !secret.is_empty()).map(|(_, secret)| secret)
}

#[cfg(test)]
mod tests {
    use http_door::Method;

    use super::*;

    #[test]
    fn wrong_ones_are_counted_for_whom_the_nearest_proxy_names() {
        let client = |peer: &str, forwarded: &str| {
            let mut request = Request::new(Method::Post, "/").with_header("X-Forwarded-For", forwarded);
            request.peer = peer.parse().expect("an address");
            client_of(&request)
        };
        let far = |address: &str| Client::new(address.parse().expect("an address"), false);
        assert_eq!(client("127.0.0.1", "10.0.0.3, 203.0.113.9"), far("203.0.113.9"));
        assert_eq!(client("203.0.113.1", "192.168.1.1"), far("203.0.113.1"), "from afar it may say what it likes");
        assert_eq!(client("127.0.0.1", "nonsense"), Client::new("127.0.0.1".parse().expect("an address"), true));
    }

    #[test]
    fn the_cookie_is_found_among_others_and_over_tls_only_the_safe_one_counts() {
        let plain = Request::new(Method::Get, "/").with_header("cookie", "a=b; twcmanager=x; __Host-twcmanager=y");
        assert_eq!(session_cookie(&plain), Some("x"));
        let tls = Request { is_tls: true, ..plain.clone() };
        assert_eq!(session_cookie(&tls), Some("y"));
        assert_eq!(session_cookie(&plain.with_header("X-Forwarded-Proto", "https")), Some("y"));
    }
}
