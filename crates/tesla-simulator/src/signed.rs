//! The car's side of signed commands: handshakes, signatures, counters, faults.
//!
//! Written from the vendor's description (`pkg/protocol/protocol.md` of <https://github.com/teslamotors/vehicle-command>)
//! and checked against its vectors. It shares no code with the side that signs.

use std::collections::VecDeque;
use std::time::Duration;

use hmac::{Hmac, KeyInit, Mac};
use p256::elliptic_curve::sec1::ToSec1Point;
use p256::{PublicKey, SecretKey};
use sha1::Sha1;
use sha2::{Digest, Sha256};

use crate::proto::{Fields, Writer};

/// Domain of the vehicle security controller.
pub(crate) const VCSEC: u64 = 2;
/// Domain of infotainment.
pub(crate) const INFOTAINMENT: u64 = 3;

const TAG_TYPE_SESSION_INFO: u8 = 6;
const TAG_TYPE_COMMAND: u8 = 8;
/// How many counters below the highest one may still arrive.
const WINDOW: u32 = 32;
/// A command out of order may not live longer.
const LONGEST_OUT_OF_ORDER: u64 = 30;
/// No command may live longer.
const LONGEST_LIFE: u64 = 1 << 30;

/// The numbers a car gives as reasons not to accept a message.
pub mod fault {
    /// Starting up: try again.
    pub const BUSY: u32 = 1;
    /// The key is not paired.
    pub const UNKNOWN_KEY: u32 = 3;
    /// The key is disabled.
    pub const INACTIVE_KEY: u32 = 4;
    /// The signature is wrong.
    pub const INVALID_SIGNATURE: u32 = 5;
    /// The counter was used.
    pub const INVALID_COUNTER: u32 = 6;
    /// The key may not do that.
    pub const INSUFFICIENT_PRIVILEGES: u32 = 7;
    /// No such domain.
    pub const INVALID_DOMAIN: u32 = 8;
    /// No such command.
    pub const INVALID_COMMAND: u32 = 9;
    /// Not a message.
    pub const DECODING: u32 = 10;
    /// Starting up: try again.
    pub const INTERNAL: u32 = 11;
    /// The epoch is another one since.
    pub const WRONG_EPOCH: u32 = 15;
    /// Came too late.
    pub const EXPIRED: u32 = 17;
    /// Lives too long.
    pub const LIVES_TOO_LONG: u32 = 20;
    /// Mobile access is off in the car.
    pub const REMOTE_ACCESS_DISABLED: u32 = 21;

    /// The faults that carry fresh session info.
    pub(crate) const OUT_OF_STEP: [u32; 5] = [INVALID_SIGNATURE, INVALID_COUNTER, WRONG_EPOCH, EXPIRED, LIVES_TOO_LONG];
}

/// What a paired key may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// All that is asked of it here.
    Active,
    /// Nothing: fault 4.
    Inactive,
    /// Handshakes, and no commands: fault 7.
    Powerless,
}

/// A car's keys, epochs and sessions.
#[derive(Debug, Clone)]
pub struct Security {
    vin: String,
    boots: u32,
    infotainment: Endpoint,
    vehicle: Endpoint,
    keys: Vec<(Vec<u8>, Standing)>,
    faults: VecDeque<u32>,
}

#[derive(Debug, Clone)]
struct Endpoint {
    domain: u64,
    secret: SecretKey,
    epoch: [u8; 16],
    began: Duration,
    sessions: Vec<(Vec<u8>, Window)>,
}

/// Which counters of a session were used.
#[derive(Debug, Clone, Copy, Default)]
struct Window {
    highest: u32,
    /// Bit n: `highest - 1 - n` was used.
    used: u32,
    is_open: bool,
}

/// A message that the car understood as far as its envelope.
#[derive(Debug, Clone)]
pub(crate) struct Envelope {
    domain: u64,
    sender: Vec<u8>,
    uuid: Vec<u8>,
    pub(crate) is_encrypted: bool,
    message: Fields,
}

/// What a message turned out to be.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Heard {
    /// Answered already: a handshake or a fault.
    Answered { reply: Vec<u8>, fault: u32 },
    /// Genuine: the payload for this domain.
    Payload { domain: u64, payload: Vec<u8> },
}

impl Security {
    pub(crate) fn new(vin: &str) -> Self {
        let mut security = Security {
            vin: vin.to_owned(),
            boots: 0,
            infotainment: Endpoint::new(INFOTAINMENT, vin),
            vehicle: Endpoint::new(VCSEC, vin),
            keys: Vec::new(),
            faults: VecDeque::new(),
        };
        security.new_epochs(Duration::ZERO);
        security
    }

    /// Adds a key that may command this car: 65 bytes, `04…`.
    pub fn pair(&mut self, public_key: &[u8]) {
        self.pair_as(public_key, Standing::Active);
    }

    /// Adds a key, or changes what it may do.
    pub fn pair_as(&mut self, public_key: &[u8], standing: Standing) {
        self.unpair(public_key);
        self.keys.push((public_key.to_vec(), standing));
    }

    /// Removes a key.
    pub fn unpair(&mut self, public_key: &[u8]) {
        self.keys.retain(|(key, _)| key != public_key);
    }

    /// Whether this key is on the list.
    #[must_use]
    pub fn is_paired(&self, public_key: &[u8]) -> bool {
        self.standing(public_key).is_some()
    }

    /// How many keys are on the list.
    #[must_use]
    pub fn key_count(&self) -> usize {
        self.keys.len()
    }

    /// The car's computers restart at `now`: all sessions are gone, new epochs begin.
    pub fn reboot(&mut self, now: Duration) {
        self.boots += 1;
        self.new_epochs(now);
    }

    /// The next message that is no handshake gets this fault, whatever it says.
    pub fn fault_next(&mut self, fault: u32) {
        self.faults.push_back(fault);
    }

    /// The public key of infotainment, 65 bytes.
    #[must_use]
    pub fn public_key(&self) -> Vec<u8> {
        self.infotainment.public_key()
    }

    pub(crate) fn use_key(&mut self, private_key: &[u8; 32], epoch: [u8; 16]) {
        self.infotainment.secret =
            SecretKey::from_slice(private_key).unwrap_or_else(|_| panic!("these 32 bytes are no private key on P-256"));
        self.infotainment.epoch = epoch;
    }

    fn new_epochs(&mut self, now: Duration) {
        for endpoint in [&mut self.infotainment, &mut self.vehicle] {
            let seed = format!("{} {} epoch {}", self.vin, endpoint.domain, self.boots);
            endpoint.epoch = first(&Sha256::digest(seed.as_bytes()));
            endpoint.began = now;
            endpoint.sessions.clear();
        }
    }

    fn standing(&self, key: &[u8]) -> Option<Standing> {
        self.keys.iter().find(|(paired, _)| paired == key).map(|(_, standing)| *standing)
    }

    fn endpoint(&mut self, domain: u64) -> Option<&mut Endpoint> {
        match domain {
            INFOTAINMENT => Some(&mut self.infotainment),
            VCSEC => Some(&mut self.vehicle),
            _ => None,
        }
    }

    /// Judges a message at `now`.
    pub(crate) fn hear(&mut self, now: Duration, envelope: &Envelope, trouble: Option<u32>) -> Heard {
        let vin = self.vin.clone();
        let message = &envelope.message;
        if let Some(request) = message.message(14) {
            let key = request.bytes(1).unwrap_or_default();
            let is_paired = self.is_paired(key);
            return match self
                .endpoint(envelope.domain)
                .map(|endpoint| endpoint.handshake(now, &vin, key, &envelope.uuid))
            {
                None => envelope.refuse(fault::INVALID_DOMAIN),
                Some(None) => envelope.refuse(fault::UNKNOWN_KEY),
                Some(Some(handshake)) => {
                    let info = handshake.info(if is_paired { 0 } else { 1 });
                    Heard::Answered { reply: envelope.reply_with_info(&handshake, &info, 0), fault: 0 }
                }
            };
        }
        let signature = message.message(13);
        let key = signature
            .as_ref()
            .and_then(|signature| signature.message(1))
            .and_then(|signer| signer.bytes(1).map(<[u8]>::to_vec))
            .unwrap_or_default();
        let forced = self.faults.pop_front().or(trouble);
        let verdict = match forced {
            Some(fault) => Err(fault),
            None => self.verify(now, envelope, &key, signature.as_ref()),
        };
        match verdict {
            Ok(payload) => Heard::Payload { domain: envelope.domain, payload },
            Err(fault) if fault::OUT_OF_STEP.contains(&fault) => {
                let status = if self.is_paired(&key) { 0 } else { 1 };
                let handshake = self
                    .endpoint(envelope.domain)
                    .and_then(|endpoint| endpoint.handshake(now, &vin, &key, &envelope.uuid));
                match handshake {
                    None => envelope.refuse(fault),
                    Some(handshake) => {
                        let info = handshake.info(status);
                        Heard::Answered { reply: envelope.reply_with_info(&handshake, &info, fault), fault }
                    }
                }
            }
            Err(fault) => envelope.refuse(fault),
        }
    }

    fn verify(
        &mut self,
        now: Duration,
        envelope: &Envelope,
        key: &[u8],
        signature: Option<&Fields>,
    ) -> Result<Vec<u8>, u32> {
        let payload = envelope.message.bytes(10).ok_or(fault::DECODING)?.to_vec();
        let flags = u32::try_from(envelope.message.number(52)).map_err(|_| fault::DECODING)?;
        let Some(signature) = signature else {
            // The security controller tells its status to anybody.
            let is_status = envelope.domain == VCSEC && payload.starts_with(&[0x0a]);
            return if is_status { Ok(payload) } else { Err(fault::INVALID_SIGNATURE) };
        };
        let standing = self.standing(key).ok_or(fault::UNKNOWN_KEY)?;
        if standing == Standing::Inactive {
            return Err(fault::INACTIVE_KEY);
        }
        let vin = self.vin.clone();
        let endpoint = self.endpoint(envelope.domain).ok_or(fault::INVALID_DOMAIN)?;
        let tag = signature.message(8).ok_or(fault::INVALID_SIGNATURE)?;
        endpoint.verify(now, &vin, key, &tag, flags, &payload)?;
        if standing == Standing::Powerless { Err(fault::INSUFFICIENT_PRIVILEGES) } else { Ok(payload) }
    }
}

impl Endpoint {
    fn new(domain: u64, vin: &str) -> Self {
        let mut seed = Sha256::digest(format!("{vin} {domain} key").as_bytes());
        let secret = loop {
            // All but one in 2^32 hashes are private keys.
            match SecretKey::from_slice(&seed) {
                Ok(secret) => break secret,
                Err(_) => seed = Sha256::digest(seed),
            }
        };
        Endpoint { domain, secret, epoch: [0; 16], began: Duration::ZERO, sessions: Vec::new() }
    }

    fn public_key(&self) -> Vec<u8> {
        self.secret.public_key().to_sec1_point(false).as_bytes().to_vec()
    }

    fn clock(&self, now: Duration) -> u64 {
        now.saturating_sub(self.began).as_secs()
    }

    fn shared_key(&self, key: &[u8]) -> Option<[u8; 16]> {
        let theirs = PublicKey::from_sec1_bytes(key).ok()?;
        let shared = self.secret.diffie_hellman(&theirs);
        Some(first(&Sha1::digest(shared.raw_secret_bytes())))
    }

    fn window(&mut self, key: &[u8]) -> &mut Window {
        let index = self.sessions.iter().position(|(session, _)| session == key).unwrap_or_else(|| {
            self.sessions.push((key.to_vec(), Window::default()));
            self.sessions.len() - 1
        });
        &mut self.sessions[index].1
    }

    fn handshake(&mut self, now: Duration, vin: &str, key: &[u8], uuid: &[u8]) -> Option<Handshake> {
        let shared = self.shared_key(key)?;
        let counter = self.window(key).highest;
        Some(Handshake {
            secret: hmac(&shared, &[b"session info"]),
            metadata: metadata(&[(0, &[TAG_TYPE_SESSION_INFO]), (2, vin.as_bytes()), (6, uuid)]),
            counter,
            public_key: self.public_key(),
            epoch: self.epoch,
            clock: u32::try_from(self.clock(now)).unwrap_or(u32::MAX),
        })
    }

    fn verify(
        &mut self,
        now: Duration,
        vin: &str,
        key: &[u8],
        tag: &Fields,
        flags: u32,
        payload: &[u8],
    ) -> Result<(), u32> {
        let epoch = tag.bytes(1).unwrap_or_default();
        let counter = u32::try_from(tag.number(2)).map_err(|_| fault::DECODING)?;
        let expires = tag.number(3);
        if epoch != self.epoch {
            return Err(fault::WRONG_EPOCH);
        }
        let clock = self.clock(now);
        if expires < clock {
            return Err(fault::EXPIRED);
        }
        if expires - clock > LONGEST_LIFE {
            return Err(fault::LIVES_TOO_LONG);
        }
        let shared = self.shared_key(key).ok_or(fault::UNKNOWN_KEY)?;
        let domain = [u8::try_from(self.domain).map_err(|_| fault::INVALID_DOMAIN)?];
        let expires_bytes = u32::try_from(expires).map_err(|_| fault::DECODING)?.to_be_bytes();
        let (counter_bytes, flag_bytes) = (counter.to_be_bytes(), flags.to_be_bytes());
        let mut parts: Vec<(u8, &[u8])> = vec![
            (0, &[TAG_TYPE_COMMAND]),
            (1, &domain),
            (2, vin.as_bytes()),
            (3, epoch),
            (4, &expires_bytes),
            (5, &counter_bytes),
        ];
        if flags != 0 {
            parts.push((7, &flag_bytes));
        }
        let command_key = hmac(&shared, &[b"authenticated command"]);
        if tag.bytes(4).unwrap_or_default() != hmac(&command_key, &[&metadata(&parts), payload]) {
            return Err(fault::INVALID_SIGNATURE);
        }
        let window = self.window(key);
        let is_in_order = counter > window.highest;
        if (!is_in_order || counter == 0) && expires - clock > LONGEST_OUT_OF_ORDER {
            return Err(fault::LIVES_TOO_LONG);
        }
        if window.take(counter) { Ok(()) } else { Err(fault::INVALID_COUNTER) }
    }
}

impl Window {
    /// Takes a counter; false when it was used or is too old.
    fn take(&mut self, counter: u32) -> bool {
        if counter > self.highest || !self.is_open {
            let step = counter.saturating_sub(self.highest);
            // The one that was highest so far becomes bit `step - 1`; zero was never used before the first.
            let was_used = u32::from(self.is_open);
            self.used = self.used.checked_shl(step).unwrap_or(0)
                | if step == 0 { 0 } else { was_used.checked_shl(step - 1).unwrap_or(0) };
            self.highest = counter;
            self.is_open = true;
            return true;
        }
        let below = self.highest - counter;
        if below == 0 || below > WINDOW {
            return false;
        }
        let bit = 1 << (below - 1);
        let is_new = self.used & bit == 0;
        self.used |= bit;
        is_new
    }
}

#[derive(Debug)]
struct Handshake {
    secret: [u8; 32],
    metadata: Vec<u8>,
    counter: u32,
    public_key: Vec<u8>,
    epoch: [u8; 16],
    clock: u32,
}

impl Handshake {
    fn info(&self, status: u64) -> Vec<u8> {
        Writer::new()
            .number(1, u64::from(self.counter))
            .bytes(2, &self.public_key)
            .bytes(3, &self.epoch)
            .fixed(4, self.clock)
            .number(5, status)
            .done()
    }

    fn tag(&self, info: &[u8]) -> [u8; 32] {
        hmac(&self.secret, &[&self.metadata, info])
    }
}

impl Envelope {
    /// Opens a message; `None` when it is none.
    pub(crate) fn open(bytes: &[u8]) -> Option<Envelope> {
        let message = Fields::read(bytes)?;
        let signature = message.message(13);
        Some(Envelope {
            domain: message.message(6)?.number(1),
            sender: message.message(7).and_then(|from| from.bytes(2).map(<[u8]>::to_vec)).unwrap_or_default(),
            uuid: message.bytes(51).unwrap_or_default().to_vec(),
            is_encrypted: signature.is_some_and(|signature| signature.has(5)),
            message,
        })
    }

    fn begin(&self) -> Writer {
        Writer::new().message(6, Writer::new().bytes(2, &self.sender)).message(7, Writer::new().number(1, self.domain))
    }

    /// The security controller leaves the number of the request out.
    fn end(&self, writer: Writer) -> Vec<u8> {
        let writer = if self.domain == VCSEC { writer } else { writer.bytes(50, &self.uuid) };
        writer.done()
    }

    fn refuse(&self, fault: u32) -> Heard {
        let status = Writer::new().number(1, 2).number(2, u64::from(fault));
        Heard::Answered { reply: self.end(self.begin().message(12, status)), fault }
    }

    fn reply_with_info(&self, handshake: &Handshake, info: &[u8], fault: u32) -> Vec<u8> {
        let mut reply = self.begin();
        if fault != 0 {
            reply = reply.message(12, Writer::new().number(1, 2).number(2, u64::from(fault)));
        }
        let tag = Writer::new().bytes(1, &handshake.tag(info));
        self.end(reply.message(13, Writer::new().message(6, tag)).bytes(15, info))
    }

    /// An answer to a message that was accepted.
    pub(crate) fn reply(&self, payload: Option<&[u8]>) -> Vec<u8> {
        let reply = self.begin();
        self.end(match payload {
            Some(payload) => reply.bytes(10, payload),
            None => reply,
        })
    }

    /// An answer to a message whose payload the car does not know.
    pub(crate) fn reply_fault(&self, fault: u32) -> Vec<u8> {
        match self.refuse(fault) {
            Heard::Answered { reply, .. } => reply,
            Heard::Payload { payload, .. } => payload,
        }
    }
}

fn metadata(parts: &[(u8, &[u8])]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (tag, value) in parts {
        bytes.push(*tag);
        bytes.push(u8::try_from(value.len()).unwrap_or(u8::MAX));
        bytes.extend(*value);
    }
    bytes.push(0xff);
    bytes
}

fn hmac(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("an HMAC takes a key of any length");
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

fn first<const N: usize>(bytes: &[u8]) -> [u8; N] {
    let mut taken = [0; N];
    for (to, from) in taken.iter_mut().zip(bytes) {
        *to = *from;
    }
    taken
}

#[cfg(test)]
mod tests;
