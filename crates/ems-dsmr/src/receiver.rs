//! From bytes to good telegrams, and what went wrong with the others.

use p1_telegram::{Checksum, Counters, Decryptor, Framer, Telegram, TelegramError};

/// Takes bytes, gives telegrams, counts.
#[derive(Debug)]
pub(crate) struct Receiver {
    framer: Framer,
    decryptor: Option<Decryptor>,
    requires_checksum: bool,
    good: u64,
    bad_checksum: u64,
    no_checksum: u64,
    bytes: u64,
    /// The last byte, and whether the start of an encrypted frame was seen.
    last: u8,
    is_encrypted: bool,
    ever_heard: bool,
    tells_export: bool,
}

impl Receiver {
    pub fn new(decryptor: Option<Decryptor>, requires_checksum: bool) -> Self {
        Receiver {
            framer: Framer::new(),
            decryptor,
            requires_checksum,
            good: 0,
            bad_checksum: 0,
            no_checksum: 0,
            bytes: 0,
            last: 0,
            is_encrypted: false,
            ever_heard: false,
            tells_export: false,
        }
    }

    /// Forgets what came in; the line was opened anew.
    pub fn reset(&mut self) {
        let mut decryptor = self.decryptor.take();
        if let Some(decryptor) = &mut decryptor {
            decryptor.reset();
        }
        let fresh = Receiver::new(decryptor, self.requires_checksum);
        *self = Receiver { ever_heard: self.ever_heard, tells_export: self.tells_export, ..fresh };
    }

    /// Whether a good telegram ever came.
    pub fn ever_heard(&self) -> bool {
        self.ever_heard
    }

    /// Whether the meter ever told export: then a telegram without it is damaged, not one of a meter that counts one way.
    pub fn tells_export(&self) -> bool {
        self.tells_export
    }

    pub fn push(&mut self, bytes: &[u8]) {
        self.bytes = self.bytes.saturating_add(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
        for byte in bytes {
            self.is_encrypted |= (self.last, *byte) == (0xDB, 0x08);
            self.last = *byte;
        }
        match &mut self.decryptor {
            None => self.framer.push(bytes),
            Some(decryptor) => {
                decryptor.push(bytes);
                while let Some(plain) = decryptor.next_plain() {
                    self.framer.push(&plain);
                    self.framer.push(b"\n");
                }
            }
        }
    }

    /// The newest good telegram since the last call.
    pub fn newest(&mut self) -> Option<(Vec<u8>, Telegram)> {
        let mut newest = None;
        while let Some(bytes) = self.framer.next_telegram() {
            match Telegram::parse(&bytes) {
                Ok(telegram) if telegram.checksum == Checksum::Absent && self.requires_checksum => {
                    self.no_checksum += 1
                }
                Ok(telegram) => {
                    self.good += 1;
                    self.ever_heard = true;
                    self.tells_export |= telegram.tells_export;
                    newest = Some((bytes, telegram));
                }
                Err(TelegramError::NoChecksum) => self.no_checksum += 1,
                Err(_) => self.bad_checksum += 1,
            }
        }
        newest
    }

    /// Why no good telegram came, and what to do.
    pub fn why_silent(&self) -> String {
        let Counters { telegrams, broken, .. } = self.framer.counters();
        let refused = self.decryptor.as_ref().map_or(0, Decryptor::refused);
        if self.bytes == 0 {
            return "no bytes come in; is the cable in the meter, is its P1 port switched on, and does the cable power the \
                    data request (pin 2)?"
                .to_owned();
        }
        if refused > 0 {
            return format!("{refused} encrypted telegrams cannot be opened; check sources.DSMR.decryptionKey");
        }
        if telegrams == 0 && self.is_encrypted && self.decryptor.is_none() {
            return "the telegrams are encrypted; ask the grid operator for the key and put it into \
                    sources.DSMR.decryptionKey"
                .to_owned();
        }
        if telegrams == 0 && broken == 0 {
            return "bytes come in that are no telegrams; check sources.DSMR.baudrate, and whether the cable inverts the signal"
                .to_owned();
        }
        if self.bad_checksum > 0 {
            return format!(
                "{} of {telegrams} telegrams are damaged; use a shorter cable or another adapter",
                self.bad_checksum
            );
        }
        if self.no_checksum > 0 && self.requires_checksum {
            return "its telegrams have no checksum; take sources.DSMR.requireChecksum out if the meter is that old"
                .to_owned();
        }
        if self.no_checksum > 0 {
            return "its telegrams lack the checksum that their version should have; the gateway may cut it off"
                .to_owned();
        }
        if broken > 0 {
            return format!("{broken} telegrams are cut off; use a shorter cable or another adapter");
        }
        "the meter went silent".to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(stream: &[u8], requires_checksum: bool) -> Receiver {
        let mut receiver = Receiver::new(None, requires_checksum);
        receiver.push(stream);
        while receiver.newest().is_some() {}
        receiver
    }

    #[test]
    fn each_kind_of_silence_has_its_own_advice() {
        let old = b"/ABC5M\r\n\r\n1-0:1.7.0(00.1*kW)\r\n!\r\n";
        for (stream, requires, words) in [
            (b"".as_slice(), false, "no bytes"),
            (b"\x80\x91\x22\x80", false, "baudrate"),
            (b"\xDB\x08SYSTITLE\x82\x01\x00\x30", false, "decryptionKey"),
            (b"/ABC5M\r\n\r\n1-0:1.7.0(00.1*kW)\r\n!0000\r\n", false, "damaged"),
            (b"/ABC5M\r\n\r\n1-3:0.2.8(50)\r\n!\r\n", false, "cut it off"),
            (b"/ABC5M\r\n/ABC5M\r\n", false, "cut off"),
            (old, true, "requireChecksum"),
            (old, false, "went silent"),
        ] {
            let why = heard(stream, requires).why_silent();
            assert!(why.contains(words), "{why}");
        }
        let mut sealed = Receiver::new(Decryptor::new("000102030405060708090A0B0C0D0E0F").ok(), false);
        sealed.push(&[b"\xDB\x08SYSTITLE\x82\x00\x14\x30".as_slice(), &[0; 40]].concat());
        assert!(sealed.why_silent().contains("decryptionKey"), "{}", sealed.why_silent());
    }

    #[test]
    fn of_several_telegrams_the_newest_counts() {
        let mut receiver = Receiver::new(None, false);
        receiver.push(b"/A\r\n\r\n1-0:1.7.0(1*W)\r\n!\r\n/A\r\n\r\n1-0:1.7.0(2*W)\r\n!\r\n");
        assert_eq!(receiver.newest().map(|(_, telegram)| telegram.meter().watts), Some(Some(2.0)));
        assert!(receiver.newest().is_none() && receiver.ever_heard());
        receiver.reset();
        assert!(receiver.ever_heard());
    }
}
