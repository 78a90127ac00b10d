//! Measures how many small requests a second the door answers to clients that keep their connections.
//!
//! ```text
//! cargo run --release -p http-door --example http_load -- [clients] [seconds]
//! ```
//!
//! Clients and server share the machine's cores, so the figure is a lower bound.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use http_door::{Limits, Listen, Request, Response, Server, ServerConfig};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let clients: usize = arguments.next().map_or(Ok(16), |text| text.parse())?;
    let seconds: u64 = arguments.next().map_or(Ok(5), |text| text.parse())?;

    let config = ServerConfig {
        listeners: vec![Listen::loopback(0)],
        limits: Limits { connections: clients + 1, connections_per_peer: clients + 1, ..Limits::default() },
        ..ServerConfig::default()
    };
    let handler = |_: Request| Response::json(200, "{\"chargeNowAmps\":16}");
    let server = Server::start(config, Arc::new(handler))?;
    let port = server.port();

    let is_over = Arc::new(AtomicBool::new(false));
    let total = Arc::new(AtomicU64::new(0));
    let start = Instant::now();
    let threads: Vec<_> = (0..clients)
        .map(|_| {
            let (is_over, total) = (Arc::clone(&is_over), Arc::clone(&total));
            std::thread::spawn(move || client(port, &is_over, &total))
        })
        .collect();
    std::thread::sleep(Duration::from_secs(seconds));
    is_over.store(true, Ordering::Relaxed);
    for thread in threads {
        thread.join().map_err(|_| "a client panicked")??;
    }
    let rate = total.load(Ordering::Relaxed) as f64 / start.elapsed().as_secs_f64();
    println!("{clients} clients: {rate:.0} requests/s");
    if let Ok(status) = std::fs::read_to_string("/proc/self/status") {
        for line in status.lines().filter(|line| line.starts_with("VmHWM")) {
            println!("{line} (clients included)");
        }
    }
    server.shutdown();
    Ok(())
}

fn client(port: u16, is_over: &AtomicBool, total: &AtomicU64) -> std::io::Result<()> {
    let mut socket = TcpStream::connect(("127.0.0.1", port))?;
    socket.set_nodelay(true)?;
    let mut buffer = [0; 2048];
    while !is_over.load(Ordering::Relaxed) {
        socket
            .write_all(b"GET /api/getStatus HTTP/1.1\r\nHost: localhost\r\nUser-Agent: load\r\nAccept: */*\r\n\r\n")?;
        let mut have = 0;
        // The answer is small and ends with its JSON.
        while !buffer[..have].ends_with(b"}") {
            match socket.read(&mut buffer[have..])? {
                0 => return Err(std::io::ErrorKind::UnexpectedEof.into()),
                count => have += count,
            }
        }
        total.fetch_add(1, Ordering::Relaxed);
    }
    Ok(())
}
