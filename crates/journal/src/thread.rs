//! The thread that writes, and the queue before it.

use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::entry::{Entry, ReadingSample, SessionRecord};
use crate::store::Store;

/// Entries are gathered this long, so that an SD card sees one transaction where there would be many. A session's energy
/// is thus at most this much behind on disk, well within the ten seconds promised.
const GATHER: Duration = Duration::from_secs(4);
/// Most samples kept in memory while the disk refuses: some hours at the usual pace, under a megabyte.
const MOST_SAMPLES: usize = 4_096;
/// Readings of one source closer than this are not written: some meters tell every second, and no graph shows it.
const READING_EVERY_MS: i64 = 10_000;
/// Samples are thinned this often.
const THIN_EVERY: Duration = Duration::from_secs(6 * 3600);
/// Pause after the disk refused.
const AFTER_FAILURE: Duration = Duration::from_secs(15);

/// How the journal is doing.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct JournalHealth {
    /// What is wrong now, if anything.
    pub trouble: Option<String>,
    /// Samples dropped since the start.
    pub dropped: u64,
}

#[derive(Debug, Default)]
struct Queue {
    samples: VecDeque<Entry>,
    sessions: BTreeMap<String, SessionRecord>,
    /// When each source was last written down.
    read_at: BTreeMap<String, i64>,
    is_urgent: bool,
    is_ending: bool,
    health: JournalHealth,
}

impl Queue {
    /// Whether a reading is far enough from the last of its source; a clock that was set back begins anew.
    fn is_due(&mut self, reading: &ReadingSample) -> bool {
        let last = self.read_at.get(&reading.source);
        let is_due = last.is_none_or(|last| !(0..READING_EVERY_MS).contains(&reading.at_ms.saturating_sub(*last)));
        if is_due {
            self.read_at.insert(reading.source.clone(), reading.at_ms);
        }
        is_due
    }
}

#[derive(Debug, Default)]
struct Shared {
    queue: Mutex<Queue>,
    changed: Condvar,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        // Every change under this lock is a single push or swap: a panic elsewhere leaves nothing half done.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A handle to the journal's thread.
#[derive(Debug)]
pub struct Journal {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
    path: PathBuf,
}

impl Journal {
    /// Starts writing to `store` on a thread of its own.
    ///
    /// # Errors
    /// When no thread can be started.
    pub fn start(store: Store) -> std::io::Result<Journal> {
        let shared = Arc::new(Shared::default());
        let path = store.path().to_owned();
        let thread = {
            let shared = Arc::clone(&shared);
            std::thread::Builder::new()
                .name("journal".to_owned())
                .stack_size(256 * 1024)
                .spawn(move || write_until_ended(store, &shared))?
        };
        Ok(Journal { shared, thread: Some(thread), path })
    }

    /// Writes down an entry, soon. Never waits for the disk.
    pub fn record(&self, entry: Entry) {
        let mut queue = self.shared.lock();
        match entry {
            Entry::Session(session) => {
                // A beginning or an end is written at once; progress can wait to be gathered.
                let is_new = !queue.sessions.contains_key(&session.id) && session.energy_wh == 0.0;
                queue.is_urgent |= is_new || session.ended_ms.is_some();
                queue.sessions.insert(session.id.clone(), session);
            }
            Entry::Reading(reading) if !queue.is_due(&reading) => return,
            sample => {
                if queue.samples.len() >= MOST_SAMPLES {
                    queue.samples.pop_front();
                    queue.health.dropped += 1;
                }
                queue.samples.push_back(sample);
            }
        }
        drop(queue);
        self.shared.changed.notify_one();
    }

    /// How it is doing.
    #[must_use]
    pub fn health(&self) -> JournalHealth {
        self.shared.lock().health.clone()
    }

    /// Where the database is, for questions on a connection of one's own.
    #[must_use]
    pub fn path(&self) -> &std::path::Path {
        &self.path
    }

    /// Writes what waits and ends the thread.
    pub fn shutdown(&mut self) {
        self.shared.lock().is_ending = true;
        self.shared.changed.notify_one();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            log::error!("the journal's thread failed inside; the last seconds may be missing");
        }
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        self.shutdown();
    }
}

fn write_until_ended(mut store: Store, shared: &Shared) {
    let mut thinned: Option<Instant> = None;
    loop {
        let (batch, is_ending) = next_batch(shared);
        if !batch.is_empty() {
            write(&mut store, shared, batch, is_ending);
        }
        if is_ending {
            return;
        }
        if thinned.is_none_or(|at| at.elapsed() >= THIN_EVERY) {
            thinned = Some(Instant::now());
            if let Err(error) = store.thin(now_ms()) {
                log::warn!("old samples could not be thinned out: {error}");
            }
        }
    }
}

/// Waits for something to write, gathers a little longer unless it is urgent, and takes it all.
fn next_batch(shared: &Shared) -> (Vec<Entry>, bool) {
    let mut queue = shared.lock();
    while queue.samples.is_empty() && queue.sessions.is_empty() && !queue.is_ending {
        queue = shared.changed.wait(queue).unwrap_or_else(PoisonError::into_inner);
    }
    let deadline = Instant::now() + GATHER;
    while !queue.is_urgent && !queue.is_ending {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            break;
        }
        queue = shared.changed.wait_timeout(queue, left).unwrap_or_else(PoisonError::into_inner).0;
    }
    queue.is_urgent = false;
    let sessions = std::mem::take(&mut queue.sessions).into_values().map(Entry::Session);
    let samples = std::mem::take(&mut queue.samples);
    (sessions.chain(samples).collect(), queue.is_ending)
}

fn write(store: &mut Store, shared: &Shared, batch: Vec<Entry>, is_ending: bool) {
    let mut result = store.write(&batch);
    if let Err(error) = &result
        && Store::is_damaged(error)
    {
        log::error!("{error}. The file is damaged");
        result = store.begin_afresh(now_ms()).and_then(|aside| {
            log::error!("the damaged journal is kept as {}; a fresh one is begun", aside.display());
            store.write(&batch)
        });
    }
    match result {
        Ok(()) => {
            if shared.lock().health.trouble.take().is_some() {
                log::info!("the journal can be written again; nothing but old samples was lost");
            }
        }
        Err(error) => {
            let mut queue = shared.lock();
            if queue.health.trouble.is_none() {
                log::error!("{error}. Sessions wait in memory until it can be written");
            }
            queue.health.trouble = Some(error.to_string());
            put_back(&mut queue, batch);
            if !is_ending {
                let pause = Instant::now() + AFTER_FAILURE;
                while !queue.is_ending && Instant::now() < pause {
                    let left = pause.saturating_duration_since(Instant::now());
                    queue = shared.changed.wait_timeout(queue, left).unwrap_or_else(PoisonError::into_inner).0;
                }
            }
        }
    }
}

/// Returns a batch that was refused: sessions unless a newer state waits already, samples as far as there is room.
fn put_back(queue: &mut Queue, batch: Vec<Entry>) {
    for entry in batch.into_iter().rev() {
        match entry {
            Entry::Session(session) => {
                queue.sessions.entry(session.id.clone()).or_insert(session);
            }
            sample if queue.samples.len() < MOST_SAMPLES => queue.samples.push_front(sample),
            _ => queue.health.dropped += 1,
        }
    }
}

fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waits_is_written_at_the_end() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("twcmanager.db");
        let mut journal = Journal::start(Store::open(&path, 0).unwrap().store).unwrap();
        let session = |energy_wh| {
            Entry::Session(SessionRecord { id: "a".into(), energy_wh, started_ms: 5, ..SessionRecord::default() })
        };
        journal.record(session(1.0));
        journal.record(session(2.0));
        journal.shutdown();
        let sessions = Store::open_for_reading(&path).unwrap().sessions(0, 10).unwrap();
        assert_eq!(sessions.iter().map(|s| s.energy_wh).collect::<Vec<_>>(), [2.0]);
    }

    #[test]
    fn a_meter_that_tells_every_second_is_written_every_ten() {
        let mut queue = Queue::default();
        let mut due = |source: &str, seconds: i64| {
            queue.is_due(&ReadingSample { at_ms: seconds * 1_000, source: source.into(), ..ReadingSample::default() })
        };
        let written: Vec<_> = (0..25).filter(|second| due("a", *second)).collect();
        assert_eq!(written, [0, 10, 20]);
        assert!(due("b", 25));
        // The clock was set back by an hour.
        assert!(due("a", -3_600));
    }

    #[test]
    fn a_batch_that_the_disk_refused_keeps_every_session_and_the_newest_state() {
        let mut queue = Queue::default();
        let session = |id: &str, energy_wh| SessionRecord { id: id.into(), energy_wh, ..SessionRecord::default() };
        queue.sessions.insert("a".into(), session("a", 9.0));
        put_back(&mut queue, vec![Entry::Session(session("a", 1.0)), Entry::Session(session("b", 2.0))]);
        assert_eq!(queue.sessions["a"].energy_wh, 9.0);
        assert_eq!(queue.sessions["b"].energy_wh, 2.0);
    }
}
