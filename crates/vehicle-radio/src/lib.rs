//! What sources of cars that go through one radio have in common, and nothing that knows a particular bridge.
//!
//! | part | what |
//! |---|---|
//! | [`Radio`] | one bridge: answers a question, blocking |
//! | [`open`] | the thread around it: one question at a time, commands first, exactly one answer each |
//! | [`Line`] | how a bridge tells what it found, and learns that it shall end |
//! | [`Hitch`] | why something failed, by the words of Tesla's library, which all bridges pass on |
//! | [`Awake`] | which cars surely are awake, so that they need not be asked again |
//! | [`whole_amps`], [`whole_percent`] | what cars are told, rounded down |
//!
//! One radio speaks to one car at a time, and each conversation takes 5 to 20 s. So there is one thread a radio, not one a
//! car. For those who write a source over Bluetooth: implement [`Radio`], and hand it to [`open`].
//!
//! Sources of the words: `pkg/protocol/error.go`, `pkg/connector/ble` and `cmd/tesla-control` of
//! <https://github.com/teslamotors/vehicle-command>; `internal/ble/control` of <https://github.com/wimaha/TeslaBleHttpProxy>.

mod awake;
mod source;
mod whole;
mod words;

pub use awake::{Awake, WAKE_POLL, WAKE_TAKES};
pub use source::{Line, Radio, open};
pub use whole::{whole_amps, whole_percent};
pub use words::{AdapterFault, Hitch, wakefulness};
