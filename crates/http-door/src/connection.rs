//! One client's socket and session together.

use std::net::IpAddr;
use std::time::Instant;

use crate::link::{Arrival, Departure, Link};
use crate::reject::Reject;
use crate::session::{Session, Standing};

/// A client's connection.
pub(crate) struct Connection {
    pub(crate) link: Link,
    pub(crate) session: Session,
    pub(crate) peer: IpAddr,
    pub(crate) since: Instant,
    pub(crate) standing: Standing,
    is_writing_ended: bool,
    /// The session has output that has not all left; with TLS it may be in the link already.
    is_output_due: bool,
    /// Accepted beyond the bounds to be told so.
    pub(crate) is_refused: bool,
}

impl Connection {
    pub(crate) fn new(link: Link, session: Session, peer: IpAddr, now: Instant) -> Connection {
        Connection {
            standing: session.standing(),
            link,
            session,
            peer,
            since: now,
            is_writing_ended: false,
            is_output_due: false,
            is_refused: false,
        }
    }

    /// Writes, reads and lets the session go on until the socket has nothing more to give or to take.
    pub(crate) fn advance(&mut self, now: Instant, buffer: &mut [u8]) {
        loop {
            if self.session.is_closed() {
                return;
            }
            self.is_output_due |= !self.session.output().is_empty();
            match self.link.write(self.session.output()) {
                Departure::Done if self.is_output_due => {
                    self.is_output_due = false;
                    self.session.handle_written(now);
                    // What that brought has to leave as well.
                    continue;
                }
                Departure::Done => {}
                Departure::Waiting => {
                    // A client that does not read may still be read from, to see that it left.
                    if !self.session.wants_input() {
                        return;
                    }
                }
                Departure::Broken => return self.session.handle_broken(),
            }
            if self.session.wants_end() && !self.is_writing_ended {
                self.is_writing_ended = true;
                self.link.end_writing();
            }
            if !self.session.wants_input() {
                return;
            }
            match self.link.read(buffer) {
                Arrival::Bytes(count) => {
                    let bytes = buffer.get(..count).unwrap_or_default();
                    self.session.feed(now, bytes);
                }
                Arrival::End => self.session.handle_peer_end(now),
                Arrival::NotTls => self.session.refuse(now, Reject::PlainOnTlsPort),
                Arrival::Broken => return self.session.handle_broken(),
                Arrival::Nothing => {
                    // TLS may have something to say (its handshake) without the session having output.
                    if self.link.write(self.session.output()) == Departure::Broken {
                        self.session.handle_broken();
                    }
                    return;
                }
            }
        }
    }
}
