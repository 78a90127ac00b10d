//! A Modbus TCP device on loopback for tests: registers at hand, and a real pymodbus server where it is installed.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

/// Registers by unit, function (3 holding, 4 input) and address.
pub type RegisterMap = BTreeMap<(u8, u8, u16), u16>;

/// The registers in a recording's hexadecimal exchanges (`{"exchanges": [{"request", "response"}]}`), TCP or RTU frames.
/// Refusals give none.
///
/// # Panics
/// When a frame is too short for what it says it holds.
#[must_use]
pub fn exchanged(recording: &serde_json::Value) -> RegisterMap {
    let bytes = |exchange: &serde_json::Value, key: &str| -> Vec<u8> {
        let text = exchange.get(key).and_then(serde_json::Value::as_str).unwrap_or_default();
        text.split_whitespace().filter_map(|byte| u8::from_str_radix(byte, 16).ok()).collect()
    };
    let mut map = RegisterMap::new();
    for exchange in recording.get("exchanges").and_then(serde_json::Value::as_array).into_iter().flatten() {
        let (request, response) = (bytes(exchange, "request"), bytes(exchange, "response"));
        // An RTU request has 8 bytes; TCP frames begin with a header of 6.
        let skip = if request.len() == 8 { 0 } else { 6 };
        let (unit, function) = (request[skip], request[skip + 1]);
        let start = u16::from_be_bytes([request[skip + 2], request[skip + 3]]);
        if response[skip + 1] != function {
            continue;
        }
        let length = usize::from(response[skip + 2]);
        for (address, pair) in (start..=u16::MAX).zip(response[skip + 3..skip + 3 + length].chunks_exact(2)) {
            map.insert((unit, function, address), u16::from_be_bytes([pair[0], pair[1]]));
        }
    }
    map
}

#[derive(Debug, Default)]
struct State {
    registers: RegisterMap,
    /// Answers every request with this exception.
    exception: Option<u8>,
    asked: Vec<(u8, u8, u16, u16)>,
}

/// The device. Registers it does not have are refused with exception 2, units it does not have with exception 11.
/// Dropping it ends its threads.
#[derive(Debug)]
pub struct ModbusPeer {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl ModbusPeer {
    /// Starts a device on a free port of 127.0.0.1.
    ///
    /// # Panics
    /// When loopback does not work.
    #[must_use]
    pub fn start(registers: RegisterMap) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap_or_else(|error| panic!("no loopback: {error}"));
        let address = listener.local_addr().unwrap_or_else(|error| panic!("no loopback: {error}"));
        let state = Arc::new(Mutex::new(State { registers, ..State::default() }));
        let is_over = Arc::new(AtomicBool::new(false));
        let (shared, over) = (Arc::clone(&state), Arc::clone(&is_over));
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if over.load(Ordering::SeqCst) {
                    return;
                }
                let shared = Arc::clone(&shared);
                // Ends with its connection, which the client under test closes.
                std::thread::spawn(move || serve(stream, &shared));
            }
        });
        ModbusPeer { address, state, is_over, thread: Some(thread) }
    }

    /// Its port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// Changes a register.
    pub fn set(&self, unit: u8, function: u8, address: u16, word: u16) {
        lock(&self.state).registers.insert((unit, function, address), word);
    }

    /// From now on refuses everything with an exception, or nothing any more.
    pub fn refuse(&self, exception: Option<u8>) {
        lock(&self.state).exception = exception;
    }

    /// Unit, function, first register and count of each request so far.
    #[must_use]
    pub fn asked(&self) -> Vec<(u8, u8, u16, u16)> {
        lock(&self.state).asked.clone()
    }
}

impl Drop for ModbusPeer {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::SeqCst);
        // Wakes the thread that waits for a connection.
        drop(TcpStream::connect(self.address));
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

fn serve(mut stream: TcpStream, state: &Mutex<State>) {
    let mut request = [0; 12];
    while stream.read_exact(&mut request).is_ok() {
        let [t0, t1, _, _, _, _, unit, function, a0, a1, c0, c1] = request;
        let (start, count) = (u16::from_be_bytes([a0, a1]), u16::from_be_bytes([c0, c1]));
        let answer = {
            let mut state = lock(state);
            state.asked.push((unit, function, start, count));
            let is_there = state.registers.is_empty() || state.registers.keys().any(|(other, ..)| *other == unit);
            let words: Option<Vec<u16>> =
                (0..count).map(|at| state.registers.get(&(unit, function, start.checked_add(at)?)).copied()).collect();
            match (state.exception, words) {
                (Some(code), _) => Err(code),
                (None, _) if !is_there => Err(11),
                (None, None) => Err(2),
                (None, Some(words)) => Ok(words),
            }
        };
        let mut pdu = match &answer {
            Ok(_) => vec![function, (count * 2) as u8],
            Err(code) => vec![function | 0x80, *code],
        };
        pdu.extend(answer.unwrap_or_default().iter().flat_map(|word| word.to_be_bytes()));
        let mut frame = vec![t0, t1, 0, 0, 0, (pdu.len() + 1) as u8, unit];
        frame.extend(pdu);
        if stream.write_all(&frame).is_err() {
            return;
        }
    }
}

/// A pymodbus server, an implementation that has nothing to do with ours. The process ends with this value.
#[derive(Debug)]
pub struct Pymodbus {
    child: Child,
    port: u16,
}

impl Pymodbus {
    /// Starts one with registers (and zeros between them); `None`, with a notice, where `python3` has no pymodbus of version 3.10 or later.
    ///
    /// # Panics
    /// When it is there and does not start.
    #[must_use]
    pub fn start(registers: &RegisterMap) -> Option<Self> {
        let probe = "from pymodbus.datastore import ModbusDeviceContext, ModbusSequentialDataBlock";
        let found = Command::new("python3").args(["-c", probe]).stderr(Stdio::null()).status();
        if !found.is_ok_and(|status| status.success()) {
            eprintln!("SKIPPED: python3 with pymodbus >= 3.10 is not installed");
            return None;
        }
        let script = r#"
import asyncio, sys
from pymodbus.datastore import ModbusDeviceContext, ModbusSequentialDataBlock, ModbusServerContext
from pymodbus.server import ModbusTcpServer

async def main(text):
    tables = {}
    for line in text.split():
        unit, function, address, word = map(int, line.split(","))
        # This library counts its registers from 1.
        tables.setdefault(unit, {3: {}, 4: {}})[function][address] = word
    block = lambda words: ModbusSequentialDataBlock(1, [words.get(at, 0) for at in range(max(words, default=0) + 1)])
    devices = {u: ModbusDeviceContext(hr=block(t[3]), ir=block(t[4])) for u, t in tables.items()}
    server = ModbusTcpServer(ModbusServerContext(devices=devices, single=False), address=("127.0.0.1", 0))
    await server.listen()
    print(server.transport.sockets[0].getsockname()[1], flush=True)
    await asyncio.Event().wait()

asyncio.run(main(sys.argv[1]))
"#;
        let text: Vec<String> = registers.iter().map(|((u, f, a), w)| format!("{u},{f},{a},{w}")).collect();
        let mut child = Command::new("python3")
            .args(["-c", script, &text.join(" ")])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("python3: {error}"));
        let mut line = String::new();
        if let Some(output) = child.stdout.take() {
            drop(BufReader::new(output).read_line(&mut line));
        }
        let port = line.trim().parse().unwrap_or_else(|_| panic!("pymodbus did not start"));
        Some(Pymodbus { child, port })
    }

    /// Its port on 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }
}

impl Drop for Pymodbus {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
