//! Energy source: Tibber Pulse, over the bridge in the house: no cloud, no subscription.
//!
//! The bridge passes the meter's own message on: SML from German meters, P1 telegrams from others.
//!
//! Facts: seen by users of the bridge; quirks and configuration in `docs/ems/tibber-pulse.md`.

mod parse;
mod sml;

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::time::{Duration, Instant};

use ems::{Ems, EmsDriver, EmsError, EmsErrorKind, EmsReading, KeyKind, KeySpec, Pace, Section, Shared, Stop};
use ems_meter::{INVERT, Inversion, ROLE, Role};
use http_client::{Auth, Client, HttpError, Kind};

pub use parse::{BodyError, body};

/// The Pulse passes a message on each few seconds.
const INTERVAL: Duration = Duration::from_secs(3);
/// The bridge's only user.
const USER: &str = "admin";

/// The driver, for the registry.
pub const DRIVER: EmsDriver = EmsDriver {
    name: "TibberPulse",
    summary: "Tibber Pulse, over the bridge in the house",
    keys: &[
        KeySpec::new("serverIP", KeyKind::Text, "Address of the bridge"),
        KeySpec::new("serverPort", KeyKind::Port, "Its port (default 80)"),
        KeySpec::new("password", KeyKind::Secret, "Password printed on the bridge"),
        KeySpec::new("nodeId", KeyKind::Number, "Number of the Pulse at the bridge (default 1)"),
        ROLE,
        INVERT,
    ],
    open,
};

fn open(section: &mut Section, shared: &Shared) -> Option<Box<dyn Ems>> {
    let port = section.port("serverPort", 80);
    let base = ems_http::base(section, "serverIP", port, false);
    let password = section.required_text("password");
    let node = section.number_within("nodeId", 1.0, 0.0, 255.0);
    if node.fract() != 0.0 {
        section.error("nodeId", format!("is {node}; a whole number is needed"));
    }
    let (role, inversion) = (Role::read(section), Inversion::read(section));
    let client = ems_http::client(section, shared, base.as_deref(), "serverIP", |builder| {
        builder.auth(Auth::Basic { user: USER.to_owned(), password })
    });
    let client = client.filter(|_| !section.has_errors())?;
    let path = format!("/data.json?node_id={node:.0}");
    Some(Box::new(TibberPulse { client, path, role, inversion, clock: ems_http::Stamp::default() }))
}

struct TibberPulse {
    client: Client,
    path: String,
    role: Role,
    inversion: Inversion,
    clock: ems_http::Stamp,
}

impl Ems for TibberPulse {
    fn read(&mut self, _: &Stop) -> Result<EmsReading, EmsError> {
        let answer = self.client.get(&self.path).send_ok().map_err(|error| refused(&error))?;
        let meter = parse::body(answer.bytes()).map_err(|error| match error {
            BodyError::Unknown if answer.looks_like_html() => EmsError::garbled(
                "this is a web page; switch the bridge's interface on, and look at sources.TibberPulse.serverIP",
            ),
            BodyError::Unknown => EmsError::garbled(error.to_string()),
            _ => EmsError::retry(error.to_string()),
        })?;
        if meter.watts.is_none() {
            return Err(EmsError::new(
                EmsErrorKind::Misconfigured,
                "the meter does not tell its power; ask the grid operator for its PIN and switch its full display on",
            ));
        }
        // Every message differs from the one before, by its counters at least.
        let mut hasher = DefaultHasher::new();
        answer.bytes().hash(&mut hasher);
        let taken_at = self.clock.taken_at(Some(&hasher.finish().to_string()), Instant::now());
        meter.inverted(self.inversion).reading(self.role, taken_at)
    }

    fn pace(&self) -> Pace {
        Pace::Every(INTERVAL)
    }
}

fn refused(error: &HttpError) -> EmsError {
    match error.kind() {
        Kind::Status(401 | 403) => EmsError::new(
            EmsErrorKind::Denied,
            format!("{error}; sources.TibberPulse.password must be the one printed on the bridge"),
        ),
        Kind::Status(404) => EmsError::new(
            EmsErrorKind::Misconfigured,
            format!(
                "{error}; switch the bridge's web server on (its parameter 39, webserver_force_enable), and look at \
                 sources.TibberPulse.nodeId"
            ),
        ),
        _ => ems_http::failed(error),
    }
}
