//! Hostile and clumsy clients against a real server in a process of its own, which has few descriptors. After each attack a
//! normal request must still be answered and the server's memory and threads must be within their bounds.
//!
//! The first nine tests are the rows of the table "what plain tiny_http does" that made this crate necessary.

mod rig;

use std::io::{Read, Write};
use std::net::Shutdown;

use rig::{Client, Rig, Served};

#[test]
fn announced_sizes_are_not_believed() {
    let rig = Rig::start();
    let mut held = Vec::new();
    for length in ["10000000000000", "99999999999999999999999999", "4294967296"] {
        let mut client = rig.client();
        client.send(format!("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\nabc"));
        let reply = client.reply();
        assert_eq!(reply.status, 413, "{reply:?}");
        assert!(reply.text().contains("1048576 bytes"), "{reply:?}");
        held.push(client);
    }
    // As large as allowed, announced only.
    for _ in 0..20 {
        let mut client = rig.client();
        client.send("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 1048576\r\n\r\nabc");
        held.push(client);
    }
    rig.is_well();
}

#[test]
fn descriptors_run_out() {
    let rig = Rig::start();
    // Four addresses with thirty connections each: below every bound of the door, above what the process may open.
    let held: Vec<Client> = (0..120).map(|n| rig.client_from(2 + n % 4)).collect();
    rig.is_well();
    assert!(rig.descriptors() > 60, "they did run out");
    drop(held);
    rig.is_well();
}

#[test]
fn descriptors_run_out_with_clients_that_may_not_be_dismissed() {
    let rig = Rig::start();
    let held: Vec<Client> = (0..3)
        .flat_map(|address| (0..15).map(move |_| address))
        .map(|address| {
            let mut client = rig.client_from(2 + address);
            client.send("GET /events HTTP/1.1\r\nHost: a\r\n\r\n");
            client
        })
        .collect();
    let crowd: Vec<Client> = (0..60).map(|n| rig.client_from(10 + n % 4)).collect();
    rig.is_well();
    assert!(rig.descriptors() > 60, "they did run out");
    drop((held, crowd));
    rig.is_well();
}

#[test]
fn clients_reset_their_connections() {
    let rig = Rig::start();
    for n in 0..300u16 {
        let mut client = rig.client_from(2 + (n % 8) as u8);
        match n % 3 {
            0 => client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n"),
            1 => client.send("GET /slow HTTP/1.1\r\nHost: a\r\n\r\n"),
            _ => {}
        }
        client.reset();
    }
    rig.is_well();
}

#[test]
fn half_heads_by_the_hundred() {
    let rig = Rig::start();
    let mut held: Vec<Client> = Vec::new();
    for n in 0..400u16 {
        let mut client = rig.client_from(2 + (n % 16) as u8);
        client.try_send("GET / HTTP/1.1\r\nHost: a\r\nX-Slow: ");
        held.push(client);
    }
    // While they are open, from another address and from one of theirs.
    rig.is_well();
    let mut neighbour = rig.client_from(2);
    neighbour.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(neighbour.reply().status, 200);
    drop(held);
    rig.is_well();
}

#[test]
fn endless_headers() {
    let rig = Rig::start();
    for start in ["GET /", "GET / HTTP/1.1\r\nX: ", "GET / HTTP/1.1\r\nHost: a\r\nX: y\r\n"] {
        let mut client = rig.client();
        client.try_send(start);
        let piece = if start.ends_with('\n') { "X: yyyyyyyy\r\n".repeat(4096) } else { "y".repeat(50_000) };
        for _ in 0..200 {
            if !client.try_send(&piece) {
                break;
            }
        }
        let reply = client.reply();
        assert!(matches!(reply.status, 414 | 431), "{reply:?}");
    }
    rig.is_well();
}

#[test]
fn ambiguous_framing() {
    let rig = Rig::start();
    for lines in [
        "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        "Content-Length: 5\r\nContent-Length: 6\r\n",
        "Content-Length: 5\r\nContent-Length: 5\r\n",
        "Content-Length: -5\r\n",
        "Content-Length: 5, 6\r\n",
        "Transfer-Encoding : chunked\r\n",
        "X: y\r\n folded: z\r\n",
    ] {
        let mut client = rig.client();
        client.send(format!(
            "POST /echo HTTP/1.1\r\nHost: a\r\n{lines}\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"
        ));
        let reply = client.reply();
        assert_eq!(reply.status, 400, "{lines:?}: {reply:?}");
        assert_eq!(reply.header("connection"), Some("close"));
        assert_eq!(client.rest(), "", "nothing behind it is answered");
    }
    for chunks in ["zz\r\n", "3\nabc\r\n", "3\r\nabcd\r\n", "-3\r\n", "0x3\r\nabc\r\n"] {
        let mut client = rig.client();
        client.send(format!("POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}"));
        assert_eq!(client.reply().status, 400, "{chunks:?}");
    }
    rig.is_well();
}

#[test]
fn line_breaks_in_answers() {
    let rig = Rig::start();
    let mut client = rig.client();
    client.send("GET /redirect?/x%0d%0aSet-Cookie:%20stolen=1 HTTP/1.1\r\nHost: a\r\n\r\n");
    let reply = client.reply();
    assert_eq!(reply.status, 500, "{reply:?}");
    assert_eq!(reply.header("set-cookie"), None);
    rig.is_well();
}

#[test]
fn unusual_lines() {
    let rig = Rig::start();
    let mut client = rig.client();
    client.send("GET / HTTP/1.1\nHost: a\n\n");
    let reply = client.reply();
    assert_eq!(reply.status, 400);
    assert!(reply.text().contains("CR LF"), "{reply:?}");
    let mut client = rig.client();
    client.send(b"GET /header HTTP/1.1\r\nHost: a\r\nX-Name: caf\xe9\r\n\r\n");
    assert_eq!(client.reply().text(), "café");
    rig.is_well();
}

#[test]
fn https_works_and_each_port_explains_itself() {
    let rig = Rig::start();
    let reply = rig.https("GET /peer HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    assert!(reply.starts_with("HTTP/1.1 200"), "{reply}");
    assert!(reply.ends_with("127.0.0.1 tls"), "{reply}");
    let upload = format!(
        "POST /echo HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 1000000\r\n\r\n{}",
        "x".repeat(1_000_000)
    );
    assert!(rig.https(&upload).ends_with("1000000"));
    // An answer larger than every buffer on the way.
    let big = rig.https("GET /big HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    assert!(big.len() > rig::BIG, "{}", big.len());

    let mut client = rig.client();
    client.send(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03");
    let reply = client.reply();
    assert_eq!(reply.status, 400);
    assert!(reply.text().contains("http://"), "{reply:?}");

    let mut client = rig.tls_port_client();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    let reply = client.reply();
    assert_eq!(reply.status, 400);
    assert!(reply.text().contains("https://"), "{reply:?}");

    // Broken and unfinished handshakes.
    let mut held = Vec::new();
    for n in 0..60u8 {
        let mut client = rig.tls_port_client();
        client.try_send([0x16, 3, 1, 0, n, 1, 2, 3]);
        held.push(client);
    }
    rig.is_well();
    assert!(rig.https("GET / HTTP/1.0\r\n\r\n").starts_with("HTTP/1.0 200"));
}

/// Of some of these sizes the last part waits inside TLS when the socket is full, with nothing left outside of it.
#[test]
fn slowly_taken_https_answers_of_any_size_are_finished() {
    let rig = Rig::start();
    let mut stream = rig.https_stream();
    for size in (16..1_000_000).step_by(40_000) {
        let ask = format!("GET /sized?{size} HTTP/1.1\r\nHost: localhost\r\n\r\n");
        stream.write_all(ask.as_bytes()).expect("sent");
        // The door has written what it could before anything is taken.
        rig.is_well();
        let mut taken = 0;
        let mut piece = [0; 4000];
        while taken < size {
            let count = stream.read(&mut piece).expect("the answer goes on");
            assert_ne!(count, 0, "ended after {taken} bytes");
            taken += piece[..count].iter().filter(|&&byte| byte == b'~').count();
        }
    }
}

#[test]
fn large_bodies_are_refused_with_the_reason() {
    let rig = Rig::start();
    let body = vec![b'x'; 10 * 1024 * 1024];
    for framing in ["Content-Length: 10485760", "Transfer-Encoding: chunked"] {
        let mut client = rig.client();
        client.send(format!("POST /echo HTTP/1.1\r\nHost: a\r\n{framing}\r\n\r\n"));
        if framing.ends_with("chunked") {
            client.try_send("a00000\r\n");
        }
        // A simple client sends everything before it looks for an answer.
        assert!(client.try_send(&body), "the door reads on so that the reason arrives");
        let reply = client.reply();
        assert_eq!(reply.status, 413, "{framing}: {reply:?}");
    }
    let mut client = rig.client();
    client.send("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 1048576\r\n\r\n");
    client.send(&body[..1_048_576]);
    assert_eq!(client.reply().text(), "1048576");
    rig.is_well();
}

#[test]
fn many_large_bodies_at_once_stay_within_memory() {
    let rig = Rig::start();
    let body = vec![b'x'; 1_000_000];
    let mut held = Vec::new();
    for n in 0..24 {
        let mut client = rig.client_from(2 + n % 4);
        client.try_send("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 1048576\r\n\r\n");
        client.try_send(&body);
        held.push(client);
    }
    // Small commands still pass.
    let mut client = rig.client();
    client.send("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello");
    assert_eq!(client.reply().text(), "5");
    rig.is_well();
}

#[test]
fn slow_clients_are_told_and_closed() {
    let rig = Rig::start_with(Served::Impatient);
    let quiet = rig.descriptors();
    for (start, want) in [
        ("GET / HT", 408),
        ("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nx", 408),
        ("GET /hang HTTP/1.1\r\nHost: a\r\n\r\n", 503),
    ] {
        let mut client = rig.client();
        client.send(start);
        let reply = client.reply();
        assert_eq!(reply.status, want, "{start:?}: {reply:?}");
        assert!(reply.text().contains("error"));
    }
    // Kept alive and idle; never used; both just end.
    let mut client = rig.client();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(client.reply().status, 200);
    assert_eq!(client.rest(), "");
    assert_eq!(rig.client().rest(), "");
    // One that asks for much and reads nothing.
    let mut client = rig.client();
    client.send("GET /big HTTP/1.1\r\nHost: a\r\n\r\n");
    rig.is_well();
    rig.wait_for_descriptors(quiet);
    assert!(client.try_rest().len() < rig::BIG, "was cut off");
    rig.is_well();
}

#[test]
fn events_reach_everybody_but_the_slow() {
    let rig = Rig::start();
    let mut quick = rig.client();
    let mut slow = rig.client();
    for client in [&mut quick, &mut slow] {
        client.send("GET /events HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(client.head().status, 200);
    }
    quick.read_until("data: hello\n\n");
    let big = "x".repeat(60_000);
    let mut listeners = 2;
    for round in 0..200 {
        let reply = rig.post("/publish", &format!("{round} {big}"));
        listeners = reply.text().parse::<usize>().expect("a number");
        quick.read_until(&format!("data: {round} "));
        if listeners == 1 {
            break;
        }
    }
    assert_eq!(listeners, 1, "the slow one was dropped");
    rig.is_well();
    // The quick one still gets what is sent, and its stream ends with the server.
    rig.post("/publish", "last");
    quick.read_until("data: last\n\n");
    rig.stop();
    quick.read_until("0\r\n\r\n");
    assert_eq!(quick.rest(), "");
}

#[test]
fn too_many_live_views_and_connections_are_told_so() {
    let rig = Rig::start_with(Served::Crowded);
    let mut views = Vec::new();
    for _ in 0..3 {
        let mut client = rig.client();
        client.send("GET /events HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(client.head().status, 200);
        views.push(client);
    }
    let mut client = rig.client();
    client.send("GET /events HTTP/1.1\r\nHost: a\r\n\r\n");
    let reply = client.reply();
    assert_eq!(reply.status, 503);
    assert!(reply.text().contains("live views"), "{reply:?}");
    drop(client);
    // Requests that are being answered are not cut off for a newcomer.
    let mut busy = rig.client();
    busy.send("GET /hang HTTP/1.1\r\nHost: a\r\n\r\n");
    rig.wait_for_hanging(1);
    let reply = rig.client().reply();
    assert_eq!(reply.status, 503, "{reply:?}");
    assert!(reply.text().contains("too many connections"), "{reply:?}");
    // Somebody else is served.
    let mut other = rig.client_from(9);
    other.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(other.reply().status, 200);
}

#[test]
fn idle_connections_make_room() {
    let rig = Rig::start_with(Served::Crowded);
    let mut clients = Vec::new();
    for _ in 0..12 {
        let mut client = rig.client();
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(client.reply().status, 200);
        clients.push(client);
    }
    // The oldest were closed in favour of the newest.
    assert_eq!(clients[0].rest(), "");
    let last = clients.last_mut().expect("twelve");
    last.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(last.reply().status, 200);
}

#[test]
fn ordinary_clients_of_all_ages() {
    let rig = Rig::start();
    let mut client = rig.client();
    client.send("GET / HTTP/1.0\r\n\r\n");
    assert!(client.rest().starts_with("HTTP/1.0 200"));

    let mut client = rig.client();
    client.send("HEAD / HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n");
    let head = client.head();
    assert_eq!(head.header("content-length"), Some("4"));
    assert_eq!(client.reply().text(), "fine");

    let mut client = rig.client();
    client.send("POST /echo HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n");
    assert_eq!(client.head().status, 100);
    client.send("abc");
    assert_eq!(client.reply().text(), "3");

    // Five requests at once, the answers in order, then the client is done.
    let mut client = rig.client();
    let requests: Vec<String> = (0..5)
        .map(|n| format!("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: {n}\r\n\r\n{}", "y".repeat(n)))
        .collect();
    client.send(requests.concat());
    client.socket.shutdown(Shutdown::Write).expect("open");
    for n in 0..5 {
        assert_eq!(client.reply().text(), n.to_string());
    }
    assert_eq!(client.rest(), "");

    // Nobody can claim to be somebody else.
    let mut client = rig.client();
    client.send("GET /peer HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 1.2.3.4\r\nX-Peer: 1.2.3.4\r\n\r\n");
    assert_eq!(client.reply().text(), "127.0.0.1 plain");

    // A handler that fails, and the worker that goes on.
    for _ in 0..10 {
        let mut client = rig.client();
        client.send("GET /panic HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(client.reply().status, 500);
    }
    rig.is_well();
}

#[test]
fn garbage() {
    let rig = Rig::start();
    let mut seed = 0x2545_f491_4f6c_dd1du64;
    let mut held = Vec::new();
    for _ in 0..200 {
        let bytes: Vec<u8> = (0..300)
            .map(|_| {
                seed ^= seed << 13;
                seed ^= seed >> 7;
                seed ^= seed << 17;
                (seed >> 32) as u8
            })
            .collect();
        let mut client = rig.client();
        client.try_send(&bytes);
        held.push(client);
    }
    for client in &mut held {
        // Either a clear refusal or, if others needed the room, the end; never silence.
        let said = client.try_rest();
        assert!(said.is_empty() || said.starts_with("HTTP/1.1 4"), "{said}");
    }
    rig.is_well();
}

#[test]
fn a_quiet_server_sleeps() {
    let rig = Rig::start();
    let mut view = rig.client();
    view.send("GET /events HTTP/1.1\r\nHost: a\r\n\r\n");
    view.read_until("data: hello\n\n");
    // Let every other connection and the start be over: the same figure twice in a row.
    rig.wait_until_asleep();
    let mut byte = [0];
    view.socket.set_read_timeout(Some(std::time::Duration::from_millis(700))).expect("a timeout");
    let before = rig.wake_ups();
    assert!(view.socket.read(&mut byte).is_err(), "nothing was sent");
    assert_eq!(rig.wake_ups(), before, "nobody woke up meanwhile");
    view.socket.write_all(b"\r\n").expect("open");
}

/// Not a test: the server's process, started by the others.
#[test]
fn served() {
    rig::serve();
}
