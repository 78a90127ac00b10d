//! The WebSocket way: Home Assistant tells every change.

use std::time::{Duration, Instant};

use ems::{EmsError, EmsErrorKind, EmsReading, Stop};
use ems_items::Item;
use http_client::Tls;
use serde_json::{Value, json};
use ws_client::{Options, WsClient, WsError};

use crate::state::States;

/// Time for login and subscription, each answer.
const ANSWER: Duration = Duration::from_secs(5);
/// A quiet connection is proven alive this often; values that did not change count anew then.
const PROVE: Duration = Duration::from_secs(10);
/// How often a waiting driver looks whether it should end.
const LOOK_UP: Duration = Duration::from_millis(500);
/// Messages that come in together are one reading, up to this many.
const TOGETHER: usize = 50;

/// Where it is, and how to get in.
pub(crate) struct Access {
    pub base: String,
    pub token: String,
    pub tls: Tls,
}

/// Why there is no pushed reading.
pub(crate) enum PushError {
    /// No WebSocket is to be had here; REST may work.
    Missing(String),
    /// Something else.
    Failed(EmsError),
}

impl From<EmsError> for PushError {
    fn from(error: EmsError) -> Self {
        PushError::Failed(error)
    }
}

impl From<WsError> for PushError {
    fn from(error: WsError) -> Self {
        match error {
            WsError::Refused { .. } => PushError::Missing(error.to_string()),
            WsError::Tls { .. } => {
                let text = format!(
                    "{error}; put the SHA-256 of Home Assistant's certificate into sources.HASS.tlsFingerprint"
                );
                PushError::Failed(EmsError::new(EmsErrorKind::Misconfigured, text))
            }
            WsError::Unreachable { .. } => {
                PushError::Failed(EmsError::retry(format!("{error} Check serverIP and serverPort of the section HASS")))
            }
            _ => PushError::Failed(EmsError::retry(error.to_string())),
        }
    }
}

/// An open subscription.
pub(crate) struct Push {
    socket: WsClient,
    items: Vec<Item>,
    states: States,
    /// Whether something came that no reading told yet.
    has_news: bool,
    next_id: u64,
    heard: Instant,
    /// The ping that was not answered yet.
    ping: Option<(u64, Instant)>,
}

impl Push {
    /// Connects, logs in and subscribes; waits for the first states.
    pub fn connect(access: &Access, items: &[Item], path: &str) -> Result<Self, PushError> {
        // The supervisor's own address has the socket elsewhere.
        let is_supervisor = ems_http::host(&access.base) == "supervisor";
        let target = if is_supervisor { "/websocket" } else { "/api/websocket" };
        let mut socket = WsClient::connect(&Options::new(&access.base, target).tls(access.tls.clone()))?;
        expect(&mut socket, |message| kind(message) == "auth_required")?;
        socket.send(&json!({"type": "auth", "access_token": access.token}).to_string())?;
        let answer = expect(&mut socket, |message| kind(message).starts_with("auth_"))?;
        if kind(&answer) != "auth_ok" {
            return Err(crate::denied(path).into());
        }
        let mut names: Vec<&str> = items.iter().map(|item| item.name.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        socket.send(&json!({"id": 1, "type": "subscribe_entities", "entity_ids": names}).to_string())?;
        let answer = expect(&mut socket, |message| kind(message) == "result" && id(message) == Some(1))?;
        if answer.get("success") != Some(&Value::Bool(true)) {
            let why = answer.pointer("/error/message").and_then(Value::as_str).unwrap_or("no reason given");
            return Err(PushError::Missing(format!("Home Assistant does not subscribe us: {why}")));
        }
        let first = expect(&mut socket, |message| kind(message) == "event" && id(message) == Some(1))?;
        let mut states = States::default();
        states.apply(first.get("event").unwrap_or(&Value::Null));
        if let Some(item) = items.iter().find(|item| !states.has(&item.name)) {
            return Err(crate::no_such_entity(item).into());
        }
        let items = items.to_vec();
        Ok(Push { socket, items, states, has_news: true, next_id: 2, heard: Instant::now(), ping: None })
    }

    /// Waits for the next change, or for the proof that there was none.
    pub fn read(&mut self, stop: &Stop) -> Result<EmsReading, PushError> {
        loop {
            if stop.is_asked() {
                return Err(EmsError::stopped().into());
            }
            if !self.has_news {
                self.listen()?;
            }
            let now = Instant::now();
            if std::mem::take(&mut self.has_news) {
                (self.heard, self.ping) = (now, None);
                return Ok(self.states.reading(&self.items, now)?);
            }
            match self.ping {
                Some((_, sent)) if now.duration_since(sent) >= PROVE => {
                    return Err(EmsError::retry("Home Assistant does not answer on the WebSocket any more").into());
                }
                None if now.duration_since(self.heard) >= PROVE => {
                    let id = self.next_id;
                    self.next_id += 1;
                    self.socket.send(&json!({"id": id, "type": "ping"}).to_string())?;
                    self.ping = Some((id, now));
                }
                _ => {}
            }
        }
    }
}

impl Push {
    /// Takes what comes within a moment.
    fn listen(&mut self) -> Result<(), WsError> {
        let mut patience = LOOK_UP;
        for _ in 0..TOGETHER {
            let Some(text) = self.socket.receive(patience)? else { break };
            let message = parse(&text)?;
            self.has_news |= match kind(&message) {
                "event" => self.states.apply(message.get("event").unwrap_or(&Value::Null)),
                // The values stand as they are.
                "pong" => self.ping.is_some_and(|(sent, _)| id(&message) == Some(sent)),
                _ => false,
            };
            patience = Duration::ZERO;
        }
        Ok(())
    }
}

fn parse(text: &str) -> Result<Value, WsError> {
    serde_json::from_str(text).map_err(|error| WsError::Protocol(format!("a message is not JSON: {error}")))
}

fn kind(message: &Value) -> &str {
    message.get("type").and_then(Value::as_str).unwrap_or_default()
}

fn id(message: &Value) -> Option<u64> {
    message.get("id").and_then(Value::as_u64)
}

/// Waits for a message, passing over others.
fn expect(socket: &mut WsClient, is_wanted: impl Fn(&Value) -> bool) -> Result<Value, PushError> {
    let deadline = Instant::now() + ANSWER;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        match socket.receive(left)? {
            Some(text) => {
                let message = parse(&text)?;
                if is_wanted(&message) {
                    return Ok(message);
                }
            }
            None => {
                let text = "Home Assistant answers on the WebSocket, but not to us; is it still starting?";
                return Err(EmsError::new(EmsErrorKind::Retry, text).into());
            }
        }
        if deadline <= Instant::now() {
            return Err(EmsError::retry("Home Assistant takes too long on the WebSocket; it is asked again").into());
        }
    }
}
