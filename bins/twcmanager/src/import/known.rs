//! What is there already, so that nothing is brought twice: neither by a second import, nor from two places that both have
//! it, nor what our own program wrote itself.

use std::collections::{BTreeMap, BTreeSet};

use journal::{Entry, JournalError, Store, counter_stretch_ms, stretch_ms};

/// Sessions of one connector that begin closer than this are the same, written by two hands.
const SAME_SESSION_MS: i64 = 60_000;
/// Samples of meters come every 30 s or less often.
const NEAR_GREEN_MS: i64 = 15_000;
/// The history of the settings has one moment every five minutes.
const NEAR_HISTORY_MS: i64 = 150_000;
/// Counters come once a minute.
const NEAR_COUNTER_MS: i64 = 30_000;

/// Moments of which something is known.
#[derive(Debug, Default)]
pub(super) struct Known {
    now_ms: i64,
    sessions: BTreeMap<String, BTreeSet<i64>>,
    readings: BTreeSet<i64>,
    counters: BTreeMap<String, BTreeSet<i64>>,
}

impl Known {
    /// Nothing, at `now_ms`.
    pub(super) fn nothing(now_ms: i64) -> Known {
        Known { now_ms, ..Known::default() }
    }

    /// What a journal has of the time of `entries`.
    ///
    /// # Errors
    /// When it cannot be read.
    pub(super) fn in_store(store: &Store, entries: &[Entry], now_ms: i64) -> Result<Known, JournalError> {
        let mut known = Known::nothing(now_ms);
        for session in store.sessions(i64::MIN, i64::MAX)? {
            known.sessions.entry(session.evse).or_default().insert(session.started_ms);
        }
        let times = entries.iter().filter_map(|entry| match entry {
            Entry::Reading(reading) => Some(reading.at_ms),
            Entry::Counter(counter) => Some(counter.at_ms),
            _ => None,
        });
        let (first, last) = times.fold((i64::MAX, i64::MIN), |(first, last), at| (first.min(at), last.max(at)));
        let widest = counter_stretch_ms(i64::MAX).max(stretch_ms(i64::MAX));
        let (first, last) = (first.saturating_sub(widest), last.saturating_add(widest));
        known.readings.extend(store.readings("", first, last)?.iter().map(|reading| reading.at_ms));
        let evses: BTreeSet<&str> = entries
            .iter()
            .filter_map(|entry| match entry {
                Entry::Counter(counter) => Some(counter.evse.as_str()),
                _ => None,
            })
            .collect();
        for evse in evses {
            let times = store.counters(evse, first, last)?.into_iter().map(|counter| counter.at_ms);
            known.counters.insert(evse.to_owned(), times.collect());
        }
        Ok(known)
    }

    /// Whether this, or what stands for it at its age, is there.
    pub(super) fn has(&self, entry: &Entry) -> bool {
        match entry {
            Entry::Session(session) => self
                .sessions
                .get(&session.evse)
                .is_some_and(|starts| is_near(starts, session.started_ms, SAME_SESSION_MS)),
            Entry::Reading(reading) => {
                let near = if reading.generation_w.is_some() { NEAR_GREEN_MS } else { NEAR_HISTORY_MS };
                has_sample(&self.readings, reading.at_ms, near, stretch_ms(self.age(reading.at_ms)))
            }
            Entry::Counter(counter) => self.counters.get(&counter.evse).is_some_and(|times| {
                has_sample(times, counter.at_ms, NEAR_COUNTER_MS, counter_stretch_ms(self.age(counter.at_ms)))
            }),
            Entry::Offer(_) => true,
        }
    }

    fn age(&self, at: i64) -> i64 {
        self.now_ms.saturating_sub(at)
    }

    /// Takes note of it.
    pub(super) fn note(&mut self, entry: &Entry) {
        match entry {
            Entry::Session(session) => {
                self.sessions.entry(session.evse.clone()).or_default().insert(session.started_ms);
            }
            Entry::Reading(reading) => {
                self.readings.insert(reading.at_ms);
            }
            Entry::Counter(counter) => {
                self.counters.entry(counter.evse.clone()).or_default().insert(counter.at_ms);
            }
            Entry::Offer(_) => {}
        }
    }
}

/// Of old samples the journal keeps one in each stretch: that one stands for all of it.
fn has_sample(times: &BTreeSet<i64>, at: i64, near: i64, stretch: i64) -> bool {
    let is_covered = stretch > 0 && {
        let begin = at.div_euclid(stretch) * stretch;
        times.range(begin..begin.saturating_add(stretch)).next().is_some()
    };
    is_covered || is_near(times, at, near)
}

fn is_near(times: &BTreeSet<i64>, at: i64, near: i64) -> bool {
    times.range(at.saturating_sub(near)..=at.saturating_add(near)).next().is_some()
}

/// As many samples of one series as the journal keeps at their age: the first of each stretch.
pub(super) fn thinned(entries: Vec<Entry>, now_ms: i64) -> Vec<Entry> {
    let mut seen = BTreeSet::new();
    let mut is_first = |entry: &Entry| {
        let (series, at, stretch_of): (_, _, fn(i64) -> i64) = match entry {
            Entry::Reading(reading) => (String::new(), reading.at_ms, stretch_ms),
            Entry::Counter(counter) => (counter.evse.clone(), counter.at_ms, counter_stretch_ms),
            Entry::Session(_) | Entry::Offer(_) => return true,
        };
        let stretch = stretch_of(now_ms.saturating_sub(at));
        stretch == 0 || seen.insert((series, at.div_euclid(stretch) * stretch))
    };
    entries.into_iter().filter(|entry| is_first(entry)).collect()
}
