use super::*;
use crate::events::{EVENT_BACKLOG, Event};
use crate::settings::Limits;
use proptest::prelude::*;
use std::io::IoSlice;
use std::time::Duration;

/// A session with a clock of its own.
struct Bench {
    session: Session,
    rules: Arc<Rules>,
    now: Instant,
}

impl Bench {
    fn new() -> Bench {
        Bench::with(Limits::default())
    }

    fn with(limits: Limits) -> Bench {
        let rules = Rules::new(limits);
        let now = Instant::now();
        Bench { session: Session::new(Arc::clone(&rules), IpAddr::from([10, 0, 0, 1]), false, now), rules, now }
    }

    /// A second connection under the same rules.
    fn another(&self) -> Bench {
        let rules = Arc::clone(&self.rules);
        let peer = IpAddr::from([10, 0, 0, 2]);
        Bench { session: Session::new(Arc::clone(&rules), peer, false, self.now), rules, now: self.now }
    }

    fn feed(&mut self, bytes: impl AsRef<[u8]>) -> &mut Bench {
        self.session.feed(self.now, bytes.as_ref());
        self
    }

    fn wait(&mut self, time: Duration) -> &mut Bench {
        self.now += time;
        self.session.handle_timeout(self.now);
        self
    }

    fn answer(&mut self, response: Response) -> &mut Bench {
        self.session.answer(self.now, response);
        self
    }

    fn request(&mut self) -> Request {
        self.session.take_request().expect("a request")
    }

    /// What the client reads when it reads everything, without the dates.
    fn said(&mut self) -> String {
        let mut seen = Vec::new();
        while !self.session.output().is_empty() {
            let mut slices = [IoSlice::new(&[]); 1];
            self.session.output().gather(&mut slices);
            let bytes = slices[0].to_vec();
            self.session.output().advance(bytes.len());
            seen.extend(bytes);
            if self.session.output().is_empty() {
                self.session.handle_written(self.now);
            }
        }
        String::from_utf8_lossy(&seen)
            .split_inclusive("\r\n")
            .filter(|line| !line.starts_with("Date: ") && !line.starts_with("Server: "))
            .collect()
    }

    fn status(&mut self) -> String {
        let said = self.said();
        said.lines().next().unwrap_or("silence").to_owned()
    }
}

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

fn secs(count: u64) -> Duration {
    Duration::from_secs(count)
}

#[test]
fn requests_follow_each_other_on_one_connection() {
    let mut bench = Bench::new();
    bench.feed("\r\nGET /one?x HTTP/1.1\r\nHost: a\r\n\r\n");
    let request = bench.request();
    assert_eq!((&*request.path, &*request.query), ("/one", "x"));
    assert_eq!(request.peer, IpAddr::from([10, 0, 0, 1]));
    assert!(!bench.session.wants_input(), "the next request waits");
    bench.answer(Response::text(200, "1"));
    assert_eq!(
        bench.said(),
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 1\r\n\r\n1"
    );
    assert_eq!(bench.session.standing(), Standing::Idle);
    bench.feed("POST /two HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nab");
    assert_eq!(bench.session.standing(), Standing::Receiving);
    assert!(bench.session.take_request().is_none());
    bench.feed("c");
    assert_eq!(bench.request().body, b"abc");
}

/// Two of them, byte by byte, once made a request line of their own.
#[test]
fn empty_lines_before_a_request_are_passed_over_and_give_no_time() {
    let mut bench = Bench::new();
    for byte in "\r\n\r\n\r\n".chars().chain(GET.chars()) {
        bench.feed(byte.to_string());
    }
    assert_eq!(bench.request().path, "/");
    let mut bench = Bench::new();
    for _ in 0..10 {
        bench.feed("\r\n").wait(secs(1));
    }
    assert!(bench.session.is_closed());
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let mut bench = Bench::new();
    bench.feed("GET /1 HTTP/1.1\r\nHost: a\r\n\r\nPOST /2 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\nGET /3 HTTP/1.1\r\nHost: a\r\n\r\n");
    for path in ["/1", "/2", "/3"] {
        assert_eq!(bench.request().path, path);
        assert!(bench.session.take_request().is_none());
        bench.answer(Response::new(204));
        assert_eq!(bench.said(), "HTTP/1.1 204 No Content\r\n\r\n");
    }
    bench.session.handle_peer_end(bench.now);
    assert!(bench.session.is_closed());
}

#[test]
fn old_clients_and_head_requests() {
    let mut bench = Bench::new();
    bench.feed("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    bench.request();
    bench.answer(Response::text(200, "x"));
    let said = bench.said();
    assert!(said.starts_with("HTTP/1.0 200 OK\r\n"), "{said}");
    assert!(said.ends_with("Content-Length: 1\r\nConnection: close\r\n\r\nx"));
    assert!(bench.session.wants_end());

    let mut bench = Bench::new();
    bench.feed("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n");
    bench.request();
    bench.answer(Response::json(200, "[1,2]"));
    let said = bench.said();
    assert!(said.ends_with("Content-Length: 5\r\n\r\n"), "{said}");
    assert_eq!(bench.session.standing(), Standing::Idle);
}

#[test]
fn a_client_that_asks_first_is_told_to_continue() {
    let ask = "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: ";
    let mut bench = Bench::new();
    bench.feed(format!("{ask}1\r\n\r\n"));
    assert_eq!(bench.said(), "HTTP/1.1 100 Continue\r\n\r\n");
    bench.feed("x");
    assert_eq!(bench.request().body, b"x");
    // Not asked for when the body is already there or would be refused.
    let mut bench = Bench::new();
    bench.feed(format!("{ask}1\r\n\r\nx"));
    assert_eq!(bench.said(), "");
    let mut bench = Bench::new();
    bench.feed(format!("{ask}9999999\r\n\r\n"));
    assert!(bench.status().starts_with("HTTP/1.1 413"));
}

#[test]
fn refusals_say_what_to_do_and_linger() {
    let mut bench = Bench::new();
    bench.feed("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10000000000000\r\n\r\nabc");
    let said = bench.said();
    assert!(said.starts_with("HTTP/1.1 413 "), "{said}");
    assert!(said.contains("\r\nConnection: close\r\n"));
    assert!(said.ends_with("{\"error\":\"the body is larger than the 1048576 bytes allowed: send less\"}"));
    assert!(bench.session.wants_end() && bench.session.wants_input());
    for _ in 0..100 {
        bench.feed(vec![0; 100_000]);
    }
    assert!(!bench.session.is_closed(), "10 MB may still arrive");
    for _ in 0..100 {
        bench.feed(vec![0; 100_000]);
    }
    assert!(bench.session.is_closed(), "but not for ever");
    assert_eq!(bench.session.input.capacity(), 0);
}

#[test]
fn time_runs_out() {
    // Nothing at all: closed without a word.
    let mut bench = Bench::new();
    assert!(!bench.wait(secs(9)).session.is_closed());
    assert!(bench.wait(secs(1)).session.is_closed());

    // A drip does not extend the time.
    let mut bench = Bench::new();
    for letter in "GET /slow".chars() {
        bench.feed(letter.to_string()).wait(secs(1));
    }
    assert_eq!(bench.said(), "");
    bench.wait(secs(1));
    assert!(bench.status().starts_with("HTTP/1.1 408"));

    let mut bench = Bench::new();
    bench.feed("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99\r\n\r\n");
    for _ in 0..29 {
        bench.feed("x").wait(secs(1));
    }
    assert_eq!(bench.said(), "");
    bench.wait(secs(1));
    assert!(bench.status().starts_with("HTTP/1.1 408"));

    // Kept alive, then idle; the second head has its own time.
    let mut bench = Bench::new();
    bench.feed(GET).wait(secs(5)).request();
    bench.answer(Response::new(204)).said();
    assert!(!bench.wait(secs(29)).session.is_closed());
    bench.feed("G").wait(secs(9));
    assert_eq!(bench.said(), "");
    bench.wait(secs(1));
    assert!(bench.status().starts_with("HTTP/1.1 408"));

    // A handler that hangs; its late answer is not sent.
    let mut bench = Bench::new();
    bench.feed(GET).request();
    bench.wait(secs(60)).answer(Response::new(204));
    assert!(bench.status().starts_with("HTTP/1.1 503"));

    // A client that does not read.
    let mut bench = Bench::new();
    bench.feed(GET).request();
    bench.answer(Response::text(200, "x"));
    assert_eq!(bench.session.standing(), Standing::Sending);
    assert!(bench.wait(secs(30)).session.is_closed());

    // One that lingers.
    let mut bench = Bench::new();
    bench.feed("\n").said();
    assert!(!bench.wait(secs(4)).session.is_closed());
    assert!(bench.wait(secs(1)).session.is_closed());
}

#[test]
fn events_are_framed_and_need_no_timer_while_quiet() {
    let mut bench = Bench::new();
    let (sender, stream) = EventStream::channel();
    bench.feed(GET).request();
    bench.answer(Response::events(stream));
    let said = bench.said();
    assert!(said.contains("Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n"), "{said}");
    assert_eq!(bench.session.next_timeout(), None);
    sender.send(&Event::message("a")).expect("open");
    sender.send(&Event::message("b")).expect("open");
    bench.session.pump(bench.now);
    assert_eq!(bench.said(), "12\r\ndata: a\n\ndata: b\n\n\r\n");
    assert_eq!(bench.session.next_timeout(), None);
    drop(sender);
    bench.session.pump(bench.now);
    assert_eq!(bench.said(), "0\r\n\r\n");
    assert!(bench.session.wants_end());

    let mut bench = Bench::new();
    let (sender, stream) = EventStream::channel();
    sender.send(&Event::message("old")).expect("open");
    bench.feed("GET / HTTP/1.0\r\n\r\n").request();
    bench.answer(Response::events(stream));
    assert!(bench.said().ends_with("Connection: close\r\n\r\ndata: old\n\n"));
}

#[test]
fn slow_listeners_are_dropped() {
    // By bytes, as soon as the door hears of it.
    let mut bench = Bench::new();
    let (sender, stream) = EventStream::channel();
    bench.feed(GET).request();
    bench.answer(Response::events(stream)).said();
    let big = Event::message(&"x".repeat(EVENT_BACKLOG / 2));
    sender.send(&big).expect("open");
    bench.session.pump(bench.now);
    sender.send(&big).expect("still held");
    assert!(sender.send(&big).is_err());
    bench.session.pump(bench.now);
    assert!(bench.session.is_closed());

    // By time.
    let mut bench = Bench::new();
    let (sender, stream) = EventStream::channel();
    bench.feed(GET).request();
    bench.answer(Response::events(stream)).said();
    sender.send(&Event::message("x")).expect("open");
    bench.session.pump(bench.now);
    bench.wait(secs(30));
    assert!(bench.session.is_closed() && !sender.is_open());

    // One that talks back without end.
    let mut bench = Bench::new();
    let (sender, stream) = EventStream::channel();
    bench.feed(GET).request();
    bench.answer(Response::events(stream)).said();
    bench.feed(vec![b'x'; STREAM_INPUT]);
    assert!(!bench.session.is_closed());
    bench.feed("x");
    assert!(bench.session.is_closed() && !sender.is_open());
}

#[test]
fn the_end_of_the_server() {
    let mut idle = Bench::new();
    idle.session.end(idle.now);
    assert!(idle.session.is_closed());

    let mut busy = Bench::new();
    busy.feed(GET).request();
    busy.session.end(busy.now);
    busy.answer(Response::new(204));
    assert!(busy.said().ends_with("Connection: close\r\n\r\n"));
    assert!(busy.session.is_closed());

    let mut live = Bench::new();
    let (_sender, stream) = EventStream::channel();
    live.feed(GET).request();
    live.answer(Response::events(stream)).said();
    live.session.end(live.now);
    assert_eq!(live.said(), "0\r\n\r\n");
    assert!(live.session.is_closed());

    let mut upload = Bench::new();
    upload.feed("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n");
    upload.session.end(upload.now);
    assert!(upload.status().starts_with("HTTP/1.1 503"));
}

#[test]
fn large_bodies_share_a_bound_and_small_ones_pass() {
    let mut first = Bench::with(Limits { bodies_together: 150_000, ..Limits::default() });
    let head = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: ";
    first.feed(format!("{head}100000\r\n\r\n")).feed(vec![0; 99_999]);
    let mut second = first.another();
    second.feed(format!("{head}100000\r\n\r\n")).feed(vec![0; 60_000]);
    assert!(second.status().starts_with("HTTP/1.1 503"));
    let mut small = first.another();
    small.feed(format!("{head}16384\r\n\r\n")).feed(vec![0; 16_384]);
    small.request();
    first.feed("x").request();
    first.answer(Response::new(204)).said();
    assert_eq!(first.rules.large_bodies.load(Ordering::Relaxed), 0);
    let mut third = first.another();
    third.feed(format!("{head}100000\r\n\r\n")).feed(vec![0; 100_000]);
    third.request();
}

#[test]
fn a_handlers_bad_header_becomes_a_500() {
    let mut bench = Bench::new();
    bench.feed(GET).request();
    bench.answer(Response::new(302).with_header("Location", "/\r\nSet-Cookie: a=b"));
    let said = bench.said();
    assert!(said.starts_with("HTTP/1.1 500 "), "{said}");
    assert!(!said.contains("Set-Cookie"));
    let mut bench = Bench::new();
    bench.feed(GET).request();
    bench.answer(Response::new(100));
    assert!(bench.status().starts_with("HTTP/1.1 500"));
}

#[test]
fn half_closed_clients() {
    let mut bench = Bench::new();
    bench.feed("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nabc");
    bench.session.handle_peer_end(bench.now);
    assert!(bench.status().starts_with("HTTP/1.1 400"));
    assert!(bench.session.is_closed());
    let mut bench = Bench::new();
    bench.feed("GET / HT");
    bench.session.handle_peer_end(bench.now);
    assert!(bench.session.is_closed());
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever arrives, in whatever pieces: no panic, bounded memory, and the same requests and answers.
    #[test]
    fn pieces_make_no_difference(
        words in proptest::collection::vec(prop::sample::select(vec![
            "GET / HTTP/1.1\r\n", "POST /p HTTP/1.1\r\n", "Host: a\r\n", "Content-Length: 3\r\n", "\r\n", "abc", "\n", "\0",
            "Transfer-Encoding: chunked\r\n", "3\r\nabc\r\n", "0\r\n\r\n", "Connection: close\r\n", "zz", "GET / HTTP/1.0\r\n",
        ]), 0..20),
        step in 1usize..9,
    ) {
        let bytes = words.concat().into_bytes();
        let run = |step: usize| {
            let mut bench = Bench::new();
            let mut log = String::new();
            for piece in bytes.chunks(step) {
                // A closing connection forgets what follows, at a point that depends on the pieces.
                bench.feed(piece);
                while let Some(request) = bench.session.take_request() {
                    log += &format!("{:?} {} {:?}\n", request.method, request.path, request.body);
                    bench.answer(Response::text(200, "ok"));
                    log += &bench.said();
                }
                log += &bench.said();
            }
            log
        };
        prop_assert_eq!(run(step), run(bytes.len().max(1)));
    }

    #[test]
    fn garbage_is_survived(bytes in proptest::collection::vec(any::<u8>(), 0..600), step in 1usize..99) {
        let mut bench = Bench::new();
        for piece in bytes.chunks(step) {
            bench.feed(piece).said();
            prop_assert!(bench.session.input.len() <= 20_000);
        }
    }
}
