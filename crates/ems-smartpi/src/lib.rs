//! Energy source: SmartPi, the current sensors for the Raspberry Pi by nD-enerserve.
//!
//! Its software renamed the addresses over the years; the driver tries the newest first and stays with what answered.
//!
//! Facts: SmartPi's server source; TWCManager's `EMS/SmartPi.py` (keys); quirks in `docs/ems/smartpi.md`.

mod parse;

use std::time::{Duration, Instant};

use ems::{Ems, EmsDriver, EmsError, EmsErrorKind, EmsReading, KeyKind, KeySpec, Pace, Section, Shared, Stop};
use ems_meter::{INVERT, Inversion, ROLE, Role};
use http_client::{Client, Kind};
use serde_json::Value;

pub use parse::{Measured, live};

/// SmartPi measures each second and writes its live values each five.
const INTERVAL: Duration = Duration::from_secs(5);
/// Newest first.
const PATHS: [&str; 3] = ["/api/v1/smartpiac/livedata", "/api/all/all/now", "/api/all/power/now"];

/// The driver, for the registry.
pub const DRIVER: EmsDriver = EmsDriver {
    name: "SmartPi",
    summary: "SmartPi, the current sensors for the Raspberry Pi",
    keys: &[
        KeySpec::new("serverIP", KeyKind::Text, "Address of the SmartPi"),
        KeySpec::new("serverPort", KeyKind::Port, "Its port (default 80; 1080 on older images)"),
        KeySpec::new("showConsumption", KeyKind::Flag, "Whether import is told as consumption (default false)"),
        ROLE,
        INVERT,
    ],
    open,
};

fn open(section: &mut Section, shared: &Shared) -> Option<Box<dyn Ems>> {
    let port = section.port("serverPort", 80);
    let base = ems_http::base(section, "serverIP", port, false);
    let (role, inversion) = (Role::read(section), Inversion::read(section));
    let shows_consumption = section.flag("showConsumption", false);
    let client = ems_http::client(section, shared, base.as_deref(), "serverIP", |builder| builder);
    let client = client.filter(|_| !section.has_errors())?;
    let clock = ems_http::Stamp::default();
    Some(Box::new(SmartPi { client, role, inversion, shows_consumption, path: None, clock }))
}

struct SmartPi {
    client: Client,
    role: Role,
    inversion: Inversion,
    shows_consumption: bool,
    /// What answered last.
    path: Option<&'static str>,
    clock: ems_http::Stamp,
}

impl Ems for SmartPi {
    fn read(&mut self, _: &Stop) -> Result<EmsReading, EmsError> {
        let answer = self.ask()?;
        let measured = parse::live(&answer).map_err(|error| ems_http::garbled(&error))?;
        if measured.meter == ems_meter::Meter::default() {
            return Err(EmsError::retry("the SmartPi has no values; look whether its readout service runs"));
        }
        let taken_at = self.clock.taken_at(measured.stamp.as_deref(), Instant::now());
        let mut reading = measured.meter.inverted(self.inversion).reading(self.role, taken_at)?;
        if self.role == Role::Grid && !self.shows_consumption {
            reading.consumption = None;
        }
        Ok(reading)
    }

    fn pace(&self) -> Pace {
        Pace::Every(INTERVAL)
    }
}

impl SmartPi {
    fn ask(&mut self) -> Result<Value, EmsError> {
        let tried: Vec<&'static str> = self.path.map_or(PATHS.to_vec(), |path| vec![path]);
        for path in tried {
            match self.client.get_json(path) {
                Ok(answer) => {
                    self.path = Some(path);
                    return Ok(answer);
                }
                // A server without this address answers 404, or with the start page of its web interface.
                Err(error) if matches!(error.kind(), Kind::Status(404) | Kind::NotJson { .. }) => self.path = None,
                Err(error) => return Err(ems_http::failed(&error)),
            }
        }
        Err(EmsError::new(
            EmsErrorKind::Misconfigured,
            "no address of SmartPi's interface is known there; look at sources.SmartPi.serverIP and serverPort (80, or 1080)",
        ))
    }
}
