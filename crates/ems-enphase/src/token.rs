//! The gateway's token: what it says of itself, and how the vendor's login service makes one.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ems::{EmsError, EmsErrorKind};
use http_client::Client;
use json_pick::Doc;
use serde_json::{Value, json};

/// A token is renewed so long (seconds) before it expires, if it lives long enough for that: time enough for a cloud that
/// is away for days.
const EARLY_S: i64 = 7 * 86_400;

/// A token and what it says of itself.
#[derive(Clone, PartialEq, Eq)]
pub struct Token {
    /// The token.
    pub text: String,
    /// Epoch second of its end, when it says so.
    pub expires: Option<i64>,
    /// Epoch second of its making.
    pub issued: Option<i64>,
    /// The gateway it is for, when it says so.
    pub serial: Option<String>,
}

impl Token {
    /// Reads a token as it was pasted or sent; a text that is no such token is taken as it is, without an end.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let text = text.trim().trim_matches('"').trim();
        let payload = payload(text).unwrap_or(Value::Null);
        let doc = Doc::new(&payload);
        Token {
            text: text.to_owned(),
            expires: doc.integer("exp").ok().flatten(),
            issued: doc.integer("iat").ok().flatten(),
            serial: doc.text("aud").ok().flatten(),
        }
    }

    /// Whether it is over at `now` (epoch seconds).
    #[must_use]
    pub fn is_expired(&self, now: i64) -> bool {
        self.expires.is_some_and(|expires| expires <= now)
    }

    /// Whether a new one should be fetched: some days before a year's token ends, and in the last tenth of an installer's
    /// twelve hours.
    #[must_use]
    pub fn is_due(&self, now: i64) -> bool {
        let Some(expires) = self.expires else { return false };
        let life = expires.saturating_sub(self.issued.unwrap_or(now));
        let early = EARLY_S.min(life / 10);
        expires.saturating_sub(now) <= early.max(0)
    }
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Token(***, expires {:?})", self.expires)
    }
}

fn payload(token: &str) -> Option<Value> {
    let middle = token.split('.').nth(1)?;
    let bytes = URL_SAFE_NO_PAD.decode(middle.trim_end_matches('=')).ok()?;
    serde_json::from_slice(&bytes).ok()
}

/// The owner's account at the vendor.
pub(crate) struct Account {
    /// Where people log in.
    pub login: Client,
    /// Where tokens are made.
    pub tokens: Client,
    pub username: String,
    pub password: String,
}

impl Account {
    /// Logs in and has a token made for the gateway.
    pub fn fetch(&self, serial: &str) -> Result<Token, EmsError> {
        let form = [("user[email]", self.username.as_str()), ("user[password]", self.password.as_str())];
        let answer = self
            .login
            .post("/login/login.json")
            .form(&form)
            .send_json()
            .map_err(|error| named(&ems_http::failed(&error), "the Enphase login"))?;
        let session = Doc::new(&answer).text("session_id").ok().flatten().ok_or_else(|| {
            let text = "the Enphase login gave no session: check `username` and `password`; for an account with a second \
                        factor make a token at https://entrez.enphaseenergy.com and put it into `token`";
            EmsError::new(EmsErrorKind::Denied, text)
        })?;
        self.tokens.secret(&session);
        let body = json!({"session_id": session, "serial_num": serial, "username": self.username});
        let answer = self.tokens.post("/tokens").json(&body).send_ok();
        let text = answer.map_err(|error| named(&ems_http::failed(&error), "the Enphase token service"))?.text();
        let token = Token::parse(&text);
        match token.expires {
            Some(_) => Ok(token),
            None => Err(EmsError::garbled(
                "the Enphase token service sent no token; make one at https://entrez.enphaseenergy.com and put it into `token`",
            )),
        }
    }
}

fn named(error: &EmsError, what: &str) -> EmsError {
    let named = EmsError::new(error.kind(), format!("{what}: {error}"));
    match error.retry_after() {
        Some(wait) => named.after(wait),
        None => named,
    }
}

#[cfg(test)]
pub(crate) fn made(payload: &Value) -> String {
    format!("e30.{}.c2ln", URL_SAFE_NO_PAD.encode(payload.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn owners_tokens_are_renewed_days_before_and_installers_near_their_end() {
        let year = Token::parse(&made(&json!({"aud": "1222", "iat": 0, "exp": 31_536_000, "enphaseUser": "owner"})));
        assert_eq!(year.serial.as_deref(), Some("1222"));
        assert!(!year.is_due(31_536_000 - EARLY_S - 1) && year.is_due(31_536_000 - EARLY_S));
        assert!(!year.is_expired(31_535_999) && year.is_expired(31_536_000));
        let hours = Token::parse(&made(&json!({"iat": 0, "exp": 43_200, "enphaseUser": "installer"})));
        assert!(!hours.is_due(30_000) && hours.is_due(39_000));
    }

    #[test]
    fn another_text_is_taken_as_it_is() {
        let token = Token::parse(" \"abc\"\n");
        assert_eq!((token.text.as_str(), token.expires, token.is_due(i64::MAX)), ("abc", None, false));
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_read(text in "[a-zA-Z0-9._=-]{0,80}", now in proptest::prelude::any::<i64>()) {
            let token = Token::parse(&text);
            let _ = (token.is_due(now), token.is_expired(now));
        }
    }
}
