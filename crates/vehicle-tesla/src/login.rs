//! The account's tokens in use: renewed in time, kept before they are used, and given up only when Tesla says so.
//!
//! A renewal whose answer is lost is asked for again with the same refresh token, which stays valid for about a day. A new
//! pair that cannot be kept is not used: until it is, the old access token serves for as long as it is good.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use http_client::Backoff;

use crate::region::Region;
use crate::settings::Settings;
use crate::token::{Claims, TokenStore, Tokens, claims, granted};
use crate::token_service::{Grant, ask};

/// Pauses after lost answers of the token service.
const FIRST_PAUSE: Duration = Duration::from_secs(5);
const LONGEST_PAUSE: Duration = Duration::from_secs(600);
/// A token that is refused so soon after it was given is not renewed at once again.
const NEW_FOR: Duration = Duration::from_secs(60);

/// Why there is no access token now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum NoAccess {
    /// A person has to sign in.
    SignIn(String),
    /// The configuration is wrong.
    Misconfigured(String),
    /// The tokens cannot be kept.
    NotKept(String),
    /// Later.
    Wait { after: Duration, text: String },
}

/// The tokens of one account, shared by all that call.
pub(crate) struct Login {
    settings: Arc<Settings>,
    store: Arc<dyn TokenStore>,
    state: Mutex<State>,
    /// What can be told without waiting for a renewal.
    look: Mutex<Look>,
}

struct State {
    tokens: Option<Tokens>,
    /// A new pair that the disk does not have yet.
    unsaved: Option<Tokens>,
    /// The refresh token that Tesla refused, and what to say of it.
    refused: Option<(String, NoAccess)>,
    not_before: Option<(Instant, String)>,
    backoff: Backoff,
    renewed_at: Option<Instant>,
}

/// What is known of the account without asking anybody.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Look {
    pub(crate) is_signed_in: bool,
    pub(crate) claims: Claims,
    pub(crate) expires: Option<SystemTime>,
}

impl Login {
    pub(crate) fn new(settings: Arc<Settings>, store: Arc<dyn TokenStore>) -> Self {
        let state = State {
            tokens: None,
            unsaved: None,
            refused: None,
            not_before: None,
            backoff: Backoff::new(FIRST_PAUSE, LONGEST_PAUSE),
            renewed_at: None,
        };
        let login = Login { settings, store, state: Mutex::new(state), look: Mutex::default() };
        let tokens = login.store.load();
        login.set(&mut login.lock(), tokens);
        login
    }

    /// An access token that is good now. Blocks while it is renewed, which happens at most once at a time.
    pub(crate) fn access(&self) -> Result<String, NoAccess> {
        self.get(None)
    }

    /// An access token other than `failed`, which was not taken.
    pub(crate) fn access_instead_of(&self, failed: &str) -> Result<String, NoAccess> {
        self.get(Some(failed))
    }

    fn get(&self, failed: Option<&str>) -> Result<String, NoAccess> {
        if let Some(token) = &self.settings.fixed_token {
            let text = "the token of the service is not taken: write a valid one into vehicle.teslaAPI.token";
            return match failed {
                None => Ok(token.reveal().to_owned()),
                Some(_) => Err(NoAccess::Misconfigured(text.into())),
            };
        }
        let mut state = self.lock();
        let kept = self.keep(&mut state);
        let is_usable = |tokens: &Tokens| failed.is_none_or(|failed| failed != tokens.access);
        if state.tokens.is_none() || state.refused.is_some() {
            // A person may have signed in elsewhere or pasted tokens.
            self.adopt(&mut state);
        }
        let (now, wall) = (Instant::now(), SystemTime::now());
        let Some(tokens) = state.tokens.clone() else { return Err(NoAccess::SignIn(sign_in_text())) };
        if let (Some((_, why)), true) = (&state.refused, !tokens.is_good(wall) || !is_usable(&tokens)) {
            return Err(why.clone());
        }
        if is_usable(&tokens) && (!tokens.wants_renewal(wall) || (tokens.is_good(wall) && state.refused.is_some())) {
            return Ok(tokens.access);
        }
        let renewed = match kept {
            Ok(()) => self.renew(&mut state, now, wall, failed),
            Err(text) => Err(NoAccess::NotKept(text)),
        };
        match renewed {
            Ok(access) => Ok(access),
            // The old one serves for as long as it is good.
            Err(_) if is_usable(&tokens) && tokens.is_good(wall) => Ok(tokens.access),
            Err(why) => Err(why),
        }
    }

    /// Renews when nobody called for days.
    pub(crate) fn renew_if_idle(&self) -> Result<(), NoAccess> {
        if self.settings.fixed_token.is_some() {
            return Ok(());
        }
        let is_due = {
            let mut state = self.lock();
            if state.tokens.is_none() || state.refused.is_some() {
                self.adopt(&mut state);
            }
            match (&state.tokens, &state.refused) {
                (None, _) => return Err(NoAccess::SignIn(sign_in_text())),
                (_, Some((_, why))) => return Err(why.clone()),
                (Some(tokens), None) => tokens.is_idle_too_long(SystemTime::now()),
            }
        };
        if is_due { self.access().map(|_| ()) } else { Ok(()) }
    }

    /// Takes tokens of a new sign-in: kept first.
    pub(crate) fn signed_in(&self, tokens: Tokens) -> Result<(), String> {
        let mut state = self.lock();
        self.store.save(&tokens)?;
        state.unsaved = None;
        state.refused = None;
        state.not_before = None;
        state.backoff.succeeded();
        self.set(&mut state, Some(tokens));
        Ok(())
    }

    /// What is known without waiting.
    pub(crate) fn look(&self) -> Look {
        self.look.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What somebody else has put into the store; when it differs, it counts.
    fn adopt(&self, state: &mut State) {
        if state.unsaved.is_some() {
            return;
        }
        let found = self.store.load();
        let is_new = match (&found, &state.tokens) {
            (Some(found), Some(have)) => found.refresh != have.refresh || found.access != have.access,
            (found, have) => found.is_some() != have.is_some(),
        };
        if is_new {
            if found.as_ref().map(|tokens| &tokens.refresh) != state.refused.as_ref().map(|(refused, _)| refused) {
                state.refused = None;
            }
            state.not_before = None;
            self.set(state, found);
        }
    }

    /// Brings a new pair to the disk that could not be kept before.
    fn keep(&self, state: &mut State) -> Result<(), String> {
        let Some(tokens) = state.unsaved.clone() else { return Ok(()) };
        self.store.save(&tokens)?;
        state.unsaved = None;
        self.set(state, Some(tokens));
        Ok(())
    }

    fn renew(
        &self,
        state: &mut State,
        now: Instant,
        wall: SystemTime,
        failed: Option<&str>,
    ) -> Result<String, NoAccess> {
        self.adopt(state);
        let Some(tokens) = state.tokens.clone() else { return Err(NoAccess::SignIn(sign_in_text())) };
        if failed.is_none_or(|failed| failed != tokens.access) && !tokens.wants_renewal(wall) {
            return Ok(tokens.access);
        }
        if tokens.refresh.is_empty() {
            // Lent by somebody else, who renews it.
            let is_refused = failed == Some(tokens.access.as_str());
            return if tokens.is_good(wall) && !is_refused {
                Ok(tokens.access)
            } else {
                Err(NoAccess::SignIn(sign_in_text()))
            };
        }
        if let Some((until, text)) = state.not_before.as_ref().filter(|(until, _)| *until > now) {
            return Err(NoAccess::Wait { after: until.saturating_duration_since(now), text: text.clone() });
        }
        if let Some(left) = state.renewed_at.and_then(|at| NEW_FOR.checked_sub(now.saturating_duration_since(at))) {
            let text = "Tesla does not take a token that it gave just now; a new one is asked for later".to_owned();
            return Err(NoAccess::Wait { after: left, text });
        }
        let Some(client_id) = self.settings.app.client_id.clone() else {
            let text = "the sign-in at Tesla can't be renewed without config.teslaApiClientID: write it there";
            return Err(NoAccess::Misconfigured(text.into()));
        };
        let region = claims(&tokens.access).region.unwrap_or(self.settings.region);
        let form = [
            ("grant_type", "refresh_token".to_owned()),
            ("client_id", client_id),
            ("refresh_token", tokens.refresh.clone()),
        ];
        match ask(&self.settings.hosts.token_base(region), &form, &self.settings.pace) {
            Grant::Given(answer) => {
                let Some(new) = granted(&answer, Some(&tokens.refresh), wall) else {
                    return Err(self.lost(state, now, None, "Tesla's token service gave no token".into()));
                };
                state.backoff.succeeded();
                state.not_before = None;
                state.renewed_at = Some(now);
                if let Err(text) = self.store.save(&new) {
                    state.unsaved = Some(new);
                    return Err(NoAccess::NotKept(text));
                }
                let access = new.access.clone();
                self.set(state, Some(new));
                Ok(access)
            }
            Grant::Denied(words) => {
                log::warn!("Tesla's token service refuses the sign-in: {words}");
                Err(refuse(state, tokens.refresh, NoAccess::SignIn(sign_in_text())))
            }
            Grant::Misconfigured(words) => {
                let text = format!(
                    "Tesla does not know this application ({words}): compare config.teslaApiClientID with \
                     developer.tesla.com, then restart"
                );
                Err(refuse(state, tokens.refresh, NoAccess::Misconfigured(text)))
            }
            Grant::Lost { pause, text } => Err(self.lost(state, now, pause, text)),
        }
    }

    fn lost(&self, state: &mut State, now: Instant, pause: Option<Duration>, text: String) -> NoAccess {
        let after = state.backoff.failed(0.5).max(pause.unwrap_or_default());
        state.not_before = Some((now + after, text.clone()));
        NoAccess::Wait { after, text }
    }

    fn set(&self, state: &mut State, tokens: Option<Tokens>) {
        let look = match &tokens {
            Some(tokens) => Look { is_signed_in: true, claims: claims(&tokens.access), expires: tokens.ends() },
            None => Look::default(),
        };
        *self.look.lock().unwrap_or_else(PoisonError::into_inner) = look;
        state.tokens = tokens;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn refuse(state: &mut State, refresh: String, why: NoAccess) -> NoAccess {
    state.refused = Some((refresh, why.clone()));
    why
}

/// What to do when only a person can help.
pub(crate) fn sign_in_text() -> String {
    "nobody is signed in at Tesla, or the sign-in has ended: sign in on the page under Cars, or with `twcmanager tesla \
     setup --login`"
        .to_owned()
}

/// The configured region is used where a token does not say.
pub(crate) fn base_of(settings: &Settings, claims: &Claims) -> String {
    settings.hosts.api_of(claims, region_of(settings, claims))
}

pub(crate) fn region_of(settings: &Settings, claims: &Claims) -> Region {
    claims.region.unwrap_or(settings.region)
}

#[cfg(test)]
mod tests;
