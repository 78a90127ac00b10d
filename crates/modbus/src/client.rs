//! The client: one connection, one request at a time.

use crate::error::ModbusError;
use crate::frame::{Action, Ask, Fault, Framing, Mbap, find_rtu, take_mbap};
use crate::registers::Registers;
use crate::stream::{Stream, Target};
use crate::value::Block;
use crate::{MOST_READ, MOST_WRITTEN};
use std::fmt;
use std::io::ErrorKind;
use std::time::{Duration, Instant};

/// Which registers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Table {
    /// Function 3; can be written.
    Holding,
    /// Function 4.
    Input,
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Holding => "holding",
            Self::Input => "input",
        })
    }
}

/// Settings of a client; the defaults suit most devices.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Time to connect; 5 s.
    pub connect: Duration,
    /// Time from a request to its complete reply; 5 s on TCP. Serial meters that are there answer within 1 s.
    pub reply: Duration,
    /// Most registers in one read; 125. Some meters take fewer (SDM630: 40).
    pub block: u16,
    /// Shortest pause between two requests; none.
    pub pause: Duration,
    /// Whether the connection stays open between calls; yes, unless others need the device's only connection.
    pub keep_open: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            reply: Duration::from_secs(5),
            block: MOST_READ,
            pause: Duration::ZERO,
            keep_open: true,
        }
    }
}

struct Connection {
    stream: Box<dyn Stream>,
    /// Bytes received and not yet used.
    pending: Vec<u8>,
    /// Whether it has served a request before: only then a dead one is worth a second try.
    proven: bool,
}

/// A client for one device, or for all units behind one gateway. Calls block; see the crate's page.
pub struct Client {
    target: Target,
    options: Options,
    connection: Option<Connection>,
    transaction: u16,
    last_use: Option<Instant>,
    record: Option<Registers>,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Client({})", self.target)
    }
}

/// Most bytes kept while looking for a serial reply; a frame has 256 at most.
const LONGEST_SEARCH: usize = 2048;

impl Client {
    /// A client that connects at its first request.
    pub fn new(target: Target, options: Options) -> Self {
        Self { target, options, connection: None, transaction: 0, last_use: None, record: None }
    }

    /// Where the device is.
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// From now on keeps the registers that were read, for [`Self::recorded`].
    pub fn start_recording(&mut self) {
        self.record.get_or_insert_default();
    }

    /// The registers read since [`Self::start_recording`]; the newest value of each.
    pub fn recorded(&self) -> Option<&Registers> {
        self.record.as_ref()
    }

    /// Closes the connection; the next request makes a new one.
    pub fn close(&mut self) {
        self.connection = None;
    }

    /// Reads registers, in as many requests as it takes. Values that belong together (a number and its scale factor) are
    /// read at one instant only if they fit into one request.
    ///
    /// # Errors
    ///
    /// Any [`ModbusError`]. A serial line stays open, except when it breaks; a TCP connection stays open after an exception
    /// and is closed after anything else.
    pub fn read(&mut self, unit: u8, table: Table, address: u16, count: u16) -> Result<Block, ModbusError> {
        if count == 0 || usize::from(address) + usize::from(count) > 0x1_0000 {
            return Err(ModbusError::BadRequest { why: "there are no such registers" });
        }
        let most = self.options.block.clamp(1, MOST_READ);
        let mut words = Vec::with_capacity(usize::from(count));
        let (mut next, mut left) = (address, count);
        while left > 0 {
            let part = left.min(most);
            words.extend(self.ask(&Ask { unit, address: next, action: Action::Read { table, count: part } })?);
            // Past the last register only after the last part, when it is not used any more.
            next = next.wrapping_add(part);
            left -= part;
        }
        if let Some(record) = &mut self.record {
            record.set(unit, table, address, &words);
        }
        Ok(Block::new(address, words))
    }

    /// Writes one holding register (function 6).
    ///
    /// # Errors
    ///
    /// As [`Self::read`]. After a time-out the write may have happened.
    pub fn write_one(&mut self, unit: u8, address: u16, value: u16) -> Result<(), ModbusError> {
        self.ask(&Ask { unit, address, action: Action::WriteOne { value } }).map(drop)
    }

    /// Writes holding registers at once (function 16), 123 at most.
    ///
    /// # Errors
    ///
    /// As [`Self::write_one`]; [`ModbusError::BadRequest`] for more than fit: a write is never split.
    pub fn write(&mut self, unit: u8, address: u16, values: &[u16]) -> Result<(), ModbusError> {
        if values.len() > MOST_WRITTEN {
            return Err(ModbusError::BadRequest { why: "too many registers for one write" });
        }
        self.ask(&Ask { unit, address, action: Action::WriteMany { values: values.to_vec() } }).map(drop)
    }

    fn ask(&mut self, ask: &Ask) -> Result<Vec<u16>, ModbusError> {
        ask.check().map_err(|why| ModbusError::BadRequest { why })?;
        if let Target::Registers(registers) = &self.target {
            let answer = registers.answer(ask);
            return answer.map_err(|fault| self.explain(ask, fault));
        }
        let was_proven = self.connection.as_ref().is_some_and(|c| c.proven);
        let mut result = self.attempt(ask);
        let is_read = matches!(ask.action, Action::Read { .. });
        if was_proven && is_read && matches!(result, Err(ModbusError::Lost { .. })) {
            // Devices drop idle connections; that is no trouble worth telling. Writes are not repeated.
            result = self.attempt(ask);
        }
        if !self.options.keep_open {
            self.connection = None;
        } else if let (Some(connection), Ok(_) | Err(ModbusError::Exception { .. })) = (&mut self.connection, &result) {
            connection.proven = true;
        }
        self.last_use = Some(Instant::now());
        result
    }

    fn attempt(&mut self, ask: &Ask) -> Result<Vec<u16>, ModbusError> {
        let framing = self.target.framing();
        self.transaction = self.transaction.wrapping_add(1);
        let request = ask.encode(framing, self.transaction).map_err(|why| ModbusError::BadRequest { why })?;
        self.wait_for_silence();
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => {
                let stream = self.target.open(self.options.connect);
                let stream =
                    stream.map_err(|source| ModbusError::Connect { target: self.target.to_string(), source })?;
                Connection { stream, pending: Vec::new(), proven: false }
            }
        };
        let deadline = Instant::now() + self.options.reply;
        let result = exchange(&mut connection, framing, ask, &request, self.transaction, deadline);
        let result = match result {
            Ok(words) => Ok(words),
            Err(Trouble::Io(error)) if error.kind() == ErrorKind::TimedOut => {
                Err(ModbusError::Timeout { unit: ask.unit, target: self.target.to_string(), after: self.options.reply })
            }
            Err(Trouble::Io(source)) => Err(ModbusError::Lost { target: self.target.to_string(), source }),
            Err(Trouble::Reply(fault)) => Err(self.explain(ask, fault)),
        };
        // A serial line is no worse for a unit that is silent; a TCP connection may be dead without saying so.
        let is_serial = matches!(self.target, Target::Serial(_));
        match &result {
            Ok(_) | Err(ModbusError::Exception { .. }) => self.connection = Some(connection),
            Err(ModbusError::Timeout { .. } | ModbusError::BadReply { .. }) if is_serial => {
                self.connection = Some(connection)
            }
            Err(_) => {}
        }
        result
    }

    fn wait_for_silence(&self) {
        let pause = self.options.pause.max(self.target.silence());
        if let Some(last) = self.last_use {
            let left = pause.saturating_sub(last.elapsed());
            if !left.is_zero() {
                std::thread::sleep(left);
            }
        }
    }

    fn explain(&self, ask: &Ask, fault: Fault) -> ModbusError {
        match fault {
            Fault::Exception(code) => {
                ModbusError::Exception { unit: ask.unit, what: ask.what(), address: ask.address, code }
            }
            Fault::Broken(why) => ModbusError::BadReply { unit: ask.unit, target: self.target.to_string(), why },
        }
    }
}

enum Trouble {
    Io(std::io::Error),
    Reply(Fault),
}

impl From<std::io::Error> for Trouble {
    fn from(error: std::io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<Fault> for Trouble {
    fn from(fault: Fault) -> Self {
        Self::Reply(fault)
    }
}

fn exchange(
    connection: &mut Connection,
    framing: Framing,
    ask: &Ask,
    request: &[u8],
    transaction: u16,
    deadline: Instant,
) -> Result<Vec<u16>, Trouble> {
    let Connection { stream, pending, .. } = connection;
    if framing == Framing::Rtu {
        stream.discard()?;
        pending.clear();
    }
    stream.send(request, deadline)?;
    let mut buffer = [0; 512];
    loop {
        match framing {
            Framing::Rtu => {
                if let Some(pdu) = find_rtu(pending, ask) {
                    return Ok(ask.decode(pdu)?);
                }
                if pending.len() > LONGEST_SEARCH {
                    return Err(Fault::Broken("there is only noise on the line").into());
                }
            }
            Framing::Mbap => match take_mbap(pending) {
                Mbap::More => {}
                Mbap::Broken(why) => return Err(Fault::Broken(why).into()),
                Mbap::Frame { transaction: theirs, unit, pdu, taken } => {
                    // Late answers to earlier requests are passed over. A unit of 0 or 255 means "whoever is there".
                    let result = (theirs == transaction).then(|| {
                        if unit == ask.unit || matches!(ask.unit, 0 | 255) {
                            ask.decode(pdu)
                        } else {
                            Err(Fault::Broken("it comes from another unit"))
                        }
                    });
                    pending.drain(..taken);
                    match result {
                        Some(result) => return Ok(result?),
                        None => continue,
                    }
                }
            },
        }
        let count = stream.receive(&mut buffer, deadline)?;
        pending.extend(buffer.iter().take(count));
    }
}
