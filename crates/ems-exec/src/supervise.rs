//! The thread around a program: listens to it, starts it again when it died, kills it when it hangs.

use std::io::{ErrorKind, Read};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use ems::{EmsError, EmsErrorKind};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::line::{Lines, Piece, parse_line};
use crate::mailbox::Mailbox;
use crate::program::{Program, Settings};
use crate::talk::{Gate, Talk};

/// First pause before a program is started again, doubled up to the longest.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// A program that ran for so long is sound: its next restart comes after the first pause again.
const SOUND_AFTER: Duration = Duration::from_secs(60);
/// How often a silent program is looked at: it may have ended while a child of its own holds its output open.
const LOOK: Duration = Duration::from_millis(500);
/// Pause after each piece of output, so that a program that prints without end does not keep a core busy.
const BREATH: Duration = Duration::from_millis(20);
/// So many bad lines in a row are told as the source's failure; fewer are only logged.
const BAD_LINES: u32 = 3;
/// Output that is still read from a program that has ended, in pieces.
const LAST_PIECES: usize = 16;
const PIECE: usize = 8 * 1024;

/// Runs the program until the other end of `alarm` is closed.
pub(crate) fn supervise(settings: &Settings, mailbox: &Mailbox, alarm: &UnixStream) {
    let mut pause = FIRST_PAUSE;
    let mut listener = Listener::new(settings, mailbox);
    loop {
        let started = Instant::now();
        match Program::start(settings) {
            Ok(mut program) => match follow(&mut program, &mut listener, alarm) {
                Verdict::Stop => return,
                verdict => {
                    if verdict == Verdict::Ended {
                        program.wait_for_end();
                    }
                    // Asked before the end is forced: a signal of ours is not how it ended.
                    let status = program.exit_status();
                    program.end();
                    mailbox.put(Err(listener.failure(&verdict, status, started.elapsed())));
                }
            },
            Err(error) => mailbox.put(Err(error)),
        }
        if started.elapsed() >= SOUND_AFTER {
            pause = FIRST_PAUSE;
        }
        if is_called(alarm, pause) {
            return;
        }
        pause = (pause * 2).min(LONGEST_PAUSE);
        log::debug!("{}: the program is started again", settings.source);
    }
}

/// Why a program is no longer followed.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    /// The driver was dropped.
    Stop,
    /// It ended, or closed its output.
    Ended,
    /// It printed nothing for too long.
    Hung,
}

fn follow(program: &mut Program, listener: &mut Listener<'_>, alarm: &UnixStream) -> Verdict {
    let timeout = listener.settings.timeout;
    let mut deadline = Instant::now() + timeout;
    let mut has_stderr = true;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Verdict::Hung;
        }
        let [called, printed, said] = match ready(alarm, program, has_stderr, left.min(LOOK)) {
            Ok(ready) => ready,
            Err(error) => {
                log::debug!("{}: poll failed: {error}", listener.settings.source);
                return Verdict::Ended;
            }
        };
        if called {
            return Verdict::Stop;
        }
        if said {
            has_stderr = listener.hear(&mut program.stderr);
        }
        if printed {
            match listener.read(&mut program.stdout) {
                None => return Verdict::Ended,
                Some(0) => {}
                Some(_) => deadline = Instant::now() + timeout,
            }
        }
        if printed || said {
            if is_called(alarm, BREATH) {
                return Verdict::Stop;
            }
        } else if program.exit_status().is_some() {
            // What it printed last may still be in the pipe.
            for _ in 0..LAST_PIECES {
                match ready(alarm, program, has_stderr, Duration::ZERO) {
                    Ok([_, false, false]) | Err(_) => break,
                    Ok([_, printed, said]) => {
                        has_stderr = !said || listener.hear(&mut program.stderr);
                        if printed && listener.read(&mut program.stdout).is_none() {
                            break;
                        }
                    }
                }
            }
            return Verdict::Ended;
        }
    }
}

/// Waits until something can be read: the alarm, standard output, standard error.
fn ready(
    alarm: &UnixStream,
    program: &Program,
    has_stderr: bool,
    patience: Duration,
) -> Result<[bool; 3], rustix::io::Errno> {
    let mut fds = [
        PollFd::from_borrowed_fd(alarm.as_fd(), PollFlags::IN),
        PollFd::from_borrowed_fd(program.stdout.as_fd(), PollFlags::IN),
        PollFd::from_borrowed_fd(program.stderr.as_fd(), PollFlags::IN),
    ];
    // A closed stream is ready for ever, so it is left out.
    let count = if has_stderr { 3 } else { 2 };
    wait(fds.get_mut(..count).unwrap_or_default(), patience)?;
    Ok(fds.map(|fd| !fd.revents().is_empty()))
}

/// Waits for the alarm. Whether it was given.
fn is_called(alarm: &UnixStream, patience: Duration) -> bool {
    let mut fds = [PollFd::from_borrowed_fd(alarm.as_fd(), PollFlags::IN)];
    let deadline = Instant::now() + patience;
    loop {
        match wait(&mut fds, deadline.saturating_duration_since(Instant::now())) {
            Err(rustix::io::Errno::INTR) => {}
            // Without poll nothing works; ending is the safe side.
            Err(_) => return true,
            Ok(()) => return fds.iter().any(|fd| !fd.revents().is_empty()),
        }
    }
}

fn wait(fds: &mut [PollFd<'_>], patience: Duration) -> Result<(), rustix::io::Errno> {
    let timeout = Timespec::try_from(patience).ok();
    match poll(fds, timeout.as_ref()) {
        Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
        Err(error) => Err(error),
    }
}

/// What is known from a program's output.
struct Listener<'a> {
    settings: &'a Settings,
    mailbox: &'a Mailbox,
    lines: Lines,
    talk: Talk,
    gate: Gate,
    bad_in_a_row: u32,
    bad_lines: u64,
    has_named_unknown: bool,
}

impl<'a> Listener<'a> {
    fn new(settings: &'a Settings, mailbox: &'a Mailbox) -> Self {
        Listener {
            settings,
            mailbox,
            lines: Lines::default(),
            talk: Talk::new(&settings.source, &settings.env),
            gate: Gate::default(),
            bad_in_a_row: 0,
            bad_lines: 0,
            has_named_unknown: false,
        }
    }

    /// Reads a piece of standard error. Whether there will be more.
    fn hear(&mut self, stderr: &mut impl Read) -> bool {
        let mut piece = [0; PIECE];
        match stderr.read(&mut piece) {
            Ok(0) => false,
            Ok(count) => {
                self.talk.feed(piece.get(..count).unwrap_or_default(), Instant::now());
                true
            }
            Err(error) => error.kind() == ErrorKind::Interrupted,
        }
    }

    /// Reads a piece of standard output and gives the number of lines in it; `None` at its end.
    fn read(&mut self, stdout: &mut impl Read) -> Option<usize> {
        let mut piece = [0; PIECE];
        match stdout.read(&mut piece) {
            Ok(0) => None,
            Ok(count) => {
                let pieces = self.lines.feed(piece.get(..count).unwrap_or_default());
                let count = pieces.len();
                pieces.into_iter().for_each(|piece| self.take(&piece));
                Some(count)
            }
            Err(error) => (error.kind() == ErrorKind::Interrupted).then_some(0),
        }
    }

    fn take(&mut self, piece: &Piece) {
        let now = Instant::now();
        let parsed = match piece {
            Piece::Line(line) => parse_line(line, now).map_err(|error| error.to_string()),
            Piece::TooLong => Err(format!("the line is longer than {} bytes", crate::MAX_LINE)),
        };
        match parsed {
            Ok(None) => {}
            Ok(Some((reading, unknown))) => {
                self.bad_in_a_row = 0;
                if !unknown.is_empty() && !std::mem::replace(&mut self.has_named_unknown, true) {
                    let names = self.talk.clean(&unknown.join("`, `"));
                    log::warn!("{}: the program prints `{names}`, which no field is called", self.settings.source);
                }
                self.mailbox.put(Ok(reading));
            }
            Err(error) => self.bad(&self.talk.clean(&error), now),
        }
    }

    fn bad(&mut self, error: &str, now: Instant) {
        self.bad_in_a_row = self.bad_in_a_row.saturating_add(1);
        self.bad_lines = self.bad_lines.saturating_add(1);
        let count = self.bad_lines;
        if self.bad_in_a_row >= BAD_LINES {
            let text = format!("the program's lines are no readings ({count} bad ones so far): {error}");
            self.mailbox.put(Err(EmsError::garbled(text)));
        } else if self.gate.pass(now).is_some() {
            log::warn!("{}: a line of the program is left out ({count} so far): {error}", self.settings.source);
        }
    }

    /// What to tell about a program that ended or was killed.
    fn failure(&mut self, verdict: &Verdict, status: Option<ExitStatus>, ran: Duration) -> EmsError {
        let unfinished = self.lines.end().is_some();
        let said = self.talk.end(Instant::now()).map(|text| format!(" Its last message: {text}")).unwrap_or_default();
        let timeout = self.settings.timeout.as_secs_f64();
        let text = match verdict {
            Verdict::Hung if unfinished => {
                format!("the program ended no line within {timeout} s and was killed; end each one with a line feed.")
            }
            Verdict::Hung => format!(
                "the program printed no line within {timeout} s and was killed; let it flush each line, or raise {}.timeout.",
                self.settings.source
            ),
            _ => {
                let how = status.map_or("closed its output".to_owned(), |status| format!("ended ({status})"));
                format!(
                    "the program {how} after {} s and is started again; it must go on printing. Run it by hand to see why.",
                    ran.as_secs()
                )
            }
        };
        self.bad_in_a_row = 0;
        EmsError::new(EmsErrorKind::Retry, format!("{text}{said}"))
    }
}
