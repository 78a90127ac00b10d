//! Finds frames in whatever bytes arrive, and counts what it throws away.

use core::iter::FusedIterator;

use crate::frame::{DELIMITER, ESCAPE, MAX_FRAME_LENGTH, MIN_FRAME_LENGTH, unescape};
use crate::scan::{contains, find};
use crate::{Frame, FrameError};

/// Bytes between two delimiters beyond which nothing is collected any more.
const MAX_RUN: usize = 64;
/// Runs shorter than this (escapes undone) are stray bytes, which real units leave behind every frame.
const MIN_CANDIDATE: usize = 4;
/// Longest frame that can be salvaged: three stray bytes in front, one behind.
const MAX_SALVAGE: usize = MAX_FRAME_LENGTH + 4;

/// A streaming decoder: feed it bytes as they come, in pieces of any size.
///
/// Every delimiter ends what was collected and begins the next frame, so a damaged frame costs itself only. Stray bytes
/// between frames are normal on this bus; they are counted and ignored.
///
/// ```
/// use gen2_protocol::Decoder;
///
/// let mut decoder = Decoder::new();
/// let mut input: &[u8] = b"\xFE\xC0\xFC\xE1\x77\x77\x77\0\0\0\0\0\0\0\0\x46\xC0\xFC";
/// let frame = decoder.next_frame(&mut input).expect("a whole frame");
/// assert_eq!(frame.kind(), [0xFC, 0xE1]);
/// assert!(decoder.next_frame(&mut input).is_none());
/// assert!(input.is_empty());
/// ```
#[derive(Debug, Clone)]
pub struct Decoder {
    salvage: bool,
    /// Bytes since the last delimiter, escapes and all; counts on beyond the buffer when the run is too long.
    collected: usize,
    run: [u8; MAX_RUN],
    counters: Counters,
    rejected: usize,
    rejected_run: [u8; MAX_RUN],
}

/// What a [`Decoder`] found next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// A frame as it should be.
    Frame(Frame),
    /// A frame that was right after stray bytes at its edges were taken off.
    Salvaged(Frame),
    /// Bytes that are no frame; [`Decoder::rejected_bytes`] shows them until the next event.
    Rejected(FrameError),
}

/// How many frames a [`Decoder`] has found, and how much it threw away. The counts stop at their largest value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Counters {
    /// Good frames, the salvaged ones included.
    pub frames: u32,
    /// Frames that were right only after stray bytes at their edges were taken off.
    pub salvaged: u32,
    /// Stray bytes between frames. Normal: real units release the line badly.
    pub stray_bytes: u32,
    /// Runs of 4 to 12 bytes.
    pub too_short: u32,
    /// Runs of more than 20 bytes.
    pub too_long: u32,
    /// Runs with an escape byte that escapes nothing.
    pub bad_escape: u32,
    /// Runs of the right length with a wrong checksum.
    pub bad_checksum: u32,
}

impl Counters {
    /// Runs that were thrown away, of all kinds; stray bytes are not among them.
    #[must_use]
    pub fn rejected(&self) -> u32 {
        self.too_short.saturating_add(self.too_long).saturating_add(self.bad_escape).saturating_add(self.bad_checksum)
    }
}

impl Default for Decoder {
    fn default() -> Self {
        Decoder::new()
    }
}

impl Decoder {
    /// A decoder that takes only whole, undamaged frames.
    #[must_use]
    pub const fn new() -> Decoder {
        Decoder {
            salvage: false,
            collected: 0,
            run: [0; MAX_RUN],
            counters: Counters {
                frames: 0,
                salvaged: 0,
                stray_bytes: 0,
                too_short: 0,
                too_long: 0,
                bad_escape: 0,
                bad_checksum: 0,
            },
            rejected: 0,
            rejected_run: [0; MAX_RUN],
        }
    }

    /// A decoder that also recovers frames whose delimiter was lost and a stray byte took its place.
    ///
    /// It takes off up to three bytes in front and one behind, and accepts the rest only with a length of exactly 14, 16 or
    /// 20 bytes, a known code and a right checksum.
    #[must_use]
    pub const fn salvaging() -> Decoder {
        let mut decoder = Decoder::new();
        decoder.salvage = true;
        decoder
    }

    /// What has been found and thrown away so far.
    #[must_use]
    pub const fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Bytes of an unfinished frame (or stray bytes) that wait for a delimiter.
    #[must_use]
    pub const fn pending(&self) -> usize {
        self.collected
    }

    /// Forgets an unfinished frame, as after a reconnect. The counters stay.
    ///
    /// Not needed to resynchronise: the next delimiter does that.
    pub const fn discard_pending(&mut self) {
        self.collected = 0;
    }

    /// The raw bytes behind the latest [`Event::Rejected`], at most 64, escapes not undone.
    #[must_use]
    pub fn rejected_bytes(&self) -> &[u8] {
        self.rejected_run.get(..self.rejected).unwrap_or(&self.rejected_run)
    }

    /// The next good frame in `input`, which is advanced past the bytes that were used; `None` when all are used up.
    #[inline]
    pub fn next_frame(&mut self, input: &mut &[u8]) -> Option<Frame> {
        loop {
            match self.next_event(input)? {
                Event::Frame(frame) | Event::Salvaged(frame) => return Some(frame),
                Event::Rejected(_) => {}
            }
        }
    }

    /// The next frame or rejected run in `input`, which is advanced past the bytes that were used; `None` when all are used
    /// up.
    #[inline]
    pub fn next_event(&mut self, input: &mut &[u8]) -> Option<Event> {
        while let Some(at) = find(DELIMITER, input) {
            let (run, rest) = input.split_at_checked(at)?;
            *input = rest.get(1..).unwrap_or(&[]);
            let event = if self.collected == 0 {
                self.judge(run)
            } else {
                self.collect(run);
                let collected = core::mem::take(&mut self.collected);
                let whole = self.run;
                match whole.get(..collected) {
                    Some(run) => self.judge(run),
                    None => Some(self.reject_overlong(&whole, collected)),
                }
            };
            if event.is_some() {
                return event;
            }
        }
        self.collect(input);
        *input = &[];
        None
    }

    /// All good frames in `input`. Use the iterator up: bytes that it has not reached are not decoded.
    #[inline]
    pub fn frames<'a>(&'a mut self, input: &'a [u8]) -> Frames<'a> {
        Frames { decoder: self, input }
    }

    #[inline]
    fn collect(&mut self, bytes: &[u8]) {
        if let Some(room) = self.run.get_mut(self.collected..) {
            let fits = bytes.len().min(room.len());
            if let (Some(room), Some(bytes)) = (room.get_mut(..fits), bytes.get(..fits)) {
                room.copy_from_slice(bytes);
            }
        }
        self.collected = self.collected.saturating_add(bytes.len());
    }

    /// Decides about everything between two delimiters.
    #[inline(always)] // The hot path: a call here costs a tenth of the time of a frame.
    fn judge(&mut self, run: &[u8]) -> Option<Event> {
        if (MIN_FRAME_LENGTH..=MAX_FRAME_LENGTH).contains(&run.len()) && !contains(ESCAPE, run) {
            if let Ok(frame) = Frame::from_body(run) {
                self.counters.frames = self.counters.frames.saturating_add(1);
                return Some(Event::Frame(frame));
            }
        } else if run.len() < MIN_CANDIDATE {
            self.counters.stray_bytes = self.counters.stray_bytes.saturating_add(run.len() as u32);
            return None;
        }
        self.judge_with_care(run)
    }

    /// The long way, for whatever is escaped, damaged or no frame at all.
    #[cold]
    #[inline(never)]
    fn judge_with_care(&mut self, run: &[u8]) -> Option<Event> {
        if run.len() > MAX_RUN {
            return Some(self.reject_overlong(run, run.len()));
        }
        let unescaped = unescape::<MAX_SALVAGE>(run);
        if matches!(unescaped, Ok((_, length)) if length < MIN_CANDIDATE) {
            let count = u32::try_from(run.len()).unwrap_or(u32::MAX);
            self.counters.stray_bytes = self.counters.stray_bytes.saturating_add(count);
            return None;
        }
        let error = match unescaped {
            Err(error) => error,
            Ok((body, length)) => {
                let checked = match body.get(..length) {
                    Some(body) => Frame::from_body(body),
                    None => Err(FrameError::TooLong { length }),
                };
                match checked {
                    Ok(frame) => {
                        self.counters.frames = self.counters.frames.saturating_add(1);
                        return Some(Event::Frame(frame));
                    }
                    Err(error) => {
                        if self.salvage
                            && let Some(frame) = body.get(..length).and_then(salvage)
                        {
                            self.counters.frames = self.counters.frames.saturating_add(1);
                            self.counters.salvaged = self.counters.salvaged.saturating_add(1);
                            return Some(Event::Salvaged(frame));
                        }
                        error
                    }
                }
            }
        };
        Some(self.reject(run, error))
    }

    #[cold]
    fn reject_overlong(&mut self, run: &[u8], length: usize) -> Event {
        self.reject(run, FrameError::TooLong { length })
    }

    fn reject(&mut self, run: &[u8], error: FrameError) -> Event {
        let counter = match error {
            FrameError::TooShort { .. } => &mut self.counters.too_short,
            FrameError::TooLong { .. } => &mut self.counters.too_long,
            FrameError::BadEscape => &mut self.counters.bad_escape,
            FrameError::Checksum { .. } => &mut self.counters.bad_checksum,
        };
        *counter = counter.saturating_add(1);
        self.rejected = run.len().min(MAX_RUN);
        for (to, from) in self.rejected_run.iter_mut().zip(run) {
            *to = *from;
        }
        Event::Rejected(error)
    }
}

/// Tries the body without its first one to three bytes and without its last one.
fn salvage(body: &[u8]) -> Option<Frame> {
    for front in 0..=3 {
        for behind in 0..=1 {
            let end = body.len().saturating_sub(behind);
            let Some(candidate) = body.get(front..end) else {
                continue;
            };
            if matches!(candidate.len(), 14 | 16 | 20)
                && let Ok(frame) = Frame::from_body(candidate)
                && frame.message().is_known()
            {
                return Some(frame);
            }
        }
    }
    None
}

/// The good frames in a piece of input; made by [`Decoder::frames`].
#[derive(Debug)]
pub struct Frames<'a> {
    decoder: &'a mut Decoder,
    input: &'a [u8],
}

impl Iterator for Frames<'_> {
    type Item = Frame;

    #[inline]
    fn next(&mut self) -> Option<Frame> {
        self.decoder.next_frame(&mut self.input)
    }
}

impl FusedIterator for Frames<'_> {}
