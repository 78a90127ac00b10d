//! One connection, without its socket: a state machine fed with bytes, answers and the time.
//!
//! | family | calls |
//! |---|---|
//! | feed | [`Session::feed`], [`Session::handle_peer_end`], [`Session::answer`], [`Session::handle_written`], [`Session::pump`], [`Session::end`] |
//! | time | [`Session::next_timeout`], [`Session::handle_timeout`] |
//! | drain | [`Session::take_request`], [`Session::output`] |
//! | look | [`Session::wants_input`], [`Session::wants_end`], [`Session::is_closed`], [`Session::standing`] |
//!
//! At most one request is on its way at a time; what a client pipelines behind it waits, first in `input`, then in
//! the kernel.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use crate::body::BodyReader;
use crate::events::{EventStream, Pull};
use crate::head::{self, Head};
use crate::output::{self, BodyEnd, Output, Piece};
use crate::reject::Reject;
use crate::request::{Method, Request};
use crate::response::{Body, Response};
use crate::rules::{BodyShare, Rules};

/// What a client may still send after it was refused, in bytes, before it is cut off. Enough for a 10 MB upload to end
/// and its sender to read the reason.
const LINGER_BYTES: usize = 16 * 1024 * 1024;

/// What a client may send into its own event stream before it is cut off.
const STREAM_INPUT: usize = 64 * 1024;

/// How much a connection matters when room is needed, least first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Standing {
    /// Answered for the last time, waiting for the client to leave.
    Leaving,
    /// Kept alive, between requests.
    Idle,
    /// Has not sent a whole head.
    Arriving,
    /// Has sent a head but not the whole body.
    Receiving,
    /// Was answered and does not take the answer as fast as it comes.
    Sending,
    /// An event stream.
    Streaming,
    /// A request is being answered.
    Busy,
}

/// What is to be remembered of the request while it is being answered.
#[derive(Debug, Clone, Copy)]
struct Exchange {
    is_http_1_0: bool,
    keep_alive: bool,
    is_head: bool,
}

#[derive(Debug)]
enum Phase {
    Head {
        deadline: Instant,
        /// Bytes of `input` that were looked at without finding the end.
        scanned: usize,
        /// Nothing of the next request has arrived.
        is_untouched: bool,
        is_first: bool,
    },
    Body {
        head: Box<Head>,
        reader: BodyReader,
        share: BodyShare,
        deadline: Instant,
    },
    Answering {
        exchange: Exchange,
        /// Held until the handler is done with the body.
        _share: BodyShare,
        deadline: Instant,
    },
    Writing {
        deadline: Instant,
        is_last: bool,
    },
    Streaming {
        stream: EventStream,
        is_chunked: bool,
        /// Runs while something waits to be written.
        deadline: Option<Instant>,
        is_last: bool,
        input_seen: usize,
    },
    Lingering {
        deadline: Instant,
        left: usize,
    },
    Closed,
}

/// One connection's protocol state.
#[derive(Debug)]
pub(crate) struct Session {
    rules: Arc<Rules>,
    peer: IpAddr,
    is_tls: bool,
    phase: Phase,
    input: Vec<u8>,
    output: Output,
    request: Option<Request>,
    has_peer_ended: bool,
    is_ending: bool,
}

impl Session {
    /// A connection that was just accepted.
    pub(crate) fn new(rules: Arc<Rules>, peer: IpAddr, is_tls: bool, now: Instant) -> Session {
        let deadline = now + rules.limits.head_time;
        Session {
            rules,
            peer,
            is_tls,
            phase: Phase::Head { deadline, scanned: 0, is_untouched: true, is_first: true },
            input: Vec::new(),
            output: Output::default(),
            request: None,
            has_peer_ended: false,
            is_ending: false,
        }
    }

    // Feed.

    /// Bytes have arrived.
    pub(crate) fn feed(&mut self, now: Instant, bytes: &[u8]) {
        match &mut self.phase {
            Phase::Lingering { left, .. } => {
                *left = left.saturating_sub(bytes.len());
                if *left == 0 {
                    self.close();
                }
            }
            Phase::Streaming { input_seen, .. } => {
                *input_seen += bytes.len();
                if *input_seen > STREAM_INPUT {
                    self.close();
                }
            }
            Phase::Closed => {}
            _ => {
                self.input.extend_from_slice(bytes);
                self.advance(now);
            }
        }
    }

    /// The client has sent all it will ever send; it may still read.
    pub(crate) fn handle_peer_end(&mut self, now: Instant) {
        self.has_peer_ended = true;
        match &self.phase {
            Phase::Body { .. } => self.refuse(now, Reject::BodyCutShort),
            Phase::Head { .. } | Phase::Lingering { .. } | Phase::Streaming { .. } => self.close(),
            Phase::Answering { .. } | Phase::Writing { .. } | Phase::Closed => {}
        }
    }

    /// The connection is beyond use.
    pub(crate) fn handle_broken(&mut self) {
        self.close();
    }

    /// The handler has answered. Ignored unless an answer is awaited.
    pub(crate) fn answer(&mut self, now: Instant, response: Response) {
        let Phase::Answering { exchange, .. } = self.phase else {
            return;
        };
        if !(200..600).contains(&response.status) {
            log::error!("a handler answered with status {}", response.status);
            return self.refuse(now, Reject::HandlerFailed);
        }
        let is_stream = matches!(response.body, Body::Events(_));
        let is_last = !exchange.keep_alive || self.has_peer_ended || self.is_ending || is_stream;
        let end = match &response.body {
            Body::Events(_) if exchange.is_http_1_0 => BodyEnd::Close,
            Body::Events(_) => BodyEnd::Chunked,
            _ if matches!(response.status, 204 | 304) => BodyEnd::None,
            Body::Empty => BodyEnd::Length(0),
            Body::Static(bytes) => BodyEnd::Length(bytes.len()),
            Body::Shared(bytes) => BodyEnd::Length(bytes.len()),
            Body::Owned(bytes) => BodyEnd::Length(bytes.len()),
        };
        match output::head(&response, end, exchange.is_http_1_0, is_last) {
            Ok(head) => self.output.push(Piece::Owned(head)),
            Err(output::BadHeader(name)) => {
                log::error!(
                    "a handler's answer was not sent: its header {name:?} holds a line break or another character that no header may hold"
                );
                return self.refuse(now, Reject::HandlerFailed);
            }
        }
        let deadline = now + self.rules.limits.write_time;
        self.phase = Phase::Writing { deadline, is_last };
        if exchange.is_head || end == BodyEnd::None {
            return;
        }
        match response.body {
            Body::Empty => {}
            Body::Static(bytes) => self.output.push(Piece::Static(bytes)),
            Body::Shared(bytes) => self.output.push(Piece::Shared(bytes)),
            Body::Owned(bytes) => self.output.push(Piece::Owned(bytes)),
            Body::Events(stream) => {
                self.phase = Phase::Streaming {
                    stream,
                    is_chunked: end == BodyEnd::Chunked,
                    deadline: Some(deadline),
                    is_last: false,
                    input_seen: 0,
                };
                if self.is_ending {
                    self.end(now);
                }
            }
        }
    }

    /// All output has left.
    pub(crate) fn handle_written(&mut self, now: Instant) {
        let limits = &self.rules.limits;
        match &mut self.phase {
            Phase::Writing { is_last: false, .. } if !self.is_ending => {
                self.phase =
                    Phase::Head { deadline: now + limits.idle_time, scanned: 0, is_untouched: true, is_first: false };
                if self.input.is_empty() {
                    self.input = Vec::new();
                    if self.has_peer_ended {
                        self.close();
                    }
                } else {
                    self.advance(now);
                }
            }
            Phase::Writing { .. } | Phase::Streaming { is_last: true, .. } => self.leave(now),
            Phase::Streaming { deadline, .. } => {
                *deadline = None;
                self.pump(now);
            }
            _ => {}
        }
    }

    /// An event stream has news, or has overrun its client.
    pub(crate) fn pump(&mut self, now: Instant) {
        let Phase::Streaming { stream, is_chunked, deadline, is_last, .. } = &mut self.phase else {
            return;
        };
        if !self.output.is_empty() {
            if stream.is_overflowed() {
                self.close();
            }
            return;
        }
        let pieces = match stream.pull() {
            Pull::Overflowed => return self.close(),
            Pull::More(pieces) => pieces,
            Pull::Last(pieces) => {
                *is_last = true;
                pieces
            }
        };
        let total: usize = pieces.iter().map(|piece| piece.len()).sum();
        let is_chunked = *is_chunked;
        let is_last = *is_last;
        if total > 0 {
            // Runs from the first byte that was not taken; more news does not extend it.
            deadline.get_or_insert(now + self.rules.limits.write_time);
            if is_chunked {
                self.output.push(Piece::Owned(format!("{total:x}\r\n").into_bytes()));
            }
            for piece in pieces {
                self.output.push(Piece::Shared(piece));
            }
            if is_chunked {
                self.output.push(Piece::Static(b"\r\n"));
            }
        }
        if is_last {
            if is_chunked {
                self.output.push(Piece::Static(b"0\r\n\r\n"));
            }
            if self.output.is_empty() {
                self.leave(now);
            } else {
                self.phase = Phase::Writing { deadline: now + self.rules.limits.write_time, is_last: true };
            }
        }
    }

    /// The server is shutting down: streams end, idle connections close, what is being answered is answered.
    pub(crate) fn end(&mut self, now: Instant) {
        self.is_ending = true;
        match &mut self.phase {
            Phase::Head { .. } | Phase::Lingering { .. } => self.close(),
            Phase::Body { .. } => self.refuse(now, Reject::Ending),
            Phase::Streaming { is_chunked, .. } => {
                if *is_chunked {
                    self.output.push(Piece::Static(b"0\r\n\r\n"));
                }
                self.phase = Phase::Writing { deadline: now + self.rules.limits.write_time, is_last: true };
                if self.output.is_empty() {
                    self.close();
                }
            }
            Phase::Answering { .. } | Phase::Writing { .. } | Phase::Closed => {}
        }
    }

    /// Answers with an error, then closes. Also for what the socket's owner notices.
    pub(crate) fn refuse(&mut self, now: Instant, reject: Reject) {
        log::debug!("{}: refused a request: {reject:?}", self.peer);
        self.rules.rejects.fetch_add(1, Ordering::Relaxed);
        let (is_head, is_http_1_0) = match &self.phase {
            Phase::Answering { exchange, .. } => (exchange.is_head, exchange.is_http_1_0),
            Phase::Body { head, .. } => (head.method == Method::Head, head.is_http_1_0),
            _ => (false, false),
        };
        let response = reject.response(&self.rules.limits);
        let Body::Owned(body) = response.body else {
            return self.close();
        };
        let response = Response { body: Body::Empty, ..response };
        match output::head(&response, BodyEnd::Length(body.len()), is_http_1_0, true) {
            Ok(head) => self.output.push(Piece::Owned(head)),
            Err(_) => return self.close(),
        }
        if !is_head {
            self.output.push(Piece::Owned(body));
        }
        self.input = Vec::new();
        self.phase = Phase::Writing { deadline: now + self.rules.limits.write_time, is_last: true };
    }

    // Time.

    /// When [`Session::handle_timeout`] is due.
    pub(crate) fn next_timeout(&self) -> Option<Instant> {
        match &self.phase {
            Phase::Head { deadline, .. }
            | Phase::Body { deadline, .. }
            | Phase::Answering { deadline, .. }
            | Phase::Writing { deadline, .. }
            | Phase::Lingering { deadline, .. } => Some(*deadline),
            Phase::Streaming { deadline, .. } => *deadline,
            Phase::Closed => None,
        }
    }

    /// Does what is due, if anything is.
    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        if self.next_timeout().is_none_or(|deadline| now < deadline) {
            return;
        }
        match &self.phase {
            // Browsers open connections in advance and never use them.
            Phase::Head { is_untouched: true, .. } => self.close(),
            Phase::Head { .. } => self.refuse(now, Reject::HeadTooLate),
            Phase::Body { .. } => self.refuse(now, Reject::BodyTooLate),
            Phase::Answering { .. } => {
                log::warn!("{}: no answer within the time allowed", self.peer);
                self.refuse(now, Reject::AnswerTooLate);
            }
            Phase::Writing { .. } | Phase::Streaming { .. } | Phase::Lingering { .. } | Phase::Closed => self.close(),
        }
    }

    // Drain.

    /// A request that is ready for the handler; after it nothing is read until [`Session::answer`].
    pub(crate) fn take_request(&mut self) -> Option<Request> {
        self.request.take()
    }

    /// What is to be written; when it has all left, call [`Session::handle_written`].
    pub(crate) fn output(&mut self) -> &mut Output {
        &mut self.output
    }

    // Look.

    /// Whether bytes should be read from the socket now.
    pub(crate) fn wants_input(&self) -> bool {
        !self.has_peer_ended
            && matches!(
                self.phase,
                Phase::Head { .. } | Phase::Body { .. } | Phase::Streaming { .. } | Phase::Lingering { .. }
            )
    }

    /// Whether nothing more will be written, so that the sending half can be ended.
    pub(crate) fn wants_end(&self) -> bool {
        matches!(self.phase, Phase::Lingering { .. })
    }

    pub(crate) fn is_closed(&self) -> bool {
        matches!(self.phase, Phase::Closed)
    }

    pub(crate) fn standing(&self) -> Standing {
        match &self.phase {
            Phase::Head { is_untouched: true, is_first: false, .. } => Standing::Idle,
            Phase::Head { .. } => Standing::Arriving,
            Phase::Body { .. } => Standing::Receiving,
            Phase::Streaming { .. } => Standing::Streaming,
            Phase::Answering { .. } => Standing::Busy,
            Phase::Writing { .. } => Standing::Sending,
            Phase::Lingering { .. } | Phase::Closed => Standing::Leaving,
        }
    }

    // Inside.

    fn close(&mut self) {
        self.phase = Phase::Closed;
        self.output.clear();
        self.input = Vec::new();
    }

    /// The last answer has been written.
    fn leave(&mut self, now: Instant) {
        if self.has_peer_ended || self.is_ending {
            return self.close();
        }
        self.input = Vec::new();
        self.phase = Phase::Lingering { deadline: now + self.rules.limits.linger_time, left: LINGER_BYTES };
    }

    /// Goes as far as `input` reaches.
    fn advance(&mut self, now: Instant) {
        if let Phase::Head { .. } = self.phase
            && let Err(reject) = self.advance_head(now)
        {
            return self.refuse(now, reject);
        }
        if let Phase::Body { .. } = self.phase
            && let Err(reject) = self.advance_body(now)
        {
            self.refuse(now, reject);
        }
    }

    fn advance_head(&mut self, now: Instant) -> Result<(), Reject> {
        let Phase::Head { deadline, scanned, is_untouched, is_first } = &mut self.phase else {
            return Ok(());
        };
        let limits = &self.rules.limits;
        if *scanned == 0 {
            // Some clients end a body with an empty line too many (RFC 9112, 2.2). It does not count as a beginning.
            let lines = self.input.chunks(2).take_while(|pair| *pair == b"\r\n").count();
            self.input.drain(..lines * 2);
            if matches!(self.input.as_slice(), [] | b"\r") {
                return Ok(());
            }
        }
        if *is_untouched {
            *is_untouched = false;
            // The first request's time runs from the moment of connecting.
            if !*is_first {
                *deadline = now + limits.head_time;
            }
        }
        let Some(end) = head::find_end(&self.input, *scanned, limits)? else {
            *scanned = self.input.len();
            return Ok(());
        };
        let head = head::parse(self.input.get(..end).unwrap_or_default(), limits)?;
        self.input.drain(..end);
        let reader = BodyReader::new(head.framing, limits.body);
        if head.expects_continue && !reader.is_complete() && self.input.is_empty() {
            self.output.push(Piece::Static(b"HTTP/1.1 100 Continue\r\n\r\n"));
        }
        self.phase = Phase::Body {
            head: Box::new(head),
            reader,
            share: BodyShare::new(&self.rules),
            deadline: now + limits.body_time,
        };
        Ok(())
    }

    fn advance_body(&mut self, now: Instant) -> Result<(), Reject> {
        let Phase::Body { reader, share, .. } = &mut self.phase else {
            return Ok(());
        };
        let taken = reader.feed(&self.input)?;
        if taken == self.input.len() {
            self.input.clear();
        } else {
            self.input.drain(..taken);
        }
        share.grow_to(reader.len())?;
        if !reader.is_complete() {
            return Ok(());
        }
        let Phase::Body { head, reader, share, .. } = std::mem::replace(&mut self.phase, Phase::Closed) else {
            return Ok(());
        };
        self.rules.requests.fetch_add(1, Ordering::Relaxed);
        self.phase = Phase::Answering {
            exchange: Exchange {
                is_http_1_0: head.is_http_1_0,
                keep_alive: head.wants_keep_alive,
                is_head: head.method == Method::Head,
            },
            _share: share,
            deadline: now + self.rules.limits.answer_time,
        };
        self.request = Some(Request {
            method: head.method,
            path: head.path,
            query: head.query,
            headers: head.headers,
            body: reader.into_body(),
            peer: self.peer,
            is_tls: self.is_tls,
        });
        Ok(())
    }
}

#[cfg(test)]
#[path = "session_tests.rs"]
mod tests;
