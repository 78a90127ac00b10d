//! Blocking WebSocket client for sources that push: every call ends in time, messages are texts of bounded size.
//!
//! ```no_run
//! use std::time::Duration;
//! use ws_client::{Options, WsClient};
//!
//! let mut socket = WsClient::connect(&Options::new("http://192.168.1.5:8123", "/api/websocket"))?;
//! socket.send(r#"{"type": "ping", "id": 1}"#)?;
//! while let Some(text) = socket.receive(Duration::from_secs(1))? {
//!     println!("{text}");
//! }
//! # Ok::<(), ws_client::WsError>(())
//! ```
//!
//! TLS is judged like that of HTTP calls ([`http_client::Tls`]); the protocol is `tungstenite`'s. Pings of the server are
//! answered while [`WsClient::receive`] waits. For drivers; not for servers, and not for binary protocols.

mod stream;

use std::net::{TcpStream, ToSocketAddrs as _};
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use http_client::Tls;
use tungstenite::client::client_with_config;
use tungstenite::http::Uri;
use tungstenite::protocol::WebSocketConfig;
use tungstenite::{ClientRequestBuilder, Error, HandshakeError, Message, WebSocket};

use stream::Stream;

/// Longest message that is taken, unless told otherwise.
pub const MAX_MESSAGE: usize = 1024 * 1024;
/// Time to connect, with name, TLS and handshake; unless told otherwise.
const CONNECT: Duration = Duration::from_secs(8);
/// Time to send one message.
const SEND: Duration = Duration::from_secs(5);

/// Why a WebSocket cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WsError {
    /// The address cannot be one.
    #[error("`{0}` is no address of a WebSocket")]
    BadAddress(String),
    /// No connection.
    #[error("{address} cannot be reached: {detail}; is it switched on, and its address right?")]
    Unreachable {
        /// Host and port.
        address: String,
        /// What the system said.
        detail: String,
    },
    /// The certificate was not accepted.
    #[error("the encrypted connection to {address} failed: {detail}")]
    Tls {
        /// Host and port.
        address: String,
        /// What is wrong.
        detail: String,
    },
    /// The server answers HTTP, and not as a WebSocket.
    #[error("the server has no WebSocket at {path}: it answers with HTTP status {status}")]
    Refused {
        /// The path asked for.
        path: String,
        /// The HTTP status.
        status: u16,
    },
    /// The connection is over.
    #[error("the connection was closed: {0}")]
    Closed(String),
    /// What came is no WebSocket traffic, no text, or too long.
    #[error("the server does not keep to the WebSocket protocol: {0}")]
    Protocol(String),
}

/// Where to connect, and how.
#[derive(Debug, Clone)]
#[must_use]
pub struct Options<'a> {
    base: &'a str,
    path: &'a str,
    tls: Tls,
    protocol: Option<&'a str>,
    headers: Vec<(&'a str, &'a str)>,
    connect: Duration,
    longest: usize,
}

impl<'a> Options<'a> {
    /// `path` below a base address such as `http://host:8123` or `wss://host/prefix` (as [`http_client::url::base`] makes it).
    pub fn new(base: &'a str, path: &'a str) -> Self {
        let (tls, headers) = (Tls::Verified, Vec::new());
        Options { base, path, tls, protocol: None, headers, connect: CONNECT, longest: MAX_MESSAGE }
    }

    /// How the server's certificate is judged.
    pub fn tls(mut self, tls: Tls) -> Self {
        self.tls = tls;
        self
    }

    /// The subprotocol, such as `graphql-transport-ws`.
    pub fn protocol(mut self, name: &'a str) -> Self {
        self.protocol = Some(name);
        self
    }

    /// A header of the first request.
    pub fn header(mut self, name: &'a str, value: &'a str) -> Self {
        self.headers.push((name, value));
        self
    }

    /// Time for the whole of connecting.
    pub fn connect_timeout(mut self, time: Duration) -> Self {
        self.connect = time;
        self
    }

    /// Longest message that is taken, in bytes.
    pub fn longest_message(mut self, bytes: usize) -> Self {
        self.longest = bytes;
        self
    }
}

/// An open WebSocket. After an error it is of no further use.
pub struct WsClient {
    socket: WebSocket<Stream>,
}

impl std::fmt::Debug for WsClient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("WsClient")
    }
}

impl WsClient {
    /// Connects. Blocks for the time of the options at most.
    ///
    /// # Errors
    /// Any but [`WsError::Closed`] of a connection that was open.
    pub fn connect(options: &Options<'_>) -> Result<Self, WsError> {
        let deadline = Instant::now() + options.connect;
        let bad = || WsError::BadAddress(format!("{}{}", options.base, options.path));
        let base: Uri = options.base.parse().map_err(|_| bad())?;
        let is_tls = match base.scheme_str() {
            Some("http" | "ws") => false,
            Some("https" | "wss") => true,
            _ => return Err(bad()),
        };
        let host = base.host().ok_or_else(bad)?;
        let port = base.port_u16().unwrap_or(if is_tls { 443 } else { 80 });
        let address = format!("{host}:{port}");
        let target = format!("{}{}", base.path().trim_end_matches('/'), options.path);
        let scheme = if is_tls { "wss" } else { "ws" };
        let uri: Uri = format!("{scheme}://{address}{target}").parse().map_err(|_| bad())?;

        let tcp = connect_tcp(&address, host, port, deadline)?;
        let stream = match is_tls {
            false => Stream::plain(tcp, deadline),
            true => {
                let bare = host.trim_matches(['[', ']']);
                let config = options.tls.client_config(bare);
                let stream = config.and_then(|config| Stream::tls(tcp, bare, config, deadline));
                stream.map_err(|detail| WsError::Tls { address: address.clone(), detail })?
            }
        };
        let mut request = ClientRequestBuilder::new(uri);
        for (name, value) in &options.headers {
            request = request.with_header(*name, *value);
        }
        if let Some(protocol) = options.protocol {
            request = request.with_sub_protocol(protocol);
        }
        let longest = Some(options.longest);
        let config = WebSocketConfig::default().max_message_size(longest).max_frame_size(longest);
        match client_with_config(request, stream, Some(config)) {
            Ok((socket, _)) => Ok(WsClient { socket }),
            Err(HandshakeError::Interrupted(_)) => {
                Err(WsError::Unreachable { address, detail: "it does not answer in time".into() })
            }
            Err(HandshakeError::Failure(Error::Http(response))) => {
                Err(WsError::Refused { path: target, status: response.status().as_u16() })
            }
            Err(HandshakeError::Failure(Error::Io(error))) => {
                Err(WsError::Unreachable { address, detail: error.to_string() })
            }
            Err(HandshakeError::Failure(error)) => Err(WsError::Protocol(error.to_string())),
        }
    }

    /// Sends a text. Blocks for a few seconds at most.
    ///
    /// # Errors
    /// [`WsError::Closed`], [`WsError::Protocol`].
    pub fn send(&mut self, text: &str) -> Result<(), WsError> {
        self.socket.get_mut().set_deadline(Instant::now() + SEND);
        match self.socket.send(Message::text(text)) {
            Err(error) if is_late(&error) => Err(WsError::Closed("nothing can be sent any more".into())),
            result => result.map_err(failed),
        }
    }

    /// The next text. `None` when none came within `patience`.
    ///
    /// # Errors
    /// [`WsError::Closed`], [`WsError::Protocol`].
    pub fn receive(&mut self, patience: Duration) -> Result<Option<String>, WsError> {
        let deadline = Instant::now() + patience;
        loop {
            self.socket.get_mut().set_deadline(deadline);
            match self.socket.read() {
                Ok(Message::Text(text)) => return Ok(Some(text.to_string())),
                Ok(Message::Binary(_)) => return Err(WsError::Protocol("it sends binary messages".into())),
                Ok(Message::Close(frame)) => {
                    let reason = frame.map(|frame| frame.reason.to_string()).filter(|reason| !reason.is_empty());
                    return Err(WsError::Closed(reason.unwrap_or_else(|| "by the server".into())));
                }
                // Pings are answered inside, and need no work here.
                Ok(_) if Instant::now() >= deadline => return Ok(None),
                Ok(_) => {}
                Err(error) if is_late(&error) => return Ok(None),
                Err(error) => return Err(failed(error)),
            }
        }
    }
}

impl Drop for WsClient {
    fn drop(&mut self) {
        self.socket.get_mut().set_deadline(Instant::now() + Duration::from_millis(200));
        // A farewell; whoever does not hear it sees the connection end.
        let _ = self.socket.close(None);
    }
}

fn is_late(error: &Error) -> bool {
    use std::io::ErrorKind::{TimedOut, WouldBlock};
    matches!(error, Error::Io(error) if matches!(error.kind(), WouldBlock | TimedOut))
}

fn failed(error: Error) -> WsError {
    match error {
        Error::ConnectionClosed | Error::AlreadyClosed => WsError::Closed("by the server".into()),
        Error::Io(error) => WsError::Closed(error.to_string()),
        error => WsError::Protocol(error.to_string()),
    }
}

fn connect_tcp(address: &str, host: &str, port: u16, deadline: Instant) -> Result<TcpStream, WsError> {
    let unreachable = |detail: String| WsError::Unreachable { address: address.to_owned(), detail };
    let name = (host.trim_matches(['[', ']']).to_owned(), port);
    // The system's name lookup knows no time limit, so it gets a thread that may come too late.
    let (sender, receiver) = channel();
    let lookup = move || {
        let _ = sender.send(name.to_socket_addrs().map(|found| found.collect::<Vec<_>>()));
    };
    std::thread::Builder::new()
        .name("name lookup".into())
        .stack_size(256 * 1024)
        .spawn(lookup)
        .map_err(|error| unreachable(error.to_string()))?;
    let addresses = receiver
        .recv_timeout(deadline.saturating_duration_since(Instant::now()))
        .map_err(|_| unreachable("its name is not found in time".into()))?
        .map_err(|error| unreachable(error.to_string()))?;
    let mut last = "its name has no address".to_owned();
    for found in addresses {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            break;
        }
        match TcpStream::connect_timeout(&found, left) {
            Ok(tcp) => {
                let _ = tcp.set_nodelay(true);
                return Ok(tcp);
            }
            Err(error) => last = error.to_string(),
        }
    }
    Err(unreachable(last))
}
