//! Where the bytes come from.

use std::fmt;
use std::io::{self, Read as _};
use std::net::{TcpStream, ToSocketAddrs as _};
use std::time::Duration;

use ems::{EmsError, EmsErrorKind};
use rustix::net::sockopt;
use serialport::{DataBits, FlowControl, Parity, SerialPort as _, StopBits, TTYPort};

/// How often a waiting driver looks whether it should end.
const LOOK_UP: Duration = Duration::from_millis(500);
/// A gateway on the own network answers in milliseconds.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// A silent connection is probed after this; gateways keep theirs half open after a drop.
const KEEPALIVE: Duration = Duration::from_secs(15);

/// Where the meter is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    /// On a cable.
    Serial {
        /// The device.
        path: String,
        /// Speeds to try, at least one.
        speeds: Vec<u32>,
    },
    /// Behind a gateway.
    Network {
        /// Name or address.
        host: String,
        /// TCP port.
        port: u16,
    },
}

impl Place {
    /// How many speeds there are to try.
    pub fn speeds(&self) -> usize {
        match self {
            Place::Serial { speeds, .. } => speeds.len(),
            Place::Network { .. } => 1,
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Serial { path, .. } => write!(f, "the P1 cable at {path}"),
            Place::Network { host, port } => write!(f, "the P1 gateway {host}:{port}"),
        }
    }
}

/// An open line.
pub(crate) enum Port {
    Serial(TTYPort),
    Network(TcpStream),
}

impl Port {
    /// Opens it, with the speed of that index.
    pub fn open(place: &Place, speed: usize) -> Result<Self, EmsError> {
        match place {
            Place::Serial { path, speeds } => {
                let baud = speeds.get(speed).or(speeds.first()).copied().unwrap_or_default();
                serial(path, baud).map(Port::Serial).map_err(|error| refused(path, &error))
            }
            Place::Network { host, port } => connect(host, *port).map(Port::Network).map_err(|error| {
                EmsError::retry(format!(
                    "{place} does not answer ({error}); look at sources.DSMR.host and port, and whether it is switched on"
                ))
            }),
        }
    }

    /// Waits half a second at most.
    pub fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Port::Serial(port) => port.read(buffer),
            Port::Network(stream) => stream.read(buffer),
        }
    }
}

fn refused(path: &str, error: &serialport::Error) -> EmsError {
    let (kind, advice) = match error.kind() {
        serialport::ErrorKind::Io(io::ErrorKind::PermissionDenied) => {
            (EmsErrorKind::Misconfigured, "add the program's user to the group that owns it (often `dialout`)")
        }
        serialport::ErrorKind::NoDevice | serialport::ErrorKind::Io(io::ErrorKind::NotFound) => (
            EmsErrorKind::Retry,
            "plug the cable in, and use its name under /dev/serial/by-id in sources.DSMR.serialPort",
        ),
        _ => (EmsErrorKind::Retry, "is another program using it?"),
    };
    EmsError::new(kind, format!("the P1 cable at {path} cannot be opened ({error}); {advice}"))
}

/// Always with eight data bits: on a line with seven and parity the parity is the eighth, and the parser takes it off.
fn serial(path: &str, baud: u32) -> serialport::Result<TTYPort> {
    let mut port = serialport::new(path, baud)
        .data_bits(DataBits::Eight)
        .parity(Parity::None)
        .stop_bits(StopBits::One)
        .flow_control(FlowControl::None)
        .timeout(LOOK_UP)
        .exclusive(true)
        .open_native()?;
    // Some cables take the meter's data request from one of these. Those without them, and pseudo-terminals, refuse.
    drop(port.write_request_to_send(true));
    drop(port.write_data_terminal_ready(true));
    Ok(port)
}

fn connect(host: &str, port: u16) -> io::Result<TcpStream> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in (host, port).to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, CONNECT_TIMEOUT) {
            Ok(stream) => {
                stream.set_read_timeout(Some(LOOK_UP))?;
                sockopt::set_socket_keepalive(&stream, true)?;
                sockopt::set_tcp_keepidle(&stream, KEEPALIVE)?;
                return Ok(stream);
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}
