//! What the layer above answers with.

use std::borrow::Cow;
use std::sync::Arc;

use crate::events::EventStream;

/// The body of an answer. Shared and static bytes are sent without being copied.
#[derive(Debug)]
pub enum Body {
    /// Nothing.
    Empty,
    /// Bytes built into the program, such as the page's files.
    Static(&'static [u8]),
    /// Bytes that several answers share, such as a snapshot rendered once.
    Shared(Arc<[u8]>),
    /// Bytes of this answer alone.
    Owned(Vec<u8>),
    /// Server-sent events; the connection stays open until the sender is dropped, the client leaves or the server ends.
    Events(EventStream),
}

impl From<Vec<u8>> for Body {
    fn from(bytes: Vec<u8>) -> Body {
        Body::Owned(bytes)
    }
}

impl From<String> for Body {
    fn from(text: String) -> Body {
        Body::Owned(text.into_bytes())
    }
}

impl From<&'static [u8]> for Body {
    fn from(bytes: &'static [u8]) -> Body {
        Body::Static(bytes)
    }
}

impl From<&'static str> for Body {
    fn from(text: &'static str) -> Body {
        Body::Static(text.as_bytes())
    }
}

impl From<Arc<[u8]>> for Body {
    fn from(bytes: Arc<[u8]>) -> Body {
        Body::Shared(bytes)
    }
}

/// One answer. The door adds `Date`, `Server`, `Content-Length` and `Connection` itself and ignores attempts to set them.
#[derive(Debug)]
pub struct Response {
    /// The status code, 200 to 599.
    pub status: u16,
    /// Name and value. A line break or another control character in either turns the whole answer into a 500 and a log
    /// line that names the header: a split answer is never sent.
    pub headers: Vec<(Cow<'static, str>, Cow<'static, str>)>,
    /// What follows the head.
    pub body: Body,
}

impl Response {
    /// An answer without headers and body.
    pub fn new(status: u16) -> Response {
        Response { status, headers: Vec::new(), body: Body::Empty }
    }

    /// An answer of this content type.
    pub fn with_content(status: u16, content_type: impl Into<Cow<'static, str>>, body: impl Into<Body>) -> Response {
        Response { status, headers: vec![(Cow::Borrowed("Content-Type"), content_type.into())], body: body.into() }
    }

    /// Plain text in UTF-8.
    pub fn text(status: u16, text: impl Into<Body>) -> Response {
        Response::with_content(status, "text/plain; charset=utf-8", text)
    }

    /// JSON that is already rendered.
    pub fn json(status: u16, json: impl Into<Body>) -> Response {
        Response::with_content(status, "application/json", json)
    }

    /// `{"error": "…"}`: the one shape of every error. The text says what to do next.
    pub fn error(status: u16, text: &str) -> Response {
        let json = format!("{{\"error\":{}}}", serde_json::Value::from(text));
        Response::json(status, json).with_header("Cache-Control", "no-store")
    }

    /// A stream of server-sent events; see [`crate::EventHub`] and [`EventStream::channel`].
    pub fn events(stream: EventStream) -> Response {
        Response::with_content(200, "text/event-stream", Body::Events(stream))
            .with_header("Cache-Control", "no-store")
            .with_header("X-Accel-Buffering", "no")
    }

    /// The same answer with one more header.
    #[must_use]
    pub fn with_header(mut self, name: impl Into<Cow<'static, str>>, value: impl Into<Cow<'static, str>>) -> Response {
        self.headers.push((name.into(), value.into()));
        self
    }
}

impl From<EventStream> for Body {
    fn from(stream: EventStream) -> Body {
        Body::Events(stream)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_json_whatever_the_text_holds() {
        let response = Response::error(400, "say \"yes\"\nor no");
        let Body::Owned(bytes) = response.body else { panic!("an owned body") };
        let value: serde_json::Value = serde_json::from_slice(&bytes).expect("valid JSON");
        assert_eq!(value["error"], "say \"yes\"\nor no");
    }
}
