//! The loop: opens the queue, waits for requests, replies; and how it is woken to end.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use site::SitePort;

use crate::obey::{Clerk, RawBus, Reply};
use crate::packet::{self, Mark, REPLY, REQUEST};
use crate::queue::{self, Kind, Queue, Wanted};
use crate::request::{self, NotUnderstood};

/// Type of the message by which this program wakes itself. TWCManager and the old page pass it over.
const WAKE: Kind = 0x5743;
/// Pause after each request. A page asks a few times a minute; whoever floods the queue gets no more than this.
const PACE: Duration = Duration::from_millis(20);
/// Pauses between attempts to open the queue: the first, and the longest that it doubles to.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// A queue that served this long was no flicker: the next attempt comes soon again.
const STEADY: Duration = Duration::from_secs(60);
/// Trouble that repeats is told this often.
const TOLD_EVERY: Duration = Duration::from_secs(600);
/// Messages cleared away at once; a queue of the usual size has fewer.
const MOST_CLEARED: usize = 4096;

/// What the thread and its owner share.
#[derive(Debug, Default)]
pub(crate) struct Bell {
    state: Mutex<State>,
    changed: Condvar,
    ignored: AtomicU64,
}

#[derive(Debug, Default)]
struct State {
    is_ending: bool,
    is_over: bool,
    queue: Option<Queue>,
}

impl Bell {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Three plain values: a panic elsewhere leaves nothing half done.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Messages that were no requests.
    pub fn ignored(&self) -> u64 {
        self.ignored.load(Ordering::Relaxed)
    }

    /// Tells the thread to end and waits for that, `patience` at most; whether it has ended.
    pub fn end(&self, patience: Duration) -> bool {
        let queue = {
            let mut state = self.lock();
            state.is_ending = true;
            self.changed.notify_all();
            state.queue
        };
        // The thread looks whether it should end before each wait, so that no order of events loses this.
        if let Some(queue) = queue {
            wake(queue);
        }
        let waited = self.changed.wait_timeout_while(self.lock(), patience, |state| !state.is_over);
        let is_over = waited.unwrap_or_else(PoisonError::into_inner).0.is_over;
        if let (true, Some(queue)) = (is_over, queue) {
            // Not received when the thread was at work.
            let _gone_or_none = queue.try_receive(Wanted::Only(WAKE));
        }
        is_over
    }

    /// Sleeps unless the end is near; whether to go on.
    fn sleep(&self, pause: Duration) -> bool {
        let waited = self.changed.wait_timeout_while(self.lock(), pause, |state| !state.is_ending);
        !waited.unwrap_or_else(PoisonError::into_inner).0.is_ending
    }

    /// Makes the queue known to whoever wants to wake us; whether to go on.
    fn attend(&self, queue: Option<Queue>) -> bool {
        let mut state = self.lock();
        state.queue = queue;
        !state.is_ending
    }

    fn is_ending(&self) -> bool {
        self.lock().is_ending
    }
}

/// Says that the thread is over, also when it panics.
struct Over(Arc<Bell>);

impl Drop for Over {
    fn drop(&mut self) {
        self.0.lock().is_over = true;
        self.0.changed.notify_all();
    }
}

/// Sends the message that wakes the thread, and makes room for it where replies that nobody fetched fill the queue. When it
/// cannot be sent although there are no replies, other messages are there, and the thread is awake.
fn wake(queue: Queue) {
    for _ in 0..MOST_CLEARED {
        match queue.send(WAKE, b"") {
            Ok(false) => match queue.try_receive(Wanted::Only(REPLY)) {
                Ok(Some(_)) => {}
                Ok(None) | Err(_) => return,
            },
            Ok(true) => return,
            Err(error) => {
                log::debug!("WebIPC: the thread cannot be woken: {error}");
                return;
            }
        }
    }
}

/// Tells of something that repeats only now and then.
#[derive(Debug, Default)]
struct NowAndThen {
    told: Option<Instant>,
}

impl NowAndThen {
    fn is_time(&mut self) -> bool {
        let is_time = self.told.is_none_or(|told| told.elapsed() >= TOLD_EVERY);
        if is_time {
            self.told = Some(Instant::now());
        }
        is_time
    }
}

/// What the thread owns.
pub(crate) struct Desk {
    pub folder: PathBuf,
    pub site: Arc<dyn SitePort>,
    pub bus: Option<Arc<dyn RawBus>>,
    pub bell: Arc<Bell>,
}

/// Why waiting ended.
enum Left {
    /// The program ends.
    Ending,
    /// The queue has gone, or fails.
    Failed(io::Error),
}

impl Desk {
    /// Serves until the end.
    pub fn serve(self) {
        let _over = Over(Arc::clone(&self.bell));
        let mut clerk = Clerk::new(&*self.site, self.bus.as_deref());
        let mut pause = FIRST_PAUSE;
        let mut told = None;
        let (mut vanished, mut failed) = (NowAndThen::default(), NowAndThen::default());
        let mut notes = Notes::default();
        let mut is_first = true;
        loop {
            match self.open() {
                Ok((queue, key)) => {
                    if told.take().is_some() {
                        log::info!("WebIPC: the message queue {key:#010x} can be used now");
                    }
                    if !self.bell.attend(Some(queue)) {
                        return;
                    }
                    if std::mem::take(&mut is_first) {
                        log::info!(
                            "WebIPC: the message queue {key:#010x} is served; it belongs to {}",
                            self.folder.display()
                        );
                        clear(queue);
                    }
                    let since = Instant::now();
                    match self.attend(queue, &mut clerk, &mut notes) {
                        Left::Ending => return,
                        Left::Failed(error) if queue::is_gone(&error) => {
                            if vanished.is_time() {
                                log::warn!("WebIPC: somebody removed the message queue {key:#010x}; it is made again");
                            }
                        }
                        Left::Failed(error) => {
                            if failed.is_time() {
                                log::error!("WebIPC: the message queue {key:#010x} fails: {error}; it is tried again");
                            }
                        }
                    }
                    if since.elapsed() >= STEADY {
                        pause = FIRST_PAUSE;
                    }
                }
                Err(trouble) => {
                    if told.as_ref() != Some(&trouble) {
                        log::error!("{trouble}");
                        told = Some(trouble);
                    }
                }
            }
            if !self.bell.attend(None) || !self.bell.sleep(pause) {
                return;
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    fn open(&self) -> Result<(Queue, i32), String> {
        let folder = self.folder.display();
        let key = queue::key_of(&self.folder).map_err(|error| {
            format!(
                "control.IPC: {folder} cannot be looked at ({error}); give config.settingsPath a folder that exists"
            )
        })?;
        let queue = Queue::open(key).map_err(|error| cannot_open(&self.folder, key, &error))?;
        Ok((queue, key))
    }

    fn attend(&self, queue: Queue, clerk: &mut Clerk<'_, dyn SitePort>, notes: &mut Notes) -> Left {
        loop {
            if self.bell.is_ending() {
                return Left::Ending;
            }
            // Everything but replies: what nobody else takes would fill the queue.
            let message = match queue.receive(Wanted::AllBut(REPLY)) {
                Ok(message) => message,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Left::Failed(error),
            };
            if message.kind != WAKE {
                match packet::parse(&message.content).filter(|_| message.kind == REQUEST) {
                    Some((mark, text)) => {
                        let replies = handle(clerk, mark, text, notes);
                        if let Err(error) = deliver(queue, &replies, notes) {
                            return Left::Failed(error);
                        }
                    }
                    None => {
                        let count = self.bell.ignored.fetch_add(1, Ordering::Relaxed) + 1;
                        if notes.garbage.is_time() {
                            log::warn!("WebIPC: messages in the queue are no requests and are ignored: {count} so far");
                        }
                    }
                }
            }
            if !self.bell.sleep(PACE) {
                return Left::Ending;
            }
        }
    }
}

/// Why there is no queue, and what to do.
fn cannot_open(folder: &Path, key: i32, error: &io::Error) -> String {
    let folder = folder.display();
    match error.kind() {
        io::ErrorKind::PermissionDenied => format!(
            "control.IPC: the message queue {key:#010x} of {folder} belongs to another user and is closed to this one. Remove \
             it with `sudo ipcrm -Q {key:#010x}`; until then nothing is served there"
        ),
        _ => format!(
            "control.IPC: the message queue {key:#010x} of {folder} cannot be made ({error}); `ipcs -q -l` shows the limits of \
             this system, and `control.IPC.enabled` switches this off"
        ),
    }
}

/// When trouble that repeats was told.
#[derive(Debug, Default)]
struct Notes {
    garbage: NowAndThen,
    full: NowAndThen,
    without_effect: NowAndThen,
}

/// Serves one request; the messages to send.
fn handle(clerk: &mut Clerk<'_, dyn SitePort>, mark: Mark, text: &str, notes: &mut Notes) -> Vec<Vec<u8>> {
    let word = request::word(text);
    let outcome = match request::parse(text) {
        Ok(request) => clerk.serve(&request),
        Err(NotUnderstood::Unknown) => {
            log::info!("WebIPC: unknown request {word:?}, id {}, time {}", mark.id, mark.time);
            return Vec::new();
        }
        Err(error) => Err(error.to_string()),
    };
    match outcome {
        Ok(Some(reply)) => {
            log::debug!("WebIPC: {word}, id {}, time {}", mark.id, mark.time);
            match reply {
                Reply::Text(text) => packet::reply(mark, &text),
                Reply::Long(text) => packet::long_reply(mark, &text),
            }
        }
        Ok(None) => {
            // Nothing that is obeyed holds a secret; a schedule has several lines.
            log::info!("WebIPC: {}", text.trim().replace(['\n', '\r'], " "));
            Vec::new()
        }
        Err(why) => {
            // Programs repeat what is refused, so the log does not.
            if notes.without_effect.is_time() || !matches!(word.as_str(), "setDebugLevel" | "setMasterHeartbeatData") {
                log::warn!("WebIPC: {word} is not obeyed: {why}");
            }
            Vec::new()
        }
    }
}

/// Sends replies, never waiting. In a full queue, room is made once by dropping replies that nobody waits for any more.
fn deliver(queue: Queue, replies: &[Vec<u8>], notes: &mut Notes) -> io::Result<()> {
    for reply in replies {
        if queue.send(REPLY, reply)? {
            continue;
        }
        drop_forgotten(queue, now())?;
        if !queue.send(REPLY, reply)? {
            if notes.full.is_time() {
                log::error!(
                    "WebIPC: the message queue is full, a reply is lost; does the page still fetch its replies?"
                );
            }
            return Ok(());
        }
    }
    Ok(())
}

fn drop_forgotten(queue: Queue, now: u32) -> io::Result<()> {
    let mut awaited = Vec::new();
    for _ in 0..MOST_CLEARED {
        match queue.try_receive(Wanted::Only(REPLY))? {
            Some(message) if packet::is_forgotten(&message.content, now) => {}
            Some(message) => awaited.push(message.content),
            None => break,
        }
    }
    for reply in awaited {
        queue.send(REPLY, &reply)?;
    }
    Ok(())
}

/// Takes away what came while nobody served: a `chargeNow` of yesterday is not meant for today.
fn clear(queue: Queue) {
    let mut requests = 0;
    for _ in 0..MOST_CLEARED {
        // A queue that has gone is noticed in a moment.
        let Ok(Some(message)) = queue.try_receive(Wanted::AllBut(REPLY)) else { break };
        requests += u32::from(message.kind == REQUEST);
    }
    if requests > 0 {
        log::warn!("WebIPC: {requests} requests came before the start and are not obeyed; send them again");
    }
}

fn now() -> u32 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u32::try_from(since.as_secs()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: usize = 290;

    /// A queue that is full of replies with this time.
    fn full(folder: &Path, time: u32) -> (Queue, usize) {
        let queue = Queue::open(queue::key_of(folder).unwrap()).unwrap();
        let mut sent = 0_u16;
        while queue.send(REPLY, &packet::encode(Mark { time, id: sent }, &[b'x'; LONG])).unwrap() {
            sent += 1;
        }
        (queue, usize::from(sent))
    }

    fn replies(queue: Queue) -> Vec<Vec<u8>> {
        let next = || queue.try_receive(Wanted::Only(REPLY)).unwrap().map(|message| message.content);
        std::iter::from_fn(next).collect()
    }

    #[test]
    fn replies_that_nobody_fetched_make_room() {
        let folder = tempfile::tempdir().unwrap();
        let (queue, _) = full(folder.path(), now() - 60);
        let reply = packet::reply(Mark { time: now(), id: 7 }, &"y".repeat(LONG));
        deliver(queue, &reply, &mut Notes::default()).unwrap();
        assert_eq!(replies(queue), reply);
        queue.remove().unwrap();
    }

    #[test]
    fn replies_that_are_awaited_stay_in_order_and_the_new_one_is_lost() {
        let folder = tempfile::tempdir().unwrap();
        // A minute ahead: however slow this test is, nobody has given them up.
        let (queue, count) = full(folder.path(), now() + 60);
        let long = packet::long_reply(Mark { time: now(), id: 7 }, &"y".repeat(3 * LONG));
        let long: Vec<_> = long.into_iter().skip(1).collect();
        deliver(queue, &long, &mut Notes::default()).unwrap();
        let kept = replies(queue);
        let ids: Vec<u8> = kept.iter().map(|reply| reply[4]).collect();
        assert_eq!((kept.len(), ids.is_sorted()), (count, true));
        queue.remove().unwrap();
    }

    #[test]
    fn a_wake_finds_room_in_a_full_queue() {
        let folder = tempfile::tempdir().unwrap();
        let (queue, count) = full(folder.path(), now());
        while queue.send(REPLY, b"").unwrap() {}
        wake(queue);
        assert!(queue.try_receive(Wanted::Only(WAKE)).unwrap().is_some());
        assert!(replies(queue).len() >= count - 1);
        queue.remove().unwrap();
    }

    #[test]
    fn a_closed_queue_is_told_with_the_remedy() {
        let told = |number| cannot_open(Path::new("/etc/x"), 0x5402_ED16, &io::Error::from_raw_os_error(number));
        assert!(told(libc::EACCES).contains("`sudo ipcrm -Q 0x5402ed16`"), "{}", told(libc::EACCES));
        assert!(told(libc::ENOSPC).contains("control.IPC.enabled"), "{}", told(libc::ENOSPC));
    }

    #[test]
    fn trouble_that_repeats_is_told_now_and_then() {
        let mut note = NowAndThen::default();
        assert_eq!([note.is_time(), note.is_time(), note.is_time()], [true, false, false]);
    }
}
