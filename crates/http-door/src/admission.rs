//! Who may come in when the house is full. Pure.
//!
//! A client that has not yet sent a whole request holds nothing worth keeping, so when room is needed the one that has
//! been at this longest goes: first those that were already answered and only linger, then idle ones, then half heads
//! (of the address that holds most of them), then half bodies, then answers that nobody takes. A real client sends its request at once and so is never the
//! oldest: half-open connections, however many and from however many addresses, cannot lock it out. What is being answered and
//! event streams are never cut off for a newcomer; if nothing else is left, the newcomer gets 503.

use std::net::IpAddr;
use std::time::Instant;

use crate::session::Standing;
use crate::settings::Limits;

/// What is to be known of an open connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) slot: usize,
    pub(crate) peer: IpAddr,
    pub(crate) standing: Standing,
    /// When it got into this standing, or at least when it was accepted.
    pub(crate) since: Instant,
}

/// What to do with a newcomer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Admission {
    Welcome,
    /// Close this one first.
    InsteadOf(usize),
    Refused,
}

/// Decides about a newcomer from `peer`.
pub(crate) fn admit(peer: IpAddr, places: &[Place], limits: &Limits) -> Admission {
    let of_peer: Vec<Place> = places.iter().filter(|place| place.peer == peer).copied().collect();
    if of_peer.len() >= limits.connections_per_peer {
        return instead_of(&of_peer);
    }
    if places.len() >= limits.connections {
        return instead_of(places);
    }
    Admission::Welcome
}

fn instead_of(places: &[Place]) -> Admission {
    match dispensable(places) {
        Some(slot) => Admission::InsteadOf(slot),
        None => Admission::Refused,
    }
}

/// The connection that matters least, if any may be closed at all.
pub(crate) fn dispensable(places: &[Place]) -> Option<usize> {
    places
        .iter()
        .filter(|place| place.standing <= Standing::Sending)
        .min_by_key(|place| {
            // Among half requests, the address that holds most of them pays first.
            let crowd = match place.standing {
                Standing::Arriving | Standing::Receiving | Standing::Sending => {
                    places.iter().filter(|other| other.peer == place.peer && other.standing == place.standing).count()
                }
                _ => 0,
            };
            (place.standing, usize::MAX - crowd, place.since)
        })
        .map(|place| place.slot)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn peer(last: u8) -> IpAddr {
        IpAddr::from([192, 168, 0, last])
    }

    /// Places in the order given, the first being the oldest.
    fn places(list: &[(u8, Standing)]) -> Vec<Place> {
        let start = Instant::now();
        list.iter()
            .enumerate()
            .map(|(slot, &(last, standing))| Place {
                slot,
                peer: peer(last),
                standing,
                since: start + Duration::from_secs(slot as u64),
            })
            .collect()
    }

    fn limits() -> Limits {
        Limits { connections: 4, connections_per_peer: 2, ..Limits::default() }
    }

    #[test]
    fn room_is_made_for_a_newcomer() {
        use Standing::*;
        for (have, newcomer, want) in [
            (&[(1, Busy)][..], 1, Admission::Welcome),
            // The peer's own bound concerns its own connections.
            (&[(2, Idle), (1, Busy), (1, Idle)], 1, Admission::InsteadOf(2)),
            (&[(2, Idle), (1, Busy), (1, Streaming)], 1, Admission::Refused),
            (&[(1, Arriving), (1, Idle)], 1, Admission::InsteadOf(1)),
            // The common bound: what matters least, oldest first.
            (&[(1, Busy), (2, Idle), (3, Idle), (4, Leaving)], 5, Admission::InsteadOf(3)),
            (&[(1, Arriving), (2, Idle), (3, Idle), (4, Busy)], 5, Admission::InsteadOf(1)),
            (&[(1, Receiving), (2, Arriving), (3, Busy), (4, Busy)], 5, Admission::InsteadOf(1)),
            (&[(1, Streaming), (2, Sending), (3, Busy), (4, Busy)], 5, Admission::InsteadOf(1)),
            (&[(1, Busy), (2, Busy), (3, Streaming), (4, Streaming)], 5, Admission::Refused),
            // A crowd pays before a single slow client that came earlier.
            (&[(1, Arriving), (2, Arriving), (2, Arriving), (4, Busy)], 5, Admission::InsteadOf(1)),
        ] {
            let got = admit(peer(newcomer), &places(have), &limits());
            assert_eq!(got, want, "{have:?}");
        }
    }
}
