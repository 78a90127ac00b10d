//! The figures that the project promises, measured on the real binary:
//! `cargo run --release -p e2e --example measure`. Prints; judges nothing.

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use e2e::{Bus, Program, binary, config_with, eventually, until};
use gen2_simulator::ConnectorSettings;
use serde_json::json;

fn main() {
    // Built before anything is timed.
    let _ = binary();
    println!("start");
    let (frame, page) = starting();
    println!("  first frame on the bus     {} ms", frame.as_millis());
    println!("  page answers               {} ms", page.as_millis());

    let bus = Bus::start(ConnectorSettings::demo(3));
    let meter = Broker::start();
    let mut more = meter.source();
    more["config"] = json!({"subtractChargerLoad": false});
    let program = Program::start(&config_with(&bus.port(), &more));
    until("all connectors are found", || program.snapshot()["evses"].as_array().is_some_and(|evses| evses.len() == 3));
    let _page = open_event_stream(&program);

    println!("idle, three connectors, one page open, over 60 s");
    let before = Usage::of(program.id());
    let heard = bus.heartbeats();
    std::thread::sleep(Duration::from_secs(60));
    let after = Usage::of(program.id());
    println!("  resident                   {:.1} MB", after.resident_mb);
    println!("  of a core                  {:.2} %", (after.cpu_s - before.cpu_s) / 60.0 * 100.0);
    println!("  wake-ups                   {:.1} /s", (after.switches - before.switches) / 60.0);
    let beats = f64::from(bus.heartbeats() - heard);
    println!("  a heartbeat to each every  {:.2} s", 60.0 * 3.0 / beats);

    println!("reactions");
    println!("  Charge Now to the wire     {} ms", charge_now(&program, &bus).as_millis());
    if let Some((more, less)) = meter.reactions(&program, &bus) {
        println!("  more sun to the wire       {} ms", more.as_millis());
        println!("  less sun to the wire       {} ms", less.as_millis());
    }
    println!("requests");
    println!("  getStatus, 8 clients       {:.0} /s", load(&program.url("/api/getStatus")));
}

/// From the start of the process to the first byte on the bus and to the first answer of the page.
fn starting() -> (Duration, Duration) {
    let gateway = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = format!("socket://{}", gateway.local_addr().expect("its address"));
    let folder = tempfile::tempdir().expect("a folder");
    let mut config = config_with(&port, &json!({}));
    config["config"]["settingsPath"] = json!(folder.path());
    let file = folder.path().join("config.json");
    fs::write(&file, config.to_string()).expect("the configuration");
    let started = Instant::now();
    let mut child = Command::new(binary())
        .args(["run", "--config"])
        .arg(&file)
        .stderr(Stdio::null())
        .spawn()
        .expect("the binary starts");
    let bytes = std::thread::spawn(move || {
        let (mut stream, _) = gateway.accept().expect("the program connects");
        stream.read_exact(&mut [0]).expect("a byte");
        (started.elapsed(), stream)
    });
    let address = format!("127.0.0.1:{}", config["control"]["HTTP"]["listenPort"]);
    let page = loop {
        if ureq::get(format!("http://{address}/healthz")).call().is_ok() {
            break started.elapsed();
        }
        std::thread::sleep(Duration::from_millis(1));
    };
    let (frame, _stream) = bytes.join().expect("the first byte");
    child.kill().expect("it ends");
    child.wait().expect("it ended");
    (frame, page)
}

/// What the system says of a process.
struct Usage {
    resident_mb: f64,
    cpu_s: f64,
    switches: f64,
}

impl Usage {
    fn of(process: u32) -> Usage {
        let status = fs::read_to_string(format!("/proc/{process}/status")).expect("its status");
        let field = |text: &str, name: &str| {
            let line = text.lines().find(|line| line.starts_with(name)).unwrap_or_default();
            line.split_whitespace().nth(1).and_then(|number| number.parse::<f64>().ok()).unwrap_or(0.0)
        };
        let stat = fs::read_to_string(format!("/proc/{process}/stat")).expect("its times");
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        // Fields 14 and 15 of proc(5), user and system time in hundredths of a second; the first two are cut off above.
        let ticks: f64 = fields[11..13].iter().filter_map(|field| field.parse::<f64>().ok()).sum();
        let threads = fs::read_dir(format!("/proc/{process}/task")).expect("its threads").flatten();
        let switches = threads
            .filter_map(|thread| fs::read_to_string(thread.path().join("status")).ok())
            .map(|status| field(&status, "voluntary_ctxt_switches"))
            .sum();
        Usage { resident_mb: field(&status, "VmRSS") / 1024.0, cpu_s: ticks / 100.0, switches }
    }
}

fn open_event_stream(program: &Program) -> TcpStream {
    let url = program.url("/api/v2/events");
    let address = url.trim_start_matches("http://").split('/').next().unwrap_or_default().to_owned();
    let mut stream = TcpStream::connect(&address).expect("the page");
    write!(stream, "GET /api/v2/events HTTP/1.1\r\nHost: {address}\r\nAccept: text/event-stream\r\n\r\n")
        .expect("a request");
    let mut reader = stream.try_clone().expect("the stream");
    std::thread::spawn(move || {
        let mut buffer = [0; 65536];
        while reader.read(&mut buffer).is_ok_and(|read| read > 0) {}
    });
    stream
}

fn charge_now(program: &Program, bus: &Bus) -> Duration {
    let started = Instant::now();
    assert_eq!(program.post("/api/chargeNow", &json!({"chargeNowRate": 14, "chargeNowDuration": 600})), 200);
    while bus.limit(0) < 6.0 {
        std::thread::sleep(Duration::from_millis(1));
    }
    let took = started.elapsed();
    program.post("/api/cancelChargeNow", &json!({}));
    took
}

/// Requests a second, eight clients over kept connections for three seconds.
fn load(url: &str) -> f64 {
    let address = url.trim_start_matches("http://").split('/').next().unwrap_or_default().to_owned();
    let path = url.split_once(&address).map_or("/", |(_, path)| path).to_owned();
    let clients: Vec<_> = (0..8)
        .map(|_| {
            let (address, path) = (address.clone(), path.clone());
            std::thread::spawn(move || {
                let mut stream = TcpStream::connect(&address).expect("a connection");
                stream.set_nodelay(true).expect("no delay");
                let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\n\r\n");
                let started = Instant::now();
                let (mut count, mut buffer) = (0_u32, vec![0; 65536]);
                while started.elapsed() < Duration::from_secs(3) {
                    stream.write_all(request.as_bytes()).expect("a request");
                    let mut answer = 0;
                    let mut wanted = usize::MAX;
                    while answer < wanted {
                        let read = stream.read(&mut buffer[answer..]).expect("an answer");
                        answer += read;
                        wanted = whole_length(&buffer[..answer]).unwrap_or(usize::MAX);
                    }
                    count += 1;
                }
                f64::from(count) / started.elapsed().as_secs_f64()
            })
        })
        .collect();
    clients.into_iter().map(|client| client.join().expect("a client")).sum()
}

fn whole_length(answer: &[u8]) -> Option<usize> {
    let text = String::from_utf8_lossy(answer);
    let head = text.find("\r\n\r\n")? + 4;
    let length =
        text.to_ascii_lowercase().split("content-length:").nth(1)?.lines().next()?.trim().parse::<usize>().ok()?;
    Some(head + length)
}

/// A private MQTT broker for pushed readings, when one is installed.
struct Broker {
    child: Option<std::process::Child>,
    port: u16,
}

impl Broker {
    fn start() -> Broker {
        let port = TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a port").port();
        let program =
            ["/usr/sbin/mosquitto", "/usr/bin/mosquitto"].into_iter().find(|path| fs::exists(path).unwrap_or(false));
        let child = program.and_then(|program| {
            Command::new(program)
                .args(["-p", &port.to_string()])
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .ok()
        });
        if child.is_none() {
            println!("  (no broker is installed: pushed readings are not measured)");
        }
        Broker { child, port }
    }

    fn source(&self) -> serde_json::Value {
        if self.child.is_none() {
            return json!({});
        }
        json!({"sources": {"MQTT": {
            "enabled": true, "brokerIP": "127.0.0.1", "brokerPort": self.port,
            "topicGeneration": "sun", "topicConsumption": "house"}}})
    }

    fn publish(&self, topic: &str, watts: u32) {
        let status = Command::new("mosquitto_pub")
            .args(["-p", &self.port.to_string(), "-t", topic, "-m", &watts.to_string()])
            .status();
        assert!(status.is_ok_and(|status| status.success()), "mosquitto_pub runs");
    }

    /// From a pushed reading to a changed limit, for more and for less sun, while a car charges and all is at rest.
    fn reactions(&self, program: &Program, bus: &Bus) -> Option<(Duration, Duration)> {
        self.child.as_ref()?;
        program.post("/api/setSetting", &json!({"setting": "nonScheduledAction", "value": "3"}));
        eventually("a car charges with the sun", || {
            self.publish("house", 300);
            self.publish("sun", 7_000);
            (bus.limit(0) > 6.0 && bus.drawn() > 6.0).then_some(())
        });
        let change_to = |watts: u32| {
            // Past every pause between two changes.
            std::thread::sleep(Duration::from_secs(15));
            let before = bus.limit(0);
            self.publish("house", 300);
            let started = Instant::now();
            self.publish("sun", watts);
            until("the limit changes", || bus.limit(0) != before);
            started.elapsed()
        };
        Some((change_to(11_000), change_to(7_500)))
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            // It may have ended already.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
