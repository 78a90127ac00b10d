//! A car that shares no code with the crate: its own reading of the bytes, and `ring` for the cryptography.

use std::time::{Duration, Instant};

use ring::aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use ring::agreement::{ECDH_P256, EphemeralPrivateKey, UnparsedPublicKey, agree_ephemeral};
use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, SHA256, digest};
use ring::hmac;
use ring::rand::SystemRandom;

pub const VIN: &str = "5YJ30123456789ABC";

/// Numbers and bytes of a message by field.
#[derive(Default)]
pub struct Message(Vec<(u64, Vec<u8>)>);

impl Message {
    pub fn read(mut bytes: &[u8]) -> Self {
        fn number(bytes: &mut &[u8]) -> u64 {
            let mut value = 0;
            for index in 0.. {
                let byte = bytes[0];
                *bytes = &bytes[1..];
                value |= u64::from(byte & 0x7f) << (7 * index);
                if byte < 0x80 {
                    break;
                }
            }
            value
        }
        let mut fields = Vec::new();
        while !bytes.is_empty() {
            let key = number(&mut bytes);
            let value = match key % 8 {
                0 => number(&mut bytes).to_le_bytes().to_vec(),
                kind => {
                    let length = if kind == 2 { usize::try_from(number(&mut bytes)).unwrap() } else { 4 };
                    let (value, rest) = bytes.split_at(length);
                    bytes = rest;
                    value.to_vec()
                }
            };
            fields.push((key / 8, value));
        }
        Self(fields)
    }

    pub fn get(&self, field: u64) -> Option<&[u8]> {
        self.0.iter().find(|(number, _)| *number == field).map(|(_, value)| value.as_slice())
    }

    pub fn message(&self, field: u64) -> Self {
        self.get(field).map_or_else(Self::default, Self::read)
    }

    pub fn number(&self, field: u64) -> u32 {
        self.get(field).map_or(0, |value| u32::from_le_bytes(value[..4].try_into().unwrap()))
    }
}

fn varint(mut value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value >= 0x80 {
        bytes.push(u8::try_from(value & 0x7f).unwrap() | 0x80);
        value >>= 7;
    }
    bytes.push(u8::try_from(value).unwrap());
    bytes
}

pub fn put(field: u64, value: &[u8]) -> Vec<u8> {
    [varint(field * 8 + 2), varint(value.len() as u64), value.to_vec()].concat()
}

pub fn put_number(field: u64, value: u32) -> Vec<u8> {
    [varint(field * 8), varint(u64::from(value))].concat()
}

fn tlv(parts: &[(u8, &[u8])]) -> Vec<u8> {
    let mut bytes: Vec<u8> =
        parts.iter().flat_map(|(tag, value)| [&[*tag, u8::try_from(value.len()).unwrap()], *value].concat()).collect();
    bytes.push(255);
    bytes
}

/// How the car takes the next commands.
#[derive(Debug, Clone, Default)]
pub enum Mood {
    /// As a car does.
    #[default]
    Willing,
    /// With this fault, a session info added or not.
    Fault(u32, bool),
    /// With this payload in place of `0a00`.
    Says(Vec<u8>),
}

pub struct Car {
    private: Option<EphemeralPrivateKey>,
    public: Vec<u8>,
    shared: [u8; 16],
    pub domain: u32,
    pub epoch: [u8; 16],
    pub counter: u32,
    pub started: Instant,
    pub is_paired: bool,
    /// Whether faults carry a session info.
    pub informs: bool,
    /// Whether answers name the request, which the security computer leaves out.
    pub names_request: bool,
    /// Whether it spoils the tag of its session infos.
    pub lies: bool,
    pub moods: Vec<Mood>,
    /// Payloads of the commands that it did, with their expiry.
    pub done: Vec<(Vec<u8>, u32)>,
    pub greetings: u32,
}

impl Car {
    pub fn new(now: Instant, domain: u32) -> Self {
        let private = EphemeralPrivateKey::generate(&ECDH_P256, &SystemRandom::new()).unwrap();
        let public = private.compute_public_key().unwrap().as_ref().to_vec();
        Self {
            private: Some(private),
            public,
            shared: [0; 16],
            domain,
            epoch: [7; 16],
            counter: 41,
            started: now,
            is_paired: true,
            informs: true,
            names_request: true,
            lies: false,
            moods: Vec::new(),
            done: Vec::new(),
            greetings: 0,
        }
    }

    pub fn clock(&self, now: Instant) -> u32 {
        2650 + u32::try_from(now.saturating_duration_since(self.started).as_secs()).unwrap()
    }

    /// Its computer starts anew.
    pub fn restart(&mut self, now: Instant) {
        self.epoch[0] += 1;
        self.counter = 0;
        self.started = now;
    }

    /// Its clock is suddenly ahead of what it told.
    pub fn lose_time(&mut self, ahead: Duration) {
        self.started -= ahead;
    }

    fn derived(&self, label: &str) -> hmac::Key {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &self.shared);
        hmac::Key::new(hmac::HMAC_SHA256, hmac::sign(&key, label.as_bytes()).as_ref())
    }

    fn session_info(&self, now: Instant, challenge: &[u8]) -> Vec<u8> {
        let info = [
            put_number(1, self.counter),
            put(2, &self.public),
            put(3, &self.epoch),
            [&[0x25][..], &self.clock(now).to_le_bytes()].concat(),
            put_number(5, u32::from(!self.is_paired)),
        ]
        .concat();
        let signed = [tlv(&[(0, &[6]), (2, VIN.as_bytes()), (6, challenge)]), info.clone()].concat();
        let mut tag = hmac::sign(&self.derived("session info"), &signed).as_ref().to_vec();
        tag[31] ^= u8::from(self.lies);
        [put(13, &put(6, &put(1, &tag))), put(15, &info)].concat()
    }

    /// What it answers.
    pub fn answer(&mut self, now: Instant, bytes: &[u8]) -> Vec<u8> {
        let request = Message::read(bytes);
        assert_eq!(request.message(6).number(1), self.domain, "the wrong computer");
        let uuid = request.get(51).unwrap_or_default().to_vec();
        let body = self.body(now, &request, &uuid);
        let name = if self.names_request { put(50, &uuid) } else { Vec::new() };
        let address = request.message(7).get(2).unwrap_or_default().to_vec();
        [put(6, &put(2, &address)), put(7, &put_number(1, self.domain)), body, name].concat()
    }

    fn refuse(&self, now: Instant, uuid: &[u8], fault: u32, informs: bool) -> Vec<u8> {
        let status = put(12, &[put_number(1, 2), put_number(2, fault)].concat());
        if informs { [status, self.session_info(now, uuid)].concat() } else { status }
    }

    fn body(&mut self, now: Instant, request: &Message, uuid: &[u8]) -> Vec<u8> {
        if let Some(greeting) = request.get(14) {
            let theirs = Message::read(greeting).get(1).unwrap().to_vec();
            if let Some(private) = self.private.take() {
                let theirs = UnparsedPublicKey::new(&ECDH_P256, theirs);
                self.shared = agree_ephemeral(private, &theirs, |x| {
                    digest(&SHA1_FOR_LEGACY_USE_ONLY, x).as_ref()[..16].try_into().unwrap()
                })
                .unwrap();
            }
            self.greetings += 1;
            return self.session_info(now, uuid);
        }
        let payload = request.get(10).unwrap().to_vec();
        let mood = if self.moods.is_empty() { Mood::Willing } else { self.moods.remove(0) };
        if let Mood::Fault(fault, informs) = mood {
            return self.refuse(now, uuid, fault, informs);
        }
        let data = request.message(13);
        let flags = request.number(52);
        let (plain, hash) = if data.0.is_empty() {
            (payload, Vec::new())
        } else {
            match self.verify(now, &data, flags, payload) {
                Ok(verified) => verified,
                Err(fault) => return self.refuse(now, uuid, fault, self.informs),
            }
        };
        let says = match mood {
            Mood::Says(says) => says,
            _ if self.domain == 2 => Vec::new(),
            _ => vec![0x0a, 0x00],
        };
        self.done.push((plain, Message::read(data.get(8).or(data.get(5)).unwrap_or_default()).number(3)));
        if flags & 2 != 0 { self.seal(&hash, says) } else { put(10, &says) }
    }

    /// The payload and the hash of a command that is in order.
    fn verify(
        &mut self,
        now: Instant,
        data: &Message,
        flags: u32,
        payload: Vec<u8>,
    ) -> Result<(Vec<u8>, Vec<u8>), u32> {
        let is_hmac = data.get(8).is_some();
        let signature = data.message(if is_hmac { 8 } else { 5 });
        let (counter, expires, tag) = if is_hmac { (2, 3, 4) } else { (3, 4, 5) };
        let (counter, expires) = (signature.number(counter), signature.number(expires));
        let tag = signature.get(tag).unwrap().to_vec();
        let kind = if is_hmac { 8 } else { 5 };
        let (domain, counter_bytes) = ([u8::try_from(self.domain).unwrap()], counter.to_be_bytes());
        let (expires_bytes, flag_bytes) = (expires.to_be_bytes(), flags.to_be_bytes());
        let kind_bytes = [kind];
        let mut parts: Vec<(u8, &[u8])> = vec![
            (0, &kind_bytes),
            (1, &domain),
            (2, VIN.as_bytes()),
            (3, signature.get(1).unwrap()),
            (4, &expires_bytes),
            (5, &counter_bytes),
        ];
        if flags != 0 {
            parts.push((7, &flag_bytes));
        }
        let metadata = tlv(&parts);
        if signature.get(1) != Some(&self.epoch) {
            return Err(15);
        }
        let plain = if is_hmac {
            let message = [metadata, payload.clone()].concat();
            hmac::verify(&self.derived("authenticated command"), &message, &tag).map_err(|_| 5_u32)?;
            payload
        } else {
            let nonce = Nonce::try_assume_unique_for_key(signature.get(2).unwrap()).unwrap();
            let aad = Aad::from(digest(&SHA256, &metadata).as_ref().to_vec());
            let mut sealed = [payload, tag.clone()].concat();
            self.cipher().open_in_place(nonce, aad, &mut sealed).map_err(|_| 5_u32)?.to_vec()
        };
        if expires < self.clock(now) {
            return Err(17);
        }
        if expires > self.clock(now) + 30 {
            return Err(20);
        }
        if counter <= self.counter {
            return Err(6);
        }
        self.counter = counter;
        Ok((plain, [&[kind], &tag[..]].concat()))
    }

    fn cipher(&self) -> LessSafeKey {
        LessSafeKey::new(UnboundKey::new(&AES_128_GCM, &self.shared).unwrap())
    }

    fn seal(&self, hash: &[u8], mut says: Vec<u8>) -> Vec<u8> {
        let domain = [u8::try_from(self.domain).unwrap()];
        let (counter, zero) = (1_u32.to_be_bytes(), [0; 4]);
        let metadata =
            tlv(&[(0, &[9]), (1, &domain), (2, VIN.as_bytes()), (5, &counter), (7, &zero), (8, hash), (9, &zero)]);
        let aad = Aad::from(digest(&SHA256, &metadata).as_ref().to_vec());
        let tag =
            self.cipher().seal_in_place_separate_tag(Nonce::assume_unique_for_key([3; 12]), aad, &mut says).unwrap();
        let signature = [put(1, &[3; 12]), put_number(2, 1), put(3, tag.as_ref())].concat();
        [put(10, &says), put(13, &put(9, &signature))].concat()
    }
}
