//! The client against real sockets on loopback: a scripted HTTP server with and without TLS.

#![allow(clippy::unwrap_used, reason = "helpers of tests count as tests")]

use http_client::{
    Auth, Class, Client, Exchange, Fingerprint, JsonLines, Kind, Recorded, Recorder, Replay, Tls, Transport,
};
use serde_json::json;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

const GENEROUS: Duration = Duration::from_secs(20);

/// What the server does with one request.
enum Act {
    /// Sends these bytes and keeps the connection.
    Say(Vec<u8>),
    /// Sends these bytes and closes.
    SayAndClose(Vec<u8>),
    /// Sends nothing until the client goes away.
    Hang,
}

fn ok(body: &str) -> Act {
    reply("200 OK", "Content-Type: application/json", body)
}

fn reply(status: &str, header: &str, body: &str) -> Act {
    Act::Say(format!("HTTP/1.1 {status}\r\n{header}\r\nContent-Length: {}\r\n\r\n{body}", body.len()).into_bytes())
}

trait Stream: Read + Write {}
impl<T: Read + Write> Stream for T {}

struct Server {
    address: SocketAddr,
    requests: Receiver<String>,
}

impl Server {
    /// Answers with the script, request after request, whatever the connection.
    fn start(script: Vec<Act>) -> Self {
        Self::start_with(script, |stream| Some(Box::new(stream)))
    }

    fn start_tls(script: Vec<Act>, certificate: &rcgen::CertifiedKey<rcgen::KeyPair>) -> Self {
        let key = rustls::pki_types::PrivateKeyDer::try_from(certificate.signing_key.serialize_der()).unwrap();
        let config = rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.cert.der().clone()], key)
            .unwrap();
        let config = Arc::new(config);
        Self::start_with(script, move |mut stream| {
            let mut connection = rustls::ServerConnection::new(config.clone()).unwrap();
            connection.complete_io(&mut stream).ok()?;
            Some(Box::new(rustls::StreamOwned::new(connection, stream)))
        })
    }

    fn start_with(script: Vec<Act>, wrap: impl Fn(TcpStream) -> Option<Box<dyn Stream>> + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, requests) = channel();
        std::thread::spawn(move || {
            let mut script = script.into_iter();
            while script.len() > 0 {
                let Ok((stream, _)) = listener.accept() else { return };
                if let Some(mut stream) = wrap(stream) {
                    serve(&mut *stream, &mut script, &sender);
                }
            }
        });
        Self { address, requests }
    }

    fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    fn request(&self) -> String {
        self.requests.recv_timeout(GENEROUS).unwrap()
    }
}

fn serve(stream: &mut dyn Stream, script: &mut dyn Iterator<Item = Act>, sender: &Sender<String>) {
    while let Some(request) = read_request(stream) {
        let _ = sender.send(request);
        match script.next() {
            Some(Act::Say(bytes)) => stream.write_all(&bytes).and_then(|()| stream.flush()).unwrap(),
            Some(Act::SayAndClose(bytes)) => {
                let _ = stream.write_all(&bytes).and_then(|()| stream.flush());
                return;
            }
            Some(Act::Hang) => {
                let _ = stream.read(&mut [0; 64]);
                return;
            }
            None => return,
        }
    }
}

fn read_request(stream: &mut dyn Stream) -> Option<String> {
    let mut text = Vec::new();
    let mut byte = [0];
    while !text.ends_with(b"\r\n\r\n") {
        if stream.read(&mut byte).ok()? == 0 {
            return None;
        }
        text.push(byte[0]);
    }
    let head = String::from_utf8(text).unwrap();
    let length = head
        .lines()
        .find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length:").map(|n| n.trim().parse().unwrap()));
    let mut body = vec![0; length.unwrap_or(0)];
    stream.read_exact(&mut body).ok()?;
    Some(head + &String::from_utf8(body).unwrap())
}

fn client(server: &Server) -> Client {
    Client::builder(server.url()).total_timeout(GENEROUS).build().unwrap()
}

#[test]
fn a_get_sends_encoded_paths_and_reuses_the_connection() {
    let server = Server::start(vec![ok("{\"a\":1}"), ok("\u{feff}{\"a\":2}")]);
    let client = Client::builder(format!("{}/emon cms/", server.url())).build().unwrap();
    assert_eq!(client.get("/feed list.json").query("ids", "1,2 &3").send_json().unwrap(), json!({"a": 1}));
    assert!(server.request().starts_with("GET /emon%20cms/feed%20list.json?ids=1%2C2%20%263 HTTP/1.1\r\n"));
    assert_eq!(client.get_json("/x").unwrap(), json!({"a": 2}));
}

#[test]
fn bodies_that_are_no_json_are_told_apart() {
    let huge = format!("[\"{}\"]", "x".repeat(5000));
    let cases: Vec<(Act, Kind)> = vec![
        (reply("200 OK", "Content-Type: text/html", "<html>login</html>"), Kind::NotJson { looks_like_html: true }),
        (ok(""), Kind::Empty),
        (ok("{\"a\":"), Kind::Truncated),
        (Act::SayAndClose(b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n{\"a\":1}".to_vec()), Kind::Truncated),
        (ok(&huge), Kind::TooLarge { limit: 4096 }),
        (Act::SayAndClose(b"nonsense\r\n\r\n".to_vec()), Kind::Protocol),
        (reply("502 Bad Gateway", "X: y", "starting"), Kind::Status(502)),
    ];
    for (act, kind) in cases {
        let server = Server::start(vec![act]);
        let client = Client::builder(server.url()).limit(4096).build().unwrap();
        let error = client.get_json("/x").unwrap_err();
        assert_eq!(*error.kind(), kind, "{error}");
    }
}

#[test]
fn silent_and_dead_servers_end_in_time() {
    let server = Server::start(vec![Act::Hang]);
    let client = Client::builder(server.url()).total_timeout(Duration::from_millis(300)).build().unwrap();
    let error = client.get_json("/x").unwrap_err();
    assert!(matches!(error.kind(), Kind::Timeout { .. }), "{error}");
    assert_eq!(error.class(), Class::Retry);

    let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let client = Client::builder(format!("http://{gone}")).config_key("sources.X.serverIP").build().unwrap();
    let error = client.get_json("/x").unwrap_err();
    assert_eq!(*error.kind(), Kind::Connect, "{error}");
    assert!(error.to_string().contains("`sources.X.serverIP`"), "{error}");
}

#[test]
fn a_closed_kept_connection_is_made_anew() {
    let Act::Say(bytes) = ok("1") else { unreachable!() };
    let server = Server::start(vec![Act::SayAndClose(bytes), ok("2")]);
    let client = client(&server);
    assert_eq!(client.get_json("/x").unwrap(), json!(1));
    assert_eq!(client.get_json("/x").unwrap(), json!(2));
}

#[test]
fn logins_are_sent_decoded_and_never_shown() {
    let server = Server::start(vec![reply("401 Unauthorized", "X: y", "no p@ss:w for api_key K3YK3Y")]);
    let address = server.url().replace("http://", "http://us%40er:p%40ss%3Aw@");
    let client = Client::builder(address).build().unwrap();
    let error = client.get("/x?api_key=K3YK3Y").send_ok().unwrap_err();
    let sent = server.request();
    assert!(sent.contains("uthorization: Basic dXNAZXI6cEBzczp3\r\n"), "{sent}");
    for text in [error.to_string(), format!("{error:?}"), format!("{client:?}"), error.url().to_owned()] {
        assert!(!text.contains("K3YK3Y") && !text.contains("p@ss:w"), "{text}");
    }
    assert_eq!(error.class(), Class::Denied);
}

#[test]
fn digest_is_answered_once_and_then_kept() {
    let challenge = r#"WWW-Authenticate: Digest realm="envoy", nonce="n1", qop="auth", algorithm=MD5"#;
    let again = r#"WWW-Authenticate: Digest realm="envoy", nonce="n1", qop="auth", algorithm=MD5"#;
    let server = Server::start(vec![
        reply("401 Unauthorized", challenge, ""),
        ok("1"),
        ok("2"),
        reply("401 Unauthorized", again, ""),
    ]);
    let auth = Auth::Digest { user: "envoy".into(), password: "123456".into() };
    let client = Client::builder(server.url()).auth(auth).build().unwrap();
    assert_eq!(client.get_json("/a?b=1").unwrap(), json!(1));
    assert!(!server.request().contains("Digest"));
    let sent = server.request();
    assert!(sent.contains("uri=\"/a?b=1\"") && sent.contains("nc=00000001") && !sent.contains("123456"), "{sent}");
    assert_eq!(client.get_json("/a").unwrap(), json!(2));
    assert!(server.request().contains("nc=00000002"));
    // The same nonce refused: the password is wrong, so no second try.
    assert_eq!(client.get_json("/a").unwrap_err().status(), Some(401));
}

#[test]
fn sessions_keep_cookies() {
    let server =
        Server::start(vec![reply("200 OK", "Set-Cookie: AuthCookie=abc; Path=/", "{\"token\":\"t\"}"), ok("1")]);
    let client = Client::builder(server.url()).cookies(true).build().unwrap();
    let login = client.post("/api/login/Basic").json(&json!({"password": "pw"})).send_json().unwrap();
    assert_eq!(login["token"], "t");
    let sent = server.request();
    assert!(sent.starts_with("POST ") && sent.ends_with("{\"password\":\"pw\"}"), "{sent}");
    client.get_json("/x").unwrap();
    assert!(server.request().to_ascii_lowercase().contains("cookie: authcookie=abc"));
    assert_eq!(client.cookie("AuthCookie").as_deref(), Some("abc"));
}

#[test]
fn forms_and_puts() {
    let server = Server::start(vec![ok("1"), ok("2"), ok("3")]);
    let client = client(&server);
    client.post("/f").form(&[("user[email]", "a b"), ("x", "ä")]).send_json().unwrap();
    assert!(server.request().ends_with("\r\n\r\nuser%5Bemail%5D=a%20b&x=%C3%A4"));
    client.put("/f").json(&json!({"enable": 1})).send_json().unwrap();
    assert!(server.request().ends_with("{\"enable\":1}"));
    client.post("/empty").send_json().unwrap();
    assert!(server.request().to_ascii_lowercase().contains("content-length: 0"));
}

#[test]
fn redirects_stay_on_the_host() {
    let server = Server::start(vec![
        reply("302 Found", "Location: /real?x=1", ""),
        ok("1"),
        reply("302 Found", "Location: http://elsewhere.example/?token=T0KEN", ""),
        reply("302 Found", "Location: /login", ""),
    ]);
    let client = client(&server);
    assert_eq!(client.get_json("/a").unwrap(), json!(1));
    server.request();
    assert!(server.request().starts_with("GET /real?x=1 "));
    let error = client.get_json("/a").unwrap_err();
    assert!(matches!(error.kind(), Kind::Redirected { to } if to.contains("elsewhere.example")), "{error}");
    assert!(!error.to_string().contains("T0KEN"), "{error}");
    let answer = client.post("/a").send().unwrap();
    assert_eq!((answer.status(), answer.header("Location")), (302, Some("/login")));
}

#[test]
fn too_many_calls_carry_their_pause() {
    let server = Server::start(vec![reply("429 Too Many Requests", "Retry-After: 90", "{}")]);
    let error = client(&server).get_json("/x").unwrap_err();
    assert_eq!((error.class(), error.retry_after()), (Class::Wait, Some(Duration::from_secs(90))));
}

#[test]
fn certificates_are_refused_accepted_or_pinned() {
    let own = rcgen::generate_simple_self_signed(vec!["powerwall".into()]).unwrap();
    let pin = Fingerprint::of(own.cert.der());
    let server = || Server::start_tls(vec![ok("1")], &own);
    let get = |server: &Server, tls: Tls| {
        let client = Client::builder(format!("https://{}", server.address)).tls(tls).build().unwrap();
        (client.get_json("/x"), client.peer_fingerprint())
    };
    let refused = get(&server(), Tls::Verified).0.unwrap_err();
    assert_eq!(*refused.kind(), Kind::Tls, "{refused}");
    let (answer, seen) = get(&server(), Tls::AcceptSelfSignedFor("127.0.0.1".into()));
    assert_eq!((answer.unwrap(), seen), (json!(1), Some(pin)));
    assert_eq!(get(&server(), Tls::Pinned(pin)).0.unwrap(), json!(1));
    let other = get(&server(), Tls::Pinned(Fingerprint::of(b"other"))).0.unwrap_err();
    assert_eq!(*other.kind(), Kind::Tls);
    assert!(other.to_string().contains(&pin.to_string()), "{other}");
    let build = Client::builder("https://192.0.2.1").tls(Tls::AcceptSelfSignedFor("127.0.0.1".into())).build();
    assert_eq!(*build.unwrap_err().kind(), Kind::Tls);
}

#[test]
fn an_own_authority_is_checked_with_the_name() {
    let own = rcgen::generate_simple_self_signed(vec!["127.0.0.1".into()]).unwrap();
    let server = Server::start_tls(vec![ok("1")], &own);
    let base = format!("https://{}", server.address);
    let client = Client::builder(&base).tls(Tls::CustomCa(own.cert.pem())).build().unwrap();
    assert_eq!(client.get_json("/x").unwrap(), json!(1));

    let wrong = rcgen::generate_simple_self_signed(vec!["other".into()]).unwrap();
    let server = Server::start_tls(vec![ok("1")], &wrong);
    let client =
        Client::builder(format!("https://{}", server.address)).tls(Tls::CustomCa(wrong.cert.pem())).build().unwrap();
    assert_eq!(*client.get_json("/x").unwrap_err().kind(), Kind::Tls);
    assert!(Client::builder(&base).tls(Tls::CustomCa("nothing".into())).build().is_err());
}

#[derive(Default)]
struct Lines(Mutex<Vec<String>>);

impl Recorder for Lines {
    fn exchange(&self, exchange: &Exchange<'_>) {
        let body = String::from_utf8_lossy(exchange.body);
        self.0.lock().unwrap().push(format!("{} {} {} {body}", exchange.method, exchange.url, exchange.status));
    }
}

#[test]
fn recordings_hold_no_secret_and_can_be_replayed() {
    let server = Server::start(vec![ok("{\"p\":17,\"access_token\":\"T0KEN\"}")]);
    let lines = Arc::new(Lines::default());
    let recorder = Transport::Record(lines.clone());
    let client = Client::builder(server.url()).transport(recorder).build().unwrap();
    client.get_json("/x?api_key=K3Y").unwrap();
    let line = lines.0.lock().unwrap().remove(0);
    assert!(line.starts_with("GET http://127.0.0.1") && line.contains("200") && line.contains("\"p\":17"), "{line}");
    assert!(!line.contains("K3Y") && !line.contains("T0KEN"), "{line}");

    let path = std::env::temp_dir().join(format!("http-client-{}.jsonl", std::process::id()));
    let file = Arc::new(JsonLines::create(&path).unwrap());
    let server = Server::start(vec![ok("{\"p\":17}"), Act::SayAndClose(b"HTTP/1.1 404 No\r\n\r\n\xff".to_vec())]);
    let client = Client::builder(server.url()).transport(Transport::Record(file.clone())).build().unwrap();
    client.get_json("/x?api_key=K3Y").unwrap();
    client.post("/y").json(&json!({"782": null})).send().unwrap();
    drop(client);
    Arc::into_inner(file).unwrap().finish().unwrap();
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    assert!(!text.contains("K3Y"), "{text}");

    let replay = Arc::new(Replay::from_json_lines(&text).unwrap());
    let client = Client::builder("http://nowhere.invalid").transport(Transport::Replay(replay)).build().unwrap();
    assert_eq!(client.get_json("/x?api_key=another").unwrap(), json!({"p": 17}));
    let answer = client.post("/y").json(&json!({"782": null})).send().unwrap();
    assert_eq!((answer.status(), answer.bytes()), (404, &b"\xff"[..]));
    assert_eq!(*client.get_json("/z").unwrap_err().kind(), Kind::NotRecorded);
    let replay = Arc::new(Replay::new(vec![Recorded::get("/a", "{}").with_status(401)]));
    let client = Client::builder("http://nowhere.invalid").transport(Transport::Replay(replay)).build().unwrap();
    assert_eq!(client.get_json("/a").unwrap_err().class(), Class::Denied);
}
