//! What sources of cars that listen to MQTT have in common: the thread, grouping, troubles, answers.
//!
//! | part | does |
//! |---|---|
//! | [`Reader`] | what a source knows about its topics; pure, with the time given |
//! | [`open`], [`Settings`] | the thread that feeds a reader and tells a listener |
//! | [`Clock`] | both clocks, read together, so that a stamp of another computer becomes an age |
//! | [`values`] | texts into quantities; what is no such quantity is unknown |
//!
//! Messages that come together are taken together: a car is reported once for a burst of topics. For those who write a
//! source of cars over MQTT: implement [`Reader`], and hand it to [`open`].

mod clock;
mod source;
pub mod values;

use vehicle::Report;

pub use clock::Clock;
pub use mqtt_link::{Broker, Hub, Message};
pub use source::{Settings, open};

/// What a source knows about its topics. No clock, no thread, no connection.
pub trait Reader: Send + 'static {
    /// Takes a message up.
    fn take(&mut self, message: &Message, clock: Clock);

    /// What is to be told: asked after messages that came together, and about twice a second without any.
    fn news(&mut self, clock: Clock) -> Vec<Report>;

    /// All that is known, once more, with the age that it has.
    fn all(&self, clock: Clock) -> Vec<Report>;
}

/// Why a source could not be opened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The broker, or a topic.
    #[error("{section}: {source}")]
    Link {
        /// The section of the configuration.
        section: &'static str,
        /// What is wrong.
        source: mqtt_link::LinkError,
    },
    /// A setting.
    #[error("{key} {problem}")]
    Setting {
        /// The key, from the top of the file.
        key: String,
        /// What is wrong and what to write instead.
        problem: String,
    },
    /// The system gives no thread.
    #[error("{section}: the system gives no thread ({detail}); restart the program, and look for what uses up memory")]
    Thread {
        /// The section of the configuration.
        section: &'static str,
        /// What the system said.
        detail: String,
    },
}
