//! Ways to the bus, as bytes that can be waited for.

mod memory;
mod serial;
mod tcp;
mod telnet;

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use crate::PortSpec;
use crate::mailbox::Mailbox;
use telnet::Telnet;

pub use memory::{MemoryPort, memory_port};

/// An open way to the bus.
pub(crate) enum Port {
    Serial(serial::SerialLink),
    Tcp(TcpStream),
    Rfc2217 { stream: TcpStream, telnet: Telnet, replies: Vec<u8> },
    Memory(UnixStream),
}

impl Port {
    /// Opens it; blocks for some seconds at most, except for a slow name service.
    fn open(spec: &PortSpec, baud: u32) -> io::Result<Port> {
        match spec {
            PortSpec::Serial(path) => Ok(Port::Serial(serial::SerialLink::open(path, baud)?)),
            PortSpec::Tcp { host, port } => Ok(Port::Tcp(tcp::connect(host, *port)?)),
            PortSpec::Rfc2217 { host, port } => {
                let mut stream = tcp::connect(host, *port)?;
                let telnet = Telnet::new(baud);
                write_whole(&mut stream, &telnet.greeting())?;
                Ok(Port::Rfc2217 { stream, telnet, replies: Vec::new() })
            }
            PortSpec::Memory(memory) => Ok(Port::Memory(memory.open()?)),
        }
    }

    /// What to wait for.
    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        match self {
            Port::Serial(serial) => serial.fd(),
            Port::Tcp(stream) | Port::Rfc2217 { stream, .. } => stream.as_fd(),
            Port::Memory(stream) => stream.as_fd(),
        }
    }

    /// Takes what has arrived, once `fd` is readable; appends to `data`. An end of the stream is an error.
    pub(crate) fn read(&mut self, data: &mut Vec<u8>) -> io::Result<()> {
        let mut buffer = [0; 512];
        let read = match self {
            Port::Serial(serial) => serial.read(&mut buffer),
            Port::Tcp(stream) | Port::Rfc2217 { stream, .. } => stream.read(&mut buffer),
            Port::Memory(stream) => stream.read(&mut buffer),
        };
        let count = match read {
            Ok(0) => return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the other end closed it")),
            Ok(count) => count,
            Err(error) if is_momentary(&error) => return Ok(()),
            Err(error) => return Err(error),
        };
        let bytes = buffer.get(..count).unwrap_or(&buffer);
        if let Port::Rfc2217 { stream, telnet, replies } = self {
            telnet.receive(bytes, data, replies);
            if telnet.was_refused() {
                log::warn!(
                    "the RFC 2217 server does not let the line be set; set it to 9600 8N1 at the server, or use socket://"
                );
            }
            if !replies.is_empty() {
                write_whole(stream, replies)?;
                replies.clear();
            }
        } else {
            data.extend_from_slice(bytes);
        }
        Ok(())
    }

    /// Hands a frame over whole, or fails: a line that cannot take 42 bytes is dead.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Port::Serial(serial) => serial.write(bytes),
            Port::Tcp(stream) => write_whole(stream, bytes),
            Port::Rfc2217 { stream, .. } => write_whole(stream, &Telnet::escape(bytes)),
            Port::Memory(stream) => write_whole(stream, bytes),
        }
    }
}

fn is_momentary(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted | io::ErrorKind::TimedOut)
}

/// Writes at once or not at all: half a frame would be noise.
fn write_whole(stream: &mut impl Write, bytes: &[u8]) -> io::Result<()> {
    let written = loop {
        match stream.write(bytes) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            other => break other?,
        }
    };
    if written == bytes.len() {
        Ok(())
    } else {
        Err(io::Error::new(io::ErrorKind::WriteZero, "the line takes no more bytes"))
    }
}

/// Opens a port on a thread of its own, so that neither a name service nor a dead gateway holds up the bus thread.
pub(crate) struct Opening {
    result: Arc<Mutex<Option<io::Result<Port>>>>,
}

impl Opening {
    /// Begins; the mailbox's bell rings at the end.
    pub(crate) fn begin(spec: &PortSpec, baud: u32, mailbox: &Arc<Mailbox>) -> io::Result<Self> {
        let result = Arc::new(Mutex::new(None));
        let (spec, theirs, mailbox) = (spec.clone(), Arc::clone(&result), Arc::clone(mailbox));
        thread::Builder::new().name("gen2-open".to_owned()).spawn(move || {
            let opened = Port::open(&spec, baud);
            *theirs.lock().unwrap_or_else(PoisonError::into_inner) = Some(opened);
            mailbox.ring();
        })?;
        Ok(Opening { result })
    }

    /// The port or why there is none; nothing while it takes its time.
    pub(crate) fn take(&self) -> Option<io::Result<Port>> {
        self.result.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}
