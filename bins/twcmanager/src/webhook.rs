//! Calls a policy's webhook.

use std::time::Duration;

use http_client::Client;
use serde_json::Value;
use site::{Webhook, WebhookMethod};

/// A webhook may be slow; it must not hold up the next for long.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Calls one; where its method is POST, with the `getStatus` object as its body.
///
/// # Errors
/// A sentence without secrets.
pub fn call(webhook: &Webhook, status: &dyn Fn() -> Value) -> Result<(), String> {
    // The path and query belong to the address; the client keeps them apart from the host.
    let (base, path) = split(&webhook.url);
    let client = Client::builder(base)
        .total_timeout(TIMEOUT)
        .config_key("policy.extend.webhooks")
        .build()
        .map_err(|error| error.to_string())?;
    let request = match webhook.method {
        WebhookMethod::Get => client.get(path),
        WebhookMethod::Post => client.post(path).json(&status()),
    };
    request.send_ok().map(drop).map_err(|error| error.to_string())
}

fn split(url: &str) -> (&str, &str) {
    let after_scheme = url.find("://").map_or(0, |at| at + 3);
    match url.get(after_scheme..).and_then(|rest| rest.find('/')) {
        Some(slash) => url.split_at(after_scheme + slash),
        None => (url, "/"),
    }
}

#[cfg(test)]
mod tests {
    use super::split;

    #[test]
    fn host_and_path_are_told_apart() {
        assert_eq!(split("http://host:81/a/b?c=d"), ("http://host:81", "/a/b?c=d"));
        assert_eq!(split("https://host"), ("https://host", "/"));
    }
}
