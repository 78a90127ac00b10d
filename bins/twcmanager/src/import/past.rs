//! The past as the older program wrote it, as entries of the journal.

use std::collections::{BTreeMap, BTreeSet};

use config::SettingsStore;
use journal::{Entry, JournalError, ReadingSample, SessionRecord, Store};
use logging::{GreenEnergy, Session};

use super::Places;

/// Sessions of one connector that begin closer than this are the same, written by two hands.
const SAME_SESSION_MS: i64 = 60_000;
/// Samples of meters come every 30 s or less often.
const NEAR_GREEN_MS: i64 = 15_000;
/// The history of the settings has one moment every five minutes.
const NEAR_HISTORY_MS: i64 = 150_000;

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Past {
    pub(super) entries: Vec<Entry>,
    /// What each thing becomes.
    pub(super) counts: Vec<(String, String)>,
    /// What could not be read.
    pub(super) problems: Vec<String>,
}

impl Past {
    pub(super) fn read(places: &Places) -> Past {
        let mut past = Past::default();
        // CSV first: TWCManager's SQLite ends every row of a connector when one session ends.
        let mut sessions: BTreeMap<(String, i64), SessionRecord> = BTreeMap::new();
        if let Some(path) = &places.sessions_csv {
            match logging_csv::read_sessions(path) {
                Ok(found) => {
                    let whole: Vec<_> = found.iter().filter_map(|session| record(session, None)).collect();
                    past.count(path, "sessions", whole.len(), found.len() - whole.len());
                    sessions.extend(whole.into_iter().map(|record| ((record.evse.clone(), record.started_ms), record)));
                }
                Err(error) => past.problems.push(format!("{}: {error}", path.display())),
            }
        }
        let mut samples = Vec::new();
        if let Some(path) = &places.sqlite {
            match logging_sqlite::read_sessions(path) {
                Ok(found) => {
                    let whole = with_next(&found);
                    past.count(path, "sessions", whole.len(), found.len() - whole.len());
                    for record in whole {
                        sessions.entry((record.evse.clone(), record.started_ms)).or_insert(record);
                    }
                }
                Err(error) => past.problems.push(format!("{}: {error}", path.display())),
            }
            match logging_sqlite::read_green_energy(path) {
                Ok(found) => {
                    past.count(path, "samples of meters", found.len(), 0);
                    samples.extend(found.iter().map(sample));
                }
                Err(error) => past.problems.push(format!("{}: {error}", path.display())),
            }
        }
        if let Some(path) = &places.green_csv {
            match logging_csv::read_green_energy(path) {
                Ok(found) => {
                    past.count(path, "samples of meters", found.len(), 0);
                    samples.extend(found.iter().map(sample));
                }
                Err(error) => past.problems.push(format!("{}: {error}", path.display())),
            }
        }
        if let Some(path) = &places.settings {
            let settings = path.parent().map(SettingsStore::peek).unwrap_or_default();
            let history = settings.history();
            let found: Vec<_> = history.iter().filter_map(|(time, watts)| moment(time, watts.get())).collect();
            past.count(path, "moments of the charging history", found.len(), history.len() - found.len());
            samples.extend(found);
        }
        past.entries =
            sessions.into_values().map(Entry::Session).chain(samples.into_iter().map(Entry::Reading)).collect();
        past
    }

    fn count(&mut self, path: &std::path::Path, what: &str, whole: usize, broken: usize) {
        let left =
            if broken == 0 { String::new() } else { format!("; {broken} without an end or a time are left out") };
        self.counts.push((format!("{}: {what}", path.display()), format!("{whole} for the journal{left}")));
    }
}

/// Sessions of SQLite. An end that lies after the next session's start belongs to a later one: then the next start ends the
/// session, and the counter then tells its energy, for nothing flows between sessions.
fn with_next(sessions: &[Session]) -> Vec<SessionRecord> {
    let next_of = |session: &Session| {
        let later = |other: &&Session| other.evse == session.evse && other.started_at > session.started_at;
        sessions.iter().filter(later).min_by_key(|other| other.started_at)
    };
    sessions.iter().filter_map(|session| record(session, next_of(session))).collect()
}

fn record(session: &Session, next: Option<&Session>) -> Option<SessionRecord> {
    let next = next.filter(|next| session.ended_at.is_none_or(|end| end > next.started_at));
    let (ended_at, counter) = match next {
        Some(next) => (next.started_at, next.counter_start),
        None => (session.ended_at?, session.counter),
    };
    let (started_ms, ended_ms) = (session.started_at.checked_mul(1000)?, ended_at.checked_mul(1000)?);
    if ended_ms < started_ms {
        return None;
    }
    let evse = if session.evse.starts_with("gen2-") { session.evse.clone() } else { format!("gen2-{}", session.evse) };
    Some(SessionRecord {
        id: format!("import-{}-{}", session.started_at, session.evse),
        evse,
        vin: session.vin.clone(),
        started_ms,
        ended_ms: Some(ended_ms),
        updated_ms: ended_ms,
        energy_wh: (counter.get() - session.counter_start.get()).max(0.0),
        // Whole kilowatt-hours at both ends.
        is_estimate: true,
        charging_ms: ended_ms - started_ms,
        counter_start_wh: Some(session.counter_start.get()),
        counter_wh: Some(counter.get()),
    })
}

fn sample(green: &GreenEnergy) -> ReadingSample {
    ReadingSample {
        at_ms: green.at.saturating_mul(1000),
        generation_w: Some(green.generation.get()),
        consumption_w: Some(green.consumption.get()),
        cars_w: Some(green.cars.get()),
        ..ReadingSample::default()
    }
}

fn moment(time: &str, watts: f64) -> Option<ReadingSample> {
    let at = time.parse::<jiff::Timestamp>().ok()?;
    Some(ReadingSample { at_ms: at.as_millisecond(), cars_w: Some(watts), ..ReadingSample::default() })
}

/// What the journal does not have yet.
///
/// # Errors
/// When the journal cannot be read.
pub(super) fn only_new(entries: Vec<Entry>, store: Option<&Store>) -> Result<Vec<Entry>, JournalError> {
    let mut sessions: BTreeMap<String, BTreeSet<i64>> = BTreeMap::new();
    let mut samples: BTreeSet<i64> = BTreeSet::new();
    if let Some(store) = store {
        for session in store.sessions(i64::MIN, i64::MAX)? {
            sessions.entry(session.evse).or_default().insert(session.started_ms);
        }
        let times = entries.iter().filter_map(|entry| match entry {
            Entry::Reading(reading) => Some(reading.at_ms),
            _ => None,
        });
        let (first, last) = times.fold((i64::MAX, i64::MIN), |(first, last), at| (first.min(at), last.max(at)));
        let (first, last) = (first.saturating_sub(NEAR_HISTORY_MS), last.saturating_add(NEAR_HISTORY_MS));
        samples.extend(store.readings("", first, last)?.iter().map(|reading| reading.at_ms));
    }
    let is_near = |times: &BTreeSet<i64>, at: i64, near: i64| {
        times.range(at.saturating_sub(near)..=at.saturating_add(near)).next().is_some()
    };
    let mut new = Vec::new();
    for entry in entries {
        let is_known = match &entry {
            Entry::Session(session) => {
                sessions.get(&session.evse).is_some_and(|starts| is_near(starts, session.started_ms, SAME_SESSION_MS))
            }
            Entry::Reading(reading) => {
                let near = if reading.generation_w.is_some() { NEAR_GREEN_MS } else { NEAR_HISTORY_MS };
                is_near(&samples, reading.at_ms, near)
            }
            Entry::Offer(_) => true,
        };
        if !is_known {
            new.push(entry);
        }
    }
    Ok(new)
}
