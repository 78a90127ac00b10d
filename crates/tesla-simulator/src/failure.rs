//! Failures on order.

use std::time::Duration;

use crate::exchange::{Door, Kind, Reply};

/// Something that goes wrong with a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// Not carried out; this status and `error` text, with a `Retry-After` where given.
    Status {
        /// The status.
        status: u16,
        /// The text of `error`.
        error: String,
        /// Seconds are told.
        retry_after: Option<Duration>,
    },
    /// Not carried out; a web page with this status.
    Html(u16),
    /// Carried out; then the connection is closed without an answer.
    LostAnswer,
    /// Not carried out; the connection is closed without an answer.
    LostRequest,
    /// Carried out; the answer comes so much later, in real time.
    Slow(Duration),
    /// Not carried out; 421 that names the right address.
    WrongRegion,
}

impl Failure {
    /// A status with the text that the cloud uses for it.
    #[must_use]
    pub fn status(status: u16) -> Self {
        let error = match status {
            400 => "invalid_request",
            401 => "token expired (401)",
            402 => "payment required",
            403 => "Unauthorized missing scopes",
            404 => "not_found",
            405 => "vehicle is currently in service",
            408 => "vehicle unavailable: vehicle is offline or asleep",
            412 => "account not registered in the current region",
            423 => "locked",
            424 => "failed dependency",
            429 => "rate limit exceeded",
            451 => "unavailable for legal reasons",
            500 => "upstream internal error",
            503 => "operation_timedout for txid",
            504 => "context deadline exceeded",
            540 => "device unexpected response",
            _ => "error",
        };
        Failure::with_text(status, error)
    }

    /// A status with a text.
    #[must_use]
    pub fn with_text(status: u16, error: &str) -> Self {
        Failure::Status { status, error: error.to_owned(), retry_after: None }
    }

    /// 429 that says when to come back.
    #[must_use]
    pub fn too_many(retry_after: Duration) -> Self {
        Failure::Status { status: 429, error: "rate limit exceeded".to_owned(), retry_after: Some(retry_after) }
    }

    /// The answer it makes, where it makes one by itself.
    pub(crate) fn reply(&self, api_url: &str) -> Option<Reply> {
        Some(match self {
            Failure::Status { status, error, retry_after } => {
                let reply = Reply::error(*status, error);
                match retry_after {
                    Some(after) => reply.header("Retry-After", &after.as_secs().to_string()),
                    None => reply,
                }
            }
            Failure::Html(status) => Reply::html(*status, "<html><body><h1>Service unavailable</h1></body></html>"),
            Failure::WrongRegion => wrong_region(api_url),
            Failure::LostRequest => Reply { is_lost: true, ..Reply::error(0, "") },
            Failure::LostAnswer | Failure::Slow(_) => return None,
        })
    }
}

pub(crate) fn wrong_region(api_url: &str) -> Reply {
    Reply::error(421, &format!("user out of region, use base URL: {api_url}, see https://developer.tesla.com"))
}

/// Which requests a failure is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// Whatever comes to the Fleet API.
    Api,
    /// Whatever comes to this address.
    Door(Door),
    /// Requests of this kind, wherever they come.
    Kind(Kind),
    /// Plain and signed commands, wherever they come.
    AnyCommand,
    /// Whatever concerns this car.
    Vin(String),
    /// This kind for this car.
    KindFor(Kind, String),
}

impl Target {
    fn fits(&self, door: Door, kind: &Kind, vin: Option<&str>) -> bool {
        match self {
            Target::Api => door == Door::Api,
            Target::Door(wanted) => door == *wanted,
            Target::Kind(wanted) => kind == wanted,
            Target::AnyCommand => matches!(kind, Kind::Command(_) | Kind::SignedCommand),
            Target::Vin(wanted) => vin == Some(wanted),
            Target::KindFor(wanted, car) => kind == wanted && vin == Some(car),
        }
    }
}

/// The failures on order, first come first served.
#[derive(Debug, Clone, Default)]
pub(crate) struct Failures(Vec<(Target, Failure, Option<u32>)>);

impl Failures {
    /// `times` of `None` is until cleared.
    pub(crate) fn order(&mut self, target: Target, failure: Failure, times: Option<u32>) {
        self.0.push((target, failure, times));
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    pub(crate) fn left(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn take(&mut self, door: Door, kind: &Kind, vin: Option<&str>) -> Option<Failure> {
        let index = self.0.iter().position(|(target, _, _)| target.fits(door, kind, vin))?;
        let (_, failure, times) = self.0.get_mut(index)?;
        let failure = failure.clone();
        if let Some(times) = times {
            *times = times.saturating_sub(1);
            if *times == 0 {
                self.0.remove(index);
            }
        }
        Some(failure)
    }
}
