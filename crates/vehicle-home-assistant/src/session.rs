//! The WebSocket: login, questions with numbers, messages.

use std::time::{Duration, Instant};

use http_client::Tls;
use serde_json::{Value, json};
use ws_client::{Options, WsClient, WsError};

/// For login and for the registries.
const ANSWER: Duration = Duration::from_secs(15);
/// The registry of a large house has some thousand entities.
const LONGEST: usize = 32 * 1024 * 1024;

/// Where it is, and how to get in.
pub(crate) struct Access {
    pub base: String,
    pub token: String,
    pub tls: Tls,
}

/// Why there is no session.
#[derive(Debug)]
pub(crate) enum SessionError {
    /// No WebSocket here; REST may work.
    Missing(String),
    /// The token is refused.
    Denied,
    /// Something else.
    Failed(String),
}

impl From<WsError> for SessionError {
    fn from(error: WsError) -> Self {
        match error {
            WsError::Refused { status: 401 | 403, .. } => SessionError::Denied,
            WsError::Refused { .. } => SessionError::Missing(error.to_string()),
            _ => SessionError::Failed(error.to_string()),
        }
    }
}

pub(crate) struct Session {
    socket: WsClient,
    next: u64,
}

impl Session {
    /// Connects and logs in.
    pub fn connect(access: &Access) -> Result<Self, SessionError> {
        // The supervisor's own address has the socket elsewhere.
        let is_supervisor = access.base.contains("://supervisor");
        let target = if is_supervisor { "/websocket" } else { "/api/websocket" };
        let options = Options::new(&access.base, target).tls(access.tls.clone()).longest_message(LONGEST);
        let mut session = Session { socket: WsClient::connect(&options)?, next: 1 };
        session.wait(|message| kind(message) == "auth_required")?;
        session.socket.send(&json!({"type": "auth", "access_token": access.token}).to_string())?;
        match kind(&session.wait(|message| kind(message).starts_with("auth_"))?) {
            "auth_ok" => Ok(session),
            _ => Err(SessionError::Denied),
        }
    }

    /// Sends a question; its number.
    pub fn send(&mut self, mut question: Value) -> Result<u64, WsError> {
        let id = self.next;
        self.next += 1;
        question["id"] = json!(id);
        self.socket.send(&question.to_string())?;
        Ok(id)
    }

    /// Asks, and waits for the result. Only before anything is subscribed to: other messages are lost.
    pub fn ask(&mut self, question: Value) -> Result<Value, SessionError> {
        let what = question["type"].as_str().unwrap_or_default().to_owned();
        let id = self.send(question)?;
        let mut answer = self.wait(|message| kind(message) == "result" && number(message) == Some(id))?;
        if answer.get("success") != Some(&Value::Bool(true)) {
            let why = answer.pointer("/error/message").and_then(Value::as_str).unwrap_or("no reason given");
            return Err(SessionError::Missing(format!("Home Assistant refuses {what}: {why}")));
        }
        Ok(answer.get_mut("result").map(Value::take).unwrap_or_default())
    }

    /// The next message; `None` when none came in time.
    pub fn receive(&mut self, patience: Duration) -> Result<Option<Value>, WsError> {
        let Some(text) = self.socket.receive(patience)? else { return Ok(None) };
        let parsed = serde_json::from_str(&text);
        parsed.map(Some).map_err(|error| WsError::Protocol(format!("a message is not JSON: {error}")))
    }

    fn wait(&mut self, is_wanted: impl Fn(&Value) -> bool) -> Result<Value, SessionError> {
        let deadline = Instant::now() + ANSWER;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.receive(left)? {
                Some(message) if is_wanted(&message) => return Ok(message),
                Some(_) if !left.is_zero() => {}
                _ => {
                    let text = "Home Assistant answers on the WebSocket, but not to us; is it still starting?";
                    return Err(SessionError::Failed(text.to_owned()));
                }
            }
        }
    }
}

pub(crate) fn kind(message: &Value) -> &str {
    message.get("type").and_then(Value::as_str).unwrap_or_default()
}

pub(crate) fn number(message: &Value) -> Option<u64> {
    message.get("id").and_then(Value::as_u64)
}
