//! From what the bridge passes on to a meter.

use ems_meter::Meter;
use p1_telegram::Telegram;

use crate::sml;

/// Why a body is not used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BodyError {
    /// There is nothing in it.
    #[error("the Pulse has passed nothing on yet; look at its light, its battery and its place on the meter")]
    Empty,
    /// Neither SML nor a P1 telegram.
    #[error("the Pulse passes on something that is neither SML nor a P1 telegram; look at sources.TibberPulse.nodeId")]
    Unknown,
    /// SML that is damaged.
    #[error("the meter's SML message is damaged ({0}); it is read again")]
    Damaged(String),
    /// A telegram that is damaged.
    #[error(transparent)]
    Telegram(#[from] p1_telegram::TelegramError),
}

/// Reads the body of `/data.json`, which is no JSON: an SML message, or a P1 telegram.
///
/// # Errors
/// When it is something else, or damaged.
pub fn body(bytes: &[u8]) -> Result<Meter, BodyError> {
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Err(BodyError::Empty);
    }
    if bytes.windows(sml::START.len()).any(|window| window == sml::START) {
        return sml::meter(bytes).map_err(BodyError::Damaged);
    }
    if bytes.contains(&b'/') && bytes.contains(&b'!') {
        return Ok(Telegram::parse(bytes)?.meter());
    }
    Err(BodyError::Unknown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn telegrams_are_read() {
        let meter = body(b"/ABC5M\r\n\r\n1-0:1.7.0(00.244*kW)\r\n1-0:2.7.0(00.000*kW)\r\n!").unwrap();
        assert_eq!(meter.watts, Some(244.0));
        let german =
            body(b"/EBZ5DD3BZ06ETA_107\r\n\r\n1-0:16.7.0*255(-000123.40*W)\r\n1-0:36.7.0*255(-000123.40*W)\r\n!\r\n");
        assert_eq!(german.unwrap().watts, Some(-123.4));
    }

    #[test]
    fn other_bodies_are_errors() {
        assert_eq!(body(b" \r\n"), Err(BodyError::Empty));
        assert_eq!(body(b"{\"node\": 1}"), Err(BodyError::Unknown));
        assert!(matches!(body(&sml::START), Err(BodyError::Damaged(_))));
        assert!(matches!(body(b"/ABC\r\n1-0:1.7.0(1*W)\r\n!1234"), Err(BodyError::Telegram(_))));
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_give_a_meter_or_an_error(bytes in proptest::collection::vec(0u8.., 0..300)) {
            let _ = (body(&bytes), body(&[sml::START.as_slice(), &bytes].concat()));
        }
    }
}
