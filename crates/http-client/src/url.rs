//! Addresses: percent-encoding, and a base address from what users write.

use crate::error::{HttpError, Kind};
use percent_encoding::{AsciiSet, CONTROLS, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

/// What must be encoded in a path and query that is otherwise taken as it stands.
const RAW: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'<')
    .add(b'>')
    .add(b'[')
    .add(b'\\')
    .add(b']')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'|')
    .add(b'}');

/// What must be encoded in a value: everything but RFC 3986's unreserved characters.
const VALUE: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Encodes a value for a query or a form, or one name within a path.
pub fn encode(value: &str) -> String {
    utf8_percent_encode(value, VALUE).to_string()
}

/// Decodes `%41`; a broken escape stays as it is.
pub fn decode(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

/// Encodes only what may not stand in a path and query; `%` stays if it begins an escape.
pub fn encode_target(target: &str) -> String {
    let mut out = String::with_capacity(target.len() + 8);
    if !target.starts_with('/') {
        out.push('/');
    }
    let mut rest = target;
    while let Some(at) = rest.find('%') {
        let (before, from) = rest.split_at(at);
        out.extend(utf8_percent_encode(before, RAW));
        let is_escape = from.as_bytes().get(1..3).is_some_and(|hex| hex.iter().all(u8::is_ascii_hexdigit));
        out.push_str(if is_escape { "%" } else { "%25" });
        rest = from.get(1..).unwrap_or_default();
    }
    out.extend(utf8_percent_encode(rest, RAW));
    out
}

/// Encodes pairs as a query or a form body.
pub fn pairs<K: AsRef<str>, V: AsRef<str>>(pairs: &[(K, V)]) -> String {
    let parts: Vec<String> =
        pairs.iter().map(|(k, v)| format!("{}={}", encode(k.as_ref()), encode(v.as_ref()))).collect();
    parts.join("&")
}

/// A base address from a configuration's host, port and https switch. The host may be a name, an IPv4 or IPv6 address, or
/// an address that users paste (`http://192.168.1.5:8080/`); what is written there wins over `port` and `https`.
///
/// # Errors
///
/// [`Kind::BadAddress`].
///
/// ```
/// assert_eq!(http_client::url::base("192.168.1.5", Some(8080), false)?, "http://192.168.1.5:8080");
/// assert_eq!(http_client::url::base("fe80::1", None, true)?, "https://[fe80::1]");
/// # Ok::<(), http_client::HttpError>(())
/// ```
pub fn base(host: &str, port: Option<u16>, https: bool) -> Result<String, HttpError> {
    let host = host.trim();
    let with_scheme = if host.contains("://") {
        host.to_owned()
    } else {
        let scheme = if https { "https" } else { "http" };
        let is_bare_ipv6 = host.parse::<std::net::Ipv6Addr>().is_ok();
        if is_bare_ipv6 { format!("{scheme}://[{host}]") } else { format!("{scheme}://{host}") }
    };
    let mut base = Base::parse(&with_scheme)?;
    base.port = base.port.or(port);
    Ok(base.to_text(true))
}

/// A base address, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Base {
    pub(crate) https: bool,
    pub(crate) host: String,
    pub(crate) port: Option<u16>,
    /// Path before every request's path; empty or `/a/b`.
    pub(crate) prefix: String,
    /// User and password, decoded.
    pub(crate) user: Option<(String, String)>,
}

impl Base {
    pub(crate) fn parse(text: &str) -> Result<Self, HttpError> {
        let text = text.trim();
        let bad = |why: &str| HttpError::new(Kind::BadAddress, "", without_user(text), why.to_owned());
        let (scheme, rest) = text.split_once("://").unwrap_or(("http", text));
        let https = match scheme.to_ascii_lowercase().as_str() {
            "http" => false,
            "https" => true,
            _ => return Err(bad("it must begin with http:// or https://")),
        };
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        if path.contains(['?', '#']) {
            return Err(bad("it must not contain ? or #"));
        }
        let (user, host_port) = match authority.rsplit_once('@') {
            None => (None, authority),
            Some((user, host)) => {
                let (name, password) = user.split_once(':').unwrap_or((user, ""));
                (Some((decode(name), decode(password))), host)
            }
        };
        let (host, port) = split_port(host_port).ok_or_else(|| bad("the port must be a number from 1 to 65535"))?;
        if !is_host(host) {
            return Err(bad("the host must be a name or an IP address"));
        }
        let prefix = path.trim_end_matches('/');
        let prefix = if prefix.is_empty() { String::new() } else { encode_target(prefix) };
        Ok(Self { https, host: host.to_ascii_lowercase(), port, prefix, user })
    }

    /// The address as text; with the user only for the one place that must keep it.
    pub(crate) fn to_text(&self, with_user: bool) -> String {
        let scheme = if self.https { "https" } else { "http" };
        let user = match &self.user {
            Some((name, password)) if with_user => format!("{}:{}@", encode(name), encode(password)),
            _ => String::new(),
        };
        let port = self.port.map(|p| format!(":{p}")).unwrap_or_default();
        format!("{scheme}://{user}{}{port}{}", self.host, self.prefix)
    }

    pub(crate) fn effective_port(&self) -> u16 {
        self.port.unwrap_or(if self.https { 443 } else { 80 })
    }

    /// Path prefix and target, ready to send.
    pub(crate) fn target(&self, target: &str) -> String {
        format!("{}{}", self.prefix, encode_target(target))
    }
}

fn split_port(text: &str) -> Option<(&str, Option<u16>)> {
    let after_bracket = text.rfind(']').map_or(0, |at| at + 1);
    match text.get(after_bracket..)?.rfind(':') {
        None => Some((text, None)),
        Some(at) => {
            let (host, port) = text.split_at(after_bracket + at);
            let port: u16 = port.trim_start_matches(':').parse().ok()?;
            if port == 0 { None } else { Some((host, Some(port))) }
        }
    }
}

fn is_host(host: &str) -> bool {
    if let Some(inner) = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')) {
        return inner.parse::<std::net::Ipv6Addr>().is_ok();
    }
    !host.is_empty()
        && host.len() <= 253
        && host.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'))
}

/// For messages about an address that could not be read.
fn without_user(text: &str) -> String {
    match (text.find("://"), text.rfind('@')) {
        (Some(scheme), Some(at)) if at > scheme => {
            let (start, end) = (text.get(..scheme + 3), text.get(at + 1..));
            format!("{}***@{}", start.unwrap_or_default(), end.unwrap_or_default())
        }
        (None, Some(at)) => format!("***@{}", text.get(at + 1..).unwrap_or_default()),
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn bases_as_users_write_them() {
        for (host, port, https, expected) in [
            ("192.168.1.5", None, false, "http://192.168.1.5"),
            (" envoy.local ", Some(443), true, "https://envoy.local:443"),
            ("http://192.168.1.5:8080/", Some(80), true, "http://192.168.1.5:8080"),
            ("https://host/emon cms/", None, false, "https://host/emon%20cms"),
            ("::1", Some(80), false, "http://[::1]:80"),
            ("[::1]:81", Some(80), false, "http://[::1]:81"),
            ("http://u%40s:p%3A%2F@h", None, false, "http://u%40s:p%3A%2F@h"),
        ] {
            assert_eq!(base(host, port, https).unwrap(), expected, "{host}");
        }
    }

    #[test]
    fn bad_bases_are_refused_without_showing_the_password() {
        for text in [
            "ftp://h",
            "http://",
            "http://a b",
            "http://h:0",
            "http://h:99999",
            "http://h/?x=1",
            "http://u:secret@h h/",
        ] {
            let error = Base::parse(text).unwrap_err();
            assert_eq!(*error.kind(), Kind::BadAddress, "{text}");
            assert!(!error.to_string().contains("secret"), "{error}");
        }
    }

    #[test]
    fn the_user_is_decoded_once() {
        let base = Base::parse("https://us%40er:p%25w@host").unwrap();
        assert_eq!(base.user, Some(("us@er".into(), "p%w".into())));
        assert_eq!(base.to_text(false), "https://host");
    }

    #[test]
    fn targets_keep_escapes_and_encode_the_rest() {
        for (raw, encoded) in [
            ("/a/b?x=1&y=2", "/a/b?x=1&y=2"),
            ("a b", "/a%20b"),
            ("/q?select=[Total.watts]", "/q?select=%5BTotal.watts%5D"),
            ("/100%/x%20y%zz", "/100%25/x%20y%25zz"),
            ("/ü", "/%C3%BC"),
            ("/a\r\nHost: evil", "/a%0D%0AHost:%20evil"),
            ("", "/"),
        ] {
            assert_eq!(encode_target(raw), encoded, "{raw}");
        }
    }

    proptest! {
        #[test]
        fn any_target_becomes_plain_ascii(raw in ".{0,40}") {
            let encoded = encode_target(&raw);
            prop_assert!(encoded.starts_with('/') && encoded.bytes().all(|b| b.is_ascii_graphic()));
            prop_assert_eq!(encode_target(&encoded), encoded);
        }

        #[test]
        fn values_come_back(value in ".{0,40}") {
            prop_assert_eq!(decode(&encode(&value)), value);
        }

        #[test]
        fn any_base_is_read_or_refused(text in ".{0,40}") {
            let _ = Base::parse(&text);
            let _ = base(&text, Some(80), false);
        }
    }
}
