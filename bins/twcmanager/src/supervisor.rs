//! The service manager that started the program: told when it is ready, alive and ending.
//!
//! The protocol is that of systemd's `sd_notify`: lines of text to the datagram socket named in `NOTIFY_SOCKET`, where a
//! leading `@` stands for the abstract namespace. Without that variable nobody is told anything.

use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

/// The service manager, if there is one.
pub struct Supervisor {
    socket: Option<UnixDatagram>,
    /// How long the manager waits for a sign of life.
    watchdog: Option<Duration>,
}

impl Supervisor {
    /// As the environment says.
    pub fn from_environment() -> Supervisor {
        let variable = |name: &str| std::env::var(name).ok();
        Supervisor::of(
            variable("NOTIFY_SOCKET").as_deref(),
            variable("WATCHDOG_USEC").as_deref(),
            variable("WATCHDOG_PID").as_deref(),
        )
    }

    fn of(socket: Option<&str>, watchdog: Option<&str>, for_process: Option<&str>) -> Supervisor {
        let socket = socket.filter(|path| !path.is_empty()).and_then(|path| {
            let told = connect(path);
            told.map_err(|error| log::warn!("the service manager cannot be told anything ({path}): {error}")).ok()
        });
        let is_ours = for_process.is_none_or(|id| id.parse() == Ok(std::process::id()));
        let watchdog = watchdog.filter(|_| is_ours).and_then(|micros| micros.parse().ok()).filter(|micros| *micros > 0);
        Supervisor { socket, watchdog: watchdog.map(Duration::from_micros) }
    }

    /// Everything runs.
    pub fn ready(&self) {
        self.tell("READY=1");
    }

    /// The end has begun.
    pub fn stopping(&self) {
        self.tell("STOPPING=1");
    }

    /// Gives signs of life for as long as `is_alive` says so; it is asked three times in the time that the manager waits.
    /// It may block for a while itself. `None` when nobody waits for signs of life.
    pub fn watch(&self, mut is_alive: impl FnMut() -> bool + Send + 'static) -> Option<Watch> {
        let period = self.watchdog? / 3;
        let socket = self.socket.as_ref()?.try_clone().ok()?;
        let (stop, stopped) = channel();
        let work = move || {
            let mut was_alive = true;
            while stopped.recv_timeout(period) == Err(RecvTimeoutError::Timeout) {
                let is_alive = is_alive();
                if is_alive {
                    tell(&socket, "WATCHDOG=1");
                } else if was_alive {
                    log::error!("a bus thread gives no sign of life; the service manager will restart the program");
                }
                was_alive = is_alive;
            }
        };
        let thread = std::thread::Builder::new().name("watchdog".to_owned()).stack_size(128 * 1024).spawn(work);
        match thread {
            Ok(thread) => Some(Watch { stop: Some(stop), thread: Some(thread) }),
            Err(error) => {
                log::error!("the watchdog cannot be fed: {error}");
                None
            }
        }
    }

    fn tell(&self, text: &str) {
        if let Some(socket) = &self.socket {
            tell(socket, text);
        }
    }
}

/// The thread that gives signs of life; ends when this is dropped.
pub struct Watch {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Watch {
    fn drop(&mut self) {
        drop(self.stop.take());
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            log::error!("the watchdog's thread failed inside");
        }
    }
}

fn connect(path: &str) -> std::io::Result<UnixDatagram> {
    let address = match path.strip_prefix('@') {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(path)?,
    };
    let socket = UnixDatagram::unbound()?;
    socket.connect_addr(&address)?;
    // A manager that does not read must not hold anything up.
    socket.set_nonblocking(true)?;
    Ok(socket)
}

fn tell(socket: &UnixDatagram, text: &str) {
    if let Err(error) = socket.send(text.as_bytes()) {
        log::debug!("the service manager was not told {text}: {error}");
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    fn heard(manager: &UnixDatagram) -> String {
        let mut buffer = [0; 64];
        manager.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let length = manager.recv(&mut buffer).unwrap();
        String::from_utf8_lossy(&buffer[..length]).into_owned()
    }

    #[test]
    fn a_socket_in_the_file_system_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let manager = UnixDatagram::bind(&path).unwrap();
        let supervisor = Supervisor::of(path.to_str(), None, None);
        supervisor.ready();
        supervisor.stopping();
        assert_eq!((heard(&manager), heard(&manager)), ("READY=1".to_owned(), "STOPPING=1".to_owned()));
        assert!(supervisor.watch(|| true).is_none(), "nobody waits for signs of life");
    }

    #[test]
    fn signs_of_life_end_with_the_life() {
        let name = format!("twcmanager-test-{}", std::process::id());
        let manager = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
        let supervisor = Supervisor::of(Some(&format!("@{name}")), Some("3000"), None);
        let alive = Arc::new(AtomicBool::new(true));
        let (asked, asks) = channel();
        let is_alive = Arc::clone(&alive);
        let watch = supervisor.watch(move || {
            let _ = asked.send(());
            is_alive.load(Ordering::SeqCst)
        });
        assert_eq!(heard(&manager), "WATCHDOG=1");
        alive.store(false, Ordering::SeqCst);
        // One question may have been answered before; after two more all that was told is there.
        for _ in 0..asks.try_iter().count() + 3 {
            asks.recv_timeout(Duration::from_secs(20)).unwrap();
        }
        manager.set_nonblocking(true).unwrap();
        while manager.recv(&mut [0; 64]).is_ok() {}
        asks.recv_timeout(Duration::from_secs(20)).unwrap();
        asks.recv_timeout(Duration::from_secs(20)).unwrap();
        assert!(manager.recv(&mut [0; 64]).is_err(), "no sign of life may come any more");
        drop(watch);
    }

    #[test]
    fn a_watchdog_of_another_process_is_not_fed() {
        assert!(Supervisor::of(None, Some("1000"), Some("1")).watchdog.is_none());
        assert!(Supervisor::of(None, Some("nonsense"), None).watchdog.is_none());
        let own = std::process::id().to_string();
        assert_eq!(Supervisor::of(None, Some("1000"), Some(&own)).watchdog, Some(Duration::from_millis(1)));
    }
}
