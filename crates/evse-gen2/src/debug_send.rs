//! The door for debug messages: what is on the list passes, the rest gets a reason.

use gen2_protocol::{Frame, Message};

use crate::Gen2Error;
use crate::mailbox::Command;

/// What a debug message may make the bus thread do.
pub(crate) fn allowed(bytes: &[u8]) -> Result<Command, Gen2Error> {
    let refused = |reason: &str| Gen2Error::Refused(reason.to_owned());
    let message = decode(bytes).ok_or_else(|| {
        refused("it is no frame: write 12 to 19 bytes from the family byte on, such as FBEB7777408500000000000000")
    })?;
    match message {
        Message::Request(request) => Ok(Command::Ask(request.slave, request.kind)),
        Message::MasterLinkReady1(_) | Message::MasterLinkReady2(_) => Ok(Command::Announce),
        Message::MasterHeartbeat(_) => Err(refused("limits are set by targets, so that the wiring stays guarded")),
        Message::ContactorCommand(_) => Err(refused("use start and stop of the connector, with chargeStopMode 3")),
        Message::Harmful(harm, _) => Err(Gen2Error::Refused(format!("it {harm}"))),
        other if !other.is_from_master() => Err(refused("only a connector sends this")),
        _ => Err(refused("nobody knows what it does; sweeps of unknown codes have damaged connectors")),
    }
}

fn decode(bytes: &[u8]) -> Option<Message> {
    if let Ok(frame) = Frame::from_body(bytes) {
        return Some(frame.message());
    }
    let sum = bytes.iter().skip(1).fold(0u8, |sum, byte| sum.wrapping_add(*byte));
    let mut body = bytes.to_vec();
    // Short forms are what people copy from upstream's debug page: family, code, sender, receiver.
    while body.len() < 12 && body.len() >= 6 {
        body.push(0);
    }
    body.push(sum);
    Frame::from_body(&body).ok().map(|frame| frame.message())
}

#[cfg(test)]
mod tests {
    use super::*;
    use gen2_protocol::{RequestKind, TwcId};

    #[test]
    fn only_questions_and_the_announcement_pass() {
        let ask = allowed(&[0xFB, 0xEB, 0x77, 0x77, 0x40, 0x85]).unwrap();
        assert_eq!(ask, Command::Ask(TwcId::from_u16(0x4085), RequestKind::Meter));
        let mut announce = [0; 13];
        announce[..5].copy_from_slice(&[0xFC, 0xE1, 0x77, 0x77, 0x77]);
        assert_eq!(allowed(&announce).unwrap(), Command::Announce);
    }

    #[test]
    fn every_other_pair_of_family_and_code_is_refused() {
        for family in 0..=u8::MAX {
            for code in 0..=u8::MAX {
                let mut bytes = [0; 13];
                bytes[..6].copy_from_slice(&[family, code, 0x77, 0x77, 0x40, 0x85]);
                let passes = matches!((family, code), (0xFB, 0xE2 | 0xEB..=0xEF | 0xF1 | 0xB4) | (0xFC, 0xE1));
                assert_eq!(allowed(&bytes).is_ok(), passes, "{family:02X} {code:02X}");
            }
        }
    }
}
