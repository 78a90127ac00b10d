//! Errors reported to Sentry, without personal data.
//!
//! ```text
//! log::error!(…) --> is it an error, and not of a sink? --> scrubbed --> within the quota? --> one envelope, POSTed
//! ```
//!
//! | part | does |
//! |---|---|
//! | [`Dsn`] | the address from the configuration, taken apart |
//! | [`scrub`] | a message without VINs, tokens, positions, addresses, names |
//! | [`Sentry`] | the sink |
//!
//! ```no_run
//! # fn main() -> Result<(), logging_sentry::DsnError> {
//! let sentry = logging_sentry::Sentry::new("https://key@sentry.example/1", "0.1.0", "production")?;
//! let fanout = logging::Fanout::new();
//! fanout.add(Box::new(sentry), logging::Mute::default());
//! # Ok(())
//! # }
//! ```
//!
//! Only lines of level `error` go, and panics as `fatal`. There are no breadcrumbs, no user, no server name and no
//! performance data. The same error goes once an hour with the number of times it happened, and all together
//! a few an hour; what the server says about its limits is obeyed. Trouble of sinks stays out, this one's own first of all.
//!
//! Facts: Sentry's developer documentation (envelopes, event payloads, rate limiting), and its Rust types, with which
//! the tests read what is sent.

mod dsn;
mod envelope;
mod limits;
mod quota;
mod scrub;

use std::time::{Duration, Instant};

use http_client::{Client, HttpError, Response};
use log::Level;
use logging::{Kind, Line, Record, Sink, SinkError};

pub use dsn::{Dsn, DsnError};
pub use scrub::scrub;

use envelope::{Event, Severity};
use quota::{Quota, Verdict};

/// A report may be slow; nobody waits for it.
const TIMEOUT: Duration = Duration::from_secs(15);
/// Pause when the server says that it is too much, without saying for how long.
const USUAL_PAUSE: Duration = Duration::from_secs(60);
/// The key in the configuration.
const CONFIG_KEY: &str = "logging.Sentry.DSN";
/// Where the program logs panics.
const PANIC: &str = "panic";

/// Reports errors.
#[derive(Debug)]
pub struct Sentry {
    dsn: Dsn,
    client: Client,
    release: String,
    environment: String,
    quota: Quota,
    not_before: Option<Instant>,
}

impl Sentry {
    /// The section of the configuration.
    pub const KEY: &'static str = "logging.Sentry";

    /// To the project of `dsn`, as version `version` of the program.
    ///
    /// # Errors
    /// When the address is none.
    pub fn new(dsn: &str, version: &str, environment: &str) -> Result<Sentry, DsnError> {
        let dsn = Dsn::parse(dsn)?;
        let client = Client::builder(dsn.base())
            .total_timeout(TIMEOUT)
            .follow_redirects(false)
            .proxy_from_environment()
            .user_agent(&format!("{}/{version}", envelope::SDK))
            .config_key(CONFIG_KEY)
            .secret(dsn.key())
            .build()
            .map_err(|_| DsnError::Address)?;
        Ok(Sentry {
            dsn,
            client,
            release: format!("{}@{version}", envelope::SDK),
            environment: environment.to_owned(),
            quota: Quota::new(),
            not_before: None,
        })
    }

    fn report(&mut self, line: &Line) -> Result<(), SinkError> {
        if let Some(until) = self.not_before
            && Instant::now() < until
        {
            return Err(SinkError::down("the server asks for a pause"));
        }
        let text = scrub(&line.text);
        let at = line.at.as_second();
        let Verdict::Send { before } = self.quota.judge(at, &line.target, &text) else { return Ok(()) };
        let event = Event {
            id: envelope::new_id().map_err(|error| SinkError::down(format!("no random bytes: {error}")))?,
            at: line.at,
            severity: if line.target == PANIC { Severity::Fatal } else { Severity::Error },
            logger: &line.target,
            text: &text,
            release: &self.release,
            environment: &self.environment,
            before,
        };
        let answer = self
            .client
            .post(&self.dsn.path())
            .header("X-Sentry-Auth", &self.dsn.auth(&self.release))
            .raw("application/x-sentry-envelope", event.envelope())
            .send();
        match answer {
            Ok(response) => self.judge(&response)?,
            Err(error) => return Err(unreachable(&error)),
        }
        self.quota.sent(at, &line.target, &text);
        Ok(())
    }

    /// What the answer means: sent, to be tried again, or never to be taken.
    fn judge(&mut self, response: &Response) -> Result<(), SinkError> {
        let is_too_much = response.status() == 429;
        let told = response.headers_named("x-sentry-rate-limits").filter_map(limits::pause_for_errors).max();
        let pause =
            told.or_else(|| response.retry_after().filter(|_| is_too_much)).or(is_too_much.then_some(USUAL_PAUSE));
        self.not_before = pause.map(|pause| Instant::now() + pause);
        match response.status() {
            200..=299 => Ok(()),
            429 => Err(SinkError::down("the server says that these are too many reports; they wait")),
            400 | 413 => {
                Err(SinkError::refused(format!("the server does not take the report ({})", response.status())))
            }
            401 | 403 | 404 => Err(SinkError::down(format!(
                "the server does not know the project ({}); check `{CONFIG_KEY}`",
                response.status()
            ))),
            status => Err(SinkError::down(format!("the server answers {status}; check `{CONFIG_KEY}` or wait"))),
        }
    }
}

impl Sink for Sentry {
    fn key(&self) -> &'static str {
        Sentry::KEY
    }

    fn wants(&self, kind: Kind) -> bool {
        kind == Kind::Line
    }

    fn write(&mut self, records: &[Record]) -> Result<(), SinkError> {
        for (written, record) in records.iter().enumerate() {
            if let Record::Line(line) = record
                && line.level == Level::Error
                && !line.target.starts_with("logging")
            {
                self.report(line).map_err(|error| error.after(written))?;
            }
        }
        Ok(())
    }

    /// Lines of all levels wait here until they are looked at.
    fn backlog(&self) -> usize {
        256
    }
}

fn unreachable(error: &HttpError) -> SinkError {
    SinkError::down(error.to_string())
}
