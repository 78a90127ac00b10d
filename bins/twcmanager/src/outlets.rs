//! What the site wants done beside targets: settings, journal, webhooks. Each on a thread of its own, so that a slow disk
//! or a hanging server never delays a decision.

use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use evse::{AtConnector, EvseId, Vin};
use evse_gen2::Gen2Controller;
use journal::{CounterSample, Entry, Journal, OfferSample, ReadingSample, SessionRecord};
use logging::{EventScribe, Fanout, SlaveStatus};
use serde_json::{Map, Value};
use site::{Event, SessionEvent, Webhook};
use site_thread::Outlets;
use units::{Amps, PerPhase, Percent, Watts};

use crate::cars::CarsLine;

/// Webhooks that may wait; more are dropped and said.
const MOST_WEBHOOKS: usize = 32;

/// All outlets of the program.
pub struct ProgramOutlets {
    /// The buses that a circuit limit goes to.
    pub buses: Arc<Mutex<Vec<Gen2Controller>>>,
    /// Where settings are saved.
    pub saver: Arc<Saver>,
    /// The journal, unless it could not be opened.
    pub journal: Option<Arc<Journal>>,
    /// The thread that calls webhooks.
    pub webhooks: SyncSender<Webhook>,
    /// The sinks of section `logging`.
    pub records: Arc<Fanout>,
    /// The cars.
    pub cars: CarsLine,
    scribe: EventScribe,
    last_limit: Option<Amps>,
}

impl ProgramOutlets {
    /// All outlets.
    pub fn new(
        buses: Arc<Mutex<Vec<Gen2Controller>>>,
        saver: Arc<Saver>,
        journal: Option<Arc<Journal>>,
        webhooks: SyncSender<Webhook>,
        records: Arc<Fanout>,
        cars: CarsLine,
    ) -> Self {
        ProgramOutlets { buses, saver, journal, webhooks, records, cars, scribe: EventScribe::new(), last_limit: None }
    }
}

impl Outlets for ProgramOutlets {
    fn circuit_limit(&mut self, limit: PerPhase<Amps>) {
        // Connectors use all phases alike, so the tightest phase rules.
        let [l1, l2, l3] = limit.into_array();
        let tightest = l1.min(l2).min(l3);
        if self.last_limit.replace(tightest) == Some(tightest) {
            return;
        }
        for bus in lock(&self.buses).iter() {
            if let Err(error) = bus.set_circuit_limit(Some(tightest)) {
                log::error!("{error}");
            }
        }
    }

    fn settings(&mut self, settings: &Map<String, Value>) {
        self.saver.save(settings.clone());
        self.cars.settings(settings);
        let flag = |key: &str| settings.get(key).is_none_or(is_true);
        for bus in lock(&self.buses).iter() {
            // A bus that has ended says so itself.
            let _ = bus.set_spikes(flag("spikeAmpsProactively"), flag("spikeAmpsReactively"));
        }
    }

    fn webhook(&mut self, webhook: Webhook) {
        match self.webhooks.try_send(webhook) {
            Ok(()) | Err(TrySendError::Disconnected(_)) => {}
            Err(TrySendError::Full(webhook)) => {
                log::warn!("the webhook {} of `{}` is dropped: too many wait", webhook.event, webhook.policy);
            }
        }
    }

    fn vehicle_limit(&mut self, limit: Option<Percent>) {
        self.cars.limit(limit);
    }

    fn policy_changed(&mut self, _: &str) {
        self.cars.policy_changed();
    }

    fn car_permission(&mut self, vin: &Vin, refusal: Option<&str>) {
        self.cars.permission(vin, refusal);
    }

    fn car_at_connector(&mut self, vin: &Vin, at: Option<&AtConnector>) {
        self.cars.at_connector(vin, at);
    }

    fn unknown_plug_in(&mut self, connector: &EvseId) {
        log::debug!("a car was plugged in at {connector}, which does not tell which one");
        self.cars.unknown_plug_in();
    }

    fn event(&mut self, at: f64, event: Event) {
        match &event {
            Event::Policy { to, reason, .. } => {
                log::info!(target: "policy", "New policy selected; changing to {to}. {reason}")
            }
            Event::Alert { text, level, cleared: false, .. } => match *level {
                "alarm" => log::error!("{text}"),
                "warning" => log::warn!("{text}"),
                _ => log::info!("{text}"),
            },
            Event::Alert { text, cleared: true, .. } => log::info!("over: {text}"),
            _ => {}
        }
        if let Some(note) = self.scribe.on_event(at, &event) {
            note.tell(&self.records);
        }
        if let (Some(journal), Some(entry)) = (&self.journal, entry_of(at, event)) {
            journal.record(entry);
        }
    }
}

/// Held for the length of one call that only posts a letter.
fn lock(buses: &Mutex<Vec<Gen2Controller>>) -> MutexGuard<'_, Vec<Gen2Controller>> {
    buses.lock().unwrap_or_else(PoisonError::into_inner)
}

fn is_true(value: &Value) -> bool {
    match value {
        Value::Bool(flag) => *flag,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => matches!(text.as_str(), "on" | "1" | "true" | "yes"),
        _ => false,
    }
}

fn entry_of(at: f64, event: Event) -> Option<Entry> {
    match event {
        Event::Session(session) => Some(Entry::Session(record_of(session))),
        Event::Offer { evse, offered, drawn, power, reason } => Some(Entry::Offer(OfferSample {
            at_ms: millis(at),
            evse: evse.to_string(),
            offered_a: offered.map(Amps::get),
            drawn_a: drawn.map(Amps::get),
            power_w: power.map(Watts::get),
            reason: reason.to_owned(),
        })),
        Event::Reading(flow) => Some(Entry::Reading(ReadingSample {
            at_ms: millis(at),
            source: flow.source,
            generation_w: flow.generation.map(Watts::get),
            consumption_w: flow.consumption.map(Watts::get),
            grid_w: flow.grid.map(Watts::get),
            battery_w: flow.battery.map(Watts::get),
            battery_soc: flow.battery_soc.map(Percent::get),
            cars_w: Some(flow.cars.get()),
        })),
        _ => None,
    }
}

fn record_of(session: SessionEvent) -> SessionRecord {
    SessionRecord {
        id: session.id,
        evse: session.evse.to_string(),
        vin: session.vin,
        started_ms: millis(session.started_at),
        ended_ms: session.ended_at.map(millis),
        updated_ms: millis(session.updated_at),
        energy_wh: session.energy.get(),
        is_estimate: session.is_estimate,
        charging_ms: millis(session.charging_s),
        counter_start_wh: session.counter_start.map(units::WattHours::get),
        counter_wh: session.counter.map(units::WattHours::get),
    }
}

/// What the meter of a charging point said; a phase without voltage has none.
pub fn counter_of(status: &SlaveStatus, evse: String) -> CounterSample {
    CounterSample {
        at_ms: status.at.saturating_mul(1000),
        evse,
        counter_wh: status.counter.get(),
        volts: status.volts.into_array().map(|volts| Some(volts.get()).filter(|volts| *volts > 0.0)),
    }
}

/// The session that a record describes, to go on with.
pub fn session_of(record: SessionRecord) -> SessionEvent {
    SessionEvent {
        id: record.id,
        evse: evse::EvseId::new(record.evse),
        vin: record.vin,
        started_at: seconds(record.started_ms),
        ended_at: record.ended_ms.map(seconds),
        updated_at: seconds(record.updated_ms),
        energy: units::WattHours::saturating(record.energy_wh),
        is_estimate: record.is_estimate,
        charging_s: seconds(record.charging_ms),
        counter_start: record.counter_start_wh.map(units::WattHours::saturating),
        counter: record.counter_wh.map(units::WattHours::saturating),
    }
}

/// Seconds to whole milliseconds; `as` saturates for floats, and 2^63 ms are far off.
#[allow(clippy::cast_possible_truncation)]
fn millis(seconds: f64) -> i64 {
    (seconds * 1000.0).round() as i64
}

/// Whole milliseconds to seconds; exact for the next 285,000 years.
#[allow(clippy::cast_precision_loss)]
fn seconds(millis: i64) -> f64 {
    millis as f64 / 1000.0
}

/// Calls webhooks one after another until the sending end is gone.
pub fn call_webhooks(receiver: &Receiver<Webhook>, call: impl Fn(&Webhook) -> Result<(), String>) {
    while let Ok(webhook) = receiver.recv() {
        match call(&webhook) {
            Ok(()) => log::debug!("webhook {} of `{}` called", webhook.event, webhook.policy),
            Err(error) => log::warn!("webhook {} of `{}`: {error}", webhook.event, webhook.policy),
        }
    }
}

/// A bounded queue for webhooks.
pub fn webhook_queue() -> (SyncSender<Webhook>, Receiver<Webhook>) {
    sync_channel(MOST_WEBHOOKS)
}

#[derive(Default)]
struct Waiting {
    newest: Option<Map<String, Value>>,
    is_ending: bool,
}

/// Saves the newest settings on a thread of its own; older ones that still wait are skipped.
#[derive(Default)]
pub struct Saver {
    waiting: Mutex<Waiting>,
    changed: Condvar,
}

impl Saver {
    /// Starts the thread. `save` is called with each state that is to be written.
    ///
    /// # Errors
    /// When no thread can be started.
    pub fn start(
        save: impl FnMut(Map<String, Value>) -> Result<(), String> + Send + 'static,
    ) -> std::io::Result<(Arc<Saver>, JoinHandle<()>)> {
        let saver = Arc::new(Saver::default());
        let thread = {
            let (saver, mut save) = (Arc::clone(&saver), save);
            std::thread::Builder::new()
                .name("settings".to_owned())
                .stack_size(256 * 1024)
                .spawn(move || saver.write_until_ended(&mut save))?
        };
        Ok((saver, thread))
    }

    /// Writes `settings`, soon.
    pub fn save(&self, settings: Map<String, Value>) {
        self.lock().newest = Some(settings);
        self.changed.notify_one();
    }

    /// Writes what waits and ends the thread.
    pub fn end(&self) {
        self.lock().is_ending = true;
        self.changed.notify_one();
    }

    fn write_until_ended(&self, save: &mut dyn FnMut(Map<String, Value>) -> Result<(), String>) {
        let mut is_failing = false;
        loop {
            let mut waiting = self.lock();
            while waiting.newest.is_none() && !waiting.is_ending {
                waiting = self.changed.wait(waiting).unwrap_or_else(PoisonError::into_inner);
            }
            let Some(settings) = waiting.newest.take() else { return };
            drop(waiting);
            let result = save(settings);
            match &result {
                Ok(()) if is_failing => log::info!("settings can be saved again"),
                Err(error) if !is_failing => log::error!("{error}"),
                _ => {}
            }
            is_failing = result.is_err();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        // One value is swapped under it: a panic elsewhere leaves nothing half done.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
