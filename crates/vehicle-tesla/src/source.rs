//! The source: questions in, a thread a car, exactly one answer each.

use std::collections::{BTreeSet, HashMap};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use http_client::HttpError;
use vehicle::{Abilities, Answer, Ask, CarKey, Nearness, Outcome, Request, Spent, VehicleListener, VehicleSource, Vin};

use crate::NAME;
use crate::account::Account;
use crate::car::{Car, Shared};
use crate::cloud::{Cloud, Price, missing_scope};
use crate::login::NoAccess;
use crate::members::Members;
use crate::pause::Pause;
use crate::trouble::Troubles;

/// An account with more cars has them share a thread.
const MOST_THREADS: usize = 16;
/// Calls in flight are waited for so long when the source ends.
const END_PATIENCE: Duration = Duration::from_millis(900);
/// So often it is looked whether a person has signed in elsewhere.
const SIGN_IN_CHECK: Duration = Duration::from_secs(60);

/// Why the source cannot be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The proxy's address or certificate cannot be used.
    #[error(transparent)]
    Proxy(#[from] HttpError),
    /// The system gave no thread.
    #[error("Tesla's cloud is not used, since the system gave no thread: {0}")]
    Thread(#[from] std::io::Error),
}

/// Opens the source. Nobody is called before something is asked, except to keep an idle sign-in from running out.
///
/// # Errors
/// [`OpenError`].
pub fn open(account: &Account, listener: Arc<dyn VehicleListener>) -> Result<Arc<dyn VehicleSource>, OpenError> {
    let troubles = Arc::new(Troubles::new(Arc::clone(&listener)));
    account.watch(&troubles);
    let (settings, notes) = (account.settings(), account.notes());
    let cloud = Cloud::new(Arc::clone(&settings), account.login(), Arc::clone(&notes), troubles)?;
    let unpaired = account.unpaired();
    let shared = Arc::new(Shared {
        settings,
        cloud,
        notes,
        listener: Arc::clone(&listener),
        pause: Pause::default(),
        unpaired,
        members: Members::default(),
    });
    let docket = Arc::new(Docket { listener, open: Mutex::default(), busy: AtomicUsize::new(0), bell: Condvar::new() });
    let (account_jobs, jobs) = channel();
    let worker = Worker { docket: Arc::clone(&docket), shared: Arc::clone(&shared), jobs };
    std::thread::Builder::new().name("tesla-account".to_owned()).spawn(move || worker.account())?;
    Ok(Arc::new(TeslaApi { shared, docket, account_jobs, cars: Mutex::default() }))
}

struct TeslaApi {
    shared: Arc<Shared>,
    docket: Arc<Docket>,
    account_jobs: Sender<Job>,
    cars: Mutex<HashMap<Vin, Sender<Job>>>,
}

impl VehicleSource for TeslaApi {
    fn name(&self) -> &str {
        NAME
    }

    fn abilities(&self, car: &CarKey) -> Abilities {
        let has_fixed = self.shared.settings.fixed_token.is_some();
        let look = self.shared.cloud.login.look();
        if car.vin().is_some_and(|vin| self.shared.members.is_guest(vin)) {
            return Abilities { nearness: Nearness::Cloud, ..Abilities::default() };
        }
        if car.vin().is_none() || !(has_fixed || look.is_signed_in) {
            return Abilities { is_billed: true, nearness: Nearness::Cloud, ..Abilities::default() };
        }
        let may = |price| has_fixed || missing_scope(&look.claims, price).is_none();
        Abilities {
            reads: may(Price::Data),
            reads_wakefulness: may(Price::Data),
            commands: may(Price::Command),
            wakes: may(Price::Wake),
            is_billed: true,
            nearness: Nearness::Cloud,
        }
    }

    fn ask(&self, ask: Ask) {
        let vin = ask.car.vin().cloned().filter(|_| ask.request != Request::List);
        let (ticket, request) = (self.docket.enter(ask.id, ask.car), ask.request);
        let job = Job { ticket, request, vin: vin.clone() };
        let sent = match vin {
            Some(vin) => match self.car(&vin) {
                Some(jobs) => jobs.send(job),
                None => self.account_jobs.send(job),
            },
            None => self.account_jobs.send(job),
        };
        if sent.is_err() {
            let text = "the part that talks to Tesla has ended: restart the program".to_owned();
            self.docket.close(ticket, Outcome::Later { after: None, text }, Spent::NOTHING);
        }
    }
}

impl TeslaApi {
    /// The way to a car's thread, which is started when it is first asked for.
    fn car(&self, vin: &Vin) -> Option<Sender<Job>> {
        let mut cars = lock(&self.cars);
        if let Some(jobs) = cars.get(vin) {
            return Some(jobs.clone());
        }
        if cars.len() >= MOST_THREADS {
            return None;
        }
        let (sender, jobs) = channel();
        let worker = Worker { docket: Arc::clone(&self.docket), shared: Arc::clone(&self.shared), jobs };
        let started = std::thread::Builder::new().name("tesla-car".to_owned()).spawn(move || worker.car());
        if let Err(error) = started {
            log::warn!("no thread for another car ({error}); cars take turns");
            return None;
        }
        cars.insert(vin.clone(), sender.clone());
        Some(sender)
    }
}

impl Drop for TeslaApi {
    fn drop(&mut self) {
        self.shared.pause.end();
        lock(&self.cars).clear();
        self.docket.end();
    }
}

/// A question on its way to a thread.
struct Job {
    ticket: u64,
    request: Request,
    vin: Option<Vin>,
}

struct Worker {
    docket: Arc<Docket>,
    shared: Arc<Shared>,
    jobs: Receiver<Job>,
}

impl Worker {
    /// Cars' threads: until the source lets go.
    fn car(self) {
        let mut cars = HashMap::new();
        while let Ok(job) = self.jobs.recv() {
            self.work(job, &mut cars);
        }
    }

    /// The account's thread: lists, cars beyond the threads, and the sign-in of an idle account.
    fn account(self) {
        let mut cars = HashMap::new();
        let mut checked: Option<Instant> = None;
        while !self.shared.pause.is_over() {
            let check = self.shared.settings.pace.idle_check;
            if checked.is_none_or(|at| at.elapsed() >= check.min(SIGN_IN_CHECK)) {
                checked = Some(Instant::now());
                self.check_sign_in();
            }
            match self.jobs.recv_timeout(check.min(SIGN_IN_CHECK)) {
                Ok(job) => self.work(job, &mut cars),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
        while let Ok(job) = self.jobs.try_recv() {
            self.work(job, &mut cars);
        }
    }

    fn check_sign_in(&self) {
        let troubles = &self.shared.cloud.troubles;
        match self.shared.cloud.login.renew_if_idle() {
            Ok(()) => troubles.clear(&["sign_in"]),
            Err(NoAccess::SignIn(text)) => troubles.raise("sign_in", text),
            Err(NoAccess::Misconfigured(text)) => troubles.raise("configuration", text),
            Err(NoAccess::NotKept(text)) => troubles.raise("store", text),
            Err(NoAccess::Wait { text, .. }) => log::debug!("{text}"),
        }
    }

    fn work(&self, job: Job, cars: &mut HashMap<Vin, Car>) {
        if !self.docket.begin(job.ticket) {
            return;
        }
        let mut spent = Spent::NOTHING;
        let outcome = if self.shared.pause.is_over() {
            Outcome::Later { after: None, text: ENDS.to_owned() }
        } else {
            let answered = catch_unwind(AssertUnwindSafe(|| self.answer(&job, cars, &mut spent)));
            answered.unwrap_or_else(|_| {
                log::error!("the part that talks to Tesla failed inside; please report it");
                Outcome::Unsure { text: "this program failed inside".to_owned() }
            })
        };
        self.docket.close(job.ticket, outcome, spent);
        self.docket.rest();
    }

    fn answer(&self, job: &Job, cars: &mut HashMap<Vin, Car>, spent: &mut Spent) -> Outcome {
        match &job.vin {
            Some(vin) => {
                let new = || Car::new(vin.clone(), Arc::clone(&self.shared));
                cars.entry(vin.clone()).or_insert_with(new).answer(job.request, spent)
            }
            None if job.request == Request::List => self.shared.list(spent),
            None => Outcome::Barred { text: "Tesla's cloud knows cars by their VIN only".to_owned() },
        }
    }
}

const ENDS: &str = "the program ends";

/// The questions that are not answered yet: each is answered once, by whoever takes it off the docket.
struct Docket {
    listener: Arc<dyn VehicleListener>,
    open: Mutex<Open>,
    /// Threads in the middle of something.
    busy: AtomicUsize,
    bell: Condvar,
}

#[derive(Default)]
struct Open {
    next: u64,
    entries: HashMap<u64, Entry>,
}

struct Entry {
    id: u64,
    car: CarKey,
    has_begun: bool,
}

impl Docket {
    fn enter(&self, id: u64, car: CarKey) -> u64 {
        let mut open = lock(&self.open);
        open.next = open.next.wrapping_add(1);
        let ticket = open.next;
        open.entries.insert(ticket, Entry { id, car, has_begun: false });
        ticket
    }

    /// Whether it is still to be answered.
    fn begin(&self, ticket: u64) -> bool {
        let mut open = lock(&self.open);
        let Some(entry) = open.entries.get_mut(&ticket) else { return false };
        entry.has_begun = true;
        self.busy.fetch_add(1, Ordering::SeqCst);
        true
    }

    fn close(&self, ticket: u64, outcome: Outcome, spent: Spent) {
        let Some(entry) = lock(&self.open).entries.remove(&ticket) else { return };
        self.listener.answered(Answer { id: entry.id, source: NAME.into(), car: entry.car, outcome, spent });
    }

    fn rest(&self) {
        let _open = lock(&self.open);
        self.busy.fetch_sub(1, Ordering::SeqCst);
        self.bell.notify_all();
    }

    /// Waits a moment for what is under way, then answers all that is left.
    fn end(&self) {
        let until = Instant::now() + END_PATIENCE;
        let mut open = lock(&self.open);
        while self.busy.load(Ordering::SeqCst) > 0 {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            open = self.bell.wait_timeout(open, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        let entries: Vec<Entry> = open.entries.drain().map(|(_, entry)| entry).collect();
        drop(open);
        for Entry { id, car, has_begun } in entries {
            let text = ENDS.to_owned();
            let outcome = if has_begun { Outcome::Unsure { text } } else { Outcome::Later { after: None, text } };
            self.listener.answered(Answer { id, source: NAME.into(), car, outcome, spent: Spent::NOTHING });
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Cars that do not have our key, as the account page shows them too.
pub(crate) type Unpaired = Arc<Mutex<BTreeSet<Vin>>>;
