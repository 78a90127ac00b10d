//! Energy source: current clamps (SCT-013) on a small board of one's own, over a serial line or HTTP.
//!
//! Facts: the text protocol of the fork TWCManager2; configuration and quirks in `docs/ems/sct013.md`.

mod parse;

use std::io::{ErrorKind, Read};
use std::time::{Duration, Instant};

use ems::{Ems, EmsDriver, EmsError, EmsReading, KeyKind, KeySpec, Pace, Section, Shared, Stop};
use http_client::Client;
use serialport::{ClearBuffer, SerialPort};

pub use parse::{Setup, clamp, reading};

const BAUD: u32 = 9600;
const INTERVAL: Duration = Duration::from_secs(10);
/// Boards print a line every few seconds, and start anew when the port is opened.
const PATIENCE: Duration = Duration::from_secs(8);
/// How often a waiting read looks whether to end.
const LOOK_UP: Duration = Duration::from_millis(500);
/// Most text that is kept while waiting for the markers.
const MOST_TEXT: usize = 8192;

/// The driver, for the registry.
pub const DRIVER: EmsDriver = EmsDriver {
    name: "SCT013",
    summary: "current clamps (SCT-013) on a small board of one's own",
    keys: &[
        KeySpec::new("arduinoPort", KeyKind::Text, "Serial device of the board (9600 baud)"),
        KeySpec::new("arduinoIP", KeyKind::Text, "Address of the board instead; its first page is read"),
        KeySpec::new("serverPort", KeyKind::Port, "Port of that page (default 80)"),
        KeySpec::new("consumption", KeyKind::Flag, "Whether clamps 0 to 2 measure the consumption (default true)"),
        KeySpec::new("generation", KeyKind::Flag, "Whether clamps 3 to 5 measure the generation (default false)"),
        KeySpec::new(
            "gridConnection",
            KeyKind::Flag,
            "Whether clamps 0 to 2 sit at the grid connection (default false)",
        ),
        KeySpec::new("numberOfPhases", KeyKind::Number, "Phases with clamps: 1 (default) or 3"),
        KeySpec::new("voltage", KeyKind::Number, "Volts between phase and neutral (default 240)"),
    ],
    open,
};

fn open(section: &mut Section, shared: &Shared) -> Option<Box<dyn Ems>> {
    let phases = section.number_within("numberOfPhases", 1.0, 1.0, 3.0);
    if phases != 1.0 && phases != 3.0 {
        section.error("numberOfPhases", "must be 1 or 3");
    }
    let is_named = section.raw("consumption").is_some() || section.raw("generation").is_some();
    let setup = Setup {
        consumption: section.flag("consumption", !is_named),
        generation: section.flag("generation", false),
        at_grid: section.flag("gridConnection", false),
        phases: if phases == 3.0 { 3 } else { 1 },
        volts: section.number_within("voltage", 240.0, 50.0, 500.0),
    };
    if !setup.consumption && !setup.generation && !section.has_errors() {
        section.error("consumption", "is false like `generation`; set at least one of them to true");
    }
    let board = match (section.text("arduinoPort"), section.text("arduinoIP")) {
        (Some(_), Some(_)) => {
            section.error("arduinoPort", "stands beside `arduinoIP`; leave one of the two");
            None
        }
        (None, None) => {
            section.error("arduinoPort", "is missing; name the board's serial device, or its `arduinoIP`");
            None
        }
        (Some(path), None) => Some(Board::Serial { path, port: None }),
        (None, Some(_)) => {
            let port = section.port("serverPort", 80);
            let base = ems_http::base(section, "arduinoIP", port, false);
            ems_http::client(section, shared, base.as_deref(), "arduinoIP", |builder| builder)
                .map(|client| Board::Http(Box::new(client)))
        }
    };
    let board = board.filter(|_| !section.has_errors())?;
    Some(Box::new(Clamps { board, setup }))
}

enum Board {
    Http(Box<Client>),
    Serial { path: String, port: Option<Box<dyn SerialPort>> },
}

struct Clamps {
    board: Board,
    setup: Setup,
}

impl Ems for Clamps {
    fn read(&mut self, stop: &Stop) -> Result<EmsReading, EmsError> {
        let text = match &mut self.board {
            Board::Http(client) => client.get_text("/").map_err(|error| ems_http::failed(&error))?,
            Board::Serial { path, port } => {
                let result = line(path, port, self.setup, stop);
                if result.is_err() {
                    // Adapters go and come back: opened anew next time.
                    *port = None;
                }
                result?
            }
        };
        reading(&text, self.setup).map_err(EmsError::garbled)?.into_reading(Instant::now()).map_err(EmsError::garbled)
    }

    fn pace(&self) -> Pace {
        Pace::Every(INTERVAL)
    }
}

/// What the board prints from now on, until all clamps that are needed are in it.
fn line(path: &str, port: &mut Option<Box<dyn SerialPort>>, setup: Setup, stop: &Stop) -> Result<String, EmsError> {
    let broken = |error: &dyn std::fmt::Display| {
        EmsError::retry(format!(
            "the board at {path} cannot be read ({error}); check cable, `arduinoPort` and permissions"
        ))
    };
    let open = match port {
        Some(open) => open,
        None => {
            let opened = serialport::new(path, BAUD).timeout(LOOK_UP).open().map_err(|error| broken(&error))?;
            port.insert(opened)
        }
    };
    // What waits in the system is old.
    open.clear(ClearBuffer::Input).map_err(|error| broken(&error))?;
    let deadline = Instant::now() + PATIENCE;
    let (mut text, mut buffer) = (String::new(), [0; 256]);
    while Instant::now() < deadline {
        if stop.is_asked() {
            return Err(EmsError::stopped());
        }
        match open.read(&mut buffer) {
            Ok(0) => return Err(broken(&"the line was closed")),
            Ok(count) => text.push_str(&String::from_utf8_lossy(buffer.get(..count).unwrap_or_default())),
            Err(error) if matches!(error.kind(), ErrorKind::TimedOut | ErrorKind::Interrupted) => {}
            Err(error) => return Err(broken(&error)),
        }
        if setup.is_complete(&text) {
            return Ok(text);
        }
        if text.len() > MOST_TEXT {
            break;
        }
    }
    match text.contains("IrmsA") {
        // Some of the clamps: said which sums are unknown.
        true => Ok(text),
        false if text.is_empty() => {
            Err(EmsError::retry(format!("the board at {path} prints nothing; is its program running?")))
        }
        false => Err(EmsError::garbled(format!(
            "the board at {path} prints something else than `IrmsA0 = … EndA0`; check its program and that it sends at 9600 baud"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use recordings::{Answer, Peer};
    use serde_json::{Value, json};
    use std::fs::File;
    use std::io::Write;

    fn open_with(values: Value) -> Box<dyn Ems> {
        let mut section = Section::new("sources.SCT013", values.as_object().cloned().unwrap());
        let driver = (DRIVER.open)(&mut section, &Shared::new());
        assert_eq!(section.problems(), []);
        driver.unwrap()
    }

    #[test]
    fn a_board_over_http() {
        let peer = Peer::start(|asked| match asked.target.as_str() {
            "/" => Answer::html("<html>IrmsA0 = 1.5 EndA0 IrmsA3 = 10.0 EndA3</html>"),
            _ => Answer::status(404),
        });
        let settings = json!({"arduinoIP": peer.url(), "consumption": true, "generation": true, "voltage": 230});
        let found = open_with(settings).read(&Stop::never()).unwrap();
        assert_eq!(
            (found.consumption.map(|w| w.get()), found.generation.map(|w| w.get())),
            (Some(345.0), Some(2300.0))
        );
        for answer in [Answer::html("<html>hello</html>"), Answer::status(500), Answer::html("")] {
            let peer = Peer::start(move |_| answer.clone());
            assert!(open_with(json!({"arduinoIP": peer.url()})).read(&Stop::never()).is_err());
        }
    }

    /// A pty: its near end, the path of its far end, and a file that keeps that open.
    fn pty() -> (File, File, String) {
        use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
        let near = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&near).unwrap();
        unlockpt(&near).unwrap();
        let path = ptsname(&near, Vec::new()).unwrap().into_string().unwrap();
        let far = File::options().read(true).write(true).open(&path).unwrap();
        (File::from(near), far, path)
    }

    #[test]
    fn a_board_on_a_serial_line_that_is_cut_into_pieces() {
        let (mut near, _far, path) = pty();
        let mut driver = open_with(json!({"arduinoPort": path, "consumption": "yes", "voltage": 230}));
        let is_over = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
        let over = is_over.clone();
        let board = std::thread::spawn(move || {
            while !over.load(std::sync::atomic::Ordering::SeqCst) {
                for piece in ["IrmsA0 = 2", ".0 End", "A0\r\n"] {
                    near.write_all(piece.as_bytes()).unwrap();
                    std::thread::yield_now();
                }
                std::thread::park_timeout(Duration::from_millis(20));
            }
        });
        for _ in 0..2 {
            assert_eq!(driver.read(&Stop::never()).unwrap().consumption.map(|w| w.get()), Some(460.0));
        }
        is_over.store(true, std::sync::atomic::Ordering::SeqCst);
        drop(driver);
        board.join().unwrap();
    }

    #[test]
    fn a_missing_board_and_the_end_of_the_program() {
        let error = open_with(json!({"arduinoPort": "/dev/nowhere"})).read(&Stop::never()).unwrap_err();
        assert!(error.to_string().contains("arduinoPort"), "{error}");
        let (_near, _far, path) = pty();
        let handle = ems::StopHandle::new();
        handle.end();
        let error = open_with(json!({"arduinoPort": path})).read(&handle.stop()).unwrap_err();
        assert_eq!(error.kind(), ems::EmsErrorKind::Stopped);
    }

    #[test]
    fn wrong_settings_are_named() {
        for (values, key) in [
            (json!({}), "arduinoPort"),
            (json!({"arduinoPort": "/dev/ttyUSB0", "arduinoIP": "192.0.2.7"}), "arduinoPort"),
            (json!({"arduinoIP": "x.x.x.x"}), "arduinoIP"),
            (json!({"arduinoPort": "/dev/ttyUSB0", "numberOfPhases": 2}), "numberOfPhases"),
            (json!({"arduinoPort": "/dev/ttyUSB0", "consumption": false}), "consumption"),
            (json!({"arduinoPort": "/dev/ttyUSB0", "voltage": 12}), "voltage"),
        ] {
            let mut section = Section::new("sources.SCT013", values.as_object().cloned().unwrap());
            assert!((DRIVER.open)(&mut section, &Shared::new()).is_none(), "{values}");
            assert_eq!(section.problems()[0].key, format!("sources.SCT013.{key}"));
        }
    }
}
