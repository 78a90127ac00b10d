//! Bodies into text and JSON, with the tolerance devices need.

use crate::error::Kind;
use serde_json::Value;

/// Bytes as text: by byte order mark, else UTF-8, else Latin-1. Never fails.
pub(crate) fn text(bytes: &[u8]) -> String {
    let utf16 = |rest: &[u8], unit: fn([u8; 2]) -> u16| {
        let units = rest.chunks_exact(2).map(|pair| match pair {
            [a, b] => unit([*a, *b]),
            _ => 0,
        });
        char::decode_utf16(units).map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER)).collect()
    };
    match bytes {
        [0xef, 0xbb, 0xbf, rest @ ..] => String::from_utf8_lossy(rest).into_owned(),
        [0xff, 0xfe, rest @ ..] => utf16(rest, u16::from_le_bytes),
        [0xfe, 0xff, rest @ ..] => utf16(rest, u16::from_be_bytes),
        _ => match std::str::from_utf8(bytes) {
            Ok(text) => text.to_owned(),
            Err(_) => bytes.iter().map(|b| char::from(*b)).collect(),
        },
    }
}

/// Whether a body looks like a web page.
pub(crate) fn looks_like_html(text: &str) -> bool {
    let start: String = text.trim_start().chars().take(64).flat_map(char::to_lowercase).collect();
    ["<!doctype html", "<html", "<head", "<body", "<!--", "<meta", "<h1", "<center", "<title"]
        .iter()
        .any(|mark| start.starts_with(mark))
}

/// A body as JSON, or what it is instead.
pub(crate) fn json(bytes: &[u8]) -> Result<Value, (Kind, String)> {
    let text = text(bytes);
    let body = text.trim_matches(|c: char| c.is_whitespace() || c == '\0' || c == '\u{feff}');
    if body.is_empty() {
        return Err((Kind::Empty, String::new()));
    }
    let fault = match serde_json::from_str(body) {
        Ok(value) => return Ok(value),
        Err(fault) => fault,
    };
    if looks_like_html(body) {
        return Err((Kind::NotJson { looks_like_html: true }, String::new()));
    }
    if let Some(value) = nulled(body).and_then(|body| serde_json::from_str(&body).ok()) {
        return Ok(value);
    }
    if fault.is_eof() && body.starts_with(['{', '[', '"']) {
        return Err((Kind::Truncated, format!("{} bytes", bytes.len())));
    }
    Err((Kind::NotJson { looks_like_html: false }, excerpt(body)))
}

/// The start of a text, for a message.
pub(crate) fn excerpt(text: &str) -> String {
    const LONGEST: usize = 100;
    let clean: String = text.trim().chars().map(|c| if c.is_control() { ' ' } else { c }).take(LONGEST).collect();
    let more = if text.trim().chars().nth(LONGEST).is_some() { "…" } else { "" };
    if clean.is_empty() { clean } else { format!("it says: {clean}{more}") }
}

/// The same JSON with bare `NaN`, `Infinity`, `-Infinity` and `nan` (some devices write them) replaced by null.
/// `None` if there is none.
fn nulled(body: &str) -> Option<String> {
    const WORDS: [&str; 6] = ["-Infinity", "Infinity", "-NaN", "NaN", "-nan", "nan"];
    let mut out = String::with_capacity(body.len());
    let (mut in_text, mut escaped, mut found) = (false, false, false);
    let mut rest = body;
    while let Some(c) = rest.chars().next() {
        if !in_text && let Some(word) = WORDS.iter().find(|word| rest.starts_with(**word)) {
            out.push_str("null");
            found = true;
            rest = rest.get(word.len()..).unwrap_or_default();
            continue;
        }
        match c {
            _ if escaped => escaped = false,
            '\\' if in_text => escaped = true,
            '"' => in_text = !in_text,
            _ => {}
        }
        out.push(c);
        rest = rest.get(c.len_utf8()..).unwrap_or_default();
    }
    found.then_some(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn tolerated_bodies() {
        for (bytes, expected) in [
            (&b"\xef\xbb\xbf{\"a\":1}"[..], json!({"a": 1})),
            (b"\xff\xfe{\x00}\x00", json!({})),
            (b" {\"a\":\"\xfc\"}\r\n\0", json!({"a": "ü"})),
            (
                b"{\"a\":NaN,\"b\":[-Infinity],\"c\":\"NaN \\\" NaN\"}",
                json!({"a": null, "b": [null], "c": "NaN \" NaN"}),
            ),
            (b"null", json!(null)),
        ] {
            assert_eq!(super::json(bytes).unwrap(), expected, "{bytes:?}");
        }
    }

    #[test]
    fn refused_bodies_are_told_apart() {
        for (body, kind) in [
            ("", Kind::Empty),
            ("\r\n\0", Kind::Empty),
            ("<!DOCTYPE html><html>", Kind::NotJson { looks_like_html: true }),
            ("\n<HTML><body>401</body>", Kind::NotJson { looks_like_html: true }),
            ("{\"a\":1", Kind::Truncated),
            ("[1,2", Kind::Truncated),
            ("{\"QUERY IMPOSSIBLE 000\"}", Kind::NotJson { looks_like_html: false }),
            ("401: Unauthorized", Kind::NotJson { looks_like_html: false }),
            ("<xml/>", Kind::NotJson { looks_like_html: false }),
        ] {
            assert_eq!(super::json(body.as_bytes()).unwrap_err().0, kind, "{body}");
        }
    }

    #[test]
    fn deep_nesting_is_an_error_not_a_crash() {
        assert!(super::json("[".repeat(100_000).as_bytes()).is_err());
    }

    proptest! {
        #[test]
        fn any_bytes_give_json_or_a_kind(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = super::json(&bytes);
        }

        #[test]
        fn cut_objects_are_truncated(cut in 1usize..34) {
            let body = r#"{"Body":{"Data":[1,2,{"x":"yäz"}]}}"#;
            prop_assume!(body.is_char_boundary(cut));
            let kind = super::json(&body.as_bytes()[..cut]).unwrap_err().0;
            prop_assert_eq!(kind, Kind::Truncated);
        }
    }
}
