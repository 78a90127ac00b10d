//! Energy source: entities of Home Assistant, pushed over its WebSocket, or polled over REST where there is none.
//!
//! | part | does |
//! |---|---|
//! | `state` | what the messages of both mean: states, units, changes; pure |
//! | `push` | the WebSocket: login, subscription, a ping now and then |
//! | `poll` | `GET /api/states/<entity>` for each entity |
//!
//! Facts: Home Assistant's developer documentation (REST and WebSocket API), TWCManager's `EMS/HASS.py` (keys); configuration
//! and quirks in `docs/ems/hass.md`.

mod poll;
mod push;
mod state;

use std::time::{Duration, Instant};

use ems::units::Phase;
use ems::{Ems, EmsDriver, EmsError, EmsErrorKind, EmsReading, KeyKind, KeySpec, Pace, Section, Shared, Stop};
use ems_http::Tap;
use ems_items::{Item, Quantity};
use http_client::{Auth, Client, Tls};

pub use state::{State, States};

use push::{Push, PushError};

/// Home Assistant without a WebSocket (an old proxy in between) is asked for one again this often.
const LOOK_FOR_PUSH: Duration = Duration::from_secs(600);
/// A refused login counts towards a ban of our address where the owner has switched that on: fewer and fewer attempts.
const FIRST_REFUSAL: Duration = Duration::from_secs(300);
const LONGEST_REFUSAL: Duration = Duration::from_secs(6 * 3600);

const KEYS: [(Quantity, &str); 11] = [
    (Quantity::Consumption, "hassEntityConsumption"),
    (Quantity::Generation, "hassEntityGeneration"),
    (Quantity::Grid, "hassEntityGrid"),
    (Quantity::Battery, "hassEntityBattery"),
    (Quantity::BatterySoc, "hassEntityBatterySoc"),
    (Quantity::GridAmps(Phase::L1), "hassEntityGridAmpsL1"),
    (Quantity::GridAmps(Phase::L2), "hassEntityGridAmpsL2"),
    (Quantity::GridAmps(Phase::L3), "hassEntityGridAmpsL3"),
    (Quantity::GridPower(Phase::L1), "hassEntityGridPowerL1"),
    (Quantity::GridPower(Phase::L2), "hassEntityGridPowerL2"),
    (Quantity::GridPower(Phase::L3), "hassEntityGridPowerL3"),
];

/// The driver, for the registry.
pub const DRIVER: EmsDriver = EmsDriver {
    name: "HASS",
    summary: "entities of Home Assistant",
    keys: &[
        KeySpec::new("serverIP", KeyKind::Text, "Address of Home Assistant"),
        KeySpec::new("serverPort", KeyKind::Port, "Its port (default 8123)"),
        KeySpec::new("useHttps", KeyKind::Flag, "Whether to encrypt (default false)"),
        KeySpec::new("tlsFingerprint", KeyKind::Text, "SHA-256 of its certificate, where no authority vouches for it"),
        KeySpec::new("apiKey", KeyKind::Secret, "Long-lived access token, from the bottom of your profile page"),
        KeySpec::new("push", KeyKind::Flag, "Whether to use the WebSocket where it can be had (default true)"),
        KeySpec::new(
            "hassEntityConsumption",
            KeyKind::Text,
            "Entity of consumption; a - before any entity turns its sign",
        ),
        KeySpec::new("hassEntityGeneration", KeyKind::Text, "Entity of generation"),
        KeySpec::new("hassEntityGrid", KeyKind::Text, "Entity of grid power, import positive"),
        KeySpec::new("hassEntityBattery", KeyKind::Text, "Entity of battery power, discharge positive"),
        KeySpec::new("hassEntityBatterySoc", KeyKind::Text, "Entity of the battery's charge in percent"),
        KeySpec::new("hassEntityGridAmpsL1", KeyKind::Text, "Entity of the grid current on L1"),
        KeySpec::new("hassEntityGridAmpsL2", KeyKind::Text, "Entity of the grid current on L2"),
        KeySpec::new("hassEntityGridAmpsL3", KeyKind::Text, "Entity of the grid current on L3"),
        KeySpec::new(
            "hassEntityGridPowerL1",
            KeyKind::Text,
            "Entity of the grid power on L1; gives the current its sign",
        ),
        KeySpec::new("hassEntityGridPowerL2", KeyKind::Text, "Entity of the grid power on L2"),
        KeySpec::new("hassEntityGridPowerL3", KeyKind::Text, "Entity of the grid power on L3"),
    ],
    open,
};

fn open(section: &mut Section, shared: &Shared) -> Option<Box<dyn Ems>> {
    let is_tls = section.flag("useHttps", false);
    let port = section.port("serverPort", 8123);
    let base = ems_http::base(section, "serverIP", port, is_tls);
    let token = section.required_text("apiKey");
    if ems_http::placeholder(&token).is_some() {
        section.error("apiKey", "is still the sample's placeholder; make a long-lived access token in your profile");
    }
    let items = Item::all(section, &KEYS);
    for item in &items {
        if !state::is_entity_id(&item.name) {
            section.error(item.key, "is no entity; it must look like `sensor.house_power`");
        }
    }
    let tls = match section.text("tlsFingerprint").map(|text| text.parse()) {
        None => Tls::Verified,
        Some(Ok(fingerprint)) => Tls::Pinned(fingerprint),
        Some(Err(error)) => {
            section.error("tlsFingerprint", format!("cannot be used: {error}"));
            Tls::Verified
        }
    };
    // A recording holds HTTP only.
    let is_tapped = shared.get::<Tap>().file(section.path(), "http.jsonl").is_some();
    let wants_push = section.flag("push", true) && !is_tapped;
    let client = ems_http::client(section, shared, base.as_deref(), "serverIP", |builder| {
        builder.auth(Auth::Bearer(token.clone())).tls(tls.clone()).total_timeout(poll::TIMEOUT)
    });
    let (client, base) = (client?, base?);
    if section.has_errors() {
        return None;
    }
    let access = push::Access { base, token, tls };
    let path = section.path().to_owned();
    Some(Box::new(Hass { path, client, items, access, wants_push, push: Link::Untried, refusals: 0 }))
}

/// How the WebSocket stands.
enum Link {
    Untried,
    Up(Box<Push>),
    /// Not to be had when last tried: polled meanwhile.
    Missing(Instant),
}

struct Hass {
    path: String,
    client: Client,
    items: Vec<Item>,
    access: push::Access,
    wants_push: bool,
    push: Link,
    refusals: u32,
}

impl Hass {
    fn read_any(&mut self, stop: &Stop) -> Result<EmsReading, EmsError> {
        let is_due = match &self.push {
            Link::Missing(since) => since.elapsed() >= LOOK_FOR_PUSH,
            _ => true,
        };
        if !self.wants_push || !is_due {
            return poll::read(&self.client, &self.items, &self.path, stop);
        }
        match self.read_pushed(stop) {
            Err(PushError::Missing(why)) => {
                log::info!("{}: no WebSocket ({why}); asked every few seconds instead", self.path);
                self.push = Link::Missing(Instant::now());
                poll::read(&self.client, &self.items, &self.path, stop)
            }
            Err(PushError::Failed(error)) => {
                self.push = Link::Untried;
                Err(error)
            }
            Ok(reading) => Ok(reading),
        }
    }

    fn read_pushed(&mut self, stop: &Stop) -> Result<EmsReading, PushError> {
        let push = match &mut self.push {
            Link::Up(push) => push,
            other => {
                *other = Link::Up(Box::new(Push::connect(&self.access, &self.items, &self.path)?));
                match other {
                    Link::Up(push) => push,
                    // Just set.
                    _ => return Err(PushError::Failed(EmsError::retry("the WebSocket is not open"))),
                }
            }
        };
        push.read(stop)
    }
}

impl Ems for Hass {
    fn read(&mut self, stop: &Stop) -> Result<EmsReading, EmsError> {
        let result = self.read_any(stop);
        match &result {
            Err(error) if error.kind() == EmsErrorKind::Denied => {
                let wait = FIRST_REFUSAL.saturating_mul(1 << self.refusals.min(10)).min(LONGEST_REFUSAL);
                self.refusals = self.refusals.saturating_add(1);
                Err(error.clone().after(wait))
            }
            Ok(_) => {
                self.refusals = 0;
                result
            }
            Err(_) => result,
        }
    }

    fn pace(&self) -> Pace {
        match self.push {
            Link::Up(_) => Pace::Pushed,
            _ => Pace::Every(poll::INTERVAL),
        }
    }
}

/// What a refused token means, for both ways in.
fn denied(path: &str) -> EmsError {
    let text = format!(
        "Home Assistant refuses {path}.apiKey; make a new long-lived access token at the bottom of your profile page \
         (Security) and put it there"
    );
    EmsError::new(EmsErrorKind::Denied, text)
}

/// What a wrong entity means, for both ways in.
fn no_such_entity(item: &Item) -> EmsError {
    let text = format!(
        "Home Assistant knows no entity {}; look up its name under Developer tools > States and correct {}",
        item.name, item.key
    );
    EmsError::new(EmsErrorKind::Misconfigured, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(json: &str) -> Vec<String> {
        let mut section = Section::new("sources.HASS", serde_json::from_str(json).unwrap());
        let _ = open(&mut section, &Shared::new());
        section.problems().iter().map(|problem| problem.key.clone()).collect()
    }

    #[test]
    fn older_files_open_with_ports_of_both_kinds() {
        for port in ["8123", "\"8123\""] {
            let json = format!(
                r#"{{"serverIP": "ha.local", "serverPort": {port}, "apiKey": "t0ken", "hassEntityConsumption": "sensor.house",
                    "hassEntityGeneration": "", "useHttps": false}}"#
            );
            assert_eq!(problems(&json), [""; 0]);
        }
    }

    #[test]
    fn mistakes_name_their_key() {
        assert_eq!(problems(r#"{"serverIP": "ha", "apiKey": "t"}"#), ["sources.HASS.hassEntityConsumption"]);
        assert_eq!(
            problems(r#"{"serverIP": "ha", "apiKey": "t", "hassEntityGrid": "House power"}"#),
            ["sources.HASS.hassEntityGrid"]
        );
        assert_eq!(
            problems(r#"{"serverIP": "ha", "apiKey": "t", "hassEntityGrid": "-sensor.a", "tlsFingerprint": "1"}"#),
            ["sources.HASS.tlsFingerprint"]
        );
    }
}
