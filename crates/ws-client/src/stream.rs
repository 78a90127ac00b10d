//! A TCP connection, with or without TLS, whose reads and writes end at a deadline.

use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};

/// A connection on which everything ends by a deadline, however slowly bytes drip in.
struct Timed {
    tcp: TcpStream,
    deadline: Instant,
    has_read: bool,
}

impl Timed {
    fn new(tcp: TcpStream, deadline: Instant) -> Self {
        Timed { tcp, deadline, has_read: false }
    }

    fn set_deadline(&mut self, deadline: Instant) {
        (self.deadline, self.has_read) = (deadline, false);
    }

    /// At least a millisecond: what already waits in the system's buffer is always read.
    fn left(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now()).max(Duration::from_millis(1))
    }
}

impl Read for Timed {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        // One read is always granted; more only in time, so that bytes that drip in for ever come to an end.
        if std::mem::replace(&mut self.has_read, true) && Instant::now() >= self.deadline {
            return Err(ErrorKind::WouldBlock.into());
        }
        self.tcp.set_read_timeout(Some(self.left()))?;
        self.tcp.read(buffer).map_err(late)
    }
}

impl Write for Timed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.tcp.set_write_timeout(Some(self.left()))?;
        self.tcp.write(bytes).map_err(late)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.tcp.flush()
    }
}

/// Systems differ in how they say that a time limit has passed.
fn late(error: io::Error) -> io::Error {
    if error.kind() == ErrorKind::TimedOut { ErrorKind::WouldBlock.into() } else { error }
}

enum Kind {
    Plain(Timed),
    Tls(Box<StreamOwned<ClientConnection, Timed>>),
}

/// What the WebSocket runs on.
pub(crate) struct Stream(Kind);

impl Stream {
    pub fn plain(tcp: TcpStream, deadline: Instant) -> Self {
        Stream(Kind::Plain(Timed::new(tcp, deadline)))
    }

    /// Does the TLS handshake. The error is a clause.
    pub fn tls(tcp: TcpStream, host: &str, config: Arc<ClientConfig>, deadline: Instant) -> Result<Self, String> {
        let name = ServerName::try_from(host.to_owned()).map_err(|_| "the host name cannot be used".to_owned())?;
        let mut conn = ClientConnection::new(config, name).map_err(|error| error.to_string())?;
        let mut sock = Timed::new(tcp, deadline);
        while conn.is_handshaking() {
            if Instant::now() >= deadline {
                return Err("it takes too long".into());
            }
            conn.complete_io(&mut sock).map_err(|error| error.to_string())?;
        }
        Ok(Stream(Kind::Tls(Box::new(StreamOwned::new(conn, sock)))))
    }

    pub fn set_deadline(&mut self, deadline: Instant) {
        match &mut self.0 {
            Kind::Plain(timed) => timed.set_deadline(deadline),
            Kind::Tls(stream) => stream.sock.set_deadline(deadline),
        }
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match &mut self.0 {
            Kind::Plain(timed) => timed.read(buffer),
            Kind::Tls(stream) => stream.read(buffer),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.0 {
            Kind::Plain(timed) => timed.write(bytes),
            Kind::Tls(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match &mut self.0 {
            Kind::Plain(timed) => timed.flush(),
            Kind::Tls(stream) => stream.flush(),
        }
    }
}
