//! A client's settings, and the agent that is made from them.

use crate::client::Client;
use crate::error::{HttpError, Kind};
use crate::replay::Transport;
use crate::tls::{DeviceTls, Seen, Tls, provider};
use crate::url::Base;
use std::time::Duration;
use ureq::Agent;
use ureq::tls::{PemItem, RootCerts, TlsConfig};
use ureq::unversioned::resolver::DefaultResolver;
use ureq::unversioned::transport::{Connector as _, TcpConnector};

/// Time to make a connection, name lookup and TLS included.
pub const DEFAULT_CONNECT: Duration = Duration::from_secs(5);

/// Time for a whole call, until the last byte of the answer.
pub const DEFAULT_TOTAL: Duration = Duration::from_secs(10);

/// Most bytes of a body that are read, counted after unpacking.
pub const DEFAULT_LIMIT: u64 = 1024 * 1024;

/// How a client logs in. Passwords and tokens given here are kept out of every text.
#[derive(Clone, Default)]
#[non_exhaustive]
pub enum Auth {
    /// Not at all.
    #[default]
    None,
    /// `Authorization: Basic`.
    Basic {
        /// User name.
        user: String,
        /// Password.
        password: String,
    },
    /// `Authorization: Bearer`.
    Bearer(String),
    /// `Authorization: Digest`, MD5 or SHA-256, when the device asks for it.
    Digest {
        /// User name.
        user: String,
        /// Password.
        password: String,
    },
    /// A header of one's own, such as `X-AUTHKEY`.
    Header {
        /// Its name.
        name: String,
        /// Its value: the secret.
        value: String,
    },
}

impl std::fmt::Debug for Auth {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::None => "None",
            Self::Basic { .. } => "Basic(***)",
            Self::Bearer(_) => "Bearer(***)",
            Self::Digest { .. } => "Digest(***)",
            Self::Header { .. } => "Header(***)",
        })
    }
}

/// Settings of a client; every one has a safe default.
#[derive(Debug, Clone)]
#[must_use]
pub struct ClientBuilder {
    base: String,
    tls: Tls,
    pub(crate) auth: Auth,
    pub(crate) connect: Duration,
    pub(crate) total: Duration,
    pub(crate) limit: u64,
    pub(crate) keep_alive: bool,
    pub(crate) cookies: bool,
    pub(crate) redirects: bool,
    environment_proxy: bool,
    user_agent: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) config_key: Option<String>,
    pub(crate) secrets: Vec<String>,
    pub(crate) transport: Transport,
}

impl ClientBuilder {
    pub(crate) fn new(base: String) -> Self {
        Self {
            base,
            tls: Tls::Verified,
            auth: Auth::None,
            connect: DEFAULT_CONNECT,
            total: DEFAULT_TOTAL,
            limit: DEFAULT_LIMIT,
            keep_alive: true,
            cookies: false,
            redirects: true,
            environment_proxy: false,
            user_agent: concat!("twcmanager/", env!("CARGO_PKG_VERSION")).to_owned(),
            headers: Vec::new(),
            config_key: None,
            secrets: Vec::new(),
            transport: Transport::Live,
        }
    }

    /// How the certificate is judged; [`Tls::Verified`] unless told otherwise.
    pub fn tls(mut self, tls: Tls) -> Self {
        self.tls = tls;
        self
    }

    /// How to log in. A user and password in the base address mean [`Auth::Basic`].
    pub fn auth(mut self, auth: Auth) -> Self {
        self.auth = auth;
        self
    }

    /// Time to connect; [`DEFAULT_CONNECT`].
    pub fn connect_timeout(mut self, time: Duration) -> Self {
        self.connect = time;
        self
    }

    /// Time for a whole call; [`DEFAULT_TOTAL`].
    pub fn total_timeout(mut self, time: Duration) -> Self {
        self.total = time;
        self
    }

    /// Most bytes of a body; [`DEFAULT_LIMIT`].
    pub fn limit(mut self, bytes: u64) -> Self {
        self.limit = bytes;
        self
    }

    /// Whether the connection stays open between calls; yes, unless a device can't bear it.
    pub fn keep_alive(mut self, keep: bool) -> Self {
        self.keep_alive = keep;
        self
    }

    /// Whether cookies are kept and sent back; no, unless the device has sessions.
    pub fn cookies(mut self, keep: bool) -> Self {
        self.cookies = keep;
        self
    }

    /// Whether a `GET` follows redirects within its host; yes. Switch off to see the redirect as an answer.
    pub fn follow_redirects(mut self, follow: bool) -> Self {
        self.redirects = follow;
        self
    }

    /// Uses the proxy that the environment names; for clouds. Devices in the house are never reached through a proxy.
    pub fn proxy_from_environment(mut self) -> Self {
        self.environment_proxy = true;
        self
    }

    /// Another `User-Agent`; some services refuse unknown ones.
    pub fn user_agent(mut self, name: &str) -> Self {
        self.user_agent = name.to_owned();
        self
    }

    /// A header for every request.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The configuration key that holds the address, for messages: `sources.Fronius.serverIP`.
    pub fn config_key(mut self, key: &str) -> Self {
        self.config_key = Some(key.to_owned());
        self
    }

    /// Registers a text that must never be shown, such as an API key in a query.
    pub fn secret(mut self, secret: &str) -> Self {
        self.secrets.push(secret.to_owned());
        self
    }

    /// Where answers come from.
    pub fn transport(mut self, transport: Transport) -> Self {
        self.transport = transport;
        self
    }

    /// Makes the client. Nothing is sent yet.
    ///
    /// # Errors
    ///
    /// [`Kind::BadAddress`] for a base address that can't be used; [`Kind::Tls`] for a PEM without certificate, or a
    /// [`Tls::AcceptSelfSignedFor`] that names another host.
    pub fn build(mut self) -> Result<Client, HttpError> {
        let key = self.config_key.clone();
        let base = Base::parse(&self.base).map_err(|error| error.with_config_key(key.as_deref()))?;
        if let (Some((user, password)), Auth::None) = (&base.user, &self.auth) {
            self.auth = Auth::Basic { user: user.clone(), password: password.clone() };
        }
        let seen = Seen::default();
        let agent = match &self.transport {
            Transport::Replay(_) => None,
            _ => Some(agent(&self, &base, &seen).map_err(|(kind, detail)| {
                HttpError::new(kind, "", base.to_text(false), detail).with_config_key(key.as_deref())
            })?),
        };
        Ok(Client::new(self, base, agent, seen))
    }
}

fn agent(settings: &ClientBuilder, base: &Base, seen: &Seen) -> Result<Agent, (Kind, String)> {
    let tls = TlsConfig::builder().unversioned_rustls_crypto_provider(provider());
    let tls = match &settings.tls {
        Tls::CustomCa(pem) => {
            let certificates: Vec<_> = ureq::tls::parse_pem(pem.as_bytes())
                .filter_map(|item| match item {
                    Ok(PemItem::Certificate(certificate)) => Some(certificate),
                    _ => None,
                })
                .collect();
            if certificates.is_empty() {
                return Err((Kind::Tls, "the certificate file holds no certificate in PEM form".into()));
            }
            tls.root_certs(RootCerts::from(certificates))
        }
        _ => tls,
    };
    let idle = usize::from(settings.keep_alive);
    let mut config = Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .timeout_global(Some(settings.total))
        .timeout_connect(Some(settings.connect))
        .timeout_resolve(Some(settings.connect))
        .max_idle_connections(idle)
        .max_idle_connections_per_host(idle)
        .max_idle_age(Duration::from_secs(60))
        .user_agent(&settings.user_agent)
        .tls_config(tls.build());
    if !settings.environment_proxy {
        config = config.proxy(None);
    }
    let config = config.build();
    let pin = match &settings.tls {
        Tls::Pinned(pin) => Some(*pin),
        Tls::AcceptSelfSignedFor(host) => {
            let bare = |host: &str| host.trim().trim_matches(['[', ']']).to_ascii_lowercase();
            if bare(host) != bare(&base.host) {
                let detail =
                    format!("self-signed certificates are accepted for {host} only, but this is {}", base.host);
                return Err((Kind::Tls, detail));
            }
            None
        }
        _ => return Ok(config.new_agent()),
    };
    let device = DeviceTls::new(pin, &base.host, seen.clone()).map_err(|error| (Kind::Tls, error.to_string()))?;
    let connector = ().chain(TcpConnector::default()).chain(device);
    Ok(Agent::with_parts(config, connector, DefaultResolver::default()))
}
