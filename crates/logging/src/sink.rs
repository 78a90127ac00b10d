//! What a sink implements.

use std::time::Duration;

use crate::{Kind, Record};

/// A place that records are written to. It lives on a thread of its own and may block; every network call needs a time-out.
///
/// # For those who implement it
/// - Open and reopen what you write to inside [`Sink::write`]: a sink that is not there yet is like one that went away.
/// - A session comes several times, newest state last, and again after a restart: find its row by its own key and replace it.
/// - Do not log that you failed; return it. It is said once, with [`Sink::key`].
/// - A panic costs the first record of the batch; the sink is used again afterwards.
///
/// # For those who call it
/// Nobody does but the thread that [`crate::Fanout::add`] starts.
pub trait Sink: Send {
    /// The section of the configuration, such as `logging.CSV`.
    fn key(&self) -> &'static str;

    /// Whether it has a place for records of this kind. Asked once for each record, before it is queued.
    fn wants(&self, kind: Kind) -> bool;

    /// Writes records, oldest first.
    ///
    /// # Errors
    /// [`SinkError::Down`] when it should be tried again later, [`SinkError::Refused`] when one record never will be taken.
    /// Both tell how many records of the batch were written before.
    fn write(&mut self, records: &[Record]) -> Result<(), SinkError>;

    /// Records are gathered this long before they are written; a session that begins or ends is written at once.
    fn gather(&self) -> Duration {
        Duration::ZERO
    }

    /// Most records that wait. Beyond it the oldest go, sessions never.
    fn backlog(&self) -> usize {
        4_096
    }
}

/// Why records were not written. The text is a clause without secrets that says what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SinkError {
    /// It cannot be reached or written now.
    #[error("{reason}")]
    Down {
        /// How many records of the batch were written all the same.
        written: usize,
        /// Why, and what to do.
        reason: String,
    },
    /// It will never take the record after those `written`; the others may still be taken.
    #[error("{reason}")]
    Refused {
        /// How many records of the batch were written before that one.
        written: usize,
        /// Why.
        reason: String,
    },
}

impl SinkError {
    /// Nothing was written; to be tried again.
    #[must_use]
    pub fn down(reason: impl Into<String>) -> SinkError {
        SinkError::Down { written: 0, reason: reason.into() }
    }

    /// Nothing was written, and the first record never will be.
    #[must_use]
    pub fn refused(reason: impl Into<String>) -> SinkError {
        SinkError::Refused { written: 0, reason: reason.into() }
    }

    /// The same after `written` records of the batch.
    #[must_use]
    pub fn after(self, written: usize) -> SinkError {
        match self {
            SinkError::Down { reason, .. } => SinkError::Down { written, reason },
            SinkError::Refused { reason, .. } => SinkError::Refused { written, reason },
        }
    }
}
