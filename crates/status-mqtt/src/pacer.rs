//! When which payload goes out: changes at once or after the shortest time between two, the last one always.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Unchanged payloads are repeated after this, or after the rate limit where that is longer: TWCManager repeats them too,
/// and some take silence for a failure.
const REPEAT: Duration = Duration::from_secs(60);

/// A payload for a topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct State {
    /// Topic, whole.
    pub topic: String,
    /// Payload.
    pub payload: String,
    /// Whether a change goes out at once, whatever the limit.
    pub is_event: bool,
}

#[derive(Debug)]
struct Slot {
    sent: String,
    sent_at: Instant,
    waiting: Option<String>,
}

/// The payloads of all topics, as they went out and as they wait.
#[derive(Debug)]
pub(crate) struct Pacer {
    limit: Duration,
    slots: BTreeMap<String, Slot>,
}

impl Pacer {
    /// With the shortest time between two messages on a topic; zero lets every change pass.
    pub(crate) fn new(limit: Duration) -> Pacer {
        Pacer { limit, slots: BTreeMap::new() }
    }

    /// The newest payload of a topic: gives it back when it is to be sent now.
    pub(crate) fn offer(&mut self, now: Instant, state: State) -> Option<(String, String)> {
        let State { topic, payload, is_event } = state;
        let Some(slot) = self.slots.get_mut(&topic) else {
            self.slots.insert(topic.clone(), Slot { sent: payload.clone(), sent_at: now, waiting: None });
            return Some((topic, payload));
        };
        let age = now.saturating_duration_since(slot.sent_at);
        let is_due = if slot.sent == payload {
            slot.waiting = None;
            // An empty payload makes the broker forget; once is enough.
            !payload.is_empty() && age >= REPEAT.max(self.limit)
        } else {
            is_event || age >= self.limit
        };
        if is_due {
            *slot = Slot { sent: payload.clone(), sent_at: now, waiting: None };
            return Some((topic, payload));
        }
        if slot.sent != payload {
            slot.waiting = Some(payload);
        }
        None
    }

    /// Payloads whose wait is over.
    pub(crate) fn due(&mut self, now: Instant) -> Vec<(String, String)> {
        let limit = self.limit;
        let mut out = Vec::new();
        for (topic, slot) in &mut self.slots {
            if now.saturating_duration_since(slot.sent_at) < limit {
                continue;
            }
            if let Some(payload) = slot.waiting.take() {
                (slot.sent, slot.sent_at) = (payload.clone(), now);
                out.push((topic.clone(), payload));
            }
        }
        out
    }

    /// When the next wait is over.
    pub(crate) fn next_timeout(&self) -> Option<Instant> {
        self.slots.values().filter(|slot| slot.waiting.is_some()).map(|slot| slot.sent_at + self.limit).min()
    }

    /// Everything that waits, at once.
    pub(crate) fn flush(&mut self, now: Instant) -> Vec<(String, String)> {
        let limit = std::mem::replace(&mut self.limit, Duration::ZERO);
        let out = self.due(now);
        self.limit = limit;
        out
    }

    /// The newest payload of each topic that is chosen, again.
    pub(crate) fn again(&mut self, now: Instant, is_chosen: impl Fn(&str) -> bool) -> Vec<(String, String)> {
        let chosen = self.slots.iter_mut().filter(|(topic, slot)| {
            let newest = slot.waiting.as_ref().unwrap_or(&slot.sent);
            is_chosen(topic) && !newest.is_empty()
        });
        chosen
            .map(|(topic, slot)| {
                if let Some(waiting) = slot.waiting.take() {
                    slot.sent = waiting;
                }
                slot.sent_at = now;
                (topic.clone(), slot.sent.clone())
            })
            .collect()
    }

    /// A topic is of no use any more.
    pub(crate) fn forget(&mut self, topic: &str) {
        self.slots.remove(topic);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A pacer with a limit of 60 s, and a clock that starts at zero.
    struct Script {
        pacer: Pacer,
        zero: Instant,
    }

    impl Script {
        fn new(limit_s: u64) -> Script {
            Script { pacer: Pacer::new(Duration::from_secs(limit_s)), zero: Instant::now() }
        }

        fn at(&self, s: u64) -> Instant {
            self.zero + Duration::from_secs(s)
        }

        /// Offers a payload of one topic; whether it went out.
        fn offers(&mut self, s: u64, payload: &str, is_event: bool) -> bool {
            let state = State { topic: "t".to_owned(), payload: payload.to_owned(), is_event };
            self.pacer.offer(self.at(s), state).inspect(|(_, sent)| assert_eq!(sent, payload)).is_some()
        }

        fn due(&mut self, s: u64) -> Option<String> {
            self.pacer.due(self.at(s)).pop().map(|(_, payload)| payload)
        }
    }

    #[test]
    fn a_burst_ends_with_its_last_value() {
        let mut script = Script::new(60);
        assert!(script.offers(0, "1", false));
        assert!(!script.offers(1, "2", false));
        assert!(!script.offers(2, "3", false));
        assert_eq!(script.pacer.next_timeout(), Some(script.at(60)));
        assert_eq!(script.due(59), None);
        assert_eq!(script.due(60).as_deref(), Some("3"));
        assert_eq!(script.pacer.next_timeout(), None);
        // What went back meanwhile needs no message.
        assert!(!script.offers(61, "4", false));
        assert!(!script.offers(62, "3", false));
        assert_eq!(script.pacer.next_timeout(), None);
    }

    #[test]
    fn events_do_not_wait() {
        let mut script = Script::new(60);
        assert!(script.offers(0, "0", true));
        assert!(script.offers(1, "1", true));
        assert!(!script.offers(2, "1", true));
        assert!(script.offers(3, "0", true));
    }

    #[test]
    fn what_stays_is_repeated_but_emptiness_is_not() {
        let mut script = Script::new(10);
        assert!(script.offers(0, "1", false));
        assert!(!script.offers(59, "1", false));
        assert!(script.offers(60, "1", false));
        assert!(script.offers(70, "", false));
        assert!(!script.offers(500, "", false));
    }

    #[test]
    fn without_a_limit_every_change_goes_out() {
        let mut script = Script::new(0);
        assert!((0..5).all(|n| script.offers(0, &n.to_string(), false)));
    }

    #[test]
    fn at_the_end_nothing_is_kept_back() {
        let mut script = Script::new(60);
        script.offers(0, "1", false);
        script.offers(1, "2", false);
        assert_eq!(script.pacer.flush(script.at(2)), [("t".to_owned(), "2".to_owned())]);
        assert_eq!(script.pacer.flush(script.at(2)), []);
        script.offers(3, "3", false);
        assert_eq!(script.pacer.again(script.at(4), |_| true), [("t".to_owned(), "3".to_owned())]);
    }
}
