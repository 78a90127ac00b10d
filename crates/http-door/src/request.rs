//! What the layer above receives: one complete, checked request.

use std::borrow::Cow;
use std::net::{IpAddr, Ipv4Addr};

use percent_encoding::percent_decode_str;

/// The methods that reach a handler; any other is answered with 501 by the door.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Method {
    /// Read something.
    Get,
    /// As `Get`, but only the head of the answer is wanted. A handler may treat it as `Get`: the door leaves the body out.
    Head,
    /// Do or add something.
    Post,
    /// Store something under this name.
    Put,
    /// Change a part of something.
    Patch,
    /// Remove something.
    Delete,
    /// Ask what is possible (also a browser's question before a foreign page may call).
    Options,
    /// Send back what arrived: known so that a handler can say that it is not done here.
    Trace,
    /// Ask with a body (the QUERY method of HTTP): known for the same reason.
    Query,
}

impl Method {
    /// The method as it is written on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Method::Get => "GET",
            Method::Head => "HEAD",
            Method::Post => "POST",
            Method::Put => "PUT",
            Method::Patch => "PATCH",
            Method::Delete => "DELETE",
            Method::Options => "OPTIONS",
            Method::Trace => "TRACE",
            Method::Query => "QUERY",
        }
    }

    /// The method of this name; names are case-sensitive on the wire.
    pub(crate) fn from_token(token: &str) -> Option<Method> {
        use Method::{Delete, Get, Head, Options, Patch, Post, Put, Query, Trace};
        [Get, Head, Post, Put, Patch, Delete, Options, Trace, Query].into_iter().find(|method| method.as_str() == token)
    }
}

impl std::fmt::Display for Method {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(self.as_str())
    }
}

/// One request: its head has been checked and its body has arrived in full.
#[derive(Debug, Clone)]
pub struct Request {
    /// What is to be done.
    pub method: Method,
    /// The path as it was sent: starts with `/` (or is `*` for `OPTIONS`), percent-encoding untouched, without the query.
    pub path: String,
    /// What followed the first `?`, as it was sent; empty without one.
    pub query: String,
    /// Name and value in the order they came. Names are in lower case; values that are not UTF-8 were read as Latin-1.
    pub headers: Vec<(String, String)>,
    /// The body, already freed of chunked framing. At most `Limits::body` bytes.
    pub body: Vec<u8>,
    /// Who is connected; IPv4 clients on an IPv6 socket are shown as IPv4. Taken from the socket, never from a header:
    /// behind a reverse proxy this is the proxy.
    pub peer: IpAddr,
    /// Whether the request came over the TLS listener.
    pub is_tls: bool,
}

impl Request {
    /// A request as a local client would send it; for the tests of handlers.
    pub fn new(method: Method, target: &str) -> Request {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        Request {
            method,
            path: path.to_owned(),
            query: query.to_owned(),
            headers: Vec::new(),
            body: Vec::new(),
            peer: IpAddr::V4(Ipv4Addr::LOCALHOST),
            is_tls: false,
        }
    }

    /// The same request with one more header.
    #[must_use]
    pub fn with_header(mut self, name: &str, value: &str) -> Request {
        self.headers.push((name.to_ascii_lowercase(), value.to_owned()));
        self
    }

    /// The same request with this body.
    #[must_use]
    pub fn with_body(mut self, body: impl Into<Vec<u8>>) -> Request {
        self.body = body.into();
        self
    }

    /// The first header of this name, in whatever case it is asked for.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(have, _)| have.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// The path with percent-encoding undone. Compare this with names, never with file paths.
    pub fn decoded_path(&self) -> Cow<'_, str> {
        percent_decode_str(&self.path).decode_utf8_lossy()
    }

    /// The query as name and value pairs, decoded, in the order they came.
    pub fn query_pairs(&self) -> Vec<(String, String)> {
        form_pairs(&self.query)
    }

    /// The first value of this name in the query; empty if the name stands alone.
    pub fn query_value(&self, name: &str) -> Option<String> {
        self.query_pairs().into_iter().find(|(have, _)| have == name).map(|(_, value)| value)
    }

    /// The body read as a submitted form (`application/x-www-form-urlencoded`), whatever its declared type.
    pub fn body_form(&self) -> Vec<(String, String)> {
        form_pairs(&String::from_utf8_lossy(&self.body))
    }
}

/// Splits `a=1&b=two+words` into decoded pairs.
fn form_pairs(text: &str) -> Vec<(String, String)> {
    text.split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (form_decode(name), form_decode(value))
        })
        .collect()
}

fn form_decode(text: &str) -> String {
    percent_decode_str(&text.replace('+', " ")).decode_utf8_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_and_queries_are_decoded() {
        let request = Request::new(Method::Post, "/a%20b?x=1&y=two+words%21&lone&&=nameless")
            .with_header("X-Thing", "yes")
            .with_body("limit=80%25&%ff=bad");
        assert_eq!(request.decoded_path(), "/a b");
        assert_eq!(request.query_value("y").as_deref(), Some("two words!"));
        assert_eq!(request.query_value("lone").as_deref(), Some(""));
        assert_eq!(request.query_value("z"), None);
        assert_eq!(request.query_pairs().len(), 4);
        assert_eq!(request.header("x-THING"), Some("yes"));
        assert_eq!(request.body_form()[0], ("limit".into(), "80%".into()));
        assert_eq!(request.body_form()[1].0, "\u{fffd}");
    }

    #[test]
    fn methods_are_case_sensitive() {
        assert_eq!(Method::from_token("PATCH"), Some(Method::Patch));
        assert_eq!(Method::from_token("get"), None);
        assert_eq!(Method::Delete.to_string(), "DELETE");
    }
}
