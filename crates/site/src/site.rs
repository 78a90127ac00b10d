//! The state machine: what goes in, what comes out, and in which order.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use ems::{EmsError, EmsReading};
use evse::{ControllerEvent, EvseId, EvseStatus};
use policy::Now;
use serde_json::{Map, Value};

use crate::{Command, Output, Refusal, RefusalKind, SessionEvent, SiteSetup, Snapshot};

/// The site.
#[derive(Debug)]
pub struct Site {
    setup: SiteSetup,
    settings: Map<String, Value>,
    outputs: VecDeque<Output>,
    started: Now,
    sequence: u64,
}

/// Why the site cannot start: the configuration says something that cannot be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{key}: {text}")]
pub struct SetupError {
    /// Key path in `config.json`.
    pub key: String,
    /// A sentence with what to do.
    pub text: String,
}

impl Site {
    /// A site that knows nothing yet. `settings` is the content of `settings.json`.
    ///
    /// # Errors
    /// One for each policy that cannot be understood.
    pub fn new(setup: SiteSetup, settings: Map<String, Value>, now: &Now) -> Result<Self, Vec<SetupError>> {
        Ok(Site { setup, settings, outputs: VecDeque::new(), started: now.clone(), sequence: 0 })
    }

    /// Takes up a session that was open when the program last ended; call before the first status.
    pub fn resume_session(&mut self, session: SessionEvent) {
        let _ = session;
    }

    /// A source gave a reading.
    pub fn handle_reading(&mut self, now: &Now, source: &str, reading: Arc<EmsReading>) {
        let _ = (now, source, reading);
    }

    /// A source failed to give one.
    pub fn handle_source_error(&mut self, now: &Now, source: &str, error: &EmsError) {
        let _ = (now, source, error);
    }

    /// A charging point appeared or changed.
    pub fn handle_evse(&mut self, now: &Now, status: Arc<EvseStatus>) {
        let _ = (now, status);
    }

    /// A charging point was forgotten by its controller.
    pub fn handle_evse_gone(&mut self, now: &Now, id: &EvseId) {
        let _ = (now, id);
    }

    /// A controller tells something that people should hear of.
    pub fn handle_event(&mut self, now: &Now, event: ControllerEvent) {
        let _ = (now, event);
    }

    /// A person or program wants something.
    ///
    /// # Errors
    /// `Invalid`, `NotFound` or `Unsupported`, with a sentence.
    pub fn handle_command(&mut self, now: &Now, command: Command) -> Result<(), Refusal> {
        let _ = (now, command);
        Err(Refusal { kind: RefusalKind::Busy, text: "the site is being built".to_owned() })
    }

    /// Writing `settings.json` failed, or works again: shown to people.
    pub fn handle_settings_saved(&mut self, now: &Now, result: Result<(), String>) {
        let _ = (now, result);
    }

    /// Time passed; call when [`Site::next_timeout`] says so. Calling early or late does no harm.
    pub fn handle_timeout(&mut self, now: &Now) {
        let _ = now;
    }

    /// When [`Site::handle_timeout`] wants to be called.
    #[must_use]
    pub fn next_timeout(&self) -> Option<Instant> {
        Some(self.started.mono)
    }

    /// The next thing to do.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// The state for front ends.
    #[must_use]
    pub fn snapshot(&self, now: &Now) -> Snapshot {
        Snapshot {
            sequence: self.sequence,
            at: now.epoch(),
            started_at: self.started.epoch(),
            site: crate::SiteView { phases: self.setup.phases.count(), ..crate::SiteView::default() },
            power: crate::PowerView::default(),
            policy: crate::PolicyView {
                name: "None".to_owned(),
                kind: "none",
                is_green: false,
                reason: String::new(),
                since: self.started.epoch(),
            },
            charge_now: None,
            evses: Vec::new(),
            sources: Vec::new(),
            alerts: Vec::new(),
        }
    }

    /// `settings.json` as it should be on disk.
    #[must_use]
    pub fn settings(&self) -> &Map<String, Value> {
        &self.settings
    }

    /// The policy list in the shape of TWCManager's `/api/getPolicy`.
    #[must_use]
    pub fn policies(&self) -> Value {
        Value::Array(Vec::new())
    }

    /// Which policy holds at a moment, why, and why the others do not: each term with its value.
    #[must_use]
    pub fn explain_policies(&self, at: &Now) -> Value {
        let _ = at;
        Value::Null
    }
}
