//! A TCP connection to a serial gateway.

use std::io;
use std::net::{TcpStream, ToSocketAddrs as _};
use std::time::Duration;

use rustix::net::sockopt;

/// A gateway on the own network answers in milliseconds.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// A silent connection is probed after this; gateways keep theirs half open after a drop.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(10);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(5);
const KEEPALIVE_PROBES: u32 = 3;
/// Unacknowledged bytes end the connection after this, in milliseconds.
const UNACKNOWLEDGED: u32 = 15_000;

/// Connects to the first address that answers; the stream does not block.
pub(super) fn connect(host: &str, port: u16) -> io::Result<TcpStream> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in (host, port).to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, CONNECT_TIMEOUT) {
            Ok(stream) => {
                prepare(&stream)?;
                return Ok(stream);
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn prepare(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    sockopt::set_socket_keepalive(stream, true)?;
    sockopt::set_tcp_keepidle(stream, KEEPALIVE_IDLE)?;
    sockopt::set_tcp_keepintvl(stream, KEEPALIVE_INTERVAL)?;
    sockopt::set_tcp_keepcnt(stream, KEEPALIVE_PROBES)?;
    sockopt::set_tcp_user_timeout(stream, UNACKNOWLEDGED)?;
    stream.set_nonblocking(true)
}
