//! The whole controller in real time: over TCP, a pseudo-terminal and memory, against simulated connectors.
//!
//! Nothing here asserts how long something took; everything waits for a condition with a generous deadline.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use evse::{ControllerEvent, EvseController, EvseId, EvseInstance, EvseListener, Target};
use evse_gen2::gen2_protocol::{Message, RequestKind, TwcId};
use evse_gen2::{
    FakeMaster, Gen2Controller, Gen2Error, Gen2Settings, LineState, Monitor, PortSpec, evse_id, memory_port,
};
use gen2_simulator::{BusHandle, CarSettings, ConnectorSettings, Pty, SimulatedBus, run_socket, run_tcp};
use units::Amps;

const PATIENCE: Duration = Duration::from_secs(40);
const A: TwcId = TwcId([0x40, 0x85]);

/// Remembers everything it is told.
#[derive(Default)]
struct Ears {
    heard: Mutex<Heard>,
    news: Condvar,
}

#[derive(Default)]
struct Heard {
    instances: Vec<Arc<dyn EvseInstance>>,
    events: Vec<ControllerEvent>,
    gone: Vec<EvseId>,
}

impl EvseListener for Ears {
    fn changed(&self, instance: &Arc<dyn EvseInstance>) {
        let mut heard = self.heard.lock().unwrap();
        heard.instances.retain(|known| known.id() != instance.id());
        heard.instances.push(Arc::clone(instance));
        self.news.notify_all();
    }

    fn gone(&self, id: &EvseId) {
        let mut heard = self.heard.lock().unwrap();
        heard.instances.retain(|known| known.id() != id);
        heard.gone.push(id.clone());
        self.news.notify_all();
    }

    fn event(&self, event: ControllerEvent) {
        self.heard.lock().unwrap().events.push(event);
        self.news.notify_all();
    }
}

impl Ears {
    fn wait<R>(&self, what: &str, mut look: impl FnMut(&Heard) -> Option<R>) -> R {
        let deadline = Instant::now() + PATIENCE;
        let mut heard = self.heard.lock().unwrap();
        loop {
            if let Some(found) = look(&heard) {
                return found;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "waited in vain for {what}; events: {:?}", heard.events);
            heard = self.news.wait_timeout(heard, left.min(Duration::from_millis(200))).unwrap().0;
        }
    }

    fn instance(&self, id: TwcId) -> Arc<dyn EvseInstance> {
        let id = evse_id(id);
        self.wait("a connector", |heard| heard.instances.iter().find(|instance| *instance.id() == id).cloned())
    }

    fn event(&self, code: &str) -> ControllerEvent {
        self.wait(code, |heard| heard.events.iter().find(|event| event.code == code).cloned())
    }
}

fn settings(port: PortSpec) -> Gen2Settings {
    let mut settings = Gen2Settings::new(port, Amps::from_whole(32), Amps::from_whole(32));
    settings.settle_time = Duration::ZERO;
    settings
}

fn quick_car() -> CarSettings {
    CarSettings {
        start_delay: Duration::from_millis(200),
        reaction: Duration::from_millis(200),
        ..CarSettings::default()
    }
}

fn bus() -> BusHandle {
    let connector = ConnectorSettings::european(A).with_car(quick_car());
    BusHandle::new(SimulatedBus::new(vec![connector], 1)).unwrap()
}

fn grant(instance: &Arc<dyn EvseInstance>, amps: i32) {
    let limits = instance.status().limits;
    let target = Target::new(limits.power(Amps::from_whole(amps)), &limits, Instant::now() + Duration::from_secs(120));
    instance.set_target(target).unwrap();
}

/// Charges a car at 10 A through this controller.
fn charge(ears: &Ears) -> Arc<dyn EvseInstance> {
    let instance = ears.instance(A);
    ears.wait("the link", |_| (instance.status().link == evse::Link::Up).then_some(()));
    grant(&instance, 10);
    ears.wait("a charge", |_| instance.status().is_charging().then_some(()));
    ears.wait("the offer's echo", |_| (instance.status().reported_max == Some(Amps::from_whole(10))).then_some(()));
    instance
}

#[test]
fn a_car_charges_over_memory_and_everything_ends_at_shutdown() {
    let (port, peer) = memory_port().unwrap();
    let bus = bus();
    let runs = {
        let bus = bus.clone();
        thread::spawn(move || run_socket(peer, &bus))
    };
    let ears = Arc::new(Ears::default());
    let seen = Arc::new(Mutex::new(0u32));
    let monitor: Monitor = {
        let seen = Arc::clone(&seen);
        Arc::new(move |_| *seen.lock().unwrap() += 1)
    };
    let listener: Arc<dyn EvseListener> = ears.clone();
    let mut controller =
        Gen2Controller::open_monitored(settings(PortSpec::Memory(port)), listener, Some(monitor)).unwrap();
    assert_eq!(controller.name(), "Gen2TWCs");
    let instance = charge(&ears);
    assert_eq!(instance.id().as_str(), "gen2-4085");
    assert_eq!(controller.instances().len(), 1);

    let status = ears.wait("the bus's numbers", |_| {
        Some(controller.bus_status()).filter(|status| status.line == LineState::Running && status.frames_out > 3)
    });
    assert!(status.frames_in > 3);
    assert_eq!(status.committed, Amps::from_whole(10));
    assert!(*seen.lock().unwrap() > 6);

    controller.set_circuit_limit(Some(Amps::from_whole(7))).unwrap();
    ears.wait("the circuit limit", |_| (instance.status().offered == Some(Amps::from_whole(7))).then_some(()));
    controller.ask(A, RequestKind::Serial).unwrap();
    assert!(matches!(controller.send_debug(&[0xFC, 0x19, 0, 0, 0, 0]), Err(Gen2Error::Refused(_))));
    controller.send_debug(&[0xFB, 0xEB, 0x77, 0x77, 0x40, 0x85]).unwrap();
    assert!(instance.stop().is_err(), "version 2 cannot stop a car unless told how");

    controller.shutdown();
    let limits = instance.status().limits;
    let late = Target::new(limits.power(Amps::from_whole(10)), &limits, Instant::now());
    assert_eq!(instance.set_target(late).unwrap_err().kind, evse::EvseErrorKind::Broken);
    assert_eq!(bus.with(|bus, _| bus.harmful_messages()), 0);
    bus.stop();
    runs.join().unwrap().unwrap();
}

#[test]
fn a_car_charges_over_a_pseudo_terminal() {
    let path = std::env::temp_dir().join(format!("evse-gen2-test-{}", std::process::id()));
    let pty = Pty::open(&path).unwrap();
    let bus = bus();
    let runs = {
        let bus = bus.clone();
        thread::spawn(move || pty.run(&bus))
    };
    let ears = Arc::new(Ears::default());
    let listener: Arc<dyn EvseListener> = ears.clone();
    let mut controller = Gen2Controller::open(settings(PortSpec::Serial(path)), listener).unwrap();
    charge(&ears);
    controller.shutdown();
    bus.stop();
    runs.join().unwrap().unwrap();
}

#[test]
fn field_problem_06_a_gateway_that_drops_the_connection_is_found_again() {
    let gateway = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = gateway.local_addr().unwrap();
    let bus = bus();
    let runs = {
        let bus = bus.clone();
        thread::spawn(move || {
            // A proxy in front of the bus whose connections can be cut.
            let inner = TcpListener::bind("127.0.0.1:0").unwrap();
            let inner_address = inner.local_addr().unwrap();
            let serve = {
                let bus = bus.clone();
                thread::spawn(move || run_tcp(&inner, &bus))
            };
            (inner_address, serve)
        })
    };
    let (inner, serve) = runs.join().unwrap();
    let cut = Arc::new((Mutex::new(None::<TcpStream>), Condvar::new()));
    {
        let cut = Arc::clone(&cut);
        thread::spawn(move || {
            for outer in gateway.incoming() {
                let Ok(outer) = outer else { return };
                let Ok(inner) = TcpStream::connect(inner) else { return };
                for (mut from, mut to) in [
                    (outer.try_clone().unwrap(), inner.try_clone().unwrap()),
                    (inner.try_clone().unwrap(), outer.try_clone().unwrap()),
                ] {
                    thread::spawn(move || {
                        // Ends when either side is cut.
                        let _ended = std::io::copy(&mut from, &mut to);
                    });
                }
                *cut.0.lock().unwrap() = Some(outer);
                cut.1.notify_all();
            }
        });
    }
    let ears = Arc::new(Ears::default());
    let listener: Arc<dyn EvseListener> = ears.clone();
    let port = format!("socket://{address}").parse().unwrap();
    let mut controller = Gen2Controller::open(settings(port), listener).unwrap();
    let instance = charge(&ears);
    let stream = cut.0.lock().unwrap().take().unwrap();
    stream.shutdown(std::net::Shutdown::Both).unwrap();
    let lost = ears.wait("the loss", |heard| {
        heard
            .events
            .iter()
            .find(|event| event.code == "port_closed" && !event.cleared && event.text.contains("not open"))
            .cloned()
    });
    assert!(lost.text.contains("gateway"));
    ears.wait("the return", |heard| {
        heard.events.iter().find(|event| event.code == "port_closed" && event.cleared).cloned()
    });
    let returned = Instant::now();
    ears.wait("an answer after the return", |_| (instance.status().heard_at > returned).then_some(()));
    assert_eq!(instance.status().offered, Some(Amps::from_whole(10)), "the connector was not dropped");
    ears.wait("the count", |_| (controller.bus_status().reconnects == 1).then_some(()));
    controller.shutdown();
    bus.stop();
    serve.join().unwrap().unwrap();
}

#[test]
fn a_missing_port_is_told_once_and_tried_again() {
    let ears = Arc::new(Ears::default());
    let listener: Arc<dyn EvseListener> = ears.clone();
    let port = "/dev/does-not-exist-gen2".parse().unwrap();
    let mut controller = Gen2Controller::open(settings(port), listener).unwrap();
    let event = ears.event("port_closed");
    assert!(event.text.contains("/dev/does-not-exist-gen2"), "{}", event.text);
    assert_eq!(controller.bus_status().line, LineState::Closed);
    ears.wait("the reason", |_| controller.bus_status().port_error.map(|_| ()));
    controller.shutdown();
    assert_eq!(ears.heard.lock().unwrap().events.len(), 1);
}

/// An RFC 2217 server with one simulated connector behind it: negotiates, escapes, counts what it was told to set.
#[test]
fn a_car_is_found_behind_rfc_2217() {
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = server.local_addr().unwrap();
    let bus = bus();
    let (to_bus, from_bus) = std::os::unix::net::UnixStream::pair().unwrap();
    let runs = {
        let bus = bus.clone();
        thread::spawn(move || run_socket(from_bus, &bus))
    };
    let baud_was_set = Arc::new(Mutex::new(false));
    {
        let baud_was_set = Arc::clone(&baud_was_set);
        thread::spawn(move || {
            let (client, _) = server.accept().unwrap();
            let mut out = client.try_clone().unwrap();
            out.write_all(&[255, 253, 44, 255, 251, 44]).unwrap();
            let mut bus_in = to_bus.try_clone().unwrap();
            let down = thread::spawn({
                let mut bus_out = to_bus.try_clone().unwrap();
                let mut out = client.try_clone().unwrap();
                move || {
                    let mut bytes = [0; 256];
                    while let Ok(count @ 1..) = bus_out.read(&mut bytes) {
                        let escaped: Vec<u8> = bytes[..count]
                            .iter()
                            .flat_map(|byte| if *byte == 255 { vec![255, 255] } else { vec![*byte] })
                            .collect();
                        if out.write_all(&escaped).is_err() {
                            return;
                        }
                    }
                }
            });
            let mut client = std::io::BufReader::new(client);
            let mut byte = || {
                let mut one = [0];
                client.read_exact(&mut one).ok().map(|()| one[0])
            };
            while let Some(first) = byte() {
                if first != 255 {
                    bus_in.write_all(&[first]).unwrap();
                    continue;
                }
                match byte() {
                    Some(255) => bus_in.write_all(&[255]).unwrap(),
                    Some(250) => {
                        let mut body = Vec::new();
                        while !body.ends_with(&[255, 240]) {
                            let Some(next) = byte() else { return };
                            body.push(next);
                        }
                        if body.starts_with(&[44, 1, 0, 0, 0x25, 0x80]) {
                            *baud_was_set.lock().unwrap() = true;
                        }
                    }
                    Some(_) => {
                        byte();
                    }
                    None => break,
                }
            }
            drop(to_bus);
            let _ended = down.join();
        });
    }
    let ears = Arc::new(Ears::default());
    let listener: Arc<dyn EvseListener> = ears.clone();
    let port = format!("rfc2217://{address}").parse().unwrap();
    let mut controller = Gen2Controller::open(settings(port), listener).unwrap();
    charge(&ears);
    assert!(*baud_was_set.lock().unwrap());
    controller.shutdown();
    bus.stop();
    runs.join().unwrap().unwrap();
}

#[test]
fn listening_shows_connectors_and_sends_nothing() {
    let (port, mut peer) = memory_port().unwrap();
    let ears = Arc::new(Ears::default());
    let mut listening = settings(PortSpec::Memory(port));
    listening.mode = FakeMaster::Listen;
    let listener: Arc<dyn EvseListener> = ears.clone();
    let mut controller = Gen2Controller::open(listening, listener).unwrap();
    // Link-ready of 4085, then an offer of 16 A by 035D, then its heartbeat.
    peer.write_all(b"\xC0\xFD\xE2\x40\x85\x1D\x0C\x80\0\0\0\0\0\0\0\0\x50\xC0\xFE").unwrap();
    let instance = ears.instance(A);
    let order = evse_gen2::gen2_protocol::MasterMessage::Heartbeat {
        master: TwcId::from_u16(0x035D),
        slave: A,
        version: evse_gen2::gen2_protocol::ProtocolVersion::V2,
        order: evse_gen2::gen2_protocol::Order::Limit(evse_gen2::gen2_protocol::CentiAmps(1_600)),
    };
    peer.write_all(order.encode().as_bytes()).unwrap();
    ears.wait("the offer", |_| (instance.status().offered == Some(Amps::from_whole(16))).then_some(()));
    assert!(!instance.status().capabilities.set_target);
    let limits = instance.status().limits;
    assert!(instance.set_target(Target::new(limits.min_power(), &limits, Instant::now())).is_err());
    ears.wait("the controller's id", |_| {
        (controller.bus_status().other_controller == Some(TwcId::from_u16(0x035D))).then_some(())
    });
    controller.shutdown();
    drop(controller);
    let mut said = Vec::new();
    peer.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    let _closed_or_timed_out = peer.read_to_end(&mut said);
    assert!(said.is_empty(), "{said:02X?}");
}

#[test]
fn a_pretended_connector_answers_a_real_controller() {
    let (port, mut peer) = memory_port().unwrap();
    let ears = Arc::new(Ears::default());
    let mut pretending = settings(PortSpec::Memory(port));
    pretending.mode = FakeMaster::Connector;
    pretending.own_id = TwcId::from_u16(0x1234);
    let listener: Arc<dyn EvseListener> = ears.clone();
    let mut controller = Gen2Controller::open(pretending, listener).unwrap();
    let mut decoder = evse_gen2::gen2_protocol::Decoder::new();
    let mut next = |peer: &mut std::os::unix::net::UnixStream| loop {
        let mut bytes = [0; 64];
        let count = peer.read(&mut bytes).unwrap();
        let mut rest = &bytes[..count];
        if let Some(frame) = decoder.next_frame(&mut rest) {
            return frame.message();
        }
    };
    peer.set_read_timeout(Some(PATIENCE)).unwrap();
    assert!(matches!(next(&mut peer), Message::SlaveLinkReady(ready) if ready.slave == TwcId::from_u16(0x1234)));
    let order = evse_gen2::gen2_protocol::MasterMessage::Heartbeat {
        master: TwcId::from_u16(0x035D),
        slave: TwcId::from_u16(0x1234),
        version: evse_gen2::gen2_protocol::ProtocolVersion::V2,
        order: evse_gen2::gen2_protocol::Order::Limit(evse_gen2::gen2_protocol::CentiAmps(1_600)),
    };
    peer.write_all(order.encode().as_bytes()).unwrap();
    assert!(matches!(next(&mut peer), Message::SlaveHeartbeat(answer) if answer.master == TwcId::from_u16(0x035D)));
    let instance = ears.instance(TwcId::from_u16(0x1234));
    ears.wait("the grant", |_| (instance.status().offered == Some(Amps::from_whole(16))).then_some(()));
    controller.shutdown();
}

#[test]
fn a_panic_in_the_thread_is_survived() {
    let (port, peer) = memory_port().unwrap();
    let bus = bus();
    let runs = {
        let bus = bus.clone();
        thread::spawn(move || run_socket(peer, &bus))
    };
    let ears = Arc::new(Ears::default());
    let listener: Arc<dyn EvseListener> = ears.clone();
    let once = Arc::new(Mutex::new(true));
    let monitor: Monitor = {
        let once = Arc::clone(&once);
        Arc::new(move |traffic| {
            let heartbeat = matches!(traffic.message, Message::SlaveHeartbeat(_));
            let first =
                heartbeat && std::mem::take(&mut *once.lock().unwrap_or_else(std::sync::PoisonError::into_inner));
            assert!(!first, "a monitor that fails, on purpose");
        })
    };
    let mut controller =
        Gen2Controller::open_monitored(settings(PortSpec::Memory(port)), listener, Some(monitor)).unwrap();
    ears.wait("the end of the first run", |heard| (!heard.gone.is_empty()).then_some(()));
    charge(&ears);
    ears.wait("the count", |_| (controller.bus_status().restarts == 1).then_some(()));
    controller.shutdown();
    bus.stop();
    runs.join().unwrap().unwrap();
}
