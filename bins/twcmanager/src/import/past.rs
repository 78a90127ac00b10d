//! The past as the older program wrote it, as entries of the journal.

use std::fmt::Display;

use config::SettingsStore;
use journal::{Entry, JournalError, ReadingSample, SessionRecord, Store};
use logging::{GreenEnergy, Session, SlaveStatus};

use super::known::{Known, thinned};
use super::places::Places;
use crate::outlets::counter_of;

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Past {
    pub(super) entries: Vec<Entry>,
    /// What each thing becomes.
    pub(super) counts: Vec<(String, String)>,
    /// What could not be read.
    pub(super) problems: Vec<String>,
    known: Known,
    now_ms: i64,
}

impl Past {
    /// Reads all places. Where two have the same, the first of this order counts: TWCManager's SQLite ends every row of a
    /// connector when one session ends, so CSV and MySQL come before it; the settings' history knows least.
    pub(super) fn read(places: &Places, now_ms: i64) -> Past {
        let mut past = Past { known: Known::nothing(now_ms), now_ms, ..Past::default() };
        if let Some(path) = &places.sessions_csv {
            past.take(path.display(), "sessions", logging_csv::read_sessions(path), |found| {
                found.iter().filter_map(|session| record(session, None)).map(Entry::Session).collect()
            });
        }
        if let Some(path) = &places.green_csv {
            past.take(path.display(), "samples of meters", logging_csv::read_green_energy(path), green_samples);
        }
        if let Some(path) = &places.status_csv {
            past.take(path.display(), "samples of counters", logging_csv::read_slave_status(path), counters);
        }
        if let Some(server) = &places.mysql {
            let name = format!("MySQL {server:?}");
            let sessions = logging_mysql::read_sessions(server);
            // A server that is away is waited for once.
            let is_there = sessions.is_ok();
            past.take(&name, "sessions", sessions, with_next);
            if is_there {
                past.take(&name, "samples of meters", logging_mysql::read_green_energy(server), green_samples);
                past.take(&name, "samples of counters", logging_mysql::read_slave_status(server), counters);
            }
        }
        if let Some(path) = &places.sqlite {
            past.take(path.display(), "sessions", logging_sqlite::read_sessions(path), with_next);
            past.take(path.display(), "samples of meters", logging_sqlite::read_green_energy(path), green_samples);
            past.take(path.display(), "samples of counters", logging_sqlite::read_slave_status(path), counters);
        }
        if let Some(path) = &places.settings {
            let settings = path.parent().map(SettingsStore::peek).unwrap_or_default();
            let history = settings.history();
            past.take(path.display(), "moments of the charging history", Ok::<_, String>(history), |found| {
                found.iter().filter_map(|(time, watts)| moment(time, watts.get())).map(Entry::Reading).collect()
            });
        }
        past
    }

    /// Takes what one place has and the places before it had not.
    fn take<T, E: Display>(
        &mut self,
        place: impl Display,
        what: &str,
        found: Result<Vec<T>, E>,
        whole: impl FnOnce(&[T]) -> Vec<Entry>,
    ) {
        let found = match found {
            Ok(found) => found,
            Err(error) => return self.problems.push(format!("{place}: {error}")),
        };
        let entries = whole(&found);
        let usable = entries.len();
        let mut kept = thinned(entries, self.now_ms);
        let sparse = kept.len();
        kept.retain(|entry| !self.known.has(entry));
        let mut text = format!("{} for the journal", kept.len());
        for (count, why) in [
            (found.len() - usable, "without an end or a time are left out"),
            (usable - sparse, "are closer together than the journal keeps them at their age"),
            (sparse - kept.len(), "are the same as in a place above"),
        ] {
            if count > 0 {
                text.push_str(&format!("; {count} {why}"));
            }
        }
        self.counts.push((format!("{place}: {what}"), text));
        kept.iter().for_each(|entry| self.known.note(entry));
        self.entries.extend(kept);
    }
}

/// Sessions of a database. An end that lies after the next session's start belongs to a later one: then the next start ends
/// the session, and the counter then tells its energy, for nothing flows between sessions.
fn with_next(sessions: &[Session]) -> Vec<Entry> {
    let next_of = |session: &Session| {
        let later = |other: &&Session| other.evse == session.evse && other.started_at > session.started_at;
        sessions.iter().filter(later).min_by_key(|other| other.started_at)
    };
    sessions.iter().filter_map(|session| record(session, next_of(session))).map(Entry::Session).collect()
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
    Some(SessionRecord {
        id: format!("import-{}-{}", session.started_at, session.evse),
        evse: evse_of(&session.evse),
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

/// Our name of a connector that TWCManager knew by its four digits.
fn evse_of(name: &str) -> String {
    if name.starts_with("gen2-") { name.to_owned() } else { format!("gen2-{}", name.to_ascii_uppercase()) }
}

fn green_samples(found: &[GreenEnergy]) -> Vec<Entry> {
    let sample = |green: &GreenEnergy| ReadingSample {
        at_ms: green.at.saturating_mul(1000),
        generation_w: Some(green.generation.get()),
        consumption_w: Some(green.consumption.get()),
        cars_w: Some(green.cars.get()),
        ..ReadingSample::default()
    };
    found.iter().map(sample).map(Entry::Reading).collect()
}

fn counters(found: &[SlaveStatus]) -> Vec<Entry> {
    found.iter().map(|status| Entry::Counter(counter_of(status, evse_of(&status.evse)))).collect()
}

fn moment(time: &str, watts: f64) -> Option<ReadingSample> {
    let at = time.parse::<jiff::Timestamp>().ok()?;
    Some(ReadingSample { at_ms: at.as_millisecond(), cars_w: Some(watts), ..ReadingSample::default() })
}

/// What the journal does not have yet.
///
/// # Errors
/// When the journal cannot be read.
pub(super) fn only_new(entries: Vec<Entry>, store: Option<&Store>, now_ms: i64) -> Result<Vec<Entry>, JournalError> {
    let Some(store) = store else { return Ok(entries) };
    let known = Known::in_store(store, &entries, now_ms)?;
    Ok(entries.into_iter().filter(|entry| !known.has(entry)).collect())
}
