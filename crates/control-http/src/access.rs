//! Who may ask for what. Pure: a request and the rules in, a verdict out.
//!
//! Without a password there are three dangers, and each has its own rule:
//!
//! | danger | rule |
//! | --- | --- |
//! | somebody on the internet finds the port | commands are taken from loopback and private addresses only |
//! | a web page in the owner's browser calls us | `Origin`, `Referer` and `Sec-Fetch-Site` must say that it is our own page |
//! | a foreign name is pointed at our address (DNS rebinding) | `Host` must be an address, a local name or a configured name |
//!
//! Scripts send none of these headers and pass. A header can only take rights away, never give any.

use std::net::{IpAddr, Ipv6Addr};

use http_door::Request;

/// How callers prove who they are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Access {
    /// They do not: everybody who reaches the port may look, everybody in the house may command.
    #[default]
    Open,
}

/// The rules of one server.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AccessRules {
    /// How callers prove who they are.
    pub access: Access,
    /// Names under which the program is reached, such as `cars.example.org`; lower case, without a port.
    pub host_names: Vec<String>,
}

/// What a request would do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Intent {
    /// Look.
    Read,
    /// Change something, in the manner of TWCManager: any content type.
    Command,
    /// Change something through the native API: a body must be declared as JSON.
    JsonCommand,
}

/// Why a request is not answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Denied {
    /// The status code.
    pub status: u16,
    /// A sentence with what to do.
    pub text: String,
}

impl Denied {
    fn new(status: u16, text: impl Into<String>) -> Denied {
        Denied { status, text: text.into() }
    }
}

impl AccessRules {
    /// Whether `request` may do what it intends.
    ///
    /// # Errors
    /// [`Denied`] with the status code and a sentence for the caller.
    pub fn check(&self, request: &Request, intent: Intent) -> Result<(), Denied> {
        self.check_host(request)?;
        if intent == Intent::Read {
            return Ok(());
        }
        self.check_origin(request)?;
        match self.access {
            Access::Open => check_neighbour(request)?,
        }
        if intent == Intent::JsonCommand && !request.body.is_empty() && !is_json(request) {
            return Err(Denied::new(415, "the body must be JSON: send the header Content-Type: application/json"));
        }
        Ok(())
    }

    fn check_host(&self, request: &Request) -> Result<(), Denied> {
        // HTTP/1.0 scripts may leave it out; a browser never does.
        let Some(host) = request.header("host") else { return Ok(()) };
        if self.knows(host_name(host)) {
            return Ok(());
        }
        Err(Denied::new(
            421,
            format!(
                "the name {host:?} is not known to be this program's: use its address or a .local name, or add the name to \
                 control.HTTP.hostNames in the configuration"
            ),
        ))
    }

    /// Whether `name` can only be ours: an address, a name that no public name server can hold, or a configured one.
    fn knows(&self, name: &str) -> bool {
        let name = name.trim_end_matches('.').to_ascii_lowercase();
        let is_address = name.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>().is_ok();
        let is_single_label = !name.is_empty() && !name.contains(['.', ':']);
        let is_local_suffix =
            [".local", ".localhost", ".lan", ".home.arpa", ".internal"].iter().any(|suffix| name.ends_with(suffix));
        is_address || is_single_label || is_local_suffix || self.host_names.contains(&name)
    }

    fn check_origin(&self, request: &Request) -> Result<(), Denied> {
        if let Some(site) = request.header("sec-fetch-site")
            && !matches!(site, "same-origin" | "none")
        {
            return Err(foreign(site));
        }
        let Some(origin) = request.header("origin").or_else(|| request.header("referer")) else { return Ok(()) };
        let Some(authority) = authority(origin) else { return Err(foreign(origin)) };
        let is_ours = request.header("host").is_some_and(|host| same_host(host, authority));
        let is_configured = self.host_names.iter().any(|known| host_name(authority).eq_ignore_ascii_case(known));
        if is_ours || is_configured { Ok(()) } else { Err(foreign(origin)) }
    }
}

fn foreign(from: &str) -> Denied {
    Denied::new(
        403,
        format!(
            "commands from another page ({from:?}) are refused: open this program's own page, or send the command from a \
             script without an Origin header"
        ),
    )
}

/// `http://host:port/…` → `host:port`.
fn authority(url: &str) -> Option<&str> {
    let rest = url.strip_prefix("http://").or_else(|| url.strip_prefix("https://"))?;
    let authority = rest.split(['/', '?', '#']).next()?;
    (!authority.is_empty() && !authority.contains('@')).then_some(authority)
}

/// Whether two `host[:port]` are the same; a default port may be left out.
fn same_host(left: &str, right: &str) -> bool {
    fn plain(host: &str) -> &str {
        host.strip_suffix(":80").or_else(|| host.strip_suffix(":443")).unwrap_or(host)
    }
    plain(left).eq_ignore_ascii_case(plain(right))
}

/// `host:port` → `host`; brackets of IPv6 stay.
fn host_name(host: &str) -> &str {
    match host.rfind(':') {
        Some(colon) if !host.ends_with(']') => &host[..colon],
        _ => host,
    }
}

fn is_json(request: &Request) -> bool {
    request.header("content-type").is_some_and(|content_type| {
        content_type.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json"))
    })
}

/// Refuses commands that come, or are said to come, from beyond the house.
fn check_neighbour(request: &Request) -> Result<(), Denied> {
    let is_near = is_neighbour(request.peer) && forwarded_for(request).all(|by| by.is_some_and(is_neighbour));
    if is_near {
        return Ok(());
    }
    Err(Denied::new(
        403,
        "commands are taken from this computer and the local network only; from elsewhere, connect over a VPN that ends at \
         home",
    ))
}

/// Whom a proxy names as its client; `None` for what is not an address.
fn forwarded_for(request: &Request) -> impl Iterator<Item = Option<IpAddr>> {
    request.headers.iter().flat_map(|(name, value)| {
        let parts: Vec<Option<IpAddr>> = match name.as_str() {
            "x-forwarded-for" | "x-real-ip" => value.split(',').map(address_of).collect(),
            "forwarded" => value
                .split([',', ';'])
                .filter_map(|pair| pair.trim().split_once('='))
                .filter(|(key, _)| key.eq_ignore_ascii_case("for"))
                .map(|(_, client)| address_of(client))
                .collect(),
            _ => Vec::new(),
        };
        parts
    })
}

fn address_of(text: &str) -> Option<IpAddr> {
    let text = text.trim().trim_matches('"');
    text.parse().ok().or_else(|| host_name(text).trim_start_matches('[').trim_end_matches(']').parse().ok())
}

/// Loopback, RFC 1918, link-local and unique local addresses.
fn is_neighbour(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.is_loopback() || v4.is_private() || v4.is_link_local(),
        IpAddr::V6(v6) => v6.to_ipv4_mapped().map_or_else(|| is_neighbour_v6(v6), |v4| is_neighbour(IpAddr::V4(v4))),
    }
}

fn is_neighbour_v6(address: Ipv6Addr) -> bool {
    address.is_loopback() || address.is_unique_local() || address.is_unicast_link_local()
}

#[cfg(test)]
mod tests {
    use http_door::Method;

    use super::*;

    fn rules() -> AccessRules {
        AccessRules { access: Access::Open, host_names: vec!["cars.example.org".to_owned()] }
    }

    fn request(headers: &[(&str, &str)]) -> Request {
        headers.iter().fold(Request::new(Method::Post, "/api/chargeNow"), |request, (name, value)| {
            request.with_header(name, value)
        })
    }

    fn status(request: &Request, intent: Intent) -> u16 {
        rules().check(request, intent).map_or_else(|denied| denied.status, |()| 200)
    }

    #[test]
    fn scripts_at_home_may_command() {
        for headers in [
            &[][..],
            &[("host", "192.168.1.20:8080")],
            &[("host", "[fe80::1]:8080"), ("content-type", "application/x-www-form-urlencoded")],
            &[("host", "raspberrypi:8080")],
            &[("host", "TWC.local")],
        ] {
            assert_eq!(status(&request(headers), Intent::Command), 200, "{headers:?}");
        }
    }

    #[test]
    fn commands_from_beyond_the_house_are_refused() {
        for (peer, expected) in [
            ("127.0.0.1", 200),
            ("10.1.2.3", 200),
            ("172.31.0.1", 200),
            ("172.32.0.1", 403),
            ("169.254.7.7", 200),
            ("8.8.8.8", 403),
            ("::1", 200),
            ("::ffff:192.168.0.9", 200),
            ("::ffff:8.8.4.4", 403),
            ("fd12::1", 200),
            ("fe80::77", 200),
            ("2001:db8::1", 403),
        ] {
            let mut request = request(&[("host", "192.168.1.20")]);
            request.peer = peer.parse().expect("an address");
            assert_eq!(status(&request, Intent::Command), expected, "{peer}");
            assert_eq!(status(&request, Intent::Read), 200, "{peer}");
        }
    }

    #[test]
    fn a_proxy_can_only_take_rights_away() {
        for (name, value, expected) in [
            ("X-Forwarded-For", "192.168.1.5", 200),
            ("X-Forwarded-For", "192.168.1.5, 8.8.8.8", 403),
            ("X-Forwarded-For", "unknown", 403),
            ("X-Real-IP", "8.8.8.8", 403),
            ("Forwarded", "for=\"[fd12::1]:4711\";proto=http", 200),
            ("Forwarded", "proto=http;For=203.0.113.9", 403),
        ] {
            assert_eq!(status(&request(&[(name, value)]), Intent::Command), expected, "{name}: {value}");
        }
    }

    #[test]
    fn foreign_pages_cannot_command() {
        let host = ("host", "192.168.1.20:8080");
        for (headers, expected) in [
            (vec![host, ("origin", "http://192.168.1.20:8080")], 200),
            (vec![host, ("origin", "http://192.168.1.20:3000")], 403),
            (vec![host, ("origin", "null")], 403),
            (vec![host, ("origin", "http://evil.example")], 403),
            (vec![host, ("origin", "http://192.168.1.20:8080@evil.example")], 403),
            (vec![host, ("origin", "https://cars.example.org")], 200),
            (vec![host, ("referer", "http://evil.example/page")], 403),
            (vec![host, ("referer", "http://192.168.1.20:8080/page?x")], 200),
            (vec![host, ("sec-fetch-site", "cross-site")], 403),
            (vec![host, ("sec-fetch-site", "same-site")], 403),
            (vec![host, ("sec-fetch-site", "same-origin")], 200),
            (vec![("host", "cars.example.org"), ("origin", "https://cars.example.org:443")], 200),
            (vec![("origin", "http://192.168.1.20:8080")], 403),
        ] {
            assert_eq!(status(&request(&headers), Intent::Command), expected, "{headers:?}");
        }
    }

    #[test]
    fn rebound_names_are_not_even_answered() {
        for (host, expected) in [
            ("evil.example", 421),
            ("192.168.1.20.evil.example:8080", 421),
            ("", 421),
            ("CARS.example.org:8443", 200),
            ("localhost:8080", 200),
            ("::1", 421),
            ("[::1]", 200),
            ("10.0.0.1", 200),
        ] {
            assert_eq!(status(&request(&[("host", host)]), Intent::Read), expected, "{host}");
        }
    }

    #[test]
    fn native_commands_must_say_that_they_are_json() {
        let with = |content_type: &str| request(&[("content-type", content_type)]).with_body("{}");
        assert_eq!(status(&with("application/json; charset=utf-8"), Intent::JsonCommand), 200);
        assert_eq!(status(&with("text/plain"), Intent::JsonCommand), 415);
        assert_eq!(status(&request(&[]).with_body("{}"), Intent::JsonCommand), 415);
        assert_eq!(status(&request(&[]), Intent::JsonCommand), 200);
        assert_eq!(status(&with("text/plain"), Intent::Command), 200);
    }
}
