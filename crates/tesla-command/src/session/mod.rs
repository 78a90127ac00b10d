//! A conversation with one computer of one car: bytes and times in, bytes and results out.

mod compose;
mod link;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::command::Command;
use crate::error::{CommandError, Distrust};
use crate::fault::{Fault, Reaction};
use crate::key::{PrivateKey, PublicKey};
use crate::random::Random;
use crate::reply::{Answer, Refusal, Reply, parse};
use crate::routable::{Destination, Domain, OperationStatus, Payload, RoutableMessage, Signature};
use crate::vin::Vin;
use link::{Link, Rejected, Told};

/// How the bytes travel. It decides how a command is authenticated and how long is waited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// Tesla's Fleet API, which must be able to read commands: they are signed with HMAC-SHA256.
    Internet,
    /// A direct link: commands and, where the car can, answers are encrypted with AES-128-GCM.
    Bluetooth,
}

impl Transport {
    /// How old the answer to a request for a session may be (the vendor's client: 10 s and 4 s).
    fn greeting_window(self) -> Duration {
        match self {
            Self::Internet => Duration::from_secs(10),
            Self::Bluetooth => Duration::from_secs(4),
        }
    }

    /// How long a command stays valid in the car. Below 30 s, which the car takes for too long in some cases.
    fn lifetime(self) -> Duration {
        match self {
            Self::Internet => Duration::from_secs(12),
            Self::Bluetooth => Duration::from_secs(5),
        }
    }

    /// How long an answer is waited for: longer than the command lives, so that one given up can no longer be done.
    fn answer_window(self) -> Duration {
        self.lifetime() + Duration::from_secs(3)
    }
}

/// Pause before a busy car is asked again (the vendor's client: 1 s).
const RETRY_PAUSE: Duration = Duration::from_secs(1);

/// How often one command is repeated, for whatever reasons.
const MAX_REPEATS: u8 = 4;

/// What the session wants done. Taken from [`Session::poll_output`] in this order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Keep this for [`Session::restore`], before the next output is acted on. Holds no secret.
    Save(Vec<u8>),
    /// Bring these bytes, a whole message, to the car.
    Send(Vec<u8>),
    /// The command is over.
    Finished {
        /// Which.
        command: Command,
        /// The car's word, or why there is none.
        result: Result<Result<Answer, Refusal>, CommandError>,
    },
    /// The car has another key than before: its computer was replaced, or it is another car. Worth a warning.
    CarKeyChanged {
        /// The key that it has now.
        now: PublicKey,
    },
}

/// Why a command was not begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NotBegun {
    /// Another one is still under way.
    #[error("the car is still busy with another command: send this one when that has finished")]
    Busy,
    /// It belongs to the car's other computer.
    #[error("`{0}` belongs to the car's other computer: give it to the session of its domain")]
    OtherDomain(Command),
}

/// What became of bytes that were handed in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heard {
    /// They answered what was asked.
    Taken,
    /// They answered nothing that is waited for: late, of another request, or the car talking of its own accord.
    NotAwaited,
    /// They are no message.
    Unreadable,
}

/// What a transport knows about a message that it failed to deliver.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivery {
    /// It surely did not reach the car, as when the car sleeps.
    NotSent,
    /// It may have, as when a connection breaks before the answer.
    Unknown,
}

/// A conversation with one computer of one car.
///
/// | family | call | when |
/// |---|---|---|
/// | feed | [`begin`](Self::begin) | a command is wanted; one at a time |
/// | feed | [`handle_bytes`](Self::handle_bytes) | a message came from the car |
/// | feed | [`handle_failure`](Self::handle_failure) | a message could not be delivered |
/// | time | [`handle_timeout`](Self::handle_timeout) | [`next_timeout`](Self::next_timeout) has come |
/// | drain | [`poll_output`](Self::poll_output) | after each of these, until `None` |
///
/// A session is agreed on when the first command needs it and kept; epoch, counter and clock are mended when the car
/// says that they are out of step, and the command is repeated. A car's refusal is never repeated here.
pub struct Session {
    key: PrivateKey,
    vin: Vin,
    domain: Domain,
    transport: Transport,
    /// How long a command stays valid in the car.
    lifetime: Duration,
    random: Box<dyn Random + Send>,
    link: Option<Link>,
    /// The car said that the link is out of step: greet before the next command.
    is_stale: bool,
    /// The car answers only encrypted.
    wants_encrypted_reply: bool,
    work: Work,
    outputs: VecDeque<Output>,
}

#[derive(Debug)]
enum Work {
    Idle,
    Waiting(Waiting),
    Pausing { until: Instant, job: Job },
}

/// A command on its way.
#[derive(Debug, Clone, Copy)]
struct Job {
    command: Command,
    repeats_left: u8,
}

/// A message whose answer is awaited.
#[derive(Debug)]
struct Waiting {
    job: Job,
    asked: Asked,
    uuid: [u8; 16],
    address: [u8; 16],
    until: Instant,
    /// Counters of encrypted answers that were read.
    seen: Vec<u32>,
}

#[derive(Debug)]
enum Asked {
    SessionInfo,
    Unsigned,
    /// A signed command, by the hash that an encrypted answer names.
    Signed(Vec<u8>),
}

impl Waiting {
    /// Whether a message answers this one. The security computer leaves the uuid out.
    fn is_answered_by(&self, domain: Domain, message: &RoutableMessage) -> bool {
        if message.from.as_ref().is_some_and(|from| *from != Destination::Domain(u32::from(domain.number()))) {
            return false;
        }
        if message.request_uuid.is_empty() {
            message.to.as_ref().is_some_and(|to| *to == Destination::Address(self.address.to_vec()))
        } else {
            message.request_uuid == self.uuid
        }
    }
}

impl Session {
    /// Makes a session; nothing is sent before a command is wanted.
    #[must_use]
    pub fn new(
        key: PrivateKey,
        vin: Vin,
        domain: Domain,
        transport: Transport,
        random: Box<dyn Random + Send>,
    ) -> Self {
        Self {
            key,
            vin,
            domain,
            transport,
            lifetime: transport.lifetime(),
            random,
            link: None,
            is_stale: false,
            wants_encrypted_reply: transport == Transport::Bluetooth,
            work: Work::Idle,
            outputs: VecDeque::new(),
        }
    }

    /// Takes up what [`Output::Save`] gave `age` ago, which spares a round trip. Bytes that are no use are ignored, and
    /// `false` returned: the session then starts as if new.
    pub fn restore(&mut self, now: Instant, saved: &[u8], age: Duration) -> bool {
        if self.link.is_none() {
            self.link = Link::from_saved(&self.key, now, saved, age).ok();
        }
        self.link.is_some()
    }

    /// Begins a command.
    ///
    /// # Errors
    /// When another is under way, or it belongs to the other computer: nothing is sent then.
    pub fn begin(&mut self, now: Instant, command: Command) -> Result<(), NotBegun> {
        if command.domain() != self.domain {
            return Err(NotBegun::OtherDomain(command));
        }
        if !self.is_idle() {
            return Err(NotBegun::Busy);
        }
        self.proceed(now, Job { command, repeats_left: MAX_REPEATS });
        Ok(())
    }

    /// Takes a message from the car: any bytes at all.
    pub fn handle_bytes(&mut self, now: Instant, bytes: &[u8]) -> Heard {
        let Ok(message) = RoutableMessage::decode(bytes) else { return Heard::Unreadable };
        match std::mem::replace(&mut self.work, Work::Idle) {
            Work::Waiting(waiting) if now < waiting.until && waiting.is_answered_by(self.domain, &message) => {
                self.take_answer(now, waiting, &message)
            }
            other => {
                self.work = other;
                Heard::NotAwaited
            }
        }
    }

    /// Takes note that the last message sent could not be delivered, or that its answer will not come.
    pub fn handle_failure(&mut self, delivery: Delivery) {
        match std::mem::replace(&mut self.work, Work::Idle) {
            Work::Waiting(Waiting { job, asked, .. }) => self.finish(
                job,
                Err(match (asked, delivery) {
                    (Asked::Signed(_), Delivery::Unknown) => CommandError::Unconfirmed,
                    _ => CommandError::NotSent,
                }),
            ),
            other => self.work = other,
        }
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        match std::mem::replace(&mut self.work, Work::Idle) {
            Work::Waiting(Waiting { job, asked, until, .. }) if now >= until => match asked {
                Asked::Signed(_) => self.finish(job, Err(CommandError::Unconfirmed)),
                Asked::SessionInfo | Asked::Unsigned => self.repeat(now, job, None, CommandError::NoAnswer),
            },
            Work::Pausing { until, job } if now >= until => self.proceed(now, job),
            other => self.work = other,
        }
    }

    /// When [`Session::handle_timeout`] is due; `None` while nothing is under way.
    #[must_use]
    pub fn next_timeout(&self) -> Option<Instant> {
        match &self.work {
            Work::Idle => None,
            Work::Waiting(Waiting { until, .. }) | Work::Pausing { until, .. } => Some(*until),
        }
    }

    /// The next thing to do.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Whether a command may begin.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        matches!(self.work, Work::Idle)
    }

    /// The computer that this session speaks to.
    #[must_use]
    pub fn domain(&self) -> Domain {
        self.domain
    }

    /// Sends what the command needs next.
    fn proceed(&mut self, now: Instant, job: Job) {
        let sent = if !job.command.needs_session() {
            self.send_unsigned(now, job)
        } else if self.link.is_none() || self.is_stale {
            self.send_greeting(now, job)
        } else {
            self.send_signed(now, job)
        };
        if let Err(error) = sent {
            self.finish(job, Err(error));
        }
    }

    fn take_answer(&mut self, now: Instant, mut waiting: Waiting, message: &RoutableMessage) -> Heard {
        let told = match &message.payload {
            Some(Payload::SessionInfo(info)) => Some(self.learn(now, &waiting, info, message.signature.as_ref())),
            _ => None,
        };
        let job = waiting.job;
        match (told, message.status.fault) {
            (Some(Err(Rejected::NotPaired)), _) => self.finish(job, Err(CommandError::NotPaired)),
            (_, Some(fault)) => self.react(now, job, fault, matches!(told, Some(Ok(())))),
            // The car's own account of the session, for our greeting or in place of doing a command.
            (Some(Ok(())), None) if matches!(waiting.asked, Asked::SessionInfo) => self.proceed(now, job),
            (Some(Ok(())), None) => self.repeat(now, job, None, Fault::InvalidCounter.into()),
            (Some(Err(why)), None) => {
                let why = if let Rejected::Distrusted(why) = why { why } else { Distrust::WrongTag };
                self.is_stale = true;
                self.repeat(now, job, Some(RETRY_PAUSE), CommandError::Untrusted(why));
            }
            (None, None) if message.status.operation == OperationStatus::Wait => {
                self.repeat(now, job, Some(RETRY_PAUSE), Fault::Busy.into());
            }
            (None, None) => match self.read_reply(&mut waiting, message) {
                Some(Reply::Final(result)) => self.finish(job, Ok(result)),
                Some(Reply::Wait) => self.work = Work::Waiting(waiting),
                None => {
                    self.work = Work::Waiting(waiting);
                    return Heard::NotAwaited;
                }
            },
        }
        Heard::Taken
    }

    /// Takes a session info. Only one that was asked for may bring another key of the car.
    fn learn(&mut self, now: Instant, waiting: &Waiting, info: &[u8], by: Option<&Signature>) -> Result<(), Rejected> {
        let tag = if let Some(Signature::SessionInfo { tag }) = by { tag.as_slice() } else { &[] };
        let told = Told { now, challenge: &waiting.uuid, info, tag };
        let updated = self.link.as_mut().map(|link| link.update(self.vin, told));
        match (updated, &waiting.asked) {
            (Some(Ok(())), _) => {}
            (None, _) | (Some(Err(Rejected::OtherKey)), Asked::SessionInfo) => {
                let link = Link::greet(&self.key, self.vin, told)?;
                if updated.is_some() {
                    self.outputs.push_back(Output::CarKeyChanged { now: link.car() });
                }
                self.link = Some(link);
            }
            (Some(Err(why)), _) => return Err(why),
        }
        self.is_stale = false;
        Ok(())
    }

    fn react(&mut self, now: Instant, job: Job, fault: Fault, is_informed: bool) {
        match fault.reaction() {
            Reaction::RepeatShortly => self.repeat(now, job, Some(RETRY_PAUSE), fault.into()),
            Reaction::Resynchronise => {
                self.is_stale = !is_informed;
                self.repeat(now, job, None, fault.into());
            }
            Reaction::AskForEncryption if !self.wants_encrypted_reply => {
                self.wants_encrypted_reply = true;
                self.repeat(now, job, None, fault.into());
            }
            Reaction::AskForEncryption | Reaction::Stop => self.finish(job, Err(fault.into())),
        }
    }

    /// Repeats a command that was surely not done, at once or after a pause; gives up with `error` in the end.
    fn repeat(&mut self, now: Instant, job: Job, pause: Option<Duration>, error: CommandError) {
        let Some(repeats_left) = job.repeats_left.checked_sub(1) else { return self.finish(job, Err(error)) };
        let job = Job { repeats_left, ..job };
        match pause {
            Some(pause) => self.work = Work::Pausing { until: now + pause, job },
            None => self.proceed(now, job),
        }
    }

    /// What the car says to the command; `None` when it says nothing that can be read and believed.
    fn read_reply(&self, waiting: &mut Waiting, message: &RoutableMessage) -> Option<Reply> {
        let payload = match (&message.payload, &message.signature) {
            (Some(Payload::Message(sealed)), Some(Signature::AesGcmResponse { nonce, counter, tag })) => {
                if waiting.seen.contains(counter) {
                    return None;
                }
                let plain = self.open_reply(&waiting.asked, message, (nonce, *counter), (sealed, tag))?;
                waiting.seen.push(*counter);
                plain
            }
            (Some(Payload::Message(plain)), _) => plain.clone(),
            // The security computer accepts by saying nothing.
            (None, _) if matches!((self.domain, &waiting.asked), (Domain::VehicleSecurity, Asked::Signed(_))) => {
                Vec::new()
            }
            _ => return None,
        };
        if message.status.operation == OperationStatus::Error || matches!(waiting.asked, Asked::SessionInfo) {
            return None;
        }
        parse(waiting.job.command, &payload).ok()
    }

    fn finish(&mut self, job: Job, result: Result<Result<Answer, Refusal>, CommandError>) {
        self.work = Work::Idle;
        self.outputs.push_back(Output::Finished { command: job.command, result });
    }
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session")
            .field("vin", &self.vin)
            .field("domain", &self.domain)
            .field("transport", &self.transport)
            .field("work", &self.work)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
