//! Saves what a device answered, without secrets.

use crate::replay::Recorded;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

/// One call and its answer, secrets and personal data already taken out.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Exchange<'a> {
    /// `GET`, `POST`, …
    pub method: &'a str,
    /// The whole address.
    pub url: &'a str,
    /// Path and query.
    pub target: &'a str,
    /// What was sent as a body, if that is text.
    pub request_body: Option<&'a str>,
    /// The status code.
    pub status: u16,
    /// The answer's content type; empty if it has none.
    pub content_type: &'a str,
    /// Where the answer sends us, if it does.
    pub location: Option<&'a str>,
    /// The answer's body.
    pub body: &'a [u8],
}

/// Is told of every answer of the clients it was given to.
///
/// *For those who implement it*: calls come from the drivers' threads, several at a time; don't block for long, and don't
/// fail: note trouble and report it later.
///
/// *For those who call it*: a log-in that a client does on its own (digest) and redirects it follows are one exchange, with
/// the first request and the last answer. Calls without an answer are not told.
pub trait Recorder: Send + Sync {
    /// Takes one exchange.
    fn exchange(&self, exchange: &Exchange<'_>);
}

/// Writes exchanges into a file, one JSON object a line; [`Replay::from_json_lines`](crate::Replay::from_json_lines) reads it.
#[derive(Debug)]
pub struct JsonLines {
    state: Mutex<(File, Option<io::Error>)>,
}

impl JsonLines {
    /// Creates the file, readable by its owner only; an existing one is written anew.
    ///
    /// # Errors
    ///
    /// What the file system says.
    pub fn create(path: &Path) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        options.create(true).write(true).truncate(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        Ok(Self { state: Mutex::new((options.open(path)?, None)) })
    }

    /// Flushes to disk, and gives the first trouble met while writing.
    ///
    /// # Errors
    ///
    /// The first error of any write.
    pub fn finish(self) -> io::Result<()> {
        let (file, trouble) = self.state.into_inner().unwrap_or_else(PoisonError::into_inner);
        match trouble {
            Some(error) => Err(error),
            None => file.sync_all(),
        }
    }
}

impl Recorder for JsonLines {
    fn exchange(&self, exchange: &Exchange<'_>) {
        let (body, body_base64) = match std::str::from_utf8(exchange.body) {
            Ok(text) => (text.to_owned(), None),
            Err(_) => (String::new(), Some(STANDARD.encode(exchange.body))),
        };
        let recorded = Recorded {
            method: exchange.method.to_owned(),
            target: exchange.target.to_owned(),
            request_body: exchange.request_body.map(str::to_owned),
            status: exchange.status,
            content_type: exchange.content_type.to_owned(),
            location: exchange.location.map(str::to_owned),
            body,
            body_base64,
        };
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let (file, trouble) = &mut *state;
        let written = serde_json::to_string(&recorded).map_err(io::Error::from).and_then(|mut line| {
            line.push('\n');
            file.write_all(line.as_bytes())
        });
        if let Err(error) = written {
            trouble.get_or_insert(error);
        }
    }
}
