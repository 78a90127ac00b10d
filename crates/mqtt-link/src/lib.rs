//! One MQTT connection for everything that talks to the same broker.
//!
//! | part | does |
//! |---|---|
//! | [`Hub`] | gives everyone who names the same broker and user the same [`Link`] |
//! | [`Link`] | publishes and subscribes; connects and reconnects on a thread of its own |
//! | [`Subscription`], [`Message`] | a bounded queue of what came in |
//! | [`Broker`], [`Tls`], [`ClientId`], [`Will`] | where and how to connect |
//! | [`Status`] | since when it is connected, or why not |
//! | [`topic`] | which topics and filters are valid, and which filter matches |
//!
//! ```no_run
//! use mqtt_link::{Broker, Hub};
//! use std::time::Duration;
//!
//! let hub = Hub::new();
//! let link = hub.link(Broker::new("192.168.1.2", 1883).login("me", "secret"))?;
//! let meter = link.subscribe(&["house/power"])?;
//! link.publish("twcmanager/status", "online", true)?;
//! while let Some(message) = meter.recv_timeout(Duration::from_secs(60)) {
//!     println!("{}: {:?}{}", message.topic, message.text(), if message.retained { " (old)" } else { "" });
//! }
//! hub.close(Duration::from_secs(1));
//! # Ok::<(), mqtt_link::LinkError>(())
//! ```
//!
//! ## What is promised
//!
//! - No call blocks on the network, except [`Hub::close`] and the ones that say how long they wait.
//! - [`Link::publish`] keeps the newest payload of a topic until it is sent. Retained payloads are remembered and sent again
//!   on every connection, because brokers forget; others are sent once.
//! - [`Link::send`] is for commands: it is refused while there is no connection, so that nothing old is sent later.
//! - On every connection: subscriptions, then remembered payloads, then what the [`Link::on_connect`] hooks give.
//! - After a failure the next try comes after 0.2 s, doubling up to 30 s.
//! - Everything is QoS 0 over a clean session: TCP keeps it in order while connected, and nothing is owed afterwards.
//! - An idle link wakes up for keep-alive only.
//!
//! A message that matches the filters of several subscriptions goes to each. A second subscription to the same filter makes
//! the broker send retained messages again, to both, marked as retained.
//!
//! This crate hides `rumqttc`; nothing of it is in the interface. Not done: MQTT 5, WebSocket, QoS 1 and 2, and TLS to an
//! IPv6 address without a name (that library can't).

mod broker;
mod error;
mod hub;
mod ladder;
mod link;
mod mailbox;
mod outbox;
mod shared;
mod tls;
mod worker;

pub mod topic;

pub use broker::{Broker, ClientId, Will};
pub use error::LinkError;
pub use hub::Hub;
pub use link::{Hook, Link, Publication, Status};
pub use mailbox::{Message, Subscription};
pub use tls::{Roots, Tls};
