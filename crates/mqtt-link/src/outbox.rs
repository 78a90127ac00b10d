//! What waits to be sent: the newest payload of each topic, in the order in which topics were first asked for.

use std::collections::{BTreeMap, VecDeque};

/// Most topics that are kept.
const MOST: usize = 4096;

/// A message to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Outgoing {
    pub(crate) topic: String,
    pub(crate) payload: Vec<u8>,
    pub(crate) retain: bool,
}

#[derive(Debug)]
struct Slot {
    payload: Vec<u8>,
    retain: bool,
    waits: bool,
}

/// Pending and remembered payloads by topic.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    slots: BTreeMap<String, Slot>,
    order: VecDeque<String>,
}

impl Outbox {
    /// Takes a payload; false if there are too many topics.
    pub(crate) fn put(&mut self, topic: &str, payload: Vec<u8>, retain: bool) -> bool {
        if let Some(slot) = self.slots.get_mut(topic) {
            slot.payload = payload;
            slot.retain = retain;
            if !slot.waits {
                slot.waits = true;
                self.order.push_back(topic.to_owned());
            }
            return true;
        }
        if self.slots.len() >= MOST {
            return false;
        }
        self.slots.insert(topic.to_owned(), Slot { payload, retain, waits: true });
        self.order.push_back(topic.to_owned());
        true
    }

    /// Takes a payload that must come after everything that waits.
    pub(crate) fn put_last(&mut self, topic: &str, payload: Vec<u8>, retain: bool) -> bool {
        if let Some(slot) = self.slots.get_mut(topic).filter(|slot| slot.waits) {
            slot.waits = false;
            self.order.retain(|other| other != topic);
        }
        self.put(topic, payload, retain)
    }

    /// The next one to send; to be followed by [`Self::sent`] if it was.
    pub(crate) fn next(&self) -> Option<Outgoing> {
        let topic = self.order.front()?;
        let slot = self.slots.get(topic)?;
        Some(Outgoing { topic: topic.clone(), payload: slot.payload.clone(), retain: slot.retain })
    }

    /// The one from [`Self::next`] was sent.
    pub(crate) fn sent(&mut self) {
        let Some(topic) = self.order.pop_front() else { return };
        let is_kept = match self.slots.get_mut(&topic) {
            Some(slot) => {
                slot.waits = false;
                slot.retain
            }
            None => true,
        };
        if !is_kept {
            self.slots.remove(&topic);
        }
    }

    /// A new connection: everything remembered waits again.
    pub(crate) fn again(&mut self) {
        for (topic, slot) in &mut self.slots {
            if !slot.waits {
                slot.waits = true;
                self.order.push_back(topic.clone());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn drain(outbox: &mut Outbox) -> Vec<(String, u8)> {
        let mut out = Vec::new();
        while let Some(next) = outbox.next() {
            out.push((next.topic, next.payload[0]));
            outbox.sent();
        }
        out
    }

    #[test]
    fn the_newest_payload_goes_and_retained_ones_go_again() {
        let mut outbox = Outbox::default();
        outbox.put("b", vec![1], true);
        outbox.put("a", vec![2], false);
        outbox.put("b", vec![3], true);
        assert_eq!(drain(&mut outbox), [("b".into(), 3), ("a".into(), 2)]);
        outbox.again();
        assert_eq!(drain(&mut outbox), [("b".into(), 3)]);
        outbox.put("b", vec![4], false);
        assert_eq!(drain(&mut outbox), [("b".into(), 4)]);
        outbox.again();
        assert_eq!(outbox.next(), None);
    }

    #[test]
    fn what_must_come_last_comes_last() {
        let mut outbox = Outbox::default();
        outbox.put("available", vec![1], true);
        outbox.put("power", vec![2], true);
        drain(&mut outbox);
        outbox.again();
        outbox.put_last("available", vec![3], true);
        assert_eq!(drain(&mut outbox), [("power".into(), 2), ("available".into(), 3)]);
    }

    #[test]
    fn topics_are_bounded() {
        let mut outbox = Outbox::default();
        for n in 0..MOST {
            assert!(outbox.put(&n.to_string(), vec![0], true));
        }
        assert!(!outbox.put("x", vec![0], true));
        assert!(outbox.put("0", vec![1], true));
    }

    proptest! {
        #[test]
        fn each_topic_ends_with_its_newest_payload(steps in proptest::collection::vec((0u8..5, any::<bool>(), 0u8..4), 0..60)) {
            let mut outbox = Outbox::default();
            let (mut wanted, mut sent) = (BTreeMap::new(), BTreeMap::new());
            for (at, (topic, retain, action)) in steps.into_iter().enumerate() {
                let topic = topic.to_string();
                match action {
                    0 | 1 => {
                        outbox.put(&topic, vec![u8::try_from(at).unwrap()], retain);
                        wanted.insert(topic, at);
                    }
                    2 => outbox.again(),
                    _ => if let Some(next) = outbox.next() {
                        sent.insert(next.topic, usize::from(next.payload[0]));
                        outbox.sent();
                    },
                }
            }
            for (topic, payload) in drain(&mut outbox) {
                sent.insert(topic, usize::from(payload));
            }
            prop_assert_eq!(sent, wanted);
        }
    }
}
