//! Energy source: HomeWizard P1 meters, kWh meters, sockets and plug-in batteries, over their local interface.
//!
//! Version 1 is plain HTTP and must be switched on in HomeWizard's app. Version 2 (firmware 6 and later) is HTTPS with a
//! token, and knows batteries. A token is got by pairing: the driver asks, and the button on the device allows it.
//!
//! Facts: HomeWizard's developer documentation; quirks and configuration in `docs/ems/homewizard.md`.

mod parse;

use std::sync::Arc;
use std::time::{Duration, Instant};

use ems::units::{Percent, Watts};
use ems::{Ems, EmsDriver, EmsError, EmsErrorKind, EmsReading, KeyKind, KeySpec, Pace, Section, Shared, Stop};
use ems_http::Keep;
use ems_meter::{INVERT, Inversion, ROLE, Role};
use http_client::{Auth, Client, HttpError, Kind};
use serde_json::json;

pub use parse::{Battery, Measurement, batteries, data, measurement, product, token};

/// Meters of DSMR 5 tell something new each second; devices on a weak wireless network do not bear more than this.
const INTERVAL: Duration = Duration::from_secs(2);
/// Weak wireless networks.
const TIMEOUT: Duration = Duration::from_secs(5);
/// For so long the device gives tokens after its button was pressed; asked this often meanwhile.
const PAIRING: Duration = Duration::from_secs(30);
const PAIRING_STEP: Duration = Duration::from_secs(2);
/// Batteries are looked for again this often where there were none.
const LOOK_FOR_BATTERIES: Duration = Duration::from_secs(3600);

/// The driver, for the registry.
pub const DRIVER: EmsDriver = EmsDriver {
    name: "HomeWizard",
    summary: "HomeWizard P1 meters, kWh meters, sockets and batteries",
    keys: &[
        KeySpec::new("serverIP", KeyKind::Text, "Address of the device"),
        KeySpec::new("serverPort", KeyKind::Port, "Its port (default 80, 443 with version 2)"),
        KeySpec::new("apiVersion", KeyKind::Number, "1 (default) or 2; a token means 2"),
        KeySpec::new(
            "token",
            KeyKind::Secret,
            "Token for version 2; without one the driver pairs when the button is pressed",
        ),
        KeySpec::new(
            "tlsFingerprint",
            KeyKind::Text,
            "SHA-256 fingerprint of the device's certificate, to accept no other",
        ),
        KeySpec::new(
            "batteries",
            KeyKind::Flag,
            "Whether a P1 meter (version 2) is asked for the batteries (default true)",
        ),
        ROLE,
        INVERT,
    ],
    open,
};

fn open(section: &mut Section, shared: &Shared) -> Option<Box<dyn Ems>> {
    let token = section.text("token");
    let version = section.number_within("apiVersion", if token.is_some() { 2.0 } else { 1.0 }, 1.0, 2.0);
    let is_v2 = version > 1.5;
    let port = section.port("serverPort", if is_v2 { 443 } else { 80 });
    let base = ems_http::base(section, "serverIP", port, is_v2);
    let place = Place { role: Role::read(section), inversion: Inversion::read(section) };
    let has_role = section.raw(ROLE.name).is_some();
    let asks_batteries = section.flag("batteries", true) && is_v2;
    let keep = shared.get::<Keep>();
    let place_in_keep = section.path().to_owned();
    let kept = keep.load(&place_in_keep).and_then(|value| value.as_str().map(str::to_owned));
    let is_own = token.is_none();
    let token = token.or(kept).filter(|_| is_v2);
    let tls = base.as_deref().filter(|_| is_v2).map(|base| ems_http::device_tls(section, base));
    let client = ems_http::client(section, shared, base.as_deref(), "serverIP", |builder| {
        let builder = builder.total_timeout(TIMEOUT).keep_alive(false);
        match tls {
            Some(tls) => builder.tls(tls).header("X-Api-Version", "2"),
            None => builder,
        }
    });
    let client = client.filter(|_| !section.has_errors())?;
    if let Some(token) = &token {
        client.set_auth(Auth::Bearer(token.clone()));
    }
    Some(Box::new(HomeWizard {
        client,
        place,
        needs_product: !has_role,
        pairing: Pairing { keep, path: place_in_keep, is_own, is_needed: is_v2 && token.is_none() },
        is_v2,
        asks_batteries,
        no_battery_since: None,
        clock: ems_http::Stamp::default(),
    }))
}

/// Where the device sits, and which way round.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Place {
    role: Role,
    inversion: Inversion,
}

struct Pairing {
    keep: Arc<Keep>,
    path: String,
    /// Whether the token comes from pairing, not from the configuration.
    is_own: bool,
    is_needed: bool,
}

struct HomeWizard {
    client: Client,
    place: Place,
    /// Whether it must still be found out that this is a P1 meter, which alone needs no role.
    needs_product: bool,
    pairing: Pairing,
    is_v2: bool,
    asks_batteries: bool,
    no_battery_since: Option<Instant>,
    clock: ems_http::Stamp,
}

impl Ems for HomeWizard {
    fn read(&mut self, stop: &Stop) -> Result<EmsReading, EmsError> {
        if self.pairing.is_needed {
            self.pair(stop)?;
        }
        let path = if self.is_v2 { "/api/measurement" } else { "/api/v1/data" };
        let answer = match self.client.get_json(path) {
            Ok(answer) => answer,
            Err(error) if self.is_v2 && self.pairing.is_own && *error.kind() == Kind::Status(401) => {
                self.pairing.is_needed = true;
                return Err(EmsError::retry("the device no longer knows us; it must be paired anew"));
            }
            Err(error) => return Err(self.refused(&error)),
        };
        let parse = if self.is_v2 { parse::measurement } else { parse::data };
        let mut read = parse(&answer).map_err(|error| ems_http::garbled(&error))?;
        if self.needs_product && read.battery.is_none() {
            self.check_product()?;
        }
        if read.battery.is_none() {
            read.battery = self.batteries();
        }
        let taken_at = self.clock.taken_at(read.stamp.as_deref(), Instant::now());
        as_reading(&read, self.place, taken_at)
    }

    fn pace(&self) -> Pace {
        Pace::Every(INTERVAL)
    }
}

impl HomeWizard {
    /// Asks for a token until the button is pressed, for as long as one press lasts.
    fn pair(&mut self, stop: &Stop) -> Result<(), EmsError> {
        let started = Instant::now();
        loop {
            let body = json!({"name": "local/twcmanager"});
            let answer = self.client.post("/api/user").json(&body).send().map_err(|error| ems_http::failed(&error))?;
            let said = answer.json().map_err(|error| ems_http::failed(&error))?;
            match parse::token(answer.status(), &said) {
                Ok(token) => {
                    self.client.set_auth(Auth::Bearer(token.clone()));
                    self.pairing.keep.save(&self.pairing.path, json!(token));
                    self.pairing.is_needed = false;
                    return Ok(());
                }
                Err(error) if error.kind() != EmsErrorKind::Retry || started.elapsed() >= PAIRING => return Err(error),
                Err(_) if stop.wait(PAIRING_STEP) => return Err(EmsError::stopped()),
                Err(_) => {}
            }
        }
    }

    /// Without a role only a P1 meter is understood: any other device could sit anywhere.
    fn check_product(&mut self) -> Result<(), EmsError> {
        let answer = self.client.get_json("/api").map_err(|error| self.refused(&error))?;
        let product = parse::product(&answer).map_err(|error| ems_http::garbled(&error))?.unwrap_or_default();
        if product != "HWE-P1" {
            return Err(EmsError::new(
                EmsErrorKind::Misconfigured,
                format!(
                    "this is a {product}, not a P1 meter; say in sources.HomeWizard.role what it measures: `grid`, \
                     `generation` or `consumption`"
                ),
            ));
        }
        self.needs_product = false;
        Ok(())
    }

    /// The batteries are a bonus: without them the reading is as good, so failures are not the source's.
    fn batteries(&mut self) -> Option<Battery> {
        let is_due = self.no_battery_since.is_none_or(|since| since.elapsed() >= LOOK_FOR_BATTERIES);
        if !self.asks_batteries || self.place.role != Role::Grid || !is_due {
            return None;
        }
        match self.client.get_json("/api/batteries") {
            Ok(answer) => {
                let found = parse::batteries(&answer).ok().flatten();
                self.no_battery_since = found.is_none().then(Instant::now);
                found
            }
            Err(error) => {
                let is_absent = matches!(error.kind(), Kind::Status(400..=499));
                self.no_battery_since = is_absent.then(Instant::now);
                None
            }
        }
    }

    fn refused(&self, error: &HttpError) -> EmsError {
        match (error.kind(), self.is_v2) {
            (Kind::Status(403), false) => EmsError::new(
                EmsErrorKind::Misconfigured,
                format!("{error}; switch `Local API` on in the HomeWizard Energy app, in the settings of this meter"),
            ),
            (Kind::Status(404), false) => EmsError::new(
                EmsErrorKind::Misconfigured,
                format!("{error}; this device has version 2 only, so put `\"apiVersion\": 2` into sources.HomeWizard"),
            ),
            (Kind::Status(401 | 403), true) => EmsError::new(
                EmsErrorKind::Denied,
                format!("{error}; the token was revoked, so take sources.HomeWizard.token out to pair anew"),
            ),
            _ => ems_http::failed(error),
        }
    }
}

/// The reading that such a measurement makes at its place.
pub(crate) fn as_reading(read: &Measurement, place: Place, taken_at: Instant) -> Result<EmsReading, EmsError> {
    let mut reading = match &read.battery {
        // A battery's own meter says nothing about the grid.
        Some(_) if read.meter.watts.is_none() => EmsReading::at(taken_at),
        _ => {
            let mut meter = read.meter.inverted(place.inversion);
            if place.role == Role::Generation {
                // Production is negative here, and an inverter's own use at night is a few watts positive.
                meter.watts = meter.watts.and_then(|watts| ems::generation(-watts));
            }
            meter.reading(place.role, taken_at)?
        }
    };
    if let Some(battery) = &read.battery {
        reading.battery = battery.watts.map(Watts::new).transpose()?;
        reading.battery_soc = battery.soc.map(Percent::new).transpose()?;
    }
    Ok(reading)
}
