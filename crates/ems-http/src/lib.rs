//! What every energy source behind HTTP shares: a client from its section, recordings, and errors in its words.
//!
//! ```
//! use ems::{Section, Shared};
//!
//! let values = serde_json::json!({"serverIP": "192.0.2.7", "serverPort": "8080"});
//! let mut section = Section::new("sources.Example", values.as_object().cloned().unwrap_or_default());
//! let port = section.port("serverPort", 80);
//! let base = ems_http::base(&mut section, "serverIP", port, false);
//! let client = ems_http::client(&mut section, &Shared::new(), base.as_deref(), "serverIP", |builder| builder);
//! assert_eq!(client.map(|client| client.base_url()).as_deref(), Some("http://192.0.2.7:8080"));
//! ```

mod keep;
mod login;
mod tap;

use std::time::Duration;

use ems::{EmsError, EmsErrorKind, Section, Shared};
use http_client::{Class, Client, ClientBuilder, HttpError, Tls};
use json_pick::PickError;

pub use keep::Keep;
pub use login::{LoginGate, Stamp};
pub use tap::{Tap, TapError};

/// Time for a whole call to a device on the local network. Below the interval of ten seconds, so that polls never pile up.
const LOCAL_TIMEOUT: Duration = Duration::from_secs(8);

/// The address of a device: the host (or URL) at `key`, with `port` (0: the scheme's own) unless the text has one.
///
/// Notes in the section what is missing or cannot be an address.
pub fn base(section: &mut Section, key: &str, port: u16, https: bool) -> Option<String> {
    let host = section.required_text(key);
    base_of(section, key, &host, port, https)
}

/// The same for a host that was already read, from a list for instance.
pub fn base_of(section: &mut Section, key: &str, host: &str, port: u16, https: bool) -> Option<String> {
    if host.is_empty() {
        return None;
    }
    if let Some(placeholder) = placeholder(host) {
        section
            .error(key, format!("is still the sample's placeholder `{placeholder}`; put your device's address there"));
        return None;
    }
    match http_client::url::base(host, Some(port).filter(|port| *port != 0), https) {
        Ok(base) => Some(base),
        Err(error) => {
            section.error(key, error.to_string());
            None
        }
    }
}

/// Whether a text is one that samples and manuals print where a real value belongs.
#[must_use]
pub fn placeholder(text: &str) -> Option<&str> {
    let lower = text.to_ascii_lowercase();
    let is_sample = ["x.x.x.x", "xxx", "your", "changeme", "chanegme", "example.com", "<", "1.2.3.4", "abcdef"]
        .iter()
        .any(|sample| lower.contains(sample));
    is_sample.then_some(text)
}

/// A client for the device at `base` (none when that is unknown), with the time-outs of the local network. `key` is the
/// configuration key to blame when the device cannot be reached; `customise` adds log-in, TLS and other times.
pub fn client(
    section: &mut Section,
    shared: &Shared,
    base: Option<&str>,
    key: &str,
    customise: impl FnOnce(ClientBuilder) -> ClientBuilder,
) -> Option<Client> {
    // Several devices of one section (`serverIP[1]`) have a recording each.
    let recording = match key.contains('[') {
        true => format!("{}.{key}", section.path()),
        false => section.path().to_owned(),
    };
    let transport = match shared.get::<Tap>().transport(&recording) {
        Ok(transport) => transport,
        Err(error) => {
            section.error(key, error.to_string());
            return None;
        }
    };
    let builder = Client::builder(base?)
        .total_timeout(LOCAL_TIMEOUT)
        .config_key(&format!("{}.{key}", section.path()))
        .transport(transport);
    match customise(builder).build() {
        Ok(client) => Some(client),
        Err(error) => {
            section.error(key, error.to_string());
            None
        }
    }
}

/// How the certificate of a device that signs its own is judged: by the fingerprint at `tlsFingerprint`, else not at all,
/// for this host only. `base` is what [`base`] gave.
pub fn device_tls(section: &mut Section, base: &str) -> Tls {
    if let Some(text) = section.text("tlsFingerprint") {
        match text.parse() {
            Ok(fingerprint) => return Tls::Pinned(fingerprint),
            Err(error) => section.error("tlsFingerprint", format!("cannot be used: {error}")),
        }
    }
    Tls::AcceptSelfSignedFor(host(base).to_owned())
}

/// The host in a base address that [`base`] gave; an IPv6 address keeps its brackets.
#[must_use]
pub fn host(base: &str) -> &str {
    let authority = base.split_once("://").map_or(base, |(_, rest)| rest).split('/').next().unwrap_or_default();
    let address = authority.rsplit_once('@').map_or(authority, |(_, address)| address);
    match address.find(']') {
        Some(end) => address.get(..=end).unwrap_or(address),
        None => address.split(':').next().unwrap_or_default(),
    }
}

/// The base address of a cloud: `baseUrl` where given, else the vendor's own.
pub fn cloud_base(section: &mut Section, vendor: &str) -> Option<String> {
    match section.text("baseUrl") {
        Some(text) => base_of(section, "baseUrl", &text, 0, true),
        None => Some(vendor.to_owned()),
    }
}

/// An HTTP failure as a source's failure.
#[must_use]
pub fn failed(error: &HttpError) -> EmsError {
    let kind = match error.class() {
        Class::Wait => EmsErrorKind::RateLimited,
        Class::Denied => EmsErrorKind::Denied,
        Class::Misconfigured => EmsErrorKind::Misconfigured,
        Class::Broken => EmsErrorKind::Garbled,
        _ => EmsErrorKind::Retry,
    };
    let ems_error = EmsError::new(kind, error.to_string());
    match error.retry_after() {
        Some(wait) => ems_error.after(wait),
        None => ems_error,
    }
}

/// A value in a document that cannot be what it should, as a source's failure.
#[must_use]
pub fn garbled(error: &PickError) -> EmsError {
    EmsError::garbled(format!("the device's answer is not as expected: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_taken_out_of_base_addresses() {
        for (base, expected) in [
            ("https://192.0.2.7:443", "192.0.2.7"),
            ("http://user:p%40ss@envoy.local/x:y", "envoy.local"),
            ("https://[fe80::1]:8443", "[fe80::1]"),
            ("https://[fe80::1]", "[fe80::1]"),
            ("", ""),
        ] {
            assert_eq!(host(base), expected, "{base}");
        }
    }
}
