//! A peer in the same process.

use std::io;
use std::os::unix::net::UnixStream;
use std::sync::Arc;

/// One end of an in-memory link, to be given to [`PortSpec::Memory`](crate::PortSpec::Memory).
///
/// Cloning gives another name for the same end. Once the peer hangs up, the link stays down.
#[derive(Debug, Clone)]
pub struct MemoryPort {
    stream: Arc<UnixStream>,
}

impl PartialEq for MemoryPort {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.stream, &other.stream)
    }
}

impl Eq for MemoryPort {}

impl MemoryPort {
    /// A port over a stream whose other end somebody else holds.
    #[must_use]
    pub fn from_stream(stream: UnixStream) -> Self {
        MemoryPort { stream: Arc::new(stream) }
    }

    pub(crate) fn open(&self) -> io::Result<UnixStream> {
        let stream = self.stream.try_clone()?;
        stream.set_nonblocking(true)?;
        Ok(stream)
    }
}

/// An in-memory link: the port for the controller, and the stream for whoever plays the connectors.
///
/// # Errors
/// When the system is short of file descriptors.
pub fn memory_port() -> io::Result<(MemoryPort, UnixStream)> {
    let (ours, theirs) = UnixStream::pair()?;
    Ok((MemoryPort::from_stream(ours), theirs))
}
