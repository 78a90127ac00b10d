//! Keeps secrets out of answers.

use serde_json::Value;

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

    use super::masked;

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
}
