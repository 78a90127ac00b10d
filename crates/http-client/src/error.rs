//! What can go wrong with a call, in words for the user.

use std::fmt;
use std::time::Duration;

/// What went wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kind {
    /// The base address or a header can't be used.
    BadAddress,
    /// The name is not known to DNS.
    UnknownHost,
    /// No connection: refused, unreachable, or closed at once.
    Connect,
    /// No answer in time.
    Timeout {
        /// The time that was waited.
        after: Duration,
    },
    /// The encrypted connection could not be made, or the certificate is not accepted.
    Tls,
    /// The reply is not HTTP as we can read it.
    Protocol,
    /// A status that is not 2xx.
    Status(u16),
    /// Sent elsewhere, where we don't follow.
    Redirected {
        /// Where to, without secrets.
        to: String,
    },
    /// The body is larger than the limit.
    TooLarge {
        /// The limit in bytes.
        limit: u64,
    },
    /// The body ends too early.
    Truncated,
    /// There is no body.
    Empty,
    /// The body is something else than JSON.
    NotJson {
        /// A web page, mostly a log-in page or an error page.
        looks_like_html: bool,
    },
    /// Replay: nothing was recorded for this request.
    NotRecorded,
}

/// What a caller can do about an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Class {
    /// Try again with back-off.
    Retry,
    /// Try again, not before [`HttpError::retry_after`] (or a long pause, if none is given).
    Wait,
    /// Log in again once; then tell the user and back off for long, so that no account gets locked.
    Denied,
    /// The user must change the configuration or the device's settings.
    Misconfigured,
    /// The device answers, but not with what is needed.
    Broken,
}

/// An HTTP call that failed. Its text holds no secret and says what to do.
#[derive(Clone)]
pub struct HttpError {
    kind: Kind,
    context: Box<Context>,
}

#[derive(Clone)]
struct Context {
    method: String,
    url: String,
    detail: String,
    config_key: Option<String>,
    retry_after: Option<Duration>,
}

impl HttpError {
    /// `url` and `detail` must have been through the redactor.
    pub(crate) fn new(kind: Kind, method: &str, url: String, detail: String) -> Self {
        let context = Context { method: method.to_owned(), url, detail, config_key: None, retry_after: None };
        Self { kind, context: Box::new(context) }
    }

    pub(crate) fn with_config_key(mut self, key: Option<&str>) -> Self {
        self.context.config_key = key.map(str::to_owned);
        self
    }

    pub(crate) fn with_retry_after(mut self, pause: Option<Duration>) -> Self {
        self.context.retry_after = pause;
        self
    }

    /// What went wrong.
    pub fn kind(&self) -> &Kind {
        &self.kind
    }

    /// What a caller can do about it.
    pub fn class(&self) -> Class {
        match self.kind {
            Kind::Connect | Kind::Timeout { .. } | Kind::Truncated => Class::Retry,
            // 408: the server gave up waiting; 425: too early.
            Kind::Status(408 | 425) => Class::Retry,
            Kind::Status(429) => Class::Wait,
            Kind::Status(503) if self.context.retry_after.is_some() => Class::Wait,
            Kind::Status(500..=599) => Class::Retry,
            Kind::Status(401 | 403) => Class::Denied,
            Kind::BadAddress | Kind::UnknownHost | Kind::Tls | Kind::Redirected { .. } | Kind::NotRecorded => {
                Class::Misconfigured
            }
            Kind::Status(_) | Kind::Protocol | Kind::TooLarge { .. } | Kind::Empty | Kind::NotJson { .. } => {
                Class::Broken
            }
        }
    }

    /// The status code, if this is about one.
    pub fn status(&self) -> Option<u16> {
        match self.kind {
            Kind::Status(code) => Some(code),
            _ => None,
        }
    }

    /// How long the server asks to be left alone.
    pub fn retry_after(&self) -> Option<Duration> {
        self.context.retry_after
    }

    /// The address, without secrets.
    pub fn url(&self) -> &str {
        &self.context.url
    }

    /// What the device or a library said, without secrets; may be empty.
    pub fn detail(&self) -> &str {
        &self.context.detail
    }

    fn what(&self) -> String {
        match &self.kind {
            Kind::BadAddress => "this address can't be used".into(),
            Kind::UnknownHost => "the host name is not known".into(),
            Kind::Connect => "no connection".into(),
            Kind::Timeout { after } => format!("no complete answer within {} s", after.as_secs_f32()),
            Kind::Tls => "the encrypted connection failed".into(),
            Kind::Protocol => "the answer is not readable as HTTP".into(),
            Kind::Status(code) => format!("the server answers {code}"),
            Kind::Redirected { to } => format!("the server sends us to {to}, where we don't go"),
            Kind::TooLarge { limit } => format!("the answer is larger than {limit} bytes"),
            Kind::Truncated => "the answer ends too early".into(),
            Kind::Empty => "the answer is empty".into(),
            Kind::NotJson { looks_like_html: true } => "the answer is a web page where JSON was due".into(),
            Kind::NotJson { looks_like_html: false } => "the answer is not JSON".into(),
            Kind::NotRecorded => "nothing was recorded for this request".into(),
        }
    }

    fn advice(&self) -> String {
        let key = self.context.config_key.as_deref();
        let address = key.map_or_else(|| "its address".to_owned(), |key| format!("`{key}`"));
        match &self.kind {
            Kind::BadAddress => format!("correct {address}"),
            Kind::UnknownHost => format!("check {address} for a typing error, or give an IP address"),
            Kind::Connect => {
                format!(
                    "check that the device is switched on and in the network, and that {address} and its port are right"
                )
            }
            Kind::Timeout { .. } => {
                format!("the device may be overloaded or out of reach; if this stays, check {address} and the network")
            }
            Kind::Tls => {
                "accept or pin the device's own certificate in the configuration, or check the date of this computer"
                    .into()
            }
            Kind::Protocol => {
                format!("check that {address} and its port lead to the right device, and http or https is right")
            }
            Kind::Status(401 | 403) => {
                "check user name, password or token, and that the device's settings allow access".into()
            }
            Kind::Status(404) => {
                format!(
                    "this device or firmware has no such page; check {address} and that the device's local interface is on"
                )
            }
            Kind::Status(429) => match self.context.retry_after {
                Some(pause) => format!("too many calls; we wait {} s", pause.as_secs()),
                None => "too many calls; we wait, and other programs should poll less".into(),
            },
            Kind::Status(500..=599) => "trouble inside the device or service; we try again later".into(),
            Kind::Status(_) => format!("check {address} and that the device's settings allow access"),
            Kind::Redirected { .. } => format!("if that is the right place, write it into {address}"),
            Kind::TooLarge { .. } => format!("check that {address} leads to the right device"),
            Kind::Truncated => "we try again; if this stays, check the network cable or Wi-Fi".into(),
            Kind::Empty => "the device may still be starting; if this stays, check its firmware".into(),
            Kind::NotJson { looks_like_html: true } => {
                format!("this is mostly a log-in page or an unknown path: check user, password and {address}")
            }
            Kind::NotJson { .. } => "check that the device's interface is on and its firmware is supported".into(),
            Kind::NotRecorded => "make a new recording with the same configuration".into(),
        }
    }
}

impl fmt::Display for HttpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Context { method, url, detail, .. } = &*self.context;
        if !method.is_empty() {
            write!(f, "{method} ")?;
        }
        write!(f, "{url}: {}", self.what())?;
        if !detail.is_empty() {
            write!(f, " ({detail})")?;
        }
        write!(f, "; {}", self.advice())
    }
}

impl fmt::Debug for HttpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpError").field("kind", &self.kind).field("text", &self.to_string()).finish()
    }
}

impl std::error::Error for HttpError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_says_where_what_and_what_to_do() {
        let error =
            HttpError::new(Kind::Timeout { after: Duration::from_secs(10) }, "GET", "http://h/x".into(), String::new())
                .with_config_key(Some("sources.Fronius.serverIP"));
        assert_eq!(
            error.to_string(),
            "GET http://h/x: no complete answer within 10 s; the device may be overloaded or out of reach; \
             if this stays, check `sources.Fronius.serverIP` and the network"
        );
    }

    #[test]
    fn classes_follow_the_rules_for_sources() {
        let class = |kind| HttpError::new(kind, "GET", String::new(), String::new()).class();
        for (kind, expected) in [
            (Kind::Status(401), Class::Denied),
            (Kind::Status(403), Class::Denied),
            (Kind::Status(429), Class::Wait),
            (Kind::Status(502), Class::Retry),
            (Kind::Status(404), Class::Broken),
            (Kind::Connect, Class::Retry),
            (Kind::Tls, Class::Misconfigured),
            (Kind::NotJson { looks_like_html: true }, Class::Broken),
        ] {
            assert_eq!(class(kind.clone()), expected, "{kind:?}");
        }
    }
}
