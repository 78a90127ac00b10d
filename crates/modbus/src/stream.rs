//! Byte streams with time-outs: TCP and serial lines.

use crate::frame::Framing;
use crate::registers::Registers;
use std::fmt;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Parity of a serial line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Parity {
    /// None, with one stop bit: most meters.
    #[default]
    None,
    /// Even, with one stop bit: the standard's default.
    Even,
    /// Odd, with one stop bit.
    Odd,
    /// None, with two stop bits.
    NoneTwoStop,
}

/// A serial line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SerialSettings {
    /// Device, best as `/dev/serial/by-id/…`.
    pub path: String,
    /// Baud, 1200 at least.
    pub baud: u32,
    /// Parity and stop bits.
    pub parity: Parity,
}

/// Where a device is.
#[derive(Clone)]
#[non_exhaustive]
pub enum Target {
    /// Modbus TCP.
    Tcp {
        /// Name or address.
        host: String,
        /// Port, mostly 502.
        port: u16,
    },
    /// Serial frames through a TCP socket, as many RS-485 gateways do it.
    RtuOverTcp {
        /// Name or address.
        host: String,
        /// Port.
        port: u16,
    },
    /// A serial line of this computer.
    Serial(SerialSettings),
    /// No device: registers at hand.
    Registers(Arc<Registers>),
}

impl Target {
    /// A Modbus TCP device.
    pub fn tcp(host: &str, port: u16) -> Self {
        Self::Tcp { host: host.to_owned(), port }
    }

    pub(crate) fn framing(&self) -> Framing {
        match self {
            Self::Tcp { .. } | Self::Registers(_) => Framing::Mbap,
            Self::RtuOverTcp { .. } | Self::Serial(_) => Framing::Rtu,
        }
    }

    /// Silence between two serial frames: 3.5 characters of 11 bits, 2 ms at least.
    pub(crate) fn silence(&self) -> Duration {
        match self {
            Self::Serial(settings) => {
                Duration::from_secs_f64(38.5 / f64::from(settings.baud.max(1))).max(Duration::from_millis(2))
            }
            _ => Duration::ZERO,
        }
    }

    pub(crate) fn open(&self, timeout: Duration) -> io::Result<Box<dyn Stream>> {
        match self {
            Self::Tcp { host, port } | Self::RtuOverTcp { host, port } => Ok(Box::new(connect(host, *port, timeout)?)),
            Self::Serial(settings) => open_serial(settings),
            Self::Registers(_) => Err(io::Error::new(ErrorKind::Unsupported, "registers at hand need no connection")),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host, port } => write!(f, "{host}:{port}"),
            Self::RtuOverTcp { host, port } => write!(f, "{host}:{port} (RTU)"),
            Self::Serial(settings) => f.write_str(&settings.path),
            Self::Registers(_) => f.write_str("the recording"),
        }
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Target({self})")
    }
}

/// An open connection.
pub(crate) trait Stream: Send {
    /// Sends everything by the deadline.
    fn send(&mut self, bytes: &[u8], deadline: Instant) -> io::Result<()>;

    /// Waits for some bytes until the deadline (`TimedOut`). An orderly end of the connection is `UnexpectedEof`.
    fn receive(&mut self, buffer: &mut [u8], deadline: Instant) -> io::Result<usize>;

    /// Throws away what has come so far.
    fn discard(&mut self) -> io::Result<()>;
}

/// Shortest time-out that systems take for one.
const SHORTEST: Duration = Duration::from_millis(1);

fn left(deadline: Instant) -> io::Result<Duration> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() { Err(ErrorKind::TimedOut.into()) } else { Ok(left.max(SHORTEST)) }
}

fn one_kind(error: io::Error) -> io::Error {
    if error.kind() == ErrorKind::WouldBlock { ErrorKind::TimedOut.into() } else { error }
}

fn some(count: usize) -> io::Result<usize> {
    if count == 0 { Err(io::Error::new(ErrorKind::UnexpectedEof, "closed by the device")) } else { Ok(count) }
}

fn connect(host: &str, port: u16, timeout: Duration) -> io::Result<TcpStream> {
    let deadline = Instant::now() + timeout;
    let host = host.trim().trim_start_matches('[').trim_end_matches(']');
    let mut last = io::Error::new(ErrorKind::NotFound, "the host name has no address");
    for address in (host, port).to_socket_addrs()? {
        match left(deadline).and_then(|left| TcpStream::connect_timeout(&address, left)) {
            Ok(stream) => {
                stream.set_nodelay(true)?;
                return Ok(stream);
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

impl Stream for TcpStream {
    fn send(&mut self, bytes: &[u8], deadline: Instant) -> io::Result<()> {
        self.set_write_timeout(Some(left(deadline)?))?;
        self.write_all(bytes).map_err(one_kind)
    }

    fn receive(&mut self, buffer: &mut [u8], deadline: Instant) -> io::Result<usize> {
        loop {
            self.set_read_timeout(Some(left(deadline)?))?;
            match self.read(buffer) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                result => return result.map_err(one_kind).and_then(some),
            }
        }
    }

    fn discard(&mut self) -> io::Result<()> {
        self.set_nonblocking(true)?;
        let mut buffer = [0; 512];
        let result = loop {
            match self.read(&mut buffer) {
                Ok(count) if count > 0 => {}
                Ok(_) => break some(0).map(|_| ()),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break Ok(()),
                Err(error) => break Err(error),
            }
        };
        self.set_nonblocking(false)?;
        result
    }
}

struct Serial(Box<dyn serialport::SerialPort>);

fn open_serial(settings: &SerialSettings) -> io::Result<Box<dyn Stream>> {
    // Baud 0 would hang up the line.
    if settings.baud < 1200 {
        return Err(io::Error::new(ErrorKind::InvalidInput, "the baud rate must be 1200 or more"));
    }
    let (parity, stop) = match settings.parity {
        Parity::None => (serialport::Parity::None, serialport::StopBits::One),
        Parity::Even => (serialport::Parity::Even, serialport::StopBits::One),
        Parity::Odd => (serialport::Parity::Odd, serialport::StopBits::One),
        Parity::NoneTwoStop => (serialport::Parity::None, serialport::StopBits::Two),
    };
    let port =
        serialport::new(&settings.path, settings.baud).parity(parity).stop_bits(stop).timeout(SHORTEST).open()?;
    Ok(Box::new(Serial(port)))
}

impl Stream for Serial {
    fn send(&mut self, bytes: &[u8], deadline: Instant) -> io::Result<()> {
        self.0.set_timeout(left(deadline)?)?;
        self.0.write_all(bytes)?;
        self.0.flush()
    }

    fn receive(&mut self, buffer: &mut [u8], deadline: Instant) -> io::Result<usize> {
        loop {
            self.0.set_timeout(left(deadline)?)?;
            match self.0.read(buffer) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                result => return result.map_err(one_kind).and_then(some),
            }
        }
    }

    fn discard(&mut self) -> io::Result<()> {
        Ok(self.0.clear(serialport::ClearBuffer::Input)?)
    }
}
