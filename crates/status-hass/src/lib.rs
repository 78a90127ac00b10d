//! Pushes values to Home Assistant over its REST interface, as TWCManager did. MQTT with discovery is the better way: its
//! entities belong to devices, outlive a restart of Home Assistant, and can be commanded.
//!
//! | part | does |
//! |---|---|
//! | [`StatusHass`] | a round of pushes every `msgRateInSeconds`, on a thread of its own |
//! | `rounds` | which values are due, and what is pushed of them; pure |
//!
//! ```no_run
//! # fn with(site: std::sync::Arc<dyn site::SitePort>) -> Result<(), Box<dyn std::error::Error>> {
//! use std::time::Duration;
//! use status_hass::{HassConfig, StatusHass};
//! let config = HassConfig {
//!     url: http_client::url::base("192.168.1.3", Some(8123), false)?,
//!     token: "long-lived access token".into(),
//!     message_rate: Duration::from_secs(60),
//!     resend_rate: Duration::from_secs(3600),
//!     retry_rate: Duration::from_secs(60),
//! };
//! StatusHass::start(config, site)?.shutdown();
//! # Ok(())
//! # }
//! ```
//!
//! A change is pushed in the next round; what stays is repeated every `resendRateInSeconds`, and what failed after
//! `retryRateInSeconds`. Other than in TWCManager a refusal by Home Assistant counts as a failure, and the first failure to
//! reach it ends the round.
//!
//! Facts: entity names, attributes and times as TWCManager's `Status/HASSStatus.py` has them; Home Assistant's REST API.

mod rounds;

use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use http_client::{Auth, Client, HttpError};
use site::SitePort;

use rounds::Rounds;

/// As TWCManager's; Home Assistant is in the house.
const TIMEOUT: Duration = Duration::from_secs(2);
/// Between rounds at least, whatever is configured.
const LEAST_PAUSE: Duration = Duration::from_secs(1);

/// What is configured.
pub struct HassConfig {
    /// Base address, from `serverIP`, `serverPort` and `useHttps`.
    pub url: String,
    /// `apiKey`.
    pub token: String,
    /// `msgRateInSeconds`.
    pub message_rate: Duration,
    /// `resendRateInSeconds`.
    pub resend_rate: Duration,
    /// `retryRateInSeconds`.
    pub retry_rate: Duration,
}

/// Why nothing is pushed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HassError {
    /// The address can't be used.
    #[error(transparent)]
    Address(#[from] HttpError),
    /// No thread.
    #[error("nothing is pushed to Home Assistant: {0}")]
    NoThread(std::io::Error),
}

/// Pushes until it is shut down or dropped.
#[derive(Debug)]
pub struct StatusHass {
    /// Its end ends the thread.
    ending: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl StatusHass {
    /// Begins, and says once that there is a better way.
    ///
    /// # Errors
    /// For an address that is none, or when no thread can be started.
    pub fn start(config: HassConfig, site: Arc<dyn SitePort>) -> Result<StatusHass, HassError> {
        let client = Client::builder(config.url)
            .auth(Auth::Bearer(config.token))
            .total_timeout(TIMEOUT)
            .config_key("status.HASS.serverIP")
            .build()?;
        log::warn!(
            "status.HASS: values are pushed to Home Assistant as before. Better: switch on status.MQTT with \
             homeassistantDiscovery, which gives devices, lasting entities and controls; see docs/mqtt.md"
        );
        let pause = config.message_rate.max(LEAST_PAUSE);
        let mut pusher =
            Pusher { client, site, rounds: Rounds::new(config.resend_rate, config.retry_rate), is_failing: false };
        let (ending, wants_end) = channel::<()>();
        let thread = std::thread::Builder::new()
            .name("status HASS".to_owned())
            .stack_size(512 * 1024)
            .spawn(move || {
                loop {
                    pusher.round(&|| wants_end.try_recv() != Err(std::sync::mpsc::TryRecvError::Empty));
                    if wants_end.recv_timeout(pause) != Err(RecvTimeoutError::Timeout) {
                        return;
                    }
                }
            })
            .map_err(HassError::NoThread)?;
        Ok(StatusHass { ending: Some(ending), thread: Some(thread) })
    }

    /// Ends; a call in progress is waited for, two seconds at most.
    pub fn shutdown(mut self) {
        self.end();
    }

    fn end(&mut self) {
        drop(self.ending.take());
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            log::error!("the thread of status.HASS failed inside; please report this");
        }
    }
}

impl Drop for StatusHass {
    fn drop(&mut self) {
        self.end();
    }
}

struct Pusher {
    client: Client,
    site: Arc<dyn SitePort>,
    rounds: Rounds,
    is_failing: bool,
}

impl Pusher {
    fn round(&mut self, is_ending: &dyn Fn() -> bool) {
        let values = twc_names::values(&self.site.snapshot());
        let due = self.rounds.due(Instant::now(), values);
        let mut failure = None;
        for value in due {
            if is_ending() {
                return;
            }
            // Whoever cannot be reached need not be asked for the rest.
            let result = match &failure {
                Some(Failure::Unreachable(_)) => Err(None),
                _ => self.push(&value).map_err(Some),
            };
            self.rounds.pushed(Instant::now(), &value, result.is_ok());
            if let Err(Some(error)) = result {
                failure = Some(error);
            }
        }
        match failure {
            Some(failure) if !std::mem::replace(&mut self.is_failing, true) => log::warn!("status.HASS: {failure}"),
            None if std::mem::take(&mut self.is_failing) => log::info!("status.HASS: values are taken again"),
            _ => {}
        }
    }

    fn push(&self, value: &twc_names::Reported) -> Result<(), Failure> {
        let answer = self.client.post(&rounds::path(value)).json(&rounds::body(value)).send();
        let answer = answer.map_err(|error| Failure::Unreachable(error.to_string()))?;
        match answer.status() {
            200..300 => Ok(()),
            401 | 403 => Err(Failure::Refused(
                "Home Assistant refuses the token; make a new one for status.HASS.apiKey".to_owned(),
            )),
            status => Err(Failure::Refused(format!("Home Assistant refuses {} of {} ({status})", value.key, value.id))),
        }
    }
}

/// Why a value was not taken.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("{0}")]
    Unreachable(String),
    #[error("{0}")]
    Refused(String),
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{BufRead, BufReader, Read, Write};
    use std::net::TcpListener;
    use std::sync::mpsc::Receiver;

    use serde_json::{Value, json};
    use twc_names::testing::{FakeSite, snapshot};

    const GENEROUS: Duration = Duration::from_secs(30);

    /// What a Home Assistant of a few lines was asked: head and body of each request, in order.
    fn assistant(status: &'static str) -> (u16, Receiver<(String, Value)>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (asked, requests) = channel();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut reader = BufReader::new(stream.unwrap());
                let mut head = String::new();
                while reader.read_line(&mut head).unwrap() > 2 {}
                let length = head.to_ascii_lowercase();
                let length = length.split("content-length: ").nth(1).and_then(|rest| rest.lines().next());
                let mut body = vec![0; length.unwrap_or("0").trim().parse().unwrap()];
                reader.read_exact(&mut body).unwrap();
                let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{{}}");
                let _ = reader.get_mut().write_all(answer.as_bytes());
                if asked.send((head, serde_json::from_slice(&body).unwrap_or_default())).is_err() {
                    return;
                }
            }
        });
        (port, requests)
    }

    fn started(port: u16) -> StatusHass {
        let config = HassConfig {
            url: format!("http://127.0.0.1:{port}"),
            token: "t0ken".to_owned(),
            message_rate: Duration::from_secs(3600),
            resend_rate: Duration::from_secs(3600),
            retry_rate: Duration::from_secs(60),
        };
        StatusHass::start(config, Arc::new(FakeSite::new(snapshot(), json!({})))).unwrap()
    }

    #[test]
    fn a_round_pushes_everything() {
        let (port, requests) = assistant("201 Created");
        let status = started(port);
        let count = twc_names::values(&snapshot()).len();
        let all: Vec<(String, Value)> = (0..count).map(|_| requests.recv_timeout(GENEROUS).unwrap()).collect();
        let (head, body) = &all[0];
        assert!(head.starts_with("POST /api/states/sensor.twcmanager_3a7c_charger_load_w HTTP/1.1"), "{head}");
        assert!(head.to_ascii_lowercase().contains("authorization: bearer t0ken"), "{head}");
        assert_eq!(body["state"], 5520);
        status.shutdown();
        assert!(requests.try_recv().is_err());
    }

    #[test]
    fn a_refusal_does_not_end_the_round() {
        let (port, requests) = assistant("401 Unauthorized");
        let status = started(port);
        for _ in 0..twc_names::values(&snapshot()).len() {
            requests.recv_timeout(GENEROUS).unwrap();
        }
        drop(status);
    }
}
