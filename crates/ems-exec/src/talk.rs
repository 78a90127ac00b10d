//! What a program says on standard error, on its way into the log: bounded, on one line each, without secrets.

use std::time::{Duration, Instant};

use crate::line::{Lines, Piece, cut};

/// Most lines of one program that reach the log within [`WINDOW`].
const LINES: u32 = 10;
const WINDOW: Duration = Duration::from_secs(60);
/// Longest line in the log, in characters.
const LENGTH: usize = 300;
/// Shorter values of environment variables are too common in other texts to be hidden.
const SHORTEST_SECRET: usize = 6;

/// Passes on a few lines a minute and counts the rest. Without a clock: `now` is given.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    window: Option<(Instant, u32)>,
    held_back: u64,
}

impl Gate {
    /// Whether a line may pass, and how many were held back before it.
    pub fn pass(&mut self, now: Instant) -> Option<u64> {
        let (start, count) = self.window.filter(|(start, _)| now.duration_since(*start) < WINDOW).unwrap_or((now, 0));
        self.window = Some((start, count.saturating_add(1)));
        if count < LINES {
            return Some(std::mem::take(&mut self.held_back));
        }
        self.held_back = self.held_back.saturating_add(1);
        None
    }
}

/// The standard error of a program.
#[derive(Debug)]
pub(crate) struct Talk {
    source: String,
    secrets: Vec<String>,
    lines: Lines,
    gate: Gate,
    last: Option<String>,
}

impl Talk {
    /// For the program of a source; the values of `env` are never shown.
    pub fn new(source: &str, env: &[(String, String)]) -> Self {
        let mut secrets: Vec<String> =
            env.iter().map(|(_, value)| value.clone()).filter(|value| value.len() >= SHORTEST_SECRET).collect();
        // The longest first: one may be a part of another.
        secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        Talk { source: source.to_owned(), secrets, lines: Lines::default(), gate: Gate::default(), last: None }
    }

    /// Takes what arrived, and logs it.
    pub fn feed(&mut self, bytes: &[u8], now: Instant) {
        for piece in self.lines.feed(bytes) {
            self.say(piece, now);
        }
    }

    /// The program is over: logs what had no end, and gives the last line that it said.
    pub fn end(&mut self, now: Instant) -> Option<String> {
        if let Some(piece) = self.lines.end() {
            self.say(piece, now);
        }
        self.last.take()
    }

    /// A text of the program, fit for the log.
    pub fn clean(&self, text: &str) -> String {
        let hidden = self.secrets.iter().fold(text.to_owned(), |text, secret| text.replace(secret, "***"));
        cut(hidden.trim(), LENGTH)
    }

    fn say(&mut self, piece: Piece, now: Instant) {
        let text = match piece {
            Piece::Line(line) => self.clean(&String::from_utf8_lossy(&line)),
            Piece::TooLong => "(a line without end)".to_owned(),
        };
        if text.is_empty() {
            return;
        }
        match self.gate.pass(now) {
            Some(0) => log::warn!("{}: {text}", self.source),
            Some(more) => log::warn!("{}: {text} (and {more} lines before it that are not shown)", self.source),
            None => log::trace!("{}: {text}", self.source),
        }
        self.last = Some(text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_counted_and_not_shown() {
        let start = Instant::now();
        let mut gate = Gate::default();
        let shown = (0..1000).filter(|_| gate.pass(start).is_some()).count();
        assert_eq!(shown, 10);
        assert_eq!(gate.pass(start + WINDOW), Some(990));
        assert_eq!(gate.pass(start + WINDOW), Some(0));
    }

    #[test]
    fn secrets_and_control_characters_stay_out() {
        let env = [("TOKEN".to_owned(), "hunter2-hunter2".to_owned()), ("DEBUG".to_owned(), "1".to_owned())];
        let mut talk = Talk::new("sources.Exec", &env);
        talk.feed(b"login 1 with hunter2-hunter2\x1b[2J failed\nlast", Instant::now());
        assert_eq!(talk.clean("login 1 with hunter2-hunter2\x1b[2J failed"), "login 1 with *** [2J failed");
        assert_eq!(talk.end(Instant::now()).as_deref(), Some("last"));
    }
}
