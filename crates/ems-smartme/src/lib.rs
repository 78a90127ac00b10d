//! Energy source: smart-me meters, over the maker's cloud.
//!
//! The cloud goes on answering with the last value of a meter that is offline. The age of a value is therefore the one that
//! the cloud tells, and a value that is not renewed grows old.
//!
//! Facts: smart-me's API description; TWCManager's `EMS/SmartMe.py` (keys); quirks in `docs/ems/smartme.md`.

mod parse;

use std::time::{Duration, Instant, SystemTime};

use ems::{Ems, EmsDriver, EmsError, EmsErrorKind, EmsReading, KeyKind, KeySpec, Pace, Section, Shared, Stop};
use ems_http::Tap;
use ems_meter::{INVERT, Inversion, ROLE, Role};
use http_client::{Auth, Client, HttpError, Kind};

pub use parse::{Device, device};

/// Meters report each second at best, many far less often.
const INTERVAL: Duration = Duration::from_secs(10);
/// Values closer together than this are one and the same: clocks are not that exact.
const SHORTEST_GAP: Duration = Duration::from_secs(1);
/// A meter that reports each quarter of an hour is used between its reports; a rarer one is not waited for.
const LONGEST_AGE: Duration = Duration::from_secs(1800);
/// The host that knows serial numbers, and the newer one that knows ids.
const BY_SERIAL: &str = "https://smart-me.com";
const BY_ID: &str = "https://api.smart-me.com";

/// The driver, for the registry.
pub const DRIVER: EmsDriver = EmsDriver {
    name: "SmartMe",
    summary: "smart-me meters, over the maker's cloud",
    keys: &[
        KeySpec::new("username", KeyKind::Text, "User at smart-me.com"),
        KeySpec::new("password", KeyKind::Secret, "Password at smart-me.com"),
        KeySpec::new("serialNumber", KeyKind::Text, "Serial number of the meter, without the part before the dash"),
        KeySpec::new("deviceId", KeyKind::Text, "Id of the meter, instead of its serial number"),
        KeySpec::new("baseUrl", KeyKind::Text, "Another address than the maker's"),
        ROLE,
        INVERT,
    ],
    open,
};

fn open(section: &mut Section, shared: &Shared) -> Option<Box<dyn Ems>> {
    let user = section.required_text("username");
    let password = section.required_text("password");
    let (role, inversion) = (Role::read(section), Inversion::read(section));
    let (vendor, path) = match section.text("deviceId") {
        Some(id) => (BY_ID, format!("/Devices/{}", http_client::url::encode(&id))),
        None => {
            let serial = section.required_text("serialNumber");
            (BY_SERIAL, format!("/api/DeviceBySerial?serial={}", http_client::url::encode(&serial)))
        }
    };
    let base = ems_http::cloud_base(section, vendor);
    let client = ems_http::client(section, shared, base.as_deref(), "username", |builder| {
        builder.auth(Auth::Basic { user, password }).proxy_from_environment()
    });
    let client = client.filter(|_| !section.has_errors())?;
    // A recording is old, and none the worse for it.
    let believes_clock = !shared.get::<Tap>().is_replay();
    let clock = ems_http::Stamp::default();
    Some(Box::new(SmartMe { client, path, role, inversion, clock, believes_clock, last: None, gap: Duration::ZERO }))
}

struct SmartMe {
    client: Client,
    path: String,
    role: Role,
    inversion: Inversion,
    clock: ems_http::Stamp,
    believes_clock: bool,
    /// When the last value was taken, and how long after the one before.
    last: Option<Instant>,
    gap: Duration,
}

impl Ems for SmartMe {
    fn read(&mut self, _: &Stop) -> Result<EmsReading, EmsError> {
        let answer = self.client.get_json(&self.path).map_err(|error| refused(&error))?;
        let device = parse::device(&answer).map_err(|error| ems_http::garbled(&error))?;
        let now = Instant::now();
        let stamp = device.reported_at.map(|at| at.to_string());
        let mut taken_at = self.clock.taken_at(stamp.as_deref(), now);
        if self.believes_clock {
            taken_at = taken_at.min(told(&device, now, SystemTime::now()));
        }
        let gap = self.last.map_or(Duration::ZERO, |last| taken_at.saturating_duration_since(last));
        if gap >= SHORTEST_GAP || self.last.is_none() {
            (self.last, self.gap) = (Some(taken_at), gap);
        }
        let reading = device.meter.inverted(self.inversion).reading(self.role, taken_at)?;
        Ok(reading.usable_for((self.gap * 2).min(LONGEST_AGE)))
    }

    fn pace(&self) -> Pace {
        Pace::Every(INTERVAL)
    }
}

/// When the meter reported, by the clocks of the cloud and of this computer. A time in the future is now.
fn told(device: &Device, now: Instant, wall: SystemTime) -> Instant {
    let age = device.reported_at.and_then(|at| wall.duration_since(SystemTime::from(at)).ok()).unwrap_or_default();
    now.checked_sub(age).unwrap_or(now)
}

fn refused(error: &HttpError) -> EmsError {
    match error.kind() {
        Kind::Status(401 | 403) => {
            EmsError::new(EmsErrorKind::Denied, format!("{error}; look at sources.SmartMe.username and password"))
        }
        Kind::Status(404) => EmsError::new(
            EmsErrorKind::Misconfigured,
            format!("{error}; smart-me knows no such meter of yours: look at sources.SmartMe.serialNumber"),
        ),
        _ => ems_http::failed(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_age_is_the_one_that_the_cloud_tells() {
        let (now, wall) = (Instant::now(), SystemTime::UNIX_EPOCH + Duration::from_secs(1_704_389_200));
        let device = |date: &str| Device { reported_at: date.parse().ok(), ..Device::default() };
        let age = |date: &str| now.saturating_duration_since(told(&device(date), now, wall)).as_secs();
        assert_eq!(age("2024-01-04T17:25:40Z"), 60);
        assert_eq!(age("2024-01-04T17:26:41Z"), 0);
        assert_eq!(age(""), 0);
    }
}
