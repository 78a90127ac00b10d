//! Links against brokers: a small one in this process, always; and mosquitto, when it is installed.

#![allow(clippy::unwrap_used, reason = "helpers of tests count as tests")]

use mqtt_link::{Broker, ClientId, Hub, Link, LinkError, Publication, Roots, Tls, Will};
use mqtt_rig::{
    Cable, GENEROUS, Mini, Mosquitto, authority, broker, connect, expect, expect_all, free_port, kinds, mosquitto_path,
    signed, start,
};
use std::io::Write;
use std::net::TcpListener;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

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
