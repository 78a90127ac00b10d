//! What a status code, an error text and a car's reason mean.
//!
//! Sources: Tesla's developer pages on response codes, the vendor's command library (which codes surely did nothing), and
//! recorded answers. A call that surely did nothing is `Later`; one that may have been done is `Unsure`.

use std::time::Duration;

use serde_json::Value;
use vehicle::{Outcome, Refusal, Request};

/// Pause after "too many calls" without a time, as TeslaMate makes it.
pub(crate) const DEFAULT_PAUSE: Duration = Duration::from_secs(300);
/// Pause after the older interface's EXCEEDED_LIMIT.
const EXCEEDED_PAUSE: Duration = Duration::from_secs(900);
/// A car in service is left alone for so long.
const SERVICE_PAUSE: Duration = Duration::from_secs(3600);
/// A busy car or service is asked again after so long.
const SHORT_PAUSE: Duration = Duration::from_secs(5);
/// Longest text of a server's that is passed on.
const LONGEST_TEXT: usize = 160;

/// An answer, as far as its meaning needs it.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Heard {
    pub(crate) status: u16,
    /// The body, when it is JSON.
    pub(crate) body: Option<Value>,
    /// The server's own words, without secrets; the body's start when it is neither JSON nor a web page.
    pub(crate) words: String,
    /// From `Retry-After`, else from `RateLimit-Reset`.
    pub(crate) pause: Option<Duration>,
    /// `Alt-Svc`, which names another host after 421.
    pub(crate) alt_svc: Option<String>,
}

/// Why a call did not do what it should, by what can be done about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The access token is not taken; a new one may be.
    TokenExpired,
    /// Only a person can sign in anew.
    SignIn,
    /// The car's owner has switched mobile access off.
    MobileAccess,
    /// The month's allowance is used up and nobody pays.
    Payment,
    /// A right is missing from the token.
    Scope,
    /// This car wants signed commands.
    NeedsSignature,
    /// The application is not registered in this region.
    NotRegistered,
    /// Another host serves this account.
    OtherRegion,
    /// 422; to a signed command it means that the car does not know them.
    Unprocessable,
    /// The car sleeps, or has no network.
    Asleep,
    /// Too many calls: nobody calls before.
    TooMany(Duration),
    /// Not done, and worth another try.
    Later(Option<Duration>),
    /// It may have been done.
    Unsure,
    /// The car itself says why not.
    Reason(String),
    /// 404: the cloud knows no such car, or no such call.
    NotFound,
    /// Not done, and another try will not help.
    Never,
}

/// What a failed status means. For a 2xx whose body is no JSON object it is [`Fault::Unsure`].
pub(crate) fn fault(heard: &Heard) -> Fault {
    let words = heard.words.to_ascii_lowercase();
    let says = |text: &str| words.contains(text);
    match heard.status {
        401 if says("mobile_access_disabled") || says("mobile access") => Fault::MobileAccess,
        401 if says("login_required") => Fault::SignIn,
        401 => Fault::TokenExpired,
        402 => Fault::Payment,
        // The vendor's proxy wraps it in a 500; TWCManager saw it in a 403.
        _ if says("vehicle command protocol required") => Fault::NeedsSignature,
        403 if says("scope") => Fault::Scope,
        403 if says("exceeded_limit") => Fault::TooMany(heard.pause.unwrap_or(EXCEEDED_PAUSE)),
        404 => Fault::NotFound,
        405 => Fault::Later(Some(heard.pause.unwrap_or(SERVICE_PAUSE))),
        408 => Fault::Asleep,
        412 => Fault::NotRegistered,
        421 => Fault::OtherRegion,
        422 => Fault::Unprocessable,
        423..=425 => Fault::Later(heard.pause.or(Some(SHORT_PAUSE))),
        429 => Fault::TooMany(heard.pause.unwrap_or(DEFAULT_PAUSE)),
        499 => Fault::Unsure,
        400..=499 => Fault::Never,
        503 if heard.pause.is_some() => Fault::TooMany(heard.pause.unwrap_or(DEFAULT_PAUSE)),
        _ if says("offline or asleep") => Fault::Asleep,
        503 => Fault::Later(Some(SHORT_PAUSE)),
        500 if is_reason(&heard.words) => Fault::Reason(last_clause(&heard.words).to_owned()),
        _ => Fault::Unsure,
    }
}

/// The words of an error envelope: `error`, `error_description`, or what stands in `response.string` or `reason`.
pub(crate) fn words(body: Option<&Value>, text: &str) -> String {
    let Some(body) = body else {
        return if text.trim_start().starts_with('<') { String::new() } else { clean(text) };
    };
    let at = |path: &str| body.pointer(path).and_then(Value::as_str).filter(|text| !text.is_empty());
    let found =
        [at("/error"), at("/error_description"), at("/response/reason"), at("/response/string"), at("/message")];
    let mut said: Vec<&str> = Vec::new();
    for text in found.into_iter().flatten() {
        if !said.contains(&text) {
            said.push(text);
        }
    }
    clean(&said.join(": "))
}

/// A server's text fit for a log line.
pub(crate) fn clean(text: &str) -> String {
    text.trim().chars().filter(|letter| !letter.is_control()).take(LONGEST_TEXT).collect()
}

/// `RateLimit-Reset`: seconds from now, or a moment in seconds since 1970.
pub(crate) fn reset_after(text: &str, now_epoch: u64) -> Option<Duration> {
    let seconds: u64 = text.trim().parse().ok()?;
    let from_now = if seconds > 1_000_000_000 { seconds.saturating_sub(now_epoch) } else { seconds };
    Some(Duration::from_secs(from_now.min(86_400)))
}

/// What came of a command by the body of its answer, `{"response": {"result": …, "reason": …}}`. `None` when the body is
/// none of that.
pub(crate) fn command_outcome(request: Request, body: &Value) -> Option<Outcome> {
    let response = body.get("response").filter(|response| response.is_object())?;
    let result = response.get("result").and_then(Value::as_bool);
    let said = ["reason", "string"].iter().find_map(|name| response.get(*name).and_then(Value::as_str));
    match (result, said) {
        (Some(true), _) => Some(Outcome::Done),
        (_, Some(reason)) => Some(outcome_of_reason(request, reason)),
        (Some(false), None) => Some(outcome_of_reason(request, "")),
        (None, None) => None,
    }
}

/// What a car's own word, such as `is_charging` or `disconnected`, means as the answer to a command. Proxies put words of
/// their own before it: what counts comes after the last `: `. Cloud, proxies and Bluetooth use the same words.
#[must_use]
pub fn outcome_of_reason(request: Request, reason: &str) -> Outcome {
    let word = last_clause(reason);
    let later = |after| Outcome::Later { after: Some(after), text: sentence(reason) };
    match word {
        "already_set" | "already_standard" | "already_max_range" => Outcome::AlreadySo,
        "is_charging" | "charging" | "requested" if request == Request::Start => Outcome::AlreadySo,
        "not_charging" if request == Request::Stop => Outcome::AlreadySo,
        // What is full or has no cable does not charge.
        "complete" | "disconnected" if request == Request::Stop => Outcome::AlreadySo,
        "complete" => Outcome::Refused(Refusal::Complete),
        "disconnected" => Outcome::Refused(Refusal::Unplugged),
        "no_power" => Outcome::Refused(Refusal::NoPower),
        "could_not_wake_buses" => later(SHORT_PAUSE),
        _ if reason.contains("offline or asleep") => Outcome::Asleep,
        _ if reason.starts_with("vehicle unavailable") => later(SHORT_PAUSE),
        _ if ["operation_timedout", "operation_timeout", "upstream internal error", "context deadline exceeded"]
            .iter()
            .any(|start| reason.contains(start)) =>
        {
            Outcome::Unsure { text: sentence(reason) }
        }
        _ => Outcome::Refused(Refusal::Other),
    }
}

/// Whether an error text ends in one of the words that cars themselves use.
fn is_reason(text: &str) -> bool {
    const KNOWN: [&str; 10] = [
        "already_set",
        "already_standard",
        "already_max_range",
        "is_charging",
        "charging",
        "requested",
        "not_charging",
        "complete",
        "disconnected",
        "no_power",
    ];
    let word = last_clause(text);
    KNOWN.contains(&word) || word == "could_not_wake_buses" || text.contains("car could not execute command")
}

fn last_clause(text: &str) -> &str {
    text.rsplit(": ").next().unwrap_or(text).trim().trim_matches(['"', '.'])
}

fn sentence(reason: &str) -> String {
    format!("the car was not ready ({}); it is tried again", clean(reason))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn heard(status: u16, words: &str) -> Heard {
        Heard { status, words: words.to_owned(), ..Heard::default() }
    }

    #[test]
    fn codes_mean_what_the_table_says() {
        for (status, words, expected) in [
            (400, "invalid_request", Fault::Never),
            (401, "token expired (401)", Fault::TokenExpired),
            (401, "login_required", Fault::SignIn),
            (401, "mobile_access_disabled", Fault::MobileAccess),
            (402, "payment required", Fault::Payment),
            (403, "Unauthorized missing scopes vehicle_cmds", Fault::Scope),
            (403, "Tesla Vehicle Command Protocol required", Fault::NeedsSignature),
            (403, "account disabled: EXCEEDED_LIMIT", Fault::TooMany(EXCEEDED_PAUSE)),
            (403, "unsupported vehicle", Fault::Never),
            (404, "not_found", Fault::NotFound),
            (405, "vehicle is currently in service", Fault::Later(Some(SERVICE_PAUSE))),
            (408, "vehicle unavailable: vehicle is offline or asleep", Fault::Asleep),
            (412, "", Fault::NotRegistered),
            (421, "user out of region", Fault::OtherRegion),
            (422, "", Fault::Unprocessable),
            (423, "", Fault::Later(Some(SHORT_PAUSE))),
            (429, "", Fault::TooMany(DEFAULT_PAUSE)),
            (451, "", Fault::Never),
            (499, "", Fault::Unsure),
            (500, "car could not execute command: is_charging", Fault::Reason("is_charging".into())),
            (500, "something else", Fault::Unsure),
            (502, "", Fault::Unsure),
            (503, "", Fault::Later(Some(SHORT_PAUSE))),
            (504, "context deadline exceeded", Fault::Unsure),
            (540, "device unexpected response", Fault::Unsure),
        ] {
            assert_eq!(fault(&heard(status, words)), expected, "{status} {words}");
        }
        let asked = Heard { pause: Some(Duration::from_secs(42)), ..heard(429, "") };
        assert_eq!(fault(&asked), Fault::TooMany(Duration::from_secs(42)));
    }

    #[test]
    fn reasons_mean_what_the_table_says() {
        use Outcome::{AlreadySo, Refused};
        for (request, reason, expected) in [
            (Request::Start, "is_charging", AlreadySo),
            (Request::Start, "charging", AlreadySo),
            (Request::Start, "requested", AlreadySo),
            (Request::Start, "complete", Refused(Refusal::Complete)),
            (Request::Start, "disconnected", Refused(Refusal::Unplugged)),
            (Request::Start, "no_power", Refused(Refusal::NoPower)),
            (Request::Start, "car could not execute command: disconnected", Refused(Refusal::Unplugged)),
            (Request::Start, "user_not_present", Refused(Refusal::Other)),
            (Request::Stop, "not_charging", AlreadySo),
            (Request::Stop, "disconnected", AlreadySo),
            (Request::Stop, "is_charging", Refused(Refusal::Other)),
            (Request::SetLimit(units::Percent::FULL), "already_set", AlreadySo),
            (Request::Start, "vehicle unavailable: vehicle is offline or asleep", Outcome::Asleep),
        ] {
            assert_eq!(outcome_of_reason(request, reason), expected, "{request:?} {reason}");
        }
        assert!(matches!(outcome_of_reason(Request::Start, "could_not_wake_buses"), Outcome::Later { .. }));
        assert!(matches!(outcome_of_reason(Request::Start, "operation_timedout with 10s"), Outcome::Unsure { .. }));
    }

    #[test]
    fn bodies_of_commands() {
        let outcome = |body: Value| command_outcome(Request::Start, &body);
        assert_eq!(outcome(json!({"response": {"result": true, "reason": ""}})), Some(Outcome::Done));
        let refused = outcome(json!({"response": {"result": false, "reason": "complete"}}));
        assert_eq!(refused, Some(Outcome::Refused(Refusal::Complete)));
        let proxied = outcome(json!({"response": {"result": false, "string": "car said: is_charging"}}));
        assert_eq!(proxied, Some(Outcome::AlreadySo));
        assert_eq!(outcome(json!({"response": null, "error": "x"})), None);
        assert_eq!(outcome(json!([])), None);
    }

    #[test]
    fn words_are_found_wherever_they_stand() {
        let body = json!({"response": null, "error": "not_found", "error_description": "not_found"});
        assert_eq!(words(Some(&body), ""), "not_found");
        assert_eq!(words(None, "plain\ntext"), "plaintext");
        assert_eq!(words(None, "<html>secret"), "");
    }

    #[test]
    fn a_reset_is_a_span_or_a_moment() {
        assert_eq!(reset_after("30", 1_700_000_000), Some(Duration::from_secs(30)));
        assert_eq!(reset_after("1700000060", 1_700_000_000), Some(Duration::from_secs(60)));
        assert_eq!(reset_after("soon", 0), None);
    }

    proptest! {
        #[test]
        fn any_answer_means_something(status in 100u16..=999, words in ".{0,40}") {
            let _ = fault(&heard(status, &words));
            let _ = outcome_of_reason(Request::Start, &words);
        }
    }
}
