//! The head of a request: from bytes to a checked [`Head`]. Pure; any bytes give a head, "not yet" or a [`Reject`].
//!
//! `httparse` splits the lines; what it lets through and a second reader could understand differently is refused here:
//! lines that end with LF alone, two framings, two lengths, lengths that are not plain digits, doubled hosts.

use std::borrow::Cow;

use crate::reject::Reject;
use crate::request::Method;
use crate::settings::Limits;

/// First byte of a TLS handshake record (RFC 8446, 5.1); no request begins with it.
const TLS_HANDSHAKE: u8 = 0x16;

/// How the body is delimited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Framing {
    /// So many bytes follow; 0 without a body.
    Length(usize),
    Chunked,
}

/// A checked head.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) query: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) is_http_1_0: bool,
    pub(crate) wants_keep_alive: bool,
    pub(crate) expects_continue: bool,
    pub(crate) framing: Framing,
}

/// Looks for the empty line that ends a head, from `scanned` on (where the last look ended), and refuses at the first
/// byte that no head can hold. Returns the length of the head, empty line included.
pub(crate) fn find_end(bytes: &[u8], scanned: usize, limits: &Limits) -> Result<Option<usize>, Reject> {
    if bytes.first() == Some(&TLS_HANDSHAKE) {
        return Err(Reject::TlsOnPlainPort);
    }
    let mut before = match scanned.checked_sub(1) {
        Some(last) => bytes.get(last).copied().unwrap_or(0),
        None => 0,
    };
    for (at, &byte) in bytes.iter().enumerate().skip(scanned) {
        match (before, byte) {
            (b'\r', b'\n') => {
                let end = at + 1;
                if bytes.get(..end).is_some_and(|head| head.ends_with(b"\r\n\r\n")) {
                    return if end > limits.head { Err(too_large(bytes)) } else { Ok(Some(end)) };
                }
            }
            (_, b'\n') => return Err(Reject::BareLineFeed),
            (b'\r', _) => return Err(Reject::BareCarriageReturn),
            (_, b'\t' | b'\r') => {}
            (_, 0..=0x1f | 0x7f) => return Err(Reject::ControlCharacter),
            _ => {}
        }
        before = byte;
    }
    if bytes.len() > limits.head {
        return Err(too_large(bytes));
    }
    Ok(None)
}

fn too_large(bytes: &[u8]) -> Reject {
    if bytes.contains(&b'\n') { Reject::HeadTooLarge } else { Reject::TargetTooLong }
}

/// Reads a whole head, as delimited by [`find_end`].
pub(crate) fn parse(head: &[u8], limits: &Limits) -> Result<Head, Reject> {
    let mut slots = vec![httparse::EMPTY_HEADER; limits.headers];
    let mut parsed = httparse::Request::new(&mut slots);
    match parsed.parse(head) {
        Ok(httparse::Status::Complete(length)) if length == head.len() => {}
        // An empty line inside what was taken for one head, or none at its end.
        Ok(_) => return Err(Reject::BadRequestLine),
        Err(httparse::Error::TooManyHeaders) => return Err(Reject::TooManyHeaders),
        Err(httparse::Error::Version) => return Err(version_fault(head)),
        Err(httparse::Error::HeaderName | httparse::Error::HeaderValue) => {
            return Err(Reject::BadHeaderLine);
        }
        Err(_) => return Err(Reject::BadRequestLine),
    }
    let (Some(method), Some(target), Some(minor)) = (parsed.method, parsed.path, parsed.version) else {
        return Err(Reject::BadRequestLine);
    };
    let is_http_1_0 = minor == 0;
    let method = Method::from_token(method).ok_or(Reject::MethodUnknown)?;
    let headers = parsed.headers;

    let authority_in_target = check_target(method, target)?;
    check_host(headers, is_http_1_0)?;
    let framing = framing(headers, is_http_1_0, limits)?;
    let expects_continue = expectation(headers)? && !is_http_1_0;
    let wants_keep_alive = keep_alive(headers, is_http_1_0);

    let (path, query) = match authority_in_target {
        Some((_, rest)) => split_query(rest),
        None => split_query(target),
    };
    let mut headers: Vec<(String, String)> =
        headers.iter().map(|header| (header.name.to_ascii_lowercase(), text(header.value))).collect();
    if let Some((authority, _)) = authority_in_target {
        // RFC 9112, 3.2.2: the authority of an absolute target replaces the Host header.
        headers.retain(|(name, _)| name != "host");
        headers.push(("host".to_owned(), authority.to_owned()));
    }
    Ok(Head {
        method,
        path: if path.is_empty() { "/" } else { path }.to_owned(),
        query: query.to_owned(),
        headers,
        is_http_1_0,
        wants_keep_alive,
        expects_continue,
        framing,
    })
}

fn first_line(head: &[u8]) -> &[u8] {
    head.split(|&byte| byte == b'\r').next().unwrap_or(head)
}

/// Another version of HTTP, or not HTTP at all?
fn version_fault(head: &[u8]) -> Reject {
    let mut words = first_line(head).split(|&byte| byte == b' ').skip(2);
    match (words.next(), words.next()) {
        (Some(version), None) if version.starts_with(b"HTTP/") => Reject::VersionUnknown,
        _ => Reject::BadRequestLine,
    }
}

/// Checks the target; for `http://host/path` returns the host and the path.
fn check_target(method: Method, target: &str) -> Result<Option<(&str, &str)>, Reject> {
    if !target.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(Reject::BadTarget);
    }
    if target.starts_with('/') || (target == "*" && method == Method::Options) {
        return Ok(None);
    }
    for scheme in ["http://", "https://"] {
        let Some((start, rest)) = target.split_at_checked(scheme.len()) else {
            continue;
        };
        if start.eq_ignore_ascii_case(scheme) {
            let end = rest.find(['/', '?']).unwrap_or(rest.len());
            let (authority, rest) = rest.split_at(end);
            if !is_host(authority.as_bytes()) || authority.is_empty() {
                return Err(Reject::BadTarget);
            }
            return Ok(Some((authority, rest)));
        }
    }
    Err(Reject::BadTarget)
}

fn split_query(target: &str) -> (&str, &str) {
    target.split_once('?').unwrap_or((target, ""))
}

/// Host name or address with an optional port: no user, no path, no space.
fn is_host(value: &[u8]) -> bool {
    value.iter().all(|&byte| byte.is_ascii_alphanumeric() || b"-._~%:[]".contains(&byte))
}

fn values<'a>(headers: &'a [httparse::Header<'a>], name: &'a str) -> impl Iterator<Item = &'a [u8]> + 'a {
    headers.iter().filter(move |header| header.name.eq_ignore_ascii_case(name)).map(|header| header.value)
}

fn check_host(headers: &[httparse::Header<'_>], is_http_1_0: bool) -> Result<(), Reject> {
    let mut hosts = values(headers, "host");
    match (hosts.next(), hosts.next()) {
        (Some(host), None) if is_host(host) => Ok(()),
        (None, _) if is_http_1_0 => Ok(()),
        _ => Err(Reject::BadHost),
    }
}

fn framing(headers: &[httparse::Header<'_>], is_http_1_0: bool, limits: &Limits) -> Result<Framing, Reject> {
    let mut encodings = values(headers, "transfer-encoding");
    let mut lengths = values(headers, "content-length");
    let encoding = encodings.next();
    let length = lengths.next();
    if encoding.is_some() && length.is_some() {
        return Err(Reject::BothFramings);
    }
    if lengths.next().is_some() {
        return Err(Reject::RepeatedLength);
    }
    if let Some(encoding) = encoding {
        if is_http_1_0 {
            return Err(Reject::ChunkedInOldVersion);
        }
        if encodings.next().is_some() || !encoding.eq_ignore_ascii_case(b"chunked") {
            return Err(Reject::EncodingUnknown);
        }
        return Ok(Framing::Chunked);
    }
    let Some(length) = length else {
        return Ok(Framing::Length(0));
    };
    if length.is_empty() || !length.iter().all(u8::is_ascii_digit) {
        return Err(Reject::BadLength);
    }
    // Plain digits that do not fit a usize are merely too many bytes.
    let length = std::str::from_utf8(length)
        .ok()
        .and_then(|digits| digits.parse::<usize>().ok())
        .filter(|&length| length <= limits.body)
        .ok_or(Reject::BodyTooLarge)?;
    Ok(Framing::Length(length))
}

fn expectation(headers: &[httparse::Header<'_>]) -> Result<bool, Reject> {
    let mut expects = false;
    for value in values(headers, "expect") {
        if !value.eq_ignore_ascii_case(b"100-continue") {
            return Err(Reject::ExpectationUnknown);
        }
        expects = true;
    }
    Ok(expects)
}

fn keep_alive(headers: &[httparse::Header<'_>], is_http_1_0: bool) -> bool {
    // HTTP/1.0 connections are always closed: its keep-alive was never written down well.
    !is_http_1_0
        && !values(headers, "connection")
            .flat_map(|value| value.split(|&byte| byte == b','))
            .any(|option| option.trim_ascii().eq_ignore_ascii_case(b"close"))
}

/// UTF-8 if it is that, else Latin-1, which every byte is.
fn text(value: &[u8]) -> String {
    match String::from_utf8_lossy(value) {
        Cow::Borrowed(text) => text.to_owned(),
        Cow::Owned(_) => value.iter().map(|&byte| char::from(byte)).collect(),
    }
}

#[cfg(test)]
#[path = "head_tests.rs"]
mod tests;
