//! Debug messages on the buses of Gen 2 connectors, and the answers to them.

use std::fmt;
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use control_http::{DebugBus, DebugMessage};
use evse::EvseController;
use evse_gen2::{Direction, Gen2Controller, Monitor, Traffic};
use gen2_protocol::{Decoder, Message, RequestKind, SlaveMessage, TwcId};

/// Nothing was asked yet; codes on the bus have eight bits.
const NOTHING: u16 = u16::MAX;

/// Listens for the answer to the last debug message.
#[derive(Debug)]
pub struct Answers {
    /// The code that was asked for; the bus thread looks here first, without a lock.
    asked: AtomicU16,
    last: Mutex<Option<Vec<u8>>>,
}

impl Answers {
    /// Has heard nothing.
    pub fn new() -> Arc<Answers> {
        Arc::new(Answers { asked: AtomicU16::new(NOTHING), last: Mutex::new(None) })
    }

    /// To be called by a bus for each message.
    pub fn monitor(self: &Arc<Self>) -> Monitor {
        let answers = Arc::clone(self);
        Arc::new(move |traffic: &Traffic| {
            let asked = answers.asked.load(Ordering::Relaxed);
            if asked == NOTHING || traffic.direction != Direction::In {
                return;
            }
            if let Some(body) =
                answer_of(traffic.message).filter(|body| body.get(1).copied().map(u16::from) == Some(asked))
            {
                *answers.lock() = Some(body);
            }
        })
    }

    fn expect(&self, code: u8) {
        *self.lock() = Some(Vec::new());
        self.asked.store(u16::from(code), Ordering::Relaxed);
    }

    fn lock(&self) -> MutexGuard<'_, Option<Vec<u8>>> {
        // One value is swapped under it.
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The bytes of an answer, family and code first; `None` for the everyday talk.
fn answer_of(message: Message) -> Option<Vec<u8>> {
    let answer = match message {
        Message::Meter(meter) => SlaveMessage::Meter(meter),
        Message::Version(version) => SlaveMessage::Version(version),
        Message::Serial(serial) => SlaveMessage::Serial(serial),
        Message::VinPart(part) => SlaveMessage::VinPart(part),
        Message::PlugStatus(status) => SlaveMessage::PlugStatus(status),
        Message::AnonymousSerial(text) => SlaveMessage::AnonymousSerial(text),
        Message::AnonymousModel(text) => SlaveMessage::AnonymousModel(text),
        Message::AnonymousVersion(version) => SlaveMessage::AnonymousVersion(version),
        Message::Unknown(frame) => return Some(frame.as_bytes().to_vec()),
        _ => return None,
    };
    // The monitor gets meanings; the bytes are those that a connector sends for them.
    let wire = answer.encode();
    Decoder::new().next_frame(&mut wire.as_bytes()).map(|frame| frame.as_bytes().to_vec())
}

/// All buses of the program.
pub struct Buses {
    buses: Weak<Mutex<Vec<Gen2Controller>>>,
    answers: Arc<Answers>,
}

impl Buses {
    /// The program keeps the buses; this only borrows them, so that they end with the program.
    pub fn new(buses: &Arc<Mutex<Vec<Gen2Controller>>>, answers: Arc<Answers>) -> Buses {
        Buses { buses: Arc::downgrade(buses), answers }
    }
}

impl fmt::Debug for Buses {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Buses")
    }
}

impl DebugBus for Buses {
    fn send(&self, message: &DebugMessage) -> Result<(), String> {
        let buses = self.buses.upgrade().ok_or("the program is ending")?;
        let buses = buses.lock().unwrap_or_else(PoisonError::into_inner);
        match message {
            DebugMessage::Bytes(bytes) => {
                // Refused before anything that was heard is forgotten.
                for bus in buses.iter() {
                    bus.send_debug(bytes).map_err(|error| error.to_string())?;
                }
                self.answers.expect(bytes.get(1).copied().unwrap_or_default());
            }
            DebugMessage::FirmwareVersion => {
                let mut asked = 0;
                for bus in buses.iter() {
                    for connector in bus.instances().iter().filter_map(|instance| connector(instance.id().as_str())) {
                        bus.ask(connector, RequestKind::Version).map_err(|error| error.to_string())?;
                        asked += 1;
                    }
                }
                if asked == 0 {
                    return Err("no connector has been heard on the bus yet".to_owned());
                }
                self.answers.expect(RequestKind::Version.code());
            }
        }
        Ok(())
    }

    fn last_answer(&self) -> Option<Vec<u8>> {
        self.answers.lock().clone()
    }
}

/// `gen2-3a7c` is the connector 3A7C.
fn connector(id: &str) -> Option<TwcId> {
    id.strip_prefix("gen2-")?.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use gen2_protocol::Version;

    use super::*;

    #[test]
    fn only_the_answer_to_what_was_asked_is_kept() {
        let answers = Answers::new();
        let monitor = answers.monitor();
        let hear = |direction, version| {
            let message = Message::Version(Version { unit: TwcId::from_u16(0x3a7c), version });
            monitor(&Traffic { at: Instant::now(), direction, message });
        };
        hear(Direction::In, [1, 2, 3, 4]);
        assert_eq!(*answers.lock(), None, "nobody asked");
        answers.expect(RequestKind::Serial.code());
        hear(Direction::In, [1, 2, 3, 4]);
        assert_eq!(*answers.lock(), Some(Vec::new()), "another question");
        answers.expect(RequestKind::Version.code());
        hear(Direction::Out, [9, 9, 9, 9]);
        hear(Direction::In, [0xC0, 0xDB, 3, 4]);
        let heard = answers.lock().clone().unwrap();
        assert_eq!(heard[..8], [0xFD, 0xEC, 0x3A, 0x7C, 0xC0, 0xDB, 3, 4]);
    }
}
