#![allow(unused)]
//! Front door
mod body;
mod error;
mod events;
mod head;
mod output;
mod reject;
mod request;
mod response;
mod settings;

pub use error::DoorError;
pub use events::{EVENT_BACKLOG, Event, EventHub, EventSender, EventStream, StreamGone};
pub use request::{Method, Request};
pub use response::{Body, Response};
pub use settings::{Limits, Listen, ServerConfig, TlsFiles, Workers};

/// Answers requests.
pub trait Handler: Send + Sync {
    /// Answers one request.
    fn handle(&self, request: Request) -> Response;
}
