//! Writes and opens the messages of a session.

use std::time::Instant;

use super::{Asked, Job, Output, Session, Transport, Waiting, Work};
use crate::agreement::Sealed;
use crate::error::CommandError;
use crate::fault::Fault;
use crate::metadata::{Metadata, TYPE_AES_GCM, TYPE_HMAC};
use crate::random::{NoRandomness, random_array};
use crate::routable::{Destination, Domain, FLAG_ENCRYPT_REPLY, Payload, RoutableMessage, Signature};

/// How many bytes of an HMAC tag the security computer repeats in its answer's hash.
const SECURITY_HASH_TAG_LENGTH: usize = 16;

impl Session {
    pub(super) fn send_greeting(&mut self, now: Instant, job: Job) -> Result<(), CommandError> {
        let mut message = self.envelope()?;
        message.payload = Some(Payload::SessionInfoRequest { public_key: self.key.public_key().to_bytes() });
        self.send(now, job, Asked::SessionInfo, &message);
        Ok(())
    }

    pub(super) fn send_unsigned(&mut self, now: Instant, job: Job) -> Result<(), CommandError> {
        let mut message = self.envelope()?;
        message.payload = Some(Payload::Message(job.command.payload()));
        self.send(now, job, Asked::Unsigned, &message);
        Ok(())
    }

    pub(super) fn send_signed(&mut self, now: Instant, job: Job) -> Result<(), CommandError> {
        let mut message = self.envelope()?;
        let nonce = random_array::<12>(self.random.as_mut())?;
        let (domain, vin, lifetime) = (self.domain.number(), self.vin, self.lifetime);
        let flags = if self.wants_encrypted_reply { FLAG_ENCRYPT_REPLY } else { 0 };
        // No link, or an epoch without counters left: only a new session helps.
        let Some((link, counter)) =
            self.link.as_mut().and_then(|link| link.take_counter().map(|counter| (link, counter)))
        else {
            self.link = None;
            return self.send_greeting(now, job);
        };
        let expires_at = link.expiry(now, lifetime);
        let epoch = link.epoch;
        let payload = job.command.payload();
        let (signature, payload, hash) = match self.transport {
            Transport::Internet => {
                let metadata = Metadata::signed_command(domain, vin.as_bytes(), &epoch, expires_at, counter, flags);
                let tag = link.keys.command_tag(&metadata, &payload).to_vec();
                let length = if self.domain == Domain::VehicleSecurity { SECURITY_HASH_TAG_LENGTH } else { tag.len() };
                let hash = [&[TYPE_HMAC], tag.get(..length).unwrap_or(&tag)].concat();
                (Signature::Hmac { epoch: epoch.to_vec(), counter, expires_at, tag }, payload, hash)
            }
            Transport::Bluetooth => {
                let metadata = Metadata::encrypted_command(domain, vin.as_bytes(), &epoch, expires_at, counter, flags);
                let sealed = link
                    .keys
                    .seal(&nonce, &metadata, &payload)
                    .map_err(|_| CommandError::Unsupported(Fault::RequestTooLarge))?;
                let hash = [&[TYPE_AES_GCM], sealed.tag.as_slice()].concat();
                let (epoch, nonce) = (epoch.to_vec(), nonce.to_vec());
                (Signature::AesGcm { epoch, nonce, counter, expires_at, tag: sealed.tag }, sealed.ciphertext, hash)
            }
        };
        if link.must_save() {
            let saved = link.save(now);
            self.outputs.push_back(Output::Save(saved));
        }
        message.payload = Some(Payload::Message(payload));
        message.signer = self.key.public_key().to_bytes();
        message.signature = Some(signature);
        message.flags = flags;
        self.send(now, job, Asked::Signed(hash), &message);
        Ok(())
    }

    /// Decrypts an answer, which proves that the car made it for this very request.
    pub(super) fn open_reply(
        &self,
        asked: &Asked,
        message: &RoutableMessage,
        (nonce, counter): (&[u8], u32),
        (ciphertext, tag): (&[u8], &[u8]),
    ) -> Option<Vec<u8>> {
        let Asked::Signed(hash) = asked else { return None };
        let fault = message.status.fault.map_or(0, Fault::number);
        let metadata =
            Metadata::response(self.domain.number(), self.vin.as_bytes(), counter, message.flags, hash, fault);
        let sealed = Sealed { ciphertext: ciphertext.to_vec(), tag: tag.to_vec() };
        self.link.as_ref()?.keys.open(nonce, &metadata, &sealed).ok()
    }

    /// A message with fresh random names, and nothing in it yet.
    fn envelope(&mut self) -> Result<RoutableMessage, NoRandomness> {
        Ok(RoutableMessage {
            to: Some(Destination::Domain(u32::from(self.domain.number()))),
            from: Some(Destination::Address(random_array::<16>(self.random.as_mut())?.to_vec())),
            uuid: random_array::<16>(self.random.as_mut())?.to_vec(),
            ..RoutableMessage::default()
        })
    }

    fn send(&mut self, now: Instant, job: Job, asked: Asked, message: &RoutableMessage) {
        let window = match asked {
            Asked::Signed(_) => self.transport.answer_window(),
            Asked::SessionInfo | Asked::Unsigned => self.transport.greeting_window(),
        };
        let name = |bytes: &[u8]| <[u8; 16]>::try_from(bytes).unwrap_or_default();
        let address = match &message.from {
            Some(Destination::Address(address)) => name(address),
            _ => [0; 16],
        };
        self.outputs.push_back(Output::Send(message.encode()));
        self.work = Work::Waiting(Waiting {
            job,
            asked,
            uuid: name(&message.uuid),
            address,
            until: now + window,
            seen: Vec::new(),
        });
    }
}
