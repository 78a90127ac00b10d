//! What waits to be written, and the heads of answers, which `tiny_http` prints.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

use tiny_http::{HTTPVersion, Header, StatusCode};

use crate::response::Response;

/// A piece of output; shared and static bytes are never copied.
#[derive(Debug)]
pub(crate) enum Piece {
    Static(&'static [u8]),
    Shared(Arc<[u8]>),
    Owned(Vec<u8>),
}

impl Piece {
    fn bytes(&self) -> &[u8] {
        match self {
            Piece::Static(bytes) => bytes,
            Piece::Shared(bytes) => bytes,
            Piece::Owned(bytes) => bytes,
        }
    }
}

/// Pieces in order, with how much of the first has gone out.
#[derive(Debug, Default)]
pub(crate) struct Output {
    pieces: VecDeque<Piece>,
    written: usize,
}

impl Output {
    pub(crate) fn push(&mut self, piece: Piece) {
        if !piece.bytes().is_empty() {
            self.pieces.push_back(piece);
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    pub(crate) fn clear(&mut self) {
        *self = Output::default();
    }

    /// What could be written next, for one gathering write; at most `slices.len()` pieces.
    pub(crate) fn gather<'a>(&'a self, slices: &mut [io::IoSlice<'a>]) -> usize {
        let mut count = 0;
        for (slot, piece) in slices.iter_mut().zip(&self.pieces) {
            let skip = if count == 0 { self.written } else { 0 };
            *slot = io::IoSlice::new(piece.bytes().get(skip..).unwrap_or_default());
            count += 1;
        }
        count
    }

    /// So many bytes have gone out.
    pub(crate) fn advance(&mut self, mut count: usize) {
        while let Some(first) = self.pieces.front() {
            let left = first.bytes().len() - self.written;
            if count < left {
                self.written += count;
                return;
            }
            count -= left;
            self.written = 0;
            self.pieces.pop_front();
        }
        // Big bursts should not keep their queue for ever.
        if self.pieces.capacity() > 64 {
            self.pieces = VecDeque::new();
        }
    }
}

/// How the end of an answer's body is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BodyEnd {
    /// `Content-Length`.
    Length(usize),
    /// No body and no length: 204 and 304.
    None,
    /// Chunks.
    Chunked,
    /// The end of the connection, for HTTP/1.0 clients of an event stream.
    Close,
}

/// A header of the answer that cannot be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BadHeader(pub(crate) String);

/// The head of an answer in bytes.
pub(crate) fn head(response: &Response, end: BodyEnd, is_http_1_0: bool, is_last: bool) -> Result<Vec<u8>, BadHeader> {
    let mut headers = Vec::with_capacity(response.headers.len() + 1);
    // The engine would otherwise name itself and its version.
    headers.extend(Header::from_bytes(&b"Server"[..], &b"twcmanager"[..]));
    for (name, value) in &response.headers {
        // The engine would believe it.
        if name.eq_ignore_ascii_case("content-length") {
            continue;
        }
        headers.push(checked_header(name, value)?);
    }
    let version = HTTPVersion(1, u8::from(!is_http_1_0));
    let length = match end {
        BodyEnd::Length(length) => Some(length),
        BodyEnd::None => Some(0),
        BodyEnd::Chunked | BodyEnd::Close => None,
    };
    let printed = tiny_http::Response::new(StatusCode(response.status), headers, io::empty(), length, None)
        // Only an unknown length makes it choose chunks.
        .with_chunked_threshold(usize::MAX);
    let mut bytes = Vec::with_capacity(256);
    printed.raw_print(&mut bytes, version, &[], true, None).map_err(|error| BadHeader(error.to_string()))?;

    // The engine has no say over the connection and always prints a length last; both are mended here.
    bytes.truncate(bytes.len() - b"\r\n".len());
    if matches!(end, BodyEnd::None | BodyEnd::Close) && bytes.ends_with(NO_LENGTH) {
        bytes.truncate(bytes.len() - NO_LENGTH.len());
    }
    if is_last {
        bytes.extend_from_slice(b"Connection: close\r\n");
    }
    bytes.extend_from_slice(b"\r\n");
    Ok(bytes)
}

const NO_LENGTH: &[u8] = b"Content-Length: 0\r\n";

/// The engine accepts line breaks in header values (CVE-2026-66753) and passes them on, so they are refused here.
fn checked_header(name: &str, value: &str) -> Result<Header, BadHeader> {
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if name.is_empty()
        || !name.bytes().all(is_token)
        || !value.bytes().all(|byte| byte == b'\t' || (b' '..=b'~').contains(&byte))
    {
        return Err(BadHeader(name.escape_debug().to_string()));
    }
    Header::from_bytes(name, value).map_err(|()| BadHeader(name.escape_debug().to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn printed(response: &Response, end: BodyEnd, is_http_1_0: bool, is_last: bool) -> String {
        let bytes = head(response, end, is_http_1_0, is_last).expect("good headers");
        let text = String::from_utf8(bytes).expect("ASCII");
        // The date changes.
        text.split_inclusive("\r\n").filter(|line| !line.starts_with("Date: ")).collect()
    }

    #[test]
    fn heads() {
        let ok = Response::text(200, "abc");
        assert_eq!(
            printed(&ok, BodyEnd::Length(3), false, false),
            "HTTP/1.1 200 OK\r\nServer: twcmanager\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 3\r\n\r\n"
        );
        assert_eq!(
            printed(&Response::new(204), BodyEnd::None, false, true),
            "HTTP/1.1 204 No Content\r\nServer: twcmanager\r\nConnection: close\r\n\r\n"
        );
        assert_eq!(
            printed(&Response::new(200), BodyEnd::Chunked, false, false),
            "HTTP/1.1 200 OK\r\nServer: twcmanager\r\nTransfer-Encoding: chunked\r\n\r\n"
        );
        assert_eq!(
            printed(&Response::new(200), BodyEnd::Close, true, true),
            "HTTP/1.0 200 OK\r\nServer: twcmanager\r\nConnection: close\r\n\r\n"
        );
    }

    #[test]
    fn framing_headers_of_the_handler_are_ignored() {
        let response = Response::new(200)
            .with_header("Connection", "keep-alive")
            .with_header("transfer-encoding", "gzip")
            .with_header("content-length", "77");
        assert_eq!(
            printed(&response, BodyEnd::Length(0), false, true),
            "HTTP/1.1 200 OK\r\nServer: twcmanager\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        );
    }

    #[test]
    fn split_answers_are_never_printed() {
        for (name, value) in [
            ("Location", "/x\r\nSet-Cookie: a=b"),
            ("Location", "/x\ny"),
            ("Location", "/x\ry"),
            ("X", "a\0b"),
            ("X", "ä"),
            ("X\r\nY", "a"),
            ("X Y", "a"),
            ("", "a"),
        ] {
            let response = Response::new(302).with_header(name, value);
            assert!(head(&response, BodyEnd::Length(0), false, false).is_err(), "{name:?}: {value:?}");
        }
    }

    #[test]
    fn output_goes_out_in_order_whatever_the_socket_takes() {
        for step in 1..12 {
            let mut output = Output::default();
            output.push(Piece::Owned(b"abc".to_vec()));
            output.push(Piece::Static(b""));
            output.push(Piece::Static(b"defg"));
            output.push(Piece::Shared(Arc::from(&b"hi"[..])));
            let mut seen: Vec<u8> = Vec::new();
            while !output.is_empty() {
                let mut slices = [io::IoSlice::new(&[]); 2];
                let count = output.gather(&mut slices);
                let offered: Vec<u8> = slices[..count].iter().flat_map(|s| s.to_vec()).collect();
                let taken = step.min(offered.len());
                seen.extend(&offered[..taken]);
                output.advance(taken);
            }
            assert_eq!(seen.as_slice(), b"abcdefghi");
        }
    }
}
