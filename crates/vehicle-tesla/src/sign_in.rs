//! Signing in: a page of Tesla's is opened, and its answer comes back by redirect or is pasted.
//!
//! | call | when |
//! |---|---|
//! | [`SignIn::begin`] | a person wants to sign in: gives the address to open |
//! | [`SignIn::take`] | something came back: gives what to ask the token service for |
//! | [`SignIn::end`] | tokens are there, or the code was refused |
//!
//! No I/O. Without a client secret a one-time proof (PKCE, S256) stands in for it.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http_client::url;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tesla_command::Random;

use crate::region::{Hosts, Region};
use crate::reply::clean;
use crate::settings::App;

/// For so long the page may be open.
const VALID: Duration = Duration::from_secs(600);

/// What came back from Tesla's page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Returned<'a> {
    /// The query of a redirect to our own address: it must carry the state that was sent.
    Redirect(&'a str),
    /// What a person pasted: the whole address, its query, or the bare code.
    Pasted(&'a str),
}

/// Why signing in did not work. [`SignInError::code`] is the word that TWCManager's page uses.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SignInError {
    /// Something that signing in needs is not configured.
    #[error("{0} is missing in the configuration: register an application at developer.tesla.com and write it there")]
    NotConfigured(&'static str),
    /// What came back does not belong to a sign-in that is under way.
    #[error(
        "this does not belong to a sign-in that is under way here, or it took longer than ten minutes: begin again"
    )]
    StateMismatch,
    /// There is no code in what came back.
    #[error("there is no code in this: paste the whole address that the browser shows after signing in")]
    NoCode,
    /// Tesla says no.
    #[error("Tesla refuses: {0}; begin again, and look at the application's settings at developer.tesla.com")]
    Refused(String),
    /// The token service gave no usable tokens.
    #[error("Tesla gave no token that can be renewed: the scope needs `offline_access` (config.teslaApiScope)")]
    NoToken,
    /// The token service cannot be reached now; the same code may be tried again.
    #[error("{0}")]
    Unreachable(String),
    /// The tokens could not be kept.
    #[error("{0}")]
    NotKept(String),
    /// The system gave no random bytes.
    #[error(transparent)]
    NoRandomness(#[from] tesla_command::NoRandomness),
}

impl SignInError {
    /// The word for it in addresses: those of TWCManager where it has one.
    #[must_use]
    pub fn code(&self) -> String {
        match self {
            SignInError::NotConfigured(_) => "not_configured".into(),
            SignInError::StateMismatch => "state_mismatch".into(),
            SignInError::NoToken => "response_no_token".into(),
            SignInError::Refused(text) => text.clone(),
            _ => "error".into(),
        }
    }
}

/// What the token service is to be asked for.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Exchange {
    /// Base of the token service.
    pub(crate) base: String,
    /// Names and values, some of them secret.
    pub(crate) form: Vec<(&'static str, String)>,
    pub(crate) region: Region,
}

/// A sign-in, from the address that is opened to the code that comes back.
#[derive(Default)]
pub(crate) struct SignIn {
    pending: Option<Pending>,
}

struct Pending {
    state: String,
    verifier: String,
    region: Region,
    since: Instant,
}

impl SignIn {
    /// Begins anew: the address to open. An earlier one is no longer valid.
    pub(crate) fn begin(
        &mut self,
        now: Instant,
        app: &App,
        hosts: &Hosts,
        region: Region,
        random: &mut dyn Random,
    ) -> Result<String, SignInError> {
        let client_id = app.client_id.as_deref().ok_or(SignInError::NotConfigured("config.teslaApiClientID"))?;
        let redirect = app.redirect_uri.as_deref().ok_or(SignInError::NotConfigured("config.teslaApiRedirectUri"))?;
        let mut text = || -> Result<String, SignInError> {
            let mut bytes = [0; 32];
            random.fill(&mut bytes)?;
            Ok(URL_SAFE_NO_PAD.encode(bytes))
        };
        let (state, verifier) = (text()?, text()?);
        let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(verifier.as_bytes()));
        let mut query = vec![
            ("response_type", "code"),
            ("client_id", client_id),
            ("redirect_uri", redirect),
            ("scope", app.scope.as_str()),
            ("state", state.as_str()),
            ("locale", "en-US"),
            ("prompt", "login"),
            ("prompt_missing_scopes", "true"),
            ("require_requested_scopes", "true"),
            ("show_keypair_step", "true"),
        ];
        if app.client_secret.is_none() {
            query.push(("code_challenge", challenge.as_str()));
            query.push(("code_challenge_method", "S256"));
        }
        let address = format!("{}?{}", hosts.authorize(region), url::pairs(&query));
        self.pending = Some(Pending { state, verifier, region, since: now });
        Ok(address)
    }

    /// Reads what came back. The sign-in stays under way until [`SignIn::end`], so that a lost answer of the token service
    /// can be asked for again.
    pub(crate) fn take(
        &self,
        now: Instant,
        app: &App,
        hosts: &Hosts,
        returned: Returned<'_>,
    ) -> Result<Exchange, SignInError> {
        let pending = self.pending.as_ref().filter(|pending| now.saturating_duration_since(pending.since) < VALID);
        let pending = pending.ok_or(SignInError::StateMismatch)?;
        let (text, needs_state) = match returned {
            Returned::Redirect(query) => (query.trim(), true),
            Returned::Pasted(text) => (text.trim(), false),
        };
        let query = text.split_once('?').map_or(text, |(_, query)| query);
        let query = query.split('#').next().unwrap_or_default();
        let field = |name: &str| {
            let found = query.split('&').filter_map(|pair| pair.split_once('=')).find(|(key, _)| *key == name);
            found.map(|(_, value)| url::decode(value)).filter(|value| !value.is_empty())
        };
        match field("state") {
            Some(state) if state == pending.state => {}
            None if !needs_state => {}
            _ => return Err(SignInError::StateMismatch),
        }
        if let Some(error) = field("error") {
            let why = field("error_description").map_or(error.clone(), |text| format!("{error}: {text}"));
            return Err(SignInError::Refused(clean(&why)));
        }
        let is_bare = !needs_state && !text.contains(['=', '/', '?', ' ']) && text.len() >= 8;
        let code = field("code").or_else(|| is_bare.then(|| text.to_owned())).ok_or(SignInError::NoCode)?;
        let client_id = app.client_id.clone().ok_or(SignInError::NotConfigured("config.teslaApiClientID"))?;
        let region = Region::of_code(&code).unwrap_or(pending.region);
        let mut form = vec![
            ("grant_type", "authorization_code".to_owned()),
            ("client_id", client_id),
            ("code", code),
            ("redirect_uri", app.redirect_uri.clone().unwrap_or_default()),
        ];
        let base = match &app.client_secret {
            Some(secret) => {
                form.push(("client_secret", secret.clone()));
                form.push(("audience", hosts.api(region)));
                hosts.token_base(region)
            }
            None => {
                form.push(("code_verifier", pending.verifier.clone()));
                hosts.plain_token_base(region)
            }
        };
        Ok(Exchange { base, form, region })
    }

    /// What another run of the program needs to go on, as JSON: a secret. `None` when none is under way.
    pub(crate) fn put_away(&self, now: Instant, wall: SystemTime) -> Option<String> {
        let pending = self.pending.as_ref()?;
        let began = wall.checked_sub(now.saturating_duration_since(pending.since))?;
        let began = began.duration_since(UNIX_EPOCH).ok()?.as_secs();
        let Pending { state, verifier, region, .. } = pending;
        Some(json!({"state": state, "verifier": verifier, "region": region.code(), "began": began}).to_string())
    }

    /// Goes on with what [`SignIn::put_away`] gave; nothing when it is too old or unreadable.
    pub(crate) fn take_up(text: &str, now: Instant, wall: SystemTime) -> Option<SignIn> {
        let value: Value = serde_json::from_str(text).ok()?;
        let field = |name: &str| value.get(name)?.as_str().map(str::to_owned);
        let began = UNIX_EPOCH.checked_add(Duration::from_secs(value.get("began")?.as_u64()?))?;
        let since = now.checked_sub(wall.duration_since(began).ok()?)?;
        let region = field("region")?.parse().ok()?;
        let pending = Pending { state: field("state")?, verifier: field("verifier")?, region, since };
        Some(SignIn { pending: Some(pending) }).filter(|sign_in| sign_in.is_under_way(now))
    }

    /// Ends it: whatever comes back later belongs to nothing.
    pub(crate) fn end(&mut self) {
        self.pending = None;
    }

    /// Whether one is under way.
    pub(crate) fn is_under_way(&self, now: Instant) -> bool {
        self.pending.as_ref().is_some_and(|pending| now.saturating_duration_since(pending.since) < VALID)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tesla_command::SystemRandom;

    use super::*;
    use crate::settings::DEFAULT_SCOPE;

    fn app(secret: Option<&str>) -> App {
        App {
            client_id: Some("id".into()),
            client_secret: secret.map(str::to_owned),
            redirect_uri: Some("https://cars.example.org/teslaAccount/callback".into()),
            scope: DEFAULT_SCOPE.into(),
        }
    }

    fn begun(app: &App, now: Instant) -> (SignIn, String, String) {
        let mut sign_in = SignIn::default();
        let address = sign_in.begin(now, app, &Hosts::default(), Region::Europe, &mut SystemRandom).unwrap();
        let state = sign_in.pending.as_ref().unwrap().state.clone();
        (sign_in, address, state)
    }

    fn value<'f>(exchange: &'f Exchange, name: &str) -> Option<&'f str> {
        exchange.form.iter().find(|(key, _)| *key == name).map(|(_, value)| value.as_str())
    }

    #[test]
    fn without_a_secret_a_proof_stands_in_for_it() {
        let (now, app) = (Instant::now(), app(None));
        let (sign_in, address, state) = begun(&app, now);
        assert!(address.starts_with("https://auth.tesla.com/oauth2/v3/authorize?response_type=code&"), "{address}");
        for part in ["scope=openid%20offline_access", "code_challenge_method=S256", &format!("state={state}")] {
            assert!(address.contains(part), "{part} in {address}");
        }
        let query = format!("code=EU_abc&state={state}&issuer=x");
        let exchange = sign_in.take(now, &app, &Hosts::default(), Returned::Redirect(&query)).unwrap();
        assert_eq!(exchange.base, "https://auth.tesla.com");
        assert_eq!((value(&exchange, "code"), value(&exchange, "audience")), (Some("EU_abc"), None));
        let proof = URL_SAFE_NO_PAD.encode(Sha256::digest(value(&exchange, "code_verifier").unwrap()));
        assert!(address.contains(&format!("code_challenge={proof}")));
    }

    #[test]
    fn with_a_secret_the_audience_is_that_of_the_codes_region() {
        let (now, app) = (Instant::now(), app(Some("hush")));
        let (sign_in, address, state) = begun(&app, now);
        assert!(!address.contains("code_challenge") && !address.contains("hush"));
        let pasted = format!("https://cars.example.org/teslaAccount/callback?code=NA_x&state={state}");
        let exchange = sign_in.take(now, &app, &Hosts::default(), Returned::Pasted(&pasted)).unwrap();
        assert_eq!(exchange.base, "https://fleet-auth.prd.vn.cloud.tesla.com");
        assert_eq!(value(&exchange, "audience"), Some("https://fleet-api.prd.na.vn.cloud.tesla.com"));
        assert_eq!(value(&exchange, "client_secret"), Some("hush"));
    }

    #[test]
    fn what_does_not_belong_here_is_refused() {
        let (now, app) = (Instant::now(), app(None));
        let (mut sign_in, _, state) = begun(&app, now);
        let take = |sign_in: &SignIn, now, returned: Returned<'_>| {
            sign_in.take(now, &app, &Hosts::default(), returned).map(|_| ()).unwrap_err()
        };
        let good = format!("code=abcdefgh&state={state}");
        assert_eq!(take(&sign_in, now, Returned::Redirect("code=abcdefgh&state=other")), SignInError::StateMismatch);
        assert_eq!(take(&sign_in, now, Returned::Redirect("code=abcdefgh")), SignInError::StateMismatch);
        assert_eq!(take(&sign_in, now, Returned::Pasted("?code=a&state=other")), SignInError::StateMismatch);
        assert_eq!(take(&sign_in, now + VALID, Returned::Redirect(&good)), SignInError::StateMismatch);
        assert_eq!(take(&sign_in, now, Returned::Pasted("https://cars.example.org/")), SignInError::NoCode);
        let denied = format!("error=access_denied&error_description=no%20way&state={state}");
        let refused = take(&sign_in, now, Returned::Redirect(&denied));
        assert_eq!(refused.code(), "access_denied: no way");
        assert!(sign_in.take(now, &app, &Hosts::default(), Returned::Pasted("EU_0123456789")).is_ok(), "a bare code");
        sign_in.end();
        assert_eq!(take(&sign_in, now, Returned::Redirect(&good)), SignInError::StateMismatch);
        let nothing =
            SignIn::default().begin(now, &App::default(), &Hosts::default(), Region::China, &mut SystemRandom);
        assert_eq!(nothing.unwrap_err().code(), "not_configured");
    }

    #[test]
    fn another_run_can_go_on_for_ten_minutes() {
        let (now, wall, app) = (Instant::now(), UNIX_EPOCH + Duration::from_secs(1_700_000_000), app(None));
        let (sign_in, _, state) = begun(&app, now);
        let kept = sign_in.put_away(now, wall).unwrap();
        let query = format!("code=EU_abcdef&state={state}");
        let later = Duration::from_secs(500);
        let other = SignIn::take_up(&kept, now + later, wall + later).unwrap();
        let form =
            |sign_in: &SignIn| sign_in.take(now, &app, &Hosts::default(), Returned::Redirect(&query)).unwrap().form;
        assert_eq!(form(&other), form(&sign_in));
        assert!(SignIn::take_up(&kept, now + VALID, wall + VALID).is_none());
        assert!(SignIn::take_up("{}", now, wall).is_none());
    }

    proptest! {
        #[test]
        fn anything_may_be_pasted(text in ".{0,80}") {
            let (now, app) = (Instant::now(), app(None));
            let (sign_in, ..) = begun(&app, now);
            let _ = sign_in.take(now, &app, &Hosts::default(), Returned::Pasted(&text));
            let _ = sign_in.take(now, &app, &Hosts::default(), Returned::Redirect(&text));
        }
    }
}
