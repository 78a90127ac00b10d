//! Records that wait for one sink: in order, bounded, and no session lost.

use std::collections::VecDeque;

use crate::{Record, Session};

/// A queue with these rules: a newer state of a session takes the place of the older one; when it is full the oldest
/// record that is no session goes; sessions stay, however many (a household has a few a day).
#[derive(Debug)]
pub(crate) struct Backlog {
    waiting: VecDeque<Record>,
    most: usize,
    dropped: u64,
}

impl Backlog {
    pub fn new(most: usize) -> Backlog {
        Backlog { waiting: VecDeque::new(), most, dropped: 0 }
    }

    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Records lost so far.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    pub fn sessions(&self) -> usize {
        self.waiting.iter().filter(|record| matches!(record, Record::Session(_))).count()
    }

    pub fn push(&mut self, record: Record) {
        if let Record::Session(session) = &record
            && let Some(place) = self.place_of(session)
            && let Some(older) = self.waiting.get_mut(place)
        {
            *older = record;
            return;
        }
        if self.make_room() || matches!(record, Record::Session(_)) {
            self.waiting.push_back(record);
        } else {
            self.dropped += 1;
        }
    }

    /// Up to `most` records, oldest first.
    pub fn take(&mut self, most: usize) -> Vec<Record> {
        let count = self.waiting.len().min(most);
        self.waiting.drain(..count).collect()
    }

    /// Puts back what was taken and not written. A session of which a newer state came meanwhile keeps its place with that.
    pub fn put_back(&mut self, records: impl DoubleEndedIterator<Item = Record>) {
        for record in records.rev() {
            match record {
                Record::Session(session) => {
                    let newer = self.place_of(&session).and_then(|place| self.waiting.remove(place));
                    self.waiting.push_front(newer.unwrap_or(Record::Session(session)));
                }
                sample if self.waiting.len() < self.most => self.waiting.push_front(sample),
                _ => self.dropped += 1,
            }
        }
    }

    fn place_of(&self, session: &Session) -> Option<usize> {
        self.waiting.iter().rposition(|waits| matches!(waits, Record::Session(waits) if waits.id == session.id))
    }

    fn make_room(&mut self) -> bool {
        if self.waiting.len() < self.most {
            return true;
        }
        let oldest = self.waiting.iter().position(|record| !matches!(record, Record::Session(_)));
        if let Some(place) = oldest {
            self.waiting.remove(place);
            self.dropped += 1;
        }
        oldest.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::GreenEnergy;
    use units::{WattHours, Watts};

    fn session(id: &str, counter: f64) -> Record {
        Record::Session(Session {
            id: id.into(),
            evse: "3A7C".into(),
            vin: None,
            started_at: 0,
            ended_at: None,
            counter_start: WattHours::ZERO,
            counter: WattHours::saturating(counter),
        })
    }

    fn sample(at: i64) -> Record {
        Record::GreenEnergy(GreenEnergy { at, generation: Watts::ZERO, consumption: Watts::ZERO, cars: Watts::ZERO })
    }

    /// Sessions by name and counter, samples by time: `a5 7` reads as session a at 5 Wh, then the sample of second 7.
    fn shown(backlog: &mut Backlog) -> String {
        let show = |record| match record {
            Record::Session(session) => format!("{}{}", session.id, session.counter.get()),
            Record::GreenEnergy(sample) => sample.at.to_string(),
            other => format!("{other:?}"),
        };
        backlog.take(usize::MAX).into_iter().map(show).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn the_oldest_samples_go_and_sessions_stay() {
        let mut backlog = Backlog::new(3);
        for record in [session("a", 1.0), sample(1), session("b", 1.0), sample(2), session("c", 1.0), session("d", 1.0)]
        {
            backlog.push(record);
        }
        backlog.push(sample(3));
        assert_eq!(backlog.dropped(), 3);
        assert_eq!(shown(&mut backlog), "a1 b1 c1 d1");
    }

    #[test]
    fn a_newer_state_takes_the_place_of_the_older_one() {
        let mut backlog = Backlog::new(9);
        for record in [session("a", 1.0), sample(1), session("a", 2.0)] {
            backlog.push(record);
        }
        assert_eq!(shown(&mut backlog), "a2 1");
    }

    #[test]
    fn what_was_refused_comes_back_in_order_with_the_newest_state() {
        let mut backlog = Backlog::new(5);
        for record in [session("a", 1.0), sample(1), sample(2), session("b", 1.0)] {
            backlog.push(record);
        }
        let taken = backlog.take(3);
        backlog.push(session("a", 9.0));
        backlog.push(sample(3));
        backlog.put_back(taken.into_iter());
        assert_eq!(shown(&mut backlog), "a9 1 2 b1 3");
    }

    #[test]
    fn what_comes_back_into_a_full_queue_loses_its_oldest() {
        let mut backlog = Backlog::new(3);
        (1..=3).for_each(|at| backlog.push(sample(at)));
        let taken = backlog.take(3);
        (4..=5).for_each(|at| backlog.push(sample(at)));
        backlog.put_back(taken.into_iter());
        assert_eq!((shown(&mut backlog).as_str(), backlog.dropped()), ("3 4 5", 2));
    }
}
