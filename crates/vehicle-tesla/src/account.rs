//! The account: signing in, and what is known of it. Shared by the source, the page and the command line.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Instant, SystemTime};

use tesla_command::{KeyFile, KeyFileError, PublicKey, SystemRandom};
use vehicle::{Trouble, Vin};

use crate::cloud::scope_text;
use crate::login::{Login, region_of};
use crate::notes::Notes;
use crate::region::Region;
use crate::settings::{NOTES_FILE, Settings};
use crate::sign_in::{Returned, SignIn, SignInError};
use crate::source::Unpaired;
use crate::token::{TokenStore, granted};
use crate::token_service::{Grant, ask};
use crate::trouble::Troubles;

/// The rights that the program has a use for, and what for.
const SCOPES: [(&str, &str); 3] = [
    ("vehicle_device_data", "to read the state of charge"),
    ("vehicle_charging_cmds", "to start and stop charging"),
    ("vehicle_location", "to know whether a car is at home"),
];

/// One account at Tesla's.
pub struct Account {
    settings: Arc<Settings>,
    login: Arc<Login>,
    notes: Arc<Notes>,
    unpaired: Unpaired,
    sign_in: Mutex<SignIn>,
    /// The running source's troubles.
    troubles: Mutex<Weak<Troubles>>,
}

/// What is known of the account without asking anybody. No secret is in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// Whether there is a sign-in, or a fixed token in its place.
    pub is_signed_in: bool,
    /// Whether a fixed token of a drop-in service is used, so that there is nothing to sign in to.
    pub has_fixed_token: bool,
    /// Whether a sign-in has begun and its answer is awaited.
    pub is_under_way: bool,
    /// When the access token runs out; it is renewed before.
    pub expires: Option<SystemTime>,
    /// Region of the account.
    pub region: Region,
    /// Host of the Fleet API in use.
    pub api: String,
    /// Whether there is a key to sign commands with.
    pub has_key: bool,
    /// Where our public key must be found by Tesla.
    pub public_key_url: Option<String>,
    /// The page to open on the phone for each car.
    pub pairing_url: Option<String>,
    /// Cars that turned out not to have our key.
    pub unpaired: Vec<Vin>,
    /// What is missing, a sentence each with what to do; empty when all is well.
    pub missing: Vec<String>,
    /// What keeps the running source from working.
    pub trouble: Option<Trouble>,
}

impl Account {
    /// An account whose tokens are kept in `store`.
    #[must_use]
    pub fn new(settings: Settings, store: Arc<dyn TokenStore>) -> Self {
        let settings = Arc::new(settings);
        let notes = Notes::open(settings.folder.as_ref().map(|folder| folder.join(NOTES_FILE)));
        Account {
            login: Arc::new(Login::new(Arc::clone(&settings), store)),
            settings,
            notes: Arc::new(notes),
            unpaired: Arc::default(),
            sign_in: Mutex::default(),
            troubles: Mutex::default(),
        }
    }

    /// Begins to sign in: the address that the person has to open. It is good for ten minutes.
    ///
    /// # Errors
    /// [`SignInError::NotConfigured`], [`SignInError::NoRandomness`].
    pub fn begin(&self, region: Option<Region>) -> Result<String, SignInError> {
        let region = region.unwrap_or(self.settings.region);
        let (app, hosts) = (&self.settings.app, &self.settings.hosts);
        lock(&self.sign_in).begin(Instant::now(), app, hosts, region, &mut SystemRandom)
    }

    /// Finishes with what came back. Blocks for at most the time-out of a call and the time the tokens take to be kept.
    ///
    /// # Errors
    /// Any [`SignInError`]; after [`SignInError::Unreachable`] the same may be tried again.
    pub fn finish(&self, returned: Returned<'_>) -> Result<(), SignInError> {
        let mut sign_in = lock(&self.sign_in);
        let exchange = sign_in.take(Instant::now(), &self.settings.app, &self.settings.hosts, returned);
        let exchange = exchange.inspect_err(|error| {
            if matches!(error, SignInError::Refused(_)) {
                sign_in.end();
            }
        })?;
        let answer = match ask(&exchange.base, &exchange.form, &self.settings.pace) {
            Grant::Given(answer) => answer,
            Grant::Lost { text, .. } => return Err(SignInError::Unreachable(text)),
            Grant::Denied(words) | Grant::Misconfigured(words) => {
                sign_in.end();
                return Err(SignInError::Refused(words));
            }
        };
        // A code is good once, whatever came of it.
        sign_in.end();
        let tokens = granted(&answer, None, SystemTime::now()).filter(|tokens| !tokens.refresh.is_empty());
        let tokens = tokens.ok_or(SignInError::NoToken)?;
        self.login.signed_in(tokens).map_err(SignInError::NotKept)?;
        // The host of an earlier account is not this one's.
        self.notes.set_base(None);
        log::info!("signed in at Tesla for region {}", exchange.region);
        if let Some(troubles) = lock(&self.troubles).upgrade() {
            troubles.clear(&["sign_in", "configuration", "scope", "payment", "wrong_region"]);
        }
        Ok(())
    }

    /// What another run of the program needs to finish the sign-in that is under way: a secret, for a file of the owner's.
    #[must_use]
    pub fn put_away(&self) -> Option<String> {
        lock(&self.sign_in).put_away(Instant::now(), SystemTime::now())
    }

    /// Goes on with what [`Account::put_away`] gave within ten minutes; `false` when that is of no use.
    pub fn take_up(&self, text: &str) -> bool {
        let found = SignIn::take_up(text, Instant::now(), SystemTime::now());
        let is_found = found.is_some();
        if let Some(found) = found {
            *lock(&self.sign_in) = found;
        }
        is_found
    }

    /// What is known without asking anybody. Reads the key file's place, nothing else.
    #[must_use]
    pub fn status(&self) -> Status {
        let look = self.login.look();
        let has_fixed_token = self.settings.fixed_token.is_some();
        let domain = self.settings.pairing_domain();
        let has_key = self.settings.key_path().is_some_and(|path| path.exists());
        let mut missing = Vec::new();
        if !has_fixed_token {
            let app = &self.settings.app;
            for (value, key) in
                [(&app.client_id, "config.teslaApiClientID"), (&app.redirect_uri, "config.teslaApiRedirectUri")]
            {
                if value.is_none() {
                    missing.push(SignInError::NotConfigured(key).to_string());
                }
            }
            if !look.is_signed_in {
                missing.push(crate::login::sign_in_text());
            } else {
                missing.extend(
                    missing_scopes(&look.claims).map(|(scope, what)| format!("{} ({what})", scope_text(scope))),
                );
            }
            if !has_key && self.settings.proxy.is_none() {
                missing.push(
                    "there is no key to sign commands with: make one with `twcmanager tesla setup --create-key`"
                        .to_owned(),
                );
            }
            if domain.is_none() && self.settings.proxy.is_none() {
                missing.push(
                    "the domain that the public key is published on is not known: write it into vehicle.teslaAPI.domain"
                        .to_owned(),
                );
            }
        }
        let unpaired: BTreeSet<Vin> = lock(&self.unpaired).clone();
        if !unpaired.is_empty() {
            missing.push(crate::car::pairing_text(&self.settings, &unpaired));
        }
        let moved = self.notes.base().filter(|base| self.settings.hosts.may_go(base));
        Status {
            is_signed_in: look.is_signed_in || has_fixed_token,
            has_fixed_token,
            is_under_way: lock(&self.sign_in).is_under_way(Instant::now()),
            expires: look.expires,
            region: region_of(&self.settings, &look.claims),
            api: moved.unwrap_or_else(|| crate::login::base_of(&self.settings, &look.claims)),
            has_key,
            public_key_url: domain.as_ref().map(|domain| domain.public_key_url()),
            pairing_url: domain.as_ref().map(|domain| domain.pairing_url()),
            unpaired: unpaired.into_iter().collect(),
            missing,
            trouble: lock(&self.troubles).upgrade().and_then(|troubles| troubles.gravest()),
        }
    }

    /// Our public key as it must be published; `None` before one was made.
    ///
    /// # Errors
    /// When the key file cannot be used.
    pub fn public_key_pem(&self) -> Result<Option<String>, KeyFileError> {
        Ok(self.public_key()?.and_then(|key| key.to_pem().ok()))
    }

    pub(crate) fn public_key(&self) -> Result<Option<PublicKey>, KeyFileError> {
        let Some(path) = self.settings.key_path() else { return Ok(None) };
        match KeyFile::load(&path) {
            Ok(file) => Ok(Some(file.key.public_key())),
            Err(KeyFileError::Missing(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Makes our key pair. An existing one is never replaced.
    ///
    /// # Errors
    /// [`KeyFileError`], [`KeyFileError::Exists`] among them.
    pub fn create_key(&self) -> Result<(), KeyFileError> {
        let path = self.settings.key_path().unwrap_or_else(|| crate::settings::KEY_FILE.into());
        KeyFile::create(&path, &mut SystemRandom).map(|_| ())
    }

    /// What it was told.
    #[must_use]
    pub fn settings(&self) -> Arc<Settings> {
        Arc::clone(&self.settings)
    }

    pub(crate) fn login(&self) -> Arc<Login> {
        Arc::clone(&self.login)
    }

    pub(crate) fn notes(&self) -> Arc<Notes> {
        Arc::clone(&self.notes)
    }

    pub(crate) fn unpaired(&self) -> Unpaired {
        Arc::clone(&self.unpaired)
    }

    pub(crate) fn watch(&self, troubles: &Arc<Troubles>) {
        *lock(&self.troubles) = Arc::downgrade(troubles);
    }
}

impl std::fmt::Debug for Account {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Account").field("settings", &self.settings).finish_non_exhaustive()
    }
}

/// Useful rights that a token lacks; one of the two for commands is enough.
fn missing_scopes(claims: &crate::token::Claims) -> impl Iterator<Item = (&'static str, &'static str)> {
    let has = |scope: &str| claims.has(scope) || (scope == "vehicle_charging_cmds" && claims.has("vehicle_cmds"));
    let missing: Vec<_> = SCOPES.into_iter().filter(|(scope, _)| !has(scope)).collect();
    missing.into_iter()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
