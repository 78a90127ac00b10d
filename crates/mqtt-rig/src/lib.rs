//! MQTT brokers for tests: a small one in the process, always; and mosquitto, where it is installed.
//!
//! | part | does |
//! |---|---|
//! | [`start`], [`kinds`], [`Mini`], [`Mosquitto`] | brokers on loopback that end with their value |
//! | [`free_port`] | a port for one |
//! | [`Cable`] | a way to a broker that can be cut |
//! | [`connect`], [`expect`], [`expect_all`] | a client of its own, and what it must see |
//! | [`authority`], [`signed`] | certificates for TLS |
//!
//! For tests only: everything panics where it cannot go on.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests count as tests")]

mod brokers;
mod cable;
mod certificates;
mod mini;

use std::net::TcpListener;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use mqtt_link::{Broker, Hub, Link, Message, Subscription};

pub use brokers::{Mosquitto, Peer, kinds, mosquitto_path, start};
pub use cable::Cable;
pub use certificates::{authority, signed};
pub use mini::Mini;

/// Long enough for anything that works.
pub const GENEROUS: Duration = Duration::from_secs(30);

/// A port that stays free until it is used: below those that the system gives to outgoing connections.
#[must_use]
pub fn free_port() -> u16 {
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    let start = usize::try_from(std::process::id()).unwrap() * 32;
    (0..12_000)
        .map(|_| u16::try_from(20_000 + (start + COUNT.fetch_add(1, Ordering::Relaxed)) % 12_000).unwrap())
        .find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok())
        .unwrap()
}

/// The broker on this port of loopback.
pub fn broker(port: u16) -> Broker {
    Broker::new("127.0.0.1", port)
}

/// A connection to it, made.
#[must_use]
pub fn connect(hub: &Hub, broker: Broker) -> Link {
    let link = hub.link(broker).unwrap();
    assert!(link.wait_connected(GENEROUS), "{:?}", link.status());
    link
}

/// The first message that fits; others are passed over.
pub fn expect(subscription: &Subscription, topic: &str, payload: &str) -> Message {
    expect_all(subscription, &[(topic, payload)]).remove(0)
}

/// One message for each of these, in any order (a broker sends retained messages in an order of its own).
pub fn expect_all(subscription: &Subscription, wanted: &[(&str, &str)]) -> Vec<Message> {
    let deadline = Instant::now() + GENEROUS;
    let mut wanted = wanted.to_vec();
    let mut found = Vec::new();
    while !wanted.is_empty() {
        let left = deadline.saturating_duration_since(Instant::now());
        let Some(message) = subscription.recv_timeout(left) else {
            panic!("no message {wanted:?}; {:?}", subscription.link().status());
        };
        let before = wanted.len();
        wanted.retain(|(topic, payload)| message.topic != *topic || message.text() != Some(payload));
        if wanted.len() < before {
            found.push(message);
        }
    }
    found
}
