//! REST: states with the time of the integration's last word, and services where there is no WebSocket.

use std::time::Duration;

use http_client::{Auth, Client, HttpError, Kind, Tls};
use serde_json::Value;
use vehicle::Outcome;

use crate::command::{self, Call};

/// For a state.
const READ: Duration = Duration::from_secs(5);
/// For a service: integrations wait for the car.
const SERVICE: Duration = Duration::from_secs(30);

pub(crate) struct Rest {
    client: Client,
}

impl Rest {
    pub fn new(base: &str, token: &str, tls: &Tls) -> Result<Self, HttpError> {
        let client = Client::builder(base)
            .auth(Auth::Bearer(token.to_owned()))
            .tls(tls.clone())
            .total_timeout(READ)
            .config_key("vehicle.HomeAssistant.url")
            .build()?;
        Ok(Rest { client })
    }

    /// The state of an entity; `None` for one that is not known.
    pub fn state(&self, entity: &str) -> Result<Option<Value>, HttpError> {
        let answer = self.client.get(&format!("/api/states/{entity}")).send()?;
        if answer.status() == 404 {
            return Ok(None);
        }
        answer.ok()?.json().map(Some)
    }

    /// Calls a service. Blocks for half a minute at most.
    pub fn call(&self, call: &Call) -> Outcome {
        let path = format!("/api/services/{}/{}", call.domain, call.service);
        let answer = match self.client.post(&path).json(&call.data).timeout(SERVICE).send() {
            Ok(answer) => answer,
            Err(error) => return Outcome::Unsure { text: error.to_string() },
        };
        if answer.is_success() {
            return Outcome::Done;
        }
        let status = answer.status();
        let said = answer.json().ok().and_then(|body| body.get("message")?.as_str().map(str::to_owned));
        let code = match status {
            401 | 403 => "unauthorized",
            404 => "not_found",
            400 => "service_validation_error",
            _ => "home_assistant_error",
        };
        command::failed(code, &said.unwrap_or_else(|| format!("HTTP status {status}")))
    }
}

/// Whether the token was refused.
pub(crate) fn is_denied(error: &HttpError) -> bool {
    matches!(error.kind(), Kind::Status(401 | 403))
}
