//! Takes secrets out of texts that leave the program: errors, log lines, recordings.

use crate::url;
use serde_json::Value;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// What stands where a secret was.
const STARS: &str = "***";

/// A secret shorter than this is not searched for in texts: it would be found in every other word.
const SHORTEST: usize = 4;

/// Most secrets that are remembered; the oldest goes first (renewed tokens pile up over the years).
const MOST: usize = 256;

/// Parts of names whose value is a secret, compared in lower case without `-` and `_`.
const SECRET_PARTS: [&str; 16] = [
    "token",
    "password",
    "passwd",
    "secret",
    "apikey",
    "authkey",
    "authorization",
    "cookie",
    "session",
    "jwt",
    "credential",
    "accesskey",
    "privatekey",
    "signature",
    "bearer",
    "csrf",
];

/// Whole names whose value is a secret.
const SECRET_NAMES: [&str; 8] = ["key", "auth", "pw", "pwd", "pass", "appid", "code", "sig"];

/// Whole names that are personal: taken out of recordings, which people share.
const PERSONAL_NAMES: [&str; 9] =
    ["email", "username", "useremail", "latitude", "longitude", "lat", "lng", "lon", "phone"];

/// Knows the secrets of one client and takes them out of texts.
#[derive(Default)]
pub struct Redactor {
    secrets: Mutex<Vec<String>>,
}

impl Redactor {
    /// Without any registered secret; suspicious names are still known.
    pub fn new() -> Self {
        Self::default()
    }

    /// Registers a secret with the forms it may take. Texts under four characters can't be searched for; they are
    /// protected by the name of their parameter only.
    pub fn add(&self, secret: &str) {
        let secret = secret.trim();
        if secret.len() < SHORTEST {
            return;
        }
        let in_json = Value::from(secret).to_string();
        let in_json = in_json.trim_matches('"').to_owned();
        for form in [secret.to_owned(), url::encode(secret), url::encode_target(secret).split_off(1), in_json] {
            self.add_form(form);
        }
    }

    fn add_form(&self, form: String) {
        let mut secrets = self.lock();
        if form.len() < SHORTEST || secrets.contains(&form) {
            return;
        }
        if secrets.len() >= MOST {
            secrets.remove(0);
        }
        secrets.push(form);
        // Longest first, so that a secret that contains another one is taken out as a whole.
        secrets.sort_by_key(|s| std::cmp::Reverse(s.len()));
    }

    /// A text without registered secrets, tokens that look like one (JWT), and passwords in addresses.
    pub fn text(&self, text: &str) -> String {
        let mut out = text.to_owned();
        for secret in self.lock().iter() {
            if out.contains(secret.as_str()) {
                out = out.replace(secret.as_str(), STARS);
            }
        }
        hide_jwt(&out)
    }

    /// An address, or a path with query, without secrets.
    pub fn url(&self, address: &str) -> String {
        let (before, query) = match address.split_once('?') {
            Some((before, query)) => (before, Some(query)),
            None => (address, None),
        };
        let mut out = hide_user(before);
        if let Some(query) = query {
            out.push('?');
            out.push_str(&hide_pairs(query, is_secret));
        }
        self.text(&out)
    }

    /// A body without secrets and personal data, for a recording. JSON stays valid JSON.
    pub fn body(&self, body: &str) -> String {
        let trimmed = body.trim_start_matches('\u{feff}');
        if let Ok(mut value) = serde_json::from_str::<Value>(trimmed) {
            return if self.json(&mut value) { value.to_string() } else { body.to_owned() };
        }
        let is_form = !body.is_empty()
            && body.split('&').all(|pair| pair.split_once('=').is_some_and(|(name, _)| is_form_name(name)));
        if is_form {
            return self.text(&hide_pairs(body, |name| is_secret(name) || is_personal(name) || name == "p"));
        }
        self.text(body)
    }

    /// Whether a header's or parameter's value must not be shown.
    pub fn is_secret_name(name: &str) -> bool {
        is_secret(name)
    }

    fn json(&self, value: &mut Value) -> bool {
        match value {
            Value::String(s) => {
                let clean = self.text(s);
                let changed = clean != *s;
                *s = clean;
                changed
            }
            Value::Array(items) => items.iter_mut().fold(false, |changed, item| self.json(item) | changed),
            Value::Object(map) => map.iter_mut().fold(false, |changed, (name, item)| {
                let hide = (is_secret(name) && item.is_string()) || (is_personal(name) && !is_container(item));
                if hide && !item.is_null() {
                    *item = Value::from(STARS);
                    true
                } else {
                    self.json(item) | changed
                }
            }),
            _ => false,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<String>> {
        self.secrets.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Redactor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Redactor(***)")
    }
}

fn is_container(value: &Value) -> bool {
    value.is_object() || value.is_array()
}

fn normal(name: &str) -> String {
    url::decode(name).chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

fn is_secret(name: &str) -> bool {
    let name = normal(name);
    SECRET_NAMES.contains(&name.as_str()) || SECRET_PARTS.iter().any(|part| name.contains(part))
}

fn is_personal(name: &str) -> bool {
    PERSONAL_NAMES.contains(&normal(name).as_str())
}

fn is_form_name(name: &str) -> bool {
    !name.is_empty() && name.len() <= 64 && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.[]%+".contains(&b))
}

fn hide_pairs(query: &str, hide: impl Fn(&str) -> bool) -> String {
    let parts: Vec<String> = query
        .split('&')
        .map(|pair| match pair.split_once('=') {
            Some((name, value)) if hide(name) && !value.is_empty() => format!("{name}={STARS}"),
            _ => pair.to_owned(),
        })
        .collect();
    parts.join("&")
}

fn hide_user(address: &str) -> String {
    let Some((scheme, rest)) = address.split_once("://") else {
        return address.to_owned();
    };
    let end = rest.find('/').unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    match authority.rsplit_once('@') {
        Some((_, host)) => format!("{scheme}://{STARS}@{host}{path}"),
        None => address.to_owned(),
    }
}

/// Replaces what looks like a JSON web token: a word of base64url that begins with `eyJ`.
fn hide_jwt(text: &str) -> String {
    const MARK: &str = "eyJ";
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(MARK) {
        let (before, from) = rest.split_at(at);
        out.push_str(before);
        let end = from.find(|c: char| !(c.is_ascii_alphanumeric() || "-_.=".contains(c))).unwrap_or(from.len());
        let (word, after) = from.split_at(end);
        out.push_str(if word.len() >= 20 { STARS } else { word });
        rest = after;
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn addresses_lose_users_and_suspicious_parameters() {
        let redactor = Redactor::new();
        for (raw, clean) in [
            ("https://h/site/1/overview?api_key=ABC&x=1", "https://h/site/1/overview?api_key=***&x=1"),
            ("http://me:pw@h:80/a", "http://***@h:80/a"),
            ("/p?token=1&apiKey=2&Password=3&key=4&appid=5", "/p?token=***&apiKey=***&Password=***&key=***&appid=***"),
            ("/p?keyboard=1&details=1&token=", "/p?keyboard=1&details=1&token="),
        ] {
            assert_eq!(redactor.url(raw), clean);
        }
    }

    #[test]
    fn registered_secrets_are_found_in_every_form() {
        let redactor = Redactor::new();
        redactor.add("pä ss/\"w");
        for text in ["x pä ss/\"w y", "x=p%C3%A4%20ss%2F%22w", "x p%C3%A4%20ss/%22w", r#"{"a":"pä ss/\"w"}"#] {
            let clean = redactor.text(text);
            assert!(clean.contains("***") && !clean.contains("ss"), "{clean}");
        }
        redactor.add("abc");
        assert_eq!(redactor.text("abc"), "abc");
    }

    #[test]
    fn bodies_stay_valid_json_and_keep_their_numbers() {
        let redactor = Redactor::new();
        redactor.add("1234");
        let body =
            r#"{"token":"abc","session_id":"q","p":12345,"email":"a@b","n":{"key":"k","text":"is 1234"},"key":7}"#;
        let clean: Value = serde_json::from_str(&redactor.body(body)).unwrap();
        assert_eq!(
            clean,
            serde_json::json!({"token":"***","session_id":"***","p":12345,"email":"***","n":{"key":"***","text":"is ***"},"key":7})
        );
        assert_eq!(redactor.body("{ \"w\": 1 }"), "{ \"w\": 1 }");
        assert_eq!(
            redactor.body("user%5Bemail%5D=a&user%5Bpassword%5D=b&z=1"),
            "user%5Bemail%5D=***&user%5Bpassword%5D=***&z=1"
        );
        assert_eq!(redactor.body("u=user&p=x"), "u=user&p=***");
        assert_eq!(redactor.body("eyJhbGciOiJFUzI1NiJ9.eyJleHAiOjF9.AAAA-_b"), "***");
    }

    #[test]
    fn debug_shows_nothing() {
        let redactor = Redactor::new();
        redactor.add("hunter22");
        assert!(!format!("{redactor:?}").contains("hunter22"));
    }

    proptest! {
        #[test]
        fn no_registered_secret_survives(before in ".{0,20}", secret in "[A-Za-z0-9/+=!§ ]{4,20}", after in ".{0,20}") {
            let redactor = Redactor::new();
            redactor.add(&secret);
            let trimmed = secret.trim();
            prop_assume!(trimmed.len() >= SHORTEST && !STARS.contains(trimmed));
            let address = format!("http://h/{}?v={}", url::encode(trimmed), url::encode(trimmed));
            let clean = redactor.text(&format!("{before}{trimmed}{after}"));
            prop_assert!(!clean.contains(trimmed), "{}", clean);
            prop_assert!(!redactor.url(&address).contains(&url::encode(trimmed)));
        }

        #[test]
        fn any_body_and_address_is_survived(text in ".{0,60}") {
            let redactor = Redactor::new();
            redactor.add("secret");
            let _ = (redactor.body(&text), redactor.url(&text), redactor.text(&text));
        }
    }
}
