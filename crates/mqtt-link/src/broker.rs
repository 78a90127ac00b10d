//! Where and how to connect.

use crate::error::LinkError;
use crate::tls::Tls;
use std::fmt;
use std::time::Duration;

/// Largest payload that is sent, and largest packet that is taken.
pub(crate) const LARGEST: usize = 1024 * 1024;

/// How the client names itself. Two clients with one name throw each other out.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ClientId {
    /// This name and eight random hexadecimal digits.
    Unique(String),
    /// Exactly this name, for brokers that know their clients.
    Fixed(String),
}

/// A message that the broker sends to everyone when the link dies without saying so. Always retained.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Will {
    /// Its topic.
    pub topic: String,
    /// Its payload.
    pub payload: Vec<u8>,
}

/// A broker and a login.
#[derive(Clone, PartialEq, Eq, Hash)]
#[must_use]
pub struct Broker {
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) login: Option<(String, String)>,
    pub(crate) tls: Option<Tls>,
    pub(crate) client_id: ClientId,
    pub(crate) keep_alive: Duration,
    pub(crate) connect: Duration,
}

impl Broker {
    /// A broker without login and TLS, with a unique client id `twcmanager-…`, keep-alive 30 s.
    pub fn new(host: &str, port: u16) -> Self {
        Self {
            host: host.trim().trim_start_matches('[').trim_end_matches(']').to_ascii_lowercase(),
            port,
            login: None,
            tls: None,
            client_id: ClientId::Unique("twcmanager".into()),
            keep_alive: Duration::from_secs(30),
            connect: Duration::from_secs(5),
        }
    }

    /// Logs in.
    pub fn login(mut self, user: &str, password: &str) -> Self {
        self.login = Some((user.to_owned(), password.to_owned()));
        self
    }

    /// Encrypts.
    pub fn tls(mut self, tls: Tls) -> Self {
        self.tls = Some(tls);
        self
    }

    /// Names the client.
    pub fn client_id(mut self, id: ClientId) -> Self {
        self.client_id = id;
        self
    }

    /// How often a sign of life is exchanged, 1 s at least: a dead connection is noticed within twice this time.
    pub fn keep_alive(mut self, period: Duration) -> Self {
        self.keep_alive = period.max(Duration::from_secs(1));
        self
    }

    pub(crate) fn check(&self) -> Result<(), LinkError> {
        let bad = |why: &str| Err(LinkError::BadBroker { broker: self.to_string(), why: why.to_owned() });
        if self.host.is_empty() || self.host.contains(|c: char| c.is_whitespace() || c == '/' || c == '\0') {
            return bad("its host must be a name or an IP address");
        }
        if self.port == 0 {
            return bad("its port must not be 0");
        }
        let (ClientId::Unique(id) | ClientId::Fixed(id)) = &self.client_id;
        if id.is_empty() || id.len() > 200 || id.contains(char::is_control) {
            return bad("the client id must be a short text");
        }
        if self.tls.is_some() && self.is_ipv6() {
            return bad("TLS needs a host name, or an IPv4 address");
        }
        Ok(())
    }

    pub(crate) fn is_ipv6(&self) -> bool {
        self.host.contains(':')
    }
}

impl fmt::Display for Broker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_ipv6() {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

impl fmt::Debug for Broker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let user = self.login.as_ref().map_or("nobody", |(user, _)| user.as_str());
        write!(f, "Broker({self}, {user}:***, {:?})", self.client_id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brokers_are_checked_and_show_no_password() {
        assert_eq!(Broker::new("[FE80::1]", 1883).to_string(), "[fe80::1]:1883");
        assert!(Broker::new("mqtt.local", 1883).check().is_ok());
        for bad in [
            Broker::new("", 1883),
            Broker::new("mqtt://h", 1883),
            Broker::new("h", 0),
            Broker::new("h", 1).client_id(ClientId::Fixed(String::new())),
            Broker::new("::1", 1).tls(Tls::default()),
        ] {
            assert!(bad.check().is_err(), "{bad:?}");
        }
        assert!(!format!("{:?}", Broker::new("h", 1).login("me", "hunter2")).contains("hunter2"));
    }
}
