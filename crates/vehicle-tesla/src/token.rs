//! Tokens: what they say, when they are renewed, and where they are kept.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;

use crate::region::Region;

/// An access token with less time left is renewed (TWCManager's hour).
const RENEW_LEFT: Duration = Duration::from_secs(3600);
/// Idle accounts renew this long after their access token ran out, so that a refresh token, which is good for three months
/// of silence, is never older than a week.
const RENEW_IDLE: Duration = Duration::from_secs(6 * 86_400);
/// What an access token lives, where the answer does not say.
const USUAL_LIFE: Duration = Duration::from_secs(28_800);

/// The tokens of one account.
#[derive(Clone, PartialEq, Eq)]
pub struct Tokens {
    /// For calls.
    pub access: String,
    /// For the next pair; each is used once.
    pub refresh: String,
    /// When the access token runs out; `None` when that is not known.
    pub expires: Option<SystemTime>,
}

/// Nothing of them is ever shown.
impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tokens").field("expires", &self.expires).finish_non_exhaustive()
    }
}

/// Keeps the tokens of the account. One program only may own a refresh token.
pub trait TokenStore: Send + Sync {
    /// What is kept; `None` when nobody has signed in. May block for the disk. People may also put tokens there.
    fn load(&self) -> Option<Tokens>;

    /// Keeps new tokens, and returns once they would survive a power cut. Blocks for as long as that takes.
    ///
    /// # Errors
    /// A sentence that says why not and what to do.
    fn save(&self, tokens: &Tokens) -> Result<(), String>;
}

impl Tokens {
    /// When the access token runs out: as kept, else as it says itself.
    pub(crate) fn ends(&self) -> Option<SystemTime> {
        self.expires.or(claims(&self.access).expires)
    }

    /// Whether the access token can be used.
    pub(crate) fn is_good(&self, now: SystemTime) -> bool {
        !self.access.is_empty() && self.ends().is_some_and(|ends| ends > now)
    }

    /// Whether it is time to renew before a call.
    pub(crate) fn wants_renewal(&self, now: SystemTime) -> bool {
        !self.is_good(now + RENEW_LEFT)
    }

    /// Whether it is time to renew though nobody calls.
    pub(crate) fn is_idle_too_long(&self, now: SystemTime) -> bool {
        self.ends().is_some_and(|ends| ends + RENEW_IDLE < now)
    }
}

/// What an access token says of itself. Not verified: whoever issued it knows best, and nothing is trusted because of it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Claims {
    pub(crate) expires: Option<SystemTime>,
    /// `None` when it does not say.
    pub(crate) scopes: Option<Vec<String>>,
    pub(crate) region: Option<Region>,
    pub(crate) audience: Vec<String>,
}

impl Claims {
    /// Whether it carries a right; one that says nothing of rights is taken to.
    pub(crate) fn has(&self, scope: &str) -> bool {
        self.scopes.as_ref().is_none_or(|scopes| scopes.iter().any(|have| have == scope))
    }
}

/// Reads the claims of a token; one that is none of the usual kind says nothing.
pub(crate) fn claims(token: &str) -> Claims {
    let payload = token.split('.').nth(1).and_then(|part| URL_SAFE_NO_PAD.decode(part.trim_end_matches('=')).ok());
    let Some(Ok(claims)) = payload.map(|bytes| serde_json::from_slice::<Value>(&bytes)) else {
        return Claims::default();
    };
    let texts = |name: &str| match claims.get(name) {
        Some(Value::Array(list)) => Some(list.iter().filter_map(Value::as_str).map(str::to_owned).collect::<Vec<_>>()),
        Some(Value::String(text)) => Some(text.split_whitespace().map(str::to_owned).collect()),
        _ => None,
    };
    let expires = claims.get("exp").and_then(Value::as_f64).and_then(|at| Duration::try_from_secs_f64(at).ok());
    Claims {
        expires: expires.and_then(|at| UNIX_EPOCH.checked_add(at)),
        scopes: texts("scp"),
        region: claims.get("ou_code").and_then(Value::as_str).and_then(|code| code.parse().ok()),
        audience: texts("aud").unwrap_or_default(),
    }
}

/// The tokens in an answer of the token service; `None` when it holds no access token. `before` is the refresh token that
/// was used: it stays where the answer brings no other.
pub(crate) fn granted(answer: &Value, before: Option<&str>, now: SystemTime) -> Option<Tokens> {
    let text = |name: &str| answer.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
    let access = text("access_token")?.to_owned();
    let refresh = text("refresh_token").or(before).unwrap_or_default().to_owned();
    let lives = json_pick::Doc::new(answer).number("expires_in").ok().flatten();
    let lives = lives.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    let expires = lives.and_then(|lives| now.checked_add(lives)).or(claims(&access).expires);
    Some(Tokens { access, refresh, expires: expires.or(now.checked_add(USUAL_LIFE)) })
}

#[cfg(test)]
pub(crate) fn jwt(claims: &Value) -> String {
    format!("{}.{}.sig", URL_SAFE_NO_PAD.encode("{\"alg\":\"RS256\"}"), URL_SAFE_NO_PAD.encode(claims.to_string()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn at(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(1_700_000_000 + seconds)
    }

    #[test]
    fn a_token_tells_time_rights_and_region() {
        let token = jwt(
            &json!({"exp": 1_700_000_000, "scp": ["openid", "vehicle_cmds"], "ou_code": "EU", "aud": ["https://a"]}),
        );
        let claims = claims(&token);
        assert_eq!(claims.expires, Some(at(0)));
        assert!(claims.has("vehicle_cmds") && !claims.has("vehicle_location"));
        assert_eq!((claims.region, claims.audience), (Some(Region::Europe), vec!["https://a".to_owned()]));
        assert!(super::claims("opaque").has("anything"));
    }

    #[test]
    fn it_is_renewed_with_an_hour_left_and_weekly() {
        let tokens = Tokens { access: "a".into(), refresh: "r".into(), expires: Some(at(7200)) };
        assert!(!tokens.wants_renewal(at(3599)) && tokens.wants_renewal(at(3600)));
        assert!(tokens.is_good(at(7199)) && !tokens.is_good(at(7200)));
        let week = 7 * 86_400;
        assert!(!tokens.is_idle_too_long(at(86_400)) && tokens.is_idle_too_long(at(week)));
        let pasted = Tokens { access: String::new(), refresh: "r".into(), expires: None };
        assert!(pasted.wants_renewal(at(0)) && !pasted.is_idle_too_long(at(week)));
    }

    #[test]
    fn an_answer_without_a_new_refresh_token_keeps_the_old() {
        let answer = json!({"access_token": "A", "expires_in": "28800"});
        let tokens = granted(&answer, Some("R"), at(0)).unwrap();
        assert_eq!((tokens.refresh.as_str(), tokens.expires), ("R", Some(at(28_800))));
        assert_eq!(granted(&json!({"refresh_token": "R"}), None, at(0)), None);
        let shown = format!("{:?}", Tokens { access: "ACCESS".into(), refresh: "REFRESH".into(), expires: None });
        assert!(!shown.contains("ACCESS") && !shown.contains("REFRESH"), "{shown}");
    }

    proptest! {
        #[test]
        fn any_text_has_claims(text in ".{0,60}") {
            let _ = claims(&text);
            let _ = claims(&format!("a.{}.c", URL_SAFE_NO_PAD.encode(&text)));
        }
    }
}
