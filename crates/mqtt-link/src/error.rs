//! What can go wrong when a link is asked for something. Trouble with the connection is in the link's status.

/// A request that can't be fulfilled.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LinkError {
    /// Not a topic.
    #[error("`{0}` is no topic to publish to; it must not be empty nor contain + or #")]
    BadTopic(String),
    /// Not a filter.
    #[error("`{0}` can't be subscribed to; + and # must stand alone between slashes, # at the end only")]
    BadFilter(String),
    /// Nothing to subscribe to.
    #[error("there is no topic to subscribe to; name one in the configuration")]
    NoFilter,
    /// The payload is larger than what is sent.
    #[error(
        "the message for `{topic}` is too large ({length} bytes; {} at most); send less at once",
        crate::broker::LARGEST
    )]
    TooLarge {
        /// Its topic.
        topic: String,
        /// Its length.
        length: usize,
    },
    /// A command while there is no connection.
    #[error("there is no connection to the MQTT broker {0}; the message was not sent, try again when it is back")]
    NotConnected(String),
    /// More waits to be sent than is kept.
    #[error("too many messages wait for the MQTT broker {0}; the newest was refused")]
    Full(String),
    /// The broker's address or TLS files can't be used.
    #[error("the MQTT broker {broker} can't be used: {why}; correct the broker's settings in the configuration")]
    BadBroker {
        /// Host and port.
        broker: String,
        /// What is wrong.
        why: String,
    },
    /// Another last will is set.
    #[error(
        "the connection to the MQTT broker {0} already has another last will; give one of the two users another client id"
    )]
    WillTaken(String),
}
