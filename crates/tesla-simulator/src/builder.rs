//! Putting a cloud together.

use std::io;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::car::Car;
use crate::cloud::Cloud;
use crate::server::{Clock, Running};
use crate::tokens::{Client, TokenService};

/// The client that is known unless others are named: it has [`CLIENT_SECRET`] and may be sent anywhere.
pub const CLIENT_ID: &str = "simulated-client";
/// The secret of [`CLIENT_ID`].
pub const CLIENT_SECRET: &str = "simulated-client-secret";
/// Virtual time begins on 2026-05-04 (a Monday) at 06:00 UTC unless told otherwise.
pub const VIRTUAL_START: u64 = 1_777_874_400;

/// A cloud being put together.
#[derive(Debug, Clone)]
pub struct CloudBuilder {
    cars: Vec<Car>,
    clients: Vec<Client>,
    fixed: Vec<String>,
    region: String,
    clock: Clock,
    unix_start: Option<u64>,
    is_registered: bool,
    credit: Option<u64>,
    access_lifetime: Option<Duration>,
    hosted: Vec<(String, String)>,
}

impl Cloud {
    /// A cloud without cars, in Europe, in virtual time, which knows [`CLIENT_ID`].
    #[must_use]
    pub fn builder() -> CloudBuilder {
        CloudBuilder {
            cars: Vec::new(),
            clients: Vec::new(),
            fixed: Vec::new(),
            region: "EU".to_owned(),
            clock: Clock::Virtual,
            unix_start: None,
            is_registered: true,
            credit: None,
            access_lifetime: None,
            hosted: Vec::new(),
        }
    }
}

impl CloudBuilder {
    /// With a further car.
    #[must_use]
    pub fn car(mut self, car: Car) -> Self {
        self.cars.push(car);
        self
    }

    /// With a further application; the first one takes the place of [`CLIENT_ID`].
    #[must_use]
    pub fn client(mut self, id: &str, secret: Option<&str>, redirects: &[&str]) -> Self {
        self.clients.push(Client {
            id: id.to_owned(),
            secret: secret.map(str::to_owned),
            redirects: redirects.iter().map(|redirect| (*redirect).to_owned()).collect(),
        });
        self
    }

    /// With a bearer token that works for ever, as third parties give them.
    #[must_use]
    pub fn fixed_token(mut self, token: &str) -> Self {
        self.fixed.push(token.to_owned());
        self
    }

    /// In this region: `NA`, `EU` or `CN`.
    #[must_use]
    pub fn region(mut self, region: &str) -> Self {
        region.clone_into(&mut self.region);
        self
    }

    /// With this clock.
    #[must_use]
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// Begins at this time, seconds since 1970. A real clock begins at the real time, a virtual one at [`VIRTUAL_START`].
    #[must_use]
    pub fn starts_at(mut self, unix: u64) -> Self {
        self.unix_start = Some(unix);
        self
    }

    /// The application is not registered yet: 412 until `partner_accounts` is called.
    #[must_use]
    pub fn unregistered(mut self) -> Self {
        self.is_registered = false;
        self
    }

    /// So much may be spent, millionths of a dollar; beyond it everything gets 402.
    #[must_use]
    pub fn credit(mut self, micro_dollars: u64) -> Self {
        self.credit = Some(micro_dollars);
        self
    }

    /// Access tokens live so long instead of 8 hours.
    #[must_use]
    pub fn access_lifetime(mut self, lifetime: Duration) -> Self {
        self.access_lifetime = Some(lifetime);
        self
    }

    /// A domain hosts this public key, in PEM.
    #[must_use]
    pub fn hosts_key(mut self, domain: &str, pem: &str) -> Self {
        self.hosted.push((domain.to_owned(), pem.to_owned()));
        self
    }

    /// The cloud alone, without HTTP: for logic in virtual time.
    #[must_use]
    pub fn build(self) -> Cloud {
        let mut clients = self.clients;
        if clients.is_empty() {
            clients.push(Client {
                id: CLIENT_ID.to_owned(),
                secret: Some(CLIENT_SECRET.to_owned()),
                redirects: Vec::new(),
            });
        }
        let real = || SystemTime::now().duration_since(UNIX_EPOCH).map_or(VIRTUAL_START, |since| since.as_secs());
        let start = self.unix_start.unwrap_or_else(|| match self.clock {
            Clock::Virtual => VIRTUAL_START,
            Clock::Real { .. } => real(),
        });
        let mut tokens = TokenService::new(clients, &self.region);
        if let Some(lifetime) = self.access_lifetime {
            tokens.access_lifetime = lifetime;
        }
        for token in &self.fixed {
            tokens.fixed(token);
        }
        let mut cloud = Cloud::new(self.cars, tokens, start);
        cloud.is_registered = self.is_registered;
        cloud.credit = self.credit;
        for (domain, pem) in &self.hosted {
            cloud.host_key(domain, pem);
        }
        cloud
    }

    /// Starts it on free ports of 127.0.0.1.
    ///
    /// # Panics
    /// When loopback does not work.
    #[must_use]
    pub fn start(self) -> Running {
        self.try_start().unwrap_or_else(|error| panic!("no loopback for the simulated cloud: {error}"))
    }

    /// Starts it on free ports of 127.0.0.1.
    ///
    /// # Errors
    /// No loopback, no ports, no threads.
    pub fn try_start(self) -> io::Result<Running> {
        let clock = self.clock;
        Running::start(self.build(), clock)
    }
}
