//! The controller as the program holds it: its thread, its instances, its counters.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use evse::{EvseController, EvseInstance, EvseListener};
use gen2_protocol::{RequestKind, TwcId};
use units::Amps;

use crate::instance::Gen2Instance;
use crate::mailbox::{Command, Mailbox, Undelivered};
use crate::{BusStatus, Gen2Error, Gen2Settings, LineState, Monitor, runner};

/// Longest that [`EvseController::shutdown`] waits for the thread.
const SHUTDOWN_PATIENCE: Duration = Duration::from_secs(1);

/// What the bus thread publishes.
pub(crate) struct Published {
    pub(crate) instances: Mutex<BTreeMap<TwcId, Arc<Gen2Instance>>>,
    pub(crate) bus: Mutex<BusStatus>,
}

/// The controller of one bus of Gen 2 Wall Connectors.
///
/// Its thread owns the port, survives its own panics (logged, started anew with back-off) and ends when this is dropped.
///
/// # What shutdown leaves behind
/// Nothing is sent at shutdown: the connectors keep the limit they were last told, notice the missing heartbeats after
/// about 10 s, end charging about 30 s after the last heartbeat and show a blinking red light until a controller returns.
/// What they draw until then stays within the limit, because the sum of what they were told did.
pub struct Gen2Controller {
    name: String,
    mailbox: Arc<Mailbox>,
    published: Arc<Published>,
    thread: Option<thread::JoinHandle<()>>,
    ended: mpsc::Receiver<()>,
}

impl Gen2Controller {
    /// Starts the bus thread. The port is opened by the thread and again whenever it is lost, so a missing adapter is no
    /// error here: it shows in [`Gen2Controller::bus_status`] and as an event.
    ///
    /// # Errors
    /// `Setting` for settings that make no sense, `Start` when no thread can be made.
    pub fn open(settings: Gen2Settings, listener: Arc<dyn EvseListener>) -> Result<Self, Gen2Error> {
        Self::open_monitored(settings, listener, None)
    }

    /// Like [`Gen2Controller::open`], and `monitor` hears of every message on the bus.
    ///
    /// # Errors
    /// As [`Gen2Controller::open`].
    pub fn open_monitored(
        settings: Gen2Settings,
        listener: Arc<dyn EvseListener>,
        monitor: Option<Monitor>,
    ) -> Result<Self, Gen2Error> {
        settings.check()?;
        let mailbox = Arc::new(Mailbox::new().map_err(Gen2Error::Start)?);
        let published = Arc::new(Published {
            instances: Mutex::default(),
            bus: Mutex::new(BusStatus::unopened(Instant::now(), &settings)),
        });
        let name = settings.name.clone();
        let (done, ended) = mpsc::channel();
        let runner = runner::Runner::new(settings, listener, monitor, Arc::clone(&mailbox), Arc::clone(&published));
        let thread = thread::Builder::new()
            .name(name.clone())
            .spawn(move || {
                runner.supervise();
                // Nobody waits any more when the controller was dropped meanwhile.
                let _nobody_waits = done.send(());
            })
            .map_err(Gen2Error::Start)?;
        Ok(Gen2Controller { name, mailbox, published, thread: Some(thread), ended })
    }

    /// Counters and state of the bus.
    #[must_use]
    pub fn bus_status(&self) -> BusStatus {
        self.published.bus.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Wakes the thread, so that [`Gen2Controller::bus_status`] is newer than this call soon, however quiet the line is:
    /// whoever watches over the thread looks for that.
    ///
    /// # Errors
    /// `Ended` when the thread has ended.
    pub fn nudge(&self) -> Result<(), Gen2Error> {
        self.mailbox.put(|_| {}).map_err(|_| Gen2Error::Ended)
    }

    /// Limits what all connectors together may use, per phase, below the wiring; `None` lifts it. For fuse protection: a
    /// lower limit goes out with the very next frame, before everything else.
    ///
    /// # Errors
    /// `Ended` when the thread has ended.
    pub fn set_circuit_limit(&self, limit: Option<Amps>) -> Result<(), Gen2Error> {
        self.mailbox.put(|mail| mail.circuit_limit = Some(limit)).map_err(|_| Gen2Error::Ended)
    }

    /// Switches the spikes (`spikeAmpsProactively`, `spikeAmpsReactively`) while running.
    ///
    /// # Errors
    /// `Ended` when the thread has ended.
    pub fn set_spikes(&self, proactively: bool, reactively: bool) -> Result<(), Gen2Error> {
        self.mailbox.put(|mail| mail.spikes = Some((proactively, reactively))).map_err(|_| Gen2Error::Ended)
    }

    /// Asks a connector a question now, in the next free time on the bus. The answer shows in its status and to the
    /// monitor.
    ///
    /// # Errors
    /// `Ended` when the thread has ended, `Refused` when too much waits.
    pub fn ask(&self, connector: TwcId, question: RequestKind) -> Result<(), Gen2Error> {
        self.command(Command::Ask(connector, question))
    }

    /// Sends a debug message given as bytes: family and code first, without delimiters; a checksum may follow or not.
    /// It passes only when it decodes to something on the list of what harms nobody: questions and the announcement. The
    /// message that leaves is built anew from that meaning.
    ///
    /// # Errors
    /// `Refused` for everything else, with the reason; `Ended` when the thread has ended.
    pub fn send_debug(&self, bytes: &[u8]) -> Result<(), Gen2Error> {
        self.command(crate::debug_send::allowed(bytes)?)
    }

    fn command(&self, command: Command) -> Result<(), Gen2Error> {
        self.mailbox.command(command).map_err(|why| match why {
            Undelivered::Ended => Gen2Error::Ended,
            Undelivered::Full => Gen2Error::Refused("too many commands wait; try again in a second".to_owned()),
        })
    }
}

impl EvseController for Gen2Controller {
    fn name(&self) -> &str {
        &self.name
    }

    fn instances(&self) -> Vec<Arc<dyn EvseInstance>> {
        let instances = self.published.instances.lock().unwrap_or_else(PoisonError::into_inner);
        instances.values().map(|instance| Arc::clone(instance) as Arc<dyn EvseInstance>).collect()
    }

    fn shutdown(&mut self) {
        let Some(thread) = self.thread.take() else { return };
        // Fails only when the thread has ended already.
        let _ended_already = self.mailbox.put(|mail| mail.stop = true);
        match self.ended.recv_timeout(SHUTDOWN_PATIENCE) {
            Err(mpsc::RecvTimeoutError::Timeout) => {
                log::warn!("{}: the bus thread did not end within a second; it is left behind", self.name);
            }
            _ => {
                if thread.join().is_err() {
                    log::error!("{}: the bus thread ended with a panic", self.name);
                }
            }
        }
    }
}

impl Drop for Gen2Controller {
    fn drop(&mut self) {
        self.shutdown();
    }
}

impl BusStatus {
    pub(crate) fn unopened(now: Instant, settings: &Gen2Settings) -> Self {
        BusStatus {
            taken_at: now,
            line: LineState::Closed,
            port_error: None,
            own_id: settings.own_id,
            other_controller: None,
            connectors: 0,
            frames_in: 0,
            frames_out: 0,
            too_short: 0,
            too_long: 0,
            bad_escape: 0,
            bad_checksum: 0,
            salvaged: 0,
            echoes: 0,
            unanswered: 0,
            late_answers: 0,
            queries_unanswered: 0,
            reconnects: 0,
            heartbeat_lateness: Duration::ZERO,
            worst_heartbeat_lateness: Duration::ZERO,
            restarts: 0,
            committed: Amps::ZERO,
            circuit_limit: settings.wiring_max_all,
        }
    }
}
