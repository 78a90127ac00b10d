//! The event stream: one full snapshot, then what changes.
//!
//! One thread follows the site for all clients. It renders only while somebody listens.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use http_door::{Event, EventHub, Response};
use serde_json::Value;

use super::patch::difference;
use super::to_value;
use crate::api::Inner;
use crate::route::Call;

/// How long the follower waits for news before it looks whether it is still needed.
const PATIENCE: Duration = Duration::from_secs(1);
/// Shortest time between two events: a person sees no more, and slow phones are spared.
const BREATH: Duration = Duration::from_millis(200);
/// Between two signs of life on a quiet stream, so that proxies keep it open.
const HEARTBEAT: Duration = Duration::from_secs(25);
/// How long a browser waits before it connects again.
const RETRY: Duration = Duration::from_secs(2);

/// The clients of the stream and what they were last told.
#[derive(Default)]
pub(crate) struct Live {
    hub: EventHub,
    /// The state that every listening client has; `None` while nobody listens.
    told: Mutex<Option<Value>>,
    is_closed: AtomicBool,
}

impl Live {
    /// Ends every stream and the follower.
    pub(crate) fn close(&self) {
        self.is_closed.store(true, Ordering::Relaxed);
        self.hub.close();
    }

    /// Tells every client what changed; how many there are.
    fn tell(&self, snapshot: &site::Snapshot) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if self.hub.listeners() == 0 {
            *told = None;
            return;
        }
        let new = to_value(snapshot);
        let change = told.as_ref().and_then(|old| difference(old, &new));
        if let Some(change) = change {
            self.hub.publish(&Event::with_id("change", &snapshot.sequence.to_string(), &change.to_string()));
        }
        *told = Some(new);
    }
}

/// `GET events`.
pub(super) fn open(api: &Inner, _: &Call) -> Response {
    let mut told = api.live.told.lock().unwrap_or_else(PoisonError::into_inner);
    // With listeners, the newcomer starts from what they have, so that the next change fits all.
    if api.live.hub.listeners() == 0 {
        *told = None;
    }
    let state = told.get_or_insert_with(|| to_value(&api.snapshot()));
    let sequence = state["sequence"].to_string();
    let first = [Event::retry_after(RETRY), Event::with_id("snapshot", &sequence, &state.to_string())];
    Response::events(api.live.hub.subscribe(&first))
}

/// Starts the thread that follows the site.
pub(crate) fn follow(api: &Arc<Inner>) {
    let weak = Arc::downgrade(api);
    let started = std::thread::Builder::new().name("http-events".to_owned()).spawn(move || run(&weak));
    if let Err(error) = started {
        log::error!("the page will not be live, its thread cannot be started: {error}");
    }
}

fn run(api: &Weak<Inner>) {
    let mut sequence = 0;
    let mut last_sign = Instant::now();
    let mut losses = 0;
    while let Some(api) = api.upgrade().filter(|api| !api.live.is_closed.load(Ordering::Relaxed)) {
        let asked_at = Instant::now();
        let newer = api.site.newer_than(sequence, PATIENCE);
        if let Some(snapshot) = &newer {
            sequence = snapshot.sequence;
            api.live.tell(snapshot);
            last_sign = Instant::now();
        } else if last_sign.elapsed() >= HEARTBEAT {
            api.live.hub.publish(&Event::comment("still here"));
            last_sign = Instant::now();
        }
        if api.rules().read_needs_password {
            // Who lost the right to look sees no more; the others connect again by themselves.
            let found = api.gate.losses(crate::api::seconds_since_1970());
            if losses != found {
                losses = found;
                api.live.hub.close();
            }
        }
        drop(api);
        // Also keeps this from spinning should the site answer at once that it is ending.
        std::thread::sleep(BREATH.saturating_sub(asked_at.elapsed().min(BREATH / 2)));
    }
}
