//! An answer.

use crate::error::{HttpError, Kind};
use crate::json;
use crate::secrets::Redactor;
use serde_json::Value;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// Longest pause that a server may ask for; anything longer is cut to it.
const LONGEST_PAUSE: Duration = Duration::from_secs(86_400);

/// What an answer's errors need to know of its request.
#[derive(Clone)]
pub(crate) struct Origin {
    pub(crate) method: String,
    /// Without secrets.
    pub(crate) url: String,
    pub(crate) config_key: Option<String>,
    pub(crate) redactor: Arc<Redactor>,
}

impl Origin {
    pub(crate) fn error(&self, kind: Kind, detail: &str) -> HttpError {
        HttpError::new(kind, &self.method, self.url.clone(), self.redactor.text(detail))
            .with_config_key(self.config_key.as_deref())
    }
}

/// An answer with its whole body, whatever its status.
#[derive(Clone)]
pub struct Response {
    pub(crate) status: u16,
    /// Names in lower case.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    pub(crate) origin: Origin,
    pub(crate) taken_at: SystemTime,
}

impl Response {
    /// The status code.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// Whether the status is 2xx.
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// The first header of that name, in any case of letters.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers_named(name).next()
    }

    /// All headers of that name.
    pub fn headers_named<'s>(&'s self, name: &str) -> impl Iterator<Item = &'s str> + use<'s> {
        let name = name.to_ascii_lowercase();
        self.headers.iter().filter(move |(key, _)| *key == name).map(|(_, value)| value.as_str())
    }

    /// The content type; empty if there is none.
    pub fn content_type(&self) -> &str {
        self.header("content-type").unwrap_or_default()
    }

    /// The body as it came (unpacked, if it was compressed).
    pub fn bytes(&self) -> &[u8] {
        &self.body
    }

    /// The body as text: by byte order mark, else UTF-8, else Latin-1.
    pub fn text(&self) -> String {
        json::text(&self.body)
    }

    /// Whether the body is a web page.
    pub fn looks_like_html(&self) -> bool {
        json::looks_like_html(&self.text())
    }

    /// How long the server asks to be left alone (`Retry-After`), at most a day.
    pub fn retry_after(&self) -> Option<Duration> {
        parse_retry_after(self.header("retry-after")?, self.taken_at)
    }

    /// The answer, if its status is 2xx.
    ///
    /// # Errors
    ///
    /// [`Kind::Redirected`] for 3xx, [`Kind::Status`] for the rest, with the start of what the device said.
    pub fn ok(self) -> Result<Self, HttpError> {
        if self.is_success() {
            return Ok(self);
        }
        let pause = self.retry_after();
        if let (300..=399, Some(to)) = (self.status, self.header("location")) {
            let to = self.origin.redactor.url(to);
            return Err(self.origin.error(Kind::Redirected { to }, ""));
        }
        let text = self.text();
        let detail =
            if json::looks_like_html(&text) { String::new() } else { json::excerpt(&self.origin.redactor.body(&text)) };
        Err(self.origin.error(Kind::Status(self.status), &detail).with_retry_after(pause))
    }

    /// The body as JSON, whatever the status and the content type.
    ///
    /// # Errors
    ///
    /// [`Kind::Empty`], [`Kind::Truncated`], [`Kind::NotJson`].
    pub fn json(&self) -> Result<Value, HttpError> {
        json::json(&self.body).map_err(|(kind, detail)| self.origin.error(kind, &detail))
    }
}

impl std::fmt::Debug for Response {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Response({} {} -> {}, {} bytes)", self.origin.method, self.origin.url, self.status, self.body.len())
    }
}

fn parse_retry_after(text: &str, now: SystemTime) -> Option<Duration> {
    let text = text.trim();
    let pause = match text.parse::<u64>() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => httpdate::parse_http_date(text).ok()?.duration_since(now).unwrap_or(Duration::ZERO),
    };
    Some(pause.min(LONGEST_PAUSE))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn retry_after_as_seconds_and_as_date() {
        let now = httpdate::parse_http_date("Sun, 06 Nov 1994 08:49:00 GMT").unwrap();
        let pause = |text| parse_retry_after(text, now);
        assert_eq!(pause(" 120 "), Some(Duration::from_secs(120)));
        assert_eq!(pause("Sun, 06 Nov 1994 08:49:37 GMT"), Some(Duration::from_secs(37)));
        assert_eq!(pause("Sat, 06 Nov 1993 08:49:37 GMT"), Some(Duration::ZERO));
        assert_eq!(pause("99999999999"), Some(LONGEST_PAUSE));
        assert_eq!(pause("soon"), None);
    }

    proptest! {
        #[test]
        fn any_pause_is_read_or_ignored(text in ".{0,30}") {
            let _ = parse_retry_after(&text, SystemTime::UNIX_EPOCH);
        }
    }
}
