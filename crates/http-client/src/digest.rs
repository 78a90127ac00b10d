//! HTTP digest access authentication (RFC 7616, and RFC 2617 for old devices): pure, the nonces are given.

use md5::Md5;
use sha2::{Digest as _, Sha256};

/// How the digest is computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Algorithm {
    /// MD5, also when the server names none.
    Md5,
    /// MD5 with a session key.
    Md5Sess,
    /// SHA-256 (Shelly from generation 2).
    Sha256,
    /// SHA-256 with a session key.
    Sha256Sess,
}

/// What a server asks for in `WWW-Authenticate: Digest …`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Challenge {
    realm: String,
    nonce: String,
    opaque: Option<String>,
    algorithm: Algorithm,
    named_algorithm: Option<String>,
    has_qop: bool,
    stale: bool,
}

impl Challenge {
    /// Reads one header value; `None` if it is no digest challenge that can be answered.
    pub fn parse(header: &str) -> Option<Self> {
        let header = header.trim();
        let (scheme, rest) = header.split_once(char::is_whitespace)?;
        if !scheme.eq_ignore_ascii_case("digest") {
            return None;
        }
        let (mut realm, mut nonce, mut opaque, mut algorithm, mut qop, mut stale) =
            (String::new(), None, None, None, None, false);
        for (name, value) in parameters(rest) {
            match name.to_ascii_lowercase().as_str() {
                "realm" => realm = value,
                "nonce" => nonce = Some(value),
                "opaque" => opaque = Some(value),
                "algorithm" => algorithm = Some(value),
                "qop" => qop = Some(value),
                "stale" => stale = value.eq_ignore_ascii_case("true"),
                _ => {}
            }
        }
        let kind = match algorithm.as_deref().map(str::to_ascii_uppercase).as_deref() {
            None | Some("MD5") => Algorithm::Md5,
            Some("MD5-SESS") => Algorithm::Md5Sess,
            Some("SHA-256") => Algorithm::Sha256,
            Some("SHA-256-SESS") => Algorithm::Sha256Sess,
            Some(_) => return None,
        };
        // Only auth is offered here; auth-int (the body in the hash) is asked for by no known device.
        let has_qop = match &qop {
            None => false,
            Some(list) if list.split(',').any(|q| q.trim().eq_ignore_ascii_case("auth")) => true,
            Some(_) => return None,
        };
        Some(Self { realm, nonce: nonce?, opaque, algorithm: kind, named_algorithm: algorithm, has_qop, stale })
    }

    /// The strongest challenge among several headers.
    pub fn strongest<'h>(headers: impl IntoIterator<Item = &'h str>) -> Option<Self> {
        headers.into_iter().filter_map(Self::parse).max_by_key(|c| c.algorithm)
    }

    /// The algorithm asked for.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// Whether the server says that only the nonce was too old, not the password wrong.
    pub fn is_stale(&self) -> bool {
        self.stale
    }

    pub(crate) fn nonce(&self) -> &str {
        &self.nonce
    }

    /// The value of the `Authorization` header. `target` is the path with query exactly as sent; `count` is how often this
    /// nonce has been used, from 1; `client_nonce` is fresh random text.
    pub fn answer(
        &self,
        user: &str,
        password: &str,
        method: &str,
        target: &str,
        client_nonce: &str,
        count: u32,
    ) -> String {
        let hash = |text: String| match self.algorithm {
            Algorithm::Md5 | Algorithm::Md5Sess => hex(&Md5::digest(text.as_bytes())),
            Algorithm::Sha256 | Algorithm::Sha256Sess => hex(&Sha256::digest(text.as_bytes())),
        };
        let mut a1 = hash(format!("{user}:{}:{password}", self.realm));
        if matches!(self.algorithm, Algorithm::Md5Sess | Algorithm::Sha256Sess) {
            a1 = hash(format!("{a1}:{}:{client_nonce}", self.nonce));
        }
        let a2 = hash(format!("{method}:{target}"));
        let response = if self.has_qop {
            hash(format!("{a1}:{}:{count:08x}:{client_nonce}:auth:{a2}", self.nonce))
        } else {
            hash(format!("{a1}:{}:{a2}", self.nonce))
        };
        let mut out = format!(
            "Digest username=\"{}\", realm=\"{}\", nonce=\"{}\", uri=\"{}\", response=\"{response}\"",
            quoted(user),
            quoted(&self.realm),
            quoted(&self.nonce),
            quoted(target)
        );
        if let Some(name) = &self.named_algorithm {
            out.push_str(&format!(", algorithm={name}"));
        }
        if self.has_qop {
            out.push_str(&format!(", qop=auth, nc={count:08x}, cnonce=\"{}\"", quoted(client_nonce)));
        } else if matches!(self.algorithm, Algorithm::Md5Sess | Algorithm::Sha256Sess) {
            out.push_str(&format!(", cnonce=\"{}\"", quoted(client_nonce)));
        }
        if let Some(opaque) = &self.opaque {
            out.push_str(&format!(", opaque=\"{}\"", quoted(opaque)));
        }
        out
    }
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

fn quoted(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"")
}

/// Splits `a=b, c="d, \"e\""`.
fn parameters(text: &str) -> Vec<(String, String)> {
    let mut out = Vec::new();
    let mut chars = text.chars().peekable();
    loop {
        while chars.next_if(|c| c.is_whitespace() || *c == ',').is_some() {}
        let mut name = String::new();
        while let Some(c) = chars.next_if(|c| *c != '=' && *c != ',') {
            name.push(c);
        }
        if chars.next_if_eq(&'=').is_none() {
            if chars.peek().is_none() {
                return out;
            }
            continue;
        }
        while chars.next_if(|c| c.is_whitespace()).is_some() {}
        let mut value = String::new();
        if chars.next_if_eq(&'"').is_some() {
            while let Some(c) = chars.next() {
                match c {
                    '"' => break,
                    '\\' => value.extend(chars.next()),
                    _ => value.push(c),
                }
            }
        } else {
            while let Some(c) = chars.next_if(|c| *c != ',') {
                value.push(c);
            }
            value.truncate(value.trim_end().len());
        }
        // A control character in an answer would split the header.
        value.retain(|c| !c.is_control());
        name.retain(|c| !c.is_control());
        out.push((name.trim().to_owned(), value));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn response(answer: &str) -> String {
        parameters(answer.strip_prefix("Digest ").unwrap())
            .into_iter()
            .find(|(name, _)| name == "response")
            .map(|(_, value)| value)
            .unwrap()
    }

    /// The worked example of RFC 2617, section 3.5.
    #[test]
    fn rfc_2617_example() {
        let challenge = Challenge::parse(
            r#"Digest realm="testrealm@host.com", qop="auth,auth-int", nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093", opaque="5ccc069c403ebaf9f0171e9517f40e41""#,
        )
        .unwrap();
        let answer = challenge.answer("Mufasa", "Circle Of Life", "GET", "/dir/index.html", "0a4f113b", 1);
        assert_eq!(response(&answer), "6629fae49393a05397450978507c4ef1");
        assert!(answer.contains("nc=00000001") && answer.contains(r#"opaque="5ccc069c403ebaf9f0171e9517f40e41""#));
    }

    /// The worked example of RFC 7616, section 3.9.1.
    #[test]
    fn rfc_7616_examples() {
        let header = |algorithm: &str| {
            format!(
                r#"Digest realm="http-auth@example.org", qop="auth, auth-int", algorithm={algorithm}, nonce="7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS""#
            )
        };
        let cnonce = "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ";
        let (md5, sha) = (header("MD5"), header("SHA-256"));
        for (text, expected) in [
            (&md5, "8ca523f5e9506fed4657c9700eebdbec"),
            (&sha, "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"),
        ] {
            let answer =
                Challenge::parse(text).unwrap().answer("Mufasa", "Circle of Life", "GET", "/dir/index.html", cnonce, 1);
            assert_eq!(response(&answer), expected);
        }
        let both = [md5.as_str(), sha.as_str(), "Basic realm=\"x\""];
        assert_eq!(Challenge::strongest(both).unwrap().algorithm(), Algorithm::Sha256);
    }

    #[test]
    fn old_devices_without_qop() {
        let challenge = Challenge::parse(r#"digest realm="a\"b",nonce=5f2 , stale=TRUE"#).unwrap();
        assert!(challenge.is_stale());
        let answer = challenge.answer("envoy", "123456", "GET", "/x", "c", 1);
        assert!(
            !answer.contains("qop") && !answer.contains("cnonce") && answer.contains(r#"realm="a\"b""#),
            "{answer}"
        );
    }

    #[test]
    fn what_can_not_be_answered_is_refused() {
        for header in [
            "Basic realm=\"x\"",
            "Digest realm=\"x\"",
            "Digest nonce=1, algorithm=SHA-512-256",
            "Digest nonce=1, qop=auth-int",
            "",
        ] {
            assert_eq!(Challenge::parse(header), None, "{header}");
        }
    }

    proptest! {
        #[test]
        fn any_header_is_read_or_refused_and_no_answer_splits_a_line(header in ".{0,60}", realm in "\\PC{0,10}\r?\n?") {
            let _ = Challenge::parse(&header);
            if let Some(challenge) = Challenge::parse(&format!("Digest nonce=\"n\", realm=\"{realm}")) {
                prop_assert!(!challenge.answer("u", "p", "GET", "/", "c", 1).contains(['\r', '\n']));
            }
        }
    }
}
