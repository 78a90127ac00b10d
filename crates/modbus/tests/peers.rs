//! The client against servers: one in this process (the server half of `rmodbus`) over TCP, RTU over TCP and a pty; scripted
//! ones that misbehave; and pymodbus, an independent implementation, when it is installed.

#![allow(clippy::unwrap_used, reason = "helpers of tests count as tests")]

use modbus::{
    Client, ExceptionCode, Format, ModbusError, Number, Options, Parity, Registers, SerialSettings, Table, Target,
};
use rmodbus::ModbusProto;
use rmodbus::server::ModbusFrame;
use rmodbus::server::context::ModbusContext;
use rmodbus::server::storage::ModbusStorage;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

const GENEROUS: Duration = Duration::from_secs(20);

fn options() -> Options {
    Options { connect: GENEROUS, reply: GENEROUS, ..Options::default() }
}

/// Every register holds three times its address, below 400.
type Storage = ModbusStorage<0, 0, 400, 400>;

fn storage() -> Storage {
    let mut storage = Storage::new();
    for address in 0..400 {
        storage.set_holding(address, address * 3).unwrap();
        storage.set_input(address, address * 3).unwrap();
    }
    storage
}

/// Answers requests on a stream until it ends.
fn serve(mut stream: impl Read + Write, proto: ModbusProto) {
    let mut storage = storage();
    let mut received = Vec::new();
    let mut buffer = [0; 512];
    while let Ok(count @ 1..) = stream.read(&mut buffer) {
        received.extend_from_slice(&buffer[..count]);
        let Ok(length) = rmodbus::guess_request_frame_len(&received, proto) else { continue };
        if received.len() < usize::from(length) {
            continue;
        }
        let mut request = [0; 256];
        request[..usize::from(length)].copy_from_slice(&received[..usize::from(length)]);
        received.drain(..usize::from(length));
        let mut reply = Vec::new();
        let mut frame = ModbusFrame::new(1, &request, proto, &mut reply);
        frame.parse().unwrap();
        if frame.processing_required {
            let result = if frame.readonly { frame.process_read(&storage) } else { frame.process_write(&mut storage) };
            result.unwrap();
        }
        if frame.response_required {
            frame.finalize_response().unwrap();
            // In two pieces, as networks do it.
            let (head, tail) = reply.split_at(reply.len() / 2);
            stream.write_all(head).and_then(|()| stream.flush()).unwrap();
            stream.write_all(tail).and_then(|()| stream.flush()).unwrap();
        }
    }
}

fn listen(handle: impl Fn(TcpStream) + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || listener.incoming().for_each(|stream| handle(stream.unwrap())));
    address
}

fn tcp(address: SocketAddr) -> Target {
    Target::tcp(&address.ip().to_string(), address.port())
}

/// What every good peer must show.
fn exercise(mut client: Client) {
    for table in [Table::Holding, Table::Input] {
        let block = client.read(1, table, 10, 300).unwrap();
        let expected: Vec<u16> = (10..310).map(|address| address * 3).collect();
        assert_eq!(block.words(), expected);
    }
    client.write_one(1, 20, 0xbeef).unwrap();
    let watts = Format::new(Number::F32).low_word_first();
    client.write(1, 21, &watts.encode(-1234.5).unwrap()).unwrap();
    let block = client.read(1, Table::Holding, 20, 3).unwrap();
    assert_eq!((block.word(20), block.number(21, watts)), (Ok(0xbeef), Ok(Some(-1234.5))));
    let error = client.read(1, Table::Input, 5000, 2).unwrap_err();
    assert_eq!(error.exception(), Some(ExceptionCode::IllegalAddress), "{error}");
    // The connection is still good.
    assert_eq!(client.read(1, Table::Input, 1, 1).unwrap().words(), [3]);
}

#[test]
fn tcp_server_in_process() {
    let address = listen(|stream| serve(stream, ModbusProto::TcpUdp));
    // 125 registers do not fit into the server's frame.
    exercise(Client::new(tcp(address), Options { block: 120, ..options() }));
}

#[test]
fn rtu_over_tcp_server_in_process() {
    let address = listen(|stream| serve(stream, ModbusProto::Rtu));
    exercise(Client::new(Target::RtuOverTcp { host: address.ip().to_string(), port: address.port() }, options()));
}

/// A pty: its near end, and the path of its far end. The second file keeps it open while nobody has opened the path.
fn pty() -> (File, File, String) {
    use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
    let near = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&near).unwrap();
    unlockpt(&near).unwrap();
    let path = ptsname(&near, Vec::new()).unwrap().into_string().unwrap();
    let far = File::options().read(true).write(true).open(&path).unwrap();
    let mut raw = rustix::termios::tcgetattr(&far).unwrap();
    raw.make_raw();
    rustix::termios::tcsetattr(&far, rustix::termios::OptionalActions::Now, &raw).unwrap();
    (File::from(near), far, path)
}

fn serial(path: &str, baud: u32) -> Target {
    Target::Serial(SerialSettings { path: path.into(), baud, parity: Parity::None })
}

#[test]
fn serial_server_in_process() {
    let (near, _far, path) = pty();
    std::thread::spawn(move || serve(near, ModbusProto::Rtu));
    exercise(Client::new(serial(&path, 19200), options()));
}

#[test]
fn a_silent_unit_on_a_serial_line_is_a_time_out_and_the_line_goes_on() {
    let (near, _far, path) = pty();
    std::thread::spawn(move || serve(near, ModbusProto::Rtu));
    let mut client = Client::new(serial(&path, 9600), Options { reply: Duration::from_millis(300), ..options() });
    let error = client.read(2, Table::Input, 0, 1).unwrap_err();
    assert!(matches!(error, ModbusError::Timeout { unit: 2, .. }), "{error}");
    let mut patient = Client::new(serial(&path, 9600), options());
    drop(client);
    assert_eq!(patient.read(1, Table::Input, 7, 1).unwrap().words(), [21]);
    assert!(Client::new(serial(&path, 0), options()).read(1, Table::Input, 0, 1).is_err());
}

/// Reads one request of 12 bytes.
fn request(stream: &mut TcpStream) -> Option<[u8; 12]> {
    let mut bytes = [0; 12];
    stream.read_exact(&mut bytes).ok().map(|()| bytes)
}

#[test]
fn late_answers_are_passed_over() {
    let address = listen(|mut stream| {
        let Some(asked) = request(&mut stream) else { return };
        let mut reply = vec![asked[0], asked[1].wrapping_sub(1), 0, 0, 0, 5, 1, 3, 2, 0xde, 0xad];
        reply.extend([asked[0], asked[1], 0, 0, 0, 5, 1, 3, 2, 0xbe, 0xef]);
        stream.write_all(&reply).unwrap();
        let _ = request(&mut stream);
    });
    let mut client = Client::new(tcp(address), options());
    assert_eq!(client.read(1, Table::Holding, 0, 1).unwrap().words(), [0xbeef]);
}

#[test]
fn a_connection_closed_between_requests_is_made_anew() {
    let address = listen(|mut stream| {
        let Some(asked) = request(&mut stream) else { return };
        stream.write_all(&[asked[0], asked[1], 0, 0, 0, 5, 1, 3, 2, 0, 7]).unwrap();
    });
    let mut client = Client::new(tcp(address), options());
    for _ in 0..3 {
        assert_eq!(client.read(1, Table::Holding, 0, 1).unwrap().words(), [7]);
    }
}

#[test]
fn misbehaving_servers_give_errors_with_advice() {
    let cases: [(&[u8], &str); 5] = [
        (&[0, 1, 0, 0, 0, 3, 1, 0x83, 11], "(exception 11)"),
        (&[0, 1, 0, 0, 0, 7, 1, 3, 4, 0, 1, 0, 2], "another number of registers"),
        (&[0, 1, 0, 0, 0, 5, 9, 3, 2, 0, 1], "another unit"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "not Modbus TCP"),
        (&[0, 1, 0, 0, 0, 5, 1, 3], "broke"),
    ];
    for (reply, expected) in cases {
        let address = listen(move |mut stream| {
            if request(&mut stream).is_some() {
                stream.write_all(reply).unwrap();
            }
        });
        let error = Client::new(tcp(address), options()).read(1, Table::Holding, 0, 1).unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
    }
    let silent = listen(|mut stream| drop(stream.read(&mut [0; 64]).and_then(|_| stream.read(&mut [0; 64]))));
    let short = Options { reply: Duration::from_millis(200), ..options() };
    let error = Client::new(tcp(silent), short).read(1, Table::Holding, 0, 1).unwrap_err();
    assert!(matches!(error, ModbusError::Timeout { .. }) && error.is_retryable(), "{error}");
    let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let error = Client::new(tcp(gone), options()).read(1, Table::Holding, 0, 1).unwrap_err();
    assert!(matches!(error, ModbusError::Connect { .. }), "{error}");
}

#[test]
fn what_was_read_can_be_recorded_and_read_again() {
    let address = listen(|stream| serve(stream, ModbusProto::TcpUdp));
    let mut client = Client::new(tcp(address), options());
    client.start_recording();
    client.read(1, Table::Input, 5, 2).unwrap();
    let text = client.recorded().unwrap().to_string();
    assert_eq!(text, "1 input 5: 000f 0012\n");
    let registers: Registers = text.parse().unwrap();
    let mut replay = Client::new(Target::Registers(Arc::new(registers)), options());
    assert_eq!(replay.read(1, Table::Input, 6, 1).unwrap().words(), [18]);
    assert!(replay.read(1, Table::Input, 6, 2).unwrap_err().is_absent());
    assert!(replay.write_one(1, 6, 0).is_err());
}

/// A pymodbus server with the same registers, as a process that ends with this value.
struct Pymodbus(Child, String);

impl Drop for Pymodbus {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Pymodbus {
    /// `None`, with a notice, if it is not installed. Says what it printed when it was ready.
    fn start(kind: &str, argument: &str) -> Option<Self> {
        let probe = "import serial; from pymodbus.datastore import ModbusDeviceContext";
        let found = Command::new("python3").args(["-c", probe]).stderr(Stdio::null()).status();
        if !found.is_ok_and(|status| status.success()) {
            eprintln!("SKIPPED: python3 with pymodbus >= 3.10 and pyserial is not installed");
            return None;
        }
        let script = r#"
import asyncio, sys
from pymodbus import FramerType
from pymodbus.datastore import ModbusDeviceContext, ModbusSequentialDataBlock, ModbusServerContext
from pymodbus.server import ModbusSerialServer, ModbusTcpServer

async def main(kind, argument):
    # This library counts its registers from 1.
    block = lambda: ModbusSequentialDataBlock(1, [address * 3 for address in range(400)])
    context = ModbusServerContext(devices={1: ModbusDeviceContext(hr=block(), ir=block())}, single=False)
    if kind == "serial":
        server = ModbusSerialServer(context, port=argument, baudrate=19200)
    else:
        framer = FramerType.RTU if kind == "rtu" else FramerType.SOCKET
        server = ModbusTcpServer(context, framer=framer, address=("127.0.0.1", 0))
    await server.listen()
    print("ready" if kind == "serial" else server.transport.sockets[0].getsockname()[1], flush=True)
    await asyncio.Event().wait()

asyncio.run(main(*sys.argv[1:]))
"#;
        let mut child =
            Command::new("python3").args(["-c", script, kind, argument]).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        Some(Self(child, line.trim().to_owned()))
    }
}

#[test]
fn pymodbus_over_tcp() {
    if let Some(peer) = Pymodbus::start("tcp", "") {
        exercise(Client::new(Target::tcp("127.0.0.1", peer.1.parse().unwrap()), options()));
    }
}

#[test]
fn pymodbus_rtu_over_tcp() {
    if let Some(peer) = Pymodbus::start("rtu", "") {
        exercise(Client::new(
            Target::RtuOverTcp { host: "127.0.0.1".into(), port: peer.1.parse().unwrap() },
            options(),
        ));
    }
}

#[test]
fn pymodbus_on_a_serial_line() {
    let (ours, _far1, our_path) = pty();
    let (theirs, _far2, their_path) = pty();
    let Some(_peer) = Pymodbus::start("serial", &their_path) else { return };
    // A null modem between the two.
    for (mut from, mut to) in [(ours.try_clone().unwrap(), theirs.try_clone().unwrap()), (theirs, ours)] {
        std::thread::spawn(move || std::io::copy(&mut from, &mut to));
    }
    exercise(Client::new(serial(&our_path, 19200), options()));
}
