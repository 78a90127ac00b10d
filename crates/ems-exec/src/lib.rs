//! Energy source: a program of the user's own, in any language, that prints one JSON object a line.
//!
//! ```text
//! the program --stdout--> lines --parse--> readings --\
//!             --stderr--> log                          mailbox (the newest reading) --> Ems::read
//!             <--kill---- supervisor thread ----------/
//! ```
//!
//! | part | does |
//! |---|---|
//! | `line` | from bytes to lines, from a line to a reading; pure |
//! | `program` | starts the program in a process group of its own, and ends all of it |
//! | `supervise` | the thread: listens, restarts what died, kills what hangs |
//!
//! The format is [`ems::WireReading`]; for people who write such a program: `docs/ems/exec.md`.

mod line;
mod mailbox;
mod program;
mod supervise;
mod talk;

use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use ems::{Ems, EmsDriver, EmsError, EmsReading, KeyKind, KeySpec, Pace, Section, Shared, Stop};
use serde_json::Value;

pub use line::{LineError, MAX_LINE, parse_line};
use mailbox::Mailbox;
use program::Settings;

/// A program that is silent for so long hangs, unless `timeout` says otherwise.
const TIMEOUT_S: f64 = 60.0;
/// How often a waiting driver looks whether it should end.
const LOOK_UP: Duration = Duration::from_millis(250);
/// Longest time that dropping the driver waits for the program's end.
const LONGEST_GOODBYE: Duration = Duration::from_millis(950);

/// The driver, for the registry.
pub const DRIVER: EmsDriver = EmsDriver {
    name: "Exec",
    summary: "a program of your own that prints one JSON object a line",
    keys: &[
        KeySpec::new("command", KeyKind::Text, "The program: a path, or a name that is found in PATH"),
        KeySpec::new("args", KeyKind::Texts, "Its arguments, a list of texts; no shell is involved"),
        KeySpec::new("env", KeyKind::Objects, "Environment variables to add, an object of texts"),
        KeySpec::new("timeout", KeyKind::Number, "Seconds without a line after which it is killed (default 60)"),
    ],
    open,
};

fn open(section: &mut Section, _shared: &Shared) -> Option<Box<dyn Ems>> {
    let command = section.required_text("command");
    let args = args(section);
    let env = env(section);
    let timeout = Duration::from_secs_f64(section.number_within("timeout", TIMEOUT_S, 1.0, 86_400.0));
    if command.contains('\0') {
        section.error("command", "has a zero byte in it; write the path of the program");
    } else if command.contains(char::is_whitespace) && !std::path::Path::new(&command).exists() {
        section.warn("command", "has blanks in it, and no file has this name; put arguments into the list `args`");
    }
    let settings = Settings { source: section.path().to_owned(), command, args, env, timeout };
    (!section.has_errors()).then(|| Box::new(Exec { settings, running: None }) as Box<dyn Ems>)
}

/// Arguments as they stand: a blank at the end may be meant.
fn args(section: &mut Section) -> Vec<String> {
    let values = match section.raw("args").cloned() {
        None => return Vec::new(),
        Some(Value::Array(values)) => values,
        Some(one) => vec![one],
    };
    let mut args = Vec::with_capacity(values.len());
    for (index, value) in values.iter().enumerate() {
        match text_of(value) {
            Some(text) => args.push(text),
            None => section.error(&format!("args[{index}]"), "is not a text; write each argument as a text of its own"),
        }
    }
    args
}

fn env(section: &mut Section) -> Vec<(String, String)> {
    let mut env = Vec::new();
    match section.raw("env").cloned() {
        None => {}
        Some(Value::Object(values)) => {
            for (name, value) in &values {
                let is_name = !name.is_empty() && !name.contains(['=', '\0']);
                match text_of(value) {
                    Some(text) if is_name => env.push((name.clone(), text)),
                    Some(_) => section.error("env", "has a name that no environment variable can have"),
                    None => section.error(&format!("env.{name}"), "is not a text; environment variables are texts"),
                }
            }
        }
        Some(_) => section.error("env", "is not an object; write it like {\"NAME\": \"value\"}"),
    }
    env
}

fn text_of(value: &Value) -> Option<String> {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        Value::Bool(flag) => flag.to_string(),
        _ => return None,
    };
    (!text.contains('\0')).then_some(text)
}

struct Exec {
    settings: Settings,
    /// From the first reading on: making a driver must not start anything.
    running: Option<Running>,
}

/// The supervisor's thread, as its owner sees it.
struct Running {
    mailbox: Arc<Mailbox>,
    /// Closing it tells the thread to end.
    alarm: Option<UnixStream>,
    /// Hangs up when the thread has ended.
    ended: Receiver<()>,
}

impl Running {
    fn start(settings: &Settings) -> Result<Self, EmsError> {
        let cannot = |error| EmsError::retry(format!("no thread or pipe can be made: {error}; close other programs"));
        let (alarm, alarm_end) = UnixStream::pair().map_err(cannot)?;
        let (ending, ended) = channel();
        let mailbox = Arc::new(Mailbox::default());
        let (settings, mail) = (settings.clone(), Arc::clone(&mailbox));
        std::thread::Builder::new()
            .name(settings.source.clone())
            .stack_size(512 * 1024)
            .spawn(move || {
                // Held until the thread is over, be it by a panic.
                let _ending = ending;
                supervise::supervise(&settings, &mail, &alarm_end);
            })
            .map_err(cannot)?;
        Ok(Running { mailbox, alarm: Some(alarm), ended })
    }

    fn is_over(&self) -> bool {
        matches!(self.ended.try_recv(), Err(std::sync::mpsc::TryRecvError::Disconnected))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.alarm.take());
        // An error either way: the thread has ended, or it takes too long (a program that not even SIGKILL ends at once)
        // and goes on alone.
        let _ = self.ended.recv_timeout(LONGEST_GOODBYE);
    }
}

impl Ems for Exec {
    fn read(&mut self, stop: &Stop) -> Result<EmsReading, EmsError> {
        if self.running.as_ref().is_some_and(Running::is_over) {
            self.running = None;
        }
        let running = match &mut self.running {
            Some(running) => running,
            none => none.insert(Running::start(&self.settings)?),
        };
        while !stop.is_asked() {
            if let Some(result) = running.mailbox.take(LOOK_UP) {
                return result;
            }
            if running.is_over() {
                return Err(EmsError::retry("the supervisor of the program failed inside; please report it"));
            }
        }
        Err(EmsError::stopped())
    }

    fn pace(&self) -> Pace {
        Pace::Pushed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn opened(json: &str) -> (bool, Vec<String>) {
        let mut section = Section::new("sources.Exec", serde_json::from_str(json).unwrap());
        let is_open = (DRIVER.open)(&mut section, &Shared::new()).is_some();
        (is_open, section.problems().iter().map(|problem| problem.key.clone()).collect())
    }

    #[test]
    fn mistakes_name_their_key() {
        assert_eq!(opened(r#"{"command": "/bin/true", "args": ["a", 5], "env": {"A": 1}}"#), (true, vec![]));
        assert_eq!(opened("{}"), (false, vec!["sources.Exec.command".to_owned()]));
        let (is_open, keys) = opened(r#"{"command": "x", "args": [{}], "env": {"A=": ""}, "timeout": 0}"#);
        assert_eq!(
            (is_open, keys),
            (false, ["args[0]", "env", "timeout"].map(|key| format!("sources.Exec.{key}")).to_vec())
        );
        assert!(!opened(r#"{"command": "x", "env": ["A=1"]}"#).0);
    }

    #[test]
    fn a_command_line_in_one_text_is_pointed_out() {
        assert_eq!(opened(r#"{"command": "/no/meter.py --fast"}"#), (true, vec!["sources.Exec.command".to_owned()]));
    }
}
