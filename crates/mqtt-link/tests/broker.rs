//! Links against brokers: a small one in this process, always; and mosquitto, when it is installed.

#![allow(clippy::unwrap_used, reason = "helpers of tests count as tests")]

use mqtt_link::{Broker, ClientId, Hub, Link, LinkError, Message, Publication, Roots, Subscription, Tls, Will, topic};
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

const GENEROUS: Duration = Duration::from_secs(30);

/// A port that stays free until it is used: below those that the system gives to outgoing connections.
fn free_port() -> u16 {
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    let start = usize::try_from(std::process::id()).unwrap() * 32;
    (0..12_000)
        .map(|_| u16::try_from(20_000 + (start + COUNT.fetch_add(1, Ordering::Relaxed)) % 12_000).unwrap())
        .find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok())
        .unwrap()
}

/// A broker that ends with this value and can be started again on its port; it forgets everything when it ends.
trait Peer {}
impl Peer for Mini {}
impl Peer for Mosquitto {}

fn start(kind: &str, port: u16) -> Box<dyn Peer> {
    match kind {
        "own" => Box::new(Mini::start(port)),
        _ => Box::new(Mosquitto::start(port, "allow_anonymous true\n")),
    }
}

/// The kinds that can run here.
fn kinds() -> Vec<&'static str> {
    if mosquitto_path().is_some() { vec!["own", "mosquitto"] } else { vec!["own"] }
}

fn mosquitto_path() -> Option<&'static str> {
    let found = ["/usr/sbin/mosquitto", "/usr/bin/mosquitto", "/usr/local/sbin/mosquitto"]
        .into_iter()
        .find(|path| std::path::Path::new(path).exists());
    if found.is_none() {
        eprintln!("SKIPPED: mosquitto is not installed, so only the broker inside the test is used");
    }
    found
}

struct Mosquitto {
    child: Child,
    directory: PathBuf,
}

impl Mosquitto {
    fn start(port: u16, settings: &str) -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("mqtt-link-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let directory = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&directory).unwrap();
        let config = directory.join("mosquitto.conf");
        std::fs::write(&config, format!("user root\nlistener {port} 127.0.0.1\npersistence false\n{settings}"))
            .unwrap();
        let child = Command::new(mosquitto_path().unwrap())
            .arg("-c")
            .arg(&config)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Self { child, directory }
    }
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

/// As much of an MQTT 3.1.1 broker as links need: QoS 0, retained messages, last wills.
struct Mini {
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
    fn start(port: u16) -> Self {
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

/// A way to the broker that can be cut.
struct Cable {
    port: u16,
    streams: Arc<Mutex<Vec<TcpStream>>>,
}

impl Cable {
    fn to(broker: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let streams = Arc::new(Mutex::new(Vec::new()));
        let kept = streams.clone();
        std::thread::spawn(move || {
            for near in listener.incoming() {
                let near = near.unwrap();
                let Ok(far) = TcpStream::connect(("127.0.0.1", broker)) else { continue };
                for (from, to) in [(&near, &far), (&far, &near)] {
                    let (mut from, mut to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
                    kept.lock().unwrap().push(from.try_clone().unwrap());
                    std::thread::spawn(move || {
                        let _ = std::io::copy(&mut from, &mut to);
                        let _ = to.shutdown(Shutdown::Both);
                    });
                }
            }
        });
        Self { port, streams }
    }

    fn cut(&self) {
        for stream in self.streams.lock().unwrap().drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

fn broker(port: u16) -> Broker {
    Broker::new("127.0.0.1", port)
}

fn connect(hub: &Hub, broker: Broker) -> Link {
    let link = hub.link(broker).unwrap();
    assert!(link.wait_connected(GENEROUS), "{:?}", link.status());
    link
}

/// The first message that fits; others are passed over.
fn expect(subscription: &Subscription, topic: &str, payload: &str) -> Message {
    expect_all(subscription, &[(topic, payload)]).remove(0)
}

/// One message for each of these, in any order (a broker sends retained messages in an order of its own).
fn expect_all(subscription: &Subscription, wanted: &[(&str, &str)]) -> Vec<Message> {
    let deadline = Instant::now() + GENEROUS;
    let mut wanted = wanted.to_vec();
    let mut found = Vec::new();
    while !wanted.is_empty() {
        let left = deadline.saturating_duration_since(Instant::now());
        let Some(message) = subscription.recv_timeout(left) else {
            panic!("no message {wanted:?}; {:?}", subscription.link().status());
        };
        let before = wanted.len();
        wanted.retain(|(topic, payload)| message.topic != *topic || message.text() != Some(payload));
        if wanted.len() < before {
            found.push(message);
        }
    }
    found
}

#[test]
fn a_link_survives_its_broker() {
    for kind in kinds() {
        let port = free_port();
        let (ours, theirs) = (Hub::new(), Hub::new());
        // The broker comes up later than we do.
        let link = ours.link(broker(port)).unwrap();
        let calls = Arc::new(AtomicUsize::new(0));
        let counted = calls.clone();
        let _hook = link.on_connect(move || {
            counted.fetch_add(1, Ordering::SeqCst);
            vec![Publication { topic: "t/availability".into(), payload: b"online".to_vec(), retain: true }]
        });
        let commands = link.subscribe(&["t/set/+"]).unwrap();
        link.publish("t/power", "1", true).unwrap();
        assert!(matches!(link.send("t/cmd", "x"), Err(LinkError::NotConnected(_))));
        let peer = start(kind, port);
        let observer = connect(&theirs, broker(port).client_id(ClientId::Fixed("observer".into())));
        let seen = observer.subscribe(&["t/#"]).unwrap();
        expect(&seen, "t/availability", "online");
        observer.send("t/set/a", "16").unwrap();
        assert!(!expect(&commands, "t/set/a", "16").retained);

        drop(peer);
        let is_away = |link: &Link| link.status().connected_since.is_none() && link.status().last_error.is_some();
        let deadline = Instant::now() + GENEROUS;
        while !(is_away(&link) && is_away(&observer)) && Instant::now() < deadline {
            std::thread::yield_now();
        }
        for power in 2..100 {
            link.publish("t/power", power.to_string(), true).unwrap();
        }
        assert!(matches!(link.send("t/cmd", "x"), Err(LinkError::NotConnected(_))));
        let _peer = start(kind, port);
        expect_all(&seen, &[("t/power", "99"), ("t/availability", "online")]);
        assert_eq!(calls.load(Ordering::SeqCst), 2, "{kind}");
        assert_eq!(link.status().connections, 2);
        observer.send("t/set/b", "0").unwrap();
        expect(&commands, "t/set/b", "0");
    }
}

#[test]
fn retained_messages_are_told_from_live_ones() {
    for kind in kinds() {
        let port = free_port();
        let _peer = start(kind, port);
        let (ours, theirs) = (Hub::new(), Hub::new());
        let sender = connect(&ours, broker(port));
        let first = sender.subscribe(&["a/b"]).unwrap();
        sender.publish("a/b", "old", true).unwrap();
        expect(&first, "a/b", "old");
        let receiver = connect(&theirs, broker(port));
        let subscription = receiver.subscribe(&["a/+", "$SYS/none"]).unwrap();
        assert!(expect(&subscription, "a/b", "old").retained);
        sender.publish("a/b", "new", true).unwrap();
        assert!(!expect(&subscription, "a/b", "new").retained);
        // A second subscription of the same link gets the retained message as well.
        let late = receiver.subscribe(&["a/b"]).unwrap();
        assert!(expect(&late, "a/b", "new").retained);
    }
}

#[test]
fn the_last_will_speaks_for_a_lost_link_only() {
    for kind in kinds() {
        let port = free_port();
        let _peer = start(kind, port);
        let (ours, theirs) = (Hub::new(), Hub::new());
        let seen = connect(&theirs, broker(port)).subscribe(&["w/#"]).unwrap();
        let cable = Cable::to(port);
        let link = connect(&ours, broker(cable.port));
        let will = Will { topic: "w/status".into(), payload: b"offline".to_vec() };
        // Set after the connection was made: it is made anew.
        link.set_will(will.clone()).unwrap();
        link.set_will(will).unwrap();
        assert!(matches!(
            link.set_will(Will { topic: "w/other".into(), payload: vec![] }),
            Err(LinkError::WillTaken(_))
        ));
        let _hook = link
            .on_connect(|| vec![Publication { topic: "w/status".into(), payload: b"online".to_vec(), retain: true }]);
        let deadline = Instant::now() + GENEROUS;
        while link.status().connections < 2 && Instant::now() < deadline {
            std::thread::yield_now();
        }
        assert!(link.wait_connected(GENEROUS));
        expect(&seen, "w/status", "online");
        cable.cut();
        expect(&seen, "w/status", "offline");
        expect(&seen, "w/status", "online");
        // In good order: what waits is sent, and no will.
        while seen.try_recv().is_some() {}
        link.publish("w/last", "word", false).unwrap();
        assert!(ours.close(GENEROUS), "{kind}");
        expect(&seen, "w/last", "word");
        seen.link().send("w/end", "").unwrap();
        while let Some(message) = seen.recv_timeout(GENEROUS) {
            assert_ne!(message.text(), Some("offline"), "{kind}");
            if message.topic == "w/end" {
                break;
            }
        }
    }
}

#[test]
fn a_flood_arrives_whole_through_one_shared_connection() {
    for kind in kinds() {
        let port = free_port();
        let _peer = start(kind, port);
        let hub = Hub::new();
        let link = connect(&hub, broker(port));
        let same = hub.clone().link(broker(port)).unwrap();
        assert_eq!(hub.status().len(), 1);
        let all = same.subscribe_with(&["f/+"], 2000).unwrap();
        let slow = same.subscribe_with(&["f/+"], 10).unwrap();
        for n in 0..1000 {
            link.publish(&format!("f/{n}"), n.to_string(), false).unwrap();
        }
        expect(&all, "f/999", "999");
        let deadline = Instant::now() + GENEROUS;
        while slow.dropped() < 990 && Instant::now() < deadline {
            std::thread::yield_now();
        }
        assert_eq!((all.dropped(), slow.dropped()), (0, 990), "{kind}");
        assert_eq!(link.status().connections, 1);
        drop((link, same, all, slow));
        assert_eq!(hub.status(), []);
        assert!(hub.close(GENEROUS));
    }
}

#[test]
fn bad_requests_are_refused_at_once() {
    let hub = Hub::new();
    let link = hub.link(broker(free_port())).unwrap();
    assert!(matches!(link.publish("a/#", "", false), Err(LinkError::BadTopic(_))));
    assert!(matches!(link.publish("a", vec![0; 2_000_000], false), Err(LinkError::TooLarge { .. })));
    assert!(matches!(link.subscribe(&[]), Err(LinkError::NoFilter)));
    assert!(matches!(link.subscribe(&["a", "b#"]), Err(LinkError::BadFilter(_))));
    assert!(matches!(hub.link(Broker::new("", 1)), Err(LinkError::BadBroker { .. })));
    assert!(hub.close(GENEROUS));
}

/// Waits for a status that tells of trouble.
fn trouble(link: &Link) -> String {
    let deadline = Instant::now() + GENEROUS;
    loop {
        if let Some(error) = link.status().last_error {
            return error;
        }
        assert!(Instant::now() < deadline, "{:?}", link.status());
        std::thread::yield_now();
    }
}

#[test]
fn a_refused_subscription_is_said_so_and_the_others_go_on() {
    let port = free_port();
    let _peer = Mini::start(port);
    let link = connect(&Hub::new(), broker(port));
    let subscription = link.subscribe(&["good", "forbidden", "better"]).unwrap();
    assert!(trouble(&link).contains("`forbidden`"));
    link.send("better", "1").unwrap();
    expect(&subscription, "better", "1");
}

#[test]
fn what_is_no_broker_is_said_so() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let _ = stream.unwrap().write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
        }
    });
    let error = trouble(&Hub::new().link(broker(port)).unwrap());
    assert!(error.contains("check") || error.contains("see its log") || error.contains("connect again"), "{error}");
}

#[test]
fn mosquitto_checks_logins() {
    if mosquitto_path().is_none() {
        return;
    }
    let files = std::env::temp_dir().join(format!("mqtt-link-login-{}", std::process::id()));
    std::fs::create_dir_all(&files).unwrap();
    let passwords = files.join("passwords");
    let made = Command::new("mosquitto_passwd").arg("-c").arg("-b").arg(&passwords).args(["me", "s3cret"]).status();
    assert!(made.unwrap().success());
    let port = free_port();
    let settings = format!("allow_anonymous false\npassword_file {}\n", passwords.display());
    let _peer = Mosquitto::start(port, &settings);
    let hub = Hub::new();
    let good = connect(&hub, broker(port).login("me", "s3cret"));
    let wrong = hub.link(broker(port).login("me", "wr0ng")).unwrap();
    let error = trouble(&wrong);
    assert!(error.contains("refuses user name or password") && !error.contains("wr0ng"), "{error}");
    let mine = good.subscribe(&["mine/x"]).unwrap();
    good.publish("mine/x", "1", false).unwrap();
    expect(&mine, "mine/x", "1");
    std::fs::remove_dir_all(&files).unwrap();
}

/// A certificate for a name, signed by an authority.
fn signed(name: &str, authority: &rcgen::Issuer<'_, rcgen::KeyPair>) -> (String, String) {
    let key = rcgen::KeyPair::generate().unwrap();
    let params = rcgen::CertificateParams::new(vec![name.to_owned()]).unwrap();
    (params.signed_by(&key, authority).unwrap().pem(), key.serialize_pem())
}

fn authority() -> (String, rcgen::Issuer<'static, rcgen::KeyPair>) {
    let key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name.push(rcgen::DnType::CommonName, "authority of this test");
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let pem = params.self_signed(&key).unwrap().pem();
    (pem, rcgen::Issuer::new(params, key))
}

#[test]
fn mosquitto_over_tls_with_and_without_the_right_certificates() {
    if mosquitto_path().is_none() {
        return;
    }
    let (pem, issuer) = authority();
    let (certificate, key) = signed("127.0.0.1", &issuer);
    let files = std::env::temp_dir().join(format!("mqtt-link-tls-{}", std::process::id()));
    std::fs::create_dir_all(&files).unwrap();
    let write = |name: &str, text: &str| {
        let path = files.join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let (ca, cert, secret) = (write("ca.pem", &pem), write("cert.pem", &certificate), write("key.pem", &key));
    let settings =
        format!("allow_anonymous true\ncafile {ca}\ncertfile {cert}\nkeyfile {secret}\nrequire_certificate true\n");
    let port = free_port();
    let _peer = Mosquitto::start(port, &settings);
    let hub = Hub::new();
    let client = signed("client", &issuer);
    let tls = Tls { roots: Roots::Pem(pem), client: Some(client.clone()) };
    let link = connect(&hub, broker(port).tls(tls.clone()));
    let own = link.subscribe(&["x"]).unwrap();
    link.send("x", "encrypted").unwrap();
    expect(&own, "x", "encrypted");
    // Another authority; the public ones; and no TLS at all.
    let other = Tls { roots: Roots::Pem(authority().0), client: Some(client.clone()) };
    for tls in [other, Tls { roots: Roots::System, client: Some(client) }] {
        let error = trouble(&hub.link(broker(port).tls(tls)).unwrap());
        assert!(error.contains("encrypted connection failed"), "{error}");
    }
    trouble(&hub.link(broker(port)).unwrap());
    // The certificate is for another name.
    let named = Broker::new("localhost", port).tls(tls);
    let error = trouble(&hub.link(named).unwrap());
    assert!(error.contains("name"), "{error}");
    std::fs::remove_dir_all(&files).unwrap();
}
