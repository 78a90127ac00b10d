//! A link's thread: connects, receives, and tries again.

use crate::broker::{Broker, ClientId, LARGEST};
use crate::ladder::Ladder;
use crate::mailbox::Message;
use crate::shared::Shared;
use rumqttc::{
    Client, ConnectReturnCode, ConnectionError, Event, LastWill, MqttOptions, Outgoing, Packet, QoS, StateError,
    SubscribeReasonCode, TlsConfiguration, TlsError, Transport,
};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Messages handed to the library at once; the rest waits on our side, where it is coalesced.
const HANDED_OVER: usize = 16;

/// How long a closing connection may take to send what waits.
const GOOD_BYE: Duration = Duration::from_millis(900);

/// Bytes added to the largest payload for a packet's header and topic.
const HEADER: usize = 1024;

pub(crate) fn client_id(policy: &ClientId) -> Result<String, String> {
    match policy {
        ClientId::Fixed(id) => Ok(id.clone()),
        ClientId::Unique(prefix) => {
            let mut random = [0; 4];
            getrandom::fill(&mut random).map_err(|error| format!("no random numbers: {error}"))?;
            Ok(format!("{prefix}-{:08x}", u32::from_be_bytes(random)))
        }
    }
}

pub(crate) fn spawn(shared: Arc<Shared>, client_id: String) -> io::Result<()> {
    let name = format!("mqtt {}", shared.broker);
    std::thread::Builder::new().name(name).spawn(move || run(&shared, &client_id)).map(drop)
}

/// How a connection ended.
enum End {
    /// As we wanted it.
    Ours,
    /// With this sentence.
    Trouble(String),
}

fn run(shared: &Shared, client_id: &str) {
    let mut ladder = Ladder::default();
    loop {
        let end = catch_unwind(AssertUnwindSafe(|| session(shared, client_id, &mut ladder)))
            .unwrap_or_else(|_| End::Trouble("the connection's thread met a fault; please report this".into()));
        let now = Instant::now();
        let error = match end {
            End::Ours => None,
            End::Trouble(error) => Some(error),
        };
        let begun = shared.disconnected(error.clone());
        if shared.lock().stopping {
            break;
        }
        let Some(error) = error else { continue };
        let pause = ladder.failed(begun.map(|begun| now.saturating_duration_since(begun)));
        let level = if ladder.should_tell(now) { log::Level::Warn } else { log::Level::Debug };
        log::log!(level, "MQTT {}: {error}", shared.broker);
        if shared.wait(pause, |state| state.stopping) {
            break;
        }
    }
    shared.update(|state| state.finished = true);
}

/// One connection, from the first try to its end.
fn session(shared: &Shared, client_id: &str, ladder: &mut Ladder) -> End {
    let broker = &shared.broker;
    let mut options = MqttOptions::new(client_id, address(broker), broker.port);
    options.set_keep_alive(broker.keep_alive).set_max_packet_size(LARGEST + HEADER, LARGEST + HEADER);
    if let Some((user, password)) = &broker.login {
        options.set_credentials(user, password);
    }
    if let Some(tls) = &shared.tls {
        options.set_transport(Transport::Tls(TlsConfiguration::Rustls(tls.clone())));
    }
    let will = shared.lock().will.clone();
    if let Some(will) = &will {
        options.set_last_will(LastWill::new(&will.topic, will.payload.clone(), QoS::AtMostOnce, true));
    }
    // A client of its own for each connection: nothing is left over from the last one.
    let (client, mut connection) = Client::new(options, HANDED_OVER);
    connection.eventloop.network_options.set_connection_timeout(broker.connect.as_secs().max(1));
    connection.eventloop.network_options.set_tcp_nodelay(true);
    let mut good_bye = None;
    loop {
        if good_bye.is_none() && shared.lock().stopping {
            good_bye = Some(Instant::now() + GOOD_BYE);
        }
        let event = match good_bye {
            None => connection.recv().ok(),
            Some(end) => match connection.recv_timeout(end.saturating_duration_since(Instant::now())) {
                Ok(event) => Some(event),
                Err(_) => return End::Ours,
            },
        };
        match event {
            None => return End::Trouble("the connection ended; we connect again".into()),
            Some(Err(_)) if shared.lock().is_leaving() => return End::Ours,
            Some(Err(error)) => return End::Trouble(sentence(&error, broker)),
            Some(Ok(Event::Incoming(Packet::ConnAck(_)))) => {
                if ladder.connected() {
                    log::info!("MQTT {broker}: connected again");
                } else {
                    log::info!("MQTT {broker}: connected");
                }
                shared.update(|state| state.renew_if(will.as_ref()));
                shared.connected(client.clone(), Instant::now());
            }
            Some(Ok(Event::Incoming(Packet::Publish(publish)))) => shared.deliver(Message {
                topic: publish.topic,
                payload: publish.payload.to_vec(),
                retained: publish.retain,
                received: Instant::now(),
            }),
            Some(Ok(Event::Incoming(Packet::SubAck(answer)))) => {
                let filter = shared.lock().subscribe_answered(answer.pkid);
                if answer.return_codes.contains(&SubscribeReasonCode::Failure) {
                    let filter = filter.unwrap_or_default();
                    let error = format!("the broker refuses the topic `{filter}`; allow this user to read it");
                    log::warn!("MQTT {broker}: {error}");
                    shared.lock().set_error(error);
                }
            }
            Some(Ok(Event::Outgoing(Outgoing::Subscribe(number)))) => {
                shared.update(|state| state.subscribe_numbered(number));
            }
            Some(Ok(Event::Outgoing(Outgoing::Disconnect))) => return End::Ours,
            Some(Ok(Event::Outgoing(_))) => shared.update(|_| ()),
            Some(Ok(_)) => {}
        }
    }
}

fn address(broker: &Broker) -> String {
    if broker.is_ipv6() { format!("[{}]", broker.host) } else { broker.host.clone() }
}

fn sentence(error: &ConnectionError, broker: &Broker) -> String {
    let network = "check the broker's address and port, and that it is running";
    match error {
        ConnectionError::NetworkTimeout => format!("no answer within {} s; {network}", broker.connect.as_secs()),
        ConnectionError::FlushTimeout => format!("it takes no data; {network}"),
        ConnectionError::Io(error) => format!("no connection ({error}); {network}"),
        ConnectionError::Tls(TlsError::Io(error)) if error.kind() != io::ErrorKind::InvalidData => {
            format!("no encrypted connection ({error}); check that the port is the broker's TLS port")
        }
        ConnectionError::Tls(error) => format!(
            "the encrypted connection failed ({error}); give the authority's certificate, and the name that the broker's \
             certificate holds"
        ),
        ConnectionError::ConnectionRefused(ConnectReturnCode::BadUserNamePassword | ConnectReturnCode::NotAuthorized) => {
            "the broker refuses user name or password; correct them in the configuration".into()
        }
        ConnectionError::ConnectionRefused(ConnectReturnCode::BadClientId) => {
            "the broker refuses the client id; configure another one".into()
        }
        ConnectionError::ConnectionRefused(ConnectReturnCode::ServiceUnavailable) => {
            "the broker is not ready; we try again".into()
        }
        ConnectionError::ConnectionRefused(code) => format!("the broker refuses the connection ({code:?}); see its log"),
        ConnectionError::MqttState(StateError::ConnectionAborted) => {
            "the broker closed the connection; we connect again (if this goes on, see its log: another client may use the \
             same client id)"
                .into()
        }
        ConnectionError::MqttState(StateError::AwaitPingResp) => "the broker fell silent; we connect again".into(),
        ConnectionError::MqttState(error) => format!("the connection broke ({error}); we connect again"),
        other => format!("this is no MQTT broker as we know it ({other}); {network}"),
    }
}
