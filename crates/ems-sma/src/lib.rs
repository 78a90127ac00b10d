//! Energy source: SMA Energy Meter and Sunny Home Manager 2.0, which push their values every second (Speedwire).
//!
//! Facts: SMA "EMETER-Protocol" technical information; quirks and configuration in `docs/ems/sma.md`.

pub mod parse;
mod socket;

use std::collections::BTreeSet;
use std::io;
use std::net::UdpSocket;
use std::time::{Duration, Instant};

use ems::{Ems, EmsDriver, EmsError, EmsErrorKind, EmsReading, KeyKind, KeySpec, Pace, Section, Shared, Stop};

use parse::datagram;
use socket::{GROUP, Interface};

/// Port of Speedwire.
const PORT: u16 = 9522;
/// A meter speaks every second; after so much silence something is wrong.
const SILENCE: Duration = Duration::from_secs(10);
/// How often a wait looks whether the program ends.
const LOOK: Duration = Duration::from_millis(500);
/// More than the longest datagram seen (608 bytes).
const LONGEST: usize = 2048;

/// Most meters that are remembered for a message.
const MOST_HEARD: usize = 16;

/// The driver, for the registry.
pub const DRIVER: EmsDriver = EmsDriver {
    name: "SMA",
    summary: "SMA Energy Meter and Sunny Home Manager 2.0 (Speedwire, pushed every second)",
    keys: &[
        KeySpec::new("serial", KeyKind::Number, "Serial number of the meter; needed when there are several"),
        KeySpec::new(
            "interface",
            KeyKind::Text,
            "Name or IPv4 address of the network interface to listen on (default: the system's)",
        ),
        KeySpec::new("port", KeyKind::Port, "Port to listen on (default 9522)"),
    ],
    open,
};

fn open(section: &mut Section, _: &Shared) -> Option<Box<dyn Ems>> {
    let port = section.port("port", PORT);
    let serial = section.text("serial").and_then(|text| {
        let serial = text.parse::<u32>().ok();
        if serial.is_none() {
            section.error("serial", "is no serial number; the digits printed on the meter are needed");
        }
        serial
    });
    let interface = match section.text("interface") {
        None => Interface::Any,
        Some(text) => match text.parse() {
            Ok(address) => Interface::Address(address),
            Err(_) if text.chars().all(|c| c.is_ascii_alphanumeric() || "_-@:".contains(c)) => Interface::Named(text),
            Err(_) => {
                section.error(
                    "interface",
                    "is neither the name of a network interface, such as `eth0`, nor its IPv4 address",
                );
                Interface::Any
            }
        },
    };
    (!section.has_errors())
        .then(|| Box::new(Listener { port, serial, interface, ear: None, heard: BTreeSet::new() }) as Box<dyn Ems>)
}

struct Listener {
    port: u16,
    serial: Option<u32>,
    interface: Interface,
    ear: Option<Ear>,
    /// All meters that spoke.
    heard: BTreeSet<u32>,
}

struct Ear {
    socket: UdpSocket,
    not_joined: Option<io::Error>,
}

impl Listener {
    fn listen(&mut self) -> Result<&Ear, EmsError> {
        if self.ear.is_none() {
            let port = self.port;
            let cannot = |error: io::Error| {
                EmsError::retry(format!(
                    "UDP port {port} cannot be opened ({error}); end the program that holds it for itself"
                ))
            };
            let (socket, not_joined) = socket::open(port, &self.interface).map_err(cannot)?;
            socket.set_read_timeout(Some(LOOK)).map_err(cannot)?;
            self.ear = Some(Ear { socket, not_joined });
        }
        self.ear.as_ref().ok_or_else(|| EmsError::retry("there is no socket"))
    }

    fn silence(&mut self) -> EmsError {
        let not_joined = self.ear.take().and_then(|ear| ear.not_joined);
        if let Some(error) = not_joined {
            return EmsError::retry(format!(
                "no SMA meter is heard, and the multicast group {GROUP} cannot be joined ({error}): set `interface` to the \
                 network interface of the house, such as `eth0`"
            ));
        }
        let others: Vec<String> = self.heard.iter().map(u32::to_string).collect();
        match (self.serial, others.is_empty()) {
            (Some(serial), false) => EmsError::new(
                EmsErrorKind::Misconfigured,
                format!("meter {serial} is not heard, but {} is: correct `serial`", others.join(", ")),
            ),
            _ => EmsError::retry(format!(
                "no SMA meter was heard for {} s: it must be in the same network (multicast {GROUP} does not pass Docker's \
                 bridge networks and many Wi-Fi access points); with several networks set `interface`",
                SILENCE.as_secs()
            )),
        }
    }
}

impl Ems for Listener {
    fn read(&mut self, stop: &Stop) -> Result<EmsReading, EmsError> {
        let started = Instant::now();
        let mut buffer = [0; LONGEST];
        while started.elapsed() < SILENCE {
            if stop.is_asked() {
                return Err(EmsError::stopped());
            }
            let length = match self.listen()?.socket.recv(&mut buffer) {
                Ok(length) => length,
                Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => continue,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => {
                    self.ear = None;
                    return Err(EmsError::retry(format!(
                        "the network failed while listening ({error}); it is tried again"
                    )));
                }
            };
            let Some(found) = buffer.get(..length).and_then(datagram) else { continue };
            if self.heard.len() < MOST_HEARD {
                self.heard.insert(found.serial);
            }
            if self.serial.is_none() && self.heard.len() > 1 {
                let serials: Vec<String> = self.heard.iter().map(u32::to_string).collect();
                // One that was taken away is not heard again.
                self.heard.clear();
                return Err(EmsError::new(
                    EmsErrorKind::Misconfigured,
                    format!(
                        "several SMA meters are heard ({}): set `serial` to the one at the grid connection",
                        serials.join(", ")
                    ),
                ));
            }
            if self.serial.is_none_or(|serial| serial == found.serial) {
                return found.values.into_reading(Instant::now()).map_err(EmsError::garbled);
            }
        }
        Err(self.silence())
    }

    fn pace(&self) -> Pace {
        Pace::Pushed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse::encode;
    use ems::StopHandle;
    use ems::units::Watts;
    use serde_json::{Value, json};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    fn section(values: &Value) -> Section {
        Section::new("sources.SMA", values.as_object().unwrap().clone())
    }

    /// A port that was free a moment ago.
    fn free_port() -> u16 {
        UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
    }

    /// Sends the datagrams to a port over and over until dropped, as meters do.
    struct Meters(Arc<AtomicBool>);

    impl Meters {
        fn start(port: u16, datagrams: Vec<Vec<u8>>) -> Self {
            let is_over = Arc::new(AtomicBool::new(false));
            let over = Arc::clone(&is_over);
            std::thread::spawn(move || {
                let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
                while !over.load(Ordering::SeqCst) {
                    for bytes in &datagrams {
                        // Until the listener is there this is refused.
                        let _ = socket.send_to(bytes, ("127.0.0.1", port));
                    }
                    std::thread::sleep(Duration::from_millis(20));
                }
            });
            Meters(is_over)
        }
    }

    impl Drop for Meters {
        fn drop(&mut self) {
            self.0.store(true, Ordering::SeqCst);
        }
    }

    fn open_at(port: u16, more: &Value) -> Box<dyn Ems> {
        let mut values = json!({"port": port, "interface": "127.0.0.1"});
        values.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        (DRIVER.open)(&mut section(&values), &Shared::new()).unwrap()
    }

    #[test]
    fn a_meter_is_heard_and_others_are_passed_over() {
        let port = free_port();
        let _meters = Meters::start(
            port,
            vec![b"noise".to_vec(), encode(1, &[(1, 990), (2, 0)]), encode(2, &[(1, 0), (2, 23_000)])],
        );
        let mut driver = open_at(port, &json!({"serial": "2"}));
        for _ in 0..3 {
            assert_eq!(driver.read(&Stop::never()).unwrap().grid.map(Watts::get), Some(-2300.0));
        }
        assert_eq!(driver.pace(), Pace::Pushed);
    }

    #[test]
    fn several_meters_without_a_serial_are_named() {
        let port = free_port();
        let _meters = Meters::start(port, vec![encode(1, &[(1, 990), (2, 0)]), encode(2, &[(1, 0), (2, 23_000)])]);
        let mut driver = open_at(port, &json!({}));
        let error = (0..100).find_map(|_| driver.read(&Stop::never()).err()).unwrap();
        assert_eq!(error.kind(), EmsErrorKind::Misconfigured);
        assert!(error.to_string().contains("1, 2") && error.to_string().contains("`serial`"), "{error}");
    }

    #[test]
    fn a_waiting_listener_ends_when_asked() {
        let mut driver = open_at(free_port(), &json!({}));
        let handle = StopHandle::new();
        let stop = handle.stop();
        let waiter = std::thread::spawn(move || driver.read(&stop).unwrap_err().kind());
        handle.end();
        assert_eq!(waiter.join().unwrap(), EmsErrorKind::Stopped);
    }

    #[test]
    fn mistakes_are_named_at_start() {
        for (values, key) in [
            (json!({"serial": "abc"}), "serial"),
            (json!({"interface": "../etc"}), "interface"),
            (json!({"port": 0}), "port"),
        ] {
            let mut section = section(&values);
            assert!((DRIVER.open)(&mut section, &Shared::new()).is_none());
            assert_eq!(section.problems()[0].key, format!("sources.SMA.{key}"));
        }
    }
}
