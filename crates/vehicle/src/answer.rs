//! What came of a question to a source.

use std::sync::Arc;
use std::time::Duration;

use crate::CarKey;

/// What came of one [`Ask`](crate::Ask).
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// The number of the question.
    pub id: u64,
    /// Name of the source.
    pub source: Arc<str>,
    /// Which car.
    pub car: CarKey,
    /// What came of it. What was read came as a report before this.
    pub outcome: Outcome,
    /// Calls that the source's maker charges for, as they were made; failed ones too where those cost.
    pub spent: Spent,
}

/// What came of a question, by what can be done about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Done as asked. For a command this is a claim; the proof is in watts that flow or in a later report.
    Done,
    /// It was so already.
    AlreadySo,
    /// The car will not; asking again helps only after something changed.
    Refused(Refusal),
    /// The car sleeps or has no network. Nothing was done.
    Asleep,
    /// Not now; surely nothing was done.
    Later {
        /// At least so long, where the source says how long.
        after: Option<Duration>,
        /// A sentence for people.
        text: String,
    },
    /// The answer was lost: it may have been done. Look before repeating.
    Unsure {
        /// A sentence for people.
        text: String,
    },
    /// Nothing works until a person acts: sign in, pay, pair a key. Also told as [`Trouble`](crate::Trouble).
    Barred {
        /// A sentence for people with what to do.
        text: String,
    },
}

/// Why a car will not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// Its limit is reached.
    Complete,
    /// No cable is plugged in.
    Unplugged,
    /// The charging point gives no power.
    NoPower,
    /// Our key is not on the car's list.
    NotPaired,
    /// Another reason; the sentence is in the log.
    Other,
}

/// Calls that cost, by kind, as a price list tells them apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Spent {
    /// Commands, handshakes included.
    pub commands: u32,
    /// Reading data, and lists of cars.
    pub data: u32,
    /// Waking a car.
    pub wakes: u32,
}

impl Spent {
    /// Nothing.
    pub const NOTHING: Spent = Spent { commands: 0, data: 0, wakes: 0 };

    /// Whether nothing was spent.
    #[must_use]
    pub fn is_nothing(self) -> bool {
        self == Spent::NOTHING
    }
}

impl std::ops::AddAssign for Spent {
    fn add_assign(&mut self, other: Spent) {
        self.commands = self.commands.saturating_add(other.commands);
        self.data = self.data.saturating_add(other.data);
        self.wakes = self.wakes.saturating_add(other.wakes);
    }
}
