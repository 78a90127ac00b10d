//! The door between the network and whoever answers HTTP requests: it owns the listeners and every socket, and hands on
//! only complete, checked requests.
//!
//! ```text
//!  network ──► listen ─► reactor (one thread, every socket, sleeps unless something happens)
//!                          │  link      plain or TLS bytes
//!                          │  session   one connection as a state machine without socket and clock
//!                          │    head, body   bytes ─► request, or a clear 4xx
//!                          │    output       answer ─► bytes
//!                          ▼         ▲
//!                        workers ── Handler (yours)
//! ```
//!
//! ```
//! use std::sync::Arc;
//! use http_door::{Event, EventHub, Listen, Request, Response, Server, ServerConfig};
//!
//! let hub = Arc::new(EventHub::new());
//! let views = Arc::clone(&hub);
//! let handler = move |request: Request| match &*request.path {
//!     "/api/status" => Response::json(200, "{\"amps\":16}"),
//!     "/api/events" => Response::events(views.subscribe(&[Event::named("status", "{\"amps\":16}")])),
//!     _ => Response::error(404, "there is no such address: begin at /"),
//! };
//! let config = ServerConfig {
//!     listeners: vec![Listen::loopback(0)],
//!     ..ServerConfig::default()
//! };
//! let server = Server::start(config, Arc::new(handler))?;
//! println!("http://localhost:{}/", server.port());
//! hub.publish(&Event::named("status", "{\"amps\":10}"));
//! server.shutdown();
//! # Ok::<(), http_door::DoorError>(())
//! ```
//!
//! **For** the crates that give the product an HTTP interface. **Not for** WebSockets (OCPP has a listener of its own) and
//! not for sending files from disk: bodies are bytes in memory, or event streams.
//!
//! # What holds
//!
//! - No request reaches the handler unless its head is within [`Limits`], its framing has one meaning only and its body is
//!   complete. Everything else gets an error as JSON that says what to do, and the connection is closed in a way that lets the
//!   client read it.
//! - Memory grows with what has arrived, never with what was announced, and every buffer has a bound.
//! - Every wait for a client has an end: head, body, answer, writing, idling, leaving.
//! - When places or descriptors run out, the connection that matters least is closed for the newcomer: lingering, then idle,
//!   then half heads, then half bodies, then answers that nobody takes, each time the oldest (of the address that holds most of them).
//!   So half-open connections cannot lock anybody out. Requests being answered and event streams are never closed for a
//!   newcomer; if only those are left, the newcomer gets 503. No accept error ends the server or makes it spin.
//! - Without a client, and with event streams that have no news, no thread wakes up.
//! - A reverse proxy or a load test brings all its clients from one address: raise [`Limits::connections_per_peer`] for it.
//!
//! # The part `tiny_http` plays
//!
//! `tiny_http` 0.12 prints the heads of answers (status line, date, framing) and nothing else of it runs. Its listener, its thread
//! for each connection and its reader of requests are where its known faults are: it allocates what a client announces,
//! stops for ever when descriptors run out, accepts ambiguous framing and has no time limits. Handing it clean requests over a
//! local socket would have kept those threads, cost two more copies and context switches for each request and made this crate parse answers
//! as well; calling its printer needs none of that, and no byte of a client ever reaches it. Header values are checked first,
//! because it passes line breaks on (CVE-2026-66753).

mod admission;
mod body;
mod connection;
mod error;
mod events;
mod head;
mod link;
mod listen;
mod output;
mod reactor;
mod reject;
mod request;
mod response;
mod rules;
mod server;
mod session;
mod settings;
mod tls;
mod workers;

pub use error::DoorError;
pub use events::{EVENT_BACKLOG, Event, EventHub, EventSender, EventStream, StreamGone};
pub use request::{Method, Request};
pub use response::{Body, Response};
pub use server::{Counts, Handler, Listening, Server};
pub use settings::{Limits, Listen, ServerConfig, TlsFiles, Workers};
