//! A request while it is put together.

use crate::client::Client;
use crate::error::HttpError;
use crate::response::Response;
use crate::url;
use serde_json::Value;
use std::time::Duration;

/// A request; made by [`Client::get`] and its siblings, sent by [`Self::send`].
#[must_use = "a request does nothing until it is sent"]
pub struct Request<'c> {
    pub(crate) client: &'c Client,
    pub(crate) method: &'static str,
    /// Path and query, not yet encoded where that is needed.
    pub(crate) target: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Option<(&'static str, Vec<u8>)>,
    pub(crate) total: Option<Duration>,
    pub(crate) anonymous: bool,
}

impl<'c> Request<'c> {
    pub(crate) fn new(client: &'c Client, method: &'static str, target: &str) -> Self {
        let target = target.to_owned();
        Self { client, method, target, headers: Vec::new(), body: None, total: None, anonymous: false }
    }

    /// Adds a query parameter, encoded.
    pub fn query(mut self, name: &str, value: &str) -> Self {
        let mark = if self.target.contains('?') { '&' } else { '?' };
        self.target.push_str(&format!("{mark}{}={}", url::encode(name), url::encode(value)));
        self
    }

    /// Adds a header; one that can't be sent (a line break in it) makes [`Self::send`] fail.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Sends JSON.
    pub fn json(self, value: &Value) -> Self {
        self.raw("application/json", value.to_string())
    }

    /// Sends a form (`application/x-www-form-urlencoded`).
    pub fn form(self, pairs: &[(&str, &str)]) -> Self {
        self.raw("application/x-www-form-urlencoded", url::pairs(pairs))
    }

    /// Sends a body as it is.
    pub fn raw(mut self, content_type: &'static str, body: impl Into<Vec<u8>>) -> Self {
        self.body = Some((content_type, body.into()));
        self
    }

    /// Another total time-out for this request.
    pub fn timeout(mut self, total: Duration) -> Self {
        self.total = Some(total);
        self
    }

    /// Without the client's log-in, as for the log-in request itself.
    pub fn anonymous(mut self) -> Self {
        self.anonymous = true;
        self
    }

    /// Sends, waits and reads the whole answer, whatever its status.
    ///
    /// # Errors
    ///
    /// Any [`Kind`](crate::Kind) but `Status`, `Empty` and `NotJson`.
    pub fn send(self) -> Result<Response, HttpError> {
        self.client.send(self)
    }

    /// Sends, and takes a status other than 2xx for an error.
    ///
    /// # Errors
    ///
    /// As [`Self::send`] and [`Response::ok`].
    pub fn send_ok(self) -> Result<Response, HttpError> {
        self.send()?.ok()
    }

    /// Sends, and reads JSON from a good answer.
    ///
    /// # Errors
    ///
    /// As [`Self::send_ok`] and [`Response::json`].
    pub fn send_json(self) -> Result<Value, HttpError> {
        self.send_ok()?.json()
    }
}
