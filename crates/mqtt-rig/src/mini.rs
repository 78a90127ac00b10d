//! A broker in this process.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use mqtt_link::topic;

use crate::GENEROUS;

/// As much of an MQTT 3.1.1 broker as links need: QoS 0, retained messages, last wills.
pub struct Mini {
    address: SocketAddr,
    core: Arc<Mutex<Core>>,
}

#[derive(Default)]
struct Core {
    closed: bool,
    clients: BTreeMap<usize, (TcpStream, Vec<String>)>,
    retained: BTreeMap<String, Vec<u8>>,
}

fn text(bytes: &mut &[u8]) -> Option<Vec<u8>> {
    let (length, rest) = bytes.split_first_chunk::<2>()?;
    let (text, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
    *bytes = rest;
    Some(text.to_vec())
}

fn read_packet(stream: &mut impl Read) -> Option<(u8, Vec<u8>)> {
    let mut byte = [0];
    stream.read_exact(&mut byte).ok()?;
    let head = byte[0];
    let (mut length, mut shift) = (0, 0);
    loop {
        stream.read_exact(&mut byte).ok()?;
        length |= usize::from(byte[0] & 0x7f) << shift;
        shift += 7;
        if byte[0] < 0x80 {
            break;
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).ok()?;
    Some((head, body))
}

fn publish_packet(topic: &str, payload: &[u8], retain: bool) -> Vec<u8> {
    let mut out = vec![0x30 | u8::from(retain)];
    let mut length = 2 + topic.len() + payload.len();
    while length >= 0x80 {
        out.push(u8::try_from(length & 0x7f).unwrap() | 0x80);
        length >>= 7;
    }
    out.push(u8::try_from(length).unwrap());
    out.extend(u16::try_from(topic.len()).unwrap().to_be_bytes());
    out.extend(topic.as_bytes());
    out.extend(payload);
    out
}

impl Core {
    fn publish(&mut self, topic: &str, payload: &[u8], retain: bool) {
        if retain && payload.is_empty() {
            self.retained.remove(topic);
        } else if retain {
            self.retained.insert(topic.to_owned(), payload.to_vec());
        }
        for (stream, filters) in self.clients.values_mut() {
            if filters.iter().any(|filter| topic::matches(filter, topic)) {
                let _ = stream.write_all(&publish_packet(topic, payload, false));
            }
        }
    }
}

impl Mini {
    /// Starts one on loopback.
    pub fn start(port: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
        let address = listener.local_addr().unwrap();
        let core = Arc::new(Mutex::new(Core::default()));
        let shared = core.clone();
        std::thread::spawn(move || {
            for (id, stream) in listener.incoming().enumerate() {
                if shared.lock().unwrap().closed {
                    return;
                }
                let (core, stream) = (shared.clone(), stream.unwrap());
                std::thread::spawn(move || Self::serve(&core, id, stream));
            }
        });
        Self { address, core }
    }

    fn serve(core: &Mutex<Core>, id: usize, mut stream: TcpStream) {
        let mut will = None;
        while let Some((head, body)) = read_packet(&mut stream) {
            let mut rest = &body[..];
            let mut core = core.lock().unwrap();
            match head >> 4 {
                1 => {
                    let flags = body[7];
                    rest = &body[10..];
                    text(&mut rest).unwrap();
                    if flags & 4 != 0 {
                        will = Some((String::from_utf8(text(&mut rest).unwrap()).unwrap(), text(&mut rest).unwrap()));
                    }
                    if core.closed {
                        return;
                    }
                    core.clients.insert(id, (stream.try_clone().unwrap(), Vec::new()));
                    stream.write_all(&[0x20, 2, 0, 0]).unwrap();
                }
                3 => {
                    let topic = String::from_utf8(text(&mut rest).unwrap()).unwrap();
                    core.publish(&topic, rest, head & 1 == 1);
                }
                8 => {
                    let number = [rest[0], rest[1]];
                    rest = &rest[2..];
                    let mut answer = vec![0x90, 2, number[0], number[1]];
                    let mut filters = Vec::new();
                    while let Some(filter) = text(&mut rest) {
                        filters.push(String::from_utf8(filter).unwrap());
                        rest = &rest[1..];
                        answer.push(if filters.last().is_some_and(|f| f == "forbidden") { 0x80 } else { 0 });
                        answer[1] += 1;
                    }
                    let _ = stream.write_all(&answer);
                    for (topic, payload) in &core.retained {
                        if filters.iter().any(|filter| topic::matches(filter, topic)) {
                            let _ = stream.write_all(&publish_packet(topic, payload, true));
                        }
                    }
                    core.clients.get_mut(&id).unwrap().1.extend(filters);
                }
                10 => {
                    let number = [rest[0], rest[1]];
                    rest = &rest[2..];
                    while let Some(filter) = text(&mut rest) {
                        core.clients.get_mut(&id).unwrap().1.retain(|f| f.as_bytes() != filter);
                    }
                    let _ = stream.write_all(&[0xb0, 2, number[0], number[1]]);
                }
                12 => {
                    let _ = stream.write_all(&[0xd0, 0]);
                }
                14 => will = None,
                other => panic!("packet {other}"),
            }
        }
        let mut core = core.lock().unwrap();
        core.clients.remove(&id);
        if let Some((topic, payload)) = will {
            core.publish(&topic, &payload, true);
        }
    }
}

impl Drop for Mini {
    fn drop(&mut self) {
        let mut core = self.core.lock().unwrap();
        core.closed = true;
        for (stream, _) in core.clients.values() {
            let _ = stream.shutdown(Shutdown::Both);
        }
        drop(core);
        // Wakes the listener, which then closes its port.
        let _ = TcpStream::connect(self.address);
        let freed = Instant::now() + GENEROUS;
        while TcpListener::bind(self.address).is_err() && Instant::now() < freed {
            std::thread::yield_now();
        }
    }
}
