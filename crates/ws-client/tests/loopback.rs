//! The client against real sockets, encrypted and not.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use http_client::{Fingerprint, Tls};
use rustls::pki_types::PrivateKeyDer;
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use tungstenite::{Message, WebSocket};
use ws_client::{MAX_MESSAGE, Options, WsClient, WsError};

const PATIENCE: Duration = Duration::from_secs(30);

fn serve(work: impl FnOnce(TcpStream) + Send + 'static) -> (u16, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback");
    let port = listener.local_addr().expect("loopback").port();
    let thread = std::thread::spawn(move || {
        if let Ok((stream, _)) = listener.accept() {
            work(stream);
        }
    });
    (port, thread)
}

fn echo<S: Read + Write>(mut socket: WebSocket<S>) {
    while let Ok(message) = socket.read() {
        match message {
            Message::Text(text) if text.as_str() == "big" => {
                let _ = socket.send(Message::text("x".repeat(MAX_MESSAGE + 1)));
            }
            Message::Text(text) => socket.send(Message::text(text.to_string())).expect("sent"),
            _ => {}
        }
    }
}

fn connect(scheme: &str, port: u16, tls: Tls) -> Result<WsClient, WsError> {
    let base = format!("{scheme}://127.0.0.1:{port}/prefix");
    WsClient::connect(
        &Options::new(&base, "/api/websocket").tls(tls).header("User-Agent", "test").connect_timeout(PATIENCE),
    )
}

#[test]
fn texts_go_there_and_back() {
    let (port, thread) = serve(|stream| echo(tungstenite::accept(stream).expect("a client")));
    let mut client = connect("http", port, Tls::Verified).unwrap();
    assert_eq!(client.receive(Duration::ZERO), Ok(None));
    client.send("hello").unwrap();
    assert_eq!(client.receive(PATIENCE), Ok(Some("hello".into())));
    client.send("big").unwrap();
    assert!(matches!(client.receive(PATIENCE), Err(WsError::Protocol(_))));
    drop(client);
    thread.join().unwrap();
}

#[test]
fn certificates_are_judged() {
    let made = rcgen::generate_simple_self_signed(vec!["ha.local".to_owned()]).unwrap();
    let certificate = made.cert.der().clone();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.clone()], key)
        .unwrap();
    let config = Arc::new(config);
    let secret_peer = || {
        let config = Arc::clone(&config);
        serve(move |stream| {
            let stream = StreamOwned::new(ServerConnection::new(config).expect("a server"), stream);
            if let Ok(socket) = tungstenite::accept(stream) {
                echo(socket);
            }
        })
    };
    for (tls, is_good) in [
        (Tls::Pinned(Fingerprint::of(&certificate)), true),
        (Tls::AcceptSelfSignedFor("127.0.0.1".into()), true),
        (Tls::Pinned(Fingerprint::of(b"another")), false),
        (Tls::AcceptSelfSignedFor("other.local".into()), false),
        (Tls::Verified, false),
    ] {
        let (port, thread) = secret_peer();
        match connect("https", port, tls.clone()) {
            Ok(mut client) => {
                assert!(is_good, "{tls:?}");
                client.send("hello").unwrap();
                assert_eq!(client.receive(PATIENCE), Ok(Some("hello".into())), "{tls:?}");
            }
            Err(error) => assert!(!is_good && matches!(error, WsError::Tls { .. }), "{tls:?}: {error}"),
        }
        thread.join().unwrap();
    }
}

#[test]
fn what_is_no_websocket_is_told_apart() {
    let (port, thread) = serve(|mut stream| {
        let mut head = [0; 4096];
        let _ = stream.read(&mut head);
        let _ = stream.write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n");
    });
    let error = connect("http", port, Tls::Verified).unwrap_err();
    assert_eq!(error, WsError::Refused { path: "/prefix/api/websocket".into(), status: 404 });
    thread.join().unwrap();
    assert!(matches!(connect("http", port, Tls::Verified), Err(WsError::Unreachable { .. })));
    assert!(matches!(connect("ftp", port, Tls::Verified), Err(WsError::BadAddress(_))));
}

#[test]
fn one_that_says_nothing_or_drips_is_left_in_time() {
    let (port, thread) = serve(|mut stream| {
        // A head that never ends, for as long as somebody listens.
        while stream.write_all(b"H").is_ok() {
            std::thread::sleep(Duration::from_millis(1));
        }
    });
    let base = format!("http://127.0.0.1:{port}");
    let options = Options::new(&base, "/").connect_timeout(Duration::from_millis(300));
    assert!(WsClient::connect(&options).is_err());
    thread.join().unwrap();
}
