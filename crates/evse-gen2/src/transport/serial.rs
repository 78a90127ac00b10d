//! A serial device or pseudo-terminal.

use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

use rustix::fs::{Mode, OFlags};
use serialport::{ClearBuffer, DataBits, FlowControl, Parity, SerialPort as _, StopBits, TTYPort};

/// A frame goes to the driver's buffer at once; a buffer that stays full this long means a dead adapter.
const WRITE_PATIENCE: Duration = Duration::from_millis(100);

/// An open serial line.
pub(crate) struct SerialLink {
    port: TTYPort,
    /// The same device once more, only to be waited for: `TTYPort` lends its descriptor to nobody.
    watch: OwnedFd,
}

impl SerialLink {
    pub(crate) fn open(path: &Path, baud: u32) -> io::Result<Self> {
        // Opened first, because the port proper locks out everybody who comes later.
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let watch = rustix::fs::open(path, flags, Mode::empty())?;
        let name = path.to_str().ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "the name is not text"))?;
        let port = serialport::new(name, baud)
            .data_bits(DataBits::Eight)
            .parity(Parity::None)
            .stop_bits(StopBits::One)
            .flow_control(FlowControl::None)
            .timeout(WRITE_PATIENCE)
            .exclusive(true)
            .open_native()?;
        // Bytes from before the line was set are noise. A pseudo-terminal may not know how; that does no harm.
        if let Err(error) = port.clear(ClearBuffer::Input) {
            log::debug!("{name}: old input was not cleared: {error}");
        }
        Ok(SerialLink { port, watch })
    }

    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.watch.as_fd()
    }

    /// To be called when `fd` is readable: waits up to 100 ms otherwise.
    pub(crate) fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.port.read(buffer)
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.port.write_all(bytes)
    }
}
