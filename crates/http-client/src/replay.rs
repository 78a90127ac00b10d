//! Answers from a recording, without network.

use crate::record::Recorder;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

/// Where a client's answers come from. Drivers pass it on from their factory to [`ClientBuilder`](crate::ClientBuilder).
#[derive(Clone, Default)]
#[non_exhaustive]
pub enum Transport {
    /// From the device.
    #[default]
    Live,
    /// From the device, and the recorder is told.
    Record(Arc<dyn Recorder>),
    /// From a recording.
    Replay(Arc<Replay>),
}

impl fmt::Debug for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Live => "Live",
            Self::Record(_) => "Record",
            Self::Replay(_) => "Replay",
        })
    }
}

/// One recorded answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recorded {
    /// `GET`, `POST`, …
    pub method: String,
    /// Path and query, secrets replaced by stars.
    pub target: String,
    /// The request's body; answers only the same one if it is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_body: Option<String>,
    /// The status code.
    pub status: u16,
    /// The answer's content type.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub content_type: String,
    /// The answer's `Location`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub location: Option<String>,
    /// The answer's body as text.
    #[serde(default)]
    pub body: String,
    /// The answer's body in base64, if it is not UTF-8.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body_base64: Option<String>,
}

impl Recorded {
    /// A good JSON answer to a `GET`, for tests of drivers.
    pub fn get(target: &str, body: &str) -> Self {
        Self {
            method: "GET".into(),
            target: target.into(),
            request_body: None,
            status: 200,
            content_type: "application/json".into(),
            location: None,
            body: body.into(),
            body_base64: None,
        }
    }

    /// The same with another status.
    pub fn with_status(mut self, status: u16) -> Self {
        self.status = status;
        self
    }

    /// The same for another method.
    pub fn with_method(mut self, method: &str) -> Self {
        self.method = method.into();
        self
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        match &self.body_base64 {
            Some(text) => STANDARD.decode(text).unwrap_or_default(),
            None => self.body.clone().into_bytes(),
        }
    }
}

/// A line of a recording that can't be read.
#[derive(Debug, thiserror::Error)]
#[error("line {line} of the recording can't be read: {source}; make a new recording, or remove that line")]
pub struct BadRecording {
    line: usize,
    source: serde_json::Error,
}

/// Recorded answers by method, path and query. Several answers to one request come in their order; the last one stays.
#[derive(Debug, Default)]
pub struct Replay {
    entries: Vec<Recorded>,
    /// How often each request has been answered.
    served: Mutex<HashMap<String, usize>>,
}

impl Replay {
    /// From answers at hand.
    pub fn new(entries: Vec<Recorded>) -> Self {
        Self { entries, served: Mutex::default() }
    }

    /// From what [`JsonLines`](crate::JsonLines) wrote; empty lines are skipped.
    ///
    /// # Errors
    ///
    /// The line that can't be read.
    pub fn from_json_lines(text: &str) -> Result<Self, BadRecording> {
        let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
        let entries: Result<Vec<Recorded>, BadRecording> = lines
            .map(|(at, line)| serde_json::from_str(line).map_err(|source| BadRecording { line: at + 1, source }))
            .collect();
        Ok(Self::new(entries?))
    }

    /// The next answer to a request, secrets already replaced in `target` and `body`.
    pub(crate) fn answer(&self, method: &str, target: &str, body: Option<&str>) -> Option<&Recorded> {
        let fits = |entry: &&Recorded| {
            entry.method == method
                && entry.target == target
                && entry.request_body.as_deref().is_none_or(|wanted| Some(wanted) == body)
        };
        let key = format!("{method} {target} {}", body.unwrap_or_default());
        let mut served = self.served.lock().unwrap_or_else(PoisonError::into_inner);
        let count = served.entry(key).or_default();
        let answer = self.entries.iter().filter(fits).nth(*count);
        match answer {
            Some(_) => *count += 1,
            None => return self.entries.iter().rfind(fits),
        }
        answer
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn answers_come_in_order_and_the_last_stays() {
        let replay = Replay::new(vec![
            Recorded::get("/a", "1"),
            Recorded::get("/a", "2").with_status(503),
            Recorded { request_body: Some("x".into()), ..Recorded::get("/a", "3").with_method("POST") },
        ]);
        let body = |method, target, sent| replay.answer(method, target, sent).map(|r| r.body.as_str());
        assert_eq!(body("GET", "/a", None), Some("1"));
        assert_eq!(body("GET", "/a", None), Some("2"));
        assert_eq!(body("GET", "/a", None), Some("2"));
        assert_eq!(body("POST", "/a", Some("y")), None);
        assert_eq!(body("POST", "/a", Some("x")), Some("3"));
        assert_eq!(body("GET", "/b", None), None);
    }

    #[test]
    fn a_broken_line_is_named() {
        let text = "{\"method\":\"GET\",\"target\":\"/\",\"status\":200}\n\n{nope";
        assert!(Replay::from_json_lines(text).unwrap_err().to_string().starts_with("line 3 "));
    }

    proptest! {
        #[test]
        fn any_recording_is_read_or_refused(text in ".{0,60}") {
            let _ = Replay::from_json_lines(&text);
        }
    }
}
