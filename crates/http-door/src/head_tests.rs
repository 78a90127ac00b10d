use super::*;
use proptest::prelude::*;

fn read(bytes: &[u8]) -> Result<Head, Reject> {
    let limits = Limits::default();
    match find_end(bytes, 0, &limits)? {
        Some(end) => parse(&bytes[..end], &limits),
        None => panic!("no end found in {:?}", String::from_utf8_lossy(bytes)),
    }
}

/// A request with these header lines and a host.
fn with(lines: &str) -> Result<Head, Reject> {
    read(format!("POST /x HTTP/1.1\r\nHost: twc\r\n{lines}\r\n").as_bytes())
}

#[test]
fn a_browsers_request() {
    let head = read(
        b"GET /api/getStatus?full=1&a=b?c HTTP/1.1\r\nHost: [fd00::1]:8080\r\nUser-Agent: x\r\n\
          Connection: keep-alive, Upgrade\r\nX-Name: caf\xe9\r\nX-Utf: caf\xc3\xa9\r\n\r\n",
    )
    .expect("good");
    assert_eq!(head.method, Method::Get);
    assert_eq!((&*head.path, &*head.query), ("/api/getStatus", "full=1&a=b?c"));
    assert_eq!(head.headers[0], ("host".into(), "[fd00::1]:8080".into()));
    assert_eq!(head.headers[3].1, "café");
    assert_eq!(head.headers[4].1, "café");
    assert!(head.wants_keep_alive && !head.is_http_1_0 && !head.expects_continue);
    assert_eq!(head.framing, Framing::Length(0));
}

#[test]
fn versions_and_keep_alive() {
    assert!(!with("Connection: x, Close\r\n").expect("good").wants_keep_alive);
    let old = read(b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n").expect("no host needed");
    assert!(old.is_http_1_0 && !old.wants_keep_alive);
    assert_eq!(read(b"GET / HTTP/2.0\r\n\r\n"), Err(Reject::VersionUnknown));
    assert_eq!(read(b"PRI * HTTP/2.0\r\n\r\n"), Err(Reject::VersionUnknown));
    assert_eq!(read(b"GET / FTP/1.1\r\n\r\n"), Err(Reject::BadRequestLine));
    assert_eq!(read(b"GET /\r\n\r\n"), Err(Reject::BadRequestLine));
    assert_eq!(read(b"\r\n\r\n"), Err(Reject::BadRequestLine));
    assert_eq!(read(b"BREW / HTTP/1.1\r\nHost: a\r\n\r\n"), Err(Reject::MethodUnknown));
    assert_eq!(read(b"CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n"), Err(Reject::MethodUnknown));
}

#[test]
fn targets() {
    for (line, want) in [
        ("GET http://Other:81/p?q HTTP/1.1", Ok(("/p", "q"))),
        ("GET http://other HTTP/1.1", Ok(("/", ""))),
        ("GET http://other?q HTTP/1.1", Ok(("/", "q"))),
        ("OPTIONS * HTTP/1.1", Ok(("*", ""))),
        ("GET * HTTP/1.1", Err(Reject::BadTarget)),
        ("GET path HTTP/1.1", Err(Reject::BadTarget)),
        ("GET http:///p HTTP/1.1", Err(Reject::BadTarget)),
        ("GET http://user@host/p HTTP/1.1", Err(Reject::BadTarget)),
        ("GET /caf\u{e9} HTTP/1.1", Err(Reject::BadTarget)),
        ("GET /a b HTTP/1.1", Err(Reject::BadRequestLine)),
        ("GET  / HTTP/1.1", Err(Reject::BadRequestLine)),
    ] {
        let got = read(format!("{line}\r\nHost: twc\r\n\r\n").as_bytes());
        match want {
            Ok((path, query)) => {
                let head = got.unwrap_or_else(|reject| panic!("{line}: {reject:?}"));
                assert_eq!((&*head.path, &*head.query), (path, query), "{line}");
            }
            Err(reject) => assert_eq!(got, Err(reject), "{line}"),
        }
    }
    let absolute = read(b"GET http://other/ HTTP/1.1\r\nHost: twc\r\n\r\n").expect("good");
    assert_eq!(absolute.headers, [("host".to_owned(), "other".to_owned())]);
}

#[test]
fn hosts() {
    for lines in ["", "Host: a\r\nHost: a\r\n", "Host: a/b\r\n", "Host: a b\r\n", "Host: u@a\r\n"] {
        let got = read(format!("GET / HTTP/1.1\r\n{lines}\r\n").as_bytes());
        assert_eq!(got, Err(Reject::BadHost), "{lines:?}");
    }
}

#[test]
fn ambiguous_framing_is_refused() {
    for (lines, want) in [
        ("Content-Length: 7\r\n", Ok(Framing::Length(7))),
        ("content-length:007  \r\n", Ok(Framing::Length(7))),
        ("Content-Length: 1048576\r\n", Ok(Framing::Length(1_048_576))),
        ("Transfer-Encoding: Chunked\r\n", Ok(Framing::Chunked)),
        ("Content-Length: 1048577\r\n", Err(Reject::BodyTooLarge)),
        ("Content-Length: 10000000000000\r\n", Err(Reject::BodyTooLarge)),
        ("Content-Length: 99999999999999999999999\r\n", Err(Reject::BodyTooLarge)),
        ("Content-Length: -1\r\n", Err(Reject::BadLength)),
        ("Content-Length: +1\r\n", Err(Reject::BadLength)),
        ("Content-Length: 0x10\r\n", Err(Reject::BadLength)),
        ("Content-Length: 1, 1\r\n", Err(Reject::BadLength)),
        ("Content-Length: 1 1\r\n", Err(Reject::BadLength)),
        ("Content-Length:\r\n", Err(Reject::BadLength)),
        ("Content-Length: 5\r\nContent-Length: 6\r\n", Err(Reject::RepeatedLength)),
        ("Content-Length: 5\r\ncontent-length: 5\r\n", Err(Reject::RepeatedLength)),
        ("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", Err(Reject::BothFramings)),
        ("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", Err(Reject::BothFramings)),
        ("Transfer-Encoding: gzip, chunked\r\n", Err(Reject::EncodingUnknown)),
        ("Transfer-Encoding: identity\r\n", Err(Reject::EncodingUnknown)),
        ("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", Err(Reject::EncodingUnknown)),
        ("Transfer-Encoding : chunked\r\n", Err(Reject::BadHeaderLine)),
        ("Content-Length : 5\r\n", Err(Reject::BadHeaderLine)),
        ("X: a\r\n folded\r\n", Err(Reject::BadHeaderLine)),
        ("no colon\r\n", Err(Reject::BadHeaderLine)),
        ("X\u{e9}: a\r\n", Err(Reject::BadHeaderLine)),
        (": nameless\r\n", Err(Reject::BadHeaderLine)),
    ] {
        assert_eq!(with(lines).map(|head| head.framing), want, "{lines:?}");
    }
    let old = read(b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n");
    assert_eq!(old, Err(Reject::ChunkedInOldVersion));
}

#[test]
fn expectations() {
    assert!(with("Expect: 100-Continue\r\n").expect("good").expects_continue);
    assert_eq!(with("Expect: miracles\r\n"), Err(Reject::ExpectationUnknown));
}

#[test]
fn what_no_head_can_hold_is_refused_at_once() {
    let limits = Limits::default();
    let look = |bytes: &[u8]| find_end(bytes, 0, &limits);
    assert_eq!(look(b"GET / HTTP/1.1\n"), Err(Reject::BareLineFeed));
    assert_eq!(look(b"\n"), Err(Reject::BareLineFeed));
    assert_eq!(look(b"GET / HTTP/1.1\rX"), Err(Reject::BareCarriageReturn));
    assert_eq!(look(b"GET / HTTP/1.1\r\nX: a\r\r\n"), Err(Reject::BareCarriageReturn));
    assert_eq!(look(b"\x16\x03\x01\x02"), Err(Reject::TlsOnPlainPort));
    assert_eq!(look(b"GET /\0 HTTP"), Err(Reject::ControlCharacter));
    assert_eq!(look(b"\x7f"), Err(Reject::ControlCharacter));
    assert_eq!(look(b"GET / HTTP/1.1\r\nX: a"), Ok(None));
    assert_eq!(look(b""), Ok(None));
}

#[test]
fn heads_are_bounded() {
    let limits = Limits::default();
    assert_eq!(find_end(&vec![b'a'; limits.head], 0, &limits), Ok(None));
    assert_eq!(find_end(&vec![b'a'; limits.head + 1], 0, &limits), Err(Reject::TargetTooLong));
    let mut long = b"GET / HTTP/1.1\r\nX: ".to_vec();
    long.resize(limits.head + 1, b'a');
    assert_eq!(find_end(&long, 0, &limits), Err(Reject::HeadTooLarge));
    let many = "X: y\r\n".repeat(limits.headers);
    assert_eq!(with(&many), Err(Reject::TooManyHeaders));
    let most = "X: y\r\n".repeat(limits.headers - 1);
    assert!(with(&most).is_ok());
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let limits = Limits::default();
        if let Ok(Some(end)) = find_end(&bytes, 0, &limits) {
            let _ = parse(&bytes[..end], &limits);
        }
        let _ = parse(&bytes, &limits);
    }

    /// Text that is nearly a request reaches deeper than random bytes.
    #[test]
    fn near_requests_are_survived_and_framing_stays_unambiguous(
        words in proptest::collection::vec(prop::sample::select(vec![
            "GET ", "POST ", "/", "*", "http://a", " HTTP/1.1", " HTTP/1.0", "\r\n", "\r\n", "\r", "\n", " ", ":", "\t",
            "Host: a", "Content-Length: ", "Transfer-Encoding: chunked", "5", "-1", ",", "é", "\0", "Expect: 100-continue",
        ]), 0..24),
    ) {
        let mut text = words.concat();
        text.push_str("\r\n\r\n");
        let limits = Limits::default();
        if let Ok(Some(end)) = find_end(text.as_bytes(), 0, &limits)
            && let Ok(head) = parse(&text.as_bytes()[..end], &limits)
        {
            let count = |name: &str| head.headers.iter().filter(|(have, _)| have == name).count();
            prop_assert!(count("content-length") + count("transfer-encoding") <= 1);
            prop_assert!(head.path.starts_with('/') || head.path == "*");
            prop_assert!(head.headers.iter().all(|(_, value)| !value.contains(['\r', '\n', '\0'])));
        }
    }

    /// Looking piece by piece finds the same as looking once.
    #[test]
    fn arrival_in_pieces_makes_no_difference(
        bytes in "[A-Z /:.\r\n\u{0}-\u{1}é]{0,60}(\r\n\r\n)?.{0,5}",
        cut in 0usize..80,
    ) {
        let limits = Limits::default();
        let bytes = bytes.as_bytes();
        let cut = cut.min(bytes.len());
        let whole = find_end(bytes, 0, &limits);
        let pieces = match find_end(&bytes[..cut], 0, &limits) {
            Ok(None) => find_end(bytes, cut, &limits),
            early => early,
        };
        prop_assert_eq!(whole, pieces);
    }
}
