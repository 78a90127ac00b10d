//! The body of a request as it arrives: counted or chunked, always bounded. Pure.

use crate::head::Framing;
use crate::reject::Reject;

/// Longest size line of a chunk, extensions included. Real clients send at most eight digits.
const CHUNK_LINE: usize = 256;

/// Most bytes of trailers, which are read past and forgotten.
const TRAILERS: usize = 4096;

/// Takes a body apart; holds what it has collected.
#[derive(Debug)]
pub(crate) struct BodyReader {
    stage: Stage,
    limit: usize,
    body: Vec<u8>,
}

#[derive(Debug)]
enum Stage {
    Counted { left: usize },
    ChunkLine { line: Vec<u8> },
    ChunkData { left: usize },
    ChunkEnd { has_cr: bool },
    Trailers { line: Vec<u8>, taken: usize },
    Complete,
}

impl BodyReader {
    pub(crate) fn new(framing: Framing, limit: usize) -> BodyReader {
        let stage = match framing {
            Framing::Length(0) => Stage::Complete,
            Framing::Length(left) => Stage::Counted { left },
            Framing::Chunked => Stage::ChunkLine { line: Vec::new() },
        };
        BodyReader { stage, limit, body: Vec::new() }
    }

    pub(crate) fn is_complete(&self) -> bool {
        matches!(self.stage, Stage::Complete)
    }

    /// Bytes collected so far.
    pub(crate) fn len(&self) -> usize {
        self.body.len()
    }

    pub(crate) fn into_body(self) -> Vec<u8> {
        self.body
    }

    /// Takes what belongs to the body from `input` and returns how many bytes that was. What is left belongs to the next
    /// request. Memory grows with what has arrived, never with what was announced.
    pub(crate) fn feed(&mut self, input: &[u8]) -> Result<usize, Reject> {
        let mut rest = input;
        while !rest.is_empty() && !self.is_complete() {
            rest = self.step(rest)?;
        }
        Ok(input.len() - rest.len())
    }

    /// One step; returns what it left. Never called with nothing.
    fn step<'a>(&mut self, input: &'a [u8]) -> Result<&'a [u8], Reject> {
        match &mut self.stage {
            Stage::Complete => Ok(input),
            Stage::Counted { left } | Stage::ChunkData { left } => {
                let (taken, rest) = input.split_at((*left).min(input.len()));
                *left -= taken.len();
                let is_done = *left == 0;
                self.body.extend_from_slice(taken);
                if is_done {
                    self.stage = match self.stage {
                        Stage::Counted { .. } => Stage::Complete,
                        _ => Stage::ChunkEnd { has_cr: false },
                    };
                }
                Ok(rest)
            }
            Stage::ChunkLine { line } => {
                let (is_whole, rest) = take_line(line, input, CHUNK_LINE)?;
                if is_whole {
                    let size = chunk_size(line)?;
                    if size > self.limit - self.body.len().min(self.limit) {
                        return Err(Reject::BodyTooLarge);
                    }
                    self.stage = match size {
                        0 => Stage::Trailers { line: Vec::new(), taken: 0 },
                        left => Stage::ChunkData { left },
                    };
                }
                Ok(rest)
            }
            Stage::ChunkEnd { has_cr } => match (*has_cr, input) {
                (false, [b'\r', rest @ ..]) => {
                    *has_cr = true;
                    Ok(rest)
                }
                (true, [b'\n', rest @ ..]) => {
                    self.stage = Stage::ChunkLine { line: Vec::new() };
                    Ok(rest)
                }
                _ => Err(Reject::BadChunk),
            },
            Stage::Trailers { line, taken } => {
                let (is_whole, rest) = take_line(line, input, TRAILERS)?;
                *taken += input.len() - rest.len();
                if *taken > TRAILERS {
                    return Err(Reject::HeadTooLarge);
                }
                if is_whole {
                    if line.is_empty() {
                        self.stage = Stage::Complete;
                    } else if line.contains(&b':') && line.first() != Some(&b':') {
                        line.clear();
                    } else {
                        return Err(Reject::BadChunk);
                    }
                }
                Ok(rest)
            }
        }
    }
}

/// Moves bytes into `line` until CR LF, which is cut off. Control characters and other line ends are refused.
fn take_line<'a>(line: &mut Vec<u8>, input: &'a [u8], limit: usize) -> Result<(bool, &'a [u8]), Reject> {
    for (at, &byte) in input.iter().enumerate() {
        match (line.last() == Some(&b'\r'), byte) {
            (true, b'\n') => {
                line.pop();
                return Ok((true, input.get(at + 1..).unwrap_or_default()));
            }
            (true, _) | (false, b'\n') => return Err(Reject::BadChunk),
            (false, b'\r' | b'\t') => {}
            (false, 0..=0x1f | 0x7f) => return Err(Reject::BadChunk),
            (false, _) => {}
        }
        if line.len() >= limit {
            return Err(Reject::BadChunk);
        }
        line.push(byte);
    }
    Ok((false, &[]))
}

/// Hexadecimal digits, then the end of the line or an extension (RFC 9112, 7.1.1), which is ignored.
fn chunk_size(line: &[u8]) -> Result<usize, Reject> {
    let digits = line.iter().position(|byte| !byte.is_ascii_hexdigit()).unwrap_or(line.len());
    let (digits, extension) = line.split_at(digits);
    if digits.is_empty() || !matches!(extension.trim_ascii_start(), [] | [b';', ..]) {
        return Err(Reject::BadChunk);
    }
    std::str::from_utf8(digits)
        .ok()
        .and_then(|digits| usize::from_str_radix(digits, 16).ok())
        .ok_or(Reject::BodyTooLarge)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LIMIT: usize = 1000;

    /// Feeds in pieces of `step` bytes; returns the body and what was left over.
    fn read(framing: Framing, bytes: &[u8], step: usize) -> Result<(Vec<u8>, usize), Reject> {
        let mut reader = BodyReader::new(framing, LIMIT);
        let mut taken = 0;
        while taken < bytes.len() && !reader.is_complete() {
            let end = (taken + step).min(bytes.len());
            taken += reader.feed(&bytes[taken..end])?;
        }
        assert!(reader.is_complete(), "not complete");
        Ok((reader.into_body(), bytes.len() - taken))
    }

    #[test]
    fn counted() {
        assert_eq!(read(Framing::Length(3), b"abcGET", 2), Ok((b"abc".to_vec(), 3)));
        assert_eq!(read(Framing::Length(0), b"GET", 2), Ok((vec![], 3)));
    }

    #[test]
    fn chunked_in_any_pieces() {
        let bytes = b"3\r\nabc\r\n00A ;ext=\"x\"\r\n0123456789\r\n0\r\nTrailer: x\r\n\r\nGET";
        for step in 1..bytes.len() {
            assert_eq!(read(Framing::Chunked, bytes, step), Ok((b"abc0123456789".to_vec(), 3)), "pieces of {step}");
        }
    }

    #[test]
    fn malformed_chunks_are_refused() {
        for (bytes, want) in [
            (&b"\r\n"[..], Reject::BadChunk),
            (b"g\r\n", Reject::BadChunk),
            (b"-1\r\n", Reject::BadChunk),
            (b"+1\r\n", Reject::BadChunk),
            (b"0x1\r\n", Reject::BadChunk),
            (b"1 1\r\n", Reject::BadChunk),
            (b"1\n", Reject::BadChunk),
            (b"1\r\r", Reject::BadChunk),
            (b"1\r\nab", Reject::BadChunk),
            (b"1\r\na\n", Reject::BadChunk),
            (b"1\r\na\r\r", Reject::BadChunk),
            (b"0\r\nno colon\r\n", Reject::BadChunk),
            (b"0\r\nX: y\n", Reject::BadChunk),
            (b"3e9\r\n", Reject::BodyTooLarge),
            (b"ffffffffffffffffffff\r\n", Reject::BodyTooLarge),
        ] {
            let got = BodyReader::new(Framing::Chunked, LIMIT).feed(bytes);
            assert_eq!(got, Err(want), "{:?}", String::from_utf8_lossy(bytes));
        }
        let mut long = b"1;".to_vec();
        long.resize(CHUNK_LINE + 2, b'x');
        let got = BodyReader::new(Framing::Chunked, LIMIT).feed(&long);
        assert_eq!(got, Err(Reject::BadChunk));
        let trailers = format!("0\r\n{}", "X: y\r\n".repeat(TRAILERS / 6 + 1));
        let got = BodyReader::new(Framing::Chunked, LIMIT).feed(trailers.as_bytes());
        assert_eq!(got, Err(Reject::HeadTooLarge));
    }

    #[test]
    fn many_small_chunks_meet_the_same_bound() {
        let bytes = "1\r\na\r\n".repeat(LIMIT + 1);
        let got = BodyReader::new(Framing::Chunked, LIMIT).feed(bytes.as_bytes());
        assert_eq!(got, Err(Reject::BodyTooLarge));
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn any_bytes_are_survived_and_bounded(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let mut reader = BodyReader::new(Framing::Chunked, LIMIT);
            let _ = reader.feed(&bytes);
            prop_assert!(reader.len() <= LIMIT);
        }

        #[test]
        fn what_was_chunked_comes_back(
            pieces in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..40), 0..8),
            step in 1usize..50,
        ) {
            let mut wire = Vec::new();
            for piece in &pieces {
                wire.extend(format!("{:x}\r\n", piece.len()).into_bytes());
                wire.extend(piece);
                wire.extend(b"\r\n");
            }
            wire.extend(b"0\r\n\r\n");
            prop_assert_eq!(read(Framing::Chunked, &wire, step), Ok((pieces.concat(), 0)));
        }
    }
}
