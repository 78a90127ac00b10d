//! A non-blocking socket, plain or TLS, seen as bytes in and [`Output`] out.

use std::io::{self, IoSlice, Read, Write};
use std::net::Shutdown;
use std::sync::Arc;

use mio::net::TcpStream;
use rustls::ServerConnection;

use crate::output::Output;

/// First byte of a TLS handshake record (RFC 8446, 5.1).
const TLS_HANDSHAKE: u8 = 0x16;

/// Pieces that go into one gathering write.
const GATHER: usize = 16;

/// A client's socket.
pub(crate) struct Link {
    pub(crate) socket: TcpStream,
    mode: Mode,
}

enum Mode {
    Plain,
    /// A TLS listener accepted it and nothing was read yet.
    Undecided(Arc<rustls::ServerConfig>),
    Tls(Box<ServerConnection>),
}

/// What reading brought.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Arrival {
    /// So many bytes.
    Bytes(usize),
    /// Nothing now; the poll will tell.
    Nothing,
    /// The client has ended its half.
    End,
    /// A client that does not speak TLS on a TLS port; the link is plain from now on.
    NotTls,
    /// The connection is beyond use.
    Broken,
}

/// What writing came to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Departure {
    /// All has left.
    Done,
    /// The socket is full; the poll will tell.
    Waiting,
    /// The connection is beyond use.
    Broken,
}

impl Link {
    pub(crate) fn plain(socket: TcpStream) -> Link {
        Link { socket, mode: Mode::Plain }
    }

    pub(crate) fn tls(socket: TcpStream, config: Arc<rustls::ServerConfig>) -> Link {
        Link { socket, mode: Mode::Undecided(config) }
    }

    pub(crate) fn read(&mut self, buffer: &mut [u8]) -> Arrival {
        if let Mode::Undecided(config) = &self.mode {
            let mut first = [0];
            match retry(|| self.socket.peek(&mut first)) {
                Ok(0) => return Arrival::End,
                Ok(_) if first == [TLS_HANDSHAKE] => match ServerConnection::new(Arc::clone(config)) {
                    Ok(connection) => self.mode = Mode::Tls(Box::new(connection)),
                    Err(error) => {
                        log::error!("TLS cannot be started: {error}");
                        return Arrival::Broken;
                    }
                },
                Ok(_) => {
                    self.mode = Mode::Plain;
                    return Arrival::NotTls;
                }
                Err(error) => return arrival_of(&error),
            }
        }
        match &mut self.mode {
            Mode::Plain | Mode::Undecided(_) => match retry(|| self.socket.read(buffer)) {
                Ok(0) => Arrival::End,
                Ok(count) => Arrival::Bytes(count),
                Err(error) => arrival_of(&error),
            },
            Mode::Tls(connection) => read_tls(connection, &mut self.socket, buffer),
        }
    }

    /// Writes what the socket takes.
    pub(crate) fn write(&mut self, output: &mut Output) -> Departure {
        match self.try_write(output) {
            Ok(()) => Departure::Done,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Departure::Waiting,
            Err(_) => Departure::Broken,
        }
    }

    fn try_write(&mut self, output: &mut Output) -> io::Result<()> {
        loop {
            match &mut self.mode {
                Mode::Plain | Mode::Undecided(_) => {
                    if output.is_empty() {
                        return Ok(());
                    }
                    let mut slices = [IoSlice::new(&[]); GATHER];
                    let count = output.gather(&mut slices);
                    let ready = slices.get(..count).unwrap_or_default();
                    let written = retry(|| self.socket.write_vectored(ready))?;
                    if written == 0 {
                        return Err(io::ErrorKind::WriteZero.into());
                    }
                    output.advance(written);
                }
                Mode::Tls(connection) => {
                    while !output.is_empty() {
                        let mut slices = [IoSlice::new(&[]); GATHER];
                        let count = output.gather(&mut slices);
                        let ready = slices.get(..count).unwrap_or_default();
                        let taken = connection.writer().write_vectored(ready)?;
                        if taken == 0 {
                            break;
                        }
                        output.advance(taken);
                    }
                    while connection.wants_write() {
                        if retry(|| connection.write_tls(&mut self.socket))? == 0 {
                            return Err(io::ErrorKind::WriteZero.into());
                        }
                    }
                    if output.is_empty() {
                        return Ok(());
                    }
                    if connection.is_handshaking() {
                        // Its buffer is full and nothing leaves before the handshake ends.
                        return Err(io::ErrorKind::WouldBlock.into());
                    }
                }
            }
        }
    }

    /// Tells the client that nothing more comes, while what it sends can still be read.
    pub(crate) fn end_writing(&mut self) {
        if let Mode::Tls(connection) = &mut self.mode {
            connection.send_close_notify();
            // Best effort: a client that does not take this will not miss it.
            while connection.wants_write() && connection.write_tls(&mut self.socket).is_ok() {}
        }
        // Fails only if the client has gone, which the next read tells as well.
        let _ = self.socket.shutdown(Shutdown::Write);
    }
}

fn read_tls(connection: &mut ServerConnection, socket: &mut TcpStream, buffer: &mut [u8]) -> Arrival {
    loop {
        match connection.reader().read(buffer) {
            Ok(0) => return Arrival::End,
            Ok(count) => return Arrival::Bytes(count),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            // The client ended TCP without ending TLS; requests have their own framing, so nothing was cut off unseen.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Arrival::End,
            Err(_) => return Arrival::Broken,
        }
        match retry(|| connection.read_tls(socket)) {
            // The next look into `reader` tells which kind of end this was.
            Ok(0) if connection.is_handshaking() => return Arrival::End,
            Ok(_) => {}
            Err(error) => return arrival_of(&error),
        }
        if let Err(error) = connection.process_new_packets() {
            log::debug!("TLS: {error}");
            // Let the alert that tells the client why leave.
            while connection.wants_write() && connection.write_tls(socket).is_ok() {}
            return Arrival::Broken;
        }
    }
}

fn arrival_of(error: &io::Error) -> Arrival {
    match error.kind() {
        io::ErrorKind::WouldBlock => Arrival::Nothing,
        _ => Arrival::Broken,
    }
}

/// Repeats what a signal interrupted.
fn retry<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            other => return other,
        }
    }
}
