//! What lies in a message of the queue: time, id, text.

use crate::queue::Kind;

/// Type of a request.
pub(crate) const REQUEST: Kind = 2;
/// Type of a reply.
pub(crate) const REPLY: Kind = 1;
/// Longest content of a message; what is longer comes from nobody who speaks this protocol.
pub(crate) const MOST_BYTES: usize = 300;
/// Longest text of a reply, and of each packet of a long one.
pub(crate) const MOST_TEXT: usize = 290;
/// Packets of a long reply: more would not fit in a queue of the usual 16 KiB beside those of others.
const MOST_PACKETS: usize = 20;
/// Replies that nobody fetched in this time are not waited for; the old page goes by the same number of seconds.
const REPLY_LASTS: u32 = 30;

/// What a client marks its request with; replies carry the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mark {
    /// The client's clock, in seconds since 1970. Shown in the log, never judged.
    pub time: u32,
    /// 0 where no reply is awaited, else a random number.
    pub id: u16,
}

/// Takes a message apart; `None` when it is none of ours: no mark, no text, too long, or not ASCII.
pub(crate) fn parse(content: &[u8]) -> Option<(Mark, &str)> {
    let (mark, text) = split(content)?;
    let text = std::str::from_utf8(text).ok().filter(|text| text.is_ascii() && !text.is_empty())?;
    (content.len() <= MOST_BYTES).then_some((mark, text))
}

fn split(content: &[u8]) -> Option<(Mark, &[u8])> {
    let (time, rest) = content.split_first_chunk()?;
    let (id, text) = rest.split_first_chunk()?;
    Some((Mark { time: u32::from_ne_bytes(*time), id: u16::from_ne_bytes(*id) }, text))
}

/// Puts a message together.
pub(crate) fn encode(mark: Mark, text: &[u8]) -> Vec<u8> {
    [&mark.time.to_ne_bytes(), &mark.id.to_ne_bytes()[..], text].concat()
}

/// A reply: one message, cut at [`MOST_TEXT`].
pub(crate) fn reply(mark: Mark, text: &str) -> Vec<Vec<u8>> {
    let text = ascii(text);
    vec![encode(mark, text.get(..MOST_TEXT).unwrap_or(&text))]
}

/// A long reply: a message with the number of packets as one byte, then the packets.
pub(crate) fn long_reply(mark: Mark, text: &str) -> Vec<Vec<u8>> {
    let text = ascii(text);
    let packets: Vec<&[u8]> = text.chunks(MOST_TEXT).take(MOST_PACKETS).collect();
    let count = u8::try_from(packets.len()).unwrap_or(u8::MAX);
    let head = encode(mark, &[count]);
    std::iter::once(head).chain(packets.iter().map(|text| encode(mark, text))).collect()
}

/// Whether nobody waits for this reply any more. A clock that was set back makes none old.
pub(crate) fn is_forgotten(content: &[u8], now: u32) -> bool {
    split(content).is_none_or(|(mark, _)| now.saturating_sub(mark.time) >= REPLY_LASTS)
}

fn ascii(text: &str) -> Vec<u8> {
    text.chars().map(|c| u8::try_from(c).ok().filter(u8::is_ascii).unwrap_or(b'?')).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MARK: Mark = Mark { time: 0x6502_0301, id: 0xBEEF };

    /// As a little-endian machine has it: all that the old page runs on.
    #[cfg(target_endian = "little")]
    #[test]
    fn bytes_are_time_id_and_text_without_a_gap() {
        let wire = b"\x01\x03\x02\x65\xEF\xBEgetStatus";
        assert_eq!(parse(wire), Some((MARK, "getStatus")));
        assert_eq!(encode(MARK, b"getStatus"), wire);
        assert_eq!(reply(MARK, "None"), [b"\x01\x03\x02\x65\xEF\xBENone".to_vec()]);
    }

    #[test]
    fn what_is_no_message_of_ours_is_none() {
        let with = |text: &[u8]| encode(MARK, text);
        let longest = [b'x'; MOST_BYTES - 6];
        assert!(parse(&with(&longest)).is_some());
        for garbage in [
            vec![],
            vec![1, 2, 3, 4, 5],
            with(b""),
            with(b"get\xFFStatus"),
            with("schön".as_bytes()),
            with(&[&longest[..], b"x"].concat()),
        ] {
            assert_eq!(parse(&garbage), None, "{garbage:?}");
        }
        for byte in 0..=u8::MAX {
            for length in 0..20 {
                let _ = parse(&vec![byte; length]);
            }
        }
    }

    #[test]
    fn a_reply_is_cut() {
        let [only] = &reply(MARK, &"y".repeat(500))[..] else { panic!("one message") };
        assert_eq!(only.len(), 6 + 290);
    }

    #[test]
    fn a_long_reply_begins_with_the_number_of_packets() {
        let sizes = |length| long_reply(MARK, &"z".repeat(length)).iter().map(Vec::len).collect::<Vec<_>>();
        assert_eq!(sizes(1), [7, 7]);
        assert_eq!(sizes(290), [7, 296]);
        assert_eq!(sizes(291), [7, 296, 7]);
        let long = long_reply(MARK, &"z".repeat(100_000));
        assert_eq!((long[0][6..].to_vec(), long.len()), (vec![20], 21));
        assert!(long.iter().all(|packet| split(packet).is_some_and(|(mark, _)| mark == MARK)));
    }

    #[test]
    fn text_leaves_as_ascii() {
        assert_eq!(reply(MARK, "24 °C")[0][6..], *b"24 ?C");
    }

    #[test]
    fn replies_are_forgotten_after_half_a_minute() {
        let reply = encode(MARK, b"x");
        assert!(!is_forgotten(&reply, MARK.time + 29));
        assert!(is_forgotten(&reply, MARK.time + 30));
        assert!(!is_forgotten(&reply, 0), "the clock was set back");
        assert!(is_forgotten(b"junk", 0));
    }
}
