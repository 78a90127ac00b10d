//! Energy source: Kostal inverters.
//!
//! | `model` | speaks |
//! |---|---|
//! | `plenticore` (also Piko IQ) | Modbus TCP, [`plenticore`] |
//! | `piko` (second generation) | JSON over HTTP, [`dxs`] |
//! | `pikoMP` (MP plus, Steca) | XML over HTTP, [`measurements`] |
//!
//! Facts: KOSTAL "Interface description Modbus (TCP) & SunSpec"; configuration and quirks in `docs/ems/kostal.md`.

mod http;
pub mod plenticore;

use std::time::{Duration, Instant};

use ems::{
    Ems, EmsDriver, EmsError, EmsErrorKind, EmsReading, KeyKind, KeySpec, Pace, Section, Shared, Stop, WireReading,
};
use ems_registers::{Device, Plan, tcp_target, unit_id};
use http_client::{Auth, Client};

pub use http::{dxs, measurements, voltage};
use plenticore::{Placement, Position};

/// The vendor's smallest interval for Modbus.
const INTERVAL: Duration = Duration::from_secs(5);
/// The Piko's own page is new as often.
const HTTP_INTERVAL: Duration = Duration::from_secs(10);
/// Seconds to wait for the inverter.
const TIMEOUT: f64 = 5.0;

/// The driver, for the registry.
pub const DRIVER: EmsDriver = EmsDriver {
    name: "Kostal",
    summary: "Kostal Plenticore, Piko and Piko MP inverters, with battery and energy meter",
    keys: &[
        KeySpec::new("serverIP", KeyKind::Text, "Address of the inverter"),
        KeySpec::new("modbusPort", KeyKind::Port, "Its Modbus port (default 1502)"),
        KeySpec::new("unitID", KeyKind::Number, "Its unit id (default 71)"),
        KeySpec::new("model", KeyKind::Text, "plenticore (default; also Piko IQ), piko (second generation) or pikoMP"),
        KeySpec::new(
            "meterPosition",
            KeyKind::Text,
            "Where the energy meter sits: grid (2) or home (1); found out by itself",
        ),
        KeySpec::new("serverPort", KeyKind::Port, "Port of the web page of piko and pikoMP (default 80)"),
        KeySpec::new("username", KeyKind::Text, "User of the web page of piko and pikoMP, where it asks for one"),
        KeySpec::new("password", KeyKind::Secret, "Its password"),
    ],
    open,
};

fn open(section: &mut Section, shared: &Shared) -> Option<Box<dyn Ems>> {
    let model = section.text("model").unwrap_or_else(|| "plenticore".to_owned()).to_ascii_lowercase();
    let plain: String = model.chars().filter(char::is_ascii_alphanumeric).collect();
    let page = match plain.as_str() {
        "plenticore" | "pikoiq" => return open_plenticore(section, shared),
        "piko" => Page::Dxs,
        "pikomp" | "pikompplus" => Page::Measurements,
        _ => {
            section.error("model", "must be `plenticore`, `piko` or `pikoMP`");
            return None;
        }
    };
    let port = section.port("serverPort", 80);
    let base = ems_http::base(section, "serverIP", port, false);
    let login = (section.text("username"), section.text("password"));
    let client = ems_http::client(section, shared, base.as_deref(), "serverIP", |builder| match login {
        (Some(user), Some(password)) => builder.auth(Auth::Basic { user, password }),
        _ => builder,
    });
    let client = client.filter(|_| !section.has_errors())?;
    Some(Box::new(Pages { client, page }))
}

fn open_plenticore(section: &mut Section, shared: &Shared) -> Option<Box<dyn Ems>> {
    let target = tcp_target(section, "serverIP", "modbusPort", 1502);
    let unit = unit_id(section, "unitID", 71);
    let placement = match section.text("meterPosition").map(|text| text.to_ascii_lowercase()).as_deref() {
        None | Some("auto") => Placement::Guessed(0),
        Some("grid" | "2") => Placement::Told(Position::Grid),
        Some("home" | "house" | "1") => Placement::Told(Position::Home),
        Some(_) => {
            section.error("meterPosition", "must be `grid` or `home`, or left out");
            Placement::Guessed(0)
        }
    };
    let device = Device::open(section, shared, target?, unit, "serverIP", TIMEOUT)?;
    let plan = Plan::new(plenticore::points());
    (!section.has_errors()).then(|| Box::new(Plenticore { device, plan, placement }) as Box<dyn Ems>)
}

struct Plenticore {
    device: Device,
    plan: Plan,
    placement: Placement,
}

impl Ems for Plenticore {
    fn read(&mut self, _stop: &Stop) -> Result<EmsReading, EmsError> {
        // Word order and firmware can change while we run, so everything is read anew, register 5 too.
        let image = self.plan.read(&mut self.device).map_err(|error| self.device.failed(&error))?;
        let reading = plenticore::reading(&image, &mut self.placement);
        if reading.generation_w.is_none() && reading.grid_w.is_none() && reading.battery_w.is_none() {
            self.plan.forget();
            let text = match image.refusal() {
                Some((code, address)) => format!(
                    "unit {} refuses register {address} (exception {}) and tells nothing else; check `unitID` (71), and \
                     that this is a Plenticore or Piko IQ (see `model`)",
                    self.device.unit(),
                    code.code()
                ),
                None => "the inverter answers, but has no values now; it may be starting".to_owned(),
            };
            let kind = if image.refusal().is_some() { EmsErrorKind::Misconfigured } else { EmsErrorKind::Retry };
            return Err(EmsError::new(kind, text));
        }
        reading.into_reading(Instant::now()).map_err(EmsError::garbled)
    }

    fn pace(&self) -> Pace {
        Pace::Every(INTERVAL)
    }
}

enum Page {
    Dxs,
    Measurements,
}

struct Pages {
    client: Client,
    page: Page,
}

impl Ems for Pages {
    fn read(&mut self, _stop: &Stop) -> Result<EmsReading, EmsError> {
        let reading: WireReading = match self.page {
            Page::Dxs => {
                let answer = self.client.get_json(http::DXS).map_err(|error| ems_http::failed(&error))?;
                dxs(&answer).map_err(|error| ems_http::garbled(&error))?
            }
            Page::Measurements => {
                let text = self.client.get_text(http::MEASUREMENTS).map_err(|error| ems_http::failed(&error))?;
                let mut reading = measurements(&text).map_err(EmsError::garbled)?;
                reading.grid_volts = voltage(&text).map(|volts| vec![Some(volts), None, None]);
                reading
            }
        };
        if reading.generation_w.is_none() && reading.consumption_w.is_none() {
            let text = "the inverter answers, but has no values now; that is normal while it starts or shuts down";
            return Err(EmsError::new(EmsErrorKind::Asleep, text));
        }
        reading.into_reading(Instant::now()).map_err(EmsError::garbled)
    }

    fn pace(&self) -> Pace {
        Pace::Every(HTTP_INTERVAL)
    }
}
