//! Why a source gave no reading.

use std::time::Duration;

use units::OutOfRange;

/// Why a source gave no reading, in a sentence that says what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct EmsError {
    kind: EmsErrorKind,
    text: String,
    retry_after: Option<Duration>,
}

/// What the loop around a driver does about an [`EmsError`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum EmsErrorKind {
    /// Passing trouble: asked again, with back-off.
    Retry,
    /// The device answers and says that it sleeps or has nothing to tell.
    Asleep,
    /// The vendor's budget is used up; see [`EmsError::retry_after`].
    RateLimited,
    /// The configuration is wrong: asked again rarely, and said until mended.
    Misconfigured,
    /// The device refuses the login.
    Denied,
    /// The device answers with something else than the vendor's format.
    Garbled,
    /// The driver was asked to stop.
    Stopped,
}

impl EmsError {
    /// An error of `kind`; `text` is one sentence that tells what to do.
    pub fn new(kind: EmsErrorKind, text: impl Into<String>) -> Self {
        EmsError { kind, text: text.into(), retry_after: None }
    }

    /// Passing trouble.
    pub fn retry(text: impl Into<String>) -> Self {
        EmsError::new(EmsErrorKind::Retry, text)
    }

    /// An answer that is not the vendor's format.
    pub fn garbled(text: impl Into<String>) -> Self {
        EmsError::new(EmsErrorKind::Garbled, text)
    }

    /// The driver was asked to stop.
    #[must_use]
    pub fn stopped() -> Self {
        EmsError::new(EmsErrorKind::Stopped, "the program is ending")
    }

    /// The same, to be asked again after `wait` at the earliest.
    #[must_use]
    pub fn after(mut self, wait: Duration) -> Self {
        self.retry_after = Some(wait);
        self
    }

    /// What to do about it.
    #[must_use]
    pub fn kind(&self) -> EmsErrorKind {
        self.kind
    }

    /// How long the device asked to be left alone.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        self.retry_after
    }
}

impl From<OutOfRange> for EmsError {
    fn from(error: OutOfRange) -> Self {
        EmsError::garbled(format!("the device reported a value that cannot be: {error}"))
    }
}
