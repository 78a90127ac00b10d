//! The string of facts about a message that is authenticated along with it.
//!
//! A sequence of tag, length and value in the order of the tags, closed by FF.

/// The string, complete.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Metadata(Vec<u8>);

const SIGNATURE_TYPE: u8 = 0;
const DOMAIN: u8 = 1;
const PERSONALIZATION: u8 = 2;
const EPOCH: u8 = 3;
const EXPIRES_AT: u8 = 4;
const COUNTER: u8 = 5;
const CHALLENGE: u8 = 6;
const FLAGS: u8 = 7;
const REQUEST_HASH: u8 = 8;
const FAULT: u8 = 9;
const END: u8 = 255;

/// How a message is authenticated: numbers of `SignatureType` in `signatures.proto`.
pub(crate) const TYPE_AES_GCM: u8 = 5;
const TYPE_SESSION_INFO: u8 = 6;
pub(crate) const TYPE_HMAC: u8 = 8;
const TYPE_AES_GCM_RESPONSE: u8 = 9;

impl Metadata {
    fn of(signature_type: u8) -> Self {
        Self(vec![SIGNATURE_TYPE, 1, signature_type])
    }

    /// A value of more than 255 bytes cannot be told; only foreign challenges could be so long, and their tag then fails.
    fn with(mut self, tag: u8, value: &[u8]) -> Self {
        let value = value.get(..255).unwrap_or(value);
        self.0.push(tag);
        self.0.push(u8::try_from(value.len()).unwrap_or(u8::MAX));
        self.0.extend_from_slice(value);
        self
    }

    fn with_number(self, tag: u8, number: u32) -> Self {
        self.with(tag, &number.to_be_bytes())
    }

    fn end(mut self) -> Self {
        self.0.push(END);
        self
    }

    pub(crate) fn session_info(vin: &[u8], challenge: &[u8]) -> Self {
        Self::of(TYPE_SESSION_INFO).with(PERSONALIZATION, vin).with(CHALLENGE, challenge).end()
    }

    fn command(kind: u8, domain: u8, vin: &[u8], epoch: &[u8; 16], expires_at: u32, counter: u32, flags: u32) -> Self {
        let metadata = Self::of(kind)
            .with(DOMAIN, &[domain])
            .with(PERSONALIZATION, vin)
            .with(EPOCH, epoch)
            .with_number(EXPIRES_AT, expires_at)
            .with_number(COUNTER, counter);
        // Older cars do not know flags: they are only told when there are any.
        if flags == 0 { metadata.end() } else { metadata.with_number(FLAGS, flags).end() }
    }

    pub(crate) fn signed_command(
        domain: u8,
        vin: &[u8],
        epoch: &[u8; 16],
        expires_at: u32,
        counter: u32,
        flags: u32,
    ) -> Self {
        Self::command(TYPE_HMAC, domain, vin, epoch, expires_at, counter, flags)
    }

    pub(crate) fn encrypted_command(
        domain: u8,
        vin: &[u8],
        epoch: &[u8; 16],
        expires_at: u32,
        counter: u32,
        flags: u32,
    ) -> Self {
        Self::command(TYPE_AES_GCM, domain, vin, epoch, expires_at, counter, flags)
    }

    pub(crate) fn response(domain: u8, vin: &[u8], counter: u32, flags: u32, request_hash: &[u8], fault: u32) -> Self {
        Self::of(TYPE_AES_GCM_RESPONSE)
            .with(DOMAIN, &[domain])
            .with(PERSONALIZATION, vin)
            .with_number(COUNTER, counter)
            .with_number(FLAGS, flags)
            .with(REQUEST_HASH, request_hash)
            .with_number(FAULT, fault)
            .end()
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use sha2::{Digest, Sha256};

    use super::*;
    use crate::vectors::{self, hex};

    #[test]
    fn the_published_strings_come_out() {
        let vin = vectors::VIN.as_bytes();
        let epoch = hex(vectors::EPOCH).try_into().expect("16 bytes");
        let session_info = Metadata::session_info(vin, &hex(vectors::UUID));
        assert_eq!(session_info.as_bytes(), hex(vectors::SESSION_INFO_METADATA));
        assert_eq!(Metadata::signed_command(3, vin, &epoch, 2655, 7, 0).as_bytes(), hex(vectors::HMAC_METADATA),);
        let flagged = Metadata::signed_command(3, vin, &epoch, 2655, 7, 2);
        assert!(flagged.as_bytes().ends_with(&hex("050400000007070400000002ff")), "{flagged:02x?}");
    }

    /// The checksum that the vendor's own test expects.
    #[test]
    fn the_published_checksum_comes_out() {
        let epoch = hex("aada928a4f215f55f9e6e45e66b6521e").try_into().expect("16 bytes");
        let metadata = Metadata::encrypted_command(2, b"testVIN", &epoch, 0x0e74, 0x053a, 0);
        let expected = hex("abab04d804499813382efd74a06791ce2de7774396032 46dfbaa8392ca05868e");
        assert_eq!(Sha256::digest(metadata.as_bytes()).to_vec(), expected);
    }
}
