//! The bus thread: one loop that waits for bytes, mail or a deadline, feeds the machine and does what it wants.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use evse::{ControllerEvent, EventLevel, EvseInstance, EvseListener};
use gen2_protocol::{Decoder, Event, Message, TwcId, WireFrame};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::controller::Published;
use crate::instance::{Gen2Instance, evse_id};
use crate::machine::{self, News, Output, Role};
use crate::mailbox::Mailbox;
use crate::transport::{Opening, Port};
use crate::{BusStatus, Direction, Gen2Settings, Monitor, PortSpec, Traffic};

/// Waits between tries to open the port, and between restarts after a panic.
const BACK_OFF: [Duration; 5] = [
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(5),
    Duration::from_secs(10),
    Duration::from_secs(30),
];
/// A port that held this long begins its back-off anew.
const HELD_WELL: Duration = Duration::from_secs(10);
/// The line's quality is judged over so many frames, good and bad.
const JUDGED_FRAMES: u64 = 200;
/// Damaged frames of a hundred from which wiring is worth a look.
const BAD_LINE_PERCENT: u64 = 2;

/// Everything the thread needs that outlives a panic.
pub(crate) struct Runner {
    settings: Gen2Settings,
    listener: Arc<dyn EvseListener>,
    monitor: Option<Monitor>,
    mailbox: Arc<Mailbox>,
    published: Arc<Published>,
    reconnects: u64,
    restarts: u64,
    frames_out: u64,
    /// The port was reported as closed, and why.
    reported_closed: Option<String>,
}

/// The way to the bus.
enum Way {
    Closed { retry_at: Instant, tries: usize },
    Opening { opening: Opening, tries: usize },
    Open { port: Port, since: Instant, tries: usize },
}

/// The part of the loop's state that a panic ends.
struct Loop {
    role: Box<dyn Role>,
    decoder: Decoder,
    way: Way,
    judged: (u64, u64),
    line_is_bad: bool,
    input: Vec<u8>,
}

impl Runner {
    pub(crate) fn new(
        settings: Gen2Settings,
        listener: Arc<dyn EvseListener>,
        monitor: Option<Monitor>,
        mailbox: Arc<Mailbox>,
        published: Arc<Published>,
    ) -> Self {
        Runner {
            settings,
            listener,
            monitor,
            mailbox,
            published,
            reconnects: 0,
            restarts: 0,
            frames_out: 0,
            reported_closed: None,
        }
    }

    /// Runs until it shall stop; a panic is logged and the loop started anew with a fresh machine.
    pub(crate) fn supervise(mut self) {
        let mut failures = 0;
        loop {
            let began = Instant::now();
            let ended = catch_unwind(AssertUnwindSafe(|| self.run()));
            if ended.is_ok() || self.mailbox.must_stop() {
                break;
            }
            failures = if began.elapsed() >= Duration::from_secs(300) { 0 } else { failures };
            let wait = back_off(failures);
            failures += 1;
            self.restarts += 1;
            log::error!(
                "{}: the bus thread failed (see the panic above) and starts anew in {} s; please report this",
                self.settings.name,
                wait.as_secs()
            );
            self.drop_instances();
            self.rest(wait);
        }
        self.mailbox.end();
    }

    /// Waits, unless it shall stop.
    fn rest(&self, wait: Duration) {
        let until = Instant::now() + wait;
        while !self.mailbox.must_stop() {
            let now = Instant::now();
            if now >= until {
                return;
            }
            self.wait(None, Some(until), now);
        }
    }

    fn drop_instances(&self) {
        let instances = std::mem::take(&mut *self.published.instances.lock().unwrap_or_else(PoisonError::into_inner));
        for id in instances.into_keys() {
            self.listener.gone(&evse_id(id));
        }
    }

    fn run(&mut self) {
        let now = Instant::now();
        let mut state = Loop {
            role: machine::role(&self.settings, now),
            decoder: Decoder::salvaging(),
            way: Way::Closed { retry_at: now, tries: 0 },
            judged: (0, 0),
            line_is_bad: false,
            input: Vec::new(),
        };
        let mut readable = false;
        loop {
            let now = Instant::now();
            if self.take_mail(&mut state, now) {
                return;
            }
            self.look_after_way(&mut state, now);
            if readable {
                self.read(&mut state, now);
            }
            state.role.handle_timeout(now);
            // Who hears of a change finds the bus's numbers no older than it.
            self.publish_bus(&state, now);
            self.drain(&mut state, now);
            self.judge_line(&mut state);
            self.publish_bus(&state, now);

            let retry = match state.way {
                Way::Closed { retry_at, .. } => Some(retry_at),
                _ => None,
            };
            let deadline = [state.role.next_timeout(), retry].into_iter().flatten().min();
            let port = match &state.way {
                Way::Open { port, .. } => Some(port),
                _ => None,
            };
            readable = self.wait(port, deadline, now);
        }
    }

    /// Hands the machine what waits in the mailbox. Returns whether the thread shall end.
    fn take_mail(&self, state: &mut Loop, now: Instant) -> bool {
        let mail = self.mailbox.take();
        if mail.stop {
            return true;
        }
        if let Some(limit) = mail.circuit_limit {
            state.role.set_circuit_limit(limit, now);
        }
        if let Some((proactively, reactively)) = mail.spikes {
            state.role.set_spikes(proactively, reactively);
        }
        for (connector, target) in mail.targets {
            state.role.handle_target(connector, target, now);
        }
        for command in mail.commands {
            state.role.handle_command(command, now);
        }
        false
    }

    fn look_after_way(&mut self, state: &mut Loop, now: Instant) {
        match &state.way {
            Way::Closed { retry_at, tries } if now >= *retry_at => {
                let tries = *tries;
                state.way = match Opening::begin(&self.settings.port, self.settings.baud, &self.mailbox) {
                    Ok(opening) => Way::Opening { opening, tries },
                    Err(error) => {
                        self.report_closed(&error);
                        Way::Closed { retry_at: now + back_off(tries), tries: tries + 1 }
                    }
                };
            }
            Way::Opening { opening, tries } => {
                let tries = *tries;
                match opening.take() {
                    None => {}
                    Some(Ok(port)) => {
                        self.report_open(tries > 0);
                        state.decoder.discard_pending();
                        state.way = Way::Open { port, since: now, tries };
                        state.role.line_opened(now);
                    }
                    Some(Err(error)) => {
                        self.report_closed(&error);
                        state.way = Way::Closed { retry_at: now + back_off(tries), tries: tries + 1 };
                    }
                }
            }
            _ => {}
        }
    }

    fn read(&mut self, state: &mut Loop, now: Instant) {
        let Way::Open { port, .. } = &mut state.way else { return };
        state.input.clear();
        if let Err(error) = port.read(&mut state.input) {
            self.lose_port(state, &error, now);
            return;
        }
        if state.input.is_empty() {
            return;
        }
        let input = std::mem::take(&mut state.input);
        let mut rest = input.as_slice();
        while let Some(event) = state.decoder.next_event(&mut rest) {
            let (frame, salvaged) = match event {
                Event::Frame(frame) => (frame, false),
                Event::Salvaged(frame) => (frame, true),
                Event::Rejected(error) => {
                    log::debug!(
                        "{}: thrown away: {error}: {:02X?}",
                        self.settings.name,
                        state.decoder.rejected_bytes()
                    );
                    continue;
                }
            };
            let message = frame.message();
            self.traffic(Direction::In, message, now);
            state.role.handle_message(&message, salvaged, now);
        }
        state.role.handle_activity(now);
        state.input = input;
    }

    /// Does what the machine wants.
    fn drain(&mut self, state: &mut Loop, now: Instant) {
        while let Some(output) = state.role.poll_output() {
            match output {
                Output::Send(message) => self.send(state, &message.encode(), message.into(), now),
                Output::Answer(message) => self.send(state, &message.encode(), message.into(), now),
                Output::Changed(id) => self.publish(state, id, now),
                Output::Gone(id) => {
                    self.published.instances.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
                    self.listener.gone(&evse_id(id));
                }
                Output::News(news) => self.tell(news),
                Output::Reopen(why) => {
                    if let Way::Open { tries, .. } = state.way {
                        log::info!("{}: {why}: the port is opened again", self.settings.name);
                        self.reconnects += 1;
                        state.way = Way::Closed { retry_at: now, tries };
                        state.role.line_closed(now);
                    }
                }
            }
        }
        // A port closed just now is opened without waiting for anything.
        self.look_after_way(state, now);
    }

    fn send(&mut self, state: &mut Loop, wire: &WireFrame, message: Message, now: Instant) {
        let Way::Open { port, .. } = &mut state.way else { return };
        match port.write(wire.as_bytes()) {
            Ok(()) => {
                self.frames_out += 1;
                self.traffic(Direction::Out, message, now);
            }
            Err(error) => self.lose_port(state, &error, now),
        }
    }

    fn lose_port(&mut self, state: &mut Loop, error: &io::Error, now: Instant) {
        let Way::Open { since, tries, .. } = &state.way else { return };
        let tries = if now.saturating_duration_since(*since) >= HELD_WELL { 0 } else { *tries };
        self.report_closed(error);
        self.reconnects += 1;
        state.way = Way::Closed { retry_at: now + back_off(tries), tries: tries + 1 };
        state.role.line_closed(now);
    }

    fn traffic(&self, direction: Direction, message: Message, now: Instant) {
        let arrow = if direction == Direction::In { '<' } else { '>' };
        log::trace!("{} {arrow} {message}", self.settings.name);
        if let Some(monitor) = &self.monitor {
            monitor(&Traffic { at: now, direction, message });
        }
    }

    fn publish(&self, state: &Loop, id: TwcId, now: Instant) {
        let Some(status) = state.role.status(id, now) else { return };
        let instance = {
            let mut instances = self.published.instances.lock().unwrap_or_else(PoisonError::into_inner);
            match instances.get(&id) {
                Some(instance) => {
                    instance.publish(status);
                    Arc::clone(instance)
                }
                None => {
                    let instance = Arc::new(Gen2Instance::new(id, status, Arc::clone(&self.mailbox)));
                    instances.insert(id, Arc::clone(&instance));
                    instance
                }
            }
        };
        let instance: Arc<dyn EvseInstance> = instance;
        self.listener.changed(&instance);
    }

    fn tell(&self, news: News) {
        let name = &self.settings.name;
        // The listener decides how loudly it is said.
        log::debug!("{name}: {}", news.text);
        self.listener.event(ControllerEvent {
            controller: name.clone(),
            evse: news.connector.map(evse_id),
            level: news.level,
            code: news.code,
            text: news.text,
            cleared: news.cleared,
        });
    }

    /// The first failure is told, the tries after it are not.
    fn report_closed(&mut self, error: &io::Error) {
        let reason = error.to_string();
        if self.reported_closed.is_none() {
            let port = &self.settings.port;
            let advice = match port {
                PortSpec::Serial(_) => {
                    "check that the adapter is plugged in, that no other program uses it, and that this user may open it \
                     (group dialout); a name under /dev/serial/by-id stays the same"
                }
                _ => "check that the gateway is on, that address and port are right, and that no other client holds it",
            };
            self.tell(News {
                connector: None,
                level: EventLevel::Warning,
                code: "port_closed",
                text: format!("the port {port} is not open: {reason}. It is tried again and again; {advice}"),
                cleared: false,
            });
        }
        self.reported_closed = Some(reason);
    }

    fn report_open(&mut self, after_failures: bool) {
        let port = &self.settings.port;
        let cleared = self.reported_closed.take().is_some();
        let text = format!("the port {port} is open{}", if after_failures { " again" } else { "" });
        self.tell(News { connector: None, level: EventLevel::Info, code: "port_closed", text, cleared });
    }

    /// Advises on the wiring when too many frames arrive damaged.
    fn judge_line(&self, state: &mut Loop) {
        let counters = state.decoder.counters();
        let (good, bad) = (u64::from(counters.frames), u64::from(counters.rejected()));
        let (new_good, new_bad) = (good.saturating_sub(state.judged.0), bad.saturating_sub(state.judged.1));
        if new_good + new_bad < JUDGED_FRAMES {
            return;
        }
        state.judged = (good, bad);
        let is_bad = new_bad * 100 > BAD_LINE_PERCENT * (new_good + new_bad);
        if is_bad != state.line_is_bad {
            state.line_is_bad = is_bad;
            let percent = new_bad * 100 / (new_good + new_bad);
            let text = if is_bad {
                format!(
                    "{percent} of 100 frames arrive damaged: put 120 ohms between D+ and D- at both ends, twist the pair to the \
                     very end, connect the adapter's ground, keep the line away from mains cables, or try another adapter"
                )
            } else {
                "the line is clean again".to_owned()
            };
            let level = if is_bad { EventLevel::Warning } else { EventLevel::Info };
            self.tell(News { connector: None, level, code: "bad_line", text, cleared: !is_bad });
        }
    }

    fn publish_bus(&self, state: &Loop, now: Instant) {
        let counters = state.decoder.counters();
        let mut bus = BusStatus::unopened(now, &self.settings);
        state.role.describe(&mut bus, now);
        bus.port_error.clone_from(&self.reported_closed);
        bus.frames_in = u64::from(counters.frames);
        bus.frames_out = self.frames_out;
        bus.too_short = u64::from(counters.too_short);
        bus.too_long = u64::from(counters.too_long);
        bus.bad_escape = u64::from(counters.bad_escape);
        bus.bad_checksum = u64::from(counters.bad_checksum);
        bus.salvaged = u64::from(counters.salvaged);
        bus.reconnects = self.reconnects;
        bus.restarts = self.restarts;
        *self.published.bus.lock().unwrap_or_else(PoisonError::into_inner) = bus;
    }

    /// Waits for bytes, the bell or the deadline. Returns whether the port is readable.
    fn wait(&self, port: Option<&Port>, deadline: Option<Instant>, now: Instant) -> bool {
        let ear = PollFd::from_borrowed_fd(self.mailbox.ear(), PollFlags::IN);
        let mut fds = vec![ear];
        if let Some(port) = port {
            fds.push(PollFd::from_borrowed_fd(port.fd(), PollFlags::IN));
        }
        let timeout =
            deadline.map(|at| at.saturating_duration_since(now)).and_then(|time| Timespec::try_from(time).ok());
        match poll(&mut fds, timeout.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => log::error!("{}: poll failed: {error}", self.settings.name),
        }
        let woken = |index: usize| fds.get(index).is_some_and(|fd| !fd.revents().is_empty());
        if woken(0) {
            self.mailbox.hush();
        }
        woken(1)
    }
}

fn back_off(tries: usize) -> Duration {
    BACK_OFF.get(tries).copied().unwrap_or(Duration::from_secs(30))
}
