//! Front door
mod admission;
mod body;
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
