//! An event in its envelope: three lines of JSON (about the envelope, about the item, the item).

use jiff::Timestamp;
use serde_json::{Value, json};

/// What we call ourselves.
pub(crate) const SDK: &str = "twcmanager";

/// How serious an event is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Severity {
    Error,
    Fatal,
}

/// What is reported. Nothing in it tells who or where.
#[derive(Debug)]
pub(crate) struct Event<'a> {
    pub id: String,
    pub at: Timestamp,
    pub severity: Severity,
    /// The module that said it.
    pub logger: &'a str,
    /// What it said, scrubbed.
    pub text: &'a str,
    pub release: &'a str,
    pub environment: &'a str,
    /// How many like it were not reported before.
    pub before: u64,
}

impl Event<'_> {
    pub fn envelope(&self) -> String {
        let item = self.payload().to_string();
        let about_envelope = json!({"event_id": self.id, "sent_at": Timestamp::now().to_string()});
        let about_item = json!({"type": "event", "length": item.len(), "content_type": "application/json"});
        format!("{about_envelope}\n{about_item}\n{item}\n")
    }

    fn payload(&self) -> Value {
        let version = self.release.split_once('@').map_or(self.release, |(_, version)| version);
        json!({
            "event_id": self.id,
            "timestamp": self.at.to_string(),
            "platform": "other",
            "level": match self.severity { Severity::Error => "error", Severity::Fatal => "fatal" },
            "logger": self.logger,
            "logentry": {"message": self.text, "formatted": self.text},
            "release": self.release,
            "environment": self.environment,
            "tags": {"arch": std::env::consts::ARCH},
            "contexts": {"os": {"type": "os", "name": std::env::consts::OS}},
            "extra": {"not reported before": self.before},
            // Servers must not note where it came from.
            "sdk": {"name": SDK, "version": version, "settings": {"infer_ip": "never"}},
        })
    }
}

/// A random id, 32 hexadecimal digits.
pub(crate) fn new_id() -> Result<String, getrandom::Error> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
