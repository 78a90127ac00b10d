//! The server in a process of its own, and plain sockets as clients.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use http_door::{Event, EventHub, Limits, Listen, Method, Request, Response, Server, ServerConfig, TlsFiles};
use rustix::net::{AddressFamily, SocketFlags, SocketType, sockopt};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Generous: a loaded machine must not fail a test.
const PATIENCE: Duration = Duration::from_secs(60);

/// Descriptors the server may have open, its own few included.
const DESCRIPTORS: u64 = 64;

/// Bound on the server's peak memory, test harness and unoptimised code included.
const PEAK_KIB: u64 = 24 * 1024;

/// Length of the answer to `/big`.
pub const BIG: usize = 3_000_000;

/// Which limits the server runs with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Served {
    Default,
    /// Short times.
    Impatient,
    /// Few places.
    Crowded,
}

const SERVED: &str = "HTTP_DOOR_TEST_SERVED";
const PEM: &str = "HTTP_DOOR_TEST_PEM";

/// The child's side.
pub fn serve() {
    let Ok(served) = std::env::var(SERVED) else {
        return;
    };
    let limit = Rlimit { current: Some(DESCRIPTORS), maximum: Some(DESCRIPTORS) };
    setrlimit(Resource::Nofile, limit).expect("lowering is allowed");
    let pem = PathBuf::from(std::env::var_os(PEM).expect("set by the parent"));
    let limits = match &*served {
        "Impatient" => Limits {
            head_time: Duration::from_millis(200),
            body_time: Duration::from_millis(200),
            answer_time: Duration::from_millis(200),
            write_time: Duration::from_millis(200),
            idle_time: Duration::from_millis(200),
            linger_time: Duration::from_millis(200),
            ..Limits::default()
        },
        "Crowded" => Limits { connections: 8, connections_per_peer: 4, event_streams: 3, ..Limits::default() },
        _ => Limits::default(),
    };
    let config = ServerConfig {
        listeners: vec![Listen::everywhere(0), Listen::loopback(0).with_tls()],
        tls: Some(TlsFiles { certificate: pem.join("cert.pem"), key: pem.join("key.pem") }),
        limits,
        ..ServerConfig::default()
    };
    let server = Server::start(config, Arc::new(handler())).expect("the server starts");
    let ports = server.listening();
    println!("\nSERVED {} {}", ports[0].address.port(), ports[1].address.port());
    let mut nothing = String::new();
    std::io::stdin().read_line(&mut nothing).expect("a pipe");
    server.shutdown();
    println!("\nENDED");
}

fn handler() -> impl Fn(Request) -> Response {
    let hub = EventHub::new();
    let hanging = Arc::new((Mutex::new(()), Condvar::new()));
    let hangs = AtomicUsize::new(0);
    move |request: Request| match (request.method, &*request.path) {
        (Method::Get | Method::Head, "/") => Response::text(200, "fine"),
        (Method::Post, "/echo") => Response::text(200, request.body.len().to_string()),
        (_, "/peer") => {
            let kind = if request.is_tls { "tls" } else { "plain" };
            Response::text(200, format!("{} {kind}", request.peer))
        }
        (_, "/header") => Response::text(200, request.header("x-name").unwrap_or("none").to_owned()),
        (_, "/big") => Response::text(200, vec![b'b'; BIG]),
        (_, "/sized") => Response::text(200, vec![b'~'; request.query.parse().expect("a size")]),
        (_, "/redirect") => {
            let pairs = request.query_pairs();
            Response::new(302).with_header("Location", pairs[0].0.clone())
        }
        (_, "/slow") => {
            std::thread::sleep(Duration::from_millis(5));
            Response::text(200, "slow")
        }
        (_, "/hanging") => Response::text(200, hangs.load(Ordering::SeqCst).to_string()),
        (_, "/hang") => {
            hangs.fetch_add(1, Ordering::SeqCst);
            let guard = hanging.0.lock().expect("not poisoned");
            // Until the process ends.
            drop(hanging.1.wait_timeout_while(guard, PATIENCE * 10, |()| true));
            Response::new(204)
        }
        (_, "/events") => Response::events(hub.subscribe(&[Event::message("hello")])),
        (_, "/publish") => {
            let text = String::from_utf8_lossy(&request.body).into_owned();
            Response::text(200, hub.publish(&Event::message(&text)).to_string())
        }
        (_, "/panic") => panic!("as asked"),
        _ => Response::error(404, "there is nothing here"),
    }
}

/// The parent's side.
pub struct Rig {
    child: Child,
    stdin: Option<ChildStdin>,
    output: BufReader<std::process::ChildStdout>,
    port: u16,
    tls_port: u16,
    pem: PathBuf,
    certificate: rustls::pki_types::CertificateDer<'static>,
}

impl Rig {
    pub fn start() -> Rig {
        Rig::start_with(Served::Default)
    }

    pub fn start_with(served: Served) -> Rig {
        // Hundreds of clients need descriptors on this side.
        let limit = getrlimit(Resource::Nofile);
        let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
        setrlimit(Resource::Nofile, raised).expect("up to the maximum is allowed");

        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let pem = std::env::temp_dir().join(format!(
            "http-door-{}-{}",
            std::process::id(),
            COUNT.fetch_add(1, Ordering::Relaxed)
        ));
        std::fs::create_dir_all(&pem).expect("a temporary folder");
        let pair = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).expect("a pair");
        std::fs::write(pem.join("cert.pem"), pair.cert.pem()).expect("written");
        std::fs::write(pem.join("key.pem"), pair.signing_key.serialize_pem()).expect("written");

        let mut child = Command::new(std::env::current_exe().expect("this test"))
            .args(["--exact", "served", "--nocapture", "--test-threads=1"])
            .env(SERVED, format!("{served:?}"))
            .env(PEM, &pem)
            // Printing one reads the whole debug information, which is no memory of the door's.
            .env("RUST_BACKTRACE", "0")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the server's process");
        let stdin = child.stdin.take();
        let mut output = BufReader::new(child.stdout.take().expect("piped"));
        let ports = loop {
            let mut line = String::new();
            assert_ne!(output.read_line(&mut line).expect("a pipe"), 0, "the server did not start");
            if let Some(ports) = line.trim().strip_prefix("SERVED ") {
                break ports.split(' ').map(|port| port.parse().expect("a port")).collect::<Vec<u16>>();
            }
        };
        Rig { child, stdin, output, port: ports[0], tls_port: ports[1], pem, certificate: pair.cert.der().clone() }
    }

    pub fn client(&self) -> Client {
        self.client_from(1)
    }

    /// A client with the address 127.0.0.`last`.
    pub fn client_from(&self, last: u8) -> Client {
        Client::connect(last, self.port)
    }

    pub fn tls_port_client(&self) -> Client {
        Client::connect(1, self.tls_port)
    }

    pub fn post(&self, path: &str, body: &str) -> Reply {
        let mut client = self.client_from(200);
        client.send(format!(
            "POST {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        ));
        client.reply()
    }

    /// Sends over TLS and reads to the end.
    pub fn https(&self, request: &str) -> String {
        let mut stream = self.https_stream();
        stream.write_all(request.as_bytes()).expect("sent");
        let mut reply = Vec::new();
        stream.read_to_end(&mut reply).expect("a clean end");
        String::from_utf8(reply).expect("text")
    }

    pub fn https_stream(&self) -> rustls::StreamOwned<rustls::ClientConnection, TcpStream> {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(self.certificate.clone()).expect("a certificate");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_root_certificates(roots)
            .with_no_client_auth();
        let name = "localhost".try_into().expect("a name");
        let session = rustls::ClientConnection::new(Arc::new(config), name).expect("a client");
        rustls::StreamOwned::new(session, self.tls_port_client().socket)
    }

    /// A normal client is served, memory and threads are within bounds.
    pub fn is_well(&self) {
        let mut client = self.client_from(100);
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        let reply = client.reply();
        assert_eq!((reply.status, reply.text()), (200, "fine"), "{reply:?}");
        let peak = self.status("VmHWM");
        assert!(peak < PEAK_KIB, "peak memory is {peak} KiB");
        // The door, four workers, and the harness's two.
        let threads = self.status("Threads");
        assert!(threads <= 7, "{threads} threads");
    }

    fn status(&self, key: &str) -> u64 {
        let path = format!("/proc/{}/status", self.child.id());
        let text = std::fs::read_to_string(path).expect("the server runs");
        text.lines()
            .find_map(|line| line.strip_prefix(key)?.strip_prefix(':'))
            .and_then(|rest| rest.split_whitespace().next()?.parse().ok())
            .expect("a figure")
    }

    /// How many descriptors the server has open.
    pub fn descriptors(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.child.id())).expect("the server runs").count()
    }

    pub fn wait_for_descriptors(&self, count: usize) {
        let deadline = std::time::Instant::now() + PATIENCE;
        while self.descriptors() > count {
            assert!(std::time::Instant::now() < deadline, "connections stay open");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// How often any thread of the server has gone to sleep so far.
    pub fn wake_ups(&self) -> u64 {
        std::fs::read_dir(format!("/proc/{}/task", self.child.id()))
            .expect("the server runs")
            .filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("status")).ok())
            .filter_map(|text| {
                text.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"))?.trim().parse::<u64>().ok()
            })
            .sum()
    }

    pub fn wait_until_asleep(&self) {
        let deadline = std::time::Instant::now() + PATIENCE;
        let mut last = self.wake_ups();
        loop {
            std::thread::sleep(Duration::from_millis(50));
            let next = self.wake_ups();
            if next == last {
                return;
            }
            assert!(std::time::Instant::now() < deadline, "never asleep");
            last = next;
        }
    }

    /// Waits until so many handlers hang.
    pub fn wait_for_hanging(&self, count: usize) {
        let deadline = std::time::Instant::now() + PATIENCE;
        loop {
            let mut client = self.client_from(50);
            client.send("GET /hanging HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
            if client.reply().text() == count.to_string() {
                return;
            }
            assert!(std::time::Instant::now() < deadline, "nothing hangs");
        }
    }

    /// Ends the server in an orderly way.
    pub fn stop(mut self) {
        drop(self.stdin.take());
        let mut rest = String::new();
        self.output.read_to_string(&mut rest).expect("a pipe");
        assert!(rest.contains("ENDED"), "{rest}");
        assert!(self.child.wait().expect("ended").success());
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        // Already ended in some tests.
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.pem);
    }
}

/// An answer.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Reply {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(have, _)| have == name).map(|(_, value)| value.as_str())
    }

    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("text")
    }
}

/// A socket and what was read ahead of it.
pub struct Client {
    pub socket: TcpStream,
    ahead: Vec<u8>,
}

impl Client {
    fn connect(last: u8, port: u16) -> Client {
        // Not to be inherited by the servers that other tests start.
        let flags = SocketFlags::CLOEXEC;
        let socket = rustix::net::socket_with(AddressFamily::INET, SocketType::STREAM, flags, None).expect("a socket");
        let from = SocketAddr::from((Ipv4Addr::new(127, 0, 0, last), 0));
        rustix::net::bind(&socket, &from).expect("a loopback address");
        let to = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        rustix::net::connect(&socket, &to).expect("the server listens");
        let socket = TcpStream::from(socket);
        socket.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        socket.set_write_timeout(Some(PATIENCE)).expect("a timeout");
        Client { socket, ahead: Vec::new() }
    }

    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.socket.write_all(bytes.as_ref()).expect("sent");
    }

    /// Whether all could be sent; the server may have closed already.
    pub fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        self.socket.write_all(bytes.as_ref()).is_ok()
    }

    /// Ends with a TCP reset.
    pub fn reset(self) {
        sockopt::set_socket_linger(&self.socket, Some(Duration::ZERO)).expect("an option");
    }

    fn read_more(&mut self) -> usize {
        let mut buffer = [0; 65536];
        let count = self
            .socket
            .read(&mut buffer)
            .unwrap_or_else(|error| panic!("{error}; so far: {:?}", String::from_utf8_lossy(&self.ahead)));
        self.ahead.extend_from_slice(&buffer[..count]);
        count
    }

    /// Reads a head only.
    pub fn head(&mut self) -> Reply {
        let end = loop {
            if let Some(at) = self.ahead.windows(4).position(|four| four == b"\r\n\r\n") {
                break at + 4;
            }
            assert_ne!(self.read_more(), 0, "the server closed; so far: {:?}", String::from_utf8_lossy(&self.ahead));
        };
        let head: Vec<u8> = self.ahead.drain(..end).collect();
        let head = String::from_utf8(head).expect("ASCII");
        let mut lines = head.split("\r\n");
        let status = lines.next().and_then(|line| line.split(' ').nth(1)?.parse().ok()).expect("a status line");
        let headers = lines
            .filter_map(|line| line.split_once(": "))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
            .collect();
        Reply { status, headers, body: Vec::new() }
    }

    /// Reads a whole answer of announced length.
    pub fn reply(&mut self) -> Reply {
        let mut reply = self.head();
        let length: usize = reply.header("content-length").and_then(|length| length.parse().ok()).expect("a length");
        while self.ahead.len() < length {
            assert_ne!(self.read_more(), 0, "the server closed within the body");
        }
        reply.body = self.ahead.drain(..length).collect();
        reply
    }

    /// Reads up to and including this text.
    pub fn read_until(&mut self, text: &str) {
        loop {
            let found = self.ahead.windows(text.len()).position(|window| window == text.as_bytes());
            if let Some(at) = found {
                self.ahead.drain(..at + text.len());
                return;
            }
            // Keep what may be the beginning of it.
            let keep = self.ahead.len().saturating_sub(text.len());
            self.ahead.drain(..keep);
            assert_ne!(self.read_more(), 0, "the server closed before {text:?}");
        }
    }

    /// Reads to the end.
    pub fn rest(&mut self) -> String {
        while self.read_more() > 0 {}
        String::from_utf8(std::mem::take(&mut self.ahead)).expect("text")
    }

    /// As `rest`, but a reset is an end as well.
    pub fn try_rest(&mut self) -> String {
        // What came before the reset is what counts.
        let _ = self.socket.read_to_end(&mut self.ahead);
        String::from_utf8(std::mem::take(&mut self.ahead)).expect("text")
    }
}
