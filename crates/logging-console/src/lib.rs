//! Log lines on standard output: for people, for pipes, for the system's journal.
//!
//! | [`Style`] | a line | when |
//! |---|---|---|
//! | `Full` | `11:21:32 ⛽ Policy   20 New policy selected` | usually; in colour on a terminal, unless `NO_COLOR` is set |
//! | `Simple` | `⛽ Policy   20 New policy selected` | `logging.Console.simple` |
//! | `Journal` | `<6>⛽ Policy   20 New policy selected` | found by itself: systemd's journal reads the level and adds the time |
//!
//! ```no_run
//! let fanout = logging::Fanout::new();
//! fanout.add(Box::new(logging_console::Console::stdout(false, true)), logging::Mute::default());
//! ```
//!
//! A pipe that nobody reads blocks the sink's thread, not the program. For other places that lines go, see the other
//! `logging-` crates. Facts: layout, colours and numbers as TWCManager 1.4 prints them (recordings); the prefix is
//! sd-daemon(3)'s.

use std::io::{self, IsTerminal, Write};
use std::os::linux::fs::MetadataExt;

use jiff::tz::TimeZone;
use log::Level;
use logging::{Kind, Line, Record, Sink, SinkError, display_name, number_of};

/// Letters that the name of a logger takes.
const NAME_WIDTH: usize = 10;
const YELLOW: &str = "\x1b[33m";
const GREEN: &str = "\x1b[32m";
const CYAN: &str = "\x1b[36m";
const RESET: &str = "\x1b[0m";

/// How a line looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// With the time.
    Full {
        /// In colour.
        colour: bool,
    },
    /// Without time and colour.
    Simple,
    /// Without time and colour, each line with its level for systemd's journal.
    Journal,
}

/// Writes lines to a stream.
pub struct Console {
    out: Box<dyn Write + Send>,
    style: Style,
    with_icons: bool,
    zone: TimeZone,
}

impl Console {
    /// The section of the configuration.
    pub const KEY: &'static str = "logging.Console";

    /// To standard output.
    #[must_use]
    pub fn stdout(simple: bool, with_icons: bool) -> Console {
        let style = style_of(simple, io::stdout().is_terminal(), "/proc/self/fd/1");
        Console::to(Box::new(io::stdout()), style, with_icons)
    }

    /// To standard error, for commands whose result goes to standard output.
    #[must_use]
    pub fn stderr(simple: bool, with_icons: bool) -> Console {
        let style = style_of(simple, io::stderr().is_terminal(), "/proc/self/fd/2");
        Console::to(Box::new(io::stderr()), style, with_icons)
    }

    /// To any stream.
    #[must_use]
    pub fn to(out: Box<dyn Write + Send>, style: Style, with_icons: bool) -> Console {
        Console { out, style, with_icons, zone: TimeZone::system() }
    }

    fn put(&self, line: &Line, text: &mut String) {
        let name = format!("{:NAME_WIDTH$.NAME_WIDTH$}", display_name(&line.target, self.with_icons));
        let number = number_of(line.level);
        match self.style {
            Style::Full { colour } => {
                let time = line.at.to_zoned(self.zone.clone()).strftime("%H:%M:%S");
                let (yellow, green, cyan, reset) = if colour { (YELLOW, GREEN, CYAN, RESET) } else { ("", "", "", "") };
                text.push_str(&format!(
                    "{yellow}{time}{reset} {green}{name}{reset} {cyan}{number}{reset} {}\n",
                    line.text
                ));
            }
            Style::Simple => text.push_str(&format!("{name} {number:02} {}\n", line.text)),
            Style::Journal => {
                let priority = priority(line.level);
                // The journal takes each line for an entry of its own.
                for part in line.text.lines() {
                    text.push_str(&format!("<{priority}>{name} {number:02} {part}\n"));
                }
            }
        }
    }
}

impl Sink for Console {
    fn key(&self) -> &'static str {
        Console::KEY
    }

    fn wants(&self, kind: Kind) -> bool {
        kind == Kind::Line
    }

    fn write(&mut self, records: &[Record]) -> Result<(), SinkError> {
        let mut text = String::new();
        for record in records {
            if let Record::Line(line) = record {
                self.put(line, &mut text);
            }
        }
        self.out
            .write_all(text.as_bytes())
            .and_then(|()| self.out.flush())
            .map_err(|error| SinkError::down(format!("lines cannot be printed: {error}")))
    }

    /// What is older nobody waits for on a screen.
    fn backlog(&self) -> usize {
        1_000
    }
}

fn style_of(simple: bool, is_terminal: bool, stream: &str) -> Style {
    let journal = std::env::var("JOURNAL_STREAM").ok();
    if journal.is_some_and(|journal| is_same_file(&journal, stream)) {
        return Style::Journal;
    }
    if simple {
        return Style::Simple;
    }
    let is_unwanted = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    Style::Full { colour: is_terminal && !is_unwanted }
}

/// systemd gives device and inode of the stream that leads to the journal; a child that was redirected has another.
fn is_same_file(device_and_inode: &str, stream: &str) -> bool {
    std::fs::metadata(stream).is_ok_and(|file| format!("{}:{}", file.st_dev(), file.st_ino()) == device_and_inode)
}

/// Of syslog.
fn priority(level: Level) -> u8 {
    match level {
        Level::Error => 3,
        Level::Warn => 4,
        Level::Info => 6,
        Level::Debug | Level::Trace => 7,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Screen(Arc<Mutex<Vec<u8>>>);

    impl Write for Screen {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn shown(style: Style, with_icons: bool, target: &str, text: &str) -> String {
        let screen = Screen::default();
        let mut console = Console { zone: TimeZone::UTC, ..Console::to(Box::new(screen.clone()), style, with_icons) };
        let at = "2026-11-20T11:21:32.5Z".parse().unwrap();
        let line = Line { at, ..Line::now(Level::Info, target, text) };
        console.write(&[line.into()]).unwrap();
        String::from_utf8(screen.0.lock().unwrap().clone()).unwrap()
    }

    #[test]
    fn lines_look_as_they_did() {
        let full = Style::Full { colour: false };
        assert_eq!(shown(full, true, "policy", "New policy"), "11:21:32 ⛽ Policy   20 New policy\n");
        assert_eq!(shown(full, true, "ems_solaredge", "x"), "11:21:32 ⚡ Solaredg 20 x\n");
        assert_eq!(shown(Style::Simple, false, "control_http", "x"), "[Control]  20 x\n");
        assert_eq!(
            shown(Style::Full { colour: true }, true, "policy", "x"),
            "\x1b[33m11:21:32\x1b[0m \x1b[32m⛽ Policy  \x1b[0m \x1b[36m20\x1b[0m x\n"
        );
    }

    #[test]
    fn the_journal_gets_a_level_with_each_line() {
        assert_eq!(shown(Style::Journal, true, "policy", "a\nb"), "<6>⛽ Policy   20 a\n<6>⛽ Policy   20     b\n");
    }

    #[test]
    fn a_stream_is_the_journal_only_when_it_is_that_very_one() {
        let this = std::fs::metadata("/proc/self/exe").unwrap();
        let name = format!("{}:{}", this.st_dev(), this.st_ino());
        assert!(is_same_file(&name, "/proc/self/exe"));
        assert!(!is_same_file("1:2", "/proc/self/exe"));
    }
}
