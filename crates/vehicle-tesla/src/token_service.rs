//! Calls to the token service. They are not billed.

use std::time::{Duration, SystemTime};

use http_client::{Client, HttpError, Kind};
use serde_json::Value;

use crate::region::TOKEN_PATH;
use crate::reply::{reset_after, words};
use crate::settings::Pace;

/// What the token service says.
pub(crate) enum Grant {
    /// An answer with tokens in it, or something that looks like it.
    Given(Value),
    /// This token or code is no good any more; its words.
    Denied(String),
    /// The application is not what the service knows; its words.
    Misconfigured(String),
    /// No usable answer: the same may be asked again, since the service keeps the last refresh token valid for a while.
    Lost {
        /// Not before.
        pause: Option<Duration>,
        /// A sentence for people.
        text: String,
    },
}

/// Where another token service may be configured.
const KEY: &str = "vehicle.teslaAPI.authUrl";

/// Asks for tokens. Blocks for at most the time-out of a call.
pub(crate) fn ask(base: &str, form: &[(&'static str, String)], pace: &Pace) -> Grant {
    let client = match client(base, form, pace) {
        Ok(client) => client,
        Err(error) => return Grant::Misconfigured(error.to_string()),
    };
    let pairs: Vec<(&str, &str)> = form.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let answer = match client.post(TOKEN_PATH).form(&pairs).send() {
        Ok(answer) => answer,
        Err(error) => {
            return Grant::Lost { pause: None, text: format!("Tesla's token service: {}", failed_call(&error, KEY)) };
        }
    };
    let body = answer.json().ok();
    let said = client.redactor().text(&words(body.as_ref(), &client.redactor().text(&answer.text())));
    let said = if said.is_empty() { format!("status {}", answer.status()) } else { said };
    let lost = |pause| Grant::Lost {
        pause,
        text: format!("Tesla's token service has no usable answer ({}); it is asked again", answer.status()),
    };
    match (answer.status(), body) {
        (200..=299, Some(body)) if body.get("access_token").is_some() => Grant::Given(body),
        (200..=299, _) => lost(None),
        (429, _) => {
            let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
            let reset = answer.header("ratelimit-reset").and_then(|text| reset_after(text, now));
            lost(answer.retry_after().or(reset).or(Some(Duration::from_secs(300))))
        }
        (400..=499, _) => {
            let is_about_us = ["unauthorized_client", "invalid_client", "client_id", "client_secret"];
            if is_about_us.iter().any(|text| said.contains(text)) {
                Grant::Misconfigured(said)
            } else if matches!(answer.status(), 408 | 421 | 425) || (answer.status() == 403 && answer.looks_like_html())
            {
                // A page that stands between us and the service says nothing about the token.
                lost(None)
            } else {
                Grant::Denied(said)
            }
        }
        _ => lost(None),
    }
}

/// A client for the token service that keeps all secrets of a form out of every text.
fn client(base: &str, form: &[(&'static str, String)], pace: &Pace) -> Result<Client, HttpError> {
    let mut builder = Client::builder(base)
        .total_timeout(pace.call)
        .connect_timeout(pace.connect)
        .keep_alive(false)
        .proxy_from_environment()
        .config_key(KEY);
    let secrets = ["client_secret", "refresh_token", "code", "code_verifier"];
    for (_, value) in form.iter().filter(|(name, _)| secrets.contains(name)) {
        builder = builder.secret(value);
    }
    builder.build()
}

/// Whether a call that failed was surely never received.
pub(crate) fn was_not_sent(error: &HttpError, pace: &Pace) -> bool {
    match error.kind() {
        Kind::BadAddress | Kind::UnknownHost | Kind::Tls | Kind::NotRecorded => true,
        // A connection that was closed may have carried it; one that was never made did not.
        Kind::Connect => {
            let why = error.detail().to_ascii_lowercase();
            ["refused", "unreachable", "no route", "connection failed"].iter().any(|sign| why.contains(sign))
        }
        // Making the connection has a time-out of its own.
        Kind::Timeout { after } => *after == pace.connect && pace.connect != pace.call,
        _ => false,
    }
}

/// A call that failed, with what to do about it: it is a service on the internet, and no device in the house.
/// `key` is where another host for it may be configured.
pub(crate) fn failed_call(error: &HttpError, key: &str) -> String {
    let what = match error.kind() {
        Kind::Connect => "no connection".to_owned(),
        Kind::Timeout { after } => format!("no complete answer within {} s", after.as_secs_f32()),
        Kind::UnknownHost => "the host name is not known".to_owned(),
        Kind::Truncated => "the answer ends too early".to_owned(),
        _ => return error.to_string(),
    };
    let detail = if error.detail().is_empty() { String::new() } else { format!(" ({})", error.detail()) };
    format!(
        "{}: {what}{detail}; check that this computer has a connection to the internet and its name service (DNS) answers; \
         if it has, Tesla's service may be down and is tried again later. If `{key}` is set, check that too",
        error.url()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_connection_carried_nothing_and_a_closed_one_may_have() {
        let pace = Pace { call: Duration::from_secs(20), ..Pace::default() };
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let get = || Client::builder(base.clone()).build().unwrap().get_text("/").unwrap_err();
        let closes = std::thread::spawn(move || drop(listener.accept()));
        let closed = get();
        closes.join().unwrap();
        assert!(!was_not_sent(&closed, &pace), "{closed}");
        let refused = get();
        assert!(was_not_sent(&refused, &pace), "{refused}");
        let text = failed_call(&refused, KEY);
        assert!(
            text.contains(&base) && text.contains("internet") && text.contains("vehicle.teslaAPI.authUrl"),
            "{text}"
        );
        assert!(!text.contains("device"), "nobody can switch Tesla's cloud on: {text}");
    }
}
