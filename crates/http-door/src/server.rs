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
use crate::session::Rules;
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
        let jobs = Arc::new(Jobs::default());
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
