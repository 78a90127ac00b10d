//! Against a receiver on loopback that reads requests as Sentry documents them, with Sentry's own types.
#![allow(clippy::unwrap_used, reason = "helpers of tests count as tests")]

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use log::Level;
use logging::{Fanout, Line, Mute, Record, Sink, SinkError};
use logging_sentry::Sentry;
use sentry_types::Auth;
use sentry_types::protocol::v7::{Envelope, EnvelopeItem, Event};

const PATIENCE: Duration = Duration::from_secs(20);

/// One request as it came.
struct Report {
    path: String,
    headers: BTreeMap<String, String>,
    body: Vec<u8>,
}

impl Report {
    /// The one event in the envelope, as Sentry's own types read it.
    fn event(&self) -> Event<'static> {
        let envelope = Envelope::from_slice(&self.body).expect("an envelope");
        let items: Vec<_> = envelope.items().collect();
        let [EnvelopeItem::Event(event)] = items.as_slice() else { panic!("{items:?}") };
        assert_eq!(envelope.uuid(), Some(&event.event_id), "envelope and event have one id");
        Event::clone(event)
    }
}

/// Answers with the script, request after request; with 200 after its end.
struct Receiving {
    port: u16,
    reports: Receiver<Report>,
}

impl Receiving {
    fn start(script: &'static [&'static str]) -> Receiving {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (sender, reports) = channel();
        std::thread::spawn(move || {
            let mut script = script.iter();
            for stream in listener.incoming() {
                let Ok(stream) = stream else { return };
                while let Some(report) = read(&stream) {
                    let head = script.next().copied().unwrap_or("200 OK\r\n");
                    let answer = format!("HTTP/1.1 {head}Content-Length: 2\r\n\r\n{{}}");
                    // The report is told before the answer, so that who has the answer finds it.
                    let is_over = sender.send(report).is_err();
                    if (&stream).write_all(answer.as_bytes()).is_err() || is_over {
                        break;
                    }
                }
            }
        });
        Receiving { port, reports }
    }

    fn sentry(&self) -> Sentry {
        let dsn = format!("http://abc123@127.0.0.1:{}/prefix/7", self.port);
        Sentry::new(&dsn, "1.2.3", "test").unwrap()
    }

    fn next(&self) -> Report {
        self.reports.recv_timeout(PATIENCE).expect("a report")
    }
}

fn read(stream: &TcpStream) -> Option<Report> {
    let mut reader = BufReader::new(stream);
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok().filter(|length| *length > 0)?;
        match line.trim_end() {
            "" => break,
            line => lines.push(line.to_owned()),
        }
    }
    let path = lines[0].strip_prefix("POST ")?.split(' ').next()?.to_owned();
    let headers: BTreeMap<_, _> = lines[1..]
        .iter()
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
        .collect();
    let mut body = vec![0; headers.get("content-length")?.parse().ok()?];
    reader.read_exact(&mut body).ok()?;
    Some(Report { path, headers, body })
}

fn line(level: Level, target: &str, text: &str) -> Record {
    Line::now(level, target, text).into()
}

#[test]
fn an_error_arrives_as_sentry_wants_it_and_without_personal_data() {
    let receiving = Receiving::start(&[]);
    let text = "5YJ3E1EA8KF000001 at 52.37021, 4.89521 (http://anna:pw@192.168.1.7/?token=abc) \"Anna\" broke";
    receiving.sentry().write(&[line(Level::Error, "evse_gen2::port", text)]).unwrap();
    let report = receiving.next();
    assert_eq!(report.path, "/prefix/api/7/envelope/");
    assert_eq!(report.headers["content-type"], "application/x-sentry-envelope");
    let auth: Auth = report.headers["x-sentry-auth"].parse().unwrap();
    assert_eq!((auth.public_key(), auth.version(), auth.client_agent()), ("abc123", 7, Some("twcmanager/1.2.3")));
    let event = report.event();
    assert_eq!(event.level.to_string(), "error");
    assert_eq!(event.logger.as_deref(), Some("evse_gen2::port"));
    assert_eq!(event.release.as_deref(), Some("twcmanager@1.2.3"));
    assert_eq!(event.environment.as_deref(), Some("test"));
    assert_eq!((&event.user, &event.server_name, &event.request), (&None, &None, &None));
    assert!(event.breadcrumbs.values.is_empty());
    let everything = String::from_utf8(report.body.clone()).unwrap();
    assert!(everything.contains("broke"));
    for secret in ["5YJ3E1EA8KF000001", "52.37", "4.895", "anna", "Anna", "pw@", "192.168", "abc", "token="] {
        assert!(!everything.contains(secret), "{secret}: {everything}");
    }
}

#[test]
fn only_errors_go_a_panic_is_fatal_and_trouble_of_sinks_stays_out() {
    let receiving = Receiving::start(&[]);
    let records = [
        line(Level::Info, "site", "information"),
        line(Level::Warn, "site", "warning"),
        line(Level::Error, "logging::thread", "logging.MySQL: no server"),
        line(Level::Error, "site", "one"),
        line(Level::Error, "site", "one"),
        line(Level::Error, "panic", "two"),
    ];
    receiving.sentry().write(&records).unwrap();
    let levels: Vec<_> = (0..2).map(|_| receiving.next().event().level.to_string()).collect();
    assert_eq!(levels, ["error", "fatal"]);
    assert!(receiving.reports.try_recv().is_err());
}

#[test]
fn limits_of_the_server_are_obeyed_and_the_report_waits() {
    let receiving = Receiving::start(&[
        "200 OK\r\nX-Sentry-Rate-Limits: 60:transaction:key\r\n",
        "429 Too Many Requests\r\nX-Sentry-Rate-Limits: 3600:error:key\r\n",
    ]);
    let mut sentry = receiving.sentry();
    sentry.write(&[line(Level::Error, "site", "one")]).unwrap();
    let records =
        [line(Level::Info, "site", "x"), line(Level::Error, "site", "two"), line(Level::Error, "site", "three")];
    for _ in 0..3 {
        let error = sentry.write(&records).unwrap_err();
        assert!(matches!(error, SinkError::Down { written: 1, .. }), "{error:?}");
    }
    receiving.next();
    receiving.next();
    assert!(receiving.reports.try_recv().is_err(), "nothing is sent during the pause");
}

#[test]
fn what_the_server_never_takes_is_left_out_and_what_is_wrong_is_named() {
    let receiving = Receiving::start(&["400 Bad Request\r\n", "403 Forbidden\r\n"]);
    let mut sentry = receiving.sentry();
    let error = sentry.write(&[line(Level::Error, "site", "one")]).unwrap_err();
    assert!(matches!(error, SinkError::Refused { written: 0, .. }), "{error:?}");
    let error = sentry.write(&[line(Level::Error, "site", "one")]).unwrap_err();
    assert!(error.to_string().contains("`logging.Sentry.DSN`"), "{error}");
    assert!(!error.to_string().contains("abc123"), "{error}");
}

#[test]
fn a_server_that_is_not_there_yet_gets_all_in_order() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let sentry = Sentry::new(&format!("http://k@127.0.0.1:{free}/1"), "1.2.3", "test").unwrap();
    let fanout = Fanout::new();
    fanout.add(Box::new(sentry), Mute::default());
    fanout.record(line(Level::Error, "site", "one"));
    fanout.record(line(Level::Error, "site", "two"));
    fanout.flush(PATIENCE);
    assert!(fanout.health()[0].trouble.is_some());
    let listener = TcpListener::bind(("127.0.0.1", free)).unwrap();
    let mut texts = Vec::new();
    while texts.len() < 2 {
        let (stream, _) = listener.accept().unwrap();
        while let Some(report) = read(&stream) {
            texts.push(report.event().logentry.unwrap().message);
            (&stream).write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}").unwrap();
            if texts.len() == 2 {
                break;
            }
        }
    }
    assert_eq!(texts, ["one", "two"]);
    fanout.shutdown(PATIENCE);
}
