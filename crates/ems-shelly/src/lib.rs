//! Energy source: Shelly energy meters. The device tells its generation itself.
//!
//! | generation | devices | asked for | login |
//! |---|---|---|---|
//! | 1 | EM, 3EM, plugs, 1PM | `/status` | HTTP Basic |
//! | 2 and later | Pro 3EM, Pro EM, 3EM-63, EM, PM, plugs | `Shelly.GetStatus`, else `EM.GetStatus` or `EM1.GetStatus` | HTTP Digest, SHA-256 |
//!
//! Facts: Shelly's API documentation; quirks and configuration in `docs/ems/shelly.md`.

mod parse;

use std::time::{Duration, Instant};

use ems::{Ems, EmsDriver, EmsError, EmsErrorKind, EmsReading, KeyKind, KeySpec, Pace, Section, Shared, Stop};
use ems_meter::{INVERT, Inversion, Meter, ROLE, Role};
use http_client::{Auth, Client, HttpError, Kind};
use serde_json::Value;

pub use parse::{Identity, counters, first_generation, identity, later_generation};

/// Devices of the first generation do not bear much more.
const INTERVAL: Duration = Duration::from_secs(2);
const TIMEOUT: Duration = Duration::from_secs(5);
/// The only user that later generations know, and the first one's default.
const USER: &str = "admin";
/// Phases that there can be.
const MOST_CHANNELS: usize = 3;

/// The driver, for the registry.
pub const DRIVER: EmsDriver = EmsDriver {
    name: "Shelly",
    summary: "Shelly energy meters: EM, 3EM, Pro EM, Pro 3EM, plugs and PM devices",
    keys: &[
        KeySpec::new("serverIP", KeyKind::Text, "Address of the device"),
        KeySpec::new("serverPort", KeyKind::Port, "Its port (default 80)"),
        KeySpec::new("username", KeyKind::Text, "User of a device of the first generation (default admin)"),
        KeySpec::new("password", KeyKind::Secret, "Password, where the device asks for one"),
        KeySpec::new(
            "channel",
            KeyKind::Texts,
            "Which circuit of a device that is no three-phase meter: 0 (default), 1 or 2, or a list for L1, L2, L3",
        ),
        ROLE,
        INVERT,
    ],
    open,
};

fn open(section: &mut Section, shared: &Shared) -> Option<Box<dyn Ems>> {
    let port = section.port("serverPort", 80);
    let base = ems_http::base(section, "serverIP", port, false);
    let (role, inversion) = (Role::read(section), Inversion::read(section));
    let channels = channels(section);
    let user = section.text("username").unwrap_or_else(|| USER.to_owned());
    let password = section.text("password");
    let client =
        ems_http::client(section, shared, base.as_deref(), "serverIP", |builder| builder.total_timeout(TIMEOUT));
    let client = client.filter(|_| !section.has_errors())?;
    Some(Box::new(Shelly { client, user, password, channels, role, inversion, identity: None, method: Method::Whole }))
}

fn channels(section: &mut Section) -> Vec<usize> {
    let texts = section.texts("channel");
    let channels: Vec<usize> = texts.iter().filter_map(|text| text.parse().ok()).collect();
    if channels.len() != texts.len() || channels.len() > MOST_CHANNELS {
        section.error("channel", "is not a circuit; allowed are 0, 1, 2 and lists of at most three of them");
    }
    if channels.is_empty() { vec![0] } else { channels }
}

/// Which call later generations answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Method {
    Whole,
    Em,
    Em1,
}

struct Shelly {
    client: Client,
    user: String,
    password: Option<String>,
    channels: Vec<usize>,
    role: Role,
    inversion: Inversion,
    identity: Option<Identity>,
    method: Method,
}

impl Ems for Shelly {
    fn read(&mut self, _: &Stop) -> Result<EmsReading, EmsError> {
        let identity = match &self.identity {
            Some(identity) => identity.clone(),
            None => self.identify()?,
        };
        let read = if identity.generation == 1 { self.read_first() } else { self.read_later() };
        let meter = match read {
            Ok(meter) => meter,
            Err(error) => {
                // Another device or profile may be there when it comes back.
                self.identity = None;
                return Err(error);
            }
        };
        let meter = meter.ok_or_else(|| {
            EmsError::new(
                EmsErrorKind::Misconfigured,
                format!(
                    "this {} does not measure power on channel {:?}; look at sources.Shelly.channel",
                    identity.model, self.channels
                ),
            )
        })?;
        meter.inverted(self.inversion).reading(self.role, Instant::now())
    }

    fn pace(&self) -> Pace {
        Pace::Every(INTERVAL)
    }
}

impl Shelly {
    fn identify(&mut self) -> Result<Identity, EmsError> {
        let answer = self.client.get("/shelly").anonymous().send_json().map_err(|error| ems_http::failed(&error))?;
        let identity = parse::identity(&answer).map_err(|error| {
            EmsError::garbled(format!("this is not a Shelly ({error}); look at sources.Shelly.serverIP"))
        })?;
        match (&self.password, identity.generation) {
            (Some(password), 1) => {
                self.client.set_auth(Auth::Basic { user: self.user.clone(), password: password.clone() });
            }
            (Some(password), _) => {
                self.client.set_auth(Auth::Digest { user: USER.to_owned(), password: password.clone() });
            }
            (None, _) if identity.has_password => {
                return Err(EmsError::new(
                    EmsErrorKind::Denied,
                    "the Shelly asks for a password; put it into sources.Shelly.password",
                ));
            }
            (None, _) => {}
        }
        self.method = Method::Whole;
        self.identity = Some(identity.clone());
        Ok(identity)
    }

    fn read_first(&self) -> Result<Option<Meter>, EmsError> {
        let answer = self.ask("/status").map_err(|error| refused(&error))?;
        parse::first_generation(&answer, &self.channels).map_err(|error| ems_http::garbled(&error))
    }

    fn read_later(&mut self) -> Result<Option<Meter>, EmsError> {
        loop {
            let channel = self.channels.first().copied().unwrap_or_default();
            let (path, next) = match self.method {
                Method::Whole => ("/rpc/Shelly.GetStatus".to_owned(), Some(Method::Em)),
                Method::Em => ("/rpc/EM.GetStatus?id=0".to_owned(), Some(Method::Em1)),
                Method::Em1 => (format!("/rpc/EM1.GetStatus?id={channel}"), None),
            };
            let answer = match (self.ask(&path), next) {
                (Ok(answer), _) => answer,
                (Err(error), Some(next)) if *error.kind() == Kind::Status(404) => {
                    self.method = next;
                    continue;
                }
                (Err(error), _) => return Err(refused(&error)),
            };
            return parse::later_generation(&answer, &self.channels).map_err(|error| ems_http::garbled(&error));
        }
    }

    fn ask(&self, path: &str) -> Result<Value, HttpError> {
        self.client.get_json(path)
    }
}

fn refused(error: &HttpError) -> EmsError {
    match error.kind() {
        Kind::Status(401) => EmsError::new(
            EmsErrorKind::Denied,
            format!("{error}; the Shelly refuses the password in sources.Shelly.password"),
        ),
        _ => ems_http::failed(error),
    }
}
