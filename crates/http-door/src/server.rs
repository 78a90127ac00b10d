//! Starting and ending the server.

use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use mio::{Poll, Waker};

use crate::error::DoorError;
use crate::listen;
use crate::reactor::{Door, MAILBOX, Reactor};
use crate::request::Request;
use crate::response::Response;
use crate::rules::Rules;
use crate::settings::ServerConfig;
use crate::tls::Certificates;
use crate::workers::{self, Jobs, Mailbox, Note};

/// Stack of each thread. Only what is touched costs memory.
const STACK: usize = 256 * 1024;

/// How long [`Server::shutdown`] waits for its threads.
const FAREWELL: Duration = Duration::from_millis(900);

/// Pause before the door's thread goes on after a fault of its own.
const RESTART_PAUSE: Duration = Duration::from_millis(200);

/// Answers requests.
///
/// # For those who implement it
///
/// Called from several threads at once. It may block, on a database for example: as many requests as there are workers
/// are answered at the same time, and one that takes longer than `Limits::answer_time` is answered with 503 in its place. A panic
/// becomes a 500. `HEAD` may be treated as `GET`. To answer with server-sent events, keep an [`crate::EventHub`] and return
/// `Response::events(hub.subscribe(..))`: the worker is free again at once.
pub trait Handler: Send + Sync {
    /// Answers one request.
    fn handle(&self, request: Request) -> Response;
}

impl<F> Handler for F
where
    F: Fn(Request) -> Response + Send + Sync,
{
    fn handle(&self, request: Request) -> Response {
        self(request)
    }
}

/// Where a listener ended up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Listening {
    /// Address and actual port.
    pub address: SocketAddr,
    /// Whether clients must speak TLS here.
    pub is_tls: bool,
}

/// Counts since the start, for a status page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    /// Requests handed to the handler.
    pub requests: u64,
    /// Requests and connections that the door itself answered with an error.
    pub rejects: u64,
}

/// A running server. Dropping it is [`Server::shutdown`].
#[derive(Debug)]
pub struct Server {
    listening: Vec<Listening>,
    rules: Arc<Rules>,
    certificates: Option<Arc<Certificates>>,
    mailbox: Arc<Mailbox>,
    jobs: Arc<Jobs>,
    threads: Vec<JoinHandle<()>>,
    running: Arc<Running>,
}

impl Server {
    /// Opens the listeners and starts the threads: one for the door and one for each worker.
    ///
    /// # Errors
    ///
    /// A port that is taken or forbidden, an address that is not this computer's, an unusable certificate. Nothing keeps
    /// running after an error.
    pub fn start(config: ServerConfig, handler: Arc<dyn Handler>) -> Result<Server, DoorError> {
        if config.listeners.is_empty() {
            return Err(DoorError::NoListener);
        }
        let certificates = match config.tls {
            Some(files) => Some(Arc::new(Certificates::load(files)?)),
            None => None,
        };
        let mut doors = Vec::new();
        let mut listening = Vec::new();
        for listen in &config.listeners {
            if listen.is_tls && certificates.is_none() {
                return Err(DoorError::NoCertificate { setting: listen.setting });
            }
            let socket = listen::open(listen)?;
            listening
                .push(Listening { address: socket.local_addr().map_err(DoorError::System)?, is_tls: listen.is_tls });
            doors.push(Door::new(mio::net::TcpListener::from_std(socket), listen.is_tls));
        }
        let poll = Poll::new().map_err(DoorError::System)?;
        let waker = Waker::new(poll.registry(), MAILBOX).map_err(DoorError::System)?;
        let mailbox = Arc::new(Mailbox::new(waker));
        let jobs = Arc::new(Jobs::new(config.limits.connections.max(1)));
        let rules = Rules::new(config.limits);
        let mut reactor = Reactor::new(
            poll,
            Arc::clone(&mailbox),
            Arc::clone(&jobs),
            Arc::clone(&rules),
            certificates.clone(),
            doors,
        )
        .map_err(DoorError::System)?;
        // From here on, dropping the server ends the threads that were started; the door's comes first since it ends the others.
        let mut server =
            Server { listening, rules, certificates, mailbox, jobs, threads: Vec::new(), running: Arc::default() };
        let jobs = Arc::clone(&server.jobs);
        server.spawn("http-door", move || {
            while catch_unwind(AssertUnwindSafe(|| reactor.run())).is_err() {
                log::error!("the web server's thread panicked; all its connections were closed and it goes on");
                thread::sleep(RESTART_PAUSE);
                reactor.forget_connections();
            }
            jobs.close();
        })?;
        for index in 0..config.workers.0.max(1) {
            let jobs = Arc::clone(&server.jobs);
            let mailbox = Arc::clone(&server.mailbox);
            let handler = Arc::clone(&handler);
            server.spawn(&format!("http-worker-{index}"), move || {
                workers::work(&jobs, &mailbox, &*handler);
            })?;
        }
        Ok(server)
    }

    fn spawn(&mut self, name: &str, body: impl FnOnce() + Send + 'static) -> Result<(), DoorError> {
        let running = Alive::new(&self.running);
        let thread = thread::Builder::new()
            .name(name.to_owned())
            .stack_size(STACK)
            .spawn(move || {
                let _running = running;
                body();
            })
            .map_err(DoorError::System)?;
        self.threads.push(thread);
        Ok(())
    }

    /// Where the server listens, in the order of the configuration, with the actual ports.
    pub fn listening(&self) -> &[Listening] {
        &self.listening
    }

    /// The port of the first listener.
    pub fn port(&self) -> u16 {
        self.listening.first().map_or(0, |listening| listening.address.port())
    }

    /// What happened so far.
    pub fn counts(&self) -> Counts {
        Counts {
            requests: self.rules.requests.load(Ordering::Relaxed),
            rejects: self.rules.rejects.load(Ordering::Relaxed),
        }
    }

    /// Reads the certificate files again, for new connections; call it when they were renewed. On error the old certificate
    /// stays in use.
    pub fn reload_certificates(&self) -> Result<(), DoorError> {
        match &self.certificates {
            Some(certificates) => certificates.reload(),
            None => Ok(()),
        }
    }

    /// Ends within a second: closes the listeners, ends event streams, lets answers that are on their way leave, joins the
    /// threads. A handler that hangs is left behind with a warning.
    pub fn shutdown(self) {
        // Dropping does it.
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.mailbox.post(Note::End);
        if self.running.wait_for_none(FAREWELL) {
            for thread in self.threads.drain(..) {
                // Its panic, if it had one, was logged where it happened.
                let _ = thread.join();
            }
        } else {
            log::warn!("the web server ends although a request is still being worked on");
        }
    }
}

/// Counts living threads.
#[derive(Debug, Default)]
struct Running {
    count: Mutex<usize>,
    changed: Condvar,
}

impl Running {
    fn wait_for_none(&self, patience: Duration) -> bool {
        let count = self.count.lock().unwrap_or_else(PoisonError::into_inner);
        let (count, _) = self
            .changed
            .wait_timeout_while(count, patience, |count| *count > 0)
            .unwrap_or_else(PoisonError::into_inner);
        *count == 0
    }
}

struct Alive(Arc<Running>);

impl Alive {
    fn new(running: &Arc<Running>) -> Alive {
        *running.count.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        Alive(Arc::clone(running))
    }
}

impl Drop for Alive {
    fn drop(&mut self) {
        *self.0.count.lock().unwrap_or_else(PoisonError::into_inner) -= 1;
        self.0.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::{Limits, Listen, Workers};
    use std::io::{Read, Write};
    use std::net::{Ipv6Addr, TcpListener, TcpStream};
    use std::sync::mpsc;

    const PATIENCE: Duration = Duration::from_secs(60);

    fn config(listen: Listen) -> ServerConfig {
        ServerConfig { listeners: vec![listen], ..ServerConfig::default() }
    }

    fn get(address: impl std::net::ToSocketAddrs) -> String {
        let mut socket = TcpStream::connect(address).expect("it listens");
        socket.set_read_timeout(Some(PATIENCE)).expect("an option");
        socket.write_all(b"GET / HTTP/1.0\r\n\r\n").expect("sent");
        let mut reply = String::new();
        socket.read_to_string(&mut reply).expect("an answer");
        reply
    }

    #[test]
    fn everywhere_means_both_families_and_peers_are_shown_plainly() {
        let handler = |request: Request| Response::text(200, request.peer.to_string());
        let server = Server::start(config(Listen::everywhere(0)), Arc::new(handler)).expect("it starts");
        assert!(get(("127.0.0.1", server.port())).ends_with("\r\n\r\n127.0.0.1"));
        if TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_ok() {
            assert!(get((Ipv6Addr::LOCALHOST, server.port())).ends_with("\r\n\r\n::1"));
        }
        assert!(server.counts().requests >= 1);
        assert_eq!(server.counts().rejects, 0);
    }

    #[test]
    fn after_shutdown_the_port_is_free_and_the_handler_is_dropped() {
        let handler: Arc<dyn Handler> = Arc::new(|_: Request| Response::new(204));
        let server = Server::start(config(Listen::loopback(0)), Arc::clone(&handler)).expect("it starts");
        let port = server.port();
        assert!(get(("127.0.0.1", port)).starts_with("HTTP/1.0 204"));
        let _idle = TcpStream::connect(("127.0.0.1", port)).expect("it listens");
        server.shutdown();
        assert_eq!(Arc::strong_count(&handler), 1, "every thread has ended");
        let again = Server::start(config(Listen::loopback(port)), handler).expect("the port is free");
        assert_eq!(again.port(), port);
    }

    #[test]
    fn a_hanging_handler_does_not_keep_the_server_from_ending() {
        let (entered, is_entered) = mpsc::channel();
        let (release, is_released) = mpsc::channel::<()>();
        let is_released = Mutex::new(is_released);
        let handler = move |_: Request| {
            entered.send(()).expect("the test waits");
            let _ = is_released.lock().expect("one worker").recv();
            Response::new(204)
        };
        let config = ServerConfig { workers: Workers(1), limits: Limits::default(), ..config(Listen::loopback(0)) };
        let server = Server::start(config, Arc::new(handler)).expect("it starts");
        let mut socket = TcpStream::connect(("127.0.0.1", server.port())).expect("it listens");
        socket.write_all(b"GET / HTTP/1.0\r\n\r\n").expect("sent");
        is_entered.recv_timeout(PATIENCE).expect("the handler runs");
        server.shutdown();
        drop(release);
    }

    #[test]
    fn impossible_configurations_are_explained() {
        let start = |config| {
            Server::start(config, Arc::new(|_: Request| Response::new(204))).expect_err("impossible").to_string()
        };
        assert!(start(ServerConfig::default()).contains("configure at least one port"));
        let text = start(config(Listen::loopback(0).with_tls().named("\"httpsPort\"")));
        assert!(text.starts_with("\"httpsPort\" asks for HTTPS"), "{text}");
    }
}
