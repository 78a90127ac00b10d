//! The cloud on loopback: one address for each door, a thread for each connection.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::billing::Billing;
use crate::car::Car;
use crate::cloud::Cloud;
use crate::exchange::{Asked, Door, Reply, Request};
use crate::failure::{Failure, Target};
use crate::tokens::Tokens;

const DOORS: [Door; 5] = [Door::Api, Door::OtherRegion, Door::Auth, Door::Ble, Door::Proxy];
/// More than any request here has.
const MOST_HEADERS: usize = 64;
const MOST_BYTES: usize = 1 << 20;

/// Where the cloud's time comes from.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Clock {
    /// From [`Running::advance`] alone.
    Virtual,
    /// From the real clock, so many times as fast.
    Real {
        /// 1 is real time, 60 a minute each second.
        speed: f64,
    },
}

/// A cloud that answers on loopback. Dropping it ends it.
#[derive(Debug)]
pub struct Running {
    shared: Arc<Shared>,
    addresses: [SocketAddr; 5],
    threads: Vec<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    inside: Mutex<Inside>,
    /// Tells those who hold answers back that it is over.
    over: Condvar,
}

#[derive(Debug)]
struct Inside {
    cloud: Cloud,
    clock: Clock,
    began: Instant,
    /// Time added by hand.
    added: Duration,
    is_over: bool,
    /// Open connections, to be closed when it ends.
    connections: BTreeMap<u64, TcpStream>,
    accepted: u64,
}

impl Running {
    pub(crate) fn start(mut cloud: Cloud, clock: Clock) -> io::Result<Running> {
        let listeners: Vec<TcpListener> =
            DOORS.iter().map(|_| TcpListener::bind("127.0.0.1:0")).collect::<io::Result<_>>()?;
        let mut addresses = [SocketAddr::from(([127, 0, 0, 1], 0)); 5];
        for (address, listener) in addresses.iter_mut().zip(&listeners) {
            *address = listener.local_addr()?;
        }
        let url = format!("http://{}", addresses[0]);
        cloud.tokens.api_url.clone_from(&url);
        cloud.urls.api = url;
        let inside = Inside {
            cloud,
            clock,
            began: Instant::now(),
            added: Duration::ZERO,
            is_over: false,
            connections: BTreeMap::new(),
            accepted: 0,
        };
        let shared = Arc::new(Shared { inside: Mutex::new(inside), over: Condvar::new() });
        let threads = DOORS
            .into_iter()
            .zip(listeners)
            .map(|(door, listener)| {
                let shared = Arc::clone(&shared);
                std::thread::Builder::new()
                    .name(format!("tesla-{door:?}").to_lowercase())
                    .spawn(move || accept(&listener, door, &shared))
            })
            .collect::<io::Result<_>>()?;
        Ok(Running { shared, addresses, threads })
    }

    /// Base address of the Fleet API: `vehicle.teslaAPI.apiUrl`.
    #[must_use]
    pub fn api_url(&self) -> String {
        self.url(0)
    }

    /// Base address of a region that the account is not in: everything there gets 421.
    #[must_use]
    pub fn other_region_url(&self) -> String {
        self.url(1)
    }

    /// Base address of login page and token service (`/oauth2/v3/authorize`, `/oauth2/v3/token`): `vehicle.teslaAPI.authUrl`.
    #[must_use]
    pub fn auth_url(&self) -> String {
        self.url(2)
    }

    /// Base address of a TeslaBleHttpProxy that reaches the same cars.
    #[must_use]
    pub fn ble_url(&self) -> String {
        self.url(3)
    }

    /// Base address of the vendor's `tesla-http-proxy` for the same cars (without TLS): `teslaProxy`.
    #[must_use]
    pub fn proxy_url(&self) -> String {
        self.url(4)
    }

    fn url(&self, index: usize) -> String {
        format!("http://{}", self.addresses[index])
    }

    /// Looks at the cloud or changes it, at its present time. Requests wait meanwhile.
    pub fn with<R>(&self, work: impl FnOnce(&mut Cloud) -> R) -> R {
        work(&mut self.shared.lock().cloud)
    }

    /// Looks at a car or changes its world, at the present time.
    ///
    /// # Panics
    /// When there is no such car.
    pub fn car<R>(&self, vin: &str, work: impl FnOnce(&mut Car) -> R) -> R {
        self.with(|cloud| work(cloud.car(vin).unwrap_or_else(|| panic!("no car {vin}"))))
    }

    /// Lets so much time pass, whatever the clock.
    pub fn advance(&self, time: Duration) {
        let mut inside = self.shared.lock();
        inside.added += time;
        inside.catch_up();
    }

    /// Lets time pass until this moment, counted from the beginning. An earlier one changes nothing.
    pub fn advance_to(&self, moment: Duration) {
        let mut inside = self.shared.lock();
        let missing = moment.saturating_sub(inside.cloud.now());
        inside.added += missing;
        inside.catch_up();
    }

    /// Its time, counted from its beginning.
    #[must_use]
    pub fn now(&self) -> Duration {
        self.with(|cloud| cloud.now())
    }

    /// What was billed so far.
    #[must_use]
    pub fn billing(&self) -> Billing {
        self.with(|cloud| cloud.billing().clone())
    }

    /// What was asked so far, in order.
    #[must_use]
    pub fn log(&self) -> Vec<Asked> {
        self.with(|cloud| cloud.log().to_vec())
    }

    /// The next request to the Fleet API fails this way; several queue up.
    pub fn fail_next(&self, failure: Failure) {
        self.fail_next_at(Target::Api, failure);
    }

    /// The next request that fits fails this way; several queue up.
    pub fn fail_next_at(&self, target: Target, failure: Failure) {
        self.with(|cloud| cloud.order_failure(target, failure, Some(1)));
    }

    /// All requests that fit fail this way until [`Running::clear_failures`].
    pub fn fail_always(&self, target: Target, failure: Failure) {
        self.with(|cloud| cloud.order_failure(target, failure, None));
    }

    /// Everything works again.
    pub fn clear_failures(&self) {
        self.with(Cloud::clear_failures);
    }

    /// How many ordered failures have not happened yet.
    #[must_use]
    pub fn failures_left(&self) -> usize {
        self.with(|cloud| cloud.failures.left())
    }

    /// A pair of tokens as after a login: of the first known client, with these scopes ([`crate::ALL_SCOPES`]).
    #[must_use]
    pub fn log_in(&self, scopes: &str) -> Tokens {
        self.with(|cloud| {
            let client = cloud.tokens.clients.first().map(|client| client.id.clone()).unwrap_or_default();
            let now = cloud.now();
            cloud.tokens.issue(now, &client, scopes)
        })
    }

    /// The user changes the password: all tokens end, only a new login helps.
    pub fn forget_logins(&self) {
        self.with(|cloud| cloud.tokens.forget_logins());
    }

    /// Access tokens end now; refresh tokens go on.
    pub fn expire_access_tokens(&self) {
        self.with(|cloud| {
            let now = cloud.now();
            cloud.tokens.expire_access(now);
        });
    }

    /// At the next logins, the user grants no other scopes than these; `None` is whatever is asked for.
    pub fn user_grants(&self, scopes: Option<&str>) {
        let scopes = scopes.map(|scopes| scopes.split_whitespace().map(str::to_owned).collect());
        self.with(|cloud| cloud.tokens.user_grants = scopes);
    }

    /// At the next logins, the user refuses.
    pub fn user_denies(&self, denies: bool) {
        self.with(|cloud| cloud.tokens.user_denies = denies);
    }

    /// What may be spent, millionths of a dollar; beyond it everything gets 402.
    pub fn set_credit(&self, credit: Option<u64>) {
        self.with(|cloud| cloud.credit = credit);
    }

    /// Whether the application is registered in this region; without, 412.
    pub fn set_registered(&self, is_registered: bool) {
        self.with(|cloud| cloud.is_registered = is_registered);
    }

    /// All that was ever issued and must not be seen anywhere: tokens, codes, secrets.
    #[must_use]
    pub fn secrets(&self) -> Vec<String> {
        self.with(|cloud| cloud.tokens.secrets())
    }
}

impl Running {
    /// Ends it: answers held back are dropped, connections closed. Dropping it does the same and waits for its threads.
    pub fn end(&self) {
        {
            let mut inside = self.shared.lock();
            inside.is_over = true;
            for connection in std::mem::take(&mut inside.connections).into_values() {
                // One that has ended by itself is as good.
                let _ended = connection.shutdown(Shutdown::Both);
            }
        }
        self.shared.over.notify_all();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.end();
        for address in self.addresses {
            // Wakes the thread that waits for a connection.
            drop(TcpStream::connect(address));
        }
        for thread in self.threads.drain(..) {
            drop(thread.join());
        }
    }
}

impl Shared {
    /// The inside, at its present time.
    fn lock(&self) -> MutexGuard<'_, Inside> {
        // A test that panicked while it looked leaves it whole: every change is complete in itself.
        let mut inside = self.inside.lock().unwrap_or_else(PoisonError::into_inner);
        inside.catch_up();
        inside
    }
}

impl Inside {
    fn catch_up(&mut self) {
        let real = match self.clock {
            Clock::Virtual => Duration::ZERO,
            Clock::Real { speed } => {
                Duration::try_from_secs_f64(self.began.elapsed().as_secs_f64() * speed).unwrap_or(Duration::ZERO)
            }
        };
        self.cloud.advance_to(real + self.added);
    }
}

fn accept(listener: &TcpListener, door: Door, shared: &Arc<Shared>) {
    for stream in listener.incoming() {
        let Ok(stream) = stream else { continue };
        let number = {
            let mut inside = shared.lock();
            if inside.is_over {
                return;
            }
            match stream.try_clone() {
                Ok(twin) => {
                    inside.accepted += 1;
                    let number = inside.accepted;
                    inside.connections.insert(number, twin);
                    number
                }
                Err(error) => {
                    log::warn!("simulated cloud: connection dropped: {error}");
                    continue;
                }
            }
        };
        let for_thread = Arc::clone(shared);
        // Ends with its connection, at the latest when the cloud does.
        let spawned = std::thread::Builder::new().name(format!("tesla-{door:?}").to_lowercase()).spawn(move || {
            serve(&stream, door, &for_thread);
            // The twin would keep it open.
            let _ended = stream.shutdown(Shutdown::Both);
            for_thread.lock().connections.remove(&number);
        });
        if let Err(error) = spawned {
            log::warn!("simulated cloud: no thread for a connection: {error}");
        }
    }
}

fn serve(mut stream: &TcpStream, door: Door, shared: &Shared) {
    let mut pending = Vec::new();
    while let Some(request) = read_request(stream, door, &mut pending) {
        let reply = {
            let mut inside = shared.lock();
            if inside.is_over {
                return;
            }
            inside.cloud.handle(&request)
        };
        if !reply.held_back.is_zero() && !hold_back(shared, reply.held_back) {
            return;
        }
        if reply.is_lost || stream.write_all(&written(&reply)).is_err() {
            return;
        }
    }
}

/// Waits; false when the cloud ended meanwhile.
fn hold_back(shared: &Shared, time: Duration) -> bool {
    let guard = shared.inside.lock().unwrap_or_else(PoisonError::into_inner);
    let (guard, _) =
        shared.over.wait_timeout_while(guard, time, |inside| !inside.is_over).unwrap_or_else(PoisonError::into_inner);
    !guard.is_over
}

fn written(reply: &Reply) -> Vec<u8> {
    let mut bytes = format!("HTTP/1.1 {} {}\r\n", reply.status, word(reply.status)).into_bytes();
    for (name, value) in &reply.headers {
        bytes.extend(format!("{name}: {value}\r\n").as_bytes());
    }
    bytes.extend(format!("Content-Length: {}\r\n\r\n", reply.body.len()).as_bytes());
    bytes.extend(&reply.body);
    bytes
}

fn word(status: u16) -> &'static str {
    match status {
        200 => "OK",
        302 => "Found",
        400..=499 => "Refused",
        500..=599 => "Failed",
        _ => "Said",
    }
}

/// The next request; `None` when the connection ends or sends nonsense. `pending` keeps what came too early.
fn read_request(mut stream: &TcpStream, door: Door, pending: &mut Vec<u8>) -> Option<Request> {
    let mut piece = [0; 4096];
    loop {
        if let Some((mut request, head)) = read_head(door, pending)? {
            let length: usize = request.header("content-length").map_or(Some(0), |length| length.parse().ok())?;
            let whole = head.checked_add(length).filter(|whole| *whole <= MOST_BYTES)?;
            while pending.len() < whole {
                let count = stream.read(&mut piece).ok().filter(|count| *count > 0)?;
                pending.extend(piece.get(..count)?);
            }
            request.body = pending.get(head..whole)?.to_vec();
            pending.drain(..whole);
            return Some(request);
        }
        let count = stream.read(&mut piece).ok().filter(|count| *count > 0)?;
        pending.extend(piece.get(..count)?);
        if pending.len() > MOST_BYTES {
            return None;
        }
    }
}

/// The head of a request and its length; the inner `None` when there is more to come.
fn read_head(door: Door, bytes: &[u8]) -> Option<Option<(Request, usize)>> {
    let mut headers = [httparse::EMPTY_HEADER; MOST_HEADERS];
    let mut parsed = httparse::Request::new(&mut headers);
    let length = match parsed.parse(bytes).ok()? {
        httparse::Status::Partial => return Some(None),
        httparse::Status::Complete(length) => length,
    };
    let mut request = Request::new(door, parsed.method?, parsed.path?);
    request.headers = parsed
        .headers
        .iter()
        .map(|header| (header.name.to_ascii_lowercase(), String::from_utf8_lossy(header.value).into_owned()))
        .collect();
    Some(Some((request, length)))
}
