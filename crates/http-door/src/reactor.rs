//! The door's own thread: it owns the listeners and every socket, and sleeps until one of them, a worker or a deadline
//! has something for it. With no connection open, and with event streams that have no news, there is no deadline at all.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};

use crate::admission::{self, Admission, Place};
use crate::connection::Connection;
use crate::link::Link;
use crate::reject::Reject;
use crate::response::Body;
use crate::rules::Rules;
use crate::session::{Session, Standing};
use crate::tls::Certificates;
use crate::workers::{ConnectionId, Job, Jobs, Mailbox, Note};

/// The mailbox's token; listeners come next, then connections.
pub(crate) const MAILBOX: Token = Token(0);

/// Bytes read at once.
const READ: usize = 16 * 1024;

/// Connections accepted before the others get their turn.
const ACCEPT_AT_ONCE: usize = 32;

/// Refused clients that may linger at the same time to read why; further ones are dropped at once.
const REFUSED_AT_ONCE: usize = 16;

/// First and longest pause after accepting failed for want of descriptors or memory.
const ACCEPT_PAUSE: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(2));

/// How long what is being answered may still take when the server ends.
const LAST_WORDS: Duration = Duration::from_millis(400);

/// Time between two log lines about refused newcomers.
const COMPLAINT_PERIOD: Duration = Duration::from_secs(600);

/// A listener and whether its clients speak TLS.
#[derive(Debug)]
pub(crate) struct Door {
    pub(crate) socket: TcpListener,
    pub(crate) is_tls: bool,
    /// There may be more to accept.
    is_ready: bool,
}

impl Door {
    pub(crate) fn new(socket: TcpListener, is_tls: bool) -> Door {
        Door { socket, is_tls, is_ready: true }
    }
}

/// A place for a connection; the serial counts its users.
#[derive(Default)]
struct Slot {
    serial: u64,
    connection: Option<Box<Connection>>,
}

/// The thread's state.
pub(crate) struct Reactor {
    poll: Poll,
    mailbox: Arc<Mailbox>,
    jobs: Arc<Jobs>,
    rules: Arc<Rules>,
    certificates: Option<Arc<Certificates>>,
    doors: Vec<Door>,
    /// The first connection's token, fixed at the start.
    first_token: usize,
    slots: Vec<Slot>,
    buffer: Vec<u8>,
    /// Accepting is paused until then.
    accept_again: Option<Instant>,
    accept_pause: Duration,
    last_complaint: Option<Instant>,
    complaints: u64,
    /// Shutting down, by then at the latest.
    end: Option<Instant>,
}

impl Reactor {
    /// Takes over listeners; they are registered here.
    pub(crate) fn new(
        poll: Poll,
        mailbox: Arc<Mailbox>,
        jobs: Arc<Jobs>,
        rules: Arc<Rules>,
        certificates: Option<Arc<Certificates>>,
        mut doors: Vec<Door>,
    ) -> io::Result<Reactor> {
        for (index, door) in doors.iter_mut().enumerate() {
            let token = Token(MAILBOX.0 + 1 + index);
            poll.registry().register(&mut door.socket, token, Interest::READABLE)?;
        }
        Ok(Reactor {
            first_token: MAILBOX.0 + 1 + doors.len(),
            poll,
            mailbox,
            jobs,
            rules,
            certificates,
            doors,
            slots: Vec::new(),
            buffer: vec![0; READ],
            accept_again: None,
            accept_pause: ACCEPT_PAUSE.0,
            last_complaint: None,
            complaints: 0,
            end: None,
        })
    }

    /// Forgets every connection, after a fault in this thread that may have left them half changed.
    pub(crate) fn forget_connections(&mut self) {
        for slot in &mut self.slots {
            slot.connection = None;
            slot.serial += 1;
        }
        for door in &mut self.doors {
            door.is_ready = true;
        }
    }

    /// Runs until [`Note::End`] has been obeyed.
    pub(crate) fn run(&mut self) {
        let mut events = Events::with_capacity(256);
        let mut ready = Vec::new();
        let mut notes = Vec::new();
        loop {
            let wait = self.next_wait(Instant::now());
            if let Err(error) = self.poll.poll(&mut events, wait)
                && error.kind() != io::ErrorKind::Interrupted
            {
                log::error!("the web server cannot wait for its clients: {error}");
                // Nothing here can be mended by trying faster.
                std::thread::sleep(ACCEPT_PAUSE.0);
            }
            let now = Instant::now();
            ready.clear();
            for event in &events {
                let token = event.token().0;
                if let Some(slot) = token.checked_sub(self.first_token) {
                    ready.push(slot);
                } else if let Some(index) = token.checked_sub(MAILBOX.0 + 1)
                    && let Some(door) = self.doors.get_mut(index)
                {
                    door.is_ready = true;
                }
            }
            self.mailbox.take(&mut notes);
            for note in notes.drain(..) {
                self.read_note(now, note);
            }
            for &slot in &ready {
                self.drive(now, slot);
            }
            self.accept(now);
            self.keep_time(now);
            if let Some(end) = self.end
                && (now >= end || self.open() == 0)
            {
                for slot in &mut self.slots {
                    slot.connection = None;
                }
                return;
            }
        }
    }

    fn connections(&self) -> impl Iterator<Item = &Connection> {
        self.slots.iter().filter_map(|slot| slot.connection.as_deref())
    }

    fn open(&self) -> usize {
        self.connections().count()
    }

    /// Until the next deadline; `None` is for ever.
    fn next_wait(&self, now: Instant) -> Option<Duration> {
        let is_accepting = self.end.is_none() && self.accept_again.is_none();
        if is_accepting && self.doors.iter().any(|door| door.is_ready) {
            return Some(Duration::ZERO);
        }
        self.connections()
            .filter_map(|connection| connection.session.next_timeout())
            .chain(self.accept_again)
            .chain(self.end)
            .min()
            .map(|due| due.saturating_duration_since(now))
    }

    fn keep_time(&mut self, now: Instant) {
        if self.accept_again.is_some_and(|again| now >= again) {
            self.accept_again = None;
        }
        for slot in 0..self.slots.len() {
            if let Some(connection) = self.connection(slot)
                && connection.session.next_timeout().is_some_and(|due| now >= due)
            {
                connection.session.handle_timeout(now);
                self.drive(now, slot);
            }
        }
    }

    fn connection(&mut self, slot: usize) -> Option<&mut Connection> {
        self.slots.get_mut(slot)?.connection.as_deref_mut()
    }

    fn connection_of(&mut self, id: ConnectionId) -> Option<&mut Connection> {
        let slot = self.slots.get_mut(id.slot)?;
        if slot.serial != id.serial {
            return None;
        }
        slot.connection.as_deref_mut()
    }

    fn read_note(&mut self, now: Instant, note: Note) {
        match note {
            Note::Answer(id, response) => {
                let is_stream = matches!(response.body, Body::Events(_));
                let is_crowded = is_stream && self.is_crowded_with_streams(id);
                let mailbox = Arc::clone(&self.mailbox);
                let Some(connection) = self.connection_of(id) else {
                    return;
                };
                if is_crowded {
                    connection.session.refuse(now, Reject::TooManyStreams);
                } else {
                    if let Body::Events(stream) = &response.body {
                        stream.attach(Box::new(move || mailbox.post(Note::Stream(id))));
                    }
                    connection.session.answer(now, response);
                }
                self.drive(now, id.slot);
            }
            Note::Stream(id) => {
                if let Some(connection) = self.connection_of(id) {
                    connection.session.pump(now);
                    self.drive(now, id.slot);
                }
            }
            Note::End => {
                for mut door in self.doors.drain(..) {
                    // Closing it below ends it in any case.
                    let _ = self.poll.registry().deregister(&mut door.socket);
                }
                self.accept_again = None;
                self.end = Some(now + LAST_WORDS);
                for slot in 0..self.slots.len() {
                    if let Some(connection) = self.connection(slot) {
                        connection.session.end(now);
                        self.drive(now, slot);
                    }
                }
            }
        }
    }

    fn is_crowded_with_streams(&mut self, id: ConnectionId) -> bool {
        let Some(peer) = self.connection_of(id).map(|connection| connection.peer) else {
            return false;
        };
        let streams = || self.connections().filter(|connection| connection.standing == Standing::Streaming);
        let limits = &self.rules.limits;
        streams().count() >= limits.event_streams
            || streams().filter(|stream| stream.peer == peer).count() >= limits.event_streams_per_peer
    }

    /// Lets one connection go as far as its socket allows.
    fn drive(&mut self, now: Instant, slot: usize) {
        let Reactor { slots, buffer, jobs, .. } = self;
        let Some(place) = slots.get_mut(slot) else {
            return;
        };
        let serial = place.serial;
        let Some(connection) = place.connection.as_deref_mut() else {
            return;
        };
        connection.advance(now, buffer);
        let standing = connection.session.standing();
        if standing != connection.standing {
            connection.standing = standing;
            connection.since = now;
        }
        if connection.session.is_closed() {
            place.connection = None;
            place.serial += 1;
            // A descriptor came free.
            self.accept_again = None;
        } else if let Some(request) = connection.session.take_request() {
            let connection = ConnectionId { slot, serial };
            jobs.push(Job { connection, request });
        }
    }

    fn accept(&mut self, now: Instant) {
        for index in 0..self.doors.len() {
            for _ in 0..ACCEPT_AT_ONCE {
                if self.accept_again.is_some() {
                    return;
                }
                let Some(door) = self.doors.get_mut(index).filter(|door| door.is_ready) else {
                    break;
                };
                let is_tls = door.is_tls;
                match door.socket.accept() {
                    Ok((socket, address)) => self.welcome(now, socket, address, is_tls),
                    Err(error) => match AcceptFault::of(&error) {
                        AcceptFault::NobodyThere => door.is_ready = false,
                        AcceptFault::ClientGone => {}
                        AcceptFault::Exhausted => self.make_room(now, &error),
                    },
                }
            }
        }
    }

    /// No descriptor or no memory: close what matters least, or pause.
    fn make_room(&mut self, now: Instant, error: &io::Error) {
        self.complain(now, &format!("accepting a connection failed: {error}"));
        match admission::dispensable(&self.places()) {
            Some(slot) => self.dismiss(slot),
            None => {
                self.accept_again = Some(now + self.accept_pause);
                self.accept_pause = (self.accept_pause * 2).min(ACCEPT_PAUSE.1);
            }
        }
    }

    fn places(&self) -> Vec<Place> {
        self.slots
            .iter()
            .enumerate()
            .filter_map(|(slot, place)| Some((slot, place.connection.as_deref()?)))
            .filter(|(_, connection)| !connection.is_refused)
            .map(|(slot, connection)| Place {
                slot,
                peer: connection.peer,
                standing: connection.standing,
                since: connection.since,
            })
            .collect()
    }

    fn dismiss(&mut self, slot: usize) {
        if let Some(place) = self.slots.get_mut(slot) {
            place.connection = None;
            place.serial += 1;
        }
    }

    fn welcome(&mut self, now: Instant, socket: TcpStream, address: SocketAddr, is_tls: bool) {
        self.accept_pause = ACCEPT_PAUSE.0;
        let peer = address.ip().to_canonical();
        let mut is_refused = false;
        match admission::admit(peer, &self.places(), &self.rules.limits) {
            Admission::Welcome => {}
            Admission::InsteadOf(slot) => self.dismiss(slot),
            Admission::Refused => {
                is_refused = true;
                self.complain(now, &format!("{peer} was turned away: too many connections"));
                let refused = self.connections().filter(|other| other.is_refused).count();
                if refused >= REFUSED_AT_ONCE {
                    return;
                }
            }
        }
        // Elsewhere than on Linux this is not inherited; failing costs speed only.
        let _ = socket.set_nodelay(true);
        let link = match self.certificates.as_ref().filter(|_| is_tls) {
            Some(certificates) => Link::tls(socket, certificates.current()),
            None => Link::plain(socket),
        };
        let mut session = Session::new(Arc::clone(&self.rules), peer, is_tls, now);
        if is_refused {
            if is_tls {
                // Without a handshake there is no way to tell why.
                return;
            }
            session.refuse(now, Reject::TooManyConnections);
        }
        let mut connection = Connection::new(link, session, peer, now);
        connection.is_refused = is_refused;
        if let Some(slot) = self.settle(connection) {
            // Its request is often here already; then it is no candidate for the next newcomer.
            self.drive(now, slot);
        }
    }

    /// Gives a connection a slot and registers it.
    fn settle(&mut self, mut connection: Connection) -> Option<usize> {
        let free = self.slots.iter().position(|slot| slot.connection.is_none());
        let slot = free.unwrap_or(self.slots.len());
        let token = Token(self.first_token + slot);
        if let Err(error) =
            self.poll.registry().register(&mut connection.link.socket, token, Interest::READABLE | Interest::WRITABLE)
        {
            log::warn!("a connection could not be taken: {error}");
            return None;
        }
        if slot == self.slots.len() {
            self.slots.push(Slot::default());
        }
        self.slots.get_mut(slot)?.connection = Some(Box::new(connection));
        Some(slot)
    }

    /// Warns, but not more than once in a while.
    fn complain(&mut self, now: Instant, what: &str) {
        self.complaints += 1;
        if self.last_complaint.is_none_or(|last| now - last >= COMPLAINT_PERIOD) {
            log::warn!("{what} ({} times since the last such line)", self.complaints);
            self.last_complaint = Some(now);
            self.complaints = 0;
        }
    }
}

/// What a failed accept means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum AcceptFault {
    /// All that knocked have been let in.
    NobodyThere,
    /// That client is gone again; the next may be fine. `accept(2)` lists these network faults as such.
    ClientGone,
    /// No descriptor, no memory, or something unknown that may repeat at once.
    Exhausted,
}

impl AcceptFault {
    fn of(error: &io::Error) -> AcceptFault {
        use rustix::io::Errno;
        if error.kind() == io::ErrorKind::WouldBlock {
            return AcceptFault::NobodyThere;
        }
        match Errno::from_io_error(error) {
            Some(
                Errno::CONNABORTED
                | Errno::CONNRESET
                | Errno::INTR
                | Errno::NETDOWN
                | Errno::NETUNREACH
                | Errno::HOSTUNREACH
                | Errno::HOSTDOWN
                | Errno::PROTO
                | Errno::NOPROTOOPT
                | Errno::OPNOTSUPP
                | Errno::PERM,
            ) => AcceptFault::ClientGone,
            _ => AcceptFault::Exhausted,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::io::Errno;

    #[test]
    fn no_accept_error_ends_or_spins() {
        for (error, want) in [
            (Errno::AGAIN, AcceptFault::NobodyThere),
            (Errno::CONNABORTED, AcceptFault::ClientGone),
            (Errno::INTR, AcceptFault::ClientGone),
            (Errno::MFILE, AcceptFault::Exhausted),
            (Errno::NFILE, AcceptFault::Exhausted),
            (Errno::NOBUFS, AcceptFault::Exhausted),
            (Errno::NOMEM, AcceptFault::Exhausted),
            (Errno::BADF, AcceptFault::Exhausted),
        ] {
            assert_eq!(AcceptFault::of(&error.into()), want, "{error}");
        }
    }
}
