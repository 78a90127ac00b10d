//! Passwords and keys: a type that does not print them, and a mask for whole trees.

use std::fmt;
use std::ops::Deref;

use serde_json::{Map, Value};

/// What stands in the place of a secret.
pub const MASK: &str = "********";

/// A password, token or key. Neither `Debug` nor any other trait prints it; [`Secret::reveal`] is the one way in.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Secret(String);

impl Secret {
    /// Wraps a secret.
    #[must_use]
    pub fn new(secret: impl Into<String>) -> Self {
        Secret(secret.into())
    }

    /// The secret itself, for the one place that has to send it.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// Whether there is nothing in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MASK)
    }
}

/// Options of a section as a plain map. `Debug` prints them masked.
#[derive(Clone, PartialEq, Default)]
pub struct Options(Map<String, Value>);

impl Options {
    /// The map itself, for deserialising.
    #[must_use]
    pub fn into_map(self) -> Map<String, Value> {
        self.0
    }
}

impl From<Map<String, Value>> for Options {
    fn from(map: Map<String, Value>) -> Self {
        Options(map)
    }
}

impl Deref for Options {
    type Target = Map<String, Value>;
    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", masked(&Value::Object(self.0.clone())))
    }
}

/// The same tree with each secret replaced by [`MASK`]; types and names stay, and so do empty texts and booleans.
///
/// A secret is known by its name, wherever it stands, so that keys of drivers unknown to us are covered too; in addresses the
/// password and secret parameters are masked.
#[must_use]
pub fn masked(value: &Value) -> Value {
    match value {
        Value::Object(members) => Value::Object(
            members
                .iter()
                .map(|(name, value)| (name.clone(), if is_secret_name(name) { blotted(value) } else { masked(value) }))
                .collect(),
        ),
        Value::Array(items) => Value::Array(items.iter().map(masked).collect()),
        Value::String(text) => Value::String(masked_address(text)),
        other => other.clone(),
    }
}

/// Whether values of that name are secrets.
#[must_use]
pub fn is_secret_name(name: &str) -> bool {
    let name: String = name.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect();
    const PARTS: &[&str] = &[
        "password",
        "passwd",
        "passphrase",
        "apikey",
        "secret",
        "token",
        "encryptionkey",
        "privkey",
        "privatekey",
        "bearer",
        "credential",
        "authorization",
        "cookie",
    ];
    const WHOLE: &[&str] = &["dsn", "pass", "pwd", "pin", "key", "auth"];
    let is_a_time = name.ends_with("time") || name.ends_with("expiry");
    !is_a_time
        && (WHOLE.contains(&name.as_str())
            || PARTS.iter().any(|part| name.contains(part))
            || name.ends_with("pass")
            || name.ends_with("pwd"))
}

fn blotted(value: &Value) -> Value {
    match value {
        Value::Null | Value::Bool(_) => value.clone(),
        Value::String(text) if text.is_empty() => value.clone(),
        Value::Array(items) => Value::Array(items.iter().map(blotted).collect()),
        Value::Object(members) => {
            Value::Object(members.iter().map(|(name, value)| (name.clone(), blotted(value))).collect())
        }
        Value::String(_) | Value::Number(_) => Value::String(MASK.to_owned()),
    }
}

/// `scheme://user:password@host/?token=x` without the password and the token; other text as it is.
fn masked_address(text: &str) -> String {
    let Some((scheme, rest)) = text.split_once("://") else { return text.to_owned() };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (host, tail) = rest.split_at(end);
    let host = match host.rsplit_once('@') {
        Some((user, host)) => match user.split_once(':') {
            Some((user, _)) => format!("{user}:{MASK}@{host}"),
            None => format!("{user}@{host}"),
        },
        None => host.to_owned(),
    };
    let tail = match tail.split_once('?') {
        Some((path, query)) => {
            let parameters: Vec<String> = query
                .split('&')
                .map(|parameter| match parameter.split_once('=') {
                    Some((name, _)) if is_secret_name(name) => format!("{name}={MASK}"),
                    _ => parameter.to_owned(),
                })
                .collect();
            format!("{path}?{}", parameters.join("&"))
        }
        None => tail.to_owned(),
    };
    format!("{scheme}://{host}{tail}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn every_kind_of_secret_is_masked_and_the_rest_is_not() {
        let names = [
            "password",
            "apiKey",
            "APIKey",
            "token",
            "longLivedToken",
            "db_pass",
            "mqtt_pass",
            "DSN",
            "encryption_key",
            "teslaApiClientSecret",
            "carApiRefreshToken",
            "privKey",
        ];
        for name in names {
            assert_eq!(masked(&json!({ name: "s3cret" })), json!({ name: MASK }), "{name}");
        }
        let open = json!({ "syncTokens": true, "username": "u", "password": "", "carApiTokenExpireTime": 5, "hassEntityGeneration": "sensor.x", "passThrough": 1, "pubKey": "p" });
        assert_eq!(masked(&open), open);
        assert_eq!(masked(&json!({ "tokens": ["a", { "b": 1 }] })), json!({ "tokens": [MASK, { "b": MASK }] }));
    }

    #[test]
    fn addresses_lose_their_passwords_only() {
        let shown = |text: &str| masked(&json!(text)).as_str().unwrap_or_default().to_owned();
        assert_eq!(shown("http://u:p@ss@h:80/x?a=1&token=t"), "http://u:********@h:80/x?a=1&token=********");
        assert_eq!(shown("http://h/@a"), "http://h/@a");
        assert_eq!(shown("12:30"), "12:30");
    }

    #[test]
    fn a_secret_prints_as_stars() {
        assert_eq!(format!("{:?}", Secret::new("abc")), MASK);
    }
}
