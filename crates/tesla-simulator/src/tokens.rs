//! The token service: logins, codes with PKCE, refresh with rotation, partner tokens.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::exchange::{Reply, Request};

/// All that an application of ours could ask for.
pub const ALL_SCOPES: &str =
    "openid offline_access user_data vehicle_device_data vehicle_location vehicle_cmds vehicle_charging_cmds";
const CODE_LIFETIME: Duration = Duration::from_secs(10 * 60);
const ACCESS_LIFETIME: Duration = Duration::from_secs(8 * 3600);
/// So long the refresh token before the last one works as well.
const GRACE: Duration = Duration::from_secs(24 * 3600);
/// So long a refresh token may lie unused.
const IDLE: Duration = Duration::from_secs(90 * 24 * 3600);

/// An application that is known to the cloud.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Client {
    /// Its id.
    pub id: String,
    /// Its secret; without one it has to use PKCE.
    pub secret: Option<String>,
    /// Where it may be sent back to; empty is anywhere.
    pub redirects: Vec<String>,
}

/// A pair of tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tokens {
    /// For the API.
    pub access: String,
    /// For the token service.
    pub refresh: String,
}

#[derive(Debug, Clone)]
struct Code {
    code: String,
    client: String,
    redirect: String,
    challenge: Option<String>,
    scopes: Vec<String>,
    until: Duration,
}

#[derive(Debug, Clone)]
struct Grant {
    client: String,
    scopes: Vec<String>,
    refresh: String,
    previous: Option<(String, Duration)>,
    last_used: Duration,
}

#[derive(Debug, Clone)]
struct Access {
    token: String,
    scopes: Vec<String>,
    until: Duration,
    is_partner: bool,
}

/// What a bearer token allows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Allowed {
    pub(crate) scopes: Vec<String>,
    pub(crate) is_partner: bool,
}

impl Allowed {
    pub(crate) fn has(&self, scope: &str) -> bool {
        self.scopes.iter().any(|have| have == scope)
    }
}

/// The token service's memory.
#[derive(Debug, Clone)]
pub(crate) struct TokenService {
    pub(crate) clients: Vec<Client>,
    pub(crate) region: String,
    pub(crate) api_url: String,
    pub(crate) unix_start: u64,
    pub(crate) access_lifetime: Duration,
    /// The user unticks all other scopes.
    pub(crate) user_grants: Option<Vec<String>>,
    pub(crate) user_denies: bool,
    codes: Vec<Code>,
    grants: Vec<Grant>,
    access: Vec<Access>,
    secrets: Vec<String>,
    serial: u64,
}

type Refused = (u16, &'static str, &'static str);

impl TokenService {
    pub(crate) fn new(clients: Vec<Client>, region: &str) -> Self {
        TokenService {
            clients,
            region: region.to_owned(),
            api_url: String::new(),
            unix_start: 0,
            access_lifetime: ACCESS_LIFETIME,
            user_grants: None,
            user_denies: false,
            codes: Vec::new(),
            grants: Vec::new(),
            access: Vec::new(),
            secrets: Vec::new(),
            serial: 0,
        }
    }

    /// Everything that must not be seen anywhere else.
    pub(crate) fn secrets(&self) -> Vec<String> {
        let clients = self.clients.iter().filter_map(|client| client.secret.clone());
        self.secrets.iter().cloned().chain(clients).collect()
    }

    /// A token that works for ever, as third parties give them.
    pub(crate) fn fixed(&mut self, token: &str) {
        self.secrets.push(token.to_owned());
        let scopes = split(ALL_SCOPES);
        self.access.push(Access { token: token.to_owned(), scopes, until: Duration::MAX, is_partner: false });
    }

    /// A pair of tokens as after a login.
    pub(crate) fn issue(&mut self, now: Duration, client: &str, scopes: &str) -> Tokens {
        self.grant(now, client, split(scopes))
    }

    /// All logins end: nothing but a new one helps.
    pub(crate) fn forget_logins(&mut self) {
        self.codes.clear();
        self.grants.clear();
        self.access.retain(|access| access.is_partner || access.until == Duration::MAX);
    }

    /// The access tokens of users end now; refresh tokens go on.
    pub(crate) fn expire_access(&mut self, now: Duration) {
        for access in self.access.iter_mut().filter(|access| access.until != Duration::MAX) {
            access.until = access.until.min(now);
        }
    }

    pub(crate) fn allowed(&self, now: Duration, token: Option<&str>) -> Result<Allowed, &'static str> {
        let token = token.ok_or("missing bearer token")?;
        let access = self.access.iter().find(|access| access.token == token).ok_or("invalid bearer token")?;
        if access.until <= now {
            return Err("token expired (401)");
        }
        Ok(Allowed { scopes: access.scopes.clone(), is_partner: access.is_partner })
    }

    /// The login page: whoever comes is logged in and sent back at once.
    pub(crate) fn authorize(&mut self, now: Duration, request: &Request) -> Reply {
        let asked = |name: &str| request.queried(name).unwrap_or_default();
        let (client_id, redirect) = (asked("client_id"), asked("redirect_uri"));
        let Some(client) = self.clients.iter().find(|client| client.id == client_id) else {
            return plain_error(400, "unauthorized_client", "The client id is not known.");
        };
        if redirect.is_empty() || !(client.redirects.is_empty() || client.redirects.contains(&redirect)) {
            return plain_error(400, "invalid_redirect_url", "The redirect_uri is not registered for this client.");
        }
        if asked("response_type") != "code" {
            return plain_error(400, "invalid_request", "response_type has to be code.");
        }
        let challenge = request.queried("code_challenge");
        if challenge.is_some() && asked("code_challenge_method") != "S256" {
            return plain_error(400, "invalid_request", "code_challenge_method has to be S256.");
        }
        let state = utf8_percent_encode(&asked("state"), NON_ALPHANUMERIC).to_string();
        let join = if redirect.contains('?') { '&' } else { '?' };
        if self.user_denies {
            return redirect_to(&format!("{redirect}{join}error=access_denied&state={state}"));
        }
        let code = self.fresh("code");
        let mut scopes = split(&asked("scope"));
        if let Some(granted) = &self.user_grants {
            scopes.retain(|scope| granted.contains(scope));
        }
        let location = format!("{redirect}{join}code={code}&state={state}");
        self.codes.push(Code { code, client: client_id, redirect, challenge, scopes, until: now + CODE_LIFETIME });
        redirect_to(&location)
    }

    /// The token endpoint.
    pub(crate) fn token(&mut self, now: Duration, request: &Request) -> Reply {
        let given = |name: &str| request.given(name).unwrap_or_default();
        let result = match given("grant_type").as_str() {
            "authorization_code" => self.exchange(now, request),
            "refresh_token" => self.refresh(now, &given("client_id"), &given("refresh_token")),
            "client_credentials" => self.partner(now, request),
            _ => Err((400, "unsupported_grant_type", "grant_type is none of those supported.")),
        };
        result.unwrap_or_else(|(status, error, description)| plain_error(status, error, description))
    }

    fn exchange(&mut self, now: Duration, request: &Request) -> Result<Reply, Refused> {
        let given = |name: &str| request.given(name).unwrap_or_default();
        let refused = (400, "invalid_auth_code", "The code is not valid.");
        let index = self.codes.iter().position(|code| code.code == given("code")).ok_or(refused)?;
        // A code works once, also when what comes with it is wrong.
        let code = self.codes.remove(index);
        let client = self.client(&given("client_id"))?;
        if code.client != client.id || code.redirect != given("redirect_uri") || code.until <= now {
            return Err(refused);
        }
        match (&client.secret, request.given("client_secret")) {
            (Some(secret), Some(told)) if *secret == told => {
                if !given("audience").starts_with("http") {
                    return Err((400, "invalid_request", "audience is missing."));
                }
            }
            (_, Some(_)) => return Err((401, "unauthorized_client", "The secret is wrong.")),
            (_, None) if code.challenge.is_some() => {}
            (_, None) => return Err((401, "unauthorized_client", "A secret or a code_verifier is needed.")),
        }
        if let Some(challenge) = &code.challenge {
            let verifier = given("code_verifier");
            let is_plausible = (43..=128).contains(&verifier.len());
            if !is_plausible || URL_SAFE_NO_PAD.encode(Sha256::digest(verifier.as_bytes())) != *challenge {
                return Err((400, "invalid_grant", "The code_verifier does not fit."));
            }
        }
        let has_offline = code.scopes.iter().any(|scope| scope == "offline_access");
        let tokens = self.grant(now, &client.id, code.scopes);
        Ok(self.answer(&tokens.access, has_offline.then_some(tokens.refresh.as_str())))
    }

    fn refresh(&mut self, now: Duration, client: &str, told: &str) -> Result<Reply, Refused> {
        let client = self.client(client)?;
        let login = (401, "login_required", "The refresh_token is invalid or has been used.");
        let index = self.grants.iter().position(|grant| {
            let is_previous = grant.previous.as_ref().is_some_and(|(token, until)| token == told && now < *until);
            grant.client == client.id && (grant.refresh == told || is_previous)
        });
        let index = index.ok_or(login)?;
        let (refresh, access) = (self.fresh("refresh"), self.fresh_access(now, index));
        let grant = self.grants.get_mut(index).ok_or(login)?;
        if grant.last_used + IDLE <= now {
            return Err(login);
        }
        grant.last_used = now;
        if grant.refresh == told {
            grant.previous = Some((told.to_owned(), now + GRACE));
        }
        // Told the one before: its successor never arrived and is replaced.
        grant.refresh.clone_from(&refresh);
        let scopes = grant.scopes.clone();
        let until = now + self.access_lifetime;
        self.access.push(Access { token: access.clone(), scopes, until, is_partner: false });
        Ok(self.answer(&access, Some(&refresh)))
    }

    fn partner(&mut self, now: Duration, request: &Request) -> Result<Reply, Refused> {
        let given = |name: &str| request.given(name).unwrap_or_default();
        let client = self.client(&given("client_id"))?;
        if client.secret.is_none() || client.secret != request.given("client_secret") {
            return Err((401, "unauthorized_client", "The secret is wrong."));
        }
        if !given("audience").starts_with("http") {
            return Err((400, "invalid_request", "audience is missing."));
        }
        let scopes = split(&given("scope"));
        let token = self.jwt(now, &scopes);
        let until = now + self.access_lifetime;
        self.access.push(Access { token: token.clone(), scopes, until, is_partner: true });
        Ok(self.answer(&token, None))
    }

    fn client(&self, id: &str) -> Result<Client, Refused> {
        let known = self.clients.iter().find(|client| client.id == id);
        known.cloned().ok_or((401, "unauthorized_client", "The client id is not known."))
    }

    fn grant(&mut self, now: Duration, client: &str, scopes: Vec<String>) -> Tokens {
        let tokens = Tokens { access: self.jwt(now, &scopes), refresh: self.fresh("refresh") };
        let until = now + self.access_lifetime;
        self.access.push(Access { token: tokens.access.clone(), scopes: scopes.clone(), until, is_partner: false });
        self.grants.push(Grant {
            client: client.to_owned(),
            scopes,
            refresh: tokens.refresh.clone(),
            previous: None,
            last_used: now,
        });
        tokens
    }

    fn fresh_access(&mut self, now: Duration, grant: usize) -> String {
        let scopes = self.grants.get(grant).map(|grant| grant.scopes.clone()).unwrap_or_default();
        self.jwt(now, &scopes)
    }

    fn answer(&self, access: &str, refresh: Option<&str>) -> Reply {
        let mut body = json!({
            "access_token": access,
            "id_token": "ID",
            "expires_in": self.access_lifetime.as_secs(),
            "token_type": "Bearer",
        });
        if let (Some(refresh), Some(body)) = (refresh, body.as_object_mut()) {
            body.insert("refresh_token".into(), Value::from(refresh));
        }
        Reply::json(200, &body)
    }

    /// Something nobody can guess in a test: the same in each run.
    fn fresh(&mut self, what: &str) -> String {
        self.serial += 1;
        let digest = Sha256::digest(format!("{what} {}", self.serial).as_bytes());
        let text = format!("{}_{}", self.region, URL_SAFE_NO_PAD.encode(digest));
        self.secrets.push(text.clone());
        text
    }

    fn jwt(&mut self, now: Duration, scopes: &[String]) -> String {
        self.serial += 1;
        let head = json!({ "alg": "RS256", "typ": "JWT", "kid": "simulated" });
        let claims = json!({
            "iss": "https://fleet-auth.tesla.com/oauth2/v3/nts",
            "aud": [self.api_url],
            "exp": self.unix_start + (now + self.access_lifetime).as_secs(),
            "iat": self.unix_start + now.as_secs(),
            "scp": scopes,
            "ou_code": self.region,
        });
        let seal = Sha256::digest(format!("access {}", self.serial).as_bytes());
        let part = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let token =
            format!("{}.{}.{}", part(head.to_string().as_bytes()), part(claims.to_string().as_bytes()), part(&seal));
        self.secrets.push(token.clone());
        token
    }
}

fn split(scopes: &str) -> Vec<String> {
    scopes.split_whitespace().map(str::to_owned).collect()
}

fn plain_error(status: u16, error: &str, description: &str) -> Reply {
    Reply::json(status, &json!({ "error": error, "error_description": description }))
}

fn redirect_to(location: &str) -> Reply {
    Reply::html(302, "<html><body>Back to the application</body></html>").header("Location", location)
}
