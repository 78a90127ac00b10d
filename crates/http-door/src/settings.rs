//! How a server is set up: where it listens and what it tolerates.

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::time::Duration;

/// Everything a server needs to know at start.
#[derive(Debug, Clone, Default)]
pub struct ServerConfig {
    /// The listeners to open; at least one.
    pub listeners: Vec<Listen>,
    /// Certificate and key; needed if any listener speaks TLS.
    pub tls: Option<TlsFiles>,
    /// What is tolerated.
    pub limits: Limits,
    /// Threads that run the handler. They sleep while there is nothing to do.
    pub workers: Workers,
}

/// How many threads run the handler, which may block (on a database, on an answer of the site).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Workers(
    /// At least one; 0 counts as one.
    pub usize,
);

impl Default for Workers {
    fn default() -> Workers {
        Workers(4)
    }
}

/// One listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listen {
    /// The address to listen on; `None` is every address, IPv6 and IPv4, or IPv4 alone where IPv6 is off.
    pub address: Option<IpAddr>,
    /// The wanted port; 0 lets the system choose one.
    pub port: u16,
    /// How many further ports are tried, one by one, when this one is taken.
    pub ports_to_try: u16,
    /// Whether clients must speak TLS here.
    pub is_tls: bool,
    /// The configuration key that error messages name.
    pub setting: &'static str,
}

impl Listen {
    /// Reachable from the whole network.
    pub fn everywhere(port: u16) -> Listen {
        Listen { address: None, port, ports_to_try: 0, is_tls: false, setting: "the port" }
    }

    /// Reachable from this address only.
    pub fn at(address: IpAddr, port: u16) -> Listen {
        Listen { address: Some(address), ..Listen::everywhere(port) }
    }

    /// Reachable from this computer only.
    pub fn loopback(port: u16) -> Listen {
        Listen::at(IpAddr::V4(Ipv4Addr::LOCALHOST), port)
    }

    /// The same listener, for TLS.
    #[must_use]
    pub fn with_tls(mut self) -> Listen {
        self.is_tls = true;
        self
    }

    /// The same listener; if the port is taken, up to `count` following ports are tried.
    #[must_use]
    pub fn or_next_ports(mut self, count: u16) -> Listen {
        self.ports_to_try = count;
        self
    }

    /// The same listener; errors say that this configuration key mends them.
    #[must_use]
    pub fn named(mut self, setting: &'static str) -> Listen {
        self.setting = setting;
        self
    }
}

/// Where the certificate and its key are kept, both as PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate, followed by those that link it to its authority.
    pub certificate: PathBuf,
    /// The private key (PKCS#8, PKCS#1 or SEC1), without a passphrase.
    pub key: PathBuf,
}

/// What the door tolerates. The defaults suit a house; each bound also bounds memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a request line and its headers together; more is 431 (or 414 if the line alone is too long).
    pub head: usize,
    /// Number of headers; more is 431.
    pub headers: usize,
    /// Bytes of a body; more is 413.
    pub body: usize,
    /// Bytes of all large bodies that arrive at the same time; more is 503. Bodies up to 16 KiB are not counted, so that
    /// somebody's big uploads cannot stop small commands.
    pub bodies_together: usize,
    /// From the first byte of a request (or from connecting, TLS handshake included) to the end of its head; later is 408.
    pub head_time: Duration,
    /// From the end of the head to the end of the body; later is 408.
    pub body_time: Duration,
    /// For the handler to answer; later is 503.
    pub answer_time: Duration,
    /// For the client to take the whole answer, or a backlog of events; then it is dropped.
    pub write_time: Duration,
    /// How long a connection may wait for its next request.
    pub idle_time: Duration,
    /// How long a client may go on sending what nobody reads after it was refused, so that it sees the reason.
    pub linger_time: Duration,
    /// Connections in total.
    pub connections: usize,
    /// Connections of one peer address.
    pub connections_per_peer: usize,
    /// Event streams in total; more is 503.
    pub event_streams: usize,
    /// Event streams of one peer address; more is 503.
    pub event_streams_per_peer: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            head: 16 * 1024,
            headers: 100,
            body: 1024 * 1024,
            bodies_together: 4 * 1024 * 1024,
            head_time: Duration::from_secs(10),
            body_time: Duration::from_secs(30),
            answer_time: Duration::from_secs(60),
            write_time: Duration::from_secs(30),
            idle_time: Duration::from_secs(30),
            linger_time: Duration::from_secs(5),
            connections: 128,
            connections_per_peer: 32,
            event_streams: 48,
            event_streams_per_peer: 16,
        }
    }
}
