//! Who may do what. Pure: a request, what it intends and the rules in, a verdict out.
//!
//! | intent | name of the host | own page only | who |
//! | --- | --- | --- | --- |
//! | [`Intent::Open`] | checked | | everybody: the page's files, health, metrics, the state of the session |
//! | [`Intent::Read`] | checked | | everybody; with `readNeedsPassword`, who shows the password or a token |
//! | [`Intent::Command`], [`Intent::JsonCommand`] | checked | checked | without a password, the house; with one, who shows it or a token |
//! | [`Intent::SignIn`] | checked | checked | everybody |
//! | [`Intent::Manage`] | checked | checked | who shows the password; a token is not enough |
//!
//! Three dangers, and the rule against each:
//!
//! | danger | rule |
//! | --- | --- |
//! | somebody on the internet finds the port | without a password, commands are taken from loopback and private addresses only |
//! | a web page in the owner's browser calls us | `Origin`, `Referer` and `Sec-Fetch-Site` must say that it is our own page |
//! | a foreign name is pointed at our address (DNS rebinding) | `Host` must be an address, a local name or a configured name |
//!
//! Scripts send none of these headers and pass. Such a header can only take rights away, never give any.

use std::net::{IpAddr, Ipv6Addr};

use http_door::{Request, Response};

/// The rules of one server.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AccessRules {
    /// Names under which the program is reached, such as `cars.example.org`; lower case, without a port.
    pub host_names: Vec<String>,
    /// Whether looking needs the password too, once one is set.
    pub read_needs_password: bool,
}

/// What a request would do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Intent {
    /// Look at what is never closed.
    Open,
    /// Look.
    Read,
    /// Change something, in the manner of TWCManager: any content type.
    Command,
    /// Change something through the native API: a body must be declared as JSON.
    JsonCommand,
    /// Sign in or out.
    SignIn,
    /// Look after the tokens of programs.
    Manage,
}

/// Who asks, as far as it was found out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Caller {
    /// No password is set, so nobody is asked.
    Unasked,
    /// A password is set, and the caller shows neither it nor a token nor a session.
    Unknown,
    /// The caller proved to have the password, or a token.
    Known(Proof),
}

/// How a caller proved who he is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proof {
    /// The cookie of a session that was opened with the password.
    Session,
    /// The password itself.
    Password,
    /// A token.
    Token,
}

/// Why a request is not answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Denied {
    /// The status code.
    pub status: u16,
    /// A sentence with what to do.
    pub text: String,
    /// Headers that belong to the status code.
    pub headers: Vec<(&'static str, String)>,
}

impl Denied {
    pub(crate) fn new(status: u16, text: impl Into<String>) -> Denied {
        Denied { status, text: text.into(), headers: Vec::new() }
    }

    /// 401, with the question that this client understands.
    ///
    /// The native API, which the page uses, does not ask for Basic: browsers would put up a window of their own.
    pub(crate) fn unproven(request: &Request, text: &str) -> Denied {
        let is_native = request.path.starts_with("/api/v2/");
        let question =
            if is_native { "Bearer realm=\"twcmanager\"" } else { "Basic realm=\"twcmanager\", charset=\"UTF-8\"" };
        Denied { headers: vec![("WWW-Authenticate", question.to_owned())], ..Denied::new(401, text) }
    }

    /// 429: come back in so many seconds.
    pub(crate) fn slowed(seconds: f64, why: &str) -> Denied {
        let seconds = format!("{:.0}", seconds.max(1.0).ceil());
        let text = format!("{why}; try again in {seconds} s");
        Denied { headers: vec![("Retry-After", seconds)], ..Denied::new(429, text) }
    }

    /// The answer.
    #[must_use]
    pub fn response(&self) -> Response {
        let plain = Response::error(self.status, &self.text);
        self.headers.iter().fold(plain, |response, (name, value)| response.with_header(*name, value.clone()))
    }
}

impl Intent {
    fn changes(self) -> bool {
        !matches!(self, Intent::Open | Intent::Read)
    }

    fn wants_json(self) -> bool {
        matches!(self, Intent::JsonCommand | Intent::SignIn | Intent::Manage)
    }
}

impl AccessRules {
    /// Whether `request` may do what it intends. `who` finds out who asks; it is called only when that matters and nothing
    /// else forbids the request.
    ///
    /// # Errors
    /// [`Denied`] with the status code and a sentence for the caller.
    pub fn check(
        &self,
        request: &Request,
        intent: Intent,
        who: impl FnOnce() -> Result<Caller, Denied>,
    ) -> Result<(), Denied> {
        self.check_host(request)?;
        if intent.changes() {
            self.check_origin(request)?;
        }
        let matters = match intent {
            Intent::Open | Intent::SignIn => false,
            Intent::Read => self.read_needs_password,
            Intent::Command | Intent::JsonCommand | Intent::Manage => true,
        };
        if matters {
            check_caller(request, intent, who()?)?;
        }
        if intent.wants_json() && !request.body.is_empty() && !is_json(request) {
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

fn check_caller(request: &Request, intent: Intent, caller: Caller) -> Result<(), Denied> {
    match (caller, intent) {
        (Caller::Unasked, Intent::Manage) => Err(Denied::new(
            409,
            "tokens need a password: set one with `twcmanager passwd` on the computer that runs this",
        )),
        (Caller::Unasked, Intent::Command | Intent::JsonCommand) => check_neighbour(request),
        (Caller::Unasked, _) => Ok(()),
        (Caller::Unknown, _) => Err(Denied::unproven(
            request,
            "this needs the password: sign in on the page, or send a token (Authorization: Bearer ...) or the password (HTTP \
             Basic, any user name)",
        )),
        (Caller::Known(Proof::Token), Intent::Manage) => {
            Err(Denied::new(403, "a token cannot look after tokens: sign in on the page with the password"))
        }
        (Caller::Known(_), _) => Ok(()),
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
        "without a password commands are taken from this computer and the local network only: set one with `twcmanager \
         passwd` on the computer that runs this, or connect over a VPN that ends at home",
    ))
}

/// Whom a proxy names as its client; `None` for what is not an address.
pub(super) fn forwarded_for(request: &Request) -> impl Iterator<Item = Option<IpAddr>> {
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
pub(super) fn is_neighbour(address: IpAddr) -> bool {
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
        AccessRules { host_names: vec!["cars.example.org".to_owned()], read_needs_password: false }
    }

    fn request(headers: &[(&str, &str)]) -> Request {
        headers.iter().fold(Request::new(Method::Post, "/api/chargeNow"), |request, (name, value)| {
            request.with_header(name, value)
        })
    }

    fn status(request: &Request, intent: Intent) -> u16 {
        verdict(&rules(), request, intent, Caller::Unasked)
    }

    fn verdict(rules: &AccessRules, request: &Request, intent: Intent, caller: Caller) -> u16 {
        rules.check(request, intent, || Ok(caller)).map_or_else(|denied| denied.status, |()| 200)
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

    /// Every intent, for every caller, from near and far, with reading open and closed.
    #[test]
    fn who_may_do_what() {
        use Intent::{Command, JsonCommand, Manage, Open, Read, SignIn};
        let known = |proof| Caller::Known(proof);
        // Near, far; reading open, reading closed.
        let table: [(Caller, Intent, [u16; 4]); 30] = [
            (Caller::Unasked, Open, [200, 200, 200, 200]),
            (Caller::Unasked, Read, [200, 200, 200, 200]),
            (Caller::Unasked, Command, [200, 403, 200, 403]),
            (Caller::Unasked, JsonCommand, [200, 403, 200, 403]),
            (Caller::Unasked, SignIn, [200, 200, 200, 200]),
            (Caller::Unasked, Manage, [409, 409, 409, 409]),
            (Caller::Unknown, Open, [200, 200, 200, 200]),
            (Caller::Unknown, Read, [200, 200, 401, 401]),
            (Caller::Unknown, Command, [401, 401, 401, 401]),
            (Caller::Unknown, JsonCommand, [401, 401, 401, 401]),
            (Caller::Unknown, SignIn, [200, 200, 200, 200]),
            (Caller::Unknown, Manage, [401, 401, 401, 401]),
            (known(Proof::Session), Open, [200, 200, 200, 200]),
            (known(Proof::Session), Read, [200, 200, 200, 200]),
            (known(Proof::Session), Command, [200, 200, 200, 200]),
            (known(Proof::Session), JsonCommand, [200, 200, 200, 200]),
            (known(Proof::Session), SignIn, [200, 200, 200, 200]),
            (known(Proof::Session), Manage, [200, 200, 200, 200]),
            (known(Proof::Password), Open, [200, 200, 200, 200]),
            (known(Proof::Password), Read, [200, 200, 200, 200]),
            (known(Proof::Password), Command, [200, 200, 200, 200]),
            (known(Proof::Password), JsonCommand, [200, 200, 200, 200]),
            (known(Proof::Password), SignIn, [200, 200, 200, 200]),
            (known(Proof::Password), Manage, [200, 200, 200, 200]),
            (known(Proof::Token), Open, [200, 200, 200, 200]),
            (known(Proof::Token), Read, [200, 200, 200, 200]),
            (known(Proof::Token), Command, [200, 200, 200, 200]),
            (known(Proof::Token), JsonCommand, [200, 200, 200, 200]),
            (known(Proof::Token), SignIn, [200, 200, 200, 200]),
            (known(Proof::Token), Manage, [403, 403, 403, 403]),
        ];
        for (caller, intent, expected) in table {
            let verdicts = [(false, "10.0.0.7"), (false, "203.0.113.5"), (true, "10.0.0.7"), (true, "203.0.113.5")];
            let verdicts = verdicts.map(|(read_needs_password, peer)| {
                let rules = AccessRules { read_needs_password, ..rules() };
                let mut request = request(&[("host", "192.168.1.20")]);
                request.peer = peer.parse().expect("an address");
                verdict(&rules, &request, intent, caller)
            });
            assert_eq!(verdicts, expected, "{caller:?} {intent:?}");
        }
    }

    #[test]
    fn no_proof_opens_the_door_to_foreign_pages_and_names() {
        for proof in [Proof::Session, Proof::Password, Proof::Token] {
            for intent in [Intent::Command, Intent::JsonCommand, Intent::SignIn, Intent::Manage] {
                let foreign = request(&[("host", "10.0.0.2"), ("origin", "http://evil.example")]);
                assert_eq!(verdict(&rules(), &foreign, intent, Caller::Known(proof)), 403, "{proof:?} {intent:?}");
            }
            let rebound = request(&[("host", "evil.example")]);
            assert_eq!(verdict(&rules(), &rebound, Intent::Read, Caller::Known(proof)), 421);
        }
    }

    #[test]
    fn nobody_is_asked_for_proof_before_everything_else_is_in_order() {
        let foreign = request(&[("host", "10.0.0.2"), ("origin", "http://evil.example")]);
        let who = || -> Result<Caller, Denied> { panic!("asked") };
        assert!(rules().check(&foreign, Intent::Command, who).is_err());
        assert!(rules().check(&request(&[]), Intent::Read, who).is_ok());
        assert!(rules().check(&request(&[]), Intent::SignIn, who).is_ok());
    }

    #[test]
    fn only_old_paths_make_a_browser_ask_by_itself() {
        let question = |path: &str| Denied::unproven(&Request::new(Method::Get, path), "").headers[0].1.clone();
        assert!(question("/api/getStatus").starts_with("Basic"));
        assert!(question("/api/v2/snapshot").starts_with("Bearer"));
    }
}
