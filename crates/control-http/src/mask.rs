//! Keeps secrets out of answers.

use serde_json::{Map, Value};

/// What stands in the place of a secret.
const STARS: &str = "********";

/// A copy without secrets: whatever is kept under a name that speaks of one is replaced by stars, unless it is empty.
pub(crate) fn masked(value: &Value) -> Value {
    match value {
        Value::Object(fields) => Value::Object(
            fields
                .iter()
                .map(|(key, value)| {
                    let shown = if is_secret(key) { star(value) } else { masked(value) };
                    (key.clone(), shown)
                })
                .collect(),
        ),
        Value::Array(items) => Value::Array(items.iter().map(masked).collect()),
        // Addresses may hold passwords.
        other => config::masked(other),
    }
}

/// Whether the name of a setting speaks of a secret.
pub(crate) fn is_secret(key: &str) -> bool {
    if config::is_secret_name(key) {
        return true;
    }
    let key = key.to_ascii_lowercase();
    let is_expiry = key.ends_with("expiretime");
    !is_expiry
        && [
            "token",
            "password",
            "passwd",
            "_pass",
            "secret",
            "apikey",
            "api_key",
            "privkey",
            "private",
            "encryption_key",
        ]
        .iter()
        .any(|word| key.contains(word))
}

/// An explanation of policies without the values that a term about a secret compares.
pub(crate) fn without_secret_terms(explanation: Value) -> Value {
    let speaks_of_secret = |fields: &Map<String, Value>, key: &str| {
        let text = fields.get(key).and_then(Value::as_str).unwrap_or_default();
        text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').any(is_secret)
    };
    match explanation {
        Value::Object(mut fields) => {
            if speaks_of_secret(&fields, "text") {
                for side in ["left", "right"] {
                    fields.entry(side).and_modify(|value| *value = STARS.into());
                }
            }
            if speaks_of_secret(&fields, "why") {
                fields.insert("why".to_owned(), "It depends on a secret, which is not shown.".into());
            }
            Value::Object(fields.into_iter().map(|(key, value)| (key, without_secret_terms(value))).collect())
        }
        Value::Array(items) => Value::Array(items.into_iter().map(without_secret_terms).collect()),
        other => other,
    }
}

/// Whether something in it is kept under the name of a secret. Such a value came out masked and must not be written back.
pub(crate) fn holds_secret(value: &Value) -> bool {
    match value {
        Value::Object(fields) => fields.iter().any(|(key, value)| is_secret(key) || holds_secret(value)),
        Value::Array(items) => items.iter().any(holds_secret),
        Value::String(text) => text.contains(STARS),
        _ => false,
    }
}

fn star(value: &Value) -> Value {
    match value {
        Value::Null | Value::Bool(_) => value.clone(),
        Value::String(text) if text.is_empty() => value.clone(),
        _ => Value::from(STARS),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{masked, without_secret_terms};

    #[test]
    fn secrets_of_settings_are_starred_wherever_they_are() {
        let settings = json!({
            "carApiBearerToken": "ey…", "carApiRefreshToken": "", "carApiTokenExpireTime": 12.5,
            "Vehicles": {"5YJ": {"privKey": "AAAA", "pubKey": "BBBB"}}, "list": [{"mqtt_pass": "x"}],
        });
        assert_eq!(
            masked(&settings),
            json!({
                "carApiBearerToken": "********", "carApiRefreshToken": "", "carApiTokenExpireTime": 12.5,
                "Vehicles": {"5YJ": {"privKey": "********", "pubKey": "BBBB"}}, "list": [{"mqtt_pass": "********"}],
            })
        );
    }
    #[test]
    fn an_explanation_does_not_tell_what_a_secret_is_compared_with() {
        let policy = |why: &str, left: &str| {
            json!({"policies": [{"why": why, "terms": [
                {"term": {"text": "settings.carApiBearerToken eq x", "left": left, "right": left}},
                {"term": {"text": "tm_hour gt 5", "left": "6", "right": "5"}},
            ]}]})
        };
        let told = policy("Not in force: `settings.carApiBearerToken eq x` is not so (ey against x).", "ey");
        let shown = policy("It depends on a secret, which is not shown.", "********");
        assert_eq!(without_secret_terms(told), shown);
    }
}
