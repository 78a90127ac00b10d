//! What can go wrong before and while a controller runs.

use std::io;

/// Why a controller could not be opened, or did not take a command.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Gen2Error {
    /// The port's text cannot be understood.
    #[error(
        "the port \"{text}\" cannot be understood: {reason}; write a device such as /dev/ttyUSB0, socket://host:port or rfc2217://host:port"
    )]
    Port {
        /// What was written.
        text: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A setting contradicts another or makes no sense.
    #[error("{key}: {reason}")]
    Setting {
        /// The key as users know it.
        key: &'static str,
        /// What is wrong and what to write instead.
        reason: String,
    },
    /// The controller's thread, or what wakes it, could not be made.
    #[error("the bus thread could not be started: {0}; the system is short of threads or file descriptors")]
    Start(#[source] io::Error),
    /// A debug message is not on the list of those that harm nobody.
    #[error("this message is not sent: {0}")]
    Refused(String),
    /// The controller's thread has ended.
    #[error("the controller has ended")]
    Ended,
}
