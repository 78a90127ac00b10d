//! The rims in real time: TCP, pseudo-terminal, and a socket pair; and the handle to a bus that runs.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::OFlags;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{OptionalActions, tcgetattr, tcsetattr};

use crate::bus::SimulatedBus;

/// Largest piece read at once.
const PIECE: usize = 512;

/// A bus that runs in real time; clones are the same bus.
///
/// Every call is short: the thread that runs the bus holds it only while it computes, never while it waits.
#[derive(Debug, Clone)]
pub struct BusHandle {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    bus: Mutex<SimulatedBus>,
    stopped: AtomicBool,
    /// One byte here wakes the thread that runs the bus.
    wake: UnixStream,
    woken: UnixStream,
}

impl BusHandle {
    /// Makes a bus ready to run.
    ///
    /// # Errors
    /// The system has no more file descriptors.
    pub fn new(bus: SimulatedBus) -> io::Result<BusHandle> {
        let (wake, woken) = UnixStream::pair()?;
        wake.set_nonblocking(true)?;
        woken.set_nonblocking(true)?;
        Ok(BusHandle {
            shared: Arc::new(Shared { bus: Mutex::new(bus), stopped: AtomicBool::new(false), wake, woken }),
        })
    }

    /// Looks at the bus or changes it, at the present time: `handle.with(|bus, now| bus.unplug(now, 0))`.
    ///
    /// Keep the work short, and do not call the handle from within: the bus waits meanwhile.
    pub fn with<R>(&self, work: impl FnOnce(&mut SimulatedBus, Instant) -> R) -> R {
        let result = self.quietly(|bus, now| {
            bus.handle_timeout(now);
            work(bus, now)
        });
        self.wake();
        result
    }

    /// Makes [`run_tcp`], [`run_pty`] and [`run_socket`] return, now or when they are called.
    pub fn stop(&self) {
        self.shared.stopped.store(true, Ordering::SeqCst);
        self.wake();
    }

    fn is_stopped(&self) -> bool {
        self.shared.stopped.load(Ordering::SeqCst)
    }

    fn wake(&self) {
        // A full pipe wakes as well as one more byte would.
        let _full = (&self.shared.wake).write(&[0]);
    }

    fn quietly<R>(&self, work: impl FnOnce(&mut SimulatedBus, Instant) -> R) -> R {
        // A test that panicked while it looked at the bus leaves it whole: every change is complete in itself.
        let mut bus = self.shared.bus.lock().unwrap_or_else(PoisonError::into_inner);
        work(&mut bus, Instant::now())
    }

    /// What is to be written now, and how long to wait for the next thing.
    fn step(&self) -> (Vec<u8>, Option<Duration>) {
        self.quietly(|bus, now| {
            bus.handle_timeout(now);
            let mut output = Vec::new();
            while let Some(piece) = bus.poll_output() {
                output.extend(piece);
            }
            let wait = bus.next_timeout().map(|at| at.saturating_duration_since(now));
            (output, wait)
        })
    }

    fn deliver(&self, bytes: &[u8]) {
        self.quietly(|bus, now| bus.handle_bytes(now, bytes));
    }

    /// Waits until one of the descriptors is readable or the time is up; tells which are.
    fn wait(&self, wait: Option<Duration>, others: &[BorrowedFd<'_>]) -> io::Result<Vec<bool>> {
        let mut polled = vec![PollFd::new(&self.shared.woken, PollFlags::IN)];
        polled.extend(others.iter().map(|other| PollFd::from_borrowed_fd(*other, PollFlags::IN)));
        // Round up, so as not to wake a moment too early and again.
        let wait = wait.map(|wait| Timespec {
            tv_sec: i64::try_from(wait.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: i64::from(wait.subsec_nanos()),
        });
        match poll(&mut polled, wait.as_ref()) {
            Ok(_) => {}
            Err(rustix::io::Errno::INTR) => return Ok(vec![false; others.len()]),
            Err(error) => return Err(error.into()),
        }
        let ready: Vec<bool> = polled.iter().map(|polled| !polled.revents().is_empty()).collect();
        if ready.first() == Some(&true) {
            let mut bytes = [0; 64];
            while matches!((&self.shared.woken).read(&mut bytes), Ok(count) if count > 0) {}
        }
        Ok(ready.into_iter().skip(1).collect())
    }
}

/// Runs the bus for clients of a TCP port, as behind a serial gateway, until [`BusHandle::stop`].
///
/// One client at a time: a new one takes the place of the old, so that a master that lost its connection gets back at once.
/// Without a client the connectors go on, unheard.
///
/// # Errors
/// The listener fails. A client's failure only ends that client.
pub fn run_tcp(listener: &TcpListener, bus: &BusHandle) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    let mut client: Option<TcpStream> = None;
    while !bus.is_stopped() {
        let (output, wait) = bus.step();
        if let Some(stream) = &mut client
            && let Err(error) = send(stream, &output)
        {
            log::info!("simulated bus: client lost: {error}");
            client = None;
        }
        let mut descriptors = vec![listener.as_fd()];
        descriptors.extend(client.as_ref().map(AsFd::as_fd));
        let ready = bus.wait(wait, &descriptors)?;
        if ready.get(1) == Some(&true)
            && let Some(stream) = &mut client
            && let Err(error) = receive(stream, bus)
        {
            log::info!("simulated bus: client gone: {error}");
            client = None;
        }
        if ready.first() == Some(&true) {
            match listener.accept() {
                Ok((stream, address)) => {
                    log::info!("simulated bus: client {address}");
                    stream.set_nonblocking(true)?;
                    stream.set_nodelay(true)?;
                    client = Some(stream);
                }
                Err(error)
                    if matches!(
                        error.kind(),
                        ErrorKind::WouldBlock | ErrorKind::ConnectionAborted | ErrorKind::Interrupted
                    ) => {}
                Err(error) => return Err(error),
            }
        }
    }
    Ok(())
}

/// Runs the bus on one end of a socket pair until the other end closes or [`BusHandle::stop`]: an in-memory line in real time.
///
/// # Errors
/// The system refuses to wait for the socket.
pub fn run_socket(mut socket: UnixStream, bus: &BusHandle) -> io::Result<()> {
    socket.set_nonblocking(true)?;
    while !bus.is_stopped() {
        let (output, wait) = bus.step();
        if send(&mut socket, &output).is_err() {
            return Ok(());
        }
        let ready = bus.wait(wait, &[socket.as_fd()])?;
        if ready.first() == Some(&true) && receive(&mut socket, bus).is_err() {
            return Ok(());
        }
    }
    Ok(())
}

/// Runs the bus on a pseudo-terminal that `path` leads to, until [`BusHandle::stop`]. `path` becomes a symbolic link, and is
/// removed at the end.
///
/// The terminal stays open between clients; what nobody reads is kept up to a few thousand bytes, then dropped.
///
/// # Errors
/// The system gives no terminal, or `path` exists and is no symbolic link.
pub fn run_pty(path: &Path, bus: &BusHandle) -> io::Result<()> {
    Pty::open(path)?.run(bus)
}

/// A pseudo-terminal that is ready to be opened by a client, before the bus runs on it.
#[derive(Debug)]
pub struct Pty {
    master: File,
    /// Held so that the terminal survives its clients.
    _slave: File,
    link: PathBuf,
    target: PathBuf,
}

impl Pty {
    /// Makes the terminal, and the symbolic link to it.
    ///
    /// # Errors
    /// As for [`run_pty`].
    pub fn open(path: &Path) -> io::Result<Pty> {
        let master: OwnedFd = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
        grantpt(&master)?;
        unlockpt(&master)?;
        let name = ptsname(&master, Vec::new())?.into_bytes();
        let target = PathBuf::from(std::ffi::OsString::from_vec(name));
        let slave = OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(OFlags::NOCTTY.bits().cast_signed())
            .open(&target)?;
        let mut settings = tcgetattr(&slave)?;
        settings.make_raw();
        tcsetattr(&slave, OptionalActions::Now, &settings)?;
        rustix::io::ioctl_fionbio(&master, true)?;
        match path.symlink_metadata() {
            Ok(found) if found.file_type().is_symlink() => std::fs::remove_file(path)?,
            Ok(_) => {
                return Err(io::Error::new(
                    ErrorKind::AlreadyExists,
                    format!("{} exists and is not a symbolic link; give another path for the terminal", path.display()),
                ));
            }
            Err(_) => {}
        }
        std::os::unix::fs::symlink(&target, path).map_err(|error| {
            io::Error::new(
                error.kind(),
                format!(
                    "cannot make the link {} to the terminal: {error}; give a path in a directory that you may write to",
                    path.display()
                ),
            )
        })?;
        Ok(Pty { master: File::from(master), _slave: slave, link: path.to_owned(), target })
    }

    /// Runs the bus on it until [`BusHandle::stop`].
    ///
    /// # Errors
    /// The terminal fails.
    pub fn run(mut self, bus: &BusHandle) -> io::Result<()> {
        while !bus.is_stopped() {
            let (output, wait) = bus.step();
            send(&mut self.master, &output)?;
            let ready = bus.wait(wait, &[self.master.as_fd()])?;
            if ready.first() == Some(&true) {
                receive(&mut self.master, bus)?;
            }
        }
        Ok(())
    }
}

impl Drop for Pty {
    fn drop(&mut self) {
        if std::fs::read_link(&self.link).is_ok_and(|target| target == self.target)
            && let Err(error) = std::fs::remove_file(&self.link)
        {
            log::debug!("cannot remove {}: {error}", self.link.display());
        }
    }
}

/// Writes what the other side takes; a line does not wait for its listeners.
fn send(to: &mut impl Write, bytes: &[u8]) -> io::Result<()> {
    let mut left = bytes;
    while !left.is_empty() {
        match to.write(left) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(written) => left = left.get(written..).unwrap_or(&[]),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Hands everything that has arrived to the bus; an error when the other side is gone.
fn receive(from: &mut impl Read, bus: &BusHandle) -> io::Result<()> {
    let mut bytes = [0; PIECE];
    loop {
        match from.read(&mut bytes) {
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Ok(count) => bus.deliver(bytes.get(..count).unwrap_or(&[])),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error),
        }
    }
}
